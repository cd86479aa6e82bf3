//! The fields of the three roots, each made when it is asked for.

use indexmap::IndexMap;

use super::object::plain;
use super::{Types, View, argument};
use crate::graphql::Name;
use crate::schema::access::Roots;
use crate::schema::scalars::{INT, STRING};
use crate::schema::tracked::{FunctionId, Returns, SourceId, TrackedFunction, TrackedId};
use crate::schema::types::{
    ArgDef, ArgKind, FieldDef, FieldKind, ObjectType, Root, RootField, RootKind, TableType, TypeId,
    TypeRef, UpdateOperator,
};

const NO_QUERIES: &str = "There are no queries available to the current role. Either there are no sources or remote schemas configured, or the current role doesn't have the required permissions.";

/// The field of a query root that has none.
const NO_QUERIES_FIELD: &str = "no_queries_available";

impl Types {
    /// A root with all its fields; for descriptions of the schema.
    pub fn root_object(&self, root: Root) -> ObjectType {
        let mut fields: IndexMap<Name, FieldDef> = self
            .root_names(root)
            .filter_map(|(name, field)| Some((name.clone(), self.field_of(root, field)?)))
            .collect();
        if fields.is_empty() && root == Root::Query {
            fields.insert(NO_QUERIES_FIELD.into(), self.no_queries());
        }
        fields.sort_keys();
        ObjectType { name: root.name().into(), description: None, fields }
    }

    /// What a source has at a root, with all its fields.
    pub fn namespace_object(&self, source: SourceId, root: Root) -> Option<ObjectType> {
        let name = self.namespace_type(source, root)?;
        let mut fields: IndexMap<Name, FieldDef> = self
            .namespace_names(source, root)
            .filter_map(|(name, field)| Some((name.clone(), self.field_of(root, field)?)))
            .collect();
        fields.sort_keys();
        (!fields.is_empty()).then_some(ObjectType { name, description: None, fields })
    }

    /// A field of a namespace, if the role has it.
    pub fn namespace_field(&self, source: SourceId, root: Root, name: &str) -> Option<FieldDef> {
        let field = *self.tracked().namespace_names(source, root)?.get(name)?;
        self.allows(root, field).then(|| self.field_of(root, field)).flatten()
    }

    pub(super) fn namespace_type(&self, source: SourceId, root: Root) -> Option<Name> {
        self.tracked().source(source)?.namespace_type(root, self.backend)
    }

    pub(super) fn namespace_names(
        &self,
        source: SourceId,
        root: Root,
    ) -> impl Iterator<Item = (&Name, RootField)> {
        self.tracked()
            .namespace_names(source, root)
            .into_iter()
            .flatten()
            .map(|(name, field)| (name, *field))
            .filter(move |(_, field)| self.allows(root, *field))
    }

    /// Whether the role finds anything in the namespace of a source, which is
    /// at the root.
    pub(super) fn has_namespace(&self, source: SourceId, root: Root) -> bool {
        let name = self.tracked().source(source).and_then(|source| source.namespace.as_ref());
        name.and_then(|name| self.tracked().root(root, name)) == Some(RootField::Namespace(source))
            && self.namespace_names(source, root).next().is_some()
    }

    /// The type of a namespace that the role has.
    pub(super) fn namespace_by_name(&self, name: &str) -> Option<TypeId> {
        let sources = (0..).map(SourceId).zip(&self.tracked().sources);
        sources
            .filter(|(_, source)| source.namespace.is_some())
            .flat_map(|(id, _)| Root::ALL.map(|root| (id, root)))
            .find(|(id, root)| self.namespace_type(*id, *root).is_some_and(|known| *known == *name))
            .filter(|(id, root)| self.has_namespace(*id, *root))
            .map(|(id, root)| TypeId::Namespace(id, root))
    }

    /// A field of a root, if the role has it.
    pub fn root_field(&self, root: Root, name: &str) -> Option<FieldDef> {
        match self.tracked().root(root, name) {
            Some(field) if self.allows(root, field) => self.field_of(root, field),
            _ if root == Root::Query
                && name == NO_QUERIES_FIELD
                && self.root_names(root).next().is_none() =>
            {
                Some(self.no_queries())
            }
            _ => None,
        }
    }

