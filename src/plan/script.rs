//! What a mutation compiles to: statements of one transaction, in order, and
//! how its answer is made of what they give.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::JsonPath;
use crate::operation::input::{Earlier, Operand};
use crate::schema::tracked::{SourceId, TrackedId};

use super::Slot;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub source: SourceId,
    pub steps: Vec<Step>,
    /// By root, in order.
    pub roots: Vec<RootAnswer>,
    /// It may be refused for a row that only its snapshot does not show, so it is
    /// worth a second attempt.
    pub meets_rows: bool,
}

/// One statement. Its answer is one row; the first column is JSON, the second,
/// of the last statement, the transaction's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub text: Arc<str>,
    pub fingerprint: u64,
    /// The same text stands in this script more often.
    pub repeated: bool,
    pub slots: Vec<Slot>,
    pub gives: Gives,
    pub writes: Option<Writes>,
    /// It runs only where this earlier step touched a row.
    pub after: Option<usize>,
    /// What it means when no row was written, where later statements need one.
    pub empty: Option<Empty>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// The JSON of a root.
    Answer,
    /// `[rows touched, [row, …]]`, the cells of rows as text; the second only
    /// where somebody needs it.
    Rows,
}

/// What a step writes, for the errors that it may meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes {
    pub table: TrackedId,
    /// Where constraints and permissions fail.
    pub path: JsonPath,
    /// Where policies refuse.
    pub refused: JsonPath,
    /// The new rows are read, so policies of SELECT have a say.
    pub reads_new: bool,
}

/// A row that is needed is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Empty {
    pub message: String,
    pub path: JsonPath,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootAnswer {
    /// JSON that is known without the database.
    Constant(Bytes),
    Step(usize),
    List(Vec<RootAnswer>),
    /// Of a namespace.
    Object(Vec<(Arc<str>, RootAnswer)>),
}

impl Step {
    /// The earlier steps whose results it takes.
    pub fn takes(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots
            .iter()
            .flat_map(|slot| match &slot.operand {
                Operand::Earlier(Earlier::Cell { step, .. }) => std::slice::from_ref(step),
                Operand::Earlier(Earlier::Count(steps) | Earlier::Rows(steps)) => steps,
                _ => &[],
            })
            .chain(&self.after)
            .copied()
    }
}

impl Script {
    /// Bytes that it holds, roughly.
    pub(super) fn weight(&self) -> usize {
        self.steps
            .iter()
            .map(|step| 256 + step.text.len() + step.slots.iter().map(Slot::weight).sum::<usize>())
            .sum()
    }
}
