//! Floor 6: the console at `/console`, every byte of it from this binary.
//!
//! ```text
//! console/src ─▶ npm run build ─▶ console/dist (*.br, *.gz) ─▶ embedded ─▶ asset()
//! ```
//!
//! A build without `console/dist` works and serves a page that says how to
//! make it. Debug builds read the folder at run time.

use std::borrow::Cow;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use rust_embed::RustEmbed;
use serde::Serialize;

use crate::base::Secret;

#[derive(RustEmbed)]
#[folder = "console/dist"]
#[allow_missing = true]
struct Dist;

/// Nothing from outside, no inline script, no framing. Monaco, the editor in
/// GraphiQL, writes its theme into `<style>` elements and positions its lines
/// with `style` attributes, so inline *styles* have to be allowed; small images
/// in its style sheet are `data:`.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; worker-src 'self'; \
     connect-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; \
     img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<title>Ringfence console</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;padding:0 1em}</style>\
<h1>This build has no console</h1>\
<p>The binary was built without the console's assets. The API works as usual at <code>/v1/graphql</code>.</p>\
<p>To have the console: install Node 20 or later, run <code>make console</code> and build again.</p></html>\n";

/// A ready token that `ringfence dev` offers.
#[derive(Debug, Clone)]
pub struct DevToken {
    pub label: String,
    pub token: Secret<String>,
}

/// What the page is told. There is no place here for the admin secret: the
/// console never gets it from the server.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// Path of the GraphQL endpoint on this origin, `/v1/graphql`.
    pub endpoint: String,
    /// Empty in production.
    pub tokens: Vec<DevToken>,
}

/// A file as the build stored it.
struct File {
    data: Bytes,
    hash: [u8; 32],
}

type Lookup = fn(&str) -> Option<File>;

fn embedded(path: &str) -> Option<File> {
    let file = Dist::get(path)?;
    Some(File {
        hash: file.metadata.sha256_hash(),
        data: match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        },
    })
}

#[derive(Clone)]
struct Console {
    settings: Arc<ConsoleSettings>,
    lookup: Lookup,
}

/// `/console`, its files, `/console/config.json`, and `/` leading there.
pub fn router<S>(settings: ConsoleSettings) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    with_lookup(settings, embedded)
}

fn with_lookup<S>(settings: ConsoleSettings, lookup: Lookup) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(async || Redirect::temporary("/console")))
        .route("/console", get(index))
        .route("/console/", get(async || Redirect::permanent("/console")))
        .route("/console/config.json", get(config))
        .route("/console/{*path}", get(file))
        .with_state(Console { settings: Arc::new(settings), lookup })
}

async fn index(State(console): State<Console>, headers: HeaderMap) -> Response {
    asset(console.lookup, "index.html", &headers)
}

async fn file(
    State(console): State<Console>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    asset(console.lookup, &path, &headers)
}

#[derive(Serialize)]
struct PageConfig<'a> {
    endpoint: &'a str,
    version: &'static str,
    tokens: Vec<PageToken<'a>>,
}

#[derive(Serialize)]
struct PageToken<'a> {
    label: &'a str,
    token: &'a str,
}

async fn config(
    State(console): State<Console>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
) -> Response {
    let own = peer.is_some_and(|Extension(ConnectInfo(peer))| {
        peer.ip().to_canonical().is_loopback() && reads_from_own_machine(&headers)
    });
    let tokens = if own {
        console
            .settings
            .tokens
            .iter()
            .map(|t| PageToken { label: &t.label, token: t.token.expose() })
            .collect()
    } else {
        Vec::new()
    };
    let body = axum::Json(PageConfig {
        endpoint: &console.settings.endpoint,
        version: env!("CARGO_PKG_VERSION"),
        tokens,
    });
    (page_headers(), [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], body)
        .into_response()
}

/// Development tokens go to a page of this origin on a loopback name only. The
/// name is checked against DNS rebinding, the fetch metadata against other
/// sites' scripts, whatever CORS allows elsewhere. Headers are only what a
/// browser says; that the peer is this machine is checked beside them.
fn reads_from_own_machine(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let Some(host) = text(header::HOST) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let loopback = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    let same_site = match text(HeaderName::from_static("sec-fetch-site")) {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => true,
    };
    let same_origin = match text(header::ORIGIN) {
        Some(origin) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        None => true,
    };
    // A proxy in front means that the reader may be anywhere.
    let direct = !headers.contains_key("x-forwarded-for");
    loopback && same_site && same_origin && direct
}

