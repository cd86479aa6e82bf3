//! Writes: rows to insert with those of other tables in them, what is set,
//! which rows, and what is answered.

use crate::catalog::model::ColumnId;
use crate::graphql::{Field, Name};
use crate::operation::error::{BindError, Problem};
use crate::operation::input::{Input, Operand};
use crate::operation::model::{
    AssignedValue, Assignment, Delete, NewRow, NewRows, OnConflict, RelatedChanges, ResponseField,
    ResponseSelected, RowsInput, Update, Which, Write, WriteOutput,
};
use crate::schema::predicate::Predicate;
use crate::schema::tracked::{Relationship, TrackedId};
use crate::schema::types::{
    ArgDef, ArgKind, EnumKind, FieldDef, FieldKind, InputKind, RootKind, TypeDef, TypeId,
    UpdateOperator,
};

use super::{Binder, operand_of};

/// Update operators in the order in which messages list them.
const OPERATORS: [UpdateOperator; 7] = [
    UpdateOperator::Set,
    UpdateOperator::Inc,
    UpdateOperator::Prepend,
    UpdateOperator::Append,
    UpdateOperator::DeleteKey,
    UpdateOperator::DeleteElem,
    UpdateOperator::DeleteAtPath,
];

impl<'a> Binder<'a> {
    /// A root that writes a table.
    pub(super) fn write(
        &mut self,
        table: TrackedId,
        kind: RootKind,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<Write, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        let given = self.arguments(field, def)?;
        self.path.push_key("args");
        let write = match kind {
            RootKind::Insert | RootKind::InsertOne => {
                let rows = self.insert(table, given)?;
                self.path.pop();
                let output = self.write_output(table, kind == RootKind::InsertOne, fields, def)?;
                return Ok(Write::Insert { rows, output });
            }
            RootKind::Update | RootKind::UpdateByPk => {
                let (update, nested) = self.update(table, given)?;
                self.path.pop();
                let output = self.write_output(table, kind == RootKind::UpdateByPk, fields, def)?;
                Write::Update { update, nested, output }
            }
            RootKind::UpdateMany => {
                let updates = self.updates(table, given)?;
                self.path.pop();
                let output = self.write_output(table, false, fields, def)?;
                Write::UpdateMany { updates, output }
            }
            RootKind::Delete => {
                let mut filter = Predicate::TRUE;
                for (arg, input) in given {
                    if let (ArgKind::Where, Some(input)) = (arg.kind, input) {
                        filter = self.at("where", |b| b.bool_exp(table, arg.ty.base, &input))?;
                    }
                }
                let path = self.path.clone();
                self.path.pop();
                let output = self.write_output(table, false, fields, def)?;
                Write::Delete { delete: Delete { table, rows: Which::Where(filter), path }, output }
            }
            RootKind::DeleteByPk => {
                let mut key = Vec::with_capacity(given.len());
                for (arg, input) in given {
                    let (ArgKind::Key(column), Some(operand)) =
                        (arg.kind, input.and_then(operand_of))
                    else {
                        return Err(self.error(Problem::Schema("a key argument is no scalar")));
                    };
                    key.push((column, operand));
                }
                let path = self.path.clone();
                self.path.pop();
                let output = self.write_output(table, true, fields, def)?;
                Write::Delete { delete: Delete { table, rows: Which::Key(key), path }, output }
            }
            _ => return Err(self.error(Problem::Schema("a root that nothing can run"))),
        };
        Ok(write)
    }

    /// The problem of a field of an input object that has to be there.
    pub(super) fn missing(&self, name: &str) -> BindError {
        let path = self.path.clone().key(name.to_owned());
        BindError::new(path, Problem::MissingArgument(name.to_owned()))
    }

