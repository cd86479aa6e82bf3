//! Follows the log and tells the router of every commit.
//!
//! ```text
//! idle ─ first subscription ─▶ connect, slot (waits for those who write) ─▶ stream
//!   ▲                            └── meanwhile: polling                       │
//!   └──────────── anything goes wrong: everybody polls, and again ◀───────────┘
//! ```
//!
//! The slot is temporary: nothing of ours keeps the log from being removed
//! once we are gone, and nothing is caught up. Instead, whoever was not covered
//! for a moment reads again.
//!
//! The reader of the log never waits for anybody: it sets bits. Whatever needs
//! a statement of its own (publishing a table) goes on beside it.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::pgoutput::{self, Malformed, Message};
use super::preload::Preload;
use super::publication::{self, Coverage};
use super::router::{Changes, Log, Router, Unseen};
use super::routes::Column;
use super::rows::Rows;
use crate::catalog::changes::PUBLICATION;
use crate::catalog::model::Oid;
use crate::config::LiveManage;
use crate::pg::{ConnectionString, Pg, PgError, Received, Replication};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A stream that nobody needs is kept for so long.
const UNUSED: Duration = Duration::from_secs(60);
/// After publishing failed.
const AGAIN: Duration = Duration::from_secs(10);
/// What will not be otherwise in a moment is tried less often.
const HOPELESS: Duration = Duration::from_secs(60);
/// Doubts about many groups are collected for so long: to tell them costs what it
/// costs to look at every group.
const DOUBTS: Duration = Duration::from_millis(20);
/// Rows of one table and transaction that are looked at one by one.
const ROWS: u32 = 1000;

#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Pg(#[from] PgError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("there is no publication {}; live.manage = off leaves it to you", PUBLICATION)]
    NoPublication,
}

impl SourceError {
    /// An administrator has to do something first.
    fn is_hopeless(&self) -> bool {
        match self {
            SourceError::Pg(PgError::Refused(_)) | SourceError::NoPublication => true,
            SourceError::Pg(error) => {
                error.sqlstate().is_some_and(|state| matches!(state, "55000" | "42501" | "53400"))
            }
            SourceError::Malformed(_) => false,
        }
    }
}

/// What the source has done.
#[derive(Debug, Default)]
pub(super) struct SourceCounts {
    pub(super) streaming: AtomicBool,
    pub(super) commits: AtomicU64,
    /// Rows and values that are remembered.
    pub(super) rows: AtomicUsize,
    /// Times that everybody had to read again.
    pub(super) gaps: AtomicU64,
    /// The place in the log that all is told up to.
    pub(super) place: AtomicU64,
    /// From the last commit to its being sent, in microseconds.
    pub(super) delay: AtomicU64,
}

pub(super) struct Source {
    pub(super) pg: Pg,
    pub(super) url: ConnectionString,
    pub(super) manage: LiveManage,
    pub(super) router: Arc<Router>,
    pub(super) counts: Arc<SourceCounts>,
}

type Covering = Pin<Box<dyn Future<Output = Result<Coverage, PgError>> + Send>>;

