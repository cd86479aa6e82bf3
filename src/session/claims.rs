//! From verified claims to session variables.
//!
//! ```text
//! payload text ─▶ strict_json ─▶ namespace | path | map ─▶ Verified ─▶ Session
//! ```
//!
//! Nothing here trusts a name: a claim whose name or value could be read in two
//! ways (equal names in different case, a NUL, a number that loses digits)
//! makes the token invalid.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use tokio_util::sync::CancellationToken;

use super::auth_config::{AuthConfig, ClaimRule, ClaimsFormat, ClaimsSource};
use super::vars::{self, VarError};
use super::{Authority, Proof, Session, SessionVars};
use crate::base::{ApiError, Code};

const ALLOWED_ROLES: &str = "x-hasura-allowed-roles";
const DEFAULT_ROLE: &str = "x-hasura-default-role";
const ROLE: &str = "x-hasura-role";

/// The role that only the admin secret makes an administrator.
pub const ADMIN_ROLE: &str = "admin";

/// Longer names are no role of anybody.
const MAX_ROLE_BYTES: usize = 128;

/// Why claims give no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    #[error("the claims are no JSON object: {0}")]
    NotJson(String),
    #[error("claims key: '{0}' not found")]
    NoNamespace(String),
    #[error("claims not found at claims_namespace_path: '{0}'")]
    NoNamespacePath(String),
    #[error("expecting a {expected} when claims_format is {format}")]
    Format { expected: &'static str, format: &'static str },
    #[error("expecting stringified json at: '{0}'")]
    NotStringified(String),
    #[error("JWT claim does not contain {0}")]
    MissingRole(&'static str),
    #[error("invalid {0}; should be {1}")]
    BadRole(&'static str, &'static str),
    #[error("JWT claim from claims_map, {0} not found")]
    MissingMapped(String),
    #[error("the claims {0} and {1} are the same session variable")]
    Collision(String, String),
    #[error(
        "the claim {0:?} is no name of a session variable: x-hasura-, then a-z, 0-9, _ and -, at most 63 bytes"
    )]
    Name(String),
    #[error("the claim {0}: {1}")]
    Value(String, VarError),
    #[error("Your requested role is not in allowed roles")]
    RoleNotAllowed,
    #[error("X-Tenant-ID names a tenant that the caller does not claim")]
    TenantNotClaimed,
}

impl From<ClaimsError> for ApiError {
    fn from(error: ClaimsError) -> Self {
        let code = match &error {
            ClaimsError::NotJson(_)
            | ClaimsError::Collision(..)
            | ClaimsError::Name(_)
            | ClaimsError::Value(..) => Code::InvalidJwt,
            ClaimsError::NoNamespace(_)
            | ClaimsError::NoNamespacePath(_)
            | ClaimsError::Format { .. }
            | ClaimsError::NotStringified(_)
            | ClaimsError::BadRole(..)
            | ClaimsError::MissingMapped(_) => Code::JwtInvalidClaims,
            ClaimsError::MissingRole(_) => Code::JwtMissingRoleClaims,
            ClaimsError::RoleNotAllowed | ClaimsError::TenantNotClaimed => Code::AccessDenied,
        };
        ApiError::new(code, error.to_string())
    }
}

/// The tenants that a caller may act for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tenants {
    #[default]
    None,
    One(Arc<str>),
    /// A claimed list: `X-Tenant-ID` chooses.
    Many(Vec<Arc<str>>),
}

impl Tenants {
    fn from_values(mut values: Vec<String>) -> Self {
        values.retain(|value| !value.is_empty());
        match values.len() {
            0 => Tenants::None,
            1 => values.pop().map_or(Tenants::None, |one| Tenants::One(one.into())),
            _ => Tenants::Many(values.into_iter().map(Into::into).collect()),
        }
    }

