//! Reading a request's body: bounded in bytes, before and after
//! decompression, and in time.

use std::io::Read;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;

use super::respond::Refusal;
use crate::base::{ApiError, Code};

/// What a client is let finish sending after its body was refused, so that it
/// reads the answer instead of a reset connection.
const DRAIN_BYTES: usize = 32 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

/// The most bytes of a body, and the setting that says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) bytes: usize,
    pub(super) setting: &'static str,
}

fn too_large(limit: Limit) -> Refusal {
    let Limit { bytes, setting } = limit;
    let message = format!("the request body is larger than {bytes} bytes ({setting})");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ApiError::new(Code::PayloadTooLarge, message))
        .closing()
}

fn unreadable(what: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ApiError::new(Code::BadRequest, what))
}

/// Reads the whole body of a request.
pub(super) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limit: Limit,
    read_time: Duration,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    let encoding = encoding_of(headers)?;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    let mut body = pin!(body);
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        // Who asks before sending is simply told no.
        if !headers.contains_key(EXPECT) {
            drain(body).await;
        }
        return Err(too_large(limit));
    }
    let collected = tokio::time::timeout(read_time, collect(body.as_mut(), limit)).await;
    let bytes = match collected {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(refusal)) => {
            if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
                drain(body).await;
            }
            return Err(refusal);
        }
        Err(_) => {
            let message = format!("the request body did not arrive within {:?}", read_time);
            let error = ApiError::new(Code::TimeLimitExceeded, message);
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, error).closing());
        }
    };
    match encoding {
        Encoding::Identity => Ok(bytes),
        Encoding::Gzip => inflate(flate2::read::MultiGzDecoder::new(bytes.as_ref()), limit),
        Encoding::Brotli => {
            inflate(brotli_decompressor::Decompressor::new(bytes.as_ref(), 4096), limit)
        }
    }
}

fn encoding_of(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let refuse = || {
        let error = ApiError::new(
            Code::UnsupportedMediaType,
            "this Content-Encoding is not supported; send gzip, br or none",
        );
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    };
    match (values.next(), values.next()) {
        (None, _) => Ok(Encoding::Identity),
        (Some(value), None) => match value.to_str().map(str::trim).unwrap_or("") {
            value if value.eq_ignore_ascii_case("identity") => Ok(Encoding::Identity),
            value if value.eq_ignore_ascii_case("gzip") => Ok(Encoding::Gzip),
            value if value.eq_ignore_ascii_case("br") => Ok(Encoding::Brotli),
            _ => Err(refuse()),
        },
        _ => Err(refuse()),
    }
}

async fn collect<B>(mut body: std::pin::Pin<&mut B>, limit: Limit) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
{
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(unreadable("the request body ended early"));
        };
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit.bytes {
            return Err(too_large(limit));
        }
        match &first {
            // Nearly always the only one, and then never copied.
            None => first = Some(data),
            Some(head) => {
                if rest.is_empty() {
                    rest.extend_from_slice(head);
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    if rest.is_empty() { Ok(first.unwrap_or_default()) } else { Ok(rest.freeze()) }
}

/// Lets go of the body of a request that is refused whatever the body says,
/// without keeping any of it; false when the connection cannot be used again.
pub(super) async fn discard<B>(headers: &HeaderMap, body: B) -> bool
where
    B: Body<Data = Bytes>,
{
    let body = pin!(body);
    if headers.contains_key(EXPECT) {
        return body.is_end_stream();
    }
    drain(body).await
}

/// Whether the body ended.
async fn drain<B: Body<Data = Bytes>>(mut body: std::pin::Pin<&mut B>) -> bool {
    let reading = async {
        let mut drained = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > DRAIN_BYTES {
                return false;
            }
        }
        true
    };
    let ended = tokio::time::timeout(DRAIN_TIME, reading).await.unwrap_or(false);
    if !ended {
        tracing::debug!("a refused body was not sent to its end");
    }
    ended
}

fn inflate(decoder: impl Read, limit: Limit) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    // One more than allowed tells "too large" from "just fits"; the rest of a
    // bomb is never unpacked.
    let most = (limit.bytes as u64).saturating_add(1);
    match decoder.take(most).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() > limit.bytes => Err(too_large(limit)),
        Ok(_) => Ok(bytes.into()),
        Err(_) => Err(unreadable("the request body cannot be decompressed")),
    }
}
