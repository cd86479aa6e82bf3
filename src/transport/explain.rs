//! `/v1/graphql/explain`: what a query compiles to and how Postgres would run
//! it, for the administrator, in Hasura's form.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::authn::Authenticator;
use super::graphql::read_operation;
use crate::base::{ApiError, Code, JsonPath};
use crate::engine::Engine;
use crate::metadata::document::parse_text;
use crate::session::{Authority, Session, SessionVars};

#[derive(Deserialize)]
struct Body {
    /// A request as `/v1/graphql` takes it.
    query: Box<RawValue>,
    /// Session variables of the caller to explain it for; the administrator
    /// without `x-hasura-role`.
    #[serde(default)]
    user: Option<SessionVars>,
    #[serde(default)]
    is_relay: Option<bool>,
}

pub(super) async fn run(
    engine: &Engine,
    auth: &Authenticator,
    session: &Session,
    body: &[u8],
) -> Result<Box<RawValue>, ApiError> {
    if session.authority != Authority::Admin {
        let error = ApiError::new(Code::AccessDenied, "restricted access : admin only");
        return Err(error.with_status(400));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::new(Code::InvalidJson, format!("invalid json: {error}")))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| ApiError::new(Code::InvalidJson, format!("invalid json: {error}")))?;
    let Body { query, user, is_relay } = parse_text(text)?;
    if is_relay == Some(true) {
        return Err(ApiError::new(Code::NotSupported, "Relay is not served")
            .at(JsonPath::root().key("is_relay")));
    }
    let request = read_operation(query.get())??;
    let caller = auth.acting(user.unwrap_or_default())?;
    let explained = engine.explain_operation(&caller, &request).await?;
    to_raw_value(&explained).map_err(|error| ApiError::internal(error.to_string()))
}
