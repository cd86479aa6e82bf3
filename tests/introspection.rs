//! What introspection tells, against async-graphql's account of the same
//! definition, and in the ways that clients ask.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;
mod oracle;

use harness::TestDb;
use oracle::Oracle;
use ringfence::app::App;
use ringfence::engine::GraphqlRequest;
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const DEMO: &str = concat!(
    include_str!("../examples/saas/schema.sql"),
    include_str!("../examples/saas/policies/tenants.sql"),
    include_str!("../examples/saas/policies/users.sql"),
    include_str!("../examples/saas/policies/projects.sql"),
    include_str!("../examples/saas/policies/tasks.sql"),
    include_str!("../examples/saas/policies/comments.sql"),
    include_str!("../examples/saas/policies/posts.sql"),
    include_str!("../examples/saas/policies/notes.sql"),
);

/// The query of graphql-js with all that it can ask of both sides.
const WHOLE: &str = "
    query IntrospectionQuery {
      __schema {
        queryType { name kind }
        mutationType { name kind }
        subscriptionType { name kind }
        types { ...FullType }
      }
    }
    fragment FullType on __Type {
      kind name description specifiedByURL
      fields(includeDeprecated: true) {
        name description
        args(includeDeprecated: true) { ...InputValue }
        type { ...TypeRef }
        isDeprecated deprecationReason
      }
      inputFields(includeDeprecated: true) { ...InputValue }
      interfaces { ...TypeRef }
      enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
      possibleTypes { ...TypeRef }
    }
    fragment InputValue on __InputValue {
      name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
    }
    fragment TypeRef on __Type {
      kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } }
    }";

