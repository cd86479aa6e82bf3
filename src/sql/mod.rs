//! Floor 1: SQL as data.
//!
//! A statement is built from [`ast`] nodes and becomes text in [`print`] only.
//! Text of users cannot reach it: names pass through [`ident::Ident`], values
//! are [`ast::Expr::Param`].

pub mod ast;
pub mod ident;
pub mod print;

pub use ast::{
    Apply, ApplyArg, BinaryOp, Direction, Expr, From, Nulls, OrderBy, ParamId, Select, SelectItem,
    SqlType,
};
pub use ident::{Alias, AliasAllocator, Ident, InvalidIdent, QualifiedName};
