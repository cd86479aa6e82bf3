//! Floor 4: [`Operation`](crate::operation::Operation) → one SQL statement
//! that returns the whole `data` object as one JSON value.

pub mod cache;
pub mod read;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::{ApiError, Code, JsonPath};
use crate::graphql::OperationKind;
use crate::operation::input::Operand;
use crate::sql::InvalidIdent;

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
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::TooManyParameters | PlanError::TooManyFields => {
                ApiError::new(Code::NodeLimitExceeded, error.to_string())
            }
            other => ApiError::internal(other.to_string()),
        }
    }
}

/// One parameter of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    pub operand: Operand,
    /// The value is lowered to this where it is greater (`limits.rows`).
    pub at_most: Option<u64>,
}

/// What runs for an operation of one shape.
#[derive(Debug)]
pub struct Plan {
    pub kind: OperationKind,
    pub operation_name: Option<Arc<str>>,
    pub answer: Answer,
    pub introspects: bool,
    /// Response keys in order, for answers put together from several sources.
    pub keys: Vec<Arc<str>>,
    pub slots: Vec<Slot>,
    pub non_negative: Vec<(usize, JsonPath)>,
    /// (table, setting) pairs without which a policy would raise.
    pub required: Vec<(Arc<str>, String)>,
    runs: AtomicU32,
}

/// Where the data of a plan comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Known without the database.
    Constant(bytes::Bytes),
    Statement {
        text: Arc<str>,
        fingerprint: u64,
    },
}

impl Plan {
    /// Counts a run; true from the second on, when a prepared statement pays.
    pub fn is_repeated(&self) -> bool {
        self.runs.fetch_add(1, Ordering::Relaxed) > 0
    }

    /// Bytes that the plan holds, roughly.
    pub fn weight(&self) -> usize {
        let text = match &self.answer {
            Answer::Constant(bytes) => bytes.len(),
            Answer::Statement { text, .. } => text.len(),
        };
        let slots: usize = self
            .slots
            .iter()
            .map(|slot| match &slot.operand {
                Operand::Const(text) => 48 + text.len(),
                Operand::Leaf(_) => 48,
            })
            .sum();
        512 + text + slots + self.keys.len() * 32 + self.required.len() * 64
    }
}
