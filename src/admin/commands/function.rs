//! Tracked functions and computed fields.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};
use crate::metadata::function::{
    ComputedField, ComputedFieldDefinition, FunctionConfiguration, FunctionPermission,
};
use crate::metadata::{Function, NonEmpty, QualifiedName};
use crate::schema::tracked::ObjectKind;
use crate::schema::tracked::inconsistency::object_name;

use super::table::default_source;

#[derive(Deserialize)]
struct Track {
    #[serde(default = "default_source")]
    source: Arc<str>,
    function: QualifiedName,
    #[serde(default)]
    configuration: FunctionConfiguration,
    #[serde(default)]
    comment: Option<String>,
}

fn object(source: &str, function: &QualifiedName) -> (ObjectKind, String) {
    (ObjectKind::Function, format!("function {function} in source {source}"))
}

/// Version 1 takes the bare function too.
pub(super) async fn track(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let track = if args.get("function").is_some() {
        arguments(args)?
    } else {
        Track {
            source: default_source(),
            function: arguments(args)?,
            configuration: FunctionConfiguration::default(),
            comment: None,
        }
    };
    let source = draft.source_mut(&track.source)?;
    if source.functions.iter().any(|other| other.function == track.function) {
        return Err(ApiError::new(
            Code::AlreadyTracked,
            format!("function already tracked : \"{}\"", track.function),
        ));
    }
    if source.table(&track.function).is_some() {
        return Err(ApiError::new(
            Code::NotSupported,
            format!("table with name \"{}\" already exists", track.function),
        ));
    }
    source.functions.push(Function {
        configuration: track.configuration,
        comment: track.comment,
        ..Function::new(track.function.clone())
    });
    draft.check(Some(object(&track.source, &track.function))).await?;
    success()
}

#[derive(Deserialize)]
struct Named {
    #[serde(default = "default_source")]
    source: Arc<str>,
    function: QualifiedName,
}

fn find<'d>(draft: &'d mut Draft<'_>, named: &Named) -> Result<&'d mut Function, ApiError> {
    let found = draft
        .source_mut(&named.source)?
        .functions
        .iter_mut()
        .find(|function| function.function == named.function);
    found.ok_or_else(|| missing(&named.function))
}

fn missing(function: &QualifiedName) -> ApiError {
    ApiError::new(Code::NotExists, format!("function \"{function}\" does not exist"))
}

pub(super) async fn untrack(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let named = if args.get("function").is_some() {
        arguments(args)?
    } else {
        Named { source: default_source(), function: arguments(args)? }
    };
    find(draft, &named)?;
    draft.source_mut(&named.source)?.functions.retain(|found| found.function != named.function);
    super::settle(draft, false).await?;
    success()
}

#[derive(Deserialize)]
struct Customize {
    #[serde(flatten)]
    named: Named,
    #[serde(default)]
    configuration: FunctionConfiguration,
}

pub(super) async fn customize(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let customize: Customize = arguments(args)?;
    find(draft, &customize.named)?.configuration = customize.configuration;
    draft.check(Some(object(&customize.named.source, &customize.named.function))).await?;
    success()
}

#[derive(Deserialize)]
struct Permit {
    #[serde(flatten)]
    named: Named,
    role: NonEmpty,
}

pub(super) async fn create_permission(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let permit: Permit = arguments(args)?;
    let tracked = draft.tracked().clone();
    let function = find(draft, &permit.named)?;
    if function.permissions.iter().any(|other| other.role == permit.role) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!(
                "permission of role \"{}\" already exists for function \"{}\" in source: \"{}\"",
                permit.role, permit.named.function, permit.named.source
            ),
        ));
    }
    let returned = tracked
        .functions
        .iter()
        .find(|found| found.call.function == permit.named.function)
        .and_then(|found| match found.returns {
            crate::schema::tracked::Returns::Rows { table, .. } => tracked.table(table),
            crate::schema::tracked::Returns::Scalar(_) => None,
        });
    let selects = returned.is_none_or(|table| {
        table.permissions.get(&permit.role.shared()).is_some_and(|access| access.select.is_some())
    });
    if !selects {
        return Err(ApiError::new(
            Code::PermissionDenied,
            format!(
                "function permission cannot be added as the function \"{}\" returns rows of a table on which the role \
                 \"{}\" has no select permission",
                permit.named.function, permit.role
            ),
        )
        .with_status(400));
    }
    function.permissions.push(FunctionPermission { role: permit.role });
    draft.check(None).await?;
    success()
}

pub(super) async fn drop_permission(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let permit: Permit = arguments(args)?;
    let function = find(draft, &permit.named)?;
    let before = function.permissions.len();
    function.permissions.retain(|other| other.role != permit.role);
    if function.permissions.len() == before {
        return Err(ApiError::new(
            Code::NotExists,
            format!(
                "permission of role \"{}\" does not exist for function \"{}\" in source: \"{}\"",
                permit.role, permit.named.function, permit.named.source
            ),
        ));
    }
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct AddField {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    name: NonEmpty,
    definition: ComputedFieldDefinition,
    #[serde(default)]
    comment: Option<String>,
}

pub(super) async fn add_computed_field(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let add: AddField = arguments(args)?;
    let table = draft.table_mut(&add.source, &add.table)?;
    if table.computed_fields.iter().any(|other| other.name == add.name) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!("field with name \"{}\" already exists in table \"{}\"", add.name, add.table),
        ));
    }
    let name = object_name(ObjectKind::ComputedField, &add.name, &add.source, &add.table);
    table.computed_fields.push(ComputedField {
        name: add.name,
        definition: add.definition,
        comment: add.comment,
    });
    draft.check(Some((ObjectKind::ComputedField, name))).await?;
    success()
}

#[derive(Deserialize)]
struct DropField {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    name: NonEmpty,
    #[serde(default)]
    cascade: bool,
}

pub(super) async fn drop_computed_field(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let drop: DropField = arguments(args)?;
    let table = draft.table_mut(&drop.source, &drop.table)?;
    let before = table.computed_fields.len();
    table.computed_fields.retain(|field| field.name != drop.name);
    if table.computed_fields.len() == before {
        return Err(ApiError::new(
            Code::NotExists,
            format!("computed field \"{}\" does not exist", drop.name),
        )
        .at(crate::base::JsonPath::root().key("args").key("name")));
    }
    // A permission that names the field keeps the rest of what it says.
    let name = drop.name.clone();
    let users: Vec<String> = table
        .select_permissions
        .iter()
        .filter(|written| written.permission.computed_fields.contains(&name))
        .map(|written| {
            format!(
                "permission {}.{}.select in source \"{}\"",
                drop.table, written.role, drop.source
            )
        })
        .collect();
    if !users.is_empty() && !drop.cascade {
        return Err(super::dependents(users));
    }
    for written in &mut table.select_permissions {
        written.permission.computed_fields.retain(|field| *field != name);
    }
    super::settle(draft, drop.cascade).await?;
    success()
}
