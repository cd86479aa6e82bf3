//! JSON texts of requests, taken apart without decoding them, and JSON that the
//! document spells out.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::graphql::Value;
use crate::schema::predicate::JsonPart;

use super::error::{BindError, Problem};
use super::input::Operand;
use super::variables::Environment;

/// What a JSON text starts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Null,
    Boolean,
    Number,
    String,
    List,
    Object,
}

pub(crate) fn json_kind(raw: &RawValue) -> JsonKind {
    match raw.get().trim_start().as_bytes().first() {
        Some(b'n') => JsonKind::Null,
        Some(b't' | b'f') => JsonKind::Boolean,
        Some(b'"') => JsonKind::String,
        Some(b'[') => JsonKind::List,
        Some(b'{') => JsonKind::Object,
        _ => JsonKind::Number,
    }
}

pub(crate) fn json_string(raw: &RawValue) -> Result<Cow<'_, str>, Problem> {
    serde_json::from_str::<Text<'_>>(raw.get()).map(|text| text.0).map_err(|_| Problem::Expected {
        expected: "a string".into(),
        ty: "String".to_owned(),
        found: "malformed text",
    })
}

/// A JSON string that borrows where nothing is escaped.
struct Text<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The entries of a JSON object in order, values untouched.
pub(crate) fn json_entries(raw: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Problem> {
    struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);
    impl<'de> serde::Deserialize<'de> for Entries<'de> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Entries<'de>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Self::Value, A::Error> {
                    let mut out = Vec::new();
                    while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                        out.push((key.0, value));
                    }
                    Ok(Entries(out))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    let entries: Entries<'_> =
        serde_json::from_str(raw).map_err(|_| Problem::VariablesNotAnObject)?;
    if entries.0.len() > 1 {
        let mut seen = std::collections::HashSet::new();
        for (key, _) in &entries.0 {
            if !seen.insert(key.as_ref()) {
                return Err(Problem::DuplicateKey(key.to_string()));
            }
        }
    }
    Ok(entries.0)
}

/// The elements of a JSON list, untouched.
pub(crate) fn json_elements(raw: &RawValue) -> Result<Vec<&RawValue>, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| Problem::Expected {
        expected: "a list".into(),
        ty: String::new(),
        found: "malformed text",
    })
}

/// `\u0000` is legal JSON that Postgres cannot store.
pub(crate) fn has_escaped_nul(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let after = rest.get(at + 1..).unwrap_or("");
        if after.starts_with("u0000") {
            return true;
        }
        let skip = after.chars().next().map_or(0, char::len_utf8);
        rest = after.get(skip..).unwrap_or("");
    }
    false
}

/// A JSON value that the document spells out. Variables inside stand for what
/// the request sends, whatever their type.
pub(crate) fn json_literal(
    value: &Value,
    environment: &impl Environment,
) -> Result<Operand, BindError> {
    let mut writer = Writer { environment, parts: Vec::new(), text: String::new() };
    writer.write(value)?;
    if writer.parts.is_empty() {
        return Ok(Operand::Const(writer.text.into()));
    }
    writer.flush();
    Ok(Operand::Json(writer.parts.into()))
}

struct Writer<'a, E> {
    environment: &'a E,
    parts: Vec<JsonPart>,
    text: String,
}

impl<E: Environment> Writer<'_, E> {
    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(JsonPart::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn quoted(&mut self, text: &str) -> Result<(), BindError> {
        if text.contains('\0') {
            return Err(BindError::here(Problem::Nul));
        }
        self.text.push_str(&serde_json::Value::from(text).to_string());
        Ok(())
    }

    fn write(&mut self, value: &Value) -> Result<(), BindError> {
        match value {
            Value::Variable(name) => self.variable(name)?,
            Value::Int(text) | Value::Float(text) => self.text.push_str(text),
            Value::String(text) => self.quoted(text)?,
            Value::Enum(text) => self.quoted(text)?,
            Value::Boolean(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Null => self.text.push_str("null"),
            Value::List(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.text.push(',');
                    }
                    self.write(item)?;
                }
                self.text.push(']');
            }
            Value::Object(fields) => {
                self.text.push('{');
                for (index, (key, item)) in fields.iter().enumerate() {
                    if index > 0 {
                        self.text.push(',');
                    }
                    self.quoted(key)?;
                    self.text.push(':');
                    self.write(item)?;
                }
                self.text.push('}');
            }
        }
        Ok(())
    }

    fn variable(&mut self, name: &Arc<str>) -> Result<(), BindError> {
        let unbound = || BindError::here(Problem::UnboundVariable(name.to_string()));
        let (declaration, value) = self.environment.variable(name).ok_or_else(unbound)?;
        if let super::variables::VariableValue::Invalid(error) = value {
            return Err(error.clone());
        }
        let default = match &declaration.default {
            None => "null".into(),
            Some(default) => {
                // A default is constant, so nothing but text comes of it.
                let environment = &super::variables::NoVariables;
                let mut inner = Writer { environment, parts: Vec::new(), text: String::new() };
                inner.write(default)?;
                inner.text.into()
            }
        };
        self.flush();
        self.parts.push(JsonPart::Variable { name: name.clone(), default });
        Ok(())
    }
}

/// The text of JSON around the variables of a request.
pub(crate) fn fill(
    parts: &[JsonPart],
    variables: &[(Cow<'_, str>, &RawValue)],
) -> Result<String, Problem> {
    let mut out = String::new();
    for part in parts {
        match part {
            JsonPart::Text(text) => out.push_str(text),
            JsonPart::Variable { name, default } => {
                match variables.iter().find(|(given, _)| **given == **name) {
                    Some((_, raw)) if has_escaped_nul(raw.get()) => return Err(Problem::Nul),
                    Some((_, raw)) => out.push_str(raw.get()),
                    None => out.push_str(default),
                }
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_are_refused() {
        assert_eq!(
            json_entries(r#"{"a":1,"a":2}"#).map(|_| ()),
            Err(Problem::DuplicateKey("a".to_owned()))
        );
    }

    #[test]
    fn variables_stand_in_json_as_they_were_sent() {
        let parts = [
            JsonPart::Text("[".into()),
            JsonPart::Variable { name: "a".into(), default: "null".into() },
            JsonPart::Text(",".into()),
            JsonPart::Variable { name: "b".into(), default: "[1.50]".into() },
            JsonPart::Text("]".into()),
        ];
        let sent = json_entries(r#"{"a": {"x": 1.0}}"#).expect("an object");
        assert_eq!(fill(&parts, &sent), Ok(r#"[{"x": 1.0},[1.50]]"#.to_owned()));
        let nul = json_entries(r#"{"a": "\u0000"}"#).expect("an object");
        assert_eq!(fill(&parts, &nul), Err(Problem::Nul));
    }
}
