//! One socket: a task that waits for whatever comes first.
//!
//! ```text
//! client ─▶ Decoder ─▶ Guard ─▶ operations (executions, subscriptions)
//!    ▲                               │ one at a time, while there is room
//!    └──────── Outgoing ◀────────────┘
//! ```
//!
//! Nothing here grows with a client that does not read: operations are asked
//! for their next result only while there is room to send it, so subscriptions
//! skip states and executions wait; and messages are taken only while their
//! replies fit. Operations are asked in turn.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use futures_util::future::poll_fn;
use futures_util::stream::{self, AbortHandle, Abortable, BoxStream, SelectAll};
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::frame::{self, Decoder, Message, Opcode, Violation};
use super::guard::{Action, Guard};
use super::protocol::{Close, Id, Protocol, Text};
use super::{FAR, Hub, credentials, id_text};
use crate::base::{ApiError, Code};
use crate::engine::{GraphqlRequest, GraphqlResponse, Renewal, Subscription, Update};
use crate::session::Session;
use crate::telemetry::logging::{self, RequestLine};
use crate::telemetry::metrics::{Counted, Ending};
use crate::transport::places::Place;
use crate::transport::router::{clipped, digest_of};

/// Largest message before the client has proven itself: a token and no more.
const INIT_BYTES: usize = 64 * 1024;
/// Read from the kernel at once, into the stack.
const READ_BYTES: usize = 8 * 1024;
/// Operations are not asked for more while this much waits to be sent.
const SEND_BYTES: usize = 16 * 1024;
/// Messages are not read while this many frames wait to be sent.
const REPLIES: usize = 32;
/// After this many steps something is sent, however much goes on.
const STEPS: usize = 32;
/// Executions of one socket that run at once; others wait their turn.
const AT_ONCE: usize = 8;
/// How long a client may take to end its side.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// What a client that is being closed is listened to.
const CLOSE_BYTES: u64 = 4 * 1024 * 1024;

/// For the log.
#[derive(Debug)]
pub(super) struct Who {
    pub(super) request_id: HeaderValue,
    pub(super) address: IpAddr,
}

/// Who asks, and what handlers of actions are told; operations that wait for
/// their turn look at it when it comes.
#[derive(Debug, Clone)]
struct Caller {
    session: Arc<Session>,
    /// Headers that count, where handlers wanted them at the last proof.
    headers: Option<Arc<HeaderMap>>,
}

/// What is held of a running operation.
#[derive(Debug)]
struct Running {
    abort: AbortHandle,
    /// Of a subscription.
    renewal: Option<Renewal>,
    _counted: Counted,
}

/// What an operation has come to.
enum Event {
    Answer(Id, Record, Box<GraphqlResponse>),
    Started(Id, Record, Box<Subscription>),
    Update(Id, Update),
    Complete(Id),
}

/// What is remembered of an operation for its log line.
struct Record {
    started: std::time::Instant,
    session: Arc<Session>,
    operation: Option<Arc<str>>,
    document: Option<String>,
}

/// What happens next.
enum Step {
    Message(Message),
    Violation(Violation),
    Event(Event),
    Timer,
    Stop,
    /// The key of the token is accepted no more.
    Revoked,
    /// There is room again, or a turn was taken.
    Again,
    Lost,
}

/// How a socket ends.
enum End {
    Close(Close),
    /// The client closed, with this code.
    ByClient(Option<u16>),
    Lost,
}

#[derive(Debug)]
struct Deadlines {
    init: Option<Instant>,
    keepalive: Option<Instant>,
    ping: Instant,
    expiry: Option<Instant>,
}

impl Deadlines {
    fn next(&self) -> Instant {
        [self.init, self.keepalive, self.expiry].into_iter().flatten().fold(self.ping, Instant::min)
    }
}

