//! `<table>`: columns, relationships, computed fields.

use indexmap::IndexMap;

use super::{Types, View, argument, field};
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::schema::scalars::STRING;
use crate::schema::tracked::{Cardinality, ComputedField, Returns, TrackedId, TrackedTable};
use crate::schema::types::{
    ArgDef, ArgKind, Codec, FieldDef, FieldKind, ObjectType, TableType, TypeId, TypeRef,
};

impl Types {
    pub(super) fn object_type(&self, view: &View<'_>) -> ObjectType {
        let mut fields = IndexMap::new();
        for seen in view.selected() {
            // A cell that may be hidden may be null.
            let hidden =
                view.select().is_some_and(|select| select.cells.contains_key(&seen.column.id));
            let ty = TypeRef::or_null(seen.ty.value(), seen.column.not_null && !hidden);
            let mut def =
                field(ty, FieldKind::Column(seen.column.id), seen.shown.description.clone());
            if self.scalar_of(seen.ty).is_some_and(|scalar| scalar.codec == Codec::Json) {
                def.args.extend([json_path()]);
            }
            fields.insert(seen.name.clone(), def);
        }
        for (index, relationship) in self.relationships(view) {
            let target = TypeId::Table(relationship.target, TableType::Object);
            let described = relationship.description.clone();
            let mut def = match relationship.cardinality {
                Cardinality::Object => field(
                    TypeRef::or_null(target, self.is_total(relationship)),
                    FieldKind::Relationship(index),
                    Some(described.unwrap_or_else(|| "An object relationship".to_owned())),
                ),
                Cardinality::Array => field(
                    TypeRef::non_null_list(target),
                    FieldKind::Relationship(index),
                    Some(described.unwrap_or_else(|| "An array relationship".to_owned())),
                ),
            };
            if relationship.cardinality == Cardinality::Array {
                def.args = self.list_args(relationship.target);
                let aggregate = TypeId::Table(relationship.target, TableType::Aggregate);
                if self.has(aggregate) {
                    let name = view.convention().aggregate_field(&relationship.name);
                    let mut aggregates = field(
                        TypeRef::non_null(aggregate),
                        FieldKind::RelationshipAggregate(index),
                        Some("An aggregate relationship".to_owned()),
                    );
                    aggregates.args = self.list_args(relationship.target);
                    fields.insert(name, aggregates);
                }
            }
            fields.insert(relationship.name.clone(), def);
        }
        for (index, computed) in self.computed(view) {
            let kind = FieldKind::Computed(index);
            let described = computed.description.clone().or_else(|| {
                Some(format!("A computed field, executes function \"{}\"", computed.call.function))
            });
            let mut def = match computed.returns {
                Returns::Scalar(id) => {
                    let mut def = field(TypeRef::nullable(TypeId::Scalar(id)), kind, described);
                    let scalar = self.tracked().scalars.get(id);
                    if scalar.is_some_and(|scalar| scalar.codec == Codec::Json) {
                        def.args.extend([json_path()]);
                    }
                    def
                }
                Returns::Rows { table, .. } => {
                    let object = TypeId::Table(table, TableType::Object);
                    let mut def = field(TypeRef::list(object), kind, described);
                    def.args = self.list_args(table);
                    def
                }
            };
            if let Some(args) = self.computed_argument(view, index, computed) {
                def.args.extend([args]);
                def.args.sort_keys();
            }
            fields.insert(computed.name.clone(), def);
        }
        fields.sort_keys();
        ObjectType {
            name: view.type_name(TableType::Object),
            description: Some(
                view.shown
                    .description
                    .clone()
                    .unwrap_or_else(|| format!("columns and relationships of \"{}\"", view.name())),
            ),
            fields,
        }
    }

    /// `args` of a computed field that takes some.
    pub(super) fn computed_argument(
        &self,
        view: &View<'_>,
        index: usize,
        computed: &ComputedField,
    ) -> Option<(Name, ArgDef)> {
        let args = TypeId::ComputedArgs(view.id, u16::try_from(index).unwrap_or(u16::MAX));
        let described = format!(
            "input parameters for computed field \"{}\" defined on table \"{}\"",
            computed.name,
            view.name()
        );
        let ty = TypeRef::or_null(args, super::function::needs_args(&computed.call));
        self.has(args).then(|| argument("args", Some(&described), ty, ArgKind::FunctionArgs))
    }

    /// `distinct_on, limit, offset, order_by, where` of a list.
    pub(super) fn list_args(&self, table: TrackedId) -> IndexMap<Name, ArgDef> {
        let convention = self.convention_of(table);
        let int = TypeRef::nullable(TypeId::Scalar(crate::schema::scalars::INT));
        let columns = TypeId::Table(table, TableType::SelectColumn);
        let mut args = IndexMap::new();
        if self.has(columns) {
            args.extend([argument(
                &convention.field("distinct_on"),
                Some("distinct select on columns"),
                TypeRef::list(columns),
                ArgKind::DistinctOn,
            )]);
        }
        args.extend([
            argument("limit", Some("limit the number of rows returned"), int, ArgKind::Limit),
            argument(
                "offset",
                Some("skip the first n rows. Use only with order_by"),
                int,
                ArgKind::Offset,
            ),
        ]);
        let orders = TypeId::Table(table, TableType::OrderBy);
        if self.has(orders) {
            args.extend([argument(
                &convention.field("order_by"),
                Some("sort the rows by one or more columns"),
                TypeRef::list(orders),
                ArgKind::OrderBy,
            )]);
        }
        args.extend([argument(
            "where",
            Some("filter the rows returned"),
            TypeRef::nullable(TypeId::Table(table, TableType::BoolExp)),
            ArgKind::Where,
        )]);
        args
    }

    /// How names are spelled in the source of a table.
    pub(super) fn convention_of(&self, table: TrackedId) -> NamingConvention {
        self.tracked()
            .table(table)
            .map_or(NamingConvention::HasuraDefault, TrackedTable::convention)
    }

    /// Arguments that name a row by its primary key; `None` when a column of
    /// the key is hidden.
    pub(super) fn key_args(&self, view: &View<'_>) -> Option<IndexMap<Name, ArgDef>> {
        let key = view.key()?;
        Some(
            key.into_iter()
                .map(|seen| {
                    let def = ArgDef {
                        description: seen.shown.description.clone(),
                        ty: TypeRef::non_null(seen.ty.value()),
                        kind: ArgKind::Key(seen.column.id),
                    };
                    (seen.name.clone(), def)
                })
                .collect(),
        )
    }
}

fn json_path() -> (Name, ArgDef) {
    let ty = TypeRef::nullable(TypeId::Scalar(STRING));
    argument("path", Some("JSON select path"), ty, ArgKind::JsonPath)
}

/// A field without arguments.
pub(super) fn plain(ty: TypeRef, kind: FieldKind) -> FieldDef {
    field(ty, kind, None)
}
