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
#[error("{message}")]
pub struct ConditionError {
    pub path: JsonPath,
    pub message: String,
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
        Err(message) => Err(ConditionError { path: reader.path, message }),
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
    fn table(&self, id: TrackedId) -> Result<&'a TrackedTable, String> {
        self.tracked.table(id).ok_or_else(|| "the table is not tracked".to_owned())
    }

    fn condition(&mut self, table: TrackedId, json: &Value) -> Result<Predicate, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the condition is nested deeper than {MAX_DEPTH} levels"));
        }
        let Value::Object(entries) = json else {
            return Err(format!("expected an object with a condition, but found {json}"));
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

    fn conditions(&mut self, table: TrackedId, json: &Value) -> Result<Vec<Predicate>, String> {
        let Value::Array(items) = json else {
            return Err(format!("expected a list of conditions, but found {json}"));
        };
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push_index(index);
            out.push(self.condition(table, item)?);
            self.path.pop();
        }
        Ok(out)
    }

    fn exists(&mut self, table: TrackedId, json: &Value) -> Result<Predicate, String> {
        let source = self.table(table)?.source;
        let field = |name: &str| {
            json.get(name)
                .ok_or_else(|| format!("_exists needs _table and _where; {name} is missing"))
        };
        let name: QualifiedName =
            document::parse(field("_table")?).map_err(|error| error.message)?;
        let target = self
            .tracked
            .find(source, &name)
            .ok_or_else(|| format!("table \"{name}\" is not tracked"))?;
        let condition = field("_where")?;
        self.path.push_key("_where");
        let inner = Box::new(self.condition(target, condition)?);
        self.path.pop();
        Ok(Predicate::Exists { table: target, inner })
    }

    fn entry(&mut self, id: TrackedId, name: &str, value: &Value) -> Result<Predicate, String> {
        let table = self.table(id)?;
        let db = self.tracked.db_table(id).ok_or("the table is not in the catalogue")?;
        if let Some(column) = db.columns.iter().find(|column| *column.name == *name) {
            return self.operators(id, &Subject::Column(column.id), value);
        }
        if let Some(index) = table.relationship_named(name) {
            let target = table.relationships.get(index).map(|relationship| relationship.target);
            let target = target.ok_or("the relationship leads nowhere")?;
            let inner = Box::new(self.condition(target, value)?);
            return Ok(Predicate::Related { relationship: index, inner });
        }
        if let Some(index) = table.computed_named(name) {
            let field = table.computed.get(index).ok_or("the computed field is gone")?;
            return match field.returns {
                Returns::Scalar(_) => self.operators(id, &Subject::Computed(index), value),
                Returns::Rows { table: target, .. } => {
                    let inner = Box::new(self.condition(target, value)?);
                    Ok(Predicate::ComputedRows { field: index, inner })
                }
            };
        }
        let here = QualifiedName::new(db.schema.clone(), db.name.clone());
        Err(format!("column \"{name}\" does not exist in table \"{here}\""))
    }

    fn scalar(&self, table: TrackedId, subject: &Subject) -> Result<&'a ScalarType, String> {
        let missing = || "the column's type cannot be compared".to_owned();
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
        .ok_or_else(missing)
    }

    /// `{_eq: 1, _gt: …}`, or a value, which means `_eq`.
    fn operators(
        &mut self,
        table: TrackedId,
        subject: &Subject,
        json: &Value,
    ) -> Result<Predicate, String> {
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
                    other => return Err(format!("expected a boolean, but found {other}")),
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
    ) -> Result<Predicate, String> {
        let (Subject::Column(column), Value::Object(entries)) = (subject, json) else {
            return Err("_cast takes an object with the type to cast to".to_owned());
        };
        let target = CastTarget::of(&self.scalar(table, subject)?.operators);
        let mut parts = Vec::new();
        for (ty, value) in entries {
            let named = if ty == "text" { "String" } else { ty };
            let Some(target) = target.filter(|target| target.name() == named) else {
                return Err(format!("a column cannot be cast to \"{ty}\" here"));
            };
            self.path.push_key(ty.clone());
            parts.push(self.operators(table, &Subject::Cast(*column, target), value)?);
            self.path.pop();
        }
        Ok(Predicate::And(parts))
    }

    /// `"column"`, `["column"]`, or `["$", "column"]` of the outermost table.
    fn reference(&self, table: TrackedId, json: &Value) -> Result<ColumnReference, String> {
        let (root, name) = match json {
            Value::String(name) => (false, name),
            Value::Array(items) => match items.as_slice() {
                [Value::String(name)] => (false, name),
                [Value::String(dollar), Value::String(name)] if dollar == "$" => (true, name),
                _ => return Err("expected a column, or [\"$\", column]".to_owned()),
            },
            other => return Err(format!("expected a column, but found {other}")),
        };
        let table = if root { self.root } else { table };
        let db = self.tracked.db_table(table).ok_or("the table is not in the catalogue")?;
        let column = db
            .columns
            .iter()
            .find(|column| **name == *column.name)
            .map(|column| column.id)
            .ok_or_else(|| format!("column \"{name}\" does not exist in table \"{}\"", db.name))?;
        Ok(ColumnReference { root, column })
    }

    fn compare(
        &self,
        scalar: &ScalarType,
        subject: &Subject,
        comparison: Comparison,
        json: &Value,
    ) -> Result<Predicate, String> {
        let subject = subject.clone();
        if json.is_null() {
            return match comparison {
                Comparison::Eq => Ok(Predicate::IsNull { subject, negated: false }),
                Comparison::Neq => Ok(Predicate::IsNull { subject, negated: true }),
                _ => Err("unexpected null; only _eq, _neq and _is_null take it".to_owned()),
            };
        }
        if !scalar.operators.has(comparison) {
            return Err(format!("the type {} has no such operator", scalar.name));
        }
        let right = self
            .tracked
            .scalars
            .right_side(scalar, comparison)
            .and_then(|id| self.tracked.scalars.get(id))
            .ok_or("the operator's type is not there")?;
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
                    None => return Err(format!("expected a list, but found {json}")),
                },
                other => return Err(format!("expected a list, but found {other}")),
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
fn within(scalar: &ScalarType, json: &Value) -> Result<Within, String> {
    let Value::Object(entries) = json else {
        return Err(format!("expected an object with distance and from, but found {json}"));
    };
    let (mut distance, mut from, mut use_spheroid) = (None, None, None);
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("distance", value) => distance = Some(operand(Codec::Float, value)?),
            ("from", value) => from = Some(operand(scalar.codec, value)?),
            ("use_spheroid", Value::Bool(value)) => use_spheroid = Some(*value),
            _ => return Err(format!("unexpected \"{key}\": {value}")),
        }
    }
    match (distance, from) {
        (Some(distance), Some(from)) => Ok(Within { distance, from, use_spheroid }),
        _ => Err("distance and from are needed".to_owned()),
    }
}

