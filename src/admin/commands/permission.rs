//! Permissions on tables.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admin::command::{Output, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code};
use crate::metadata::permission::{
    DeletePermission, InsertPermission, Permission, SelectPermission, UpdatePermission,
};
use crate::metadata::{NonEmpty, QualifiedName, Table};
use crate::schema::tracked::ObjectKind;
use crate::schema::tracked::inconsistency::object_name;

use super::table::default_source;

#[derive(Deserialize)]
struct Create<T> {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    role: NonEmpty,
    permission: T,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    role: NonEmpty,
}

/// A command on tables, as its permissions are listed.
trait Kind: DeserializeOwned {
    const OBJECT: ObjectKind;
    const WORD: &'static str;

    fn list(table: &mut Table) -> &mut Vec<Permission<Self>>;
}

impl Kind for SelectPermission {
    const OBJECT: ObjectKind = ObjectKind::SelectPermission;
    const WORD: &'static str = "select";

    fn list(table: &mut Table) -> &mut Vec<Permission<Self>> {
        &mut table.select_permissions
    }
}

impl Kind for InsertPermission {
    const OBJECT: ObjectKind = ObjectKind::InsertPermission;
    const WORD: &'static str = "insert";

    fn list(table: &mut Table) -> &mut Vec<Permission<Self>> {
        &mut table.insert_permissions
    }
}

impl Kind for UpdatePermission {
    const OBJECT: ObjectKind = ObjectKind::UpdatePermission;
    const WORD: &'static str = "update";

    fn list(table: &mut Table) -> &mut Vec<Permission<Self>> {
        &mut table.update_permissions
    }
}

impl Kind for DeletePermission {
    const OBJECT: ObjectKind = ObjectKind::DeletePermission;
    const WORD: &'static str = "delete";

    fn list(table: &mut Table) -> &mut Vec<Permission<Self>> {
        &mut table.delete_permissions
    }
}

async fn create<T: Kind>(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let create: Create<T> = arguments(args)?;
    let list = T::list(draft.table_mut(&create.source, &create.table)?);
    if &*create.role == "admin" || list.iter().any(|other| other.role == create.role) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!(
                "{} permission already defined on table \"{}\" with role \"{}\"",
                T::WORD,
                create.table,
                create.role
            ),
        ));
    }
    let name = object_name(T::OBJECT, &create.role, &create.source, &create.table);
    list.push(Permission {
        role: create.role,
        permission: create.permission,
        comment: create.comment,
    });
    draft.check(Some((T::OBJECT, name))).await?;
    success()
}

async fn drop<T: Kind>(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let named: Named = arguments(args)?;
    let list = T::list(draft.table_mut(&named.source, &named.table)?);
    let before = list.len();
    list.retain(|permission| permission.role != named.role);
    if list.len() == before {
        return Err(missing(T::WORD, &named));
    }
    draft.check(None).await?;
    success()
}

fn missing(word: &str, named: &Named) -> ApiError {
    ApiError::new(
        Code::PermissionDenied,
        format!(
            "{word} permission on table \"{}\" for role \"{}\" does not exist",
            named.table, named.role
        ),
    )
    .with_status(400)
}

pub(super) async fn create_select(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    create::<SelectPermission>(draft, args).await
}

pub(super) async fn create_insert(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    create::<InsertPermission>(draft, args).await
}

pub(super) async fn create_update(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    create::<UpdatePermission>(draft, args).await
}

pub(super) async fn create_delete(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    create::<DeletePermission>(draft, args).await
}

pub(super) async fn drop_select(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    drop::<SelectPermission>(draft, args).await
}

pub(super) async fn drop_insert(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    drop::<InsertPermission>(draft, args).await
}

pub(super) async fn drop_update(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    drop::<UpdatePermission>(draft, args).await
}

pub(super) async fn drop_delete(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    drop::<DeletePermission>(draft, args).await
}

#[derive(Deserialize)]
struct SetComment {
    #[serde(flatten)]
    named: Named,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    comment: Option<String>,
}

pub(super) async fn set_comment(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let set: SetComment = arguments(args)?;
    let table = draft.table_mut(&set.named.source, &set.named.table)?;
    let found = match set.kind.as_str() {
        "select" => comment_in(&mut table.select_permissions, &set),
        "insert" => comment_in(&mut table.insert_permissions, &set),
        "update" => comment_in(&mut table.update_permissions, &set),
        "delete" => comment_in(&mut table.delete_permissions, &set),
        _ => {
            return Err(ApiError::new(
                Code::ParseFailed,
                "expected one of select, insert, update, delete",
            ));
        }
    };
    if !found {
        return Err(missing(&set.kind, &set.named));
    }
    draft.check(None).await?;
    success()
}

fn comment_in<T>(list: &mut [Permission<T>], set: &SetComment) -> bool {
    match list.iter_mut().find(|permission| permission.role == set.named.role) {
        Some(found) => {
            found.comment.clone_from(&set.comment);
            true
        }
        None => false,
    }
}
