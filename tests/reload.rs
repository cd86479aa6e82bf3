//! The server follows its database: what DDL, grants, policies and memberships
//! change shows by itself, and no request fails meanwhile.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{TestDb, role_name};
use ringfence::app::App;
use ringfence::engine::{GraphqlRequest, GraphqlResponse};
use ringfence::session::{Authority, Proof, Session, SessionVars};

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// Far above what the server promises; a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMA: &str = "
create table items (id int primary key, tenant_id uuid not null, name text not null);
insert into items values (1, '11111111-1111-1111-1111-111111111111', 'one'),
  (2, '22222222-2222-2222-2222-222222222222', 'two');
alter table items enable row level security;
create policy tenant on items to app_user
  using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
create table later (id int primary key, note text);
insert into later values (7, 'shown later');
alter table later enable row level security;
create policy everyone on later to app_user using (true);
grant select on items to app_user;
";

fn session(role: &str) -> Session {
    Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: Some(TENANT.into()),
        user: Some("1".into()),
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

async fn ask(app: &App, role: &str, query: &str) -> GraphqlResponse {
    let request = GraphqlRequest { query: query.to_owned(), ..GraphqlRequest::default() };
    app.engine.execute(&session(role), request).await
}

fn shown(answer: &GraphqlResponse) -> String {
    match &answer.data {
        Some(data) => String::from_utf8(data.to_vec()).expect("UTF-8"),
        None => format!("{:?}", answer.errors),
    }
}

/// Asks until the answer holds `wanted`.
async fn until(app: &App, role: &str, query: &str, wanted: &str) {
    let started = Instant::now();
    loop {
        let answer = shown(&ask(app, role, query).await);
        if answer.contains(wanted) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{query} never showed {wanted}: {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn follows_changes(owner: impl Fn(&TestDb) -> String) {
    let db = TestDb::new(SCHEMA).await;
    let owner = owner(&db);
    let app =
        Arc::new(App::start(db.config(&[("database.owner_url", &owner)])).await.expect("starts"));
    let sql = db.client().await;
    // A stable query runs all the while and must never fail nor wait.
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let background = tokio::spawn({
        let (app, stop, asked) = (app.clone(), stop.clone(), asked.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = shown(&ask(&app, "user", "{ items { id name } }").await);
                assert_eq!(answer, r#"{"items":[{"id":1,"name":"one"}]}"#);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let run = async |statement: &str| sql.batch_execute(statement).await.expect("runs");

    until(&app, "user", "{ items { extra } }", "not found in type").await;
    run("alter table items add column extra int default 5").await;
    until(&app, "user", "{ items { extra } }", r#""extra":5"#).await;
    run("alter table items rename column extra to other").await;
    until(&app, "user", "{ items { other } }", r#""other":5"#).await;
    until(&app, "user", "{ items { extra } }", "not found in type").await;
    run("alter table items alter column other type text using other::text || '!'").await;
    until(&app, "user", "{ items { other } }", r#""other":"5!""#).await;
    run("comment on table items is 'Things.'").await;
    until(&app, "user", r#"{ __type(name: "items") { description } }"#, "Things.").await;

    until(&app, "user", "{ later { id } }", "not found in type").await;
    run("grant select (id) on later to app_user").await;
    until(&app, "user", "{ later { id } }", r#"{"id":7}"#).await;
    until(&app, "user", "{ later { note } }", "not found in type").await;
    run("revoke select (id) on later from app_user").await;
    until(&app, "user", "{ later { id } }", "not found in type").await;

    // A policy that reads a setting that nothing read before.
    run("alter policy everyone on later using (note = current_setting('hasura.user.id', true));
         grant select on later to app_user; insert into later values (8, '1')")
    .await;
    until(&app, "user", "{ later { id } }", r#"[{"id":8}]"#).await;

    run("create table fresh (id int primary key, item_id int references items)").await;
    run("grant select on fresh to app_user").await;
    until(&app, "user", "{ items { fresh { id } } }", r#""fresh":[]"#).await;
    run("drop table fresh").await;
    until(&app, "user", "{ fresh { id } }", "not found in type").await;

    // A role that did not exist; no event trigger tells of memberships.
    let role = role_name("reload");
    until(&app, &role, "{ items { id } }", "not found in type").await;
    run(&format!(
        "create role {role}; grant {role} to test_authenticator; grant select on items to {role};
         create policy reload on items to {role} using (true)"
    ))
    .await;
    until(&app, &role, "{ items(order_by: {id: asc}) { id } }", r#"[{"id":1}, {"id":2}]"#).await;
    run(&format!("revoke {role} from test_authenticator")).await;
    until(&app, &role, "{ items { id } }", "not found in type").await;
    run(&format!("drop policy reload on items; revoke all on items from {role}; drop role {role}"))
        .await;

    // A table whose policies stop binding the role is hidden: its owner without
    // FORCE sees every row.
    let own = role_name("reload_owner");
    run(&format!(
        "create role {own}; grant {own} to app_user; grant usage, create on schema public to {own};
         alter table later owner to {own}"
    ))
    .await;
    until(&app, "user", "{ later { id } }", "not found in type").await;
    run(&format!("alter table later owner to test_owner; drop owned by {own}; drop role {own}"))
        .await;
    until(&app, "user", "{ later { id } }", r#"[{"id":8}]"#).await;

    stop.store(true, Ordering::Relaxed);
    background.await.expect("no request failed");
    assert!(asked.load(Ordering::Relaxed) > 10, "requests ran meanwhile");
}

#[tokio::test]
async fn changes_show_where_an_event_trigger_tells_of_them() {
    follows_changes(TestDb::superuser_url).await;
}

#[tokio::test]
async fn changes_show_where_no_event_trigger_may_be_made() {
    follows_changes(TestDb::owner_url).await;
}

/// Postgres itself keeps plans that were made with rights that are gone.
#[tokio::test]
async fn warm_statements_follow_revoked_memberships_and_attributes() {
    let db = TestDb::new(SCHEMA).await;
    let owner = db.superuser_url();
    let app = App::start(db.config(&[("database.owner_url", &owner)])).await.expect("starts");
    let sql = db.client().await;
    let run = async |statement: &str| sql.batch_execute(statement).await.expect("runs");
    let (role, group) = (role_name("warm"), role_name("warm_group"));
    let query = "{ items(order_by: {id: asc}) { id } }";
    let both = r#"{"items":[{"id":1}, {"id":2}]}"#;
    run(&format!(
        "create role {role}; create role {group}; grant {role} to test_authenticator;
         grant select on items to {role}; create policy grouped on items to {group} using (true);
         grant {group} to {role}"
    ))
    .await;
    until(&app, &role, query, both).await;
    // Warm on every connection.
    for _ in 0..20 {
        assert_eq!(shown(&ask(&app, &role, query).await), both);
    }
    run(&format!("revoke {group} from {role}")).await;
    until(&app, &role, query, r#""items":[]"#).await;
    for _ in 0..20 {
        assert_eq!(shown(&ask(&app, &role, query).await), r#"{"items":[]}"#);
    }
    // A change that is taken back before anyone looks.
    run(&format!("alter role {role} bypassrls")).await;
    for _ in 0..20 {
        ask(&app, &role, "{ items(limit: 9) { id } }").await;
    }
    run(&format!("alter role {role} nobypassrls")).await;
    until(&app, &role, "{ items(limit: 9) { id } }", r#""items":[]"#).await;
    run(&format!("drop policy grouped on items; drop owned by {role}; drop role {role}, {group}"))
        .await;
}
