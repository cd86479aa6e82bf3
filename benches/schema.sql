-- Ringfence benchmark schema: a multi-tenant SaaS with RLS, plus its data.
--
-- Run by setup as a superuser on an empty database:
--   psql -v tenants=200 -v users_per_tenant=100 -v projects_per_tenant=25 \
--        -v tasks_per_project=200 -v max_comments=6 -f schema.sql
-- All ids are md5-derived, so the same parameters always give the same data.
\set ON_ERROR_STOP on
\if :{?tenants} \else \set tenants 200 \endif
\if :{?users_per_tenant} \else \set users_per_tenant 100 \endif
\if :{?projects_per_tenant} \else \set projects_per_tenant 25 \endif
\if :{?tasks_per_project} \else \set tasks_per_project 200 \endif
\if :{?max_comments} \else \set max_comments 6 \endif
\set QUIET on
\timing on

CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

-- Roles ---------------------------------------------------------------------
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bench_owner') THEN
    CREATE ROLE bench_owner NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_user') THEN
    CREATE ROLE app_user NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD 'bench';
  END IF;
END $$;
GRANT app_user TO authenticator;
GRANT bench_owner TO CURRENT_USER;

DROP SCHEMA IF EXISTS app CASCADE;
CREATE SCHEMA app AUTHORIZATION bench_owner;
SET ROLE bench_owner;
SET search_path = app, public;

-- Tables --------------------------------------------------------------------
CREATE TYPE task_status AS ENUM ('todo', 'doing', 'review', 'done', 'dropped');

