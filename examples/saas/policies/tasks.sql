-- Members work on every task of their tenant; only admins delete (app_user
-- has no such grant).
alter table tasks enable row level security;

drop policy if exists tasks_tenant on tasks;
create policy tasks_tenant on tasks
    for all to app_user, app_admin
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
