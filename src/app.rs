//! Wiring: from the configuration to a running server, and its orderly end.
//!
//! ```text
//! Config ─▶ logins, pools (migrated) ─▶ refuse? ─▶ catalogue, watched ─▶ engine ─▶ edge ─▶ sockets
//! ```

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::action::HandlerOptions;
use crate::admin::{self, Project, ProjectError, ProjectOptions};
use crate::base::ApiError;
use crate::catalog::CatalogError;
use crate::catalog::watch::{CHANNEL, Watch};
use crate::config::{CacheConfig, Config};
use crate::console::{self, ConsoleSettings};
use crate::doctor::{Finding, examine, gaps, list};
use crate::engine::{Engine, EngineLimits};
use crate::metadata::Metadata;
use crate::metadata::folder::{self, FolderError};
use crate::pg::{BootstrapError, Given, ListenEvent, Logins, Pg, PgError, PoolStats};
use crate::response_cache::{CacheOptions, RedisError, RedisOptions, ResponseCache};
use crate::schema::tracked::ObjectKind;
use crate::schema::{RoleMapping, SchemaOptions};
use crate::session::auth_config::AuthConfigError;
use crate::session::claims::{ClaimNames, admin_session};
use crate::session::{AuthConfig, SessionVars};
use crate::telemetry::metrics::{EngineSnapshot, Metrics, PoolSnapshot, Snapshots};
use crate::transport::{AuthSetupError, Authenticator, Edge, EdgeOptions, ReadyCheck, serve};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Database(#[from] PgError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
    #[error(transparent)]
    AuthSetup(#[from] AuthSetupError),
    #[error("metadata.dir: {0}")]
    Folder(#[from] FolderError),
    #[error("metadata.dir: the metadata cannot be applied: {0}")]
    Apply(String),
    #[error(
        "refusing to start: row-level security has gaps{}\n\
         (`ringfence doctor` says more; database.allow_unsafe_roles = true overrides this, for trials only)",
        list(.0)
    )]
    Unsafe(Vec<Finding>),
    #[error("server.host, server.port: cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
}

