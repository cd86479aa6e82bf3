//! From the connection strings of the configuration to the logins of the pools.
//!
//! | given | case |
//! |---|---|
//! | a restricted `database.url` | served as it is: no admin, no metadata |
//! | `database.url` and `database.owner_url` | both as given; the rest is made by `migrate` |
//! | a privileged `database.url` | it is the owner; `migrate` makes the login of requests |

use serde::Deserialize;
use thiserror::Error;

use super::migrate::{self, MigrateError, Report, Scope, Session, Wanted};
use super::url::{ConnectionString, UrlError};
use super::{Options, Pg, PgError, Pooler};
use crate::config::DatabaseConfig;

#[derive(Debug, Error)]
pub enum BootstrapError {
    #[error(
        "database.url is not set; set DATABASE_URL, or run `ringfence dev` for a private database"
    )]
    NoUrl,
    #[error("{setting}: {cause}")]
    Url { setting: &'static str, cause: UrlError },
    #[error(
        "the owner's login goes through a pooler in transaction mode, which cannot carry migrations; set database.owner_url \
         to the server itself or to a pooler in session mode"
    )]
    PooledOwner,
    #[error(
        "database.url leads to the database \"{request}\" and database.owner_url to \"{owner}\"{}; both must lead to \
         the same database", if *.same_server { "" } else { " on another server" }
    )]
    OtherDatabase { request: String, owner: String, same_server: bool },
    #[error(
        "the login \"{login}\" of database.url is {what}, so row-level security would bind no request; give a \
         restricted login there, or give this URL as database.url without database.owner_url, and a restricted login \
         is made (nothing was changed; database.allow_unsafe_roles = true overrides this, for trials only)"
    )]
    UnsafeLogin { login: String, what: &'static str },
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Pg(#[from] PgError),
}

/// Which of the three ways the database was given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// (a) A restricted login alone.
    Restricted,
    /// (b) A restricted login and an owner.
    Both,
    /// (c) A privileged login alone.
    Privileged,
}

/// The logins of the pools.
#[derive(Debug, Clone)]
pub struct Logins {
    pub given: Given,
    pub request: ConnectionString,
    pub admin: Option<ConnectionString>,
    pub owner: Option<ConnectionString>,
    pub replication: Option<ConnectionString>,
    pub report: Report,
}

/// The connection strings of the configuration.
#[derive(Debug, Clone)]
pub struct Urls {
    pub url: ConnectionString,
    pub owner: Option<ConnectionString>,
    /// Requests may run as a login that row-level security does not bind.
    pub allow_unsafe: bool,
}

impl Urls {
    pub fn from_config(config: &DatabaseConfig) -> Result<Self, BootstrapError> {
        let parse = |setting, text: &str| {
            let mut url: ConnectionString =
                text.parse().map_err(|cause| BootstrapError::Url { setting, cause })?;
            url.default_connect_timeout(config.connect_timeout);
            Ok::<_, BootstrapError>(url)
        };
        let url = config.url.as_ref().ok_or(BootstrapError::NoUrl)?;
        let mut url = parse("database.url", url.expose())?;
        url.pooled |= config.pooler == Pooler::Transaction;
        Ok(Urls {
            url,
            owner: config
                .owner_url
                .as_ref()
                .map(|owner| parse("database.owner_url", owner.expose()))
                .transpose()?,
            allow_unsafe: config.allow_unsafe_roles,
        })
    }

    /// The owner's connection string and the login of requests, if it was given.
    /// `None` for a restricted login alone, which owns nothing.
    pub async fn owner(&self) -> Result<Option<(&ConnectionString, Option<&str>)>, BootstrapError> {
        if let Some(owner) = &self.owner {
            return Ok(Some((owner, self.url.user())));
        }
        Ok(is_privileged(&self.url).await?.then_some((&self.url, None)))
    }
}

/// Finds the logins, and migrates where there is an owner.
pub async fn bootstrap(urls: &Urls, wanted: Wanted<'_>) -> Result<Logins, BootstrapError> {
    let Some((owner, request_login)) = urls.owner().await? else {
        return Ok(Logins {
            given: Given::Restricted,
            request: urls.url.clone(),
            admin: None,
            owner: None,
            replication: None,
            report: Report::default(),
        });
    };
    if owner.pooled || (urls.url.pooled && owner.is_same_server(&urls.url)) {
        return Err(BootstrapError::PooledOwner);
    }
    if request_login.is_some() {
        check_pair(urls, owner).await?;
    }
    let outcome = migrate::run(owner, Scope { request_login, wanted }).await?;
    let given = if request_login.is_some() { Given::Both } else { Given::Privileged };
    let request = match (given, &outcome.authenticator) {
        (Given::Privileged, Some(login)) => login.url(owner),
        (Given::Privileged, None) => return Err(MigrateError::ReadOnly.into()),
        _ => urls.url.clone(),
    };
    Ok(Logins {
        given,
        request,
        admin: outcome.admin.map(|login| login.url(owner)),
        replication: outcome.replication.map(|login| login.url(owner)),
        owner: Some(owner.clone()),
        report: outcome.report,
    })
}

