//! Puts catalogue and metadata together, in the order in which one part needs
//! another: tables, relationships, functions, permissions, roots.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::catalog::model::{Catalog, Oid, Table, TableId};
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::metadata::document::InheritedRole;
use crate::metadata::source::{DEFAULT_SOURCE, Names};
use crate::metadata::table::TableConfiguration;
use crate::metadata::{
    Function as WrittenFunction, Metadata, NonEmpty, QualifiedName, Source, Table as Written,
};
use crate::schema::naming::{Naming, Stem, is_graphql_name};
use crate::schema::scalars::Scalars;
use crate::schema::types::{Root, RootField, RootKind, TableType, TypeId};
use crate::sql::InvalidIdent;

use super::inconsistency::{Inconsistency, ObjectKind, Place};
use super::permission::Permissions;
use super::reuse::{Earlier, Origin};
use super::stored::StoredOperations;
use super::table::{columns_of, name_of};
use super::{
    Cardinality, ColumnType, Connection, EnumRow, FunctionId, FunctionRoot, Relationship, Returns,
    RootFields, RootNames, SourceId, Tracked, TrackedFunction, TrackedId, TrackedSource,
    TrackedTable, action, derive, event, function, permission, relationship, type_name,
};

/// One database.
#[derive(Debug, Clone)]
pub struct SourceInput<'a> {
    pub name: Arc<str>,
    pub catalog: Arc<Catalog>,
    pub connection: Connection,
    /// `None` without metadata.
    pub metadata: Option<&'a Source>,
    /// Whether exposed tables that metadata does not name are shown too.
    pub auto_track: bool,
    /// The rows of the tables that metadata calls enums, or why they cannot be.
    pub enums: &'a HashMap<QualifiedName, Result<Arc<[EnumRow]>, String>>,
}

#[derive(Debug, Clone, Copy)]
pub struct BuildOptions<'a> {
    /// What was shown before: what holds of it is taken over.
    pub before: Option<&'a Tracked>,
    /// Exposed schemas, the first without a prefix.
    pub expose: &'a [String],
    /// Of sources whose metadata does not say.
    pub naming: NamingConvention,
    /// What metadata says beside the sources.
    pub metadata: Option<&'a Metadata>,
}

/// What is shown of one database without metadata: all that is exposed.
pub fn without_metadata(
    catalog: Arc<Catalog>,
    expose: &[String],
) -> Result<Arc<Tracked>, InvalidIdent> {
    let source = SourceInput {
        name: DEFAULT_SOURCE.into(),
        catalog,
        connection: Connection::default(),
        metadata: None,
        auto_track: true,
        enums: &HashMap::new(),
    };
    let naming = NamingConvention::HasuraDefault;
    build(&[source], BuildOptions { before: None, expose, naming, metadata: None }).map(Arc::new)
}

/// A tracked table with what is written about it.
type Pair<'a> = (TrackedId, &'a Arc<Written>);

