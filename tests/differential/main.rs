//! Generated operations against a naive interpreter.
//!
//! The rows of every table are what psql sees under the same role and
//! settings; the interpreter filters, joins, sorts and cuts them in memory with
//! SQL's three-valued logic. What PostGIS and the less common types of Postgres
//! say of one comparison is asked of psql row by row, in words of the test's
//! own. The engine's answer must be the same text, every digit and the order of
//! the keys included.
//!
//! Beside what comes at random, the operations of a caller go round all
//! operators; one that the schema offers and no operation says is a failure.
//!
//! `DIFFERENTIAL_SEED=n` runs one operation again, `DIFFERENTIAL_COUNT=n`
//! another number of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by a panic"
)]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../oracle/mod.rs"]
mod oracle;

mod coverage;
mod generate;
mod interpret;
mod labels;
mod model;
mod operands;
mod reference;
mod tour;
mod wrong;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use harness::TestDb;
use ringfence::catalog;
use ringfence::engine::executor::EngineExecutor;
use ringfence::engine::{Engine, EngineLimits, GraphqlRequest};
use ringfence::pg::{Options, Pg};
use ringfence::schema::{RoleMapping, SchemaOptions, tracked};
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;

use generate::{Generator, Operation};
use interpret::{Outcomes, World};
use model::Model;
use reference::Reference;

const ACME: &str = "11111111-1111-1111-1111-111111111111";
const GLOBEX: &str = "22222222-2222-2222-2222-222222222222";

/// How many operations a run is made of, unless it is told.
const OPERATIONS: u64 = 600;

/// Callers that take turns on one pool.
const CALLERS: [(&str, &str, Option<&str>); 5] = [
    ("user", "app_user", Some(ACME)),
    ("user", "app_user", Some(GLOBEX)),
    ("editor", "app_editor", Some(ACME)),
    ("user", "app_user", None),
    ("editor", "app_editor", Some(GLOBEX)),
];

struct Caller {
    session: Session,
    model: Model,
    rows: HashMap<&'static str, Vec<model::Row>>,
    oracle: oracle::Oracle,
    reference: Mutex<Reference>,
    outcomes: Mutex<Outcomes>,
}

impl Caller {
    fn world<'a>(&'a self, operation: &'a Operation) -> World<'a> {
        let Caller { model, rows, reference, outcomes, .. } = self;
        World { model, rows, operation, reference, outcomes }
    }
}

