//! What the product puts into a database: schema `ringfence`, its logins and
//! roles, grants, event triggers; and how all of it is taken out again.
//!
//! ```text
//! lock ─▶ sql/V*.sql ─▶ logins (ringfence.logins, CREATE ROLE) ─▶ policies/*.sql ─▶ plan.sql ─▶ unlock
//! ```
//!
//! Each step looks first at what is there, so running it again changes
//! nothing. Role steps must succeed; the others are optional where a host
//! withholds a right, and what is lost then is reported as [`Missing`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connect::Connector;
use super::error::PgError;
use super::param::TextRef;
use super::policies;
use super::url::ConnectionString;
use crate::config::SchemaConfig;

mod embedded {
    refinery::embed_migrations!("sql");
}

/// History of `sql/V*.sql`.
const HISTORY: &str = "ringfence.migrations";
/// The advisory lock under which one server at a time migrates.
const WAIT: &str = "set statement_timeout = '60s'";
const LOCK: &str = "select pg_catalog.pg_advisory_lock(8244243284873143907)";
/// SQLSTATE of a role that exists already.
const DUPLICATE: &str = "42710";
/// The oldest server that we speak to.
const OLDEST: u32 = 140_000;
const LIMITS: &str = "set lock_timeout = '2s'; set statement_timeout = 0; \
    set idle_in_transaction_session_timeout = '60s'; set client_min_messages = warning";

#[derive(Debug, Error)]
pub enum MigrateError {
    #[error("cannot connect as {login}: {cause}")]
    Connect { login: String, cause: PgError },
    #[error("PostgreSQL {} is too old; version 14 or newer is needed", .0 / 10_000)]
    TooOld(u32),
    #[error(
        "the login {login} may not make or grant the roles that are needed. Have a database administrator run the \
         following on this database, then start again (CREATEROLE lets {login} do it itself, on PostgreSQL 16 and newer \
         for roles that it made or has ADMIN OPTION on):\n\n{sql}"
    )]
    Roles { login: String, sql: String },
    #[error("migrating the database failed at `{step}`: {cause}")]
    Step { step: String, cause: PgError },
    #[error("migrating the database failed: {0}")]
    History(String),
    #[error(
        "the login {login} lacks rights on this database (at `{step}`: {cause}); give the login that owns the \
         database in database.owner_url (RINGFENCE_DATABASE_OWNER_URL)"
    )]
    Rights { login: String, step: String, cause: PgError },
    #[error("the database takes no writes: it is read-only or a standby; run this on its primary")]
    ReadOnly,
}

/// Something optional that the host did not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub what: &'static str,
    /// What does not work, or works worse, without it.
    pub lost: &'static str,
    /// What an administrator can run.
    pub sql: String,
}

/// What `migrate` did and could not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The statements and migrations that ran, without passwords.
    pub done: Vec<String>,
    pub missing: Vec<Missing>,
    /// A standby, or a database that is read-only, is left as it is.
    pub read_only: bool,
}

/// What a database is prepared for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The login of requests when there is one; else `migrate` makes it.
    pub request_login: Option<&'a str>,
    pub wanted: Wanted<'a>,
}

/// What the settings ask of a database.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The exposed schemas.
    pub schemas: &'a [String],
    /// `auth.uid()`, `auth.role()` and `auth.jwt()`, as Supabase names them.
    pub supabase_helpers: bool,
}

impl<'a> From<&'a SchemaConfig> for Wanted<'a> {
    fn from(config: &'a SchemaConfig) -> Self {
        Wanted { schemas: &config.expose, supabase_helpers: config.supabase_helpers }
    }
}

/// A login that `migrate` made.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) role: String,
    password: String,
    /// Made for this database, and not for one that this is a copy of.
    own: bool,
}

impl Login {
    pub(super) fn url(&self, server: &ConnectionString) -> ConnectionString {
        server.with_login(&self.role, &self.password)
    }
}

