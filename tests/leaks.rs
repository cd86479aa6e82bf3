//! What one tenant may learn of another through any argument: nothing.
//!
//! Tenant B has a marker in every text and the digits 7777 in every id. The
//! requests are made from each role's own introspection: every root, column,
//! operator and argument, with B's values and with hostile texts, as literals
//! and as variables, through relationships three levels deep. Writes are made
//! in the same way; B's rows are the same after them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use harness::TestDb;
use ringfence::app::App;
use ringfence::engine::{Engine, GraphqlRequest};
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const A: &str = "11111111-1111-1111-1111-111111111111";
const B: &str = "77777777-7777-4777-8777-777777777777";
const MARKER: &str = "Zz7777marker";
/// What no answer for anybody but B may hold; the fixture's second tenant is
/// as foreign to A as B is.
const FOREIGN: [&str; 5] = [MARKER, "7777", "Globex", "Mallory", "nobody sees this"];

const ROWS_OF_B: &str = "
insert into tenants values ('77777777-7777-4777-8777-777777777777', 'Zz7777marker');
insert into users values
  (77770001, '77777777-7777-4777-8777-777777777777', 'Zz7777marker', null),
  (77770002, '77777777-7777-4777-8777-777777777777', 'Zz7777marker', 1),
  (88880001, '77777777-7777-4777-8777-777777777777', 'Zz7777marker', null);
insert into profiles values (77770001, '77777777-7777-4777-8777-777777777777', 'Zz7777marker');
insert into tasks values
  (77770001, '77777777-7777-4777-8777-777777777777', 77770001, 1, 'Zz7777marker', 'todo', 7777, 7777, '7777-07-07', '7777-07-07 00:00:00+00'),
  (77770002, '77777777-7777-4777-8777-777777777777', 1, 77770002, 'Zz7777marker 2', 'done', 7777, 7777, '7777-07-07', '7777-07-07 00:00:00+00');
insert into comments values
  (77770001, 7777, '77777777-7777-4777-8777-777777777777', 77770001, 'Zz7777marker'),
  (1, 7777, '77777777-7777-4777-8777-777777777777', 77770001, 'Zz7777marker');
insert into kinds (id, tenant_id, small, big, exact, flag, label, raw, doc, docb, words, net, key)
  values (77770001, '77777777-7777-4777-8777-777777777777', 7777, 77777777, 7777, true, 'Zz7777marker', '\\x77777777', '\"Zz7777marker\"', '\"Zz7777marker\"', '{Zz7777marker}', '77.77.77.77', '77777777-7777-4777-8777-777777777777');
insert into \"odd \"\"table\" values (77770001, '77777777-7777-4777-8777-777777777777');
insert into \"Select\" values (77770001, '77777777-7777-4777-8777-777777777777', 'Zz7777marker', 'Zz7777marker', 'Zz7777marker', 'Zz7777marker');
-- Rows of A that point at a row of B, by an id that A may therefore know.
update tasks set reviewer_id = 88880001 where id = 2;
update users set manager_id = 88880001 where id = 3;
";

/// What reads tasks past the policies although its reader invokes it.
const DOORS: &str = "
create materialized view stored as select * from tasks;
create view over_stored with (security_invoker = true) as select * from stored;
create function definer() returns setof tasks language sql stable security definer
  as 'select * from tasks';
create view over_definer with (security_invoker = true) as select * from definer();
grant select on stored, over_stored, over_definer to app_user;
";

