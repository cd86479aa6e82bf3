//! Updates and deletes.

use crate::base::JsonPath;
use crate::catalog::model::ColumnId;
use crate::operation::input::Operand;
use crate::operation::model::{AssignedValue, Assignment, Delete, Update, Which, WriteOutput};
use crate::schema::access::UpdateAccess;
use crate::schema::types::UpdateOperator;
use crate::sql::raise::require;
use crate::sql::{
    Alias, BinaryOp, Delete as SqlDelete, Expr, Ident, SelectItem, SqlType, Update as SqlUpdate,
    WithPart,
};

use super::super::PlanError;
use super::super::planner::{Planner, RowRef, Touch, own_type};
use super::super::script::{RootAnswer, Writes};
use super::output::of_nothing;
use super::{Writer, Written, column_name, free_name, name_of};

impl Writer<'_> {
    pub(super) fn update(
        &mut self,
        update: &Update,
        output: &WriteOutput,
    ) -> Result<RootAnswer, PlanError> {
        if !self.sets(update) {
            return Ok(of_nothing(output));
        }
        self.statement(update.table, output, |planner, name, needs| {
            planner.update_part(update, &[], name, needs)
        })
    }

    /// Whether it gives any column a value.
    pub(super) fn sets(&self, update: &Update) -> bool {
        let access = self.schema.types.updates_of(update.table);
        !update.set.is_empty() || access.is_some_and(|access| !access.presets.is_empty())
    }

    pub(super) fn update_many(
        &mut self,
        updates: &[Update],
        output: &WriteOutput,
    ) -> Result<RootAnswer, PlanError> {
        let answers =
            updates.iter().map(|update| self.update(update, output)).collect::<Result<_, _>>()?;
        Ok(RootAnswer::List(answers))
    }

    pub(super) fn delete(
        &mut self,
        delete: &Delete,
        output: &WriteOutput,
    ) -> Result<RootAnswer, PlanError> {
        self.statement(delete.table, output, |planner, name, needs| {
            planner.delete_part(delete, &[], name, needs)
        })
    }
}

