//! From changed rows to the groups whose answers they may change.
//!
//! ```text
//! Source ─── cover, commit, lose ──▶ Router ─▶ Wake (one of each group) ─▶ Group
//! Triggers ─ cover, statement ─────▶ │
//! Group ──── register: tables, keys ▶ │
//! ```
//!
//! A group whose tables are all *covered*, i.e. of which every change from now
//! on is told, by the log or by triggers, waits to be woken; every other one
//! polls. A change of that is itself a reason to read again, so nothing is lost
//! between the two. Of a table that both tell of nothing is lost either when
//! one of them ends.
//!
//! A group may say that of a table only rows with certain values of one column
//! concern it. Where such a value is not known, every group of the table is
//! woken.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::keys::{KeyKind, Value};
use super::publication::Coverage;
use super::snapshot::{Snapshot, later};
use super::triggers::Told;
use crate::catalog::model::Oid;

/// Commits that a group remembers one by one.
const COMMITS: usize = 256;

/// What a group wants to know of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    /// By table; `None` is every row.
    pub(crate) tables: BTreeMap<Oid, Option<Route>>,
    /// The answer may change for other reasons, too.
    pub(crate) opaque: bool,
}

/// Rows that concern a group: those with one of these values in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) column: Arc<str>,
    pub(crate) kind: KeyKind,
    pub(crate) values: Vec<Value>,
}

/// Why a group may have to read again.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// For a reason that no transaction stands for.
    pub(super) all: bool,
    /// Some commit is known to concern the group; of others that cannot be
    /// told.
    pub(super) urgent: bool,
    commits: Vec<u32>,
    /// The last of those that were too many.
    beyond: Option<u32>,
}

impl Pending {
    pub(super) fn everything() -> Self {
        Pending { all: true, urgent: true, ..Pending::default() }
    }

    pub(super) fn forget_commits(&mut self) {
        self.commits.clear();
        self.beyond = None;
    }

    pub(super) fn absorb(&mut self, other: Pending) {
        self.all |= other.all;
        self.urgent |= other.urgent;
        other.commits.into_iter().for_each(|id| self.add(id));
        self.beyond = match (self.beyond, other.beyond) {
            (Some(a), Some(b)) => Some(later(a, b)),
            (a, b) => a.or(b),
        };
    }

    fn add(&mut self, id: u32) {
        if self.commits.len() < COMMITS {
            self.commits.push(id);
        } else if self.commits.last() != Some(&id) {
            self.beyond = Some(self.beyond.map_or(id, |last| later(last, id)));
        }
    }

    /// Drops what a snapshot shows.
    pub(super) fn settle(&mut self, seen: &Snapshot) {
        self.commits.retain(|id| !seen.sees(*id));
        if self.beyond.is_some_and(|id| seen.is_past(id)) {
            self.beyond = None;
        }
    }

    pub(super) fn has_commits(&self) -> bool {
        !self.commits.is_empty() || self.beyond.is_some()
    }
}

/// The bell of one group.
#[derive(Debug, Default)]
struct Wake {
    pending: Mutex<Pending>,
    ready: Notify,
    covered: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake {
    fn commit(&self, id: u32, urgent: bool) {
        let mut pending = lock(&self.pending);
        pending.add(id);
        pending.urgent |= urgent;
        drop(pending);
        self.ready.notify_one();
    }

    fn all(&self, urgent: bool) {
        let mut pending = lock(&self.pending);
        pending.all = true;
        pending.urgent |= urgent;
        drop(pending);
        self.ready.notify_one();
    }
}

/// A registered group; leaves the router when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    router: Arc<Router>,
    id: u64,
    wake: Arc<Wake>,
}

impl Ticket {
    /// Whether every change is told.
    pub(super) fn is_covered(&self) -> bool {
        self.wake.covered.load(Ordering::Acquire)
    }

    /// Reads again for a reason of the group's own.
    pub(super) fn ring(&self) {
        self.wake.all(true);
    }

    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut *lock(&self.wake.pending))
    }

    /// Waits until there may be something to take.
    pub(super) async fn ready(&self) {
        self.wake.ready.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.router.inner).remove(self.id);
    }
}

/// What one transaction changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By the table that has the rows.
    pub(super) tables: HashMap<Oid, Touched>,
}

#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Every row may have changed.
    pub(super) whole: bool,
    /// By column.
    pub(super) values: HashMap<Arc<str>, Values>,
}

