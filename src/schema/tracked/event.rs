//! Event and cron triggers. Nothing of them is in the schema; what metadata
//! says of them is checked here, and what this version does not do with them
//! is told as an inconsistency that breaks nothing.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::model::{Table, TableKind};
use crate::metadata::event::{CronTrigger, EventTrigger};
use crate::metadata::{Metadata, Table as Written};

use super::build::SourceInput;
use super::inconsistency::{Inconsistency, ObjectKind, Place};
use super::{Tracked, TrackedId};

/// The longest name, in bytes: with what the database's trigger is called
/// before it, Postgres cuts nothing off.
const MAX_NAME: usize = 42;

/// What is told of a trigger whose events wait.
const UNDELIVERED: &str = "captured, not delivered by this version";
const NOT_RUN: &str = "kept, not run by this version";

/// The event triggers of a source.
pub(super) fn tell_event_triggers(
    tracked: &mut Tracked,
    input: &SourceInput<'_>,
    pairs: &[(TrackedId, &Arc<Written>)],
) {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut told = Vec::new();
    for (id, written) in pairs {
        let Some(table) = tracked.db_table(*id) else { continue };
        for trigger in &written.event_triggers {
            let twice = !seen.insert(&trigger.name);
            let flaw = if twice {
                Some(format!("event trigger with name \"{}\" already exists", trigger.name))
            } else {
                flaw(trigger, table)
            };
            let reason = flaw.as_deref().unwrap_or(UNDELIVERED);
            let mut found = Inconsistency::in_table(
                ObjectKind::EventTrigger,
                (&input.name, &written.table),
                &trigger.name,
                reason,
                trigger,
            );
            found.breaks = flaw.is_some();
            told.push(found);
        }
    }
    tracked.inconsistencies.extend(told);
}

/// Why a trigger cannot be on a table.
pub fn flaw(trigger: &EventTrigger, table: &Table) -> Option<String> {
    if let Some(reason) = wrong_name(&trigger.name) {
        return Some(reason.to_owned());
    }
    let captures = trigger.definition.operations().next().is_some();
    if captures && !matches!(table.kind, TableKind::Table | TableKind::Partitioned) {
        return Some(format!("\"{}\" is no table, so rows of it are never written", table.name));
    }
    missing_column(trigger, table).map(|column| format!("\"{column}\" does not exist"))
}

/// A column that a trigger names and the table does not have.
pub fn missing_column(trigger: &EventTrigger, table: &Table) -> Option<Arc<str>> {
    let exists = |name: &Arc<str>| table.columns.iter().any(|column| column.name == *name);
    let operations = trigger.definition.operations();
    let mut columns = operations.flat_map(|(_, operation)| {
        let payload = operation.payload.iter().flat_map(|columns| columns.names());
        operation.columns.names().iter().chain(payload)
    });
    columns.find(|name| !exists(name)).cloned()
}

/// Hasura's words against a name.
pub fn wrong_name(name: &str) -> Option<&'static str> {
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        return Some("only alphanumeric and underscore and hyphens allowed for name");
    }
    (name.len() > MAX_NAME).then_some("event trigger name can be at most 42 characters")
}

pub(super) fn tell_cron_triggers(tracked: &mut Tracked, metadata: &Metadata) {
    tracked.inconsistencies.extend(metadata.cron_triggers.iter().map(of_cron_trigger));
}

fn of_cron_trigger(trigger: &CronTrigger) -> Inconsistency {
    let definition = serde_json::to_value(trigger).unwrap_or_default();
    let place = Place { named: trigger.name.shared(), ..Place::default() };
    let name = format!("cron_trigger {}", trigger.name);
    let kind = ObjectKind::CronTrigger;
    Inconsistency { breaks: false, ..Inconsistency::new(kind, name, NOT_RUN, definition, place) }
}