    fn write_output(
        &mut self,
        table: TrackedId,
        one: bool,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<WriteOutput, BindError> {
        if one {
            return Ok(WriteOutput::Row(self.selection(table, def.ty.base, fields, 2)?));
        }
        let bound =
            self.fields(def.ty.base, fields, 2, ResponseField::Typename, |binder, fields, def| {
                match def.kind {
                    FieldKind::AffectedRows => {
                        binder.leaf(fields)?;
                        Ok(ResponseField::AffectedRows)
                    }
                    FieldKind::Returning => binder
                        .selection(table, def.ty.base, fields, 3)
                        .map(ResponseField::Returning),
                    _ => Err(binder.error(Problem::Schema("no field of a response"))),
                }
            })?;
        let selected = bound.into_iter().map(|(key, field)| ResponseSelected { key, field });
        Ok(WriteOutput::Response(selected.collect()))
    }

    /// `objects` or `object`, and `on_conflict`.
    fn insert(
        &mut self,
        table: TrackedId,
        given: Vec<(&ArgDef, Option<Input>)>,
    ) -> Result<NewRows, BindError> {
        let mut rows = None;
        let mut on_conflict = None;
        for (arg, input) in given {
            let Some(input) = input else { continue };
            match arg.kind {
                ArgKind::Objects => {
                    rows = Some(self.at("objects", |binder| {
                        let rows = binder.new_rows(table, arg.ty.base, &input, &[])?;
                        Ok((rows, binder.path.clone()))
                    })?);
                }
                ArgKind::Object => {
                    rows = Some(self.at("object", |binder| {
                        let row = binder.new_row(table, arg.ty.base, &input, &[], true)?;
                        Ok((RowsInput::Each(vec![row]), binder.path.clone()))
                    })?);
                }
                ArgKind::OnConflict => {
                    on_conflict = self.at(&self.word(table, "on_conflict"), |b| {
                        b.on_conflict(table, arg.ty.base, &input)
                    })?;
                }
                _ => return Err(self.error(Problem::Schema("an argument of another field"))),
            }
        }
        let Some((rows, path)) = rows else {
            return Err(self.error(Problem::Schema("an insert of nothing")));
        };
        Ok(NewRows { table, rows, on_conflict, path })
    }

    /// Rows of `table`; the columns in `determined` are set by the row around.
    fn new_rows(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
        determined: &[ColumnId],
    ) -> Result<RowsInput, BindError> {
        match input {
            Input::Columns(columns) => {
                let def = self.input_type(ty)?;
                let mut out = Vec::with_capacity(columns.len());
                for (name, operand) in columns {
                    let Some(InputKind::Column(column)) =
                        def.fields.get(name).map(|field| field.kind)
                    else {
                        return Err(self.error(Problem::Schema("a new row has no such column")));
                    };
                    out.push((column, operand.clone()));
                }
                self.at_index(0, |binder| {
                    binder.not_determined(table, out.iter().map(|(column, _)| *column), determined)
                })?;
                Ok(RowsInput::Columns(out))
            }
            Input::List(items) => {
                if items.len() > self.limits.rows {
                    return Err(self.error(Problem::TooManyRows { limit: self.limits.rows }));
                }
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    out.push(self.at_index(index, |binder| {
                        binder.new_row(table, ty, item, determined, false)
                    })?);
                }
                // As in Hasura: where one row has others in it, each is a step
                // of its own, and says so in its path.
                Ok(RowsInput::Each(out))
            }
            _ => Err(self.error(Problem::Schema("new rows are a list"))),
        }
    }

    fn not_determined(
        &self,
        table: TrackedId,
        columns: impl Iterator<Item = ColumnId>,
        determined: &[ColumnId],
    ) -> Result<(), BindError> {
        let taken: Vec<ColumnId> = columns.filter(|column| determined.contains(column)).collect();
        if taken.is_empty() {
            return Ok(());
        }
        Err(self.error(Problem::DeterminedByParent(self.column_names(table, &taken))))
    }

