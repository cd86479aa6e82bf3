//! JSON that is kept as it is written: conditions, which get a meaning where
//! the table's columns are known.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A JSON value as compact text, which takes a tenth of the room that its tree
/// would. Copies share the text.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    pub fn new(value: &Value) -> Result<Self, serde_json::Error> {
        to_raw_value(value).map(|text| Json(text.into()))
    }

    /// `{}`
    pub(super) fn everything() -> Self {
        // An empty map is always written.
        let text = to_raw_value(&serde_json::Map::new());
        Json(text.unwrap_or_else(|_| RawValue::NULL.to_owned()).into())
    }

    pub fn text(&self) -> &str {
        self.0.get()
    }

    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }

    /// The tree, made anew each time.
    pub fn value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.text())
    }

    /// Lets `change` work on the tree.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) -> Result<(), serde_json::Error> {
        let before = self.value()?;
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            *self = Json::new(&after)?;
        }
        Ok(())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.text() == other.text()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Json::new(&value).map_err(D::Error::custom)
    }
}
