//! The whole document: reading versions 2 and 3, writing version 3.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::action::{Action, CustomTypes};
use super::collection::{AllowlistEntry, QueryCollection, RestEndpoint};
use super::event::CronTrigger;
use super::is_default;
use super::source::{DEFAULT_SOURCE, Source};
use super::table::Table;
use super::text::{NonEmpty, QualifiedName};
use crate::base::{ApiError, Code, JsonPath};

/// The version that is written.
const VERSION: u64 = 3;

/// JSON of the wrong shape, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at {path}")]
pub struct ParseError {
    pub path: JsonPath,
    pub message: String,
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        ApiError::new(Code::ParseFailed, error.message).at(error.path)
    }
}

/// Reads a value, with the path of what is wrong.
pub fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, ParseError> {
    serde_path_to_error::deserialize(value).map_err(from_serde)
}

/// The same of JSON as it was sent, in which numbers have all their digits.
pub fn parse_text<T: DeserializeOwned>(text: &str) -> Result<T, ParseError> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(from_serde)
}

fn from_serde(error: serde_path_to_error::Error<serde_json::Error>) -> ParseError {
    let mut path = JsonPath::root();
    for segment in error.path() {
        match segment {
            serde_path_to_error::Segment::Seq { index } => path.push_index(*index),
            serde_path_to_error::Segment::Map { key } => path.push_key(key.clone()),
            serde_path_to_error::Segment::Enum { variant } => path.push_key(variant.clone()),
            serde_path_to_error::Segment::Unknown => {}
        }
    }
    let message = error.into_inner().to_string();
    ParseError { path, message: words(message.split(" at line ").next().unwrap_or(&message)) }
}

/// serde's words for what Hasura says otherwise.
fn words(message: &str) -> String {
    match message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(key) => format!("key \"{key}\" not found"),
        None => message.replace('`', "\""),
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(deserialize_with = "current", default = "Metadata::current")]
    pub version: u64,
    #[serde(default)]
    pub sources: Vec<Source>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub remote_schemas: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_collections: Vec<QueryCollection>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowlist: Vec<AllowlistEntry>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub actions: Vec<Action>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_types: CustomTypes,
    #[serde(default, skip_serializing_if = "is_default")]
    pub cron_triggers: Vec<CronTrigger>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rest_endpoints: Vec<RestEndpoint>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub inherited_roles: Vec<InheritedRole>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub api_limits: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub graphql_schema_introspection: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub metrics_config: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub opentelemetry: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub backend_configs: Option<Value>,
}

/// A role with the permissions of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedRole {
    pub role_name: NonEmpty,
    pub role_set: Vec<NonEmpty>,
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata {
            version: VERSION,
            sources: Vec::new(),
            remote_schemas: Vec::new(),
            query_collections: Vec::new(),
            allowlist: Vec::new(),
            actions: Vec::new(),
            custom_types: CustomTypes::default(),
            cron_triggers: Vec::new(),
            rest_endpoints: Vec::new(),
            inherited_roles: Vec::new(),
            api_limits: None,
            graphql_schema_introspection: None,
            metrics_config: None,
            network: None,
            opentelemetry: None,
            backend_configs: None,
        }
    }
}

impl Metadata {
    /// Metadata without anything but the database that the server was given.
    pub fn empty() -> Self {
        Metadata {
            sources: vec![Source::new(DEFAULT_SOURCE, default_configuration())],
            ..Metadata::default()
        }
    }

    /// Reads a document of version 2 or 3, or of no version, which means 2
    /// when it has `tables`.
    pub fn from_json(document: &Value) -> Result<Self, ParseError> {
        match version_of(document.get("version"), document.get("sources").is_some())? {
            VERSION => parse(document),
            _ => parse(&single_source(document)?),
        }
    }

