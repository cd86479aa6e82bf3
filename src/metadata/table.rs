//! Tracked tables and their configuration.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::EventTrigger;
use super::function::ComputedField;
use super::is_default;
use super::permission::{
    DeletePermission, InsertPermission, Permission, SelectPermission, UpdatePermission,
};
use super::relationship::Relationship;
use super::text::QualifiedName;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub table: QualifiedName,
    #[serde(default, skip_serializing_if = "is_default")]
    pub is_enum: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub configuration: TableConfiguration,
    #[serde(default, skip_serializing_if = "is_default")]
    pub object_relationships: Vec<Relationship>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub array_relationships: Vec<Relationship>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub computed_fields: Vec<ComputedField>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub remote_relationships: Vec<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub insert_permissions: Vec<Permission<InsertPermission>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub select_permissions: Vec<Permission<SelectPermission>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub update_permissions: Vec<Permission<UpdatePermission>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub delete_permissions: Vec<Permission<DeletePermission>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub event_triggers: Vec<EventTrigger>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub apollo_federation_config: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub logical_model: Option<Value>,
}

impl Table {
    pub fn new(table: QualifiedName) -> Self {
        Table {
            table,
            is_enum: false,
            configuration: TableConfiguration::default(),
            object_relationships: Vec::new(),
            array_relationships: Vec::new(),
            computed_fields: Vec::new(),
            remote_relationships: Vec::new(),
            insert_permissions: Vec::new(),
            select_permissions: Vec::new(),
            update_permissions: Vec::new(),
            delete_permissions: Vec::new(),
            event_triggers: Vec::new(),
            apollo_federation_config: None,
            logical_model: None,
        }
    }

    /// The relationships of both kinds.
    pub fn relationships(&self) -> impl Iterator<Item = &Relationship> {
        self.object_relationships.iter().chain(&self.array_relationships)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableConfiguration {
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_name: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_root_fields: RootNames,
    /// The older form of the names in `column_config`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_column_names: IndexMap<Arc<str>, Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub column_config: IndexMap<Arc<str>, ColumnConfiguration>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

impl TableConfiguration {
    /// The GraphQL name that a column was given.
    pub fn column_name(&self, column: &str) -> Option<&Arc<str>> {
        self.column_config
            .get(column)
            .and_then(|config| config.custom_name.as_ref())
            .or_else(|| self.custom_column_names.get(column))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnConfiguration {
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_name: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

/// Names of root fields that differ from the generated ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootNames {
    #[serde(default, skip_serializing_if = "is_default")]
    pub select: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub select_by_pk: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub select_aggregate: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub select_stream: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub insert: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub insert_one: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub update: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub update_by_pk: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub update_many: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub delete: Option<RootName>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub delete_by_pk: Option<RootName>,
}

/// A name, or a name with a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RootName {
    Name(Arc<str>),
    Described {
        #[serde(default)]
        name: Option<Arc<str>>,
        #[serde(default)]
        comment: Option<String>,
    },
}

impl RootName {
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            RootName::Name(name) => Some(name),
            RootName::Described { name, .. } => name.as_ref(),
        }
    }

    pub fn comment(&self) -> Option<&str> {
        match self {
            RootName::Name(_) => None,
            RootName::Described { comment, .. } => comment.as_deref(),
        }
    }
}
