//! The triggers of the database that write the outbox (`ringfence.events`), kept
//! as metadata says. They change in the transaction that changes the metadata.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::model::Catalog;
use crate::metadata::Source;
use crate::metadata::event::EventTrigger;
use crate::metadata::permission::Columns;
use crate::pg::{PgError, SystemTx};
use crate::schema::tracked::{ObjectKind, Tracked, event};

const STEPS: &str = include_str!("capture.sql");

/// Whoever writes the tables is not kept waiting for long.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s'";

const ARCHIVE: &str = "update ringfence.events set archived = true
     where source_name = $1 and not archived
       and trigger_name <> all (array(select json_array_elements_text($2::text::json)))";

const RENAME: &str = "update ringfence.events set source_name = $2 where source_name = $1";

/// What captures nothing although metadata names it: source and trigger, and why.
pub(super) type Uncaptured = BTreeMap<(String, String), String>;

#[derive(Deserialize)]
struct Step {
    /// What is made; `None` takes something away.
    trigger: Option<String>,
    sql: String,
}

/// What came of looking after the triggers of a source.
#[derive(Default)]
pub(super) struct Completed {
    pub uncaptured: Uncaptured,
    /// The database is another one now: what reads a setting is in the catalogue.
    pub changed: bool,
}

/// Whether there is, or was, a trigger to look after.
pub(super) fn concerns(source: Option<&Source>) -> bool {
    let tables = source.into_iter().flat_map(|source| &source.tables);
    tables.into_iter().any(|table| !table.event_triggers.is_empty())
}

/// Makes what is missing. `drops`: also takes away what metadata does not name
/// any more. Answers what could not be made, which is an error for whoever
/// changed it just now.
pub(super) async fn complete(
    tx: &SystemTx,
    source: &Source,
    catalog: &Catalog,
    drops: bool,
) -> Result<Completed, PgError> {
    let mut wanted: Vec<Value> = Vec::new();
    let mut absent: Vec<&str> = Vec::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for table in &source.tables {
        let name = &table.table;
        let found = catalog.table_named(&name.schema, &name.name);
        for trigger in &table.event_triggers {
            if !names.insert(&trigger.name) || trigger.definition.operations().next().is_none() {
                continue;
            }
            match found.filter(|found| event::flaw(trigger, found).is_none()) {
                Some(found) => wanted.push(definition(trigger, found.oid)),
                None => absent.push(&trigger.name),
            }
        }
    }
    tx.batch("savepoint capture").await?;
    tx.batch("set local search_path = pg_catalog").await?;
    let parameters = [&*source.name, &json!(wanted).to_string(), &json!(absent).to_string()];
    let steps = tx.query_text(STEPS, &parameters).await?.unwrap_or_default();
    tx.batch("rollback to savepoint capture").await?;
    let mut steps: Vec<Step> =
        serde_json::from_str(&steps).map_err(|error| PgError::Protocol(error.to_string()))?;
    steps.retain(|step| drops || step.trigger.is_some());
    if steps.is_empty() {
        return Ok(Completed::default());
    }
    tx.batch(LOCK_TIMEOUT).await?;
    let mut failed = Uncaptured::new();
    for step in &steps {
        tx.batch("savepoint capture").await?;
        match (tx.batch(&step.sql).await, &step.trigger) {
            (Ok(()), _) => tx.batch("release savepoint capture").await?,
            (Err(PgError::Database(fault)), Some(trigger)) => {
                // What captured until now goes on.
                tx.batch("rollback to savepoint capture").await?;
                failed
                    .insert((source.name.to_string(), trigger.clone()), fault.message.to_string());
            }
            (Err(error), _) => return Err(error),
        }
    }
    if steps.iter().any(|step| step.trigger.is_none()) {
        tx.execute(ARCHIVE, &[&source.name, &json!(names).to_string()]).await?;
    }
    Ok(Completed { changed: failed.len() < steps.len(), uncaptured: failed })
}

/// All triggers of a source whose database could not be asked about them.
pub(super) fn unknown(source: &Source, error: &PgError) -> Uncaptured {
    let triggers = source.tables.iter().flat_map(|table| &table.event_triggers);
    let name = source.name.to_string();
    triggers.map(|trigger| ((name.clone(), trigger.name.to_string()), error.to_string())).collect()
}

/// Hands the events of a source on to its new name, and takes the triggers away
/// that write the old one.
pub(super) async fn rename(
    tx: &SystemTx,
    old: &str,
    new: &str,
    catalog: &Catalog,
) -> Result<(), PgError> {
    tx.execute(RENAME, &[old, new]).await?;
    complete(tx, &Source::new(old, Value::Null), catalog, true).await.map(drop)
}

fn definition(trigger: &EventTrigger, table: u32) -> Value {
    let list = |columns: Option<&Columns>| match columns {
        Some(Columns::Named(names)) => json!(names),
        Some(Columns::All) | None => Value::Null,
    };
    let definition = &trigger.definition;
    let operations = [&definition.insert, &definition.update, &definition.delete];
    let told = operations
        .map(|operation| list(operation.as_ref().and_then(|operation| operation.payload.as_ref())));
    json!({
        "trigger": &*trigger.name,
        "table": table.to_string(),
        "insert": definition.insert.is_some(),
        "update": definition.update.is_some(),
        "delete": definition.delete.is_some(),
        "always": trigger.trigger_on_replication,
        "watched": list(definition.update.as_ref().map(|operation| &operation.columns)),
        "told": told,
    })
}

/// Says of triggers that capture nothing that they do not.
pub(super) fn tell(tracked: &mut Tracked, uncaptured: &Uncaptured) {
    for told in &mut tracked.inconsistencies {
        let key = || (told.place.source.to_string(), told.place.named.to_string());
        if told.kind == ObjectKind::EventTrigger
            && !told.breaks
            && let Some(reason) = uncaptured.get(&key())
        {
            told.reason = format!("Inconsistent object: not captured: {reason}");
        }
    }
}
