//! Which relations may be shown at all: rows that row-level security fences
//! must not come out through a door beside it.
//!
//! An owner's view reads what is below it with the owner's rights, a
//! materialised view holds rows that were read with them, and a partition read
//! directly is bound by its own policies, not those of the table it belongs to.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::model::{Catalog, Oid, Relation, Table, TableKind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposure {
    Yes,
    No(Hidden),
}

/// Why a relation is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    /// It is reached through the table it is a part of.
    Partition,
    /// Its stored rows come from a relation with row-level security.
    Materialized { below: Oid, name: Arc<str> },
    /// It reads a relation with row-level security as a role that its
    /// policies do not bind.
    OwnerView { below: Oid, name: Arc<str>, owner: Arc<str> },
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hidden::Partition => f.write_str("it is a partition; the partitioned table is shown"),
            Hidden::Materialized { name, .. } => {
                write!(f, "it stores rows of {name}, whose row-level security does not hold for it")
            }
            Hidden::OwnerView { name, owner, .. } => {
                write!(f, "it reads {name} as {owner}, whom its row-level security does not bind")
            }
        }
    }
}

impl Table {
    /// Whether the relation may be shown to roles of requests.
    /// `owner_views` is the setting `schema.expose_owner_views`.
    pub fn exposure(&self, catalog: &Catalog, owner_views: bool) -> Exposure {
        if self.is_partition {
            return Exposure::No(Hidden::Partition);
        }
        let below = match self.kind {
            TableKind::MaterializedView => catalog.fenced_below(self.oid).map(|relation| {
                Hidden::Materialized { below: relation.oid, name: relation.name.clone() }
            }),
            TableKind::View if !owner_views => {
                catalog.unfenced_below(self.oid).map(|(relation, owner)| Hidden::OwnerView {
                    below: relation.oid,
                    name: relation.name.clone(),
                    owner: catalog.role_name(owner),
                })
            }
            _ => None,
        };
        below.map_or(Exposure::Yes, Exposure::No)
    }
}

impl Catalog {
    /// The name of a role, or its number when it is gone.
    pub fn role_name(&self, oid: Oid) -> Arc<str> {
        match self.roles.get(&oid) {
            Some(role) => role.name.clone(),
            None if oid == 0 => "public".into(),
            None => oid.to_string().into(),
        }
    }

    /// A relation with row-level security below a view, at any depth.
    pub fn fenced_below(&self, view: Oid) -> Option<&Relation> {
        let mut seen = HashSet::from([view]);
        let mut open = vec![view];
        while let Some(next) = open.pop() {
            let Some(relation) = self.relations.get(&next) else { continue };
            if relation.rls_enabled {
                return Some(relation);
            }
            open.extend(relation.reads.iter().copied().filter(|oid| seen.insert(*oid)));
        }
        None
    }

    /// A relation with row-level security that reading `view` reaches as a
    /// role which the policies do not bind, and that role.
    pub fn unfenced_below(&self, view: Oid) -> Option<(&Relation, Oid)> {
        let mut seen = HashSet::new();
        let mut open = vec![(view, None)];
        while let Some((next, checked_as)) = open.pop() {
            let Some(relation) = self.relations.get(&next) else { continue };
            if !seen.insert((next, checked_as)) {
                continue;
            }
            if let Some(role) = checked_as
                && relation.rls_enabled
                && self.rights(role).bypass(relation)
            {
                return Some((relation, role));
            }
            if relation.kind == TableKind::View {
                // Below an invoker's view the caller counts again, even when
                // the view is read by an owner's view.
                let below = (!relation.security_invoker).then_some(relation.owner);
                open.extend(relation.reads.iter().map(|oid| (*oid, below)));
            }
        }
        None
    }
}
