//! A real nginx with the configuration of `nginx/` in front of two instances,
//! and the files of a whole installation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;
mod served;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{TestDb, Token};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use served::{Instance, PATIENCE, Running, free_address, raw, wait_for};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

const SCHEMA: &str = "
    create table notes (id int primary key, tenant_id text not null, body text not null);
    alter table notes enable row level security;
    create policy tenant on notes to app_user
        using (tenant_id = (select current_setting('app.tenant_id', true)));
    grant select on notes to app_user;
    insert into notes values (1, 'a', 'of a'), (2, 'b', 'of b');
    create table pages (id int primary key, tenant_id text not null, body text not null);
    alter table pages enable row level security;
    create policy tenant on pages to app_user
        using (tenant_id = (select current_setting('app.tenant_id', true)));
    grant select on pages to app_user;
    create table counts (tenant_id text primary key, n int not null);
    alter table counts enable row level security;
    create policy tenant on counts to app_user
        using (tenant_id = (select current_setting('app.tenant_id', true)));
    grant select, update on counts to app_user;
    insert into counts values ('a', 0), ('b', 0);
    insert into pages
        select i, case i % 2 when 0 then 'a' else 'b' end, repeat(md5(i::text), 9) || ' größer'
        from generate_series(1, 4000) i;
";

type Socket = WebSocket<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>;

/// nginx with the project's own files; only `site/` is the test's.
struct Edge {
    _process: Running,
    https: SocketAddr,
    http: SocketAddr,
    certificate: String,
    folder: PathBuf,
}

impl Edge {
    fn start(instances: [SocketAddr; 2]) -> Edge {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "edge-{}-{:x}",
            std::process::id(),
            rand::random::<u32>()
        ));
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("nginx"), &folder);
        let (https, http) = (free_address(), free_address());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = own.cert.pem();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("tls.crt", &certificate);
        write("tls.key", &own.signing_key.serialize_pem());
        write("site/certificate.conf", "ssl_certificate tls.crt;\nssl_certificate_key tls.key;\n");
        write("site/listen-http.conf", &format!("listen {http};\n"));
        write("site/listen-https.conf", &format!("listen {https} ssl http2;\n"));
        // As it is shipped, but for the addresses.
        let mut upstream = fs::read_to_string(folder.join("site/upstream.conf")).unwrap();
        for (number, instance) in (1..).zip(instances) {
            let shipped = format!("ringfence-{number}:8080");
            assert!(upstream.contains(&shipped), "{upstream}");
            upstream = upstream.replace(&shipped, &instance.to_string());
        }
        write("site/upstream.conf", &upstream);
        let child = Command::new("nginx")
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("stderr.log")).unwrap())
            .spawn()
            .expect("nginx is installed: apt-get install nginx-light");
        let edge = Edge { _process: Running(child), https, http, certificate, folder };
        let start = Instant::now();
        while TcpStream::connect(https).is_err() {
            let said = fs::read_to_string(edge.folder.join("stderr.log")).unwrap();
            assert!(start.elapsed() < PATIENCE && !said.contains("[emerg]"), "nginx: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        edge
    }

    fn client(&self, from: Ipv4Addr) -> reqwest::Client {
        provider();
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap()])
            .resolve("localhost", self.https)
            .local_address(IpAddr::V4(from))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https.port())
    }

    /// A WebSocket, past its handshake.
    fn socket(&self, protocol: &str) -> Socket {
        self.try_socket(protocol).unwrap()
    }

    fn try_socket(&self, protocol: &str) -> Result<Socket, String> {
        let tls = self.tls(&rustls::version::TLS13, b"http/1.1");
        let tcp = TcpStream::connect(self.https).map_err(|error| error.to_string())?;
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = "wss://localhost/v1/graphql".into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let stream = rustls::StreamOwned::new(tls, tcp);
        let opened = tokio_tungstenite::tungstenite::client(request, stream);
        opened.map(|(socket, _)| socket).map_err(|error| error.to_string())
    }

    fn tls(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        protocol: &[u8],
    ) -> rustls::ClientConnection {
        provider();
        let mut roots = rustls::RootCertStore::empty();
        let der = rustls::pki_types::CertificateDer::from_pem_slice(self.certificate.as_bytes());
        roots.add(der.unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        rustls::ClientConnection::new(Arc::new(config), name).unwrap()
    }

    /// The TLS version and application protocol that a client and nginx agree on.
    fn handshake(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        protocol: &[u8],
    ) -> Result<(rustls::ProtocolVersion, Vec<u8>), String> {
        let mut tls = self.tls(version, protocol);
        let mut tcp = TcpStream::connect(self.https).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).map_err(|e| e.to_string())?;
        }
        let agreed = tls.alpn_protocol().unwrap_or_default().to_vec();
        Ok((tls.protocol_version().unwrap(), agreed))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

