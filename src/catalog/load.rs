//! Reads the catalogue: one statement, one JSON document, decoded here.
//!
//! ```text
//! introspect.sql ─▶ Document (serde) ─▶ Catalog ─▶ settings::analyse
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};

use super::model::{
    AclItem, ArgMode, Argument, Catalog, Column, ColumnId, ForeignKey, Function, FunctionKind,
    Identity, Index, Key, Membership, Oid, PgType, Policy, PolicyCommand, Privilege,
    ReferentialAction, Relation, Role, Schema, SettingsRead, Table, TableId, TableKind, TypeKind,
    Volatility, Writable,
};
use super::settings;
use crate::base::ApiError;
use crate::config::SchemaConfig;
use crate::pg::{PgError, SystemTx};

/// The one introspection statement; `$1` is [`exposed_schemas`].
pub const INTROSPECT: &str = include_str!("introspect.sql");

/// Runs before [`INTROSPECT`] in the same transaction: with an empty search
/// path every name in an expression comes out qualified, and compiling the
/// statement would take longer than running it.
pub const PREPARE: &str =
    "select set_config('search_path', 'pg_catalog', true), set_config('jit', 'off', true),
            set_config('lock_timeout', '2s', true), set_config('statement_timeout', '30s', true)";

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(transparent)]
    Database(#[from] PgError),
    #[error("the catalogue statement answered nothing")]
    Empty,
    #[error("the catalogue document cannot be read: {0}")]
    Document(#[from] serde_json::Error),
    #[error("reading the catalogue took longer than {} s", .0.as_secs())]
    Slow(std::time::Duration),
    #[error("reading the catalogue was aborted: {0}")]
    Aborted(String),
    #[error("the database has more than {limit} {what}, which is more than can be served")]
    TooMany { what: &'static str, limit: usize },
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Database(error) => error.into(),
            other => ApiError::internal(other.to_string()),
        }
    }
}

/// The parameter of [`INTROSPECT`].
pub fn exposed_schemas(schemas: &[String]) -> String {
    serde_json::Value::from(schemas).to_string()
}

/// Reads the catalogue in a transaction of the server, as that transaction sees
/// it; its settings stay as they are.
pub async fn load(tx: &SystemTx, config: &SchemaConfig) -> Result<Catalog, CatalogError> {
    let schemas = exposed_schemas(&config.expose);
    tx.batch("savepoint read_catalog").await?;
    tx.query_text(PREPARE, &[]).await?;
    let document = tx.query_text(INTROSPECT, &[&schemas]).await?.ok_or(CatalogError::Empty)?;
    tx.batch("rollback to savepoint read_catalog").await?;
    // Half a second of computing for a thousand tables would hold up every
    // request that shares this thread.
    tokio::task::spawn_blocking(move || decode(&document))
        .await
        .map_err(|error| CatalogError::Aborted(error.to_string()))?
}

/// Makes a catalogue of the document that [`INTROSPECT`] answers.
pub fn decode(document: &str) -> Result<Catalog, CatalogError> {
    let parsed: Document<'_> = serde_json::from_str(document)?;
    let mut hasher = DefaultHasher::new();
    document.hash(&mut hasher);
    let mut catalog = build(parsed)?;
    catalog.fingerprint = hasher.finish();
    Ok(catalog)
}

/// An oid, which Postgres prints as a string in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Id(Oid);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Id;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an oid")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map(Id).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
                Oid::try_from(number)
                    .map(Id)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// `json_agg` over nothing is null.
type List<T> = Option<Vec<T>>;
type Acl<'a> = List<(Id, Cow<'a, str>)>;

#[derive(serde::Deserialize)]
struct Document<'a> {
    version: u32,
    database: String,
    login: Id,
    owner: Id,
    #[serde(borrow)]
    schemas: List<SchemaRow<'a>>,
    #[serde(borrow)]
    relations: List<RelationRow<'a>>,
    #[serde(borrow)]
    columns: List<ColumnRow<'a>>,
    #[serde(borrow)]
    constraints: List<ConstraintRow<'a>>,
    #[serde(borrow)]
    indexes: List<IndexRow<'a>>,
    #[serde(borrow)]
    policies: List<PolicyRow<'a>>,
    rules: List<RuleRow>,
    #[serde(borrow)]
    expressions: List<ExpressionRow<'a>>,
    #[serde(borrow)]
    functions: List<FunctionRow<'a>>,
    calls: List<(Id, Id)>,
    operators: List<(String, Id, Option<String>)>,
    casts: List<Id>,
    extension_functions: Option<HashMap<String, Vec<String>>>,
    #[serde(borrow)]
    types: List<TypeRow<'a>>,
    #[serde(borrow)]
    roles: List<RoleRow<'a>>,
    memberships: List<(Id, Id, Option<bool>, Option<bool>)>,
    role_settings: List<(Id, Vec<String>)>,
}

