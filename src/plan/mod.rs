//! Floor 4: [`Operation`](crate::operation::Operation) → one SQL statement
//! that returns the whole `data` object as one JSON value, or the rows that it
//! is made of.
//!
//! ```text
//! read        the roots of a query              write       those of a mutation
//! rows        lists and rows, their fields      aggregate   aggregates
//! typed       lists as typed columns
//! predicate   conditions                        order       orders
//! call        functions                         planner     aliases, parameters
//! script      several statements in a row       cache       plans that ran before
//! like        patterns that an index can find       depends     what a subscription's answer depends on
//! stream      rows after a cursor
//! action      rows that belong to answers of actions
//! generic     whether Postgres plans a statement once or each time
//! ```

pub mod action;
mod aggregate;
pub mod cache;
mod call;
mod depends;
pub(crate) mod generic;
pub(crate) mod like;
mod order;
mod planner;
mod predicate;
pub mod read;
mod rows;
pub mod script;
mod source;
mod stream;
mod typed;
pub mod write;

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::base::{ApiError, Code};
use crate::catalog::Dependence;
use crate::catalog::model::{ColumnId, Oid};
use crate::graphql::OperationKind;
use crate::operation::Operation;
use crate::operation::input::Operand;
use crate::operation::model::{Cached, LeafCheck, Root, RootSelection};
use crate::pg::RowShape;
use crate::schema::RoleSchema;
use crate::schema::introspection::{Asked, Selected, Selection};
use crate::schema::predicate::JsonPart;
use crate::schema::tracked::{SourceId, TrackedId};
use crate::sql::InvalidIdent;

use action::ActionPlan;
pub use generic::GenericPlan;
use script::Script;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("a name cannot be printed: {0}")]
    Name(#[from] InvalidIdent),
    #[error("the plan refers to something that the catalogue lacks: {0}")]
    Missing(&'static str),
    #[error("the operation has more than 65535 different values; send long lists as one variable")]
    TooManyParameters,
    #[error("one selection set has more than 1600 fields")]
    TooManyFields,
    #[error("subscriptions with a cursor read tables of the first database only")]
    StreamElsewhere,
    #[error("the rows that belong to one answer must be in one source; ask for them one by one")]
    RelatedSources,
    #[error(
        "the fields of a mutation are in more than one source, and no transaction spans both; send one mutation for each"
    )]
    SeveralSources,
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::RelatedSources => ApiError::new(Code::NotSupported, error.to_string()),
            PlanError::TooManyParameters | PlanError::TooManyFields => {
                ApiError::new(Code::NodeLimitExceeded, error.to_string())
            }
            PlanError::SeveralSources => ApiError::new(Code::NotSupported, error.to_string()),
            PlanError::StreamElsewhere => ApiError::new(Code::NotSupported, error.to_string()),
            other => ApiError::internal(other.to_string()),
        }
    }
}

/// One parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    pub operand: Operand,
    pub form: Form,
}

impl Slot {
    /// Bytes that it holds, roughly.
    fn weight(&self) -> usize {
        match &self.operand {
            Operand::Const(text) | Operand::Session(text) => 48 + text.len(),
            Operand::Leaf(_)
            | Operand::SessionVariables
            | Operand::Earlier(_)
            | Operand::Cursor
            | Operand::SentKeys(_) => 64,
            Operand::Json(parts) | Operand::GeoJson(parts) => parts.iter().map(part_weight).sum(),
        }
    }
}

/// What becomes of a value on its way to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    Plain,
    /// Lowered to this where it is greater (`limits.rows`, a permission's limit).
    AtMost(u64),
    /// `$.a[0]` as an array of keys; what the document spells out is one already.
    JsonPath,
    /// The plain text that a pattern begins with; null without one.
    LikePrefix,
    /// The pattern; null where its prefix says it all.
    LikeRest,
}

/// A comparison of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    pub table: TrackedId,
    pub column: ColumnId,
    pub symbol: &'static str,
}

