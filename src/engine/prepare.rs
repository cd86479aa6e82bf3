//! Request → plan and leaves, through the cache.

use std::sync::Arc;

use crate::base::{ApiError, Code, JsonPath};
use crate::graphql::parse::{ParseError, ParseLimits};
use crate::graphql::{self, Document, OperationKind};
use crate::operation::Operation;
use crate::operation::bind;
use crate::operation::bind::choose;
use crate::operation::variables::{Declarations, coerce, declare};
use crate::plan::{Plan, PlanError};
use crate::schema::RoleSchema;
use crate::schema::tracked::stored::Allowed;
use crate::session::Session;

use super::{Engine, GraphqlRequest, only_queries};

/// Tokens per field that the node limit allows; a field with arguments takes
/// a dozen or two.
const TOKENS_PER_NODE: usize = 32;

/// A plan with the parameters of one request.
#[derive(Debug)]
pub(super) struct Prepared {
    pub plan: Arc<Plan>,
    pub leaves: Vec<String>,
}

/// An operation and what it was given.
pub(super) struct Bound {
    pub operation: Operation,
    declarations: Declarations,
    shape: Vec<u8>,
    pub leaves: Vec<String>,
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        let message = error.to_string();
        match error {
            ParseError::Syntax { detail } => ApiError::new(Code::ValidationFailed, message)
                .at(JsonPath::root().key("query"))
                .with_detail(detail),
            ParseError::TooDeep { .. } => ApiError::new(Code::DepthLimitExceeded, message),
            ParseError::TooLong { .. } => ApiError::new(Code::NodeLimitExceeded, message),
            ParseError::Duplicate(_) => ApiError::new(Code::ValidationFailed, message),
        }
    }
}

impl Engine {
    pub(super) fn prepare(
        &self,
        session: &Session,
        schema: &RoleSchema,
        request: &GraphqlRequest,
    ) -> Result<Prepared, ApiError> {
        let name = request.operation_name.as_deref();
        if let Some(document) = self.plans.document(schema.id, &request.query, name) {
            check_allowed(Some(&document.allowed), session)?;
            let variables = request.variables.as_deref();
            // An invalid value is reported by the full path below, which knows
            // where in the document it is used.
            let rows = self.limits.insert_rows;
            if let Ok(coerced) =
                coerce::<false>(&schema.types, &document.declarations, variables, rows)
                && let Some(plan) = self.plans.plan(&document, &coerced.shape)
            {
                check_kind(plan.kind, request)?;
                return Ok(Prepared { plan, leaves: coerced.leaves });
            }
        } else {
            self.plans.count_miss();
        }
        self.plan(session, schema, request)
    }

    fn plan(
        &self,
        session: &Session,
        schema: &RoleSchema,
        request: &GraphqlRequest,
    ) -> Result<Prepared, ApiError> {
        let document = self.parsed(request)?;
        let allowed = check_allowed(schema.allowed(&document).as_ref(), session)?.clone();
        let Bound { operation, declarations, shape, leaves } =
            self.bound(schema, request, &document)?;
        let plan = self.planned(schema, operation)?;
        let name = request.operation_name.as_deref();
        let cached = match self.plans.document(schema.id, &request.query, name) {
            Some(cached) => cached,
            None => {
                self.plans.remember_document(schema.id, &request.query, name, declarations, allowed)
            }
        };
        self.plans.remember_plan(&cached, shape, plan.clone());
        Ok(Prepared { plan, leaves })
    }

    pub(super) fn parsed(&self, request: &GraphqlRequest) -> Result<Document, ParseError> {
        let limits = ParseLimits {
            // Lists and objects of arguments nest beside selections.
            depth: self.limits.depth.saturating_mul(2),
            tokens: self.limits.nodes.saturating_mul(TOKENS_PER_NODE),
        };
        graphql::parse(&request.query, limits)
    }

    /// Binds the operation that a request names in its document.
    pub(super) fn bound(
        &self,
        schema: &RoleSchema,
        request: &GraphqlRequest,
        document: &Document,
    ) -> Result<Bound, ApiError> {
        let operation = choose(document, request.operation_name.as_deref())?;
        check_kind(operation.kind, request)?;
        let declarations = declare(&schema.types, operation)?;
        let coerced = coerce::<true>(
            &schema.types,
            &declarations,
            request.variables.as_deref(),
            self.limits.insert_rows,
        )?;
        let operation = bind(
            schema,
            document,
            operation,
            &declarations.list,
            &coerced.values,
            self.limits.operation(),
        )?;
        // A value that is invalid but used nowhere is still the caller's mistake.
        for value in &coerced.values {
            if let crate::operation::variables::VariableValue::Invalid(error) = value {
                return Err(error.clone().into());
            }
        }
        Ok(Bound { operation, declarations, shape: coerced.shape, leaves: coerced.leaves })
    }
}

impl Engine {
    /// What runs for an operation.
    pub(super) fn planned(
        &self,
        schema: &RoleSchema,
        bound: Operation,
    ) -> Result<Arc<Plan>, PlanError> {
        Ok(Arc::new(crate::plan::plan(schema, bound, self.limits.rows)?))
    }
}

fn check_allowed<'a>(
    allowed: Option<&'a Allowed>,
    session: &Session,
) -> Result<&'a Allowed, ApiError> {
    allowed
        .filter(|allowed| allowed.covers(&session.role))
        .ok_or_else(|| ApiError::new(Code::ValidationFailed, "query is not allowed"))
}

fn check_kind(kind: OperationKind, request: &GraphqlRequest) -> Result<(), ApiError> {
    if request.queries_only && kind != OperationKind::Query {
        return Err(only_queries());
    }
    Ok(())
}
