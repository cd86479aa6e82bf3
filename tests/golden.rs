//! Golden triples: a request, the SQL that it compiles to and its result, over
//! one fixture of two tenants.
//!
//! `tests/golden/cases/<name>.graphql` starts with `# key: value` lines (`role`,
//! `tenant`, `user`, `variables`, `operation`); beside it stand `<name>.sql`
//! (absent where nothing reaches the database) and `<name>.json`.
//! `UPDATE_GOLDEN=1` rewrites both: review what changed, and say why in the
//! commit.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harness::TestDb;
use ringfence::catalog;
use ringfence::engine::{Engine, EngineLimits, GraphqlRequest};
use ringfence::pg::{ConnectionString, Options, Pg};
use ringfence::schema::{RoleMapping, SchemaOptions, tracked};
use ringfence::session::{Authority, Proof, Session, SessionVars};
use serde_json::value::RawValue;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";

struct Case {
    name: String,
    text: String,
    session: Session,
    variables: Option<Box<RawValue>>,
    operation: Option<String>,
}

fn cases_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases")
}

fn read_case(path: &Path) -> Case {
    let text = fs::read_to_string(path).expect("a case is readable");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut role = "user".to_owned();
    let (mut tenant, mut user) = (Some(TENANT.to_owned()), Some("1".to_owned()));
    let (mut variables, mut operation) = (None, None);
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("# ") else { continue };
        let Some((key, value)) = rest.split_once(": ") else { continue };
        match key {
            "role" => role = value.to_owned(),
            "tenant" => tenant = (value != "none").then(|| value.to_owned()),
            "user" => user = (value != "none").then(|| value.to_owned()),
            "variables" => {
                variables =
                    Some(RawValue::from_string(value.to_owned()).expect("variables are JSON"));
            }
            "operation" => operation = Some(value.to_owned()),
            _ => {}
        }
    }
    let session = Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: tenant.map(Arc::from),
        user: user.map(Arc::from),
        claims: None,
        expires_at: None,
        revoked: None,
    };
    Case { name, text, session, variables, operation }
}

async fn engine(db: &TestDb) -> Engine {
    let request: ConnectionString = db.authenticator_url().parse().expect("a URL");
    let owner: ConnectionString = db.owner_url().parse().expect("a URL");
    let mut options = Options::new(request);
    options.owner = Some(owner);
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
            automap: true,
            authenticator: harness::AUTHENTICATOR.to_owned(),
            allow_unsafe: false,
        },
        ..SchemaOptions::default()
    };
    let limits = EngineLimits {
        depth: 12,
        nodes: 500,
        rows: None,
        insert_rows: 10_000,
        plan_cache_bytes: 8 * 1024 * 1024,
    };
    let tracked =
        tracked::without_metadata(Arc::new(catalog), &["public".to_owned()]).expect("names");
    Engine::new(pg, tracked, options, limits)
}

/// One clause per line, indented by nesting.
fn pretty(sql: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut opened = Vec::new();
    let mut rest = sql;
    while !rest.is_empty() {
        if rest.starts_with("(SELECT ") {
            depth += 1;
            opened.push(true);
            out.push_str("(\n");
            out.push_str(&"  ".repeat(depth));
            rest = &rest[1..];
            continue;
        }
        for clause in [" FROM ", " WHERE ", " GROUP BY ", " ORDER BY ", " LIMIT ", " OFFSET "] {
            if rest.starts_with(clause) && opened.last().copied().unwrap_or(true) {
                out.push('\n');
                out.push_str(&"  ".repeat(depth));
                out.push_str(&clause[1..]);
                rest = &rest[clause.len()..];
            }
        }
        match rest.chars().next() {
            Some('(') if !rest.starts_with("(SELECT ") => {
                opened.push(false);
                out.push('(');
            }
            Some(')') => {
                if opened.pop() == Some(true) {
                    depth -= 1;
                    out.push('\n');
                    out.push_str(&"  ".repeat(depth));
                }
                out.push(')');
            }
            Some('(') | None => continue,
            Some(other) => out.push(other),
        }
        let width = rest.chars().next().map_or(0, char::len_utf8);
        rest = &rest[width..];
    }
    out
}

fn request(case: &Case) -> GraphqlRequest {
    GraphqlRequest {
        query: case.text.clone(),
        operation_name: case.operation.clone(),
        variables: case.variables.clone(),
        ..GraphqlRequest::default()
    }
}

#[tokio::test]
async fn requests_compile_and_answer_as_recorded() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let db = TestDb::new(include_str!("golden/fixture.sql")).await;
    let engine = engine(&db).await;
    let mut expected_files = BTreeSet::new();
    let mut failures = Vec::new();
    let mut paths: Vec<PathBuf> = fs::read_dir(cases_dir())
        .expect("the cases are there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let compare = |path: PathBuf, actual: &str, failures: &mut Vec<String>| {
        if update {
            fs::write(&path, actual).expect("writes");
            return;
        }
        let recorded = fs::read_to_string(&path).unwrap_or_default();
        if recorded != actual {
            failures.push(format!(
                "{}:\n--- recorded\n{recorded}\n--- actual\n{actual}",
                path.file_name().expect("a name").to_string_lossy()
            ));
        }
    };
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "graphql")) {
        let case = read_case(path);
        expected_files.insert(path.clone());
        let explained = engine.explain(&case.session, &request(&case)).await;
        if let Ok(explanation) = explained
            && let Some(sql) = explanation.sql
        {
            let mut text = pretty(&sql);
            for (index, param) in explanation.parameters.iter().enumerate() {
                text.push_str(&format!("\n-- ${} = {param:?}", index + 1));
            }
            text.push('\n');
            compare(path.with_extension("sql"), &text, &mut failures);
            expected_files.insert(path.with_extension("sql"));
        }
        // Twice, so that the plan cache and the prepared statement answer too.
        let mut answers = Vec::new();
        for _ in 0..3 {
            let answer = engine.execute(&case.session, request(&case)).await;
            // Data stays as Postgres printed it: no digit may get lost here.
            let mut text = match answer.data {
                Some(data) => String::from_utf8(data.to_vec()).expect("UTF-8"),
                None => serde_json::json!({"errors": answer.errors}).to_string(),
            };
            text.push('\n');
            answers.push(text);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{}: answers differ", case.name);
        compare(path.with_extension("json"), &answers[0], &mut failures);
        expected_files.insert(path.with_extension("json"));
    }
    for path in &paths {
        assert!(expected_files.contains(path), "{} belongs to no case", path.display());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
