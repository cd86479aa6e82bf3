//! The administrator's API: commands over HTTP against the whole server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

#[path = "../ws/client.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod client;
mod commands;
mod data;
mod events;
mod folder;
#[path = "../harness/mod.rs"]
mod harness;
mod hasura_cli;
mod names;
mod naming;
#[path = "../served/mod.rs"]
mod served;
mod sources;
mod stored;

use harness::TestDb;
use reqwest::StatusCode;
use serde_json::{Value, json};
use served::Instance;

const SECRET: &str = "secret of the tests";

/// A server with an administrator, and one who talks to it.
struct Project {
    db: TestDb,
    server: Instance,
    client: reqwest::Client,
}

const SCHEMA: &str = "create table author (id serial primary key, name text not null, secret text);
     create table article (
       id serial primary key, title text not null, is_published bool not null default false,
       author_id int not null references author);
     insert into author (name, secret) values ('Ada', 'a'), ('Ben', 'b');
     insert into article (title, is_published, author_id) values
       ('One', true, 1), ('Two', false, 1), ('Three', true, 2);";

fn start(db: &TestDb) -> Instance {
    start_with(db, &[])
}

fn start_with(db: &TestDb, more: &[(&str, &str)]) -> Instance {
    let mut env = vec![("HASURA_GRAPHQL_ADMIN_SECRET", SECRET), ("RINGFENCE_ROLES_MAP", "")];
    env.extend(more);
    Instance::start_with(db, &env)
}

impl Project {
    async fn new() -> Project {
        Project::with(&[]).await
    }

    /// With settings.
    async fn with(env: &[(&str, &str)]) -> Project {
        let db = TestDb::new(SCHEMA).await;
        let server = start_with(&db, env);
        Project { server, db, client: harness::http() }
    }

    async fn send(&self, server: &Instance, path: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", server.address);
        let request = self.client.post(url).header("x-hasura-admin-secret", SECRET);
        let response = request.body(body.to_string());
        let response = response.header("content-type", "application/json").send().await;
        let response = response.unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).expect("JSON"))
    }

    async fn command(&self, name: &str, args: Value) -> (StatusCode, Value) {
        let body = json!({"type": name, "args": args});
        self.send(&self.server, "/v1/metadata", &body).await
    }

    async fn done(&self, name: &str, args: Value) -> Value {
        let (status, answer) = self.command(name, args).await;
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    async fn sql(&self, sql: &str) -> (StatusCode, Value) {
        let body = json!({"type": "run_sql", "args": {"sql": sql}});
        self.send(&self.server, "/v2/query", &body).await
    }

    async fn ask(&self, role: &str, variables: &[(&str, &str)], query: &str) -> Value {
        let url = format!("http://{}/v1/graphql", self.server.address);
        let mut request = self
            .client
            .post(url)
            .header("x-hasura-admin-secret", SECRET)
            .header("x-hasura-role", role)
            .header("content-type", "application/json");
        for (name, value) in variables {
            request = request.header(*name, *value);
        }
        let body = json!({"query": query}).to_string();
        let response = request.body(body).send().await.expect("answers");
        serde_json::from_slice(&response.bytes().await.unwrap()).expect("JSON")
    }

    /// Both tables, joined, with a role that sees its own articles.
    async fn set_up(&self) {
        self.done("pg_track_table", json!({"table": "author"})).await;
        self.done("pg_track_table", json!({"table": "article"})).await;
        self.done(
            "pg_create_object_relationship",
            json!({"table": "article", "name": "author", "using": {"foreign_key_constraint_on": "author_id"}}),
        )
        .await;
        self.done(
            "pg_create_array_relationship",
            json!({"table": "author", "name": "articles", "using": {"foreign_key_constraint_on":
                {"table": "article", "column": "author_id"}}}),
        )
        .await;
        self.done(
            "pg_create_select_permission",
            json!({"table": "article", "role": "writer", "permission": {
                "columns": ["id", "title"],
                "filter": {"_or": [{"is_published": {"_eq": true}}, {"author_id": {"_eq": "X-Hasura-User-Id"}}]}}}),
        )
        .await;
        self.done(
            "pg_create_select_permission",
            json!({"table": "author", "role": "writer", "permission": {
                "columns": ["name"], "filter": {"articles": {"is_published": {"_eq": true}}}}}),
        )
        .await;
    }
}
