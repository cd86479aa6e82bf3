//! The same over `text/event-stream`.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::PATIENCE;
use super::{NOTES, Server, bearer, short_lived};
use crate::harness;

/// An open event stream.
pub(crate) struct Stream {
    response: reqwest::Response,
    unread: String,
}

impl Stream {
    pub(crate) async fn open(server: &Server, accept: &str, bearer: &str, query: &str) -> Stream {
        let response = harness::http()
            .post(format!("http://{}/v1/graphql", server.address))
            .header("authorization", bearer)
            .header("accept", accept)
            .header("content-type", "application/json")
            .body(json!({ "query": query }).to_string())
            .send()
            .await
            .unwrap();
        Stream { response, unread: String::new() }
    }

    fn header(&self, name: &str) -> &str {
        self.response.headers()[name].to_str().unwrap()
    }

    /// The next event with its data, comments left out; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (mut event, mut data) = (String::new(), Value::Null);
                for line in block.lines() {
                    match line.split_once(':').expect("a field") {
                        ("", _) => {}
                        ("event", name) => event = name.trim().to_owned(),
                        ("data", "") => {}
                        ("data", json) => data = serde_json::from_str(json).unwrap(),
                        _ => panic!("{line}"),
                    }
                }
                self.unread = rest.to_owned();
                if !event.is_empty() {
                    return Some((event, data));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("in time").unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    pub(crate) async fn bodies(&mut self) -> Vec<String> {
        let (event, data) = self.next().await.expect("an event");
        assert_eq!(event, "next");
        let notes = data["data"]["notes"].as_array().unwrap_or_else(|| panic!("{data}"));
        notes.iter().map(|note| note["body"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) const EVENTS: &str = "text/event-stream";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_an_open_event_stream() {
    let server = Server::start(&[("websocket.keepalive", "50ms")]).await;
    for accept in [EVENTS, "application/json, text/event-stream;q=0.5"] {
        server
            .sql("delete from notes where id = 3; update notes set body = 'of a' where id = 1")
            .await;
        let mut stream = Stream::open(&server, accept, &bearer("a"), NOTES).await;
        assert_eq!(stream.response.status(), 200);
        assert_eq!(stream.header("content-type"), EVENTS);
        assert_eq!(stream.header("cache-control"), "no-store");
        assert_eq!(stream.bodies().await, ["of a"]);
        // Postgres puts a line break between rows.
        server.sql("insert into notes values (3, 'a', 'two\nlines')").await;
        assert_eq!(stream.bodies().await, ["of a", "two\nlines"]);
        server.sql("insert into notes values (4, 'b', 'foreign')").await;
        server.sql("delete from notes where id = 4").await;
        server.sql("update notes set body = 'changed' where id = 1").await;
        assert_eq!(stream.bodies().await, ["changed", "two\nlines"]);
        let gauge = "ringfence_sockets{protocol=\"event-stream\"}";
        assert_eq!(server.metric(gauge).await, Some(1.0));
        drop(stream);
        server.until_metric(gauge, 0.0).await;
        server.until_metric("ringfence_subscriptions", 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_operations_end_their_event_stream() {
    let server = Server::start(&[]).await;
    let mut stream = Stream::open(&server, EVENTS, &bearer("a"), "{ notes { body } }").await;
    assert_eq!(stream.bodies().await, ["of a"]);
    assert_eq!(stream.next().await, Some(("complete".to_owned(), Value::Null)));
    assert_eq!(stream.next().await, None);

    for query in ["{ nots { body } }", "subscription { nots { body } }", "mutation { nothing }"] {
        let mut stream = Stream::open(&server, EVENTS, &bearer("a"), query).await;
        assert_eq!(
            (stream.response.status().as_u16(), stream.header("content-type")),
            (200, EVENTS)
        );
        let (event, data) = stream.next().await.expect("an event");
        assert_eq!(event, "next");
        assert_eq!(data["errors"][0]["extensions"]["code"], "validation-failed");
        assert_eq!(stream.next().await, Some(("complete".to_owned(), Value::Null)));
    }
    // JSON is preferred, and is enough for everything but a subscription.
    let both = "application/json, text/event-stream";
    for (query, status) in [("{ notes { body } }", 200), ("subscription { nots { body } }", 200)] {
        let stream = Stream::open(&server, both, &bearer("a"), query).await;
        assert_eq!(stream.response.status(), status);
        assert!(stream.header("content-type").starts_with("application/json"), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_ask_is_told_by_the_status() {
    let server =
        Server::start(&[("websocket.sockets_per_user", "1"), ("websocket.sockets", "2")]).await;
    let refused = Stream::open(&server, EVENTS, "Bearer x", NOTES).await;
    assert_eq!(refused.response.status(), 401);
    let mut first = Stream::open(&server, EVENTS, &bearer("a"), NOTES).await;
    assert_eq!(first.bodies().await, ["of a"]);
    let refused = Stream::open(&server, EVENTS, &bearer("a"), NOTES).await;
    assert_eq!(refused.response.status(), 429);
    let mut second = Stream::open(&server, EVENTS, &bearer("b"), NOTES).await;
    assert_eq!(second.bodies().await, ["of b"]);
    let refused = Stream::open(&server, EVENTS, &bearer("c"), NOTES).await;
    assert_eq!(refused.response.status(), 503);
    assert_eq!(refused.header("retry-after"), "5");

    // As a browser opens it; what changes data is not asked for by GET.
    drop((first, second));
    server.until_metric("ringfence_sockets{protocol=\"event-stream\"}", 0.0).await;
    for (query, status) in [(NOTES, 200), ("mutation { nothing }", 405)] {
        let mut url =
            reqwest::Url::parse(&format!("http://{}/v1/graphql", server.address)).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let request = harness::http().get(url).header("accept", EVENTS);
        let response = request.header("authorization", bearer("a")).send().await.unwrap();
        assert_eq!(response.status(), status);
        if status == 200 {
            let mut stream = Stream { response, unread: String::new() };
            assert_eq!(stream.bodies().await, ["of a"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_has_marks_however_it_is_asked_for() {
    let server = Server::start(&[]).await;
    let ask = async |live: Value, by_get: bool| {
        let extensions = json!({ "live": live });
        let mut url =
            reqwest::Url::parse(&format!("http://{}/v1/graphql", server.address)).unwrap();
        let request = if by_get {
            url.query_pairs_mut()
                .append_pair("query", NOTES)
                .append_pair("extensions", &extensions.to_string());
            harness::http().get(url)
        } else {
            let body = json!({"query": NOTES, "extensions": extensions});
            let request = harness::http().post(url).header("content-type", "application/json");
            request.body(body.to_string())
        };
        let request = request.header("accept", EVENTS).header("authorization", bearer("a"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Stream { response, unread: String::new() }
    };
    let mut hashes = Vec::new();
    for by_get in [true, false] {
        server.sql("update notes set body = 'of a' where id = 1").await;
        let (_, first) = ask(json!({}), by_get).await.next().await.expect("an event");
        let hash = first["extensions"]["live"]["hash"].clone();
        assert!(hash.is_string(), "{first}");
        hashes.push(hash.clone());
        // Who has it already gets the next one; but a browser sends the same URL
        // again, also when it shows something else.
        let mut stream = ask(json!({ "hash": hash }), by_get).await;
        if by_get {
            assert_eq!(stream.bodies().await, ["of a"]);
        }
        server.until_metric("ringfence_subscriptions", 1.0).await;
        server.sql("update notes set body = 'changed' where id = 1").await;
        assert_eq!(stream.bodies().await, ["changed"]);
        drop(stream);
        server.until_metric("ringfence_subscriptions", 0.0).await;

        let mut stream = ask(json!({"hash": 5}), by_get).await;
        let (event, data) = stream.next().await.expect("an event");
        assert_eq!(event, "next");
        let error = &data["errors"][0];
        assert_eq!(error["message"], "expected a string, got a number", "{data}");
        assert_eq!(error["extensions"]["path"], "$.extensions.live.hash", "{data}");
        assert_eq!(stream.next().await, Some(("complete".to_owned(), Value::Null)));
    }
    assert_eq!(hashes[0], hashes[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_end_with_the_token_and_with_the_server() {
    let server = Server::start(&[]).await;
    let mut short = Stream::open(&server, EVENTS, &short_lived(4).bearer(), NOTES).await;
    assert_eq!(short.bodies().await, ["of a"]);
    let (_, data) = short.next().await.expect("the end");
    assert_eq!(data["errors"][0]["extensions"]["code"], "invalid-jwt");
    assert_eq!(short.next().await.expect("the end").0, "complete");
    assert_eq!(short.next().await, None);

    let mut stream = Stream::open(&server, EVENTS, &bearer("a"), NOTES).await;
    assert_eq!(stream.bodies().await, ["of a"]);
    server.stop.cancel();
    // Without a word, so that clients connect again.
    assert_eq!(stream.next().await, None);
    tokio::time::timeout(PATIENCE, server.serving).await.expect("ends in time").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_events_gets_the_last_state() {
    let server = Server::start(&[]).await;
    let large = 3_000_000;
    server.sql(&format!("update notes set body = '0' || repeat('x', {large})")).await;
    let mut stream = Stream::open(&server, EVENTS, &bearer("a"), NOTES).await;
    for n in 1..=14 {
        server.sql(&format!("update notes set body = '{n}' || repeat('x', {large})")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut states = Vec::new();
    while states.last().is_none_or(|state| *state != 14) {
        let body = stream.bodies().await.remove(0);
        states.push(body.split('x').next().unwrap().parse::<u32>().unwrap());
    }
    assert!(states.is_sorted(), "{states:?}");
    assert!(states.len() < 11, "{states:?}");
}
