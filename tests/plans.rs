//! How Postgres runs what is compiled: which conditions of a caller reach an
//! index under row-level security, and what `explain` says of the others.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use harness::{ADMIN_SECRET, TestDb, Token};
use ringfence::app::App;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const TENANT: &str = "00000000-0000-0000-0000-000000000001";

const SCHEMA: &str = r#"
    create type state as enum ('open', 'closed');
    create table posts (
      id int primary key,
      tenant_id uuid not null,
      title text not null,
      code varchar(40) not null,
      n bigint not null,
      made timestamptz not null,
      price numeric not null,
      state state not null,
      tags jsonb not null
    );
    insert into posts
      select i, ('00000000-0000-0000-0000-00000000000' || i % 4)::uuid, 'title ' || i, 'code ' || i, i,
        timestamptz '2024-01-01 00:00:00+00' + i * interval '1 minute', i / 4.0,
        case when i % 100 = 0 then 'open' else 'closed' end::state, jsonb_build_object('n', i)
      from generate_series(1, 20000) i;
    create index posts_title on posts (tenant_id, title collate "C");
    create index posts_code on posts (tenant_id, code text_pattern_ops);
    create index posts_n on posts (tenant_id, n);
    create index posts_made on posts (tenant_id, made);
    create index posts_price on posts (price);
    create index posts_state on posts (state);
    create index posts_tags on posts using gin (tags);
    analyze posts;
    alter table posts enable row level security;
    alter table posts force row level security;
    create policy tenant on posts to app_user
      using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
    grant select on posts to app_user;
"#;

struct Server {
    http: reqwest::Client,
    url: String,
}

impl Server {
    /// The body of an answer, and its status.
    async fn explain(&self, body: &Value) -> (u16, Value) {
        self.send(body, ("x-hasura-admin-secret", ADMIN_SECRET)).await
    }

    async fn send(&self, body: &Value, proof: (&str, &str)) -> (u16, Value) {
        let request = self.http.post(&self.url).header(proof.0, proof.1);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a text");
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
    }

    /// What is explained of one root for the tenant's user.
    async fn root(&self, query: &str, variables: Value) -> Value {
        let user = json!({"x-hasura-role": "user", "X-Hasura-Tenant-Id": TENANT});
        let body = json!({"query": {"query": query, "variables": variables}, "user": user});
        let (status, answer) = self.explain(&body).await;
        assert_eq!(status, 200, "{answer}");
        let roots = answer.as_array().expect("a list");
        assert_eq!(roots.len(), 1, "{answer}");
        roots[0].clone()
    }
}

async fn serve() -> (TestDb, Server, CancellationToken) {
    let db = TestDb::new(SCHEMA).await;
    let stop = CancellationToken::new();
    let app = App::start(db.config(&[])).await.expect("starts");
    let serving = app.serve(stop.clone(), Vec::new()).await.expect("listens");
    let url = format!("http://{}/v1/graphql/explain", serving.address);
    (db, Server { http: harness::http(), url }, stop)
}

