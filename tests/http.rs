//! GraphQL over HTTP as clients see it: media types, statuses, methods, bodies,
//! batches, compression, CORS, probes, and how the server stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::{ADMIN_SECRET, TestDb, Token};
use reqwest::{Method, StatusCode};
use ringfence::catalog;
use ringfence::config::Config;
use ringfence::engine::{Engine, EngineLimits};
use ringfence::pg::{ConnectionString, Options, Pg};
use ringfence::schema::{RoleMapping, SchemaOptions, tracked};
use ringfence::session::AuthConfig;
use ringfence::telemetry::metrics::Metrics;
use ringfence::transport::{Authenticator, Edge, EdgeOptions, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const SCHEMA: &str = "
    create table items (id int primary key, tenant text not null, name text, amount numeric);
    alter table items enable row level security;
    create policy own on items using (tenant = current_setting('app.tenant_id', true));
    insert into items select n, 'a', 'item ' || n, 12345678901234567890.120 from generate_series(1, 2000) n;
    insert into items values (9001, 'b', 'of b', 1);
    create view slow as select 1 as id from pg_sleep(2);
    create view wide as select n as id, repeat('x', 1000000) as name from generate_series(1, 60) n;
    create view endless as select 1 as id from pg_sleep(600);
    grant select on items, slow, wide, endless to app_user;
";
const SMALL: &str = "{items(where:{id:{_eq:1}}){id name}}";
const SMALL_ANSWER: &str = r#"{"data":{"items":[{"id":1,"name":"item 1"}]}}"#;

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    ready: Arc<AtomicBool>,
    serving: tokio::task::JoinHandle<()>,
    client: reqwest::Client,
    bearer: String,
    db: TestDb,
}

impl Server {
    async fn start(settings: &[(&str, &str)]) -> Self {
        Server::start_with(settings, Duration::from_secs(60)).await
    }

    async fn start_with(settings: &[(&str, &str)], read_time: Duration) -> Self {
        let db = TestDb::new(SCHEMA).await;
        let config = db.config(settings);
        let engine = Arc::new(engine(&db, &config).await);
        let auth = AuthConfig::try_from(&config.auth).unwrap();
        let stop = CancellationToken::new();
        let ready = Arc::new(AtomicBool::new(true));
        let is_ready = ready.clone();
        let edge = Arc::new(Edge::new(
            engine,
            Authenticator::new(&auth).unwrap(),
            EdgeOptions { read_time, write_time: read_time, ..EdgeOptions::from(&config) },
            Arc::new(Metrics::new(None)),
            Arc::new(move || {
                let ready = is_ready.load(Ordering::SeqCst);
                Box::pin(async move { if ready { Ok(()) } else { Err("no".to_owned()) } })
            }),
            stop.clone(),
            axum::Router::new().route(
                "/console",
                axum::routing::get(|| async { ([("content-encoding", "br")], vec![0_u8; 4096]) }),
            ),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving =
            tokio::spawn(serve(listener, edge, stop.clone(), config.server.shutdown_grace));
        let bearer = Token::new("user").tenant("a").user("1").bearer();
        Server { address, stop, ready, serving, client: harness::http(), bearer, db }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path)).header("authorization", &self.bearer)
    }

    fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.request(Method::POST, "/v1/graphql")
            .header("content-type", "application/json")
            .body(body)
    }

    fn ask(&self, query: &str) -> reqwest::RequestBuilder {
        self.post(json!({"query": query}).to_string())
    }

    /// Bytes to the server and what comes back until it closes.
    async fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

