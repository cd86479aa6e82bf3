//! Why a command failed.

use std::io;

use crate::cluster::ClusterError;
use crate::config::ConfigError;
use crate::session::auth_config::AuthConfigError;

/// A command failed; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the token could not be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// Says what was being done when the operating system refused.
pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> CliError {
    let what = what.into();
    move |source| CliError::Io { what, source }
}