/// The values of one column that changed rows have or had.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) known: HashSet<Value>,
    /// There may be others.
    pub(super) doubt: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Router {
    inner: Mutex<Inner>,
    /// Some group needs a table of which the log does not tell.
    pub(super) wanted: Notify,
    /// The log leaves other tables than before.
    pub(super) left: Notify,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Times that a group was woken, and that it was spared by its keys.
    pub(super) woken: AtomicU64,
    pub(super) spared: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    groups: HashMap<u64, Registered>,
    tables: HashMap<Oid, Watched>,
    log: Log,
    by_log: Teller,
    by_triggers: Teller,
    /// Published tables that no group shows.
    foreign: HashSet<Oid>,
}

/// Whether the log is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Log {
    /// It is not, but may be soon.
    #[default]
    Away,
    Followed,
    /// An administrator has to do something first.
    Hopeless,
}

/// Somebody who tells of changes.
#[derive(Debug, Default)]
struct Teller {
    /// Tables of which all changes are told.
    covered: HashSet<Oid>,
    /// Tables that cannot be covered as things are.
    refused: HashSet<Oid>,
    /// What is told of → the tables that it may concern.
    concerns: HashMap<Oid, Vec<Oid>>,
}

impl Teller {
    /// Each table of `told` is given with what is told of for it.
    fn cover<'a>(
        &mut self,
        covered: impl Iterator<Item = &'a Oid>,
        refused: HashSet<Oid>,
        told: impl Iterator<Item = (&'a Oid, &'a Vec<Oid>)>,
    ) {
        self.covered = covered.copied().collect();
        self.refused = refused;
        self.concerns = HashMap::new();
        for (table, parts) in told {
            for part in parts {
                self.concerns.entry(*part).or_default().push(*table);
            }
        }
        self.concerns.values_mut().for_each(|tables| tables.sort_unstable());
    }

    /// Whether it was not asked about this table yet.
    fn ignores(&self, table: &Oid) -> bool {
        !self.covered.contains(table) && !self.refused.contains(table)
    }
}

/// How many tables of groups learn of changes in which way.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) log: usize,
    pub(super) triggers: usize,
    pub(super) polled: usize,
}

#[derive(Debug)]
struct Registered {
    interest: Interest,
    wake: Arc<Wake>,
}

/// The groups of one table.
#[derive(Debug, Default)]
struct Watched {
    all: HashSet<u64>,
    by_column: HashMap<Arc<str>, ByValue>,
}

#[derive(Debug)]
struct ByValue {
    kind: KeyKind,
    groups: HashMap<Value, HashSet<u64>>,
}

impl Inner {
    fn add(&mut self, id: u64, registered: Registered) {
        for (table, route) in &registered.interest.tables {
            let watched = self.tables.entry(*table).or_default();
            let Some(route) = route else {
                watched.all.insert(id);
                continue;
            };
            let by_value = watched
                .by_column
                .entry(route.column.clone())
                .or_insert_with(|| ByValue { kind: route.kind, groups: HashMap::new() });
            if by_value.kind != route.kind {
                // The column has another type than it had.
                watched.all.insert(id);
                continue;
            }
            for value in &route.values {
                by_value.groups.entry(value.clone()).or_default().insert(id);
            }
        }
        self.groups.insert(id, registered);
    }

    fn remove(&mut self, id: u64) {
        let Some(registered) = self.groups.remove(&id) else { return };
        for (table, route) in &registered.interest.tables {
            let Some(watched) = self.tables.get_mut(table) else { continue };
            watched.all.remove(&id);
            if let Some(route) = route
                && let Some(by_value) = watched.by_column.get_mut(&route.column)
            {
                for value in &route.values {
                    if let Some(groups) = by_value.groups.get_mut(value) {
                        groups.remove(&id);
                        if groups.is_empty() {
                            by_value.groups.remove(value);
                        }
                    }
                }
                if by_value.groups.is_empty() {
                    watched.by_column.remove(&route.column);
                }
            }
            if watched.all.is_empty() && watched.by_column.is_empty() {
                self.tables.remove(table);
            }
        }
    }

    fn is_covered(&self, interest: &Interest) -> bool {
        !interest.opaque && interest.tables.keys().all(|table| self.is_told(table))
    }

    fn is_told(&self, table: &Oid) -> bool {
        self.by_log.covered.contains(table) || self.by_triggers.covered.contains(table)
    }

    /// The tables of groups that could be covered.
    fn wanted(&self) -> HashSet<Oid> {
        let groups = self.groups.values().filter(|registered| !registered.interest.opaque);
        groups.flat_map(|registered| registered.interest.tables.keys().copied()).collect()
    }

