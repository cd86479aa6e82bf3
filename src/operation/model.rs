//! A bound operation: names resolved, fragments merged, directives applied.

use crate::base::JsonPath;
use crate::catalog::model::ColumnId;
use crate::graphql::{Name, OperationKind};
use crate::schema::introspection::Asked;
use crate::schema::predicate::Predicate;
use crate::schema::tracked::{ActionId, FunctionId, TrackedId};
use crate::schema::types::{AggregateFunction, UpdateOperator};

use super::input::Operand;
use super::payload::Payload;

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub kind: OperationKind,
    pub name: Option<Name>,
    pub roots: Vec<Root>,
    /// What only the values of a request can show to be right.
    pub checks: Vec<LeafCheck>,
    /// The answer may be one that was kept.
    pub cached: Option<Cached>,
}

/// The directive `@cached`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// In seconds.
    pub ttl: Operand,
    /// Answer anew, and keep that.
    pub refresh: bool,
}

/// A condition on a leaf of the variables, with the argument that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct LeafCheck {
    pub leaf: usize,
    pub path: JsonPath,
    pub kind: LeafKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeafKind {
    /// A number of rows, at least this one.
    Rows(i32),
    Offset,
    /// A path into a JSON value: `$.a[0]`.
    JsonPath,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// The response key.
    pub key: Name,
    pub field: RootSelection,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RootSelection {
    /// The name of the root's type, or of a namespace's.
    Typename(Name),
    /// What a source has at the root; never one in another.
    Namespace(Vec<Root>),
    /// `__schema` or `__type`.
    Described(Asked),
    /// The placeholder of a role that may query nothing.
    NothingAvailable,
    Read(Box<Read>),
    Write(Box<Write>),
    Action(Box<ActionCall>),
}

/// A call of the handler of an action, and what is taken of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionCall {
    pub action: ActionId,
    pub payload: Payload,
    pub output: Output,
    /// Rows of tables that belong to objects of the answer.
    pub related: Vec<Related>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// The answer as it is.
    Whole,
    Object(Vec<OutputSelected>),
}

/// One field of an object of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSelected {
    pub key: Name,
    pub field: OutputField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OutputField {
    Typename(Name),
    /// The value under this name.
    Value(Name),
    Object {
        name: Name,
        selection: Vec<OutputSelected>,
    },
    /// Position in [`ActionCall::related`].
    Related(usize),
}

/// Rows of a table that belong to an object of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Related {
    pub table: TrackedId,
    /// Fields of the object with the columns that have the same value.
    pub join: Vec<(Name, ColumnId)>,
    pub rows: RelatedRows,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RelatedRows {
    One(Vec<Selected>),
    Many { args: ListArgs, selection: Vec<Selected> },
    Aggregate { args: ListArgs, selection: Vec<AggregateSelected> },
}

/// What a root of a mutation writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Insert {
        rows: NewRows,
        output: WriteOutput,
    },
    Update {
        update: Update,
        /// Of one row: what becomes of those that belong to it, in order.
        nested: Vec<RelatedChanges>,
        output: WriteOutput,
    },
    /// Updates one after the other, each with its own answer.
    UpdateMany {
        updates: Vec<Update>,
        output: WriteOutput,
    },
    Delete {
        delete: Delete,
        output: WriteOutput,
    },
}

/// What a write answers.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutput {
    /// `<table>_mutation_response`
    Response(Vec<ResponseSelected>),
    /// The one row that was written, or null.
    Row(Vec<Selected>),
}

/// One field of a `<table>_mutation_response`.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseSelected {
    pub key: Name,
    pub field: ResponseField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ResponseField {
    Typename(Name),
    AffectedRows,
    Returning(Vec<Selected>),
}

/// Rows to insert into one table.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRows {
    pub table: TrackedId,
    pub rows: RowsInput,
    pub on_conflict: Option<OnConflict>,
    /// Where they stand in the document; errors of the database say it.
    pub path: JsonPath,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RowsInput {
    Each(Vec<NewRow>),
    /// An array for each column.
    Columns(Vec<(ColumnId, Operand)>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewRow {
    /// `None` is null.
    pub columns: Vec<(ColumnId, Option<Operand>)>,
    /// Rows of other tables that this one points to, by relationship.
    pub before: Vec<(usize, NewRows)>,
    /// Rows of other tables that point to this one.
    pub after: Vec<(usize, NewRows)>,
}

/// What becomes of a row that a constraint refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct OnConflict {
    /// Position among the table's primary key (0) and unique constraints;
    /// `None` is any, for conflicts that leave the row alone.
    pub constraint: Option<u16>,
    /// Columns of the existing row that take the new values; none leaves the
    /// row alone.
    pub columns: Vec<ColumnId>,
    pub filter: Predicate,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub table: TrackedId,
    pub set: Vec<Assignment>,
    pub rows: Which,
    /// The arguments of the field, or the place of a nested one.
    pub path: JsonPath,
}

/// Which rows an update or delete is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Which {
    Where(Predicate),
    Key(Vec<(ColumnId, Operand)>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub column: ColumnId,
    pub operator: UpdateOperator,
    pub value: AssignedValue,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AssignedValue {
    Null,
    One(Operand),
    /// A path into a JSON value.
    Items(Vec<Operand>),
    /// The column's default.
    Default,
    /// The old value so many times.
    Times(Operand),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub table: TrackedId,
    pub rows: Which,
    /// The arguments of the field, or the place of a nested one.
    pub path: JsonPath,
}

/// Changes of the rows that belong to an updated one over a relationship: first
/// what is deleted, then the updates in order, then what is inserted.
#[derive(Debug, Clone, PartialEq)]
pub struct RelatedChanges {
    /// Position among the relationships of the updated table.
    pub relationship: usize,
    pub delete: Option<Delete>,
    pub updates: Vec<Update>,
    pub insert: Option<NewRows>,
}

/// What a root reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// A list of rows.
    Many(Rows),
    /// The row with a primary key, or null.
    ByPk { table: TrackedId, key: Vec<(ColumnId, Operand)>, selection: Vec<Selected> },
    /// Aggregates over rows.
    Aggregate(Aggregated),
    /// The one row that a function returns, or null.
    One(Rows),
    /// The value that a function returns.
    Scalar { call: Call },
    /// Rows after a cursor, a batch at a time.
    Stream(Streamed),
}

/// What a streaming subscription reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Streamed {
    pub table: TrackedId,
    pub filter: Predicate,
    pub column: ColumnId,
    pub descending: bool,
    /// Where it begins; nothing is after null.
    pub from: Option<Operand>,
    /// The most rows of one batch.
    pub batch: Operand,
    pub selection: Vec<Selected>,
}

