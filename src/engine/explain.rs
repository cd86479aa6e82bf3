//! What an operation compiles to, and how Postgres would run it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::ApiError;
use crate::pg::{Mode, Statement, TxContext};
use crate::plan::Answer;
use crate::schema::tracked::SourceId;
use crate::session::Session;

use super::answer::{parameters, role_in};
use super::{Engine, GraphqlRequest};

/// The statement of an operation and Postgres' plan for it.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub role: String,
    pub db_role: String,
    /// The settings that the transaction writes.
    pub settings: Vec<String>,
    /// `None` when the answer needs no statement.
    pub sql: Option<String>,
    pub parameters: Vec<Option<String>>,
    /// `EXPLAIN (FORMAT JSON)` under the role and its settings.
    pub plan: Option<Box<RawValue>>,
}

impl Engine {
    /// Compiles a request as `session` and lets Postgres plan it without
    /// running it.
    pub async fn explain(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<Explanation, ApiError> {
        let schema = self.schemas.load().of(session)?;
        let prepared = self.prepare(session, &schema, request)?;
        let mut out = Explanation {
            role: session.role.to_string(),
            db_role: String::new(),
            settings: Vec::new(),
            sql: None,
            parameters: Vec::new(),
            plan: None,
        };
        let source = match &prepared.plan.answer {
            Answer::Statement { source, .. } => *source,
            Answer::Constant(_) => SourceId(0),
        };
        let role = role_in(&schema, source)?;
        out.db_role = role.binding.db_role.to_string();
        out.settings = role.settings.names().map(str::to_owned).collect();
        let Answer::Statement { text, .. } = &prepared.plan.answer else { return Ok(out) };
        self.admit(session, role, &prepared.plan, &prepared.leaves)?;
        let variables = request.variables.as_deref();
        let params = parameters(session, &prepared.plan.slots, prepared.leaves, variables)?;
        let context = TxContext::new(session, &role.binding.db_role, &role.settings);
        let explain = Statement::new(["EXPLAIN (FORMAT JSON) ", text].concat(), false);
        let mut tx = self
            .pg
            .begin_as(&context, Mode::ReadOnly)
            .await
            .map_err(|error| self.refused(error))?;
        let answer = tx.query_json(&explain, &params).await.map_err(|error| self.refused(error))?;
        tx.rollback().await?;
        let answer =
            String::from_utf8(answer.to_vec()).map_err(|e| ApiError::internal(e.to_string()))?;
        out.sql = Some(text.to_string());
        out.parameters = params.iter().map(|param| param.as_str().map(str::to_owned)).collect();
        out.plan =
            Some(RawValue::from_string(answer).map_err(|e| ApiError::internal(e.to_string()))?);
        Ok(out)
    }
}
