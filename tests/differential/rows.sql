-- More rows of both tenants: ties, nulls, texts that need care, and references
-- to rows of the other tenant.
create policy tenant_of_editors on users to app_editor
  using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
create policy tenant_of_editors on tasks to app_editor
  using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));

create function pg_temp.tenant(i int) returns uuid language sql as $$
  select case when i % 3 = 0 then '22222222-2222-2222-2222-222222222222'::uuid
              else '11111111-1111-1111-1111-111111111111'::uuid end $$;

insert into users
  select i, pg_temp.tenant(i),
    (array['Ada', 'alan', 'Zoë', 'O''Hara', 'a_b', '100%', 'back\slash', ''])[1 + i % 8],
    case when i % 4 <> 0 then 1 + i % 9 end
  from generate_series(5, 30) i;
insert into profiles
  select i, pg_temp.tenant(i), case when i % 2 = 0 then 'Bio of ' || i end
  from generate_series(5, 30, 2) i;
insert into tasks
  select i, pg_temp.tenant(i), 5 + (i * 7) % 26, case when i % 3 <> 1 then 1 + (i * 5) % 30 end,
    (array['Write', 'write "it"', 'Café', '100%', 'a_b', 'back\slash', 'it''s', E'tab\there', '日本', ''])[1 + i % 10] || ' ' || i,
    (array['todo', 'doing', 'done'])[1 + i % 3]::task_status,
    case when i % 5 <> 0 then 1 + i % 4 end,
    case when i % 4 <> 0 then (i % 6) * 1.25 - 2 end,
    case when i % 3 <> 0 then date '2024-01-01' + i % 7 end,
    timestamptz '2024-01-01 00:00:00+00' + (i % 5) * interval '1 hour'
  from generate_series(5, 70) i;
insert into comments
  select t.id, n, t.tenant_id,
    (select u.id from users u where u.tenant_id = t.tenant_id and (u.id + t.id) % 5 = n order by u.id limit 1),
    (array['First', 'second', 'Ünïcode', '50% _off_', 'C:\dir'])[1 + (t.id + n) % 5]
  from tasks t, generate_series(3, 3 + t.id % 3) n where t.id % 4 <> 0;
