//! Relationships that metadata names.

use std::sync::Arc;

use crate::catalog::model::{Catalog, ColumnId, ForeignKey, Table};
use crate::metadata::QualifiedName;
use crate::metadata::relationship::{
    ForeignKeyOn, InsertionOrder, Manual, Relationship as Written, RemoteKey, Using,
};
use crate::schema::naming::is_graphql_name;

use super::derive::{is_total, pairs};
use super::{Cardinality, Relationship, TrackedId};

/// What relationships are resolved against: the catalogue of their source and
/// the tables that are tracked in it.
pub(super) struct Around<'a> {
    pub catalog: &'a Catalog,
    pub tracked: &'a dyn Fn(&Table) -> Option<TrackedId>,
}

/// Resolves one; an error says what is missing.
pub(super) fn resolve(
    around: &Around<'_>,
    table: &Table,
    written: &Written,
    cardinality: Cardinality,
) -> Result<Relationship, String> {
    if !is_graphql_name(&written.name) {
        return Err(format!("\"{}\" is not a valid GraphQL name", written.name));
    }
    let join = match &written.using {
        Using::ForeignKeyConstraintOn(ForeignKeyOn::Remote(remote)) => {
            of_other(around, table, remote, cardinality)?
        }
        Using::ForeignKeyConstraintOn(own) => {
            if cardinality == Cardinality::Array {
                return Err("an array relationship needs the table that has the foreign key".into());
            }
            of_own(around, table, own.own_columns())?
        }
        Using::ManualConfiguration(manual) => by_hand(around, table, manual)?,
    };
    Ok(Relationship {
        name: written.name.shared(),
        cardinality,
        target: join.target,
        join: join.columns,
        description: written.comment.clone().filter(|text| !text.is_empty()),
        total: join.total,
        target_first: cardinality == Cardinality::Object && join.target_first,
    })
}

struct Join {
    target: TrackedId,
    columns: Vec<(ColumnId, ColumnId)>,
    total: bool,
    target_first: bool,
}

fn target(around: &Around<'_>, table: &Table) -> Result<TrackedId, String> {
    (around.tracked)(table).ok_or_else(|| format!("table {} is not tracked", quoted(table)))
}

fn quoted(table: &Table) -> String {
    format!("\"{}\"", QualifiedName::new(table.schema.clone(), table.name.clone()))
}

fn column(table: &Table, name: &str) -> Result<ColumnId, String> {
    table
        .columns
        .iter()
        .find(|column| *column.name == *name)
        .map(|column| column.id)
        .ok_or_else(|| format!("column \"{name}\" does not exist in table {}", quoted(table)))
}

fn find<'a>(around: &Around<'a>, name: &QualifiedName) -> Result<&'a Table, String> {
    around
        .catalog
        .table_named(&name.schema, &name.name)
        .ok_or_else(|| format!("table \"{name}\" does not exist"))
}

fn ids(table: &Table, names: &[Arc<str>]) -> Result<Vec<ColumnId>, String> {
    if names.is_empty() {
        return Err("the foreign key needs at least one column".to_owned());
    }
    names.iter().map(|name| column(table, name)).collect()
}

/// The one foreign key over just these columns.
fn key_on<'a>(
    table: &'a Table,
    columns: &[ColumnId],
    fits: impl Fn(&ForeignKey) -> bool,
) -> Result<&'a ForeignKey, String> {
    let same = |key: &&ForeignKey| {
        key.columns.len() == columns.len()
            && columns.iter().all(|column| key.columns.contains(column))
            && fits(key)
    };
    let mut found = table.foreign_keys.iter().filter(same);
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err("no foreign constraint exists on the given column(s)".to_owned()),
        (Some(_), Some(_)) => {
            Err("more than one foreign key constraint exists on the given column(s)".to_owned())
        }
    }
}

fn of_own(around: &Around<'_>, table: &Table, names: &[Arc<str>]) -> Result<Join, String> {
    let key = key_on(table, &ids(table, names)?, |_| true)?;
    let other = around.catalog.table(key.target).ok_or("the foreign key leads nowhere")?;
    Ok(Join {
        target: target(around, other)?,
        columns: pairs(&key.columns, &key.target_columns),
        total: is_total(table, key),
        target_first: true,
    })
}

fn of_other(
    around: &Around<'_>,
    table: &Table,
    remote: &RemoteKey,
    cardinality: Cardinality,
) -> Result<Join, String> {
    let other = find(around, &remote.table)?;
    let target = target(around, other)?;
    let key = key_on(other, &ids(other, remote.columns())?, |key| key.target == table.id)?;
    if cardinality == Cardinality::Object && !is_unique(other, &key.columns) {
        return Err(format!(
            "the columns of the foreign key in {} are not unique, so there may be several rows",
            quoted(other)
        ));
    }
    Ok(Join {
        target,
        columns: pairs(&key.target_columns, &key.columns),
        total: false,
        target_first: false,
    })
}

fn by_hand(around: &Around<'_>, table: &Table, manual: &Manual) -> Result<Join, String> {
    let other = find(around, &manual.remote_table)?;
    let mut columns = Vec::with_capacity(manual.column_mapping.len());
    for (here, there) in &manual.column_mapping {
        columns.push((column(table, here)?, column(other, there)?));
    }
    if columns.is_empty() {
        return Err("column_mapping must map at least one column".to_owned());
    }
    Ok(Join {
        target: target(around, other)?,
        columns,
        total: false,
        target_first: manual.insertion_order != Some(InsertionOrder::AfterParent),
    })
}

/// Whether there is at most one row for values of these columns.
pub(super) fn is_unique(table: &Table, columns: &[ColumnId]) -> bool {
    table
        .primary_key
        .iter()
        .chain(&table.uniques)
        .any(|key| !key.columns.is_empty() && key.columns.iter().all(|c| columns.contains(c)))
}
