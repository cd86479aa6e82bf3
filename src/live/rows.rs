//! What the changes of one transaction say about the columns that groups are
//! told apart by.
//!
//! The log tells of an updated row what it was only as far as its replica
//! identity changed. So the values of rows that were seen are remembered by
//! their keys; everything that happens to a table passes here, so what is
//! remembered holds. What is not known wakes every group of the table.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::keys::{KeyKind, Value};
use super::pgoutput::{Cell, Change, Old, Relation};
use super::router::{Changes, Touched};
use crate::catalog::model::Oid;

/// Different values of one column in one transaction, from which on the whole
/// table counts as changed.
const VALUES: usize = 100;
/// Rows that are remembered of all tables.
const REMEMBERED: usize = 200_000;

/// What is known of the tables of one stream.
#[derive(Debug, Default)]
pub(super) struct Rows {
    relations: HashMap<Oid, Known>,
    remembered: usize,
}

#[derive(Debug)]
struct Known {
    columns: Vec<(String, bool)>,
    /// By key.
    rows: HashMap<Vec<Cell>, Row>,
}

/// By column: the value of a row, or null.
type Row = Vec<(Arc<str>, Option<Value>)>;

impl Rows {
    pub(super) fn describe(&mut self, relation: Relation) {
        let same = |known: &Known| known.columns == relation.columns;
        if !self.relations.get(&relation.oid).is_some_and(same) {
            self.forget(relation.oid);
            let known = Known { columns: relation.columns, rows: HashMap::new() };
            self.relations.insert(relation.oid, known);
        }
    }

    /// Forgets the rows of a table: something happened that was not looked at.
    pub(super) fn forget(&mut self, relation: Oid) {
        if let Some(known) = self.relations.get_mut(&relation) {
            self.remembered -= known.rows.len();
            known.rows = HashMap::new();
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.relations.values_mut().for_each(|known| known.rows = HashMap::new());
        self.remembered = 0;
    }

    /// Adds a change to those of its transaction. `routed` are the columns that
    /// are asked for.
    pub(super) fn add(
        &mut self,
        change: &Change,
        routed: &[(Arc<str>, KeyKind)],
        changes: &mut Changes,
    ) {
        let touched = changes.tables.entry(change.relation).or_default();
        if touched.whole {
            return;
        }
        let Some(known) = self.relations.get_mut(&change.relation) else {
            touched.whole = true;
            return;
        };
        let key = known.key(change);
        let before = key.as_ref().and_then(|(old, _)| known.rows.remove(old));
        if before.is_some() {
            self.remembered -= 1;
        }
        let mut now = Row::with_capacity(routed.len());
        for (column, kind) in routed {
            let Some(at) = known.columns.iter().position(|(name, _)| **name == **column) else {
                touched.values.entry(column.clone()).or_default().doubt = true;
                continue;
            };
            let is_key = known.columns.get(at).is_some_and(|(_, key)| *key);
            let remembered = || {
                let row = before.as_ref()?;
                row.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone())
            };
            let new = change.new.as_ref().map(|cells| read(cells.get(at), *kind));
            let old = match &change.old {
                Old::Absent => Some(None),
                Old::Whole(cells) => read(cells.get(at), *kind),
                Old::Key(cells) if is_key => read(cells.get(at), *kind),
                Old::SameKey if is_key => new.clone().unwrap_or_default(),
                Old::Key(_) | Old::SameKey => remembered(),
            };
            // Large values that did not change are what they were.
            let new = match (&change.new, new) {
                (Some(cells), _) if cells.get(at) == Some(&Cell::Unchanged) => Some(old.clone()),
                (_, new) => new,
            };
            touched.note(column, old);
            if let Some(new) = new {
                touched.note(column, new.clone());
                now.extend(new.map(|value| (column.clone(), value)));
            }
        }
        if let (Some((_, Some(new))), true) = (key, change.new.is_some()) {
            if self.remembered >= REMEMBERED {
                self.forget_all();
            }
            if let Some(known) = self.relations.get_mut(&change.relation)
                && known.rows.insert(new, now).is_none()
            {
                self.remembered += 1;
            }
        }
    }
}

/// A cell as a value: `None` when it is not known, `Some(None)` for null.
#[expect(clippy::option_option, reason = "unknown and null differ")]
fn read(cell: Option<&Cell>, kind: KeyKind) -> Option<Option<Value>> {
    match cell? {
        Cell::Null => Some(None),
        Cell::Unchanged => None,
        Cell::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| kind.value(text)).map(Some)
        }
    }
}

