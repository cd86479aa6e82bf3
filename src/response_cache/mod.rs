//! Floor 1: answers that are kept for a while.
//!
//! ```text
//! engine ─▶ ResponseCache ─┬▶ local   memory of this process, bounded
//!                          └▶ shared  Redis; what it cannot answer is not there
//! ```
//!
//! A [`Key`] is a digest of all that decided on an answer; nothing else is known
//! of it here, so whoever makes keys decides who may see what.

mod key;
mod local;
mod shared;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

pub use key::{Key, KeyBuilder};
pub use shared::RedisError;

use local::Local;
use shared::Shared;

/// How answers are kept.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// Memory of this process; 0 keeps nothing.
    pub bytes: u64,
    /// The largest answer.
    pub entry_bytes: u64,
    /// The longest that one is kept.
    pub max_ttl: Duration,
    pub redis: Option<RedisOptions>,
}

#[derive(Clone)]
pub struct RedisOptions {
    pub url: String,
    /// Begins every key.
    pub prefix: String,
    /// How long it may take to answer.
    pub timeout: Duration,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// An answer that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub answer: Bytes,
    pub age: Duration,
    /// For how long it was to be kept in all.
    pub ttl: Duration,
}

/// Counters for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseCacheStats {
    pub hits: u64,
    pub misses: u64,
    /// Answers that must not be kept.
    pub bypassed: u64,
    /// Redis gave no answer, or a wrong one.
    pub failures: u64,
    /// In this process.
    pub entries: u64,
    pub bytes: u64,
}

#[derive(Debug)]
enum Place {
    Nowhere,
    Local(Local),
    Shared(Box<Shared>),
}

#[derive(Debug)]
pub struct ResponseCache {
    place: Place,
    entry_bytes: u64,
    max_ttl: Duration,
    hits: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
}

impl ResponseCache {
    /// Keeps nothing.
    pub fn off() -> Self {
        ResponseCache::at(Place::Nowhere, 0, Duration::ZERO)
    }

    /// An error is a URL that cannot be used; no connection is made yet.
    pub fn new(options: &CacheOptions) -> Result<Self, RedisError> {
        let place = match &options.redis {
            Some(redis) => Place::Shared(Box::new(Shared::new(redis)?)),
            None if options.bytes == 0 => Place::Nowhere,
            None => Place::Local(Local::new(options.bytes, options.entry_bytes)),
        };
        Ok(ResponseCache::at(place, options.entry_bytes, options.max_ttl))
    }

    fn at(place: Place, entry_bytes: u64, max_ttl: Duration) -> Self {
        ResponseCache {
            place,
            entry_bytes,
            max_ttl,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
        }
    }

    /// How long an answer is kept for which `seconds` were asked; `None` when it
    /// is not kept at all.
    pub fn ttl(&self, seconds: i64) -> Option<Duration> {
        let asked = Duration::from_secs(u64::try_from(seconds).ok()?).min(self.max_ttl);
        (!asked.is_zero() && !matches!(self.place, Place::Nowhere)).then_some(asked)
    }

    /// An answer that is at most `oldest` old.
    pub async fn get(&self, key: &Key, oldest: Duration) -> Option<Found> {
        let found = match &self.place {
            Place::Nowhere => None,
            Place::Local(local) => local.get(key),
            Place::Shared(shared) => shared.get(key).await,
        };
        let found = found.filter(|found| found.age < oldest.min(found.ttl));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps an answer; whether it is kept now.
    pub async fn put(&self, key: &Key, answer: &Bytes, ttl: Duration) -> bool {
        if answer.len() as u64 > self.entry_bytes {
            self.count_bypass();
            return false;
        }
        match &self.place {
            Place::Nowhere => false,
            Place::Local(local) => local.put(key, answer, ttl),
            Place::Shared(shared) => shared.put(key, answer, ttl).await,
        }
    }

    /// Frees what this process keeps; nobody asks for the old keys any more.
    pub fn clear(&self) {
        if let Place::Local(local) = &self.place {
            local.clear();
        }
    }

    /// Counts an answer that must not be kept.
    pub fn count_bypass(&self) {
        self.bypassed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stats(&self) -> ResponseCacheStats {
        let (entries, bytes, failures) = match &self.place {
            Place::Nowhere => (0, 0, 0),
            Place::Local(local) => (local.entries(), local.bytes(), 0),
            Place::Shared(shared) => (0, 0, shared.failures()),
        };
        ResponseCacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bypassed: self.bypassed.load(Ordering::Relaxed),
            failures,
            entries,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(bytes: u64, entry_bytes: u64) -> ResponseCache {
        let max_ttl = Duration::from_secs(300);
        let options = CacheOptions { bytes, entry_bytes, max_ttl, redis: None };
        ResponseCache::new(&options).expect("has no URL")
    }

    fn key(of: usize) -> Key {
        let mut key = KeyBuilder::new();
        key.text(&of.to_string());
        key.finish()
    }

    #[tokio::test]
    async fn memory_stays_within_its_bound() {
        let bound = 256 * 1024;
        let cache = cache(bound, 16 * 1024);
        let answer = Bytes::from(vec![b'x'; 4 * 1024]);
        for of in 0..1_000 {
            assert!(cache.put(&key(of), &answer, Duration::from_secs(60)).await);
            assert!(cache.stats().bytes <= bound);
        }
        let entries = cache.stats().entries;
        assert!((32..=64).contains(&entries), "{entries}");
        let large = Bytes::from(vec![b'x'; 16 * 1024 + 1]);
        assert!(!cache.put(&key(0), &large, Duration::from_secs(60)).await);
        cache.clear();
        assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    }

    #[tokio::test]
    async fn an_answer_is_as_old_as_its_reader_allows() {
        let cache = cache(1024 * 1024, 1024);
        let answer = Bytes::from_static(b"{}");
        cache.put(&key(1), &answer, Duration::from_secs(60)).await;
        let found = cache.get(&key(1), Duration::from_secs(60)).await.expect("is kept");
        assert_eq!((found.answer, found.ttl), (answer.clone(), Duration::from_secs(60)));
        assert_eq!(cache.get(&key(1), Duration::ZERO).await, None);
        assert_eq!(cache.get(&key(2), Duration::from_secs(60)).await, None);
        cache.put(&key(1), &answer, Duration::ZERO).await;
        assert_eq!(cache.get(&key(1), Duration::from_secs(60)).await, None);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (1, 3));
    }

    #[test]
    fn what_is_kept_is_bounded_in_time() {
        let cache = cache(1024, 1024);
        assert_eq!(cache.ttl(60), Some(Duration::from_secs(60)));
        assert_eq!(cache.ttl(i64::MAX), Some(Duration::from_secs(300)));
        assert_eq!((cache.ttl(0), cache.ttl(-1)), (None, None));
        assert_eq!(ResponseCache::off().ttl(60), None);
    }
}
