//! `__schema`, `__type` and SDL, answered by async-graphql from the same types
//! that binding uses. The dynamic schema is made when first asked for, and its
//! answers are kept as bytes.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Mutex, OnceLock, PoisonError};

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, FieldValue, InputObject, InputValue, Object, Scalar,
    Schema, Subscription, SubscriptionField, SubscriptionFieldFuture, TypeRef as DynamicRef,
};
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Selection, SelectionSet,
};
use async_graphql::{Request, Value, Variables};
use bytes::Bytes;
use lru::LruCache;

use crate::base::{ApiError, Code};

use super::build::Types;
use super::types::{FieldDef, InputKind, ObjectType, Root, TypeDef, TypeId, TypeRef, Wrap};

/// Answers kept per role.
const ANSWERS: NonZeroUsize = match NonZeroUsize::new(16) {
    Some(n) => n,
    None => NonZeroUsize::MIN,
};

/// Longer documents and answers are answered but not kept.
const KEPT_DOCUMENT_BYTES: usize = 16 * 1024;
const KEPT_ANSWER_BYTES: usize = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntrospectionError {
    #[error("the schema cannot be described: {0}")]
    Schema(String),
    #[error("{0}")]
    Request(String),
    #[error("an answer could not be written: {0}")]
    Encode(String),
}

impl From<IntrospectionError> for ApiError {
    fn from(error: IntrospectionError) -> Self {
        match error {
            IntrospectionError::Request(message) => ApiError::new(Code::ValidationFailed, message),
            other => ApiError::internal(other.to_string()),
        }
    }
}

/// One document as the caller sent it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub document: &'a str,
    pub operation_name: Option<&'a str>,
    /// The variables object as JSON text.
    pub variables: Option<&'a str>,
    /// Whether the operation asks for data as well.
    pub mixed: bool,
}

type AnswerKey = (String, Option<String>, Option<String>);

pub struct Introspection {
    schema: OnceLock<Result<Schema, IntrospectionError>>,
    answers: Mutex<LruCache<AnswerKey, Bytes>>,
}

impl Default for Introspection {
    fn default() -> Self {
        Introspection { schema: OnceLock::new(), answers: Mutex::new(LruCache::new(ANSWERS)) }
    }
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection").finish_non_exhaustive()
    }
}

impl Introspection {
    pub fn sdl(&self, types: &Types) -> Result<String, IntrospectionError> {
        Ok(self.schema(types)?.sdl())
    }

    /// The introspection roots of an operation as one JSON object, other roots
    /// left out.
    pub async fn answer(
        &self,
        types: &Types,
        question: Question<'_>,
    ) -> Result<Bytes, IntrospectionError> {
        let key: AnswerKey = (
            question.document.to_owned(),
            question.operation_name.map(str::to_owned),
            question.variables.map(str::to_owned),
        );
        let size = key.0.len() + key.2.as_ref().map_or(0, String::len);
        let keep = size <= KEPT_DOCUMENT_BYTES;
        if keep
            && let Some(answer) =
                self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
        {
            return Ok(answer.clone());
        }
        let answer = self.ask(types, question).await?;
        if keep && answer.len() <= KEPT_ANSWER_BYTES {
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).put(key, answer.clone());
        }
        Ok(answer)
    }

    fn schema(&self, types: &Types) -> Result<&Schema, IntrospectionError> {
        self.schema.get_or_init(|| describe(types)).as_ref().map_err(Clone::clone)
    }

    async fn ask(
        &self,
        types: &Types,
        question: Question<'_>,
    ) -> Result<Bytes, IntrospectionError> {
        let schema = self.schema(types)?;
        let mut request = Request::new(question.document);
        if let Some(name) = question.operation_name {
            request = request.operation_name(name);
        }
        if let Some(text) = question.variables {
            let variables: serde_json::Value = serde_json::from_str(text)
                .map_err(|error| IntrospectionError::Request(error.to_string()))?;
            request = request.variables(Variables::from_json(variables));
        }
        let mut parsed = async_graphql::parser::parse_query(question.document)
            .map_err(|error| IntrospectionError::Request(error.to_string()))?;
        if question.mixed {
            keep_introspection(&mut parsed, Root::Query.name());
        }
        request.set_parsed_query(parsed);
        let response = schema.execute(request).await;
        if let Some(error) = response.errors.first() {
            return Err(IntrospectionError::Request(error.message.clone()));
        }
        serde_json::to_vec(&response.data)
            .map(Bytes::from)
            .map_err(|error| IntrospectionError::Encode(error.to_string()))
    }
}

/// Removes everything but `__schema` and `__type` from the roots, through
/// fragments on the root type, together with variables that only the rest used.
fn keep_introspection(document: &mut ExecutableDocument, root: &str) {
    fn filter(set: &mut SelectionSet) {
        set.items.retain_mut(|item| match &mut item.node {
            Selection::Field(field) => field.node.name.node.starts_with("__"),
            Selection::InlineFragment(inline) => {
                filter(&mut inline.node.selection_set.node);
                !inline.node.selection_set.node.items.is_empty()
            }
            Selection::FragmentSpread(_) => true,
        });
    }
    match &mut document.operations {
        DocumentOperations::Single(operation) => filter(&mut operation.node.selection_set.node),
        DocumentOperations::Multiple(all) => {
            for operation in all.values_mut() {
                filter(&mut operation.node.selection_set.node);
            }
        }
    }
    for fragment in document.fragments.values_mut() {
        if fragment.node.type_condition.node.on.node == root {
            filter(&mut fragment.node.selection_set.node);
        }
    }
}

