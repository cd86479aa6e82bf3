//! Floor 1: a private Postgres cluster for `ringfence dev` and for the tests.
//!
//! ```text
//! binaries::find ─▶ home::Home (folder, user, lock) ─▶ server: initdb once,
//!                                                       start or adopt, stop
//! ```
//!
//! The cluster runs as an unprivileged user in its own process group, listens
//! on loopback and on a socket in a folder that only its user may enter, and
//! always asks for a password. A cluster that a killed process left behind is
//! adopted when it still runs and cleaned when it does not. One process at a
//! time holds the lock of a folder.

mod binaries;
mod error;
mod home;
mod server;

use std::path::{Path, PathBuf};

pub use binaries::{Binaries, MIN_MAJOR, find, install_line};
pub use error::ClusterError;
pub use home::{random_password, runs_as_other_user, write_private};

use crate::base::Secret;
use home::Home;
use server::Server;

/// The superuser of a private cluster.
pub const SUPERUSER: &str = "postgres";

/// What to make or to start.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The folder of the cluster if its user can reach it; otherwise a folder
    /// below `/var/lib/ringfence` whose name is a hash of this one. Where there
    /// is data already, it stays there.
    pub folder: PathBuf,
    /// A database made together with the cluster; lower-case letters, digits and `_`.
    pub database: String,
    /// The folder of the server binaries, when the user names one.
    pub binaries: Option<PathBuf>,
    /// `false` gives up safety against crashes for speed; for tests.
    pub durable: bool,
    /// More settings of the server, as `name`, `value`.
    pub settings: Vec<(String, String)>,
}

impl ClusterOptions {
    pub fn new(folder: impl Into<PathBuf>, database: impl Into<String>) -> Self {
        ClusterOptions {
            folder: folder.into(),
            database: database.into(),
            binaries: None,
            durable: true,
            settings: Vec::new(),
        }
    }
}

/// A running cluster; the lock of its folder is held as long as this lives.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    server: Server,
    password: Secret<String>,
    database: String,
    state: Started,
}

/// How the cluster came to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// Made now.
    Created,
    /// Its data was there.
    Restarted,
    /// It was running, left behind by a killed process.
    Adopted,
}

impl Cluster {
    /// Makes the cluster if there is none, and starts it if it does not run.
    /// Blocks until it accepts connections.
    pub fn start(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let home = Home::open(&options.folder)?;
        let binaries = find(options.binaries.as_deref(), home.data_major()?)?;
        let created = server::create_if_missing(&home, &binaries, options)?;
        let password = home.password()?;
        let (server, adopted) = server::start_or_adopt(&home, &binaries, options)?;
        let state = match (created, adopted) {
            (true, _) => Started::Created,
            (false, true) => Started::Adopted,
            (false, false) => Started::Restarted,
        };
        Ok(Cluster { home, server, password, database: options.database.clone(), state })
    }

    pub fn started(&self) -> Started {
        self.state
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> i32 {
        self.server.pid
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> &Path {
        &self.server.socket_folder
    }

    /// The folder that holds the data, the log and the password.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// The password of [`SUPERUSER`].
    pub fn password(&self) -> &Secret<String> {
        &self.password
    }

    /// The superuser's URL of the database that was made with the cluster.
    pub fn url(&self) -> Secret<String> {
        self.url_for(SUPERUSER, &self.password, &self.database)
    }

    /// The URL over loopback for a login whose name and password need no escapes.
    pub fn url_for(&self, user: &str, password: &Secret<String>, database: &str) -> Secret<String> {
        Secret::new(format!(
            "postgres://{user}:{}@127.0.0.1:{}/{database}",
            password.expose(),
            self.port()
        ))
    }

    /// Whether the server still runs.
    pub fn is_running(&mut self) -> Result<bool, ClusterError> {
        self.server.has_ended().map(|ended| !ended)
    }

    /// What to say when it no longer runs though nobody stopped it.
    pub fn ended(&self) -> ClusterError {
        ClusterError::Ended { log: self.home.log(), tail: server::log_since(&self.home, 0) }
    }

    /// Fast shutdown: open transactions are rolled back, the data is written out.
    pub fn stop(mut self) -> Result<(), ClusterError> {
        self.server.stop()
    }

    /// Lets go of the lock and leaves the server running, to be adopted later.
    pub fn detach(self) {}
}
