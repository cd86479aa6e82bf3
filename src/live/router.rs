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
//! A group may say that of a table only rows with certain values concern it,
//! and which rows it shows (`routes`). What it shows is only known while nothing
//! is pending for it: it is *unsure* from the moment that it is woken until a
//! reading, or the snapshot of the last one, has answered everything.
//!
//! The log may tell of a commit before other transactions see it. So commits
//! are remembered until some reading has seen them, and a group asks for those
//! that its first reading did not see.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::keys::Value;
use super::publication::Coverage;
use super::routes::{Column, Concern, Found, Image, Routes};
use super::shown::{RowId, RowIds, Shown};
use super::snapshot::{Ids, Snapshot, widened};
use super::triggers::Told;
use super::visible::Visible;
use crate::catalog::model::Oid;

/// Commits that a group remembers one by one, and doubts about rows.
const COMMITS: usize = 256;
/// Commits that are remembered one by one until a reading has seen them.
const RECENT: usize = 4096;
/// From so many on somebody should look which of them can be seen.
const CROWDED: usize = 256;

/// What a group wants to know of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) tables: BTreeMap<Oid, Concern>,
    /// The answer may change for other reasons, too.
    pub(crate) opaque: bool,
}

impl Interest {
    /// Whether the group tells which rows of a table it shows.
    fn tells_rows(&self) -> bool {
        self.tables.values().any(|concern| !concern.key.is_empty())
    }
}

/// Why a group may have to read again.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    /// For a reason that no transaction stands for.
    pub(super) all: bool,
    /// Some commit is known to concern the group; of others that cannot be
    /// told.
    pub(super) urgent: bool,
    commits: Vec<u32>,
    /// Those that were too many.
    beyond: Option<Ids>,
    /// Commits that concern the group only if it shows a row.
    doubts: Vec<(u32, RowId)>,
}

impl Pending {
    pub(super) fn everything() -> Self {
        Pending { all: true, urgent: true, ..Pending::default() }
    }

    fn add_everything(&mut self) {
        self.all = true;
        self.urgent = true;
    }

    pub(super) fn forget_commits(&mut self) {
        self.commits.clear();
        self.beyond = None;
        self.doubts.clear();
    }

    pub(super) fn absorb(&mut self, other: Pending) {
        self.all |= other.all;
        self.urgent |= other.urgent;
        self.add(&other.commits);
        self.beyond = widened(self.beyond, other.beyond);
        other.doubts.into_iter().for_each(|(id, row)| self.doubt(id, row));
    }

    fn add(&mut self, ids: &[u32]) {
        for id in ids {
            if self.commits.len() < COMMITS {
                self.commits.push(*id);
            } else if self.commits.last() != Some(id) {
                self.beyond = widened(self.beyond, Some((*id, *id)));
            }
        }
    }

    fn doubt(&mut self, id: u32, row: RowId) {
        if self.doubts.len() < COMMITS {
            self.doubts.push((id, row));
        } else {
            self.add(&[id]);
        }
    }

    /// Drops what a snapshot shows.
    pub(super) fn settle(&mut self, seen: &Snapshot) {
        self.commits.retain(|id| !seen.sees(*id));
        self.beyond = self.beyond.filter(|(first, last)| !seen.sees_all(*first, *last));
        self.doubts.retain(|(id, ..)| !seen.sees(*id));
    }

    /// The transactions that are waited for; none where they are too many to
    /// name.
    fn ids(&self) -> Vec<u32> {
        if self.beyond.is_some() {
            return Vec::new();
        }
        self.commits.iter().copied().chain(self.doubts.iter().map(|(id, _)| *id)).collect()
    }

    pub(super) fn has_commits(&self) -> bool {
        self.is_certain() || !self.doubts.is_empty()
    }

    fn is_certain(&self) -> bool {
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
    fn tell(&self, what: impl FnOnce(&mut Pending)) {
        what(&mut lock(&self.pending));
        self.ready.notify_one();
    }

    fn all(&self, urgent: bool) {
        self.tell(|pending| {
            pending.all = true;
            pending.urgent |= urgent;
        });
    }
}

/// A registered group; leaves the router when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    router: Arc<Router>,
    id: u64,
    wake: Arc<Wake>,
    ids: RowIds,
    tells_rows: AtomicBool,
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