impl Touched {
    #[expect(clippy::option_option, reason = "unknown and null differ")]
    fn note(&mut self, column: &Arc<str>, value: Option<Option<Value>>) {
        let values = self.values.entry(column.clone()).or_default();
        match value {
            // A null equals nothing that a group could ask for.
            Some(None) => {}
            Some(Some(value)) if values.known.len() < VALUES => {
                values.known.insert(value);
            }
            Some(Some(value)) if values.known.contains(&value) => {}
            _ => values.doubt = true,
        }
    }
}

impl Known {
    /// The key of the row as it was and as it is, where it has one.
    fn key(&self, change: &Change) -> Option<(Vec<Cell>, Option<Vec<Cell>>)> {
        if !self.columns.iter().any(|(_, key)| *key) {
            return None;
        }
        let pick = |cells: &[Cell]| {
            let keyed = self.columns.iter().zip(cells).filter(|((_, key), _)| *key);
            keyed
                .map(|(_, cell)| match cell {
                    Cell::Unchanged => None,
                    Cell::Null => Some(Cell::Null),
                    // Not a part of the message's buffer.
                    Cell::Text(text) => Some(Cell::Text(Bytes::copy_from_slice(text))),
                })
                .collect::<Option<Vec<Cell>>>()
        };
        let new = change.new.as_ref().and_then(|cells| pick(cells));
        let old = match &change.old {
            Old::Key(cells) | Old::Whole(cells) => pick(cells)?,
            Old::Absent | Old::SameKey => new.clone()?,
        };
        Some((old, new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(texts: &[&'static str]) -> Vec<Cell> {
        let cell = |text: &&'static str| match *text {
            "NULL" => Cell::Null,
            text => Cell::Text(Bytes::from_static(text.as_bytes())),
        };
        texts.iter().map(cell).collect()
    }

    /// The values that a change of `(id, tenant)` touches; `None` for all.
    fn touch(rows: &mut Rows, old: Old, new: Option<Vec<Cell>>) -> Option<Vec<i64>> {
        let tenant: Arc<str> = "tenant".into();
        let mut changes = Changes::default();
        let change = Change { relation: 1, old, new };
        rows.add(&change, &[(tenant.clone(), KeyKind::Integer)], &mut changes);
        let touched = changes.tables.remove(&1).expect("is touched");
        let values = touched.values.get(&tenant).filter(|values| !values.doubt)?;
        let mut values: Vec<i64> = values
            .known
            .iter()
            .map(|value| match value {
                Value::Integer(value) => *value,
                other => panic!("{other:?}"),
            })
            .collect();
        values.sort_unstable();
        Some(values)
    }

    fn table(tenant_is_key: bool) -> Rows {
        let mut rows = Rows::default();
        let columns = vec![("id".to_owned(), true), ("tenant".to_owned(), tenant_is_key)];
        rows.describe(Relation { oid: 1, columns });
        rows
    }

    #[test]
    fn a_key_of_the_replica_identity_is_always_known() {
        let mut rows = table(true);
        assert_eq!(touch(&mut rows, Old::Absent, Some(cells(&["1", "7"]))), Some(vec![7]));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["2", "8"]))), Some(vec![8]));
        let moved = touch(&mut rows, Old::Key(cells(&["2", "8"])), Some(cells(&["2", "9"])));
        assert_eq!(moved, Some(vec![8, 9]));
        assert_eq!(touch(&mut rows, Old::Key(cells(&["3", "5"])), None), Some(vec![5]));
    }

    #[test]
    fn what_a_row_was_is_remembered_once_it_was_seen() {
        let mut rows = table(false);
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "7"]))), None);
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "7"]))), Some(vec![7]));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "9"]))), Some(vec![7, 9]));
        // Its key changes; the value goes along.
        let moved = touch(&mut rows, Old::Key(cells(&["1", "NULL"])), Some(cells(&["4", "9"])));
        assert_eq!(moved, Some(vec![9]));
        assert_eq!(touch(&mut rows, Old::Key(cells(&["4", "NULL"])), None), Some(vec![9]));
        assert_eq!(touch(&mut rows, Old::Key(cells(&["4", "NULL"])), None), None);
        assert_eq!(touch(&mut rows, Old::Absent, Some(cells(&["5", "NULL"]))), Some(vec![]));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["5", "3"]))), Some(vec![3]));
        rows.forget(1);
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["5", "3"]))), None);
        assert_eq!(rows.remembered, 1);
    }
}
