//! Scalars: GraphQL and JSON values → text for Postgres.
//!
//! What a scalar takes, and the words for what it does not, are Hasura's: a
//! string is left to Postgres to read, whatever the scalar; any other value has
//! to be of the scalar's own kind.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::graphql::Value;
use crate::schema::geojson;
use crate::schema::scalars::{is_hexadecimal, is_label_path};
use crate::schema::types::{Codec, ScalarType};

use super::error::Problem;
use super::input::{push_array_element, push_array_null};
use super::json::{JsonKind, has_escaped_nul, json_elements, json_kind, json_string};

/// What a value of a request is, for "but found …".
pub(crate) fn describe_json(kind: JsonKind) -> &'static str {
    match kind {
        JsonKind::Null => "null",
        JsonKind::Boolean => "a boolean",
        JsonKind::Number => "a number",
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

/// What JSON calls a literal.
fn kind_of(value: &Value) -> JsonKind {
    match value {
        Value::Null | Value::Variable(_) => JsonKind::Null,
        Value::Boolean(_) => JsonKind::Boolean,
        Value::Int(_) | Value::Float(_) => JsonKind::Number,
        Value::String(_) | Value::Enum(_) => JsonKind::String,
        Value::List(_) => JsonKind::List,
        Value::Object(_) => JsonKind::Object,
    }
}

/// A JSON value of a scalar type as text; the caller has dealt with null.
pub(crate) fn scalar_from_json(scalar: &ScalarType, raw: &RawValue) -> Result<String, Problem> {
    let text = raw.get().trim();
    match (scalar.codec, json_kind(raw)) {
        (Codec::Json, _) if has_escaped_nul(text) => Err(Problem::Nul),
        (Codec::Json, _) => Ok(text.to_owned()),
        (Codec::GeoJson, JsonKind::Object) => {
            geojson::ewkt_of_text(text).map_err(|error| Problem::NotGeoJson(error.to_string()))
        }
        (_, JsonKind::String) => from_string(scalar, json_string(raw)?),
        (Codec::Int | Codec::Float | Codec::Number, JsonKind::Number) => from_number(scalar, text),
        (Codec::Boolean, JsonKind::Boolean) => Ok(text.to_owned()),
        (Codec::Id, JsonKind::Number) if is_integer(text) => Ok(text.to_owned()),
        (_, JsonKind::List) if scalar.array => {
            let mut out = String::new();
            array_from_json(&mut out, raw, 1)?;
            Ok(out)
        }
        (_, kind) => Err(unreadable(scalar, kind)),
    }
}

/// A literal of a scalar type other than JSON as text; the caller has dealt
/// with null and variables.
pub(crate) fn scalar_from_literal(scalar: &ScalarType, value: &Value) -> Result<String, Problem> {
    match (scalar.codec, value) {
        (_, Value::String(text)) => from_string(scalar, Cow::Borrowed(text)),
        (Codec::Text, Value::Enum(word)) => Ok(word.to_string()),
        (Codec::Int | Codec::Float | Codec::Number, Value::Int(text) | Value::Float(text)) => {
            from_number(scalar, text)
        }
        (Codec::Boolean, Value::Boolean(value)) => Ok(value.to_string()),
        (Codec::Id, Value::Int(text)) => Ok(text.to_string()),
        (_, Value::List(items)) if scalar.array => {
            let mut out = String::new();
            array_from_literal(&mut out, items, 1)?;
            Ok(out)
        }
        (_, value) => Err(unreadable(scalar, kind_of(value))),
    }
}

fn is_integer(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

/// The type of Postgres behind a scalar, where it is one of Postgres' own.
fn own_type(scalar: &ScalarType) -> Option<&str> {
    (scalar.sql.name.schema.as_str() == "pg_catalog").then(|| scalar.sql.name.name.as_str())
}

fn unreadable(scalar: &ScalarType, kind: JsonKind) -> Problem {
    let found = match kind {
        JsonKind::Null => "Null",
        JsonKind::Boolean => "Boolean",
        JsonKind::Number => "Number",
        JsonKind::String => "String",
        JsonKind::List => "Array",
        JsonKind::Object => "Object",
    };
    let own = own_type(scalar);
    let (what, expected) = match (scalar.codec, own) {
        (Codec::Int, _) => ("Integer expected for input type: integer", "Number"),
        (Codec::Number, Some("int2")) => ("Integer expected for input type: smallint", "Number"),
        (Codec::Number, Some("int8")) => ("Integer expected for input type: bigint", "Number"),
        (Codec::Float, _) => ("Float expected for input type: real", "Number"),
        (Codec::Number, Some("float8")) => {
            ("Float expected for input type: double precision", "Number")
        }
        (Codec::Number, _) => ("Scientific", "Number"),
        (Codec::Boolean, _) => ("Bool", "Boolean"),
        (Codec::String, _) => ("Text", "String"),
        (_, Some("bpchar")) => ("Char", "String"),
        (_, Some("uuid")) => ("UUID", "String"),
        (_, Some("date")) => ("Day", "String"),
        (_, Some("timestamp")) => ("LocalTime", "String"),
        (_, Some("timestamptz")) => ("UTCTime", "String"),
        (_, Some("timetz")) => ("ZonedTimeOfDay", "String"),
        _ => return Problem::StringExpected(scalar.name.to_string()),
    };
    Problem::Unreadable { what, expected, found }
}

fn from_string(scalar: &ScalarType, text: Cow<'_, str>) -> Result<String, Problem> {
    if text.contains('\0') {
        return Err(Problem::Nul);
    }
    if scalar.codec == Codec::Boolean {
        return boolean(&text)
            .map(|value| value.to_string())
            .ok_or_else(|| Problem::NotABoolean(text.into_owned()));
    }
    if scalar.operators.ltree && !is_label_path(&text) {
        return Err(Problem::LabelPath);
    }
    if scalar.operators.raster && !is_hexadecimal(&text) {
        return Err(Problem::NoRaster);
    }
    Ok(text.into_owned())
}

/// What Postgres reads as a boolean.
fn boolean(text: &str) -> Option<bool> {
    let word = text.trim_ascii().to_ascii_lowercase();
    let starts = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if word == "1" || word == "on" || starts("true", 1) || starts("yes", 1) {
        Some(true)
    } else if word == "0" || starts("off", 2) || starts("false", 1) || starts("no", 1) {
        Some(false)
    } else {
        None
    }
}

/// A number as it was sent, unless it has to be an integer.
fn from_number(scalar: &ScalarType, text: &str) -> Result<String, Problem> {
    let (least, most) = match (scalar.codec, own_type(scalar)) {
        (Codec::Int, _) => (i128::from(i32::MIN), i128::from(i32::MAX)),
        (Codec::Number, Some("int2")) => (i128::from(i16::MIN), i128::from(i16::MAX)),
        (Codec::Number, Some("int8")) => (i128::from(i64::MIN), i128::from(i64::MAX)),
        (Codec::Number, Some("money")) => return Ok(fixed(text)),
        _ => return Ok(text.to_owned()),
    };
    match integral(text) {
        Some(value) if (least..=most).contains(&value) => Ok(value.to_string()),
        _ => Err(Problem::IntOutOfBounds(scientific(text))),
    }
}

/// The digits of a number and its exponent: `-1.50e3` is (true, "150", 1).
fn decompose(text: &str) -> (bool, String, i64) {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let shift = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    // An exponent that is no 64-bit number is out of any bounds.
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX / 2).saturating_sub(shift);
    let trimmed = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - trimmed.len()).unwrap_or(i64::MAX);
    let significant = trimmed.trim_start_matches('0').to_owned();
    let exponent = if significant.is_empty() { 0 } else { exponent.saturating_add(zeros) };
    (negative, significant, exponent)
}

