//! `ringfence dev`: a private cluster, the demo, a server over it, and all
//! that is needed to try it.
//!
//! ```text
//! .ringfence ─▶ secrets ─▶ cluster ─▶ migrate ─▶ demo ─▶ serve ─▶ Ctrl-C ─▶ stop all, in order
//! ```
//!
//! A signal ends each of the steps; the cluster is stopped in every case.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::demo::{self, PEOPLE, Person};
use super::project::{Project, Secrets};
use super::settings::{SettingsArgs, flag};
use super::token::{TokenRequest, mint};
use super::{CliError, error, note, print, serve};
use crate::base::Secret;
use crate::cluster::{self, Cluster, ClusterOptions, Started};
use crate::config::{Config, Sources};
use crate::pg::Pg;
use crate::session::AuthConfig;
use crate::telemetry::logging;

/// The database in the private cluster.
const DATABASE: &str = "app";
/// Tokens are made anew at every start.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often it is looked whether the cluster still runs.
const LOOK: Duration = Duration::from_millis(500);

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
    let stop = serve::stop_on_signals()?;
    let folder = env::current_dir().map_err(error::io("finding the working folder"))?;
    let project = Project::open(&folder)?;
    let secrets = project.secrets()?;
    // Wrong settings are told before anything is started.
    let sources = settings.sources(args.listen.flags())?;
    configure(&sources, &secrets, None)?;

    let options = ClusterOptions::new(project.path("pg"), DATABASE);
    // Not broken off: half of a start leaves nobody to stop the other half.
    let mut cluster = tokio::task::spawn_blocking(move || Cluster::start(&options))
        .await
        .map_err(|error| CliError::Usage(format!("starting the cluster: {error}")))??;
    let data = cluster.folder().to_path_buf();
    let served = serve_with(&sources, args, &project, &secrets, &mut cluster, began, &stop).await;
    // The server has ended, so this is the last in order, whatever happened.
    let stopped = tokio::task::spawn_blocking(move || cluster.stop())
        .await
        .map_err(|error| CliError::Usage(format!("stopping the cluster: {error}")))?;
    served?;
    stopped?;
    note(&format!("Stopped; the data stays in {} for the next start.", data.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until `stop` or until the cluster ends by itself.
async fn serve_with(
    sources: &Sources,
    args: &DevArgs,
    project: &Project,
    secrets: &Secrets,
    cluster: &mut Cluster,
    began: Instant,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let database = Database {
        url: cluster.url(),
        started: cluster.started(),
        marker: cluster.folder().join("demo"),
    };
    let work = with_database(sources, args, project, secrets, &database, began, stop);
    tokio::pin!(work);
    let ended = tokio::select! {
        done = &mut work => return done,
        ended = ended(cluster) => ended,
    };
    if stop.is_cancelled() {
        return work.await;
    }
    stop.cancel();
    if let Err(error) = work.await {
        note(&error.to_string())?;
    }
    Err(ended)
}

/// Waits until the cluster no longer runs.
async fn ended(cluster: &mut Cluster) -> CliError {
    loop {
        tokio::time::sleep(LOOK).await;
        match cluster.is_running() {
            Ok(true) => {}
            Ok(false) => return cluster.ended().into(),
            Err(error) => return error.into(),
        }
    }
}

/// What the server needs to know of the cluster.
struct Database {
    url: Secret<String>,
    started: Started,
    /// Exists beside the data once the demo was loaded.
    marker: PathBuf,
}

async fn with_database(
    sources: &Sources,
    args: &DevArgs,
    project: &Project,
    secrets: &Secrets,
    database: &Database,
    began: Instant,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let config = configure(sources, secrets, Some(&database.url))?;
    let _log = logging::init(&config.log)?;
    tokio::select! {
        prepared = prepare(&config, database, !args.no_demo) => prepared?,
        () = stop.cancelled() => return Ok(()),
    }

    let auth = AuthConfig::try_from(&config.auth)?;
    let tokens = tokens(&auth, &database.marker.exists())?;
    let console = tokens
        .iter()
        .map(|(person, token)| crate::console::DevToken {
            label: format!("{} · {} · {}", person.tenant, person.role, person.name),
            token: token.clone(),
        })
        .collect();
    serve::run_server(config.clone(), console, stop.clone(), |address| {
        let ready = Ready { config: &config, database, address, tokens: &tokens, secrets };
        project.write("dev.env", &ready.env())?;
        if args.json {
            return print(&format!("{}\n", ready.json()));
        }
        print(&ready.text(began.elapsed(), "./.ringfence/dev.env"))
    })
    .await
}

/// Migrates, and loads the demo where it never was.
async fn prepare(config: &Config, database: &Database, demo: bool) -> Result<(), CliError> {
    let (pg, logins) = Pg::start(&config.database, (&config.schema).into()).await?;
    let known = database.marker.exists() && database.started != Started::Created;
    if demo && !known {
        let login = logins.request.user().unwrap_or_default();
        if demo::load(&pg, login).await? {
            note("Loaded the demo: two tenants, Acme and Globex.")?;
        }
        // Written in either case: what a user drops later stays dropped.
        cluster::write_private(&database.marker, "loaded\n")?;
    }
    pg.close();
    Ok(())
}

/// The settings of the user over those that dev needs.
fn configure(
    sources: &Sources,
    secrets: &Secrets,
    database: Option<&Secret<String>>,
) -> Result<Config, CliError> {
    let given = Config::load(sources)?;
    let set = |key: &str| given.resolved.iter().any(|s| s.key == key && s.source != "default");
    let mut sources = sources.clone();
    for warning in database.map(|_| given.warnings.clone()).unwrap_or_default() {
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
    if let Some(url) = database {
        let url = url.expose().clone();
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
    database: &'a Database,
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
            "database_url": self.database.url.expose(),
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
        line("DATABASE_URL", self.database.url.expose());
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

    fn text(&self, took: Duration, env_file: &str) -> String {
        let how = match self.database.started {
            Started::Created => "with a new database",
            Started::Restarted => "with the database of the last time",
            Started::Adopted => "with the database that was still running",
        };
        let mut text = format!(
            "\nReady after {:.1} s, {how}.\n\n  GraphQL       {base}/v1/graphql\n  \
             Console       {base}/console\n  Database      {}\n  Admin secret  {}\n",
            took.as_secs_f32(),
            self.database.url.expose(),
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
