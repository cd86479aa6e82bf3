//! Plan + leaves → bytes: one transaction, introspection.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::json;
use serde_json::value::RawValue;

use crate::base::{ApiError, Code, Extensions, JsonPath};
use crate::graphql::OperationKind;
use crate::operation::bind::no_rows;
use crate::operation::json::json_entries;
use crate::operation::json_path::json_path;
use crate::operation::model::LeafKind;
use crate::operation::{BindError, Operation, Problem};
use crate::pg::{PgError, RowShape, Statement, TextParam, TxContext};
use crate::plan::generic::Run;
use crate::plan::{Answer, GenericPlan, Plan};
use crate::schema::tracked::SourceId;
use crate::schema::{RoleSchema, SourceRole};
use crate::session::settings::variable_of;
use crate::session::{Authority, Session};

use super::generic::{Comparison, planning};
use super::parameters::Leaves;
use super::prepare::Prepared;
use super::{Engine, GraphqlRequest, GraphqlResponse};

/// A query that may run.
#[derive(Debug)]
pub(super) struct Ready<'s> {
    pub source: SourceId,
    pub role: &'s SourceRole,
    pub statement: Statement,
    /// Of a statement that gives rows.
    pub rows: Option<&'s RowShape>,
    pub params: Vec<TextParam>,
    pub generic: &'s Arc<GenericPlan>,
    pub run: Run,
}

