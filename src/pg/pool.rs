//! Pools of connections: one per login.
//!
//! ```text
//! request ─▶ Pool::lease ─▶ Lease (one connection, its statements) ─▶ back to the pool
//!                              │ dropped while a transaction may be open
//!                              └▶ ROLLBACK acknowledged soon? back : cancel and close
//! ```
//!
//! A pooled connection owns the statements prepared on it. Taking one from the
//! pool costs no round trip: a dead connection is known by its closed socket.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, TimeoutType, Timeouts};
use deadpool_postgres::ClientWrapper;
use lru::LruCache;
use tokio::runtime::Handle;
use tokio_postgres::Client;

use super::connect::{Canceller, Connector};
use super::error::PgError;
use super::url::ConnectionString;
use super::wire::TxStatus;

/// How long a dropped transaction may take to end by itself before it is
/// cancelled.
const GRACE: Duration = Duration::from_millis(20);
/// How long cancelling is tried before the socket is closed regardless.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// How long opening a connection may take in all, every host included.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Between two visits of a pool, however short its times are.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// Frames kept per connection: one per role with its own limits, and a
/// generation that is going out of use.
const FRAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// What a pool counts. All numbers only grow, except `waiting`.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) round_trips: AtomicU64,
    pub(super) statement_hits: AtomicU64,
    pub(super) statement_misses: AtomicU64,
    pub(super) statement_evictions: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) opened: AtomicU64,
    waiting: AtomicUsize,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A reading of one pool, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    pub pool: &'static str,
    /// Connections that may be open at once.
    pub max: usize,
    pub open: usize,
    pub idle: usize,
    pub in_use: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    pub opened: u64,
    pub round_trips: u64,
    pub statement_hits: u64,
    pub statement_misses: u64,
    pub statement_evictions: u64,
    /// Connections that were cancelled and closed with work in flight.
    pub cancelled: u64,
    /// Requests that got no connection in time.
    pub refused: u64,
}

/// What a pool is made from.
#[derive(Debug, Clone)]
pub(super) struct PoolOptions {
    pub(super) name: &'static str,
    pub(super) size: usize,
    pub(super) wait: Duration,
    pub(super) max_waiting: usize,
    pub(super) statements: NonZeroUsize,
    /// How long an unused connection is kept.
    pub(super) idle: Option<Duration>,
    /// Sent at login (`-c name=value`).
    pub(super) startup: String,
    /// See [`super::Pg::forget_plans`].
    pub(super) epoch: Arc<AtomicU64>,
}

/// A prepared statement and what it was prepared from.
struct Prepared<S> {
    role: Box<str>,
    text: Arc<str>,
    statement: S,
}

/// What stands around the work of a transaction.
#[derive(Clone)]
pub(super) struct Frame {
    /// Begins one that reads.
    pub(super) begin_read: tokio_postgres::Statement,
    pub(super) settings: tokio_postgres::Statement,
    pub(super) commit: tokio_postgres::Statement,
}

/// Statements prepared on one connection, by (role, SQL). Eviction drops the
/// driver's handle, which closes the statement on the server.
pub(super) struct Statements {
    cache: LruCache<u64, Prepared<tokio_postgres::Statement>>,
    frames: LruCache<u64, Prepared<Frame>>,
}

/// What identifies a statement; `hash` covers the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct StatementKey<'a> {
    pub(super) hash: u64,
    pub(super) role: &'a str,
    pub(super) text: &'a Arc<str>,
}

impl StatementKey<'_> {
    fn matches<S>(&self, found: &Prepared<S>) -> bool {
        *found.role == *self.role
            && (Arc::ptr_eq(&found.text, self.text) || found.text == *self.text)
    }

    fn prepared<S>(&self, statement: S) -> Prepared<S> {
        Prepared { role: self.role.into(), text: Arc::clone(self.text), statement }
    }
}

