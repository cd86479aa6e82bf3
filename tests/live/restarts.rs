//! Faults of a whole cluster, on one of its own.

use std::path::PathBuf;

use ringfence::cluster::{Cluster, ClusterOptions};
use ringfence::config::Config;
use serde_json::json;

use super::*;

pub(crate) struct Own {
    options: ClusterOptions,
    cluster: Option<Cluster>,
    pub(crate) address: SocketAddr,
    app: Arc<App>,
    stop: CancellationToken,
}

impl Own {
    pub(crate) async fn start(name: &str) -> Own {
        Own::start_with(name, &[], NEVER).await
    }

    pub(crate) fn stop_postgres(&mut self) {
        self.cluster.take().unwrap().stop().unwrap();
    }

    pub(crate) fn start_postgres(&mut self) {
        self.cluster = Some(Cluster::start(&self.options).expect("starts again"));
    }

    /// With settings of Postgres, and another interval.
    async fn start_with(name: &str, settings: &[(&str, &str)], poll: &str) -> Own {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("live-{name}-{}", std::process::id()));
        let mut options = ClusterOptions::new(folder, "live");
        options.durable = false;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        options.settings = settings.iter().map(owned).collect();
        let started = Cluster::start(&options).expect("a PostgreSQL server");
        let cluster = Some(started);
        let url = cluster.as_ref().unwrap().url();
        psql(url.expose(), "create role app_user; create role app_editor").await;
        psql(url.expose(), SCHEMA).await;
        let jwt = json!({"type": "HS256", "key": harness::JWT_KEY}).to_string();
        let config = Config::with(&[
            ("server.port", "0"),
            ("database.url", url.expose().as_str()),
            ("auth.jwt", jwt.as_str()),
            ("roles.map", "user=app_user"),
            ("live.poll_interval", poll),
        ])
        .expect("is valid");
        // The login of requests is made at the first start, then granted.
        drop(App::start(config.clone()).await.expect("starts"));
        psql(url.expose(), "grant app_user to ringfence_authenticator").await;
        let (app, address, stop) = serve_config(config).await;
        Own { options, cluster, address, app, stop }
    }

    pub(crate) async fn sql(&self, sql: &str) {
        psql(self.cluster.as_ref().unwrap().url().expose(), sql).await;
    }

    async fn until_woken(&self) {
        let start = Instant::now();
        loop {
            let live = self.app.engine.live().stats();
            if live.streaming && live.woken_groups == 1 && live.polled_groups == 0 {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{live:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(cluster) = self.cluster.take()
            && let Err(error) = cluster.stop()
        {
            eprintln!("a cluster of the test did not stop: {error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.options.folder) {
            eprintln!("{}: {error}", self.options.folder.display());
        }
    }
}

async fn psql(url: &str, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
    let running = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    drop(client);
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_loses_nothing() {
    let mut own = Own::start("restart").await;
    let token = Token::new("user").tenant("a").user("1");
    let mut client = connect(own.address, &token).await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    own.until_woken().await;
    own.sql("update notes set body = 'before' where id = 1").await;
    until_state(&mut client, "notes", &json!([{"body": "before"}])).await;
    own.stop_postgres();
    own.start_postgres();
    own.sql("update notes set body = 'after' where id = 1").await;
    until_state(&mut client, "notes", &json!([{"body": "after"}])).await;
    own.until_woken().await;
    own.sql("update notes set body = 'again' where id = 1").await;
    until_state(&mut client, "notes", &json!([{"body": "again"}])).await;
}

/// A stream that has begun goes on where it was, and is told of no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_is_silence_to_a_stream() {
    // After an error they read again when that is over.
    let mut own = Own::start_with("stream", &[], "200ms").await;
    let token = Token::new("user").tenant("a").user("1");
    let query =
        "subscription { notes_stream(cursor: {initial_value: {id: 0}}, batch_size: 9) { id } }";
    let mut client = connect(own.address, &token).await;
    subscribe(&mut client, "s", query).await;
    assert_eq!(state(&mut client, "s", "notes_stream").await, json!([{"id": 1}]));
    own.until_woken().await;
    own.stop_postgres();
    // Who comes now is told.
    let mut late = connect(own.address, &token).await;
    subscribe(&mut late, "s", query).await;
    let told = late.json().await;
    assert!(told["payload"]["errors"][0]["message"].is_string(), "{told}");
    assert!(client.is_silent(Duration::from_secs(1)).await);
    own.start_postgres();
    own.sql("insert into notes values (10, 'a')").await;
    assert_eq!(state(&mut client, "s", "notes_stream").await, json!([{"id": 10}]));
    let mut seen = state(&mut late, "s", "notes_stream").await;
    if seen == json!([{"id": 1}]) {
        seen = state(&mut late, "s", "notes_stream").await;
        assert_eq!(seen, json!([{"id": 10}]));
    }
    assert!(seen.to_string().contains("10"), "{seen}");
}

/// The log tells of a commit that waits for a standby before anybody can see
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_nobody_sees_yet_is_waited_for() {
    let own = Own::start("standby").await;
    let token = Token::new("user").tenant("a").user("1");
    let mut client = connect(own.address, &token).await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    own.until_woken().await;
    own.sql("alter system set synchronous_standby_names = 'nobody'").await;
    own.sql("select pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let url = own.cluster.as_ref().unwrap().url();
    let commits = own.app.engine.live().stats().commits;
    let writer = tokio::spawn(async move {
        // The cluster of a test does not wait for its own disk, either.
        let sql = "set synchronous_commit = on; update notes set body = 'held' where id = 1";
        psql(url.expose(), sql).await;
    });
    let start = Instant::now();
    while own.app.engine.live().stats().commits == commits {
        assert!(start.elapsed() < PATIENCE, "the log tells of the commit");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(client.is_silent(Duration::from_millis(300)).await);
    assert!(!writer.is_finished());
    // Who comes now was not there when the commit was told.
    let mut late = connect(own.address, &token).await;
    subscribe(&mut late, "l", "subscription { notes { text: body } }").await;
    assert_eq!(state(&mut late, "l", "notes").await, json!([{"text": "of a"}]));
    assert!(late.is_silent(Duration::from_millis(300)).await);
    // They are told when it is there, and do not read again and again.
    let start = Instant::now();
    let readings = || own.app.engine.live().stats().unchanged;
    loop {
        let before = readings();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if readings() == before {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "nobody reads what cannot be seen");
    }
    own.sql("alter system reset synchronous_standby_names").await;
    own.sql("select pg_reload_conf()").await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "held"}]));
    assert_eq!(state(&mut late, "l", "notes").await, json!([{"text": "held"}]));
    writer.await.unwrap();
}

/// The log is followed too slowly, so Postgres takes the slot away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_taken_away_loses_nothing() {
    let own = Own::start_with(
        "slot",
        &[("max_slot_wal_keep_size", "1MB"), ("max_wal_size", "64MB"), ("min_wal_size", "32MB")],
        NEVER,
    )
    .await;
    let token = Token::new("user").tenant("a").user("1");
    let mut client = connect(own.address, &token).await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    own.until_woken().await;
    let gaps = own.app.engine.live().stats().gaps;
    let url = own.cluster.as_ref().unwrap().url();
    let (db, connection) =
        tokio_postgres::connect(url.expose(), tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    let walsender: i32 = db
        .query_one("select active_pid from pg_replication_slots where active", &[])
        .await
        .unwrap()
        .get(0);
    let signal = |signal: &str| {
        let status = std::process::Command::new("kill")
            .args([signal, &walsender.to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    };
    signal("-STOP");
    db.batch_execute(
        "update notes set body = 'unseen' where id = 1;
         create table filler (text text);
         insert into filler select repeat(md5(g::text), 30) from generate_series(1, 80000) g",
    )
    .await
    .unwrap();
    // It waits until the walsender has let the slot go.
    let checkpoint = tokio::spawn(async move {
        db.batch_execute("select pg_switch_wal()").await.unwrap();
        db.batch_execute("checkpoint").await.unwrap();
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    signal("-CONT");
    until_state(&mut client, "notes", &json!([{"body": "unseen"}])).await;
    checkpoint.await.unwrap();
    let start = Instant::now();
    while own.app.engine.live().stats().gaps == gaps {
        assert!(start.elapsed() < PATIENCE, "the slot is taken away");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    own.until_woken().await;
    own.sql("update notes set body = 'again' where id = 1").await;
    until_state(&mut client, "notes", &json!([{"body": "again"}])).await;
}
