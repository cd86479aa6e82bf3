//! Those who are slow, or fail, and what that costs others.

use std::collections::HashSet;

use super::*;

/// Readings of tenant `a` wait while somebody holds the brakes.
const BRAKES: &str = "
    create table brakes (id int primary key);
    create function may_go(tenant text) returns boolean language plpgsql stable as
        $$ begin if tenant = 'a' then perform from brakes; end if; return true; end $$;
    create table dull (id int primary key, tenant_id text, name text);
    alter table dull enable row level security;
    create policy brake on dull to app_user using (
        tenant_id = (select nullif(current_setting('app.tenant_id', true), ''))
        and may_go(tenant_id));
    insert into dull values (1, 'a', 'of a'), (2, 'b', 'of b');
    create table dice (id int primary key);
    alter table dice enable row level security;
    create policy luck on dice to app_user using (random() >= 0);
    grant select on brakes, dull, dice to app_user;
";
const DULL: &str = "subscription { dull { name } }";

async fn start(settings: &[(&str, &str)]) -> Server {
    let db = TestDb::new(&format!("{SCHEMA}{BRAKES}")).await;
    // Nobody answers pings here while something is waited for.
    let mut all = vec![
        ("database.pool_size", "4"),
        ("database.lock_timeout", "1h"),
        ("websocket.ping", "1h"),
    ];
    all.extend(settings);
    Server::start_on(db, &all).await
}

/// Subscriptions that share nothing.
async fn subscribe_often(client: &mut Client, count: usize) {
    for at in 1..=count {
        let query = format!("subscription {{ dull(where: {{id: {{_gt: -{at}}}}}) {{ name }} }}");
        subscribe(client, &at.to_string(), &query).await;
    }
}

/// Locks a table until this is dropped.
async fn lock(server: &Server, table: &str) -> tokio_postgres::Client {
    let client = server.db.client().await;
    let sql = format!("begin; lock table {table} in access exclusive mode");
    client.batch_execute(&sql).await.unwrap();
    client
}

