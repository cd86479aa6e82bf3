//! The functions that every template has.

use serde_json::{Map, Number, Value};

use super::eval::kind;

type Made = Result<Value, String>;

/// Calls a function; `None` when there is none of the name.
pub(super) fn call(name: &str, value: Value) -> Option<Made> {
    Some(match name {
        "not" => match value {
            Value::Bool(truth) => Ok(Value::Bool(!truth)),
            other => Err(expected("Bool", &other)),
        },
        "empty" => empty(&value),
        "size" => Ok(Value::Number(size(&value))),
        "inverse" => inverse(value),
        "head" => head(value),
        "tail" => tail(value),
        "toCaseFold" | "toLower" => text(value, |text| text.to_lowercase()),
        "toUpper" => text(value, |text| text.to_uppercase()),
        "toTitle" => text(value, title),
        "escapeUri" => text(value, escape),
        "toPairs" => match value {
            Value::Object(map) => {
                let pair = |(key, value)| Value::Array(vec![Value::String(key), value]);
                Ok(Value::Array(map.into_iter().map(pair).collect()))
            }
            other => Err(expected("Object", &other)),
        },
        "fromPairs" => from_pairs(value),
        "removeNulls" => match value {
            Value::Array(mut items) => {
                items.retain(|item| !item.is_null());
                Ok(Value::Array(items))
            }
            other => Err(expected("Array", &other)),
        },
        "concat" => concat(value),
        _ => return None,
    })
}

fn expected(what: &str, found: &Value) -> String {
    format!("parsing {what} failed, expected {what}, but encountered {}", kind(found))
}

fn text(value: Value, make: impl FnOnce(&str) -> String) -> Made {
    match value {
        Value::String(text) => Ok(Value::String(make(&text))),
        other => Err(expected("String", &other)),
    }
}

/// Everything but unreserved characters as `%XX`.
fn escape(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, &KEPT).to_string()
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic() || (inside && c == '\'');
    }
    out
}

fn empty(value: &Value) -> Made {
    Ok(Value::Bool(match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.trim().is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Null => true,
        Value::Bool(_) => return Err("Cannot define emptiness for a boolean".to_owned()),
    }))
}

fn size(value: &Value) -> Number {
    match value {
        Value::Object(map) => map.len().into(),
        Value::Array(items) => items.len().into(),
        Value::String(text) => text.chars().count().into(),
        Value::Number(number) => number.clone(),
        Value::Bool(truth) => u64::from(*truth).into(),
        Value::Null => 0.into(),
    }
}

fn inverse(value: Value) -> Made {
    Ok(match value {
        Value::Array(mut items) => {
            items.reverse();
            Value::Array(items)
        }
        Value::String(text) => Value::String(text.chars().rev().collect()),
        Value::Number(number) => {
            let inverse = number.as_f64().map(|number| 1.0 / number).and_then(Number::from_f64);
            match inverse {
                Some(inverse) => Value::Number(inverse),
                None => return Err(format!("{number} has no inverse")),
            }
        }
        Value::Bool(truth) => Value::Bool(!truth),
        other @ (Value::Object(_) | Value::Null) => other,
    })
}

fn head(value: Value) -> Made {
    match value {
        Value::Array(items) => items.into_iter().next().ok_or_else(|| "Empty array".to_owned()),
        Value::String(text) => match text.chars().next() {
            Some(first) => Ok(Value::String(first.into())),
            None => Err("Empty string".to_owned()),
        },
        _ => Err("Expected an array or string".to_owned()),
    }
}

fn tail(value: Value) -> Made {
    match value {
        Value::Array(items) if items.is_empty() => Err("Empty array".to_owned()),
        Value::Array(items) => Ok(Value::Array(items.into_iter().skip(1).collect())),
        Value::String(text) if text.is_empty() => Err("Empty string".to_owned()),
        Value::String(text) => Ok(Value::String(text.chars().skip(1).collect())),
        _ => Err("Expected an array or string".to_owned()),
    }
}

fn from_pairs(value: Value) -> Made {
    const SHAPE: &str = "Expected an array of shape [ [k1,v1], [k2,v2] ... ] - With String keys.";
    let Value::Array(pairs) = value else { return Err(expected("Nested Arrays", &value)) };
    let mut out = Map::with_capacity(pairs.len());
    for pair in pairs {
        let Value::Array(pair) = pair else { return Err(expected("Array of Pair", &pair)) };
        let [key, value]: [Value; 2] = pair.try_into().map_err(|_| SHAPE.to_owned())?;
        let Value::String(key) = key else { return Err(SHAPE.to_owned()) };
        out.insert(key, value);
    }
    Ok(Value::Object(out))
}

/// Arrays end to end, texts end to end, or objects over each other.
fn concat(value: Value) -> Made {
    let Value::Array(items) = value else { return Err(expected("Array", &value)) };
    let mut items = items.into_iter();
    let Some(mut joined) = items.next() else { return Ok(Value::Array(Vec::new())) };
    if !matches!(joined, Value::Array(_) | Value::String(_) | Value::Object(_)) {
        return Err(expected("Nested Object", &joined));
    }
    for item in items {
        match (&mut joined, item) {
            (Value::Array(all), Value::Array(more)) => all.extend(more),
            (Value::String(all), Value::String(more)) => all.push_str(&more),
            (Value::Object(all), Value::Object(more)) => all.extend(more),
            (all, other) => return Err(expected(&format!("Nested {}", kind(all)), &other)),
        }
    }
    Ok(joined)
}
