//! From request headers to a [`Session`].
//!
//! ```text
//! admin secret? ── right ─▶ role and variables of the headers
//!      │  └─ wrong ─▶ refused
//!      ▼ none
//! token? ── valid ─▶ role among the allowed, variables of the claims only
//!      │  └─ invalid ─▶ refused
//!      ▼ none
//! unauthorized role, if one is configured; without variables
//! ```
//!
//! A proof that is wrong is never taken for none.

use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::{Choice, ConstantTimeEq};

use crate::base::{ApiError, Code};
use crate::session::auth_config::TokenHeader;
use crate::session::claims::{
    ClaimsError, admin_session, anonymous_session, is_role_name, is_variable_name,
};
use crate::session::jwt::{Found, IssuerError, TokenVerifier};
use crate::session::{AuthConfig, Session, SessionVars, sha256};

const ADMIN_SECRET: HeaderName = HeaderName::from_static("x-hasura-admin-secret");
const ACCESS_KEY: HeaderName = HeaderName::from_static("x-hasura-access-key");
const ROLE: HeaderName = HeaderName::from_static("x-hasura-role");
const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");
const BACKEND: HeaderName = HeaderName::from_static("x-hasura-use-backend-only-permissions");

/// Headers of the `x-hasura-` family that are no session variables.
const NOT_VARIABLES: [&str; 4] = [
    "x-hasura-admin-secret",
    "x-hasura-access-key",
    "x-hasura-role",
    "x-hasura-use-backend-only-permissions",
];

/// Why authentication cannot be set up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthSetupError {
    #[error("auth.admin_secrets: an admin secret is empty")]
    EmptySecret,
    #[error("auth.unauthorized_role: {0:?} is no name of a role")]
    UnauthorizedRole(String),
    #[error(transparent)]
    Issuer(#[from] IssuerError),
}

/// Tells who sends a request.
#[derive(Debug)]
pub struct Authenticator {
    /// Digests, so that comparing them tells nothing about a secret's length.
    secrets: Vec<[u8; 32]>,
    tokens: TokenVerifier,
    anonymous: Option<Arc<Session>>,
}

impl Authenticator {
    /// Must run inside a Tokio runtime when an issuer has a `jwk_url`.
    pub fn new(config: &AuthConfig) -> Result<Self, AuthSetupError> {
        if config.admin_secrets.iter().any(|secret| secret.expose().is_empty()) {
            return Err(AuthSetupError::EmptySecret);
        }
        let anonymous = match &config.unauthorized_role {
            None => None,
            Some(role) if is_role_name(role) => Some(Arc::new(anonymous_session(role))),
            Some(role) => return Err(AuthSetupError::UnauthorizedRole(role.clone())),
        };
        Ok(Authenticator {
            secrets: config.admin_secrets.iter().map(|s| sha256(s.expose().as_bytes())).collect(),
            tokens: TokenVerifier::new(config)?,
            anonymous,
        })
    }

    /// The caller of a request with these headers.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Session>, ApiError> {
        let secret = match (single(headers, &ADMIN_SECRET)?, single(headers, &ACCESS_KEY)?) {
            (Some(secret), Some(key)) if secret != key => {
                return Err(ApiError::new(
                    Code::InvalidHeaders,
                    "x-hasura-admin-secret and x-hasura-access-key differ; send one of them",
                ));
            }
            (secret, key) => secret.or(key),
        };
        let role = text(headers, &ROLE)?.filter(|role| !role.is_empty());
        let tenant = text(headers, &TENANT)?;
        if let Some(secret) = secret {
            if !self.is_admin_secret(secret.as_bytes()) {
                return Err(ApiError::new(
                    Code::AccessDenied,
                    "invalid x-hasura-admin-secret/x-hasura-access-key",
                ));
            }
            if role.is_some_and(|role| !is_role_name(role)) {
                return Err(ApiError::new(
                    Code::InvalidHeaders,
                    "x-hasura-role is no name of a role",
                ));
            }
            let vars = header_variables(headers)?;
            let mut session = admin_session(role, vars, tenant, self.tokens.names())?;
            session.backend = backend_only(headers)?;
            return Ok(Arc::new(session));
        }

        let mut found = Vec::new();
        for place in self.tokens.places() {
            if let Some(token) = token_in(headers, place)? {
                found.push(Found { place, token });
            }
        }
        if !found.is_empty() {
            let known = self.tokens.verify(&found).await?;
            return Ok(known.session(role, tenant, self.tokens.names())?);
        }

