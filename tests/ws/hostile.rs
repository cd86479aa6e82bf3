//! Clients that break the rules, say nothing, say too much, or do not listen.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_tungstenite::tungstenite::Message;

use super::client::{PATIENCE, Raw, Said};
use super::{LEGACY, NOTES, Server, TRANSPORT, bearer, bodies, init, start, subscribe};

/// A state of this many bytes does not fit into the kernel's buffers twice.
const LARGE: usize = 3_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_frames_end_the_socket_and_nothing_else() {
    let server = Server::start(&[("limits.body", "100KiB")]).await;
    let mut bystander = server.ready(TRANSPORT).await;
    let hello = init(&bearer("a"));
    let masked = Raw::frame(0x81, hello.as_bytes());
    let long = "x".repeat(101 * 1024);
    for (ready, bytes, code) in [
        (false, vec![0x81, 0x02, b'{', b'}'], 1002),
        (false, Raw::frame(0xc1, b"{}"), 1002),
        (false, Raw::frame(0x83, b"{}"), 1002),
        (false, Raw::frame(0x89, &[b'x'; 126]), 1002),
        (false, Raw::frame(0x80, b"{}"), 1002),
        (false, Raw::frame(0x81, b"\xff\xfe"), 1007),
        (false, Raw::frame(0x81, &long.as_bytes()[..65 * 1024]), 1009),
        (true, Raw::frame(0x81, long.as_bytes()), 1009),
        (
            true,
            [
                Raw::frame(0x01, &long.as_bytes()[..60_000]),
                Raw::frame(0x80, &long.as_bytes()[..60_000]),
            ]
            .concat(),
            1009,
        ),
        (true, vec![0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009),
    ] {
        for protocol in ["graphql-transport-ws", "graphql-ws"] {
            let mut client = Raw::open(server.address, protocol).await;
            if ready {
                client.send(&masked).await;
                assert!(client.next().await.is_some());
            }
            client.send(&bytes).await;
            let shown = &bytes[..bytes.len().min(20)];
            assert_eq!(client.closed().await, Some(code), "{protocol} {shown:02x?}");
            assert_eq!(client.next().await, None);
        }
    }
    bystander.send(subscribe("1", "{ notes { body } }")).await;
    assert_eq!(bystander.json().await["type"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_messages_are_refused_in_words() {
    let server = Server::start(&[]).await;
    let long_id = start(&"x".repeat(2000), NOTES);
    let deep = format!(
        r#"{{"type":"start","id":"1","payload":{{"query":"{{a}}","variables":{{"a":{}"#,
        "[".repeat(60_000)
    );
    let number = r#"{"type":"start","id":7,"payload":{"query":"{a}"}}"#;
    for text in [long_id.as_str(), &deep, number, "", "\"x\"", "null", "{\"type\":\"\\ud800\"}"] {
        let shown = &text[..text.len().min(60)];
        let mut client = server.ready(LEGACY).await;
        client.send(text).await;
        assert_eq!(client.json().await["type"], "connection_error", "{shown}");
        // The socket is as good as before.
        client.send(start("1", "{ notes { body } }")).await;
        assert_eq!(client.json().await["type"], "data");

        let mut client = server.ready(TRANSPORT).await;
        client.send(text.replace("start", "subscribe")).await;
        let closed = client.hear().await;
        assert!(matches!(closed, Said::Close(4400, _)), "{shown}: {closed:?}");
    }
    for (protocol, code) in [(TRANSPORT, 4400), (LEGACY, 1003)] {
        let mut client = server.ready(protocol).await;
        client.send_message(Message::binary(b"{}".to_vec())).await;
        let reason = "messages are JSON in text frames".to_owned();
        assert_eq!(client.hear().await, Said::Close(code, reason));
    }
    // What is wrong with one operation is told to it, and the socket goes on.
    for (protocol, kind) in [(TRANSPORT, "subscribe"), (LEGACY, "start")] {
        let mut client = server.ready(protocol).await;
        for (live, path, expected) in [
            (json!("x"), "$.extensions.live", "expected an object, got a string"),
            (json!([]), "$.extensions.live", "expected an object, got a list"),
            (json!({"hash": 5}), "$.extensions.live.hash", "expected a string, got a number"),
        ] {
            let payload = json!({"query": NOTES, "extensions": {"live": live}});
            let begin = json!({"id": "1", "type": kind, "payload": payload});
            client.send(begin.to_string()).await;
            let told = client.json().await;
            assert_eq!((&told["id"], &told["type"]), (&json!("1"), &json!("error")), "{told}");
            let errors = match protocol {
                LEGACY => &told["payload"]["errors"],
                _ => &told["payload"],
            };
            assert_eq!(errors[0]["message"], expected);
            assert_eq!(errors[0]["extensions"]["path"], path);
            if protocol == LEGACY {
                assert_eq!(client.json().await["type"], "complete");
            }
        }
        let payload = json!({"query": "{ notes { body } }",
            "extensions": {"transaction": {"name": "of another tool"}}});
        client.send(json!({"id": "1", "type": kind, "payload": payload}).to_string()).await;
        assert_eq!(bodies(&client.json().await), ["of a"]);
    }
    // Errors name the operation by the same id, whatever is in it.
    let mut client = server.ready(TRANSPORT).await;
    let id = "\u{0}\"\\\u{1F600}</script>\n";
    client.send(subscribe(id, "{ nots { id } }")).await;
    let message = client.json().await;
    assert_eq!((&message["id"], &message["type"]), (&json!(id), &json!("error")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_never_begin_are_closed() {
    let server = Server::start(&[("websocket.init_timeout", "1s")]).await;
    let mut silent = Vec::new();
    for n in 0..500 {
        let protocol = if n % 2 == 0 { "graphql-transport-ws" } else { "graphql-ws" };
        let mut client = Raw::open(server.address, protocol).await;
        match n % 3 {
            0 => {}
            // The beginning of a message, and then nothing.
            1 => client.send(&[0x81, 0xfe, 0xff, 0x00, 0, 0, 0, 0, b'{']).await,
            // Signs of life are no beginning.
            _ => client.send(&Raw::frame(0x8a, b"")).await,
        }
        silent.push(client);
    }
    for client in &mut silent {
        assert_eq!(client.closed().await, Some(4408));
    }
    server.until_metric("ringfence_sockets{protocol=\"graphql-ws\"}", 0.0).await;
    server.until_metric("ringfence_sockets{protocol=\"graphql-transport-ws\"}", 0.0).await;
    let closed = server.metric("ringfence_socket_closes_total{code=\"4408\",by=\"server\"}").await;
    assert_eq!(closed, Some(500.0));
    let mut client = server.ready(TRANSPORT).await;
    client.send(subscribe("1", "{ notes { body } }")).await;
    assert_eq!(client.json().await["type"], "next");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_is_answered_as_far_as_it_is_read() {
    let server = Server::start(&[]).await;
    let payload = format!(r#"{{"type":"ping","payload":{{"a":"{}"}}}}"#, "x".repeat(500));
    for ping in [Raw::frame(0x89, &[b'x'; 125]), Raw::frame(0x81, payload.as_bytes())] {
        let mut client = Raw::open(server.address, "graphql-transport-ws").await;
        client.say(&init(&bearer("a"))).await;
        assert!(client.next().await.is_some());
        let (read, mut write) = client.stream.into_split();
        // More than the kernel keeps for both sides.
        let pings = 20_000_000 / ping.len();
        let sending = tokio::spawn(async move {
            for chunk in ping.repeat(pings).chunks(64 * 1024) {
                write.write_all(chunk).await.unwrap();
            }
            write
        });
        // Nothing is read yet: the server does not read either.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!sending.is_finished());
        let mut read = BufReader::new(read);
        let reading = async {
            for _ in 0..pings {
                let first = read.read_u8().await.unwrap();
                let length = match read.read_u8().await.unwrap() {
                    126 => read.read_u16().await.unwrap(),
                    length => u16::from(length),
                };
                read.read_exact(&mut vec![0; usize::from(length)]).await.unwrap();
                assert!(matches!(first, 0x8a | 0x81), "{first:02x}");
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("all are answered");
        sending.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_skips_states_and_gets_the_last() {
    let server = Server::start(&[]).await;
    server.sql(&format!("update notes set body = '0' || repeat('x', {LARGE})")).await;
    let mut client = Raw::open(server.address, "graphql-transport-ws").await;
    client.say(&init(&bearer("a"))).await;
    client.say(&subscribe("1", NOTES)).await;
    for n in 1..=14 {
        server.sql(&format!("update notes set body = '{n}' || repeat('x', {LARGE})")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut states = Vec::new();
    while states.last().is_none_or(|state| *state != 14) {
        let (first, payload) = client.next().await.expect("the last state comes");
        let text = String::from_utf8(payload).unwrap();
        if let Some((_, body)) = text.split_once(r#""body":""#) {
            assert_eq!(first, 0x81);
            states.push(body.split('x').next().unwrap().parse::<u32>().unwrap());
        }
    }
    assert!(states.is_sorted(), "{states:?}");
    assert!(states.len() < 9, "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_is_dropped() {
    let server = Server::start_with(&[], |mut options| {
        options.write_time = Duration::from_secs(1);
        options
    })
    .await;
    server.sql(&format!("update notes set body = repeat('x', {LARGE})")).await;
    let mut client = Raw::open(server.address, "graphql-transport-ws").await;
    client.say(&init(&bearer("a"))).await;
    for n in 0..5 {
        client.say(&subscribe(&n.to_string(), NOTES)).await;
    }
    server.until_metric("ringfence_sockets{protocol=\"graphql-transport-ws\"}", 1.0).await;
    server.until_metric("ringfence_sockets{protocol=\"graphql-transport-ws\"}", 0.0).await;
    server.until_metric("ringfence_subscriptions", 0.0).await;
    assert_eq!(
        server.metric("ringfence_socket_closes_total{code=\"none\",by=\"lost\"}").await,
        Some(1.0)
    );
}