pub(super) struct Socket<S> {
    hub: Arc<Hub>,
    stream: S,
    protocol: Protocol,
    decoder: Decoder,
    /// Read, but not looked at yet.
    unread: Bytes,
    out: Outgoing,
    guard: Guard<Running>,
    operations: SelectAll<Abortable<BoxStream<'static, Event>>>,
    at_once: Arc<Semaphore>,
    /// Of the handshake. What a payload does not replace counts at each renewal.
    handshake: HeaderMap,
    /// Once the client has proven itself.
    caller: Option<Arc<Mutex<Caller>>>,
    /// Of a session that may be revoked.
    revoked: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    place: Place,
    who: Who,
    timer: Pin<Box<Sleep>>,
    deadlines: Deadlines,
    stopping: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Whether the client has shown life since the last ping.
    alive: bool,
    /// Whether operations are asked first the next time.
    operations_first: bool,
    steps: usize,
    opened: Instant,
    _counted: Counted,
}

/// Closes a socket whose sub-protocols are all unknown.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut out = Outgoing::default();
    let close = Close::NOT_ACCEPTABLE;
    out.push(frame::close(close.code, &close.reason));
    finish(&mut stream, &mut out).await;
}

/// Sends what is left and waits for the client to end its side, so that it
/// reads the last frames and not a reset connection.
async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, out: &mut Outgoing) {
    let finishing = async {
        poll_fn(|cx| out.poll_write(stream, cx)).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(CLOSE_BYTES), &mut tokio::io::sink()).await
    };
    match tokio::time::timeout(CLOSE_TIME, finishing).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client did not wait for the end"),
        Err(_) => tracing::debug!("a client did not end its side of a socket"),
    }
}

fn lock(caller: &Mutex<Caller>) -> MutexGuard<'_, Caller> {
    caller.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The caller that these headers prove.
