//! The flags that every command has: where the settings come from.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, note};
use crate::config::{Config, Flag, Loaded, Sources};

/// Where settings come from.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingsArgs {
    /// The configuration file [default: ringfence.toml, if there is one]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) config: Option<PathBuf>,
    /// Set any setting, as in --set limits.depth=20
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

impl SettingsArgs {
    /// All sources; `flags` are those that a command has for settings.
    pub(super) fn sources(&self, flags: Vec<Flag>) -> Result<Sources, CliError> {
        let mut all = Vec::new();
        for text in &self.set {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                CliError::Usage(format!(
                    "--set {text}: expected KEY=VALUE, as in --set server.port=80"
                ))
            })?;
            let key = key.trim().to_owned();
            all.push(Flag { shown: format!("--set {key}"), key, value: value.to_owned() });
        }
        all.extend(flags);
        Ok(Sources::from_process(self.config.as_deref(), all)?)
    }

    /// Reads, validates, and prints the warnings.
    pub(super) fn load(&self, flags: Vec<Flag>) -> Result<Config, CliError> {
        let Loaded { config, warnings, .. } = Config::load(&self.sources(flags)?)?;
        for warning in warnings {
            note(&format!("warning: {warning}"))?;
        }
        Ok(config)
    }
}

/// A flag of a command that stands for a setting.
pub(super) fn flag(shown: &str, key: &str, value: impl Into<String>) -> Flag {
    Flag { key: key.to_owned(), value: value.into(), shown: shown.to_owned() }
}
