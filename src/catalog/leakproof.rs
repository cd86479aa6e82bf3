//! Which conditions row-level security keeps from an index.
//!
//! Before its policies have passed a row, Postgres lets only leakproof
//! functions see it: those that tell nothing of their arguments, in an error
//! or otherwise. A condition with another operator is tried row by row, index
//! or not.

use serde::{Deserialize, Serialize};

use super::model::Oid;
use crate::pg::{PgError, SessionTx, Statement, TextParam};

const QUERY: &str = include_str!("leakproof.sql");

/// An operator on a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition<'a> {
    pub rel: Oid,
    /// `attnum`
    pub col: i16,
    pub op: &'a str,
    /// The operator's schema.
    pub ns: &'a str,
}

/// A condition that could be answered by an index, but for the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFromIndex {
    /// With its schema.
    pub table: String,
    pub column: String,
    pub operator: String,
    /// The function behind the operator, which is not leakproof.
    pub function: String,
    pub indexes: Vec<String>,
}

/// Asks as the caller of `tx`.
pub async fn kept_from_index(
    tx: &mut SessionTx,
    conditions: &[Condition<'_>],
) -> Result<Vec<KeptFromIndex>, PgError> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |error: serde_json::Error| PgError::Protocol(error.to_string());
    let asked = serde_json::to_string(conditions).map_err(wrong)?;
    let answer = tx.query_json(&Statement::new(QUERY, false), &[TextParam::from(asked)]).await?;
    serde_json::from_slice(&answer).map_err(wrong)
}
