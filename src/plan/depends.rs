//! What the answer of a subscription depends on: tables, settings, and what tells
//! most changes not to matter: values that rows must have, and the rows that the
//! answer shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Dependence;
use crate::catalog::model::{ColumnId, Oid};
use crate::operation::model::{
    ListArgs, Read, Root, RootSelection, RowSource, Selected, SelectedField,
};
use crate::schema::RoleSchema;
use crate::schema::tracked::{SourceId, TrackedId};

use super::planner::{Asked, Planner};
use super::{Depends, Key, KeyValues, ShownKey, ShownRows};

impl Planner<'_> {
    pub(super) fn depends(&self, roots: &[Root]) -> Depends {
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
        let mut shown = Vec::new();
        let mut places = Vec::new();
        self.places_of_roots(roots, &mut Vec::new(), &mut places);
        for (table, readings) in readings {
            let Some(db) = self.schema.table(table) else { continue };
            // What something else reads, too, is read without such conditions.
            if on.relations.get(&db.oid) != Some(&false) {
                continue;
            }
            if let [_] = *readings {
                shown.extend(places.extract_if(.., |place| place.table == table).filter_map(
                    |place| {
                        let key = self.shown_key(table, place.selection)?;
                        Some(ShownRows { table: db.oid, path: place.path, key })
                    },
                ));
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
        Depends { on, keys, shown }
    }

    fn places_of_roots<'a>(
        &self,
        roots: &'a [Root],
        path: &mut Vec<Arc<str>>,
        places: &mut Vec<Place<'a>>,
    ) {
        for Root { key, field } in roots {
            path.push(key.clone());
            match field {
                RootSelection::Namespace(inside) => self.places_of_roots(inside, path, places),
                RootSelection::Read(read) => match &**read {
                    Read::Many(rows) => {
                        let all = rows.source == RowSource::Table && shows_all(&rows.args);
                        self.places(rows.table, all, &rows.selection, path, places);
                    }
                    Read::ByPk { table, selection, .. } => {
                        self.places(*table, true, selection, path, places);
                    }
                    Read::One(rows) => {
                        self.places(rows.table, false, &rows.selection, path, places);
                    }
                    Read::Aggregate(_) | Read::Scalar { .. } | Read::Stream(_) => {}
                },
                _ => {}
            }
            path.pop();
        }
    }

    /// Adds a place of rows, if it shows all that matter of a table, and those
    /// in its selection.
    fn places<'a>(
        &self,
        table: TrackedId,
        all: bool,
        selection: &'a [Selected],
        path: &mut Vec<Arc<str>>,
        places: &mut Vec<Place<'a>>,
    ) {
        if all {
            places.push(Place { table, path: path.clone(), selection });
        }
        for Selected { key, field } in selection {
            let SelectedField::Relationship { index, args, selection } = field else { continue };
            let Some(relationship) = self.schema.relationship(table, *index) else { continue };
            path.push(key.clone());
            self.places(relationship.target, shows_all(args), selection, path, places);
            path.pop();
        }
    }

    /// The primary key of a table, if all of it is selected as it is.
    fn shown_key(&self, table: TrackedId, selection: &[Selected]) -> Option<Vec<ShownKey>> {
        let db = self.schema.table(table)?;
        let selected = self.selected_key(table, selection)?;
        selected
            .into_iter()
            .map(|(id, selected)| {
                let column = db.column(id)?;
                Some(ShownKey {
                    column: column.name.clone(),
                    type_oid: column.type_oid,
                    field: selected.key.clone(),
                })
            })
            .collect()
    }

    /// Where a selection has the primary key of a table, if all of it is
    /// selected as it is.
    pub(super) fn selected_key<'s>(
        &self,
        table: TrackedId,
        selection: &'s [Selected],
    ) -> Option<Vec<(ColumnId, &'s Selected)>> {
        let columns = self.schema.table(table)?.primary_key.as_ref()?.columns.iter();
        columns
            .map(|id| {
                let plain = SelectedField::Column { column: *id, path: None, upper_case: false };
                let selected = selection.iter().find(|selected| selected.field == plain)?;
                Some((*id, selected))
            })
            .collect()
    }
}

/// Where an answer has rows.
struct Place<'a> {
    table: TrackedId,
    path: Vec<Arc<str>>,
    selection: &'a [Selected],
}

/// Whether the rows that are shown do not depend on others. Those beyond the
/// limit do not count; those that an offset leaves out do.
fn shows_all(args: &ListArgs) -> bool {
    args.offset.is_none()
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