    /// The columns' names in the database, for messages.
    pub(super) fn column_names(&self, table: TrackedId, columns: &[ColumnId]) -> String {
        let name = |column: &ColumnId| {
            let column = self.schema.column(table, *column);
            format!("\"{}\"", column.map_or("", |column| &column.name))
        };
        columns.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn new_row(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
        determined: &[ColumnId],
        single: bool,
    ) -> Result<NewRow, BindError> {
        let mut row = NewRow::default();
        let mut nested = Vec::new();
        for (name, field, input) in self.entries(ty, input)? {
            match (field.kind, input) {
                (InputKind::Column(column), Input::Null) => row.columns.push((column, None)),
                (InputKind::Column(column), input) => {
                    let operand = operand_of(input.clone())
                        .ok_or_else(|| self.error(Problem::Schema("a column is no scalar")))?;
                    row.columns.push((column, Some(operand)));
                }
                (InputKind::Relationship(_), Input::Null) => {}
                (InputKind::Relationship(index), input) => {
                    nested.push((name, index, field.ty.base, input));
                }
                _ => return Err(self.error(Problem::Schema("a new row has no such field"))),
            }
        }
        self.not_determined(table, row.columns.iter().map(|(column, _)| *column), determined)?;
        let mut taken: Vec<ColumnId> = row.columns.iter().map(|(column, _)| *column).collect();
        taken.extend(determined);
        for (name, index, ty, input) in nested {
            let relationship = self.relationship(table, index)?;
            let first = relationship.target_first;
            // Steps of one row have its index in their path, also where the
            // argument is no list.
            if single {
                self.path.push_index(0);
            }
            self.path.push_key(name.to_string());
            if first {
                let own: Vec<ColumnId> = relationship.join.iter().map(|(own, _)| *own).collect();
                let both: Vec<ColumnId> =
                    own.iter().copied().filter(|column| taken.contains(column)).collect();
                if !both.is_empty() {
                    return Err(self.error(Problem::DeterminedColumns {
                        relationship: relationship.name.to_string(),
                        columns: self.column_names(table, &both),
                    }));
                }
                taken.extend(own);
            }
            let rows = self.related_rows(relationship, ty, input)?;
            self.path.pop();
            if single {
                self.path.pop();
            }
            let Some(rows) = rows else { continue };
            if first {
                row.before.push((index, rows));
            } else {
                row.after.push((index, rows));
            }
        }
        Ok(row)
    }

    /// `{data: …, on_conflict: …}`; `None` when there are no rows.
    pub(super) fn related_rows(
        &mut self,
        relationship: &Relationship,
        ty: TypeId,
        input: &Input,
    ) -> Result<Option<NewRows>, BindError> {
        let table = relationship.target;
        let determined: Vec<ColumnId> = if relationship.target_first {
            Vec::new()
        } else {
            relationship.join.iter().map(|(_, other)| *other).collect()
        };
        let mut rows = None;
        let mut on_conflict = None;
        for (name, field, input) in self.entries(ty, input)? {
            match (field.kind, input) {
                (InputKind::Data, Input::Null) => {
                    let ty = self.schema.types.name(field.ty.base).to_string();
                    return self.at(name, |b| Err(b.error(Problem::UnexpectedNull(ty))));
                }
                (InputKind::Data, input) => {
                    rows = Some(self.at(name, |binder| {
                        let rows = match field.ty.item() {
                            Some(_) => binder.new_rows(table, field.ty.base, input, &determined)?,
                            None => RowsInput::Each(vec![binder.new_row(
                                table,
                                field.ty.base,
                                input,
                                &determined,
                                !relationship.target_first,
                            )?]),
                        };
                        Ok((rows, binder.path.clone()))
                    })?);
                }
                (InputKind::OnConflict, input) => {
                    on_conflict = self.at(name, |b| b.on_conflict(table, field.ty.base, input))?;
                }
                _ => return Err(self.error(Problem::Schema("a nested insert has no such field"))),
            }
        }
        let Some((rows, path)) = rows else {
            return Err(self.missing("data"));
        };
        if matches!(&rows, RowsInput::Each(rows) if rows.is_empty()) {
            return Ok(None);
        }
        Ok(Some(NewRows { table, rows, on_conflict, path }))
    }

    pub(super) fn relationship(
        &self,
        table: TrackedId,
        index: usize,
    ) -> Result<&'a Relationship, BindError> {
        self.schema
            .relationship(table, index)
            .ok_or_else(|| self.error(Problem::Schema("a relationship leads nowhere")))
    }

