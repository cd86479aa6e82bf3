-- Everything that `migrate` put into this database, as statements that take it
-- out again. Nothing is dropped with CASCADE: what a user built on a helper
-- function stays, and is named by the error.
-- $1 logins made for this database (JSON array of names).
-- $2 the login of requests that was given for this database; empty for none.
with
-- Metadata stays where there is any, and what Hasura itself has put there.
metadata (there, ours) as (
  select to_regclass('hdb_catalog.hdb_metadata') is not null,
         case when to_regclass('hdb_catalog.hdb_metadata') is null then false
              else not exists (
                     select from pg_class c
                     where c.relnamespace = to_regnamespace('hdb_catalog') and c.relkind <> 'i'
                       and c.relname not in ('hdb_metadata', 'hdb_version'))
                   and (xpath('/row/n/text()', query_to_xml(
                         'select count(*) as n from hdb_catalog.hdb_metadata', false, true, '')))[1]::text = '0'
         end
),
ours (name, shared) as (
  values ('ringfence_api', true), ('ringfence_admin', true)
  union all
  select json_array_elements_text($1::json), false
),
-- The helpers of Supabase, where the schema's comment says that it is ours.
auth (oid) as (
  select oid from pg_namespace
  where nspname = 'auth' and obj_description(oid, 'pg_namespace') like 'ringfence: %'
),
role as (select r.oid, r.rolname, o.shared from ours o join pg_roles r on r.rolname = o.name),
step (ord, sql) as (
  select 10, format('drop event trigger if exists %I', evtname)
  from pg_event_trigger where evtname in ('ringfence_catalog_ddl', 'ringfence_catalog_drop')

  union all
  select 15, format('drop publication %I', pubname)
  from pg_publication where pubname in ('ringfence_live', 'ringfence_live_inserts')

  union all
  select 20, format('drop policy ringfence_admin on %s', p.polrelid::regclass)
  from pg_policy p where p.polname = 'ringfence_admin'

  union all
  select 25, format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
  from pg_trigger t
  where t.tgfoid in (to_regprocedure('ringfence.capture()'), to_regprocedure('ringfence.tell_change()'))
    and t.tgparentid = 0 and not t.tgisinternal

  union all
  select distinct 30,
         format('alter default privileges for role %I%s revoke all on %s from %I',
                pg_get_userbyid(d.defaclrole),
                case when d.defaclnamespace = 0 then ''
                     else format(' in schema %s', d.defaclnamespace::regnamespace) end,
                case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences'
                     when 'f' then 'functions' when 'T' then 'types' else 'schemas' end,
                r.rolname)
  from pg_default_acl d, aclexplode(d.defaclacl) a join role r on r.oid = a.grantee

  union all
  select distinct 31,
         format('revoke all on %s %s from %I',
                case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass, r.rolname)
  from pg_class c, aclexplode(c.relacl) a join role r on r.oid = a.grantee

  union all
  select distinct 32, format('revoke all on schema %s from %I', n.oid::regnamespace, r.rolname)
  from pg_namespace n, aclexplode(n.nspacl) a join role r on r.oid = a.grantee

  union all
  select distinct 33, format('revoke all on database %I from %I', d.datname, r.rolname)
  from pg_database d, aclexplode(d.datacl) a join role r on r.oid = a.grantee
  where d.datname = current_database()

  union all
  select 40, format('drop function %s', p.oid::regprocedure)
  from pg_proc p where p.pronamespace = to_regnamespace('ringfence')

  union all
  select 41, format('drop table %s', c.oid::regclass)
  from pg_class c
  where c.relnamespace = to_regnamespace('ringfence') and c.relkind in ('r', 'p')

  union all
  select 45, format('drop function %s', p.oid::regprocedure)
  from auth a join pg_proc p on p.pronamespace = a.oid
  where p.proname in ('uid', 'role', 'jwt') and p.pronargs = 0

  union all
  select 46, 'drop schema auth' from auth

  union all
  select 50, 'drop schema ringfence' where to_regnamespace('ringfence') is not null

  union all
  select s.ord, s.sql
  from metadata m
  cross join (values (51, 'drop table hdb_catalog.hdb_metadata'), (51, 'drop table if exists hdb_catalog.hdb_version'),
                     (52, 'drop schema hdb_catalog')) s (ord, sql)
  where m.ours
),
-- Postgres drops a role that others are members of without complaint, so who
-- else uses a shared role is looked up. Who may administer it does not use it.
other_use (rolname, used_by) as (
  select r.rolname, format('role %I is a member of it', m.rolname)
  from role r
  join pg_auth_members a on a.roleid = r.oid
  join pg_roles m on m.oid = a.member
  where r.shared
    and m.rolname not in (select name from ours)
    and m.rolname not in ($2::text, current_user)
    and not exists (
      select from pg_auth_members b
      where b.roleid = a.roleid and b.member = a.member and b.admin_option)

  union
  select r.rolname, format('database %I depends on it', d.datname)
  from role r
  join pg_shdepend s on s.refclassid = 'pg_authid'::regclass and s.refobjid = r.oid
  join pg_database d
    on d.oid = case when s.classid = 'pg_database'::regclass then s.objid else s.dbid end
  where r.shared and d.datname <> current_database()
),
-- The shared roles stay or go together: a database that uses one needs the other.
kept (used_by) as (select string_agg(rolname || ': ' || used_by, '; ' order by rolname, used_by) from other_use),
drops (ord, sql) as (
  select case when r.shared then 61 else 60 end, format('drop role %I', r.rolname)
  from role r cross join kept k
  where not r.shared or k.used_by is null
)
select json_build_object(
  'steps', (select coalesce(json_agg(sql order by ord, sql), '[]') from step),
  'roles', (select coalesce(json_agg(sql order by ord, sql), '[]') from drops),
  'kept', (select coalesce(json_agg(what order by what), '[]')
           from (select format('role %I (%s)', r.rolname, k.used_by) as what
                 from role r cross join kept k where r.shared and k.used_by is not null
                 union all
                 select 'schema hdb_catalog (it holds metadata, or is Hasura''s)'
                 from metadata m where m.there and not m.ours) x))::text
