//! The log: JSON lines on standard error, or text on a terminal.
//!
//! ```text
//! tracing events ─┐
//!                 ├─▶ LogSink (bounded buffer) ─▶ one thread ─▶ standard error
//! request lines ──┘
//! ```
//!
//! A request must not wait for the reader of the log, so lines are gathered
//! and written by a thread of their own. When the reader is too slow, request
//! lines are dropped and counted; events are never dropped.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::config::{LogConfig, LogFormat};

/// Lines wait no longer than this before they are written.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Above this the writer is woken at once.
const FLUSH_BYTES: usize = 64 * 1024;
/// Above this request lines are dropped.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// The target that `RUST_LOG`-like filters see for request lines.
const TARGET: &str = "ringfence::request";

static SINK: OnceLock<LogSink> = OnceLock::new();

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("logging is set up already")]
    Twice,
    #[error("the log writer could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// Flushes the log when dropped; keep it until the process ends.
#[derive(Debug)]
pub struct LogGuard(LogSink);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush_now();
    }
}

#[derive(Debug, Clone)]
struct LogSink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Held while bytes go out, so that a flush by hand keeps the order.
    out: Mutex<()>,
    json: bool,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    dropped: u64,
}

/// Sets up the log for the process.
pub fn init(config: &LogConfig) -> Result<LogGuard, LogError> {
    let json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let sink = LogSink(Arc::new(Shared {
        pending: Mutex::new(Pending::default()),
        wake: Condvar::new(),
        out: Mutex::new(()),
        json,
    }));
    let writer = sink.clone();
    std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_forever())?;

    let filter = EnvFilter::new(format!("warn,ringfence={}", config.level.as_str()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(sink.clone());
    let installed = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
    };
    installed.map_err(|_| LogError::Twice)?;
    SINK.set(sink.clone()).map_err(|_| LogError::Twice)?;

    let at_panic = sink.clone();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tracing::error!(panic = %info, "a thread panicked");
        at_panic.flush_now();
        before(info);
    }));
    Ok(LogGuard(sink))
}

impl LogSink {
    fn push(&self, line: &[u8], may_drop: bool) {
        let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if may_drop && pending.bytes.len() > BUFFER_BYTES {
            pending.dropped += 1;
            return;
        }
        let before = pending.bytes.len();
        pending.bytes.extend_from_slice(line);
        if before == 0 || (before < FLUSH_BYTES && pending.bytes.len() >= FLUSH_BYTES) {
            self.0.wake.notify_one();
        }
    }

    fn write_forever(&self) {
        loop {
            let pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
            // Sleep while there is nothing, then gather for a moment.
            let pending = self
                .0
                .wake
                .wait_while(pending, |pending| pending.bytes.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .0
                .wake
                .wait_timeout_while(pending, FLUSH_EVERY, |pending| {
                    pending.bytes.len() < FLUSH_BYTES
                })
                .unwrap_or_else(PoisonError::into_inner);
            drop(waited);
            self.flush_now();
        }
    }

    fn flush_now(&self) {
        let _in_order = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let pending =
            std::mem::take(&mut *self.0.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let mut out = io::stderr().lock();
        if out.write_all(&pending.bytes).is_err() {
            // Nobody reads the log; there is nowhere to say so.
            return;
        }
        if pending.dropped > 0 {
            tracing::warn!(
                lines = pending.dropped,
                "request lines were dropped: the log is read too slowly"
            );
        }
    }
}

/// One event on its way into the buffer.
#[derive(Debug)]
pub struct EventWriter(LogSink, Vec<u8>);

impl Write for EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        self.0.push(&self.1, false);
    }
}

impl<'a> MakeWriter<'a> for LogSink {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter(self.clone(), Vec::new())
    }
}

/// What the log says of one request. Never its variables, headers or text.
#[derive(Debug, Serialize)]
pub struct RequestLine<'a> {
    pub request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    pub client: std::net::IpAddr,
    pub method: &'a str,
    pub endpoint: &'static str,
    pub status: u16,
    pub duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'a str>,
    /// A digest of the document, to find equal ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// The cause of a fault of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

/// Whether request lines go anywhere, so that nothing is prepared in vain.
pub fn requests_are_logged() -> bool {
    SINK.get().is_some() && tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

impl RequestLine<'_> {
    /// Writes the line; faults of the server as errors, the rest as information.
    pub fn log(&self) {
        let fault = self.status >= 500 || self.detail.is_some();
        let wanted = if fault {
            tracing::enabled!(target: TARGET, tracing::Level::ERROR)
        } else {
            tracing::enabled!(target: TARGET, tracing::Level::INFO)
        };
        let Some(sink) = SINK.get().filter(|_| wanted) else { return };
        let mut timestamp = String::with_capacity(32);
        if SystemTime.format_time(&mut Writer::new(&mut timestamp)).is_err() {
            timestamp.clear();
        }
        let level = if fault { "ERROR" } else { "INFO" };
        let mut bytes = Vec::with_capacity(384);
        if sink.0.json {
            // What all lines have first, then the fields in the same object.
            bytes.extend_from_slice(b"{\"timestamp\":\"");
            bytes.extend_from_slice(timestamp.as_bytes());
            bytes.extend_from_slice(b"\",\"level\":\"");
            bytes.extend_from_slice(level.as_bytes());
            bytes.extend_from_slice(b"\",\"message\":\"request\"");
            let start = bytes.len();
            if serde_json::to_writer(&mut bytes, self).is_err() {
                return;
            }
            if let Some(brace) = bytes.get_mut(start) {
                *brace = b',';
            }
        } else {
            bytes.extend_from_slice(self.text(&timestamp, level).as_bytes());
        }
        bytes.push(b'\n');
        sink.push(&bytes, true);
    }

    fn text(&self, timestamp: &str, level: &str) -> String {
        let millis = self.duration_us as f64 / 1000.0;
        let mut line = format!(
            "{timestamp} {level:>5} {} {} {} {millis:.1}ms",
            self.method, self.endpoint, self.status
        );
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                write!(line, " {name}={value:?}").unwrap_or_default();
            }
        };
        add("role", self.role);
        add("operation", self.operation);
        add("code", self.code);
        add("error", self.error);
        add("detail", self.detail);
        add("request_id", Some(self.request_id));
        line
    }
}
