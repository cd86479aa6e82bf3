//! Request and response transforms: what metadata writes of them, and what
//! they make of a request to a handler and of its answer.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Method};
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Request;
use super::kriti::{KritiError, Scope, Template};
use crate::session::SessionVars;

/// What a URL's query and a form leave as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Debug)]
pub(super) struct RequestTransform {
    method: Option<Method>,
    url: Option<Template>,
    body: Option<Body>,
    query: Option<Query>,
    add_headers: Vec<(HeaderName, Template)>,
    remove_headers: Vec<HeaderName>,
}

#[derive(Debug)]
pub(super) struct ResponseTransform {
    body: Option<Body>,
}

#[derive(Debug)]
enum Body {
    Remove,
    Json(Template),
    Form(Vec<(String, Template)>),
}

#[derive(Debug)]
enum Query {
    Pairs(Vec<(Template, Option<Template>)>),
    Text(Template),
}

/// What templates see of a request.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub base_url: &'a Url,
    /// The payload of the action.
    pub payload: Value,
    pub variables: &'a SessionVars,
}

/// A request in the making.
pub(super) type Transformed<T> = Result<T, Value>;

#[derive(Deserialize)]
struct WrittenRequest {
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    template_engine: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    query_params: Option<WrittenQuery>,
    #[serde(default)]
    request_headers: Option<WrittenHeaders>,
}

#[derive(Deserialize)]
struct WrittenResponse {
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    template_engine: Option<String>,
    #[serde(default)]
    body: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenQuery {
    Text(String),
    Map(IndexMap<String, Option<String>>),
    Pairs(Vec<(String, Option<String>)>),
}

#[derive(Deserialize)]
struct WrittenHeaders {
    #[serde(default)]
    add_headers: IndexMap<String, String>,
    #[serde(default)]
    remove_headers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum WrittenBody {
    Remove,
    Transform {
        template: String,
    },
    #[serde(rename = "x_www_form_urlencoded")]
    Form {
        form_template: IndexMap<String, String>,
    },
}

/// A template that cannot be read, in words.
fn unreadable(what: &str, source: &str, error: &KritiError) -> String {
    format!("the template of {what} cannot be read: {}", error.as_json(source))
}

fn value_template(what: &str, source: &str) -> Result<Template, String> {
    Template::parse(source).map_err(|error| unreadable(what, source, &error))
}

fn text_template(what: &str, source: &str) -> Result<Template, String> {
    Template::parse_text(source).map_err(|error| unreadable(what, source, &error))
}

fn read<T: serde::de::DeserializeOwned>(what: &str, written: &Value) -> Result<T, String> {
    T::deserialize(written).map_err(|error| format!("{what}: {error}"))
}

/// The version; the only engine there is.
fn version(what: &str, version: Option<u64>, engine: Option<&str>) -> Result<u64, String> {
    if let Some(engine) = engine.filter(|engine| *engine != "Kriti") {
        return Err(format!("{what}: the template engine must be Kriti, not {engine}"));
    }
    match version.unwrap_or(1) {
        version @ (1 | 2) => Ok(version),
        other => Err(format!("{what}: expected 1 or 2, encountered {other}")),
    }
}

/// Version 1 writes a template, version 2 what to do.
fn body(what: &str, version: u64, written: Option<Value>) -> Result<Option<Body>, String> {
    let what = format!("the body of {what}");
    Ok(match written {
        None | Some(Value::Null) => None,
        Some(Value::String(source)) if version == 1 => {
            Some(Body::Json(value_template(&what, &source)?))
        }
        Some(written) => Some(match read::<WrittenBody>(&what, &written)? {
            WrittenBody::Remove => Body::Remove,
            WrittenBody::Transform { template } => Body::Json(value_template(&what, &template)?),
            WrittenBody::Form { form_template } => Body::Form(
                form_template
                    .into_iter()
                    .map(|(name, source)| Ok((name, text_template(&what, &source)?)))
                    .collect::<Result<_, String>>()?,
            ),
        }),
    })
}

fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("request_transform: {name:?} is no name of a header"))
}

impl RequestTransform {
    pub(super) fn parse(written: &Value) -> Result<Self, String> {
        const WHAT: &str = "request_transform";
        let written: WrittenRequest = read(WHAT, written)?;
        let version = version(WHAT, written.version, written.template_engine.as_deref())?;
        let method = written
            .method
            .map(|method| {
                Method::from_bytes(method.to_ascii_uppercase().as_bytes())
                    .map_err(|_| format!("{WHAT}: {method:?} is no method of HTTP"))
            })
            .transpose()?;
        let url = written.url.map(|source| text_template("url", &source)).transpose()?;
        let query = match written.query_params {
            None => None,
            Some(WrittenQuery::Text(source)) => {
                Some(Query::Text(text_template("query_params", &source)?))
            }
            Some(WrittenQuery::Map(map)) => Some(pairs(map)?),
            Some(WrittenQuery::Pairs(list)) => Some(pairs(list)?),
        };
        let mut add_headers = Vec::new();
        let mut remove_headers = Vec::new();
        if let Some(headers) = written.request_headers {
            for (name, source) in headers.add_headers {
                add_headers.push((header(&name)?, text_template(&name, &source)?));
            }
            for name in headers.remove_headers {
                remove_headers.push(header(&name)?);
            }
        }
        let body = body(WHAT, version, written.body)?;
        Ok(RequestTransform { method, url, body, query, add_headers, remove_headers })
    }