    fn on_conflict(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Option<OnConflict>, BindError> {
        if *input == Input::Null {
            return Ok(None);
        }
        let mut constraint = None;
        let mut columns = Vec::new();
        let mut filter = Predicate::TRUE;
        for (name, field, input) in self.entries(ty, input)? {
            let base = field.ty.base;
            match (field.kind, input) {
                (InputKind::Constraint, input) => constraint = self.constraint(base, input),
                (InputKind::UpdateColumns, Input::List(items)) => {
                    for item in items {
                        columns.push(self.updated_column(base, item)?);
                    }
                }
                (InputKind::Where, Input::Null) => {}
                (InputKind::Where, input) => {
                    filter = self.at(name, |binder| binder.bool_exp(table, base, input))?;
                }
                (_, Input::Null) => {
                    let ty = self.schema.types.name(base).to_string();
                    return self.at(name, |b| Err(b.error(Problem::UnexpectedNull(ty))));
                }
                _ => return Err(self.error(Problem::Schema("an upsert has no such field"))),
            }
        }
        let Some(constraint) = constraint else {
            return Err(self.missing("constraint"));
        };
        Ok(Some(OnConflict { constraint: Some(constraint), columns, filter }))
    }

    fn constraint(&self, ty: TypeId, input: &Input) -> Option<u16> {
        let (Some(TypeDef::Enum(def)), Input::Enum(word)) = (self.schema.types.get(ty), input)
        else {
            return None;
        };
        match def.values.get(word)?.kind {
            EnumKind::Constraint(index) => Some(index),
            _ => None,
        }
    }

    fn updated_column(&self, ty: TypeId, input: &Input) -> Result<ColumnId, BindError> {
        if let (Some(TypeDef::Enum(def)), Input::Enum(word)) = (self.schema.types.get(ty), input)
            && def.values.get(word).is_some_and(|value| value.kind == EnumKind::Placeholder)
        {
            return Err(self.error(Problem::PlaceholderColumn));
        }
        self.column_word(ty, input)
    }

    /// The arguments of an update: operators, `where` or `pk_columns`, and what
    /// becomes of the rows that belong to the updated one.
    fn update(
        &mut self,
        table: TrackedId,
        given: Vec<(&ArgDef, Option<Input>)>,
    ) -> Result<(Update, Vec<RelatedChanges>), BindError> {
        let mut operators = Vec::new();
        let mut nested = Vec::new();
        let mut rows = Which::Where(Predicate::TRUE);
        for (arg, input) in &given {
            let Some(input) = input else { continue };
            match arg.kind {
                ArgKind::Operator(operator) => operators.push((operator, arg.ty.base, input)),
                ArgKind::Where => {
                    let filter = self.at("where", |b| b.bool_exp(table, arg.ty.base, input))?;
                    rows = Which::Where(filter);
                }
                ArgKind::PkColumns => {
                    rows = Which::Key(self.at(&self.word(table, "pk_columns"), |b| {
                        b.pk_columns(arg.ty.base, input)
                    })?);
                }
                ArgKind::Nested => {
                    nested = self.at("_nested", |b| b.nested(table, arg.ty.base, input))?;
                }
                _ => return Err(self.error(Problem::Schema("an argument of another field"))),
            }
        }
        let set = if operators.is_empty() && !nested.is_empty() {
            Vec::new()
        } else {
            self.assignments(table, operators)?
        };
        Ok((Update { table, set, rows, path: self.path.clone() }, nested))
    }

    /// The updates of an update of many.
    fn updates(
        &mut self,
        table: TrackedId,
        given: Vec<(&ArgDef, Option<Input>)>,
    ) -> Result<Vec<Update>, BindError> {
        let mut out = Vec::new();
        let list = given.into_iter().find(|(arg, _)| arg.kind == ArgKind::Updates);
        let Some((arg, Some(Input::List(items)))) = list else {
            return Err(self.error(Problem::Schema("an update of many has no list")));
        };
        self.path.push_key("updates");
        self.count_updates(items.len())?;
        for (index, item) in items.iter().enumerate() {
            let ty = arg.ty.base;
            out.push(self.at_index(index, |binder| binder.update_of(table, ty, item))?);
        }
        self.path.pop();
        Ok(out)
    }

    /// `{where: …, _set: …}`
    pub(super) fn update_of(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Update, BindError> {
        let mut operators = Vec::new();
        let mut filter = None;
        for (name, field, input) in self.entries(ty, input)? {
            match (field.kind, input) {
                (InputKind::Operator(operator), input) => {
                    operators.push((operator, field.ty.base, input));
                }
                (InputKind::Where, input) => {
                    let base = field.ty.base;
                    filter = Some(self.at(name, |b| b.bool_exp(table, base, input))?);
                }
                _ => return Err(self.error(Problem::Schema("no field of an update"))),
            }
        }
        let Some(filter) = filter else {
            return Err(self.missing("where"));
        };
        let set = self.assignments(table, operators)?;
        Ok(Update { table, set, rows: Which::Where(filter), path: self.path.clone() })
    }

    fn pk_columns(
        &mut self,
        ty: TypeId,
        input: &Input,
    ) -> Result<Vec<(ColumnId, Operand)>, BindError> {
        let def = self.input_type(ty)?;
        let mut key = Vec::new();
        for (_, field, input) in self.entries(ty, input)? {
            let (InputKind::Column(column), Some(operand)) =
                (field.kind, operand_of(input.clone()))
            else {
                return Err(self.error(Problem::Schema("a key argument is no scalar")));
            };
            key.push((column, operand));
        }
        for (name, field) in &def.fields {
            if let InputKind::Column(column) = field.kind
                && !key.iter().any(|(given, _)| *given == column)
            {
                return Err(self.missing(name));
            }
        }
        Ok(key)
    }

    /// What `_set`, `_inc` and the like do, each column at most once.
    fn assignments(
        &mut self,
        table: TrackedId,
        mut given: Vec<(UpdateOperator, TypeId, &Input)>,
    ) -> Result<Vec<Assignment>, BindError> {
        given
            .sort_by_key(|(operator, _, _)| OPERATORS.iter().position(|listed| listed == operator));
        let presets =
            self.schema.types.updates_of(table).is_some_and(|access| !access.presets.is_empty());
        if given.is_empty() && !presets {
            let offered: Vec<Name> = OPERATORS
                .into_iter()
                .filter(|operator| self.schema.types.has(TypeId::Table(table, operator.input())))
                .map(|operator| self.word(table, operator.name()))
                .collect();
            return Err(self.error(Problem::NothingToSet(offered.join(", "))));
        }
        let mut out: Vec<Assignment> = Vec::new();
        for (operator, ty, input) in given {
            self.path.push_key(self.word(table, operator.name()).to_string());
            for (_, field, input) in self.entries(ty, input)? {
                let InputKind::Column(column) = field.kind else {
                    return Err(self.error(Problem::Schema("an update of no column")));
                };
                let value = match input {
                    Input::Null => AssignedValue::Null,
                    Input::Array(operand) => AssignedValue::One(operand.clone()),
                    Input::List(items) => AssignedValue::Items(
                        items
                            .iter()
                            .map(|item| operand_of(item.clone()))
                            .collect::<Option<_>>()
                            .ok_or_else(|| self.error(Problem::Schema("a path has no keys")))?,
                    ),
                    input => {
                        AssignedValue::One(operand_of(input.clone()).ok_or_else(|| {
                            self.error(Problem::Schema("an update takes a scalar"))
                        })?)
                    }
                };
                out.push(Assignment { column, operator, value });
            }
            self.path.pop();
        }
        let mut repeated: Vec<String> = Vec::new();
        for (index, first) in out.iter().enumerate() {
            let same = |other: &&Assignment| other.column == first.column;
            if out.iter().take(index).any(|other| same(&other)) {
                continue;
            }
            let words: Vec<Name> = out
                .iter()
                .filter(same)
                .map(|other| self.word(table, other.operator.name()))
                .collect();
            if words.len() > 1 {
                let column = self.column_names(table, &[first.column]);
                repeated.push(format!("{column} in {}", words.join(", ")));
            }
        }
        if !repeated.is_empty() {
            return Err(self.error(Problem::ManyOperators(repeated.join(". "))));
        }
        Ok(out)
    }
}
