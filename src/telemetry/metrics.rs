//! The numbers of `/metrics`, in the OpenMetrics text that Prometheus reads.
//!
//! Requests are counted here as they end. The parts below the edge keep their
//! own counters; they are read as snapshots when somebody scrapes. Every label
//! takes its values from a fixed set, so that the page cannot grow without
//! bound. `docs/METRICS.md` lists the names.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::base::{ApiError, Code};

/// What `Content-Type` the page has.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// From a fast primary-key read to the longest request.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabels {
    code: &'static str,
    by: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// A pool of connections at one moment.
#[derive(Debug, Clone, Default)]
pub struct PoolSnapshot {
    pub pool: &'static str,
    /// The source whose database it connects to.
    pub source: Arc<str>,
    pub max: u64,
    pub idle: u64,
    pub in_use: u64,
    /// Requests that wait for a connection.
    pub waiting: u64,
    pub opened: u64,
    /// Connections that were cancelled and closed with work in flight.
    pub cancelled: u64,
    /// Requests that got no connection in time.
    pub refused: u64,
    pub round_trips: u64,
    pub statement_hits: u64,
    pub statement_misses: u64,
    pub statement_evictions: u64,
}

/// The engine at one moment.
#[derive(Debug, Clone, Default)]
pub struct EngineSnapshot {
    pub plan_hits: u64,
    pub plan_misses: u64,
    pub plan_evictions: u64,
    pub plan_entries: u64,
    pub plan_bytes: u64,
    /// Kept answers, by what came of asking for them.
    pub answer_hits: u64,
    pub answer_misses: u64,
    pub answer_bypasses: u64,
    /// Redis gave no answer.
    pub answer_failures: u64,
    pub answer_entries: u64,
    pub answer_bytes: u64,
    pub catalog_generation: u64,
    pub catalog_reloads: u64,
    pub catalog_reload_failures: u64,
    /// Subscriptions that are kept current.
    pub subscriptions: u64,
    /// Triggers of metadata whose events this version does not deliver.
    pub event_triggers_undelivered: u64,
    pub cron_triggers_undelivered: u64,
    /// Readings of subscriptions, by what came of them.
    pub readings_changed: u64,
    pub readings_unchanged: u64,
    pub readings_failed: u64,
    /// Groups of subscriptions by how they learn of changes.
    pub woken_groups: u64,
    pub polled_groups: u64,
    pub tables_log: u64,
    pub tables_triggers: u64,
    pub tables_polled: u64,
    pub live_streaming: u64,
    pub live_remembered: u64,
    pub live_commits: u64,
    pub live_gaps: u64,
    pub live_place: u64,
    pub live_delay: Duration,
    pub unshareable: u64,
    pub wakes: u64,
    pub wakes_spared: u64,
    pub wakes_settled: u64,
    pub audits_same: u64,
    pub audits_mismatch: u64,
}

/// Reads the counters of other parts when somebody scrapes.
pub trait Snapshots: Send + Sync + 'static {
    fn pools(&self) -> Vec<PoolSnapshot>;
    fn engine(&self) -> EngineSnapshot;
}

/// The counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    errors: Family<CodeLabels, Counter>,
    sockets: Family<ProtocolLabels, Gauge>,
    socket_operations: Gauge,
    socket_frames: Counter,
    socket_closes: Family<CloseLabels, Counter>,
}

/// Who ended a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Server,
    Client,
    /// Nobody said anything: the connection broke, or the client was gone.
    Lost,
}

impl Ending {
    pub const fn as_str(self) -> &'static str {
        match self {
            Ending::Server => "server",
            Ending::Client => "client",
            Ending::Lost => "lost",
        }
    }
}

/// The codes that a socket is closed with; a client may send others.
const CLOSE_CODES: [(u16, &str); 16] = [
    (1000, "1000"),
    (1001, "1001"),
    (1002, "1002"),
    (1003, "1003"),
    (1007, "1007"),
    (1009, "1009"),
    (1011, "1011"),
    (1012, "1012"),
    (1013, "1013"),
    (4400, "4400"),
    (4401, "4401"),
    (4403, "4403"),
    (4406, "4406"),
    (4408, "4408"),
    (4409, "4409"),
    (4429, "4429"),
];

