//! `@cached`: who gets the answer of whom, for how long, and what is never kept.
//!
//! Whether an answer was kept shows when the rows change below it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "../harness/mod.rs"]
mod harness;
mod headers;
mod redis;
#[path = "../served/mod.rs"]
mod served;

use std::time::{Duration, Instant};

use harness::TestDb;
use ringfence::app::App;
use ringfence::engine::{GraphqlRequest, GraphqlResponse};
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;

const SCHEMA: &str = "
-- Its policy asks the tenant only.
create table notes (id int primary key, tenant_id text not null, body text not null);
insert into notes values (1, 'a', 'old of a'), (2, 'b', 'old of b');
alter table notes enable row level security;
create policy tenant on notes to app_user, app_editor
  using (tenant_id = (select current_setting('app.tenant_id', true)));

-- Tenant and user.
create table drafts (id int primary key, tenant_id text not null, owner text not null, body text not null);
insert into drafts values (1, 'a', '1', 'old of 1'), (2, 'a', '2', 'old of 2');
alter table drafts enable row level security;
create policy own on drafts to app_user
  using (tenant_id = current_setting('app.tenant_id', true) and owner = current_setting('hasura.user.id', true));

-- A claim of its own.
create table regions (id int primary key, region text not null, body text not null);
insert into regions values (1, 'n', 'old of n'), (2, 's', 'old of s');
alter table regions enable row level security;
create policy region on regions to app_user
  using (region = nullif(current_setting('hasura.x_hasura_region', true), ''));

-- A member may leave at any time.
create table members (tenant_id text, user_id text);
insert into members values ('a', '1');
create table shared (id int primary key, tenant_id text not null, body text not null);
insert into shared values (1, 'a', 'old');
alter table members enable row level security;
create policy everyone on members to app_user using (true);
alter table shared enable row level security;
create policy member on shared to app_user using (exists (
  select from members m where m.tenant_id = shared.tenant_id and m.user_id = current_setting('hasura.user.id', true)));
create function is_member(tenant text) returns boolean language sql stable as
  $$ select exists (select from members where tenant_id = tenant and user_id = current_setting('hasura.user.id', true)) $$;
create table asked (id int primary key, tenant_id text not null, body text not null);
insert into asked values (1, 'a', 'old');
alter table asked enable row level security;
create policy member on asked to app_user using (is_member(tenant_id));

-- Until some moment, or from some address.
create table timed (id int primary key, until timestamptz not null, body text not null);
insert into timed values (1, 'infinity', 'old');
alter table timed enable row level security;
create policy timed on timed to app_user using (until > now());
create table dated (id int primary key, until date not null, body text not null);
insert into dated values (1, 'infinity', 'old');
alter table dated enable row level security;
create policy dated on dated to app_user using (until >= current_date);
create table placed (id int primary key, body text not null);
insert into placed values (1, 'old');
alter table placed enable row level security;
create policy placed on placed to app_user
  using (inet_client_addr() is null or inet_client_addr() = '127.0.0.1' or body <> '');

-- A setting that no session has.
create table flagged (id int primary key, body text not null);
insert into flagged values (1, 'old');
alter table flagged enable row level security;
create policy flagged on flagged to app_user using (coalesce(current_setting('site.flag', true), '') <> 'off');

-- Functions.
create function steady_notes() returns setof notes language sql stable as $$ select * from notes $$;
create function volatile_notes() returns setof notes language sql volatile as $$ select * from notes $$;
create function chance(note notes) returns float8 language sql stable as $$ select random() $$;
create view lottery as select id, body, random() as luck from notes;
alter view lottery set (security_invoker = true);
create view plain with (security_invoker = true) as select id, body from notes;

grant select on notes, drafts, regions, members, shared, asked, timed, dated, placed, flagged,
  lottery, plain to app_user;
grant select on notes to app_editor;
";

