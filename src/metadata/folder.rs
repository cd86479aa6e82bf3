//! Metadata as a folder of YAML files, in the layout of Hasura's CLI v3.
//!
//! ```text
//! version.yaml                 version: 3
//! databases/databases.yaml     sources; tables and functions as "!include …"
//! databases/<source>/tables/   tables.yaml and a file a table
//! databases/<source>/functions/
//! actions.yaml  actions.graphql  allow_list.yaml  cron_triggers.yaml  query_collections.yaml  …
//! ```
//!
//! Reading takes a reference to a file (`"!include path"`, or the tag) at any
//! place. A folder of version 2 (`tables.yaml`, `functions.yaml`) is read too.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::document::ParseError;
use super::{Metadata, QualifiedName, Source, sdl};

/// Files that name each other in a circle.
const MAX_INCLUDES: usize = 16;

/// Keys of the document, and their files. Lists come first, then objects.
const LISTS: [(&str, &str); 6] = [
    ("remote_schemas", "remote_schemas.yaml"),
    ("query_collections", "query_collections.yaml"),
    ("allowlist", "allow_list.yaml"),
    ("cron_triggers", "cron_triggers.yaml"),
    ("rest_endpoints", "rest_endpoints.yaml"),
    ("inherited_roles", "inherited_roles.yaml"),
];
const OBJECTS: [(&str, &str); 6] = [
    ("api_limits", "api_limits.yaml"),
    ("graphql_schema_introspection", "graphql_schema_introspection.yaml"),
    ("metrics_config", "metrics_config.yaml"),
    ("network", "network.yaml"),
    ("opentelemetry", "opentelemetry.yaml"),
    ("backend_configs", "backend_configs.yaml"),
];
const INCLUDE: &str = "!include";
const ACTIONS: &str = "actions.yaml";
const ACTION_TYPES: &str = "actions.graphql";

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Yaml { path: PathBuf, source: yaml_serde::Error },
    #[error("{}: {what}", path.display())]
    Shape { path: PathBuf, what: String },
    #[error("{} has no version.yaml, so it is no metadata folder", .0.display())]
    NoFolder(PathBuf),
    #[error("the metadata in {}: {source}", path.display())]
    Document { path: PathBuf, source: ParseError },
}

/// Reads a folder.
pub fn read(folder: &Path) -> Result<Metadata, FolderError> {
    let document = document(folder)?;
    Metadata::from_json(&document)
        .map_err(|source| FolderError::Document { path: folder.to_owned(), source })
}

fn document(folder: &Path) -> Result<Value, FolderError> {
    let version = folder.join("version.yaml");
    let Some(version) = optional(&version)? else {
        return Err(FolderError::NoFolder(folder.to_owned()));
    };
    let version = version.get("version").and_then(Value::as_u64).unwrap_or_default();
    let mut out = Map::new();
    out.insert("version".to_owned(), version.into());
    let databases = folder.join("databases").join("databases.yaml");
    if version == 3 {
        out.insert("sources".to_owned(), load(&databases, 0)?);
    } else {
        for key in ["tables", "functions"] {
            let found = optional(&folder.join(format!("{key}.yaml")))?;
            out.insert(key.to_owned(), found.unwrap_or_else(|| json!([])));
        }
    }
    for (key, file) in LISTS.into_iter().chain(OBJECTS) {
        match optional(&folder.join(file))? {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) if map.is_empty() => {}
            Some(found) => {
                out.insert(key.to_owned(), found);
            }
        }
    }
    out.extend(read_actions(folder)?);
    Ok(Value::Object(out))
}

