//! Commands: from the body of a request to changes, one after the other.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::base::{ApiError, Code, JsonPath};
use crate::metadata::document::{ParseError, parse, parse_text};
use crate::session::{Authority, Session};

use super::commands;
use super::data;
use super::draft::Draft;
use super::project::Project;

/// Commands inside commands (`bulk` in `bulk`).
const MAX_NESTING: usize = 8;

/// Where a command came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/query`: everything.
    V1Query,
    /// `/v2/query`: SQL and data.
    V2Query,
    /// `/v1/metadata`: metadata.
    V1Metadata,
}

/// What a command answers.
pub(super) type Output = Box<RawValue>;

/// `{type, args, version, resource_version}`
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Command {
    #[serde(rename = "type")]
    pub name: String,
    #[serde(default)]
    pub version: Option<u64>,
    /// As they were sent.
    #[serde(default)]
    args: Option<Box<RawValue>>,
    #[serde(default)]
    pub resource_version: Option<i64>,
}

impl Command {
    /// The arguments as JSON text.
    pub(super) fn args_text(&self) -> &str {
        self.args.as_deref().map_or("null", RawValue::get)
    }

    /// The arguments, where the last digits of numbers mean nothing.
    pub(super) fn args(&self) -> Result<Value, ApiError> {
        serde_json::from_str(self.args_text())
            .map_err(|error| ApiError::new(Code::InvalidJson, error.to_string()))
    }

    /// The name without the kind of database.
    fn plain_name(&self) -> &str {
        let name = self.name.as_str();
        name.strip_prefix("pg_").unwrap_or(name)
    }
}

/// JSON as an answer.
pub(super) fn output(value: &Value) -> Result<Output, ApiError> {
    RawValue::from_string(value.to_string()).map_err(|error| ApiError::internal(error.to_string()))
}

pub(super) fn success() -> Result<Output, ApiError> {
    output(&json!({"message": "success"}))
}

/// The arguments of a command. The path of a mistake begins at them, as in
/// Hasura.
pub(super) fn arguments<T: serde::de::DeserializeOwned>(args: &Value) -> Result<T, ApiError> {
    parse(args).map_err(ParseError::into)
}

/// The same of JSON text.
pub(super) fn arguments_text<T: serde::de::DeserializeOwned>(args: &str) -> Result<T, ApiError> {
    parse_text(args).map_err(ParseError::into)
}

/// The path of what goes wrong while a command runs.
pub(super) fn args_path() -> JsonPath {
    JsonPath::root().key("args")
}

impl Project {
    /// Runs the command in a body; nothing of it remains when it fails.
    pub async fn execute(
        &self,
        session: &Session,
        endpoint: Endpoint,
        body: &RawValue,
    ) -> Result<Box<RawValue>, ApiError> {
        only_object(endpoint, body.get())?;
        let command: Command = arguments_text(body.get())?;
        let mut runner = Runner { project: self, session, endpoint, draft: None };
        let output = runner.run(&command, 0).await?;
        runner.finish().await?;
        Ok(output)
    }
}

/// Runs commands over one draft, which is begun when the first needs it.
struct Runner<'a> {
    project: &'a Project,
    session: &'a Session,
    endpoint: Endpoint,
    draft: Option<Draft<'a>>,
}

impl<'a> Runner<'a> {
    async fn finish(&mut self) -> Result<(), ApiError> {
        match self.draft.take() {
            Some(draft) => Box::pin(draft.commit()).await,
            None => Ok(()),
        }
    }

