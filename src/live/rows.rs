//! What the changes of one transaction say about the columns that groups are
//! told apart by.
//!
//! The log tells of an updated row what it was only as far as its replica
//! identity changed. So the values of rows that were seen are remembered by
//! their keys; everything that happens to a table passes here, so what is
//! remembered holds. What was not looked at is forgotten.
//!
//! Rows of a small table are read beforehand (`preload`), while the log goes on.
//! What a snapshot shows holds for a row that nothing was told of since the
//! reading began, until a transaction is told that the snapshot sees already.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::keys::KeyKind;
use super::pgoutput::{Cell as Sent, Change, Old, Relation};
use super::preload::Loaded;
use super::router::{Changes, Touched};
use super::routes::{Cell, Column, Image};
use super::snapshot::Snapshot;
use crate::catalog::model::Oid;

/// Rows that differ in what is asked for in one transaction, from which on the
/// whole table counts as changed.
const IMAGES: usize = 1000;
/// Rows and values that are remembered of all tables.
const REMEMBERED: usize = 400_000;

/// Rows that may change while a table is read, and what is read still counts.
const TOUCHED: usize = 20_000;

/// What is known of the tables of one stream.
#[derive(Debug, Default)]
pub(super) struct Rows {
    relations: HashMap<Oid, Known>,
    remembered: usize,
    /// Tables with rows of which it was not known what they were.
    doubted: BTreeSet<Oid>,
}

/// The columns of a table as the log describes them, true for those of the
/// replica identity.
type Described = Arc<[(String, bool)]>;

#[derive(Debug, Default)]
struct Known {
    /// `None` before the log has told of the table.
    columns: Option<Described>,
    /// By key.
    rows: HashMap<Vec<Sent>, Row>,
    /// Where rows were read: what the reading saw, and the key's columns.
    read: Option<(Snapshot, Vec<String>)>,
    /// The rows that were told of since a reading began that still goes on.
    touched: Option<HashSet<Vec<Sent>>>,
}

#[derive(Debug)]
struct Row {
    /// Of the columns that are asked for and that the log does not tell.
    cells: Vec<(Column, Cell)>,
    /// It was read, and not told of since.
    read: bool,
}

impl Rows {
    /// A description is sent again when the table may have changed, by a rewrite of
    /// its values, too.
    pub(super) fn describe(&mut self, relation: Relation) {
        let known = self.relations.entry(relation.oid).or_default();
        let is_first = known.columns.is_none();
        known.columns = Some(relation.columns.into());
        if !is_first || !known.fits() {
            self.forget(relation.oid);
        }
    }

    /// Forgets the rows of a table: something happened that was not looked at.
    pub(super) fn forget(&mut self, relation: Oid) {
        if let Some(known) = self.relations.get_mut(&relation) {
            if known.read.is_some() {
                self.doubted.insert(relation);
            }
            self.remembered -= known.forget();
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.relations.values_mut().for_each(|known| {
            known.forget();
        });
        self.remembered = 0;
    }

    /// Something happened to tables of which the log did not tell yet.
    pub(super) fn forget_undescribed(&mut self) {
        for (table, known) in &mut self.relations {
            if known.columns.is_none() {
                self.remembered -= known.forget();
                self.doubted.insert(*table);
            }
        }
    }

    /// Rows and values that are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.remembered
    }

    /// Tables of which more should be known.
    pub(super) fn take_doubted(&mut self) -> BTreeSet<Oid> {
        std::mem::take(&mut self.doubted)
    }

    /// The rows of a table are about to be read. No transaction is being told,
    /// and the reading sees all that were told before.
    pub(super) fn begin(&mut self, table: Oid) {
        self.relations.entry(table).or_default().touched = Some(HashSet::new());
    }

    /// They were not read, or not as promised.
    pub(super) fn give_up(&mut self, table: Oid) {
        if let Some(known) = self.relations.get_mut(&table) {
            known.touched = None;
        }
    }

    /// Whether rows of one more table may be read.
    pub(super) fn has_room(&self) -> bool {
        self.remembered < REMEMBERED / 2
    }

    /// They were read. False when they are too many beside those of other tables.
    pub(super) fn load(&mut self, table: Oid, loaded: Loaded) -> bool {
        let Some(known) = self.relations.get_mut(&table) else { return true };
        // Else something happened meanwhile that was not looked at.
        let Some(touched) = known.touched.take() else { return true };
        let Loaded { snapshot, key, columns, rows } = loaded;
        if self.remembered + rows.len() * (1 + columns.len()) > REMEMBERED {
            return false;
        }
        known.read = Some((snapshot, key));
        if !known.fits() {
            known.read = None;
            return true;
        }
        known.rows.retain(|key, row| {
            let kept = touched.contains(key);
            if !kept {
                self.remembered -= row.size();
            }
            kept
        });
        for (key, cells) in rows {
            if touched.contains(&key) {
                continue;
            }
            let cells = columns.iter().cloned().zip(cells).collect();
            let row = Row { cells, read: true };
            self.remembered += row.size();
            let replaced = known.rows.insert(key, row);
            self.remembered -= replaced.as_ref().map_or(0, Row::size);
        }
        true
    }

