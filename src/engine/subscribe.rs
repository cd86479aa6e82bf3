//! Subscriptions: a query whose answer is pushed whenever it changes.
//!
//! ```text
//! transport ─▶ Engine::subscribe ─▶ Subscription ─ latest state ─▶ socket, event stream
//!                                       ▲ │ renewed session, dropped
//!                            Publisher ─┘ ▼
//!                            the poller: reads again under the subscriber's own session
//! ```
//!
//! Between the two is one place for one state, so whoever reads slowly gets the
//! latest state and nothing is ever queued. The transport sees [`Subscription`]
//! only; what publishes into it may be anything that keeps to these rules.
//!
//! The poller knows changes by a digest of the answer. Each reading is a
//! request of its own: the catalogue of that moment, the session of that
//! moment, one transaction under row-level security.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::base::{ApiError, Code};
use crate::graphql::OperationKind;
use crate::pg::Pg;
use crate::session::{Authority, Session, sha256};

use super::{Engine, GraphqlRequest};

/// The state of a subscription.
#[derive(Debug, Clone)]
pub enum Update {
    /// The whole `data` object, as Postgres made it.
    Data(Bytes),
    /// The state could not be read for a reason that may pass.
    Failed(ApiError),
    /// The request is no longer valid, or its caller is not; nothing follows.
    Ended(ApiError),
}

/// One subscription of one caller: the stream of its states, as far as they
/// are taken in time. Dropping it ends the work behind it.
#[derive(Debug)]
pub struct Subscription {
    cell: Arc<Cell>,
    operation: Option<Arc<str>>,
    _open: DropGuard,
}

/// Where the latest state waits.
#[derive(Debug)]
struct Cell {
    slot: Mutex<Slot>,
    reader: AtomicWaker,
    session: Mutex<Arc<Session>>,
    renewed: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    latest: Option<Update>,
    /// Nothing will be published any more.
    ended: bool,
}

/// The other end of a [`Subscription`].
#[derive(Debug)]
struct Publisher {
    cell: Arc<Cell>,
    closed: CancellationToken,
}

fn channel(session: Arc<Session>, operation: Option<Arc<str>>) -> (Publisher, Subscription) {
    let cell = Arc::new(Cell {
        slot: Mutex::new(Slot::default()),
        reader: AtomicWaker::new(),
        session: Mutex::new(session),
        renewed: Notify::new(),
    });
    let closed = CancellationToken::new();
    let subscription =
        Subscription { cell: cell.clone(), operation, _open: closed.clone().drop_guard() };
    (Publisher { cell, closed }, subscription)
}

impl Subscription {
    /// The operation's name, when the document gave one.
    pub fn operation(&self) -> Option<&Arc<str>> {
        self.operation.as_ref()
    }

    /// A handle to its session.
    pub fn renewal(&self) -> Renewal {
        Renewal(self.cell.clone())
    }
}

/// The session of a subscription that somebody else reads from.
#[derive(Debug)]
pub struct Renewal(Arc<Cell>);

impl Renewal {
    /// Goes on as another session: a renewed token of the same caller.
    pub fn renew(&self, session: Arc<Session>) {
        *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = session;
        self.0.renewed.notify_one();
    }
}

impl Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        self.cell.reader.register(cx.waker());
        let mut slot = self.cell.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.latest.take() {
            Some(update) => Poll::Ready(Some(update)),
            None if slot.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Publisher {
    /// Replaces a state that was not taken yet.
    fn publish(&self, update: Update) {
        self.cell.slot.lock().unwrap_or_else(PoisonError::into_inner).latest = Some(update);
        self.cell.reader.wake();
    }

    fn session(&self) -> Arc<Session> {
        self.cell.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.cell.slot.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.cell.reader.wake();
    }
}

/// How subscriptions are read again.
#[derive(Debug)]
pub(super) struct Polling {
    interval: Duration,
    /// Readings that run at once take half of a pool at most; the rest is for
    /// requests.
    request: Semaphore,
    admin: Semaphore,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    changed: AtomicU64,
    unchanged: AtomicU64,
    failed: AtomicU64,
}

/// What subscriptions have done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubscriptionStats {
    pub open: u64,
    /// Readings by what came of them.
    pub changed: u64,
    pub unchanged: u64,
    pub failed: u64,
}

const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Polling {
    pub(super) fn new(pg: &Pg) -> Self {
        let half = |size: usize| Semaphore::new((size / 2).max(1));
        Polling {
            interval: POLL_INTERVAL,
            request: half(pg.options().pool_size),
            admin: half(pg.options().admin_pool_size),
            counts: Counts::default(),
        }
    }

    fn places(&self, session: &Session) -> &Semaphore {
        match session.authority {
            Authority::Request => &self.request,
            Authority::Admin => &self.admin,
        }
    }

    /// The time to the next reading, a tenth off either way, so that
    /// subscriptions that began together drift apart.
    fn pause(&self) -> Duration {
        self.interval.mul_f64(rand::random_range(0.9..1.1))
    }
}

/// Counts a subscription as open while it lives.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Open(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a reading has no data.
enum Unread {
    /// The request itself is refused; so it would be the next time.
    Request(ApiError),
    Run(ApiError),
}

/// What was published last, for comparison.
#[derive(PartialEq, Eq)]
enum Published {
    Data([u8; 32]),
    Error(Code, String),
}