#[derive(serde::Deserialize)]
struct SchemaRow<'a> {
    oid: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    owner: Id,
    #[serde(borrow)]
    acl: Acl<'a>,
}

#[derive(serde::Deserialize)]
struct RelationRow<'a> {
    oid: Id,
    schema: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    kind: char,
    owner: Id,
    /// May be tracked.
    offered: bool,
    exposed: bool,
    partition: bool,
    /// Bits of `pg_relation_is_updatable`; of views.
    writable: Option<u8>,
    parent: Option<Id>,
    rewrites: bool,
    rls: bool,
    forced: bool,
    options: List<String>,
    comment: Option<String>,
    #[serde(borrow)]
    acl: Acl<'a>,
}

/// table, number, name, type, modifier, not null, default, generated,
/// identity, comment, acl
#[derive(serde::Deserialize)]
struct ColumnRow<'a>(
    Id,
    i16,
    #[serde(borrow)] Cow<'a, str>,
    Id,
    i32,
    bool,
    bool,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    Option<String>,
    #[serde(borrow)] Acl<'a>,
);

#[derive(serde::Deserialize)]
struct ConstraintRow<'a> {
    table: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    kind: char,
    columns: List<i16>,
    target: Id,
    target_columns: List<i16>,
    on_delete: char,
    on_update: char,
}

#[derive(serde::Deserialize)]
struct IndexRow<'a> {
    table: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    unique: bool,
    columns: Vec<i16>,
    partial: bool,
    #[serde(borrow)]
    method: Cow<'a, str>,
    constraint: bool,
}

#[derive(serde::Deserialize)]
struct PolicyRow<'a> {
    oid: Id,
    table: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    permissive: bool,
    command: char,
    roles: Vec<Id>,
    using: Option<String>,
    check: Option<String>,
    reads: List<Id>,
}

#[derive(serde::Deserialize)]
struct RuleRow {
    oid: Id,
    table: Id,
    select: bool,
    reads: List<Id>,
    object: String,
    text: Option<String>,
}

#[derive(serde::Deserialize)]
struct ExpressionRow<'a> {
    oid: Id,
    object: String,
    #[serde(borrow)]
    text: Cow<'a, str>,
    domain: bool,
}

#[derive(serde::Deserialize)]
struct FunctionRow<'a> {
    oid: Id,
    schema: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    owner: Id,
    #[serde(borrow)]
    arguments: Cow<'a, str>,
    #[serde(borrow)]
    language: Cow<'a, str>,
    kind: char,
    volatility: char,
    definer: bool,
    set: bool,
    returns: Id,
    #[serde(borrow)]
    extension: Option<Cow<'a, str>>,
    comment: Option<String>,
    defaults: u16,
    default_text: Option<String>,
    constructor: bool,
    /// Name, type and mode (`proargmodes`).
    #[serde(borrow)]
    args: List<(Option<Cow<'a, str>>, Id, char)>,
    body: Option<String>,
    config: List<String>,
    #[serde(borrow)]
    acl: Acl<'a>,
}

#[derive(serde::Deserialize)]
struct TypeRow<'a> {
    oid: Id,
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: char,
    category: char,
    delimiter: char,
    base: Id,
    not_null: bool,
    element: Id,
    relation: Id,
    comment: Option<String>,
    #[serde(borrow)]
    extension: Option<Cow<'a, str>>,
    labels: List<String>,
    #[serde(borrow)]
    fields: List<(Cow<'a, str>, Id)>,
}

#[derive(serde::Deserialize)]
struct RoleRow<'a> {
    oid: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    superuser: bool,
    bypass: bool,
    login: bool,
    inherit: bool,
    replication: bool,
    create_role: bool,
}