async fn prove(hub: &Hub, headers: &HeaderMap) -> Result<Arc<Session>, ApiError> {
    // Boxed: the socket's task would be larger for all of its life.
    let proving = Box::pin(hub.auth.authenticate(headers));
    match tokio::time::timeout(hub.options.init_timeout, proving).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::new(
            Code::ServiceUnavailable,
            "the caller could not be verified in time; try again in a moment",
        )),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(
        hub: Arc<Hub>,
        stream: S,
        protocol: Protocol,
        headers: HeaderMap,
        place: Place,
        who: Who,
    ) -> Self {
        let now = Instant::now();
        let options = &hub.options;
        let deadlines = Deadlines {
            init: Some(now + options.init_timeout),
            keepalive: None,
            ping: now + options.ping,
            expiry: None,
        };
        Socket {
            stream,
            protocol,
            decoder: Decoder::new(INIT_BYTES.min(options.message_bytes)),
            unread: Bytes::new(),
            out: Outgoing::default(),
            guard: Guard::new(protocol, options.operations),
            operations: SelectAll::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            handshake: credentials::detached(&headers),
            caller: None,
            revoked: None,
            place,
            who,
            timer: Box::pin(sleep_until(deadlines.next())),
            deadlines,
            stopping: Some(Box::pin(hub.stopping.clone().cancelled_owned())),
            alive: true,
            operations_first: true,
            steps: 0,
            opened: now,
            _counted: hub.metrics.socket(protocol.name()),
            hub,
        }
    }

    pub(super) async fn run(mut self) {
        let end = loop {
            let step = poll_fn(|cx| self.poll_step(cx)).await;
            if let Some(end) = self.take_step(step).await {
                break end;
            }
            let next = self.deadlines.next();
            if next != self.timer.deadline() {
                self.timer.as_mut().reset(next);
            }
        };
        // Whatever runs is given up before the client is waited for.
        self.operations = SelectAll::new();
        self.guard = Guard::new(self.protocol, 0);
        self.log_end(&end);
        let code = match &end {
            End::Close(close) => close.code,
            End::ByClient(code) => code.unwrap_or(1000),
            End::Lost => return,
        };
        let reason = match &end {
            End::Close(close) => &*close.reason,
            _ => "",
        };
        self.out.push(frame::close(code, reason));
        finish(&mut self.stream, &mut self.out).await;
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Timer);
        }
        if let Some(stopping) = &mut self.stopping
            && stopping.as_mut().poll(cx).is_ready()
        {
            self.stopping = None;
            return Poll::Ready(Step::Stop);
        }
        if let Some(revoked) = &mut self.revoked
            && revoked.as_mut().poll(cx).is_ready()
        {
            self.revoked = None;
            return Poll::Ready(Step::Revoked);
        }
        let mut skipped = false;
        if self.steps < STEPS {
            for operations in [self.operations_first, !self.operations_first] {
                let step = if operations {
                    skipped |= self.out.is_full();
                    self.poll_operations(cx)
                } else {
                    skipped |= self.out.has_many();
                    self.poll_message(cx)
                };
                if step.is_ready() {
                    self.operations_first = !operations;
                    self.steps += 1;
                    return step;
                }
            }
        } else {
            skipped = true;
        }
        self.steps = 0;
        let (was_blocked, before) = (self.out.blocked, self.out.bytes);
        if let Poll::Ready(Err(_)) = self.out.poll_write(&mut self.stream, cx) {
            return Poll::Ready(Step::Lost);
        }
        // What could not be sent before can be sent now: somebody reads.
        self.alive |= was_blocked && self.out.bytes < before;
        let room = !self.out.is_full() && !self.out.has_many();
        if skipped && room { Poll::Ready(Step::Again) } else { Poll::Pending }
    }

    fn poll_operations(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.out.is_full() {
            return Poll::Pending;
        }
        match self.operations.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Step::Event(event)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.out.has_many() {
            return Poll::Pending;
        }
        loop {
            if !self.unread.is_empty() {
                let mut input = &self.unread[..];
                let read = self.decoder.read(&mut input);
                let used = self.unread.len() - input.len();
                self.unread.advance(used);
                if self.unread.is_empty() {
                    self.unread = Bytes::new();
                }
                match read {
                    Ok(Some(message)) => return Poll::Ready(Step::Message(message)),
                    Err(violation) => return Poll::Ready(Step::Violation(violation)),
                    Ok(None) => {}
                }
            }
            let mut buffer = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            if ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).is_err()
                || buffer.filled().is_empty()
            {
                return Poll::Ready(Step::Lost);
            }
            self.alive = true;
            let mut input = buffer.filled();
            match self.decoder.read(&mut input) {
                Ok(Some(message)) => {
                    self.unread = Bytes::copy_from_slice(input);
                    return Poll::Ready(Step::Message(message));
                }
                Err(violation) => return Poll::Ready(Step::Violation(violation)),
                Ok(None) => {}
            }
        }
    }

    async fn take_step(&mut self, step: Step) -> Option<End> {
        match step {
            Step::Again => None,
            Step::Lost => Some(End::Lost),
            Step::Timer => self.tick(),
            Step::Revoked => Some(End::Close(Close::REVOKED)),
            Step::Stop => {
                for running in self.guard.running().filter(|running| running.renewal.is_some()) {
                    running.abort.abort();
                }
                self.end_if_drained()
            }
            Step::Violation(violation) => {
                Some(End::Close(Close::new(violation.close_code(), violation.reason())))
            }
            Step::Event(event) => self.take_event(event),
            Step::Message(message) => {
                let action = match message {
                    Message::Text(text) => {
                        let auth = &self.hub.auth;
                        self.guard.receive(&text, &|name| auth.is_proof(name))
                    }
                    Message::Binary => self.guard.receive_binary(),
                    Message::Ping(payload) => {
                        self.out.push(frame::control(Opcode::Pong, &payload));
                        return None;
                    }
                    Message::Pong => return None,
                    Message::Close(code) => return Some(End::ByClient(code)),
                };
                self.act(action).await
            }
        }
    }

    async fn act(&mut self, action: Action<Running>) -> Option<End> {
        match action {
            Action::Nothing => None,
            Action::Tell(texts) => {
                self.tell(texts);
                None
            }
            Action::Close(close) => Some(End::Close(close)),
            Action::Stop(running) => {
                running.abort.abort();
                None
            }
            Action::Start(id, request) => {
                self.start(id, request);
                None
            }
            Action::Authenticate(headers) => self.authenticate(headers).await,
            Action::Renew(headers) => {
                self.renew(headers).await;
                None
            }
        }
    }

    /// Who opens the connection: the payload says, else the handshake does.
    async fn authenticate(&mut self, payload: HeaderMap) -> Option<End> {
        let headers = credentials::over(&self.handshake, payload, &self.hub.auth);
        let error = match prove(&self.hub.clone(), &headers).await {
            Ok(session) => {
                if let Err(error) = self.place.claim(&session) {
                    return Some(End::Close(Close::too_many(&error)));
                }
                let options = &self.hub.options;
                self.decoder.set_limit(options.message_bytes);
                self.deadlines.init = None;
                if self.protocol == Protocol::Legacy {
                    self.deadlines.keepalive = Some(Instant::now() + options.keepalive);
                }
                let headers = self.hub.engine.wants_headers().then(|| Arc::new(headers));
                self.set_caller(Caller { session, headers });
                let texts = self.guard.accepted();
                self.tell(texts);
                return None;
            }
            Err(error) => error,
        };
        self.hub.metrics.error(&error);
        match self.guard.rejected(&error) {
            Action::Tell(texts) => {
                self.tell(texts);
                None
            }
            Action::Close(close) => Some(End::Close(close)),
            _ => None,
        }
    }

    /// A new token for the same caller; whatever runs goes on with it.
    async fn renew(&mut self, mut headers: HeaderMap) {
        let Some(old) = self.session() else { return };
        let for_handlers =
            self.hub.engine.wants_headers().then(|| {
                Arc::new(credentials::over(&self.handshake, headers.clone(), &self.hub.auth))
            });
        for (name, value) in
            [("x-hasura-role", Some(&old.role)), ("x-tenant-id", old.tenant.as_ref())]
        {
            if let Some(value) = value
                && !headers.contains_key(name)
                && let Ok(value) = HeaderValue::from_str(value)
            {
                headers.insert(name, value);
            }
        }
        let outcome = prove(&self.hub.clone(), &headers).await.and_then(|new| {
            let same = (new.proof, &new.user, &new.tenant) == (old.proof, &old.user, &old.tenant);
            if same {
                return Ok(new);
            }
            let message = "the new token is of another user or tenant; open a new socket for it";
            Err(ApiError::new(Code::AccessDenied, message))
        });
        let texts = self.guard.renewed(outcome.as_deref());
        match outcome {
            Ok(session) => {
                for renewal in self.guard.running().filter_map(|running| running.renewal.as_ref()) {
                    renewal.renew(session.clone());
                }
                self.set_caller(Caller { session, headers: for_handlers });
            }
            Err(error) => self.hub.metrics.error(&error),
        }
        self.tell(texts);
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.caller.as_ref().map(|caller| lock(caller).session.clone())
    }

    fn set_caller(&mut self, new: Caller) {
        self.set_expiry(&new.session);
        let revoked = new.session.revoked.clone();
        self.revoked = revoked.map(|revoked| Box::pin(revoked.cancelled_owned()));
        match &self.caller {
            Some(caller) => *lock(caller) = new,
            None => self.caller = Some(Arc::new(Mutex::new(new))),
        }
    }

    fn set_expiry(&mut self, session: &Session) {
        self.deadlines.expiry = session.expires_at.map(|at| {
            let left = at.duration_since(SystemTime::now()).unwrap_or_default();
            Instant::now() + left.min(FAR)
        });
    }

    fn start(&mut self, id: Id, mut request: GraphqlRequest) {
        let Some(caller) = self.caller.clone() else { return };
        if self.stopping.is_none() {
            return;
        }
        let started = std::time::Instant::now();
        let (abort, registration) = AbortHandle::new_pair();
        let (engine, at_once) = (self.hub.engine.clone(), self.at_once.clone());
        let own = id.clone();
        let running = async move {
            let _place = at_once.acquire_owned().await;
            // It may have been renewed meanwhile.
            let Caller { session, headers } = lock(&caller).clone();
            request.headers = headers;
            let record = Record {
                started,
                session: session.clone(),
                operation: request.operation_name.as_deref().map(Into::into),
                document: logging::requests_are_logged().then(|| digest_of(&request.query)),
            };
            let beginning = async {
                if engine.is_subscription(&session, &request)? {
                    return engine.subscribe(session, request).map(Err);
                }
                Ok(Ok(engine.execute(&session, request).await))
            };
            let begun = AssertUnwindSafe(beginning).catch_unwind().await;
            match begun.unwrap_or_else(|_| Err(ApiError::internal("a panic, see above"))) {
                Ok(Ok(answer)) => Event::Answer(own, record, Box::new(answer)),
                Ok(Err(subscription)) => Event::Started(own, record, Box::new(subscription)),
                Err(error) => Event::Answer(own, record, Box::new(GraphqlResponse::error(error))),
            }
        };
        self.operations.push(Abortable::new(stream::once(running).boxed(), registration));
        let counted = self.hub.metrics.socket_operation();
        self.guard.started(id, Running { abort, renewal: None, _counted: counted });
    }

    fn take_event(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Answer(id, record, answer) => {
                if self.guard.finished(&id) {
                    self.log_operation(
                        &record,
                        answer.operation.as_ref(),
                        answer.errors.as_slice(),
                    );
                    let texts = self.protocol.answer(&id, *answer);
                    self.tell(texts);
                }
            }
            Event::Started(id, record, subscription) => {
                self.log_operation(&record, subscription.operation(), &[]);
                self.follow(id, &record.session, *subscription);
            }
            Event::Update(id, update) => match update {
                _ if !self.guard.is_running(&id) => {}
                Update::Data(data, marks) => {
                    let text = self.protocol.data(&id, data, marks.as_deref());
                    self.tell([text]);
                }
                Update::Failed(error) => {
                    self.hub.metrics.error(&error);
                    let text = self.protocol.failed(&id, &[error]);
                    self.tell([text]);
                }
                Update::Ended(error) => {
                    self.hub.metrics.error(&error);
                    self.guard.finished(&id);
                    let texts = self.protocol.refused(&id, &[error]);
                    self.tell(texts);
                }
            },
            Event::Complete(id) => {
                if self.guard.finished(&id) {
                    let text = self.protocol.complete(&id);
                    self.tell([text]);
                }
            }
        }
        self.end_if_drained()
    }

    /// Sends the states of a subscription that was started as `session`.
    fn follow(&mut self, id: Id, session: &Arc<Session>, subscription: Subscription) {
        let (abort, registration) = AbortHandle::new_pair();
        let renewal = subscription.renewal();
        if let Some(current) = self.session().filter(|now| !Arc::ptr_eq(now, session)) {
            renewal.renew(current);
        }
        let Some(running) = self.guard.running_mut(&id) else { return };
        if self.stopping.is_none() {
            return;
        }
        running.abort = abort;
        running.renewal = Some(renewal);
        let end = stream::once(std::future::ready(Event::Complete(id.clone())));
        let states = subscription.map(move |update| Event::Update(id.clone(), update)).chain(end);
        self.operations.push(Abortable::new(states.boxed(), registration));
    }

    fn tick(&mut self) -> Option<End> {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (keepalive, ping) = (self.hub.options.keepalive, self.hub.options.ping);
        if due(self.deadlines.init) {
            self.deadlines.init = None;
            if let Some(close) = self.guard.init_timed_out() {
                return Some(End::Close(close));
            }
        }
        if due(self.deadlines.expiry) {
            // By the clock on the wall, which may have been set since.
            let session = self.session();
            let expired = |s: &Session| s.expires_at.is_some_and(|at| at <= SystemTime::now());
            match session {
                Some(session) if !expired(&session) => self.set_expiry(&session),
                _ => return Some(End::Close(Close::EXPIRED)),
            }
        }
        if due(self.deadlines.keepalive) {
            self.deadlines.keepalive = Some(now + keepalive);
            if self.out.is_empty() {
                self.tell([Protocol::keep_alive()]);
            }
        }
        if self.deadlines.ping <= now {
            if !self.alive {
                return Some(End::Lost);
            }
            self.alive = false;
            self.deadlines.ping = now + ping;
            if self.out.is_empty() {
                self.out.push(frame::control(Opcode::Ping, b""));
            }
        }
        None
    }

    /// When the server stops, executions end before the socket does.
    fn end_if_drained(&self) -> Option<End> {
        let done = self.guard.running().all(|running| running.renewal.is_some());
        (self.stopping.is_none() && done).then_some(End::Close(Close::GOING_AWAY))
    }

    fn tell(&mut self, texts: impl IntoIterator<Item = Text>) {
        for text in texts {
            self.hub.metrics.socket_frame();
            self.out.push_text(text);
        }
    }

    /// Counts the errors of an operation and logs it as a request.
    fn log_operation(&self, record: &Record, operation: Option<&Arc<str>>, errors: &[ApiError]) {
        for error in errors {
            self.hub.metrics.error(error);
        }
        let error = errors.first();
        let fault = error.filter(|error| error.code.status() >= 500);
        RequestLine {
            request_id: id_text(&self.who.request_id),
            trace_id: None,
            client: self.who.address,
            method: "WS",
            endpoint: "graphql",
            status: error.map_or(200, |error| error.code.status()),
            duration_us: u64::try_from(record.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            role: Some(&*record.session.role),
            operation: operation.or(record.operation.as_ref()).map(|name| clipped(name)),
            document: record.document.as_deref(),
            batch: None,
            code: error.map(|error| error.code.as_str()),
            error: fault.map(|error| &*error.message),
            detail: fault.and_then(|error| error.detail.as_deref()),
        }
        .log();
    }

    fn log_end(&self, end: &End) {
        let (code, by, reason) = match end {
            End::Close(close) => (Some(close.code), Ending::Server, &*close.reason),
            End::ByClient(code) => (*code, Ending::Client, ""),
            End::Lost => (None, Ending::Lost, ""),
        };
        self.hub.metrics.socket_closed(code, by);
        tracing::info!(
            request_id = id_text(&self.who.request_id),
            client = %self.who.address,
            protocol = self.protocol.name(),
            role = self.session().as_deref().map(|session| &*session.role),
            code,
            by = by.as_str(),
            reason,
            seconds = self.opened.elapsed().as_secs(),
            "socket closed"
        );
    }
}

