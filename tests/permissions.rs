//! Permissions of metadata over a real database: which rows, columns and
//! aggregates a role sees, and that row-level security stays the outer fence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use harness::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use ringfence::app::App;
use ringfence::catalog;
use ringfence::config::NamingConvention;
use ringfence::engine::{Engine, EngineLimits, GraphqlRequest};
use ringfence::metadata::Metadata;
use ringfence::schema::tracked::{self, BuildOptions, Connection, SourceInput};
use ringfence::schema::{RoleMapping, SchemaOptions};
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const SCHEMA: &str = "
    create table authors (id int primary key, name text not null, rank int, tags jsonb, note text);
    create table articles (
      id int primary key, title text not null, author_id int not null references authors,
      published boolean not null default false, score int, floor int, body text
    );
    create table members (user_id int not null, author_id int not null references authors);
    insert into authors values
      (1, 'Ada', 3, '{\"lead\": true, \"team\": 1}', 'first'),
      (2, 'Alan', null, '{\"team\": 2}', null),
      (3, 'Grace', 1, null, 'third');
    insert into articles values
      (1, 'One', 1, false, 5, 3, 'b1'), (2, 'Two', 1, true, 2, 4, 'b2'),
      (3, 'Three', 2, true, null, 1, 'b3'), (4, 'Four', 3, false, 9, 9, null);
    insert into members values (10, 1), (10, 2), (11, 3);
    create function shout(author authors) returns text stable language sql as $$ select upper(author.name) $$;
    create function worth(article articles, factor int default 1) returns int stable language sql
      as $$ select article.score * factor $$;
    create function weight(article articles) returns numeric stable language sql
      as $$ select article.score / 4.0 $$;
    create function articles_of(author authors) returns setof articles stable language sql
      as $$ select * from articles where author_id = author.id $$;
    create function search(word text) returns setof articles stable language sql
      as $$ select * from articles where title ilike '%' || word || '%' order by id $$;
";

/// An engine that serves a database under metadata.
struct World {
    _app: App,
    engine: Engine,
}

async fn world(db: &TestDb, document: Value, map: &[(&str, &str)]) -> World {
    let app = App::start(db.config(&[])).await.expect("starts");
    db.psql(
        "grant usage on schema public to ringfence_api, ringfence_admin;
         grant select on all tables in schema public to ringfence_api, ringfence_admin",
    )
    .expect("grants");
    let metadata = Metadata::from_json(&document).expect("metadata");
    let expose = ["public".to_owned()];
    let tx = app.pg.begin_system("load the catalogue").await.expect("connects");
    let catalog = catalog::load::load(&tx, &app.config.schema).await.expect("loads");
    tx.commit().await.expect("commits");
    let source = SourceInput {
        name: "default".into(),
        catalog: Arc::new(catalog),
        connection: Connection::default(),
        metadata: metadata.source("default"),
        auto_track: false,
        enums: &HashMap::new(),
    };
    let options = BuildOptions {
        naming: NamingConvention::HasuraDefault,
        before: None,
        expose: &expose,
        metadata: Some(&metadata),
    };
    let tracked = tracked::build(&[source], options).expect("names");
    assert!(tracked.inconsistencies.is_empty(), "{:#?}", tracked.inconsistencies);
    let options = SchemaOptions {
        roles: RoleMapping {
            map: map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            automap: false,
            authenticator: harness::AUTHENTICATOR.to_owned(),
            allow_unsafe: false,
        },
        infer_function_permissions: true,
        ..SchemaOptions::default()
    };
    let limits = EngineLimits {
        depth: 20,
        nodes: 500,
        rows: None,
        insert_rows: 100,
        plan_cache_bytes: 8 * 1024 * 1024,
    };
    let engine = Engine::new(app.pg.clone(), Arc::new(tracked), options, limits);
    World { _app: app, engine }
}

impl World {
    async fn ask(&self, role: &str, vars: &[(&str, &str)], query: &str) -> Value {
        self.ask_with(role, vars, query, json!({})).await
    }

    async fn ask_with(
        &self,
        role: &str,
        vars: &[(&str, &str)],
        query: &str,
        variables: Value,
    ) -> Value {
        let vars: SessionVars =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let session = Session {
            role: role.into(),
            authority: Authority::Request,
            proof: Proof::Token,
            backend: false,
            tenant: vars.get("x-hasura-tenant-id").map(|text| text.as_str().into()),
            user: vars.get("x-hasura-user-id").map(|text| text.as_str().into()),
            vars,
            claims: None,
            expires_at: None,
            revoked: None,
        };
        let request = GraphqlRequest {
            query: query.to_owned(),
            variables: Some(RawValue::from_string(variables.to_string()).expect("JSON")),
            ..GraphqlRequest::default()
        };
        let answer = self.engine.execute(&session, request).await;
        match answer.data {
            Some(data) => serde_json::from_slice(&data).expect("JSON"),
            None => json!({"errors": answer.errors}),
        }
    }

    /// The ids of a list under its root's name.
    async fn ids(&self, role: &str, vars: &[(&str, &str)], root: &str) -> Vec<i64> {
        let answer =
            self.ask(role, vars, &format!("{{ {root}(order_by: {{id: asc}}) {{ id }} }}")).await;
        let rows = answer[root].as_array().unwrap_or_else(|| panic!("{role}: {answer}"));
        rows.iter().map(|row| row["id"].as_i64().expect("an id")).collect()
    }
}

