//! Postgres as a service, against a real server: transactions as a session,
//! pools, cancellation, notifications.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::collections::BTreeSet;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harness::{AUTHENTICATOR, TestDb, role_name};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use ringfence::base::{ApiError, Code};
use ringfence::cluster::{Cluster, ClusterOptions};
use ringfence::pg::{
    ConnectionString, ListenEvent, Mode, Options, Pg, PgError, Pooler, Statement, TextParam,
    TxContext,
};
use ringfence::session::settings::SettingsPlan;
use ringfence::session::{Authority, Proof, Session, SessionVars};

const SCHEMA: &str = "
    create schema app;
    create table app.notes (id int primary key, tenant text not null, body text, n numeric);
    insert into app.notes values (1, 'a', 'one', 1), (2, 'a', 'two', 2), (3, 'b', 'three', 3);
    create table app.children (id int primary key, note int not null references app.notes deferrable initially deferred);
    alter table app.notes enable row level security;
    create policy tenant on app.notes
      using (tenant = (select current_setting('app.tenant_id', true)));
    grant usage on schema app to app_user, app_admin;
    grant all on all tables in schema app to app_user, app_admin;";

const BODIES: &str =
    "select coalesce(json_agg(body order by id), '[]') from app.notes where id > $1";

struct Fixture {
    db: TestDb,
    client: tokio_postgres::Client,
    settings: SettingsPlan,
}

impl Fixture {
    async fn new() -> Self {
        let names = ["app.tenant_id", "hasura.user.id"].map(str::to_owned);
        let db = TestDb::new(SCHEMA).await;
        Fixture {
            client: db.client().await,
            db,
            settings: SettingsPlan::new(&BTreeSet::from(names), &[]),
        }
    }

    fn options(&self) -> Options {
        let mut options = Options::new(self.db.authenticator_url().parse().unwrap());
        options.pool_size = 2;
        options
    }

    fn pg(&self) -> Pg {
        Pg::new(self.options()).unwrap()
    }

    /// A pool of one connection: every transaction meets what the last one left.
    fn single(&self) -> Pg {
        let mut options = self.options();
        options.pool_size = 1;
        Pg::new(options).unwrap()
    }

    fn ctx<'a>(&'a self, session: &'a Session) -> TxContext<'a> {
        TxContext::new(session, "app_user", &self.settings)
    }

