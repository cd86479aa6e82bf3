//! Tracking tables and naming them.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};
use crate::metadata::source::DEFAULT_SOURCE;
use crate::metadata::table::{RootNames, TableConfiguration};
use crate::metadata::{QualifiedName, Table};
use crate::schema::tracked::ObjectKind;
use crate::schema::tracked::inconsistency::table_name;

pub(in crate::admin) fn default_source() -> Arc<str> {
    DEFAULT_SOURCE.into()
}

#[derive(Deserialize)]
struct Track {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    #[serde(default)]
    is_enum: bool,
    #[serde(default)]
    configuration: TableConfiguration,
    #[serde(default)]
    apollo_federation_config: Option<Value>,
}

/// `track_table`; version 1 takes the bare table too.
pub(super) async fn track(
    draft: &mut Draft<'_>,
    args: &Value,
    version: Option<u64>,
) -> Result<Output, ApiError> {
    let bare = version.unwrap_or(1) == 1 && args.get("table").is_none();
    let track = if bare {
        let table: QualifiedName = arguments(args)?;
        Track {
            source: default_source(),
            table,
            is_enum: false,
            configuration: TableConfiguration::default(),
            apollo_federation_config: None,
        }
    } else {
        arguments(args)?
    };
    let source = draft.source_mut(&track.source)?;
    if source.table(&track.table).is_some() {
        return Err(ApiError::new(
            Code::AlreadyTracked,
            format!("view/table already tracked : \"{}\"", track.table),
        ));
    }
    source.tables.push(Arc::new(Table {
        is_enum: track.is_enum,
        configuration: track.configuration,
        apollo_federation_config: track.apollo_federation_config,
        ..Table::new(track.table.clone())
    }));
    draft.check(Some((ObjectKind::Table, table_name(&track.source, &track.table)))).await?;
    success()
}

#[derive(Deserialize)]
struct Untrack {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    #[serde(default)]
    cascade: bool,
}

pub(super) async fn untrack(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let untrack: Untrack = if args.get("table").is_some() {
        arguments(args)?
    } else {
        Untrack { source: default_source(), table: arguments(args)?, cascade: false }
    };
    let source = draft.source_mut(&untrack.source)?;
    let before = source.tables.len();
    source.tables.retain(|table| table.table != untrack.table);
    if source.tables.len() == before {
        return Err(ApiError::new(
            Code::AlreadyUntracked,
            format!("view/table already untracked : \"{}\"", untrack.table),
        ));
    }
    super::settle(draft, untrack.cascade).await?;
    success()
}

#[derive(Deserialize)]
struct SetIsEnum {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    is_enum: bool,
}

pub(super) async fn set_is_enum(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let set: SetIsEnum = arguments(args)?;
    draft.table_mut(&set.source, &set.table)?.is_enum = set.is_enum;
    draft.forget_enums();
    draft.check(Some((ObjectKind::Table, table_name(&set.source, &set.table)))).await?;
    success()
}

#[derive(Deserialize)]
struct Customize {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    #[serde(default)]
    configuration: TableConfiguration,
}

pub(super) async fn set_customization(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let customize: Customize = arguments(args)?;
    configure(draft, customize).await
}

#[derive(Deserialize)]
struct CustomFields {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    #[serde(default)]
    custom_root_fields: RootNames,
    #[serde(default)]
    custom_column_names: IndexMap<Arc<str>, Arc<str>>,
}

/// The older form of [`set_customization`].
pub(super) async fn set_custom_fields(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let fields: CustomFields = arguments(args)?;
    let configuration = TableConfiguration {
        custom_root_fields: fields.custom_root_fields,
        custom_column_names: fields.custom_column_names,
        ..TableConfiguration::default()
    };
    configure(draft, Customize { source: fields.source, table: fields.table, configuration }).await
}

async fn configure(draft: &mut Draft<'_>, customize: Customize) -> Result<Output, ApiError> {
    draft.table_mut(&customize.source, &customize.table)?.configuration = customize.configuration;
    draft.check(Some((ObjectKind::Table, table_name(&customize.source, &customize.table)))).await?;
    success()
}