/// What runs for an operation of one shape.
#[derive(Debug)]
pub struct Plan {
    pub kind: OperationKind,
    pub operation_name: Option<Arc<str>>,
    pub answer: Answer,
    /// Roots that ask about the schema.
    pub described: Vec<(Arc<str>, Asked)>,
    /// Response keys in order, for answers put together from several sources.
    pub keys: Vec<Arc<str>>,
    pub slots: Vec<Slot>,
    pub checks: Vec<LeafCheck>,
    /// Operators on columns; `explain` tells which of them no index serves.
    pub filters: Vec<Filter>,
    pub cached: Option<CachedPlan>,
    /// (table, setting) pairs without which a policy would raise.
    pub required: Vec<(Arc<str>, String)>,
    /// Of subscriptions: what the answer depends on. Their statement gives the
    /// snapshot that it saw as its second column.
    pub depends: Option<Box<Depends>>,
    /// Of streaming subscriptions. Their statement gives the place after the
    /// batch as its third column, null for an empty one.
    pub stream: Option<Box<Streaming>>,
    /// Whether one plan of Postgres serves all values.
    pub generic: Arc<GenericPlan>,
}

/// What the answer of a subscription depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Depends {
    pub on: Dependence,
    /// By table: what its rows are asked to equal wherever the statement reads
    /// it, most telling first.
    pub keys: BTreeMap<Oid, Vec<Key>>,
    /// Where the answer has all rows of a table that it depends on, with their
    /// keys: to take away another row does not change it.
    pub shown: Vec<ShownRows>,
}

/// Where an answer has the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRows {
    pub table: Oid,
    /// Response keys from the data to the row or rows.
    pub path: Vec<Arc<str>>,
    /// The columns of the primary key.
    pub key: Vec<ShownKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    pub column: Arc<str>,
    pub type_oid: Oid,
    /// The response key in the row.
    pub field: Arc<str>,
}

/// What a stream has beside its statement.
#[derive(Debug)]
pub struct Streaming {
    /// Where it begins; nothing comes after null.
    pub from: Option<Operand>,
    /// `None` where rows that were sent cannot be asked for by their keys.
    pub remaining: Option<Remaining>,
}

/// Which rows that a stream has sent are still there.
#[derive(Debug)]
pub struct Remaining {
    /// Response keys from the data to the list of rows.
    pub path: Vec<Arc<str>>,
    /// Response keys of the primary key in a row.
    pub fields: Arc<[Arc<str>]>,
    /// Gives the keys of those that are, as a JSON array of objects.
    pub text: Arc<str>,
    pub fingerprint: u64,
    pub slots: Vec<Slot>,
    pub generic: Arc<GenericPlan>,
}

/// A column of which only rows with certain values matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub column: Arc<str>,
    pub type_oid: Oid,
    pub values: KeyValues,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValues {
    /// What the caller asks for.
    Asked(Vec<Operand>),
    /// The value of a setting, as policies want it.
    Setting(String),
}

/// How an answer may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedPlan {
    pub asked: Cached,
    /// Why it must not: something decides on it that its key does not show.
    pub unsteady: Option<Arc<str>>,
}

/// Where the data of a plan comes from.
#[derive(Debug)]
pub enum Answer {
    /// Known without the database.
    Constant(bytes::Bytes),
    Statement {
        source: SourceId,
        text: Arc<str>,
        fingerprint: u64,
        /// Of rows of typed columns: what the JSON around them is. The
        /// statement gives one JSON value where there is none.
        rows: Option<Box<RowShape>>,
    },
    /// Of mutations.
    Script(Script),
    /// Of queries whose roots are in several sources: a plan for each.
    Several(Vec<Plan>),
    /// Of operations with actions in them: one after the other, by position
    /// among the roots.
    Parts(Vec<Part>),
}

impl Answer {
    fn statement(source: SourceId, text: String, rows: Option<RowShape>) -> Self {
        let fingerprint = fingerprint(&text);
        Answer::Statement { source, text: text.into(), fingerprint, rows: rows.map(Box::new) }
    }
}

/// Stands for a statement in the names of those that are prepared.
fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A part of an operation that runs by itself.
#[derive(Debug, Clone)]
pub enum Part {
    /// Roots that the database answers.
    Database(Arc<Plan>),
    Action {
        key: Arc<str>,
        plan: Arc<ActionPlan>,
    },
}

