//! Answers of introspection, kept as bytes.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::base::ApiError;
use crate::operation::input::Operand;
use crate::plan::Plan;
use crate::schema::RoleSchema;
use crate::schema::introspection::{Asked, IntrospectionError, describe};

use super::prepare::Prepared;
use super::{Engine, GraphqlRequest};

/// Bytes of answers that are kept, of all roles together.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// Longer documents are answered but not kept.
const KEPT_DOCUMENT_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    schema: u64,
    document: Box<str>,
    operation: Option<Box<str>>,
    variables: Option<Box<str>>,
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Key, Bytes> for Weight {
    fn weight(&self, key: &Key, answer: &Bytes) -> u64 {
        (128 + key.document.len() + answer.len()) as u64
    }
}

pub(super) struct Descriptions {
    answers: Cache<Key, Bytes, Weight>,
    /// One is made at a time: those of large schemas take memory.
    turn: Semaphore,
}

impl Descriptions {
    pub(super) fn new() -> Self {
        Descriptions {
            answers: Cache::with_weighter(64, KEPT_BYTES, Weight),
            turn: Semaphore::new(1),
        }
    }
}

impl Engine {
    /// The roots that ask about the schema, as one JSON object.
    pub(super) async fn describe(
        &self,
        schema: &Arc<RoleSchema>,
        request: &GraphqlRequest,
        prepared: &Prepared,
    ) -> Result<Bytes, ApiError> {
        let variables = request.variables.as_deref().map(RawValue::get);
        let size = request.query.len() + variables.map_or(0, str::len);
        let key = (size <= KEPT_DOCUMENT_BYTES).then(|| Key {
            schema: schema.id,
            document: request.query.as_str().into(),
            operation: request.operation_name.as_deref().map(Into::into),
            variables: variables.map(Into::into),
        });
        let known = || key.as_ref().and_then(|key| self.descriptions.answers.get(key));
        if let Some(answer) = known() {
            return Ok(answer);
        }
        let turn = self.descriptions.turn.acquire().await;
        let _turn = turn.map_err(|error| ApiError::internal(error.to_string()))?;
        if let Some(answer) = known() {
            return Ok(answer);
        }
        let (schema, plan, leaves) =
            (schema.clone(), prepared.plan.clone(), prepared.leaves.clone());
        let made = tokio::task::spawn_blocking(move || write(&schema, &plan, &leaves)).await;
        let answer = made.map_err(|error| ApiError::internal(error.to_string()))??;
        if let Some(key) = key {
            self.descriptions.answers.insert(key, answer.clone());
        }
        Ok(answer)
    }
}

fn write(schema: &RoleSchema, plan: &Plan, leaves: &[String]) -> Result<Bytes, IntrospectionError> {
    let mut out = vec![b'{'];
    for (index, (key, asked)) in plan.described.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Keys are names of GraphQL: nothing in them needs an escape.
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":");
        let (name, selection) = match asked {
            Asked::Schema(selection) => (None, selection),
            Asked::Type { name, selection } => {
                let name = match name {
                    Operand::Const(name) => Some(name.as_ref()),
                    Operand::Leaf(leaf) => leaves.get(*leaf).map(String::as_str),
                    _ => None,
                };
                (Some(name.ok_or(IntrospectionError::NoName)?), selection)
            }
        };
        describe(&schema.types, name, selection, &mut out)?;
    }
    out.push(b'}');
    out.shrink_to_fit();
    Ok(out.into())
}
