//! The two GraphQL sub-protocols: what clients say, what they are told, and
//! with which code a socket is closed. No I/O.
//!
//! | | `graphql-transport-ws` | `graphql-ws` (older) |
//! |---|---|---|
//! | specified by | the graphql-ws library, PROTOCOL.md | subscriptions-transport-ws, and what Hasura v2 does |
//! | start, stop | `subscribe`, `complete` | `start`, `stop` |
//! | an answer | `next` | `data` |
//! | a request that is refused | `error`: the list | `error`: `{"errors": […]}`, then `complete` |
//! | an execution that fails | `error` | `data`: `{"errors": […]}`, then `complete` |
//! | a message that cannot be read | close 4400 | `connection_error` |
//!
//! An answer is never read: its bytes travel between a prefix and a suffix.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::graphql::{Read, read_operation};
use super::credentials::{self, Credentials, IsProof};
use crate::base::{ApiError, Code};
use crate::engine::GraphqlResponse;

/// Longer ids are refused: each frame repeats them.
const ID_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Transport,
    Legacy,
}

impl Protocol {
    /// As in the header `Sec-WebSocket-Protocol`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Protocol::Transport => "graphql-transport-ws",
            Protocol::Legacy => "graphql-ws",
        }
    }
}

/// The end of a socket, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: Cow<'static, str>,
}

impl Close {
    pub(super) const fn new(code: u16, reason: &'static str) -> Self {
        Close { code, reason: Cow::Borrowed(reason) }
    }

    pub(super) const NORMAL: Close = Close::new(1000, "");
    pub(super) const GOING_AWAY: Close = Close::new(1001, "the server is stopping");
    pub(super) const BINARY: Close = Close::new(1003, "messages are JSON in text frames");
    pub(super) const UNAUTHORIZED: Close = Close::new(4401, "Unauthorized");
    /// Clients take it for one that may end: they connect again, and ask for
    /// the parameters of the connection anew. 4401 ends them for good.
    pub(super) const EXPIRED: Close = Close::new(4403, "the token has expired");
    pub(super) const REVOKED: Close = Close::new(4403, "the key of the token is accepted no more");
    pub(super) const NOT_ACCEPTABLE: Close = Close::new(4406, "Subprotocol not acceptable");
    pub(super) const INIT_TIMEOUT: Close = Close::new(4408, "Connection initialisation timeout");
    pub(super) const INIT_TWICE: Close = Close::new(4429, "Too many initialisation requests");

    pub(super) fn bad_request(what: impl Into<Cow<'static, str>>) -> Self {
        Close { code: 4400, reason: what.into() }
    }

    pub(super) fn forbidden(error: &ApiError) -> Self {
        Close { code: 4403, reason: error.message.clone() }
    }

    pub(super) fn too_many(error: &ApiError) -> Self {
        Close { code: 4429, reason: error.message.clone() }
    }

    /// For what may be there in a moment.
    pub(super) fn try_again(error: &ApiError) -> Self {
        Close { code: 1013, reason: error.message.clone() }
    }

    pub(super) fn exists(id: &Id) -> Self {
        Close { code: 4409, reason: format!("Subscriber for {} already exists", id.plain()).into() }
    }
}

/// The client's name for an operation, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Id(Arc<str>);

impl Id {
    /// Every way of writing a text in JSON gives the same id.
    fn read(raw: &RawValue) -> Result<Self, Invalid> {
        let text: Cow<'_, str> = serde_json::from_str(raw.get())
            .map_err(|_| Invalid("the key 'id' must be a string".to_owned()))?;
        if text.is_empty() || text.len() > ID_BYTES {
            return Err(Invalid(format!("an id must have 1 to {ID_BYTES} bytes")));
        }
        let json = serde_json::to_string(&text).map_err(|error| Invalid(error.to_string()))?;
        Ok(Id(json.into()))
    }

    /// Without the quotes.
    pub(super) fn plain(&self) -> &str {
        self.0.trim_matches('"')
    }
}

/// Why a message cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid(pub(super) String);