/// Puts everything together. Fails only where a name cannot be printed.
pub fn build(
    inputs: &[SourceInput<'_>],
    options: BuildOptions<'_>,
) -> Result<Tracked, InvalidIdent> {
    let scalars = Scalars::of(inputs.iter().map(|input| input.catalog.as_ref()))?;
    let mut tracked = Tracked { scalars, ..Tracked::default() };
    // A source that cannot have the names that it asks for has none.
    let mut unnamed: HashSet<usize> = HashSet::new();
    for (index, input) in inputs.iter().enumerate() {
        let names = match input.metadata.map(Source::names) {
            None => Names::default(),
            Some(Ok(names)) => names,
            Some(Err(reason)) => {
                let told = Inconsistency::of_source(&input.name, reason);
                tracked.inconsistencies.push(told);
                unnamed.insert(index);
                Names::default()
            }
        };
        tracked.sources.push(TrackedSource {
            name: input.name.clone(),
            catalog: input.catalog.clone(),
            connection: input.connection.clone(),
            naming: Arc::new(Naming::new(
                names.convention.unwrap_or(options.naming),
                names.type_names,
                names.root_fields,
            )),
            namespace: names.namespace.map(Arc::from),
            roots: RootFields::default(),
            ids: HashMap::new(),
        });
    }
    let mut taken = Taken::new(&tracked);
    let mut written: Vec<Vec<Pair<'_>>> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let source = SourceId(u16::try_from(index).unwrap_or(u16::MAX));
        written.push(if unnamed.contains(&index) {
            Vec::new()
        } else {
            add_tables(&mut tracked, &mut taken, source, input, options)
        });
    }
    for (index, input) in inputs.iter().enumerate().filter(|(index, _)| !unnamed.contains(index)) {
        let source = SourceId(u16::try_from(index).unwrap_or(u16::MAX));
        let pairs = written.get(index).map_or(&[][..], Vec::as_slice);
        link_enums(&mut tracked, source, &input.catalog);
        add_relationships(&mut tracked, source, input, pairs, options);
        add_functions(&mut tracked, &mut taken, source, input, pairs, options);
    }
    let earlier = options.before.and_then(|before| Earlier::of(before, &tracked));
    for (id, table) in written.iter().flatten() {
        let kept = earlier.as_ref().and_then(|earlier| earlier.table(*id, table));
        let (permissions, origin) = match kept {
            Some(kept) => (kept.permissions.clone(), kept.origin.clone()),
            None => {
                let Permissions { by_role, mentions, told } =
                    permission::of_table(&tracked, *id, table);
                // What is broken may be right when another table is another one.
                let whole = told.is_empty();
                let origin = whole.then(|| Arc::new(Origin::new((*table).clone(), mentions)));
                tracked.inconsistencies.extend(told);
                let shared = by_role.into_iter().map(|(role, access)| (role, Arc::new(access)));
                (Arc::new(shared.collect()), origin)
            }
        };
        if let Some(entry) = tracked.tables.get_mut(id.0 as usize) {
            entry.permissions = permissions;
            entry.origin = origin;
        }
    }
    for source in inputs.iter().filter_map(|input| input.metadata) {
        name_roles(&mut tracked, source);
    }
    for (input, pairs) in inputs.iter().zip(&written) {
        event::tell_event_triggers(&mut tracked, input, pairs);
    }
    if let Some(metadata) = options.metadata {
        event::tell_cron_triggers(&mut tracked, metadata);
        action::add(&mut tracked, metadata, &taken.0);
        tracked.action_roles = action::roles(&tracked.actions);
        add_inherited_roles(&mut tracked, &metadata.inherited_roles);
        tracked.stored = StoredOperations::of(metadata, &mut tracked.inconsistencies);
    }
    let named = written.iter().flatten().map(|(id, _)| *id).collect();
    add_roots(&mut tracked, &mut taken, &named, options.metadata);
    Ok(tracked)
}

/// Type names that are in use.
struct Taken(HashSet<String>);

impl Taken {
    fn new(tracked: &Tracked) -> Self {
        let mut taken: HashSet<String> =
            Root::ALL.iter().map(|root| root.name().to_owned()).collect();
        taken.extend(tracked.scalars.iter().map(|scalar| scalar.name.to_string()));
        for convention in NamingConvention::ALL.into_iter().filter(|one| tracked.uses(*one)) {
            let enums = ["order_by", "cursor_ordering"].map(|name| convention.type_name(name));
            let of_scalars = tracked.scalars.iter().map(|scalar| {
                tracked.scalars.named_after(scalar.id, convention, "_comparison_exp")
            });
            taken.extend(enums.into_iter().chain(of_scalars).map(|name| name.to_string()));
        }
        Taken(taken)
    }

    /// Takes the names of a table's types; an error names one that is gone.
    fn table(&mut self, table: &Stem, naming: &Naming, is_enum: bool) -> Result<(), String> {
        // The rest follow from these: they differ in what follows the name, which
        // begins in upper case or, as the last of these, in lower case.
        const CHECKED: [TableType; 9] = [
            TableType::Object,
            TableType::BoolExp,
            TableType::OrderBy,
            TableType::SelectColumn,
            TableType::Aggregate,
            TableType::AggregateFields,
            TableType::InsertInput,
            TableType::MutationResponse,
            TableType::AggregateCount,
        ];
        let comparison = is_enum.then_some(TableType::EnumComparison);
        let types = CHECKED.into_iter().chain(comparison);
        let names: Vec<String> = types.map(|ty| type_name(naming, table, ty).to_string()).collect();
        if let Some(gone) = names.iter().find(|name| self.0.contains(*name)) {
            return Err(format!("the type name \"{gone}\" is used already"));
        }
        self.0.extend(names);
        Ok(())
    }

