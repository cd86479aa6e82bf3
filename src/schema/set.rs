//! The schemas of one generation of catalogue and metadata, made role by role
//! when first asked for. A request keeps the set it started with.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::base::ApiError;
use crate::catalog::Exposure;
use crate::catalog::model::{
    Catalog, Column, ColumnId, Oid, PolicyCommand, SettingsRead, Table, TableKind,
};
use crate::catalog::privileges::{Rights, RolePrivileges};
use crate::config::NamingConvention;
use crate::graphql::{Document, Name};
use crate::session::settings::{STANDARD_SETTINGS, SettingsPlan};
use crate::session::{Authority, Session};
use crate::sql::InvalidIdent;

use super::access::TableAccess;
use super::build::Types;
use super::inherit;
use super::introspection;
use super::role::{RoleBinding, RoleError, RoleMapping, SchemaSource};
use super::tracked::action::TrackedAction;
use super::tracked::stored::Allowed;
use super::tracked::{
    ActionId, ColumnType, FunctionRoot, Relationship, Returns, SourceId, Tracked, TrackedFunction,
    TrackedId, TrackedTable,
};
use super::types::ScalarType;

/// What the schemas of all generations are made with.
#[derive(Debug, Clone, Default)]
pub struct SchemaOptions {
    pub expose_owner_views: bool,
    pub roles: RoleMapping,
    /// Whether a query function may be called by who may select its rows.
    pub infer_function_permissions: bool,
    /// Numbers that a double cannot hold are shown as text.
    pub stringify_numbers: bool,
    /// All of an answer is made JSON by Postgres, lists too.
    pub json_by_postgres: bool,
    /// Whether roles other than the administrator may run only operations of
    /// the allow list.
    pub only_listed: bool,
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

/// What tells schemas apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// The role, where metadata says something about it.
    role: Option<Name>,
    /// By source.
    bindings: Vec<RoleBinding>,
    backend: bool,
}

type Cell = Arc<OnceLock<Arc<RoleSchema>>>;

#[derive(Debug)]
pub struct SchemaSet {
    tracked: Arc<Tracked>,
    options: SchemaOptions,
    /// By source: the settings that something in it reads.
    settings: Vec<BTreeSet<String>>,
    metadata_version: Option<i64>,
    // Both are bounded by the roles of the databases, the configuration and
    // the metadata.
    by_key: Mutex<HashMap<Key, Cell>>,
    by_role: RwLock<HashMap<Arc<str>, Arc<RoleSchema>>>,
}

/// The schema of one role.
#[derive(Debug)]
pub struct RoleSchema {
    /// Unique in this process; part of the plan cache's key.
    pub id: u64,
    pub types: Types,
    tracked: Arc<Tracked>,
    sources: Vec<SourceRole>,
    stringify_numbers: bool,
    typed_rows: bool,
    only_listed: bool,
    metadata_version: Option<i64>,
}

