//! Orders: `order_by`, `<table>_order_by`, orders by aggregates, and the
//! cursors of streams.

use indexmap::IndexMap;

use super::{Types, View, input, of_column};
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::schema::tracked::{Cardinality, Returns};
use crate::schema::types::{
    AggregateFunction, EnumKind, EnumType, EnumValue, InputField, InputKind, InputType, TableType,
    TypeId, TypeRef,
};

/// `order_by`
pub(super) fn order_by(convention: NamingConvention) -> EnumType {
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
        (convention.value(word), EnumValue { description: Some(described.to_owned()), kind })
    })
    .collect();
    EnumType {
        name: convention.type_name("order_by"),
        description: Some("column ordering options".to_owned()),
        values,
    }
}

/// `cursor_ordering`
pub(super) fn cursor_ordering(convention: NamingConvention) -> EnumType {
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
        name: convention.type_name("cursor_ordering"),
        description: Some("ordering argument of a cursor".to_owned()),
        values,
    }
}

impl Types {
    /// What the rows of a table can be ordered by.
    pub(super) fn orders<'a>(
        &'a self,
        view: &View<'a>,
    ) -> impl Iterator<Item = (Name, InputField)> + use<'a> {
        let convention = view.convention();
        let order = TypeRef::nullable(TypeId::OrderBy(convention));
        let columns = view
            .selected()
            // The values of an enum table are text.
            .filter(|seen| self.scalar_of(seen.ty).is_none_or(|scalar| scalar.operators.order))
            .map(move |seen| (seen.name.clone(), input(order, of_column(seen.column.id))));
        let relationships = self.relationships(view).filter_map(move |(index, relationship)| {
            let name = &relationship.name;
            let (name, ty, kind) = match relationship.cardinality {
                Cardinality::Object => {
                    (name.clone(), TableType::OrderBy, InputKind::Relationship(index))
                }
                Cardinality::Array => (
                    convention.aggregate_order(name),
                    TableType::AggregateOrderBy,
                    InputKind::RelationshipAggregate(index),
                ),
            };
            let ty = TypeId::Table(relationship.target, ty);
            // Whether a table on the other side has anything to order by is
            // not asked: tables may lead to each other.
            let there = relationship.cardinality == Cardinality::Object || self.has(ty);
            there.then(|| (name, input(TypeRef::nullable(ty), kind)))
        });
        let computed = self.computed(view).filter_map(move |(index, computed)| {
            if super::function::needs_args(&computed.call) {
                return None;
            }
            let (name, ty) = match computed.returns {
                Returns::Scalar(scalar) => {
                    let scalar = self.tracked().scalars.get(scalar)?;
                    (computed.name.clone(), scalar.operators.order.then_some(order)?)
                }
                Returns::Rows { table, .. } => {
                    let ty = TypeId::Table(table, TableType::AggregateOrderBy);
                    let name = convention.aggregate_order(&computed.name);
                    (name, self.has(ty).then_some(TypeRef::nullable(ty))?)
                }
            };
            Some((name, input(ty, InputKind::Computed(index))))
        });
        columns.chain(relationships).chain(computed)
    }

    pub(super) fn order_by_input(&self, view: &View<'_>) -> InputType {
        let mut fields = IndexMap::new();
        for (name, field) in self.orders(view) {
            fields.entry(name).or_insert(field);
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
            input(TypeRef::nullable(TypeId::OrderBy(view.convention())), InputKind::Count),
        )]);
        for function in AggregateFunction::ALL {
            let ty = view.ty(TableType::FunctionOrderBy(function));
            if self.has(ty) {
                fields.insert(
                    view.convention().field(function.name()),
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
        let order = TypeRef::nullable(TypeId::OrderBy(view.convention()));
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
                view.convention().field(function.name()),
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
                    view.convention().field("initial_value"),
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
                        ty: TypeRef::nullable(TypeId::CursorOrdering(view.convention())),
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
