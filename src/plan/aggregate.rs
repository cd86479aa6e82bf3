//! Aggregates as JSON.
//!
//! ```sql
//! (SELECT row_to_json(_o.*) FROM (SELECT
//!    (SELECT row_to_json(_f.*) FROM (SELECT _a."a0" AS "count", …) AS _f) AS "aggregate",
//!    coalesce(_a."a1", '[]') AS "nodes"
//!  FROM (SELECT count(*) AS "a0", json_agg(_r."n0") AS "a1" FROM (<rows>) AS _r) AS _a) AS _o)
//! ```
//!
//! The rows are read once; every aggregate is a column of one row, and the
//! objects around are made of that row.

use std::sync::Arc;

use crate::catalog::model::ColumnId;
use crate::operation::model::{
    AggregateField, AggregateSelected, Aggregated, FunctionColumn, FunctionField, FunctionSelected,
    GroupField, GroupSelected, ListArgs,
};
use crate::schema::tracked::Returns;
use crate::schema::types::{AggregateFunction, ScalarType};
use crate::sql::{Alias, Direction, Expr, From, Ident, OrderBy, Select, SelectItem};

use super::PlanError;
use super::planner::{Planner, RowRef, own_type};
use super::rows::{object, record, upper};

/// Columns of a row source under short names of ours.
struct Columns {
    alias: Alias,
    prefix: &'static str,
    items: Vec<SelectItem>,
}

impl Columns {
    fn new(alias: Alias, prefix: &'static str) -> Self {
        Columns { alias, prefix, items: Vec::new() }
    }

    /// Adds an expression, unless it is there, and refers to it.
    fn add(&mut self, expr: Expr) -> Result<Expr, PlanError> {
        let at = self.items.iter().position(|item| item.expr == expr).unwrap_or(self.items.len());
        let name = Ident::new(format!("{}{at}", self.prefix))?;
        if at == self.items.len() {
            self.items.push(SelectItem { expr, name: Some(name.clone()) });
        }
        Ok(Expr::Column(self.alias, name))
    }
}