    /// The tenant of a request: `X-Tenant-ID` may repeat the claim or choose
    /// from the list, never name another.
    fn choose(&self, wanted: Option<&str>) -> Result<Option<Arc<str>>, ClaimsError> {
        match (self, wanted) {
            (Tenants::One(one), None) => Ok(Some(one.clone())),
            (Tenants::None | Tenants::Many(_), None) => Ok(None),
            (Tenants::One(one), Some(wanted)) if one.as_ref() == wanted => Ok(Some(one.clone())),
            (Tenants::Many(many), Some(wanted)) => many
                .iter()
                .find(|tenant| tenant.as_ref() == wanted)
                .cloned()
                .map(Some)
                .ok_or(ClaimsError::TenantNotClaimed),
            _ => Err(ClaimsError::TenantNotClaimed),
        }
    }
}

/// What a verified token says, before a role is chosen.
#[derive(Debug, Clone)]
pub struct Verified {
    pub vars: SessionVars,
    pub allowed_roles: Vec<Arc<str>>,
    pub default_role: Arc<str>,
    pub tenants: Tenants,
    /// The variable that the tenant was claimed in, when it was one.
    tenant_var: Option<String>,
    pub user: Option<Arc<str>>,
    /// The payload of the token, as it was sent.
    pub claims: Arc<str>,
    pub expires_at: Option<SystemTime>,
    /// See [`Session::revoked`].
    pub revoked: Option<CancellationToken>,
}

/// The names that tenant and user are read from, and what the role `admin` is.
#[derive(Debug, Clone)]
pub struct ClaimNames {
    tenant: Vec<String>,
    user: Vec<String>,
    jwt_admin: bool,
}

impl ClaimNames {
    pub fn new(config: &AuthConfig) -> Self {
        ClaimNames {
            tenant: config.tenant_claims.clone(),
            user: config.user_claims.clone(),
            jwt_admin: config.jwt_admin,
        }
    }
}

impl Verified {
    /// Reads the claims of a payload whose signature and times were checked.
    pub fn read(
        payload: &str,
        claims: &Map<String, Value>,
        source: &ClaimsSource,
        names: &ClaimNames,
        expires_at: Option<SystemTime>,
        revoked: Option<CancellationToken>,
    ) -> Result<Self, ClaimsError> {
        let found = match source {
            ClaimsSource::Namespace(name, format) => {
                let value =
                    claims.get(name).ok_or_else(|| ClaimsError::NoNamespace(name.clone()))?;
                namespaced(value, *format, &format!("claims_namespace {name}"))?
            }
            ClaimsSource::Path(path, format) => {
                let value = path
                    .find(claims)
                    .ok_or_else(|| ClaimsError::NoNamespacePath(path.to_string()))?;
                namespaced(value, *format, &format!("claims_namespace_path {path}"))?
            }
            ClaimsSource::Map(rules) => {
                let mut found = BTreeMap::new();
                for (name, rule) in rules {
                    found.insert(name.clone(), mapped(name, rule, claims)?);
                }
                found
            }
        };

        let allowed_roles = match found.get(ALLOWED_ROLES) {
            None | Some(Value::Null) => return Err(ClaimsError::MissingRole(ALLOWED_ROLES)),
            Some(value) => {
                roles(value).ok_or(ClaimsError::BadRole(ALLOWED_ROLES, "a list of roles"))?
            }
        };
        let default_role = match found.get(DEFAULT_ROLE) {
            None | Some(Value::Null) => return Err(ClaimsError::MissingRole(DEFAULT_ROLE)),
            Some(value) => {
                role(value).ok_or(ClaimsError::BadRole(DEFAULT_ROLE, "a single role name"))?
            }
        };

        let tenant_name = first_present(&names.tenant, &found, claims);
        let tenants = match tenant_name {
            None => Tenants::None,
            Some((name, value)) => Tenants::from_values(
                vars::texts(value).map_err(|error| ClaimsError::Value(name.to_owned(), error))?,
            ),
        };
        let tenant_var =
            tenant_name.map(|(name, _)| name.to_owned()).filter(|name| found.contains_key(name));
        let user = match first_present(&names.user, &found, claims) {
            None => None,
            Some((name, value)) => vars::scalar(value)
                .map_err(|error| ClaimsError::Value(name.to_owned(), error))?
                .filter(|text| !text.is_empty())
                .map(Into::into),
        };

        let mut session_vars = SessionVars::new();
        for (name, value) in &found {
            if matches!(name.as_str(), ALLOWED_ROLES | DEFAULT_ROLE | ROLE) {
                continue;
            }
            let text =
                vars::text(value).map_err(|error| ClaimsError::Value(name.clone(), error))?;
            if let Some(text) = text {
                session_vars.insert(name.clone(), text);
            }
        }
        Ok(Verified {
            vars: session_vars,
            allowed_roles,
            default_role,
            tenants,
            tenant_var,
            user,
            claims: payload.into(),
            expires_at,
            revoked,
        })
    }

