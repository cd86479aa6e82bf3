//! `insert`, `update` and `delete`.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::admin::command::{Output, args_path, arguments_text};
use crate::base::{ApiError, Code, JsonPath};
use crate::catalog::model::ColumnId;
use crate::catalog::privileges::ColumnSet;
use crate::graphql::OperationKind;
use crate::operation::BindError;
use crate::operation::input::Operand;
use crate::operation::literal::scalar_from_json;
use crate::operation::model::{
    AssignedValue, Assignment, Delete, NewRow, NewRows, OnConflict, ResponseField,
    ResponseSelected, RootSelection, RowsInput, Selected, SelectedField, Update, Which, Write,
    WriteOutput,
};
use crate::schema::access::{Presets, UpdateAccess};
use crate::schema::predicate::Predicate;
use crate::schema::types::UpdateOperator;

use super::{Subject, as_output};

/// Values by the names of columns.
type Cells = IndexMap<String, Box<RawValue>>;

#[derive(Deserialize)]
struct Insert {
    objects: Vec<Cells>,
    #[serde(default)]
    on_conflict: Option<WrittenConflict>,
    #[serde(default)]
    returning: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WrittenConflict {
    #[serde(default)]
    constraint: Option<String>,
    #[serde(default)]
    constraint_on: Option<Names>,
    action: ConflictAction,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ConflictAction {
    Ignore,
    Update,
}

pub(super) async fn insert(subject: &Subject<'_>, args: &str) -> Result<Output, ApiError> {
    let table = subject.table;
    let access = subject
        .schema
        .types
        .inserts(table)
        .ok_or_else(|| subject.denied("insert", &subject.name))?;
    let insert: Insert = arguments_text(args)?;
    let output = subject.output(
        insert.returning.as_deref(),
        "; \"returning\" can only be used if the role has \"select\" permission on the table",
    )?;
    let path = args_path().key("objects");
    if insert.objects.is_empty() {
        return Err(ApiError::new(Code::UnexpectedPayload, "objects should not be empty").at(path));
    }
    let mut rows = Vec::with_capacity(insert.objects.len());
    let mut given: Vec<ColumnId> = Vec::new();
    for (index, cells) in insert.objects.iter().enumerate() {
        let path = path.clone().index(index);
        let mut row = NewRow::default();
        for (name, raw) in cells {
            let column =
                subject.writable("insert", name, &access.columns, &access.presets, &path)?;
            let value = subject.value(column, raw, &path.clone().key(name.clone()))?;
            row.columns.push((column, value));
            if !given.contains(&column) {
                given.push(column);
            }
        }
        rows.push(row);
    }
    let on_conflict = match &insert.on_conflict {
        None => None,
        Some(conflict) => Some(subject.conflict(conflict, given)?),
    };
    let rows = NewRows { table, rows: RowsInput::Each(rows), on_conflict, path: args_path() };
    subject.write(Write::Insert { rows, output }).await
}

#[derive(Deserialize)]
struct WrittenUpdate {
    #[serde(rename = "where")]
    filter: Box<RawValue>,
    #[serde(default, rename = "$set")]
    set: Cells,
    #[serde(default, rename = "$inc")]
    inc: Cells,
    #[serde(default, rename = "$mul")]
    mul: Cells,
    #[serde(default, rename = "$default")]
    default: Vec<String>,
    #[serde(default)]
    returning: Option<Vec<String>>,
}

pub(super) async fn update(subject: &Subject<'_>, args: &str) -> Result<Output, ApiError> {
    let table = subject.table;
    let access = subject
        .schema
        .types
        .updates_of(table)
        .ok_or_else(|| subject.denied("update", &subject.name))?;
    let update: WrittenUpdate = arguments_text(args)?;
    subject.reads("update")?;
    let mut set = Vec::new();
    type Wrap = fn(Operand) -> AssignedValue;
    let operators: [(&str, &Cells, UpdateOperator, Wrap); 3] = [
        ("$set", &update.set, UpdateOperator::Set, AssignedValue::One),
        ("$inc", &update.inc, UpdateOperator::Inc, AssignedValue::One),
        ("$mul", &update.mul, UpdateOperator::Set, AssignedValue::Times),
    ];
    for (word, cells, operator, wrap) in operators {
        let path = args_path().key(word);
        for (name, raw) in cells {
            let column =
                subject.writable("update", name, &access.columns, &access.presets, &path)?;
            let given = subject.value(column, raw, &path.clone().key(name.clone()))?;
            let value = given.map_or(AssignedValue::Null, wrap);
            once(&set, column, name, &path)?;
            set.push(Assignment { column, operator, value });
        }
    }
    let path = args_path().key("$default");
    for name in &update.default {
        let column = subject.writable("update", name, &access.columns, &access.presets, &path)?;
        once(&set, column, name, &path)?;
        set.push(Assignment {
            column,
            operator: UpdateOperator::Set,
            value: AssignedValue::Default,
        });
    }
    if set.is_empty() && access.presets.is_empty() {
        return Err(ApiError::new(
            Code::UnexpectedPayload,
            "atleast one of $set, $inc, $mul has to be present",
        )
        .at(args_path()));
    }
    let output = subject.output(update.returning.as_deref(), "")?;
    let rows = Which::Where(subject.filter(&update.filter)?);
    let update = Update { table, set, rows, path: args_path() };
    subject.write(Write::Update { update, nested: Vec::new(), output }).await
}

/// A column gets one value.
fn once(set: &[Assignment], column: ColumnId, name: &str, path: &JsonPath) -> Result<(), ApiError> {
    if set.iter().all(|other| other.column != column) {
        return Ok(());
    }
    let message =
        format!("column \"{name}\" is set by more than one of $set, $inc, $mul, $default");
    Err(ApiError::new(Code::UnexpectedPayload, message).at(path.clone().key(name.to_owned())))
}

#[derive(Deserialize)]
struct WrittenDelete {
    #[serde(rename = "where")]
    filter: Box<RawValue>,
    #[serde(default)]
    returning: Option<Vec<String>>,
}

pub(super) async fn delete(subject: &Subject<'_>, args: &str) -> Result<Output, ApiError> {
    let table = subject.table;
    if subject.schema.types.deletes_of(table).is_none() {
        return Err(subject.denied("delete", &subject.name));
    }
    let delete: WrittenDelete = arguments_text(args)?;
    subject.reads("delete")?;
    let output = subject.output(delete.returning.as_deref(), "")?;
    let rows = Which::Where(subject.filter(&delete.filter)?);
    let delete = Delete { table, rows, path: args_path() };
    subject.write(Write::Delete { delete, output }).await
}

impl Subject<'_> {
    async fn write(&self, write: Write) -> Result<Output, ApiError> {
        let root = RootSelection::Write(Box::new(write));
        as_output(&self.run(OperationKind::Mutation, root, Vec::new()).await?)
    }

    /// `where` can tell what is in rows, so it needs the right to read them.
    fn reads(&self, command: &str) -> Result<(), ApiError> {
        self.selects(self.table).map(|_| ()).map_err(|mut error| {
            error.message = format!(
                "{}; \"{command}\" is only allowed if the role has \"select\" permission as \"where\" can't be used \
                 without \"select\" permission on the table",
                error.message
            )
            .into();
            error
        })
    }

    fn filter(&self, raw: &RawValue) -> Result<Predicate, ApiError> {
        let json: Value = serde_json::from_str(raw.get())
            .map_err(|error| ApiError::new(Code::InvalidJson, error.to_string()))?;
        self.condition(self.table, &json, &args_path().key("where"))
    }

    /// A column that the role may write.
    fn writable(
        &self,
        command: &str,
        name: &str,
        allowed: &ColumnSet,
        presets: &Presets,
        path: &JsonPath,
    ) -> Result<ColumnId, ApiError> {
        let refuse = |code, message: String| Err(ApiError::new(code, message).at(path.clone()));
        let role = &self.session.role;
        let column = self.column(self.table, name);
        if let Some(column) = column {
            if presets.iter().any(|(preset, _)| *preset == column) {
                let message = format!(
                    "column \"{name}\" is not {} for role \"{role}\"; its value is predefined in permission",
                    if command == "insert" { "insertable" } else { "updatable" }
                );
                return refuse(Code::NotSupported, message);
            }
            if allowed.contains(column) {
                return Ok(column);
            }
        }
        if self.is_admin() {
            return refuse(Code::NotExists, format!("\"{name}\" does not exist"));
        }
        let message =
            format!("role \"{role}\" does not have permission to {command} column \"{name}\"");
        refuse(Code::PermissionDenied, message)
    }

    /// A value of a column; `None` is null.
    fn value(
        &self,
        column: ColumnId,
        raw: &RawValue,
        path: &JsonPath,
    ) -> Result<Option<Operand>, ApiError> {
        if raw.get() == "null" {
            return Ok(None);
        }
        let scalar = self
            .schema
            .scalar(self.table, column)
            .ok_or_else(|| ApiError::internal("a column has no type"))?;
        let text = scalar_from_json(scalar, raw)
            .map_err(|problem| BindError::new(path.clone(), problem))?;
        Ok(Some(Operand::Const(text.into())))
    }

    /// `affected_rows`, and `returning` where it is asked for.
    fn output(
        &self,
        returning: Option<&[String]>,
        more: &'static str,
    ) -> Result<WriteOutput, ApiError> {
        let key = |name: &str| name.into();
        let field = ResponseField::AffectedRows;
        let mut selected = vec![ResponseSelected { key: key("affected_rows"), field }];
        if let Some(names) = returning {
            self.selects(self.table).map_err(|mut error| {
                error.message = format!("{}{more}", error.message).into();
                error
            })?;
            let path = args_path().key("returning");
            let mut columns = Vec::with_capacity(names.len());
            for name in names {
                let column = self.returnable(name, &path)?;
                let field = SelectedField::Column { column, path: None, upper_case: false };
                columns.push(Selected { key: key(name), field });
            }
            let field = ResponseField::Returning(columns);
            selected.push(ResponseSelected { key: key("returning"), field });
        }
        Ok(WriteOutput::Response(selected))
    }

    /// A column of `returning`.
    fn returnable(&self, name: &str, path: &JsonPath) -> Result<ColumnId, ApiError> {
        if self.is_admin() && self.column(self.table, name).is_none() {
            let message = format!("no such column exists : \"{name}\"");
            return Err(ApiError::new(Code::PermissionDenied, message).at(path.clone()));
        }
        self.selectable(self.table, name, path)
    }

    fn conflict(
        &self,
        written: &WrittenConflict,
        given: Vec<ColumnId>,
    ) -> Result<OnConflict, ApiError> {
        let path = args_path().key("on_conflict");
        let constraint = match (&written.constraint, &written.constraint_on) {
            (Some(_), Some(_)) => {
                return Err(ApiError::new(
                    Code::UnexpectedPayload,
                    "'constraint' and 'constraint_on' cannot be set at a time",
                )
                .at(path));
            }
            (None, None) => None,
            (Some(name), None) => Some(self.constraint_named(name, &path)?),
            (None, Some(Names::One(name))) => {
                Some(self.constraint_on(std::slice::from_ref(name), &path)?)
            }
            (None, Some(Names::Several(names))) => Some(self.constraint_on(names, &path)?),
        };
        let Some(access) = self.schema.types.updates_of(self.table) else {
            let role = &self.session.role;
            return Err(ApiError::new(
                Code::PermissionDenied,
                format!(
                    "upsert is not allowed for role \"{role}\" since update permissions are not defined"
                ),
            )
            .at(path));
        };
        let columns = match (&written.action, constraint) {
            (ConflictAction::Ignore, _) => Vec::new(),
            (ConflictAction::Update, None) => {
                return Err(ApiError::new(
                    Code::UnexpectedPayload,
                    "Expecting 'constraint' or 'constraint_on' when the 'action' is 'update'",
                )
                .at(path));
            }
            (ConflictAction::Update, Some(_)) => self.updated(access, given, &path)?,
        };
        Ok(OnConflict { constraint, columns, filter: Predicate::TRUE })
    }

    /// The columns that take the new values.
    fn updated(
        &self,
        access: &UpdateAccess,
        given: Vec<ColumnId>,
        path: &JsonPath,
    ) -> Result<Vec<ColumnId>, ApiError> {
        let refused = given.iter().find(|column| !access.columns.contains(**column));
        let Some(column) = refused else { return Ok(given) };
        let name = self.schema.column(self.table, *column).map_or("", |column| &column.name);
        Err(ApiError::new(Code::ValidationFailed, format!("column \"{name}\" is not updatable"))
            .at(path.clone()))
    }

    fn constraint_named(&self, name: &str, path: &JsonPath) -> Result<u16, ApiError> {
        let found = self.keys().find(|(_, key, _)| **key == *name).map(|(index, ..)| index);
        found.ok_or_else(|| {
            ApiError::new(
                Code::Unexpected,
                format!("constraint \"{name}\" for table \"{}\" does not exist", self.name),
            )
            .with_status(400)
            .at(path.clone().key("constraint"))
        })
    }

    fn constraint_on(&self, names: &[String], path: &JsonPath) -> Result<u16, ApiError> {
        let path = path.clone().key("constraint_on");
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let column = self.column(self.table, name).ok_or_else(|| {
                ApiError::new(Code::NotExists, format!("\"{name}\" does not exist"))
                    .at(path.clone())
            })?;
            columns.push(column);
        }
        let same = |key: &[ColumnId]| {
            key.len() == columns.len() && key.iter().all(|column| columns.contains(column))
        };
        self.keys().find(|(.., key)| same(key)).map(|(index, ..)| index).ok_or_else(|| {
            ApiError::new(
                Code::Unexpected,
                "no unique constraint has exactly the columns of constraint_on",
            )
            .with_status(400)
            .at(path)
        })
    }

    /// The primary key (0) and the unique constraints.
    fn keys(&self) -> impl Iterator<Item = (u16, &str, &[ColumnId])> {
        let table = self.schema.table(self.table);
        let primary = table.and_then(|table| table.primary_key.as_ref()).map(|key| (0, key));
        let uniques = table.into_iter().flat_map(|table| {
            table.uniques.iter().zip(1_u16..).map(|(key, position)| (position, key))
        });
        primary
            .into_iter()
            .chain(uniques)
            .map(|(position, key)| (position, key.name.as_ref(), key.columns.as_slice()))
    }
}
