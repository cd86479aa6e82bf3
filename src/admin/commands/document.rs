//! The metadata as a whole: export, replace, clear, reload, what is wrong with
//! it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::command::{Output, arguments, output, success};
use crate::admin::draft::Draft;
use crate::base::ApiError;
use crate::metadata::Metadata;
use crate::metadata::source::{DEFAULT_SOURCE, Source};
use crate::schema::tracked::Inconsistency;

/// `export_metadata`: version 2 wraps the document with its version.
pub(super) fn export(
    draft: &Draft<'_>,
    _: &Value,
    version: Option<u64>,
) -> Result<Output, ApiError> {
    let mut metadata = draft.metadata.clone();
    metadata.cron_triggers.retain(|trigger| trigger.include_in_metadata);
    let metadata =
        serde_json::to_value(&metadata).map_err(|error| ApiError::internal(error.to_string()))?;
    if version == Some(2) {
        return output(&json!({
            "resource_version": draft.version().unwrap_or_default(),
            "metadata": metadata,
        }));
    }
    output(&metadata)
}

#[derive(Deserialize)]
struct Replace {
    #[serde(default)]
    allow_inconsistent_metadata: bool,
    metadata: Value,
}

/// `replace_metadata`: version 1 takes the document itself, version 2 the
/// document with what to do about inconsistencies.
pub(super) async fn replace(
    draft: &mut Draft<'_>,
    args: &Value,
    version: Option<u64>,
) -> Result<Output, ApiError> {
    let wrapped = version == Some(2) || args.get("metadata").is_some();
    let replace = if wrapped {
        arguments(args)?
    } else {
        Replace { allow_inconsistent_metadata: false, metadata: args.clone() }
    };
    let mut metadata = Metadata::from_json(&replace.metadata)?;
    keep_default_source(&mut metadata, &draft.metadata);
    keep_cron_triggers(&mut metadata, &draft.metadata);
    draft.metadata = metadata;
    draft.forget_enums();
    if replace.allow_inconsistent_metadata {
        draft.rebuild().await?;
        return output(&state(&draft.tracked().inconsistencies));
    }
    draft.check(None).await?;
    if version == Some(2) { output(&state(&draft.tracked().inconsistencies)) } else { success() }
}

/// The database that the server runs on is always there.
fn keep_default_source(metadata: &mut Metadata, old: &Metadata) {
    if metadata.source(DEFAULT_SOURCE).is_none() {
        let configuration = old
            .source(DEFAULT_SOURCE)
            .map_or_else(crate::metadata::document::default_configuration, |source| {
                source.configuration.clone()
            });
        metadata.sources.insert(0, Source::new(DEFAULT_SOURCE, configuration));
    }
}

/// Cron triggers that an export does not have are not taken away by a document
/// without them.
fn keep_cron_triggers(metadata: &mut Metadata, old: &Metadata) {
    for trigger in old.cron_triggers.iter().filter(|trigger| !trigger.include_in_metadata) {
        if metadata.cron_triggers.iter().all(|given| given.name != trigger.name) {
            metadata.cron_triggers.push(trigger.clone());
        }
    }
}

fn state(inconsistencies: &[Inconsistency]) -> Value {
    json!({
        "is_consistent": inconsistencies.is_empty(),
        "inconsistent_objects": inconsistencies,
    })
}

pub(super) async fn clear(draft: &mut Draft<'_>) -> Result<Output, ApiError> {
    let mut empty = Metadata::default();
    keep_default_source(&mut empty, &draft.metadata);
    draft.metadata = empty;
    draft.forget_enums();
    draft.check(None).await?;
    success()
}

/// `reload_metadata`: looks at the database again, enum tables included.
pub(super) async fn reload(draft: &mut Draft<'_>, _: &Value) -> Result<Output, ApiError> {
    draft.forget_enums();
    draft.forget_unserved();
    for source in draft.served_sources() {
        draft.read_catalog_of(&source).await?;
    }
    draft.refresh().await?;
    let inconsistencies = &draft.tracked().inconsistencies;
    output(&json!({
        "message": "success",
        "is_consistent": inconsistencies.is_empty(),
        "inconsistent_objects": inconsistencies,
    }))
}

pub(super) fn inconsistent(draft: &Draft<'_>) -> Result<Output, ApiError> {
    output(&state(&draft.tracked().inconsistencies))
}

/// Takes out of the metadata what is left out of the schema.
pub(super) async fn drop_inconsistent(draft: &mut Draft<'_>) -> Result<Output, ApiError> {
    super::drop_broken(draft).await?;
    success()
}
