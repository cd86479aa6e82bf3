//! Who comes back with what it had, and which state shows a write.

use super::*;

async fn with_marks(client: &mut Client, id: &str, query: &str, live: Value) {
    let payload = json!({"query": query, "extensions": {"live": live}});
    let message = json!({"id": id, "type": "subscribe", "payload": payload});
    client.send(message.to_string()).await;
}

fn hash(message: &Value) -> &str {
    message["payload"]["extensions"]["live"]["hash"].as_str().expect("a hash")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_is_sent_what_changed_meanwhile_and_nothing_else() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    // Others are not told what they did not ask for.
    subscribe(&mut client, "plain", NOTES).await;
    assert!(client.json().await["payload"]["extensions"].is_null());
    let mut client = server.client("a", "1").await;
    with_marks(&mut client, "n", NOTES, json!({})).await;
    let first = client.json().await;
    assert_eq!(first["payload"]["data"]["notes"], json!([{"body": "of a"}]));
    let first = hash(&first).to_owned();
    drop(client);
    // With another token of the same caller.
    let mut client = server.client("a", "1").await;
    with_marks(&mut client, "n", NOTES, json!({"hash": first})).await;
    assert!(client.is_silent(Duration::from_millis(300)).await);
    server.until("it is read", |live| live.woken_groups >= 1).await;
    server.sql("update notes set body = 'new' where id = 1").await;
    let second = client.json().await;
    assert_eq!(second["payload"]["data"]["notes"], json!([{"body": "new"}]));
    assert_ne!(hash(&second), first);
    // Back to what it was: a change, and the same hash.
    server.sql("update notes set body = 'of a' where id = 1").await;
    let third = client.json().await;
    assert_eq!(third["payload"]["data"]["notes"], json!([{"body": "of a"}]));
    assert_eq!(hash(&third), first);
    let mut late = server.client("a", "1").await;
    with_marks(&mut late, "n", NOTES, json!({"hash": hash(&second)})).await;
    assert_eq!(state(&mut late, "n", "notes").await, json!([{"body": "of a"}]));
}

