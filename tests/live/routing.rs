//! Whom a change wakes: those whose rows it may be, and nobody is missed.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How many groups something wakes.
async fn woken(server: &Server, sql: &str) -> u64 {
    let before = server.live();
    server.sql(sql).await;
    server.until("the commit is told", |live| live.commits > before.commits).await;
    // Groups are woken right after it is counted.
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.live().woken - before.woken
}

/// So many rows that they are not read beforehand.
const MANY: &str = "insert into notes select g, 'z', 'z' from generate_series(1000001, 1020001) g";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_wakes_those_whose_rows_it_may_be() {
    let server = Server::start(&[]).await;
    server.sql(MANY).await;
    let mut clients = Vec::new();
    for tenant in ["a", "b", "c", "d"] {
        let mut client = server.client(tenant, "1").await;
        subscribe(&mut client, "n", NOTES).await;
        client.json().await;
        clients.push(client);
    }
    // By what the caller asks for, whoever it is.
    let by_author = r#"subscription { notes(where: {author: {_in: ["7", "8"]}}) { body } }"#;
    subscribe(&mut clients[0], "x", by_author).await;
    assert_eq!(state(&mut clients[0], "x", "notes").await, json!([]));
    server.until_woken(5).await;
    assert_eq!(woken(&server, "insert into notes values (10, 'a', '7', 'ten')").await, 2);
    assert_eq!(woken(&server, "insert into notes values (11, 'e', '9', '')").await, 0);
    assert_eq!(woken(&server, "insert into notes values (12, 'b', '9', '')").await, 1);
    // What a row was is known once it was seen.
    assert_eq!(woken(&server, "update notes set body = 'x' where id = 12").await, 1);
    assert_eq!(woken(&server, "update notes set tenant_id = 'c' where id = 12").await, 2);
    assert_eq!(woken(&server, "update notes set body = 'y' where id = 2").await, 5);
    assert_eq!(woken(&server, "update notes set body = 'z' where id = 2").await, 1);
    assert_eq!(woken(&server, "delete from notes where id = 12").await, 1);
    assert_eq!(woken(&server, "truncate notes cascade").await, 5);
    // A rare text is not a key that could be missed.
    server.sql("insert into notes values (20, 'a', '7', 'last')").await;
    until_state(&mut clients[0], "notes", &json!([{"body": "last"}])).await;
    assert!(server.live().spared > 0);
}

const WITH_KEY: &str = "subscription { notes(order_by: {id: asc}) { id body } }";

