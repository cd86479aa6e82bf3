//! Rows as JSON: lists, single rows, and the fields in them.

use std::sync::Arc;

use crate::catalog::model::ColumnId;
use crate::operation::input::Operand;
use crate::operation::model::{ListArgs, RowSource, Rows, Selected, SelectedField};
use crate::schema::predicate::CompareValue;
use crate::schema::predicate::Comparison;
use crate::schema::tracked::{Cardinality, Returns, TrackedId};
use crate::schema::types::ScalarType;
use crate::sql::ident::MAX_IDENT_BYTES;
use crate::sql::{Alias, BinaryOp, Expr, From, Ident, Select, SelectItem};

use super::planner::{Planner, RowRef, own_type};
use super::predicate::beside;
use super::{Form, PlanError, Slot};

/// What Postgres lets one SELECT return, with some room.
pub(super) const MAX_COLUMNS: usize = 1_600;

impl Planner<'_> {
    /// Where rows come from.
    pub(super) fn source(
        &mut self,
        table: TrackedId,
        source: &RowSource,
    ) -> Result<(RowRef, From), PlanError> {
        match source {
            RowSource::Table => {
                let row = self.fresh(table);
                let from = self.from(row)?;
                Ok((row, from))
            }
            RowSource::Function(call) => self.function_rows(call),
        }
    }

    /// Rows as a JSON array.
    pub(super) fn list(&mut self, rows: &Rows) -> Result<Expr, PlanError> {
        let (row, from) = self.source(rows.table, &rows.source)?;
        self.list_of(row, from, Vec::new(), &rows.args, &rows.selection)
    }

    /// The rows of a source that satisfy `conditions` as a JSON array.
    pub(super) fn list_of(
        &mut self,
        row: RowRef,
        from: From,
        conditions: Vec<Expr>,
        args: &ListArgs,
        selection: &[Selected],
    ) -> Result<Expr, PlanError> {
        let record = self.aliases.fresh();
        let cap = self.row_cap(row.table)?;
        let base = self.base(row, from, conditions, args, cap)?;
        let fields = self.fields(row, selection)?;
        Ok(Expr::Scalar(Box::new(array(record, fields, base)?)))
    }

    /// The most rows of one list of a table.
    pub(super) fn row_cap(&self, table: TrackedId) -> Result<Option<u64>, PlanError> {
        let permitted = self.access(table)?.limit;
        Ok(match (permitted, self.max_rows) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        })
    }

    /// The rows that a list is about, without what is selected of them.
    pub(super) fn base(
        &mut self,
        row: RowRef,
        from: From,
        mut conditions: Vec<Expr>,
        args: &ListArgs,
        cap: Option<u64>,
    ) -> Result<Select, PlanError> {
        conditions.push(self.permitted(row)?);
        conditions.push(self.asked(row, &args.filter)?);
        self.note_asked(row, &args.filter);
        let mut order_by = Vec::with_capacity(args.order_by.len());
        for item in &args.order_by {
            order_by.push(self.order_item(row, item)?);
        }
        let limit = match (&args.limit, cap) {
            (Some(limit), cap) => Some(self.integer(limit, cap)?),
            (None, Some(cap)) => Some(Expr::Int(i64::try_from(cap).unwrap_or(i64::MAX))),
            (None, None) => None,
        };
        let offset = args.offset.as_ref().map(|offset| self.integer(offset, None)).transpose()?;
        let mut distinct_on = Vec::with_capacity(args.distinct_on.len());
        for column in &args.distinct_on {
            distinct_on.push(self.cell(row, *column)?);
        }
        Ok(Select {
            distinct_on,
            from: Some(from),
            filter: Some(Expr::and(conditions)),
            order_by,
            limit,
            offset,
            ..Select::default()
        })
    }

    /// The first row of a source as a JSON object, or null.
    pub(super) fn one(
        &mut self,
        row: RowRef,
        from: From,
        conditions: Vec<Expr>,
        selection: &[Selected],
    ) -> Result<Expr, PlanError> {
        let record = self.aliases.fresh();
        let base = self.base_of_one(row, from, conditions)?;
        let fields = self.fields(row, selection)?;
        Ok(Expr::Scalar(Box::new(object(record, fields, base)?)))
    }

    /// The row that an object is about, without what is selected of it.
    pub(super) fn base_of_one(
        &mut self,
        row: RowRef,
        from: From,
        mut conditions: Vec<Expr>,
    ) -> Result<Select, PlanError> {
        conditions.push(self.permitted(row)?);
        let filter = Some(Expr::and(conditions));
        Ok(Select { from: Some(from), filter, ..Select::default() })
    }

    pub(super) fn by_key(
        &mut self,
        table: TrackedId,
        key: &[(ColumnId, Operand)],
        selection: &[Selected],
    ) -> Result<Expr, PlanError> {
        let row = self.fresh(table);
        let from = self.from(row)?;
        for (column, operand) in key {
            self.note_key(row, *column, std::slice::from_ref(operand));
        }
        let conditions = self.key_conditions(row, key)?;
        self.one(row, from, conditions, selection)
    }

    pub(super) fn key_conditions(
        &mut self,
        row: RowRef,
        key: &[(ColumnId, Operand)],
    ) -> Result<Vec<Expr>, PlanError> {
        let mut conditions = Vec::with_capacity(key.len());
        for (column, operand) in key {
            let left = self.cell(row, *column)?;
            let scalar = self.scalar(row.table, *column)?;
            let value = CompareValue::One(operand.clone());
            conditions.push(self.compare_to(left, scalar, Comparison::Eq, &value)?);
        }
        Ok(conditions)
    }

    /// A column as the role sees it: null where the cell is hidden.
    pub(super) fn cell(&mut self, row: RowRef, column: ColumnId) -> Result<Expr, PlanError> {
        let value = self.column(row, column)?;
        match self.access(row.table)?.cells.get(&column) {
            None => Ok(value),
            Some(condition) => {
                let condition = self.rule(row, condition)?;
                Ok(Expr::When(Box::new(condition), Box::new(value)))
            }
        }
    }

    pub(super) fn fields(
        &mut self,
        row: RowRef,
        selection: &[Selected],
    ) -> Result<Vec<(Arc<str>, Expr)>, PlanError> {
        let mut out = Vec::with_capacity(selection.len());
        for selected in selection {
            out.push((selected.key.clone(), self.field(row, &selected.field)?));
        }
        Ok(out)
    }

    pub(super) fn field(&mut self, row: RowRef, field: &SelectedField) -> Result<Expr, PlanError> {
        Ok(match field {
            SelectedField::Typename(name) => Expr::Text(name.to_string()),
            SelectedField::Column { column, path, upper_case } => {
                let value = self.cell(row, *column)?;
                let scalar = self.scalar(row.table, *column)?;
                match upper_case {
                    true => upper(value),
                    false => self.inside(value, scalar, path.as_ref())?,
                }
            }
            SelectedField::Relationship { index, args, selection } => {
                let relationship = self.relationship(row.table, *index)?;
                let other = self.fresh(relationship.target);
                let from = self.from(other)?;
                let join = self.join(row, relationship, other)?;
                match relationship.cardinality {
                    Cardinality::Array => self.list_of(other, from, join, args, selection)?,
                    Cardinality::Object => self.one(other, from, join, selection)?,
                }
            }
            SelectedField::Aggregate { index, args, selection } => {
                let relationship = self.relationship(row.table, *index)?;
                let other = self.fresh(relationship.target);
                let from = self.from(other)?;
                let join = self.join(row, relationship, other)?;
                self.aggregate_of(other, from, join, args, selection)?
            }
            SelectedField::ComputedScalar { index, args, path } => {
                let value = self.computed_cell(row, *index, args)?;
                let Returns::Scalar(id) = self.computed_field(row.table, *index)?.returns else {
                    return Err(PlanError::Missing("the scalar of a computed field"));
                };
                let scalar = self.named_scalar(id)?;
                self.inside(value, &scalar, path.as_ref())?
            }
            SelectedField::ComputedRows { index, args, list, selection } => {
                let (other, from) = self.computed_rows(row, *index, args)?;
                self.list_of(other, from, Vec::new(), list, selection)?
            }
        })
    }

    /// A value, or what a path leads to in it.
    fn inside(
        &mut self,
        value: Expr,
        scalar: &ScalarType,
        path: Option<&Operand>,
    ) -> Result<Expr, PlanError> {
        let Some(path) = path else { return Ok(self.shown(value, scalar)) };
        let slot = Slot { operand: path.clone(), form: Form::JsonPath };
        let path = self.slot(slot, own_type("text", true)?);
        Ok(Expr::Binary(Box::new(value), BinaryOp::catalog("#>"), Box::new(path)))
    }

    /// A value as JSON shows it: numbers that a double cannot hold as text,
    /// where the configuration asks for it.
    pub(super) fn shown(&self, value: Expr, scalar: &ScalarType) -> Expr {
        if scalar.operators.spatial.is_some() {
            return place(value.clone(), scalar).unwrap_or(value);
        }
        if self.schema.stringifies(scalar) {
            match own_type("text", false) {
                Ok(text) => return Expr::Cast(Box::new(value), text),
                Err(_) => return value,
            }
        }
        value
    }
}

