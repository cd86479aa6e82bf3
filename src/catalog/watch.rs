//! Keeps the catalogue fresh while requests use it.
//!
//! ```text
//! NOTIFY ringfence_catalog ─┐
//! once a second: snapshot? ─┼─▶ version.sql ─▶ changed? ─▶ load ─▶ swap ─▶ subscribers
//! an authorisation error  ──┘        └── roles, every 10 s at least
//! ```
//!
//! Readers take the current [`Catalog`] and keep it for the request; a new one
//! is built beside it and swapped in. What fails leaves the old one in place
//! and is tried again.
//!
//! Rows depend on roles twice: here, and in the plans that Postgres keeps. Those
//! are forgotten as soon as roles may have changed, even when the catalogue
//! itself cannot be read because another session holds a table locked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::load::{CatalogError, load};
use super::model::Catalog;
use crate::config::SchemaConfig;
use crate::pg::{Pg, SystemTx};

/// The channel on which the event trigger tells of changes.
pub const CHANNEL: &str = "ringfence_catalog";

const VERSION: &str = include_str!("version.sql");

/// Between checks where nothing tells of changes.
const CHECK: Duration = Duration::from_secs(1);
/// Between checks where the event trigger does: it does not see roles.
const CHECK_TRIGGERED: Duration = Duration::from_secs(10);
/// Time for a burst of changes to end.
const SETTLE: Duration = Duration::from_millis(50);
/// Between two checks that suspicions about roles ask for.
const SUSPICION: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// SQLSTATE of a lock that was not to be had in time.
const LOCKED: &str = "55P03";
/// How long one transaction of ours may take; a connection whose other end went
/// away without a word must not stop the watching.
const LIMIT: Duration = Duration::from_secs(40);
/// Reading the catalogue gives way to a lock within seconds, and a server that
/// starts has nothing else to do than to try again.
const FIRST_ATTEMPTS: u32 = 30;
/// A change of roles that was taken back before anyone looked, and that the
/// statistics did not tell of, lives on in plans for no longer than this.
const PLANS_AGE: Duration = Duration::from_secs(60);

/// A cheap handle; the watching ends with the last one.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<Catalog>,
    generation: watch::Sender<u64>,
    /// Grows when objects changed in a way that the catalogue does not show.
    unseen: watch::Sender<u64>,
    /// The highest generation that was given out.
    last: AtomicU64,
    /// Something changed for sure, or may have.
    wake: Notify,
    suspect: Notify,
    /// Notifications arrive.
    listening: AtomicBool,
    failures: AtomicU64,
}

impl Shared {
    fn next_generation(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn swap(&self, catalog: Arc<Catalog>) {
        self.current.store(catalog.clone());
        self.tell(&catalog);
    }

    /// Takes the place of `old`, and only of that one.
    fn swap_for(&self, old: &Arc<Catalog>, catalog: Arc<Catalog>) -> bool {
        let found = self.current.compare_and_swap(old, catalog.clone());
        let swapped = Arc::ptr_eq(&found, old);
        if swapped {
            self.tell(&catalog);
        }
        swapped
    }

    fn tell(&self, catalog: &Catalog) {
        let generation = catalog.generation;
        tracing::debug!(generation, tables = catalog.tables.len(), "the catalogue is swapped");
        self.generation.send_replace(generation);
    }
}

/// What `version.sql` answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
struct Version {
    snapshot: String,
    catalog: Option<String>,
    roles: Option<String>,
    /// How many rows of roles and memberships were ever written: tells of a
    /// change that was taken back, too.
    role_writes: String,
    trigger: bool,
}

impl Version {
    /// Roles that were changed and changed back between the version and the
    /// reading of the catalogue have their old text; the writes tell.
    fn same_objects(&self, other: &Version) -> bool {
        self.catalog == other.catalog
            && self.roles == other.roles
            && self.role_writes == other.role_writes
    }

