//! What fields are given: arguments of lists, keys, counts, functions.

use crate::catalog::model::ColumnId;
use crate::graphql::{Field, Name};
use crate::operation::error::{BindError, Problem};
use crate::operation::input::{Input, Operand};
use crate::operation::json_path::json_path;
use crate::operation::model::{CallArgs, LeafCheck, LeafKind, ListArgs, OrderItem, OrderKey};
use crate::operation::variables::{literal, unexpected_null};
use crate::schema::tracked::{ArgumentRole, FunctionCall, TrackedId};
use crate::schema::types::{
    ArgDef, ArgKind, EnumKind, FieldDef, FieldKind, InputKind, TableType, TypeDef, TypeId,
};

use super::{Binder, no_rows, operand_of};

impl<'a> Binder<'a> {
    /// The arguments given, coerced, in the order of their definition; `None`
    /// for one that is absent. A required one that is missing or null is an
    /// error.
    pub(super) fn arguments<'d>(
        &mut self,
        field: &Field,
        def: &'d FieldDef,
    ) -> Result<Vec<(&'d ArgDef, Option<Input>)>, BindError> {
        self.path.push_key("args");
        for (index, (name, _)) in field.arguments.iter().enumerate() {
            if !def.args.contains_key(name) {
                self.path.pop();
                return Err(self.error(Problem::UnknownArgument {
                    field: field.name.to_string(),
                    argument: name.to_string(),
                }));
            }
            if field.arguments.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(self.error(Problem::DuplicateArgument(name.to_string())));
            }
        }
        let mut out = Vec::with_capacity(def.args.len());
        for (name, arg) in &def.args {
            let given = field.arguments.iter().find(|(given, _)| given == name);
            let input = match given {
                None => None,
                Some((_, value)) => {
                    self.path.push_key(name.to_string());
                    let input = literal(&self.schema.types, arg.ty, value, self)
                        .map_err(|error| self.below(error))?;
                    if input == Some(Input::Null) && arg.ty.is_non_null() {
                        return Err(self.error(unexpected_null(&self.schema.types, arg.ty)));
                    }
                    self.path.pop();
                    input
                }
            };
            if input.is_none() && arg.ty.is_non_null() {
                self.path.push_key(name.to_string());
                return Err(self.error(Problem::MissingArgument(name.to_string())));
            }
            out.push((arg, input));
        }
        self.path.pop();
        Ok(out)
    }

    pub(super) fn list_args(
        &mut self,
        table: TrackedId,
        field: &Field,
        def: &FieldDef,
    ) -> Result<ListArgs, BindError> {
        let given = self.arguments(field, def)?;
        self.list_of(table, given)
    }

    /// The name of an argument or an operator, as the source of a table spells it.
    pub(super) fn word(&self, table: TrackedId, name: &str) -> Name {
        let table = self.schema.types.tracked().table(table);
        table.map_or_else(|| name.into(), |table| table.convention().field(name))
    }

    fn list_of(
        &mut self,
        table: TrackedId,
        given: Vec<(&ArgDef, Option<Input>)>,
    ) -> Result<ListArgs, BindError> {
        let mut out = ListArgs::default();
        self.path.push_key("args");
        for (arg, input) in given {
            let Some(input) = input else { continue };
            match arg.kind {
                // Null asks for nothing, as in Hasura.
                _ if input == Input::Null => {}
                ArgKind::Where => {
                    out.filter =
                        self.at("where", |binder| binder.bool_exp(table, arg.ty.base, &input))?;
                }
                ArgKind::OrderBy => {
                    self.at(&self.word(table, "order_by"), |binder| {
                        let Input::List(items) = &input else { return Ok(()) };
                        for (index, item) in items.iter().enumerate() {
                            let (through, order) = (&mut Vec::new(), &mut out.order_by);
                            binder.at_index(index, |binder| {
                                binder.order_by(table, arg.ty.base, item, through, order)
                            })?;
                        }
                        Ok(())
                    })?;
                }
                ArgKind::Limit => out.limit = Some(self.count("limit", input, 0)?),
                ArgKind::Offset => out.offset = self.offset(input)?,
                ArgKind::DistinctOn => {
                    if let Input::List(items) = input {
                        for item in items {
                            out.distinct_on.push(self.column_word(arg.ty.base, &item)?);
                        }
                    }
                }
                _ => return Err(self.error(Problem::Schema("an argument of another field"))),
            }
        }
        let leads = |item: &OrderItem| {
            item.through.is_empty()
                && matches!(&item.key, OrderKey::Column(column) if out.distinct_on.contains(column))
        };
        if !out.order_by.iter().take(out.distinct_on.len()).all(leads) {
            return Err(self.error(Problem::DistinctOn));
        }
        self.path.pop();
        Ok(out)
    }

    /// The column that an enum value names.
    pub(super) fn column_word(&self, ty: TypeId, input: &Input) -> Result<ColumnId, BindError> {
        if let (Some(TypeDef::Enum(def)), Input::Enum(word)) = (self.schema.types.get(ty), input)
            && let Some(EnumKind::Column(column)) = def.values.get(word).map(|value| value.kind)
        {
            return Ok(column);
        }
        Err(self.error(Problem::Schema("no column to select")))
    }

    /// A number of rows, at least so many.
    pub(super) fn count(
        &mut self,
        name: &str,
        input: Input,
        least: i32,
    ) -> Result<Operand, BindError> {
        self.at(name, |binder| {
            let Input::Scalar(operand) = input else {
                return Err(binder.error(Problem::Schema("a limit is no scalar")));
            };
            match &operand {
                Operand::Const(text) => {
                    if let Some(problem) = no_rows(text, least, "an integer") {
                        return Err(binder.error(problem));
                    }
                }
                Operand::Leaf(leaf) => binder.check(*leaf, LeafKind::Rows(least)),
                _ => {}
            }
            Ok(operand)
        })
    }

    fn offset(&mut self, input: Input) -> Result<Option<Operand>, BindError> {
        self.at("offset", |binder| {
            let Input::Scalar(operand) = input else {
                return Err(binder.error(Problem::Schema("an offset is no scalar")));
            };
            match &operand {
                Operand::Const(text) if text.starts_with('-') => {
                    return Err(BindError::here(Problem::NegativeOffset));
                }
                Operand::Leaf(leaf) => binder.check(*leaf, LeafKind::Offset),
                _ => {}
            }
            Ok(Some(operand))
        })
    }

    fn check(&mut self, leaf: usize, kind: LeafKind) {
        self.checks.push(LeafCheck { leaf, path: self.path.clone(), kind });
    }

    /// `path` of a JSON column.
    pub(super) fn json_path(
        &mut self,
        given: &[(&ArgDef, Option<Input>)],
    ) -> Result<Option<Operand>, BindError> {
        for (arg, input) in given {
            let (ArgKind::JsonPath, Some(Input::Scalar(operand))) = (arg.kind, input) else {
                continue;
            };
            self.path.push_key("args");
            self.path.push_key("path");
            let operand = match operand {
                Operand::Const(text) => {
                    let path = json_path(text).map_err(|problem| self.error(problem))?;
                    Operand::Const(path.into())
                }
                Operand::Leaf(leaf) => {
                    self.check(*leaf, LeafKind::JsonPath);
                    Operand::Leaf(*leaf)
                }
                other => other.clone(),
            };
            self.path.pop();
            self.path.pop();
            return Ok(Some(operand));
        }
        Ok(None)
    }

    /// The values of a primary key.
    pub(super) fn key(
        &mut self,
        field: &Field,
        def: &FieldDef,
    ) -> Result<Vec<(ColumnId, Operand)>, BindError> {
        let mut key = Vec::new();
        for (arg, input) in self.arguments(field, def)? {
            let (ArgKind::Key(column), Some(operand)) = (arg.kind, input.and_then(operand_of))
            else {
                return Err(self.error(Problem::Schema("a key argument is no scalar")));
            };
            key.push((column, operand));
        }
        Ok(key)
    }

    /// `columns` and `distinct` of `count`.
    pub(super) fn count_args(
        &mut self,
        field: &Field,
        def: &FieldDef,
    ) -> Result<(Vec<ColumnId>, bool), BindError> {
        let (mut columns, mut distinct) = (Vec::new(), false);
        for (arg, input) in self.arguments(field, def)? {
            match (arg.kind, input) {
                (ArgKind::CountColumns, Some(Input::List(items))) => {
                    for item in items {
                        columns.push(self.column_word(arg.ty.base, &item)?);
                    }
                }
                (ArgKind::CountDistinct, Some(Input::Boolean(value))) => distinct = value,
                _ => {}
            }
        }
        Ok((columns, distinct))
    }

    /// The columns of `groups`; at least one.
    pub(super) fn group_args(
        &mut self,
        table: TrackedId,
        field: &Field,
        def: &FieldDef,
    ) -> Result<Vec<ColumnId>, BindError> {
        let keys = self.object(TypeId::Table(table, TableType::AggregateGroupKey))?;
        let given = self.arguments(field, def)?;
        self.path.push_key("args");
        self.path.push_key("by");
        let mut by = Vec::new();
        for (arg, input) in given {
            let (ArgKind::GroupBy, Some(Input::List(items))) = (arg.kind, input) else { continue };
            for (index, item) in items.iter().enumerate() {
                let column = self.column_word(arg.ty.base, item)?;
                let kind = FieldKind::Column(column);
                if !keys.fields.values().any(|field| field.kind == kind) {
                    self.path.push_index(index);
                    return Err(self.error(Problem::NotGroupable));
                }
                if !by.contains(&column) {
                    by.push(column);
                }
            }
        }
        if by.is_empty() {
            return Err(self.error(Problem::GroupedByNothing));
        }
        self.path.pop();
        self.path.pop();
        Ok(by)
    }

    /// The arguments of a call; no others are there.
    pub(super) fn call_args(
        &mut self,
        call: &FunctionCall,
        given: Vec<(&ArgDef, Option<Input>)>,
    ) -> Result<CallArgs, BindError> {
        let input = given.into_iter().find(|(arg, _)| arg.kind == ArgKind::FunctionArgs);
        self.call_of(call, input)
    }

    /// The arguments of a call and of the list that it returns.
    pub(super) fn call_and_list_args(
        &mut self,
        call: &FunctionCall,
        table: TrackedId,
        field: &Field,
        def: &FieldDef,
    ) -> Result<(ListArgs, CallArgs), BindError> {
        let (own, list): (Vec<_>, Vec<_>) = self
            .arguments(field, def)?
            .into_iter()
            .partition(|(arg, _)| arg.kind == ArgKind::FunctionArgs);
        let args = self.call_of(call, own.into_iter().next())?;
        Ok((self.list_of(table, list)?, args))
    }

    fn call_of(
        &mut self,
        call: &FunctionCall,
        given: Option<(&ArgDef, Option<Input>)>,
    ) -> Result<CallArgs, BindError> {
        let mut out = CallArgs::new();
        if let Some((arg, Some(input))) = given
            && input != Input::Null
        {
            for (_, field, input) in self.entries(arg.ty.base, &input)? {
                let InputKind::Argument(index) = field.kind else {
                    return Err(self.error(Problem::Schema("no argument of a function")));
                };
                let value = match input {
                    Input::Null => None,
                    input => Some(operand_of(input.clone()).ok_or_else(|| {
                        self.error(Problem::Schema("an argument of a function is no scalar"))
                    })?),
                };
                out.push((index, value));
            }
        }
        let problem = omitted(call, &out);
        match problem {
            None => Ok(out),
            Some(problem) => {
                self.path.push_key("args");
                self.path.push_key("args");
                Err(self.error(problem))
            }
        }
    }
}

/// What is wrong with the arguments that a call leaves out. SQL passes them by
/// position until one is left out, and by name after that.
fn omitted(call: &FunctionCall, given: &CallArgs) -> Option<Problem> {
    let mut skipped = false;
    for (index, arg) in call.args.iter().enumerate() {
        if !matches!(arg.role, ArgumentRole::Caller { .. }) {
            continue;
        }
        match given.iter().any(|(other, _)| *other == index) {
            true if skipped && arg.name.is_none() => return Some(Problem::SkippedArgument),
            false if !arg.has_default => return Some(Problem::OmittedArgument),
            false => skipped = true,
            true => {}
        }
    }
    None
}
