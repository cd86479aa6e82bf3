//! Query collections and the allow list.

use serde::Deserialize;
use serde_json::Value;

use crate::admin::command::{Output, args_path, arguments, output, success};
use crate::admin::draft::Draft;
use crate::base::{ApiError, Code, JsonPath};
use crate::metadata::collection::{AllowlistEntry, AllowlistScope, ListedQuery, QueryCollection};
use crate::metadata::{Metadata, NonEmpty};
use crate::schema::tracked::stored;

fn find<'a>(metadata: &'a mut Metadata, name: &str) -> Result<&'a mut QueryCollection, ApiError> {
    metadata.query_collections.iter_mut().find(|found| *found.name == *name).ok_or_else(|| {
        ApiError::new(
            Code::NotExists,
            format!("query collection with name \"{name}\" does not exist"),
        )
    })
}

fn has(metadata: &Metadata, name: &str) -> bool {
    metadata.query_collections.iter().any(|found| *found.name == *name)
}

fn is_free(metadata: &Metadata, name: &str, at: JsonPath) -> Result<(), ApiError> {
    if has(metadata, name) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!("query collection with name \"{name}\" already exists"),
        )
        .at(at));
    }
    Ok(())
}

fn readable(query: &ListedQuery, at: JsonPath) -> Result<(), ApiError> {
    match stored::read(&query.query) {
        Ok(_) => Ok(()),
        Err(error) => Err(ApiError::new(Code::ParseFailed, error.to_string()).at(at)),
    }
}

pub(super) async fn create(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let collection: QueryCollection = arguments(args)?;
    is_free(&draft.metadata, &collection.name, args_path().key("name"))?;
    let queries = &collection.definition.queries;
    let at = args_path().key("definition").key("queries");
    for (index, query) in queries.iter().enumerate() {
        readable(query, at.clone().index(index).key("query"))?;
        if queries.iter().take(index).any(|other| other.name == query.name) {
            return Err(ApiError::new(
                Code::NotSupported,
                format!("found duplicate query names \"{}\"", query.name),
            )
            .at(at));
        }
    }
    draft.metadata.query_collections.push(collection);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct Rename {
    name: NonEmpty,
    new_name: NonEmpty,
}

/// Gives a collection another name, also where it is referred to.
pub(super) async fn rename(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let rename: Rename = arguments(args)?;
    let metadata = &mut draft.metadata;
    is_free(metadata, &rename.new_name, args_path().key("new_name"))?;
    find(metadata, &rename.name)?.name = rename.new_name.clone();
    for entry in &mut metadata.allowlist {
        if entry.collection == rename.name {
            entry.collection = rename.new_name.clone();
        }
    }
    for endpoint in &mut metadata.rest_endpoints {
        let reference = &mut endpoint.definition.query;
        if reference.collection_name == rename.name {
            reference.collection_name = rename.new_name.clone();
        }
    }
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct Drop {
    collection: NonEmpty,
    #[serde(default)]
    cascade: bool,
}

/// Drops a collection; with `cascade` also from the allow list.
pub(super) async fn drop(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let drop: Drop = arguments(args)?;
    let metadata = &mut draft.metadata;
    let at = args_path().key("collection");
    find(metadata, &drop.collection).map_err(|error| error.at(at.clone()))?;
    if metadata.allowlist.iter().any(|entry| entry.collection == drop.collection) {
        if !drop.cascade {
            return Err(ApiError::new(
                Code::DependencyError,
                format!(
                    "query collection with name \"{}\" is present in the allowlist; cannot proceed to drop",
                    drop.collection
                ),
            )
            .at(at));
        }
        metadata.allowlist.retain(|entry| entry.collection != drop.collection);
    }
    metadata.query_collections.retain(|found| found.name != drop.collection);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct AddQuery {
    collection_name: NonEmpty,
    query_name: NonEmpty,
    query: std::sync::Arc<str>,
}

pub(super) async fn add_query(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let add: AddQuery = arguments(args)?;
    let query = ListedQuery { name: add.query_name, query: add.query };
    readable(&query, args_path().key("query"))?;
    let collection = find(&mut draft.metadata, &add.collection_name)?;
    let queries = &mut collection.definition.queries;
    if queries.iter().any(|other| other.name == query.name) {
        return Err(ApiError::new(
            Code::AlreadyExists,
            format!(
                "query with name \"{}\" already exists in collection \"{}\"",
                query.name, add.collection_name
            ),
        ));
    }
    queries.push(query);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct DropQuery {
    collection_name: NonEmpty,
    query_name: NonEmpty,
}

pub(super) async fn drop_query(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let drop: DropQuery = arguments(args)?;
    let collection = find(&mut draft.metadata, &drop.collection_name)?;
    let queries = &mut collection.definition.queries;
    let before = queries.len();
    queries.retain(|query| query.name != drop.query_name);
    if queries.len() == before {
        return Err(ApiError::new(
            Code::NotFound,
            format!(
                "query with name \"{}\" not found in collection \"{}\"",
                drop.query_name, drop.collection_name
            ),
        )
        .with_status(400));
    }
    draft.check(None).await?;
    success()
}

/// Puts a collection on the allow list; one that is there keeps its scope.
pub(super) async fn allow(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let entry: AllowlistEntry = arguments(args)?;
    let metadata = &mut draft.metadata;
    find(metadata, &entry.collection).map_err(|error| error.at(args_path().key("collection")))?;
    if metadata.allowlist.iter().any(|other| other.collection == entry.collection) {
        return output(&serde_json::json!({"message": format!(
            "collection \"{}\" already exists in the allowlist, scope ignored; \
             to change scope, use update_scope_of_collection_in_allowlist",
            entry.collection
        )}));
    }
    metadata.allowlist.push(entry);
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct SetScope {
    collection: NonEmpty,
    scope: AllowlistScope,
}

pub(super) async fn set_scope(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let set: SetScope = arguments(args)?;
    let metadata = &mut draft.metadata;
    find(metadata, &set.collection).map_err(|error| error.at(args_path().key("collection")))?;
    let entry = metadata.allowlist.iter_mut().find(|entry| entry.collection == set.collection);
    let Some(entry) = entry else {
        return Err(ApiError::new(
            Code::NotFound,
            format!("collection \"{}\" doesn't exist in the allowlist", set.collection),
        )
        .with_status(400));
    };
    entry.scope = set.scope;
    draft.check(None).await?;
    success()
}

#[derive(Deserialize)]
struct Disallow {
    collection: NonEmpty,
}

pub(super) async fn disallow(draft: &mut Draft<'_>, args: &Value) -> Result<Output, ApiError> {
    let disallow: Disallow = arguments(args)?;
    let metadata = &mut draft.metadata;
    find(metadata, &disallow.collection)
        .map_err(|error| error.at(args_path().key("collection")))?;
    metadata.allowlist.retain(|entry| entry.collection != disallow.collection);
    draft.check(None).await?;
    success()
}
