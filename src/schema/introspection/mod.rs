//! What a role's schema is, told to clients: `__schema`, `__type` and SDL.
//!
//! ```text
//! meta    the types of introspection itself; binding reads them like any other
//! write   a bound selection → JSON          sdl   the definition language
//! ```
//!
//! Types are made one by one while they are written, and not kept: a schema of
//! thousands of tables takes no more memory than its description.

pub mod meta;
mod sdl;
mod write;

use std::collections::HashSet;

use crate::base::{ApiError, Code};
use crate::graphql::Name;

use super::build::Types;
use super::predicate::Operand;
use super::types::{InputKind, Root, TypeDef, TypeId};

pub use meta::{MetaField, MetaType};
pub use sdl::sdl;
pub use write::describe;

/// The longest description of a schema. The whole one of a thousand tables
/// takes a quarter of that.
const MAX_BYTES: usize = 192 * 1024 * 1024;

/// An input has at least one field in GraphQL. One that takes only `{}` tells
/// of this.
const PLACEHOLDER: &str = "_PLACEHOLDER";
const PLACEHOLDER_TEXT: &str = "placeholder (do not use)";

/// What an input field is when it is left out, in the language of values.
fn default_value(kind: InputKind) -> Option<&'static str> {
    (kind == InputKind::UpdateColumns).then_some("[]")
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectionError {
    #[error(
        "the description of the schema would be longer than {MAX_BYTES} bytes; ask for less of it"
    )]
    TooLong,
    #[error("the value of a variable is missing")]
    NoName,
}

impl From<IntrospectionError> for ApiError {
    fn from(error: IntrospectionError) -> Self {
        match error {
            IntrospectionError::TooLong => {
                ApiError::new(Code::NodeLimitExceeded, error.to_string())
            }
            IntrospectionError::NoName => ApiError::internal(error.to_string()),
        }
    }
}

/// A root that asks about the schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// `__schema`
    Schema(Vec<Selected>),
    /// `__type(name: …)`
    Type { name: Operand, selection: Vec<Selected> },
}

/// A field of introspection under its response key.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    pub key: Name,
    pub field: Selection,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    Typename(Name),
    Leaf(MetaField),
    Nested(MetaField, Vec<Selected>),
}

/// The types that can be reached from the roots, by name, with those of
/// introspection.
fn reachable(types: &Types) -> Vec<(Name, TypeId)> {
    let mut open: Vec<TypeId> = Root::ALL.map(TypeId::Root).to_vec();
    open.extend(MetaType::ALL.map(TypeId::Meta));
    let mut seen: HashSet<TypeId> = HashSet::new();
    let mut out = Vec::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) || !types.has(id) {
            continue;
        }
        let Some(def) = types.transient(id) else { continue };
        out.push((def.name().clone(), id));
        match def.as_ref() {
            TypeDef::Object(object) => {
                for field in object.fields.values().filter(|field| !types.is_bare(field.ty.base)) {
                    open.push(field.ty.base);
                    open.extend(field.args.values().map(|arg| arg.ty.base));
                }
            }
            TypeDef::Input(input) => open.extend(input.fields.values().map(|field| field.ty.base)),
            TypeDef::Scalar(_) | TypeDef::Enum(_) => {}
        }
    }
    out.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    out
}
