//! `POST` and `GET /v1/graphql`: from the envelope to operations.

use axum::extract::Query;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::respond::Refusal;
use crate::base::{ApiError, Code, JsonPath};
use crate::engine::{GraphqlRequest, Marks};

/// Longer names of operations are refused unseen: they travel into the log and
/// into errors.
const NAME_BYTES: usize = 256;

/// An operation, or what is wrong with what it asks for beside its document:
/// that is told as its own errors are.
pub(super) type Read = Result<GraphqlRequest, ApiError>;

/// What a body asks for.
#[derive(Debug)]
pub(super) enum Envelope {
    One(Read),
    /// Each element stands for itself, also when it is malformed.
    Batch(Vec<Read>),
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    query: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "operationName")]
    operation_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    variables: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

/// What a client may ask for beside the operation; the rest is for others.
#[derive(Deserialize)]
struct Extensions<'a> {
    /// The id of a mutation's transaction.
    #[serde(borrow, default)]
    transaction: Option<&'a RawValue>,
    /// What states of a subscription showed, and their hashes.
    #[serde(borrow, default)]
    live: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LiveMarks<'a> {
    /// Of the state that the client has.
    #[serde(borrow, default)]
    hash: Option<&'a RawValue>,
    /// Whether each position is told, also of the same state.
    #[serde(borrow, default)]
    positions: Option<&'a RawValue>,
    /// Whether a stream tells which rows have left.
    #[serde(borrow, default)]
    left: Option<&'a RawValue>,
}

/// Only JSON is read. Other types are also what a form on a foreign page can
/// send without asking.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |message: &'static str| {
        let error = ApiError::new(Code::UnsupportedMediaType, message);
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
    };
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return refuse("send one header Content-Type: application/json");
    };
    let text = value.to_str().unwrap_or("");
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or("").trim();
    if !name.eq_ignore_ascii_case("application/json") {
        return refuse("the body must be JSON; send Content-Type: application/json");
    }
    for part in parts {
        let charset =
            part.trim().split_once('=').filter(|(k, _)| k.eq_ignore_ascii_case("charset"));
        if let Some((_, charset)) = charset {
            let charset = charset.trim_matches('"');
            if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("utf8") {
                return refuse("the body must be UTF-8");
            }
        }
    }
    Ok(())
}

/// Reads the body of a `POST`.
pub(super) fn read_body(body: &[u8], batch_limit: usize) -> Result<Envelope, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let message = format!("the body is not UTF-8: invalid at byte {}", error.valid_up_to());
        ApiError::new(Code::InvalidJson, message)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.trim_ascii_start().bytes().next();
    if first != Some(b'[') {
        return read_operation(text).map(Envelope::One);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    if parts.len() > batch_limit {
        let message = format!(
            "the batch has {} operations; at most {batch_limit} are allowed (limits.batch)",
            parts.len()
        );
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let read = |(index, part): (usize, &&RawValue)| {
        read_one(part.get(), &JsonPath::root().index(index)).flatten()
    };
    Ok(Envelope::Batch(parts.iter().enumerate().map(read).collect()))
}

fn json_error(error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or("");
    let message =
        format!("the body is not JSON: {what} (line {}, column {})", error.line(), error.column());
    ApiError::new(Code::InvalidJson, message)
}

fn shape(path: JsonPath, message: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::ParseFailed, message).at(path)
}

fn kind(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The value of `T` in an object of a request.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue, path: &JsonPath) -> Result<T, ApiError> {
    if !raw.get().starts_with('{') {
        return Err(shape(path.clone(), format!("expected an object, got {}", kind(raw))));
    }
    serde_json::from_str(raw.get()).map_err(|error| shape(path.clone(), without_place(&error)))
}

/// Without line and column, which mean nothing to whoever wrote no text.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or("").replace('`', "'")
}

/// What is asked for beside an operation. A `transaction` that is no boolean
/// is somebody else's.
fn asked(mut request: GraphqlRequest, raw: Option<&RawValue>, path: &JsonPath) -> Read {
    let Some(raw) = raw else { return Ok(request) };
    let path = path.clone().key("extensions");
    let Extensions { transaction, live } = object(raw, &path)?;
    request.wants_transaction = transaction.is_some_and(|raw| raw.get() == "true");
    let Some(live) = live else { return Ok(request) };
    let path = path.key("live");
    let LiveMarks { hash, positions, left } = object(live, &path)?;
    let known = match hash {
        None => None,
        Some(raw) if raw.get().starts_with('"') => {
            let text = serde_json::from_str(raw.get());
            Some(text.map_err(|error| json_error(&error).at(path.clone().key("hash")))?)
        }
        Some(raw) => {
            let message = format!("expected a string, got {}", kind(raw));
            return Err(shape(path.key("hash"), message));
        }
    };
    let flag = |raw: Option<&RawValue>, key: &'static str| match raw.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let found = raw.map_or("null", kind);
            Err(shape(path.clone().key(key), format!("expected a boolean, got {found}")))
        }
    };
    let (positions, left) = (flag(positions, "positions")?, flag(left, "left")?);
    request.marks = Some(Marks { known, positions, left });
    Ok(request)
}

