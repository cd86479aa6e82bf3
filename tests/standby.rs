//! A hot standby serves queries: nothing is migrated, nothing is written.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use ringfence::app::App;
use ringfence::cluster::{Cluster, ClusterOptions};
use ringfence::config::Config;
use ringfence::engine::GraphqlRequest;
use ringfence::session::{Authority, Proof, Session, SessionVars};

const SCHEMA: &str = "
create role standby_user;
create table items (id int primary key, tenant_id uuid not null, name text not null);
insert into items values (1, '11111111-1111-1111-1111-111111111111', 'one'),
  (2, '22222222-2222-2222-2222-222222222222', 'two');
alter table items enable row level security;
create policy tenant on items to standby_user
  using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid));
grant select on items to standby_user;
";

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

fn config(cluster: &Cluster) -> Config {
    Config::with(&[
        ("database.url", cluster.url().expose()),
        ("roles.map", "user=standby_user"),
        ("server.port", "0"),
    ])
    .expect("valid")
}

async fn items(app: &App) -> String {
    let session = Session {
        role: "user".into(),
        authority: Authority::Request,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::new(),
        tenant: Some("11111111-1111-1111-1111-111111111111".into()),
        user: None,
        claims: None,
        expires_at: None,
        revoked: None,
    };
    let query = "{ items { id name } }".to_owned();
    let request = GraphqlRequest { query, ..GraphqlRequest::default() };
    let answer = app.engine.execute(&session, request).await;
    match answer.data {
        Some(data) => String::from_utf8(data.to_vec()).expect("UTF-8"),
        None => format!("{:?}", answer.errors),
    }
}

#[tokio::test]
async fn a_hot_standby_serves_queries() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standby");
    let options = ClusterOptions { durable: false, ..ClusterOptions::new(&folder, "app") };
    let cluster = Cluster::start(&options).expect("starts");
    let folder = Folder(cluster.folder().to_path_buf());
    let (client, connection) =
        tokio_postgres::connect(cluster.url().expose(), tokio_postgres::NoTls)
            .await
            .expect("connects");
    let running = tokio::spawn(connection);
    client.batch_execute(SCHEMA).await.expect("runs");
    drop(client);
    running.await.expect("joins").expect("closes");

    // The privileged URL alone: the primary is migrated.
    let app = App::start(config(&cluster)).await.expect("starts");
    // The map is useless until the login that `migrate` made may set the role.
    let login = app.logins.request.user().expect("a login").to_owned();
    let tx = app.pg.begin_system("grant the role").await.expect("begins");
    tx.batch(&format!("grant standby_user to {login}")).await.expect("grants");
    tx.commit().await.expect("commits");
    app.watch.suspect_roles();
    drop(app);
    let app = App::start(config(&cluster)).await.expect("starts again");
    let expected = r#"{"items":[{"id":1,"name":"one"}]}"#;
    assert_eq!(items(&app).await, expected);
    drop(app);
    cluster.stop().expect("stops");

    let data = folder.0.join("data");
    let signal = data.join("standby.signal");
    fs::write(&signal, "").expect("writes");
    let owner = fs::metadata(data.join("PG_VERSION")).expect("there");
    std::os::unix::fs::chown(
        &signal,
        Some(std::os::unix::fs::MetadataExt::uid(&owner)),
        Some(std::os::unix::fs::MetadataExt::gid(&owner)),
    )
    .expect("the server's own");

    let standby = Cluster::start(&options).expect("starts as a standby");
    let app = App::start(config(&standby)).await.expect("serves the standby");
    assert_eq!(items(&app).await, expected);
    let tx = app.pg.begin_system("look").await.expect("begins");
    let recovering = tx.query_text("select pg_is_in_recovery()::text", &[]).await.expect("answers");
    assert_eq!(recovering.as_deref(), Some("true"));
    tx.commit().await.expect("commits");
    assert!(app.logins.report.read_only, "the start says that nothing was migrated");
    drop(app);
    standby.stop().expect("stops");
}
