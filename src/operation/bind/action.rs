//! Calls of actions: their arguments, and what is selected of their answers.

use crate::graphql::Field;
use crate::operation::error::{BindError, Problem};
use crate::operation::model::{
    ActionCall, Output, OutputField, OutputSelected, Related, RelatedRows,
};
use crate::operation::payload::Payload;
use crate::schema::tracked::action::{CustomKind, CustomRelationship};
use crate::schema::tracked::{ActionId, CustomId};
use crate::schema::types::{FieldDef, FieldKind, TypeId};

use super::Binder;

impl<'a> Binder<'a> {
    pub(super) fn action(
        &mut self,
        action: ActionId,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<ActionCall, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        self.arguments(field, def)?;
        let payload = Payload::of(field, def, self, self.path.clone().key("args"));
        let mut related = Vec::new();
        let output = if self.schema.types.object(def.ty.base).is_some() {
            Output::Object(self.output(def.ty.base, fields, 2, &mut related)?)
        } else {
            self.leaf(fields)?;
            Output::Whole
        };
        Ok(ActionCall { action, payload, output, related })
    }

    /// What is selected of an object of an answer.
    fn output(
        &mut self,
        ty: TypeId,
        fields: &[&'a Field],
        depth: usize,
        related: &mut Vec<Related>,
    ) -> Result<Vec<OutputSelected>, BindError> {
        let TypeId::Custom(id) = ty else {
            return Err(self.error(Problem::Schema("an object of no action")));
        };
        let bound =
            self.fields(ty, fields, depth, OutputField::Typename, |binder, fields, def| {
                binder.output_field(id, fields, def, depth, related)
            })?;
        Ok(bound.into_iter().map(|(key, field)| OutputSelected { key, field }).collect())
    }

    fn output_field(
        &mut self,
        id: CustomId,
        fields: &[&'a Field],
        def: &'a FieldDef,
        depth: usize,
        related: &mut Vec<Related>,
    ) -> Result<OutputField, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        let object = def.ty.base;
        let (index, rows) = match def.kind {
            FieldKind::Custom => {
                self.arguments(field, def)?;
                if self.schema.types.object(object).is_some() {
                    let selection = self.output(object, fields, depth + 1, related)?;
                    return Ok(OutputField::Object { name: field.name.clone(), selection });
                }
                self.leaf(fields)?;
                return Ok(OutputField::Value(field.name.clone()));
            }
            FieldKind::CustomRelationship(index) => {
                let target = self.custom_relationship(id, index)?.target;
                let many = def.ty.item().is_some();
                let rows = if many {
                    let args = self.list_args(target, field, def)?;
                    let selection = self.selection(target, object, fields, depth + 1)?;
                    RelatedRows::Many { args, selection }
                } else {
                    self.arguments(field, def)?;
                    RelatedRows::One(self.selection(target, object, fields, depth + 1)?)
                };
                (index, rows)
            }
            FieldKind::CustomAggregate(index) => {
                let target = self.custom_relationship(id, index)?.target;
                let args = self.list_args(target, field, def)?;
                let selection = self.aggregates(target, object, fields, depth + 1)?;
                (index, RelatedRows::Aggregate { args, selection })
            }
            _ => return Err(self.error(Problem::Schema("a field of another type"))),
        };
        let relationship = self.custom_relationship(id, index)?;
        related.push(Related { table: relationship.target, join: relationship.join.clone(), rows });
        Ok(OutputField::Related(related.len() - 1))
    }

    fn custom_relationship(
        &self,
        id: CustomId,
        index: usize,
    ) -> Result<&'a CustomRelationship, BindError> {
        match self.schema.tracked().actions.custom(id).map(|custom| &custom.kind) {
            Some(CustomKind::Object { relationships, .. }) => relationships.get(index),
            _ => None,
        }
        .ok_or_else(|| self.error(Problem::Schema("a relationship leads nowhere")))
    }
}
