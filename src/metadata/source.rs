//! Sources: a database, with the tables and functions tracked in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::function::Function;
use super::is_default;
use super::table::Table;
use super::text::QualifiedName;

/// The source that commands mean when they name none.
pub const DEFAULT_SOURCE: &str = "default";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub name: Arc<str>,
    #[serde(default = "postgres")]
    pub kind: Arc<str>,
    #[serde(default)]
    pub tables: Vec<Table>,
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

    pub fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.iter().find(|table| table.table == *name)
    }

    pub fn table_mut(&mut self, name: &QualifiedName) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.table == *name)
    }
}
