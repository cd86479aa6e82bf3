//! Statement → text. One line, deterministic; the same tree gives the same
//! text, so that Postgres' and our own statement caches meet.

use std::fmt::{self, Write};

use super::ast::{Apply, BinaryOp, Direction, Expr, From, Nulls, OrderBy, Select, SqlType};
use super::ident::{write_ident, write_literal};

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        if !self.distinct_on.is_empty() {
            f.write_str("DISTINCT ON (")?;
            comma_separated(f, &self.distinct_on)?;
            f.write_str(") ")?;
        }
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}", item.expr)?;
            if let Some(name) = &item.name {
                f.write_str(" AS ")?;
                write_ident(f, name.as_str())?;
            }
        }
        match &self.from {
            None => {}
            Some(From::Table { name, alias }) => write!(f, " FROM {name} AS {alias}")?,
            Some(From::Select { select, alias }) => write!(f, " FROM ({select}) AS {alias}")?,
            Some(From::Function { call, alias }) => write!(f, " FROM {call} AS {alias}")?,
        }
        match &self.filter {
            None | Some(Expr::Bool(true)) => {}
            Some(filter) => write!(f, " WHERE {filter}")?,
        }
        for (index, order) in self.order_by.iter().enumerate() {
            f.write_str(if index == 0 { " ORDER BY " } else { ", " })?;
            write!(f, "{order}")?;
        }
        if let Some(limit) = &self.limit {
            write!(f, " LIMIT {limit}")?;
        }
        if let Some(offset) = &self.offset {
            write!(f, " OFFSET {offset}")?;
        }
        Ok(())
    }
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)?;
        f.write_str(match self.direction {
            Direction::Asc => " ASC",
            Direction::Desc => " DESC",
        })?;
        match self.nulls {
            None => Ok(()),
            Some(Nulls::First) => f.write_str(" NULLS FIRST"),
            Some(Nulls::Last) => f.write_str(" NULLS LAST"),
        }
    }
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.array { f.write_str("[]") } else { Ok(()) }
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OPERATOR(")?;
        match &self.schema {
            None => f.write_str("pg_catalog")?,
            Some(schema) => write!(f, "{schema}")?,
        }
        write!(f, ".{})", self.symbol)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Column(alias, name) => write!(f, "{alias}.{name}"),
            // Bare, it would mean a column of that name where there is one.
            Expr::Row(alias) => write!(f, "{alias}.*"),
            Expr::Param(id, ty) => write!(f, "(${})::{ty}", id.0 + 1),
            Expr::Text(text) => write_literal(f, text),
            Expr::Int(value) => write!(f, "{value}"),
            Expr::Bool(value) => write!(f, "{value}"),
            Expr::Null => f.write_str("NULL"),
            Expr::Binary(left, op, right) => write!(f, "({left} {op} {right})"),
            Expr::Any(left, op, right) => write!(f, "({left} {op} ANY ({right}))"),
            Expr::All(left, op, right) => write!(f, "({left} {op} ALL ({right}))"),
            Expr::AnyRow(left, op, rows) => write!(f, "({left} {op} ANY ({rows}))"),
            Expr::AllRows(left, op, rows) => write!(f, "({left} {op} ALL ({rows}))"),
            Expr::Array(items, ty) => {
                f.write_str("ARRAY[")?;
                comma_separated(f, items)?;
                write!(f, "]::{ty}")
            }
            Expr::And(parts) => joined(f, parts, " AND "),
            Expr::Or(parts) => joined(f, parts, " OR "),
            Expr::Not(inner) => write!(f, "(NOT {inner})"),
            Expr::IsNull(inner) => write!(f, "({inner} IS NULL)"),
            Expr::IsNotNull(inner) => write!(f, "({inner} IS NOT NULL)"),
            Expr::Call(function, args) => {
                write!(f, "pg_catalog.{function}(")?;
                comma_separated(f, args)?;
                f.write_char(')')
            }
            Expr::Apply(apply) => write!(f, "{apply}"),
            Expr::Aggregate { function, distinct, args } => {
                write!(f, "pg_catalog.{function}(")?;
                if *distinct {
                    f.write_str("DISTINCT ")?;
                }
                if args.is_empty() {
                    f.write_char('*')?;
                }
                comma_separated(f, args)?;
                f.write_char(')')
            }
            Expr::Tuple(items) => {
                f.write_str("ROW(")?;
                comma_separated(f, items)?;
                f.write_char(')')
            }
            Expr::When(condition, then) => write!(f, "CASE WHEN {condition} THEN {then} END"),
            Expr::Coalesce(args) => {
                f.write_str("COALESCE(")?;
                comma_separated(f, args)?;
                f.write_char(')')
            }
            Expr::Exists(select) => write!(f, "EXISTS ({select})"),
            Expr::Scalar(select) => write!(f, "({select})"),
            Expr::Cast(inner, ty) => write!(f, "({inner})::{ty}"),
            Expr::Bytewise(inner) => write!(f, "({inner} COLLATE pg_catalog.\"C\")"),
        }
    }
}

impl fmt::Display for Apply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if arg.variadic {
                f.write_str("VARIADIC ")?;
            }
            if let Some(name) = &arg.name {
                write!(f, "{name} => ")?;
            }
            write!(f, "{}", arg.value)?;
        }
        f.write_char(')')
    }
}

fn comma_separated(f: &mut fmt::Formatter<'_>, items: &[Expr]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], separator: &str) -> fmt::Result {
    f.write_char('(')?;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{part}")?;
    }
    f.write_char(')')
}
