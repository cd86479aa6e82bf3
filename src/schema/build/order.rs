//! Orders: `order_by`, `<table>_order_by`, orders by aggregates, and the
//! cursors of streams.

use indexmap::IndexMap;

use super::{Types, View, input, of_column};
use crate::graphql::Name;
use crate::schema::tracked::{Cardinality, Returns};
use crate::schema::types::{
    AggregateFunction, EnumKind, EnumType, EnumValue, InputKind, InputType, TableType, TypeId,
    TypeRef,
};

/// `order_by`
pub(super) fn order_by() -> EnumType {
    let values = [
        ("asc", false, None, "in ascending order, nulls last"),
        ("asc_nulls_first", false, Some(true), "in ascending order, nulls first"),
        ("asc_nulls_last", false, Some(false), "in ascending order, nulls last"),
        ("desc", true, None, "in descending order, nulls first"),
        ("desc_nulls_first", true, Some(true), "in descending order, nulls first"),
        ("desc_nulls_last", true, Some(false), "in descending order, nulls last"),
    ]
    .into_iter()
    .map(|(word, descending, nulls_first, described)| {
        let kind = EnumKind::Order { descending, nulls_first };
        (Name::from(word), EnumValue { description: Some(described.to_owned()), kind })
    })
    .collect();
    EnumType {
        name: "order_by".into(),
        description: Some("column ordering options".to_owned()),
        values,
    }
}

/// `cursor_ordering`
pub(super) fn cursor_ordering() -> EnumType {
    let values = [
        ("ASC", false, "ascending ordering of the cursor"),
        ("DESC", true, "descending ordering of the cursor"),
    ]
    .into_iter()
    .map(|(word, descending, described)| {
        let kind = EnumKind::Cursor { descending };
        (Name::from(word), EnumValue { description: Some(described.to_owned()), kind })
    })
    .collect();
    EnumType {
        name: "cursor_ordering".into(),
        description: Some("ordering argument of a cursor".to_owned()),
        values,
    }
}

impl Types {
    pub(super) fn order_by_input(&self, view: &View<'_>) -> InputType {
        let order = TypeRef::nullable(TypeId::OrderBy);
        let mut fields = IndexMap::new();
        for seen in view.selected() {
            // The values of an enum table are text.
            if self.scalar_of(seen.ty).is_none_or(|scalar| scalar.operators.order) {
                fields.insert(seen.name.clone(), input(order, of_column(seen.column.id)));
            }
        }
        for (index, relationship) in self.relationships(view) {
            match relationship.cardinality {
                Cardinality::Object => {
                    let ty = TypeId::Table(relationship.target, TableType::OrderBy);
                    fields.insert(
                        relationship.name.clone(),
                        input(TypeRef::nullable(ty), InputKind::Relationship(index)),
                    );
                }
                Cardinality::Array => {
                    let ty = TypeId::Table(relationship.target, TableType::AggregateOrderBy);
                    if self.has(ty) {
                        fields.insert(
                            format!("{}_aggregate", relationship.name).into(),
                            input(TypeRef::nullable(ty), InputKind::RelationshipAggregate(index)),
                        );
                    }
                }
            }
        }
        for (index, computed) in self.computed(view) {
            if super::function::needs_args(&computed.call) {
                continue;
            }
            let ty = match computed.returns {
                Returns::Scalar(scalar) => {
                    let ordered = self
                        .tracked()
                        .scalars
                        .get(scalar)
                        .is_some_and(|scalar| scalar.operators.order);
                    if !ordered {
                        continue;
                    }
                    (computed.name.clone(), order)
                }
                Returns::Rows { table, .. } => {
                    let ty = TypeId::Table(table, TableType::AggregateOrderBy);
                    if !self.has(ty) {
                        continue;
                    }
                    (format!("{}_aggregate", computed.name).into(), TypeRef::nullable(ty))
                }
            };
            fields.entry(ty.0).or_insert_with(|| input(ty.1, InputKind::Computed(index)));
        }
        fields.sort_keys();
        InputType {
            name: view.type_name(TableType::OrderBy),
            description: Some(format!(
                "Ordering options when selecting data from \"{}\".",
                view.name()
            )),
            fields,
        }
    }

    pub(super) fn aggregate_order_by(&self, view: &View<'_>) -> InputType {
        let mut fields = IndexMap::from([(
            "count".into(),
            input(TypeRef::nullable(TypeId::OrderBy), InputKind::Count),
        )]);
        for function in AggregateFunction::ALL {
            let ty = view.ty(TableType::FunctionOrderBy(function));
            if self.has(ty) {
                fields.insert(
                    function.name().into(),
                    input(TypeRef::nullable(ty), InputKind::Function(function)),
                );
            }
        }
        fields.sort_keys();
        InputType {
            name: view.type_name(TableType::AggregateOrderBy),
            description: Some(format!("order by aggregate values of table \"{}\"", view.name())),
            fields,
        }
    }

    pub(super) fn function_order_by(
        &self,
        view: &View<'_>,
        function: AggregateFunction,
    ) -> InputType {
        let order = TypeRef::nullable(TypeId::OrderBy);
        let fields = self
            .aggregated(view, function)
            .map(|seen| {
                let mut field = input(order, of_column(seen.column.id));
                field.description.clone_from(&seen.shown.description);
                (seen.name.clone(), field)
            })
            .collect();
        InputType {
            name: view.type_name(TableType::FunctionOrderBy(function)),
            description: Some(format!(
                "order by {}() on columns of table \"{}\"",
                function.name(),
                view.name()
            )),
            fields,
        }
    }

    pub(super) fn stream_cursor(&self, view: &View<'_>) -> InputType {
        InputType {
            name: view.type_name(TableType::StreamCursor),
            description: Some(format!("Streaming cursor of the table \"{}\"", view.name())),
            fields: IndexMap::from([
                (
                    "initial_value".into(),
                    crate::schema::types::InputField {
                        description: Some("Stream column input with initial value".to_owned()),
                        ty: TypeRef::non_null(view.ty(TableType::StreamCursorValue)),
                        kind: InputKind::InitialValue,
                    },
                ),
                (
                    "ordering".into(),
                    crate::schema::types::InputField {
                        description: Some("cursor ordering".to_owned()),
                        ty: TypeRef::nullable(TypeId::CursorOrdering),
                        kind: InputKind::Ordering,
                    },
                ),
            ]),
        }
    }

    pub(super) fn stream_cursor_value(&self, view: &View<'_>) -> InputType {
        InputType {
            name: view.type_name(TableType::StreamCursorValue),
            description: Some(
                "Initial value of the column from where the streaming should start".to_owned(),
            ),
            fields: view
                .selected()
                .map(|seen| {
                    let field =
                        input(TypeRef::nullable(seen.ty.value()), of_column(seen.column.id));
                    (seen.name.clone(), field)
                })
                .collect(),
        }
    }
}
