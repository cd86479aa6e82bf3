//! `ringfence token`: a token for trying things, signed with the first HMAC
//! key of the settings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::settings::SettingsArgs;
use super::{CliError, print};
use crate::base::Secret;
use crate::config::Setting as _;
use crate::session::auth_config::{ClaimsFormat, ClaimsSource, KeySource, KeyType};
use crate::session::{AuthConfig, JwtConfig};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The role; give it again for more allowed roles, the first is the default
    #[arg(long, required = true)]
    role: Vec<String>,
    /// The tenant (x-hasura-tenant-id)
    #[arg(long)]
    tenant: Option<String>,
    /// The user (x-hasura-user-id)
    #[arg(long)]
    user: Option<String>,
    /// How long the token is valid, as 15m, 8h or 30d
    #[arg(long, default_value = "8h")]
    expires: String,
    /// Another session variable, as in --claim x-hasura-org-id=7
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
}

pub(super) fn run(settings: &SettingsArgs, args: &TokenArgs) -> Result<(), CliError> {
    let config = settings.load(Vec::new())?;
    let auth = AuthConfig::try_from(&config.auth)?;
    let mut claims = Vec::new();
    for text in &args.claim {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| CliError::Usage(format!("--claim {text}: expected NAME=VALUE")))?;
        if !name.to_ascii_lowercase().starts_with("x-hasura-") {
            return Err(CliError::Usage(format!(
                "--claim {name}: the names of session variables begin with x-hasura-"
            )));
        }
        claims.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let valid_for = Duration::parse(&args.expires)
        .map_err(|message| CliError::Usage(format!("--expires: {message}")))?;
    let token = mint(
        &auth,
        &TokenRequest {
            roles: args.role.clone(),
            tenant: args.tenant.clone(),
            user: args.user.clone(),
            claims,
            valid_for,
        },
    )?;
    print(&format!("{}\n", token.expose()))
}

/// Whose token it shall be.
#[derive(Debug, Clone)]
pub(super) struct TokenRequest {
    /// The first is the default role.
    pub(super) roles: Vec<String>,
    pub(super) tenant: Option<String>,
    pub(super) user: Option<String>,
    pub(super) claims: Vec<(String, String)>,
    pub(super) valid_for: Duration,
}

/// Signs a token that the configured server accepts.
pub(super) fn mint(auth: &AuthConfig, request: &TokenRequest) -> Result<Secret<String>, CliError> {
    let signing = auth.jwt.iter().find_map(|issuer| match &issuer.key {
        KeySource::Fixed { kind, key } => Some((issuer, algorithm(*kind)?, key)),
        KeySource::Url(_) => None,
    });
    let Some((issuer, algorithm, key)) = signing else {
        return Err(CliError::Usage(
            "no key to sign with: the settings need an auth.jwt of type HS256, HS384 or HS512 \
             (in the folder of `ringfence dev`: `. .ringfence/dev.env` first)"
                .to_owned(),
        ));
    };
    let payload = payload(issuer, request)?;
    let key = EncodingKey::from_secret(key.expose().as_bytes());
    Ok(Secret::new(jsonwebtoken::encode(&Header::new(algorithm), &payload, &key)?))
}

fn algorithm(kind: KeyType) -> Option<Algorithm> {
    match kind {
        KeyType::HS256 => Some(Algorithm::HS256),
        KeyType::HS384 => Some(Algorithm::HS384),
        KeyType::HS512 => Some(Algorithm::HS512),
        _ => None,
    }
}

fn payload(issuer: &JwtConfig, request: &TokenRequest) -> Result<Value, CliError> {
    let mut variables = Map::new();
    variables.insert("x-hasura-allowed-roles".to_owned(), json!(request.roles));
    variables.insert("x-hasura-default-role".to_owned(), json!(request.roles.first()));
    for (name, value) in
        [("x-hasura-tenant-id", &request.tenant), ("x-hasura-user-id", &request.user)]
    {
        if let Some(value) = value {
            variables.insert(name.to_owned(), json!(value));
        }
    }
    for (name, value) in &request.claims {
        variables.insert(name.clone(), json!(value));
    }
    let shaped = |format: &ClaimsFormat| match format {
        ClaimsFormat::Json => Value::Object(variables.clone()),
        ClaimsFormat::StringifiedJson => json!(Value::Object(variables.clone()).to_string()),
    };
    let mut top = Map::new();
    match &issuer.claims {
        ClaimsSource::Namespace(name, format) => {
            top.insert(name.clone(), shaped(format));
        }
        ClaimsSource::Path(path, format) => {
            // Only paths of plain keys can be written back.
            let path = path.to_string();
            let keys: Vec<&str> = path.trim_start_matches("$.").split('.').collect();
            if path.contains(['[', '\'']) || keys.iter().any(|key| key.is_empty()) {
                return Err(CliError::Usage(format!(
                    "a token for claims_namespace_path {path} cannot be made here"
                )));
            }
            let nested =
                keys.iter().rev().fold(shaped(format), |value, key| json!({ *key: value }));
            if let Value::Object(object) = nested {
                top.extend(object);
            }
        }
        ClaimsSource::Map(_) => {
            return Err(CliError::Usage(
                "a token for an issuer with claims_map cannot be made here".to_owned(),
            ));
        }
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| CliError::Usage("the clock of this machine is before 1970".to_owned()))?;
    top.insert("iat".to_owned(), json!(now.as_secs()));
    top.insert("exp".to_owned(), json!((now + request.valid_for).as_secs()));
    if let Some(user) = &request.user {
        top.insert("sub".to_owned(), json!(user));
    }
    if let Some(name) = &issuer.issuer {
        top.insert("iss".to_owned(), json!(name));
    }
    if let Some(audience) = issuer.audience.first() {
        top.insert("aud".to_owned(), json!(audience));
    }
    Ok(Value::Object(top))
}
