//! Sources: a database, with the tables and functions tracked in it.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::parse;
use super::function::Function;
use super::table::Table;
use super::text::QualifiedName;
use super::{is_default, or_default};
use crate::config::NamingConvention;

/// The source that commands mean when they name none.
pub const DEFAULT_SOURCE: &str = "default";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub name: Arc<str>,
    #[serde(default = "postgres")]
    pub kind: Arc<str>,
    /// Shared with the generations of the metadata that have the same.
    #[serde(default)]
    pub tables: Vec<Arc<Table>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub functions: Vec<Function>,
    pub configuration: Value,
    #[serde(default, skip_serializing_if = "is_default")]
    pub customization: Option<Customization>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_tags: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub native_queries: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub stored_procedures: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub logical_models: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub health_check: Option<Value>,
}

/// How names of the schema differ from those of the tables and functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The field at each root that holds the root fields of the source.
    pub namespace: Option<String>,
    pub root_fields: Affixes,
    pub type_names: Affixes,
    /// `None` where the server's default holds.
    pub convention: Option<NamingConvention>,
}

/// What stands before and after a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Affixes {
    #[serde(default, deserialize_with = "or_default")]
    pub prefix: String,
    #[serde(default, deserialize_with = "or_default")]
    pub suffix: String,
}

/// `{root_fields: {namespace, prefix, suffix}, type_names: {prefix, suffix}, naming_convention}`
/// as it was written; the naming convention is one that there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Customization(Map<String, Value>);

#[derive(Deserialize)]
struct Parts {
    #[serde(default, deserialize_with = "or_default")]
    root_fields: RootFields,
    #[serde(default, deserialize_with = "or_default")]
    type_names: Affixes,
    #[serde(default)]
    naming_convention: Option<Convention>,
}

#[derive(Default, Deserialize)]
struct RootFields {
    #[serde(default, deserialize_with = "or_default")]
    namespace: String,
    #[serde(flatten)]
    affixes: Affixes,
}

struct Convention(NamingConvention);

impl<'de> Deserialize<'de> for Convention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const ALL: [NamingConvention; 2] =
            [NamingConvention::HasuraDefault, NamingConvention::GraphqlDefault];
        let word = String::deserialize(deserializer)?;
        ALL.into_iter().find(|known| known.as_str() == word).map(Convention).ok_or_else(|| {
            D::Error::custom(
                "naming_convention can either be \"hasura-default\" or \"graphql-default\"",
            )
        })
    }
}

impl<'de> Deserialize<'de> for Customization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Takes the entries of a customization one by one, so that an error tells
/// which it is about.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Customization;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Customization, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = if key == "naming_convention" {
                let named: Option<Convention> = map.next_value()?;
                named.map_or(Value::Null, |Convention(named)| named.as_str().into())
            } else {
                map.next_value()?
            };
            out.insert(key, value);
        }
        Ok(Customization(out))
    }
}

fn postgres() -> Arc<str> {
    "postgres".into()
}

impl Source {
    pub fn new(name: impl Into<Arc<str>>, configuration: Value) -> Self {
        Source {
            name: name.into(),
            kind: postgres(),
            tables: Vec::new(),
            functions: Vec::new(),
            configuration,
            customization: None,
            query_tags: None,
            native_queries: Vec::new(),
            stored_procedures: Vec::new(),
            logical_models: Vec::new(),
            health_check: None,
        }
    }

    /// What its customization makes of names; an error says what of it cannot
    /// be had.
    pub fn names(&self) -> Result<Names, String> {
        let Some(Customization(written)) = &self.customization else {
            return Ok(Names::default());
        };
        let Parts { root_fields, type_names, naming_convention } =
            parse(&Value::Object(written.clone()))
                .map_err(|error| format!("customization: {error}"))?;
        let convention = naming_convention.map(|Convention(named)| named);
        let RootFields { namespace, affixes: root_fields } = root_fields;
        let affixes = [&root_fields, &type_names];
        let texts = affixes.into_iter().flat_map(|affixes| [&affixes.prefix, &affixes.suffix]);
        for text in texts.chain([&namespace]).filter(|text| !text.is_empty()) {
            let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !text.starts_with(|c: char| c.is_ascii_digit());
            if !legal {
                return Err(format!("customization: \"{text}\" is not a valid GraphQL name"));
            }
        }
        if namespace.starts_with("__") {
            return Err(format!(
                "customization: the namespace \"{namespace}\" begins with \"__\", as names of introspection do"
            ));
        }
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        Ok(Names { namespace, root_fields, type_names, convention })
    }

    pub fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.iter().find(|table| table.table == *name).map(Arc::as_ref)
    }

    pub fn table_mut(&mut self, name: &QualifiedName) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.table == *name).map(Arc::make_mut)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn customizations_have_a_naming_convention_that_there_is() {
        let read = |naming: Value| {
            parse::<Source>(&json!({"name": "a", "configuration": {}, "customization":
                {"naming_convention": naming, "type_names": {"prefix": "A"}}}))
        };
        let convention = |naming: Value| read(naming).unwrap().names().unwrap().convention;
        assert_eq!(convention(json!("graphql-default")), Some(NamingConvention::GraphqlDefault));
        assert_eq!(convention(json!("hasura-default")), Some(NamingConvention::HasuraDefault));
        assert_eq!(convention(Value::Null), None);
        for wrong in [json!("GRAPHQL-DEFAULT"), json!("camel"), json!("")] {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.path.to_string(), "$.customization.naming_convention");
            assert_eq!(
                error.message,
                "naming_convention can either be \"hasura-default\" or \"graphql-default\""
            );
        }
        assert!(read(json!(1)).is_err() && read(json!({})).is_err());
        let written = json!({"naming_convention": "graphql-default", "type_names": {"prefix": "A"}, "new": [1]});
        let read: Customization = parse(&written).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written);
    }
}
