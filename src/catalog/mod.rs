//! Floor 2: what the database has.
pub mod model;