/// `{"geommin": {…}, "nband": 1}`
fn band(input: BandInput, json: &Value) -> Result<Band, String> {
    let Value::Object(entries) = json else {
        return Err(format!("expected an object with geommin and nband, but found {json}"));
    };
    let (mut place, mut band) = (None, None);
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("nband", Value::Null) => {}
            ("nband", Value::Number(_) | Value::String(_)) => {
                band = Some(operand(Codec::Int, value)?);
            }
            ("geommin", value) => place = Some(operand(Codec::GeoJson, value)?),
            _ => return Err(format!("unexpected \"{key}\": {value}")),
        }
    }
    match (place, band) {
        (Some(_), None) if input == BandInput::Band => {
            Err("geommin and nband are needed".to_owned())
        }
        (Some(place), band) => Ok(Band { place, band }),
        (None, _) => Err("geommin is needed".to_owned()),
    }
}

fn unknown(word: &str) -> String {
    format!("unknown operator \"{word}\"")
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
pub(super) fn operand(codec: Codec, json: &Value) -> Result<Operand, String> {
    if let Value::String(text) = json
        && let Some(name) = session_variable(text)
    {
        return Ok(Operand::Session(name));
    }
    literal(codec, json).map(|text| Operand::Const(text.into()))
}

/// The same for a comparison, which also knows the type.
fn compared(scalar: &ScalarType, json: &Value) -> Result<Operand, String> {
    let operand = operand(scalar.codec, json)?;
    match &operand {
        Operand::Const(text) if scalar.operators.ltree && !is_label_path(text) => {
            Err(LABEL_PATH.to_owned())
        }
        Operand::Const(text) if scalar.operators.raster && !is_hexadecimal(text) => {
            Err(RASTER.to_owned())
        }
        _ => Ok(operand),
    }
}

fn literal(codec: Codec, json: &Value) -> Result<String, String> {
    match (codec, json) {
        (Codec::Json, json) => Ok(json.to_string()),
        (Codec::GeoJson, Value::Object(_)) => {
            geojson::ewkt(json).map_err(|error| error.to_string())
        }
        (_, Value::Object(_)) => Err(format!("expected a value, but found {json}")),
        (_, json) => vars::text(json)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| "unexpected null".to_owned()),
    }
    .and_then(|text| {
        if text.contains('\0') { Err("a text must not hold NUL".to_owned()) } else { Ok(text) }
    })
}

/// For callers that resolve a column by name.
pub fn column_of(tracked: &Tracked, table: TrackedId, name: &str) -> Option<ColumnId> {
    tracked.db_table(table)?.columns.iter().find(|column| *column.name == *name).map(|c| c.id)
}
