//! What is logged, and how.

use super::setting::{same, section};
use super::value::choice;

choice! {
    /// The least important event that is logged.
    LogLevel: "`error`, `warn`, `info`, `debug` or `trace`" {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

choice! {
    /// The form of the log.
    LogFormat: "`json`, `text` or `auto`" {
        Json = "json",
        Text = "text",
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
    }
}

section! {
    /// The log goes to standard error.
    LogConfig "Log" "log." {
        /// The least important event that is logged.
        level: LogLevel = "info", env ["HASURA_GRAPHQL_LOG_LEVEL" => same];
        /// The form of the log; `auto` is text on a terminal and JSON elsewhere.
        format: LogFormat = "auto";
    }
}