async fn engine(db: &TestDb, json_by_postgres: bool) -> Arc<Engine> {
    let mut options = Options::new(db.authenticator_url().parse().expect("a URL"));
    options.owner = Some(db.owner_url().parse().expect("a URL"));
    // Small, so that callers follow each other on each connection.
    options.pool_size = 2;
    let pg = Pg::new(options).expect("pools");
    let config = db.config(&[]);
    let tx = pg.begin_system("load the catalogue").await.expect("connects");
    let catalog = catalog::load::load(&tx, &config.schema).await.expect("loads");
    tx.commit().await.expect("commits");
    let options = SchemaOptions {
        roles: RoleMapping {
            map: [("user", "app_user"), ("editor", "app_editor")]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .into(),
            automap: false,
            authenticator: harness::AUTHENTICATOR.to_owned(),
            allow_unsafe: false,
        },
        json_by_postgres,
        ..SchemaOptions::default()
    };
    let limits = EngineLimits {
        depth: 20,
        nodes: 5_000,
        rows: None,
        insert_rows: 10_000,
        plan_cache_bytes: 8 * 1024 * 1024,
    };
    let tracked =
        tracked::without_metadata(Arc::new(catalog), &["public".to_owned()]).expect("names");
    Arc::new(Engine::new(pg, tracked, options, limits))
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

async fn world() -> (TestDb, Arc<Engine>, Vec<Caller>, Model) {
    let rows = include_str!("rows.sql");
    let db = TestDb::made(include_str!("../golden/fixture.sql"), rows).await;
    // Functions of PostGIS count as so dear that Postgres would compile each statement.
    db.psql(&format!("alter database {} set jit = off", db.name())).expect("psql answers");
    let engine = engine(&db, false).await;
    let mut callers = Vec::new();
    for (role, db_role, tenant) in CALLERS {
        let model = model::model(role == "editor");
        let settings = [("app.tenant_id", tenant.unwrap_or_default())];
        let lines = model.values().map(|table| table.query()).collect::<String>();
        let lines = db.psql_as(db_role, &settings, &lines).expect("psql answers");
        let rows = model.values().map(|table| (table.name, table.rows(&lines))).collect();
        let session = session(role, tenant);
        let oracle = oracle::Oracle::new(&engine.sdl(&session).expect("a schema"));
        let reference = Mutex::new(Reference::of(db.psql_session(), db_role, &settings));
        let outcomes = Mutex::default();
        callers.push(Caller { session, model, rows, oracle, reference, outcomes });
    }
    // Operands come from all rows there are, of either tenant.
    let mut everything = model::model(false);
    let ask = |query: fn(&model::Table) -> String| {
        db.psql(&everything.values().map(query).collect::<String>()).expect("psql answers")
    };
    let (lines, texts) = (ask(model::Table::query), ask(model::Table::texts));
    for table in everything.values_mut() {
        table.learn(&lines, &texts);
    }
    (db, engine, callers, everything)
}

fn request(operation: &Operation) -> GraphqlRequest {
    let (query, variables) = operation.render();
    GraphqlRequest {
        query,
        operation_name: None,
        variables: Some(RawValue::from_string(variables).expect("JSON")),
        ..GraphqlRequest::default()
    }
}

/// The answer as text without the white space between tokens.
async fn answer(engine: &Engine, caller: &Caller, operation: &Operation) -> String {
    compact(&exact_answer(engine, caller, operation).await)
}

async fn exact_answer(engine: &Engine, caller: &Caller, operation: &Operation) -> String {
    let response = engine.execute(&caller.session, request(operation)).await;
    match response.data {
        Some(data) => String::from_utf8(data.to_vec()).expect("UTF-8"),
        None => {
            let error = &response.errors[0];
            let detail = error.detail.as_deref().unwrap_or(&error.message);
            format!("refused: {detail} at {}", error.path)
        }
    }
}

fn compact(json: &str) -> String {
    let tokens = characters(json).filter(|(quoted, c)| *quoted || !c.is_ascii_whitespace());
    tokens.map(|(_, c)| c).collect()
}

/// The characters of JSON, and whether each is of a string.
fn characters(json: &str) -> impl Iterator<Item = (bool, char)> {
    let (mut quoted, mut escaped) = (false, false);
    json.chars().map(move |c| {
        let within = quoted;
        if quoted && escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        (within, c)
    })
}

/// What a failure has in common with a smaller one: the refusal without
/// numbers and its place.
fn likeness(answer: &str) -> String {
    if answer.starts_with("refused: ") {
        let message = answer.rsplit_once(" at ").map_or(answer, |(message, _)| message);
        message.replace(|c: char| c.is_ascii_digit(), "")
    } else {
        "data".to_owned()
    }
}

/// Drops parts of an operation as long as the answers differ.
async fn shrink(engine: &Engine, caller: &Caller, mut operation: Operation) -> Operation {
    let first = answer(engine, caller, &operation).await;
    let mut tries = 0;
    'smaller: loop {
        for n in 0.. {
            let mut candidate = operation.clone();
            if tries > 600 || !candidate.prune(n) {
                return operation;
            }
            tries += 1;
            let expected = compact(&caller.world(&candidate).answer());
            let answered = answer(engine, caller, &candidate).await;
            if answered != expected && likeness(&answered) == likeness(&first) {
                operation = candidate;
                continue 'smaller;
            }
        }
    }
}

