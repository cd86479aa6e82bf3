//! What may be said when: the state of one socket over the messages of its
//! client. No I/O and no clock.
//!
//! ```text
//! Waiting ── connection_init, accepted ─▶ Ready ── start, stop, a new token
//!    └────── rejected: closed, or Refused in the older protocol
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::SystemTime;

use http::HeaderMap;
use serde_json::json;

use super::super::graphql::Read;
use super::credentials::IsProof;
use super::protocol::{ClientMessage, Close, Id, Invalid, Protocol, Text};
use crate::base::{ApiError, Code};
use crate::engine::GraphqlRequest;
use crate::session::Session;

/// What a message leads to.
#[derive(Debug)]
pub(super) enum Action<H> {
    Nothing,
    /// Whoever these headers prove opens the connection: [`Guard::accepted`]
    /// or [`Guard::rejected`] follows.
    Authenticate(HeaderMap),
    /// They bring a new token: [`Guard::renewed`] follows.
    Renew(HeaderMap),
    /// [`Guard::started`] follows, or the refusal is told.
    Start(Id, GraphqlRequest),
    /// The client wants no more of this operation.
    Stop(H),
    Tell(Vec<Text>),
    Close(Close),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Ready,
    Refused(String),
}

/// The state of a socket; `H` is what is held of a running operation.
#[derive(Debug)]
pub(super) struct Guard<H> {
    protocol: Protocol,
    phase: Phase,
    /// The most operations at once.
    limit: usize,
    running: HashMap<Id, H>,
}

