alter table projects enable row level security;

drop policy if exists projects_select on projects;
create policy projects_select on projects
    for select to app_user
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));

drop policy if exists projects_admin on projects;
create policy projects_admin on projects
    for all to app_admin
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
