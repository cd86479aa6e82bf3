//! Relationships without metadata, from foreign keys, named as Hasura's
//! console would.
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
//! They are spelled as the naming convention has it. A name that a column or an earlier relationship has is given up for the
//! longer form; if that is taken too, the relationship is left out.

use std::collections::{HashMap, HashSet};

use crate::catalog::model::{Catalog, ColumnId, ForeignKey, Table, TableId};
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::schema::naming::is_graphql_name;

use super::relationship::is_unique;
use super::{Cardinality, Relationship, TrackedId};

/// The relationships of the named tables of a catalogue, those of a table in a
/// stable order: its own foreign keys by name, then those of others by table
/// and name.
pub(super) fn relationships(
    catalog: &Catalog,
    named: &HashMap<TableId, (TrackedId, Name)>,
    convention: NamingConvention,
) -> HashMap<TableId, Vec<Relationship>> {
    let mut incoming: HashMap<TableId, Vec<(&Table, &ForeignKey)>> = HashMap::new();
    for table in catalog.tables.iter().filter(|table| named.contains_key(&table.id)) {
        for key in sorted(table) {
            incoming.entry(key.target).or_default().push((table, key));
        }
    }
    let mut all = HashMap::with_capacity(named.len());
    for table in catalog.tables.iter().filter(|table| named.contains_key(&table.id)) {
        let mut out = Named::new(table, convention);
        for key in sorted(table) {
            let Some((id, target)) = named.get(&key.target) else { continue };
            let columns = own_columns(catalog, table, key);
            let short = match columns.as_slice() {
                [single] => single.strip_suffix("_id").map(str::to_owned),
                _ => None,
            };
            let names = [
                short,
                Some(target.to_string()),
                Some(format!("{target}_by_{}", columns.join("_"))),
            ];
            out.push(names, |name| Relationship {
                name,
                cardinality: Cardinality::Object,
                target: *id,
                join: pairs(&key.columns, &key.target_columns),
                description: None,
                total: is_total(table, key),
                target_first: true,
            });
        }
        let others = incoming.get(&table.id).map_or(&[][..], Vec::as_slice);
        for (child, key) in others {
            let Some((id, name)) = named.get(&child.id) else { continue };
            let siblings = others.iter().filter(|(t, _)| t.id == child.id).count();
            let columns = own_columns(catalog, child, key);
            let long = format!("{name}_by_{}", columns.join("_"));
            let short = (siblings == 1).then(|| name.to_string());
            let unique = is_unique(child, &key.columns);
            out.push([short, Some(long), None], |name| Relationship {
                name,
                cardinality: if unique { Cardinality::Object } else { Cardinality::Array },
                target: *id,
                join: pairs(&key.target_columns, &key.columns),
                description: None,
                total: false,
                target_first: false,
            });
        }
        all.insert(table.id, out.list);
    }
    all
}

fn sorted(table: &Table) -> Vec<&ForeignKey> {
    let mut keys: Vec<_> = table.foreign_keys.iter().collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    keys
}

/// Whether a row always has the other side.
pub(super) fn is_total(table: &Table, key: &ForeignKey) -> bool {
    key.columns.iter().all(|id| table.column(*id).is_some_and(|column| column.not_null))
}

struct Named {
    convention: NamingConvention,
    taken: HashSet<String>,
    list: Vec<Relationship>,
}

impl Named {
    fn new(table: &Table, convention: NamingConvention) -> Self {
        // A condition takes the columns by the names that the database has.
        let names = table.columns.iter().map(|column| &column.name);
        let taken = names.flat_map(|name| [name.to_string(), convention.field(name).to_string()]);
        Named { convention, taken: taken.collect(), list: Vec::new() }
    }

    fn push(&mut self, candidates: [Option<String>; 3], make: impl FnOnce(Name) -> Relationship) {
        let free = candidates
            .into_iter()
            .flatten()
            .map(|name| self.convention.field(&name).to_string())
            .find(|name| is_graphql_name(name) && !self.taken.contains(name));
        if let Some(name) = free {
            self.taken.insert(name.clone());
            self.list.push(make(name.into()));
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

pub(super) fn pairs(here: &[ColumnId], there: &[ColumnId]) -> Vec<(ColumnId, ColumnId)> {
    here.iter().copied().zip(there.iter().copied()).collect()
}
