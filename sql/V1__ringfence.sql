-- Helpers for policies, the logins that all instances share, and the functions
-- behind the event triggers. Schema `ringfence` exists already.

-- The tenant of the caller, or NULL. Text: cast it to the column's type, and
-- wrap it so that it is read once per statement:
--   using (tenant_id = (select ringfence.tenant_id()::uuid))
create function ringfence.tenant_id() returns text
  language sql stable parallel safe
  as $$ select nullif(pg_catalog.current_setting('app.tenant_id', true), '') $$;

-- The user of the caller, or NULL; text as above.
create function ringfence.user_id() returns text
  language sql stable parallel safe
  as $$ select nullif(pg_catalog.current_setting('hasura.user.id', true), '') $$;

-- One claim of the caller, or NULL: a session variable when the name begins
-- with x-hasura-, else a top-level claim of the token.
create function ringfence.claim(name text) returns text
  language sql stable parallel safe
  as $$ select case
          when pg_catalog.starts_with(name, 'x-hasura-')
          then nullif(pg_catalog.current_setting('hasura.user', true), '')::pg_catalog.json
          else nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.json
        end operator(pg_catalog.->>) name $$;

comment on function ringfence.tenant_id() is 'The tenant of the caller as text, or NULL';
comment on function ringfence.user_id() is 'The user of the caller as text, or NULL';
comment on function ringfence.claim(text) is 'A claim or session variable of the caller as text, or NULL';

-- Logins that the server made for itself, with their passwords, so that all
-- instances share them. Only the owner has rights here.
create table ringfence.logins (
  kind       text primary key check (kind in ('authenticator', 'admin', 'replication')),
  role       name not null,
  password   text not null,
  created_at timestamptz not null default pg_catalog.now()
);
comment on table ringfence.logins is 'Logins that the server made for itself; secret';
revoke all on table ringfence.logins from public;

-- Tell the servers that the catalogue changed. Temporary objects and the
-- refresh of materialised views change nothing that is exposed.
create function ringfence.on_ddl() returns event_trigger
  language plpgsql set search_path = ''
  as $$
begin
  if exists (
    select from pg_catalog.pg_event_trigger_ddl_commands() c
    where c.schema_name is distinct from 'pg_temp'
      and c.command_tag not in ('REFRESH MATERIALIZED VIEW', 'CREATE STATISTICS', 'ALTER STATISTICS')
  ) then
    perform pg_catalog.pg_notify('ringfence_catalog', '');
  end if;
end $$;

create function ringfence.on_drop() returns event_trigger
  language plpgsql set search_path = ''
  as $$
begin
  if exists (
    select from pg_catalog.pg_event_trigger_dropped_objects() o where not o.is_temporary
  ) then
    perform pg_catalog.pg_notify('ringfence_catalog', '');
  end if;
end $$;