/// `actions` and `custom_types`: the types are in `actions.graphql`, the rest in
/// `actions.yaml`, which may have the types too.
fn read_actions(folder: &Path) -> Result<Map<String, Value>, FolderError> {
    let mut out = match optional(&folder.join(ACTIONS))? {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let path = folder.join(ACTION_TYPES);
    let wrong = |what: String| FolderError::Shape { path: path.clone(), what };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(FolderError::File { path, source }),
    };
    let (actions, types) = sdl::read(&text).map_err(wrong)?;
    let mut written = list(out.remove("actions"));
    let mut merged = Vec::with_capacity(actions.len());
    for typed in actions {
        let found = take_named(&mut written, &typed.name)
            .ok_or_else(|| wrong(format!("the action {} is not in {ACTIONS}", typed.name)))?;
        let mut action = found;
        if let Some(Value::Object(definition)) = action.get_mut("definition") {
            definition.insert("type".to_owned(), json!(typed.operation));
            definition.insert("arguments".to_owned(), json!(typed.arguments));
            definition.insert("output_type".to_owned(), json!(typed.output_type));
        }
        merged.push(action);
    }
    let typed = |action: &Value| {
        action.pointer("/definition/output_type").is_some_and(|found| !found.is_null())
    };
    if let Some(action) = written.iter().find(|action| !typed(action)) {
        let name = action.get("name").and_then(Value::as_str).unwrap_or_default();
        return Err(wrong(format!("the types of the action {name} are missing")));
    }
    merged.extend(written);
    out.insert("actions".to_owned(), merged.into());

    let mut written = match out.remove("custom_types") {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let mut all = Map::new();
    for (kind, content, types) in [
        ("scalars", "name", json!(types.scalars)),
        ("enums", "values", json!(types.enums)),
        ("input_objects", "fields", json!(types.input_objects)),
        ("objects", "fields", json!(types.objects)),
    ] {
        let mut written = list(written.remove(kind));
        let mut merged = Vec::new();
        for mut ty in list(Some(types)) {
            let name = ty.get("name").and_then(Value::as_str).unwrap_or_default();
            let found = take_named(&mut written, name);
            if let (Some(Value::Object(found)), Value::Object(ty)) = (found, &mut ty) {
                add_to_type(ty, found);
            }
            merged.push(ty);
        }
        if let Some(ty) = written.iter().find(|ty| ty.get(content).is_none_or(Value::is_null)) {
            let name = ty.get("name").and_then(Value::as_str).unwrap_or_default();
            return Err(wrong(format!("the type {name} is missing")));
        }
        merged.extend(written);
        all.insert(kind.to_owned(), merged.into());
    }
    out.insert("custom_types".to_owned(), all.into());
    Ok(out)
}

/// What the other file says of a type; only that of types says what is in it.
fn add_to_type(ty: &mut Map<String, Value>, written: Map<String, Value>) {
    for (key, found) in written {
        match key.as_str() {
            "fields" => {}
            // Which of them are deprecated, is not in the file of types.
            "values" => {
                let found = list(Some(found));
                let values = ty.get_mut("values").and_then(Value::as_array_mut);
                for value in values.into_iter().flatten() {
                    let same = |other: &&Value| other.get("value") == value.get("value");
                    if let Some(other) = found.iter().find(same).cloned() {
                        *value = other;
                    }
                }
            }
            _ => drop(ty.insert(key, found)),
        }
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn take_named(items: &mut Vec<Value>, name: &str) -> Option<Value> {
    let at = items.iter().position(|item| item.get("name").is_some_and(|found| found == name))?;
    Some(items.remove(at))
}

/// `actions.yaml` and `actions.graphql`, as Hasura's CLI divides them.
fn write_actions(folder: &Path, metadata: &Metadata) -> Result<(), FolderError> {
    let (mut actions, mut types) = (json!(metadata.actions), json!(metadata.custom_types));
    for action in actions.as_array_mut().into_iter().flatten() {
        if let Some(Value::Object(definition)) = action.get_mut("definition") {
            for key in ["type", "arguments", "output_type"] {
                definition.remove(key);
            }
        }
    }
    if let Value::Object(types) = &mut types {
        for kind in ["enums", "input_objects", "objects", "scalars"] {
            let listed = types.entry(kind).or_insert_with(|| json!([]));
            for ty in listed.as_array_mut().into_iter().flatten() {
                if let Value::Object(ty) = ty {
                    ty.remove("fields");
                }
            }
        }
    }
    put(&folder.join(ACTIONS), &json!({"actions": actions, "custom_types": types}))?;
    put_text(&folder.join(ACTION_TYPES), &sdl::write(&metadata.actions, &metadata.custom_types))
}

/// `None` when there is no such file.
fn optional(path: &Path) -> Result<Option<Value>, FolderError> {
    match load(path, 0) {
        Ok(found) => Ok(Some(found)),
        Err(FolderError::File { source, path: missing })
            if source.kind() == io::ErrorKind::NotFound && missing == path =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads a file with all that it includes.
fn load(path: &Path, nested: usize) -> Result<Value, FolderError> {
    if nested > MAX_INCLUDES {
        let what = "files include each other in a circle".to_owned();
        return Err(FolderError::Shape { path: path.to_owned(), what });
    }
    let text = fs::read_to_string(path)
        .map_err(|source| FolderError::File { path: path.to_owned(), source })?;
    let yaml: yaml_serde::Value = yaml_serde::from_str(&text)
        .map_err(|source| FolderError::Yaml { path: path.to_owned(), source })?;
    convert(path, yaml, nested)
}

fn convert(path: &Path, yaml: yaml_serde::Value, nested: usize) -> Result<Value, FolderError> {
    use yaml_serde::Value as Yaml;
    let wrong = |what: &str| FolderError::Shape { path: path.to_owned(), what: what.to_owned() };
    let include = |name: &str| {
        let folder = path.parent().unwrap_or(Path::new("."));
        load(&folder.join(name.trim()), nested + 1)
    };
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => value.into(),
            (_, Some(value), _) => value.into(),
            (_, _, Some(value)) => value.into(),
            _ => return Err(wrong("a number cannot be read")),
        },
        Yaml::String(text) => match text.strip_prefix(INCLUDE) {
            Some(name) if name.starts_with(' ') => include(name)?,
            _ => text.into(),
        },
        Yaml::Sequence(items) => {
            items.into_iter().map(|item| convert(path, item, nested)).collect::<Result<_, _>>()?
        }
        Yaml::Mapping(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for (key, value) in entries {
                let Yaml::String(key) = key else { return Err(wrong("a key is no text")) };
                map.insert(key, convert(path, value, nested)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tagged) if tagged.tag == INCLUDE => match &tagged.value {
            Yaml::String(name) => include(name)?,
            _ => return Err(wrong("!include takes the name of a file")),
        },
        Yaml::Tagged(tagged) => {
            return Err(wrong(&format!("the tag {} is not known", tagged.tag)));
        }
    })
}

/// Writes a folder; files of objects that are no longer there stay, and nothing
/// includes them.
pub fn write(folder: &Path, metadata: &Metadata) -> Result<(), FolderError> {
    let document = serde_json::to_value(metadata).unwrap_or_default();
    let databases = folder.join("databases");
    put(&folder.join("version.yaml"), &json!({"version": 3}))?;
    let mut sources = Vec::with_capacity(metadata.sources.len());
    for source in &metadata.sources {
        sources.push(write_source(&databases, source)?);
    }
    put(&databases.join("databases.yaml"), &sources.into())?;
    for (key, file) in LISTS {
        put(&folder.join(file), document.get(key).unwrap_or(&json!([])))?;
    }
    for (key, file) in OBJECTS {
        put(&folder.join(file), document.get(key).unwrap_or(&json!({})))?;
    }
    write_actions(folder, metadata)
}

/// The files of a source; answers its entry in `databases.yaml`.
fn write_source(databases: &Path, source: &Source) -> Result<Value, FolderError> {
    let mut taken = HashSet::new();
    let name = file_name(&source.name, &mut taken);
    let mut entry = serde_json::to_value(source).unwrap_or_default();
    if let Value::Object(map) = &mut entry {
        let mut parts = [("tables", Vec::new()), ("functions", Vec::new())];
        let [tables, functions] = &mut parts;
        tables.1 = source.tables.iter().map(|table| &table.table).collect();
        functions.1 = source.functions.iter().map(|function| &function.function).collect();
        for (kind, names) in parts {
            let items = match map.get(kind) {
                Some(Value::Array(items)) => items.clone(),
                _ => continue,
            };
            let folder = databases.join(&name).join(kind);
            write_items(&folder, &format!("{kind}.yaml"), &items, &names)?;
            let include = format!("{INCLUDE} {name}/{kind}/{kind}.yaml");
            map.insert(kind.to_owned(), include.into());
        }
    }
    Ok(entry)
}

/// A file for each item, and one that includes them.
fn write_items(
    folder: &Path,
    index: &str,
    items: &[Value],
    names: &[&QualifiedName],
) -> Result<(), FolderError> {
    let mut taken = HashSet::from([index.to_owned()]);
    let mut includes = Vec::with_capacity(items.len());
    for (item, name) in items.iter().zip(names) {
        let stem = file_name(&format!("{}_{}", name.schema, name.name), &mut taken);
        let file = format!("{stem}.yaml");
        put(&folder.join(&file), item)?;
        includes.push(Value::from(format!("{INCLUDE} {file}")));
    }
    put(&folder.join(index), &includes.into())
}

/// A name that every file system takes, and that no other item has.
fn file_name(name: &str, taken: &mut HashSet<String>) -> String {
    let safe: String = name
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    let mut free = safe.clone();
    let mut number = 1;
    // Some file systems do not tell letters of different case apart.
    while !taken.insert(free.to_lowercase()) {
        number += 1;
        free = format!("{safe}_{number}");
    }
    free
}

fn put(path: &Path, value: &Value) -> Result<(), FolderError> {
    let text = yaml_serde::to_string(value)
        .map_err(|source| FolderError::Yaml { path: path.to_owned(), source })?;
    put_text(path, &text)
}

fn put_text(path: &Path, text: &str) -> Result<(), FolderError> {
    let fail = |source| FolderError::File { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    fs::write(path, text).map_err(fail)
}
