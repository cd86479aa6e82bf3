//! Catalogue × metadata: what is shown to anybody, and under which names.
//!
//! ```text
//! Catalog  ─┐                         ┌▶ tables, functions (names, relationships, permissions)
//! Metadata ─┴▶ build ─────────────────┤
//!              │ table relationship   └▶ inconsistencies: what the database does not have
//!              │ computed function
//!              ├ permission ─▶ conditions; reuse: those of the generation before
//!              ├ event: event and cron triggers
//!              ├ action: actions and their types
//!              └ stored: allow list, REST endpoints
//! ```
//!
//! Broken parts of the metadata are left out and told, never fatal. Objects
//! refer to each other by dense ids across all sources.

pub mod action;
mod build;
mod computed;
pub mod conditions;
mod derive;
pub mod event;
mod function;
pub mod inconsistency;
mod permission;
mod relationship;
mod reuse;
pub mod stored;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::model::{self as db, Catalog, ColumnId, Oid, TableId};
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::metadata::QualifiedName;

use super::access::TableAccess;
use super::naming::{Naming, Stem};
use super::scalars::Scalars;
use super::types::{Root, RootField, RootKind, ScalarId, TableType, TypeId};

pub use action::{ActionId, Actions, CustomId};
pub use build::{BuildOptions, SourceInput, build, without_metadata};
pub use inconsistency::{Inconsistency, ObjectKind};
pub use stored::StoredOperations;

/// A table that is shown, of whatever source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackedId(pub u32);

/// A function that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u16);

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Tracked {
    pub sources: Vec<TrackedSource>,
    pub tables: Vec<TrackedTable>,
    pub functions: Vec<TrackedFunction>,
    pub scalars: Scalars,
    /// Roles that some permission names.
    pub roles: BTreeSet<Name>,
    pub inherited_roles: BTreeMap<Name, Vec<Name>>,
    pub actions: Actions,
    /// Roles that some action names.
    pub action_roles: BTreeSet<Name>,
    pub inconsistencies: Vec<Inconsistency>,
    /// The allow list and the REST endpoints.
    pub stored: StoredOperations,
    /// Names at roots that more than one object wants.
    pub duplicates: Vec<(Root, Name)>,
    /// The root fields of tables that were left out because of their names.
    clashes: Vec<RootNames>,
    /// Name of its object type → table.
    table_names: HashMap<Name, TrackedId>,
    /// The same of sources under graphql-default, by the name in lower case; what
    /// differs in nothing else has one.
    folded_names: HashMap<Box<str>, Vec<TrackedId>>,
    /// The types of the arguments of functions and computed fields.
    args_types: HashMap<Name, TypeId>,
    roots: RootFields,
}

/// What each name means at each of the three roots.
#[derive(Debug, Default)]
struct RootFields([HashMap<Name, RootField>; 3]);

impl RootFields {
    fn of(&self, root: Root) -> &HashMap<Name, RootField> {
        let [query, mutation, subscription] = &self.0;
        match root {
            Root::Query => query,
            Root::Mutation => mutation,
            Root::Subscription => subscription,
        }
    }

    /// What has the name already, if something has.
    fn add(&mut self, root: Root, name: &Name, field: RootField) -> Option<RootField> {
        let [query, mutation, subscription] = &mut self.0;
        let map = match root {
            Root::Query => query,
            Root::Mutation => mutation,
            Root::Subscription => subscription,
        };
        match map.get(name) {
            Some(other) => Some(*other),
            None => {
                map.insert(name.clone(), field);
                None
            }
        }
    }
}

/// How a source is reached.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Among the databases of the engine; 0 is the one that it was made with.
    /// A number is never used again, so a plan cannot reach another database
    /// than the one whose catalogue it was made from.
    pub database: u64,
    /// `None` where it is that of [`SchemaOptions`](super::SchemaOptions).
    pub login: Option<Arc<SourceLogin>>,
}

