//! The schemas of one catalogue generation, made role by role when first asked
//! for. A request keeps the set it started with.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::base::ApiError;
use crate::catalog::Exposure;
use crate::catalog::model::{Catalog, Column, ColumnId, PolicyCommand, Table, TableId, TableKind};
use crate::graphql::Name;
use crate::session::settings::{STANDARD_SETTINGS, SettingsPlan};
use crate::session::{Authority, Session};
use crate::sql::InvalidIdent;

use super::build::{BuildInput, TableAccess, build};
use super::introspection::Introspection;
use super::naming::table_names;
use super::relationships::{Relationship, Relationships};
use super::role::{RoleBinding, RoleError, RoleMapping, SchemaSource};
use super::scalars::Scalars;
use super::types::{ScalarType, TypeId, TypeTable};

/// The part that all role schemas of one generation share.
#[derive(Debug)]
struct Shared {
    catalog: Arc<Catalog>,
    names: Vec<Option<Name>>,
    relationships: Relationships,
    scalars: Scalars,
}

/// What the schemas of all generations are made with.
#[derive(Debug, Clone, Default)]
pub struct SchemaOptions {
    /// Exposed schemas, the first without a prefix.
    pub expose: Vec<String>,
    /// Whether tables are shown without metadata that names them.
    pub tracked: bool,
    pub expose_owner_views: bool,
    pub roles: RoleMapping,
    /// Settings that go before a role's own into each transaction.
    pub role_settings: Vec<(String, String)>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum SchemaError {
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error("a name of the catalogue cannot be printed: {0}")]
    Name(#[from] InvalidIdent),
}

impl From<SchemaError> for ApiError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Role(error) => error.into(),
            SchemaError::Name(_) => ApiError::internal(error.to_string()),
        }
    }
}

type Cell = Arc<OnceLock<Result<Arc<RoleSchema>, InvalidIdent>>>;

#[derive(Debug)]
pub struct SchemaSet {
    shared: Arc<Shared>,
    options: SchemaOptions,
    settings: BTreeSet<String>,
    // Both are bounded by the roles of the database and the configuration.
    by_binding: Mutex<HashMap<RoleBinding, Cell>>,
    by_role: RwLock<HashMap<Arc<str>, Arc<RoleSchema>>>,
}