fn session(role: &str) -> Session {
    Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: None,
        user: None,
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

async fn ask(app: &App, role: &str, query: &str, variables: Value) -> Value {
    let request = GraphqlRequest {
        query: query.to_owned(),
        variables: Some(RawValue::from_string(variables.to_string()).expect("JSON")),
        ..GraphqlRequest::default()
    };
    let answer = app.engine.execute(&session(role), request).await;
    match answer.data {
        Some(data) => serde_json::from_slice(&data).expect("JSON"),
        None => json!({"errors": answer.errors}),
    }
}

/// Types, fields, arguments and values by name, without the types that each
/// side brings of its own.
fn comparable(mut data: Value) -> Value {
    fn by_name(value: &mut Value) {
        if let Value::Array(items) = value {
            items.sort_by_key(|item| item["name"].as_str().map(str::to_owned));
            items.iter_mut().for_each(|item| {
                for key in ["fields", "inputFields", "enumValues", "args"] {
                    if let Some(inner) = item.get_mut(key) {
                        by_name(inner);
                    }
                }
            });
        }
    }
    let types = &mut data["__schema"]["types"];
    if let Value::Array(items) = types {
        items.retain(|ty| {
            let name = ty["name"].as_str().expect("a name");
            !name.starts_with("__") && !["Boolean", "Float", "ID", "Int", "String"].contains(&name)
        });
        // The kinds of lists that a type lacks are null or empty.
        for ty in items {
            if ty["kind"] != "OBJECT" {
                ty["interfaces"] = Value::Null;
            }
            for key in ["interfaces", "possibleTypes"] {
                if ty[key] == json!([]) {
                    ty[key] = Value::Null;
                }
            }
        }
    }
    by_name(types);
    data
}

#[tokio::test]
async fn schemas_are_told_as_their_definition_says() {
    for (schema, roles) in
        [(DEMO, ["user", "admin"]), (include_str!("golden/fixture.sql"), ["user", "editor"])]
    {
        let db = TestDb::new(schema).await;
        let settings = [("mode", "development"), ("schema.expose_owner_views", "true")];
        let app = App::start(db.config(&settings)).await.expect("starts");
        for role in roles {
            let sdl = app.engine.sdl(&session(role)).expect("describes");
            let expected = comparable(Oracle::new(&sdl).describe(WHOLE).await);
            let told = comparable(ask(&app, role, WHOLE, json!({})).await);
            let names = |data: &Value| -> Vec<String> {
                let types = data["__schema"]["types"].as_array().expect("types");
                types.iter().map(|ty| ty["name"].to_string()).collect()
            };
            assert_eq!(names(&told), names(&expected), "{role}");
            let all = |data: &Value| data["__schema"]["types"].as_array().cloned().expect("types");
            for (told, expected) in all(&told).iter().zip(all(&expected)) {
                assert_eq!(*told, expected, "{role}: {}", told["name"]);
            }
            assert_eq!(told, expected, "{role}");
        }
    }
}

#[tokio::test]
async fn types_are_told_by_name_with_aliases_fragments_and_directives() {
    let db = TestDb::new(include_str!("golden/fixture.sql")).await;
    let app = App::start(db.config(&[("mode", "development")])).await.expect("starts");
    let query = "
        query A($name: String!, $no: Boolean!) {
          t: __type(name: $name) {
            __typename is: kind ...Fields
            enumValues @include(if: $no) { name }
          }
          none: __type(name: \"nothing\") { name }
          hidden: __type(name: \"hidden\") { name }
          kinds: __type(name: \"__TypeKind\") { enumValues { name } }
          scalar: __type(name: \"Int\") { kind fields { name } interfaces { name } ofType { name } }
          tasks(limit: 1, order_by: {id: asc}) { id }
          __schema { description directives { name isRepeatable locations args { name defaultValue } } }
        }
        fragment Fields on __Type { fields { name } }";
    let told = ask(&app, "user", query, json!({"name": "tenants_aggregate", "no": false})).await;
    assert_eq!(
        told,
        json!({
            "t": {
                "__typename": "__Type",
                "is": "OBJECT",
                "fields": [{"name": "aggregate"}, {"name": "groups"}, {"name": "nodes"}],
            },
            "none": null,
            "hidden": null,
            "kinds": {"enumValues": [
                {"name": "ENUM"}, {"name": "INPUT_OBJECT"}, {"name": "INTERFACE"}, {"name": "LIST"},
                {"name": "NON_NULL"}, {"name": "OBJECT"}, {"name": "SCALAR"}, {"name": "UNION"},
            ]},
            "scalar": {"kind": "SCALAR", "fields": null, "interfaces": null, "ofType": null},
            "tasks": [],
            "__schema": {"description": null, "directives": [
                {"name": "cached", "isRepeatable": false, "locations": ["QUERY"], "args": [
                    {"name": "refresh", "defaultValue": "false"}, {"name": "ttl", "defaultValue": "60"},
                ]},
                {"name": "include", "isRepeatable": false,
                 "locations": ["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"],
                 "args": [{"name": "if", "defaultValue": null}]},
                {"name": "skip", "isRepeatable": false,
                 "locations": ["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"],
                 "args": [{"name": "if", "defaultValue": null}]},
            ]},
        })
    );
    for (query, message) in [
        ("{ __schema { nothing } }", "field \"nothing\" not found in type: '__Schema'"),
        ("{ __type { name } }", "missing required field \"name\""),
        ("{ __schema }", "missing selection set for \"__schema\""),
        (
            "{ __type(name: \"tasks\") { name { x } } }",
            "unexpected subselection set for non-object field",
        ),
        (
            "{ __type(name: 5) { name } }",
            "parsing Text failed, expected String, but encountered Number",
        ),
        (
            "subscription { __schema { queryType { name } } }",
            "field \"__schema\" not found in type: 'subscription_root'",
        ),
    ] {
        let told = ask(&app, "user", query, json!({})).await;
        assert_eq!(told["errors"][0]["message"], message, "{query}");
    }
}

/// A role that sees no column has types with nothing in them; what clients are
/// told must be a valid schema nevertheless.
#[tokio::test]
async fn types_with_nothing_in_them_are_not_told() {
    let db = TestDb::new(
        "create table bare (id int primary key, \"__x\" int);
         create table notes (id int primary key, bare_id int references bare);
         grant select (\"__x\") on bare to app_user;
         grant select on notes to app_user;",
    )
    .await;
    let app = App::start(db.config(&[("mode", "development")])).await.expect("starts");
    let sdl = app.engine.sdl(&session("user")).expect("describes");
    for line in sdl.lines().collect::<Vec<_>>().windows(2) {
        assert!(!(line[0].ends_with('{') && line[1] == "}"), "{} has nothing in it", line[0]);
    }
    let expected = comparable(Oracle::new(&sdl).describe(WHOLE).await);
    assert_eq!(comparable(ask(&app, "user", WHOLE, json!({})).await), expected);
}
