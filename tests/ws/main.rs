//! GraphQL over WebSocket against a served database: both sub-protocols word
//! for word, who may open a socket, subscriptions under row-level security,
//! and clients that mean no good.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod client;
mod events;
#[path = "../harness/mod.rs"]
mod harness;
mod hostile;
mod keys;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_graphql::http::WsMessage;
use client::{Client, PATIENCE, Raw, Said};
use futures_util::{StreamExt, stream};
use harness::{ADMIN_SECRET, TestDb, Token};
use ringfence::app::App;
use ringfence::engine::executor::EngineExecutor;
use ringfence::session::AuthConfig;
use ringfence::telemetry::metrics::Metrics;
use ringfence::transport::{Authenticator, Edge, EdgeOptions, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TRANSPORT: Option<&str> = Some("graphql-transport-ws");
const LEGACY: Option<&str> = Some("graphql-ws");

const SCHEMA: &str = "
    create table notes (id int primary key, tenant_id text not null, body text);
    alter table notes enable row level security;
    create policy tenant on notes to app_user, app_editor
        using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')));
    grant select on notes to app_user, app_editor;
    insert into notes values (1, 'a', 'of a'), (2, 'b', 'of b');

    create function nap() returns text language plpgsql volatile as
        $$ begin perform pg_advisory_xact_lock_shared(7); return 'rested'; end $$;
    create view naps with (security_invoker) as select 1 as id, nap() as nap;
    grant select on naps to app_user;

    create table shapes (id int primary key, kind text, size int);
    alter table shapes enable row level security;
    create policy everybody on shapes to app_user using (1 / size > -1);
    grant select on shapes to app_user;
    insert into shapes values (1, 'round', 1);
";

struct Server {
    db: TestDb,
    app: Arc<App>,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(settings: &[(&str, &str)]) -> Server {
        Server::start_with(settings, |options| options).await
    }

    async fn start_with(
        settings: &[(&str, &str)],
        change: impl FnOnce(EdgeOptions) -> EdgeOptions,
    ) -> Server {
        let db = TestDb::new(SCHEMA).await;
        let fast = [
            ("live.poll_interval", "50ms"),
            ("websocket.keepalive", "1h"),
            ("database.lock_timeout", "off"),
        ];
        let settings: Vec<_> = fast.iter().chain(settings).copied().collect();
        let app = Arc::new(App::start(db.config(&settings)).await.expect("starts"));
        let auth = AuthConfig::try_from(&app.config.auth).unwrap();
        let stop = CancellationToken::new();
        let edge = Arc::new(Edge::new(
            app.engine.clone(),
            Authenticator::new(&auth).unwrap(),
            change(EdgeOptions::from(&app.config)),
            Arc::new(Metrics::new(Some(app.clone()))),
            Arc::new(|| Box::pin(async { Ok(()) })),
            stop.clone(),
            axum::Router::new(),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let grace = app.config.server.shutdown_grace;
        let serving = tokio::spawn(serve(listener, edge, stop.clone(), grace));
        Server { db, app, address, stop, serving }
    }

    async fn open(&self, protocol: Option<&str>) -> Client {
        Client::open(self.address, protocol, &[]).await.expect("is accepted")
    }

    /// A socket that is ready, for a user of tenant a.
    async fn ready(&self, protocol: Option<&str>) -> Client {
        let mut client = self.open(protocol).await;
        client.send(init(&bearer("a"))).await;
        assert_eq!(client.json().await["type"], "connection_ack");
        if protocol != TRANSPORT {
            assert_eq!(client.json().await["type"], "ka");
        }
        client
    }

    /// Keeps `naps` from being read until it is dropped.
    async fn hold_naps(&self) -> tokio_postgres::Client {
        let client = self.db.client().await;
        client.batch_execute("select pg_advisory_lock(7)").await.expect("locks");
        client
    }

    async fn sql(&self, sql: &str) {
        self.db.client().await.batch_execute(sql).await.expect("runs");
    }

    async fn metric(&self, line: &str) -> Option<f64> {
        let page = harness::http().get(format!("http://{}/metrics", self.address)).send().await;
        let page = page.unwrap().text().await.unwrap();
        let value = page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    /// Waits until a metric has a value.
    async fn until_metric(&self, line: &str, wanted: f64) {
        let waiting = async {
            while self.metric(line).await.unwrap_or_default() != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{line} {wanted}"));
    }
}

fn bearer(tenant: &str) -> String {
    Token::new("user").tenant(tenant).user("1").bearer()
}

/// A token that ends so many seconds from now.
fn short_lived(seconds: u64) -> Token {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Token::new("user").tenant("a").user("1").top("exp", now + seconds)
}

fn init(bearer: &str) -> String {
    json!({"type": "connection_init", "payload": {"headers": {"Authorization": bearer}}})
        .to_string()
}

fn start(id: &str, query: &str) -> String {
    json!({"id": id, "type": "start", "payload": {"query": query}}).to_string()
}

fn subscribe(id: &str, query: &str) -> String {
    json!({"id": id, "type": "subscribe", "payload": {"query": query}}).to_string()
}

const NOTES: &str = "subscription { notes(order_by: {id: asc}) { body } }";

/// The bodies in a state of [`NOTES`].
fn bodies(message: &Value) -> Vec<String> {
    let notes =
        message["payload"]["data"]["notes"].as_array().unwrap_or_else(|| panic!("{message}"));
    notes.iter().map(|note| note["body"].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_protocol_word_for_word() {
    let server = Server::start(&[]).await;
    let mut client = server.open(TRANSPORT).await;
    assert_eq!(client.protocol.as_deref(), TRANSPORT);
    client.send(init(&bearer("a"))).await;
    client
        .talk(
            r#"
            < {"type":"connection_ack"}
            > {"type":"ping"}
            < {"type":"pong"}
            > {"type":"ping","payload":{"n" : 1}}
            < {"type":"pong","payload":{"n" : 1}}
            > {"type":"pong"}
            > {"id":"q","type":"subscribe","payload":{"query":"query A($i: Int!) { notes(where: {id: {_eq: $i}}) { body } }","variables":{"i":1},"operationName":"A","extensions":{}}}
            < {"id":"q","type":"next","payload":{"data":{"notes":[{"body":"of a"}]}}}
            < {"id":"q","type":"complete"}
            > {"id":"q","type":"subscribe","payload":{"query":"{ nots { body } }"}}
            < {"id":"q","type":"error","payload":[{"message":"field \"nots\" not found in type: 'query_root'","extensions":{"path":"$.selectionSet.nots","code":"validation-failed"}}]}
            > {"id":"m\"1","type":"subscribe","payload":{"query":"mutation { nothing }"}}
            < {"id":"m\"1","type":"error","payload":[{"message":"no mutations exist","extensions":{"path":"$","code":"validation-failed"}}]}
            > {"id":"s","type":"subscribe","payload":{"query":"subscription { notes { body } }"}}
            < {"id":"s","type":"next","payload":{"data":{"notes":[{"body":"of a"}]}}}
            "#,
        )
        .await;
    server.sql("update notes set body = 'changed' where id = 1").await;
    client
        .talk(
            r#"
            < {"id":"s","type":"next","payload":{"data":{"notes":[{"body":"changed"}]}}}
            > {"id":"two","type":"subscribe","payload":{"query":"subscription { a: notes { id } b: notes { id } }"}}
            < {"id":"two","type":"error","payload":[{"message":"subscriptions must select one top level field","extensions":{"path":"$","code":"validation-failed"}}]}
            > {"id":"two","type":"subscribe","payload":{"query":"subscription @_multiple_top_level_fields { a: notes { id } b: notes { id } }"}}
            < {"id":"two","type":"next","payload":{"data":{"a":[{"id":1}],"b":[{"id":1}]}}}
            > {"id":"two","type":"complete"}
            > {"id":"s","type":"complete"}
            > {"id":"never","type":"complete"}
            > {"type":"connection_init"}
            x 4429 Too many initialisation requests
            "#,
        )
        .await;
    server.until_metric("ringfence_subscriptions", 0.0).await;
    server.until_metric("ringfence_sockets{protocol=\"graphql-transport-ws\"}", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_protocol_as_hasura_speaks_it() {
    let server = Server::start(&[]).await;
    for protocol in [LEGACY, None] {
        server.sql("update notes set body = 'of a' where id = 1").await;
        let mut client = server.open(protocol).await;
        assert_eq!(client.protocol.as_deref(), protocol);
        client
            .talk(
                r#"
                > {"id":"1","type":"start","payload":{"query":"{ notes { id } }"}}
                < {"type":"error","id":"1","payload":{"message":"start received before the connection is initialised","extensions":{"path":"$","code":"start-failed"}}}
                < {"type":"complete","id":"1"}
                "#,
            )
            .await;
        client.send(init(&bearer("a"))).await;
        client
            .talk(
                r#"
                < {"type":"connection_ack"}
                < {"type":"ka"}
                > {"id":"1","type":"start","payload":{"query":"{ notes { body } }"}}
                < {"type":"data","id":"1","payload":{"data":{"notes":[{"body":"of a"}]}}}
                < {"type":"complete","id":"1"}
                > {"id":"1","type":"start","payload":{"query":"{ nots { body } }"}}
                < {"type":"error","id":"1","payload":{"errors":[{"message":"field \"nots\" not found in type: 'query_root'","extensions":{"path":"$.selectionSet.nots","code":"validation-failed"}}]}}
                < {"type":"complete","id":"1"}
                > {"id":"s","type":"start","payload":{"query":"subscription { notes { body } }"}}
                < {"type":"data","id":"s","payload":{"data":{"notes":[{"body":"of a"}]}}}
                > {"id":"s","type":"start","payload":{"query":"{ notes { body } }"}}
                < {"type":"error","id":"s","payload":{"message":"an operation already exists with this id: s","extensions":{"path":"$","code":"start-failed"}}}
                < {"type":"complete","id":"s"}
                > {"type":"stop"}
                < {"type":"connection_error","payload":"parsing ClientMessage failed: the key 'id' was not present"}
                > {"type":"subscribe","id":"x"}
                < {"type":"connection_error","payload":"parsing ClientMessage failed: unexpected type for a message of a client: subscribe"}
                > not json
                < {"type":"connection_error","payload":"parsing ClientMessage failed: expected ident"}
                "#,
            )
            .await;
        server.sql("update notes set body = 'changed' where id = 1").await;
        client
            .talk(
                r#"
                < {"type":"data","id":"s","payload":{"data":{"notes":[{"body":"changed"}]}}}
                > {"id":"s","type":"stop"}
                > {"type":"connection_terminate"}
                x 1000
                "#,
            )
            .await;
    }

    // A rejected init, and what can be said after it.
    let mut client = server.open(LEGACY).await;
    client
        .talk(
            r#"
            > {"type":"connection_init","payload":{"headers":{"Authorization":"Bearer no"}}}
            < {"type":"connection_error","payload":"Could not verify JWT: JWSError (CompactDecodeError: expected three parts)"}
            > {"id":"1","type":"start","payload":{"query":"{ notes { id } }"}}
            < {"type":"error","id":"1","payload":{"message":"cannot start as connection_init failed with : Could not verify JWT: JWSError (CompactDecodeError: expected three parts)","extensions":{"path":"$","code":"start-failed"}}}
            < {"type":"complete","id":"1"}
            x 4403 Could not verify JWT: JWSError (CompactDecodeError: expected three parts)
            "#,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alives_and_pings_come_by_themselves() {
    let server = Server::start(&[("websocket.keepalive", "300ms"), ("websocket.ping", "2s")]).await;
    let mut client = server.ready(LEGACY).await;
    // It answers the pings that come between.
    for _ in 0..10 {
        assert_eq!(client.json().await, json!({"type": "ka"}));
    }
    client.talk("> {\"type\":\"connection_terminate\"}").await;
    // Whoever answers no ping is gone.
    let mut dead = Raw::open(server.address, "graphql-transport-ws").await;
    dead.say(&init(&bearer("a"))).await;
    let mut pings = 0;
    while let Some((first, _)) = dead.next().await {
        pings += usize::from(first == 0x89);
    }
    // What it said at first may have come after the first one.
    assert!(pings == 1 || pings == 2, "{pings} pings");
    server.until_metric("ringfence_socket_closes_total{code=\"none\",by=\"lost\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_codes_are_those_of_the_protocols() {
    let server = Server::start(&[("websocket.init_timeout", "30s")]).await;
    let init_a = init(&bearer("a"));
    let sub = subscribe("1", NOTES);
    let sub = sub.as_str();
    for (messages, code, reason) in [
        (&["{}"][..], 4400, "the key 'type' was not present"),
        (&[r#"["ping"]"#], 4400, "expected an object"),
        (
            &[r#"{"type":"start","id":"1"}"#],
            4400,
            "unexpected type for a message of a client: start",
        ),
        (
            &[r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#],
            4400,
            "expected a string, got a number ($.query)",
        ),
        (&[sub], 4401, "Unauthorized"),
        (
            &[r#"{"type":"connection_init","payload":{"Authorization":"Bearer x.y.z"}}"#],
            4403,
            "Could not verify JWT: JWSError (CompactDecodeError: a part is not base64url)",
        ),
        (&[&init_a, sub, sub], 4409, "Subscriber for 1 already exists"),
        (&[&init_a, &init_a], 4429, "Too many initialisation requests"),
    ] {
        let mut client = server.open(TRANSPORT).await;
        for message in messages {
            client.send(*message).await;
        }
        let closed = loop {
            match client.hear().await {
                Said::Text(_) => {}
                other => break other,
            }
        };
        assert_eq!(closed, Said::Close(code, reason.to_owned()), "{messages:?}");
    }

    let hasty = Server::start(&[("websocket.init_timeout", "300ms")]).await;
    for protocol in [TRANSPORT, LEGACY, None] {
        let mut silent = hasty.open(protocol).await;
        silent.talk("x 4408 Connection initialisation timeout").await;
    }
    // The library refuses a server that takes none of its protocols; so by hand.
    let mut unknown = Raw::open(server.address, "soap").await;
    assert_eq!(unknown.closed().await, Some(4406));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_must_be_one() {
    let server = Server::start(&[]).await;
    let ask = |headers: &'static [(&'static str, &'static str)]| {
        let mut request = harness::http().get(format!("http://{}/v1/graphql", server.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.unwrap() }
    };
    let answer = ask(&[("upgrade", "websocket"), ("connection", "upgrade")]).await;
    assert_eq!(answer.status(), 426);
    assert_eq!(answer.headers()["sec-websocket-version"], "13");
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["errors"][0]["extensions"]["code"], "bad-request");
    let answer = ask(&[
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "short"),
    ])
    .await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_proven_in_every_form_that_clients_use() {
    let cookie = json!({"type": "HS256", "key": harness::JWT_KEY, "header": {"type": "Cookie", "name": "session"}});
    let both = json!([{"type": "HS256", "key": harness::JWT_KEY}, cookie]).to_string();
    let server =
        Server::start(&[("auth.jwt", &both), ("server.cors_domains", "https://app.example.com")])
            .await;
    let token = Token::new("user").tenant("a").user("1").roles(&["user", "editor"]);
    let bearer = token.bearer();
    let other = Token::new("user").tenant("b").bearer();
    let plain = bearer.strip_prefix("Bearer ").unwrap();
    let cookie = format!("a=1; session={plain}");
    let other_cookie = format!("session={}", other.strip_prefix("Bearer ").unwrap());
    let in_upgrade = [("authorization", bearer.as_str())];
    for (headers, payload) in [
        (&[][..], json!({"headers": {"Authorization": bearer}})),
        (&[], json!({"headers": {"authorization": bearer}})),
        (&[], json!({"headers": {"AUTHORIZATION": bearer, "X-Hasura-Role": "editor"}})),
        (&[], json!({"Authorization": bearer})),
        (&[], json!({"authorization": bearer, "lang": "de", "headers": {}})),
        (&in_upgrade, json!({})),
        (&in_upgrade, Value::Null),
        (&[("cookie", cookie.as_str())], json!({})),
        // What the payload proves counts, whoever sits at the browser.
        (&[("cookie", other_cookie.as_str())], json!({"headers": {"Authorization": bearer}})),
        (&[("cookie", cookie.as_str()), ("origin", "https://app.example.com")], json!({})),
    ] {
        let mut client = Client::open(server.address, TRANSPORT, headers).await.unwrap();
        client.send(json!({"type": "connection_init", "payload": payload}).to_string()).await;
        client.talk(r#"< {"type":"connection_ack"}"#).await;
        client.send(subscribe("1", "{ notes { body } }")).await;
        assert_eq!(bodies(&client.json().await), ["of a"], "{headers:?} {payload}");
    }
    for (payload, reason) in [
        (
            json!({"headers": {"Authorization": bearer, "x-hasura-role": "admin"}}),
            "Your requested role",
        ),
        (json!({"Authorization": bearer, "headers": {"Authorization": other}}), "more than once"),
        (json!({"headers": {"x-hasura-admin-secret": "wrong"}}), "invalid x-hasura-admin-secret"),
    ] {
        let mut client = server.open(TRANSPORT).await;
        client.send(json!({"type": "connection_init", "payload": payload}).to_string()).await;
        let Said::Close(4403, said) = client.hear().await else { panic!("{payload}") };
        assert!(said.contains(reason), "{said}");
    }
    // The administrator sees all rows, and may look as somebody else.
    let mut client = server.open(TRANSPORT).await;
    let payload = json!({"headers": {"X-Hasura-Admin-Secret": ADMIN_SECRET}});
    client.send(json!({"type": "connection_init", "payload": payload}).to_string()).await;
    client.talk(r#"< {"type":"connection_ack"}"#).await;
    client.send(subscribe("1", NOTES)).await;
    assert_eq!(bodies(&client.json().await), ["of a", "of b"]);

    // A page that is not listed cannot open a socket at all.
    let foreign = [("origin", "https://evil.test"), ("cookie", cookie.as_str())];
    assert_eq!(Client::open(server.address, TRANSPORT, &foreign).await.err(), Some(403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_page_has_no_cookies_to_send() {
    let cookie = json!({"type": "HS256", "key": harness::JWT_KEY, "header": {"type": "Cookie", "name": "session"}});
    let server = Server::start(&[("auth.jwt", &cookie.to_string())]).await;
    let token = Token::new("user").tenant("a").mint();
    let cookie = format!("session={token}");
    let own = format!("http://{}", server.address);
    for (origin, seen) in [(own.as_str(), true), ("https://evil.test", false)] {
        let headers = [("origin", origin), ("cookie", cookie.as_str())];
        let mut client = Client::open(server.address, TRANSPORT, &headers).await.unwrap();
        client.talk("> {\"type\":\"connection_init\"}\n< {\"type\":\"connection_ack\"}").await;
        client.send(subscribe("1", "{ notes { body } }")).await;
        // Without its cookie the page is anybody, and anybody sees no notes.
        let kind = if seen { "next" } else { "error" };
        assert_eq!(client.json().await["type"], kind, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_get_changes_of_their_own_rows_only() {
    let server = Server::start(&[]).await;
    let mut of_a = server.ready(TRANSPORT).await;
    let mut of_b = server.open(LEGACY).await;
    of_b.send(init(&bearer("b"))).await;
    assert_eq!(of_b.json().await["type"], "connection_ack");
    assert_eq!(of_b.json().await["type"], "ka");
    of_a.send(subscribe("1", NOTES)).await;
    of_b.send(start("1", NOTES)).await;
    assert_eq!(bodies(&of_a.json().await), ["of a"]);
    assert_eq!(bodies(&of_b.json().await), ["of b"]);

    server.sql("insert into notes values (3, 'b', 'new')").await;
    assert_eq!(bodies(&of_b.json().await), ["of b", "new"]);
    // Written, but nothing that anybody sees has changed.
    server.sql("update notes set body = body").await;
    server.sql("update notes set tenant_id = 'a' where id = 3").await;
    assert_eq!(bodies(&of_a.json().await), ["of a", "new"]);
    assert_eq!(bodies(&of_b.json().await), ["of b"]);
    assert!(of_a.is_silent(Duration::from_millis(300)).await);
    assert!(of_b.is_silent(Duration::from_millis(300)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_raises_is_told_and_heals() {
    let server = Server::start(&[]).await;
    let mut client = server.ready(TRANSPORT).await;
    client.send(subscribe("1", "subscription { shapes { kind } }")).await;
    client.send(subscribe("2", NOTES)).await;
    let mut heard = [client.json().await, client.json().await];
    heard.sort_by_key(|message| message["id"].as_str().unwrap().to_owned());
    assert_eq!(heard[0]["payload"]["data"], json!({"shapes": [{"kind": "round"}]}));
    server.sql("update shapes set size = 0").await;
    let failed = client.json().await;
    assert_eq!((&failed["id"], &failed["type"]), (&json!("1"), &json!("next")), "{failed}");
    assert!(failed["payload"]["errors"][0]["message"].is_string(), "{failed}");
    // Once, and nobody else is disturbed.
    server.sql("update notes set body = 'still' where id = 1").await;
    assert_eq!(bodies(&client.json().await), ["still"]);
    server.sql("update shapes set size = 2, kind = 'flat'").await;
    let healed = client.json().await;
    assert_eq!(healed["payload"]["data"], json!({"shapes": [{"kind": "flat"}]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_to_postgres_cost_no_subscription() {
    let server = Server::start(&[]).await;
    let mut client = server.ready(TRANSPORT).await;
    client.send(subscribe("1", NOTES)).await;
    assert_eq!(bodies(&client.json().await), ["of a"]);
    for round in ["one", "two"] {
        server
            .sql(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and usename = 'test_authenticator'",
            )
            .await;
        server.sql(&format!("update notes set body = '{round}' where id = 1")).await;
        assert_eq!(bodies(&client.json().await), [round]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_subscriptions_follow_the_catalogue() {
    let server = Server::start(&[]).await;
    let (mut newer, mut older) = (server.ready(TRANSPORT).await, server.ready(LEGACY).await);
    let query = "subscription { notes { id body } }";
    newer.send(subscribe("1", query)).await;
    older.send(start("1", query)).await;
    let state = |body: Value| json!({"data": {"notes": [{"id": 1, "body": body}]}});
    assert_eq!(newer.json().await["payload"], state(json!("of a")));
    assert_eq!(older.json().await["payload"], state(json!("of a")));
    // The same document means something else now.
    server.sql("alter table notes alter column body type json using to_json(array[body])").await;
    assert_eq!(newer.json().await["payload"], state(json!(["of a"])));
    assert_eq!(older.json().await["payload"], state(json!(["of a"])));
    // And now nothing any more.
    server.sql("revoke select on notes from app_user").await;
    for (client, state) in [(&mut newer, "next"), (&mut older, "data")] {
        let mut message = client.json().await;
        if message["type"] == state {
            // Postgres has refused before the new catalogue was read.
            assert_eq!(message["payload"]["errors"][0]["extensions"]["code"], "permission-error");
            message = client.json().await;
        }
        assert_eq!((&message["id"], &message["type"]), (&json!("1"), &json!("error")), "{message}");
    }
    older.talk(r#"< {"type":"complete","id":"1"}"#).await;
    server.until_metric("ringfence_subscriptions", 0.0).await;
    assert_eq!(server.metric("ringfence_socket_operations").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_ends_with_its_token() {
    let server = Server::start(&[]).await;
    for protocol in [TRANSPORT, LEGACY] {
        let mut client = server.open(protocol).await;
        client.send(init(&short_lived(4).bearer())).await;
        assert_eq!(client.json().await["type"], "connection_ack");
        if protocol == LEGACY {
            assert_eq!(client.json().await["type"], "ka");
        }
        let begin = if protocol == TRANSPORT { subscribe } else { start };
        client.send(begin("1", NOTES)).await;
        assert_eq!(bodies(&client.json().await), ["of a"]);
        client.talk("x 4403 the token has expired").await;
    }
    server.until_metric("ringfence_subscriptions", 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_keeps_the_socket_and_its_subscriptions() {
    let server = Server::start(&[]).await;
    for protocol in [TRANSPORT, LEGACY] {
        server.sql("update notes set body = 'of a' where id = 1").await;
        let newer = protocol == TRANSPORT;
        let mut client = server.open(protocol).await;
        client.send(init(&short_lived(5).bearer())).await;
        assert_eq!(client.json().await["type"], "connection_ack");
        if !newer {
            assert_eq!(client.json().await["type"], "ka");
        }
        client.send(if newer { subscribe("1", NOTES) } else { start("1", NOTES) }).await;
        assert_eq!(bodies(&client.json().await), ["of a"]);

        let offer = |bearer: String| {
            let kind = if newer { "ping" } else { "connection_init" };
            json!({"type": kind, "payload": {"headers": {"Authorization": bearer}}}).to_string()
        };
        // Nobody else can take the socket over, and a bad token changes nothing.
        for refused in
            [bearer("b"), Token::new("user").tenant("a").user("2").bearer(), "Bearer x".into()]
        {
            client.send(offer(refused)).await;
            let answer = client.json().await;
            if newer {
                assert!(answer["payload"]["errors"][0]["message"].is_string(), "{answer}");
            } else {
                assert_eq!(answer["type"], "connection_error");
            }
        }
        client.send(offer(short_lived(3600).bearer())).await;
        let answer = client.json().await;
        if newer {
            assert_eq!(answer["type"], "pong");
            assert_eq!(answer["payload"]["session"]["role"], "user");
            assert!(answer["payload"]["session"]["expires_at"].is_u64(), "{answer}");
        } else {
            assert_eq!(answer["type"], "connection_ack");
            assert_eq!(client.json().await["type"], "ka");
        }
        // Past the end of the first token.
        assert!(client.is_silent(Duration::from_secs(6)).await);
        server.sql("update notes set body = 'still here' where id = 1").await;
        assert_eq!(bodies(&client.json().await), ["still here"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_renews_with_whatever_opens_a_socket_and_never_gives_it_back() {
    let issuer =
        |header: Value| json!({"type": "HS256", "key": harness::JWT_KEY, "header": header});
    let issuers = json!([
        issuer(json!({"type": "CustomHeader", "name": "X-Token"})),
        issuer(json!({"type": "Cookie", "name": "session"})),
    ]);
    let server = Server::start(&[("auth.jwt", &issuers.to_string())]).await;
    let (old, new) = (short_lived(60).mint(), short_lived(3600).mint());
    let cookie = |token: &str| json!({"cookie": format!("session={token}")});
    let secret = json!({"X-Hasura-Admin-Secret": ADMIN_SECRET});
    for (first, second, ends) in [
        (json!({"X-Token": old}), json!({"x-token": new}), true),
        (json!({"headers": {"X-Token": old}}), json!({"headers": {"X-Token": new}}), true),
        (cookie(&old), cookie(&new), true),
        (secret.clone(), secret, false),
    ] {
        let mut client = server.open(TRANSPORT).await;
        client.send(json!({"type": "connection_init", "payload": first}).to_string()).await;
        client.talk(r#"< {"type":"connection_ack"}"#).await;
        client.send(json!({"type": "ping", "payload": second}).to_string()).await;
        let pong = client.json().await;
        let session = &pong["payload"]["session"];
        assert_eq!(session.as_object().map(serde_json::Map::len), Some(2), "{pong}");
        assert_eq!(session["expires_at"].is_u64(), ends, "{pong}");
    }
    // Nor one that is refused.
    let mut client = server.open(TRANSPORT).await;
    client.send(json!({"type": "connection_init", "payload": {"X-Token": old}}).to_string()).await;
    client.talk(r#"< {"type":"connection_ack"}"#).await;
    let other = Token::new("user").tenant("b").mint();
    let wrong = format!("Bearer {other}");
    for payload in [
        json!({"X-TOKEN": other}),
        json!({"Authorization": wrong}),
        json!({"Headers": {"Authorization": wrong}}),
        json!({"HEADERS": {"X-Token": other}}),
    ] {
        client.send(json!({"type": "ping", "payload": payload}).to_string()).await;
        let pong = client.json().await;
        assert!(pong["payload"]["errors"][0]["message"].is_string(), "{pong}");
        assert!(!pong.to_string().contains(&other), "{pong}");
    }
    for key in ["token", "accessToken"] {
        client.send(json!({"type": "ping", "payload": {key: other}}).to_string()).await;
        assert_eq!(client.json().await, json!({"type": "pong"}));
    }
    client.send(json!({"type": "ping", "payload": {"n": 1}}).to_string()).await;
    client.talk(r#"< {"type":"pong","payload":{"n":1}}"#).await;
    client.send(json!({"type": "ping", "payload": {"headers": {wrong: 1}}}).to_string()).await;
    let Said::Close(code, reason) = client.hear().await else { panic!("is closed") };
    assert_eq!((code, &*reason), (4400, "a key of 'headers' is no name of a header"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_lets_executions_end_and_says_goodbye() {
    let server = Server::start(&[]).await;
    let mut busy = server.ready(TRANSPORT).await;
    let mut live = server.ready(LEGACY).await;
    let mut idle = server.open(TRANSPORT).await;
    live.send(start("1", NOTES)).await;
    assert_eq!(bodies(&live.json().await), ["of a"]);
    let hold = server.hold_naps().await;
    busy.send(subscribe("1", "{ naps { nap } }")).await;
    server.until_metric("ringfence_socket_operations", 2.0).await;
    server.stop.cancel();
    live.talk("x 1001 the server is stopping").await;
    idle.talk("x 1001 the server is stopping").await;
    drop(hold);
    busy.talk(
        r#"
        < {"id":"1","type":"next","payload":{"data":{"naps":[{"nap":"rested"}]}}}
        < {"id":"1","type":"complete"}
        x 1001 the server is stopping
        "#,
    )
    .await;
    tokio::time::timeout(PATIENCE, server.serving).await.expect("ends in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_at_a_server_that_stops_is_not_answered() {
    let server = Server::start(&[]).await;
    let mut early = TcpStream::connect(server.address).await.unwrap();
    // Accepted after that one.
    let socket = server.open(TRANSPORT).await;
    server.stop.cancel();
    let upgrade = "GET /v1/graphql HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    early.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, early.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "");
    drop(socket);
    tokio::time::timeout(PATIENCE, server.serving).await.expect("ends in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_a_socket_are_limited() {
    let server = Server::start(&[("websocket.operations", "2")]).await;
    let mut client = server.ready(TRANSPORT).await;
    for id in ["1", "2", "3"] {
        client.send(subscribe(id, NOTES)).await;
    }
    let mut refused = Vec::new();
    for _ in 0..3 {
        let message = client.json().await;
        if message["type"] == "error" {
            refused.push(message);
        }
    }
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["id"], "3");
    assert_eq!(refused[0]["payload"][0]["extensions"]["code"], "too-many-requests");
    assert_eq!(server.metric("ringfence_socket_operations").await, Some(2.0));
    client.send(r#"{"id":"1","type":"complete"}"#).await;
    client.send(subscribe("4", NOTES)).await;
    assert_eq!(client.json().await["id"], "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_limited() {
    let server = Server::start(&[
        ("websocket.sockets", "4"),
        ("websocket.sockets_per_user", "2"),
        ("websocket.sockets_per_address", "3"),
        ("server.trusted_proxies", "127.0.0.1/32"),
    ])
    .await;
    let open = |from: &'static str| {
        let address = server.address;
        async move { Client::open(address, TRANSPORT, &[("x-forwarded-for", from)]).await }
    };
    let mut sockets = Vec::new();
    for (from, refused) in [
        ("198.51.100.1", None),
        ("198.51.100.1", None),
        ("198.51.100.1", None),
        ("198.51.100.1", Some(429)),
        ("198.51.100.2", None),
        ("198.51.100.2", Some(503)),
    ] {
        match open(from).await {
            Ok(client) => sockets.push(client),
            Err(status) => assert_eq!(Some(status), refused, "{from}"),
        }
    }
    assert_eq!(sockets.len(), 4);
    drop(sockets);
    server.until_metric("ringfence_sockets{protocol=\"graphql-transport-ws\"}", 0.0).await;

    let mut sockets = Vec::new();
    for from in ["198.51.100.1", "198.51.100.2"] {
        let mut client = open(from).await.expect("is free");
        client.send(init(&bearer("a"))).await;
        client.talk(r#"< {"type":"connection_ack"}"#).await;
        sockets.push(client);
    }
    let mut third = open("198.51.100.3").await.expect("is free");
    third.send(init(&bearer("a"))).await;
    third.talk("x 4429 too many sockets of this user (websocket.sockets_per_user)").await;
    // Another tenant's user of the same name is another user.
    let mut other = open("198.51.100.3").await.expect("is free");
    other.send(init(&bearer("b"))).await;
    other.talk(r#"< {"type":"connection_ack"}"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_one_socket_do_not_wait_for_each_other() {
    let server = Server::start(&[("database.pool_size", "8")]).await;
    let hold = server.hold_naps().await;
    let mut client = server.ready(TRANSPORT).await;
    for n in 0..4 {
        client.send(subscribe(&format!("nap {n}"), "{ naps { nap } }")).await;
    }
    client.send(subscribe("quick", "{ notes { id } }")).await;
    for n in 0..40 {
        client.send(subscribe(&format!("live {n}"), NOTES)).await;
    }
    let mut first_states = 0;
    let mut quick = false;
    while first_states < 40 || !quick {
        let message = client.json().await;
        let id = message["id"].as_str().unwrap();
        match message["type"].as_str().unwrap() {
            "next" if id.starts_with("live") => first_states += 1,
            "next" if id == "quick" => quick = true,
            "complete" if id == "quick" => {}
            _ => panic!("{message}"),
        }
    }
    // A client that goes takes its executions with it.
    let napping = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event = 'advisory'";
    let count = async || hold.query_one(napping, &[]).await.unwrap().get::<_, i64>(0);
    let begun = async {
        while count().await < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("all four run");
    drop(client);
    server.until_metric("ringfence_socket_operations", 0.0).await;
    let gone = async {
        while count().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("they are cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_turn_runs_with_the_token_of_then() {
    let server = Server::start(&[("database.pool_size", "12")]).await;
    server
        .sql(
            "create view callers with (security_invoker) as
                select 1 as id, current_setting('request.jwt.claims', true) as claims;
             grant select on callers to app_user;",
        )
        .await;
    let hold = server.hold_naps().await;
    let token = |number: u32| Token::new("user").tenant("a").user("1").top("jti", number).bearer();
    let mut client = server.open(TRANSPORT).await;
    client.send(init(&token(1))).await;
    client.talk(r#"< {"type":"connection_ack"}"#).await;
    let asked = async |query: &str| {
        let request = harness::http().post(format!("http://{}/v1/graphql", server.address));
        let request = request.header("authorization", token(3));
        let body = json!({ "query": query }).to_string();
        let response = request.header("content-type", "application/json").body(body).send().await;
        response.unwrap().text().await.unwrap()
    };
    let known = async {
        while !asked("{ callers { claims } }").await.contains("data") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("the view is known");
    for n in 0..8 {
        client.send(subscribe(&format!("nap {n}"), "{ naps { nap } }")).await;
    }
    client.send(subscribe("waits", "{ callers { claims } }")).await;
    let payload = json!({"headers": {"Authorization": token(2)}});
    client.send(json!({"type": "ping", "payload": payload}).to_string()).await;
    let pong = client.json().await;
    assert_eq!(pong["payload"]["session"]["role"], "user", "{pong}");
    drop(hold);
    let answer = loop {
        let message = client.json().await;
        if message["id"] == "waits" {
            break message;
        }
    };
    let claims = answer["payload"]["data"]["callers"][0]["claims"].as_str();
    let claims: Value = serde_json::from_str(claims.expect("claims")).unwrap();
    assert_eq!(claims["jti"], 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standard_integration_answers_the_same() {
    let server = Server::start(&[]).await;
    let queries = ["{ notes { id body } }", "{ nots { id } }", "query A { a: notes { id } }"];
    let mut ours = Vec::new();
    let mut client = server.ready(TRANSPORT).await;
    for query in queries {
        client.send(subscribe("1", query)).await;
        let message = client.json().await;
        if message["type"] == "next" {
            client.talk(r#"< {"id":"1","type":"complete"}"#).await;
        }
        ours.push(message);
    }
    let auth = AuthConfig::try_from(&server.app.config.auth).unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", bearer("a").parse().unwrap());
    let session = Authenticator::new(&auth).unwrap().authenticate(&headers).await.unwrap();
    let executor = EngineExecutor::new(server.app.engine.clone());
    for (query, ours) in queries.iter().zip(&ours) {
        let messages =
            stream::iter([r#"{"type":"connection_init"}"#.to_owned(), subscribe("1", query)]);
        let session = session.clone();
        let mut socket = async_graphql::http::WebSocket::new(
            executor.clone(),
            messages.chain(stream::pending()),
            async_graphql::http::WebSocketProtocols::GraphQLWS,
        )
        .on_connection_init(|_| async {
            let mut data = async_graphql::Data::default();
            data.insert(session);
            Ok(data)
        });
        let mut next = async || match socket.next().await {
            Some(WsMessage::Text(text)) => serde_json::from_str::<Value>(&text).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(next().await["type"], "connection_ack");
        let theirs = next().await;
        // It knows one shape only, for answers and refusals.
        if ours["type"] == "next" {
            assert_eq!(theirs, *ours);
        } else {
            assert_eq!(theirs["payload"]["errors"][0]["message"], ours["payload"][0]["message"]);
        }
    }
}