/// A number without an exponent, which the type money cannot read; what is far
/// beyond its range stays as it is.
fn fixed(text: &str) -> String {
    const FAR: i64 = 40;
    let (negative, digits, exponent) = decompose(text);
    if !text.contains(['e', 'E']) || !(-FAR..=FAR).contains(&exponent) {
        return text.to_owned();
    }
    let sign = if negative { "-" } else { "" };
    let shift = usize::try_from(exponent.unsigned_abs()).unwrap_or_default();
    if exponent >= 0 {
        return format!("{sign}{digits:0<width$}", width = (digits.len() + shift).max(1));
    }
    let digits = format!("{digits:0>width$}", width = shift + 1);
    let (whole, fraction) = digits.split_at(digits.len() - shift);
    format!("{sign}{whole}.{fraction}")
}

/// The value of a number without a fraction; `5.0` and `1e2` are such.
fn integral(text: &str) -> Option<i128> {
    let (negative, digits, exponent) = decompose(text);
    if digits.is_empty() {
        return Some(0);
    }
    let exponent = usize::try_from(exponent).ok().filter(|zeros| *zeros < 20)?;
    let value: i128 = [digits, "0".repeat(exponent)].concat().parse().ok()?;
    Some(if negative { -value } else { value })
}

/// A number as Hasura shows it in messages: `1.5`, `2.147483648e9`.
fn scientific(text: &str) -> String {
    let (negative, digits, exponent) = decompose(text);
    let Some((first, rest)) = digits.split_at_checked(1).filter(|(first, _)| !first.is_empty())
    else {
        return "0.0".to_owned();
    };
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let point = length.saturating_add(exponent);
    let sign = if negative { "-" } else { "" };
    // From a tenth up to ten millions it stands as it is.
    if (0..=7).contains(&point) {
        let mut whole = digits.clone();
        if let Ok(zeros) = usize::try_from(exponent) {
            whole.push_str(&"0".repeat(zeros));
        }
        let at = usize::try_from(point).unwrap_or(0).min(whole.len());
        let (whole, fraction) = whole.split_at(at);
        let whole = if whole.is_empty() { "0" } else { whole };
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        return format!("{sign}{whole}.{fraction}");
    }
    let rest = if rest.is_empty() { "0" } else { rest };
    format!("{sign}{first}.{rest}e{}", point - 1)
}

