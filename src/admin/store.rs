//! Where metadata is kept: `hdb_catalog.hdb_metadata`, one row, a version that
//! grows with each change.

use crate::base::{ApiError, Code};
use crate::metadata::{Metadata, ParseError};
use crate::pg::{PgError, SystemTx};

use super::project::CHANNEL;

/// Serialises changes of all servers of a database.
const LOCK: &str = "select pg_catalog.pg_advisory_xact_lock(8244243284873143908)::text";

const VERSION: &str = "select resource_version::text from hdb_catalog.hdb_metadata where id = 1";

const LOAD: &str = "select metadata::text, resource_version::text
     from hdb_catalog.hdb_metadata where id = 1";

const SAVE: &str = "insert into hdb_catalog.hdb_metadata as m (id, metadata, resource_version)
     values (1, $1::text::json, 1)
     on conflict (id) do update
       set metadata = excluded.metadata, resource_version = m.resource_version + 1
     returning resource_version::text";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Database(#[from] PgError),
    #[error("the metadata in hdb_catalog.hdb_metadata is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the metadata in hdb_catalog.hdb_metadata cannot be read: {0}")]
    Shape(#[from] ParseError),
    #[error("the row of hdb_catalog.hdb_metadata is not as expected")]
    Row,
    #[error("the metadata could not be written: {0}")]
    Work(#[from] tokio::task::JoinError),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            other => ApiError::new(Code::InvalidConfiguration, other.to_string()),
        }
    }
}

/// Metadata as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub metadata: Metadata,
    pub version: i64,
}

/// Whether there is a place for metadata, which this login may read.
pub(super) async fn is_readable(tx: &SystemTx) -> Result<bool, PgError> {
    // `to_regclass` fails where the schema may not be used.
    const READABLE: &str = "select (pg_catalog.has_schema_privilege(n.oid, 'usage')
           and pg_catalog.has_table_privilege(c.oid, 'select'))::text
         from pg_catalog.pg_class c
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'hdb_catalog' and c.relname = 'hdb_metadata'";
    tx.query_text(READABLE, &[]).await.map(|found| found.as_deref() == Some("true"))
}

/// Keeps other changes out until the transaction ends.
pub(super) async fn lock(tx: &SystemTx) -> Result<(), PgError> {
    tx.query_text(LOCK, &[]).await.map(drop)
}

/// The version that is stored; `None` when nothing is.
pub(super) async fn version(tx: &SystemTx) -> Result<Option<i64>, StoreError> {
    match tx.query_text(VERSION, &[]).await? {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| StoreError::Row),
    }
}

/// What is stored; `None` when nothing is.
pub(super) async fn load(tx: &SystemTx) -> Result<Option<Stored>, StoreError> {
    let rows = tx.query_rows(LOAD, &[]).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let [Some(document), Some(version)] = row.as_slice() else { return Err(StoreError::Row) };
    let version = version.parse().map_err(|_| StoreError::Row)?;
    Ok(Some(Stored { metadata: Metadata::from_text(document)?, version }))
}

/// Stores metadata and tells the other servers, all when the transaction
/// commits. Answers the new version.
pub(super) async fn save(tx: &SystemTx, metadata: Metadata) -> Result<i64, StoreError> {
    // Some megabytes, where there are many tables.
    let document = tokio::task::spawn_blocking(move || serde_json::to_string(&metadata)).await??;
    let version = tx.query_text(SAVE, &[&document]).await?.ok_or(StoreError::Row)?;
    tx.query_text("select pg_catalog.pg_notify($1, $2)::text", &[CHANNEL, &version]).await?;
    version.parse().map_err(|_| StoreError::Row)
}
