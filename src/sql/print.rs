//! Statement → text. One line, deterministic; the same tree gives the same
//! text, so that Postgres' and our own statement caches meet.

use std::fmt::{self, Write};

use super::ast::{
    Apply, BinaryOp, Delete, Direction, Expr, From, Insert, InsertSource, Nulls, OnConflict,
    OrderBy, Select, SelectItem, SqlType, Update, With, WithPart,
};
use super::ident::{Ident, write_ident, write_literal};

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        if !self.distinct_on.is_empty() {
            f.write_str("DISTINCT ON (")?;
            comma_separated(f, &self.distinct_on)?;
            f.write_str(") ")?;
        }
        select_items(f, &self.items)?;
        if let Some(from) = &self.from {
            write!(f, " FROM {from}")?;
        }
        if let Some(condition) = &self.filter {
            filter(f, condition)?;
        }
        if !self.group_by.is_empty() {
            f.write_str(" GROUP BY ")?;
            comma_separated(f, &self.group_by)?;
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
        if self.lock {
            f.write_str(" FOR NO KEY UPDATE")?;
        }
        Ok(())
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Table { name, alias } => write!(f, "{name} AS {alias}"),
            From::Select { select, alias } => write!(f, "({select}) AS {alias}"),
            From::Function { call, alias } => write!(f, "{call} AS {alias}"),
            From::Cte(alias) => write!(f, "{alias}"),
            From::Unnest { arrays, alias, columns } => {
                // The form with several arguments has no name with a schema.
                f.write_str("ROWS FROM (")?;
                for (index, array) in arrays.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "pg_catalog.unnest({array})")?;
                }
                write!(f, ") AS {alias}")?;
                names(f, columns)
            }
            From::Values { rows, alias, columns } => {
                f.write_str("(VALUES ")?;
                for (index, row) in rows.iter().enumerate() {
                    f.write_str(if index == 0 { "(" } else { ", (" })?;
                    comma_separated(f, row)?;
                    f.write_char(')')?;
                }
                write!(f, ") AS {alias}")?;
                names(f, columns)
            }
        }
    }
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, part)) in self.parts.iter().enumerate() {
            f.write_str(if index == 0 { "WITH " } else { ", " })?;
            write!(f, "{name} AS (")?;
            match part {
                WithPart::Select(select) => write!(f, "{select}")?,
                WithPart::Insert(insert) => write!(f, "{insert}")?,
                WithPart::Update(update) => write!(f, "{update}")?,
                WithPart::Delete(delete) => write!(f, "{delete}")?,
            }
            f.write_char(')')?;
        }
        if !self.parts.is_empty() {
            f.write_char(' ')?;
        }
        write!(f, "{}", self.select)
    }
}

impl fmt::Display for Insert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INSERT INTO {} AS {}", self.table, self.alias)?;
        if !self.columns.is_empty() {
            f.write_char(' ')?;
            names(f, &self.columns)?;
        }
        match &self.source {
            InsertSource::Defaults => f.write_str(" DEFAULT VALUES")?,
            InsertSource::Values(rows) => {
                f.write_str(" VALUES ")?;
                for (index, row) in rows.iter().enumerate() {
                    f.write_str(if index == 0 { "(" } else { ", (" })?;
                    for (index, value) in row.iter().enumerate() {
                        if index > 0 {
                            f.write_str(", ")?;
                        }
                        match value {
                            Some(value) => write!(f, "{value}")?,
                            None => f.write_str("DEFAULT")?,
                        }
                    }
                    f.write_char(')')?;
                }
            }
            InsertSource::Select(select) => write!(f, " {select}")?,
        }
        if let Some(conflict) = &self.on_conflict {
            write!(f, "{conflict}")?;
        }
        returning(f, &self.returning)
    }
}

impl fmt::Display for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" ON CONFLICT ")?;
        if let Some(constraint) = &self.constraint {
            write!(f, "ON CONSTRAINT {constraint} ")?;
        }
        f.write_str("DO ")?;
        match &self.update {
            None => f.write_str("NOTHING"),
            Some(update) => {
                f.write_str("UPDATE SET ")?;
                assignments(f, &update.set)?;
                filter(f, &update.filter)
            }
        }
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UPDATE {} AS {} SET ", self.table, self.alias)?;
        assignments(f, &self.set)?;
        filter(f, &self.filter)?;
        returning(f, &self.returning)
    }
}

impl fmt::Display for Delete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DELETE FROM {} AS {}", self.table, self.alias)?;
        filter(f, &self.filter)?;
        returning(f, &self.returning)
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
            Expr::ArrayOf(select) => write!(f, "ARRAY({select})"),
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
            Expr::Case { when, then, otherwise } => {
                write!(f, "CASE WHEN {when} THEN {then} ELSE {otherwise} END")
            }
            Expr::Excluded(name) => write!(f, "excluded.{name}"),
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

fn select_items(f: &mut fmt::Formatter<'_>, items: &[SelectItem]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{}", item.expr)?;
        if let Some(name) = &item.name {
            f.write_str(" AS ")?;
            write_ident(f, name.as_str())?;
        }
    }
    Ok(())
}

/// `("a", "b")`
fn names(f: &mut fmt::Formatter<'_>, names: &[Ident]) -> fmt::Result {
    f.write_char('(')?;
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{name}")?;
    }
    f.write_char(')')
}

/// `"a" = …, "b" = …`
fn assignments(f: &mut fmt::Formatter<'_>, set: &[(Ident, Option<Expr>)]) -> fmt::Result {
    for (index, (name, value)) in set.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        match value {
            Some(value) => write!(f, "{name} = {value}")?,
            None => write!(f, "{name} = DEFAULT")?,
        }
    }
    Ok(())
}

fn filter(f: &mut fmt::Formatter<'_>, condition: &Expr) -> fmt::Result {
    match condition {
        Expr::Bool(true) => Ok(()),
        condition => write!(f, " WHERE {condition}"),
    }
}

fn returning(f: &mut fmt::Formatter<'_>, items: &[SelectItem]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    f.write_str(" RETURNING ")?;
    select_items(f, items)
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
