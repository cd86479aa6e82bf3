//! Every operator in every position with what does not belong there: the
//! caller's mistake is told with Hasura's code and path, whatever it is.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;
#[path = "operators/places.rs"]
mod places;
mod served;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::join_all;
use harness::TestDb;
use ringfence::app::App;
use ringfence::engine::{GraphqlRequest, GraphqlResponse};
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const TENANT: &str = "11111111-1111-1111-1111-111111111111";

/// Beside the fixture: columns of extensions, and lists of doubles and booleans
/// for conditions on aggregates.
const MORE: &str = "
    create extension ltree;
    create extension citext;
    create table places (
      id int primary key, path ltree, name citext, parent_id int references places,
      height double precision, width double precision, open boolean
    );
    insert into places values
      (1, 'top', 'Top', null, null, null, null),
      (2, 'top.a', 'A', 1, 1, 2, true), (3, 'top.a.b', 'B', 1, 2, 4, false), (4, 'top.c', 'c', 2, 5, 1, true);
    grant select on places to app_user;
";

struct World {
    app: App,
    session: Session,
    _db: TestDb,
}

async fn world() -> World {
    let schema = [include_str!("golden/fixture.sql"), MORE].concat();
    let db = TestDb::new(&schema).await;
    let app = App::start(db.config(&[])).await.expect("starts");
    let session = Session {
        role: "user".into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: Some(Arc::from(TENANT)),
        user: Some(Arc::from("1")),
        claims: None,
        expires_at: None,
        revoked: None,
    };
    World { app, session, _db: db }
}

impl World {
    async fn ask(&self, query: &str, variables: Option<String>) -> GraphqlResponse {
        let variables = variables.map(|text| RawValue::from_string(text).expect("JSON"));
        let request =
            GraphqlRequest { query: query.to_owned(), variables, ..GraphqlRequest::default() };
        self.app.engine.execute(&self.session, request).await
    }

    async fn data(&self, query: &str, variables: Option<String>) -> Value {
        let response = self.ask(query, variables).await;
        let shown: String = query.chars().take(300).collect();
        let data = response.data.unwrap_or_else(|| panic!("{shown}: {:?}", response.errors));
        serde_json::from_slice(&data).expect("JSON")
    }

    /// (code, path, message) of the one error.
    async fn refused(&self, query: &str, variables: Option<String>) -> (String, String, String) {
        let response = self.ask(query, variables).await;
        let shown: String = query.chars().take(300).collect();
        let [error] = response.errors.as_slice() else { panic!("{shown}: {:?}", response.data) };
        (error.code.as_str().to_owned(), error.path.to_string(), error.message.to_string())
    }
}

