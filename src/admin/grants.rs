//! Rights of the engine's own roles on what metadata tracks: `ringfence_api`,
//! under which roles without a database role of their own run, and
//! `ringfence_admin`.

use std::collections::BTreeSet;

use crate::catalog::model::Oid;
use crate::pg::{PgError, SystemTx};
use crate::schema::tracked::{SourceId, Tracked};

const MISSING: &str = include_str!("grants.sql");

/// Grants what is missing in a source, but for what was there `before`. An
/// object that the owner's login does not own is left as it is: its owner has to
/// grant it.
pub(super) async fn complete(
    tx: &SystemTx,
    tracked: &Tracked,
    source: SourceId,
    before: Option<&Tracked>,
) -> Result<(), PgError> {
    let mut tables = tables(tracked, source);
    let mut functions = functions(tracked, source);
    let name = tracked.source(source).map(|source| &source.name);
    if let Some((before, id)) =
        before.zip(name).and_then(|(before, name)| Some((before, before.source_named(name)?)))
    {
        for known in self::tables(before, id) {
            tables.remove(&known);
        }
        for known in self::functions(before, id) {
            functions.remove(&known);
        }
        if tables.is_empty() && functions.is_empty() {
            return Ok(());
        }
    }
    let list = |oids: BTreeSet<Oid>| {
        let oids: Vec<String> = oids.iter().map(Oid::to_string).collect();
        serde_json::Value::from(oids).to_string()
    };
    tx.batch("savepoint grants").await?;
    tx.query_text("select pg_catalog.set_config('search_path', 'pg_catalog', true)", &[]).await?;
    let missing = tx.query_text(MISSING, &[&list(tables), &list(functions)]).await?;
    tx.batch("rollback to savepoint grants").await?;
    let missing: Vec<String> = match missing.as_deref().map(serde_json::from_str) {
        Some(Ok(missing)) => missing,
        Some(Err(error)) => return Err(PgError::Protocol(error.to_string())),
        None => Vec::new(),
    };
    for statement in missing {
        tx.batch("savepoint grants").await?;
        match tx.batch(&statement).await {
            Ok(()) => tx.batch("release savepoint grants").await?,
            Err(PgError::Database(fault)) => {
                tx.batch("rollback to savepoint grants").await?;
                tracing::warn!(
                    statement,
                    error = %fault.message,
                    "a right on a tracked object could not be granted; roles that run as ringfence_api miss it"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn tables(tracked: &Tracked, source: SourceId) -> BTreeSet<Oid> {
    let own = tracked.tables.iter().filter(|table| table.source == source);
    own.filter_map(|table| tracked.db_table(table.id)).map(|table| table.oid).collect()
}

fn functions(tracked: &Tracked, source: SourceId) -> BTreeSet<Oid> {
    let own = tracked.tables.iter().filter(|table| table.source == source);
    let functions = tracked.functions.iter().filter(|function| function.source == source);
    functions
        .map(|function| &function.call)
        .chain(own.flat_map(|table| table.computed.iter().map(|field| &field.call)))
        .map(|call| call.oid)
        .collect()
}
