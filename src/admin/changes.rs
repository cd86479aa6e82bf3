//! What a change of the database or of a name means for the metadata: renames
//! are followed wherever the old name stands, what is gone is taken out.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::catalog::model::{Catalog, Oid, Table as DbTable, Volatility};
use crate::metadata::function::ComputedField;
use crate::metadata::permission::{Columns, Presets};
use crate::metadata::relationship::{ForeignKeyOn, Using};
use crate::metadata::{
    CustomTypes, Json, Metadata, NonEmpty, QualifiedName, Source, Table, document,
};
use crate::schema::tracked::conditions::session_variable;
use crate::schema::tracked::{Inconsistency, ObjectKind, Returns, SourceId, Tracked, TrackedId};

/// New names, by the old ones.
#[derive(Debug, Default)]
pub(super) struct Renames {
    tables: HashMap<QualifiedName, QualifiedName>,
    columns: HashMap<QualifiedName, HashMap<Arc<str>, Arc<str>>>,
    functions: HashMap<QualifiedName, QualifiedName>,
    relationships: HashMap<QualifiedName, (NonEmpty, NonEmpty)>,
}

fn name_of(table: &DbTable) -> QualifiedName {
    QualifiedName::new(table.schema.clone(), table.name.clone())
}

impl Renames {
    /// What was renamed between two readings of a catalogue.
    pub(super) fn between(before: &Catalog, after: &Catalog) -> Self {
        let mut out = Renames::default();
        for old in &before.tables {
            let Some(new) = after.table_by_oid(old.oid) else { continue };
            let (old_name, new_name) = (name_of(old), name_of(new));
            let columns: HashMap<Arc<str>, Arc<str>> = old
                .columns
                .iter()
                .filter_map(|column| {
                    let now = new.columns.iter().find(|now| now.number == column.number)?;
                    (now.name != column.name).then(|| (column.name.clone(), now.name.clone()))
                })
                .collect();
            if !columns.is_empty() {
                out.columns.insert(old_name.clone(), columns);
            }
            if old_name != new_name {
                out.tables.insert(old_name, new_name);
            }
        }
        for (oid, old) in &before.functions {
            let Some(new) = after.functions.get(oid) else { continue };
            if (&old.schema, &old.name) != (&new.schema, &new.name) {
                out.functions.insert(
                    QualifiedName::new(old.schema.clone(), old.name.clone()),
                    QualifiedName::new(new.schema.clone(), new.name.clone()),
                );
            }
        }
        out
    }

