//! Metadata that changes while somebody is subscribed.

use ringfence::admin::Endpoint;

use super::*;

impl Server {
    /// Commands of the metadata API, as one.
    async fn administer(&self, commands: Value) {
        let bulk = json!({"type": "bulk", "args": commands}).to_string();
        let done = self.app.administer(Endpoint::V1Metadata, &bulk).await;
        done.unwrap_or_else(|error| panic!("{bulk}: {error:?}"));
    }
}

fn allow_on(table: &str, columns: &[&str], filter: Value) -> Value {
    json!({"type": "pg_create_select_permission", "args": {"table": table, "role": "user",
        "permission": {"columns": columns, "filter": filter}}})
}

fn allow(columns: &[&str], filter: Value) -> Value {
    allow_on("notes", columns, filter)
}

fn forbid() -> Value {
    json!({"type": "pg_drop_select_permission", "args": {"table": "notes", "role": "user"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_changes_changes_what_is_shown() {
    let server = Server::start(&[]).await;
    server.sql("insert into notes values (3, 'a', '2', 'second')").await;
    let track = |table: &str| json!({"type": "pg_track_table", "args": {"table": table}});
    let replies = allow_on("replies", &["body"], json!({}));
    let notes = allow(&["id", "body"], json!({}));
    server.administer(json!([track("notes"), track("replies"), notes, replies])).await;
    // Whom nothing of this concerns.
    let mut calm = server.client("a", "1").await;
    subscribe(&mut calm, "r", "subscription { replies { body } }").await;
    assert_eq!(state(&mut calm, "r", "replies").await, json!([{"body": "first"}]));
    let mut one = server.client("a", "1").await;
    let mut two = server.client("a", "2").await;
    let mut other = server.client("b", "2").await;
    let both = json!([{"body": "of a"}, {"body": "second"}]);
    for (client, shown) in
        [(&mut one, &both), (&mut two, &both), (&mut other, &json!([{"body": "of b"}]))]
    {
        subscribe(client, "n", NOTES).await;
        assert_eq!(&state(client, "n", "notes").await, shown);
    }
    // A reading for each tenant, and the one of all.
    server.until_woken(3).await;

    // From now on everybody sees what is their own, and no longer shares.
    let own = json!({"author": {"_eq": "X-Hasura-User-Id"}});
    server.administer(json!([forbid(), allow(&["id", "body"], own)])).await;
    assert_eq!(state(&mut one, "n", "notes").await, json!([{"body": "of a"}]));
    assert_eq!(state(&mut two, "n", "notes").await, json!([{"body": "second"}]));
    server.until_woken(4).await;
    server.sql("update notes set body = upper(body)").await;
    assert_eq!(state(&mut one, "n", "notes").await, json!([{"body": "OF A"}]));
    assert_eq!(state(&mut two, "n", "notes").await, json!([{"body": "SECOND"}]));
    assert_eq!(state(&mut other, "n", "notes").await, json!([{"body": "OF B"}]));

    // A column that is asked for is taken away: the operation is not valid any more.
    server.administer(json!([forbid(), allow(&["id"], json!({}))])).await;
    for client in [&mut one, &mut two, &mut other] {
        let message = client.json().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("n")), "{message}");
        let code = &message["payload"][0]["extensions"]["code"];
        assert_eq!(code, "validation-failed", "{message}");
    }
    // The sockets go on, with what is allowed.
    let ids = "subscription { notes(order_by: {id: asc}) { id } }";
    subscribe(&mut one, "i", ids).await;
    assert_eq!(state(&mut one, "i", "notes").await, json!([{"id": 1}, {"id": 3}]));

    // Nothing is left.
    server.administer(json!([forbid()])).await;
    assert_eq!(one.json().await["type"], "error");
    server.sql("update notes set body = 'unseen'; update replies set body = 'seen'").await;
    assert_eq!(state(&mut calm, "r", "replies").await, json!([{"body": "seen"}]));
    for client in [&mut one, &mut two, &mut other] {
        assert!(client.is_silent(Duration::from_millis(100)).await);
    }
}
