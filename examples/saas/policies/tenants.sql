-- Both roles see the one tenant of their session. `nullif` makes a session
-- without a tenant see nothing instead of failing, and the subselect lets
-- Postgres read the setting once per statement, not once per row.
alter table tenants enable row level security;

drop policy if exists tenant_select on tenants;
create policy tenant_select on tenants
    for select to app_user, app_admin
    using (id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));

drop policy if exists tenant_update on tenants;
create policy tenant_update on tenants
    for update to app_admin
    using (id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
