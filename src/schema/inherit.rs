//! Inherited roles: the permissions of several roles as those of one.
//!
//! A row is seen when some part sees it; a cell only where a part that has the
//! column sees the row. Everything else would show what no part may see.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::access::{ComputedAccess, SelectAccess, TableAccess};
use super::predicate::Predicate;

/// The permissions of the parts together; what is said of the role itself
/// (`own`) stands before them, command by command.
pub(super) fn union(own: Option<&TableAccess>, parts: &[&TableAccess]) -> TableAccess {
    let select: Vec<&SelectAccess> = parts.iter().filter_map(|part| part.select.as_ref()).collect();
    TableAccess {
        select: own.and_then(|own| own.select.clone()).or_else(|| selects(&select)),
        // Two parts that may write in different ways give no way to tell
        // which one a row was written by: then none is inherited.
        insert: own.and_then(|own| own.insert.clone()).or_else(|| {
            single(parts.iter().filter_map(|part| part.insert.as_ref()), |a, b| {
                a.columns == b.columns
                    && a.check == b.check
                    && a.presets == b.presets
                    && a.backend_only == b.backend_only
            })
        }),
        update: own.and_then(|own| own.update.clone()).or_else(|| {
            single(parts.iter().filter_map(|part| part.update.as_ref()), |a, b| {
                a.columns == b.columns
                    && a.filter == b.filter
                    && a.check == b.check
                    && a.presets == b.presets
                    && a.backend_only == b.backend_only
            })
        }),
        delete: own.and_then(|own| own.delete.clone()).or_else(|| {
            single(parts.iter().filter_map(|part| part.delete.as_ref()), |a, b| {
                a.filter == b.filter && a.backend_only == b.backend_only
            })
        }),
    }
}

/// The one that all are.
fn single<'a, T: Clone + 'a>(
    mut all: impl Iterator<Item = &'a T>,
    same: impl Fn(&T, &T) -> bool,
) -> Option<T> {
    let first = all.next()?;
    all.all(|other| same(first, other)).then(|| first.clone())
}

fn selects(parts: &[&SelectAccess]) -> Option<SelectAccess> {
    let (first, rest) = parts.split_first()?;
    if rest.is_empty() {
        return Some((*first).clone());
    }
    let any = |filters: Vec<&Arc<Predicate>>| {
        if filters.iter().any(|filter| filter.is_true()) {
            Predicate::TRUE
        } else {
            Predicate::Or(filters.into_iter().map(|filter| filter.as_ref().clone()).collect())
        }
    };
    let mut columns = first.columns.clone();
    let mut readable = first.readable.clone();
    let mut query_roots = first.query_roots;
    let mut subscription_roots = first.subscription_roots;
    for part in rest {
        columns = columns.union(&part.columns);
        readable = readable.union(&part.readable);
        query_roots = query_roots.union(part.query_roots);
        subscription_roots = subscription_roots.union(part.subscription_roots);
    }
    let mut cells = BTreeMap::new();
    for column in columns.iter() {
        let having: Vec<_> = parts.iter().filter(|part| part.columns.contains(column)).collect();
        if having.len() < parts.len() {
            let condition = any(having.iter().map(|part| &part.filter).collect());
            if !condition.is_true() {
                cells.insert(column, Arc::new(condition));
            }
        }
    }
    let mut named: Vec<usize> = parts
        .iter()
        .flat_map(|part| match &part.computed {
            ComputedAccess::Named(named) => named.clone(),
            ComputedAccess::All => Vec::new(),
        })
        .collect();
    named.sort_unstable();
    named.dedup();
    let mut computed_cells = BTreeMap::new();
    for index in &named {
        let having: Vec<_> = parts.iter().filter(|part| part.computed.allows(*index)).collect();
        if having.len() < parts.len() {
            let condition = any(having.iter().map(|part| &part.filter).collect());
            if !condition.is_true() {
                computed_cells.insert(*index, Arc::new(condition));
            }
        }
    }
    let limits: Option<Vec<u64>> = parts.iter().map(|part| part.limit).collect();
    Some(SelectAccess {
        columns,
        readable,
        computed: ComputedAccess::Named(named),
        filter: Arc::new(any(parts.iter().map(|part| &part.filter).collect())),
        limit: limits.and_then(|limits| limits.into_iter().max()),
        aggregations: parts.iter().any(|part| part.aggregations),
        query_roots,
        subscription_roots,
        cells,
        computed_cells,
    })
}