    async fn draft(&mut self) -> Result<&mut Draft<'a>, ApiError> {
        if self.draft.is_none() {
            self.draft = Some(Box::pin(self.project.draft()).await?);
        }
        self.draft.as_mut().ok_or_else(|| ApiError::internal("a draft is gone"))
    }

    async fn run(&mut self, command: &Command, nested: usize) -> Result<Output, ApiError> {
        let name = command.plain_name();
        match name {
            "bulk" | "bulk_keep_going" | "bulk_atomic" if nested < MAX_NESTING => {
                Box::pin(self.bulk(name, command.args_text(), nested)).await
            }
            "select" | "count" | "insert" | "update" | "delete"
                if self.endpoint != Endpoint::V1Metadata =>
            {
                // It runs as the caller, who sees what is committed.
                self.finish().await?;
                let engine = self.project.engine();
                match Box::pin(data::run(engine, self.session, name, command)).await {
                    Some(result) => result.map_err(in_args),
                    None => Err(unknown(&command.name)),
                }
            }
            _ => {
                self.only_admin()?;
                if let Some(wanted) = command.resource_version {
                    self.at_version(wanted).await?;
                }
                let draft = self.draft().await?;
                match Box::pin(commands::run(draft, name, command)).await {
                    Some(result) => result.map_err(in_args),
                    None => Err(unknown(&command.name)),
                }
            }
        }
    }

    fn only_admin(&self) -> Result<(), ApiError> {
        if self.session.authority == Authority::Admin {
            return Ok(());
        }
        Err(ApiError::new(Code::AccessDenied, "restricted access : admin only")
            .with_status(400)
            .at(args_path()))
    }

    async fn at_version(&mut self, wanted: i64) -> Result<(), ApiError> {
        let current = self.draft().await?.version().unwrap_or_default();
        if current == wanted {
            return Ok(());
        }
        Err(ApiError::new(
            Code::Conflict,
            format!(
                "metadata resource version referenced ({wanted}) did not match current version"
            ),
        ))
    }

    /// Several commands, all or nothing, except for `bulk_keep_going`.
    async fn bulk(&mut self, kind: &str, args: &str, nested: usize) -> Result<Output, ApiError> {
        let commands: Vec<Command> = arguments_text(args)?;
        let mut outputs: Vec<Output> = Vec::with_capacity(commands.len());
        for (index, command) in commands.iter().enumerate() {
            let result = self.run(command, nested + 1).await;
            match (result, kind) {
                (Ok(output), _) => outputs.push(output),
                (Err(error), "bulk_keep_going") => {
                    // What the failed command did goes with what came before it
                    // since the last commit, so each command commits for itself.
                    self.draft = None;
                    outputs.push(self::output(&as_json(&error))?);
                }
                (Err(error), _) => return Err(inside(error, index)),
            }
            if kind == "bulk_keep_going" {
                self.finish().await?;
            }
        }
        let all = serde_json::to_string(&outputs);
        all.and_then(RawValue::from_string).map_err(|error| ApiError::internal(error.to_string()))
    }
}

/// A command is an object; serde would take a list of its parts too.
fn only_object(endpoint: Endpoint, body: &str) -> Result<(), ApiError> {
    let found = match body.trim_start().bytes().next() {
        Some(b'{') => return Ok(()),
        Some(b'[') => "Array",
        Some(b'"') => "String",
        Some(b't' | b'f') => "Boolean",
        Some(b'n') => "Null",
        _ => "Number",
    };
    let what = match endpoint {
        Endpoint::V1Metadata => "RQLMetadata",
        Endpoint::V1Query | Endpoint::V2Query => "RQLQuery",
    };
    let message = format!("parsing {what} failed, expected Object, but encountered {found}");
    Err(ApiError::new(Code::ParseFailed, message))
}

fn unknown(name: &str) -> ApiError {
    ApiError::new(Code::ParseFailed, format!("unknown command \"{name}\""))
        .at(JsonPath::root().key("type"))
}

/// An error without a place is about the arguments.
fn in_args(error: ApiError) -> ApiError {
    let elsewhere = !error.path.segments().is_empty() || error.code == Code::ParseFailed;
    if elsewhere { error } else { error.at(args_path()) }
}

/// An error of the n-th command of a bulk.
fn inside(mut error: ApiError, index: usize) -> ApiError {
    error.path = args_path().index(index).join(&error.path);
    error
}

/// `{path, error, code[, internal]}`
pub fn as_json(error: &ApiError) -> Value {
    let mut out = json!({
        "path": error.path.to_string(),
        "error": error.message,
        "code": error.code.as_str(),
    });
    if let (Some(internal), Value::Object(map)) = (&error.internal, &mut out) {
        map.insert("internal".to_owned(), internal.as_ref().clone());
    }
    out
}
