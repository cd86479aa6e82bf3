//! What of an earlier generation still holds: a change of one table leaves the
//! permissions of the others as they are, and most of the work is in those.

use std::sync::Arc;

use crate::metadata::Table as Written;

use super::{Tracked, TrackedId, TrackedTable};

/// What the permissions of a table were made from, beside the table itself.
#[derive(Debug)]
pub(super) struct Origin {
    written: Arc<Written>,
    /// Tables that a condition leads to.
    mentions: Box<[TrackedId]>,
}

impl Origin {
    pub(super) fn new(
        written: Arc<Written>,
        mentions: impl IntoIterator<Item = TrackedId>,
    ) -> Self {
        Origin { written, mentions: mentions.into_iter().collect() }
    }
}

/// An earlier generation over the same catalogues.
pub(super) struct Earlier<'a> {
    tables: &'a [TrackedTable],
    /// By [`TrackedId`]: whether conditions find there what they found then.
    same: Vec<bool>,
}

impl<'a> Earlier<'a> {
    /// `None` when nothing of `before` can be taken for `now`, which has all but
    /// permissions.
    pub(super) fn of(before: &'a Tracked, now: &Tracked) -> Option<Self> {
        let catalogs = before.sources.len() == now.sources.len()
            && before.sources.iter().zip(&now.sources).all(|(before, now)| {
                before.name == now.name && Arc::ptr_eq(&before.catalog, &now.catalog)
            });
        let same = before.tables.iter().zip(&now.tables).map(|(before, now)| {
            (before.source, before.table) == (now.source, now.table)
                && before.relationships == now.relationships
                && before.computed == now.computed
        });
        catalogs.then(|| Earlier { tables: &before.tables, same: same.collect() })
    }

    /// The table as it was, if its permissions are the same now.
    pub(super) fn table(&self, id: TrackedId, written: &Arc<Written>) -> Option<&'a TrackedTable> {
        let table = self.tables.get(id.0 as usize)?;
        let origin = table.origin.as_ref()?;
        let same = |id: &TrackedId| self.same.get(id.0 as usize).is_some_and(|same| *same);
        let holds =
            Arc::ptr_eq(&origin.written, written) && same(&id) && origin.mentions.iter().all(same);
        holds.then_some(table)
    }
}
