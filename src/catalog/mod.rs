//! Floor 2: what the database has.
//!
//! ```text
//! introspect.sql ─▶ load (decode) ─▶ settings (who reads which setting) ─▶ Catalog
//!                                         privileges (who may do what) ◀──────┘
//! ```
//!
//! A [`Catalog`] is immutable; a change in the database makes a new one.

pub mod changes;
pub mod dependence;
pub mod equated;
pub mod exposure;
pub mod leakproof;
pub mod load;
pub mod model;
pub mod privileges;
pub mod reads;
pub mod settings;
mod steady;
pub mod tokens;
pub mod watch;

pub use dependence::Dependence;
pub use exposure::{Exposure, Hidden};
pub use load::{CatalogError, load};
pub use model::Catalog;
pub use watch::Watch;