/// Everything but the sockets: for the server and for commands that ask the
/// engine once.
pub struct App {
    pub config: Config,
    pub pg: Pg,
    pub logins: Logins,
    pub watch: Watch,
    pub project: Project,
    pub engine: Arc<Engine>,
    tasks: Vec<JoinHandle<()>>,
    reloads: Arc<AtomicU64>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl App {
    /// Connects, migrates where there is an owner, checks the logins, loads the
    /// catalogue and follows it.
    pub async fn start(config: Config) -> Result<App, AppError> {
        let (pg, logins) = Pg::start(&config.database, (&config.schema).into()).await?;
        if logins.given == Given::Restricted && config.auth.admin_secret.is_some() {
            tracing::warn!(
                "auth.admin_secret is set, but there is no administrator: database.url is a restricted login; \
                 give the owner's URL in database.owner_url, or leave the secret out"
            );
        }
        let authenticator = logins.request.user().unwrap_or_default().to_owned();
        let (checked, watch) =
            tokio::join!(pg.check_login(), Watch::start(pg.clone(), config.schema.clone()));
        checked?;
        let watch = watch?;
        let found = examine(&config, &watch.current(), &BTreeSet::new(), &authenticator);
        for finding in found.iter().filter(|finding| MISNAMED.contains(&finding.id)) {
            tracing::warn!(fix = finding.fix, "{}: {}", finding.object, finding.message);
        }
        refuse_gaps(&config, found)?;
        let options = SchemaOptions {
            expose_owner_views: config.schema.expose_owner_views,
            roles: RoleMapping {
                map: config.roles.map.clone(),
                automap: config.roles.automap,
                authenticator: authenticator.clone(),
                allow_unsafe: config.database.allow_unsafe_roles,
            },
            infer_function_permissions: config.schema.infer_function_permissions,
            stringify_numbers: config.schema.stringify_numeric_types,
            json_by_postgres: !config.database.typed_rows,
            only_listed: config.schema.enable_allowlist,
            role_settings: pg.role_settings(&[]),
        };
        let given = config.metadata.dir.as_deref().map(|dir| folder::read(Path::new(dir)));
        let given = given.transpose()?;
        let limits = EngineLimits {
            depth: size(config.limits.depth),
            nodes: size(config.limits.nodes),
            rows: config.limits.rows.map(u64::from),
            insert_rows: size(config.limits.insert_rows),
            plan_cache_bytes: config.limits.plan_cache_bytes.0,
        };
        let options = ProjectOptions {
            config: config.clone(),
            roles: options,
            limits,
            poll_interval: config.live.poll_interval,
            handlers: HandlerOptions {
                max_response: usize::try_from(config.actions.max_response.0).unwrap_or(usize::MAX),
                denied: config.actions.deny_networks.clone(),
            },
            answers: answers(&config.cache, &pg).await?,
            metadata: given.clone().filter(|_| logins.given == Given::Restricted),
        };
        let project = Project::start(pg.clone(), watch.clone(), options).await?;
        let tracked = project.tracked_tables().await;
        if !tracked.is_empty() {
            // Metadata may show tables of other schemas.
            refuse_gaps(&config, examine(&config, &watch.current(), &tracked, &authenticator))?;
        }
        let engine = project.engine().clone();
        let reloads = Arc::new(AtomicU64::new(0));
        let mut tasks = vec![
            tokio::spawn(install_changes(
                pg.clone(),
                watch.clone(),
                project.clone(),
                reloads.clone(),
                (config.clone(), authenticator),
            )),
            tokio::spawn(pass_on_suspicion(project.clone(), engine.clone())),
            tokio::spawn(read_after_changes(watch.clone(), engine.clone())),
            tokio::spawn(follow_sources(project.clone())),
        ];
        if logins.given != Given::Restricted
            && let Some(events) = pg.listen(&[CHANNEL, admin::CHANNEL])?
        {
            tasks.push(tokio::spawn(follow_notifications(watch.clone(), project.clone(), events)));
        }
        tasks.extend(engine.live().follow(&pg, logins.replication.as_ref(), config.live.manage));
        let app = App { config, pg, logins, watch, project, engine, tasks, reloads };
        if let Some(metadata) = given
            && app.project.is_stored()
        {
            app.apply(&metadata).await?;
        }
        Ok(app)
    }

    /// Runs a command of the administrator's API.
    pub async fn administer(
        &self,
        endpoint: admin::Endpoint,
        body: &str,
    ) -> Result<Box<RawValue>, ApiError> {
        let config = AuthConfig::try_from(&self.config.auth)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        let session = admin_session(None, SessionVars::new(), None, &ClaimNames::new(&config))?;
        let body = RawValue::from_string(body.to_owned());
        let body = body.map_err(|error| ApiError::internal(error.to_string()))?;
        self.project.execute(&session, endpoint, &body).await
    }

    /// Stores the metadata of a folder, unless it is what is stored. What the
    /// database does not bear out is told and left out.
    async fn apply(&self, metadata: &Metadata) -> Result<(), AppError> {
        let failed =
            |error: ApiError| AppError::Apply(format!("{}: {}", error.path, error.message));
        let export = json!({"type": "export_metadata", "args": {}}).to_string();
        let endpoint = admin::Endpoint::V1Metadata;
        let stored = self.administer(endpoint, &export).await.map_err(failed)?;
        let stored = serde_json::from_str(stored.get()).ok();
        if stored.and_then(|stored: Value| Metadata::from_json(&stored).ok()).as_ref()
            == Some(metadata)
        {
            return Ok(());
        }
        let replace = json!({"type": "replace_metadata", "version": 2, "args": {
            "allow_inconsistent_metadata": true, "metadata": metadata}});
        self.administer(endpoint, &replace.to_string()).await.map_err(failed)?;
        tracing::info!("the metadata of metadata.dir is applied");
        Ok(())
    }

    /// Opens the socket and serves until `stop` is cancelled. `tokens` are
    /// offered by the console, in development.
    pub async fn serve(
        self,
        stop: CancellationToken,
        tokens: Vec<console::DevToken>,
    ) -> Result<Serving, AppError> {
        let address = self.config.server.listen();
        let listener = TcpListener::bind(address)
            .await
            .map_err(|cause| AppError::Listen { address, cause })?;
        let address = listener.local_addr().map_err(|cause| AppError::Listen { address, cause })?;
        let auth = Authenticator::new(&AuthConfig::try_from(&self.config.auth)?)?;
        let app = Arc::new(self);
        let metrics = Arc::new(Metrics::new(Some(app.clone())));
        let ready: ReadyCheck = {
            let pg = app.pg.clone();
            Arc::new(move || {
                let pg = pg.clone();
                async move { pg.ping().await.map_err(|error| error.to_string()) }.boxed()
            })
        };
        let others = if app.config.console.enabled {
            console::router(ConsoleSettings { endpoint: "/v1/graphql".to_owned(), tokens })
        } else {
            axum::Router::new()
        };
        let edge = Edge::new(
            app.engine.clone(),
            auth,
            EdgeOptions::from(&app.config),
            metrics,
            ready,
            stop.clone(),
            others,
        );
        let edge = Arc::new(edge.administered(app.project.clone()));
        let grace = app.config.server.shutdown_grace;
        let task = tokio::spawn(async move {
            serve(listener, edge, stop, grace).await;
            app.pg.close();
        });
        Ok(Serving { address, task })
    }
}

/// A server that accepts connections.
#[derive(Debug)]
pub struct Serving {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// Waits for the end that the stop token brings about.
    pub async fn finished(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server ended by a fault");
        }
    }
}

