//! Several databases behind one API.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::harness::TestDb;
use super::served::{PATIENCE, wait_for};
use super::{Project, SECRET, start_with};

const OTHER: &str = "create table city (id serial primary key, name text not null, tenant text not null);
     insert into city (name, tenant) values ('Oslo', 'a'), ('Rome', 'b');
     alter table city enable row level security;
     create policy own on city using (tenant = (select current_setting('hasura.x_hasura_org', true)));
     create table author (id serial primary key, pen_name text);";

pub(super) fn configuration() -> Value {
    json!({"connection_info": {"database_url": {"from_env": "OTHER_URL"},
        "pool_settings": {"max_connections": 2}}})
}

/// A server with a second database at hand.
pub(super) async fn two() -> (Project, TestDb) {
    let other = TestDb::new(OTHER).await;
    let project = Project::with(&[("OTHER_URL", &other.owner_url())]).await;
    project.set_up().await;
    project.done("pg_add_source", json!({"name": "other", "configuration": configuration()})).await;
    project.done("pg_track_table", json!({"source": "other", "table": "city"})).await;
    (project, other)
}

#[tokio::test]
async fn one_document_reads_two_databases_each_under_its_own_fence() {
    let (project, other) = two().await;
    let permission = json!({"source": "other", "table": "city", "role": "writer",
        "permission": {"columns": ["id", "name"], "filter": {"id": {"_gt": "X-Hasura-Least"}}}});
    project.done("pg_create_select_permission", permission).await;
    let query = "query ($least: Int!) { here: article(where: {id: {_gt: $least}}, order_by: {id: asc}) { title }
        __typename city { name } __type(name: \"city\") { kind } author(limit: 1) { name } }";
    let ask = async |org: &str| {
        let url = format!("http://{}/v1/graphql", project.server.address);
        let request = project.client.post(url).header("x-hasura-admin-secret", SECRET);
        let request = request.header("content-type", "application/json");
        let request = request.header("x-hasura-role", "writer").header("x-hasura-user-id", "1");
        let request = request.header("x-hasura-org", org).header("x-hasura-least", "0");
        let body = json!({"query": query, "variables": {"least": 1}}).to_string();
        request.body(body).send().await.unwrap().text().await.unwrap()
    };
    // In the order of the document, and each row by the policies of its database.
    for _ in 0..3 {
        assert_eq!(
            ask("b").await,
            "{\"data\":{\"here\":[{\"title\":\"Two\"}, {\"title\":\"Three\"}],\"__typename\":\"query_root\",\
             \"city\":[{\"name\":\"Rome\"}],\"__type\":{\"kind\":\"OBJECT\"},\"author\":[{\"name\":\"Ada\"}]}}"
        );
    }
    assert!(ask("none").await.contains("\"city\":[]"));

    // The login of requests there is no privileged one.
    let logins = other.psql(
        "select string_agg(distinct r.rolname, ',') from pg_stat_activity a join pg_roles r on r.rolname = a.usename
         where a.datname = current_database() and (r.rolsuper or r.rolbypassrls) and a.pid <> pg_backend_pid()",
    );
    assert_eq!(logins.unwrap().trim(), "");

    // Its pools are counted beside those of the first one.
    let page = project.client.get(format!("http://{}/metrics", project.server.address));
    let page = page.send().await.unwrap().text().await.unwrap();
    for source in ["default", "other"] {
        let line =
            format!("ringfence_pool_connections_max{{pool=\"request\",source=\"{source}\"}}");
        assert!(page.contains(&line), "{page}");
    }

    // Writes go where their table is, and never to two places.
    let write = "mutation { insert_city_one(object: {name: \"Bonn\", tenant: \"a\"}) { id name } }";
    let answer = project.ask("admin", &[], write).await;
    assert_eq!(answer["data"]["insert_city_one"]["name"], "Bonn");
    assert_eq!(other.psql("select count(*) from city").unwrap().trim(), "3");
    let both = "mutation { delete_city(where: {}) { affected_rows } delete_article(where: {}) { affected_rows } }";
    let refused = project.ask("admin", &[], both).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "not-supported", "{refused}");
    assert_eq!(other.psql("select count(*) from city").unwrap().trim(), "3");
}

