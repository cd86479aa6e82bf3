//! Reads: each root is a scalar sub-select of the one statement.
//!
//! ```sql
//! SELECT row_to_json(_0.*) FROM (SELECT
//!   (SELECT coalesce(json_agg(row_to_json(_2.*)), '[]') FROM (
//!      SELECT _1."id" AS "id", (…) AS "comments"
//!      FROM "app"."tasks" AS _1 WHERE … ORDER BY … LIMIT …) AS _2) AS "tasks"
//! ) AS _0
//! ```
//!
//! Correlated sub-selects, `row_to_json` over a sub-select and ordering inside
//! it are what measured best. A query of one list does better without JSON in
//! Postgres at all ([`super::typed`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graphql::OperationKind;
use crate::operation::model::{Operation, Read, Root, RootSelection, Rows};
use crate::schema::RoleSchema;
use crate::schema::introspection::Asked;
use crate::schema::tracked::SourceId;
use crate::sql::{Expr, Select, SelectItem};

use super::planner::{Planner, own_type};
use super::rows::object;
use super::source::{source, sources};
use super::stream::remaining;
use super::typed::has_columns;
use super::{Answer, CachedPlan, Plan, PlanError, Streaming};

const NOTHING: &str = "There are no queries available to the current role. Either there are no sources or remote schemas configured, or the current role doesn't have the required permissions.";

/// Plans a query. `max_rows` caps every list.
pub fn plan(
    schema: &RoleSchema,
    operation: Operation,
    max_rows: Option<u64>,
) -> Result<Plan, PlanError> {
    let sources = sources(schema, operation.roots.iter().map(|root| &root.field))?;
    match sources.first().copied() {
        Some(first) if sources.len() > 1 => several(schema, operation, first, max_rows),
        only => plan_in(schema, operation, only.unwrap_or(SourceId(0)), max_rows),
    }
}

/// A plan for each source; `first` takes what needs no database.
fn several(
    schema: &RoleSchema,
    operation: Operation,
    first: SourceId,
    max_rows: Option<u64>,
) -> Result<Plan, PlanError> {
    let keys = operation.roots.iter().map(|root| root.key.clone()).collect();
    let mut described = Vec::new();
    let mut groups: BTreeMap<SourceId, Vec<Root>> = BTreeMap::new();
    for root in operation.roots {
        match root.field {
            RootSelection::Described(asked) => described.push((root.key, asked)),
            _ => {
                let source = source(schema, &root.field)?.unwrap_or(first);
                groups.entry(source).or_default().push(root);
            }
        }
    }
    let mut plans = Vec::with_capacity(groups.len());
    for (source, roots) in groups {
        let part = Operation {
            kind: operation.kind,
            name: operation.name.clone(),
            roots,
            checks: operation.checks.clone(),
            cached: None,
        };
        plans.push(plan_in(schema, part, source, max_rows)?);
    }
    Ok(Plan {
        kind: operation.kind,
        operation_name: operation.name,
        answer: Answer::Several(plans),
        cached: operation
            .cached
            .map(|asked| CachedPlan { asked, unsteady: Some("several databases answer".into()) }),
        described,
        keys,
        slots: Vec::new(),
        checks: Vec::new(),
        filters: Vec::new(),
        required: Vec::new(),
        depends: None,
        stream: None,
        generic: Arc::default(),
    })
}

fn plan_in(
    schema: &RoleSchema,
    operation: Operation,
    source: SourceId,
    max_rows: Option<u64>,
) -> Result<Plan, PlanError> {
    // The log that tells of changes is that of the first database.
    let follows = operation.kind == OperationKind::Subscription && source == SourceId(0);
    let mut planner = Planner::new(schema, max_rows);
    let mut described = Vec::new();
    let answer = match one_list(&operation) {
        Some((around, rows)) if schema.typed_rows() && planner.gains_by_columns(rows)? => {
            let (select, shape) = planner.typed_list(&around, rows)?;
            Answer::statement(source, select.to_string(), Some(shape))
        }
        _ => planner.object_of_roots(&operation, source, follows, &mut described)?,
    };
    planner.check_parameters()?;
    if planner.stream.is_some() && !follows {
        return Err(PlanError::StreamElsewhere);
    }
    let reads = matches!(answer, Answer::Statement { .. });
    let depends = (reads && follows).then(|| Box::new(planner.depends(&operation.roots)));
    let required = planner.required();
    let stream = match planner.stream.take() {
        Some((from, _)) => {
            let remaining = remaining(schema, &operation.roots)?;
            Some(Box::new(Streaming { from, remaining }))
        }
        None => None,
    };
    let cached = operation
        .cached
        .map(|asked| CachedPlan { asked, unsteady: planner.unsteady(source).map(Arc::from) });
    Ok(Plan {
        kind: operation.kind,
        operation_name: operation.name,
        answer,
        described,
        keys: operation.roots.into_iter().map(|root| root.key).collect(),
        slots: planner.slots,
        checks: operation.checks,
        filters: planner.filters.into_iter().collect(),
        cached,
        required,
        depends,
        stream,
        generic: Arc::default(),
    })
}

