//! Rows that belong to the objects of a handler's answer: one statement for all
//! of them, under the caller's role.
//!
//! ```sql
//! SELECT row_to_json(_0.*) FROM (SELECT
//!   (SELECT coalesce(json_agg(_2."value"), '[]') FROM (
//!      SELECT (SELECT json_agg(…) FROM "public"."article" AS _3
//!              WHERE _3."author_id" = (_1."value" ->> 0)::int4) AS "value"
//!      FROM json_array_elements($1) AS _1) AS _2) AS "0"
//! ) AS _0
//! ```
//!
//! Each relationship that is selected gets the keys of all objects, in order,
//! and gives what belongs to each in the same order.

use std::sync::Arc;

use crate::graphql::OperationKind;
use crate::operation::input::{Earlier, Operand};
use crate::operation::model::{ActionCall, LeafCheck, ListArgs, Related, RelatedRows};
use crate::schema::RoleSchema;
use crate::sql::{Apply, ApplyArg, BinaryOp, Expr, From, Ident, QualifiedName, Select, SelectItem};

use super::planner::{Planner, own_type};
use super::rows::object;
use super::{Answer, Plan, PlanError};

/// A call of a handler, and the statement that follows it.
#[derive(Debug)]
pub struct ActionPlan {
    pub call: ActionCall,
    /// Takes the keys of [`ActionCall::related`] as earlier rows.
    pub related: Option<Arc<Plan>>,
}

impl ActionPlan {
    /// Bytes that it holds, roughly.
    pub(super) fn weight(&self) -> usize {
        let related = self.related.as_ref().map_or(0, |plan| plan.weight());
        256 + self.call.payload.weight() + related
    }
}

pub(super) fn plan(
    schema: &RoleSchema,
    call: ActionCall,
    checks: Vec<LeafCheck>,
    max_rows: Option<u64>,
) -> Result<ActionPlan, PlanError> {
    let Some(first) = call.related.first() else {
        return Ok(ActionPlan { call, related: None });
    };
    let source_of = |related: &Related| {
        let table = schema.tracked().table(related.table);
        table.map(|table| table.source).ok_or(PlanError::Missing("a table"))
    };
    let source = source_of(first)?;
    for related in &call.related {
        if source_of(related)? != source {
            return Err(PlanError::RelatedSources);
        }
    }
    let mut planner = Planner::new(schema, max_rows);
    let outer = planner.aliases.fresh();
    let mut fields: Vec<(Arc<str>, Expr)> = Vec::with_capacity(call.related.len());
    for (index, related) in call.related.iter().enumerate() {
        fields.push((index.to_string().into(), planner.related(index, related)?));
    }
    planner.check_parameters()?;
    let keys = fields.iter().map(|(key, _)| key.clone()).collect();
    let text = object(outer, fields, Select::default())?.to_string();
    let plan = Plan {
        kind: OperationKind::Query,
        operation_name: None,
        answer: Answer::statement(source, text, None),
        described: Vec::new(),
        depends: None,
        filters: Vec::new(),
        stream: None,
        cached: None,
        keys,
        required: planner.required(),
        slots: planner.slots,
        checks,
        generic: Arc::default(),
    };
    Ok(ActionPlan { call, related: Some(Arc::new(plan)) })
}

impl Planner<'_> {
    /// What belongs to each of some objects, as a JSON array.
    fn related(&mut self, index: usize, related: &Related) -> Result<Expr, PlanError> {
        let objects = self.aliases.fresh();
        let answers = self.aliases.fresh();
        let value = Ident::new("value")?;
        let keys = Operand::Earlier(Earlier::Rows(Arc::from([index])));
        let keys = self.param(&keys, own_type("json", false)?);
        let row = self.fresh(related.table);
        let from = self.from(row)?;
        let mut join = Vec::with_capacity(related.join.len());
        for (position, (_, column)) in related.join.iter().enumerate() {
            let position = Expr::Int(i64::try_from(position).unwrap_or(i64::MAX));
            let key = Expr::Column(objects, value.clone());
            let key = Expr::Binary(Box::new(key), BinaryOp::catalog("->>"), Box::new(position));
            let scalar = self.scalar(related.table, *column)?;
            let key = Expr::Cast(Box::new(key), scalar.sql.clone());
            let op = BinaryOp { schema: scalar.operators.schema.clone(), symbol: "=" };
            let own = self.column(row, *column)?;
            join.push(Expr::Binary(Box::new(own), op, Box::new(key)));
        }
        let rows = match &related.rows {
            RelatedRows::One(selection) => {
                // Nothing says that there is but one.
                let args =
                    ListArgs { limit: Some(Operand::Const("1".into())), ..ListArgs::default() };
                let rows = self.list_of(row, from, join, &args, selection)?;
                Expr::Binary(Box::new(rows), BinaryOp::catalog("->"), Box::new(Expr::Int(0)))
            }
            RelatedRows::Many { args, selection } => {
                self.list_of(row, from, join, args, selection)?
            }
            RelatedRows::Aggregate { args, selection } => {
                self.aggregate_of(row, from, join, args, selection)?
            }
        };
        let call = Apply {
            function: QualifiedName::new(&"pg_catalog".into(), &"json_array_elements".into())?,
            args: vec![ApplyArg { name: None, value: keys, variadic: false }],
        };
        let each = Select {
            items: vec![SelectItem { expr: rows, name: Some(value.clone()) }],
            from: Some(From::Function { call, alias: objects }),
            ..Select::default()
        };
        let all = Expr::Call("json_agg", vec![Expr::Column(answers, value)]);
        let all = Expr::Coalesce(vec![all, Expr::Text("[]".to_owned())]);
        Ok(Expr::Scalar(Box::new(Select {
            items: vec![SelectItem { expr: all, name: None }],
            from: Some(From::Select { select: Box::new(each), alias: answers }),
            ..Select::default()
        })))
    }
}
