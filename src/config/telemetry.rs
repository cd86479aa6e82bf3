//! Metrics.

use super::setting::section;

section! {
    /// Numbers for the operator. Nothing is ever sent anywhere.
    TelemetryConfig "Telemetry" "telemetry." {
        /// Whether `/metrics` is served.
        metrics: bool = "true";
    }
}