fn of(role: &str, tenant: &str, user: &str) -> Session {
    Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::from([
            ("x-hasura-tenant-id".to_owned(), tenant.to_owned()),
            ("x-hasura-user-id".to_owned(), user.to_owned()),
        ]),
        tenant: Some(tenant.into()),
        user: Some(user.into()),
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

async fn ask_with(
    app: &App,
    session: &Session,
    query: &str,
    variables: Option<&str>,
) -> GraphqlResponse {
    let variables = variables.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    let request =
        GraphqlRequest { query: query.to_owned(), variables, ..GraphqlRequest::default() };
    app.engine.execute(session, request).await
}

fn shown(answer: &GraphqlResponse) -> String {
    match &answer.data {
        Some(data) => String::from_utf8(data.to_vec()).unwrap(),
        None => answer.errors.iter().map(|e| format!("{} at {}", e.message, e.path)).collect(),
    }
}

async fn ask(app: &App, session: &Session, query: &str) -> String {
    shown(&ask_with(app, session, query, None).await)
}

struct Server {
    _db: TestDb,
    sql: tokio_postgres::Client,
    app: App,
}

/// Nothing in the database asks for anything but the tenant.
const TENANTS: &str = "
create table notes (id int primary key, tenant_id text not null, body text not null);
insert into notes values (1, 'a', 'old of a'), (2, 'b', 'old of b');
alter table notes enable row level security;
create policy tenant on notes to app_user, app_editor
  using (tenant_id = (select current_setting('app.tenant_id', true)));
grant select on notes to app_user, app_editor;
";

async fn start(settings: &[(&str, &str)]) -> Server {
    start_on(SCHEMA, settings).await
}

async fn start_on(schema: &str, settings: &[(&str, &str)]) -> Server {
    let db = TestDb::new(schema).await;
    let mut all = vec![("roles.map", "user=app_user,editor=app_editor,reader=app_user")];
    all.extend(settings);
    let app = App::start(db.config(&all)).await.expect("starts");
    Server { sql: db.client().await, _db: db, app }
}

impl Server {
    async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.expect("runs");
    }

    /// Every body says `new` from now on.
    async fn renew(&self) {
        for table in
            ["notes", "drafts", "regions", "shared", "asked", "timed", "dated", "placed", "flagged"]
        {
            self.run(&format!("update {table} set body = replace(body, 'old', 'new')")).await;
        }
    }
}

const NOTES: &str = "query @cached { notes { body } }";

