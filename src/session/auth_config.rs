//! How callers prove who they are, as it is configured.
//!
//! The shape of one token issuer is that of Hasura's
//! `HASURA_GRAPHQL_JWT_SECRET`; [`JwtConfigs::from_str`] reads that variable
//! (one object, or a list of them for several issuers). What can be said wrong
//! without knowing a key is refused while reading; keys are read by
//! [`super::jwt::Issuer`], at start.

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde::de::{self, Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::base::Secret;
use crate::config::AuthSettings;

/// The namespace of claims that Hasura documents.
pub const DEFAULT_NAMESPACE: &str = "https://hasura.io/jwt/claims";

/// Everything that authentication needs to know.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Any of these is the admin secret; several allow rotation. Empty: no admin.
    pub admin_secrets: Vec<Secret<String>>,
    /// Token issuers. Empty: tokens are not read.
    pub jwt: Vec<JwtConfig>,
    /// The role of requests that bring neither a token nor the admin secret.
    pub unauthorized_role: Option<String>,
    /// Whether the role `admin` of a token is the administrator, as in Hasura.
    pub jwt_admin: bool,
    /// Where `app.tenant_id` comes from: the first that is present wins.
    pub tenant_claims: Vec<String>,
    /// Where `hasura.user.id` comes from: the first that is present wins.
    pub user_claims: Vec<String>,
    /// Accept HMAC keys under 32 bytes. For trials only.
    pub allow_short_jwt_keys: bool,
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            admin_secrets: Vec::new(),
            jwt: Vec::new(),
            unauthorized_role: None,
            jwt_admin: false,
            tenant_claims: ["x-hasura-tenant-id", "tenant_id"].map(str::to_owned).to_vec(),
            user_claims: ["x-hasura-user-id", "user_id", "sub"].map(str::to_owned).to_vec(),
            allow_short_jwt_keys: false,
        }
    }
}

impl TryFrom<&AuthSettings> for AuthConfig {
    type Error = AuthConfigError;

    /// From the validated settings; the message never quotes a key.
    fn try_from(settings: &AuthSettings) -> Result<Self, Self::Error> {
        let mut jwt = Vec::new();
        for (index, secret) in settings.jwt.expose().iter().enumerate() {
            jwt.push(JwtConfig::deserialize(secret).map_err(|error| {
                AuthConfigError::Json(format!("auth.jwt: issuer {index}: {}", describe(&error)))
            })?);
        }
        Ok(AuthConfig {
            admin_secrets: [&settings.admin_secret, &settings.old_admin_secret]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            jwt,
            unauthorized_role: settings.unauthorized_role.clone(),
            jwt_admin: settings.jwt_admin,
            tenant_claims: settings.tenant_claims.clone(),
            user_claims: settings.user_claims.clone(),
            allow_short_jwt_keys: settings.allow_short_jwt_keys,
        })
    }
}

/// The algorithms that a key may be configured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum KeyType {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    #[serde(alias = "EdDSA")]
    Ed25519,
}

/// Where a token travels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub enum TokenHeader {
    /// `Authorization: Bearer <token>`
    #[default]
    Authorization,
    /// A cookie of this name.
    Cookie { name: String },
    /// A header of this name that holds the token, with or without `Bearer`.
    CustomHeader { name: String },
}

/// How the claims stand in the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimsFormat {
    #[default]
    Json,
    StringifiedJson,
}

/// One issuer of tokens.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(try_from = "JwtConfigRaw", into = "JwtConfigRaw")]
pub struct JwtConfig {
    pub key: KeySource,
    pub claims: ClaimsSource,
    /// A token must be for one of these; empty: not checked.
    pub audience: Vec<String>,
    pub issuer: Option<String>,
    /// Seconds by which clocks may differ.
    pub allowed_skew: u64,
    pub header: TokenHeader,
}

/// Where the keys of an issuer come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A key in the configuration, for exactly one algorithm.
    Fixed { kind: KeyType, key: Secret<String> },
    /// A JWK set behind a URL.
    Url(String),
}

/// Where session variables stand in a token.
#[derive(Debug, Clone)]
pub enum ClaimsSource {
    /// Below a top-level key.
    Namespace(String, ClaimsFormat),
    /// Below a path.
    Path(ClaimPath, ClaimsFormat),
    /// Each variable has its own path or value.
    Map(IndexMap<String, ClaimRule>),
}

/// One entry of `claims_map`.
#[derive(Debug, Clone)]
pub enum ClaimRule {
    Path { path: ClaimPath, default: Option<Value> },
    Literal(Value),
}