    fn no_queries(&self) -> FieldDef {
        let mut def = plain(TypeRef::non_null(TypeId::Scalar(STRING)), FieldKind::NothingAvailable);
        def.description = Some(NO_QUERIES.to_owned());
        def
    }

    /// The fields of a root that the role has.
    pub(super) fn root_names(&self, root: Root) -> impl Iterator<Item = (&Name, RootField)> {
        self.tracked()
            .root_names(root)
            .iter()
            .map(|(name, field)| (name, *field))
            .filter(move |(_, field)| self.allows(root, *field))
    }

    /// Whether the role has anything at a root.
    pub fn has_root(&self, root: Root) -> bool {
        self.root_names(root).next().is_some()
    }

    fn allows(&self, root: Root, field: RootField) -> bool {
        match field {
            RootField::Table(table, kind) => {
                self.view(table).is_some_and(|view| self.allows_table(root, &view, kind))
            }
            RootField::Function(id) => self.functions.contains(&id),
            RootField::Action(id) => self.allows_action(root, id),
            RootField::Namespace(source) => self.namespace_names(source, root).next().is_some(),
            RootField::FunctionAggregate(id) => {
                self.functions.contains(&id)
                    && self.tracked().function(id).is_some_and(|function| match function.returns {
                        Returns::Rows { table, .. } => {
                            self.select(table).is_some_and(|select| select.aggregations)
                        }
                        Returns::Scalar(_) => false,
                    })
            }
        }
    }

    fn allows_table(&self, root: Root, view: &View<'_>, kind: RootKind) -> bool {
        let roots = view.select().map_or(Roots::of([]), |select| match root {
            Root::Subscription => select.subscription_roots,
            Root::Query | Root::Mutation => select.query_roots,
        });
        match kind {
            RootKind::Select => roots.has(kind),
            RootKind::SelectStream => roots.has(kind) && view.selected().next().is_some(),
            RootKind::SelectByPk => roots.has(kind) && view.key().is_some(),
            RootKind::SelectAggregate => roots.has(kind) && view.aggregates(),
            RootKind::Insert => self.inserts(view.id).is_some(),
            RootKind::InsertOne => self.inserts(view.id).is_some() && view.select().is_some(),
            RootKind::Update | RootKind::UpdateMany => self.may_update(view),
            RootKind::UpdateByPk => {
                self.updates_of(view.id).is_some() && view.key().is_some() && self.may_set(view)
            }
            RootKind::Delete => self.may_delete(view),
            RootKind::DeleteByPk => self.deletes_of(view.id).is_some() && view.key().is_some(),
        }
    }

    /// Whether the role may say which rows it updates.
    pub(super) fn may_update(&self, view: &View<'_>) -> bool {
        self.updates_of(view.id).is_some() && self.may_filter(view) && self.may_set(view)
    }

    /// Whether the role may say which rows it deletes.
    pub(super) fn may_delete(&self, view: &View<'_>) -> bool {
        self.deletes_of(view.id).is_some() && self.may_filter(view)
    }

    /// Whether an update has anything to set.
    fn may_set(&self, view: &View<'_>) -> bool {
        self.operated(view, TableType::SetInput).next().is_some()
            || self.updates_of(view.id).is_some_and(|updates| !updates.presets.is_empty())
    }

    fn field_of(&self, root: Root, field: RootField) -> Option<FieldDef> {
        match field {
            RootField::Table(table, kind) => self.table_field(table, kind),
            RootField::Function(id) => self.function_field(id),
            RootField::FunctionAggregate(id) => self.function_aggregate_field(id),
            RootField::Action(id) => self.action_field(id),
            RootField::Namespace(source) => {
                let ty = TypeRef::non_null(TypeId::Namespace(source, root));
                Some(plain(ty, FieldKind::Root(field)))
            }
        }
    }

