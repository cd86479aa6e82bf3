//! Conditions in metadata: JSON → [`Predicate`].
//!
//! They name columns and relationships as the database and the metadata do,
//! not as GraphQL shows them, and take both spellings of operators (`_eq`,
//! `$eq`). A string that names a session variable stands for its value.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::base::JsonPath;
use crate::catalog::model::ColumnId;
use crate::graphql::Name;
use crate::metadata::{QualifiedName, document};
use crate::schema::geojson;
use crate::schema::predicate::{
    Band, CastTarget, ColumnReference, CompareValue, Comparison, Operand, Predicate, Subject,
    Within,
};
use crate::schema::scalars::{LABEL_PATH, RASTER, is_hexadecimal, is_label_path};
use crate::schema::types::{BandInput, Codec, ScalarType};
use crate::session::vars;

use super::{Returns, Tracked, TrackedId, TrackedTable};

/// Conditions nest at most this deep.
const MAX_DEPTH: usize = 64;

/// What is wrong with a condition, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ConditionError {
    pub path: JsonPath,
    pub problem: ConditionProblem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionProblem {
    /// A value that cannot be read as what stands there: a literal of a column's type,
    /// a list, an object of an operator.
    #[error("{0}")]
    Unreadable(String),
    #[error("column {column:?} does not exist in table \"{table}\"")]
    NoColumn { column: String, table: String },
    #[error("table \"{0}\" is not tracked")]
    NoTable(QualifiedName),
    #[error("unknown operator {0:?}")]
    NoOperator(String),
    #[error("the type {0} has no such operator")]
    OfOtherType(Name),
    #[error("a column cannot be cast to {0:?} here")]
    NoCast(String),
    #[error("unexpected null; only _eq, _neq and _is_null take it")]
    Null,
    #[error("the column's type cannot be compared")]
    Incomparable,
    #[error("the condition is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// What is tracked and the catalogue do not fit.
    #[error("{0}")]
    Gone(&'static str),
}

use ConditionProblem as Problem;

/// A value that is not what it has to be.
fn unreadable(message: impl Into<String>) -> Problem {
    Problem::Unreadable(message.into())
}

/// Reads a condition on the rows of `table`.
pub fn parse(
    tracked: &Tracked,
    table: TrackedId,
    json: &Value,
) -> Result<Predicate, ConditionError> {
    parse_noting(tracked, table, json, &mut BTreeSet::new())
}

/// The same; adds the tables that it is about to `mentions`.
pub(super) fn parse_noting(
    tracked: &Tracked,
    table: TrackedId,
    json: &Value,
    mentions: &mut BTreeSet<TrackedId>,
) -> Result<Predicate, ConditionError> {
    let mut reader = Reader { tracked, root: table, path: JsonPath::root(), depth: 0, mentions };
    match reader.condition(table, json) {
        Ok(predicate) => Ok(predicate),
        Err(problem) => Err(ConditionError { path: reader.path, problem }),
    }
}

/// The lower-case name of the session variable that a text stands for.
pub fn session_variable(text: &str) -> Option<Arc<str>> {
    const PREFIX: &str = "x-hasura-";
    text.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        .then(|| text.to_ascii_lowercase().into())
}

struct Reader<'a> {
    tracked: &'a Tracked,
    /// The table that the whole condition is about.
    root: TrackedId,
    /// Left where it stands when something is wrong.
    path: JsonPath,
    depth: usize,
    mentions: &'a mut BTreeSet<TrackedId>,
}

