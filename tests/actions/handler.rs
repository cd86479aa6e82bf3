//! A server of handlers: it answers what its URL says, and remembers what it
//! was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

/// One request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub text: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Handlers {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Handlers {
    pub(crate) async fn start() -> Handlers {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let handlers = Handlers { address, seen: Arc::default() };
        let app = Router::new().fallback(answer).with_state(handlers.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        handlers
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of a handler that answers this: `{status, body, headers, wait,
    /// size}`, all of which may be left out. Without a body it gives back the
    /// argument `arg`.
    pub(crate) fn says(&self, script: &Value) -> String {
        let script = utf8_percent_encode(&script.to_string(), NON_ALPHANUMERIC).to_string();
        format!("{}/say?script={script}", self.base())
    }

    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("the list"))
    }

    pub(crate) fn last(&self) -> Seen {
        self.take().pop().expect("a request came in")
    }
}

async fn answer(
    State(handlers): State<Handlers>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    let script = uri.query().and_then(|query| query.strip_prefix("script="));
    let script: Value = script.map_or(json!({}), |script| {
        let script = percent_decode_str(script).decode_utf8().expect("UTF-8");
        serde_json::from_str(&script).expect("a script")
    });
    let sent: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    handlers.seen.lock().expect("the list").push(Seen { method, uri, headers, text });
    if let Some(wait) = script["wait"].as_u64() {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let status = script["status"].as_u64().unwrap_or(200);
    let mut response = Response::builder().status(u16::try_from(status).expect("a status"));
    for (name, value) in script["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().expect("a text"));
    }
    let body = match (&script["size"], &script["text"], script.get("body")) {
        (Value::Number(size), ..) => {
            let size = usize::try_from(size.as_u64().expect("a size")).expect("a size");
            Body::from(format!("\"{}\"", "x".repeat(size)))
        }
        (_, Value::String(text), _) => Body::from(text.clone()),
        (_, _, Some(body)) => Body::from(body.to_string()),
        _ => Body::from(sent["input"]["arg"].to_string()),
    };
    response.body(body).expect("a response")
}
