//! Streams: the next rows after a cursor, and where the cursor stands then.
//!
//! ```sql
//! SELECT row_to_json(_0.*), <snapshot>,
//!   (SELECT _4."place"::text FROM (<the same rows>) AS _4 ORDER BY _4."place" DESC LIMIT 1)
//! FROM (SELECT (<rows after $1>) AS "logs_stream") AS _0
//! ```
//!
//! Rows that share the last value of a batch with one in it are passed over, as
//! in Hasura: the cursor is that value.
//!
//! Which rows that were sent are still there is asked in another statement:
//!
//! ```sql
//! SELECT coalesce(json_agg(row_to_json(_2.*)), '[]') FROM (
//!   SELECT _0."id" AS "id" FROM "logs" AS _0
//!   WHERE EXISTS (SELECT 1 FROM unnest($1) AS _1("id") WHERE _0."id" = _1."id") AND …) AS _2
//! ```

use std::sync::Arc;

use crate::catalog::model::ColumnId;
use crate::operation::input::Operand;
use crate::operation::model::{
    ListArgs, OrderItem, OrderKey, Read, Root, RootSelection, Selected, Streamed,
};
use crate::schema::RoleSchema;
use crate::schema::predicate::{CompareValue, Comparison};
use crate::schema::types::Codec;
use crate::sql::{BinaryOp, Direction, Expr, From, Ident, OrderBy, Select, SelectItem};

use super::planner::{Planner, RowRef, own_type};
use super::predicate::exists;
use super::rows::array;
use super::{GenericPlan, PlanError, Remaining, fingerprint};

/// The statement that asks which rows of the stream among some roots are still
/// there; `None` where they have no keys that could be asked for.
pub(super) fn remaining(
    schema: &RoleSchema,
    roots: &[Root],
) -> Result<Option<Remaining>, PlanError> {
    let is_described = |root: &Root| matches!(root.field, RootSelection::Described(_));
    if roots.iter().any(is_described) {
        return Ok(None);
    }
    let mut found = Vec::new();
    streams(roots, &mut Vec::new(), &mut found);
    let Some((path, streamed)) = found.pop().filter(|_| found.is_empty()) else { return Ok(None) };
    let mut planner = Planner::new(schema, None);
    let Some(key) = planner.selected_key(streamed.table, &streamed.selection) else {
        return Ok(None);
    };
    for (column, _) in &key {
        let codec = planner.scalar(streamed.table, *column)?.codec;
        // JSON shows their values otherwise than Postgres reads them.
        if matches!(codec, Codec::Json | Codec::GeoJson)
            || planner.unnests_as_text(streamed.table, *column)?
        {
            return Ok(None);
        }
    }
    let fields = key.iter().map(|(_, selected)| selected.key.clone()).collect();
    let text = planner.still_there(streamed, &key)?.to_string();
    planner.check_parameters()?;
    Ok(Some(Remaining {
        path,
        fields,
        fingerprint: fingerprint(&text),
        text: text.into(),
        slots: planner.slots,
        generic: Arc::new(GenericPlan::default()),
    }))
}

/// The streams among some roots, each with the keys that lead to it.
fn streams<'r>(
    roots: &'r [Root],
    path: &mut Vec<Arc<str>>,
    found: &mut Vec<(Vec<Arc<str>>, &'r Streamed)>,
) {
    for Root { key, field } in roots {
        path.push(key.clone());
        match field {
            RootSelection::Namespace(inside) => streams(inside, path, found),
            RootSelection::Read(read) => {
                if let Read::Stream(streamed) = &**read {
                    found.push((path.clone(), streamed));
                }
            }
            _ => {}
        }
        path.pop();
    }
}

impl Planner<'_> {
    pub(super) fn stream(&mut self, streamed: &Streamed) -> Result<Expr, PlanError> {
        let args = ListArgs {
            filter: streamed.filter.clone(),
            order_by: vec![OrderItem {
                through: Vec::new(),
                key: OrderKey::Column(streamed.column),
                descending: streamed.descending,
                nulls_first: None,
            }],
            limit: Some(streamed.batch.clone()),
            ..ListArgs::default()
        };
        let row = self.fresh(streamed.table);
        let from = self.from(row)?;
        let after = self.after(row, streamed)?;
        let rows = self.list_of(row, from, vec![after], &args, &streamed.selection)?;

        let row = self.fresh(streamed.table);
        let from = self.from(row)?;
        let after = self.after(row, streamed)?;
        let cap = self.row_cap(streamed.table)?;
        let mut batch = self.base(row, from, vec![after], &args, cap)?;
        let name = Ident::new("place")?;
        let value = self.cell(row, streamed.column)?;
        batch.items.push(SelectItem { expr: value, name: Some(name.clone()) });
        let alias = self.aliases.fresh();
        let place = || Expr::Column(alias, name.clone());
        let last = Select {
            items: vec![SelectItem {
                expr: Expr::Cast(Box::new(place()), own_type("text", false)?),
                name: None,
            }],
            from: Some(From::Select { select: Box::new(batch), alias }),
            order_by: vec![OrderBy {
                expr: place(),
                direction: if streamed.descending { Direction::Asc } else { Direction::Desc },
                nulls: None,
            }],
            limit: Some(Expr::Int(1)),
            ..Select::default()
        };
        self.stream = Some((streamed.from.clone(), Expr::Scalar(Box::new(last))));
        Ok(rows)
    }

    /// The keys of those rows of a list that the stream could show, wherever its
    /// cursor stands. No limit holds: who asks has had these rows.
    fn still_there(
        &mut self,
        streamed: &Streamed,
        key: &[(ColumnId, &Selected)],
    ) -> Result<Select, PlanError> {
        let row = self.fresh(streamed.table);
        let from = self.from(row)?;
        let sent = self.aliases.fresh();
        let arrays: Vec<(ColumnId, Operand)> =
            (0..).zip(key).map(|(at, (column, _))| (*column, Operand::SentKeys(at))).collect();
        let list = self.arrays(streamed.table, &arrays, sent)?;
        let mut same = Vec::with_capacity(key.len());
        for (column, _) in key {
            let schema = self.scalar(streamed.table, *column)?.operators.schema.clone();
            let left = Box::new(self.cell(row, *column)?);
            let right = Box::new(self.element(streamed.table, *column, sent)?);
            same.push(Expr::Binary(left, BinaryOp { schema, symbol: "=" }, right));
        }
        let args = ListArgs { filter: streamed.filter.clone(), ..ListArgs::default() };
        let base = self.base(row, from, vec![exists(list, same)], &args, None)?;
        let mut fields = Vec::with_capacity(key.len());
        for (_, selected) in key {
            fields.push((selected.key.clone(), self.field(row, &selected.field)?));
        }
        let record = self.aliases.fresh();
        array(record, fields, base)
    }

    fn after(&mut self, row: RowRef, streamed: &Streamed) -> Result<Expr, PlanError> {
        let comparison = if streamed.descending { Comparison::Lt } else { Comparison::Gt };
        let value = self.cell(row, streamed.column)?;
        let scalar = self.scalar(row.table, streamed.column)?;
        self.compare_to(value, scalar, comparison, &CompareValue::One(Operand::Cursor))
    }
}
