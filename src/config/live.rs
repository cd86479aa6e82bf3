//! How subscriptions are kept current.

use std::time::Duration;

use super::hasura;
use super::setting::section;
use super::value::{choice, not_zero};

choice! {
    /// What the server may do to a database so that it learns of changes.
    LiveManage: "`off`, `publication` or `all`" {
        /// Nothing: publications and triggers are used where there are some.
        Off = "off",
        /// It makes publications and adds the tables that live queries read.
        Publication = "publication",
        /// It also adds triggers to tables of which the log cannot tell.
        All = "all",
    }
}

section! {
    /// How subscriptions are kept current. Where the write-ahead log tells of changes
    /// (docs/DATABASE.md), nothing is read until something has changed; elsewhere answers are read
    /// again and again.
    LiveConfig "Live data" "live." {
        /// What the server may do so that it learns of changes: `publication` lets it publish the
        /// tables that live queries read, `all` also lets it add triggers to those of which the log
        /// cannot tell, `off` leaves both to you.
        manage: LiveManage = "publication";
        /// How often a subscription that the log does not cover is read again to see whether its
        /// answer changed.
        poll_interval: Duration = "1s",
            env ["HASURA_GRAPHQL_LIVE_QUERIES_MULTIPLEXED_REFETCH_INTERVAL" => hasura::milliseconds],
            check not_zero;
    }
}
