-- What the database has, as one JSON document. Reads pg_catalog only, so any
-- login may run it; $1 is a JSON array of the names of the exposed schemas.
-- Works on Postgres 14 to 18: columns that came later are reached by to_jsonb.
with recursive
expose as materialized (
  select n.oid, e.position, n.nspname
  from json_array_elements_text($1::text::json) with ordinality as e (name, position)
  join pg_namespace n on n.nspname = e.name
  where n.nspname not in ('hdb_catalog', 'ringfence', 'information_schema')
    and n.nspname !~ '^pg_'
),
user_schema as materialized (
  select oid, nspname, nspowner, nspacl
  from pg_namespace
  where nspname !~ '^pg_' and nspname <> 'information_schema'
),
-- Members of extensions.
member as materialized (
  select d.classid, d.objid, x.extname
  from pg_depend d
  join pg_extension x on x.oid = d.refobjid
  where d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass
),
rel as materialized (
  select c.oid, c.relnamespace, c.relname, c.relkind, c.relowner, c.relispartition,
         c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relacl,
         s.nspname not in ('hdb_catalog', 'ringfence')
           and c.relname not in (
             'refinery_schema_history', 'schema_migrations', 'ar_internal_metadata',
             '_sqlx_migrations', '__diesel_schema_migrations', 'seaql_migrations',
             'flyway_schema_history', 'databasechangelog', 'databasechangeloglock',
             'knex_migrations', 'knex_migrations_lock', '_prisma_migrations', 'pgmigrations',
             'SequelizeMeta', 'kysely_migration', 'kysely_migration_lock',
             'mikro_orm_migrations', '__EFMigrationsHistory', 'alembic_version',
             'django_migrations', 'goose_db_version', 'phinxlog', 'gorp_migrations'
           ) as offered,
         e.position
  from pg_class c
  join user_schema s on s.oid = c.relnamespace
  left join expose e on e.oid = c.relnamespace
  left join member m on m.classid = 'pg_class'::regclass and m.objid = c.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and m.objid is null
    and c.relpersistence <> 't'
),
offered as materialized (select oid from rel where offered),
att as materialized (
  select a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef,
         a.attgenerated, a.attidentity, a.attacl
  from pg_attribute a
  join offered r on r.oid = a.attrelid
  where a.attnum > 0 and not a.attisdropped
),
-- current_setting, in both forms, and set_config: an expression tree that names
-- none reads and sets nothing by itself, so its text is not needed.
reader as materialized (
  select string_agg(':funcid ' || p.oid || ' ', '|') as pattern
  from pg_proc p
  where p.pronamespace = 'pg_catalog'::regnamespace
    and p.proname in ('current_setting', 'set_config', 'pg_show_all_settings', 'query_to_xml',
      'query_to_xmlschema', 'query_to_xml_and_xmlschema', 'cursor_to_xml', 'ts_stat', 'ts_rewrite')
      or p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^(table|schema|database)_to_xml'
),
-- What makes the rows of a view change while its tables do not.
restless as materialized (
  select string_agg(':funcid ' || p.oid || ' ', '|') || '|SQLVALUEFUNCTION|TABLESAMPLE|:relid ([0-9]{1,4}|1[0-5][0-9]{3}) ' as pattern
  from pg_proc p
  where p.pronamespace = 'pg_catalog'::regnamespace
    and (p.provolatile = 'v' and p.prorettype <> 'trigger'::regtype
      or p.proname in ('now', 'statement_timestamp', 'transaction_timestamp', 'age')
      or p.proname like 'pg\_%' and p.provolatile = 's' or p.proname like 'inet\_%')
),
-- Functions, and operators by their function, that objects depend on.
call as materialized (
  select d.classid, d.objid, case when d.refclassid = 'pg_proc'::regclass then d.refobjid else o.oprcode::oid end as func
  from pg_depend d
  left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
  where d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
    and d.classid in ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_attrdef'::regclass,
      'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass)
    and d.objid >= 16384
),
func as materialized (
  select p.oid, p.pronamespace, p.proname, p.proowner, p.prokind, p.provolatile, p.prosecdef,
         p.proretset, p.prorettype, p.prosrc, p.prosqlbody, p.proconfig, p.proacl, l.lanname,
         p.proargnames, p.proargtypes, p.proallargtypes, p.proargmodes, p.pronargdefaults,
         p.proargdefaults,
         -- Made by Postgres with the type; they only put values together.
         l.lanname = 'internal' and p.prosrc in ('range_constructor2', 'range_constructor3',
           'multirange_constructor0', 'multirange_constructor1', 'multirange_constructor2') as constructor,
         m.extname
  from pg_proc p
  join user_schema s on s.oid = p.pronamespace
  join pg_language l on l.oid = p.prolang
  left join member m on m.classid = 'pg_proc'::regclass and m.objid = p.oid
  where m.objid is null or p.oid in (select func from call)
),
-- Types of the columns and functions and what they are made of.
used (oid) as (
  select distinct atttypid from att
  union
  select part.oid
  from func f
  cross join lateral (
    select f.prorettype as oid
    union all select unnest(coalesce(f.proallargtypes, f.proargtypes::oid[]))
  ) part
  where f.extname is null
  union
  select part.oid
  from used u
  join pg_type t on t.oid = u.oid
  cross join lateral (
    select t.typbasetype as oid where t.typbasetype <> 0
    union all select t.typelem where t.typelem <> 0
    union all select a.atttypid from pg_attribute a
      where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    union all select g.rngsubtype from pg_range g where g.rngtypid = t.oid
  ) part
)
select json_build_object(
  'version', current_setting('server_version_num')::int,
  'database', current_database(),
  'login', (select r.oid from pg_roles r where r.rolname = session_user),
  'owner', (select d.datdba from pg_database d where d.datname = current_database()),
  'schemas', (
    select json_agg(json_build_object(
      'oid', s.oid, 'name', s.nspname, 'owner', s.nspowner,
      'acl', (select json_agg(json_build_array(a.grantee, a.privilege_type))
              from aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) a))
      order by s.oid)
    from user_schema s),
  'relations', (
    select json_agg(json_build_object(
      'oid', r.oid, 'schema', r.relnamespace, 'name', r.relname, 'kind', r.relkind,
      'owner', r.relowner, 'offered', r.offered, 'exposed', r.offered and r.position is not null,
      'partition', r.relispartition,
      'writable', case when r.relkind = 'v' then pg_relation_is_updatable(r.oid, true) end,
      'parent', case when r.relispartition then
        (select i.inhparent from pg_inherits i where i.inhrelid = r.oid) end,
      'rewrites', exists (
        select from pg_trigger t
        where t.tgrelid = r.oid and not t.tgisinternal and t.tgenabled <> 'D'
          -- BEFORE INSERT FOR EACH ROW
          and t.tgtype & 7 = 7),
      'rls', r.relrowsecurity, 'forced', r.relforcerowsecurity, 'options', r.reloptions,
      'comment', case when r.offered then d.description end,
      'acl', (select json_agg(json_build_array(a.grantee, a.privilege_type))
              from aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) a))
      order by r.position, r.relname)
    from rel r
    left join pg_description d
      on d.objoid = r.oid and d.classoid = 'pg_class'::regclass and d.objsubid = 0),
  'columns', (
    select json_agg(json_build_array(
      a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef,
      a.attgenerated, a.attidentity, d.description,
      case when a.attacl is not null then
        (select json_agg(json_build_array(x.grantee, x.privilege_type)) from aclexplode(a.attacl) x)
      end)
      order by a.attrelid, a.attnum)
    from att a
    left join pg_description d
      on d.objoid = a.attrelid and d.classoid = 'pg_class'::regclass and d.objsubid = a.attnum),
  'constraints', (
    select json_agg(json_build_object(
      'table', c.conrelid, 'name', c.conname, 'kind', c.contype, 'columns', c.conkey,
      'target', c.confrelid, 'target_columns', c.confkey,
      'on_delete', c.confdeltype, 'on_update', c.confupdtype)
      order by c.conrelid, c.conname)
    from pg_constraint c
    join offered r on r.oid = c.conrelid
    where c.contype in ('p', 'u', 'f')
      and (c.contype <> 'f' or c.conparentid = 0)
      and not coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false)),
  'indexes', (
    select json_agg(json_build_object(
      'table', i.indrelid, 'name', c.relname, 'unique', i.indisunique,
      'columns', (i.indkey::int2[])[0:i.indnkeyatts - 1],
      'partial', i.indpred is not null, 'method', m.amname, 'constraint', k.oid is not null)
      order by i.indrelid, c.relname)
    from pg_index i
    join offered r on r.oid = i.indrelid
    join pg_class c on c.oid = i.indexrelid
    join pg_am m on m.oid = c.relam
    left join pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
    where i.indisvalid),
  'policies', (
    select json_agg(json_build_object(
      'oid', p.oid, 'table', p.polrelid, 'name', p.polname, 'permissive', p.polpermissive,
      'command', p.polcmd, 'roles', p.polroles,
      'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
      'reads', (select json_agg(distinct d.refobjid) from pg_depend d
                where d.classid = 'pg_policy'::regclass and d.objid = p.oid
                  and d.refclassid = 'pg_class'::regclass
                  and (d.refobjid <> p.polrelid
                       or position(':relid ' || p.polrelid || ' ' in
                         coalesce(p.polqual::text, '') || coalesce(p.polwithcheck::text, '')) > 0)))
      order by p.polrelid, p.polname)
    from pg_policy p
    join rel r on r.oid = p.polrelid),
  'rules', (
    select json_agg(json_build_object(
      'oid', w.oid, 'table', w.ev_class, 'select', w.ev_type = '1',
      'reads', (select json_agg(distinct d.refobjid) from pg_depend d
                where d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
                  and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class),
      'object', case when w.ev_type = '1' then format('view %s', w.ev_class::regclass)
                else format('rule %I on %s', w.rulename, w.ev_class::regclass) end,
      'text', case when w.ev_action::text ~ (select pattern from reader)
                     or w.ev_action::text ~ (select pattern from restless)
                     or w.ev_qual::text ~ (select pattern from reader)
              then pg_get_ruledef(w.oid) end)
      order by w.oid)
    from pg_rewrite w
    join rel r on r.oid = w.ev_class),
  'expressions', (
    select json_agg(json_build_object('oid', e.oid, 'object', e.object, 'text', e.text, 'domain', e.domain) order by e.oid)
    from (
      select d.oid, pg_get_expr(d.adbin, d.adrelid) as text, false as domain,
             format('default of %s.%I', d.adrelid::regclass, a.attname) as object
      from pg_attrdef d
      join rel r on r.oid = d.adrelid
      join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
      where d.adbin::text ~ (select pattern from reader)
         or exists (select from call c where c.classid = 'pg_attrdef'::regclass and c.objid = d.oid)
      union all
      select k.oid, pg_get_expr(k.conbin, k.conrelid), k.contypid <> 0,
             format('constraint %I on %s', k.conname,
               case when k.conrelid <> 0 then k.conrelid::regclass::text else k.contypid::regtype::text end)
      from pg_constraint k
      where k.contype = 'c' and k.connamespace in (select oid from user_schema)
        and (k.conbin::text ~ (select pattern from reader)
          or k.contypid <> 0 and k.conbin::text ~ (select pattern from restless)
          or exists (select from call c where c.classid = 'pg_constraint'::regclass and c.objid = k.oid))
      union all
      select t.oid, pg_get_triggerdef(t.oid), false,
             format('trigger %I on %s', t.tgname, t.tgrelid::regclass)
      from pg_trigger t join rel r on r.oid = t.tgrelid
      where not t.tgisinternal
    ) e),
  'functions', (
    select json_agg(json_build_object(
      'oid', f.oid, 'schema', f.pronamespace, 'name', f.proname, 'owner', f.proowner,
      'arguments', pg_get_function_identity_arguments(f.oid), 'language', f.lanname,
      'kind', f.prokind, 'volatility', f.provolatile, 'definer', f.prosecdef,
      'set', f.proretset, 'returns', f.prorettype, 'extension', f.extname,
      'comment', obj_description(f.oid, 'pg_proc'), 'defaults', f.pronargdefaults,
      'default_text', pg_get_expr(f.proargdefaults, 0), 'constructor', f.constructor,
      'args', case when f.extname is null then
        (select json_agg(json_build_array(f.proargnames[a.n], a.type, coalesce(f.proargmodes[a.n], 'i'))
                order by a.n)
         from unnest(coalesce(f.proallargtypes, f.proargtypes::oid[])) with ordinality a (type, n)) end,
      'body', case when f.prosqlbody is not null then pg_get_function_sqlbody(f.oid)
                   when f.lanname in ('sql', 'plpgsql') then f.prosrc end,
      'config', f.proconfig,
      'acl', (select json_agg(json_build_array(a.grantee, a.privilege_type))
              from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a))
      order by f.oid)
    from func f),
  'calls', (
    select json_agg(json_build_array(c.objid, c.func) order by c.objid, c.func)
    from (select distinct objid, func from call where func >= 16384) c),
  -- What calls functions without naming them.
  'operators', (
    select json_agg(json_build_array(o.oprname, o.oprcode::oid, m.extname) order by o.oid)
    from pg_operator o
    left join member m on m.classid = 'pg_operator'::regclass and m.objid = o.oid
    where o.oid >= 16384 and o.oprcode <> 0),
  'casts', (
    select json_agg(c.castfunc order by c.oid)
    from pg_cast c
    left join member m on m.classid = 'pg_cast'::regclass and m.objid = c.oid
    where c.castfunc >= 16384 and m.objid is null),
  'extension_functions', (
    select json_object_agg(x.extname, x.names order by x.extname)
    from (select m.extname, json_agg(distinct p.proname) as names
          from member m join pg_proc p on m.classid = 'pg_proc'::regclass and p.oid = m.objid
          join pg_language l on l.oid = p.prolang
          where l.lanname <> 'internal'
          group by m.extname) x),
  'types', (
    select json_agg(json_build_object(
      'oid', t.oid, 'schema', n.nspname, 'name', t.typname, 'type', t.typtype,
      'category', t.typcategory, 'base', t.typbasetype, 'not_null', t.typnotnull,
      'relation', t.typrelid, 'delimiter', t.typdelim,
      'element', case when t.typelem <> 0 and e.typarray = t.oid then t.typelem else 0 end,
      'comment', d.description, 'extension', m.extname,
      'labels', case when t.typtype = 'e' then
        (select json_agg(l.enumlabel order by l.enumsortorder) from pg_enum l where l.enumtypid = t.oid) end,
      'fields', case when t.typtype = 'c' then
        (select json_agg(json_build_array(a.attname, a.atttypid) order by a.attnum)
         from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) end)
      order by t.oid)
    from used u
    join pg_type t on t.oid = u.oid
    join pg_namespace n on n.oid = t.typnamespace
    left join pg_type e on e.oid = t.typelem
    left join member m on m.classid = 'pg_type'::regclass and m.objid = t.oid
    left join pg_description d
      on d.objoid = t.oid and d.classoid = 'pg_type'::regclass and d.objsubid = 0),
  'roles', (
    select json_agg(json_build_object(
      'oid', r.oid, 'name', r.rolname, 'superuser', r.rolsuper, 'bypass', r.rolbypassrls,
      'login', r.rolcanlogin, 'inherit', r.rolinherit, 'replication', r.rolreplication,
      'create_role', r.rolcreaterole)
      order by r.oid)
    from pg_roles r),
  'memberships', (
    select json_agg(json_build_array(m.member, m.roleid,
      (to_jsonb(m) ->> 'inherit_option')::boolean, (to_jsonb(m) ->> 'set_option')::boolean)
      order by m.member, m.roleid, m.grantor)
    from pg_auth_members m),
  -- Settings for this database win over those for all.
  'role_settings', (
    select json_agg(json_build_array(s.setrole, s.setconfig) order by s.setdatabase, s.setrole)
    from pg_db_role_setting s
    where s.setrole <> 0
      and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database())))
)::text