#[tokio::test]
async fn a_source_is_changed_like_the_first_one() {
    let (project, other) = two().await;
    let sql = async |sql: &str| {
        let body = json!({"type": "run_sql", "args": {"source": "other", "sql": sql}});
        project.send(&project.server, "/v2/query", &body).await
    };
    let (status, answer) =
        sql("alter table city rename to town; create table extra (id int)").await;
    assert_eq!((status, &answer["result_type"]), (StatusCode::OK, &json!("CommandOk")), "{answer}");
    let seen =
        project.ask("admin", &[], "{ town(order_by: {id: asc}) { name } article { id } }").await;
    assert_eq!(seen["data"]["town"][1]["name"], "Rome", "{seen}");
    let (status, refused) = sql("drop table town").await;
    assert_eq!(status, StatusCode::OK, "nothing depends on it: {refused}");
    assert_eq!(other.psql("select to_regclass('town') is null").unwrap().trim(), "t");

    // A change by psql is followed.
    project.done("pg_track_table", json!({"source": "other", "table": "extra"})).await;
    other.psql("alter table extra add column note text").unwrap();
    let start = std::time::Instant::now();
    loop {
        let seen = project.ask("admin", &[], "{ extra { note } }").await;
        if seen["data"]["extra"] == json!([]) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{seen}");
    }

    // Events are captured in the database of their table.
    let trigger = json!({"name": "told", "source": "other", "table": "extra",
        "webhook": "http://127.0.0.1:9/", "insert": {"columns": "*"}});
    project.done("pg_create_event_trigger", trigger).await;
    other.psql("insert into extra values (1)").unwrap();
    let logs = project.done("pg_get_event_logs", json!({"source": "other", "name": "told"})).await;
    assert_eq!(logs[0]["payload"]["data"]["new"], json!({"id": 1, "note": null}));

    // Two sources cannot show the same name.
    let (status, clash) =
        project.command("pg_track_table", json!({"source": "other", "table": "author"})).await;
    assert_eq!(status, 500, "{clash}");
    let told = clash["error"].as_str().unwrap();
    assert!(told.starts_with("found duplicate fields in selection set"), "{told}");
    let named =
        json!({"source": "other", "table": "author", "configuration": {"custom_name": "pen"}});
    let body = json!({"type": "pg_track_table", "version": 2, "args": named});
    let (status, answer) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(status, 200, "{answer}");

    let rename = json!({"name": "other", "new_name": "second"});
    project.done("rename_source", rename).await;
    let seen = project.ask("admin", &[], "{ pen { pen_name } }").await;
    assert_eq!(seen, json!({"data": {"pen": []}}));
    other.psql("insert into extra values (2)").unwrap();
    let logs = project.done("pg_get_event_logs", json!({"source": "second", "name": "told"})).await;
    assert_eq!(logs.as_array().map(Vec::len), Some(2), "{logs}");
    project.done("pg_drop_source", json!({"name": "second"})).await;
    let gone = project.ask("admin", &[], "{ pen { pen_name } }").await;
    assert_eq!(gone["errors"][0]["extensions"]["code"], "validation-failed");
    let left = other.psql("select count(*) from pg_trigger where not tgisinternal").unwrap();
    assert_eq!(left.trim(), "0", "its triggers are taken away");
}

