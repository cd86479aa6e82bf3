//! Streams that tell which of the rows that they have sent have left.

use super::*;

const STREAM: &str = "subscription Stream($from: Int!, $batch: Int!) {
    notes_stream(cursor: {initial_value: {id: $from}, ordering: ASC}, batch_size: $batch) { id } }";
const SHAPES: &str = "subscription {
    shapes_stream(cursor: {initial_value: {size: 50}}, batch_size: 10) { id } }";

async fn begin(client: &mut Client, query: &str, variables: Value, live: Value) {
    let payload = json!({"query": query, "variables": variables, "extensions": {"live": live}});
    client.send(json!({"id": "s", "type": "subscribe", "payload": payload}).to_string()).await;
}

async fn stream(client: &mut Client, query: &str) {
    begin(client, query, json!({"from": 9, "batch": 2000}), json!({"left": true})).await;
}

/// The next frame: the ids of its rows, and of those that have left.
async fn frame(client: &mut Client) -> (Vec<i64>, Vec<i64>) {
    let message = client.json().await;
    assert_eq!(message["type"], "next", "{message}");
    let payload = &message["payload"];
    let data = payload["data"].as_object().unwrap_or_else(|| panic!("{message}"));
    let rows = data.values().next().unwrap().as_array().unwrap();
    let left = payload["extensions"]["live"]["left"].as_array().cloned().unwrap_or_default();
    let id = |row: &Value| row["id"].as_i64().unwrap();
    let key = |told: &Value| {
        assert_eq!((told.as_object().unwrap().len(), &told["op"]), (2, &json!("LEAVE")));
        assert_eq!(told["key"].as_object().unwrap().len(), 1, "{told}");
        id(&told["key"])
    };
    (rows.iter().map(id).collect(), left.iter().map(key).collect())
}

async fn assert_silent(client: &mut Client) {
    assert!(client.is_silent(Duration::from_millis(300)).await);
}

/// A server with the notes 10 to 15 of tenant a, and a client that has them.
async fn with_notes() -> (Server, Client) {
    let server = Server::start(&[]).await;
    server.sql("insert into notes select g, 'a', 'x', '' from generate_series(10, 15) g").await;
    let mut client = server.client("a", "1").await;
    stream(&mut client, STREAM).await;
    assert_eq!(frame(&mut client).await, ((10..16).collect(), vec![]));
    server.until_woken(1).await;
    (server, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_sent_and_left_are_told_once() {
    let (server, mut client) = with_notes().await;
    server.sql("delete from notes where id = 10").await;
    let message = client.json().await;
    assert_eq!(message["payload"]["data"], json!({"notes_stream": []}));
    let live = message["payload"]["extensions"]["live"].as_object().unwrap();
    assert_eq!(live["left"], json!([{"op": "LEAVE", "key": {"id": 10}}]));
    assert!(live.keys().all(|key| key == "left" || key == "position"), "{live:?}");
    // It looks the same when another tenant has it now.
    server.sql("update notes set tenant_id = 'b' where id = 11").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![11]));
    // What was not sent, is another tenant's, was told already, or is still there.
    server.sql("delete from notes where id in (1, 2, 11)").await;
    server.sql("insert into notes values (40, 'b'), (5, 'a')").await;
    server.sql("delete from notes where id in (40, 5); update notes set body = 'new'").await;
    assert_silent(&mut client).await;
    // Beside rows that come, and in one frame what one commit takes away.
    server
        .sql("begin; delete from notes where id = 13; insert into notes values (30, 'a'); commit")
        .await;
    assert_eq!(frame(&mut client).await, (vec![30], vec![13]));
    server.sql("delete from notes").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![12, 14, 15, 30]));
    assert_silent(&mut client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_leaves_the_condition_and_a_schema_changes_meanwhile() {
    let server = Server::start(&[]).await;
    server.sql("insert into notes select g, 'a', 'x', '' from generate_series(10, 13) g").await;
    let mut client = server.client("a", "1").await;
    let query = STREAM.replace("batch_size", r#"where: {author: {_eq: "x"}}, batch_size"#);
    stream(&mut client, &query).await;
    assert_eq!(frame(&mut client).await.0, [10, 11, 12, 13]);
    server.until_woken(1).await;
    server.sql("update notes set author = 'y' where id = 12").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![12]));
    // What was sent is remembered when everything is planned anew.
    server.sql("alter table notes add column more int; delete from notes where id = 10").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![10]));
    server.sql("drop policy tenant on notes").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![11, 13]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_comes_back_may_leave_again() {
    let server = Server::start(&[]).await;
    server.sql("insert into shapes values (10, 'a', 100), (11, 'a', 101)").await;
    let mut client = server.client("a", "1").await;
    stream(&mut client, SHAPES).await;
    assert_eq!(frame(&mut client).await, (vec![10, 11], vec![]));
    server.until_woken(1).await;
    for size in [102, 103] {
        server.sql("delete from shapes where id = 10").await;
        assert_eq!(frame(&mut client).await, (vec![], vec![10]));
        server.sql(&format!("insert into shapes values (10, 'a', {size})")).await;
        assert_eq!(frame(&mut client).await, (vec![10], vec![]));
    }
    // Back before anybody looked, and behind the cursor.
    server
        .sql("begin; delete from shapes where id = 10; insert into shapes values (10, 'a', 104); commit")
        .await;
    assert_eq!(frame(&mut client).await, (vec![10], vec![]));
    server.sql("update shapes set size = 1 where id = 11").await;
    assert_silent(&mut client).await;
}

