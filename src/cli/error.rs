//! Why a command failed.

use std::io;

use crate::admin::ProjectError;
use crate::app::AppError;
use crate::base::ApiError;
use crate::catalog::CatalogError;
use crate::cluster::ClusterError;
use crate::config::ConfigError;
use crate::metadata::folder::FolderError;
use crate::pg::migrate::MigrateError;
use crate::pg::{BootstrapError, PgError};
use crate::session::auth_config::AuthConfigError;
use crate::sql::InvalidIdent;
use crate::telemetry::logging::LogError;

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
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Pg(#[from] PgError),
    #[error("the name of a role: {0}")]
    Name(#[from] InvalidIdent),
    #[error("loading the demo, {name}: {cause}")]
    Demo { name: &'static str, cause: PgError },
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{} at {}: {}{}", .0.code, .0.path, .0.message, detail(.0))]
    Api(#[from] ApiError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the token could not be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// Who runs a command may see what the log would have.
fn detail(error: &ApiError) -> String {
    error.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"))
}

/// Says what was being done when the operating system refused.
pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> CliError {
    let what = what.into();
    move |source| CliError::Io { what, source }
}
