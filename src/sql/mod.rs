//! Floor 1: SQL as data.
//!
//! A statement is built from [`ast`] nodes and becomes text in [`print`] only.
//! Text of users cannot reach it: names pass through [`ident::Ident`], values
//! are [`ast::Expr::Param`].

pub mod ast;
pub mod ident;
pub mod print;
pub mod raise;
pub mod walk;

pub use ast::{
    Apply, ApplyArg, BinaryOp, ConflictUpdate, Delete, Direction, Expr, From, Insert, InsertSource,
    Nulls, OnConflict, OrderBy, ParamId, Select, SelectItem, SqlType, Update, With, WithPart,
};
pub use ident::{Alias, AliasAllocator, Ident, InvalidIdent, QualifiedName};
