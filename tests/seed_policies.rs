//! The demo's policies through [`SessionTx`], on fresh and on warm connections.
//!
//! `posts` has four policies word for word from elsewhere, written with bare
//! casts; `notes` beside it is narrower.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::collections::BTreeSet;
use std::sync::Arc;

use harness::TestDb;
use ringfence::pg::{Mode, Options, Pg, PgError, Statement, TextParam, TxContext};
use ringfence::session::settings::SettingsPlan;
use ringfence::session::{Authority, Proof, Session, SessionVars};

const ACME: &str = "a0000000-0000-4000-8000-000000000000";
const GLOBEX: &str = "b0000000-0000-4000-8000-000000000000";
const ADA: &str = "a0000000-0000-4000-8000-000000000001";
const ALAN: &str = "a0000000-0000-4000-8000-000000000002";
const BRIAN: &str = "b0000000-0000-4000-8000-000000000002";

struct Demo {
    db: TestDb,
    pg: Pg,
    settings: SettingsPlan,
}

impl Demo {
    async fn new(pool_size: usize) -> Self {
        let db = TestDb::new(concat!(
            include_str!("../examples/saas/schema.sql"),
            include_str!("../examples/saas/policies/tenants.sql"),
            include_str!("../examples/saas/policies/users.sql"),
            include_str!("../examples/saas/policies/projects.sql"),
            include_str!("../examples/saas/policies/tasks.sql"),
            include_str!("../examples/saas/policies/comments.sql"),
            include_str!("../examples/saas/policies/posts.sql"),
            include_str!("../examples/saas/policies/notes.sql"),
            include_str!("../examples/saas/data.sql"),
        ))
        .await;
        let mut options = Options::new(db.authenticator_url().parse().expect("a URL"));
        options.pool_size = pool_size;
        let pg = Pg::new(options).expect("a pool");
        let read: BTreeSet<String> = ["app.tenant_id", "hasura.user.id", "hasura.user.role"]
            .map(str::to_owned)
            .into_iter()
            .collect();
        let settings = SettingsPlan::new(&read, &pg.role_settings(&[]));
        Demo { db, pg, settings }
    }

    /// Runs a statement as a session; rows touched, or the error.
    async fn run(&self, who: &Who, sql: &str) -> Result<u64, PgError> {
        let session = who.session();
        let ctx = TxContext::new(&session, who.db_role(), &self.settings);
        let mut tx = self.pg.begin_as(&ctx, Mode::ReadWrite).await?;
        let touched = tx.execute(&Statement::new(sql, true), &[]).await?;
        tx.commit().await?;
        Ok(touched)
    }

    /// The first letters of the ids that a query gives, in order.
    async fn ids(&self, who: &Who, table: &str) -> Result<String, PgError> {
        let sql = format!(
            "select coalesce(json_agg(right(id::text, 3) || left(id::text, 1) order by id), '[]') from {table}"
        );
        let session = who.session();
        let ctx = TxContext::new(&session, who.db_role(), &self.settings);
        let bytes =
            self.pg.query_json(&ctx, &Statement::new(sql, true), &[] as &[TextParam]).await?;
        let ids: Vec<String> = serde_json::from_slice(&bytes).expect("a list");
        Ok(ids.join(" "))
    }
}

#[derive(Debug, Clone, Copy)]
struct Who {
    role: &'static str,
    tenant: Option<&'static str>,
    user: Option<&'static str>,
}

impl Who {
    fn new(role: &'static str, tenant: &'static str, user: &'static str) -> Self {
        Who { role, tenant: Some(tenant), user: Some(user) }
    }

    fn db_role(&self) -> &'static str {
        if self.role == "admin" { "app_admin" } else { "app_user" }
    }

    fn session(&self) -> Session {
        Session {
            role: Arc::from(self.role),
            authority: Authority::Request,
            proof: Proof::Token,
            backend: false,
            vars: SessionVars::new(),
            tenant: self.tenant.map(Arc::from),
            user: self.user.map(Arc::from),
            claims: None,
            expires_at: None,
            revoked: None,
        }
    }
}

fn sqlstate<T: std::fmt::Debug>(result: Result<T, PgError>) -> String {
    result.expect_err("must be refused").sqlstate().expect("from the database").to_owned()
}

const ACME_POSTS: &str = "200a 201a 202a";
const GLOBEX_POSTS: &str = "200b 201b";

#[tokio::test]
async fn any_role_sees_its_whole_tenant_and_no_other() {
    // With one connection, each session finds what the one before left behind.
    for pool_size in [1, 4] {
        let demo = Demo::new(pool_size).await;
        for round in 0..3 {
            for role in ["user", "admin"] {
                for (tenant, user, expected) in
                    [(ACME, ALAN, ACME_POSTS), (GLOBEX, BRIAN, GLOBEX_POSTS)]
                {
                    let who = Who::new(role, tenant, user);
                    let seen = demo.ids(&who, "posts").await.expect("answers");
                    assert_eq!(seen, expected, "{who:?}, round {round}, pool {pool_size}");
                }
            }
        }
    }
}

