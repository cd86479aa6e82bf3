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
    /// Grows by one with each load that found something changed; 0 outside
    /// [`super::watch::Watch`].
    pub generation: u64,
    /// Hash of the document the catalogue was made of: equal means unchanged.
    pub fingerprint: u64,
    /// `server_version_num`, e.g. 150018.
    pub server_version: u32,
    pub database: String,
    /// The login that read the catalogue.
    pub login: Oid,
    pub database_owner: Oid,
    /// Tables of the user's schemas, ordered by (position of the schema in
    /// `schema.expose`, name), those of other schemas last. Extension members,
    /// our own schemas and migration tables are not here.
    pub tables: Vec<Table>,
    pub table_ids: HashMap<Oid, TableId>,
    /// Schema → name → table.
    pub table_names: HashMap<Arc<str>, HashMap<Arc<str>, TableId>>,
    /// Every relation of the user's schemas, exposed or not: what lies below
    /// a view counts wherever it is.
    pub relations: HashMap<Oid, Relation>,
    pub schemas: HashMap<Oid, Schema>,
    /// Functions of the user's schemas, and members of extensions that
    /// policies, views and defaults call.
    pub functions: HashMap<Oid, Function>,
    pub types: HashMap<Oid, PgType>,
    pub roles: HashMap<Oid, Role>,
    pub role_names: HashMap<String, Oid>,
    /// Settings that anything in the database reads.
    pub settings: SettingsRead,
    /// What runs SQL beside policies: views, rules, triggers, defaults, checks.
    pub attached: Vec<Attached>,
}

/// An object whose SQL runs as part of a caller's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// As SQL names it: `trigger t on public.posts`.
    pub object: String,
    /// Whether it is (a rule of) a view, which a query reaches.
    pub view: bool,
    /// Functions that it calls or names.
    pub calls: Vec<Oid>,
    /// See [`Function::sets_session`].
    pub sets_session: bool,
}

/// The settings (`current_setting`) that a policy, function or view reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsRead {
    pub names: BTreeSet<String>,
    /// Names read in a form that raises when the setting is empty
    /// (`current_setting('x')::uuid` without `nullif`).
    pub unguarded: BTreeSet<String>,
    /// Settings are read by names that are computed, or by SQL that is.
    pub computed: bool,
    /// False when some body could read a setting that the analysis cannot name.
    pub closed: bool,
    /// The result can change while no row does (`now()`).
    pub restless: bool,
    /// Why the result may change although neither these settings nor the rows
    /// that are asked for do.
    pub unsteady: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub struct Schema {
    pub oid: Oid,
    pub name: Arc<str>,
    pub owner: Oid,
    /// `USAGE` only.
    pub acl: Vec<AclItem>,
}

/// The facts of a relation that decide who sees its rows.
#[derive(Debug, Clone)]
pub struct Relation {
    pub oid: Oid,
    pub schema_oid: Oid,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub kind: TableKind,
    pub exposed: bool,
    pub owner: Oid,
    pub rls_enabled: bool,
    pub rls_forced: bool,
    pub security_invoker: bool,
    /// The partitioned table that it is a partition of.
    pub partition_of: Option<Oid>,
    /// For views: the relations that the definition names.
    pub reads: Vec<Oid>,
    /// For views: the functions that the definition calls.
    pub calls: Vec<Oid>,
    pub policies: Vec<Policy>,
    /// What reading it needs, by itself: policies, and for views the
    /// definition with the functions it calls; not what lies below.
    pub own_settings: SettingsRead,
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
    pub schema_oid: Oid,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub kind: TableKind,
    pub comment: Option<String>,
    pub owner: Oid,
    /// A partition of a partitioned table: not exposed by itself.
    pub is_partition: bool,
    /// Its schema is one of `schema.expose`.
    pub exposed: bool,
    pub writable: Writable,
    /// A trigger runs before each new row is stored, and may change it.
    pub rewrites_new: bool,
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
    /// For views: the relations that the definition names, to be looked up in
    /// [`Catalog::relations`].
    pub depends_on: Vec<Oid>,
    /// What the table's policies (and, for views, what lies below) read when
    /// a role selects from it.
    pub select_settings: SettingsRead,
}