/// How a role works in one source.
#[derive(Debug)]
pub struct SourceRole {
    pub binding: RoleBinding,
    pub settings: SettingsPlan,
    rights: Option<Rights>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl SchemaSet {
    pub fn new(tracked: Arc<Tracked>, options: SchemaOptions) -> Self {
        let settings = tracked
            .sources
            .iter()
            .map(|source| {
                let mut names = source.catalog.settings.names.clone();
                if !source.catalog.settings.closed {
                    names.extend(STANDARD_SETTINGS.map(str::to_owned));
                }
                names
            })
            .collect();
        SchemaSet {
            tracked,
            options,
            settings,
            metadata_version: None,
            by_key: Mutex::new(HashMap::new()),
            by_role: RwLock::new(HashMap::new()),
        }
    }

    /// The schemas of stored metadata of a version.
    #[must_use]
    pub fn of_version(mut self, metadata: Option<i64>) -> Self {
        self.metadata_version = metadata;
        self
    }

    pub fn tracked(&self) -> &Arc<Tracked> {
        &self.tracked
    }

    pub fn options(&self) -> &SchemaOptions {
        &self.options
    }

    /// The schema that a session sees, made on first use.
    pub fn of(&self, session: &Session) -> Result<Arc<RoleSchema>, SchemaError> {
        let plain = session.authority == Authority::Request && !session.backend;
        if plain
            && let Some(known) =
                self.by_role.read().unwrap_or_else(PoisonError::into_inner).get(&session.role)
        {
            return Ok(known.clone());
        }
        let named =
            session.authority == Authority::Request && self.tracked.roles.contains(&session.role);
        let bindings: Vec<RoleBinding> = self
            .tracked
            .sources
            .iter()
            .enumerate()
            .map(|(index, source)| {
                let roles = &self.options.roles;
                let login = source.connection.login.as_deref();
                let login = login.map_or(&*roles.authenticator, |login| &*login.authenticator);
                match roles.bind(&source.catalog, session, named, login) {
                    // A role need not be in every database; what is wrong with
                    // the first one is told.
                    Err(error) if index > 0 => {
                        tracing::debug!(source = %source.name, %error, "a role is left out");
                        Ok(roles.absent(session))
                    }
                    other => other,
                }
            })
            .collect::<Result<_, _>>()?;
        // What metadata says of actions does not take a role's tables from it.
        let known = named
            || session.authority == Authority::Request
                && self.tracked.action_roles.contains(&session.role);
        // Roles of tokens are endless; those that something is known of are not.
        let finite = known || bindings.iter().any(|b| b.source == SchemaSource::Grants);
        let key =
            Key { role: known.then(|| session.role.clone()), bindings, backend: session.backend };
        let schema = self.keyed(key);
        if plain && finite {
            self.by_role
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(session.role.clone(), schema.clone());
        }
        Ok(schema)
    }

    fn keyed(&self, key: Key) -> Arc<RoleSchema> {
        let cell = {
            let mut all = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get(&key) {
                Some(cell) => cell.clone(),
                None => all.entry(key.clone()).or_default().clone(),
            }
        };
        cell.get_or_init(|| Arc::new(self.build(&key))).clone()
    }

    fn build(&self, key: &Key) -> RoleSchema {
        let mut sources = Vec::with_capacity(key.bindings.len());
        let mut access: Vec<Option<Arc<TableAccess>>> = vec![None; self.tracked.tables.len()];
        let mut functions = BTreeSet::new();
        for (index, (binding, source)) in key.bindings.iter().zip(&self.tracked.sources).enumerate()
        {
            let id = SourceId(u16::try_from(index).unwrap_or(u16::MAX));
            let catalog = &source.catalog;
            let rights = binding.oid.map(|oid| catalog.rights(oid));
            let privileges = match binding.source {
                SchemaSource::Everything => None,
                _ => binding.oid.map(|oid| catalog.privileges(oid)),
            };
            let role =
                Role { key, binding, rights: rights.as_ref(), privileges: privileges.as_ref() };
            for (table, slot) in self.tracked.tables.iter().zip(&mut access) {
                if table.source == id {
                    *slot = self.table_access(&role, catalog, table);
                }
            }
            for function in self.tracked.functions.iter().filter(|f| f.source == id) {
                if self.may_call(&role, catalog, function, &access) {
                    functions.insert(function.id);
                }
            }
            let login = source.connection.login.as_deref();
            let role_settings =
                login.map_or(&self.options.role_settings, |login| &login.role_settings);
            let mut role_settings = role_settings.clone();
            if let Some(role) = binding.oid.and_then(|oid| catalog.roles.get(&oid)) {
                role_settings.extend_from_slice(&role.settings);
            }
            let settings = self.settings.get(index).cloned().unwrap_or_default();
            sources.push(SourceRole {
                binding: binding.clone(),
                settings: SettingsPlan::new(&settings, &role_settings),
                rights,
            });
        }
        RoleSchema {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            types: Types::new(
                self.tracked.clone(),
                access,
                functions,
                self.actions(key),
                key.backend,
            ),
            tracked: self.tracked.clone(),
            sources,
            stringify_numbers: self.options.stringify_numbers,
            typed_rows: !self.options.json_by_postgres,
            only_listed: self.options.only_listed
                && key.bindings.iter().any(|b| b.source != SchemaSource::Everything),
            metadata_version: self.metadata_version,
        }
    }

    /// The actions that a role may call.
    fn actions(&self, key: &Key) -> BTreeSet<ActionId> {
        let everything = key.bindings.iter().any(|b| b.source == SchemaSource::Everything);
        let parts = key.role.as_ref().and_then(|name| self.tracked.inherited_roles.get(name));
        let may_call = |action: &&TrackedAction| {
            everything
                || key
                    .role
                    .iter()
                    .chain(parts.into_iter().flatten())
                    .any(|role| action.roles.contains(role))
        };
        self.tracked.actions.list.iter().filter(may_call).map(|action| action.id).collect()
    }

    fn table_access(
        &self,
        role: &Role<'_>,
        catalog: &Catalog,
        tracked: &TrackedTable,
    ) -> Option<Arc<TableAccess>> {
        let table = catalog.table(tracked.table)?;
        if role.binding.source == SchemaSource::Everything {
            // The administrator is not fenced, so nothing leads past the fence.
            return (!table.is_partition).then(|| Arc::new(TableAccess::everything(table)));
        }
        if self.unfenced(role, catalog, table)
            || table.exposure(catalog, self.options.expose_owner_views) != Exposure::Yes
        {
            return None;
        }
        let access = match role.binding.source {
            SchemaSource::Grants => {
                let privileges = role.privileges?;
                Arc::new(TableAccess::granted(table, privileges.table(table.id)))
            }
            _ => {
                let permitted = self.permitted(role, tracked)?;
                match role.privileges {
                    // The engine grants its own role what metadata allows.
                    _ if role.binding.is_api() => permitted,
                    Some(privileges) => Arc::new(permitted.narrowed(privileges.table(table.id))),
                    None => return None,
                }
            }
        };
        (!access.is_empty()).then_some(access)
    }

    /// What metadata lets a role do with a table.
    fn permitted(&self, role: &Role<'_>, table: &TrackedTable) -> Option<Arc<TableAccess>> {
        let name = role.key.role.as_ref()?;
        let own = table.permissions.get(name);
        let Some(parts) = self.tracked.inherited_roles.get(name) else { return own.cloned() };
        let parts: Vec<&TableAccess> =
            parts.iter().filter_map(|part| table.permissions.get(part)).map(Arc::as_ref).collect();
        Some(Arc::new(inherit::union(own.map(Arc::as_ref), &parts)))
    }

    /// A table whose policies do not bind the role, as its owner without
    /// FORCE: what the start refuses must not open up later either.
    fn unfenced(&self, role: &Role<'_>, catalog: &Catalog, table: &Table) -> bool {
        table.rls_enabled
            && !self.options.roles.allow_unsafe
            && match (role.rights, catalog.relations.get(&table.oid)) {
                (Some(rights), Some(relation)) => rights.bypass(relation),
                _ => true,
            }
    }

    fn may_call(
        &self,
        role: &Role<'_>,
        catalog: &Catalog,
        function: &TrackedFunction,
        access: &[Option<Arc<TableAccess>>],
    ) -> bool {
        let rows = match function.returns {
            Returns::Scalar(_) => true,
            Returns::Rows { table, .. } => access.get(table.0 as usize).is_some_and(|access| {
                access.as_ref().is_some_and(|access| access.select.is_some())
            }),
        };
        if !rows {
            return false;
        }
        match role.binding.source {
            SchemaSource::Everything => true,
            SchemaSource::Grants => role.binding.oid.is_some_and(|oid| {
                catalog.may_execute(oid, function.call.oid)
                    && (!function.by_grant
                        || role.rights.is_some_and(|rights| {
                            catalog.granted_by_name(rights, function.call.oid)
                        }))
            }),
            SchemaSource::Metadata => {
                let Some(name) = &role.key.role else { return false };
                let named = |name: &Name| function.roles.contains(name);
                let explicit = named(name)
                    || self
                        .tracked
                        .inherited_roles
                        .get(name)
                        .is_some_and(|parts| parts.iter().any(named));
                let inferred = self.options.infer_function_permissions
                    && function.kind == FunctionRoot::Query
                    && matches!(function.returns, Returns::Rows { .. });
                let executes = role.binding.is_api()
                    || role
                        .binding
                        .oid
                        .is_some_and(|oid| catalog.may_execute(oid, function.call.oid));
                !function.by_grant && (explicit || inferred) && executes
            }
        }
    }
}

/// A role in one source while its schema is made.
struct Role<'a> {
    key: &'a Key,
    binding: &'a RoleBinding,
    rights: Option<&'a Rights>,
    privileges: Option<&'a RolePrivileges>,
}

