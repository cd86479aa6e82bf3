//! Actions and the types that metadata defines for them.
//!
//! ```text
//! custom_types ─▶ types (scalars among those of the databases)
//! actions ──────▶ TrackedAction: arguments, output, handler, roles
//! ```
//!
//! What is wrong with the types is told of all of them at once, as Hasura
//! does, and leaves all actions out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::action::Handler;
use crate::catalog::model::ColumnId;
use crate::graphql::Name;
use crate::metadata::action::{
    Action, ActionArgument, ActionKind, ActionOperation, CustomTypes, OutputObject,
    RelationshipKind, TypeRelationship,
};
use crate::metadata::source::DEFAULT_SOURCE;
use crate::metadata::{Metadata, QualifiedName};
use crate::schema::naming::is_graphql_name;
use crate::schema::scalars::ID;
use crate::schema::types::{Kind, Root, TypeId, TypeRef, Wrap};
use crate::sql::InvalidIdent;

use super::inconsistency::{Inconsistency, ObjectKind, Place};
use super::{Cardinality, Tracked, TrackedId};

/// A type that metadata defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomId {
    /// Position in [`Actions::types`].
    pub at: u32,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionId(pub u32);

/// All actions with their types.
#[derive(Debug, Default)]
pub struct Actions {
    pub types: Vec<CustomType>,
    pub list: Vec<TrackedAction>,
    by_name: HashMap<Name, CustomId>,
}

#[derive(Debug)]
pub struct CustomType {
    pub name: Name,
    pub description: Option<String>,
    pub kind: CustomKind,
}

#[derive(Debug)]
pub enum CustomKind {
    /// Values with their descriptions.
    Enum(IndexMap<Name, Option<String>>),
    Input(Vec<CustomField>),
    Object {
        fields: Vec<CustomField>,
        relationships: Vec<CustomRelationship>,
    },
}

/// A field of a type, or an argument of an action.
#[derive(Debug)]
pub struct CustomField {
    pub name: Name,
    pub description: Option<String>,
    pub ty: TypeRef,
}

/// From an object to the rows of a table.
#[derive(Debug)]
pub struct CustomRelationship {
    pub name: Name,
    pub cardinality: Cardinality,
    pub target: TrackedId,
    /// Fields of the object with the columns that have the same value.
    pub join: Vec<(Name, ColumnId)>,
}

#[derive(Debug)]
pub struct TrackedAction {
    pub id: ActionId,
    pub name: Name,
    pub description: Option<String>,
    pub root: Root,
    pub arguments: Vec<CustomField>,
    pub output: TypeRef,
    pub handler: Handler,
    /// Roles that metadata lets call it.
    pub roles: BTreeSet<Name>,
}

impl Actions {
    pub fn get(&self, id: ActionId) -> Option<&TrackedAction> {
        self.list.get(id.0 as usize)
    }

    pub fn custom(&self, id: CustomId) -> Option<&CustomType> {
        self.types.get(id.at as usize)
    }

    pub fn by_name(&self, name: &str) -> Option<CustomId> {
        self.by_name.get(name).copied()
    }

    /// Whether some handler gets headers of the client.
    pub fn forward_headers(&self) -> bool {
        self.list.iter().any(|action| action.handler.forwards())
    }
}

