//! Floor 0: what the operator sees: the log and the numbers.

pub mod logging;
pub mod metrics;
