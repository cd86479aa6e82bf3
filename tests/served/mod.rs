//! The real binary, serving a test's database as a process of its own.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{self, TestDb};

/// How long a test waits for what will come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ends a process that the test started.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            eprintln!("a process of the test did not end: {error}");
        }
    }
}

/// One `ringfence serve`.
pub struct Instance {
    pub process: Running,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Instance {
    pub fn start(db: &TestDb) -> Instance {
        Self::start_with(db, &[])
    }

    /// With more of the environment.
    pub fn start_with(db: &TestDb, more: &[(&str, &str)]) -> Instance {
        Self::start_at(db, free_address(), more)
    }

    /// At an address that another one may have had before.
    pub fn start_at(db: &TestDb, address: SocketAddr, more: &[(&str, &str)]) -> Instance {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .arg("serve")
            .env_clear()
            .envs(["PATH", "HOME", "TMPDIR"].iter().filter_map(|k| Some((k, std::env::var_os(k)?))))
            .env("DATABASE_URL", db.authenticator_url())
            .env("RINGFENCE_DATABASE_OWNER_URL", db.owner_url())
            .env(
                "RINGFENCE_AUTH_JWT",
                json!({"type": "HS256", "key": harness::JWT_KEY}).to_string(),
            )
            .env("RINGFENCE_ROLES_MAP", "user=app_user,editor=app_editor")
            .env("RINGFENCE_SERVER_PORT", address.port().to_string())
            .env("RINGFENCE_SERVER_TRUSTED_PROXIES", "127.0.0.1/32")
            .env("RINGFENCE_LOG_FORMAT", "json")
            .envs(more.iter().copied())
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        collect(stdout, log.clone());
        collect(stderr, log.clone());
        let instance = Instance { process: Running(child), address, log };
        let start = Instant::now();
        while !instance.ready() {
            assert!(start.elapsed() < PATIENCE, "never ready: {:?}", instance.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        instance
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) {
        let pid = self.process.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(asked.success());
        let ended = wait_for(|| self.process.0.try_wait().unwrap());
        assert!(ended.success(), "{ended}: {}", self.log());
    }

    fn ready(&self) -> bool {
        raw(self.address, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The line of the log with this request id.
    pub fn logged(&self, id: &str) -> Option<String> {
        self.log.lock().unwrap().iter().find(|line| line.contains(id)).cloned()
    }
}

impl Instance {
    /// All that it has written.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

pub fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
}

/// A port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Bytes to an address and all that comes back until it closes.
pub fn raw(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