    /// Takes the name of the type of a function's arguments, if it has one.
    fn args(&mut self, function: &TrackedFunction) -> Result<(), String> {
        if function.call.args.is_empty() || self.0.insert(function.args_type.to_string()) {
            return Ok(());
        }
        Err(format!("the type name \"{}\" is used already", function.args_type))
    }
}

/// Adds the tables of a source and returns those with metadata.
fn add_tables<'a>(
    tracked: &mut Tracked,
    taken: &mut Taken,
    source: SourceId,
    input: &SourceInput<'a>,
    options: BuildOptions<'_>,
) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    let mut seen: HashSet<TableId> = HashSet::new();
    for written in input.metadata.into_iter().flat_map(|metadata| &metadata.tables) {
        let named = &written.table;
        let mut tell = |reason: String| {
            let told = Inconsistency::of_table(&input.name, named, reason);
            tracked.inconsistencies.push(told);
        };
        let Some(table) = input.catalog.table_named(&named.schema, &named.name) else {
            tell(format!("no such table/view exists in source: \"{named}\""));
            continue;
        };
        if !seen.insert(table.id) {
            tell(format!("the table \"{named}\" is listed twice"));
            continue;
        }
        let enum_values = match (written.is_enum, input.enums.get(named)) {
            (false, _) => None,
            (true, Some(Ok(values))) => match same_word(tracked, source, values) {
                None => Some(values.clone()),
                Some((one, other)) => {
                    let reason = format!(
                        "the values \"{one}\" and \"{other}\" of the enum table are the same in upper case"
                    );
                    tracked.inconsistencies.push(Inconsistency::of_table(
                        &input.name,
                        named,
                        reason,
                    ));
                    continue;
                }
            },
            (true, Some(Err(reason))) => {
                tell(reason.clone());
                continue;
            }
            (true, None) => {
                tell("the rows of the enum table could not be read".to_owned());
                continue;
            }
        };
        let configuration = &written.configuration;
        match shown(tracked, taken, source, table, configuration, written.is_enum, options) {
            Ok(mut shown) => {
                shown.enum_values = enum_values;
                pairs.push((push(tracked, shown), written));
            }
            Err(reason) => {
                // Its root fields would stand there twice.
                let naming = tracked.source(source).map(|source| source.naming.clone());
                let stem = |naming: &Naming| {
                    name_of(naming.convention, options.expose, table, configuration).ok()
                };
                if let Some(naming) = naming
                    && let Some(stem) = stem(&naming)
                    && let object = naming.type_name(&TableType::Object.name(&stem))
                    && tracked.table_names.contains_key(&object)
                {
                    let roots = &configuration.custom_root_fields;
                    tracked.clashes.push(RootNames::of(&stem, roots, &naming));
                }
                let told = Inconsistency::of_table(&input.name, named, reason);
                tracked.inconsistencies.push(told);
            }
        }
    }
    if input.auto_track {
        let configuration = TableConfiguration::default();
        for table in input.catalog.tables.iter().filter(|table| table.exposed) {
            if seen.contains(&table.id) {
                continue;
            }
            match shown(tracked, taken, source, table, &configuration, false, options) {
                Ok(shown) => {
                    push(tracked, shown);
                }
                Err(reason) => {
                    // The others are those that `doctor` lists.
                    if is_graphql_name(&table.name) {
                        tracing::warn!(schema = %table.schema, table = %table.name, reason, "table left out");
                    }
                }
            }
        }
    }
    pairs
}

/// Two values of an enum that the naming convention of its source spells alike.
fn same_word(tracked: &Tracked, source: SourceId, rows: &[EnumRow]) -> Option<(Name, Name)> {
    let convention = tracked.source(source)?.naming.convention;
    let mut seen: HashMap<Name, &Name> = HashMap::new();
    rows.iter().find_map(|row| {
        let before = seen.insert(convention.value(&row.value), &row.value)?;
        Some((before.clone(), row.value.clone()))
    })
}

