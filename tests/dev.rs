//! `ringfence dev` as a new user meets it: start, ask, stop, start again, and
//! what a kill leaves behind.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod harness;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A project folder; the cluster that may still run in it is stopped at the end.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("dev-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("target/tmp is writable");
        Project(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
        command
            .current_dir(&self.0)
            .env_clear()
            .envs(
                ["PATH", "RINGFENCE_PG_BIN"].iter().filter_map(|k| Some((k, std::env::var_os(k)?))),
            )
            .args(args);
        command
    }

    fn dev(&self) -> Dev {
        let mut child = self
            .command(&["dev", "--json", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut out = BufReader::new(child.stdout.take().expect("is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("reads");
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut errors = String::new();
            let mut pipe = child.stderr.take().expect("is piped");
            pipe.read_to_string(&mut errors).expect("reads");
            panic!("not ready: {line}{errors}")
        });
        Dev { child, ready, _out: out }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let options = ringfence::cluster::ClusterOptions::new(self.0.join(".ringfence/pg"), "app");
        let stopped = ringfence::cluster::Cluster::start(&options).and_then(|cluster| {
            let folder = cluster.folder().to_path_buf();
            cluster.stop().map(|()| folder)
        });
        match stopped {
            Ok(folder) => {
                for folder in [folder, self.0.clone()] {
                    if folder.exists() {
                        std::fs::remove_dir_all(folder).expect("removed");
                    }
                }
            }
            Err(error) => eprintln!("{}: {error}", self.0.display()),
        }
    }
}

/// A running `ringfence dev`.
struct Dev {
    child: Child,
    ready: Value,
    _out: BufReader<ChildStdout>,
}

impl Dev {
    fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().expect("is told")
    }

    fn token(&self, tenant: &str, role: &str) -> &str {
        let tokens = self.ready["tokens"].as_array().expect("are told");
        let found = tokens.iter().find(|t| t["tenant"] == tenant && t["role"] == role);
        found.and_then(|t| t["token"].as_str()).expect("is told")
    }

    async fn ask(&self, header: (&str, &str), query: &str) -> Value {
        let answer = harness::http()
            .post(self.text("graphql_url"))
            .header(header.0, header.1)
            .header("content-type", "application/json")
            .body(json!({ "query": query }).to_string())
            .send()
            .await
            .expect("answers")
            .text()
            .await
            .expect("is text");
        serde_json::from_str(&answer).expect("is JSON")
    }

    async fn ask_as(&self, tenant: &str, role: &str, query: &str) -> Value {
        let bearer = format!("Bearer {}", self.token(tenant, role));
        self.ask(("authorization", &bearer), query).await
    }

    fn signal(&mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("ringfence dev did not end: {error}");
        }
    }
}

fn postmaster(url: &str) -> bool {
    let address = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("a URL");
    std::net::TcpStream::connect(address).is_ok()
}

#[tokio::test]
async fn from_nothing_to_two_tenants_and_back() {
    let project = Project::new("life");
    let mut dev = project.dev();
    let query = "{ projects(order_by: {name: asc}) { name } }";
    assert_eq!(
        dev.ask_as("Acme", "user", query).await,
        json!({"data": {"projects": [
            {"name": "Giant magnet"}, {"name": "Portable hole"}, {"name": "Rocket skates"},
        ]}})
    );
    assert_eq!(
        dev.ask_as("Globex", "admin", query).await,
        json!({"data": {"projects": [{"name": "Hammock district"}, {"name": "Weather machine"}]}})
    );
    // The mail addresses are for the admins of the tenant.
    let mails = "{ users(order_by: {name: asc}) { email } }";
    let refused = dev.ask_as("Globex", "user", mails).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "validation-failed", "{refused}");
    assert_eq!(
        dev.ask_as("Globex", "admin", mails).await,
        json!({"data": {"users": [
            {"email": "barbara@globex.example"}, {"email": "brian@globex.example"},
        ]}})
    );
    let secret = dev.text("admin_secret").to_owned();
    let all = dev.ask(("x-hasura-admin-secret", &secret), "{ tenants { slug } }").await;
    assert_eq!(all["data"]["tenants"].as_array().map(Vec::len), Some(2), "{all}");

    // The console on this machine is given the tokens.
    let page = dev.text("graphql_url").replace("/v1/graphql", "/console/config.json");
    let page = harness::http().get(page).send().await.expect("answers").text().await;
    let page: Value = serde_json::from_str(&page.expect("is text")).expect("is JSON");
    let given = page["tokens"].as_array().expect("is a list");
    assert!(given.iter().any(|t| t["token"] == dev.token("Acme", "user")), "{page}");

    for name in ["dev.env", "secrets.json"] {
        let meta = std::fs::metadata(project.0.join(".ringfence").join(name)).expect("is there");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }

    // A second one in the same folder says who is in the way.
    let second = project.command(&["dev", "--port", "0"]).output().expect("runs");
    assert!(!second.status.success());
    let errors = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(errors.contains(&format!("(process {})", dev.child.id())), "{errors}");

    let database = dev.text("database_url").to_owned();
    assert!(postmaster(&database));
    assert_eq!(dev.signal("-INT"), Some(0));
    assert!(!postmaster(&database), "the database stops, too");

    // Data, secret and port of the database survive; the demo is not loaded again.
    let mut dev = project.dev();
    assert_eq!(dev.text("admin_secret"), secret);
    assert_eq!(dev.text("database_url"), database);
    let all = dev.ask(("x-hasura-admin-secret", &secret), "{ tenants { slug } }").await;
    assert_eq!(all["data"]["tenants"].as_array().map(Vec::len), Some(2), "{all}");

    // Killed without a chance to stop its database: the next one adopts it.
    assert_eq!(dev.signal("-KILL"), None);
    assert!(postmaster(&database));
    let mut dev = project.dev();
    assert_eq!(dev.text("database_url"), database);
    assert!(dev.ask_as("Acme", "user", query).await["data"]["projects"].is_array());
    assert_eq!(dev.signal("-TERM"), Some(0));
    assert!(!postmaster(&database));
}