/// Frames on their way to the client.
#[derive(Debug, Default)]
struct Outgoing {
    /// Parts of frames; the first may be sent in part.
    parts: VecDeque<Bytes>,
    bytes: usize,
    /// Frames pushed since everything was sent.
    frames: usize,
    /// Whether the client did not take everything the last time.
    blocked: bool,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes >= SEND_BYTES
    }

    fn has_many(&self) -> bool {
        self.frames >= REPLIES
    }

    /// A whole frame.
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames += 1;
        self.parts.push_back(frame);
    }

    fn push_text(&mut self, text: Text) {
        let room = text.prefix.len() + text.suffix.len();
        let mut head = frame::head(Opcode::Text, text.len(), room);
        head.extend_from_slice(text.prefix.as_bytes());
        let Some(data) = text.data.filter(|data| !data.is_empty()) else {
            head.extend_from_slice(text.suffix.as_bytes());
            return self.push(head.freeze());
        };
        self.push(head.freeze());
        self.bytes += data.len() + text.suffix.len();
        self.parts.extend([data, Bytes::from_static(text.suffix.as_bytes())]);
    }

    /// Ready when everything is sent.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.parts.is_empty() {
            let mut slices = [IoSlice::new(b""); 16];
            for (slice, part) in slices.iter_mut().zip(&self.parts) {
                *slice = IoSlice::new(part);
            }
            let sent = match Pin::new(&mut *stream).poll_write_vectored(cx, &slices) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(sent);
        }
        // Memory for many parts is not kept for the next few.
        self.parts = VecDeque::new();
        self.frames = 0;
        self.blocked = false;
        Pin::new(stream).poll_flush(cx)
    }

    fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(first) = self.parts.front_mut() {
            if sent < first.len() {
                first.advance(sent);
                return;
            }
            sent -= first.len();
            self.parts.pop_front();
        }
    }
}
