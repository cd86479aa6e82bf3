//! The server process: made once, started or adopted, stopped.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::binaries::Binaries;
use super::error::{ClusterError, io};
use super::home::{Home, write_private};
use super::{ClusterOptions, SUPERUSER};

/// Recovery after a crash is part of a start.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
const LOG_LIMIT: u64 = 10 << 20;

/// A postmaster that accepts connections.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) pid: i32,
    pub(super) port: u16,
    pub(super) socket_folder: PathBuf,
    /// `None` when it was adopted.
    child: Option<Child>,
}

/// What `postmaster.pid` says.
#[derive(Debug, PartialEq, Eq)]
struct PidFile {
    pid: i32,
    port: u16,
    socket_folder: PathBuf,
    ready: bool,
}

impl PidFile {
    /// Lines: pid, data folder, start time, port, socket folder, address,
    /// shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let port = lines.nth(2)?.trim().parse().ok()?;
        let socket_folder = PathBuf::from(lines.next()?);
        let ready = lines.nth(2).is_some_and(|status| status.trim() == "ready");
        Some(PidFile { pid, port, socket_folder, ready })
    }

    /// `None` when there is none or it is not written out yet.
    fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }
}

/// Makes the data folder and the database. It appears under its name only
/// when complete, so that a kill in between leaves nothing half made.
pub(super) fn create_if_missing(
    home: &Home,
    binaries: &Binaries,
    options: &ClusterOptions,
) -> Result<bool, ClusterError> {
    let data = home.data();
    if data.join("PG_VERSION").exists() {
        return Ok(false);
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if options.database.is_empty() || !options.database.chars().all(plain) {
        return Err(ClusterError::DatabaseName(options.database.clone()));
    }
    let new = home.folder().join("data.new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io(format!("removing {}", new.display())))?;
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&new)
        .map_err(io(format!("making {}", new.display())))?;
    home.give(&new)?;
    let password_file = home.folder().join("initdb-password");
    write_private(&password_file, home.password()?.expose())?;
    home.give(&password_file)?;
    let mut initdb = home.command(&binaries.program("initdb"));
    initdb
        .arg("--pgdata")
        .arg(&new)
        .arg("--pwfile")
        .arg(&password_file)
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
        .args(locale(binaries.major))
        .args(["--no-sync", "--no-instructions"]);
    let made = run("initdb", &mut initdb, None);
    fs::remove_file(&password_file).map_err(io(format!("removing {}", password_file.display())))?;
    made?;
    let mut single = home.command(&binaries.program("postgres"));
    single.arg("--single").arg("-D").arg(&new).arg("postgres");
    // The name was checked above to need no quotes; they guard reserved words.
    let statement = format!("create database \"{}\"\n", options.database);
    let output = run("postgres --single", &mut single, Some(&statement))?;
    if output.contains("ERROR") || output.contains("FATAL") {
        return Err(ClusterError::Program { program: "postgres --single", output });
    }
    fs::rename(&new, &data).map_err(io(format!("renaming {}", new.display())))?;
    Ok(true)
}

/// Texts sort by code point and cases fold by Unicode, alike on every system
/// that can.
fn locale(major: u32) -> &'static [&'static str] {
    if major >= 17 {
        &["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    } else if cfg!(target_os = "macos") {
        &["--locale=en_US.UTF-8", "--lc-collate=C"]
    } else {
        &["--locale=C.UTF-8"]
    }
}

fn run(
    program: &'static str,
    command: &mut Command,
    input: Option<&str>,
) -> Result<String, ClusterError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(io(format!("starting {program}")))?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(text.as_bytes()).map_err(io(format!("writing to {program}")))?;
    }
    let output = child.wait_with_output().map_err(io(format!("waiting for {program}")))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(text)
    } else {
        Err(ClusterError::Program { program, output: text.trim().to_owned() })
    }
}

/// A running server of this folder, or a new one. `true` when adopted.
pub(super) fn start_or_adopt(
    home: &Home,
    binaries: &Binaries,
    options: &ClusterOptions,
) -> Result<(Server, bool), ClusterError> {
    let socket_folder = home.socket_folder()?;
    let began = Instant::now();
    let mut fresh_port = false;
    loop {
        if let Some(server) = adopt(home)? {
            return Ok((server, true));
        }
        clean_sockets(&socket_folder)?;
        let port = home.port(fresh_port)?;
        let log_from = prepare_log(home)?;
        let child = spawn(home, binaries, options, port, &socket_folder)?;
        match wait_ready(home, child, port, &socket_folder)? {
            Some(server) => return Ok((server, false)),
            None => {
                let tail = log_since(home, log_from);
                // Another process took the port in between; or a postmaster has
                // only begun to write its pid file, or its children outlive it
                // for a moment.
                fresh_port = tail.contains("could not bind") || tail.contains("Address already");
                let leaving = ["still in use", "shared memory", "lock file"]
                    .iter()
                    .any(|sign| tail.contains(sign));
                if !(fresh_port || leaving) || began.elapsed() > START_LIMIT {
                    return Err(ClusterError::Start { log: home.log(), tail });
                }
                sleep(Duration::from_millis(200));
            }
        }
    }
}

/// The postmaster that a killed process left behind, if it is alive; a stale
/// pid file is removed.
fn adopt(home: &Home) -> Result<Option<Server>, ClusterError> {
    let data = home.data();
    let began = Instant::now();
    while let Some(file) = PidFile::read(&data) {
        if !alive(file.pid) || !is_postmaster_of(file.pid, &data) {
            let path = data.join("postmaster.pid");
            fs::remove_file(&path).map_err(io(format!("removing {}", path.display())))?;
            return Ok(None);
        }
        if file.ready {
            let PidFile { pid, port, socket_folder, .. } = file;
            return Ok(Some(Server { pid, port, socket_folder, child: None }));
        }
        if began.elapsed() > START_LIMIT {
            let tail = log_since(home, 0);
            return Err(ClusterError::Start { log: home.log(), tail });
        }
        // It is starting or stopping.
        sleep(POLL);
    }
    Ok(None)
}

