//! What the answer of a subscription depends on: tables, settings, and keys by
//! which most changes can be told not to matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Dependence;
use crate::catalog::model::{ColumnId, Oid};
use crate::schema::RoleSchema;
use crate::schema::tracked::{SourceId, TrackedId};

use super::planner::{Asked, Planner};
use super::{Depends, Key, KeyValues};

impl Planner<'_> {
    pub(super) fn depends(&self) -> Depends {
        let Some(source) = self.schema.tracked().source(SourceId(0)) else {
            return Depends {
                on: Dependence { opaque: true, ..Dependence::default() },
                ..Depends::default()
            };
        };
        let tables = self.touched.iter().filter_map(|(table, _)| self.schema.table(*table));
        let on =
            source.catalog.dependence(tables.map(|table| table.oid), self.called.iter().copied());
        let mut readings: BTreeMap<TrackedId, Vec<&[Asked]>> = BTreeMap::new();
        for (_, table, asked) in &self.readings {
            readings.entry(*table).or_default().push(asked);
        }
        let mut keys = BTreeMap::new();
        for (table, readings) in readings {
            let Some(db) = self.schema.table(table) else { continue };
            // What something else reads, too, is read without such conditions.
            if on.relations.get(&db.oid) != Some(&false) {
                continue;
            }
            let mut found = asked_everywhere(&readings)
                .into_iter()
                .filter_map(|(column, values)| {
                    let column = db.column(column)?;
                    let values = KeyValues::Asked(values);
                    Some(Key { column: column.name.clone(), type_oid: column.type_oid, values })
                })
                .collect::<Vec<_>>();
            found.extend(wanted_by_policies(self.schema, db.oid));
            if !found.is_empty() {
                keys.insert(db.oid, found);
            }
        }
        Depends { on, keys }
    }
}

/// Columns that every reading of a table asks for by value, and all of the
/// values.
fn asked_everywhere(readings: &[&[Asked]]) -> Vec<Asked> {
    let Some((first, others)) = readings.split_first() else { return Vec::new() };
    let of = |asked: &&[Asked], column: ColumnId| {
        asked.iter().find(|(known, _)| *known == column).map(|(_, values)| values.clone())
    };
    first
        .iter()
        .filter_map(|(column, values)| {
            let mut all = values.clone();
            for other in others {
                all.extend(of(other, *column)?);
            }
            Some((*column, all))
        })
        .collect()
}

fn wanted_by_policies(schema: &RoleSchema, table: Oid) -> Vec<Key> {
    let (Some(source), Some(role)) =
        (schema.tracked().source(SourceId(0)), schema.source(SourceId(0)))
    else {
        return Vec::new();
    };
    let (Some(relation), Some(rights), Some(db)) =
        (source.catalog.relations.get(&table), role.rights(), source.catalog.table_by_oid(table))
    else {
        return Vec::new();
    };
    let equated = relation.equated(rights).into_iter();
    equated
        .filter_map(|equated| {
            let column = db.columns.iter().find(|column| *column.name == *equated.column)?;
            let name: Arc<str> = column.name.clone();
            let values = KeyValues::Setting(equated.setting);
            Some(Key { column: name, type_oid: column.type_oid, values })
        })
        .collect()
}
