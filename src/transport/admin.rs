//! `/v1/metadata`, `/v2/query`, `/v1/query`: the administrator's API over HTTP;
//! and what Hasura's CLI and console ask beside it.
//!
//! An error is `{path, error, code[, internal]}` with a status that says so, as
//! in Hasura v2: 400, or 401 without the secret, 409 for a stale version, 500
//! for a fault.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::probes::DIALECT;
use super::respond::Refusal;
use crate::admin::command::as_json;
use crate::admin::{Endpoint, Project};
use crate::base::{ApiError, Code};
use crate::config::Config;
use crate::session::{Authority, Session};

pub(super) fn not_served() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ApiError::new(Code::NotFound, "Endpoint not found"))
}

/// The status that an error has here.
pub(super) fn refusal(error: ApiError) -> Refusal {
    let status = error.status.unwrap_or(match error.code {
        Code::PermissionDenied | Code::PermissionError => 400,
        code => code.status(),
    });
    Refusal::new(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), error)
}

pub(super) async fn run(
    project: &Project,
    session: &Session,
    path: &str,
    body: &[u8],
) -> Result<Box<RawValue>, ApiError> {
    let endpoint = match path {
        "/v1/metadata" => Endpoint::V1Metadata,
        "/v2/query" => Endpoint::V2Query,
        _ => Endpoint::V1Query,
    };
    let body: &RawValue = serde_json::from_slice(body)
        .map_err(|error| ApiError::new(Code::InvalidJson, format!("invalid json: {error}")))?;
    project.execute(session, endpoint, body).await
}

/// Where Hasura's CLI asks for a dump.
pub(super) const PG_DUMP: &str = "/v1alpha1/pg_dump";

pub(super) async fn dump(
    project: &Project,
    session: &Session,
    body: &[u8],
) -> Result<Response, ApiError> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::new(Code::InvalidJson, format!("invalid json: {error}")))?;
    let text = project.dump(session, &body).await?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/sql"));
    Ok(response)
}

/// The settings that Hasura tells of, under its names.
pub(super) fn about(config: &Config) -> Value {
    let interval = config.live.poll_interval.as_secs_f64();
    json!({
        "version": DIALECT,
        "is_function_permissions_inferred": config.schema.infer_function_permissions,
        "is_remote_schema_permissions_enabled": false,
        "is_admin_secret_set": config.auth.admin_secret.is_some(),
        "is_auth_hook_set": false,
        "is_jwt_set": !config.auth.jwt.expose().is_empty(),
        "jwt": [],
        "is_allow_list_enabled": config.schema.enable_allowlist,
        "live_queries": {"batch_size": 1, "refetch_delay": interval},
        "streaming_queries": {"batch_size": 1, "refetch_delay": interval},
        "console_assets_dir": null,
        "experimental_features": [],
        "is_prometheus_metrics_enabled": config.telemetry.metrics,
        "is_apollo_federation_enabled": false,
    })
}

pub(super) fn config(session: &Session, about: &Value) -> Result<Response, Refusal> {
    if session.authority != Authority::Admin {
        let message = "restricted access : admin only";
        return Err(refusal(ApiError::new(Code::AccessDenied, message).with_status(400)));
    }
    Ok(json_text(StatusCode::OK, about.to_string()))
}

pub(super) fn respond(answer: Box<RawValue>) -> Response {
    json_text(StatusCode::OK, String::from(Box::<str>::from(answer)))
}

pub(super) fn respond_error(refusal: Refusal) -> Response {
    let mut response = json_text(refusal.status, as_json(&refusal.error).to_string());
    refusal.mark(response.headers_mut());
    response
}

fn json_text(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