    /// Follows the renames where custom types refer to tables.
    pub(super) fn apply_to_types(&self, types: &mut CustomTypes) {
        let relationships = types.objects.iter_mut().flat_map(|object| &mut object.relationships);
        for relationship in relationships {
            let table = relationship.remote_table.clone();
            relationship.field_mapping.values_mut().for_each(|name| self.column(&table, name));
            self.table(&mut relationship.remote_table);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.columns.is_empty() && self.functions.is_empty()
    }

    fn table(&self, name: &mut QualifiedName) {
        if let Some(new) = self.tables.get(name) {
            *name = new.clone();
        }
    }

    fn column(&self, table: &QualifiedName, name: &mut Arc<str>) {
        if let Some(new) = self.columns.get(table).and_then(|columns| columns.get(name)) {
            *name = new.clone();
        }
    }

    fn key(&self, table: &QualifiedName, name: &str) -> Option<String> {
        if let Some(new) = self.columns.get(table).and_then(|columns| columns.get(name)) {
            return Some(new.to_string());
        }
        match self.relationships.get(table) {
            Some((old, new)) if **old == *name => Some(new.to_string()),
            _ => None,
        }
    }

    /// Follows the renames in the metadata of a source; `tracked` is what it
    /// was before them.
    pub(super) fn apply(&self, source: &mut Source, tracked: &Tracked, id: SourceId) {
        for table in &mut source.tables {
            let mut renamed = Table::clone(table);
            self.apply_to(&mut renamed, tracked, id);
            // What stays the same stays shared.
            if renamed != **table {
                *table = Arc::new(renamed);
            }
        }
        for function in &mut source.functions {
            if let Some(new) = self.functions.get(&function.function) {
                function.function = new.clone();
            }
        }
    }

    fn apply_to(&self, table: &mut Table, tracked: &Tracked, source: SourceId) {
        let own = table.table.clone();
        let at = tracked.find(source, &own);
        let rename = |names: &mut Vec<Arc<str>>| {
            names.iter_mut().for_each(|name| self.column(&own, name));
        };
        let rename_columns =
            |columns: &mut Columns| columns.names_mut().into_iter().for_each(rename);
        self.rename_keys(&own, &mut table.configuration.custom_column_names);
        self.rename_keys(&own, &mut table.configuration.column_config);
        for relationship in
            table.object_relationships.iter_mut().chain(&mut table.array_relationships)
        {
            match &mut relationship.using {
                Using::ForeignKeyConstraintOn(ForeignKeyOn::Remote(remote)) => {
                    let other = remote.table.clone();
                    remote.columns_mut().iter_mut().for_each(|name| self.column(&other, name));
                    self.table(&mut remote.table);
                }
                Using::ForeignKeyConstraintOn(on) => {
                    on.own_columns_mut().iter_mut().for_each(|name| self.column(&own, name));
                }
                Using::ManualConfiguration(manual) => {
                    let other = manual.remote_table.clone();
                    manual.column_mapping = std::mem::take(&mut manual.column_mapping)
                        .into_iter()
                        .map(|(mut here, mut there)| {
                            self.column(&own, &mut here);
                            self.column(&other, &mut there);
                            (here, there)
                        })
                        .collect();
                    self.table(&mut manual.remote_table);
                }
            }
        }
        for field in &mut table.computed_fields {
            if let Some(new) = self.functions.get(&field.definition.function) {
                field.definition.function = new.clone();
            }
        }
        let mut condition = |json: &mut Json| {
            let changed = json.change(|json| self.condition(json, tracked, source, at));
            if let Err(error) = changed {
                tracing::error!(table = %own, %error, "names in a condition could not be followed");
            }
        };
        for written in &mut table.select_permissions {
            rename_columns(&mut written.permission.columns);
            condition(&mut written.permission.filter);
        }
        for written in &mut table.insert_permissions {
            rename_columns(&mut written.permission.columns);
            self.rename_keys(&own, &mut written.permission.set);
            condition(&mut written.permission.check);
        }
        for written in &mut table.update_permissions {
            rename_columns(&mut written.permission.columns);
            self.rename_keys(&own, &mut written.permission.set);
            condition(&mut written.permission.filter);
            written.permission.check.iter_mut().for_each(&mut condition);
        }
        for written in &mut table.delete_permissions {
            condition(&mut written.permission.filter);
        }
        for trigger in &mut table.event_triggers {
            let definition = &mut trigger.definition;
            let operations =
                [&mut definition.insert, &mut definition.update, &mut definition.delete];
            for operation in operations.into_iter().flatten() {
                rename_columns(&mut operation.columns);
                operation.payload.iter_mut().for_each(rename_columns);
            }
        }
        self.table(&mut table.table);
    }

    fn rename_keys<T>(&self, table: &QualifiedName, map: &mut IndexMap<Arc<str>, T>) {
        if !self.columns.contains_key(table) {
            return;
        }
        *map = std::mem::take(map)
            .into_iter()
            .map(|(mut name, value)| {
                self.column(table, &mut name);
                (name, value)
            })
            .collect();
    }

    /// Follows the renames in a condition on the rows of a table.
    fn condition(
        &self,
        json: &mut Value,
        tracked: &Tracked,
        source: SourceId,
        at: Option<TrackedId>,
    ) {
        let Some(id) = at else { return };
        let walk = Walk { tracked, source, root: id };
        walk.condition(json, id, &mut |step| match step {
            Step::Key { table, key } => {
                if let Some(new) = self.key(table, key) {
                    *key = new;
                }
            }
            Step::Column { table, name } => {
                if let Some(new) = self.columns.get(table).and_then(|all| all.get(name.as_str())) {
                    *name = new.to_string();
                }
            }
            Step::Table(value) => {
                let read: Result<QualifiedName, _> = document::parse(value);
                if let Ok(mut name) = read {
                    self.table(&mut name);
                    *value = serde_json::json!(name);
                }
            }
            Step::Static { .. } => {}
        });
    }
}

/// Follows the new name of a relationship in the conditions of all tables.
pub(super) fn rename_relationship(
    metadata: &mut Metadata,
    tracked: &Tracked,
    (source, table): (&str, &QualifiedName),
    old: &NonEmpty,
    new: &NonEmpty,
) {
    let renames = Renames {
        relationships: HashMap::from([(table.clone(), (old.clone(), new.clone()))]),
        ..Renames::default()
    };
    let id = tracked.sources.iter().position(|found| *found.name == *source);
    let id = id.and_then(|id| u16::try_from(id).ok()).map(SourceId);
    if let (Some(id), Some(source)) = (id, metadata.source_mut(source)) {
        renames.apply(source, tracked, id);
    }
}

/// A place in a condition.
enum Step<'a> {
    /// A column, relationship or computed field of a table.
    Key { table: &'a QualifiedName, key: &'a mut String },
    /// A column as a value.
    Column { table: &'a QualifiedName, name: &'a mut String },
    /// The table of `_exists`.
    Table(&'a mut Value),
    /// A column is compared with a value that is written down.
    Static { table: &'a QualifiedName, column: &'a str },
}

/// Walks conditions, knowing which table each key is about.
struct Walk<'a> {
    tracked: &'a Tracked,
    source: SourceId,
    root: TrackedId,
}

