//! Questions about a source: what could be tracked, and related.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::default_source;
use crate::admin::command::{Output, arguments, output};
use crate::admin::draft::Draft;
use crate::base::ApiError;
use crate::catalog::model::{Catalog, ColumnId, Table};
use crate::metadata::QualifiedName;

#[derive(Deserialize)]
struct Suggest {
    #[serde(default = "default_source")]
    source: Arc<str>,
    #[serde(default)]
    tables: Option<Vec<QualifiedName>>,
    #[serde(default)]
    omit_tracked: bool,
}

fn name_of(table: &Table) -> QualifiedName {
    QualifiedName::new(table.schema.clone(), table.name.clone())
}

fn columns_of(table: &Table, columns: &[ColumnId]) -> Vec<Arc<str>> {
    columns.iter().filter_map(|id| table.column(*id)).map(|column| column.name.clone()).collect()
}

/// `suggest_relationships`: both ways of each foreign key between tracked
/// tables.
pub(super) fn relationships(draft: &Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let suggest: Suggest = arguments(args)?;
    draft.source(&suggest.source)?;
    let tracked = draft.tracked();
    let Some(source) = tracked.source_named(&suggest.source) else {
        return output(&json!({"relationships": []}));
    };
    let catalog: &Catalog = draft.catalog_of(&suggest.source)?;
    let wanted =
        |table: &Table| suggest.tables.as_ref().is_none_or(|names| names.contains(&name_of(table)));
    let mut found: Vec<Value> = Vec::new();
    for shown in tracked.tables.iter().filter(|table| table.source == source) {
        let Some(table) = catalog.table(shown.table) else { continue };
        for key in &table.foreign_keys {
            let Some(target) = catalog.table(key.target) else { continue };
            let Some(other) = tracked.find(source, &name_of(target)) else { continue };
            if !wanted(table) && !wanted(target) {
                continue;
            }
            let join: HashSet<(ColumnId, ColumnId)> =
                key.columns.iter().copied().zip(key.target_columns.iter().copied()).collect();
            let known = shown.relationships.iter().any(|relationship| {
                relationship.target == other
                    && relationship.join.iter().copied().collect::<HashSet<_>>() == join
            });
            if suggest.omit_tracked && known {
                continue;
            }
            let own: HashSet<ColumnId> = key.columns.iter().copied().collect();
            let unique = table
                .primary_key
                .iter()
                .chain(&table.uniques)
                .any(|unique| unique.columns.iter().copied().collect::<HashSet<_>>() == own);
            let here = json!({"table": name_of(table), "columns": columns_of(table, &key.columns),
                "constraint_name": {"name": key.name}});
            let there = json!({"table": name_of(target),
                "columns": columns_of(target, &key.target_columns)});
            found.push(json!({"type": "object", "from": here, "to": there}));
            let back = if unique { "object" } else { "array" };
            found.push(json!({"type": back, "from": there, "to": here}));
        }
    }
    output(&json!({"relationships": found}))
}

#[derive(Deserialize)]
struct Tables {
    #[serde(default = "default_source")]
    source: Arc<str>,
}

/// `get_source_tables`: what could be tracked.
pub(super) fn tables(draft: &Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Tables { source } = arguments(args)?;
    draft.source(&source)?;
    let catalog = draft.catalog_of(&source)?;
    let tables: Vec<QualifiedName> =
        catalog.tables.iter().filter(|table| !table.is_partition).map(name_of).collect();
    output(&json!(tables))
}
