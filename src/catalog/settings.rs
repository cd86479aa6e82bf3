//! Which settings (`current_setting`) policies, views and functions read.

use std::collections::HashMap;

use super::model::{Catalog, Oid};

/// Texts of a catalogue that matter only for this analysis.
#[expect(dead_code, reason = "read by the analysis, which follows")]
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Object → functions that it depends on (`pg_depend`).
    pub(super) calls: HashMap<Oid, Vec<Oid>>,
    /// Extension → names of its functions that are not written in a language
    /// we can read.
    pub(super) extension_functions: HashMap<String, Vec<String>>,
    /// View definitions, rules, defaults, checks, triggers.
    pub(super) rules: Vec<Source>,
}

#[expect(dead_code, reason = "read by the analysis, which follows")]
#[derive(Debug)]
pub(super) struct Source {
    pub(super) oid: Oid,
    /// The view that the text defines.
    pub(super) view: Option<Oid>,
    pub(super) text: String,
}

pub(super) fn analyse(catalog: &mut Catalog, _sources: &Sources) {
    for table in &mut catalog.tables {
        if let Some(relation) = catalog.relations.get(&table.oid) {
            table.policies.clone_from(&relation.policies);
        }
    }
}