    /// Whether it is told of a row that left only if it shows that one.
    pub(super) fn tells_rows(&self) -> bool {
        self.tells_rows.load(Ordering::Relaxed)
    }

    /// A reading begins: until it is settled nobody knows which rows it shows.
    pub(super) fn begin(&self, pending: &mut Pending) {
        let crowded = pending.beyond.take().is_some();
        if !crowded && !self.tells_rows() {
            return;
        }
        let mut inner = lock(&self.router.inner);
        let kept = !self.tells_rows() || inner.shown.begin(self.id);
        if crowded || !kept {
            inner.start_over(self.id);
        }
    }

    /// Drops from `pending` what a reading has answered that saw `seen`.
    pub(super) fn settle(&self, pending: &mut Pending, seen: &Snapshot) {
        pending.settle(seen);
        if self.tells_rows() {
            lock(&self.router.inner).settle(self, pending, seen);
        }
    }

    /// The same for a new reading, with the rows that it shows; `None` when
    /// they are not known. A group of which they are not known once is told of
    /// every doubt from then on.
    pub(super) fn answered(
        &self,
        pending: &mut Pending,
        seen: &Snapshot,
        rows: Option<Vec<(Oid, Vec<Value>)>>,
    ) {
        let rows = rows.map(|rows| self.ids.of(&rows));
        let mut inner = lock(&self.router.inner);
        inner.seen(seen);
        pending.settle(seen);
        if let Some(registered) = inner.groups.get_mut(&self.id) {
            let mut before = std::mem::take(&mut registered.before);
            before.settle(seen);
            pending.absorb(before);
        }
        if !self.tells_rows() {
            return;
        }
        if rows.is_some_and(|rows| inner.shown.set(self.id, rows)) {
            inner.settle(self, pending, seen);
        } else {
            self.tells_rows.store(false, Ordering::Relaxed);
            inner.tell_every_doubt(self, pending, Some(seen));
        }
    }

    /// A reading failed. Nobody knows which row that was for, so the group is told
    /// of every doubt from then on.
    pub(super) fn failed(&self, pending: &mut Pending) {
        if !self.tells_rows.swap(false, Ordering::Relaxed) {
            return;
        }
        let all = std::mem::take(&mut pending.all);
        lock(&self.router.inner).tell_every_doubt(self, pending, None);
        if std::mem::replace(&mut pending.all, all) {
            // Some doubts are lost.
            self.ring();
        }
    }

    /// Waits until a reading may show more of what is pending than the last one
    /// did: for a while, or if that is long until it is visible.
    pub(super) async fn until_shown(&self, pending: &Pending, time: Duration) {
        let visible = &self.router.visible;
        match pending.ids() {
            ids if visible.tells(time) && !ids.is_empty() => tokio::select! {
                () = visible.wait(&ids) => {}
                () = self.ready() => {}
            },
            _ => tokio::time::sleep(time).await,
        }
    }

    /// Waits until there may be something to take.
    pub(super) async fn ready(&self) {
        self.wake.ready.notified().await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let registered = lock(&self.router.inner).remove(self.id);
        // Not under the lock.
        drop(registered);
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
    /// Those of the images' cells.
    pub(super) columns: Vec<Column>,
    pub(super) images: HashSet<Image>,
}

/// Commits that no reading has seen yet, with the tables of groups that they
/// concern; `None` where it may be any.
#[derive(Debug, Default)]
struct Recent {
    commits: Vec<(u32, Option<Vec<Oid>>)>,
    beyond: Option<Ids>,
}

impl Recent {
    fn add(&mut self, id: u32, mut tables: Option<Vec<Oid>>) {
        if let Some(tables) = &mut tables {
            tables.sort_unstable();
            tables.dedup();
        }
        let last = self.commits.last();
        if last.is_some_and(|(known, of)| *known == id && *of == tables) {
            return;
        }
        if self.commits.len() < RECENT {
            self.commits.push((id, tables));
        } else {
            self.beyond = widened(self.beyond, Some((id, id)));
        }
    }

    fn settle(&mut self, seen: &Snapshot) {
        self.commits.retain(|(id, _)| !seen.sees(*id));
        self.beyond = self.beyond.filter(|(first, last)| !seen.sees_all(*first, *last));
    }