fn privilege(name: &str) -> Privilege {
    match name {
        "SELECT" => Privilege::Select,
        "INSERT" => Privilege::Insert,
        "UPDATE" => Privilege::Update,
        "DELETE" => Privilege::Delete,
        "TRUNCATE" => Privilege::Truncate,
        "REFERENCES" => Privilege::References,
        "TRIGGER" => Privilege::Trigger,
        "USAGE" => Privilege::Usage,
        "EXECUTE" => Privilege::Execute,
        _ => Privilege::Other,
    }
}

fn acl(rows: Acl<'_>) -> Vec<AclItem> {
    rows.into_iter()
        .flatten()
        .map(|(grantee, name)| AclItem { grantee: grantee.0, privilege: privilege(&name) })
        .collect()
}

fn ids(rows: List<Id>) -> Vec<Oid> {
    rows.into_iter().flatten().map(|id| id.0).collect()
}

/// `name=value` as `pg_db_role_setting`, `proconfig` and `reloptions` have it.
fn assignment(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn referential_action(code: char) -> ReferentialAction {
    match code {
        'r' => ReferentialAction::Restrict,
        'c' => ReferentialAction::Cascade,
        'n' => ReferentialAction::SetNull,
        'd' => ReferentialAction::SetDefault,
        _ => ReferentialAction::NoAction,
    }
}

fn table_kind(kind: char) -> TableKind {
    match kind {
        'p' => TableKind::Partitioned,
        'v' => TableKind::View,
        'm' => TableKind::MaterializedView,
        'f' => TableKind::Foreign,
        _ => TableKind::Table,
    }
}

/// `CmdType` of Postgres numbers commands; a bit is set for each that works.
fn writable(kind: TableKind, bits: Option<u8>) -> Writable {
    const UPDATE: u8 = 1 << 2;
    const INSERT: u8 = 1 << 3;
    const DELETE: u8 = 1 << 4;
    match (kind, bits) {
        (TableKind::View, Some(bits)) => Writable {
            insert: bits & INSERT != 0,
            update: bits & UPDATE != 0,
            delete: bits & DELETE != 0,
        },
        (TableKind::View | TableKind::MaterializedView, _) => Writable::default(),
        _ => Writable { insert: true, update: true, delete: true },
    }
}

fn security_invoker(options: &List<String>) -> bool {
    options.iter().flatten().any(|option| {
        option.strip_prefix("security_invoker=").is_some_and(|value| {
            matches!(
                value.to_ascii_lowercase().as_str(),
                "true" | "tru" | "tr" | "t" | "on" | "yes" | "ye" | "y" | "1"
            )
        })
    })
}

/// One copy of each text that many objects share.
#[derive(Default)]
struct Interner(HashMap<String, Arc<str>>);

impl Interner {
    fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let made: Arc<str> = text.into();
        self.0.insert(text.to_owned(), made.clone());
        made
    }
}

