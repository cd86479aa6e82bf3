//! GraphQL over WebSocket.
//!
//! ```text
//! router ─▶ handshake ─▶ Socket (a task) ─▶ engine: execute, subscribe
//!                          ├ frame        bytes ⇄ messages (RFC 6455)
//!                          ├ protocol     messages ⇄ what is meant; close codes
//!                          │  └ credentials
//!                          └ guard        what may be said when
//! ```
//!
//! `frame`, `protocol` and `guard` do no I/O. A socket at rest owns a small
//! task and no buffers.

mod credentials;
mod frame;
mod guard;
mod handshake;
mod protocol;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authn::Authenticator;
use super::client::Client;
use super::cors::{Admission, Cors};
use super::places::Places;
use super::respond::Refusal;
use crate::base::{ApiError, Code};
use crate::config::Config;
use crate::engine::Engine;
use crate::telemetry::metrics::Metrics;

pub(super) use handshake::is_upgrade;
use socket::Socket;

/// How sockets behave.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// For a `connection_init` that is accepted.
    pub init_timeout: Duration,
    /// Between two `ka`.
    pub keepalive: Duration,
    /// Between two pings, to the second of which a client must have shown life.
    pub ping: Duration,
    /// The most operations of one socket.
    pub operations: usize,
    /// The largest message.
    pub message_bytes: usize,
    /// The most sockets and event streams: in all, of a user, of an address.
    pub sockets: usize,
    pub sockets_per_user: Option<usize>,
    pub sockets_per_address: Option<usize>,
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

impl From<&Config> for SocketOptions {
    fn from(config: &Config) -> Self {
        let ws = &config.websocket;
        SocketOptions {
            init_timeout: ws.init_timeout,
            keepalive: ws.keepalive,
            ping: ws.ping,
            operations: size(ws.operations),
            message_bytes: usize::try_from(config.limits.body.0).unwrap_or(usize::MAX),
            sockets: size(ws.sockets),
            sockets_per_user: ws.sockets_per_user.map(size),
            sockets_per_address: ws.sockets_per_address.map(size),
        }
    }
}

/// What all sockets share.
pub(super) struct Hub {
    pub(super) engine: Arc<Engine>,
    pub(super) auth: Arc<Authenticator>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: SocketOptions,
    pub(super) places: Arc<Places>,
    /// The server stops: what runs may end, nothing begins.
    pub(super) stopping: CancellationToken,
    /// The time for that is over.
    pub(super) kill: CancellationToken,
    /// Sockets that are open.
    pub(super) tasks: TaskTracker,
}

/// Answers a handshake; the socket is a task of its own from then on.
pub(super) fn upgrade(
    hub: &Arc<Hub>,
    cors: &Cors,
    client: &Client,
    parts: &Parts,
) -> Result<Response, Box<Refusal>> {
    let refuse = |status, error| Box::new(Refusal::new(status, error));
    let (response, protocol) = handshake::answer(parts)?;
    if hub.stopping.is_cancelled() {
        let error = ApiError::new(Code::ServiceUnavailable, "the server is stopping");
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, error.with_retry_after(1)));
    }
    let mut headers = parts.headers.clone();
    match cors.admission(&parts.headers) {
        Admission::Trusted => {}
        // A foreign page must not act with the cookies of its visitor.
        Admission::Foreign => drop(headers.remove(COOKIE)),
        Admission::Refused => {
            let message = "received origin header does not match configured CORS domains";
            let error = ApiError::new(Code::AccessDenied, message);
            return Err(refuse(StatusCode::FORBIDDEN, error));
        }
    }
    let place =
        hub.places.take(client.address).map_err(|error| refuse(status_of(&error), error))?;
    let Some(upgrade) = parts.extensions.get::<OnUpgrade>().cloned() else {
        let error = ApiError::internal("this connection cannot be upgraded");
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, error));
    };
    let request_id = client.request_id.clone();
    let address = client.address;
    let hub = hub.clone();
    let tasks = hub.tasks.clone();
    tasks.spawn(async move {
        let stream = match upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => {
                tracing::debug!(%error, "a client did not wait for its upgrade");
                return;
            }
        };
        let kill = hub.kill.clone();
        let Some(protocol) = protocol else {
            return socket::refuse(stream).await;
        };
        let who = socket::Who { request_id, address };
        let socket = Socket::new(hub, stream, protocol, headers, place, who);
        tokio::select! {
            () = kill.cancelled() => {}
            () = socket.run() => {}
        }
    });
    Ok(response)
}

/// The status of a refusal for want of a place.
pub(super) fn status_of(error: &ApiError) -> StatusCode {
    StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

/// Timers do not reach as far as a token may be valid.
pub(super) const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// The id in a header, which is visible ASCII.
fn id_text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or("")
}
