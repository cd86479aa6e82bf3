//! Floor 0: words that every other floor speaks. No I/O, no domain.

pub mod code;
pub mod error;
pub mod secret;

pub use code::Code;
pub use error::{ApiError, Extensions, JsonPath, PathSegment};
pub use secret::Secret;