fn build(document: Document<'_>) -> Result<Catalog, CatalogError> {
    let mut texts = Interner::default();
    let mut calls: HashMap<Oid, Vec<Oid>> = HashMap::new();
    for (from, to) in document.calls.into_iter().flatten() {
        calls.entry(from.0).or_default().push(to.0);
    }

    let mut catalog = Catalog {
        server_version: document.version,
        database: document.database,
        login: document.login.0,
        database_owner: document.owner.0,
        ..Catalog::default()
    };
    for row in document.schemas.into_iter().flatten() {
        let schema = Schema {
            oid: row.oid.0,
            name: texts.get(&row.name),
            owner: row.owner.0,
            acl: acl(row.acl),
        };
        catalog.schemas.insert(row.oid.0, schema);
    }
    add_roles(&mut catalog, document.roles, document.memberships, document.role_settings);
    add_relations(&mut catalog, document.relations, &mut texts)?;

    // Attribute number → position, because dropped columns leave holes.
    let mut positions: HashMap<(Oid, i16), ColumnId> = HashMap::new();
    add_columns(&mut catalog, document.columns, &mut positions, &mut texts)?;
    add_constraints(&mut catalog, document.constraints, &positions);
    for row in document.indexes.into_iter().flatten() {
        let Some(id) = catalog.table_ids.get(&row.table.0).copied() else { continue };
        let index = Index {
            name: row.name.as_ref().into(),
            unique: row.unique,
            columns: row
                .columns
                .iter()
                .map(|number| positions.get(&(row.table.0, *number)).copied())
                .collect(),
            partial: row.partial,
            method: texts.get(&row.method),
            constraint: row.constraint,
        };
        if let Some(table) = catalog.tables.get_mut(id.0 as usize) {
            table.indexes.push(index);
        }
    }
    add_types(&mut catalog, document.types, &mut texts);
    add_functions(&mut catalog, document.functions, &calls, &mut texts);

    for row in document.policies.into_iter().flatten() {
        let policy = Policy {
            name: row.name.as_ref().into(),
            permissive: row.permissive,
            command: match row.command {
                'r' => PolicyCommand::Select,
                'a' => PolicyCommand::Insert,
                'w' => PolicyCommand::Update,
                'd' => PolicyCommand::Delete,
                _ => PolicyCommand::All,
            },
            roles: row.roles.iter().map(|id| id.0).collect(),
            using: row.using,
            check: row.check,
            reads: ids(row.reads),
            calls: calls.get(&row.oid.0).cloned().unwrap_or_default(),
            settings: SettingsRead::default(),
        };
        if let Some(relation) = catalog.relations.get_mut(&row.table.0) {
            relation.policies.push(policy);
        }
    }

    let mut sources = settings::Sources {
        calls,
        extension_functions: document.extension_functions.unwrap_or_default(),
        operators: document
            .operators
            .into_iter()
            .flatten()
            .map(|(symbol, function, extension)| settings::Operator {
                symbol,
                function: function.0,
                extension,
            })
            .collect(),
        unnamed: document.casts.into_iter().flatten().map(|function| function.0).collect(),
        ..settings::Sources::default()
    };
    for row in document.rules.into_iter().flatten() {
        if row.select
            && let Some(relation) = catalog.relations.get_mut(&row.table.0)
        {
            relation.reads.extend(row.reads.iter().flatten().map(|id| id.0));
            relation.calls.extend(sources.calls.get(&row.oid.0).into_iter().flatten());
        }
        sources.texts.push(settings::Source {
            oid: row.oid.0,
            view: row.select.then_some(row.table.0),
            domain: false,
            object: row.object,
            text: row.text.unwrap_or_default(),
        });
    }
    for row in document.expressions.into_iter().flatten() {
        sources.texts.push(settings::Source {
            oid: row.oid.0,
            view: None,
            domain: row.domain,
            object: row.object,
            text: row.text.into_owned(),
        });
    }
    for table in &mut catalog.tables {
        if let Some(relation) = catalog.relations.get(&table.oid) {
            table.depends_on.clone_from(&relation.reads);
        }
    }
    settings::analyse(&mut catalog, &sources);
    Ok(catalog)
}

fn add_roles(
    catalog: &mut Catalog,
    roles: List<RoleRow<'_>>,
    memberships: List<(Id, Id, Option<bool>, Option<bool>)>,
    role_settings: List<(Id, Vec<String>)>,
) {
    let mut inherits: HashMap<Oid, bool> = HashMap::new();
    for row in roles.into_iter().flatten() {
        inherits.insert(row.oid.0, row.inherit);
        catalog.role_names.insert(row.name.clone().into_owned(), row.oid.0);
        catalog.roles.insert(
            row.oid.0,
            Role {
                oid: row.oid.0,
                name: row.name.as_ref().into(),
                superuser: row.superuser,
                bypass_rls: row.bypass,
                can_login: row.login,
                replication: row.replication,
                create_role: row.create_role,
                member_of: Vec::new(),
                settings: Vec::new(),
            },
        );
    }
    for (member, role, inherit, set) in memberships.into_iter().flatten() {
        let Some(entry) = catalog.roles.get_mut(&member.0) else { continue };
        // Before Postgres 16 the member's own attribute decides, and SET ROLE
        // is always allowed.
        let inherit = inherit.unwrap_or_else(|| inherits.get(&member.0).copied().unwrap_or(false));
        let set = set.unwrap_or(true);
        // Since 16 one membership may be granted several times, by different
        // grantors: the options add up.
        match entry.member_of.iter_mut().find(|known| known.role == role.0) {
            Some(known) => {
                known.inherit |= inherit;
                known.set |= set;
            }
            None => entry.member_of.push(Membership { role: role.0, inherit, set }),
        }
    }
    for (role, settings) in role_settings.into_iter().flatten() {
        let Some(entry) = catalog.roles.get_mut(&role.0) else { continue };
        for (name, value) in settings.iter().filter_map(|text| assignment(text)) {
            entry.settings.retain(|(known, _)| *known != name);
            entry.settings.push((name, value));
        }
    }
}