/// The three tables with relationships, computed fields and a function, and
/// what `permissions` says of each table.
fn document(permissions: &[(&str, Value)]) -> Value {
    let mut tables = json!([
        {
            "table": "authors",
            "array_relationships": [
                {"name": "articles", "using": {"foreign_key_constraint_on": {"table": "articles", "column": "author_id"}}},
                {"name": "members", "using": {"foreign_key_constraint_on": {"table": "members", "column": "author_id"}}},
            ],
            "computed_fields": [
                {"name": "shout", "definition": {"function": "shout"}},
                {"name": "own", "definition": {"function": "articles_of"}},
            ],
        },
        {
            "table": "articles",
            "object_relationships": [
                {"name": "author", "using": {"foreign_key_constraint_on": "author_id"}},
            ],
        },
        {"table": "members"},
    ]);
    for (table, of_table) in permissions {
        for entry in tables.as_array_mut().unwrap() {
            if entry["table"] == *table {
                entry["select_permissions"] = of_table.clone();
            }
        }
    }
    json!({"version": 3, "sources": [{
        "name": "default", "kind": "postgres", "configuration": {}, "tables": tables,
        "functions": [{"function": "search"}],
    }]})
}

fn permission(role: &str, mut permission: Value) -> Value {
    if permission.get("columns").is_none() {
        permission["columns"] = json!("*");
    }
    if permission.get("filter").is_none() {
        permission["filter"] = json!({});
    }
    json!({"role": role, "permission": permission})
}

/// A filter on articles, session variables, the ids that pass.
type Filtered<'a> = (Value, &'a [(&'a str, &'a str)], &'a [i64]);

#[tokio::test]
async fn filters_choose_rows() {
    let user = [("x-hasura-user-id", "1")];
    let cases: Vec<Filtered<'_>> = vec![
        (json!({}), &[], &[1, 2, 3, 4]),
        (json!({"author_id": "X-Hasura-User-Id"}), &user, &[1, 2]),
        (json!({"author_id": {"_eq": "x-hasura-user-id"}}), &user, &[1, 2]),
        (
            json!({"$or": [{"author_id": {"$eq": "X-HASURA-USER-ID"}}, {"published": true}]}),
            &user,
            &[1, 2, 3],
        ),
        (json!({"_not": {"published": {"_eq": true}}}), &[], &[1, 4]),
        // Null differs from every value, and is not in any list.
        (json!({"score": {"_ne": 5}}), &[], &[2, 3, 4]),
        (json!({"score": {"$neq": "X-Hasura-Score"}}), &[("x-hasura-score", "9")], &[1, 2, 3]),
        (json!({"score": {"_nin": [5, 2]}}), &[], &[4]),
        (json!({"score": {"_in": []}}), &[], &[]),
        (json!({"score": {"_is_null": true}}), &[], &[3]),
        (json!({"score": {"_eq": null}}), &[], &[3]),
        (json!({"score": {"_gt": 1, "_lte": 5}}), &[], &[1, 2]),
        // Lists in session variables are array literals.
        (
            json!({"author_id": {"_in": "X-Hasura-Authors"}}),
            &[("x-hasura-authors", "{2,3}")],
            &[3, 4],
        ),
        (
            json!({"title": {"_nin": "X-Hasura-Titles"}}),
            &[("x-hasura-titles", "{One,\"Two\"}")],
            &[3, 4],
        ),
        (json!({"title": {"_iregex": "X-Hasura-Like"}}), &[("x-hasura-like", "^t")], &[2, 3]),
        (json!({"title": {"_like": "T%"}}), &[], &[2, 3]),
        // Columns against columns.
        (json!({"score": {"_cgt": "floor"}}), &[], &[1]),
        (json!({"score": {"$ceq": ["floor"]}}), &[], &[4]),
        (json!({"author": {"rank": {"_cgte": ["$", "floor"]}}}), &[], &[1]),
        // Other tables, as they are, whatever the role sees of them.
        (json!({"author": {"name": {"_eq": "Ada"}}}), &[], &[1, 2]),
        (
            json!({"author": {"members": {"user_id": {"_eq": "X-Hasura-User-Id"}}}}),
            &[("x-hasura-user-id", "10")],
            &[1, 2, 3],
        ),
        (json!({"author": {"tags": {"_has_key": "lead"}}}), &[], &[1, 2]),
        (
            json!({"author": {"tags": {"_has_keys_any": "X-Hasura-Keys"}}}),
            &[("x-hasura-keys", "{team,x}")],
            &[1, 2, 3],
        ),
        (json!({"author": {"tags": {"_contains": {"team": 2}}}}), &[], &[3]),
        (json!({"author": {"shout": {"_eq": "GRACE"}}}), &[], &[4]),
        (json!({"author": {"own": {"published": {"_eq": true}}}}), &[], &[1, 2, 3]),
        (
            json!({"_exists": {"_table": "members", "_where": {"user_id": {"_eq": "X-Hasura-User-Id"}}}}),
            &[("x-hasura-user-id", "11")],
            &[1, 2, 3, 4],
        ),
        (
            json!({"_exists": {"_table": {"schema": "public", "name": "members"}, "_where": {"user_id": {"_eq": 12}}}}),
            &[],
            &[],
        ),
        // Of the row at hand inside of `_exists`.
        (
            json!({"_exists": {"_table": "members", "_where": {"author_id": {"_ceq": ["$", "author_id"]}, "user_id": 11}}}),
            &[],
            &[4],
        ),
        (json!({"_and": []}), &[], &[1, 2, 3, 4]),
        (json!({"_or": []}), &[], &[]),
    ];
    let db = TestDb::new(SCHEMA).await;
    let role = |index: usize| format!("role{index}");
    let permissions: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(index, (filter, ..))| permission(&role(index), json!({"filter": filter})))
        .collect();
    let world = world(&db, document(&[("articles", json!(permissions))]), &[]).await;
    for (index, (filter, vars, expected)) in cases.iter().enumerate() {
        assert_eq!(world.ids(&role(index), vars, "articles").await, *expected, "{filter}");
    }
    let answer = world.ask(&role(1), &[], "{ articles { id } }").await;
    assert_eq!(
        answer,
        json!({"errors": [{
            "message": "missing session variable: \"x-hasura-user-id\"",
            "extensions": {"path": "$", "code": "not-found"},
        }]})
    );
    // The variable is a value, whatever it holds.
    let hostile = [("x-hasura-user-id", "1 or true")];
    let answer = world.ask(&role(1), &hostile, "{ articles { id } }").await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "data-exception");
}

