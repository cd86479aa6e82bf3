//! Postgres as a service, against a real server: transactions, pools,
//! cancellation, TLS, migrations.
//!
//! `RINGFENCE_TEST_PG` is the connection string of a superuser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ringfence::pg::{
    ConnectionString, Mode, Options, Pg, PgError, Pooler, Statement, TextParam, TxContext,
};
use ringfence::session::settings::SettingsPlan;
use ringfence::session::{Authority, Proof, Session, SessionVars};
use tokio_postgres::{Client, NoTls};

fn superuser() -> String {
    std::env::var("RINGFENCE_TEST_PG")
        .expect("RINGFENCE_TEST_PG is the connection string of a superuser")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("superuser");
    tokio::spawn(connection);
    client
}

/// A database of the test's own, with a login, a request role and a table
/// fenced by tenant.
struct Fixture {
    database: String,
    login: String,
    role: String,
    admin: Client,
    settings: SettingsPlan,
}

impl Fixture {
    async fn new(name: &str) -> Self {
        let database = format!("rfpg_{name}");
        let (login, role) = (format!("rfpg_{name}_login"), format!("rfpg_{name}_user"));
        let server = connect(&superuser()).await;
        server
            .batch_execute(&format!("drop database if exists {database} with (force)"))
            .await
            .unwrap();
        server
            .batch_execute(&format!(
                "drop role if exists {login}; drop role if exists {role};
                 create role {role} nologin; create role {login} login noinherit password 'pw';
                 grant {role} to {login}"
            ))
            .await
            .unwrap();
        server.batch_execute(&format!("create database {database}")).await.unwrap();
        let admin = connect(&replace_database(&superuser(), &database)).await;
        admin
            .batch_execute(&format!(
                "create schema app;
                 create table app.notes (id int primary key, tenant text not null, body text);
                 insert into app.notes values (1, 'a', 'one'), (2, 'a', 'two'), (3, 'b', 'three');
                 alter table app.notes enable row level security;
                 create policy tenant on app.notes using (tenant = (select current_setting('app.tenant_id', true)));
                 grant usage on schema app to {role}; grant all on app.notes to {role};"
            ))
            .await
            .unwrap();
        Fixture { database, login, role, admin, settings: plan() }
    }

    fn url(&self) -> ConnectionString {
        let config: tokio_postgres::Config = superuser().parse().unwrap();
        let host = match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Tcp(host) => host.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        format!(
            "host={host} port={port} dbname={} user={} password=pw sslmode=disable",
            self.database, self.login
        )
        .parse()
        .unwrap()
    }

    fn options(&self) -> Options {
        let mut options = Options::new(self.url());
        options.pool_size = 2;
        options
    }

    fn pg(&self) -> Pg {
        Pg::new(self.options()).unwrap()
    }

    fn ctx<'a>(&'a self, session: &'a Session) -> TxContext<'a> {
        TxContext::new(session, &self.role, &self.settings)
    }

    /// Connections of the login by state, without those that are just ending.
    async fn activity(&self) -> Vec<String> {
        let rows = self
            .admin
            .query(
                "select state || ': ' || left(query, 60) from pg_stat_activity
                 where usename = $1 and backend_type = 'client backend' and state is distinct from 'idle'",
                &[&self.login],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }

    /// Waits until no connection of the login does anything or has a
    /// transaction open.
    async fn quiet(&self) {
        let mut left = Vec::new();
        for _ in 0..200 {
            left = self.activity().await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("transactions are still open: {left:?}");
    }

    /// Waits until every slot of the request pool is free.
    async fn all_free(&self, pg: &Pg) {
        for _ in 0..200 {
            if pg.stats()[0].in_use == 0 && pg.stats()[0].waiting == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("slots are lost: {:?}", pg.stats()[0]);
    }
}

fn replace_database(url: &str, database: &str) -> String {
    if url.contains("://") {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (server, _) = base.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{database}?{query}")
    } else {
        format!("{url} dbname={database}")
    }
}

fn plan() -> SettingsPlan {
    let names = ["app.tenant_id", "hasura.user.id"].map(str::to_owned);
    SettingsPlan::new(&BTreeSet::from(names), &[])
}

fn session(tenant: Option<&str>) -> Session {
    Session {
        role: "user".into(),
        authority: Authority::Request,
        proof: Proof::Token,
        vars: SessionVars::new(),
        tenant: tenant.map(Arc::from),
        user: Some("u1".into()),
        claims: None,
        expires_at: None,
    }
}

const BODIES: &str =
    "select coalesce(json_agg(body order by id), '[]') from app.notes where id > $1";

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
    let fixture = Fixture::new("tenants").await;
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
        assert_eq!(pg.stats()[0].open, 1);
    }
}

#[tokio::test]
async fn nothing_of_a_transaction_remains_on_the_connection() {
    let fixture = Fixture::new("remains").await;
    let mut options = fixture.options();
    options.pool_size = 1;
    let pg = Pg::new(options).unwrap();
    let who = "select json_build_array(current_user, session_user, coalesce(current_setting('app.tenant_id', true), ''), coalesce(current_setting('transaction_read_only'), ''))";
    let session = session(Some("a"));
    let ctx = fixture.ctx(&session);
    for named in [true, false, true] {
        let got = text(&pg, &ctx, &Statement::new(who, named), &[]).await.unwrap();
        assert_eq!(got, format!("[\"{}\", \"{}\", \"a\", \"on\"]", fixture.role, fixture.login));
        let system = pg.begin_system("test").await.unwrap();
        let got = system.query_text(who, &[]).await.unwrap().unwrap();
        assert_eq!(got, format!("[\"{0}\", \"{0}\", \"\", \"off\"]", fixture.login));
        system.commit().await.unwrap();
    }
}
