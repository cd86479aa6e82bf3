//! The data commands of Hasura's first API, as the administrator and as a role.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Project;

impl Project {
    async fn data(&self, role: &str, user: &str, name: &str, args: Value) -> (StatusCode, Value) {
        let body = json!({"type": name, "args": args}).to_string();
        self.data_text(role, user, body).await
    }

    async fn data_text(&self, role: &str, user: &str, body: String) -> (StatusCode, Value) {
        let url = format!("http://{}/v1/query", self.server.address);
        let request = self
            .client
            .post(url)
            .header("x-hasura-admin-secret", super::SECRET)
            .header("x-hasura-role", role)
            .header("x-hasura-user-id", user)
            .header("content-type", "application/json");
        let response = request.body(body).send().await.expect("answers");
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).expect("JSON"))
    }

    async fn admin(&self, name: &str, args: Value) -> Value {
        let (status, answer) = self.data("admin", "0", name, args).await;
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    async fn writers(&self) {
        self.set_up().await;
        let own = json!({"author_id": {"_eq": "X-Hasura-User-Id"}});
        self.done(
            "pg_create_insert_permission",
            json!({"table": "article", "role": "writer", "permission": {
                "columns": ["title"], "check": own, "set": {"author_id": "X-Hasura-User-Id"}}}),
        )
        .await;
        self.done(
            "pg_create_update_permission",
            json!({"table": "article", "role": "writer", "permission": {
                "columns": ["title"], "filter": own}}),
        )
        .await;
        self.done(
            "pg_create_delete_permission",
            json!({"table": "article", "role": "writer", "permission": {"filter": own}}),
        )
        .await;
    }
}

#[tokio::test]
async fn the_administrator_reads_and_writes() {
    let project = Project::new().await;
    project.set_up().await;

    let inserted = project
        .admin(
            "insert",
            json!({"table": "article", "returning": ["id", "title"], "objects": [
                {"title": "Four", "author_id": 1}, {"title": "Five", "author_id": 2, "is_published": true}]}),
        )
        .await;
    assert_eq!(inserted["affected_rows"], 2);
    assert_eq!(inserted["returning"][1], json!({"id": 5, "title": "Five"}));

    let selected = project
        .admin(
            "select",
            json!({"table": "article", "columns": ["title", {"name": "author", "columns": ["name"]}],
                "where": {"id": {"$gt": 3}}, "order_by": ["+id"]}),
        )
        .await;
    assert_eq!(
        selected,
        json!([{"title": "Four", "author": {"name": "Ada"}}, {"title": "Five", "author": {"name": "Ben"}}])
    );

    let kept = project
        .admin(
            "insert",
            json!({"table": "article", "objects": [{"id": 1, "title": "Again", "author_id": 1}],
                "on_conflict": {"action": "ignore"}}),
        )
        .await;
    assert_eq!(kept, json!({"affected_rows": 0}));
    let upserted = project
        .admin(
            "insert",
            json!({"table": "article", "objects": [{"id": 1, "title": "Again", "author_id": 1}],
                "on_conflict": {"constraint_on": ["id"], "action": "update"}, "returning": ["title"]}),
        )
        .await;
    assert_eq!(upserted, json!({"affected_rows": 1, "returning": [{"title": "Again"}]}));

    let updated = project
        .admin(
            "update",
            json!({"table": "article", "$set": {"title": "New"}, "$default": ["is_published"],
                "$inc": {"author_id": 1}, "where": {"id": 1}, "returning": ["title", "is_published", "author_id"]}),
        )
        .await;
    assert_eq!(
        updated["returning"],
        json!([{"title": "New", "is_published": false, "author_id": 2}])
    );
    let deleted =
        project.admin("delete", json!({"table": "article", "where": {"author_id": 2}})).await;
    assert_eq!(deleted, json!({"affected_rows": 3}));
    let counted = project.admin("count", json!({"table": "article"})).await;
    assert_eq!(counted, json!({"count": 2}));
}

