//! Floor 1: Postgres as a service.
//!
//! ```text
//! url, tls      connection strings; TLS
//! bootstrap     which logins there are; whether they are safe
//! migrate       what we put into a database, and how it goes out again
//! connect       opening a connection  ─▶ wire: the bytes under the driver
//! pool          connections of one login, each with its prepared statements
//! tx, write     the only doors through which SQL runs
//! rows, encode  typed columns as the JSON that Postgres would make of them
//! error         what went wrong  ─▶ sqlstate: what a client is told
//! script        SQL text of the administrator
//! costs         what a statement is estimated to cost
//! listen        notifications              replication   the write-ahead log
//! dump          the database's own pg_dump
//! ```
//!
//! [`Pg`] holds one pool per identity: *request* (all traffic of users),
//! *admin* (the admin secret) and *owner* (the server's own work). Nothing
//! outside of this module has a connection.

mod bootstrap;
mod connect;
mod costs;
mod dump;
mod encode;
mod error;
mod listen;
pub mod migrate;
mod param;
mod policies;
mod pool;
mod replication;
mod rows;
mod script;
mod sqlstate;
mod tls;
mod tx;
mod url;
mod wire;
mod write;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use bootstrap::{BootstrapError, Given, Logins, Urls, bootstrap};
pub use costs::Costs;
pub use dump::DumpError;
pub use encode::is_encoded;
pub use error::{DbFault, PgError};
pub use listen::ListenEvent;
pub use param::TextParam;
pub use pool::PoolStats;
pub use replication::{Received, Replication};
pub use rows::{CellShape, RecordShape, RowShape, ValueShape};
pub use script::ScriptOutput;
pub use tls::TlsError;
pub use tx::{SessionTx, Statement, SystemTx, TxContext};
pub use url::{ConnectionString, RootCert, Ssl, SslMode, UrlError};
pub use write::{Failed, Job, Reply, WriteTx};

pub use crate::config::Pooler;

use crate::session::Authority;
use pool::{Pool, PoolOptions};

/// How a [`Pg`] works; the application fills it from the configuration.
#[derive(Debug, Clone)]
pub struct Options {
    /// The login of request traffic.
    pub request: ConnectionString,
    /// The login that may become `ringfence_admin`.
    pub admin: Option<ConnectionString>,
    /// The login of migrations, the catalogue and metadata.
    pub owner: Option<ConnectionString>,
    pub pool_size: usize,
    pub admin_pool_size: usize,
    pub owner_pool_size: usize,
    /// How long a request waits for a connection.
    pub pool_wait: Duration,
    /// How many requests may wait.
    pub max_waiting: usize,
    /// How long a request's transaction may take in all.
    pub request_timeout: Duration,
    /// Defaults for roles without their own; zero is no limit.
    pub statement_timeout: Duration,
    pub lock_timeout: Duration,
    pub idle_in_transaction_timeout: Duration,
    /// How long an unused connection is kept.
    pub connection_idle_timeout: Option<Duration>,
    /// Prepared statements per connection; zero prepares none.
    pub statement_cache_size: usize,
    pub pooler: Pooler,
}

impl Options {
    /// The defaults for a login.
    pub fn new(request: ConnectionString) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        Options {
            pooler: if request.pooled { Pooler::Transaction } else { Pooler::None },
            request,
            admin: None,
            owner: None,
            pool_size: (cores * 2).max(4),
            admin_pool_size: 2,
            owner_pool_size: 3,
            pool_wait: Duration::from_secs(5),
            max_waiting: 1024,
            request_timeout: Duration::from_secs(60),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(30),
            connection_idle_timeout: Some(Duration::from_secs(180)),
            statement_cache_size: 500,
        }
    }

    /// The limits of a transaction, as settings of Postgres.
    fn limits(&self) -> [(&'static str, u128); 3] {
        [
            ("statement_timeout", self.statement_timeout.as_millis()),
            ("lock_timeout", self.lock_timeout.as_millis()),
            ("idle_in_transaction_session_timeout", self.idle_in_transaction_timeout.as_millis()),
        ]
    }

    /// Start-up options; a pooler would not pass them on. Postgres compiles a
    /// statement anew in each run, which takes longer than all that a request
    /// does, and nested lists reach the cost from which it does.
    fn startup(&self) -> String {
        if self.pooler == Pooler::Transaction {
            return String::new();
        }
        let limits = self.limits().map(|(name, millis)| format!("-c {name}={millis}"));
        format!("{} -c jit=off", limits.join(" "))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    ReadOnly,
    /// Read-only, every statement seeing the same snapshot.
    Snapshot,
    ReadWrite,
}

impl Mode {
    const fn begin(self) -> &'static str {
        match self {
            Mode::ReadOnly => "BEGIN READ ONLY",
            Mode::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::ReadWrite => "BEGIN READ WRITE",
        }
    }
}

