//! Which relations may be shown at all: rows that row-level security fences
//! must not come out through a door beside it.
//!
//! An owner's view reads what is below it with the owner's rights, as does a
//! SECURITY DEFINER function that a view calls; a materialised view holds rows
//! that were read with its owner's rights, and a partition read directly is
//! bound by its own policies, not those of the table it belongs to. A view is
//! as closed as all that it reaches.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::model::{Catalog, Function, Oid, Relation, Table, TableKind};
use super::privileges::Rights;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposure {
    Yes,
    No(Hidden),
}

/// Why a relation is not shown. A name that is missing is that of a relation
/// which cannot be told, since code of another language or SQL that is built
/// at run time reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    /// It is reached through the table it is a part of.
    Partition,
    /// Its stored rows come from a relation with row-level security.
    Materialized { name: Option<Arc<str>> },
    /// It reads a relation with row-level security as a role that its
    /// policies do not bind.
    OwnerView { below: Oid, name: Arc<str>, owner: Arc<str> },
    /// It reads a materialised view that must not be shown.
    OverMaterialized { below: Oid, view: Arc<str>, name: Option<Arc<str>> },
    /// It reads a partition past the policies of the partitioned table.
    OverPartition { below: Oid, partition: Arc<str>, name: Arc<str> },
    /// It calls a SECURITY DEFINER function that reads a relation with
    /// row-level security as a role that its policies do not bind.
    Definer { function: Oid, called: Arc<str>, name: Option<Arc<str>>, owner: Arc<str> },
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hidden::Partition => f.write_str("it is a partition; the partitioned table is shown"),
            Hidden::Materialized { name: Some(name) } => {
                write!(f, "it stores rows of {name}, whose row-level security does not hold for it")
            }
            Hidden::Materialized { name: None } => {
                f.write_str("it stores rows of which cannot be told where they come from")
            }
            Hidden::OwnerView { name, owner, .. } => {
                write!(f, "it reads {name} as {owner}, whom its row-level security does not bind")
            }
            Hidden::OverMaterialized { view, name: Some(name), .. } => write!(
                f,
                "it reads the materialized view {view}, which stores rows of {name} past its \
                 row-level security"
            ),
            Hidden::OverMaterialized { view, name: None, .. } => write!(
                f,
                "it reads the materialized view {view}, of which cannot be told where its rows \
                 come from"
            ),
            Hidden::OverPartition { partition, name, .. } => write!(
                f,
                "it reads the partition {partition}, for which the row-level security of {name} \
                 does not hold"
            ),
            Hidden::Definer { called, name: Some(name), owner, .. } => write!(
                f,
                "it calls {called}(), which reads {name} as {owner}, whom its row-level security \
                 does not bind"
            ),
            Hidden::Definer { called, name: None, owner, .. } => write!(
                f,
                "it calls {called}(), which runs as {owner}, whom row-level security does not \
                 bind, and what it reads cannot be told"
            ),
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
        let hidden = match self.kind {
            TableKind::MaterializedView => catalog
                .stored(self.oid)
                // The setting settles a doubt, not what is certain.
                .filter(|name| name.is_some() || !owner_views)
                .map(|name| Hidden::Materialized { name }),
            TableKind::View if !owner_views => Walk::new(catalog).door_below(self.oid),
            _ => None,
        };
        hidden.map_or(Exposure::Yes, Exposure::No)
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

    fn function_name(&self, oid: Oid) -> Arc<str> {
        self.functions.get(&oid).map_or_else(|| oid.to_string().into(), |f| f.name.clone())
    }

    /// Whether the stored rows of a materialised view must not be shown, and
    /// the relation with row-level security that they come from, at any depth.
    fn stored(&self, view: Oid) -> Option<Option<Arc<str>>> {
        let mut seen = HashSet::new();
        let mut open = vec![Object::Relation(view)];
        let mut doubt = false;
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            match next {
                Object::Relation(oid) => {
                    let Some(relation) = self.relations.get(&oid) else { continue };
                    if let Some(fence) = self.fence(relation) {
                        return Some(Some(fence.name.clone()));
                    }
                    if matches!(relation.kind, TableKind::View | TableKind::MaterializedView) {
                        doubt |= !relation.own_settings.closed;
                        open.extend(relation.reads.iter().map(|oid| Object::Relation(*oid)));
                        open.extend(relation.calls.iter().map(|oid| Object::Function(*oid)));
                    }
                }
                Object::Function(oid) => {
                    let Some(function) = self.functions.get(&oid) else { continue };
                    open.extend(function.reads.iter().map(|oid| Object::Relation(*oid)));
                    open.extend(called(function).map(Object::Function));
                }
            }
        }
        (doubt && self.relations.values().any(|relation| relation.rls_enabled)).then_some(None)
    }

    /// The relation whose row-level security rows of `relation` belong behind:
    /// itself, or the table that it is a part of.
    fn fence<'a>(&'a self, relation: &'a Relation) -> Option<&'a Relation> {
        let mut next = Some(relation);
        while let Some(relation) = next {
            if relation.rls_enabled {
                return Some(relation);
            }
            next = relation.partition_of.and_then(|parent| self.relations.get(&parent));
        }
        None
    }
}

