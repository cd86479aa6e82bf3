//! What a subscriber holds: one place for one state.
//!
//! ```text
//! Group ─▶ Publisher ─ the latest state ─▶ Subscription ─▶ socket, event stream
//!               ▲ │ renewed session, dropped                   │
//!               └─┴─────────────────────────────────────────────┘
//! ```
//!
//! Whoever reads slowly gets the latest state, and nothing is ever queued.
//!
//! A subscriber may ask for marks: what a state showed, and its hash. Who comes
//! back with the hash of the state that it has is not sent that one again. Who
//! waits for a write to show asks for every position: then a state is sent again
//! when it has been read anew, since a frame without data is nothing that all
//! clients understand.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::snapshot::Snapshot;
use crate::base::{ApiError, Code};
use crate::session::{Session, sha256};

/// The state of a subscription.
#[derive(Debug, Clone)]
pub enum Update {
    /// The whole `data` object, as Postgres made it, with the marks that were
    /// asked for as JSON.
    Data(Bytes, Option<String>),
    /// The state could not be read for a reason that may pass.
    Failed(ApiError),
    /// The request is no longer valid, or its caller is not; nothing follows.
    Ended(ApiError),
}

/// What a subscriber asks to be told beside its states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// The hash of the state that it has.
    pub known: Option<String>,
    /// A state that is the same is sent again with each new position.
    pub positions: bool,
    /// Of a stream: which rows that were sent have left.
    pub left: bool,
}

/// One subscription of one caller: the stream of its states, as far as they
/// are taken in time. Dropping it ends the work behind it.
#[derive(Debug)]
pub struct Subscription {
    cell: Arc<Cell>,
    operation: Option<Arc<str>>,
    marks: Option<Marks>,
    _open: DropGuard,
}

/// Where the latest state waits.
#[derive(Debug)]
struct Cell {
    slot: Mutex<Slot>,
    reader: AtomicWaker,
    /// The state was taken.
    taken: Notify,
    session: Mutex<Arc<Session>>,
    renewed: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    latest: Option<Update>,
    /// What it showed, where that is known.
    snapshot: Option<Snapshot>,
    /// Of a state's data; one of several answers has none.
    digest: Option<[u8; 32]>,
    /// Of one of several answers: the rows that have left, as JSON.
    left: Option<String>,
    /// Nothing will be published any more.
    ended: bool,
}

/// The other end of a [`Subscription`]; clones are the same end.
#[derive(Debug, Clone)]
pub(crate) struct Publisher(Arc<End>);

#[derive(Debug)]
struct End {
    cell: Arc<Cell>,
    closed: CancellationToken,
    last: Mutex<Last>,
    /// See [`Marks::positions`].
    positions: bool,
}

/// What was published last, for comparison.
#[derive(Debug, Default)]
struct Last {
    state: Option<Published>,
    /// What the state showed, where that is known.
    snapshot: Option<Snapshot>,
    /// There was one of several answers.
    added: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Published {
    Data([u8; 32]),
    Error(Code, String),
}

impl Published {
    pub(crate) fn data(data: &[u8]) -> Self {
        Published::Data(sha256(data))
    }