    fn table_field(&self, id: TrackedId, kind: RootKind) -> Option<FieldDef> {
        let view = self.view(id)?;
        let name = view.name();
        let object = view.ty(TableType::Object);
        let (ty, args, described) = match kind {
            RootKind::Select => (
                TypeRef::non_null_list(object),
                self.list_args(id),
                format!("fetch data from the table: \"{name}\""),
            ),
            RootKind::SelectByPk => (
                TypeRef::nullable(object),
                self.key_args(&view)?,
                format!("fetch data from the table: \"{name}\" using primary key columns"),
            ),
            RootKind::SelectAggregate => (
                TypeRef::non_null(view.ty(TableType::Aggregate)),
                self.list_args(id),
                format!("fetch aggregated fields from the table: \"{name}\""),
            ),
            RootKind::SelectStream => (
                TypeRef::non_null_list(object),
                self.stream_args(&view),
                format!("fetch data from the table in a streaming manner: \"{name}\""),
            ),
            RootKind::Insert | RootKind::InsertOne => return self.insert_field(&view, kind),
            RootKind::Update | RootKind::UpdateByPk | RootKind::UpdateMany => {
                return self.update_field(&view, kind);
            }
            RootKind::Delete => (
                TypeRef::nullable(view.ty(TableType::MutationResponse)),
                IndexMap::from([argument(
                    "where",
                    Some("filter the rows which have to be deleted"),
                    TypeRef::non_null(view.ty(TableType::BoolExp)),
                    ArgKind::Where,
                )]),
                format!("delete data from the table: \"{name}\""),
            ),
            RootKind::DeleteByPk => (
                TypeRef::nullable(object),
                self.key_args(&view)?,
                format!("delete single row from the table: \"{name}\""),
            ),
        };
        Some(self.described(&view, kind, ty, args, described))
    }

    fn described(
        &self,
        view: &View<'_>,
        kind: RootKind,
        ty: TypeRef,
        args: IndexMap<Name, ArgDef>,
        described: String,
    ) -> FieldDef {
        let comment = view.shown.roots.comment(kind).map(str::to_owned);
        FieldDef {
            description: Some(comment.unwrap_or(described)),
            args,
            ty,
            kind: FieldKind::Root(RootField::Table(view.id, kind)),
        }
    }

    fn stream_args(&self, view: &View<'_>) -> IndexMap<Name, ArgDef> {
        IndexMap::from([
            argument(
                &view.convention().field("batch_size"),
                Some("maximum number of rows returned in a single batch"),
                TypeRef::non_null(TypeId::Scalar(INT)),
                ArgKind::BatchSize,
            ),
            argument(
                "cursor",
                Some("cursor to stream the results returned by the query"),
                TypeRef::non_null_list_of_nullable(view.ty(TableType::StreamCursor)),
                ArgKind::Cursor,
            ),
            argument(
                "where",
                Some("filter the rows returned"),
                TypeRef::nullable(view.ty(TableType::BoolExp)),
                ArgKind::Where,
            ),
        ])
    }

    fn insert_field(&self, view: &View<'_>, kind: RootKind) -> Option<FieldDef> {
        let rows = view.ty(TableType::InsertInput);
        let (first, ty, described) = match kind {
            RootKind::Insert => (
                argument(
                    "objects",
                    Some("the rows to be inserted"),
                    TypeRef::non_null_list(rows),
                    ArgKind::Objects,
                ),
                TypeRef::nullable(view.ty(TableType::MutationResponse)),
                format!("insert data into the table: \"{}\"", view.name()),
            ),
            _ => (
                argument(
                    "object",
                    Some("the row to be inserted"),
                    TypeRef::non_null(rows),
                    ArgKind::Object,
                ),
                TypeRef::nullable(view.ty(TableType::Object)),
                format!("insert a single row into the table: \"{}\"", view.name()),
            ),
        };
        let mut args = IndexMap::from([first]);
        let conflict = view.ty(TableType::OnConflict);
        if self.has(conflict) {
            args.extend([argument(
                &view.convention().field("on_conflict"),
                Some("upsert condition"),
                TypeRef::nullable(conflict),
                ArgKind::OnConflict,
            )]);
        }
        Some(self.described(view, kind, ty, args, described))
    }