#[derive(Default)]
pub(super) struct Outcome {
    pub(super) report: Report,
    pub(super) authenticator: Option<Login>,
    pub(super) admin: Option<Login>,
    pub(super) replication: Option<Login>,
}

#[derive(Deserialize)]
struct Facts {
    version: u32,
    read_only: bool,
    database_oid: u32,
    has_schema: bool,
    has_logins: bool,
    has_policies: bool,
}

const FACTS: &str = "select json_build_object(
    'version', current_setting('server_version_num')::int,
    'read_only', current_setting('transaction_read_only')::bool,
    'database_oid', (select oid::bigint from pg_database where datname = current_database()),
    'has_schema', to_regnamespace('ringfence') is not null,
    'has_logins', to_regclass('ringfence.logins') is not null,
    'has_policies', to_regclass('ringfence.policies') is not null)::text";

/// The kinds of logins that are made, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Authenticator,
    Admin,
    Replication,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Authenticator => "authenticator",
            Kind::Admin => "admin",
            Kind::Replication => "replication",
        }
    }

    /// The name in the first database of a cluster. Roles belong to the whole
    /// cluster, so the logins of further databases get the database's oid.
    const fn base(self) -> &'static str {
        match self {
            Kind::Authenticator => "ringfence_authenticator",
            Kind::Admin => "ringfence_admin_login",
            Kind::Replication => "ringfence_replication",
        }
    }

    const fn attributes(self) -> &'static str {
        match self {
            Kind::Authenticator | Kind::Admin => "login noinherit",
            Kind::Replication => "login noinherit replication",
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    kind: String,
    role: String,
    password: String,
    own: bool,
}

#[derive(Deserialize)]
struct Step {
    kind: String,
    sql: String,
}

/// A connection of our own, outside of the pools.
pub(super) struct Session {
    client: Client,
    login: String,
}

impl Session {
    pub(super) async fn open(url: &ConnectionString) -> Result<Self, MigrateError> {
        let fail = |cause| MigrateError::Connect { login: url.to_string(), cause };
        let connector = Connector::new(url, "")
            .map_err(|error| fail(PgError::Unavailable(error.to_string())))?;
        let opened = connector.open().await.map_err(fail)?;
        tokio::spawn(async move {
            if let Err(error) = opened.driver.await {
                tracing::debug!(%error, "the migration's connection ended");
            }
        });
        Ok(Session { client: opened.client, login: url.user().unwrap_or_default().to_owned() })
    }

    async fn run(&self, sql: &str) -> Result<(), MigrateError> {
        self.try_run(sql).await.map_err(|cause| step(sql, cause))
    }

    pub(super) async fn try_run(&self, sql: &str) -> Result<(), PgError> {
        self.client.batch_execute(sql).await.map_err(|error| PgError::from_driver(&error))
    }

    /// Says what to do when the step failed because this login may not.
    fn lacks_rights(&self, error: MigrateError) -> MigrateError {
        match error {
            MigrateError::Step { step, cause } if refused(&cause) => {
                MigrateError::Rights { login: self.login.clone(), step, cause }
            }
            other => other,
        }
    }

    /// One row, one column of JSON text.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        sql: &str,
        params: &[&str],
    ) -> Result<T, MigrateError> {
        let text = self.text(sql, params).await.map_err(|cause| step(sql, cause))?;
        serde_json::from_str(&text).map_err(|error| MigrateError::History(error.to_string()))
    }

    /// One row, one column of text.
    pub(super) async fn text(&self, sql: &str, params: &[&str]) -> Result<String, PgError> {
        let fail = |error: tokio_postgres::Error| PgError::from_driver(&error);
        let params: Vec<_> = params.iter().map(|param| TextRef(param)).collect();
        let typed: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> = params
            .iter()
            .map(|param| (param as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT))
            .collect();
        let row = self.client.query_typed_one(sql, &typed).await.map_err(fail)?;
        row.try_get(0).map_err(fail)
    }
}

