//! Answers in Redis, where all servers of an installation find them.
//!
//! An entry is the milliseconds that it is kept for, as four bytes, and the
//! answer. Redis forgets it by itself, and how long that will take tells its
//! age; no clocks are compared.
//!
//! Redis is never waited for longer than its time-out, and after a failure not
//! asked for a while, so that a Redis that hangs costs requests nothing.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::{Found, Key, RedisOptions};

/// How long Redis is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a connection may take; nobody waits for it that long.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Bytes before the answer.
const HEAD: usize = 4;

/// A URL that no connection can be made with.
#[derive(Debug, thiserror::Error)]
#[error("cache.redis_url: {0}")]
pub struct RedisError(String);

pub(super) struct Shared {
    client: Client,
    connection: OnceCell<ConnectionManager>,
    prefix: String,
    timeout: Duration,
    started: Instant,
    /// Milliseconds after `started` until which Redis is not asked.
    paused_until: AtomicU64,
    /// The last request failed.
    failing: AtomicBool,
    failures: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client knows the password.
        f.debug_struct("Shared").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, RedisError> {
        // Installing twice is harmless: the provider is the same one.
        if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
            tracing::trace!("a TLS provider is installed already");
        }
        // The error's text may show the URL with its password.
        let client = Client::open(options.url.as_str())
            .map_err(|error| RedisError(format!("the URL cannot be read: {}", error.category())))?;
        Ok(Shared {
            client,
            connection: OnceCell::new(),
            prefix: options.prefix.clone(),
            timeout: options.timeout,
            started: Instant::now(),
            paused_until: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        })
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Found> {
        let name = self.name(key);
        let (value, left): (Option<Vec<u8>>, i64) = self
            .ask(async |connection| {
                redis::pipe().get(&name).pttl(&name).query_async(connection).await
            })
            .await?;
        // Negative when there is no such key, or no time-out.
        let left = Duration::from_millis(u64::try_from(left).ok()?);
        found(value?.into(), left)
    }

    pub(super) async fn put(&self, key: &Key, answer: &Bytes, ttl: Duration) -> bool {
        let name = self.name(key);
        let ttl = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        let mut value = Vec::with_capacity(HEAD + answer.len());
        value.extend_from_slice(&ttl.to_be_bytes());
        value.extend_from_slice(answer);
        let kept: Option<()> = self
            .ask(async |connection| {
                redis::pipe().pset_ex(&name, &value, u64::from(ttl)).query_async(connection).await
            })
            .await;
        kept.is_some()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The answer of Redis; none when there is none in time.
    async fn ask<T>(
        &self,
        work: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<T>,
    ) -> Option<T> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now < self.paused_until.load(Ordering::Relaxed) {
            return None;
        }
        let asking = async {
            let mut connection = self.connection().await?.clone();
            work(&mut connection).await
        };
        let problem = match self.in_time(asking).await {
            Some(Ok(answer)) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("Redis answers again");
                }
                return Some(answer);
            }
            Some(Err(error)) => error.category().to_owned(),
            None => format!("no answer within {:?} (cache.redis_timeout)", self.timeout),
        };
        self.failures.fetch_add(1, Ordering::Relaxed);
        let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        self.paused_until.store(now.saturating_add(pause), Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(problem, "Redis fails; answers are not kept until it is back");
        }
        None
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout(self.timeout, work).await.ok()
    }

    /// The connection, which is made anew when it breaks.
    async fn connection(&self) -> RedisResult<&ConnectionManager> {
        self.connection
            .get_or_try_init(async || {
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIME))
                    .set_response_timeout(Some(self.timeout))
                    .set_number_of_retries(1);
                ConnectionManager::new_lazy_with_config(self.client.clone(), config)
            })
            .await
    }
}

/// What was kept, `left` before its end.
fn found(mut value: Bytes, left: Duration) -> Option<Found> {
    let head = <[u8; HEAD]>::try_from(value.get(..HEAD)?).ok()?;
    let ttl = Duration::from_millis(u64::from(u32::from_be_bytes(head)));
    Some(Found { answer: value.split_off(HEAD), age: ttl.saturating_sub(left), ttl })
}
