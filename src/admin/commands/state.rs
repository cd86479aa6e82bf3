//! What Hasura's CLI and console keep in the catalogue, and what the server
//! tells about itself.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::command::{Output, arguments, output, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};

const GET: &str = "select json_build_object('id', hasura_uuid, 'cli_state', cli_state,
     'console_state', console_state)::text from hdb_catalog.hdb_version";

const SET_CLI: &str = "update hdb_catalog.hdb_version set cli_state = $1::text::jsonb";
const SET_CONSOLE: &str = "update hdb_catalog.hdb_version set console_state = $1::text::jsonb";

pub(super) async fn get(draft: &Draft<'_>) -> Result<Output, ApiError> {
    let state = draft.tx().query_text(GET, &[]).await?;
    let state: Value = match state.as_deref().map(serde_json::from_str) {
        Some(Ok(state)) => state,
        Some(Err(error)) => return Err(ApiError::internal(error.to_string())),
        None => json!({"cli_state": {}, "console_state": {}}),
    };
    output(&state)
}

#[derive(Deserialize)]
struct Set {
    #[serde(rename = "type")]
    kind: String,
    state: Value,
}

pub(super) async fn set(draft: &Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let set: Set = arguments(args)?;
    let sql = match set.kind.as_str() {
        "cli" => SET_CLI,
        "console" => SET_CONSOLE,
        _ => return Err(ApiError::new(Code::ParseFailed, "expected type to be cli or console")),
    };
    draft.tx().execute(sql, &[&set.state.to_string()]).await?;
    success()
}

/// `dump_internal_state`: what is shown, for whoever looks for a fault.
pub(super) fn dump(draft: &Draft<'_>) -> Result<Output, ApiError> {
    let tracked = draft.tracked();
    let tables: Vec<Value> = tracked
        .tables
        .iter()
        .map(|table| {
            let db = tracked.db_table(table.id);
            json!({
                "name": table.name(),
                "table": db.map(|db| json!({"schema": db.schema, "name": db.name})),
                "columns": table.columns.iter().filter_map(|column| column.name.clone()).collect::<Vec<_>>(),
                "relationships": table.relationships.iter().map(|found| found.name.clone()).collect::<Vec<_>>(),
                "computed_fields": table.computed.iter().map(|found| found.name.clone()).collect::<Vec<_>>(),
                "roles": table.permissions.keys().collect::<Vec<_>>(),
            })
        })
        .collect();
    output(&json!({
        "resource_version": draft.version(),
        "catalog_generation": draft.catalog().generation,
        "tables": tables,
        "functions": tracked.functions.iter().map(|found| found.name.clone()).collect::<Vec<_>>(),
        "inconsistent_objects": tracked.inconsistencies,
    }))
}
