//! What metadata says of a handler, resolved.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use reqwest::Url;

use super::error::CallError;
use super::transform::{RequestTransform, ResponseTransform};
use crate::metadata::action::{Action, HandlerHeader};

/// How long a handler may take where its action does not say.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Who answers an action.
#[derive(Debug)]
pub struct Handler {
    pub(super) action: Arc<str>,
    /// The URL as it is written, with names of environment variables.
    pub(super) written: String,
    pub(super) url: Url,
    /// As they are written: the values may be secrets.
    pub(super) headers: Vec<HandlerHeader>,
    pub(super) forwards: bool,
    /// Headers of the client that are kept back; the usual ones when `None`.
    pub(super) ignored: Option<Vec<String>>,
    pub(super) timeout: Duration,
    pub(super) request: Option<RequestTransform>,
    pub(super) response: Option<ResponseTransform>,
}

impl Handler {
    /// Resolves the handler of an action; an error says what is wrong with it.
    pub fn resolve(action: &Action) -> Result<Self, String> {
        let definition = &action.definition;
        let url = fill_in(&definition.handler, |name| std::env::var(name).ok())?;
        let url = Url::parse(&url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or("the handler must be a URL that begins with http:// or https://")?;
        for header in &definition.headers {
            HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| format!("{:?} is no name of a header", header.name))?;
        }
        let seconds = definition.timeout.map(|seconds| Duration::from_secs(seconds.into()));
        let ignored = &definition.ignored_client_headers;
        Ok(Handler {
            action: action.name.clone(),
            written: definition.handler.clone(),
            url,
            headers: definition.headers.clone(),
            forwards: definition.forward_client_headers,
            ignored: Some(ignored).filter(|list| !list.is_empty()).cloned(),
            timeout: seconds.filter(|time| !time.is_zero()).unwrap_or(TIMEOUT),
            request: definition
                .request_transform
                .as_ref()
                .map(RequestTransform::parse)
                .transpose()?,
            response: definition
                .response_transform
                .as_ref()
                .map(ResponseTransform::parse)
                .transpose()?,
        })
    }

    /// Whether it gets headers of the client.
    pub fn forwards(&self) -> bool {
        self.forwards
    }

    /// The headers that metadata gives it, with their values.
    pub(super) fn own_headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, CallError> {
        let mut out = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            let value = match (&header.value, &header.value_from_env) {
                (Some(value), _) => value.clone(),
                (None, Some(variable)) => {
                    std::env::var(variable).map_err(|_| CallError::NoVariable(variable.clone()))?
                }
                (None, None) => continue,
            };
            let bad = |_| CallError::BadHeader(header.name.clone());
            let name = HeaderName::from_bytes(header.name.as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| ());
            out.push((name.map_err(|_| ()).map_err(bad)?, value.map_err(bad)?));
        }
        Ok(out)
    }
}

/// Puts values of variables in the place of `{{NAME}}`.
fn fill_in(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut missing: Vec<&str> = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            return Err(format!("the handler {template:?} has a {{{{ without a }}}}"));
        };
        match value(name.trim()) {
            Some(text) => out.push_str(&text),
            None => missing.push(name.trim()),
        }
        rest = after;
    }
    out.push_str(rest);
    if missing.is_empty() {
        return Ok(out);
    }
    Err(format!("Value for environment variables not found: {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_in_urls() {
        let value = |name: &str| (name == "HOST").then(|| "http://h:1".to_owned());
        assert_eq!(fill_in("{{HOST}}/a/{{ HOST }}", value), Ok("http://h:1/a/http://h:1".into()));
        assert_eq!(fill_in("http://x", value), Ok("http://x".into()));
        let missing = fill_in("{{A}}{{HOST}}{{B}}", value).expect_err("two are missing");
        assert_eq!(missing, "Value for environment variables not found: A, B");
        assert!(fill_in("{{HOST", value).is_err());
    }
}
