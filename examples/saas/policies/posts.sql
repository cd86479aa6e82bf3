-- Four policies word for word from a handbook on multi-tenant backends. What
-- they really do, and what `ringfence doctor` says about them:
--
-- * SELECT: policies of one command are joined by OR, so every role sees its
--   whole tenant; the fourth policy adds nothing to the first.
-- * INSERT: into the own tenant under the own user only.
-- * UPDATE: own rows only. Without WITH CHECK the USING rule holds for the new
--   row too, so no row can change its tenant or its user.
-- * DELETE: there is no policy, so nothing is deleted.
-- * No TO: they hold for PUBLIC, that is for every role.
-- * The casts are bare: a session without tenant or user gets an error, not an
--   empty answer; the API turns it into `permission-error`.
-- * The settings are not wrapped in a subselect, so they are read per row.
--
-- policies/notes.sql is what one would write today.
drop policy if exists tenant_isolation_select on posts;
drop policy if exists tenant_isolation_insert on posts;
drop policy if exists user_update_own on posts;
drop policy if exists admin_select_all on posts;

ALTER TABLE posts ENABLE ROW LEVEL SECURITY;

-- Policy: Users can only see posts in their tenant
CREATE POLICY tenant_isolation_select ON posts
    FOR SELECT
    USING (tenant_id = current_setting('app.tenant_id', true)::uuid);

-- Policy: Users can only insert posts in their tenant
CREATE POLICY tenant_isolation_insert ON posts
    FOR INSERT
    WITH CHECK (
        tenant_id = current_setting('app.tenant_id', true)::uuid
        AND user_id = current_setting('hasura.user.id', true)::uuid
    );

-- Policy: Users can only update their own posts
CREATE POLICY user_update_own ON posts
    FOR UPDATE
    USING (
        tenant_id = current_setting('app.tenant_id', true)::uuid
        AND user_id = current_setting('hasura.user.id', true)::uuid
    );

-- Policy: Admin can see all posts in tenant
CREATE POLICY admin_select_all ON posts
    FOR SELECT
    USING (
        tenant_id = current_setting('app.tenant_id', true)::uuid
        AND current_setting('hasura.user.role', true) = 'admin'
    );
