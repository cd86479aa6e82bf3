//! Groups: one statement with its values, read once for all who would get the
//! same bytes.
//!
//! ```text
//! Publisher ─ join(key) ─▶ Group: one task ─ woken, polled ─▶ Reader ─▶ Postgres
//!     ▲                       └── its state, to all of its members ──┐
//!     └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! The key is everything that the bytes depend on: text, parameters, role and
//! the values of the settings that the reading writes. So nothing can reach a
//! member that its own key does not stand for.
//!
//! One reading is under way at a time; whatever comes meanwhile is one reading
//! more. A commit counts as done when a snapshot shows it: the log may tell of
//! one before other transactions can see it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::answer::{RowsAt, rows_of};
use super::places::MOMENT;
use super::retry::Failures;
use super::router::{Interest, Pending, Router, Ticket};
use super::snapshot::Snapshot;
use super::subscription::{Published, Publisher, Update};
use super::visible::longer;
use crate::base::{ApiError, Code};

/// A digest of everything that the bytes depend on.
pub(crate) type Key = [u8; 32];

/// One of so many readings is compared with that of a member.
const AUDIT: u32 = 64;

/// What a reading gave.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) data: Bytes,
    /// What the statement saw; `None` where that cannot be told.
    pub(crate) snapshot: Option<Snapshot>,
}

/// Runs the statement of a group, or of one member with all that its session has.
pub(crate) trait Reader: Send + Sync + 'static {
    fn read(&self) -> BoxFuture<'_, Result<Reading, ApiError>>;

    /// Whether that took long the last time, so that it waits in a line of its
    /// own.
    fn is_slow(&self) -> bool {
        false
    }
}

/// What makes a group.
pub(crate) struct Parts {
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) interest: Interest,
    /// Where the answer has the rows that the interest says it tells of.
    pub(crate) shown: Vec<RowsAt>,
    /// Told when a member would get other bytes by itself.
    pub(crate) mismatch: Arc<dyn Fn() + Send + Sync>,
}

/// One who gets what a group reads.
pub(crate) struct Joining {
    pub(crate) publisher: Publisher,
    /// The same with nothing withheld, where the group withholds something.
    pub(crate) own: Option<Arc<dyn Reader>>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) changed: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Readings that a commit asked for, but that were made already.
    pub(super) skipped: AtomicU64,
    pub(super) audits: AtomicU64,
    pub(super) mismatches: AtomicU64,
}

/// All groups.
pub(crate) struct Groups {
    router: Arc<Router>,
    by_key: Mutex<HashMap<Key, Arc<Group>>>,
    poll: Mutex<Duration>,
    /// Groups that are read again without anybody knowing whether a commit
    /// concerns them take turns, so that those who are known to wait do not.
    doubtful: Semaphore,
    pub(super) counts: Counts,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

struct Group {
    groups: Weak<Groups>,
    parts: Parts,
    ticket: Ticket,
    state: Mutex<State>,
    ended: CancellationToken,
}

#[derive(Default)]
struct State {
    next: u64,
    members: HashMap<u64, Joining>,
    last: Option<Published>,
    /// What it showed, where that is known.
    snapshot: Option<Snapshot>,
}

/// The place of a member; it leaves when this is dropped.
pub(crate) struct Membership {
    groups: Arc<Groups>,
    group: Arc<Group>,
    key: Key,
    id: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Groups {
    pub(super) fn new(router: Arc<Router>, poll: Duration) -> Self {
        Groups {
            router,
            by_key: Mutex::default(),
            poll: Mutex::new(poll),
            doubtful: Semaphore::new(1),
            counts: Counts::default(),
        }
    }

    pub(super) fn poll_every(&self, interval: Duration) {
        *lock(&self.poll) = interval;
    }

    pub(super) fn poll(&self) -> Duration {
        *lock(&self.poll)
    }

    pub(super) async fn pause(&self) {
        self.pause_about(self.poll()).await;
    }

    /// A tenth of the time off either way, so that what began together drifts
    /// apart.
    pub(super) async fn pause_about(&self, time: Duration) {
        tokio::time::sleep(time.mul_f64(rand::random_range(0.9..1.1))).await;
    }

    /// What everybody was seen to see.
    pub(super) fn shown(&self) -> Option<Snapshot> {
        self.router.visible.latest()
    }

    /// Waits for the turn of a group that nobody knows to be concerned.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.doubtful.acquire().await.ok()
    }

    /// What a group has published last.
    pub(crate) fn last_of(&self, key: &Key) -> Option<Published> {
        let group = lock(&self.by_key).get(key).cloned()?;
        lock(&group.state).last.clone()
    }

