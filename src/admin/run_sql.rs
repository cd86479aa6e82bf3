//! `run_sql`: the administrator's SQL, and what it means for the metadata.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::{ApiError, Code};
use crate::catalog::model::Catalog;
use crate::metadata::{NonEmpty, QualifiedName, Source};
use crate::pg::PgError;
use crate::schema::tracked::{SourceId, Tracked};

use super::changes::{self, FunctionChange, Renames};
use super::command::{Output, args_path, arguments, output};
use super::commands::{dependents, settle};
use super::draft::Draft;

#[derive(Deserialize)]
struct RunSql {
    sql: String,
    #[serde(default = "super::commands::default_source")]
    source: Arc<str>,
    #[serde(default)]
    cascade: bool,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    check_metadata_consistency: Option<bool>,
}

pub(super) async fn run(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let run: RunSql = arguments(args)?;
    draft.source(&run.source)?;
    if run.sql.contains('\0') {
        let message = "a text must not hold the character NUL (U+0000)";
        return Err(ApiError::new(Code::ParseFailed, message).at(args_path().key("sql")));
    }
    let tx = draft.tx_in(&run.source).await?;
    if run.read_only {
        tx.batch("savepoint run_sql; set local transaction_read_only = on").await?;
    }
    let answer = tx.script(&run.sql).await;
    let answer = answer.map_err(|error| refused(error, &run.sql))?;
    if run.read_only {
        // Nothing was changed, and the transaction may write again.
        tx.batch("rollback to savepoint run_sql").await.map_err(ended)?;
    } else {
        draft.resume(&run.source).await?;
        follow(draft, &run).await?;
    }
    match answer.columns {
        None => output(&json!({"result_type": "CommandOk", "result": null})),
        Some(columns) => {
            let mut result = vec![json!(columns)];
            result.extend(answer.rows.iter().map(|row| {
                // As Hasura prints them: NULL is a word.
                json!(row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect::<Vec<_>>())
            }));
            output(&json!({"result_type": "TuplesOk", "result": result}))
        }
    }
}

/// Read-only SQL is undone, which its own COMMIT or ROLLBACK prevents.
fn ended(error: PgError) -> ApiError {
    match error.sqlstate() {
        // No savepoint, no transaction.
        Some("3B001" | "25P01") => ApiError::new(
            Code::NotSupported,
            "read-only SQL must not end the transaction in which it runs",
        )
        .with_status(400),
        _ => error.into(),
    }
}

/// An error of the administrator's own SQL is told in full.
fn refused(error: PgError, sql: &str) -> ApiError {
    if matches!(error, PgError::Stream) {
        let message = "COPY ... FROM STDIN and COPY ... TO STDOUT are not supported by run_sql; \
                       use INSERT and SELECT, or psql";
        return ApiError::new(Code::NotSupported, message)
            .with_status(400)
            .at(args_path().key("sql"));
    }
    let PgError::Database(fault) = &error else { return error.into() };
    ApiError::new(Code::PostgresError, "query execution failed").with_status(400).with_internal(
        json!({
            "statement": sql,
            "prepared": false,
            "error": fault.in_full(),
            "arguments": [],
        }),
    )
}

/// Looks what the SQL did to the database and lets the metadata follow.
async fn follow(draft: &mut Draft<'_>, run: &RunSql) -> Result<(), ApiError> {
    let before = draft.catalog_of(&run.source)?.clone();
    let after = draft.read_catalog_of(&run.source).await?;
    if Arc::ptr_eq(&before, &after) {
        return Ok(());
    }
    let tracked: Arc<Tracked> = draft.tracked().clone();
    // Of a source that is not served nothing was tracked.
    let id = tracked.source_named(&run.source).unwrap_or(SourceId(u16::MAX));
    if !draft.has_metadata() {
        return draft.refresh().await;
    }
    if run.check_metadata_consistency != Some(false) {
        let source = draft.source(&run.source)?;
        let is_tracked = |table: &crate::catalog::model::Table| {
            let name = QualifiedName::new(table.schema.clone(), table.name.clone());
            source.table(&name).is_some()
        };
        for (table, column) in changes::retyped(&before, &after, is_tracked) {
            let users = changes::on_type_of(source, &tracked, id, (&table, &column));
            if !users.is_empty() {
                let users: Vec<String> = users
                    .iter()
                    .map(|user| format!("{user} in source \"{}\"", run.source))
                    .collect();
                return Err(ApiError::new(
                    Code::DependencyError,
                    format!(
                        "cannot change type of column \"{column}\" in table \"{table}\" because of the following dependencies : {}",
                        users.join(", ")
                    ),
                ));
            }
        }
    }
    let gone = if run.check_metadata_consistency == Some(false) {
        Vec::new()
    } else {
        of_functions(draft.source(&run.source)?, &before, &after, run)?
    };
    let renames = Renames::between(&before, &after);
    let source = draft.source_mut(&run.source)?;
    let untouched = source.clone();
    if !renames.is_empty() {
        renames.apply(source, &tracked, id);
    }
    changes::forget_dropped(source, &before, &after);
    for (table, field) in &gone {
        if let Some(table) = source.table_mut(table) {
            table.computed_fields.retain(|found| found.name != *field);
        }
    }
    let mut changed = *source != untouched;
    let types = draft.metadata.custom_types.clone();
    renames.apply_to_types(&mut draft.metadata.custom_types);
    changed |= draft.metadata.custom_types != types;
    if run.check_metadata_consistency == Some(false) {
        return if changed { draft.rebuild().await.map(drop) } else { draft.refresh().await };
    }
    if changed || draft.breaks().await? { settle(draft, run.cascade).await } else { Ok(()) }
}

/// Refuses what makes functions unusable that metadata names; answers the
/// computed fields that go with their functions.
fn of_functions(
    source: &Source,
    before: &Catalog,
    after: &Catalog,
    run: &RunSql,
) -> Result<Vec<(QualifiedName, NonEmpty)>, ApiError> {
    let mut overloaded = Vec::new();
    let mut gone = Vec::new();
    for change in changes::of_functions(source, before, after) {
        let message = match change {
            FunctionChange::Overloaded(function) => {
                overloaded.push(function.to_string());
                continue;
            }
            FunctionChange::FieldGone { table, field } => {
                gone.push((table.clone(), field.name.clone()));
                continue;
            }
            FunctionChange::FieldOverloaded { table, field } => format!(
                "The function \"{}\" associated with computed field\"{}\" of table \"{table}\" is being overloaded",
                field.definition.function, field.name
            ),
            FunctionChange::FieldVolatile { table, field } => format!(
                "The type of function \"{}\" associated with computed field \"{}\" of table \"{table}\" is being \
                 altered to \"VOLATILE\"",
                field.definition.function, field.name
            ),
        };
        return Err(ApiError::new(Code::NotSupported, message));
    }
    if !overloaded.is_empty() {
        let message = format!(
            "the following tracked function(s) cannot be overloaded: {}",
            overloaded.join(", ")
        );
        return Err(ApiError::new(Code::NotSupported, message));
    }
    if !gone.is_empty() && !run.cascade {
        let list = gone.iter().map(|(table, field)| {
            format!("computed field {table}.{field} in source \"{}\"", run.source)
        });
        return Err(dependents(list.collect()));
    }
    Ok(gone)
}