impl SourceRole {
    /// The rights of the database role; `None` when the catalogue has no such
    /// role.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_ref()
    }

    fn unsteady(&self, read: &SettingsRead) -> Option<String> {
        if let Some(reason) = &read.unsteady {
            return Some(reason.to_string());
        }
        if !read.closed {
            return Some(
                "a policy, view or function may read settings that cannot be named".into(),
            );
        }
        let told = |name: &str| self.settings.names().any(|told| told == name);
        let other = read.names.iter().find(|name| !told(name))?;
        Some(format!("a policy, view or function reads {other}, which is none of the session's"))
    }
}

impl RoleSchema {
    pub fn tracked(&self) -> &Tracked {
        &self.tracked
    }

    /// For whom of those with this schema a document may run; `None` when for
    /// nobody.
    pub fn allowed(&self, document: &Document) -> Option<Allowed> {
        if !self.only_listed {
            return Some(Allowed::Everybody);
        }
        self.tracked.stored.allowlist.allowed(document).cloned()
    }

    /// How the role works in a source.
    pub fn source(&self, id: SourceId) -> Option<&SourceRole> {
        self.sources.get(usize::from(id.0))
    }

    pub fn table(&self, id: TrackedId) -> Option<&Table> {
        self.tracked.db_table(id)
    }

    pub fn column(&self, table: TrackedId, column: ColumnId) -> Option<&Column> {
        self.table(table)?.column(column)
    }

