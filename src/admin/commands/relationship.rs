//! Relationships.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, arguments, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code, JsonPath};
use crate::metadata::relationship::{ForeignKeyOn, Relationship, Using};
use crate::metadata::{NonEmpty, QualifiedName, Table};
use crate::schema::tracked::ObjectKind;
use crate::schema::tracked::inconsistency::object_name;

use super::table::default_source;

#[derive(Deserialize)]
struct Create {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    name: NonEmpty,
    using: Using,
    #[serde(default)]
    comment: Option<String>,
}

pub(super) async fn create_object(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    create(draft, args, ObjectKind::ObjectRelation).await
}

pub(super) async fn create_array(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    create(draft, args, ObjectKind::ArrayRelation).await
}

async fn create(draft: &mut Draft<'_>, args: &Value, kind: ObjectKind) -> Result<Output, ApiError> {
    let create: Create = arguments(args)?;
    if let (ObjectKind::ArrayRelation, Using::ForeignKeyConstraintOn(on)) = (kind, &create.using)
        && !matches!(on, ForeignKeyOn::Remote(_))
    {
        return Err(ApiError::new(Code::ParseFailed, "Expecting object { table, columns }.")
            .at(JsonPath::root().key("using").key("foreign_key_constraint_on")));
    }
    let table = draft.table_mut(&create.source, &create.table)?;
    if table.relationships().any(|other| other.name == create.name) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!(
                "field with name \"{}\" already exists in table \"{}\"",
                create.name, create.table
            ),
        ));
    }
    let name = object_name(kind, &create.name, &create.source, &create.table);
    let list = match kind {
        ObjectKind::ObjectRelation => &mut table.object_relationships,
        _ => &mut table.array_relationships,
    };
    list.push(Relationship { name: create.name, using: create.using, comment: create.comment });
    draft.check(Some((kind, name))).await?;
    success()
}

#[derive(Deserialize)]
struct Named {
    #[serde(default = "default_source")]
    source: Arc<str>,
    table: QualifiedName,
    #[serde(alias = "name")]
    relationship: NonEmpty,
    #[serde(default)]
    cascade: bool,
    #[serde(default)]
    new_name: Option<NonEmpty>,
    #[serde(default)]
    comment: Option<String>,
}

fn find<'t>(table: &'t mut Table, name: &str) -> Option<&'t mut Relationship> {
    table
        .object_relationships
        .iter_mut()
        .chain(&mut table.array_relationships)
        .find(|relationship| *relationship.name == *name)
}

fn missing(named: &Named) -> ApiError {
    ApiError::new(
        Code::NotExists,
        format!("relationship \"{}\" does not exist", named.relationship),
    )
    .at(JsonPath::root().key("args").key("relationship"))
}

pub(super) async fn drop(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let named: Named = arguments(args)?;
    let table = draft.table_mut(&named.source, &named.table)?;
    if find(table, &named.relationship).is_none() {
        return Err(missing(&named));
    }
    table.object_relationships.retain(|found| found.name != named.relationship);
    table.array_relationships.retain(|found| found.name != named.relationship);
    super::settle(draft, named.cascade).await?;
    success()
}

pub(super) async fn rename(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let named: Named = arguments(args)?;
    let Some(new_name) = named.new_name.clone() else {
        return Err(ApiError::new(Code::ParseFailed, "key \"new_name\" not found"));
    };
    let tracked = draft.tracked().clone();
    let table = draft.table_mut(&named.source, &named.table)?;
    if new_name != named.relationship && table.relationships().any(|other| other.name == new_name) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!(
                "cannot rename relationship \"{}\" to \"{new_name}\" in table \"{}\" as a column/relationship with the name already exists",
                named.relationship, named.table
            ),
        ));
    }
    let Some(found) = find(table, &named.relationship) else { return Err(missing(&named)) };
    found.name = new_name.clone();
    crate::admin::changes::rename_relationship(
        &mut draft.metadata,
        &tracked,
        (&named.source, &named.table),
        &named.relationship,
        &new_name,
    );
    draft.check(None).await?;
    success()
}

pub(super) async fn set_comment(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let named: Named = arguments(args)?;
    let table = draft.table_mut(&named.source, &named.table)?;
    let Some(found) = find(table, &named.relationship) else { return Err(missing(&named)) };
    found.comment.clone_from(&named.comment);
    draft.check(None).await?;
    success()
}
