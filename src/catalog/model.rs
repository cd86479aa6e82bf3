//! The catalogue: what the database has, immutable once loaded.
//!
//! Objects refer to each other by dense ids, so that everything above holds
//! numbers. Names are as Postgres has them, unquoted.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A Postgres object id. 0 is PUBLIC where a grantee is meant.
pub type Oid = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// Position in [`Table::columns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub u16);

#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Grows by one with each load in this process.
    pub generation: u64,
    /// `server_version_num`, e.g. 150018.
    pub server_version: u32,
    /// Tables of the exposed schemas, ordered by (position of the schema in
    /// `schema.expose`, name). Extension members, our own schemas and
    /// migration tables are not here.
    pub tables: Vec<Table>,
    pub types: HashMap<Oid, PgType>,
    pub roles: HashMap<Oid, Role>,
    pub role_names: HashMap<String, Oid>,
    /// Settings that anything in the database reads.
    pub settings: SettingsRead,
}

/// The settings (`current_setting`) that a policy, function or view reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsRead {
    pub names: BTreeSet<String>,
    /// Names read in a form that raises when the setting is empty
    /// (`current_setting('x')::uuid` without `nullif`).
    pub unguarded: BTreeSet<String>,
    /// False when some body could read a setting that the analysis cannot name.
    pub closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    Table,
    Partitioned,
    View,
    MaterializedView,
    Foreign,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub id: TableId,
    pub oid: Oid,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub kind: TableKind,
    pub comment: Option<String>,
    pub owner: Oid,
    /// A partition of a partitioned table: not exposed by itself.
    pub is_partition: bool,
    pub rls_enabled: bool,
    pub rls_forced: bool,
    /// For views: `security_invoker`.
    pub security_invoker: bool,
    pub columns: Vec<Column>,
    pub primary_key: Option<Key>,
    pub uniques: Vec<Key>,
    pub foreign_keys: Vec<ForeignKey>,
    pub indexes: Vec<Index>,
    pub policies: Vec<Policy>,
    pub acl: Vec<AclItem>,
    /// For views: whether some relation below is reached with the owner's
    /// rights although it has RLS, and which.
    pub depends_on: Vec<Oid>,
    /// What the table's policies (and, for views, what lies below) read when
    /// a role selects from it.
    pub select_settings: SettingsRead,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub id: ColumnId,
    pub name: Arc<str>,
    pub comment: Option<String>,
    pub type_oid: Oid,
    pub not_null: bool,
    pub has_default: bool,
    /// `GENERATED ALWAYS AS (…) STORED`.
    pub generated: bool,
    pub identity: Identity,
    pub acl: Vec<AclItem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    None,
    Always,
    ByDefault,
}

/// A primary key or unique constraint, columns in key order.
#[derive(Debug, Clone)]
pub struct Key {
    pub name: Arc<str>,
    pub columns: Vec<ColumnId>,
}

#[derive(Debug, Clone)]
pub struct ForeignKey {
    pub name: Arc<str>,
    pub columns: Vec<ColumnId>,
    pub target: TableId,
    pub target_columns: Vec<ColumnId>,
}

#[derive(Debug, Clone)]
pub struct Index {
    pub name: Arc<str>,
    pub unique: bool,
    /// `None` for an expression.
    pub columns: Vec<Option<ColumnId>>,
    pub partial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyCommand {
    All,
    Select,
    Insert,
    Update,
    Delete,
}

#[derive(Debug, Clone)]
pub struct Policy {
    pub name: Arc<str>,
    pub permissive: bool,
    pub command: PolicyCommand,
    /// Role oids; 0 is PUBLIC.
    pub roles: Vec<Oid>,
    pub using: Option<String>,
    pub check: Option<String>,
    pub settings: SettingsRead,
}

/// One grant: to `grantee` (0 = PUBLIC), of `privilege` as Postgres names it
/// (`SELECT`, `INSERT`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclItem {
    pub grantee: Oid,
    pub privilege: Privilege,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Privilege {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
    References,
    Trigger,
    Other,
}

#[derive(Debug, Clone)]
pub struct PgType {
    pub oid: Oid,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub comment: Option<String>,
    pub kind: TypeKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    Base,
    /// Labels in sort order.
    Enum(Vec<String>),
    Domain {
        base: Oid,
    },
    Array {
        element: Oid,
    },
    Composite,
    Range,
    Pseudo,
}

#[derive(Debug, Clone)]
pub struct Role {
    pub oid: Oid,
    pub name: Arc<str>,
    pub superuser: bool,
    pub bypass_rls: bool,
    pub can_login: bool,
    /// Direct memberships.
    pub member_of: Vec<Membership>,
    /// `ALTER ROLE … SET`: statement_timeout, lock_timeout and the like.
    pub settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pub role: Oid,
    /// Rights pass without SET ROLE.
    pub inherit: bool,
    /// SET ROLE is allowed.
    pub set: bool,
}

impl Catalog {
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(id.0 as usize)
    }

    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(self.role_names.get(name)?)
    }
}

impl Table {
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.get(usize::from(id.0))
    }
}
