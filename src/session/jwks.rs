//! Signing keys: fixed ones from the configuration and JWK sets behind a URL.
//!
//! ```text
//! start ──▶ fetch ──▶ KeySet (swapped whole) ◀── refresh by Cache-Control / Expires
//!                        ▲
//!                        └── one fetch, rate-limited, when a token names an unknown key
//! ```
//!
//! A set that cannot be fetched leaves the last good one in place. Whoever was
//! let in by a key that is in the set no more is told. A key
//! decides which algorithms it may verify; the token only picks among those.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth_config::KeyType;
use crate::base::Secret;

/// A fetch takes no longer, from name look-up to the last byte.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// A JWK set is a few kilobytes; this is generous.
const FETCH_BYTES: usize = 256 * 1024;
/// More keys than any issuer rotates through; also bounds the work per token.
const MAX_KEYS: usize = 64;
/// Unknown keys cause at most one fetch in this time.
const REFETCH_PAUSE: Duration = Duration::from_secs(5);
const REFRESH_DEFAULT: Duration = Duration::from_secs(10 * 60);
const REFRESH_MIN: Duration = Duration::from_secs(30);
const REFRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
const MIN_RSA_BITS: usize = 2048;

/// One key and what it may verify.
#[derive(Debug, Clone)]
pub(crate) struct VerifyKey {
    pub(crate) id: Option<String>,
    pub(crate) algorithms: &'static [Algorithm],
    pub(crate) key: DecodingKey,
    /// Of a key in a set.
    published: Option<Published>,
}

/// A key of a set, and whether it still is in it.
#[derive(Debug, Clone)]
struct Published {
    public: AlgorithmParameters,
    gone: CancellationToken,
}

impl VerifyKey {
    /// Cancelled when the key is accepted no more; `None` for one that stays.
    pub(crate) fn gone(&self) -> Option<&CancellationToken> {
        self.published.as_ref().map(|published| &published.gone)
    }

    /// Whether both verify the same tokens.
    fn is_same(&self, other: &VerifyKey) -> bool {
        let public = |key: &'_ VerifyKey| key.published.as_ref().map(|key| key.public.clone());
        (&self.id, self.algorithms) == (&other.id, other.algorithms)
            && public(self) == public(other)
    }
}

/// Lets keys that stay keep their mark; gives the marks of those that do not.
fn carry_over(old: &[VerifyKey], new: &mut [VerifyKey]) -> Vec<CancellationToken> {
    for key in &mut *new {
        let known = old.iter().find(|known| known.is_same(key));
        if let Some(known) = known {
            key.published.clone_from(&known.published);
        }
    }
    let is_gone = |known: &&VerifyKey| !new.iter().any(|key| key.is_same(known));
    old.iter().filter(is_gone).filter_map(VerifyKey::gone).cloned().collect()
}

/// The keys of an issuer at one moment.
#[derive(Debug)]
pub(crate) struct KeySet {
    /// Changes whenever the keys do, so that cached tokens are verified anew.
    pub(crate) generation: u64,
    pub(crate) keys: Vec<VerifyKey>,
    /// Whether keys were ever there.
    pub(crate) loaded: bool,
    /// The body that the keys were read from.
    body: Vec<u8>,
}

/// Why a key or a key set cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    #[error(
        "`key` has {have} bytes; {kind} needs at least {need} (allow_short_jwt_keys = true accepts it for a trial)"
    )]
    Short { kind: &'static str, have: usize, need: usize },
    #[error("`key` is not a PEM public key or X.509 certificate for {0}")]
    Pem(&'static str),
    #[error("`key` holds a private key; give the public key, the server only verifies")]
    Private,
    #[error("`key` is an RSA key of {0} bits; at least {MIN_RSA_BITS} are needed")]
    SmallRsa(usize),
    #[error("`key` is on another curve than {0} uses")]
    Curve(&'static str),
    #[error("the HTTP client could not be made: {0}")]
    Client(String),
    #[error("{url}: {reason}")]
    Fetch { url: String, reason: String },
}

const fn name_of(kind: KeyType) -> &'static str {
    match kind {
        KeyType::HS256 => "HS256",
        KeyType::HS384 => "HS384",
        KeyType::HS512 => "HS512",
        KeyType::RS256 => "RS256",
        KeyType::RS384 => "RS384",
        KeyType::RS512 => "RS512",
        KeyType::PS256 => "PS256",
        KeyType::PS384 => "PS384",
        KeyType::PS512 => "PS512",
        KeyType::ES256 => "ES256",
        KeyType::ES384 => "ES384",
        KeyType::Ed25519 => "Ed25519",
    }
}

/// The one algorithm of a configured key.
pub(crate) const fn algorithms_of(kind: KeyType) -> &'static [Algorithm] {
    match kind {
        KeyType::HS256 => &[Algorithm::HS256],
        KeyType::HS384 => &[Algorithm::HS384],
        KeyType::HS512 => &[Algorithm::HS512],
        KeyType::RS256 => &[Algorithm::RS256],
        KeyType::RS384 => &[Algorithm::RS384],
        KeyType::RS512 => &[Algorithm::RS512],
        KeyType::PS256 => &[Algorithm::PS256],
        KeyType::PS384 => &[Algorithm::PS384],
        KeyType::PS512 => &[Algorithm::PS512],
        KeyType::ES256 => &[Algorithm::ES256],
        KeyType::ES384 => &[Algorithm::ES384],
        KeyType::Ed25519 => &[Algorithm::EdDSA],
    }
}

