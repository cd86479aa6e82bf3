//! Who may call: the admin secret, tokens, and callers without either.

use super::setting::{same, section};
use super::value::JwtSecrets;
use crate::base::Secret;

section! {
    /// How callers prove who they are. Without an admin secret nobody is an administrator;
    /// there is no open mode.
    AuthSettings "Authentication" "auth." {
        /// The secret of the `X-Hasura-Admin-Secret` header.
        admin_secret: Option<Secret<String>> = "", env ["HASURA_GRAPHQL_ADMIN_SECRET" => same],
            check not_blank;
        /// A former admin secret that is still accepted, while it is replaced everywhere.
        old_admin_secret: Option<Secret<String>> = "", check not_blank;
        /// How tokens are verified: what `HASURA_GRAPHQL_JWT_SECRET` takes; in the file a table
        /// `[auth.jwt]`, or `[[auth.jwt]]` for several issuers.
        jwt: JwtSecrets = "",
            env ["HASURA_GRAPHQL_JWT_SECRET" => same, "HASURA_GRAPHQL_JWT_SECRETS" => same];
        /// The role of callers who send neither a token nor the admin secret; without it they are
        /// refused.
        unauthorized_role: Option<String> = "", env ["HASURA_GRAPHQL_UNAUTHORIZED_ROLE" => same];
        /// Accept HMAC keys under 32 bytes. For trials only.
        allow_short_jwt_keys: bool = "false";
        /// Whether the role `admin` of a token is the administrator, as in Hasura. Otherwise it is
        /// an ordinary role under row-level security.
        jwt_admin: bool = "false";
        /// Claims that hold the tenant, the first one present wins.
        tenant_claims: Vec<String> = "x-hasura-tenant-id,tenant_id", check names;
        /// Claims that hold the user, the first one present wins.
        user_claims: Vec<String> = "x-hasura-user-id,user_id,sub", check names;
    }
}

fn names(names: &[String]) -> Result<(), String> {
    if names.is_empty() { Err("must name at least one claim".to_owned()) } else { Ok(()) }
}

fn not_blank(secret: &Option<Secret<String>>) -> Result<(), String> {
    match secret {
        Some(secret) if secret.expose().trim().is_empty() => Err("must not be blank".to_owned()),
        _ => Ok(()),
    }
}