fn provider() {
    // A second test of this process finds it installed.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if name == "tls" {
            continue; // a certificate of the developer's own installation
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn notes(client: &reqwest::Client, edge: &Edge, tenant: &str) -> reqwest::RequestBuilder {
    client
        .post(edge.url("/v1/graphql"))
        .header("authorization", Token::new("user").tenant(tenant).bearer())
        .header("content-type", "application/json")
        .body(r#"{"query":"{ notes { body } }"}"#)
}

async fn body(answer: reqwest::Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_in_front_of_two_instances() {
    let db = TestDb::new(SCHEMA).await;
    let (mut one, two) = (Instance::start(&db), Instance::start(&db));
    let edge = Edge::start([one.address, two.address]);

    // TLS 1.3 and nothing older; HTTP/2 for those who ask.
    let agreed = edge.handshake(&rustls::version::TLS13, b"h2").expect("TLS 1.3 works");
    assert_eq!(agreed, (rustls::ProtocolVersion::TLSv1_3, b"h2".to_vec()));
    edge.handshake(&rustls::version::TLS12, b"http/1.1").expect_err("TLS 1.2 is refused");
    let plain = raw(edge.http, "GET /console?a=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(plain.starts_with("HTTP/1.1 308"), "{plain}");
    assert!(plain.contains("Location: https://h/console?a=1"), "{plain}");

    // GraphQL, each tenant its own, and the headers of the edge.
    let client = edge.client(Ipv4Addr::LOCALHOST);
    for (tenant, text) in [("a", "of a"), ("b", "of b")] {
        let answer = notes(&client, &edge, tenant).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let headers = answer.headers().clone();
        assert!(headers["strict-transport-security"].to_str().unwrap().starts_with("max-age="));
        assert_eq!(headers.get_all("x-content-type-options").iter().count(), 1);
        let expected = json!({ "data": { "notes": [{ "body": text }] } });
        assert_eq!(body(answer).await, expected);
    }

    // A large answer arrives as an instance makes it, compressed or not.
    let pages = |accept: &'static str| {
        let request = client
            .post(edge.url("/v1/graphql"))
            .header("authorization", Token::new("user").tenant("a").bearer())
            .header("content-type", "application/json")
            .header("accept-encoding", accept)
            .body(r#"{"query":"{ pages(order_by: {id: asc}) { id body } }"}"#);
        async move {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let encoding = answer.headers().get("content-encoding").cloned();
            (encoding, answer.bytes().await.unwrap())
        }
    };
    let (encoding, plain) = pages("identity").await;
    assert!(encoding.is_none() && plain.len() > 500_000, "{encoding:?}, {} bytes", plain.len());
    let rows: Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(rows["data"]["pages"].as_array().unwrap().len(), 2000);
    for (accept, expected) in [("gzip", "gzip"), ("br", "br"), ("gzip, deflate, br", "br")] {
        let (encoding, packed) = pages(accept).await;
        assert_eq!(encoding.unwrap(), expected, "{accept}");
        let mut unpacked = Vec::new();
        if expected == "gzip" {
            flate2::read::GzDecoder::new(&*packed).read_to_end(&mut unpacked).unwrap();
        } else {
            let mut decoder = brotli_decompressor::Decompressor::new(&*packed, 4096);
            decoder.read_to_end(&mut unpacked).unwrap();
        }
        assert!(unpacked == plain && packed.len() < plain.len(), "{accept}");
    }

    // The client's id comes back; a strange one is replaced.
    let id = |given: &'static str| {
        let request = notes(&client, &edge, "a").header("x-request-id", given);
        async move {
            request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
        }
    };
    assert_eq!(id("trace-me.1").await, "trace-me.1");
    assert_ne!(id("no {id}").await, "no {id}");

    // What is refused is refused in the API's words.
    let large = "x".repeat(1_100_000);
    let answer = client.post(edge.url("/v1/graphql")).body(large).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(body(answer).await["errors"][0]["extensions"]["code"], "payload-too-large");
    assert_eq!(client.get(edge.url("/metrics")).send().await.unwrap().status(), 404);

    // A subscription over a WebSocket, through TLS and nginx.
    let mut socket = edge.socket("graphql-transport-ws");
    let hear = |socket: &mut Socket| match socket.read().unwrap() {
        Message::Text(text) => serde_json::from_str::<Value>(&text).unwrap(),
        other => panic!("{other:?}"),
    };
    let say =
        |socket: &mut Socket, text: Value| socket.send(Message::text(text.to_string())).unwrap();
    let bearer = Token::new("user").tenant("a").bearer();
    say(
        &mut socket,
        json!({"type": "connection_init", "payload": {"headers": {"Authorization": bearer}}}),
    );
    assert_eq!(hear(&mut socket), json!({"type": "connection_ack"}));
    let query = json!({"query": "subscription { notes { body } }"});
    say(&mut socket, json!({"id": "1", "type": "subscribe", "payload": query}));
    for text in ["of a", "changed"] {
        let payload = json!({"data": {"notes": [{"body": text}]}});
        assert_eq!(hear(&mut socket), json!({"id": "1", "type": "next", "payload": payload}));
        db.psql("update notes set body = 'changed' where id = 1").unwrap();
    }
    db.psql("update notes set body = 'of a' where id = 1").unwrap();
    let line = wait_for(|| [&one, &two].into_iter().find_map(|instance| instance.logged("\"WS\"")));
    assert!(line.contains("127.0.0.1"), "{line}");
    drop(socket);

    // The address of the client: nginx's word is believed, the client's is not.
    #[cfg(target_os = "linux")]
    {
        let other = edge.client(Ipv4Addr::new(127, 0, 0, 2));
        let request = notes(&other, &edge, "a")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-request-id", "from-two");
        assert_eq!(request.send().await.unwrap().status(), 200);
        let line =
            wait_for(|| [&one, &two].into_iter().find_map(|instance| instance.logged("from-two")));
        assert!(line.contains("127.0.0.2") && !line.contains("203.0.113.9"), "{line}");
    }

    // One instance dies hard; the other answers everybody.
    one.process.0.kill().unwrap();
    one.process.0.wait().unwrap();
    for _ in 0..4 {
        let answer = notes(&client, &edge, "b").send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    // Nobody is left: a clear answer with a time to come back.
    drop(two);
    let answer = notes(&client, &edge, "b").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(body(answer).await["errors"][0]["extensions"]["code"], "service-unavailable");
}

/// The last of the numbers that are written.
const LAST: i64 = 1_000_000;

/// What a client has gone through until it was shown [`LAST`].
#[derive(Debug, Default)]
struct Followed {
    /// Close codes, or what else ended a socket.
    ends: Vec<String>,
    /// Upgrades that nginx or an instance refused.
    refused: Vec<String>,
}

/// Keeps a subscription to the own tenant's number, as clients do.
fn follow(edge: &Edge, tenant: &str, begun: &AtomicUsize) -> Followed {
    let mut followed = Followed::default();
    let (mut shown, mut pause) = (-1, Duration::from_millis(50));
    let bearer = Token::new("user").tenant(tenant).bearer();
    loop {
        let mut socket = match edge.try_socket("graphql-transport-ws") {
            Ok(socket) => socket,
            Err(refused) => {
                followed.refused.push(refused);
                std::thread::sleep(pause);
                pause *= 2;
                continue;
            }
        };
        let init =
            json!({"type": "connection_init", "payload": {"headers": {"Authorization": bearer}}});
        let query = json!({"query": "subscription { counts { tenant_id n } }"});
        let subscribe = json!({"id": "1", "type": "subscribe", "payload": query});
        let mut to_say = vec![subscribe, init];
        let ended = loop {
            if let Some(next) = to_say.pop()
                && let Err(error) = socket.send(Message::text(next.to_string()))
            {
                break error.to_string();
            }
            let message: Value = match socket.read() {
                Ok(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
                Ok(Message::Close(frame)) => break frame.unwrap().code.to_string(),
                Ok(_) => continue,
                Err(error) => break error.to_string(),
            };
            if message["type"] == "connection_ack" {
                continue;
            }
            let rows = message["payload"]["data"]["counts"].as_array();
            let rows = rows.unwrap_or_else(|| panic!("{message}"));
            assert_eq!((rows.len(), &rows[0]["tenant_id"]), (1, &json!(tenant)), "{message}");
            let n = rows[0]["n"].as_i64().unwrap();
            assert!(n >= shown, "{n} after {shown}");
            if shown < 0 {
                begun.fetch_add(1, Ordering::Relaxed);
            }
            shown = n;
            if n == LAST {
                return followed;
            }
        };
        followed.ends.push(ended);
    }
}

/// Writes the number of both tenants through an instance.
async fn count(client: &reqwest::Client, instance: SocketAddr, n: i64) {
    for tenant in ["a", "b"] {
        let query =
            "mutation($n: Int!) { update_counts(where: {}, _set: {n: $n}) { affected_rows } }";
        let answer = client
            .post(format!("http://{instance}/v1/graphql"))
            .header("authorization", Token::new("user").tenant(tenant).bearer())
            .header("content-type", "application/json")
            .body(json!({"query": query, "variables": {"n": n}}).to_string());
        let answer = body(answer.send().await.unwrap()).await;
        assert_eq!(answer["data"]["update_counts"]["affected_rows"], 1, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_client_and_no_state() {
    const CLIENTS: usize = 100;
    let db = TestDb::new(SCHEMA).await;
    let owner = db.superuser_url();
    let more = [
        ("RINGFENCE_DATABASE_OWNER_URL", owner.as_str()),
        ("RINGFENCE_DATABASE_ALLOW_UNSAFE_ROLES", "true"),
        ("RINGFENCE_LIVE_POLL_INTERVAL", "1h"),
    ];
    let one = Instance::start_with(&db, &more);
    let two = Instance::start_with(&db, &more);
    let edge = Arc::new(Edge::start([one.address, two.address]));
    let begun = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|i| {
            let (edge, begun) = (edge.clone(), begun.clone());
            let tenant = if i % 2 == 0 { "a" } else { "b" };
            std::thread::spawn(move || follow(&edge, tenant, &begun))
        })
        .collect();
    let all = || (begun.load(Ordering::Relaxed) == CLIENTS).then_some(());
    tokio::task::block_in_place(|| wait_for(all));

    // Somebody writes all the time, through the instance that is up.
    let http = harness::http();
    let (first, second) = (one.address, two.address);
    let up = Arc::new(tokio::sync::Mutex::new(second));
    let last = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (http, up, last) = (http.clone(), up.clone(), last.clone());
        async move {
            let mut n = 0;
            while !last.load(Ordering::Relaxed) {
                n += 1;
                let up = up.lock().await;
                count(&http, *up, n).await;
                drop(up);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            n
        }
    });
    // One after the other; the second as soon as the first is ready again.
    let mut restarted = Vec::new();
    for (instance, other) in [(one, second), (two, first)] {
        *up.lock().await = other;
        let address = instance.address;
        restarted.push(tokio::task::block_in_place(|| {
            instance.stop();
            Instance::start_at(&db, address, &more)
        }));
    }
    last.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    count(&http, first, LAST).await;
    for client in clients {
        let followed = tokio::task::block_in_place(|| client.join().unwrap());
        assert_eq!(followed.refused, Vec::<String>::new());
        // Both instances were stopped, so everybody had to move.
        assert!(!followed.ends.is_empty());
        assert!(followed.ends.iter().all(|end| end == "1001"), "{:?}", followed.ends);
    }
}

/// Something in the place of an instance that takes each request, counts it, and
/// answers with this or hangs up.
fn instead(answer: &'static str, taken: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let taken = taken.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Connections may end before they bring anything, and while it answers;
            // the next is served all the same.
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                taken.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = stream.write_all(answer.as_bytes()) {
                    eprintln!("{address} could not answer: {error}");
                }
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_written_is_sent_once() {
    const UNAVAILABLE: &str =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for answer in ["", UNAVAILABLE] {
        let taken = Arc::new(AtomicUsize::new(0));
        let edge = Edge::start([instead(answer, &taken), instead(answer, &taken)]);
        let client = edge.client(Ipv4Addr::LOCALHOST);
        for (method, path) in [
            ("POST", "/v1/graphql"),
            ("POST", "/api/rest/note"),
            ("PUT", "/api/rest/note"),
            ("PATCH", "/api/rest/note"),
            ("DELETE", "/api/rest/note"),
            ("GET", "/api/rest/note"),
        ] {
            let request = client.request(method.parse().unwrap(), edge.url(path));
            assert_eq!(request.send().await.unwrap().status(), 503, "{method} {path}");
            assert_eq!(taken.swap(0, Ordering::Relaxed), 1, "{method} {path} {answer}");
        }
        // What only reads is tried again, at each of them, if there was no answer.
        let read = client.get(edge.url("/v1/graphql"));
        assert_eq!(read.send().await.unwrap().status(), 503);
        assert_eq!(taken.load(Ordering::Relaxed) > 1, answer.is_empty(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_refuses_is_asked_again() {
    let (full, fine) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let edge = Edge::start([
        instead("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", &full),
        instead("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &fine),
    ]);
    // One connection, since each of nginx's processes balances by itself.
    let tcp = TcpStream::connect(edge.https).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let tls = edge.tls(&rustls::version::TLS13, b"http/1.1");
    let mut stream = rustls::StreamOwned::new(tls, tcp);
    for upgrade in ["", "Connection: upgrade\r\nUpgrade: websocket\r\n"] {
        for _ in 0..6 {
            write!(stream, "GET /v1/graphql HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                answer.extend(byte);
            }
        }
        for instance in [&full, &fine] {
            assert!(instance.swap(0, Ordering::Relaxed) > 1, "{upgrade}");
        }
    }
}

#[test]
fn the_compose_file_is_valid() {
    let candidates: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let command = candidates
        .into_iter()
        .find(|command| {
            Command::new(command[0])
                .args(&command[1..])
                .arg("version")
                .output()
                .is_ok_and(|output| output.status.success())
        })
        .expect("`docker compose` or docker-compose is missing; run `scripts/need test`");
    // So that a developer's own .env plays no part.
    let none = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty.env");
    fs::write(&none, "").unwrap();
    let config = |secrets: bool| {
        let mut run = Command::new(command[0]);
        run.args(&command[1..])
            .args(["-f", "compose.yaml", "--env-file"])
            .arg(&none)
            .arg("config")
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        for name in [
            "POSTGRES_PASSWORD",
            "REDIS_PASSWORD",
            "RINGFENCE_ADMIN_SECRET",
            "RINGFENCE_JWT",
            "S3_SECRET_KEY",
        ] {
            run.env_remove(name);
            if secrets {
                run.env(name, "given");
            }
        }
        run.output().unwrap()
    };
    let checked = config(true);
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    for service in ["postgres", "redis", "s3", "migrate", "ringfence-1", "ringfence-2", "nginx"] {
        assert!(text.contains(&format!("\n  {service}:")), "{service} is missing in {text}");
    }
    // No secret has a default.
    assert!(!config(false).status.success());
}
