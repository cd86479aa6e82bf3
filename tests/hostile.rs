//! Bad input and bad days, over HTTP: each gets a clear error with code and
//! path, nothing internal is told, and the server goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;
mod served;

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use harness::{JWT_KEY, TestDb, Token};
use ringfence::app::{App, Serving};
use ringfence::cluster::{Cluster, ClusterOptions};
use ringfence::config::Config;
use serde_json::{Value, json};
use served::Instance;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
const GOOD: &str = "{ tasks(where: {id: {_eq: 1}}) { title } }";
const GOOD_ANSWER: &str = r#"{"data":{"tasks":[{"title":"Write the engine"}]}}"#;

struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    bearer: String,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let bearer = Token::new("user").tenant(TENANT).user("1").bearer();
        Client { http: harness::http(), address, bearer }
    }

    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let response = self
            .http
            .post(format!("http://{}/v1/graphql", self.address))
            .header("authorization", &self.bearer)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("the server answers");
        (response.status().as_u16(), response.text().await.expect("a text"))
    }

    async fn ask(&self, query: &str, variables: &Value) -> (u16, String) {
        self.post(json!({"query": query, "variables": variables}).to_string()).await
    }

    async fn status(&self, path: &str) -> u16 {
        let url = format!("http://{}{path}", self.address);
        self.http.get(url).send().await.expect("the server answers").status().as_u16()
    }

    /// The one error of an answer; it has a message, a code and a path, and
    /// tells nothing of the inside.
    async fn refused(&self, what: &str, body: impl Into<reqwest::Body>) -> String {
        let (status, text) = self.post(body).await;
        error_of(what, status, &text)
    }

    async fn is_well(&self) {
        let (status, text) = self.ask(GOOD, &json!({})).await;
        assert_eq!((status, text.as_str()), (200, GOOD_ANSWER));
    }
}

fn error_of(what: &str, status: u16, text: &str) -> String {
    let shown: String = text.chars().take(500).collect();
    let answer: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{what}: {shown}"));
    let error = &answer["errors"][0];
    let code = error["extensions"]["code"].as_str().unwrap_or_default();
    assert!(!code.is_empty() && code != "unexpected", "{what}: {status} {shown}");
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}: {shown}");
    assert!(
        error["extensions"]["path"].as_str().is_some_and(|p| p.starts_with('$')),
        "{what}: {shown}"
    );
    assert!(answer.get("data").is_none_or(Value::is_null), "{what}: {shown}");
    for internal in ["OPERATOR(", "pg_catalog", "SQLSTATE", "current_setting", "panicked", "src/"] {
        assert!(!text.contains(internal), "{what}: {shown}");
    }
    code.to_owned()
}

async fn serve(config: Config) -> (Serving, CancellationToken) {
    let stop = CancellationToken::new();
    let app = App::start(config).await.expect("starts");
    (app.serve(stop.clone(), Vec::new()).await.expect("listens"), stop)
}

fn query(text: impl AsRef<str>) -> String {
    json!({"query": text.as_ref()}).to_string()
}