fn read_one(text: &str, path: &JsonPath) -> Result<Read, ApiError> {
    let fields: Fields<'_> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        Err(error) if !error.is_data() => return Err(json_error(&error)),
        Err(error) => {
            // A broken rest must not hide behind the wrong shape of the start.
            let raw: &RawValue = serde_json::from_str(text).map_err(|error| json_error(&error))?;
            if !raw.get().starts_with('{') {
                let message = format!("expected an object with the key 'query', got {}", kind(raw));
                return Err(shape(path.clone(), message));
            }
            return Err(shape(path.clone(), without_place(&error)));
        }
    };
    let Some(query) = fields.query else {
        return Err(shape(path.clone(), "the key 'query' was not present"));
    };
    let string = |raw: &RawValue, key: &'static str| -> Result<String, ApiError> {
        if raw.get().starts_with('"') {
            // What the first pass accepts as text can still hold a lone surrogate.
            return serde_json::from_str(raw.get()).map_err(|error| json_error(&error));
        }
        Err(shape(path.clone().key(key), format!("expected a string, got {}", kind(raw))))
    };
    let query = string(query, "query")?;
    let operation_name = match fields.operation_name {
        None => None,
        Some(raw) => operation_name(string(raw, "operationName")?, path)?,
    };
    let variables = match fields.variables {
        None => None,
        Some(raw) if raw.get().starts_with('{') => Some(raw.to_owned()),
        Some(raw) => {
            let message = format!("expected an object, got {}", kind(raw));
            return Err(shape(path.clone().key("variables"), message));
        }
    };
    let request = GraphqlRequest { query, operation_name, variables, ..GraphqlRequest::default() };
    Ok(asked(request, fields.extensions, path))
}

/// Reads one operation.
pub(super) fn read_operation(text: &str) -> Result<Read, ApiError> {
    read_one(text, &JsonPath::root())
}

/// Empty is none.
fn operation_name(name: String, path: &JsonPath) -> Result<Option<String>, ApiError> {
    let is_name = name.len() <= NAME_BYTES
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        let message = format!(
            "expected the name of an operation: letters, digits and _, at most {NAME_BYTES} bytes"
        );
        return Err(shape(path.clone().key("operationName"), message));
    }
    Ok(Some(name).filter(|name| !name.is_empty()))
}

/// Reads the query string of a `GET`.
pub(super) fn read_query(uri: &Uri) -> Result<Read, ApiError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
        ApiError::new(Code::BadRequest, "the query string of the URL cannot be read")
    })?;
    let mut query = None;
    let mut operation_name = None;
    let mut variables = None;
    let mut extensions = None;
    for (name, value) in pairs {
        let place = match name.as_str() {
            "query" => &mut query,
            "operationName" => &mut operation_name,
            "variables" => &mut variables,
            "extensions" => &mut extensions,
            _ => continue,
        };
        if place.replace(value).is_some() {
            let message = format!("the parameter '{name}' is given twice");
            return Err(shape(JsonPath::root(), message));
        }
    }
    let Some(query) = query else {
        return Err(shape(JsonPath::root(), "the parameter 'query' was not present"));
    };
    let variables = parameter("variables", variables.as_deref())?;
    let extensions = parameter("extensions", extensions.as_deref())?;
    let operation_name = match operation_name {
        None => None,
        Some(name) => self::operation_name(name, &JsonPath::root())?,
    };
    let request = GraphqlRequest {
        query,
        operation_name,
        variables,
        queries_only: true,
        ..GraphqlRequest::default()
    };
    let mut read = asked(request, extensions.as_deref(), &JsonPath::root());
    // An event stream of a browser comes back with the URL of its first time,
    // whatever it was sent meanwhile.
    if let Ok(GraphqlRequest { marks: Some(marks), .. }) = &mut read {
        marks.known = None;
    }
    Ok(read)
}

