-- The outbox of event triggers: an event is written by the transaction that
-- caused it, so that neither is there without the other.

create table ringfence.events (
  id            uuid primary key default pg_catalog.gen_random_uuid(),
  source_name   text not null,
  trigger_name  text not null,
  schema_name   text not null,
  table_name    text not null,
  -- json keeps the digits and takes whatever a row holds.
  payload       json not null,
  delivered     boolean not null default false,
  error         boolean not null default false,
  tries         integer not null default 0,
  created_at    timestamptz not null default pg_catalog.clock_timestamp(),
  locked        timestamptz,
  next_retry_at timestamptz,
  archived      boolean not null default false
);
comment on table ringfence.events is 'What event triggers captured; it holds rows of all tenants';
revoke all on table ringfence.events from public;
create index events_by_trigger on ringfence.events (source_name, trigger_name, created_at);

-- The function behind every event trigger. Its arguments:
--   0 source  1 trigger  2 columns of which an update must change one
--   3 4 5     columns in the payload of an insert, update, delete
-- Lists are text arrays; an empty text means all columns. A column that is no
-- longer there counts as changed: rather an event too many than one lost.
-- Whoever writes the row may not write the outbox, so this runs as its owner.
create function ringfence.capture() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$
declare
  watched text[] := nullif(TG_ARGV[2], '')::text[];
  told    text[] := nullif(TG_ARGV[case TG_OP when 'INSERT' then 3 when 'UPDATE' then 4 else 5 end], '')::text[];
  before  json;
  after   json;
begin
  if TG_OP = 'UPDATE' and watched is null and OLD *= NEW then
    return null;
  end if;
  if TG_OP <> 'INSERT' then before := row_to_json(OLD); end if;
  if TG_OP <> 'DELETE' then after := row_to_json(NEW); end if;
  if TG_OP = 'UPDATE' and watched is not null and not exists (
    select from unnest(watched) as w (name)
    where before -> w.name is null or (before -> w.name)::text is distinct from (after -> w.name)::text
  ) then
    return null;
  end if;
  if told is not null then
    select case when before is not null then coalesce(json_object_agg(e.key, e.value), '{}') end
      into before from json_each(before) as e where e.key = any (told);
    select case when after is not null then coalesce(json_object_agg(e.key, e.value), '{}') end
      into after from json_each(after) as e where e.key = any (told);
  end if;
  insert into ringfence.events (source_name, trigger_name, schema_name, table_name, payload)
  values (TG_ARGV[0], TG_ARGV[1], TG_TABLE_SCHEMA, TG_TABLE_NAME, json_build_object(
    'op', TG_OP,
    'data', json_build_object('old', before, 'new', after),
    'session_variables', nullif(current_setting('hasura.user', true), '')::json,
    'trace_context', nullif(current_setting('hasura.tracecontext', true), '')::json));
  return null;
end $$;
comment on function ringfence.capture() is 'Writes the outbox of event triggers';
revoke all on function ringfence.capture() from public;
