//! Writing answers: GraphQL answers as bytes around the bytes of Postgres, and
//! one error body for everything else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};

use crate::base::{ApiError, Code};
use crate::engine::{GraphqlResponse, Kept};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const GRAPHQL_RESPONSE: HeaderValue =
    HeaderValue::from_static("application/graphql-response+json; charset=utf-8");

const QUERY_CACHE_KEY: HeaderName = HeaderName::from_static("x-hasura-query-cache-key");
const QUERY_FAMILY_CACHE_KEY: HeaderName =
    HeaderName::from_static("x-hasura-query-family-cache-key");

/// Answers up to this size are copied into one buffer; larger ones travel as
/// the chunks they were made in.
const COPY_BYTES: usize = 16 * 1024;

/// The media type of an answer, which decides how errors show in the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: 200 for whatever GraphQL has to say.
    Json,
    /// The same where Hasura's first version is asked: 400 for what failed.
    FirstVersion,
    /// `application/graphql-response+json`: the status tells success and failure apart.
    GraphqlResponse,
    /// `text/event-stream`; what is refused before there is a stream is refused
    /// as under `application/graphql-response+json`.
    Events,
}

impl Media {
    /// What the client prefers; without a preference, JSON.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let mut best = (Media::Json, 0u16);
        for value in headers.get_all(http::header::ACCEPT) {
            let Ok(text) = value.to_str() else { continue };
            if text == "*/*" || text == "application/json" {
                // What nearly everybody sends.
                best = if best.1 == 0 { (Media::Json, 1000) } else { best };
                continue;
            }
            for range in text.split(',') {
                let mut parts = range.split(';');
                let name = parts.next().unwrap_or("").trim();
                let quality = parts
                    .find_map(|part| part.trim().strip_prefix("q="))
                    .and_then(|q| q.trim().parse::<f32>().ok())
                    .map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16);
                let media = match name {
                    _ if name.eq_ignore_ascii_case("application/graphql-response+json") => {
                        Media::GraphqlResponse
                    }
                    _ if name.eq_ignore_ascii_case("application/json")
                        || matches!(name, "*/*" | "application/*") =>
                    {
                        Media::Json
                    }
                    _ if name.eq_ignore_ascii_case("text/event-stream") => Media::Events,
                    _ => continue,
                };
                if quality > best.1 {
                    best = (media, quality);
                }
            }
        }
        best.0
    }

    fn content_type(self) -> HeaderValue {
        match self {
            Media::Json | Media::FirstVersion => JSON,
            Media::GraphqlResponse | Media::Events => GRAPHQL_RESPONSE,
        }
    }
}

/// A request that is refused before GraphQL begins.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: ApiError,
    pub(super) allow: Option<&'static str>,
    pub(super) close: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: ApiError) -> Self {
        Refusal { status, error, allow: None, close: false }
    }

    pub(super) fn method(allow: &'static str, message: &'static str) -> Self {
        Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            error: ApiError::new(Code::MethodNotAllowed, message),
            allow: Some(allow),
            close: false,
        }
    }

    /// The connection cannot be used again: there may be more of the body.
    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    pub(super) fn respond(self, media: Media) -> Response {
        let mut response =
            finish(self.status, media, error_bytes(std::slice::from_ref(&self.error)));
        self.mark(response.headers_mut());
        response
    }

    /// What the headers of the answer say beside the body.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        set_retry_after(headers, &self.error);
    }
}

fn set_retry_after(headers: &mut HeaderMap, error: &ApiError) {
    if let Some(seconds) = error.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// Cookies that handlers of actions set.
pub(super) fn set_cookies(headers: &mut HeaderMap, cookies: Vec<HeaderValue>) {
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
}

/// The status of a GraphQL answer.
fn status_of(media: Media, has_data: bool, errors: &[ApiError]) -> StatusCode {
    let Some(first) = errors.first() else { return StatusCode::OK };
    let own = match first.code.status() {
        403 if media == Media::FirstVersion => 400,
        own => own,
    };
    // Overload is said in the status whatever the client accepts, so that
    // proxies and clients back off.
    let overload = matches!(first.code, Code::TooManyRequests | Code::ServiceUnavailable);
    if overload || (media != Media::Json && !has_data) {
        StatusCode::from_u16(own).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    } else {
        StatusCode::OK
    }
}

fn error_bytes(errors: &[ApiError]) -> Chunks {
    let mut out = Chunks::default();
    push_errors(&mut out, None, errors);
    out
}

fn push_answer(out: &mut Chunks, answer: GraphqlResponse) {
    let extensions = answer.extensions();
    match (answer.data, answer.errors.as_slice()) {
        (Some(data), []) => {
            out.push(Bytes::from_static(b"{\"data\":"));
            out.push(data);
            if let Some(extensions) = extensions {
                out.push(Bytes::from_static(b",\"extensions\":"));
                out.push(extensions.into());
            }
            out.push(Bytes::from_static(b"}"));
        }
        (data, errors) => push_errors(out, data, errors),
    }
}

/// Errors as a JSON array.
pub(super) fn error_list(errors: &[ApiError]) -> Bytes {
    // Errors are plain texts and numbers, which always serialise.
    serde_json::to_vec(errors).unwrap_or_else(|_| b"[]".to_vec()).into()
}

fn push_errors(out: &mut Chunks, data: Option<Bytes>, errors: &[ApiError]) {
    out.push(Bytes::from_static(b"{\"errors\":"));
    out.push(error_list(errors));
    if let Some(data) = data {
        out.push(Bytes::from_static(b",\"data\":"));
        out.push(data);
    }
    out.push(Bytes::from_static(b"}"));
}

fn finish(status: StatusCode, media: Media, chunks: Chunks) -> Response {
    let mut response = Response::new(chunks.into_body());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media.content_type());
    response
}

