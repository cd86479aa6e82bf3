//! `ringfence schema print` and `ringfence explain`: questions to the engine,
//! asked as a role.

use std::io::Read as _;

use clap::{Args, Subcommand};
use serde_json::value::RawValue;

use super::settings::SettingsArgs;
use super::{CliError, error, print};
use crate::app::App;
use crate::base::ApiError;
use crate::engine::GraphqlRequest;
use crate::session::claims::{ClaimNames, admin_session};
use crate::session::{AuthConfig, Session, SessionVars};

/// Who asks.
#[derive(Debug, Args)]
pub(super) struct RoleArgs {
    /// The GraphQL role
    #[arg(long)]
    role: String,
    /// A session variable, as in --session x-hasura-user-id=7
    #[arg(long, value_name = "NAME=VALUE")]
    session: Vec<String>,
    /// The tenant (x-hasura-tenant-id)
    #[arg(long)]
    tenant: Option<String>,
    /// The user (x-hasura-user-id)
    #[arg(long)]
    user: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SchemaCommand {
    /// Print what a role sees, as GraphQL SDL
    Print(RoleArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    who: RoleArgs,
    /// The document; `-` reads it from standard input
    #[arg(long, short)]
    query: String,
    /// The variables, a JSON object
    #[arg(long, value_name = "JSON")]
    variables: Option<String>,
    /// Which operation of the document
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn schema(
    settings: &SettingsArgs,
    command: &SchemaCommand,
) -> Result<(), CliError> {
    let SchemaCommand::Print(who) = command;
    let app = open(settings).await?;
    let sdl = app.engine.sdl(&who.session(&app)?)?;
    app.pg.close();
    print(&format!("{}\n", sdl.trim_end()))
}

pub(super) async fn explain(settings: &SettingsArgs, args: &ExplainArgs) -> Result<(), CliError> {
    let query = match args.query.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(error::io("reading standard input"))?;
            text
        }
        text => text.to_owned(),
    };
    let variables =
        args.variables.clone().map(RawValue::from_string).transpose().map_err(|error| {
            CliError::Usage(format!("--variables: expected a JSON object: {error}"))
        })?;
    let request = GraphqlRequest {
        query,
        operation_name: args.operation.clone(),
        variables,
        ..GraphqlRequest::default()
    };
    let app = open(settings).await?;
    let explanation = app.engine.explain(&args.who.session(&app)?, &request).await?;
    app.pg.close();
    if args.json {
        let text = serde_json::to_string_pretty(&explanation)
            .map_err(|error| CliError::Usage(error.to_string()))?;
        return print(&format!("{text}\n"));
    }
    let mut text = format!(
        "role      {} (database role {})\nsettings  {}\n",
        explanation.role,
        explanation.db_role,
        explanation.settings.join(", ")
    );
    if let Some(reason) = &explanation.not_cached {
        text.push_str(&format!("@cached   the answer is not kept: {reason}\n"));
    }
    match (&explanation.sql, &explanation.plan) {
        (Some(sql), Some(plan)) => push_statement(&mut text, sql, &explanation.parameters, plan)?,
        _ => text.push_str("\nThe answer needs no statement.\n"),
    }
    if !explanation.kept_from_index.is_empty() {
        text.push_str("\nRow-level security keeps these conditions from an index:\n");
    }
    for kept in &explanation.kept_from_index {
        text.push_str(&format!(
            "  {}.{} {} would use {}, but {} is not leakproof\n",
            kept.table,
            kept.column,
            kept.operator,
            kept.indexes.join(", "),
            kept.function,
        ));
    }
    for next in &explanation.then {
        push_statement(&mut text, &next.sql, &next.parameters, &next.plan)?;
    }
    print(&text)
}

fn push_statement(
    text: &mut String,
    sql: &str,
    parameters: &[Option<String>],
    plan: &RawValue,
) -> Result<(), CliError> {
    text.push_str(&format!("\n{sql}\n"));
    for (index, value) in parameters.iter().enumerate() {
        let value = value.as_deref().unwrap_or("null");
        text.push_str(&format!("  ${} = {value}\n", index + 1));
    }
    let plan: serde_json::Value =
        serde_json::from_str(plan.get()).map_err(|error| CliError::Usage(error.to_string()))?;
    text.push_str(&format!("\n{plan:#}\n"));
    Ok(())
}

async fn open(settings: &SettingsArgs) -> Result<App, CliError> {
    Ok(App::start(settings.load(Vec::new())?).await?)
}

impl RoleArgs {
    fn session(&self, app: &App) -> Result<Session, CliError> {
        let mut vars = SessionVars::new();
        for text in &self.session {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| CliError::Usage(format!("--session {text}: expected NAME=VALUE")))?;
            vars.insert(name.trim().to_ascii_lowercase(), value.to_owned());
        }
        let named = [("x-hasura-tenant-id", &self.tenant), ("x-hasura-user-id", &self.user)];
        for (name, value) in named {
            if let Some(value) = value {
                vars.insert(name.to_owned(), value.clone());
            }
        }
        let names = ClaimNames::new(&AuthConfig::try_from(&app.config.auth)?);
        Ok(admin_session(Some(&self.role), vars, None, &names).map_err(ApiError::from)?)
    }
}