/// The functions that a function calls, by dependencies and by its text.
fn called(function: &Function) -> impl Iterator<Item = Oid> + '_ {
    function.calls.iter().chain(&function.mentions).copied()
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Object {
    Relation(Oid),
    Function(Oid),
}

/// With whose rights something is read or run.
#[derive(Clone, Copy)]
enum As {
    Caller,
    ViewOwner(Oid),
    /// The owner of a SECURITY DEFINER function.
    Definer {
        function: Oid,
        owner: Oid,
    },
}

impl As {
    fn role(self) -> Option<Oid> {
        match self {
            As::Caller => None,
            As::ViewOwner(owner) | As::Definer { owner, .. } => Some(owner),
        }
    }
}

/// A walk through everything that reading a view reaches, as Postgres would
/// read it: the relations of an owner's view as the owner, those of an
/// invoker's view and all functions as the user of the statement, which inside
/// a SECURITY DEFINER function is its owner. Policies are not followed: what
/// they read decides about rows but is not shown.
struct Walk<'a> {
    catalog: &'a Catalog,
    rights: HashMap<Oid, Rights>,
    /// What was reached, the role that it was checked as, and the user.
    seen: HashSet<(Object, Option<Oid>, Option<Oid>)>,
    open: Vec<(Object, As, As)>,
    /// A door of which it is not certain that it leads past a fence.
    doubt: Option<Hidden>,
}

impl<'a> Walk<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Walk {
            catalog,
            rights: HashMap::new(),
            seen: HashSet::new(),
            open: Vec::new(),
            doubt: None,
        }
    }

    fn door_below(mut self, view: Oid) -> Option<Hidden> {
        self.open.push((Object::Relation(view), As::Caller, As::Caller));
        while let Some((object, checked_as, user)) = self.open.pop() {
            if !self.seen.insert((object, checked_as.role(), user.role())) {
                continue;
            }
            let door = match object {
                Object::Relation(oid) => self.relation(oid, checked_as, user),
                Object::Function(oid) => {
                    self.function(oid, user);
                    None
                }
            };
            if door.is_some() {
                return door;
            }
        }
        self.doubt
    }

    fn bypasses(&mut self, role: Oid, relation: &Relation) -> bool {
        self.rights.entry(role).or_insert_with(|| self.catalog.rights(role)).bypass(relation)
    }

    /// Whether the policies of `relation` do not bind whom it is read as.
    fn past(&mut self, relation: &Relation, checked_as: As) -> Option<Hidden> {
        let role = checked_as.role().filter(|role| self.bypasses(*role, relation))?;
        let name = relation.name.clone();
        let owner = self.catalog.role_name(role);
        Some(match checked_as {
            As::Definer { function, .. } => Hidden::Definer {
                function,
                called: self.catalog.function_name(function),
                name: Some(name),
                owner,
            },
            As::ViewOwner(_) | As::Caller => Hidden::OwnerView { below: relation.oid, name, owner },
        })
    }

    fn relation(&mut self, oid: Oid, checked_as: As, user: As) -> Option<Hidden> {
        let catalog = self.catalog;
        let relation = catalog.relations.get(&oid)?;
        if relation.rls_enabled {
            return self.past(relation, checked_as);
        }
        match relation.kind {
            TableKind::MaterializedView => {
                let name = catalog.stored(oid)?;
                let certain = name.is_some();
                let door =
                    Hidden::OverMaterialized { below: oid, view: relation.name.clone(), name };
                if certain {
                    return Some(door);
                }
                self.doubt.get_or_insert(door);
                None
            }
            TableKind::View => {
                let below =
                    if relation.security_invoker { user } else { As::ViewOwner(relation.owner) };
                self.reach(&relation.reads, below, user);
                self.call(relation.calls.iter().copied(), user);
                None
            }
            _ => catalog.fence(relation).map(|fence| Hidden::OverPartition {
                below: oid,
                partition: relation.name.clone(),
                name: fence.name.clone(),
            }),
        }
    }

    fn function(&mut self, oid: Oid, user: As) {
        let catalog = self.catalog;
        let Some(function) = catalog.functions.get(&oid) else { return };
        let user = if function.security_definer {
            As::Definer { function: oid, owner: function.owner }
        } else {
            user
        };
        if let As::Definer { function: definer, owner } = user
            && self.doubt.is_none()
            && !function.settings.closed
            && catalog.relations.values().any(|r| r.rls_enabled && self.bypasses(owner, r))
        {
            self.doubt = Some(Hidden::Definer {
                function: definer,
                called: catalog.function_name(definer),
                name: None,
                owner: catalog.role_name(owner),
            });
        }
        self.reach(&function.reads, user, user);
        self.call(called(function), user);
    }

    fn reach(&mut self, relations: &[Oid], checked_as: As, user: As) {
        self.open.extend(relations.iter().map(|oid| (Object::Relation(*oid), checked_as, user)));
    }

    fn call(&mut self, functions: impl Iterator<Item = Oid>, user: As) {
        self.open.extend(functions.map(|oid| (Object::Function(oid), user, user)));
    }
}
