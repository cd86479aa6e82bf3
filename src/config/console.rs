//! The page at `/console`.

use super::setting::{same, section};

section! {
    /// The page at `/console`.
    ConsoleConfig "Console" "console." {
        /// Whether `/console` is served.
        enabled: bool = "true", env ["HASURA_GRAPHQL_ENABLE_CONSOLE" => same];
    }
}
