//! Floor 3: what one role can see, as GraphQL types whose fields carry their
//! meaning.
//!
//! ```text
//! Catalog  ─┐            ┌▶ names, relationships, permissions
//! Metadata ─┴▶ tracked ──┴▶ SchemaSet ─▶ RoleSchema (role by role, lazily)
//!                             ▲ role: which database role it runs as   │
//!                             ▲ access: what the role may do           ├▶ types ─▶ introspection, SDL
//!                                                                      └▶ operation (bind)
//! ```

pub mod access;
pub mod build;
pub(crate) mod geojson;
mod inherit;
pub mod introspection;
pub mod naming;
pub mod predicate;
pub mod role;
pub mod scalars;
pub mod set;
pub mod tracked;
pub mod types;

pub use build::Types;
pub use role::{RoleBinding, RoleError, RoleMapping, SchemaSource};
pub use set::{RoleSchema, SchemaError, SchemaOptions, SchemaSet, SourceRole};