/// The wire shape, before the fields are checked against each other.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct JwtConfigRaw {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    kind: Option<KeyType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Secret<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwk_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims_namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims_namespace_path: Option<ClaimPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims_format: Option<ClaimsFormat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims_map: Option<IndexMap<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allowed_skew: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<TokenHeader>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Why the configuration of an issuer cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthConfigError {
    #[error("`key` and `jwk_url` are both missing: give one of them")]
    NoKey,
    #[error("`key` and `jwk_url` are both given: give one of them")]
    TwoKeys,
    #[error(
        "`key` needs `type`, one of HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 Ed25519"
    )]
    NoType,
    #[error("`jwk_url`: \"{0}\" is not an http or https URL")]
    JwkUrl(String),
    #[error("`claims_namespace`, `claims_namespace_path` and `claims_map` exclude each other")]
    TwoNamespaces,
    #[error("`claims_map`: {0} is expected but not found")]
    MapWithoutRole(&'static str),
    #[error("`claims_map.{0}`: {1}")]
    MapEntry(String, String),
    #[error("`header.name`: \"{0}\" is not a name")]
    HeaderName(String),
    #[error("`allowed_skew`: {0} seconds is more than the {MAX_SKEW} that are allowed")]
    Skew(u64),
    #[error("{0}")]
    Json(String),
}

/// An hour: more would make expiry meaningless.
const MAX_SKEW: u64 = 3600;

impl TryFrom<JwtConfigRaw> for JwtConfig {
    type Error = AuthConfigError;

    fn try_from(raw: JwtConfigRaw) -> Result<Self, Self::Error> {
        let key = match (raw.key, raw.jwk_url) {
            (None, None) => return Err(AuthConfigError::NoKey),
            (Some(_), Some(_)) => return Err(AuthConfigError::TwoKeys),
            (Some(key), None) => {
                KeySource::Fixed { kind: raw.kind.ok_or(AuthConfigError::NoType)?, key }
            }
            (None, Some(url)) => {
                let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
                if rest.is_none_or(str::is_empty) {
                    return Err(AuthConfigError::JwkUrl(url));
                }
                KeySource::Url(url)
            }
        };
        let format = raw.claims_format.unwrap_or_default();
        let claims = match (raw.claims_namespace, raw.claims_namespace_path, raw.claims_map) {
            (None, None, None) => ClaimsSource::Namespace(DEFAULT_NAMESPACE.to_owned(), format),
            (Some(name), None, None) => ClaimsSource::Namespace(name, format),
            (None, Some(path), None) => ClaimsSource::Path(path, format),
            (None, None, Some(map)) => ClaimsSource::Map(claims_map(map)?),
            _ => return Err(AuthConfigError::TwoNamespaces),
        };
        let header = raw.header.unwrap_or_default();
        match &header {
            TokenHeader::Cookie { name } | TokenHeader::CustomHeader { name }
                if name.is_empty()
                    || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) =>
            {
                return Err(AuthConfigError::HeaderName(name.clone()));
            }
            _ => {}
        }
        let allowed_skew = raw.allowed_skew.unwrap_or(0);
        if allowed_skew > MAX_SKEW {
            return Err(AuthConfigError::Skew(allowed_skew));
        }
        let audience = match raw.audience {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one],
            Some(OneOrMany::Many(many)) => many,
        };
        Ok(JwtConfig { key, claims, audience, issuer: raw.issuer, allowed_skew, header })
    }
}

impl From<JwtConfig> for JwtConfigRaw {
    fn from(config: JwtConfig) -> Self {
        let mut raw = JwtConfigRaw {
            audience: (!config.audience.is_empty()).then_some(OneOrMany::Many(config.audience)),
            issuer: config.issuer,
            allowed_skew: Some(config.allowed_skew),
            header: Some(config.header),
            ..JwtConfigRaw::default()
        };
        match config.key {
            KeySource::Fixed { kind, key } => {
                raw.kind = Some(kind);
                raw.key = Some(key);
            }
            KeySource::Url(url) => raw.jwk_url = Some(url),
        }
        match config.claims {
            ClaimsSource::Namespace(name, format) => {
                raw.claims_namespace = Some(name);
                raw.claims_format = Some(format);
            }
            ClaimsSource::Path(path, format) => {
                raw.claims_namespace_path = Some(path);
                raw.claims_format = Some(format);
            }
            ClaimsSource::Map(map) => {
                raw.claims_map =
                    Some(map.into_iter().map(|(name, rule)| (name, rule.into_value())).collect());
            }
        }
        raw
    }
}

