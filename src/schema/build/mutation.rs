//! Inputs and answers of writes.

use indexmap::IndexMap;

use super::object::plain;
use super::{Seen, Types, View, input, of_column};
use crate::catalog::model::{Identity, TableKind};
use crate::catalog::privileges::ColumnSet;
use crate::graphql::Name;
use crate::schema::scalars::{INT, STRING};
use crate::schema::tracked::{Cardinality, Relationship};
use crate::schema::types::{
    FieldKind, InputField, InputKind, InputType, ObjectType, RelatedWrite, TableType, TypeId,
    TypeRef, UpdateOperator, Written,
};

/// Which operator an input type belongs to.
fn operator_of(ty: TableType) -> Option<UpdateOperator> {
    UpdateOperator::ALL.into_iter().find(|operator| operator.input() == ty)
}

impl Types {
    /// What a write makes of a field of an input object that is null or left out.
    pub fn written(&self, input: TypeId, kind: InputKind) -> Written {
        let (TypeId::Table(table, ty), InputKind::Column(column)) = (input, kind) else {
            return Written::default();
        };
        let Some(db) = self.tracked().db_column(table, column) else { return Written::default() };
        let never_null = match ty {
            TableType::InsertInput
            | TableType::SetInput
            | TableType::IncInput
            | TableType::AppendInput
            | TableType::PrependInput => db.not_null,
            TableType::DeleteElemInput
            | TableType::DeleteAtPathInput
            | TableType::PkColumnsInput => true,
            _ => false,
        };
        let absent_is_null = ty == TableType::InsertInput
            && !db.has_default
            && db.identity == Identity::None
            && self.tracked().db_table(table).is_some_and(|table| {
                // Below a view there may be a default.
                matches!(table.kind, TableKind::Table | TableKind::Partitioned)
            })
            && !self.tracked().is_domain(table, column);
        Written { never_null, absent_is_null }
    }

    /// Whether the role may say which rows a write is about.
    pub(super) fn may_filter(&self, view: &View<'_>) -> bool {
        view.select().is_some()
    }

    pub(super) fn may_upsert(&self, view: &View<'_>) -> bool {
        let keys = view.db.primary_key.iter().chain(&view.db.uniques);
        let named = keys.filter(|key| crate::schema::naming::is_graphql_name(&key.name)).count();
        named > 0 && self.inserts(view.id).is_some() && self.updates_of(view.id).is_some()
    }

    pub(super) fn insert_input(&self, view: &View<'_>) -> InputType {
        let mut fields = IndexMap::new();
        if let Some(insert) = self.inserts(view.id) {
            for seen in view.columns(&insert.columns) {
                fields.insert(seen.name.clone(), value(&seen));
            }
            for (index, relationship) in view.shown.relationships.iter().enumerate() {
                let ty = match relationship.cardinality {
                    Cardinality::Object => TableType::ObjectInsertInput,
                    Cardinality::Array => TableType::ArrayInsertInput,
                };
                let ty = TypeId::Table(relationship.target, ty);
                if self.has(ty) {
                    fields.entry(relationship.name.clone()).or_insert_with(|| {
                        input(TypeRef::nullable(ty), InputKind::Relationship(index))
                    });
                }
            }
        }
        fields.sort_keys();
        InputType {
            name: view.type_name(TableType::InsertInput),
            description: Some(format!(
                "input type for inserting data into table \"{}\"",
                view.name()
            )),
            fields,
        }
    }

    /// `<table>_obj_rel_insert_input`, `<table>_arr_rel_insert_input`
    pub(super) fn nested_insert_input(&self, view: &View<'_>, ty: TableType) -> InputType {
        let rows = view.ty(TableType::InsertInput);
        let array = ty == TableType::ArrayInsertInput;
        let data = if array { TypeRef::non_null_list(rows) } else { TypeRef::non_null(rows) };
        let mut fields = IndexMap::from([("data".into(), input(data, InputKind::Data))]);
        let conflict = view.ty(TableType::OnConflict);
        if self.has(conflict) {
            let mut field = input(TypeRef::nullable(conflict), InputKind::OnConflict);
            field.description = Some("upsert condition".to_owned());
            fields.insert(view.convention().field("on_conflict"), field);
        }
        let what = if array { "array" } else { "object" };
        InputType {
            name: view.type_name(ty),
            description: Some(format!(
                "input type for inserting {what} relation for remote table \"{}\"",
                view.name()
            )),
            fields,
        }
    }