/// Reads a key of the configuration.
pub(crate) fn fixed_key(
    kind: KeyType,
    key: &Secret<String>,
    allow_short: bool,
) -> Result<VerifyKey, KeyError> {
    let name = name_of(kind);
    let text = key.expose();
    let pem = text.as_bytes();
    let key = match kind {
        KeyType::HS256 | KeyType::HS384 | KeyType::HS512 => {
            // RFC 7518, 3.2: a key as long as the hash.
            let need = match kind {
                KeyType::HS256 => 32,
                KeyType::HS384 => 48,
                _ => 64,
            };
            if text.len() < need && !allow_short {
                return Err(KeyError::Short { kind: name, have: text.len(), need });
            }
            DecodingKey::from_secret(pem)
        }
        _ if text.contains("PRIVATE KEY-----") => return Err(KeyError::Private),
        KeyType::RS256
        | KeyType::RS384
        | KeyType::RS512
        | KeyType::PS256
        | KeyType::PS384
        | KeyType::PS512 => DecodingKey::from_rsa_pem(pem).map_err(|_| KeyError::Pem(name))?,
        KeyType::ES256 | KeyType::ES384 => {
            DecodingKey::from_ec_pem(pem).map_err(|_| KeyError::Pem(name))?
        }
        KeyType::Ed25519 => DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::Pem(name))?,
    };
    if !matches!(kind, KeyType::HS256 | KeyType::HS384 | KeyType::HS512) {
        let shown = Jwk::from_decoding_key(&key, None).map_err(|_| KeyError::Pem(name))?.algorithm;
        match shown {
            AlgorithmParameters::RSA(rsa) => {
                let bits = rsa_bits(&rsa.n);
                if bits < MIN_RSA_BITS {
                    return Err(KeyError::SmallRsa(bits));
                }
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let right = match kind {
                    KeyType::ES256 => ec.curve == EllipticCurve::P256,
                    _ => ec.curve == EllipticCurve::P384,
                };
                if !right {
                    return Err(KeyError::Curve(name));
                }
            }
            _ => {}
        }
    }
    Ok(VerifyKey { id: None, algorithms: algorithms_of(kind), key, published: None })
}

fn rsa_bits(modulus: &str) -> usize {
    use base64::Engine as _;
    match base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(modulus) {
        Ok(bytes) => {
            let significant = bytes.iter().skip_while(|b| **b == 0);
            significant
                .clone()
                .next()
                .map_or(0, |first| significant.count() * 8 - first.leading_zeros() as usize)
        }
        // Not a number: as unusable as one of no bits.
        Err(_) => 0,
    }
}

/// Where the keys of an issuer are read from at each request.
#[derive(Debug)]
pub(crate) enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Arc<Remote>, tokio::task::AbortHandle),
}

impl Keys {
    pub(crate) fn fixed(key: VerifyKey) -> Self {
        Keys::Fixed(Arc::new(KeySet {
            generation: 0,
            keys: vec![key],
            loaded: true,
            body: Vec::new(),
        }))
    }

    /// Begins to fetch; the first token waits for the first answer.
    pub(crate) fn remote(url: &str) -> Result<Self, KeyError> {
        let remote = Arc::new(Remote::new(url)?);
        let task = tokio::spawn(refresh_forever(remote.clone()));
        Ok(Keys::Remote(remote, task.abort_handle()))
    }

    pub(crate) fn current(&self) -> Arc<KeySet> {
        match self {
            Keys::Fixed(set) => set.clone(),
            Keys::Remote(remote, _) => remote.set.load_full(),
        }
    }

