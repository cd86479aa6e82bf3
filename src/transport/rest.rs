//! `/api/rest/*`: addresses that the metadata gives to stored operations.
//!
//! An answer is the bare data; an error has the shape and status of the
//! administrator's API, as in Hasura.

use axum::body::Body;
use axum::extract::Query;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use super::respond::{Refusal, set_kept};
use crate::base::{ApiError, Code};
use crate::engine::{GraphqlRequest, GraphqlResponse};
use crate::graphql::TypeExpr;
use crate::metadata::collection::RestMethod;
use crate::schema::tracked::StoredOperations;
use crate::schema::tracked::stored::{Endpoint, Route};

pub(super) const PREFIX: &str = "/api/rest/";

/// Scalars whose values JSON writes as numbers.
const NUMBERS: [&str; 8] =
    ["Int", "Float", "smallint", "bigint", "numeric", "float8", "Number", "Double"];

fn refuse(status: StatusCode, code: Code, message: impl Into<String>) -> Refusal {
    let status = status.as_u16();
    super::admin::refusal(ApiError::new(code, message.into()).with_status(status))
}

fn bad(message: impl Into<String>) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, Code::BadRequest, message)
}

/// What a request to a stored operation brings.
pub(super) struct RestRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) body: &'a [u8],
}

/// The GraphQL request that an address stands for.
pub(super) fn request(
    stored: &StoredOperations,
    rest: &RestRequest<'_>,
) -> Result<GraphqlRequest, Refusal> {
    let path = rest.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let path: Vec<String> = path
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned))
        .collect::<Result<_, _>>()
        .map_err(|_| bad("the path is not UTF-8"))?;
    let method = match *rest.method {
        Method::GET => RestMethod::Get,
        Method::POST => RestMethod::Post,
        Method::PUT => RestMethod::Put,
        Method::DELETE => RestMethod::Delete,
        Method::PATCH => RestMethod::Patch,
        _ => return Err(Refusal::method("GET, POST, PUT, DELETE, PATCH", "method not supported")),
    };
    let (endpoint, values) = match stored.route(method, &path) {
        Route::Endpoint(endpoint, values) => (endpoint, values),
        Route::Nothing => return Err(super::admin::not_served()),
        Route::OtherMethods(methods) => {
            let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
            let message = format!("Allowed methods: {}", names.join(", "));
            return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, message));
        }
        Route::Ambiguous => {
            let message = "Multiple endpoints match request";
            return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, Code::Unexpected, message));
        }
    };
    let variables = variables(endpoint, rest, values)?;
    Ok(GraphqlRequest {
        query: endpoint.query.to_string(),
        variables: Some(variables),
        ..GraphqlRequest::default()
    })
}

/// Variables from the body, the query and the path; the later win.
fn variables(
    endpoint: &Endpoint,
    rest: &RestRequest<'_>,
    values: Vec<(&str, String)>,
) -> Result<Box<RawValue>, Refusal> {
    let mut all: IndexMap<String, Box<RawValue>> = IndexMap::new();
    if !rest.body.trim_ascii().is_empty() {
        let body: IndexMap<String, Box<RawValue>> =
            serde_json::from_slice(rest.body).map_err(|error| {
                bad(format!("the body must be a JSON object of variables: {error}"))
            })?;
        for (name, value) in body {
            expected(endpoint, &name)?;
            all.insert(name, value);
        }
    }
    let query: Query<Vec<(String, String)>> = Query::try_from_uri(rest.uri)
        .map_err(|error| bad(format!("the query string cannot be read: {error}")))?;
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
    for (name, text) in query.0.into_iter().chain(values) {
        let ty = expected(endpoint, &name)?;
        match written(&name, ty, &text)? {
            Some(value) => {
                all.insert(name, value);
            }
            None => {
                all.shift_remove(&name);
            }
        }
    }
    serde_json::value::to_raw_value(&all).map_err(|error| bad(error.to_string()))
}

fn expected<'a>(endpoint: &'a Endpoint, name: &str) -> Result<&'a TypeExpr, Refusal> {
    endpoint.variable(name).ok_or_else(|| bad(format!("Unexpected variable {name}")))
}

/// A value out of a URL: numbers and booleans where the variable is one,
/// otherwise a text. `None` stands for no value.
fn written(name: &str, ty: &TypeExpr, text: &str) -> Result<Option<Box<RawValue>>, Refusal> {
    let TypeExpr::Named { name: ty, non_null } = ty else {
        return Err(bad(format!(
            "List variables are not currently supported in URL or Query parameters. (Variable {name}, with value {text:?})"
        )));
    };
    let is_boolean = matches!(ty.as_ref(), "Boolean" | "Bool");
    if text.is_empty() && is_boolean {
        // A key by itself says yes.
        return Ok(Some(RawValue::TRUE.to_owned()));
    }
    if text.is_empty() && !non_null {
        return Ok(None);
    }
    let is_literal = match text {
        "true" | "false" => is_boolean,
        // Its text is passed on, so that no digit is lost.
        _ => NUMBERS.contains(&ty.as_ref()) && text.parse::<serde_json::Number>().is_ok(),
    };
    let value = if is_literal {
        RawValue::from_string(text.to_owned())
    } else {
        serde_json::value::to_raw_value(text)
    };
    value.map(Some).map_err(|error| bad(error.to_string()))
}

/// The data, or the first error.
pub(super) fn respond(answer: GraphqlResponse) -> Result<Response, Refusal> {
    if let Some(error) = answer.errors.into_iter().next() {
        return Err(super::admin::refusal(error));
    }
    let mut response = Response::new(Body::from(answer.data.unwrap_or_default()));
    let headers = response.headers_mut();
    if let Some(kept) = &answer.kept {
        set_kept(headers, kept);
    }
    super::respond::set_cookies(headers, answer.cookies);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    // Rows of one caller must not be kept for another.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