#[tokio::test]
async fn an_answer_is_kept_for_those_who_see_the_same() {
    let server = start_on(TENANTS, &[]).await;
    let app = &server.app;
    for (tenant, user, body) in [("a", "1", "old of a"), ("b", "1", "old of b")] {
        let expected = format!(r#"{{"notes":[{{"body":"{body}"}}]}}"#);
        assert_eq!(ask(app, &of("user", tenant, user), NOTES).await, expected);
    }
    server.run("update notes set body = replace(body, 'old', 'new')").await;
    // Another user of the tenant sees the same rows by the same policy; a
    // tenant never sees another's.
    assert_eq!(ask(app, &of("user", "a", "2"), NOTES).await, r#"{"notes":[{"body":"old of a"}]}"#);
    assert_eq!(ask(app, &of("user", "b", "2"), NOTES).await, r#"{"notes":[{"body":"old of b"}]}"#);
    assert_eq!(ask(app, &of("user", "c", "1"), NOTES).await, r#"{"notes":[]}"#);
    assert_eq!(ask(app, &of("user", "", "1"), NOTES).await, r#"{"notes":[]}"#);
    // Without the directive, and for another role of the same database role.
    assert_eq!(
        ask(app, &of("user", "a", "1"), "{ notes { body } }").await,
        r#"{"notes":[{"body":"new of a"}]}"#
    );
    for role in ["editor", "reader"] {
        assert_eq!(
            ask(app, &of(role, "a", "1"), NOTES).await,
            r#"{"notes":[{"body":"new of a"}]}"#,
            "{role}"
        );
    }
    let stats = app.engine.response_cache_stats();
    assert_eq!((stats.hits, stats.misses, stats.failures), (2, 6, 0));
    // As what the document says the same differently.
    let renamed = "query Other @cached(ttl: 30) { notes { body } }";
    assert_eq!(
        ask(app, &of("user", "a", "1"), renamed).await,
        r#"{"notes":[{"body":"old of a"}]}"#
    );
}

#[tokio::test]
async fn whoever_the_policies_tell_apart_shares_nothing() {
    let server = start(&[]).await;
    let app = &server.app;
    let drafts = "query @cached { drafts { body } }";
    let regions = "query @cached { regions { body } }";
    let mut north = of("user", "a", "1");
    north.vars.insert("x-hasura-region".to_owned(), "n".to_owned());
    let mut south = of("user", "a", "1");
    south.vars.insert("x-hasura-region".to_owned(), "s".to_owned());
    for again in ["old", "new"] {
        for user in ["1", "2"] {
            assert_eq!(
                ask(app, &of("user", "a", user), drafts).await,
                format!(r#"{{"drafts":[{{"body":"old of {user}"}}]}}"#),
                "{again}"
            );
            assert_eq!(ask(app, &of("user", "b", user), drafts).await, r#"{"drafts":[]}"#);
            assert_eq!(ask(app, &of("user", "a", "3"), drafts).await, r#"{"drafts":[]}"#);
        }
        assert_eq!(ask(app, &north, regions).await, r#"{"regions":[{"body":"old of n"}]}"#);
        assert_eq!(ask(app, &south, regions).await, r#"{"regions":[{"body":"old of s"}]}"#);
        assert_eq!(ask(app, &of("user", "a", "1"), regions).await, r#"{"regions":[]}"#);
        server.renew().await;
    }
    // As something asks for the user, every answer is told apart by user.
    let fresh = r#"{"notes":[{"body":"new of a"}]}"#;
    assert_eq!(ask(app, &of("user", "a", "8"), NOTES).await, fresh);
    server.run("update notes set body = 'newest' where id = 1").await;
    assert_eq!(ask(app, &of("user", "a", "8"), NOTES).await, fresh);
    assert_eq!(ask(app, &of("user", "a", "9"), NOTES).await, r#"{"notes":[{"body":"newest"}]}"#);
    // Values of one tenant put where another's are looked for.
    let odd = of("user", "a1", "");
    assert_eq!(ask(app, &odd, drafts).await, r#"{"drafts":[]}"#);
}

#[tokio::test]
async fn values_of_variables_tell_answers_apart() {
    let server = start(&[]).await;
    let app = &server.app;
    let session = of("user", "a", "1");
    let query = "query ($id: Int, $body: String) @cached { notes(where: {id: {_eq: $id}, body: {_neq: $body}}) { id } }";
    let ask = async |variables: &str| {
        let answer = ask_with(app, &session, query, Some(variables)).await;
        let kept = answer.kept.clone().expect("is kept");
        (shown(&answer), kept.key, kept.family)
    };
    let one = ask(r#"{"id": 1, "body": "x"}"#).await;
    let two = ask(r#"{"id": 2, "body": "x"}"#).await;
    let swapped = ask(r#"{"id": 1, "body": "x "}"#).await;
    assert_eq!((one.0.as_str(), two.0.as_str()), (r#"{"notes":[{"id":1}]}"#, r#"{"notes":[]}"#));
    assert!(one.1 != two.1 && one.1 != swapped.1 && two.1 != swapped.1);
    assert!(one.2 == two.2 && one.2 == swapped.2 && one.1 != one.2);
    // A null is another statement.
    assert_ne!(ask(r#"{"id": 1, "body": "null"}"#).await.1, one.1);
    assert_eq!(ask(r#"{"body": "x", "id": 1}"#).await, one);
}

#[tokio::test]
async fn an_answer_ends() {
    let server = start(&[("cache.max_ttl", "2s")]).await;
    let app = &server.app;
    let session = of("user", "a", "1");
    let long = "query @cached(ttl: 3000) { notes { body } }";
    let first = ask_with(app, &session, long, None).await;
    assert_eq!(first.kept.as_ref().unwrap().left, Duration::from_secs(2));
    let started = Instant::now();
    server.renew().await;
    let second = ask_with(app, &session, long, None).await;
    if started.elapsed() < Duration::from_secs(1) {
        assert_eq!(shown(&second), r#"{"notes":[{"body":"old of a"}]}"#);
        assert!(second.kept.as_ref().unwrap().left < Duration::from_secs(2));
        assert_eq!(second.kept.as_ref().unwrap().key, first.kept.as_ref().unwrap().key);
    }
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(ask(app, &session, long).await, r#"{"notes":[{"body":"new of a"}]}"#);

    // Who wants it fresher than it is gets it fresh; who asks for nothing to be
    // kept leaves what is there.
    server.run("update notes set body = 'newer of a' where id = 1").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let fresh = "query @cached(ttl: 1) { notes { body } }";
    assert_eq!(ask(app, &session, fresh).await, r#"{"notes":[{"body":"newer of a"}]}"#);
    for none in
        ["query @cached(ttl: 0) { notes { body } }", "query @cached(ttl: -5) { notes { body } }"]
    {
        let answer = ask_with(app, &session, none, None).await;
        assert_eq!(
            (shown(&answer).as_str(), answer.kept),
            (r#"{"notes":[{"body":"newer of a"}]}"#, None)
        );
    }
}

#[tokio::test]
async fn a_refresh_replaces_the_answer_for_all() {
    let server = start_on(TENANTS, &[]).await;
    let app = &server.app;
    ask(app, &of("user", "a", "1"), NOTES).await;
    server.run("update notes set body = replace(body, 'old', 'new')").await;
    let refresh = "query @cached(refresh: true) { notes { body } }";
    assert_eq!(
        ask(app, &of("user", "a", "1"), refresh).await,
        r#"{"notes":[{"body":"new of a"}]}"#
    );
    assert_eq!(ask(app, &of("user", "a", "2"), NOTES).await, r#"{"notes":[{"body":"new of a"}]}"#);
    // By variables, which differ per request.
    let either =
        "query ($r: Boolean!, $t: Int = 60) @cached(refresh: $r, ttl: $t) { notes { body } }";
    server.run("update notes set body = 'newest of a' where id = 1").await;
    for (variables, body) in [
        (r#"{"r": false}"#, "new of a"),
        (r#"{"r": false, "t": 0}"#, "newest of a"),
        (r#"{"r": false, "t": 10}"#, "new of a"),
        (r#"{"r": true}"#, "newest of a"),
        (r#"{"r": false}"#, "newest of a"),
    ] {
        let answer = shown(&ask_with(app, &of("user", "a", "1"), either, Some(variables)).await);
        assert_eq!(answer, format!(r#"{{"notes":[{{"body":"{body}"}}]}}"#), "{variables}");
    }
}

#[tokio::test]
async fn what_more_than_rows_and_session_decide_is_never_kept() {
    let server = start(&[]).await;
    let app = &server.app;
    let session = of("user", "a", "1");
    for (query, reason) in [
        ("query @cached { shared { body } }", "a policy of public.shared reads other tables"),
        ("query @cached { notes { id } shared { body } }", "reads other tables"),
        (
            "query @cached { asked { body } }",
            "the function public.is_member of a policy reads tables",
        ),
        ("query @cached { timed { body } }", "a policy uses now"),
        ("query @cached { dated { body } }", "a policy uses current_date"),
        ("query @cached { placed { body } }", "a policy uses inet_client_addr"),
        ("query @cached { flagged { body } }", "reads site.flag"),
        ("query @cached { lottery { luck } }", "the function random is volatile"),
    ] {
        let answer = ask_with(app, &session, query, None).await;
        assert!(answer.errors.is_empty(), "{query}: {:?}", answer.errors);
        assert_eq!(answer.kept, None, "{query}");
        let request = GraphqlRequest { query: query.to_owned(), ..GraphqlRequest::default() };
        let explained = app.engine.explain(&session, &request).await.expect("explains");
        let said = explained.not_cached.unwrap_or_default();
        assert!(said.contains(reason), "{query}: {said}");
    }
    assert_eq!(app.engine.response_cache_stats().misses, 0);
    // A membership that ends, ends at once.
    let shared = "query @cached { shared { body } asked { body } }";
    assert_eq!(
        ask(app, &session, shared).await,
        r#"{"shared":[{"body":"old"}],"asked":[{"body":"old"}]}"#
    );
    server.run("delete from members").await;
    assert_eq!(ask(app, &session, shared).await, r#"{"shared":[],"asked":[]}"#);
    // What decides nothing but rows may be kept.
    for query in [
        "query @cached { plain { body } }",
        "query @cached { notes_aggregate { aggregate { count } } }",
    ] {
        let answer = ask_with(app, &session, query, None).await;
        assert!(answer.kept.is_some(), "{query}: {}", shown(&answer));
    }
    // Nor what needs no statement, or describes the schema.
    for query in [
        "query @cached { __typename }",
        "query @cached { __schema { queryType { name } } notes { id } }",
    ] {
        let answer = ask_with(app, &session, query, None).await;
        assert_eq!((answer.kept.clone(), answer.errors.len()), (None, 0), "{query}");
    }
}

#[tokio::test]
async fn a_change_leaves_behind_what_was_kept() {
    let server = start(&[]).await;
    let app = &server.app;
    let session = of("user", "a", "1");
    let fresh = async |wanted: &str, query: &str| {
        let started = Instant::now();
        loop {
            let answer = ask(app, &session, query).await;
            if answer.contains(wanted) {
                return;
            }
            assert!(
                started.elapsed() < served::PATIENCE,
                "{query} never showed {wanted}: {answer}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    ask(app, &session, NOTES).await;
    server.renew().await;
    // A policy: now nobody sees anything.
    server.run("alter policy tenant on notes using (tenant_id = current_setting('app.tenant_id', true) and false)").await;
    fresh(r#"{"notes":[]}"#, NOTES).await;
    server.run("alter policy tenant on notes using (tenant_id = current_setting('app.tenant_id', true))").await;
    fresh("new of a", NOTES).await;
    // A column.
    server.run("update notes set body = 'newer of a' where id = 1; alter table notes add column extra int").await;
    fresh("newer of a", NOTES).await;
    // A grant.
    server.run("revoke select on notes from app_user").await;
    fresh("not found in type", NOTES).await;
    server
        .run(
            "update notes set body = 'newest of a' where id = 1; grant select on notes to app_user",
        )
        .await;
    fresh("newest of a", NOTES).await;
}

#[tokio::test]
async fn memory_is_bounded_and_large_answers_pass_by() {
    let server = start(&[("cache.bytes", "64KiB"), ("cache.entry_bytes", "8KiB")]).await;
    let app = &server.app;
    server
        .run("insert into notes select i, 'a', repeat('x', 1000) from generate_series(10, 400) i")
        .await;
    let session = of("user", "a", "1");
    let query = "query ($id: Int) @cached(ttl: 300) { notes(where: {id: {_eq: $id}}) { body } }";
    for id in 10..400 {
        let answer = ask_with(app, &session, query, Some(&format!(r#"{{"id": {id}}}"#))).await;
        assert!(answer.kept.is_some());
        assert!(app.engine.response_cache_stats().bytes <= 64 * 1024);
    }
    assert!(app.engine.response_cache_stats().entries > 20);
    let large = "query @cached { notes { body } }";
    assert_eq!(ask_with(app, &session, large, None).await.kept, None);
    // Nothing is kept where there is no room.
    let server = start(&[("cache.bytes", "0B")]).await;
    assert_eq!(ask_with(&server.app, &session, NOTES, None).await.kept, None);
}

#[tokio::test]
async fn a_wrong_directive_is_refused() {
    let server = start(&[]).await;
    let session = of("user", "a", "1");
    for (query, variables, message) in [
        (
            "query @cached(tt: 1) { notes { id } }",
            None,
            r#""cached" has no argument named "tt" at $.cached"#,
        ),
        (
            "query @cached(ttl: null) { notes { id } }",
            None,
            r#"expected a 32-bit integer for type "Int", but found null at $.cached.args.ttl"#,
        ),
        ("query @cached(ttl: 1.5) { notes { id } }", None, "at $.cached.args.ttl"),
        ("query @cached(ttl: 99999999999) { notes { id } }", None, "at $.cached.args.ttl"),
        (
            "query @cached(ttl: \"long\") { notes { id } }",
            None,
            r#"expected a 32-bit integer for type "Int", but found a string at $.cached.args.ttl"#,
        ),
        ("query @cached(ttl: [1]) { notes { id } }", None, "at $.cached.args.ttl"),
        ("query @cached(refresh: null) { notes { id } }", None, "at $.cached.args.refresh"),
        ("query @cached(refresh: 1) { notes { id } }", None, "at $.cached.args.refresh"),
        ("query @cached(ttl: 1, ttl: 2) { notes { id } }", None, "ttl"),
        (
            "query ($t: String!) @cached(ttl: $t) { notes { id } }",
            Some(r#"{"t": "1"}"#),
            r#"variable "t" is declared as 'String!'"#,
        ),
        ("query @cached(ttl: $t) { notes { id } }", None, r#"unbound variable "t""#),
        ("query @cached @cached { notes { id } }", None, "more than once: cached"),
        ("{ notes @cached { id } }", None, r#"directive "cached" is not allowed on a field"#),
        (
            "subscription @cached { notes { id } }",
            None,
            r#"directive "cached" is not allowed on a subscription"#,
        ),
    ] {
        let answer = shown(&ask_with(&server.app, &session, query, variables).await);
        assert!(answer.contains(message), "{query}: {answer}");
    }
}