impl Engine {
    pub(super) async fn try_execute(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<GraphqlResponse, ApiError> {
        let schema = self.schemas.load().of(session)?;
        let prepared = self.prepare(session, &schema, request)?;
        if prepared.plan.kind == OperationKind::Subscription {
            return Err(ApiError::new(
                Code::UnexpectedPayload,
                "subscriptions are not supported over HTTP, use websockets instead, or event streams \
                 (Accept: text/event-stream)",
            ));
        }
        if let Answer::Parts(parts) = &prepared.plan.answer {
            let plan = prepared.plan.clone();
            return self.parts(session, &schema, request, &plan, parts, prepared.leaves).await;
        }
        self.run(session, &schema, request, prepared).await
    }

    /// Runs what was prepared.
    pub(super) async fn run(
        &self,
        session: &Session,
        schema: &Arc<RoleSchema>,
        request: &GraphqlRequest,
        prepared: Prepared,
    ) -> Result<GraphqlResponse, ApiError> {
        let plan = prepared.plan.clone();
        let operation = plan.operation_name.clone();
        if let Answer::Script(script) = &plan.answer {
            let variables = request.variables.as_deref();
            let (data, transaction) =
                self.write(session, schema, &plan, script, prepared.leaves, variables).await?;
            let transaction = transaction.filter(|_| request.wants_transaction);
            return Ok(GraphqlResponse {
                data: Some(data),
                operation,
                transaction,
                ..GraphqlResponse::default()
            });
        }
        let (data, kept) = match &plan.cached {
            Some(cached) => self.cached(session, schema, request, prepared, cached).await?,
            None => (self.query(session, schema, request, prepared).await?, None),
        };
        Ok(GraphqlResponse { data: Some(data), operation, kept, ..GraphqlResponse::default() })
    }

    /// The data of an operation that changes nothing.
    pub(super) async fn query(
        &self,
        session: &Session,
        schema: &Arc<RoleSchema>,
        request: &GraphqlRequest,
        prepared: Prepared,
    ) -> Result<Bytes, ApiError> {
        let plan = prepared.plan.clone();
        let variables = request.variables.as_deref();
        if plan.described.is_empty() {
            return self.data(session, schema, variables, &plan, prepared.leaves).await;
        }
        let described = self.describe(schema, request, &prepared).await?;
        if plan.described.len() == plan.keys.len() {
            return Ok(described);
        }
        let data = self.data(session, schema, variables, &plan, prepared.leaves).await?;
        merge(&plan.keys, &[data, described])
    }

    async fn data(
        &self,
        session: &Session,
        schema: &RoleSchema,
        variables: Option<&RawValue>,
        plan: &Plan,
        leaves: Vec<String>,
    ) -> Result<Bytes, ApiError> {
        let Answer::Several(plans) = &plan.answer else {
            return self.statement(session, schema, variables, plan, leaves).await;
        };
        // Each source answers for itself, as of its own moment.
        let answers = plans
            .iter()
            .map(|part| self.statement(session, schema, variables, part, leaves.clone()));
        let answers = try_join_all(answers).await?;
        let is_described =
            |key: &Arc<str>| plan.described.iter().any(|(described, _)| described == key);
        let keys: Vec<Arc<str>> =
            plan.keys.iter().filter(|key| !is_described(key)).cloned().collect();
        merge(&keys, &answers)
    }

    /// The data of a plan in one source.
    async fn statement(
        &self,
        session: &Session,
        schema: &RoleSchema,
        variables: Option<&RawValue>,
        plan: &Plan,
        leaves: Vec<String>,
    ) -> Result<Bytes, ApiError> {
        match &plan.answer {
            Answer::Constant(bytes) => Ok(bytes.clone()),
            Answer::Statement { .. } => {
                let ready = self.ready(session, schema, variables, plan, leaves)?;
                self.run_ready(session, schema, &ready).await
            }
            Answer::Script(_) | Answer::Several(_) | Answer::Parts(_) => {
                Err(ApiError::internal("a plan of one query was expected"))
            }
        }
    }

    /// The statement of a query and all that it is told, once it may run.
    pub(super) fn ready<'s>(
        &self,
        session: &Session,
        schema: &'s RoleSchema,
        variables: Option<&RawValue>,
        plan: &'s Plan,
        leaves: Vec<String>,
    ) -> Result<Ready<'s>, ApiError> {
        let Answer::Statement { source, text, fingerprint, rows } = &plan.answer else {
            return Err(ApiError::internal("a query without a statement"));
        };
        let role = role_in(schema, *source)?;
        self.admit(session, role, plan, &leaves)?;
        let generic = &plan.generic;
        let run = generic.run();
        let statement =
            Statement { text: text.clone(), fingerprint: *fingerprint, named: run.repeated };
        let params = Leaves::new(leaves, &plan.slots, variables).fill(session, &plan.slots, &[])?;
        Ok(Ready { source: *source, role, statement, rows: rows.as_deref(), params, generic, run })
    }

    pub(super) async fn run_ready(
        &self,
        session: &Session,
        schema: &RoleSchema,
        ready: &Ready<'_>,
    ) -> Result<Bytes, ApiError> {
        let role = ready.role;
        let context = TxContext::new(session, &role.binding.db_role, &role.settings)
            .planned(planning(ready.generic));
        let pg = self.database(schema, ready.source)?;
        let answer = match ready.rows {
            None => pg.query_json(&context, &ready.statement, &ready.params).await,
            Some(shape) => pg.query_rows(&context, &ready.statement, shape, &ready.params).await,
        };
        let answer = answer.map_err(|error| self.refused(error))?;
        if ready.run.compared && !ready.params.is_empty() {
            self.compare(|| Comparison {
                pg,
                authority: session.authority,
                values: role.settings.values(session).into_iter().map(Cow::into_owned).collect(),
                db_role: role.binding.db_role.clone(),
                settings: role.settings.clone(),
                statement: ready.statement.text.clone(),
                params: ready.params.as_slice().into(),
                generic: ready.generic.clone(),
            });
        }
        Ok(answer)
    }

    /// Runs an operation that did not come as a document; `leaves` are the
    /// values that it refers to.
    pub(crate) async fn run_bound(
        &self,
        session: &Session,
        schema: &Arc<RoleSchema>,
        operation: Operation,
        leaves: Vec<String>,
    ) -> Result<Bytes, ApiError> {
        let plan = self.planned(schema, operation)?;
        let prepared = Prepared { plan: plan.clone(), leaves };
        let answer = self.run(session, schema, &GraphqlRequest::default(), prepared).await;
        let answer = answer.map_err(|error| match session.authority {
            Authority::Admin => in_full(error, &plan),
            Authority::Request => error,
        })?;
        answer.data.ok_or_else(|| ApiError::internal("an operation without an answer"))
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
                LeafKind::Rows(least) => match no_rows(text, least, "a number") {
                    Some(problem) => problem,
                    None => continue,
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

/// A fault of the database as Hasura tells it the administrator, with the statement
/// where there is one.
fn in_full(error: ApiError, plan: &Plan) -> ApiError {
    let Some(Extensions::Fault(fault)) = error.extensions.as_deref().cloned() else {
        return error;
    };
    let statement = match &plan.answer {
        Answer::Statement { text, .. } => Some(text.to_string()),
        _ => None,
    };
    error.with_internal(json!({
        "statement": statement, "prepared": true, "error": fault, "arguments": [],
    }))
}

/// How the role of a schema works in a source.
pub(super) fn role_in(schema: &RoleSchema, source: SourceId) -> Result<&SourceRole, ApiError> {
    schema.source(source).ok_or_else(|| ApiError::internal("a plan names a source that is gone"))
}

/// One object with the keys in the document's order; the values are copied as
/// they are.
pub(super) fn merge(keys: &[Arc<str>], parts: &[Bytes]) -> Result<Bytes, ApiError> {
    let text =
        |bytes| std::str::from_utf8(bytes).map_err(|error| ApiError::internal(error.to_string()));
    let mut sources = Vec::with_capacity(parts.len());
    for part in parts {
        let entries = json_entries(text(part)?);
        sources.push(entries.map_err(|problem| ApiError::internal(problem.to_string()))?);
    }
    let mut out = String::with_capacity(parts.iter().map(Bytes::len).sum());
    out.push('{');
    for key in keys {
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