impl ClaimRule {
    fn into_value(self) -> Value {
        match self {
            ClaimRule::Literal(value) => value,
            ClaimRule::Path { path, default } => {
                let mut object = serde_json::Map::new();
                object.insert("path".to_owned(), path.to_string().into());
                if let Some(default) = default {
                    object.insert("default".to_owned(), default);
                }
                Value::Object(object)
            }
        }
    }
}

fn claims_map(
    map: IndexMap<String, Value>,
) -> Result<IndexMap<String, ClaimRule>, AuthConfigError> {
    let mut rules = IndexMap::with_capacity(map.len());
    for (name, value) in map {
        let bad = |reason: String| AuthConfigError::MapEntry(name.clone(), reason);
        let rule = match value {
            Value::Object(mut object) => {
                let path = match object.shift_remove("path") {
                    Some(Value::String(path)) => path.parse().map_err(bad)?,
                    _ => return Err(bad("an object here needs `path`, a string".to_owned())),
                };
                let default = object.shift_remove("default");
                if let Some(key) = object.keys().next() {
                    return Err(bad(format!("unknown field `{key}`; known are path and default")));
                }
                ClaimRule::Path { path, default }
            }
            Value::Null => return Err(bad("null is not a value".to_owned())),
            literal => ClaimRule::Literal(literal),
        };
        let lower = name.to_ascii_lowercase();
        if !super::claims::is_variable_name(&lower) || lower == "x-hasura-role" {
            return Err(bad("the name must be x-hasura-<name> of letters, digits, _ and -, at most 63 bytes, and not x-hasura-role".to_owned()));
        }
        if rules.insert(lower, rule).is_some() {
            return Err(bad("given twice in different case".to_owned()));
        }
    }
    for name in ["x-hasura-allowed-roles", "x-hasura-default-role"] {
        if !rules.contains_key(name) {
            return Err(AuthConfigError::MapWithoutRole(name));
        }
    }
    Ok(rules)
}

/// The issuers of one `HASURA_GRAPHQL_JWT_SECRET`.
#[derive(Debug, Clone)]
pub struct JwtConfigs(pub Vec<JwtConfig>);

impl FromStr for JwtConfigs {
    type Err = AuthConfigError;

    /// Reads one JSON object or a list of them. The message never quotes the key.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let read = |text: &str| serde_json::from_str::<JwtConfig>(text);
        if text.starts_with('[') {
            let parts: Vec<Box<serde_json::value::RawValue>> =
                serde_json::from_str(text).map_err(syntax_error)?;
            let mut configs = Vec::with_capacity(parts.len());
            for (index, part) in parts.iter().enumerate() {
                configs.push(read(part.get()).map_err(|error| {
                    AuthConfigError::Json(format!("issuer {index}: {}", describe(&error)))
                })?);
            }
            return Ok(JwtConfigs(configs));
        }
        serde_json::from_str::<IgnoredAny>(text).map_err(syntax_error)?;
        let config = read(text).map_err(|error| AuthConfigError::Json(describe(&error)))?;
        Ok(JwtConfigs(vec![config]))
    }
}

fn syntax_error(error: serde_json::Error) -> AuthConfigError {
    AuthConfigError::Json(format!(
        "not JSON (line {}, column {}): expected one object like {{\"type\":\"HS256\",\"key\":\"...\"}} or a list of them",
        error.line(),
        error.column()
    ))
}

fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text.get(..at).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// A path into claims: `$.a.b[0]['odd.key']`; the leading `$` may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<ClaimStep>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ClaimStep {
    Key(String),
    Index(usize),
}

impl ClaimPath {
    /// The value at the path below an object of claims, if there is one.
    pub fn find<'v>(&self, claims: &'v serde_json::Map<String, Value>) -> Option<&'v Value> {
        let (first, rest) = self.0.split_first()?;
        let ClaimStep::Key(first) = first else { return None };
        rest.iter().try_fold(claims.get(first)?, |value, step| match step {
            ClaimStep::Key(key) => value.as_object()?.get(key),
            ClaimStep::Index(index) => value.as_array()?.get(*index),
        })
    }
}