/// The answer to one operation.
pub(super) fn one(media: Media, answer: GraphqlResponse) -> Response {
    let status = status_of(media, answer.data.is_some(), &answer.errors);
    let kept = answer.kept.clone();
    let retry = answer.errors.iter().find(|error| error.retry_after.is_some()).cloned();
    let mut chunks = Chunks::default();
    let cookies = answer.cookies.clone();
    push_answer(&mut chunks, answer);
    let mut response = finish(status, media, chunks);
    set_cookies(response.headers_mut(), cookies);
    if let Some(error) = retry {
        set_retry_after(response.headers_mut(), &error);
    }
    if let Some(kept) = kept {
        set_kept(response.headers_mut(), &kept);
    }
    response
}

/// What Hasura says of an answer that is kept.
pub(super) fn set_kept(headers: &mut HeaderMap, kept: &Kept) {
    // Digits and hexadecimal digits are always a header's value.
    let value = |text: String| HeaderValue::try_from(text).ok();
    for (name, text) in [
        (QUERY_CACHE_KEY, kept.key.to_string()),
        (QUERY_FAMILY_CACHE_KEY, kept.family.to_string()),
        (CACHE_CONTROL, format!("max-age={}", kept.left.as_secs())),
    ] {
        if let Some(value) = value(text) {
            headers.insert(name, value);
        }
    }
}

/// The answers to a batch, in order. Each stands for itself, so the status is
/// that of the batch: 200.
pub(super) fn many(media: Media, answers: Vec<GraphqlResponse>) -> Response {
    let mut chunks = Chunks::default();
    chunks.push(Bytes::from_static(b"["));
    let mut cookies = Vec::new();
    for (index, mut answer) in answers.into_iter().enumerate() {
        if index > 0 {
            chunks.push(Bytes::from_static(b","));
        }
        cookies.append(&mut answer.cookies);
        push_answer(&mut chunks, answer);
    }
    chunks.push(Bytes::from_static(b"]"));
    let mut response = finish(StatusCode::OK, media, chunks);
    set_cookies(response.headers_mut(), cookies);
    response
}

/// A body of known length in several pieces.
#[derive(Debug, Default)]
struct Chunks {
    parts: VecDeque<Bytes>,
    length: usize,
}

impl Chunks {
    fn push(&mut self, part: Bytes) {
        self.length += part.len();
        self.parts.push_back(part);
    }

    fn into_body(self) -> Body {
        if self.length > COPY_BYTES {
            return Body::new(self);
        }
        let mut whole = BytesMut::with_capacity(self.length);
        for part in &self.parts {
            whole.extend_from_slice(part);
        }
        Body::from(whole.freeze())
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.pop_front();
        if let Some(part) = &part {
            self.length -= part.len();
        }
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_decides_the_media_type() {
        for (accept, expected) in [
            ("", Media::Json),
            ("*/*", Media::Json),
            ("application/json", Media::Json),
            ("text/html, */*;q=0.8", Media::Json),
            ("application/graphql-response+json", Media::GraphqlResponse),
            ("application/graphql-response+json; charset=utf-8", Media::GraphqlResponse),
            ("application/graphql-response+json,application/json;q=0.9", Media::GraphqlResponse),
            ("application/json;q=0.9, application/graphql-response+json;q=0.8", Media::Json),
            ("application/graphql-response+json, application/json", Media::GraphqlResponse),
            ("application/json, application/graphql-response+json", Media::Json),
            ("Application/GraphQL-Response+JSON;q=1.0", Media::GraphqlResponse),
            ("text/plain", Media::Json),
            ("text/event-stream", Media::Events),
            ("application/json, text/event-stream", Media::Json),
            ("application/json;q=0.8, text/event-stream", Media::Events),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(http::header::ACCEPT, accept.parse().expect("a header"));
            }
            assert_eq!(Media::accepted(&headers), expected, "{accept}");
        }
    }
}