fn push(tracked: &mut Tracked, table: TrackedTable) -> TrackedId {
    let id = table.id;
    if let Some(source) = tracked.sources.get_mut(usize::from(table.source.0)) {
        source.ids.insert(table.table, id);
    }
    if table.convention() == NamingConvention::GraphqlDefault {
        let folded = table.stem.upper.to_ascii_lowercase().into();
        tracked.folded_names.entry(folded).or_default().push(id);
    }
    tracked.table_names.insert(table.type_name(TableType::Object), id);
    tracked.tables.push(table);
    id
}

fn shown(
    tracked: &Tracked,
    taken: &mut Taken,
    source: SourceId,
    table: &Table,
    configuration: &TableConfiguration,
    is_enum: bool,
    options: BuildOptions<'_>,
) -> Result<TrackedTable, String> {
    let naming = tracked.source(source).ok_or("the source is gone")?.naming.clone();
    let stem = name_of(naming.convention, options.expose, table, configuration)?;
    let columns = columns_of(source, naming.convention, table, configuration, &tracked.scalars)?;
    if !columns.iter().any(|column| column.name.is_some() && column.ty.is_some()) {
        return Err("the table has no column that GraphQL can name".to_owned());
    }
    taken.table(&stem, &naming, is_enum)?;
    let comment = configuration.comment.as_ref().or(table.comment.as_ref());
    Ok(TrackedTable {
        id: TrackedId(u32::try_from(tracked.tables.len()).unwrap_or(u32::MAX)),
        source,
        table: table.id,
        roots: RootNames::of(&stem, &configuration.custom_root_fields, &naming),
        stem,
        naming,
        description: comment.filter(|comment| !comment.is_empty()).cloned(),
        columns,
        relationships: Vec::new(),
        computed: Vec::new(),
        enum_values: None,
        permissions: Arc::default(),
        origin: None,
    })
}

/// Columns with a foreign key of one column into an enum table have its type.
fn link_enums(tracked: &mut Tracked, source: SourceId, catalog: &Catalog) {
    let Some(ids) = tracked.sources.get(usize::from(source.0)).map(|source| source.ids.clone())
    else {
        return;
    };
    let enums: HashSet<TrackedId> = tracked
        .tables
        .iter()
        .filter(|table| table.source == source && table.enum_values.is_some())
        .map(|table| table.id)
        .collect();
    if enums.is_empty() {
        return;
    }
    for table in &catalog.tables {
        let Some(id) = ids.get(&table.id) else { continue };
        for key in &table.foreign_keys {
            let ([column], Some(target)) = (key.columns.as_slice(), ids.get(&key.target)) else {
                continue;
            };
            if enums.contains(target)
                && let Some(entry) = tracked.tables.get_mut(id.0 as usize)
                && let Some(entry) = entry.columns.get_mut(usize::from(column.0))
            {
                entry.ty = Some(ColumnType::Enum(*target));
            }
        }
    }
}