impl FromStr for ClaimPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |what: &str| format!("\"{text}\" is not a JSON path: {what}");
        let mut steps = Vec::new();
        let mut rest = text.trim();
        match rest.strip_prefix('$') {
            Some(after) => rest = after,
            // A bare first key, as in `claims.hasura`.
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, after) = rest.split_at(end);
                if !key.is_empty() {
                    steps.push(ClaimStep::Key(key.to_owned()));
                }
                rest = after;
            }
        }
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (key, after) = after.split_at(end);
                if key.is_empty() {
                    return Err(fail("a key is missing after a dot"));
                }
                steps.push(ClaimStep::Key(key.to_owned()));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'));
                let (step, after) = match quote {
                    Some(quote) => {
                        quoted_step(after, quote).ok_or_else(|| fail("a quote is not closed"))?
                    }
                    None => {
                        let (index, after) =
                            after.split_once(']').ok_or_else(|| fail("a bracket is not closed"))?;
                        let index = index.parse().map_err(|_| fail("an index must be a number"))?;
                        (ClaimStep::Index(index), after)
                    }
                };
                steps.push(step);
                rest = after;
            } else {
                return Err(fail("expected . or ["));
            }
        }
        if !matches!(steps.first(), Some(ClaimStep::Key(_))) {
            return Err(fail("it must begin with a key"));
        }
        Ok(ClaimPath(steps))
    }
}

/// Reads `'key']` with backslash escapes; gives the step and what follows.
fn quoted_step(text: &str, quote: char) -> Option<(ClaimStep, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.push(chars.next()?.1),
            c if c == quote => {
                let after = text.get(at + c.len_utf8()..)?.strip_prefix(']')?;
                return Some((ClaimStep::Key(key), after));
            }
            c => key.push(c),
        }
    }
    None
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                ClaimStep::Index(index) => write!(f, "[{index}]")?,
                ClaimStep::Key(key)
                    if !key.is_empty()
                        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
                {
                    write!(f, ".{key}")?;
                }
                ClaimStep::Key(key) => {
                    write!(f, "['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ClaimPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for ClaimPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn reads_one_issuer_or_a_list() {
        let one = format!(r#"{{"type":"HS256","key":"{KEY}","audience":"a"}}"#);
        let configs: JwtConfigs = one.parse().expect("valid");
        assert_eq!(configs.0[0].audience, ["a"]);
        let two = format!(r#"[{one},{{"jwk_url":"https://x.test/jwks","issuer":"x"}}]"#);
        assert_eq!(two.parse::<JwtConfigs>().expect("valid").0.len(), 2);
    }

    #[test]
    fn errors_name_the_field_and_never_the_key() {
        for (text, expected) in [
            (r#"{"type":"HS256"}"#, "`key` and `jwk_url` are both missing"),
            (r#"{"key":"hunter2hunter2"}"#, "`key` needs `type`"),
            (r#"{"type":"HS256","key":"hunter2","kye":1}"#, "unknown field `kye`"),
            (r#"{"type":"none","key":"hunter2"}"#, "unknown variant `none`"),
            (r#"{"type":"HS256","key":"hunter2","jwk_url":"https://a"}"#, "both given"),
            (r#"{"jwk_url":"ftp://a"}"#, "`jwk_url`"),
            (
                r#"{"jwk_url":"https://a","claims_namespace":"a","claims_namespace_path":"$.b"}"#,
                "exclude each other",
            ),
            (
                r#"{"jwk_url":"https://a","claims_map":{"x-hasura-allowed-roles":["a"]}}"#,
                "x-hasura-default-role is expected but not found",
            ),
            (
                r#"{"jwk_url":"https://a","claims_map":{"x-hasura-user-id":{"path":"$.a["}}}"#,
                "`claims_map.x-hasura-user-id`",
            ),
            (r#"{"jwk_url":"https://a","header":{"type":"Cookie"}}"#, "missing field `name`"),
            (r#"{"jwk_url":"https://a","header":{"type":"Cookie","name":"a b"}}"#, "`header.name`"),
            (r#"{"jwk_url":"https://a","allowed_skew":99999}"#, "`allowed_skew`"),
            ("hunter2", "not JSON"),
            (r#"[{"jwk_url":"https://a"},{"type":"HS256"}]"#, "issuer 1"),
        ] {
            let error = text.parse::<JwtConfigs>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn claim_paths_round_trip() {
        let claims = serde_json::json!({"a": {"b": [{"odd.key": 7}]}, "https://x/y": 1});
        let root = claims.as_object().expect("an object");
        for (text, expected) in [
            ("$.a.b[0]['odd.key']", Some(7)),
            ("a.b[0][\"odd.key\"]", Some(7)),
            ("$['https://x/y']", Some(1)),
            ("$.a.c", None),
            ("$.a.b[1]", None),
        ] {
            let path: ClaimPath = text.parse().expect(text);
            assert_eq!(path.find(root).and_then(Value::as_i64), expected, "{text}");
            assert_eq!(path.to_string().parse::<ClaimPath>().expect(text), path);
        }
        for text in ["$.", "$.a..b", "$[", "$['a", "$[x]", "$a", "$", ""] {
            assert!(text.parse::<ClaimPath>().is_err(), "{text}");
        }
    }
}