/// A value of an enum as the schema spells it, whatever the database's locale
/// makes of letters.
pub(super) fn upper(value: Expr) -> Expr {
    Expr::Call("upper", vec![Expr::Bytewise(Box::new(value))])
}

/// A place as GeoJSON, with the digits and the reference system that Hasura
/// gives: the long form of `crs` (4), at most 15 digits after the point.
fn place(value: Expr, scalar: &ScalarType) -> Result<Expr, PlanError> {
    let args = vec![value, Expr::Int(15), Expr::Int(4)];
    let text = beside(scalar, "st_asgeojson", args)?;
    Ok(Expr::Cast(Box::new(text), own_type("json", false)?))
}

/// `SELECT <json of one row> FROM (<base with fields>) AS row`
pub(super) fn object(
    row: Alias,
    fields: Vec<(Arc<str>, Expr)>,
    base: Select,
) -> Result<Select, PlanError> {
    let (value, source) = record(row, fields, base)?;
    Ok(Select {
        items: vec![SelectItem { expr: value, name: None }],
        from: Some(source),
        ..Select::default()
    })
}

/// `SELECT <json array of rows> FROM (<base with fields>) AS row`
pub(super) fn array(
    row: Alias,
    fields: Vec<(Arc<str>, Expr)>,
    base: Select,
) -> Result<Select, PlanError> {
    let (value, source) = record(row, fields, base)?;
    let rows =
        Expr::Coalesce(vec![Expr::Call("json_agg", vec![value]), Expr::Text("[]".to_owned())]);
    Ok(Select {
        items: vec![SelectItem { expr: rows, name: None }],
        from: Some(source),
        ..Select::default()
    })
}

