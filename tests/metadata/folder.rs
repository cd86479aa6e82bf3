//! `ringfence metadata`, a metadata folder at start, and an installation of
//! Hasura v2 that is taken over.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::harness::{self, TestDb};
use super::{Project, SCHEMA, start, start_with};

/// What Hasura v2.0 to v2.48 has in its catalogue, as far as it is of interest.
const HASURA: &str = "create schema hdb_catalog;
     create table hdb_catalog.hdb_metadata (
       id integer primary key, metadata json not null, resource_version integer not null default 1 unique);
     create table hdb_catalog.hdb_version (
       hasura_uuid uuid primary key default gen_random_uuid(), version text not null,
       upgraded_on timestamptz not null, cli_state jsonb not null default '{}', console_state jsonb not null default '{}',
       ee_client_id text, ee_client_secret text);
     insert into hdb_catalog.hdb_version (version, upgraded_on, cli_state)
       values ('48', now(), '{\"settings\": {\"migration_mode\": \"true\"}}');
     create table hdb_catalog.event_log (id text primary key default gen_random_uuid()::text, trigger_name text, payload jsonb);
     create function hdb_catalog.\"notify_hasura_told_INSERT\"() returns trigger language plpgsql as $$
       begin insert into hdb_catalog.event_log (trigger_name, payload) values ('told', to_jsonb(new)); return null; end $$;
     create trigger \"notify_hasura_told_INSERT\" after insert on author
       for each row execute function hdb_catalog.\"notify_hasura_told_INSERT\"();";

fn document() -> Value {
    json!({"version": 3, "sources": [{
        "name": "default", "kind": "postgres",
        "tables": [
            {"table": {"schema": "public", "name": "article"},
             "object_relationships": [{"name": "author", "using": {"foreign_key_constraint_on": "author_id"}}],
             "select_permissions": [{"role": "writer", "permission": {"columns": ["id", "title"],
                "filter": {"author_id": {"_eq": "X-Hasura-User-Id"}}, "allow_aggregations": false}}]},
            {"table": {"schema": "public", "name": "author"},
             "event_triggers": [{"name": "told", "definition": {"enable_manual": false, "insert": {"columns": "*"}},
                "retry_conf": {"interval_sec": 10, "num_retries": 0, "timeout_sec": 60}, "webhook": "http://127.0.0.1:9/"}]}],
        "configuration": {"connection_info": {"database_url": {"from_env": "PG_DATABASE_URL"},
            "isolation_level": "read-committed", "use_prepared_statements": false}}}],
      "query_collections": [{"name": "allowed", "definition": {"queries": [{"name": "q", "query": "query q { article { id } }"}]}}],
      "rest_endpoints": [{"name": "articles", "url": "articles", "methods": ["GET"], "comment": "",
        "definition": {"query": {"collection_name": "allowed", "query_name": "q"}}}]})
}

