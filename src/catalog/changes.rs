//! How changes of a table's rows can be told of.
//!
//! ```text
//! oids ─▶ changes.sql ─▶ Tree: publications, replica identity, triggers ─▶ live, doctor
//! ```

use serde::Deserialize;

use super::model::Oid;
use crate::pg::{PgError, SystemTx};

/// The publication of tables whose changes are all told; needs no quoting.
pub const PUBLICATION: &str = "ringfence_live";
/// The publication of tables whose new rows alone are told.
pub const INSERTS: &str = "ringfence_live_inserts";
/// The trigger that tells of statements, on each table that has one.
pub const TRIGGER: &str = "ringfence_live";

const TREES: &str = include_str!("changes.sql");

/// A table with its partitions and heirs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tree {
    pub oid: Oid,
    /// Quoted, with its schema.
    pub name: String,
    /// The tables that have its rows.
    pub leaves: Vec<Oid>,
    /// Why the log cannot tell of all changes.
    pub obstacle: Option<Obstacle>,
    /// Its owner is the owner's login, or one that it may act for.
    pub owned: bool,
    /// Every part of it is published.
    pub published: bool,
    /// Of every part at least the new rows are published.
    pub inserts: bool,
    /// Another one when what is published of it may have been something else for
    /// a while.
    pub version: String,
    /// The columns of its own replica identity.
    pub identity: Vec<String>,
    /// The tables whose statements may change its rows.
    pub members: Vec<Member>,
    /// Every member may get a trigger that tells of statements.
    pub triggerable: bool,
}

/// A table whose statements may change rows of another one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    pub oid: Oid,
    /// Quoted, with its schema.
    pub name: String,
    /// It has the trigger, and the trigger is on.
    pub triggered: bool,
}

/// Why the log cannot tell of all changes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// A foreign table, or one with foreign partitions.
    Foreign,
    /// A view, or a materialised one.
    NoTable,
    /// Its rows are not in the log.
    Unlogged,
    /// Some of its text is equal in other ways than by its bytes.
    Collation,
    /// A generated column belongs to its replica identity, and the log does not tell
    /// of those.
    Generated,
    /// Its rows have no replica identity: were it published, every UPDATE and
    /// DELETE on it would fail.
    Identity,
}

impl Tree {
    /// Every statement that may change its rows is told by a trigger.
    pub fn is_triggered(&self) -> bool {
        self.triggerable && self.members.iter().all(|member| member.triggered)
    }
}

/// Looks at tables; those that do not exist are left out.
pub async fn trees(tx: &SystemTx, tables: &[Oid]) -> Result<Vec<Tree>, PgError> {
    tx.query_text(super::load::PREPARE, &[]).await?;
    let tables = serde_json::Value::from(tables.to_vec()).to_string();
    match tx.query_text(TREES, &[&tables, PUBLICATION, INSERTS]).await? {
        Some(found) => {
            serde_json::from_str(&found).map_err(|error| PgError::Protocol(error.to_string()))
        }
        None => Ok(Vec::new()),
    }
}

/// The statements that make a table tell of those that change it.
pub fn trigger_statements(table: &str) -> [String; 2] {
    [
        [
            "CREATE OR REPLACE TRIGGER ringfence_live AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON ",
            table,
            " FOR EACH STATEMENT EXECUTE FUNCTION ringfence.tell_change()",
        ]
        .concat(),
        ["ALTER TABLE ", table, " ENABLE ALWAYS TRIGGER ringfence_live"].concat(),
    ]
}
