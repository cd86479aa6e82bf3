//! Faults of the server's process, and what it takes of the machine.

use super::served::Instance;
use super::*;

fn start(db: &TestDb) -> Instance {
    let owner = db.superuser_url();
    Instance::start_with(
        db,
        &[
            ("RINGFENCE_DATABASE_OWNER_URL", &owner),
            ("RINGFENCE_DATABASE_ALLOW_UNSAFE_ROLES", "true"),
            ("RINGFENCE_LIVE_POLL_INTERVAL", NEVER),
        ],
    )
}

/// The value of one line of `/metrics`.
async fn metric(server: &Instance, name: &str) -> f64 {
    let url = format!("http://{}/metrics", server.address);
    let text = harness::http().get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn until_metric(server: &Instance, name: &str, holds: impl Fn(f64) -> bool) {
    let start = Instant::now();
    loop {
        let value = metric(server, name).await;
        if holds(value) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{name} {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_woken(server: &Instance) {
    until_metric(server, "ringfence_live_streaming", |value| value == 1.0).await;
    until_metric(server, "ringfence_live_groups_polled", |value| value == 0.0).await;
}

const SLOTS: &str = "select count(*) from pg_replication_slots where database = current_database()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_nothing_and_begins_anew() {
    let db = TestDb::new(SCHEMA).await;
    let mut server = start(&db);
    let token = Token::new("user").tenant("a").user("1");
    let mut client = connect(server.address, &token).await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    until_woken(&server).await;
    assert_eq!(db.psql(SLOTS).unwrap(), "1");
    server.process.0.kill().unwrap();
    assert_eq!(client.hear().await, client::Said::Gone);
    let begun = Instant::now();
    while db.psql(SLOTS).unwrap() != "0" {
        assert!(begun.elapsed() < PATIENCE, "the slot ends with its connection");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    db.psql("update notes set body = 'meanwhile' where id = 1").unwrap();
    let server = start(&db);
    let mut client = connect(server.address, &token).await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "meanwhile"}]));
    until_woken(&server).await;
    db.psql("update notes set body = 'again' where id = 1").unwrap();
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "again"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_is_one_wake_up_and_takes_no_memory() {
    let db = TestDb::new(SCHEMA).await;
    db.psql("insert into notes select g, 'a', '', 'x' from generate_series(10, 100009) g").unwrap();
    let server = start(&db);
    let mut client = connect(server.address, &Token::new("user").tenant("a").user("1")).await;
    let query = "subscription { notes_aggregate { aggregate { count max { body } } } }";
    subscribe(&mut client, "c", query).await;
    let all = |body: &str| json!({"aggregate": {"count": 100_001, "max": {"body": body}}});
    assert_eq!(state(&mut client, "c", "notes_aggregate").await, all("x"));
    until_woken(&server).await;
    // Every table was published, and everybody has read again since.
    tokio::time::sleep(Duration::from_millis(500)).await;
    const MEMORY: &str = "ringfence_process_resident_memory_bytes";
    const WOKEN: &str = "ringfence_live_wakes_total{result=\"woken\"}";
    let (memory, woken) = (metric(&server, MEMORY).await, metric(&server, WOKEN).await);
    db.psql("update notes set body = 'y'").unwrap();
    assert_eq!(state(&mut client, "c", "notes_aggregate").await, all("y"));
    assert_eq!(metric(&server, WOKEN).await, woken + 1.0);
    let grown = metric(&server, MEMORY).await - memory;
    assert!(grown < 32.0 * 1024.0 * 1024.0, "{grown} bytes more");
    assert!(client.is_silent(Duration::from_millis(200)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_how_far_the_log_was_followed() {
    const PLACE: &str = "ringfence_live_log_place_bytes";
    let db = TestDb::new(SCHEMA).await;
    let server = start(&db);
    assert_eq!(metric(&server, PLACE).await, 0.0);
    let mut client = connect(server.address, &Token::new("user").tenant("a").user("1")).await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    until_woken(&server).await;
    db.psql("update notes set body = 'told' where id = 1").unwrap();
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "told"}]));
    until_metric(&server, "ringfence_live_log_delay_seconds", |value| value > 0.0).await;
    // What is not ours is passed, too.
    let place = "select pg_current_wal_lsn() - '0/0'";
    db.psql("create table other as select g from generate_series(1, 1000) g").unwrap();
    let written: f64 = db.psql(place).unwrap().parse().unwrap();
    until_metric(&server, PLACE, |value| value >= written).await;
    let told = metric(&server, PLACE).await;
    assert!(told <= db.psql(place).unwrap().parse().unwrap());
}
