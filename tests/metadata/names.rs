//! The namespace of a source: one field at each root with all that it has.

use serde_json::{Value, json};

use super::client::Client;
use super::sources::{configuration, two};
use super::{Project, SECRET};

fn in_namespace(name: &str) -> Value {
    json!({"root_fields": {"namespace": name}, "type_names": {"prefix": "O"}})
}

async fn ask(project: &Project, query: &str) -> Value {
    project.ask("admin", &[], query).await
}

#[tokio::test]
async fn a_namespace_holds_the_queries_of_its_source() {
    let (project, _other) = two().await;
    let names = json!({"name": "other", "customization": in_namespace("geo")});
    project.done("pg_update_source", names).await;
    let query = "query ($deep: Boolean = false) {
        article(limit: 1) { id }
        geo { __typename city(order_by: {id: asc}) { name __typename } ...more }
        again: geo { one: city_by_pk(id: 2) { name } city_aggregate { aggregate { count } } }
        geo { last: city_by_pk(id: 9) { name } city(order_by: {id: asc}) { id @include(if: $deep) } }
        none: geo { city @skip(if: true) { id } }
        __type(name: \"Ogeo_query\") { name kind fields { name } }
      }
      fragment more on Ogeo_query { first: city(limit: 1, order_by: {id: asc}) { id } }";
    // The second time from the cache of plans.
    for _ in 0..2 {
        assert_eq!(
            ask(&project, query).await,
            json!({"data": {
                "article": [{"id": 1}],
                "geo": {
                    "__typename": "Ogeo_query",
                    "city": [{"name": "Oslo", "__typename": "Ocity"}, {"name": "Rome", "__typename": "Ocity"}],
                    "first": [{"id": 1}],
                    "last": null,
                },
                "again": {"one": {"name": "Rome"}, "city_aggregate": {"aggregate": {"count": 2}}},
                "none": {},
                "__type": {"name": "Ogeo_query", "kind": "OBJECT", "fields": [
                    {"name": "city"}, {"name": "city_aggregate"}, {"name": "city_by_pk"}]},
            }})
        );
    }
    // A list by itself, and what needs no database.
    let long = "{ a: geo { b: city(order_by: {id: desc}) { id name } } }";
    let rows = json!([{"id": 2, "name": "Rome"}, {"id": 1, "name": "Oslo"}]);
    assert_eq!(ask(&project, long).await, json!({"data": {"a": {"b": rows}}}));
    let plain = "{ geo { __typename } __typename }";
    assert_eq!(
        ask(&project, plain).await,
        json!({"data": {"geo": {"__typename": "Ogeo_query"}, "__typename": "query_root"}})
    );

    for (query, path, message) in [
        (
            "{ city { id } }",
            "$.selectionSet.city",
            "field \"city\" not found in type: 'query_root'",
        ),
        (
            "{ geo { article { id } } }",
            "$.selectionSet.geo.selectionSet.article",
            "field \"article\" not found in type: 'Ogeo_query'",
        ),
        (
            "{ geo { city(limit: -1) { id } } }",
            "$.selectionSet.geo.selectionSet.city.args.limit",
            "expected a non-negative 32-bit integer for type \"Int\", but found an integer",
        ),
        (
            "{ geo { city { nothing } } }",
            "$.selectionSet.geo.selectionSet.city.selectionSet.nothing",
            "field \"nothing\" not found in type: 'Ocity'",
        ),
        ("{ geo }", "$.selectionSet.geo", "missing selection set for \"geo\""),
        (
            "{ geo { ...f } } fragment f on query_root { __typename }",
            "$.selectionSet.geo.selectionSet",
            "",
        ),
        (
            "{ geo { __schema { queryType { name } } } }",
            "$.selectionSet.geo.selectionSet.__schema",
            "",
        ),
        ("{ geo(limit: 1) { __typename } }", "$.selectionSet.geo", ""),
        ("mutation { geo { city { id } } }", "$.selectionSet.geo.selectionSet.city", ""),
    ] {
        let refused = ask(&project, query).await;
        let error = &refused["errors"][0];
        assert_eq!(error["extensions"]["path"], path, "{query}: {refused}");
        assert_eq!(error["extensions"]["code"], "validation-failed", "{query}: {refused}");
        assert!(message.is_empty() || error["message"] == message, "{query}: {refused}");
    }

    // Who has nothing in it does not see it: a writer may read articles only.
    let hidden = project.ask("writer", &[], "{ geo { __typename } }").await;
    assert_eq!(hidden["errors"][0]["extensions"]["code"], "validation-failed", "{hidden}");
    let described = project.ask("writer", &[], "{ __type(name: \"Ogeo_query\") { name } }").await;
    assert_eq!(described, json!({"data": {"__type": null}}));
    let all = project
        .ask("writer", &[], "{ __schema { types { name } queryType { fields { name } } } }")
        .await;
    assert!(!all.to_string().contains("geo"), "{all}");

    // What is explained is each field by itself.
    let body = json!({"query": {"query": "{ geo { a: city { id } b: city { id } } }"}});
    let (_, plan) = project.send(&project.server, "/v1/graphql/explain", &body).await;
    assert_eq!(
        (&plan[0]["field"], &plan[1]["field"]),
        (&json!("geo.a"), &json!("geo.b")),
        "{plan}"
    );
}

