//! Why a handler gave no answer, in Hasura's words.

use serde_json::{Value, json};

use crate::base::{ApiError, Code, Extensions};

/// What went wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("environment variable '{0}' not set")]
    NoVariable(String),
    #[error("the value of the header {0:?} has characters that no header may have")]
    BadHeader(String),
    #[error("Request Transformation Failed")]
    RequestTransform(Value),
    #[error("Response Transformation Failed")]
    ResponseTransform(Value),
    #[error("http exception when calling webhook")]
    Unreachable { reason: String, exchange: Box<Exchange> },
    #[error("not a valid json response from webhook")]
    NotJson { reason: String, exchange: Box<Exchange> },
    #[error("internal error")]
    Status { status: u16, exchange: Box<Exchange> },
    /// The answer is not what it should be.
    #[error("{message}")]
    Unexpected { message: String, code: Code, exchange: Box<Exchange> },
    /// The handler said no: a status of 4xx.
    #[error("{message}")]
    Refused { status: u16, message: String, extensions: Option<Extensions> },
}

/// What was sent to a handler, and what it sent; for the administrator.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    pub(super) url: String,
    /// The payload as JSON, without the document of the client.
    pub(super) body: String,
    pub(super) headers: Vec<Value>,
    pub(super) response: Option<Response>,
}

#[derive(Debug, Clone)]
pub(super) struct Response {
    pub status: u16,
    /// JSON or any text.
    pub body: String,
    pub headers: Vec<(String, String)>,
}

/// A text as the JSON that it is, or as a text.
fn as_value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

impl Exchange {
    fn internal(&self, error: impl Into<Value>) -> Value {
        let mut out = json!({
            "error": error.into(),
            "request": {"url": self.url, "body": as_value(&self.body), "headers": self.headers},
        });
        if let (Some(response), Value::Object(map)) = (&self.response, &mut out) {
            let headers: Vec<Value> = response
                .headers
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect();
            let body = as_value(&response.body);
            let response = json!({"status": response.status, "body": body, "headers": headers});
            map.insert("response".to_owned(), response);
        }
        out
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        let unexpected = |message: String| ApiError::new(Code::Unexpected, message);
        match error {
            CallError::NoVariable(_) => ApiError::new(Code::NotFound, message),
            CallError::BadHeader(_) => unexpected(message),
            CallError::RequestTransform(errors) | CallError::ResponseTransform(errors) => {
                let detail = errors.to_string();
                unexpected(message).with_internal(errors).with_detail(detail)
            }
            CallError::Unreachable { reason, exchange } => unexpected(message)
                .with_internal(
                    exchange.internal(json!({"type": "http_exception", "message": reason})),
                )
                .with_detail(format!("{}: {reason}", exchange.url)),
            CallError::NotJson { reason, exchange } => unexpected(message)
                .with_internal(exchange.internal(format!("invalid json: {reason}")))
                .with_detail(format!("{}: {reason}", exchange.url)),
            CallError::Status { status, exchange } => {
                let what = format!("expecting 2xx or 4xx status code, but found {status}");
                unexpected(message)
                    .with_internal(exchange.internal(what.as_str()))
                    .with_detail(format!("{}: {what}", exchange.url))
            }
            CallError::Unexpected { code, exchange, .. } => ApiError::new(code, message)
                .with_status(400)
                .with_internal(exchange.internal("unexpected response"))
                .with_detail(format!("an unexpected response of {}", exchange.url)),
            CallError::Refused { status, extensions, .. } => {
                let mut out = unexpected(message).with_status(status);
                out.extensions = extensions.map(Box::new);
                out
            }
        }
    }
}