impl Source {
    pub(super) async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        loop {
            while self.router.wanted().is_empty() {
                self.router.wanted.notified().await;
            }
            let begun = Instant::now();
            let ended = self.follow().await;
            self.counts.streaming.store(false, Ordering::Relaxed);
            let hopeless = ended.as_ref().is_err_and(SourceError::is_hopeless);
            self.router.lose(if hopeless { Log::Hopeless } else { Log::Away });
            let Err(error) = ended else { continue };
            self.counts.gaps.fetch_add(1, Ordering::Relaxed);
            if begun.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            if hopeless {
                pause = HOPELESS;
            }
            let text = error.to_string();
            if text == last {
                tracing::debug!(%error, "the log cannot be followed");
            } else {
                tracing::warn!(%error, "live queries poll: the log cannot be followed");
                last = text;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Streams until nobody needs it.
    async fn follow(&self) -> Result<(), SourceError> {
        let publications = publication::prepare(&self.pg, self.manage).await?;
        let publications = publications.ok_or(SourceError::NoPublication)?;
        let mut log = Replication::open(&self.url).await?;
        let slot = format!("ringfence_live_{:016x}", rand::random::<u64>());
        log.create_slot(&slot).await?;
        log.start(&slot, &publications).await?;
        self.counts.streaming.store(true, Ordering::Relaxed);
        self.router.tell_log(Log::Followed);
        tracing::info!(slot, "live queries follow the log");
        let mut reader = Reader {
            source: self,
            rows: Rows::default(),
            open: None,
            unknown: HashSet::new(),
            objects: self.router.objects(),
        };
        let mut covering: Option<Covering> = Some(self.cover());
        let mut check = Instant::now() + UNUSED;
        let mut again: Option<Instant> = None;
        let mut tell: Option<Instant> = None;
        let mut preload = Preload::new(self.pg.clone());
        let mut before = Unseen::default();
        loop {
            reader.look_at_objects();
            reader.rows.take_doubted().into_iter().for_each(|table| preload.ask(table));
            self.counts.rows.store(reader.rows.remembered(), Ordering::Relaxed);
            while reader.open.is_none()
                && let Some(table) = preload.next()
            {
                let columns = self.router.routed(table).unwrap_or_default();
                let columns: Vec<Column> = columns
                    .into_iter()
                    .filter_map(|(column, routes)| routes.then_some(column))
                    .collect();
                if columns.is_empty() {
                    continue;
                }
                if !reader.rows.has_room() {
                    preload.put_off(table);
                    continue;
                }
                before = self.router.unseen();
                reader.rows.begin(table);
                preload.start(table, columns);
            }
            // Not in the middle of a transaction.
            let due = at(preload.due().filter(|_| reader.open.is_none()));
            let retry = at(again);
            let told = at(tell);
            let is_idle = covering.is_none();
            let covered = running(&mut covering);
            tokio::select! {
                received = log.receive() => match received? {
                    Received::Change { end, sent, message } => {
                        if reader.take(message, sent)? {
                            // Nobody needs what was read, so all of it is done.
                            log.confirm(end);
                            self.counts.place.store(end, Ordering::Relaxed);
                            if tell.is_none() && self.router.has_doubts() {
                                tell = Some(Instant::now() + DOUBTS);
                            }
                            if self.router.is_crowded() {
                                self.router.visible.look();
                            }
                        }
                    }
                    Received::Caught { up_to } => {
                        log.confirm(up_to);
                        self.counts.place.store(up_to, Ordering::Relaxed);
                    }
                },
                outcome = covered => {
                    covering = None;
                    match outcome {
                        Ok(coverage) => {
                            let (covered, refused) = (coverage.covered.len(), coverage.refused.len());
                            tracing::debug!(covered, refused, "tables are covered");
                            let unknown = std::mem::take(&mut reader.unknown);
                            for leaf in self.router.cover(&coverage, unknown) {
                                // Something may have happened to rows unseen.
                                reader.rows.forget(leaf);
                                preload.ask(leaf);
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "tables could not be published for live queries; they are polled");
                            again = Some(Instant::now() + AGAIN);
                        }
                    }
                }
                (table, loaded) = preload.read() => match loaded {
                    Some(loaded) if before.is_seen_by(&loaded.snapshot) => {
                        if !reader.rows.load(table, loaded) {
                            preload.put_off(table);
                        }
                    }
                    // Something was told before that nobody sees yet.
                    Some(_) => {
                        reader.rows.give_up(table);
                        preload.ask(table);
                    }
                    None => reader.rows.give_up(table),
                },
                () = due => {}
                () = told => {
                    tell = None;
                    self.router.tell_doubts();
                }
                () = self.router.wanted.notified(), if is_idle => {
                    covering = Some(self.cover());
                }
                () = retry => {
                    again = None;
                    covering.get_or_insert_with(|| self.cover());
                }
                () = tokio::time::sleep_until(check) => {
                    if self.router.wanted().is_empty() {
                        return Ok(());
                    }
                    // Somebody may have changed the publication.
                    covering.get_or_insert_with(|| self.cover());
                    check = Instant::now() + UNUSED;
                }
            }
        }
    }

    fn cover(&self) -> Covering {
        let (pg, manage) = (self.pg.clone(), self.manage);
        let (wanted, before) = (self.router.wanted(), self.router.covered());
        Box::pin(async move { publication::cover(&pg, manage, wanted, before).await })
    }
}

/// Waits for what is under way, if anything is.
async fn running(task: &mut Option<Covering>) -> Result<Coverage, PgError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Waits for a moment, if there is one to wait for.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The transactions of one stream.
struct Reader<'a> {
    source: &'a Source,
    rows: Rows,
    open: Option<Open>,
    /// Tables that nothing is known of until the next look.
    unknown: HashSet<Oid>,
    /// How often objects have changed.
    objects: u64,
}

/// The transaction that is being told.
struct Open {
    id: u32,
    changes: Changes,
    /// Rows that were looked at, by table.
    rows: HashMap<Oid, u32>,
    /// Tables that need no further look.
    whole: HashSet<Oid>,
}

impl Open {
    fn new(id: u32) -> Self {
        let changes = Changes::default();
        Open { id, changes, rows: HashMap::new(), whole: HashSet::new() }
    }
}

impl Reader<'_> {
    /// The log describes a table again when it was changed, but not one of which
    /// it has told nothing.
    fn look_at_objects(&mut self) {
        let objects = self.source.router.objects();
        if std::mem::replace(&mut self.objects, objects) != objects {
            self.rows.forget_undescribed();
        }
    }