fn step(sql: &str, cause: PgError) -> MigrateError {
    let first = sql.lines().next().unwrap_or_default();
    MigrateError::Step { step: first.chars().take(120).collect(), cause }
}

/// What is sent instead of a password, so that no server log holds it.
fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

/// Brings the database to what this version needs. Several servers may call it
/// at once: one does the work, the others find it done.
pub(super) async fn run(
    owner: &ConnectionString,
    scope: Scope<'_>,
) -> Result<Outcome, MigrateError> {
    let mut session = Session::open(owner).await?;
    let facts: Facts = session.json(FACTS, &[]).await?;
    if facts.version < OLDEST {
        return Err(MigrateError::TooOld(facts.version));
    }
    if facts.read_only {
        let mut outcome =
            if facts.has_logins { read_logins(&session).await? } else { Outcome::default() };
        outcome.report.read_only = true;
        return Ok(outcome);
    }
    session.run(WAIT).await?;
    session.run(LOCK).await?;
    session.run(LIMITS).await?;
    let mut report = Report::default();
    // Another server may have been at work until now.
    let facts: Facts = session.json(FACTS, &[]).await?;
    if !facts.has_schema {
        let made = session.run("create schema if not exists ringfence").await;
        made.map_err(|error| session.lacks_rights(error))?;
        report.done.push("create schema ringfence".to_owned());
    }
    let applied = embedded::migrations::runner()
        .set_migration_table_name(HISTORY)
        .run_async(&mut session.client)
        .await
        .map_err(|error| session.lacks_rights(history_error(error)))?;
    report.done.extend(applied.applied_migrations().iter().map(|m| format!("sql/{m}.sql")));

    let mut outcome = make_logins(&session, owner, scope, facts.database_oid, report).await?;
    finish(&session, scope, &mut outcome).await?;
    // Closing the connection releases the lock.
    Ok(outcome)
}

/// The driver's error says more than refinery's around it.
fn history_error(error: refinery::Error) -> MigrateError {
    match error.kind() {
        refinery::error::Kind::Connection(what, inner) => {
            match inner.downcast_ref::<tokio_postgres::Error>() {
                Some(db) => step(what.trim(), PgError::from_driver(db)),
                None => MigrateError::History(format!("{}: {inner}", what.trim())),
            }
        }
        _ => MigrateError::History(error.to_string()),
    }
}

// Before `sql/V6__logins.sql` has run, nothing tells whose a login is.
const LOGINS: &str = "select coalesce(json_agg(json_build_object(
    'kind', l.kind, 'role', l.role, 'password', l.password,
    'own', coalesce(to_jsonb(l) ->> 'database' = d.oid::text, not to_jsonb(l) ? 'database'))), '[]')::text
  from ringfence.logins l, pg_database d where d.datname = current_database()";

async fn read_logins(session: &Session) -> Result<Outcome, MigrateError> {
    let stored: Vec<Stored> = session.json(LOGINS, &[]).await?;
    let find = |kind: Kind| {
        stored.iter().find(|login| login.kind == kind.word()).map(|login| Login {
            role: login.role.clone(),
            password: login.password.clone(),
            own: login.own,
        })
    };
    Ok(Outcome {
        report: Report::default(),
        authenticator: find(Kind::Authenticator),
        admin: find(Kind::Admin),
        replication: find(Kind::Replication),
    })
}

