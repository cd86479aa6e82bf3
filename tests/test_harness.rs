//! What tests rely on: databases apart, roles with settings, leftovers gone.

mod harness;

use harness::{TestDb, Token};

const SCHEMA: &str = "
    create table notes (tenant_id text not null, body text not null);
    alter table notes enable row level security;
    create policy tenant on notes to app_user
        using (tenant_id = current_setting('app.tenant_id', true));
    grant select on notes to app_user;
    insert into notes values ('a', 'of a'), ('b', 'of b''s');
";

#[tokio::test]
async fn databases_are_apart_and_dropped() {
    let (one, two) = (TestDb::new(SCHEMA).await, TestDb::new(SCHEMA).await);
    one.client().await.batch_execute("delete from notes").await.expect("deletes");
    assert_eq!(one.psql("select count(*) from notes"), Ok("0".to_owned()));
    assert_eq!(two.psql("select count(*) from notes"), Ok("2".to_owned()));
    let sql = format!("select count(*) from pg_database where datname = '{}'", one.name());
    drop(one);
    assert_eq!(two.psql(&sql), Ok("0".to_owned()));
}

#[tokio::test]
async fn psql_runs_under_a_role_with_settings() {
    let db = TestDb::new(SCHEMA).await;
    let see =
        |tenant| db.psql_as("app_user", &[("app.tenant_id", tenant)], "select body from notes");
    assert_eq!(see("a"), Ok("of a".to_owned()));
    assert_eq!(see("b"), Ok("of b's".to_owned()));
    assert_eq!(see("it's another"), Ok(String::new()));
    let refused = db.psql_as("app_anon", &[], "select body from notes").expect_err("no grant");
    assert!(refused.contains("permission denied"), "{refused}");
}

#[tokio::test]
async fn the_login_of_requests_has_no_rights_of_its_own() {
    let db = TestDb::new(SCHEMA).await;
    let client = db.client_as(harness::AUTHENTICATOR).await;
    client.query("select * from notes", &[]).await.expect_err("no rights");
    client.batch_execute("set role app_user").await.expect("may set the role");
    assert!(client.query("select * from notes", &[]).await.expect("may read").is_empty());
    let owner = db.client_as(harness::OWNER).await;
    owner.batch_execute("create table more (id int primary key)").await.expect("owns");
}

#[test]
fn tokens_carry_their_claims() {
    let token = Token::new("user").tenant("t").user("u").mint();
    assert_eq!(token.split('.').count(), 3);
}