fn hostile() -> Vec<String> {
    let mut all: Vec<String> = [
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "$1",
        "$$",
        "--",
        "/* x",
        "'; reset role; --",
        "\\'; set app.tenant_id = '77777777-7777-4777-8777-777777777777'; --",
        "' or '1'='1",
        "') or true --",
        "); drop table tasks; --",
        "x' union select secret from hidden --",
        "current_setting('app.tenant_id')",
        "\0",
        "a\0b",
        "\u{202e}\u{2028}\u{feff}",
        "\u{1f600}\u{10ffff}",
        "\r\n\t",
        "",
        "%",
        "_",
        "(((",
        "[",
        "{",
        "{1,NULL}",
        "{\"a\": 1}",
        "NULL",
        "null",
        "0x41",
        "1e400",
        "NaN",
        "infinity",
        "99999999999999999999999999",
        "0001-01-01 BC",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("'".repeat(50_000));
    all
}

struct Bench {
    db: TestDb,
    app: App,
}

impl Bench {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With more of a schema.
    async fn with(more: &str) -> Self {
        let db = TestDb::new(include_str!("golden/fixture.sql")).await;
        db.psql(ROWS_OF_B).expect("B moves in");
        db.psql(DOORS).expect("doors are opened");
        db.psql(more).expect("more is made");
        let config = db.config(&[
            // Callers follow each other on each connection.
            ("database.pool_size", "2"),
            ("database.pool_wait", "60s"),
            ("roles.automap", "false"),
            ("limits.depth", "20"),
        ]);
        let app = App::start(config).await.expect("starts");
        Bench { db, app }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.app.engine
    }
}

fn session(role: &str, tenant: Option<&str>) -> Session {
    Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: tenant.map(Arc::from),
        user: Some(Arc::from("1")),
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

/// Everybody but B.
fn outsiders() -> Vec<Session> {
    let mut all = vec![session("user", Some(A)), session("editor", Some(A))];
    let hostile_claim = format!("{A}'; set app.tenant_id = '{B}'; --");
    let array = format!("{{{A},{B}}}");
    for claim in
        ["", "garbage", &array, &hostile_claim, "'; reset role; --", "77777777-7777-4777-8777"]
    {
        all.push(session("user", Some(claim)));
    }
    all.push(session("user", None));
    for role in ["anonymous", "unmapped", "test_owner", "ringfence_admin", "app_user' --"] {
        // Even with B's tenant: these roles have no grants.
        all.push(session(role, Some(B)));
    }
    all
}

#[derive(Debug, Clone)]
struct Case {
    query: String,
    variables: Value,
}

impl Case {
    fn request(&self) -> GraphqlRequest {
        let text = self.variables.to_string();
        GraphqlRequest {
            query: self.query.clone(),
            operation_name: None,
            variables: Some(RawValue::from_string(text).expect("JSON")),
            ..GraphqlRequest::default()
        }
    }

    fn sent(&self, what: &str) -> bool {
        self.query.contains(what) || self.variables.to_string().contains(what)
    }
}

/// What a role is shown.
struct Shown {
    types: BTreeMap<String, Value>,
}

fn named(ty: &Value) -> &str {
    match ty["name"].as_str() {
        Some(name) => name,
        None => named(&ty["ofType"]),
    }
}

fn kind(ty: &Value) -> &str {
    match ty["kind"].as_str() {
        Some("NON_NULL") => kind(&ty["ofType"]),
        Some(kind) => kind,
        None => "",
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

impl Shown {
    async fn to(engine: &Engine, session: &Session) -> Option<Self> {
        let ty = "{ kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
        let query = format!(
            "{{ __schema {{ types {{ kind name fields {{ name args {{ name type {ty} }} type {ty} }} \
             inputFields {{ name type {ty} }} enumValues {{ name }} }} }} }}"
        );
        let case = Case { query, variables: json!({}) };
        let data = engine.execute(session, case.request()).await.data?;
        let value: Value = serde_json::from_slice(&data).expect("JSON");
        let types = list(&value["__schema"], "types")
            .iter()
            .map(|ty| (ty["name"].as_str().unwrap().to_owned(), ty.clone()))
            .collect();
        Some(Shown { types })
    }

    fn ty(&self, name: &str) -> &Value {
        &self.types[name]
    }

    fn is_object(&self, field: &Value) -> bool {
        self.ty(named(&field["type"]))["kind"] == "OBJECT"
    }

    /// Every column, and those of the tables next to it.
    fn selection(&self, object: &str, depth: usize) -> String {
        let mut out = String::from("{ __typename ");
        for field in list(self.ty(object), "fields") {
            let name = field["name"].as_str().unwrap();
            if list(field, "args").iter().any(|arg| arg["type"]["kind"] == "NON_NULL") {
                continue;
            }
            if !self.is_object(field) {
                out.push_str(&format!("{name} "));
            } else if depth > 0 {
                let inner = self.selection(named(&field["type"]), depth - 1);
                out.push_str(&format!("{name} {inner} "));
            }
        }
        out.push('}');
        out
    }

    /// Ways through relationships: names, and the object at the end.
    fn ways(&self, object: &str, depth: usize) -> Vec<(Vec<String>, String)> {
        let mut out = Vec::new();
        for field in list(self.ty(object), "fields").iter().filter(|field| self.is_object(field)) {
            let name = field["name"].as_str().unwrap().to_owned();
            let target = named(&field["type"]);
            out.push((vec![name.clone()], target.to_owned()));
            if depth > 1 {
                for (mut way, end) in self.ways(target, depth - 1) {
                    way.insert(0, name.clone());
                    out.push((way, end));
                }
            }
        }
        out
    }

    /// One document per place and value.
    fn cases(&self, full: bool) -> Vec<Case> {
        let hostile = hostile();
        let mut turn = 0;
        let mut out = Vec::new();
        let mut others = Vec::new();
        for root in list(self.ty("query_root"), "fields") {
            let name = root["name"].as_str().unwrap();
            if !self.is_object(root) {
                out.push(Case { query: format!("{{ {name} }}"), variables: json!({}) });
                continue;
            }
            let object = named(&root["type"]);
            let selection = self.selection(object, 1);
            let mut add =
                |argument: &str, value: &Value, ty: &str, around: &dyn Fn(&str) -> String| {
                    // Both ways of sending it: the plan and the leaf.
                    out.push(Case {
                        query: format!(
                            "{{ {name}({argument}: {}) {selection} }}",
                            around(&literal(value))
                        ),
                        variables: json!({}),
                    });
                    out.push(Case {
                        query: format!(
                            "query V($v: {ty}!) {{ {name}({argument}: {}) {selection} }}",
                            around("$v")
                        ),
                        variables: json!({ "v": value }),
                    });
                };
            let mut some_hostile = |n: usize| -> Vec<Value> {
                (0..if full { n } else { 1 })
                    .map(|_| {
                        turn += 1;
                        Value::from(hostile[turn % hostile.len()].as_str())
                    })
                    .collect()
            };
            if name.ends_with("_by_pk") {
                let args = list(root, "args");
                for arg in args {
                    let place = arg["name"].as_str().unwrap();
                    let ty = named(&arg["type"]);
                    let rest: String = args
                        .iter()
                        .filter(|other| other["name"] != arg["name"])
                        .map(|other| {
                            let value = literal(&of_b(named(&other["type"])));
                            format!(", {}: {value}", other["name"].as_str().unwrap())
                        })
                        .collect();
                    for value in some_hostile(hostile.len()).iter().chain([&of_b(ty)]) {
                        add(place, value, ty, &|text| format!("{text}{rest}"));
                    }
                }
                continue;
            }
            for arg in list(root, "args") {
                let place = arg["name"].as_str().unwrap();
                let ty = named(&arg["type"]);
                match place {
                    "limit" | "offset" => {
                        let numbers = [json!(0), json!(1), json!(-1), json!(i64::MAX), json!(1.5)];
                        for value in some_hostile(4).iter().chain(&numbers) {
                            add(place, value, "Int", &|text| text.to_owned());
                        }
                    }
                    "distinct_on" => {
                        for column in list(self.ty(ty), "enumValues") {
                            let word = column["name"].as_str().unwrap();
                            let query = format!(
                                "{{ {name}(distinct_on: [{word}], order_by: {{{word}: asc}}) {selection} }}"
                            );
                            others.push(Case { query, variables: json!({}) });
                        }
                        continue;
                    }
                    "order_by" => {
                        for column in list(self.ty(ty), "inputFields") {
                            let by = column["name"].as_str().unwrap();
                            let leaf = named(&column["type"]);
                            if leaf == "order_by" {
                                for word in list(self.ty(leaf), "enumValues") {
                                    let word = word["name"].as_str().unwrap();
                                    add(
                                        place,
                                        &json!([{ by: word }]),
                                        &format!("[{ty}!]"),
                                        &|text| {
                                            // A literal of an enum has no quotes.
                                            text.replace(&format!("\"{word}\""), word)
                                        },
                                    );
                                }
                                for value in some_hostile(2) {
                                    add(place, &value, "order_by", &|text| {
                                        format!("{{{by}: {text}}}")
                                    });
                                }
                            }
                        }
                    }
                    _ => {
                        for column in list(self.ty(ty), "inputFields") {
                            let by = column["name"].as_str().unwrap();
                            let comparison = named(&column["type"]);
                            if !comparison.ends_with("_comparison_exp") {
                                continue;
                            }
                            for operator in list(self.ty(comparison), "inputFields") {
                                let op = operator["name"].as_str().unwrap();
                                let scalar = named(&operator["type"]);
                                let many = kind(&operator["type"]) == "LIST";
                                let declared =
                                    if many { format!("[{scalar}!]") } else { scalar.to_owned() };
                                for value in some_hostile(2).iter().chain([&of_b(scalar)]) {
                                    let value =
                                        if many { json!([value, value]) } else { value.clone() };
                                    add(place, &value, &declared, &|text| {
                                        format!("{{{by}: {{{op}: {text}}}}}")
                                    });
                                    add(place, &value, &declared, &|text| {
                                        format!("{{_not: {{_or: [{{{by}: {{{op}: {text}}}}}]}}}}")
                                    });
                                }
                            }
                        }
                        for (way, end) in self.ways(object, 3) {
                            let around = |text: &str| {
                                let open: String =
                                    way.iter().map(|name| format!("{{{name}: ")).collect();
                                format!("{open}{text}{}", "}".repeat(way.len()))
                            };
                            for column in list(self.ty(&end), "fields") {
                                let scalar = named(&column["type"]);
                                let by = column["name"].as_str().unwrap();
                                if scalar == "String" || (scalar == "uuid" && way.len() < 3) {
                                    let condition =
                                        |text: &str| around(&format!("{{{by}: {{_eq: {text}}}}}"));
                                    add(place, &of_b(scalar), scalar, &condition);
                                    for value in some_hostile(1) {
                                        add(place, &value, scalar, &condition);
                                    }
                                }
                            }
                        }
                    }
                }
                // A value of another kind in the place of the whole argument.
                for value in [json!(MARKER), json!(77_770_001), json!([]), json!({ "x": MARKER })] {
                    add(place, &value, ty, &|text| text.to_owned());
                }
            }
            // Everything that can be reached from here, without any argument.
            let query = format!("{{ {name} {} }}", self.selection(object, 3));
            out.push(Case { query, variables: json!({}) });
        }
        out.append(&mut others);
        out
    }
}

/// A value that a row of B has.
fn of_b(scalar: &str) -> Value {
    match scalar {
        "Int" | "bigint" => json!(77_770_001),
        "smallint" | "numeric" | "float8" | "Float" => json!(7777),
        "uuid" => json!(B),
        "Boolean" => json!(true),
        "task_status" => json!("todo"),
        "date" => json!("7777-07-07"),
        "timestamptz" => json!("7777-07-07T00:00:00+00:00"),
        _ => json!(MARKER),
    }
}

/// JSON as a GraphQL literal: keys have no quotes.
fn literal(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let all: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}: {}", literal(value))).collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Words of statements and policies, and names that `user` never sees.
const INTERNAL: [&str; 14] = [
    "SELECT",
    "select ",
    "FROM",
    "OPERATOR",
    "pg_catalog",
    "set_config",
    "current_setting",
    "policy",
    "row_to_json",
    "json_agg",
    "COALESCE",
    "secret",
    "__hidden",
    "SQLSTATE",
];

/// Columns that the narrow roles do not see.
const HIDDEN_FROM_SOME: [&str; 8] = [
    "reviewer_id",
    "estimate",
    "due_on",
    "created_at",
    "tenant_id",
    "manager_id",
    "author_id",
    "words_of",
];

/// Cases by the fault that they made.
type Faults = Mutex<BTreeMap<String, String>>;

async fn check(engine: &Engine, who: &Session, case: &Case, faults: &Faults) -> bool {
    let response = engine.execute(who, case.request()).await;
    let about = || {
        let mut text = format!(
            "role {}, tenant {:?}: {} {}",
            who.role, who.tenant, case.query, case.variables
        );
        text.truncate((0..=400).rev().find(|n| text.is_char_boundary(*n)).unwrap());
        text
    };
    if let Some(data) = &response.data {
        let text = std::str::from_utf8(data).expect("UTF-8");
        for foreign in FOREIGN {
            assert!(!text.contains(foreign), "{foreign} leaks: {}\n{text}", about());
        }
        return true;
    }
    for error in &response.errors {
        let told = serde_json::to_string(error).expect("JSON");
        let narrow: &[&str] = if &*who.role == "user" { &[] } else { &HIDDEN_FROM_SOME };
        for word in FOREIGN.iter().chain(&INTERNAL).chain(narrow) {
            if !told.contains(word) {
                continue;
            }
            // What the caller sent is no news to the caller.
            let own = case.sent(word) || who.tenant.as_deref().is_some_and(|t| t.contains(word));
            assert!(own, "{word} is told: {}\n{told}", about());
        }
        // A fault of ours says `unexpected`; callers can only make mistakes.
        if error.code.as_str() == "unexpected" {
            faults.lock().unwrap().insert(format!("{:?}", error.detail), about());
        }
    }
    false
}

const NORMAL: &str = "{ tenants { id name } users(order_by: {id: asc}) { id name manager { name } \
    tasks_by_owner_id(order_by: {id: asc}) { id title reviewer { name } comments(order_by: {n: asc}) { n body } } } \
    kinds(order_by: {id: asc}) { id label docb } Select(order_by: {order: asc}) { order user } }";

async fn normal(engine: &Engine, tenant: &str) -> String {
    let case = Case { query: NORMAL.to_owned(), variables: json!({}) };
    let response = engine.execute(&session("user", Some(tenant)), case.request()).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    String::from_utf8(response.data.unwrap().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_argument_leads_to_another_tenant() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let (a, b) = (normal(engine, A).await, normal(engine, B).await);
    assert!(b.contains(MARKER) && a.contains("Write the engine"), "{a}\n{b}");
    let mut answered = 0;
    let faults = Faults::default();
    for (turn, who) in outsiders().into_iter().enumerate() {
        let Some(shown) = Shown::to(engine, &who).await else { continue };
        let full = &*who.role != "user" || who.tenant.as_deref() == Some(A);
        let mut cases = shown.cases(full);
        if !full {
            // They share the work: each place meets some of them.
            cases = cases.into_iter().skip(turn % 3).step_by(3).collect();
        }
        assert!(!cases.is_empty());
        let results: Vec<bool> = stream::iter(&cases)
            .map(|case| check(engine, &who, case, &faults))
            .buffer_unordered(4)
            .collect()
            .await;
        if who.tenant.as_deref() == Some(A) && &*who.role == "user" {
            answered = results.iter().filter(|answered| **answered).count();
            // Generated for nothing if most of them were not even valid.
            assert!(cases.len() > 4_000, "{} cases", cases.len());
        }
        assert_eq!(normal(engine, B).await, b, "after role {}, tenant {:?}", who.role, who.tenant);
        assert_eq!(normal(engine, A).await, a, "after role {}, tenant {:?}", who.role, who.tenant);
    }
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} kinds of faults: {faults:#?}", faults.len());
    assert!(answered > 1_500, "only {answered} were answered");
    let open = "select count(*) from pg_stat_activity where datname = current_database() \
                and usename = 'test_authenticator' and (state <> 'idle' or xact_start is not null)";
    for _ in 0..200 {
        if bench.db.psql(open).expect("answers") == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a transaction stays open");
}

#[tokio::test]
async fn rows_of_another_tenant_change_no_answer() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let a = session("user", Some(A));
    let shown = Shown::to(engine, &a).await.expect("is shown");
    // Every fifth, so that all roots and operators have their turn; sorted, as
    // the order of rows without `order_by` is nobody's promise.
    let cut = |case: &Case| case.query.contains("(limit") || case.query.contains("(offset");
    let cases: Vec<Case> =
        shown.cases(false).into_iter().filter(|case| !cut(case)).step_by(5).collect();
    let snapshot = async || {
        let mut all = Vec::new();
        for case in &cases {
            let response = engine.execute(&a, case.request()).await;
            let mut bytes = match response.data {
                Some(data) => data.to_vec(),
                None => serde_json::to_vec(&response.errors).unwrap(),
            };
            bytes.sort_unstable();
            all.push(bytes);
        }
        all
    };
    let before = snapshot().await;
    bench
        .db
        .psql(
            "insert into users select i, '77777777-7777-4777-8777-777777777777', 'Zz7777marker', 1 + i % 3 from generate_series(77771000, 77771200) i;
             insert into tasks select i, '77777777-7777-4777-8777-777777777777', 1 + i % 3, 1 + i % 3, 'Zz7777marker', 'todo' from generate_series(77771000, 77771200) i;
             insert into comments select 1 + i % 3, i, '77777777-7777-4777-8777-777777777777', 77771000, 'Zz7777marker' from generate_series(77771000, 77771200) i;
             analyze;",
        )
        .expect("B grows");
    let grown = snapshot().await;
    bench
        .db
        .psql(
            "delete from comments where tenant_id = '77777777-7777-4777-8777-777777777777';
             delete from tasks where tenant_id = '77777777-7777-4777-8777-777777777777';",
        )
        .expect("B leaves");
    let shrunk = snapshot().await;
    for (index, case) in cases.iter().enumerate() {
        assert!(before[index] == grown[index], "changed by new rows: {}", case.query);
        assert!(before[index] == shrunk[index], "changed by removed rows: {}", case.query);
    }
}

/// What only B's rows hold and no request sends.
const UNSENT: &str = "Unsent9999";

/// Whoever reads may write, within the policies.
const WRITERS: &str = "
grant insert, update, delete on tenants, users, profiles, tasks, comments, kinds, \"odd \"\"table\", \"Select\" to app_user;
update tenants set name = 'Unsent9999' where name = 'Zz7777marker';
update users set name = 'Unsent9999' where name = 'Zz7777marker';
update profiles set bio = 'Unsent9999' where bio = 'Zz7777marker';
update tasks set title = 'Unsent9999' where title like 'Zz7777marker%';
update comments set body = 'Unsent9999' where body = 'Zz7777marker';
update kinds set label = 'Unsent9999', words = '{Unsent9999}' where label = 'Zz7777marker';
update \"Select\" set \"user\" = 'Unsent9999' where \"user\" = 'Zz7777marker';
";

/// The rows of everybody but A.
const OF_OTHERS: &str = "
select md5(string_agg(row, '\n' order by row)) from (
  select t::text as row from tenants t where id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from users t where tenant_id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from profiles t where tenant_id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from tasks t where tenant_id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from comments t where tenant_id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from kinds t where tenant_id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from \"odd \"\"table\" t where tenant_id <> '11111111-1111-1111-1111-111111111111'
  union all select t::text from \"Select\" t where tenant_id <> '11111111-1111-1111-1111-111111111111'
) all_rows";

impl Shown {
    /// A row as A may write it, with the fields in `given`; an empty one is left
    /// out.
    fn row(&self, input: &str, fresh: u32, given: &[(&str, String)]) -> String {
        let mut out = String::from("{");
        for field in list(self.ty(input), "inputFields") {
            let name = field["name"].as_str().unwrap();
            let value =
                match (given.iter().find(|(given, _)| *given == name), named(&field["type"])) {
                    (Some((_, value)), _) if value.is_empty() => continue,
                    (Some((_, value)), _) => value.clone(),
                    (None, "Int") if name.ends_with("_id") => "1".to_owned(),
                    (None, "Int") => fresh.to_string(),
                    (None, "uuid") => format!("\"{A}\""),
                    (None, "String") => "\"own\"".to_owned(),
                    _ => continue,
                };
            out.push_str(&format!("{name}: {value}, "));
        }
        for (name, value) in given.iter().filter(|(name, _)| name.starts_with('+')) {
            out.push_str(&format!("{}: {value}, ", &name[1..]));
        }
        out.push('}');
        out
    }

    fn words(&self, ty: &str) -> Vec<&str> {
        list(self.ty(ty), "enumValues").iter().map(|word| word["name"].as_str().unwrap()).collect()
    }

    /// `on_conflict` for every constraint, with all columns and with none.
    fn upserts(&self, on_conflict: &str) -> Vec<String> {
        let field = |name: &str| {
            let fields = list(self.ty(on_conflict), "inputFields");
            let found = fields.iter().find(|field| field["name"] == name).expect("is there");
            named(&found["type"]).to_owned()
        };
        let columns = self.words(&field("update_columns")).join(", ");
        self.words(&field("constraint"))
            .iter()
            .flat_map(|constraint| {
                ["", &columns].map(|columns| {
                    format!("{{constraint: {constraint}, update_columns: [{columns}]}}")
                })
            })
            .collect()
    }

    /// Changes of rows that belong to an updated one, with B's values: where in
    /// [`Self::writes`] each stands, and the argument.
    fn nested(&self, ty: &str) -> Vec<(usize, String)> {
        let fields = |ty: &str| -> Vec<(String, String)> {
            let fields = list(self.ty(ty), "inputFields").iter();
            let named = |field: &Value| {
                (field["name"].as_str().unwrap().to_owned(), named(&field["type"]).to_owned())
            };
            fields.map(named).collect()
        };
        let field = |ty: &str, wanted: &str| {
            fields(ty).into_iter().find(|(name, _)| name == wanted).map(|(_, ty)| ty)
        };
        let mut out = Vec::new();
        for (relationship, ty) in fields(ty) {
            let mut add = |place, change: String| {
                out.push((place, format!("{{{relationship}: {{{change}}}}}")));
            };
            if let Some(insert) = field(&ty, "insert") {
                let data = field(&insert, "data").expect("an insert has data");
                let upserts = field(&insert, "on_conflict").map(|ty| self.upserts(&ty));
                let columns: Vec<(String, String)> = fields(&data)
                    .into_iter()
                    .filter(|(_, ty)| self.ty(ty)["kind"] != "INPUT_OBJECT")
                    .collect();
                // One of these holds the key of the updated row.
                for (own, _) in columns.iter().filter(|(column, _)| column.ends_with("_id")) {
                    for others in [&[][..], &["tenant_id"]] {
                        let mut left_out = vec![(own.as_str(), String::new())];
                        left_out.extend(others.iter().map(|other| (*other, String::new())));
                        let row = self.row(&data, 77_770_001, &left_out);
                        add(0, format!("insert: {{data: [{row}]}}"));
                        for way in upserts.iter().flatten() {
                            add(0, format!("insert: {{data: [{row}], on_conflict: {way}}}"));
                        }
                        for (column, ty) in &columns {
                            if left_out.iter().all(|(other, _)| other != column) {
                                let mut given = left_out.clone();
                                given.push((column.as_str(), literal(&of_b(ty))));
                                let row = self.row(&data, 1, &given);
                                add(0, format!("insert: {{data: [{row}]}}"));
                            }
                        }
                    }
                }
            }
            let set = field(&ty, "update").and_then(|updates| field(&updates, "_set"));
            for (column, ty) in set.iter().flat_map(|set| fields(set)) {
                let value = literal(&of_b(&ty));
                add(1, format!("update: [{{where: {{}}, _set: {{{column}: {value}}}}}]"));
            }
            let filter = field(&ty, "delete").and_then(|delete| field(&delete, "where"));
            for (column, ty) in filter.iter().flat_map(|filter| fields(filter)) {
                if let Some(scalar) = ty.strip_suffix("_comparison_exp") {
                    let value = literal(&of_b(scalar));
                    add(2, format!("delete: {{where: {{{column}: {{_eq: {value}}}}}}}"));
                }
            }
            if filter.is_some() {
                add(2, "delete: {where: {}}".to_owned());
            }
        }
        out
    }

    /// Inserts first, then updates, then deletes, each with B's values.
    fn writes(&self) -> Vec<String> {
        let mut out: [Vec<String>; 3] = Default::default();
        let mut fresh = 1_000;
        for root in list(self.ty("mutation_root"), "fields") {
            let name = root["name"].as_str().unwrap();
            let args = list(root, "args");
            let arg = |wanted: &str| {
                args.iter().find(|arg| arg["name"] == wanted).map(|arg| named(&arg["type"]))
            };
            // What is next to the written rows, which grows with each insert.
            let depth = if name.ends_with("_by_pk") || name.ends_with("_one") { 1 } else { 2 };
            let answer = self.selection(named(&root["type"]), depth);
            let fields = |input: &str| -> Vec<(String, String)> {
                list(self.ty(input), "inputFields")
                    .iter()
                    .filter(|field| kind(&field["type"]) != "LIST")
                    .map(|field| {
                        let ty = named(&field["type"]).to_owned();
                        (field["name"].as_str().unwrap().to_owned(), ty)
                    })
                    .collect()
            };
            let key = || -> String {
                let columns = match arg("pk_columns") {
                    Some(input) => fields(input),
                    None => args
                        .iter()
                        .map(|arg| {
                            (
                                arg["name"].as_str().unwrap().to_owned(),
                                named(&arg["type"]).to_owned(),
                            )
                        })
                        .collect(),
                };
                let cells: Vec<String> = columns
                    .iter()
                    .map(|(column, ty)| format!("{column}: {}", literal(&of_b(ty))))
                    .collect();
                cells.join(", ")
            };
            if let Some(input) = arg("objects").or(arg("object")) {
                let place = if arg("objects").is_some() { "objects" } else { "object" };
                let mut rows = vec![(String::new(), self.row(input, fresh, &[]))];
                for (column, ty) in fields(input) {
                    fresh += 1;
                    if self.ty(&ty)["kind"] == "INPUT_OBJECT" {
                        let entries = list(self.ty(&ty), "inputFields");
                        let data = entries.iter().find(|field| field["name"] == "data");
                        let target = named(&data.expect("a nested insert has data")["type"]);
                        let inner = self.row(target, 77_770_001, &[]);
                        let mut ways = vec![String::new()];
                        if let Some((_, ty)) =
                            fields(&ty).into_iter().find(|(name, _)| name == "on_conflict")
                        {
                            ways.extend(
                                self.upserts(&ty).iter().map(|way| format!(", on_conflict: {way}")),
                            );
                        }
                        for way in ways {
                            let plus = format!("+{column}");
                            let given = [(plus.as_str(), format!("{{data: {inner}{way}}}"))];
                            rows.push((String::new(), self.row(input, fresh, &given)));
                        }
                        continue;
                    }
                    let given = [(column.as_str(), literal(&of_b(&ty)))];
                    let row = self.row(input, fresh, &given);
                    if let Some(on_conflict) = arg("on_conflict") {
                        for way in self.upserts(on_conflict) {
                            rows.push((format!(", on_conflict: {way}"), row.clone()));
                        }
                    }
                    rows.push((String::new(), row));
                }
                for (way, row) in rows {
                    out[0].push(format!("mutation {{ {name}({place}: {row}{way}) {answer} }}"));
                }
                continue;
            }
            let conditions: Vec<String> = match arg("where") {
                None => vec![key()],
                Some(input) => fields(input)
                    .iter()
                    .filter(|(_, ty)| ty.ends_with("_comparison_exp"))
                    .map(|(column, ty)| {
                        let scalar = ty.trim_end_matches("_comparison_exp");
                        format!("where: {{{column}: {{_eq: {}}}}}", literal(&of_b(scalar)))
                    })
                    .chain(["where: {}".to_owned()])
                    .collect(),
            };
            if name.starts_with("delete_") {
                for condition in conditions {
                    out[2].push(format!("mutation {{ {name}({condition}) {answer} }}"));
                }
                continue;
            }
            for operator in ["_set", "_inc", "_append", "_prepend", "_delete_key", "_delete_elem"] {
                let Some(input) = arg(operator) else { continue };
                for (column, ty) in fields(input) {
                    let value = literal(&of_b(&ty));
                    for condition in &conditions {
                        let condition = match arg("pk_columns") {
                            Some(_) => format!("pk_columns: {{{condition}}}"),
                            None => condition.clone(),
                        };
                        out[1].push(format!(
                            "mutation {{ {name}({condition}, {operator}: {{{column}: {value}}}) {answer} }}"
                        ));
                    }
                }
            }
            if let Some(nested) = arg("_nested") {
                let columns = fields(arg("pk_columns").expect("has a key"));
                let own: Vec<String> = columns
                    .iter()
                    .map(|(column, ty)| match ty.as_str() {
                        "Int" => format!("{column}: 1"),
                        _ => format!("{column}: \"{A}\""),
                    })
                    .collect();
                for (place, change) in self.nested(nested) {
                    for key in [own.join(", "), key()] {
                        out[place].push(format!(
                            "mutation {{ {name}(pk_columns: {{{key}}}, _nested: {change}) {answer} }}"
                        ));
                    }
                }
            }
            if let Some(updates) = arg("updates") {
                let set = fields(updates).into_iter().find(|(name, _)| name == "_set");
                for (column, ty) in set.iter().flat_map(|(_, set)| fields(set)) {
                    let value = literal(&of_b(&ty));
                    out[1].push(format!(
                        "mutation {{ {name}(updates: [{{where: {{}}, _set: {{{column}: {value}}}}}]) {answer} }}"
                    ));
                }
            }
        }
        out.concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_leave_the_rows_of_another_tenant_alone() {
    let bench = Bench::with(WRITERS).await;
    let engine = bench.engine();
    let before = bench.db.psql(OF_OTHERS).expect("answers");
    for (tenant, written) in [(None, 0), (Some("garbage"), 0), (Some(A), 60)] {
        let who = session("user", tenant);
        let shown = Shown::to(engine, &who).await.expect("is shown");
        let writes = shown.writes();
        assert!(writes.len() > 500, "{} writes", writes.len());
        let (mut answered, mut nested) = (0, 0);
        for query in writes {
            let case = Case { query, variables: json!({}) };
            let response = engine.execute(&who, case.request()).await;
            let told = match &response.data {
                Some(data) => String::from_utf8(data.to_vec()).expect("UTF-8"),
                None => serde_json::to_string(&response.errors).expect("JSON"),
            };
            assert!(!told.contains(UNSENT), "{tenant:?}: {}\n{told}", case.query);
            answered += usize::from(response.data.is_some());
            let changed = case.query.contains("_nested") && !told.contains("_by_pk\":null");
            nested += usize::from(changed && response.data.is_some());
            for error in &response.errors {
                let own = error.code.as_str() != "unexpected";
                assert!(own, "{tenant:?}: {} {:?}", case.query, error.detail);
            }
        }
        // Generated for nothing if nothing were written.
        assert!(answered > written, "only {answered} were answered for {tenant:?}");
        assert_eq!(nested > 20, tenant == Some(A), "{nested} nested changes for {tenant:?}");
        assert_eq!(bench.db.psql(OF_OTHERS).expect("answers"), before, "after {tenant:?}");
    }
}

#[tokio::test]
async fn answers_are_the_rows_that_the_role_sees() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    for tenant in [A, B, ""] {
        let who = session("user", Some(tenant));
        let shown = Shown::to(engine, &who).await.expect("is shown");
        for root in list(shown.ty("query_root"), "fields") {
            let name = root["name"].as_str().unwrap();
            assert!(!["stored", "over_stored", "over_definer"].contains(&name), "{name} is shown");
            if name.ends_with("_by_pk") {
                continue;
            }
            if let Some(table) = name.strip_suffix("_aggregate") {
                let query = format!("{{ {name} {{ aggregate {{ count }} }} }}");
                let case = Case { query, variables: json!({}) };
                let data = engine.execute(&who, case.request()).await.data.expect("answers");
                let value: Value = serde_json::from_slice(&data).unwrap();
                let counted = value[name]["aggregate"]["count"].to_string();
                let sql = format!("select count(*) from \"{table}\"");
                let settings = [("app.tenant_id", tenant)];
                let seen = bench.db.psql_as("app_user", &settings, &sql).unwrap();
                assert_eq!(counted, seen.trim(), "{name}");
                continue;
            }
            let columns: Vec<&str> = list(shown.ty(name), "fields")
                .iter()
                .filter(|field| !shown.is_object(field))
                .map(|field| field["name"].as_str().unwrap())
                .collect();
            let case = Case {
                query: format!("{{ {name} {{ {} }} }}", columns.join(" ")),
                variables: json!({}),
            };
            let data = engine.execute(&who, case.request()).await.data.expect("answers");
            let value: Value = serde_json::from_slice(&data).unwrap();
            let mut rows: Vec<String> = list(&value, name).iter().map(Value::to_string).collect();
            let quoted: Vec<String> =
                columns.iter().map(|column| format!("\"{column}\"")).collect();
            let sql = format!(
                "select row_to_json(x) from (select {} from \"{name}\") x",
                quoted.join(", ")
            );
            let text =
                bench.db.psql_as("app_user", &[("app.tenant_id", tenant)], &sql).expect("answers");
            let mut seen: Vec<String> = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string())
                .collect();
            rows.sort();
            seen.sort();
            assert_eq!(rows, seen, "{name} of {tenant:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_take_turns_on_two_connections() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let query = "query Q($n: Int!) { users(where: {id: {_gt: $n}}) { id tenant_id tenant { id } } tasks { tenant_id owner { tenant_id } } }";
    let callers = [Some(A), Some(B), None, Some("")];
    let requests = (0..600_usize).map(|n| {
        let tenant = callers[(n * 7 + n / 5) % callers.len()];
        async move {
            // Some plans are shared by all, some are new.
            let query = if n % 3 == 0 { format!("{query} # {n}") } else { query.to_owned() };
            let case = Case { query, variables: json!({ "n": n % 2 }) };
            let response = engine.execute(&session("user", tenant), case.request()).await;
            assert!(response.errors.is_empty(), "{:?}", response.errors);
            let value: Value = serde_json::from_slice(&response.data.unwrap()).unwrap();
            let rows = || list(&value, "users").iter().chain(list(&value, "tasks"));
            match tenant {
                Some(tenant) if !tenant.is_empty() => {
                    assert!(rows().count() > 0, "{tenant} sees nothing");
                    for row in rows() {
                        assert_eq!(row["tenant_id"], tenant, "{row}");
                        let owner = &row["owner"]["tenant_id"];
                        assert!(owner.is_null() || owner == tenant, "{row}");
                    }
                }
                _ => assert_eq!(rows().count(), 0, "{tenant:?} sees {value}"),
            }
        }
    });
    let all: Vec<_> = requests.collect();
    join_all(all).await;
}

/// Policies with bare casts, word for word from elsewhere: a token without what
/// they read gets a clear refusal, on fresh and on warm connections alike.
#[tokio::test]
async fn tokens_that_lack_what_a_policy_reads() {
    const ACME: &str = "a0000000-0000-4000-8000-000000000000";
    const GLOBEX: &str = "b0000000-0000-4000-8000-000000000000";
    let db = TestDb::new(concat!(
        include_str!("../examples/saas/schema.sql"),
        include_str!("../examples/saas/policies/tenants.sql"),
        include_str!("../examples/saas/policies/users.sql"),
        include_str!("../examples/saas/policies/projects.sql"),
        include_str!("../examples/saas/policies/tasks.sql"),
        include_str!("../examples/saas/policies/comments.sql"),
        include_str!("../examples/saas/policies/posts.sql"),
        include_str!("../examples/saas/policies/notes.sql"),
        include_str!("../examples/saas/data.sql"),
    ))
    .await;
    let app = App::start(db.config(&[("database.pool_size", "1")])).await.expect("starts");
    let who = |role: &str, tenant: Option<&str>, user: Option<&str>| {
        let mut session = session(role, tenant);
        session.user = user.map(Arc::from);
        session
    };
    let ask = async |session: &Session, query: &str| {
        let case = Case { query: query.to_owned(), variables: json!({}) };
        let response = app.engine.execute(session, case.request()).await;
        match response.data {
            Some(data) => Ok(serde_json::from_slice::<Value>(&data).unwrap()),
            None => Err(serde_json::to_value(&response.errors[0]).unwrap()),
        }
    };
    let posts = "{ posts { tenant_id user_id } }";
    let nested = "{ users { id posts { tenant_id } } }";
    for round in 0..4 {
        for role in ["user", "admin"] {
            for user in [None, Some("a0000000-0000-4000-8000-000000000001")] {
                // Reading asks for the tenant only.
                let value = ask(&who(role, Some(ACME), user), posts).await.expect("answers");
                assert!(!list(&value, "posts").is_empty(), "round {round}");
                for row in list(&value, "posts") {
                    assert_eq!(row["tenant_id"], ACME, "round {round}, {role}");
                }
                for tenant in [None, Some(""), Some("garbage"), Some("{}"), Some("' or true --")] {
                    for query in [posts, nested] {
                        let Err(error) = ask(&who(role, tenant, user), query).await else {
                            // Without any user there is no post to look at.
                            assert_eq!(query, nested, "round {round}, {role}, {tenant:?}");
                            continue;
                        };
                        let code = &error["extensions"]["code"];
                        assert!(
                            code == "permission-error" || code == "data-exception",
                            "round {round}, {role}, {tenant:?}: {error}"
                        );
                        let told = error.to_string();
                        assert!(
                            !told.contains("current_setting") && !told.contains(GLOBEX),
                            "{told}"
                        );
                    }
                }
                let value = ask(&who(role, Some(GLOBEX), user), posts).await.expect("answers");
                for row in list(&value, "posts") {
                    assert_eq!(row["tenant_id"], GLOBEX, "round {round}, {role}");
                }
            }
        }
    }
}
