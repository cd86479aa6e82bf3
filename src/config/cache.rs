//! Where answers to queries with `@cached` are kept.

use std::time::Duration;

use super::setting::{same, section};
use super::value::{ByteSize, not_zero};
use crate::base::Secret;

section! {
    /// Where answers to queries with the directive `@cached` are kept, and how long.
    CacheConfig "Cached answers" "cache." {
        /// Memory for answers in this process; `0B` keeps none.
        bytes: ByteSize = "64MiB";
        /// The largest answer that is kept.
        entry_bytes: ByteSize = "1MiB";
        /// The longest that an answer is kept, whatever `ttl` asks for.
        max_ttl: Duration = "5m", check not_zero;
        /// Keeps answers in Redis instead, where all servers of an installation find them:
        /// `redis://user:password@host:port/database`, or `rediss://` with TLS. Who can write there
        /// decides what is answered, so it needs the same protection as the database.
        redis_url: Option<Secret<String>> = "", env ["HASURA_GRAPHQL_REDIS_URL" => same],
            check redis_scheme;
        /// Begins every key in Redis. Databases that are copies of each other need different ones
        /// where they share a Redis.
        redis_prefix: String = "ringfence:";
        /// How long Redis may take to answer before the database is asked instead.
        redis_timeout: Duration = "100ms", check not_zero;
    }
}

fn redis_scheme(url: &Option<Secret<String>>) -> Result<(), String> {
    match url.as_ref().map(|url| url.expose()) {
        Some(url) if !(url.starts_with("redis://") || url.starts_with("rediss://")) => {
            Err("must begin with redis:// or rediss://".to_owned())
        }
        _ => Ok(()),
    }
}
