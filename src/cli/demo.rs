//! The demo of `ringfence dev`: `examples/saas`, embedded.

use super::CliError;
use crate::pg::Pg;
use crate::sql::Ident;

/// Schema, policies and rows, in the order in which they are loaded.
const FILES: [(&str, &str); 9] = [
    ("schema.sql", include_str!("../../examples/saas/schema.sql")),
    ("policies/tenants.sql", include_str!("../../examples/saas/policies/tenants.sql")),
    ("policies/users.sql", include_str!("../../examples/saas/policies/users.sql")),
    ("policies/projects.sql", include_str!("../../examples/saas/policies/projects.sql")),
    ("policies/tasks.sql", include_str!("../../examples/saas/policies/tasks.sql")),
    ("policies/comments.sql", include_str!("../../examples/saas/policies/comments.sql")),
    ("policies/posts.sql", include_str!("../../examples/saas/policies/posts.sql")),
    ("policies/notes.sql", include_str!("../../examples/saas/policies/notes.sql")),
    ("data.sql", include_str!("../../examples/saas/data.sql")),
];

/// `[roles.map]` of the demo.
pub(super) const ROLES: &str = "user=app_user,admin=app_admin";

/// Someone of the demo for whom a token is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person {
    pub(super) tenant: &'static str,
    pub(super) tenant_id: &'static str,
    pub(super) name: &'static str,
    pub(super) user_id: &'static str,
    /// The GraphQL role.
    pub(super) role: &'static str,
    /// The variable of the token in `dev.env`.
    pub(super) variable: &'static str,
}

pub(super) const PEOPLE: [Person; 4] = [
    Person {
        tenant: "Acme",
        tenant_id: "a0000000-0000-4000-8000-000000000000",
        name: "Alan",
        user_id: "a0000000-0000-4000-8000-000000000002",
        role: "user",
        variable: "ACME_USER",
    },
    Person {
        tenant: "Acme",
        tenant_id: "a0000000-0000-4000-8000-000000000000",
        name: "Ada",
        user_id: "a0000000-0000-4000-8000-000000000001",
        role: "admin",
        variable: "ACME_ADMIN",
    },
    Person {
        tenant: "Globex",
        tenant_id: "b0000000-0000-4000-8000-000000000000",
        name: "Brian",
        user_id: "b0000000-0000-4000-8000-000000000002",
        role: "user",
        variable: "GLOBEX_USER",
    },
    Person {
        tenant: "Globex",
        tenant_id: "b0000000-0000-4000-8000-000000000000",
        name: "Barbara",
        user_id: "b0000000-0000-4000-8000-000000000001",
        role: "admin",
        variable: "GLOBEX_ADMIN",
    },
];

/// Loads the demo as the owner, in one transaction, and lets the login of
/// requests become its roles. `false` when its tables are there already.
pub(super) async fn load(pg: &Pg, authenticator: &str) -> Result<bool, CliError> {
    let tx = pg.begin_system("demo").await?;
    let there = tx.query_text("select to_regclass('public.tenants')::text", &[]).await?;
    if there.is_some() {
        return Ok(false);
    }
    for (name, sql) in FILES {
        tx.batch(sql).await.map_err(|cause| CliError::Demo { name, cause })?;
    }
    let login = Ident::new(authenticator)?;
    tx.batch(&format!("grant app_user, app_admin to {login}")).await?;
    tx.commit().await?;
    Ok(true)
}
