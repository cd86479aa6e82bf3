//! A real Postgres for every test, cheaply.
//!
//! One cluster (`fsync=off`) serves all test binaries and processes, with
//! `cargo test` and with nextest: the first one starts it below
//! `target/tmp`, the others find it running; it stops some seconds after the
//! last has ended. Every test gets its own database, copied from a template
//! that is made once per schema text, and dropped at the end.
//!
//! ```ignore
//! mod harness;
//! use harness::{TestDb, Token};
//!
//! #[tokio::test]
//! async fn a_tenant_sees_its_rows() {
//!     let db = TestDb::new(include_str!("fixture.sql")).await; // or TestDb::empty().await
//!     let config = db.config(&[("limits.rows", "10")]);        // restricted login + owner
//!     let client = db.client().await;                          // superuser
//!     client.batch_execute("insert …").await.expect("inserts");
//!     let expected = db.psql_as("app_user", &[("app.tenant_id", "…")], "select …").expect("answers");
//!     let token = Token::new("user").tenant("…").user("…").mint();
//! }
//! ```
//!
//! The schema text runs as `test_owner`, which owns the database, may create
//! roles and is no superuser. Fixed roles, shared by all databases of the
//! cluster: `test_authenticator` (LOGIN NOINHERIT, the login of requests, may
//! SET the others) and, without login, `app_user`, `app_admin`, `app_anon`,
//! `app_editor`. A test that needs other roles makes them in its schema text
//! under names of its own with [`role_name`], or takes a cluster of its own
//! ([`ringfence::cluster::Cluster::start`] in a folder below `target/tmp`).

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringfence::cluster::{Cluster, ClusterOptions, SUPERUSER};
use ringfence::config::Config;
use serde_json::{Value, json};

/// The login that owns the test databases.
pub const OWNER: &str = "test_owner";
/// The login of requests.
pub const AUTHENTICATOR: &str = "test_authenticator";
/// The roles that [`AUTHENTICATOR`] may set.
pub const ROLES: [&str; 4] = ["app_user", "app_admin", "app_anon", "app_editor"];
/// The key of [`Token`]s, HS256.
pub const JWT_KEY: &str = "a test key that is long enough for HS256";
/// The admin secret of [`TestDb::config`].
pub const ADMIN_SECRET: &str = "test admin secret";

static SHARED: OnceLock<Shared> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The cluster of all tests.
struct Shared {
    port: u16,
    password: String,
    psql: PathBuf,
}

/// A name for a role that no other test uses.
pub fn role_name(stem: &str) -> String {
    format!("{stem}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn tmp() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        fs::create_dir_all(tmp().join("harness")).expect("target/tmp is writable");
        let lock = fs::File::create(tmp().join("harness.lock")).expect("target/tmp is writable");
        lock.lock().expect("locks");
        // Seen by the janitor, which stops the cluster when no such process lives.
        fs::write(tmp().join("harness").join(std::process::id().to_string()), "")
            .expect("target/tmp is writable");
        let mut options = ClusterOptions::new(tmp().join("pg"), "test");
        options.durable = false;
        options.settings = [
            ("max_connections", "300"),
            ("autovacuum", "off"),
            ("max_wal_size", "4GB"),
            ("max_replication_slots", "50"),
            ("max_wal_senders", "50"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let cluster = match Cluster::start(&options) {
            Ok(cluster) => cluster,
            Err(error) => panic!("the tests need a PostgreSQL server: {error}"),
        };
        let binaries =
            ringfence::cluster::find(None, None).expect("they were found a moment ago").folder;
        let beside = binaries.join("psql");
        let shared = Shared {
            port: cluster.port(),
            password: cluster.password().expose().clone(),
            psql: if beside.is_file() { beside } else { PathBuf::from("psql") },
        };
        let pid = cluster.pid();
        cluster.detach();
        janitor(pid);
        blocking(prepare(shared.port, shared.password.clone()));
        shared
    })
}

/// Runs a future on a runtime of its own, from any context.
fn blocking<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    })
    .join()
    .expect("joins")
}