/// The login that carries the requests of a source.
#[derive(Debug)]
pub struct SourceLogin {
    pub authenticator: String,
    /// Settings that go before a role's own into each transaction.
    pub role_settings: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct TrackedSource {
    pub name: Arc<str>,
    pub catalog: Arc<Catalog>,
    pub connection: Connection,
    pub naming: Arc<Naming>,
    /// The field that holds its root fields, where it has such.
    pub namespace: Option<Name>,
    /// What is in the namespace.
    roots: RootFields,
    /// By table of the catalogue.
    ids: HashMap<TableId, TrackedId>,
}

/// A tracked table under its GraphQL names.
#[derive(Debug)]
pub struct TrackedTable {
    pub id: TrackedId,
    pub source: SourceId,
    pub table: TableId,
    pub stem: Stem,
    pub naming: Arc<Naming>,
    pub description: Option<String>,
    /// By [`ColumnId`].
    pub columns: Vec<TrackedColumn>,
    pub relationships: Vec<Relationship>,
    pub computed: Vec<ComputedField>,
    pub roots: RootNames,
    /// The rows of an enum table.
    pub enum_values: Option<Arc<[EnumRow]>>,
    /// Metadata permissions by GraphQL role.
    pub permissions: Arc<HashMap<Name, Arc<TableAccess>>>,
    /// `None` when some permission is broken, or there is nothing written.
    origin: Option<Arc<reuse::Origin>>,
}

#[derive(Debug, Clone)]
pub struct TrackedColumn {
    /// `None` when it has no name that GraphQL allows.
    pub name: Option<Name>,
    pub description: Option<String>,
    /// `None` when the type has no scalar.
    pub ty: Option<ColumnType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Scalar(ScalarId),
    /// It refers to an enum table.
    Enum(TrackedId),
}

impl ColumnType {
    /// The type of a value.
    pub fn value(self) -> TypeId {
        match self {
            ColumnType::Scalar(scalar) => TypeId::Scalar(scalar),
            ColumnType::Enum(table) => TypeId::Table(table, TableType::Enum),
        }
    }

    /// The type of a comparison.
    pub fn comparison(self, convention: NamingConvention) -> TypeId {
        match self {
            ColumnType::Scalar(scalar) => TypeId::Comparison(convention, scalar),
            ColumnType::Enum(table) => TypeId::Table(table, TableType::EnumComparison),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumRow {
    pub value: Name,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    Object,
    Array,
}

/// A way from one table to another; `join` pairs columns (here, there).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relationship {
    pub name: Name,
    pub cardinality: Cardinality,
    pub target: TrackedId,
    pub join: Vec<(ColumnId, ColumnId)>,
    pub description: Option<String>,
    /// A foreign key of this table whose columns are all NOT NULL, so that
    /// the other side is there.
    pub total: bool,
    /// The other side is written before this one by a nested insert.
    pub target_first: bool,
}

/// A function of the row, as a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComputedField {
    pub name: Name,
    pub description: Option<String>,
    pub call: FunctionCall,
    pub returns: Returns,
}

/// A function that is shown as a root field.
#[derive(Debug)]
pub struct TrackedFunction {
    pub id: FunctionId,
    pub source: SourceId,
    /// The GraphQL name that types are named after.
    pub name: Name,
    /// The name of its arguments' type.
    pub args_type: Name,
    pub root: Name,
    pub aggregate_root: Name,
    pub description: Option<String>,
    pub call: FunctionCall,
    pub returns: Returns,
    pub kind: FunctionRoot,
    /// The database's function changes nothing.
    pub stable: bool,
    /// Roles that metadata lets call it.
    pub roles: BTreeSet<Name>,
    /// No metadata names it: it is there for roles that were granted EXECUTE
    /// by name.
    pub by_grant: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionRoot {
    Query,
    Mutation,
}

/// How a function is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCall {
    pub oid: Oid,
    pub function: QualifiedName,
    /// Input arguments in the order of the declaration.
    pub args: Vec<CallArgument>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallArgument {
    /// The name in the database; calls name their arguments where they can.
    pub name: Option<Arc<str>>,
    pub type_oid: Oid,
    pub has_default: bool,
    pub variadic: bool,
    pub role: ArgumentRole,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentRole {
    /// Given by the caller, under this GraphQL name.
    Caller { name: Name, ty: ScalarId },
    /// The row of a computed field.
    Row,
    /// The session variables as JSON.
    Session,
}

/// What a function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    Scalar(ScalarId),
    Rows { table: TrackedId, set: bool },
}

/// The names of a table's root fields, with what was said of them.
#[derive(Debug, Clone)]
pub struct RootNames([(Name, Option<String>); RootKind::COUNT]);

impl RootNames {
    pub fn name(&self, kind: RootKind) -> &Name {
        &self.entry(kind).0
    }

