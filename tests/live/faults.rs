//! What happens when something on the way fails: the last state arrives
//! nevertheless.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_walsender_loses_nothing() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    client.json().await;
    server.until_woken(1).await;
    for round in 0..3 {
        let body = format!("round {round}");
        server
            .sql(&format!(
                "select pg_terminate_backend(active_pid) from pg_replication_slots
                   where database = current_database();
                 update notes set body = '{body}' where id = 1"
            ))
            .await;
        until_state(&mut client, "notes", &json!([{"body": body}])).await;
        server.until_woken(1).await;
    }
    assert!(server.live().gaps >= 1);
    let slots = "select count(*) from pg_replication_slots where database = current_database()";
    assert_eq!(server.db.psql(slots).unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_a_long_transaction_ends_its_tables_are_polled() {
    let server = Server::start(&[("live.poll_interval", "50ms")]).await;
    let writer = server.db.client().await;
    writer.batch_execute("begin; update notes set body = 'held' where id = 1").await.unwrap();
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    server.sql("insert into notes values (5, 'a', '', 'five')").await;
    let five = json!([{"body": "of a"}, {"body": "five"}]);
    assert_eq!(state(&mut client, "n", "notes").await, five);
    // Where it was planned anew at that moment, it is there again in another one.
    server.until("it polls", |live| (live.polled_groups, live.woken_groups) == (1, 0)).await;
    writer.batch_execute("commit").await.unwrap();
    let held = json!([{"body": "held"}, {"body": "five"}]);
    assert_eq!(state(&mut client, "n", "notes").await, held);
    server.until_woken(1).await;
    // The same for a table that comes later, while the log is followed.
    writer.batch_execute("begin; update files set name = 'held' where id = 1").await.unwrap();
    subscribe(&mut client, "f", "subscription { files { name } }").await;
    assert_eq!(state(&mut client, "f", "files").await, json!([{"name": "one"}]));
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.until("it polls", |live| (live.polled_groups, live.woken_groups) == (1, 1)).await;
    writer.batch_execute("commit").await.unwrap();
    assert_eq!(state(&mut client, "f", "files").await, json!([{"name": "held"}]));
    server.until_woken(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_is_followed() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    server.until_woken(1).await;
    server
        .sql("alter policy tenant on notes using (
                tenant_id = (select nullif(current_setting('app.tenant_id', true), '')) and id > 1)")
        .await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([]));
    server.sql("revoke select on notes from app_user").await;
    let mut told = client.json().await;
    if told["type"] == "next" {
        // It was read before the server had seen the change.
        assert_eq!(
            told["payload"]["errors"][0]["extensions"]["code"], "permission-error",
            "{told}"
        );
        assert!(told["payload"]["data"].is_null(), "{told}");
        told = client.json().await;
    }
    assert_eq!(told["type"], "error", "{told}");
}

/// Of which the log tells nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_change_of_the_schema_makes_others_are_noticed() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    server.until_woken(1).await;
    // The same type as before, and other values.
    server.sql("alter table notes alter column body type text using upper(body)").await;
    until_state(&mut client, "notes", &json!([{"body": "OF A"}])).await;
    let mut papers = server.client("a", "1").await;
    subscribe(&mut papers, "p", "subscription { papers { title } }").await;
    assert_eq!(state(&mut papers, "p", "papers").await, json!([]));
    server
        .sql(
            "create or replace function is_open(file int) returns boolean language plpgsql stable as
               $$ begin return not exists (select from gates g where g.file = is_open.file and g.is_open); end $$",
        )
        .await;
    until_state(&mut papers, "papers", &json!([{"title": "secret"}])).await;
    let mut parts = server.client("a", "1").await;
    subscribe(&mut parts, "p", "subscription { parts { name } }").await;
    assert_eq!(state(&mut parts, "p", "parts").await, json!([]));
    server.sql("create table parts_west (like parts including all); insert into parts_west values (1, 'west', 'w')").await;
    server.sql("alter table parts attach partition parts_west for values in ('west')").await;
    until_state(&mut parts, "parts", &json!([{"name": "w"}])).await;
    server.sql("alter table parts detach partition parts_west").await;
    until_state(&mut parts, "parts", &json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_servers_each_follow_the_log() {
    let first = Server::start(&[]).await;
    let owner = first.db.superuser_url();
    let settings = [
        ("database.owner_url", owner.as_str()),
        ("database.allow_unsafe_roles", "true"),
        ("live.poll_interval", NEVER),
    ];
    let (second, address, stop) = serve(&first.db, &settings).await;
    let token = Token::new("user").tenant("a").user("1");
    let mut clients = [connect(first.address, &token).await, connect(address, &token).await];
    for client in &mut clients {
        subscribe(client, "n", NOTES).await;
        assert_eq!(state(client, "n", "notes").await, json!([{"body": "of a"}]));
    }
    first.until_woken(1).await;
    let start = Instant::now();
    while second.engine.live().stats().woken_groups != 1 {
        assert!(start.elapsed() < PATIENCE, "the second server follows the log");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.sql("update notes set body = 'both' where id = 1").await;
    for client in &mut clients {
        assert_eq!(state(client, "n", "notes").await, json!([{"body": "both"}]));
    }
    stop.cancel();
}

/// Whatever is written in whatever order, the last state is the last one seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_writes_is_never_lost() {
    let server = Server::start(&[]).await;
    let mut clients = Vec::new();
    for index in 0..8 {
        let mut client = server.client(if index % 2 == 0 { "a" } else { "b" }, "1").await;
        subscribe(&mut client, "n", NOTES).await;
        clients.push(client);
    }
    let writer = async {
        let db = server.db.client().await;
        for round in 0..300 {
            db.execute("update notes set body = $1", &[&format!("write {round}")]).await.unwrap();
        }
    };
    let readers = clients.iter_mut().map(|client| async move {
        until_state(client, "notes", &json!([{"body": "write 299"}])).await;
    });
    tokio::join!(writer, futures_util::future::join_all(readers));
}