/// Adds what metadata says of actions. `taken` are the names of types that are
/// in use.
pub(super) fn add(tracked: &mut Tracked, metadata: &Metadata, taken: &HashSet<String>) {
    let types = &metadata.custom_types;
    if let Err(error) = add_scalars(tracked, metadata) {
        tracing::warn!(%error, "a scalar of actions is left out");
    }
    match resolve_types(tracked, types, taken) {
        Ok((types, by_name)) => {
            tracked.actions.types = types;
            tracked.actions.by_name = by_name;
        }
        Err(Refused { problems, table }) => {
            let reasons = match problems.as_slice() {
                [one] => format!("because {one}"),
                all => {
                    let lines: Vec<String> =
                        all.iter().map(|problem| format!("  • {problem}\n")).collect();
                    format!("for the following reasons:\n{}", lines.concat())
                }
            };
            tracked.inconsistencies.push(Inconsistency::new(
                ObjectKind::CustomTypes,
                CUSTOM_TYPES.to_owned(),
                format!("validation for the given custom types failed {reasons}"),
                definition(types),
                Place { source: DEFAULT_SOURCE.into(), table, ..Place::default() },
            ));
            for action in &metadata.actions {
                tracked.inconsistencies.push(told(action, "custom types are inconsistent"));
            }
            return;
        }
    }
    let mut seen: HashSet<&str> = HashSet::new();
    for action in &metadata.actions {
        let resolved = match seen.insert(&action.name) {
            true => resolve(tracked, action),
            false => Err(format!("the action \"{}\" is listed twice", action.name)),
        };
        match resolved {
            Ok(resolved) => tracked.actions.list.push(resolved),
            Err(reason) => {
                let reason = format!("in action \"{}\"; {reason}", action.name);
                tracked.inconsistencies.push(told(action, &reason));
            }
        }
    }
}

/// Makes the scalars that types and arguments name.
fn add_scalars(tracked: &mut Tracked, metadata: &Metadata) -> Result<(), InvalidIdent> {
    if metadata.actions.is_empty() && metadata.custom_types == CustomTypes::default() {
        return Ok(());
    }
    tracked.scalars.custom(&ID.into(), None)?;
    let types = &metadata.custom_types;
    let inputs = types.input_objects.iter().flat_map(|object| &object.fields);
    let outputs = types.objects.iter().flat_map(|object| &object.fields);
    let arguments = metadata.actions.iter().flat_map(|action| &action.definition.arguments);
    let named = inputs.chain(outputs).chain(arguments).map(|field| &*field.ty);
    for ty in named.chain(metadata.actions.iter().map(|action| &*action.definition.output_type)) {
        if let Ok((name, _)) = parse_type(ty) {
            tracked.scalars.of_postgres(name)?;
        }
    }
    for scalar in types.scalars.iter().filter(|scalar| is_graphql_name(&scalar.name)) {
        if tracked.scalars.of_postgres(&scalar.name)?.is_none() {
            tracked.scalars.custom(&scalar.name, scalar.description.as_deref())?;
        }
    }
    Ok(())
}

/// How messages call all custom types together.
pub const CUSTOM_TYPES: &str = "custom_types custom_types";

/// `action create_user`
pub fn action_name(name: &str) -> String {
    format!("action {name}")
}

fn told(action: &Action, reason: &str) -> Inconsistency {
    let definition = json!({
        "name": action.name,
        "definition": action.definition,
        "comment": action.comment,
    });
    Inconsistency::new(
        ObjectKind::Action,
        action_name(&action.name),
        reason,
        definition,
        Place { named: action.name.clone(), ..Place::default() },
    )
}

/// An action whose name at a root is that of something else.
pub(super) fn duplicate(
    metadata: Option<&Metadata>,
    root: Root,
    name: &str,
) -> Option<Inconsistency> {
    let action = metadata?.actions.iter().find(|action| *action.name == *name)?;
    let reason = format!("duplicate definitions of the field \"{name}\" in {}", root.name());
    Some(told(action, &reason))
}

