//! Calls a handler: one request, one answer, both bounded.
//!
//! A handler is what the administrator wrote, but templates may put values of
//! callers into its URL. So whatever the URL became, it has to be http or
//! https, redirects are not followed, and networks that are denied are not
//! reached, whatever name leads there.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Method, StatusCode};
use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{CallError, Exchange, Response};
use super::handler::Handler;
use super::transform::Context;
use crate::base::{Code, Extensions};
use crate::session::{Session, SessionVars};

/// Headers of a client that say something about its own request only; another
/// list may be given for an action.
const KEPT_BACK: [&str; 14] = [
    "content-length",
    "content-md5",
    "user-agent",
    "host",
    "origin",
    "referer",
    "accept",
    "accept-encoding",
    "accept-language",
    "accept-datetime",
    "cache-control",
    "connection",
    "dnt",
    "content-type",
];

/// Headers of a connection, and of what we can read; they never go on.
const OF_CONNECTION: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a handler is told under another name.
const FORWARDED: [(&str, &str); 3] = [
    ("host", "x-forwarded-host"),
    ("user-agent", "x-forwarded-user-agent"),
    ("origin", "x-forwarded-origin"),
];

/// How handlers are called.
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    /// The largest answer, in bytes.
    pub max_response: usize,
    /// Networks that no handler may be in.
    pub denied: Vec<IpNet>,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        HandlerOptions { max_response: 8 << 20, denied: Vec::new() }
    }
}

/// The client of all handlers, made when first used.
#[derive(Debug, Default)]
pub struct Handlers {
    options: HandlerOptions,
    client: OnceLock<Result<reqwest::Client, String>>,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub handler: &'a Handler,
    /// The arguments as a JSON object.
    pub input: &'a str,
    pub session: &'a Session,
    /// The client's document.
    pub document: &'a str,
    /// The client's headers.
    pub headers: Option<&'a HeaderMap>,
}

/// What a handler answered: JSON, after its transform.
#[derive(Debug)]
pub struct Answer {
    pub body: Box<RawValue>,
    /// For the client.
    pub cookies: Vec<HeaderValue>,
    exchange: Box<Exchange>,
}

impl Answer {
    /// The error of an answer that does not fit.
    pub fn unexpected(mut self, code: Code, message: String) -> CallError {
        if let Some(response) = &mut self.exchange.response {
            response.body = self.body.get().to_owned();
        }
        CallError::Unexpected { message, code, exchange: self.exchange }
    }
}

/// A request before it is sent.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
}

/// What a status of 4xx comes with.
#[derive(Deserialize)]
struct Refusal {
    message: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    extensions: Option<Value>,
}

impl Handlers {
    pub fn new(options: HandlerOptions) -> Self {
        Handlers { options, client: OnceLock::new() }
    }

