//! What Postgres estimates a statement to cost, with the plan for the values at
//! hand and with the one for all values. Nothing runs but `EXPLAIN`, as the
//! session whose statement it is.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use super::error::PgError;
use super::param::TextParam;
use super::tx::{SessionTx, Statement, TxContext};
use super::{Mode, Pg};
use crate::session::settings::Planning;

/// Estimates in the unit of `seq_page_cost`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// With the plan for the values at hand.
    pub custom: f64,
    /// With the plan for all values.
    pub generic: f64,
}

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "Total Cost")]
    cost: f64,
}

/// What `EXECUTE` calls a statement is a name of the connection. A transaction
/// that breaks off leaves one behind, so none is used twice.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Pg {
    /// `None` where no choice is left: behind a pooler, where the role has a
    /// `plan_cache_mode` of its own, and where that of the login, the database or
    /// the server is not `auto`.
    pub async fn costs(
        &self,
        ctx: &TxContext<'_>,
        statement: &str,
        params: &[TextParam],
    ) -> Result<Option<Costs>, PgError> {
        if !self.keeps_statements() || !ctx.settings.may_plan_once() {
            return Ok(None);
        }
        let mut tx = self.begin_as(&ctx.planned(Planning::Once), Mode::ReadOnly).await?;
        let found = compare(&mut tx, statement, params).await;
        let ended = tx.rollback().await;
        let costs = found?;
        ended.map(|()| costs)
    }
}

async fn compare(
    tx: &mut SessionTx,
    statement: &str,
    params: &[TextParam],
) -> Result<Option<Costs>, PgError> {
    let set = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'plan_cache_mode'";
    if tx.query_lines(set, &[]).await?.first().is_none_or(|set| set != "auto") {
        return Ok(None);
    }
    // With values, `EXPLAIN` plans for them, whatever the mode.
    let custom = cost(tx, statement, params).await?;
    let name = format!("ringfence_costs_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    run(tx, ["PREPARE ", &name, " AS ", statement].concat()).await?;
    let nulls = vec!["NULL"; params.len()].join(", ");
    let generic = cost(tx, &["EXECUTE ", &name, " (", &nulls, ")"].concat(), &[]).await?;
    run(tx, ["DEALLOCATE ", &name].concat()).await?;
    Ok(Some(Costs { custom, generic }))
}

async fn run(tx: &mut SessionTx, text: String) -> Result<(), PgError> {
    tx.execute(&Statement::new(text, false), &[]).await.map(|_| ())
}

async fn cost(tx: &mut SessionTx, text: &str, params: &[TextParam]) -> Result<f64, PgError> {
    let explain = Statement::new(["EXPLAIN (FORMAT JSON) ", text].concat(), false);
    let answer = tx.query_json(&explain, params).await?;
    let [Explained { plan }] = serde_json::from_slice(&answer)
        .map_err(|error| PgError::Protocol(format!("EXPLAIN is not understood: {error}")))?;
    Ok(plan.cost)
}
