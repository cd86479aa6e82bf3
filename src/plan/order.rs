//! Orders → SQL.

use crate::operation::model::{OrderItem, OrderKey, RowsOf};
use crate::sql::{Direction, Expr, From, Nulls, OrderBy, Select, SelectItem};

use super::PlanError;
use super::planner::{Planner, RowRef};

impl Planner<'_> {
    pub(super) fn order_item(
        &mut self,
        row: RowRef,
        item: &OrderItem,
    ) -> Result<OrderBy, PlanError> {
        Ok(OrderBy {
            expr: self.order_expr(row, &item.through, &item.key)?,
            direction: if item.descending { Direction::Desc } else { Direction::Asc },
            nulls: item.nulls_first.map(|first| if first { Nulls::First } else { Nulls::Last }),
        })
    }

    fn order_expr(
        &mut self,
        row: RowRef,
        through: &[usize],
        key: &OrderKey,
    ) -> Result<Expr, PlanError> {
        let Some((index, rest)) = through.split_first() else { return self.order_key(row, key) };
        let relationship = self.relationship(row.table, *index)?;
        let other = self.fresh(relationship.target);
        let from = self.from(other)?;
        let mut conditions = self.join(row, relationship, other)?;
        conditions.push(self.permitted(other)?);
        let expr = self.order_expr(other, rest, key)?;
        Ok(scalar(expr, from, conditions))
    }

    fn order_key(&mut self, row: RowRef, key: &OrderKey) -> Result<Expr, PlanError> {
        match key {
            OrderKey::Column(column) => self.cell(row, *column),
            OrderKey::Computed(index) => self.computed_cell(row, *index, &[]),
            OrderKey::Count(of) => {
                let (_, from, conditions) = self.rows_of(row, *of)?;
                let count =
                    Expr::Aggregate { function: "count", distinct: false, args: Vec::new() };
                Ok(scalar(count, from, conditions))
            }
            OrderKey::Function { of, function, column } => {
                let (other, from, conditions) = self.rows_of(row, *of)?;
                let value = self.cell(other, *column)?;
                let of = self.scalar(other.table, *column)?;
                let aggregate = super::aggregate::call(*function, of, value)?;
                Ok(scalar(aggregate, from, conditions))
            }
        }
    }

    /// The rows that belong to a row and that the role may select.
    fn rows_of(&mut self, row: RowRef, of: RowsOf) -> Result<(RowRef, From, Vec<Expr>), PlanError> {
        let (other, from, mut conditions) = match of {
            RowsOf::Relationship(index) => {
                let relationship = self.relationship(row.table, index)?;
                let other = self.fresh(relationship.target);
                let from = self.from(other)?;
                (other, from, self.join(row, relationship, other)?)
            }
            RowsOf::Computed(index) => {
                let (other, from) = self.computed_rows(row, index, &[])?;
                (other, from, Vec::new())
            }
        };
        conditions.push(self.permitted(other)?);
        Ok((other, from, conditions))
    }
}

fn scalar(expr: Expr, from: From, conditions: Vec<Expr>) -> Expr {
    Expr::Scalar(Box::new(Select {
        items: vec![SelectItem { expr, name: None }],
        from: Some(from),
        filter: Some(Expr::and(conditions)),
        ..Select::default()
    }))
}
