//! Lists as typed columns, of which [`crate::pg`] makes the JSON.
//!
//! ```sql
//! SELECT _1."id", to_json(_1."created_at"), _1."comments" FROM (
//!   SELECT _0."id" AS "id", _0."created_at" AS "created_at", ARRAY(
//!     SELECT ROW(_3."body") FROM (SELECT … ORDER BY … LIMIT …) AS _3) AS "comments"
//!   FROM "app"."tasks" AS _0 WHERE … ORDER BY … LIMIT …) AS _1
//! ```
//!
//! The rows, their order and who may see them are those of [`super::rows`]; only
//! the output differs. Nested objects come as records, nested lists as arrays of
//! them where they are short; aggregates, and values without an encoder in the
//! server, as JSON.

use crate::catalog::model::ColumnId;
use crate::operation::input::Operand;
use crate::operation::model::{ListArgs, Rows, Selected, SelectedField};
use crate::pg::{CellShape, RecordShape, RowShape, ValueShape, is_encoded};
use crate::schema::tracked::{Cardinality, TrackedId};
use crate::sql::ident::MAX_IDENT_BYTES;
use crate::sql::{Expr, From, Ident, Select, SelectItem};

use super::PlanError;
use super::planner::{Planner, RowRef};
use super::rows::MAX_COLUMNS;

/// The most values of one nested list, those in it included. Postgres keeps a
/// kilobyte for each value of a record until the row around it is sent; below
/// some megabytes records cost less than JSON, above that more.
const MAX_VALUES: u64 = 2_000;
/// A list that cannot have as many stays JSON of Postgres.
const LEAST_VALUES: u64 = 500;

/// A value of a row as the server gets it.
struct Typed {
    expr: Expr,
    value: ValueShape,
    /// `to_json` is still to be applied.
    opaque: bool,
}

impl Typed {
    /// Of a type that has an encoder.
    fn plain(expr: Expr) -> Self {
        Typed { expr, value: ValueShape::Scalar, opaque: false }
    }

    fn opaque(expr: Expr) -> Self {
        Typed { expr, value: ValueShape::Scalar, opaque: true }
    }
}

/// Whether rows can come as typed columns: something must be selected of them.
pub(super) fn has_columns(selection: &[Selected]) -> bool {
    selection.iter().any(|selected| !matches!(selected.field, SelectedField::Typename(_)))
}