/// Process ids are used again: the one in the file counts only when its
/// command line names our data folder.
fn is_postmaster_of(pid: i32, data: &Path) -> bool {
    let command_line = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => bytes,
        Err(_) => {
            let pid = pid.to_string();
            match Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid]).output() {
                Ok(output) => output.stdout,
                Err(_) => return false,
            }
        }
    };
    String::from_utf8_lossy(&command_line).contains(data.to_string_lossy().as_ref())
}

fn alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| match test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    })
}

/// Nobody listens on them: we hold the lock and there is no postmaster.
fn clean_sockets(folder: &Path) -> Result<(), ClusterError> {
    let what = || format!("cleaning {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io(what()))?,
    };
    for entry in entries {
        let entry = entry.map_err(io(what()))?;
        if entry.file_name().to_string_lossy().starts_with(".s.PGSQL.") {
            fs::remove_file(entry.path()).map_err(io(what()))?;
        }
    }
    Ok(())
}

/// Moves a long log aside and returns the length of what stays.
fn prepare_log(home: &Home) -> Result<u64, ClusterError> {
    let log = home.log();
    match fs::metadata(&log) {
        Ok(meta) if meta.len() > LOG_LIMIT => {
            fs::rename(&log, log.with_extension("log.1"))
                .map_err(io(format!("renaming {}", log.display())))?;
            Ok(0)
        }
        Ok(meta) => Ok(meta.len()),
        Err(_) => Ok(0),
    }
}

pub(super) fn log_since(home: &Home, from: u64) -> String {
    let text = match fs::read(home.log()) {
        Ok(bytes) => {
            let from = usize::try_from(from).unwrap_or(0);
            String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
        }
        Err(error) => format!("(the log cannot be read: {error})"),
    };
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

fn spawn(
    home: &Home,
    binaries: &Binaries,
    options: &ClusterOptions,
    port: u16,
    socket_folder: &Path,
) -> Result<Child, ClusterError> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(home.log())
        .map_err(io(format!("opening {}", home.log().display())))?;
    let mut command = home.command(&binaries.program("postgres"));
    command.arg("-D").arg(home.data());
    let port_text = port.to_string();
    let sockets = socket_folder.to_string_lossy();
    let mut settings: Vec<(&str, &str)> = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", &port_text),
        ("unix_socket_directories", &sockets),
        ("unix_socket_permissions", "0700"),
        ("password_encryption", "scram-sha-256"),
        ("wal_level", "logical"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
    ];
    if !options.durable {
        settings.extend([
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ]);
    }
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let errors = log.try_clone().map_err(io("opening the log"))?;
    command.stdout(log).stderr(errors).spawn().map_err(io("starting postgres"))
}

/// `None` when the server ended instead of becoming ready.
fn wait_ready(
    home: &Home,
    mut child: Child,
    port: u16,
    socket_folder: &Path,
) -> Result<Option<Server>, ClusterError> {
    let began = Instant::now();
    let child_pid = i32::try_from(child.id()).unwrap_or_default();
    loop {
        if child.try_wait().map_err(io("waiting for postgres"))?.is_some() {
            return Ok(None);
        }
        match PidFile::read(&home.data()) {
            Some(file) if file.pid == child_pid && file.ready => {
                return Ok(Some(Server {
                    pid: file.pid,
                    port,
                    socket_folder: socket_folder.to_path_buf(),
                    child: Some(child),
                }));
            }
            _ if began.elapsed() > START_LIMIT => {
                child.kill().map_err(io("stopping postgres"))?;
                child.wait().map_err(io("waiting for postgres"))?;
                return Ok(None);
            }
            _ => sleep(POLL),
        }
    }
}

impl Server {
    /// Fast shutdown, then the immediate one when that takes too long.
    pub(super) fn stop(&mut self) -> Result<(), ClusterError> {
        for signal in [Signal::INT, Signal::QUIT] {
            // The process id of one that ended may be another's by now.
            if !self.has_ended()? {
                self.signal(signal)?;
            }
            let began = Instant::now();
            while began.elapsed() < STOP_LIMIT {
                if self.has_ended()? {
                    return self.remove_sockets();
                }
                sleep(POLL);
            }
        }
        Err(ClusterError::Stop(self.pid))
    }

    /// The folder is made again at the next start. A server that was killed
    /// leaves its socket and the socket's lock in it.
    fn remove_sockets(&self) -> Result<(), ClusterError> {
        clean_sockets(&self.socket_folder)?;
        match fs::remove_dir(&self.socket_folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(io(format!("removing {}", self.socket_folder.display()))),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        match kill_process(pid, signal) {
            // It ended by itself.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(io("signalling postgres")(error.into())),
        }
    }

    pub(super) fn has_ended(&mut self) -> Result<bool, ClusterError> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait().map_err(io("waiting for postgres"))?.is_some()),
            None => Ok(!alive(self.pid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_read() {
        let text = "1234\n/d/data\n1700000000\n5433\n/tmp/s\n127.0.0.1\n  5432001  0\nready   \n";
        let file = PidFile::parse(text).expect("complete");
        assert_eq!((file.pid, file.port, file.ready), (1234, 5433, true));
        let starting = PidFile::parse("1234\n/d/data\n1700000000\n5433\n/tmp/s\n").expect("begun");
        assert!(!starting.ready);
        assert!(PidFile::parse("1234\n").is_none());
    }
}