/// The types that can be reached from the roots, roots first.
fn reachable(types: &Types) -> Vec<TypeDef> {
    let mut seen: HashSet<TypeId> = HashSet::new();
    let mut open: Vec<TypeId> = Vec::new();
    let mut out = Vec::new();
    let follow = |def: &TypeDef, open: &mut Vec<TypeId>| match def {
        TypeDef::Object(object) => {
            for field in object.fields.values() {
                open.push(field.ty.base);
                open.extend(field.args.values().map(|arg| arg.ty.base));
            }
        }
        TypeDef::Input(input) => open.extend(input.fields.values().map(|field| field.ty.base)),
        TypeDef::Scalar(_) | TypeDef::Enum(_) => {}
    };
    for root in Root::ALL {
        if types.has(TypeId::Root(root)) {
            let def = TypeDef::Object(types.root_object(root));
            follow(&def, &mut open);
            out.push(def);
        }
    }
    while let Some(id) = open.pop() {
        if seen.insert(id)
            && let Some(def) = types.get(id)
        {
            follow(def, &mut open);
            out.push(def.clone());
        }
    }
    out.sort_by(|a, b| a.name().cmp(b.name()));
    out
}

fn describe(types: &Types) -> Result<Schema, IntrospectionError> {
    let root = |root: Root| types.has(TypeId::Root(root)).then_some(root.name());
    let mut builder =
        Schema::build(Root::Query.name(), root(Root::Mutation), root(Root::Subscription))
            .validation_mode(async_graphql::ValidationMode::Fast);
    for def in reachable(types) {
        builder = match def {
            TypeDef::Scalar(scalar) => {
                if matches!(scalar.name.as_ref(), "String" | "Int" | "Float" | "Boolean") {
                    continue;
                }
                let mut out = Scalar::new(scalar.name.as_ref());
                if let Some(text) = &scalar.description {
                    out = out.description(text);
                }
                builder.register(out)
            }
            TypeDef::Enum(def) => {
                let mut out = Enum::new(def.name.as_ref());
                if let Some(text) = &def.description {
                    out = out.description(text);
                }
                for (name, value) in &def.values {
                    let mut item = EnumItem::new(name.as_ref());
                    if let Some(text) = &value.description {
                        item = item.description(text);
                    }
                    out = out.item(item);
                }
                builder.register(out)
            }
            TypeDef::Input(def) => {
                let mut out = InputObject::new(def.name.as_ref());
                if let Some(text) = &def.description {
                    out = out.description(text);
                }
                for (name, field) in &def.fields {
                    let mut value = InputValue::new(name.as_ref(), reference(types, field.ty));
                    if let Some(text) = &field.description {
                        value = value.description(text);
                    }
                    if field.kind == InputKind::UpdateColumns {
                        value = value.default_value(Value::List(Vec::new()));
                    }
                    out = out.field(value);
                }
                if def.fields.is_empty() {
                    // An object has at least one field; `{}` is what it is for.
                    let nothing = InputValue::new("_PLACEHOLDER", DynamicRef::named("Boolean"));
                    out = out.field(nothing.description("placeholder (do not use)"));
                }
                builder.register(out)
            }
            TypeDef::Object(def) if *def.name == *Root::Subscription.name() => {
                builder.register(subscription(types, &def))
            }
            TypeDef::Object(def) => {
                let mut out = Object::new(def.name.as_ref());
                if let Some(text) = &def.description {
                    out = out.description(text);
                }
                for (name, field) in &def.fields {
                    let mut value = Field::new(name.as_ref(), reference(types, field.ty), |_| {
                        FieldFuture::new(async { Ok(None::<FieldValue<'_>>) })
                    });
                    if let Some(text) = &field.description {
                        value = value.description(text);
                    }
                    for input in arguments(types, field) {
                        value = value.argument(input);
                    }
                    out = out.field(value);
                }
                builder.register(out)
            }
        };
    }
    builder.finish().map_err(|error| IntrospectionError::Schema(error.to_string()))
}

fn subscription(types: &Types, def: &ObjectType) -> Subscription {
    let mut out = Subscription::new(def.name.as_ref());
    for (name, field) in &def.fields {
        let mut value = SubscriptionField::new(name.as_ref(), reference(types, field.ty), |_| {
            SubscriptionFieldFuture::new(async {
                Ok(futures_util::stream::empty::<async_graphql::Result<FieldValue<'_>>>())
            })
        });
        if let Some(text) = &field.description {
            value = value.description(text);
        }
        for input in arguments(types, field) {
            value = value.argument(input);
        }
        out = out.field(value);
    }
    out
}

fn arguments(types: &Types, field: &FieldDef) -> Vec<InputValue> {
    field
        .args
        .iter()
        .map(|(name, arg)| {
            let input = InputValue::new(name.as_ref(), reference(types, arg.ty));
            match &arg.description {
                Some(text) => input.description(text),
                None => input,
            }
        })
        .collect()
}

fn reference(types: &Types, ty: TypeRef) -> DynamicRef {
    let name = types.name(ty.base);
    match ty.wrap {
        Wrap::Nullable => DynamicRef::named(name.as_ref()),
        Wrap::NonNull => DynamicRef::named_nn(name.as_ref()),
        Wrap::List { non_null: false } => DynamicRef::named_nn_list(name.as_ref()),
        Wrap::List { non_null: true } => DynamicRef::named_nn_list_nn(name.as_ref()),
    }
}