impl Options {
    pub fn from_config(config: &DatabaseConfig, logins: &Logins) -> Self {
        let defaults = Options::new(logins.request.clone());
        let or_none = |limit: Option<std::time::Duration>| limit.unwrap_or_default();
        Options {
            admin: logins.admin.clone(),
            owner: logins.owner.clone(),
            pool_size: config.request_connections(),
            admin_pool_size: usize::try_from(config.admin_pool_size).unwrap_or(usize::MAX),
            owner_pool_size: usize::try_from(config.admin_pool_size).unwrap_or(usize::MAX),
            pool_wait: config.pool_wait,
            request_timeout: config.request_timeout,
            statement_timeout: or_none(config.statement_timeout),
            lock_timeout: or_none(config.lock_timeout),
            idle_in_transaction_timeout: or_none(config.idle_timeout),
            connection_idle_timeout: Some(config.connection_idle_timeout),
            statement_cache_size: usize::try_from(config.statement_cache).unwrap_or(usize::MAX),
            pooler: match config.pooler {
                Pooler::Transaction => Pooler::Transaction,
                Pooler::None => defaults.pooler,
            },
            ..defaults
        }
    }
}

impl Pg {
    /// The logins of the configuration, migrated where there is an owner, and
    /// the pools over them.
    pub async fn start(
        config: &DatabaseConfig,
        wanted: Wanted<'_>,
    ) -> Result<(Pg, Logins), BootstrapError> {
        let logins = bootstrap(&Urls::from_config(config)?, wanted).await?;
        Ok((Pg::new(Options::from_config(config, &logins))?, logins))
    }

    /// Connects as requests will, so that what keeps them out is told at the start.
    pub async fn check_login(&self) -> Result<(), BootstrapError> {
        let login = || self.options().request.to_string();
        self.ping().await.map_err(|cause| MigrateError::Connect { login: login(), cause }.into())
    }
}

/// A login is privileged when it could see or do what a request must not:
/// superuser, BYPASSRLS, CREATEROLE, or an owner of the database or of tables.
const PRIVILEGED: &str = "select (r.rolsuper or r.rolbypassrls or r.rolcreaterole
    or pg_has_role(r.oid, d.datdba, 'USAGE')
    or exists (
      select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and pg_has_role(r.oid, c.relowner, 'USAGE')
        and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'))::text
  from pg_roles r, pg_database d
  where r.rolname = current_user and d.datname = current_database()";

async fn is_privileged(url: &ConnectionString) -> Result<bool, BootstrapError> {
    Ok(Session::open(url).await?.json(PRIVILEGED, &[]).await?)
}

#[derive(Deserialize)]
struct Place {
    superuser: bool,
    bypassrls: bool,
    database: String,
    oid: u32,
}

const PLACE: &str = "select json_build_object(
    'superuser', r.rolsuper, 'bypassrls', r.rolbypassrls,
    'database', d.datname, 'oid', d.oid::bigint)::text
  from pg_roles r, pg_database d
  where r.rolname = current_user and d.datname = current_database()";
/// The same on a primary and its standbys, different everywhere else.
const SYSTEM: &str = "select to_json(system_identifier::text)::text from pg_control_system()";

/// Whether a given login of requests and an owner fit together. Looked at
/// before anything is granted.
async fn check_pair(urls: &Urls, owner: &ConnectionString) -> Result<(), BootstrapError> {
    let look = async |url: &ConnectionString| {
        let session = Session::open(url).await?;
        let place: Place = session.json(PLACE, &[]).await?;
        // A host may withhold it; then the database's name and oid have to do.
        let system: Option<String> = match session.json(SYSTEM, &[]).await {
            Ok(id) => Some(id),
            Err(MigrateError::Step { cause, .. })
                if matches!(cause.sqlstate(), Some("42501" | "42883" | "0A000")) =>
            {
                None
            }
            Err(error) => return Err(error),
        };
        Ok((place, system))
    };
    let ((request, request_system), (owner, owner_system)) =
        tokio::try_join!(look(&urls.url), look(owner))?;
    let same_server = match (request_system, owner_system) {
        (Some(one), Some(other)) => one == other,
        _ => request.oid == owner.oid,
    };
    if !same_server || request.oid != owner.oid {
        return Err(BootstrapError::OtherDatabase {
            request: request.database,
            owner: owner.database,
            same_server,
        });
    }
    let what = match request {
        Place { superuser: true, .. } => "a superuser",
        Place { bypassrls: true, .. } => "BYPASSRLS",
        _ => return Ok(()),
    };
    if urls.allow_unsafe {
        return Ok(());
    }
    let login = urls.url.user().unwrap_or_default().to_owned();
    Err(BootstrapError::UnsafeLogin { login, what })
}