CREATE TABLE tenants (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  slug       text NOT NULL UNIQUE,
  name       text NOT NULL,
  plan       text NOT NULL DEFAULT 'free',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id  uuid NOT NULL REFERENCES tenants,
  email      text NOT NULL,
  name       text NOT NULL,
  avatar_url text,
  settings   jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE projects (
  id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id   uuid NOT NULL REFERENCES tenants,
  owner_id    uuid NOT NULL REFERENCES users,
  name        text NOT NULL,
  description text,
  archived    boolean NOT NULL DEFAULT false,
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tasks (
  id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id   uuid NOT NULL REFERENCES tenants,
  project_id  uuid NOT NULL REFERENCES projects,
  assignee_id uuid REFERENCES users,
  creator_id  uuid NOT NULL REFERENCES users,
  title       text NOT NULL,
  status      task_status NOT NULL DEFAULT 'todo',
  priority    int NOT NULL DEFAULT 3,
  estimate    numeric(6,1),
  is_private  boolean NOT NULL DEFAULT false,
  due_on      date,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE comments (
  id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id  uuid NOT NULL REFERENCES tenants,
  task_id    uuid NOT NULL REFERENCES tasks,
  author_id  uuid NOT NULL REFERENCES users,
  body       text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tags (
  id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES tenants,
  name      text NOT NULL,
  color     text NOT NULL
);

CREATE TABLE task_tags (
  tenant_id uuid NOT NULL REFERENCES tenants,
  task_id   uuid NOT NULL,
  tag_id    uuid NOT NULL,
  PRIMARY KEY (task_id, tag_id)
);

RESET ROLE;
SET search_path = app, public;

-- Data (inserted before indexes and foreign keys) ---------------------------
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';
SET session_replication_role = replica;   -- no FK triggers while loading

\echo tenants, users, projects, tags
INSERT INTO tenants
SELECT md5('tenant' || i)::uuid, 'tenant-' || i, 'Tenant ' || i,
       (ARRAY['free','team','business'])[1 + i % 3],
       timestamptz '2024-01-01 00:00:00+00' + i * interval '1 hour'
FROM generate_series(1, :tenants) i;

INSERT INTO users
SELECT md5('user' || t || '.' || u)::uuid, md5('tenant' || t)::uuid,
       'user' || u || '@tenant-' || t || '.example',
       (ARRAY['Ada','Grace','Alan','Edsger','Barbara','Donald','Frances','Ken','Leslie','Margaret'])[1 + u % 10]
         || ' ' || (ARRAY['Ng','Silva','Okafor','Berg','Kovacs','Haddad','Rossi','Tanaka'])[1 + (u / 10 + t) % 8] || ' ' || u,
       CASE WHEN u % 4 > 0 THEN 'https://cdn.example/avatars/' || md5('user' || t || '.' || u) || '.png' END,
       jsonb_build_object('theme', (ARRAY['dark','light'])[1 + u % 2], 'digest', u % 3 = 0, 'locale', (ARRAY['en','de','ja'])[1 + u % 3]),
       timestamptz '2024-01-02 00:00:00+00' + (t * 100 + u) * interval '17 minutes'
FROM generate_series(1, :tenants) t, generate_series(1, :users_per_tenant) u;

INSERT INTO projects
SELECT md5('project' || t || '.' || p)::uuid, md5('tenant' || t)::uuid,
       md5('user' || t || '.' || 1 + p % :users_per_tenant)::uuid,
       (ARRAY['Website','Mobile app','Billing','Search','Onboarding','Data lake','Support desk'])[1 + p % 7] || ' ' || p,
       'Everything about work stream ' || p || ' of tenant ' || t || ', with "quotes", tabs and ünïcödé.',
       p % 9 = 0,
       timestamptz '2024-02-01 00:00:00+00' + p * interval '13 hours' + t * interval '1 second'
FROM generate_series(1, :tenants) t, generate_series(1, :projects_per_tenant) p;

INSERT INTO tags
SELECT md5('tag' || t || '.' || g)::uuid, md5('tenant' || t)::uuid, 'tag-' || g, '#' || left(md5('color' || g), 6)
FROM generate_series(1, :tenants) t, generate_series(1, 20) g;

\echo tasks
-- Rows of all tenants arrive interleaved in time, as they do in production:
-- the outer loop is the task number, the inner one the tenant.
INSERT INTO tasks
SELECT md5('task' || t || '.' || p || '.' || k)::uuid, md5('tenant' || t)::uuid,
       md5('project' || t || '.' || p)::uuid,
       CASE WHEN h % 10 > 1 THEN md5('user' || t || '.' || 1 + (h / 16) % :users_per_tenant)::uuid END,
       md5('user' || t || '.' || 1 + (h / 4096) % :users_per_tenant)::uuid,
       (ARRAY['Fix','Write','Review','Design','Measure','Ship'])[1 + h % 6] || ' '
         || (ARRAY['the login page','invoices','a slow query','dark mode','the CSV export','tenant quotas','emails'])[1 + (h / 8) % 7]
         || ' #' || k,
       (enum_range(NULL::task_status))[1 + LEAST((h / 64) % 7, 4)],
       1 + (h / 512) % 5,
       CASE WHEN h % 5 > 0 THEN ((h / 1024) % 400) / 10.0 END,
       h % 20 = 0,
       CASE WHEN h % 3 > 0 THEN date '2024-06-01' + ((h / 2048) % 700) END,
       timestamptz '2024-03-01 00:00:00+00' + k * interval '61 minutes' + p * interval '1 minute' + t * interval '1 millisecond',
       timestamptz '2024-03-01 00:00:00+00' + k * interval '61 minutes' + (h % 90) * interval '1 day'
FROM generate_series(1, :tasks_per_project) k,
     generate_series(1, :projects_per_tenant) p,
     generate_series(1, :tenants) t,
     LATERAL (SELECT (hashtextextended(t || '.' || p || '.' || k, 42) & 2147483647)::int AS h) x;

\echo comments, task_tags
INSERT INTO comments
SELECT md5('comment' || id || c)::uuid, tenant_id, id,
       md5('user' || t || '.' || 1 + ((h / 32) + c * 7) % :users_per_tenant)::uuid,
       (ARRAY['Looks good to me.','Can we split this into two tasks? It feels too big for one sprint.',
              'Blocked by the "quota" change; see above.','Done, please review.',
              'I measured it: 40% faster on the nightly run, nothing else moved.'])[1 + (h / 8 + c) % 5],
       created_at + c * interval '3 hours'
FROM (SELECT id, tenant_id, created_at, substr(te.slug, 8)::int AS t,
             (hashtextextended(id::text, 7) & 2147483647)::int AS h
        FROM tasks JOIN (SELECT id AS tid, slug FROM tenants) te ON te.tid = tenant_id) x,
     LATERAL generate_series(1, h % (:max_comments + 1)) c;

INSERT INTO task_tags
SELECT DISTINCT tenant_id, id, md5('tag' || t || '.' || 1 + ((h / 64) + g * 3) % 20)::uuid
FROM (SELECT id, tenant_id, substr(te.slug, 8)::int AS t,
             (hashtextextended(id::text, 9) & 2147483647)::int AS h
        FROM tasks JOIN (SELECT id AS tid, slug FROM tenants) te ON te.tid = tenant_id) x,
     LATERAL generate_series(1, h % 3) g;

-- Indexes, all led by tenant_id (besides primary keys) ----------------------
\echo indexes
SET ROLE bench_owner;
CREATE UNIQUE INDEX users_tenant_email      ON users     (tenant_id, email);
CREATE INDEX projects_tenant_created        ON projects  (tenant_id, created_at DESC);
CREATE INDEX projects_tenant_owner          ON projects  (tenant_id, owner_id);
CREATE INDEX tasks_tenant_project_created   ON tasks     (tenant_id, project_id, created_at DESC);
CREATE INDEX tasks_tenant_status_created    ON tasks     (tenant_id, status, created_at DESC);
CREATE INDEX tasks_tenant_created           ON tasks     (tenant_id, created_at DESC);
CREATE INDEX tasks_tenant_assignee          ON tasks     (tenant_id, assignee_id, created_at DESC);
CREATE INDEX comments_tenant_task_created   ON comments  (tenant_id, task_id, created_at);
CREATE INDEX comments_tenant_author         ON comments  (tenant_id, author_id);
CREATE UNIQUE INDEX tags_tenant_name        ON tags      (tenant_id, name);
CREATE INDEX task_tags_tenant_tag           ON task_tags (tenant_id, tag_id);

-- Foreign keys of the join table (the others are inline above)
ALTER TABLE task_tags ADD FOREIGN KEY (task_id) REFERENCES tasks, ADD FOREIGN KEY (tag_id) REFERENCES tags;

-- Row-level security --------------------------------------------------------
-- app.tenant_id: the tenant; hasura.user.id: the user. Both are set per
-- transaction by the server from the verified token.
\echo policies
DO $$
DECLARE tbl text;
BEGIN
  FOREACH tbl IN ARRAY ARRAY['tenants','users','projects','tasks','comments','tags','task_tags'] LOOP
    EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', tbl);
    EXECUTE format('ALTER TABLE app.%I FORCE ROW LEVEL SECURITY', tbl);
  END LOOP;
END $$;

CREATE POLICY tenant_isolation ON tenants
  USING (id = current_setting('app.tenant_id', true)::uuid);
CREATE POLICY tenant_isolation ON users
  USING (tenant_id = current_setting('app.tenant_id', true)::uuid);
CREATE POLICY only_self ON users AS RESTRICTIVE FOR UPDATE
  USING (id = current_setting('hasura.user.id', true)::uuid);
CREATE POLICY tenant_isolation ON projects
  USING (tenant_id = current_setting('app.tenant_id', true)::uuid);
CREATE POLICY tenant_isolation ON tasks
  USING (tenant_id = current_setting('app.tenant_id', true)::uuid);
-- Private tasks are seen by their creator and assignee only.
CREATE POLICY private_tasks ON tasks AS RESTRICTIVE FOR SELECT
  USING (NOT is_private
         OR creator_id  = current_setting('hasura.user.id', true)::uuid
         OR assignee_id = current_setting('hasura.user.id', true)::uuid);
CREATE POLICY own_tasks ON tasks AS RESTRICTIVE FOR INSERT
  WITH CHECK (creator_id = current_setting('hasura.user.id', true)::uuid);
CREATE POLICY tenant_isolation ON comments
  USING (tenant_id = current_setting('app.tenant_id', true)::uuid);
CREATE POLICY own_comments ON comments AS RESTRICTIVE FOR INSERT
  WITH CHECK (author_id = current_setting('hasura.user.id', true)::uuid);
CREATE POLICY tenant_isolation ON tags
  USING (tenant_id = current_setting('app.tenant_id', true)::uuid);
CREATE POLICY tenant_isolation ON task_tags
  USING (tenant_id = current_setting('app.tenant_id', true)::uuid);

GRANT USAGE ON SCHEMA app TO app_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO app_user;
REVOKE INSERT, UPDATE, DELETE ON tenants FROM app_user;
RESET ROLE;
-- So that a server which introspects as `authenticator` may read the schema.
GRANT USAGE ON SCHEMA app TO authenticator;
ALTER DEFAULT PRIVILEGES FOR ROLE bench_owner IN SCHEMA app GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app_user;

\echo vacuum
VACUUM (ANALYZE, FREEZE);
SELECT relname, reltuples::bigint AS rows, pg_size_pretty(pg_total_relation_size(oid)) AS size
FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind = 'r' ORDER BY 2 DESC;
