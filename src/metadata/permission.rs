//! Permissions: `{role, permission, comment}`. Conditions stay JSON here; they
//! get a meaning where the table's columns are known.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_default;
use super::json::Json;
use super::text::NonEmpty;

/// A permission of one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Permission<T> {
    pub role: NonEmpty,
    pub permission: T,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

/// `"*"`, or names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    All,
    Named(Vec<Arc<str>>),
}

impl Default for Columns {
    fn default() -> Self {
        Columns::Named(Vec::new())
    }
}

impl Columns {
    pub fn names(&self) -> &[Arc<str>] {
        match self {
            Columns::All => &[],
            Columns::Named(names) => names,
        }
    }

    pub fn names_mut(&mut self) -> Option<&mut Vec<Arc<str>>> {
        match self {
            Columns::All => None,
            Columns::Named(names) => Some(names),
        }
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Columns::All => serializer.serialize_str("*"),
            Columns::Named(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Columns;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"*\" or a list of column names")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Columns, E> {
                if text == "*" {
                    Ok(Columns::All)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Columns, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Columns::Named(names))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectPermission {
    pub columns: Columns,
    pub filter: Json,
    #[serde(default, skip_serializing_if = "is_default")]
    pub limit: Option<u32>,
    #[serde(default)]
    pub allow_aggregations: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub computed_fields: Vec<NonEmpty>,
    /// Which roots of queries are there; all when absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_root_fields: Option<Vec<QueryRoot>>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub subscription_root_fields: Option<Vec<SubscriptionRoot>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryRoot {
    Select,
    SelectByPk,
    SelectAggregate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionRoot {
    Select,
    SelectByPk,
    SelectAggregate,
    SelectStream,
}

/// Columns to the values that they are set to: a literal, or a session
/// variable by its name.
pub type Presets = IndexMap<Arc<str>, Value>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsertPermission {
    pub check: Json,
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: Presets,
    /// All when absent.
    #[serde(default = "all")]
    pub columns: Columns,
    #[serde(default)]
    pub backend_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub validate_input: Option<Json>,
}

fn all() -> Columns {
    Columns::All
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdatePermission {
    pub columns: Columns,
    pub filter: Json,
    /// Holds for each row afterwards; nothing has to, when absent.
    #[serde(default)]
    pub check: Option<Json>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: Presets,
    #[serde(default, skip_serializing_if = "is_default")]
    pub backend_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub validate_input: Option<Json>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletePermission {
    #[serde(default = "Json::everything")]
    pub filter: Json,
    #[serde(default, skip_serializing_if = "is_default")]
    pub backend_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub validate_input: Option<Json>,
}
