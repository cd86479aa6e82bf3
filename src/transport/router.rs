//! The edge: every request enters and leaves here.
//!
//! ```text
//! request ─▶ id, client ─▶ /v1/graphql ─▶ authn ─▶ body ─▶ engine ─▶ respond ─┐
//!                        ├▶ probes, version, metrics                         ├▶ CORS, compression,
//!                        └▶ other routes (console, ...)                      ┘   log line, numbers
//! ```
//!
//! The GraphQL endpoint is matched by hand and runs through no layers: what a
//! request does not ask for (compression, CORS, a batch) costs it a look at a
//! header.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use ipnet::IpNet;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, ServiceExt};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use super::admin;
use super::authn::Authenticator;
use super::body::Limit;
use super::client::{Client, REQUEST_ID};
use super::cors::Cors;
use super::events;
use super::explain;
use super::graphql::{self, Envelope};
use super::places::Places;
use super::probes::{self, Readiness, ReadyCheck};
use super::respond::{self, Media, Refusal};
use super::rest::{self, RestRequest};
use super::ws::{self, Hub, SocketOptions};
use crate::admin::Project;
use crate::base::{ApiError, Code};
use crate::config::Config;
use crate::engine::{Engine, GraphqlRequest, GraphqlResponse};
use crate::session::{Proof, Session};
use crate::telemetry::logging::{self, RequestLine};
use crate::telemetry::metrics::{self, Metrics};

/// Smaller answers are not worth compressing.
const COMPRESS_BYTES: u64 = 1024;
/// A document is told by a digest of at most this much of it.
const DIGEST_BYTES: usize = 16 * 1024;

/// Slower clients hold a connection for nothing.
const READ_TIME: Duration = Duration::from_secs(30);
/// Who takes nothing of its answer for this long is dropped.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// What the log keeps of an operation's name, which is the caller's text.
const LOGGED_BYTES: usize = 128;

/// How the edge behaves.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// The largest body, after decompression too.
    pub body_bytes: usize,
    /// The same for callers who prove nothing.
    pub anonymous_body_bytes: usize,
    /// The same at the endpoints of the administrator.
    pub admin_body_bytes: usize,
    /// The most operations of a batch.
    pub batch: usize,
    /// A head, and then a body, has to arrive within this time.
    pub read_time: Duration,
    /// The longest time in which a client may read nothing of its answer.
    pub write_time: Duration,
    pub trusted_proxies: Vec<IpNet>,
    pub cors: Cors,
    pub sockets: SocketOptions,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// What is told of the settings, to administrators.
    pub about: Value,
}

impl From<&Config> for EdgeOptions {
    fn from(config: &Config) -> Self {
        let server = &config.server;
        let body_bytes = usize::try_from(config.limits.body.0).unwrap_or(usize::MAX);
        let anonymous = usize::try_from(config.limits.anonymous_body.0).unwrap_or(usize::MAX);
        EdgeOptions {
            body_bytes,
            anonymous_body_bytes: anonymous.min(body_bytes),
            admin_body_bytes: usize::try_from(config.limits.admin_body.0).unwrap_or(usize::MAX),
            batch: usize::try_from(config.limits.batch).unwrap_or(usize::MAX),
            read_time: READ_TIME,
            write_time: WRITE_TIME,
            trusted_proxies: server.trusted_proxies.clone(),
            cors: Cors::new(server.cors, &server.cors_domains, server.cors_max_age),
            sockets: SocketOptions::from(config),
            metrics: config.telemetry.metrics,
            about: admin::about(config),
        }
    }
}

/// The HTTP side of the server.
pub struct Edge {
    engine: Arc<Engine>,
    /// `None` where nothing can be administered.
    project: Option<Project>,
    auth: Arc<Authenticator>,
    options: EdgeOptions,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    stopping: CancellationToken,
    others: Router,
    sockets: Arc<Hub>,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What is remembered of a request for its log line.
struct Account<'a> {
    metrics: &'a Metrics,
    client: Client,
    method: Method,
    endpoint: &'static str,
    started: Instant,
    session: Option<Arc<Session>>,
    operation: Option<Arc<str>>,
    document: Option<String>,
    batch: Option<usize>,
    error: Option<ApiError>,
    /// 499 until there is an answer: the client hung up.
    status: u16,
}