fn add_relationships(
    tracked: &mut Tracked,
    source: SourceId,
    input: &SourceInput<'_>,
    pairs: &[Pair<'_>],
    options: BuildOptions<'_>,
) {
    let Some(ids) = tracked.sources.get(usize::from(source.0)).map(|source| source.ids.clone())
    else {
        return;
    };
    let catalog = &input.catalog;
    let mut all: HashMap<TrackedId, Vec<Relationship>> = HashMap::new();
    if input.auto_track {
        let named = ids
            .iter()
            .filter_map(|(table, id)| Some((*table, (*id, tracked.table(*id)?.name().clone()))))
            .collect();
        let convention =
            tracked.source(source).map_or(options.naming, |source| source.naming.convention);
        for (table, list) in derive::relationships(catalog, &named, convention) {
            if let Some(id) = ids.get(&table) {
                all.insert(*id, list);
            }
        }
    }
    let around =
        relationship::Around { catalog, tracked: &|table: &Table| ids.get(&table.id).copied() };
    for (id, written) in pairs {
        let mut list = Vec::new();
        let Some(shown) = tracked.table(*id) else { continue };
        let Some(table) = catalog.table(shown.table) else { continue };
        let kinds = [
            (ObjectKind::ObjectRelation, Cardinality::Object, &written.object_relationships),
            (ObjectKind::ArrayRelation, Cardinality::Array, &written.array_relationships),
        ];
        let mut told = Vec::new();
        for (kind, cardinality, relationships) in kinds {
            for relationship in relationships {
                let result = relationship::resolve(&around, table, relationship, cardinality)
                    .and_then(|found| {
                        let name = &found.name;
                        let twice = list.iter().any(|other: &Relationship| other.name == *name);
                        match conflict(shown, table, name) {
                            Some(reason) => Err(reason),
                            None if twice => Err(format!("the field \"{name}\" is defined twice")),
                            None => Ok(found),
                        }
                    });
                match result {
                    Ok(found) => list.push(found),
                    Err(reason) => told.push(Inconsistency::in_table(
                        kind,
                        (&input.name, &written.table),
                        &relationship.name,
                        reason,
                        relationship,
                    )),
                }
            }
        }
        tracked.inconsistencies.extend(told);
        // What metadata says of a table's relationships is all of them.
        all.insert(*id, list);
    }
    for (id, list) in all {
        if let Some(entry) = tracked.tables.get_mut(id.0 as usize) {
            entry.relationships = list;
        }
    }
}

/// Why a field cannot have a name that a column has, in the database, where
/// conditions of permissions find it, or in GraphQL.
fn conflict(shown: &TrackedTable, table: &Table, name: &str) -> Option<String> {
    if table.columns.iter().any(|column| *column.name == *name) {
        return Some("field definition conflicts with postgres column".to_owned());
    }
    let column = table.column(shown.column_named(name)?)?;
    Some(format!(
        "field definition conflicts with custom field name for postgres column \"{}\"",
        column.name
    ))
}

fn add_functions(
    tracked: &mut Tracked,
    taken: &mut Taken,
    source: SourceId,
    input: &SourceInput<'_>,
    pairs: &[Pair<'_>],
    options: BuildOptions<'_>,
) {
    let catalog = &input.catalog;
    let row_types: HashMap<Oid, TrackedId> = match tracked.source(source) {
        None => return,
        Some(entry) => catalog
            .types
            .values()
            .filter_map(|ty| {
                let table = catalog.table_by_oid(ty.relation?)?;
                Some((ty.oid, *entry.ids.get(&table.id)?))
            })
            .collect(),
    };
    let mut told = Vec::new();
    let mut fields: Vec<(TrackedId, Vec<super::ComputedField>)> = Vec::new();
    let mut functions: Vec<TrackedFunction> = Vec::new();
    {
        let Some(names) = tracked.source(source) else { return };
        let around = function::Around {
            source,
            naming: &names.naming,
            catalog,
            scalars: &tracked.scalars,
            row_type: &|oid| row_types.get(&oid).copied(),
            expose: options.expose,
        };
        for (id, written) in pairs {
            let mut list: Vec<super::ComputedField> = Vec::new();
            let Some(shown) = tracked.table(*id) else { continue };
            let Some(table) = catalog.table(shown.table) else { continue };
            for field in &written.computed_fields {
                let twice = shown.relationship_named(&field.name).is_some()
                    || list.iter().any(|other| *other.name == *field.name);
                let result = match conflict(shown, table, &field.name) {
                    Some(reason) => Err(reason),
                    None if twice => Err(format!("the field \"{}\" is defined twice", field.name)),
                    None => around.computed(table, field),
                };
                match result {
                    Ok(found) => list.push(found),
                    Err(reason) => told.push(Inconsistency::in_table(
                        ObjectKind::ComputedField,
                        (&input.name, &written.table),
                        &field.name,
                        reason,
                        field,
                    )),
                }
            }
            fields.push((*id, list));
        }
        for written in input.metadata.into_iter().flat_map(|metadata| &metadata.functions) {
            let id = tracked.functions.len() + functions.len();
            let id = FunctionId(u32::try_from(id).unwrap_or(u32::MAX));
            let function = around.function(written, id);
            match function.and_then(|function| taken.args(&function).map(|()| function)) {
                Ok(function) => functions.push(function),
                Err(reason) => told.push(of_function(&input.name, written, &reason)),
            }
        }
    }
    for function in &functions {
        tracked.args_types.insert(function.args_type.clone(), TypeId::FunctionArgs(function.id));
    }
    for (id, list) in fields {
        if let Some(entry) = tracked.tables.get_mut(id.0 as usize) {
            entry.computed = list;
        }
        for index in 0.. {
            let Some(name) = tracked.computed_args_name(id, index) else { break };
            tracked.args_types.entry(name).or_insert(TypeId::ComputedArgs(id, index));
        }
    }
    tracked.functions.extend(functions);
    tracked.inconsistencies.extend(told);
}

fn of_function(source: &str, written: &WrittenFunction, reason: &str) -> Inconsistency {
    Inconsistency::new(
        ObjectKind::Function,
        format!("function {} in source {source}", written.function),
        format!("in function \"{}\": {reason}", written.function),
        as_json(&written.function),
        Place { source: source.into(), table: None, named: written.function.to_string().into() },
    )
}

fn as_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The roles that the permissions of a source name. A permission that is broken
/// names its role too: without it the role would have what the database grants.
fn name_roles(tracked: &mut Tracked, source: &Source) {
    for table in &source.tables {
        let named = table
            .select_permissions
            .iter()
            .map(|permission| &permission.role)
            .chain(table.insert_permissions.iter().map(|permission| &permission.role))
            .chain(table.update_permissions.iter().map(|permission| &permission.role))
            .chain(table.delete_permissions.iter().map(|permission| &permission.role));
        tracked.roles.extend(named.map(NonEmpty::shared));
    }
    for function in &source.functions {
        tracked.roles.extend(function.permissions.iter().map(|named| named.role.shared()));
    }
}

/// Inherited roles with all roles that they stand for, through others.
fn add_inherited_roles(tracked: &mut Tracked, written: &[InheritedRole]) {
    let parts: BTreeMap<&str, &InheritedRole> =
        written.iter().map(|role| (&*role.role_name, role)).collect();
    for role in written {
        tracked.roles.insert(role.role_name.shared());
        let mut leaves: BTreeSet<Name> = BTreeSet::new();
        let mut open: Vec<&str> = role.role_set.iter().map(|part| &**part).collect();
        let mut seen: HashSet<&str> = HashSet::from([&*role.role_name]);
        let mut circular = false;
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                circular |= next == &*role.role_name;
                continue;
            }
            match parts.get(next) {
                Some(inner) => open.extend(inner.role_set.iter().map(|part| &**part)),
                None => {
                    leaves.insert(next.into());
                }
            }
        }
        if circular {
            tracked.inconsistencies.push(Inconsistency::new(
                ObjectKind::InheritedRole,
                format!("inherited role {}", role.role_name),
                "the role inherits from itself",
                as_json(role),
                Place { named: role.role_name.shared(), ..Place::default() },
            ));
            continue;
        }
        tracked.inherited_roles.insert(role.role_name.shared(), leaves.into_iter().collect());
    }
}

