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

    pub(super) fn args_by_name(&self, name: &str) -> Option<TypeId> {
        self.tracked().args_type(name).filter(|id| self.has(*id))
    }
}