impl<'a> Reader<'a> {
    fn table(&self, id: TrackedId) -> Result<&'a TrackedTable, Problem> {
        self.tracked.table(id).ok_or(Problem::Gone("the table is not tracked"))
    }

    fn condition(&mut self, table: TrackedId, json: &Value) -> Result<Predicate, Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::TooDeep);
        }
        let Value::Object(entries) = json else {
            return Err(unreadable(format!(
                "expected an object with a condition, but found {json}"
            )));
        };
        self.mentions.insert(table);
        let mut parts = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            self.path.push_key(key.clone());
            let part = match key.as_str() {
                "_and" | "$and" => Predicate::And(self.conditions(table, value)?),
                "_or" | "$or" => Predicate::Or(self.conditions(table, value)?),
                "_not" | "$not" => Predicate::Not(Box::new(self.condition(table, value)?)),
                "_exists" | "$exists" => self.exists(table, value)?,
                name => self.entry(table, name, value)?,
            };
            parts.push(part);
            self.path.pop();
        }
        self.depth -= 1;
        Ok(if parts.len() == 1 { parts.remove(0) } else { Predicate::And(parts) })
    }

    fn conditions(&mut self, table: TrackedId, json: &Value) -> Result<Vec<Predicate>, Problem> {
        let Value::Array(items) = json else {
            return Err(unreadable(format!("expected a list of conditions, but found {json}")));
        };
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push_index(index);
            out.push(self.condition(table, item)?);
            self.path.pop();
        }
        Ok(out)
    }

    fn exists(&mut self, table: TrackedId, json: &Value) -> Result<Predicate, Problem> {
        let source = self.table(table)?.source;
        let field = |name: &str| {
            json.get(name).ok_or_else(|| {
                unreadable(format!("_exists needs _table and _where; {name} is missing"))
            })
        };
        let name: QualifiedName =
            document::parse(field("_table")?).map_err(|error| unreadable(error.message))?;
        let target =
            self.tracked.find(source, &name).ok_or_else(|| Problem::NoTable(name.clone()))?;
        let condition = field("_where")?;
        self.path.push_key("_where");
        let inner = Box::new(self.condition(target, condition)?);
        self.path.pop();
        Ok(Predicate::Exists { table: target, inner })
    }

    fn entry(&mut self, id: TrackedId, name: &str, value: &Value) -> Result<Predicate, Problem> {
        let table = self.table(id)?;
        let db =
            self.tracked.db_table(id).ok_or(Problem::Gone("the table is not in the catalogue"))?;
        if let Some(column) = db.columns.iter().find(|column| *column.name == *name) {
            return self.operators(id, &Subject::Column(column.id), value);
        }
        if let Some(index) = table.relationship_named(name) {
            let target = table.relationships.get(index).map(|relationship| relationship.target);
            let target = target.ok_or(Problem::Gone("the relationship leads nowhere"))?;
            let inner = Box::new(self.condition(target, value)?);
            return Ok(Predicate::Related { relationship: index, inner });
        }
        if let Some(index) = table.computed_named(name) {
            let field =
                table.computed.get(index).ok_or(Problem::Gone("the computed field is gone"))?;
            return match field.returns {
                Returns::Scalar(_) => self.operators(id, &Subject::Computed(index), value),
                Returns::Rows { table: target, .. } => {
                    let inner = Box::new(self.condition(target, value)?);
                    Ok(Predicate::ComputedRows { field: index, inner })
                }
            };
        }
        let here = QualifiedName::new(db.schema.clone(), db.name.clone());
        Err(Problem::NoColumn { column: name.to_owned(), table: here.to_string() })
    }

    fn scalar(&self, table: TrackedId, subject: &Subject) -> Result<&'a ScalarType, Problem> {
        let scalars = &self.tracked.scalars;
        match subject {
            Subject::Column(column) => self.tracked.db_column(table, *column).and_then(|column| {
                scalars.of_type(self.tracked.table(table)?.source, column.type_oid)
            }),
            Subject::Cast(_, target) => {
                scalars.by_name(target.name()).and_then(|id| scalars.get(id))
            }
            Subject::Computed(index) => match self.table(table)?.computed.get(*index) {
                Some(field) => match field.returns {
                    Returns::Scalar(scalar) => scalars.get(scalar),
                    Returns::Rows { .. } => None,
                },
                None => None,
            },
        }
        .map(Arc::as_ref)
        .ok_or(Problem::Incomparable)
    }

    /// `{_eq: 1, _gt: …}`, or a value, which means `_eq`.
    fn operators(
        &mut self,
        table: TrackedId,
        subject: &Subject,
        json: &Value,
    ) -> Result<Predicate, Problem> {
        let scalar = self.scalar(table, subject)?;
        let Value::Object(entries) = json else {
            return self.compare(scalar, subject, Comparison::Eq, json);
        };
        let mut parts = Vec::with_capacity(entries.len());
        for (word, value) in entries {
            self.path.push_key(word.clone());
            let name = word.strip_prefix(['_', '$']).ok_or_else(|| unknown(word))?;
            let part = match name {
                "is_null" => match value {
                    Value::Bool(null) => {
                        Predicate::IsNull { subject: subject.clone(), negated: !null }
                    }
                    other => {
                        return Err(unreadable(format!("expected a boolean, but found {other}")));
                    }
                },
                "cast" => self.cast(table, subject, value)?,
                name => match column_comparison(name) {
                    Some(comparison) => Predicate::Compare {
                        subject: subject.clone(),
                        comparison,
                        value: CompareValue::Column(self.reference(table, value)?),
                    },
                    None => {
                        let comparison = comparison(name).ok_or_else(|| unknown(word))?;
                        self.compare(scalar, subject, comparison, value)?
                    }
                },
            };
            parts.push(part);
            self.path.pop();
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Predicate::And(parts) })
    }

    fn cast(
        &mut self,
        table: TrackedId,
        subject: &Subject,
        json: &Value,
    ) -> Result<Predicate, Problem> {
        let (Subject::Column(column), Value::Object(entries)) = (subject, json) else {
            return Err(unreadable("_cast takes an object with the type to cast to"));
        };
        let target = CastTarget::of(&self.scalar(table, subject)?.operators);
        let mut parts = Vec::new();
        for (ty, value) in entries {
            let named = if ty == "text" { "String" } else { ty };
            let Some(target) = target.filter(|target| target.name() == named) else {
                return Err(Problem::NoCast(ty.clone()));
            };
            self.path.push_key(ty.clone());
            parts.push(self.operators(table, &Subject::Cast(*column, target), value)?);
            self.path.pop();
        }
        Ok(Predicate::And(parts))
    }

    /// `"column"`, `["column"]`, or `["$", "column"]` of the outermost table.
    fn reference(&self, table: TrackedId, json: &Value) -> Result<ColumnReference, Problem> {
        let (root, name) = match json {
            Value::String(name) => (false, name),
            Value::Array(items) => match items.as_slice() {
                [Value::String(name)] => (false, name),
                [Value::String(dollar), Value::String(name)] if dollar == "$" => (true, name),
                _ => return Err(unreadable("expected a column, or [\"$\", column]")),
            },
            other => {
                return Err(unreadable(format!("expected a column, but found {other}")));
            }
        };
        let table = if root { self.root } else { table };
        let db = self
            .tracked
            .db_table(table)
            .ok_or(Problem::Gone("the table is not in the catalogue"))?;
        let column = db
            .columns
            .iter()
            .find(|column| **name == *column.name)
            .map(|column| column.id)
            .ok_or_else(|| Problem::NoColumn {
                column: name.clone(),
                table: db.name.to_string(),
            })?;
        Ok(ColumnReference { root, column })
    }

    fn compare(
        &self,
        scalar: &ScalarType,
        subject: &Subject,
        comparison: Comparison,
        json: &Value,
    ) -> Result<Predicate, Problem> {
        let subject = subject.clone();
        if json.is_null() {
            return match comparison {
                Comparison::Eq => Ok(Predicate::IsNull { subject, negated: false }),
                Comparison::Neq => Ok(Predicate::IsNull { subject, negated: true }),
                _ => Err(Problem::Null),
            };
        }
        if !scalar.operators.has(comparison) {
            return Err(Problem::OfOtherType(scalar.name.clone()));
        }
        let right = self
            .tracked
            .scalars
            .right_side(scalar, comparison)
            .and_then(|id| self.tracked.scalars.get(id))
            .ok_or(Problem::Gone("the operator's type is not there"))?;
        // A column of the same GraphQL type can have another type in the
        // database; values follow the column.
        let right = if right.id == scalar.id { scalar } else { right.as_ref() };
        let value = if comparison.takes_list() {
            match json {
                Value::Array(items) => CompareValue::Items(
                    items.iter().map(|item| compared(right, item)).collect::<Result<_, _>>()?,
                ),
                Value::String(text) => match session_variable(text) {
                    Some(name) => CompareValue::Array(Operand::Session(name)),
                    None => return Err(unreadable(format!("expected a list, but found {json}"))),
                },
                other => return Err(unreadable(format!("expected a list, but found {other}"))),
            }
        } else if let Some(input) = comparison.takes_band() {
            CompareValue::Band(Box::new(band(input, json)?))
        } else if comparison.takes_distance() {
            CompareValue::Within(Box::new(within(right, json)?))
        } else {
            CompareValue::One(compared(right, json)?)
        };
        Ok(Predicate::Compare { subject, comparison, value })
    }
}

