-- What has to happen so that event triggers capture as metadata says:
-- [{trigger, sql}]; without a trigger it is taken away.
-- $1 the source.
-- $2 the triggers: [{trigger, table (oid), insert, update, delete, always,
--    watched, told: [columns, or null for all] of insert, update, delete}].
-- $3 names of triggers whose table is not there: what captures for them stays.
with
written as (
  select w.*, w."table"::oid as relation, 'ringfence_event_' || w.trigger as name
  from json_to_recordset($2::text::json) as w (
    trigger text, "table" text, "insert" bool, "update" bool, "delete" bool, always bool,
    watched json, told json)
),
wanted as (
  select w.trigger, w.relation, w.name, w.always,
         1 + case when w."insert" then 4 else 0 end + case when w."delete" then 8 else 0 end
           + case when w."update" then 16 else 0 end as type,
         concat_ws(' or ', case when w."insert" then 'insert' end, case when w."update" then 'update' end,
                   case when w."delete" then 'delete' end) as events,
         array[$1::text, w.trigger] || (
           select array_agg(
             case when json_typeof(l.list) = 'array'
                  then (select coalesce(array_agg(c.name order by c.n), '{}')::text
                        from json_array_elements_text(l.list) with ordinality as c (name, n))
                  else '' end
             order by l.n)
           from (select 0, w.watched
                 union all
                 select t.n, t.list from json_array_elements(w.told) with ordinality as t (list, n)) as l (n, list)
         ) as arguments
  from written w
),
-- As Postgres keeps the arguments: each followed by a zero byte.
expected as (
  select w.*,
         (select string_agg(convert_to(a, getdatabaseencoding()) || '\x00'::bytea, ''::bytea order by n)
          from unnest(w.arguments) with ordinality as u (a, n)) as bytes
  from wanted w
),
ours as (
  select t.oid, t.tgname, t.tgrelid, t.tgtype, t.tgenabled, t.tgargs
  from pg_trigger t
  where t.tgfoid = to_regprocedure('ringfence.capture()') and t.tgparentid = 0 and not t.tgisinternal
    and substring(t.tgargs from 1 for length(convert_to($1, getdatabaseencoding())) + 1)
      = convert_to($1, getdatabaseencoding()) || '\x00'::bytea
),
matched as (
  select o.oid, e.name
  from ours o
  join expected e
    on e.relation = o.tgrelid and e.name = o.tgname and e.type = o.tgtype and e.bytes = o.tgargs
   and o.tgenabled = case when e.always then 'A' else 'O' end
),
stale as (
  select o.tgname::text as name, format('drop trigger %I on %s', o.tgname, o.tgrelid::regclass) as sql
  from ours o
  where o.oid not in (select oid from matched)
),
step as (
  select 0 as ord, s.name, null::text as trigger, s.sql
  from stale s
  where s.name not in (select name from expected)
    and s.name not in (
      select 'ringfence_event_' || a.name from json_array_elements_text($3::text::json) as a (name))

  union all
  select 1, e.name, e.trigger,
         coalesce((select string_agg(s.sql || '; ', '' order by s.sql) from stale s where s.name = e.name), '')
         || format('create trigger %I after %s on %s for each row execute function ringfence.capture(%s)',
                   e.name, e.events, e.relation::regclass,
                   (select string_agg(quote_literal(a), ', ' order by n)
                    from unnest(e.arguments) with ordinality as u (a, n)))
         || case when e.always then format('; alter table %s enable always trigger %I', e.relation::regclass, e.name)
                 else '' end
  from expected e
  where e.name not in (select name from matched)
)
select coalesce(json_agg(json_build_object('trigger', trigger, 'sql', sql) order by ord, name), '[]')::text
from step
