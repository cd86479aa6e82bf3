//! What the changes of one transaction say about the columns that groups are
//! told apart by.
//!
//! The log tells of an updated row what it was only as far as its replica
//! identity changed. So the values of rows that were seen are remembered by
//! their keys; everything that happens to a table passes here, so what is
//! remembered holds. What was not looked at is forgotten.

use std::collections::HashMap;

use bytes::Bytes;

use super::keys::KeyKind;
use super::pgoutput::{Cell as Sent, Change, Old, Relation};
use super::router::{Changes, Touched};
use super::routes::{Cell, Column, Image};
use crate::catalog::model::Oid;

/// Rows that differ in what is asked for in one transaction, from which on the
/// whole table counts as changed.
const IMAGES: usize = 1000;
/// Rows and values that are remembered of all tables.
const REMEMBERED: usize = 400_000;

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
    rows: HashMap<Vec<Sent>, Row>,
}

/// Of the columns that are asked for and that the log does not tell.
type Row = Vec<(Column, Cell)>;

impl Rows {
    /// A description is sent again when the table may have changed, by a rewrite of
    /// its values, too.
    pub(super) fn describe(&mut self, relation: Relation) {
        self.forget(relation.oid);
        let known = Known { columns: relation.columns, rows: HashMap::new() };
        self.relations.insert(relation.oid, known);
    }