impl Statements {
    fn new(size: NonZeroUsize) -> Self {
        Statements { cache: LruCache::new(size), frames: LruCache::new(FRAMES) }
    }

    pub(super) fn get(&mut self, key: &StatementKey<'_>) -> Option<tokio_postgres::Statement> {
        self.cache.get(&key.hash).filter(|found| key.matches(found)).map(|p| p.statement.clone())
    }

    /// Returns whether another statement had to go.
    pub(super) fn put(
        &mut self,
        key: &StatementKey<'_>,
        statement: tokio_postgres::Statement,
    ) -> bool {
        self.cache
            .push(key.hash, key.prepared(statement))
            .is_some_and(|(_, old)| !key.matches(&old))
    }

    pub(super) fn frame(&mut self, key: &StatementKey<'_>) -> Option<Frame> {
        self.frames.get(&key.hash).filter(|found| key.matches(found)).map(|p| p.statement.clone())
    }

    /// The statements that begin and end a transaction, whatever its settings.
    pub(super) fn ends(&self) -> Option<(tokio_postgres::Statement, tokio_postgres::Statement)> {
        let (_, any) = self.frames.iter().next()?;
        Some((any.statement.begin_read.clone(), any.statement.commit.clone()))
    }

    /// Keeps what stands around transactions with the settings statement `key`.
    pub(super) fn put_frame(&mut self, key: &StatementKey<'_>, frame: Frame) {
        self.frames.put(key.hash, key.prepared(frame));
    }

    pub(super) fn remove(&mut self, key: &StatementKey<'_>) {
        self.cache.pop(&key.hash);
    }

    /// After `DEALLOCATE ALL` or the like: nothing here can be trusted.
    pub(super) fn clear(&mut self) {
        self.cache.clear();
        self.frames.clear();
    }
}

/// One connection and the statements prepared on it.
pub(super) struct Connection {
    client: ClientWrapper,
    pub(super) statements: Statements,
    status: Arc<TxStatus>,
    canceller: Canceller,
    /// The epoch that no plan on the server is older than.
    epoch: u64,
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

pub(super) struct Manager {
    connector: Connector,
    statements: NonZeroUsize,
    counters: Arc<Counters>,
    epoch: Arc<AtomicU64>,
}

impl managed::Manager for Manager {
    /// Boxed, as a pool moves it a dozen times for each lease.
    type Type = Box<Connection>;
    type Error = PgError;

    async fn create(&self) -> Result<Box<Connection>, PgError> {
        let epoch = self.epoch.load(Ordering::Acquire);
        // Boxed, as it is large and rare and lies within each request's future.
        let opened = Box::pin(self.connector.open()).await?;
        let driver = opened.driver;
        let task = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        count(&self.counters.opened);
        Ok(Box::new(Connection {
            client: ClientWrapper::new(opened.client, task),
            statements: Statements::new(self.statements),
            status: opened.status,
            canceller: opened.canceller,
            epoch,
        }))
    }

    async fn recycle(
        &self,
        connection: &mut Box<Connection>,
        _: &Metrics,
    ) -> managed::RecycleResult<PgError> {
        if connection.client.is_closed() {
            return Err(managed::RecycleError::message("closed"));
        }
        Ok(())
    }
}

/// The connections of one login.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    pool: managed::Pool<Manager>,
    wait: Duration,
    connect: Duration,
    max_waiting: usize,
    counters: Arc<Counters>,
    epoch: Arc<AtomicU64>,
    runtime: Handle,
}