/// What Postgres allows.
const MAX_DIMENSIONS: usize = 6;

/// Appends a list as an array literal; lists inside are its further dimensions.
fn array_from_json(out: &mut String, raw: &RawValue, dimension: usize) -> Result<(), Problem> {
    if dimension > MAX_DIMENSIONS {
        return Err(Problem::TooManyDimensions { limit: MAX_DIMENSIONS });
    }
    open_array(out);
    for element in json_elements(raw)? {
        let text = element.get().trim();
        match json_kind(element) {
            JsonKind::Null => push_array_null(out),
            JsonKind::List => array_from_json(out, element, dimension + 1)?,
            JsonKind::String => push_element(out, &json_string(element)?)?,
            JsonKind::Boolean | JsonKind::Number => push_element(out, text)?,
            // An element of a JSON array.
            JsonKind::Object if has_escaped_nul(text) => return Err(Problem::Nul),
            JsonKind::Object => push_array_element(out, text),
        }
    }
    out.push('}');
    Ok(())
}

/// As [`array_from_json`], of a list in the document.
fn array_from_literal(out: &mut String, items: &[Value], dimension: usize) -> Result<(), Problem> {
    if dimension > MAX_DIMENSIONS {
        return Err(Problem::TooManyDimensions { limit: MAX_DIMENSIONS });
    }
    open_array(out);
    for item in items {
        match item {
            Value::Null => push_array_null(out),
            Value::List(items) => array_from_literal(out, items, dimension + 1)?,
            Value::String(text) | Value::Int(text) | Value::Float(text) => push_element(out, text)?,
            Value::Enum(word) => push_element(out, word)?,
            Value::Boolean(value) => push_array_element(out, if *value { "true" } else { "false" }),
            Value::Variable(_) | Value::Object(_) => return Err(Problem::ArrayItem),
        }
    }
    out.push('}');
    Ok(())
}

fn push_element(out: &mut String, text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::Nul);
    }
    push_array_element(out, text);
    Ok(())
}