/// What Hasura says, word for word.
#[tokio::test]
async fn mistakes_are_told_as_hasura_tells_them() {
    let world = world().await;
    let cases = [
        (
            "tasks",
            "id: {_eq: null}",
            "validation-failed",
            ".id._eq",
            "unexpected null value for type 'Int'",
        ),
        (
            "tasks",
            "title: {_like: null}",
            "validation-failed",
            ".title._like",
            "unexpected null value for type 'String'",
        ),
        (
            "tasks",
            "id: {_in: null}",
            "validation-failed",
            ".id._in",
            "expected a list, but found null",
        ),
        (
            "tasks",
            "id: {_in: [1, null]}",
            "validation-failed",
            ".id._in[1]",
            "unexpected null value for type 'Int'",
        ),
        (
            "tasks",
            "id: {_is_null: null}",
            "validation-failed",
            ".id._is_null",
            "expected a boolean for type 'Boolean', but found null",
        ),
        (
            "tasks",
            "id: {_eq: {}}",
            "parse-failed",
            ".id._eq",
            "parsing Integer expected for input type: integer failed, expected Number, but encountered Object",
        ),
        (
            "tasks",
            "id: null",
            "validation-failed",
            ".id",
            "expected an object for type 'Int_comparison_exp', but found null",
        ),
        (
            "tasks",
            "id: 5",
            "validation-failed",
            ".id",
            "expected an object for type 'Int_comparison_exp', but found an integer",
        ),
        (
            "tasks",
            "id: {_equals: 5}",
            "validation-failed",
            ".id._equals",
            "field '_equals' not found in type: 'Int_comparison_exp'",
        ),
        (
            "tasks",
            "nothing: {_eq: 5}",
            "validation-failed",
            ".nothing",
            "field 'nothing' not found in type: 'tasks_bool_exp'",
        ),
        ("tasks", "_and: null", "validation-failed", "._and", "expected a list, but found null"),
        (
            "tasks",
            "_not: null",
            "validation-failed",
            "._not",
            "expected an object for type 'tasks_bool_exp', but found null",
        ),
        (
            "tasks",
            "owner: null",
            "validation-failed",
            ".owner",
            "expected an object for type 'users_bool_exp', but found null",
        ),
        (
            "places",
            "places_aggregate: {}",
            "validation-failed",
            ".places_aggregate",
            "exactly one predicate should be specified",
        ),
        (
            "places",
            "places_aggregate: {count: {predicate: {}}, bool_or: {arguments: open, predicate: {}}}",
            "validation-failed",
            ".places_aggregate",
            "exactly one predicate should be specified",
        ),
        (
            "places",
            "places_aggregate: null",
            "validation-failed",
            ".places_aggregate",
            "expected an object for type 'places_aggregate_bool_exp', but found null",
        ),
        (
            "places",
            "places_aggregate: {count: null}",
            "validation-failed",
            ".places_aggregate.count",
            "expected an object for type 'places_aggregate_bool_exp_count', but found null",
        ),
        (
            "places",
            "places_aggregate: {avg: {arguments: open, predicate: {}}}",
            "validation-failed",
            ".places_aggregate.avg.arguments",
            "expected one of the values height or width for type 'places_select_column_places_aggregate_bool_exp_avg_arguments_columns', but found 'open'",
        ),
        (
            "kinds",
            "docb: {_has_keys_any: null}",
            "validation-failed",
            ".docb._has_keys_any",
            "expected a list, but found null",
        ),
        (
            "kinds",
            "docb: {_has_key: 5}",
            "parse-failed",
            ".docb._has_key",
            "parsing Text failed, expected String, but encountered Number",
        ),
        (
            "kinds",
            "docb: {_cast: null}",
            "validation-failed",
            ".docb._cast",
            "expected an object for type 'jsonb_cast_exp', but found null",
        ),
        (
            "kinds",
            "docb: {_cast: {Int: {_eq: 5}}}",
            "validation-failed",
            ".docb._cast.Int",
            "field 'Int' not found in type: 'jsonb_cast_exp'",
        ),
        ("kinds", "docb: {_jsonb_path_exists: \"$.\"}", "data-exception", "", ""),
        ("kinds", "label: {_regex: \"(\"}", "data-exception", "", ""),
        (
            "kinds",
            "key: {_eq: \"x\"}",
            "data-exception",
            "",
            "invalid input syntax for type uuid: \"x\"",
        ),
        (
            "kinds",
            "day: {_lt: \"2024-02-30\"}",
            "data-exception",
            "",
            "date/time field value out of range: \"2024-02-30\"",
        ),
        ("places", "path: {_matches: \"a..b\"}", "data-exception", "", ""),
    ];
    let mut wrong = String::new();
    for (table, condition, code, path, message) in cases {
        let query = format!("{{ {table}(where: {{{condition}}}) {{ id }} }}");
        let told = world.refused(&query, None).await;
        let place = format!("$.selectionSet.{table}.args.where{path}");
        let at = if path.is_empty() { "$".to_owned() } else { place };
        let same_words = |told: &str| told.replace('"', "'") == message.replace('"', "'");
        if told.0 != code || told.1 != at || !(message.is_empty() || same_words(&told.2)) {
            writeln!(wrong, "{condition}\n  {told:?}").expect("writes");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Values of every kind where every operator takes one.
#[tokio::test]
async fn whatever_stands_there_is_an_answer_or_the_callers_mistake() {
    let world = world().await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let long = format!("\"{}\"", "%a_".repeat(5_000));
    let values = [
        "null",
        "{}",
        "[]",
        "[[]]",
        "[null]",
        "{\"a\": null}",
        "true",
        "1",
        "-1",
        "1.5",
        "1e400",
        "99999999999999999999",
        "\"\"",
        "\"x\"",
        "\"'; drop table tasks; --\"",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\"NaN\"",
        "\"{\"",
        "\"\\\\\"",
        "\"%\"",
        "[1, \"x\", true]",
        &deep,
        &long,
    ];
    let types = world
        .data(
            "{ __schema { types { name inputFields { name type { name ofType { name } } } } } }",
            None,
        )
        .await;
    let types: BTreeMap<&str, &Value> = types["__schema"]["types"]
        .as_array()
        .expect("types")
        .iter()
        .map(|ty| (ty["name"].as_str().expect("a name"), &ty["inputFields"]))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    let mut asked = 0;
    for table in ["kinds", "places"] {
        for column in types[format!("{table}_bool_exp").as_str()].as_array().expect("fields") {
            let (name, ty) = (&column["name"], column["type"]["name"].as_str().unwrap_or_default());
            if !ty.ends_with("_comparison_exp") || !seen.insert(ty) {
                continue;
            }
            for operator in types[ty].as_array().expect("operators") {
                let (name, operator) =
                    (name.as_str().expect("a name"), operator["name"].as_str().expect("a name"));
                let query =
                    format!("query($v: {table}_bool_exp!) {{ {table}(where: $v) {{ id }} }}");
                let place = format!("$.selectionSet.{table}.args.where.{name}.{operator}");
                let answers: Vec<_> = values
                    .iter()
                    .map(|value| {
                        let variables =
                            format!("{{\"v\": {{\"{name}\": {{\"{operator}\": {value}}}}}}}");
                        // Together they are too large for a stack.
                        Box::pin(world.ask(&query, Some(variables)))
                    })
                    .collect();
                for (value, response) in values.iter().zip(join_all(answers).await) {
                    asked += 1;
                    let shown: String = value.chars().take(40).collect();
                    let Some(error) = response.errors.first() else {
                        assert!(response.data.is_some(), "{name}.{operator} {shown}");
                        assert_ne!(*value, "null", "{name}.{operator}");
                        continue;
                    };
                    let (code, path) = (error.code.as_str(), error.path.to_string());
                    let told =
                        format!("{name}.{operator} {shown}: {code} {path} {}", error.message);
                    let in_place = path.starts_with(&place)
                        && matches!(
                            code,
                            "validation-failed"
                                | "parse-failed"
                                | "data-exception"
                                | "depth-limit-exceeded"
                        );
                    let of_postgres = path == "$"
                        && matches!(code, "data-exception" | "bad-request" | "postgres-error");
                    assert!(in_place || of_postgres, "{told}");
                    for internal in ["OPERATOR(", "pg_catalog", "SELECT", "::"] {
                        assert!(!error.message.contains(internal), "{told}");
                    }
                }
            }
        }
    }
    assert!(asked > 3_000, "{asked}");
}

#[tokio::test]
async fn long_lists_and_deep_conditions_are_answered_or_stopped_by_a_limit_with_a_name() {
    let world = world().await;
    let count = |data: &Value| data["x"]["aggregate"]["count"].clone();
    let lists: [(&str, &str, &str, Vec<Value>, i64); 7] = [
        ("tasks", "id", "_in", (0..100_000).map(|n| json!(n)).collect(), 3),
        ("tasks", "id", "_nin", (0..100_000).map(|n| json!(n)).collect(), 0),
        ("tasks", "title", "_in", (0..100_000).map(|n| json!(format!("x{n}"))).collect(), 0),
        (
            "tasks",
            "tenant_id",
            "_in",
            (0..100_000).map(|n| json!(format!("00000000-0000-0000-0000-{n:012}"))).collect(),
            0,
        ),
        ("kinds", "exact", "_nin", (0..100_000).map(|n| json!(format!("{n}.5"))).collect(), 2),
        (
            "kinds",
            "docb",
            "_has_keys_any",
            (0..100_000).map(|n| json!(format!("k{n}"))).chain([json!("a")]).collect(),
            1,
        ),
        ("kinds", "docb", "_in", (0..20_000).map(|n| json!({"n": n})).collect(), 0),
    ];
    for (table, column, operator, list, expected) in lists {
        let query = format!(
            "query($w: {table}_bool_exp!) {{ x: {table}_aggregate(where: $w) {{ aggregate {{ count }} }} }}"
        );
        let variables = json!({"w": {column: {operator: list}}}).to_string();
        let data = world.data(&query, Some(variables)).await;
        assert_eq!(count(&data), json!(expected), "{table}.{column} {operator}");
    }
    let literals = |n: i32| -> String { (0..n).map(|n| format!("{n},")).collect() };
    let query = |n| format!("{{ tasks(where: {{id: {{_in: [{}]}}}}) {{ id }} }}", literals(n));
    let data = world.data(&query(100_000), None).await;
    assert_eq!(data["tasks"].as_array().map(Vec::len), Some(3));
    let refused = world.refused(&query(500_000), None).await;
    assert_eq!(refused.0, "node-limit-exceeded", "{refused:?}");

    let nest =
        |open: &str, n: usize, close: &str| format!("{}{{}}{}", open.repeat(n), close.repeat(n));
    let shallow = nest("{_not: ", 10, "}");
    world.data(&format!("{{ tasks(where: {shallow}) {{ id }} }}"), None).await;
    for (open, close) in
        [("{_not: ", "}"), ("{_and: [", "]}"), ("{owner: {tasks_by_owner_id: ", "}}")]
    {
        let deep = nest(open, 2_000, close);
        let refused = world.refused(&format!("{{ tasks(where: {deep}) {{ id }} }}"), None).await;
        assert_eq!(refused.0, "depth-limit-exceeded", "{open}: {refused:?}");
    }
    let query = "query($w: tasks_bool_exp!) { tasks(where: $w) { id } }";
    for (open, close) in [("{\"_not\": ", "}"), ("{\"_or\": [", "]}")] {
        world.data(query, Some(format!("{{\"w\": {}}}", nest(open, 10, close)))).await;
        for n in [100, 2_000, 50_000] {
            let variables = format!("{{\"w\": {}}}", nest(open, n, close));
            let refused = match RawValue::from_string(variables.clone()) {
                Ok(_) => world.refused(query, Some(variables)).await,
                // No JSON of such depth comes this far.
                Err(_) => continue,
            };
            assert_eq!(refused.0, "depth-limit-exceeded", "{open} {n}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn conditions_on_aggregates_choose_rows() {
    let world = world().await;
    // Rows 2 and 3 hang below row 1, row 4 below row 2.
    let cases: [(&str, &[i64]); 16] = [
        ("count: {predicate: {_gt: 1}}", &[1]),
        ("count: {arguments: [height, width], distinct: true, predicate: {_eq: 1}}", &[2]),
        ("count: {filter: {open: {_eq: true}}, predicate: {_eq: 1}}", &[1, 2]),
        ("count: {arguments: [], predicate: {_eq: 0}}", &[3, 4]),
        ("avg: {arguments: height, predicate: {_eq: 1.5}}", &[1]),
        ("max: {arguments: height, predicate: {_gte: 2}}", &[1, 2]),
        ("min: {arguments: width, predicate: {_lt: 2}}", &[2]),
        ("sum: {arguments: width, predicate: {_in: [6, 7]}}", &[1]),
        ("sum: {arguments: width, filter: {open: {_eq: true}}, predicate: {_eq: 2}}", &[1]),
        ("stddev_samp: {arguments: height, predicate: {_is_null: true}}", &[2, 3, 4]),
        ("var_samp: {arguments: height, predicate: {_eq: 0.5}}", &[1]),
        ("corr: {arguments: {X: height, Y: width}, predicate: {_gt: 0.99}}", &[1]),
        ("covar_samp: {arguments: {Y: height, X: width}, predicate: {_eq: 1}}", &[1]),
        ("bool_and: {arguments: open, predicate: {_eq: false}}", &[1]),
        ("bool_or: {arguments: open, predicate: {_eq: true}}", &[1, 2]),
        ("bool_or: {arguments: open, distinct: true, predicate: {_is_null: true}}", &[3, 4]),
    ];
    for (condition, expected) in cases {
        let query = format!(
            "{{ places(where: {{places_aggregate: {{{condition}}}}}, order_by: {{id: asc}}) {{ id }} }}"
        );
        let data = world.data(&query, None).await;
        let ids: Vec<i64> = data["places"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| row["id"].as_i64().expect("an id"))
            .collect();
        assert_eq!(ids, expected, "{condition}");
    }
}