/// A mistake that names a thing must look the same whether the thing is hidden
/// or does not exist.
#[tokio::test]
async fn what_is_not_permitted_is_not_there() {
    let db = TestDb::new(SCHEMA).await;
    let of_articles = json!([
        permission("narrow", json!({"columns": ["title", "score"]})),
        permission("rooted", json!({"query_root_fields": ["select"], "allow_aggregations": true})),
        permission("counting", json!({"columns": [], "allow_aggregations": true})),
        permission("user", json!({})),
    ]);
    let of_authors = json!([
        permission("narrow", json!({"columns": ["id", "name"]})),
        permission("user", json!({"computed_fields": ["shout"]})),
    ]);
    let world =
        world(&db, document(&[("articles", of_articles), ("authors", of_authors)]), &[]).await;
    let unknown = |field: &str, ty: &str| format!("field \"{field}\" not found in type: '{ty}'");
    for (role, query, message, path) in [
        ("narrow", "{ articles { body } }", unknown("body", "articles"), "$.selectionSet.articles.selectionSet.body"),
        ("narrow", "{ articles { nothing } }", unknown("nothing", "articles"), "$.selectionSet.articles.selectionSet.nothing"),
        ("narrow", "{ articles(where: {body: {_eq: \"b1\"}}) { title } }", unknown("body", "articles_bool_exp"), "$.selectionSet.articles.args.where.body"),
        ("narrow", "{ articles(order_by: {body: asc}) { title } }", unknown("body", "articles_order_by"), "$.selectionSet.articles.args.order_by[0].body"),
        ("narrow", "{ articles(distinct_on: body) { title } }", "expected one of the values title or score for type \"articles_select_column\", but found \"body\"".to_owned(), "$.selectionSet.articles.args.distinct_on[0]"),
        ("narrow", "{ articles_by_pk(id: 1) { title } }", unknown("articles_by_pk", "query_root"), "$.selectionSet.articles_by_pk"),
        ("narrow", "{ articles_aggregate { aggregate { count } } }", unknown("articles_aggregate", "query_root"), "$.selectionSet.articles_aggregate"),
        ("narrow", "{ authors { articles_aggregate { aggregate { count } } } }", unknown("articles_aggregate", "authors"), "$.selectionSet.authors.selectionSet.articles_aggregate"),
        ("narrow", "{ authors(order_by: {articles_aggregate: {count: asc}}) { id } }", unknown("articles_aggregate", "authors_order_by"), "$.selectionSet.authors.args.order_by[0].articles_aggregate"),
        ("narrow", "{ authors(where: {articles_aggregate: {count: {predicate: {_eq: 1}}}}) { id } }", unknown("articles_aggregate", "authors_bool_exp"), "$.selectionSet.authors.args.where.articles_aggregate"),
        ("narrow", "{ authors { shout } }", unknown("shout", "authors"), "$.selectionSet.authors.selectionSet.shout"),
        ("narrow", "{ members { user_id } }", unknown("members", "query_root"), "$.selectionSet.members"),
        ("narrow", "{ authors { members { user_id } } }", unknown("members", "authors"), "$.selectionSet.authors.selectionSet.members"),
        ("user", "{ authors(where: {members: {user_id: {_eq: 1}}}) { id } }", unknown("members", "authors_bool_exp"), "$.selectionSet.authors.args.where.members"),
        ("rooted", "{ articles_by_pk(id: 1) { title } }", unknown("articles_by_pk", "query_root"), "$.selectionSet.articles_by_pk"),
        ("rooted", "{ articles_aggregate { aggregate { count } } }", unknown("articles_aggregate", "query_root"), "$.selectionSet.articles_aggregate"),
        ("rooted", "{ articles { author { id } } }", unknown("author", "articles"), "$.selectionSet.articles.selectionSet.author"),
        ("counting", "{ articles_aggregate { aggregate { max { score } } } }", unknown("max", "articles_aggregate_fields"), "$.selectionSet.articles_aggregate.selectionSet.aggregate.selectionSet.max"),
        ("counting", "{ articles_aggregate { aggregate { count(columns: score) } } }", "\"count\" has no argument named \"columns\"".to_owned(), "$.selectionSet.articles_aggregate.selectionSet.aggregate.selectionSet.count"),
        ("nobody", "{ articles { id } }", unknown("articles", "query_root"), "$.selectionSet.articles"),
    ] {
        let answer = world.ask(role, &[], query).await;
        let expected = json!({"errors": [{
            "message": message, "extensions": {"path": path, "code": "validation-failed"},
        }]});
        assert_eq!(answer, expected, "{role}: {query}");
    }
    let answer = world.ask("nobody", &[], "{ no_queries_available }").await;
    assert!(
        answer["no_queries_available"]
            .as_str()
            .expect("a text")
            .starts_with("There are no queries")
    );
    let answer = world
        .ask("counting", &[], "{ articles_aggregate { aggregate { count } nodes { __typename } } }")
        .await;
    assert_eq!(answer["articles_aggregate"]["aggregate"], json!({"count": 4}));
    let answer = world.ask("user", &[], "{ authors(where: {shout: {_eq: \"ADA\"}}, order_by: {shout: desc}) { shout own(order_by: {id: asc}) { id } } }").await;
    assert_eq!(answer, json!({"authors": [{"shout": "ADA", "own": [{"id": 1}, {"id": 2}]}]}));
}

