//! Who is let in, as whom, and with which words the others are refused.
//!
//! Keys and certificates are made here; key sets come from a real HTTP server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ringfence::base::Secret;
use ringfence::session::jwt::{MintRequest, mint};
use ringfence::session::{AuthConfig, Authority, JwtConfigs, Proof, Session};
use ringfence::transport::Authenticator;
use serde_json::{Value, json};

const NAMESPACE: &str = "https://hasura.io/jwt/claims";
const HMAC: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ADMIN: &str = "the admin secret";

/// A key pair with everything that a test wants of it.
struct Keys {
    algorithm: Algorithm,
    private: EncodingKey,
    public: String,
    certificate: String,
}

fn make(algorithm: Algorithm) -> Keys {
    let kind = match algorithm {
        Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        Algorithm::EdDSA => &rcgen::PKCS_ED25519,
        _ => &rcgen::PKCS_RSA_SHA256,
    };
    let pair = rcgen::KeyPair::generate_for(kind).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["test".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let pem = pair.serialize_pem();
    let private = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    };
    Keys {
        algorithm,
        private: private.unwrap(),
        public: pair.public_key_pem(),
        certificate: certificate.pem(),
    }
}

static RSA: LazyLock<Keys> = LazyLock::new(|| make(Algorithm::RS256));
static RSA_OTHER: LazyLock<Keys> = LazyLock::new(|| make(Algorithm::RS256));
static EC256: LazyLock<Keys> = LazyLock::new(|| make(Algorithm::ES256));
static EC384: LazyLock<Keys> = LazyLock::new(|| make(Algorithm::ES384));
static ED: LazyLock<Keys> = LazyLock::new(|| make(Algorithm::EdDSA));

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({
        "sub": "u-1",
        "exp": now() + 600,
        NAMESPACE: {
            "x-hasura-allowed-roles": ["user", "editor"],
            "x-hasura-default-role": "user",
            "x-hasura-tenant-id": "t-1",
        },
    })
}

/// The usual claims with some session variables more.
fn claims_with(vars: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in vars.as_object().unwrap() {
        claims[NAMESPACE][name] = value.clone();
    }
    claims
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(HMAC.as_bytes()), claims)
}

