-- A small project tracker that several tenants share.
--
-- Every table has its tenant in every key that leads to it: a foreign key is
-- (tenant_id, id), so that a row can never point into another tenant, and
-- every index begins with the tenant, as every policy asks for it.

-- The database roles of requests. GraphQL's `user` and `admin` are mapped to
-- them in ringfence.toml.
do $$
begin
    if not exists (select from pg_roles where rolname = 'app_user') then
        create role app_user nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'app_admin') then
        create role app_admin nologin;
    end if;
end
$$;

create type user_role as enum ('member', 'admin');
create type project_status as enum ('planned', 'active', 'archived');
create type task_status as enum ('todo', 'doing', 'done');

create table tenants (
    id uuid primary key default gen_random_uuid(),
    name text not null,
    slug text not null unique,
    plan text not null default 'free',
    created_at timestamptz not null default now()
);
comment on table tenants is 'A customer: everything else belongs to one.';

create table users (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references tenants on delete cascade,
    name text not null,
    email text not null,
    role user_role not null default 'member',
    created_at timestamptz not null default now(),
    unique (tenant_id, id),
    unique (tenant_id, email)
);
comment on column users.email is 'Seen by the admins of the tenant only.';

create table projects (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references tenants on delete cascade,
    name text not null,
    description text,
    status project_status not null default 'planned',
    owner_id uuid not null,
    created_at timestamptz not null default now(),
    unique (tenant_id, id),
    foreign key (tenant_id, owner_id) references users (tenant_id, id)
);
create index on projects (tenant_id, owner_id);

create table tasks (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references tenants on delete cascade,
    project_id uuid not null,
    assignee_id uuid,
    title text not null,
    status task_status not null default 'todo',
    priority integer not null default 3 check (priority between 1 and 5),
    estimate numeric(6, 2),
    labels text[] not null default '{}',
    details jsonb not null default '{}',
    due_on date,
    created_at timestamptz not null default now(),
    unique (tenant_id, id),
    foreign key (tenant_id, project_id) references projects (tenant_id, id) on delete cascade,
    foreign key (tenant_id, assignee_id) references users (tenant_id, id)
);
comment on column tasks.priority is '1 is the most urgent.';
create index on tasks (tenant_id, project_id, status);
create index on tasks (tenant_id, assignee_id);

create table comments (
    id bigint generated always as identity primary key,
    tenant_id uuid not null references tenants on delete cascade,
    task_id uuid not null,
    author_id uuid not null,
    body text not null,
    created_at timestamptz not null default now(),
    foreign key (tenant_id, task_id) references tasks (tenant_id, id) on delete cascade,
    foreign key (tenant_id, author_id) references users (tenant_id, id)
);
create index on comments (tenant_id, task_id, created_at);
create index on comments (tenant_id, author_id);

-- The table of the policies in policies/posts.sql, as those who wrote them have it.
create table posts (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID NOT NULL,
    user_id UUID NOT NULL,
    title TEXT NOT NULL,
    content TEXT,
    created_at TIMESTAMPTZ DEFAULT NOW()
);
alter table posts add foreign key (tenant_id, user_id) references users (tenant_id, id);
create index on posts (tenant_id, user_id);

create table notes (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null,
    user_id uuid not null,
    title text not null,
    content text,
    created_at timestamptz not null default now(),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index on notes (tenant_id, user_id);
comment on table notes is 'Private: a user sees their own, an admin those of the tenant.';

grant usage on schema public to app_user, app_admin;

grant select on tenants, projects, tasks, comments to app_user;
grant select (id, tenant_id, name, role, created_at) on users to app_user;
grant insert, update on tasks to app_user;
grant insert, update, delete on comments to app_user;

grant select, insert, update, delete on users, projects, tasks, comments to app_admin;
grant select, update (name) on tenants to app_admin;

-- Deleting posts is granted and yet deletes nothing: no policy allows it.
grant select, insert, update, delete on posts, notes to app_user, app_admin;