/// Every way to another table sees the rows that the role may select there.
#[tokio::test]
async fn filters_of_other_tables_hold_on_every_way_to_them() {
    let db = TestDb::new(SCHEMA).await;
    let of_authors = json!([permission("user", json!({"computed_fields": ["shout"]}))]);
    let of_articles = json!([permission(
        "user",
        json!({
            "filter": {"published": {"_eq": true}}, "allow_aggregations": true,
        })
    )]);
    let world =
        world(&db, document(&[("articles", of_articles), ("authors", of_authors)]), &[]).await;
    for (query, expected) in [
        (
            "{ authors(order_by: {id: asc}) { articles { id } own { id } articles_aggregate { aggregate { count sum { score } } } } }",
            json!({"authors": [
                {"articles": [{"id": 2}], "own": [{"id": 2}], "articles_aggregate": {"aggregate": {"count": 1, "sum": {"score": 2}}}},
                {"articles": [{"id": 3}], "own": [{"id": 3}], "articles_aggregate": {"aggregate": {"count": 1, "sum": {"score": null}}}},
                {"articles": [], "own": [], "articles_aggregate": {"aggregate": {"count": 0, "sum": {"score": null}}}},
            ]}),
        ),
        ("{ authors(where: {articles: {score: {_gt: 4}}}) { id } }", json!({"authors": []})),
        ("{ authors(where: {own: {score: {_gt: 4}}}) { id } }", json!({"authors": []})),
        ("{ authors(where: {_not: {articles: {}}}) { id } }", json!({"authors": [{"id": 3}]})),
        (
            "{ authors(where: {articles_aggregate: {count: {predicate: {_eq: 0}}}}) { id } }",
            json!({"authors": [{"id": 3}]}),
        ),
        (
            "{ authors(order_by: [{articles_aggregate: {max: {score: desc_nulls_last}}}, {id: desc}]) { id } }",
            json!({"authors": [{"id": 1}, {"id": 3}, {"id": 2}]}),
        ),
        (
            "{ authors(order_by: [{own_aggregate: {count: asc}}, {id: desc}]) { id } }",
            json!({"authors": [{"id": 3}, {"id": 2}, {"id": 1}]}),
        ),
        (
            "{ search(args: {word: \"o\"}) { id } search_aggregate(args: {word: \"o\"}) { aggregate { count } nodes { title } } }",
            json!({"search": [{"id": 2}], "search_aggregate": {"aggregate": {"count": 1}, "nodes": [{"title": "Two"}]}}),
        ),
        (
            "{ articles_by_pk(id: 1) { id } a: articles_by_pk(id: 2) { id } }",
            json!({"articles_by_pk": null, "a": {"id": 2}}),
        ),
    ] {
        assert_eq!(world.ask("user", &[], query).await, expected, "{query}");
    }
}

