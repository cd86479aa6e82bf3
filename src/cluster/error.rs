//! Why there is no cluster, and what to do about it.

use std::io;
use std::path::PathBuf;

/// A private cluster could not be made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "no PostgreSQL server binaries (version {min} or newer) were found.\n\
         Install them with\n    {install}\nor set RINGFENCE_PG_BIN to the folder that holds \
         `postgres` and `initdb`.{found}"
    )]
    NotFound { min: u32, install: String, found: String },
    #[error("RINGFENCE_PG_BIN: {folder} does not hold usable server binaries: {why}")]
    BadFolder { folder: PathBuf, why: String },
    #[error(
        "the cluster in {folder} was made by PostgreSQL {wanted}, whose server binaries are not \
         installed (found: {found}).\nInstall PostgreSQL {wanted}, or delete the folder to begin \
         afresh"
    )]
    OtherMajor { folder: PathBuf, wanted: u32, found: String },
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it \
         as"
    )]
    NoUser,
    #[error("{folder} is in use by another `ringfence` (process {holder})")]
    Locked { folder: PathBuf, holder: String },
    #[error(
        "the folder {folder} for the socket belongs to someone else or is open to others; delete it"
    )]
    SocketFolder { folder: PathBuf },
    #[error(
        "the name \"{0}\" cannot be used for a database here: use lower-case letters, digits and _"
    )]
    DatabaseName(String),
    #[error("{program} failed:\n{output}")]
    Program { program: &'static str, output: String },
    #[error("PostgreSQL did not start; the end of {log} says:\n{tail}")]
    Start { log: PathBuf, tail: String },
    #[error("PostgreSQL ended by itself; the end of {log} says:\n{tail}")]
    Ended { log: PathBuf, tail: String },
    #[error(
        "the cluster in {folder} holds data, but a folder above it is closed to the user that PostgreSQL runs as; \
         open it again (chmod o+x)"
    )]
    Unreachable { folder: PathBuf },
    #[error("PostgreSQL (process {0}) did not stop")]
    Stop(i32),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// Says what was being done when the operating system refused.
pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
    let what = what.into();
    move |source| ClusterError::Io { what, source }
}