/// Headers of everything under `/console`.
fn page_headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ]
}

/// How a stored file is encoded: the build keeps text only compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Brotli,
    Gzip,
    Plain,
}

fn asset(lookup: Lookup, path: &str, request: &HeaderMap) -> Response {
    let accepts = |coding: &str| {
        request
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .any(|v| accepts_coding(v, coding))
    };
    let brotli = || lookup(&format!("{path}.br")).map(|f| (f, Stored::Brotli));
    let gzip = || lookup(&format!("{path}.gz")).map(|f| (f, Stored::Gzip));
    let found = if is_plain_path(path) {
        accepts("br")
            .then(brotli)
            .flatten()
            .or_else(gzip)
            .or_else(|| lookup(path).map(|f| (f, Stored::Plain)))
    } else {
        None
    };
    let Some((file, stored)) = found else {
        return match path {
            "index.html" => (
                page_headers(),
                [
                    (header::CONTENT_TYPE, HeaderValue::from_static(HTML)),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ],
                NOT_BUILT,
            )
                .into_response(),
            _ => (StatusCode::NOT_FOUND, page_headers(), "not found\n").into_response(),
        };
    };

    let inflate = stored == Stored::Gzip && !accepts("gzip");
    let etag = etag(&file.hash, stored, inflate);
    let cache = if path.starts_with("assets/") {
        // The name holds a hash of the content.
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let fixed = (
        page_headers(),
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type(path))),
            (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ],
        [(header::ETAG, etag.clone())],
    );
    if unchanged(request, &etag) {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }

    let body = file.data;
    match stored {
        Stored::Brotli => (fixed, [(header::CONTENT_ENCODING, "br")], body).into_response(),
        Stored::Gzip if inflate => match gunzip(&body) {
            Ok(plain) => (fixed, plain).into_response(),
            Err(error) => {
                tracing::error!(%error, path, "an embedded console file does not decompress");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        },
        Stored::Gzip => (fixed, [(header::CONTENT_ENCODING, "gzip")], body).into_response(),
        Stored::Plain => (fixed, body).into_response(),
    }
}

/// Names as the build makes them; anything else is not looked up, as debug
/// builds look in a real folder.
fn is_plain_path(path: &str) -> bool {
    !path.contains("..")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/'))
}

/// Whether an `Accept-Encoding` value names `coding` without `q=0`.
fn accepts_coding(value: &str, coding: &str) -> bool {
    value.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        parts.next().is_some_and(|c| c.eq_ignore_ascii_case(coding))
            && !parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

const HTML: &str = "text/html; charset=utf-8";

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => HTML,
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        Some("ttf") => "font/ttf",
        _ => "application/octet-stream",
    }
}