impl Account<'_> {
    /// Counts an error and keeps the first for the log.
    fn blame(&mut self, error: &ApiError) {
        self.metrics.error(error);
        if self.error.is_none() {
            self.error = Some(error.clone());
        }
    }

    fn about(&mut self, request: &GraphqlRequest) {
        self.operation = request.operation_name.as_deref().map(Into::into);
        if logging::requests_are_logged() {
            self.document = Some(digest_of(&request.query));
        }
    }

    fn answered(&mut self, answer: &GraphqlResponse) {
        if self.batch.is_none() && answer.operation.is_some() {
            self.operation.clone_from(&answer.operation);
        }
        for error in &answer.errors {
            self.blame(error);
        }
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.request(self.endpoint, self.status, took);
        // Probes and scrapes would drown the rest; readiness speaks when it changes.
        if matches!(self.endpoint, "health" | "ready" | "metrics") {
            return;
        }
        let fault = self.error.as_ref().filter(|error| error.code.status() >= 500);
        RequestLine {
            request_id: self.client.id(),
            trace_id: self.client.trace_id.as_deref(),
            client: self.client.address,
            method: self.method.as_str(),
            endpoint: self.endpoint,
            status: self.status,
            duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            role: self.session.as_deref().map(|session| &*session.role),
            operation: self.operation.as_deref().map(clipped),
            document: self.document.as_deref(),
            batch: self.batch,
            code: self.error.as_ref().map(|error| error.code.as_str()),
            error: fault.map(|error| &*error.message),
            detail: fault.and_then(|error| error.detail.as_deref()),
        }
        .log();
    }
}

pub(super) fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOGGED_BYTES)).unwrap_or_default()
}

