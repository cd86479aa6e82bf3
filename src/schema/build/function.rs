//! The arguments of functions and computed fields.

use indexmap::IndexMap;

use super::Types;
use crate::graphql::Name;
use crate::schema::tracked::{ArgumentRole, FunctionCall, FunctionId, TrackedId};
use crate::schema::types::{InputField, InputKind, InputType, TypeId, TypeRef};

/// Whether a caller can give anything.
pub(super) fn takes_args(call: &FunctionCall) -> bool {
    call.args.iter().any(|arg| matches!(arg.role, ArgumentRole::Caller { .. }))
}

/// Whether a caller has to give something.
pub(super) fn needs_args(call: &FunctionCall) -> bool {
    call.args.iter().any(|arg| matches!(arg.role, ArgumentRole::Caller { .. }) && !arg.has_default)
}

fn fields(call: &FunctionCall) -> IndexMap<Name, InputField> {
    call.args
        .iter()
        .enumerate()
        .filter_map(|(index, arg)| match &arg.role {
            ArgumentRole::Caller { name, ty } => {
                let ty = TypeRef::nullable(TypeId::Scalar(*ty));
                let field = InputField { description: None, ty, kind: InputKind::Argument(index) };
                Some((name.clone(), field))
            }
            ArgumentRole::Row | ArgumentRole::Session => None,
        })
        .collect()
}

impl Types {
    pub(super) fn function_args(&self, id: FunctionId) -> Option<InputType> {
        let function = self.tracked().function(id)?;
        self.has(TypeId::FunctionArgs(id)).then(|| InputType {
            name: self.name(TypeId::FunctionArgs(id)),
            description: None,
            fields: fields(&function.call),
        })
    }

    pub(super) fn computed_args(&self, table: TrackedId, index: u16) -> Option<InputType> {
        let id = TypeId::ComputedArgs(table, index);
        let field = self.tracked().table(table)?.computed.get(usize::from(index))?;
        self.has(id).then(|| InputType {
            name: self.name(id),
            description: None,
            fields: fields(&field.call),
        })
    }

    pub(super) fn computed_args_name(&self, table: TrackedId, index: u16) -> Name {
        let shown = self.tracked().table(table);
        let field = shown.and_then(|shown| shown.computed.get(usize::from(index)));
        match (shown, field) {
            (Some(shown), Some(field)) => {
                shown.naming.type_name(&format!("{}_{}_args", field.name, shown.name()))
            }
            _ => "".into(),
        }
    }

    pub(super) fn args_by_name(&self, name: &str) -> Option<TypeId> {
        let function = self.tracked().functions.iter().find(|found| *found.args_type == *name);
        let computed = || {
            self.tracked().tables.iter().find_map(|table| {
                let named = (0..).zip(&table.computed).map(|(index, _)| index);
                let index = named
                    .clone()
                    .find(|index| *self.computed_args_name(table.id, *index) == *name)?;
                Some(TypeId::ComputedArgs(table.id, index))
            })
        };
        function
            .map(|function| TypeId::FunctionArgs(function.id))
            .or_else(computed)
            .filter(|id| self.has(*id))
    }
}
