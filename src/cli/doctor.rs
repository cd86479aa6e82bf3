//! `ringfence doctor`: what in the database could let a tenant see another's
//! rows, each finding with the statement that mends it. Changes nothing.

use std::process::ExitCode;

use clap::Args;

use super::settings::{SettingsArgs, flag};
use super::{CliError, print};
use crate::admin;
use crate::catalog::model::{Oid, Table, TableKind};
use crate::catalog::{self, changes};
use crate::config::Mode;
use crate::doctor::{self, DoctorInput, LiveInput, Report, capabilities};
use crate::pg::{Options, Pg, Urls};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// The database [default: database.url, or DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

/// The exit code is 1 when a finding would keep the server from starting.
pub(super) async fn run(settings: &SettingsArgs, args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let url = args.database_url.iter();
    let config =
        settings.load(url.map(|url| flag("--database-url", "database.url", url)).collect())?;
    let urls = Urls::from_config(&config.database)?;
    let (connect, given) = match urls.owner().await? {
        Some((owner, login)) => (owner, login),
        None => (&urls.url, urls.url.user()),
    };
    let pg = Pg::new(Options::new(connect.clone()))?;
    let tx = pg.begin_system("doctor").await?;
    let made = match (given, tx.query_text(LOGINS, &[]).await?) {
        (None, Some(_)) => tx.query_text(AUTHENTICATOR, &[]).await?,
        _ => None,
    };
    let authenticator = given.or(made.as_deref()).unwrap_or_default();
    let catalog = catalog::load(&tx, &config.schema).await?;
    let capabilities = capabilities(&tx).await?;
    let tracked = admin::stored_tables(&tx, &catalog).await?;
    let shown = |table: &&Table| {
        (table.exposed || tracked.contains(&table.oid))
            && !table.is_partition
            && table.kind != TableKind::View
    };
    let shown: Vec<Oid> = catalog.tables.iter().filter(shown).map(|table| table.oid).collect();
    let trees = changes::trees(&tx, &shown).await?;
    tx.commit().await?;
    pg.close();

    let mapped: Vec<String> = config.roles.map.values().cloned().collect();
    let report = Report::new(doctor::run(&DoctorInput {
        catalog: &catalog,
        authenticator,
        mapped_roles: &mapped,
        schemas: &config.schema.expose,
        tracked: &tracked,
        production: config.mode() == Mode::Production,
        tenant_columns: &config.schema.tenant_columns,
        expose_owner_views: config.schema.expose_owner_views,
        capabilities: Some(&capabilities),
        live: Some(LiveInput { manage: config.live.manage, trees: &trees }),
    }));
    if args.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| CliError::Usage(error.to_string()))?;
        print(&format!("{text}\n"))?;
    } else {
        print(&report.to_string())?;
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// Where `migrate` keeps the logins that it made.
const LOGINS: &str = "select to_regclass('ringfence.logins')::text";
const AUTHENTICATOR: &str = "select role::text from ringfence.logins where kind = 'authenticator'";