    /// Connections of the pool that do something or have a transaction open.
    async fn busy(&self) -> Vec<String> {
        let rows = self
            .client
            .query(
                "select coalesce(state, '') || ': ' || left(query, 60) from pg_stat_activity
                 where datname = current_database() and usename = $1 and state is distinct from 'idle'",
                &[&AUTHENTICATOR],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until no transaction is open and every slot of the pool is free.
    async fn quiet(&self, pg: &Pg) {
        let mut left = Vec::new();
        for _ in 0..400 {
            left = self.busy().await;
            let stats = pg.stats()[0];
            if left.is_empty() && stats.in_use == 0 && stats.waiting == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("still open: {left:?}, {:?}", pg.stats()[0]);
    }
}

fn session(tenant: Option<&str>) -> Session {
    Session {
        role: "user".into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: tenant.map(Arc::from),
        user: Some("u1".into()),
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

fn bodies(named: bool) -> Statement {
    Statement::new(BODIES, named)
}

async fn text(
    pg: &Pg,
    ctx: &TxContext<'_>,
    statement: &Statement,
    params: &[TextParam],
) -> Result<String, PgError> {
    let bytes = pg.query_json(ctx, statement, params).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn each_session_sees_its_tenant_warm_or_cold_named_or_not() {
    let fixture = Fixture::new().await;
    for pooler in [Pooler::None, Pooler::Transaction] {
        let mut options = fixture.options();
        options.pooler = pooler;
        options.pool_size = 1;
        let pg = Pg::new(options).unwrap();
        for named in [true, false, true] {
            for (tenant, expected) in [
                (Some("a"), r#"["one", "two"]"#),
                (Some("b"), r#"["three"]"#),
                (None, "[]"),
                (Some("a"), r#"["one", "two"]"#),
            ] {
                let session = session(tenant);
                let ctx = fixture.ctx(&session);
                let got = text(&pg, &ctx, &bodies(named), &["0".into()]).await.unwrap();
                assert_eq!(got, expected);
            }
        }
        assert_eq!(pg.stats()[0].opened, 1);
    }
}

#[tokio::test]
async fn nothing_of_a_transaction_remains_on_the_connection() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let who = "select json_build_array(current_user, session_user,
        coalesce(current_setting('app.tenant_id', true), ''),
        current_setting('transaction_read_only'))";
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for named in [true, false, true] {
        let got = text(&pg, &ctx, &Statement::new(who, named), &[]).await.unwrap();
        assert_eq!(got, format!("[\"app_user\", \"{AUTHENTICATOR}\", \"a\", \"on\"]"));
        let system = pg.begin_system("test").await.unwrap();
        let got = system.query_text(who, &[]).await.unwrap().unwrap();
        assert_eq!(got, format!("[\"{AUTHENTICATOR}\", \"{AUTHENTICATOR}\", \"\", \"off\"]"));
        system.commit().await.unwrap();
    }
    assert_eq!(pg.stats()[0].opened, 1);
}

#[tokio::test]
async fn the_login_itself_reads_nothing() {
    let fixture = Fixture::new().await;
    let system = fixture.pg().begin_system("test").await.unwrap();
    let error = system.query_text("select body from app.notes", &[]).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42501"));
}

#[tokio::test]
async fn a_warm_read_is_one_round_trip() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    text(&pg, &ctx, &bodies(true), &["0".into()]).await.unwrap();
    for named in [true, false] {
        let before = pg.stats()[0].round_trips;
        text(&pg, &ctx, &bodies(named), &["0".into()]).await.unwrap();
        assert_eq!(pg.stats()[0].round_trips, before + 1, "named: {named}");
    }
}

#[tokio::test]
async fn large_and_small_and_absent_answers_arrive_whole() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for named in [true, false] {
        for size in ["0", "10", "8190", "8191", "1000000"] {
            let statement = Statement::new("select to_json(repeat('x', $1))", named);
            let got = text(&pg, &ctx, &statement, &[size.into()]).await.unwrap();
            assert_eq!(got.len(), size.parse::<usize>().unwrap() + 2);
        }
        for (sql, expected) in [
            ("select null::json", "null"),
            ("select '{\"b\": 1,  \"a\": 1.00}'::json", "{\"b\": 1,  \"a\": 1.00}"),
            ("select '{\"b\": 1, \"a\": 1.00}'::jsonb", "{\"a\": 1.00, \"b\": 1}"),
            ("select 'plain'::text", "plain"),
        ] {
            let got = text(&pg, &ctx, &Statement::new(sql, named), &[]).await.unwrap();
            assert_eq!(got, expected);
        }
        let none = Statement::new("select '1'::json where false", named);
        let error = text(&pg, &ctx, &none, &[]).await.unwrap_err();
        assert!(matches!(error, PgError::Protocol(_)), "{error}");
    }
    let null = Statement::new("select to_json($1::text is null)", true);
    assert_eq!(text(&pg, &ctx, &null, &[TextParam::NULL]).await.unwrap(), "true");
}

#[tokio::test]
async fn parameters_take_the_type_of_what_they_meet() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for named in [true, false] {
        let sql =
            "select coalesce(json_agg(id), '[]') from app.notes where n = $1 and id = any($2)";
        let params = ["2.000".into(), "{1,2}".into()];
        let got = text(&pg, &ctx, &Statement::new(sql, named), &params).await.unwrap();
        assert_eq!(got, "[2]");
        let hostile = ["'; drop table app.notes; --".into()];
        let sql = "select to_json($1::text)";
        let got = text(&pg, &ctx, &Statement::new(sql, named), &hostile).await.unwrap();
        assert_eq!(got, "\"'; drop table app.notes; --\"");
    }
}

#[tokio::test]
async fn an_error_leaves_the_connection_good() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let faults = [
        ("select to_json(1 / $1::int)", "0", "22012"),
        ("select to_json($1::uuid)", "x", "22P02"),
        ("select to_json(count(*)) from app.missing where $1 = ''", "", "42P01"),
        ("select to_json(count(*)) from pg_authid where $1 = ''", "", "42501"),
        ("this is no SQL $1", "", "42601"),
        (
            "with x as (delete from app.notes where id = $1 returning 1) select to_json(count(*)) from x",
            "1",
            "25006",
        ),
    ];
    for named in [true, false, true] {
        for (sql, param, state) in faults {
            let statement = Statement::new(sql, named);
            let error = text(&pg, &ctx, &statement, &[param.into()]).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some(state), "{sql}");
            let got = text(&pg, &ctx, &bodies(named), &["1".into()]).await.unwrap();
            assert_eq!(got, r#"["two"]"#);
        }
    }
    assert_eq!(pg.stats()[0].opened, 1, "no connection was given up");
    fixture.quiet(&pg).await;
}

#[tokio::test]
async fn a_hidden_value_does_not_leave_through_an_error() {
    let fixture = Fixture::new().await;
    let client = fixture.db.client().await;
    client
        .batch_execute(
            "create policy leaky on app.notes using (body::int > 0);
             update app.notes set body = 'hidden-value' where id = 3",
        )
        .await
        .unwrap();
    let pg = fixture.single();
    let session = session(Some("zzz"));
    let ctx = fixture.ctx(&session);
    let error = text(&pg, &ctx, &bodies(true), &["2".into()]).await.unwrap_err();
    let api = ApiError::from(error);
    assert_eq!(api.code, Code::DataException);
    assert!(!api.message.contains("hidden-value"), "{}", api.message);
    // Nor is a guess confirmed: the same words for a right one as for a wrong one.
    let guess = Statement::new("select to_json(count(*)) from app.notes where body <> $1", true);
    for named in [true, false] {
        let guess = Statement { named, ..guess.clone() };
        for word in ["hidden-value", "another-value"] {
            let api = ApiError::from(text(&pg, &ctx, &guess, &[word.into()]).await.unwrap_err());
            assert_eq!(api.message, "a value has the wrong form or is out of range", "{word}");
        }
    }
    let own = Statement::new("select to_json($1::int)", true);
    let api = ApiError::from(text(&pg, &ctx, &own, &["my-value".into()]).await.unwrap_err());
    assert_eq!(api.message, "invalid input syntax for type integer: \"my-value\"");
    let own = Statement::new("select to_json($1::int)", false);
    let api = ApiError::from(text(&pg, &ctx, &own, &["my-value".into()]).await.unwrap_err());
    assert_eq!(api.message, "invalid input syntax for type integer: \"my-value\"");
    let own = Statement::new("select $1::json", true);
    let api = ApiError::from(text(&pg, &ctx, &own, &["{no".into()]).await.unwrap_err());
    assert_eq!(api.message, "invalid input syntax for type json");
}

#[tokio::test]
async fn a_role_that_may_not_be_set_is_a_permission_error() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    for named in [true, false] {
        for role in ["postgres", "no such role", "none"] {
            let ctx = TxContext::new(&session, role, &fixture.settings);
            let error = text(&pg, &ctx, &bodies(named), &["0".into()]).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some("42501"), "{role}: {error}");
            assert_eq!(ApiError::from(error).code, Code::PermissionError);
            // `none` is the login itself, which may begin and sees nothing.
            let begun = pg.begin_as(&ctx, Mode::ReadWrite).await;
            assert_eq!(begun.is_ok(), role == "none");
        }
    }
    fixture.quiet(&pg).await;
}

#[tokio::test]
async fn values_that_postgres_cannot_hold_are_refused_without_harm() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let good = session(Some("a"));
    let ctx = fixture.ctx(&good);
    for named in [true, false] {
        let error = text(&pg, &ctx, &bodies(named), &["1\0".into()]).await.unwrap_err();
        assert_eq!(ApiError::from(error).code, Code::DataException);
        let bad = session(Some("a\0b"));
        let error = text(&pg, &fixture.ctx(&bad), &bodies(named), &["1".into()]).await;
        assert!(error.is_err());
        let long = session(Some(&"x".repeat(1_000_000)));
        let got = text(&pg, &fixture.ctx(&long), &bodies(named), &["0".into()]).await.unwrap();
        assert_eq!(got, "[]");
        let got = text(&pg, &ctx, &bodies(named), &["1".into()]).await.unwrap();
        assert_eq!(got, r#"["two"]"#);
    }
    assert_eq!(pg.stats()[0].opened, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_needs_no_hands() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pg_restart");
    let mut options = ClusterOptions::new(folder, "test");
    options.durable = false;
    let cluster = Cluster::start(&options).expect("a PostgreSQL server");
    let port = cluster.port();
    let mut pool = Options::new(cluster.url().expose().parse().unwrap());
    pool.pool_size = 2;
    let pg = Pg::new(pool).unwrap();
    let mut events = pg.listen(&["ringfence_test"]).unwrap().expect("no pooler");
    assert_eq!(events.recv().await, Some(ListenEvent::Lost));
    let settings = SettingsPlan::new(&BTreeSet::new(), &[]);
    let session = session(None);
    let ctx = TxContext::new(&session, "postgres", &settings);
    let one = Statement::new("select to_json(1)", true);
    let (first, second) =
        tokio::join!(pg.query_json(&ctx, &one, &[]), pg.query_json(&ctx, &one, &[]));
    first.and(second).unwrap();

    cluster.stop().unwrap();
    let error = pg.query_json(&ctx, &one, &[]).await.unwrap_err();
    assert_eq!(ApiError::from(error).code, Code::ServiceUnavailable);

    let cluster = Cluster::start(&options).expect("starts again");
    assert_eq!(cluster.port(), port);
    for _ in 0..4 {
        pg.query_json(&ctx, &one, &[]).await.expect("a fresh connection");
    }
    assert_eq!(events.recv().await, Some(ListenEvent::Broken), "nothing is heard");
    let again = async { while events.recv().await != Some(ListenEvent::Lost) {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("listening goes on");
    cluster.stop().unwrap();
}

#[tokio::test]
async fn every_way_to_a_server_is_tried() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pg_ways");
    let mut options = ClusterOptions::new(folder, "test");
    options.durable = false;
    let cluster = Cluster::start(&options).expect("a PostgreSQL server");
    let (port, socket) = (cluster.port(), cluster.socket_folder().display().to_string());
    let settings = SettingsPlan::new(&BTreeSet::new(), &[]);
    let session = session(None);
    let ctx = TxContext::new(&session, "postgres", &settings);
    let one = Statement::new("select to_json(1)", true);
    let slow = Statement::new("select to_json(pg_sleep(60)::text)", false);
    for (way, error) in [
        (format!("host=127.0.0.1 port={port}"), None),
        (format!("host=localhost port={port}"), None),
        (format!("host={socket} port={port}"), None),
        (format!("host={socket} port={port} sslmode=verify-full"), None),
        (format!("host=/nonexistent,{socket},localhost port={port}"), None),
        (format!("host=127.0.0.1,127.0.0.1 port=1,{port} sslmode=disable"), None),
        (format!("host=localhost,127.0.0.1 port={port} load_balance_hosts=random"), None),
        // An address that is given is not looked up.
        (format!("host=nowhere.invalid hostaddr=127.0.0.1 port={port}"), None),
        (format!("hostaddr=127.0.0.1 port={port}"), None),
        (format!("host=nowhere.invalid port={port} connect_timeout=20"), Some("")),
        (format!("host=127.0.0.1,/nonexistent port=1,{port}"), Some("No such file")),
        (format!("host={socket} port={port} target_session_attrs=read-write"), None),
        (format!("host={socket} port={port} target_session_attrs=prefer-standby"), None),
        (format!("host={socket} port={port} target_session_attrs=standby"), Some("read-only")),
    ] {
        let password = cluster.password().expose();
        let url = format!("{way} user=postgres password={password} dbname=test");
        let mut pool = Options::new(url.parse().unwrap_or_else(|e| panic!("{way}: {e}")));
        pool.pool_size = 1;
        let pg = Pg::new(pool).unwrap();
        match (text(&pg, &ctx, &one, &[]).await, error) {
            (Ok(got), None) => assert_eq!(got, "1", "{way}"),
            (Err(PgError::Unavailable(text)), Some(part)) => {
                assert!(text.contains(part), "{way}: {text}");
                continue;
            }
            (got, _) => panic!("{way}: {got:?}"),
        }
        // Cancelling goes the same way.
        let run = text(&pg, &ctx, &slow, &[]);
        assert!(tokio::time::timeout(Duration::from_millis(100), run).await.is_err(), "{way}");
        text(&pg, &ctx, &one, &[]).await.unwrap_or_else(|e| panic!("{way}: {e}"));
        assert_eq!(pg.stats()[0].cancelled, 1, "{way}");
    }
    cluster.stop().unwrap();
}

struct Woken(tokio::sync::Notify);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a future `polls` times, each time after it was woken (or, when it
/// only waits for a slow answer, after a moment), then drops it. Returns
/// whether it was done before.
async fn poll_then_drop<F: Future>(future: F, polls: usize) -> bool {
    let mut future = Box::pin(future);
    let woken = Arc::new(Woken(tokio::sync::Notify::new()));
    let waker = std::task::Waker::from(Arc::clone(&woken));
    for poll in 1..=polls {
        if future.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_ready() {
            return true;
        }
        if poll < polls {
            // A time-out means the same as being woken: it is polled again.
            let waited = tokio::time::timeout(Duration::from_millis(5), woken.0.notified()).await;
            drop(waited);
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_dropped_at_any_point_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let slow = "select to_json(x) from (select 1 as x, pg_sleep(60)) s where $1 <> ''";
    for (sql, named, pooler) in [
        (BODIES, true, Pooler::None),
        (BODIES, false, Pooler::None),
        (BODIES, false, Pooler::Transaction),
        (slow, true, Pooler::None),
        (slow, false, Pooler::None),
    ] {
        let statement = Statement::new(sql, named);
        let is_slow = sql == slow;
        for warm in [false, true] {
            let mut options = fixture.options();
            options.pooler = pooler;
            let pg = Pg::new(options).unwrap();
            if warm {
                text(&pg, &ctx, &bodies(named), &["0".into()]).await.unwrap();
                if is_slow {
                    // Prepared by a run that is dropped late.
                    poll_then_drop(pg.query_json(&ctx, &statement, &["0".into()]), 30).await;
                    fixture.quiet(&pg).await;
                }
            }
            let mut polls = 0;
            loop {
                let done =
                    poll_then_drop(pg.query_json(&ctx, &statement, &["0".into()]), polls).await;
                fixture.quiet(&pg).await;
                polls += 1;
                if done || (is_slow && polls > 25) {
                    assert!(done != is_slow, "{sql} after {polls} polls");
                    break;
                }
                assert!(polls < 500, "{sql} never ends");
            }
            // Both connections still serve.
            let check = bodies(named);
            let params = ["0".into()];
            let (one, two) =
                tokio::join!(text(&pg, &ctx, &check, &params), text(&pg, &ctx, &check, &params));
            assert_eq!(one.unwrap(), two.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_dropped_at_any_point_is_rolled_back() {
    let fixture = Fixture::new().await;
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let insert =
        Statement::new("insert into app.notes values (100 + $1::int, 'a', 'new', 0)", true);
    let slow = Statement::new("select to_json(pg_sleep($1)::text)", true);
    let pg = fixture.pg();
    for polls in 0..40 {
        let work = async {
            let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await?;
            tx.execute(&insert, &[polls.to_string().into()]).await?;
            tx.query_json(&slow, &["60".into()]).await?;
            tx.commit().await
        };
        poll_then_drop(work, polls).await;
        fixture.quiet(&pg).await;
    }
    let rows = fixture.db.psql("select count(*) from app.notes where id >= 100").unwrap();
    assert_eq!(rows, "0");
}

#[tokio::test]
async fn many_dropped_requests_keep_the_pool_within_its_size() {
    let fixture = Fixture::new().await;
    let pg = fixture.pg();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let slow = Statement::new("select to_json(pg_sleep(60)::text)", false);
    for _ in 0..20 {
        let run = pg.query_json(&ctx, &slow, &[]);
        assert!(tokio::time::timeout(Duration::from_millis(15), run).await.is_err());
        let open = fixture
            .db
            .psql(&format!(
                "select count(*) from pg_stat_activity where datname = current_database() and usename = '{AUTHENTICATOR}'"
            ))
            .unwrap();
        assert!(open.parse::<u32>().unwrap() <= 2, "{open} connections");
    }
    fixture.quiet(&pg).await;
    assert!(pg.stats()[0].cancelled > 0);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cancelled() {
    let fixture = Fixture::new().await;
    let mut options = fixture.options();
    options.request_timeout = Duration::from_secs(1);
    let pg = Pg::new(options).unwrap();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for named in [true, false] {
        let slow = Statement::new("select to_json(pg_sleep(60)::text)", named);
        let error = text(&pg, &ctx, &slow, &[]).await.unwrap_err();
        assert!(matches!(error, PgError::Timeout { .. }), "{error}");
        assert_eq!(ApiError::from(error).code, Code::TimeLimitExceeded);
        fixture.quiet(&pg).await;
        let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
        let error = tx.query_json(&slow, &[]).await.unwrap_err();
        assert!(matches!(error, PgError::Timeout { .. }), "{error}");
        assert!(tx.commit().await.is_err());
        fixture.quiet(&pg).await;
    }
}

#[tokio::test]
async fn limits_of_the_configuration_and_of_the_role_are_kept() {
    let fixture = Fixture::new().await;
    let session = session(Some("a"));
    let slow = Statement::new("select to_json(pg_sleep(60)::text)", true);
    for pooler in [Pooler::None, Pooler::Transaction] {
        let mut options = fixture.options();
        options.pooler = pooler;
        options.statement_timeout = Duration::from_millis(150);
        let pg = Pg::new(options).unwrap();
        let settings = SettingsPlan::new(&BTreeSet::new(), &pg.role_settings(&[]));
        let ctx = TxContext::new(&session, "app_user", &settings);
        let error = text(&pg, &ctx, &slow, &[]).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("57014"));

        let own = [("statement_timeout".to_owned(), "77ms".to_owned())];
        let settings = SettingsPlan::new(&BTreeSet::new(), &pg.role_settings(&own));
        let ctx = TxContext::new(&session, "app_user", &settings);
        let show = Statement::new("select to_json(current_setting('statement_timeout'))", true);
        assert_eq!(text(&pg, &ctx, &show, &[]).await.unwrap(), "\"77ms\"");
    }
}

#[tokio::test]
async fn statements_are_not_compiled_unless_the_url_says_so() {
    let fixture = Fixture::new().await;
    let session = session(Some("a"));
    let show = Statement::new("select to_json(current_setting('jit'))", true);
    let url = fixture.db.authenticator_url();
    let and = if url.contains('?') { '&' } else { '?' };
    for (url, jit) in
        [(url.clone(), "\"off\""), (format!("{url}{and}options=-c%20jit%3Don"), "\"on\"")]
    {
        let pg = Pg::new(Options::new(url.parse().unwrap())).unwrap();
        assert_eq!(text(&pg, &fixture.ctx(&session), &show, &[]).await.unwrap(), jit);
    }
}

#[tokio::test]
async fn a_full_pool_refuses_after_a_while() {
    let fixture = Fixture::new().await;
    let mut options = fixture.options();
    options.pool_size = 1;
    options.pool_wait = Duration::from_millis(100);
    options.max_waiting = 1;
    let pg = Pg::new(options).unwrap();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let tx = pg.begin_as(&ctx, Mode::ReadOnly).await.unwrap();
    let statement = bodies(true);
    let params = ["0".into()];
    let (one, two) =
        tokio::join!(text(&pg, &ctx, &statement, &params), text(&pg, &ctx, &statement, &params));
    for result in [one, two] {
        let error = result.unwrap_err();
        assert!(matches!(error, PgError::Busy { .. }), "{error}");
        let api = ApiError::from(error);
        assert_eq!(api.code, Code::ServiceUnavailable);
        assert!(api.retry_after.is_some());
    }
    assert_eq!((pg.stats()[0].refused, pg.stats()[0].waiting), (2, 0));
    tx.rollback().await.unwrap();
    text(&pg, &ctx, &statement, &params).await.unwrap();
}

#[tokio::test]
async fn killed_backends_are_replaced_without_hands() {
    let fixture = Fixture::new().await;
    let pg = fixture.pg();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let kill = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and usename = '{AUTHENTICATOR}'"
    );
    for named in [true, false, true] {
        text(&pg, &ctx, &bodies(named), &["0".into()]).await.unwrap();
        fixture.db.psql(&kill).unwrap();
        text(&pg, &ctx, &bodies(named), &["0".into()]).await.expect("a fresh connection");
        let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
        fixture.db.psql(&kill).unwrap();
        let error = tx.query_json(&bodies(named), &["0".into()]).await.unwrap_err();
        assert_eq!(ApiError::from(error).code, Code::ServiceUnavailable);
        assert!(tx.commit().await.is_err());
        let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.expect("a fresh connection");
        tx.query_json(&bodies(named), &["0".into()]).await.unwrap();
        tx.commit().await.unwrap();
    }
    fixture.quiet(&pg).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_reported_as_such() {
    let mut options = Options::new("postgres://u:p@127.0.0.1:1/d".parse().unwrap());
    options.pool_size = 1;
    let pg = Pg::new(options).unwrap();
    let settings = SettingsPlan::new(&BTreeSet::new(), &[]);
    let session = session(None);
    let ctx = TxContext::new(&session, "app_user", &settings);
    let error = text(&pg, &ctx, &bodies(true), &["0".into()]).await.unwrap_err();
    let api = ApiError::from(error);
    assert_eq!(api.code, Code::ServiceUnavailable);
    assert!(api.retry_after.is_some());
}

/// Prepared statements of the pool's only connection, as the server counts them.
async fn prepared(pg: &Pg) -> usize {
    let system = pg.begin_system("test").await.unwrap();
    let count = "select count(*)::text from pg_prepared_statements";
    let count = system.query_text(count, &[]).await.unwrap().unwrap();
    system.commit().await.unwrap();
    count.parse().unwrap()
}

#[tokio::test]
async fn prepared_statements_are_bounded_and_closed_on_the_server() {
    let fixture = Fixture::new().await;
    let mut options = fixture.options();
    options.pool_size = 1;
    options.statement_cache_size = 10;
    let pg = Pg::new(options).unwrap();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for round in 0..60 {
        let statement = Statement::new(format!("select to_json({round})"), true);
        for _ in 0..2 {
            assert_eq!(text(&pg, &ctx, &statement, &[]).await.unwrap(), round.to_string());
        }
        assert!(prepared(&pg).await <= 13, "ten, BEGIN, the settings and COMMIT");
    }
    let stats = pg.stats()[0];
    assert_eq!((stats.statement_misses, stats.statement_hits), (60, 60));
    assert_eq!(stats.statement_evictions, 50);
    for round in 0..60 {
        let statement = Statement::new(format!("select to_json({round})"), false);
        text(&pg, &ctx, &statement, &[]).await.unwrap();
    }
    assert_eq!(prepared(&pg).await, 13, "unnamed statements leave nothing");
}

#[tokio::test]
async fn behind_a_pooler_nothing_is_prepared() {
    let fixture = Fixture::new().await;
    let mut options = fixture.options();
    options.pool_size = 1;
    options.pooler = Pooler::Transaction;
    let pg = Pg::new(options).unwrap();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    text(&pg, &ctx, &bodies(true), &["0".into()]).await.unwrap();
    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    tx.query_json(&bodies(true), &["0".into()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(prepared(&pg).await, 0);
}

#[tokio::test]
async fn one_statement_under_two_roles_is_two_statements() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let who = Statement::new("select to_json(current_user)", true);
    for _ in 0..3 {
        for role in ["app_user", "app_admin"] {
            let ctx = TxContext::new(&session, role, &fixture.settings);
            assert_eq!(text(&pg, &ctx, &who, &[]).await.unwrap(), format!("\"{role}\""));
        }
    }
    assert_eq!(pg.stats()[0].statement_misses, 2);
}

#[tokio::test]
async fn statements_survive_ddl_and_deallocation() {
    let fixture = Fixture::new().await;
    let client = fixture.db.client().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let star = Statement::new("select to_json(n) from app.notes n where id = 1", true);
    // One column whose type changes: the server refuses the old plan.
    let typed =
        Statement::new("select case when true then body end from app.notes where id = 1", true);
    for change in [
        "select 1",
        "alter table app.notes add column extra int default 7",
        "alter table app.notes alter column body type json using to_json(body)",
        "alter table app.notes alter column body type text using body #>> '{}'",
        "alter table app.notes drop column extra",
    ] {
        client.batch_execute(change).await.unwrap();
        for _ in 0..2 {
            text(&pg, &ctx, &star, &[]).await.expect(change);
            text(&pg, &ctx, &typed, &[]).await.expect(change);
        }
    }
    let deallocate = Statement::new("deallocate all", false);
    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    tx.execute(&deallocate, &[]).await.unwrap();
    tx.commit().await.unwrap();
    text(&pg, &ctx, &star, &[]).await.expect("prepared again");
    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    tx.execute(&deallocate, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let tx = pg.begin_as(&ctx, Mode::ReadWrite).await.expect("prepared again");
    tx.rollback().await.unwrap();
    assert_eq!(pg.stats()[0].opened, 1);
}

#[tokio::test]
async fn plans_of_revoked_rights_can_be_forgotten() {
    let fixture = Fixture::new().await;
    let (role, group) = (role_name("planned"), role_name("group"));
    let run = async |sql: &str| fixture.client.batch_execute(sql).await.unwrap();
    run(&format!(
        "create role {role}; create role {group}; grant {role} to {AUTHENTICATOR};
         create function app.seen() returns bigint language plpgsql as
           'begin return (select count(*) from app.notes); end';
         create policy grouped on app.notes to {group} using (true);
         grant usage on schema app to {role}; grant select on app.notes to {role}"
    ))
    .await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = TxContext::new(&session, &role, &fixture.settings);
    let plain = Statement::new("select to_json(count(*)) from app.notes", true);
    let inside = Statement::new("select to_json(app.seen())", true);
    // Often enough for a generic plan.
    let count = async |wanted: &str| {
        for statement in [&plain, &inside] {
            for _ in 0..7 {
                assert_eq!(text(&pg, &ctx, statement, &[]).await.unwrap(), wanted);
            }
        }
    };
    count("2").await;
    for (give, take) in [
        (format!("grant {group} to {role}"), format!("revoke {group} from {role}")),
        (format!("alter role {role} bypassrls"), format!("alter role {role} nobypassrls")),
    ] {
        run(&give).await;
        pg.forget_plans();
        count("3").await;
        run(&take).await;
        pg.forget_plans();
        let before = pg.stats()[0];
        count("2").await;
        let after = pg.stats()[0];
        assert_eq!(after.round_trips - before.round_trips, 14, "forgetting costs no round trip");
        assert_eq!(after.statement_misses, before.statement_misses);
    }
    for mode in [Mode::ReadOnly, Mode::Snapshot, Mode::ReadWrite] {
        pg.forget_plans();
        let mut tx = pg.begin_as(&ctx, mode).await.unwrap();
        assert_eq!(&tx.query_json(&plain, &[]).await.unwrap()[..], b"2");
        tx.commit().await.unwrap();
    }
    run(&format!(
        "drop policy grouped on app.notes; drop owned by {role}; drop role {role}, {group}"
    ))
    .await;
}

#[tokio::test]
async fn writes_commit_whole_or_not_at_all() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let insert = Statement::new("insert into app.notes values ($1, $2, 'x', 0)", true);
    let count = || fixture.db.psql("select count(*) from app.notes").unwrap();

    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    assert_eq!(tx.execute(&insert, &["10".into(), "a".into()]).await.unwrap(), 1);
    let update = Statement::new("update app.notes set body = 'y'", false);
    assert_eq!(tx.execute(&update, &[]).await.unwrap(), 3, "of three visible rows");
    tx.commit().await.unwrap();
    assert_eq!(count(), "4");

    // Another tenant's row is refused, and what came before is gone too.
    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    tx.execute(&insert, &["11".into(), "a".into()]).await.unwrap();
    let error = tx.execute(&insert, &["12".into(), "b".into()]).await.unwrap_err();
    assert_eq!(ApiError::from(error).code, Code::PermissionError);
    assert!(tx.execute(&insert, &["13".into(), "a".into()]).await.is_err());
    assert!(tx.commit().await.is_err(), "a failed transaction never reports success");
    fixture.quiet(&pg).await;
    assert_eq!(count(), "4");

    // A constraint that is checked at COMMIT.
    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    let orphan = Statement::new("insert into app.children values (1, 999)", true);
    tx.execute(&orphan, &[]).await.unwrap();
    let api = ApiError::from(tx.commit().await.unwrap_err());
    assert_eq!(api.code, Code::ConstraintViolation);
    assert!(api.message.starts_with("Foreign key violation. "), "{}", api.message);

    // Read-only modes write nothing.
    for mode in [Mode::ReadOnly, Mode::Snapshot] {
        let mut tx = pg.begin_as(&ctx, mode).await.unwrap();
        let error = tx.execute(&insert, &["20".into(), "a".into()]).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("25006"));
    }
    fixture.quiet(&pg).await;

    // Dropped without commit.
    let mut tx = pg.begin_as(&ctx, Mode::ReadWrite).await.unwrap();
    tx.execute(&insert, &["30".into(), "a".into()]).await.unwrap();
    drop(tx);
    fixture.quiet(&pg).await;
    assert_eq!(count(), "4");
    assert_eq!(pg.stats()[0].opened, 1, "ended transactions keep their connection");
}

/// The owner of a transaction may not have looked at an error.
#[tokio::test]
async fn a_commit_that_rolls_back_is_an_error() {
    let fixture = Fixture::new().await;
    let pg = fixture.single();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for round in 0..2 {
        let system = pg.begin_system("test").await.unwrap();
        let error = system.execute("select 1 / $1::int", &["0"]).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("22012"));
        let error = system.commit().await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("25P02"), "{error}");
        let got = text(&pg, &ctx, &bodies(true), &["1".into()]).await.unwrap();
        assert_eq!(got, r#"["two"]"#, "round {round}");
    }
    assert_eq!(pg.stats()[0].opened, 1, "the rollback was acknowledged");
}

#[tokio::test]
async fn a_snapshot_stays_the_same() {
    let fixture = Fixture::new().await;
    let pg = fixture.pg();
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    let mut tx = pg.begin_as(&ctx, Mode::Snapshot).await.unwrap();
    let before = tx.query_json(&bodies(true), &["0".into()]).await.unwrap();
    fixture.db.psql("delete from app.notes").unwrap();
    assert_eq!(tx.query_json(&bodies(true), &["0".into()]).await.unwrap(), before);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn notifications_arrive_and_losses_are_told() {
    let fixture = Fixture::new().await;
    let pg = fixture.pg();
    let mut events = pg.listen(&["ringfence_test"]).unwrap().expect("no pooler");
    assert_eq!(events.recv().await, Some(ListenEvent::Lost), "listening starts");
    fixture.db.psql("notify ringfence_test, 'hello'").unwrap();
    let hello = ListenEvent::Notification {
        channel: "ringfence_test".to_owned(),
        payload: "hello".to_owned(),
    };
    assert_eq!(events.recv().await, Some(hello));
    fixture
        .db
        .psql(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and usename = '{AUTHENTICATOR}'"
        ))
        .unwrap();
    assert_eq!(events.recv().await, Some(ListenEvent::Broken), "nothing is heard");
    assert_eq!(events.recv().await, Some(ListenEvent::Lost), "it starts again");
    // More than can wait.
    fixture
        .db
        .psql("select pg_notify('ringfence_test', i::text) from generate_series(1, 2000) i")
        .unwrap();
    let mut lost = false;
    for _ in 0..400 {
        match tokio::time::timeout(Duration::from_secs(5), events.recv()).await {
            Ok(Some(ListenEvent::Lost)) => {
                lost = true;
                break;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    assert!(lost, "an overflow is told");
}

/// A server with TLS: a certificate for `localhost` by an authority of its own.
struct TlsServer {
    cluster: Cluster,
    folder: PathBuf,
}

impl TlsServer {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pg_tls");
        let files = folder.join("certificates");
        std::fs::create_dir_all(&files).unwrap();
        let write = |name: &str, text: &str| {
            let path = files.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        };
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            (certificate.pem(), Issuer::new(params, key))
        };
        let (root, issuer) = authority("root");
        let (other, _) = authority("other");
        write("root.pem", &root);
        write("other.pem", &other);
        let leaf = |name: &str, common_name: &str| {
            let mut params = CertificateParams::new(vec![common_name.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, common_name);
            let key = KeyPair::generate().unwrap();
            write(&format!("{name}.pem"), &params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), &key.serialize_pem());
        };
        leaf("server", "localhost");
        leaf("client", "postgres");

        let mut options = ClusterOptions::new(folder.join("cluster"), "test");
        options.durable = false;
        let cluster = Cluster::start(&options).expect("a PostgreSQL server");
        TlsServer { cluster, folder: files }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn url(&self, host: &str, options: &str) -> ConnectionString {
        format!(
            "host={host} port={} user=postgres password={} dbname=test {options}",
            self.cluster.port(),
            self.cluster.password().expose()
        )
        .parse()
        .unwrap()
    }

    /// Whether the connection came about, and whether with TLS.
    async fn connect(&self, host: &str, options: &str) -> Result<bool, String> {
        let mut pool = Options::new(self.url(host, options));
        pool.pool_size = 1;
        let pg = Pg::new(pool).map_err(|error| error.to_string())?;
        let tx = pg.begin_system("test").await.map_err(|error| error.to_string())?;
        let ssl = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        let ssl = tx.query_text(ssl, &[]).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        Ok(ssl == "true")
    }
}

#[tokio::test]
async fn tls_modes_mean_what_libpq_says() {
    let server = TlsServer::start();
    let (root, other) = (server.file("root.pem"), server.file("other.pem"));

    // Without TLS on the server.
    let admin = Pg::new(Options::new(server.url("127.0.0.1", "sslmode=disable"))).unwrap();
    let set = async |sql: String| {
        let url = server.url("127.0.0.1", "sslmode=disable");
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(server.cluster.port())
            .user(url.user().unwrap())
            .password(server.cluster.password().expose())
            .dbname("test");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for statement in sql.split(';') {
            client.batch_execute(statement).await.unwrap();
        }
    };
    set("alter system set ssl = off; select pg_reload_conf()".to_owned()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.connect("localhost", "sslmode=prefer").await, Ok(false));
    assert_eq!(server.connect("localhost", "sslmode=allow").await, Ok(false));
    let error = server.connect("localhost", "sslmode=require").await.unwrap_err();
    assert!(error.contains("TLS"), "{error}");

    // With it. The server reads its files as its own user.
    let (cert, key) = (
        std::fs::read_to_string(server.file("server.pem")).unwrap(),
        std::fs::read_to_string(server.file("server.key")).unwrap(),
    );
    let data: String = {
        let tx = admin.begin_system("test").await.unwrap();
        tx.query_text("select setting from pg_settings where name = 'data_directory'", &[])
            .await
            .unwrap()
            .unwrap()
    };
    for (name, text) in [
        ("tls.pem", cert),
        ("tls.key", key),
        ("tls_root.pem", std::fs::read_to_string(&root).unwrap()),
    ] {
        // Written by the server itself, so that it owns the file.
        let target = format!("{data}/{name}");
        let text = text.replace('\n', "\\n");
        set(format!("copy (select 1) to program 'umask 077 && printf %b \"{text}\" > {target} && cat > /dev/null'")).await;
    }
    set(format!(
        "alter system set ssl = on; alter system set ssl_cert_file = '{data}/tls.pem'; \
         alter system set ssl_key_file = '{data}/tls.key'; \
         alter system set ssl_ca_file = '{data}/tls_root.pem'; select pg_reload_conf()"
    ))
    .await;
    let mut with_tls = Ok(false);
    for _ in 0..100 {
        with_tls = server.connect("localhost", "sslmode=prefer").await;
        if with_tls == Ok(true) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(with_tls, Ok(true));
    for (host, options, expected) in [
        ("localhost", "sslmode=disable".to_owned(), Some(false)),
        ("localhost", "sslmode=allow".to_owned(), Some(false)),
        ("127.0.0.1", "sslmode=require".to_owned(), Some(true)),
        ("127.0.0.1", "sslmode=require channel_binding=require".to_owned(), Some(true)),
        ("localhost", format!("sslmode=verify-ca sslrootcert={root}"), Some(true)),
        ("127.0.0.1", format!("sslmode=verify-ca sslrootcert={root}"), Some(true)),
        ("localhost", format!("sslmode=verify-ca sslrootcert={other}"), None),
        ("localhost", format!("sslmode=require sslrootcert={other}"), None),
        ("localhost", format!("sslmode=verify-full sslrootcert={root}"), Some(true)),
        ("127.0.0.1", format!("sslmode=verify-full sslrootcert={root}"), None),
        ("localhost", format!("sslmode=verify-full sslrootcert={other}"), None),
        ("localhost", "sslmode=verify-full sslrootcert=system".to_owned(), None),
        ("localhost", "sslmode=verify-ca sslrootcert=/nonexistent".to_owned(), None),
        // The server's own certificate as the root.
        (
            "localhost",
            format!("sslmode=verify-full sslrootcert={}", server.file("server.pem")),
            Some(true),
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full sslrootcert={}", server.file("server.pem")),
            None,
        ),
    ] {
        let got = server.connect(host, &options).await;
        assert_eq!(got.clone().ok(), expected, "{host} {options}: {got:?}");
    }

    // A client certificate is shown when it is given.
    let mut pool = Options::new(server.url(
        "localhost",
        &format!(
            "sslmode=verify-full sslrootcert={root} sslcert={} sslkey={}",
            server.file("client.pem"),
            server.file("client.key")
        ),
    ));
    pool.pool_size = 1;
    pool.request_timeout = Duration::from_secs(1);
    let pg = Pg::new(pool).unwrap();
    let tx = pg.begin_system("test").await.unwrap();
    let dn = "select client_dn from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(tx.query_text(dn, &[]).await.unwrap().as_deref(), Some("/CN=postgres"));
    tx.commit().await.unwrap();

    // Cancelling goes the same way.
    let settings = SettingsPlan::new(&BTreeSet::new(), &[]);
    let session = session(None);
    let ctx = TxContext::new(&session, "postgres", &settings);
    let slow = Statement::new("select to_json(pg_sleep(60)::text)", false);
    assert!(matches!(pg.query_json(&ctx, &slow, &[]).await, Err(PgError::Timeout { .. })));
    let sleeping = "select count(*)::text from pg_stat_activity where query ~ 'pg_sleep' and pid <> pg_backend_pid()";
    for _ in 0..200 {
        let tx = admin.begin_system("test").await.unwrap();
        let count = tx.query_text(sleeping, &[]).await.unwrap();
        tx.commit().await.unwrap();
        if count.as_deref() == Some("0") {
            server.cluster.stop().unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the statement was not cancelled over TLS");
}