/// Aggregates take scalar computed fields like columns, with their arguments,
/// where the role may select them.
#[tokio::test]
async fn computed_fields_are_aggregated_where_they_may_be_selected() {
    let db = TestDb::new(SCHEMA).await;
    let aggregated = |computed: Value, filter: Value| {
        json!({"columns": ["id", "title"], "allow_aggregations": true,
        "computed_fields": computed, "filter": filter})
    };
    let all = json!(["worth", "weight", "loud"]);
    let of_articles = json!([
        permission("all", aggregated(all.clone(), json!({}))),
        permission("few", aggregated(json!(["weight"]), json!({}))),
        permission("two", aggregated(all, json!({"id": {"_lte": 2}}))),
        permission("none", aggregated(json!([]), json!({}))),
    ]);
    let of_authors = json!([permission("all", json!({}))]);
    let mut document = document(&[("articles", of_articles), ("authors", of_authors)]);
    let articles = &mut document["sources"][0]["tables"][1];
    assert_eq!(articles["table"], "articles");
    articles["computed_fields"] = json!([
        {"name": "worth", "definition": {"function": "worth"}, "comment": "score times factor"},
        {"name": "weight", "definition": {"function": "weight"}},
        {"name": "loud", "definition": {"function": "loud"}},
    ]);
    document["inherited_roles"] = json!([{"role_name": "joined", "role_set": ["two", "none"]}]);
    db.psql("create function loud(article articles) returns text stable language sql as $$ select upper(article.title) $$")
        .unwrap();
    let world = world(&db, document, &[]).await;
    let aggregate = |inner: &str| format!("{{ articles_aggregate {{ aggregate {{ {inner} }} }} }}");
    for (role, inner, expected) in [
        (
            "all",
            "sum { worth id weight } max { worth loud title } min { weight loud } avg { worth } count",
            json!({"sum": {"worth": 16, "id": 10, "weight": 4.0}, "max": {"worth": 9, "loud": "TWO", "title": "Two"},
                "min": {"weight": 0.5, "loud": "FOUR"}, "avg": {"worth": 5.333_333_333_333_334}, "count": 4}),
        ),
        (
            "all",
            "sum { a: worth(args: {factor: 2}) b: worth(args: {factor: 3}) c: worth d: worth(args: {factor: null}) }",
            json!({"sum": {"a": 32, "b": 48, "c": 16, "d": null}}),
        ),
        (
            "few",
            "stddev_pop { weight } var_pop { weight }",
            json!({"stddev_pop": {"weight": 0.716_860_438_920_218_9}, "var_pop": {"weight": 0.513_888_888_888_889}}),
        ),
        // A cell that is hidden is null to an aggregate too.
        ("joined", "sum { worth id } count", json!({"sum": {"worth": 7, "id": 10}, "count": 4})),
        ("two", "sum { worth }", json!({"sum": {"worth": 7}})),
    ] {
        let answer = world.ask(role, &[], &aggregate(inner)).await;
        assert_eq!(
            answer,
            json!({"articles_aggregate": {"aggregate": expected}}),
            "{role}: {inner}"
        );
    }
    let nested = "{ authors(order_by: {id: asc}) { articles_aggregate { aggregate { sum { worth(args: {factor: 10}) } }
        groups(by: [title]) { aggregate { max { worth } } } } } }";
    let answer = world.ask("all", &[], nested).await;
    assert_eq!(
        answer["authors"][0]["articles_aggregate"],
        json!({"aggregate": {"sum": {"worth": 70}}, "groups": [
            {"aggregate": {"max": {"worth": 5}}}, {"aggregate": {"max": {"worth": 2}}}]}),
        "{answer}"
    );
    let variable = "query ($factor: Int) { articles_aggregate { aggregate { sum { worth(args: {factor: $factor}) } } } }";
    let answer = world.ask_with("all", &[], variable, json!({"factor": 3})).await;
    assert_eq!(answer["articles_aggregate"]["aggregate"]["sum"]["worth"], 48, "{answer}");

    let sum =
        "$.selectionSet.articles_aggregate.selectionSet.aggregate.selectionSet.sum.selectionSet";
    for (role, inner, path) in [
        ("few", "sum { worth }", format!("{sum}.worth")),
        ("none", "sum { weight }", format!("{sum}.weight")),
        // Texts are not added up.
        ("all", "sum { loud }", format!("{sum}.loud")),
        ("all", "sum { worth(args: {factor: true}) }", format!("{sum}.worth.args.args.factor")),
        ("all", "sum { worth(args: {none: 1}) }", format!("{sum}.worth.args.args.none")),
        ("all", "sum { weight(args: {}) }", format!("{sum}.weight")),
        ("all", "sum { worth { id } }", format!("{sum}.worth")),
    ] {
        let answer = world.ask(role, &[], &aggregate(inner)).await;
        assert_eq!(answer["errors"][0]["extensions"]["path"], path, "{role}: {inner}: {answer}");
    }
    // Where there is nothing else to add up, the types are there for them.
    let described = world
        .ask(
            "few",
            &[],
            "{ __type(name: \"articles_avg_fields\") { fields { name type { name } } } }",
        )
        .await;
    assert_eq!(
        described["__type"]["fields"],
        json!([{"name": "id", "type": {"name": "Float"}}, {"name": "weight", "type": {"name": "Float"}}])
    );
}

#[tokio::test]
async fn limits_bound_lists_and_not_what_is_counted() {
    let db = TestDb::new(SCHEMA).await;
    let of_authors = json!([permission("user", json!({"allow_aggregations": true, "limit": 2}))]);
    let of_articles = json!([permission("user", json!({"allow_aggregations": true, "limit": 1}))]);
    let world =
        world(&db, document(&[("articles", of_articles), ("authors", of_authors)]), &[]).await;
    for (query, variables, expected) in [
        (
            "{ authors(order_by: {id: asc}) { id } }",
            json!({}),
            json!({"authors": [{"id": 1}, {"id": 2}]}),
        ),
        (
            "{ authors(order_by: {id: asc}, limit: 1) { id } }",
            json!({}),
            json!({"authors": [{"id": 1}]}),
        ),
        (
            "{ authors(order_by: {id: asc}, limit: 100, offset: 1) { id } }",
            json!({}),
            json!({"authors": [{"id": 2}, {"id": 3}]}),
        ),
        (
            "query A($n: Int) { authors(order_by: {id: asc}, limit: $n) { id } }",
            json!({"n": 3}),
            json!({"authors": [{"id": 1}, {"id": 2}]}),
        ),
        (
            "query A($n: Int) { authors(order_by: {id: asc}, limit: $n) { id } }",
            json!({"n": null}),
            json!({"authors": [{"id": 1}, {"id": 2}]}),
        ),
        ("query A($n: Int) { authors(limit: $n) { id } }", json!({"n": 0}), json!({"authors": []})),
        (
            "{ authors_by_pk(id: 1) { articles(order_by: {id: desc}) { id } articles_aggregate { aggregate { count } } } }",
            json!({}),
            json!({"authors_by_pk": {"articles": [{"id": 2}], "articles_aggregate": {"aggregate": {"count": 2}}}}),
        ),
        (
            "{ authors_aggregate(order_by: {id: asc}) { aggregate { count max { id } } nodes { id articles { id } } } }",
            json!({}),
            json!({"authors_aggregate": {
                "aggregate": {"count": 3, "max": {"id": 3}},
                "nodes": [{"id": 1, "articles": [{"id": 1}]}, {"id": 2, "articles": [{"id": 3}]}],
            }}),
        ),
        // A caller's own limit bounds both.
        (
            "{ authors_aggregate(order_by: {id: desc}, limit: 1) { aggregate { count max { id } } nodes { id } } }",
            json!({}),
            json!({"authors_aggregate": {"aggregate": {"count": 1, "max": {"id": 3}}, "nodes": [{"id": 3}]}}),
        ),
        ("{ search(args: {word: \"o\"}) { id } }", json!({}), json!({"search": [{"id": 1}]})),
    ] {
        assert_eq!(world.ask_with("user", &[], query, variables).await, expected, "{query}");
    }
}

