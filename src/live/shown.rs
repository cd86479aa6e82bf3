//! Which rows groups show, and what is doubtful about them.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;

use super::keys::Value;
use super::snapshot::{Ids, Snapshot, widened};
use crate::catalog::model::Oid;

/// Doubts that are kept.
const KEPT: usize = 8192;
/// Rows of all groups together, each counted for each group that shows it.
const SHOWN: usize = 400_000;

/// Stands for a row of some table by its key. Two rows may have the same: a
/// group then reads once too often.
pub(super) type RowId = u64;

/// Makes the ids of rows.
#[derive(Debug, Clone, Default)]
pub(super) struct RowIds(RandomState);

impl RowIds {
    pub(super) fn id<'a>(&self, table: Oid, key: impl IntoIterator<Item = &'a Value>) -> RowId {
        self.0.hash_one((table, key.into_iter().collect::<Vec<_>>()))
    }

    /// The ids of rows by table and key, sorted.
    pub(super) fn of(&self, rows: &[(Oid, Vec<Value>)]) -> Box<[RowId]> {
        let mut ids: Vec<RowId> = rows.iter().map(|(table, key)| self.id(*table, key)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into()
    }
}

/// The rows of all groups that tell theirs.
///
/// A group is *unsure* while something is pending for it: it may show other
/// rows than it told. A doubt about a row is not told to it, but kept; when a
/// reading has answered all else, the group looks at those that came meanwhile,
/// and at older ones that no reading has seen: what it shows is from before
/// them.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) ids: RowIds,
    rows: BTreeSet<(RowId, u64)>,
    by_group: HashMap<u64, Box<[RowId]>>,
    /// The places of the first doubts that they have to look at.
    unsure: HashMap<u64, u64>,
    /// The last doubts, and the transactions that they are about.
    doubts: VecDeque<(u32, RowId)>,
    /// The place of the first of them.
    first: u64,
    /// The place of the first that no reading has seen.
    unseen: u64,
    /// Those that are not kept any more, and that no reading has seen.
    lost: Option<Ids>,
}

impl Shown {
    pub(super) fn groups(&self, row: RowId) -> impl Iterator<Item = u64> {
        self.rows.range((row, u64::MIN)..=(row, u64::MAX)).map(|(_, group)| *group)
    }

    pub(super) fn shows(&self, group: u64, row: RowId) -> bool {
        self.rows.contains(&(row, group))
    }

    /// The rows that a group shows from now on, sorted. False when all groups
    /// together show too many.
    pub(super) fn set(&mut self, group: u64, rows: Box<[RowId]>) -> bool {
        let before = self.by_group.remove(&group).unwrap_or_default();
        if before != rows {
            for row in before.iter().filter(|row| rows.binary_search(row).is_err()) {
                self.rows.remove(&(*row, group));
            }
            if self.rows.len() + rows.len() > SHOWN {
                for row in &before {
                    self.rows.remove(&(*row, group));
                }
                return false;
            }
            let fresh = rows.iter().filter(|row| before.binary_search(row).is_err());
            self.rows.extend(fresh.map(|row| (*row, group)));
        }
        self.by_group.insert(group, rows);
        true
    }

    pub(super) fn forget(&mut self, group: u64) {
        for row in self.by_group.remove(&group).iter().flatten() {
            self.rows.remove(&(*row, group));
        }
    }

    /// Something is told to a group.
    pub(super) fn unsure(&mut self, group: u64) {
        self.unsure.entry(group).or_insert(self.unseen);
    }

    /// A group begins to read: it sees what some reading has seen. False when some
    /// doubts that it may not see are not kept any more.
    pub(super) fn begin(&mut self, group: u64) -> bool {
        let end = self.end();
        let from = self.unsure.entry(group).or_default();
        *from = self.unseen.max(*from);
        let kept = *from >= self.first;
        if !kept {
            *from = end;
        }
        kept
    }

    pub(super) fn sure(&mut self, group: u64) {
        self.unsure.remove(&group);
    }

    /// What a snapshot sees every later one does, too.
    pub(super) fn seen(&mut self, snapshot: &Snapshot) {
        if self.lost.is_some_and(|(first, last)| !snapshot.sees_all(first, last)) {
            return;
        }
        self.lost = None;
        self.unseen = self.unseen.max(self.first);
        let skipped = usize::try_from(self.unseen - self.first).unwrap_or(usize::MAX);
        let rest = self.doubts.iter().skip(skipped);
        let seen = rest.take_while(|(id, _)| snapshot.sees(*id)).count();
        self.unseen += u64::try_from(seen).unwrap_or_default();
    }

    /// Gives a group that is unsure the doubts that it has not looked at; `None`
    /// when some of them are not kept any more.
    pub(super) fn doubts(&mut self, group: u64) -> Option<impl Iterator<Item = (u32, RowId)>> {
        let end = self.end();
        let from = self.unsure.get_mut(&group).map_or(end, |from| std::mem::replace(from, end));
        let skipped = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.doubts.iter().skip(skipped).copied())
    }

    pub(super) fn doubt(&mut self, transaction: u32, row: RowId) {
        if self.doubts.back() == Some(&(transaction, row)) {
            return;
        }
        if self.doubts.len() >= KEPT {
            let dropped = self.doubts.pop_front().map(|(id, _)| (id, id));
            if self.unseen <= self.first {
                self.lost = widened(self.lost, dropped);
            }
            self.first += 1;
        }
        self.doubts.push_back((transaction, row));
    }

    /// Nobody asks for the doubts so far.
    pub(super) fn forget_doubts(&mut self) {
        self.first = self.end();
        self.unseen = self.first;
        self.lost = None;
        self.doubts.clear();
    }

    fn end(&self) -> u64 {
        self.first + u64::try_from(self.doubts.len()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_that_are_not_kept_are_known_to_be_missing() {
        let mut shown = Shown::default();
        shown.unsure(1);
        for id in 0..u32::try_from(KEPT).expect("fits") + 5 {
            shown.doubt(id, 1);
        }
        let mut seen = |snapshot| shown.seen(&Snapshot::parse(snapshot).expect("parses"));
        seen("2:9999:2");
        seen("9999:9999:");
        shown.unsure(2);
        assert_eq!(shown.doubts(1).map(Iterator::count), None);
        assert_eq!(shown.doubts(1).map(Iterator::count), Some(0));
        assert_eq!(shown.doubts(2).map(Iterator::count), Some(0));
    }

    #[test]
    fn rows_of_all_groups_are_bounded() {
        let mut shown = Shown::default();
        let many: Box<[RowId]> = (0..u64::try_from(SHOWN).expect("fits")).collect();
        assert!(shown.set(1, many.clone()));
        assert!(shown.set(1, many));
        assert!(!shown.set(2, [7].into()));
        assert!(!shown.shows(2, 7));
        assert!(shown.set(1, [7].into()));
        assert!(shown.set(2, [7].into()));
        assert_eq!(shown.groups(7).collect::<Vec<_>>(), [1, 2]);
        shown.forget(1);
        assert_eq!(shown.rows.len(), 1);
    }
}
