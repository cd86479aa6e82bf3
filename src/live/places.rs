//! Places: how many readings run at once, and whose turn it is.
//!
//! ```text
//! Reading ─▶ took long lately? ─ no ──▶ fast line ─▶ any place ──▶ Postgres
//!    ▲                └───────── yes ─▶ slow line ─▶ half of them ──┘ │
//!    └── begins anew in the slow line ◀── too long, and others wait ◀─┘
//! ```
//!
//! A reading holds one of few places, so one that takes long must not keep those
//! waiting that do not. Nobody knows beforehand which it is; so a place is lent
//! for a moment. A reading that goes on for longer while others wait gets a place
//! of the slow ones if one is free, and otherwise is cancelled and waits for one.
//! Half of the places, and one at least, are never given to slow ones. In each
//! line owners (tenants, users) take turns, however many readings each has.
//!
//! Nobody sets a clock for a reading: there is one for all, while somebody waits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::group::Key;

/// For so long a place is lent to a reading that others wait for.
pub(super) const MOMENT: Duration = Duration::from_millis(250);
/// Readings of which it is remembered that they took longer.
const KNOWN: usize = 4096;

/// Whose reading it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u64);

impl Owner {
    /// Whoever has this name. Two may be taken for one, which then share turns.
    pub(crate) fn named(name: impl Hash) -> Self {
        static KEYS: std::sync::LazyLock<RandomState> = std::sync::LazyLock::new(RandomState::new);
        Owner(KEYS.hash_one(name))
    }
}

/// What is known of a reading before it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) owner: Owner,
    /// What it reads: a reading is as slow as the last one of the same.
    pub(crate) alike: Key,
}

/// The places of one pool.
#[derive(Debug)]
pub(crate) struct Places {
    size: usize,
    /// How many of them slow readings may hold.
    slow: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: Vec<Running>,
    fast: Line,
    slow: Line,
    known_slow: HashSet<Key>,
    /// Somebody looks after those who wait.
    watched: bool,
}

#[derive(Debug)]
struct Running {
    id: u64,
    since: Instant,
    slow: bool,
    /// It was told to leave.
    leaves: bool,
    leave: Arc<Notify>,
}

/// Those who wait, by owner; who was served goes to the end.
#[derive(Debug, Default)]
struct Line {
    order: BTreeMap<u64, Owner>,
    owners: HashMap<Owner, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    at: u64,
    /// In the order in which they came.
    those: BTreeMap<u64, Asking>,
}

#[derive(Debug)]
struct Asking {
    alike: Key,
    sender: oneshot::Sender<Place>,
}

/// A place that is held until this is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    id: u64,
    alike: Key,
    since: Instant,
    leave: Arc<Notify>,
    /// The reading has ended by itself.
    ended: bool,
}

