//! Kriti, the template language of Hasura's request and response transforms:
//! JSON in which `{{ … }}` looks values up, chooses, repeats and calls.
//!
//! ```text
//! text ─▶ parse ─▶ Template ─▶ eval (values by name, functions) ─▶ JSON
//! ```
//!
//! Templates are the administrator's, the values in them the caller's: parsing
//! is bounded in depth, evaluation in what it makes. The grammar follows
//! `hasura/kriti-lang`.

mod eval;
mod functions;
mod parse;

use std::ops::Range;

use serde_json::{Number, Value, json};

pub(super) use eval::Scope;

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    source: String,
    root: Node,
}

/// An expression with where it stands in the source, in bytes.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    at: Range<usize>,
    expr: Expr,
}

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Null,
    Bool(bool),
    Number(Number),
    /// A string with expressions in it.
    Text(Vec<Part>),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
    Variable(String),
    Path {
        base: Box<Node>,
        steps: Vec<Step>,
    },
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    Range {
        index: Option<String>,
        item: String,
        over: Box<Node>,
        body: Box<Node>,
    },
    Binary {
        op: Op,
        left: Box<Node>,
        right: Box<Node>,
    },
    Call {
        function: String,
        argument: Box<Node>,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    Value(Node),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    at: Range<usize>,
    /// What is missing is null, and ends the path.
    optional: bool,
    key: Key,
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    Field(String),
    Value(Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Default,
    Or,
    And,
    In,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What kind of mistake stopped a template; printed as Hasura prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorCode {
    Parse,
    Path,
    Type,
    Function,
    Limit,
}

impl ErrorCode {
    const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Parse => "Parse Error",
            ErrorCode::Path => "Invalid Path",
            ErrorCode::Type => "Type Error",
            ErrorCode::Function => "Function Error",
            ErrorCode::Limit => "Limit Exceeded",
        }
    }
}

/// A mistake, with where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KritiError {
    code: ErrorCode,
    message: String,
    at: Range<usize>,
}

impl KritiError {
    fn new(code: ErrorCode, at: Range<usize>, message: impl Into<String>) -> Self {
        KritiError { code, message: message.into(), at }
    }

    /// `{error_code, message, source_position}`; lines and columns count from 0.
    pub(super) fn as_json(&self, source: &str) -> Value {
        let (start_line, start_column) = position(source, self.at.start);
        let (end_line, end_column) = position(source, self.at.end);
        json!({
            "error_code": self.code.as_str(),
            "message": self.message,
            "source_position": {
                "start_line": start_line,
                "start_column": start_column,
                "end_line": end_line,
                "end_column": end_column,
            },
        })
    }
}

/// Line and column of a byte.
fn position(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..at).unwrap_or(source);
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (line, column)
}

impl Template {
    /// Reads a template of a JSON value.
    pub(super) fn parse(source: &str) -> Result<Self, KritiError> {
        let root = parse::document(source)?;
        Ok(Template { source: source.to_owned(), root })
    }

    /// Reads a template of a text, as it stands between the quotes.
    pub(super) fn parse_text(source: &str) -> Result<Self, KritiError> {
        let root = parse::text(source)?;
        Ok(Template { source: source.to_owned(), root })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The value that the template makes.
    pub(super) fn eval(&self, scope: &Scope<'_>) -> Result<Value, KritiError> {
        eval::run(&self.root, scope)
    }
}

#[cfg(test)]
mod tests;
