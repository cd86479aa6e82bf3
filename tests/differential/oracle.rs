//! A second opinion on validity: async-graphql's dynamic schema, made from the
//! definition that a role is shown.

use async_graphql::dynamic::{
    Enum, Field, FieldFuture, FieldValue, InputObject, InputValue, Object, Scalar, Schema, TypeRef,
};
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};
use async_graphql::{Request, ValidationMode, Variables};

pub struct Oracle(Schema);

fn reference(ty: &Type) -> TypeRef {
    let inner = match &ty.base {
        BaseType::Named(name) => TypeRef::named(name.as_str()),
        BaseType::List(item) => TypeRef::List(Box::new(reference(item))),
    };
    if ty.nullable { inner } else { TypeRef::NonNull(Box::new(inner)) }
}

impl Oracle {
    pub fn new(sdl: &str) -> Self {
        let document = parse_schema(sdl).expect("the definition is valid");
        let mut schema = Schema::build("query_root", None, None)
            .validation_mode(ValidationMode::Strict)
            .limit_recursive_depth(256);
        for definition in document.definitions {
            let TypeSystemDefinition::Type(ty) = definition else { continue };
            let name = ty.node.name.node.as_str();
            schema = match ty.node.kind {
                TypeKind::Scalar => schema.register(Scalar::new(name)),
                TypeKind::Enum(def) => {
                    let values = def.values.iter().map(|value| value.node.value.node.as_str());
                    schema.register(values.fold(Enum::new(name), Enum::item))
                }
                TypeKind::InputObject(def) => schema.register(def.fields.iter().fold(
                    InputObject::new(name),
                    |object, field| {
                        object.field(InputValue::new(
                            field.node.name.node.as_str(),
                            reference(&field.node.ty.node),
                        ))
                    },
                )),
                TypeKind::Object(def) => {
                    schema.register(def.fields.iter().fold(Object::new(name), |object, field| {
                        let ty = reference(&field.node.ty.node);
                        let list = matches!(&ty, TypeRef::NonNull(inner) if matches!(**inner, TypeRef::List(_)));
                        // Roots answer with nothing, so that only validation can refuse.
                        let made = Field::new(field.node.name.node.as_str(), ty, move |_| {
                            FieldFuture::new(async move {
                                let nothing: Vec<FieldValue<'_>> = Vec::new();
                                Ok(list.then(|| FieldValue::list(nothing)))
                            })
                        });
                        object.field(field.node.arguments.iter().fold(made, |made, argument| {
                            made.argument(InputValue::new(
                                argument.node.name.node.as_str(),
                                reference(&argument.node.ty.node),
                            ))
                        }))
                    }))
                }
                TypeKind::Interface(_) | TypeKind::Union(_) => {
                    panic!("{name} is of a kind that schemas here lack")
                }
            };
        }
        Oracle(schema.finish().expect("the definition makes a schema"))
    }

    pub async fn validate(&self, document: &str, variables: &str) -> Result<(), String> {
        let variables = Variables::from_json(serde_json::from_str(variables).expect("JSON"));
        let response = self.0.execute(Request::new(document).variables(variables)).await;
        match response.errors.first() {
            None => Ok(()),
            Some(error) => Err(error.to_string()),
        }
    }
}