async fn make_logins(
    session: &Session,
    owner: &ConnectionString,
    scope: Scope<'_>,
    database_oid: u32,
    report: Report,
) -> Result<Outcome, MigrateError> {
    let mut outcome = read_logins(session).await?;
    outcome.report = report;
    let roles: Vec<String> =
        session.json("select coalesce(json_agg(rolname), '[]')::text from pg_roles", &[]).await?;
    let exists = |role: &str| roles.iter().any(|known| known == role);
    let mut missing_roles = String::new();
    let works = async |kind, kept: &Option<Login>| match kept {
        Some(login) if exists(&login.role) => login_works(session, owner, login, kind).await,
        _ => Ok(false),
    };
    let (authenticator, admin, replication) = tokio::join!(
        works(Kind::Authenticator, &outcome.authenticator),
        works(Kind::Admin, &outcome.admin),
        works(Kind::Replication, &outcome.replication),
    );
    for (kind, works) in [
        (Kind::Authenticator, authenticator?),
        (Kind::Admin, admin?),
        (Kind::Replication, replication?),
    ] {
        let slot = match kind {
            Kind::Authenticator if scope.request_login.is_some() => continue,
            Kind::Authenticator => &mut outcome.authenticator,
            Kind::Admin => &mut outcome.admin,
            Kind::Replication => &mut outcome.replication,
        };
        if works {
            continue;
        }
        // What does not work of another database's login is not ours to repair.
        let kept = slot.take().filter(|login| login.own);
        let (login, made) = make_login(session, kind, kept, &roles, database_oid).await?;
        match made {
            Made::Done(sql) => outcome.report.done.push(sql),
            Made::Refused(sql) if kind == Kind::Replication => {
                outcome.report.missing.push(missing("replication", sql));
                continue;
            }
            Made::Refused(sql) => {
                missing_roles.push_str(&sql);
                missing_roles.push_str(";\n");
            }
        }
        *slot = Some(login);
    }

    if !exists("ringfence_api") {
        let sql = "create role ringfence_api nologin noinherit";
        attempt_role(session, sql, &mut outcome.report, &mut missing_roles).await?;
    }
    if !exists("ringfence_admin") {
        let plain = "create role ringfence_admin nologin noinherit";
        let full = format!("{plain} bypassrls");
        match session.try_run(&full).await {
            Ok(()) => outcome.report.done.push(full),
            Err(error) if refused(&error) => {
                let before = missing_roles.len();
                attempt_role(session, plain, &mut outcome.report, &mut missing_roles).await?;
                if missing_roles.len() > before {
                    missing_roles.truncate(before);
                    missing_roles.push_str(&full);
                    missing_roles.push_str(";\n");
                }
            }
            Err(error) if error.sqlstate() == Some(DUPLICATE) => {}
            Err(cause) => return Err(step(&full, cause)),
        }
    }
    if !missing_roles.is_empty() {
        for step in plan(session, scope, &outcome).await? {
            if step.kind == "role" {
                missing_roles.push_str(&step.sql);
                missing_roles.push_str(";\n");
            }
        }
        return Err(MigrateError::Roles { login: session.login.clone(), sql: missing_roles });
    }
    Ok(outcome)
}

/// What became of a login's role.
enum Made {
    /// The statement, without the password.
    Done(String),
    /// The statement, to be run by somebody else.
    Refused(String),
}

/// Makes or repairs the role of one login. The password is kept before the
/// role is made: when an administrator has to make the role, the statement
/// that is printed fits what is kept.
async fn make_login(
    session: &Session,
    kind: Kind,
    kept: Option<Login>,
    roles: &[String],
    database_oid: u32,
) -> Result<(Login, Made), MigrateError> {
    let further = format!("{}_{database_oid}", kind.base());
    let exists = |role: &str| roles.iter().any(|known| known == role);
    let mut login = match kept {
        Some(login) => login,
        None => {
            let role = if exists(kind.base()) { further.clone() } else { kind.base().to_owned() };
            keep(session, kind, role).await?
        }
    };
    let verb = if exists(&login.role) { "alter" } else { "create" };
    loop {
        let shown = format!("{verb} role {} {}", login.role, kind.attributes());
        let sql = format!("{shown} password '{}'", verifier(&login.password));
        match session.try_run(&sql).await {
            Ok(()) => return Ok((login, Made::Done(shown))),
            Err(error) if refused(&error) => return Ok((login, Made::Refused(sql))),
            // Another database of the cluster was faster.
            Err(error) if error.sqlstate() == Some(DUPLICATE) && login.role != further => {
                login = keep(session, kind, further.clone()).await?;
            }
            Err(cause) => return Err(step(&shown, cause)),
        }
    }
}

