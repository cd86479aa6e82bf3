//! What can be wrong with a document, in Hasura's words.

use std::borrow::Cow;

use crate::base::{ApiError, Code, JsonPath};

/// A problem at a place of the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at {path}")]
pub struct BindError {
    pub path: JsonPath,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("no such operation found in the document: \"{0}\"")]
    NoSuchOperation(String),
    #[error(
        "exactly one operation has to be present in the document when operationName is not specified"
    )]
    OperationNameNeeded,
    #[error("multiple definitions for operation \"{0}\"")]
    DuplicateOperation(String),
    #[error("no mutations exist")]
    NoMutations,
    #[error("subscriptions must select one top level field")]
    SeveralRoots,
    #[error("one streaming column field is expected")]
    NoCursor,
    #[error("multiple column cursors are not supported yet")]
    ManyCursors,
    #[error("field {field:?} not found in type: '{ty}'")]
    UnknownField { field: String, ty: String },
    #[error("{field:?} has no argument named {argument:?}")]
    UnknownArgument { field: String, argument: String },
    #[error("missing required field {0:?}")]
    MissingArgument(String),
    #[error("the argument {0:?} is given more than once")]
    DuplicateArgument(String),
    #[error("missing selection set for {0:?}")]
    SelectionNeeded(String),
    #[error("unexpected subselection set for non-object field")]
    SelectionNotAllowed,
    #[error("fragment {0:?} not found")]
    UnknownFragment(String),
    #[error("the fragment definition(s) {0} form a cycle")]
    FragmentCycle(String),
    #[error("no such type exists in the schema: '{0}'")]
    UnknownType(String),
    #[error("the fields of a fragment on {fragment:?} cannot be selected in {ty:?}")]
    FragmentMismatch { fragment: String, ty: String },
    #[error("selection of both {first:?} and {second:?} specify the same response name, {key:?}")]
    FieldConflict { first: String, second: String, key: String },
    #[error("inconsistent arguments between multiple selections of field {0:?}")]
    ArgumentConflict(String),
    #[error("directive {0:?} is not defined in the schema")]
    UnknownDirective(String),
    #[error("directive {directive:?} is not allowed on {place}")]
    MisplacedDirective { directive: String, place: &'static str },
    #[error("the following directives are used more than once: {0}")]
    RepeatedDirective(String),
    #[error("unbound variable {0:?}")]
    UnboundVariable(String),
    #[error("unexpected variables in variableValues: {0}")]
    UnexpectedVariables(String),
    #[error(
        "variable {name:?} is declared as '{declared}', but used where '{expected}' is expected"
    )]
    VariableMismatch { name: String, declared: String, expected: String },
    #[error("expecting a value for non-nullable variable: {0:?}")]
    MissingVariable(String),
    #[error("variable type '{0}' is not an input type")]
    NotAnInput(String),
    #[error("variables must be a JSON object")]
    VariablesNotAnObject,
    #[error("the key {0:?} is given more than once")]
    DuplicateKey(String),
    #[error("expected {expected} for type {ty:?}, but found {found}")]
    Expected { expected: Cow<'static, str>, ty: String, found: &'static str },
    #[error("expected one of the values {values} for type {ty:?}, but found {found:?}")]
    NotOfEnum { values: String, ty: String, found: String },
    #[error("expected a list, but found null")]
    NullList,
    #[error("unexpected null value for type {0:?}")]
    UnexpectedNull(String),
    #[error("parsing {what} failed, expected {expected}, but encountered {found}")]
    Unreadable { what: &'static str, expected: &'static str, found: &'static str },
    #[error("A string is expected for type: {0}")]
    StringExpected(String),
    #[error("{0}")]
    NotGeoJson(String),
    #[error("invalid input syntax for type boolean: {0:?}")]
    NotABoolean(String),
    #[error("{}", crate::schema::scalars::LABEL_PATH)]
    LabelPath,
    #[error("{}", crate::schema::scalars::RASTER)]
    NoRaster,
    #[error(
        "The value {0} lies outside the bounds or is not an integer.  Maybe it is a float, or is there integer overflow?"
    )]
    IntOutOfBounds(String),
    #[error("exactly one predicate should be specified")]
    OnePredicate,
    #[error("groups need at least one column")]
    GroupedByNothing,
    #[error("the groups are not made by this column; add it to \"by\"")]
    NotGroupedBy,
    #[error("rows cannot be grouped by this column: values of its type cannot be sorted")]
    NotGroupable,
    #[error("\"distinct_on\" columns must match initial \"order_by\" columns")]
    DistinctOn,
    #[error("parse json path error: \"{0}\" is no path such as $.key[0]['other key']")]
    JsonPath(String),
    #[error("a text must not hold the character NUL (U+0000)")]
    Nul,
    #[error("an item of an array must be a value; pass the whole array as a variable")]
    ArrayItem,
    #[error("OFFSET must not be negative")]
    NegativeOffset,
    #[error("Only last set of positional arguments can be omitted")]
    SkippedArgument,
    #[error("Non default arguments cannot be omitted")]
    OmittedArgument,
    #[error("the operation is nested deeper than {limit} levels (limits.depth)")]
    TooDeep { limit: usize },
    #[error("introspection may nest lists of fields and types at most {limit} deep")]
    IntrospectionTooDeep { limit: usize },
    #[error("the operation selects more than {limit} fields (limits.nodes)")]
    TooManyNodes { limit: usize },
    #[error("erroneous column name")]
    PlaceholderColumn,
    #[error("at least any one of {0} is expected")]
    NothingToSet(String),
    #[error("column found in multiple operators; {0}")]
    ManyOperators(String),
    #[error(
        "cannot insert {0} columns as their values are already being determined by parent insert"
    )]
    DeterminedByParent(String),
    #[error(
        "cannot insert object relationship {relationship:?} as {columns} column values are already determined"
    )]
    DeterminedColumns { relationship: String, columns: String },
    #[error(
        "an insert takes at most {limit} rows at once (limits.insert_rows); send them in several requests"
    )]
    TooManyRows { limit: usize },
    #[error("cannot update {0} columns as their values are determined by the parent row")]
    KeptByParent(String),
    #[error(
        "at most {limit} updates are taken at once (limits.insert_rows); send them in several requests"
    )]
    TooManyUpdates { limit: usize },
    #[error("a Postgres array has at most {limit} dimensions")]
    TooManyDimensions { limit: usize },
    #[error("the schema is inconsistent: {0}")]
    Schema(&'static str),
}

