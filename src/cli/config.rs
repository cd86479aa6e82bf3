//! `ringfence config`: the settings, their sources and their documentation.

use clap::Subcommand;

use super::settings::SettingsArgs;
use super::{CliError, print};
use crate::config::{Config, docs};
use crate::session::AuthConfig;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the settings and print each with its source; secrets are not shown
    Check {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the documentation of all settings
    Docs,
}

pub(super) fn run(settings: &SettingsArgs, command: &ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Docs => print(&docs::markdown()),
        ConfigCommand::Check { json } => {
            let loaded = Config::load(&settings.sources(Vec::new())?)?;
            // What can be wrong inside a key is found here, too.
            AuthConfig::try_from(&loaded.config.auth)?;
            if *json {
                let settings: Vec<_> = loaded
                    .resolved
                    .iter()
                    .map(
                        |s| serde_json::json!({"key": s.key, "value": s.value, "source": s.source}),
                    )
                    .collect();
                let all = serde_json::json!({"settings": settings, "warnings": loaded.warnings});
                return print(&format!("{all:#}\n"));
            }
            let width = loaded.resolved.iter().map(|s| s.key.len()).max().unwrap_or_default();
            let mut text = String::new();
            for setting in &loaded.resolved {
                let value = if setting.value.is_empty() { "-" } else { &setting.value };
                text.push_str(&format!("{:width$}  {value}", setting.key));
                if setting.source != "default" {
                    text.push_str(&format!("  ({})", setting.source));
                }
                text.push('\n');
            }
            for warning in &loaded.warnings {
                text.push_str(&format!("warning: {warning}\n"));
            }
            print(&text)
        }
    }
}