    /// Looks once for newer keys than those of `seen`; tells what is there now.
    pub(crate) async fn newer_than(&self, seen: &Arc<KeySet>) -> Arc<KeySet> {
        match self {
            Keys::Fixed(set) => set.clone(),
            Keys::Remote(remote, _) => remote.newer_than(seen).await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Keys::Remote(_, task) = self {
            task.abort();
        }
    }
}

/// A JWK set behind a URL.
#[derive(Debug)]
pub(crate) struct Remote {
    url: String,
    client: reqwest::Client,
    set: ArcSwap<KeySet>,
    generations: AtomicU64,
    /// When the last fetch was asked for by an unknown key; also lets one
    /// fetch run at a time.
    fetching: Mutex<Option<Instant>>,
}

impl Remote {
    fn new(url: &str) -> Result<Self, KeyError> {
        // Installing twice is harmless: the provider is the same one.
        if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
            tracing::trace!("a TLS provider is installed already");
        }
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIME)
            .connect_timeout(FETCH_TIME)
            .redirect(reqwest::redirect::Policy::limited(3))
            .https_only(url.starts_with("https://"))
            .user_agent(concat!("ringfence/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| KeyError::Client(error.to_string()))?;
        let empty = KeySet { generation: 0, keys: Vec::new(), loaded: false, body: Vec::new() };
        Ok(Remote {
            url: url.to_owned(),
            client,
            set: ArcSwap::from_pointee(empty),
            generations: AtomicU64::new(0),
            fetching: Mutex::new(None),
        })
    }

    async fn newer_than(&self, seen: &Arc<KeySet>) -> Arc<KeySet> {
        let mut last = self.fetching.lock().await;
        let now = self.set.load_full();
        if now.generation != seen.generation {
            return now;
        }
        let rested = last.is_none_or(|at| at.elapsed() >= REFETCH_PAUSE);
        if rested {
            *last = Some(Instant::now());
            if let Err(error) = self.fetch().await {
                tracing::error!(%error, "signing keys could not be fetched");
            }
        }
        self.set.load_full()
    }

    /// Fetches the set and swaps it in when it differs; tells when to come again.
    async fn fetch(&self) -> Result<Duration, KeyError> {
        let fail = |reason: String| KeyError::Fetch { url: self.url.clone(), reason };
        let mut response = self
            .client
            .get(&self.url)
            .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
            .send()
            .await
            .map_err(|error| fail(cause_of(&error)))?;
        if !response.status().is_success() {
            return Err(fail(format!("answered {}", response.status())));
        }
        let pause = refresh_after(response.headers(), SystemTime::now());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| fail(cause_of(&error)))? {
            if body.len() + chunk.len() > FETCH_BYTES {
                return Err(fail(format!("the answer is larger than {FETCH_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let known = self.set.load_full();
        if known.body != body {
            let mut keys = read_set(&body).map_err(fail)?;
            let gone = carry_over(&known.keys, &mut keys);
            tracing::info!(
                url = %self.url, keys = keys.len(), gone = gone.len(), "signing keys read"
            );
            let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
            self.set.store(Arc::new(KeySet { generation, keys, loaded: true, body }));
            // After that, so that nobody is let in by one of them any more.
            gone.iter().for_each(CancellationToken::cancel);
        }
        Ok(pause)
    }
}

/// The innermost cause: reqwest's own words only repeat the URL.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn refresh_forever(remote: Arc<Remote>) {
    let mut retry = RETRY_FIRST;
    loop {
        let fetched = {
            let _one_at_a_time = remote.fetching.lock().await;
            remote.fetch().await
        };
        let pause = match fetched {
            Ok(pause) => {
                retry = RETRY_FIRST;
                pause
            }
            Err(error) => {
                tracing::error!(%error, retry_in = ?retry, "signing keys could not be fetched");
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// How long an answer stays fresh: `s-maxage`, `max-age`, `Expires`, else a default.
fn refresh_after(headers: &http::HeaderMap, now: SystemTime) -> Duration {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let control = text(http::header::CACHE_CONTROL).unwrap_or("").to_ascii_lowercase();
    let directive = |name: &str| {
        control.split(',').find_map(|part| {
            let (key, value) = part.trim().split_once('=')?;
            (key.trim() == name).then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
        })
    };
    let uncached = control.split(',').any(|part| matches!(part.trim(), "no-cache" | "no-store"));
    let fresh = if uncached {
        Some(REFRESH_MIN)
    } else {
        directive("s-maxage").or_else(|| directive("max-age")).map(Duration::from_secs)
    };
    let expires = || {
        let at = httpdate::parse_http_date(text(http::header::EXPIRES)?).ok()?;
        // A date in the past means: stale at once.
        Some(at.duration_since(now).unwrap_or(Duration::ZERO))
    };
    fresh.or_else(expires).unwrap_or(REFRESH_DEFAULT).clamp(REFRESH_MIN, REFRESH_MAX)
}

/// Reads a JWK set and leaves out what cannot verify.
fn read_set(body: &[u8]) -> Result<Vec<VerifyKey>, String> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let set: Set<'_> =
        serde_json::from_slice(body).map_err(|error| format!("not a JWK set: {error}"))?;
    let keys: Vec<VerifyKey> = set.keys.iter().filter_map(|raw| read_jwk(raw.get())).collect();
    if keys.is_empty() {
        return Err(format!("none of its {} keys can be used", set.keys.len()));
    }
    if keys.len() > MAX_KEYS {
        return Err(format!("it has {} keys; at most {MAX_KEYS} are accepted", keys.len()));
    }
    Ok(keys)
}

fn read_jwk(text: &str) -> Option<VerifyKey> {
    let jwk: Jwk = match serde_json::from_str(text) {
        Ok(jwk) => jwk,
        Err(error) => {
            tracing::debug!(%error, "a key of the set is ignored");
            return None;
        }
    };
    let signs = !matches!(
        jwk.common.public_key_use,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
    ) && jwk
        .common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !signs {
        return None;
    }
    let possible: &'static [Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa_bits(&rsa.n) >= MIN_RSA_BITS => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        // A symmetric key in a published set is known to everybody.
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => possible,
        Some(named) => {
            let named = Algorithm::try_from(named).ok()?;
            let at = possible.iter().position(|algorithm| *algorithm == named)?;
            possible.get(at..=at)?
        }
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let published = Published { public: jwk.algorithm, gone: CancellationToken::new() };
    Some(VerifyKey { id: jwk.common.key_id, algorithms, key, published: Some(published) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_follows_the_headers_within_bounds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let later = httpdate::fmt_http_date(now + Duration::from_secs(300));
        let past = httpdate::fmt_http_date(now - Duration::from_secs(300));
        for (headers, seconds) in [
            (vec![], 600),
            (vec![("cache-control", "public, max-age=120")], 120),
            (vec![("cache-control", "max-age=120, s-maxage=90")], 90),
            (vec![("cache-control", "max-age=120, no-cache")], 30),
            (vec![("cache-control", "max-age=0")], 30),
            (vec![("cache-control", "max-age=99999999")], 86_400),
            (vec![("cache-control", "max-age=junk"), ("expires", later.as_str())], 300),
            (vec![("expires", later.as_str())], 300),
            (vec![("expires", past.as_str())], 30),
            (vec![("expires", "0")], 600),
        ] {
            let mut map = http::HeaderMap::new();
            for (name, value) in &headers {
                map.insert(*name, value.parse().expect("a header value"));
            }
            assert_eq!(refresh_after(&map, now), Duration::from_secs(seconds), "{headers:?}");
        }
    }

    #[test]
    fn a_set_keeps_only_keys_that_verify() {
        let set = br#"{"keys":[
            {"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"sym","alg":"HS256"},
            {"kty":"XYZ","kid":"odd"},
            {"kty":"RSA","n":"AQAB","e":"AQAB","kid":"small"},
            {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"ed"},
            {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"enc","use":"enc"},
            {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"rs","alg":"RS256"},
            17
        ]}"#;
        let keys = read_set(set).expect("one usable key");
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref()).collect();
        assert_eq!(ids, [Some("ed")]);
        // However it is written, it is the same key; under another name it is not.
        let again = br#"{"keys":[{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig",
            "crv":"Ed25519","kty":"OKP","kid":"ed"}]}"#;
        let mut again = read_set(again).expect("one usable key");
        assert!(carry_over(&keys, &mut again).is_empty());
        let gone = keys[0].gone().expect("it may go");
        let text = String::from_utf8_lossy(set).replace("\"ed\"", "\"other\"");
        let mut other = read_set(text.as_bytes()).expect("one usable key");
        for mark in carry_over(&again, &mut other) {
            mark.cancel();
        }
        assert!(gone.is_cancelled() && other[0].gone().is_some_and(|gone| !gone.is_cancelled()));
        assert!(read_set(br#"{"keys":[]}"#).is_err());
        assert!(read_set(b"[]").is_err());
    }
}
