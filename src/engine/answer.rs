//! Plan + leaves → bytes: parameters, one transaction, introspection.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::base::{ApiError, Code, JsonPath};
use crate::graphql::OperationKind;
use crate::operation::bind::no_limit;
use crate::operation::input::Operand;
use crate::operation::json::{fill, json_entries};
use crate::operation::json_path::json_path;
use crate::operation::model::LeafKind;
use crate::operation::{BindError, Operation, Problem};
use crate::pg::{PgError, Statement, TextParam, TxContext};
use crate::plan::{Answer, Form, Plan, Slot};
use crate::schema::introspection::Question;
use crate::schema::tracked::SourceId;
use crate::schema::{RoleSchema, SourceRole};
use crate::session::Session;
use crate::session::settings::variable_of;

use super::prepare::Prepared;
use super::{Engine, GraphqlRequest};

impl Engine {
    pub(super) async fn try_execute(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<(Bytes, Option<Arc<str>>), ApiError> {
        let schema = self.schemas.load().of(session)?;
        let prepared = self.prepare(session, &schema, request)?;
        if prepared.plan.kind == OperationKind::Subscription {
            return Err(ApiError::new(
                Code::UnexpectedPayload,
                "subscriptions are not supported over HTTP, use websockets instead",
            ));
        }
        self.run(session, &schema, request, prepared).await
    }

    /// Runs what was prepared.
    pub(super) async fn run(
        &self,
        session: &Session,
        schema: &RoleSchema,
        request: &GraphqlRequest,
        prepared: Prepared,
    ) -> Result<(Bytes, Option<Arc<str>>), ApiError> {
        let plan = prepared.plan.clone();
        let operation = plan.operation_name.clone();
        if !plan.introspects {
            return Ok((
                self.data(session, schema, request.variables.as_deref(), prepared).await?,
                operation,
            ));
        }
        let mixed = !matches!(&plan.answer, Answer::Constant(bytes) if bytes.as_ref() == b"{}");
        let question = Question {
            document: &request.query,
            operation_name: request.operation_name.as_deref(),
            variables: request.variables.as_deref().map(RawValue::get),
            mixed,
        };
        let described = schema.introspection.answer(&schema.types, question).await?;
        if !mixed {
            return Ok((described, operation));
        }
        let data = self.data(session, schema, request.variables.as_deref(), prepared).await?;
        Ok((merge(&plan, &data, &described)?, operation))
    }

    async fn data(
        &self,
        session: &Session,
        schema: &RoleSchema,
        variables: Option<&RawValue>,
        prepared: Prepared,
    ) -> Result<Bytes, ApiError> {
        let plan = &prepared.plan;
        let (source, text, fingerprint) = match &plan.answer {
            Answer::Constant(bytes) => return Ok(bytes.clone()),
            Answer::Statement { source, text, fingerprint } => (*source, text, *fingerprint),
        };
        let role = role_in(schema, source)?;
        self.admit(session, role, plan, &prepared.leaves)?;
        let statement = Statement { text: text.clone(), fingerprint, named: plan.is_repeated() };
        let params = parameters(session, &plan.slots, prepared.leaves, variables)?;
        let context = TxContext::new(session, &role.binding.db_role, &role.settings);
        self.pg.query_json(&context, &statement, &params).await.map_err(|error| self.refused(error))
    }

    /// Runs an operation that did not come as a document; `leaves` are the
    /// values that it refers to.
    pub(crate) async fn run_bound(
        &self,
        session: &Session,
        schema: &RoleSchema,
        operation: Operation,
        leaves: Vec<String>,
    ) -> Result<Bytes, ApiError> {
        let plan = Arc::new(crate::plan::read::plan(schema, operation, self.limits.rows)?);
        self.data(session, schema, None, Prepared { plan, leaves }).await
    }

    /// What must hold before a statement runs.
    pub(super) fn admit(
        &self,
        session: &Session,
        role: &SourceRole,
        plan: &Plan,
        leaves: &[String],
    ) -> Result<(), ApiError> {
        for check in &plan.checks {
            let Some(text) = leaves.get(check.leaf) else { continue };
            let problem = match check.kind {
                LeafKind::Limit => match text.parse::<i32>() {
                    Ok(0..) => continue,
                    Ok(_) => no_limit("a number"),
                    Err(_) => no_limit("a string"),
                },
                LeafKind::Offset if text.starts_with('-') => {
                    return Err(BindError::here(Problem::NegativeOffset).into());
                }
                LeafKind::Offset => continue,
                LeafKind::JsonPath => match json_path(text) {
                    Err(problem) => problem,
                    Ok(_) => continue,
                },
            };
            return Err(BindError::new(check.path.clone(), problem).into());
        }
        for (table, setting) in &plan.required {
            if !role.settings.has(setting, session) {
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

/// How the role of a schema works in a source.
pub(super) fn role_in(schema: &RoleSchema, source: SourceId) -> Result<&SourceRole, ApiError> {
    schema.source(source).ok_or_else(|| ApiError::internal("a plan names a source that is gone"))
}

/// The statement's parameters; each leaf is taken where it is used last.
pub(super) fn parameters(
    session: &Session,
    slots: &[Slot],
    mut leaves: Vec<String>,
    variables: Option<&RawValue>,
) -> Result<Vec<TextParam>, ApiError> {
    let mut sent = None;
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
                Operand::Const(text) => match slot.form {
                    Form::Plain | Form::JsonPath => return Ok(TextParam::from(text.clone())),
                    Form::AtMost(_) => text.to_string(),
                },
                Operand::Session(name) => return session_value(session, name).map(TextParam::from),
                Operand::SessionVariables => session.variables_json(),
                Operand::Json(parts) => {
                    let at = JsonPath::root().key("variableValues");
                    let refused = |problem| BindError::new(at.clone(), problem);
                    let sent = match &sent {
                        Some(sent) => sent,
                        None => sent.insert(entries(variables).map_err(refused)?),
                    };
                    fill(parts, sent).map_err(refused)?
                }
                Operand::Leaf(leaf) => {
                    let (Some(text), Some(count)) = (leaves.get_mut(*leaf), uses.get_mut(*leaf))
                    else {
                        return Err(ApiError::internal("a plan has more leaves than its request"));
                    };
                    *count -= 1;
                    if *count == 0 { std::mem::take(text) } else { text.clone() }
                }
            };
            Ok(TextParam::from(match slot.form {
                Form::AtMost(cap) if text.parse::<u64>().is_ok_and(|value| value > cap) => {
                    cap.to_string()
                }
                Form::JsonPath => json_path(&text)
                    .map_err(|problem| ApiError::from(BindError::new(JsonPath::root(), problem)))?,
                _ => text,
            }))
        })
        .collect()
}

/// The variables of a request, as they were sent.
fn entries(variables: Option<&RawValue>) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Problem> {
    match variables.map(RawValue::get) {
        None | Some("null") => Ok(Vec::new()),
        Some(text) => json_entries(text),
    }
}

/// The text of a session variable that a permission names.
fn session_value(session: &Session, name: &str) -> Result<String, ApiError> {
    session.variable(name).map(str::to_owned).ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("missing session variable: \"{name}\""))
    })
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
