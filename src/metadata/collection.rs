//! Stored operations: query collections, the allow list and REST endpoints.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::is_default;
use super::text::NonEmpty;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryCollection {
    pub name: NonEmpty,
    pub definition: CollectionDefinition,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionDefinition {
    pub queries: Vec<ListedQuery>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedQuery {
    pub name: NonEmpty,
    pub query: Arc<str>,
}

/// A collection whose operations are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowlistEntry {
    pub collection: NonEmpty,
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: AllowlistScope,
}

/// For whom: all roles, or those named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenScope")]
pub struct AllowlistScope {
    pub global: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub roles: Vec<NonEmpty>,
}

#[derive(Deserialize)]
struct WrittenScope {
    global: bool,
    #[serde(default)]
    roles: Option<Vec<NonEmpty>>,
}

impl TryFrom<WrittenScope> for AllowlistScope {
    type Error = &'static str;

    fn try_from(written: WrittenScope) -> Result<Self, &'static str> {
        match (written.global, written.roles) {
            (true, Some(_)) => Err("roles are not allowed when global is true"),
            (true, None) => Ok(AllowlistScope::default()),
            (false, None) => Err("key \"roles\" not found"),
            (false, Some(roles)) if roles.is_empty() => Err("at least one role must be named"),
            (false, Some(roles)) => {
                let distinct: HashSet<&NonEmpty> = roles.iter().collect();
                if distinct.len() < roles.len() {
                    return Err("duplicate roles are not allowed");
                }
                Ok(AllowlistScope { global: false, roles })
            }
        }
    }
}

impl Default for AllowlistScope {
    fn default() -> Self {
        AllowlistScope { global: true, roles: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestEndpoint {
    pub name: NonEmpty,
    /// Segments; one that starts with `:` is a variable.
    pub url: Arc<str>,
    pub methods: Vec<RestMethod>,
    pub definition: RestDefinition,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RestMethod {
    Get,
    Post,
    Put,
    Delete,
    Patch,
}

impl RestMethod {
    pub const fn name(self) -> &'static str {
        match self {
            RestMethod::Get => "GET",
            RestMethod::Post => "POST",
            RestMethod::Put => "PUT",
            RestMethod::Delete => "DELETE",
            RestMethod::Patch => "PATCH",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestDefinition {
    pub query: QueryReference,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryReference {
    pub collection_name: NonEmpty,
    pub query_name: NonEmpty,
}
