//! Which tables decide the answer to a statement.
//!
//! ```text
//! tables, functions of the statement ─▶ policies ─▶ their relations, functions ─▶ …
//!                                   └▶ views ─▶ what lies below
//! ```
//!
//! All policies count, whoever they are for: the answer has more tables in
//! doubt, never fewer.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::model::{Catalog, Oid, PolicyCommand, SettingsRead, TableKind};
use super::reads::is_restless;

/// What an answer depends on, beside the statement and its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependence {
    /// Relations that hold rows; true for those that something else than the
    /// statement itself reads, too.
    pub relations: BTreeMap<Oid, bool>,
    /// Settings that policies, views and functions read.
    pub settings: SettingsRead,
    /// The answer may change although no row of these relations does, or
    /// depend on something that is not known.
    pub opaque: bool,
}

impl Catalog {
    /// What a statement depends on that reads these tables and calls these
    /// functions.
    pub fn dependence(
        &self,
        tables: impl IntoIterator<Item = Oid>,
        functions: impl IntoIterator<Item = Oid>,
    ) -> Dependence {
        let settings = SettingsRead { closed: true, ..SettingsRead::default() };
        let out = Dependence { settings, ..Dependence::default() };
        let mut walk = Walk { catalog: self, out, seen: HashSet::new() };
        let tables: BTreeSet<Oid> = tables.into_iter().collect();
        for table in &tables {
            walk.out.relations.insert(*table, false);
        }
        for table in tables {
            match self.table_by_oid(table) {
                Some(table) => walk.out.settings.absorb(&table.select_settings),
                None => walk.out.opaque = true,
            }
            walk.relation(table, true);
        }
        for function in functions {
            match self.functions.get(&function) {
                Some(function) => walk.out.settings.absorb(&function.settings),
                None => walk.out.opaque = true,
            }
            walk.function(function);
        }
        let mut out = walk.out;
        out.opaque |= out.settings.restless || out.settings.computed || !out.settings.closed;
        out
    }
}

struct Walk<'a> {
    catalog: &'a Catalog,
    out: Dependence,
    seen: HashSet<Oid>,
}

impl Walk<'_> {
    fn relation(&mut self, oid: Oid, direct: bool) {
        let Some(relation) = self.catalog.relations.get(&oid) else {
            self.out.opaque = true;
            return;
        };
        let view = relation.kind == TableKind::View;
        if view {
            self.out.relations.remove(&oid);
        } else {
            *self.out.relations.entry(oid).or_default() |= !direct;
        }
        if !self.seen.insert(oid) {
            return;
        }
        if relation.rls_enabled {
            for policy in &relation.policies {
                if matches!(policy.command, PolicyCommand::All | PolicyCommand::Select) {
                    policy.reads.iter().for_each(|below| self.relation(*below, false));
                    policy.calls.iter().for_each(|function| self.function(*function));
                }
            }
        }
        if view {
            relation.reads.iter().for_each(|below| self.relation(*below, false));
            relation.calls.iter().for_each(|function| self.function(*function));
        }
    }

    fn function(&mut self, oid: Oid) {
        let Some(function) = self.catalog.functions.get(&oid) else {
            self.out.opaque = true;
            return;
        };
        if !self.seen.insert(oid) {
            return;
        }
        self.out.opaque |= function.dynamic_sql;
        if function.extension.is_some() {
            self.out.opaque |= is_restless(&function.name);
        }
        function.reads.iter().for_each(|relation| self.relation(*relation, false));
        let called = function.calls.iter().chain(&function.mentions);
        called.for_each(|function| self.function(*function));
    }
}
