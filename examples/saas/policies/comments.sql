-- Members read all comments of their tenant and write their own.
alter table comments enable row level security;

drop policy if exists comments_select on comments;
create policy comments_select on comments
    for select to app_user
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));

drop policy if exists comments_insert on comments;
create policy comments_insert on comments
    for insert to app_user
    with check (
        tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid)
        and author_id = (select nullif(current_setting('hasura.user.id', true), '')::uuid)
    );

drop policy if exists comments_update on comments;
create policy comments_update on comments
    for update to app_user
    using (
        tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid)
        and author_id = (select nullif(current_setting('hasura.user.id', true), '')::uuid)
    );

drop policy if exists comments_delete on comments;
create policy comments_delete on comments
    for delete to app_user
    using (
        tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid)
        and author_id = (select nullif(current_setting('hasura.user.id', true), '')::uuid)
    );

drop policy if exists comments_admin on comments;
create policy comments_admin on comments
    for all to app_admin
    using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