/// A mapped role sees what both gates let through: its database role's rights
/// and policies, and its permissions.
#[tokio::test]
async fn permissions_narrow_what_the_database_allows() {
    let schema = format!(
        "{SCHEMA}
        alter table articles enable row level security;
        create policy of_tenant on articles to app_user
          using (author_id = (select nullif(current_setting('app.tenant_id', true), '')::int));
        grant select (id, title, author_id, score) on articles to app_user;
        grant select on authors to app_user;"
    );
    let db = TestDb::new(&schema).await;
    let filters = [
        ("all", json!({})),
        ("published", json!({"published": {"_eq": true}})),
        ("others", json!({"author_id": {"_neq": 1}})),
        ("scored", json!({"score": {"_is_null": false}})),
    ];
    let of_articles: Vec<Value> =
        filters.iter().map(|(role, filter)| permission(role, json!({"filter": filter}))).collect();
    let map: Vec<(&str, &str)> = filters.iter().map(|(role, _)| (*role, "app_user")).collect();
    let world = world(&db, document(&[("articles", json!(of_articles))]), &map).await;
    let ids = |text: String| -> BTreeSet<i64> {
        text.lines().map(|line| line.parse().expect("an id")).collect()
    };
    for tenant in ["1", "2", "3"] {
        let by_policy = ids(db
            .psql_as("app_user", &[("app.tenant_id", tenant)], "select id from articles")
            .expect("answers"));
        for (role, condition) in [
            ("all", "true"),
            ("published", "published"),
            ("others", "author_id <> 1"),
            ("scored", "score is not null"),
        ] {
            let vars = [("x-hasura-tenant-id", tenant)];
            // The condition of `published` reads a column without a GRANT.
            if role == "published" {
                let answer = world.ask(role, &vars, "{ articles { id } }").await;
                assert_eq!(answer["errors"][0]["extensions"]["code"], "permission-error");
                continue;
            }
            let by_permission = ids(db
                .psql(&format!("select id from articles where {condition}"))
                .expect("answers"));
            let seen: BTreeSet<i64> =
                world.ids(role, &vars, "articles").await.into_iter().collect();
            let both: BTreeSet<i64> = by_policy.intersection(&by_permission).copied().collect();
            assert_eq!(seen, both, "{role}, tenant {tenant}");
        }
    }
    // Columns without a GRANT, tables without a permission.
    for query in ["{ articles { body } }", "{ authors { id } }", "{ articles { author { id } } }"] {
        let answer = world.ask("all", &[("x-hasura-tenant-id", "1")], query).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "validation-failed", "{query}");
    }
}

// ---------------------------------------------------------- inherited roles

const COLUMNS: [&str; 3] = ["a", "b", "c"];

/// What one part of an inherited role may see of one table.
#[derive(Debug, Clone)]
struct Part {
    columns: Vec<&'static str>,
    /// Ids below this are seen, and those above that.
    below: i64,
    above: i64,
    aggregations: bool,
}

fn part() -> impl Strategy<Value = Part> {
    let columns = proptest::sample::subsequence(COLUMNS.to_vec(), 0..=3);
    (columns, 0..8_i64, 5..13_i64, any::<bool>()).prop_map(
        |(columns, below, above, aggregations)| Part { columns, below, above, aggregations },
    )
}

impl Part {
    fn sees(&self, id: i64) -> bool {
        id < self.below || id > self.above
    }

    fn permission(&self, role: &str) -> Value {
        let mut columns = vec!["id", "parent_id"];
        columns.extend(&self.columns);
        permission(
            role,
            json!({
                "columns": columns,
                "filter": {"_or": [{"id": {"_lt": self.below}}, {"id": {"_gt": self.above}}]},
                "allow_aggregations": self.aggregations,
            }),
        )
    }
}

type Row = BTreeMap<&'static str, Option<i64>>;

/// The rows that some part sees, cells that none of these parts sees null.
fn masked(rows: &[Row], parts: &[Part]) -> Vec<Row> {
    let mut out = Vec::new();
    for row in rows {
        let id = row["id"].expect("an id");
        let seeing: Vec<&Part> = parts.iter().filter(|part| part.sees(id)).collect();
        if seeing.is_empty() {
            continue;
        }
        let mut row = row.clone();
        for column in COLUMNS {
            if !seeing.iter().any(|part| part.columns.contains(&column)) {
                row.insert(column, None);
            }
        }
        out.push(row);
    }
    out
}

