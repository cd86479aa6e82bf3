//! Names and texts as metadata writes them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

/// A text that is not empty: names of roles, relationships, collections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, DeriveDeserialize)]
#[serde(try_from = "String")]
pub struct NonEmpty(Arc<str>);

impl NonEmpty {
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, EmptyText> {
        let text = text.into();
        if text.is_empty() { Err(EmptyText) } else { Ok(NonEmpty(text)) }
    }

    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("empty string not allowed")]
pub struct EmptyText;

impl TryFrom<String> for NonEmpty {
    type Error = EmptyText;

    fn try_from(text: String) -> Result<Self, EmptyText> {
        NonEmpty::new(text)
    }
}

impl Deref for NonEmpty {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NonEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `name` alone means the schema `public`; written as `{schema, name}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct QualifiedName {
    pub schema: Arc<str>,
    pub name: Arc<str>,
}

/// The schema of a name that gives none.
pub const DEFAULT_SCHEMA: &str = "public";

impl QualifiedName {
    pub fn new(schema: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        QualifiedName { schema: schema.into(), name: name.into() }
    }
}

/// As messages name it: without `public`.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.schema != DEFAULT_SCHEMA {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for QualifiedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = QualifiedName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or an object with schema and name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<QualifiedName, E> {
                Ok(QualifiedName::new(DEFAULT_SCHEMA, name))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<QualifiedName, A::Error> {
                let (mut schema, mut name) = (None::<Arc<str>>, None::<Arc<str>>);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "schema" => schema = map.next_value()?,
                        "name" => name = Some(map.next_value()?),
                        _ => drop(map.next_value::<de::IgnoredAny>()?),
                    }
                }
                Ok(QualifiedName {
                    schema: schema.unwrap_or_else(|| DEFAULT_SCHEMA.into()),
                    name: name.ok_or_else(|| de::Error::missing_field("name"))?,
                })
            }
        }
        deserializer.deserialize_any(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_of_public() {
        let read = |text: &str| serde_json::from_str::<QualifiedName>(text);
        assert_eq!(read("\"a\"").expect("a name"), QualifiedName::new("public", "a"));
        assert_eq!(read(r#"{"name":"a"}"#).expect("a name"), QualifiedName::new("public", "a"));
        let full = read(r#"{"name":"a","schema":"s"}"#).expect("both");
        assert_eq!(full.to_string(), "s.a");
        assert_eq!(serde_json::to_string(&full).expect("data"), r#"{"schema":"s","name":"a"}"#);
        assert!(read(r#"{"schema":"s"}"#).is_err());
    }

    #[test]
    fn empty_names_are_refused() {
        let error = serde_json::from_str::<NonEmpty>("\"\"").expect_err("empty");
        assert!(error.to_string().starts_with("empty string not allowed"));
    }
}