/// Types as metadata says them, with nulls where it says nothing.
fn definition(types: &CustomTypes) -> Value {
    fn list<T>(items: &[T], show: impl Fn(&T) -> Value) -> Value {
        if items.is_empty() { Value::Null } else { items.iter().map(show).collect() }
    }
    fn field(field: &ActionArgument) -> Value {
        json!({"name": field.name, "type": field.ty, "description": field.description})
    }
    json!({
        "input_objects": list(&types.input_objects, |object| json!({
            "name": object.name,
            "description": object.description,
            "fields": list(&object.fields, field),
        })),
        "objects": list(&types.objects, |object| json!({
            "name": object.name,
            "description": object.description,
            "fields": list(&object.fields, |written| {
                let mut out = field(written);
                if let Value::Object(map) = &mut out {
                    map.insert("arguments".to_owned(), Value::Null);
                }
                out
            }),
            "relationships": list(&object.relationships, |relationship| json!({
                "name": relationship.name,
                "type": relationship.kind,
                "remote_table": relationship.remote_table,
                "source": relationship.source.as_deref().unwrap_or(DEFAULT_SOURCE),
                "field_mapping": relationship.field_mapping,
            })),
        })),
        "scalars": list(&types.scalars, |scalar| json!({
            "name": scalar.name, "description": scalar.description,
        })),
        "enums": list(&types.enums, |found| json!({
            "name": found.name,
            "description": found.description,
            "values": list(&found.values, |value| json!({
                "value": value.value,
                "description": value.description,
                "is_deprecated": value.is_deprecated,
            })),
        })),
    })
}

/// `[Name!]!` as a name and what is around it.
pub fn parse_type(text: &str) -> Result<(&str, Wrap), String> {
    let bad = || format!("\"{text}\" is no type of GraphQL");
    let mut rest = text.trim();
    // From the outside to the inside.
    let mut levels = Vec::new();
    loop {
        let non_null = rest.strip_suffix('!').map(str::trim_end);
        levels.push(non_null.is_some());
        rest = non_null.unwrap_or(rest);
        let Some(inner) = rest.strip_prefix('[') else { break };
        rest = inner.strip_suffix(']').ok_or_else(bad)?.trim();
        if levels.len() > 16 {
            break;
        }
    }
    if !is_graphql_name(rest) {
        return Err(bad());
    }
    let mut non_null = 0_u32;
    for (level, set) in levels.iter().rev().enumerate() {
        non_null |= u32::from(*set) << level;
    }
    let depth = u8::try_from(levels.len() - 1).unwrap_or(u8::MAX);
    let wrap = Wrap::lists(depth, u8::try_from(non_null).unwrap_or(u8::MAX));
    wrap.map(|wrap| (rest, wrap)).ok_or_else(|| format!("\"{text}\" nests too many lists"))
}

/// Why types are refused.
#[derive(Debug, Default)]
struct Refused {
    problems: Vec<String>,
    /// A table that a relationship misses.
    table: Option<QualifiedName>,
}

type Resolved = (Vec<CustomType>, HashMap<Name, CustomId>);

/// The names that occur more than once, quoted.
fn duplicates<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut seen = HashSet::new();
    let mut twice: Vec<String> = Vec::new();
    for name in names {
        if !seen.insert(name) && !twice.iter().any(|other| other.trim_matches('"') == name) {
            twice.push(format!("\"{name}\""));
        }
    }
    (!twice.is_empty()).then(|| twice.join(", "))
}

