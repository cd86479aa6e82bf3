-- Ways around row-level security for a login and the roles that it may SET.
-- $1 the login, $2 the exposed schemas (JSON).
with
login as (select oid, rolname from pg_roles where rolname = $1),
reachable as (
  select r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.oid = l.oid as is_login,
         pg_has_role(l.oid, r.oid, 'USAGE') as inherited
  from login l
  join pg_roles r on r.oid = l.oid or pg_has_role(l.oid, r.oid, 'MEMBER')
),
-- A superuser is a member of every role: it alone is worth telling.
relevant as (
  select * from reachable
  where is_login or not (select rolsuper from reachable where is_login)
),
finding (ord, role, reason, tbl, fix) as (
  select 1, rolname, 'superuser', null,
         case when is_login then format('alter role %I nosuperuser', rolname)
              else format('revoke %I from %I', rolname, $1::text) end
  from relevant where rolsuper
  union all
  select 2, rolname, 'bypass_rls', null,
         case when is_login then format('alter role %I nobypassrls', rolname)
              else format('revoke %I from %I', rolname, $1::text) end
  from relevant where rolbypassrls and not rolsuper
  union all
  select 3, r.rolname, 'owner', format('%I.%I', n.nspname, c.relname),
         format('alter table %I.%I force row level security', n.nspname, c.relname)
  from relevant r
  join pg_class c on pg_has_role(r.oid, c.relowner, 'USAGE')
  join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relforcerowsecurity and not r.rolsuper
    and n.nspname in (select json_array_elements_text($2::json))
  union all
  select 4, r.rolname, 'inherit', null,
         case when current_setting('server_version_num')::int >= 160000
              then format('grant %I to %I with inherit false, set true', r.rolname, $1::text)
              else format('alter role %I noinherit', $1::text) end
  from relevant r where r.inherited and not r.is_login
)
select coalesce(json_agg(json_build_object(
         'role', role, 'reason', reason, 'table', tbl, 'fix', fix) order by ord, role, tbl), '[]')::text
from finding
