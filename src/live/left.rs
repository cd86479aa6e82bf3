//! What a stream has sent, and which of it has left: rows that are gone, no
//! longer visible or no longer asked for, which nobody is told apart.
//!
//! Keys are remembered as they were sent, and only those that were; so nothing
//! can be told of a row that its subscriber did not have.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::answer::fields;
use crate::base::ApiError;

/// Rows of one stream that are remembered.
const ROWS: usize = 1_000;

/// Where a batch has its rows, and their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeysAt {
    /// Keys from the outermost object to the list of rows.
    pub(crate) path: Vec<Arc<str>>,
    /// The response keys of the primary key.
    pub(crate) fields: Arc<[Arc<str>]>,
}

/// The JSON texts of a row's primary key.
pub(super) type SentKey = Arc<[Box<str>]>;

/// The rows that a stream has sent last.
#[derive(Debug)]
pub(crate) struct Sent {
    at: KeysAt,
    next: u64,
    by_key: HashMap<SentKey, u64>,
    by_age: BTreeMap<u64, SentKey>,
}

impl Sent {
    pub(crate) fn new(at: KeysAt) -> Self {
        Sent { at, next: 0, by_key: HashMap::new(), by_age: BTreeMap::new() }
    }

    /// Where it finds the keys.
    pub(crate) fn at(&self) -> &KeysAt {
        &self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// One column of the keys, as Postgres reads it.
    pub(crate) fn texts(&self, column: usize) -> Result<Vec<Cow<'_, str>>, ApiError> {
        let texts = self.by_age.values().filter_map(|key| key.get(column));
        texts
            .map(|text| match text.starts_with('"') {
                true => serde_json::from_str(text).map(Cow::Owned).map_err(unreadable),
                false => Ok(Cow::Borrowed(&**text)),
            })
            .collect()
    }

    /// The keys in a batch. A row whose key is hidden from the role has none.
    pub(super) fn keys_of(&self, batch: &[u8]) -> Result<Vec<SentKey>, ApiError> {
        let mut value: &RawValue = serde_json::from_slice(batch).map_err(unreadable)?;
        for key in &self.at.path {
            let inside = fields(value).and_then(|fields| fields.get(&**key).copied());
            value = inside.ok_or_else(|| ApiError::internal("a batch without its rows"))?;
        }
        self.keys_in(value)
    }

    fn keys_in(&self, rows: &RawValue) -> Result<Vec<SentKey>, ApiError> {
        let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).map_err(unreadable)?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let fields = fields(row).ok_or_else(|| ApiError::internal("a row without fields"))?;
            let key = self.at.fields.iter().map(|field| match fields.get(&**field) {
                Some(cell) if cell.get() != "null" => Some(Box::from(cell.get())),
                _ => None,
            });
            keys.extend(key.collect::<Option<SentKey>>());
        }
        Ok(keys)
    }

    /// The keys that are not among those of `still`, a JSON list of rows, nor in
    /// the batch that comes now; oldest first.
    pub(super) fn missing(
        &self,
        still: &[u8],
        batch: &[SentKey],
    ) -> Result<Vec<SentKey>, ApiError> {
        let still: &RawValue = serde_json::from_slice(still).map_err(unreadable)?;
        let mut there: HashSet<SentKey> = self.keys_in(still)?.into_iter().collect();
        there.extend(batch.iter().cloned());
        Ok(self.by_age.values().filter(|key| !there.contains(*key)).cloned().collect())
    }

    /// Those of a batch are sent, and those that have left are told of: what is
    /// told, if there are any.
    pub(super) fn turn(&mut self, left: &[SentKey], batch: Vec<SentKey>) -> Option<String> {
        for key in left {
            self.forget(key);
        }
        for key in batch {
            self.forget(&key);
            self.by_key.insert(key.clone(), self.next);
            self.by_age.insert(self.next, key);
            self.next += 1;
        }
        while self.by_age.len() > ROWS
            && let Some((_, key)) = self.by_age.pop_first()
        {
            self.by_key.remove(&key);
        }
        (!left.is_empty()).then(|| self.told(left))
    }

    fn forget(&mut self, key: &SentKey) {
        if let Some(age) = self.by_key.remove(key) {
            self.by_age.remove(&age);
        }
    }

    /// `[{"op": "LEAVE", "key": {…}}, …]`. Names of GraphQL need no escapes, and
    /// the values are JSON.
    fn told(&self, left: &[SentKey]) -> String {
        let mut out = String::from("[");
        for key in left {
            out.push_str(if out.len() > 1 { ",{" } else { "{" });
            out.push_str(r#""op":"LEAVE","key":{"#);
            for (index, (field, text)) in self.at.fields.iter().zip(&**key).enumerate() {
                out.push_str(if index > 0 { ",\"" } else { "\"" });
                out.push_str(field);
                out.push_str("\":");
                out.push_str(text);
            }
            out.push_str("}}");
        }
        out.push(']');
        out
    }
}

fn unreadable(error: serde_json::Error) -> ApiError {
    ApiError::internal(format!("the rows of a stream cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(fields: &[&str]) -> Sent {
        let fields = fields.iter().map(|field| Arc::from(*field)).collect();
        Sent::new(KeysAt { path: vec!["a".into(), "rows".into()], fields })
    }

    fn take(sent: &mut Sent, rows: &str) {
        let batch = format!(r#"{{"a":{{"rows":{rows}}}}}"#);
        let keys = sent.keys_of(batch.as_bytes()).expect("keys");
        sent.turn(&[], keys);
    }

    #[test]
    fn what_is_not_there_any_more_is_told_once_and_as_it_was_sent() {
        let mut sent = sent(&["id", "t"]);
        take(
            &mut sent,
            r#"[{"id":1,"t":"a\"\u00e9","x":{}},{"t":"b","id":12345678901234567890.10}]"#,
        );
        assert_eq!(sent.texts(0).expect("texts"), ["1", "12345678901234567890.10"]);
        assert_eq!(sent.texts(1).expect("texts"), ["a\"é", "b"]);
        let left = sent.missing(br#"[{"id":1,"t":"a\"\u00e9"}]"#, &[]).expect("keys");
        let told = r#"[{"op":"LEAVE","key":{"id":12345678901234567890.10,"t":"b"}}]"#;
        assert_eq!(sent.told(&left), told);
        sent.turn(&left, Vec::new());
        let left = sent.missing(b"[]", &[]).expect("keys");
        assert_eq!(sent.told(&left), r#"[{"op":"LEAVE","key":{"id":1,"t":"a\"\u00e9"}}]"#);
        // What comes in the same frame is there.
        assert!(sent.missing(b"[]", &left).expect("keys").is_empty());
    }

    #[test]
    fn the_oldest_are_forgotten_and_hidden_keys_are_not_kept() {
        let mut sent = sent(&["id"]);
        take(&mut sent, r#"[{"id":null}]"#);
        assert!(sent.is_empty());
        let rows: Vec<String> = (0..ROWS + 2).map(|id| format!(r#"{{"id":{id}}}"#)).collect();
        take(&mut sent, &format!("[{}]", rows.join(",")));
        // One that comes again is new again.
        take(&mut sent, r#"[{"id":2},{"id":-1}]"#);
        let kept = sent.texts(0).expect("texts");
        assert_eq!((kept.len(), &*kept[0], &*kept[ROWS - 1]), (ROWS, "4", "-1"));
        assert_eq!(kept[ROWS - 2], "2");
    }
}
