//! What the operator reads in the log of a served process, and what never
//! stands there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;
mod served;

use harness::{TestDb, Token};
use serde_json::{Value, json};
use served::{Instance, wait_for};

const SCHEMA: &str = "
    create table notes (id int primary key, body text);
    insert into notes values (1, 'one');
    grant select on notes to app_user;
";

#[tokio::test]
async fn every_request_leaves_a_line_without_its_secrets() {
    let db = TestDb::new(SCHEMA).await;
    let instance = tokio::task::spawn_blocking({
        let db = std::sync::Arc::new(db);
        move || (Instance::start(&db), db)
    });
    let (instance, _db) = instance.await.unwrap();
    let url = format!("http://{}/v1/graphql", instance.address);
    let bearer = Token::new("user").tenant("t-hidden").bearer();
    let client = harness::http();
    let ask = |id: &'static str, body: Value| {
        client
            .post(&url)
            .header("content-type", "application/json")
            .header("authorization", &bearer)
            .header("x-request-id", id)
            .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .body(body.to_string())
            .send()
    };
    let query = "query Notes($b: String!) {notes(where:{body:{_eq:$b}}){id}}";
    let good = json!({"query": query, "variables": {"b": "hunter2"}});
    assert_eq!(ask("the-good-one", good).await.unwrap().status(), 200);
    ask("the-unknown-field", json!({"query": "{hunter2}"})).await.unwrap();
    ask("the-batch", json!([{"query": "{notes{id}}"}, {"query": "{notes{id}}"}])).await.unwrap();
    let long = "A".repeat(300);
    let named = format!("query {long} {{notes{{id}}}}");
    assert_eq!(ask("the-long-name", json!({"query": named})).await.unwrap().status(), 200);
    for (id, name) in [("the-huge-name", "B".repeat(500_000)), ("the-odd-name", "x\ny".to_owned())]
    {
        let odd = ask(id, json!({"query": "{notes{id}}", "operationName": name})).await.unwrap();
        let answer = odd.text().await.unwrap();
        assert!(answer.contains("parse-failed") && answer.len() < 500, "{answer}");
    }
    let secret = client
        .post(&url)
        .header("content-type", "application/json")
        .header("x-hasura-admin-secret", "hunter2")
        .header("x-request-id", "the-wrong-secret")
        .body("{}");
    secret.send().await.unwrap();

    let line = |id: &str| -> Value {
        serde_json::from_str(&wait_for(|| instance.logged(&format!("\"{id}\"")))).unwrap()
    };
    let good = line("the-good-one");
    for (name, value) in [
        ("level", json!("INFO")),
        ("message", json!("request")),
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("client", json!("127.0.0.1")),
        ("method", json!("POST")),
        ("endpoint", json!("graphql")),
        ("status", json!(200)),
        ("role", json!("user")),
        ("operation", json!("Notes")),
    ] {
        assert_eq!(good[name], value, "{name} in {good}");
    }
    assert!(good["duration_us"].as_u64().unwrap() > 0, "{good}");
    assert_eq!(good["document"].as_str().unwrap().len(), 16, "{good}");
    assert!(good["timestamp"].as_str().unwrap().ends_with('Z'), "{good}");
    assert_eq!(line("the-unknown-field")["code"], "validation-failed");
    assert_eq!(line("the-batch")["batch"], 2);
    assert_eq!(line("the-wrong-secret")["code"], "access-denied");
    assert_eq!(line("the-wrong-secret").get("role"), None);

    assert_eq!(line("the-long-name")["operation"], "A".repeat(128));
    assert_eq!(line("the-huge-name").get("operation"), None);
    assert_eq!(line("the-odd-name").get("operation"), None);

    let log = instance.log();
    for secret in ["hunter2", "t-hidden", bearer.trim_start_matches("Bearer "), harness::JWT_KEY] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    for line in log.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(parsed["level"].is_string() && parsed["timestamp"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_start_warns_of_names_that_the_database_does_not_have() {
    let db = TestDb::new(SCHEMA).await;
    let started = tokio::task::spawn_blocking(move || {
        let names = [
            ("RINGFENCE_ROLES_MAP", "user=app_user,lost=no_such_role"),
            ("RINGFENCE_SCHEMA_EXPOSE", "public,nowhere"),
        ];
        (Instance::start_with(&db, &names), db)
    });
    let (instance, _db) = started.await.unwrap();
    for (told, fix) in [
        ("roles.map names the database role no_such_role", "CREATE ROLE no_such_role NOLOGIN"),
        ("schema.expose names the schema nowhere", "CREATE SCHEMA nowhere;"),
    ] {
        let line: Value = serde_json::from_str(&wait_for(|| instance.logged(told))).unwrap();
        assert_eq!(line["level"], "WARN", "{line}");
        assert!(line["fix"].as_str().unwrap().starts_with(fix), "{line}");
    }
    assert!(instance.logged("roles.map names the database role app_user").is_none());
}
