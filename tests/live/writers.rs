//! Whoever writes, and whatever way: who watches learns of it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_whom_it_concerns_without_a_poll() {
    let server = Server::start(&[]).await;
    let mut a = server.client("a", "1").await;
    let mut b = server.client("b", "2").await;
    for client in [&mut a, &mut b] {
        subscribe(client, "n", NOTES).await;
    }
    assert_eq!(state(&mut a, "n", "notes").await, json!([{"body": "of a"}]));
    assert_eq!(state(&mut b, "n", "notes").await, json!([{"body": "of b"}]));
    server.until_woken(2).await;
    server.sql("update notes set body = 'new' where id = 1").await;
    assert_eq!(state(&mut a, "n", "notes").await, json!([{"body": "new"}]));
    // A row that changes its tenant leaves one and enters the other.
    server.sql("update notes set tenant_id = 'b' where id = 1").await;
    assert_eq!(state(&mut a, "n", "notes").await, json!([]));
    assert_eq!(state(&mut b, "n", "notes").await, json!([{"body": "new"}, {"body": "of b"}]));
    server.sql("begin; delete from notes where id = 1; rollback").await;
    server.sql("delete from notes where id = 2").await;
    assert_eq!(state(&mut b, "n", "notes").await, json!([{"body": "new"}]));
    assert!(a.is_silent(Duration::from_millis(100)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_write_is_noticed() {
    let server = Server::start(&[]).await;
    server
        .sql(
            "create function copy_note() returns trigger language plpgsql as
               $$ begin insert into notes values (new.id + 100, 'a', '', new.body); return null; end $$;
             create trigger copy_note after insert on replies for each row execute function copy_note()",
        )
        .await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    subscribe(&mut client, "r", "subscription { replies_aggregate { aggregate { count } } }").await;
    for _ in 0..2 {
        client.json().await;
    }
    server.until_woken(2).await;
    server.db.psql("copy notes from stdin;\n3\ta\t1\tcopied\n\\.\n").unwrap();
    until_state(&mut client, "notes", &json!([{"body": "of a"}, {"body": "copied"}])).await;
    // By a trigger of another table.
    server.sql("insert into replies values (2, 3, 'triggered')").await;
    let three = json!([{"body": "of a"}, {"body": "copied"}, {"body": "triggered"}]);
    until_state(&mut client, "notes", &three).await;
    // By a cascade.
    server.sql("delete from notes where id = 1").await;
    let count = |n: i64| json!({"aggregate": {"count": n}});
    until_state(&mut client, "replies_aggregate", &count(1)).await;
    server.sql("truncate notes cascade").await;
    until_state(&mut client, "notes", &json!([])).await;
    subscribe(&mut client, "again", "subscription { replies_aggregate { aggregate { count } } }")
        .await;
    until_state(&mut client, "replies_aggregate", &count(0)).await;
    // In many rows at once.
    server.sql("insert into notes select g, 'a', '', '' from generate_series(1, 20000) g").await;
    subscribe(
        &mut client,
        "c",
        "subscription { notes_aggregate { aggregate { max { body } count } } }",
    )
    .await;
    let all = |body: &str| json!({"aggregate": {"max": {"body": body}, "count": 20000}});
    until_state(&mut client, "notes_aggregate", &all("")).await;
    server.sql("update notes set body = 'all'").await;
    until_state(&mut client, "notes_aggregate", &all("all")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_only_a_policy_reads_count() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "f", "subscription { files(order_by: {id: asc}) { name } }").await;
    assert_eq!(state(&mut client, "f", "files").await, json!([{"name": "one"}]));
    subscribe(&mut client, "p", "subscription { papers { title } }").await;
    assert_eq!(state(&mut client, "p", "papers").await, json!([]));
    server.until_woken(2).await;
    server.sql("insert into members values (2, '1')").await;
    let both = json!([{"name": "one"}, {"name": "two"}]);
    assert_eq!(state(&mut client, "f", "files").await, both);
    server.sql("delete from members where team = 1").await;
    assert_eq!(state(&mut client, "f", "files").await, json!([{"name": "two"}]));
    // Named in the text of a function only.
    server.sql("update gates set is_open = true").await;
    assert_eq!(state(&mut client, "p", "papers").await, json!([{"title": "secret"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_count_also_those_that_come_later() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "p", "subscription { parts(order_by: {id: asc}) { name } }").await;
    assert_eq!(state(&mut client, "p", "parts").await, json!([]));
    server.until_woken(1).await;
    server.sql("insert into parts values (1, 'north', 'n')").await;
    assert_eq!(state(&mut client, "p", "parts").await, json!([{"name": "n"}]));
    server.sql("truncate parts_north").await;
    assert_eq!(state(&mut client, "p", "parts").await, json!([]));
    server
        .sql(
            "create table parts_south partition of parts for values in ('south');
              insert into parts values (2, 'south', 's')",
        )
        .await;
    until_state(&mut client, "parts", &json!([{"name": "s"}])).await;
    server.sql("update parts set name = 't'").await;
    until_state(&mut client, "parts", &json!([{"name": "t"}])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_replica_identity_is_polled_and_stays_writable() {
    let server = Server::start(&[("live.poll_interval", "50ms")]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "l", "subscription { logs { line } }").await;
    assert_eq!(state(&mut client, "l", "logs").await, json!([]));
    server.until("the log is followed", |live| live.streaming).await;
    server.sql("insert into logs values (1, 'one')").await;
    assert_eq!(state(&mut client, "l", "logs").await, json!([{"line": "one"}]));
    server.sql("update logs set line = 'two'").await;
    assert_eq!(state(&mut client, "l", "logs").await, json!([{"line": "two"}]));
    assert_eq!(server.live().polled_groups, 1);
    // It gets a key and is woken from then on; it loses it and stays writable.
    server.sql("alter table logs add primary key (at)").await;
    server.until("the table is covered", |live| live.woken_groups == 1).await;
    server.sql("update logs set line = 'three'").await;
    until_state(&mut client, "logs", &json!([{"line": "three"}])).await;
    server
        .sql("alter table logs drop constraint logs_pkey; update logs set line = 'at once'")
        .await;
    server.until("the table is polled", |live| live.polled_groups == 1).await;
    let published = "select count(*) from pg_publication_tables
        where pubname = 'ringfence_live' and tablename = 'logs'";
    assert_eq!(server.db.psql(published).unwrap(), "0");
    server.sql("update logs set line = 'four'").await;
    until_state(&mut client, "logs", &json!([{"line": "four"}])).await;
}

/// What happened while a table was not published is found, though it is
/// published again before anybody has looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_not_published_for_a_moment_is_read_again() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    client.json().await;
    server.until_woken(1).await;
    for (body, statements) in [
        ("dropped", &["alter publication ringfence_live drop table notes; UPDATE"][..]),
        (
            "back at once",
            &["alter publication ringfence_live drop table notes; UPDATE;
               alter publication ringfence_live add table notes"],
        ),
        (
            "inserts alone",
            &[
                "alter publication ringfence_live set (publish = 'insert')",
                "UPDATE",
                "alter publication ringfence_live set (publish = 'insert, update, delete, truncate')",
            ],
        ),
    ] {
        for statement in statements {
            let update = format!("update notes set body = '{body}' where id = 1");
            server.sql(&statement.replace("UPDATE", &update)).await;
        }
        until_state(&mut client, "notes", &json!([{"body": body}])).await;
        server.until_woken(1).await;
    }
}

/// The log tells nothing of generated columns, so a key with one is half a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_a_generated_key_is_polled() {
    let db = TestDb::new(SCHEMA).await;
    let table = "create table cuts (id int, k int, g int generated always as (k % 3) stored,
            tenant_id text, primary key (id, g));
        alter table cuts enable row level security;
        create policy tenant on cuts to app_user
            using (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
        grant select on cuts to app_user;
        insert into cuts (id, k, tenant_id) values (1, 0, 'a'), (1, 1, 'b')";
    db.client().await.batch_execute(table).await.expect("runs");
    let server = Server::start_on(db, &[("live.poll_interval", "50ms")]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "c", "subscription { cuts { id g } }").await;
    assert_eq!(state(&mut client, "c", "cuts").await, json!([{"id": 1, "g": 0}]));
    server.until("the log is followed", |live| live.streaming).await;
    server.sql("update cuts set k = k + 3 where tenant_id = 'a'").await;
    server.sql("update cuts set k = k + 3 where tenant_id = 'b'").await;
    server.sql("update cuts set tenant_id = 'c' where tenant_id = 'a'").await;
    assert_eq!(state(&mut client, "c", "cuts").await, json!([]));
    assert_eq!(server.live().polled_groups, 1);
}