/// Postgres; cheap to clone.
#[derive(Clone)]
pub struct Pg(Arc<Inner>);

struct Inner {
    request: Pool,
    admin: Option<Pool>,
    owner: Option<Pool>,
    options: Options,
    /// Shared with the pools; see [`Pg::forget_plans`].
    epoch: Arc<AtomicU64>,
}

impl Pg {
    /// Makes the pools; connections are opened when they are needed. Must be
    /// called inside a tokio runtime.
    pub fn new(options: Options) -> Result<Self, PgError> {
        let startup = options.startup();
        let epoch = Arc::new(AtomicU64::new(0));
        let make = |name, url: &ConnectionString, size: usize, startup: &str| {
            Pool::new(
                url,
                PoolOptions {
                    name,
                    size: size.max(1),
                    wait: options.pool_wait,
                    max_waiting: options.max_waiting,
                    statements: NonZeroUsize::new(options.statement_cache_size)
                        .unwrap_or(NonZeroUsize::MIN),
                    idle: options.connection_idle_timeout,
                    startup: startup.to_owned(),
                    epoch: Arc::clone(&epoch),
                },
            )
        };
        let request = make("request", &options.request, options.pool_size, &startup)?;
        let admin = options
            .admin
            .as_ref()
            .map(|url| make("admin", url, options.admin_pool_size, &startup))
            .transpose()?;
        // Migrations and introspection may take their time.
        let owner = options
            .owner
            .as_ref()
            .map(|url| make("owner", url, options.owner_pool_size, ""))
            .transpose()?;
        Ok(Pg(Arc::new(Inner { request, admin, owner, options, epoch })))
    }

    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Plans that exist now are not used by any transaction that takes its
    /// connection after this call.
    ///
    /// Which policies apply is decided when a statement is planned. Postgres
    /// plans again when a table or policy changes, but not when a role gets or
    /// loses a membership or BYPASSRLS, so the rows of a warm statement would
    /// follow the old rights for as long as its connection lives.
    pub fn forget_plans(&self) {
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub fn has_owner(&self) -> bool {
        self.0.owner.is_some()
    }

    /// What to give to `SettingsPlan::new` for a role: behind a pooler the
    /// configured limits, then the role's own settings.
    pub fn role_settings(&self, own: &[(String, String)]) -> Vec<(String, String)> {
        let mut settings = Vec::with_capacity(own.len() + 3);
        if self.is_pooled() {
            let limits = self.0.options.limits();
            settings.extend(
                limits.iter().map(|(name, millis)| ((*name).to_owned(), millis.to_string())),
            );
        }
        settings.extend_from_slice(own);
        settings
    }

    /// A reading of every pool.
    pub fn stats(&self) -> Vec<PoolStats> {
        let inner = &*self.0;
        std::iter::once(&inner.request)
            .chain(&inner.admin)
            .chain(&inner.owner)
            .map(Pool::stats)
            .collect()
    }

    /// Lets running work end and opens nothing more.
    pub fn close(&self) {
        let inner = &*self.0;
        inner.request.close();
        inner.admin.iter().for_each(Pool::close);
        inner.owner.iter().for_each(Pool::close);
    }

    /// Follows notifications on channels whose names need no quoting, with the
    /// owner's login when there is one. `None` when only a transaction-mode
    /// pooler is at hand, through which nothing can be followed.
    pub fn listen(
        &self,
        channels: &'static [&'static str],
    ) -> Result<Option<tokio::sync::mpsc::Receiver<ListenEvent>>, PgError> {
        let options = &self.0.options;
        let url = match &options.owner {
            Some(owner) if !owner.pooled => owner,
            _ if self.is_pooled() => return Ok(None),
            _ => &options.request,
        };
        listen::listen(url, channels).map(Some)
    }

    fn is_pooled(&self) -> bool {
        self.0.options.pooler == Pooler::Transaction
    }

    /// Whether statements are prepared and kept by name.
    fn keeps_statements(&self) -> bool {
        !self.is_pooled() && self.0.options.statement_cache_size > 0
    }

    fn request_timeout(&self) -> Duration {
        self.0.options.request_timeout
    }

    fn pool_for(&self, ctx: &TxContext<'_>) -> Result<&Pool, PgError> {
        match ctx.authority {
            Authority::Request => Ok(&self.0.request),
            Authority::Admin => self.0.admin.as_ref().ok_or(PgError::NoLogin("admin")),
        }
    }

    fn request_pool(&self) -> &Pool {
        &self.0.request
    }

    fn system_pool(&self) -> &Pool {
        self.0.owner.as_ref().unwrap_or(&self.0.request)
    }
}
