//! The schema of each role of the demo, as it is checked in under `graphql/`.

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
    let mut stale = Vec::new();
    for role in ["user", "admin"] {
        let session = Session {
            role: role.into(),
            authority: Authority::Request,
            proof: Proof::Token,
            backend: false,
            vars: SessionVars::new(),
            tenant: None,
            user: None,
            claims: None,
            expires_at: None,
        };
        let sdl = app.engine.sdl(&session).expect("describes");
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("graphql/schema/{role}.graphql"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &sdl).expect("writes");
        }
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&sdl) {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "not current (UPDATE_GOLDEN=1 rewrites them): {stale:?}");
}
