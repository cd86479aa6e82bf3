//! Actions and the types that metadata defines for them.

use indexmap::IndexMap;

use super::{Types, field};
use crate::graphql::Name;
use crate::schema::tracked::action::{CustomField, CustomKind, CustomRelationship};
use crate::schema::tracked::{ActionId, Cardinality, CustomId};
use crate::schema::types::{
    ArgDef, ArgKind, EnumKind, EnumType, EnumValue, FieldDef, FieldKind, InputField, InputKind,
    InputType, ObjectType, Root, RootField, TableType, TypeDef, TypeId, TypeRef,
};

impl Types {
    pub(super) fn allows_action(&self, root: Root, id: ActionId) -> bool {
        self.actions.contains(&id)
            && self.tracked().actions.get(id).is_some_and(|action| action.root == root)
    }

    pub(super) fn action_field(&self, id: ActionId) -> Option<FieldDef> {
        let action = self.tracked().actions.get(id)?;
        let argument = |argument: &CustomField| {
            let def = ArgDef {
                description: argument.description.clone(),
                ty: argument.ty,
                kind: ArgKind::Custom,
            };
            (argument.name.clone(), def)
        };
        Some(FieldDef {
            description: action.description.clone(),
            args: action.arguments.iter().map(argument).collect(),
            ty: action.output,
            kind: FieldKind::Root(RootField::Action(id)),
        })
    }

    pub(super) fn custom_type(&self, id: CustomId) -> Option<TypeDef> {
        if !self.has(TypeId::Custom(id)) {
            return None;
        }
        let custom = self.tracked().actions.custom(id)?;
        let (name, description) = (custom.name.clone(), custom.description.clone());
        Some(match &custom.kind {
            CustomKind::Enum(values) => {
                let value = |(name, description): (&Name, &Option<String>)| {
                    let description = description.clone();
                    (name.clone(), EnumValue { description, kind: EnumKind::Custom })
                };
                let values = values.iter().map(value).collect();
                TypeDef::Enum(EnumType { name, description, values })
            }
            CustomKind::Input(fields) => {
                let field = |field: &CustomField| {
                    let def = InputField {
                        description: field.description.clone(),
                        ty: field.ty,
                        kind: InputKind::Custom,
                    };
                    (field.name.clone(), def)
                };
                let fields = fields.iter().map(field).collect();
                TypeDef::Input(InputType { name, description, fields })
            }
            CustomKind::Object { fields, relationships } => {
                let mut out: IndexMap<Name, FieldDef> = IndexMap::new();
                for own in fields {
                    let def = field(own.ty, FieldKind::Custom, own.description.clone());
                    out.insert(own.name.clone(), def);
                }
                for (index, relationship) in relationships.iter().enumerate() {
                    self.add_relationship(index, relationship, &mut out);
                }
                TypeDef::Object(ObjectType { name, description, fields: out })
            }
        })
    }

    /// A relationship to a table, where the role may follow it.
    fn add_relationship(
        &self,
        index: usize,
        relationship: &CustomRelationship,
        out: &mut IndexMap<Name, FieldDef>,
    ) {
        let target = relationship.target;
        let readable = self.select(target).is_some_and(|there| {
            relationship.join.iter().all(|(_, column)| there.readable.contains(*column))
        });
        if !readable {
            return;
        }
        let object = TypeId::Table(target, TableType::Object);
        let kind = FieldKind::CustomRelationship(index);
        match relationship.cardinality {
            Cardinality::Object => {
                let described = "An object relationship".to_owned();
                let def = field(TypeRef::nullable(object), kind, Some(described));
                out.insert(relationship.name.clone(), def);
            }
            Cardinality::Array => {
                let described = "An array relationship".to_owned();
                let mut def = field(TypeRef::non_null_list(object), kind, Some(described));
                def.args = self.list_args(target);
                out.insert(relationship.name.clone(), def);
                let aggregate = TypeId::Table(target, TableType::Aggregate);
                let name = self.convention_of(target).aggregate_order(&relationship.name);
                if self.has(aggregate) && !out.contains_key(&name) {
                    let described = "An aggregate relationship".to_owned();
                    let kind = FieldKind::CustomAggregate(index);
                    let mut def = field(TypeRef::non_null(aggregate), kind, Some(described));
                    def.args = self.list_args(target);
                    out.insert(name, def);
                }
            }
        }
    }
}
