-- Two tenants, every kind of relationship, and one table of many types.
create type task_status as enum ('todo', 'doing', 'done');
create domain positive as int check (value > 0);
create type address as (street text, zip int);

create table tenants (
  id uuid primary key,
  name text not null
);
comment on table tenants is 'Who pays.';

create table users (
  id int not null,
  tenant_id uuid not null references tenants,
  name text not null,
  manager_id int,
  primary key (id),
  unique (tenant_id, id),
  foreign key (manager_id) references users
);

create table profiles (
  user_id int primary key references users,
  tenant_id uuid not null,
  bio text
);

create table tasks (
  id int primary key,
  tenant_id uuid not null references tenants,
  owner_id int not null references users,
  reviewer_id int references users,
  title text not null,
  status task_status not null default 'todo',
  points positive,
  estimate numeric(20, 6),
  due_on date,
  created_at timestamptz not null default '2024-01-01 00:00:00+00'
);
comment on column tasks.title is 'What to do.';

create table comments (
  task_id int not null references tasks,
  n int not null,
  tenant_id uuid not null,
  author_id int,
  body text not null,
  primary key (task_id, n),
  foreign key (tenant_id, author_id) references users (tenant_id, id)
);

create table kinds (
  id int primary key,
  tenant_id uuid not null,
  "small" smallint, "big" bigint, "exact" numeric, "single" real, "double" double precision,
  "flag" boolean, "label" varchar(20), "fixed" char(5), "raw" bytea,
  "day" date, "moment" timestamptz, "local" timestamp, "clock" time, "span" interval,
  "doc" json, "docb" jsonb, "numbers" int[], "words" text[], "state" task_status,
  "states" task_status[], "place" address, "net" inet, "spot" point, "period" int4range,
  "bits" bit varying(8), "cash" money, "key" uuid, "words_of" tsvector, "count" positive
);

create table "odd ""table" (id int primary key, tenant_id uuid not null);
create table "Select" (
  "order" int primary key,
  tenant_id uuid not null,
  "Group By" text,
  "naïve" text,
  "user" text not null,
  "__hidden" text
);
create table hidden (id int primary key, secret text);

create view open_tasks with (security_invoker = true) as
  select id, title, owner_id from tasks where status <> 'done';

insert into tenants values
  ('11111111-1111-1111-1111-111111111111', 'Acme'),
  ('22222222-2222-2222-2222-222222222222', 'Globex');
insert into users values
  (1, '11111111-1111-1111-1111-111111111111', 'Ada', null),
  (2, '11111111-1111-1111-1111-111111111111', 'Alan', 1),
  (3, '11111111-1111-1111-1111-111111111111', 'Grace', 1),
  (4, '22222222-2222-2222-2222-222222222222', 'Mallory', null);
insert into profiles values
  (1, '11111111-1111-1111-1111-111111111111', 'Counts.'),
  (4, '22222222-2222-2222-2222-222222222222', 'Listens.');
insert into tasks values
  (1, '11111111-1111-1111-1111-111111111111', 1, 2, 'Write the engine', 'doing', 5, 12.500000, '2024-05-01', '2024-01-01 10:00:00+00'),
  (2, '11111111-1111-1111-1111-111111111111', 2, null, 'Read the "notes"', 'todo', 3, null, null, '2024-01-02 10:00:00+00'),
  (3, '11111111-1111-1111-1111-111111111111', 3, 1, 'Café 100%', 'done', null, 99999999999999.123456, '2023-12-31', '2024-01-03 10:00:00+00'),
  (4, '22222222-2222-2222-2222-222222222222', 4, null, 'Globex secret', 'todo', 1, 1, '2024-05-01', '2024-01-01 10:00:00+00');
insert into comments values
  (1, 1, '11111111-1111-1111-1111-111111111111', 2, 'First'),
  (1, 2, '11111111-1111-1111-1111-111111111111', 3, 'Second'),
  (2, 1, '11111111-1111-1111-1111-111111111111', null, 'Anonymous'),
  (4, 1, '22222222-2222-2222-2222-222222222222', 4, 'Globex comment');
insert into kinds values
  (1, '11111111-1111-1111-1111-111111111111', -32768, 9223372036854775807,
   123456789012345678901234567890.12345678901234567890, 1.5, 0.1, true, 'label', 'ab', '\xdeadbeef',
   '2024-02-29', '2024-02-29 12:00:00+02', '2024-02-29 12:00:00', '12:34:56.789', '1 day 02:03:04',
   '{"b": 1,  "a": 2}', '{"b": 1,  "a": 2}', '{1,2,NULL}', '{"a b","c\"d"}', 'doing',
   '{todo,done}', row('Main', 12345), '10.0.0.0/8', '(1,2)', '[1,5)', '10101', 12.34,
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'fat cat', 7),
  (2, '11111111-1111-1111-1111-111111111111', null, null, 'NaN', 'Infinity', '-Infinity', false, null,
   null, null, 'infinity', '-infinity', null, null, null, null, null, '{}', '{}', null, '{}', null,
   null, null, 'empty', null, null, null, null, null);
insert into "odd ""table" values (1, '11111111-1111-1111-1111-111111111111');
insert into "Select" values (1, '11111111-1111-1111-1111-111111111111', 'x', 'y', 'z', 'w');
insert into hidden values (1, 'nobody sees this');

do $$
declare t text;
begin
  foreach t in array array['users','profiles','tasks','comments','kinds','odd "table','Select'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format($p$create policy tenant on %I to app_user
      using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid))$p$, t);
  end loop;
end $$;
alter table tenants enable row level security;
alter table tenants force row level security;
create policy tenant on tenants to app_user
  using (id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));

grant usage on schema public to app_user, app_editor;
grant select on tenants, users, profiles, tasks, comments, kinds, "odd ""table", "Select", open_tasks to app_user;
-- A role that sees fewer columns and no key of tasks.
grant select (title, status, owner_id) on tasks to app_editor;
grant select (id, name) on users to app_editor;
