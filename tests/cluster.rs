//! The private cluster: made once, started again, adopted, cleaned, locked.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use ringfence::cluster::{Cluster, ClusterError, ClusterOptions, Started};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cluster-{name}-{}", std::process::id()));
        Folder(path)
    }

    fn options(&self) -> ClusterOptions {
        ClusterOptions { durable: false, ..ClusterOptions::new(&self.0, "app") }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.0.exists() {
            std::fs::remove_dir_all(&self.0).expect("removed");
        }
    }
}

fn clean(cluster: Cluster) {
    let folder = cluster.folder().to_path_buf();
    let socket = cluster.socket_folder().to_path_buf();
    cluster.stop().expect("stops");
    assert!(!socket.exists(), "nothing stays in /tmp");
    std::fs::remove_dir_all(folder).expect("removed");
}

async fn ask(cluster: &Cluster, sql: &str) -> String {
    let (client, connection) =
        tokio_postgres::connect(cluster.url().expose(), tokio_postgres::NoTls)
            .await
            .expect("connects");
    let running = tokio::spawn(connection);
    let row = client.query_one(sql, &[]).await.expect("answers");
    drop(client);
    running.await.expect("joins").expect("closes");
    row.get(0)
}

#[tokio::test]
async fn data_survives_restarts_and_kills() {
    let folder = Folder::new("life");
    let cluster = Cluster::start(&folder.options()).expect("starts");
    assert_eq!(cluster.started(), Started::Created);
    for (setting, value) in [
        ("wal_level", "logical"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        let sql = format!("select current_setting('{setting}')");
        assert_eq!(ask(&cluster, &sql).await, value, "{setting}");
    }

    // A second process in the same folder is told who holds it.
    match Cluster::start(&folder.options()) {
        Err(ClusterError::Locked { holder, .. }) => {
            assert_eq!(holder, std::process::id().to_string());
        }
        other => panic!("must be locked: {other:?}"),
    }

    // Ours was killed, the server lives on.
    let pid = cluster.pid();
    cluster.detach();
    let cluster = Cluster::start(&folder.options()).expect("adopts");
    assert_eq!((cluster.started(), cluster.pid()), (Started::Adopted, pid));
    assert_eq!(ask(&cluster, "select current_database()::text").await, "app");

    // The server was killed, its pid file and socket stay behind.
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("runs");
    assert!(killed.success());
    drop(cluster);
    let cluster = Cluster::start(&folder.options()).expect("cleans and starts");
    assert_eq!(cluster.started(), Started::Restarted);
    assert_eq!(ask(&cluster, "select current_database()::text").await, "app");

    // A stop after a kill takes away what the killed server left.
    let socket = cluster.socket_folder().to_path_buf();
    let pid = cluster.pid().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("runs").success());
    cluster.stop().expect("stops");
    assert!(!socket.exists());
    let cluster = Cluster::start(&folder.options()).expect("cleans and starts");

    let port = cluster.port();
    cluster.stop().expect("stops");
    let cluster = Cluster::start(&folder.options()).expect("starts again");
    assert_eq!((cluster.started(), cluster.port()), (Started::Restarted, port));
    clean(cluster);
}

#[tokio::test]
async fn nobody_enters_without_a_password() {
    let folder = Folder::new("trust");
    let cluster = Cluster::start(&folder.options()).expect("starts");
    let port = cluster.port();
    let socket = cluster.socket_folder().display().to_string();
    for host in ["127.0.0.1", &socket] {
        for password in [None, Some("wrong")] {
            let mut config = tokio_postgres::Config::new();
            config.host(host).port(port).user("postgres").dbname("app");
            if let Some(password) = password {
                config.password(password);
            }
            let refused = config.connect(tokio_postgres::NoTls).await.is_err();
            assert!(refused, "{host} {password:?}");
        }
    }
    clean(cluster);
}

/// Only root's clusters run as another user, who may be kept out.
#[test]
fn data_stays_where_it_is_when_a_folder_above_opens_or_closes() {
    if !ringfence::cluster::runs_as_other_user() {
        return;
    }
    let parent = Folder(PathBuf::from(format!("/tmp/ringfence-test-{}", std::process::id())));
    let mode = |mode: u32| {
        fs::set_permissions(&parent.0, Permissions::from_mode(mode)).expect("changes");
    };
    let start = |name: &str| {
        let options = ClusterOptions::new(parent.0.join(name), "app");
        Cluster::start(&ClusterOptions { durable: false, ..options })
    };
    fs::create_dir(&parent.0).expect("is new");

    mode(0o755);
    let cluster = start("open").expect("starts");
    assert!(cluster.folder().starts_with(&parent.0));
    cluster.stop().expect("stops");
    mode(0o700);
    match start("open") {
        Err(ClusterError::Unreachable { folder }) => assert_eq!(folder, parent.0.join("open")),
        other => panic!("must not begin anew: {other:?}"),
    }

    let cluster = start("closed").expect("starts elsewhere");
    let elsewhere = cluster.folder().to_path_buf();
    assert!(!elsewhere.starts_with(&parent.0));
    cluster.stop().expect("stops");
    mode(0o755);
    let cluster = start("closed").expect("starts");
    assert_eq!((cluster.folder(), cluster.started()), (&*elsewhere, Started::Restarted));
    clean(cluster);
}