fn resolve_types(
    tracked: &Tracked,
    types: &CustomTypes,
    taken: &HashSet<String>,
) -> Result<Resolved, Refused> {
    let mut refused = Refused::default();
    let mut names: Vec<Name> = Vec::new();
    names.extend(types.enums.iter().map(|found| found.name.clone()));
    names.extend(types.input_objects.iter().map(|found| found.name.clone()));
    names.extend(types.objects.iter().map(|found| found.name.clone()));
    let scalars = types.scalars.iter().map(|found| &*found.name);
    if let Some(twice) = duplicates(scalars.clone().chain(names.iter().map(|name| &**name))) {
        refused.problems.push(format!("duplicate type names: {twice}"));
    }
    for name in scalars.chain(names.iter().map(|name| &**name)) {
        if !is_graphql_name(name) {
            refused.problems.push(format!("\"{name}\" is not a valid GraphQL name"));
        }
    }
    for name in &names {
        let own = types.scalars.iter().any(|scalar| scalar.name == *name);
        if taken.contains(&**name) || (!own && tracked.scalars.by_name(name).is_some()) {
            refused.problems.push(format!("the type name \"{name}\" is used already"));
        }
    }
    if !refused.problems.is_empty() {
        return Err(refused);
    }
    let (enums, inputs) = (types.enums.len(), types.input_objects.len());
    let by_name: HashMap<Name, CustomId> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let kind = match index {
                index if index < enums => Kind::Enum,
                index if index < enums + inputs => Kind::InputObject,
                _ => Kind::Object,
            };
            (name.clone(), CustomId { at: u32::try_from(index).unwrap_or(u32::MAX), kind })
        })
        .collect();
    let mut out = Vec::with_capacity(names.len());
    for found in &types.enums {
        if let Some(twice) = duplicates(found.values.iter().map(|value| &*value.value)) {
            let problem = format!("the enum type \"{}\" has duplicate values: {twice}", found.name);
            refused.problems.push(problem);
        }
        for value in found.values.iter().filter(|value| !is_graphql_name(&value.value)) {
            let problem = format!("\"{}\" is not a valid GraphQL name", value.value);
            refused.problems.push(problem);
        }
        if found.values.is_empty() {
            refused.problems.push(format!("the enum type \"{}\" has no values", found.name));
        }
        let values =
            found.values.iter().map(|value| (value.value.clone(), value.description.clone()));
        out.push(CustomType {
            name: found.name.clone(),
            description: found.description.clone(),
            kind: CustomKind::Enum(values.collect()),
        });
    }
    let is_object = |name: &str| types.objects.iter().any(|object| *object.name == *name);
    let is_input = |name: &str| types.input_objects.iter().any(|object| *object.name == *name);
    let around = Around { tracked, by_name: &by_name };
    for object in &types.input_objects {
        if let Some(twice) = duplicates(object.fields.iter().map(|field| &*field.name)) {
            let problem =
                format!("the input object \"{}\" has duplicate fields: {twice}", object.name);
            refused.problems.push(problem);
        }
        let what = format!("input object type \"{}\"", object.name);
        let fields = around.fields(&object.fields, &what, |name| !is_object(name), &mut refused);
        out.push(CustomType {
            name: object.name.clone(),
            description: object.description.clone(),
            kind: CustomKind::Input(fields),
        });
    }
    for object in &types.objects {
        let relationships = object.relationships.iter().map(|found| &*found.name);
        let fields = object.fields.iter().map(|field| &*field.name);
        if let Some(twice) = duplicates(fields.chain(relationships)) {
            let problem = format!("the object \"{}\" has duplicate fields: {twice}", object.name);
            refused.problems.push(problem);
        }
        let what = format!("object type \"{}\"", object.name);
        let fields = around.fields(&object.fields, &what, |name| !is_input(name), &mut refused);
        let relationships = object
            .relationships
            .iter()
            .filter_map(|written| around.relationship(object, &fields, written, &mut refused))
            .collect();
        out.push(CustomType {
            name: object.name.clone(),
            description: object.description.clone(),
            kind: CustomKind::Object { fields, relationships },
        });
    }
    if refused.problems.is_empty() { Ok((out, by_name)) } else { Err(refused) }
}

/// What types are resolved against.
struct Around<'a> {
    tracked: &'a Tracked,
    by_name: &'a HashMap<Name, CustomId>,
}

