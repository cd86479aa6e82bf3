//! The databases of further sources: each has its own logins, pools and watch,
//! and is looked at like the first one before anything of it is served.
//!
//! ```text
//! configuration ─▶ URL ─▶ logins (migrated) ─▶ catalogue, watched ─▶ refuse? ─▶ Database
//! ```

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::catalog::watch::CHANNEL;
use crate::catalog::{Catalog, Watch};
use crate::config::Config;
use crate::doctor::{examine, gaps, list};
use crate::metadata::document::parse;
use crate::metadata::source::{Customization, DEFAULT_SOURCE};
use crate::metadata::{Metadata, Source, Table};
use crate::pg::{ConnectionString, Given, Options, Pg, SystemTx, Urls, bootstrap};
use crate::schema::tracked::{Connection, SourceLogin};

use super::enums::{self, Enums};
use super::project::named_tables;

/// The database of a source. Dropping it closes its connections.
pub(super) struct Database {
    pub connection: Connection,
    pub pg: Pg,
    pub watch: Watch,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Database {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.pg.close();
    }
}

/// A source beside the first one, as it is served or will be.
#[derive(Clone)]
pub(super) struct Further {
    /// What the metadata says of it, by which a change is seen.
    pub configuration: Value,
    pub customization: Option<Customization>,
    /// Or why it is not served.
    pub database: Result<Served, Arc<str>>,
}

#[derive(Clone)]
pub(super) struct Served {
    pub database: Arc<Database>,
    pub catalog: Arc<Catalog>,
    pub enums: Enums,
}

pub(super) type FurtherSources = BTreeMap<Arc<str>, Further>;

/// Numbers of databases; 0 is the engine's own.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// `{connection_info: {database_url, pool_settings, …}}`
#[derive(Deserialize)]
struct Configuration {
    connection_info: ConnectionInfo,
}

#[derive(Deserialize)]
struct ConnectionInfo {
    database_url: DatabaseUrl,
    #[serde(default)]
    pool_settings: PoolSettings,
    #[serde(default)]
    ssl_configuration: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DatabaseUrl {
    Text(String),
    FromEnv { from_env: String },
    Parameters { connection_parameters: Parameters },
}

#[derive(Deserialize)]
struct Parameters {
    username: String,
    #[serde(default)]
    password: Option<String>,
    host: String,
    port: u16,
    database: String,
}

#[derive(Default, Deserialize)]
struct PoolSettings {
    #[serde(default)]
    max_connections: Option<NonZeroU32>,
}

impl DatabaseUrl {
    fn resolve(self) -> Result<String, String> {
        match self {
            DatabaseUrl::Text(url) => Ok(url),
            DatabaseUrl::FromEnv { from_env } => std::env::var(&from_env)
                .map_err(|_| format!("environment variable '{from_env}' not set")),
            DatabaseUrl::Parameters { connection_parameters: given } => {
                // The key=value form, whose values may hold anything when quoted.
                let quoted =
                    |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
                let mut out = format!(
                    "host={} port={} user={} dbname={}",
                    quoted(&given.host),
                    given.port,
                    quoted(&given.username),
                    quoted(&given.database)
                );
                if let Some(password) = &given.password {
                    out.push_str(&format!(" password={}", quoted(password)));
                }
                Ok(out)
            }
        }
    }
}

/// Opens databases.
pub(super) struct Opener {
    config: Config,
    /// Told when the catalogue of a database is another one.
    pub changed: Arc<Notify>,
}

impl Opener {
    pub(super) fn new(config: Config) -> Self {
        Opener { config, changed: Arc::new(Notify::new()) }
    }

    /// A source of the metadata, as far as it can be served.
    pub(super) async fn open(&self, source: &Source) -> Further {
        let database = match self.database(source).await {
            Ok(database) => {
                let catalog = database.watch.current();
                Ok(Served { database: Arc::new(database), catalog, enums: Enums::new() })
            }
            Err(reason) => {
                tracing::warn!(source = %source.name, reason, "a source is not served");
                Err(reason.into())
            }
        };
        Further {
            configuration: source.configuration.clone(),
            customization: source.customization.clone(),
            database,
        }
    }

