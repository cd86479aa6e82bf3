//! Floor 1: who is asking.
//!
//! ```text
//! headers ─▶ transport::authn ─▶ jwt (verify) ─▶ claims (namespace, map) ─▶ Session
//!                                 └ jwks (keys)    └ vars (texts)
//!                                                        │
//!                                  settings::SettingsPlan ─▶ one `set_config` statement
//! ```
//!
//! A [`Session`] is built once per request from verified input and never
//! changes. What Postgres is told about it is decided by
//! [`settings::SettingsPlan`].

pub mod auth_config;
pub mod claims;
mod jwks;
pub mod jwt;
pub mod settings;
pub mod vars;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

pub use auth_config::{AuthConfig, JwtConfig, JwtConfigs};

/// Session variables: lower-case `x-hasura-*` names to their text.
pub type SessionVars = BTreeMap<String, String>;

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The admin secret; role and variables come from request headers.
    AdminSecret,
    /// A verified token.
    Token,
    /// Nothing; the configured unauthorized role.
    Anonymous,
}

/// Which login carries the session's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// `ringfence_admin`: reached by the admin secret without a role, only.
    Admin,
    /// The authenticator: every other request.
    Request,
}

/// The caller of one request.
#[derive(Debug, Clone)]
pub struct Session {
    /// The GraphQL role.
    pub role: Arc<str>,
    pub authority: Authority,
    pub proof: Proof,
    /// Permissions for the backend count: asked for beside the admin secret.
    pub backend: bool,
    pub vars: SessionVars,
    /// `app.tenant_id`
    pub tenant: Option<Arc<str>>,
    /// `hasura.user.id`
    pub user: Option<Arc<str>>,
    /// The verified claims as JSON text (`request.jwt.claims`); `None` without a token.
    pub claims: Option<Arc<str>>,
    pub expires_at: Option<SystemTime>,
    /// Cancelled when the key that verified the token is accepted no more;
    /// `None` where that cannot happen.
    pub revoked: Option<CancellationToken>,
}

impl Session {
    /// Whether what proved the caller still does.
    pub fn is_valid(&self) -> bool {
        let is_revoked = self.revoked.as_ref().is_some_and(CancellationToken::is_cancelled);
        !is_revoked && self.expires_at.is_none_or(|at| at > SystemTime::now())
    }
}

/// What tokens and secrets are remembered and compared by.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.as_ref());
    digest
}