impl Pool {
    /// Makes the pool; nothing is opened yet. Must be called inside the runtime.
    pub(super) fn new(url: &ConnectionString, options: PoolOptions) -> Result<Self, PgError> {
        let connector = Connector::new(url, &options.startup)
            .map_err(|error| PgError::Unavailable(error.to_string()))?;
        let counters = Arc::new(Counters::default());
        let manager = Manager {
            connector,
            statements: options.statements,
            counters: Arc::clone(&counters),
            epoch: Arc::clone(&options.epoch),
        };
        // The hottest connection first: its statements are prepared already.
        let pool = managed::Pool::builder(manager)
            .max_size(options.size)
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| PgError::Protocol(error.to_string()))?;
        tokio::spawn(keep(pool.weak(), options.wait, options.idle));
        Ok(Pool {
            shared: Arc::new(Shared {
                name: options.name,
                pool,
                wait: options.wait,
                connect: CONNECT_LIMIT,
                max_waiting: options.max_waiting,
                counters,
                epoch: options.epoch,
                runtime: Handle::current(),
            }),
        })
    }

    /// Takes a connection, waiting for one for a bounded time.
    pub(super) async fn lease(&self) -> Result<Lease, PgError> {
        let shared = &self.shared;
        let create = Some(shared.connect);
        let now = Timeouts { wait: Some(Duration::ZERO), create, recycle: None };
        let object = match shared.pool.timeout_get(&now).await {
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                let _waiting = Waiting::enter(shared)?;
                let timeouts = Timeouts { wait: Some(shared.wait), create, recycle: None };
                shared.pool.timeout_get(&timeouts).await
            }
            result => result,
        };
        match object {
            Ok(object) => Ok(Lease {
                object: Some(object),
                state: LeaseState::Idle,
                epoch: shared.epoch.load(Ordering::Acquire),
                shared: Arc::clone(shared),
            }),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                count(&shared.counters.refused);
                Err(PgError::Busy { pool: shared.name })
            }
            Err(PoolError::Backend(error)) => Err(error),
            Err(error) => Err(PgError::Unavailable(error.to_string())),
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let shared = &self.shared;
        let status = shared.pool.status();
        let counters = &shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStats {
            pool: shared.name,
            max: status.max_size,
            open: status.size,
            idle: status.available,
            in_use: status.size.saturating_sub(status.available),
            waiting: counters.waiting.load(Ordering::Relaxed),
            opened: read(&counters.opened),
            round_trips: read(&counters.round_trips),
            statement_hits: read(&counters.statement_hits),
            statement_misses: read(&counters.statement_misses),
            statement_evictions: read(&counters.statement_evictions),
            cancelled: read(&counters.cancelled),
            refused: read(&counters.refused),
        }
    }

    /// Lets running work end, hands out no more connections.
    pub(super) fn close(&self) {
        self.shared.pool.close();
    }
}

/// Closes connections that nobody used for a while, until the pool is gone.
///
/// It comes by at least twice in the time that a request may wait for a
/// connection. To set the timer that is due before all others takes a system
/// call, and wakes the thread that waits for the network; with this one, that is
/// never the timer of a request.
async fn keep(pool: managed::WeakPool<Manager>, wait: Duration, idle: Option<Duration>) {
    let pause = wait.min(idle.unwrap_or(wait)) / 2;
    loop {
        tokio::time::sleep(pause.max(LEAST_PAUSE)).await;
        match pool.upgrade() {
            Some(pool) if !pool.is_closed() => {
                let Some(idle) = idle else { continue };
                drop(pool.retain(|connection, metrics| {
                    metrics.last_used() < idle && !connection.client.is_closed()
                }));
            }
            _ => return,
        }
    }
}