    /// The session of one request with this token.
    pub fn session(
        &self,
        role: Option<&str>,
        tenant: Option<&str>,
        names: &ClaimNames,
    ) -> Result<Session, ClaimsError> {
        let wanted = role.unwrap_or(&self.default_role);
        let role = self
            .allowed_roles
            .iter()
            .find(|allowed| allowed.as_ref() == wanted)
            .cloned()
            .ok_or(ClaimsError::RoleNotAllowed)?;
        let chosen = self.tenants.choose(tenant)?;
        let mut vars = self.vars.clone();
        // A permission rule compares with one tenant, not with the list.
        if let (Tenants::Many(_), Some(chosen), Some(name)) =
            (&self.tenants, &chosen, &self.tenant_var)
        {
            vars.insert(name.clone(), chosen.to_string());
        }
        let authority = if names.jwt_admin && role.as_ref() == ADMIN_ROLE {
            Authority::Admin
        } else {
            Authority::Request
        };
        Ok(Session {
            role,
            authority,
            proof: Proof::Token,
            backend: false,
            vars,
            tenant: chosen,
            user: self.user.clone(),
            claims: Some(self.claims.clone()),
            expires_at: self.expires_at,
            revoked: self.revoked.clone(),
        })
    }
}

/// The session of a caller who knows the admin secret. Role and variables come
/// from the request's headers; without a role it is the administrator.
pub fn admin_session(
    role: Option<&str>,
    vars: SessionVars,
    tenant: Option<&str>,
    names: &ClaimNames,
) -> Result<Session, ClaimsError> {
    let role = role.unwrap_or(ADMIN_ROLE);
    let of = |names: &[String]| {
        names.iter().find_map(|name| vars.get(name)).filter(|text| !text.is_empty()).cloned()
    };
    let claimed: Option<Arc<str>> = of(&names.tenant).map(Into::into);
    let tenant = match (claimed, tenant) {
        (claimed, None) => claimed,
        (None, Some(wanted)) => Some(wanted.into()),
        (Some(claimed), Some(wanted)) if claimed.as_ref() == wanted => Some(claimed),
        (Some(_), Some(_)) => return Err(ClaimsError::TenantNotClaimed),
    };
    let user = of(&names.user).map(Into::into);
    let authority = if role == ADMIN_ROLE { Authority::Admin } else { Authority::Request };
    Ok(Session {
        role: role.into(),
        authority,
        proof: Proof::AdminSecret,
        backend: false,
        vars,
        tenant,
        user,
        claims: None,
        expires_at: None,
        revoked: None,
    })
}

/// The session of a caller who brings nothing.
pub fn anonymous_session(role: &str) -> Session {
    Session {
        role: role.into(),
        authority: Authority::Request,
        proof: Proof::Anonymous,
        backend: false,
        vars: SessionVars::new(),
        tenant: None,
        user: None,
        claims: None,
        expires_at: None,
        revoked: None,
    }
}