/// The root fields that are told of when a table's name is taken, in Hasura's
/// order.
const CLASHING: [RootKind; 9] = [
    RootKind::Select,
    RootKind::SelectByPk,
    RootKind::SelectAggregate,
    RootKind::Insert,
    RootKind::InsertOne,
    RootKind::Update,
    RootKind::Delete,
    RootKind::UpdateByPk,
    RootKind::DeleteByPk,
];

/// Which name at a root means what. Of two that want one name, the table that
/// is listed first keeps it; the other is told, if metadata `named` it.
fn add_roots(
    tracked: &mut Tracked,
    taken: &mut Taken,
    named: &HashSet<TrackedId>,
    metadata: Option<&Metadata>,
) {
    let mut roots = RootFields::default();
    let mut told = Vec::new();
    // Namespaces are made before what is in them.
    let mut inside: Vec<Option<RootFields>> = tracked
        .sources
        .iter()
        .map(|source| source.namespace.as_ref().map(|_| RootFields::default()))
        .collect();
    let mut add = |source: SourceId, root: Root, name: &Name, field: RootField| {
        let place = inside.get_mut(usize::from(source.0)).and_then(Option::as_mut);
        place.unwrap_or(&mut roots).add(root, name, field)
    };
    // Names that tables have by themselves come before those derived from
    // them: a table `a_by_pk` keeps its name beside `a`.
    let order = |kind: &RootKind| {
        !matches!(kind, RootKind::Select | RootKind::Insert | RootKind::Update | RootKind::Delete)
    };
    let mut kinds = RootKind::ALL;
    kinds.sort_by_key(order);
    for kind in kinds {
        for table in &tracked.tables {
            let name = table.roots.name(kind);
            for root in kind.roots() {
                let field = RootField::Table(table.id, kind);
                if let Some(other) = add(table.source, *root, name, field) {
                    told.push((table.id, root, name.clone(), other));
                }
            }
        }
    }
    for function in &tracked.functions {
        let plain = RootField::Function(function.id);
        let aggregate = RootField::FunctionAggregate(function.id);
        let places: &[Root] = match function.kind {
            FunctionRoot::Query => &[Root::Query, Root::Subscription],
            FunctionRoot::Mutation => &[Root::Mutation],
        };
        for root in places {
            if let Some(other) = add(function.source, *root, &function.root, plain) {
                tracing::warn!(function = %function.name, ?other, "the name of a function's root field is taken");
            }
            let rows = matches!(function.returns, Returns::Rows { set: true, .. });
            if rows
                && function.kind == FunctionRoot::Query
                && let Some(other) =
                    add(function.source, *root, &function.aggregate_root, aggregate)
            {
                tracing::warn!(function = %function.name, ?other, "the name of a function's root field is taken");
            }
        }
    }
    let mut clashing = Vec::new();
    for action in &tracked.actions.list {
        if roots.add(action.root, &action.name, RootField::Action(action.id)).is_some() {
            clashing.push((action.root, action.name.clone()));
        }
    }
    let mut inconsistencies = Vec::new();
    for (root, name) in clashing {
        inconsistencies.extend(action::duplicate(metadata, root, &name));
        tracked.duplicates.push((root, name));
    }
    for (id, root, name, _) in told {
        if *root == Root::Subscription || !named.contains(&id) {
            continue;
        }
        let Some(table) = tracked.table(id) else { continue };
        let (Some(source), Some(db)) = (tracked.source(table.source), tracked.db_table(id)) else {
            continue;
        };
        let qualified = QualifiedName::new(db.schema.clone(), db.name.clone());
        let place = source.namespace_type(*root, false).unwrap_or_else(|| root.name().into());
        let reason = format!("duplicate definitions of the field \"{name}\" in {place}");
        inconsistencies.push(Inconsistency::of_table(&source.name, &qualified, reason));
        tracked.duplicates.push((*root, name));
    }
    for names in std::mem::take(&mut tracked.clashes) {
        for kind in CLASHING {
            for root in kind.roots().iter().filter(|root| **root != Root::Subscription) {
                tracked.duplicates.push((*root, names.name(kind).clone()));
            }
        }
    }
    tracked.inconsistencies.extend(inconsistencies);
    for (source, inside) in tracked.sources.iter_mut().zip(inside) {
        source.roots = inside.unwrap_or_default();
    }
    add_namespaces(tracked, taken, &mut roots);
    tracked.roots = roots;
}