    /// As [`snapshot`] tells it.
    fn is_at(&self, snapshot: &str) -> bool {
        snapshot
            .strip_prefix(&self.snapshot)
            .and_then(|rest| rest.strip_prefix(' '))
            .is_some_and(|writes| writes == self.role_writes)
    }
}

impl Watch {
    /// Loads the catalogue and starts to watch it. Must be called in a runtime.
    pub async fn start(pg: Pg, config: SchemaConfig) -> Result<Watch, CatalogError> {
        let (version, mut catalog) = fetch_first(&pg, &config).await?;
        catalog.generation = 1;
        let shared = Arc::new(Shared {
            current: ArcSwap::from_pointee(catalog),
            generation: watch::Sender::new(1),
            unseen: watch::Sender::new(0),
            last: AtomicU64::new(1),
            wake: Notify::new(),
            suspect: Notify::new(),
            listening: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        });
        let plans = Plans::of(&version);
        let watcher = Watcher { pg, config, shared: shared.clone(), seen: version, plans };
        let task = tokio::spawn(watcher.run()).abort_handle();
        Ok(Watch(Arc::new(Handle { shared, task })))
    }

    pub fn current(&self) -> Arc<Catalog> {
        self.0.shared.current.load_full()
    }

    /// A number for a catalogue that someone else reads and may give to
    /// [`Self::adopt`].
    pub fn next_generation(&self) -> u64 {
        self.0.shared.next_generation()
    }

    /// Serves a catalogue that someone else has read, newer than the current
    /// one.
    pub fn adopt(&self, catalog: Arc<Catalog>) {
        self.0.shared.swap(catalog);
    }

    /// Yields the generation whenever a new catalogue has been swapped in.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.shared.generation.subscribe()
    }

    /// Yields whenever objects changed and the catalogue is what it was. Rows
    /// may be others nevertheless: `ALTER TABLE … ALTER … TYPE … USING`
    /// rewrites them.
    pub fn subscribe_unseen(&self) -> watch::Receiver<u64> {
        self.0.shared.unseen.subscribe()
    }

    /// Refreshes that failed since the start.
    pub fn failures(&self) -> u64 {
        self.0.shared.failures.load(Ordering::Relaxed)
    }

    /// A notification on [`CHANNEL`] has arrived.
    pub fn notified(&self) {
        self.0.shared.wake.notify_one();
    }

    /// Whether notifications on [`CHANNEL`] arrive now. After a gap something
    /// may have been missed, so a change here checks at once.
    pub fn set_listening(&self, listening: bool) {
        if self.0.shared.listening.swap(listening, Ordering::Relaxed) != listening {
            self.0.shared.wake.notify_one();
        }
    }

    /// The database refused a role: its rights or memberships may have
    /// changed, which no event trigger tells.
    pub fn suspect_roles(&self) {
        self.0.shared.suspect.notify_one();
    }
}

struct Watcher {
    pg: Pg,
    config: SchemaConfig,
    shared: Arc<Shared>,
    seen: Version,
    plans: Plans,
}

/// The roles that the oldest plans may be made for.
struct Plans {
    roles: Option<String>,
    role_writes: String,
    since: Instant,
    /// Something was committed since.
    doubtful: bool,
}

impl Plans {
    fn of(version: &Version) -> Self {
        Plans {
            roles: version.roles.clone(),
            role_writes: version.role_writes.clone(),
            since: Instant::now(),
            doubtful: false,
        }
    }

    fn fits(&self, version: &Version) -> bool {
        self.roles == version.roles && self.role_writes == version.role_writes
    }
}

