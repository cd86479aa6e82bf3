//! The fields of rows, of aggregates, and of what functions return.

use crate::catalog::model::ColumnId;
use crate::graphql::{Field, Name, Selection};
use crate::operation::error::{BindError, Problem};
use crate::operation::model::{
    AggregateField, AggregateSelected, Aggregated, Call, FunctionColumn, FunctionField,
    FunctionSelected, GroupField, GroupSelected, ListArgs, Read, RowSource, Rows, Selected,
    SelectedField,
};
use crate::schema::tracked::{FunctionId, Returns, TrackedId};
use crate::schema::types::{FieldDef, FieldKind, ObjectType, TypeId};

use super::Binder;

impl<'a> Binder<'a> {
    pub(super) fn object(&self, ty: TypeId) -> Result<&'a ObjectType, BindError> {
        self.schema
            .types
            .object(ty)
            .ok_or_else(|| self.error(Problem::Schema("a field has no object type")))
    }

    fn field_def(&self, object: &'a ObjectType, field: &Field) -> Result<&'a FieldDef, BindError> {
        object.fields.get(&field.name).ok_or_else(|| {
            self.error(Problem::UnknownField {
                field: field.name.to_string(),
                ty: object.name.to_string(),
            })
        })
    }

    /// Binds the selection of `fields`, which share a response key, field by
    /// field: `leaf` makes `__typename`, `bind` everything else.
    pub(super) fn fields<T>(
        &mut self,
        ty: TypeId,
        fields: &[&'a Field],
        depth: usize,
        typename: impl Fn(Name) -> T,
        mut bind: impl FnMut(&mut Self, &[&'a Field], &'a FieldDef) -> Result<T, BindError>,
    ) -> Result<Vec<(Name, T)>, BindError> {
        let object = self.object(ty)?;
        if let Some(empty) = fields.iter().find(|field| field.selection.is_empty()) {
            return Err(self.error(Problem::SelectionNeeded(empty.name.to_string())));
        }
        let sets: Vec<&'a [Selection]> =
            fields.iter().map(|field| field.selection.as_slice()).collect();
        self.path.push_key("selectionSet");
        let collected = self.collect(&object.name, &sets, depth)?;
        let mut out = Vec::with_capacity(collected.len());
        for (key, fields) in collected {
            let Some(field) = fields.first() else { continue };
            if &*field.name == "__typename" {
                self.no_selection(field)?;
                out.push((key, typename(object.name.clone())));
                continue;
            }
            self.path.push_key(field.name.to_string());
            let def = self.field_def(object, field)?;
            let bound = bind(self, &fields, def)?;
            self.path.pop();
            out.push((key, bound));
        }
        self.path.pop();
        Ok(out)
    }

    /// A field of a scalar type: nothing may be selected in it.
    pub(super) fn leaf(&self, fields: &[&'a Field]) -> Result<(), BindError> {
        fields.iter().try_for_each(|field| self.no_selection(field))
    }

    pub(super) fn selection(
        &mut self,
        table: TrackedId,
        object: TypeId,
        fields: &[&'a Field],
        depth: usize,
    ) -> Result<Vec<Selected>, BindError> {
        let bound =
            self.fields(object, fields, depth, SelectedField::Typename, |binder, fields, def| {
                binder.selected(table, fields, def, depth)
            })?;
        Ok(bound.into_iter().map(|(key, field)| Selected { key, field }).collect())
    }

    fn selected(
        &mut self,
        table: TrackedId,
        fields: &[&'a Field],
        def: &'a FieldDef,
        depth: usize,
    ) -> Result<SelectedField, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        Ok(match def.kind {
            FieldKind::Column(column) => {
                self.leaf(fields)?;
                let given = self.arguments(field, def)?;
                let path = self.json_path(&given)?;
                let upper_case = self.schema.upper_cases(table, column);
                SelectedField::Column { column, path, upper_case }
            }
            FieldKind::Relationship(index) => {
                let target = self.target(table, index)?;
                let args = self.list_args(target, field, def)?;
                let selection = self.selection(target, def.ty.base, fields, depth + 1)?;
                SelectedField::Relationship { index, args, selection }
            }
            FieldKind::RelationshipAggregate(index) => {
                let target = self.target(table, index)?;
                let args = self.list_args(target, field, def)?;
                let selection = self.aggregates(target, def.ty.base, fields, depth + 1)?;
                SelectedField::Aggregate { index, args, selection }
            }
            FieldKind::Computed(index) => {
                let returns = self.computed(table, index)?.returns;
                match returns {
                    Returns::Scalar(_) => {
                        self.leaf(fields)?;
                        let given = self.arguments(field, def)?;
                        let path = self.json_path(&given)?;
                        let args = self.call_args(&self.computed(table, index)?.call, given)?;
                        SelectedField::ComputedScalar { index, args, path }
                    }
                    Returns::Rows { table: rows, .. } => {
                        let (list, args) = self.call_and_list_args(
                            &self.computed(table, index)?.call,
                            rows,
                            field,
                            def,
                        )?;
                        let selection = self.selection(rows, def.ty.base, fields, depth + 1)?;
                        SelectedField::ComputedRows { index, args, list, selection }
                    }
                }
            }
            _ => return Err(self.error(Problem::Schema("a field of another type"))),
        })
    }

    pub(super) fn computed(
        &self,
        table: TrackedId,
        index: usize,
    ) -> Result<&'a crate::schema::tracked::ComputedField, BindError> {
        self.schema
            .tracked()
            .table(table)
            .and_then(|table| table.computed.get(index))
            .ok_or_else(|| self.error(Problem::Schema("a computed field is gone")))
    }

    /// The table on the other side of a relationship.
    pub(super) fn target(&self, table: TrackedId, index: usize) -> Result<TrackedId, BindError> {
        self.schema
            .relationship(table, index)
            .map(|relationship| relationship.target)
            .ok_or_else(|| self.error(Problem::Schema("a relationship leads nowhere")))
    }

    pub(super) fn aggregated(
        &mut self,
        table: TrackedId,
        source: RowSource,
        args: ListArgs,
        ty: TypeId,
        fields: &[&'a Field],
    ) -> Result<Aggregated, BindError> {
        let selection = self.aggregates(table, ty, fields, 2)?;
        Ok(Aggregated { table, source, args, selection })
    }

    pub(super) fn aggregates(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        fields: &[&'a Field],
        depth: usize,
    ) -> Result<Vec<AggregateSelected>, BindError> {
        let bound =
            self.fields(ty, fields, depth, AggregateField::Typename, |binder, fields, def| {
                Ok(match def.kind {
                    FieldKind::Aggregate => AggregateField::Aggregate(binder.functions(
                        table,
                        def.ty.base,
                        fields,
                        depth + 1,
                    )?),
                    FieldKind::Nodes => AggregateField::Nodes(binder.selection(
                        table,
                        def.ty.base,
                        fields,
                        depth + 1,
                    )?),
                    FieldKind::Groups => binder.groups(table, fields, def, depth + 1)?,
                    _ => return Err(binder.error(Problem::Schema("no field of an aggregate"))),
                })
            })?;
        Ok(bound.into_iter().map(|(key, field)| AggregateSelected { key, field }).collect())
    }

    fn groups(
        &mut self,
        table: TrackedId,
        fields: &[&'a Field],
        def: &'a FieldDef,
        depth: usize,
    ) -> Result<AggregateField, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        let by = self.group_args(table, field, def)?;
        let bound = self.fields(
            def.ty.base,
            fields,
            depth,
            GroupField::Typename,
            |binder, fields, def| match def.kind {
                FieldKind::Aggregate => Ok(GroupField::Aggregate(binder.functions(
                    table,
                    def.ty.base,
                    fields,
                    depth + 1,
                )?)),
                FieldKind::GroupKey => {
                    let columns =
                        binder.columns(table, def.ty.base, fields, depth + 1, Some(&by))?;
                    Ok(GroupField::Key(columns))
                }
                _ => Err(binder.error(Problem::Schema("no field of a group"))),
            },
        )?;
        let selection =
            bound.into_iter().map(|(key, field)| GroupSelected { key, field }).collect();
        Ok(AggregateField::Groups { by, selection })
    }

    /// Columns under their response keys; `of` are those that may be named.
    fn columns(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        fields: &[&'a Field],
        depth: usize,
        of: Option<&[ColumnId]>,
    ) -> Result<Vec<(Name, FunctionColumn)>, BindError> {
        self.fields(ty, fields, depth, FunctionColumn::Typename, |binder, fields, def| {
            binder.leaf(fields)?;
            match (def.kind, fields.first()) {
                (FieldKind::Column(column), Some(field)) => {
                    binder.arguments(field, def)?;
                    if of.is_some_and(|of| !of.contains(&column)) {
                        return Err(binder.error(Problem::NotGroupedBy));
                    }
                    Ok(FunctionColumn::Column(column))
                }
                (FieldKind::Computed(index), Some(field)) => {
                    let given = binder.arguments(field, def)?;
                    let args = binder.call_args(&binder.computed(table, index)?.call, given)?;
                    Ok(FunctionColumn::Computed { index, args })
                }
                _ => Err(binder.error(Problem::Schema("no column"))),
            }
        })
    }

    fn functions(
        &mut self,
        table: TrackedId,
        ty: TypeId,
        fields: &[&'a Field],
        depth: usize,
    ) -> Result<Vec<FunctionSelected>, BindError> {
        let bound =
            self.fields(ty, fields, depth, FunctionField::Typename, |binder, fields, def| match (
                def.kind,
                fields.first(),
            ) {
                (FieldKind::Count, Some(field)) => {
                    binder.leaf(fields)?;
                    let (columns, distinct) = binder.count_args(field, def)?;
                    Ok(FunctionField::Count { columns, distinct })
                }
                (FieldKind::Function(function), _) => {
                    let columns = binder.columns(table, def.ty.base, fields, depth + 1, None)?;
                    Ok(FunctionField::Function { function, columns })
                }
                _ => Err(binder.error(Problem::Schema("no aggregate function"))),
            })?;
        Ok(bound.into_iter().map(|(key, field)| FunctionSelected { key, field }).collect())
    }

    /// A root that calls a function.
    pub(super) fn function(
        &mut self,
        id: FunctionId,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<Read, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        let function = self.tracked_function(id)?;
        match function.returns {
            Returns::Scalar(_) => {
                self.leaf(fields)?;
                let given = self.arguments(field, def)?;
                let args = self.call_args(&function.call, given)?;
                Ok(Read::Scalar { call: Call { function: id, args } })
            }
            Returns::Rows { table, set } => {
                let (list, args) = self.call_and_list_args(&function.call, table, field, def)?;
                let selection = self.selection(table, def.ty.base, fields, 2)?;
                let source = RowSource::Function(Call { function: id, args });
                let rows = Rows { table, source, args: list, selection };
                Ok(if set { Read::Many(rows) } else { Read::One(rows) })
            }
        }
    }

    pub(super) fn function_aggregate(
        &mut self,
        id: FunctionId,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<Read, BindError> {
        let function = self.tracked_function(id)?;
        let (Some(field), Returns::Rows { table, .. }) = (fields.first(), function.returns) else {
            return Err(self.error(Problem::Schema("a function without rows")));
        };
        let (list, args) = self.call_and_list_args(&function.call, table, field, def)?;
        let source = RowSource::Function(Call { function: id, args });
        Ok(Read::Aggregate(self.aggregated(table, source, list, def.ty.base, fields)?))
    }

    fn tracked_function(
        &self,
        id: FunctionId,
    ) -> Result<&'a crate::schema::tracked::TrackedFunction, BindError> {
        self.schema
            .tracked()
            .function(id)
            .ok_or_else(|| self.error(Problem::Schema("a function is gone")))
    }
}
