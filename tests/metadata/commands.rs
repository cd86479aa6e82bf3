//! Tables, permissions, names: commands and what they change.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::served::wait_for;
use super::{Project, SECRET, harness, start};

#[tokio::test]
async fn a_role_sees_what_its_permissions_say() {
    let project = Project::new().await;
    project.set_up().await;
    let query = "{ article(order_by: {id: asc}) { title author { name articles { id } } } }";
    let seen = project.ask("writer", &[("x-hasura-user-id", "1")], query).await;
    assert_eq!(
        seen,
        json!({"data": {"article": [
            {"title": "One", "author": {"name": "Ada", "articles": [{"id": 1}, {"id": 2}]}},
            {"title": "Two", "author": {"name": "Ada", "articles": [{"id": 1}, {"id": 2}]}},
            {"title": "Three", "author": {"name": "Ben", "articles": [{"id": 3}]}}]}})
    );
    let hidden = project.ask("writer", &[("x-hasura-user-id", "1")], "{ author { secret } }").await;
    assert_eq!(hidden["errors"][0]["message"], "field \"secret\" not found in type: 'author'");
    let missing = project.ask("writer", &[], "{ article { id } }").await;
    assert_eq!(missing["errors"][0]["message"], "missing session variable: \"x-hasura-user-id\"");
    let stranger = project.ask("stranger", &[], "{ article { id } }").await;
    assert_eq!(stranger["errors"][0]["extensions"]["code"], "validation-failed");

    project.done("pg_drop_select_permission", json!({"table": "author", "role": "writer"})).await;
    let gone = project.ask("writer", &[("x-hasura-user-id", "1")], query).await;
    assert_eq!(gone["errors"][0]["message"], "field \"author\" not found in type: 'article'");
}

#[tokio::test]
async fn names_of_the_database_are_followed() {
    let project = Project::new().await;
    project.set_up().await;
    let (status, answer) =
        project.sql("alter table article rename column is_published to is_public").await;
    assert_eq!((status, &answer["result_type"]), (StatusCode::OK, &json!("CommandOk")), "{answer}");
    project.sql("alter table article rename to post").await;
    project.sql("alter table post rename column author_id to writer_id").await;
    let seen =
        project.ask("writer", &[("x-hasura-user-id", "1")], "{ post { title author { name } } }");
    assert_eq!(seen.await["data"]["post"][1]["title"], "Two");

    let (status, refused) = project.sql("alter table post drop column is_public").await;
    assert_eq!((status, &refused["code"]), (StatusCode::BAD_REQUEST, &json!("dependency-error")));
    assert_eq!(
        refused["error"],
        "cannot drop due to the following dependent objects : permission author.writer.select in source \"default\", \
         permission post.writer.select in source \"default\""
    );
    assert!(project.db.psql("select is_public from post").is_ok(), "nothing was dropped");

    let body =
        json!({"type": "run_sql", "args": {"sql": "drop table post cascade", "cascade": true}});
    let (status, _) = project.send(&project.server, "/v2/query", &body).await;
    assert_eq!(status, 200);
    let exported = project.done("export_metadata", json!({})).await;
    let tables = exported["sources"][0]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].get("array_relationships"), None);
}