#[tokio::test]
async fn a_role_does_what_it_may() {
    let project = Project::new().await;
    project.writers().await;

    let (status, answer) = project
        .data(
            "writer",
            "2",
            "insert",
            json!({"table": "article", "objects": [{"title": "Mine"}], "returning": ["id"]}),
        )
        .await;
    assert_eq!((status, &answer["returning"]), (StatusCode::OK, &json!([{"id": 4}])), "{answer}");

    // Its own rows only, whatever it asks for.
    let (_, answer) = project
        .data(
            "writer",
            "2",
            "update",
            json!({"table": "article", "$set": {"title": "X"}, "where": {}}),
        )
        .await;
    assert_eq!(answer, json!({"affected_rows": 2}));
    let (_, answer) = project
        .data(
            "writer",
            "2",
            "delete",
            json!({"table": "article", "where": {"id": {"$in": [1, 2]}}}),
        )
        .await;
    assert_eq!(answer, json!({"affected_rows": 0}));

    for (name, args, code, message) in [
        (
            "insert",
            json!({"table": "article", "objects": [{"title": "T", "author_id": 1}]}),
            "not-supported",
            "column \"author_id\" is not insertable for role \"writer\"; its value is predefined in permission",
        ),
        (
            "update",
            json!({"table": "article", "$set": {"author_id": 1}, "where": {}}),
            "permission-denied",
            "role \"writer\" does not have permission to update column \"author_id\"",
        ),
        (
            "insert",
            json!({"table": "author", "objects": [{"name": "N"}]}),
            "permission-denied",
            "insert on \"author\" for role \"writer\" is not allowed. ",
        ),
        (
            "select",
            json!({"table": "author", "columns": ["secret"]}),
            "permission-denied",
            "role \"writer\" does not have permission to select column \"secret\"",
        ),
    ] {
        let (status, answer) = project.data("writer", "2", name, args).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!((&answer["code"], &answer["error"]), (&json!(code), &json!(message)));
    }
}

#[tokio::test]
async fn a_bulk_of_data_and_digits_are_kept() {
    let project = Project::new().await;
    project.sql("create table amount (id int primary key, value numeric, big bigint)").await;
    project.done("pg_track_table", json!({"table": "amount"})).await;
    let body = r#"{"type": "bulk", "args": [
        {"type": "insert", "args": {"table": "amount", "objects": [
            {"id": 1, "value": 12345678901234567890.123456789, "big": 9007199254740993}]}},
        {"type": "select", "args": {"table": "amount", "columns": ["*"], "where": {"big": 9007199254740993}}}]}"#;
    let url = format!("http://{}/v1/query", project.server.address);
    let response = project
        .client
        .post(url)
        .header("x-hasura-admin-secret", super::SECRET)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .expect("answers");
    let text = response.text().await.unwrap();
    assert!(text.contains("12345678901234567890.123456789"), "{text}");
    assert!(text.contains("9007199254740993"), "{text}");
}

