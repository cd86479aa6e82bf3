//! A second opinion: async-graphql's dynamic schema, made from the definition
//! that a role is shown. It says what is valid and describes itself.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, FieldValue, InputObject, InputValue, Object, Scalar,
    Schema, Subscription, SubscriptionField, SubscriptionFieldFuture, TypeRef,
};
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Positioned, Request, ValidationMode, Variables};

const SUBSCRIPTION: &str = "subscription_root";

pub struct Oracle(Schema);

fn reference(ty: &Type) -> TypeRef {
    let inner = match &ty.base {
        BaseType::Named(name) => TypeRef::named(name.as_str()),
        BaseType::List(item) => TypeRef::List(Box::new(reference(item))),
    };
    if ty.nullable { inner } else { TypeRef::NonNull(Box::new(inner)) }
}

fn text(description: &Option<Positioned<String>>) -> Option<&str> {
    description.as_ref().map(|text| text.node.as_str())
}

fn input(def: &Positioned<InputValueDefinition>) -> InputValue {
    let def = &def.node;
    let mut value = InputValue::new(def.name.node.as_str(), reference(&def.ty.node));
    if let Some(default) = &def.default_value {
        value = value.default_value(default.node.clone());
    }
    match text(&def.description) {
        Some(text) => value.description(text),
        None => value,
    }
}

fn field(def: &Positioned<FieldDefinition>) -> Field {
    let def = &def.node;
    let ty = reference(&def.ty.node);
    let list = matches!(&ty, TypeRef::NonNull(inner) if matches!(**inner, TypeRef::List(_)));
    let object = matches!(&ty, TypeRef::NonNull(inner) if matches!(**inner, TypeRef::Named(_)));
    // Roots answer with nothing, so that only validation can refuse.
    let mut made = Field::new(def.name.node.as_str(), ty, move |_| {
        FieldFuture::new(async move {
            let nothing: Vec<FieldValue<'_>> = Vec::new();
            Ok(if list {
                Some(FieldValue::list(nothing))
            } else {
                object.then(|| FieldValue::owned_any(()))
            })
        })
    });
    if let Some(text) = text(&def.description) {
        made = made.description(text);
    }
    def.arguments.iter().map(input).fold(made, Field::argument)
}

fn event(def: &Positioned<FieldDefinition>) -> SubscriptionField {
    let def = &def.node;
    let mut made = SubscriptionField::new(def.name.node.as_str(), reference(&def.ty.node), |_| {
        SubscriptionFieldFuture::new(async {
            Ok(futures_util::stream::empty::<async_graphql::Result<FieldValue<'_>>>())
        })
    });
    if let Some(text) = text(&def.description) {
        made = made.description(text);
    }
    def.arguments.iter().map(input).fold(made, SubscriptionField::argument)
}

impl Oracle {
    pub fn new(sdl: &str) -> Self {
        let document = parse_schema(sdl).expect("the definition is valid");
        let has = |root: &'static str| sdl.contains(&format!("\ntype {root} {{")).then_some(root);
        let mut schema = Schema::build("query_root", has("mutation_root"), has(SUBSCRIPTION))
            .validation_mode(ValidationMode::Strict)
            .limit_recursive_depth(256);
        for definition in document.definitions {
            let TypeSystemDefinition::Type(ty) = definition else { continue };
            let name = ty.node.name.node.as_str();
            let described = text(&ty.node.description).unwrap_or_default();
            // An empty description is none.
            macro_rules! described {
                ($ty:expr) => {{
                    let ty = $ty;
                    if described.is_empty() { ty } else { ty.description(described) }
                }};
            }
            schema = match &ty.node.kind {
                TypeKind::Scalar => schema.register(described!(Scalar::new(name))),
                TypeKind::Enum(def) => {
                    let items = def.values.iter().map(|value| {
                        let item = EnumItem::new(value.node.value.node.as_str());
                        match text(&value.node.description) {
                            Some(text) => item.description(text),
                            None => item,
                        }
                    });
                    schema.register(described!(items.fold(Enum::new(name), Enum::item)))
                }
                TypeKind::InputObject(def) => {
                    let fields = def.fields.iter().map(input);
                    schema.register(described!(
                        fields.fold(InputObject::new(name), InputObject::field)
                    ))
                }
                TypeKind::Object(def) if name == SUBSCRIPTION => {
                    let fields = def.fields.iter().map(event);
                    schema.register(described!(
                        fields.fold(Subscription::new(name), Subscription::field)
                    ))
                }
                TypeKind::Object(def) => {
                    let fields = def.fields.iter().map(field);
                    schema.register(described!(fields.fold(Object::new(name), Object::field)))
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

    /// The data of a document that asks about the schema only.
    pub async fn describe(&self, document: &str) -> serde_json::Value {
        let response = self.0.execute(Request::new(document)).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response.data.into_json().expect("JSON")
    }
}