#[tokio::test]
async fn functions_of_the_metadata_are_guarded() {
    let project = Project::new().await;
    project.set_up().await;
    let (status, _) = project
        .sql(
            "create function short(a article) returns text language sql stable as 'select left(a.title, 2)';
             create function published() returns setof article language sql stable as 'select * from article';",
        )
        .await;
    assert_eq!(status, 200);
    project
        .done(
            "pg_add_computed_field",
            json!({"table": "article", "name": "short", "definition": {"function": "short"}}),
        )
        .await;
    project.done("pg_track_function", json!({"function": "published"})).await;
    for (sql, code, error) in [
        (
            "create function published(n int) returns setof article language sql stable as 'select * from article'",
            "not-supported",
            "the following tracked function(s) cannot be overloaded: published",
        ),
        (
            "create function short(a article, n int) returns text language sql stable as 'select a.title'",
            "not-supported",
            "The function \"short\" associated with computed field\"short\" of table \"article\" is being overloaded",
        ),
        (
            "alter function short(article) volatile",
            "not-supported",
            "The type of function \"short\" associated with computed field \"short\" of table \"article\" is being \
             altered to \"VOLATILE\"",
        ),
        (
            "alter function short(article) rename to brief",
            "dependency-error",
            "cannot drop due to the following dependent objects : computed field article.short in source \"default\"",
        ),
    ] {
        let (status, answer) = project.sql(sql).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!((&answer["code"], &answer["error"]), (&json!(code), &json!(error)), "{sql}");
    }
    let seen = project.ask("admin", &[], "{ article(limit: 1) { short } published { id } }").await;
    assert_eq!(seen["data"]["article"][0]["short"], "On", "{seen}");
    assert_eq!(seen["data"]["published"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_change_is_whole_or_not_there() {
    let project = Project::new().await;
    let (status, answer) = project
        .command(
            "bulk",
            json!([
                {"type": "pg_track_table", "args": {"table": "author"}},
                {"type": "run_sql", "args": {"sql": "create table made (id int primary key)"}},
                {"type": "pg_track_table", "args": {"table": "made"}},
                {"type": "pg_track_table", "args": {"table": "nowhere"}}
            ]),
        )
        .await;
    assert_eq!(status, 400);
    assert_eq!(answer["path"], "$.args[3].args");
    assert_eq!(
        answer["error"],
        "Inconsistent object: no such table/view exists in source: \"nowhere\""
    );
    assert!(project.db.psql("select from made").is_err());
    let exported = project.done("export_metadata", json!({})).await;
    assert_eq!(exported["sources"][0]["tables"], json!([]));

    let version = {
        let body = json!({"type": "export_metadata", "version": 2, "args": {}});
        project.send(&project.server, "/v1/metadata", &body).await.1["resource_version"].clone()
    };
    let track = |table: &str| json!({"type": "pg_track_table", "args": {"table": table}, "resource_version": version});
    assert_eq!(project.send(&project.server, "/v1/metadata", &track("author")).await.0, 200);
    let (status, stale) = project.send(&project.server, "/v1/metadata", &track("article")).await;
    assert_eq!((status, &stale["code"]), (StatusCode::CONFLICT, &json!("conflict")));
}

#[tokio::test]
async fn another_server_follows_and_a_restart_keeps() {
    let project = Project::new().await;
    let other = start(&project.db);
    project.set_up().await;
    let query = json!({"query": "{ author(order_by: {id: asc}) { name } }"});
    wait_for(|| {
        let (status, answer) = std::thread::scope(|scope| {
            let ask = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(project.send(&other, "/v1/graphql", &query))
            };
            scope.spawn(ask).join().unwrap()
        });
        (status == 200 && answer["data"]["author"][0]["name"] == "Ada").then_some(())
    });
    drop(other);
    let again = start(&project.db);
    let (_, answer) = project.send(&again, "/v1/graphql", &query).await;
    assert_eq!(answer["data"]["author"][1]["name"], "Ben");
}

#[tokio::test]
async fn only_the_administrator_is_heard() {
    let project = Project::new().await;
    let url = format!("http://{}/v1/metadata", project.server.address);
    let body = json!({"type": "clear_metadata", "args": {}}).to_string();
    let send = |headers: &[(&str, &str)]| {
        let mut request =
            project.client.post(&url).header("content-type", "application/json").body(body.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send()
    };
    let bearer = harness::Token::new("admin").tenant("a").user("1").bearer();
    for (headers, status, code) in [
        (&[][..], 401, "invalid-headers"),
        (&[("x-hasura-admin-secret", "wrong")][..], 401, "access-denied"),
        (&[("authorization", bearer.as_str())][..], 400, "access-denied"),
        (&[("x-hasura-admin-secret", SECRET), ("x-hasura-role", "user")][..], 400, "access-denied"),
    ] {
        let response = send(headers).await.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(answer["code"], code, "{headers:?}: {answer}");
    }
}

#[tokio::test]
async fn malformed_commands_are_told() {
    let project = Project::new().await;
    for (body, status, code, path) in [
        (json!([]), 400, "parse-failed", "$"),
        (json!({"args": {}}), 400, "parse-failed", "$"),
        (json!({"type": "no_such_thing", "args": {}}), 400, "parse-failed", "$.type"),
        (json!({"type": "pg_track_table", "args": {"table": 7}}), 400, "parse-failed", "$.table"),
        (
            json!({"type": "pg_create_select_permission", "args": {"table": "author", "role": "",
                "permission": {"columns": "*", "filter": {}}}}),
            400,
            "parse-failed",
            "$.role",
        ),
        (
            json!({"type": "pg_track_table", "args": {"table": "author", "source": "nowhere"}}),
            400,
            "not-exists",
            "$.args",
        ),
        (json!({"type": "run_sql", "args": {"sql": "selekt"}}), 400, "postgres-error", "$.args"),
        (
            json!({"type": "run_sql", "args": {"sql": "select 1; copy author to stdout"}}),
            400,
            "not-supported",
            "$.args.sql",
        ),
        (
            json!({"type": "run_sql", "args": {"sql": "copy author from stdin"}}),
            400,
            "not-supported",
            "$.args.sql",
        ),
        (
            json!({"type": "get_source_kind_capabilities", "args": {"name": "postgres"}}),
            400,
            "data-connector-error",
            "$.args",
        ),
        (
            json!({"type": "get_table_info", "args": {"source": "none", "table": "author"}}),
            400,
            "data-connector-error",
            "$.args",
        ),
        (
            json!({"type": "get_table_info", "args": {"source": "default", "table": "author"}}),
            500,
            "unexpected",
            "$.args",
        ),
    ] {
        let (got, answer) = project.send(&project.server, "/v1/metadata", &body).await;
        assert_eq!(
            (got.as_u16(), answer["code"].as_str()),
            (status, Some(code)),
            "{body}: {answer}"
        );
        assert_eq!(answer["path"], path, "{body}: {answer}");
    }
    let (_, answer) = project.send(&project.server, "/v1/metadata", &json!([])).await;
    assert_eq!(
        answer["error"],
        "parsing RQLMetadata failed, expected Object, but encountered Array"
    );
    // SQL of the administrator leaves nothing on the connection.
    let (status, _) = project.sql("set search_path = nowhere; set application_name = 'mine'").await;
    assert_eq!(status, 200);
    let (_, answer) = project
        .sql("select current_setting('application_name') <> 'mine', 'author'::regclass")
        .await;
    assert_eq!(answer["result"][1], json!(["t", "author"]));
}

#[tokio::test]
async fn tracked_tables_are_examined_whatever_schema_they_are_in() {
    let project = Project::new().await;
    let create =
        "create schema elsewhere; create table elsewhere.open (id int primary key, tenant_id int)";
    project.sql(create).await;
    let run = |command: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .arg(command)
            .env("DATABASE_URL", project.db.authenticator_url())
            .env("RINGFENCE_DATABASE_OWNER_URL", project.db.owner_url())
            .env("RINGFENCE_AUTH_ADMIN_SECRET", super::SECRET)
            .env("RINGFENCE_MODE", "production")
            .output()
            .expect("it runs")
    };
    let told = |output: &std::process::Output| {
        let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        String::from_utf8_lossy(&all).contains("elsewhere.open")
    };
    assert!(!told(&run("doctor")), "nobody shows it");
    let table = json!({"schema": "elsewhere", "name": "open"});
    project.done("pg_track_table", json!({"table": table})).await;
    assert!(told(&run("doctor")));
    let refused = run("serve");
    assert!(!refused.status.success() && told(&refused), "{refused:?}");
}

/// A role keeps to the metadata that names it, also when nothing of it can be
/// used: what its database role may do is no substitute.
#[tokio::test]
async fn a_broken_permission_opens_nothing() {
    let project = Project::with(&[("RINGFENCE_ROLES_MAP", "clerk=app_user")]).await;
    project.set_up().await;
    let (status, answer) = project.sql("grant select on author, article to app_user").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    project
        .done(
            "pg_create_select_permission",
            json!({"table": "author", "role": "clerk", "permission": {"columns": ["name"], "filter": {}}}),
        )
        .await;
    let names = project.ask("clerk", &[], "{ author(order_by: {name: asc}) { name } }").await;
    assert_eq!(names["data"]["author"][0]["name"], "Ada", "{names}");
    let body = json!({"type": "run_sql", "args": {
        "sql": "alter table author rename name to called; alter table author drop called",
        "check_metadata_consistency": false}});
    let (status, answer) = project.send(&project.server, "/v2/query", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let broken = project.done("get_inconsistent_metadata", json!({})).await;
    assert_eq!(broken["is_consistent"], false, "{broken}");
    for query in ["{ author { secret } }", "{ article { title } }"] {
        let answer = project.ask("clerk", &[], query).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "validation-failed", "{answer}");
    }
}

/// A command that fails leaves a server ready for what another server changed
/// a moment before.
#[tokio::test]
async fn a_command_that_fails_hides_no_change_of_another_server() {
    let project = Project::new().await;
    project.set_up().await;
    let query = "{ article { title } }";
    assert!(project.ask("writer", &[("x-hasura-user-id", "1")], query).await["data"].is_object());
    // As another server writes it, its notification on the way.
    let changed = project
        .db
        .psql(
            r#"update hdb_catalog.hdb_metadata set resource_version = resource_version + 1,
                 metadata = replace(metadata::text, '"id","title"', '"id"')::json
               where metadata::text like '%"id","title"%' returning resource_version"#,
        )
        .unwrap();
    assert!(changed.trim().parse::<i64>().is_ok(), "{changed}");
    let (status, _) = project.command("pg_track_table", json!({"table": "nowhere"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    project
        .db
        .psql(&format!("select pg_notify('ringfence_metadata', '{}')", changed.trim()))
        .unwrap();
    for _ in 0..200 {
        let answer = project.ask("writer", &[("x-hasura-user-id", "1")], query).await;
        if answer["errors"][0]["extensions"]["code"] == "validation-failed" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the server never followed");
}

/// Migrations may come with a BEGIN and a COMMIT of their own.
#[tokio::test]
async fn sql_that_ends_its_transaction_is_followed() {
    let project = Project::new().await;
    project.set_up().await;
    let (status, answer) =
        project.sql("begin; alter table article rename title to headline; commit;").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let answer =
        project.ask("writer", &[("x-hasura-user-id", "1")], "{ article { headline } }").await;
    assert!(answer["data"]["article"].is_array(), "{answer}");
    let (status, answer) = project
        .sql("create table kept (id int); commit; select 1 / 0; create table lost (id int)")
        .await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("postgres-error")));
    let (status, answer) = project.sql("rollback").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    for (sql, code) in [("commit", "not-supported"), ("select '\0'", "parse-failed")] {
        let body = json!({"type": "run_sql", "args": {"sql": sql, "read_only": true}});
        let (status, answer) = project.send(&project.server, "/v2/query", &body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{answer}");
    }
}