/// A shell that stops the postmaster when no test process has lived for 30 s.
#[expect(clippy::zombie_processes, reason = "it outlives this process")]
fn janitor(postmaster: i32) {
    const SCRIPT: &str = r#"
        idle=0
        while kill -0 "$1" 2>/dev/null; do
            used=
            for file in "$2"/*; do
                [ -e "$file" ] || continue
                if kill -0 "${file##*/}" 2>/dev/null; then used=1; else rm -f "$file"; fi
            done
            if [ -n "$used" ]; then idle=0; else idle=$((idle + 1)); fi
            if [ "$idle" -ge 15 ]; then kill -INT "$1"; exit; fi
            sleep 2
        done
    "#;
    let note = tmp().join("harness.janitor");
    let name = format!("ringfence-test-janitor-{postmaster}");
    let running = fs::read_to_string(&note).ok().is_some_and(|text| {
        let (pid, noted) = text.split_once(' ').unwrap_or_default();
        noted == name
            && Command::new("kill")
                .args(["-0", pid])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    });
    if running {
        return;
    }
    let child = Command::new("/bin/sh")
        .args(["-c", SCRIPT, &name, &postmaster.to_string()])
        .arg(tmp().join("harness"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("/bin/sh runs");
    fs::write(note, format!("{} {name}", child.id())).expect("target/tmp is writable");
}

async fn connect(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.expect("the test cluster answers");
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("a connection of the harness ended: {error}");
        }
    });
    client
}

fn login(port: u16, password: &str, user: &str, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname(database);
    config
}

/// Makes the fixed roles and drops the databases of processes that are gone.
/// Under the harness lock.
async fn prepare(port: u16, password: String) {
    let client = connect(&login(port, &password, SUPERUSER, "test")).await;
    let made: bool = client
        .query_one("select exists (select from pg_roles where rolname = 'app_editor')", &[])
        .await
        .expect("answers")
        .get(0);
    if !made {
        let mut sql = format!(
            "begin;
             create role {OWNER} login createrole createdb password '{password}';
             create role {AUTHENTICATOR} login noinherit password '{password}';"
        );
        for role in ROLES {
            sql.push_str(&format!(
                "create role {role} nologin;
                 grant {role} to {AUTHENTICATOR};
                 grant {role} to {OWNER} with admin option;"
            ));
        }
        sql.push_str("commit");
        client.batch_execute(&sql).await.expect("makes the fixed roles");
    }
    let leftovers = client
        .query("select datname::text from pg_database where datname ~ '^t_[0-9]+_'", &[])
        .await
        .expect("answers");
    for row in leftovers {
        let name: String = row.get(0);
        let pid = name.split('_').nth(1).unwrap_or_default();
        let living = tmp().join("harness").join(pid).exists()
            && Command::new("kill")
                .args(["-0", pid])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
        if !living {
            client
                .batch_execute(&format!("drop database if exists {name} with (force)"))
                .await
                .expect("sweeps");
        }
    }
}

/// A database of one test; dropped with this value.
pub struct TestDb {
    name: String,
}

impl TestDb {
    /// A database in which `schema_sql` has run as [`OWNER`].
    pub async fn new(schema_sql: &str) -> Self {
        TestDb::made(schema_sql, "").await
    }