    /// Makes of a request what the templates say.
    pub(super) fn apply(&self, context: &Context<'_>, request: &mut Request) -> Transformed<()> {
        let scope = context.scope();
        if let Some(method) = &self.method {
            request.method = method.clone();
        }
        if let Some(template) = &self.url {
            let made = text(template, &scope)?;
            request.url = Url::parse(&made).map_err(|_| json!([format!("Invalid URL: {made}")]))?;
        }
        match &self.query {
            None => {}
            Some(Query::Text(template)) => {
                let made = text(template, &scope)?;
                let made = made.strip_prefix('?').unwrap_or(&made);
                request.url.set_query(Some(made).filter(|made| !made.is_empty()));
            }
            Some(Query::Pairs(pairs)) => {
                let mut made = String::new();
                for (name, value) in pairs {
                    let name = text(name, &scope)?;
                    let value = value.as_ref().map(|value| text(value, &scope)).transpose()?;
                    if name == "null" || value.as_deref() == Some("null") {
                        continue;
                    }
                    if !made.is_empty() {
                        made.push('&');
                    }
                    push_escaped(&mut made, &name);
                    if let Some(value) = value {
                        made.push('=');
                        push_escaped(&mut made, &value);
                    }
                }
                request.url.set_query(Some(made.as_str()).filter(|made| !made.is_empty()));
            }
        }
        if let Some(body) = &self.body {
            if matches!(body, Body::Form(_)) {
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers.insert(http::header::CONTENT_TYPE, form);
            }
            request.body = make(body, &scope)?;
        }
        for name in &self.remove_headers {
            request.headers.remove(name);
        }
        for (name, template) in &self.add_headers {
            let made = text(template, &scope)?;
            let value = HeaderValue::from_bytes(made.as_bytes()).map_err(|_| {
                json!([format!("the value of the header {name} has characters that none may have")])
            })?;
            request.headers.insert(name.clone(), value);
        }
        Ok(())
    }
}

fn pairs(written: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Query, String> {
    let mut out = Vec::new();
    for (name, value) in written {
        let value = value.map(|value| text_template("query_params", &value)).transpose()?;
        out.push((text_template("query_params", &name)?, value));
    }
    Ok(Query::Pairs(out))
}

impl ResponseTransform {
    pub(super) fn parse(written: &Value) -> Result<Self, String> {
        const WHAT: &str = "response_transform";
        let written: WrittenResponse = read(WHAT, written)?;
        let version = version(WHAT, written.version, written.template_engine.as_deref())?;
        Ok(ResponseTransform { body: body(WHAT, version, written.body)? })
    }

    /// The text that takes the place of a handler's answer.
    pub(super) fn apply(
        &self,
        context: &Context<'_>,
        status: u16,
        answer: &[u8],
    ) -> Transformed<Option<String>> {
        let Some(body) = &self.body else { return Ok(None) };
        let scope = Scope {
            values: vec![
                // What is no JSON is null.
                ("$body", Cow::Owned(serde_json::from_slice(answer).unwrap_or(Value::Null))),
                ("$request", Cow::Owned(context.as_json())),
                ("$response", Cow::Owned(json!({"status": status}))),
            ],
            session: Some(context.variables),
        };
        Ok(Some(match body {
            Body::Remove => "null".to_owned(),
            Body::Json(_) => make(body, &scope)?.unwrap_or_default(),
            Body::Form(_) => Value::from(make(body, &scope)?.unwrap_or_default()).to_string(),
        }))
    }
}

impl Context<'_> {
    fn query_params(&self) -> Value {
        self.base_url.query_pairs().map(|(name, value)| json!([name, value])).collect()
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            values: vec![
                ("$body", Cow::Borrowed(&self.payload)),
                ("$session_variables", Cow::Owned(json!(self.variables))),
                ("$query_params", Cow::Owned(self.query_params())),
                ("$base_url", Cow::Owned(bare(self.base_url).into())),
            ],
            session: Some(self.variables),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "base_url": bare(self.base_url),
            "body": self.payload,
            "query_params": self.query_params(),
            "session_variables": self.variables,
        })
    }
}

/// A URL without the slash that stands for no path, so that a path can follow.
fn bare(url: &Url) -> &str {
    let text = url.as_str();
    if url.path() == "/" { text.trim_end_matches('/') } else { text }
}

fn told(template: &Template, error: &KritiError) -> Value {
    json!([error.as_json(template.source())])
}

fn text(template: &Template, scope: &Scope<'_>) -> Transformed<String> {
    match template.eval(scope).map_err(|error| told(template, &error))? {
        Value::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

/// A body as text; `None` for none.
fn make(body: &Body, scope: &Scope<'_>) -> Transformed<Option<String>> {
    Ok(match body {
        Body::Remove => None,
        Body::Json(template) => {
            Some(template.eval(scope).map_err(|error| told(template, &error))?.to_string())
        }
        Body::Form(fields) => {
            let mut out = String::new();
            for (name, template) in fields {
                if !out.is_empty() {
                    out.push('&');
                }
                push_escaped(&mut out, name);
                out.push('=');
                push_escaped(&mut out, &text(template, scope)?);
            }
            Some(out)
        }
    })
}

fn push_escaped(out: &mut String, text: &str) {
    out.extend(utf8_percent_encode(text, UNRESERVED));
}