    /// Joins the group of a key, made if there is none. Must be called inside a
    /// Tokio runtime.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: Key,
        joining: Joining,
        make: impl FnOnce() -> Parts,
    ) -> Membership {
        let mut by_key = lock(&self.by_key);
        let (group, made) = match by_key.get(&key) {
            Some(group) => (group.clone(), false),
            None => {
                let parts = make();
                let ticket = self.router.register(parts.interest.clone());
                let group = Arc::new(Group {
                    groups: Arc::downgrade(self),
                    parts,
                    ticket,
                    state: Mutex::default(),
                    ended: CancellationToken::new(),
                });
                by_key.insert(key, group.clone());
                (group, true)
            }
        };
        let mut state = lock(&group.state);
        let id = state.next;
        state.next += 1;
        let is_level = |last| joining.publisher.is_level(last, state.snapshot.as_ref());
        let behind = !state.last.as_ref().is_some_and(is_level);
        state.members.insert(id, joining);
        drop(state);
        drop(by_key);
        if made {
            let (running, ended) = (group.clone(), group.ended.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = running.run() => {}
                }
            });
        } else if behind {
            group.ticket.ring();
        }
        Membership { groups: self.clone(), group, key, id }
    }
}

impl Membership {
    /// Waits until the group has ended with its members still there: each has
    /// to look for another one.
    pub(crate) async fn dissolved(&self) {
        self.group.ended.cancelled().await;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut by_key = lock(&self.groups.by_key);
        let mut state = lock(&self.group.state);
        state.members.remove(&self.id);
        if state.members.is_empty() {
            self.group.ended.cancel();
            if by_key.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, &self.group)) {
                by_key.remove(&self.key);
            }
        }
    }
}

impl Group {
    async fn run(&self) {
        let mut pending = Pending::everything();
        let mut seen: Option<Snapshot> = None;
        let mut failures = Failures::default();
        let mut blind = false;
        let mut wait = None;
        let mut readings = 0u32;
        loop {
            pending.absorb(self.ticket.take());
            let told = pending.has_commits();
            // After a gap an older snapshot tells nothing.
            if let (Some(seen), false) = (&seen, pending.all) {
                self.ticket.settle(&mut pending, seen);
            }
            if !pending.all && !pending.has_commits() {
                if told {
                    self.count(|counts| &counts.skipped);
                }
                wait = None;
                pending.urgent = false;
                tokio::select! {
                    () = self.ticket.ready() => {}
                    () = self.pause(), if blind || !self.ticket.is_covered() => {
                        pending.all = true;
                        pending.urgent = true;
                    }
                }
                continue;
            }
            if let Some(time) = wait {
                self.ticket.until_shown(&pending, time).await;
                pending.absorb(self.ticket.take());
            }
            let groups = self.groups.upgrade();
            let mut turn = None;
            let slow = self.parts.reader.is_slow();
            while let (Some(groups), false, None) = (&groups, pending.urgent || slow, &turn) {
                tokio::select! {
                    permit = groups.turn() => turn = permit,
                    () = self.ticket.ready() => pending.absorb(self.ticket.take()),
                }
            }
            let urgent = std::mem::take(&mut pending.urgent);
            pending.all = false;
            self.ticket.begin(&mut pending);
            // Boxed: most groups wait, and a reading is large.
            let reading = Box::pin(self.read(turn)).await;
            match reading {
                Ok(reading) => {
                    failures.over();
                    match &reading.snapshot {
                        Some(snapshot) => {
                            let tells = self.ticket.tells_rows();
                            let rows = tells.then(|| rows_of(&reading.data, &self.parts.shown));
                            self.ticket.answered(&mut pending, snapshot, rows.flatten());
                        }
                        // Nobody can tell; such a group polls.
                        None => pending.forget_commits(),
                    }
                    wait = pending.has_commits().then(|| longer(wait));
                    pending.urgent |= urgent && wait.is_some();
                    readings = readings.wrapping_add(1);
                    self.publish(&reading);
                    if readings.is_multiple_of(AUDIT) && !Box::pin(self.audit(&reading)).await {
                        self.dissolve();
                        return;
                    }
                    blind = reading.snapshot.is_none();
                    seen = reading.snapshot;
                }
                Err(error) => {
                    wait = None;
                    let code = error.code;
                    self.fail(error);
                    // Nobody is there any more when all groups are gone.
                    let Some(groups) = groups else { return };
                    Box::pin(failures.wait(code, &groups, &self.ticket, &mut pending)).await;
                }
            }
        }
    }

