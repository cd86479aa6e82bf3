//! Inherited roles.

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};
use crate::metadata::NonEmpty;
use crate::metadata::document::InheritedRole;
use crate::schema::tracked::ObjectKind;

/// Adds a role, or says anew which roles it stands for.
pub(super) async fn add(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let role: InheritedRole = arguments(args)?;
    if role.role_set.is_empty() {
        return Err(ApiError::new(Code::ParseFailed, "role_set must name at least one role"));
    }
    if role.role_set.contains(&role.role_name) {
        return Err(ApiError::new(
            Code::InvalidConfiguration,
            format!("role {} may not inherit from itself", role.role_name),
        )
        .with_status(400));
    }
    let name = role.role_name.clone();
    let roles = &mut draft.metadata.inherited_roles;
    match roles.iter_mut().find(|other| other.role_name == name) {
        Some(other) => *other = role,
        None => roles.push(role),
    }
    draft.check(Some((ObjectKind::InheritedRole, format!("inherited role {name}")))).await?;
    success()
}

#[derive(Deserialize)]
struct Named {
    role_name: NonEmpty,
}

pub(super) async fn drop(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let named: Named = arguments(args)?;
    let roles = &mut draft.metadata.inherited_roles;
    let before = roles.len();
    roles.retain(|role| role.role_name != named.role_name);
    if roles.len() == before {
        return Err(ApiError::new(
            Code::NotExists,
            format!("{} inherited role doesn't exist", named.role_name),
        ));
    }
    draft.check(None).await?;
    success()
}