/// What a client says.
#[derive(Debug)]
pub(super) enum ClientMessage {
    Init(HeaderMap),
    Start(Id, Read),
    Stop(Id),
    /// With the payload that the pong repeats.
    Ping(Option<Box<RawValue>>),
    /// A ping that brings a new token.
    Renew(HeaderMap),
    Pong,
    Terminate,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl ClientMessage {
    pub(super) fn read(
        protocol: Protocol,
        text: &str,
        is_proof: IsProof<'_>,
    ) -> Result<Self, Invalid> {
        let unreadable = |error: serde_json::Error| {
            let text = error.to_string();
            Invalid(text.split(" at line ").next().unwrap_or("").replace('`', "'"))
        };
        // A list would be read as the values of the keys.
        let raw: &RawValue = serde_json::from_str(text).map_err(unreadable)?;
        if !raw.get().starts_with('{') {
            return Err(Invalid("expected an object".to_owned()));
        }
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(unreadable)?;
        let Some(kind) = envelope.kind.as_deref() else {
            return Err(Invalid("the key 'type' was not present".to_owned()));
        };
        let id = || match envelope.id {
            Some(raw) => Id::read(raw),
            None => Err(Invalid("the key 'id' was not present".to_owned())),
        };
        let object = || match envelope.payload {
            Some(raw) if !raw.get().starts_with('{') => {
                Err(Invalid("the payload must be an object".to_owned()))
            }
            payload => Ok(payload),
        };
        let start = || {
            let Some(payload) = object()? else {
                return Err(Invalid("the key 'payload' was not present".to_owned()));
            };
            let request = read_operation(payload.get())
                .map_err(|error| Invalid(format!("{} ({})", error.message, error.path)))?;
            Ok(ClientMessage::Start(id()?, request))
        };
        match (protocol, kind) {
            (_, "connection_init") => {
                Ok(ClientMessage::Init(credentials::headers(object()?).map_err(Invalid)?))
            }
            (Protocol::Transport, "subscribe") | (Protocol::Legacy, "start") => start(),
            (Protocol::Transport, "complete") | (Protocol::Legacy, "stop") => {
                Ok(ClientMessage::Stop(id()?))
            }
            (Protocol::Transport, "ping") => {
                let payload = object()?;
                match credentials::in_ping(payload, is_proof).map_err(Invalid)? {
                    Credentials::Elsewhere => Ok(ClientMessage::Ping(None)),
                    Credentials::None => Ok(ClientMessage::Ping(payload.map(ToOwned::to_owned))),
                    Credentials::Headers(headers) => Ok(ClientMessage::Renew(headers)),
                }
            }
            (Protocol::Transport, "pong") => object().map(|_| ClientMessage::Pong),
            (Protocol::Legacy, "connection_terminate") => Ok(ClientMessage::Terminate),
            (_, other) => {
                let shown = other.get(..other.floor_char_boundary(40)).unwrap_or_default();
                Err(Invalid(format!("unexpected type for a message of a client: {shown}")))
            }
        }
    }
}

/// What is told to a client; the bytes of `data` stand between the other two.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) prefix: String,
    pub(super) data: Option<Bytes>,
    pub(super) suffix: &'static str,
}