    pub(crate) fn error(error: &ApiError) -> Self {
        Published::Error(error.code, error.message.to_string())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn channel(
    session: Arc<Session>,
    operation: Option<Arc<str>>,
    marks: Option<Marks>,
) -> (Publisher, Subscription) {
    let cell = Arc::new(Cell {
        slot: Mutex::new(Slot::default()),
        reader: AtomicWaker::new(),
        taken: Notify::new(),
        session: Mutex::new(session),
        renewed: Notify::new(),
    });
    let closed = CancellationToken::new();
    let positions = marks.as_ref().is_some_and(|marks| marks.positions);
    let subscription =
        Subscription { cell: cell.clone(), operation, marks, _open: closed.clone().drop_guard() };
    let end = End { cell, closed, last: Mutex::default(), positions };
    (Publisher(Arc::new(end)), subscription)
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

    /// Adds the marks that were asked for; `None` when the client has this state
    /// already.
    fn marked(
        &mut self,
        data: Bytes,
        snapshot: Option<&Snapshot>,
        digest: Option<[u8; 32]>,
        left: Option<String>,
    ) -> Option<Update> {
        let Some(marks) = &mut self.marks else { return Some(Update::Data(data, None)) };
        let mut told = serde_json::Map::new();
        if let Some(snapshot) = snapshot {
            told.insert("position".to_owned(), snapshot.to_string().into());
        }
        if let Some(digest) = digest {
            let hash = hash(&lock(&self.cell.session), &digest);
            // Of the first state alone: later ones are changes.
            let is_known = marks.known.take().is_some_and(|known| known == hash);
            if is_known && !marks.positions {
                return None;
            }
            told.insert("hash".to_owned(), hash.into());
        }
        let mut told = serde_json::Value::from(told).to_string();
        if let Some(left) = left {
            // Its values are kept as they were sent, whatever their digits.
            told.pop();
            told.push_str(if told.len() > 1 { ",\"left\":" } else { "\"left\":" });
            told.push_str(&left);
            told.push('}');
        }
        Some(Update::Data(data, Some(format!("{{\"live\":{told}}}"))))
    }
}

/// Stands for a state of one caller: another caller's hash of the same bytes is
/// another one, so that nothing can be learnt by trying.
fn hash(session: &Session, digest: &[u8; 32]) -> String {
    let mut out = Vec::new();
    let who = session.variables_json();
    let tenant = session.tenant.as_deref().unwrap_or_default();
    let user = session.user.as_deref().unwrap_or_default();
    for part in [tenant, user, &who] {
        out.extend_from_slice(&part.len().to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(digest);
    sha256(&out).iter().map(|byte| format!("{byte:02x}")).collect()
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

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        loop {
            self.cell.reader.register(cx.waker());
            let mut slot = lock(&self.cell.slot);
            let Some(update) = slot.latest.take() else {
                return if slot.ended { Poll::Ready(None) } else { Poll::Pending };
            };
            let (snapshot, digest) = (slot.snapshot.take(), slot.digest);
            let left = slot.left.take();
            drop(slot);
            self.cell.taken.notify_one();
            match update {
                Update::Data(data, _) => {
                    if let Some(update) = self.marked(data, snapshot.as_ref(), digest, left) {
                        return Poll::Ready(Some(update));
                    }
                }
                other => {
                    // In the client's eyes it took the place of what it had.
                    if let Some(marks) = &mut self.marks {
                        marks.known = None;
                    }
                    return Poll::Ready(Some(other));
                }
            }
        }
    }
}

impl Publisher {
    /// Offers a state: it replaces one that was not taken yet, unless it is
    /// the one that was published last, or older than what was published last.
    /// False for an older one, which is refused once: then something newer is
    /// on its way, and an id that fell back with a restored database stands in
    /// nobody's way.
    pub(crate) fn offer(
        &self,
        state: &Published,
        update: &Update,
        snapshot: Option<&Snapshot>,
    ) -> bool {
        let mut last = lock(&self.0.last);
        if let (Some(new), Some(known)) = (snapshot, &last.snapshot)
            && new.is_before(known)
        {
            last.snapshot = None;
            return false;
        }
        let before = std::mem::replace(&mut last.snapshot, snapshot.cloned());
        let is_told = !self.0.positions || snapshot.is_none() || snapshot == before.as_ref();
        if last.state.as_ref() == Some(state) && is_told {
            return true;
        }
        last.state = Some(state.clone());
        let digest = match state {
            Published::Data(digest) => Some(*digest),
            Published::Error(..) => None,
        };
        self.publish(update.clone(), snapshot.cloned(), digest, None);
        true
    }

    /// Waits until what was published is taken.
    pub(super) async fn vacant(&self) {
        while lock(&self.0.cell.slot).latest.is_some() {
            self.0.cell.taken.notified().await;
        }
    }

    /// Publishes one of several answers that are all to be taken; see
    /// [`Self::vacant`]. `left` are the rows that have left, as JSON.
    pub(super) fn add(&self, data: Bytes, snapshot: Option<Snapshot>, left: Option<String>) {
        *lock(&self.0.last) = Last { added: true, ..Last::default() };
        self.publish(Update::Data(data, None), snapshot, None, left);
    }

    /// Whether there was an answer by [`Self::add`].
    pub(super) fn has_added(&self) -> bool {
        lock(&self.0.last).added
    }

    /// Says why nothing follows.
    pub(crate) fn end(&self, error: ApiError) {
        self.publish(Update::Ended(error), None, None, None);
    }

    fn publish(
        &self,
        update: Update,
        snapshot: Option<Snapshot>,
        digest: Option<[u8; 32]>,
        left: Option<String>,
    ) {
        let mut slot = lock(&self.0.cell.slot);
        slot.latest = Some(update);
        slot.snapshot = snapshot;
        slot.digest = digest;
        slot.left = left;
        drop(slot);
        self.0.cell.reader.wake();
    }

    /// What was published last.
    pub(crate) fn last(&self) -> Option<Published> {
        lock(&self.0.last).state.clone()
    }

    /// Whether it was told as much as somebody else, of whom this was the last
    /// state and what it showed.
    pub(super) fn is_level(&self, state: &Published, snapshot: Option<&Snapshot>) -> bool {
        let last = lock(&self.0.last);
        let shows = match (&last.snapshot, snapshot) {
            (Some(own), Some(other)) => own == other || other.is_before(own),
            _ => false,
        };
        last.state.as_ref() == Some(state) && (!self.0.positions || shows)
    }

    pub(crate) fn session(&self) -> Arc<Session> {
        lock(&self.0.cell.session).clone()
    }

    /// Whether what is read for the session may go to it.
    pub(crate) fn is_valid(&self) -> bool {
        lock(&self.0.cell.session).is_valid()
    }

    /// Waits for another session.
    pub(crate) async fn renewed(&self) {
        self.0.cell.renewed.notified().await;
    }

    /// Cancelled when nobody listens any more.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.0.closed
    }
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.cell.slot).ended = true;
        self.cell.reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::future::FutureExt;

    use super::*;
    use crate::session::claims::anonymous_session;

    fn data(text: &'static str) -> Update {
        Update::Data(Bytes::from_static(text.as_bytes()), None)
    }

    #[test]
    fn a_slow_reader_gets_the_latest_state_only() {
        let (publisher, mut subscription) =
            channel(Arc::new(anonymous_session("user")), None, None);
        assert!(subscription.next().now_or_never().is_none());
        for text in ["1", "2", "3"] {
            publisher.publish(data(text), None, None, None);
        }
        let taken = subscription.next().now_or_never().flatten();
        assert!(matches!(taken, Some(Update::Data(bytes, None)) if bytes == "3"));
        assert!(subscription.next().now_or_never().is_none());
        publisher.publish(data("4"), None, None, None);
        drop(publisher);
        let taken = subscription.next().now_or_never().flatten();
        assert!(matches!(taken, Some(Update::Data(bytes, None)) if bytes == "4"));
        assert!(matches!(subscription.next().now_or_never(), Some(None)));
    }

    #[test]
    fn the_publisher_learns_that_nobody_listens() {
        let (publisher, subscription) = channel(Arc::new(anonymous_session("user")), None, None);
        subscription.renewal().renew(Arc::new(anonymous_session("other")));
        assert_eq!(&*publisher.session().role, "other");
        assert!(!publisher.closed().is_cancelled());
        drop(subscription);
        assert!(publisher.closed().is_cancelled());
    }
}
