//! The schema of each role of the demo, as it is checked in under `graphql/`,
//! and one under the naming convention `graphql-default`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod harness;

use std::path::Path;

use harness::TestDb;
use ringfence::app::App;
use ringfence::session::{Authority, Proof, Session, SessionVars};

const DEMO: &str = concat!(
    include_str!("../examples/saas/schema.sql"),
    include_str!("../examples/saas/policies/tenants.sql"),
    include_str!("../examples/saas/policies/users.sql"),
    include_str!("../examples/saas/policies/projects.sql"),
    include_str!("../examples/saas/policies/tasks.sql"),
    include_str!("../examples/saas/policies/comments.sql"),
    include_str!("../examples/saas/policies/posts.sql"),
    include_str!("../examples/saas/policies/notes.sql"),
    include_str!("../examples/saas/data.sql"),
);

#[tokio::test]
async fn the_schemas_of_the_demo_are_as_recorded() {
    let db = TestDb::new(DEMO).await;
    let app = App::start(db.config(&[("mode", "development")])).await.expect("starts");
    for role in ["user", "admin"] {
        is_as_recorded(&app, Authority::Request, role, &format!("graphql/schema/{role}.graphql"));
    }
}

#[tokio::test]
async fn a_schema_under_graphql_default_is_as_recorded() {
    let sql = "create table app_users (user_id int primary key, user_name text not null, referred_by int references app_users);
        create table order_items (item_id int primary key, user_id int not null references app_users,
          unit_price float8, extra_data jsonb not null default '{}');";
    let db = TestDb::new(sql).await;
    let settings =
        [("mode", "development"), ("schema.default_naming_convention", "graphql-default")];
    let app = App::start(db.config(&settings)).await.expect("starts");
    is_as_recorded(&app, Authority::Admin, "admin", "tests/golden/graphql_default.graphql");
}

fn is_as_recorded(app: &App, authority: Authority, role: &str, file: &str) {
    let session = Session {
        role: role.into(),
        authority,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: None,
        user: None,
        claims: None,
        expires_at: None,
        revoked: None,
    };
    let sdl = app.engine.sdl(&session).expect("describes");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &sdl).expect("writes");
    }
    let recorded = std::fs::read_to_string(&path).ok();
    let current = recorded.as_deref() == Some(&sdl);
    assert!(current, "{file} is not current (UPDATE_GOLDEN=1 rewrites it)");
}
