//! Clients that do not take what they asked for.

use super::client::Raw;
use super::*;

async fn join(address: SocketAddr, tenant: &str, query: &str) -> Raw {
    let mut raw = Raw::open(address, "graphql-transport-ws").await;
    let token = Token::new("user").tenant(tenant).user("1");
    let init = json!({"type": "connection_init",
        "payload": {"headers": {"Authorization": token.bearer()}}});
    raw.say(&init.to_string()).await;
    let message = json!({"id": "s", "type": "subscribe", "payload": {"query": query}});
    raw.say(&message.to_string()).await;
    raw
}

/// What it is sent next, pings aside.
async fn told(raw: &mut Raw) -> Value {
    loop {
        let (first, payload) = raw.next().await.expect("goes on");
        if first == 0x81 {
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_holds_nobody_up_and_gets_the_last_state() {
    let server = Server::start(&[]).await;
    // A state that no buffer on the way holds.
    server
        .sql("insert into notes select g, 'a', '', repeat('x', 4000) from generate_series(10, 509) g")
        .await;
    let query = "subscription { notes(order_by: {id: asc}) { id body } }";
    let mut slow = join(server.address, "a", query).await;
    let mut other = server.client("a", "2").await;
    subscribe(&mut other, "n", query).await;
    let first = state(&mut other, "n", "notes").await;
    assert_eq!(first.as_array().unwrap().len(), 501);
    server.until_woken(1).await;
    for round in 0..12 {
        server.sql(&format!("update notes set body = 'round {round}' where id = 1")).await;
        let body = json!(format!("round {round}"));
        while state(&mut other, "n", "notes").await[0]["body"] != body {}
    }
    assert_eq!(told(&mut slow).await["type"], "connection_ack");
    let mut states = 0;
    loop {
        let message = told(&mut slow).await;
        states += 1;
        if message["payload"]["data"]["notes"][0]["body"] == "round 11" {
            break;
        }
        assert_eq!(message["type"], "next", "{}", message["type"]);
    }
    assert!(states <= 3, "{states} states were kept for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_sockets_that_nobody_holds_any_more_are_given_up() {
    let server = Server::start(&[("websocket.ping", "3s")]).await;
    let mut client = server.client("a", "1").await;
    subscribe(&mut client, "n", NOTES).await;
    assert_eq!(state(&mut client, "n", "notes").await, json!([{"body": "of a"}]));
    let mut dead = Vec::new();
    for index in 0..500 {
        dead.push(match index % 5 {
            // Not even a token.
            0 => Raw::open(server.address, "graphql-transport-ws").await,
            1 => join(server.address, "b", NOTES).await,
            _ => join(server.address, "a", NOTES).await,
        });
    }
    let start = Instant::now();
    let mut round = 0;
    while server.app.engine.open_subscriptions() > 1 || round < 3 {
        assert!(start.elapsed() < PATIENCE, "{} are open", server.app.engine.open_subscriptions());
        round += 1;
        server.sql(&format!("update notes set body = 'round {round}' where id = 1")).await;
        until_state(&mut client, "notes", &json!([{"body": format!("round {round}")}])).await;
        assert!(client.is_silent(Duration::from_millis(100)).await);
    }
    server.until_woken(1).await;
    drop(dead);
}
