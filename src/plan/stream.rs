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

use crate::operation::input::Operand;
use crate::operation::model::{ListArgs, OrderItem, OrderKey, Streamed};
use crate::schema::predicate::{CompareValue, Comparison};
use crate::sql::{Direction, Expr, From, Ident, OrderBy, Select, SelectItem};

use super::planner::{Planner, RowRef, own_type};
use super::{Beginning, PlanError};

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
        self.stream = Some((Beginning(streamed.from.clone()), Expr::Scalar(Box::new(last))));
        Ok(rows)
    }

    fn after(&mut self, row: RowRef, streamed: &Streamed) -> Result<Expr, PlanError> {
        let comparison = if streamed.descending { Comparison::Lt } else { Comparison::Gt };
        let value = self.cell(row, streamed.column)?;
        let scalar = self.scalar(row.table, streamed.column)?;
        self.compare_to(value, scalar, comparison, &CompareValue::One(Operand::Cursor))
    }
}