    /// Groups of such tables read again.
    fn ring(&self, is_meant: impl Fn(&Oid) -> bool) {
        let is_theirs = |registered: &Registered| registered.interest.tables.keys().any(&is_meant);
        for registered in self.groups.values().filter(|registered| is_theirs(registered)) {
            registered.wake.all(true);
        }
    }

    /// Tells the groups whether they are covered; whoever changes reads again.
    fn tell_covered(&self) {
        for registered in self.groups.values() {
            let covered = self.is_covered(&registered.interest);
            if registered.wake.covered.swap(covered, Ordering::AcqRel) != covered {
                registered.wake.all(true);
            }
        }
    }
}

impl Router {
    pub(super) fn register(self: &Arc<Self>, interest: Interest) -> Ticket {
        let mut inner = lock(&self.inner);
        let wake = Arc::new(Wake::default());
        wake.covered.store(inner.is_covered(&interest), Ordering::Release);
        let ignored = |teller: &Teller| {
            !interest.opaque && interest.tables.keys().any(|table| teller.ignores(table))
        };
        let wanted = ignored(&inner.by_log);
        let left = inner.log != Log::Away
            && interest.tables.keys().any(|table| !inner.by_log.covered.contains(table))
            && ignored(&inner.by_triggers);
        inner.next += 1;
        let id = inner.next;
        inner.add(id, Registered { interest, wake: wake.clone() });
        drop(inner);
        if wanted {
            self.wanted.notify_one();
        }
        if left {
            self.left.notify_one();
        }
        Ticket { router: self.clone(), id, wake }
    }

    /// The tables of groups that could be covered.
    pub(super) fn wanted(&self) -> HashSet<Oid> {
        lock(&self.inner).wanted()
    }

    /// Those of which the log does not tell, and will not soon; without those
    /// that triggers cannot cover.
    pub(super) fn left_by_log(&self) -> Vec<Oid> {
        let inner = lock(&self.inner);
        let left = |table: &Oid| match inner.log {
            Log::Away => false,
            Log::Followed => inner.by_log.refused.contains(table),
            Log::Hopeless => true,
        };
        let refused = &inner.by_triggers.refused;
        let wanted = inner.wanted().into_iter();
        wanted.filter(|table| left(table) && !refused.contains(table)).collect()
    }

    /// From now on the log tells of changes of these tables, and of no others.
    /// `foreign` are tables that are published for somebody else, unless they
    /// are among these. Whether anything is other than it was.
    pub(super) fn cover(&self, coverage: &Coverage, foreign: HashSet<Oid>) -> bool {
        let mut inner = lock(&self.inner);
        let before = std::mem::take(&mut inner.by_log.concerns);
        let Coverage { covered, partly, refused } = coverage;
        inner.by_log.cover(covered.keys(), refused.clone(), covered.iter().chain(partly));
        inner.foreign = foreign;
        let Inner { foreign, by_log, .. } = &mut *inner;
        foreign.retain(|leaf| !by_log.concerns.contains_key(leaf));
        let changed = by_log.concerns != before;
        inner.tell_covered();
        drop(inner);
        self.left.notify_one();
        changed
    }

    /// From now on triggers tell of statements that may change these tables, and
    /// of no others.
    pub(super) fn cover_by_triggers(&self, told: Told) {
        let mut inner = lock(&self.inner);
        let Told { covered, refused, fresh } = told;
        inner.by_triggers.cover(covered.keys(), refused, covered.iter());
        inner.tell_covered();
        inner.ring(|table| fresh.contains(table));
    }

    /// Notifications of triggers were lost.
    pub(super) fn ring_triggered(&self) {
        let inner = lock(&self.inner);
        inner.ring(|table| inner.by_triggers.covered.contains(table));
    }

    pub(super) fn covered(&self) -> HashSet<Oid> {
        lock(&self.inner).by_log.covered.clone()
    }

    pub(super) fn tell_log(&self, log: Log) {
        lock(&self.inner).log = log;
        self.left.notify_one();
    }

    /// The log does not tell of changes any more.
    pub(super) fn lose(&self, log: Log) {
        self.cover(&Coverage::default(), HashSet::new());
        self.tell_log(log);
    }

    /// The database's objects have changed; what was refused may work now.
    pub(super) fn reconsider(&self) {
        let mut inner = lock(&self.inner);
        inner.by_log.refused.clear();
        inner.by_triggers.refused.clear();
        drop(inner);
        self.wanted.notify_one();
        self.left.notify_one();
    }

