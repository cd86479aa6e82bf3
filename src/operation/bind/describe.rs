//! `__schema` and `__type`, bound like any other field.

use crate::graphql::Field;
use crate::operation::error::{BindError, Problem};
use crate::operation::input::Input;
use crate::schema::introspection::{Asked, Selected, Selection};
use crate::schema::types::{FieldDef, FieldKind, TypeId};

use super::Binder;

/// Lists of types inside each other in introspection. Each could be as long as
/// the schema; GraphiQL needs one, and graphql-js draws the line here too.
const MAX_INTROSPECTION_LISTS: usize = 3;

impl<'a> Binder<'a> {
    pub(super) fn described(
        &mut self,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<Asked, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        let name = self.arguments(field, def)?.into_iter().next();
        let selection = self.meta(def.ty.base, fields, 1, 0)?;
        match (def.kind, name) {
            (FieldKind::DescribedSchema, _) => Ok(Asked::Schema(selection)),
            (_, Some((_, Some(Input::Scalar(name))))) => Ok(Asked::Type { name, selection }),
            _ => Err(self.error(Problem::Schema("a type is asked for without its name"))),
        }
    }

    fn meta(
        &mut self,
        ty: TypeId,
        fields: &[&'a Field],
        depth: usize,
        lists: usize,
    ) -> Result<Vec<Selected>, BindError> {
        let bound =
            self.fields(ty, fields, depth, Selection::Typename, |binder, fields, def| {
                let (FieldKind::Meta(meta), Some(field)) = (def.kind, fields.first()) else {
                    return Err(binder.error(Problem::Schema("no field of introspection")));
                };
                let lists = lists + usize::from(meta.is_wide());
                if lists > MAX_INTROSPECTION_LISTS {
                    let limit = MAX_INTROSPECTION_LISTS;
                    return Err(binder.error(Problem::IntrospectionTooDeep { limit }));
                }
                binder.arguments(field, def)?;
                if binder.schema.types.object(def.ty.base).is_none() {
                    fields.iter().try_for_each(|field| binder.no_selection(field))?;
                    return Ok(Selection::Leaf(meta));
                }
                Ok(Selection::Nested(meta, binder.meta(def.ty.base, fields, depth + 1, lists)?))
            })?;
        Ok(bound.into_iter().map(|(key, field)| Selected { key, field }).collect())
    }
}