/// Whether a text can be the name of a role.
pub fn is_role_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_ROLE_BYTES && !name.chars().any(char::is_control)
}

fn role(value: &Value) -> Option<Arc<str>> {
    value.as_str().filter(|name| is_role_name(name)).map(Into::into)
}

fn roles(value: &Value) -> Option<Vec<Arc<str>>> {
    value.as_array()?.iter().map(role).collect()
}

/// The first of the names that is claimed: as a session variable, else as a
/// claim at the top of the token.
fn first_present<'v>(
    names: &'v [String],
    found: &'v BTreeMap<String, Value>,
    claims: &'v Map<String, Value>,
) -> Option<(&'v str, &'v Value)> {
    names.iter().find_map(|name| {
        let value = found.get(name).or_else(|| claims.get(name)).filter(|v| !v.is_null())?;
        Some((name.as_str(), value))
    })
}

fn mapped(name: &str, rule: &ClaimRule, claims: &Map<String, Value>) -> Result<Value, ClaimsError> {
    match rule {
        ClaimRule::Literal(value) => Ok(value.clone()),
        ClaimRule::Path { path, default } => path
            .find(claims)
            .filter(|value| !value.is_null())
            .or(default.as_ref())
            .cloned()
            .ok_or_else(|| match name {
                ALLOWED_ROLES => ClaimsError::MissingRole(ALLOWED_ROLES),
                DEFAULT_ROLE => ClaimsError::MissingRole(DEFAULT_ROLE),
                _ => ClaimsError::MissingMapped(name.to_owned()),
            }),
    }
}

/// The `x-hasura-*` entries of the namespace, names in lower case.
fn namespaced(
    value: &Value,
    format: ClaimsFormat,
    place: &str,
) -> Result<BTreeMap<String, Value>, ClaimsError> {
    let parsed;
    let object = match (format, value) {
        (ClaimsFormat::Json, Value::Object(object)) => object,
        (ClaimsFormat::Json, _) => {
            return Err(ClaimsError::Format { expected: "json object", format: "json" });
        }
        (ClaimsFormat::StringifiedJson, Value::String(text)) => {
            parsed =
                strict_object(text).map_err(|_| ClaimsError::NotStringified(place.to_owned()))?;
            &parsed
        }
        (ClaimsFormat::StringifiedJson, _) => {
            return Err(ClaimsError::Format { expected: "string", format: "stringified_json" });
        }
    };
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    // Settings write `-` as `_`, so names that differ in that only are one.
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (name, value) in object {
        let lower = name.to_ascii_lowercase();
        if !lower.starts_with("x-hasura-") {
            continue;
        }
        if !is_variable_name(&lower) {
            return Err(ClaimsError::Name(name.chars().take(80).collect()));
        }
        if let Some(other) = seen.insert(lower.replace('_', "-"), name) {
            return Err(ClaimsError::Collision(other.to_owned(), name.clone()));
        }
        found.insert(lower, value.clone());
    }
    Ok(found)
}

/// A name that a session variable may have, already in lower case.
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.len() <= 63
        && name.strip_prefix("x-hasura-").is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        })
}

/// Reads a JSON object and refuses what two readers could read differently:
/// a key given twice, a NUL, an integer that a double cannot hold.
pub(crate) fn strict_object(text: &str) -> Result<Map<String, Value>, ClaimsError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| ClaimsError::NotJson(error.to_string()))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(ClaimsError::NotJson("expected an object".to_owned())),
    }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn no_nul<E: serde::de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("a text holds a NUL")) } else { Ok(()) }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // 2^53: above it neighbouring integers, two users perhaps, are one double.
        if value.fract() == 0.0 && value.abs() >= 9_007_199_254_740_992.0 {
            return Err(E::custom("a number is too large to be exact; send it as a string"));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no finite number"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        no_nul(value)?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            no_nul(&key)?;
            let value = map.next_value_seed(Strict)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is given twice"));
            }
        }
        Ok(Value::Object(object))
    }
}