impl Walk<'_> {
    fn name(&self, id: TrackedId) -> Option<QualifiedName> {
        self.tracked.db_table(id).map(name_of)
    }

    fn condition(&self, json: &mut Value, id: TrackedId, visit: &mut impl FnMut(Step<'_>)) {
        let Value::Object(entries) = json else { return };
        let Some(table) = self.name(id) else { return };
        let old = std::mem::take(entries);
        let mut out = Map::with_capacity(old.len());
        for (mut key, mut value) in old {
            match key.as_str() {
                "_and" | "$and" | "_or" | "$or" => {
                    if let Value::Array(items) = &mut value {
                        items.iter_mut().for_each(|item| self.condition(item, id, visit));
                    }
                }
                "_not" | "$not" => self.condition(&mut value, id, visit),
                "_exists" | "$exists" => self.exists(&mut value, visit),
                _ => {
                    self.entry(&key, &mut value, id, &table, visit);
                    visit(Step::Key { table: &table, key: &mut key });
                }
            }
            out.insert(key, value);
        }
        *entries = out;
    }

    fn exists(&self, value: &mut Value, visit: &mut impl FnMut(Step<'_>)) {
        let target = value
            .get("_table")
            .and_then(|table| document::parse::<QualifiedName>(table).ok())
            .and_then(|name| self.tracked.find(self.source, &name));
        if let Some(inner) = value.get_mut("_where")
            && let Some(target) = target
        {
            self.condition(inner, target, visit);
        }
        if let Some(table) = value.get_mut("_table") {
            visit(Step::Table(table));
        }
    }

    fn entry(
        &self,
        key: &str,
        value: &mut Value,
        id: TrackedId,
        table: &QualifiedName,
        visit: &mut impl FnMut(Step<'_>),
    ) {
        let Some(shown) = self.tracked.table(id) else { return };
        if let Some(index) = shown.relationship_named(key) {
            if let Some(relationship) = shown.relationships.get(index) {
                self.condition(value, relationship.target, visit);
            }
            return;
        }
        let computed = shown.computed_named(key).and_then(|index| shown.computed.get(index));
        if let Some(Returns::Rows { table: target, .. }) = computed.map(|field| field.returns) {
            self.condition(value, target, visit);
            return;
        }
        let Value::Object(operators) = value else {
            if !is_session_variable(value) {
                visit(Step::Static { table, column: key });
            }
            return;
        };
        for (word, right) in operators {
            let plain = word.trim_start_matches(['_', '$']);
            if matches!(plain, "ceq" | "cne" | "cneq" | "cgt" | "cgte" | "clt" | "clte") {
                self.reference(right, table, visit);
            } else if plain != "is_null" && !is_session_variable(right) {
                visit(Step::Static { table, column: key });
            }
        }
    }

    fn reference(
        &self,
        right: &mut Value,
        table: &QualifiedName,
        visit: &mut impl FnMut(Step<'_>),
    ) {
        match right {
            Value::String(name) => visit(Step::Column { table, name }),
            Value::Array(items) => match items.as_mut_slice() {
                [Value::String(name)] => visit(Step::Column { table, name }),
                [Value::String(_), Value::String(name)] => {
                    if let Some(root) = self.name(self.root) {
                        visit(Step::Column { table: &root, name });
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}

fn is_session_variable(value: &Value) -> bool {
    value.as_str().is_some_and(|text| session_variable(text).is_some())
}

/// Permissions that compare a column with, or set it to, a value that is
/// written down: `permission test.user.insert`.
pub(super) fn on_type_of(
    source: &Source,
    tracked: &Tracked,
    id: SourceId,
    (table, column): (&QualifiedName, &str),
) -> Vec<String> {
    let mut found = Vec::new();
    for written in &source.tables {
        let Some(at) = tracked.find(id, &written.table) else { continue };
        let uses = |json: &Json| {
            let mut uses = false;
            // What cannot be read is not in use.
            let Ok(mut copy) = json.value() else { return false };
            Walk { tracked, source: id, root: at }.condition(&mut copy, at, &mut |step| {
                if let Step::Static { table: of, column: name } = step {
                    uses |= of == table && name == column;
                }
            });
            uses
        };
        let sets = |presets: &Presets| {
            written.table == *table
                && presets.get(column).is_some_and(|value| !is_session_variable(value))
        };
        let mut add = |role: &str, word: &str, is: bool| {
            if is {
                found.push(format!("permission {}.{role}.{word}", written.table));
            }
        };
        for p in &written.select_permissions {
            add(&p.role, "select", uses(&p.permission.filter));
        }
        for p in &written.insert_permissions {
            add(&p.role, "insert", uses(&p.permission.check) || sets(&p.permission.set));
        }
        for p in &written.update_permissions {
            let check = p.permission.check.as_ref().is_some_and(uses);
            add(&p.role, "update", uses(&p.permission.filter) || check || sets(&p.permission.set));
        }
        for p in &written.delete_permissions {
            add(&p.role, "delete", uses(&p.permission.filter));
        }
    }
    found.sort();
    found
}

/// Columns of tracked tables whose type is another one now.
pub(super) fn retyped(
    before: &Catalog,
    after: &Catalog,
    is_tracked: impl Fn(&DbTable) -> bool,
) -> Vec<(QualifiedName, Arc<str>)> {
    let mut out = Vec::new();
    for old in before.tables.iter().filter(|table| is_tracked(table)) {
        let Some(new) = after.table_by_oid(old.oid) else { continue };
        for column in &old.columns {
            let now = new.columns.iter().find(|now| now.number == column.number);
            if now.is_some_and(|now| now.type_oid != column.type_oid) {
                out.push((name_of(old), column.name.clone()));
            }
        }
    }
    out
}

/// What the SQL did to functions that metadata names.
pub(super) enum FunctionChange<'a> {
    /// There are several of its name now.
    Overloaded(&'a QualifiedName),
    /// The same of the function of a computed field.
    FieldOverloaded { table: &'a QualifiedName, field: &'a ComputedField },
    /// The function of a computed field may change data now.
    FieldVolatile { table: &'a QualifiedName, field: &'a ComputedField },
    /// It is gone, or has another name.
    FieldGone { table: &'a QualifiedName, field: &'a ComputedField },
}

/// What happened to functions that metadata names.
pub(super) fn of_functions<'a>(
    source: &'a Source,
    before: &Catalog,
    after: &Catalog,
) -> Vec<FunctionChange<'a>> {
    let named = |catalog: &Catalog, name: &QualifiedName| functions_named(catalog, name);
    let overloaded = |name| named(after, name).len() > named(before, name).len().max(1);
    let functions = source.functions.iter().map(|tracked| &tracked.function);
    let mut out: Vec<_> =
        functions.filter(|name| overloaded(name)).map(FunctionChange::Overloaded).collect();
    for entry in &source.tables {
        let table = &entry.table;
        for field in &entry.computed_fields {
            let name = &field.definition.function;
            let [oid] = named(before, name)[..] else { continue };
            let now = after.functions.get(&oid);
            let was = before.functions.get(&oid);
            match now.filter(|now| now.schema == name.schema && now.name == name.name) {
                None => out.push(FunctionChange::FieldGone { table, field }),
                Some(_) if overloaded(name) => {
                    out.push(FunctionChange::FieldOverloaded { table, field });
                }
                Some(now) => {
                    let volatile = now.volatility == Volatility::Volatile;
                    if volatile && was.is_some_and(|was| was.volatility != now.volatility) {
                        out.push(FunctionChange::FieldVolatile { table, field });
                    }
                }
            }
        }
    }
    out
}

fn functions_named(catalog: &Catalog, name: &QualifiedName) -> Vec<Oid> {
    let functions = catalog.functions.values();
    functions
        .filter(|function| function.schema == name.schema && function.name == name.name)
        .map(|function| function.oid)
        .collect()
}

/// Takes the tables and functions that are gone out of the metadata, and the
/// names that it gives to columns that are gone.
pub(super) fn forget_dropped(source: &mut Source, before: &Catalog, after: &Catalog) {
    let is_gone = |name: &QualifiedName| {
        before
            .table_named(&name.schema, &name.name)
            .is_some_and(|table| after.table_by_oid(table.oid).is_none())
            && after.table_named(&name.schema, &name.name).is_none()
    };
    source.tables.retain(|table| !is_gone(&table.table));
    for table in &mut source.tables {
        let Some(now) = after.table_named(&table.table.schema, &table.table.name) else { continue };
        let exists = |name: &Arc<str>| now.columns.iter().any(|column| column.name == *name);
        let configuration = &table.configuration;
        let mut named =
            configuration.custom_column_names.keys().chain(configuration.column_config.keys());
        if named.all(exists) {
            continue;
        }
        let table = Arc::make_mut(table);
        table.configuration.custom_column_names.retain(|name, _| exists(name));
        table.configuration.column_config.retain(|name, _| exists(name));
    }
    source.functions.retain(|function| {
        let name = &function.function;
        functions_named(before, name).is_empty() || !functions_named(after, name).is_empty()
    });
}

/// Takes what is left out of the schema out of the metadata as well.
pub(super) fn remove_all(metadata: &mut Metadata, broken: &[Inconsistency]) {
    // Actions whose types are put right may be right then.
    let types = broken.iter().any(|object| object.kind == ObjectKind::CustomTypes);
    for object in broken.iter().filter(|object| !types || object.kind != ObjectKind::Action) {
        remove(metadata, object);
    }
}

fn remove(metadata: &mut Metadata, broken: &Inconsistency) {
    let place = &broken.place;
    let named = |name: &NonEmpty| **name == *place.named;
    match broken.kind {
        ObjectKind::InheritedRole => {
            return metadata.inherited_roles.retain(|role| !named(&role.role_name));
        }
        ObjectKind::Endpoint => {
            return metadata.rest_endpoints.retain(|endpoint| !named(&endpoint.name));
        }
        ObjectKind::Source => {
            return metadata.sources.retain(|source| source.name != place.source);
        }
        ObjectKind::Action => {
            return metadata.actions.retain(|action| *action.name != *place.named);
        }
        ObjectKind::CustomTypes => {
            match &place.table {
                // What is left may do without the table.
                Some(table) => {
                    for object in &mut metadata.custom_types.objects {
                        object.relationships.retain(|found| found.remote_table != *table);
                    }
                }
                None => metadata.custom_types = CustomTypes::default(),
            }
            return;
        }
        _ => {}
    }
    let Some(source) = metadata.source_mut(&place.source) else { return };
    match (broken.kind, &place.table) {
        (ObjectKind::Table, Some(table)) => source.tables.retain(|found| found.table != *table),
        (ObjectKind::Function, _) => {
            source.functions.retain(|found| found.function.to_string() != *place.named);
        }
        (kind, Some(table)) => {
            let Some(table) = source.table_mut(table) else { return };
            match kind {
                ObjectKind::ObjectRelation => {
                    table.object_relationships.retain(|found| !named(&found.name));
                }
                ObjectKind::ArrayRelation => {
                    table.array_relationships.retain(|found| !named(&found.name));
                }
                ObjectKind::ComputedField => {
                    table.computed_fields.retain(|found| !named(&found.name));
                }
                ObjectKind::SelectPermission => {
                    table.select_permissions.retain(|found| !named(&found.role));
                }
                ObjectKind::InsertPermission => {
                    table.insert_permissions.retain(|found| !named(&found.role));
                }
                ObjectKind::UpdatePermission => {
                    table.update_permissions.retain(|found| !named(&found.role));
                }
                ObjectKind::DeletePermission => {
                    table.delete_permissions.retain(|found| !named(&found.role));
                }
                ObjectKind::EventTrigger => {
                    table.event_triggers.retain(|found| !named(&found.name));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// How an object is listed among those that depend on another.
pub(super) fn described(broken: &Inconsistency) -> String {
    let place = &broken.place;
    let in_source = format!("in source \"{}\"", place.source);
    let table = match (broken.kind, &place.table) {
        (ObjectKind::CustomTypes, _) => return "custom types".to_owned(),
        (ObjectKind::Action, _) => return broken.name.clone(),
        (_, Some(table)) => table,
        (_, None) => return format!("{} {in_source}", broken.name),
    };
    let of = |what: &str| format!("{what} {table}.{} {in_source}", place.named);
    match broken.kind {
        ObjectKind::Table => format!("table {table} {in_source}"),
        ObjectKind::ObjectRelation | ObjectKind::ArrayRelation => of("relationship"),
        ObjectKind::ComputedField => of("computed field"),
        ObjectKind::EventTrigger => of("event-trigger"),
        ObjectKind::SelectPermission => format!("{}.select {in_source}", of_role(table, place)),
        ObjectKind::InsertPermission => format!("{}.insert {in_source}", of_role(table, place)),
        ObjectKind::UpdatePermission => format!("{}.update {in_source}", of_role(table, place)),
        ObjectKind::DeletePermission => format!("{}.delete {in_source}", of_role(table, place)),
        _ => of(broken.kind.as_str()),
    }
}

fn of_role(table: &QualifiedName, place: &crate::schema::tracked::inconsistency::Place) -> String {
    format!("permission {table}.{}", place.named)
}
