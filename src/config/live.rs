//! How subscriptions are kept current.

use std::time::Duration;

use super::hasura;
use super::setting::section;
use super::value::not_zero;

section! {
    /// How subscriptions are kept current.
    LiveConfig "Live data" "live." {
        /// How often a subscription is read again to see whether its answer changed.
        poll_interval: Duration = "1s",
            env ["HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL" => hasura::milliseconds],
            check not_zero;
    }
}
