//! Relationships: `{name, using, comment}`.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::is_default;
use super::text::{NonEmpty, QualifiedName};

/// An object or array relationship; which one is said by the list it is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relationship {
    pub name: NonEmpty,
    pub using: Using,
    #[serde(default, skip_serializing_if = "is_default")]
    pub comment: Option<String>,
}

/// How the two sides are joined; exactly one of the two forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Using {
    ForeignKeyConstraintOn(ForeignKeyOn),
    ManualConfiguration(Manual),
}

/// The columns of the foreign key: of this table, or of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ForeignKeyOn {
    Column(Arc<str>),
    Columns(Vec<Arc<str>>),
    Remote(RemoteKey),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteKey {
    pub table: QualifiedName,
    #[serde(default, skip_serializing_if = "is_default")]
    pub column: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "one_or_many")]
    pub columns: Vec<Arc<str>>,
}

/// One name stands for a list of it.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Arc<str>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(Arc<str>),
        Many(Vec<Arc<str>>),
    }
    Ok(match Names::deserialize(from)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

impl RemoteKey {
    pub fn columns(&self) -> &[Arc<str>] {
        match &self.column {
            Some(column) => std::slice::from_ref(column),
            None => &self.columns,
        }
    }

    /// The columns, to be renamed.
    pub fn columns_mut(&mut self) -> &mut [Arc<str>] {
        match &mut self.column {
            Some(column) => std::slice::from_mut(column),
            None => &mut self.columns,
        }
    }
}

impl ForeignKeyOn {
    /// The columns of the table that the relationship belongs to; none where
    /// the key is on the other side.
    pub fn own_columns(&self) -> &[Arc<str>] {
        match self {
            ForeignKeyOn::Column(column) => std::slice::from_ref(column),
            ForeignKeyOn::Columns(columns) => columns,
            ForeignKeyOn::Remote(_) => &[],
        }
    }

    /// See [`Self::own_columns`].
    pub fn own_columns_mut(&mut self) -> &mut [Arc<str>] {
        match self {
            ForeignKeyOn::Column(column) => std::slice::from_mut(column),
            ForeignKeyOn::Columns(columns) => columns,
            ForeignKeyOn::Remote(_) => &mut [],
        }
    }
}

/// A join without a foreign key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manual {
    pub remote_table: QualifiedName,
    /// Columns here to columns there.
    pub column_mapping: IndexMap<Arc<str>, Arc<str>>,
    /// When a nested insert writes the other side.
    #[serde(default)]
    pub insertion_order: Option<InsertionOrder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InsertionOrder {
    BeforeParent,
    AfterParent,
}