/// A parameter of a URL that is a JSON object. Empty is none.
fn parameter(name: &'static str, text: Option<&str>) -> Result<Option<Box<RawValue>>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !matches!(*text, "" | "null")) else {
        return Ok(None);
    };
    let path = JsonPath::root().key(name);
    let raw: Box<RawValue> = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let message = format!("'{name}' is not JSON: {error}");
            return Err(ApiError::new(Code::InvalidJson, message).at(path));
        }
    };
    if !raw.get().starts_with('{') {
        return Err(shape(path, format!("expected an object, got {}", kind(&raw))));
    }
    Ok(Some(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(body: &[u8]) -> (String, String, String) {
        let error = match read_body(body, 2) {
            Ok(Envelope::One(read)) => read.expect_err("malformed"),
            Ok(Envelope::Batch(_)) => panic!("a batch"),
            Err(error) => error,
        };
        (error.code.to_string(), error.path.to_string(), error.message.to_string())
    }

    #[test]
    fn malformed_bodies_say_what_is_wrong() {
        for (body, code, path, message) in [
            (&b""[..], "invalid-json", "$", "not JSON"),
            (b"\xff\xfe", "invalid-json", "$", "not UTF-8: invalid at byte 0"),
            (b"{\"query\":\"\xc3\"}", "invalid-json", "$", "not UTF-8: invalid at byte 10"),
            (b"{\"query\":", "invalid-json", "$", "EOF"),
            (b"{\"query\":\"{a}\"} x", "invalid-json", "$", "trailing"),
            (b"{}", "parse-failed", "$", "the key 'query' was not present"),
            (b"{\"query\":null}", "parse-failed", "$", "the key 'query' was not present"),
            (b"{\"query\":1}", "parse-failed", "$.query", "expected a string, got a number"),
            (b"{\"query\":\"\\ud800\"}", "invalid-json", "$", "hex escape"),
            (b"7", "parse-failed", "$", "expected an object with the key 'query', got a number"),
            (b"\"{a}\"", "parse-failed", "$", "got a string"),
            (b"{\"query\":\"a\",\"query\":\"b\"}", "parse-failed", "$", "duplicate field 'query'"),
            (
                b"{\"query\":\"a\",\"variables\":[]}",
                "parse-failed",
                "$.variables",
                "expected an object, got a list",
            ),
            (
                b"{\"query\":\"a\",\"operationName\":{}}",
                "parse-failed",
                "$.operationName",
                "expected a string, got an object",
            ),
            (
                b"{\"query\":\"{a}\",\"operationName\":\"a\\n2026 forged\"}",
                "parse-failed",
                "$.operationName",
                "letters, digits and _",
            ),
            (
                b"{\"query\":\"{a}\",\"operationName\":\"1a\"}",
                "parse-failed",
                "$.operationName",
                "expected the name",
            ),
            (b"[{},{},{}]", "bad-request", "$", "at most 2"),
            (
                b"{\"query\":\"{a}\",\"extensions\":[]}",
                "parse-failed",
                "$.extensions",
                "expected an object, got a list",
            ),
            (
                b"{\"query\":\"{a}\",\"extensions\":{\"live\":\"x\"}}",
                "parse-failed",
                "$.extensions.live",
                "expected an object, got a string",
            ),
            (
                b"{\"query\":\"{a}\",\"extensions\":{\"live\":[]}}",
                "parse-failed",
                "$.extensions.live",
                "expected an object, got a list",
            ),
            (
                b"{\"query\":\"{a}\",\"extensions\":{\"live\":{\"hash\":5}}}",
                "parse-failed",
                "$.extensions.live.hash",
                "expected a string, got a number",
            ),
            (
                b"{\"query\":\"{a}\",\"extensions\":{\"live\":{\"positions\":\"yes\"}}}",
                "parse-failed",
                "$.extensions.live.positions",
                "expected a boolean, got a string",
            ),
        ] {
            let found = error_of(body);
            let shown = String::from_utf8_lossy(body).into_owned();
            assert_eq!((found.0.as_str(), found.1.as_str()), (code, path), "{shown}");
            assert!(found.2.contains(message), "{shown}: {}", found.2);
        }
    }

    #[test]
    fn variables_keep_their_text() {
        let body = br#"{"query":"{a}","variables":{"n":12345678901234567890.120},"extensions":{}}"#;
        let Ok(Envelope::One(Ok(request))) = read_body(body, 2) else { panic!("one request") };
        let variables = request.variables.expect("variables");
        assert_eq!(variables.get(), r#"{"n":12345678901234567890.120}"#);
    }

    #[test]
    fn extensions_of_others_are_left_to_them() {
        for (extensions, transaction, known) in [
            ("null", false, None),
            (r#"{"persistedQuery":{"version":1},"transaction":null,"live":null}"#, false, None),
            (r#"{"transaction":{"name":"mine"}}"#, false, None),
            (r#"{"transaction":true,"live":{}}"#, true, Some(None)),
            (r#"{"live":{"hash":null,"other":1}}"#, false, Some(None)),
            (r#"{"live":{"hash":"\u0061"}}"#, false, Some(Some("a"))),
        ] {
            let body = format!(r#"{{"query":"{{a}}","extensions":{extensions}}}"#);
            let request = read_operation(&body).expect(&body).expect(&body);
            let marks = request.marks.as_ref().map(|marks| marks.known.as_deref());
            assert_eq!((request.wants_transaction, marks), (transaction, known), "{extensions}");
        }
    }

    #[test]
    fn elements_of_a_batch_fail_alone() {
        let Ok(Envelope::Batch(batch)) = read_body(br#"[{"query":"{a}"},{"query":1}]"#, 2) else {
            panic!("a batch")
        };
        assert!(batch[0].is_ok());
        let error = batch[1].as_ref().expect_err("no string");
        assert_eq!(error.path.to_string(), "$[1].query");
    }

    #[test]
    fn a_million_brackets_are_refused_without_recursion() {
        let mut body = b"{\"query\":\"{a}\",\"variables\":{\"a\":".to_vec();
        body.extend(std::iter::repeat_n(b'[', 1_000_000));
        assert_eq!(error_of(&body).0, "invalid-json");
    }
}
