-- The function behind the triggers that tell live queries of a statement: its
-- table, and the transaction that it belongs to. Without a transaction id
-- nothing has been written. Listeners get it after the commit, once for each
-- table and transaction. Whoever writes need not have the right to notify, so
-- this runs as its owner.
create function ringfence.tell_change() returns trigger
  language plpgsql security definer set search_path = ''
  as $$
declare
  id text := pg_catalog.pg_current_xact_id_if_assigned()::text;
begin
  if id is not null then
    perform pg_catalog.pg_notify('ringfence_live', TG_RELID::text || ' ' || id);
  end if;
  return null;
end $$;
revoke all on function ringfence.tell_change() from public;

-- A table that loses its replica identity while it is published could not be
-- updated any more, by anybody. So the command that takes it away takes the
-- table out of the publication, too; whoever runs it need not own that, so this
-- runs as its owner.
create or replace function ringfence.on_ddl() returns event_trigger
  language plpgsql security definer set search_path = ''
  as $$
declare
  command text;
begin
  for command in
    with recursive member (root, oid) as (
      select r.prrelid, r.prrelid
      from pg_catalog.pg_publication_rel r
      join pg_catalog.pg_publication b on b.oid = r.prpubid and b.pubname = 'ringfence_live'
      union
      select m.root, i.inhrelid from member m
      join pg_catalog.pg_class c on c.oid = m.oid and c.relkind = 'p'
      join pg_catalog.pg_inherits i on i.inhparent = m.oid
    )
    select distinct pg_catalog.format('alter publication ringfence_live drop table only %I.%I', n.nspname, t.relname)
    from member m
    join pg_catalog.pg_class c on c.oid = m.oid
    join pg_catalog.pg_class t on t.oid = m.root
    join pg_catalog.pg_namespace n on n.oid = t.relnamespace
    where c.relkind = 'r' and c.relreplident <> 'f' and not exists (
      select from pg_catalog.pg_index x
      where x.indrelid = c.oid and x.indisvalid and x.indimmediate
        and case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident end)
  loop
    begin
      execute command;
    exception when others then
      -- The server tries again, and says what is to be done.
      raise log '%: %', command, sqlerrm;
    end;
  end loop;
  if exists (
    select from pg_catalog.pg_event_trigger_ddl_commands() c
    where c.schema_name is distinct from 'pg_temp'
      and c.command_tag not in ('REFRESH MATERIALIZED VIEW', 'CREATE STATISTICS', 'ALTER STATISTICS')
  ) then
    perform pg_catalog.pg_notify('ringfence_catalog', '');
  end if;
end $$;
