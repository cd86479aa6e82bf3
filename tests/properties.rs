//! Properties of the printer and the parsers, over generated input; what
//! Postgres reads back is the judge of what we print.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod harness;

use harness::TestDb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ringfence::graphql::parse::{ParseLimits, parse};
use ringfence::pg::{ConnectionString, Options, Pg, SystemTx};
use ringfence::sql::{
    Alias, AliasAllocator, BinaryOp, Expr, From, Ident, QualifiedName, Select, SelectItem,
};

const LIMITS: ParseLimits = ParseLimits { depth: 64, tokens: 20_000 };

fn config(cases: u32) -> Config {
    // Failures are printed with their input; no file is kept beside the test.
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Any name that Postgres can hold: 1 to 63 bytes, no NUL.
fn name() -> impl Strategy<Value = String> {
    "\\PC{1,60}|[\"'\\\\;$-]{1,12}|select|user|[A-Z ]{1,9}".prop_map(|text| {
        let mut text: String = text.chars().filter(|c| *c != '\0').collect();
        while text.len() > 63 {
            text.pop();
        }
        if text.is_empty() { "x".to_owned() } else { text }
    })
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}|[\"'\\\\;$()-]{0,16}|(?s).{0,20}"
        .prop_map(|text| text.chars().filter(|c| *c != '\0').collect())
}

struct Database {
    runtime: tokio::runtime::Runtime,
    tx: SystemTx,
    _db: TestDb,
}

impl Database {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (db, tx) = runtime.block_on(async {
            let db = TestDb::empty().await;
            let url: ConnectionString = db.authenticator_url().parse().expect("a URL");
            let pg = Pg::new(Options::new(url)).expect("a pool");
            let tx = pg.begin_system("properties").await.expect("begins");
            (db, tx)
        });
        Database { runtime, tx, _db: db }
    }

    fn answer(&self, select: &Select) -> String {
        self.runtime
            .block_on(self.tx.query_text(&select.to_string(), &[]))
            .unwrap_or_else(|error| panic!("{error}: {select}"))
            .expect("a row")
    }
}

/// `SELECT row_to_json(a) FROM (SELECT 'value' AS "name") AS a`
fn record(alias: Alias, name: &str, value: &str) -> Select {
    let inner = Select {
        items: vec![SelectItem {
            expr: Expr::Text(value.to_owned()),
            name: Some(Ident::new(name).expect("a legal name")),
        }],
        ..Select::default()
    };
    Select {
        items: vec![SelectItem {
            expr: Expr::Call("row_to_json", vec![Expr::Row(alias)]),
            name: None,
        }],
        from: Some(From::Select { select: Box::new(inner), alias }),
        ..Select::default()
    }
}

#[test]
fn names_and_literals_come_back_as_they_were() {
    let database = Database::new();
    let alias = AliasAllocator::default().fresh();
    TestRunner::new(config(400))
        .run(&(name(), text()), |(name, value)| {
            let answer = database.answer(&record(alias, &name, &value));
            let found: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
            prop_assert_eq!(found, serde_json::json!({ name: value }));
            Ok(())
        })
        .expect("holds");
}

/// Expressions without columns: what they mean is known by computing it here.
fn condition() -> impl Strategy<Value = (Expr, Option<bool>)> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|value| (Expr::Bool(value), Some(value))),
        (-3i64..3, -3i64..3).prop_map(|(a, b)| {
            let less = BinaryOp::catalog("<");
            (Expr::Binary(Box::new(Expr::Int(a)), less, Box::new(Expr::Int(b))), Some(a < b))
        }),
        (-3i64..3).prop_map(|a| {
            let null = Expr::Cast(Box::new(Expr::Null), int8());
            (Expr::equals(Expr::Int(a), null), None)
        }),
    ];
    leaf.prop_recursive(5, 48, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|parts| {
                let (exprs, values): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                (Expr::and(exprs), conjunction(&values))
            }),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|parts| {
                let (exprs, values): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                let negated: Vec<_> = values.iter().map(|value| value.map(|v| !v)).collect();
                (Expr::or(exprs), conjunction(&negated).map(|v| !v))
            }),
            inner.clone().prop_map(|(expr, value)| (Expr::negate(expr), value.map(|v| !v))),
            inner.prop_map(|(expr, value)| (Expr::IsNull(Box::new(expr)), Some(value.is_none()))),
        ]
    })
}

fn int8() -> ringfence::sql::SqlType {
    let name = QualifiedName::new(&"pg_catalog".into(), &"int8".into()).expect("legal");
    ringfence::sql::SqlType { name, array: false }
}

/// SQL's three-valued AND.
fn conjunction(values: &[Option<bool>]) -> Option<bool> {
    if values.contains(&Some(false)) {
        Some(false)
    } else if values.contains(&None) {
        None
    } else {
        Some(true)
    }
}

#[test]
fn folding_and_printing_keep_the_meaning() {
    let database = Database::new();
    TestRunner::new(config(400))
        .run(&condition(), |(expr, expected)| {
            let select = Select {
                items: vec![SelectItem {
                    expr: Expr::Coalesce(vec![
                        Expr::Call("to_json", vec![expr]),
                        Expr::Text("null".to_owned()),
                    ]),
                    name: None,
                }],
                ..Select::default()
            };
            let answer = database.answer(&select);
            prop_assert_eq!(answer, expected.map_or("null".to_owned(), |v| v.to_string()));
            Ok(())
        })
        .expect("holds");
}

#[test]
fn no_document_makes_the_parser_panic() {
    let document = prop_oneof![
        "\\PC{0,80}",
        "[{}()\\[\\]:!$@\"\\\\a-z0-9 .,|&#\n-]{0,120}",
        "(query|mutation|fragment x on y|\\{|\\}|\\(|\\)|a|:|\\$v|@d|\"\\\\u[0-9a-fA-F{}]{0,8}\"|\"\"\"|1e|-|\\.\\.\\.| ){0,40}",
    ];
    TestRunner::new(config(4_000))
        .run(&document, |text| {
            // Either answer is fine; only a panic is not.
            match parse(&text, LIMITS) {
                Ok(document) => prop_assert!(!document.operations.is_empty()),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
            Ok(())
        })
        .expect("holds");
}
