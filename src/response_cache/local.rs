//! Answers in the memory of this process.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::{Found, Key};

/// What an entry takes beside its answer, roughly.
const OVERHEAD: u64 = 192;
/// Entries that a part of the memory has room for at least.
const LARGEST_IN_SHARD: u64 = 4;
/// Parts of the memory, each under its own lock.
const SHARDS: u64 = 8;

#[derive(Debug, Clone)]
struct Entry {
    answer: Bytes,
    since: Instant,
    ttl: Duration,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Key, Entry> for Weight {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        OVERHEAD + entry.answer.len() as u64
    }
}

#[derive(Debug)]
pub(super) struct Local(Cache<Key, Entry, Weight>);

impl Local {
    pub(super) fn new(bytes: u64, entry_bytes: u64) -> Self {
        // What is larger than a shard is not kept.
        let shards = bytes / (LARGEST_IN_SHARD * (entry_bytes + OVERHEAD)).max(1);
        let shards = usize::try_from(shards.clamp(1, SHARDS)).unwrap_or(1);
        let entries = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).clamp(16, 65_536);
        let options = OptionsBuilder::new()
            .shards(shards)
            .weight_capacity(bytes)
            .estimated_items_capacity(entries)
            .build();
        Local(match options {
            Ok(options) => Cache::with_options(
                options,
                Weight,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            // Every option is given, so this is never needed.
            Err(_) => Cache::with_weighter(entries, bytes, Weight),
        })
    }

    pub(super) fn get(&self, key: &Key) -> Option<Found> {
        let entry = self.0.get(key)?;
        let age = entry.since.elapsed();
        if age >= entry.ttl {
            self.0.remove(key);
            return None;
        }
        Some(Found { answer: entry.answer, age, ttl: entry.ttl })
    }

    pub(super) fn put(&self, key: &Key, answer: &Bytes, ttl: Duration) -> bool {
        // A copy, as an answer may be a slice of a larger buffer.
        let answer = Bytes::copy_from_slice(answer);
        self.0.insert(*key, Entry { answer, since: Instant::now(), ttl });
        true
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }

    pub(super) fn entries(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