/// Keeps a login under a new password. Postgres makes it, 244 random bits, so
/// that it stands neither in a statement nor among parameters, both of which
/// `log_statement` writes to the server's log.
async fn keep(session: &Session, kind: Kind, role: String) -> Result<Login, MigrateError> {
    let sql = "with kept as (
          insert into ringfence.logins (kind, role, password, database)
          select $1, $2, pg_catalog.replace(
            pg_catalog.gen_random_uuid()::text || pg_catalog.gen_random_uuid()::text, '-', ''), d.oid
          from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
          on conflict (kind) do update
          set role = excluded.role, password = excluded.password, database = excluded.database
          returning password)
        select pg_catalog.to_json(password)::text from kept";
    let password = session.json(sql, &[kind.word(), &role]).await?;
    Ok(Login { role, password, own: true })
}

/// Whether a role that exists has the attributes and the password that we keep.
async fn login_works(
    session: &Session,
    owner: &ConnectionString,
    login: &Login,
    kind: Kind,
) -> Result<bool, MigrateError> {
    if kind == Kind::Replication {
        let sql = "select (rolcanlogin and rolreplication)::text from pg_roles where rolname = $1";
        return session.json(sql, &[&login.role]).await;
    }
    // Only the password's being wrong is ours to repair.
    match Session::open(&login.url(owner)).await {
        Err(MigrateError::Connect { cause: PgError::Refused(_), .. }) => Ok(false),
        _ => Ok(true),
    }
}

async fn attempt_role(
    session: &Session,
    sql: &str,
    report: &mut Report,
    missing_roles: &mut String,
) -> Result<(), MigrateError> {
    match session.try_run(sql).await {
        Ok(()) => report.done.push(sql.to_owned()),
        // Made by another database's server at the same moment.
        Err(error) if error.sqlstate() == Some(DUPLICATE) => {}
        Err(error) if refused(&error) => {
            missing_roles.push_str(sql);
            missing_roles.push_str(";\n");
        }
        Err(cause) => return Err(step(sql, cause)),
    }
    Ok(())
}

fn refused(error: &PgError) -> bool {
    error.sqlstate() == Some("42501")
}

fn missing(kind: &str, sql: String) -> Missing {
    let (what, lost) = match kind {
        "replication" => {
            ("REPLICATION", "live queries poll instead of following the write-ahead log")
        }
        "event_trigger" => (
            "event triggers",
            "changes of the schema are noticed by a check every second instead of at once",
        ),
        "bypassrls" => ("BYPASSRLS", "the admin sees rows through a policy on each table instead"),
        "admin_policy" => {
            ("a policy for the admin", "the admin does not see the rows of this table")
        }
        "supabase" => {
            ("schema auth", "policies cannot call auth.uid(), auth.role() and auth.jwt()")
        }
        "supabase_taken" => (
            "schema auth",
            "schema.supabase_helpers asks for it, but somebody else's schema has the name",
        ),
        "policies" => (
            "row-level security of a table of ours",
            "a GRANT on all tables of its schema would show its rows",
        ),
        "admin" => ("grants to the admin", "the admin cannot use these objects"),
        _ => ("usage of the helper functions", "policies of other owners cannot call them"),
    };
    Missing { what, lost, sql }
}

async fn plan(
    session: &Session,
    scope: Scope<'_>,
    outcome: &Outcome,
) -> Result<Vec<Step>, MigrateError> {
    let request = scope
        .request_login
        .map(str::to_owned)
        .or_else(|| outcome.authenticator.as_ref().map(|login| login.role.clone()))
        .unwrap_or_default();
    let admin = outcome.admin.as_ref().map(|login| login.role.clone()).unwrap_or_default();
    let schemas = serde_json::Value::from(scope.wanted.schemas.to_vec()).to_string();
    let supabase = scope.wanted.supabase_helpers.to_string();
    session.json(include_str!("plan.sql"), &[&request, &admin, &schemas, &supabase]).await
}

