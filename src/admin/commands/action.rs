//! Custom types and actions.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};
use crate::metadata::action::{Action, ActionDefinition, ActionPermission, CustomTypes};
use crate::metadata::{Metadata, NonEmpty};
use crate::schema::tracked::ObjectKind;
use crate::schema::tracked::action::{CUSTOM_TYPES, action_name};

/// Says anew what all custom types are.
pub(super) async fn set_types(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let types: CustomTypes = arguments(args)?;
    draft.metadata.custom_types = types;
    draft.check(Some((ObjectKind::CustomTypes, CUSTOM_TYPES.to_owned()))).await?;
    success()
}

#[derive(Deserialize)]
struct Define {
    name: Arc<str>,
    definition: ActionDefinition,
    #[serde(default)]
    comment: Option<String>,
}

fn find<'a>(metadata: &'a mut Metadata, name: &str) -> Result<&'a mut Action, ApiError> {
    metadata.actions.iter_mut().find(|action| *action.name == *name).ok_or_else(|| {
        ApiError::new(Code::NotExists, format!("action with name \"{name}\" does not exist"))
    })
}

pub(super) async fn create(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Define { name, definition, comment } = arguments(args)?;
    if find(&mut draft.metadata, &name).is_ok() {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!("action with name \"{name}\" already exists"),
        ));
    }
    let object = action_name(&name);
    draft.metadata.actions.push(Action { name, definition, comment, permissions: Vec::new() });
    draft.check(Some((ObjectKind::Action, object))).await?;
    success()
}

/// Gives an action another definition; its permissions stay.
pub(super) async fn update(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let Define { name, definition, comment } = arguments(args)?;
    let action = find(&mut draft.metadata, &name)?;
    action.definition = definition;
    action.comment = comment;
    draft.check(Some((ObjectKind::Action, action_name(&name)))).await?;
    success()
}

#[derive(Deserialize)]
struct Drop {
    name: Arc<str>,
    /// Of asynchronous actions, whose data nothing writes.
    #[serde(default, rename = "clear_data")]
    _clear_data: Option<bool>,
}

pub(super) async fn drop(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let drop: Drop = arguments(args)?;
    find(&mut draft.metadata, &drop.name)?;
    draft.metadata.actions.retain(|action| action.name != drop.name);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct Permit {
    action: Arc<str>,
    role: NonEmpty,
    #[serde(default)]
    comment: Option<String>,
}

pub(super) async fn create_permission(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let Permit { action: name, role, comment } = arguments(args)?;
    let action = find(&mut draft.metadata, &name)?;
    if action.permissions.iter().any(|other| other.role == role) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!("permission for role \"{role}\" is already defined on \"{name}\""),
        ));
    }
    action.permissions.push(ActionPermission { role, comment });
    draft.check(None).await?;
    success()
}

pub(super) async fn drop_permission(
    draft: &mut Draft<'_>,
    args: &Value,
) -> Result<Output, ApiError> {
    let Permit { action: name, role, .. } = arguments(args)?;
    let action = find(&mut draft.metadata, &name)?;
    let before = action.permissions.len();
    action.permissions.retain(|other| other.role != role);
    if action.permissions.len() == before {
        return Err(ApiError::new(
            Code::NotExists,
            format!("permission for role: \"{role}\" is not defined on \"{name}\""),
        ));
    }
    draft.check(None).await?;
    success()
}