    pub fn comment(&self, kind: RootKind) -> Option<&str> {
        self.entry(kind).1.as_deref()
    }

    fn entry(&self, kind: RootKind) -> &(Name, Option<String>) {
        // The array has an entry for every kind.
        #[expect(clippy::indexing_slicing, reason = "RootKind counts below COUNT")]
        &self.0[kind as usize]
    }
}

impl Tracked {
    pub fn table(&self, id: TrackedId) -> Option<&TrackedTable> {
        self.tables.get(id.0 as usize)
    }

    pub fn function(&self, id: FunctionId) -> Option<&TrackedFunction> {
        self.functions.get(id.0 as usize)
    }

    pub fn source(&self, id: SourceId) -> Option<&TrackedSource> {
        self.sources.get(usize::from(id.0))
    }

    pub fn source_named(&self, name: &str) -> Option<SourceId> {
        let at = self.sources.iter().position(|source| *source.name == *name)?;
        u16::try_from(at).ok().map(SourceId)
    }

    /// The table as the database has it.
    pub fn db_table(&self, id: TrackedId) -> Option<&db::Table> {
        let table = self.table(id)?;
        self.source(table.source)?.catalog.table(table.table)
    }

    pub fn db_column(&self, id: TrackedId, column: ColumnId) -> Option<&db::Column> {
        self.db_table(id)?.column(column)
    }

    pub fn column(&self, id: TrackedId, column: ColumnId) -> Option<&TrackedColumn> {
        self.table(id)?.columns.get(usize::from(column.0))
    }

    /// Whether a column's type is a domain, which may bring a default.
    pub fn is_domain(&self, id: TrackedId, column: ColumnId) -> bool {
        let ty = || {
            let source = self.source(self.table(id)?.source)?;
            source.catalog.types.get(&self.db_column(id, column)?.type_oid)
        };
        ty().is_none_or(|ty| matches!(ty.kind, db::TypeKind::Domain { .. }))
    }

    pub fn relationship(&self, id: TrackedId, index: usize) -> Option<&Relationship> {
        self.table(id)?.relationships.get(index)
    }

    /// The table whose object type has a name.
    pub fn table_by_name(&self, name: &str) -> Option<TrackedId> {
        self.table_names.get(name).copied()
    }

    /// The table that a type's name is made of, and which of its types that is.
    /// Names of several kinds can look alike: all are given.
    pub fn table_types(&self, name: &str) -> impl Iterator<Item = (TrackedId, TableType)> {
        let sources = (0..).map(SourceId).zip(&self.sources);
        let stems: Vec<_> = sources
            .filter_map(|(id, source)| Some((id, &*source.naming, source.naming.stem_of(name)?)))
            .collect();
        let mut out = Vec::new();
        for ty in TableType::ALL {
            for (source, naming, stem) in &stems {
                let Some(table) = ty.table_of(naming.convention, stem) else { continue };
                let candidates: &[TrackedId] = match naming.convention {
                    NamingConvention::HasuraDefault => self
                        .table_names
                        .get(&naming.type_name(table))
                        .map_or(&[], std::slice::from_ref),
                    NamingConvention::GraphqlDefault => {
                        self.folded_names.get(table).map_or(&[], Vec::as_slice)
                    }
                };
                out.extend(candidates.iter().filter_map(|id| {
                    let table = self.table(*id)?;
                    (table.source == *source && *table.type_name(ty) == *name).then_some((*id, ty))
                }));
            }
        }
        out.extend(self.enum_comparisons(name));
        out.into_iter()
    }

    /// The type of the arguments of a function or a computed field.
    pub(in crate::schema) fn args_type(&self, name: &str) -> Option<TypeId> {
        self.args_types.get(name).copied()
    }