async fn fail(engine: &Engine, caller: &Caller, seed: u64, operation: Operation, when: &str) -> ! {
    let small = shrink(engine, caller, operation).await;
    let (query, variables) = small.render();
    panic!(
        "{when}, DIFFERENTIAL_SEED={seed}, role {}, tenant {:?}:\n{query}\n{variables}\n\
         --- expected\n{}\n--- answered\n{}",
        caller.session.role,
        caller.session.tenant,
        compact(&caller.world(&small).answer()),
        answer(engine, caller, &small).await,
    )
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect(name));
    match number("DIFFERENTIAL_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("DIFFERENTIAL_COUNT").unwrap_or(OPERATIONS)).collect(),
    }
}

/// Callers take turns.
fn generated<'a>(seed: u64, callers: &'a [Caller], everything: &Model) -> (&'a Caller, Operation) {
    let n = usize::try_from(seed).unwrap();
    let caller = &callers[n % callers.len()];
    let generator = Generator::new(seed, &caller.model, everything);
    (caller, generator.operation(Some(n / callers.len())))
}

#[tokio::test]
async fn generated_operations_answer_as_the_rows_that_psql_sees() {
    let (_db, engine, callers, everything) = world().await;
    let operations: Vec<(u64, &Caller, Operation)> = seeds()
        .into_iter()
        .map(|seed| {
            let (caller, operation) = generated(seed, &callers, &everything);
            (seed, caller, operation)
        })
        .collect();
    let mut rows_seen = 0;
    for batch in operations.chunks(10) {
        let expected: Vec<String> =
            batch.iter().map(|(_, c, op)| compact(&c.world(op).answer())).collect();
        // Planned, then from the plan cache, then as a prepared statement.
        for when in ["the first time", "from the plan cache", "as a prepared statement"] {
            let answers = join_all(batch.iter().map(|(_, c, op)| answer(&engine, c, op))).await;
            let pairs = expected.iter().zip(answers);
            for ((seed, caller, operation), (expected, answer)) in batch.iter().zip(pairs) {
                rows_seen += expected.matches('{').count();
                if answer != *expected {
                    fail(&engine, caller, *seed, operation.clone(), when).await;
                }
            }
        }
    }
    // Operations that find nothing would prove nothing.
    assert!(rows_seen > operations.len(), "the operations found {rows_seen} objects in all");
}

#[tokio::test]
async fn every_operator_of_the_schema_is_said_and_decides() {
    let (_db, engine, callers, everything) = world().await;
    let mut offered = coverage::Words::new();
    let mut operators = coverage::Words::new();
    for caller in &callers {
        let request = GraphqlRequest { query: coverage::TYPES.into(), ..GraphqlRequest::default() };
        let data = engine.execute(&caller.session, request).await.data.expect("a description");
        let types = coverage::Offered::of(&serde_json::from_slice(&data).expect("JSON"));
        offered.extend(types.words(&["odd__table"]));
        operators.extend(types.operators());
    }
    let turns = usize::try_from(OPERATIONS).unwrap() / callers.len();
    for caller in &callers {
        let tour = tour::whole_tour(&caller.model);
        assert!(tour <= turns, "{turns} operations of a caller are not the {tour} that see all");
    }
    let mut said = coverage::Words::new();
    for seed in 0..OPERATIONS {
        let (caller, operation) = generated(seed, &callers, &everything);
        coverage::said(&operation, &mut said);
        caller.world(&operation).answer();
    }
    let missing: Vec<_> = offered.difference(&said).collect();
    assert!(missing.is_empty(), "never said: {missing:?}");
    let mut outcomes = Outcomes::new();
    for caller in &callers {
        for (operator, (held, not)) in caller.outcomes.lock().unwrap().iter() {
            let all = outcomes.entry(operator.clone()).or_default();
            *all = (all.0 + held, all.1 + not);
        }
    }
    let outcome = |operator| outcomes.get(operator).copied().unwrap_or_default();
    let idle: Vec<_> = operators
        .iter()
        .map(|operator| (operator, outcome(operator)))
        .filter(|(_, (held, not))| *held == 0 || *not == 0)
        .collect();
    assert!(idle.is_empty(), "with more rows or operands they would hold and not hold: {idle:?}");
}