    fn update_field(&self, view: &View<'_>, kind: RootKind) -> Option<FieldDef> {
        let response = view.ty(TableType::MutationResponse);
        if kind == RootKind::UpdateMany {
            let args = IndexMap::from([argument(
                "updates",
                Some("updates to execute, in order"),
                TypeRef::non_null_list(view.ty(TableType::Updates)),
                ArgKind::Updates,
            )]);
            let described = format!("update multiples rows of table: \"{}\"", view.name());
            return Some(self.described(view, kind, TypeRef::list(response), args, described));
        }
        let mut args = IndexMap::new();
        for operator in UpdateOperator::ALL {
            let ty = view.ty(operator.input());
            if self.has(ty) {
                let described =
                    self.transient(ty).and_then(|def| def.description().map(str::to_owned));
                let described = match operator {
                    UpdateOperator::Set => {
                        Some("sets the columns of the filtered rows to the given values".to_owned())
                    }
                    UpdateOperator::Inc => Some(
                        "increments the numeric columns with given value of the filtered values"
                            .to_owned(),
                    ),
                    _ => described,
                };
                args.extend([argument(
                    &view.convention().field(operator.name()),
                    described.as_deref(),
                    TypeRef::nullable(ty),
                    ArgKind::Operator(operator),
                )]);
            }
        }
        if kind == RootKind::UpdateByPk {
            let nested = view.ty(TableType::NestedUpdateInput);
            if self.has(nested) {
                args.extend([argument(
                    "_nested",
                    Some("changes the rows that belong to the updated row, after it and in the same transaction"),
                    TypeRef::nullable(nested),
                    ArgKind::Nested,
                )]);
                args.sort_keys();
            }
            args.extend([argument(
                &view.convention().field("pk_columns"),
                None,
                TypeRef::non_null(view.ty(TableType::PkColumnsInput)),
                ArgKind::PkColumns,
            )]);
            let described = format!("update single row of the table: \"{}\"", view.name());
            let ty = TypeRef::nullable(view.ty(TableType::Object));
            return Some(self.described(view, kind, ty, args, described));
        }
        args.extend([argument(
            "where",
            Some("filter the rows which have to be updated"),
            TypeRef::non_null(view.ty(TableType::BoolExp)),
            ArgKind::Where,
        )]);
        let described = format!("update data of the table: \"{}\"", view.name());
        Some(self.described(view, kind, TypeRef::nullable(response), args, described))
    }

    fn function_field(&self, id: FunctionId) -> Option<FieldDef> {
        let function = self.tracked().function(id)?;
        let described = function.description.clone().unwrap_or_else(|| {
            let what = match function.returns {
                Returns::Rows { table, .. } => {
                    let table = self.tracked().table(table).map_or("", |table| &**table.name());
                    format!(" which returns \"{table}\"")
                }
                Returns::Scalar(_) => String::new(),
            };
            let volatile = if function.stable { "" } else { "VOLATILE " };
            format!("execute {volatile}function \"{}\"{what}", function.call.function)
        });
        let (ty, mut args) = match function.returns {
            Returns::Scalar(scalar) => (TypeRef::nullable(TypeId::Scalar(scalar)), IndexMap::new()),
            Returns::Rows { table, set } => {
                let object = TypeId::Table(table, TableType::Object);
                let ty =
                    if set { TypeRef::non_null_list(object) } else { TypeRef::nullable(object) };
                (ty, self.list_args(table))
            }
        };
        self.add_function_args(function, &mut args);
        let kind = FieldKind::Root(RootField::Function(id));
        Some(FieldDef { description: Some(described), args, ty, kind })
    }

    fn function_aggregate_field(&self, id: FunctionId) -> Option<FieldDef> {
        let function = self.tracked().function(id)?;
        let Returns::Rows { table, .. } = function.returns else { return None };
        let mut args = self.list_args(table);
        self.add_function_args(function, &mut args);
        Some(FieldDef {
            description: Some(format!(
                "execute function \"{}\" and query aggregates on result of table type \"{}\"",
                function.call.function,
                self.tracked().table(table).map_or("", |table| &**table.name())
            )),
            args,
            ty: TypeRef::non_null(TypeId::Table(table, TableType::Aggregate)),
            kind: FieldKind::Root(RootField::FunctionAggregate(id)),
        })
    }

    fn add_function_args(&self, function: &TrackedFunction, args: &mut IndexMap<Name, ArgDef>) {
        let id = TypeId::FunctionArgs(function.id);
        if self.has(id) {
            let ty = TypeRef::or_null(id, super::function::needs_args(&function.call));
            let described = format!("input parameters for function \"{}\"", function.name);
            args.extend([argument("args", Some(&described), ty, ArgKind::FunctionArgs)]);
            args.sort_keys();
        }
    }
}
