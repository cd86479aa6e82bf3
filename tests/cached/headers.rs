//! What clients are told, and permissions of metadata.

use std::time::Instant;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::SCHEMA;
use super::harness::{self, TestDb, Token};
use super::served::{Instance, PATIENCE};

const SECRET: &str = "secret of the tests";

pub(super) fn token(tenant: &str) -> String {
    Token::new("user").tenant(tenant).user("1").bearer()
}

pub(super) async fn post(server: &Instance, bearer: &str, body: Value) -> Response {
    let response = harness::http()
        .post(format!("http://{}/v1/graphql", server.address))
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("answers");
    assert_eq!(response.status(), StatusCode::OK);
    response
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn headers_say_how_long_an_answer_is_kept() {
    let db = TestDb::new(SCHEMA).await;
    let server = Instance::start(&db);
    let query = "query ($id: Int) @cached(ttl: 100) { notes(where: {id: {_eq: $id}}) { body } }";
    let ask = async |id: u32, tenant: &str| {
        post(&server, &token(tenant), json!({"query": query, "variables": {"id": id}})).await
    };
    let first = ask(1, "a").await;
    let key = header(&first, "x-hasura-query-cache-key").expect("a key");
    let family = header(&first, "x-hasura-query-family-cache-key").expect("a family");
    assert_eq!(header(&first, "cache-control").as_deref(), Some("max-age=100"));
    let again = ask(1, "a").await;
    assert_eq!(header(&again, "x-hasura-query-cache-key"), Some(key.clone()));
    let left = header(&again, "cache-control").expect("is kept");
    let left: u32 = left.strip_prefix("max-age=").expect("max-age").parse().expect("seconds");
    assert!(left <= 100);
    let other = ask(2, "a").await;
    assert_ne!(header(&other, "x-hasura-query-cache-key"), Some(key.clone()));
    assert_eq!(header(&other, "x-hasura-query-family-cache-key"), Some(family.clone()));
    let stranger = ask(1, "b").await;
    assert_ne!(header(&stranger, "x-hasura-query-cache-key"), Some(key));
    assert_ne!(header(&stranger, "x-hasura-query-family-cache-key"), Some(family));
    assert_eq!(stranger.text().await.unwrap(), r#"{"data":{"notes":[]}}"#);

    // Not kept, or not alone: nothing is said.
    for body in [
        json!({"query": "{ notes { body } }"}),
        json!({"query": "query @cached { shared { body } }"}),
        json!({"query": "query @cached { nothing }"}),
        json!([{"query": "query @cached { notes { body } }"}]),
    ] {
        let answer = post(&server, &token("a"), body.clone()).await;
        assert_eq!(header(&answer, "x-hasura-query-cache-key"), None, "{body}");
        assert_eq!(header(&answer, "cache-control"), None, "{body}");
    }

    // By GET it may not be kept on the way.
    let got = harness::http()
        .get(format!(
            "http://{}/v1/graphql?query=query%20@cached%20%7B%20notes%20%7B%20body%20%7D%20%7D",
            server.address
        ))
        .header("authorization", token("a"))
        .send()
        .await
        .expect("answers");
    assert_eq!(header(&got, "cache-control").as_deref(), Some("no-store"));
    assert!(header(&got, "x-hasura-query-cache-key").is_some());

    let page = harness::http()
        .get(format!("http://{}/metrics", server.address))
        .send()
        .await
        .expect("answers")
        .text()
        .await
        .unwrap();
    for line in [
        "ringfence_response_cache_total{result=\"hit\"} 2",
        "ringfence_response_cache_total{result=\"bypass\"} 1",
        "ringfence_response_cache_entries 4",
    ] {
        assert!(page.contains(line), "{line} is missing in {page}");
    }
}

/// Metadata permissions, whose session variables are parameters.
#[tokio::test]
async fn permissions_of_metadata_tell_callers_apart() {
    let db = TestDb::new(
        "create table author (id int primary key, name text not null);
         create table article (id int primary key, author_id int references author, title text not null);
         insert into author values (1, 'Ada'), (2, 'Ben');
         insert into article values (1, 1, 'old of 1'), (2, 2, 'old of 2');",
    )
    .await;
    let more = [("HASURA_GRAPHQL_ADMIN_SECRET", SECRET), ("RINGFENCE_ROLES_MAP", "")];
    let server = Instance::start_with(&db, &more);
    let send = async |path: &str, role: Option<(&str, &str)>, body: Value| -> Value {
        let mut request = harness::http()
            .post(format!("http://{}{path}", server.address))
            .header("x-hasura-admin-secret", SECRET)
            .header("content-type", "application/json");
        if let Some((role, user)) = role {
            request = request.header("x-hasura-role", role).header("x-hasura-user-id", user);
        }
        let answer = request.body(body.to_string()).send().await.expect("answers");
        serde_json::from_slice(&answer.bytes().await.unwrap()).expect("JSON")
    };
    let command = async |name: &str, args: Value| {
        let answer = send("/v1/metadata", None, json!({"type": name, "args": args})).await;
        assert_eq!(answer, json!({"message": "success"}), "{name}");
    };
    let permit = async |role: &str, table: &str, filter: Value| {
        let permission = json!({"columns": "*", "filter": filter});
        let args = json!({"table": table, "role": role, "permission": permission});
        command("pg_create_select_permission", args).await;
    };
    command("pg_track_table", json!({"table": "author"})).await;
    command("pg_track_table", json!({"table": "article"})).await;
    command(
        "pg_create_object_relationship",
        json!({"table": "article", "name": "author", "using": {"foreign_key_constraint_on": "author_id"}}),
    )
    .await;
    permit("own", "article", json!({"author_id": {"_eq": "X-Hasura-User-Id"}})).await;
    permit("every", "article", json!({})).await;
    permit("related", "article", json!({"author": {"id": {"_eq": "X-Hasura-User-Id"}}})).await;

    let asked = async |role: &str, user: &str, directive: &str| {
        let body = json!({"query": format!("query {directive} {{ article {{ title }} }}")});
        let answer = send("/v1/graphql", Some((role, user)), body).await;
        let rows = answer["data"]["article"].as_array().unwrap_or_else(|| panic!("{answer}"));
        rows.iter().map(|row| row["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let ask = async |role: &str, user: &str| asked(role, user, "@cached").await;
    let renew = async |role: &str, user: &str| asked(role, user, "@cached(refresh: true)").await;
    let sql = db.client().await;
    let set = async |word: &str| {
        let update = format!("update article set title = '{word} of ' || author_id");
        sql.batch_execute(&update).await.unwrap();
    };
    // The grants that the permissions brought are a new catalogue, too, which
    // comes in a moment.
    let started = Instant::now();
    loop {
        set("old").await;
        for role in ["own", "related"] {
            assert_eq!(renew(role, "1").await, ["old of 1"], "{role}");
            assert_eq!(renew(role, "2").await, ["old of 2"], "{role}");
        }
        assert_eq!(renew("every", "1").await, ["old of 1", "old of 2"]);
        set("new").await;
        let one = ask("own", "1").await;
        let two = ask("own", "2").await;
        // No permission and no policy that asks for the user.
        let every = ask("every", "3").await;
        if one == ["old of 1"] && two == ["old of 2"] && every == ["old of 1", "old of 2"] {
            break;
        }
        for (answer, own) in [(&one, "of 1"), (&two, "of 2")] {
            assert!(answer.len() == 1 && answer[0].ends_with(own), "{answer:?}");
        }
        assert!(started.elapsed() < PATIENCE, "nothing is kept: {one:?} {two:?} {every:?}");
    }
    // Other tables decide.
    assert_eq!(ask("related", "1").await, ["new of 1"]);
    // The metadata changes.
    command("pg_drop_select_permission", json!({"table": "article", "role": "own"})).await;
    permit("own", "article", json!({"author_id": {"_eq": "X-Hasura-User-Id"}})).await;
    assert_eq!(ask("own", "1").await, ["new of 1"]);
    assert_eq!(ask("every", "3").await, ["new of 1", "new of 2"]);
}