impl Planner<'_> {
    /// `belongs` holds for the rows too.
    pub(super) fn update_part(
        &mut self,
        update: &Update,
        belongs: &[(ColumnId, Operand)],
        name: Alias,
        needs: &[Ident],
    ) -> Result<Written, PlanError> {
        let access = self
            .schema
            .types
            .updates_of(update.table)
            .ok_or(PlanError::Missing("a right to update"))?;
        let row = self.fresh(update.table);
        let set = self.assignments(row, access, &update.set)?;
        let permitted = self.rule(row, &access.filter)?;
        let filter = self.which(row, permitted, belongs, &update.rows)?;
        let mut returning = returned(row, needs);
        if let Some(check) = &access.check {
            let check = self.rule(row, check)?;
            if check != Expr::Bool(true) {
                let name = Some(free_name(needs)?);
                returning.push(SelectItem { expr: require(check)?, name });
            }
        }
        self.touched.insert((update.table, Touch::Update));
        self.touched.insert((update.table, Touch::Select));
        if returning.is_empty() {
            returning.push(SelectItem { expr: Expr::Int(1), name: Some(free_name(needs)?) });
        }
        let part = WithPart::Update(SqlUpdate {
            table: name_of(self, update.table)?,
            alias: row.alias,
            set,
            filter,
            returning,
        });
        let writes = Writes {
            table: update.table,
            path: JsonPath::root(),
            refused: update.path.clone(),
            reads_new: true,
        };
        Ok(Written { name, part, before: None, writes })
    }

    fn assignments(
        &mut self,
        row: RowRef,
        access: &UpdateAccess,
        given: &[Assignment],
    ) -> Result<Vec<(Ident, Option<Expr>)>, PlanError> {
        let mut set = Vec::with_capacity(given.len() + access.presets.len());
        for assignment in given {
            let name = column_name(self, row.table, assignment.column)?;
            let value = match assignment.value {
                AssignedValue::Default => None,
                _ => Some(self.assigned(row, assignment)?),
            };
            set.push((name, value));
        }
        for (column, operand) in &access.presets {
            let name = column_name(self, row.table, *column)?;
            set.push((name, Some(self.value(row.table, *column, Some(operand))?)));
        }
        Ok(set)
    }

    fn assigned(&mut self, row: RowRef, assignment: &Assignment) -> Result<Expr, PlanError> {
        let column = assignment.column;
        let ty = match assignment.operator {
            UpdateOperator::Set
            | UpdateOperator::Inc
            | UpdateOperator::Append
            | UpdateOperator::Prepend => self.scalar(row.table, column)?.sql.clone(),
            UpdateOperator::DeleteKey => own_type("text", false)?,
            UpdateOperator::DeleteElem => own_type("int4", false)?,
            UpdateOperator::DeleteAtPath => own_type("text", true)?,
        };
        let value = match &assignment.value {
            AssignedValue::Times(operand) => {
                let factor = Box::new(self.param(operand, ty));
                let old = Box::new(self.column(row, column)?);
                return Ok(Expr::Binary(old, BinaryOp::catalog("*"), factor));
            }
            AssignedValue::Default => return Err(PlanError::Missing("the text of a default")),
            AssignedValue::Null => Expr::Cast(Box::new(Expr::Null), ty),
            AssignedValue::One(operand) => self.param(operand, ty),
            AssignedValue::Items(items) => {
                let item = SqlType { array: false, ..ty.clone() };
                let items = items.iter().map(|operand| self.param(operand, item.clone())).collect();
                Expr::Array(items, ty)
            }
        };
        let old = || self.column(row, column).map(Box::new);
        let operator = |symbol| BinaryOp::catalog(symbol);
        Ok(match assignment.operator {
            UpdateOperator::Set => value,
            UpdateOperator::Inc => Expr::Binary(old()?, operator("+"), Box::new(value)),
            UpdateOperator::Append => Expr::Binary(old()?, operator("||"), Box::new(value)),
            UpdateOperator::Prepend => Expr::Binary(Box::new(value), operator("||"), old()?),
            UpdateOperator::DeleteKey | UpdateOperator::DeleteElem => {
                Expr::Binary(old()?, operator("-"), Box::new(value))
            }
            UpdateOperator::DeleteAtPath => Expr::Binary(old()?, operator("#-"), Box::new(value)),
        })
    }

    /// What metadata permits, and what the caller asks for.
    pub(super) fn which(
        &mut self,
        row: RowRef,
        permitted: Expr,
        belongs: &[(ColumnId, Operand)],
        rows: &Which,
    ) -> Result<Expr, PlanError> {
        let mut conditions = vec![permitted];
        conditions.extend(self.stored_as(row, belongs)?);
        match rows {
            Which::Where(predicate) => conditions.push(self.asked(row, predicate)?),
            Which::Key(key) => conditions.extend(self.key_conditions(row, key)?),
        }
        Ok(Expr::and(conditions))
    }

    pub(super) fn delete_part(
        &mut self,
        delete: &Delete,
        belongs: &[(ColumnId, Operand)],
        name: Alias,
        needs: &[Ident],
    ) -> Result<Written, PlanError> {
        let access = self
            .schema
            .types
            .deletes_of(delete.table)
            .ok_or(PlanError::Missing("a right to delete"))?;
        let row = self.fresh(delete.table);
        let permitted = self.rule(row, &access.filter)?;
        let filter = self.which(row, permitted, belongs, &delete.rows)?;
        self.touched.insert((delete.table, Touch::Delete));
        self.touched.insert((delete.table, Touch::Select));
        let mut returning = returned(row, needs);
        if returning.is_empty() {
            returning.push(SelectItem { expr: Expr::Int(1), name: Some(free_name(needs)?) });
        }
        let part = WithPart::Delete(SqlDelete {
            table: name_of(self, delete.table)?,
            alias: row.alias,
            filter,
            returning,
        });
        let writes = Writes {
            table: delete.table,
            path: JsonPath::root(),
            refused: delete.path.clone(),
            reads_new: false,
        };
        Ok(Written { name, part, before: None, writes })
    }
}

/// Columns of the written rows under their names.
pub(super) fn returned(row: RowRef, needs: &[Ident]) -> Vec<SelectItem> {
    needs
        .iter()
        .map(|need| SelectItem {
            expr: Expr::Column(row.alias, need.clone()),
            name: Some(need.clone()),
        })
        .collect()
}
