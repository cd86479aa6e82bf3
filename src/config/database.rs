//! The database: logins, pools and time-outs.

use std::num::NonZeroU32;
use std::time::Duration;

use super::hasura;
use super::setting::{same, section};
use super::value::{choice, not_zero, positive};
use crate::base::Secret;

choice! {
    /// What stands between the server and Postgres.
    Pooler: "`none` or `transaction`" {
        /// Connections are the server's own.
        None = "none",
        /// PgBouncer or its like in transaction mode: no named statements.
        Transaction = "transaction",
    }
}

section! {
    /// Connections to PostgreSQL. Both URLs take `postgres://user:password@host:port/database?…`
    /// and the `key=value` form, with `sslmode` from `disable` to `verify-full`.
    DatabaseConfig "Database" "database." {
        /// The login of the requests. With a privileged login and no `database.owner_url`, it is
        /// the owner, and `ringfence migrate` makes a restricted login for the requests.
        url: Option<Secret<String>> = "",
            env ["DATABASE_URL" => same, "HASURA_GRAPHQL_DATABASE_URL" => same];
        /// The login that owns the schema: migrations and the catalogue.
        owner_url: Option<Secret<String>> = "";
        /// Connections for requests; `auto` is two for each core, four at least.
        pool_size: Option<NonZeroU32> = "auto", env ["HASURA_GRAPHQL_PG_CONNECTIONS" => same];
        /// Connections of the administrator and of the owner, each.
        admin_pool_size: u32 = "2", check positive;
        /// How long a request waits for a connection before it is answered with 503.
        pool_wait: Duration = "5s", check not_zero;
        /// Prepared statements kept on each connection; `0` prepares none.
        statement_cache: u32 = "500",
            env ["HASURA_GRAPHQL_USE_PREPARED_STATEMENTS" => hasura::statement_cache];
        /// Whether lists are fetched as typed columns and made JSON by the server, which spares
        /// Postgres most of the work; the bytes of the answer are the same.
        typed_rows: bool = "true";
        /// The longest a statement of a request may run.
        statement_timeout: Option<Duration> = "30s";
        /// The longest a statement of a request may wait for a lock.
        lock_timeout: Option<Duration> = "5s";
        /// How long a transaction may stand idle before Postgres ends it.
        idle_timeout: Option<Duration> = "30s";
        /// How long an unused connection is kept.
        connection_idle_timeout: Duration = "3m", env ["HASURA_GRAPHQL_PG_TIMEOUT" => hasura::seconds],
            check not_zero;
        /// The longest a request may take in all, waiting included.
        request_timeout: Duration = "60s", check not_zero;
        /// The longest it may take to connect to one host.
        connect_timeout: Duration = "5s", check not_zero;
        /// `transaction` when PgBouncer or its like stands between, in transaction mode.
        pooler: Pooler = "none";
        /// Start although a login or a role of requests could bypass row-level security.
        /// For trials only: the policies may then decide nothing.
        allow_unsafe_roles: bool = "false";
    }
}

impl DatabaseConfig {
    /// The size of the pool of requests on this machine.
    pub fn request_connections(&self) -> usize {
        match self.pool_size {
            Some(size) => usize::try_from(size.get()).unwrap_or(usize::MAX),
            None => {
                std::thread::available_parallelism().map_or(4, |cores| (cores.get() * 2).max(4))
            }
        }
    }
}
