//! `ringfence migrate`: what the product puts into a database, and taking it
//! out again.

use clap::Args;

use super::settings::{SettingsArgs, flag};
use super::{CliError, note, print};
use crate::pg::migrate::{self, Missing, Report, Scope, Wanted};
use crate::pg::{Urls, bootstrap};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Print the statements instead of running them
    #[arg(long)]
    print: bool,
    /// Take everything out again: schema, roles, event triggers
    #[arg(long)]
    remove: bool,
    /// The database [default: database.url, or DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

pub(super) async fn run(settings: &SettingsArgs, args: &MigrateArgs) -> Result<(), CliError> {
    let url = args.database_url.iter();
    let config =
        settings.load(url.map(|url| flag("--database-url", "database.url", url)).collect())?;
    let urls = Urls::from_config(&config.database)?;
    let wanted = Wanted::from(&config.schema);
    if !args.print && !args.remove {
        let logins = bootstrap(&urls, wanted).await?;
        if logins.owner.is_none() {
            return Err(no_owner());
        }
        return report(&logins.report);
    }
    let (owner, request_login) = urls.owner().await?.ok_or_else(no_owner)?;
    match (args.print, args.remove) {
        (true, true) => print(&migrate::print_remove(owner, request_login).await?),
        (true, false) => print(&migrate::print(owner, Scope { request_login, wanted }).await?),
        (false, _) => {
            let removed = migrate::remove(owner, request_login).await?;
            for sql in &removed.done {
                print(&format!("{sql};\n"))?;
            }
            for reason in &removed.kept {
                note(&format!("kept: {reason}"))?;
            }
            Ok(())
        }
    }
}

fn no_owner() -> CliError {
    CliError::Usage(
        "the login of database.url is restricted, so it cannot migrate; give the owner's URL in \
         database.owner_url (RINGFENCE_DATABASE_OWNER_URL)"
            .to_owned(),
    )
}

fn report(report: &Report) -> Result<(), CliError> {
    if report.read_only {
        return note("the database is read-only or a standby; nothing was done");
    }
    if report.done.is_empty() {
        note("the database is up to date")?;
    }
    for sql in &report.done {
        print(&format!("{sql};\n"))?;
    }
    for Missing { what, lost, sql } in &report.missing {
        note(&format!("not available: {what} ({lost}). An administrator can run: {sql}"))?;
    }
    Ok(())
}
