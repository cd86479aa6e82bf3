//! Stored operations: REST endpoints and the allow list.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::harness::{JWT_KEY, Token};
use super::{Project, SECRET};

impl Project {
    async fn rest(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = format!("http://{}/api/rest/{path}", self.server.address);
        let mut request = self
            .client
            .request(method, url)
            .header("x-hasura-admin-secret", SECRET)
            .header("x-hasura-role", "writer")
            .header("x-hasura-user-id", "1");
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("answers");
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).expect("JSON"))
    }

    async fn collect(&self) {
        let queries = json!([
            {"name": "all", "query": "query { article(order_by: {id: asc}) { id } }"},
            {"name": "some", "query": "query ($ids: [Int!], $title: String, $limit: Int = 9, $loud: Boolean! = false) {
                article(order_by: {id: asc}, limit: $limit,
                    where: {id: {_in: $ids}, title: {_eq: $title}}) { id title @include(if: $loud) } }"},
            {"name": "one", "query": "query ($id: Int!) { article(where: {id: {_eq: $id}}) { title } }"},
            {"name": "live", "query": "subscription { article { id } }"}]);
        self.done(
            "create_query_collection",
            json!({"name": "kept", "definition": {"queries": queries}}),
        )
        .await;
    }

    async fn endpoint(&self, url: &str, query: &str, methods: &[&str]) -> (StatusCode, Value) {
        let definition = json!({"query": {"collection_name": "kept", "query_name": query}});
        self.command(
            "create_rest_endpoint",
            json!({"name": url, "url": url, "methods": methods, "definition": definition}),
        )
        .await
    }
}

#[tokio::test]
async fn an_address_runs_its_operation_as_the_caller() {
    let project = Project::new().await;
    project.set_up().await;
    project.collect().await;
    for (url, query, methods) in [
        ("articles", "all", &["GET"][..]),
        ("find", "some", &["GET", "POST"][..]),
        ("articles/:id", "one", &["GET"][..]),
    ] {
        let (status, answer) = project.endpoint(url, query, methods).await;
        assert_eq!(status, 200, "{answer}");
    }
    for (method, path, body, expected) in [
        (Method::GET, "articles", None, json!({"article": [{"id": 1}, {"id": 2}, {"id": 3}]})),
        (Method::GET, "articles/2", None, json!({"article": [{"title": "Two"}]})),
        (Method::GET, "find?title=One&loud", None, json!({"article": [{"id": 1, "title": "One"}]})),
        (Method::GET, "find?limit=1", None, json!({"article": [{"id": 1}]})),
        (
            Method::POST,
            "find?limit=1",
            Some(json!({"ids": [2, 3], "limit": 5})),
            json!({"article": [{"id": 2}]}),
        ),
    ] {
        let (status, answer) = project.rest(method, path, body).await;
        assert_eq!((status, &answer), (StatusCode::OK, &expected), "{path}");
    }
    for (method, path, body, status, code, message) in [
        (Method::GET, "nothing", None, 404, "not-found", "Endpoint not found"),
        (Method::GET, "articles/2/x", None, 404, "not-found", "Endpoint not found"),
        (Method::POST, "articles", None, 405, "method-not-allowed", "Allowed methods: GET"),
        (
            Method::GET,
            "articles/x",
            None,
            400,
            "data-exception",
            "invalid input syntax for type integer: \"x\"",
        ),
        (Method::GET, "articles?x=1", None, 400, "bad-request", "Unexpected variable x"),
        (
            Method::GET,
            "find?ids=1",
            None,
            400,
            "bad-request",
            "List variables are not currently supported in URL or Query parameters. (Variable ids, with value \"1\")",
        ),
        (
            Method::POST,
            "find",
            Some(json!([1])),
            400,
            "bad-request",
            "the body must be a JSON object of variables",
        ),
    ] {
        let (got, answer) = project.rest(method, path, body).await;
        assert_eq!(
            (got.as_u16(), answer["code"].as_str()),
            (status, Some(code)),
            "{path}: {answer}"
        );
        let said = answer["error"].as_str().unwrap_or_default();
        assert!(said.starts_with(message), "{path}: {answer}");
    }
    let unsigned =
        project.client.get(format!("http://{}/api/rest/articles", project.server.address));
    let refused = unsigned.header("x-hasura-admin-secret", "wrong").send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn what_an_address_cannot_mean_is_refused() {
    let project = Project::new().await;
    project.set_up().await;
    project.collect().await;
    assert_eq!(project.endpoint("a/:id", "one", &["GET"]).await.0, 200);
    for (url, query, reason) in [
        (":y/b", "one", "Ambiguous URL paths: :y/b, a/:id"),
        ("q//r", "all", "Empty segments or unnamed variables are not allowed: q//r"),
        (
            "live",
            "live",
            "Inconsistent object: in endpoint live: query with name live is a subscription",
        ),
        (
            "gone",
            "gone",
            "Inconsistent object: in endpoint gone: query with name gone does not exist in collection kept",
        ),
    ] {
        let (status, answer) = project.endpoint(url, query, &["GET"]).await;
        assert_eq!(status, 400, "{url}");
        assert_eq!(answer["error"], "cannot continue due to new inconsistent metadata");
        assert_eq!(answer["internal"][0]["reason"], reason);
    }
    let (status, answer) = project.endpoint("m", "all", &["HEAD"]).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("parse-failed")));
    // A collection that an address needs stays.
    let (status, answer) = project
        .command("drop_query_collection", json!({"collection": "kept", "cascade": true}))
        .await;
    assert_eq!(status, 400, "{answer}");
    let renamed = json!({"name": "kept", "new_name": "renamed"});
    project.done("rename_query_collection", renamed).await;
    assert_eq!(project.rest(Method::GET, "a/1", None).await.0, 200);
}