impl Planner<'_> {
    pub(super) fn aggregate(&mut self, aggregated: &Aggregated) -> Result<Expr, PlanError> {
        let (row, from) = self.source(aggregated.table, &aggregated.source)?;
        self.aggregate_of(row, from, Vec::new(), &aggregated.args, &aggregated.selection)
    }

    /// Aggregates over the rows of a source that satisfy `conditions`.
    pub(super) fn aggregate_of(
        &mut self,
        row: RowRef,
        from: From,
        conditions: Vec<Expr>,
        args: &ListArgs,
        selection: &[AggregateSelected],
    ) -> Result<Expr, PlanError> {
        let outer = self.aliases.fresh();
        let mut values = Columns::new(self.aliases.fresh(), "a");
        let mut cells = Columns::new(self.aliases.fresh(), "r");
        // A limit on the rows of a role is one on lists: it bounds the nodes,
        // not what is counted.
        let cap = self.row_cap(row.table)?;
        let mut fields: Vec<(Arc<str>, Expr)> = Vec::with_capacity(selection.len());
        for selected in selection {
            let expr = match &selected.field {
                AggregateField::Typename(name) => Expr::Text(name.to_string()),
                AggregateField::Nodes(nodes) if cap.is_some() => {
                    self.list_of(row, from.clone(), conditions.clone(), args, nodes)?
                }
                AggregateField::Nodes(nodes) => {
                    let record = self.aliases.fresh();
                    let fields = self.fields(row, nodes)?;
                    let node = object(record, fields, Select::default())?;
                    let node = cells.add(Expr::Scalar(Box::new(node)))?;
                    let all = values.add(Expr::Call("json_agg", vec![node]))?;
                    Expr::Coalesce(vec![all, Expr::Text("[]".to_owned())])
                }
                AggregateField::Aggregate(functions) => {
                    self.functions(row, functions, &mut values, &mut cells)?
                }
                AggregateField::Groups { by, selection } => {
                    let base = self.base(row, from.clone(), conditions.clone(), args, None)?;
                    self.groups(row, base, by, selection)?
                }
            };
            fields.push((selected.key.clone(), expr));
        }
        if values.items.is_empty() {
            // Nothing of the rows is asked for.
            return Ok(Expr::Scalar(Box::new(object(outer, fields, Select::default())?)));
        }
        if cells.items.is_empty() {
            cells.add(Expr::Int(1))?;
        }
        let mut base = self.base(row, from, conditions, args, None)?;
        let rows = cells.alias;
        base.items = cells.items;
        let totals = Select {
            items: values.items,
            from: Some(From::Select { select: Box::new(base), alias: rows }),
            ..Select::default()
        };
        let from = From::Select { select: Box::new(totals), alias: values.alias };
        let all = Select { from: Some(from), ..Select::default() };
        Ok(Expr::Scalar(Box::new(object(outer, fields, all)?)))
    }

    /// The object `aggregate`.
    fn functions(
        &mut self,
        row: RowRef,
        functions: &[FunctionSelected],
        values: &mut Columns,
        cells: &mut Columns,
    ) -> Result<Expr, PlanError> {
        let record = self.aliases.fresh();
        let mut fields: Vec<(Arc<str>, Expr)> = Vec::with_capacity(functions.len());
        for selected in functions {
            let expr = match &selected.field {
                FunctionField::Typename(name) => Expr::Text(name.to_string()),
                FunctionField::Count { columns, distinct } => {
                    let mut args = Vec::with_capacity(columns.len());
                    for column in columns {
                        args.push(self.aggregated_cell(row, *column, cells)?);
                    }
                    if args.len() > 1 {
                        args = vec![Expr::Tuple(args)];
                    }
                    // Rows without columns are distinct anyway.
                    let distinct = *distinct && !args.is_empty();
                    values.add(Expr::Aggregate { function: "count", distinct, args })?
                }
                FunctionField::Function { function, columns } => {
                    self.columns(row, columns, |planner, cell, scalar| {
                        let cell = cells.add(planner.aggregated(row, cell)?)?;
                        values.add(call(*function, scalar, cell)?)
                    })?
                }
            };
            fields.push((selected.key.clone(), expr));
        }
        Ok(Expr::Scalar(Box::new(object(record, fields, Select::default())?)))
    }

    /// The groups of the rows of `base`, in the order of their keys.
    ///
    /// ```sql
    /// (SELECT coalesce(json_agg(row_to_json(_g.*)), '[]') FROM (
    ///    SELECT (SELECT row_to_json(_k.*) FROM (SELECT _a."a1" AS "status") AS _k) AS "key", …
    ///    FROM (SELECT count(*) AS "a0", _r."r0" AS "a1" FROM (<rows>) AS _r GROUP BY _r."r0") AS _a
    ///    ORDER BY _a."a1" LIMIT …) AS _g)
    /// ```
    fn groups(
        &mut self,
        row: RowRef,
        mut base: Select,
        by: &[ColumnId],
        selection: &[GroupSelected],
    ) -> Result<Expr, PlanError> {
        let record = self.aliases.fresh();
        let mut values = Columns::new(self.aliases.fresh(), "a");
        let mut cells = Columns::new(self.aliases.fresh(), "r");
        let cap = self.row_cap(row.table)?;
        let mut group_by = Vec::with_capacity(by.len());
        let mut order_by = Vec::with_capacity(by.len());
        for column in by {
            let cell = self.aggregated_cell(row, *column, &mut cells)?;
            order_by.push(OrderBy {
                expr: values.add(cell.clone())?,
                direction: Direction::Asc,
                nulls: None,
            });
            group_by.push(cell);
        }
        let mut fields: Vec<(Arc<str>, Expr)> = Vec::with_capacity(selection.len());
        for selected in selection {
            let expr = match &selected.field {
                GroupField::Typename(name) => Expr::Text(name.to_string()),
                GroupField::Aggregate(functions) => {
                    self.functions(row, functions, &mut values, &mut cells)?
                }
                GroupField::Key(columns) => self.columns(row, columns, |planner, cell, _| {
                    let cell = cells.add(planner.aggregated(row, cell)?)?;
                    values.add(cell)
                })?,
            };
            fields.push((selected.key.clone(), expr));
        }
        base.items = cells.items;
        let totals = Select {
            items: values.items,
            from: Some(From::Select { select: Box::new(base), alias: cells.alias }),
            group_by,
            ..Select::default()
        };
        let groups = Select {
            from: Some(From::Select { select: Box::new(totals), alias: values.alias }),
            order_by,
            limit: cap.map(|cap| Expr::Int(i64::try_from(cap).unwrap_or(i64::MAX))),
            ..Select::default()
        };
        let (value, source) = self::record(record, fields, groups)?;
        let all = Expr::Call("json_agg", vec![value]);
        Ok(Expr::Scalar(Box::new(Select {
            items: vec![SelectItem {
                expr: Expr::Coalesce(vec![all, Expr::Text("[]".to_owned())]),
                name: None,
            }],
            from: Some(source),
            ..Select::default()
        })))
    }

    /// An object with a value for each column or computed field.
    fn columns(
        &mut self,
        row: RowRef,
        columns: &[(Arc<str>, FunctionColumn)],
        mut value: impl FnMut(&mut Self, &FunctionColumn, &ScalarType) -> Result<Expr, PlanError>,
    ) -> Result<Expr, PlanError> {
        let record = self.aliases.fresh();
        let mut fields: Vec<(Arc<str>, Expr)> = Vec::with_capacity(columns.len());
        for (key, column) in columns {
            let expr = match column {
                FunctionColumn::Typename(name) => Expr::Text(name.to_string()),
                FunctionColumn::Column(id) => {
                    let scalar = self.scalar(row.table, *id)?;
                    let value = value(self, column, scalar)?;
                    match self.schema.upper_cases(row.table, *id) {
                        true => upper(value),
                        false => self.shown(value, scalar),
                    }
                }
                FunctionColumn::Computed { index, .. } => {
                    let Returns::Scalar(id) = self.computed_field(row.table, *index)?.returns
                    else {
                        return Err(PlanError::Missing("the value of a computed field"));
                    };
                    let scalar = self.named_scalar(id)?;
                    let value = value(self, column, &scalar)?;
                    self.shown(value, &scalar)
                }
            };
            fields.push((key.clone(), expr));
        }
        Ok(Expr::Scalar(Box::new(object(record, fields, Select::default())?)))
    }

    /// What an aggregate takes of a row.
    fn aggregated(&mut self, row: RowRef, column: &FunctionColumn) -> Result<Expr, PlanError> {
        match column {
            FunctionColumn::Column(column) => self.cell(row, *column),
            FunctionColumn::Computed { index, args } => self.computed_cell(row, *index, args),
            FunctionColumn::Typename(_) => Err(PlanError::Missing("a column of an aggregate")),
        }
    }

    fn aggregated_cell(
        &mut self,
        row: RowRef,
        column: ColumnId,
        cells: &mut Columns,
    ) -> Result<Expr, PlanError> {
        let value = self.cell(row, column)?;
        cells.add(value)
    }
}

/// An aggregate of a cell.
pub(super) fn call(
    function: AggregateFunction,
    scalar: &ScalarType,
    cell: Expr,
) -> Result<Expr, PlanError> {
    let name = &scalar.sql.name;
    let of_uuid = name.schema.as_str() == "pg_catalog" && name.name.as_str() == "uuid";
    let extreme = matches!(function, AggregateFunction::Max | AggregateFunction::Min);
    // Postgres has no max and min of uuid; its text has the same order.
    let cell = if of_uuid && extreme {
        Expr::Bytewise(Box::new(Expr::Cast(Box::new(cell), own_type("text", false)?)))
    } else {
        cell
    };
    Ok(Expr::Aggregate { function: function.name(), distinct: false, args: vec![cell] })
}