    /// Adds a change to those of the transaction `id`. `routed` are the columns that
    /// are asked for, true for those that must have certain values. False when
    /// every row of the table counts as changed from now on.
    pub(super) fn add(
        &mut self,
        id: u32,
        change: &Change,
        routed: &[(Column, bool)],
        changes: &mut Changes,
    ) -> bool {
        let touched = changes.tables.entry(change.relation).or_default();
        if !touched.whole {
            self.look(id, change, routed, touched);
        }
        if touched.whole {
            // It may have been remembered otherwise.
            self.forget(change.relation);
        }
        !touched.whole
    }

    fn look(&mut self, id: u32, change: &Change, routed: &[(Column, bool)], touched: &mut Touched) {
        let columns = routed.iter().map(|(column, _)| column);
        if touched.images.is_empty() {
            touched.columns = columns.cloned().collect();
        } else if !columns.eq(&touched.columns) {
            // Somebody came or left in the middle of the transaction.
            touched.whole = true;
            return;
        }
        let known = self.relations.get_mut(&change.relation);
        let Some((known, described)) = known.and_then(Known::described) else {
            touched.whole = true;
            return;
        };
        let key = Known::key(&described, change);
        let before = key.as_ref().and_then(|(old, _)| known.take(id, old, &mut self.remembered));
        if let Some((old, new)) = &key {
            known.touch(old, new.as_ref());
        }
        let mut was = Vec::with_capacity(routed.len());
        let mut is = Vec::with_capacity(routed.len());
        let mut now = Vec::new();
        let mut doubted = false;
        for (routed, routes) in routed {
            let (column, kind) = routed;
            let Some(at) = described.iter().position(|(name, _)| **name == **column) else {
                was.push(Cell::Unknown);
                is.push(Cell::Unknown);
                continue;
            };
            let is_key = described.get(at).is_some_and(|(_, key)| *key);
            let remembered = || {
                let row = before.as_ref()?;
                let cell = row.cells.iter().find(|(known, _)| known == routed);
                cell.map(|(_, cell)| cell.clone())
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
            doubted |= *routes && old == Cell::Unknown;
            was.push(old);
            is.push(new.unwrap_or(Cell::Unknown));
        }
        if doubted && change.old != Old::Absent {
            self.doubted.insert(change.relation);
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
                let row = Row { cells: now, read: false };
                self.remembered += row.size();
                let replaced = known.rows.insert(new, row);
                self.remembered -= replaced.as_ref().map_or(0, Row::size);
            }
        }
    }
}

impl Row {
    /// What a remembered row counts.
    fn size(&self) -> usize {
        1 + self.cells.len()
    }
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
    /// With its columns, once the log has described them.
    fn described(&mut self) -> Option<(&mut Self, Described)> {
        let columns = self.columns.clone()?;
        Some((self, columns))
    }

    /// Whether what was read has the keys that the log tells.
    fn fits(&self) -> bool {
        let (Some(columns), Some((_, key))) = (&self.columns, &self.read) else { return true };
        let told = columns.iter().filter(|(_, key)| *key).map(|(name, _)| name);
        told.eq(key)
    }

    /// How much that was.
    fn forget(&mut self) -> usize {
        self.read = None;
        self.touched = None;
        std::mem::take(&mut self.rows).values().map(Row::size).sum()
    }

    /// Takes what is remembered of a row that the transaction `id` changes.
    fn take(&mut self, id: u32, key: &[Sent], remembered: &mut usize) -> Option<Row> {
        let row = self.rows.remove(key)?;
        *remembered -= row.size();
        // The reading saw that already, and so not what was before.
        let is_late = row.read && self.read.as_ref().is_none_or(|(seen, _)| seen.sees(id));
        (!is_late).then_some(row)
    }

    fn touch(&mut self, old: &[Sent], new: Option<&Vec<Sent>>) {
        let Some(touched) = &mut self.touched else { return };
        touched.insert(old.to_vec());
        touched.extend(new.cloned());
        if touched.len() > TOUCHED {
            self.touched = None;
        }
    }

