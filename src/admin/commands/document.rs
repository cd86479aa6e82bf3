//! The metadata as a whole: export, replace, clear, reload, what is wrong with
//! it.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::admin::command::{Command, Output, arguments_text, output, success};
use crate::admin::draft::Draft;
use crate::base::ApiError;
use crate::metadata::document::is_there;
use crate::metadata::source::{DEFAULT_SOURCE, Source};
use crate::metadata::{Metadata, ParseError};
use crate::schema::tracked::Inconsistency;

#[derive(Serialize)]
struct Exported {
    resource_version: i64,
    metadata: Metadata,
}

/// `export_metadata`: version 2 wraps the document with its version.
pub(super) fn export(draft: &Draft<'_>, version: Option<u64>) -> Result<Output, ApiError> {
    let mut metadata = draft.metadata.clone();
    metadata.cron_triggers.retain(|trigger| trigger.include_in_metadata);
    let text = if version == Some(2) {
        let resource_version = draft.version().unwrap_or_default();
        to_raw_value(&Exported { resource_version, metadata })
    } else {
        to_raw_value(&metadata)
    };
    text.map_err(|error| ApiError::internal(error.to_string()))
}

#[derive(Deserialize)]
struct Replace {
    #[serde(default)]
    allow_inconsistent_metadata: bool,
    metadata: Box<RawValue>,
}

/// `replace_metadata`: version 1 takes the document itself, version 2 the
/// document with what to do about inconsistencies.
pub(super) async fn replace(draft: &mut Draft<'_>, command: &Command) -> Result<Output, ApiError> {
    #[derive(Deserialize)]
    struct Outline {
        #[serde(default, deserialize_with = "is_there")]
        metadata: bool,
    }
    let (version, args) = (command.version, command.args_text());
    let wrapped =
        version == Some(2) || serde_json::from_str(args).is_ok_and(|found: Outline| found.metadata);
    let replace = if wrapped {
        arguments_text(args)?
    } else {
        let metadata = RawValue::from_string(args.to_owned())
            .map_err(|error| ApiError::internal(error.to_string()))?;
        Replace { allow_inconsistent_metadata: false, metadata }
    };
    let known = draft.metadata.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut metadata = Metadata::from_text(replace.metadata.get())?;
        metadata.share(&known);
        Ok::<_, ParseError>(metadata)
    });
    let mut metadata = read.await.map_err(|error| ApiError::internal(error.to_string()))??;
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
