//! Floor 6: the edge: HTTP in, HTTP out.
//!
//! ```text
//! server (sockets) ─▶ router (Edge) ─▶ authn ─▶ body, graphql ─▶ engine ─▶ respond
//!                        ├ client, cors
//!                        ├ probes
//!                        └ ws, events  places
//! ```

mod admin;
mod again;
pub mod authn;
mod body;
mod client;
pub mod cors;
mod events;
mod explain;
mod graphql;
mod places;
mod probes;
mod respond;
mod rest;
pub mod router;
pub mod server;
mod stall;
pub mod ws;

pub use authn::{AuthSetupError, Authenticator};
pub use cors::Cors;
pub use probes::ReadyCheck;
pub use router::{Edge, EdgeOptions};
pub use server::serve;
