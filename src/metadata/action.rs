//! Actions and the types that they bring.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::{NonEmpty, QualifiedName};
use super::{is_default, or_default};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub name: Arc<str>,
    pub definition: ActionDefinition,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub permissions: Vec<ActionPermission>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionDefinition {
    /// A URL, in which `{{NAME}}` stands for an environment variable.
    pub handler: String,
    /// `User`, `User!`, `[User!]!`.
    pub output_type: Arc<str>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub arguments: Vec<ActionArgument>,
    #[serde(default, rename = "type")]
    pub operation: ActionOperation,
    /// Of mutations.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: Option<ActionKind>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub forward_client_headers: bool,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub headers: Vec<HandlerHeader>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timeout: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub request_transform: Option<Value>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub response_transform: Option<Value>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub ignored_client_headers: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionOperation {
    Query,
    #[default]
    Mutation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    Synchronous,
    Asynchronous,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionArgument {
    pub name: Arc<str>,
    #[serde(rename = "type")]
    pub ty: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Option<String>,
}

/// A header that a handler gets: a text, or the value of an environment
/// variable; exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenHeader")]
pub struct HandlerHeader {
    pub name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub value_from_env: Option<String>,
}

#[derive(Deserialize)]
struct WrittenHeader {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    value_from_env: Option<String>,
}

/// Our own settings hold secrets, which no handler may be sent.
const OWN_VARIABLES: [&str; 2] = ["HASURA_GRAPHQL_", "RINGFENCE_"];

impl TryFrom<WrittenHeader> for HandlerHeader {
    type Error = String;

    fn try_from(header: WrittenHeader) -> Result<Self, String> {
        let WrittenHeader { name, value, value_from_env } = header;
        match (&value, &value_from_env) {
            (Some(_), Some(_)) => {
                Err("expecting only one of value or value_from_env keys".to_owned())
            }
            (None, None) => Err("expecting value or value_from_env keys".to_owned()),
            (None, Some(variable)) => {
                match OWN_VARIABLES.iter().find(|prefix| variable.starts_with(**prefix)) {
                    Some(prefix) => Err(format!(
                        "env variables starting with \"{prefix}\" are not allowed in value_from_env: {variable}"
                    )),
                    None => Ok(HandlerHeader { name, value, value_from_env }),
                }
            }
            (Some(_), None) => Ok(HandlerHeader { name, value, value_from_env }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPermission {
    pub role: NonEmpty,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CustomTypes {
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub input_objects: Vec<InputObject>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub objects: Vec<OutputObject>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub scalars: Vec<CustomScalar>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub enums: Vec<CustomEnum>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputObject {
    pub name: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Option<String>,
    pub fields: Vec<ActionArgument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputObject {
    pub name: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Option<String>,
    pub fields: Vec<ActionArgument>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub relationships: Vec<TypeRelationship>,
}

/// From an object of an action to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeRelationship {
    pub name: Arc<str>,
    #[serde(rename = "type")]
    pub kind: RelationshipKind,
    pub remote_table: QualifiedName,
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: Option<Arc<str>>,
    /// Fields of the object to columns of the table.
    pub field_mapping: indexmap::IndexMap<Arc<str>, Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelationshipKind {
    Object,
    Array,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomScalar {
    pub name: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEnum {
    pub name: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Option<String>,
    pub values: Vec<CustomEnumValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEnumValue {
    pub value: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub is_deprecated: bool,
}
