//! The opening handshake (RFC 6455, section 4.2).

use aws_lc_rs::digest;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::super::respond::Refusal;
use super::protocol::Protocol;
use crate::base::{ApiError, Code};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket.
pub(in crate::transport) fn is_upgrade(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && has_token(headers, UPGRADE, "websocket")
}

/// Whether a list of words in a header has `token`.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    words(headers, name).any(|word| word.eq_ignore_ascii_case(token))
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
}

/// The answer to a handshake, and the sub-protocol; `None` when the client
/// offers only some that are not spoken here.
pub(super) fn answer(parts: &Parts) -> Result<(Response, Option<Protocol>), Box<Refusal>> {
    let key = check(parts)?;
    let protocol = choose(&parts.headers);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept(key.as_bytes()));
    if let Some(protocol) = protocol
        && parts.headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
    {
        let name = HeaderValue::from_static(protocol.name());
        headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok((response, protocol))
}

fn check(parts: &Parts) -> Result<&HeaderValue, Box<Refusal>> {
    let refuse = |status, message: &'static str| {
        Box::new(Refusal::new(status, ApiError::new(Code::BadRequest, message)))
    };
    if parts.version != Version::HTTP_11 {
        return Err(refuse(StatusCode::BAD_REQUEST, "a WebSocket needs HTTP/1.1"));
    }
    if !has_token(&parts.headers, CONNECTION, "upgrade") {
        return Err(refuse(StatusCode::BAD_REQUEST, "the header Connection must hold 'upgrade'"));
    }
    if parts.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 is spoken here"));
    }
    let mut keys = parts.headers.get_all(SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if STANDARD.decode(key).is_ok_and(|key| key.len() == 16) => Ok(key),
        _ => Err(refuse(StatusCode::BAD_REQUEST, "the header Sec-WebSocket-Key is wrong")),
    }
}

/// Proves that the key was read by somebody who speaks WebSocket; no secret
/// hangs on it.
fn accept(key: &[u8]) -> HeaderValue {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    let text = STANDARD.encode(context.finish());
    // Base64 is always a header's value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// The newer protocol wins, wherever the client lists it; a client that lists
/// none speaks the older one, as Hasura has it.
fn choose(headers: &HeaderMap) -> Option<Protocol> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Some(Protocol::Legacy);
    }
    [Protocol::Transport, Protocol::Legacy]
        .into_iter()
        .find(|protocol| words(headers, SEC_WEBSOCKET_PROTOCOL).any(|word| word == protocol.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a header value"));
        }
        request.into_parts().0
    }

    const SOUND: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc() {
        let sound = parts(&SOUND);
        assert!(is_upgrade(&sound.method, &sound.headers));
        let (response, protocol) = answer(&sound).expect("is accepted");
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(protocol, Some(Protocol::Legacy));
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn protocols_are_chosen_by_preference_of_the_server() {
        for (offered, chosen) in [
            ("graphql-ws", Some("graphql-ws")),
            ("graphql-ws, graphql-transport-ws", Some("graphql-transport-ws")),
            ("graphql-transport-ws", Some("graphql-transport-ws")),
            ("soap", None),
            ("GraphQL-WS", None),
            ("", None),
        ] {
            let mut headers = SOUND.to_vec();
            headers.push(("sec-websocket-protocol", offered));
            let (response, protocol) = answer(&parts(&headers)).expect("is accepted");
            assert_eq!(protocol.map(Protocol::name), chosen, "{offered}");
            let said = response.headers().get("sec-websocket-protocol");
            assert_eq!(said.map(|v| v.to_str().expect("text")), chosen, "{offered}");
        }
    }

    #[test]
    fn half_a_handshake_is_refused() {
        for (name, value, status) in [
            ("connection", "keep-alive", 400),
            ("sec-websocket-version", "8", 426),
            ("sec-websocket-key", "short", 400),
            ("sec-websocket-key", "c2hvcnQ=", 400),
        ] {
            let mut headers = SOUND.to_vec();
            headers.retain(|(other, _)| *other != name);
            for headers in [headers.clone(), [headers, vec![(name, value)]].concat()] {
                let refused = answer(&parts(&headers)).expect_err("is refused");
                assert_eq!(refused.status, status, "{name}: {value}");
            }
        }
    }
}