/// Namespaces come last: what has their names keeps them. The source of one that
/// cannot be there is told, and has no root fields.
fn add_namespaces(tracked: &mut Tracked, taken: &mut Taken, roots: &mut RootFields) {
    let mut inconsistencies = Vec::new();
    for (source, id) in tracked.sources.iter().zip(0..) {
        let Some(namespace) = &source.namespace else { continue };
        let full = Root::ALL.into_iter().filter(|root| !source.roots.of(*root).is_empty());
        let full: Vec<Root> = full.collect();
        let types =
            [(Root::Mutation, true)].into_iter().chain(full.iter().map(|root| (*root, false)));
        let types: Vec<Name> = types
            .filter(|(root, _)| full.contains(root))
            .filter_map(|(root, backend)| source.namespace_type(root, backend))
            .collect();
        let clash = full.iter().find(|root| roots.of(**root).contains_key(namespace));
        if let Some(root) = clash {
            let root = *root;
            let reason =
                format!("duplicate definitions of the field \"{namespace}\" in {}", root.name());
            inconsistencies.push(Inconsistency::of_source(&source.name, reason));
            tracked.duplicates.push((root, namespace.clone()));
            continue;
        }
        let gone = types
            .iter()
            .find(|name| taken.0.contains(&***name) || tracked.actions.by_name(name).is_some());
        if let Some(gone) = gone {
            let reason = format!("the type name \"{gone}\" is used already");
            inconsistencies.push(Inconsistency::of_source(&source.name, reason));
            continue;
        }
        taken.0.extend(types.iter().map(|name| name.to_string()));
        for root in full {
            roots.add(root, namespace, RootField::Namespace(SourceId(id)));
        }
    }
    tracked.inconsistencies.extend(inconsistencies);
}