/// Runs the files of `policies/` that have to, and what `plan.sql` finds missing.
async fn finish(
    session: &Session,
    scope: Scope<'_>,
    outcome: &mut Outcome,
) -> Result<(), MigrateError> {
    for pending in policies::pending(session).await? {
        match policies::apply(session, &pending).await {
            Ok(()) => outcome.report.done.push(format!("policies/{}", pending.file)),
            Err(error) => {
                tracing::debug!(%error, pending.file, "a file of policies/ failed");
                outcome.report.missing.push(missing("policies", pending.sql));
            }
        }
    }
    let steps = plan(session, scope, outcome).await?;
    let mut roles = String::new();
    for Step { kind, sql } in steps {
        if kind == "supabase_taken" {
            outcome.report.missing.push(missing(&kind, sql));
            continue;
        }
        match session.try_run(&sql).await {
            Ok(()) => outcome.report.done.push(sql),
            Err(error) if kind == "role" && refused(&error) => {
                roles.push_str(&sql);
                roles.push_str(";\n");
            }
            Err(cause) if kind == "role" => return Err(step(&sql, cause)),
            Err(error) => {
                // Locked for longer than we wait, or refused: tried again next time.
                tracing::debug!(%error, sql, "an optional step of the migration failed");
                outcome.report.missing.push(missing(&kind, sql));
            }
        }
    }
    if !roles.is_empty() {
        return Err(MigrateError::Roles { login: session.login.clone(), sql: roles });
    }
    let bypass: bool = session
        .json(
            "select coalesce(bool_or(rolbypassrls), false)::text from pg_roles \
             where rolname = 'ringfence_admin'",
            &[],
        )
        .await?;
    if !bypass {
        outcome
            .report
            .missing
            .push(missing("bypassrls", "alter role ringfence_admin bypassrls".to_owned()));
    }
    Ok(())
}

/// The first lines of what [`print`] gives.
const PRINTED: &str = "\
-- What `ringfence migrate` would do to this database now, to be read and reviewed.
-- Not to be run by hand: `ringfence migrate` also chooses the passwords of its logins,
-- keeps them in ringfence.logins and notes in ringfence.migrations what has run.
-- Where its login may not make a role, it ends with the statements to be run by hand.
";

/// The statements that `migrate` would run on this database, to be read.
pub async fn print(owner: &ConnectionString, scope: Scope<'_>) -> Result<String, MigrateError> {
    let session = Session::open(owner).await?;
    let facts: Facts = session.json(FACTS, &[]).await?;
    let mut text = PRINTED.to_owned();
    let mut push = |sql: &str| {
        text.push_str(sql.trim_end());
        text.push_str(if sql.trim_end().ends_with(';') { "\n" } else { ";\n" });
    };
    push("set lock_timeout = '2s'");
    let roles: Vec<String> =
        session.json("select coalesce(json_agg(rolname), '[]')::text from pg_roles", &[]).await?;
    let exists = |role: &str| roles.iter().any(|known| known == role);
    let mut outcome = Outcome::default();
    if facts.has_logins {
        outcome = read_logins(&session).await?;
    }
    for role in ["ringfence_api nologin noinherit", "ringfence_admin nologin noinherit bypassrls"] {
        if !exists(role.split(' ').next().unwrap_or_default()) {
            push(&format!("create role {role}"));
        }
    }
    for kind in [Kind::Authenticator, Kind::Admin, Kind::Replication] {
        let slot = match kind {
            Kind::Authenticator if scope.request_login.is_some() => continue,
            Kind::Authenticator => &mut outcome.authenticator,
            Kind::Admin => &mut outcome.admin,
            Kind::Replication => &mut outcome.replication,
        };
        let role = slot.as_ref().map_or(kind.base(), |login| &login.role).to_owned();
        if !exists(&role) {
            push(&format!("create role {role} {} password '<password>'", kind.attributes()));
        }
        *slot = Some(Login { role, password: String::new(), own: true });
    }
    if !facts.has_schema {
        push("create schema ringfence");
    }
    let done: Vec<i32> = if facts.has_logins {
        session
            .json("select coalesce(json_agg(version), '[]')::text from ringfence.migrations", &[])
            .await?
    } else {
        Vec::new()
    };
    for migration in embedded::migrations::runner().get_migrations() {
        if let (false, Some(sql)) =
            (done.iter().any(|v| i64::from(*v) == i64::from(migration.version())), migration.sql())
        {
            push(sql);
        }
    }
    if facts.has_policies {
        policies::pending(&session).await?.iter().for_each(|pending| push(&pending.sql));
    } else {
        policies::all().for_each(&mut push);
    }
    for step in plan(&session, scope, &outcome).await? {
        push(&step.sql);
    }
    Ok(text)
}

