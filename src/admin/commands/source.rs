//! Sources: adding, changing, renaming and dropping databases.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::command::{Output, arguments, output, success};
use crate::admin::draft::{Draft, no_source};
use crate::base::{ApiError, Code};
use crate::metadata::NonEmpty;
use crate::metadata::source::{Customization, DEFAULT_SOURCE, Source};
use crate::schema::tracked::ObjectKind;
use crate::schema::tracked::inconsistency::source_name;

#[derive(Deserialize)]
struct Add {
    name: NonEmpty,
    configuration: Value,
    #[serde(default)]
    customization: Option<Customization>,
    #[serde(default)]
    health_check: Option<Value>,
    #[serde(default)]
    replace_configuration: bool,
}

fn exists(name: &str) -> ApiError {
    ApiError::new(Code::AlreadyExists, format!("source with name \"{name}\" already exists"))
}

/// The database of the default source is the server's own.
fn not_default(name: &str) -> Result<(), ApiError> {
    if name != DEFAULT_SOURCE {
        return Ok(());
    }
    Err(ApiError::new(
        Code::NotSupported,
        "the source \"default\" is the database that the server was started with; it can be neither replaced \
         nor dropped",
    ))
}

pub(super) async fn add(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Add { name, configuration, customization, health_check, replace_configuration } =
        arguments(args)?;
    match draft.metadata.source_mut(&name) {
        Some(_) if !replace_configuration => return Err(exists(&name)),
        Some(known) => {
            not_default(&name)?;
            known.configuration = configuration;
            known.customization = customization;
        }
        None => {
            let mut source = Source::new(name.shared(), configuration);
            source.customization = customization;
            source.health_check = health_check;
            draft.metadata.sources.push(source);
        }
    }
    draft.check(Some((ObjectKind::Source, source_name(&name)))).await?;
    success()
}

#[derive(Deserialize)]
struct Update {
    name: NonEmpty,
    #[serde(default)]
    configuration: Option<Value>,
    #[serde(default)]
    customization: Option<Customization>,
    #[serde(default)]
    health_check: Option<Value>,
}

pub(super) async fn update(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Update { name, configuration, customization, health_check } = arguments(args)?;
    let source = draft.source_mut(&name)?;
    if let Some(configuration) = configuration {
        not_default(&name)?;
        source.configuration = configuration;
    }
    if customization.is_some() {
        source.customization = customization;
    }
    if health_check.is_some() {
        source.health_check = health_check;
    }
    draft.check(Some((ObjectKind::Source, source_name(&name)))).await?;
    success()
}

#[derive(Deserialize)]
struct Drop {
    name: NonEmpty,
    #[serde(default)]
    cascade: bool,
}

pub(super) async fn drop(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Drop { name, cascade } = arguments(args)?;
    draft.source(&name)?;
    not_default(&name)?;
    draft.metadata.sources.retain(|source| *source.name != *name);
    super::settle(draft, cascade).await?;
    success()
}

#[derive(Deserialize)]
struct Rename {
    name: NonEmpty,
    new_name: NonEmpty,
}

pub(super) async fn rename(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Rename { name, new_name } = arguments(args)?;
    draft.source(&name)?;
    if name == new_name {
        return success();
    }
    if draft.metadata.source(&new_name).is_some() {
        return Err(exists(&new_name));
    }
    not_default(&name)?;
    let source = draft.metadata.source_mut(&name).ok_or_else(|| no_source(&name))?;
    source.name = new_name.shared();
    draft.rename_source(&name.shared(), &new_name.shared());
    draft.check(Some((ObjectKind::Source, source_name(&new_name)))).await?;
    success()
}

/// `list_source_kinds`
pub(super) fn kinds() -> Result<Output, ApiError> {
    output(&json!({"sources": [
        {"kind": "postgres", "builtin": true, "display_name": "postgres", "available": true}]}))
}

#[derive(Deserialize)]
struct Kind {
    name: NonEmpty,
}

/// The kinds that are built into Hasura.
const NATIVE: [&str; 6] = ["postgres", "pg", "citus", "cockroach", "mssql", "bigquery"];

/// `get_source_kind_capabilities`: those of databases behind agents, of which
/// there are none. The answers are Hasura's.
pub(super) fn capabilities(args: &Value) -> Result<Output, ApiError> {
    let Kind { name } = arguments(args)?;
    let message = if NATIVE.contains(&&*name) {
        format!("{name} does not support Capabilities")
    } else {
        format!("Source Kind {name} was not found")
    };
    Err(ApiError::new(Code::DataConnectorError, message))
}

#[derive(Deserialize)]
struct OfTable {
    source: Arc<str>,
    #[serde(rename = "table")]
    _table: Value,
}

/// `get_table_info`: of tables behind agents, too. Hasura answers a table of
/// Postgres with this and the status of a fault.
pub(super) fn table_info(draft: &Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let OfTable { source, .. } = arguments(args)?;
    let Some(found) = draft.metadata.source(&source) else {
        let message = format!("Source '{source}' not found");
        return Err(ApiError::new(Code::DataConnectorError, message));
    };
    let message = format!("Schema fetching is not supported for '{}'", found.kind);
    Err(ApiError::new(Code::Unexpected, message).with_status(500))
}