#[tokio::test]
async fn bad_commands_are_told() {
    let project = Project::new().await;
    project.writers().await;
    let found =
        |condition: Value| json!({"table": "article", "columns": ["id"], "where": condition});
    for (name, args, code, path) in [
        ("insert", json!({"table": "article"}), "parse-failed", "$"),
        ("insert", json!({"table": "nothing", "objects": []}), "not-exists", "$.args.table"),
        (
            "insert",
            json!({"table": "article", "objects": [{"nothing": 1}]}),
            "not-exists",
            "$.args.objects[0]",
        ),
        ("update", json!({"table": "article", "$set": {"title": "T"}}), "parse-failed", "$"),
        (
            "update",
            json!({"table": "article", "$set": {"nothing": 1}, "where": {}}),
            "not-exists",
            "$.args['$set']",
        ),
        (
            "update",
            json!({"table": "article", "$set": {"id": 7}, "$inc": {"id": 1}, "where": {}}),
            "unexpected-payload",
            "$.args['$inc'].id",
        ),
        (
            "delete",
            json!({"table": "article", "where": {"nothing": 1}}),
            "unexpected-payload",
            "$.args.where.nothing",
        ),
        ("count", json!({"table": "article", "distinct": 3}), "parse-failed", "$.distinct"),
        // What cannot be read, and what is not there.
        ("select", found(json!({"title": 5})), "parse-failed", "$.args.where.title"),
        (
            "select",
            found(json!({"title": {"_eq": true}})),
            "parse-failed",
            "$.args.where.title._eq",
        ),
        (
            "select",
            found(json!({"title": {"_in": ["a", 1]}})),
            "parse-failed",
            "$.args.where.title._in",
        ),
        ("select", found(json!({"id": {"_in": 3}})), "parse-failed", "$.args.where.id._in"),
        ("select", found(json!({"id": {"_gt": false}})), "parse-failed", "$.args.where.id._gt"),
        ("select", found(json!({"id": {"_gt": {"a": 1}}})), "parse-failed", "$.args.where.id._gt"),
        ("select", found(json!({"id": {"_gt": [1]}})), "parse-failed", "$.args.where.id._gt"),
        (
            "select",
            found(json!({"id": {"_is_null": 1}})),
            "parse-failed",
            "$.args.where.id._is_null",
        ),
        ("select", found(json!({"is_published": 1})), "parse-failed", "$.args.where.is_published"),
        ("select", found(json!({"_and": {}})), "parse-failed", "$.args.where._and"),
        ("select", found(json!({"_not": []})), "parse-failed", "$.args.where._not"),
        ("select", found(json!({"nothing": 1})), "unexpected-payload", "$.args.where.nothing"),
        (
            "select",
            found(json!({"id": {"_nope": 1}})),
            "unexpected-payload",
            "$.args.where.id._nope",
        ),
        (
            "select",
            found(json!({"id": {"_has_key": "a"}})),
            "unexpected-payload",
            "$.args.where.id._has_key",
        ),
        (
            "select",
            found(json!({"id": {"_gt": null}})),
            "unexpected-payload",
            "$.args.where.id._gt",
        ),
        (
            "select",
            found(json!({"_or": [{}, {"author": {"x": 1}}]})),
            "unexpected-payload",
            "$.args.where._or[1].author.x",
        ),
        // A text may be anything of which Postgres makes a value.
        ("select", found(json!({"id": "x"})), "data-exception", "$.args"),
        (
            "insert",
            json!({"table": "article", "objects": [{"title": null, "author_id": 1}]}),
            "constraint-violation",
            "$.args",
        ),
    ] {
        let (status, answer) = project.data("admin", "0", name, args.clone()).await;
        assert_eq!(status, 400, "{name} {args}: {answer}");
        assert_eq!(
            (&answer["code"], &answer["path"]),
            (&json!(code), &json!(path)),
            "{name} {args}: {answer}"
        );
    }
}

/// What Postgres cannot do is a fault, whose cause the administrator alone is told.
#[tokio::test]
async fn an_error_of_the_database_is_a_fault() {
    let project = Project::new().await;
    project.sql("create table doc (id int primary key, body json)").await;
    project.done("pg_track_table", json!({"table": "doc"})).await;
    let args = json!({"table": "doc", "columns": ["id"], "order_by": ["+body"]});
    let permission =
        json!({"table": "doc", "role": "writer", "permission": {"columns": "*", "filter": {}}});
    project.done("pg_create_select_permission", permission).await;
    for (role, told) in [("admin", true), ("writer", false)] {
        let (status, answer) = project.data(role, "0", "select", args.clone()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert_eq!(
            (&answer["code"], &answer["error"]),
            (&json!("unexpected"), &json!("database query error")),
            "{answer}"
        );
        assert_eq!(answer.get("internal").is_some(), told, "{role}: {answer}");
        if told {
            let internal = &answer["internal"];
            assert_eq!(internal["error"]["status_code"], "42883", "{answer}");
            assert_eq!(internal["error"]["exec_status"], "FatalError");
            assert!(internal["statement"].as_str().is_some_and(|sql| sql.contains("ORDER BY")));
        }
    }
}

/// A column on the right of a comparison tells as much as one on the left.
#[tokio::test]
async fn columns_that_a_role_does_not_see_are_not_compared_with() {
    let project = Project::new().await;
    project.set_up().await;
    let select = |table: &str, column: &str, condition: Value| json!({"table": table, "columns": [column], "where": condition});
    for (args, seen) in [
        (select("author", "name", json!({"name": {"$cgt": "name"}})), true),
        (select("author", "name", json!({"name": {"$cgt": "secret"}})), false),
        (select("article", "id", json!({"id": {"$ceq": ["author_id"]}})), false),
        (select("article", "id", json!({"author": {"name": {"$ceq": ["$", "title"]}}})), true),
        (select("article", "id", json!({"author": {"name": {"$cne": ["$", "author_id"]}}})), false),
    ] {
        let (status, answer) = project.data("writer", "1", "select", args.clone()).await;
        assert_eq!(status == StatusCode::OK, seen, "{args}: {answer}");
        if !seen {
            assert_eq!(answer["code"], "permission-denied", "{args}");
        }
    }
}