    /// Calls a handler; what comes back is JSON of a status of 2xx.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, CallError> {
        let handler = call.handler;
        let own = handler.own_headers()?;
        let forwarded = if handler.forwards {
            forwarded(call.headers, handler.ignored.as_deref())
        } else {
            Vec::new()
        };
        let mut exchange = Box::new(Exchange {
            url: handler.written.clone(),
            body: payload(&call, false),
            headers: told_headers(handler, &forwarded),
            response: None,
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in forwarded.into_iter().chain(own) {
            headers.insert(name, value);
        }
        let payload = payload(&call, true);
        let variables = variables(call.session);
        let transforms = handler.request.is_some() || handler.response.is_some();
        let context = Context {
            base_url: &handler.url,
            payload: if transforms { as_value(&payload) } else { Value::Null },
            variables: &variables,
        };
        let mut request = Request {
            method: Method::POST,
            url: handler.url.clone(),
            headers,
            body: Some(payload),
        };
        if let Some(transform) = &handler.request {
            transform.apply(&context, &mut request).map_err(CallError::RequestTransform)?;
        }
        let (status, headers, body) = match self.send(handler, request).await {
            Ok(answer) => answer,
            Err(reason) => return Err(CallError::Unreachable { reason, exchange }),
        };
        let cookies = headers.get_all(SET_COOKIE).iter().cloned().collect();
        exchange.response = Some(Response {
            status: status.as_u16(),
            body: String::new(),
            headers: shown(&headers),
        });
        let transformed = match &handler.response {
            Some(transform) => transform
                .apply(&context, status.as_u16(), &body)
                .map_err(CallError::ResponseTransform)?,
            None => None,
        };
        let body = transformed.map_or(body, String::into_bytes);
        let json: Result<Box<RawValue>, _> = serde_json::from_slice(&body);
        let json = match json {
            Ok(body) if status.is_success() => return Ok(Answer { body, cookies, exchange }),
            json => json,
        };
        if let Some(response) = &mut exchange.response {
            response.body = String::from_utf8_lossy(&body).into_owned();
        }
        let body = match json {
            Ok(body) => body,
            Err(error) => {
                return Err(CallError::NotJson { reason: error.to_string(), exchange });
            }
        };
        if !status.is_client_error() {
            return Err(CallError::Status { status: status.as_u16(), exchange });
        }
        Err(match serde_json::from_str::<Refusal>(body.get()) {
            Ok(Refusal { message, code, extensions }) => CallError::Refused {
                status: status.as_u16(),
                message,
                // Extensions replace the code, as in Hasura.
                extensions: extensions
                    .filter(Value::is_object)
                    .map(Extensions::Whole)
                    .or(code.map(Extensions::Code)),
            },
            Err(error) => {
                let told = error.to_string();
                let message = match told.strip_prefix("missing field `message`") {
                    Some(_) => "key \"message\" not found".to_owned(),
                    None => told,
                };
                CallError::Unexpected { message, code: Code::ParseFailed, exchange }
            }
        })
    }

    fn client(&self) -> Result<&reqwest::Client, String> {
        let made = self.client.get_or_init(|| {
            // Installing twice is harmless: the provider is the same one.
            if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
                tracing::trace!("a TLS provider is installed already");
            }
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .dns_resolver(Arc::new(Resolver(self.options.denied.clone())))
                .user_agent(concat!("ringfence/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| cause_of(&error))
        });
        made.as_ref().map_err(Clone::clone)
    }

    /// Status, headers and body; an error says why there are none.
    async fn send(
        &self,
        handler: &Handler,
        request: Request,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), String> {
        self.check(&request.url)?;
        let mut builder = self
            .client()?
            .request(request.method, request.url)
            .headers(request.headers)
            .timeout(handler.timeout);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let seconds = handler.timeout.as_secs();
        let told = |error: reqwest::Error| match error.is_timeout() {
            true => format!("ResponseTimeout: nothing came within {seconds} seconds"),
            false => cause_of(&error),
        };
        let mut response = builder.send().await.map_err(told)?;
        let max = self.options.max_response;
        let too_large = || format!("the answer is larger than {max} bytes (actions.max_response)");
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), std::mem::take(response.headers_mut()), body))
    }

    /// What must hold for a URL, whatever templates made of it. Addresses
    /// behind names are looked at where they are resolved.
    fn check(&self, url: &Url) -> Result<(), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("handlers are called over http and https, not {}", url.scheme()));
        }
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match host.parse::<IpAddr>() {
            Ok(address) if is_denied(&self.options.denied, address) => Err(denied(host)),
            _ => Ok(()),
        }
    }
}

fn is_denied(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

fn denied(host: &str) -> String {
    format!("{host} is in a network that handlers may not be in (actions.deny_networks)")
}

/// Resolves names as the system does, and leaves out denied addresses.
#[derive(Debug)]
struct Resolver(Vec<IpNet>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let any = !found.is_empty();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| !is_denied(&networks, address.ip())).collect();
            if any && allowed.is_empty() {
                return Err(denied(&host).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// The innermost cause: reqwest's own words only repeat the URL.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What a handler is sent.
fn payload(call: &Call<'_>, with_document: bool) -> String {
    let mut out = String::with_capacity(call.input.len() + call.document.len() + 256);
    out.push_str("{\"session_variables\":");
    out.push_str(&call.session.variables_json());
    out.push_str(",\"input\":");
    out.push_str(call.input);
    out.push_str(",\"action\":");
    out.push_str(&json!({"name": call.handler.action}).to_string());
    if with_document {
        out.push_str(",\"request_query\":");
        out.push_str(&Value::from(call.document).to_string());
    }
    out.push('}');
    out
}

/// JSON that is right, as it was checked or made here.
fn as_value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::debug!(%error, "a text that should be JSON is none");
        Value::Null
    })
}