/// Signs any text as payload, also one that no serialiser would write.
fn hs256_raw(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(HMAC.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn config(jwt: &Value) -> AuthConfig {
    AuthConfig {
        admin_secrets: vec![
            Secret::new("an older secret".to_owned()),
            Secret::new(ADMIN.to_owned()),
        ],
        jwt: jwt.to_string().parse::<JwtConfigs>().unwrap().0,
        ..AuthConfig::default()
    }
}

fn authenticator(jwt: &Value) -> Authenticator {
    Authenticator::new(&config(jwt)).unwrap()
}

fn hmac() -> Authenticator {
    authenticator(&json!({"type": "HS256", "key": HMAC}))
}

type Refused = (String, String);

async fn ask(auth: &Authenticator, headers: &[(&str, &str)]) -> Result<Arc<Session>, Refused> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    auth.authenticate(&map)
        .await
        .map_err(|error| (error.code.to_string(), error.message.to_string()))
}

async fn bearer(auth: &Authenticator, token: &str) -> Result<Arc<Session>, Refused> {
    ask(auth, &[("authorization", &format!("Bearer {token}"))]).await
}

#[track_caller]
fn refused(result: Result<Arc<Session>, Refused>, code: &str, message: &str) {
    let (found, text) = result.expect_err("let in");
    assert_eq!(found, code, "{text}");
    assert!(text.contains(message), "{text}");
}

#[tokio::test]
async fn every_algorithm_verifies_and_only_its_own_key() {
    for (name, algorithm, keys) in [
        ("RS256", Algorithm::RS256, &*RSA),
        ("RS384", Algorithm::RS384, &RSA),
        ("RS512", Algorithm::RS512, &RSA),
        ("PS256", Algorithm::PS256, &RSA),
        ("PS384", Algorithm::PS384, &RSA),
        ("PS512", Algorithm::PS512, &RSA),
        ("ES256", Algorithm::ES256, &EC256),
        ("ES384", Algorithm::ES384, &EC384),
        ("Ed25519", Algorithm::EdDSA, &ED),
        ("EdDSA", Algorithm::EdDSA, &ED),
    ] {
        let token = sign(algorithm, &keys.private, &claims());
        for key in [&keys.public, &keys.certificate] {
            let auth = authenticator(&json!({"type": name, "key": key}));
            let session = bearer(&auth, &token).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_eq!(&*session.role, "user");
            assert_eq!(session.tenant.as_deref(), Some("t-1"));
            assert_eq!(session.user.as_deref(), Some("u-1"));
            assert_eq!(session.proof, Proof::Token);
        }
        // Signed by another key of the same kind.
        let other = make(keys.algorithm);
        let auth = authenticator(&json!({"type": name, "key": other.public}));
        refused(bearer(&auth, &token).await, "invalid-jwt", "JWSInvalidSignature");
    }
    for (name, algorithm) in
        [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
    {
        let token = sign(algorithm, &EncodingKey::from_secret(HMAC.as_bytes()), &claims());
        let auth = authenticator(&json!({"type": name, "key": HMAC}));
        assert!(bearer(&auth, &token).await.is_ok(), "{name}");
        let other = authenticator(&json!({"type": name, "key": HMAC.replace('0', "x")}));
        refused(bearer(&other, &token).await, "invalid-jwt", "JWSInvalidSignature");
    }
}

#[tokio::test]
async fn the_key_decides_the_algorithm() {
    let public = &RSA.public;
    let rsa = authenticator(&json!({"type": "RS256", "key": public}));
    // The public key, which everybody has, used as an HMAC secret.
    for secret in [public.as_bytes(), public.trim().as_bytes()] {
        let token = sign(Algorithm::HS256, &EncodingKey::from_secret(secret), &claims());
        refused(bearer(&rsa, &token).await, "invalid-jwt", "algorithm");
    }
    for algorithm in [Algorithm::PS256, Algorithm::RS384, Algorithm::RS512] {
        let token = sign(algorithm, &RSA.private, &claims());
        refused(bearer(&rsa, &token).await, "invalid-jwt", "algorithm");
    }
    let ec = authenticator(&json!({"type": "ES256", "key": EC256.public}));
    let token = sign(Algorithm::ES384, &EC384.private, &claims());
    refused(bearer(&ec, &token).await, "invalid-jwt", "algorithm");

    let hs = hmac();
    let stronger = sign(Algorithm::HS512, &EncodingKey::from_secret(HMAC.as_bytes()), &claims());
    refused(bearer(&hs, &stronger).await, "invalid-jwt", "algorithm");
    let payload = claims().to_string();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256 "] {
        let header = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        let signed = hs256_raw(&header, &payload);
        refused(bearer(&hs, &signed).await, "invalid-jwt", "algorithm");
        let bare = &signed[..=signed.rfind('.').unwrap()];
        refused(bearer(&hs, bare).await, "invalid-jwt", "algorithm");
    }
    let no_algorithm = hs256_raw("{}", &payload);
    refused(bearer(&hs, &no_algorithm).await, "invalid-jwt", "algorithm");
}

#[tokio::test]
async fn forged_and_broken_tokens_are_refused() {
    let auth = hmac();
    let good = hs256(&claims());
    assert!(bearer(&auth, &good).await.is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let mut other = claims();
    other[NAMESPACE]["x-hasura-tenant-id"] = json!("t-2");
    let payload = URL_SAFE_NO_PAD.encode(other.to_string());
    let head = r#"{"alg":"HS256"}"#;
    for (token, message) in [
        (format!("{}.{payload}.{}", parts[0], parts[2]), "JWSInvalidSignature"),
        (format!("{}.{}.", parts[0], parts[1]), "JWSInvalidSignature"),
        (format!("{}.{}", parts[0], parts[1]), "three parts"),
        (format!("{good}.a.b"), "three parts"),
        (format!("{good}="), "JWSInvalidSignature"),
        ("a.b.c".to_owned(), "base64url"),
        ("....".to_owned(), "three parts"),
        (hs256_raw("[]", "{}"), "header is not a JSON object"),
        (hs256_raw(r#"{"alg":"HS256","crit":["exp"]}"#, "{}"), "crit"),
        (hs256_raw(r#"{"alg":"HS256","crit":[]}"#, "{}"), "crit"),
        (hs256_raw(r#"{"alg":"none","alg":"HS256"}"#, "{}"), "header is not a JSON object"),
        (hs256_raw(r#"{"alg":"HS256","kid":7}"#, "{}"), "kid"),
        (hs256_raw(head, "[]"), "JWTClaimsSetDecodeError"),
        (hs256_raw(head, r#"{"a":1,"a":2}"#), "given twice"),
        (hs256_raw(head, r#"{"a":"\u0000"}"#), "NUL"),
        (hs256_raw(head, r#"{"a\u0000":1}"#), "NUL"),
        (hs256_raw(head, r#"{"sub":123456789012345678901234567890}"#), "too large"),
        (hs256_raw(head, "not json"), "JWTClaimsSetDecodeError"),
        (hs256_raw(head, &"[".repeat(5000)), "JWTClaimsSetDecodeError"),
        ("x".repeat(100_000), "too long"),
    ] {
        let shown = token.chars().take(60).collect::<String>();
        let (code, text) = bearer(&auth, &token).await.expect_err(&shown);
        assert_eq!(code, "invalid-jwt", "{shown}");
        assert!(text.contains(message), "{shown}: {text}");
    }
    // An invalid token is never anonymous.
    let open = Authenticator::new(&AuthConfig {
        unauthorized_role: Some("public".to_owned()),
        ..config(&json!({"type": "HS256", "key": HMAC}))
    })
    .unwrap();
    refused(bearer(&open, "a.b.c").await, "invalid-jwt", "");
    for value in ["Bearer", "Bearer ", "", "Basic dTpw", "Bearer a b", &good] {
        refused(
            ask(&open, &[("authorization", value)]).await,
            "invalid-headers",
            "Malformed Authorization header",
        );
    }
}

#[tokio::test]
async fn times_are_checked_with_the_allowed_skew() {
    let at = now();
    for (skew, claim, value, verdict) in [
        (0, "exp", json!(at - 10), Some("JWTExpired")),
        (60, "exp", json!(at - 10), None),
        (60, "exp", json!(at - 70), Some("JWTExpired")),
        (0, "exp", json!(at as f64 - 0.5), Some("JWTExpired")),
        (0, "exp", json!("tomorrow"), Some("JWTClaimsSetDecodeError")),
        (0, "exp", json!(null), None),
        (0, "exp", json!(1e300), Some("JWTClaimsSetDecodeError")),
        (0, "nbf", json!(at + 30), Some("JWTNotYetValid")),
        (60, "nbf", json!(at + 30), None),
        (0, "nbf", json!([]), Some("JWTClaimsSetDecodeError")),
        (0, "iat", json!(at + 30), Some("JWTIssuedAtFuture")),
        (60, "iat", json!(at + 30), None),
        (0, "iat", json!(at - 30), None),
    ] {
        let auth = authenticator(&json!({"type": "HS256", "key": HMAC, "allowed_skew": skew}));
        let mut claims = claims();
        claims[claim] = value.clone();
        let result = bearer(&auth, &hs256(&claims)).await;
        match verdict {
            Some(message) => refused(result, "invalid-jwt", message),
            None => assert!(result.is_ok(), "{claim} {value}: {result:?}"),
        }
    }
    let mut eternal = claims();
    eternal.as_object_mut().unwrap().remove("exp");
    let session = bearer(&hmac(), &hs256(&eternal)).await.expect("Hasura does not ask for exp");
    assert_eq!(session.expires_at, None);
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let auth = hmac();
    let mut claims = claims();
    claims["exp"] = json!(now() + 2);
    let token = hs256(&claims);
    let first = bearer(&auth, &token).await.expect("fresh");
    let again = bearer(&auth, &token).await.expect("remembered");
    assert!(Arc::ptr_eq(&first, &again), "the second look verifies nothing");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    refused(bearer(&auth, &token).await, "invalid-jwt", "JWTExpired");
}

#[tokio::test]
async fn audience_and_issuer_must_match_when_configured() {
    let auth = authenticator(&json!({
        "type": "HS256", "key": HMAC, "audience": ["a", "b"], "issuer": "https://id.test/",
    }));
    for (aud, iss, verdict) in [
        (json!("a"), json!("https://id.test/"), None),
        (json!(["x", "b"]), json!("https://id.test/"), None),
        (json!("c"), json!("https://id.test/"), Some("JWTNotInAudience")),
        (json!([]), json!("https://id.test/"), Some("JWTNotInAudience")),
        (json!(null), json!("https://id.test/"), Some("JWTNotInAudience")),
        (json!("a"), json!("https://id.test"), Some("JWTNotInIssuer")),
        (json!("a"), json!(null), Some("JWTNotInIssuer")),
        (json!("a"), json!(["https://id.test/"]), Some("JWTNotInIssuer")),
    ] {
        let mut claims = claims();
        claims["aud"] = aud.clone();
        claims["iss"] = iss.clone();
        let result = bearer(&auth, &hs256(&claims)).await;
        match verdict {
            Some(message) => refused(result, "invalid-jwt", message),
            None => assert!(result.is_ok(), "{aud} {iss}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn several_issuers_each_verify_their_own() {
    let auth = authenticator(&json!([
        {"type": "HS256", "key": HMAC, "issuer": "one"},
        {"type": "RS256", "key": RSA.public, "issuer": "two"},
        {"type": "ES256", "key": EC256.public},
    ]));
    let issued = |issuer: Value| {
        let mut claims = claims();
        claims["iss"] = issuer;
        claims
    };
    assert!(bearer(&auth, &hs256(&issued(json!("one")))).await.is_ok());
    let two = sign(Algorithm::RS256, &RSA.private, &issued(json!("two")));
    assert!(bearer(&auth, &two).await.is_ok());
    let open = sign(Algorithm::ES256, &EC256.private, &issued(json!(null)));
    assert!(bearer(&auth, &open).await.is_ok());
    // Naming another issuer does not lend its key.
    let crossed = hs256(&issued(json!("two")));
    refused(bearer(&auth, &crossed).await, "invalid-jwt", "algorithm");
    let crossed = sign(Algorithm::RS256, &RSA.private, &issued(json!("one")));
    refused(bearer(&auth, &crossed).await, "invalid-jwt", "algorithm");
}

#[tokio::test]
async fn unusable_keys_stop_the_start() {
    for (jwt, message) in [
        (json!({"type": "HS256", "key": "short"}), "at least 32"),
        (json!({"type": "HS512", "key": &HMAC[..40]}), "at least 64"),
        (json!({"type": "RS256", "key": "not a key"}), "not a PEM public key"),
        (json!({"type": "RS256", "key": EC256.public}), "not a PEM public key"),
        (json!({"type": "ES256", "key": RSA.public}), "not a PEM public key"),
        (json!({"type": "ES256", "key": EC384.public}), "another curve"),
        (json!({"type": "Ed25519", "key": EC256.public}), "not a PEM public key"),
    ] {
        let error = Authenticator::new(&config(&jwt)).expect_err("unusable").to_string();
        assert!(error.starts_with("auth.jwt[0]: ") && error.contains(message), "{error}");
        assert!(!error.contains("short\""), "the key is not shown: {error}");
    }
    let pair = rcgen::KeyPair::generate().unwrap();
    let private = json!({"type": "ES256", "key": pair.serialize_pem()});
    let error = Authenticator::new(&config(&private)).expect_err("private").to_string();
    assert!(error.contains("private key"), "{error}");
    let short = AuthConfig {
        allow_short_jwt_keys: true,
        ..config(&json!({"type": "HS256", "key": "short"}))
    };
    assert!(Authenticator::new(&short).is_ok());
}

/// A server of key sets whose answer a test can change.
struct KeyServer {
    url: String,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(body: String) -> Self {
        let answer = Arc::new(Mutex::new((200, body)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (answer.clone(), asked.clone());
        let app = axum::Router::new().fallback(move || {
            let (status, body) = shared.lock().unwrap().clone();
            count.fetch_add(1, Ordering::SeqCst);
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            async move { (status, [("cache-control", "max-age=3600")], body) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(hyper_util::rt::TokioIo::new(stream), service),
                );
            }
        });
        KeyServer { url, answer, asked }
    }

    fn set(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, body.into());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn jwk(keys: &Keys, id: Option<&str>) -> Value {
    let public = keys.public.as_bytes();
    let key = match keys.algorithm {
        Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(public),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(public),
        _ => DecodingKey::from_rsa_pem(public),
    };
    let mut jwk = Jwk::from_decoding_key(&key.unwrap(), Some(keys.algorithm)).unwrap();
    jwk.common.key_id = id.map(str::to_owned);
    serde_json::to_value(jwk).unwrap()
}

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

fn with_kid(keys: &Keys, id: Option<&str>) -> String {
    let mut header = Header::new(keys.algorithm);
    header.kid = id.map(str::to_owned);
    jsonwebtoken::encode(&header, &claims(), &keys.private).unwrap()
}

#[tokio::test]
async fn key_sets_are_fetched_and_follow_a_rotation() {
    let server = KeyServer::start(set(&[
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(HMAC), "kid": "sym", "alg": "HS256"}),
        json!("junk"),
        jwk(&RSA, Some("old")),
        jwk(&ED, Some("ed")),
    ]))
    .await;
    let auth = authenticator(&json!({"jwk_url": server.url}));
    // The first token waits for the first fetch.
    assert!(bearer(&auth, &with_kid(&RSA, Some("old"))).await.is_ok());
    assert!(bearer(&auth, &with_kid(&ED, Some("ed"))).await.is_ok());
    assert!(bearer(&auth, &with_kid(&ED, None)).await.is_ok(), "found without an id");
    assert_eq!(server.asked(), 1);
    // Another key under a known id; a symmetric key that was published.
    let wrong = with_kid(&RSA_OTHER, Some("old"));
    refused(bearer(&auth, &wrong).await, "invalid-jwt", "JWSInvalidSignature");
    assert_eq!(server.asked(), 1, "a wrong signature fetches nothing");
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some("ed".to_owned());
    let key = EncodingKey::from_secret(HMAC.as_bytes());
    let token = jsonwebtoken::encode(&symmetric, &claims(), &key).unwrap();
    refused(bearer(&auth, &token).await, "invalid-jwt", "algorithm");

    // Rotation: the new key is found at its first use, the old one is gone.
    server.set(200, set(&[jwk(&RSA_OTHER, Some("new"))]));
    assert!(bearer(&auth, &with_kid(&RSA, Some("old"))).await.is_ok(), "remembered");
    assert!(bearer(&auth, &with_kid(&RSA_OTHER, Some("new"))).await.is_ok());
    assert_eq!(server.asked(), 2);
    let old = bearer(&auth, &with_kid(&RSA, Some("old"))).await;
    refused(old, "invalid-jwt", "no key has the token's key id");

    // Made-up ids cannot make us ask again and again.
    for index in 0..50 {
        let token = with_kid(&EC256, Some(&format!("made-up-{index}")));
        refused(bearer(&auth, &token).await, "invalid-jwt", "no key has");
    }
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn the_last_good_keys_stay_when_the_server_fails() {
    let server = KeyServer::start(set(&[jwk(&EC256, Some("k"))])).await;
    let auth = authenticator(&json!({"jwk_url": server.url}));
    assert!(bearer(&auth, &with_kid(&EC256, Some("k"))).await.is_ok());
    for (status, body) in [(500, "down".to_owned()), (200, "<html>".to_owned())] {
        server.set(status, body);
        let unknown = bearer(&auth, &with_kid(&ED, Some("unknown"))).await;
        refused(unknown, "invalid-jwt", "no key has");
        let mut fresh = claims();
        fresh["jti"] = json!(status);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".to_owned());
        let token = jsonwebtoken::encode(&header, &fresh, &EC256.private).unwrap();
        assert!(bearer(&auth, &token).await.is_ok());
    }
}

#[tokio::test]
async fn without_any_keys_yet_the_caller_is_told_to_come_again() {
    let server = KeyServer::start("x".repeat(1 << 20)).await;
    let auth = authenticator(&json!({"jwk_url": server.url}));
    let result = bearer(&auth, &with_kid(&EC256, Some("k"))).await;
    refused(result, "service-unavailable", "could not be fetched");
}

#[tokio::test]
async fn claims_are_found_where_the_configuration_says() {
    let inner = json!({
        "x-hasura-allowed-roles": ["user"],
        "x-hasura-default-role": "user",
        "X-Hasura-User-Id": 7,
        "x-hasura-org": ["a", "b c"],
        "x-hasura-flag": true,
        "other": "ignored",
    });
    let map = json!({
        "x-hasura-allowed-roles": {"path": "$.app.roles"},
        "x-hasura-default-role": {"path": "$.app.roles[0]", "default": "user"},
        "x-hasura-user-id": {"path": "$.app['user.id']"},
        "x-hasura-org": {"path": "$.nowhere", "default": "{a,\"b c\"}"},
        "x-hasura-flag": "true",
    });
    for (jwt, claims) in [
        (json!({}), json!({NAMESPACE: inner})),
        (json!({"claims_namespace": "mine"}), json!({"mine": inner})),
        (json!({"claims_namespace_path": "$"}), json!({})),
        (json!({"claims_namespace_path": "$.a.b[1]"}), json!({"a": {"b": [0, inner]}})),
        (
            json!({"claims_namespace": "mine", "claims_format": "stringified_json"}),
            json!({"mine": inner.to_string()}),
        ),
        (json!({"claims_map": map}), json!({"app": {"roles": ["user"], "user.id": 7}})),
    ] {
        let mut full = json!({"type": "HS256", "key": HMAC});
        full.as_object_mut().unwrap().extend(jwt.as_object().unwrap().clone());
        if jwt["claims_namespace_path"] == "$" {
            assert!(full.to_string().parse::<JwtConfigs>().is_err(), "a path needs a key");
            continue;
        }
        let session = bearer(&authenticator(&full), &hs256(&claims)).await.expect("valid");
        assert_eq!(&*session.role, "user", "{jwt}");
        let vars: BTreeMap<&str, &str> =
            session.vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = BTreeMap::from([
            ("x-hasura-flag", "true"),
            ("x-hasura-org", "{a,\"b c\"}"),
            ("x-hasura-user-id", "7"),
        ]);
        assert_eq!(vars, expected, "{jwt}");
        assert_eq!(session.user.as_deref(), Some("7"), "{jwt}");
        let told: Value = serde_json::from_str(session.claims.as_deref().unwrap()).unwrap();
        assert_eq!(told, claims, "the claims reach the database whole");
    }
}

#[tokio::test]
async fn missing_and_malformed_claims_have_hasuras_codes() {
    let plain = json!({"type": "HS256", "key": HMAC});
    let roles = json!({"x-hasura-allowed-roles": ["user"], "x-hasura-default-role": "user"});
    let stringified = json!({"type": "HS256", "key": HMAC, "claims_format": "stringified_json"});
    let mapped = json!({"type": "HS256", "key": HMAC, "claims_map": {
        "x-hasura-allowed-roles": {"path": "$.roles"},
        "x-hasura-default-role": "user",
        "x-hasura-user-id": {"path": "$.id"},
    }});
    for (jwt, claims, code, message) in [
        (
            &plain,
            json!({}),
            "jwt-invalid-claims",
            "claims key: 'https://hasura.io/jwt/claims' not found",
        ),
        (&plain, json!({NAMESPACE: "text"}), "jwt-invalid-claims", "json object"),
        (&stringified, json!({NAMESPACE: roles}), "jwt-invalid-claims", "expecting a string"),
        (&stringified, json!({NAMESPACE: "{"}), "jwt-invalid-claims", "stringified json"),
        (&plain, json!({NAMESPACE: {}}), "jwt-missing-role-claims", "x-hasura-allowed-roles"),
        (
            &plain,
            json!({NAMESPACE: {"x-hasura-allowed-roles": ["user"]}}),
            "jwt-missing-role-claims",
            "x-hasura-default-role",
        ),
        (
            &plain,
            json!({NAMESPACE: {"x-hasura-allowed-roles": "user", "x-hasura-default-role": "user"}}),
            "jwt-invalid-claims",
            "should be a list of roles",
        ),
        (
            &plain,
            json!({NAMESPACE: {"x-hasura-allowed-roles": ["user"], "x-hasura-default-role": 7}}),
            "jwt-invalid-claims",
            "should be a single role name",
        ),
        (
            &plain,
            json!({NAMESPACE: {"x-hasura-allowed-roles": ["user"], "x-hasura-default-role": "admin"}}),
            "access-denied",
            "Your requested role is not in allowed roles",
        ),
        (&mapped, json!({"id": "1"}), "jwt-missing-role-claims", "x-hasura-allowed-roles"),
        (
            &mapped,
            json!({"roles": ["user"]}),
            "jwt-invalid-claims",
            "JWT claim from claims_map, x-hasura-user-id not found",
        ),
    ] {
        refused(bearer(&authenticator(jwt), &hs256(&claims)).await, code, message);
    }
}

#[tokio::test]
async fn claims_that_can_be_read_in_two_ways_are_refused() {
    let auth = hmac();
    let long = format!("x-hasura-{}", "a".repeat(55));
    for (vars, message) in [
        (json!({"x-hasura-user-id": "1", "X-Hasura-User-Id": "2"}), "same session variable"),
        (json!({"X-HASURA-TENANT-ID": "t-2"}), "same session variable"),
        (json!({"x-hasura-a-b": "1", "x-hasura-a_b": "2"}), "same session variable"),
        (json!({"x-hasura-a b": "1"}), "no name of a session variable"),
        (json!({"x-hasura-ü": "1"}), "no name of a session variable"),
        (json!({"x-hasura-a.b": "1"}), "no name of a session variable"),
        (json!({"x-hasura-": "1"}), "no name of a session variable"),
        (json!({long: "1"}), "no name of a session variable"),
        (json!({"x-hasura-a": {"b": 1}}), "object"),
        (json!({"x-hasura-a": [[1], [2, 3]]}), "nested list"),
        (json!({"x-hasura-a": 1e20}), "too large"),
        (json!({"x-hasura-user-id": ["1", "2"]}), "not a list"),
    ] {
        let result = bearer(&auth, &hs256(&claims_with(&vars))).await;
        let (code, text) = result.expect_err(&vars.to_string());
        assert_eq!(code, "invalid-jwt", "{vars}: {text}");
        assert!(text.contains(message), "{vars}: {text}");
    }
    let exact = format!("x-hasura-{}", "a".repeat(54));
    let session = bearer(&auth, &hs256(&claims_with(&json!({exact.clone(): "1"})))).await;
    assert_eq!(session.expect("63 bytes fit").vars[&exact], "1");
    let session = bearer(&auth, &hs256(&claims_with(&json!({"x-hasura-a": null})))).await;
    assert!(!session.expect("null is absence").vars.contains_key("x-hasura-a"));
}

#[tokio::test]
async fn a_role_must_be_among_the_allowed() {
    let auth = hmac();
    let header = format!("Bearer {}", hs256(&claims()));
    for (role, expected) in [("user", Some("user")), ("editor", Some("editor")), ("", Some("user"))]
    {
        let session =
            ask(&auth, &[("authorization", &header), ("x-hasura-role", role)]).await.unwrap();
        assert_eq!(Some(&*session.role), expected);
    }
    for role in ["admin", "Editor", "user ,editor", "user\u{a0}"] {
        let result = ask(&auth, &[("authorization", &header), ("x-hasura-role", role)]).await;
        refused(result, "access-denied", "Your requested role is not in allowed roles");
    }
    // Headers never add to what the token says.
    let session = ask(
        &auth,
        &[
            ("authorization", header.as_str()),
            ("x-hasura-tenant-id", "t-2"),
            ("x-hasura-user-id", "u-2"),
            ("x-hasura-extra", "1"),
        ],
    )
    .await
    .unwrap();
    assert_eq!(session.tenant.as_deref(), Some("t-1"));
    assert_eq!(session.user.as_deref(), Some("u-1"));
    assert_eq!(session.vars.len(), 1);
}

#[tokio::test]
async fn the_role_admin_of_a_token_is_an_ordinary_role() {
    let mut claims = claims();
    claims[NAMESPACE]["x-hasura-allowed-roles"] = json!(["admin"]);
    claims[NAMESPACE]["x-hasura-default-role"] = json!("admin");
    let token = hs256(&claims);
    let session = bearer(&hmac(), &token).await.unwrap();
    assert_eq!((&*session.role, session.authority), ("admin", Authority::Request));
    let hasura = AuthConfig { jwt_admin: true, ..config(&json!({"type": "HS256", "key": HMAC})) };
    let session = bearer(&Authenticator::new(&hasura).unwrap(), &token).await.unwrap();
    assert_eq!(session.authority, Authority::Admin);
}

#[tokio::test]
async fn tokens_travel_in_cookies_and_other_headers() {
    let token = hs256(&claims());
    let cookie = authenticator(
        &json!({"type": "HS256", "key": HMAC, "header": {"type": "Cookie", "name": "session"}}),
    );
    for line in [
        format!("session={token}"),
        format!("a=b; session={token}; c=d"),
        format!("xsession=no;session=\"{token}\""),
        format!("session={token}; session={token}"),
    ] {
        assert!(ask(&cookie, &[("cookie", &line)]).await.is_ok(), "{line}");
    }
    let other = hs256(&claims_with(&json!({"x-hasura-tenant-id": "t-2"})));
    let twice = format!("session={token}; session={other}");
    refused(ask(&cookie, &[("cookie", &twice)]).await, "invalid-headers", "more than once");
    let split = [("cookie", format!("session={token}")), ("cookie", format!("session={other}"))];
    let split: Vec<(&str, &str)> = split.iter().map(|(n, v)| (*n, v.as_str())).collect();
    refused(ask(&cookie, &split).await, "invalid-headers", "more than once");
    refused(ask(&cookie, &[("cookie", "session=")]).await, "invalid-jwt", "three parts");
    let missing = "Missing 'Authorization' or 'Cookie' header in JWT authentication mode";
    refused(ask(&cookie, &[("cookie", "other=1")]).await, "invalid-headers", missing);
    refused(bearer(&cookie, &token).await, "invalid-headers", missing);

    let custom = authenticator(
        &json!({"type": "HS256", "key": HMAC, "header": {"type": "CustomHeader", "name": "X-Token"}}),
    );
    assert!(ask(&custom, &[("x-token", &token)]).await.is_ok());
    assert!(ask(&custom, &[("X-Token", &format!("Bearer {token}"))]).await.is_ok());
    refused(ask(&custom, &[("x-token", "")]).await, "invalid-headers", "empty");

    let both = authenticator(&json!([
        {"type": "HS256", "key": HMAC},
        {"type": "HS256", "key": HMAC, "header": {"type": "Cookie", "name": "session"}},
    ]));
    let header = format!("Bearer {token}");
    let same = format!("session={token}");
    let differs = format!("session={other}");
    assert!(ask(&both, &[("authorization", &header), ("cookie", &same)]).await.is_ok());
    let result = ask(&both, &[("authorization", &header), ("cookie", &differs)]).await;
    refused(result, "invalid-headers", "different tokens");

    // A token counts only where its issuer sends it, remembered or not.
    let apart = authenticator(&json!([
        {"type": "HS256", "key": HMAC},
        {"type": "ES256", "key": EC256.public, "header": {"type": "Cookie", "name": "session"}},
    ]));
    assert!(ask(&apart, &[("authorization", &header)]).await.is_ok());
    let result = ask(&apart, &[("cookie", &same)]).await;
    refused(result, "invalid-jwt", "algorithm");
}

#[tokio::test]
async fn tenants_are_claimed_and_only_chosen_among_the_claimed() {
    let auth = hmac();
    let denied = "X-Tenant-ID names a tenant that the caller does not claim";
    let mut top = claims();
    top[NAMESPACE].as_object_mut().unwrap().remove("x-hasura-tenant-id");
    let none = top.clone();
    top["tenant_id"] = json!("top");
    let mut both = claims();
    both["tenant_id"] = json!("top");
    let list = claims_with(&json!({"x-hasura-tenant-id": ["t-1", "t-2"]}));
    let one = claims_with(&json!({"x-hasura-tenant-id": ["t-9"]}));
    let number = claims_with(&json!({"x-hasura-tenant-id": 42}));
    let empty = claims_with(&json!({"x-hasura-tenant-id": ""}));
    for (claims, header, expected) in [
        (&top, None, Ok(Some("top"))),
        (&both, None, Ok(Some("t-1"))),
        (&both, Some("t-1"), Ok(Some("t-1"))),
        (&both, Some("top"), Err(())),
        (&none, None, Ok(None)),
        (&none, Some("t-1"), Err(())),
        (&list, None, Ok(None)),
        (&list, Some("t-2"), Ok(Some("t-2"))),
        (&list, Some("t-3"), Err(())),
        (&list, Some("{t-1,t-2}"), Err(())),
        (&list, Some(""), Err(())),
        (&one, None, Ok(Some("t-9"))),
        (&number, Some("42"), Ok(Some("42"))),
        (&empty, None, Ok(None)),
        (&empty, Some(""), Err(())),
    ] {
        let authorization = format!("Bearer {}", hs256(claims));
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(header.map(|tenant| ("x-tenant-id", tenant)));
        let result = ask(&auth, &headers).await;
        match expected {
            Ok(tenant) => {
                let session = result.unwrap();
                assert_eq!(session.tenant.as_deref(), tenant, "{claims} {header:?}");
            }
            Err(()) => refused(result, "access-denied", denied),
        }
    }
    // What is chosen is what permission rules see.
    let authorization = format!("Bearer {}", hs256(&list));
    let session = ask(&auth, &[("authorization", &authorization), ("x-tenant-id", "t-2")]).await;
    assert_eq!(session.unwrap().vars["x-hasura-tenant-id"], "t-2");
    let session = ask(&auth, &[("authorization", &authorization)]).await;
    assert_eq!(session.unwrap().vars["x-hasura-tenant-id"], "{t-1,t-2}");
}

#[tokio::test]
async fn headers_that_decide_must_not_be_given_twice() {
    let auth = hmac();
    let token = format!("Bearer {}", hs256(&claims()));
    for name in ["authorization", "x-hasura-role", "x-tenant-id"] {
        let value = match name {
            "authorization" => token.as_str(),
            "x-hasura-role" => "user",
            _ => "t-1",
        };
        let mut headers = vec![("authorization", token.as_str())];
        if name != "authorization" {
            headers.push((name, value));
        }
        assert!(ask(&auth, &headers).await.is_ok(), "{name} once");
        headers.push((name, value));
        refused(ask(&auth, &headers).await, "invalid-headers", name);
    }
    for name in ["x-hasura-admin-secret", "x-hasura-access-key", "x-hasura-user-id"] {
        let value = if name == "x-hasura-user-id" { "1" } else { ADMIN };
        let headers = [("x-hasura-admin-secret", ADMIN), (name, value), (name, value)];
        let headers = if name == "x-hasura-user-id" { &headers[..] } else { &headers[1..] };
        refused(ask(&auth, headers).await, "invalid-headers", name);
    }
}

#[tokio::test]
async fn the_admin_secret_opens_everything_and_takes_any_role() {
    let auth = hmac();
    for (name, secret) in [
        ("x-hasura-admin-secret", ADMIN),
        ("X-Hasura-Admin-Secret", "an older secret"),
        ("x-hasura-access-key", ADMIN),
    ] {
        let session = ask(&auth, &[(name, secret)]).await.unwrap();
        assert_eq!((&*session.role, session.authority), ("admin", Authority::Admin));
        assert_eq!(session.proof, Proof::AdminSecret);
    }
    for secret in ["wrong", "", "the admin secre", "the admin secret!"] {
        let result = ask(&auth, &[("x-hasura-admin-secret", secret)]).await;
        refused(result, "access-denied", "invalid x-hasura-admin-secret/x-hasura-access-key");
    }
    // A wrong secret beside a good token is still wrong.
    let token = format!("Bearer {}", hs256(&claims()));
    let result = ask(&auth, &[("authorization", &token), ("x-hasura-admin-secret", "no")]).await;
    refused(result, "access-denied", "invalid x-hasura-admin-secret");
    let result =
        ask(&auth, &[("x-hasura-admin-secret", ADMIN), ("x-hasura-access-key", "no")]).await;
    refused(result, "invalid-headers", "differ");

    let session = ask(
        &auth,
        &[
            ("x-hasura-admin-secret", ADMIN),
            ("x-hasura-role", "editor"),
            ("x-hasura-user-id", "u-7"),
            ("X-Hasura-Tenant-Id", "t-7"),
            ("x-hasura-use-backend-only-permissions", "true"),
            ("content-type", "application/json"),
        ],
    )
    .await
    .unwrap();
    assert_eq!((&*session.role, session.authority), ("editor", Authority::Request));
    assert_eq!(session.tenant.as_deref(), Some("t-7"));
    assert_eq!(session.user.as_deref(), Some("u-7"));
    let names: Vec<&str> = session.vars.keys().map(String::as_str).collect();
    assert_eq!(names, ["x-hasura-tenant-id", "x-hasura-user-id"]);

    let result = ask(&auth, &[("x-hasura-admin-secret", ADMIN), ("x-hasura-a.b", "1")]).await;
    refused(result, "invalid-headers", "no name of a session variable");
    let result = ask(
        &auth,
        &[("x-hasura-admin-secret", ADMIN), ("x-hasura-tenant-id", "a"), ("x-tenant-id", "b")],
    )
    .await;
    refused(result, "access-denied", "X-Tenant-ID");
}

#[tokio::test]
async fn callers_without_proof_have_the_unauthorized_role_or_none() {
    let with_tokens = hmac();
    let missing = "Missing 'Authorization' or 'Cookie' header in JWT authentication mode";
    refused(ask(&with_tokens, &[]).await, "invalid-headers", missing);
    let without_tokens = authenticator(&json!([]));
    let required = "x-hasura-admin-secret/x-hasura-access-key required, but not found";
    refused(ask(&without_tokens, &[]).await, "access-denied", required);
    let nothing = Authenticator::new(&AuthConfig::default()).unwrap();
    refused(ask(&nothing, &[]).await, "access-denied", required);
    let result = ask(&nothing, &[("x-hasura-admin-secret", "")]).await;
    refused(result, "access-denied", "invalid x-hasura-admin-secret");

    let open = Authenticator::new(&AuthConfig {
        unauthorized_role: Some("public".to_owned()),
        ..config(&json!({"type": "HS256", "key": HMAC}))
    })
    .unwrap();
    let session = ask(
        &open,
        &[("x-hasura-role", "admin"), ("x-hasura-user-id", "1"), ("x-hasura-tenant-id", "t")],
    )
    .await
    .unwrap();
    assert_eq!((&*session.role, session.proof), ("public", Proof::Anonymous));
    assert_eq!(session.authority, Authority::Request);
    assert!(session.vars.is_empty() && session.tenant.is_none() && session.user.is_none());
    let result = ask(&open, &[("x-tenant-id", "t-1")]).await;
    refused(result, "access-denied", "X-Tenant-ID");
    let result = ask(&open, &[("x-hasura-admin-secret", "wrong")]).await;
    refused(result, "access-denied", "invalid x-hasura-admin-secret");

    for broken in ["", "a\nb"] {
        let config =
            AuthConfig { unauthorized_role: Some(broken.to_owned()), ..AuthConfig::default() };
        assert!(Authenticator::new(&config).is_err());
    }
    let blank =
        AuthConfig { admin_secrets: vec![Secret::new(String::new())], ..AuthConfig::default() };
    assert!(Authenticator::new(&blank).is_err(), "an empty secret is no secret");
}

#[tokio::test]
async fn tokens_of_the_command_line_are_accepted() {
    for jwt in [
        json!({"type": "HS256", "key": HMAC}),
        json!({"type": "HS512", "key": HMAC, "issuer": "me", "audience": ["x", "y"]}),
        json!({"type": "HS384", "key": HMAC, "claims_namespace": "n", "claims_format": "stringified_json"}),
    ] {
        let config = config(&jwt);
        let request = MintRequest {
            role: "user".to_owned(),
            allowed_roles: vec!["editor".to_owned()],
            vars: BTreeMap::from([
                ("Tenant-Id".to_owned(), "t-1".to_owned()),
                ("x-hasura-user-id".to_owned(), "u'1".to_owned()),
            ]),
            lifetime: Some(Duration::from_secs(60)),
            ..MintRequest::default()
        };
        let token = mint(&config.jwt[0], &request).unwrap();
        let session = bearer(&Authenticator::new(&config).unwrap(), &token).await.unwrap();
        assert_eq!(&*session.role, "user");
        assert_eq!(session.tenant.as_deref(), Some("t-1"));
        assert_eq!(session.user.as_deref(), Some("u'1"));
        assert!(session.expires_at.unwrap() > SystemTime::now());
        let bad = MintRequest { vars: BTreeMap::from([("a b".into(), "1".into())]), ..request };
        assert!(mint(&config.jwt[0], &bad).is_err());
    }
    let public = config(&json!({"type": "ES256", "key": EC256.public}));
    assert!(mint(&public.jwt[0], &MintRequest::default()).is_err());
}