impl<H> Guard<H> {
    pub(super) fn new(protocol: Protocol, limit: usize) -> Self {
        Guard { protocol, phase: Phase::Waiting, limit, running: HashMap::new() }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &H> {
        self.running.values()
    }

    /// A frame with text.
    pub(super) fn receive(&mut self, text: &str, is_proof: IsProof<'_>) -> Action<H> {
        let message = match ClientMessage::read(self.protocol, text, is_proof) {
            Ok(message) => message,
            Err(Invalid(what)) => {
                return match self.protocol {
                    Protocol::Transport => Action::Close(Close::bad_request(what)),
                    Protocol::Legacy => Action::Tell(vec![Protocol::connection_error(&format!(
                        "parsing ClientMessage failed: {what}"
                    ))]),
                };
            }
        };
        match message {
            ClientMessage::Init(headers) => self.init(headers),
            ClientMessage::Start(id, request) => self.start(id, request),
            ClientMessage::Stop(id) => match self.running.remove(&id) {
                Some(operation) => Action::Stop(operation),
                // It may have ended while the message was under way.
                None => Action::Nothing,
            },
            ClientMessage::Ping(payload) => {
                let payload = payload.as_deref().map(|payload| payload.get());
                Action::Tell(vec![Protocol::pong(payload)])
            }
            ClientMessage::Renew(_) if !self.is_ready() => Action::Close(Close::UNAUTHORIZED),
            ClientMessage::Renew(headers) => Action::Renew(headers),
            ClientMessage::Pong => Action::Nothing,
            ClientMessage::Terminate => Action::Close(Close::NORMAL),
        }
    }

    /// A frame with anything else.
    pub(super) fn receive_binary(&self) -> Action<H> {
        Action::Close(match self.protocol {
            Protocol::Transport => Close::bad_request(Close::BINARY.reason),
            Protocol::Legacy => Close::BINARY,
        })
    }

    fn init(&mut self, headers: HeaderMap) -> Action<H> {
        match (&self.phase, self.protocol) {
            (Phase::Waiting, _) => Action::Authenticate(headers),
            (_, Protocol::Transport) => Action::Close(Close::INIT_TWICE),
            (Phase::Ready, Protocol::Legacy) => Action::Renew(headers),
            (Phase::Refused(message), Protocol::Legacy) => {
                Action::Tell(vec![Protocol::connection_error(message)])
            }
        }
    }

    fn start(&mut self, id: Id, request: Read) -> Action<H> {
        let protocol = self.protocol;
        match (&self.phase, protocol) {
            (Phase::Ready, _) => {}
            (_, Protocol::Transport) => return Action::Close(Close::UNAUTHORIZED),
            (Phase::Waiting, Protocol::Legacy) => {
                let message = "start received before the connection is initialised";
                return Action::Tell(protocol.not_started(&id, message.to_owned()));
            }
            (Phase::Refused(message), Protocol::Legacy) => {
                let message = format!("cannot start as connection_init failed with : {message}");
                return Action::Tell(protocol.not_started(&id, message));
            }
        }
        if self.running.contains_key(&id) {
            return match protocol {
                Protocol::Transport => Action::Close(Close::exists(&id)),
                Protocol::Legacy => {
                    let message =
                        format!("an operation already exists with this id: {}", id.plain());
                    Action::Tell(protocol.not_started(&id, message))
                }
            };
        }
        if self.running.len() >= self.limit {
            let message = format!(
                "the socket runs {} operations already; stop one, or raise websocket.operations",
                self.limit
            );
            let error = ApiError::new(Code::TooManyRequests, message);
            return Action::Tell(protocol.refused(&id, &[error]));
        }
        match request {
            Ok(request) => Action::Start(id, request),
            Err(error) => Action::Tell(protocol.refused(&id, &[error])),
        }
    }

    pub(super) fn started(&mut self, id: Id, operation: H) {
        self.running.insert(id, operation);
    }

    /// False when the client has stopped it before.
    pub(super) fn finished(&mut self, id: &Id) -> bool {
        match self.running.entry(id.clone()) {
            Entry::Occupied(entry) => {
                entry.remove();
                true
            }
            Entry::Vacant(_) => false,
        }
    }

    pub(super) fn running_mut(&mut self, id: &Id) -> Option<&mut H> {
        self.running.get_mut(id)
    }

    pub(super) fn is_running(&self, id: &Id) -> bool {
        self.running.contains_key(id)
    }

    /// The connection is open.
    pub(super) fn accepted(&mut self) -> Vec<Text> {
        self.phase = Phase::Ready;
        self.ack()
    }

    fn ack(&self) -> Vec<Text> {
        match self.protocol {
            Protocol::Transport => vec![Protocol::ack()],
            Protocol::Legacy => vec![Protocol::ack(), Protocol::keep_alive()],
        }
    }

    /// Nobody is proven.
    pub(super) fn rejected(&mut self, error: &ApiError) -> Action<H> {
        match self.protocol {
            _ if error.code == Code::ServiceUnavailable => Action::Close(Close::try_again(error)),
            Protocol::Transport => Action::Close(Close::forbidden(error)),
            Protocol::Legacy => {
                self.phase = Phase::Refused(error.message.to_string());
                Action::Tell(vec![Protocol::connection_error(&error.message)])
            }
        }
    }

    /// A new token was tried. When it is refused, the old one stays.
    pub(super) fn renewed(&self, outcome: Result<&Session, &ApiError>) -> Vec<Text> {
        match (self.protocol, outcome) {
            (Protocol::Transport, Ok(session)) => {
                let payload = json!({"session": {
                    "role": &*session.role,
                    "expires_at": session.expires_at.and_then(seconds),
                }});
                vec![Protocol::pong(Some(&payload.to_string()))]
            }
            (Protocol::Transport, Err(error)) => {
                vec![Protocol::pong(Some(&json!({"errors": [error]}).to_string()))]
            }
            (Protocol::Legacy, Ok(_)) => self.ack(),
            (Protocol::Legacy, Err(error)) => vec![Protocol::connection_error(&error.message)],
        }
    }

    /// The time for a `connection_init` that is accepted is over.
    pub(super) fn init_timed_out(&self) -> Option<Close> {
        match &self.phase {
            Phase::Waiting => Some(Close::INIT_TIMEOUT),
            Phase::Refused(message) => Some(Close { code: 4403, reason: message.clone().into() }),
            Phase::Ready => None,
        }
    }
}

fn seconds(at: SystemTime) -> Option<u64> {
    at.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::claims::anonymous_session;

    const INIT: &str = r#"{"type":"connection_init","payload":{"authorization":"Bearer x"}}"#;

    /// What an action says, in short.
    fn shown(action: &Action<u32>) -> String {
        match action {
            Action::Nothing => "-".to_owned(),
            Action::Authenticate(headers) => format!("authenticate {}", headers.len()),
            Action::Renew(headers) => format!("renew {}", headers.len()),
            Action::Start(id, request) => format!("start {} {}", id.plain(), request.query),
            Action::Stop(operation) => format!("stop {operation}"),
            Action::Tell(texts) => {
                let each: Vec<String> =
                    texts.iter().map(|text| text.prefix.clone() + text.suffix).collect();
                each.join(" ")
            }
            Action::Close(close) => format!("close {} {}", close.code, close.reason),
        }
    }

    /// Messages and what each leads to; the socket plays along.
    fn talk(protocol: Protocol, limit: usize, script: &[(&str, &str)]) {
        let mut guard = Guard::new(protocol, limit);
        let mut operations = 0;
        for (message, expected) in script {
            let said = match *message {
                "accept" => shown(&Action::Tell(guard.accepted())),
                "reject" => shown(&guard.rejected(&ApiError::new(Code::InvalidJwt, "no such key"))),
                "busy" => {
                    let error = ApiError::new(Code::ServiceUnavailable, "no keys yet");
                    shown(&guard.rejected(&error))
                }
                "renewed" => shown(&Action::Tell(guard.renewed(Ok(&anonymous_session("user"))))),
                "not renewed" => {
                    let error = ApiError::new(Code::InvalidJwt, "no");
                    shown(&Action::Tell(guard.renewed(Err(&error))))
                }
                "init time is over" => guard
                    .init_timed_out()
                    .map_or("-".to_owned(), |close| shown(&Action::Close(close))),
                "binary" => shown(&guard.receive_binary()),
                text => {
                    let action = guard.receive(text, &|_| false);
                    let said = shown(&action);
                    if let Action::Start(id, _) = action {
                        operations += 1;
                        guard.started(id, operations);
                    }
                    said
                }
            };
            assert_eq!(said, *expected, "{message}");
        }
    }

    #[test]
    fn transport_ws_as_its_own_server_has_it() {
        let transport = |script: &[(&str, &str)]| talk(Protocol::Transport, 2, script);
        let subscribe = |id: &str| {
            format!(r#"{{"id":"{id}","type":"subscribe","payload":{{"query":"{{a}}"}}}}"#)
        };
        let ack = r#"{"type":"connection_ack"}"#;
        transport(&[
            (r#"{"type":"ping"}"#, r#"{"type":"pong"}"#),
            (INIT, "authenticate 1"),
            ("accept", ack),
            ("init time is over", "-"),
            (&subscribe("1"), "start 1 {a}"),
            (r#"{"id":"7","type":"complete"}"#, "-"),
            (r#"{"type":"ping","payload":{"a":1}}"#, r#"{"type":"pong","payload":{"a":1}}"#),
            (r#"{"type":"pong"}"#, "-"),
            (&subscribe("2"), "start 2 {a}"),
            (
                &subscribe("3"),
                r#"{"id":"3","type":"error","payload":[{"message":"the socket runs 2 operations already; stop one, or raise websocket.operations","extensions":{"path":"$","code":"too-many-requests"}}]}"#,
            ),
            (r#"{"id":"1","type":"complete"}"#, "stop 1"),
            (&subscribe("1"), "start 1 {a}"),
            (&subscribe("1"), "close 4409 Subscriber for 1 already exists"),
        ]);
        transport(&[(&subscribe("1"), "close 4401 Unauthorized")]);
        transport(&[(INIT, "authenticate 1"), ("reject", "close 4403 no such key")]);
        transport(&[(INIT, "authenticate 1"), ("busy", "close 1013 no keys yet")]);
        transport(&[
            (INIT, "authenticate 1"),
            ("accept", ack),
            (INIT, "close 4429 Too many initialisation requests"),
        ]);
        transport(&[("init time is over", "close 4408 Connection initialisation timeout")]);
        transport(&[("binary", "close 4400 messages are JSON in text frames")]);
        for (text, reason) in [
            (r#"{"type":"start","id":"1"}"#, "unexpected type for a message of a client: start"),
            (r#"{"type":"complete"}"#, "the key 'id' was not present"),
            ("{}", "the key 'type' was not present"),
        ] {
            transport(&[(text, &format!("close 4400 {reason}"))]);
        }
    }

    #[test]
    fn a_new_token_on_an_open_socket() {
        let renew = r#"{"type":"ping","payload":{"headers":{"Authorization":"Bearer y"}}}"#;
        talk(
            Protocol::Transport,
            2,
            &[
                (INIT, "authenticate 1"),
                ("accept", r#"{"type":"connection_ack"}"#),
                (renew, "renew 1"),
                (
                    "renewed",
                    r#"{"type":"pong","payload":{"session":{"role":"user","expires_at":null}}}"#,
                ),
                (renew, "renew 1"),
                (
                    "not renewed",
                    r#"{"type":"pong","payload":{"errors":[{"message":"no","extensions":{"path":"$","code":"invalid-jwt"}}]}}"#,
                ),
            ],
        );
        talk(Protocol::Transport, 2, &[(renew, "close 4401 Unauthorized")]);
        let ack = r#"{"type":"connection_ack"} {"type":"ka"}"#;
        talk(
            Protocol::Legacy,
            2,
            &[
                (INIT, "authenticate 1"),
                ("accept", ack),
                (INIT, "renew 1"),
                ("renewed", ack),
                (INIT, "renew 1"),
                ("not renewed", r#"{"type":"connection_error","payload":"no"}"#),
            ],
        );
    }

    #[test]
    fn the_older_protocol_as_hasura_has_it() {
        let legacy = |script: &[(&str, &str)]| talk(Protocol::Legacy, 1, script);
        let start = r#"{"id":"1","type":"start","payload":{"query":"{a}"}}"#;
        let not_started = |message: &str| {
            format!(
                r#"{{"type":"error","id":"1","payload":{{"message":"{message}","extensions":{{"path":"$","code":"start-failed"}}}}}} {{"type":"complete","id":"1"}}"#
            )
        };
        legacy(&[
            (start, &not_started("start received before the connection is initialised")),
            (INIT, "authenticate 1"),
            ("accept", r#"{"type":"connection_ack"} {"type":"ka"}"#),
            (start, "start 1 {a}"),
            (start, &not_started("an operation already exists with this id: 1")),
            (
                r#"{"type":"stop"}"#,
                r#"{"type":"connection_error","payload":"parsing ClientMessage failed: the key 'id' was not present"}"#,
            ),
            (
                r#"{"type":"subscribe","id":"1"}"#,
                r#"{"type":"connection_error","payload":"parsing ClientMessage failed: unexpected type for a message of a client: subscribe"}"#,
            ),
            (r#"{"id":"1","type":"stop"}"#, "stop 1"),
            (r#"{"id":"1","type":"stop"}"#, "-"),
            (r#"{"type":"connection_terminate"}"#, "close 1000 "),
        ]);
        legacy(&[
            (INIT, "authenticate 1"),
            ("reject", r#"{"type":"connection_error","payload":"no such key"}"#),
            (INIT, r#"{"type":"connection_error","payload":"no such key"}"#),
            (start, &not_started("cannot start as connection_init failed with : no such key")),
            ("init time is over", "close 4403 no such key"),
        ]);
        legacy(&[("binary", "close 1003 messages are JSON in text frames")]);
        legacy(&[("init time is over", "close 4408 Connection initialisation timeout")]);
    }
}