    /// Every group reads again; nobody knows whether that concerns it.
    pub(super) fn ring_all(&self) {
        let inner = lock(&self.inner);
        inner.groups.values().for_each(|registered| registered.wake.all(false));
    }

    /// The columns of a table by which groups tell rows apart; `None` when
    /// the table is not known.
    pub(super) fn routed(&self, leaf: Oid) -> Option<Vec<(Arc<str>, KeyKind)>> {
        let inner = lock(&self.inner);
        if inner.foreign.contains(&leaf) {
            return Some(Vec::new());
        }
        let mut columns: Vec<(Arc<str>, KeyKind)> = Vec::new();
        for table in inner.by_log.concerns.get(&leaf)? {
            let Some(watched) = inner.tables.get(table) else { continue };
            for (column, by_value) in &watched.by_column {
                if !columns.iter().any(|(known, _)| known == column) {
                    columns.push((column.clone(), by_value.kind));
                }
            }
        }
        Some(columns)
    }

    /// A transaction has committed. Returns tables that nothing is known of, as
    /// new partitions are: everybody is woken because of them.
    pub(super) fn commit(&self, id: u32, changes: &Changes) -> Vec<Oid> {
        let inner = lock(&self.inner);
        let mut groups: HashSet<u64> = HashSet::new();
        // What a row was is not known, so it may have been theirs.
        let mut doubtful: HashSet<u64> = HashSet::new();
        let mut concerned = 0;
        let mut unknown = Vec::new();
        for (leaf, touched) in &changes.tables {
            let Some(tables) = inner.by_log.concerns.get(leaf) else {
                if !inner.foreign.contains(leaf) {
                    unknown.push(*leaf);
                }
                continue;
            };
            for watched in tables.iter().filter_map(|table| inner.tables.get(table)) {
                groups.extend(&watched.all);
                concerned += watched.all.len();
                for (column, by_value) in &watched.by_column {
                    let everybody = by_value.groups.values().flatten();
                    match touched.values.get(column).filter(|_| !touched.whole) {
                        None => groups.extend(everybody),
                        Some(values) => {
                            let known = values.known.iter();
                            let found = known.filter_map(|value| by_value.groups.get(value));
                            groups.extend(found.flatten());
                            if values.doubt {
                                doubtful.extend(everybody);
                            }
                        }
                    }
                    concerned += by_value.groups.len();
                }
            }
        }
        if !unknown.is_empty() {
            groups.extend(inner.groups.keys());
        }
        doubtful.retain(|group| !groups.contains(group));
        let woken = groups.len() + doubtful.len();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.counts.woken.fetch_add(count(woken), Ordering::Relaxed);
        let spared = count(concerned.saturating_sub(woken));
        self.counts.spared.fetch_add(spared, Ordering::Relaxed);
        for (groups, urgent) in [(groups, true), (doubtful, false)] {
            for group in groups {
                if let Some(registered) = inner.groups.get(&group) {
                    registered.wake.commit(id, urgent);
                }
            }
        }
        unknown
    }

    /// A statement of a transaction that has committed may have changed rows.
    pub(super) fn statement(&self, table: Oid, id: u32) {
        let inner = lock(&self.inner);
        let Some(tables) = inner.by_triggers.concerns.get(&table) else { return };
        let mut groups: HashSet<u64> = HashSet::new();
        for watched in tables.iter().filter_map(|table| inner.tables.get(table)) {
            groups.extend(&watched.all);
            groups.extend(watched.by_column.values().flat_map(|by| by.groups.values().flatten()));
        }
        self.counts.woken.fetch_add(groups.len().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        for registered in groups.iter().filter_map(|group| inner.groups.get(group)) {
            registered.wake.commit(id, true);
        }
    }

    /// Groups, and how many of them wait to be woken instead of polling.
    pub(super) fn groups(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        let covered =
            inner.groups.values().filter(|group| group.wake.covered.load(Ordering::Relaxed));
        (inner.groups.len(), covered.count())
    }

    /// The tables of groups, by how their changes are told.
    pub(super) fn tables(&self) -> Tables {
        let inner = lock(&self.inner);
        let mut tables = Tables::default();
        for table in inner.wanted() {
            if inner.by_log.covered.contains(&table) {
                tables.log += 1;
            } else if inner.by_triggers.covered.contains(&table) {
                tables.triggers += 1;
            } else {
                tables.polled += 1;
            }
        }
        tables
    }
}
