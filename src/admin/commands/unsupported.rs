//! Commands of Hasura for what this version does not have: known by name, so
//! that a script is told so and not that it misspelt something.

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, arguments};
use crate::base::{ApiError, Code};
use crate::metadata::NonEmpty;

/// Command and what it is about.
const COMMANDS: &[(&str, &str)] = &[
    ("add_remote_schema", "remote schemas"),
    ("update_remote_schema", "remote schemas"),
    ("remove_remote_schema", "remote schemas"),
    ("reload_remote_schema", "remote schemas"),
    ("introspect_remote_schema", "remote schemas"),
    ("add_remote_schema_permissions", "remote schemas"),
    ("drop_remote_schema_permissions", "remote schemas"),
    ("create_remote_schema_remote_relationship", "remote schemas"),
    ("update_remote_schema_remote_relationship", "remote schemas"),
    ("delete_remote_schema_remote_relationship", "remote schemas"),
    ("create_remote_relationship", "remote relationships"),
    ("update_remote_relationship", "remote relationships"),
    ("delete_remote_relationship", "remote relationships"),
    ("track_native_query", "native queries"),
    ("untrack_native_query", "native queries"),
    ("get_native_query", "native queries"),
    ("track_logical_model", "logical models"),
    ("untrack_logical_model", "logical models"),
    ("get_logical_model", "logical models"),
    ("create_logical_model_select_permission", "logical models"),
    ("drop_logical_model_select_permission", "logical models"),
    ("create_native_query_relationship", "native queries"),
    ("delete_native_query_relationship", "native queries"),
    ("add_api_limit", "API limits in metadata; use the settings limits.*"),
    ("set_api_limits", "API limits in metadata; use the settings limits.*"),
    ("remove_api_limits", "API limits in metadata; use the settings limits.*"),
    ("set_apollo_federation_config", "Apollo federation"),
    ("set_opentelemetry_config", "OpenTelemetry in metadata"),
    ("set_opentelemetry_status", "OpenTelemetry in metadata"),
    ("add_host_to_tls_allowlist", "exceptions from the checks of TLS"),
    ("drop_host_from_tls_allowlist", "exceptions from the checks of TLS"),
    ("dc_add_agent", "data connectors"),
    ("dc_delete_agent", "data connectors"),
    ("add_computed_field_remote_relationship", "remote relationships"),
];

#[derive(Deserialize)]
struct Named {
    #[expect(dead_code, reason = "an empty name is refused by reading it")]
    name: NonEmpty,
}

/// Refuses one of them; `None` for any other command.
pub(super) fn refuse(name: &str, args: &Value) -> Option<Result<Output, ApiError>> {
    let (_, what) = COMMANDS.iter().find(|(command, _)| *command == name)?;
    if name == "add_remote_schema"
        && let Err(error) = arguments::<Named>(args)
    {
        return Some(Err(error));
    }
    let message = format!("\"{name}\": this version does not have {what}");
    Some(Err(ApiError::new(Code::NotSupported, message)))
}
