//! Who may do what, computed from ACLs and memberships without asking the
//! database once per role.
//!
//! The rules are those of Postgres' `aclmask` and `has_privs_of_role`: a role
//! has its own grants, those of the roles whose rights it inherits, and those
//! of PUBLIC; nothing in a schema without USAGE of it; a superuser has
//! everything. An owner's rights are grants like others.

use std::collections::{BTreeSet, HashMap};

use super::model::{
    AclItem, Catalog, ColumnId, Oid, Policy, PolicyCommand, Privilege, Relation, Table, TableId,
};

/// PUBLIC as a grantee.
pub const PUBLIC: Oid = 0;

/// A set of columns of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ColumnSet(Vec<u64>);

impl ColumnSet {
    /// The first `count` columns.
    pub fn first(count: usize) -> Self {
        let mut set = ColumnSet(vec![u64::MAX; count / 64]);
        if !count.is_multiple_of(64) {
            set.0.push((1 << (count % 64)) - 1);
        }
        set
    }

    pub fn insert(&mut self, id: ColumnId) {
        let word = usize::from(id.0) / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (id.0 % 64);
        }
    }

    pub fn remove(&mut self, id: ColumnId) {
        if let Some(bits) = self.0.get_mut(usize::from(id.0) / 64) {
            *bits &= !(1 << (id.0 % 64));
        }
    }

    #[must_use]
    pub fn intersection(&self, other: &ColumnSet) -> ColumnSet {
        ColumnSet(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    #[must_use]
    pub fn union(&self, other: &ColumnSet) -> ColumnSet {
        let (long, short) =
            if self.0.len() >= other.0.len() { (self, other) } else { (other, self) };
        let mut out = long.clone();
        for (bits, more) in out.0.iter_mut().zip(&short.0) {
            *bits |= more;
        }
        out
    }

    pub fn contains(&self, id: ColumnId) -> bool {
        self.0.get(usize::from(id.0) / 64).is_some_and(|bits| bits & (1 << (id.0 % 64)) != 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = ColumnId> + '_ {
        (0u16..).zip(self.0.iter()).flat_map(|(word, bits)| {
            (0u16..64)
                .filter(move |bit| bits & (1 << bit) != 0)
                .map(move |bit| ColumnId(word * 64 + bit))
        })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TablePrivileges {
    pub select: ColumnSet,
    pub insert: ColumnSet,
    pub update: ColumnSet,
    pub delete: bool,
    pub truncate: bool,
    pub references: bool,
    pub trigger: bool,
}

/// The rights of one role on the exposed tables.
#[derive(Debug, Clone)]
pub struct RolePrivileges {
    role: Oid,
    tables: Vec<TablePrivileges>,
    none: TablePrivileges,
}

impl RolePrivileges {
    pub fn role(&self) -> Oid {
        self.role
    }

    pub fn table(&self, id: TableId) -> &TablePrivileges {
        self.tables.get(id.0 as usize).unwrap_or(&self.none)
    }

    pub fn select(&self, id: TableId) -> &ColumnSet {
        &self.table(id).select
    }

    pub fn insert(&self, id: TableId) -> &ColumnSet {
        &self.table(id).insert
    }

    pub fn update(&self, id: TableId) -> &ColumnSet {
        &self.table(id).update
    }

    pub fn delete(&self, id: TableId) -> bool {
        self.table(id).delete
    }
}

/// A role together with every role whose rights it has.
#[derive(Debug, Clone)]
pub struct Rights {
    role: Oid,
    superuser: bool,
    bypass_rls: bool,
    read_all: bool,
    write_all: bool,
    holds: BTreeSet<Oid>,
}

impl Rights {
    /// Has the rights of `role` (`has_privs_of_role`), PUBLIC included.
    pub fn hold(&self, role: Oid) -> bool {
        self.superuser || role == PUBLIC || self.holds.contains(&role)
    }

    fn granted(&self, acl: &[AclItem], privilege: Privilege) -> bool {
        self.superuser
            || acl.iter().any(|item| {
                item.privilege == privilege
                    && (item.grantee == PUBLIC || self.holds.contains(&item.grantee))
            })
    }

    fn uses(&self, catalog: &Catalog, schema: Oid) -> bool {
        self.read_all
            || self.write_all
            || catalog
                .schemas
                .get(&schema)
                .is_some_and(|schema| self.granted(&schema.acl, Privilege::Usage))
    }
}

impl Catalog {
    /// The roles whose rights `role` has without SET ROLE, itself included.
    pub fn rights(&self, role: Oid) -> Rights {
        let holds = self.closure(role, |membership| membership.inherit);
        let holds_named =
            |name: &str| self.role_names.get(name).is_some_and(|oid| holds.contains(oid));
        let own = self.roles.get(&role);
        let superuser = own.is_some_and(|role| role.superuser);
        Rights {
            role,
            superuser,
            bypass_rls: superuser || own.is_some_and(|role| role.bypass_rls),
            read_all: superuser || holds_named("pg_read_all_data"),
            write_all: superuser || holds_named("pg_write_all_data"),
            holds,
        }
    }

    fn closure(
        &self,
        role: Oid,
        follow: impl Fn(&super::model::Membership) -> bool,
    ) -> BTreeSet<Oid> {
        let mut reached = BTreeSet::from([role]);
        let mut open = vec![role];
        while let Some(next) = open.pop() {
            let listed = self.roles.get(&next).into_iter().flat_map(|role| &role.member_of);
            // The owner of the database belongs to pg_database_owner unlisted.
            let implied = (next == self.database_owner)
                .then(|| self.role_names.get("pg_database_owner").copied())
                .flatten();
            for target in listed.filter(|m| follow(m)).map(|m| m.role).chain(implied) {
                if reached.insert(target) {
                    open.push(target);
                }
            }
        }
        reached
    }

    /// What `role` may do with each exposed table.
    pub fn privileges(&self, role: Oid) -> RolePrivileges {
        let rights = self.rights(role);
        let mut usage: HashMap<Oid, bool> = HashMap::new();
        let tables = self
            .tables
            .iter()
            .map(|table| {
                let uses = *usage
                    .entry(table.schema_oid)
                    .or_insert_with(|| rights.uses(self, table.schema_oid));
                if uses { table_privileges(table, &rights) } else { TablePrivileges::default() }
            })
            .collect();
        RolePrivileges { role, tables, none: TablePrivileges::default() }
    }

    /// Whether a session that logged in as `from` may `SET ROLE to`.
    pub fn may_set_role(&self, from: Oid, to: Oid) -> bool {
        from == to
            || self.roles.get(&from).is_some_and(|role| role.superuser)
            || self.closure(from, |membership| membership.set).contains(&to)
    }

    /// Whether the policies of `relation` do not bind `role`, were RLS enabled
    /// on it: superuser, BYPASSRLS, or the rights of the owner without FORCE.
    pub fn bypasses_rls(&self, role: Oid, relation: Oid) -> bool {
        let rights = self.rights(role);
        self.relations.get(&relation).is_some_and(|relation| rights.bypass(relation))
    }

    pub fn may_execute(&self, role: Oid, function: Oid) -> bool {
        let rights = self.rights(role);
        self.functions.get(&function).is_some_and(|function| {
            rights.uses(self, function.schema_oid)
                && rights.granted(&function.acl, Privilege::Execute)
        })
    }

    /// Whether EXECUTE of a function was granted to a role whose rights these
    /// are, other than through PUBLIC and to its owner.
    pub fn granted_by_name(&self, rights: &Rights, function: Oid) -> bool {
        self.functions.get(&function).is_some_and(|function| {
            function.acl.iter().any(|item| {
                item.privilege == Privilege::Execute
                    && item.grantee != PUBLIC
                    && item.grantee != function.owner
                    && rights.holds.contains(&item.grantee)
            })
        })
    }
}

impl Rights {
    pub fn role(&self) -> Oid {
        self.role
    }

    /// See [`Catalog::bypasses_rls`].
    pub fn bypass(&self, relation: &Relation) -> bool {
        self.bypass_rls || (!relation.rls_forced && self.holds.contains(&relation.owner))
    }

    /// Whether `policy` binds a role with these rights that runs `command`.
    pub fn subject_to(&self, policy: &Policy, command: PolicyCommand) -> bool {
        (policy.command == PolicyCommand::All || policy.command == command)
            && policy.roles.iter().any(|role| self.hold(*role))
    }
}

fn table_privileges(table: &Table, rights: &Rights) -> TablePrivileges {
    let all = ColumnSet::first(table.columns.len());
    let columns = |privilege: Privilege, whole: bool| {
        if whole || rights.granted(&table.acl, privilege) {
            return all.clone();
        }
        let mut set = ColumnSet::default();
        for column in &table.columns {
            if rights.granted(&column.acl, privilege) {
                set.insert(column.id);
            }
        }
        set
    };
    TablePrivileges {
        select: columns(Privilege::Select, rights.read_all),
        insert: columns(Privilege::Insert, rights.write_all),
        update: columns(Privilege::Update, rights.write_all),
        delete: rights.write_all || rights.granted(&table.acl, Privilege::Delete),
        truncate: rights.granted(&table.acl, Privilege::Truncate),
        references: rights.granted(&table.acl, Privilege::References),
        trigger: rights.granted(&table.acl, Privilege::Trigger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_sets_count_past_one_word() {
        for count in [0usize, 1, 63, 64, 65, 128, 1600] {
            let set = ColumnSet::first(count);
            assert_eq!(set.len(), count);
            assert_eq!(set.iter().count(), count);
            assert_eq!(set.is_empty(), count == 0);
            assert!(!set.contains(ColumnId(count as u16)));
        }
        let mut set = ColumnSet::default();
        set.insert(ColumnId(130));
        assert_eq!(set.iter().collect::<Vec<_>>(), [ColumnId(130)]);
    }
}