    pub(super) fn on_conflict(&self, view: &View<'_>) -> InputType {
        let mut fields = IndexMap::from([
            (
                "constraint".into(),
                input(TypeRef::non_null(view.ty(TableType::Constraint)), InputKind::Constraint),
            ),
            (
                view.convention().field("update_columns"),
                input(
                    TypeRef::non_null_list(view.ty(TableType::UpdateColumn)),
                    InputKind::UpdateColumns,
                ),
            ),
        ]);
        if self.may_filter(view) {
            fields.insert(
                "where".into(),
                input(TypeRef::nullable(view.ty(TableType::BoolExp)), InputKind::Where),
            );
        }
        InputType {
            name: view.type_name(TableType::OnConflict),
            description: Some(format!("on_conflict condition type for table \"{}\"", view.name())),
            fields,
        }
    }

    /// The columns that an update operator takes.
    pub(super) fn operated<'a>(
        &'a self,
        view: &View<'a>,
        ty: TableType,
    ) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        static NONE: std::sync::LazyLock<ColumnSet> = std::sync::LazyLock::new(ColumnSet::default);
        let columns = self.updates_of(view.id).map_or(&*NONE, |updates| &updates.columns);
        let operator = operator_of(ty);
        view.columns(columns).filter(move |seen| {
            let scalar = self.scalar_of(seen.ty);
            match operator {
                Some(UpdateOperator::Set) => true,
                Some(UpdateOperator::Inc) => scalar.is_some_and(|scalar| scalar.numeric),
                Some(_) => scalar.is_some_and(|scalar| scalar.operators.json),
                None => false,
            }
        })
    }

    pub(super) fn operator_input(&self, view: &View<'_>, ty: TableType) -> InputType {
        let operator = operator_of(ty);
        let fields = self
            .operated(view, ty)
            .map(|seen| {
                let mut field = match operator {
                    Some(UpdateOperator::DeleteKey) => {
                        input(TypeRef::nullable(TypeId::Scalar(STRING)), of_column(seen.column.id))
                    }
                    Some(UpdateOperator::DeleteElem) => {
                        input(TypeRef::nullable(TypeId::Scalar(INT)), of_column(seen.column.id))
                    }
                    Some(UpdateOperator::DeleteAtPath) => {
                        input(TypeRef::list(TypeId::Scalar(STRING)), of_column(seen.column.id))
                    }
                    _ => value(&seen),
                };
                field.description.clone_from(&seen.shown.description);
                (seen.name.clone(), field)
            })
            .collect();
        let described = match operator {
            Some(UpdateOperator::Set) | None => {
                format!("input type for updating data in table \"{}\"", view.name())
            }
            Some(UpdateOperator::Inc) => {
                format!("input type for incrementing numeric columns in table \"{}\"", view.name())
            }
            Some(UpdateOperator::Append) => {
                "append existing jsonb value of filtered columns with new jsonb value".to_owned()
            }
            Some(UpdateOperator::Prepend) => {
                "prepend existing jsonb value of filtered columns with new jsonb value".to_owned()
            }
            Some(UpdateOperator::DeleteKey) => {
                "delete key/value pair or string element. key/value pairs are matched based on their key value"
                    .to_owned()
            }
            Some(UpdateOperator::DeleteElem) => {
                "delete the array element with specified index (negative integers count from the end). throws an error if top level container is not an array"
                    .to_owned()
            }
            Some(UpdateOperator::DeleteAtPath) => {
                "delete the field or element with specified path (for JSON arrays, negative integers count from the end)"
                    .to_owned()
            }
        };
        InputType { name: view.type_name(ty), description: Some(described), fields }
    }

    pub(super) fn pk_columns(&self, view: &View<'_>) -> InputType {
        let fields = view
            .key()
            .into_iter()
            .flatten()
            .map(|seen| {
                let field = input(TypeRef::non_null(seen.ty.value()), of_column(seen.column.id));
                (seen.name.clone(), field)
            })
            .collect();
        InputType {
            name: view.type_name(TableType::PkColumnsInput),
            description: Some(format!("primary key columns input for table: {}", view.name())),
            fields,
        }
    }

    pub(super) fn updates(&self, view: &View<'_>) -> InputType {
        let mut fields: IndexMap<Name, InputField> = IndexMap::new();
        for operator in UpdateOperator::ALL {
            let ty = view.ty(operator.input());
            if self.has(ty) {
                fields.insert(
                    view.convention().field(operator.name()),
                    input(TypeRef::nullable(ty), InputKind::Operator(operator)),
                );
            }
        }
        let mut filter = input(TypeRef::non_null(view.ty(TableType::BoolExp)), InputKind::Where);
        filter.description = Some("filter the rows which have to be updated".to_owned());
        fields.insert("where".into(), filter);
        InputType { name: view.type_name(TableType::Updates), description: None, fields }
    }

    /// The relationships over which rows belong to those of a table, as far as
    /// the role may change them: to find them, both sides of the join are read.
    pub(super) fn changed_with<'a>(
        &'a self,
        view: &View<'a>,
    ) -> impl Iterator<Item = (usize, &'a Relationship)> + use<'a> {
        let here = view.select();
        view.shown.relationships.iter().enumerate().filter(move |(_, relationship)| {
            let there = self.select(relationship.target);
            !relationship.target_first
                && self.has(TypeId::Table(relationship.target, TableType::RelatedUpdateInput))
                && relationship.join.iter().all(|(own, other)| {
                    here.is_some_and(|here| here.readable.contains(*own))
                        && there.is_none_or(|there| there.readable.contains(*other))
                })
        })
    }

    /// `<table>_nested_update_input`
    pub(super) fn nested_update(&self, view: &View<'_>) -> InputType {
        let mut fields: IndexMap<Name, InputField> = self
            .changed_with(view)
            .map(|(index, relationship)| {
                let ty = TypeId::Table(relationship.target, TableType::RelatedUpdateInput);
                let mut field = input(TypeRef::nullable(ty), InputKind::Relationship(index));
                field.description.clone_from(&relationship.description);
                (relationship.name.clone(), field)
            })
            .collect();
        fields.sort_keys();
        InputType {
            name: view.type_name(TableType::NestedUpdateInput),
            description: Some(format!(
                "input type for changing rows that belong to an updated row of table \"{}\"",
                view.name()
            )),
            fields,
        }
    }

    /// `<table>_rel_update_input`
    pub(super) fn related_update(&self, view: &View<'_>) -> InputType {
        let mut fields: IndexMap<Name, InputField> = IndexMap::new();
        let mut add = |name: &str, described: &str, ty: TypeRef, write| {
            if self.has(ty.base) {
                let mut field = input(ty, InputKind::Related(write));
                field.description = Some(described.to_owned());
                fields.insert(name.into(), field);
            }
        };
        let delete = TypeRef::nullable(view.ty(TableType::RelatedDeleteInput));
        add("delete", "rows to delete, before anything else", delete, RelatedWrite::Delete);
        let insert = TypeRef::nullable(view.ty(TableType::ArrayInsertInput));
        add("insert", "rows to insert or upsert, after the updates", insert, RelatedWrite::Insert);
        if self.may_update(view) {
            let update = TypeRef::list(view.ty(TableType::Updates));
            add("update", "updates to execute, in order", update, RelatedWrite::Update);
        }
        InputType {
            name: view.type_name(TableType::RelatedUpdateInput),
            description: Some(format!(
                "input type for changing rows of table \"{}\" that belong to an updated row",
                view.name()
            )),
            fields,
        }
    }

    /// `<table>_rel_delete_input`
    pub(super) fn related_delete(&self, view: &View<'_>) -> InputType {
        let mut filter = input(TypeRef::non_null(view.ty(TableType::BoolExp)), InputKind::Where);
        filter.description = Some("filter the rows which have to be deleted".to_owned());
        InputType {
            name: view.type_name(TableType::RelatedDeleteInput),
            description: Some(format!(
                "input type for deleting rows of table \"{}\" that belong to an updated row",
                view.name()
            )),
            fields: IndexMap::from([("where".into(), filter)]),
        }
    }

    pub(super) fn mutation_response(&self, view: &View<'_>) -> ObjectType {
        let mut fields = IndexMap::new();
        let mut affected = plain(TypeRef::non_null(TypeId::Scalar(INT)), FieldKind::AffectedRows);
        affected.description = Some("number of rows affected by the mutation".to_owned());
        fields.insert(view.convention().field("affected_rows"), affected);
        let object = view.ty(TableType::Object);
        if self.has(object) {
            let mut returning = plain(TypeRef::non_null_list(object), FieldKind::Returning);
            returning.description = Some("data from the rows affected by the mutation".to_owned());
            fields.insert("returning".into(), returning);
        }
        ObjectType {
            name: view.type_name(TableType::MutationResponse),
            description: Some(format!("response of any mutation on the table \"{}\"", view.name())),
            fields,
        }
    }
}

/// The value of a column, as a write takes it.
fn value(seen: &Seen<'_>) -> InputField {
    let mut field = input(TypeRef::nullable(seen.ty.value()), of_column(seen.column.id));
    field.description.clone_from(&seen.shown.description);
    field
}
