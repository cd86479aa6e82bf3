//! `ringfence dev`: a private cluster, the demo, a server over it, and all
//! that is needed to try it.
//!
//! ```text
//! .ringfence ─▶ secrets ─▶ cluster ─▶ migrate ─▶ demo ─▶ serve ─▶ Ctrl-C ─▶ stop all, in order
//! ```

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::demo::{self, PEOPLE, Person};
use super::project::{Project, Secrets};
use super::settings::{SettingsArgs, flag};
use super::token::{TokenRequest, mint};
use super::{CliError, error, note, print, serve};
use crate::base::Secret;
use crate::cluster::{Cluster, ClusterOptions, Started};
use crate::config::{Config, Sources};
use crate::pg::Pg;
use crate::session::AuthConfig;
use crate::telemetry::logging;

/// The database in the private cluster.
const DATABASE: &str = "app";
/// Tokens are made anew at every start.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Args)]
pub(super) struct DevArgs {
    #[command(flatten)]
    listen: serve::ListenArgs,
    /// Do not load the demo into a new database
    #[arg(long)]
    no_demo: bool,
    /// Print what is ready as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: &SettingsArgs, args: &DevArgs) -> Result<ExitCode, CliError> {
    let began = Instant::now();
    let folder = env::current_dir().map_err(error::io("finding the working folder"))?;
    let project = Project::open(&folder)?;
    let secrets = project.secrets()?;
    // Wrong settings are told before anything is started.
    let sources = settings.sources(args.listen.flags())?;
    configure(&sources, &secrets, None)?;

    let options = ClusterOptions::new(project.path("pg"), DATABASE);
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options))
        .await
        .map_err(|error| CliError::Usage(format!("starting the cluster: {error}")))??;
    let served = with_cluster(&sources, args, &project, &secrets, &cluster, began).await;
    // The server has ended, so this is the last in order, whatever happened.
    let stopped = tokio::task::spawn_blocking(move || cluster.stop())
        .await
        .map_err(|error| CliError::Usage(format!("stopping the cluster: {error}")))?;
    served?;
    stopped?;
    note("Stopped; the data stays in .ringfence for the next start.")?;
    Ok(ExitCode::SUCCESS)
}

async fn with_cluster(
    sources: &Sources,
    args: &DevArgs,
    project: &Project,
    secrets: &Secrets,
    cluster: &Cluster,
    began: Instant,
) -> Result<(), CliError> {
    let config = configure(sources, secrets, Some(cluster))?;
    let _log = logging::init(&config.log)?;
    let marker = project.path("demo");
    let (pg, logins) = Pg::start(&config.database, &config.schema.expose).await?;
    if !args.no_demo && !marker.exists() {
        let login = logins.request.user().unwrap_or_default();
        if demo::load(&pg, login).await? {
            note("Loaded the demo: two tenants, Acme and Globex.")?;
        }
        // Written in either case: what a user drops later stays dropped.
        project.write("demo", "loaded\n")?;
    }
    pg.close();

    let auth = AuthConfig::try_from(&config.auth)?;
    let tokens = tokens(&auth, &marker.exists())?;
    let console = tokens
        .iter()
        .map(|(person, token)| crate::console::DevToken {
            label: format!("{} · {} · {}", person.tenant, person.role, person.name),
            token: token.clone(),
        })
        .collect();
    let stop = serve::stop_on_signals()?;
    serve::run_server(config.clone(), console, stop, |address| {
        let ready = Ready { config: &config, cluster, address, tokens: &tokens, secrets };
        project.write("dev.env", &ready.env())?;
        if args.json {
            return print(&format!("{}\n", ready.json()));
        }
        print(&ready.text(cluster.started(), began.elapsed(), "./.ringfence/dev.env"))
    })
    .await
}

/// The settings of the user over those that dev needs.
fn configure(
    sources: &Sources,
    secrets: &Secrets,
    cluster: Option<&Cluster>,
) -> Result<Config, CliError> {
    let given = Config::load(sources)?;
    let set = |key: &str| given.resolved.iter().any(|s| s.key == key && s.source != "default");
    let mut sources = sources.clone();
    for warning in cluster.map(|_| given.warnings.clone()).unwrap_or_default() {
        note(&format!("warning: {warning}"))?;
    }
    let mut default = |key: &str, value: String| {
        if !set(key) {
            sources.flags.push(flag("ringfence dev", key, value));
        }
    };
    default("mode", "development".to_owned());
    default("roles.map", demo::ROLES.to_owned());
    default("auth.admin_secret", secrets.admin_secret.expose().clone());
    default("auth.jwt", jwt(secrets));
    if let Some(cluster) = cluster {
        let url = cluster.url().expose().clone();
        let foreign =
            given.config.database.url.as_ref().is_some_and(|given| *given.expose() != url);
        if foreign {
            note(
                "warning: ringfence dev runs its own database; database.url is ignored (use \
                 `ringfence serve` for that one)",
            )?;
        }
        sources.flags.push(flag("ringfence dev", "database.url", url));
        sources.flags.push(flag("ringfence dev", "database.owner_url", ""));
    }
    Ok(Config::load(&sources)?.config)
}