/// What `remove` did and what had to stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    pub done: Vec<String>,
    /// Roles that something else still uses, with the reason.
    pub kept: Vec<String>,
}

#[derive(Deserialize)]
struct Removal {
    steps: Vec<String>,
    roles: Vec<String>,
    kept: Vec<String>,
}

/// The statements of [`remove`], in order: those of this database, then those
/// of roles, which may stay when another database uses them.
async fn removal(session: &Session, request_login: Option<&str>) -> Result<Removal, MigrateError> {
    let facts: Facts = session.json(FACTS, &[]).await?;
    if facts.read_only {
        return Err(MigrateError::ReadOnly);
    }
    let outcome = if facts.has_logins { read_logins(session).await? } else { Outcome::default() };
    let logins = [outcome.authenticator, outcome.admin, outcome.replication].into_iter().flatten();
    let (own, others): (Vec<Login>, Vec<Login>) = logins.partition(|login| login.own);
    let own: Vec<String> = own.into_iter().map(|login| login.role).collect();
    let own = serde_json::Value::from(own).to_string();
    let request_login = request_login.unwrap_or_default();
    let mut removal: Removal =
        session.json(include_str!("remove.sql"), &[&own, request_login]).await?;
    removal.kept.extend(others.into_iter().map(|login| {
        format!("role {} (made for the database that this one is a copy of)", login.role)
    }));
    Ok(removal)
}

/// The script of [`remove`].
pub async fn print_remove(
    owner: &ConnectionString,
    request_login: Option<&str>,
) -> Result<String, MigrateError> {
    let session = Session::open(owner).await?;
    let Removal { steps, roles, kept } = removal(&session, request_login).await?;
    let text = steps.iter().chain(&roles).fold(String::new(), |text, sql| text + sql + ";\n");
    Ok(kept.iter().fold(text, |text, reason| text + "-- kept: " + reason + "\n"))
}

/// Drops everything of ours, in one transaction; roles last, one by one. What
/// a user built on a helper function makes it fail and name that object. The
/// given login of requests does not count as another user of the shared roles.
pub async fn remove(
    owner: &ConnectionString,
    request_login: Option<&str>,
) -> Result<Removed, MigrateError> {
    let session = Session::open(owner).await?;
    session.run(WAIT).await?;
    session.run(LOCK).await?;
    session.run(LIMITS).await?;
    let Removal { steps, roles, kept } = removal(&session, request_login).await?;
    let mut removed = Removed { done: Vec::new(), kept };
    session.run("begin").await?;
    for sql in steps {
        session.run(&sql).await?;
        removed.done.push(sql);
    }
    session.run("commit").await?;
    for sql in roles {
        match session.try_run(&sql).await {
            Ok(()) => removed.done.push(sql),
            Err(error) => removed.kept.push(format!("{sql}: {error}")),
        }
    }
    Ok(removed)
}
