//! `/v1/metadata`, `/v2/query`, `/v1/query`: the administrator's API over HTTP.
//!
//! An error is `{path, error, code[, internal]}` with a status that says so, as
//! in Hasura v2: 400, or 401 without the secret, 409 for a stale version, 500
//! for a fault.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;

use super::respond::Refusal;
use crate::admin::command::as_json;
use crate::admin::{Endpoint, Project};
use crate::base::{ApiError, Code};
use crate::session::Session;

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

pub(super) fn respond(answer: Box<RawValue>) -> Response {
    json(StatusCode::OK, String::from(Box::<str>::from(answer)))
}

pub(super) fn respond_error(refusal: Refusal) -> Response {
    let mut response = json(refusal.status, as_json(&refusal.error).to_string());
    refusal.mark(response.headers_mut());
    response
}

fn json(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