impl Text {
    fn whole(text: impl Into<String>) -> Self {
        Text { prefix: text.into(), ..Text::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.prefix.len() + self.data.as_ref().map_or(0, Bytes::len) + self.suffix.len()
    }
}

/// Errors are plain texts and numbers, which always serialise.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Whether a request failed before anything ran.
fn is_refusal(error: &ApiError) -> bool {
    !matches!(
        error.code,
        Code::ConcurrentUpdate
            | Code::ConstraintError
            | Code::ConstraintViolation
            | Code::DataException
            | Code::PermissionError
            | Code::PostgresError
            | Code::ServiceUnavailable
            | Code::TimeLimitExceeded
            | Code::Unexpected
    )
}

impl Protocol {
    pub(super) fn ack() -> Text {
        Text::whole(r#"{"type":"connection_ack"}"#)
    }

    /// `ka`, of the older protocol only.
    pub(super) fn keep_alive() -> Text {
        Text::whole(r#"{"type":"ka"}"#)
    }

    /// `connection_error`, of the older protocol only.
    pub(super) fn connection_error(message: &str) -> Text {
        Text::whole(format!(r#"{{"type":"connection_error","payload":{}}}"#, json(message)))
    }

    pub(super) fn pong(payload: Option<&str>) -> Text {
        match payload {
            None => Text::whole(r#"{"type":"pong"}"#),
            Some(payload) => Text::whole(format!(r#"{{"type":"pong","payload":{payload}}}"#)),
        }
    }

    pub(super) fn complete(self, id: &Id) -> Text {
        self.about("complete", id, "", "}")
    }

    /// A state of a subscription, or the answer to a query.
    pub(super) fn data(self, id: &Id, data: Bytes, extensions: Option<&str>) -> Text {
        let payload = match extensions {
            None => Cow::Borrowed(r#","payload":{"data":"#),
            Some(json) => Cow::Owned(format!(r#","payload":{{"extensions":{json},"data":"#)),
        };
        let mut text = self.about(self.data_type(), id, &payload, "}}");
        text.data = Some(data);
        text
    }

    /// Errors where data was expected; the operation may go on.
    pub(super) fn failed(self, id: &Id, errors: &[ApiError]) -> Text {
        let payload = format!(r#","payload":{{"errors":{}}}"#, json(errors));
        self.about(self.data_type(), id, &payload, "}")
    }

    /// The end of an operation that was refused.
    pub(super) fn refused(self, id: &Id, errors: &[ApiError]) -> Vec<Text> {
        match self {
            Protocol::Transport => {
                vec![self.about("error", id, &format!(r#","payload":{}"#, json(errors)), "}")]
            }
            Protocol::Legacy => {
                let payload = format!(r#","payload":{{"errors":{}}}"#, json(errors));
                vec![self.about("error", id, &payload, "}"), self.complete(id)]
            }
        }
    }

    /// The same for one that cannot be started, of the older protocol only.
    pub(super) fn not_started(self, id: &Id, message: String) -> Vec<Text> {
        let error = ApiError::new(Code::StartFailed, message);
        let payload = format!(r#","payload":{}"#, json(&error));
        vec![self.about("error", id, &payload, "}"), self.complete(id)]
    }

    /// The whole answer to a query or a mutation.
    pub(super) fn answer(self, id: &Id, answer: GraphqlResponse) -> Vec<Text> {
        let extensions = answer.extensions();
        match (answer.data, answer.errors.as_slice()) {
            (Some(data), []) => {
                vec![self.data(id, data, extensions.as_deref()), self.complete(id)]
            }
            (Some(data), errors) => {
                let payload = format!(r#","payload":{{"errors":{},"data":"#, json(errors));
                let mut text = self.about(self.data_type(), id, &payload, "}}");
                text.data = Some(data);
                vec![text, self.complete(id)]
            }
            (None, errors) => {
                let ran = errors.first().is_some_and(|error| !is_refusal(error));
                if self == Protocol::Legacy && ran {
                    vec![self.failed(id, errors), self.complete(id)]
                } else {
                    self.refused(id, errors)
                }
            }
        }
    }

    const fn data_type(self) -> &'static str {
        match self {
            Protocol::Transport => "next",
            Protocol::Legacy => "data",
        }
    }

    /// The keys in the order in which each protocol's servers write them.
    fn about(self, kind: &str, id: &Id, rest: &str, suffix: &'static str) -> Text {
        let id = &id.0;
        let prefix = match self {
            Protocol::Transport => format!(r#"{{"id":{id},"type":"{kind}"{rest}"#),
            Protocol::Legacy => format!(r#"{{"type":"{kind}","id":{id}{rest}"#),
        };
        Text { prefix, data: None, suffix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::read(&RawValue::from_string(text.to_owned()).expect("JSON")).expect("an id")
    }

    fn shown(texts: Vec<Text>) -> Vec<String> {
        let show = |text: Text| {
            let data = text.data.as_deref().unwrap_or_default();
            let whole =
                text.prefix.clone() + std::str::from_utf8(data).expect("UTF-8") + text.suffix;
            assert_eq!(whole.len(), text.len());
            serde_json::from_str::<serde_json::Value>(&whole).expect("JSON");
            whole
        };
        texts.into_iter().map(show).collect()
    }

    fn error(code: Code) -> GraphqlResponse {
        GraphqlResponse::error(ApiError::new(code, "no"))
    }

    #[test]
    fn answers_are_put_between() {
        let data = || GraphqlResponse {
            data: Some(Bytes::from_static(b"{\"a\" : 1}")),
            ..GraphqlResponse::default()
        };
        let (transport, legacy) = (Protocol::Transport, Protocol::Legacy);
        let id = id(r#""1\u0022""#);
        assert_eq!(
            shown(transport.answer(&id, data())),
            [
                r#"{"id":"1\"","type":"next","payload":{"data":{"a" : 1}}}"#,
                r#"{"id":"1\"","type":"complete"}"#
            ]
        );
        assert_eq!(
            shown(legacy.answer(&id, data())),
            [
                r#"{"type":"data","id":"1\"","payload":{"data":{"a" : 1}}}"#,
                r#"{"type":"complete","id":"1\""}"#
            ]
        );
    }

    #[test]
    fn errors_travel_as_each_protocol_has_them() {
        let id = id(r#""a""#);
        let list = |code: &str| {
            format!(r#"[{{"message":"no","extensions":{{"path":"$","code":"{code}"}}}}]"#)
        };
        for (code, legacy) in [
            (Code::ValidationFailed, "error"),
            (Code::NotSupported, "error"),
            (Code::ConstraintViolation, "data"),
            (Code::PermissionError, "data"),
        ] {
            let errors = list(code.as_str());
            assert_eq!(
                shown(Protocol::Transport.answer(&id, error(code))),
                [format!(r#"{{"id":"a","type":"error","payload":{errors}}}"#)]
            );
            assert_eq!(
                shown(Protocol::Legacy.answer(&id, error(code))),
                [
                    format!(r#"{{"type":"{legacy}","id":"a","payload":{{"errors":{errors}}}}}"#),
                    r#"{"type":"complete","id":"a"}"#.to_owned()
                ]
            );
        }
        let both = GraphqlResponse {
            data: Some(Bytes::from_static(b"{}")),
            errors: vec![ApiError::new(Code::Unexpected, "no")],
            ..GraphqlResponse::default()
        };
        let texts = shown(Protocol::Transport.answer(&id, both));
        let errors = list("unexpected");
        assert_eq!(
            texts[0],
            format!(r#"{{"id":"a","type":"next","payload":{{"errors":{errors},"data":{{}}}}}}"#)
        );
    }

    #[test]
    fn messages_that_are_not_understood_say_why() {
        let long = format!(r#"{{"type":"stop","id":"{}"}}"#, "x".repeat(1025));
        for (text, what) in [
            ("", "EOF"),
            ("[]", "expected an object"),
            (r#"["connection_init"]"#, "expected an object"),
            ("7", "expected an object"),
            (r#"{"type":"stop"} x"#, "trailing"),
            ("{}", "'type' was not present"),
            (r#"{"type":1}"#, "invalid type"),
            (r#"{"type":"stop","type":"stop"}"#, "duplicate field"),
            (r#"{"type":"stop"}"#, "'id' was not present"),
            (r#"{"type":"stop","id":null}"#, "'id' was not present"),
            (r#"{"type":"stop","id":1}"#, "must be a string"),
            (r#"{"type":"stop","id":""}"#, "1 to 1024 bytes"),
            (&long, "1 to 1024 bytes"),
            (r#"{"type":"stop","id":"\ud800"}"#, "must be a string"),
            (r#"{"type":"start","id":"1"}"#, "'payload' was not present"),
            (r#"{"type":"start","id":"1","payload":[]}"#, "must be an object"),
            (r#"{"type":"start","id":"1","payload":{}}"#, "'query' was not present"),
            (r#"{"type":"start","id":"1","payload":{"query":1}}"#, "expected a string"),
            (r#"{"type":"start","payload":{"query":"{a}"}}"#, "'id' was not present"),
            (r#"{"type":"ping"}"#, "unexpected type for a message of a client: ping"),
            (r#"{"type":"connection_init","payload":"x"}"#, "must be an object"),
            (r#"{"type":"connection_init","payload":{"headers":7}}"#, "'headers' must be"),
        ] {
            let Err(Invalid(said)) = ClientMessage::read(Protocol::Legacy, text, &|_| false) else {
                panic!("{text} is understood")
            };
            assert!(said.contains(what), "{text}: {said}");
        }
    }

    #[test]
    fn ids_are_the_same_however_they_are_written() {
        assert_eq!(id(r#""\u0061""#), id(r#""a""#));
        assert_ne!(id(r#""a""#), id(r#""A""#));
        assert_eq!(id(r#""\u0000ö""#).0.as_ref(), "\"\\u0000ö\"");
    }

    #[test]
    fn a_ping_may_bring_a_token() {
        let is_proof = |name: &http::HeaderName| name == "x-token";
        let read = |text: &str| ClientMessage::read(Protocol::Transport, text, &is_proof);
        assert!(matches!(read(r#"{"type":"ping"}"#), Ok(ClientMessage::Ping(None))));
        let Ok(ClientMessage::Ping(Some(payload))) = read(r#"{"type":"ping","payload":{"n":1}}"#)
        else {
            panic!("a plain ping")
        };
        assert_eq!(payload.get(), r#"{"n":1}"#);
        for payload in
            [r#"{"Authorization":"Bearer x"}"#, r#"{"headers":{"AUTHORIZATION":"Bearer x"}}"#]
        {
            let text = format!(r#"{{"type":"ping","payload":{payload}}}"#);
            let Ok(ClientMessage::Renew(headers)) = read(&text) else { panic!("{text}") };
            assert_eq!(headers["authorization"], "Bearer x");
        }
        let text = r#"{"type":"ping","payload":{"X-Token":"x"}}"#;
        let Ok(ClientMessage::Renew(headers)) = read(text) else { panic!("{text}") };
        assert_eq!(headers["x-token"], "x");
        // What cannot be read is not sent back, either.
        assert!(read(r#"{"type":"ping","payload":{"headers":"Bearer x"}}"#).is_err());
        let text = r#"{"type":"ping","payload":{"headers":null,"other":"x"}}"#;
        assert!(matches!(read(text), Ok(ClientMessage::Ping(Some(_)))));
    }
}