#[tokio::test]
async fn only_listed_operations_run() {
    let project = Project::with(&[("HASURA_GRAPHQL_ENABLE_ALLOWLIST", "true")]).await;
    project.set_up().await;
    project.collect().await;
    let user = [("x-hasura-user-id", "1")];
    let listed = "query All { article(order_by: {id: asc}) { id __typename } }";
    let query = "query { article(order_by: {id: asc}) { id __typename } } # by a client";
    let refused = json!({"errors": [{"message": "query is not allowed",
        "extensions": {"path": "$", "code": "validation-failed"}}]});
    assert_eq!(project.ask("writer", &user, query).await, refused);
    assert_eq!(project.ask("admin", &user, listed).await["errors"], Value::Null);

    let scope = json!({"global": false, "roles": ["writer"]});
    project
        .done("add_collection_to_allowlist", json!({"collection": "kept", "scope": scope}))
        .await;
    for _ in 0..2 {
        let seen = project.ask("writer", &user, query).await;
        assert_eq!(seen["data"]["article"][0], json!({"id": 1, "__typename": "article"}));
        // Another name is another document.
        assert_eq!(project.ask("writer", &user, listed).await, refused);
        assert_eq!(project.ask("other", &user, query).await, refused);
    }
    let scope = json!({"collection": "kept", "scope": {"global": false, "roles": ["other"]}});
    project.done("update_scope_of_collection_in_allowlist", scope).await;
    assert_eq!(project.ask("writer", &user, query).await, refused);
    let (status, answer) =
        project.command("drop_query_collection", json!({"collection": "kept"})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("dependency-error")));
    project.done("drop_collection_from_allowlist", json!({"collection": "kept"})).await;
    project.done("drop_query_collection", json!({"collection": "kept"})).await;
}

/// Another page can lead a browser to an address, but not with the visitor's
/// cookie: there the answer is that of a caller who proves nothing.
#[tokio::test]
async fn pages_of_others_do_not_act_with_cookies() {
    let jwt =
        json!({"type": "HS256", "key": JWT_KEY, "header": {"type": "Cookie", "name": "session"}});
    let project = Project::with(&[("RINGFENCE_AUTH_JWT", &jwt.to_string())]).await;
    project.set_up().await;
    project.collect().await;
    let (status, answer) = project.endpoint("articles", "all", &["GET", "POST"]).await;
    assert_eq!(status, 200, "{answer}");
    let url = format!("http://{}/api/rest/articles", project.server.address);
    let cookie = format!("session={}", Token::new("writer").user("1").mint());
    let own = format!("http://{}", project.server.address);
    for (headers, expected) in [
        (vec![], 200),
        (vec![("sec-fetch-site", "none")], 200),
        (vec![("sec-fetch-site", "same-origin"), ("origin", own.as_str())], 200),
        (vec![("sec-fetch-site", "cross-site")], 401),
        (vec![("sec-fetch-site", "same-site")], 401),
        (vec![("origin", "https://elsewhere.example")], 401),
    ] {
        for method in [Method::GET, Method::POST] {
            let mut request = project.client.request(method, &url).header("cookie", &cookie);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let response = request.send().await.expect("answers");
            assert_eq!(response.status().as_u16(), expected, "{headers:?}");
        }
    }
}