impl Watcher {
    async fn run(mut self) {
        let mut failures = 0u32;
        let mut checked = Instant::now();
        loop {
            let pause = match failures {
                0 if self.seen.trigger && self.shared.listening.load(Ordering::Relaxed) => {
                    CHECK_TRIGGERED
                }
                0 => CHECK,
                more => RETRY_MAX.min(CHECK * 2u32.saturating_pow(more.min(8) - 1)),
            };
            tokio::select! {
                () = tokio::time::sleep_until(checked + pause) => {}
                () = self.shared.wake.notified() => tokio::time::sleep(SETTLE).await,
                () = self.shared.suspect.notified() => {
                    tokio::time::sleep_until(checked + SUSPICION).await;
                }
            }
            checked = Instant::now();
            match self.check().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.shared.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, failures, "the catalogue could not be refreshed; the one in use stays");
                }
            }
        }
    }

    /// The version, when anything was committed since the last one.
    async fn changed_version(&self) -> Result<Option<Version>, CatalogError> {
        let tx = self.pg.begin_system("check the catalogue's version").await?;
        let version =
            if self.seen.is_at(&snapshot(&tx).await?) { None } else { Some(version(&tx).await?) };
        tx.commit().await?;
        Ok(version)
    }

    fn forget_plans(&mut self, changed: Option<&Version>) {
        self.plans.doubtful |= changed.is_some();
        let other_roles = changed.is_some_and(|version| !self.plans.fits(version));
        let old = self.plans.doubtful && self.plans.since.elapsed() >= PLANS_AGE;
        if other_roles || old {
            tracing::debug!(other_roles, "plans are made again");
            self.pg.forget_plans();
            self.plans = Plans::of(changed.unwrap_or(&self.seen));
        }
    }

    async fn check(&mut self) -> Result<(), CatalogError> {
        let version = limited(self.changed_version()).await?;
        self.forget_plans(version.as_ref());
        let Some(version) = version else { return Ok(()) };
        if version.same_objects(&self.seen) {
            self.seen = version;
            return Ok(());
        }
        loop {
            let current = self.shared.current.load_full();
            let (version, mut catalog) = fetch(&self.pg, &self.config).await?;
            self.seen = version;
            if catalog.fingerprint == current.fingerprint {
                self.shared.unseen.send_modify(|count| *count += 1);
                return Ok(());
            }
            catalog.generation = self.shared.next_generation();
            // One that was adopted while this one was read may be newer.
            if self.shared.swap_for(&current, Arc::new(catalog)) {
                return Ok(());
            }
        }
    }
}

async fn limited<T>(
    work: impl Future<Output = Result<T, CatalogError>>,
) -> Result<T, CatalogError> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(result) => result,
        Err(_) => Err(CatalogError::Slow(LIMIT)),
    }
}

async fn fetch_first(pg: &Pg, config: &SchemaConfig) -> Result<(Version, Catalog), CatalogError> {
    let mut attempt = 1;
    loop {
        match fetch(pg, config).await {
            Err(CatalogError::Database(error))
                if error.sqlstate() == Some(LOCKED) && attempt < FIRST_ATTEMPTS =>
            {
                tracing::warn!(attempt, "the catalogue cannot be read: a table is locked");
                attempt += 1;
            }
            result => return result,
        }
    }
}

async fn fetch(pg: &Pg, config: &SchemaConfig) -> Result<(Version, Catalog), CatalogError> {
    limited(read(pg, config)).await
}

/// The version is read first: what changes in between is found again.
async fn read(pg: &Pg, config: &SchemaConfig) -> Result<(Version, Catalog), CatalogError> {
    let tx = pg.begin_system("read the catalogue").await?;
    let version = version(&tx).await?;
    let catalog = load(&tx, config).await?;
    tx.commit().await?;
    Ok((version, catalog))
}

/// While this is the same nothing was committed in the whole cluster. The
/// snapshot of a standby does not name the transactions that are running, so
/// there the place in the log is part of it. The statistics may tell of a
/// change of roles later than its commit.
async fn snapshot(tx: &SystemTx) -> Result<String, CatalogError> {
    let sql = "select pg_catalog.pg_current_snapshot()::text
               || coalesce(pg_catalog.pg_last_wal_replay_lsn()::text, '') || ' '
               || (select pg_catalog.string_agg((pg_catalog.pg_stat_get_tuples_inserted(t)
                     + pg_catalog.pg_stat_get_tuples_updated(t)
                     + pg_catalog.pg_stat_get_tuples_deleted(t))::text, ' ')
                   from pg_catalog.unnest(array['pg_catalog.pg_authid', 'pg_catalog.pg_auth_members']::regclass[]) t)";
    tx.query_text(sql, &[]).await?.ok_or(CatalogError::Empty)
}

async fn version(tx: &SystemTx) -> Result<Version, CatalogError> {
    tx.query_text(super::load::PREPARE, &[]).await?;
    let document = tx.query_text(VERSION, &[]).await?.ok_or(CatalogError::Empty)?;
    Ok(serde_json::from_str(&document)?)
}
