//! The one error shape that leaves the server.
//!
//! Each floor has its own typed error; beside it stands the one conversion
//! into [`ApiError`], which is where the wording lives.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::code::Code;

/// One step of a [`JsonPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathSegment {
    Key(Cow<'static, str>),
    Index(usize),
}

/// A path in Hasura's notation: `$.selectionSet.author.args.where._or[0].id`.
/// Keys that are no plain names are printed as `['odd key']`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(Vec<PathSegment>);

impl JsonPath {
    /// `$`
    pub const fn root() -> Self {
        JsonPath(Vec::new())
    }

    pub fn key(mut self, key: impl Into<Cow<'static, str>>) -> Self {
        self.push_key(key);
        self
    }

    pub fn index(mut self, index: usize) -> Self {
        self.0.push(PathSegment::Index(index));
        self
    }

    pub fn push_key(&mut self, key: impl Into<Cow<'static, str>>) {
        self.0.push(PathSegment::Key(key.into()));
    }

    pub fn push_index(&mut self, index: usize) {
        self.0.push(PathSegment::Index(index));
    }

    pub fn pop(&mut self) {
        self.0.pop();
    }

    /// This path, then another.
    #[must_use]
    pub fn join(&self, below: &JsonPath) -> Self {
        let mut out = self.clone();
        out.0.extend(below.0.iter().cloned());
        out
    }

    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }
}

fn is_plain_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    matches!(bytes.next(), Some(b'A'..=b'Z' | b'a'..=b'z' | b'_'))
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for segment in &self.0 {
            match segment {
                PathSegment::Key(key) if is_plain_key(key) => write!(f, ".{key}")?,
                PathSegment::Key(key) => {
                    write!(f, "['{}']", key.replace('\\', "\\\\").replace('\'', "\\'"))?
                }
                PathSegment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What a client is told: `{message, extensions: {path, code[, internal]}}`.
///
/// `detail` never leaves the server; it goes to the log beside the request id.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub code: Code,
    pub message: Cow<'static, str>,
    pub path: JsonPath,
    /// More for the administrator, who alone gets it.
    pub internal: Option<Box<serde_json::Value>>,
    /// What the handler of an action says in the place of path and code.
    pub extensions: Option<Box<Extensions>>,
    /// The HTTP status where it is not the code's.
    pub status: Option<u16>,
    /// For the log only: the cause, SQLSTATE, constraint.
    pub detail: Option<Box<str>>,
    /// Seconds for a `Retry-After` header.
    pub retry_after: Option<u32>,
}

/// What an error of somebody else's making has beside its message.
#[derive(Debug, Clone, PartialEq)]
pub enum Extensions {
    /// A code of its own.
    Code(String),
    /// All of `extensions`.
    Whole(serde_json::Value),
    /// What the database said of a statement that it could not run; not for clients, but
    /// for the administrator where an endpoint tells it.
    Fault(serde_json::Value),
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        ApiError {
            code,
            message: message.into(),
            path: JsonPath::root(),
            internal: None,
            extensions: None,
            status: None,
            detail: None,
            retry_after: None,
        }
    }

    pub fn at(mut self, path: JsonPath) -> Self {
        self.path = path;
        self
    }

    pub fn with_internal(mut self, internal: serde_json::Value) -> Self {
        self.internal = Some(Box::new(internal));
        self
    }

    pub fn with_fault(mut self, fault: serde_json::Value) -> Self {
        self.extensions = Some(Box::new(Extensions::Fault(fault)));
        self
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into().into_boxed_str());
        self
    }

    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A fault of the server: the client gets a fixed text, the log gets `detail`.
    pub fn internal(detail: impl Into<String>) -> Self {
        ApiError::new(
            Code::Unexpected,
            "internal error; the server log has more under this request id",
        )
        .with_detail(detail)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.code, self.path, self.message)
    }
}

impl std::error::Error for ApiError {}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Beside<'a>(&'a ApiError);
        impl Serialize for Beside<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let code = match self.0.extensions.as_deref() {
                    Some(Extensions::Whole(value)) => return value.serialize(serializer),
                    Some(Extensions::Code(code)) => code.as_str(),
                    Some(Extensions::Fault(_)) | None => self.0.code.as_str(),
                };
                let mut map = serializer.serialize_map(None)?;
                if let Some(internal) = &self.0.internal {
                    map.serialize_entry("internal", internal)?;
                }
                map.serialize_entry("path", &self.0.path.to_string())?;
                map.serialize_entry("code", code)?;
                map.end()
            }
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("message", self.message.as_ref())?;
        map.serialize_entry("extensions", &Beside(self))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_prints_hasura_notation() {
        let path = JsonPath::root()
            .key("selectionSet")
            .key("a")
            .key("args")
            .key("_or")
            .index(2)
            .key("odd key");
        assert_eq!(path.to_string(), "$.selectionSet.a.args._or[2]['odd key']");
    }

    #[test]
    fn error_serialises_message_then_extensions() {
        let error = ApiError::new(Code::ValidationFailed, "no")
            .with_detail("secret")
            .with_fault(serde_json::json!({"message": "secret"}));
        assert_eq!(
            serde_json::to_string(&error).expect("plain data"),
            r#"{"message":"no","extensions":{"path":"$","code":"validation-failed"}}"#
        );
    }
}
