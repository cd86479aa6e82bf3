//! Floor 3: the GraphQL schema of one role.
//!
//! ```text
//! Catalog ─▶ naming, relationships (once per catalogue)
//!        └▶ role (which database role, which source) ─▶ build ─▶ RoleSchema
//!                                                               └▶ introspection (on demand)
//! ```
//!
//! A field definition carries its meaning ([`types::FieldKind`]), so that what
//! introspection promises and what binding understands cannot drift apart.

pub mod build;
pub mod introspection;
pub mod naming;
pub mod relationships;
pub mod role;
pub mod scalars;
pub mod set;
pub mod types;

pub use role::{RoleBinding, RoleError, RoleMapping, SchemaSource};
pub use set::{RoleSchema, SchemaError, SchemaOptions, SchemaSet};
