//! Floor 2: what we were told to expose, in Hasura v2's metadata format.
//!
//! ```text
//! JSON (API, hdb_catalog) ┐
//! YAML (folder)           ┴▶ document ─▶ Metadata ─▶ schema::tracked (with the catalogue)
//! ```
//!
//! The types here hold what a document says, and nothing about whether the
//! database has it: that is decided where catalogue and metadata meet. What is
//! kept but not used by this version stays as the JSON that it came as, so that
//! an export gives back what was put in.

pub mod action;
pub mod collection;
pub mod document;
pub mod event;
pub mod folder;
pub mod function;
pub mod json;
pub mod permission;
pub mod relationship;
mod sdl;
pub mod source;
pub mod table;
pub mod text;

pub use action::{Action, CustomTypes};
pub use collection::{AllowlistEntry, QueryCollection, RestEndpoint};
pub use document::{Metadata, ParseError};
pub use function::Function;
pub use json::Json;
pub use permission::Permission;
pub use source::Source;
pub use table::Table;
pub use text::{NonEmpty, QualifiedName};

/// Null says nothing.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}

/// Empty lists, `false`, `{}` and the like are left out of an export.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
