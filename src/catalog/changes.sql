-- The tables of $1 (a JSON array of oids), each with its partitions and heirs:
-- whether the log can tell of their changes, through the publication $2, of
-- their new rows through $3; and whether triggers do, or could.
with recursive
tree (root, oid) as (
  select w.oid::text::oid, w.oid::text::oid from json_array_elements_text($1::text::json) as w (oid)
  union
  select t.root, i.inhrelid from tree t join pg_catalog.pg_inherits i on i.inhparent = t.oid
),
-- A statement on a table above changes rows of those below, and only its own
-- table's triggers are called.
family (root, oid) as (
  select root, oid from tree
  union
  select f.root, i.inhparent from family f join pg_catalog.pg_inherits i on i.inhrelid = f.oid
),
listed (relid, whole, version) as (
  select r.prrelid, b.pubname = $2 and b.pubupdate and b.pubdelete, r.oid::text
  from pg_catalog.pg_publication b
  join pg_catalog.pg_publication_rel r on r.prpubid = b.oid
  where b.pubname in ($2, $3) and b.pubinsert and b.pubtruncate and not b.pubviaroot
    and coalesce(to_jsonb(r) ->> 'prqual', '') = ''
),
part as (
  select t.root, c.oid, c.relkind, c.relowner,
         case
           when c.relkind = 'f' then 'foreign'
           when c.relkind not in ('r', 'p') then 'no_table'
           when c.relkind = 'r' and c.relpersistence <> 'p' then 'unlogged'
           -- Keys are compared byte by byte.
           when exists (
             select from pg_catalog.pg_attribute a
             join pg_catalog.pg_collation l on l.oid = a.attcollation
             where a.attrelid = c.oid and not a.attisdropped and not l.collisdeterministic) then 'collation'
           -- The log does not tell them.
           when exists (
             select from pg_catalog.pg_attribute a
             join pg_catalog.pg_index x on x.indrelid = c.oid and a.attnum = any (x.indkey::int2[])
               and case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident end
             where a.attrelid = c.oid and a.attgenerated <> '' and not a.attisdropped) then 'generated'
           when c.relkind = 'r' and not case c.relreplident
             when 'f' then true
             when 'd' then exists (
               select from pg_catalog.pg_index x
               where x.indrelid = c.oid and x.indisprimary and x.indisvalid and x.indimmediate)
             when 'i' then exists (
               select from pg_catalog.pg_index x
               where x.indrelid = c.oid and x.indisreplident and x.indisvalid and x.indimmediate)
             else false
           end then 'identity'
         end as obstacle,
         exists (
           select from pg_catalog.pg_publication b
           where b.pubname = $2 and b.puballtables and not b.pubviaroot
             and b.pubinsert and b.pubupdate and b.pubdelete and b.pubtruncate
         ) or coalesce(up.whole, false) as published,
         up.whole is not null as inserts,
         pg_catalog.concat_ws(',', up.version, (
           select pg_catalog.string_agg(i.xmin::text, '+' order by i.inhparent)
           from pg_catalog.pg_inherits i where i.inhrelid = c.oid)) as version
  from tree t join pg_catalog.pg_class c on c.oid = t.oid
  -- A partitioned table publishes all that belong to it.
  cross join lateral (
    with recursive up (oid) as (
      select c.oid
      union
      select i.inhparent from up
      join pg_catalog.pg_inherits i on i.inhrelid = up.oid
      join pg_catalog.pg_class p on p.oid = i.inhparent and p.relkind = 'p'
    )
    select bool_or(l.whole) as whole, pg_catalog.string_agg(l.version, '+' order by l.version) as version
    from up join listed l on l.relid = up.oid
  ) up
),
member as (
  select f.root, c.oid,
         pg_catalog.format('%I.%I', n.nspname, c.relname) as name,
         c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname <> 'pg_catalog'
           and pg_catalog.pg_has_role(c.relowner, 'usage')
           -- Rows that a subscription of Postgres brings call no trigger of a statement.
           and not exists (select from pg_catalog.pg_subscription_rel s where s.srrelid = c.oid) as usable,
         -- After each statement of all four kinds, whoever runs it.
         exists (
           select from pg_catalog.pg_trigger t
           where t.tgrelid = c.oid and t.tgfoid = to_regprocedure('ringfence.tell_change()')
             and t.tgenabled = 'A' and t.tgtype = 60 and t.tgqual is null
             and coalesce(pg_catalog.array_length(t.tgattr::int2[], 1), 0) = 0) as triggered
  from family f
  join pg_catalog.pg_class c on c.oid = f.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
)
select json_agg(json_build_object(
  'oid', p.root::bigint,
  'name', (select pg_catalog.format('%I.%I', n.nspname, c.relname)
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where c.oid = p.root),
  'leaves', p.leaves, 'obstacle', p.obstacle, 'owned', p.owned, 'published', p.published,
  'inserts', p.inserts,
  'version', pg_catalog.concat_ws(';', p.version, (
    select pg_catalog.string_agg(pg_catalog.concat(b.oid, ':', b.xmin), '+' order by b.oid)
    from pg_catalog.pg_publication b where b.pubname in ($2, $3))),
  'identity', (
    select coalesce(json_agg(a.attname order by a.attnum), '[]')
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.oid = p.root and (c.relreplident = 'f' or exists (
      select from pg_catalog.pg_index x
      where x.indrelid = c.oid and a.attnum = any (x.indkey::int2[])
        and case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident end))),
  'members', (select json_agg(json_build_object('oid', m.oid::bigint, 'name', m.name, 'triggered', m.triggered)
                              order by m.oid)
              from member m where m.root = p.root),
  'triggerable', (select bool_and(m.usable) from member m where m.root = p.root)
     and to_regprocedure('ringfence.tell_change()') is not null
     -- A transaction that notifies cannot be prepared.
     and pg_catalog.current_setting('max_prepared_transactions') = '0'))::text
from (
  select root,
         coalesce(json_agg(oid::bigint) filter (where relkind <> 'p'), '[]') as leaves,
         -- Without replica identity new rows are told of, so that is the least.
         coalesce(min(obstacle) filter (where obstacle <> 'identity'), min(obstacle)) as obstacle,
         bool_and(pg_catalog.pg_has_role(relowner, 'usage')) filter (where oid = root) as owned,
         bool_and(published) as published,
         bool_and(published or inserts) as inserts,
         pg_catalog.string_agg(version, ';' order by oid) as version
  from part group by root
) p