fn add_relations(
    catalog: &mut Catalog,
    relations: List<RelationRow<'_>>,
    texts: &mut Interner,
) -> Result<(), CatalogError> {
    for row in relations.into_iter().flatten() {
        let Some(schema) = catalog.schemas.get(&row.schema.0).map(|s| s.name.clone()) else {
            continue;
        };
        let relation = Relation {
            oid: row.oid.0,
            schema_oid: row.schema.0,
            schema,
            name: texts.get(&row.name),
            kind: table_kind(row.kind),
            exposed: row.exposed,
            owner: row.owner.0,
            rls_enabled: row.rls,
            rls_forced: row.forced,
            security_invoker: security_invoker(&row.options),
            partition_of: row.parent.map(|parent| parent.0),
            reads: Vec::new(),
            calls: Vec::new(),
            policies: Vec::new(),
            own_settings: SettingsRead::default(),
        };
        if row.offered {
            let id =
                TableId(u32::try_from(catalog.tables.len()).map_err(|_| {
                    CatalogError::TooMany { what: "tables", limit: u32::MAX as usize }
                })?);
            catalog.table_ids.insert(row.oid.0, id);
            catalog
                .table_names
                .entry(relation.schema.clone())
                .or_default()
                .insert(relation.name.clone(), id);
            catalog.tables.push(Table {
                id,
                oid: relation.oid,
                schema_oid: relation.schema_oid,
                schema: relation.schema.clone(),
                name: relation.name.clone(),
                kind: relation.kind,
                comment: row.comment,
                owner: relation.owner,
                is_partition: row.partition,
                exposed: row.exposed,
                writable: writable(relation.kind, row.writable),
                rewrites_new: row.rewrites,
                rls_enabled: relation.rls_enabled,
                rls_forced: relation.rls_forced,
                security_invoker: relation.security_invoker,
                columns: Vec::new(),
                primary_key: None,
                uniques: Vec::new(),
                foreign_keys: Vec::new(),
                indexes: Vec::new(),
                policies: Vec::new(),
                acl: acl(row.acl),
                depends_on: Vec::new(),
                select_settings: SettingsRead::default(),
            });
        }
        catalog.relations.insert(relation.oid, relation);
    }
    Ok(())
}

fn add_columns(
    catalog: &mut Catalog,
    columns: List<ColumnRow<'_>>,
    positions: &mut HashMap<(Oid, i16), ColumnId>,
    texts: &mut Interner,
) -> Result<(), CatalogError> {
    for row in columns.into_iter().flatten() {
        let ColumnRow(
            table,
            number,
            name,
            type_oid,
            type_modifier,
            not_null,
            has_default,
            generated,
            identity,
            comment,
            grants,
        ) = row;
        let Some(table_id) = catalog.table_ids.get(&table.0).copied() else { continue };
        let Some(entry) = catalog.tables.get_mut(table_id.0 as usize) else { continue };
        let id = ColumnId(u16::try_from(entry.columns.len()).map_err(|_| {
            CatalogError::TooMany { what: "columns in one table", limit: usize::from(u16::MAX) }
        })?);
        positions.insert((table.0, number), id);
        entry.columns.push(Column {
            id,
            number,
            name: texts.get(&name),
            comment,
            type_oid: type_oid.0,
            type_modifier,
            not_null,
            has_default,
            generated: !generated.is_empty(),
            identity: match identity.as_ref() {
                "a" => Identity::Always,
                "d" => Identity::ByDefault,
                _ => Identity::None,
            },
            acl: acl(grants),
        });
    }
    Ok(())
}

