//! Compares the plans of a statement, beside the requests that run it.

use std::sync::Arc;

use crate::pg::{Pg, TextParam, TxContext};
use crate::plan::GenericPlan;
use crate::session::Authority;
use crate::session::settings::{Planning, SettingsPlan};

/// One run of a statement, to be planned again in both ways.
pub(super) struct Comparison {
    pub pg: Pg,
    pub authority: Authority,
    /// Of the settings, in the order of their plan.
    pub values: Vec<String>,
    pub db_role: Arc<str>,
    pub settings: SettingsPlan,
    pub statement: Arc<str>,
    pub params: Arc<[TextParam]>,
    pub generic: Arc<GenericPlan>,
}

impl Comparison {
    /// Nobody waits for it, and a failure leaves everything as it is.
    pub(super) fn start(self) {
        tokio::spawn(async move {
            let context =
                TxContext::withheld(self.authority, &self.values, &self.db_role, &self.settings);
            match self.pg.costs(&context, &self.statement, &self.params).await {
                Ok(Some(costs)) => self.generic.learn(costs),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the plans of a statement are not compared"),
            }
        });
    }
}

/// How a statement is to be planned.
pub(super) fn planning(generic: &GenericPlan) -> Planning {
    if generic.is_asked_for() { Planning::Once } else { Planning::AsSet }
}