/// The JSON object of a row of `base` with `fields`, and the row source.
///
/// Keys are column aliases, as `row_to_json` takes them; where one is longer
/// than Postgres lets a name be, the object is put together as text instead,
/// as where it is empty beside `DISTINCT ON`, which wants something to select.
pub(super) fn record(
    row: Alias,
    fields: Vec<(Arc<str>, Expr)>,
    mut base: Select,
) -> Result<(Expr, From), PlanError> {
    if fields.len() > MAX_COLUMNS {
        return Err(PlanError::TooManyFields);
    }
    let empty_distinct = fields.is_empty() && !base.distinct_on.is_empty();
    if !empty_distinct && fields.iter().all(|(key, _)| key.len() <= MAX_IDENT_BYTES) {
        for (key, expr) in fields {
            base.items.push(SelectItem { expr, name: Some(Ident::new(key)?) });
        }
        let source = From::Select { select: Box::new(base), alias: row };
        return Ok((Expr::Call("row_to_json", vec![Expr::Row(row)]), source));
    }
    let mut parts = vec![Expr::Text("{".to_owned())];
    for (index, (key, expr)) in fields.into_iter().enumerate() {
        let lead = if index == 0 { "" } else { "," };
        parts.push(Expr::Text(format!("{lead}\"{key}\":")));
        parts.push(match expr {
            Expr::Text(text) => Expr::Text(serde_json::Value::from(text).to_string()),
            other => Expr::Coalesce(vec![
                Expr::Cast(Box::new(Expr::Call("to_json", vec![other])), own_type("text", false)?),
                Expr::Text("null".to_owned()),
            ]),
        });
    }
    parts.push(Expr::Text("}".to_owned()));
    // `concat_ws` and its like take at most 100 arguments.
    let mut joined = Expr::Text(String::new());
    for part in parts {
        joined = Expr::Binary(Box::new(joined), BinaryOp::catalog("||"), Box::new(part));
    }
    let name = Ident::new("value")?;
    let json = Expr::Cast(Box::new(joined), own_type("json", false)?);
    base.items.push(SelectItem { expr: json, name: Some(name.clone()) });
    Ok((Expr::Column(row, name), From::Select { select: Box::new(base), alias: row }))
}