async fn engine(db: &TestDb, config: &Config) -> Engine {
    let request: ConnectionString = db.authenticator_url().parse().unwrap();
    let mut options = Options::new(request);
    options.pool_size = config.database.request_connections();
    options.pool_wait = config.database.pool_wait;
    options.owner = Some(db.owner_url().parse().unwrap());
    let pg = Pg::new(options).unwrap();
    let tx = pg.begin_system("load the catalogue").await.unwrap();
    let catalog = catalog::load::load(&tx, &config.schema).await.unwrap();
    tx.commit().await.unwrap();
    let options = SchemaOptions {
        roles: RoleMapping {
            map: config.roles.map.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            automap: true,
            authenticator: harness::AUTHENTICATOR.to_owned(),
            allow_unsafe: false,
        },
        ..SchemaOptions::default()
    };
    let limits = EngineLimits {
        depth: 12,
        nodes: 500,
        rows: None,
        insert_rows: 10_000,
        plan_cache_bytes: 1 << 20,
    };
    let tracked = tracked::without_metadata(Arc::new(catalog), &["public".to_owned()]).unwrap();
    Engine::new(pg, tracked, options, limits)
}

fn header<'r>(response: &'r reqwest::Response, name: &str) -> Option<&'r str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Status, code, path and message of an error answer without data.
async fn error_of(response: reqwest::Response) -> (StatusCode, String, String, String) {
    let status = response.status();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert!(body.get("data").is_none(), "{body}");
    let error = &body["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    let extensions = &error["extensions"];
    (status, text(&extensions["code"]), text(&extensions["path"]), text(&error["message"]))
}

#[tokio::test]
async fn media_types_decide_how_errors_show_in_the_status() {
    let server = Server::start(&[]).await;
    const RESPONSE: &str = "application/graphql-response+json";
    const BOTH: &str = "application/graphql-response+json, application/json;q=0.9";
    for accept in ["", "*/*", "application/json", "text/html,*/*;q=0.1", RESPONSE, BOTH] {
        let strict = accept.starts_with(RESPONSE);
        let accepting = |request: reqwest::RequestBuilder| match accept {
            "" => request,
            accept => request.header("accept", accept),
        };
        let expected = if strict { RESPONSE } else { "application/json" };
        for path in ["/v1/graphql", "/graphql"] {
            let request = server
                .request(Method::POST, path)
                .header("content-type", "application/json; charset=utf-8")
                .body(json!({"query": SMALL}).to_string());
            let response = accepting(request).send().await.unwrap();
            assert_eq!(response.status(), 200);
            let content_type = header(&response, "content-type").unwrap();
            assert_eq!(content_type, format!("{expected}; charset=utf-8"), "{accept}");
            assert_eq!(
                header(&response, "content-length").unwrap(),
                SMALL_ANSWER.len().to_string()
            );
            assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
            assert_eq!(response.text().await.unwrap(), SMALL_ANSWER);
        }
        for (request, strict_status, code) in [
            (server.ask("{nothing}"), 400, "validation-failed"),
            (server.ask("{"), 400, "validation-failed"),
            (server.post("{"), 400, "invalid-json"),
            (server.post("{}"), 400, "parse-failed"),
            (server.ask(SMALL).header("x-hasura-admin-secret", "no"), 401, "access-denied"),
            (server.ask(SMALL).header("x-hasura-role", "admin"), 401, "access-denied"),
        ] {
            let response = accepting(request).send().await.unwrap();
            let (status, found, ..) = error_of(response).await;
            assert_eq!(found, code);
            assert_eq!(
                status.as_u16(),
                if strict { strict_status } else { 200 },
                "{accept} {code}"
            );
        }
    }
    // Hasura's first endpoint tells failure in the status.
    let first = |query: &str| {
        let body = json!({"query": query}).to_string();
        let request = server.request(Method::POST, "/v1alpha1/graphql");
        request.header("content-type", "application/json").body(body).send()
    };
    assert_eq!(first(SMALL).await.unwrap().status(), 200);
    let (status, found, ..) = error_of(first("{nothing}").await.unwrap()).await;
    assert_eq!((status.as_u16(), &*found), (400, "validation-failed"));
}

#[tokio::test]
async fn malformed_requests_are_refused_with_the_same_body() {
    let server = Server::start(&[]).await;
    let graphql = "/v1/graphql";
    let query = json!({"query": SMALL}).to_string();
    let json_type = ("content-type", "application/json");
    for (method, headers, body, status, code, message) in [
        (Method::PUT, vec![json_type], &*query, 405, "method-not-allowed", "GET and POST"),
        (Method::DELETE, vec![], "", 405, "method-not-allowed", "GET and POST"),
        (Method::OPTIONS, vec![], "", 405, "method-not-allowed", "GET and POST"),
        (Method::POST, vec![], &query, 415, "unsupported-media-type", "Content-Type"),
        (
            Method::POST,
            vec![("content-type", "text/plain")],
            &query,
            415,
            "unsupported-media-type",
            "JSON",
        ),
        (
            Method::POST,
            vec![("content-type", "application/x-www-form-urlencoded")],
            &query,
            415,
            "unsupported-media-type",
            "JSON",
        ),
        (
            Method::POST,
            vec![("content-type", "application/json; charset=latin1")],
            &query,
            415,
            "unsupported-media-type",
            "UTF-8",
        ),
        (
            Method::POST,
            vec![json_type, json_type],
            &query,
            415,
            "unsupported-media-type",
            "one header",
        ),
        (
            Method::POST,
            vec![json_type, ("content-encoding", "zstd")],
            &query,
            415,
            "unsupported-media-type",
            "gzip, br",
        ),
        (
            Method::POST,
            vec![json_type, ("content-encoding", "gzip, gzip")],
            &query,
            415,
            "unsupported-media-type",
            "gzip, br",
        ),
        (
            Method::POST,
            vec![json_type, ("content-encoding", "gzip")],
            &query,
            400,
            "bad-request",
            "decompressed",
        ),
    ] {
        let mut request = server.request(method.clone(), graphql).body(body.to_owned());
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let allow = header(&response, "allow").map(str::to_owned);
        let (found, found_code, path, text) = error_of(response).await;
        assert_eq!((found.as_u16(), &*found_code, &*path), (status, code, "$"), "{headers:?}");
        assert!(text.contains(message), "{text}");
        assert_eq!(allow.as_deref(), (status == 405).then_some("GET, POST"));
    }
    let response = server.post(b"{\"query\":\"\xff\"}".to_vec()).send().await.unwrap();
    let (_, code, _, message) = error_of(response).await;
    assert_eq!((&*code, message.contains("byte 10")), ("invalid-json", true), "{message}");

    let twice = server.ask(SMALL).header("authorization", "Bearer x").send().await.unwrap();
    assert_eq!(error_of(twice).await.1, "invalid-headers");
    let unknown = server.request(Method::GET, "/v1/nothing").send().await.unwrap();
    let (status, code, ..) = error_of(unknown).await;
    assert_eq!((status.as_u16(), &*code), (404, "not-found"));
}

#[tokio::test]
async fn get_serves_queries_only() {
    let server = Server::start(&[]).await;
    let get = |pairs: &[(&str, &str)]| {
        let mut url = reqwest::Url::parse(&server.url("/v1/graphql")).unwrap();
        for (name, value) in pairs {
            let escape =
                |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
            let query = match url.query() {
                Some(query) => format!("{query}&{name}={}", escape(value)),
                None => format!("{name}={}", escape(value)),
            };
            url.set_query(Some(&query));
        }
        server.client.get(url).header("authorization", &server.bearer)
    };
    let response = get(&[
        ("query", "query A($id: Int!) {items(where:{id:{_eq:$id}}){id name}} query B {items{id}}"),
        ("operationName", "A"),
        ("variables", "{\"id\": 1}"),
        ("extensions", "{}"),
    ])
    .send()
    .await
    .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(response.text().await.unwrap(), SMALL_ANSWER);

    let response = get(&[("query", "mutation {delete_items(where:{}){affected_rows}}")]);
    let response = response.send().await.unwrap();
    assert_eq!(header(&response, "allow"), Some("POST"));
    let (status, code, ..) = error_of(response).await;
    assert_eq!((status.as_u16(), &*code), (405, "method-not-allowed"));

    for (pairs, code, path) in [
        (&[][..], "parse-failed", "$"),
        (&[("query", SMALL), ("query", SMALL)], "parse-failed", "$"),
        (&[("query", SMALL), ("variables", "{")], "invalid-json", "$.variables"),
        (&[("query", SMALL), ("variables", "[1]")], "parse-failed", "$.variables"),
        (&[("query", SMALL), ("extensions", "{")], "invalid-json", "$.extensions"),
        (&[("query", SMALL), ("extensions", "[1]")], "parse-failed", "$.extensions"),
        (
            &[("query", SMALL), ("extensions", "{\"live\":{\"hash\":5}}")],
            "parse-failed",
            "$.extensions.live.hash",
        ),
    ] {
        let (status, found, at, _) = error_of(get(pairs).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &*found, &*at), (200, code, path), "{pairs:?}");
    }
    let denied = server.client.get(server.url("/v1/graphql?query={items{id}}")).send();
    assert_eq!(error_of(denied.await.unwrap()).await.1, "validation-failed", "anonymous");
}