impl Around<'_> {
    /// A type by its name: one of metadata or a scalar.
    fn named(&self, name: &str) -> Option<TypeId> {
        let custom = self.by_name.get(name).map(|id| TypeId::Custom(*id));
        custom.or_else(|| self.tracked.scalars.by_name(name).map(TypeId::Scalar))
    }

    fn ty(&self, text: &str) -> Result<TypeRef, String> {
        let (name, wrap) = parse_type(text)?;
        let base = self.named(name).ok_or_else(|| name.to_owned())?;
        Ok(TypeRef { base, wrap })
    }

    fn fields(
        &self,
        written: &[ActionArgument],
        what: &str,
        allowed: impl Fn(&str) -> bool,
        refused: &mut Refused,
    ) -> Vec<CustomField> {
        if written.is_empty() {
            refused.problems.push(format!("the {what} has no fields"));
        }
        let mut out = Vec::with_capacity(written.len());
        for field in written {
            if !is_graphql_name(&field.name) {
                refused.problems.push(format!("\"{}\" is not a valid GraphQL name", field.name));
                continue;
            }
            let base = match parse_type(&field.ty) {
                Ok((base, _)) => base,
                Err(problem) => {
                    refused.problems.push(problem);
                    continue;
                }
            };
            match self.ty(&field.ty) {
                Ok(ty) if allowed(base) => out.push(CustomField {
                    name: field.name.clone(),
                    description: field.description.clone(),
                    ty,
                }),
                _ => refused.problems.push(format!(
                    "the type \"{base}\" for field \"{}\" in  {what} does not exist",
                    field.name
                )),
            }
        }
        out
    }

    fn relationship(
        &self,
        object: &OutputObject,
        fields: &[CustomField],
        written: &TypeRelationship,
        refused: &mut Refused,
    ) -> Option<CustomRelationship> {
        let (name, of) = (&written.name, &object.name);
        let before = refused.problems.len();
        if !is_graphql_name(name) {
            refused.problems.push(format!("\"{name}\" is not a valid GraphQL name"));
        }
        let source = written.source.as_deref().unwrap_or(DEFAULT_SOURCE);
        let target = self.tracked.source_named(source).and_then(|source| {
            let target = self.tracked.find(source, &written.remote_table)?;
            Some((target, self.tracked.db_table(target)?))
        });
        let Some((target, table)) = target else {
            refused.table.get_or_insert_with(|| written.remote_table.clone());
            refused.problems.push(format!(
                "the remote table \"{}\" for relationship \"{name}\" of object type \"{of}\" does not exist",
                written.remote_table
            ));
            return None;
        };
        let mut join = Vec::with_capacity(written.field_mapping.len());
        for (own, column) in &written.field_mapping {
            match fields.iter().find(|field| field.name == *own) {
                Some(CustomField { ty: TypeRef { base: TypeId::Scalar(_), wrap }, .. }) => {
                    if !matches!(wrap, Wrap::Nullable | Wrap::NonNull) {
                        refused.problems.push(format!(
                            "the type of the field \"{own}\" for relationship \"{name}\" in object type \"{of}\" is a list type"
                        ));
                    }
                }
                _ => refused.problems.push(format!(
                    "the field \"{own}\" for relationship \"{name}\" in object type \"{of}\" does not exist"
                )),
            }
            match table.columns.iter().find(|found| *found.name == **column) {
                Some(found) => join.push((own.clone(), found.id)),
                None => refused.problems.push(format!(
                    "the column \"{column}\" of remote table \"{}\" for relationship \"{name}\" of object type \"{of}\" does not exist",
                    written.remote_table
                )),
            }
        }
        if join.is_empty() && refused.problems.len() == before {
            refused
                .problems
                .push(format!("the relationship \"{name}\" in object type \"{of}\" maps no field"));
        }
        (refused.problems.len() == before).then(|| CustomRelationship {
            name: name.clone(),
            cardinality: match written.kind {
                RelationshipKind::Object => Cardinality::Object,
                RelationshipKind::Array => Cardinality::Array,
            },
            target,
            join,
        })
    }
}

