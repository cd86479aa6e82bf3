//! Which origins' pages may call from a browser.
//!
//! Listed origins may send cookies; with `*` every origin may call, but
//! without cookies, so that no page can act with somebody else's.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// The rules, read from the configuration.
#[derive(Debug, Clone)]
pub struct Cors {
    enabled: bool,
    any: bool,
    exact: Vec<String>,
    /// What stands before and after the `*`.
    wild: Vec<(String, String)>,
    max_age: HeaderValue,
}

/// How far the page is trusted that opens a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Its visitor's cookies count.
    Trusted,
    /// Only what the page itself knows counts.
    Foreign,
    Refused,
}

impl Cors {
    pub fn new(enabled: bool, domains: &[String], max_age: Duration) -> Self {
        let mut cors = Cors {
            enabled,
            any: false,
            exact: Vec::new(),
            wild: Vec::new(),
            max_age: HeaderValue::from(max_age.as_secs()),
        };
        for domain in domains {
            let domain = domain.trim_end_matches('/').to_ascii_lowercase();
            match domain.split_once('*') {
                _ if domain == "*" => cors.any = true,
                Some((before, after)) => cors.wild.push((before.to_owned(), after.to_owned())),
                None => cors.exact.push(domain),
            }
        }
        cors
    }

    fn is_listed(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.exact.contains(&origin)
            || self.wild.iter().any(|(before, after)| {
                origin
                    .strip_prefix(before.as_str())
                    .and_then(|rest| rest.strip_suffix(after.as_str()))
                    .is_some_and(|label| {
                        !label.is_empty()
                            && label
                                .bytes()
                                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
                    })
            })
    }

    /// What a page may do whose browser opens a WebSocket. Browsers ask nobody
    /// before they do so, and send the cookies along.
    pub(super) fn admission(&self, headers: &HeaderMap) -> Admission {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            // No browser.
            (None, _) => return Admission::Trusted,
            (Some(origin), None) => origin.to_str().unwrap_or_default(),
            _ => return Admission::Refused,
        };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let own = origin.split_once("://").map(|(_, authority)| authority);
        let is_own = own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host));
        if is_own || (self.enabled && self.is_listed(origin)) {
            Admission::Trusted
        } else if self.any || !self.enabled {
            Admission::Foreign
        } else {
            Admission::Refused
        }
    }

    /// Whether the cookies of a visitor count in a request that browsers send
    /// without asking: a link, a form, a picture.
    pub(super) fn are_cookies_trusted(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(ORIGIN) {
            return self.admission(headers) == Admission::Trusted;
        }
        // Links have no origin, but current browsers say from where they lead.
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        !matches!(site, Some(b"cross-site" | b"same-site"))
    }

    /// Whether a request only asks if it may be made.
    pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// What the answer to a request with these headers says about its origin.
    pub(super) fn apply(&self, request: &HeaderMap, preflight: bool, answer: &mut HeaderMap) {
        if !self.enabled {
            return;
        }
        if !self.any || !self.exact.is_empty() || !self.wild.is_empty() {
            answer.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = request.get(ORIGIN) else { return };
        if origin.to_str().is_ok_and(|text| self.is_listed(text)) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        } else if self.any {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            return;
        }
        if preflight {
            answer.insert(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("GET,POST,PUT,PATCH,DELETE,OPTIONS"),
            );
            if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        } else {
            answer.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("x-request-id,retry-after"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_matched_whole() {
        let domains = ["https://app.example.com", "https://*.example.org", "http://localhost:3000"];
        let cors = Cors::new(true, &domains.map(str::to_owned), Duration::from_secs(60));
        for (origin, listed) in [
            ("https://app.example.com", true),
            ("https://APP.example.com", true),
            ("http://app.example.com", false),
            ("https://app.example.com.evil.test", false),
            ("https://app.example.com:8443", false),
            ("https://a.example.org", true),
            ("https://a.b.example.org", true),
            ("https://example.org", false),
            ("https://.example.org", false),
            ("https://evil.test/.example.org", false),
            ("https://evilexample.org", false),
            ("http://localhost:3000", true),
            ("null", false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ORIGIN, origin.parse().expect("a header value"));
            let mut answer = HeaderMap::new();
            cors.apply(&request, false, &mut answer);
            let expected = listed.then_some(origin);
            let allowed =
                answer.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|v| v.to_str().expect("text"));
            assert_eq!(allowed, expected, "{origin}");
        }
    }

    #[test]
    fn sockets_of_foreign_pages_have_no_cookies() {
        use Admission::{Foreign, Refused, Trusted};
        let listed = ["https://app.example.com".to_owned()];
        let any = ["*".to_owned()];
        for (enabled, domains, origin, expected) in [
            (true, &listed[..], None, Trusted),
            (true, &listed, Some("https://app.example.com"), Trusted),
            (true, &listed, Some("https://api.example.com"), Trusted),
            (true, &listed, Some("https://evil.test"), Refused),
            (true, &listed, Some("null"), Refused),
            (true, &any, Some("https://evil.test"), Foreign),
            (true, &any, Some("https://API.example.com"), Trusted),
            (true, &any, Some("https://api.example.com.evil.test"), Foreign),
            (false, &listed, Some("https://app.example.com"), Foreign),
            (false, &listed, Some("https://api.example.com"), Trusted),
        ] {
            let cors = Cors::new(enabled, domains, Duration::from_secs(60));
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("api.example.com"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(cors.admission(&headers), expected, "{enabled} {domains:?} {origin:?}");
        }
    }
}
