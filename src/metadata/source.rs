//! Sources: a database, with the tables and functions tracked in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::parse;
use super::function::Function;
use super::table::Table;
use super::text::QualifiedName;
use super::{is_default, or_default};

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
    pub customization: Option<Value>,
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
}

/// What stands before and after a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Affixes {
    #[serde(default, deserialize_with = "or_default")]
    prefix: String,
    #[serde(default, deserialize_with = "or_default")]
    suffix: String,
}

/// `{root_fields: {namespace, prefix, suffix}, type_names: {prefix, suffix}, naming_convention}`
#[derive(Deserialize)]
struct Customization {
    #[serde(default, deserialize_with = "or_default")]
    root_fields: RootFields,
    #[serde(default, deserialize_with = "or_default")]
    type_names: Affixes,
    #[serde(default)]
    naming_convention: Option<NamingConvention>,
}

#[derive(Default, Deserialize)]
struct RootFields {
    #[serde(default, deserialize_with = "or_default")]
    namespace: String,
    #[serde(flatten)]
    affixes: Affixes,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NamingConvention {
    HasuraDefault,
    GraphqlDefault,
}

impl Affixes {
    pub fn around(&self, name: &str) -> String {
        [&self.prefix, name, &self.suffix].concat()
    }

    /// The name that they are around.
    pub fn within<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())
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
        let Some(written) = self.customization.as_ref().filter(|written| !written.is_null()) else {
            return Ok(Names::default());
        };
        let Customization { root_fields, type_names, naming_convention } =
            parse(written).map_err(|error| format!("customization: {error}"))?;
        if naming_convention == Some(NamingConvention::GraphqlDefault) {
            return Err(
                "the naming convention graphql-default is not supported by this version".to_owned()
            );
        }
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
        Ok(Names { namespace, root_fields, type_names })
    }

    pub fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.iter().find(|table| table.table == *name).map(Arc::as_ref)
    }

    pub fn table_mut(&mut self, name: &QualifiedName) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.table == *name).map(Arc::make_mut)
    }
}