    /// The same of text. A document of version 3 becomes no tree in between,
    /// which would be many times as large.
    pub fn from_text(document: &str) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        struct Outline {
            #[serde(default)]
            version: Option<Value>,
            #[serde(default, deserialize_with = "is_there")]
            sources: bool,
        }
        let outline: Option<Outline> = serde_json::from_str(document).ok();
        if let Some(outline) = outline
            && version_of(outline.version.as_ref(), outline.sources)? == VERSION
        {
            return parse_text(document);
        }
        let document: Value = parse_text(document)?;
        Metadata::from_json(&document)
    }

    /// Takes the tables that another generation has alike from there, so that
    /// there is one copy of each.
    pub fn share(&mut self, other: &Metadata) {
        for source in &mut self.sources {
            let Some(other) = other.source(&source.name) else { continue };
            let known: HashMap<&QualifiedName, &Arc<Table>> =
                other.tables.iter().map(|table| (&table.table, table)).collect();
            for table in &mut source.tables {
                if let Some(same) = known.get(&table.table).filter(|known| ***known == *table) {
                    *table = Arc::clone(same);
                }
            }
        }
    }

    /// The version that is written.
    fn current() -> u64 {
        VERSION
    }

    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| *source.name == *name)
    }

    pub fn source_mut(&mut self, name: &str) -> Option<&mut Source> {
        self.sources.iter_mut().find(|source| *source.name == *name)
    }
}

/// The configuration of the default source: the server's own database.
pub fn default_configuration() -> Value {
    json!({"connection_info": {
        "use_prepared_statements": true,
        "database_url": {"from_env": "HASURA_GRAPHQL_DATABASE_URL"},
        "isolation_level": "read-committed",
    }})
}

/// Whatever a document of the current version says of it.
fn current<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| VERSION)
}

/// A key is there, whatever it holds.
pub fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The version of a document: 3 with `sources`, else 2, when it says nothing.
fn version_of(given: Option<&Value>, has_sources: bool) -> Result<u64, ParseError> {
    let version = match given {
        None | Some(Value::Null) => Some(if has_sources { VERSION } else { 2 }),
        Some(given) => given.as_u64().filter(|version| (1..=VERSION).contains(version)),
    };
    version.ok_or_else(|| ParseError {
        path: JsonPath::root().key("version"),
        message: format!("expected 2 or 3, but found {}", given.unwrap_or(&Value::Null)),
    })
}

/// Version 2 knows one database: its tables and functions become a source.
fn single_source(document: &Value) -> Result<Value, ParseError> {
    let Value::Object(map) = document else {
        return Err(ParseError {
            path: JsonPath::root(),
            message: "expected an object with the metadata".to_owned(),
        });
    };
    let mut map = map.clone();
    let mut source = json!({"name": DEFAULT_SOURCE, "configuration": default_configuration()});
    if let Value::Object(source) = &mut source {
        for key in ["tables", "functions"] {
            source.insert(key.to_owned(), map.remove(key).unwrap_or_else(|| json!([])));
        }
    }
    map.insert("sources".to_owned(), json!([source]));
    map.insert("version".to_owned(), VERSION.into());
    Ok(Value::Object(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_becomes_the_default_source() {
        let document = json!({"version": 2, "functions": ["f"], "tables": [{"table": "author"}]});
        let metadata = Metadata::from_json(&document).expect("version 2");
        let source = metadata.source("default").expect("the default source");
        assert_eq!(&*source.tables[0].table.name, "author");
        assert_eq!(&*source.functions[0].function.name, "f");
    }

    #[test]
    fn an_export_gives_back_what_was_put_in() {
        let document = json!({"version": 3, "sources": [{
            "name": "default", "kind": "postgres",
            "tables": [{
                "table": {"schema": "public", "name": "author"},
                "configuration": {"custom_name": "Author", "custom_root_fields": {"select": "authors"}},
                "array_relationships": [{"name": "articles", "using": {"foreign_key_constraint_on":
                    {"table": {"schema": "public", "name": "article"}, "column": "author_id"}}}],
                "select_permissions": [{"role": "user", "permission": {
                    "columns": "*", "filter": {"id": {"_eq": "X-Hasura-User-Id"}}, "allow_aggregations": true}}],
            }],
            "functions": [{"function": {"schema": "public", "name": "f"}}],
            "configuration": {"connection_info": {"database_url": {"from_env": "PG"}}},
        }], "network": {"tls_allowlist": []}});
        let metadata = Metadata::from_json(&document).expect("version 3");
        assert_eq!(serde_json::to_value(&metadata).expect("data"), document);
    }

    #[test]
    fn mistakes_are_told_with_their_path() {
        let document = json!({"version": 3, "sources": [
            {"name": "default", "configuration": {}, "tables": [{"table": {"schema": "x"}}]}]});
        let error = Metadata::from_json(&document).expect_err("no name");
        assert_eq!(error.path.to_string(), "$.sources[0].tables[0].table");
        assert_eq!(error.message, "key \"name\" not found");
    }
}