/// FNV-1a: stable over restarts, and nothing secret depends on it.
pub(super) fn digest_of(document: &str) -> String {
    let hash = document.bytes().take(DIGEST_BYTES).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

impl Edge {
    /// `others` holds the routes of other parts; what it does not know is 404.
    pub fn new(
        engine: Arc<Engine>,
        auth: Authenticator,
        options: EdgeOptions,
        metrics: Arc<Metrics>,
        ready: ReadyCheck,
        stopping: CancellationToken,
        others: Router,
    ) -> Self {
        let others = others.fallback(|| async {
            let error = ApiError::new(Code::NotFound, "Endpoint not found");
            Refusal::new(StatusCode::NOT_FOUND, error).respond(Media::Json)
        });
        let readiness = Readiness::new(ready);
        let auth = Arc::new(auth);
        let sockets = Arc::new(Hub {
            engine: engine.clone(),
            auth: auth.clone(),
            metrics: metrics.clone(),
            places: Arc::new(Places::new(&options.sockets)),
            options: options.sockets.clone(),
            stopping: stopping.clone(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        Edge { engine, project: None, auth, options, metrics, readiness, stopping, others, sockets }
    }

    /// With the administrator's endpoints.
    #[must_use]
    pub fn administered(mut self, project: Project) -> Self {
        self.project = Some(project);
        self
    }

    pub(super) fn sockets(&self) -> &Hub {
        &self.sockets
    }

    /// The longest time to read a head, and without progress in writing.
    pub(super) fn times(&self) -> (Duration, Duration) {
        (self.options.read_time, self.options.write_time)
    }

    /// How much of a body is kept for a caller.
    fn body_limit(&self, proof: Proof) -> Limit {
        match proof {
            Proof::Anonymous => {
                Limit { bytes: self.options.anonymous_body_bytes, setting: "limits.anonymous_body" }
            }
            Proof::Token | Proof::AdminSecret => {
                Limit { bytes: self.options.body_bytes, setting: "limits.body" }
            }
        }
    }

    /// Answers a request.
    pub async fn handle<B>(&self, peer: SocketAddr, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let method = parts.method.clone();
        let preflight = Cors::is_preflight(&method, &parts.headers);
        let _in_flight = self.metrics.begin();
        let mut account = Account {
            metrics: &self.metrics,
            client: Client::of(&parts.headers, peer.ip(), &self.options.trusted_proxies),
            method: method.clone(),
            endpoint: endpoint_of(parts.uri.path()),
            started: Instant::now(),
            session: None,
            operation: None,
            document: None,
            batch: None,
            error: None,
            status: 499,
        };
        let wants_compression = wants_compression(&parts.headers);
        let cors_headers =
            parts.headers.contains_key(http::header::ORIGIN).then(|| parts.headers.clone());

        let answering = async {
            if preflight {
                return probes::text(StatusCode::NO_CONTENT, "");
            }
            match account.endpoint {
                "graphql" => self.graphql(&mut account, &parts, body).await,
                "metadata" => {
                    let result = self.metadata(&mut account, &parts, body).await;
                    Self::answer(&mut account, result)
                }
                "explain" => {
                    let result = self.explain(&mut account, &parts, body).await;
                    Self::answer(&mut account, result)
                }
                "rest" => {
                    let result = self.rest(&mut account, &parts, body).await;
                    Self::answer(&mut account, result)
                }
                "config" => {
                    let result = self.config(&mut account, &parts).await;
                    Self::answer(&mut account, result)
                }
                "other" | "console" => {
                    parts.extensions.insert(ConnectInfo(peer));
                    self.other(Request::from_parts(parts, Body::new(body))).await
                }
                endpoint if matches!(method, Method::GET | Method::HEAD) => {
                    self.operator(endpoint).await
                }
                _ => Refusal::method("GET, HEAD", "this endpoint answers GET").respond(Media::Json),
            }
        };
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            let error = ApiError::internal("a panic, see above");
            account.blame(&error);
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error).respond(Media::Json)
        });

        if let Some(accept) = wants_compression {
            response = compress(accept, response).await;
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, account.client.request_id.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(request) = cors_headers {
            self.options.cors.apply(&request, preflight, headers);
        }
        account.status = response.status().as_u16();
        response
    }

    async fn operator(&self, endpoint: &str) -> Response {
        match endpoint {
            "health" => probes::text(StatusCode::OK, "OK"),
            "ready" if self.stopping.is_cancelled() => {
                probes::text(StatusCode::SERVICE_UNAVAILABLE, "stopping")
            }
            "ready" if self.readiness.is_ready().await => probes::text(StatusCode::OK, "OK"),
            "ready" => {
                probes::text(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")
            }
            "metrics" if self.options.metrics => match self.metrics.page() {
                Ok(page) => probes::with_type(StatusCode::OK, metrics::CONTENT_TYPE, page),
                Err(error) => {
                    tracing::error!(%error, "metrics could not be written");
                    probes::text(StatusCode::INTERNAL_SERVER_ERROR, "metrics failed")
                }
            },
            "version" => probes::version(),
            _ => {
                let error = ApiError::new(Code::NotFound, "Endpoint not found");
                Refusal::new(StatusCode::NOT_FOUND, error).respond(Media::Json)
            }
        }
    }

    async fn other(&self, request: Request<Body>) -> Response {
        match self.others.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn graphql<B>(
        &self,
        account: &mut Account<'_>,
        parts: &http::request::Parts,
        body: B,
    ) -> Response
    where
        B: http_body::Body<Data = Bytes>,
    {
        if ws::is_upgrade(&parts.method, &parts.headers) {
            return ws::upgrade(&self.sockets, &self.options.cors, &account.client, parts)
                .unwrap_or_else(|refused| {
                    account.blame(&refused.error);
                    refused.respond(Media::Json)
                });
        }
        let media = match Media::accepted(&parts.headers) {
            Media::Json if parts.uri.path() == FIRST_VERSION => Media::FirstVersion,
            other => other,
        };
        let refuse = |account: &mut Account<'_>, refusal: Refusal| {
            account.blame(&refusal.error);
            refusal.respond(media)
        };
        let (envelope, session) = match parts.method {
            Method::POST => {
                if let Err(refusal) = graphql::check_content_type(&parts.headers) {
                    return refuse(account, refusal);
                }
                // First, so that nobody fills memory without a proof.
                let session = match self.auth.authenticate(&parts.headers).await {
                    Ok(session) => session,
                    Err(error) => {
                        let ended = super::body::discard(&parts.headers, body).await;
                        let mut response = self.fail(account, media, error);
                        if !ended {
                            let close = HeaderValue::from_static("close");
                            response.headers_mut().insert(CONNECTION, close);
                        }
                        return response;
                    }
                };
                let bytes = match super::body::read(
                    &parts.headers,
                    body,
                    self.body_limit(session.proof),
                    self.options.read_time,
                )
                .await
                {
                    Ok(bytes) => bytes,
                    Err(refusal) => {
                        account.session = Some(session);
                        return refuse(account, refusal);
                    }
                };
                (graphql::read_body(&bytes, self.options.batch), session)
            }
            Method::GET => {
                let session = match self.auth.authenticate(&parts.headers).await {
                    Ok(session) => session,
                    Err(error) => return self.fail(account, media, error),
                };
                (graphql::read_query(&parts.uri).map(Envelope::One), session)
            }
            _ => {
                let refusal = Refusal::method("GET, POST", "GraphQL is served by GET and POST");
                return refuse(account, refusal);
            }
        };
        account.session = Some(session.clone());
        let queries_only = parts.method == Method::GET;
        let envelope = envelope.map(|envelope| self.with_headers(envelope, &parts.headers));
        match envelope {
            Err(error) => self.fail(account, media, error),
            Ok(Envelope::One(Err(error))) if media == Media::Events => {
                account.blame(&error);
                events::one(&GraphqlResponse::error(error))
            }
            Ok(Envelope::One(Err(error))) => self.fail(account, media, error),
            Ok(Envelope::One(Ok(request))) => {
                account.about(&request);
                if media == Media::Events || events::are_accepted(&parts.headers) {
                    match self.events(account, media, &session, &request) {
                        Ok(None) => {}
                        Ok(Some(events)) => return events,
                        Err(refusal) => return refuse(account, refusal),
                    }
                }
                let answer = self.engine.execute(&session, request).await;
                account.answered(&answer);
                let refused = answer
                    .errors
                    .first()
                    .filter(|error| error.code == Code::MethodNotAllowed && answer.data.is_none());
                if let Some(error) = refused {
                    let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error.clone());
                    refusal.allow = Some("POST");
                    return refusal.respond(media);
                }
                if media == Media::Events {
                    return events::one(&answer);
                }
                let mut response = respond::one(media, answer);
                if queries_only {
                    // Rows of one caller must not be kept for another.
                    response
                        .headers_mut()
                        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                }
                response
            }
            Ok(Envelope::Batch(batch)) => {
                account.batch = Some(batch.len());
                let mut answers = Vec::with_capacity(batch.len());
                // In order: a query may follow the mutation that it shall see.
                for element in batch {
                    let answer = match element {
                        Ok(request) => self.engine.execute(&session, request).await,
                        Err(error) => GraphqlResponse::error(error),
                    };
                    account.answered(&answer);
                    answers.push(answer);
                }
                respond::many(media, answers)
            }
        }
    }

    /// The client's headers, where handlers of actions want them.
    fn headers_of(&self, headers: &HeaderMap) -> Option<Arc<HeaderMap>> {
        self.engine.wants_headers().then(|| Arc::new(headers.clone()))
    }

    fn with_headers(&self, mut envelope: Envelope, headers: &HeaderMap) -> Envelope {
        if let Some(headers) = self.headers_of(headers) {
            let requests: Vec<&mut GraphqlRequest> = match &mut envelope {
                Envelope::One(request) => request.iter_mut().collect(),
                Envelope::Batch(batch) => batch.iter_mut().flatten().collect(),
            };
            for request in requests {
                request.headers = Some(headers.clone());
            }
        }
        envelope
    }

    /// The event stream of a subscription; none for other operations.
    fn events(
        &self,
        account: &mut Account<'_>,
        media: Media,
        session: &Arc<Session>,
        request: &GraphqlRequest,
    ) -> Result<Option<Response>, Refusal> {
        // A browser opens event streams by GET.
        let request = GraphqlRequest { queries_only: false, ..request.clone() };
        let begun = match self.engine.is_subscription(session, &request) {
            Ok(false) => return Ok(None),
            Ok(true) => {
                let refuse = |error| Refusal::new(ws::status_of(&error), error);
                let mut place = self.sockets.places.take(account.client.address).map_err(refuse)?;
                place.claim(session).map_err(refuse)?;
                self.engine
                    .subscribe(session.clone(), request)
                    .map(|subscription| events::many(&self.sockets, session, place, subscription))
            }
            Err(error) => Err(error),
        };
        match begun {
            Ok(events) => Ok(Some(events)),
            Err(error) if media == Media::Events => {
                account.blame(&error);
                Ok(Some(events::one(&GraphqlResponse::error(error))))
            }
            // It will be said in JSON.
            Err(_) => Ok(None),
        }
    }

    /// Who asks at an endpoint beside GraphQL, and the body that came with it.
    /// Nothing of a body is kept before it is known whose it is.
    async fn asked<B>(
        &self,
        account: &mut Account<'_>,
        headers: &HeaderMap,
        body: B,
        limit: impl FnOnce(&Session) -> Limit,
    ) -> Result<(Arc<Session>, Bytes), Refusal>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let session = match self.auth.authenticate(headers).await {
            Ok(session) => session,
            Err(error) => {
                super::body::discard(headers, body).await;
                return Err(admin::refusal(error));
            }
        };
        account.session = Some(session.clone());
        let limit = limit(&session);
        let bytes = super::body::read(headers, body, limit, self.options.read_time).await?;
        Ok((session, bytes))
    }

    /// The administrator's API.
    async fn metadata<B>(
        &self,
        account: &mut Account<'_>,
        parts: &http::request::Parts,
        body: B,
    ) -> Result<Response, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
    {
        if parts.method != Method::POST {
            return Err(Refusal::method("POST", "commands are sent by POST"));
        }
        let project = self.project.as_ref().ok_or_else(admin::not_served)?;
        let limit =
            |_: &_| Limit { bytes: self.options.admin_body_bytes, setting: "limits.admin_body" };
        let (session, bytes) = self.asked(account, &parts.headers, body, limit).await?;
        if parts.uri.path() == admin::PG_DUMP {
            return admin::dump(project, &session, &bytes).await.map_err(admin::refusal);
        }
        let answer = admin::run(project, &session, parts.uri.path(), &bytes).await;
        answer.map(admin::respond).map_err(admin::refusal)
    }

    /// What a query compiles to.
    async fn explain<B>(
        &self,
        account: &mut Account<'_>,
        parts: &http::request::Parts,
        body: B,
    ) -> Result<Response, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
    {
        if parts.method != Method::POST {
            return Err(Refusal::method("POST", "what is to be explained is sent by POST"));
        }
        let limit = |session: &Session| self.body_limit(session.proof);
        let (session, bytes) = self.asked(account, &parts.headers, body, limit).await?;
        let answer = explain::run(&self.engine, &self.auth, &session, &bytes).await;
        answer.map(admin::respond).map_err(admin::refusal)
    }

    /// What Hasura's console asks about the server.
    async fn config(
        &self,
        account: &mut Account<'_>,
        parts: &http::request::Parts,
    ) -> Result<Response, Refusal> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Refusal::method("GET, HEAD", "this endpoint answers GET"));
        }
        let session = self.auth.authenticate(&parts.headers).await.map_err(admin::refusal)?;
        account.session = Some(session.clone());
        admin::config(&session, &self.options.about)
    }

    /// A stored operation under its own address.
    async fn rest<B>(
        &self,
        account: &mut Account<'_>,
        parts: &http::request::Parts,
        body: B,
    ) -> Result<Response, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let limit = |session: &Session| self.body_limit(session.proof);
        let mut headers = Cow::Borrowed(&parts.headers);
        // Nothing keeps another page from leading here, even to a mutation.
        if headers.contains_key(COOKIE) && !self.options.cors.are_cookies_trusted(&headers) {
            headers.to_mut().remove(COOKIE);
        }
        let (session, bytes) = self.asked(account, &headers, body, limit).await?;
        if !bytes.is_empty() {
            graphql::check_content_type(&headers)?;
        }
        let schemas = self.engine.schemas();
        let rest = RestRequest { method: &parts.method, uri: &parts.uri, body: &bytes };
        let mut request = rest::request(&schemas.tracked().stored, &rest)?;
        request.headers = self.headers_of(&headers);
        account.about(&request);
        let answer = self.engine.execute(&session, request).await;
        account.operation.clone_from(&answer.operation);
        rest::respond(answer)
    }

    /// The answer of an endpoint beside GraphQL, which speaks of errors as the
    /// administrator's API does.
    fn answer(account: &mut Account<'_>, result: Result<Response, Refusal>) -> Response {
        result.unwrap_or_else(|refusal| {
            account.blame(&refusal.error);
            admin::respond_error(refusal)
        })
    }

    fn fail(&self, account: &mut Account<'_>, media: Media, error: ApiError) -> Response {
        account.blame(&error);
        respond::one(media, GraphqlResponse::error(error))
    }
}

