//! Which database role a GraphQL role runs as, and where its schema comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{ApiError, Code};
use crate::catalog::model::{Catalog, Oid, Role};
use crate::session::{Authority, Session};

/// The role that unmapped GraphQL roles run as.
pub const API_ROLE: &str = "ringfence_api";
/// The role behind the admin secret.
pub const ADMIN_ROLE: &str = "ringfence_admin";

/// The one source of a role's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaSource {
    /// The database role's own GRANTs.
    Grants,
    /// Metadata permissions; a role without any sees nothing.
    Metadata,
    /// Everything exposed (the admin secret).
    Everything,
}

/// A GraphQL role, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleBinding {
    pub db_role: Arc<str>,
    /// `None` when the catalogue has no such role.
    pub oid: Option<Oid>,
    pub source: SchemaSource,
}

impl RoleBinding {
    /// Whether it is the engine's own role, which gets what metadata tracks.
    pub fn is_api(&self) -> bool {
        &*self.db_role == API_ROLE
    }
}

/// How roles are mapped; the configuration's `[roles]`.
#[derive(Debug, Clone, Default)]
pub struct RoleMapping {
    /// GraphQL role → database role.
    pub map: BTreeMap<String, String>,
    /// Whether a role without an entry is the database role of its name, if
    /// the authenticator may become that.
    pub automap: bool,
    /// The login of request traffic.
    pub authenticator: String,
    /// The named override that admits roles that bypass row-level security.
    pub allow_unsafe: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    #[error("role \"{role}\" is mapped to the database role \"{db_role}\", which does not exist")]
    Missing { role: String, db_role: String },
    #[error("role \"{role}\" is mapped to a database role that the authenticator may not become")]
    NotGranted { role: String },
    #[error("role \"{role}\" is mapped to a database role that bypasses row-level security")]
    Unsafe { role: String },
}

impl From<RoleError> for ApiError {
    fn from(error: RoleError) -> Self {
        // The caller cannot mend the mapping; the operator reads the log.
        ApiError::new(Code::AccessDenied, "this role is not available on this server")
            .with_detail(format!("{error}; `ringfence doctor` prints the statement that fixes it"))
    }
}

impl RoleMapping {
    /// Resolves the role of a session against a catalogue; `named` says that
    /// some metadata permission names the role. `authenticator` is the login
    /// there.
    pub fn bind(
        &self,
        catalog: &Catalog,
        session: &Session,
        named: bool,
        authenticator: &str,
    ) -> Result<RoleBinding, RoleError> {
        if session.authority == Authority::Admin {
            return Ok(RoleBinding {
                db_role: ADMIN_ROLE.into(),
                oid: catalog.role(ADMIN_ROLE).map(|role| role.oid),
                source: SchemaSource::Everything,
            });
        }
        let role = session.role.as_ref();
        let login = catalog.role(authenticator);
        let may_become = |oid: Oid| login.is_some_and(|login| catalog.may_set_role(login.oid, oid));
        if let Some(db_role) = self.map.get(role) {
            let found = catalog.role(db_role).ok_or_else(|| RoleError::Missing {
                role: role.to_owned(),
                db_role: db_role.clone(),
            })?;
            if !may_become(found.oid) {
                return Err(RoleError::NotGranted { role: role.to_owned() });
            }
            return self.mapped(role, found, catalog, named);
        }
        if self.automap
            && !role.starts_with("ringfence_")
            && role != authenticator
            && let Some(found) = catalog.role(role)
            && may_become(found.oid)
        {
            return self.mapped(role, found, catalog, named);
        }
        Ok(RoleBinding {
            db_role: API_ROLE.into(),
            oid: catalog.role(API_ROLE).map(|role| role.oid),
            source: SchemaSource::Metadata,
        })
    }

    /// What a role that cannot be used in a further source has there: nothing.
    pub fn absent(&self, session: &Session) -> RoleBinding {
        let role = session.role.as_ref();
        let db_role = self.map.get(role).map_or(role, String::as_str);
        RoleBinding { db_role: db_role.into(), oid: None, source: SchemaSource::Grants }
    }

    fn mapped(
        &self,
        role: &str,
        found: &Role,
        catalog: &Catalog,
        named: bool,
    ) -> Result<RoleBinding, RoleError> {
        let dangerous =
            catalog.roles.get(&found.oid).is_none_or(|found| found.superuser || found.bypass_rls);
        if dangerous && !self.allow_unsafe {
            return Err(RoleError::Unsafe { role: role.to_owned() });
        }
        let source = if named { SchemaSource::Metadata } else { SchemaSource::Grants };
        Ok(RoleBinding { db_role: found.name.clone(), oid: Some(found.oid), source })
    }
}
