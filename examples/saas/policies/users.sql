alter table users enable row level security;

drop policy if exists users_select on users;
create policy users_select on users
    for select to app_user
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));

drop policy if exists users_admin on users;
create policy users_admin on users
    for all to app_admin
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