    /// True when a transaction is complete.
    fn take(&mut self, message: bytes::Bytes, sent: i64) -> Result<bool, SourceError> {
        if let (Some(relation), Some(open)) = (pgoutput::relation_of(&message), &self.open)
            && open.whole.contains(&relation)
        {
            return Ok(false);
        }
        match pgoutput::decode(message)? {
            Message::Begin { id } => {
                self.look_at_objects();
                self.open = Some(Open::new(id));
            }
            Message::Relation(relation) => self.rows.describe(relation),
            Message::Row(change) => {
                let open = self.open.as_mut().ok_or(Malformed)?;
                let routed = self.source.router.routed(change.relation).unwrap_or_default();
                let rows = open.rows.entry(change.relation).or_default();
                *rows += 1;
                if routed.is_empty() || *rows > ROWS {
                    // What follows of this table is not looked at.
                    open.changes.tables.entry(change.relation).or_default().whole = true;
                    open.whole.insert(change.relation);
                    self.rows.forget(change.relation);
                } else if !self.rows.add(open.id, &change, &routed, &mut open.changes) {
                    open.whole.insert(change.relation);
                }
            }
            Message::Truncate(relations) => {
                let open = self.open.as_mut().ok_or(Malformed)?;
                for relation in relations {
                    open.changes.tables.entry(relation).or_default().whole = true;
                    open.whole.insert(relation);
                    self.rows.forget(relation);
                }
            }
            Message::Commit { at } => {
                let Some(open) = self.open.take() else { return Err(Malformed.into()) };
                let counts = &self.source.counts;
                counts.commits.fetch_add(1, Ordering::Relaxed);
                let delay = u64::try_from(sent.saturating_sub(at)).unwrap_or(0);
                counts.delay.store(delay, Ordering::Relaxed);
                let unknown = self.source.router.commit(open.id, &open.changes);
                if !unknown.is_empty() {
                    // A new partition, or a table of another server's.
                    self.unknown.extend(unknown);
                    self.source.router.wanted.notify_one();
                }
                return Ok(true);
            }
            Message::Other => {}
        }
        Ok(false)
    }
}
