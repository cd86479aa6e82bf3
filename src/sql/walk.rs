//! What a tree reads of one of its row sources.

use super::ast::{Apply, Expr, From, Select};
use super::ident::{Alias, Ident};

/// The columns of a row source that something reads, in the order of their
/// first use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnsRead {
    pub columns: Vec<Ident>,
    /// The row is read as one value.
    pub whole: bool,
}

/// The columns of `alias` that a SELECT reads.
pub fn columns_of_select(select: &Select, alias: Alias) -> ColumnsRead {
    let mut out = ColumnsRead::default();
    in_select(select, alias, &mut out);
    out
}

/// The columns of `alias` that an expression reads.
pub fn columns_of_expr(expr: &Expr, alias: Alias) -> ColumnsRead {
    let mut out = ColumnsRead::default();
    in_expr(expr, alias, &mut out);
    out
}

fn in_select(select: &Select, alias: Alias, out: &mut ColumnsRead) {
    let items = select.items.iter().map(|item| &item.expr);
    let order = select.order_by.iter().map(|order| &order.expr);
    let rest =
        select.filter.iter().chain(&select.group_by).chain(&select.limit).chain(&select.offset);
    for expr in select.distinct_on.iter().chain(items).chain(order).chain(rest) {
        in_expr(expr, alias, out);
    }
    match &select.from {
        None | Some(From::Table { .. } | From::Cte(_)) => {}
        Some(From::Select { select, .. }) => in_select(select, alias, out),
        Some(From::Function { call, .. }) => in_call(call, alias, out),
        Some(From::Unnest { arrays, .. }) => in_all(arrays, alias, out),
        Some(From::Values { rows, .. }) => {
            rows.iter().for_each(|row| in_all(row, alias, out));
        }
    }
}

fn in_call(call: &Apply, alias: Alias, out: &mut ColumnsRead) {
    call.args.iter().for_each(|arg| in_expr(&arg.value, alias, out));
}

fn in_all(exprs: &[Expr], alias: Alias, out: &mut ColumnsRead) {
    exprs.iter().for_each(|expr| in_expr(expr, alias, out));
}

fn in_expr(expr: &Expr, alias: Alias, out: &mut ColumnsRead) {
    match expr {
        Expr::Column(of, name) => {
            if *of == alias && !out.columns.contains(name) {
                out.columns.push(name.clone());
            }
        }
        Expr::Row(of) => out.whole |= *of == alias,
        Expr::Param(..)
        | Expr::Text(_)
        | Expr::Int(_)
        | Expr::Bool(_)
        | Expr::Null
        | Expr::Excluded(_) => {}
        Expr::Binary(left, _, right)
        | Expr::Any(left, _, right)
        | Expr::All(left, _, right)
        | Expr::When(left, right) => {
            in_expr(left, alias, out);
            in_expr(right, alias, out);
        }
        Expr::Case { when, then, otherwise } => {
            in_expr(when, alias, out);
            in_expr(then, alias, out);
            in_expr(otherwise, alias, out);
        }
        Expr::Array(items, _)
        | Expr::And(items)
        | Expr::Or(items)
        | Expr::Call(_, items)
        | Expr::Tuple(items)
        | Expr::Coalesce(items)
        | Expr::Aggregate { args: items, .. } => in_all(items, alias, out),
        Expr::AnyRow(left, _, select) | Expr::AllRows(left, _, select) => {
            in_expr(left, alias, out);
            in_select(select, alias, out);
        }
        Expr::Not(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::Bytewise(inner)
        | Expr::Cast(inner, _) => in_expr(inner, alias, out),
        Expr::Apply(call) => in_call(call, alias, out),
        Expr::Exists(select) | Expr::Scalar(select) | Expr::ArrayOf(select) => {
            in_select(select, alias, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AliasAllocator, SelectItem};
    use super::*;

    #[test]
    fn columns_are_found_at_every_depth_and_of_one_source_only() {
        let mut aliases = AliasAllocator::default();
        let (here, other) = (aliases.fresh(), aliases.fresh());
        let column = |alias, name: &str| Expr::Column(alias, Ident::new(name).expect("a name"));
        let inner = Select {
            items: vec![SelectItem { expr: column(other, "x"), name: None }],
            from: Some(From::Cte(other)),
            filter: Some(Expr::equals(column(other, "y"), column(here, "b"))),
            ..Select::default()
        };
        let select = Select {
            items: vec![SelectItem { expr: column(here, "a"), name: None }],
            filter: Some(Expr::And(vec![
                Expr::Exists(Box::new(inner)),
                Expr::IsNull(Box::new(column(here, "a"))),
            ])),
            ..Select::default()
        };
        let read = columns_of_select(&select, here);
        let names: Vec<&str> = read.columns.iter().map(Ident::as_str).collect();
        assert_eq!((names, read.whole), (vec!["a", "b"], false));
        assert!(columns_of_expr(&Expr::Row(here), here).whole);
    }
}
