//! What a handler answered: whether it has the shape of the action's output
//! type, and what was selected of it. Values are copied as they are.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::base::{ApiError, Code};
use crate::operation::Problem;
use crate::operation::json::{JsonKind, json_elements, json_entries, json_kind};
use crate::operation::model::{ActionCall, OutputField, OutputSelected};
use crate::schema::Types;
use crate::schema::tracked::action::{CustomField, CustomKind};
use crate::schema::types::{Codec, TypeDef, TypeId, TypeRef};

/// Code and message of an answer that does not fit, in Hasura's words.
type Misfit = (Code, String);

fn unexpected<T>(message: impl Into<String>) -> Result<T, Misfit> {
    Err((Code::Unexpected, message.into()))
}

fn malformed(problem: Problem) -> Misfit {
    (Code::ParseFailed, problem.to_string())
}

/// Checks answers against output types.
pub(super) struct Shape<'a> {
    pub types: &'a Types,
}

impl<'a> Shape<'a> {
    pub(super) fn check(&self, ty: TypeRef, raw: &RawValue) -> Result<(), Misfit> {
        let kind = json_kind(raw);
        if kind == JsonKind::Null {
            return if ty.is_non_null() {
                unexpected("got null for the action webhook response")
            } else {
                Ok(())
            };
        }
        let fields = self.object(ty.base);
        match (ty.item(), kind, fields) {
            (Some(item), JsonKind::List, _) => {
                for element in json_elements(raw).map_err(malformed)? {
                    self.check(item, element)?;
                }
                Ok(())
            }
            (Some(_), JsonKind::Object, Some(_)) => {
                unexpected("expecting array for action webhook response but got object")
            }
            (None, JsonKind::List, Some(_)) => {
                unexpected("expecting object for action webhook response but got array")
            }
            (None, JsonKind::Object, Some(fields)) => self.check_object(fields, raw),
            (_, _, Some(_)) => Err((
                Code::ParseFailed,
                "expecting null, object or array of objects for action webhook response".to_owned(),
            )),
            (Some(_), _, None) => unexpected("expecting array for the action webhook response"),
            (None, kind, None) => self.check_scalar(ty, kind),
        }
    }

