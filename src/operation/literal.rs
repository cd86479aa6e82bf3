//! Scalars: GraphQL and JSON values → text for Postgres, by codec.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::graphql::Value;
use crate::schema::types::Codec;

use super::error::Problem;
use super::input::push_array_element;

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

pub(crate) fn describe_json(kind: JsonKind, text: &str) -> &'static str {
    match kind {
        JsonKind::Null => "null",
        JsonKind::Boolean => "a boolean",
        JsonKind::Number if is_integer(text) => "an integer",
        JsonKind::Number => "a float",
        JsonKind::String => "a string",
        JsonKind::List => "a list",
        JsonKind::Object => "an object",
    }
}

pub(crate) fn describe_literal(value: &Value) -> &'static str {
    match value {
        Value::Variable(_) => "a variable",
        Value::Int(_) => "an integer",
        Value::Float(_) => "a float",
        Value::String(_) => "a string",
        Value::Boolean(_) => "a boolean",
        Value::Null => "null",
        Value::Enum(_) => "an enum value",
        Value::List(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.trim().strip_prefix('-').unwrap_or(text.trim());
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
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

fn expected(codec: Codec, ty: &str, found: &'static str) -> Problem {
    let expected = match codec {
        Codec::Int => "a 32-bit integer",
        Codec::Float => "a float",
        Codec::Boolean => "a boolean",
        Codec::String => "a string",
        Codec::Number => "a number or a string",
        Codec::Json => "a JSON value",
        Codec::Text => "a string",
    };
    Problem::Expected { expected: expected.into(), ty: ty.to_owned(), found }
}

fn checked(text: Cow<'_, str>) -> Result<String, Problem> {
    if text.contains('\0') { Err(Problem::Nul) } else { Ok(text.into_owned()) }
}

fn integer(text: &str) -> Result<String, Problem> {
    match text.parse::<i32>() {
        Ok(value) => Ok(value.to_string()),
        Err(_) => Err(Problem::IntOutOfBounds(scientific(text))),
    }
}

/// A number as Hasura shows it in messages: `2.147483648e9`.
fn scientific(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |value| format!("{value:e}"))
}

/// A JSON value of a scalar type as text; the caller has dealt with null.
pub(crate) fn scalar_from_json(codec: Codec, ty: &str, raw: &RawValue) -> Result<String, Problem> {
    let text = raw.get().trim();
    let kind = json_kind(raw);
    let wrong = || expected(codec, ty, describe_json(kind, text));
    match (codec, kind) {
        (Codec::Json, _) => {
            if has_escaped_nul(text) {
                Err(Problem::Nul)
            } else {
                Ok(text.to_owned())
            }
        }
        (Codec::Int, JsonKind::Number) => integer(text),
        (Codec::Float | Codec::Number | Codec::Text, JsonKind::Number) => Ok(text.to_owned()),
        (Codec::Boolean | Codec::Text, JsonKind::Boolean) => Ok(text.to_owned()),
        (Codec::String | Codec::Number | Codec::Text, JsonKind::String) => {
            checked(json_string(raw)?)
        }
        (Codec::Text, JsonKind::List) => {
            let mut out = String::new();
            array_from_json(&mut out, ty, raw, 1)?;
            Ok(out)
        }
        _ => Err(wrong()),
    }
}

/// A literal of a scalar type as text; the caller has dealt with null and
/// variables.
pub(crate) fn scalar_from_literal(
    codec: Codec,
    ty: &str,
    value: &Value,
) -> Result<String, Problem> {
    match (codec, value) {
        (Codec::Json, value) => {
            let mut out = String::new();
            write_json(&mut out, value)?;
            Ok(out)
        }
        (Codec::Int, Value::Int(text)) => integer(text),
        (Codec::Float | Codec::Number | Codec::Text, Value::Int(text) | Value::Float(text)) => {
            Ok(text.to_string())
        }
        (Codec::Boolean | Codec::Text, Value::Boolean(value)) => Ok(value.to_string()),
        (Codec::String | Codec::Number | Codec::Text, Value::String(text)) => {
            checked(Cow::Borrowed(text))
        }
        (Codec::Text, Value::List(items)) => {
            let mut out = String::new();
            array_from_literal(&mut out, ty, items, 1)?;
            Ok(out)
        }
        (codec, value) => Err(expected(codec, ty, describe_literal(value))),
    }
}

/// What Postgres allows.
const MAX_DIMENSIONS: usize = 6;

/// Appends a list as an array literal; lists inside are its further dimensions.
fn array_from_json(
    out: &mut String,
    ty: &str,
    raw: &RawValue,
    dimension: usize,
) -> Result<(), Problem> {
    if dimension > MAX_DIMENSIONS {
        return Err(Problem::TooManyDimensions { limit: MAX_DIMENSIONS });
    }
    open_array(out);
    for element in json_elements(raw)? {
        match json_kind(element) {
            JsonKind::Null => push_array_null(out),
            JsonKind::List => array_from_json(out, ty, element, dimension + 1)?,
            _ => push_array_element(out, &scalar_from_json(Codec::Text, ty, element)?),
        }
    }
    out.push('}');
    Ok(())
}

/// As [`array_from_json`], of a list in the document.
fn array_from_literal(
    out: &mut String,
    ty: &str,
    items: &[Value],
    dimension: usize,
) -> Result<(), Problem> {
    if dimension > MAX_DIMENSIONS {
        return Err(Problem::TooManyDimensions { limit: MAX_DIMENSIONS });
    }
    open_array(out);
    for item in items {
        match item {
            Value::Null => push_array_null(out),
            Value::List(items) => array_from_literal(out, ty, items, dimension + 1)?,
            item => push_array_element(out, &scalar_from_literal(Codec::Text, ty, item)?),
        }
    }
    out.push('}');
    Ok(())
}

fn open_array(out: &mut String) {
    if out.ends_with('}') || out.ends_with('"') || out.ends_with("NULL") {
        out.push(',');
    }
    out.push('{');
}

fn push_array_null(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str("NULL");
}

/// `\u0000` is legal JSON that Postgres cannot store.
fn has_escaped_nul(text: &str) -> bool {
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

fn write_json(out: &mut String, value: &Value) -> Result<(), Problem> {
    let quoted = |text: &str| {
        if text.contains('\0') {
            return Err(Problem::Nul);
        }
        serde_json::to_string(text).map_err(|_| Problem::Nul)
    };
    match value {
        Value::Variable(_) => return Err(Problem::VariableInJson),
        Value::Int(text) | Value::Float(text) => out.push_str(text),
        Value::String(text) => out.push_str(&quoted(text)?),
        Value::Enum(text) => out.push_str(&quoted(text)?),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Null => out.push_str("null"),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, item)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, item)) in fields.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(key)?);
                out.push(':');
                write_json(out, item)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// A path into a JSON value as the text of a Postgres array of its keys.