/// Until some reading waits for a lock.
async fn until_held_up(server: &Server) {
    let sql = "select count(*) > 0 from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock'";
    let start = Instant::now();
    while server.db.psql(sql).unwrap() != "t" {
        assert!(start.elapsed() < PATIENCE, "a reading is under way");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readings_of_one_tenant_leave_a_place_for_others() {
    let server = start(&[]).await;
    let mut b = server.client("b", "1").await;
    subscribe(&mut b, "d", DULL).await;
    assert_eq!(state(&mut b, "d", "dull").await, json!([{"name": "of b"}]));
    server.until_woken(1).await;
    let held = lock(&server, "brakes").await;
    let mut a = server.client("a", "1").await;
    subscribe_often(&mut a, 12).await;
    until_held_up(&server).await;
    // One who comes now has its first state, too.
    let mut other = server.client("b", "2").await;
    subscribe(&mut other, "n", NOTES).await;
    assert_eq!(state(&mut other, "n", "notes").await, json!([{"body": "of b"}]));
    for round in 0..5 {
        let text = format!("round {round}");
        let sql = format!("update notes set body = '{text}'; update dull set name = '{text}'");
        server.sql(&sql).await;
        until_state(&mut b, "dull", &json!([{"name": text}])).await;
        until_state(&mut other, "notes", &json!([{"body": text}])).await;
    }
    // The slow go on, and have their turns.
    until_held_up(&server).await;
    drop(held);
    let mut told = HashSet::new();
    while told.len() < 12 {
        let message = a.json().await;
        if message["payload"]["data"]["dull"] == json!([{"name": "round 4"}]) {
            told.insert(message["id"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_without_a_known_reason_keeps_no_turn() {
    let server = start(&[]).await;
    let mut a = server.client("a", "1").await;
    subscribe_often(&mut a, 12).await;
    for _ in 0..12 {
        a.json().await;
    }
    let mut b = server.client("b", "1").await;
    subscribe(&mut b, "n", NOTES).await;
    assert_eq!(state(&mut b, "n", "notes").await, json!([{"body": "of b"}]));
    server.until_woken(13).await;
    let held = lock(&server, "brakes").await;
    // The log tells of no row, so everybody reads again in turn.
    for body in ["upper(body)", "lower(body)"] {
        server.sql(&format!("alter table notes alter column body type text using {body}")).await;
        let wanted = if body.starts_with('u') { "OF B" } else { "of b" };
        until_state(&mut b, "notes", &json!([{"body": wanted}])).await;
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_good_is_not_read_again_and_again() {
    let server = start(&[("live.poll_interval", "20ms")]).await;
    server.sql("update shapes set size = 0 where tenant_id = 'a'").await;
    let mut a = server.client("a", "1").await;
    subscribe(&mut a, "s", "subscription { shapes { size } }").await;
    let failed = a.json().await;
    assert!(failed["payload"]["errors"].is_array(), "{failed}");
    server.until_woken(1).await;
    let before = server.live();
    // Of this one nobody tells.
    let mut polled = server.client("a", "1").await;
    subscribe(&mut polled, "p", "subscription { dice { id } }").await;
    assert_eq!(state(&mut polled, "p", "dice").await, json!([]));
    server.until("it polls", |live| live.unchanged >= before.unchanged + 100).await;
    let failed = server.live().failed - before.failed;
    // Each pause is twice the last.
    assert!(failed < 25, "{failed} readings for nothing");
    // The commit that makes it good wakes it.
    server.sql("update shapes set size = 3 where tenant_id = 'a'").await;
    until_state(&mut a, "shapes", &json!([{"size": 3}])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_woken_by_what_makes_it_good() {
    let server = Server::start(&[("websocket.ping", "1h")]).await;
    let mut a = server.client("a", "1").await;
    subscribe(&mut a, "s", "subscription { shapes { size } }").await;
    assert_eq!(state(&mut a, "s", "shapes").await, json!([{"size": 1}]));
    let stream = "subscription { shapes_stream(cursor: {initial_value: {id: 0}}, batch_size: 9)
        { size } }";
    let mut b = server.client("b", "1").await;
    subscribe(&mut b, "t", stream).await;
    assert_eq!(state(&mut b, "t", "shapes_stream").await, json!([{"size": 1}]));
    server.until("both are woken", |live| live.streaming && live.polled_groups == 0).await;
    // Nothing else than a commit brings them back: they poll once an hour.
    for size in 2..12 {
        server.sql("update shapes set size = 0; insert into shapes values (1000, 'b', 0)").await;
        for client in [&mut a, &mut b] {
            let failed = client.json().await;
            assert!(failed["payload"]["errors"].is_array(), "{failed}");
        }
        let sql = format!(
            "update shapes set size = {size}; delete from shapes where id = 1000;
             insert into shapes values ({size} + 100, 'b', {size})"
        );
        server.sql(&sql).await;
        until_state(&mut a, "shapes", &json!([{"size": size}])).await;
        until_state(&mut b, "shapes_stream", &json!([{"size": size}])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_while_a_reading_is_under_way_are_one_reading_more() {
    const WRITES: u64 = 300;
    let server = start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "f", "subscription { files { name } }").await;
    assert_eq!(state(&mut client, "f", "files").await, json!([{"name": "one"}]));
    server.until_woken(1).await;
    let before = server.live();
    // Only the policy of the files reads the members, so that writes go on.
    let held = lock(&server, "members").await;
    let writer = server.db.client().await;
    writer.batch_execute("update files set name = '0' where id = 1").await.unwrap();
    until_held_up(&server).await;
    for write in 1..=WRITES {
        let sql = format!("update files set name = '{write}' where id = 1");
        writer.batch_execute(&sql).await.unwrap();
    }
    server.until("all are told", |live| live.commits > before.commits + WRITES).await;
    drop(held);
    until_state(&mut client, "files", &json!([{"name": WRITES.to_string()}])).await;
    let live = server.live();
    let readings = live.changed + live.unchanged + live.failed
        - (before.changed + before.unchanged + before.failed);
    assert!(readings < 30, "{readings} readings for {WRITES} writes");
}
