//! Follows the triggers of tables of which the log does not tell.
//!
//! ```text
//! Router: tables that the log leaves ─▶ triggers there, or allowed? ─▶ listen ─▶ cover
//! statement ─ tell_change() ─ NOTIFY, after the commit ─▶ Router ─▶ Group
//! ```
//!
//! A trigger tells of a statement and not of rows, so every group of its table
//! is woken. Nothing is told while nobody listens; whoever counts as covered
//! then polls, and reads again when somebody listens.
//!
//! Making a trigger waits for those who write to its table, so a table is
//! covered as soon as it has one.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

use super::publication::LOCK;
use super::router::Router;
use crate::catalog::changes::{self, Tree};
use crate::catalog::model::Oid;
use crate::config::LiveManage;
use crate::pg::{ListenEvent, Pg, PgError};

/// The channel of `ringfence.tell_change()`.
const CHANNEL: &str = "ringfence_live";
/// Listening that nobody needs ends after so long.
const UNUSED: Duration = Duration::from_secs(60);
/// After something failed.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Triggers {
    pub(super) pg: Pg,
    pub(super) manage: LiveManage,
    pub(super) router: Arc<Router>,
}

/// What triggers tell of.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By table: those whose statements may change its rows.
    pub(super) covered: HashMap<Oid, Vec<Oid>>,
    pub(super) refused: HashSet<Oid>,
    /// Tables that lacked a trigger until now.
    pub(super) fresh: HashSet<Oid>,
}

/// False when a trigger could not be made now.
type Covering<'a> = Pin<Box<dyn Future<Output = Result<(Told, bool), PgError>> + Send + 'a>>;

impl Triggers {
    pub(super) async fn run(self) {
        loop {
            let left = self.router.left_by_log();
            if left.is_empty() {
                self.router.left.notified().await;
                continue;
            }
            match self.is_of_use(&left).await {
                Ok(true) => {}
                Ok(false) => {
                    let refused = left.into_iter().collect();
                    self.router.cover_by_triggers(Told { refused, ..Told::default() });
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "tables without triggers for live queries are polled");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
            let ended = self.follow().await;
            self.router.cover_by_triggers(Told::default());
            if let Err(error) = ended {
                tracing::warn!(%error, "live queries poll: triggers cannot be followed");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Whether some of these tables have triggers, or may get them.
    async fn is_of_use(&self, tables: &[Oid]) -> Result<bool, PgError> {
        let trees = self.trees(tables).await?;
        let makes = self.manage == LiveManage::All;
        Ok(trees.iter().any(|tree| tree.is_triggered() || makes && tree.triggerable))
    }

    async fn trees(&self, tables: &[Oid]) -> Result<Vec<Tree>, PgError> {
        let tx = self.pg.begin_system("look at the triggers of live queries").await?;
        let trees = changes::trees(&tx, tables).await?;
        tx.commit().await?;
        Ok(trees)
    }

    /// Listens until nobody needs it.
    async fn follow(&self) -> Result<(), PgError> {
        let Some(mut events) = self.pg.listen(&[CHANNEL])? else {
            let text = "a pooler in transaction mode is in the way of notifications";
            return Err(PgError::Unavailable(text.to_owned()));
        };
        let mut listening = false;
        let mut covering: Option<Covering<'_>> = None;
        // When to look at the tables, once somebody listens.
        let mut look = Instant::now();
        let mut needed = Instant::now();
        loop {
            let is_idle = covering.is_none();
            let covered = async {
                match &mut covering {
                    Some(covering) => covering.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = next(&mut events) => match event? {
                    ListenEvent::Notification { payload, .. } => match parse(&payload) {
                        Some((table, transaction)) => self.router.statement(table, transaction),
                        None => tracing::debug!(payload, "not a notification of a trigger"),
                    },
                    ListenEvent::Broken => {
                        listening = false;
                        covering = None;
                        self.router.cover_by_triggers(Told::default());
                    }
                    ListenEvent::Lost if listening => self.router.ring_triggered(),
                    ListenEvent::Lost => {
                        listening = true;
                        look = Instant::now();
                    }
                },
                outcome = covered => {
                    covering = None;
                    match outcome {
                        Ok((told, complete)) => {
                            tracing::debug!(covered = told.covered.len(), "triggers cover tables");
                            self.router.cover_by_triggers(told);
                            if !complete {
                                look = look.min(Instant::now() + AGAIN);
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "triggers cannot be looked at; tables are polled");
                            // What they cover is not known any more.
                            self.router.cover_by_triggers(Told::default());
                            look = look.min(Instant::now() + AGAIN);
                        }
                    }
                }
                () = self.router.left.notified() => look = Instant::now(),
                () = sleep_until(look), if listening && is_idle => {
                    let left = self.router.left_by_log();
                    if !left.is_empty() {
                        needed = Instant::now();
                    } else if needed.elapsed() >= UNUSED {
                        return Ok(());
                    }
                    look = Instant::now() + UNUSED;
                    let wanted = self.router.wanted().into_iter().collect();
                    covering = Some(Box::pin(self.cover(wanted, left)));
                }
            }
        }
    }

    /// Which of the wanted tables triggers tell of. Those that the log leaves
    /// get them, where that is allowed; false when one could not be made now.
    async fn cover(&self, wanted: Vec<Oid>, left: Vec<Oid>) -> Result<(Told, bool), PgError> {
        let mut told = Told::default();
        let mut complete = true;
        for tree in self.trees(&wanted).await? {
            let mut triggered = tree.is_triggered();
            let is_left = left.contains(&tree.oid);
            if !triggered && tree.triggerable && is_left && self.manage == LiveManage::All {
                triggered = self.make(&tree).await;
                complete &= triggered;
                told.fresh.insert(tree.oid);
            }
            if triggered {
                told.covered.insert(tree.oid, tree.members.iter().map(|m| m.oid).collect());
            } else if is_left {
                told.refused.insert(tree.oid);
            }
        }
        Ok((told, complete))
    }

    async fn make(&self, tree: &Tree) -> bool {
        for member in tree.members.iter().filter(|member| !member.triggered) {
            if let Err(error) = self.make_one(&member.name).await {
                tracing::warn!(table = member.name, %error, "a trigger for live queries could not be made; the table is polled");
                return false;
            }
            tracing::info!(table = member.name, "a trigger tells live queries of statements");
        }
        true
    }

    async fn make_one(&self, table: &str) -> Result<(), PgError> {
        let tx = self.pg.begin_system("make a trigger for live queries").await?;
        tx.batch(LOCK).await?;
        for statement in changes::trigger_statements(table) {
            tx.batch(&statement).await?;
        }
        tx.commit().await
    }
}

async fn next(events: &mut Receiver<ListenEvent>) -> Result<ListenEvent, PgError> {
    let ended = || PgError::Unavailable("listening has ended".to_owned());
    events.recv().await.ok_or_else(ended)
}

/// The table, and the lower half of the transaction's id, as the log has it.
fn parse(payload: &str) -> Option<(Oid, u32)> {
    let (table, transaction) = payload.split_once(' ')?;
    let transaction: u64 = transaction.parse().ok()?;
    let lower = u32::try_from(transaction & u64::from(u32::MAX)).ok()?;
    Some((table.parse().ok()?, lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_a_table_and_a_transaction() {
        assert_eq!(parse("16384 731"), Some((16384, 731)));
        assert_eq!(parse("1 4294967301"), Some((1, 5)));
        for odd in ["", "1", "x 1", "1 x", "-1 1", "1 2 3"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
