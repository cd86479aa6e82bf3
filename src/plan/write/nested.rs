//! Updates of one row with changes of the rows that belong to it.
//!
//! ```text
//! WITH _0 AS (UPDATE … RETURNING keys) SELECT [count, keys]
//! WITH _0 AS (DELETE FROM children WHERE parent = key AND …) …
//! WITH _0 AS (UPDATE children … WHERE parent = key AND …) …
//! WITH _0 AS (INSERT INTO children … ON CONFLICT … DO UPDATE … WHERE parent = key AND …) …
//! SELECT … FROM parents WHERE id = key
//! ```

use crate::base::JsonPath;
use crate::catalog::model::ColumnId;
use crate::operation::input::Operand;
use crate::operation::model::{RelatedChanges, Selected, Update, WriteOutput};
use crate::schema::tracked::TrackedId;
use crate::sql::{Alias, BinaryOp, Expr, Ident, Select, With, WithPart};

use super::super::PlanError;
use super::super::planner::{Planner, RowRef, Touch};
use super::super::rows::object;
use super::super::script::{RootAnswer, Writes};
use super::update::returned;
use super::{Writer, Written, answer_of, cell, column_name};

impl<'a> Writer<'a> {
    pub(super) fn update_nested(
        &mut self,
        update: &Update,
        nested: &[RelatedChanges],
        output: &WriteOutput,
    ) -> Result<RootAnswer, PlanError> {
        let WriteOutput::Row(selection) = output else {
            return Err(PlanError::Missing("the one row of a nested update"));
        };
        let planner = self.planner();
        let key = planner.table(update.table)?.primary_key.as_ref();
        let key = &key.ok_or(PlanError::Missing("a primary key"))?.columns;
        let mut needs: Vec<Ident> = Vec::new();
        for column in key {
            needs.push(column_name(&planner, update.table, *column)?);
        }
        for changes in nested {
            for (own, _) in &self.relationship(update.table, changes.relationship)?.join {
                let name = column_name(&planner, update.table, *own)?;
                if !needs.contains(&name) {
                    needs.push(name);
                }
            }
        }
        let sets = self.sets(update);
        let step = self.returning(update.table, &needs, |planner, name, needs| {
            if sets {
                planner.update_part(update, &[], name, needs)
            } else {
                planner.lock_part(update, name, needs)
            }
        })?;
        for changes in nested {
            self.change(update.table, step, changes)?;
        }
        for draft in self.drafts.iter_mut().skip(step + 1) {
            draft.after = Some(step);
        }
        let mut at = Vec::with_capacity(key.len());
        for column in key {
            at.push((*column, cell(step, &column_name(&planner, update.table, *column)?)));
        }
        self.read_back(update.table, &at, selection)
    }

    /// The changes over one relationship of the row that `step` updates.
    fn change(
        &mut self,
        table: TrackedId,
        step: usize,
        changes: &RelatedChanges,
    ) -> Result<(), PlanError> {
        let planner = self.planner();
        let relationship = self.relationship(table, changes.relationship)?;
        let mut belongs = Vec::with_capacity(relationship.join.len());
        for (own, other) in &relationship.join {
            belongs.push((*other, cell(step, &column_name(&planner, table, *own)?)));
        }
        if let Some(delete) = &changes.delete {
            self.returning(delete.table, &[], |planner, name, needs| {
                Ok(planner.delete_part(delete, &belongs, name, needs)?.at_its_place())
            })?;
        }
        for update in &changes.updates {
            if self.sets(update) {
                self.returning(update.table, &[], |planner, name, needs| {
                    Ok(planner.update_part(update, &belongs, name, needs)?.at_its_place())
                })?;
            }
        }
        if let Some(new) = &changes.insert {
            self.insert_children(new, &belongs, true, &mut Vec::new())?;
        }
        Ok(())
    }

    /// The row as it is after all changes: triggers may have touched it.
    fn read_back(
        &mut self,
        table: TrackedId,
        key: &[(ColumnId, Operand)],
        selection: &[Selected],
    ) -> Result<RootAnswer, PlanError> {
        let mut planner = self.planner();
        let row = planner.fresh(table);
        let base = Select {
            from: Some(planner.from(row)?),
            filter: Some(Expr::and(planner.stored_as(row, key)?)),
            ..Select::default()
        };
        let alias = planner.aliases.fresh();
        let fields = planner.fields(row, selection)?;
        let select = answer_of(Expr::Scalar(Box::new(object(alias, fields, base)?)));
        let statement = With { parts: Vec::new(), select };
        Ok(RootAnswer::Step(self.add(planner, statement, None)?))
    }
}

impl Planner<'_> {
    /// The row that an update is about, where it has nothing to set.
    fn lock_part(
        &mut self,
        update: &Update,
        name: Alias,
        needs: &[Ident],
    ) -> Result<Written, PlanError> {
        let access = self
            .schema
            .types
            .updates_of(update.table)
            .ok_or(PlanError::Missing("a right to update"))?;
        let row = self.fresh(update.table);
        let permitted = self.rule(row, &access.filter)?;
        let filter = self.which(row, permitted, &[], &update.rows)?;
        let from = self.from(row)?;
        self.touched.insert((update.table, Touch::Update));
        let select = Select {
            items: returned(row, needs),
            from: Some(from),
            filter: Some(filter),
            lock: true,
            ..Select::default()
        };
        let writes = Writes {
            table: update.table,
            path: JsonPath::root(),
            refused: update.path.clone(),
            reads_new: false,
        };
        Ok(Written { name, part: WithPart::Select(select), before: None, writes })
    }

    /// Columns as they are stored have these values.
    pub(super) fn stored_as(
        &mut self,
        row: RowRef,
        values: &[(ColumnId, Operand)],
    ) -> Result<Vec<Expr>, PlanError> {
        let mut conditions = Vec::with_capacity(values.len());
        for (column, operand) in values {
            let scalar = self.scalar(row.table, *column)?;
            let op = BinaryOp { schema: scalar.operators.schema.clone(), symbol: "=" };
            let left = Box::new(self.column(row, *column)?);
            let right = Box::new(self.param(operand, scalar.sql.clone()));
            conditions.push(Expr::Binary(left, op, right));
        }
        Ok(conditions)
    }
}

impl Written {
    /// Whatever fails, fails at the place of the change.
    fn at_its_place(mut self) -> Self {
        self.writes.path.clone_from(&self.writes.refused);
        self
    }
}
