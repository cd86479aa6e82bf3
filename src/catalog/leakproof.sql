-- Of conditions (rel, col, op, ns) on columns, those that row-level security
-- keeps from an index that has their operator: the operator's function is not
-- leakproof. Runs as the caller, for whom the policies are.
with asked as (
  select c.oid as rel, n.nspname, c.relname, a.attnum, a.attname, f.op, f.ns,
         coalesce(nullif(t.typbasetype, 0), t.oid) as type
  from pg_catalog.json_to_recordset($1::pg_catalog.json) as f(rel oid, col int2, op text, ns text)
  join pg_catalog.pg_class c on c.oid = f.rel
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = f.col
  join pg_catalog.pg_type t on t.oid = a.atttypid
  where pg_catalog.row_security_active(c.oid)
),
operators as (
  select asked.*, o.oid as operator, p.proname as function
  from asked
  join pg_catalog.pg_type t on t.oid = asked.type
  join pg_catalog.pg_namespace n on n.nspname = asked.ns
  join pg_catalog.pg_operator o on o.oprname = asked.op and o.oprnamespace = n.oid
    and o.oprleft in (
      t.oid,
      case when t.typtype = 'e' then 'pg_catalog.anyenum'::pg_catalog.regtype end,
      case when t.typcategory = 'A' then 'pg_catalog.anyarray'::pg_catalog.regtype end,
      case when t.typtype = 'r' then 'pg_catalog.anyrange'::pg_catalog.regtype end,
      case when t.oid = 'pg_catalog.varchar'::pg_catalog.regtype then 'pg_catalog.text'::pg_catalog.regtype end
    )
    -- Values are sent in the type of the column.
    and (o.oprright = o.oprleft or asked.op not in ('=', '<', '<=', '>', '>='))
  join pg_catalog.pg_proc p on p.oid = o.oprcode and not p.proleakproof
)
select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
    'table', o.nspname || '.' || o.relname, 'column', o.attname, 'operator', o.op,
    'function', o.function, 'indexes', i.names)
    order by o.nspname, o.relname, o.attname, o.op), '[]')
from operators o
cross join lateral (
  select pg_catalog.json_agg(ic.relname order by ic.relname) as names
  from pg_catalog.pg_index i
  join pg_catalog.pg_class ic on ic.oid = i.indexrelid
  where i.indrelid = o.rel and i.indisvalid and exists (
    select
    from rows from (pg_catalog.unnest(i.indkey::int2[]), pg_catalog.unnest(i.indclass::oid[])) as k(attnum, class)
    join pg_catalog.pg_opclass oc on oc.oid = k.class
    join pg_catalog.pg_amop m on m.amopfamily = oc.opcfamily
    where k.attnum = o.attnum and m.amopopr = o.operator and m.amoppurpose = 's')
) i
where i.names is not null
