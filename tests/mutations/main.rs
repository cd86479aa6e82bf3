//! What mutations write and answer, against a real database: Hasura's
//! semantics, permissions of metadata, and what goes wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod basics;
mod bulk;
mod errors;
mod nested;
mod nested_updates;
mod permissions;

use std::collections::HashMap;
use std::sync::Arc;

use harness::TestDb;
use ringfence::catalog;
use ringfence::config::NamingConvention;
use ringfence::engine::{Engine, EngineLimits, GraphqlRequest, GraphqlResponse};
use ringfence::metadata::document::{self, Metadata};
use ringfence::pg::{ConnectionString, Options, Pg};
use ringfence::schema::tracked::{self, BuildOptions, Connection, SourceInput};
use ringfence::schema::{RoleMapping, SchemaOptions};
use ringfence::session::{Authority, Proof, Session};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A database of its own, and the engine over it.
struct Library {
    db: TestDb,
    engine: Engine,
}

/// Roles that the database role `app_user` stands behind; only `user` has its
/// GRANTS, the others have what metadata permits.
const ROLES: [&str; 8] =
    ["user", "writer", "reader", "dropper", "backend", "stamper", "caller", "blind"];

impl Library {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let db = TestDb::new(include_str!("fixture.sql")).await;
        let request: ConnectionString = db.authenticator_url().parse().expect("a URL");
        let owner: ConnectionString = db.owner_url().parse().expect("a URL");
        let mut options = Options::new(request);
        options.owner = Some(owner);
        change(&mut options);
        let pg = Pg::new(options).expect("pools");
        let tx = pg.begin_system("load the catalogue").await.expect("connects");
        let catalog = catalog::load::load(&tx, &db.config(&[]).schema).await.expect("loads");
        tx.commit().await.expect("commits");
        let written: Value =
            serde_json::from_str(include_str!("metadata.json")).expect("metadata is JSON");
        let metadata: Metadata = document::parse(&written).expect("metadata");
        let enums = HashMap::new();
        let source = SourceInput {
            name: "default".into(),
            catalog: Arc::new(catalog),
            connection: Connection::default(),
            metadata: metadata.sources.first(),
            auto_track: true,
            enums: &enums,
        };
        let options = BuildOptions {
            naming: NamingConvention::HasuraDefault,
            before: None,
            expose: &["public".to_owned()],
            metadata: Some(&metadata),
        };
        let tracked = tracked::build(&[source], options).expect("names");
        assert!(tracked.inconsistencies.is_empty(), "{:?}", tracked.inconsistencies);
        let options = SchemaOptions {
            roles: RoleMapping {
                map: ROLES.map(|role| (role.to_owned(), "app_user".to_owned())).into(),
                automap: false,
                authenticator: harness::AUTHENTICATOR.to_owned(),
                allow_unsafe: false,
            },
            ..SchemaOptions::default()
        };
        let limits = EngineLimits {
            depth: 20,
            nodes: 5_000,
            rows: None,
            insert_rows: 10_000,
            plan_cache_bytes: 8 * 1024 * 1024,
        };
        Library { db, engine: Engine::new(pg, Arc::new(tracked), options, limits) }
    }

    async fn answer(&self, session: &Session, query: &str, variables: Value) -> GraphqlResponse {
        let request = GraphqlRequest {
            query: query.to_owned(),
            variables: Some(RawValue::from_string(variables.to_string()).expect("JSON")),
            wants_transaction: true,
            ..GraphqlRequest::default()
        };
        self.engine.execute(session, request).await
    }

    /// The data, or `{"errors": …}`.
    async fn ask(&self, session: &Session, query: &str, variables: Value) -> Value {
        let answer = self.answer(session, query, variables).await;
        match answer.data {
            Some(data) => serde_json::from_slice(&data).expect("JSON"),
            None => json!({"errors": answer.errors}),
        }
    }

    async fn data(&self, session: &Session, query: &str) -> Value {
        let answer = self.ask(session, query, json!({})).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer
    }

    /// Code, path and message of the error.
    async fn error(&self, session: &Session, query: &str) -> (String, String, String) {
        self.error_of(session, query, json!({})).await
    }

    async fn error_of(
        &self,
        session: &Session,
        query: &str,
        variables: Value,
    ) -> (String, String, String) {
        let answer = self.ask(session, query, variables).await;
        let error = &answer["errors"][0];
        let text = |value: &Value| {
            value.as_str().unwrap_or_else(|| panic!("{query}: {answer}")).to_owned()
        };
        (
            text(&error["extensions"]["code"]),
            text(&error["extensions"]["path"]),
            text(&error["message"]),
        )
    }

    fn sql(&self, sql: &str) -> String {
        self.db.psql(sql).expect("runs")
    }
}

fn session(role: &str, vars: &[(&str, &str)]) -> Session {
    Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        tenant: vars.iter().find(|(k, _)| *k == "x-hasura-tenant-id").map(|(_, v)| (*v).into()),
        user: None,
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

/// Who may do what the database grants.
fn user() -> Session {
    session("user", &[("x-hasura-tenant-id", "1")])
}

/// A role of metadata, as a user.
fn writer(id: &str) -> Session {
    session("writer", &[("x-hasura-user-id", id), ("x-hasura-tenant-id", "1")])
}
