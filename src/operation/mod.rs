//! Floor 4: what a document means for one role.
//!
//! ```text
//! Document ─▶ variables (typed by their declarations) ─▶ shape + leaves
//!         └▶ bind (names resolved, fragments merged) ─▶ Operation ─▶ plan
//! ```
//!
//! The *shape* of the variables is everything about them that can change the
//! statement; the *leaves* are texts that travel as parameters. A cached plan
//! needs the leaves only.

pub mod bind;
pub mod error;
pub mod input;
pub(crate) mod json;
pub(crate) mod json_path;
pub mod literal;
pub mod model;
pub mod payload;
pub mod variables;

pub use bind::{Limits, bind};
pub use error::{BindError, Problem};
pub use model::Operation;