#[tokio::test]
async fn mutations_in_a_namespace_are_one_transaction_in_order() {
    let (project, other) = two().await;
    let names = json!({"name": "other", "customization": in_namespace("geo")});
    project.done("pg_update_source", names).await;
    let query = "mutation { __typename
        geo { __typename
          a: insert_city_one(object: {name: \"Bonn\", tenant: \"a\"}) { id name }
          update_city(where: {name: {_eq: \"Bonn\"}}, _set: {name: \"Bern\"}) { affected_rows }
        }
        more: geo { delete_city(where: {name: {_eq: \"Bern\"}}) { affected_rows returning { name } } }
      }";
    assert_eq!(
        ask(&project, query).await,
        json!({"data": {
            "__typename": "mutation_root",
            "geo": {
                "__typename": "Ogeo_mutation_frontend",
                "a": {"id": 3, "name": "Bonn"},
                "update_city": {"affected_rows": 1},
            },
            "more": {"delete_city": {"affected_rows": 1, "returning": [{"name": "Bern"}]}},
        }})
    );
    // All or nothing, and the error says where.
    let wrong = "mutation { geo {
        insert_city_one(object: {name: \"Bonn\", tenant: \"a\"}) { id }
        b: insert_city(objects: [{id: 1, name: \"Oslo\", tenant: \"a\"}]) { affected_rows } } }";
    let refused = ask(&project, wrong).await;
    assert_eq!(
        refused["errors"][0]["extensions"],
        json!({"path": "$.selectionSet.geo.selectionSet.insert_city.args.objects",
            "code": "constraint-violation"}),
        "{refused}"
    );
    assert_eq!(other.psql("select count(*) from city").unwrap().trim(), "2");
    // A transaction is in one database, whatever holds its fields.
    let both = "mutation { geo { delete_city(where: {}) { affected_rows } }
        delete_article(where: {}) { affected_rows } }";
    let refused = ask(&project, both).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "not-supported", "{refused}");
}

#[tokio::test]
async fn namespaces_do_not_take_names_of_others() {
    let (project, _other) = two().await;
    let named = async |source: &str, namespace: &str| {
        let names = json!({"root_fields": {"namespace": namespace}});
        project.command("pg_update_source", json!({"name": source, "customization": names})).await
    };
    assert_eq!(named("other", "geo").await.0, 200);
    let duplicate = |name: &str| {
        let told = format!("found duplicate fields in selection set: {name}");
        (500, json!({"path": "$.args", "error": told, "code": "unexpected"}))
    };
    // Two sources have one namespace each.
    let (status, refused) = named("default", "geo").await;
    assert_eq!((status.as_u16(), refused), duplicate("geo"));
    // A table has the name.
    let (status, refused) = named("other", "article").await;
    assert_eq!((status.as_u16(), refused), duplicate("article"));
    let (status, refused) = named("other", "no-name").await;
    assert_eq!(
        (status.as_u16(), refused["error"].as_str().unwrap()),
        (400, "Inconsistent object: customization: \"no-name\" is not a valid GraphQL name")
    );
    let (status, refused) = named("other", "__geo").await;
    assert_eq!(status, 400, "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("introspection"), "{refused}");
    let seen = ask(&project, "{ geo { city { id } } article(limit: 1) { id } }").await;
    assert_eq!(seen["data"]["article"], json!([{"id": 1}]), "{seen}");

    // In a namespace a table may have the name of a table elsewhere.
    let table = json!({"source": "other", "table": "author",
        "configuration": {"custom_root_fields": {"select": "article"}, "custom_name": "pen"}});
    let body = json!({"type": "pg_track_table", "version": 2, "args": table});
    let (status, answer) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!(status, 200, "{answer}");
    let seen = ask(&project, "{ geo { article { pen_name } } article(limit: 1) { title } }").await;
    assert_eq!(seen, json!({"data": {"geo": {"article": []}, "article": [{"title": "One"}]}}));
    // Both in namespaces, and back.
    assert_eq!(named("default", "main").await.0, 200);
    let seen = ask(&project, "{ geo { city { id } } main { article(limit: 1) { id } } }").await;
    assert_eq!(seen["data"]["main"]["article"], json!([{"id": 1}]), "{seen}");
    let own = json!({"name": "second", "configuration": configuration(),
        "customization": {"root_fields": {"namespace": "geo"}}});
    let (status, refused) = project.command("pg_add_source", own).await;
    // It has no tables, so nothing is in its namespace.
    assert_eq!(status, 200, "{refused}");
    let clash = json!({"source": "second", "table": "city",
        "configuration": {"custom_name": "town"}});
    let body = json!({"type": "pg_track_table", "version": 2, "args": clash});
    let (status, refused) = project.send(&project.server, "/v1/metadata", &body).await;
    assert_eq!((status.as_u16(), refused), duplicate("geo"));
}

#[tokio::test]
async fn subscriptions_under_a_namespace_are_told_of_changes() {
    let (project, _other) = two().await;
    let names = json!({"name": "default", "customization": in_namespace("main")});
    project.done("pg_update_source", names).await;
    let mut client = Client::open(project.server.address, Some("graphql-transport-ws"), &[])
        .await
        .expect("is accepted");
    let init = json!({"type": "connection_init",
        "payload": {"headers": {"x-hasura-admin-secret": SECRET}}});
    client.send(init.to_string()).await;
    assert_eq!(client.json().await["type"], "connection_ack");
    let mut subscribe = async |id: &str, query: &str| {
        let message = json!({"id": id, "type": "subscribe", "payload": {"query": query}});
        client.send(message.to_string()).await;
        client.json().await
    };
    let several = subscribe("x", "subscription { main { article { id } } geo: __typename }").await;
    assert_eq!(several["type"], "error", "{several}");
    let streams = "subscription { main {
        article_stream(batch_size: 1, cursor: {initial_value: {id: 0}}) { id } article { id } } }";
    assert_eq!(subscribe("y", streams).await["type"], "error");
    let live = "subscription { main { __typename n: article_aggregate { aggregate { count } }
        article(limit: 1) { id } } }";
    let first = subscribe("live", live).await;
    let state = |count: i64| {
        json!({"data": {"main": {"__typename": "Omain_subscription",
            "n": {"aggregate": {"count": count}}, "article": [{"id": 1}]}}})
    };
    assert_eq!(first["payload"], state(3), "{first}");
    project.db.psql("insert into article (title, author_id) values ('Four', 1)").unwrap();
    assert_eq!(client.json().await["payload"], state(4));
    client.send(json!({"id": "live", "type": "complete"}).to_string()).await;

    let stream = "subscription { a: main {
        b: article_stream(batch_size: 3, cursor: {initial_value: {id: 1}}) { id } } }";
    let message = json!({"id": "stream", "type": "subscribe", "payload": {"query": stream}});
    client.send(message.to_string()).await;
    let batch = |ids: &[i64]| {
        let rows: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        json!({"data": {"a": {"b": rows}}})
    };
    assert_eq!(client.json().await["payload"], batch(&[2, 3, 4]));
    project.db.psql("insert into article (title, author_id) values ('Five', 1)").unwrap();
    assert_eq!(client.json().await["payload"], batch(&[5]));
}