    async fn database(&self, source: &Source) -> Result<Database, String> {
        if !matches!(&*source.kind, "postgres" | "pg") {
            return Err(format!("sources of kind \"{}\" are not supported", source.kind));
        }
        source.names()?;
        let Configuration { connection_info } =
            parse(&source.configuration).map_err(|error| error.to_string())?;
        if connection_info.ssl_configuration.is_some_and(|given| !given.is_null()) {
            return Err("ssl_configuration is not supported; write sslmode and sslrootcert into \
                        the URL"
                .to_owned());
        }
        let mut config = self.config.database.clone();
        if let Some(size) = connection_info.pool_settings.max_connections {
            // What metadata says is for Hasura's one login.
            let own = u32::try_from(config.request_connections()).unwrap_or(u32::MAX);
            config.pool_size = NonZeroU32::new(size.get().min(own.max(1)));
        }
        let mut url: ConnectionString =
            connection_info.database_url.resolve()?.parse().map_err(|error| format!("{error}"))?;
        url.default_connect_timeout(config.connect_timeout);
        let urls = Urls { url, owner: None, allow_unsafe: config.allow_unsafe_roles };
        let schema = &self.config.schema;
        let logins = bootstrap(&urls, schema.into()).await.map_err(|e| e.to_string())?;
        let pg = Pg::new(Options::from_config(&config, &logins)).map_err(|e| e.to_string())?;
        let authenticator = logins.request.user().unwrap_or_default().to_owned();
        let watch =
            Watch::start(pg.clone(), schema.clone()).await.map_err(|error| error.to_string())?;
        let catalog = watch.current();
        let tracked = named_tables(source, &catalog);
        let found = gaps(examine(&self.config, &catalog, &tracked, &authenticator));
        if !found.is_empty() && !config.allow_unsafe_roles {
            pg.close();
            return Err(format!("row-level security has gaps{}", list(&found)));
        }
        let mut tasks = vec![tokio::spawn(follow(
            source.name.clone(),
            (pg.clone(), watch.clone()),
            (self.config.clone(), authenticator.clone(), source.tables.clone()),
            self.changed.clone(),
        ))];
        if logins.given != Given::Restricted
            && let Some(mut events) = pg.listen(&[CHANNEL]).map_err(|error| error.to_string())?
        {
            let watch = watch.clone();
            tasks.push(tokio::spawn(async move {
                while events.recv().await.is_some() {
                    watch.set_listening(true);
                    watch.notified();
                }
                watch.set_listening(false);
            }));
        }
        let login = SourceLogin { authenticator, role_settings: pg.role_settings(&[]) };
        let connection = Connection {
            database: NEXT.fetch_add(1, Ordering::Relaxed),
            login: Some(Arc::new(login)),
        };
        Ok(Database { connection, pg, watch, tasks })
    }
}

/// Passes changes of a database's catalogue on.
async fn follow(
    name: Arc<str>,
    (pg, watch): (Pg, Watch),
    (config, authenticator, tables): (Config, String, Vec<Arc<Table>>),
    changed: Arc<Notify>,
) {
    let mut generations = watch.subscribe();
    generations.mark_unchanged();
    while generations.changed().await.is_ok() {
        pg.forget_plans();
        changed.notify_one();
        let catalog = watch.current();
        let named =
            |table: &Arc<Table>| catalog.table_named(&table.table.schema, &table.table.name);
        let tracked = tables.iter().filter_map(named).map(|table| table.oid).collect();
        let found = gaps(examine(&config, &catalog, &tracked, &authenticator));
        if !found.is_empty() {
            tracing::error!(source = %name, "a change opened gaps in row-level security{}", list(&found));
        }
    }
}

/// Opens what the metadata names, and lets go of what it does not name any more.
pub(super) async fn attend(opener: &Opener, metadata: &Metadata, further: &mut FurtherSources) {
    let named = |name: &str| {
        metadata.sources.iter().find(|source| *source.name == *name && name != DEFAULT_SOURCE)
    };
    further.retain(|name, known| {
        named(name).is_some_and(|source| {
            source.configuration == known.configuration
                && source.customization == known.customization
        })
    });
    for source in metadata.sources.iter().filter(|source| *source.name != *DEFAULT_SOURCE) {
        if !further.contains_key(&source.name) {
            further.insert(source.name.clone(), Box::pin(opener.open(source)).await);
        }
    }
}

/// Reads the enum tables of further sources; `open` are transactions that
/// somebody has there. A source that cannot be read is not served.
pub(super) async fn read_enums(
    metadata: &Metadata,
    further: &mut FurtherSources,
    open: &BTreeMap<Arc<str>, SystemTx>,
) {
    for (name, known) in further {
        let Some(source) = metadata.source(name) else { continue };
        let Ok(served) = &mut known.database else { continue };
        if !source.tables.iter().any(|table| table.is_enum) {
            served.enums.clear();
            continue;
        }
        let Served { database, catalog, enums: found } = served;
        let read = match open.get(name) {
            Some(tx) => enums::read(tx, catalog, source, found).await,
            None => match database.pg.begin_system("read enum tables").await {
                Ok(tx) => enums::read(&tx, catalog, source, found).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = read {
            tracing::warn!(source = %name, %error, "a source is not served");
            known.database = Err(error.to_string().into());
        }
    }
}
