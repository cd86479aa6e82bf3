//! What an operation compiles to, and how Postgres would run it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::{ApiError, Code};
use crate::catalog::leakproof::{Condition, KeptFromIndex, kept_from_index};
use crate::graphql::OperationKind;
use crate::operation::Operation;
use crate::operation::input::Operand;
use crate::operation::model::{Root, RootSelection};
use crate::pg::{Mode, SessionTx, Statement, TextParam, TxContext};
use crate::plan::{Answer, Plan, Slot};
use crate::schema::RoleSchema;
use crate::schema::tracked::SourceId;
use crate::session::{Session, SessionVars};
use crate::sql::Ident;

use super::answer::role_in;
use super::parameters::Leaves;
use super::prepare::Bound;
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
    /// Of a query with `@cached`: why its answer is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_cached: Option<String>,
    /// What follows in the same transaction, of mutations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<ExplainedStatement>,
    /// Conditions that row-level security keeps from an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_from_index: Vec<KeptFromIndex>,
}

/// What Hasura tells of a root field of a query.
#[derive(Debug, Serialize)]
pub struct ExplainedRoot {
    pub field: Arc<str>,
    /// `None` when the answer needs no statement.
    pub sql: Option<String>,
    /// The lines of `EXPLAIN`.
    pub plan: Option<Vec<String>>,
    /// Conditions that row-level security keeps from an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_from_index: Vec<KeptFromIndex>,
}

/// What Hasura tells of a subscription.
#[derive(Debug, Serialize)]
pub struct ExplainedSubscription {
    pub sql: String,
    pub plan: Vec<String>,
    pub variables: ExplainedVariables,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept_from_index: Vec<KeptFromIndex>,
}

#[derive(Debug, Serialize)]
pub struct ExplainedVariables {
    pub session: SessionVars,
    pub query: Option<Box<RawValue>>,
    /// Parameters of the statement.
    pub synthetic: Vec<Option<String>>,
}

/// `POST /v1/graphql/explain`
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ExplainedOperation {
    Query(Vec<ExplainedRoot>),
    Subscription(Box<ExplainedSubscription>),
}

#[derive(Debug, Serialize)]
pub struct ExplainedStatement {
    pub sql: String,
    /// What an earlier statement gives is null here.
    pub parameters: Vec<Option<String>>,
    pub plan: Box<RawValue>,
}

struct Lines {
    sql: String,
    plan: Vec<String>,
    parameters: Vec<Option<String>>,
    kept_from_index: Vec<KeptFromIndex>,
}

/// What runs in one source.
struct Part<'p> {
    source: SourceId,
    plan: &'p Plan,
    statements: Vec<(&'p str, &'p [Slot])>,
}

impl<'p> Part<'p> {
    /// `None` when the answer needs no database.
    fn of(plan: &'p Plan) -> Option<Self> {
        let (source, statements) = match &plan.answer {
            Answer::Constant(_) | Answer::Several(_) | Answer::Parts(_) => return None,
            Answer::Statement { source, text, .. } => (*source, vec![(&**text, &*plan.slots)]),
            Answer::Script(script) => {
                let steps = script.steps.iter();
                (script.source, steps.map(|step| (&*step.text, &*step.slots)).collect())
            }
        };
        Some(Part { source, plan, statements })
    }
}

