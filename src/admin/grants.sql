-- What the engine's own roles lack on the tracked objects, as statements.
-- $1 tables and views, $2 functions: JSON arrays of oids.
with
facts as (
  select (select oid from pg_roles where rolname = 'ringfence_admin') as admin,
         (select rolbypassrls from pg_roles where rolname = 'ringfence_admin') as admin_bypass,
         (select oid from pg_roles where rolname = current_user) as me
),
role as (select oid, rolname from pg_roles where rolname in ('ringfence_api', 'ringfence_admin')),
tracked as (
  select c.oid, c.relname, c.relkind, c.relrowsecurity, n.oid as schema, n.nspname
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  cross join facts f
  where c.oid in (select json_array_elements_text($1::text::json)::oid)
    and pg_has_role(f.me, c.relowner, 'USAGE')
),
called as (
  select p.oid, n.oid as schema, n.nspname
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  cross join facts f
  where p.oid in (select json_array_elements_text($2::text::json)::oid)
    and pg_has_role(f.me, p.proowner, 'USAGE')
),
-- Sequences behind the columns.
serial as (
  select distinct s.oid, s.relname, n.nspname
  from tracked t
  join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid
                  and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
  join pg_class s on s.oid = d.objid and s.relkind = 'S'
  join pg_namespace n on n.oid = s.relnamespace
),
step (ord, sql) as (
  select distinct 1, format('grant usage on schema %I to %I', o.nspname, r.rolname)
  from (select schema, nspname from tracked union select schema, nspname from called) o
  cross join role r
  where not has_schema_privilege(r.oid, o.schema, 'USAGE')

  union all
  select 2, format('grant select, insert, update, delete on table %I.%I to %I', t.nspname, t.relname, r.rolname)
  from tracked t cross join role r
  where not (has_table_privilege(r.oid, t.oid, 'SELECT') and has_table_privilege(r.oid, t.oid, 'INSERT')
    and has_table_privilege(r.oid, t.oid, 'UPDATE') and has_table_privilege(r.oid, t.oid, 'DELETE'))

  union all
  select 3, format('grant usage on sequence %I.%I to %I', s.nspname, s.relname, r.rolname)
  from serial s cross join role r
  where not has_sequence_privilege(r.oid, s.oid, 'USAGE')

  union all
  select 4, format('grant execute on function %s to %I', c.oid::regprocedure, r.rolname)
  from called c cross join role r
  where not has_function_privilege(r.oid, c.oid, 'EXECUTE')

  union all
  select 5, format('create policy ringfence_admin on %I.%I to ringfence_admin using (true) with check (true)',
                   t.nspname, t.relname)
  from tracked t cross join facts f
  where t.relrowsecurity and f.admin is not null and not f.admin_bypass
    and not exists (select from pg_policy p where p.polrelid = t.oid and p.polname = 'ringfence_admin')
)
select coalesce(json_agg(sql order by ord, sql), '[]')::text from step