    fn object(&self, base: TypeId) -> Option<&'a [CustomField]> {
        let TypeId::Custom(id) = base else { return None };
        match &self.types.tracked().actions.custom(id)?.kind {
            CustomKind::Object { fields, .. } => Some(fields),
            _ => None,
        }
    }

    fn check_scalar(&self, ty: TypeRef, kind: JsonKind) -> Result<(), Misfit> {
        let (name, found) = match (self.types.get(ty.base), kind) {
            (Some(TypeDef::Scalar(scalar)), kind) => {
                let fits = match (&*scalar.name, kind) {
                    ("Int" | "Float", kind) => kind == JsonKind::Number,
                    ("Boolean", kind) => kind == JsonKind::Boolean,
                    ("String", kind) => kind == JsonKind::String,
                    (_, kind) if scalar.codec == Codec::Id => {
                        matches!(kind, JsonKind::String | JsonKind::Number)
                    }
                    // What it means is for its users to say.
                    _ => true,
                };
                if fits {
                    return Ok(());
                }
                (scalar.name.clone(), kind)
            }
            (Some(TypeDef::Enum(_)), JsonKind::String) => return Ok(()),
            (_, kind) => (self.types.name(ty.base), kind),
        };
        let found = match found {
            JsonKind::List => "array",
            JsonKind::Object => "object",
            JsonKind::Boolean => "scalar Boolean",
            JsonKind::Number => "scalar Number",
            JsonKind::String => "scalar String",
            JsonKind::Null => "null",
        };
        unexpected(format!("got {found} for the action webhook response, expecting {name}"))
    }

    fn check_object(&self, fields: &[CustomField], raw: &RawValue) -> Result<(), Misfit> {
        let entries = json_entries(raw.get()).map_err(malformed)?;
        let extra: Vec<&str> = entries
            .iter()
            .map(|(name, _)| name.as_ref())
            .filter(|name| !fields.iter().any(|field| *field.name == **name))
            .collect();
        if !extra.is_empty() {
            let names = extra.join(", ");
            return unexpected(format!("unexpected fields in webhook response: {names}"));
        }
        for field in fields {
            let value = entries.iter().find(|(name, _)| **name == *field.name);
            match value.map(|(_, value)| (*value, json_kind(value))) {
                None if field.ty.is_non_null() => {
                    return unexpected(format!(
                        "field \"{}\" expected in webhook response, but not found",
                        field.name
                    ));
                }
                Some((_, JsonKind::Null)) if field.ty.is_non_null() => {
                    return unexpected(format!(
                        "expecting not null value for field \"{}\"",
                        field.name
                    ));
                }
                Some((value, _)) if self.object(field.ty.base).is_some() => {
                    self.check(field.ty, value)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

type Entries<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn fault(problem: Problem) -> ApiError {
    ApiError::internal(problem.to_string())
}

fn entry<'a>(entries: &Entries<'a>, name: &str) -> Option<&'a RawValue> {
    entries.iter().find(|(key, _)| **key == *name).map(|(_, value)| *value)
}

/// By relationship: the keys of all objects that want its rows, in the order
/// in which [`write`] meets them.
pub(super) fn keys(
    call: &ActionCall,
    selection: &[OutputSelected],
    answer: &RawValue,
) -> Result<Vec<Box<RawValue>>, ApiError> {
    let mut out = vec![String::from("["); call.related.len()];
    collect(call, selection, answer, &mut out)?;
    out.into_iter()
        .map(|mut keys| {
            keys.push(']');
            RawValue::from_string(keys).map_err(|error| ApiError::internal(error.to_string()))
        })
        .collect()
}

fn collect(
    call: &ActionCall,
    selection: &[OutputSelected],
    value: &RawValue,
    out: &mut [String],
) -> Result<(), ApiError> {
    match json_kind(value) {
        JsonKind::List => {
            for element in json_elements(value).map_err(fault)? {
                collect(call, selection, element, out)?;
            }
        }
        JsonKind::Object => {
            let entries = json_entries(value.get()).map_err(fault)?;
            for selected in selection {
                match &selected.field {
                    OutputField::Typename(_) | OutputField::Value(_) => {}
                    OutputField::Object { name, selection } => {
                        if let Some(value) = entry(&entries, name) {
                            collect(call, selection, value, out)?;
                        }
                    }
                    OutputField::Related(index) => {
                        let (Some(related), Some(keys)) =
                            (call.related.get(*index), out.get_mut(*index))
                        else {
                            return Err(ApiError::internal("a relationship of an action is gone"));
                        };
                        if keys.len() > 1 {
                            keys.push(',');
                        }
                        keys.push('[');
                        for (position, (field, _)) in related.join.iter().enumerate() {
                            if position > 0 {
                                keys.push(',');
                            }
                            keys.push_str(entry(&entries, field).map_or("null", RawValue::get));
                        }
                        keys.push(']');
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The answer as it was selected. `rows` are those of each relationship, one
/// element for each object.
pub(super) fn write(
    selection: &[OutputSelected],
    answer: &RawValue,
    rows: &[Box<RawValue>],
) -> Result<String, ApiError> {
    let rows = rows
        .iter()
        .map(|rows| json_elements(rows).map(Vec::into_iter).map_err(fault))
        .collect::<Result<_, ApiError>>()?;
    let mut writer = Writer { rows, out: String::with_capacity(answer.get().len()) };
    writer.value(selection, answer)?;
    Ok(writer.out)
}

struct Writer<'a> {
    rows: Vec<std::vec::IntoIter<&'a RawValue>>,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, selection: &[OutputSelected], value: &RawValue) -> Result<(), ApiError> {
        match json_kind(value) {
            JsonKind::List => {
                self.out.push('[');
                for (index, element) in json_elements(value).map_err(fault)?.into_iter().enumerate()
                {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.value(selection, element)?;
                }
                self.out.push(']');
            }
            JsonKind::Object => {
                let entries = json_entries(value.get()).map_err(fault)?;
                self.object(selection, &entries)?;
            }
            _ => self.out.push_str("null"),
        }
        Ok(())
    }

    fn object(
        &mut self,
        selection: &[OutputSelected],
        entries: &Entries<'_>,
    ) -> Result<(), ApiError> {
        self.out.push('{');
        for (index, selected) in selection.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.out.push('"');
            self.out.push_str(&selected.key);
            self.out.push_str("\":");
            match &selected.field {
                OutputField::Typename(name) => {
                    self.out.push('"');
                    self.out.push_str(name);
                    self.out.push('"');
                }
                OutputField::Value(name) => {
                    self.out.push_str(entry(entries, name).map_or("null", RawValue::get));
                }
                OutputField::Object { name, selection } => match entry(entries, name) {
                    Some(value) => self.value(selection, value)?,
                    None => self.out.push_str("null"),
                },
                OutputField::Related(index) => {
                    let row = self.rows.get_mut(*index).and_then(Iterator::next);
                    let row = row.ok_or_else(|| {
                        ApiError::internal("the rows of a relationship are fewer than its keys")
                    })?;
                    self.out.push_str(row.get());
                }
            }
        }
        self.out.push('}');
        Ok(())
    }
}
