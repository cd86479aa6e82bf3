//! Operations that call handlers of actions: their parts, one after the other.
//!
//! ```text
//! arguments ─▶ handler ─▶ answer, checked ─▶ keys ─▶ one statement ─▶ rows ─┐
//!                              └────────────────────────────────────────────┴▶ output
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::value::RawValue;

use crate::action::{Call, CallError};
use crate::base::{ApiError, JsonPath};
use crate::operation::BindError;
use crate::operation::json::json_entries;
use crate::operation::model::Output;
use crate::pg::{Statement, TxContext};
use crate::plan::action::ActionPlan;
use crate::plan::{Answer, Part, Plan};
use crate::schema::RoleSchema;
use crate::session::{Authority, Session};

use super::answer::{merge, role_in};
use super::output::{Shape, keys, write};
use super::parameters::{Earned, Leaves};
use super::prepare::Prepared;
use super::{Engine, GraphqlRequest, GraphqlResponse};

impl Engine {
    /// Runs the parts of an operation in order; the first error ends it.
    pub(super) async fn parts(
        &self,
        session: &Session,
        schema: &Arc<RoleSchema>,
        request: &GraphqlRequest,
        plan: &Plan,
        parts: &[Part],
        leaves: Vec<String>,
    ) -> Result<GraphqlResponse, ApiError> {
        // What is wrong with a later part must not be found after handlers ran.
        for part in parts {
            self.admit_part(session, schema, part, &leaves)?;
        }
        let mut response = GraphqlResponse::default();
        let mut sources: Vec<bytes::Bytes> = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Part::Database(plan) => {
                    let prepared = Prepared { plan: plan.clone(), leaves: leaves.clone() };
                    let part = self.run(session, schema, request, prepared).await?;
                    response.transaction = part.transaction.or(response.transaction);
                    sources.extend(part.data);
                }
                Part::Action { key, plan } => {
                    let (value, cookies) =
                        self.act(session, schema, request, plan, &leaves).await?;
                    response.cookies.extend(cookies);
                    sources.push(format!("{{\"{key}\":{value}}}").into());
                }
            }
        }
        response.data = Some(merge(&plan.keys, &sources)?);
        response.operation.clone_from(&plan.operation_name);
        Ok(response)
    }

    fn admit_part(
        &self,
        session: &Session,
        schema: &RoleSchema,
        part: &Part,
        leaves: &[String],
    ) -> Result<(), ApiError> {
        let plan = match part {
            Part::Database(plan) => plan,
            Part::Action { plan, .. } => match &plan.related {
                Some(plan) => plan,
                None => return Ok(()),
            },
        };
        self.admit_plan(session, schema, plan, leaves)
    }

    fn admit_plan(
        &self,
        session: &Session,
        schema: &RoleSchema,
        plan: &Plan,
        leaves: &[String],
    ) -> Result<(), ApiError> {
        let source = match &plan.answer {
            Answer::Statement { source, .. } => *source,
            Answer::Script(script) => script.source,
            Answer::Several(plans) => {
                return plans
                    .iter()
                    .try_for_each(|plan| self.admit_plan(session, schema, plan, leaves));
            }
            Answer::Constant(_) | Answer::Parts(_) => return Ok(()),
        };
        self.admit(session, role_in(schema, source)?, plan, leaves)
    }

    /// Calls a handler and makes of its answer what was selected.
    async fn act(
        &self,
        session: &Session,
        schema: &RoleSchema,
        request: &GraphqlRequest,
        plan: &ActionPlan,
        leaves: &[String],
    ) -> Result<(String, Vec<HeaderValue>), ApiError> {
        let call = &plan.call;
        let action = schema
            .tracked()
            .actions
            .get(call.action)
            .ok_or_else(|| ApiError::internal("a plan names an action that is gone"))?;
        let variables: Vec<(Cow<'_, str>, &RawValue)> = match request.variables.as_deref() {
            None => Vec::new(),
            Some(raw) if raw.get() == "null" => Vec::new(),
            Some(raw) => json_entries(raw.get()).map_err(|problem| {
                BindError::new(JsonPath::root().key("variableValues"), problem)
            })?,
        };
        let input = call.payload.json(&schema.types, &variables)?;
        let called = Call {
            handler: &action.handler,
            input: &input,
            session,
            document: &request.query,
            headers: request.headers.as_deref(),
        };
        let told = |error: CallError| {
            let mut error = ApiError::from(error);
            if session.authority != Authority::Admin {
                error.internal = None;
            }
            error
        };
        let mut answer = self.handlers.call(called).await.map_err(told)?;
        let shape = Shape { types: &schema.types };
        if let Err((code, message)) = shape.check(action.output, &answer.body) {
            return Err(told(answer.unexpected(code, message)));
        }
        let cookies = std::mem::take(&mut answer.cookies);
        let Output::Object(selection) = &call.output else {
            return Ok((answer.body.get().to_owned(), cookies));
        };
        let rows = match &plan.related {
            None => Vec::new(),
            Some(related) => {
                let keys = keys(call, selection, &answer.body)?;
                self.related(session, schema, request, related, keys, leaves.to_vec()).await?
            }
        };
        Ok((write(selection, &answer.body, &rows)?, cookies))
    }

    /// What belongs to each of some keys, by relationship: a JSON array each.
    async fn related(
        &self,
        session: &Session,
        schema: &RoleSchema,
        request: &GraphqlRequest,
        plan: &Arc<Plan>,
        keys: Vec<Box<RawValue>>,
        leaves: Vec<String>,
    ) -> Result<Vec<Box<RawValue>>, ApiError> {
        if keys.iter().all(|keys| keys.get() == "[]") {
            return Ok(keys);
        }
        let Answer::Statement { source, text, fingerprint, rows: None } = &plan.answer else {
            return Err(ApiError::internal("rows that belong to an answer have no statement"));
        };
        let role = role_in(schema, *source)?;
        let statement = Statement {
            text: text.clone(),
            fingerprint: *fingerprint,
            named: plan.generic.run().repeated,
        };
        let earned: Vec<Option<Earned>> =
            keys.into_iter().map(|rows| Some(Earned { count: 0, rows: Some(rows) })).collect();
        let params = Leaves::new(leaves, &plan.slots, request.variables.as_deref()).fill(
            session,
            &plan.slots,
            &earned,
        )?;
        let context = TxContext::new(session, &role.binding.db_role, &role.settings);
        let pg = self.database(schema, *source)?;
        let data = pg
            .query_json(&context, &statement, &params)
            .await
            .map_err(|error| self.refused(error))?;
        let text = std::str::from_utf8(&data).map_err(|e| ApiError::internal(e.to_string()))?;
        let entries =
            json_entries(text).map_err(|problem| ApiError::internal(problem.to_string()))?;
        Ok(entries.into_iter().map(|(_, rows)| rows.to_owned()).collect())
    }
}