/// Hasura's first GraphQL endpoint.
const FIRST_VERSION: &str = "/v1alpha1/graphql";

fn endpoint_of(path: &str) -> &'static str {
    match path {
        "/v1/graphql" | "/graphql" | FIRST_VERSION => "graphql",
        "/healthz" | "/health" | "/livez" => "health",
        "/readyz" => "ready",
        "/v1/version" => "version",
        "/metrics" => "metrics",
        "/v1/graphql/explain" => "explain",
        "/v1/metadata" | "/v2/query" | "/v1/query" | admin::PG_DUMP => "metadata",
        "/v1alpha1/config" | "/v1/config" => "config",
        _ if path.starts_with(rest::PREFIX) => "rest",
        _ if path == "/console" || path.starts_with("/console/") => "console",
        _ => "other",
    }
}

/// The `Accept-Encoding` of a client that can read gzip or brotli.
fn wants_compression(headers: &HeaderMap) -> Option<HeaderValue> {
    let accept = headers.get(ACCEPT_ENCODING)?;
    let text = accept.to_str().ok()?;
    (text.contains("gzip") || text.contains("br")).then(|| accept.clone())
}

/// Compresses an answer that is large enough and not compressed yet.
async fn compress(accept: HeaderValue, response: Response) -> Response {
    let small = response.body().size_hint().exact().is_some_and(|size| size < COMPRESS_BYTES);
    if small || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let mut request = Request::new(Body::empty());
    request.headers_mut().insert(ACCEPT_ENCODING, accept);
    let mut response = Some(response);
    let service = tower::service_fn(move |_: Request<Body>| {
        let response = response.take().unwrap_or_default();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let layer = CompressionLayer::new().gzip(true).br(true).quality(CompressionLevel::Fastest);
    match layer.layer(service).oneshot(request).await {
        Ok(compressed) => compressed.map(Body::new),
        Err(never) => match never {},
    }
}