/// Counts something as open while it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts a request as in flight while it lives.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub fn new(snapshots: Option<Arc<dyn Snapshots>>) -> Self {
        let mut registry = Registry::with_prefix("ringfence");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register(
            "http_requests",
            "Requests answered, by endpoint and HTTP status",
            requests.clone(),
        );
        let durations =
            Family::<EndpointLabels, Histogram, fn() -> Histogram>::new_with_constructor(|| {
                Histogram::new(BUCKETS)
            });
        registry.register(
            "http_request_duration_seconds",
            "Time from the request's head to the answer's",
            durations.clone(),
        );
        let in_flight = Gauge::default();
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            in_flight.clone(),
        );
        let errors = Family::<CodeLabels, Counter>::default();
        for code in Code::ALL {
            // Rates need a zero to start from.
            errors.get_or_create(&CodeLabels { code: code.as_str() }).inc_by(0);
        }
        registry.register("errors", "Errors told to clients, by code", errors.clone());
        let sockets = Family::<ProtocolLabels, Gauge>::default();
        registry.register(
            "sockets",
            "Open WebSockets and event streams, by protocol",
            sockets.clone(),
        );
        let socket_operations = Gauge::default();
        registry.register(
            "socket_operations",
            "Operations of WebSockets that run or wait",
            socket_operations.clone(),
        );
        let socket_frames = Counter::default();
        registry.register(
            "socket_frames_sent",
            "Messages sent over WebSockets and event streams",
            socket_frames.clone(),
        );
        let socket_closes = Family::<CloseLabels, Counter>::default();
        registry.register(
            "socket_closes",
            "WebSockets that ended, by close code and by who ended them",
            socket_closes.clone(),
        );
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The running version; always 1", build);
        registry.register_collector(Box::new(Process { started: SystemTime::now() }));
        if let Some(snapshots) = snapshots {
            registry.register_collector(Box::new(Parts(snapshots)));
        }
        Metrics {
            registry,
            requests,
            durations,
            in_flight,
            errors,
            sockets,
            socket_operations,
            socket_frames,
            socket_closes,
        }
    }

    /// A socket that is open while the value lives.
    pub fn socket(&self, protocol: &'static str) -> Counted {
        Counted::new(&self.sockets.get_or_create(&ProtocolLabels { protocol }))
    }

    /// An operation of a socket, while the value lives.
    pub fn socket_operation(&self) -> Counted {
        Counted::new(&self.socket_operations)
    }

    pub fn socket_frame(&self) {
        self.socket_frames.inc();
    }

    /// `code` is none when nobody said one.
    pub fn socket_closed(&self, code: Option<u16>, by: Ending) {
        let code = match code {
            None => "none",
            Some(code) => CLOSE_CODES
                .iter()
                .find(|(known, _)| *known == code)
                .map_or("other", |(_, text)| text),
        };
        self.socket_closes.get_or_create(&CloseLabels { code, by: by.as_str() }).inc();
    }

    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    pub fn request(&self, endpoint: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { endpoint, status }).inc();
        self.durations.get_or_create(&EndpointLabels { endpoint }).observe(took.as_secs_f64());
    }

    pub fn error(&self, error: &ApiError) {
        self.errors.get_or_create(&CodeLabels { code: error.code.as_str() }).inc();
    }

    /// The page.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

struct Parts(Arc<dyn Snapshots>);

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

type Read<S> = fn(&S) -> u64;

/// A metric of pools: name, help, and a reading for each value of the second label.
type PoolFamily = (&'static str, &'static str, &'static [(&'static str, Read<PoolSnapshot>)]);

/// The label that tells the readings of one family apart; none when there is one.
const POOL_GAUGES: [(PoolFamily, &str); 3] = [
    (
        (
            "pool_connections",
            "Open connections to Postgres, by pool and state",
            &[("idle", |p| p.idle), ("in_use", |p| p.in_use)],
        ),
        "state",
    ),
    (("pool_connections_max", "Connections that a pool may open", &[("", |p| p.max)]), ""),
    (("pool_waiting", "Requests that wait for a connection", &[("", |p| p.waiting)]), ""),
];

const POOL_COUNTERS: [(PoolFamily, &str); 5] = [
    (("pool_opened", "Connections opened", &[("", |p| p.opened)]), ""),
    (
        (
            "pool_cancelled",
            "Connections closed with work in flight, their statement cancelled",
            &[("", |p| p.cancelled)],
        ),
        "",
    ),
    (("pool_refused", "Requests that got no connection in time", &[("", |p| p.refused)]), ""),
    (("pg_round_trips", "Round trips to Postgres", &[("", |p| p.round_trips)]), ""),
    (
        (
            "statement_cache",
            "Look-ups and evictions of prepared statements",
            &[
                ("hit", |p| p.statement_hits),
                ("miss", |p| p.statement_misses),
                ("eviction", |p| p.statement_evictions),
            ],
        ),
        "result",
    ),
];

