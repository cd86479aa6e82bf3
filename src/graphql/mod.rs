//! Floor 3: the GraphQL language. Knows nothing about tables.

pub mod ast;
pub mod parse;

pub use ast::{
    Directive, Document, Field, Fragment, Name, OperationDefinition, OperationKind, Selection,
    TypeExpr, Value, VariableDefinition,
};
pub use parse::{ParseError, parse};
