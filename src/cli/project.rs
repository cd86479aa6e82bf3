//! The folder `.ringfence` of a project: what `ringfence dev` keeps.
//!
//! ```text
//! .ringfence/pg            the private cluster, where its user can reach it;
//!                          a file `demo` beside its data: the demo was loaded
//! .ringfence/secrets.json  admin secret and token key, made once, 0600
//! .ringfence/dev.env       the same with URLs and tokens, for a shell, 0600
//! ```

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CliError, error};
use crate::base::Secret;
use crate::cluster;

/// The open folder.
#[derive(Debug)]
pub(super) struct Project {
    folder: PathBuf,
}

/// Made once and kept.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    pub(super) admin_secret: Secret<String>,
    /// HS256
    pub(super) jwt_key: Secret<String>,
}

/// How [`Secrets`] are stored; a [`Secret`] would be written as `***`.
#[derive(Serialize, Deserialize)]
struct Stored {
    admin_secret: String,
    jwt_key: String,
}

impl Project {
    /// Makes the folder below `parent` if it is missing. Git ignores it.
    pub(super) fn open(parent: &Path) -> Result<Self, CliError> {
        let folder = parent.join(".ringfence");
        let what = || format!("making {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o711).create(&folder).map_err(error::io(what()))?;
        // A cluster of root runs as another user, who has to pass through.
        let mode = if cluster::runs_as_other_user() { 0o711 } else { 0o700 };
        fs::set_permissions(&folder, Permissions::from_mode(mode)).map_err(error::io(what()))?;
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(error::io(what()))?;
        }
        Ok(Project { folder })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn secrets(&self) -> Result<Secrets, CliError> {
        let path = self.path("secrets.json");
        let stored = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|_| {
                CliError::Usage(format!("{} is broken; delete it to make new ones", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = || cluster::random_password().expose().clone();
                let stored = Stored { admin_secret: new(), jwt_key: new() };
                let text = serde_json::json!(stored).to_string();
                cluster::write_private(&path, &text)?;
                stored
            }
            Err(error) => return Err(error::io(format!("reading {}", path.display()))(error)),
        };
        let Stored { admin_secret, jwt_key } = stored;
        Ok(Secrets { admin_secret: Secret::new(admin_secret), jwt_key: Secret::new(jwt_key) })
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, CliError> {
        let path = self.path(name);
        cluster::write_private(&path, text)?;
        Ok(path)
    }
}
