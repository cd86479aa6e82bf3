//! What an operation compiles to, and how Postgres would run it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::ApiError;
use crate::operation::input::Operand;
use crate::pg::{Mode, SessionTx, Statement, TextParam, TxContext};
use crate::plan::{Answer, Slot};
use crate::schema::tracked::SourceId;
use crate::session::Session;

use super::answer::role_in;
use super::parameters::Leaves;
use super::{Engine, GraphqlRequest};

/// The statements of an operation and Postgres' plans for them.
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
    /// What follows in the same transaction, of mutations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<ExplainedStatement>,
}

#[derive(Debug, Serialize)]
pub struct ExplainedStatement {
    pub sql: String,
    /// What an earlier statement gives is null here.
    pub parameters: Vec<Option<String>>,
    pub plan: Box<RawValue>,
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
            then: Vec::new(),
        };
        let plan = &prepared.plan;
        let (source, statements): (SourceId, Vec<(&str, &[Slot])>) = match &plan.answer {
            Answer::Constant(_) => (SourceId(0), Vec::new()),
            Answer::Statement { source, text, .. } => (*source, vec![(text, &plan.slots)]),
            Answer::Script(script) => {
                let steps = script.steps.iter();
                (script.source, steps.map(|step| (&*step.text, &*step.slots)).collect())
            }
        };
        let role = role_in(&schema, source)?;
        out.db_role = role.binding.db_role.to_string();
        out.settings = role.settings.names().map(str::to_owned).collect();
        if statements.is_empty() {
            return Ok(out);
        }
        self.admit(session, role, plan, &prepared.leaves)?;
        let slots = statements.iter().flat_map(|(_, slots)| *slots);
        let mut leaves = Leaves::new(prepared.leaves, slots, request.variables.as_deref());
        let context = TxContext::new(session, &role.binding.db_role, &role.settings);
        let mut tx = self
            .pg
            .begin_as(&context, Mode::ReadOnly)
            .await
            .map_err(|error| self.refused(error))?;
        let mut explained = Vec::with_capacity(statements.len());
        for (text, slots) in statements {
            let mut params = Vec::with_capacity(slots.len());
            for slot in slots {
                match slot.operand {
                    Operand::Earlier(_) => params.push(TextParam::NULL),
                    _ => params.extend(leaves.fill(session, std::slice::from_ref(slot), &[])?),
                }
            }
            explained.push(self.explained(&mut tx, text, &params).await?);
        }
        tx.rollback().await?;
        let mut explained = explained.into_iter();
        if let Some(first) = explained.next() {
            out.sql = Some(first.sql);
            out.parameters = first.parameters;
            out.plan = Some(first.plan);
        }
        out.then = explained.collect();
        Ok(out)
    }

    async fn explained(
        &self,
        tx: &mut SessionTx,
        text: &str,
        params: &[TextParam],
    ) -> Result<ExplainedStatement, ApiError> {
        let explain = Statement::new(["EXPLAIN (FORMAT JSON) ", text].concat(), false);
        let answer = tx.query_json(&explain, params).await.map_err(|error| self.refused(error))?;
        let answer =
            String::from_utf8(answer.to_vec()).map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(ExplainedStatement {
            sql: text.to_owned(),
            parameters: params.iter().map(|param| param.as_str().map(str::to_owned)).collect(),
            plan: RawValue::from_string(answer).map_err(|e| ApiError::internal(e.to_string()))?,
        })
    }
}
