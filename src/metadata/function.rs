//! Tracked functions and computed fields.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_default;
use super::text::{NonEmpty, QualifiedName};

/// A tracked SQL function; a bare name is one without configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Function {
    pub function: QualifiedName,
    #[serde(skip_serializing_if = "is_default")]
    pub configuration: FunctionConfiguration,
    #[serde(skip_serializing_if = "is_default")]
    pub permissions: Vec<FunctionPermission>,
    #[serde(skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

#[derive(Deserialize)]
struct Full {
    function: QualifiedName,
    #[serde(default)]
    configuration: FunctionConfiguration,
    #[serde(default)]
    permissions: Vec<FunctionPermission>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Full(Full),
    Bare(QualifiedName),
}

impl From<Written> for Function {
    fn from(written: Written) -> Self {
        match written {
            Written::Full(full) => Function {
                function: full.function,
                configuration: full.configuration,
                permissions: full.permissions,
                comment: full.comment,
            },
            Written::Bare(function) => Function::new(function),
        }
    }
}

impl Function {
    pub fn new(function: QualifiedName) -> Self {
        Function {
            function,
            configuration: FunctionConfiguration::default(),
            permissions: Vec::new(),
            comment: None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionConfiguration {
    /// The JSON argument that gets the session variables.
    #[serde(default, skip_serializing_if = "is_default")]
    pub session_argument: Option<Arc<str>>,
    /// Where the function appears; by its volatility when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exposed_as: Option<ExposedAs>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_name: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub custom_root_fields: FunctionRootNames,
    #[serde(default, skip_serializing_if = "is_default")]
    pub response: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRootNames {
    #[serde(default, skip_serializing_if = "is_default")]
    pub function: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub function_aggregate: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExposedAs {
    Query,
    Mutation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionPermission {
    pub role: NonEmpty,
}

/// A function of a table's row, shown as a field of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComputedField {
    pub name: NonEmpty,
    pub definition: ComputedFieldDefinition,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComputedFieldDefinition {
    pub function: QualifiedName,
    /// The argument that gets the row; the first when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub table_argument: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub session_argument: Option<Arc<str>>,
}