/// Where the database is away when it comes, it is told so, and then nothing
/// but its state says that this is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_to_an_error_is_sent_what_it_had_when_that_is_over() {
    let mut own = restarts::Own::start("back").await;
    let token = Token::new("user").tenant("a").user("1");
    let mut client = connect(own.address, &token).await;
    with_marks(&mut client, "n", NOTES, json!({})).await;
    let first = client.json().await;
    let known = json!({"hash": hash(&first)});
    drop(client);
    own.stop_postgres();
    let mut plain = connect(own.address, &token).await;
    subscribe(&mut plain, "n", NOTES).await;
    let mut back = connect(own.address, &token).await;
    with_marks(&mut back, "n", NOTES, known).await;
    for client in [&mut plain, &mut back] {
        let told = client.json().await;
        assert!(told["payload"]["errors"][0]["message"].is_string(), "{told}");
    }
    own.start_postgres();
    for client in [&mut plain, &mut back] {
        assert_eq!(state(client, "n", "notes").await, json!([{"body": "of a"}]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_means_nothing_to_another_caller() {
    let server = Server::start(&[]).await;
    server.sql("update notes set body = 'the same'").await;
    let mut hashes = Vec::new();
    for (tenant, user) in [("a", "1"), ("a", "2"), ("b", "1")] {
        let mut client = server.client(tenant, user).await;
        with_marks(&mut client, "n", NOTES, json!({})).await;
        let message = client.json().await;
        assert_eq!(message["payload"]["data"]["notes"], json!([{"body": "the same"}]));
        hashes.push(hash(&message).to_owned());
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 3);
    // So it is not taken from anybody else.
    let mut client = server.client("c", "9").await;
    for (index, known) in hashes.iter().enumerate() {
        let id = index.to_string();
        with_marks(&mut client, &id, NOTES, json!({"hash": known})).await;
        assert_eq!(state(&mut client, &id, "notes").await, json!([]));
    }
}

/// A write that leaves the answer as it is would be waited for in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_positions_learns_of_a_write_that_changes_nothing_of_the_answer() {
    let server = Server::start(&[]).await;
    let mut plain = server.client("a", "1").await;
    with_marks(&mut plain, "n", NOTES, json!({})).await;
    let first = plain.json().await;
    let mut client = server.client("a", "1").await;
    with_marks(&mut client, "n", NOTES, json!({"positions": true})).await;
    assert_eq!(client.json().await["payload"]["data"], first["payload"]["data"]);
    server.until_woken(1).await;
    let db = server.db.client().await;
    let write = async |author: &str| {
        let sql = "update notes set author = $1 where id = 1 returning pg_current_xact_id()::text";
        let id: String = db.query_one(sql, &[&author]).await.unwrap().get(0);
        id
    };
    // States until one shows the write; all are the same.
    let until_shown = async |client: &mut Client, id: &str| loop {
        let message = client.json().await;
        assert_eq!(message["payload"]["data"], first["payload"]["data"], "{message}");
        assert_eq!(hash(&message), hash(&first));
        let position = message["payload"]["extensions"]["live"]["position"].as_str().unwrap();
        let sql = "select pg_visible_in_snapshot($1::text::xid8, $2::text::pg_snapshot)";
        if db.query_one(sql, &[&id, &position]).await.unwrap().get(0) {
            break;
        }
    };
    for author in ["x", "y"] {
        let id = write(author).await;
        until_shown(&mut client, &id).await;
    }
    // Who comes back with the hash of the state is told where it stands, too.
    drop(client);
    let id = write("z").await;
    let mut back = server.client("a", "1").await;
    with_marks(&mut back, "n", NOTES, json!({"hash": hash(&first), "positions": true})).await;
    until_shown(&mut back, &id).await;
    // It costs nobody anything who did not ask.
    assert!(plain.is_silent(Duration::from_millis(300)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_tells_which_writes_a_state_shows() {
    let server = Server::start(&[]).await;
    let mut client = server.client("a", "1").await;
    with_marks(&mut client, "n", NOTES, json!({})).await;
    let first = client.json().await;
    server.until_woken(1).await;
    let db = server.db.client().await;
    let sql = "update notes set body = 'mine' where id = 1 returning pg_current_xact_id()::text";
    let id: String = db.query_one(sql, &[]).await.unwrap().get(0);
    let second = client.json().await;
    let shows = async |message: &Value| {
        let position = message["payload"]["extensions"]["live"]["position"].as_str().unwrap();
        let sql = "select pg_visible_in_snapshot($1::text::xid8, $2::text::pg_snapshot)";
        let row = db.query_one(sql, &[&id, &position]).await.unwrap();
        row.get::<_, bool>(0)
    };
    assert!(!shows(&first).await, "{first}");
    assert!(shows(&second).await, "{second}");
    // A stream has no state to come back to: batches are never left out.
    let query =
        "subscription { notes_stream(cursor: {initial_value: {id: 0}}, batch_size: 1) { id } }";
    with_marks(&mut client, "s", query, json!({"hash": hash(&second)})).await;
    let batch = client.json().await;
    assert_eq!(batch["payload"]["data"]["notes_stream"], json!([{"id": 1}]));
    assert!(batch["payload"]["extensions"]["live"]["hash"].is_null());
    assert!(shows(&batch).await);
}

/// Whether a position shows a transaction, by the rule that is documented.
fn shows(position: &str, transaction: &str) -> bool {
    let parts: Vec<&str> = position.split(':').collect();
    let number = |text: &str| text.parse::<u64>().unwrap();
    let (id, xmin, xmax) = (number(transaction), number(parts[0]), number(parts[1]));
    id < xmin || id < xmax && !parts[2].split(',').any(|running| running == transaction)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_another_server_is_found_by_its_transaction() {
    let db = TestDb::new(SCHEMA).await;
    db.psql("grant update on notes to app_user").unwrap();
    let server = Server::start_on(db, &[]).await;
    let owner = server.db.superuser_url();
    let settings = [("database.owner_url", &*owner), ("database.allow_unsafe_roles", "true")];
    let (_other, address, stop) = serve(&server.db, &settings).await;
    let mut client = server.client("a", "1").await;
    with_marks(&mut client, "n", NOTES, json!({})).await;
    let mut frame = client.json().await;
    assert_eq!(frame["payload"]["data"]["notes"], json!([{"body": "of a"}]));
    server.until_woken(1).await;
    let http = harness::http();
    for n in 0..20 {
        let body = format!("written {n}");
        let query = "mutation($body: String) {
            update_notes(where: {id: {_eq: 1}}, _set: {body: $body}) { affected_rows } }";
        let request = json!({"query": query, "variables": {"body": body},
            "extensions": {"transaction": true}});
        let answer = http
            .post(format!("http://{address}/v1/graphql"))
            .header("authorization", Token::new("user").tenant("a").user("2").bearer())
            .header("content-type", "application/json")
            .body(request.to_string());
        let answer = answer.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["data"]["update_notes"]["affected_rows"], 1, "{answer}");
        let id = answer["extensions"]["transaction"]["id"].as_str().expect("an id").to_owned();
        let position = |frame: &Value| {
            frame["payload"]["extensions"]["live"]["position"].as_str().expect("told").to_owned()
        };
        // What was shown before does not show it, and the first that does has the write.
        assert!(!shows(&position(&frame), &id), "{frame} and {id}");
        frame = client.json().await;
        while !shows(&position(&frame), &id) {
            assert_ne!(frame["payload"]["data"]["notes"], json!([{"body": body}]), "{id}");
            frame = client.json().await;
        }
        assert_eq!(frame["payload"]["data"]["notes"], json!([{"body": body}]), "{id}");
    }
    stop.cancel();
}