/// The lines of a plan that say what an index is asked.
fn index_conditions(root: &Value) -> String {
    let lines = root["plan"].as_array().expect("lines").iter();
    lines
        .map(|line| line.as_str().expect("a line").trim())
        .filter(|line| line.starts_with("Index Cond: "))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn conditions_reach_an_index_under_row_level_security() {
    let (_db, server, stop) = serve().await;
    // (condition, variables, what the index is asked beside the tenant)
    let cases: [(&str, Value, &[&str]); 9] = [
        (r#"{code: {_eq: "code 77"}}"#, json!({}), &["code)::text = 'code 77'"]),
        (
            r#"{title: {_like: "title 77%"}}"#,
            json!({}),
            &["title >= 'title 77'", "title < 'title 78'"],
        ),
        (
            r#"{title: {_like: "title 77%7"}}"#,
            json!({}),
            &["title >= 'title 77'", "title < 'title 78'"],
        ),
        (
            "{title: {_like: $p}}",
            json!({"p": "title 77%"}),
            &["title >= 'title 77'", "title < 'title 78'"],
        ),
        (
            "{title: {_like: $p}}",
            json!({"p": "title\\_7_"}),
            &["title >= 'title_7'", "title < 'title_8'"],
        ),
        (
            r#"{code: {_like: "code 77%"}}"#,
            json!({}),
            &["code)::text ~>=~ 'code 77'", "code)::text ~<~ 'code 78'"],
        ),
        ("{n: {_eq: $n}}", json!({"n": 77}), &["n = '77'::bigint"]),
        ("{n: {_in: $ns}}", json!({"ns": [77, "78"]}), &["n = ANY ('{77,78}'::bigint[])"]),
        (
            "{made: {_gte: $t, _lt: \"2024-01-01T01:00:00Z\"}}",
            json!({"t": "2024-01-01"}),
            &["made >= '2024-01-01 00:00:00", "made < '2024-01-01 01:00:00"],
        ),
    ];
    for (condition, variables, asked) in cases {
        let declared = "$p: String, $n: bigint, $ns: [bigint!], $t: timestamptz";
        let used: Vec<&str> = declared
            .split(", ")
            .filter(|declared| {
                let name = declared.split(':').next().expect("a name");
                condition.contains(&format!("{name}}}")) || condition.contains(&format!("{name},"))
            })
            .collect();
        let declared =
            if used.is_empty() { String::new() } else { format!("({})", used.join(", ")) };
        let query = format!("query {declared} {{ posts(where: {condition}) {{ id }} }}");
        let root = server.root(&query, variables).await;
        let conditions = index_conditions(&root);
        for part in ["tenant_id = "].iter().chain(asked) {
            assert!(conditions.contains(part), "{condition}: {part} in {root:#}");
        }
        assert_eq!(root.get("kept_from_index"), None, "{condition}: {root:#}");
    }
    stop.cancel();
}

#[tokio::test]
async fn conditions_that_are_kept_from_an_index_are_named() {
    let (_db, server, stop) = serve().await;
    let kept = |column: &str, operator: &str, function: &str, index: &str| json!([{"table": "public.posts", "column": column, "operator": operator, "function": function, "indexes": [index]}]);
    let cases = [
        ("{price: {_eq: 5}}", kept("price", "=", "numeric_eq", "posts_price")),
        ("{price: {_lt: 5, _gt: \"4.5\"}}", {
            let mut both = kept("price", "<", "numeric_lt", "posts_price");
            let more = kept("price", ">", "numeric_gt", "posts_price");
            both.as_array_mut().expect("a list").extend(more.as_array().expect("a list").clone());
            both
        }),
        ("{_not: {state: {_in: [open]}}}", kept("state", "=", "enum_eq", "posts_state")),
        ("{tags: {_contains: {n: 7}}}", kept("tags", "@>", "jsonb_contains", "posts_tags")),
        ("{tags: {_has_key: \"n\"}}", kept("tags", "?", "jsonb_exists", "posts_tags")),
        // No index has the operator, or the function tells nothing.
        ("{title: {_ilike: \"title 7%\"}}", Value::Null),
        ("{price: {_neq: 5}}", Value::Null),
        ("{price: {_is_null: true}, n: {_gt: 5}}", Value::Null),
    ];
    for (condition, expected) in cases {
        let condition = condition.replace("[open]", "[\"open\"]");
        let query = format!("{{ posts(where: {condition}) {{ id }} }}");
        let root = server.root(&query, json!({})).await;
        assert_eq!(root["kept_from_index"], expected, "{condition}: {root:#}");
    }
    stop.cancel();
}

#[tokio::test]
async fn explain_answers_as_hasura_does() {
    let (_db, server, stop) = serve().await;
    let query = "query Q($n: bigint!) { a: posts(where: {n: {_lt: $n}}) { id } __typename posts_by_pk(id: 7) { title } }";
    let asked = json!({"query": query, "variables": {"n": 3}, "operationName": "Q"});
    let user = json!({"x-hasura-role": "user", "x-hasura-tenant-id": TENANT});

    let (status, answer) = server.explain(&json!({"query": asked, "user": user})).await;
    assert_eq!(status, 200, "{answer}");
    let fields: Vec<&Value> =
        answer.as_array().expect("a list").iter().map(|r| &r["field"]).collect();
    assert_eq!(fields, [&json!("a"), &json!("__typename"), &json!("posts_by_pk")]);
    for (root, reads) in [(0, true), (1, false), (2, true)] {
        let root = &answer[root];
        let sql = root["sql"].as_str();
        assert_eq!(sql.is_some_and(|sql| sql.contains("\"public\".\"posts\"")), reads, "{root:#}");
        assert_eq!(root["plan"].is_array(), reads, "{root:#}");
    }
    assert!(!answer[0]["sql"].to_string().contains("posts_by_pk"), "{answer:#}");
    // The administrator has no policy.
    let as_user =
        server.explain(&json!({"query": {"query": "{ posts { id } }"}, "user": user})).await.1;
    let as_admin = server.explain(&json!({"query": {"query": "{ posts { id } }"}})).await.1;
    assert!(as_user[0]["plan"].to_string().contains("tenant_id"), "{as_user:#}");
    assert!(!as_admin[0]["plan"].to_string().contains("tenant_id"), "{as_admin:#}");

    let subscription = json!({"query": "subscription { posts(where: {price: {_eq: 5}}) { id } }"});
    let (status, answer) = server.explain(&json!({"query": subscription, "user": user})).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["sql"].is_string() && answer["plan"].is_array(), "{answer:#}");
    assert_eq!(answer["variables"]["session"]["x-hasura-tenant-id"], json!(TENANT));
    assert_eq!(answer["variables"]["synthetic"], json!(["5"]));
    assert_eq!(answer["kept_from_index"][0]["function"], json!("numeric_eq"));

    let query = |text: &str| json!({"query": {"query": text}});
    let refused = [
        (json!({}), 400, "parse-failed", "$"),
        (json!({"query": {}}), 400, "parse-failed", "$"),
        (json!({"query": 5}), 400, "parse-failed", "$"),
        (
            json!({"query": {"query": "{ posts { id } }"}, "user": {"x-hasura-role": 5}}),
            400,
            "parse-failed",
            "$.user.x-hasura-role",
        ),
        (
            json!({"query": {"query": "{ posts { id } }"}, "user": {"role": "user"}}),
            400,
            "bad-request",
            "$",
        ),
        (
            json!({"query": {"query": "{ posts { id } }"}, "is_relay": true}),
            400,
            "not-supported",
            "$.is_relay",
        ),
        (query("mutation { __typename }"), 400, "invalid-params", "$"),
        (
            query("{ posts { nothing } }"),
            400,
            "validation-failed",
            "$.selectionSet.posts.selectionSet.nothing",
        ),
        (query("{ posts(where: {n: {_eq: \"x\"}}) { id } }"), 400, "data-exception", "$"),
    ];
    for (body, status, code, path) in refused {
        let (answered, answer) = server.explain(&body).await;
        assert_eq!(
            (answered, &answer["code"], &answer["path"]),
            (status, &json!(code), &json!(path)),
            "{body}: {answer}"
        );
        assert!(answer["error"].is_string(), "{answer}");
    }

    let bearer = Token::new("user").tenant(TENANT).user("1").bearer();
    let body = query("{ posts { id } }");
    let (status, answer) = server.send(&body, ("authorization", &bearer)).await;
    assert_eq!(
        (status, answer),
        (
            400,
            json!({"path": "$", "error": "restricted access : admin only", "code": "access-denied"})
        )
    );
    stop.cancel();
}

const VALUES_ALIKE: &str =
    "query($v: Int!) { goods(where: {kind: {_eq: $v}}, order_by: {made: desc}, limit: 20) { id } }";
const VALUES_UNLIKE: &str = "query($v: Boolean!) { goods(where: {rare: {_eq: $v}}) { id } }";

/// Runs two queries on one connection, 300 times in each round, until Postgres
/// has used a plan for all values of the first. Tells how often it used such a
/// plan, and one for the values at hand, of each. A new catalogue, for which a
/// role that some other test makes is enough, begins to count anew.
async fn plans_used(db: &TestDb, rounds: usize) -> [(i64, i64); 2] {
    let stop = CancellationToken::new();
    let app = App::start(db.config(&[("database.pool_size", "1")])).await.expect("starts");
    let serving = app.serve(stop.clone(), Vec::new()).await.expect("listens");
    let url = format!("http://{}/v1/graphql", serving.address);
    let server = Server { http: harness::http(), url };
    let bearer = Token::new("user").tenant(TENANT).user("1").bearer();
    let ask = async |query: &str, variables: Value| {
        let body = json!({"query": query, "variables": variables});
        let (status, answer) = server.send(&body, ("authorization", &bearer)).await;
        assert_eq!((status, answer.get("errors")), (200, None), "{answer}");
        answer["data"].clone()
    };
    let mut used = [(0, 0); 2];
    for _ in 0..rounds {
        for _ in 0..300 {
            let alike = ask(VALUES_ALIKE, json!({"v": 0})).await;
            assert_eq!(alike["goods"].as_array().map(Vec::len), Some(20));
            let unlike = ask(VALUES_UNLIKE, json!({"v": true})).await;
            assert_eq!(unlike["goods"].as_array().map(Vec::len), Some(200));
        }
        let asked = "{ prepared { statement generic_plans custom_plans } }";
        let prepared = ask(asked, json!({})).await["prepared"].take();
        let prepared = prepared.as_array().expect("a list");
        used = ["\"kind\" OPERATOR", "\"rare\" OPERATOR"].map(|column| {
            let found = prepared
                .iter()
                .find(|row| row["statement"].as_str().is_some_and(|text| text.contains(column)))
                .unwrap_or_else(|| panic!("{column}: {prepared:#?}"));
            let count = |name: &str| found[name].as_i64().expect("a number");
            (count("generic_plans"), count("custom_plans"))
        });
        if used[0].0 > 0 {
            break;
        }
    }
    stop.cancel();
    used
}

#[tokio::test]
async fn a_statement_is_planned_once_where_its_values_make_no_difference() {
    let db = TestDb::new(
        r#"
        create table goods (
          id int primary key, tenant_id uuid not null, kind int not null, rare bool not null,
          made timestamptz not null
        );
        -- Of 250 kinds the first has a little more than its share; few are rare.
        insert into goods
          select i, '00000000-0000-0000-0000-000000000001', greatest((i * 37 % 10000 - 2) / 40, 0),
            i * 37 % 100 = 0, timestamptz '2024-01-01 00:00:00+00' + i * 7919 % 20000 * interval '1 minute'
          from generate_series(1, 20000) i;
        create index goods_made on goods (tenant_id, made desc);
        create index goods_rare on goods (tenant_id, rare);
        alter table goods alter kind set statistics 500;
        analyze goods;
        alter table goods enable row level security;
        create policy tenant on goods to app_user
          using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
        create view prepared with (security_invoker = true) as
          select statement, generic_plans, custom_plans from pg_prepared_statements;
        grant select on goods, prepared to app_user;
        "#,
    )
    .await;
    let [(alike_once, alike_each), (unlike_once, unlike_each)] = plans_used(&db, 20).await;
    assert!(alike_once > 0, "{alike_once} of {}", alike_once + alike_each);
    assert_eq!(unlike_once, 0, "{unlike_once} of {}", unlike_once + unlike_each);

    // Who has said how plans are made is obeyed.
    db.psql(&format!("alter database {} set plan_cache_mode = force_custom_plan", db.name()))
        .expect("set");
    let [(alike_once, alike_each), _] = plans_used(&db, 2).await;
    assert_eq!(alike_once, 0, "{alike_once} of {}", alike_once + alike_each);
}