#[tokio::test]
async fn updates_touch_own_rows_only() {
    let demo = Demo::new(1).await;
    let update = "update posts set title = title || '!'";
    for _ in 0..2 {
        assert_eq!(demo.run(&Who::new("user", ACME, ALAN), update).await.expect("runs"), 1);
        assert_eq!(demo.run(&Who::new("admin", ACME, ADA), update).await.expect("runs"), 1);
        assert_eq!(demo.run(&Who::new("user", GLOBEX, BRIAN), update).await.expect("runs"), 1);
        // A user of one tenant under another tenant owns nothing there.
        assert_eq!(demo.run(&Who::new("user", GLOBEX, ALAN), update).await.expect("runs"), 0);
    }
    let changed = demo.db.psql(
        "select string_agg(right(id::text, 3), ' ' order by id) from posts where title like '%!!'",
    );
    assert_eq!(changed, Ok("200 201 201".to_owned()));
}

#[tokio::test]
async fn no_row_changes_its_tenant_or_owner() {
    let demo = Demo::new(1).await;
    let who = Who::new("user", ACME, ALAN);
    for sql in [
        format!("update posts set user_id = '{ADA}'"),
        format!("update posts set tenant_id = '{GLOBEX}'"),
        format!("update posts set tenant_id = '{GLOBEX}', user_id = '{BRIAN}'"),
    ] {
        assert_eq!(sqlstate(demo.run(&who, &sql).await), "42501", "{sql}");
    }
    assert_eq!(demo.ids(&who, "posts").await.expect("answers"), ACME_POSTS);
}

#[tokio::test]
async fn inserts_are_for_the_own_tenant_and_user() {
    let demo = Demo::new(1).await;
    let who = Who::new("user", ACME, ALAN);
    let insert = |tenant: &str, user: &str| {
        format!("insert into posts (tenant_id, user_id, title) values ('{tenant}', '{user}', 'x')")
    };
    assert_eq!(demo.run(&who, &insert(ACME, ALAN)).await.expect("runs"), 1);
    for (tenant, user) in [(ACME, ADA), (GLOBEX, ALAN), (GLOBEX, BRIAN)] {
        assert_eq!(sqlstate(demo.run(&who, &insert(tenant, user)).await), "42501");
    }
}

#[tokio::test]
async fn deletes_affect_no_rows() {
    let demo = Demo::new(1).await;
    for who in [Who::new("user", ACME, ALAN), Who::new("admin", ACME, ADA)] {
        assert_eq!(demo.run(&who, "delete from posts").await.expect("runs"), 0, "{who:?}");
    }
    assert_eq!(demo.db.psql("select count(*) from posts"), Ok("5".to_owned()));
}

#[tokio::test]
async fn a_session_without_tenant_or_user_gets_nothing() {
    for warm in [false, true] {
        let demo = Demo::new(1).await;
        if warm {
            let seen = demo.ids(&Who::new("user", ACME, ALAN), "posts").await;
            assert_eq!(seen.expect("answers"), ACME_POSTS);
        }
        let no_tenant = Who { role: "user", tenant: None, user: Some(ALAN) };
        let no_user = Who { role: "user", tenant: Some(ACME), user: None };
        let neither = Who { role: "admin", tenant: None, user: None };
        // The casts of these policies are bare: an error, and no rows.
        for who in [no_tenant, neither] {
            assert_eq!(sqlstate(demo.ids(&who, "posts").await), "22P02", "{who:?}, warm {warm}");
        }
        assert_eq!(demo.ids(&no_user, "posts").await.expect("answers"), ACME_POSTS);
        let update = "update posts set title = 'x'";
        assert_eq!(sqlstate(demo.run(&no_user, update).await), "22P02", "warm {warm}");
        assert_eq!(sqlstate(demo.run(&no_tenant, update).await), "22P02", "warm {warm}");
        // Guarded policies give nothing instead.
        for table in ["tenants", "projects", "tasks", "notes"] {
            for who in [no_tenant, neither] {
                let seen = demo.ids(&who, table).await.expect("answers");
                assert_eq!(seen, "", "{table}, {who:?}, warm {warm}");
            }
        }
        assert_eq!(demo.ids(&no_user, "notes").await.expect("answers"), "");
    }
}

#[tokio::test]
async fn notes_are_for_their_owner_and_the_admins_of_the_tenant() {
    let demo = Demo::new(1).await;
    for _ in 0..2 {
        for (who, expected) in [
            (Who::new("user", ACME, ALAN), "301a"),
            (Who::new("admin", ACME, ADA), "300a 301a 302a"),
            (Who::new("user", GLOBEX, BRIAN), "301b"),
            (Who::new("user", GLOBEX, ALAN), ""),
        ] {
            assert_eq!(demo.ids(&who, "notes").await.expect("answers"), expected, "{who:?}");
        }
    }
    let alan = Who::new("user", ACME, ALAN);
    let give = format!("update notes set user_id = '{ADA}'");
    assert_eq!(sqlstate(demo.run(&alan, &give).await), "42501");
    assert_eq!(demo.run(&alan, "delete from notes").await.expect("runs"), 1);
    let ada = Who::new("admin", ACME, ADA);
    assert_eq!(demo.run(&ada, "delete from notes").await.expect("runs"), 2);
    assert_eq!(demo.db.psql("select count(*) from notes"), Ok("2".to_owned()));
}

#[tokio::test]
async fn policies_can_be_applied_again() {
    let demo = Demo::new(1).await;
    let owner = demo.db.client_as(harness::OWNER).await;
    for sql in [
        include_str!("../examples/saas/policies/comments.sql"),
        include_str!("../examples/saas/policies/posts.sql"),
        include_str!("../examples/saas/policies/tenants.sql"),
    ] {
        owner.batch_execute(sql).await.expect("runs again");
    }
    let who = Who::new("user", ACME, ALAN);
    assert_eq!(demo.ids(&who, "posts").await.expect("answers"), ACME_POSTS);
}
