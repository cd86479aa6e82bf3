//! The text of a session variable.
//!
//! Postgres receives every variable as text; a list becomes the text of a
//! Postgres array, so that `x = ANY (setting::int[])` and `_in` work.

use serde_json::Value;

/// Why a claim cannot be a session variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VarError {
    #[error("an object cannot be a session variable; send it as a string")]
    Object,
    #[error("expected one value, not a list")]
    List,
    #[error("the parts of a nested list differ in length")]
    Ragged,
}

/// The text of a value; `None` for null.
pub(crate) fn text(value: &Value) -> Result<Option<String>, VarError> {
    match value {
        Value::Array(items) => {
            let mut out = String::new();
            write_array(items, &mut out)?;
            Ok(Some(out))
        }
        other => scalar(other),
    }
}

/// The text of a value that is no list; `None` for null.
pub(crate) fn scalar(value: &Value) -> Result<Option<String>, VarError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(_) => Err(VarError::List),
        Value::Object(_) => Err(VarError::Object),
    }
}

/// The texts of one value or of a flat list.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>, VarError> {
    match value {
        Value::Array(items) => items.iter().filter_map(|item| scalar(item).transpose()).collect(),
        other => Ok(scalar(other)?.into_iter().collect()),
    }
}

fn write_array(items: &[Value], out: &mut String) -> Result<(), VarError> {
    let nested = items.iter().filter_map(Value::as_array).count();
    if nested > 0 {
        let first = items.first().and_then(Value::as_array).map(Vec::len);
        let even = items.iter().all(|item| item.as_array().map(Vec::len) == first);
        if nested != items.len() || !even {
            return Err(VarError::Ragged);
        }
    }
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Value::Array(inner) => write_array(inner, out)?,
            Value::Null => out.push_str("NULL"),
            Value::String(text) => write_element(text, out),
            Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::Object(_) => return Err(VarError::Object),
        }
    }
    out.push('}');
    Ok(())
}

/// Quotes an element where Postgres' array syntax would read it otherwise.
fn write_element(text: &str, out: &mut String) {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '@'));
    if plain {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_postgres_arrays() {
        for (value, expected) in [
            (json!([1, 2]), "{1,2}"),
            (json!([]), "{}"),
            (json!(["a", "b c", "", "NULL", null]), r#"{a,"b c","","NULL",NULL}"#),
            (json!(["a\"b", "c\\d", "{x}", "e,f"]), r#"{"a\"b","c\\d","{x}","e,f"}"#),
            (json!([[1, 2], [3, 4]]), "{{1,2},{3,4}}"),
            (json!([true, 1.5]), "{true,1.5}"),
        ] {
            assert_eq!(text(&value), Ok(Some(expected.to_owned())), "{value}");
        }
        assert_eq!(text(&json!([[1], [2, 3]])), Err(VarError::Ragged));
        assert_eq!(text(&json!([[1], 2])), Err(VarError::Ragged));
        assert_eq!(text(&json!([{"a": 1}])), Err(VarError::Object));
        assert_eq!(text(&json!({"a": 1})), Err(VarError::Object));
    }
}
