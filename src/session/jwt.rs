//! Tokens: verified once, remembered until they expire or the keys change.
//!
//! ```text
//! token ─▶ cache (hash → Verified) ─ miss ─▶ header ─▶ issuer ─▶ key ─▶ signature
//!                                                     ─▶ times, audience, issuer ─▶ claims::Verified
//! ```
//!
//! The key decides the algorithm. A token cannot choose `none`, cannot use a
//! public key as an HMAC secret, and cannot ask for an extension (`crit`).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lru::LruCache;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::auth_config::{
    AuthConfig, ClaimsFormat, ClaimsSource, JwtConfig, KeySource, KeyType, TokenHeader,
};
use super::claims::{ClaimNames, ClaimsError, Verified, strict_object};
use super::jwks::{KeyError, KeySet, Keys, algorithms_of, fixed_key};
use super::{Session, sha256};
use crate::base::{ApiError, Code};

/// Longer tokens are refused unread.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
const CACHE_TOKENS: usize = 4096;
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Why a token is refused. The words in parentheses are those that Hasura's
/// clients look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("Could not verify JWT: JWSError (CompactDecodeError: {0})")]
    Malformed(&'static str),
    #[error("Could not verify JWT: JWSError JWSInvalidSignature")]
    Signature,
    #[error("Could not verify JWT: JWSError (the key is not for the token's algorithm)")]
    Algorithm,
    #[error("Could not verify JWT: JWSError (the token asks for an extension by `crit`)")]
    Critical,
    #[error("Could not verify JWT: JWSError (no key has the token's key id)")]
    UnknownKey,
    #[error("Could not verify JWT: JWTClaimsSetDecodeError ({0})")]
    Decode(String),
    #[error("Could not verify JWT: JWTExpired")]
    Expired,
    #[error("Could not verify JWT: JWTNotYetValid")]
    NotYetValid,
    #[error("Could not verify JWT: JWTIssuedAtFuture")]
    IssuedAtFuture,
    #[error("Could not verify JWT: JWTNotInAudience")]
    Audience,
    #[error("Could not verify JWT: JWTNotInIssuer")]
    Issuer,
    #[error("the request carries different tokens in several places; send one")]
    Ambiguous,
    #[error("the signing keys of the token's issuer could not be fetched yet; try again shortly")]
    KeysUnavailable,
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Claims(error) => error.into(),
            TokenError::Ambiguous => ApiError::new(Code::InvalidHeaders, error.to_string()),
            TokenError::KeysUnavailable => {
                ApiError::new(Code::ServiceUnavailable, error.to_string()).with_retry_after(5)
            }
            other => ApiError::new(Code::InvalidJwt, other.to_string()),
        }
    }
}

/// Why the configured issuers cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("auth.jwt[{index}]: {error}")]
pub struct IssuerError {
    pub index: usize,
    pub error: KeyError,
}

#[derive(Debug)]
struct Issuer {
    keys: Keys,
    claims: ClaimsSource,
    audience: Vec<String>,
    issuer: Option<String>,
    skew: u64,
    header: TokenHeader,
}

/// Verifies tokens of all configured issuers.
#[derive(Debug)]
pub struct TokenVerifier {
    issuers: Vec<Issuer>,
    names: ClaimNames,
    cache: Mutex<Cache>,
}

/// A token and the place that it was found in.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub place: &'a TokenHeader,
    pub token: &'a str,
}

#[derive(Debug)]
struct Cache {
    tokens: LruCache<[u8; 32], Arc<Known>>,
    bytes: usize,
}

/// A token that was verified.
#[derive(Debug)]
pub struct Known {
    verified: Verified,
    /// The session of its default role: what nearly every request asks for.
    default: Result<Arc<Session>, ClaimsError>,
    issuer: usize,
    generation: u64,
    /// Seconds since the epoch, the allowed skew included.
    expires: Option<f64>,
    weight: usize,
}