const ENGINE_GAUGES: [(&str, &str, Read<EngineSnapshot>); 17] = [
    ("subscriptions", "Subscriptions that are kept current", |e| e.subscriptions),
    (
        "event_triggers_undelivered",
        "Event triggers whose events are captured and not delivered",
        |e| e.event_triggers_undelivered,
    ),
    ("cron_triggers_undelivered", "Cron triggers that are kept and not run", |e| {
        e.cron_triggers_undelivered
    }),
    ("live_groups_woken", "Groups of subscriptions that wait for a commit", |e| e.woken_groups),
    ("live_groups_polled", "Groups of subscriptions that are read again and again", |e| {
        e.polled_groups
    }),
    ("live_tables_log", "Tables of subscriptions of which the write-ahead log tells", |e| {
        e.tables_log
    }),
    ("live_tables_triggered", "Tables of subscriptions of which triggers tell", |e| {
        e.tables_triggers
    }),
    ("live_tables_polled", "Tables of subscriptions that are read again and again", |e| {
        e.tables_polled
    }),
    ("live_streaming", "Whether the write-ahead log is followed", |e| e.live_streaming),
    ("live_log_place_bytes", "The place in the write-ahead log that all is told up to", |e| {
        e.live_place
    }),
    ("live_unshareable_operations", "Operations whose subscriptions share no reading", |e| {
        e.unshareable
    }),
    (
        "live_remembered",
        "Rows and values that are remembered to tell whom a change concerns",
        |e| e.live_remembered,
    ),
    ("plan_cache_entries", "Compiled operations kept", |e| e.plan_entries),
    ("plan_cache_bytes", "Memory of compiled operations", |e| e.plan_bytes),
    ("response_cache_entries", "Answers kept in this process", |e| e.answer_entries),
    ("response_cache_bytes", "Memory of answers that are kept", |e| e.answer_bytes),
    ("catalog_generation", "Which reading of the database's catalogue is in use", |e| {
        e.catalog_generation
    }),
];

/// As [`PoolFamily`], for counters of the engine with the label `result`.
type EngineFamily = (&'static str, &'static str, &'static [(&'static str, Read<EngineSnapshot>)]);