fn resolve(tracked: &Tracked, action: &Action) -> Result<TrackedAction, String> {
    let definition = &action.definition;
    if !is_graphql_name(&action.name) {
        return Err(format!("\"{}\" is not a valid GraphQL name", action.name));
    }
    let root = match (definition.operation, definition.kind) {
        (ActionOperation::Query, _) => Root::Query,
        (ActionOperation::Mutation, Some(ActionKind::Asynchronous)) => {
            return Err("asynchronous actions are not run by this version".to_owned());
        }
        (ActionOperation::Mutation, _) => Root::Mutation,
    };
    let around = Around { tracked, by_name: &tracked.actions.by_name };
    let is = |base: TypeId, wanted: fn(&CustomKind) -> bool| match base {
        TypeId::Custom(id) => tracked.actions.custom(id).is_some_and(|found| wanted(&found.kind)),
        _ => true,
    };
    let mut arguments: Vec<CustomField> = Vec::with_capacity(definition.arguments.len());
    for written in &definition.arguments {
        if !is_graphql_name(&written.name) {
            return Err(format!("\"{}\" is not a valid GraphQL name", written.name));
        }
        if arguments.iter().any(|other| other.name == written.name) {
            return Err(format!("the argument \"{}\" is listed twice", written.name));
        }
        let (base, _) = parse_type(&written.ty)?;
        let ty = around
            .ty(&written.ty)
            .ok()
            .filter(|ty| is(ty.base, |kind| !matches!(kind, CustomKind::Object { .. })))
            .ok_or_else(|| {
                format!(
                    "the type: \"{base}\" is not defined in custom types or it is not a scalar/enum/input_object"
                )
            })?;
        arguments.push(CustomField {
            name: written.name.clone(),
            description: written.description.clone(),
            ty,
        });
    }
    let (base, _) = parse_type(&definition.output_type)?;
    let output = around
        .ty(&definition.output_type)
        .ok()
        .filter(|ty| is(ty.base, |kind| !matches!(kind, CustomKind::Input(_))))
        .ok_or_else(|| {
            format!("the type: \"{base}\" is not an object type defined in custom types")
        })?;
    Ok(TrackedAction {
        id: ActionId(u32::try_from(tracked.actions.list.len()).unwrap_or(u32::MAX)),
        name: action.name.clone(),
        description: action.comment.clone().filter(|text| !text.is_empty()),
        root,
        arguments,
        output,
        handler: Handler::resolve(action)?,
        roles: action.permissions.iter().map(|permission| permission.role.shared()).collect(),
    })
}

/// Names of roles that some action names, however they are bound to the
/// database otherwise.
pub(super) fn roles(actions: &Actions) -> BTreeSet<Arc<str>> {
    actions.list.iter().flat_map(|action| action.roles.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_from_the_outside() {
        let shown = |text: &str| parse_type(text).map(|(name, wrap)| wrap.around(name));
        for text in ["A", "A!", "[A!]", "[A!]!", "[A]", "[A]!", "[[A!]]!", "[[[A]!]!]"] {
            assert_eq!(shown(text), Ok(text.to_owned()));
        }
        assert_eq!(shown(" [ A ! ] ! "), Ok("[A!]!".to_owned()));
        for text in ["", "!", "[A", "A]", "A!!", "[]", "9", "[A!]!!", "__A", "A B", &"[".repeat(99)]
        {
            assert!(shown(text).is_err(), "{text}");
        }
        let deep = format!("{}A{}", "[".repeat(8), "]".repeat(8));
        assert!(shown(&deep).is_err_and(|error| error.contains("too many")));
    }

    #[test]
    fn items_are_what_is_inside() {
        let base = TypeId::Scalar(crate::schema::scalars::STRING);
        let ty = |text: &str| TypeRef { base, wrap: parse_type(text).expect(text).1 };
        for (list, item) in [("[A!]", "A!"), ("[A]!", "A"), ("[[A!]!]!", "[A!]!"), ("[[A]]", "[A]")]
        {
            assert_eq!(ty(list).item(), Some(ty(item)), "{list}");
        }
        assert_eq!(ty("A!").item(), None);
        assert_eq!(ty("[A]!").without_non_null(), ty("[A]"));
        assert!(ty("[[A]]!").is_non_null() && !ty("[[A!]!]").is_non_null());
    }
}