fn compare(op: &str, cell: Option<i64>, value: i64) -> bool {
    match (op, cell) {
        ("_is_null", cell) => cell.is_none(),
        (_, None) => false,
        ("_eq", Some(cell)) => cell == value,
        ("_gt", Some(cell)) => cell > value,
        ("_nin", Some(cell)) => cell != value,
        _ => unreachable!(),
    }
}

fn condition(op: &str, column: &str, value: i64) -> String {
    match op {
        "_is_null" => format!("{{{column}: {{_is_null: true}}}}"),
        "_nin" => format!("{{{column}: {{_nin: [{value}]}}}}"),
        op => format!("{{{column}: {{{op}: {value}}}}}"),
    }
}

/// An inherited role answers as if the table held the masked rows, so that
/// neither a cell nor a condition, an order, a distinct or an aggregate shows
/// what no part sees.
#[test]
fn inherited_roles_see_no_cell_that_no_part_sees() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let schema = "
        create table parents (id int primary key, parent_id int, a int, b int, c int);
        create table children (id int primary key, parent_id int references parents, a int, b int, c int);
        insert into parents select i, i, nullif(i % 3, 0), nullif(i % 4, 1), i % 5 from generate_series(1, 15) i;
        insert into children select i, 1 + (i * 7) % 15, nullif(i % 4, 0), nullif(i % 3, 1), i % 6 from generate_series(1, 15) i;";
    let db = runtime.block_on(TestDb::new(schema));
    let rows = |table: &str| -> Vec<Row> {
        let text =
            db.psql(&format!("select row_to_json(t) from {table} t order by id")).expect("answers");
        text.lines()
            .map(|line| {
                let row: BTreeMap<String, Option<i64>> = serde_json::from_str(line).expect("JSON");
                ["id", "parent_id", "a", "b", "c"].map(|name| (name, row[name])).into()
            })
            .collect()
    };
    let (parents, children) = (rows("parents"), rows("children"));
    let ops = proptest::sample::select(vec!["_eq", "_gt", "_is_null", "_nin"]);
    let column = proptest::sample::select(COLUMNS.to_vec());
    let query = (ops, column.clone(), 0..5_i64, column, any::<bool>());
    let strategy =
        (proptest::collection::vec((part(), part()), 2..4), proptest::collection::vec(query, 6));
    let mut runner = TestRunner::new_with_rng(
        RunnerConfig { cases: 24, failure_persistence: None, ..RunnerConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    runner
        .run(&strategy, |(parts, queries)| {
            let of = |of_child: bool| -> Vec<Part> {
                parts.iter().map(|(p, c)| if of_child { c.clone() } else { p.clone() }).collect()
            };
            let roles: Vec<String> = (0..parts.len()).map(|n| format!("part{n}")).collect();
            let permissions = |of_child: bool| -> Vec<Value> {
                of(of_child).iter().zip(&roles).map(|(part, role)| part.permission(role)).collect()
            };
            let document = json!({"version": 3, "inherited_roles": [
                {"role_name": "all", "role_set": roles},
            ], "sources": [{
                "name": "default", "kind": "postgres", "configuration": {}, "tables": [
                    {"table": "parents", "select_permissions": permissions(false), "array_relationships": [
                        {"name": "children", "using": {"foreign_key_constraint_on": {"table": "children", "column": "parent_id"}}}]},
                    {"table": "children", "select_permissions": permissions(true), "object_relationships": [
                        {"name": "parent", "using": {"foreign_key_constraint_on": "parent_id"}}]},
                ],
            }]});
            let (parents, children) = (masked(&parents, &of(false)), masked(&children, &of(true)));
            let shown = |of_child: bool| -> Vec<&'static str> {
                let parts = of(of_child);
                let seen = COLUMNS.into_iter().filter(|c| parts.iter().any(|p| p.columns.contains(c)));
                ["id"].into_iter().chain(seen).collect()
            };
            let (of_parents, of_children) = (shown(false), shown(true));
            let aggregates = |of_child: bool| of(of_child).iter().any(|part| part.aggregations);
            let json_row = |row: &Row, columns: &[&'static str]| -> Value {
                columns.iter().map(|name| ((*name).to_owned(), json!(row[name]))).collect::<serde_json::Map<_, _>>().into()
            };
            runtime.block_on(async {
                let world = world(&db, document, &[]).await;
                for (op, filtered, value, other, descending) in &queries {
                    let fields = of_children.join(" ");
                    // Conditions, orders and distinct on the table itself.
                    if of_children.contains(filtered) && of_children.contains(other) {
                        let mut expected: Vec<&Row> = children
                            .iter()
                            .filter(|row| compare(op, row[filtered], *value))
                            .collect();
                        // Nulls last, or first when descending.
                        expected.sort_by_key(|row| {
                            let key = row[other];
                            let order = (key.is_none(), key);
                            (if *descending { (!order.0, key.map(|k| -k)) } else { order }, row["id"])
                        });
                        let word = if *descending { "desc" } else { "asc" };
                        let filter = condition(op, filtered, *value);
                        let query = format!("{{ children(where: {filter}, order_by: [{{{other}: {word}}}, {{id: asc}}]) {{ {fields} }} }}");
                        let rows: Vec<Value> = expected.iter().map(|row| json_row(row, &of_children)).collect();
                        let answer = world.ask("all", &[], &query).await;
                        prop_assert_eq!(&answer["children"], &json!(rows), "{}", query);

                        let query = format!("{{ children(where: {filter}, distinct_on: {other}, order_by: [{{{other}: {word}}}, {{id: asc}}]) {{ id }} }}");
                        let mut seen = BTreeSet::new();
                        let rows: Vec<Value> = expected.iter().filter(|row| seen.insert(row[other])).map(|row| json!({"id": row["id"]})).collect();
                        let answer = world.ask("all", &[], &query).await;
                        prop_assert_eq!(&answer["children"], &json!(rows), "{}", query);

                        if aggregates(true) {
                            let cells = || expected.iter().filter_map(|row| row[other]);
                            let query = format!("{{ children_aggregate(where: {filter}) {{ aggregate {{ count n: count(columns: {other}, distinct: true) sum {{ {other} }} max {{ {other} }} }} }} }}");
                            let sum = cells().next().map(|_| cells().sum::<i64>());
                            let answer = world.ask("all", &[], &query).await;
                            prop_assert_eq!(&answer["children_aggregate"]["aggregate"], &json!({
                                "count": expected.len(), "n": cells().collect::<BTreeSet<_>>().len(),
                                "sum": {*other: sum}, "max": {*other: cells().max()},
                            }), "{}", query);
                        }
                    }
                    // The same through relationships.
                    if of_parents.contains(filtered) {
                        let parent = |row: &Row| parents.iter().find(|parent| parent["id"] == row["parent_id"]);
                        let query = format!("{{ children(where: {{parent: {}}}, order_by: [{{parent: {{{filtered}: asc}}}}, {{id: asc}}]) {{ id parent {{ {filtered} }} }} }}", condition(op, filtered, *value));
                        let mut expected: Vec<(&Row, &Row)> = children.iter().filter_map(|row| Some((row, parent(row)?))).filter(|(_, parent)| compare(op, parent[filtered], *value)).collect();
                        expected.sort_by_key(|(row, parent)| (parent[filtered].is_none(), parent[filtered], row["id"]));
                        let rows: Vec<Value> = expected.iter().map(|(row, parent)| json!({"id": row["id"], "parent": {*filtered: parent[filtered]}})).collect();
                        let answer = world.ask("all", &[], &query).await;
                        prop_assert_eq!(&answer["children"], &json!(rows), "{}", query);
                    }
                    if of_children.contains(other) && aggregates(true) {
                        let of_parent = |parent: &Row| -> Vec<i64> {
                            children.iter().filter(|row| row["parent_id"] == parent["id"]).filter_map(|row| row[other]).collect()
                        };
                        let mut expected: Vec<&Row> = parents.iter().collect();
                        expected.sort_by_key(|parent| {
                            let max = of_parent(parent).into_iter().max();
                            (max.is_none(), max, parent["id"])
                        });
                        let rows: Vec<Value> = expected.iter().map(|row| json!({"id": row["id"]})).collect();
                        let query = format!("{{ parents(order_by: [{{children_aggregate: {{max: {{{other}: asc}}}}}}, {{id: asc}}]) {{ id }} }}");
                        let answer = world.ask("all", &[], &query).await;
                        prop_assert_eq!(&answer["parents"], &json!(rows), "{}", query);

                        let query = format!("{{ parents(where: {{children_aggregate: {{count: {{arguments: {other}, predicate: {{_gt: 0}}}}}}}}, order_by: {{id: asc}}) {{ id }} }}");
                        let rows: Vec<Value> = parents.iter().filter(|parent| !of_parent(parent).is_empty()).map(|row| json!({"id": row["id"]})).collect();
                        let answer = world.ask("all", &[], &query).await;
                        prop_assert_eq!(&answer["parents"], &json!(rows), "{}", query);
                    }
                }
                Ok(())
            })
        })
        .expect("no hidden cell shows");
}

