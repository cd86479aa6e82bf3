//! Conditions → SQL.
//!
//! Two kinds meet in one statement. A *rule* comes from metadata: it reads
//! columns as they are stored and other tables as they are. What a *caller*
//! asks may show through which rows come back, so it reads only what the role
//! may see: cells that are hidden are null, and other tables show the rows
//! that the role may select.

use crate::operation::input::Operand;
use crate::schema::predicate::{
    AggregatePredicate, CompareValue, Comparison, Predicate, PredicateAggregate, Subject,
};
use crate::schema::scalars::{BOOLEAN, INT, place_beside};
use crate::schema::tracked::Returns;
use crate::schema::types::{BandInput, Operators, ScalarType};
use crate::sql::{
    Apply, ApplyArg, BinaryOp, Expr, From, Ident, InvalidIdent, QualifiedName, Select, SelectItem,
    SqlType,
};

use super::planner::{Planner, RowRef, own_type};
use super::{Filter, PlanError};

/// Whose condition it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Caller,
    Rule,
}

/// Where a condition stands.
#[derive(Debug, Clone, Copy)]
struct Scope {
    row: RowRef,
    /// The row that the whole condition is about.
    root: RowRef,
    voice: Voice,
}

impl Planner<'_> {
    /// A caller's condition on a row.
    pub(super) fn asked(&mut self, row: RowRef, predicate: &Predicate) -> Result<Expr, PlanError> {
        self.predicate(Scope { row, root: row, voice: Voice::Caller }, predicate)
    }

    /// A condition of metadata on a row.
    pub(super) fn rule(&mut self, row: RowRef, predicate: &Predicate) -> Result<Expr, PlanError> {
        if !predicate.stays_in_row() {
            self.asks_others.get_or_insert(row.table);
        }
        self.predicate(Scope { row, root: row, voice: Voice::Rule }, predicate)
    }

    fn predicate(&mut self, scope: Scope, predicate: &Predicate) -> Result<Expr, PlanError> {
        Ok(match predicate {
            Predicate::And(parts) => Expr::and(self.predicates(scope, parts)?),
            Predicate::Or(parts) => Expr::or(self.predicates(scope, parts)?),
            Predicate::Not(inner) => Expr::negate(self.predicate(scope, inner)?),
            Predicate::Compare { subject, comparison, value } => {
                self.compare(scope, subject, *comparison, value)?
            }
            Predicate::IsNull { subject, negated } => {
                let left = Box::new(self.subject(scope, subject)?.0);
                if *negated { Expr::IsNotNull(left) } else { Expr::IsNull(left) }
            }
            Predicate::Related { relationship, inner } => {
                let relationship = self.relationship(scope.row.table, *relationship)?;
                let other = self.fresh(relationship.target);
                let from = self.from(other)?;
                let mut conditions = self.join(scope.row, relationship, other)?;
                conditions.extend(self.visible(scope, other)?);
                conditions.push(self.predicate(Scope { row: other, ..scope }, inner)?);
                exists(from, conditions)
            }
            Predicate::Exists { table, inner } => {
                let other = self.fresh(*table);
                let from = self.from(other)?;
                let mut conditions: Vec<Expr> = self.visible(scope, other)?.into_iter().collect();
                conditions.push(self.predicate(Scope { row: other, ..scope }, inner)?);
                exists(from, conditions)
            }
            Predicate::ComputedRows { field, inner } => {
                let (other, from) = self.computed_rows(scope.row, *field, &[])?;
                let mut conditions: Vec<Expr> = self.visible(scope, other)?.into_iter().collect();
                conditions.push(self.predicate(Scope { row: other, ..scope }, inner)?);
                exists(from, conditions)
            }
            Predicate::Aggregate(aggregate) => self.aggregate_condition(scope, aggregate)?,
        })
    }

    fn predicates(&mut self, scope: Scope, parts: &[Predicate]) -> Result<Vec<Expr>, PlanError> {
        parts.iter().map(|part| self.predicate(scope, part)).collect()
    }

    /// What keeps a caller from learning of rows that the role may not select.
    fn visible(&mut self, scope: Scope, row: RowRef) -> Result<Option<Expr>, PlanError> {
        match scope.voice {
            Voice::Caller => self.permitted(row).map(Some),
            Voice::Rule => Ok(None),
        }
    }

    /// The left side of an operator and its type.
    fn subject(
        &mut self,
        scope: Scope,
        subject: &Subject,
    ) -> Result<(Expr, ScalarType), PlanError> {
        let row = scope.row;
        Ok(match subject {
            Subject::Column(column) => {
                let expr = match scope.voice {
                    Voice::Caller => self.cell(row, *column)?,
                    Voice::Rule => self.column(row, *column)?,
                };
                (expr, self.scalar(row.table, *column)?.clone())
            }
            Subject::Cast(column, target) => {
                let expr = match scope.voice {
                    Voice::Caller => self.cell(row, *column)?,
                    Voice::Rule => self.column(row, *column)?,
                };
                let id = self.schema.tracked().scalars.by_name(target.name());
                let scalar = self.named_scalar(id.ok_or(PlanError::Missing("a type"))?)?;
                (Expr::Cast(Box::new(expr), scalar.sql.clone()), scalar)
            }
            Subject::Computed(index) => {
                let expr = match scope.voice {
                    Voice::Caller => self.computed_cell(row, *index, &[])?,
                    Voice::Rule => self.computed_value(row, *index, &[])?,
                };
                let returns = self.computed_field(row.table, *index)?.returns;
                let Returns::Scalar(scalar) = returns else {
                    return Err(PlanError::Missing("the scalar of a computed field"));
                };
                (expr, self.named_scalar(scalar)?)
            }
        })
    }

    pub(super) fn named_scalar(
        &self,
        id: crate::schema::types::ScalarId,
    ) -> Result<ScalarType, PlanError> {
        let scalar = self.schema.tracked().scalars.get(id);
        scalar.map(|scalar| scalar.as_ref().clone()).ok_or(PlanError::Missing("a scalar"))
    }

    fn compare(
        &mut self,
        scope: Scope,
        subject: &Subject,
        comparison: Comparison,
        value: &CompareValue,
    ) -> Result<Expr, PlanError> {
        let (left, scalar) = self.subject(scope, subject)?;
        if let Subject::Column(column) = subject {
            let (table, symbol) = (scope.row.table, symbol(comparison));
            self.filters.insert(Filter { table, column: *column, symbol });
        }
        if let CompareValue::Column(reference) = value {
            let row = if reference.root { scope.root } else { scope.row };
            let right = Box::new(match scope.voice {
                Voice::Caller => self.cell(row, reference.column)?,
                Voice::Rule => self.column(row, reference.column)?,
            });
            return Ok(Expr::Binary(Box::new(left), operator(&scalar, comparison), right));
        }
        if scope.voice == Voice::Rule && comparison == Comparison::Neq {
            // In a rule null differs from every value, as in Hasura.
            let null = Expr::IsNull(Box::new(left.clone()));
            return Ok(Expr::or([self.compare_to(left, &scalar, comparison, value)?, null]));
        }
        self.compare_to(left, &scalar, comparison, value)
    }

    /// `left op value`, the value as a parameter of the type that the operator
    /// takes.
    pub(super) fn compare_to(
        &mut self,
        left: Expr,
        scalar: &ScalarType,
        comparison: Comparison,
        value: &CompareValue,
    ) -> Result<Expr, PlanError> {
        if let (Comparison::Like, CompareValue::One(pattern)) = (comparison, value)
            && self.starts_with(&left, scalar)
        {
            return self.like(left, pattern);
        }
        if let Some(function) = comparison.function() {
            return self.compare_places(left, scalar, comparison, function, value);
        }
        let left = Box::new(left);
        let op = operator(scalar, comparison);
        let one = self.right_type(scalar, comparison)?;
        let many = SqlType { array: true, ..one.clone() };
        Ok(match (comparison, value) {
            (Comparison::In | Comparison::Nin, CompareValue::Array(operand))
                if scalar.listed_as_text =>
            {
                let rows = Box::new(self.each(operand, one)?);
                match comparison {
                    Comparison::In => Expr::AnyRow(left, op, rows),
                    _ => Expr::AllRows(left, op, rows),
                }
            }
            (Comparison::In | Comparison::Nin, CompareValue::Items(operands)) if scalar.array => {
                let parts = operands.iter().map(|operand| {
                    let right = self.param(operand, one.clone());
                    Expr::Binary(left.clone(), op.clone(), Box::new(right))
                });
                match comparison {
                    Comparison::In => Expr::or(parts),
                    _ => Expr::and(parts),
                }
            }
            (Comparison::In, CompareValue::Array(operand)) => {
                Expr::Any(left, op, Box::new(self.param(operand, many)))
            }
            (Comparison::Nin, CompareValue::Array(operand)) => {
                Expr::All(left, op, Box::new(self.param(operand, many)))
            }
            (_, CompareValue::Array(operand)) => {
                Expr::Binary(left, op, Box::new(self.param(operand, many)))
            }
            (comparison, CompareValue::Items(operands)) => {
                let items =
                    operands.iter().map(|operand| self.param(operand, one.clone())).collect();
                let array = Box::new(Expr::Array(items, many));
                match comparison {
                    Comparison::In => Expr::Any(left, op, array),
                    Comparison::Nin => Expr::All(left, op, array),
                    _ => Expr::Binary(left, op, array),
                }
            }
            (comparison, CompareValue::One(operand)) => {
                // Only what is printed may become a parameter.
                let right = match comparison {
                    Comparison::Similar | Comparison::Nsimilar => {
                        Expr::Call("similar_to_escape", vec![self.text_param(operand)?])
                    }
                    _ if is_pattern(comparison) && scalar.operators.schema.is_none() => {
                        self.text_param(operand)?
                    }
                    _ => self.param(operand, one),
                };
                Expr::Binary(left, op, Box::new(right))
            }
            (_, CompareValue::Column(_)) => {
                return Err(PlanError::Missing("the row of a column"));
            }
            (_, CompareValue::Within(_) | CompareValue::Band(_)) => {
                return Err(PlanError::Missing("a function of places"));
            }
        })
    }

    /// A function of PostGIS, which stands in the schema of its type.
    fn compare_places(
        &mut self,
        left: Expr,
        scalar: &ScalarType,
        comparison: Comparison,
        function: &'static str,
        value: &CompareValue,
    ) -> Result<Expr, PlanError> {
        let mut args = vec![left];
        match value {
            CompareValue::One(operand) => args.push(self.param(operand, scalar.sql.clone())),
            CompareValue::Within(within) => {
                args.push(self.param(&within.from, scalar.sql.clone()));
                args.push(self.param(&within.distance, own_type("float8", false)?));
                args.extend(within.use_spheroid.map(Expr::Bool));
            }
            CompareValue::Band(found) => {
                let place = self.param(&found.place, place_beside(scalar)?);
                let band = match &found.band {
                    Some(band) => Some(self.param(band, own_type("int4", false)?)),
                    None => None,
                };
                match comparison.takes_band() {
                    Some(BandInput::Band) => args.extend(band.into_iter().chain([place])),
                    _ => args.extend([place].into_iter().chain(band)),
                }
            }
            _ => return Err(PlanError::Missing("a place")),
        }
        Ok(beside(scalar, function, args)?)
    }

    /// `SELECT (x)::type FROM unnest(list) AS x`, where a list of values is one
    /// of their texts.
    fn each(&mut self, list: &Operand, ty: SqlType) -> Result<Select, PlanError> {
        let alias = self.aliases.fresh();
        let value = self.param(list, own_type("text", true)?);
        let call = Apply {
            function: own_type("unnest", false)?.name,
            args: vec![ApplyArg { name: None, value, variadic: false }],
        };
        let item = Expr::Column(alias, Ident::new(alias.to_string())?);
        Ok(Select {
            items: vec![SelectItem { expr: Expr::Cast(Box::new(item), ty), name: None }],
            from: Some(From::Function { call, alias }),
            ..Select::default()
        })
    }

    fn right_type(
        &self,
        scalar: &ScalarType,
        comparison: Comparison,
    ) -> Result<SqlType, PlanError> {
        if matches!(comparison, Comparison::JsonbPathExists | Comparison::JsonbPathMatch) {
            return own_type("jsonpath", false);
        }
        let scalars = &self.schema.tracked().scalars;
        let id = scalars.right_side(scalar, comparison).ok_or(PlanError::Missing("a type"))?;
        if id == scalar.id {
            return Ok(scalar.sql.clone());
        }
        Ok(self.named_scalar(id)?.sql)
    }

    pub(super) fn text_param(&mut self, operand: &Operand) -> Result<Expr, PlanError> {
        Ok(self.param(operand, own_type("text", false)?))
    }

    /// `(SELECT count(…) FROM … WHERE …) op value`
    fn aggregate_condition(
        &mut self,
        scope: Scope,
        aggregate: &AggregatePredicate,
    ) -> Result<Expr, PlanError> {
        let relationship = self.relationship(scope.row.table, aggregate.relationship)?;
        let other = self.fresh(relationship.target);
        let from = self.from(other)?;
        let mut conditions = self.join(scope.row, relationship, other)?;
        conditions.extend(self.visible(scope, other)?);
        conditions.push(self.predicate(Scope { row: other, ..scope }, &aggregate.filter)?);
        let (name, scalar, columns) = match &aggregate.function {
            PredicateAggregate::Count(columns) => ("count", INT, columns),
            PredicateAggregate::Function(function, columns) if function.is_boolean() => {
                (function.name(), BOOLEAN, columns)
            }
            PredicateAggregate::Function(function, columns) => {
                let double = self.schema.tracked().scalars.double();
                let double = double.ok_or(PlanError::Missing("the type of doubles"))?;
                (function.name(), double, columns)
            }
        };
        let mut args = Vec::with_capacity(columns.len());
        for column in columns {
            args.push(match scope.voice {
                Voice::Caller => self.cell(other, *column)?,
                Voice::Rule => self.column(other, *column)?,
            });
        }
        if args.len() > 1 && name == "count" {
            args = vec![Expr::Tuple(args)];
        }
        let distinct = aggregate.distinct && !args.is_empty();
        let value = Expr::Scalar(Box::new(Select {
            items: vec![SelectItem {
                expr: Expr::Aggregate { function: name, distinct, args },
                name: None,
            }],
            from: Some(from),
            filter: Some(Expr::and(conditions)),
            ..Select::default()
        }));
        let scalar = self.named_scalar(scalar)?;
        let mut out = Vec::with_capacity(aggregate.comparisons.len() + 1);
        for (comparison, right) in &aggregate.comparisons {
            out.push(self.compare_to(value.clone(), &scalar, *comparison, right)?);
        }
        match aggregate.is_null {
            Some(true) => out.push(Expr::IsNull(Box::new(value))),
            Some(false) => out.push(Expr::IsNotNull(Box::new(value))),
            None => {}
        }
        Ok(Expr::and(out))
    }
}

