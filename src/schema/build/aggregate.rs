//! `<table>_aggregate` and what is in it.

use indexmap::IndexMap;

use super::object::plain;
use super::{Seen, Types, View, argument};
use crate::schema::scalars::{BOOLEAN, FLOAT, INT};
use crate::schema::types::{
    AggregateFunction, ArgKind, FieldKind, ObjectType, TableType, TypeId, TypeRef,
};

impl Types {
    pub(super) fn aggregate(&self, view: &View<'_>) -> ObjectType {
        let aggregate = TypeRef::nullable(view.ty(TableType::AggregateFields));
        let nodes = TypeRef::non_null_list(view.ty(TableType::Object));
        ObjectType {
            name: view.type_name(TableType::Aggregate),
            description: Some(format!("aggregated selection of \"{}\"", view.name())),
            fields: IndexMap::from([
                ("aggregate".into(), plain(aggregate, FieldKind::Aggregate)),
                ("nodes".into(), plain(nodes, FieldKind::Nodes)),
            ]),
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
                    function.name().into(),
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
        let fields = self
            .aggregated(view, function)
            .map(|seen| {
                // Sums keep the column's type; averages and the like do not.
                let ty = match function {
                    AggregateFunction::Max | AggregateFunction::Min | AggregateFunction::Sum => {
                        seen.ty.value()
                    }
                    _ => TypeId::Scalar(FLOAT),
                };
                let mut def = plain(TypeRef::nullable(ty), FieldKind::Column(seen.column.id));
                def.description.clone_from(&seen.shown.description);
                (seen.name.clone(), def)
            })
            .collect();
        ObjectType {
            name: view.type_name(TableType::FunctionFields(function)),
            description: Some(format!("aggregate {} on columns", function.name())),
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

    /// The columns of type boolean.
    pub(super) fn booleans<'a>(
        &'a self,
        view: &View<'a>,
    ) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        view.selected().filter(|seen| seen.ty.value() == TypeId::Scalar(BOOLEAN))
    }
}
