//! `<table>_aggregate` and what is in it.

use indexmap::IndexMap;

use super::object::plain;
use super::{ColumnType, Seen, Types, View, argument, field};
use crate::schema::scalars::{BOOLEAN, FLOAT, INT};
use crate::schema::tracked::{ComputedField, Returns};
use crate::schema::types::{
    AggregateFunction, ArgKind, FieldKind, ObjectType, ScalarId, TableType, TypeId, TypeRef,
};

impl Types {
    pub(super) fn aggregate(&self, view: &View<'_>) -> ObjectType {
        let aggregate = TypeRef::nullable(view.ty(TableType::AggregateFields));
        let nodes = TypeRef::non_null_list(view.ty(TableType::Object));
        let mut fields = IndexMap::from([
            ("aggregate".into(), plain(aggregate, FieldKind::Aggregate)),
            ("nodes".into(), plain(nodes, FieldKind::Nodes)),
        ]);
        let group = view.ty(TableType::AggregateGroup);
        if self.has(group) {
            let described = Some("aggregates of rows in groups".to_owned());
            let mut groups = field(TypeRef::non_null_list(group), FieldKind::Groups, described);
            groups.args.extend([argument(
                "by",
                Some("columns whose values a group has in common"),
                TypeRef::non_null_list(view.ty(TableType::SelectColumn)),
                ArgKind::GroupBy,
            )]);
            fields.insert("groups".into(), groups);
            fields.sort_keys();
        }
        ObjectType {
            name: view.type_name(TableType::Aggregate),
            description: Some(format!("aggregated selection of \"{}\"", view.name())),
            fields,
        }
    }

    pub(super) fn aggregate_fields(&self, view: &View<'_>) -> ObjectType {
        let mut fields = IndexMap::new();
        let mut count = plain(TypeRef::non_null(TypeId::Scalar(INT)), FieldKind::Count);
        let columns = view.ty(TableType::SelectColumn);
        if self.has(columns) {
            count.args.extend([argument(
                "columns",
                None,
                TypeRef::list(columns),
                ArgKind::CountColumns,
            )]);
        }
        count.args.extend([argument(
            "distinct",
            None,
            TypeRef::nullable(TypeId::Scalar(BOOLEAN)),
            ArgKind::CountDistinct,
        )]);
        fields.insert("count".into(), count);
        for function in AggregateFunction::ALL {
            let ty = view.ty(TableType::FunctionFields(function));
            if self.has(ty) {
                fields.insert(
                    view.convention().field(function.name()),
                    plain(TypeRef::nullable(ty), FieldKind::Function(function)),
                );
            }
        }
        fields.sort_keys();
        ObjectType {
            name: view.type_name(TableType::AggregateFields),
            description: Some(format!("aggregate fields of \"{}\"", view.name())),
            fields,
        }
    }

    pub(super) fn function_fields(
        &self,
        view: &View<'_>,
        function: AggregateFunction,
    ) -> ObjectType {
        // Sums keep the column's type; averages and the like do not.
        let of = |ty: TypeId| match function {
            AggregateFunction::Max | AggregateFunction::Min | AggregateFunction::Sum => {
                TypeRef::nullable(ty)
            }
            _ => TypeRef::nullable(TypeId::Scalar(FLOAT)),
        };
        let columns = self.aggregated(view, function).map(|seen| {
            let mut def = plain(of(seen.ty.value()), FieldKind::Column(seen.column.id));
            def.description.clone_from(&seen.shown.description);
            (seen.name.clone(), def)
        });
        let mut fields: IndexMap<_, _> = columns.collect();
        for (index, computed, scalar) in self.aggregated_computed(view, function) {
            let mut def = plain(of(TypeId::Scalar(scalar)), FieldKind::Computed(index));
            def.description.clone_from(&computed.description);
            def.args.extend(self.computed_argument(view, index, computed));
            fields.insert(computed.name.clone(), def);
        }
        ObjectType {
            name: view.type_name(TableType::FunctionFields(function)),
            description: Some(format!(
                "aggregate {} on columns",
                view.convention().field(function.name())
            )),
            fields,
        }
    }

    /// The columns that an aggregate function takes.
    pub(super) fn aggregated<'a>(
        &'a self,
        view: &View<'a>,
        function: AggregateFunction,
    ) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        view.selected().filter(move |seen| {
            self.scalar_of(seen.ty).is_some_and(|scalar| scalar.has_aggregate(function))
        })
    }

    /// The scalar computed fields that an aggregate function takes.
    pub(super) fn aggregated_computed<'a>(
        &'a self,
        view: &View<'a>,
        function: AggregateFunction,
    ) -> impl Iterator<Item = (usize, &'a ComputedField, ScalarId)> + use<'a> {
        self.computed(view).filter_map(move |(index, computed)| match computed.returns {
            Returns::Scalar(id) => self
                .tracked()
                .scalars
                .get(id)
                .filter(|scalar| scalar.has_aggregate(function))
                .map(|_| (index, computed, id)),
            Returns::Rows { .. } => None,
        })
    }

    /// `<table>_aggregate_group`: rows of equal values, as one.
    pub(super) fn aggregate_group(&self, view: &View<'_>) -> ObjectType {
        let aggregate = TypeRef::nullable(view.ty(TableType::AggregateFields));
        let key = TypeRef::non_null(view.ty(TableType::AggregateGroupKey));
        ObjectType {
            name: view.type_name(TableType::AggregateGroup),
            description: Some(format!(
                "rows of \"{}\" that have the same values in some columns",
                view.name()
            )),
            fields: IndexMap::from([
                ("aggregate".into(), plain(aggregate, FieldKind::Aggregate)),
                ("key".into(), plain(key, FieldKind::GroupKey)),
            ]),
        }
    }

    /// `<table>_aggregate_group_key`: the values that a group has in common.
    pub(super) fn aggregate_group_key(&self, view: &View<'_>) -> ObjectType {
        let fields = self
            .groupable(view)
            .map(|seen| {
                let ty = TypeRef::nullable(seen.ty.value());
                let mut def = plain(ty, FieldKind::Column(seen.column.id));
                def.description.clone_from(&seen.shown.description);
                (seen.name.clone(), def)
            })
            .collect();
        ObjectType {
            name: view.type_name(TableType::AggregateGroupKey),
            description: Some(format!("values that a group of \"{}\" has in common", view.name())),
            fields,
        }
    }

    /// The columns that rows can be grouped by: those that can be sorted.
    pub(super) fn groupable<'a>(
        &'a self,
        view: &View<'a>,
    ) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        view.selected().filter(|seen| match seen.ty {
            ColumnType::Enum(_) => true,
            ty => self.scalar_of(ty).is_some_and(|scalar| scalar.operators.order),
        })
    }
}