/// The session variables with the role among them.
fn variables(session: &Session) -> SessionVars {
    let mut out = session.vars.clone();
    out.insert("x-hasura-role".to_owned(), session.role.to_string());
    out
}

/// The headers of the client that go on to a handler.
fn forwarded(
    headers: Option<&HeaderMap>,
    ignored: Option<&[String]>,
) -> Vec<(HeaderName, HeaderValue)> {
    let Some(headers) = headers else { return Vec::new() };
    let mut out = Vec::new();
    for (known, other) in FORWARDED {
        if let (Some(value), Ok(name)) =
            (headers.get(known), HeaderName::from_bytes(other.as_bytes()))
        {
            out.push((name, value.clone()));
        }
    }
    for (name, value) in headers {
        let text = name.as_str();
        let kept_back = match ignored {
            Some(list) => list.iter().any(|other| other.eq_ignore_ascii_case(text)),
            None => KEPT_BACK.contains(&text),
        };
        // The secrets of the administrator are among `x-hasura-`.
        let own = text.starts_with("x-hasura-") || text.starts_with("sec-websocket-");
        if !kept_back && !own && !OF_CONNECTION.contains(&text) {
            out.push((name.clone(), value.clone()));
        }
    }
    out
}

/// Headers as the administrator is told them: secrets by their name.
fn told_headers(handler: &Handler, forwarded: &[(HeaderName, HeaderValue)]) -> Vec<Value> {
    let own = handler.headers.iter().map(|header| match &header.value_from_env {
        Some(variable) => json!({"name": header.name, "value_from_env": variable}),
        None => json!({"name": header.name, "value": header.value}),
    });
    let client = forwarded.iter().map(|(name, value)| {
        json!({"name": name.as_str(), "value": String::from_utf8_lossy(value.as_bytes())})
    });
    own.chain(client).collect()
}

/// Headers of an answer as they are usually written.
fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let mut out = String::with_capacity(name.as_str().len());
            let mut begins = true;
            for c in name.as_str().chars() {
                out.push(if begins { c.to_ascii_uppercase() } else { c });
                begins = c == '-';
            }
            (out, String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_client_stays_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "api"),
            ("user-agent", "x"),
            ("cookie", "c=1"),
            ("authorization", "Bearer t"),
            ("content-length", "3"),
            ("x-hasura-admin-secret", "s"),
            ("sec-websocket-key", "k"),
            ("transfer-encoding", "chunked"),
        ] {
            headers.insert(name, value.parse().expect("a value"));
        }
        let names = |ignored: Option<&[String]>| -> Vec<String> {
            forwarded(Some(&headers), ignored).into_iter().map(|(n, _)| n.to_string()).collect()
        };
        let usual = ["x-forwarded-host", "x-forwarded-user-agent", "cookie", "authorization"];
        assert_eq!(names(None), usual);
        let own = ["x-forwarded-host", "x-forwarded-user-agent", "user-agent", "authorization"];
        assert_eq!(names(Some(&["Cookie".to_owned()])), own);
    }

    #[test]
    fn denied_networks_are_not_reached() {
        let denied = vec!["169.254.0.0/16".parse().expect("a network")];
        let handlers = Handlers::new(HandlerOptions { denied, ..HandlerOptions::default() });
        let check = |url: &str| handlers.check(&Url::parse(url).expect(url));
        for url in [
            "http://169.254.169.254/latest",
            "http://[::ffff:169.254.169.254]/",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "ftp://example.org/",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
        assert!(check("http://127.0.0.1:3000/x").is_ok());
        assert!(check("https://example.org/").is_ok());
    }
}
