//! What Hasura's command line and console send, in their order.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Project, SECRET};

impl Project {
    async fn get(&self, path: &str, secret: bool) -> (StatusCode, Value) {
        let mut request = self.client.get(format!("http://{}{path}", self.server.address));
        if secret {
            request = request.header("x-hasura-admin-secret", SECRET);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn answered(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(&self.server, path, &body).await;
        assert_eq!(status, StatusCode::OK, "{body}: {answer}");
        answer
    }

    /// What every command begins with.
    async fn begins(&self) {
        let (_, version) = self.get("/v1/version", false).await;
        // It takes a server of its own major version only.
        assert!(version["version"].as_str().unwrap().starts_with("v2."), "{version}");
        let state = json!({"type": "get_catalog_state", "args": {}});
        let state = self.answered("/v1/metadata", state).await;
        assert_eq!(state["id"].as_str().map(str::len), Some(36), "{state}");
    }
}

#[tokio::test]
async fn metadata_apply() {
    let project = Project::new().await;
    project.begins().await;
    let metadata = json!({"version": 3, "sources": [{"name": "default", "kind": "postgres",
        "configuration": {"connection_info": {"database_url": {"from_env": "PG_DATABASE_URL"},
            "isolation_level": "read-committed", "use_prepared_statements": false}},
        "tables": [{"table": {"name": "author", "schema": "public"}}, {"table": {"name": "none", "schema": "public"}}]}]});
    let replace = json!({"type": "replace_metadata", "version": 2,
        "args": {"allow_inconsistent_metadata": true, "metadata": metadata}});
    let state = project.answered("/v1/metadata", replace).await;
    assert_eq!(state["is_consistent"], false);
    let inconsistent = json!({"type": "get_inconsistent_metadata", "args": {}});
    let state = project.answered("/v1/metadata", inconsistent.clone()).await;
    assert_eq!(state["inconsistent_objects"][0]["name"], "table none in source default");
    project
        .answered("/v1/metadata", json!({"type": "drop_inconsistent_metadata", "args": {}}))
        .await;
    project.answered("/v1/metadata", json!({"type": "reload_metadata", "args": {}})).await;
    let state = project.answered("/v1/metadata", inconsistent).await;
    assert_eq!(state, json!({"is_consistent": true, "inconsistent_objects": []}));
    let exported =
        project.answered("/v1/metadata", json!({"type": "export_metadata", "args": {}})).await;
    assert_eq!(
        exported["sources"][0]["tables"],
        json!([{"table": {"schema": "public", "name": "author"}}])
    );
}

#[tokio::test]
async fn migrate_apply_and_status() {
    let project = Project::new().await;
    project.begins().await;
    // The databases are those of the metadata.
    let exported =
        project.answered("/v1/metadata", json!({"type": "export_metadata", "args": {}})).await;
    assert_eq!(exported["sources"][0]["name"], "default");
    let set = async |state: &Value| {
        let set = json!({"type": "set_catalog_state", "args": {"type": "cli", "state": state}});
        assert_eq!(project.answered("/v1/metadata", set).await, json!({"message": "success"}));
    };
    let dirty = json!({"settings": {"migration_mode": "true"}, "isStateCopyCompleted": true,
        "migrations": {"default": {"1622000000001": true}}});
    set(&dirty).await;
    let run = |sql: &str| json!({"type": "pg_run_sql", "args": {"source": "default", "sql": sql, "cascade": false, "read_only": false}});
    let up = json!({"type": "bulk", "args": [
        run("create table city (id serial primary key, name text not null, author_id int references author);"),
        run("create index on city (name);")]});
    let answers = project.answered("/v2/query", up).await;
    assert_eq!(answers[1], json!({"result_type": "CommandOk", "result": null}));
    let mut clean = dirty;
    clean["migrations"]["default"]["1622000000001"] = json!(false);
    set(&clean).await;
    let state =
        project.answered("/v1/metadata", json!({"type": "get_catalog_state", "args": {}})).await;
    assert_eq!(state["cli_state"], clean);

    // A file that fails leaves nothing behind.
    let bad =
        json!({"type": "bulk", "args": [run("create table town (id int);"), run("selekt 1;")]});
    let (status, refused) = project.send(&project.server, "/v2/query", &bad).await;
    assert_eq!((status, &refused["path"]), (StatusCode::BAD_REQUEST, &json!("$.args[1].args")));
    assert_eq!(project.db.psql("select to_regclass('town') is null").unwrap().trim(), "t");

    // `migrate create --from-server`
    let url = format!("http://{}/v1alpha1/pg_dump", project.server.address);
    let dump = async |body: Value, secret: &str| {
        let request = project.client.post(&url).header("x-hasura-admin-secret", secret);
        let response = request.body(body.to_string()).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let opts = json!({"opts": ["-O", "-x", "--schema-only", "--schema", "public"], "clean_output": true,
        "source": "default"});
    let (status, sql) = dump(opts.clone(), SECRET).await;
    assert_eq!(status, StatusCode::OK, "{sql}");
    assert!(
        sql.contains("CREATE TABLE public.city (") && !sql.contains("SET lock_timeout"),
        "{sql}"
    );
    let (status, _) = dump(opts, "wrong").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, refused) = dump(json!({"opts": ["--file=/tmp/x"]}), SECRET).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
}

#[tokio::test]
async fn the_console_looks_around() {
    let project = Project::new().await;
    project.set_up().await;
    project.begins().await;
    let (status, config) = project.get("/v1alpha1/config", true).await;
    assert_eq!((status, &config["is_admin_secret_set"]), (StatusCode::OK, &json!(true)));
    let (status, _) = project.get("/v1alpha1/config", false).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let versioned = json!({"type": "export_metadata", "version": 2, "args": {}});
    let exported = project.answered("/v1/metadata", versioned).await;
    assert!(exported["resource_version"].is_number(), "{exported}");
    let read = json!({"type": "bulk", "source": "default", "args": [
        {"type": "run_sql", "args": {"source": "default", "cascade": false, "read_only": true,
            "sql": "select schema_name from information_schema.schemata where schema_name not like 'pg_%'"}},
        {"type": "run_sql", "args": {"source": "default", "cascade": false, "read_only": true,
            "sql": "select coalesce(json_agg(c.relname), '[]') from pg_class c where c.relname = 'author'"}}]});
    let answers = project.answered("/v2/query", read).await;
    assert_eq!(answers[1]["result"][1], json!(["[\"author\"]"]));
    let tables = project
        .answered(
            "/v1/metadata",
            json!({"type": "pg_get_source_tables", "args": {"source": "default"}}),
        )
        .await;
    assert!(
        tables.as_array().unwrap().contains(&json!({"schema": "public", "name": "author"})),
        "{tables}"
    );
    let suggest = |omit: bool| json!({"type": "pg_suggest_relationships", "args": {"source": "default", "omit_tracked": omit}});
    let found = project.answered("/v1/metadata", suggest(false)).await;
    let key = json!({"table": {"schema": "public", "name": "article"}, "columns": ["author_id"],
        "constraint_name": {"name": "article_author_id_fkey"}});
    let target = json!({"table": {"schema": "public", "name": "author"}, "columns": ["id"]});
    assert_eq!(
        found["relationships"],
        json!([{"type": "object", "from": key, "to": target}, {"type": "array", "from": target, "to": key}])
    );
    let rest = project.answered("/v1/metadata", suggest(true)).await;
    assert_eq!(rest, json!({"relationships": []}));
    let state = json!({"type": "set_catalog_state", "args": {"type": "console",
        "state": {"onboardingShown": true}}});
    project.answered("/v1/metadata", state).await;
}
