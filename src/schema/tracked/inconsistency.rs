//! Parts of the metadata that the database does not bear out, in Hasura's
//! words.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::metadata::QualifiedName;

/// What a part of the metadata is; the word of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Source,
    Table,
    ObjectRelation,
    ArrayRelation,
    RemoteRelationship,
    ComputedField,
    SelectPermission,
    InsertPermission,
    UpdatePermission,
    DeletePermission,
    EventTrigger,
    CronTrigger,
    Function,
    FunctionPermission,
    RemoteSchema,
    CustomTypes,
    Action,
    ActionPermission,
    InheritedRole,
    Endpoint,
    NativeQuery,
}

impl ObjectKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            ObjectKind::Source => "source",
            ObjectKind::Table => "table",
            ObjectKind::ObjectRelation => "object_relation",
            ObjectKind::ArrayRelation => "array_relation",
            ObjectKind::RemoteRelationship => "remote_relationship",
            ObjectKind::ComputedField => "computed_field",
            ObjectKind::SelectPermission => "select_permission",
            ObjectKind::InsertPermission => "insert_permission",
            ObjectKind::UpdatePermission => "update_permission",
            ObjectKind::DeletePermission => "delete_permission",
            ObjectKind::EventTrigger => "event_trigger",
            ObjectKind::CronTrigger => "cron_trigger",
            ObjectKind::Function => "function",
            ObjectKind::FunctionPermission => "function_permission",
            ObjectKind::RemoteSchema => "remote_schema",
            ObjectKind::CustomTypes => "custom_types",
            ObjectKind::Action => "action",
            ObjectKind::ActionPermission => "action_permission",
            ObjectKind::InheritedRole => "inherited_role",
            ObjectKind::Endpoint => "endpoint",
            ObjectKind::NativeQuery => "native_query",
        }
    }
}

/// A part of the metadata that is left out, or does less than it says, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Inconsistency {
    pub definition: Value,
    /// Mostly starts with `Inconsistent object: `.
    pub reason: String,
    /// Which object: `table author in source default`.
    pub name: String,
    pub kind: ObjectKind,
    pub place: Place,
    /// The definitions of several objects that cannot stand together.
    pub conflicts: Option<Value>,
    /// It is left out. Otherwise it stands, and does less than it says.
    pub breaks: bool,
}

/// `{definition, reason, name, type}`, or `{reason, conflicts}` of several.
impl Serialize for Inconsistency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.conflicts {
            Some(conflicts) => {
                map.serialize_entry("reason", &self.reason)?;
                map.serialize_entry("conflicts", conflicts)?;
            }
            None => {
                map.serialize_entry("definition", &self.definition)?;
                map.serialize_entry("reason", &self.reason)?;
                map.serialize_entry("name", &self.name)?;
                map.serialize_entry("type", &self.kind)?;
            }
        }
        map.end()
    }
}

/// Where in the metadata an object stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub source: Arc<str>,
    /// The table itself, or the one that the object belongs to.
    pub table: Option<QualifiedName>,
    /// The name or role of the object.
    pub named: Arc<str>,
}

impl Inconsistency {
    pub fn new(
        kind: ObjectKind,
        name: String,
        reason: impl fmt::Display,
        definition: Value,
        place: Place,
    ) -> Self {
        let reason = format!("Inconsistent object: {reason}");
        Inconsistency { definition, reason, name, kind, place, conflicts: None, breaks: true }
    }

    /// Of a source of which nothing is served.
    pub fn of_source(source: &str, reason: impl fmt::Display) -> Self {
        let place = Place { source: source.into(), table: None, named: source.into() };
        let name = source_name(source);
        Inconsistency::new(ObjectKind::Source, name, reason, json!(source), place)
    }

    /// Of a table itself.
    pub fn of_table(source: &str, table: &QualifiedName, reason: impl fmt::Display) -> Self {
        let name = table_name(source, table);
        let place =
            Place { source: source.into(), table: Some(table.clone()), named: table.name.clone() };
        Inconsistency::new(ObjectKind::Table, name, reason, json!(table), place)
    }

    /// Of something that belongs to a table; `definition` gets the table, the
    /// source and the comment.
    pub fn in_table(
        kind: ObjectKind,
        (source, table): (&str, &QualifiedName),
        named: &str,
        reason: impl fmt::Display,
        definition: impl Serialize,
    ) -> Self {
        let mut definition = serde_json::to_value(definition).unwrap_or(Value::Null);
        if let Value::Object(map) = &mut definition {
            map.insert("source".to_owned(), source.into());
            map.entry("comment").or_insert(Value::Null);
            map.insert("table".to_owned(), json!(table));
        }
        let place =
            Place { source: source.into(), table: Some(table.clone()), named: named.into() };
        let name = object_name(kind, named, source, table);
        Inconsistency::new(kind, name, reason, definition, place)
    }
}

/// `source other`
pub fn source_name(source: &str) -> String {
    format!("source {source}")
}

/// `table author in source default`
pub fn table_name(source: &str, table: &QualifiedName) -> String {
    format!("table {table} in source {source}")
}

/// `select_permission user in table author in source default`
pub fn object_name(kind: ObjectKind, named: &str, source: &str, table: &QualifiedName) -> String {
    format!("{} {named} in {}", kind.as_str(), table_name(source, table))
}
