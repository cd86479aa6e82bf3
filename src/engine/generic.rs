//! Compares the plans of a statement, beside the requests that run it.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Engine;
use crate::pg::{Pg, TextParam, TxContext};
use crate::plan::GenericPlan;
use crate::session::Authority;
use crate::session::settings::{Planning, SettingsPlan};

/// Comparisons at a time. They take connections from the pool of requests, so one
/// for which there is no place is left out; a later run of the statement is due.
pub(super) const AT_ONCE: usize = 2;

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

impl Engine {
    /// Starts a comparison where there is a place for it. Nobody waits for it, and
    /// a failure leaves everything as it is.
    pub(super) fn compare(&self, comparison: impl FnOnce() -> Comparison) {
        if let Ok(place) = self.comparing.clone().try_acquire_owned() {
            comparison().start(place);
        }
    }
}

impl Comparison {
    fn start(self, place: OwnedSemaphorePermit) {
        tokio::spawn(async move {
            let _place = place;
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