/// The only root of a query, with the keys that lead to it, where it is a list
/// that can come as typed columns.
///
/// A row by its key gains nothing from it, and the values of other roots have no
/// columns of their own.
fn one_list(operation: &Operation) -> Option<(Vec<&str>, &Rows)> {
    if operation.kind != OperationKind::Query {
        return None;
    }
    let mut keys = Vec::new();
    let mut roots = operation.roots.as_slice();
    loop {
        let [Root { key, field }] = roots else { return None };
        keys.push(&**key);
        match field {
            RootSelection::Namespace(inside) => roots = inside,
            RootSelection::Read(read) => match &**read {
                Read::Many(rows) if has_columns(&rows.selection) => return Some((keys, rows)),
                _ => return None,
            },
            _ => return None,
        }
    }
}

/// Which transactions the statement sees; null on a standby, whose snapshots
/// do not name those that run.
fn snapshot() -> Result<Expr, PlanError> {
    let snapshot = Expr::Call("pg_current_snapshot", Vec::new());
    let text = Expr::Cast(Box::new(snapshot), own_type("text", false)?);
    let primary = Expr::negate(Expr::Call("pg_is_in_recovery", Vec::new()));
    Ok(Expr::When(Box::new(primary), Box::new(text)))
}

/// `{…}` of roots that need no database, without those about the schema;
/// `None` where some need it.
fn constant(roots: &[Root]) -> Option<serde_json::Value> {
    let mut map = serde_json::Map::new();
    for root in roots {
        let value = match &root.field {
            RootSelection::Described(_) => continue,
            RootSelection::Typename(name) => name.as_ref().into(),
            RootSelection::NothingAvailable => NOTHING.into(),
            RootSelection::Namespace(inside) => constant(inside)?,
            RootSelection::Read(_) | RootSelection::Write(_) | RootSelection::Action(_) => {
                return None;
            }
        };
        map.insert(root.key.to_string(), value);
    }
    Some(map.into())
}

impl Planner<'_> {
    /// All roots as one JSON object; those about the schema are put aside.
    fn object_of_roots(
        &mut self,
        operation: &Operation,
        source: SourceId,
        follows: bool,
        described: &mut Vec<(Arc<str>, Asked)>,
    ) -> Result<Answer, PlanError> {
        described.extend(operation.roots.iter().filter_map(|root| match &root.field {
            RootSelection::Described(asked) => Some((root.key.clone(), asked.clone())),
            _ => None,
        }));
        if let Some(constant) = constant(&operation.roots) {
            return Ok(Answer::Constant(constant.to_string().into()));
        }
        let mut object = self.fields_of_roots(&operation.roots)?;
        if follows {
            object.items.push(SelectItem { expr: snapshot()?, name: None });
            if let Some((_, place)) = &self.stream {
                object.items.push(SelectItem { expr: place.clone(), name: None });
            }
        }
        Ok(Answer::statement(source, object.to_string(), None))
    }

    fn fields_of_roots(&mut self, roots: &[Root]) -> Result<Select, PlanError> {
        let outer = self.aliases.fresh();
        let mut fields = Vec::with_capacity(roots.len());
        for root in roots {
            let expr = match &root.field {
                RootSelection::Described(_) => continue,
                RootSelection::Typename(name) => Expr::Text(name.to_string()),
                RootSelection::NothingAvailable => Expr::Text(NOTHING.to_owned()),
                RootSelection::Read(read) => self.read(read)?,
                RootSelection::Namespace(inside) => {
                    Expr::Scalar(Box::new(self.fields_of_roots(inside)?))
                }
                RootSelection::Write(_) | RootSelection::Action(_) => {
                    return Err(PlanError::Missing("a root of queries"));
                }
            };
            fields.push((root.key.clone(), expr));
        }
        object(outer, fields, Select::default())
    }

    /// What decides on the rows beside themselves and the session, if anything
    /// does.
    fn unsteady(&self, source: SourceId) -> Option<String> {
        let connection = self.schema.tracked().source(source).map(|source| &source.connection);
        // Redis is told of the first database only.
        if connection.is_none_or(|connection| connection.database != 0) {
            return Some("another database answers".to_owned());
        }
        if let Some(table) = self.asks_others {
            let name = self.schema.table_name(table).map_or("", |name| name);
            return Some(format!("a permission on {name} asks other tables"));
        }
        let tables = self.touched.iter().find_map(|(table, _)| self.schema.unsteady(*table));
        tables
            .or_else(|| self.called.iter().find_map(|oid| self.schema.calls_unsteady(source, *oid)))
    }

    pub(super) fn read(&mut self, read: &Read) -> Result<Expr, PlanError> {
        match read {
            Read::Many(rows) => self.list(rows),
            Read::ByPk { table, key, selection } => self.by_key(*table, key, selection),
            Read::Aggregate(aggregated) => self.aggregate(aggregated),
            Read::One(rows) => {
                let (row, from) = self.source(rows.table, &rows.source)?;
                let filter = self.asked(row, &rows.args.filter)?;
                self.one(row, from, vec![filter], &rows.selection)
            }
            Read::Stream(streamed) => self.stream(streamed),
            Read::Scalar { call } => {
                let value = self.function_value(call)?;
                Ok(value)
            }
        }
    }
}