/// Limits join to the greatest, a permission of the role itself stands before
/// those of its parts, and parts may be inherited themselves.
#[tokio::test]
async fn inherited_roles_join_what_their_parts_may() {
    let db = TestDb::new(SCHEMA).await;
    let mut document = document(&[
        (
            "authors",
            json!([
                permission("few", json!({"limit": 1, "columns": ["id"]})),
                permission(
                    "more",
                    json!({"limit": 2, "columns": ["id", "name"], "computed_fields": ["shout"]})
                ),
                permission("own", json!({"columns": ["id", "rank"], "filter": {"id": {"_eq": 3}}})),
            ]),
        ),
        (
            "articles",
            json!([
                permission("few", json!({})),
                permission("counting", json!({"columns": ["id"], "allow_aggregations": true}))
            ]),
        ),
    ]);
    document["inherited_roles"] = json!([
        {"role_name": "both", "role_set": ["few", "more"]},
        {"role_name": "nested", "role_set": ["both", "counting"]},
        {"role_name": "own", "role_set": ["few", "more"]},
    ]);
    let world = world(&db, document, &[]).await;
    for (role, query, expected) in [
        (
            "both",
            "{ authors(order_by: {id: asc}) { id name shout } }",
            json!({"authors": [{"id": 1, "name": "Ada", "shout": "ADA"}, {"id": 2, "name": "Alan", "shout": "ALAN"}]}),
        ),
        (
            "nested",
            "{ authors(order_by: {id: asc}) { id } articles_aggregate { aggregate { count } } }",
            json!({"authors": [{"id": 1}, {"id": 2}], "articles_aggregate": {"aggregate": {"count": 4}}}),
        ),
        ("own", "{ authors { id rank } }", json!({"authors": [{"id": 3, "rank": 1}]})),
    ] {
        assert_eq!(world.ask(role, &[], query).await, expected, "{role}");
    }
    let answer = world.ask("own", &[], "{ authors { name } }").await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "validation-failed");
}