#[tokio::test]
async fn batches_answer_in_order_and_fail_alone() {
    let server = Server::start(&[("limits.batch", "3")]).await;
    let one = |id: i32| json!({"query": format!("{{items(where:{{id:{{_eq:{id}}}}}){{id}}}}")});
    let body = json!([one(2), {"query": "{nothing}"}, one(1)]).to_string();
    let response = server.post(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let answers: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(answers[0], json!({"data": {"items": [{"id": 2}]}}));
    assert_eq!(answers[1]["errors"][0]["extensions"]["code"], "validation-failed");
    assert_eq!(answers[2], json!({"data": {"items": [{"id": 1}]}}));

    let answers = server.post("[7, {}]").send().await.unwrap().text().await.unwrap();
    let answers: Value = serde_json::from_str(&answers).unwrap();
    assert_eq!(answers[0]["errors"][0]["extensions"]["path"], "$[0]");
    assert_eq!(answers[1]["errors"][0]["extensions"]["path"], "$[1]");
    assert_eq!(server.post("[]").send().await.unwrap().text().await.unwrap(), "[]");

    let many = json!([one(1), one(1), one(1), one(1)]).to_string();
    let (status, code, _, message) = error_of(server.post(many).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &*code), (200, "bad-request"));
    assert!(message.contains("at most 3"), "{message}");
    let huge = format!("[{}]", "0,".repeat(400_000).trim_end_matches(','));
    let (_, code, ..) = error_of(server.post(huge).send().await.unwrap()).await;
    assert_eq!(code, "bad-request");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_are_bounded_before_and_after_decompression() {
    let server = Server::start(&[]).await;
    let padded = |bytes: usize| {
        let mut body = json!({"query": SMALL}).to_string().into_bytes();
        body.resize(bytes, b' ');
        body
    };
    let limit = 1024 * 1024;
    // Just fits, plain and compressed.
    let response = server.post(padded(limit)).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), SMALL_ANSWER);
    let packed = server.post(gzip(&padded(limit))).header("content-encoding", "gzip");
    assert_eq!(packed.send().await.unwrap().text().await.unwrap(), SMALL_ANSWER);
    let identity = server.post(padded(100)).header("content-encoding", "identity");
    assert_eq!(identity.send().await.unwrap().text().await.unwrap(), SMALL_ANSWER);
    // `{"query":"{items(where:{id:{_eq:1}}){id name}}"}` as stored brotli.
    let small = json!({"query": SMALL}).to_string();
    let brotli = stored_brotli(small.as_bytes());
    let packed = server.post(brotli).header("content-encoding", "br");
    assert_eq!(packed.send().await.unwrap().text().await.unwrap(), SMALL_ANSWER);

    let bomb = gzip(&vec![b' '; 200 * 1024 * 1024]);
    assert!(bomb.len() < limit);
    for (what, request) in [
        ("one byte more", server.post(padded(limit + 1))),
        ("ten megabytes", server.post(padded(10 * 1024 * 1024))),
        ("a bomb", server.post(bomb.clone()).header("content-encoding", "gzip")),
        (
            "a byte more unpacked",
            server.post(gzip(&padded(limit + 1))).header("content-encoding", "gzip"),
        ),
    ] {
        let (status, code, _, message) = error_of(request.send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &*code), (413, "payload-too-large"), "{what}");
        assert!(message.contains("1048576"), "{message}");
    }
    // Without a length: the body is cut where it becomes too large.
    let mut chunked = format!(
        "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n",
        server.bearer
    )
    .into_bytes();
    for _ in 0..10 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 1 << 20));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = server.raw(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Who asks first is told before it sends.
    let asking = format!(
        "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: 10000000\r\nexpect: 100-continue\r\n\r\n",
        server.bearer
    );
    let answer = server.raw(asking.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let response = server.ask(SMALL).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), SMALL_ANSWER, "the server goes on");
}