/// The root fields with their keys; those in a namespace have its in front.
fn each_root(roots: &[Root]) -> Vec<(Arc<str>, &Root)> {
    let mut out = Vec::with_capacity(roots.len());
    for root in roots {
        match &root.field {
            RootSelection::Namespace(inside) => out.extend(
                inside.iter().map(|inner| (format!("{}.{}", root.key, inner.key).into(), inner)),
            ),
            _ => out.push((root.key.clone(), root)),
        }
    }
    out
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
        let cached = prepared.plan.cached.as_ref();
        let mut out = Explanation {
            role: session.role.to_string(),
            db_role: String::new(),
            settings: Vec::new(),
            sql: None,
            parameters: Vec::new(),
            plan: None,
            not_cached: cached.and_then(|cached| cached.unsteady.as_deref().map(str::to_owned)),
            then: Vec::new(),
            kept_from_index: Vec::new(),
        };
        let plan = &prepared.plan;
        let parts: Vec<Part<'_>> = match &plan.answer {
            Answer::Parts(_) => {
                let message = "an operation that calls actions cannot be explained";
                return Err(ApiError::new(Code::NotSupported, message));
            }
            Answer::Several(plans) => plans.iter().filter_map(Part::of).collect(),
            _ => Part::of(plan).into_iter().collect(),
        };
        let first = parts.first().map_or(SourceId(0), |part| part.source);
        let role = role_in(&schema, first)?;
        out.db_role = role.binding.db_role.to_string();
        out.settings = role.settings.names().map(str::to_owned).collect();
        let mut explained = Vec::new();
        for Part { source, plan, statements } in parts {
            let role = role_in(&schema, source)?;
            self.admit(session, role, plan, &prepared.leaves)?;
            let slots = statements.iter().flat_map(|(_, slots)| *slots);
            let mut leaves =
                Leaves::new(prepared.leaves.clone(), slots, request.variables.as_deref());
            let context = TxContext::new(session, &role.binding.db_role, &role.settings);
            let pg = self.database(&schema, source)?;
            let tx = pg.begin_as(&context, Mode::ReadOnly).await;
            let mut tx = tx.map_err(|error| self.refused(error))?;
            for (text, slots) in statements {
                let mut params = Vec::with_capacity(slots.len());
                for slot in slots {
                    match slot.operand {
                        Operand::Earlier(_) => params.push(TextParam::NULL),
                        _ => {
                            params.extend(leaves.fill(session, std::slice::from_ref(slot), &[])?)
                        }
                    }
                }
                explained.push(self.explained(&mut tx, text, &params).await?);
            }
            out.kept_from_index.extend(self.kept_from_index(&mut tx, &schema, plan).await?);
            tx.rollback().await?;
        }
        let mut explained = explained.into_iter();
        if let Some(first) = explained.next() {
            out.sql = Some(first.sql);
            out.parameters = first.parameters;
            out.plan = Some(first.plan);
        }
        out.then = explained.collect();
        Ok(out)
    }

    /// The same as Hasura tells it: each root of a query by itself.
    pub async fn explain_operation(
        &self,
        session: &Session,
        request: &GraphqlRequest,
    ) -> Result<ExplainedOperation, ApiError> {
        let schema = self.schemas.load().of(session)?;
        let document = self.parsed(request)?;
        let Bound { operation, leaves, .. } = self.bound(&schema, request, &document)?;
        let variables = request.variables.as_deref();
        match operation.kind {
            OperationKind::Mutation => {
                Err(ApiError::new(Code::InvalidParams, "only queries can be explained"))
            }
            OperationKind::Query => {
                let mut roots = Vec::with_capacity(operation.roots.len());
                for (field, root) in each_root(&operation.roots) {
                    let alone = Operation { roots: vec![root.clone()], ..operation.clone() };
                    let lines = self.lines(session, &schema, alone, &leaves, variables).await?;
                    roots.push(match lines {
                        None => ExplainedRoot {
                            field,
                            sql: None,
                            plan: None,
                            kept_from_index: Vec::new(),
                        },
                        Some(lines) => ExplainedRoot {
                            field,
                            sql: Some(lines.sql),
                            plan: Some(lines.plan),
                            kept_from_index: lines.kept_from_index,
                        },
                    });
                }
                Ok(ExplainedOperation::Query(roots))
            }
            OperationKind::Subscription => {
                let lines = self.lines(session, &schema, operation, &leaves, variables).await?;
                let lines = lines.ok_or_else(|| {
                    ApiError::new(Code::InvalidParams, "the subscription reads nothing")
                })?;
                Ok(ExplainedOperation::Subscription(Box::new(ExplainedSubscription {
                    sql: lines.sql,
                    plan: lines.plan,
                    variables: ExplainedVariables {
                        session: session.vars.clone(),
                        query: request.variables.clone(),
                        synthetic: lines.parameters,
                    },
                    kept_from_index: lines.kept_from_index,
                })))
            }
        }
    }

    /// `None` for an operation that needs no statement.
    async fn lines(
        &self,
        session: &Session,
        schema: &RoleSchema,
        operation: Operation,
        leaves: &[String],
        variables: Option<&RawValue>,
    ) -> Result<Option<Lines>, ApiError> {
        let plan = self.planned(schema, operation)?;
        let Answer::Statement { source, text, .. } = &plan.answer else { return Ok(None) };
        let role = role_in(schema, *source)?;
        self.admit(session, role, &plan, leaves)?;
        let params =
            Leaves::new(leaves.to_vec(), &plan.slots, variables).fill(session, &plan.slots, &[])?;
        let context = TxContext::new(session, &role.binding.db_role, &role.settings);
        let pg = self.database(schema, *source)?;
        let begun = pg.begin_as(&context, Mode::ReadOnly).await;
        let mut tx = begun.map_err(|error| self.refused(error))?;
        let explain = ["EXPLAIN (FORMAT TEXT) ", text].concat();
        let lines = tx.query_lines(&explain, &params).await.map_err(|error| self.refused(error))?;
        let kept_from_index = self.kept_from_index(&mut tx, schema, &plan).await?;
        tx.rollback().await?;
        Ok(Some(Lines {
            sql: text.to_string(),
            plan: lines,
            parameters: params.iter().map(|param| param.as_str().map(str::to_owned)).collect(),
            kept_from_index,
        }))
    }

    async fn kept_from_index(
        &self,
        tx: &mut SessionTx,
        schema: &RoleSchema,
        plan: &Plan,
    ) -> Result<Vec<KeptFromIndex>, ApiError> {
        let mut conditions = Vec::with_capacity(plan.filters.len());
        for filter in &plan.filters {
            let table = schema.table(filter.table);
            let (Some(table), Some(scalar)) = (table, schema.scalar(filter.table, filter.column))
            else {
                continue;
            };
            let Some(column) = table.column(filter.column) else { continue };
            conditions.push(Condition {
                rel: table.oid,
                col: column.number,
                op: filter.symbol,
                ns: scalar.operators.schema.as_ref().map_or("pg_catalog", Ident::as_str),
            });
        }
        kept_from_index(tx, &conditions).await.map_err(|error| self.refused(error))
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
