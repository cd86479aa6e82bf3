//! Floor 6: the edge: HTTP in, HTTP out.

pub mod authn;
