//! Streaming subscriptions: every row after the cursor once, in order.

use super::*;

const STREAM: &str = "subscription Stream($from: Int!, $batch: Int!) {
    notes_stream(cursor: {initial_value: {id: $from}, ordering: ASC}, batch_size: $batch) { id } }";

async fn stream(client: &mut Client, query: &str, variables: Value) {
    let message = json!({"id": "s", "type": "subscribe",
        "payload": {"query": query, "variables": variables}});
    client.send(message.to_string()).await;
}

/// The ids of the next batch.
async fn batch(client: &mut Client) -> Vec<i64> {
    let rows = state(client, "s", "notes_stream").await;
    rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_after_the_cursor_come_once_and_in_order() {
    let server = Server::start(&[]).await;
    server.sql("insert into notes select g, 'a', '', '' from generate_series(10, 15) g").await;
    let mut client = server.client("a", "1").await;
    stream(&mut client, STREAM, json!({"from": 9, "batch": 4})).await;
    assert_eq!(batch(&mut client).await, [10, 11, 12, 13]);
    assert_eq!(batch(&mut client).await, [14, 15]);
    server.until_woken(1).await;
    // Nothing is sent while there is nothing.
    server.sql("update notes set body = 'changed'; insert into notes values (16, 'b')").await;
    assert!(client.is_silent(Duration::from_millis(200)).await);
    server.sql("insert into notes values (17, 'a'), (20, 'a'), (18, 'a')").await;
    assert_eq!(batch(&mut client).await, [17, 18, 20]);
    server.sql("insert into notes values (19, 'a'), (21, 'a')").await;
    assert_eq!(batch(&mut client).await, [21]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_down_and_keeps_to_its_condition() {
    let server = Server::start(&[]).await;
    server
        .sql("insert into notes select g, 'a', (g % 2)::text from generate_series(10, 15) g")
        .await;
    let mut client = server.client("a", "1").await;
    let query = r#"subscription { notes_stream(
        cursor: [{initial_value: {id: 15}, ordering: DESC}], batch_size: 2,
        where: {author: {_eq: "0"}}) { id } }"#;
    stream(&mut client, query, json!({})).await;
    assert_eq!(batch(&mut client).await, [14, 12]);
    assert_eq!(batch(&mut client).await, [10]);
    server.until_woken(1).await;
    server.sql("insert into notes values (5, 'a', '1'), (4, 'a', '0')").await;
    assert_eq!(batch(&mut client).await, [4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_and_a_small_batch_lose_nothing() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    stream(&mut client, STREAM, json!({"from": 1000, "batch": 3})).await;
    server.until("the log is followed", |live| live.streaming && live.woken_groups == 1).await;
    let writer = async {
        let db = server.db.client().await;
        for id in 1001..1101 {
            db.execute("insert into notes values ($1, 'a')", &[&id]).await.unwrap();
        }
    };
    let reader = async {
        let mut seen = Vec::new();
        while seen.len() < 100 {
            let next = batch(&mut client).await;
            assert!(!next.is_empty() && next.len() <= 3, "{next:?}");
            seen.extend(next);
        }
        seen
    };
    let ((), seen) = tokio::join!(writer, reader);
    assert_eq!(seen, (1001..1101).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_one_column() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    for (cursor, message) in [
        ("[]", "one streaming column field is expected"),
        ("{initial_value: {}}", "one streaming column field is expected"),
        ("{initial_value: {id: 1, body: \"x\"}}", "multiple column cursors are not supported yet"),
    ] {
        let query =
            format!("subscription {{ notes_stream(cursor: {cursor}, batch_size: 1) {{ id }} }}");
        stream(&mut client, &query, json!({})).await;
        let refused = client.json().await;
        assert_eq!(refused["type"], "error", "{refused}");
        assert_eq!(refused["payload"][0]["message"], message);
        assert_eq!(refused["payload"][0]["extensions"]["code"], "parse-failed");
    }
    // A null is no cursor.
    server.sql("insert into notes values (30, 'a')").await;
    for (declared, cursor, variable) in [
        ("", "[null, {initial_value: {id: 29}}]", json!({})),
        (
            "($c: [notes_stream_cursor_input]!)",
            "$c",
            json!({"c": [{"initial_value": {"id": 29}}, null]}),
        ),
        ("($c: notes_stream_cursor_input!)", "$c", json!({"c": {"initial_value": {"id": 29}}})),
    ] {
        let query = format!(
            "subscription Nulls{declared} {{ notes_stream(cursor: {cursor}, batch_size: 1) {{ id }} }}"
        );
        stream(&mut client, &query, variable).await;
        assert_eq!(batch(&mut client).await, [30], "{query}");
        client.send(json!({"id": "s", "type": "complete"}).to_string()).await;
    }
    // Nothing comes after null.
    let query = "subscription { notes_stream(cursor: {initial_value: {author: null}}, batch_size: 1) { id } }";
    stream(&mut client, query, json!({})).await;
    assert!(client.is_silent(Duration::from_millis(200)).await);
}

/// Hasura takes 0, and then nothing ever comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_at_least_one_row() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    for batch in [0, -1] {
        let literal = STREAM
            .replace("$from: Int!, $batch: Int!", "$from: Int!")
            .replace("$batch", &batch.to_string());
        for (query, found) in [(STREAM, "a number"), (literal.as_str(), "an integer")] {
            let variables = match found {
                "a number" => json!({"from": 0, "batch": batch}),
                _ => json!({"from": 0}),
            };
            stream(&mut client, query, variables).await;
            let refused = client.json().await;
            assert_eq!(refused["type"], "error", "{refused}");
            let error = &refused["payload"][0];
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("expected a positive 32-bit integer"), "{message}");
            let path = "$.selectionSet.notes_stream.args.batch_size";
            assert_eq!(error["extensions"]["path"], path);
        }
    }
    stream(&mut client, STREAM, json!({"from": 0, "batch": 1})).await;
    assert_eq!(batch(&mut client).await, [1]);
}
