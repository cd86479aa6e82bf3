//! A bound operation: names resolved, fragments merged, directives applied.

use crate::catalog::model::{ColumnId, TableId};
use crate::graphql::{Name, OperationKind};
use crate::schema::types::Comparison;

use super::input::Operand;

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub kind: OperationKind,
    pub name: Option<Name>,
    pub roots: Vec<Root>,
    /// Leaves that must not be negative, with the argument they came from.
    pub non_negative: Vec<(usize, crate::base::JsonPath)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// The response key.
    pub key: Name,
    pub field: RootField,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RootField {
    Typename,
    /// `__schema` or `__type`; validated where it is answered.
    Introspection,
    /// The placeholder of a role that may query nothing.
    NothingAvailable,
    Many {
        table: TableId,
        args: ListArgs,
        selection: Vec<Selected>,
    },
    ByPk {
        table: TableId,
        key: Vec<(ColumnId, Operand)>,
        selection: Vec<Selected>,
    },
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
    Column(ColumnId),
    /// Position among the table's relationships.
    Relationship {
        index: usize,
        args: ListArgs,
        selection: Vec<Selected>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ListArgs {
    pub distinct_on: Vec<ColumnId>,
    pub filter: BoolExp,
    pub order_by: Vec<OrderItem>,
    pub limit: Option<Operand>,
    pub offset: Option<Operand>,
}

impl Default for ListArgs {
    fn default() -> Self {
        ListArgs {
            distinct_on: Vec::new(),
            filter: BoolExp::And(Vec::new()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum BoolExp {
    And(Vec<BoolExp>),
    Or(Vec<BoolExp>),
    Not(Box<BoolExp>),
    Compare {
        column: ColumnId,
        comparison: Comparison,
        value: CompareValue,
    },
    IsNull {
        column: ColumnId,
        negated: bool,
    },
    /// Some row on the other side of a relationship satisfies the inner one.
    Exists {
        relationship: usize,
        inner: Box<BoolExp>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum CompareValue {
    One(Operand),
    /// An array literal.
    Array(Operand),
    Items(Vec<Operand>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderItem {
    /// Object relationships to walk before the column.
    pub through: Vec<usize>,
    pub column: ColumnId,
    pub descending: bool,
    /// As Postgres does by itself when `None`.
    pub nulls_first: Option<bool>,
}
