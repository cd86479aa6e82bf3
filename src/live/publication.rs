//! What the log tells of: the publication, and which tables are covered by it.
//!
//! A table may be published only when its rows have a replica identity;
//! otherwise every UPDATE and DELETE on it would fail, whoever runs it. A table
//! that loses its own is taken out at once.
//!
//! Of a table whose rows have none the new rows can be published: what was
//! appended is told at once, and the rest is found by a poll.
//!
//! A transaction that wrote to a table before the table was published is not
//! told of. So a table counts as covered when all transactions have ended that
//! ran when it was published.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::catalog::changes::{self, INSERTS, Obstacle, PUBLICATION, Tree};
use crate::catalog::model::Oid;
use crate::config::LiveManage;
use crate::pg::{Pg, PgError, SystemTx};

pub(super) const LOCK: &str = "set local lock_timeout = '2s'";
/// Between two looks at the transactions that run.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// Which of the wanted tables are covered.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// With the tables that have their rows.
    pub(super) covered: HashMap<Oid, Vec<Oid>>,
    /// Of those that are covered: another one when changes may not have been told
    /// for a while.
    pub(super) versions: HashMap<Oid, String>,
    /// The same of those of which new rows alone are told; refused, too.
    pub(super) partly: HashMap<Oid, Vec<Oid>>,
    pub(super) refused: HashSet<Oid>,
}

/// Tables of the publication without a replica identity, as statements that
/// take them out.
const UNFIT: &str = include_str!("unfit.sql");

const EXISTING: &str = "select pubname::text from pg_catalog.pg_publication \
    where pubname in ('ringfence_live', 'ringfence_live_inserts') order by 1";
/// By name.
const MAKE: [(&str, &str); 2] = [
    (PUBLICATION, "create publication ringfence_live"),
    (INSERTS, "create publication ringfence_live_inserts with (publish = 'insert, truncate')"),
];

/// Makes the publications where they are missing. The names of those that
/// exist, as the protocol takes them; `None` without the first.
pub(super) async fn prepare(pg: &Pg, manage: LiveManage) -> Result<Option<String>, PgError> {
    let mut names = existing(pg).await?;
    if manage != LiveManage::Off && names.len() < MAKE.len() {
        for (name, command) in MAKE {
            if !names.iter().any(|known| known == name) {
                run(pg, "make a publication for live queries", command).await?;
            }
        }
        names = existing(pg).await?;
    }
    Ok(names.iter().any(|name| name == PUBLICATION).then(|| names.join(",")))
}

async fn existing(pg: &Pg) -> Result<Vec<String>, PgError> {
    let tx = pg.begin_system("look for the publications of live queries").await?;
    let rows = tx.query_rows(EXISTING, &[]).await?;
    tx.commit().await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Publishes what is wanted, as far as that is possible and allowed, and waits
/// until it is covered. `before` are the versions of tables that were covered
/// already.
pub(super) async fn cover(
    pg: &Pg,
    manage: LiveManage,
    wanted: HashSet<Oid>,
    before: HashMap<Oid, String>,
) -> Result<Coverage, PgError> {
    if manage != LiveManage::Off {
        drop_unfit(pg).await?;
    }
    let wanted: Vec<Oid> = wanted.into_iter().collect();
    let mut trees = trees(pg, &wanted).await?;
    if manage != LiveManage::Off {
        let mut added = false;
        for tree in trees.iter().filter(|tree| tree.owned) {
            let publication = match tree.obstacle {
                None if !tree.published => PUBLICATION,
                Some(Obstacle::Identity) if !tree.inserts => INSERTS,
                _ => continue,
            };
            match add(pg, publication, &tree.name).await {
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
        if tree.obstacle.is_none() && tree.published {
            coverage.covered.insert(tree.oid, tree.leaves);
            coverage.versions.insert(tree.oid, tree.version);
            continue;
        }
        coverage.refused.insert(tree.oid);
        if tree.inserts && matches!(tree.obstacle, None | Some(Obstacle::Identity)) {
            coverage.partly.insert(tree.oid, tree.leaves);
        }
    }
    if coverage.versions.iter().any(|(table, version)| before.get(table) != Some(version)) {
        barrier(pg).await?;
    }
    Ok(coverage)
}

async fn trees(pg: &Pg, wanted: &[Oid]) -> Result<Vec<Tree>, PgError> {
    let tx = pg.begin_system("look at the tables of live queries").await?;
    let trees = changes::trees(&tx, wanted).await?;
    tx.commit().await?;
    Ok(trees)
}

async fn add(pg: &Pg, publication: &str, table: &str) -> Result<(), PgError> {
    let command = ["alter publication ", publication, " add table ", table].concat();
    run(pg, "publish a table for live queries", &command).await
}

/// Runs a statement that makes something, unless another server was faster.
async fn run(pg: &Pg, reason: &'static str, command: &str) -> Result<(), PgError> {
    let tx = pg.begin_system(reason).await?;
    tx.batch(LOCK).await?;
    match tx.batch(command).await {
        Ok(()) => tx.commit().await,
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
    let rows = tx.query_rows(UNFIT, &[PUBLICATION]).await?;
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