    /// The same, in which `more_sql` has run after it as the superuser, who
    /// alone may bring most extensions.
    pub async fn made(schema_sql: &str, more_sql: &str) -> Self {
        let Shared { port, password, .. } = shared();
        let mut hasher = DefaultHasher::new();
        (schema_sql, more_sql).hash(&mut hasher);
        let template = format!("template_{:016x}", hasher.finish());
        let name = format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&login(*port, password, SUPERUSER, "test")).await;
        // One maker at a time; the lock ends with the connection.
        admin.execute("select pg_advisory_lock(7261)", &[]).await.expect("locks");
        let exists: bool = admin
            .query_one("select exists (select from pg_database where datname = $1)", &[&template])
            .await
            .expect("answers")
            .get(0);
        if !exists {
            let building = format!("{template}_new");
            admin
                .batch_execute(&format!("drop database if exists {building} with (force)"))
                .await
                .expect("drops");
            admin
                .batch_execute(&format!("create database {building} owner {OWNER}"))
                .await
                .expect("creates");
            let (owner, connection) = login(*port, password, OWNER, &building)
                .connect(tokio_postgres::NoTls)
                .await
                .expect("connects");
            let running = tokio::spawn(connection);
            owner
                .batch_execute(&format!("alter schema public owner to {OWNER}"))
                .await
                .or_else(|error| match error.code() {
                    // Before 15 it belongs to the superuser and everyone may create in it.
                    Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) => Ok(()),
                    _ => Err(error),
                })
                .expect("owns its schema");
            if let Err(error) = owner.batch_execute(schema_sql).await {
                let place = error.as_db_error().map_or_else(String::new, |db| {
                    format!("{} ({:?})", db.message(), db.position())
                });
                panic!("the schema of the test does not run: {error}: {place}");
            }
            drop(owner);
            running.await.expect("joins").expect("closes");
            if !more_sql.is_empty() {
                let superuser = login(*port, password, SUPERUSER, &building);
                let (superuser, connection) =
                    superuser.connect(tokio_postgres::NoTls).await.expect("connects");
                let running = tokio::spawn(connection);
                superuser.batch_execute(more_sql).await.expect("the superuser's part runs");
                drop(superuser);
                running.await.expect("joins").expect("closes");
            }
            admin
                .batch_execute(&format!("alter database {building} rename to {template}"))
                .await
                .expect("renames");
        }
        admin
            .batch_execute(&format!("create database {name} template {template} owner {OWNER}"))
            .await
            .expect("creates");
        TestDb { name }
    }

    /// A database with nothing in it.
    pub async fn empty() -> Self {
        TestDb::new("").await
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL for a login of the cluster.
    pub fn url_as(&self, login: &str) -> String {
        let Shared { port, password, .. } = shared();
        format!("postgres://{login}:{password}@127.0.0.1:{port}/{}", self.name)
    }

    /// The superuser's URL: what a Hasura user would have.
    pub fn superuser_url(&self) -> String {
        self.url_as(SUPERUSER)
    }

    pub fn owner_url(&self) -> String {
        self.url_as(OWNER)
    }

    pub fn authenticator_url(&self) -> String {
        self.url_as(AUTHENTICATOR)
    }

    /// Both logins, the admin secret, the key of [`Token`], port 0 on
    /// loopback, and the roles `user`, `admin`, `editor` and `anonymous` mapped;
    /// `settings` (key, value) over these.
    pub fn config(&self, settings: &[(&str, &str)]) -> Config {
        let url = self.authenticator_url();
        let owner = self.owner_url();
        let jwt = json!({"type": "HS256", "key": JWT_KEY}).to_string();
        let mut all = vec![
            ("server.port", "0"),
            ("database.url", url.as_str()),
            ("database.owner_url", owner.as_str()),
            ("database.pool_size", "4"),
            ("auth.admin_secret", ADMIN_SECRET),
            ("auth.jwt", jwt.as_str()),
            ("auth.unauthorized_role", "anonymous"),
            ("roles.map", "user=app_user,admin=app_admin,editor=app_editor,anonymous=app_anon"),
        ];
        all.extend(settings);
        Config::with(&all).expect("the settings of the test are valid")
    }

    /// A superuser's connection; it ends when the client is dropped.
    pub async fn client(&self) -> tokio_postgres::Client {
        self.client_as(SUPERUSER).await
    }

    pub async fn client_as(&self, user: &str) -> tokio_postgres::Client {
        let Shared { port, password, .. } = shared();
        connect(&login(*port, password, user, &self.name)).await
    }

    /// What psql prints (unaligned, rows only) for statements run as the
    /// superuser; the error output when one fails.
    pub fn psql(&self, sql: &str) -> Result<String, String> {
        let mut command = self.psql_command();
        let mut child = command.stderr(Stdio::piped()).spawn().expect("psql runs");
        child.stdin.take().expect("is piped").write_all(sql.as_bytes()).expect("writes");
        let output = child.wait_with_output().expect("ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim_end().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn psql_command(&self) -> Command {
        let Shared { port, password, psql } = shared();
        let mut command = Command::new(psql);
        command
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-U", SUPERUSER, "-d", &self.name, "-p", &port.to_string()])
            .env("PGPASSWORD", password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    /// A psql that stays, for many short questions.
    pub fn psql_session(&self) -> PsqlSession {
        let mut child = self.psql_command().spawn().expect("psql runs");
        let input = child.stdin.take().expect("is piped");
        let output = BufReader::new(child.stdout.take().expect("is piped"));
        PsqlSession { child, input, output }
    }

    /// The same in one transaction under a role with settings, as a request has them.
    pub fn psql_as(
        &self,
        role: &str,
        settings: &[(&str, &str)],
        sql: &str,
    ) -> Result<String, String> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let mut script = String::from("begin;\n\\o /dev/null\n");
        for (name, value) in settings {
            script.push_str(&format!(
                "select set_config({}, {}, true);\n",
                quoted(name),
                quoted(value)
            ));
        }
        script.push_str(&format!("select set_config('role', {}, true);\n\\o\n", quoted(role)));
        script.push_str(sql);
        script.push_str("\n;\ncommit;\n");
        self.psql(&script)
    }
}

pub struct PsqlSession {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl PsqlSession {
    /// Runs statements that answer with nothing.
    pub fn send(&mut self, sql: &str) {
        writeln!(self.input, "{sql};").expect("writes");
    }

    /// The line that a statement answers with.
    pub fn line(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql};").expect("writes");
        self.input.flush().expect("writes");
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).expect("reads") > 0, "psql ended: {sql}");
        line.trim_end().to_owned()
    }
}