impl TokenVerifier {
    /// Reads the configured keys and begins to fetch the remote ones. Must run
    /// inside a Tokio runtime when an issuer has a `jwk_url`.
    pub fn new(config: &AuthConfig) -> Result<Self, IssuerError> {
        let mut issuers = Vec::with_capacity(config.jwt.len());
        for (index, jwt) in config.jwt.iter().enumerate() {
            let keys = match &jwt.key {
                KeySource::Fixed { kind, key } => {
                    fixed_key(*kind, key, config.allow_short_jwt_keys).map(Keys::fixed)
                }
                KeySource::Url(url) => Keys::remote(url),
            }
            .map_err(|error| IssuerError { index, error })?;
            issuers.push(Issuer {
                keys,
                claims: jwt.claims.clone(),
                audience: jwt.audience.clone(),
                issuer: jwt.issuer.clone(),
                skew: jwt.allowed_skew,
                header: jwt.header.clone(),
            });
        }
        let tokens = LruCache::new(NonZeroUsize::new(CACHE_TOKENS).unwrap_or(NonZeroUsize::MIN));
        Ok(TokenVerifier {
            issuers,
            names: ClaimNames::new(config),
            cache: Mutex::new(Cache { tokens, bytes: 0 }),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// The names that tenant and user are read from.
    pub fn names(&self) -> &ClaimNames {
        &self.names
    }

    /// The places where a token may travel, each once.
    pub fn places(&self) -> impl Iterator<Item = &TokenHeader> {
        self.issuers.iter().enumerate().filter_map(|(index, issuer)| {
            let seen = self.issuers.iter().take(index).any(|other| other.header == issuer.header);
            (!seen).then_some(&issuer.header)
        })
    }

    /// Verifies the token of a request; `found` holds at least one.
    pub async fn verify(&self, found: &[Found<'_>]) -> Result<Arc<Known>, TokenError> {
        let Some(first) = found.first() else {
            return Err(TokenError::Malformed("no token"));
        };
        if found.iter().any(|other| other.token != first.token) {
            return Err(TokenError::Ambiguous);
        }
        if first.token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed("the token is too long"));
        }
        let digest = sha256(first.token.as_bytes());
        let now = seconds(SystemTime::now());
        if let Some(known) = self.recall(&digest, found) {
            if known.expires.is_some_and(|expires| expires <= now) {
                return Err(TokenError::Expired);
            }
            return Ok(known);
        }
        let token = Token::split(first.token)?;
        let known = Arc::new(self.verify_new(&token, found, now).await?);
        self.remember(digest, known.clone());
        Ok(known)
    }

    fn recall(&self, digest: &[u8; 32], found: &[Found<'_>]) -> Option<Arc<Known>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cache.tokens.get(digest)?.clone();
        let issuer = self.issuers.get(known.issuer)?;
        if issuer.keys.current().generation == known.generation {
            // A place that its issuer does not use is none for it.
            return found.iter().any(|found| *found.place == issuer.header).then_some(known);
        }
        cache.drop_entry(digest);
        None
    }

    fn remember(&self, digest: [u8; 32], known: Arc<Known>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.drop_entry(&digest);
        cache.bytes += known.weight;
        if let Some((_, pushed_out)) = cache.tokens.push(digest, known) {
            cache.bytes = cache.bytes.saturating_sub(pushed_out.weight);
        }
        while cache.bytes > CACHE_BYTES {
            match cache.tokens.pop_lru() {
                Some((_, oldest)) => cache.bytes = cache.bytes.saturating_sub(oldest.weight),
                None => break,
            }
        }
    }

    async fn verify_new(
        &self,
        token: &Token<'_>,
        found: &[Found<'_>],
        now: f64,
    ) -> Result<Known, TokenError> {
        let here = |issuer: &Issuer| found.iter().any(|found| *found.place == issuer.header);
        // The name in the token only narrows the choice: what it names must
        // still verify it. Issuers without a name accept any.
        let named = token.claims.get("iss").and_then(Value::as_str);
        let mut candidates: Vec<(usize, &Issuer)> = self
            .issuers
            .iter()
            .enumerate()
            .filter(|(_, issuer)| here(issuer))
            .filter(|(_, issuer)| named.is_some() && issuer.issuer.as_deref() == named)
            .collect();
        if candidates.is_empty() {
            let open = |(_, issuer): &(usize, &Issuer)| here(issuer) && issuer.issuer.is_none();
            candidates = self.issuers.iter().enumerate().filter(open).collect();
        }
        if candidates.is_empty() {
            return Err(TokenError::Issuer);
        }
        let mut refused = TokenError::Issuer;
        for (index, issuer) in candidates {
            match issuer.check(token, now).await {
                Ok(checked) => return self.admit(token, index, issuer, checked),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn admit(
        &self,
        token: &Token<'_>,
        index: usize,
        issuer: &Issuer,
        checked: Checked,
    ) -> Result<Known, TokenError> {
        let expires = numeric_date(&token.claims, "exp")?.map(|exp| exp + issuer.skew as f64);
        let expires_at = expires
            .and_then(|at| Duration::try_from_secs_f64(at).ok())
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        let Checked { generation, revoked } = checked;
        let (payload, claims) = (&token.payload, &token.claims);
        let verified =
            Verified::read(payload, claims, &issuer.claims, &self.names, expires_at, revoked)?;
        let vars: usize = verified.vars.iter().map(|(k, v)| k.len() + v.len() + 64).sum();
        let weight = 512 + verified.claims.len() + 2 * vars + 32 * verified.allowed_roles.len();
        let default = verified.session(None, None, &self.names).map(Arc::new);
        Ok(Known { verified, default, issuer: index, generation, expires, weight })
    }
}

impl Known {
    /// The session of one request with this token.
    pub fn session(
        &self,
        role: Option<&str>,
        tenant: Option<&str>,
        names: &ClaimNames,
    ) -> Result<Arc<Session>, ClaimsError> {
        match (role, tenant) {
            (None, None) => self.default.clone(),
            (Some(role), None) if role == &*self.verified.default_role => self.default.clone(),
            _ => self.verified.session(role, tenant, names).map(Arc::new),
        }
    }
}

impl Cache {
    fn drop_entry(&mut self, digest: &[u8; 32]) {
        if let Some(known) = self.tokens.pop(digest) {
            self.bytes = self.bytes.saturating_sub(known.weight);
        }
    }
}

impl Issuer {
    /// Signature, times, audience and issuer, in this order: nothing of a token
    /// is believed before its signature.
    async fn check(&self, token: &Token<'_>, now: f64) -> Result<Checked, TokenError> {
        let set = self.keys.current();
        let checked = match token.check_signature(&set) {
            Ok(checked) => checked,
            // A key that is not there may be a new one.
            Err(error)
                if matches!(self.keys, Keys::Remote(..)) && error.new_key_may_help(token) =>
            {
                let newer = self.keys.newer_than(&set).await;
                if !newer.loaded {
                    return Err(TokenError::KeysUnavailable);
                }
                if newer.generation == set.generation {
                    return Err(error);
                }
                token.check_signature(&newer)?
            }
            Err(error) => return Err(error),
        };
        let skew = self.skew as f64;
        if numeric_date(&token.claims, "exp")?.is_some_and(|exp| exp + skew <= now) {
            return Err(TokenError::Expired);
        }
        if numeric_date(&token.claims, "nbf")?.is_some_and(|nbf| nbf > now + skew) {
            return Err(TokenError::NotYetValid);
        }
        if numeric_date(&token.claims, "iat")?.is_some_and(|iat| iat > now + skew) {
            return Err(TokenError::IssuedAtFuture);
        }
        if !self.audience.is_empty() && !self.is_audience(token.claims.get("aud")) {
            return Err(TokenError::Audience);
        }
        let issuer = token.claims.get("iss").and_then(Value::as_str);
        if self.issuer.is_some() && self.issuer.as_deref() != issuer {
            return Err(TokenError::Issuer);
        }
        Ok(checked)
    }

    fn is_audience(&self, claim: Option<&Value>) -> bool {
        let ours = |value: &Value| {
            value.as_str().is_some_and(|text| self.audience.iter().any(|own| own == text))
        };
        match claim {
            Some(Value::Array(many)) => many.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }
}

impl TokenError {
    fn new_key_may_help(&self, token: &Token<'_>) -> bool {
        match self {
            TokenError::UnknownKey => true,
            TokenError::Signature | TokenError::Algorithm => token.key_id.is_none(),
            _ => false,
        }
    }
}

/// What verified a token.
struct Checked {
    /// Of the keys.
    generation: u64,
    /// See [`Session::revoked`].
    revoked: Option<CancellationToken>,
}

/// A token in its parts, unverified.
struct Token<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// What was signed: header and payload with the dot between.
    message: &'a str,
    signature: &'a str,
    payload: String,
    claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    fn split(text: &'a str) -> Result<Self, TokenError> {
        let parts = TokenError::Malformed("expected three parts");
        let (message, signature) = text.rsplit_once('.').ok_or(parts.clone())?;
        let (header, payload) = message.split_once('.').ok_or(parts.clone())?;
        if payload.contains('.') {
            return Err(parts);
        }
        let decode = |part: &str| -> Result<String, TokenError> {
            let bytes = URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| TokenError::Malformed("a part is not base64url"))?;
            String::from_utf8(bytes).map_err(|_| TokenError::Malformed("a part is not UTF-8"))
        };
        let header = strict_object(&decode(header)?)
            .map_err(|_| TokenError::Malformed("the header is not a JSON object"))?;
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(|name| name.parse::<Algorithm>().ok())
            .ok_or(TokenError::Algorithm)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(TokenError::Malformed("`kid` is not a string")),
        };
        let payload = decode(payload)?;
        let claims = strict_object(&payload).map_err(|error| match error {
            ClaimsError::NotJson(reason) => TokenError::Decode(reason),
            other => TokenError::Claims(other),
        })?;
        Ok(Token { algorithm, key_id, message, signature, payload, claims })
    }

    fn check_signature(&self, set: &KeySet) -> Result<Checked, TokenError> {
        let mut refused = TokenError::UnknownKey;
        for key in &set.keys {
            let same = match (&key.id, &self.key_id) {
                (Some(own), Some(wanted)) => own == wanted,
                _ => true,
            };
            if !same {
                continue;
            }
            if !key.algorithms.contains(&self.algorithm) {
                if refused == TokenError::UnknownKey {
                    refused = TokenError::Algorithm;
                }
                continue;
            }
            let verified = jsonwebtoken::crypto::verify(
                self.signature,
                self.message.as_bytes(),
                &key.key,
                self.algorithm,
            );
            match verified {
                Ok(true) => {
                    let revoked = key.gone().cloned();
                    return Ok(Checked { generation: set.generation, revoked });
                }
                Ok(false) | Err(_) => refused = TokenError::Signature,
            }
        }
        Err(refused)
    }
}

fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .filter(|seconds| seconds.is_finite())
            .map(Some)
            .ok_or_else(|| TokenError::Decode(format!("`{name}` is not a number of seconds"))),
    }
}

fn seconds(at: SystemTime) -> f64 {
    // A clock before 1970 makes every token too new, which is the safe reading.
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// What a token that we sign ourselves shall say.
#[derive(Debug, Clone, Default)]
pub struct MintRequest {
    pub role: String,
    /// Further roles that the bearer may ask for.
    pub allowed_roles: Vec<String>,
    /// Session variables; the prefix `x-hasura-` may be left out.
    pub vars: BTreeMap<String, String>,
    /// Claims at the top of the token.
    pub claims: Map<String, Value>,
    /// `None`: the token does not expire.
    pub lifetime: Option<Duration>,
}

/// Why no token could be signed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MintError {
    #[error("tokens can be signed only for an issuer with an HS256, HS384 or HS512 `key`")]
    NotSymmetric,
    #[error("tokens can be signed only for an issuer with a `claims_namespace`")]
    NoNamespace,
    #[error("{0:?} is no name of a role or session variable")]
    Name(String),
    #[error("the token could not be signed: {0}")]
    Sign(String),
}

/// Signs a token that the issuer of `config` accepts: for development, tests
/// and the command line.
pub fn mint(config: &JwtConfig, request: &MintRequest) -> Result<String, MintError> {
    let (kind, key) = match &config.key {
        KeySource::Fixed {
            kind: kind @ (KeyType::HS256 | KeyType::HS384 | KeyType::HS512),
            key,
        } => (*kind, key),
        _ => return Err(MintError::NotSymmetric),
    };
    let ClaimsSource::Namespace(namespace, format) = &config.claims else {
        return Err(MintError::NoNamespace);
    };
    let mut roles = vec![request.role.clone()];
    roles.extend(request.allowed_roles.iter().filter(|role| **role != request.role).cloned());
    if let Some(role) = roles.iter().find(|role| !super::claims::is_role_name(role)) {
        return Err(MintError::Name(role.clone()));
    }
    let mut inner = Map::new();
    inner.insert("x-hasura-allowed-roles".to_owned(), roles.into());
    inner.insert("x-hasura-default-role".to_owned(), request.role.as_str().into());
    for (name, value) in &request.vars {
        let lower = name.to_ascii_lowercase();
        let full = if lower.starts_with("x-hasura-") { lower } else { format!("x-hasura-{lower}") };
        if !super::claims::is_variable_name(&full) {
            return Err(MintError::Name(name.clone()));
        }
        inner.insert(full, value.as_str().into());
    }
    let inner = match format {
        ClaimsFormat::Json => Value::Object(inner),
        ClaimsFormat::StringifiedJson => Value::Object(inner).to_string().into(),
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|error| MintError::Sign(error.to_string()))?
        .as_secs();
    let mut claims = request.claims.clone();
    claims.insert("iat".to_owned(), now.into());
    if let Some(lifetime) = request.lifetime {
        claims.insert("exp".to_owned(), now.saturating_add(lifetime.as_secs()).into());
    }
    if let Some(issuer) = &config.issuer {
        claims.insert("iss".to_owned(), issuer.as_str().into());
    }
    if let Some(audience) = config.audience.first() {
        claims.insert("aud".to_owned(), audience.as_str().into());
    }
    claims.insert(namespace.clone(), inner);
    let algorithm = algorithms_of(kind).first().copied().ok_or(MintError::NotSymmetric)?;
    let key = EncodingKey::from_secret(key.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key)
        .map_err(|error| MintError::Sign(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::JwtConfigs;

    #[tokio::test]
    async fn remembered_tokens_are_bounded_in_number_and_bytes() {
        let secret = format!(r#"{{"type":"HS256","key":"{}"}}"#, "k".repeat(32));
        let jwt = secret.parse::<JwtConfigs>().expect("valid").0;
        let config = AuthConfig { jwt, ..AuthConfig::default() };
        let verifier = TokenVerifier::new(&config).expect("usable");
        for (count, pad) in [(CACHE_TOKENS + 100, 1), (700, 10_000)] {
            for index in 0..count {
                let mut request = MintRequest { role: "user".to_owned(), ..Default::default() };
                request.claims.insert("jti".to_owned(), format!("{pad}-{index}").into());
                request.claims.insert("pad".to_owned(), "x".repeat(pad).into());
                let token = mint(&config.jwt[0], &request).expect("signed");
                let found = Found { place: &TokenHeader::Authorization, token: &token };
                verifier.verify(&[found]).await.expect("valid");
            }
            let cache = verifier.cache.lock().expect("not poisoned");
            let weights: usize = cache.tokens.iter().map(|(_, known)| known.weight).sum();
            assert_eq!(cache.bytes, weights);
            assert!(cache.bytes <= CACHE_BYTES && cache.tokens.len() <= CACHE_TOKENS);
            assert!(cache.tokens.len() > 300, "what fits is kept");
        }
    }
}