/// The commands that work on a relation at all; of views those that
/// `pg_relation_is_updatable` names, INSTEAD OF triggers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writable {
    pub insert: bool,
    pub update: bool,
    pub delete: bool,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub id: ColumnId,
    /// `attnum`: stays the same when the column is renamed.
    pub number: i16,
    pub name: Arc<str>,
    pub comment: Option<String>,
    pub type_oid: Oid,
    /// -1 when the type has no modifier.
    pub type_modifier: i32,
    pub not_null: bool,
    pub has_default: bool,
    /// `GENERATED ALWAYS AS (…)`, stored or virtual.
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
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferentialAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Debug, Clone)]
pub struct Index {
    pub name: Arc<str>,
    pub unique: bool,
    /// Key columns in order; `None` for an expression.
    pub columns: Vec<Option<ColumnId>>,
    pub partial: bool,
    /// `btree`, `gin`, …
    pub method: Arc<str>,
    /// Made by a primary key, unique or exclusion constraint.
    pub constraint: bool,
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
    /// Relations that the expressions read; the policy's own table only when
    /// a sub-query reads it.
    pub reads: Vec<Oid>,
    /// Functions that the expressions call.
    pub calls: Vec<Oid>,
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
    /// `USAGE` of a schema.
    Usage,
    /// `EXECUTE` of a function.
    Execute,
    Other,
}

#[derive(Debug, Clone)]
pub struct PgType {
    pub oid: Oid,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    pub comment: Option<String>,
    pub kind: TypeKind,
    /// `typcategory`: `N` numeric, `S` string, …
    pub category: char,
    /// What stands between values in the text of an array.
    pub delimiter: char,
    /// A domain that is declared NOT NULL.
    pub not_null: bool,
    /// Attributes of a composite.
    pub fields: Vec<(Arc<str>, Oid)>,
    /// The extension that brought the type.
    pub extension: Option<Arc<str>>,
    /// The relation whose rows have this composite type.
    pub relation: Option<Oid>,
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
pub struct Function {
    pub oid: Oid,
    pub schema_oid: Oid,
    pub schema: Arc<str>,
    pub name: Arc<str>,
    /// Identity arguments, as `DROP FUNCTION` takes them.
    pub arguments: Arc<str>,
    pub owner: Oid,
    pub language: Arc<str>,
    pub kind: FunctionKind,
    pub volatility: Volatility,
    pub security_definer: bool,
    pub returns_set: bool,
    pub returns: Oid,
    /// The extension that brought the function.
    pub extension: Option<Arc<str>>,
    pub comment: Option<String>,
    /// In order, those that are returned included.
    pub args: Vec<Argument>,
    /// How many of the last input arguments have a default.
    pub defaults: u16,
    /// Their expressions.
    pub default_text: Option<String>,
    /// Postgres made it with a range type, to put values together.
    pub constructor: bool,
    /// Source text; only of SQL and PL/pgSQL.
    pub body: Option<String>,
    /// `SET name = value` clauses of the function.
    pub config: Vec<(String, String)>,
    pub acl: Vec<AclItem>,
    /// Functions that it calls, as far as Postgres knows.
    pub calls: Vec<Oid>,
    /// Functions that the body names, with all that share the name.
    pub mentions: Vec<Oid>,
    /// Relations that the body names, with all that share the name.
    pub reads: Vec<Oid>,
    /// Everything that a call reads, through other functions too.
    pub settings: SettingsRead,
    /// The body runs SQL that it builds at run time.
    pub dynamic_sql: bool,
    /// The body sets a setting for longer than its transaction, or may do so.
    pub sets_session: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub name: Option<Arc<str>>,
    pub type_oid: Oid,
    pub mode: ArgMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgMode {
    In,
    Out,
    InOut,
    Variadic,
    Table,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    Function,
    Procedure,
    Aggregate,
    Window,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

#[derive(Debug, Clone)]
pub struct Role {
    pub oid: Oid,
    pub name: Arc<str>,
    pub superuser: bool,
    pub bypass_rls: bool,
    pub can_login: bool,
    pub replication: bool,
    pub create_role: bool,
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

    pub fn table_by_oid(&self, oid: Oid) -> Option<&Table> {
        self.table(*self.table_ids.get(&oid)?)
    }

    pub fn table_named(&self, schema: &str, name: &str) -> Option<&Table> {
        self.table_names
            .get(schema)
            .and_then(|names| names.get(name))
            .and_then(|id| self.table(*id))
    }

    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(self.role_names.get(name)?)
    }
}

impl Column {
    /// No statement may give it a value.
    pub fn is_fixed(&self) -> bool {
        self.generated || self.identity == Identity::Always
    }
}

impl Function {
    /// What a call takes.
    pub fn inputs(&self) -> impl Iterator<Item = &Argument> {
        self.args
            .iter()
            .filter(|arg| matches!(arg.mode, ArgMode::In | ArgMode::InOut | ArgMode::Variadic))
    }
}

impl Table {
    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.get(usize::from(id.0))
    }
}
