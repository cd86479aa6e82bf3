//! What `migrate` puts into a database and takes out again, on a cluster of its
//! own: roles belong to the whole cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringfence::base::{ApiError, Code};
use ringfence::cluster::{Cluster, ClusterOptions};
use ringfence::config::Config;
use ringfence::pg::migrate::{self, MigrateError, Scope, Wanted};
use ringfence::pg::{
    BootstrapError, ConnectionString, Given, ListenEvent, Logins, Options, Pg, Statement,
    TxContext, Urls, bootstrap,
};
use ringfence::session::settings::SettingsPlan;
use ringfence::session::{Authority, Proof, Session, SessionVars};
use tokio_postgres::{Client, NoTls};

struct Server {
    cluster: Cluster,
}

impl Server {
    /// A running cluster without anything of ours.
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pg_migrate");
        let mut options = ClusterOptions::new(folder, "test");
        options.durable = false;
        Server { cluster: Cluster::start(&options).expect("a PostgreSQL server") }
    }

    fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.cluster.port())
    }

    fn superuser(&self, database: &str) -> String {
        self.url("postgres", self.cluster.password().expose(), database)
    }

    async fn client(&self, database: &str) -> Client {
        connect(&self.superuser(database)).await
    }

    /// A new database with one tenant table.
    async fn database(&self, name: &str, owner: &str) -> Client {
        let client = self.client("test").await;
        client
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .await
            .unwrap();
        client.batch_execute(&format!("create database {name} owner {owner}")).await.unwrap();
        let client = self.client(name).await;
        client
            .batch_execute(&format!(
                "alter schema public owner to {owner}; set role {owner};
                 create table notes (id int primary key, tenant text, owner text);
                 insert into notes values (1, 'a', 'u1'), (2, 'b', 'u2');
                 alter table notes enable row level security; reset role"
            ))
            .await
            .unwrap();
        client
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

fn urls(url: &str, owner: Option<&str>) -> Urls {
    let owner = owner.map(|owner| owner.parse().unwrap());
    Urls { url: url.parse().unwrap(), owner, allow_unsafe: false }
}

fn schemas() -> Vec<String> {
    vec!["public".to_owned(), "no \"such\" schema".to_owned()]
}

fn wanted(schemas: &[String]) -> Wanted<'_> {
    Wanted { schemas, supabase_helpers: false }
}

async fn boot(urls: &Urls) -> Logins {
    bootstrap(urls, wanted(&schemas())).await.unwrap_or_else(|error| panic!("{error}"))
}

fn pg(logins: &Logins) -> Pg {
    let mut options = Options::new(logins.request.clone());
    options.admin = logins.admin.clone();
    options.owner = logins.owner.clone();
    Pg::new(options).unwrap()
}