/// `{"distance": 10, "from": {…}, "use_spheroid": false}`
fn within(scalar: &ScalarType, json: &Value) -> Result<Within, Problem> {
    let Value::Object(entries) = json else {
        return Err(unreadable(format!(
            "expected an object with distance and from, but found {json}"
        )));
    };
    let (mut distance, mut from, mut use_spheroid) = (None, None, None);
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("distance", value) => distance = Some(operand(Codec::Float, value)?),
            ("from", value) => from = Some(operand(scalar.codec, value)?),
            ("use_spheroid", Value::Bool(value)) => use_spheroid = Some(*value),
            _ => return Err(unreadable(format!("unexpected \"{key}\": {value}"))),
        }
    }
    match (distance, from) {
        (Some(distance), Some(from)) => Ok(Within { distance, from, use_spheroid }),
        _ => Err(unreadable("distance and from are needed")),
    }
}

/// `{"geommin": {…}, "nband": 1}`
fn band(input: BandInput, json: &Value) -> Result<Band, Problem> {
    let Value::Object(entries) = json else {
        return Err(unreadable(format!(
            "expected an object with geommin and nband, but found {json}"
        )));
    };
    let (mut place, mut band) = (None, None);
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("nband", Value::Null) => {}
            ("nband", Value::Number(_) | Value::String(_)) => {
                band = Some(operand(Codec::Int, value)?);
            }
            ("geommin", value) => place = Some(operand(Codec::GeoJson, value)?),
            _ => return Err(unreadable(format!("unexpected \"{key}\": {value}"))),
        }
    }
    match (place, band) {
        (Some(_), None) if input == BandInput::Band => {
            Err(unreadable("geommin and nband are needed"))
        }
        (Some(place), band) => Ok(Band { place, band }),
        (None, _) => Err(unreadable("geommin is needed")),
    }
}

