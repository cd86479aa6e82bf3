//! Operands → the parameters of a statement.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::base::{ApiError, Code, JsonPath};
use crate::operation::input::{Earlier, Operand};
use crate::operation::json::{fill, json_entries};
use crate::operation::json_path::json_path;
use crate::operation::{BindError, Problem};
use crate::pg::TextParam;
use crate::plan::like::Pattern;
use crate::plan::{Form, Slot};
use crate::schema::geojson;
use crate::schema::predicate::JsonPart;
use crate::session::Session;

/// What a request sends in its variables; each scalar is moved out where it is
/// used last.
pub(super) struct Leaves<'v> {
    texts: Vec<String>,
    uses: Vec<usize>,
    variables: Option<&'v RawValue>,
    /// The variables taken apart, once somebody needs them whole.
    entries: Option<Vec<(Cow<'v, str>, &'v RawValue)>>,
}

/// What an earlier statement gave.
#[derive(Debug, Default)]
pub(super) struct Earned {
    pub count: u64,
    /// A JSON array.
    pub rows: Option<Box<RawValue>>,
}

impl<'v> Leaves<'v> {
    /// `slots` are those of all statements that will be filled.
    pub(super) fn new<'s>(
        texts: Vec<String>,
        slots: impl IntoIterator<Item = &'s Slot>,
        variables: Option<&'v RawValue>,
    ) -> Self {
        let mut uses = vec![0_usize; texts.len()];
        for slot in slots {
            if let Operand::Leaf(leaf) = slot.operand
                && let Some(count) = uses.get_mut(leaf)
            {
                *count += 1;
            }
        }
        Leaves { texts, uses, variables, entries: None }
    }

    fn take(&mut self, leaf: usize) -> Result<String, ApiError> {
        let (Some(text), Some(count)) = (self.texts.get_mut(leaf), self.uses.get_mut(leaf)) else {
            return Err(ApiError::internal("a plan has more leaves than its request"));
        };
        *count = count.saturating_sub(1);
        Ok(if *count == 0 { std::mem::take(text) } else { text.clone() })
    }

    /// The parameters of a statement. `results` are those of the statements
    /// before it, by position.
    pub(super) fn fill(
        &mut self,
        session: &Session,
        slots: &[Slot],
        results: &[Option<Earned>],
    ) -> Result<Vec<TextParam>, ApiError> {
        slots.iter().map(|slot| self.parameter(session, slot, results)).collect()
    }

    fn parameter(
        &mut self,
        session: &Session,
        slot: &Slot,
        results: &[Option<Earned>],
    ) -> Result<TextParam, ApiError> {
        let text = match &slot.operand {
            Operand::Const(text) => match slot.form {
                Form::Plain | Form::JsonPath => return Ok(TextParam::from(text.clone())),
                _ => text.to_string(),
            },
            Operand::Session(name) => session_value(session, name)?,
            Operand::SessionVariables => session.variables_json(),
            Operand::Leaf(leaf) => self.take(*leaf)?,
            Operand::Json(parts) => self.spelled_out(parts)?,
            Operand::GeoJson(parts) => {
                let text = self.spelled_out(parts)?;
                geojson::ewkt_of_text(&text)
                    .map_err(|error| in_variables(Problem::NotGeoJson(error.to_string())))?
            }
            Operand::Earlier(earlier) => return of_earlier(earlier, results),
            // Filled in by who knows.
            Operand::Cursor | Operand::SentKeys(_) => return Ok(TextParam::NULL),
        };
        Ok(TextParam::from(match slot.form {
            Form::AtMost(cap) if text.parse::<u64>().is_ok_and(|value| value > cap) => {
                cap.to_string()
            }
            Form::JsonPath => json_path(&text)
                .map_err(|problem| ApiError::from(BindError::new(JsonPath::root(), problem)))?,
            Form::LikePrefix => match Pattern::of(&text).prefix {
                prefix if prefix.is_empty() => return Ok(TextParam::NULL),
                prefix => prefix,
            },
            Form::LikeRest => match Pattern::of(&text) {
                Pattern { prefix, open: true } if !prefix.is_empty() => return Ok(TextParam::NULL),
                _ => text,
            },
            Form::Plain | Form::AtMost(_) => text,
        }))
    }

    /// JSON of the document, with what the request sends for its variables.
    fn spelled_out(&mut self, parts: &[JsonPart]) -> Result<String, ApiError> {
        Ok(self.entries().and_then(|sent| fill(parts, sent)).map_err(in_variables)?)
    }

    fn entries(&mut self) -> Result<&[(Cow<'v, str>, &'v RawValue)], Problem> {
        let entries = match self.entries.take() {
            Some(entries) => entries,
            None => match self.variables.map(RawValue::get) {
                None | Some("null") => Vec::new(),
                Some(text) => json_entries(text)?,
            },
        };
        Ok(self.entries.insert(entries))
    }
}

fn in_variables(problem: Problem) -> BindError {
    BindError::new(JsonPath::root().key("variableValues"), problem)
}

fn of_earlier(earlier: &Earlier, results: &[Option<Earned>]) -> Result<TextParam, ApiError> {
    let missing = || ApiError::internal("a statement needs the result of one that has not run");
    let of = |step: usize| results.get(step).and_then(Option::as_ref).ok_or_else(missing);
    Ok(match earlier {
        Earlier::Count(steps) => {
            let mut count = 0_u64;
            for step in steps.iter() {
                count += of(*step)?.count;
            }
            count.to_string().into()
        }
        Earlier::Cell { step, column } => {
            let rows = of(*step)?.rows.as_deref().ok_or_else(missing)?;
            cell(rows, column)?.into()
        }
        Earlier::Rows(steps) => {
            let mut out = String::from("[");
            for step in steps.iter() {
                let rows = of(*step)?.rows.as_deref().map_or("[]", |rows| rows.get().trim());
                let inner = rows
                    .strip_prefix('[')
                    .and_then(|rows| rows.strip_suffix(']'))
                    .map(str::trim)
                    .ok_or_else(missing)?;
                if !inner.is_empty() {
                    if out.len() > 1 {
                        out.push(',');
                    }
                    out.push_str(inner);
                }
            }
            out.push(']');
            out.into()
        }
    })
}

/// A cell of the first of some rows, as text; `None` is null, or that there is
/// no row: who needs one does not run then.
fn cell(rows: &RawValue, column: &str) -> Result<Option<String>, ApiError> {
    let wrong = |error: serde_json::Error| ApiError::internal(error.to_string());
    let rows: Vec<std::collections::HashMap<String, serde_json::Value>> =
        serde_json::from_str(rows.get()).map_err(wrong)?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
    match row.remove(column) {
        None => Err(ApiError::internal("a row that was written lacks a column")),
        Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text)),
        Some(json) => Ok(Some(json.to_string())),
    }
}

/// The text of a session variable that a permission names.
fn session_value(session: &Session, name: &str) -> Result<String, ApiError> {
    session.variable(name).map(str::to_owned).ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("missing session variable: \"{name}\""))
    })
}