impl BindError {
    pub fn new(path: JsonPath, problem: Problem) -> Self {
        BindError { path, problem }
    }

    /// Where the reader stands; who called it knows where that is.
    pub(crate) fn here(problem: Problem) -> Self {
        BindError { path: JsonPath::root(), problem }
    }
}

impl From<BindError> for ApiError {
    fn from(error: BindError) -> Self {
        let code = match &error.problem {
            Problem::IntOutOfBounds(_)
            | Problem::Unreadable { .. }
            | Problem::StringExpected(_)
            | Problem::NotGeoJson(_)
            | Problem::LabelPath
            | Problem::NoRaster
            | Problem::NoCursor
            | Problem::ManyCursors => Code::ParseFailed,
            Problem::NotABoolean(_) | Problem::NegativeOffset => Code::DataException,
            Problem::SkippedArgument | Problem::OmittedArgument => Code::NotSupported,
            Problem::TooDeep { .. } | Problem::IntrospectionTooDeep { .. } => {
                Code::DepthLimitExceeded
            }
            Problem::TooManyNodes { .. }
            | Problem::TooManyRows { .. }
            | Problem::TooManyUpdates { .. } => Code::NodeLimitExceeded,
            Problem::Schema(detail) => return ApiError::internal(*detail),
            _ => Code::ValidationFailed,
        };
        ApiError::new(code, error.problem.to_string()).at(error.path)
    }
}