impl Drop for PsqlSession {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("psql does not end: {error}");
        }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let Shared { port, password, .. } = shared();
        let sql = format!("drop database if exists {} with (force)", self.name);
        let config = login(*port, password, SUPERUSER, "test");
        // What cannot be dropped is swept at the next start.
        let result = blocking(async move { connect(&config).await.batch_execute(&sql).await });
        if let Err(error) = result {
            eprintln!("the database {} stays for the sweep: {error}", self.name);
        }
    }
}

/// A token signed with [`JWT_KEY`], in Hasura's claims namespace.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Value,
    top: Value,
}

impl Token {
    /// For one role, valid for an hour.
    pub fn new(role: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Token {
            claims: json!({"x-hasura-default-role": role, "x-hasura-allowed-roles": [role]}),
            top: json!({"exp": (now + Duration::from_secs(3600)).as_secs()}),
        }
    }

    pub fn tenant(self, tenant: &str) -> Self {
        self.claim("x-hasura-tenant-id", tenant)
    }

    pub fn user(self, user: &str) -> Self {
        self.claim("x-hasura-user-id", user)
    }

    pub fn roles(self, roles: &[&str]) -> Self {
        self.claim("x-hasura-allowed-roles", roles)
    }

    /// A claim inside the namespace.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// A claim beside the namespace: `exp`, `sub`, `aud` …
    pub fn top(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.top[name] = value.into();
        self
    }

    pub fn mint(&self) -> String {
        let mut claims = self.top.clone();
        claims["https://hasura.io/jwt/claims"] = self.claims.clone();
        jsonwebtoken::encode(
            &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
            &claims,
            &jsonwebtoken::EncodingKey::from_secret(JWT_KEY.as_bytes()),
        )
        .expect("signs")
    }

    /// The value of the `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.mint())
    }
}

/// A client for plain HTTP to servers of the test.
pub fn http() -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // Fails only when some other part of the process has installed one.
        if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
            eprintln!("a TLS provider was installed before");
        }
    });
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