/// The log does not tell whose an updated row was. Who shows rows with their
/// keys need not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_nobody_has_seen_wakes_those_who_show_it() {
    let server = Server::start(&[]).await;
    server.sql(MANY).await;
    server.sql("insert into notes values (3, 'b', '1', 'second'), (4, 'e', '1', '')").await;
    let mut clients = Vec::new();
    for tenant in ["a", "b", "c", "d"] {
        let mut client = server.client(tenant, "1").await;
        subscribe(&mut client, "n", WITH_KEY).await;
        client.json().await;
        clients.push(client);
    }
    for (client, query) in [
        (1, "subscription { notes(order_by: {id: asc}, limit: 1) { id } }"),
        (3, "subscription { notes_by_pk(id: 2) { id body } }"),
        (0, "subscription { replies { id note { id body } } }"),
        (0, "subscription { everything: notes(limit: 9) { key: id } }"),
    ] {
        subscribe(&mut clients[client], query, query).await;
        clients[client].json().await;
    }
    let [a, b, c, d] = &mut clients[..] else { panic!("four") };
    server.until_woken(8).await;
    // As it is now it may be within the limit.
    assert_eq!(woken(&server, "update notes set body = 'x' where id = 3").await, 2);
    assert_eq!(state(b, "n", "notes").await[1], json!({"id": 3, "body": "x"}));
    assert_eq!(woken(&server, "update notes set body = 'y' where id = 2").await, 2);
    assert_eq!(state(b, "n", "notes").await[0]["body"], "y");
    // Three who show it, and the one to whom it goes.
    assert_eq!(woken(&server, "update notes set tenant_id = 'c' where id = 1").await, 4);
    assert_eq!(state(c, "n", "notes").await, json!([{"id": 1, "body": "of a"}]));
    for _ in 0..3 {
        let payload = a.json().await["payload"]["data"].clone();
        let gone = [
            json!({"notes": []}),
            json!({"everything": []}),
            json!({"replies": [{"id": 1, "note": null}]}),
        ];
        assert!(gone.contains(&payload), "{payload}");
    }
    assert_eq!(woken(&server, "update notes set body = 'nobody sees it' where id = 4").await, 0);
    // Who hides the key, or what is before its rows, may have shown any row.
    for query in [
        NOTES,
        "subscription { notes(order_by: {id: asc}, offset: 1) { id } }",
        "subscription { notes_aggregate { aggregate { count } } }",
        "subscription { notes(where: {replies: {note: {id: {_gt: 0}}}}) { id } }",
    ] {
        subscribe(d, "y", query).await;
        d.json().await;
        server.until_woken(9).await;
        let commits = server.live().commits;
        server.sql("delete from notes where id < 10; insert into notes values (9, 'e', '')").await;
        // What is put in is seen; so somebody forgets it.
        server.sql("insert into notes select g, 'f' from generate_series(1000, 2200) g").await;
        server.sql("delete from notes where id between 1000 and 2200").await;
        server.until("all is told", |live| live.commits == commits + 3).await;
        // Everybody reads again, and knows then what it shows.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let woken = woken(&server, "update notes set body = 'unseen' where id = 9").await;
        assert_eq!(woken, 1, "{query}");
        d.send(json!({"id": "y", "type": "complete"}).to_string()).await;
        server.until_woken(8).await;
        while !d.is_silent(Duration::from_millis(50)).await {}
    }
}

/// Tables stay published when nobody shows them any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_nobody_shows_any_more_wake_nobody() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    for field in ["notes", "replies", "papers"] {
        subscribe(&mut client, field, &format!("subscription {{ {field} {{ id }} }}")).await;
        client.json().await;
    }
    server.until_woken(3).await;
    for field in ["replies", "papers"] {
        client.send(json!({"id": field, "type": "complete"}).to_string()).await;
    }
    server.until_woken(1).await;
    // Another table is asked for, so it is looked anew at what is published.
    subscribe(&mut client, "wide", "subscription { wide { id } }").await;
    client.json().await;
    server.until_woken(2).await;
    for _ in 0..3 {
        assert_eq!(woken(&server, "update replies set body = body || '.'").await, 0);
        assert_eq!(woken(&server, "update papers set title = title || '.'").await, 0);
    }
}

