//! GraphQL over WebSocket.

use std::time::Duration;

use super::hasura;
use super::setting::section;
use super::value::{not_zero, positive};

section! {
    /// GraphQL over WebSocket, and the limits of subscriptions over `text/event-stream`, which
    /// count as sockets too. The largest message is `limits.body`.
    WebSocketConfig "WebSocket" "websocket." {
        /// How long a client may take to send a `connection_init` that is accepted.
        init_timeout: Duration = "3s",
            env ["HASURA_GRAPHQL_WEBSOCKET_CONNECTION_INIT_TIMEOUT" => hasura::seconds],
            check not_zero;
        /// How often clients of the older protocol are sent `ka`, and event streams a comment.
        keepalive: Duration = "5s",
            env ["HASURA_GRAPHQL_WEBSOCKET_KEEPALIVE" => hasura::seconds], check not_zero;
        /// How often the server pings. A client from which nothing at all came until the next
        /// ping is gone.
        ping: Duration = "30s", check not_zero;
        /// The most operations that one socket may have running or waiting.
        operations: u32 = "100", check positive;
        /// The most sockets open at once.
        sockets: u32 = "16384", check positive;
        /// The most sockets of one user of one tenant, by their token; `off` for no limit.
        sockets_per_user: Option<u32> = "off";
        /// The most sockets of one client address; `off` for no limit. Behind a proxy, set
        /// `server.trusted_proxies` too, else all clients have the proxy's address.
        sockets_per_address: Option<u32> = "off";
    }
}