fn jwt(secrets: &Secrets) -> String {
    json!({"type": "HS256", "key": secrets.jwt_key.expose()}).to_string()
}

/// A token for everyone of the demo; none when the configured keys cannot sign.
fn tokens(
    auth: &AuthConfig,
    demo: &bool,
) -> Result<Vec<(&'static Person, Secret<String>)>, CliError> {
    let mut tokens = Vec::new();
    for person in PEOPLE.iter().filter(|_| *demo) {
        let request = TokenRequest {
            roles: vec![person.role.to_owned()],
            tenant: Some(person.tenant_id.to_owned()),
            user: Some(person.user_id.to_owned()),
            claims: Vec::new(),
            valid_for: TOKEN_LIFE,
        };
        match mint(auth, &request) {
            Ok(token) => tokens.push((person, token)),
            Err(CliError::Usage(reason)) => {
                note(&format!("no tokens: {reason}"))?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tokens)
}

/// All that is told when the server is ready.
struct Ready<'a> {
    config: &'a Config,
    cluster: &'a Cluster,
    address: SocketAddr,
    tokens: &'a [(&'static Person, Secret<String>)],
    secrets: &'a Secrets,
}

impl Ready<'_> {
    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn admin_secret(&self) -> &str {
        self.config.auth.admin_secret.as_ref().map_or("", |secret| secret.expose())
    }

    fn json(&self) -> String {
        let tokens: Vec<_> = self
            .tokens
            .iter()
            .map(|(person, token)| {
                json!({
                    "tenant": person.tenant, "tenant_id": person.tenant_id,
                    "user": person.name, "user_id": person.user_id,
                    "role": person.role, "token": token.expose(),
                })
            })
            .collect();
        json!({
            "graphql_url": format!("{}/v1/graphql", self.base()),
            "console_url": format!("{}/console", self.base()),
            "database_url": self.cluster.url().expose(),
            "admin_secret": self.admin_secret(),
            "tokens": tokens,
        })
        .to_string()
    }

    /// For `. .ringfence/dev.env`: the settings, so that the other commands of
    /// `ringfence` work on the same database, and the tokens.
    fn env(&self) -> String {
        let mut text = String::from("# Made by `ringfence dev` at every start. Secret.\n");
        let mut line = |name: &str, value: &str| {
            text.push_str(&format!("export {name}='{}'\n", value.replace('\'', "'\\''")));
        };
        line("GRAPHQL_URL", &format!("{}/v1/graphql", self.base()));
        line("CONSOLE_URL", &format!("{}/console", self.base()));
        line("DATABASE_URL", self.cluster.url().expose());
        line("HASURA_GRAPHQL_ADMIN_SECRET", self.admin_secret());
        if !self.tokens.is_empty() {
            line("HASURA_GRAPHQL_JWT_SECRET", &jwt(self.secrets));
        }
        let map = &self.config.roles.map;
        let map: Vec<_> = map.iter().map(|(role, db)| format!("{role}={db}")).collect();
        line("RINGFENCE_ROLES_MAP", &map.join(","));
        line("RINGFENCE_MODE", self.config.mode().as_str());
        for (person, token) in self.tokens {
            line(person.variable, token.expose());
        }
        text
    }

    fn text(&self, started: Started, took: Duration, env_file: &str) -> String {
        let how = match started {
            Started::Created => "with a new database",
            Started::Restarted => "with the database of the last time",
            Started::Adopted => "with the database that was still running",
        };
        let mut text = format!(
            "\nReady after {:.1} s, {how}.\n\n  GraphQL       {base}/v1/graphql\n  \
             Console       {base}/console\n  Database      {}\n  Admin secret  {}\n",
            took.as_secs_f32(),
            self.cluster.url().expose(),
            self.admin_secret(),
            base = self.base(),
        );
        for (person, token) in self.tokens {
            text.push_str(&format!(
                "\n  {}, {} ({}), ${}\n  {}\n",
                person.tenant,
                person.name,
                person.role,
                person.variable,
                token.expose()
            ));
        }
        if !self.tokens.is_empty() {
            text.push_str(&format!(
                "\nThe same query, two tenants:\n\n  . {env_file}\n  for token in \
                 \"$ACME_USER\" \"$GLOBEX_USER\"; do\n    curl -s \"$GRAPHQL_URL\" -H \
                 \"Authorization: Bearer $token\" \\\n      -H 'Content-Type: application/json' \
                 -d '{{\"query\":\"{{ projects {{ name tasks {{ title }} }} }}\"}}'; echo\n  done\n"
            ));
        }
        text.push_str("\nCtrl-C stops the server and the database.\n");
        text
    }
}