fn add_constraints(
    catalog: &mut Catalog,
    constraints: List<ConstraintRow<'_>>,
    positions: &HashMap<(Oid, i16), ColumnId>,
) {
    let resolve = |table: Id, numbers: &List<i16>| -> Option<Vec<ColumnId>> {
        numbers.iter().flatten().map(|number| positions.get(&(table.0, *number)).copied()).collect()
    };
    for row in constraints.into_iter().flatten() {
        let Some(id) = catalog.table_ids.get(&row.table.0).copied() else { continue };
        let Some(columns) = resolve(row.table, &row.columns) else { continue };
        let name: Arc<str> = row.name.as_ref().into();
        let target = catalog.table_ids.get(&row.target.0).copied();
        let Some(table) = catalog.tables.get_mut(id.0 as usize) else { continue };
        match row.kind {
            'p' => table.primary_key = Some(Key { name, columns }),
            'u' => table.uniques.push(Key { name, columns }),
            _ => {
                // A key into a schema that is not exposed is no relationship.
                let Some(target) = target else { continue };
                let Some(target_columns) = resolve(row.target, &row.target_columns) else {
                    continue;
                };
                table.foreign_keys.push(ForeignKey {
                    name,
                    columns,
                    target,
                    target_columns,
                    on_delete: referential_action(row.on_delete),
                    on_update: referential_action(row.on_update),
                });
            }
        }
    }
}

fn add_types(catalog: &mut Catalog, types: List<TypeRow<'_>>, texts: &mut Interner) {
    for row in types.into_iter().flatten() {
        let kind = match row.kind {
            _ if row.element.0 != 0 => TypeKind::Array { element: row.element.0 },
            'e' => TypeKind::Enum(row.labels.unwrap_or_default()),
            'd' => TypeKind::Domain { base: row.base.0 },
            'c' => TypeKind::Composite,
            'r' | 'm' => TypeKind::Range,
            'p' => TypeKind::Pseudo,
            _ => TypeKind::Base,
        };
        catalog.types.insert(
            row.oid.0,
            PgType {
                oid: row.oid.0,
                schema: texts.get(&row.schema),
                name: texts.get(&row.name),
                comment: row.comment,
                kind,
                category: row.category,
                delimiter: row.delimiter,
                not_null: row.not_null,
                fields: row
                    .fields
                    .into_iter()
                    .flatten()
                    .map(|(name, oid)| (texts.get(&name), oid.0))
                    .collect(),
                extension: row.extension.map(|name| texts.get(&name)),
                relation: (row.relation.0 != 0).then_some(row.relation.0),
            },
        );
    }
}

fn add_functions(
    catalog: &mut Catalog,
    functions: List<FunctionRow<'_>>,
    calls: &HashMap<Oid, Vec<Oid>>,
    texts: &mut Interner,
) {
    for row in functions.into_iter().flatten() {
        let Some(schema) = catalog.schemas.get(&row.schema.0).map(|s| s.name.clone()) else {
            continue;
        };
        catalog.functions.insert(
            row.oid.0,
            Function {
                oid: row.oid.0,
                schema_oid: row.schema.0,
                schema,
                name: texts.get(&row.name),
                arguments: texts.get(&row.arguments),
                owner: row.owner.0,
                language: texts.get(&row.language),
                kind: match row.kind {
                    'p' => FunctionKind::Procedure,
                    'a' => FunctionKind::Aggregate,
                    'w' => FunctionKind::Window,
                    _ => FunctionKind::Function,
                },
                volatility: match row.volatility {
                    'i' => Volatility::Immutable,
                    's' => Volatility::Stable,
                    _ => Volatility::Volatile,
                },
                security_definer: row.definer,
                returns_set: row.set,
                returns: row.returns.0,
                extension: row.extension.map(|name| texts.get(&name)),
                comment: row.comment,
                args: row
                    .args
                    .into_iter()
                    .flatten()
                    .map(|(name, ty, mode)| Argument {
                        name: name.filter(|name| !name.is_empty()).map(|name| texts.get(&name)),
                        type_oid: ty.0,
                        mode: match mode {
                            'o' => ArgMode::Out,
                            'b' => ArgMode::InOut,
                            'v' => ArgMode::Variadic,
                            't' => ArgMode::Table,
                            _ => ArgMode::In,
                        },
                    })
                    .collect(),
                defaults: row.defaults,
                default_text: row.default_text,
                constructor: row.constructor,
                body: row.body,
                config: row.config.iter().flatten().filter_map(|text| assignment(text)).collect(),
                acl: acl(row.acl),
                calls: calls.get(&row.oid.0).cloned().unwrap_or_default(),
                mentions: Vec::new(),
                reads: Vec::new(),
                settings: SettingsRead::default(),
                dynamic_sql: false,
                sets_session: false,
            },
        );
    }
}
