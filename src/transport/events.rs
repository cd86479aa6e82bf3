//! GraphQL over Server-Sent Events, in the mode of distinct connections: the
//! answer to one operation as an event stream, which for a subscription stays
//! open.
//!
//! ```text
//! event: next          event: complete
//! data: {"data": …}    data:
//! ```
//!
//! Specified by the GraphQL over HTTP working group (rfcs/GraphQLOverSSE.md).
//! What is wrong with an operation is said inside of the stream; what is wrong
//! with the request or its caller is said by the status.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::places::Place;
use super::respond::error_list;
use super::ws::{FAR, Hub};
use crate::base::{ApiError, Code};
use crate::engine::{GraphqlResponse, Subscription, Update};
use crate::session::Session;
use crate::session::jwt::TokenError;
use crate::telemetry::metrics::Counted;

/// nginx would gather events until they fill a buffer.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An answer to a query or a mutation, as events.
pub(super) fn one(answer: &GraphqlResponse) -> Response {
    let mut out = BytesMut::new();
    let extensions = answer.extensions();
    let parts = next(answer.data.as_ref(), &answer.errors, extensions.as_deref());
    for part in parts.into_iter().chain([COMPLETE]) {
        out.extend_from_slice(&part);
    }
    respond(Body::from(out.freeze()))
}

/// The states of a subscription, as events.
pub(super) fn many(
    hub: &Arc<Hub>,
    session: &Session,
    place: Place,
    subscription: Subscription,
) -> Response {
    let now = Instant::now();
    let expiry = session.expires_at.map(|at| {
        let left = at.duration_since(SystemTime::now()).unwrap_or_default();
        Box::pin(sleep_until(now + left.min(FAR)))
    });
    let revoked = session.revoked.clone();
    let events = Events {
        ready: VecDeque::new(),
        subscription: Some(subscription),
        // The head goes out with it, before there is a state.
        keepalive: Box::pin(sleep_until(now)),
        interval: hub.options.keepalive,
        expiry,
        revoked: revoked.map(|revoked| Box::pin(revoked.cancelled_owned())),
        stopping: Box::pin(hub.stopping.clone().cancelled_owned()),
        _counted: hub.metrics.socket("event-stream"),
        hub: hub.clone(),
        _place: place,
    };
    respond(Body::new(events))
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// Whether a client that prefers JSON takes events for what JSON cannot do.
pub(super) fn are_accepted(headers: &HeaderMap) -> bool {
    headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(
        |text| {
            text.split(',').any(|range| {
                let mut parts = range.split(';').map(str::trim);
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/event-stream"))
                    && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
            })
        },
    )
}

// An empty `data` is needed for browsers to see the event at all.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// An event with an answer.
fn next(data: Option<&Bytes>, errors: &[ApiError], extensions: Option<&str>) -> Vec<Bytes> {
    let mut head = BytesMut::from(&b"event: next\ndata: {"[..]);
    if let (Some(json), true) = (extensions, data.is_some()) {
        head.extend_from_slice(b"\"extensions\":");
        head.extend_from_slice(json.as_bytes());
        head.extend_from_slice(b",");
    }
    if !errors.is_empty() {
        head.extend_from_slice(b"\"errors\":");
        head.extend_from_slice(&error_list(errors));
    }
    let Some(data) = data else {
        head.extend_from_slice(b"}\n\n");
        return vec![head.freeze()];
    };
    head.extend_from_slice(if errors.is_empty() { b"\"data\":" } else { b",\"data\":" });
    vec![head.freeze(), one_line(data), Bytes::from_static(b"}\n\n")]
}

/// JSON without the line breaks that would end the event's line: between
/// tokens they mean as much as a space, and elsewhere they are escaped.
fn one_line(json: &Bytes) -> Bytes {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(breaks) {
        return json.clone();
    }
    let mut out = BytesMut::with_capacity(json.len());
    json.iter().for_each(|byte| out.put_u8(if breaks(byte) { b' ' } else { *byte }));
    out.freeze()
}

/// The body of a subscription's answer. It is asked for more only when the
/// client has taken what there was, so a slow one skips states.
struct Events {
    hub: Arc<Hub>,
    ready: VecDeque<Bytes>,
    /// None when nothing follows what is ready.
    subscription: Option<Subscription>,
    keepalive: Pin<Box<Sleep>>,
    interval: Duration,
    expiry: Option<Pin<Box<Sleep>>>,
    revoked: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    _counted: Counted,
    _place: Place,
}

impl Events {
    fn say(&mut self, data: Option<&Bytes>, errors: &[ApiError], marks: Option<&str>) {
        errors.iter().for_each(|error| self.hub.metrics.error(error));
        self.hub.metrics.socket_frame();
        self.ready.extend(next(data, errors, marks));
    }

    fn end(&mut self, error: ApiError) {
        self.say(None, &[error], None);
        self.complete();
    }

    fn complete(&mut self) {
        self.ready.push_back(COMPLETE);
        self.subscription = None;
    }

    fn take(&mut self, update: Option<Update>) {
        match update {
            Some(Update::Data(data, marks)) => self.say(Some(&data), &[], marks.as_deref()),
            Some(Update::Failed(error)) => self.say(None, &[error], None),
            Some(Update::Ended(error)) => self.end(error),
            None => self.complete(),
        }
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            let Some(subscription) = &mut self.subscription else { return Poll::Ready(None) };
            let state = Pin::new(subscription).poll_next(cx);
            // Without an end in the stream, clients connect again.
            if self.stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if self.expiry.as_mut().is_some_and(|expiry| expiry.as_mut().poll(cx).is_ready()) {
                self.end(ApiError::new(Code::InvalidJwt, "Could not verify JWT: JWTExpired"));
                continue;
            }
            if self.revoked.as_mut().is_some_and(|revoked| revoked.as_mut().poll(cx).is_ready()) {
                self.end(TokenError::UnknownKey.into());
                continue;
            }
            if let Poll::Ready(update) = state {
                self.take(update);
                continue;
            }
            if self.keepalive.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let later = Instant::now() + self.interval;
            self.keepalive.as_mut().reset(later);
            self.ready.push_back(COMMENT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: Vec<Bytes>) -> String {
        String::from_utf8(parts.concat()).expect("UTF-8")
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let data = Bytes::from_static(b"{\"a\":[1, \n 2,\r\n3],\"b\":\"x\\ny\"}");
        assert_eq!(
            shown(next(Some(&data), &[], None)),
            "event: next\ndata: {\"data\":{\"a\":[1,   2,  3],\"b\":\"x\\ny\"}}\n\n"
        );
        let error = [ApiError::new(Code::NotFound, "no")];
        let errors = r#""errors":[{"message":"no","extensions":{"path":"$","code":"not-found"}}]"#;
        assert_eq!(shown(next(None, &error, None)), format!("event: next\ndata: {{{errors}}}\n\n"));
        assert_eq!(
            shown(next(Some(&Bytes::from_static(b"{}")), &error, None)),
            format!("event: next\ndata: {{{errors},\"data\":{{}}}}\n\n")
        );
    }

    #[test]
    fn events_may_be_second_choice() {
        for (accept, accepted) in [
            ("text/event-stream", true),
            ("application/json, text/event-stream;q=0.5", true),
            ("Text/Event-Stream ; charset=utf-8", true),
            ("application/json, text/event-stream;q=0", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, accept.parse().expect("a header"));
            assert_eq!(are_accepted(&headers), accepted, "{accept}");
        }
    }
}