/// Who proves nothing cannot make the server keep much.
#[tokio::test]
async fn strangers_send_small_bodies() {
    let server = Server::start(&[("limits.anonymous_body", "2KiB")]).await;
    let mut body = json!({"query": "{ __typename }"}).to_string().into_bytes();
    let ask = |body: Vec<u8>, bearer: bool| {
        let request = server.client.post(server.url("/v1/graphql"));
        let request = request.header("content-type", "application/json").body(body);
        if bearer { request.header("authorization", &server.bearer) } else { request }
    };
    body.resize(2048, b' ');
    let known = ask(body.clone(), false).send().await.unwrap();
    assert_eq!(known.text().await.unwrap(), r#"{"data":{"__typename":"query_root"}}"#);
    let packed = ask(gzip(&[body.as_slice(), b" "].concat()), false);
    for (what, request) in [
        ("a byte more", ask([body.as_slice(), b" "].concat(), false)),
        ("a byte more unpacked", packed.header("content-encoding", "gzip")),
    ] {
        let (status, code, _, message) = error_of(request.send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &*code), (413, "payload-too-large"), "{what}");
        assert!(message.contains("2048 bytes (limits.anonymous_body)"), "{message}");
    }
    body.resize(100_000, b' ');
    let own = ask(body, true).send().await.unwrap();
    assert_eq!(own.status(), 200);

    // It cannot raise the limit of all.
    let server = Server::start(&[("limits.body", "1KiB")]).await;
    let request = server.client.post(server.url("/v1/graphql")).body(" ".repeat(2000));
    let refused = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(error_of(refused).await.0.as_u16(), 413);
}