impl Engine {
    /// Sets how long to wait between two readings of a subscription.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.polling.interval = interval;
        self
    }

    pub fn subscription_stats(&self) -> SubscriptionStats {
        let counts = &self.polling.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SubscriptionStats {
            open: read(&counts.open),
            changed: read(&counts.changed),
            unchanged: read(&counts.unchanged),
            failed: read(&counts.failed),
        }
    }

    /// Whether a request is to be given to [`Engine::subscribe`].
    pub fn is_subscription(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<bool, ApiError> {
        // The keyword cannot be written otherwise, and most documents lack it.
        if !request.query.contains("subscription") {
            return Ok(false);
        }
        let schema = self.schemas.load().of(session)?;
        Ok(self.prepare(session, &schema, request)?.plan.kind == OperationKind::Subscription)
    }

    /// Begins a subscription. What can be known without the database is
    /// refused here; everything later comes as an [`Update`], the first state
    /// too. Must be called inside a Tokio runtime.
    pub fn subscribe(
        self: &Arc<Self>,
        session: Arc<Session>,
        request: GraphqlRequest,
    ) -> Result<Subscription, ApiError> {
        let schema = self.schemas.load().of(&session)?;
        let plan = self.prepare(&session, &schema, &request)?.plan;
        if plan.kind != OperationKind::Subscription {
            return Err(ApiError::internal("a subscription was expected"));
        }
        let (publisher, subscription) = channel(session, plan.operation_name.clone());
        let engine = self.clone();
        tokio::spawn(async move {
            let closed = publisher.closed.clone();
            tokio::select! {
                () = closed.cancelled() => {}
                () = engine.poll(&request, &publisher) => {}
            }
        });
        Ok(subscription)
    }

    async fn poll(&self, request: &GraphqlRequest, publisher: &Publisher) {
        let counts = &self.polling.counts;
        let _open = Open::new(&counts.open);
        let mut last: Option<Published> = None;
        loop {
            let session = publisher.session();
            if session.expires_at.is_some_and(|at| at <= SystemTime::now()) {
                // The transport ends what is not renewed.
                publisher.cell.renewed.notified().await;
                continue;
            }
            // Boxed: most subscriptions wait, and a reading is large.
            let reading = Box::pin(self.read(&session, request));
            let (published, update) = match reading.await {
                Ok(data) => (Published::Data(sha256(&data)), Update::Data(data)),
                Err(Unread::Request(error)) => {
                    publisher.publish(Update::Ended(error));
                    return;
                }
                Err(Unread::Run(error)) => {
                    counts.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, detail = error.detail, "a subscription was not read");
                    let published = Published::Error(error.code, error.message.to_string());
                    // A subscriber that has a state keeps it while Postgres is away.
                    if error.code == Code::ServiceUnavailable && last.is_some() {
                        self.rest(publisher).await;
                        continue;
                    }
                    (published, Update::Failed(error))
                }
            };
            let is_data = matches!(published, Published::Data(_));
            if last.as_ref() == Some(&published) {
                if is_data {
                    counts.unchanged.fetch_add(1, Ordering::Relaxed);
                }
            } else {
                if is_data {
                    counts.changed.fetch_add(1, Ordering::Relaxed);
                }
                last = Some(published);
                publisher.publish(update);
            }
            self.rest(publisher).await;
        }
    }

    /// Waits for the next reading; a renewed session is read as at once.
    async fn rest(&self, publisher: &Publisher) {
        tokio::select! {
            () = tokio::time::sleep(self.polling.pause()) => {}
            () = publisher.cell.renewed.notified() => {}
        }
    }

    async fn read(&self, session: &Session, request: &GraphqlRequest) -> Result<Bytes, Unread> {
        let place = self.polling.places(session).acquire().await;
        let _place = place.map_err(|e| Unread::Run(ApiError::internal(e.to_string())))?;
        let refused = |error: ApiError| match error.code {
            Code::Unexpected => Unread::Run(error),
            _ => Unread::Request(error),
        };
        let schema = self.schemas.load().of(session).map_err(|error| refused(error.into()))?;
        let prepared = self.prepare(session, &schema, request).map_err(refused)?;
        self.query(session, &schema, request, prepared).await.map_err(Unread::Run)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::future::FutureExt;

    use super::*;
    use crate::session::claims::anonymous_session;

    fn data(text: &'static str) -> Update {
        Update::Data(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_slow_reader_gets_the_latest_state_only() {
        let (publisher, mut subscription) = channel(Arc::new(anonymous_session("user")), None);
        assert!(subscription.next().now_or_never().is_none());
        for text in ["1", "2", "3"] {
            publisher.publish(data(text));
        }
        let taken = subscription.next().now_or_never().flatten();
        assert!(matches!(taken, Some(Update::Data(bytes)) if bytes == "3"));
        assert!(subscription.next().now_or_never().is_none());
        publisher.publish(data("4"));
        drop(publisher);
        let taken = subscription.next().now_or_never().flatten();
        assert!(matches!(taken, Some(Update::Data(bytes)) if bytes == "4"));
        assert!(matches!(subscription.next().now_or_never(), Some(None)));
    }

    #[test]
    fn the_publisher_learns_that_nobody_listens() {
        let (publisher, subscription) = channel(Arc::new(anonymous_session("user")), None);
        subscription.renewal().renew(Arc::new(anonymous_session("other")));
        assert_eq!(&*publisher.session().role, "other");
        assert!(!publisher.closed.is_cancelled());
        drop(subscription);
        assert!(publisher.closed.is_cancelled());
    }
}
