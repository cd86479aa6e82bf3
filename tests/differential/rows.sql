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
insert into kinds (id, tenant_id, small, big, flag, label, state, count, key, exact, single, double, raw, span, doc, docb, numbers, net)
  select i, pg_temp.tenant(i), i % 7 - 3, (i % 5 - 2) * 4611686018427387903 - i % 2, i % 3 = 0,
    case when i % 4 <> 0 then 'label ' || i % 6 end,
    case when i % 5 <> 0 then (array['todo', 'doing', 'done'])[1 + i % 3]::task_status end,
    case when i % 2 = 0 then 1 + i % 3 end, md5((i % 9)::text)::uuid,
    i / 7.0, i / 3.0, i / 3.0, decode(md5(i::text), 'hex'), i * interval '1 hour 1 second',
    json_build_object('n', i, 'text', 'x "y" z'),
    (array['{"a": [1, null, {"b": "c d"}]}', '{"a": 1, "b": {"c": [1, 2, 3]}}', '[1, "x", {"y": 2}]', '"text"', '{}',
           '[[1, 2], [3]]'])[1 + i % 6]::jsonb,
    case when i % 6 <> 0 then array[i % 4, nullif(i % 5, 0), 2] end, '10.0.0.1'
  from generate_series(3, 25) i;
insert into "Select" ("order", tenant_id, "user")
  select i, pg_temp.tenant(i), 'user ' || i % 4 from generate_series(2, 20) i;
