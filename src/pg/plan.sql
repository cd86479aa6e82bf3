-- What is still missing in this database, as statements, in order.
-- $1 the login of requests, $2 the admin's login (empty for none), $3 the exposed schemas (JSON),
-- $4 whether the helpers of Supabase are wanted.
-- Role steps need CREATEROLE or the ADMIN option; the others are optional:
-- without them something is lost, which `kind` names.
with
facts as (
  select current_setting('server_version_num')::int >= 160000 as grant_options,
         (select oid from pg_roles where rolname = 'ringfence_admin') as admin,
         (select oid from pg_roles where rolname = current_user) as me,
         (select rolbypassrls from pg_roles where rolname = 'ringfence_admin') as admin_bypass
),
membership (ord, granted, member) as (
  values (30, 'ringfence_api', nullif($1::text, '')), (31, 'ringfence_admin', nullif($2::text, ''))
),
exposed as (
  select n.oid, n.nspname
  from pg_namespace n
  where n.nspname in (select json_array_elements_text($3::json))
),
owned as (
  select e.nspname, c.oid, c.relname, c.relkind, c.relrowsecurity
  from exposed e
  join pg_class c on c.relnamespace = e.oid
  cross join facts f
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and pg_has_role(f.me, c.relowner, 'USAGE')
),
-- Schema `auth` is ours when its comment says so.
auth (missing, ours) as (
  select to_regnamespace('auth') is null,
         coalesce(obj_description(to_regnamespace('auth'), 'pg_namespace') like 'ringfence: %', false)
),
helper (name, returns, body, description) as (
  values
    ('uid', 'uuid', $helper$nullif(pg_catalog.current_setting('hasura.user.id', true), '')::uuid$helper$,
     'The user of the caller, or NULL'),
    ('role', 'text', $helper$nullif(pg_catalog.current_setting('hasura.user.role', true), '')$helper$,
     'The role of the caller in the API, or NULL'),
    ('jwt', 'jsonb', $helper$nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb$helper$,
     'The claims of the caller''s token, or NULL')
),
step (ord, kind, sql) as (
  select m.ord, 'role',
         format('grant %I to %I%s', m.granted, m.member,
                case when f.grant_options then ' with inherit false, set true' else '' end)
  from membership m cross join facts f
  where m.member is not null
    and not exists (
      select from pg_auth_members a
      join pg_roles g on g.oid = a.roleid
      join pg_roles r on r.oid = a.member
      where g.rolname = m.granted and r.rolname = m.member)

  union all
  select 32, 'role', format('grant connect on database %I to %I', current_database(), l.login)
  from (values (nullif($1::text, '')), (nullif($2::text, ''))) l (login)
  left join pg_roles r on r.rolname = l.login
  where l.login is not null
    and not coalesce(has_database_privilege(r.oid, current_database(), 'CONNECT'),
                     has_database_privilege('public', current_database(), 'CONNECT'))

  union all
  select 35, 'helpers', 'grant usage on schema ringfence to public'
  from pg_namespace n
  where n.nspname = 'ringfence'
    and not exists (
      select from aclexplode(n.nspacl) a where a.grantee = 0 and a.privilege_type = 'USAGE')

  union all
  select 36, 'supabase', s.sql
  from auth a
  cross join (values ('create schema auth; '
                      || $$comment on schema auth is 'ringfence: helpers under their names in Supabase'; $$
                      || 'grant usage on schema auth to public')) s (sql)
  where $4::text::bool and a.missing

  union all
  select 37, 'supabase',
         format('create function auth.%s() returns %s language sql stable parallel safe as $$ select %s $$; '
                'comment on function auth.%1$s() is %4$L',
                h.name, h.returns, h.body, h.description)
  from helper h cross join auth a
  where $4::text::bool and (a.missing or a.ours) and to_regprocedure(format('auth.%s()', h.name)) is null

  union all
  select 38, 'supabase_taken',
         '-- nothing: schema auth was there before and is left as it is'
  from auth a
  where $4::text::bool and not a.missing and not a.ours

  union all
  select 40, 'admin', format('grant usage on schema %I to ringfence_admin', e.nspname)
  from exposed e cross join facts f
  where not coalesce(has_schema_privilege(f.admin, e.oid, 'USAGE'), false)

  union all
  select 41, 'admin',
         format('grant select, insert, update, delete on table %s to ringfence_admin',
                string_agg(format('%I.%I', o.nspname, o.relname), ', ' order by o.nspname, o.relname))
  from owned o cross join facts f
  where o.relkind <> 'S'
    and not coalesce(has_table_privilege(f.admin, o.oid, 'SELECT')
                     and has_table_privilege(f.admin, o.oid, 'INSERT')
                     and has_table_privilege(f.admin, o.oid, 'UPDATE')
                     and has_table_privilege(f.admin, o.oid, 'DELETE'), false)
  having count(*) > 0

  union all
  select 42, 'admin',
         format('grant usage on sequence %s to ringfence_admin',
                string_agg(format('%I.%I', o.nspname, o.relname), ', ' order by o.nspname, o.relname))
  from owned o cross join facts f
  where o.relkind = 'S' and not coalesce(has_sequence_privilege(f.admin, o.oid, 'USAGE'), false)
  having count(*) > 0

  union all
  select 43, 'admin',
         format('alter default privileges in schema %I grant %s to ringfence_admin', e.nspname, d.rights)
  from exposed e
  cross join facts f
  cross join (values ('r'::"char", 'select, insert, update, delete on tables'),
                     ('S'::"char", 'usage on sequences')) d (objtype, rights)
  where not exists (
    select from pg_default_acl a, aclexplode(a.defaclacl) x
    where a.defaclnamespace = e.oid and a.defaclrole = f.me
      and a.defaclobjtype = d.objtype and x.grantee = f.admin)

  union all
  select 50, 'admin_policy',
         format('create policy ringfence_admin on %I.%I to ringfence_admin using (true) with check (true)',
                o.nspname, o.relname)
  from owned o cross join facts f
  where o.relrowsecurity and f.admin is not null and not f.admin_bypass
    and not exists (select from pg_policy p where p.polrelid = o.oid and p.polname = 'ringfence_admin')

  union all
  select 60, 'event_trigger',
         format('create event trigger %s on %s execute function ringfence.%s()', t.name, t.event, t.fn)
  from (values ('ringfence_catalog_ddl', 'ddl_command_end', 'on_ddl'),
               ('ringfence_catalog_drop', 'sql_drop', 'on_drop')) t (name, event, fn)
  where not exists (select from pg_event_trigger e where e.evtname = t.name)
)
select coalesce(json_agg(json_build_object('kind', kind, 'sql', sql) order by ord, sql), '[]')::text
from step