fn run(db: &TestDb, folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(args)
        .env_clear()
        .envs(["PATH", "HOME", "TMPDIR"].iter().filter_map(|k| Some((k, std::env::var_os(k)?))))
        .env("DATABASE_URL", db.authenticator_url())
        .env("RINGFENCE_DATABASE_OWNER_URL", db.owner_url())
        .current_dir(folder)
        .output()
        .expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{} {}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn scratch(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("metadata-{name}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn an_installation_of_hasura_is_taken_over_in_place() {
    let db = TestDb::new(&format!("{SCHEMA} {HASURA}")).await;
    let insert = format!(
        "insert into hdb_catalog.hdb_metadata values (1, '{}', 7)",
        document().to_string().replace('\'', "''")
    );
    db.psql(&insert).unwrap();
    // As Hasura's login made it.
    for object in
        ["table hdb_catalog.hdb_metadata", "table hdb_catalog.hdb_version", "schema hdb_catalog"]
    {
        db.psql(&format!("alter {object} owner to {}", harness::OWNER)).unwrap();
    }
    let project = Project { server: start(&db), db, client: harness::http() };
    let seen = project.ask("writer", &[("x-hasura-user-id", "2")], "{ article { title } }").await;
    assert_eq!(seen, json!({"data": {"article": [{"title": "Three"}]}}));
    let body = json!({"type": "export_metadata", "version": 2, "args": {}});
    let (_, exported) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(exported["resource_version"], 7);
    assert_eq!(exported["metadata"], document());
    let state = project.done("get_catalog_state", json!({})).await;
    assert_eq!(state["cli_state"]["settings"]["migration_mode"], "true");

    // The triggers are ours beside those of Hasura, which stay.
    project.db.psql("insert into author (name) values ('Cy')").unwrap();
    let counts = "select (select count(*) from ringfence.events) || ' ' || (select count(*) from hdb_catalog.event_log)";
    assert_eq!(project.db.psql(counts).unwrap().trim(), "1 1");

    // It can be changed, and what was found is kept.
    project.done("pg_untrack_table", json!({"table": "author", "cascade": true})).await;
    let found = project
        .db
        .psql("select resource_version || ' ' || metadata from ringfence.metadata_found")
        .unwrap();
    let found = found.trim().strip_prefix("7 ").expect("the version");
    assert_eq!(serde_json::from_str::<Value>(found).unwrap(), document());
}

#[tokio::test]
async fn a_folder_goes_in_and_comes_out() {
    let project = Project::new().await;
    let folder = scratch("in-out");
    let files = [
        ("version.yaml", "version: 3\n"),
        (
            "databases/databases.yaml",
            "- name: default\n  kind: postgres\n  configuration:\n    connection_info:\n      database_url:\n        from_env: PG_DATABASE_URL\n  tables: \"!include default/tables/tables.yaml\"\n",
        ),
        (
            "databases/default/tables/tables.yaml",
            "- \"!include public_article.yaml\"\n- !include public_author.yaml\n",
        ),
        (
            "databases/default/tables/public_article.yaml",
            "table:\n  name: article\n  schema: public\nselect_permissions:\n  - role: writer\n    permission:\n      columns: [id, title]\n      filter:\n        author_id:\n          _eq: X-Hasura-User-Id\n",
        ),
        ("databases/default/tables/public_author.yaml", "table: {name: author, schema: public}\n"),
        (
            "query_collections.yaml",
            "- name: allowed\n  definition:\n    queries:\n      - name: q\n        query: |\n          query q { article { id } }\n",
        ),
        ("allow_list.yaml", "- collection: allowed\n  scope:\n    global: true\n"),
        ("network.yaml", "{}\n"),
        (
            "actions.graphql",
            "# As Hasura's CLI writes it.\ntype Mutation {\n  greet(\n    \"\"\" Of whom \"\"\" name: String!\n    tone: Tone\n  ): Greeting\n}\n\nextend type Query {\n  hello(input: Words!): [Greeting!]!\n}\n\nenum Tone {\n  LOUD\n  SOFT\n}\n\ninput Words {\n  first: String!\n}\n\n\"\"\" What is said \"\"\" type Greeting {\n  text: String!\n  author_id: Int\n}\n",
        ),
        (
            "actions.yaml",
            "actions:\n- name: greet\n  definition: {kind: synchronous, handler: 'http://127.0.0.1:9/greet'}\n  permissions: [{role: writer}]\n- name: hello\n  definition: {handler: 'http://127.0.0.1:9/hello'}\ncustom_types:\n  enums: [{name: Tone, values: [{value: SOFT, is_deprecated: true}, {value: LOUD}]}]\n  input_objects: [{name: Words}]\n  objects:\n  - name: Greeting\n    relationships:\n    - {name: author, type: object, remote_table: {schema: public, name: author}, field_mapping: {author_id: id}}\n  scalars: []\n",
        ),
    ];
    for (name, text) in files {
        let path = folder.join("metadata").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let differs = run(&project.db, &folder, &["metadata", "diff"]);
    assert_eq!(differs.status.code(), Some(1), "{}", text(&differs.stderr));
    let line = "+ sources.default.tables.public.article.select_permissions.writer.permission.filter.author_id._eq: \"X-Hasura-User-Id\"";
    assert!(text(&differs.stdout).contains(line), "{}", text(&differs.stdout));
    done(&run(&project.db, &folder, &["metadata", "apply"]));
    assert_eq!(done(&run(&project.db, &folder, &["metadata", "diff"])), "");
    // A server that runs follows.
    let start = std::time::Instant::now();
    loop {
        let seen =
            project.ask("writer", &[("x-hasura-user-id", "2")], "{ article { title } }").await;
        if seen == json!({"data": {"article": [{"title": "Three"}]}}) {
            break;
        }
        assert!(start.elapsed() < super::served::PATIENCE, "{seen}");
    }
    let stored = project.done("export_metadata", json!({})).await;
    assert_eq!(
        stored["actions"][0]["definition"]["arguments"][0],
        json!(
        {"name": "name", "type": "String!", "description": "Of whom"})
    );
    assert_eq!(stored["actions"][1]["definition"]["type"], "query");
    assert_eq!(stored["actions"][1]["definition"]["output_type"], "[Greeting!]!");
    let greeting = &stored["custom_types"]["objects"][0];
    assert_eq!(
        (&greeting["description"], &greeting["fields"][1]["type"]),
        (&json!("What is said"), &json!("Int"))
    );
    assert_eq!(greeting["relationships"][0]["name"], "author");
    done(&run(&project.db, &folder, &["metadata", "export", "--dir", "out"]));
    let out = folder.join("out");
    let databases = std::fs::read_to_string(out.join("databases/databases.yaml")).unwrap();
    let include = databases.lines().find(|line| line.contains("tables:")).unwrap();
    assert!(include.contains("!include default/tables/tables.yaml"), "{databases}");
    assert!(out.join("databases/default/tables/public_article.yaml").exists());
    assert_eq!(done(&run(&project.db, &folder, &["metadata", "diff", "--dir", "out"])), "");
    assert_eq!(done(&run(&project.db, &folder, &["metadata", "ic", "list"])), "");
    done(&run(&project.db, &folder, &["metadata", "reload"]));

    // Mistakes name their file.
    let bad = folder.join("metadata/databases/default/tables/public_author.yaml");
    for (content, told) in [
        ("table: {name: author\n", "public_author.yaml"),
        ("table: {schema: public}\n", "key \"name\" not found at $.sources[0].tables[1].table"),
        ("table: {schema: public, name: none}\n", "no such table/view exists in source: \"none\""),
        ("!include public_author.yaml\n", "in a circle"),
        ("!include missing.yaml\n", "missing.yaml: No such file"),
    ] {
        std::fs::write(&bad, content).unwrap();
        let refused = run(&project.db, &folder, &["metadata", "apply"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr) + &text(&refused.stdout);
        assert!(said.contains(told), "{told}: {said}");
    }
    std::fs::write(&bad, "table: {name: author, schema: public}\n").unwrap();
    let types = folder.join("metadata/actions.graphql");
    for (content, told) in [
        ("type Mutation {", "actions.graphql: line 1: "),
        (
            "type Query { other: String }",
            "actions.graphql: the action other is not in actions.yaml",
        ),
        (
            "type Query { hello: String }",
            "actions.graphql: the types of the action greet are missing",
        ),
        ("union U = A | B", "cannot be used for actions"),
    ] {
        std::fs::write(&types, content).unwrap();
        let refused = run(&project.db, &folder, &["metadata", "apply"]);
        let said = text(&refused.stderr) + &text(&refused.stdout);
        assert!(said.contains(told), "{told}: {said}");
    }
    let nothing = run(&project.db, &folder, &["metadata", "apply", "--dir", "none"]);
    assert!(text(&nothing.stderr).contains("no metadata folder"), "{}", text(&nothing.stderr));
    assert_eq!(done(&run(&project.db, &folder, &["metadata", "diff", "--dir", "out"])), "");
}

#[tokio::test]
async fn a_folder_is_applied_at_start_and_served_without_an_owner() {
    let mut project = Project::new().await;
    project.set_up().await;
    let folder = scratch("start");
    done(&run(&project.db, &folder, &["metadata", "export"]));
    project.done("clear_metadata", json!({})).await;
    let dir = folder.join("metadata").to_string_lossy().into_owned();
    project.server = start_with(&project.db, &[("RINGFENCE_METADATA_DIR", &dir)]);
    let query = "{ article(where: {id: {_eq: 3}}) { title author { name } } }";
    let seen = project.ask("writer", &[("x-hasura-user-id", "1")], query).await;
    assert_eq!(seen, json!({"data": {"article": [{"title": "Three", "author": {"name": "Ben"}}]}}));
    // Applied again, it is the same version.
    let version = "select resource_version from hdb_catalog.hdb_metadata";
    let before = project.db.psql(version).unwrap();
    project.server = start_with(&project.db, &[("HASURA_GRAPHQL_METADATA_DIR", &dir)]);
    assert_eq!(project.db.psql(version).unwrap(), before);

    // A restricted login alone: the folder is all there is.
    let token = harness::Token::new("writer").user("1").claim("x-hasura-user-id", "1").bearer();
    project.server = start_with(
        &project.db,
        &[("RINGFENCE_METADATA_DIR", &dir), ("RINGFENCE_DATABASE_OWNER_URL", "")],
    );
    let url = format!("http://{}/v1/graphql", project.server.address);
    let request = project.client.post(url).header("authorization", token);
    let request = request.header("content-type", "application/json");
    let answer = request.body(json!({"query": query}).to_string()).send().await.unwrap();
    assert_eq!(
        answer.text().await.unwrap(),
        "{\"data\":{\"article\":[{\"title\":\"Three\",\"author\":{\"name\":\"Ben\"}}]}}"
    );
}