fn etag(hash: &[u8; 32], stored: Stored, inflated: bool) -> HeaderValue {
    let mut text = String::with_capacity(40);
    text.push('"');
    for byte in hash.iter().take(16) {
        text.push_str(&format!("{byte:02x}"));
    }
    text.push_str(match (stored, inflated) {
        (Stored::Brotli, _) => "-br\"",
        (Stored::Gzip, false) => "-gz\"",
        (Stored::Gzip, true) | (Stored::Plain, _) => "\"",
    });
    // Hex digits and dashes are always a valid header value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

fn unchanged(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let (Some(known), Ok(etag)) =
        (request.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()), etag.to_str())
    else {
        return false;
    };
    known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

fn gunzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len() * 4);
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    // `gzip -9` of "body { color: red }\n"
    const GZIPPED: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0x4b, 0xca, 0x4f, 0xa9, 0x54, 0xa8, 0x56, 0x48, 0xce,
        0xcf, 0xc9, 0x2f, 0xb2, 0x52, 0x28, 0x4a, 0x4d, 0x51, 0xa8, 0xe5, 0x02, 0x00, 0x96, 0x24,
        0xd3, 0x5e, 0x14, 0, 0, 0,
    ];

    fn nothing(_: &str) -> Option<File> {
        None
    }

    fn one_style(path: &str) -> Option<File> {
        let data: &'static [u8] = match path {
            "assets/a-1.css.br" => b"as brotli",
            "assets/a-1.css.gz" => GZIPPED,
            _ => return None,
        };
        Some(File { data: Bytes::from_static(data), hash: [7; 32] })
    }

    async fn get(lookup: Lookup, path: &str, headers: &[(&str, &str)]) -> (Response<()>, Bytes) {
        get_from(Some("127.0.0.1:50000"), lookup, path, headers).await
    }

    async fn get_from(
        peer: Option<&str>,
        lookup: Lookup,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Response<()>, Bytes) {
        let settings = ConsoleSettings {
            endpoint: "/v1/graphql".into(),
            tokens: vec![DevToken { label: "alice".into(), token: Secret::new("a.b.c".into()) }],
        };
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(peer) = peer {
            request = request.extension(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        let response = with_lookup::<()>(settings, lookup)
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), body)
    }

    #[tokio::test]
    async fn a_build_without_assets_says_how_to_make_them() {
        let (response, body) = get(nothing, "/console", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(std::str::from_utf8(&body).unwrap().contains("make console"));
        let (response, _) = get(nothing, "/console/assets/x.js", &[]).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_root_leads_to_the_console() {
        let (response, _) = get(nothing, "/", &[]).await;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()[header::LOCATION], "/console");
    }

    #[tokio::test]
    async fn encodings_follow_the_client() {
        for (accept, coding, expected) in [
            ("gzip, deflate, br, zstd", Some("br"), &b"as brotli"[..]),
            ("gzip", Some("gzip"), GZIPPED),
            ("br;q=0, gzip", Some("gzip"), GZIPPED),
            ("identity", None, b"body { color: red }\n"),
        ] {
            let (response, body) =
                get(one_style, "/console/assets/a-1.css", &[("accept-encoding", accept)]).await;
            assert_eq!(response.status(), StatusCode::OK, "{accept}");
            let sent = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(sent.map(|v| v.to_str().unwrap()), coding, "{accept}");
            assert_eq!(body, expected, "{accept}");
        }
    }

    #[tokio::test]
    async fn a_known_version_is_not_sent_again() {
        let path = "/console/assets/a-1.css";
        let (first, _) = get(one_style, path, &[("accept-encoding", "br")]).await;
        let etag = first.headers()[header::ETAG].to_str().unwrap();
        let again = [("accept-encoding", "br"), ("if-none-match", etag)];
        let (second, body) = get(one_style, path, &again).await;
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert!(body.is_empty());
        let (other, _) = get(one_style, path, &[("if-none-match", etag)]).await;
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn paths_do_not_leave_the_folder() {
        for path in ["/console/../Cargo.toml", "/console/..%2fCargo.toml", "/console/%00"] {
            let (response, _) = get(embedded, path, &[]).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn development_tokens_go_to_the_own_machine_only() {
        let cases: [(&[(&str, &str)], bool); 9] = [
            (&[("host", "localhost:8080")], true),
            (&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "[::1]:8080")], true),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], true),
            (&[("host", "evil.example:8080")], false),
            (&[("host", "localhost:8080"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:3000")], false),
            (&[("host", "localhost"), ("x-forwarded-for", "203.0.113.9")], false),
            (&[], false),
        ];
        for (headers, given) in cases {
            let (_, body) = get(nothing, "/console/config.json", headers).await;
            let config: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(config["endpoint"], "/v1/graphql");
            let tokens = config["tokens"].as_array().unwrap();
            assert_eq!(tokens.len(), usize::from(given), "{headers:?}");
        }
        for (peer, given) in [
            (Some("127.0.0.2:1"), 1),
            (Some("[::1]:1"), 1),
            (Some("[::ffff:127.0.0.1]:1"), 1),
            (Some("192.0.2.1:1"), 0),
            (Some("[::ffff:192.0.2.1]:1"), 0),
            (None, 0),
        ] {
            let headers = [("host", "localhost:8080"), ("sec-fetch-site", "same-origin")];
            let (_, body) = get_from(peer, nothing, "/console/config.json", &headers).await;
            let config: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(config["tokens"].as_array().unwrap().len(), given, "{peer:?}");
        }
    }
}
