-- Own rows, or all rows of the tenant for its admins.
alter table notes enable row level security;

drop policy if exists notes_own on notes;
create policy notes_own on notes
    for all to app_user
    using (
        tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid)
        and user_id = (select nullif(current_setting('hasura.user.id', true), '')::uuid)
    );

drop policy if exists notes_tenant on notes;
create policy notes_tenant on notes
    for all to app_admin
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