    /// Reads; a turn is kept for a moment at most.
    async fn read(&self, turn: Option<SemaphorePermit<'_>>) -> Result<Reading, ApiError> {
        let mut reading = self.parts.reader.read();
        if let Some(turn) = turn {
            tokio::select! {
                biased;
                out = &mut reading => return out,
                () = tokio::time::sleep(MOMENT) => drop(turn),
            }
        }
        reading.await
    }

    async fn pause(&self) {
        match self.groups.upgrade() {
            Some(groups) => groups.pause().await,
            // Nobody is there any more.
            None => std::future::pending().await,
        }
    }

    fn count(&self, which: impl Fn(&Counts) -> &AtomicU64) {
        if let Some(groups) = self.groups.upgrade() {
            which(&groups.counts).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn publish(&self, reading: &Reading) {
        let published = Published::data(&reading.data);
        let mut state = lock(&self.state);
        let changed = state.last.as_ref() != Some(&published);
        self.count(|counts| if changed { &counts.changed } else { &counts.unchanged });
        let update = Update::Data(reading.data.clone(), None);
        let mut ahead = false;
        for member in state.members.values().filter(|member| member.publisher.is_valid()) {
            ahead |= !member.publisher.offer(&published, &update, reading.snapshot.as_ref());
        }
        state.last = Some(published);
        state.snapshot.clone_from(&reading.snapshot);
        drop(state);
        if ahead {
            // Somebody has seen more.
            self.ticket.ring();
        }
    }

    fn fail(&self, error: ApiError) {
        self.count(|counts| &counts.failed);
        tracing::debug!(%error, detail = error.detail, "a subscription was not read");
        // Who has a state keeps it while Postgres is away.
        let away = error.code == Code::ServiceUnavailable;
        let published = Published::error(&error);
        let update = Update::Failed(error);
        let mut state = lock(&self.state);
        for member in state.members.values().filter(|member| member.publisher.is_valid()) {
            if !(away && member.publisher.last().is_some()) {
                member.publisher.offer(&published, &update, None);
            }
        }
        state.last = Some(published);
    }

    /// Whether some member would get the same by itself.
    async fn audit(&self, reading: &Reading) -> bool {
        let own = {
            let state = lock(&self.state);
            let members = state.members.values().filter(|member| member.publisher.is_valid());
            let own: Vec<_> = members.filter_map(|member| member.own.clone()).collect();
            match own.len() {
                0 => return true,
                count => own.into_iter().nth(rand::random_range(0..count)),
            }
        };
        let Some(own) = own else { return true };
        self.count(|counts| &counts.audits);
        let same = match own.read().await {
            Ok(first) if first.data == reading.data => Ok(Some(true)),
            Ok(first) => same_bytes(first, &*own, &*self.parts.reader).await,
            Err(error) => Err(error),
        };
        match same {
            Ok(same) => same != Some(false),
            Err(error) if may_pass(&error) => {
                tracing::debug!(%error, detail = error.detail, "a shared reading was not compared");
                true
            }
            // By itself the member would be refused what the others get.
            Err(error) => {
                tracing::debug!(%error, detail = error.detail, "a member of a group is refused");
                false
            }
        }
    }

    fn dissolve(&self) {
        self.count(|counts| &counts.mismatches);
        (self.parts.mismatch)();
        self.ended.cancel();
    }
}

/// Whether an error says nothing about the one who reads.
fn may_pass(error: &ApiError) -> bool {
    matches!(
        error.code,
        Code::ServiceUnavailable
            | Code::TimeLimitExceeded
            | Code::ConcurrentUpdate
            | Code::Unexpected
    )
}

/// Whether two readers give the same bytes; `None` when data changes too fast
/// to tell, the error when one of them cannot read. `before` is the first
/// reading of `own`.
///
/// Each reading is a transaction of its own, under one identity. Where one
/// reader gave the same before and after the other gave something else, they
/// differ.
pub(crate) async fn same_bytes(
    mut before: Reading,
    own: &dyn Reader,
    shared: &dyn Reader,
) -> Result<Option<bool>, ApiError> {
    for _ in 0..5 {
        let other = shared.read().await?;
        if other.data == before.data {
            return Ok(Some(true));
        }
        let after = own.read().await?;
        if after.data == other.data {
            return Ok(Some(true));
        }
        if after.data == before.data {
            return Ok(Some(false));
        }
        before = after;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::live::subscription::{Marks, channel};
    use crate::session::claims::anonymous_session;

    struct Says(&'static str);

    impl Reader for Says {
        fn read(&self) -> BoxFuture<'_, Result<Reading, ApiError>> {
            let data = Bytes::from_static(self.0.as_bytes());
            Box::pin(async { Ok(Reading { data, snapshot: None }) })
        }
    }

    struct Refuses(Code);

    impl Reader for Refuses {
        fn read(&self) -> BoxFuture<'_, Result<Reading, ApiError>> {
            let error = ApiError::new(self.0, "refused");
            Box::pin(async { Err(error) })
        }
    }

    /// Whether a group that reads "shared" ends because of a member's own
    /// reading.
    async fn is_dissolved(own: impl Reader) -> bool {
        let groups = Arc::new(Groups::new(Arc::default(), Duration::from_millis(1)));
        let (publisher, _subscription) = channel(Arc::new(anonymous_session("user")), None, None);
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        let joining = Joining { publisher, own: Some(Arc::new(own)) };
        let membership = groups.join([0; 32], joining, || Parts {
            reader: Arc::new(Says("shared")),
            interest: Interest { opaque: true, ..Interest::default() },
            shown: Vec::new(),
            mismatch: Arc::new(move || tell.store(true, Ordering::Relaxed)),
        });
        let audited = async {
            while groups.counts.audits.load(Ordering::Relaxed) < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let dissolved = tokio::select! {
            () = membership.dissolved() => true,
            () = audited => false,
        };
        assert_eq!(told.load(Ordering::Relaxed), dissolved);
        dissolved
    }

    #[tokio::test]
    async fn an_audit_ends_a_group_that_a_member_does_not_agree_with() {
        assert!(!is_dissolved(Says("shared")).await);
        assert!(is_dissolved(Says("own")).await);
        assert!(is_dissolved(Refuses(Code::PermissionError)).await);
        assert!(!is_dissolved(Refuses(Code::ServiceUnavailable)).await);
    }

    /// Each reading shows one transaction more.
    struct Advances(AtomicU64);

    impl Reader for Advances {
        fn read(&self) -> BoxFuture<'_, Result<Reading, ApiError>> {
            let at = self.0.fetch_add(1, Ordering::Relaxed);
            let snapshot = Snapshot::parse(&format!("{at}:{at}:"));
            Box::pin(async { Ok(Reading { data: Bytes::from_static(b"same"), snapshot }) })
        }
    }

    #[tokio::test]
    async fn who_joins_with_an_older_position_is_told_the_newer_one() {
        use futures_util::StreamExt;

        let groups = Arc::new(Groups::new(Arc::default(), Duration::from_secs(3600)));
        let asked = || Some(Marks { positions: true, ..Marks::default() });
        let member = |marks| channel(Arc::new(anonymous_session("user")), None, marks);
        let join = |publisher: &Publisher| {
            let joining = Joining { publisher: publisher.clone(), own: None };
            groups.join([0; 32], joining, || Parts {
                reader: Arc::new(Advances(AtomicU64::new(100))),
                interest: Interest::default(),
                shown: Vec::new(),
                mismatch: Arc::new(|| {}),
            })
        };
        let (publisher, mut first) = member(asked());
        let _first = join(&publisher);
        assert!(matches!(first.next().await, Some(Update::Data(..))));
        // It has read the same before the group did last.
        let (publisher, mut late) = member(asked());
        let before = Snapshot::parse("50:50:").expect("parses");
        let state = Published::data(b"same");
        let update = Update::Data(Bytes::from_static(b"same"), None);
        publisher.offer(&state, &update, Some(&before));
        assert!(matches!(late.next().await, Some(Update::Data(..))));
        let _late = join(&publisher);
        let told = tokio::time::timeout(Duration::from_secs(60), late.next()).await;
        let Ok(Some(Update::Data(_, Some(marks)))) = told else { panic!("{told:?}") };
        assert!(marks.contains("\"position\":\"1"), "{marks}");
    }

    #[tokio::test]
    async fn a_reading_that_fails_is_no_answer() {
        let before = || Reading { data: Bytes::from_static(b"a"), snapshot: None };
        let same = same_bytes(before(), &Says("a"), &Says("a")).await;
        assert_eq!(same.expect("reads"), Some(true));
        let differ = same_bytes(before(), &Says("a"), &Says("b")).await;
        assert_eq!(differ.expect("reads"), Some(false));
        let failed = same_bytes(before(), &Says("a"), &Refuses(Code::PermissionError)).await;
        assert!(failed.is_err());
    }
}
