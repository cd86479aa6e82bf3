-- How to read what rows of the table $1 are in the columns $2 (a JSON array) by
-- the key of its replica identity: the statement, its columns, and how many of
-- them are the key's, which come first. At most $3 rows. Nothing where the log tells
-- what rows were or cannot tell which they are, where a key has more than one
-- spelling, where policies hide rows from whoever reads here, and of a table of more than
-- $4 bytes.
with identity as (
  select c.oid, n.nspname, c.relname, (x.indkey::int2[])[0:x.indnkeyatts - 1] as attnums
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_index x on x.indrelid = c.oid and x.indisvalid and x.indimmediate
    and case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident else false end
  where c.oid = $1::text::oid and c.relkind = 'r'
    and pg_catalog.has_table_privilege(c.oid, 'select')
    and not pg_catalog.row_security_active(c.oid)
    and pg_catalog.pg_table_size(c.oid) <= $4::text::bigint
),
part as (
  select i.nspname, i.relname, a.attname, a.attnum, a.atttypid, a.attnum = any (i.attnums) as is_key
  from identity i
  join pg_catalog.pg_attribute a on a.attrelid = i.oid and a.attnum > 0 and not a.attisdropped
    and (a.attnum = any (i.attnums)
      or a.attname in (select pg_catalog.jsonb_array_elements_text($2::text::jsonb)))
)
select
  pg_catalog.format(
    'select %s from only %I.%I limit %s',
    pg_catalog.string_agg(pg_catalog.format('%I::pg_catalog.text', attname), ', ' order by is_key desc, attnum),
    nspname, relname, $3::text::bigint),
  pg_catalog.json_agg(attname order by is_key desc, attnum)::text,
  (count(*) filter (where is_key))::text
from part
group by nspname, relname
having bool_and(atttypid in (20, 21, 23, 25, 1043, 2950)) and not bool_and(is_key)
