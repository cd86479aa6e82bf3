//! `<table>_stream(cursor, batch_size, where)`: rows after a cursor.

use crate::catalog::model::ColumnId;
use crate::graphql::Field;
use crate::operation::error::{BindError, Problem};
use crate::operation::input::{Input, Operand};
use crate::operation::model::Streamed;
use crate::schema::predicate::Predicate;
use crate::schema::tracked::TrackedId;
use crate::schema::types::{ArgKind, EnumKind, FieldDef, InputKind, TypeDef, TypeId};

use super::{Binder, operand_of};

impl<'a> Binder<'a> {
    pub(super) fn streamed(
        &mut self,
        table: TrackedId,
        field: &Field,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<Streamed, BindError> {
        let mut filter = Predicate::TRUE;
        let (mut batch, mut cursors) = (None, Vec::new());
        for (arg, input) in self.arguments(field, def)? {
            let Some(input) = input else { continue };
            self.path.push_key("args");
            match arg.kind {
                ArgKind::Where if input == Input::Null => {}
                ArgKind::Where => {
                    filter =
                        self.at("where", |binder| binder.bool_exp(table, arg.ty.base, &input))?;
                }
                ArgKind::BatchSize => {
                    // Nothing would ever come of batches without rows.
                    batch = Some(self.count(&self.word(table, "batch_size"), input, 1)?)
                }
                ArgKind::Cursor => {
                    self.path.push_key("cursor");
                    let items = match &input {
                        Input::List(items) => items.as_slice(),
                        single => std::slice::from_ref(single),
                    };
                    for item in items.iter().filter(|item| **item != Input::Null) {
                        self.cursor(arg.ty.base, item, &mut cursors)?;
                    }
                    self.path.pop();
                }
                _ => return Err(self.error(Problem::Schema("an argument of another field"))),
            }
            self.path.pop();
        }
        let one = match cursors.len() {
            0 => Err(Problem::NoCursor),
            1 => cursors.pop().ok_or(Problem::NoCursor),
            _ => Err(Problem::ManyCursors),
        };
        let (column, from, descending) = one.map_err(|problem| {
            self.path.push_key("args");
            self.error(problem)
        })?;
        let batch = batch.ok_or_else(|| self.error(Problem::Schema("a stream without batches")))?;
        let selection = self.selection(table, def.ty.base, fields, 2)?;
        Ok(Streamed { table, filter, column, descending, from, batch, selection })
    }

    /// The columns of one cursor, with where each begins.
    fn cursor(
        &mut self,
        ty: TypeId,
        input: &Input,
        out: &mut Vec<Cursor>,
    ) -> Result<(), BindError> {
        let mut descending = false;
        let mut columns = Vec::new();
        for (_, field, input) in self.entries(ty, input)? {
            match field.kind {
                InputKind::Ordering => descending = self.is_descending(field.ty.base, input),
                InputKind::InitialValue => {
                    for (_, column, value) in self.entries(field.ty.base, input)? {
                        let InputKind::Column(column) = column.kind else {
                            return Err(self.error(Problem::Schema("no column of a cursor")));
                        };
                        columns.push((column, operand_of(value.clone())));
                    }
                }
                _ => return Err(self.error(Problem::Schema("no part of a cursor"))),
            }
        }
        out.extend(columns.into_iter().map(|(column, from)| (column, from, descending)));
        Ok(())
    }

    fn is_descending(&self, ty: TypeId, input: &Input) -> bool {
        match (self.schema.types.get(ty), input) {
            (Some(TypeDef::Enum(def)), Input::Enum(word)) => def
                .values
                .get(word)
                .is_some_and(|value| value.kind == EnumKind::Cursor { descending: true }),
            _ => false,
        }
    }
}

/// A column, where it begins, and whether it descends.
type Cursor = (ColumnId, Option<Operand>, bool);
