//! Keys that go: whoever was let in by one of them is let go.

use std::sync::{Arc, Mutex};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::events::{EVENTS, Stream};

/// A key pair and its name.
struct Signer {
    id: &'static str,
    private: EncodingKey,
    public: Value,
}

impl Signer {
    fn new(id: &'static str) -> Signer {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let public = DecodingKey::from_ed_pem(pair.public_key_pem().as_bytes()).unwrap();
        let mut public = Jwk::from_decoding_key(&public, Some(Algorithm::EdDSA)).unwrap();
        public.common.key_id = Some(id.to_owned());
        Signer {
            id,
            private: EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap(),
            public: serde_json::to_value(public).unwrap(),
        }
    }

    /// A token that does not expire.
    fn bearer(&self, user: &str) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.to_owned());
        let claims = json!({"https://hasura.io/jwt/claims": {
            "x-hasura-default-role": "user", "x-hasura-allowed-roles": ["user"],
            "x-hasura-tenant-id": "a", "x-hasura-user-id": user}});
        let token = jsonwebtoken::encode(&header, &claims, &self.private).unwrap();
        format!("Bearer {token}")
    }
}

/// A set of keys behind a URL.
struct Published {
    url: String,
    body: Arc<Mutex<String>>,
}

impl Published {
    async fn start(keys: &[&Signer]) -> Published {
        let body = Arc::new(Mutex::new(String::new()));
        let shared = body.clone();
        let app = axum::Router::new().fallback(move || {
            let body = shared.lock().unwrap().clone();
            async move { ([("cache-control", "max-age=3600")], body) }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let published = Published { url, body };
        published.set(keys);
        published
    }

    fn set(&self, keys: &[&Signer]) {
        let keys: Vec<&Value> = keys.iter().map(|key| &key.public).collect();
        *self.body.lock().unwrap() = json!({ "keys": keys }).to_string();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_has_opened_ends_when_it_is_gone_from_its_set() {
    let (old, staying, new) = (Signer::new("old"), Signer::new("staying"), Signer::new("new"));
    let published = Published::start(&[&old, &staying]).await;
    let issuer = json!({"jwk_url": published.url}).to_string();
    let server = Server::start(&[("auth.jwt", &issuer)]).await;
    let open = async |protocol: Option<&str>, bearer: &str| {
        let mut client = server.open(protocol).await;
        client.send(init(bearer)).await;
        assert_eq!(client.json().await["type"], "connection_ack");
        let begin = if protocol == TRANSPORT { subscribe } else { start };
        if protocol == LEGACY {
            assert_eq!(client.json().await["type"], "ka");
        }
        client.send(begin("1", NOTES)).await;
        assert_eq!(bodies(&client.json().await), ["of a"]);
        client
    };
    let mut ended = Vec::new();
    for protocol in [TRANSPORT, LEGACY] {
        ended.push(open(protocol, &old.bearer("1")).await);
    }
    let mut events = Stream::open(&server, EVENTS, &old.bearer("2"), NOTES).await;
    assert_eq!(events.bodies().await, ["of a"]);
    let mut others = vec![open(TRANSPORT, &staying.bearer("1")).await];
    // One of the old key that has a token of another now.
    let mut renewed = open(TRANSPORT, &old.bearer("1")).await;
    let payload = json!({"headers": {"Authorization": staying.bearer("1")}});
    renewed.send(json!({"type": "ping", "payload": payload}).to_string()).await;
    let pong = renewed.json().await;
    assert!(pong["payload"]["session"]["expires_at"].is_null(), "{pong}");
    others.push(renewed);

    // The new set is fetched when a token names a key that is not known.
    published.set(&[&new, &staying]);
    others.push(open(TRANSPORT, &new.bearer("1")).await);
    for mut client in ended {
        client.talk("x 4403 the key of the token is accepted no more").await;
    }
    let (event, data) = events.next().await.expect("an event");
    assert_eq!(
        (event.as_str(), &data["errors"][0]["extensions"]["code"]),
        ("next", &json!("invalid-jwt"))
    );
    assert_eq!(events.next().await, Some(("complete".to_owned(), Value::Null)));
    let mut late = server.open(TRANSPORT).await;
    late.send(init(&old.bearer("1"))).await;
    assert!(matches!(late.hear().await, Said::Close(4403, _)));
    server.sql("update notes set body = 'changed' where id = 1").await;
    for client in &mut others {
        assert_eq!(bodies(&client.json().await), ["changed"]);
    }
}