        let Some(anonymous) = &self.anonymous else {
            return Err(if self.tokens.is_empty() {
                ApiError::new(
                    Code::AccessDenied,
                    "x-hasura-admin-secret/x-hasura-access-key required, but not found",
                )
            } else {
                ApiError::new(
                    Code::InvalidHeaders,
                    "Missing 'Authorization' or 'Cookie' header in JWT authentication mode",
                )
            });
        };
        if tenant.is_some() {
            return Err(ClaimsError::TenantNotClaimed.into());
        }
        Ok(anonymous.clone())
    }

    /// The session of a role that the administrator names with the variables.
    pub(super) fn acting(&self, given: SessionVars) -> Result<Session, ApiError> {
        let mut vars = SessionVars::new();
        for (name, value) in given {
            let name = name.to_ascii_lowercase();
            if !is_variable_name(&name) {
                return Err(ApiError::new(
                    Code::BadRequest,
                    format!("{name:?} is no name of a session variable"),
                ));
            }
            vars.insert(name, value);
        }
        let role = vars.remove(ROLE.as_str());
        if role.as_deref().is_some_and(|role| !is_role_name(role)) {
            return Err(ApiError::new(Code::BadRequest, "x-hasura-role is no name of a role"));
        }
        Ok(admin_session(role.as_deref(), vars, None, self.tokens.names())?)
    }

    /// Whether a header of this name proves who is asking.
    pub(super) fn is_proof(&self, name: &HeaderName) -> bool {
        [ADMIN_SECRET, ACCESS_KEY].contains(name)
            || self.tokens.places().any(|place| match place {
                TokenHeader::Authorization => *name == AUTHORIZATION,
                TokenHeader::Cookie { .. } => *name == COOKIE,
                TokenHeader::CustomHeader { name: own } => own.eq_ignore_ascii_case(name.as_str()),
            })
    }

    /// Looks at every secret, also after one matched.
    fn is_admin_secret(&self, given: &[u8]) -> bool {
        let given = sha256(given);
        let matched = self
            .secrets
            .iter()
            .fold(Choice::from(0), |matched, secret| matched | secret.ct_eq(&given));
        matched.into()
    }
}

fn invalid(name: &HeaderName, what: &str) -> ApiError {
    ApiError::new(Code::InvalidHeaders, format!("the header {name} {what}"))
}

/// A header that decides who is asking must not be given twice: a proxy and
/// this server could read different ones.
fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(invalid(name, "is given more than once")),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    single(headers, name)?
        .map(|value| {
            std::str::from_utf8(value.as_bytes())
                .map(str::trim_ascii)
                .map_err(|_| invalid(name, "is not UTF-8"))
        })
        .transpose()
}

/// Whether the holder of the admin secret asks for the permissions that are
/// for the backend only.
fn backend_only(headers: &HeaderMap) -> Result<bool, ApiError> {
    let Some(given) = text(headers, &BACKEND)? else { return Ok(false) };
    match given.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" => Ok(true),
        "false" | "f" | "no" | "n" => Ok(false),
        _ => Err(ApiError::new(
            Code::BadRequest,
            "x-hasura-use-backend-only-permissions:  Not a valid boolean text. True values are \
             [\"true\",\"t\",\"yes\",\"y\"] and  False values are [\"false\",\"f\",\"no\",\"n\"]. \
             All values are case insensitive",
        )),
    }
}

/// The session variables that the holder of the admin secret sends.
fn header_variables(headers: &HeaderMap) -> Result<SessionVars, ApiError> {
    let mut vars = SessionVars::new();
    for name in headers.keys() {
        let text_name = name.as_str();
        if !text_name.starts_with("x-hasura-") || NOT_VARIABLES.contains(&text_name) {
            continue;
        }
        if !is_variable_name(text_name) {
            return Err(invalid(
                name,
                "is no name of a session variable: x-hasura-, then a-z, 0-9, _ and -, at most 63 bytes",
            ));
        }
        if let Some(value) = text(headers, name)? {
            vars.insert(text_name.to_owned(), value.to_owned());
        }
    }
    Ok(vars)
}

/// The token in one place; a place that holds something else is an error.
fn token_in<'h>(headers: &'h HeaderMap, place: &TokenHeader) -> Result<Option<&'h str>, ApiError> {
    match place {
        TokenHeader::Authorization => match text(headers, &AUTHORIZATION)? {
            None => Ok(None),
            Some(value) => bearer(value).map(Some).ok_or_else(|| {
                ApiError::new(Code::InvalidHeaders, "Malformed Authorization header")
            }),
        },
        TokenHeader::CustomHeader { name } => {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| ApiError::internal(error.to_string()))?;
            match text(headers, &name)? {
                None => Ok(None),
                Some("") => Err(invalid(&name, "is empty")),
                Some(value) => Ok(Some(bearer(value).unwrap_or(value))),
            }
        }
        TokenHeader::Cookie { name } => cookie(headers, name),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' '))
        .then_some(token)
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        let Ok(line) = std::str::from_utf8(header.as_bytes()) else {
            return Err(invalid(&COOKIE, "is not UTF-8"));
        };
        for pair in line.split(';') {
            let Some((key, value)) = pair.trim().split_once('=') else { continue };
            if key.trim() != name {
                continue;
            }
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            if found.is_some_and(|other| other != value) {
                return Err(invalid(&COOKIE, &format!("holds {name} more than once")));
            }
            found = Some(value);
        }
    }
    Ok(found)
}