/// Takes who goes away out of the line.
struct InLine<'a> {
    places: &'a Places,
    slow: bool,
    owner: Owner,
    id: u64,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn len(&self) -> usize {
        self.owners.values().map(|waiting| waiting.those.len()).sum()
    }

    fn push(&mut self, id: u64, owner: Owner, asking: Asking) {
        let waiting = self.owners.entry(owner).or_insert_with(|| {
            self.order.insert(id, owner);
            Waiting { at: id, those: BTreeMap::new() }
        });
        waiting.those.insert(id, asking);
    }

    /// The next one; `last` is greater than every number that was given.
    fn pop(&mut self, last: u64) -> Option<Asking> {
        let (_, owner) = self.order.pop_first()?;
        let waiting = self.owners.get_mut(&owner)?;
        let (_, asking) = waiting.those.pop_first()?;
        if waiting.those.is_empty() {
            self.owners.remove(&owner);
        } else {
            waiting.at = last;
            self.order.insert(last, owner);
        }
        Some(asking)
    }

    fn remove(&mut self, id: u64, owner: Owner) {
        let Some(waiting) = self.owners.get_mut(&owner) else { return };
        waiting.those.remove(&id);
        if waiting.those.is_empty() {
            self.order.remove(&waiting.at);
            self.owners.remove(&owner);
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Readings that hold a place for a moment.
    fn lent(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(|running| !running.slow && !running.leaves)
    }

    fn slow_ones(&self) -> usize {
        self.running.iter().filter(|running| running.slow).count()
    }
}

impl Places {
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Places { size: size.max(1), slow: size / 2, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether such a reading took long the last time.
    pub(crate) fn is_slow(&self, turn: Turn) -> bool {
        self.lock().known_slow.contains(&turn.alike)
    }

    /// Reads in a place of one's own; once more when it had to be given up.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, turn: Turn, read: impl Fn() -> F) -> T
    where
        F: Future<Output = T>,
    {
        loop {
            let mut place = self.place(turn).await;
            tokio::select! {
                biased;
                out = read() => {
                    place.ended = true;
                    return out;
                }
                () = place.leave.notified() => {}
            }
        }
    }

    /// Waits for a place.
    async fn place(self: &Arc<Self>, turn: Turn) -> Place {
        loop {
            let (id, slow, receiver) = {
                let mut state = self.lock();
                let slow = self.slow > 0 && state.known_slow.contains(&turn.alike);
                if self.has_room(&state, slow) {
                    return self.begin(&mut state, slow, turn.alike);
                }
                let (sender, receiver) = oneshot::channel();
                let id = state.number();
                let line = if slow { &mut state.slow } else { &mut state.fast };
                line.push(id, turn.owner, Asking { alike: turn.alike, sender });
                if !slow && self.slow > 0 && !std::mem::replace(&mut state.watched, true) {
                    tokio::spawn(self.clone().watch());
                }
                (id, slow, receiver)
            };
            let _in_line = InLine { places: self, slow, owner: turn.owner, id };
            // It always is sent, or the line is gone.
            if let Ok(place) = receiver.await {
                return place;
            }
        }
    }

    /// Where there is room nobody waits for it.
    fn has_room(&self, state: &State, slow: bool) -> bool {
        state.running.len() < self.size && !(slow && state.slow_ones() >= self.slow)
    }

    fn begin(self: &Arc<Self>, state: &mut State, slow: bool, alike: Key) -> Place {
        let (id, since, leave) = (state.number(), Instant::now(), Arc::new(Notify::new()));
        state.running.push(Running { id, since, slow, leaves: false, leave: leave.clone() });
        Place { places: self.clone(), id, alike, since, leave, ended: false }
    }

    /// Gives what is free to those who wait. The slow have one place before all
    /// others, so that they come to an end, and more when nobody else waits.
    fn give(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Place>, Place)> {
        let mut given = Vec::new();
        while state.running.len() < self.size {
            let slow_ones = state.slow_ones();
            let last = state.number();
            let mut next = None;
            if slow_ones == 0 {
                next = state.slow.pop(last).map(|asking| (asking, true));
            }
            if next.is_none() {
                next = state.fast.pop(last).map(|asking| (asking, false));
            }
            if next.is_none() && slow_ones < self.slow {
                next = state.slow.pop(last).map(|asking| (asking, true));
            }
            let Some((asking, slow)) = next else { break };
            let place = self.begin(state, slow, asking.alike);
            given.push((asking.sender, place));
        }
        given
    }

    /// Makes way for those who wait, as long as somebody does.
    async fn watch(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let first = self.lock().lent().map(|running| running.since).min();
            tokio::time::sleep_until(first.unwrap_or(now) + MOMENT).await;
            let mut state = self.lock();
            if state.fast.is_empty() {
                state.watched = false;
                return;
            }
            self.make_way(&mut state);
        }
    }

    fn make_way(&self, state: &mut State) {
        let mut slow_ones = state.slow_ones();
        let leaving = state.running.iter().filter(|running| running.leaves).count();
        let mut wanted = state.fast.len().saturating_sub(leaving);
        // Who began first is first.
        let overdue = |running: &&mut Running| {
            !running.slow && !running.leaves && running.since.elapsed() >= MOMENT
        };
        for running in state.running.iter_mut().filter(overdue) {
            if slow_ones < self.slow {
                running.slow = true;
                slow_ones += 1;
            } else if wanted > 0 {
                running.leaves = true;
                running.leave.notify_one();
                wanted -= 1;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.running.retain(|running| running.id != self.id);
        if self.since.elapsed() >= MOMENT {
            if state.known_slow.len() >= KNOWN {
                // All of them are tried again.
                state.known_slow.clear();
            }
            state.known_slow.insert(self.alike);
        } else if self.ended {
            state.known_slow.remove(&self.alike);
        }
        let given = self.places.give(&mut state);
        drop(state);
        for (sender, place) in given {
            // Who went away meanwhile gives it back by that.
            drop(sender.send(place));
        }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        let line = if self.slow { &mut state.slow } else { &mut state.fast };
        line.remove(self.id, self.owner);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn turn(owner: &str, alike: u8) -> Turn {
        Turn { owner: Owner::named(owner), alike: [alike; 32] }
    }

    #[tokio::test]
    async fn owners_take_turns() {
        let places = Places::new(1);
        let held = places.place(turn("a", 0)).await;
        let mut second = pin!(places.place(turn("a", 1)));
        let mut third = pin!(places.place(turn("a", 2)));
        let mut other = pin!(places.place(turn("b", 3)));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        drop(held);
        assert!(third.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        drop(second.as_mut().now_or_never().expect("who came first is first"));
        assert!(third.as_mut().now_or_never().is_none());
        drop(other.as_mut().now_or_never().expect("then the other owner"));
        drop(third.as_mut().now_or_never().expect("then the first again"));
        assert!(places.lock().running.is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_waits_no_more() {
        let places = Places::new(1);
        let held = places.place(turn("a", 0)).await;
        for alike in 1..9 {
            let mut gone = pin!(places.place(turn("a", alike)));
            assert!(gone.as_mut().now_or_never().is_none());
        }
        assert_eq!(places.lock().fast.len(), 0);
        // Nor does one that was given a place before it went.
        {
            let mut gone = pin!(places.place(turn("a", 9)));
            assert!(gone.as_mut().now_or_never().is_none());
            drop(held);
        }
        assert!(places.lock().running.is_empty());
        assert!(places.lock().fast.is_empty());
    }

    #[tokio::test]
    async fn slow_readings_leave_half_of_the_places() {
        let places = Places::new(4);
        let begun = Arc::new(Mutex::new(Vec::new()));
        for alike in 0..8 {
            let (places, begun) = (places.clone(), begun.clone());
            tokio::spawn(async move {
                let read = || {
                    begun.lock().unwrap_or_else(PoisonError::into_inner).push(alike);
                    std::future::pending::<()>()
                };
                places.read(turn("a", alike), read).await;
            });
        }
        tokio::task::yield_now().await;
        for alike in 100..120 {
            places.read(turn("b", alike), || async {}).await;
        }
        let state = places.lock();
        assert!(state.slow_ones() == 2 && state.known_slow.len() <= 6, "{state:?}");
        assert!(begun.lock().unwrap_or_else(PoisonError::into_inner).len() >= 4);
    }
}