#[tokio::test]
async fn bad_documents_are_refused() {
    let db = TestDb::new(include_str!("golden/fixture.sql")).await;
    let (serving, stop) = serve(db.config(&[])).await;
    let client = Client::new(serving.address);
    client.is_well().await;
    let nest = |open: &str, middle: &str, close: &str, n: usize| {
        format!("{}{middle}{}", open.repeat(n), close.repeat(n))
    };
    let aliases =
        |field: &str, n: usize| -> String { (0..n).map(|n| format!("a{n}: {field} ")).collect() };
    let many_fragments: String =
        (0..5_000).map(|n| format!("fragment F{n} on tasks {{ ...F{} }} ", n + 1)).collect();
    let documents = [
        ("aliases of a root", format!("{{ {} }}", aliases("tasks { id }", 10_000))),
        ("aliases of a column", format!("{{ tasks {{ {} }} }}", aliases("id", 10_000))),
        ("aliases of nothing", format!("{{ {} }}", aliases("__typename", 30_000))),
        ("levels", format!("{{ tasks {} }}", nest("{ owner { tasks_by_owner_id ", "{ id }", "} }", 500))),
        ("levels of inline fragments", format!("{{ tasks {} }}", nest("{ ... ", "{ id }", "}", 1_000))),
        ("braces", "{".repeat(100_000)),
        ("closing braces", "}".repeat(100_000)),
        ("lists", format!("{{ tasks(limit: {}) {{ id }} }}", nest("[", "1", "]", 1_000))),
        ("lists and more lists", format!("{{ tasks(limit: {}) {{ id }} }}", "[".repeat(100_000))),
        ("objects", format!("{{ tasks(where: {}) {{ id }} }}", nest("{_not: ", "{}", "}", 1_000))),
        ("list types", format!("query($v: {}) {{ tasks(limit: $v) {{ id }} }}", nest("[", "Int", "]", 10_000))),
        ("a fragment in itself", "{ tasks { ...A } } fragment A on tasks { ...A }".to_owned()),
        ("fragments in a circle", "{ tasks { ...A } } fragment A on tasks { ...B } fragment B on tasks { owner { tasks_by_owner_id { ...A } } }".to_owned()),
        ("unused fragments in a circle", "{ tasks { id } } fragment A on tasks { ...B } fragment B on tasks { ...A }".to_owned()),
        ("a long way of fragments", format!("{{ tasks {{ ...F0 }} }} {many_fragments} fragment F5000 on tasks {{ id }}")),
        ("a bomb of fragments", {
            let bomb: String = (0..40).map(|n| format!("fragment F{n} on users {{ manager {{ ...F{} ...F{} }} }} ", n + 1, n + 1)).collect();
            format!("{{ users {{ ...F0 }} }} {bomb} fragment F40 on users {{ id }}")
        }),
        ("an unknown fragment", "{ tasks { ...Nowhere } }".to_owned()),
        ("an unknown root", "{ nothing }".to_owned()),
        ("an unknown field", "{ tasks { nothing } }".to_owned()),
        ("an unknown argument", "{ tasks(nothing: 1) { id } }".to_owned()),
        ("an unknown operator", "{ tasks(where: {id: {_nothing: 1}}) { id } }".to_owned()),
        ("an unknown column in where", "{ tasks(where: {nothing: {_eq: 1}}) { id } }".to_owned()),
        ("an unknown column in order_by", "{ tasks(order_by: {nothing: asc}) { id } }".to_owned()),
        ("an unknown order", "{ tasks(order_by: {id: sideways}) { id } }".to_owned()),
        ("an unknown directive", "{ tasks @nothing { id } }".to_owned()),
        ("an unknown type", "query($v: Nothing) { tasks { id } }".to_owned()),
        ("a key twice", "{ tasks(where: {id: {_eq: 1}, id: {_eq: 2}}) { id } }".to_owned()),
        ("an operator twice", "{ tasks(where: {id: {_eq: 1, _eq: 2}}) { id } }".to_owned()),
        ("an argument twice", "{ tasks(limit: 1, limit: 2) { id } }".to_owned()),
        ("a variable twice", "query($v: Int, $v: Int) { tasks(limit: $v) { id } }".to_owned()),
        ("a fragment twice", "{ tasks { ...A } } fragment A on tasks { id } fragment A on tasks { id }".to_owned()),
        ("an operation twice", "query A { tasks { id } } query A { tasks { id } }".to_owned()),
        ("one key for two fields", "{ tasks { a: id a: title } }".to_owned()),
        ("no selection", "{ tasks }".to_owned()),
        ("an empty selection", "{ tasks { } }".to_owned()),
        ("an empty document", String::new()),
        ("a comment", "# nothing".to_owned()),
        ("a number", "1".to_owned()),
        ("no end of a string", "{ tasks(where: {title: {_eq: \"x}}) { id } }".to_owned()),
        ("no end of a block string", "{ tasks(where: {title: {_eq: \"\"\"x}}) { id } }".to_owned()),
        ("half a surrogate", "{ tasks(where: {title: {_eq: \"\\ud800\"}}) { id } }".to_owned()),
        ("a bad escape", "{ tasks(where: {title: {_eq: \"\\x\"}}) { id } }".to_owned()),
        ("a NUL", "{ tasks(where: {title: {_eq: \"\\u0000\"}}) { id } }".to_owned()),
        ("a raw NUL", "{ tasks(where: {title: {_eq: \"\0\"}}) { id } }".to_owned()),
        ("a NUL between tokens", "{ tasks \0 { id } }".to_owned()),
        ("a name in Greek", "{ tasks { \u{3b9}\u{3b4} } }".to_owned()),
        ("a full-width name", "{ \u{ff54}\u{ff41}\u{ff53}\u{ff4b}\u{ff53} { id } }".to_owned()),
        ("right-to-left", "{ tasks\u{202e} { id } }".to_owned()),
        ("a number too large", "{ tasks(limit: 99999999999999999999) { id } }".to_owned()),
        ("a negative limit", "{ tasks(limit: -1) { id } }".to_owned()),
        ("a leading zero", "{ tasks(limit: 01) { id } }".to_owned()),
        ("a mutation", "mutation { delete_tasks(where: {}) { affected_rows } }".to_owned()),
        ("a subscription", "subscription { tasks { id } }".to_owned()),
        ("a type definition", "type Query { a: Int }".to_owned()),
    ];
    for (what, document) in documents {
        client.refused(what, query(document)).await;
    }
    client.is_well().await;
    stop.cancel();
    serving.finished().await;
}