fn open_array(out: &mut String) {
    if out.ends_with('}') || out.ends_with('"') || out.ends_with("NULL") {
        out.push(',');
    }
    out.push('{');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::types::{Operators, ScalarId};
    use crate::sql::{QualifiedName, SqlType};

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("valid JSON")
    }

    /// A scalar over a type of Postgres.
    fn scalar(pg: &str, codec: Codec) -> ScalarType {
        let name = QualifiedName::new(&"pg_catalog".into(), &pg.into()).expect("a name");
        ScalarType {
            id: ScalarId(0),
            name: pg.into(),
            description: None,
            codec,
            sql: SqlType { name, array: false },
            array: pg.starts_with('_'),
            listed_as_text: pg.starts_with('_'),
            operators: Operators { ltree: pg == "ltree", ..Operators::none() },
            numeric: false,
            extremes: false,
        }
    }

    fn read(pg: &str, codec: Codec, text: &str) -> Result<String, String> {
        scalar_from_json(&scalar(pg, codec), &json(text)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn numbers_keep_their_text() {
        for text in ["123456789012345678901234567890.10", "1e400", "-0.0"] {
            assert_eq!(read("numeric", Codec::Number, text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn money_has_no_exponent() {
        for (text, fixed) in [
            ("-2E-2", "-0.02"),
            ("1.25e1", "12.5"),
            ("3e2", "300"),
            ("0e5", "0"),
            ("-1.10", "-1.10"),
            ("1e900", "1e900"),
        ] {
            assert_eq!(read("money", Codec::Number, text), Ok(fixed.to_owned()));
        }
    }

    #[test]
    fn integers_are_bounded() {
        const OUTSIDE: &str = "lies outside the bounds or is not an integer.  Maybe it is a float, or is there integer overflow?";
        for (pg, codec, text, shown) in [
            ("int4", Codec::Int, "2147483648", "2.147483648e9"),
            ("int4", Codec::Int, "-2147483649", "-2.147483649e9"),
            ("int4", Codec::Int, "1.5", "1.5"),
            ("int4", Codec::Int, "0.05", "5.0e-2"),
            ("int2", Codec::Number, "32768", "32768.0"),
            ("int8", Codec::Number, "9223372036854775808", "9.223372036854775808e18"),
            ("int8", Codec::Number, "1e99999999999999999999", "1.0e4611686018427387903"),
        ] {
            assert_eq!(read(pg, codec, text), Err(format!("The value {shown} {OUTSIDE}")));
        }
        for (text, value) in [("-7", "-7"), ("5.0", "5"), ("1e2", "100"), ("-0", "0"), ("0.0", "0")]
        {
            assert_eq!(read("int4", Codec::Int, text), Ok(value.to_owned()));
        }
    }

    #[test]
    fn strings_are_left_to_postgres() {
        for (pg, codec) in [
            ("int4", Codec::Int),
            ("int8", Codec::Number),
            ("date", Codec::Text),
            ("text", Codec::String),
        ] {
            assert_eq!(read(pg, codec, r#""abc""#), Ok("abc".to_owned()));
        }
        assert_eq!(read("bool", Codec::Boolean, r#""Yes ""#), Ok("true".to_owned()));
        assert_eq!(read("bool", Codec::Boolean, r#""of""#), Ok("false".to_owned()));
        assert!(read("bool", Codec::Boolean, r#""o""#).is_err());
        assert!(read("ltree", Codec::Text, r#""a..b""#).is_err());
    }

    #[test]
    fn other_values_have_to_be_of_the_scalars_kind() {
        for (pg, codec, text, message) in [
            (
                "int4",
                Codec::Int,
                "true",
                "parsing Integer expected for input type: integer failed, expected Number, but encountered Boolean",
            ),
            (
                "numeric",
                Codec::Number,
                "[]",
                "parsing Scientific failed, expected Number, but encountered Array",
            ),
            (
                "text",
                Codec::String,
                "5",
                "parsing Text failed, expected String, but encountered Number",
            ),
            (
                "bool",
                Codec::Boolean,
                "1",
                "parsing Bool failed, expected Boolean, but encountered Number",
            ),
            (
                "uuid",
                Codec::Text,
                "{}",
                "parsing UUID failed, expected String, but encountered Object",
            ),
            ("interval", Codec::Text, "5", "A string is expected for type: interval"),
        ] {
            assert_eq!(read(pg, codec, text), Err(message.to_owned()));
        }
    }

    #[test]
    fn nul_is_refused_everywhere() {
        let nul = Err(Problem::Nul.to_string());
        assert_eq!(read("text", Codec::String, r#""a\u0000b""#), nul);
        assert_eq!(read("_text", Codec::Text, r#"["a\u0000b"]"#), nul);
        assert_eq!(read("jsonb", Codec::Json, r#"{"a":"\u0000"}"#), nul);
        assert!(read("jsonb", Codec::Json, r#"{"a":"\\u0000"}"#).is_ok());
    }

    #[test]
    fn lists_become_arrays_of_at_most_six_dimensions() {
        let array = |text: &str| read("_text", Codec::Text, text);
        assert_eq!(
            array(r#"[["a", "b,\"}"], [null, 1], []]"#),
            Ok(r#"{{"a","b,\"}"},{NULL,"1"},{}}"#.to_owned())
        );
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(array(&nested(6)).is_ok());
        let problem = Problem::TooManyDimensions { limit: 6 }.to_string();
        assert_eq!(array(&nested(7)), Err(problem.clone()));
        assert_eq!(array(&nested(100)), Err(problem));
    }
}