impl Snapshots for App {
    fn pools(&self) -> Vec<PoolSnapshot> {
        let of_source = |(name, pg): (Arc<str>, Pg)| {
            pg.stats().into_iter().map(move |pool| pool_snapshot(&name, pool))
        };
        self.engine.databases().into_iter().flat_map(of_source).collect()
    }

    fn engine(&self) -> EngineSnapshot {
        let plans = self.engine.plan_cache_stats();
        let live = self.engine.live().stats();
        let schemas = self.engine.schemas();
        let undelivered =
            |kind| u64::try_from(schemas.tracked().undelivered(kind)).unwrap_or(u64::MAX);
        let answers = self.engine.response_cache_stats();
        EngineSnapshot {
            event_triggers_undelivered: undelivered(ObjectKind::EventTrigger),
            cron_triggers_undelivered: undelivered(ObjectKind::CronTrigger),
            plan_hits: plans.hits,
            plan_misses: plans.misses,
            plan_evictions: plans.evictions,
            plan_entries: plans.plans,
            plan_bytes: plans.bytes,
            answer_hits: answers.hits,
            answer_misses: answers.misses,
            answer_bypasses: answers.bypassed,
            answer_failures: answers.failures,
            answer_entries: answers.entries,
            answer_bytes: answers.bytes,
            catalog_generation: self.watch.current().generation,
            catalog_reloads: self.reloads.load(Ordering::Relaxed),
            catalog_reload_failures: self.watch.failures(),
            subscriptions: self.engine.open_subscriptions(),
            readings_changed: live.changed,
            readings_unchanged: live.unchanged,
            readings_failed: live.failed,
            woken_groups: live.woken_groups,
            polled_groups: live.polled_groups,
            tables_log: live.log_tables,
            tables_triggers: live.trigger_tables,
            tables_polled: live.polled_tables,
            live_streaming: u64::from(live.streaming),
            live_remembered: live.remembered,
            live_commits: live.commits,
            live_gaps: live.gaps,
            live_place: live.place,
            live_delay: live.delay,
            unshareable: self.engine.unshareable_operations(),
            wakes: live.woken,
            wakes_spared: live.spared,
            wakes_settled: live.skipped,
            audits_same: live.audits.saturating_sub(live.mismatches),
            audits_mismatch: live.mismatches,
        }
    }
}

/// Two servers find each other's answers in Redis when they serve the same
/// database of the same cluster.
const INSTALLATION: &str = "select concat_ws('/', c.system_identifier, d.oid)
  from pg_control_system() c, pg_database d where d.datname = current_database()";