/// Plans an operation. `max_rows` caps every list.
///
/// Roots that the database answers are one part of a query. Those of a mutation
/// are one part where they follow each other, so that all roots run in the
/// order of the document.
pub fn plan(
    schema: &RoleSchema,
    operation: Operation,
    max_rows: Option<u64>,
) -> Result<Plan, PlanError> {
    let of_database = |operation: Operation| match operation.kind {
        OperationKind::Mutation => write::plan(schema, operation, max_rows),
        _ => read::plan(schema, operation, max_rows),
    };
    let is_action = |root: &Root| matches!(root.field, RootSelection::Action(_));
    if !operation.roots.iter().any(is_action) {
        return of_database(operation);
    }
    // What a handler answers is not kept, nor what stands beside it.
    let Operation { kind, name, roots, checks, cached: _ } = operation;
    let keys = roots.iter().map(|root| root.key.clone()).collect();
    let mut groups: Vec<Vec<Root>> = Vec::new();
    for root in roots {
        let group = match groups.last_mut() {
            _ if is_action(&root) => None,
            _ if kind != OperationKind::Mutation => groups.iter_mut().find(of_tables),
            last => last.filter(of_tables),
        };
        match group {
            Some(group) => group.push(root),
            None => groups.push(vec![root]),
        }
    }
    let mut parts = Vec::with_capacity(groups.len());
    for mut group in groups {
        match group.pop() {
            Some(Root { key, field: RootSelection::Action(call) }) => {
                let plan = action::plan(schema, *call, checks.clone(), max_rows)?;
                parts.push(Part::Action { key, plan: Arc::new(plan) });
            }
            Some(last) => {
                group.push(last);
                let part = Operation {
                    kind,
                    name: name.clone(),
                    roots: group,
                    checks: checks.clone(),
                    cached: None,
                };
                parts.push(Part::Database(Arc::new(of_database(part)?)));
            }
            None => {}
        }
    }
    Ok(Plan {
        kind,
        operation_name: name,
        answer: Answer::Parts(parts),
        described: Vec::new(),
        depends: None,
        filters: Vec::new(),
        stream: None,
        cached: None,
        keys,
        slots: Vec::new(),
        checks: Vec::new(),
        required: Vec::new(),
        generic: Arc::default(),
    })
}

/// Whether a group of roots is not a call of an action.
fn of_tables(group: &&mut Vec<Root>) -> bool {
    !group.iter().any(|root| matches!(root.field, RootSelection::Action(_)))
}

impl Plan {
    /// Bytes that the plan holds, roughly.
    pub fn weight(&self) -> usize {
        let text = match &self.answer {
            Answer::Constant(bytes) => bytes.len(),
            Answer::Statement { text, rows, .. } => {
                text.len() + rows.as_ref().map_or(0, |rows| rows.weight())
            }
            Answer::Script(script) => script.weight(),
            Answer::Several(plans) => plans.iter().map(Plan::weight).sum(),
            Answer::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Database(plan) => plan.weight(),
                    Part::Action { plan, .. } => plan.weight(),
                })
                .sum(),
        };
        let slots: usize = self.slots.iter().map(Slot::weight).sum();
        let described: usize = self
            .described
            .iter()
            .map(|(_, asked)| match asked {
                Asked::Schema(selection) | Asked::Type { selection, .. } => count(selection) * 64,
            })
            .sum();
        let filters = self.filters.len() * size_of::<Filter>();
        let remaining = self.stream.as_ref().and_then(|stream| stream.remaining.as_ref());
        let stream = remaining.map_or(0, Remaining::weight);
        512 + text
            + stream
            + slots
            + described
            + filters
            + self.keys.len() * 32
            + self.required.len() * 64
    }
}

impl Remaining {
    fn weight(&self) -> usize {
        let slots: usize = self.slots.iter().map(Slot::weight).sum();
        256 + self.text.len() + slots + (self.path.len() + self.fields.len()) * 32
    }
}

fn part_weight(part: &JsonPart) -> usize {
    match part {
        JsonPart::Text(text) => 32 + text.len(),
        JsonPart::Variable { name, default } => 48 + name.len() + default.len(),
    }
}

/// The fields of a selection, those inside them included.
fn count(selection: &[Selected]) -> usize {
    selection
        .iter()
        .map(|selected| match &selected.field {
            Selection::Typename(_) | Selection::Leaf(_) => 1,
            Selection::Nested(_, inner) => 1 + count(inner),
        })
        .sum()
}
