//! What a handler of an action is sent: the arguments of its field as JSON.
//!
//! Arguments are bound once for each document, and written for each request,
//! so that numbers keep their digits and no value is part of a plan.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::base::JsonPath;
use crate::graphql::{Field, Name, Value};
use crate::schema::Types;
use crate::schema::types::{Codec, FieldDef, TypeDef, TypeRef};

use super::error::{BindError, Problem};
use super::json::{JsonKind, json_elements, json_entries, json_kind};
use super::literal::describe_json;
use super::variables::Environment;

/// The variables of a request, untouched.
pub type Sent<'a> = [(Cow<'a, str>, &'a RawValue)];

/// The arguments of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    args: Vec<(Name, TypeRef, Part)>,
    /// Of the arguments in the document.
    path: JsonPath,
}

/// A value of the document; variables are filled in later.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// A scalar as JSON.
    Json(String),
    Variable {
        name: Name,
        default: Option<Box<Part>>,
    },
    List(Vec<Part>),
    Object(Vec<(Name, Part)>),
}

impl Part {
    fn of(value: &Value, environment: &impl Environment) -> Self {
        match value {
            Value::Variable(name) => {
                let default = environment
                    .variable(name)
                    .and_then(|(declaration, _)| declaration.default.as_ref())
                    .map(|default| Box::new(Part::of(default, environment)));
                Part::Variable { name: name.clone(), default }
            }
            Value::Int(text) | Value::Float(text) => Part::Json(text.to_string()),
            Value::String(text) | Value::Enum(text) => Part::Json(quoted(text)),
            Value::Boolean(value) => Part::Json(value.to_string()),
            Value::Null => Part::Json("null".to_owned()),
            Value::List(items) => {
                Part::List(items.iter().map(|item| Part::of(item, environment)).collect())
            }
            Value::Object(fields) => Part::Object(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Part::of(value, environment)))
                    .collect(),
            ),
        }
    }

    fn weight(&self) -> usize {
        48 + match self {
            Part::Json(text) => text.len(),
            Part::Variable { name, default } => {
                name.len() + default.as_ref().map_or(0, |default| default.weight())
            }
            Part::List(items) => items.iter().map(Part::weight).sum(),
            Part::Object(fields) => {
                fields.iter().map(|(name, part)| name.len() + part.weight()).sum()
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Payload {
    /// Of the arguments of a field, which fit their types as far as the
    /// document says what they are.
    pub(super) fn of(
        field: &Field,
        def: &FieldDef,
        environment: &impl Environment,
        path: JsonPath,
    ) -> Self {
        let args = def.args.iter().filter_map(|(name, arg)| {
            let (_, value) = field.arguments.iter().find(|(given, _)| given == name)?;
            Some((name.clone(), arg.ty, Part::of(value, environment)))
        });
        Payload { args: args.collect(), path }
    }

    /// Bytes that it holds, roughly.
    pub fn weight(&self) -> usize {
        64 + self.args.iter().map(|(name, _, part)| 32 + name.len() + part.weight()).sum::<usize>()
    }

    /// The JSON object for a request.
    pub fn json(&self, types: &Types, variables: &Sent<'_>) -> Result<String, BindError> {
        let writer = Writer { types, variables };
        let mut out = String::from("{");
        for (name, ty, part) in &self.args {
            let start = out.len();
            push_key(&mut out, name);
            match writer.part(&mut out, Some(*ty), part) {
                Ok(true) => {}
                Ok(false) => out.truncate(start),
                Err(problem) => {
                    return Err(BindError::new(self.path.clone().key(name.to_string()), problem));
                }
            }
        }
        out.push('}');
        Ok(out)
    }
}

fn push_key(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&quoted(name));
    out.push(':');
}

/// Writes values of a type; without one they stay as they are.
struct Writer<'a> {
    types: &'a Types,
    variables: &'a Sent<'a>,
}

impl Writer<'_> {
    /// Whether there was a value: a variable may have none.
    fn part(&self, out: &mut String, ty: Option<TypeRef>, part: &Part) -> Result<bool, Problem> {
        let item = ty.and_then(TypeRef::item);
        match part {
            Part::Variable { name, default } => {
                match (self.variables.iter().find(|(given, _)| **given == **name), default) {
                    (Some((_, raw)), _) => self.raw(out, ty, raw)?,
                    (None, Some(default)) => return self.part(out, ty, default),
                    (None, None) => return Ok(false),
                }
            }
            Part::Json(json) => {
                let raw: &RawValue = serde_json::from_str(json)
                    .map_err(|_| Problem::Schema("a literal is no JSON"))?;
                self.raw(out, ty, raw)?;
            }
            Part::List(items) => {
                let item = if ty.is_some_and(|ty| self.is_json(ty)) { None } else { item };
                out.push('[');
                for (index, part) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    if !self.part(out, item, part)? {
                        out.push_str("null");
                    }
                }
                out.push(']');
            }
            Part::Object(fields) if item.is_none() => {
                out.push('{');
                for (name, part) in fields {
                    let start = out.len();
                    push_key(out, name);
                    if !self.part(out, self.field(ty, name), part)? {
                        out.truncate(start);
                    }
                }
                out.push('}');
            }
            // One value stands for a list of it.
            Part::Object(_) => {
                out.push('[');
                self.part(out, item, part)?;
                out.push(']');
            }
        }
        Ok(true)
    }

    fn raw(&self, out: &mut String, ty: Option<TypeRef>, raw: &RawValue) -> Result<(), Problem> {
        let Some(ty) = ty else {
            out.push_str(raw.get());
            return Ok(());
        };
        let kind = json_kind(raw);
        if kind == JsonKind::Null {
            out.push_str("null");
            return Ok(());
        }
        if let Some(item) = ty.item() {
            out.push('[');
            let elements = if kind == JsonKind::List { json_elements(raw)? } else { vec![raw] };
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                self.raw(out, Some(item), element)?;
            }
            out.push(']');
            return Ok(());
        }
        match self.types.get(ty.base) {
            Some(TypeDef::Input(_)) if kind == JsonKind::Object => {
                out.push('{');
                for (name, value) in json_entries(raw.get())? {
                    push_key(out, &name);
                    self.raw(out, self.field(Some(ty), &name), value)?;
                }
                out.push('}');
            }
            Some(TypeDef::Scalar(scalar)) => {
                let wrong = |expected: &'static str| Problem::Expected {
                    expected: expected.into(),
                    ty: scalar.name.to_string(),
                    found: describe_json(kind),
                };
                match (&*scalar.name, kind) {
                    // An identifier is always a text.
                    (_, JsonKind::Number) if scalar.codec == Codec::Id => {
                        out.push_str(&quoted(raw.get().trim()));
                        return Ok(());
                    }
                    ("Int", kind) if kind != JsonKind::Number => {
                        return Err(wrong("a 32-bit integer"));
                    }
                    ("Float", kind) if kind != JsonKind::Number => return Err(wrong("a float")),
                    ("Boolean", kind) if kind != JsonKind::Boolean => {
                        return Err(wrong("a boolean"));
                    }
                    _ => out.push_str(raw.get()),
                }
            }
            _ => out.push_str(raw.get()),
        }
        Ok(())
    }

    /// The type of a field of an input object.
    fn field(&self, ty: Option<TypeRef>, name: &str) -> Option<TypeRef> {
        self.types.input(ty?.base)?.fields.get(name).map(|field| field.ty)
    }

    fn is_json(&self, ty: TypeRef) -> bool {
        ty.item().is_none()
            && matches!(self.types.get(ty.base), Some(TypeDef::Scalar(scalar)) if scalar.codec == Codec::Json)
    }
}