impl Planner<'_> {
    /// Whether a list may be long enough for columns to pay: of twenty rows Postgres
    /// makes the JSON faster than the server takes the columns apart.
    pub(super) fn gains_by_columns(&self, rows: &Rows) -> Result<bool, PlanError> {
        let bound = self.few_values(rows.table, &rows.args, &rows.selection)?;
        Ok(bound.is_none_or(|values| values >= LEAST_VALUES))
    }

    /// The statement of a query whose only root is a list; `keys` lead to it.
    pub(super) fn typed_list(
        &mut self,
        keys: &[&str],
        rows: &Rows,
    ) -> Result<(Select, RowShape), PlanError> {
        let (row, from) = self.source(rows.table, &rows.source)?;
        let cap = self.row_cap(row.table)?;
        let base = self.base(row, from, Vec::new(), &rows.args, cap)?;
        let (values, from, record) = self.records(row, base, &rows.selection)?;
        let items = values.into_iter().map(|expr| SelectItem { expr, name: None }).collect();
        let select = Select { items, from: Some(from), ..Select::default() };
        let mut before = String::new();
        for key in keys {
            before.extend(["{\"", *key, "\":"]);
        }
        before.push('[');
        let after = ["]", &"}".repeat(keys.len())].concat();
        Ok((select, RowShape { before: before.into(), record, after: after.into() }))
    }

    /// The values of the rows of `base`, where they come from, and what the
    /// object around them looks like.
    fn records(
        &mut self,
        row: RowRef,
        mut base: Select,
        selection: &[Selected],
    ) -> Result<(Vec<Expr>, From, RecordShape), PlanError> {
        if selection.len() > MAX_COLUMNS {
            return Err(PlanError::TooManyFields);
        }
        let alias = self.aliases.fresh();
        let mut values = Vec::with_capacity(selection.len());
        let mut cells = Vec::with_capacity(selection.len());
        let readable = selection.iter().all(|selected| selected.key.len() <= MAX_IDENT_BYTES);
        let mut lead = String::from("{");
        for (index, selected) in selection.iter().enumerate() {
            if index > 0 {
                lead.push(',');
            }
            lead.push('"');
            lead.push_str(&selected.key);
            lead.push_str("\":");
            let typed = match &selected.field {
                SelectedField::Typename(name) => {
                    lead.push('"');
                    lead.push_str(name);
                    lead.push('"');
                    continue;
                }
                field => self.typed(row, field)?,
            };
            let name = match readable {
                true => Ident::new(selected.key.clone())?,
                false => Ident::new(format!("c{}", values.len()))?,
            };
            base.items.push(SelectItem { expr: typed.expr, name: Some(name.clone()) });
            let column = Expr::Column(alias, name);
            values.push(match typed.opaque {
                true => Expr::Call("to_json", vec![column]),
                false => column,
            });
            let lead = std::mem::take(&mut lead).into();
            cells.push(CellShape { lead, value: typed.value });
        }
        lead.push('}');
        let from = From::Select { select: Box::new(base), alias };
        Ok((values, from, RecordShape { cells, end: lead.into() }))
    }

    fn typed(&mut self, row: RowRef, field: &SelectedField) -> Result<Typed, PlanError> {
        match field {
            SelectedField::Column { column, path, .. } => {
                self.typed_column(row, *column, path.as_ref(), field)
            }
            SelectedField::ComputedScalar { .. } => Ok(Typed::opaque(self.field(row, field)?)),
            SelectedField::Relationship { index, args, selection } if has_columns(selection) => {
                let relationship = self.relationship(row.table, *index)?;
                let is_list = relationship.cardinality == Cardinality::Array;
                let target = relationship.target;
                if is_list && self.few_values(target, args, selection)?.is_none() {
                    return Ok(Typed::plain(self.field(row, field)?));
                }
                let other = self.fresh(target);
                let from = self.from(other)?;
                let join = self.join(row, relationship, other)?;
                match is_list {
                    true => self.typed_rows(other, from, join, args, selection),
                    false => self.typed_one(other, from, join, selection),
                }
            }
            SelectedField::ComputedRows { index, args, list, selection }
                if has_columns(selection) =>
            {
                let target = self.computed_target(row.table, *index)?;
                if self.few_values(target, list, selection)?.is_none() {
                    return Ok(Typed::plain(self.field(row, field)?));
                }
                let (other, from) = self.computed_rows(row, *index, args)?;
                self.typed_rows(other, from, Vec::new(), list, selection)
            }
            SelectedField::Typename(_)
            | SelectedField::Relationship { .. }
            | SelectedField::ComputedRows { .. }
            | SelectedField::Aggregate { .. } => Ok(Typed::plain(self.field(row, field)?)),
        }
    }

    /// How many values a nested list can have, where that is known and few.
    fn few_values(
        &self,
        table: TrackedId,
        args: &ListArgs,
        selection: &[Selected],
    ) -> Result<Option<u64>, PlanError> {
        let asked = match &args.limit {
            Some(Operand::Const(text)) => text.parse::<u64>().ok(),
            _ => None,
        };
        let Some(rows) = asked.into_iter().chain(self.row_cap(table)?).min() else {
            return Ok(None);
        };
        let values = rows.saturating_mul(self.values(table, selection)?);
        Ok((values <= MAX_VALUES).then_some(values))
    }

    /// How many values a row has, with those of objects and short lists in it.
    fn values(&self, table: TrackedId, selection: &[Selected]) -> Result<u64, PlanError> {
        let mut count = 0_u64;
        for selected in selection {
            let inner = match &selected.field {
                SelectedField::Relationship { index, args, selection } => {
                    let relationship = self.relationship(table, *index)?;
                    match relationship.cardinality {
                        Cardinality::Object => self.values(relationship.target, selection)?,
                        Cardinality::Array => {
                            self.few_values(relationship.target, args, selection)?.unwrap_or(0)
                        }
                    }
                }
                SelectedField::ComputedRows { index, list, selection, .. } => {
                    let target = self.computed_target(table, *index)?;
                    self.few_values(target, list, selection)?.unwrap_or(0)
                }
                SelectedField::Typename(_)
                | SelectedField::Column { .. }
                | SelectedField::Aggregate { .. }
                | SelectedField::ComputedScalar { .. } => 0,
            };
            count = count.saturating_add(inner).saturating_add(1);
        }
        Ok(count)
    }

    fn typed_column(
        &mut self,
        row: RowRef,
        column: ColumnId,
        path: Option<&Operand>,
        field: &SelectedField,
    ) -> Result<Typed, PlanError> {
        let scalar = self.scalar(row.table, column)?;
        let stored = self.table(row.table)?.column(column).ok_or(PlanError::Missing("a column"))?;
        // What a path leads to is JSON, and a number shown as text is text.
        let plain =
            path.is_some() || self.schema.stringifies(scalar) || is_encoded(stored.type_oid);
        let expr = self.field(row, field)?;
        Ok(if plain { Typed::plain(expr) } else { Typed::opaque(expr) })
    }

    fn typed_rows(
        &mut self,
        row: RowRef,
        from: From,
        conditions: Vec<Expr>,
        args: &ListArgs,
        selection: &[Selected],
    ) -> Result<Typed, PlanError> {
        let cap = self.row_cap(row.table)?;
        let base = self.base(row, from, conditions, args, cap)?;
        let (select, record) = self.record_of(row, base, selection)?;
        let expr = Expr::ArrayOf(Box::new(select));
        Ok(Typed { expr, value: ValueShape::List(record), opaque: false })
    }

    fn typed_one(
        &mut self,
        row: RowRef,
        from: From,
        conditions: Vec<Expr>,
        selection: &[Selected],
    ) -> Result<Typed, PlanError> {
        let base = self.base_of_one(row, from, conditions)?;
        let (select, record) = self.record_of(row, base, selection)?;
        let expr = Expr::Scalar(Box::new(select));
        Ok(Typed { expr, value: ValueShape::Object(record), opaque: false })
    }

    /// `SELECT ROW(…) FROM (…)`
    fn record_of(
        &mut self,
        row: RowRef,
        base: Select,
        selection: &[Selected],
    ) -> Result<(Select, RecordShape), PlanError> {
        let (values, from, record) = self.records(row, base, selection)?;
        let items = vec![SelectItem { expr: Expr::Tuple(values), name: None }];
        Ok((Select { items, from: Some(from), ..Select::default() }, record))
    }
}