/// A brotli stream of one uncompressed block (RFC 7932).
fn stored_brotli(bytes: &[u8]) -> Vec<u8> {
    // Window 16 bits: "0". Not last "0", four nibbles "00", length - 1, uncompressed "1".
    let length = bytes.len() - 1;
    let bits = (length << 4) | (1 << 20);
    let mut out = vec![bits as u8, (bits >> 8) as u8, (bits >> 16) as u8];
    out.extend_from_slice(bytes);
    // Last, empty.
    out.push(0b11);
    out
}

#[tokio::test]
async fn numbers_keep_their_digits_both_ways() {
    let server = Server::start(&[]).await;
    let query = "query($a: numeric!) {items(where:{amount:{_eq:$a}}, limit: 1){amount}}";
    let body = format!(r#"{{"query":"{query}","variables":{{"a":12345678901234567890.120}}}}"#);
    let answer = server.post(body).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, r#"{"data":{"items":[{"amount":12345678901234567890.120}]}}"#);
}

#[tokio::test]
async fn large_answers_are_compressed_when_asked_for() {
    let server = Server::start(&[]).await;
    let query = "{items(order_by:{id:asc}){id name amount}}";
    let plain = server.ask(query).send().await.unwrap();
    assert_eq!(header(&plain, "content-encoding"), None);
    let length: usize = header(&plain, "content-length").unwrap().parse().unwrap();
    let plain = plain.bytes().await.unwrap();
    assert_eq!(plain.len(), length);
    assert!(length > 50_000);
    for (accept, encoding) in [
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("gzip, br", Some("br")),
        ("br;q=0, gzip", Some("gzip")),
        ("identity", None),
        ("zstd", None),
    ] {
        let response = server.ask(query).header("accept-encoding", accept).send().await.unwrap();
        assert_eq!(header(&response, "content-encoding"), encoding, "{accept}");
        let body = response.bytes().await.unwrap();
        let mut unpacked = Vec::new();
        match encoding {
            Some("gzip") => {
                std::io::copy(&mut flate2::read::GzDecoder::new(&*body), &mut unpacked).unwrap();
            }
            Some(_) => {
                let mut decoder = brotli_decompressor::Decompressor::new(&*body, 4096);
                std::io::copy(&mut decoder, &mut unpacked).unwrap();
            }
            None => unpacked.extend_from_slice(&body),
        }
        assert!(unpacked == plain, "{accept}");
        assert!(encoding.is_none() || body.len() < length / 2, "{accept}");
    }
    let small = server.ask(SMALL).header("accept-encoding", "gzip, br").send().await.unwrap();
    assert_eq!(header(&small, "content-encoding"), None);
    let stored =
        server.request(Method::GET, "/console").header("accept-encoding", "gzip, br").send();
    let stored = stored.await.unwrap();
    assert_eq!(header(&stored, "content-encoding"), Some("br"), "not compressed again");
    assert_eq!(stored.bytes().await.unwrap().len(), 4096);
}

#[tokio::test]
async fn browsers_of_listed_origins_may_call() {
    let preflight = |server: &Server, origin: &str| {
        server
            .client
            .request(Method::OPTIONS, server.url("/v1/graphql"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let listed =
        Server::start(&[("server.cors_domains", "https://app.example.com,https://*.example.org")])
            .await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://x.example.org", true),
        ("https://evil.test", false),
    ] {
        let response = preflight(&listed, origin).send().await.unwrap();
        assert_eq!(response.status(), 204);
        let expected = allowed.then_some(origin);
        assert_eq!(header(&response, "access-control-allow-origin"), expected);
        let credentials = header(&response, "access-control-allow-credentials");
        assert_eq!(credentials, allowed.then_some("true"));
        let headers = header(&response, "access-control-allow-headers");
        assert_eq!(headers, allowed.then_some("authorization,content-type"));
        let response = listed.ask(SMALL).header("origin", origin).send().await.unwrap();
        assert_eq!(header(&response, "access-control-allow-origin"), expected);
        assert_eq!(header(&response, "vary"), Some("origin"));
    }
    let any = Server::start(&[]).await;
    let response = preflight(&any, "https://evil.test").send().await.unwrap();
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(&response, "access-control-allow-credentials"), None);
    let off = Server::start(&[("server.cors", "false")]).await;
    let response = preflight(&off, "https://app.example.com").send().await.unwrap();
    assert_eq!(header(&response, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let server = Server::start(&[]).await;
    for path in ["/healthz", "/v1/graphql", "/nothing", "/metrics"] {
        let request = server.request(Method::GET, path).header("x-request-id", "my-id.7");
        let response = request.send().await.unwrap();
        assert_eq!(header(&response, "x-request-id"), Some("my-id.7"), "{path}");
    }
    let long = "x".repeat(200);
    for strange in ["a b", "\"quoted\"", "<script>", long.as_str()] {
        let response = server.ask(SMALL).header("x-request-id", strange).send().await.unwrap();
        let id = header(&response, "x-request-id").unwrap();
        assert!(id.len() == 36 && id != strange, "{id}");
    }
}

#[tokio::test]
async fn probes_and_metrics_answer() {
    let server = Server::start(&[]).await;
    let get = |path: &str| server.client.get(server.url(path)).send();
    for path in ["/healthz", "/health", "/livez", "/readyz"] {
        let response = get(path).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.text().await.unwrap(), "OK");
    }
    let post = server.client.post(server.url("/healthz")).send().await.unwrap();
    assert_eq!(header(&post, "allow"), Some("GET, HEAD"));
    assert_eq!(error_of(post).await.0, 405);
    let version: Value =
        serde_json::from_str(&get("/v1/version").await.unwrap().text().await.unwrap()).unwrap();
    assert!(version["version"].as_str().unwrap().starts_with('v'));

    server.ask(SMALL).send().await.unwrap();
    server.ask("{nothing}").send().await.unwrap();
    let page = get("/metrics").await.unwrap();
    assert!(header(&page, "content-type").unwrap().starts_with("application/openmetrics-text"));
    let page = page.text().await.unwrap();
    for line in [
        "ringfence_http_requests_total{endpoint=\"graphql\",status=\"200\"} 2",
        "ringfence_errors_total{code=\"validation-failed\"} 1",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }

    server.ready.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(get("/readyz").await.unwrap().status(), 503);
    assert_eq!(get("/healthz").await.unwrap().status(), 200, "alive all the same");
    let hidden = Server::start(&[("telemetry.metrics", "false")]).await;
    let response = hidden.client.get(hidden.url("/metrics")).send().await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = Server::start(&[]).await;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "x".repeat(200_000));
    let answer = server.raw(long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..1000).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let answer = server.raw(many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = server.raw(b"nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Two lengths: what one proxy takes for the body, another takes for a request.
    let smuggled = b"POST /v1/graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\
                     content-length: 5\r\n\r\n{}GET";
    let answer = server.raw(smuggled).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn slow_clients_are_not_waited_for() {
    let server = Server::start_with(&[], Duration::from_millis(200)).await;
    // Each ends by itself, or the test would never do.
    let answer = server.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let head = format!(
        "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        server.bearer
    );
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("time-limit-exceeded"), "{answer}");
}

#[tokio::test]
async fn bodies_of_strangers_are_not_waited_for() {
    let server = Server::start(&[]).await;
    // The server closes by itself although the body has not ended.
    for framing in [
        "content-length: 1000000\r\n\r\n{",
        "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
        "content-length: 1000000\r\nexpect: 100-continue\r\n\r\n",
    ] {
        let head = "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\ncontent-type: application/json\r\n";
        let answer = server.raw(format!("{head}{framing}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{framing}: {answer}");
        assert!(answer.contains("connection: close"), "{framing}: {answer}");
        assert!(answer.contains("invalid-jwt"), "{framing}: {answer}");
    }
    // A body that is there is read over, and the connection goes on.
    let one = "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\ncontent-type: application/json\r\n\
               content-length: 2\r\n\r\n{}";
    let answer = server.raw(format!("{one}{one}GET / HTTP/1.0\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.matches("invalid-jwt").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let settings = [("server.shutdown_grace", "1h")];
    let server = Server::start_with(&settings, Duration::from_millis(500)).await;
    let body = json!({"query": "{wide{id name}}"}).to_string();
    let request = format!(
        "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        server.bearer,
        body.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    // The connection is all that the server waits for.
    server.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), server.serving).await;
    ended.expect("the connection is dropped").unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_stop_lets_running_requests_end() {
    let server = Server::start(&[("server.shutdown_grace", "30s")]).await;
    let running = tokio::spawn(server.ask("{slow{id}}").send());
    until(&server.db, "select count(*) = 1 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%slow%' and pid <> pg_backend_pid()").await;
    server.stop.cancel();
    let response = running.await.unwrap().unwrap();
    assert_eq!(response.text().await.unwrap(), r#"{"data":{"slow":[{"id":1}]}}"#);
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "the door is closed");
}

#[tokio::test]
async fn what_outlives_the_grace_period_is_cancelled() {
    let server = Server::start(&[("server.shutdown_grace", "200ms")]).await;
    let running = tokio::spawn(server.ask("{endless{id}}").send());
    until(&server.db, ENDLESS_RUNS).await;
    server.stop.cancel();
    server.serving.await.unwrap();
    assert!(running.await.unwrap().is_err(), "the connection is cut");
    until(&server.db, ENDLESS_ENDED).await;
}

const ENDLESS_RUNS: &str = "select count(*) = 1 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%endless%' and pid <> pg_backend_pid()";
const ENDLESS_ENDED: &str = "select count(*) = 0 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%endless%' and pid <> pg_backend_pid()";

#[tokio::test]
async fn overload_is_said_in_the_status() {
    let server =
        Server::start(&[("database.pool_size", "1"), ("database.pool_wait", "50ms")]).await;
    let running = tokio::spawn(server.ask("{slow{id}}").send());
    until(&server.db, "select count(*) = 1 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%slow%' and pid <> pg_backend_pid()").await;
    for accept in ["application/json", "application/graphql-response+json"] {
        let response = server.ask(SMALL).header("accept", accept).send().await.unwrap();
        let seconds: u32 = header(&response, "retry-after").unwrap().parse().unwrap();
        assert!(seconds > 0);
        let (status, code, ..) = error_of(response).await;
        assert_eq!((status.as_u16(), &*code), (503, "service-unavailable"), "{accept}");
    }
    assert!(running.await.unwrap().unwrap().status().is_success());
}

async fn until(db: &TestDb, sql: &str) {
    let client = db.client().await;
    loop {
        let row = client.query_one(sql, &[]).await.unwrap();
        if row.get::<_, bool>(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_has_its_statement_cancelled() {
    let server = Server::start(&[]).await;
    let body = json!({"query": "{endless{id}}"}).to_string();
    let request = format!(
        "POST /v1/graphql HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        server.bearer,
        body.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    until(&server.db, ENDLESS_RUNS).await;
    drop(stream);
    until(&server.db, ENDLESS_ENDED).await;
    let response = server.ask(SMALL).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), SMALL_ANSWER);
}

#[tokio::test]
async fn tenants_are_apart_over_one_connection() {
    let server = Server::start(&[]).await;
    let query = json!({"query": "{items(where:{id:{_in:[1,9001]}}){id}}"}).to_string();
    for _ in 0..5 {
        for (tenant, expected) in [("a", "[{\"id\":1}]"), ("b", "[{\"id\":9001}]"), ("", "[]")] {
            let mut token = Token::new("user");
            if !tenant.is_empty() {
                token = token.tenant(tenant);
            }
            let request = server
                .client
                .post(server.url("/v1/graphql"))
                .header("content-type", "application/json")
                .header("authorization", token.bearer())
                .body(query.clone());
            let answer = request.send().await.unwrap().text().await.unwrap();
            assert_eq!(answer, format!("{{\"data\":{{\"items\":{expected}}}}}"));
        }
    }
    let admin = server
        .client
        .post(server.url("/v1/graphql"))
        .header("content-type", "application/json")
        .header("x-hasura-admin-secret", ADMIN_SECRET)
        .header("x-hasura-role", "user")
        .header("x-hasura-tenant-id", "b")
        .body(query);
    let answer = admin.send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, r#"{"data":{"items":[{"id":9001}]}}"#);
}
