//! Floor 5: the façade that everybody above calls.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::base::ApiError;

/// One GraphQL request, whatever carried it.
#[derive(Debug)]
pub struct GraphqlRequest {
    pub query: String,
    pub operation_name: Option<String>,
    /// The variables object as it was sent, so that numbers keep their digits.
    pub variables: Option<Box<RawValue>>,
}

/// `data` is JSON text made by Postgres and is never decoded.
#[derive(Debug, Default)]
pub struct GraphqlResponse {
    pub data: Option<Bytes>,
    pub errors: Vec<ApiError>,
}
