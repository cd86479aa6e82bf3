//! Floor 2: the handlers of actions, called over HTTP.
//!
//! ```text
//! metadata ─▶ Handler (URL, headers, transforms)
//!                │
//! input, caller ─┴▶ Handlers::call ─▶ transform ─▶ POST ─▶ transform ─▶ Answer
//!                                        └── kriti ──────────┘
//! ```
//!
//! What an answer has to look like is for who calls: here is neither a schema
//! nor a database.

mod client;
mod error;
mod handler;
mod kriti;
mod transform;

pub use client::{Answer, Call, HandlerOptions, Handlers};
pub use error::CallError;
pub use handler::Handler;