#[tokio::test]
async fn bad_bodies_and_variables_are_refused() {
    let db = TestDb::new(include_str!("golden/fixture.sql")).await;
    let (serving, stop) = serve(db.config(&[("limits.body", "4MiB")])).await;
    let client = Client::new(serving.address);
    assert_eq!(client.refused("10 MB", vec![b' '; 10 << 20]).await, "payload-too-large");
    let invalid: &[u8] =
        b"{\"query\": \"{ tasks(where: {title: {_eq: \\\"\xff\xfe\\\"}}) { id } }\"}";
    let bodies: [(&str, Vec<u8>); 15] = [
        ("nothing", Vec::new()),
        ("invalid UTF-8", invalid.to_vec()),
        ("a byte order mark of UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("no JSON", b"query { tasks { id } }".to_vec()),
        ("half of it", b"{\"query\": \"{ tas".to_vec()),
        ("null", b"null".to_vec()),
        ("a string", b"\"{ tasks { id } }\"".to_vec()),
        ("no query", b"{}".to_vec()),
        ("a query that is a number", b"{\"query\": 1}".to_vec()),
        ("a query that is null", b"{\"query\": null}".to_vec()),
        (
            "an operation name that is a list",
            b"{\"query\": \"{ __typename }\", \"operationName\": []}".to_vec(),
        ),
        (
            "variables that are a list",
            b"{\"query\": \"{ __typename }\", \"variables\": []}".to_vec(),
        ),
        (
            "variables that are a text",
            b"{\"query\": \"{ __typename }\", \"variables\": \"{}\"}".to_vec(),
        ),
        ("half a surrogate", b"{\"query\": \"{ __typename } # \\ud800\"}".to_vec()),
        (
            "deep JSON",
            [b"{\"query\": \"{ __typename }\", \"variables\": ".to_vec(), b"[".repeat(1_000_000)]
                .concat(),
        ),
    ];
    for (what, body) in bodies {
        client.refused(what, body).await;
    }
    let filter = "query Q($w: tasks_bool_exp!) { tasks(where: $w) { id } }";
    let nested = |open: &str, middle: &str, close: &str, n: usize| {
        format!("{{\"w\": {}{middle}{}}}", open.repeat(n), close.repeat(n))
    };
    let keys: String = (0..100_000).map(|n| format!("\"k{n}\": 1,")).collect();
    let variables = [
        ("deep _not", nested("{\"_not\": ", "{}", "}", 1_000)),
        ("deeper _not", nested("{\"_not\": ", "{}", "}", 100_000)),
        ("deep _and", nested("{\"_and\": [", "{}", "]}", 1_000)),
        ("100,000 keys", format!("{{\"w\": {{{keys} \"id\": {{\"_eq\": 1}}}}}}")),
        ("a key twice", "{\"w\": {\"id\": {\"_eq\": 1}, \"id\": {\"_eq\": 2}}}".to_owned()),
        (
            "a key twice, once escaped",
            "{\"w\": {\"id\": {\"_eq\": 1}, \"i\\u0064\": {\"_eq\": 2}}}".to_owned(),
        ),
        ("a variable twice", "{\"w\": {}, \"w\": {}}".to_owned()),
        ("an unknown column", "{\"w\": {\"nothing\": {\"_eq\": 1}}}".to_owned()),
        ("an unknown operator", "{\"w\": {\"id\": {\"nothing\": 1}}}".to_owned()),
        ("null", "{\"w\": null}".to_owned()),
        ("nothing", "{}".to_owned()),
        ("NUL", "{\"w\": {\"title\": {\"_eq\": \"a\\u0000\"}}}".to_owned()),
        ("half a surrogate", "{\"w\": {\"title\": {\"_eq\": \"\\udfff\"}}}".to_owned()),
        ("a float for an integer", "{\"w\": {\"id\": {\"_eq\": 1.5}}}".to_owned()),
        ("an exponent for an integer", "{\"w\": {\"id\": {\"_eq\": 1e99999}}}".to_owned()),
        ("a huge integer", format!("{{\"w\": {{\"id\": {{\"_eq\": {}}}}}}}", "9".repeat(100_000))),
        ("a text for a label", "{\"w\": {\"status\": {\"_eq\": \"never\"}}}".to_owned()),
        ("no uuid", "{\"w\": {\"tenant_id\": {\"_eq\": \"x\"}}}".to_owned()),
        ("no date", "{\"w\": {\"due_on\": {\"_eq\": \"2024-02-30\"}}}".to_owned()),
        ("null in a list", "{\"w\": {\"id\": {\"_in\": [1, null]}}}".to_owned()),
        ("a bad pattern", "{\"w\": {\"title\": {\"_regex\": \"(\"}}}".to_owned()),
    ];
    for (what, given) in variables {
        let body = format!("{{\"query\": {}, \"variables\": {given}}}", json!(filter));
        client.refused(what, body).await;
    }
    let many = format!("{{{keys} \"w\": {{\"id\": {{\"_lt\": 0}}}}}}");
    let body = |query: &str| format!("{{\"query\": {}, \"variables\": {many}}}", json!(query));
    let (status, text) = client.post(body(filter)).await;
    assert_eq!((status, text.as_str()), (200, r#"{"data":{"tasks":[]}}"#), "100,000 variables");
    let delete = "mutation M($w: tasks_bool_exp!) { delete_tasks(where: $w) { affected_rows } }";
    client.refused("100,000 variables of a mutation", body(delete)).await;
    // A value of each wrong kind at each place of the arguments.
    let wrong = ["true", "1.5", "\"x\"", "[[1]]", "{\"x\": 1}", "null", "[null]", "-1"];
    for (ty, place) in [
        ("tasks_bool_exp!", "where: $v"),
        ("Int_comparison_exp!", "where: {id: $v}"),
        ("Int!", "where: {id: {_eq: $v}}"),
        ("[Int!]!", "where: {id: {_in: $v}}"),
        ("Boolean!", "where: {id: {_is_null: $v}}"),
        ("[tasks_order_by!]!", "order_by: $v"),
        ("order_by!", "order_by: {id: $v}"),
        ("[tasks_select_column!]!", "distinct_on: $v"),
        ("Int!", "limit: $v"),
        ("Int!", "offset: $v"),
    ] {
        for value in wrong {
            let fits = matches!((ty, value), ("Boolean!", "true"))
                || (ty.contains("Int!")
                    && value == "-1"
                    && !place.starts_with("limit")
                    && !place.starts_with("offset"));
            if fits {
                continue;
            }
            let document = format!("query Q($v: {ty}) {{ tasks({place}) {{ id }} }}");
            let body =
                format!("{{\"query\": {}, \"variables\": {{\"v\": {value}}}}}", json!(document));
            client.refused(&format!("{value} for {place}"), body).await;
        }
    }
    client.is_well().await;
    stop.cancel();
    serving.finished().await;
}

#[tokio::test]
async fn long_lists_are_answered() {
    let db = TestDb::new(include_str!("golden/fixture.sql")).await;
    let (serving, stop) = serve(db.config(&[("limits.body", "8MiB")])).await;
    let client = Client::new(serving.address);
    let numbers: Vec<u32> = (1..=100_000).collect();
    let one = r#"{"data":{"tasks":[{"id":1}, {"id":2}, {"id":3}]}}"#;
    let with_variable =
        "query Q($ids: [Int!]!) { tasks(where: {id: {_in: $ids}}, order_by: {id: asc}) { id } }";
    let (status, text) = client.ask(with_variable, &json!({"ids": numbers})).await;
    assert_eq!((status, text.replace(", \n ", ", ").as_str()), (200, one));
    let literal = with_variable
        .replace("query Q($ids: [Int!]!) ", "")
        .replace("$ids", &json!(numbers).to_string());
    let (status, text) = client.ask(&literal, &json!({})).await;
    assert_eq!((status, text.replace(", \n ", ", ").as_str()), (200, one));
    // More parameters than the protocol can count, or a tree too deep for
    // Postgres: refused; either way the next request is answered.
    for n in [1_000, 20_000, 70_000] {
        let filter: Vec<Value> = (0..n).map(|n| json!({"id": {"_eq": n}})).collect();
        let document = "query Q($w: tasks_bool_exp!) { tasks(where: $w) { id } }";
        let (status, text) = client.ask(document, &json!({"w": {"_or": filter}})).await;
        if !text.starts_with("{\"data\"") {
            error_of("a long _or", status, &text);
        }
        client.is_well().await;
    }
    stop.cancel();
    serving.finished().await;
}

#[tokio::test]
async fn odd_names_are_served_or_left_out() {
    let long = "l".repeat(63);
    let schema = format!(
        "create table {long} (id int primary key, {long} text, \"sel\"\"ect\" int, \"user\" int, \"from\" int, \
           \"a b\" int, \"ünï\" int, \"1st\" int, \"__x\" int, \"$1\" int, \"_0\" int, \"query_root\" int, \
           \"_and\" int, \"_not\" int, \"on\" int, \"null\" int, \"true\" int, \"fragment\" int, \"__typename\" int);
         create table \"query_root\" (id int primary key);
         create table \"String\" (id int primary key);
         create table \"order_by\" (id int primary key);
         create table \"Int_comparison_exp\" (id int primary key);
         create table \"tasks_bool_exp\" (id int primary key);
         create table tasks (id int primary key, \"{long}_id\" int);
         create table \"table\" (\"where\" int primary key, \"limit\" int references {long}, \"order\" int references \"table\");
         create table \"drop table x; --\" (id int);
         create table \"__schema\" (id int);
         create table \"a.b\" (id int);
         insert into {long} values (1, 'long', 2, 3, 4);
         insert into \"table\" values (1, 1, null), (2, 1, 1);
         grant select on all tables in schema public to app_user;"
    );
    let db = TestDb::new(&schema).await;
    let (serving, stop) = serve(db.config(&[])).await;
    let client = Client::new(serving.address);
    let (status, text) =
        client.ask("{ __schema { types { name fields { name } } } }", &json!({})).await;
    assert_eq!(status, 200, "{text}");
    for left_out in ["a b", "\\\"", "ünï", "1st", "drop table", "a.b"] {
        assert!(!text.contains(&format!("\"{left_out}")), "{left_out}: {text}");
    }
    let document = format!(
        "{{ {long}(where: {{{long}: {{_eq: \"long\"}}, user: {{_eq: 3}}, on: {{_is_null: true}}}}, order_by: {{from: asc}}) \
         {{ id {long} user from on null true fragment _0 query_root }} \
         table(order_by: {{order: desc_nulls_last}}) {{ where limit order }} \
         {long}_by_pk(id: 1) {{ {long} }} }}"
    );
    let (status, text) = client.ask(&document, &json!({})).await;
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200, "{text}");
    assert_eq!(value["data"][&long][0]["user"], 3, "{text}");
    assert_eq!(value["data"][&long][0][&long], "long", "{text}");
    assert_eq!(value["data"]["table"][0]["where"], 2, "{text}");
    assert_eq!(value["data"][format!("{long}_by_pk")][&long], "long", "{text}");
    stop.cancel();
    serving.finished().await;
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_stays_flat_over_many_documents() {
    let db = TestDb::new(concat!(
        include_str!("golden/fixture.sql"),
        "create view statements with (security_invoker = true) as select count(*) as n from pg_prepared_statements;
         grant select on statements to app_user;"
    ))
    .await;
    let server = Instance::start(&db);
    let client = Client::new(server.address);
    let round = async |from: u32, to: u32| {
        for batch in (from..to).step_by(20) {
            let mut operations: Vec<Value> = (batch..batch + 19)
                .map(|n| json!({"query": format!("query Q{n} {{ a{n}: __typename b: __typename }}")}))
                .collect();
            // One of them reads, from time to time often enough to be prepared.
            let read =
                json!({"query": format!("{{ t{batch}: tasks(limit: 1) {{ a{batch}: id }} }}")});
            operations.push(read.clone());
            if batch % 60 == 0 {
                operations.pop();
                operations.truncate(18);
                operations.extend([read.clone(), read]);
            }
            let (status, text) = client.post(Value::from(operations).to_string()).await;
            assert!(status == 200 && !text.contains("errors"), "{text}");
        }
    };
    round(0, 60_000).await;
    let middle = resident_kib(server.process.0.id());
    round(60_000, 100_000).await;
    let end = resident_kib(server.process.0.id());
    // The plan cache is full (32 MiB) before the middle.
    assert!(end < middle + 32 * 1024, "{middle} KiB became {end} KiB");
    assert!(end < 400 * 1024, "{end} KiB");
    for _ in 0..20 {
        let (_, text) = client.ask("{ statements { n } }", &json!({})).await;
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let n = value["data"]["statements"][0]["n"].as_u64().unwrap_or_else(|| panic!("{text}"));
        assert!(n <= 520, "{n} prepared statements on one connection");
    }
}

/// A cluster that can be stopped.
struct Own {
    options: ClusterOptions,
    folder: PathBuf,
    cluster: Option<Cluster>,
    /// A small file system, mounted.
    disk: Option<PathBuf>,
}

impl Own {
    fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("hostile-{name}-{}", std::process::id()));
        let mut options = ClusterOptions::new(&folder, "app");
        options.durable = false;
        options.settings =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let cluster = Some(Cluster::start(&options).expect("a PostgreSQL server"));
        Own { options, folder, cluster, disk: None }
    }

    /// Mounts a disk of one megabyte that the server may write to, where the
    /// test may mount one.
    fn small_disk(&mut self) -> Option<PathBuf> {
        let home = self.cluster.as_ref().expect("runs").folder();
        let owner = std::fs::metadata(home.join("data")).expect("the data");
        let disk = home.join("small-disk");
        std::fs::create_dir_all(&disk).expect("a folder");
        let options = format!("size=1m,mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        if !mount(&options, &disk) {
            return None;
        }
        self.disk = Some(disk.clone());
        Some(disk)
    }

    fn stop(&mut self) {
        self.cluster.take().expect("runs").stop().expect("stops");
    }

    fn again(&mut self) {
        self.cluster = Some(Cluster::start(&self.options).expect("starts again"));
    }

    async fn client(&self) -> tokio_postgres::Client {
        let url = self.cluster.as_ref().expect("runs").url();
        let (client, connection) =
            tokio_postgres::connect(url.expose(), tokio_postgres::NoTls).await.expect("connects");
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection of the test ended: {error}");
            }
        });
        client
    }

    fn config(&self) -> Config {
        let cluster = self.cluster.as_ref().expect("runs");
        let owner = cluster.url().expose().clone();
        let url = format!("postgres://auth:pw@127.0.0.1:{}/app", cluster.port());
        let jwt = json!({"type": "HS256", "key": JWT_KEY}).to_string();
        Config::with(&[
            ("server.port", "0"),
            ("database.url", url.as_str()),
            ("database.owner_url", owner.as_str()),
            ("database.pool_size", "3"),
            ("database.pool_wait", "2s"),
            ("database.connect_timeout", "2s"),
            ("database.lock_timeout", "500ms"),
            ("database.statement_timeout", "1500ms"),
            ("auth.jwt", jwt.as_str()),
            ("roles.map", "user=app_user,patient=app_patient"),
        ])
        .expect("valid")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.take()
            && let Err(error) = cluster.stop()
        {
            eprintln!("the cluster does not stop: {error}");
        }
        if let Some(disk) = &self.disk {
            let ended = Command::new("umount").arg(disk).status();
            if !ended.as_ref().is_ok_and(ExitStatus::success) {
                eprintln!("{} stays mounted: {ended:?}", disk.display());
            }
        }
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays: {error}", self.folder.display());
        }
    }
}