const ENGINE_COUNTERS: [EngineFamily; 7] = [
    (
        "plan_cache",
        "Look-ups and evictions of compiled operations",
        &[
            ("hit", |e| e.plan_hits),
            ("miss", |e| e.plan_misses),
            ("eviction", |e| e.plan_evictions),
        ],
    ),
    (
        "response_cache",
        "Queries with @cached, and failures of Redis",
        &[
            ("hit", |e| e.answer_hits),
            ("miss", |e| e.answer_misses),
            ("bypass", |e| e.answer_bypasses),
            ("failure", |e| e.answer_failures),
        ],
    ),
    (
        "catalog_reloads",
        "Readings of the database's catalogue",
        &[("ok", |e| e.catalog_reloads), ("failed", |e| e.catalog_reload_failures)],
    ),
    (
        "subscription_readings",
        "Readings of subscriptions, by whether the answer changed",
        &[
            ("changed", |e| e.readings_changed),
            ("unchanged", |e| e.readings_unchanged),
            ("failed", |e| e.readings_failed),
        ],
    ),
    (
        "live_commits",
        "Commits that the write-ahead log told of, and times that it was lost",
        &[("told", |e| e.live_commits), ("gap", |e| e.live_gaps)],
    ),
    (
        "live_wakes",
        "Groups that a commit woke, that their keys spared, and that had seen it already",
        &[("woken", |e| e.wakes), ("spared", |e| e.wakes_spared), ("seen", |e| e.wakes_settled)],
    ),
    (
        "live_audits",
        "Shared readings that were compared with a member's own",
        &[("same", |e| e.audits_same), ("mismatch", |e| e.audits_mismatch)],
    ),
];

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Collector for Parts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let pools = self.0.pools();
        let each_pool = |((name, help, readings), label): &(PoolFamily, &'static str),
                         counter: bool,
                         encoder: &mut DescriptorEncoder<'_>|
         -> Result<(), fmt::Error> {
            let kind = if counter {
                ConstCounter::new(0u64).metric_type()
            } else {
                gauge(0).metric_type()
            };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for pool in &pools {
                for (value, read) in *readings {
                    let all = [("pool", pool.pool), ("source", &pool.source), (*label, *value)];
                    let [of_pool, of_source, _] = all;
                    let both = [of_pool, of_source];
                    let metric = if label.is_empty() {
                        family.encode_family(&both)?
                    } else {
                        family.encode_family(&all)?
                    };
                    if counter {
                        ConstCounter::new(read(pool)).encode(metric)?;
                    } else {
                        gauge(read(pool)).encode(metric)?;
                    }
                }
            }
            Ok(())
        };
        for family in &POOL_GAUGES {
            each_pool(family, false, &mut encoder)?;
        }
        for family in &POOL_COUNTERS {
            each_pool(family, true, &mut encoder)?;
        }
        let engine = self.0.engine();
        for (name, help, read) in ENGINE_GAUGES {
            let value = gauge(read(&engine));
            let metric = encoder.encode_descriptor(name, help, None, value.metric_type())?;
            value.encode(metric)?;
        }
        let delay = ConstGauge::new(engine.live_delay.as_secs_f64());
        let metric = encoder.encode_descriptor(
            "live_log_delay_seconds",
            "From the last commit that the write-ahead log told of to its being sent",
            None,
            delay.metric_type(),
        )?;
        delay.encode(metric)?;
        for (name, help, readings) in ENGINE_COUNTERS {
            let kind = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (value, read) in readings {
                let label = [("result", *value)];
                let metric = family.encode_family(&label)?;
                ConstCounter::new(read(&engine)).encode(metric)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Process {
    started: SystemTime,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let since = self.started.duration_since(SystemTime::UNIX_EPOCH);
        let started = ConstGauge::new(since.map_or(0.0, |since| since.as_secs_f64()));
        let metric = encoder.encode_descriptor(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            None,
            started.metric_type(),
        )?;
        started.encode(metric)?;
        if let Some(bytes) = resident_bytes() {
            let resident = gauge(bytes);
            let metric = encoder.encode_descriptor(
                "process_resident_memory_bytes",
                "Resident memory of the process",
                None,
                resident.metric_type(),
            )?;
            resident.encode(metric)?;
        }
        Ok(())
    }
}

/// Linux tells in `/proc`; elsewhere the metric is absent.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Snapshots for Fixed {
        fn pools(&self) -> Vec<PoolSnapshot> {
            let source = "default".into();
            let (in_use, round_trips) = (3, 9);
            vec![PoolSnapshot {
                pool: "request",
                source,
                in_use,
                round_trips,
                ..Default::default()
            }]
        }

        fn engine(&self) -> EngineSnapshot {
            EngineSnapshot { plan_hits: 7, plan_bytes: 1024, ..Default::default() }
        }
    }

    #[test]
    fn the_page_has_every_family() {
        let metrics = Metrics::new(Some(Arc::new(Fixed)));
        metrics.request("graphql", 200, Duration::from_millis(3));
        metrics.error(&ApiError::new(Code::InvalidJwt, "no"));
        let _open = metrics.socket("graphql-ws");
        drop(metrics.socket("graphql-ws"));
        metrics.socket_closed(Some(4403), Ending::Server);
        metrics.socket_closed(Some(3999), Ending::Client);
        metrics.socket_closed(None, Ending::Lost);
        let page = metrics.page().expect("text");
        for line in [
            "ringfence_http_requests_total{endpoint=\"graphql\",status=\"200\"} 1",
            "ringfence_http_request_duration_seconds_count{endpoint=\"graphql\"} 1",
            "ringfence_http_requests_in_flight 0",
            "ringfence_errors_total{code=\"invalid-jwt\"} 1",
            "ringfence_errors_total{code=\"access-denied\"} 0",
            "ringfence_pool_connections{pool=\"request\",source=\"default\",state=\"in_use\"} 3",
            "ringfence_pg_round_trips_total{pool=\"request\",source=\"default\"} 9",
            "ringfence_plan_cache_total{result=\"hit\"} 7",
            "ringfence_plan_cache_bytes 1024",
            "ringfence_sockets{protocol=\"graphql-ws\"} 1",
            "ringfence_socket_operations 0",
            "ringfence_socket_frames_sent_total 0",
            "ringfence_socket_closes_total{code=\"4403\",by=\"server\"} 1",
            "ringfence_socket_closes_total{code=\"other\",by=\"client\"} 1",
            "ringfence_socket_closes_total{code=\"none\",by=\"lost\"} 1",
            "ringfence_subscriptions 0",
            "ringfence_event_triggers_undelivered 0",
            "ringfence_build_info{version=",
            "# EOF",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
        // Every family is documented.
        let docs = include_str!("../../docs/METRICS.md");
        for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().expect("a name");
            assert!(docs.contains(&format!("`{name}")), "{name} is not in docs/METRICS.md");
        }
    }
}
