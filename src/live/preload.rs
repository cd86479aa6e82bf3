//! Reads what the rows of small tables are before the log tells of a change.
//!
//! ```text
//! Source ─ a table is covered, or a row was not known ─▶ Preload ─ one at a time ─▶ Postgres
//!    ▲                                                      │
//!    └────────── Loaded: keys, and values that are routed ◀─┘
//! ```
//!
//! The log does not tell what an updated row was, so whom it may have concerned
//! is not known until it was seen once. Of a table that is small all rows are
//! looked at; `rows` says when what was read may be believed. Like all that the
//! log tells, it decides whether a statement runs and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::keys::KeyKind;
use super::pgoutput::Cell as Sent;
use super::publication::LOCK;
use super::routes::{Cell, Column};
use super::snapshot::Snapshot;
use crate::catalog::model::Oid;
use crate::pg::{Pg, PgError};

/// Rows of a table that is small.
const ROWS: usize = 20_000;
const BYTES: usize = 32 * 1024 * 1024;
/// The time between two readings of a table: this, or so many times what the
/// last one took.
const PAUSE: Duration = Duration::from_secs(1);
const REST: u32 = 50;
/// And between two readings of any tables.
const BREATH: u32 = 5;
/// A table that is not read is asked about again after so long.
const UNFIT: Duration = Duration::from_secs(60);

const BEGIN: &str = "set transaction isolation level repeatable read, read only";
const LIMIT: &str = "set local statement_timeout = '5s'";
const STATEMENT: &str = include_str!("preload.sql");

/// The rows of a table as one snapshot shows them.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    /// The columns of the key, and those of the values.
    pub(super) key: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<(Vec<Sent>, Vec<Cell>)>,
}

/// Beside the task that follows the log.
type Reading = AbortOnDropHandle<Result<Option<Loaded>, PgError>>;

/// Tables to be read, and the one that is being read.
pub(super) struct Preload {
    pg: Pg,
    asked: BTreeSet<Oid>,
    not_before: HashMap<Oid, Instant>,
    running: Option<(Oid, Instant, Reading)>,
    /// Nothing is read before.
    rests: Instant,
}

impl Preload {
    pub(super) fn new(pg: Pg) -> Self {
        Preload {
            pg,
            asked: BTreeSet::new(),
            not_before: HashMap::new(),
            running: None,
            rests: Instant::now(),
        }
    }

    pub(super) fn ask(&mut self, table: Oid) {
        self.asked.insert(table);
    }

    /// The next table whose turn it is, unless one is being read.
    pub(super) fn next(&mut self) -> Option<Oid> {
        if self.running.is_some() {
            return None;
        }
        let (at, table) = self.first()?;
        if at > Instant::now() {
            return None;
        }
        self.asked.remove(&table);
        Some(table)
    }

    /// When there may be a next one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.first().map(|(at, _)| at).filter(|_| self.running.is_none())
    }

    /// The table whose turn it is, and when. Who has waited longest is first.
    fn first(&self) -> Option<(Instant, Oid)> {
        let turn = |table: &Oid| (self.not_before.get(table).copied(), *table);
        let (at, table) = self.asked.iter().map(turn).min()?;
        Some((at.unwrap_or(self.rests).max(self.rests), table))
    }

    /// A table is not read for now.
    pub(super) fn put_off(&mut self, table: Oid) {
        self.not_before.insert(table, Instant::now() + UNFIT);
    }

    /// Reads these columns of a table.
    pub(super) fn start(&mut self, table: Oid, columns: Vec<Column>) {
        let reading = load(self.pg.clone(), table, columns);
        let reading = AbortOnDropHandle::new(tokio::spawn(reading));
        self.running = Some((table, Instant::now(), reading));
    }

    /// Waits for the table that is being read; `None` when it is not small, or
    /// there is nothing to read.
    pub(super) async fn read(&mut self) -> (Oid, Option<Loaded>) {
        let Some((table, begun, reading)) = &mut self.running else {
            return std::future::pending().await;
        };
        let table = *table;
        let loaded = reading.await.unwrap_or_else(|error| {
            tracing::error!(%error, table, "reading the rows of a small table broke off");
            Ok(None)
        });
        let pause = match &loaded {
            Ok(Some(_)) => (begun.elapsed() * REST).max(PAUSE),
            Ok(None) => UNFIT,
            Err(error) => {
                tracing::debug!(%error, table, "the rows of a small table were not read");
                UNFIT
            }
        };
        self.rests = Instant::now() + begun.elapsed() * BREATH;
        self.running = None;
        self.not_before.insert(table, Instant::now() + pause);
        (table, loaded.ok().flatten())
    }
}

async fn load(pg: Pg, table: Oid, columns: Vec<Column>) -> Result<Option<Loaded>, PgError> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    let names = serde_json::json!(names).to_string();
    let tx = pg.begin_system("read the keys of a small table").await?;
    for setting in [BEGIN, LOCK, LIMIT] {
        tx.batch(setting).await?;
    }
    let limit = (ROWS + 1).to_string();
    let params = [&*table.to_string(), &*names, &*limit, &*BYTES.to_string()];
    let told = tx.query_rows(STATEMENT, &params).await?.into_iter().next();
    let Some(plan) = told.and_then(Plan::of) else {
        tx.commit().await?;
        return Ok(None);
    };
    let snapshot = tx.query_text("select pg_catalog.pg_current_snapshot()::text", &[]).await?;
    let rows = tx.query_rows(&plan.statement, &[]).await?;
    tx.commit().await?;
    let snapshot = snapshot.as_deref().and_then(Snapshot::parse);
    Ok(snapshot
        .filter(|_| rows.len() <= ROWS)
        .map(|snapshot| plan.loaded(snapshot, rows, &columns)))
}

/// How a table is read.
struct Plan {
    statement: String,
    names: Vec<String>,
    keys: usize,
}

impl Plan {
    fn of(row: Vec<Option<String>>) -> Option<Self> {
        let [statement, names, keys] = <[_; 3]>::try_from(row).ok()?;
        let names = serde_json::from_str(&names?).ok()?;
        Some(Plan { statement: statement?, names, keys: keys?.parse().ok()? })
    }

    fn loaded(
        mut self,
        snapshot: Snapshot,
        rows: Vec<Vec<Option<String>>>,
        columns: &[Column],
    ) -> Loaded {
        let values = self.names.split_off(self.keys.min(self.names.len()));
        let kind_of = |name: &String| {
            let column = columns.iter().find(|(known, _)| **known == **name);
            column.cloned().unwrap_or_else(|| (name.as_str().into(), KeyKind::Text))
        };
        let columns: Vec<Column> = values.iter().map(kind_of).collect();
        let rows = rows.into_iter().map(|mut row| {
            let values = row.split_off(self.keys.min(row.len()));
            let cells = values.into_iter().zip(&columns).map(|(text, (_, kind))| match text {
                None => Cell::Null,
                Some(text) => kind.value(&text).map_or(Cell::Unknown, Cell::Value),
            });
            let cells = cells.collect();
            let key = row
                .into_iter()
                .map(|text| text.map_or(Sent::Null, |text| Sent::Text(Bytes::from(text))));
            (key.collect(), cells)
        });
        Loaded { snapshot, key: self.names, rows: rows.collect(), columns }
    }
}