fn session(authority: Authority, tenant: &str) -> Session {
    Session {
        role: "user".into(),
        authority,
        proof: Proof::Token,
        backend: false,
        vars: SessionVars::from([("x-hasura-org".to_owned(), "o1".to_owned())]),
        tenant: Some(tenant.into()),
        user: Some("u1".into()),
        claims: Some(r#"{"sub": "s1", "n": 7}"#.into()),
        expires_at: None,
        revoked: None,
    }
}

async fn ask(pg: &Pg, session: &Session, role: &str, sql: &str) -> String {
    let names = [
        "app.tenant_id",
        "hasura.user.id",
        "hasura.user.role",
        "hasura.user",
        "request.jwt.claims",
    ];
    let settings = SettingsPlan::new(&BTreeSet::from(names.map(str::to_owned)), &[]);
    let ctx = TxContext::new(session, role, &settings);
    let bytes = pg
        .query_json(&ctx, &Statement::new(sql, true), &[])
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything in the cluster and database that bears our name.
async fn traces(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "select 'role ' || rolname from pg_roles where rolname ~ '^ringfence'
             union all select 'schema ' || nspname from pg_namespace where nspname ~ '^(ringfence|hdb_catalog)'
             union all select 'event trigger ' || evtname from pg_event_trigger
             union all select 'policy ' || polname from pg_policy where polname ~ '^ringfence'
             union all select 'default acl' from pg_default_acl
             union all select 'acl ' || relname from pg_class where relacl::text ~ 'ringfence'
             union all select 'acl ' || nspname from pg_namespace where nspacl::text ~ 'ringfence'
             order by 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn is_refused(url: &ConnectionString) -> bool {
    let mut options = Options::new(url.clone());
    options.pool_size = 1;
    Pg::new(options).unwrap().begin_system("test").await.is_err()
}

/// One test: the steps share the roles of the cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_database() {
    let server = Server::start();
    let root = server.client("test").await;
    for name in ["one", "two", "three", "four", "five", "supabase", "origin", "copy", "twin"] {
        root.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
    }
    let rows = root
        .query("select format('drop owned by %1$I; drop role %1$I', rolname) from pg_roles where rolname ~ '^(ringfence|rf_)'", &[])
        .await
        .unwrap();
    for row in rows {
        root.batch_execute(row.get(0)).await.unwrap();
    }
    root.batch_execute(
        "create role rf_owner login createrole password 'pw';
         create role rf_plain_owner login password 'pw';
         create role rf_login login noinherit password 'pw';
         create role rf_user nologin; grant rf_user to rf_login;
         grant rf_user to rf_owner with admin option",
    )
    .await
    .unwrap();

    root.batch_execute("alter system set log_statement = 'all'").await.unwrap();
    root.batch_execute("select pg_reload_conf()").await.unwrap();
    privileged_login_alone(&server).await;
    passwords_are_not_logged(&server).await;
    second_database_of_the_cluster(&server).await;
    helpers_of_supabase(&server).await;
    copies_leave_the_logins_of_the_original(&server).await;
    owner_without_superuser(&server).await;
    owner_without_createrole(&server).await;
    restricted_login_alone(&server).await;
    wrong_pairs(&server).await;
    removal(&server).await;
    drop(root);
    server.cluster.stop().expect("stops");
}

/// Whatever Postgres is told to log, it is no place to find a password.
async fn passwords_are_not_logged(server: &Server) {
    let client = server.client("one").await;
    let log = std::fs::read_to_string(server.cluster.folder().join("postgres.log")).unwrap();
    assert!(log.contains("insert into ringfence.logins"), "statements are logged");
    let rows = client.query("select password from ringfence.logins", &[]).await.unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let password: String = row.get(0);
        assert!(password.len() >= 48 && !log.contains(&password), "{password}");
    }
}

/// Case (c), four servers starting at once, and what the result can do.
async fn privileged_login_alone(server: &Server) {
    let client = server.database("one", "postgres").await;
    let urls = Arc::new(urls(&server.superuser("one"), None));
    let printed =
        migrate::print(&urls.url, Scope { request_login: None, wanted: wanted(&schemas()) })
            .await
            .unwrap();
    assert!(printed.contains("create role ringfence_authenticator login noinherit"), "{printed}");
    assert!(printed.contains("create function ringfence.tenant_id()"), "{printed}");
    assert_eq!(traces(&client).await, Vec::<String>::new(), "printing changes nothing");

    let starts: Vec<_> = (0..4)
        .map(|_| {
            let urls = Arc::clone(&urls);
            tokio::spawn(async move { boot(&urls).await })
        })
        .collect();
    let mut done = 0;
    let mut logins = Vec::new();
    for start in starts {
        let one = start.await.expect("joins");
        done += usize::from(!one.report.done.is_empty());
        logins.push(one);
    }
    assert_eq!(done, 1, "one server migrates");
    let logins = logins.pop().unwrap();
    assert_eq!(logins.given, Given::Privileged);
    assert_eq!(logins.request.user(), Some("ringfence_authenticator"));
    assert_eq!(logins.report.missing, []);

    let again = boot(&urls).await;
    assert_eq!(again.report.done, Vec::<String>::new(), "nothing is left to do");
    let printed =
        migrate::print(&urls.url, Scope { request_login: None, wanted: wanted(&schemas()) })
            .await
            .unwrap();
    let (comment, rest): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| line.starts_with("-- "));
    assert_eq!(rest, ["set lock_timeout = '2s';"]);
    assert!(comment.join("\n").contains("Not to be run by hand"), "{printed}");

    client
        .batch_execute(
            "create role rf_app; grant rf_app to ringfence_authenticator; grant select on notes to rf_app;
             create policy tenant on notes using (tenant = (select ringfence.tenant_id()))",
        )
        .await
        .unwrap();
    let pg = pg(&logins);
    let ids = "select json_agg(id order by id) from notes";
    let user = session(Authority::Request, "a");
    assert_eq!(ask(&pg, &user, "rf_app", ids).await, "[1]");
    let admin = session(Authority::Admin, "a");
    assert_eq!(ask(&pg, &admin, "ringfence_admin", ids).await, "[1, 2]", "the admin has BYPASSRLS");
    let helpers = "select json_build_array(ringfence.tenant_id(), ringfence.user_id(),
        ringfence.claim('x-hasura-org'), ringfence.claim('sub'), ringfence.claim('n'), ringfence.claim('none'))";
    assert_eq!(ask(&pg, &user, "rf_app", helpers).await, r#"["a", "u1", "o1", "s1", "7", null]"#);
    let empty = Session { tenant: None, user: None, claims: None, ..user.clone() };
    for _ in 0..2 {
        assert_eq!(
            ask(&pg, &empty, "rf_app", helpers).await,
            r#"[null, null, "o1", null, null, null]"#,
            "unset and once-set settings read the same"
        );
    }
    // Inlined: the plan of the policy has the setting, not the function.
    let rows = client
        .query(
            "explain (verbose, costs off) select ringfence.tenant_id(), ringfence.claim('sub')",
            &[],
        )
        .await
        .unwrap();
    let plan: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    assert!(!plan.contains("ringfence."), "{plan}");

    // The passwords are the owner's.
    let names = BTreeSet::new();
    let settings = SettingsPlan::new(&names, &[]);
    let peek = Statement::new("select to_json(password) from ringfence.logins", false);
    for (who, role) in [(&user, "rf_app"), (&admin, "ringfence_admin")] {
        let ctx = TxContext::new(who, role, &settings);
        let error = pg.query_json(&ctx, &peek, &[]).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("42501"), "{role}");
    }
    fenced_without_rights(server, &client, &urls).await;
    // The authenticator cannot become the admin.
    let ctx = TxContext::new(&user, "ringfence_admin", &settings);
    assert!(pg.query_json(&ctx, &Statement::new(ids, false), &[]).await.is_err());

    // DDL is told, temporary objects are not.
    let mut events = pg.listen(&["ringfence_catalog"]).unwrap().expect("no pooler");
    assert_eq!(events.recv().await, Some(ListenEvent::Lost));
    client.batch_execute("create temp table t (x int); drop table t").await.unwrap();
    for ddl in [
        "create table later (id int)",
        "create policy p on later using (true)",
        "grant select on later to rf_app",
        "drop policy p on later",
        "alter table later add column x int",
    ] {
        client.batch_execute(ddl).await.unwrap();
        let event = tokio::time::timeout(Duration::from_secs(5), events.recv()).await;
        assert!(matches!(event, Ok(Some(ListenEvent::Notification { .. }))), "{ddl}: {event:?}");
    }
    let quiet = tokio::time::timeout(Duration::from_millis(100), events.recv()).await;
    assert!(quiet.is_err(), "one notification for each statement");
    assert_eq!(
        ask(&pg, &admin, "ringfence_admin", "select to_json(count(*)) from later").await,
        "0",
        "later tables are the admin's too"
    );

    // A password that somebody changed is set again.
    client.batch_execute("alter role ringfence_authenticator password 'other'").await.unwrap();
    assert!(is_refused(&logins.request).await);
    let repaired = boot(&urls).await;
    assert_eq!(repaired.report.done.len(), 1);
    assert!(!is_refused(&repaired.request).await);
}

