-- Tables of the publication $1 that have no replica identity (any more), as
-- the statements that take them out.
with recursive
member (root, oid) as (
  select r.prrelid, r.prrelid
  from pg_catalog.pg_publication_rel r
  join pg_catalog.pg_publication b on b.oid = r.prpubid and b.pubname = $1
  where b.pubupdate or b.pubdelete
  union
  select m.root, i.inhrelid from member m
  join pg_catalog.pg_class c on c.oid = m.oid and c.relkind = 'p'
  join pg_catalog.pg_inherits i on i.inhparent = m.oid
)
select distinct pg_catalog.format('alter publication %I drop table only %I.%I', $1::text, n.nspname, t.relname)
from member m
join pg_catalog.pg_class c on c.oid = m.oid
join pg_catalog.pg_class t on t.oid = m.root
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where c.relkind = 'r' and not case c.relreplident
  when 'f' then true
  when 'd' then exists (
    select from pg_catalog.pg_index x
    where x.indrelid = c.oid and x.indisprimary and x.indisvalid and x.indimmediate)
  when 'i' then exists (
    select from pg_catalog.pg_index x
    where x.indrelid = c.oid and x.indisreplident and x.indisvalid and x.indimmediate)
  else false
end