/// Whether a file system in memory could be mounted, which takes root and Linux.
fn mount(options: &str, on: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "ringfence-test"]).arg(on);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Asks until the answer is right; the errors before are those of a database
/// that is away.
async fn recovers(client: &Client) {
    let mut last = String::new();
    for _ in 0..300 {
        let (status, text) = client.ask(GOOD, &json!({})).await;
        if (status, text.as_str()) == (200, GOOD_ANSWER) {
            for _ in 0..5 {
                client.is_well().await;
            }
            return;
        }
        assert_eq!(error_of("recovering", status, &text), "service-unavailable", "{text}");
        last = text;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came back: {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_days_of_the_database() {
    let mut own = Own::start("days", &[]);
    let admin = own.client().await;
    admin
        .batch_execute(
            "create role auth login noinherit password 'pw';
             create role app_user; create role app_patient; grant app_user, app_patient to auth;
             alter role app_patient set statement_timeout = '10min';
             create table tasks (id int primary key, title text);
             insert into tasks values (1, 'Write the engine');
             create table other (id int primary key);
             create view slow with (security_invoker = true) as select 1 as id from pg_sleep(600);
             grant select on tasks, other, slow to app_user, app_patient;",
        )
        .await
        .expect("makes the schema");
    let config = own.config();
    let (serving, stop) = serve(config.clone()).await;
    let client = Client::new(serving.address);
    let mut patient = Client::new(serving.address);
    patient.bearer = Token::new("patient").tenant(TENANT).user("1").bearer();
    client.is_well().await;
    let slow = query("{ slow { id } }");

    // Too slow.
    assert_eq!(client.refused("a slow view", slow.clone()).await, "time-limit-exceeded");
    client.is_well().await;

    // Being migrated: one table is locked, the others answer.
    admin.batch_execute("begin; lock table tasks in access exclusive mode").await.expect("locks");
    assert_eq!(client.refused("a locked table", query(GOOD)).await, "time-limit-exceeded");
    let (status, text) = client.ask("{ other { id } }", &json!({})).await;
    assert_eq!((status, text.as_str()), (200, r#"{"data":{"other":[]}}"#));
    admin.batch_execute("commit").await.expect("unlocks");
    client.is_well().await;

    // Read-only.
    admin
        .batch_execute(
            "alter database app set default_transaction_read_only = on;
             select pg_terminate_backend(pid) from pg_stat_activity where usename = 'auth'",
        )
        .await
        .expect("ends the connections");
    client.is_well().await;
    admin.batch_execute("set default_transaction_read_only = off; alter database app reset default_transaction_read_only").await.expect("resets");
    drop(admin);

    // Down, with a request in flight.
    let in_flight = {
        let http = patient.http.clone();
        let (address, bearer) = (patient.address, patient.bearer.clone());
        tokio::spawn(async move {
            let patient = Client { http, address, bearer };
            patient.refused("in flight", query("{ slow { id } }")).await
        })
    };
    let watcher = own.client().await;
    loop {
        let sql =
            "select count(*) from pg_stat_activity where usename = 'auth' and state = 'active'";
        if watcher.query_one(sql, &[]).await.expect("answers").get::<_, i64>(0) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(watcher);
    own.stop();
    assert_eq!(in_flight.await.expect("joins"), "service-unavailable");
    let (status, text) = client.post(query(GOOD)).await;
    assert_eq!((status, error_of("down", status, &text).as_str()), (503, "service-unavailable"));
    assert_eq!(client.status("/livez").await, 200);
    assert_eq!(client.status("/readyz").await, 503);

    // Down at the start of another server: a clear error, no panic.
    let error = App::start(config.clone()).await.expect_err("does not start").to_string();
    assert!(!error.contains("pw@") && !error.is_empty(), "{error}");

    // Back again, without hands.
    own.again();
    recovers(&client).await;
    // Asked again after a moment.
    while client.status("/readyz").await != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    serving.finished().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_room() {
    // Three of the places are kept for the superuser.
    let mut own = Own::start("room", &[("max_connections", "13")]);
    let admin = own.client().await;
    admin
        .batch_execute(
            "create role auth login noinherit password 'pw';
             create role crowd login password 'pw';
             create role app_user; create role app_patient; grant app_user, app_patient to auth;
             alter role app_patient set statement_timeout = '10min';
             create table tasks (id int primary key, title text);
             insert into tasks values (1, 'Write the engine');
             create table many as
               select i as id, repeat(md5(i::text), 20) as text from generate_series(1, 10000) i;
             alter table many add primary key (id);
             create view slow with (security_invoker = true) as select 1 as id from pg_sleep(600);
             grant select on tasks, many, slow to app_user, app_patient;",
        )
        .await
        .expect("makes the schema");
    let disk = own.small_disk();
    if let Some(disk) = &disk {
        let statements = format!(
            "create tablespace small location '{}'; grant create on tablespace small to app_user;
             alter role auth set temp_tablespaces = 'small'; alter role auth set work_mem = '64kB'",
            disk.display()
        );
        for statement in statements.split(';') {
            admin.batch_execute(statement).await.expect("uses the small disk");
        }
    } else {
        eprintln!("not tested: a full disk; to mount a small one takes root on Linux");
    }
    let (serving, stop) = serve(own.config()).await;
    let client = Client::new(serving.address);
    client.is_well().await;

    // A full disk, met by a sort that does not fit into memory.
    if let Some(disk) = &disk {
        let sorted = query("{ many(order_by: {text: asc}, offset: 9999) { id } }");
        for _ in 0..3 {
            let (status, text) = client.post(sorted.clone()).await;
            assert_eq!(error_of("a full disk", status, &text), "service-unavailable", "{text}");
            assert_eq!(status, 503);
            assert!(!text.contains("space") && !text.contains("pgsql_tmp"), "{text}");
            client.is_well().await;
        }
        assert!(mount("remount,size=64m", disk), "the disk grows");
        let (status, text) = client.post(sorted).await;
        assert_eq!(status, 200, "{text}");
        assert!(text.starts_with(r#"{"data":{"many":[{"id":"#), "{text}");
    }

    // All places are taken by others.
    let crowd_url = {
        let port = own.cluster.as_ref().expect("runs").port();
        format!("postgres://crowd:pw@127.0.0.1:{port}/app")
    };
    let mut crowd = Vec::new();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'auth'";
    let ours = "select count(*) from pg_stat_activity where usename = 'auth'";
    loop {
        match tokio_postgres::connect(&crowd_url, tokio_postgres::NoTls).await {
            Ok((one, connection)) => crowd.push((one, tokio::spawn(connection))),
            Err(error) => {
                assert_eq!(error.code().map(|code| code.code()), Some("53300"), "{error}");
                if admin.query_one(ours, &[]).await.expect("counts").get::<_, i64>(0) == 0 {
                    break;
                }
                admin.batch_execute(end).await.expect("ends our connections");
            }
        }
    }
    for _ in 0..3 {
        let (status, text) = client.post(query(GOOD)).await;
        assert_eq!(error_of("no place", status, &text), "service-unavailable");
        assert_eq!(status, 503);
    }
    drop(crowd);
    recovers(&client).await;

    // A backend crashes: Postgres ends all others and starts over.
    let in_flight = {
        let mut patient = Client::new(serving.address);
        patient.bearer = Token::new("patient").tenant(TENANT).user("1").bearer();
        tokio::spawn(async move { patient.refused("in flight", query("{ slow { id } }")).await })
    };
    let running = "select pid from pg_stat_activity where usename = 'auth' and state = 'active'";
    let pid: i32 = loop {
        if let Some(row) = admin.query_opt(running, &[]).await.expect("looks") {
            break row.get(0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is killed");
    assert_eq!(in_flight.await.expect("joins"), "service-unavailable");
    recovers(&client).await;

    // Restarted while everybody asks: each answer is right or says to come back.
    let asking = CancellationToken::new();
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let (asking, client) = (asking.clone(), Client::new(serving.address));
            tokio::spawn(async move {
                let mut refused = 0;
                while !asking.is_cancelled() {
                    let (status, text) = client.ask(GOOD, &json!({})).await;
                    if (status, text.as_str()) != (200, GOOD_ANSWER) {
                        let code = error_of("restarting", status, &text);
                        assert_eq!((status, code.as_str()), (503, "service-unavailable"));
                        refused += 1;
                    }
                }
                refused
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    own.stop();
    own.again();
    recovers(&client).await;
    asking.cancel();
    let mut refused = 0;
    for asker in askers {
        refused += asker.await.expect("every answer is clear");
    }
    assert!(refused > 0, "somebody was refused meanwhile");

    stop.cancel();
    serving.finished().await;
}

#[tokio::test]
async fn a_database_that_takes_no_writes() {
    let own = Own::start("read-only", &[]);
    let admin = own.client().await;
    admin
        .batch_execute(
            "create role auth login noinherit password 'pw'; create role app_user;
             grant app_user to auth; create table tasks (id int primary key, title text);
             insert into tasks values (1, 'Write the engine'); grant select on tasks to app_user;",
        )
        .await
        .expect("makes the schema");
    let read_only = "alter database app set default_transaction_read_only = on";
    let writable = "set default_transaction_read_only = off";
    let reset = "alter database app reset default_transaction_read_only";

    // Served as it is, before anything of ours was put into it and after.
    for round in ["new", "migrated"] {
        admin.batch_execute(read_only).await.expect("sets");
        let (serving, stop) = serve(own.config()).await;
        Client::new(serving.address).is_well().await;
        stop.cancel();
        serving.finished().await;
        let made = "select count(*) from pg_namespace where nspname = 'ringfence'";
        let made: i64 = admin.query_one(made, &[]).await.expect("counts").get(0);
        assert_eq!(made, i64::from(round == "migrated"));
        admin.batch_execute(writable).await.expect("sets");
        admin.batch_execute(reset).await.expect("resets");
        let (serving, stop) = serve(own.config()).await;
        stop.cancel();
        serving.finished().await;
    }
}