/// A row that cannot be read is in no answer, and the log does not tell whose it
/// was before it was mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_nobody_could_read_is_told_of_when_it_leaves() {
    let server = Server::start(&[]).await;
    server
        .sql("insert into shapes select g, 'z', 1 from generate_series(1000001, 1020001) g")
        .await;
    server.sql("insert into shapes values (3, 'a', 0)").await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "s", "subscription { shapes { id size } }").await;
    let failed = client.json().await;
    assert!(failed["payload"]["errors"].is_array(), "{failed}");
    server.until_woken(1).await;
    while !client.is_silent(Duration::from_millis(200)).await {}
    server.sql("update shapes set tenant_id = 'c', size = 1 where id = 3").await;
    assert_eq!(state(&mut client, "s", "shapes").await, json!([{"id": 1, "size": 1}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_identity_with_the_tenant_confines_what_is_not_known() {
    let db = TestDb::new(SCHEMA).await;
    let identity = "create unique index notes_identity on notes (tenant_id, id);
        alter table notes replica identity using index notes_identity;
        insert into notes values (3, 'b', '7', ''), (4, 'b', '8', '')";
    db.client().await.batch_execute(identity).await.expect("runs");
    db.client().await.batch_execute(MANY).await.expect("runs");
    let server = Server::start_on(db, &[]).await;
    let query = r#"subscription { notes(where: {author: {_eq: "7"}}) { body } }"#;
    let mut clients = Vec::new();
    for tenant in ["a", "b", "c", "d"] {
        let mut client = server.client(tenant, "1").await;
        subscribe(&mut client, "n", query).await;
        client.json().await;
        clients.push(client);
    }
    server.until_woken(4).await;
    // Whether it was the author's is not known, but whose tenant's it was.
    assert_eq!(woken(&server, "update notes set body = 'x' where id = 4").await, 1);
    assert_eq!(woken(&server, "update notes set tenant_id = 'c' where id = 3").await, 2);
    assert_eq!(state(&mut clients[1], "n", "notes").await, json!([]));
    assert_eq!(state(&mut clients[2], "n", "notes").await, json!([{"body": ""}]));
}

/// What the rows of a small table are is known from the start, so nobody else
/// is woken, whatever is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_small_table_are_known() {
    let server = Server::start(&[]).await;
    let queries = [
        NOTES,
        "subscription { notes(order_by: {id: asc}, offset: 1) { id } }",
        "subscription { notes_aggregate { aggregate { count } } }",
    ];
    let mut clients = Vec::new();
    for tenant in ["a", "b", "c", "d"] {
        let mut client = server.client(tenant, "1").await;
        for query in queries {
            subscribe(&mut client, query, query).await;
            client.json().await;
        }
        clients.push(client);
    }
    server.until_woken(12).await;
    // Until something was told of a table it is read again after every change of
    // an object, as that of the publication is.
    woken(&server, "update notes set body = 'w' where id = 2").await;
    // Rows, and a value of each.
    server.until("the rows are known", |live| live.remembered == 4).await;
    assert_eq!(woken(&server, "update notes set body = 'x' where id = 2").await, 3);
    assert_eq!(woken(&server, "update notes set tenant_id = 'c' where id = 1").await, 6);
    assert_eq!(woken(&server, "update notes set id = 7 where id = 2").await, 3);
    assert_eq!(woken(&server, "update notes set body = 'y' where id = 7").await, 3);
    assert_eq!(woken(&server, "delete from notes where id = 1").await, 3);
    // A value that is asked for later is read, too.
    let by_author = r#"subscription { notes(where: {author: {_eq: "2"}}) { body } }"#;
    for client in &mut clients {
        subscribe(client, "x", by_author).await;
        while client.json().await["id"] != "x" {}
    }
    server.until_woken(16).await;
    woken(&server, "update notes set body = 'z' where id = 7").await;
    server.until("the row is known", |live| live.remembered == 3).await;
    assert_eq!(woken(&server, "update notes set author = '9' where id = 7").await, 4);
    assert_eq!(woken(&server, "update notes set author = '8' where id = 7").await, 3);
    // What was not looked at is read again.
    server.sql("insert into notes select g, 'z' from generate_series(1000, 2200) g").await;
    woken(&server, "update notes set body = 'z' where id = 7").await;
    // An ANALYZE by autovacuum makes the log describe the table anew, and that is
    // once more a reason to read it.
    let start = Instant::now();
    loop {
        server.until("the rows are known", |live| live.remembered == 1202 * 3).await;
        match woken(&server, "update notes set tenant_id = 'd' where id = 1200").await {
            3 => break,
            woken => assert!(start.elapsed() < PATIENCE, "{woken} are woken"),
        }
    }
}

/// Statements that move rows about, at random.
fn statement(random: &mut StdRng) -> String {
    let id = random.random_range(1..400);
    let tenant = ["a", "b", "c", "d"][random.random_range(0..4)];
    let author = random.random_range(0..4);
    match random.random_range(0..40) {
        0..12 => format!("update notes set tenant_id = '{tenant}' where id = {id}"),
        12..17 => format!("update notes set author = '{author}' where id = {id}"),
        17..22 => format!("update notes set body = body || '.' where id = {id}"),
        22..26 => {
            format!("update notes set tenant_id = '{tenant}' where id between {id} and {id} + 5")
        }
        26..29 => {
            format!("update notes set id = {} where id = {id}", random.random_range(400..800))
        }
        29..33 => format!("delete from notes where id = {id}"),
        33..35 => format!(
            "insert into notes values ({id}, '{tenant}', '{author}', '') on conflict (id) do \
             update set tenant_id = '{tenant}', author = '{author}'"
        ),
        // So many that not all are looked at.
        35 => format!("update notes set tenant_id = '{tenant}' where id between 1000 and 1600"),
        // So many rows that all are forgotten.
        _ => "update notes set body = body where id between 1000 and 2200".to_owned(),
    }
}

/// A subscriber, and the first state that it gets.
async fn watch(server: &Server, tenant: &str, query: &str) -> (client::Client, Value) {
    let mut client = server.client(tenant, "1").await;
    subscribe(&mut client, "n", &format!("subscription {{ {query} }}")).await;
    let message = client.json().await;
    assert_eq!(message["type"], "next", "{message}");
    let last = message["payload"]["data"].clone();
    (client, last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_moves_rows_about_everybody_ends_with_what_is_there() {
    move_rows_about(&Server::start(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_moves_rows_of_a_large_table_about_everybody_ends_with_what_is_there() {
    let server = Server::start(&[]).await;
    server.sql(MANY).await;
    move_rows_about(&server).await;
}

async fn move_rows_about(server: &Server) {
    server
        .sql(
            "insert into notes select g, chr(97 + g % 4), (g % 5)::text, '' from generate_series(3, 300) g;
             insert into notes select g, 'z', '', '' from generate_series(1000, 2200) g;
             insert into replies select g, g, '' from generate_series(3, 300, 9) g",
        )
        .await;
    let queries = [
        "notes(order_by: {id: asc}) { id body }",
        "notes(order_by: {id: asc}, limit: 5) { id author }",
        r#"notes(where: {author: {_eq: "1"}}, order_by: {id: asc}) { id body tenant_id }"#,
        r#"notes(where: {author: {_in: ["2", "3"]}}, order_by: {id: desc}, limit: 9) { id }"#,
        "notes(distinct_on: author, order_by: [{author: asc}, {id: asc}]) { id author }",
        "notes(order_by: {id: asc}, offset: 3, limit: 3) { id }",
        "notes_by_pk(id: 7) { id author }",
        "notes_aggregate { aggregate { count } }",
        "replies(order_by: {id: asc}) { id note { id author } }",
        "notes(order_by: {id: asc}) { id replies(order_by: {id: asc}) { id body } }",
    ];
    let mut readers = Vec::new();
    let mut clients = Vec::new();
    for tenant in ["a", "b", "c"] {
        readers.push(server.client(tenant, "1").await);
        for query in queries {
            let (client, last) = watch(server, tenant, query).await;
            clients.push((readers.len() - 1, tenant, query, client, last));
        }
    }
    server.until_woken(30).await;
    for round in 0..25u64 {
        let mut writers = Vec::new();
        for writer in 0..3 {
            let mut random = StdRng::seed_from_u64(round * 10 + writer);
            let db = server.db.client().await;
            writers.push(tokio::spawn(async move {
                for _ in 0..4 {
                    let mut sql = statement(&mut random);
                    if random.random_bool(0.2) {
                        sql = format!("begin; {sql}; select pg_sleep(.01); commit");
                    }
                    // Keys that are taken are refused, and who waits for whom in turn.
                    if db.batch_execute(&sql).await.is_err() {
                        db.batch_execute("rollback").await.unwrap();
                    }
                }
            }));
        }
        // Somebody leaves and comes again meanwhile.
        let (_, tenant, query, client, last) = &mut clients[usize::try_from(round).unwrap()];
        (*client, *last) = watch(server, tenant, query).await;
        for writer in writers {
            writer.await.unwrap();
        }
        for (reader, _, query, client, last) in &mut clients {
            let reader = &mut readers[*reader];
            let id = format!("{round} {query}");
            subscribe(reader, &id, &format!("query {{ {query} }}")).await;
            let wanted = reader.json().await["payload"]["data"].clone();
            assert_eq!(reader.json().await["type"], "complete");
            while *last != wanted {
                *last = client.json().await["payload"]["data"].clone();
            }
        }
    }
    assert!(server.live().spared > 0);
}
