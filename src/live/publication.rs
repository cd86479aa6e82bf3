//! What the log tells of: the publication, and which tables are covered by it.
//!
//! A table may be published only when its rows have a replica identity;
//! otherwise every UPDATE and DELETE on it would fail, whoever runs it. A table
//! that loses its own is taken out at once.
//!
//! A transaction that wrote to a table before the table was published is not
//! told of. So a table counts as covered when all transactions have ended that
//! ran when it was published.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Deserialize;

use crate::catalog::model::Oid;
use crate::config::LiveManage;
use crate::pg::{Pg, PgError, SystemTx};

/// The publication; its name needs no quoting.
pub(super) const NAME: &str = "ringfence_live";

const LOCK: &str = "set local lock_timeout = '2s'";
/// Between two looks at the transactions that run.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// Which of the wanted tables are covered.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// With the tables that have their rows.
    pub(super) covered: HashMap<Oid, Vec<Oid>>,
    pub(super) refused: HashSet<Oid>,
}

#[derive(Debug, Deserialize)]
struct Tree {
    oid: Oid,
    /// Quoted, with its schema.
    name: String,
    leaves: Vec<Oid>,
    /// Its rows are in the log and have a replica identity, all of them.
    usable: bool,
    /// Its owner is the owner's login, or one that it may act for.
    owned: bool,
    /// Every part of it is published.
    published: bool,
}

/// The tables, each with its partitions and heirs.
const TREES: &str = include_str!("trees.sql");
/// Tables of the publication without a replica identity, as statements that
/// take them out.
const UNFIT: &str = include_str!("unfit.sql");

const EXISTS: &str = "select (exists (select from pg_catalog.pg_publication where pubname = 'ringfence_live'))::text";

/// Makes the publication where it is missing; false when there is none.
pub(super) async fn prepare(pg: &Pg, manage: LiveManage) -> Result<bool, PgError> {
    let tx = pg.begin_system("look for the publication of live queries").await?;
    let exists = tx.query_text(EXISTS, &[]).await?.as_deref() == Some("true");
    if exists || manage == LiveManage::Off {
        tx.commit().await?;
        return Ok(exists);
    }
    tx.batch(LOCK).await?;
    match tx.batch("create publication ringfence_live").await {
        Ok(()) => tx.commit().await.map(|()| true),
        // Another server was faster.
        Err(error) if error.sqlstate() == Some("42710") => Ok(true),
        Err(error) => Err(error),
    }
}

/// Publishes what is wanted, as far as that is possible and allowed, and waits
/// until it is covered. `before` are tables that were covered already.
pub(super) async fn cover(
    pg: &Pg,
    manage: LiveManage,
    wanted: HashSet<Oid>,
    before: HashSet<Oid>,
) -> Result<Coverage, PgError> {
    if manage != LiveManage::Off {
        drop_unfit(pg).await?;
    }
    let wanted = serde_json::Value::from(wanted.into_iter().collect::<Vec<_>>()).to_string();
    let mut trees = trees(pg, &wanted).await?;
    if manage != LiveManage::Off {
        let mut added = false;
        for tree in trees.iter().filter(|tree| tree.usable && tree.owned && !tree.published) {
            match add(pg, &tree.name).await {
                Ok(()) => added = true,
                Err(error) => {
                    tracing::warn!(table = tree.name, %error, "a table could not be published for live queries; it is polled");
                }
            }
        }
        if added {
            trees = self::trees(pg, &wanted).await?;
        }
    }
    let mut coverage = Coverage::default();
    for tree in trees {
        if tree.usable && tree.published {
            coverage.covered.insert(tree.oid, tree.leaves);
        } else {
            coverage.refused.insert(tree.oid);
        }
    }
    if coverage.covered.keys().any(|table| !before.contains(table)) {
        barrier(pg).await?;
    }
    Ok(coverage)
}

async fn trees(pg: &Pg, wanted: &str) -> Result<Vec<Tree>, PgError> {
    let tx = pg.begin_system("look at the tables of live queries").await?;
    let found = tx.query_text(TREES, &[wanted, NAME]).await?;
    tx.commit().await?;
    let found = found.unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&found).map_err(|error| PgError::Protocol(error.to_string()))
}

async fn add(pg: &Pg, table: &str) -> Result<(), PgError> {
    let tx = pg.begin_system("publish a table for live queries").await?;
    tx.batch(LOCK).await?;
    let command = ["alter publication ringfence_live add table ", table].concat();
    match tx.batch(&command).await {
        Ok(()) => tx.commit().await,
        // Another server was faster.
        Err(error) if error.sqlstate() == Some("42710") => Ok(()),
        Err(error) => Err(error),
    }
}

async fn drop_unfit(pg: &Pg) -> Result<(), PgError> {
    let tx = pg.begin_system("look for tables without replica identity").await?;
    let unfit = unfit(&tx).await?;
    tx.commit().await?;
    for command in unfit {
        let tx = pg.begin_system("take a table out of the publication").await?;
        tx.batch(LOCK).await?;
        match tx.batch(&command).await {
            Ok(()) => {
                tx.commit().await?;
                tracing::info!(command, "a table without replica identity is not published");
            }
            Err(error) => tracing::error!(
                command,
                %error,
                "UPDATE and DELETE fail on a table that is published without replica identity; run this statement"
            ),
        }
    }
    Ok(())
}

async fn unfit(tx: &SystemTx) -> Result<Vec<String>, PgError> {
    let rows = tx.query_rows(UNFIT, &[NAME]).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Waits until every transaction has ended that runs now.
async fn barrier(pg: &Pg) -> Result<(), PgError> {
    let now =
        ask(pg, "select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text", &[]);
    let now = now.await?;
    let ended = "select (pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= $1::text::xid8)::text";
    let mut pause = FIRST_LOOK;
    while ask(pg, ended, &[&now]).await? != "true" {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
    Ok(())
}

async fn ask(pg: &Pg, sql: &str, params: &[&str]) -> Result<String, PgError> {
    let tx = pg.begin_system("wait for transactions that run").await?;
    let answer = tx.query_text(sql, params).await?;
    tx.commit().await?;
    answer.ok_or_else(|| PgError::Protocol("nothing was answered".to_owned()))
}
