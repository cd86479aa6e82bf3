//! Which rows an answer shows: their keys, read from its JSON.
//!
//! What a reading gave is all that this looks at, so nothing is learnt here
//! that the subscriber was not told.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::keys::{KeyKind, Value};
use super::routes::Column;
use crate::catalog::model::Oid;

/// Answers that are looked into, in bytes.
const SIZE: usize = 256 * 1024;
/// Rows of one answer whose keys are kept.
const ROWS: usize = 2_000;

/// Where an answer has the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowsAt {
    pub(crate) table: Oid,
    /// Keys from the outermost object to the row or list of rows; lists on the
    /// way are walked through.
    pub(crate) path: Vec<Arc<str>>,
    /// The primary key, in its order.
    pub(crate) key: Vec<KeyField>,
}

/// A column of a key, and its response key in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyField {
    pub(crate) column: Column,
    pub(crate) field: Arc<str>,
}

/// The rows in an answer by table and key; `None` when they are too many, or
/// the keys of some are not there.
pub(super) fn rows_of(answer: &[u8], places: &[RowsAt]) -> Option<Vec<(Oid, Vec<Value>)>> {
    if answer.len() > SIZE {
        return None;
    }
    let answer: &RawValue = serde_json::from_slice(answer).ok()?;
    let mut out = Vec::new();
    for place in places {
        walk(answer, &place.path, place, &mut out)?;
    }
    Some(out)
}

fn walk(
    value: &RawValue,
    path: &[Arc<str>],
    place: &RowsAt,
    out: &mut Vec<(Oid, Vec<Value>)>,
) -> Option<()> {
    match value.get().as_bytes().first()? {
        b'n' => Some(()),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            items.into_iter().try_for_each(|item| walk(item, path, place, out))
        }
        b'{' => {
            let fields = fields(value)?;
            match path.split_first() {
                Some((key, rest)) => walk(fields.get(&**key)?, rest, place, out),
                None => {
                    let cell = |part: &KeyField| cell(fields.get(&*part.field)?, part.column.1);
                    let key = place.key.iter().map(cell).collect::<Option<Vec<_>>>()?;
                    out.push((place.table, key));
                    (out.len() <= ROWS).then_some(())
                }
            }
        }
        _ => None,
    }
}

pub(super) fn fields(value: &RawValue) -> Option<HashMap<&str, &RawValue>> {
    // Names of GraphQL need no escapes.
    serde_json::from_str(value.get()).ok()
}

fn cell(value: &RawValue, kind: KeyKind) -> Option<Value> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => kind.value(&serde_json::from_str::<String>(text).ok()?),
        b'-' | b'0'..=b'9' if kind == KeyKind::Integer => kind.value(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(field: &str, kind: KeyKind) -> KeyField {
        KeyField { column: ("column".into(), kind), field: field.into() }
    }

    fn at(path: &[&str], key: &[(&str, KeyKind)]) -> RowsAt {
        RowsAt {
            table: 1,
            path: path.iter().map(|part| (*part).into()).collect(),
            key: key.iter().map(|(name, kind)| part(name, *kind)).collect(),
        }
    }

    fn keys(answer: &str, place: RowsAt) -> Option<Vec<Vec<Value>>> {
        let rows = rows_of(answer.as_bytes(), &[place])?;
        Some(rows.into_iter().map(|(_, key)| key).collect())
    }

    #[test]
    fn rows_are_found_in_lists_and_objects() {
        let number = |n| vec![Value::Integer(n)];
        let id = [("id", KeyKind::Integer)];
        let answer = r#"{"a":[{"id":1,"x":{"id":7}},{"id":-2,"x":null}],"b":{"id":"3"},"c":null}"#;
        assert_eq!(keys(answer, at(&["a"], &id)), Some(vec![number(1), number(-2)]));
        assert_eq!(keys(answer, at(&["a", "x"], &id)), Some(vec![number(7)]));
        assert_eq!(keys(answer, at(&["b"], &id)), Some(vec![number(3)]));
        assert_eq!(keys(answer, at(&["c"], &id)), Some(vec![]));
        let both = [("t", KeyKind::Text), ("id", KeyKind::Integer)];
        let pair = vec![Value::Text("a\"é".into()), Value::Integer(1)];
        let answer = r#"{"a":[[{"id":1,"t":"a\"\u00e9"}],[]]}"#;
        assert_eq!(keys(answer, at(&["a"], &both)), Some(vec![pair]));
    }

    #[test]
    fn what_has_no_key_is_not_known() {
        let id = [("id", KeyKind::Integer)];
        for answer in [
            r#"{"a":[{"id":null}]}"#,
            r#"{"a":[{"id":1.5}]}"#,
            r#"{"a":[{"other":1}]}"#,
            r#"{"a":7}"#,
            r#"{"b":[]}"#,
            "",
        ] {
            assert_eq!(keys(answer, at(&["a"], &id)), None, "{answer}");
        }
        let many = |n: usize| format!(r#"{{"a":[{}]}}"#, vec![r#"{"id":1}"#; n].join(","));
        assert!(keys(&many(ROWS), at(&["a"], &id)).is_some());
        assert_eq!(keys(&many(ROWS + 1), at(&["a"], &id)), None);
        let long = format!(r#"{{"a":[],"b":"{}"}}"#, "x".repeat(SIZE));
        assert_eq!(keys(&long, at(&["a"], &id)), None);
    }
}