#[tokio::test]
async fn what_an_operator_does_not_take_is_told_where_it_stands() {
    let (_db, engine, callers, _) = world().await;
    let caller = &callers[0];
    let (mut told, mut otherwise) = (0, Vec::new());
    for column in &caller.model["sites"].columns {
        if !matches!(column.scalar, "ltree" | "geometry" | "geography" | "raster") {
            continue;
        }
        for wrong::Mistake { operation, place, shown } in wrong::mistakes(column) {
            let response = engine.execute(&caller.session, request(&operation)).await;
            let error = response.errors.first();
            let as_expected = error.is_some_and(|error| {
                let codes = ["validation-failed", "parse-failed", "data-exception"];
                error.path.to_string() == place && codes.contains(&error.code.as_str())
            });
            told += usize::from(as_expected);
            if !as_expected {
                otherwise.push(format!("{shown} at {place}: {error:?}\n{:?}", operation.render()));
            }
        }
    }
    assert!(otherwise.is_empty(), "{} of them, the first: {}", otherwise.len(), otherwise[0]);
    assert!(told > 3_000, "{told}");
}

#[tokio::test]
async fn typed_columns_and_json_of_postgres_are_the_same_bytes() {
    let (db, typed, callers, everything) = world().await;
    let whole = engine(&db, true).await;
    let mut rows_seen = 0;
    for seed in seeds() {
        let caller = &callers[usize::try_from(seed).unwrap() % callers.len()];
        // What the conditions are makes no difference to how rows are written.
        let operation = Generator::new(seed, &caller.model, &everything).operation(None);
        // Each root by itself, since only one list alone comes as columns.
        for root in operation.roots.clone() {
            let alone = Operation { roots: vec![root], fragments: operation.fragments.clone() };
            let one = exact_answer(&typed, caller, &alone).await;
            let other = exact_answer(&whole, caller, &alone).await;
            assert_eq!(one, other, "DIFFERENTIAL_SEED={seed}: {:?}", alone.render());
            rows_seen += one.matches("}, {").count();
        }
    }
    assert!(rows_seen > 1_000, "the lists had {rows_seen} rows in all");
}

#[tokio::test]
async fn what_the_engine_accepts_the_standard_validation_accepts() {
    let (_db, _engine, callers, everything) = world().await;
    let mut refused = Vec::new();
    for seed in seeds() {
        let (caller, operation) = generated(seed, &callers, &everything);
        let (query, variables) = operation.render();
        if let Err(error) = caller.oracle.validate(&query, &variables).await {
            refused.push(format!("DIFFERENTIAL_SEED={seed}: {error}\n{query}\n{variables}"));
        }
    }
    assert!(refused.is_empty(), "{} refused, the first: {}", refused.len(), refused[0]);
}

/// Whether numbers of JSON have few enough digits for a double, as which that
/// executor takes them.
fn fits_doubles(json: &str) -> bool {
    let unquoted: String = characters(json).filter(|(quoted, _)| !quoted).map(|(_, c)| c).collect();
    let digits = |number: &str| number.bytes().filter(u8::is_ascii_digit).count();
    unquoted
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .all(|number| !number.contains('.') || digits(number) <= 15)
}

#[tokio::test]
async fn the_standard_executor_gives_the_same_data() {
    let (_db, engine, callers, everything) = world().await;
    for seed in seeds().into_iter().take(130) {
        let (caller, operation) = generated(seed, &callers, &everything);
        let (query, variables) = operation.render();
        if !fits_doubles(&variables) {
            continue;
        }
        let executor = EngineExecutor::new(engine.clone());
        let given = async_graphql::Variables::from_json(serde_json::from_str(&variables).unwrap());
        let request = async_graphql::Request::new(query)
            .variables(given)
            .data(Arc::new(caller.session.clone()));
        let response = async_graphql::Executor::execute(&executor, request).await;
        assert!(response.errors.is_empty(), "seed {seed}: {:?}", response.errors);
        let data = serde_json::to_string(&response.data).expect("JSON");
        let expected = compact(&caller.world(&operation).answer());
        assert_eq!(compact(&data), expected, "seed {seed}: {:?}", operation.render());
    }
}