insert into kinds (id, tenant_id, small, big, flag, label, state, count, key, exact, single, double, raw, span, doc, docb, numbers,
    net, fixed, day, moment, local, clock, words, states, place, spot, period, bits, cash, words_of)
  select i, pg_temp.tenant(i), i % 7 - 3, (i % 5 - 2) * 4611686018427387903 - i % 2, i % 4 < 2,
    case when i % 4 <> 0 then 'label ' || i % 7 end,
    case when i % 5 <> 0 then (array['todo', 'doing', 'done'])[1 + i % 4]::task_status end,
    case when i % 2 = 0 then 1 + i % 3 end, md5((i % 7)::text)::uuid,
    i / 7.0, i % 5 / 3.0, i % 5 / 3.0, decode(md5((i % 7)::text), 'hex'), i % 8 * interval '1 hour 1 second',
    json_build_object('n', i, 'text', 'x "y" z'),
    (array['{"a": [1, null, {"b": "c d"}]}', '{"a": 1, "b": {"c": [1, 2, 3]}}', '[1, "x", {"y": 2}]', '"text"', '{}',
           '[[1, 2], [3]]'])[1 + i % 7]::jsonb,
    case when i % 7 <> 0 then array[i % 4, nullif(i % 5, 0), 2] end,
    ('10.0.0.' || i % 4 || case when i % 2 = 0 then '/24' else '' end)::inet,
    (array['ab', 'AB c', 'b_', '%', '', 'cd', null])[1 + i % 7], date '2024-01-01' + i % 5,
    timestamptz '2024-01-01 00:00:00+00' + i % 4 * interval '1 hour',
    timestamp '2024-01-01 00:00:00' + i % 4 * interval '1 day', time '10:00' + i % 4 * interval '1 hour',
    (array['{"a b", "c\"d"}', '{a}', '{a, NULL}', '{"NULL", "{}", ""}', '{}', null])[1 + i % 7]::text[],
    (array['{todo}', '{todo, done}', '{}', '{doing, NULL}', null])[1 + i % 5]::task_status[],
    case when i % 5 <> 0 then row((array['Main', 'A "b", c', '', null])[1 + i % 4], i % 4)::address end, point(i, 1),
    (array['[1,5)', 'empty', '[3,4)', '(,3)', '[2,)', null])[1 + i % 7]::int4range,
    (array['10101', '1', '', '0110', null])[1 + i % 5]::bit varying(8), (i % 4 * 6.17)::numeric::money,
    (array['fat cat', 'rat', '', '''a b'':1', null])[1 + i % 5]::tsvector
  from generate_series(3, 40) i;
insert into "Select" ("order", tenant_id, "user")
  select i, pg_temp.tenant(i), 'user ' || i % 4 from generate_series(2, 20) i;

-- Types of extensions, which stand in a schema of their own as managed
-- services have them: paths of labels, texts without case, places and rasters.
create schema gis;
grant usage on schema gis to public;
create extension ltree schema gis;
create extension citext schema gis;
create extension postgis schema gis;
create extension postgis_raster schema gis;
set search_path = public, gis;
create table sites (
  id int primary key,
  tenant_id uuid not null,
  owner_id int references users,
  parent_id int references sites,
  path ltree, nick citext, spot geography, area geometry, tile raster,
  height double precision, width double precision, open boolean
);
alter table sites owner to test_owner;
insert into sites
  select i, pg_temp.tenant(i), 5 + (i * 5) % 26, case when i > 4 and i % 6 <> 0 then i - 1 - i % 4 end,
    (array['top', 'top.a', 'top.a.b', 'top.a.b.c_d', 'Top.A', 'top.other', '_x.y_z.0', 'a.a.a.a',
           'top.foo_bar_baz.b', 'top.foo_barbaz', '', repeat('long', 40) || '.b', '12.3.top', null])[1 + i % 14]::ltree,
    (array['Ada', 'ADA', 'ada b', 'Zoe_%', '', 'bob', null])[1 + i % 7]::citext,
    (array['POINT(13.4 52.5)', 'POINT(13.5 52.5)', 'LINESTRING(13 52, 14 53)', 'POINT(-179.9 0)', 'POINT(179.9 0)',
           'POLYGON((13 52, 14 52, 14 53, 13 53, 13 52))', 'POINT EMPTY', 'MULTIPOINT(13.4 52.5, 0 0)', 'POINT(13.4 52.5 100)',
           'POINT(2 2)', null])[1 + i % 11]::geography,
    ('SRID=4326;' || (array[
      'POLYGON((0 0, 4 0, 4 4, 0 4, 0 0))', 'LINESTRING(-1 2, 5 2)', 'POINT(2 2)', 'POLYGON((4 0, 8 0, 8 4, 4 4, 4 0))',
      'POLYGON((2 2, 6 2, 6 6, 2 6, 2 2))', 'POINT EMPTY', 'POLYGON EMPTY', 'POINT(2 2 5)', 'LINESTRING(0 0 0, 4 4 4)',
      'POLYGON((0 0 1, 4 0 1, 4 4 1, 0 4 1, 0 0 1))', 'MULTIPOINT(1 1, 2 2)', 'MULTILINESTRING((0 0, 1 1), (2 2, 3 3))',
      'MULTIPOLYGON(((0 0, 1 0, 1 1, 0 1, 0 0)), ((2 2, 3 2, 3 3, 2 3, 2 2)))', 'POINT(0.1 0.30000000000000004)',
      'POLYGON((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 3 1, 3 3, 1 3, 1 1))', 'GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))',
      null])[1 + i % 17])::geometry,
    -- The second band of some has no data; one has no band, one no width.
    case i % 7
      when 0 then null
      when 5 then st_makeemptyraster(4, 4, 0, 4, 1, -1, 0, 0, 4326)
      when 6 then st_makeemptyraster(0, 0, 0, 0, 1, -1, 0, 0, 4326)
      else st_addband(
        st_addband(st_makeemptyraster(2 + i % 3, 2, i % 7 * 2 - 2, 4, 1, -1, 0, 0, 4326), '8BUI'::text, 1, 0),
        '8BUI'::text, i % 2, 0)
    end,
    case when i % 5 <> 0 then (i % 7) * 0.5 end, case when i % 4 <> 0 then (i % 8) * 0.25 end,
    case when i % 7 <> 0 then i % 5 < 2 end
  from generate_series(1, 70) i;
reset search_path;
alter table sites enable row level security;
alter table sites force row level security;
create policy tenant on sites to app_user
  using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
create policy tenant_of_editors on sites to app_editor
  using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
grant select on sites to app_user;
grant select (id, path, area, owner_id, open) on sites to app_editor;