async fn answers(config: &CacheConfig, pg: &Pg) -> Result<ResponseCache, AppError> {
    let redis = match &config.redis_url {
        None => None,
        Some(url) => {
            let tx = pg.begin_system("tell installations apart").await?;
            match tx.query_text(INSTALLATION, &[]).await {
                Ok(installation) => Some(RedisOptions {
                    url: url.expose().clone(),
                    prefix: format!("{}{}/", config.redis_prefix, installation.unwrap_or_default()),
                    timeout: config.redis_timeout,
                }),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "pg_control_system() does not tell which database this is, so answers are \
                         kept in this process and not in Redis"
                    );
                    None
                }
            }
        }
    };
    Ok(ResponseCache::new(&CacheOptions {
        bytes: config.bytes.0,
        entry_bytes: config.entry_bytes.0,
        max_ttl: config.max_ttl,
        redis,
    })?)
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// What metrics show of a pool.
fn pool_snapshot(source: &Arc<str>, stats: PoolStats) -> PoolSnapshot {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    PoolSnapshot {
        pool: stats.pool,
        source: source.clone(),
        max: count(stats.max),
        idle: count(stats.idle),
        in_use: count(stats.in_use),
        waiting: count(stats.waiting),
        opened: stats.opened,
        cancelled: stats.cancelled,
        refused: stats.refused,
        round_trips: stats.round_trips,
        statement_hits: stats.statement_hits,
        statement_misses: stats.statement_misses,
        statement_evictions: stats.statement_evictions,
    }
}

/// Names in the configuration that mean nothing in the database.
const MISNAMED: [&str; 3] = ["role-missing", "role-not-granted", "schema-missing"];

fn refuse_gaps(config: &Config, found: Vec<Finding>) -> Result<(), AppError> {
    let found = gaps(found);
    if found.is_empty() {
        return Ok(());
    }
    if !config.database.allow_unsafe_roles {
        return Err(AppError::Unsafe(found));
    }
    tracing::warn!(
        "row-level security has gaps; database.allow_unsafe_roles is set{}",
        list(&found)
    );
    Ok(())
}

async fn install_changes(
    pg: Pg,
    watch: Watch,
    project: Project,
    reloads: Arc<AtomicU64>,
    (config, authenticator): (Config, String),
) {
    let mut generations = watch.subscribe();
    // A change may have come between the project's start and ours.
    generations.mark_changed();
    while generations.changed().await.is_ok() {
        let generation = watch.current().generation;
        // A change may have been seen by nothing but the new catalogue.
        pg.forget_plans();
        if let Err(error) = project.catalog_changed().await {
            tracing::error!(%error, "the new catalogue cannot be served; the one in use stays");
            continue;
        }
        reloads.fetch_add(1, Ordering::Relaxed);
        tracing::info!(generation, "the catalogue changed");
        let tracked = project.tracked_tables().await;
        let found = gaps(examine(&config, &watch.current(), &tracked, &authenticator));
        if !found.is_empty() {
            tracing::error!("a change opened gaps in row-level security{}", list(&found));
        }
    }
}

/// Between two attempts to reach sources that are not served.
const RETRY_SOURCES: Duration = Duration::from_secs(10);

async fn follow_sources(project: Project) {
    let changed = project.source_changed();
    loop {
        let result = tokio::select! {
            () = changed.notified() => project.catalog_changed().await,
            () = tokio::time::sleep(RETRY_SOURCES) => project.retry_sources().await,
        };
        if let Err(error) = result {
            tracing::error!(%error, "the sources cannot be served anew; what is in use stays");
        }
    }
}

/// What the log does not tell of, and no other schema either.
async fn read_after_changes(watch: Watch, engine: Arc<Engine>) {
    let mut unseen = watch.subscribe_unseen();
    while unseen.changed().await.is_ok() {
        engine.live().objects_changed();
        engine.live().reconsider();
    }
}

async fn pass_on_suspicion(project: Project, engine: Arc<Engine>) {
    let suspicion = engine.suspicion();
    loop {
        suspicion.notified().await;
        project.suspect_roles().await;
    }
}

async fn follow_notifications(
    watch: Watch,
    project: Project,
    mut events: tokio::sync::mpsc::Receiver<ListenEvent>,
) {
    while let Some(event) = events.recv().await {
        let (catalog, metadata) = match event {
            ListenEvent::Notification { channel, .. } => {
                (channel == CHANNEL, channel == admin::CHANNEL)
            }
            ListenEvent::Lost => {
                watch.set_listening(true);
                (true, true)
            }
            ListenEvent::Broken => {
                watch.set_listening(false);
                (false, false)
            }
        };
        if catalog {
            watch.notified();
            // Of a publication the catalogue tells nothing.
            project.engine().live().reconsider();
        }
        if metadata && let Err(error) = project.metadata_changed().await {
            tracing::error!(%error, "the changed metadata cannot be served; the one in use stays");
        }
    }
    watch.set_listening(false);
}
