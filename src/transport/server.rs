//! Sockets: accepting, time-outs against slow clients, and an orderly end.
//!
//! On a stop signal no connection is accepted any more, idle ones are closed,
//! running requests and WebSockets have the grace period to end; what is left
//! is dropped, which cancels its statements.
//!
//! An upgrade that arrives over an open connection then is not answered: to a
//! proxy that is the same as a door that is closed, so it asks another server,
//! as it should not do for every 503.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::again::Again;
use super::router::Edge;
use super::stall::Stalling;
use super::ws;

/// Bounds the head: request line and all headers.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 100;
/// Further connections wait in the kernel's queue.
const CONNECTIONS: usize = 16 * 1024;
/// After an error of `accept` (too many open files), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// `OPEN_MAX` of macOS, whose kernels may refuse to go from the 256 files of a
/// terminal to the infinity that they tell as the maximum.
const FILES_OF_MACOS: u64 = 10_240;

/// Each socket is an open file, and systems begin with 1,024 of them or fewer.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raise = |current| setrlimit(Resource::Nofile, Rlimit { current, ..limit });
    let raised = match raise(limit.maximum) {
        Err(_) if limit.maximum.is_none() && limit.current < Some(FILES_OF_MACOS) => {
            raise(Some(FILES_OF_MACOS))
        }
        raised => raised,
    };
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Serves until `stop` is cancelled and the connections have ended, or the
/// grace period has.
pub async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    stop: CancellationToken,
    grace: Duration,
) {
    raise_file_limit();
    let connections = TaskTracker::new();
    let kill = CancellationToken::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let serving = connection(stream, peer, edge.clone(), stop.clone(), kill.clone());
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    drop(listener);
    let sockets = edge.sockets();
    connections.close();
    sockets.tasks.close();
    let ended = async {
        connections.wait().await;
        sockets.tasks.wait().await;
    };
    if tokio::time::timeout(grace, ended).await.is_err() {
        let open = connections.len() + sockets.tasks.len();
        tracing::warn!(open, "the grace period is over; requests are dropped");
        kill.cancel();
        sockets.kill.cancel();
        connections.wait().await;
        sockets.tasks.wait().await;
    }
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the server is stopping")]
struct Stopping;

async fn connection(
    stream: TcpStream,
    peer: std::net::SocketAddr,
    edge: Arc<Edge>,
    stop: CancellationToken,
    kill: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let (read_time, write_time) = edge.times();
    let stopping = stop.clone();
    let service = service_fn(move |request: Request<_>| {
        let (edge, stopping) = (edge.clone(), stopping.clone());
        async move {
            let upgrade = ws::is_upgrade(request.method(), request.headers());
            let response = edge.handle(peer, request).await;
            let refused = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            if upgrade && refused && stopping.is_cancelled() { Err(Stopping) } else { Ok(response) }
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(read_time)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let stream = Stalling::new(stream, write_time);
    let serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let again = Again::new();
    let ended = tokio::select! {
        ended = again.drive(serving.as_mut()) => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            // Nobody is killed who was not told to stop before.
            tokio::select! {
                ended = serving => ended,
                () = kill.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
