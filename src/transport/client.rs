//! What a request says about itself beside its question: its id, the trace it
//! belongs to, where it comes from.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Longer ids are replaced.
const MAX_ID_BYTES: usize = 128;

/// Who sent a request, for the log and the answer.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) request_id: HeaderValue,
    pub(super) trace_id: Option<String>,
}

impl Client {
    pub(super) fn of(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> Self {
        Client {
            address: address_of(headers, peer.to_canonical(), proxies),
            request_id: request_id(headers),
            trace_id: trace_id(headers),
        }
    }

    pub(super) fn id(&self) -> &str {
        // Made of visible ASCII by `request_id`.
        self.request_id.to_str().unwrap_or("")
    }
}

/// The client's own id when it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let own = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=MAX_ID_BYTES).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=@".contains(b))
    });
    match own {
        Some(own) => own.clone(),
        None => HeaderValue::try_from(new_id()).unwrap_or(HeaderValue::from_static("-")),
    }
}

/// A random UUID (version 4).
fn new_id() -> String {
    let random = rand::random::<u128>() & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let mut id = String::with_capacity(36);
    for (index, byte) in random.to_be_bytes().into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 0xf] {
            id.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
        }
    }
    id
}

/// The trace id of a W3C `traceparent`.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(TRACE_PARENT)?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let sound = hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && trace.bytes().any(|b| b != b'0')
        && hex(span, 16)
        && span.bytes().any(|b| b != b'0')
        && hex(flags, 2)
        && (version != "00" || parts.next().is_none());
    sound.then(|| trace.to_owned())
}

/// The last address of `X-Forwarded-For` that is not one of our proxies. Who
/// is no proxy of ours says nothing about others.
fn address_of(headers: &HeaderMap, peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
    let ours = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if proxies.is_empty() || !ours(&peer) {
        return peer;
    }
    let mut address = peer;
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(hop) = parse_hop(hop.trim()) else { return address };
        address = hop;
        if !ours(&address) {
            break;
        }
    }
    address
}

/// `1.2.3.4`, `1.2.3.4:567`, `::1` or `[::1]:567`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<std::net::SocketAddr>() {
            Ok(socket) => socket.ip(),
            Err(_) => text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().expect("a header value"));
        }
        map
    }

    #[test]
    fn forwarded_addresses_are_believed_from_proxies_only() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a net")];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "junk", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, junk, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ] {
            let client = Client::of(
                &headers(&[("x-forwarded-for", forwarded)]),
                peer.parse().expect("an address"),
                &proxies,
            );
            assert_eq!(client.address.to_string(), expected, "{peer} {forwarded}");
        }
    }

    #[test]
    fn ids_of_clients_are_kept_when_plain() {
        let local = "127.0.0.1".parse().expect("an address");
        let own = Client::of(&headers(&[("x-request-id", "abc-1")]), local, &[]);
        assert_eq!(own.id(), "abc-1");
        let other = Client::of(&HeaderMap::new(), local, &[]);
        let parts: Vec<&str> = other.id().split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']));
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        assert!(other.id().bytes().all(hex), "{}", other.id());
        let long = "x".repeat(129);
        for bad in ["", "a b", "a\"b", long.as_str()] {
            let client = Client::of(&headers(&[("x-request-id", bad)]), local, &[]);
            assert_eq!(client.id().len(), 36, "{bad}");
        }
    }

    #[test]
    fn trace_ids_come_from_sound_parents_only() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, sound) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("junk", false),
        ] {
            let found = trace_id(&headers(&[("traceparent", text)]));
            assert_eq!(found.as_deref(), sound.then_some(trace), "{text}");
        }
    }
}
