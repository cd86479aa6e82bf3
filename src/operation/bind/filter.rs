//! `where`: conditions of a caller.

use crate::operation::error::{BindError, Problem};
use crate::operation::input::Input;
use crate::operation::variables::unexpected_null;
use crate::schema::predicate::{
    AggregatePredicate, Band, CastTarget, CompareValue, Comparison, Predicate, PredicateAggregate,
    Subject, Within,
};
use crate::schema::tracked::{Returns, TrackedId};
use crate::schema::types::{BandInput, InputKind, TypeId};

use super::{Binder, no_boolean, operand_of};

impl Binder<'_> {
    pub(super) fn bool_exp(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Predicate, BindError> {
        let entries = self.entries(ty, input)?;
        let mut parts = Vec::with_capacity(entries.len());
        for (name, field, input) in entries {
            let inner = field.ty.base;
            self.path.push_key(name.to_string());
            match field.kind {
                InputKind::And => parts.push(Predicate::And(self.bool_exps(table, ty, input)?)),
                InputKind::Or => parts.push(Predicate::Or(self.bool_exps(table, ty, input)?)),
                InputKind::Not => {
                    parts.push(Predicate::Not(Box::new(self.bool_exp(table, ty, input)?)));
                }
                InputKind::Column(column) => {
                    self.comparisons(&Subject::Column(column), inner, input, &mut parts)?;
                }
                InputKind::Relationship(index) => {
                    let target = self.target(table, index)?;
                    let inner = Box::new(self.bool_exp(target, inner, input)?);
                    parts.push(Predicate::Related { relationship: index, inner });
                }
                InputKind::RelationshipAggregate(index) => {
                    self.aggregate_exps(table, index, inner, input, &mut parts)?;
                }
                InputKind::Computed(index) => match self.computed(table, index)?.returns {
                    Returns::Scalar(_) => {
                        self.comparisons(&Subject::Computed(index), inner, input, &mut parts)?;
                    }
                    Returns::Rows { table, .. } => {
                        let inner = Box::new(self.bool_exp(table, inner, input)?);
                        parts.push(Predicate::ComputedRows { field: index, inner });
                    }
                },
                _ => return Err(self.error(Problem::Schema("an operator outside a column"))),
            }
            self.path.pop();
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Predicate::And(parts) })
    }

    fn bool_exps(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Vec<Predicate>, BindError> {
        let Input::List(items) = input else { return Err(self.error(Problem::NullList)) };
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            out.push(self.at_index(index, |binder| binder.bool_exp(table, ty, item))?);
        }
        Ok(out)
    }

    fn comparisons(
        &mut self,
        subject: &Subject,
        ty: TypeId,
        input: &Input,
        parts: &mut Vec<Predicate>,
    ) -> Result<(), BindError> {
        for (name, field, input) in self.entries(ty, input)? {
            self.path.push_key(name.to_string());
            if *input == Input::Null {
                return Err(self.error(match field.kind {
                    InputKind::IsNull => no_boolean(),
                    _ => unexpected_null(&self.schema.types, field.ty),
                }));
            }
            match field.kind {
                InputKind::IsNull => {
                    let negated = *input == Input::Boolean(false);
                    parts.push(Predicate::IsNull { subject: subject.clone(), negated });
                }
                InputKind::Compare(comparison) if comparison.takes_distance() => {
                    let value = self.within(field.ty.base, input)?;
                    parts.push(Predicate::Compare { subject: subject.clone(), comparison, value });
                }
                InputKind::Compare(comparison) if matches!(field.ty.base, TypeId::Band(_)) => {
                    let value = self.band(field.ty.base, input)?;
                    parts.push(Predicate::Compare { subject: subject.clone(), comparison, value });
                }
                InputKind::Compare(comparison) => {
                    let value = self.compare_value(comparison, input.clone())?;
                    parts.push(Predicate::Compare { subject: subject.clone(), comparison, value });
                }
                InputKind::Cast => {
                    for (name, cast, input) in self.entries(field.ty.base, input)? {
                        let (InputKind::CastTo(target), Subject::Column(column)) =
                            (cast.kind, subject)
                        else {
                            return Err(self.error(Problem::Schema("a cast of no column")));
                        };
                        let target: CastTarget = target;
                        let subject = Subject::Cast(*column, target);
                        self.at(name, |binder| {
                            binder.comparisons(&subject, cast.ty.base, input, parts)
                        })?;
                    }
                }
                _ => return Err(self.error(Problem::Schema("no operator of a column"))),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn compare_value(
        &self,
        comparison: Comparison,
        input: Input,
    ) -> Result<CompareValue, BindError> {
        match (comparison.takes_list(), input) {
            (true, Input::Array(operand)) => Ok(CompareValue::Array(operand)),
            (true, Input::List(items)) => items
                .into_iter()
                .map(|item| {
                    operand_of(item)
                        .ok_or_else(|| self.error(Problem::Schema("a list of no scalars")))
                })
                .collect::<Result<_, _>>()
                .map(CompareValue::Items),
            (false, input) => operand_of(input)
                .map(CompareValue::One)
                .ok_or_else(|| self.error(Problem::Schema("an operator takes a scalar"))),
            _ => Err(self.error(Problem::Schema("an operator takes a list"))),
        }
    }

    /// `{distance: 10, from: {…}}`
    fn within(&mut self, ty: TypeId, input: &Input) -> Result<CompareValue, BindError> {
        let (mut distance, mut from, mut use_spheroid) = (None, None, None);
        for (name, field, input) in self.entries(ty, input)? {
            self.path.push_key(name.to_string());
            match (field.kind, input) {
                (InputKind::WithinSpheroid, Input::Null) => {}
                (InputKind::WithinSpheroid, Input::Boolean(value)) => use_spheroid = Some(*value),
                (_, Input::Null) => {
                    return Err(self.error(unexpected_null(&self.schema.types, field.ty)));
                }
                (InputKind::WithinDistance, input) => distance = operand_of(input.clone()),
                (InputKind::WithinFrom, input) => from = operand_of(input.clone()),
                _ => return Err(self.error(Problem::Schema("no part of a distance"))),
            }
            self.path.pop();
        }
        let missing = |name: &str| self.error(Problem::MissingArgument(name.to_owned()));
        Ok(CompareValue::Within(Box::new(Within {
            distance: distance.ok_or_else(|| missing("distance"))?,
            from: from.ok_or_else(|| missing("from"))?,
            use_spheroid,
        })))
    }

    /// `{geommin: {…}, nband: 1}`
    fn band(&mut self, ty: TypeId, input: &Input) -> Result<CompareValue, BindError> {
        let (mut place, mut band) = (None, None);
        for (name, field, input) in self.entries(ty, input)? {
            self.path.push_key(name.to_string());
            match (field.kind, input) {
                (InputKind::Band, Input::Null) if !field.ty.is_non_null() => {}
                (_, Input::Null) => {
                    return Err(self.error(unexpected_null(&self.schema.types, field.ty)));
                }
                (InputKind::Band, input) => band = operand_of(input.clone()),
                (InputKind::BandPlace, input) => place = operand_of(input.clone()),
                _ => return Err(self.error(Problem::Schema("no part of a band"))),
            }
            self.path.pop();
        }
        let missing = |name: &str| self.error(Problem::MissingArgument(name.to_owned()));
        let place = place.ok_or_else(|| missing("geommin"))?;
        if ty == TypeId::Band(BandInput::Band) && band.is_none() {
            return Err(missing("nband"));
        }
        Ok(CompareValue::Band(Box::new(Band { place, band })))
    }

    /// `<relationship>_aggregate: {count: {…}, bool_and: {…}}`
    fn aggregate_exps(
        &mut self,
        table: TrackedId,
        relationship: usize,
        ty: TypeId,
        input: &Input,
        parts: &mut Vec<Predicate>,
    ) -> Result<(), BindError> {
        let target = self.target(table, relationship)?;
        let entries = self.entries(ty, input)?;
        let [(name, field, input)] = entries.as_slice() else {
            return Err(self.error(Problem::OnePredicate));
        };
        let (kind, ty) = (field.kind, field.ty.base);
        let found =
            self.at(name, |binder| binder.aggregate_exp(target, relationship, kind, ty, input))?;
        parts.push(Predicate::Aggregate(Box::new(found)));
        Ok(())
    }

    fn aggregate_exp(
        &mut self,
        target: TrackedId,
        relationship: usize,
        kind: InputKind,
        ty: TypeId,
        input: &Input,
    ) -> Result<AggregatePredicate, BindError> {
        let mut columns = Vec::new();
        let mut distinct = false;
        let mut filter = Predicate::TRUE;
        let mut parts = Vec::new();
        let mut compared = false;
        for (name, field, input) in self.entries(ty, input)? {
            let base = field.ty.base;
            self.path.push_key(name.to_string());
            match (field.kind, input) {
                (InputKind::Arguments, Input::List(items)) => {
                    for item in items {
                        columns.push(self.column_word(base, item)?);
                    }
                }
                (InputKind::Arguments, Input::Enum(_)) => {
                    columns.push(self.column_word(base, input)?);
                }
                (InputKind::Arguments, Input::Object(_)) => {
                    let mut pair = self.entries(base, input)?;
                    pair.sort_by_key(|(_, field, _)| match field.kind {
                        InputKind::Argument(position) => position,
                        _ => usize::MAX,
                    });
                    for (name, field, input) in pair {
                        columns.push(
                            self.at(name, |binder| binder.column_word(field.ty.base, input))?,
                        );
                    }
                }
                (InputKind::Arguments, Input::Null) => return Err(self.error(Problem::NullList)),
                (InputKind::Distinct, Input::Boolean(value)) => distinct = *value,
                (InputKind::Distinct, Input::Null) => return Err(self.error(no_boolean())),
                (InputKind::Filter, input) => filter = self.bool_exp(target, base, input)?,
                (InputKind::Predicate, input) => {
                    compared = true;
                    // The subject does not matter: the aggregate stands there.
                    let subject = Subject::Computed(usize::MAX);
                    self.comparisons(&subject, base, input, &mut parts)?;
                }
                _ => {}
            }
            self.path.pop();
        }
        if !compared {
            return Err(self.error(Problem::MissingArgument("predicate".to_owned())));
        }
        let function = match kind {
            InputKind::Count => PredicateAggregate::Count(columns),
            InputKind::Condition(function)
                if columns.len() == 1 + usize::from(function.takes_pair()) =>
            {
                PredicateAggregate::Function(function, columns)
            }
            _ => return Err(self.error(Problem::MissingArgument("arguments".to_owned()))),
        };
        let mut comparisons = Vec::with_capacity(parts.len());
        let mut is_null = None;
        for part in parts {
            match part {
                Predicate::Compare { comparison, value, .. } => {
                    comparisons.push((comparison, value))
                }
                Predicate::IsNull { negated, .. } => is_null = Some(!negated),
                _ => return Err(self.error(Problem::Schema("no comparison of an aggregate"))),
            }
        }
        Ok(AggregatePredicate { relationship, function, distinct, filter, comparisons, is_null })
    }
}
