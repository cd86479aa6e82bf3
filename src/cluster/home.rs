//! The folder of a cluster, the user it runs as, and the lock on it.
//!
//! ```text
//! <folder>/lock           held by the process that runs the cluster
//! <folder>/password       of the superuser, 0600
//! <folder>/port           the last port, taken again if it is free
//! <folder>/postgres.log
//! <folder>/data           belongs to the cluster's user, 0700
//! /tmp/ringfence-<hash>   the socket: paths of sockets are limited to about 100 bytes
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::RngExt as _;

use super::error::{ClusterError, io};
use crate::base::Secret;

/// A user to run as, when we are root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: u32,
}

/// An open and locked folder.
#[derive(Debug)]
pub(super) struct Home {
    folder: PathBuf,
    /// `None`: the cluster runs as we do.
    user: Option<User>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Home {
    /// Opens and locks `wanted`, or its stand-in below `/var/lib/ringfence`.
    pub(super) fn open(wanted: &Path) -> Result<Self, ClusterError> {
        let wanted =
            std::path::absolute(wanted).map_err(io(format!("the path of {}", wanted.display())))?;
        let user = if runs_as_other_user() { Some(unprivileged()?) } else { None };
        let folder = match user {
            Some(user) => place(wanted, user)?,
            None => wanted,
        };
        make_folder(&folder, if user.is_some() { 0o711 } else { 0o700 })?;
        let lock = lock(&folder)?;
        Ok(Home { folder, user, _lock: lock })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The major version that made the data, if there is data.
    pub(super) fn data_major(&self) -> Result<Option<(u32, PathBuf)>, ClusterError> {
        let path = self.data().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok().map(|major| (major, self.folder.clone()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(format!("reading {}", path.display()))(error)),
        }
    }

    /// A command that runs as the cluster's user with a bare environment, in
    /// its own process group so that Ctrl-C reaches only us.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Gives a path to the cluster's user.
    pub(super) fn give(&self, path: &Path) -> Result<(), ClusterError> {
        match self.user {
            Some(user) => chown(path, Some(user.uid), Some(user.gid))
                .map_err(io(format!("changing the owner of {}", path.display()))),
            None => Ok(()),
        }
    }

    /// The superuser's password; made once.
    pub(super) fn password(&self) -> Result<Secret<String>, ClusterError> {
        let path = self.folder.join("password");
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim().to_owned())),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io(format!("reading {}", path.display()))(error))
            }
            _ => {
                let password = random_password();
                write_private(&path, password.expose())?;
                Ok(password)
            }
        }
    }

    /// The port of the last start, or one that is free now.
    pub(super) fn port(&self, fresh: bool) -> Result<u16, ClusterError> {
        let path = self.folder.join("port");
        let last = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u16>().ok());
        if let (Some(port), false) = (last, fresh)
            && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
        {
            return Ok(port);
        }
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(io("looking for a free port"))?
            .port();
        write_private(&path, &port.to_string())?;
        Ok(port)
    }

    /// The folder of the socket, made if missing; only the cluster's user may
    /// enter. In `/tmp` anyone may have made the name first, so it is checked.
    pub(super) fn socket_folder(&self) -> Result<PathBuf, ClusterError> {
        let folder = Path::new("/tmp").join(format!("ringfence-{}", hash(&self.folder)));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => self.give(&folder)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(format!("making {}", folder.display()))(error)),
        }
        let meta = fs::symlink_metadata(&folder)
            .map_err(io(format!("looking at {}", folder.display())))?;
        let owner = self.user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
        if meta.is_dir() && meta.uid() == owner && meta.mode() & 0o077 == 0 {
            Ok(folder)
        } else {
            Err(ClusterError::SocketFolder { folder })
        }
    }
}

/// Where a cluster of root lives: where its data is, so that a change of the
/// rights of a folder above does not begin another one; new data goes where its
/// user can reach it.
fn place(wanted: PathBuf, user: User) -> Result<PathBuf, ClusterError> {
    let stand_in = Path::new("/var/lib/ringfence").join(hash(&wanted));
    let has_data = |folder: &Path| folder.join("data/PG_VERSION").exists();
    match (has_data(&wanted), has_data(&stand_in), reachable(&wanted, user)?) {
        (true, _, true) | (false, false, true) => Ok(wanted),
        (true, false, false) => Err(ClusterError::Unreachable { folder: wanted }),
        (_, true, _) | (false, false, false) => Ok(stand_in),
    }
}

/// Makes a folder with its parents.
fn make_folder(folder: &Path, mode: u32) -> Result<(), ClusterError> {
    if let Some(parent) = folder.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(io(format!("making {}", parent.display())))?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(io(format!("making {}", folder.display())))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
        .map_err(io(format!("setting the mode of {}", folder.display())))
}

/// Whether a user can enter the folder, which may not exist yet.
fn reachable(folder: &Path, user: User) -> Result<bool, ClusterError> {
    let mut nearest = folder;
    while !nearest.exists() {
        match nearest.parent() {
            Some(parent) => nearest = parent,
            None => return Ok(false),
        }
    }
    // A made folder is entered by its mode; one above us may be closed.
    let status = Command::new("/bin/sh")
        .args(["-c", "cd . "])
        .current_dir(nearest)
        .uid(user.uid)
        .gid(user.gid)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(io("running /bin/sh")(error)),
    }
}

fn lock(folder: &Path) -> Result<File, ClusterError> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io(format!("opening {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            written.map_err(io(format!("writing {}", path.display())))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(io(format!("reading {}", path.display())))?;
            Err(ClusterError::Locked { folder: folder.to_path_buf(), holder })
        }
        Err(TryLockError::Error(error)) => Err(io(format!("locking {}", path.display()))(error)),
    }
}

/// Whether we are root, as which Postgres refuses to run.
pub fn runs_as_other_user() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user that a cluster of root runs as.
fn unprivileged() -> Result<User, ClusterError> {
    for name in ["postgres", "nobody"] {
        let id = |flag: &str| -> Option<u32> {
            let output = Command::new("id").args([flag, name]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        };
        if let (Some(uid), Some(gid)) = (id("-u"), id("-g"))
            && uid != 0
        {
            return Ok(User { uid, gid });
        }
    }
    Err(ClusterError::NoUser)
}

/// Letters and digits only, so that it needs no escapes in URLs.
pub fn random_password() -> Secret<String> {
    let text: String =
        rand::rng().sample_iter(rand::distr::Alphanumeric).take(32).map(char::from).collect();
    Secret::new(text)
}

/// Writes a file that only we may read, replacing it as a whole.
pub fn write_private(path: &Path, text: &str) -> Result<(), ClusterError> {
    let what = || format!("writing {}", path.display());
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io(what())(error));
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path))
        .map_err(io(what()))
}

/// FNV-1a of a path, in 12 digits: a name that stays the same.
fn hash(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{:012x}", hash >> 16)
}
