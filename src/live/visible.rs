//! Tells groups when a commit that they were told of can be seen.
//!
//! ```text
//! Group, stream ─ waits for transactions ─▶ Visible ◀─ a look at a time ─ Postgres
//!       ▲                                      │
//!       └─────────── one of them is shown ─────┘
//! ```
//!
//! The log tells of a commit that waits for a synchronous standby, and nobody
//! sees it before the standby has it: in moments, or when somebody has repaired
//! it. Whoever waits for long is told by one look for all, so that the waiting
//! of many is no load.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::router::Router;
use super::snapshot::Snapshot;
use crate::pg::{Pg, PgError};

/// The first wait for a commit to become visible; it doubles.
const FIRST: Duration = Duration::from_millis(1);
/// The last one, and the time between two looks.
pub(super) const LONGEST: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Visible {
    state: Mutex<State>,
    /// There is a reason to look.
    wanted: Notify,
    /// Something that is waited for is visible.
    shown: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many wait for each transaction.
    awaited: HashMap<u32, usize>,
    /// What the last look saw, and whether somebody looks.
    latest: Option<Snapshot>,
    runs: bool,
}

/// A place among those who wait.
struct Waiting<'a> {
    visible: &'a Visible,
    ids: &'a [u32],
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.visible.lock();
        for id in self.ids {
            if let Some(count) = state.awaited.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    state.awaited.remove(id);
                }
            }
        }
    }
}

/// The time to wait after this one for what a reading did not see.
pub(super) fn longer(wait: Option<Duration>) -> Duration {
    wait.map_or(FIRST, |time| (time * 2).min(LONGEST))
}

/// How long a look may take.
const TIME: Duration = Duration::from_secs(2);

impl Visible {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is asked instead of waiting for so long.
    pub(super) fn tells(&self, time: Duration) -> bool {
        time >= LONGEST && self.lock().runs
    }

    /// Waits until one of these transactions is visible.
    pub(super) async fn wait(&self, ids: &[u32]) {
        let waiting = {
            let mut state = self.lock();
            ids.iter().for_each(|id| *state.awaited.entry(*id).or_default() += 1);
            Waiting { visible: self, ids }
        };
        self.wanted.notify_one();
        loop {
            let mut shown = pin!(self.shown.notified());
            shown.as_mut().enable();
            let sees = |seen: &Snapshot| waiting.ids.iter().any(|id| seen.sees(*id));
            if self.lock().latest.as_ref().is_some_and(sees) {
                return;
            }
            shown.await;
        }
    }

    /// What was visible at the last look.
    pub(super) fn latest(&self) -> Option<Snapshot> {
        self.lock().latest.clone()
    }

    /// Asks for a look, as nobody reads that could tell.
    pub(super) fn look(&self) {
        self.wanted.notify_one();
    }

    fn tell(&self, seen: Snapshot) {
        let mut state = self.lock();
        let sees = state.awaited.keys().any(|id| seen.sees(*id));
        state.latest = Some(seen);
        drop(state);
        if sees {
            self.shown.notify_waiters();
        }
    }
}

/// Looks as long as there is a reason to.
pub(super) async fn run(router: Arc<Router>, pg: Pg) {
    let visible = &router.visible;
    visible.lock().runs = true;
    loop {
        visible.wanted.notified().await;
        loop {
            if visible.lock().awaited.is_empty() && !router.is_crowded() {
                break;
            }
            let look = tokio::time::timeout(TIME, snapshot(&pg)).await;
            match look.unwrap_or(Ok(None)) {
                Ok(Some(seen)) => {
                    router.seen(&seen);
                    visible.tell(seen);
                }
                Ok(None) => tracing::debug!("no snapshot was told"),
                Err(error) => tracing::debug!(%error, "no snapshot could be taken"),
            }
            tokio::time::sleep(LONGEST).await;
        }
    }
}

/// What everybody sees now.
async fn snapshot(pg: &Pg) -> Result<Option<Snapshot>, PgError> {
    let tx = pg.begin_system("look at what has been committed").await?;
    let rows = tx.query_rows("select pg_catalog.pg_current_snapshot()::text", &[]).await?;
    tx.commit().await?;
    let text = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
    Ok(text.as_deref().and_then(Snapshot::parse))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn tell(visible: &Visible, snapshot: &str) {
        visible.tell(Snapshot::parse(snapshot).expect("parses"));
    }

    #[tokio::test]
    async fn who_waits_is_told_of_its_own() {
        let visible = Visible::default();
        let mut one = pin!(visible.wait(&[11, 12]));
        let mut other = pin!(visible.wait(&[13]));
        assert!(one.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        tell(&visible, "11:20:11,12,13");
        assert!(one.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        tell(&visible, "11:20:11,13");
        assert!(one.as_mut().now_or_never().is_some() && other.as_mut().now_or_never().is_none());
        // It was seen before somebody asked.
        assert!(visible.wait(&[12]).now_or_never().is_some());
        tell(&visible, "20:20:");
        assert!(other.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_goes_away_is_not_waited_for() {
        let visible = Visible::default();
        {
            let mut one = pin!(visible.wait(&[11]));
            let mut other = pin!(visible.wait(&[11, 12]));
            assert!(one.as_mut().now_or_never().is_none());
            assert!(other.as_mut().now_or_never().is_none());
            assert_eq!(visible.lock().awaited, HashMap::from([(11, 2), (12, 1)]));
        }
        assert!(visible.lock().awaited.is_empty());
    }
}