    /// The name of the type of a computed field's arguments.
    pub(in crate::schema) fn computed_args_name(
        &self,
        table: TrackedId,
        index: u16,
    ) -> Option<Name> {
        let shown = self.table(table)?;
        let field = shown.computed.get(usize::from(index))?;
        Some(shown.naming.type_name(&format!("{}_{}_args", field.name, shown.name())))
    }

    /// Under graphql-default the name of a comparison is made of the whole name of
    /// what is compared.
    fn enum_comparisons(&self, name: &str) -> impl Iterator<Item = (TrackedId, TableType)> {
        let ty = TableType::EnumComparison;
        let tables = if name.ends_with("ComparisonExp") { &self.tables[..] } else { &[] };
        tables
            .iter()
            .filter(|table| table.naming.convention == NamingConvention::GraphqlDefault)
            .filter(|table| table.enum_values.is_some())
            .filter(move |table| *table.type_name(ty) == *name)
            .map(move |table| (table.id, ty))
    }

    /// Whether some source has a naming convention.
    pub fn uses(&self, convention: NamingConvention) -> bool {
        self.sources.iter().any(|source| source.naming.convention == convention)
    }

    /// The tracked table of a source by its name in the database.
    pub fn find(&self, source: SourceId, name: &QualifiedName) -> Option<TrackedId> {
        let source = self.source(source)?;
        let table = source.catalog.table_named(&name.schema, &name.name)?;
        source.ids.get(&table.id).copied()
    }

    /// How many triggers of a kind stand, and are not delivered.
    pub fn undelivered(&self, kind: ObjectKind) -> usize {
        self.inconsistencies.iter().filter(|told| !told.breaks && told.kind == kind).count()
    }

    /// What a name at a root means to some role.
    pub fn root(&self, root: Root, name: &str) -> Option<RootField> {
        self.root_names(root).get(name).copied()
    }

    pub(super) fn root_names(&self, root: Root) -> &HashMap<Name, RootField> {
        self.roots.of(root)
    }

    /// What is in the namespace of a source.
    pub(super) fn namespace_names(
        &self,
        source: SourceId,
        root: Root,
    ) -> Option<&HashMap<Name, RootField>> {
        self.source(source).map(|source| source.roots.of(root))
    }
}

impl TrackedSource {
    /// The name of the type of its namespace; mutations of the backend have
    /// one of their own.
    pub fn namespace_type(&self, root: Root, backend: bool) -> Option<Name> {
        let kind = match root {
            Root::Query => "query",
            Root::Mutation if backend => "mutation_backend",
            Root::Mutation => "mutation_frontend",
            Root::Subscription => "subscription",
        };
        let namespace = self.namespace.as_ref()?;
        Some(self.naming.type_name(&format!("{namespace}_{kind}")))
    }
}

/// The name of a type of a table.
fn type_name(naming: &Naming, table: &Stem, ty: TableType) -> Name {
    match (naming.convention, ty) {
        (convention @ NamingConvention::GraphqlDefault, TableType::EnumComparison) => {
            let compared = type_name(naming, table, TableType::Enum);
            convention.type_name(&format!("{compared}_comparison_exp"))
        }
        _ => naming.type_name(&ty.name(table)),
    }
}

impl TrackedTable {
    pub fn type_name(&self, ty: TableType) -> Name {
        type_name(&self.naming, &self.stem, ty)
    }

    /// The name that types are named after, under hasura-default.
    pub fn name(&self) -> &Name {
        &self.stem.name
    }

    pub fn convention(&self) -> NamingConvention {
        self.naming.convention
    }

    pub fn column_named(&self, name: &str) -> Option<ColumnId> {
        let at = self.columns.iter().position(|column| column.name.as_deref() == Some(name))?;
        u16::try_from(at).ok().map(ColumnId)
    }

    pub fn relationship_named(&self, name: &str) -> Option<usize> {
        self.relationships.iter().position(|relationship| *relationship.name == *name)
    }

    pub fn computed_named(&self, name: &str) -> Option<usize> {
        self.computed.iter().position(|field| *field.name == *name)
    }
}