    /// Forgets the rows of a table: something happened that was not looked at.
    pub(super) fn forget(&mut self, relation: Oid) {
        if let Some(known) = self.relations.get_mut(&relation) {
            self.remembered -= known.rows.values().map(size).sum::<usize>();
            known.rows = HashMap::new();
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.relations.values_mut().for_each(|known| known.rows = HashMap::new());
        self.remembered = 0;
    }

    /// Adds a change to those of its transaction. `routed` are the columns that
    /// are asked for, true for those that must have certain values. False when
    /// every row of the table counts as changed from now on.
    pub(super) fn add(
        &mut self,
        change: &Change,
        routed: &[(Column, bool)],
        changes: &mut Changes,
    ) -> bool {
        let touched = changes.tables.entry(change.relation).or_default();
        if !touched.whole {
            self.look(change, routed, touched);
        }
        if touched.whole {
            // It may have been remembered otherwise.
            self.forget(change.relation);
        }
        !touched.whole
    }

    fn look(&mut self, change: &Change, routed: &[(Column, bool)], touched: &mut Touched) {
        let columns = routed.iter().map(|(column, _)| column);
        if touched.images.is_empty() {
            touched.columns = columns.cloned().collect();
        } else if !columns.eq(&touched.columns) {
            // Somebody came or left in the middle of the transaction.
            touched.whole = true;
            return;
        }
        let Some(known) = self.relations.get_mut(&change.relation) else {
            touched.whole = true;
            return;
        };
        let key = known.key(change);
        let before = key.as_ref().and_then(|(old, _)| known.rows.remove(old));
        if let Some(before) = &before {
            self.remembered -= size(before);
        }
        let mut was = Vec::with_capacity(routed.len());
        let mut is = Vec::with_capacity(routed.len());
        let mut now = Row::new();
        for (routed, routes) in routed {
            let (column, kind) = routed;
            let Some(at) = known.columns.iter().position(|(name, _)| **name == **column) else {
                was.push(Cell::Unknown);
                is.push(Cell::Unknown);
                continue;
            };
            let is_key = known.columns.get(at).is_some_and(|(_, key)| *key);
            let remembered = || {
                let row = before.as_ref()?;
                row.iter().find(|(known, _)| known == routed).map(|(_, cell)| cell.clone())
            };
            let new = change.new.as_ref().map(|cells| read(cells.get(at), *kind));
            let old = match &change.old {
                Old::Absent => Cell::Unknown,
                Old::Whole(cells) => read(cells.get(at), *kind),
                Old::Key(cells) if is_key => read(cells.get(at), *kind),
                Old::SameKey if is_key => new.clone().unwrap_or(Cell::Unknown),
                Old::Key(_) | Old::SameKey => remembered().unwrap_or(Cell::Unknown),
            };
            // Large values that did not change are what they were.
            let new = match &change.new {
                Some(cells) if cells.get(at) == Some(&Sent::Unchanged) => Some(old.clone()),
                _ => new,
            };
            let told = |cell: &&Cell| *routes && !is_key && **cell != Cell::Unknown;
            if let Some(new) = new.as_ref().filter(told) {
                now.push((routed.clone(), new.clone()));
            }
            was.push(old);
            is.push(new.unwrap_or(Cell::Unknown));
        }
        if change.old != Old::Absent {
            touched.note(routed, true, was);
        }
        if change.new.is_some() {
            touched.note(routed, false, is);
        }
        if let (Some((_, Some(new))), false) = (key, now.is_empty()) {
            if self.remembered >= REMEMBERED {
                self.forget_all();
            }
            if let Some(known) = self.relations.get_mut(&change.relation) {
                self.remembered += size(&now);
                let replaced = known.rows.insert(new, now);
                self.remembered -= replaced.as_ref().map_or(0, size);
            }
        }
    }
}

/// What a remembered row counts.
fn size(row: &Row) -> usize {
    1 + row.len()
}

fn read(cell: Option<&Sent>, kind: KeyKind) -> Cell {
    match cell {
        None | Some(Sent::Unchanged) => Cell::Unknown,
        Some(Sent::Null) => Cell::Null,
        Some(Sent::Text(text)) => {
            let value = std::str::from_utf8(text).ok().and_then(|text| kind.value(text));
            value.map_or(Cell::Unknown, Cell::Value)
        }
    }
}

impl Touched {
    fn note(&mut self, routed: &[(Column, bool)], was: bool, mut cells: Vec<Cell>) {
        let known =
            |(cell, (_, routes)): (&Cell, &(Column, bool))| !routes || *cell != Cell::Unknown;
        let told = cells.iter().zip(routed).all(known);
        if told || !was {
            // Which row it is does not matter then.
            for (cell, (_, routes)) in cells.iter_mut().zip(routed) {
                if !routes {
                    *cell = Cell::Unknown;
                }
            }
        }
        if self.images.len() >= IMAGES {
            self.whole = true;
            self.images.clear();
            return;
        }
        self.images.insert(Image { was: was && !told, cells: cells.into() });
    }
}

impl Known {
    /// The key of the row as it was and as it is, where it has one.
    fn key(&self, change: &Change) -> Option<(Vec<Sent>, Option<Vec<Sent>>)> {
        if !self.columns.iter().any(|(_, key)| *key) {
            return None;
        }
        let pick = |cells: &[Sent]| {
            let keyed = self.columns.iter().zip(cells).filter(|((_, key), _)| *key);
            keyed
                .map(|(_, cell)| match cell {
                    Sent::Unchanged => None,
                    Sent::Null => Some(Sent::Null),
                    // Not a part of the message's buffer.
                    Sent::Text(text) => Some(Sent::Text(Bytes::copy_from_slice(text))),
                })
                .collect::<Option<Vec<Sent>>>()
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
    use super::super::keys::Value;
    use super::*;

    fn cells(texts: &[&'static str]) -> Vec<Sent> {
        let cell = |text: &&'static str| match *text {
            "NULL" => Sent::Null,
            text => Sent::Text(Bytes::from_static(text.as_bytes())),
        };
        texts.iter().map(cell).collect()
    }

    /// The values that a change of `(id, tenant)` touches; `None` for all.
    fn touch(rows: &mut Rows, old: Old, new: Option<Vec<Sent>>) -> Option<Vec<i64>> {
        let tenant = ("tenant".into(), KeyKind::Integer);
        let mut changes = Changes::default();
        let change = Change { relation: 1, old, new };
        rows.add(&change, &[(tenant, true)], &mut changes);
        let touched = changes.tables.remove(&1).expect("is touched");
        assert!(!touched.whole);
        let mut values = Vec::new();
        for image in &touched.images {
            match &*image.cells {
                [Cell::Value(Value::Integer(value))] => values.push(*value),
                [Cell::Null] => {}
                _ => return None,
            }
        }
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
        let columns = vec![("id".to_owned(), true), ("tenant".to_owned(), false)];
        rows.describe(Relation { oid: 1, columns });
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["5", "3"]))), None);
        // A row and its value.
        assert_eq!(rows.remembered, 2);
    }

    #[test]
    fn what_was_not_looked_at_is_not_remembered() {
        let mut rows = table(false);
        let tenant: Column = ("tenant".into(), KeyKind::Integer);
        let update = |id: usize, tenant: usize| {
            let text = |n: usize| Sent::Text(Bytes::from(n.to_string()));
            Change { relation: 1, old: Old::SameKey, new: Some(vec![text(id), text(tenant)]) }
        };
        let mut changes = Changes::default();
        assert!(rows.add(&update(1, 5), &[(tenant.clone(), true)], &mut changes));
        let mut changes = Changes::default();
        for id in 2..=IMAGES {
            assert!(rows.add(&update(id, id), &[(tenant.clone(), true)], &mut changes));
        }
        assert!(!rows.add(&update(0, 0), &[(tenant.clone(), true)], &mut changes));
        assert!(!rows.add(&update(1, 7), &[(tenant.clone(), true)], &mut changes));
        assert_eq!(rows.remembered, 0);
        // Another column is asked for in the middle of a transaction.
        let mut changes = Changes::default();
        assert!(rows.add(&update(1, 5), &[(tenant.clone(), true)], &mut changes));
        let other: Column = ("id".into(), KeyKind::Integer);
        let both = [(tenant.clone(), true), (other, true)];
        assert!(!rows.add(&update(1, 6), &both, &mut changes));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "8"]))), None);
    }
}
