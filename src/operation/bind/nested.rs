//! `_nested`: what becomes of the rows that belong to an updated one.

use crate::operation::error::{BindError, Problem};
use crate::operation::input::Input;
use crate::operation::model::{Delete, RelatedChanges, Update, Which};
use crate::schema::tracked::{Relationship, TrackedId};
use crate::schema::types::{InputKind, RelatedWrite, TypeId};

use super::Binder;

impl Binder<'_> {
    /// `{tasks: {…}, notes: {…}}`, in this order; what is null or empty is left
    /// out.
    pub(super) fn nested(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Vec<RelatedChanges>, BindError> {
        let mut out = Vec::new();
        if *input == Input::Null {
            return Ok(out);
        }
        for (name, field, input) in self.entries(ty, input)? {
            let InputKind::Relationship(index) = field.kind else {
                return Err(self.error(Problem::Schema("a nested update has no such field")));
            };
            if *input == Input::Null {
                continue;
            }
            let relationship = self.relationship(table, index)?;
            let ty = field.ty.base;
            out.extend(self.at(name, |b| b.changes(index, relationship, ty, input))?);
        }
        Ok(out)
    }

    /// `{delete: {where: …}, update: […], insert: {data: […]}}`
    fn changes(
        &mut self,
        index: usize,
        relationship: &Relationship,
        ty: TypeId,
        input: &Input,
    ) -> Result<Option<RelatedChanges>, BindError> {
        let mut changes =
            RelatedChanges { relationship: index, delete: None, updates: Vec::new(), insert: None };
        let mut given = false;
        for (name, field, input) in self.entries(ty, input)? {
            let InputKind::Related(write) = field.kind else {
                return Err(
                    self.error(Problem::Schema("rows of a relationship are not changed so"))
                );
            };
            if *input == Input::Null {
                continue;
            }
            given = true;
            let ty = field.ty.base;
            self.at(name, |binder| {
                match write {
                    RelatedWrite::Delete => {
                        changes.delete =
                            Some(binder.related_delete(relationship.target, ty, input)?);
                    }
                    RelatedWrite::Update => {
                        changes.updates = binder.related_updates(relationship, ty, input)?;
                    }
                    RelatedWrite::Insert => {
                        changes.insert = binder.related_rows(relationship, ty, input)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(given.then_some(changes))
    }

    fn related_delete(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Delete, BindError> {
        let mut filter = None;
        for (name, field, input) in self.entries(ty, input)? {
            let ty = field.ty.base;
            filter = Some(self.at(name, |b| b.bool_exp(table, ty, input))?);
        }
        let filter = filter.ok_or_else(|| self.missing("where"))?;
        Ok(Delete { table, rows: Which::Where(filter), path: self.path.clone() })
    }

    /// Updates that leave the rows where they belong.
    fn related_updates(
        &mut self,
        relationship: &Relationship,
        ty: TypeId,
        input: &Input,
    ) -> Result<Vec<Update>, BindError> {
        let Input::List(items) = input else {
            return Err(self.error(Problem::Schema("updates are a list")));
        };
        self.count_updates(items.len())?;
        let table = relationship.target;
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            out.push(self.at_index(index, |binder| {
                let update = binder.update_of(table, ty, item)?;
                let columns: Vec<_> = update
                    .set
                    .iter()
                    .map(|assignment| assignment.column)
                    .filter(|column| relationship.join.iter().any(|(_, other)| other == column))
                    .collect();
                if columns.is_empty() {
                    return Ok(update);
                }
                Err(binder.error(Problem::KeptByParent(binder.column_names(table, &columns))))
            })?);
        }
        Ok(out)
    }
}
