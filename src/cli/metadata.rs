//! `ringfence metadata`: the metadata of a database and a folder of files.
//!
//! The work is done in the database, as a server does it, so that every server
//! of that database follows within a moment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::settings::SettingsArgs;
use super::{CliError, note, print};
use crate::admin::Endpoint;
use crate::app::App;
use crate::metadata::{Metadata, folder};

#[derive(Debug, Subcommand)]
pub(super) enum MetadataCommand {
    /// Write the metadata of the database into a folder
    Export(FolderArgs),
    /// Put the metadata of a folder into the database
    Apply(ApplyArgs),
    /// Show what `apply` would change; the exit code is 1 when there is something
    Diff(FolderArgs),
    /// Look at the database again, enum tables included
    Reload,
    /// What the database does not bear out
    #[command(subcommand)]
    Ic(InconsistentCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum InconsistentCommand {
    /// List it; the exit code is 1 when something is left out
    List,
    /// Take it out of the metadata
    Drop,
}

#[derive(Debug, Args)]
pub(super) struct FolderArgs {
    /// The folder, in the layout of Hasura's CLI v3
    #[arg(long, default_value = "metadata", value_name = "PATH")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Keep what the database does not bear out, and serve the rest
    #[arg(long)]
    allow_inconsistent: bool,
}

pub(super) async fn run(
    settings: &SettingsArgs,
    command: &MetadataCommand,
) -> Result<ExitCode, CliError> {
    let mut config = settings.load(Vec::new())?;
    // This command is about a folder of its own.
    config.metadata.dir = None;
    let app = App::start(config).await?;
    let result = match command {
        MetadataCommand::Export(args) => export(&app, args).await,
        MetadataCommand::Apply(args) => apply(&app, args).await,
        MetadataCommand::Diff(args) => diff(&app, args).await,
        MetadataCommand::Reload => report(&send(&app, "reload_metadata", json!({})).await?),
        MetadataCommand::Ic(InconsistentCommand::List) => {
            report(&send(&app, "get_inconsistent_metadata", json!({})).await?)
        }
        MetadataCommand::Ic(InconsistentCommand::Drop) => {
            send(&app, "drop_inconsistent_metadata", json!({})).await?;
            report(&send(&app, "get_inconsistent_metadata", json!({})).await?)
        }
    };
    app.pg.close();
    result
}

/// Runs a command of the administrator's API.
async fn send(app: &App, name: &str, args: Value) -> Result<Value, CliError> {
    send_version(app, name, 1, args).await
}

async fn send_version(app: &App, name: &str, version: u64, args: Value) -> Result<Value, CliError> {
    let body = json!({"type": name, "version": version, "args": args}).to_string();
    let answer = app.administer(Endpoint::V1Metadata, &body).await?;
    serde_json::from_str(answer.get()).map_err(|error| CliError::Usage(error.to_string()))
}

async fn stored(app: &App) -> Result<Metadata, CliError> {
    let document = send(app, "export_metadata", json!({})).await?;
    Metadata::from_json(&document).map_err(|error| CliError::Usage(error.to_string()))
}

async fn export(app: &App, args: &FolderArgs) -> Result<ExitCode, CliError> {
    folder::write(&args.dir, &stored(app).await?)?;
    note(&format!("the metadata is in {}", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

async fn apply(app: &App, args: &ApplyArgs) -> Result<ExitCode, CliError> {
    let metadata = folder::read(&args.folder.dir)?;
    let args =
        json!({"metadata": metadata, "allow_inconsistent_metadata": args.allow_inconsistent});
    let state = match send_version(app, "replace_metadata", 2, args).await {
        Err(CliError::Api(error)) => {
            // What would be broken stands beside the error.
            if let Some(objects) = &error.internal {
                report(&json!({"inconsistent_objects": **objects}))?;
            }
            return Err(error.into());
        }
        other => other?,
    };
    note("the metadata is applied")?;
    report(&state)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what is inconsistent.
fn report(state: &Value) -> Result<ExitCode, CliError> {
    let objects = state.get("inconsistent_objects").and_then(Value::as_array);
    let mut code = ExitCode::SUCCESS;
    for object in objects.into_iter().flatten() {
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
        print(&format!("{}: {}\n", text("name"), text("reason")))?;
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

async fn diff(app: &App, args: &FolderArgs) -> Result<ExitCode, CliError> {
    let json = |metadata: &Metadata| serde_json::to_value(metadata).unwrap_or_default();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), &json(&stored(app).await?), &mut before);
    flatten(String::new(), &json(&folder::read(&args.dir)?), &mut after);
    let mut differs = false;
    let places: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for place in places {
        let (old, new) = (before.get(place), after.get(place));
        if old == new {
            continue;
        }
        differs = true;
        for (sign, value) in [("-", old), ("+", new)] {
            if let Some(value) = value {
                print(&format!("{sign} {place}: {value}\n"))?;
            }
        }
    }
    Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every value by its place; what is listed is told apart by its name.
fn flatten(place: String, value: &Value, out: &mut BTreeMap<String, String>) {
    let below =
        |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flatten(below(key), value, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                flatten(below(&label(item).unwrap_or_else(|| index.to_string())), item, out);
            }
        }
        _ => {
            out.insert(place, value.to_string());
        }
    }
}

/// What tells an item of a list from the others.
fn label(item: &Value) -> Option<String> {
    for key in ["name", "role", "role_name", "collection", "table", "function"] {
        match item.get(key) {
            Some(Value::String(name)) => return Some(name.clone()),
            Some(name) => {
                let part = |key| name.get(key).and_then(Value::as_str);
                return Some(format!("{}.{}", part("schema")?, part("name")?));
            }
            None => {}
        }
    }
    None
}