    /// What was told, and a reading that begins now may not see.
    fn of(&self, interest: &Interest) -> Pending {
        let beyond = self.beyond.filter(|_| !interest.tables.is_empty());
        let mut out = Pending { beyond, ..Pending::default() };
        for (id, tables) in &self.commits {
            let concerns = |table| interest.tables.contains_key(table);
            if tables.as_ref().is_none_or(|tables| tables.iter().any(concerns)) {
                out.commits.push(*id);
            }
        }
        out
    }
}

/// Commits that no reading has seen.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    commits: Vec<u32>,
    beyond: Option<Ids>,
}

impl Unseen {
    pub(super) fn is_seen_by(&self, snapshot: &Snapshot) -> bool {
        self.commits.iter().all(|id| snapshot.sees(*id))
            && self.beyond.is_none_or(|(first, last)| snapshot.sees_all(first, last))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Router {
    inner: Mutex<Inner>,
    /// Some group needs a table of which the log does not tell.
    pub(super) wanted: Notify,
    /// The log leaves other tables than before.
    pub(super) left: Notify,
    pub(super) visible: Visible,
    /// How often the database's objects have changed.
    objects: AtomicU64,
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
    tables: HashMap<Oid, Routes>,
    log: Log,
    by_log: Teller,
    /// Of the tables that the log covers.
    versions: HashMap<Oid, String>,
    by_triggers: Teller,
    /// Published tables that no group shows.
    foreign: HashSet<Oid>,
    shown: Shown,
    /// Some doubts are not told yet.
    doubts: bool,
    recent: Recent,
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
    tells_rows: bool,
    /// What was told before the group came, and that its next reading may not
    /// see.
    before: Pending,
}

impl Counts {
    fn add_woken(&self, groups: usize) {
        self.woken.fetch_add(groups.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn add_spared(&self, groups: usize) {
        self.spared.fetch_add(groups.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Registered {
    /// For a reason that no transaction stands for.
    fn ring(&self, id: u64, urgent: bool, shown: &mut Shown) {
        if self.tells_rows {
            shown.unsure(id);
        }
        self.wake.all(urgent);
    }
}

impl Inner {
    fn add(&mut self, id: u64, registered: Registered) {
        for (table, concern) in &registered.interest.tables {
            self.tables.entry(*table).or_default().add(id, concern);
        }
        if registered.tells_rows {
            self.shown.unsure(id);
        }
        self.groups.insert(id, registered);
    }

    fn remove(&mut self, id: u64) -> Option<Registered> {
        let registered = self.groups.remove(&id)?;
        self.shown.sure(id);
        self.shown.forget(id);
        for table in registered.interest.tables.keys() {
            let Some(routes) = self.tables.get_mut(table) else { continue };
            routes.remove(id);
            if routes.len() == 0 {
                self.tables.remove(table);
            }
        }
        Some(registered)
    }

    /// Tells a group of something that may change what it shows.
    fn wake(&mut self, id: u64, what: impl FnOnce(&mut Pending)) {
        let Some(registered) = self.groups.get(&id) else { return };
        if registered.tells_rows {
            self.shown.unsure(id);
        }
        registered.wake.tell(what);
    }

    /// What a snapshot sees every later one does, too.
    fn seen(&mut self, snapshot: &Snapshot) {
        self.recent.settle(snapshot);
        self.shown.seen(snapshot);
    }

    /// Drops what a reading has answered, and the doubts about rows that it does
    /// not show.
    fn settle(&mut self, ticket: &Ticket, pending: &mut Pending, seen: &Snapshot) {
        // Nothing is told while this is looked at.
        pending.absorb(ticket.take());
        if pending.all {
            return;
        }
        let Some(doubts) = self.shown.doubts(ticket.id) else {
            // Nobody knows any more what happened.
            self.start_over(ticket.id);
            pending.all = true;
            return;
        };
        for (id, row) in doubts.filter(|(id, _)| !seen.sees(*id)) {
            pending.doubt(id, row);
        }
        pending.settle(seen);
        // What a commit that is still to be seen will show, nobody knows.
        if pending.is_certain() {
            return;
        }
        // All or none: the next reading may show another of their rows.
        if !pending.doubts.iter().any(|(_, row)| self.shown.shows(ticket.id, *row)) {
            pending.doubts.clear();
            self.shown.sure(ticket.id);
        }
    }

    /// As if the group came now: its next reading looks at all that is not seen.
    fn start_over(&mut self, id: u64) {
        if let Some(registered) = self.groups.get_mut(&id) {
            registered.before = self.recent.of(&registered.interest);
        }
    }

    /// From now on a group is told of every doubt: it cannot tell its rows.
    fn tell_every_doubt(
        &mut self,
        ticket: &Ticket,
        pending: &mut Pending,
        seen: Option<&Snapshot>,
    ) {
        match self.shown.doubts(ticket.id) {
            Some(doubts) => doubts.for_each(|(id, _)| pending.add(&[id])),
            None => pending.all = true,
        }
        let Some(mut registered) = self.remove(ticket.id) else { return };
        pending.absorb(self.recent.of(&registered.interest));
        if let Some(seen) = seen {
            pending.settle(seen);
        }
        registered.tells_rows = false;
        registered.interest.tables.values_mut().for_each(|concern| concern.key.clear());
        self.add(ticket.id, registered);
    }

    fn is_covered(&self, interest: &Interest) -> bool {
        !interest.opaque && interest.tables.keys().all(|table| self.is_told(table))
    }

    fn is_told(&self, table: &Oid) -> bool {
        self.by_log.covered.contains(table) || self.by_triggers.covered.contains(table)
    }

    /// Tables of groups that a teller was asked about. A group that comes while it
    /// is asked about others relies on them, so what it then leaves out has to be
    /// asked for again.
    fn known(&self, teller: &Teller) -> Vec<Oid> {
        self.wanted().into_iter().filter(|table| !teller.ignores(table)).collect()
    }

    /// The tables of groups that could be covered.
    fn wanted(&self) -> HashSet<Oid> {
        let groups = self.groups.values().filter(|registered| !registered.interest.opaque);
        groups.flat_map(|registered| registered.interest.tables.keys().copied()).collect()
    }

    /// Groups of such tables read again.
    fn ring(&mut self, is_meant: impl Fn(&Oid) -> bool) {
        let is_theirs = |registered: &Registered| registered.interest.tables.keys().any(&is_meant);
        for (id, registered) in self.groups.iter().filter(|(_, group)| is_theirs(group)) {
            registered.ring(*id, true, &mut self.shown);
        }
    }

    /// Tells the groups whether they are covered; whoever changes reads again.
    fn tell_covered(&mut self) {
        let is_other = |(_, registered): &(&u64, &Registered)| {
            let covered = self.is_covered(&registered.interest);
            registered.wake.covered.swap(covered, Ordering::AcqRel) != covered
        };
        let others: Vec<u64> = self.groups.iter().filter(is_other).map(|(id, _)| *id).collect();
        for id in others {
            self.start_over(id);
            self.wake(id, Pending::add_everything);
        }
    }

    /// Groups of tables that were not covered for a while, unnoticed.
    fn read_again(&mut self, fresh: &HashSet<Oid>) {
        if fresh.is_empty() {
            return;
        }
        let concerns = |registered: &Registered| {
            registered.interest.tables.keys().any(|table| fresh.contains(table))
        };
        let groups = self.groups.iter().filter(|(_, registered)| concerns(registered));
        let groups: Vec<u64> = groups.map(|(id, _)| *id).collect();
        for id in groups {
            self.start_over(id);
            self.wake(id, Pending::add_everything);
        }
    }

    /// Tells the doubts that were put off. How many groups that are.
    fn tell_doubts(&mut self) -> usize {
        if !std::mem::take(&mut self.doubts) {
            return 0;
        }
        let mut told: HashMap<u64, Vec<u32>> = HashMap::new();
        for routes in self.tables.values_mut() {
            routes.tell(|id, transactions| told.entry(id).or_default().extend(transactions));
        }
        let count = told.len();
        for (id, transactions) in told {
            self.wake(id, |pending| pending.add(&transactions));
        }
        count
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
        let tells_rows = interest.tells_rows();
        let before = inner.recent.of(&interest);
        let ids = inner.shown.ids.clone();
        inner.add(id, Registered { interest, wake: wake.clone(), tells_rows, before });
        drop(inner);
        if wanted {
            self.wanted.notify_one();
        }
        if left {
            self.left.notify_one();
        }
        Ticket { router: self.clone(), id, wake, ids, tells_rows: AtomicBool::new(tells_rows) }
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
    /// are among these. The tables with rows of which changes may not have been told.
    pub(super) fn cover(&self, coverage: &Coverage, foreign: HashSet<Oid>) -> Vec<Oid> {
        let mut inner = lock(&self.inner);
        let asked = inner.known(&inner.by_log);
        let before = std::mem::take(&mut inner.by_log.concerns);
        let covered_before = inner.by_log.covered.clone();
        let Coverage { covered, versions, partly, refused } = coverage;
        inner.by_log.cover(covered.keys(), refused.clone(), covered.iter().chain(partly));
        // What is published stays so when nobody shows it any more.
        inner.foreign.extend(foreign);
        inner.foreign.extend(before.keys());
        let Inner { foreign, by_log, .. } = &mut *inner;
        foreign.retain(|leaf| !by_log.concerns.contains_key(leaf));
        inner.tell_doubts();
        inner.tell_covered();
        let missed = asked.iter().any(|table| inner.by_log.ignores(table));
        let known = std::mem::replace(&mut inner.versions, versions.clone());
        let is_fresh = |(table, version): &(&Oid, &String)| {
            known.get(table).is_some_and(|known| known != *version)
        };
        let fresh: HashSet<Oid> =
            versions.iter().filter(is_fresh).map(|(table, _)| *table).collect();
        inner.read_again(&fresh);
        let is_other = |(leaf, tables): &(&Oid, &Vec<Oid>)| {
            before.get(leaf) != Some(tables)
                || tables
                    .iter()
                    .any(|table| fresh.contains(table) || !covered_before.contains(table))
        };
        let leaves = inner.by_log.concerns.iter().filter(is_other).map(|(leaf, _)| *leaf).collect();
        drop(inner);
        if missed {
            self.wanted.notify_one();
        }
        self.left.notify_one();
        leaves
    }

    /// From now on triggers tell of statements that may change these tables, and
    /// of no others.
    pub(super) fn cover_by_triggers(&self, told: Told) {
        let mut inner = lock(&self.inner);
        let Told { covered, refused, fresh } = told;
        let known = inner.known(&inner.by_triggers);
        inner.by_triggers.cover(covered.keys(), refused, covered.iter());
        if known.iter().any(|table| inner.by_triggers.ignores(table)) {
            self.left.notify_one();
        }
        inner.tell_covered();
        inner.ring(|table| fresh.contains(table));
    }

    /// Notifications of triggers were lost.
    pub(super) fn ring_triggered(&self) {
        let mut inner = lock(&self.inner);
        let covered = inner.by_triggers.covered.clone();
        inner.ring(|table| covered.contains(table));
    }

    /// Their versions.
    pub(super) fn covered(&self) -> HashMap<Oid, String> {
        lock(&self.inner).versions.clone()
    }

    pub(super) fn tell_log(&self, log: Log) {
        lock(&self.inner).log = log;
        self.left.notify_one();
    }

    /// The log does not tell of changes any more.
    pub(super) fn lose(&self, log: Log) {
        self.cover(&Coverage::default(), HashSet::new());
        let mut inner = lock(&self.inner);
        inner.foreign.clear();
        // Who is covered again waits until all of that has ended.
        inner.recent = Recent::default();
        inner.shown.forget_doubts();
        drop(inner);
        self.tell_log(log);
    }

    /// The database's objects have changed; what was refused may work now.
    pub(super) fn reconsider(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        let mut inner = lock(&self.inner);
        inner.by_log.refused.clear();
        inner.by_triggers.refused.clear();
        drop(inner);
        self.wanted.notify_one();
        self.left.notify_one();
    }

    /// Every group reads again; nobody knows whether that concerns it.
    pub(super) fn ring_all(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        let Inner { groups, shown, .. } = &mut *lock(&self.inner);
        groups.iter().for_each(|(id, group)| group.ring(*id, false, shown));
    }

    /// The columns of a table by which groups tell rows apart, true for those
    /// that must have certain values; `None` when the table is not known.
    pub(super) fn routed(&self, leaf: Oid) -> Option<Vec<(Column, bool)>> {
        let inner = lock(&self.inner);
        if inner.foreign.contains(&leaf) {
            return Some(Vec::new());
        }
        let mut columns: Vec<(Column, bool)> = Vec::new();
        let tables = inner.by_log.concerns.get(&leaf)?.iter();
        for (column, routes) in
            tables.filter_map(|table| inner.tables.get(table)).flat_map(Routes::columns)
        {
            match columns.iter_mut().find(|(known, _)| known == column) {
                Some((_, routed)) => *routed |= routes,
                None => columns.push((column.clone(), routes)),
            }
        }
        Some(columns)
    }

    /// A transaction has committed. Returns tables that nothing is known of, as
    /// new partitions are: everybody is woken because of them.
    pub(super) fn commit(&self, id: u32, changes: &Changes) -> Vec<Oid> {
        let mut inner = lock(&self.inner);
        let Inner { groups, tables, by_log, foreign, shown, recent, .. } = &mut *inner;
        let mut changed = Vec::new();
        // A group that is about to be covered may ask for such a table.
        let mut any = false;
        let mut found = Found::default();
        let mut concerned = 0;
        let mut unknown = Vec::new();
        for (leaf, touched) in &changes.tables {
            let Some(concerns) = by_log.concerns.get(leaf) else {
                any = true;
                if !foreign.contains(leaf) {
                    unknown.push(*leaf);
                }
                continue;
            };
            for table in concerns {
                changed.push(*table);
                let Some(routes) = tables.get_mut(table) else { continue };
                concerned += routes.len();
                if touched.whole {
                    found.certain.extend(routes.all());
                    continue;
                }
                for image in &touched.images {
                    routes.concerned(*table, image, &touched.columns, shown, id, &mut found);
                }
            }
        }
        if !unknown.is_empty() {
            found.certain.extend(groups.keys());
        }
        if any || !changed.is_empty() {
            recent.add(id, (!any).then_some(changed));
        }
        let Found { certain, mut doubtful, later, .. } = found;
        doubtful.retain(|group| !certain.contains(group));
        inner.doubts |= later > 0;
        self.counts.add_woken(certain.len() + doubtful.len());
        self.counts.add_spared(concerned.saturating_sub(certain.len() + doubtful.len() + later));
        for group in certain {
            inner.wake(group, |pending| {
                pending.add(&[id]);
                pending.urgent = true;
            });
        }
        for group in doubtful {
            inner.wake(group, |pending| pending.add(&[id]));
        }
        unknown
    }

    pub(super) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Commits that were told and that no reading has seen.
    pub(super) fn unseen(&self) -> Unseen {
        let recent = &lock(&self.inner).recent;
        let commits = recent.commits.iter().map(|(id, _)| *id).collect();
        Unseen { commits, beyond: recent.beyond }
    }

    /// Whether many commits are remembered that no reading has seen.
    pub(super) fn is_crowded(&self) -> bool {
        lock(&self.inner).recent.commits.len() >= CROWDED
    }

    /// A snapshot was taken.
    pub(super) fn seen(&self, snapshot: &Snapshot) {
        lock(&self.inner).seen(snapshot);
    }

    /// Whether there are doubts that [`Router::tell_doubts`] is to tell.
    pub(super) fn has_doubts(&self) -> bool {
        lock(&self.inner).doubts
    }

    /// Tells the groups of a table what may concern any of them: that is done for
    /// many commits at once.
    pub(super) fn tell_doubts(&self) {
        let told = lock(&self.inner).tell_doubts();
        self.counts.add_woken(told);
    }

    /// A statement of a transaction that has committed may have changed rows.
    pub(super) fn statement(&self, table: Oid, id: u32) {
        let mut inner = lock(&self.inner);
        let Inner { tables, by_triggers, recent, .. } = &mut *inner;
        let Some(concerns) = by_triggers.concerns.get(&table) else { return };
        recent.add(id, Some(concerns.clone()));
        let concerned = concerns.iter().filter_map(|table| tables.get(table));
        let groups: HashSet<u64> = concerned.flat_map(Routes::all).collect();
        self.counts.add_woken(groups.len());
        for group in groups {
            inner.wake(group, |pending| {
                pending.add(&[id]);
                pending.urgent = true;
            });
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

#[cfg(test)]
mod tests {
    use super::super::keys::KeyKind;
    use super::super::routes::{Cell, Route};
    use super::*;

    const TABLE: Oid = 7;

    fn tenant() -> Column {
        ("tenant".into(), KeyKind::Integer)
    }

    fn id() -> Column {
        ("id".into(), KeyKind::Integer)
    }

    fn watching() -> (Arc<Router>, Ticket) {
        let router = Arc::new(Router::default());
        let covered = HashMap::from([(TABLE, vec![TABLE])]);
        router.cover(&Coverage { covered, ..Coverage::default() }, HashSet::new());
        let (column, kind) = tenant();
        let route = Route { column, kind, values: vec![Value::Integer(1)] };
        let concern = Concern { routes: vec![route], key: vec![id()] };
        let tables = BTreeMap::from([(TABLE, concern)]);
        let ticket = router.register(Interest { tables, opaque: false });
        (router, ticket)
    }

    fn change(router: &Router, transaction: u32, was: bool, tenant_is: Cell, row: i64) {
        let cells = [tenant_is, Cell::Value(Value::Integer(row))].into();
        let images = HashSet::from([Image { was, cells }]);
        let touched = Touched { whole: false, columns: vec![tenant(), id()], images };
        let changes = Changes { tables: HashMap::from([(TABLE, touched)]) };
        assert!(router.commit(transaction, &changes).is_empty());
    }

    /// A row of any tenant was changed, and left it perhaps.
    fn doubt(router: &Router, transaction: u32, row: i64) {
        change(router, transaction, true, Cell::Unknown, row);
    }

    fn enter(router: &Router, transaction: u32, row: i64) {
        change(router, transaction, false, Cell::Value(Value::Integer(1)), row);
    }

    fn rows(ids: &[i64]) -> Vec<(Oid, Vec<Value>)> {
        ids.iter().map(|id| (TABLE, vec![Value::Integer(*id)])).collect()
    }

    fn seen(snapshot: &str) -> Snapshot {
        Snapshot::parse(snapshot).expect("parses")
    }

    /// Reads; whether there is more to read.
    fn read(ticket: &Ticket, snapshot: &str, ids: &[i64]) -> bool {
        let mut pending = Pending::default();
        ticket.begin(&mut pending);
        ticket.answered(&mut pending, &seen(snapshot), Some(rows(ids)));
        pending.has_commits()
    }

    #[test]
    fn a_doubt_concerns_who_shows_the_row() {
        let (router, ticket) = watching();
        assert!(!read(&ticket, "10:10:", &[1, 2]));
        doubt(&router, 11, 3);
        assert!(!ticket.take().has_commits());
        doubt(&router, 12, 2);
        assert!(ticket.take().has_commits());
    }

    /// A row that enters and leaves again may be shown by the reading between.
    #[test]
    fn what_is_pending_may_show_any_row() {
        let (router, ticket) = watching();
        assert!(!read(&ticket, "10:10:", &[]));
        enter(&router, 11, 3);
        doubt(&router, 12, 3);
        let mut pending = ticket.take();
        ticket.begin(&mut Pending::default());
        // The first is seen, and the second is not.
        ticket.answered(&mut pending, &seen("12:13:12"), Some(rows(&[3])));
        assert!(pending.has_commits());
        ticket.answered(&mut pending, &seen("13:13:"), Some(rows(&[])));
        assert!(!pending.has_commits());
        doubt(&router, 14, 3);
        assert!(!ticket.take().has_commits());
    }

    /// Nobody knows yet what a reading shows that sees some of it.
    #[test]
    fn a_doubt_stays_while_something_is_to_be_seen() {
        let (router, ticket) = watching();
        assert!(!read(&ticket, "10:10:", &[]));
        enter(&router, 11, 3);
        doubt(&router, 12, 3);
        let mut pending = ticket.take();
        ticket.begin(&mut Pending::default());
        // The log tells of both before anybody sees them.
        ticket.answered(&mut pending, &seen("11:13:11,12"), Some(rows(&[])));
        ticket.answered(&mut pending, &seen("12:13:12"), Some(rows(&[3])));
        assert!(pending.has_commits());
    }

    /// It was of no interest while it could not be seen yet.
    #[test]
    fn a_doubt_that_no_reading_has_seen_is_looked_at_again() {
        let (router, ticket) = watching();
        assert!(!read(&ticket, "10:10:", &[1, 2]));
        doubt(&router, 11, 3);
        enter(&router, 12, 4);
        let mut pending = ticket.take();
        ticket.begin(&mut Pending::default());
        ticket.answered(&mut pending, &seen("11:13:11"), Some(rows(&[1, 3])));
        assert!(pending.has_commits());
        ticket.begin(&mut Pending::default());
        ticket.answered(&mut pending, &seen("13:13:"), Some(rows(&[1])));
        assert!(!pending.has_commits());
        // The same without a commit: the snapshot is ahead of the log.
        doubt(&router, 14, 5);
        assert!(!ticket.take().has_commits());
        assert!(read(&ticket, "14:16:14", &[1, 5]));
    }

    #[test]
    fn who_cannot_tell_its_rows_any_more_misses_no_doubt() {
        let (router, ticket) = watching();
        assert!(!read(&ticket, "10:10:", &[1]));
        doubt(&router, 11, 3);
        let mut pending = Pending::default();
        ticket.begin(&mut Pending::default());
        ticket.answered(&mut pending, &seen("11:13:11"), None);
        assert!(pending.has_commits());
        doubt(&router, 14, 3);
        assert!(ticket.take().has_commits());
    }

    /// What the next reading shows in place of a row that left is as doubtful.
    #[test]
    fn doubts_stay_together() {
        let (router, ticket) = watching();
        ticket.begin(&mut Pending::default());
        doubt(&router, 11, 2);
        doubt(&router, 12, 3);
        let mut pending = Pending::default();
        ticket.answered(&mut pending, &seen("11:13:11,12"), Some(rows(&[1, 2])));
        assert!(pending.has_commits());
        ticket.begin(&mut pending);
        ticket.answered(&mut pending, &seen("12:13:12"), Some(rows(&[1, 3])));
        assert!(pending.has_commits());
        ticket.begin(&mut pending);
        ticket.answered(&mut pending, &seen("13:13:"), Some(rows(&[1])));
        assert!(!pending.has_commits());
    }

    /// A transaction that runs for long is no commit that was told.
    #[test]
    fn many_commits_are_done_with_while_an_older_transaction_runs() {
        let (router, ticket) = watching();
        assert!(!read(&ticket, "10:10:", &[]));
        for id in 11..1011 {
            enter(&router, id, 3);
        }
        let mut pending = ticket.take();
        assert!(pending.beyond.is_some());
        ticket.begin(&mut pending);
        ticket.answered(&mut pending, &seen("500:1011:500"), Some(rows(&[3])));
        // That one was told, too, and may be held back.
        assert_eq!(pending.commits, [500]);
        let other = router.register(Interest::default());
        other.answered(&mut Pending::default(), &seen("1012:1012:"), None);
        for id in 1013..2013 {
            enter(&router, id, 3);
        }
        let mut pending = ticket.take();
        ticket.begin(&mut pending);
        ticket.answered(&mut pending, &seen("1012:2013:1012"), Some(rows(&[3])));
        assert!(!pending.has_commits());
    }

    #[test]
    fn a_doubt_during_a_reading_is_settled_by_it() {
        let (router, ticket) = watching();
        ticket.begin(&mut Pending::default());
        doubt(&router, 20, 2);
        doubt(&router, 21, 9);
        let mut pending = Pending::everything();
        pending.all = false;
        ticket.answered(&mut pending, &seen("20:20:"), Some(rows(&[1, 2])));
        assert!(pending.has_commits());
        // Where no row is known, each doubt counts.
        ticket.begin(&mut Pending::default());
        doubt(&router, 22, 9);
        let mut pending = Pending::default();
        ticket.answered(&mut pending, &seen("22:22:"), None);
        assert!(pending.has_commits());
    }

    #[test]
    fn what_was_told_before_a_group_came_is_asked_for() {
        let (router, _other) = watching();
        enter(&router, 11, 1);
        enter(&router, 12, 1);
        let mut interest = Interest::default();
        interest.tables.insert(TABLE, Concern::default());
        let late = router.register(interest);
        // It is of no table that anybody knows.
        let touched = Touched { whole: true, ..Touched::default() };
        router.commit(13, &Changes { tables: HashMap::from([(TABLE + 1, touched)]) });
        let later = router.register(Interest::default());
        let mut pending = Pending::everything();
        late.answered(&mut pending, &seen("12:13:12"), None);
        assert_eq!(pending.commits, [12]);
        let mut pending = Pending::everything();
        later.answered(&mut pending, &seen("12:13:12"), None);
        assert_eq!(pending.commits, [13]);
        // Who does not look at the table does not wait for it.
        let elsewhere = router.register(Interest::default());
        let mut pending = Pending::everything();
        elsewhere.answered(&mut pending, &seen("12:14:12"), None);
        assert!(!pending.has_commits());
    }
}
