-- The tables that live queries want ($1, a JSON array of oids), each with its
-- partitions and heirs, and whether the log can tell of them through the
-- publication $2.
with recursive
tree (root, oid) as (
  select w.oid::text::oid, w.oid::text::oid from json_array_elements_text($1::text::json) as w (oid)
  union
  select t.root, i.inhrelid from tree t join pg_catalog.pg_inherits i on i.inhparent = t.oid
),
part as (
  select t.root, c.oid, c.relkind, c.relowner,
         c.relkind = 'p' or c.relkind = 'r' and c.relpersistence = 'p' and case c.relreplident
           when 'f' then true
           when 'd' then exists (
             select from pg_catalog.pg_index x
             where x.indrelid = c.oid and x.indisprimary and x.indisvalid and x.indimmediate)
           when 'i' then exists (
             select from pg_catalog.pg_index x
             where x.indrelid = c.oid and x.indisreplident and x.indisvalid and x.indimmediate)
           else false
         -- Keys are compared byte by byte.
         end and not exists (
           select from pg_catalog.pg_attribute a
           join pg_catalog.pg_collation l on l.oid = a.attcollation
           where a.attrelid = c.oid and not a.attisdropped and not l.collisdeterministic) as usable,
         -- A partitioned table publishes all that belong to it.
         exists (
           select from pg_catalog.pg_publication b
           where b.pubname = $2 and b.puballtables and not b.pubviaroot
             and b.pubinsert and b.pubupdate and b.pubdelete and b.pubtruncate
         ) or exists (
           with recursive up (oid) as (
             select c.oid
             union
             select i.inhparent from up
             join pg_catalog.pg_inherits i on i.inhrelid = up.oid
             join pg_catalog.pg_class p on p.oid = i.inhparent and p.relkind = 'p'
           )
           select from up
           join pg_catalog.pg_publication_rel r on r.prrelid = up.oid
           join pg_catalog.pg_publication b on b.oid = r.prpubid
           where b.pubname = $2 and b.pubinsert and b.pubupdate and b.pubdelete and b.pubtruncate
             and not b.pubviaroot and coalesce(to_jsonb(r) ->> 'prqual', '') = ''
         ) as published
  from tree t join pg_catalog.pg_class c on c.oid = t.oid
)
select json_agg(json_build_object(
  'oid', p.root::bigint,
  'name', (select pg_catalog.format('%I.%I', n.nspname, c.relname)
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where c.oid = p.root),
  'leaves', p.leaves, 'usable', p.usable, 'owned', p.owned, 'published', p.published))::text
from (
  select root,
         coalesce(json_agg(oid::bigint) filter (where relkind <> 'p'), '[]') as leaves,
         bool_and(usable) as usable,
         bool_and(pg_catalog.pg_has_role(relowner, 'usage')) filter (where oid = root) as owned,
         bool_and(published) as published
  from part group by root
) p