/// The schema of one role.
#[derive(Debug)]
pub struct RoleSchema {
    /// Unique in this process; part of the plan cache's key.
    pub id: u64,
    pub binding: RoleBinding,
    pub types: TypeTable,
    pub query: TypeId,
    pub settings: SettingsPlan,
    pub introspection: Introspection,
    shared: Arc<Shared>,
    required: HashMap<TableId, Vec<String>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl SchemaSet {
    pub fn new(catalog: Arc<Catalog>, options: SchemaOptions) -> Self {
        let names = table_names(&options.expose, &catalog);
        let relationships = Relationships::derive(&catalog, &names);
        let scalars = Scalars::of(&catalog);
        let mut settings = catalog.settings.names.clone();
        if !catalog.settings.closed {
            settings.extend(STANDARD_SETTINGS.map(str::to_owned));
        }
        SchemaSet {
            shared: Arc::new(Shared { catalog, names, relationships, scalars }),
            options,
            settings,
            by_binding: Mutex::new(HashMap::new()),
            by_role: RwLock::new(HashMap::new()),
        }
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.shared.catalog
    }

    pub fn options(&self) -> &SchemaOptions {
        &self.options
    }

    /// The schema that a session sees, made on first use.
    pub fn of(&self, session: &Session) -> Result<Arc<RoleSchema>, SchemaError> {
        let request = session.authority == Authority::Request;
        if request
            && let Some(known) =
                self.by_role.read().unwrap_or_else(PoisonError::into_inner).get(&session.role)
        {
            return Ok(known.clone());
        }
        let binding = self.options.roles.bind(&self.shared.catalog, session)?;
        let schema = self.bound(&binding)?;
        // Roles of tokens are endless; those of the database are not.
        if request && binding.source == SchemaSource::Grants {
            self.by_role
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(session.role.clone(), schema.clone());
        }
        Ok(schema)
    }

    fn bound(&self, binding: &RoleBinding) -> Result<Arc<RoleSchema>, InvalidIdent> {
        let cell = {
            let mut all = self.by_binding.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get(binding) {
                Some(cell) => cell.clone(),
                None => all.entry(binding.clone()).or_default().clone(),
            }
        };
        cell.get_or_init(|| self.build(binding).map(Arc::new)).clone()
    }

    fn build(&self, binding: &RoleBinding) -> Result<RoleSchema, InvalidIdent> {
        let shared = &self.shared;
        let access = self.access(binding);
        let input = BuildInput {
            catalog: &shared.catalog,
            names: &shared.names,
            relationships: &shared.relationships,
            scalars: &shared.scalars,
        };
        let (types, query) = build(input, &access)?;
        let mut role_settings = self.options.role_settings.clone();
        if let Some(role) = binding.oid.and_then(|oid| shared.catalog.roles.get(&oid)) {
            role_settings.extend_from_slice(&role.settings);
        }
        Ok(RoleSchema {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            binding: binding.clone(),
            types,
            query,
            settings: SettingsPlan::new(&self.settings, &role_settings),
            introspection: Introspection::default(),
            required: self.required(binding, &access),
            shared: shared.clone(),
        })
    }

    fn access(&self, binding: &RoleBinding) -> Vec<Option<TableAccess>> {
        let catalog = &self.shared.catalog;
        let privileges = match (binding.source, binding.oid) {
            (SchemaSource::Grants, Some(oid)) => Some(catalog.privileges(oid)),
            _ => None,
        };
        let rights = binding.oid.map(|oid| catalog.rights(oid));
        // A table whose policies do not bind the role, as its owner without
        // FORCE: what the start refuses must not open up later either.
        let unfenced = |table: &Table| {
            table.rls_enabled
                && !self.options.roles.allow_unsafe
                && match (&rights, catalog.relations.get(&table.oid)) {
                    (Some(rights), Some(relation)) => rights.bypass(relation),
                    _ => true,
                }
        };
        catalog
            .tables
            .iter()
            .map(|table| {
                let hidden = match binding.source {
                    // The administrator is not fenced, so nothing leads past the fence.
                    SchemaSource::Everything => table.is_partition,
                    _ => {
                        unfenced(table)
                            || table.exposure(catalog, self.options.expose_owner_views)
                                != Exposure::Yes
                    }
                };
                if !self.options.tracked || hidden {
                    return None;
                }
                let columns: Vec<bool> = match (binding.source, &privileges) {
                    (SchemaSource::Everything, _) => vec![true; table.columns.len()],
                    (SchemaSource::Grants, Some(privileges)) => {
                        let set = privileges.select(table.id);
                        table.columns.iter().map(|column| set.contains(column.id)).collect()
                    }
                    _ => return None,
                };
                columns.contains(&true).then_some(TableAccess { columns })
            })
            .collect()
    }

    /// The settings without which a policy of a table would raise.
    fn required(
        &self,
        binding: &RoleBinding,
        access: &[Option<TableAccess>],
    ) -> HashMap<TableId, Vec<String>> {
        let catalog = &self.shared.catalog;
        let (SchemaSource::Grants, Some(oid)) = (binding.source, binding.oid) else {
            return HashMap::new();
        };
        let rights = catalog.rights(oid);
        let mut out = HashMap::new();
        for (table, _) in catalog.tables.iter().zip(access).filter(|(_, access)| access.is_some()) {
            let mut names = BTreeSet::new();
            if table.kind == TableKind::View {
                names.extend(table.select_settings.unguarded.iter().cloned());
            } else if table.rls_enabled && !catalog.bypasses_rls(oid, table.oid) {
                for policy in &table.policies {
                    if rights.subject_to(policy, PolicyCommand::Select) {
                        names.extend(policy.settings.unguarded.iter().cloned());
                    }
                }
            }
            if !names.is_empty() {
                out.insert(table.id, names.into_iter().collect());
            }
        }
        out
    }
}

impl RoleSchema {
    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.shared.catalog.table(id)
    }

    pub fn column(&self, table: TableId, column: ColumnId) -> Option<&Column> {
        self.table(table)?.column(column)
    }

    pub fn relationship(&self, table: TableId, index: usize) -> Option<&Relationship> {
        self.shared.relationships.of(table).get(index)
    }

    /// The scalar that a column is shown as.
    pub fn scalar(&self, column: &Column) -> Option<&ScalarType> {
        self.shared.scalars.get(column.type_oid).map(Arc::as_ref)
    }

    pub fn table_name(&self, id: TableId) -> Option<&Name> {
        self.shared.names.get(id.0 as usize)?.as_ref()
    }

    /// Settings that must have a value before `table` may be read.
    pub fn required_settings(&self, table: TableId) -> &[String] {
        self.required.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The role's schema in the schema definition language.
    pub fn sdl(&self) -> Result<String, super::introspection::IntrospectionError> {
        self.introspection.sdl(&self.types, self.query)
    }
}
