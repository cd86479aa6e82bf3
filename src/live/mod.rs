//! Floor 4: what keeps subscriptions current, without a poll where the log
//! tells of changes.
//!
//! ```text
//! Postgres ─ log ─▶ source: pgoutput, rows (keys only) ─▶ router ─▶ group ─▶ Reader (engine)
//!     │ ▲               └ publication: which tables are covered  ▲     │
//!     │ │   NOTIFY ─▶ triggers: of tables that the log leaves ────┘     │
//!     └────────── the statement, as the subscriber's role ◀───────────┘
//!                                    state ─▶ subscription ─▶ transport
//! ```
//!
//! Three rules hold it together. What the log tells is used to decide whether a
//! statement runs, and for nothing else. A group is woken or polls, table by
//! table and never neither. A change counts as answered when the snapshot of a
//! reading shows it. Beside them: `places` lets slow readings take nothing from
//! others, `retry` says when what failed is read again, and `left` which rows of
//! a stream are to be told of as gone.

mod answer;
pub(crate) mod group;
mod keys;
mod left;
mod pgoutput;
mod places;
mod preload;
mod publication;
mod retry;
mod router;
mod routes;
mod rows;
mod shown;
mod snapshot;
mod source;
pub(crate) mod stream;
mod subscription;
mod triggers;
mod visible;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

pub(crate) use answer::{KeyField, RowsAt};
pub(crate) use keys::KeyKind;
pub(crate) use left::{KeysAt, Sent};
pub(crate) use places::{Owner, Places, Turn};
pub(crate) use router::Interest;
pub(crate) use routes::{Concern, Route};
pub(crate) use snapshot::Snapshot;
pub use subscription::{Marks, Renewal, Subscription, Update};
pub(crate) use subscription::{Published, Publisher, channel};

use crate::config::LiveManage;
use crate::pg::{ConnectionString, Pg};
use group::Groups;
use router::{Log, Router};
use source::{Source, SourceCounts};
use triggers::Triggers;

/// Live queries of one server; cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    router: Arc<Router>,
    groups: Arc<Groups>,
    source: Arc<SourceCounts>,
}

/// What live queries have done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct LiveStats {
    /// Groups of subscriptions with the same answer, by how they learn of
    /// changes.
    pub woken_groups: u64,
    pub polled_groups: u64,
    /// Tables of which the log tells, of which triggers do, and that are polled.
    pub log_tables: u64,
    pub trigger_tables: u64,
    pub polled_tables: u64,
    /// Whether the log is followed now.
    pub streaming: bool,
    pub commits: u64,
    /// Rows and values that are remembered to tell what a changed row was.
    pub remembered: u64,
    pub gaps: u64,
    /// The place in the log that all is told up to.
    pub place: u64,
    /// From the last commit to its being sent.
    pub delay: Duration,
    /// Readings by what came of them.
    pub changed: u64,
    pub unchanged: u64,
    pub failed: u64,
    /// Times that a group was woken by a commit, was spared by its keys, or
    /// had seen the commit already.
    pub woken: u64,
    pub spared: u64,
    pub skipped: u64,
    pub audits: u64,
    pub mismatches: u64,
}

impl Live {
    /// Everything polls until [`Live::follow`].
    pub fn new(poll: Duration) -> Self {
        let router = Arc::new(Router::default());
        let groups = Arc::new(Groups::new(router.clone(), poll));
        Live { router, groups, source: Arc::default() }
    }

    /// How long to wait between two readings of what polls.
    pub fn poll_every(&self, interval: Duration) {
        self.groups.poll_every(interval);
    }

    /// Follows the log with a login that may, and triggers, as long as the tasks
    /// run. Must be called inside a Tokio runtime.
    pub fn follow(
        &self,
        pg: &Pg,
        login: Option<&ConnectionString>,
        manage: LiveManage,
    ) -> Vec<JoinHandle<()>> {
        let (router, counts) = (self.router.clone(), self.source.clone());
        let triggers = Triggers { pg: pg.clone(), manage, router: router.clone() };
        let looks = visible::run(router.clone(), pg.clone());
        let mut tasks = vec![tokio::spawn(triggers.run()), tokio::spawn(looks)];
        match login {
            Some(url) => {
                let (pg, url) = (pg.clone(), url.clone());
                tasks.push(tokio::spawn(Source { pg, url, manage, router, counts }.run()));
            }
            None => self.router.tell_log(Log::Hopeless),
        }
        tasks
    }

    /// Objects of the database may have changed.
    pub fn reconsider(&self) {
        self.router.reconsider();
    }

    /// Objects have changed in a way that may have changed rows, too: everybody
    /// reads again, in turn.
    pub fn objects_changed(&self) {
        self.router.ring_all();
    }

    pub(crate) fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    pub fn stats(&self) -> LiveStats {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let (groups, woken_groups) = self.router.groups();
        let tables = self.router.tables();
        let counts = &self.groups.counts;
        LiveStats {
            woken_groups: count(woken_groups),
            polled_groups: count(groups - woken_groups),
            log_tables: count(tables.log),
            trigger_tables: count(tables.triggers),
            polled_tables: count(tables.polled),
            streaming: self.source.streaming.load(Ordering::Relaxed),
            commits: read(&self.source.commits),
            remembered: count(self.source.rows.load(Ordering::Relaxed)),
            gaps: read(&self.source.gaps),
            place: read(&self.source.place),
            delay: Duration::from_micros(read(&self.source.delay)),
            changed: read(&counts.changed),
            unchanged: read(&counts.unchanged),
            failed: read(&counts.failed),
            woken: read(&self.router.counts.woken),
            spared: read(&self.router.counts.spared),
            skipped: read(&counts.skipped),
            audits: read(&counts.audits),
            mismatches: read(&counts.mismatches),
        }
    }
}
