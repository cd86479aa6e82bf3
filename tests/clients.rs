//! The clients that applications use (graphql-ws, subscriptions-transport-ws,
//! Apollo Client, urql, graphql-sse), driven by Node against the real binary.
//! `make clients` installs them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

mod harness;
mod served;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{TestDb, Token};
use serde_json::Value;
use served::{Instance, PATIENCE};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

const SCHEMA: &str = "
    create table notes (id int primary key, tenant_id text not null, body text);
    alter table notes enable row level security;
    create policy tenant on notes to app_user
        using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')));
    grant select on notes to app_user;
    insert into notes values (1, 'a', 'of a'), (2, 'b', 'of b');
";

fn mint(wanted: &Value) -> String {
    let text = |key: &str| wanted[key].as_str().expect("a text").to_owned();
    let lifetime = Duration::from_secs(wanted["seconds"].as_u64().expect("a number"));
    let exp = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + lifetime).as_secs();
    Token::new("user").tenant(&text("tenant")).user(&text("user")).top("exp", exp).mint()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_applications_work() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    assert!(
        folder.join("node_modules").is_dir(),
        "the clients are not installed; run `make clients`"
    );
    let db = TestDb::new(SCHEMA).await;
    let owner = db.superuser_url();
    // The login that follows the log is a superuser's to make. A poll would come too late.
    let server = Instance::start_with(
        &db,
        &[
            ("RINGFENCE_DATABASE_OWNER_URL", &owner),
            ("RINGFENCE_DATABASE_ALLOW_UNSAFE_ROLES", "true"),
            ("RINGFENCE_LIVE_POLL_INTERVAL", "1h"),
        ],
    );
    let mut node = Command::new("node")
        .arg("run.mjs")
        .arg(format!("http://{}/v1/graphql", server.address))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node runs");
    let mut answers = node.stdin.take().expect("is piped");
    let mut lines = BufReader::new(node.stdout.take().expect("is piped")).lines();
    let sql = db.client().await;
    let mut running = String::new();
    let mut passed = None;
    loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing came of: {running}")).unwrap();
        let Some(line) = line else { break };
        let message: Value = serde_json::from_str(&line).expect("JSON");
        let answer = if let Some(text) = message["sql"].as_str() {
            sql.batch_execute(text).await.expect("runs");
            "done".to_owned()
        } else if message["token"].is_object() {
            mint(&message["token"])
        } else {
            running = message["run"].as_str().unwrap_or(&running).to_owned();
            passed = message["passed"].as_u64();
            continue;
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
    let ended = node.wait().await.unwrap();
    assert!(ended.success(), "failed: {running}\n{}", server.log());
    assert!(passed.is_some_and(|passed| passed >= 8), "{passed:?}");
    assert!(server.logged("live queries follow the log").is_some(), "{}", server.log());
}