    /// The key of the row as it was and as it is, where it has one.
    fn key(columns: &[(String, bool)], change: &Change) -> Option<(Vec<Sent>, Option<Vec<Sent>>)> {
        if !columns.iter().any(|(_, key)| *key) {
            return None;
        }
        let pick = |cells: &[Sent]| {
            let keyed = columns.iter().zip(cells).filter(|((_, key), _)| *key);
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
        rows.add(5, &change, &[(tenant, true)], &mut changes);
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
        assert!(rows.add(5, &update(1, 5), &[(tenant.clone(), true)], &mut changes));
        let mut changes = Changes::default();
        for id in 2..=IMAGES {
            assert!(rows.add(5, &update(id, id), &[(tenant.clone(), true)], &mut changes));
        }
        assert!(!rows.add(5, &update(0, 0), &[(tenant.clone(), true)], &mut changes));
        assert!(!rows.add(5, &update(1, 7), &[(tenant.clone(), true)], &mut changes));
        assert_eq!(rows.remembered, 0);
        // Another column is asked for in the middle of a transaction.
        let mut changes = Changes::default();
        assert!(rows.add(5, &update(1, 5), &[(tenant.clone(), true)], &mut changes));
        let other: Column = ("id".into(), KeyKind::Integer);
        let both = [(tenant.clone(), true), (other, true)];
        assert!(!rows.add(5, &update(1, 6), &both, &mut changes));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "8"]))), None);
    }

    /// Rows `(id, tenant)` that a reading found.
    fn loaded(snapshot: &str, rows: &[[&'static str; 2]]) -> Loaded {
        let row = |[id, tenant]: &[&'static str; 2]| {
            let value = KeyKind::Integer.value(tenant).expect("a number");
            (cells(&[id]), vec![Cell::Value(value)])
        };
        Loaded {
            snapshot: Snapshot::parse(snapshot).expect("parses"),
            key: vec!["id".to_owned()],
            columns: vec![("tenant".into(), KeyKind::Integer)],
            rows: rows.iter().map(row).collect(),
        }
    }

    /// Transaction 5 is the one that `touch` is told of.
    const BEFORE: &str = "5:5:";
    const AFTER: &str = "6:6:";

    #[test]
    fn what_was_read_is_what_a_row_was() {
        let mut rows = Rows::default();
        rows.begin(1);
        assert!(rows.load(1, loaded(BEFORE, &[["1", "7"], ["2", "8"]])));
        let columns = vec![("id".to_owned(), true), ("tenant".to_owned(), false)];
        rows.describe(Relation { oid: 1, columns: columns.clone() });
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "9"]))), Some(vec![7, 9]));
        assert_eq!(touch(&mut rows, Old::Key(cells(&["2", "NULL"])), None), Some(vec![8]));
        assert_eq!(touch(&mut rows, Old::Key(cells(&["2", "NULL"])), None), None);
        assert_eq!(rows.take_doubted(), BTreeSet::from([1]));
        assert_eq!(rows.remembered(), 2);
        // Its values may have been rewritten.
        rows.describe(Relation { oid: 1, columns });
        assert_eq!((touch(&mut rows, Old::SameKey, Some(cells(&["1", "9"])))), None);
    }

    #[test]
    fn what_was_read_too_late_is_not_believed() {
        let mut rows = table(false);
        rows.begin(1);
        assert!(rows.load(1, loaded(AFTER, &[["1", "7"]])));
        // The reading has seen this one already.
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "7"]))), None);
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "8"]))), Some(vec![7, 8]));
    }

    #[test]
    fn what_was_told_meanwhile_counts() {
        let mut rows = table(false);
        assert_eq!(touch(&mut rows, Old::Absent, Some(cells(&["9", "3"]))), Some(vec![3]));
        rows.begin(1);
        assert_eq!(touch(&mut rows, Old::Absent, Some(cells(&["1", "7"]))), Some(vec![7]));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["2", "8"]))), None);
        assert_eq!(touch(&mut rows, Old::Key(cells(&["3", "NULL"])), None), None);
        assert!(rows.load(1, loaded(BEFORE, &[["2", "1"], ["3", "1"], ["4", "1"]])));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["1", "7"]))), Some(vec![7]));
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["2", "8"]))), Some(vec![8]));
        assert_eq!(touch(&mut rows, Old::Key(cells(&["3", "NULL"])), None), None);
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["4", "2"]))), Some(vec![1, 2]));
        // It was there before, and the reading did not find it.
        assert_eq!(touch(&mut rows, Old::SameKey, Some(cells(&["9", "3"]))), None);
    }

    #[test]
    fn a_reading_of_what_was_forgotten_counts_for_nothing() {
        let columns = |key: bool| vec![("id".to_owned(), key), ("tenant".to_owned(), !key)];
        let mut rows = table(false);
        rows.begin(1);
        rows.forget(1);
        assert!(rows.load(1, loaded(BEFORE, &[["1", "7"]])));
        assert_eq!(rows.remembered(), 0);
        rows.begin(1);
        rows.give_up(1);
        assert!(rows.load(1, loaded(BEFORE, &[["1", "7"]])));
        assert_eq!(rows.remembered(), 0);
        // Another key than the log tells, before and after it is described.
        let mut rows = Rows::default();
        rows.begin(1);
        assert!(rows.load(1, loaded(BEFORE, &[["1", "7"]])));
        rows.describe(Relation { oid: 1, columns: columns(false) });
        assert_eq!(rows.remembered(), 0);
        rows.begin(1);
        assert!(rows.load(1, loaded(BEFORE, &[["1", "7"]])));
        assert_eq!(rows.remembered(), 0);
        // Objects changed, and nobody knows whether this one did.
        let mut rows = Rows::default();
        rows.begin(1);
        assert!(rows.load(1, loaded(BEFORE, &[["1", "7"]])));
        rows.forget_undescribed();
        assert_eq!((rows.remembered(), rows.take_doubted()), (0, BTreeSet::from([1])));
    }
}