/// Row-level security of our own tables keeps rows even where a grant reaches too far, and what
/// could not be had because of a lock comes with the next start.
async fn fenced_without_rights(server: &Server, client: &Client, urls: &Urls) {
    let open = "select count(*) from pg_class where relnamespace = 'ringfence'::regnamespace
        and relkind in ('r', 'p') and not relrowsecurity";
    assert_eq!(client.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 0);
    client
        .batch_execute(
            "create role rf_reaching; grant all on all tables in schema ringfence to rf_reaching;
             set role rf_reaching",
        )
        .await
        .unwrap();
    for table in ["logins", "migrations", "policies"] {
        let sql = format!("select count(*) from ringfence.{table}");
        assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0), 0, "{table}");
        let rows = client.execute(&format!("delete from ringfence.{table}"), &[]).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    client
        .batch_execute("reset role; drop owned by rf_reaching; drop role rf_reaching")
        .await
        .unwrap();

    client
        .batch_execute(
            "alter table ringfence.events disable row level security;
             update ringfence.policies set sql = 'an older text' where file = 'ringfence.events.sql'",
        )
        .await
        .unwrap();
    let other = server.client("one").await;
    other.batch_execute("begin; lock table ringfence.events in row exclusive mode").await.unwrap();
    let missing = boot(urls).await.report.missing;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].sql.contains("alter table ringfence.events"), "{missing:?}");
    other.batch_execute("rollback").await.unwrap();
    let report = boot(urls).await.report;
    assert_eq!(report.done, ["policies/ringfence.events.sql"]);
    assert_eq!(report.missing, []);
    assert_eq!(client.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// `schema.supabase_helpers`: policies of Supabase know the caller; a schema
/// `auth` of somebody else is left as it is.
async fn helpers_of_supabase(server: &Server) {
    const USER: &str = "7d0e5d31-1f0a-4a54-9e57-0b3a2d1c8f11";
    let client = server.database("supabase", "postgres").await;
    let urls = urls(&server.superuser("supabase"), None);
    let schemas = schemas();
    let wanted = Wanted { schemas: &schemas, supabase_helpers: true };
    let logins = bootstrap(&urls, wanted).await.unwrap();
    assert_eq!(logins.report.missing, []);
    let again = bootstrap(&urls, wanted).await.unwrap();
    assert_eq!(again.report.done, Vec::<String>::new(), "nothing is left to do");
    let login = logins.request.user().unwrap();
    client
        .batch_execute(&format!(
            "create role rf_supabase; grant rf_supabase to {login}; grant select on notes to rf_supabase;
             update notes set owner = '{USER}' where id = 2;
             create policy own on notes using (owner::uuid = (select auth.uid())
               and (select auth.role()) = 'user' and (select auth.jwt() ->> 'sub') = 's1')"
        ))
        .await
        .unwrap();
    let pg = pg(&logins);
    let known = Session { user: Some(USER.into()), ..session(Authority::Request, "a") };
    let ids = "select json_agg(id) from notes where id = 2";
    assert_eq!(ask(&pg, &known, "rf_supabase", ids).await, "[2]");
    let unknown = Session { user: None, claims: None, ..known };
    let helpers = "select json_build_array(auth.uid(), auth.role(), auth.jwt())";
    assert_eq!(ask(&pg, &unknown, "rf_supabase", helpers).await, r#"[null, "user", null]"#);

    client.batch_execute("drop policy own on notes").await.unwrap();
    pg.close();
    migrate::remove(&urls.url, None).await.unwrap();
    let left: bool =
        client.query_one("select to_regnamespace('auth') is null", &[]).await.unwrap().get(0);
    assert!(left, "the schema is gone");
    client.batch_execute("create schema auth; create table auth.users (id uuid)").await.unwrap();
    let logins = bootstrap(&urls, wanted).await.unwrap();
    let [missing] = logins.report.missing.as_slice() else { panic!("{:?}", logins.report) };
    assert!(missing.sql.contains("left as it is"), "{missing:?}");
    migrate::remove(&urls.url, None).await.unwrap();
    let users: i64 = client.query_one("select count(*) from auth.users", &[]).await.unwrap().get(0);
    assert_eq!(users, 0, "the foreign schema stays");
    client
        .batch_execute("drop owned by rf_supabase; drop role rf_supabase; drop schema auth cascade")
        .await
        .unwrap();
}

/// Logins are per database, so a second one has its own.
async fn second_database_of_the_cluster(server: &Server) {
    server.database("two", "postgres").await;
    let logins = boot(&urls(&server.superuser("two"), None)).await;
    let login = logins.request.user().unwrap();
    assert!(login.starts_with("ringfence_authenticator_"), "{login}");
    let admin = session(Authority::Admin, "a");
    let ids = "select json_agg(id order by id) from notes";
    assert_eq!(ask(&pg(&logins), &admin, "ringfence_admin", ids).await, "[1, 2]");
    let first = boot(&urls(&server.superuser("one"), None)).await;
    assert_eq!(first.request.user(), Some("ringfence_authenticator"));
    assert!(!is_refused(&first.request).await, "the first database keeps its login");
}

/// Case (b) on a host that gives CREATEROLE but neither event triggers nor
/// BYPASSRLS nor REPLICATION; the given login stays as it is.
async fn owner_without_superuser(server: &Server) {
    let root = server.client("test").await;
    // Since 16 CREATEROLE alone gives no right over roles that others made.
    root.batch_execute(
        "alter role ringfence_admin nobypassrls;
         grant ringfence_api, ringfence_admin to rf_owner with admin option",
    )
    .await
    .unwrap();
    let client = server.database("three", "rf_owner").await;
    let urls =
        urls(&server.url("rf_login", "pw", "three"), Some(&server.url("rf_owner", "pw", "three")));
    let logins = boot(&urls).await;
    assert_eq!(logins.given, Given::Both);
    assert_eq!(logins.request.user(), Some("rf_login"));
    assert!(logins.replication.is_none());
    let missing: BTreeSet<&str> = logins.report.missing.iter().map(|m| m.what).collect();
    assert_eq!(missing, BTreeSet::from(["BYPASSRLS", "REPLICATION", "event triggers"]));
    assert_eq!(boot(&urls).await.report.done, Vec::<String>::new());
    let admin = session(Authority::Admin, "a");
    let ids = "select json_agg(id order by id) from notes";
    assert_eq!(
        ask(&pg(&logins), &admin, "ringfence_admin", ids).await,
        "[1, 2]",
        "through a policy of its own"
    );
    let config = Config::with(&[
        ("database.url", &server.url("rf_login", "wrong", "three")),
        ("database.owner_url", &server.url("rf_owner", "pw", "three")),
    ])
    .expect("valid");
    let error = Pg::start(&config.database, wanted(&schemas()))
        .await
        .err()
        .expect("a wrong password")
        .to_string();
    assert!(error.contains("rf_login@") && !error.contains("wrong"), "{error}");
    let may: bool = client
        .query_one("select pg_has_role('rf_login', 'ringfence_api', 'MEMBER')", &[])
        .await
        .unwrap()
        .get(0);
    assert!(may);
    root.batch_execute("alter role ringfence_admin bypassrls").await.unwrap();
}

/// The statements for the administrator work, and the next start is good.
async fn owner_without_createrole(server: &Server) {
    let client = server.database("four", "rf_plain_owner").await;
    let urls = urls(&server.url("rf_plain_owner", "pw", "four"), None);
    let error = bootstrap(&urls, wanted(&schemas())).await.unwrap_err();
    let BootstrapError::Migrate(MigrateError::Roles { login, sql }) = &error else {
        panic!("{error}")
    };
    assert_eq!(login, "rf_plain_owner");
    assert!(sql.contains("login noinherit password 'SCRAM-SHA-256$"), "{sql}");
    client.batch_execute(sql).await.expect("an administrator can run it");
    let logins = boot(&urls).await;
    assert!(!is_refused(&logins.request).await);
    assert!(!is_refused(logins.admin.as_ref().unwrap()).await);
}

/// Case (a): served as it is, nothing is made.
async fn restricted_login_alone(server: &Server) {
    let client = server.database("four", "postgres").await;
    let logins = boot(&urls(&server.url("rf_login", "pw", "four"), None)).await;
    assert_eq!(logins.given, Given::Restricted);
    assert!(logins.owner.is_none() && logins.admin.is_none());
    let left: Vec<_> =
        traces(&client).await.into_iter().filter(|t| !t.starts_with("role")).collect();
    assert_eq!(left, Vec::<String>::new());
    let names = BTreeSet::new();
    let settings = SettingsPlan::new(&names, &[]);
    let admin = session(Authority::Admin, "a");
    let ctx = TxContext::new(&admin, "ringfence_admin", &settings);
    let ids = Statement::new("select json_agg(id) from notes", false);
    let error = ApiError::from(pg(&logins).query_json(&ctx, &ids, &[]).await.unwrap_err());
    assert_eq!(error.code, Code::AccessDenied);
    assert!(error.message.contains("no administrator"), "{}", error.message);
}

/// A login of requests and an owner that do not fit change nothing.
async fn wrong_pairs(server: &Server) {
    let client = server.database("five", "postgres").await;
    let login = server.url("rf_login", "pw", "five");
    let refused = async |url: &str, owner: &str| {
        let error =
            bootstrap(&urls(url, Some(owner)), wanted(&schemas())).await.unwrap_err().to_string();
        let left = traces(&client).await;
        assert!(left.iter().all(|trace| trace.starts_with("role")), "{left:?}");
        error
    };
    let error = refused(&login, &server.superuser("test")).await;
    assert!(error.contains("\"five\"") && error.contains("\"test\""), "{error}");
    let root = server.superuser("five");
    let error = refused(&root, &root).await;
    assert!(error.contains("a superuser") && error.contains("database.owner_url"), "{error}");

    let owner = server.url("rf_owner", "pw", "five");
    let error = refused(&login, &owner).await;
    assert!(error.contains("permission denied for database five"), "{error}");
    assert!(error.contains("give the login that owns"), "{error}");
    client.batch_execute("create schema ringfence").await.unwrap();
    let error =
        bootstrap(&urls(&login, Some(&owner)), wanted(&schemas())).await.unwrap_err().to_string();
    assert!(error.contains("permission denied for schema ringfence"), "{error}");
    assert!(!error.contains("``") && !error.contains("db error"), "{error}");
    client.batch_execute("drop schema ringfence").await.unwrap();
}

/// A copy has the rows of the original's logins, and lets them be.
async fn copies_leave_the_logins_of_the_original(server: &Server) {
    drop(server.database("origin", "postgres").await);
    let original = boot(&urls(&server.superuser("origin"), None)).await;
    let login = original.request.user().unwrap().to_owned();
    let root = server.client("test").await;
    for copy in ["copy", "twin"] {
        root.batch_execute(&format!("create database {copy} template origin")).await.unwrap();
    }
    // It works in the copy, so the copy goes on with it.
    let copied = boot(&urls(&server.superuser("copy"), None)).await;
    assert_eq!(copied.request.user(), Some(&*login));
    let owner: ConnectionString = server.superuser("copy").parse().unwrap();
    let script = migrate::print_remove(&owner, None).await.unwrap();
    assert!(!script.contains(&format!("drop role {login};")), "{script}");
    let removed = migrate::remove(&owner, None).await.unwrap();
    let kept = format!("role {login} (made for the database that this one is a copy of)");
    assert!(removed.kept.contains(&kept), "{removed:?}");
    assert!(!removed.done.iter().any(|sql| sql.contains(&login) && sql.starts_with("drop role")));
    assert!(!is_refused(&original.request).await, "the original keeps its login");

    // What no longer works is made anew under a name of its own.
    let twin: ConnectionString = server.superuser("twin").parse().unwrap();
    root.batch_execute(&format!("alter role {login} password 'changed'")).await.unwrap();
    let own = boot(&urls(&server.superuser("twin"), None)).await;
    let own_login = own.request.user().unwrap().to_owned();
    assert_ne!(own_login, login);
    assert!(!is_refused(&own.request).await);
    assert!(is_refused(&original.request).await, "nobody touched the original's login");
    let again = boot(&urls(&server.superuser("origin"), None)).await;
    assert_eq!(again.request.user(), Some(&*login));
    assert!(!is_refused(&again.request).await);

    let removed =
        migrate::remove(&server.superuser("origin").parse().unwrap(), None).await.unwrap();
    assert!(removed.done.contains(&format!("drop role {login}")), "{removed:?}");
    let removed = migrate::remove(&twin, None).await.unwrap();
    assert!(removed.done.contains(&format!("drop role {own_login}")), "{removed:?}");
    for name in ["copy", "twin", "origin"] {
        root.batch_execute(&format!("drop database {name} with (force)")).await.unwrap();
    }
}

/// Removing names what still uses a helper, and leaves nothing otherwise.
async fn removal(server: &Server) {
    let one = server.client("one").await;
    let owner: ConnectionString = server.superuser("one").parse().unwrap();
    let error = migrate::remove(&owner, None).await.unwrap_err().to_string();
    assert!(error.contains("tenant_id"), "{error}");
    assert!(!traces(&one).await.is_empty(), "a failed removal changes nothing");
    one.batch_execute("drop policy tenant on notes").await.unwrap();

    let script = migrate::print_remove(&owner, None).await.unwrap();
    assert!(script.contains("drop schema ringfence;"), "{script}");
    assert!(script.contains("-- kept: role ringfence_api"), "{script}");
    let removed = migrate::remove(&owner, None).await.unwrap();
    assert!(
        removed.kept.iter().any(|k| k.contains("ringfence_admin")),
        "others use it: {removed:?}"
    );
    assert!(
        removed.kept.iter().any(|k| {
            k.contains("role ringfence_api") && k.contains("role ringfence_authenticator_")
        }),
        "the logins of other databases are its members: {removed:?}"
    );
    let left: Vec<_> = traces(&one).await;
    assert!(left.contains(&"role ringfence_api".to_owned()), "{left:?}");
    assert!(!left.contains(&"role ringfence_authenticator".to_owned()), "{left:?}");
    assert!(left.iter().all(|trace| trace.starts_with("role")), "{left:?}");

    migrate::remove(&server.superuser("two").parse().unwrap(), None).await.unwrap();
    let three: ConnectionString = server.superuser("three").parse().unwrap();
    let removed = migrate::remove(&three, Some("rf_login")).await.unwrap();
    // Made for "four", which was dropped without a removal.
    assert!(removed.kept.iter().any(|k| k.contains("role ringfence_api")), "{removed:?}");
    let orphans = "select format('drop role %I', rolname) from pg_roles where rolname ~ '^ringfence_.*[0-9]$'";
    for row in one.query(orphans, &[]).await.unwrap() {
        one.batch_execute(row.get(0)).await.unwrap();
    }
    let removed = migrate::remove(&three, None).await.unwrap();
    assert!(removed.kept.iter().any(|k| k.contains("role rf_login is a member")), "{removed:?}");
    let removed = migrate::remove(&three, Some("rf_login")).await.unwrap();
    assert_eq!(removed.kept, Vec::<String>::new());
    for name in ["one", "two", "three"] {
        let left = traces(&server.client(name).await).await;
        assert_eq!(left, Vec::<String>::new(), "{name}");
    }
}
