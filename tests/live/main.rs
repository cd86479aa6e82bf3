//! Live queries against a served database: what wakes them, what they show,
//! and what happens when anything on the way fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "../ws/client.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod client;
mod fairness;
mod faults;
#[path = "../harness/mod.rs"]
mod harness;
mod left;
mod metadata;
mod processes;
mod reconnect;
mod restarts;
mod routing;
#[path = "../served/mod.rs"]
mod served;
mod sharing;
mod sockets;
mod streams;
mod triggers;
mod writers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, PATIENCE};
use harness::{TestDb, Token};
use ringfence::app::App;
use ringfence::live::LiveStats;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// So seldom that a test fails whose change is found by polling alone.
const NEVER: &str = "1h";

const SCHEMA: &str = "
    create table notes (
        id int primary key, tenant_id text not null, author text not null default '', body text);
    alter table notes enable row level security;
    create policy tenant on notes to app_user, app_editor
        using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')));
    insert into notes values (1, 'a', '1', 'of a'), (2, 'b', '2', 'of b');

    create table replies (
        id int primary key, note_id int references notes on delete cascade, body text);
    insert into replies values (1, 1, 'first');

    create table members (team int, member text, primary key (team, member));
    create table files (id int primary key, team int, name text);
    alter table files enable row level security;
    create policy member on files to app_user using (team in (
        select m.team from members m
        where m.member = nullif(current_setting('hasura.user.id', true), '')));
    insert into members values (1, '1');
    insert into files values (1, 1, 'one'), (2, 2, 'two');

    create function is_open(file int) returns boolean language plpgsql stable as
        $$ begin return exists (select from gates g where g.file = is_open.file and g.is_open); end $$;
    create table gates (file int primary key, is_open boolean);
    create table papers (id int primary key, title text);
    alter table papers enable row level security;
    create policy gate on papers to app_user using (is_open(id));
    insert into papers values (1, 'secret');
    insert into gates values (1, false);

    create table logs (at int, line text);
    create table parts (id int, region text, name text, primary key (id, region))
        partition by list (region);
    create table parts_north partition of parts for values in ('north');

    create table wide (id int primary key, tenant_id text, name text);
    alter table wide enable row level security;
    create policy wide on wide to app_user using (
        tenant_id = nullif(current_setting('app.tenant_id', true), '')
        or nullif(current_setting('hasura.user.id', true), '') is null);
    insert into wide values (1, 'a', 'a'), (2, 'b', 'b');

    create table shapes (id int primary key, tenant_id text, size int);
    alter table shapes enable row level security;
    create policy odd on shapes to app_user using (
        tenant_id = (select nullif(current_setting('app.tenant_id', true), '')) and 1 / size > -1);
    insert into shapes values (1, 'a', 1), (2, 'b', 1);

    grant select on all tables in schema public to app_user;
    grant select on notes to app_editor;
";

struct Server {
    db: TestDb,
    app: Arc<App>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Server {
    async fn start(settings: &[(&str, &str)]) -> Server {
        Server::start_on(TestDb::new(SCHEMA).await, settings).await
    }

    async fn start_on(db: TestDb, settings: &[(&str, &str)]) -> Server {
        // The login of replication is a superuser's to make.
        let owner = db.superuser_url();
        let mut all = vec![
            ("database.owner_url", owner.as_str()),
            ("database.allow_unsafe_roles", "true"),
            ("live.poll_interval", NEVER),
        ];
        all.extend(settings);
        let (app, address, stop) = serve(&db, &all).await;
        Server { db, app, address, stop }
    }

    async fn client(&self, tenant: &str, user: &str) -> Client {
        connect(self.address, &Token::new("user").tenant(tenant).user(user)).await
    }

    async fn sql(&self, sql: &str) {
        self.db.client().await.batch_execute(sql).await.expect("runs");
    }

    fn live(&self) -> LiveStats {
        self.app.engine.live().stats()
    }

    /// Waits until something holds of the live queries.
    async fn until(&self, what: &str, holds: impl Fn(&LiveStats) -> bool) {
        let start = Instant::now();
        while !holds(&self.live()) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.live());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Until no group polls and the log is followed.
    async fn until_woken(&self, groups: u64) {
        self.until("groups are woken", |live| {
            live.streaming && live.polled_groups == 0 && live.woken_groups == groups
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A server in this process.
async fn serve(
    db: &TestDb,
    settings: &[(&str, &str)],
) -> (Arc<App>, SocketAddr, CancellationToken) {
    serve_config(db.config(settings)).await
}

async fn serve_config(
    config: ringfence::config::Config,
) -> (Arc<App>, SocketAddr, CancellationToken) {
    use ringfence::session::AuthConfig;
    use ringfence::telemetry::metrics::Metrics;
    use ringfence::transport::{Authenticator, Edge, EdgeOptions, serve};

    let app = Arc::new(App::start(config).await.expect("starts"));
    let auth = AuthConfig::try_from(&app.config.auth).unwrap();
    let stop = CancellationToken::new();
    let edge = Arc::new(Edge::new(
        app.engine.clone(),
        Authenticator::new(&auth).unwrap(),
        EdgeOptions::from(&app.config),
        Arc::new(Metrics::new(Some(app.clone()))),
        Arc::new(|| Box::pin(async { Ok(()) })),
        stop.clone(),
        axum::Router::new(),
    ));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let grace = app.config.server.shutdown_grace;
    tokio::spawn(serve(listener, edge, stop.clone(), grace));
    (app, address, stop)
}

async fn connect(address: SocketAddr, token: &Token) -> Client {
    let mut client =
        Client::open(address, Some("graphql-transport-ws"), &[]).await.expect("is accepted");
    let init = json!({"type": "connection_init",
        "payload": {"headers": {"Authorization": token.bearer()}}});
    client.send(init.to_string()).await;
    assert_eq!(client.json().await["type"], "connection_ack");
    client
}

async fn subscribe(client: &mut Client, id: &str, query: &str) {
    let message = json!({"id": id, "type": "subscribe", "payload": {"query": query}});
    client.send(message.to_string()).await;
}

/// The next state: its root field.
async fn state(client: &mut Client, id: &str, root: &str) -> Value {
    let message = client.json().await;
    assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
    message["payload"]["data"][root].clone()
}

/// States until one is as it should be; each before must be one that may be.
async fn until_state(client: &mut Client, root: &str, wanted: &Value) {
    loop {
        let message = client.json().await;
        if &message["payload"]["data"][root] == wanted {
            return;
        }
        assert_eq!(message["type"], "next", "{message} instead of {wanted}");
    }
}

const NOTES: &str = "subscription { notes(order_by: {id: asc}) { body } }";