/// A policy that raises on a row that is not read any more: the stream goes on,
/// and what left meanwhile is told when it can be found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_is_told_later_where_it_cannot_be_looked_for() {
    let server = Server::start(&[]).await;
    server.sql("insert into shapes values (10, 'a', 100), (11, 'a', 101)").await;
    let mut client = server.client("a", "1").await;
    stream(&mut client, SHAPES).await;
    assert_eq!(frame(&mut client).await, (vec![10, 11], vec![]));
    server.until_woken(1).await;
    server
        .sql("begin; delete from shapes where id = 10; update shapes set size = 0 where id = 11; commit")
        .await;
    assert_silent(&mut client).await;
    server.sql("insert into shapes values (12, 'a', 103)").await;
    assert_eq!(frame(&mut client).await, (vec![12], vec![]));
    server.sql("update shapes set size = 1 where id = 11").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![10]));
    server.sql("delete from shapes").await;
    assert_eq!(frame(&mut client).await, (vec![], vec![11, 12]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_thousand_are_told_of_and_small_batches_lose_none() {
    let server = Server::start(&[]).await;
    server.sql("insert into notes select g, 'a' from generate_series(10, 1019) g").await;
    let mut client = server.client("a", "1").await;
    let variables = json!({"from": 9, "batch": 101});
    begin(&mut client, STREAM, variables, json!({"left": true})).await;
    for batch in 0..10 {
        let first = 10 + batch * 101;
        assert_eq!(frame(&mut client).await, ((first..first + 101).collect(), vec![]));
    }
    server.until_woken(1).await;
    server.sql("delete from notes where id <= 30").await;
    assert_eq!(frame(&mut client).await, (vec![], (20..31).collect()));
    // They go while others come, a few at a time.
    let mut slow = server.client("a", "1").await;
    let variables = json!({"from": 0, "batch": 3});
    begin(&mut slow, STREAM, variables, json!({"left": true})).await;
    let (mut sent, mut told, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    while sent.last() != Some(&1019) {
        let (rows, left) = frame(&mut slow).await;
        sent.extend(rows);
        told.extend(left);
        if sent.len() % 99 == 0 {
            let last = *sent.last().unwrap();
            server.sql(&format!("delete from notes where id = {last}")).await;
            gone.push(last);
        }
    }
    while told.len() < gone.len() {
        told.extend(frame(&mut slow).await.1);
    }
    assert_eq!(told, gone);
    server.sql("delete from notes").await;
    told.extend(frame(&mut slow).await.1);
    told.sort_unstable();
    assert_eq!(told, sent);
    assert_silent(&mut slow).await;
}

/// The next data in the older protocol.
async fn data(client: &mut Client) -> Value {
    loop {
        let message = client.json().await;
        match message["type"].as_str() {
            Some("data") => return message["payload"].clone(),
            Some("connection_ack" | "ka") => {}
            _ => panic!("{message}"),
        }
    }
}

/// Also under other names, and of other types than numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_told_as_they_were_sent() {
    let odd = r#"
        create table odd (
            n bigint, at timestamptz, name varchar(20), made int, primary key (n, at, name));
        insert into odd values
            (9007199254740993, '2024-01-01 10:00+02', 'a "b", \{}', 1), (2, 'infinity', '', 2);
        grant select on odd to app_user;"#;
    let server = Server::start_on(TestDb::new(&format!("{SCHEMA}{odd}")).await, &[]).await;
    let token = Token::new("user").tenant("a").user("1");
    let mut client =
        Client::open(server.address, Some("graphql-ws"), &[]).await.expect("is accepted");
    let init = json!({"type": "connection_init",
        "payload": {"headers": {"Authorization": token.bearer()}}});
    client.send(init.to_string()).await;
    let query = "subscription { all: odd_stream(
        cursor: {initial_value: {made: 0}}, batch_size: 5) { called: name made n at } }";
    let payload = json!({"query": query, "extensions": {"live": {"left": true}}});
    client.send(json!({"id": "s", "type": "start", "payload": payload}).to_string()).await;
    let rows = data(&mut client).await["data"]["all"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 2);
    server.until_woken(1).await;
    let mut told = Vec::new();
    for made in [2, 1] {
        server.sql(&format!("delete from odd where made = {made}")).await;
        let payload = data(&mut client).await;
        assert_eq!(payload["data"], json!({"all": []}));
        told.extend(payload["extensions"]["live"]["left"].as_array().cloned().unwrap());
    }
    let key = |row: &Value| json!({"n": row["n"], "at": row["at"], "called": row["called"]});
    let wanted: Vec<Value> =
        rows.iter().rev().map(|row| json!({"op": "LEAVE", "key": key(row)})).collect();
    assert_eq!(told, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_tell_it_too() {
    let server = Server::start(&[]).await;
    server.sql("insert into notes values (10, 'a'), (11, 'a')").await;
    let body = json!({"query": STREAM, "variables": {"from": 9, "batch": 5},
        "extensions": {"live": {"left": true}}});
    let mut response = harness::http()
        .post(format!("http://{}/v1/graphql", server.address))
        .header("authorization", Token::new("user").tenant("a").user("1").bearer())
        .header("accept", "text/event-stream")
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    let mut until = async |wanted: &str| {
        while !text.contains(wanted) {
            let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("in time");
            text.push_str(std::str::from_utf8(&chunk.unwrap().expect("goes on")).unwrap());
        }
    };
    until(r#""id":11"#).await;
    server.until_woken(1).await;
    server.sql("delete from notes where id = 10").await;
    until(r#""left":[{"op":"LEAVE","key":{"id":10}}]"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_it_where_nobody_could_tell_is_refused() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    let unkeyed = STREAM.replace("{ id } }", "{ body } }");
    let part = "subscription { members_stream(cursor: {initial_value: {team: 0}}, batch_size: 1) { team } }";
    let none =
        "subscription { logs_stream(cursor: {initial_value: {at: 0}}, batch_size: 1) { at } }";
    for (query, message) in [
        (unkeyed.as_str(), "rows that have left are told by their primary key"),
        (part, "rows that have left are told by their primary key"),
        (none, "rows that have left are told by their primary key"),
        (NOTES, "only a stream tells which rows have left"),
    ] {
        stream(&mut client, query).await;
        let refused = client.json().await;
        assert_eq!(refused["type"], "error", "{refused}");
        let error = &refused["payload"][0];
        assert!(error["message"].as_str().unwrap().starts_with(message), "{error}");
        assert_eq!(error["extensions"]["path"], "$.extensions.live.left");
        assert_eq!(error["extensions"]["code"], "validation-failed");
    }
    begin(&mut client, STREAM, json!({"from": 0, "batch": 1}), json!({"left": 1})).await;
    let refused = client.json().await;
    assert_eq!(refused["payload"][0]["message"], "expected a boolean, got a number");
    assert_eq!(refused["payload"][0]["extensions"]["path"], "$.extensions.live.left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_ask_is_told_nothing() {
    let server = Server::start(&[]).await;
    server.sql("insert into notes values (10, 'a'), (11, 'a')").await;
    for live in [json!(null), json!({}), json!({"left": false})] {
        let mut client = server.client("a", "1").await;
        begin(&mut client, STREAM, json!({"from": 9, "batch": 5}), live).await;
        assert_eq!(frame(&mut client).await, (vec![10, 11], vec![]));
        server.until_woken(1).await;
        server.sql("delete from notes where id = 11").await;
        assert_silent(&mut client).await;
        server.sql("insert into notes values (11, 'a')").await;
        drop(client);
        server.until("it ended", |live| live.woken_groups == 0).await;
    }
}