///
/// Taken are `$`, `.key`, `key`, `[0]`, `['key']` and `["key"]`, one after the
/// other, as in Hasura.
pub(crate) fn json_path(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::JsonPath(text.to_owned());
    let mut out = String::from("{");
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let quote = inner.chars().next().filter(|c| matches!(c, '\'' | '"'));
            let (key, after) = match quote {
                Some(quote) => quoted_key(inner, quote).ok_or_else(wrong)?,
                None => {
                    let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
                    if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
                        return Err(wrong());
                    }
                    (index.to_owned(), after)
                }
            };
            push_array_element(&mut out, &key);
            rest = after;
        } else {
            let inner = rest.strip_prefix('.').unwrap_or(rest);
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (key, after) = inner.split_at(end);
            if key.is_empty() {
                return Err(wrong());
            }
            push_array_element(&mut out, key);
            rest = after;
        }
    }
    out.push('}');
    Ok(out)
}

/// `'key']…` → the key and what follows; a backslash escapes.
fn quoted_key(text: &str, quote: char) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            key.push(chars.next()?.1);
        } else if c == quote {
            let after = text.get(at + 1..)?.strip_prefix(']')?;
            return Some((key, after));
        } else {
            key.push(c);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("valid JSON")
    }

    #[test]
    fn numbers_keep_their_text() {
        let raw = json("123456789012345678901234567890.10");
        assert_eq!(
            scalar_from_json(Codec::Number, "numeric", &raw).expect("a number"),
            "123456789012345678901234567890.10"
        );
    }

    #[test]
    fn integers_are_bounded() {
        let error = scalar_from_json(Codec::Int, "Int", &json("2147483648")).expect_err("too big");
        assert_eq!(
            error.to_string(),
            "The value 2.147483648e9 lies outside the bounds or is not an integer. Maybe it is a float, or is there integer overflow?"
        );
        assert!(scalar_from_json(Codec::Int, "Int", &json("1.5")).is_err());
        assert_eq!(scalar_from_json(Codec::Int, "Int", &json("-7")), Ok("-7".to_owned()));
    }

    #[test]
    fn nul_is_refused_everywhere() {
        assert_eq!(
            scalar_from_json(Codec::String, "String", &json(r#""a\u0000b""#)),
            Err(Problem::Nul)
        );
        assert_eq!(
            scalar_from_json(Codec::Json, "jsonb", &json(r#"{"a":"\u0000"}"#)),
            Err(Problem::Nul)
        );
        assert!(scalar_from_json(Codec::Json, "jsonb", &json(r#"{"a":"\\u0000"}"#)).is_ok());
    }

    #[test]
    fn lists_become_arrays_of_at_most_six_dimensions() {
        let array = |text: &str| scalar_from_json(Codec::Text, "_text", &json(text));
        assert_eq!(
            array(r#"[["a", "b,\"}"], [null, 1], []]"#),
            Ok(r#"{{"a","b,\"}"},{NULL,"1"},{}}"#.to_owned())
        );
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(array(&nested(6)).is_ok());
        assert_eq!(array(&nested(7)), Err(Problem::TooManyDimensions { limit: 6 }));
        assert_eq!(array(&nested(100)), Err(Problem::TooManyDimensions { limit: 6 }));
    }

    #[test]
    fn duplicate_keys_are_refused() {
        assert_eq!(
            json_entries(r#"{"a":1,"a":2}"#).map(|_| ()),
            Err(Problem::DuplicateKey("a".to_owned()))
        );
    }

    #[test]
    fn json_paths() {
        for (path, keys) in [
            ("$", "{}"),
            ("$.a.b", r#"{"a","b"}"#),
            (".a", r#"{"a"}"#),
            ("a[0].b", r#"{"a","0","b"}"#),
            ("$['a b'][\"c\"]", r#"{"a b","c"}"#),
            (r"$['it\'s']", r#"{"it's"}"#),
            ("[1]", r#"{"1"}"#),
        ] {
            assert_eq!(json_path(path).expect(path), keys);
        }
        for bad in ["$.", "a..b", "[x]", "[", "['a'", "['a'b]", "[]", "$[-1]"] {
            assert!(json_path(bad).is_err(), "{bad}");
        }
    }
}