/// A place in the queue for a connection; the queue is bounded.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(shared: &'a Shared) -> Result<Self, PgError> {
        let place = Waiting(&shared.counters.waiting);
        if place.0.fetch_add(1, Ordering::Relaxed) >= shared.max_waiting {
            count(&shared.counters.refused);
            return Err(PgError::Busy { pool: shared.name });
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseState {
    /// No transaction is open, nothing is in flight.
    Idle,
    /// A transaction may be open or an answer outstanding.
    Busy,
    /// A statement is being prepared: its name is lost if the caller goes away,
    /// so the connection cannot be used again.
    Preparing,
    /// The connection is of no use any more.
    Broken,
}

/// One connection, taken from its pool until dropped.
pub(super) struct Lease {
    /// `None` only after `drop` took it.
    object: Option<Object<Manager>>,
    state: LeaseState,
    /// The epoch when the connection was taken.
    epoch: u64,
    shared: Arc<Shared>,
}

impl Lease {
    pub(super) fn connection(&mut self) -> Result<&mut Connection, PgError> {
        self.object.as_deref_mut().map(Box::as_mut).ok_or_else(gone)
    }

    pub(super) fn client(&self) -> Result<&Client, PgError> {
        self.object.as_ref().map(|object| object.client()).ok_or_else(gone)
    }

    /// Whether plans of an earlier epoch are to be made again here, those inside
    /// of functions included.
    pub(super) fn is_outdated(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.epoch < self.epoch)
    }

    /// Plans were discarded, if they had to be.
    pub(super) fn set_current(&mut self) {
        let epoch = self.epoch;
        if let Some(object) = self.object.as_deref_mut() {
            object.epoch = object.epoch.max(epoch);
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(super) fn set_idle(&mut self) {
        self.state = LeaseState::Idle;
    }

    /// The end of the transaction was acknowledged. A name that was lost while
    /// preparing stays lost.
    pub(super) fn set_ended(&mut self) {
        if self.state == LeaseState::Busy {
            self.state = LeaseState::Idle;
        }
    }

    pub(super) fn set_busy(&mut self) {
        self.state = LeaseState::Busy;
    }

    pub(super) fn set_preparing(&mut self) {
        self.state = LeaseState::Preparing;
    }

    pub(super) fn set_broken(&mut self) {
        self.state = LeaseState::Broken;
    }
}

fn gone() -> PgError {
    PgError::Protocol("the connection was given back".to_owned())
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        match self.state {
            LeaseState::Idle if object.status.is_idle() => drop(object),
            LeaseState::Idle => {
                tracing::error!("a connection came back within a transaction; it is closed");
                drop(Object::take(object));
            }
            LeaseState::Broken => drop(Object::take(object)),
            state @ (LeaseState::Busy | LeaseState::Preparing) => {
                let shared = Arc::clone(&self.shared);
                // The slot stays taken until the server is done with the
                // connection, so there are never more than the pool allows.
                self.shared.runtime.spawn(async move {
                    end(object, state == LeaseState::Busy, &shared).await;
                });
            }
        }
    }
}

/// Ends whatever runs on a connection whose user went away.
async fn end(object: Object<Manager>, reusable: bool, shared: &Shared) {
    if settle(&object, reusable, shared).await {
        drop(object);
    } else {
        drop(Object::take(object));
    }
}

/// Returns whether the connection is good for further use.
async fn settle(connection: &Connection, reusable: bool, shared: &Shared) -> bool {
    // Answered after everything that was sent before it.
    let mut rollback = std::pin::pin!(connection.client.batch_execute("ROLLBACK"));
    if reusable && let Ok(answer) = tokio::time::timeout(GRACE, &mut rollback).await {
        return answer.is_ok() && connection.status.is_idle();
    }
    count(&shared.counters.cancelled);
    let cancelling = async {
        let mut pause = GRACE;
        loop {
            // A cancel that finds the server between two statements has no
            // effect, so it is repeated until the end is acknowledged.
            if let Err(error) = connection.canceller.cancel().await {
                tracing::debug!(%error, "could not cancel a statement");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    };
    tokio::select! {
        answer = &mut rollback => {
            if let Err(error) = answer {
                tracing::debug!(%error, "a cancelled connection ended");
            }
        }
        () = cancelling => {}
        () = tokio::time::sleep(CANCEL_LIMIT) => {
            tracing::warn!(
                pool = shared.name,
                "a statement did not end when cancelled; its connection is closed"
            );
        }
    }
    // A late cancel could hit the next user of the connection.
    false
}