#[tokio::test]
async fn what_cannot_be_served_is_told_and_hurts_nobody() {
    let (mut project, other) = two().await;
    for (name, args, code, text) in [
        (
            "pg_add_source",
            json!({"name": "other", "configuration": configuration()}),
            "already-exists",
            "source with name \"other\" already exists",
        ),
        (
            "pg_drop_source",
            json!({"name": "none"}),
            "not-exists",
            "source with name \"none\" does not exist",
        ),
        (
            "rename_source",
            json!({"name": "other", "new_name": "default"}),
            "already-exists",
            "source with name \"default\" already exists",
        ),
        (
            "pg_add_source",
            json!({"name": "x", "configuration": {"connection_info": {"database_url": {"from_env": "NONE"}}}}),
            "invalid-configuration",
            "Inconsistent object: environment variable 'NONE' not set",
        ),
    ] {
        let (status, answer) = project.command(name, args).await;
        assert_eq!(
            (status, &answer["code"], &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!(code), &json!(text))
        );
    }
    let (status, answer) = project.command("pg_drop_source", json!({"name": "default"})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("not-supported")));

    // A restart keeps it; without its database the rest is served.
    let url = other.owner_url();
    project.server = start_with(&project.db, &[("OTHER_URL", &url)]);
    let both = "{ city { id } article { id } }";
    let seen = project.ask("admin", &[], both).await;
    assert_eq!(seen["data"]["city"].as_array().map(Vec::len), Some(2), "{seen}");
    project.server =
        start_with(&project.db, &[("OTHER_URL", "postgres://nobody@127.0.0.1:9/none")]);
    let state = project.done("get_inconsistent_metadata", json!({})).await;
    assert_eq!(state["inconsistent_objects"][0]["name"], "source other", "{state}");
    assert_eq!(state["inconsistent_objects"][0]["type"], "source");
    let seen = project.ask("admin", &[], "{ article(limit: 1) { id } }").await;
    assert_eq!(seen, json!({"data": {"article": [{"id": 1}]}}));

    // A database in which a policy can be by-passed is not served.
    let unsafe_sql = "create function who() returns text language sql immutable
          as $$ select current_setting('hasura.x_hasura_org', true) $$;
        create policy cached on city using (tenant = who());";
    other.psql(unsafe_sql).unwrap();
    project.server = start_with(&project.db, &[("OTHER_URL", &url)]);
    let told = wait_for(|| project.server.logged("row-level security has gaps"));
    assert!(told.contains("other"), "{told}");
    let hidden = project.ask("admin", &[], "{ city { id } }").await;
    assert_eq!(hidden["errors"][0]["extensions"]["code"], "validation-failed");
}

#[tokio::test]
async fn names_of_a_source_have_what_stands_around_them() {
    let (project, _other) = two().await;
    let names = json!({"root_fields": {"prefix": "o_", "suffix": "_x"},
        "type_names": {"prefix": "O", "suffix": "T"}, "naming_convention": "hasura-default"});
    project.done("pg_update_source", json!({"name": "other", "customization": names})).await;
    let ask = async |query: &str| project.ask("admin", &[], query).await;
    let seen = ask("query ($where: Ocity_bool_expT = {name: {_eq: \"Rome\"}}) {
          o_city_x(where: $where) { __typename ...name }
          o_city_aggregate_x { __typename aggregate { count } }
          article(limit: 1) { __typename }
          filter: __type(name: \"Ocity_bool_expT\") { name }
          gone: __type(name: \"city\") { name }
        }
        fragment name on OcityT { name }")
    .await;
    let expected = json!({"data": {
        "o_city_x": [{"__typename": "OcityT", "name": "Rome"}],
        "o_city_aggregate_x": {"__typename": "Ocity_aggregateT", "aggregate": {"count": 2}},
        "article": [{"__typename": "article"}],
        "filter": {"name": "Ocity_bool_expT"},
        "gone": null,
    }});
    assert_eq!(seen, expected);
    let write = "mutation { o_insert_city_one_x(object: {name: \"Bonn\", tenant: \"a\"}) { __typename name } }";
    let written = ask(write).await;
    assert_eq!(written["data"]["o_insert_city_one_x"]["__typename"], "OcityT", "{written}");
    let plain = ask("{ city { id } }").await;
    assert_eq!(plain["errors"][0]["extensions"]["code"], "validation-failed");

    // The first source too, and a name that is none is refused.
    let names = json!({"root_fields": {"prefix": "my_"}});
    project.done("pg_update_source", json!({"name": "default", "customization": names})).await;
    let seen = ask("{ my_article(limit: 1) { __typename } }").await;
    assert_eq!(seen, json!({"data": {"my_article": [{"__typename": "article"}]}}));
    let names = json!({"type_names": {"prefix": "no-name"}});
    let refused = project
        .command("pg_update_source", json!({"name": "default", "customization": names}))
        .await;
    assert_eq!(
        refused.1["error"],
        "Inconsistent object: customization: \"no-name\" is not a valid GraphQL name"
    );
}
