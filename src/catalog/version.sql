-- Tells whether the catalogue may have changed, without reading it:
-- {snapshot, catalog, roles, role_writes, trigger}. It takes no lock on any table of a user.
--
-- Every change of a row writes a new row with a higher xmin than any before,
-- so for a given number of rows the sum of xmin only grows: (count, sum)
-- changes with every insert, update and delete. Rows of pg_class are hashed
-- instead, because TRUNCATE and REFRESH rewrite them without a change that
-- matters here. age(xid) is a cheap way to a number.
with base as materialized (select age('3'::xid)::bigint + 3 as now),
space as materialized (
  select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
),
rel as materialized (
  select oid, relname, relnamespace, relkind, relowner, relacl, reloptions, relrowsecurity,
         relforcerowsecurity, relispartition, relnatts
  from pg_class
  where relnamespace in (select oid from space) and relkind in ('r', 'p', 'v', 'm', 'f', 'c')
    and relpersistence <> 't'
),
sums as (
  select 0 as place, count(*) as n, bit_xor(hash_record_extended(rel, 0))::numeric as sum from rel
  union all
  select 1, count(*), sum(base.now - age(a.xmin))
    from pg_attribute a, base where a.attnum > 0 and a.attrelid in (select oid from rel)
  union all
  select 2, count(*), sum(base.now - age(p.xmin)) from pg_policy p, base
  union all
  select 3, count(*), sum(base.now - age(p.xmin))
    from pg_proc p, base where p.pronamespace in (select oid from space)
  union all
  select 4, count(*), sum(base.now - age(t.xmin))
    from pg_type t, base where t.typtype <> 'c' and t.typnamespace in (select oid from space)
  union all
  select 5, count(*), sum(base.now - age(c.xmin))
    from pg_constraint c, base where c.connamespace in (select oid from space)
  union all
  select 6, count(*), sum(base.now - age(d.xmin))
    from pg_description d, base where d.objoid >= 16384
  union all
  select 7, count(*), sum(base.now - age(n.xmin)) from pg_namespace n, base where n.nspname !~ '^pg_'
  union all
  select 8, count(*), sum(base.now - age(r.xmin)) from pg_rewrite r, base where r.oid >= 16384
  union all
  select 9, count(*), sum(base.now - age(i.xmin))
    from pg_index i, base where i.indrelid in (select oid from rel)
  union all
  select 10, count(*), sum(base.now - age(d.xmin)) from pg_attrdef d, base
  union all
  select 11, count(*), sum(base.now - age(e.xmin)) from pg_enum e, base
  union all
  select 12, count(*), sum(base.now - age(t.xmin)) from pg_trigger t, base where not t.tgisinternal
  union all
  select 13, count(*), sum(base.now - age(e.xmin)) from pg_extension e, base
  union all
  select 14, count(*), sum(base.now - age(o.xmin)) from pg_operator o, base where o.oid >= 16384
  union all
  select 15, count(*), sum(base.now - age(c.xmin)) from pg_cast c, base where c.oid >= 16384
)
select json_build_object(
  'snapshot', pg_current_snapshot()::text || coalesce(pg_last_wal_replay_lsn()::text, ''),
  'catalog', (select string_agg(n || ':' || coalesce(sum, 0), ' ' order by place) from sums),
  'roles', (select md5(string_agg(text, ' ' order by text)) from (
      select r.oid || r.rolname || r.rolsuper || r.rolinherit || r.rolbypassrls || r.rolcanlogin
             || r.rolcreaterole || r.rolreplication as text from pg_roles r
      union all select 'm' || m.member || ' ' || m.roleid || ' ' || m.xmin from pg_auth_members m
      union all select 's' || s.setrole || ' ' || s.setdatabase || ' ' || s.xmin
        from pg_db_role_setting s) parts),
  'role_writes', (select string_agg((pg_stat_get_tuples_inserted(t) + pg_stat_get_tuples_updated(t)
                                     + pg_stat_get_tuples_deleted(t))::text, ' ')
                  from unnest(array['pg_authid', 'pg_auth_members']::regclass[]) t),
  'trigger', 2 = (select count(*) from pg_event_trigger
                  where evtname in ('ringfence_catalog_ddl', 'ringfence_catalog_drop') and evtenabled in ('O', 'A'))
)::text
