//! Actions: the whole server, real handlers over HTTP, a real database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod calls;
#[path = "../ws/client.rs"]
#[allow(dead_code, reason = "each test binary uses a part of this")]
mod client;
mod handler;
#[path = "../harness/mod.rs"]
mod harness;
mod metadata;
mod related;
#[path = "../served/mod.rs"]
mod served;
mod transforms;

use handler::Handlers;
use harness::TestDb;
use reqwest::StatusCode;
use serde_json::{Value, json};
use served::Instance;

const SECRET: &str = "secret of the tests";

/// Two tenants; each sees its own rows only.
const SCHEMA: &str = "
create table account (
  id int primary key, tenant text not null, name text not null, secret text);
create table note (
  id int primary key, tenant text not null, account_id int not null references account, body text not null);
alter table account enable row level security;
alter table note enable row level security;
create policy own on account using (tenant = nullif(current_setting('app.tenant_id', true), ''));
create policy own on note using (tenant = nullif(current_setting('app.tenant_id', true), ''));
insert into account values (1, 'acme', 'Ada', 'a'), (2, 'acme', 'Ben', 'b'), (7, 'globex', 'Mallory', 'm');
insert into note values
  (1, 'acme', 1, 'first'), (2, 'acme', 1, 'second'), (3, 'acme', 2, 'third'),
  (70, 'globex', 7, 'of globex'), (71, 'globex', 1, 'globex about Ada');";

/// A server with an administrator, its database, and handlers.
struct Project {
    // The server must end before its database.
    server: Instance,
    _db: TestDb,
    handlers: Handlers,
    client: reqwest::Client,
}

const ACME: &[(&str, &str)] = &[("x-hasura-tenant-id", "acme")];
const GLOBEX: &[(&str, &str)] = &[("x-hasura-tenant-id", "globex")];

impl Project {
    async fn new() -> Project {
        Project::with(&[]).await
    }

    /// With more of the environment.
    async fn with(more: &[(&str, &str)]) -> Project {
        let db = TestDb::new(SCHEMA).await;
        let handlers = Handlers::start().await;
        let base = handlers.base();
        let mut env = vec![
            ("HASURA_GRAPHQL_ADMIN_SECRET", SECRET),
            ("RINGFENCE_ROLES_MAP", ""),
            ("HANDLERS", base.as_str()),
            ("KEY_OF_HANDLER", "sesame"),
        ];
        env.extend(more);
        let server = Instance::start_with(&db, &env);
        let project = Project { server, _db: db, handlers, client: harness::http() };
        project.set_up().await;
        project
    }

    async fn set_up(&self) {
        for table in ["account", "note"] {
            self.done("pg_track_table", json!({"table": table})).await;
        }
        for (table, columns) in
            [("account", json!(["id", "name"])), ("note", json!(["id", "body", "account_id"]))]
        {
            self.done(
                "pg_create_select_permission",
                json!({"table": table, "role": "user", "permission": {
                    "columns": columns, "filter": {}, "allow_aggregations": true}}),
            )
            .await;
        }
        self.done("set_custom_types", types()).await;
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> reqwest::Response {
        let url = format!("http://{}{path}", self.server.address);
        let mut request = self
            .client
            .post(url)
            .header("x-hasura-admin-secret", SECRET)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_string()).send().await.expect("answers")
    }

    async fn command(&self, name: &str, args: Value) -> (StatusCode, Value) {
        let path = if name == "run_sql" { "/v2/query" } else { "/v1/metadata" };
        let response = self.send(path, &[], &json!({"type": name, "args": args})).await;
        let status = response.status();
        (status, json_of(response).await)
    }

    async fn done(&self, name: &str, args: Value) -> Value {
        let (status, answer) = self.command(name, args).await;
        assert_eq!(status, 200, "{name}: {answer}");
        answer
    }

    /// Defines an action; `more` is merged into its definition.
    async fn action(&self, name: &str, arguments: Value, output: &str, handler: &str, more: Value) {
        let mut definition = json!({
            "kind": "synchronous", "handler": handler, "output_type": output, "arguments": arguments});
        for (key, value) in more.as_object().into_iter().flatten() {
            definition[key] = value.clone();
        }
        self.done("create_action", json!({"name": name, "definition": definition})).await;
    }

    /// An action without arguments whose handler answers as scripted.
    async fn scripted(&self, name: &str, output: &str, script: Value) {
        let handler = self.handlers.says(&script);
        self.action(name, json!([]), output, &handler, json!({})).await;
    }

    async fn permit(&self, action: &str, role: &str) {
        self.done("create_action_permission", json!({"action": action, "role": role})).await;
    }

    async fn ask(&self, headers: &[(&str, &str)], query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        json_of(self.send("/v1/graphql", headers, &body).await).await
    }

    /// As the administrator.
    async fn admin(&self, query: &str) -> Value {
        self.ask(&[], query, json!({})).await
    }

    /// As the role `user` of a tenant.
    async fn user(&self, tenant: &[(&str, &str)], query: &str) -> Value {
        let mut headers = vec![("x-hasura-role", "user")];
        headers.extend(tenant);
        self.ask(&headers, query, json!({})).await
    }
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).expect("JSON")
}

/// Message, code and path of the one error.
fn error_of(answer: &Value) -> (&str, &str, &str) {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("no error: {answer}"));
    assert_eq!(errors.len(), 1, "{answer}");
    let error = &errors[0];
    (
        error["message"].as_str().unwrap_or_default(),
        error["extensions"]["code"].as_str().unwrap_or_default(),
        error["extensions"]["path"].as_str().unwrap_or_default(),
    )
}

fn types() -> Value {
    json!({
        "scalars": [{"name": "anything"}],
        "enums": [{"name": "Colour", "values": [{"value": "RED"}, {"value": "BLUE"}]}],
        "input_objects": [{"name": "NewUser", "fields": [
            {"name": "name", "type": "String!"},
            {"name": "id", "type": "ID"},
            {"name": "colour", "type": "Colour"},
            {"name": "tags", "type": "[String]"},
            {"name": "friends", "type": "[NewUser!]"},
            {"name": "more", "type": "jsonb"},
        ]}],
        "objects": [
            {"name": "Found", "description": "what was found",
                "fields": [
                    {"name": "id", "type": "Int!"},
                    {"name": "note", "type": "String"},
                    {"name": "colour", "type": "Colour"},
                    {"name": "inner", "type": "Inner"},
                    {"name": "list", "type": "[Inner]"},
                ],
                "relationships": [
                    {"name": "account", "type": "object", "remote_table": "account", "field_mapping": {"id": "id"}},
                    {"name": "notes", "type": "array", "remote_table": "note", "field_mapping": {"id": "account_id"}},
                ]},
            {"name": "Inner",
                "fields": [{"name": "key", "type": "Int"}, {"name": "text", "type": "anything"}],
                "relationships": [
                    {"name": "account", "type": "object", "remote_table": "account", "field_mapping": {"key": "id"}}]},
        ],
    })
}