/// A call of a tracked function.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub function: FunctionId,
    pub args: CallArgs,
}

/// By the position of the argument; `None` for NULL. An argument that is not
/// here keeps its default.
pub type CallArgs = Vec<(usize, Option<Operand>)>;

/// Where rows come from.
#[derive(Debug, Clone, PartialEq)]
pub enum RowSource {
    Table,
    Function(Call),
}

/// Rows of a table's type.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The table whose type the rows have.
    pub table: TrackedId,
    pub source: RowSource,
    pub args: ListArgs,
    pub selection: Vec<Selected>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Aggregated {
    pub table: TrackedId,
    pub source: RowSource,
    pub args: ListArgs,
    pub selection: Vec<AggregateSelected>,
}

/// One field of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    pub key: Name,
    pub field: SelectedField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SelectedField {
    Typename(Name),
    Column {
        column: ColumnId,
        /// Into a JSON column.
        path: Option<Operand>,
        /// The value of an enum that the schema spells in upper case.
        upper_case: bool,
    },
    /// Position among the table's relationships.
    Relationship {
        index: usize,
        args: ListArgs,
        selection: Vec<Selected>,
    },
    /// Aggregates over a relationship.
    Aggregate {
        index: usize,
        args: ListArgs,
        selection: Vec<AggregateSelected>,
    },
    /// A scalar computed field.
    ComputedScalar {
        index: usize,
        args: CallArgs,
        /// Into a JSON value.
        path: Option<Operand>,
    },
    /// A computed field that returns rows.
    ComputedRows {
        index: usize,
        args: CallArgs,
        list: ListArgs,
        selection: Vec<Selected>,
    },
}

/// One field of a `<table>_aggregate`.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateSelected {
    pub key: Name,
    pub field: AggregateField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum AggregateField {
    Typename(Name),
    Aggregate(Vec<FunctionSelected>),
    Nodes(Vec<Selected>),
    Groups {
        /// Not empty.
        by: Vec<ColumnId>,
        selection: Vec<GroupSelected>,
    },
}

/// One field of a `<table>_aggregate_group`.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSelected {
    pub key: Name,
    pub field: GroupField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum GroupField {
    Typename(Name),
    Aggregate(Vec<FunctionSelected>),
    /// Columns that the rows are grouped by.
    Key(Vec<(Name, FunctionColumn)>),
}

/// One field of `aggregate`.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionSelected {
    pub key: Name,
    pub field: FunctionField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FunctionField {
    Typename(Name),
    Count { columns: Vec<ColumnId>, distinct: bool },
    Function { function: AggregateFunction, columns: Vec<(Name, FunctionColumn)> },
}

#[derive(Debug, Clone, PartialEq)]
pub enum FunctionColumn {
    Typename(Name),
    Column(ColumnId),
    /// A scalar computed field.
    Computed {
        index: usize,
        args: CallArgs,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListArgs {
    pub distinct_on: Vec<ColumnId>,
    pub filter: Predicate,
    pub order_by: Vec<OrderItem>,
    pub limit: Option<Operand>,
    pub offset: Option<Operand>,
}

impl Default for ListArgs {
    fn default() -> Self {
        ListArgs {
            distinct_on: Vec::new(),
            filter: Predicate::TRUE,
            order_by: Vec::new(),
            limit: None,
            offset: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderItem {
    /// Object relationships to walk before the key.
    pub through: Vec<usize>,
    pub key: OrderKey,
    pub descending: bool,
    /// As Postgres does by itself when `None`.
    pub nulls_first: Option<bool>,
}

/// What rows are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderKey {
    Column(ColumnId),
    /// A scalar computed field.
    Computed(usize),
    /// `count` over an array relationship.
    Count(RowsOf),
    Function {
        of: RowsOf,
        function: AggregateFunction,
        column: ColumnId,
    },
}

/// The rows that an aggregate in an order is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsOf {
    Relationship(usize),
    Computed(usize),
}
