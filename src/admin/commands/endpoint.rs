//! REST endpoints.

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, args_path, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};
use crate::metadata::NonEmpty;
use crate::metadata::collection::RestEndpoint;

pub(super) async fn create(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let endpoint: RestEndpoint = arguments(args)?;
    if endpoint.methods.is_empty() {
        return Err(ApiError::new(Code::ParseFailed, "at least one method must be named")
            .at(args_path().key("methods")));
    }
    let endpoints = &mut draft.metadata.rest_endpoints;
    if endpoints.iter().any(|other| other.name == endpoint.name) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!("Endpoint with name: {} already exists", endpoint.name),
        ));
    }
    endpoints.push(endpoint);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct Drop {
    name: NonEmpty,
}

pub(super) async fn drop(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let drop: Drop = arguments(args)?;
    let endpoints = &mut draft.metadata.rest_endpoints;
    let before = endpoints.len();
    endpoints.retain(|endpoint| endpoint.name != drop.name);
    if endpoints.len() == before {
        return Err(ApiError::new(
            Code::NotExists,
            format!("endpoint with name: {} does not exist", drop.name),
        ));
    }
    draft.check(None).await?;
    success()
}