/// A signal while starting, a database that dies, the end of the terminal.
#[tokio::test]
async fn nothing_is_left_running() {
    let project = Project::new("ends");
    let cluster = ringfence::cluster::ClusterOptions::new(project.0.join(".ringfence/pg"), "app");
    let mut early =
        project.command(&["dev", "--port", "0"]).stdout(Stdio::null()).spawn().expect("runs");
    // Written just before the cluster is made.
    while !project.0.join(".ringfence/secrets.json").exists() {
        assert!(early.try_wait().expect("is ours").is_none(), "ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &early.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(early.wait().expect("ends").code(), Some(0));
    let found = ringfence::cluster::Cluster::start(&cluster).expect("is not locked");
    assert_eq!(found.started(), ringfence::cluster::Started::Restarted, "it was stopped");
    let pid_file = found.folder().join("data/postmaster.pid");
    found.stop().expect("stops");

    let mut dev = project.dev();
    assert_eq!(dev.ready["tokens"].as_array().map(Vec::len), Some(4), "the demo is loaded");
    let pid = std::fs::read_to_string(&pid_file).expect("runs");
    let pid = pid.lines().next().expect("a line");
    assert!(Command::new("kill").args(["-9", pid]).status().expect("kill runs").success());
    assert_eq!(dev.child.wait().expect("ends").code(), Some(1));
    let mut errors = String::new();
    dev.child.stderr.take().expect("is piped").read_to_string(&mut errors).expect("reads");
    assert!(errors.contains("PostgreSQL ended by itself"), "{errors}");

    let mut dev = project.dev();
    let database = dev.text("database_url").to_owned();
    // Who runs under `nohup` hands that down, and then HUP is to be survived.
    let last = if hang_up_is_ignored() { "-TERM" } else { "-HUP" };
    assert_eq!(dev.signal(last), Some(0));
    assert!(!postmaster(&database));
}

/// Whether this process, and so its children, ignores SIGHUP; told by Linux only.
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[tokio::test]
async fn other_commands_work_with_its_environment() {
    let project = Project::new("env");
    let dev = project.dev();
    let run = |script: &str| {
        Command::new("/bin/sh")
            .args(["-c", &format!(". ./.ringfence/dev.env; {script}"), "sh"])
            .current_dir(&project.0)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RF", env!("CARGO_BIN_EXE_ringfence"))
            .output()
            .expect("runs")
    };
    let shell = |script: &str| {
        let output = run(script);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert_eq!(shell("printf %s \"$ACME_ADMIN\""), dev.token("Acme", "admin"));

    let sdl = shell("$RF schema print --role user");
    assert!(sdl.contains("type projects"), "{sdl}");
    assert!(!sdl.contains("email"), "{sdl}");
    assert!(shell("$RF schema print --role admin-of-nothing").contains("type"), "an empty schema");

    let explained = shell(
        "$RF explain --role user --tenant a0000000-0000-4000-8000-000000000000 \
         --query '{ projects(where: {name: {_eq: \"x\"}}) { name } }'",
    );
    for part in ["app_user", "app.tenant_id", "\"projects\"", "\"Plan\""] {
        assert!(explained.contains(part), "{part}\n{explained}");
    }

    let token = shell("$RF token --role user --tenant b0000000-0000-4000-8000-000000000000");
    let bearer = format!("Bearer {}", token.trim());
    let answer = dev.ask(("authorization", &bearer), "{ tenants { name } }").await;
    assert_eq!(answer, json!({"data": {"tenants": [{"name": "Globex"}]}}));

    let sql = shell("$RF migrate --print");
    assert!(!sql.contains("create schema"), "it is migrated: {sql}");

    // Only the policies that are kept word for word have something to mend.
    let report: Value = serde_json::from_str(&shell("$RF doctor --json")).expect("JSON");
    assert_eq!(report["refusals"], 0, "{report:#}");
    for finding in report["findings"].as_array().expect("a list") {
        let about = finding["object"].as_str().expect("text");
        assert!(finding["severity"] != "warn" || about.contains("posts"), "{finding:#}");
    }
    let (client, connection) =
        tokio_postgres::connect(dev.text("database_url"), tokio_postgres::NoTls)
            .await
            .expect("connects");
    let running = tokio::spawn(connection);
    client.batch_execute("alter table tasks disable row level security").await.expect("runs");
    drop(client);
    running.await.expect("joins").expect("closes");
    let open = run("RINGFENCE_MODE=production $RF doctor");
    assert_eq!(open.status.code(), Some(1));
    let text = String::from_utf8_lossy(&open.stdout).into_owned();
    assert!(text.contains("ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY"), "{text}");
}