fn unknown(word: &str) -> Problem {
    Problem::NoOperator(word.to_owned())
}

/// An operator by its name without the mark.
fn comparison(name: &str) -> Option<Comparison> {
    let name = match name {
        "ne" => "neq",
        name => name,
    };
    Comparison::ALL.iter().find(|(word, _)| word.get(1..) == Some(name)).map(|(_, found)| *found)
}

/// `ceq` and its like compare with another column.
fn column_comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "ceq" => Comparison::Eq,
        "cne" | "cneq" => Comparison::Neq,
        "cgt" => Comparison::Gt,
        "cgte" => Comparison::Gte,
        "clt" => Comparison::Lt,
        "clte" => Comparison::Lte,
        _ => return None,
    })
}

/// A value of a scalar: a session variable, or the text of a literal.
pub(super) fn operand(codec: Codec, json: &Value) -> Result<Operand, Problem> {
    if let Value::String(text) = json
        && let Some(name) = session_variable(text)
    {
        return Ok(Operand::Session(name));
    }
    literal(codec, json).map(|text| Operand::Const(text.into()))
}

/// The same for a comparison, which also knows the type: a value that is no text is
/// one of the type, as in Hasura.
fn compared(scalar: &ScalarType, json: &Value) -> Result<Operand, Problem> {
    let found = match (json, scalar.codec) {
        (Value::Number(_), Codec::String | Codec::Text | Codec::Boolean | Codec::GeoJson) => {
            Some("Number")
        }
        (
            Value::Bool(_),
            Codec::String
            | Codec::Text
            | Codec::GeoJson
            | Codec::Int
            | Codec::Float
            | Codec::Number,
        ) => Some("Boolean"),
        (Value::Array(_), codec) if codec != Codec::Json && !scalar.array => Some("Array"),
        _ => None,
    };
    if let Some(found) = found {
        return Err(unreadable(match scalar.codec {
            Codec::String => {
                format!("parsing Text failed, expected String, but encountered {found}")
            }
            Codec::Boolean => {
                format!("parsing Bool failed, expected Boolean, but encountered {found}")
            }
            Codec::Int | Codec::Float | Codec::Number => {
                format!("a number is expected for type: {}, but {found} was found", scalar.name)
            }
            _ => format!("A string is expected for type: {}", scalar.name),
        }));
    }
    let operand = operand(scalar.codec, json)?;
    match &operand {
        Operand::Const(text) if scalar.operators.ltree && !is_label_path(text) => {
            Err(unreadable(LABEL_PATH))
        }
        Operand::Const(text) if scalar.operators.raster && !is_hexadecimal(text) => {
            Err(unreadable(RASTER))
        }
        _ => Ok(operand),
    }
}

fn literal(codec: Codec, json: &Value) -> Result<String, Problem> {
    match (codec, json) {
        (Codec::Json, json) => Ok(json.to_string()),
        (Codec::GeoJson, Value::Object(_)) => {
            geojson::ewkt(json).map_err(|error| unreadable(error.to_string()))
        }
        (_, Value::Object(_)) => Err(unreadable(format!("expected a value, but found {json}"))),
        (_, json) => vars::text(json)
            .map_err(|error| unreadable(error.to_string()))?
            .ok_or_else(|| unreadable("unexpected null")),
    }
    .and_then(|text| {
        if text.contains('\0') { Err(unreadable("a text must not hold NUL")) } else { Ok(text) }
    })
}

/// For callers that resolve a column by name.
pub fn column_of(tracked: &Tracked, table: TrackedId, name: &str) -> Option<ColumnId> {
    tracked.db_table(table)?.columns.iter().find(|column| *column.name == *name).map(|c| c.id)
}