pub(super) fn exists(from: From, conditions: Vec<Expr>) -> Expr {
    Expr::Exists(Box::new(Select {
        items: vec![SelectItem { expr: Expr::Int(1), name: None }],
        from: Some(from),
        filter: Some(Expr::and(conditions)),
        ..Select::default()
    }))
}

fn operator(scalar: &ScalarType, comparison: Comparison) -> BinaryOp {
    let Operators { schema, .. } = &scalar.operators;
    BinaryOp { schema: schema.clone(), symbol: symbol(comparison) }
}

/// A call of a function that stands in the schema of a type.
pub(super) fn beside(
    scalar: &ScalarType,
    function: &str,
    args: Vec<Expr>,
) -> Result<Expr, InvalidIdent> {
    let schema = scalar.sql.name.schema.clone();
    Ok(Expr::Apply(Apply {
        function: QualifiedName { schema, name: Ident::new(function)? },
        args: args
            .into_iter()
            .map(|value| ApplyArg { name: None, value, variadic: false })
            .collect(),
    }))
}

const fn is_pattern(comparison: Comparison) -> bool {
    matches!(
        comparison,
        Comparison::Like
            | Comparison::Nlike
            | Comparison::Ilike
            | Comparison::Nilike
            | Comparison::Regex
            | Comparison::Iregex
            | Comparison::Nregex
            | Comparison::Niregex
    )
}

const fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq | Comparison::In => "=",
        Comparison::Neq | Comparison::Nin => "<>",
        Comparison::Gt => ">",
        Comparison::Gte => ">=",
        Comparison::Lt => "<",
        Comparison::Lte => "<=",
        Comparison::Like => "~~",
        Comparison::Nlike => "!~~",
        Comparison::Ilike => "~~*",
        Comparison::Nilike => "!~~*",
        Comparison::Similar | Comparison::Regex | Comparison::Matches => "~",
        Comparison::Nsimilar | Comparison::Nregex => "!~",
        Comparison::Iregex => "~*",
        Comparison::Niregex => "!~*",
        Comparison::Contains | Comparison::Ancestor | Comparison::AncestorAny => "@>",
        Comparison::ContainedIn | Comparison::Descendant | Comparison::DescendantAny => "<@",
        Comparison::HasKey | Comparison::MatchesAny => "?",
        Comparison::HasKeysAny => "?|",
        Comparison::HasKeysAll => "?&",
        Comparison::MatchesFulltext => "@",
        Comparison::JsonbPathExists => "@?",
        Comparison::JsonbPathMatch => "@@",
        // What an index answers in the place of these functions.
        Comparison::StContains
        | Comparison::StCrosses
        | Comparison::StEquals
        | Comparison::StIntersects
        | Comparison::StOverlaps
        | Comparison::StTouches
        | Comparison::StWithin
        | Comparison::StDWithin
        | Comparison::StIntersectsRast
        | Comparison::StIntersectsNbandGeom
        | Comparison::StIntersectsGeomNband => "&&",
        Comparison::St3dIntersects | Comparison::St3dDWithin => "&&&",
    }
}

/// Names of the user's functions.
pub(super) fn function_name(
    name: &crate::metadata::QualifiedName,
) -> Result<QualifiedName, PlanError> {
    Ok(QualifiedName {
        schema: Ident::new(name.schema.clone())?,
        name: Ident::new(name.name.clone())?,
    })
}
