//! What load balancers and orchestrators ask: alive, ready, which version.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

/// An answer of the check is told again for this long.
const KEEP: Duration = Duration::from_secs(1);

/// Whether requests can be served now; the reason when not is for the log.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The readiness of the server, asked at most once a second.
pub(super) struct Readiness {
    check: ReadyCheck,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    pub(super) fn new(check: ReadyCheck) -> Self {
        Readiness { check, last: Mutex::new(None) }
    }

    pub(super) async fn is_ready(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, ready)) = last
            && at.elapsed() < KEEP
        {
            return ready;
        }
        let was_ready = last.is_none_or(|(_, ready)| ready);
        let ready = match (self.check)().await {
            Ok(()) => {
                if !was_ready {
                    tracing::info!("ready again");
                }
                true
            }
            Err(reason) => {
                if was_ready {
                    tracing::error!(reason, "not ready");
                }
                false
            }
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), ready));
        ready
    }
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response {
    with_type(status, "text/plain; charset=utf-8", text)
}

pub(super) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The version of Hasura whose dialect is spoken: its CLI takes what it may ask
/// for from the version.
pub(super) const DIALECT: &str = "v2.48.0";

pub(super) fn version() -> Response {
    with_type(
        StatusCode::OK,
        "application/json; charset=utf-8",
        format!(
            "{{\"server_type\":\"ce\",\"version\":\"{DIALECT}\",\"ringfence\":\"v{}\"}}",
            env!("CARGO_PKG_VERSION")
        ),
    )
}