    pub fn relationship(&self, table: TrackedId, index: usize) -> Option<&Relationship> {
        self.tracked.relationship(table, index)
    }

    /// The scalar behind a column, an enum table's included.
    pub fn scalar(&self, table: TrackedId, column: ColumnId) -> Option<&ScalarType> {
        let oid = self.column(table, column)?.type_oid;
        let source = self.tracked.table(table)?.source;
        self.tracked.scalars.of_type(source, oid).map(Arc::as_ref)
    }

    /// Whether the values of a column are those of an enum that the schema spells in
    /// upper case.
    pub fn upper_cases(&self, table: TrackedId, column: ColumnId) -> bool {
        let Some(ColumnType::Enum(values)) =
            self.tracked.column(table, column).and_then(|column| column.ty)
        else {
            return false;
        };
        let convention = self.tracked.table(values).map(TrackedTable::convention);
        convention == Some(NamingConvention::GraphqlDefault)
    }

    /// Whether lists may come as typed columns.
    pub fn typed_rows(&self) -> bool {
        self.typed_rows
    }

    /// Whether values of a type are shown as text because JSON's numbers may
    /// not hold them.
    pub fn stringifies(&self, scalar: &ScalarType) -> bool {
        const BIG: [&str; 3] = ["int8", "numeric", "float8"];
        self.stringify_numbers
            && scalar.operators.schema.is_none()
            && !scalar.sql.array
            && scalar.sql.name.schema.as_str() == "pg_catalog"
            && BIG.contains(&scalar.sql.name.name.as_str())
    }

    pub fn table_name(&self, id: TrackedId) -> Option<&Name> {
        self.tracked.table(id).map(TrackedTable::name)
    }

    /// Settings that must have a value before `command` may run on `table`,
    /// because a policy would raise without.
    pub fn required_settings(&self, table: TrackedId, command: PolicyCommand) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let (Some(shown), Some(db)) = (self.tracked.table(table), self.table(table)) else {
            return names;
        };
        let Some(role) = self.source(shown.source) else { return names };
        let (Some(rights), false) = (&role.rights, role.binding.source == SchemaSource::Everything)
        else {
            return names;
        };
        if db.kind == TableKind::View {
            names.extend(db.select_settings.unguarded.iter().map(String::as_str));
            return names;
        }
        let catalog = self.tracked.source(shown.source).map(|source| &source.catalog);
        let bound = db.rls_enabled
            && catalog
                .and_then(|catalog| catalog.relations.get(&db.oid))
                .is_some_and(|relation| !rights.bypass(relation));
        if bound {
            for policy in &db.policies {
                if rights.subject_to(policy, command) {
                    names.extend(policy.settings.unguarded.iter().map(String::as_str));
                }
            }
        }
        names
    }

    /// Why an answer out of `table` may change although neither its rows nor what
    /// the transaction is told do; `None` when it cannot.
    pub fn unsteady(&self, table: TrackedId) -> Option<String> {
        let unknown = || Some("a table that is not known".to_owned());
        let (Some(shown), Some(db)) = (self.tracked.table(table), self.table(table)) else {
            return unknown();
        };
        let (Some(role), Some(source)) =
            (self.source(shown.source), self.tracked.source(shown.source))
        else {
            return unknown();
        };
        if db.kind == TableKind::View {
            return role.unsteady(&db.select_settings);
        }
        if !db.rls_enabled || role.binding.source == SchemaSource::Everything {
            return None;
        }
        let (Some(rights), Some(relation)) = (&role.rights, source.catalog.relations.get(&db.oid))
        else {
            return unknown();
        };
        if rights.bypass(relation) {
            return None;
        }
        db.policies
            .iter()
            .filter(|policy| rights.subject_to(policy, PolicyCommand::Select))
            .find_map(|policy| role.unsteady(&policy.settings))
    }

    /// The same of a call of a function.
    pub fn calls_unsteady(&self, source: SourceId, function: Oid) -> Option<String> {
        let known = self
            .tracked
            .source(source)
            .and_then(|source| source.catalog.functions.get(&function))
            .zip(self.source(source));
        match known {
            Some((function, role)) => role.unsteady(&function.settings),
            None => Some("a function that is not known".to_owned()),
        }
    }

    /// What is served: the catalogue's fingerprint of each source, and the
    /// version of the metadata.
    pub fn version(&self) -> (impl Iterator<Item = u64>, Option<i64>) {
        let catalogs = self.tracked.sources.iter().map(|source| source.catalog.fingerprint);
        (catalogs, self.metadata_version)
    }

    /// The role's schema in the schema definition language.
    pub fn sdl(&self) -> String {
        introspection::sdl(&self.types)
    }
}
