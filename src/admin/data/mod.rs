//! The data commands of Hasura's first API: `select`, `count` and their like.
//!
//! They name tables, columns and relationships as the database and the
//! metadata do, and unlike GraphQL they say what a role may not do. Any role may
//! send them; they run as that role, like a GraphQL operation.

mod read;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::{ApiError, Code, JsonPath};
use crate::catalog::model::ColumnId;
use crate::engine::Engine;
use crate::graphql::OperationKind;
use crate::metadata::QualifiedName;
use crate::operation::Operation;
use crate::operation::model::{Root, RootSelection};
use crate::schema::RoleSchema;
use crate::schema::tracked::conditions::{self, ConditionError, ConditionProblem};
use crate::schema::tracked::{SourceId, TrackedId, TrackedTable};
use crate::session::{Authority, Session};

use super::command::{Command, Output, args_path, arguments};

/// The one root of the operation that a command becomes.
const ROOT: &str = "root";

/// Runs a data command; `None` when it is none.
pub(super) async fn run(
    engine: &Engine,
    session: &Session,
    name: &str,
    command: &Command,
) -> Option<Result<Output, ApiError>> {
    let args = match command.args() {
        Ok(args) => args,
        Err(error) => return Some(Err(error)),
    };
    let subject = match Subject::of(engine, session, &args) {
        Ok(subject) => subject,
        Err(error) => return Some(Err(error)),
    };
    Some(match name {
        "select" => read::select(&subject, &args).await,
        "count" => read::count(&subject, &args).await,
        "insert" => write::insert(&subject, command.args_text()).await,
        "update" => write::update(&subject, command.args_text()).await,
        "delete" => write::delete(&subject, command.args_text()).await,
        _ => return None,
    })
}

/// What is said of the table of every command.
#[derive(Deserialize)]
struct Target {
    table: QualifiedName,
    #[serde(default)]
    source: Option<Arc<str>>,
}

/// A command of a role on a table.
struct Subject<'a> {
    engine: &'a Engine,
    session: &'a Session,
    schema: Arc<RoleSchema>,
    table: TrackedId,
    name: QualifiedName,
}

impl<'a> Subject<'a> {
    fn of(engine: &'a Engine, session: &'a Session, args: &Value) -> Result<Self, ApiError> {
        let target: Target = arguments(args)?;
        let schema = engine.schemas().of(session)?;
        let tracked = schema.tracked();
        let source = match target.source.as_deref() {
            None => SourceId(0),
            Some(name) => tracked
                .sources
                .iter()
                .position(|source| *source.name == *name)
                .and_then(|at| u16::try_from(at).ok())
                .map(SourceId)
                .ok_or_else(|| {
                    let message = format!("source with name \"{name}\" does not exist");
                    ApiError::new(Code::NotExists, message).at(args_path())
                })?,
        };
        let table = tracked.find(source, &target.table).ok_or_else(|| {
            ApiError::new(Code::NotExists, format!("table \"{}\" does not exist", target.table))
                .at(args_path().key("table"))
        })?;
        Ok(Subject { engine, session, schema, table, name: target.table })
    }

    fn shown(&self, table: TrackedId) -> Result<&TrackedTable, ApiError> {
        self.schema
            .tracked()
            .table(table)
            .ok_or_else(|| ApiError::internal("a tracked table is gone"))
    }

    fn is_admin(&self) -> bool {
        self.session.authority == Authority::Admin
    }

    /// The role lacks the permission for a command.
    fn denied(&self, command: &str, table: &QualifiedName) -> ApiError {
        ApiError::new(
            Code::PermissionDenied,
            format!("{command} on \"{table}\" for role \"{}\" is not allowed. ", self.session.role),
        )
        .at(args_path())
    }

    fn column(&self, table: TrackedId, name: &str) -> Option<ColumnId> {
        conditions::column_of(self.schema.tracked(), table, name)
    }

    /// Runs an operation with one root and gives what stands there.
    async fn run(
        &self,
        kind: OperationKind,
        field: RootSelection,
        variables: Vec<String>,
    ) -> Result<Bytes, ApiError> {
        let operation = Operation {
            kind,
            name: None,
            roots: vec![Root { key: ROOT.into(), field }],
            checks: Vec::new(),
            cached: None,
        };
        let data = self.engine.run_bound(self.session, &self.schema, operation, variables).await?;
        // `{"root":…}`
        let inner = data
            .strip_prefix(b"{\"root\":")
            .and_then(|rest| rest.strip_suffix(b"}"))
            .ok_or_else(|| ApiError::internal("an answer has no root"))?;
        Ok(data.slice_ref(inner))
    }
}

/// Bytes of Postgres as an answer.
fn as_output(bytes: &[u8]) -> Result<Output, ApiError> {
    std::str::from_utf8(bytes).map_err(|error| ApiError::internal(error.to_string())).and_then(
        |text| {
            RawValue::from_string(text.to_owned())
                .map_err(|error| ApiError::internal(error.to_string()))
        },
    )
}

/// An error in a condition, below `path`.
fn in_condition(path: &JsonPath, error: ConditionError) -> ApiError {
    let code = match &error.problem {
        ConditionProblem::Unreadable(_) => Code::ParseFailed,
        ConditionProblem::Gone(what) => return ApiError::internal(*what),
        _ => Code::UnexpectedPayload,
    };
    ApiError::new(code, error.problem.to_string()).at(path.join(&error.path))
}
