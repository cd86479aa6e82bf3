//! Plan + leaves → bytes: parameters, one transaction, introspection.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::base::{ApiError, Code, JsonPath};
use crate::operation::input::Operand;
use crate::operation::literal::json_entries;
use crate::pg::{PgError, Statement, TextParam, TxContext};
use crate::plan::{Answer, Plan, Slot};
use crate::schema::RoleSchema;
use crate::schema::introspection::Question;
use crate::session::Session;
use crate::session::settings::variable_of;

use super::prepare::{Prepared, negative};
use super::{Engine, GraphqlRequest};

impl Engine {
    pub(super) async fn try_execute(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<(Bytes, Option<Arc<str>>), ApiError> {
        let schema = self.schemas.load().of(session)?;
        let prepared = self.prepare(&schema, request)?;
        let plan = prepared.plan.clone();
        let operation = plan.operation_name.clone();
        if !plan.introspects {
            return Ok((self.data(session, &schema, prepared).await?, operation));
        }
        let mixed = !matches!(&plan.answer, Answer::Constant(bytes) if bytes.as_ref() == b"{}");
        let question = Question {
            document: &request.query,
            operation_name: request.operation_name.as_deref(),
            variables: request.variables.as_deref().map(RawValue::get),
            mixed,
        };
        let described = schema.introspection.answer(&schema.types, schema.query, question).await?;
        if !mixed {
            return Ok((described, operation));
        }
        let data = self.data(session, &schema, prepared).await?;
        Ok((merge(&plan, &data, &described)?, operation))
    }

    async fn data(
        &self,
        session: &Session,
        schema: &RoleSchema,
        prepared: Prepared,
    ) -> Result<Bytes, ApiError> {
        let plan = &prepared.plan;
        let (text, fingerprint) = match &plan.answer {
            Answer::Constant(bytes) => return Ok(bytes.clone()),
            Answer::Statement { text, fingerprint } => (text, *fingerprint),
        };
        self.admit(session, schema, plan, &prepared.leaves)?;
        let statement = Statement { text: text.clone(), fingerprint, named: plan.is_repeated() };
        let params = parameters(&plan.slots, prepared.leaves)?;
        let context = TxContext::new(session, &schema.binding.db_role, &schema.settings);
        self.pg.query_json(&context, &statement, &params).await.map_err(|error| self.refused(error))
    }

    /// What must hold before a statement runs.
    pub(super) fn admit(
        &self,
        session: &Session,
        schema: &RoleSchema,
        plan: &Plan,
        leaves: &[String],
    ) -> Result<(), ApiError> {
        for (leaf, path) in &plan.non_negative {
            if leaves.get(*leaf).is_some_and(|text| text.starts_with('-')) {
                return Err(negative(path));
            }
        }
        for (table, setting) in &plan.required {
            if !schema.settings.has(setting, session) {
                return Err(ApiError::new(
                    Code::PermissionError,
                    format!("table {table} needs the session variable {}", variable_of(setting)),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn refused(&self, error: PgError) -> ApiError {
        if error.sqlstate() == Some("42501") {
            self.suspicion.notify_one();
        }
        error.into()
    }
}

/// The statement's parameters; each leaf is taken where it is used last.
pub(super) fn parameters(
    slots: &[Slot],
    mut leaves: Vec<String>,
) -> Result<Vec<TextParam>, ApiError> {
    let mut uses = vec![0_usize; leaves.len()];
    for slot in slots {
        if let Operand::Leaf(leaf) = slot.operand
            && let Some(count) = uses.get_mut(leaf)
        {
            *count += 1;
        }
    }
    slots
        .iter()
        .map(|slot| {
            let text = match &slot.operand {
                Operand::Const(text) => match slot.at_most {
                    None => return Ok(TextParam::from(text.clone())),
                    Some(_) => text.to_string(),
                },
                Operand::Leaf(leaf) => {
                    let (Some(text), Some(count)) = (leaves.get_mut(*leaf), uses.get_mut(*leaf))
                    else {
                        return Err(ApiError::internal("a plan has more leaves than its request"));
                    };
                    *count -= 1;
                    if *count == 0 { std::mem::take(text) } else { text.clone() }
                }
            };
            Ok(TextParam::from(match slot.at_most {
                Some(cap) if text.parse::<u64>().is_ok_and(|value| value > cap) => cap.to_string(),
                _ => text,
            }))
        })
        .collect()
}

/// One object with the keys in the document's order; the values are copied as
/// they are.
fn merge(plan: &Plan, data: &[u8], described: &[u8]) -> Result<Bytes, ApiError> {
    let text =
        |bytes| std::str::from_utf8(bytes).map_err(|error| ApiError::internal(error.to_string()));
    let entries = |bytes| {
        json_entries(text(bytes)?).map_err(|problem| ApiError::internal(problem.to_string()))
    };
    let sources = [entries(data)?, entries(described)?];
    let mut out = String::with_capacity(data.len() + described.len());
    out.push('{');
    for key in &plan.keys {
        let found = sources.iter().flatten().find(|(name, _)| **name == **key);
        let Some((_, value)) = found else {
            return Err(ApiError::internal("a root is missing from its answer")
                .at(JsonPath::root().key(key.to_string())));
        };
        if out.len() > 1 {
            out.push(',');
        }
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
        out.push_str(value.get());
    }
    out.push('}');
    Ok(out.into())
}
