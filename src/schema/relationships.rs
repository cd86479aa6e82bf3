//! Relationships derived from foreign keys, named as Hasura's console would.
//!
//! * object: the column without `_id` (`author_id` → `author`), else the name
//!   of the table it points to. Columns that are named alike on both sides,
//!   as `tenant_id` is in keys that keep tenants apart, do not count;
//! * array: the name of the table that holds the key; an object where the key
//!   is unique, since there is at most one row;
//! * where several keys join the same two tables, the array side is named
//!   `<table>_by_<columns>`, for all of them, so that adding a third key
//!   renames nothing.
//!
//! A name that a column or an earlier relationship has is given up for the
//! longer form; if that is taken too, the relationship is left out.

use std::collections::HashSet;

use crate::catalog::model::{Catalog, ColumnId, ForeignKey, Table, TableId};
use crate::graphql::Name;

use super::naming::is_graphql_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    Object,
    Array,
}

/// A way from one table to another; `join` pairs columns (here, there).
#[derive(Debug, Clone)]
pub struct Relationship {
    pub name: Name,
    pub cardinality: Cardinality,
    pub target: TableId,
    pub join: Vec<(ColumnId, ColumnId)>,
}

/// The relationships of all tables, by table id; those of a table in a stable
/// order: its own foreign keys by name, then those of others by table and name.
#[derive(Debug, Clone, Default)]
pub struct Relationships(Vec<Vec<Relationship>>);

impl Relationships {
    pub fn of(&self, table: TableId) -> &[Relationship] {
        self.0.get(table.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub fn derive(catalog: &Catalog, names: &[Option<Name>]) -> Self {
        let name_of = |id: TableId| names.get(id.0 as usize).and_then(Option::as_ref);
        let mut incoming: Vec<Vec<(&Table, &ForeignKey)>> = vec![Vec::new(); catalog.tables.len()];
        for table in catalog.tables.iter().filter(|table| name_of(table.id).is_some()) {
            let mut keys: Vec<_> = table.foreign_keys.iter().collect();
            keys.sort_by(|a, b| a.name.cmp(&b.name));
            for key in keys {
                if let Some(list) = incoming.get_mut(key.target.0 as usize) {
                    list.push((table, key));
                }
            }
        }
        let all = catalog
            .tables
            .iter()
            .map(|table| {
                let mut out = Named::new(table);
                let mut keys: Vec<_> = table.foreign_keys.iter().collect();
                keys.sort_by(|a, b| a.name.cmp(&b.name));
                for key in keys {
                    let Some(target) = name_of(key.target) else { continue };
                    let columns = own_columns(catalog, table, key);
                    let short = match columns.as_slice() {
                        [single] => single.strip_suffix("_id").map(str::to_owned),
                        _ => None,
                    };
                    out.push(
                        [
                            short,
                            Some(target.to_string()),
                            Some(format!("{target}_by_{}", columns.join("_"))),
                        ],
                        Cardinality::Object,
                        key.target,
                        pairs(&key.columns, &key.target_columns),
                    );
                }
                let others = incoming.get(table.id.0 as usize).map_or(&[][..], Vec::as_slice);
                for (child, key) in others {
                    let Some(name) = name_of(child.id) else { continue };
                    let siblings = others.iter().filter(|(t, _)| t.id == child.id).count();
                    let columns = own_columns(catalog, child, key);
                    let long = format!("{name}_by_{}", columns.join("_"));
                    let short = (siblings == 1).then(|| name.to_string());
                    let cardinality = if is_unique(child, &key.columns) {
                        Cardinality::Object
                    } else {
                        Cardinality::Array
                    };
                    out.push(
                        [short, Some(long), None],
                        cardinality,
                        child.id,
                        pairs(&key.target_columns, &key.columns),
                    );
                }
                out.list
            })
            .collect();
        Relationships(all)
    }
}

struct Named {
    taken: HashSet<String>,
    list: Vec<Relationship>,
}

impl Named {
    fn new(table: &Table) -> Self {
        let taken = table.columns.iter().map(|column| column.name.to_string()).collect();
        Named { taken, list: Vec::new() }
    }

    fn push(
        &mut self,
        candidates: [Option<String>; 3],
        cardinality: Cardinality,
        target: TableId,
        join: Vec<(ColumnId, ColumnId)>,
    ) {
        let free = candidates
            .into_iter()
            .flatten()
            .find(|name| is_graphql_name(name) && !self.taken.contains(name));
        if let Some(name) = free {
            self.taken.insert(name.clone());
            self.list.push(Relationship { name: name.into(), cardinality, target, join });
        }
    }
}

/// The columns of a key that tell it from others: those whose name differs on
/// the other side, or all when none does.
fn own_columns(catalog: &Catalog, table: &Table, key: &ForeignKey) -> Vec<String> {
    let target = catalog.table(key.target);
    let names = |differing: bool| {
        key.columns
            .iter()
            .zip(&key.target_columns)
            .filter_map(|(here, there)| {
                let name = &table.column(*here)?.name;
                let other = target.and_then(|target| target.column(*there)).map(|c| &c.name);
                (!differing || other != Some(name)).then(|| name.to_string())
            })
            .collect::<Vec<_>>()
    };
    let own = names(true);
    if own.is_empty() { names(false) } else { own }
}

fn pairs(here: &[ColumnId], there: &[ColumnId]) -> Vec<(ColumnId, ColumnId)> {
    here.iter().copied().zip(there.iter().copied()).collect()
}

fn is_unique(table: &Table, columns: &[ColumnId]) -> bool {
    table
        .primary_key
        .iter()
        .chain(&table.uniques)
        .any(|key| !key.columns.is_empty() && key.columns.iter().all(|c| columns.contains(c)))
}
