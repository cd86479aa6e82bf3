//! Coercion of variables and literals to [`Input`], directed by types.
//!
//! Walking the variables yields the *shape*, a byte string that differs
//! whenever the statement could (which keys an object has, whether a value is
//! null, booleans, enum values), and the *leaves*, the scalars in a fixed
//! order. On a plan-cache hit only these two are made (`BUILD = false`).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::base::JsonPath;
use crate::graphql::{Name, OperationDefinition, OperationKind, TypeExpr, Value};
use crate::schema::Types;
use crate::schema::geojson;
use crate::schema::types::{
    Codec, EnumType, EnumValue, InputField, InputKind, Nesting, ScalarType, TableType, TypeDef,
    TypeId, TypeRef, Wrap, Written,
};

use super::error::{BindError, Problem};
use super::input::{Input, Operand, push_array_element, push_array_null};
use super::json::{JsonKind, json_elements, json_entries, json_kind, json_literal, json_string};
use super::literal::{describe_json, describe_literal, scalar_from_json, scalar_from_literal};

/// Input objects nest at most this deep in variables; documents are bounded by
/// the parser.
const MAX_INPUT_DEPTH: usize = 64;

/// A declared variable with its type resolved.
#[derive(Debug, Clone)]
pub struct Declaration {
    pub name: Name,
    /// As written, for messages.
    pub declared: Box<str>,
    pub ty: TypeRef,
    pub default: Option<Value>,
}

/// The variables of an operation.
#[derive(Debug, Clone)]
pub struct Declarations {
    pub list: Vec<Declaration>,
    /// Whether a request may give no others. Those of mutations may not, as in
    /// Hasura: under a mistyped name an optional variable would be absent, and
    /// a condition without it holds for more rows.
    pub closed: bool,
}

/// Resolves the declarations of an operation.
pub fn declare(types: &Types, operation: &OperationDefinition) -> Result<Declarations, BindError> {
    let list: Result<Vec<Declaration>, BindError> = operation
        .variables
        .iter()
        .map(|definition| {
            let ty = resolve(types, &definition.ty)
                .map_err(|problem| BindError::new(JsonPath::root(), problem))?;
            Ok(Declaration {
                name: definition.name.clone(),
                declared: definition.ty.to_string().into(),
                ty,
                default: definition.default.clone(),
            })
        })
        .collect();
    Ok(Declarations { list: list?, closed: operation.kind == OperationKind::Mutation })
}

fn resolve(types: &Types, ty: &TypeExpr) -> Result<TypeRef, Problem> {
    let named = |name: &Name| {
        let id = types.by_name(name).ok_or_else(|| Problem::UnknownType(name.to_string()))?;
        match types.get(id) {
            Some(TypeDef::Object(_)) | None => Err(Problem::NotAnInput(name.to_string())),
            Some(_) => Ok(id),
        }
    };
    let mut depth = 0_u8;
    // The outermost level is the highest bit.
    let mut non_null = 0_u8;
    let mut inner = ty;
    loop {
        let (next, set) = match inner {
            TypeExpr::Named { non_null, .. } => (None, *non_null),
            TypeExpr::List { item, non_null } => (Some(item), *non_null),
        };
        non_null = non_null << 1 | u8::from(set);
        match next {
            Some(item) if depth < Nesting::MAX_DEPTH => inner = item,
            Some(_) => return Err(Problem::NotAnInput(ty.to_string())),
            None => break,
        }
        depth += 1;
    }
    let TypeExpr::Named { name, .. } = inner else {
        return Err(Problem::NotAnInput(ty.to_string()));
    };
    let base = named(name)?;
    let wrap = match depth {
        // `[T]` is taken for `[T!]`; a null inside is refused when it comes.
        1 if !matches!(base, TypeId::Custom(_) | TypeId::Table(_, TableType::StreamCursor)) => {
            Wrap::List { non_null: non_null >> 1 & 1 == 1 }
        }
        // Nothing but actions takes lists of lists.
        2.. if types.tracked().actions.list.is_empty() => {
            return Err(Problem::NotAnInput(ty.to_string()));
        }
        _ => Wrap::lists(depth, non_null).ok_or_else(|| Problem::NotAnInput(ty.to_string()))?,
    };
    Ok(TypeRef { base, wrap })
}

/// The value of one variable.
#[derive(Debug, Clone, PartialEq)]
pub enum VariableValue {
    Absent,
    Given(Input),
    /// Reported where the variable is used, with the path inside the value.
    Invalid(BindError),
}

/// The variables of one request.
#[derive(Debug, Default)]
pub struct Coerced {
    pub shape: Vec<u8>,
    pub leaves: Vec<String>,
    /// In the order of the declarations; empty unless asked for.
    pub values: Vec<VariableValue>,
}

/// Walks the variables. Without `BUILD` the first invalid value is an error;
/// with it, invalid values are kept for the place where they are used. A list
/// of new rows may have `max_rows`.
pub fn coerce<const BUILD: bool>(
    types: &Types,
    declarations: &Declarations,
    variables: Option<&RawValue>,
    max_rows: usize,
) -> Result<Coerced, BindError> {
    let at_variables = |problem| BindError::new(JsonPath::root().key("variableValues"), problem);
    let entries = match variables {
        None => Vec::new(),
        Some(raw) => match json_kind(raw) {
            JsonKind::Null => Vec::new(),
            JsonKind::Object => json_entries(raw.get()).map_err(at_variables)?,
            _ => return Err(at_variables(Problem::VariablesNotAnObject)),
        },
    };
    let given = Given::new(&entries);
    let used = declarations.list.iter().filter(|d| given.get(&d.name).is_some()).count();
    if declarations.closed && used < entries.len() {
        let declared: HashSet<&str> = declarations.list.iter().map(|d| d.name.as_ref()).collect();
        let mut unexpected: Vec<&str> =
            entries.iter().map(|(key, _)| key.as_ref()).filter(|k| !declared.contains(k)).collect();
        unexpected.sort_unstable();
        return Err(BindError::new(
            JsonPath::root(),
            Problem::UnexpectedVariables(unexpected.join(", ")),
        ));
    }
    let mut walker = Walker::<BUILD> { types, max_rows, shape: Vec::new(), leaves: Vec::new() };
    let mut values = Vec::new();
    for declaration in &declarations.list {
        let value = match given.get(&declaration.name) {
            None => match &declaration.default {
                Some(default) => {
                    walker.shape.push(b'd');
                    if BUILD {
                        match literal(types, declaration.ty, default, &NoVariables) {
                            Ok(Some(input)) => VariableValue::Given(input),
                            Ok(None) => VariableValue::Absent,
                            Err(error) => VariableValue::Invalid(error),
                        }
                    } else {
                        VariableValue::Absent
                    }
                }
                // No matter where it is used.
                None if declaration.ty.is_non_null() => {
                    return Err(BindError::new(
                        JsonPath::root(),
                        Problem::MissingVariable(declaration.name.to_string()),
                    ));
                }
                None => {
                    walker.shape.push(b'a');
                    VariableValue::Absent
                }
            },
            Some(raw) => {
                let mut path = JsonPath::root();
                // With a default, null is "no value" even where the type is
                // non-null, as in Hasura.
                let ty = match declaration.default {
                    Some(_) => declaration.ty.without_non_null(),
                    None => declaration.ty,
                };
                match walker.value(ty, raw, &mut path, 0) {
                    Ok(Some(input)) => VariableValue::Given(input),
                    Ok(None) => VariableValue::Absent,
                    Err(problem) => VariableValue::Invalid(BindError::new(path, problem)),
                }
            }
        };
        match value {
            VariableValue::Invalid(error) if !BUILD => return Err(error),
            value if BUILD => values.push(value),
            _ => {}
        }
    }
    Ok(Coerced { shape: walker.shape, leaves: walker.leaves, values })
}

/// The entries of the variables object by name; a few are searched one by one.
enum Given<'a> {
    Few(&'a [(Cow<'a, str>, &'a RawValue)]),
    Many(HashMap<&'a str, &'a RawValue>),
}

impl<'a> Given<'a> {
    fn new(entries: &'a [(Cow<'a, str>, &'a RawValue)]) -> Self {
        if entries.len() <= 8 {
            Given::Few(entries)
        } else {
            Given::Many(entries.iter().map(|(key, value)| (key.as_ref(), *value)).collect())
        }
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        match self {
            Given::Few(entries) => {
                entries.iter().find(|(key, _)| **key == *name).map(|(_, value)| *value)
            }
            Given::Many(entries) => entries.get(name).copied(),
        }
    }
}

struct Walker<'a, const BUILD: bool> {
    types: &'a Types,
    /// The most rows of one insert.
    max_rows: usize,
    shape: Vec<u8>,
    leaves: Vec<String>,
}

impl<const BUILD: bool> Walker<'_, BUILD> {
    fn leaf(&mut self, text: String, wrap: fn(Operand) -> Input) -> Option<Input> {
        self.shape.push(b'v');
        self.leaves.push(text);
        BUILD.then(|| wrap(Operand::Leaf(self.leaves.len() - 1)))
    }

    /// `Ok(None)` without `BUILD` only. On an error `path` ends at its place.
    fn value(
        &mut self,
        ty: TypeRef,
        raw: &RawValue,
        path: &mut JsonPath,
        depth: usize,
    ) -> Result<Option<Input>, Problem> {
        if depth > MAX_INPUT_DEPTH {
            return Err(Problem::TooDeep { limit: MAX_INPUT_DEPTH });
        }
        let kind = json_kind(raw);
        if kind == JsonKind::Null {
            if ty.is_non_null() {
                return Err(unexpected_null(self.types, ty));
            }
            self.shape.push(b'n');
            return Ok(BUILD.then_some(Input::Null));
        }
        if is_of_actions(ty) {
            let (shape, leaves) = (self.shape.len(), self.leaves.len());
            self.checked(ty, raw, kind, path, depth)?;
            // No statement takes it, so none differs for it.
            self.shape.truncate(shape);
            self.leaves.truncate(leaves);
            self.shape.push(b'v');
            return Ok(BUILD.then_some(Input::Checked));
        }
        match ty.wrap {
            Wrap::Nullable | Wrap::NonNull => self.item(ty, raw, kind, path, depth),
            Wrap::List { .. } | Wrap::Deep(_) => {
                // One value stands for a list of it.
                let elements = if kind == JsonKind::List { json_elements(raw)? } else { vec![raw] };
                let item = TypeRef::non_null(ty.base);
                let may_be_null = has_nullable_items(ty);
                if let Some(TypeDef::Scalar(scalar)) = self.types.get(ty.base)
                    && scalar.codec != Codec::Boolean
                {
                    let mut text = String::from("{");
                    for (index, element) in elements.into_iter().enumerate() {
                        path.push_index(index);
                        if json_kind(element) == JsonKind::Null {
                            return Err(unexpected_null(self.types, item));
                        }
                        let element = scalar_from_json(scalar, element)?;
                        push_array_element(&mut text, &element);
                        path.pop();
                    }
                    text.push('}');
                    return Ok(self.leaf(text, Input::Array));
                }
                if let TypeId::Table(_, TableType::InsertInput) = ty.base {
                    if elements.len() > self.max_rows {
                        return Err(Problem::TooManyRows { limit: self.max_rows });
                    }
                    if let Some(input) = self.columns(ty.base, &elements, path)? {
                        return Ok(input);
                    }
                }
                self.shape.push(b'[');
                let mut out = Vec::new();
                for (index, element) in elements.into_iter().enumerate() {
                    path.push_index(index);
                    let kind = json_kind(element);
                    if kind == JsonKind::Null && may_be_null {
                        self.shape.push(b'n');
                        out.extend(BUILD.then_some(Input::Null));
                        path.pop();
                        continue;
                    }
                    if kind == JsonKind::Null {
                        return Err(unexpected_null(self.types, item));
                    }
                    out.extend(self.item(item, element, kind, path, depth + 1)?);
                    path.pop();
                }
                self.shape.push(b']');
                Ok(BUILD.then_some(Input::List(out)))
            }
        }
    }

    /// Goes through a value of a type that only actions have.
    fn checked(
        &mut self,
        ty: TypeRef,
        raw: &RawValue,
        kind: JsonKind,
        path: &mut JsonPath,
        depth: usize,
    ) -> Result<(), Problem> {
        let Some(item) = ty.item() else {
            return self.item(ty, raw, kind, path, depth).map(drop);
        };
        let elements = if kind == JsonKind::List { json_elements(raw)? } else { vec![raw] };
        for (index, element) in elements.into_iter().enumerate() {
            path.push_index(index);
            self.value(item, element, path, depth + 1)?;
            path.pop();
        }
        Ok(())
    }

    /// New rows as one array for each column, so that neither shape nor
    /// statement grows with their number. `None` for rows that are not that
    /// plain: they have rows of other tables in them, or leave out columns that
    /// have a default. What is wrong with them is found by who walks them then.
    fn columns(
        &mut self,
        ty: TypeId,
        elements: &[&RawValue],
        path: &mut JsonPath,
    ) -> Result<Option<Option<Input>>, Problem> {
        let Some(TypeDef::Input(def)) = self.types.get(ty) else { return Ok(None) };
        let mut rows = Vec::with_capacity(elements.len());
        let mut columns: IndexMap<&Name, (&InputField, Written)> = IndexMap::new();
        for (index, element) in elements.iter().enumerate() {
            if json_kind(element) != JsonKind::Object {
                return Ok(None);
            }
            path.push_index(index);
            let row = json_entries(element.get())?;
            path.pop();
            for (at, (key, value)) in row.iter().enumerate() {
                if columns.get_index(at).is_some_and(|(name, _)| ***name == **key) {
                    continue;
                }
                let Some((name, field)) = def.fields.get_key_value(key.as_ref()) else {
                    return Ok(None);
                };
                match field.kind {
                    InputKind::Column(_) => {
                        let written = self.types.written(ty, field.kind);
                        columns.entry(name).or_insert((field, written));
                    }
                    _ if json_kind(value) == JsonKind::Null => {}
                    _ => return Ok(None),
                }
            }
            rows.push(row);
        }
        if columns.is_empty() {
            return Ok(None);
        }
        let mut texts = Vec::with_capacity(columns.len());
        for (at, (name, (field, written))) in columns.iter().enumerate() {
            let mut text = String::from("{");
            for (index, row) in rows.iter().enumerate() {
                let same = row.get(at).filter(|(key, _)| **key == ***name);
                let value = same.or_else(|| row.iter().find(|(key, _)| **key == ***name));
                match value {
                    Some((_, value)) => {
                        path.push_index(index);
                        path.push_key(name.to_string());
                        match self.cell(field.ty.base, *written, value)? {
                            Some(cell) => push_array_element(&mut text, &cell),
                            None => push_array_null(&mut text),
                        }
                        path.pop();
                        path.pop();
                    }
                    None if written.absent_is_null => push_array_null(&mut text),
                    None => return Ok(None),
                }
            }
            text.push('}');
            texts.push((*name, text));
        }
        self.shape.push(b'C');
        let mut out = Vec::with_capacity(texts.len());
        for (name, text) in texts {
            self.shape.extend_from_slice(name.as_bytes());
            self.shape.push(0);
            self.leaves.push(text);
            out.push((name.clone(), Operand::Leaf(self.leaves.len() - 1)));
        }
        self.shape.push(b'.');
        Ok(Some(BUILD.then_some(Input::Columns(out))))
    }

    /// A value of a new row as text; `None` is null.
    fn cell(
        &self,
        ty: TypeId,
        written: Written,
        raw: &RawValue,
    ) -> Result<Option<String>, Problem> {
        let kind = json_kind(raw);
        if kind == JsonKind::Null {
            return if written.never_null {
                Err(unexpected_null(self.types, TypeRef::non_null(ty)))
            } else {
                Ok(None)
            };
        }
        match self.types.get(ty) {
            Some(TypeDef::Scalar(scalar)) => scalar_from_json(scalar, raw).map(Some),
            Some(TypeDef::Enum(def)) => {
                let (word, value) = enum_word(def, raw, kind)?;
                Ok(Some(self.types.stored_word(ty, word, value).to_string()))
            }
            _ => Err(Problem::Schema("a column is no scalar")),
        }
    }

    fn item(
        &mut self,
        ty: TypeRef,
        raw: &RawValue,
        kind: JsonKind,
        path: &mut JsonPath,
        depth: usize,
    ) -> Result<Option<Input>, Problem> {
        match self.types.get(ty.base) {
            Some(TypeDef::Scalar(scalar)) if scalar.codec == Codec::Boolean => {
                let text = scalar_from_json(scalar, raw)?;
                let value = text == "true";
                self.shape.push(if value { b't' } else { b'f' });
                Ok(BUILD.then_some(Input::Boolean(value)))
            }
            Some(TypeDef::Scalar(scalar)) => {
                let text = scalar_from_json(scalar, raw)?;
                Ok(self.leaf(text, Input::Scalar))
            }
            Some(TypeDef::Enum(def)) => {
                let (word, value) = enum_word(def, raw, kind)?;
                self.shape.push(b'e');
                self.shape.extend_from_slice(word.as_bytes());
                self.shape.push(0);
                Ok(BUILD.then(|| Input::Enum(self.types.stored_word(ty.base, word, value))))
            }
            Some(TypeDef::Input(def)) => {
                if kind != JsonKind::Object {
                    return Err(expected("an object", &def.name, describe_json(kind)));
                }
                self.shape.push(b'{');
                let mut out = Vec::new();
                let entries = json_entries(raw.get())?;
                if let TypeId::Custom(_) = ty.base {
                    let given = |name: &str| entries.iter().any(|(key, _)| **key == *name);
                    let missing = def
                        .fields
                        .iter()
                        .find(|(name, field)| field.ty.is_non_null() && !given(name));
                    if let Some((name, _)) = missing {
                        path.push_key(name.to_string());
                        return Err(Problem::MissingArgument(name.to_string()));
                    }
                }
                for (key, inner) in entries {
                    path.push_key(key.to_string());
                    let Some((name, field)) = def.fields.get_key_value(key.as_ref()) else {
                        return Err(Problem::UnknownField {
                            field: key.to_string(),
                            ty: def.name.to_string(),
                        });
                    };
                    self.shape.extend_from_slice(name.as_bytes());
                    self.shape.push(0);
                    if json_kind(inner) == JsonKind::Null
                        && self.types.written(ty.base, field.kind).never_null
                    {
                        return Err(unexpected_null(self.types, field.ty));
                    }
                    let value = self.value(field.ty, inner, path, depth + 1)?;
                    out.extend(value.map(|value| (name.clone(), value)));
                    path.pop();
                }
                self.shape.push(b'}');
                Ok(BUILD.then_some(Input::Object(out)))
            }
            Some(TypeDef::Object(_)) | None => Err(Problem::Schema("an object is no input type")),
        }
    }
}

/// The value of an enum that a JSON text names.
fn enum_word<'d>(
    def: &'d EnumType,
    raw: &RawValue,
    kind: JsonKind,
) -> Result<(&'d Name, &'d EnumValue), Problem> {
    if kind != JsonKind::String {
        return Err(expected("an enum value", &def.name, describe_json(kind)));
    }
    let word = json_string(raw)?;
    match def.values.get_key_value(word.as_ref()) {
        Some(found) => Ok(found),
        None => Err(unknown_value(&def.name, def.values.keys(), &word)),
    }
}

/// Whether a value is for handlers of actions, and not for statements.
fn is_of_actions(ty: TypeRef) -> bool {
    matches!(ty.base, TypeId::Custom(_)) || matches!(ty.wrap, Wrap::Deep(_)) && !is_cursor(ty)
}

fn is_cursor(ty: TypeRef) -> bool {
    matches!(ty.base, TypeId::Table(_, TableType::StreamCursor))
}

/// Of cursors alone among what is not an action's.
fn has_nullable_items(ty: TypeRef) -> bool {
    ty.item().is_some_and(|item| !item.is_non_null())
}

/// The problem of a null where the type wants a value.
pub(super) fn unexpected_null(types: &Types, ty: TypeRef) -> Problem {
    if ty.item().is_some() {
        return Problem::NullList;
    }
    match types.get(ty.base) {
        Some(TypeDef::Input(def)) => expected("an object", &def.name, "null"),
        Some(TypeDef::Enum(def)) => expected("an enum value", &def.name, "null"),
        _ => Problem::UnexpectedNull(types.name(ty.base).to_string()),
    }
}

fn expected(what: &'static str, ty: &str, found: &'static str) -> Problem {
    Problem::Expected { expected: what.into(), ty: ty.to_owned(), found }
}

fn unknown_value<'a>(ty: &str, values: impl Iterator<Item = &'a Name>, found: &str) -> Problem {
    let names: Vec<&str> = values.map(AsRef::as_ref).collect();
    let values = match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one} or {other}"),
        [first @ .., last] => format!("{}, or {last}", first.join(", ")),
    };
    Problem::NotOfEnum { values, ty: ty.to_owned(), found: found.to_owned() }
}

/// Where literals find the variables that stand inside them.
pub trait Environment {
    /// `None` when the document declares no such variable.
    fn variable(&self, name: &str) -> Option<(&Declaration, &VariableValue)>;
}

/// For defaults, which are constant.
pub struct NoVariables;

impl Environment for NoVariables {
    fn variable(&self, _: &str) -> Option<(&Declaration, &VariableValue)> {
        None
    }
}

/// A literal at a place of type `ty`; `None` for a variable without a value.
/// The path of an error is relative to the literal.
pub fn literal(
    types: &Types,
    ty: TypeRef,
    value: &Value,
    environment: &impl Environment,
) -> Result<Option<Input>, BindError> {
    let mut path = JsonPath::root();
    let result = place(types, ty, value, environment, &mut path);
    result.map_err(|error| {
        let mut full = path;
        for segment in error.path.segments() {
            match segment {
                crate::base::PathSegment::Key(key) => full.push_key(key.clone()),
                crate::base::PathSegment::Index(index) => full.push_index(*index),
            }
        }
        BindError::new(full, error.problem)
    })
}

fn place(
    types: &Types,
    ty: TypeRef,
    value: &Value,
    environment: &impl Environment,
    path: &mut JsonPath,
) -> Result<Option<Input>, BindError> {
    match value {
        Value::Variable(name) => variable(types, ty, name, environment),
        Value::Null => Ok(Some(Input::Null)),
        value => match ty.wrap {
            Wrap::Nullable | Wrap::NonNull => item(types, ty, value, environment, path).map(Some),
            Wrap::List { .. } => list(types, ty, value, environment, path).map(Some),
            Wrap::Deep(_) if is_cursor(ty) => list(types, ty, value, environment, path).map(Some),
            Wrap::Deep(_) => deep(types, ty, value, environment, path).map(Some),
        },
    }
}

fn variable(
    types: &Types,
    ty: TypeRef,
    name: &str,
    environment: &impl Environment,
) -> Result<Option<Input>, BindError> {
    let (declaration, value) = environment
        .variable(name)
        .ok_or_else(|| BindError::here(Problem::UnboundVariable(name.to_owned())))?;
    if !fits(types, declaration, ty) {
        return Err(BindError::here(Problem::VariableMismatch {
            name: name.to_owned(),
            declared: declaration.declared.to_string(),
            expected: types.display(ty),
        }));
    }
    match value {
        VariableValue::Absent => Ok(None),
        VariableValue::Given(input) => Ok(Some(input.clone())),
        VariableValue::Invalid(error) => Err(error.clone()),
    }
}

/// Whether a variable may stand at a place: the same type (a single value may
/// stand for a list), and null only where null may stand or a default does.
fn fits(types: &Types, declaration: &Declaration, ty: TypeRef) -> bool {
    let same_name = declaration.ty.base == ty.base
        || match (types.get(declaration.ty.base), types.get(ty.base)) {
            // Text-like scalars read each other's values alike.
            (Some(TypeDef::Scalar(a)), Some(TypeDef::Scalar(b))) => interchangeable(a, b),
            _ => false,
        };
    let (depth, strict) = declaration.ty.wrap.levels();
    let (wanted, bits) = ty.wrap.levels();
    // Whether the outermost may be null is looked at below.
    let inner = (1_u16 << wanted) - 1;
    let items_ok = u16::from(bits) & inner & !u16::from(strict) == 0;
    let shape = match (declaration.ty.wrap, ty.wrap) {
        // One cursor stands for a list of them.
        (Wrap::Nullable | Wrap::NonNull, Wrap::Deep(_)) if is_cursor(ty) => true,
        (Wrap::Deep(_), _) | (_, Wrap::Deep(_)) => depth == wanted && items_ok,
        (Wrap::List { .. }, Wrap::List { .. }) => true,
        (Wrap::List { .. }, _) => false,
        (_, Wrap::List { .. }) => !matches!(types.get(ty.base), Some(TypeDef::Scalar(_))),
        _ => true,
    };
    let nullable_ok =
        !ty.is_non_null() || declaration.ty.is_non_null() || declaration.default.is_some();
    same_name && shape && nullable_ok
}

/// `String` variables are accepted for scalars that are read from text, as
/// clients that generate types often declare them.
fn interchangeable(declared: &ScalarType, expected: &ScalarType) -> bool {
    declared.codec == Codec::String
        && matches!(expected.codec, Codec::Text | Codec::Number | Codec::String)
}

fn list(
    types: &Types,
    ty: TypeRef,
    value: &Value,
    environment: &impl Environment,
    path: &mut JsonPath,
) -> Result<Input, BindError> {
    let items = match value {
        Value::List(items) => items.as_slice(),
        // One value stands for a list of it.
        single => std::slice::from_ref(single),
    };
    let mut out = Vec::new();
    for (index, value) in items.iter().enumerate() {
        path.push_index(index);
        match place(types, TypeRef::non_null(ty.base), value, environment, path)? {
            None | Some(Input::Null) if has_nullable_items(ty) => out.push(Input::Null),
            None | Some(Input::Null) => {
                let ty = TypeRef::non_null(ty.base);
                return Err(BindError::here(unexpected_null(types, ty)));
            }
            Some(input) => out.push(input),
        }
        path.pop();
    }
    // A list of constants is one parameter.
    let constants: Option<Vec<&Arc<str>>> = out
        .iter()
        .map(|input| match input {
            Input::Scalar(Operand::Const(text)) => Some(text),
            _ => None,
        })
        .collect();
    match (constants, types.get(ty.base)) {
        (Some(texts), Some(TypeDef::Scalar(_))) => {
            let mut array = String::from("{");
            for text in texts {
                push_array_element(&mut array, text);
            }
            array.push('}');
            Ok(Input::Array(Operand::Const(array.into())))
        }
        _ => Ok(Input::List(out)),
    }
}

/// A list of a kind that only actions have.
fn deep(
    types: &Types,
    ty: TypeRef,
    value: &Value,
    environment: &impl Environment,
    path: &mut JsonPath,
) -> Result<Input, BindError> {
    let Some(item) = ty.item() else {
        return Err(BindError::here(Problem::Schema("a list has no items")));
    };
    let items = match value {
        Value::List(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    for (index, value) in items.iter().enumerate() {
        path.push_index(index);
        let input = place(types, item, value, environment, path)?;
        if item.is_non_null() && matches!(input, None | Some(Input::Null)) {
            return Err(BindError::here(unexpected_null(types, item)));
        }
        path.pop();
    }
    Ok(Input::Checked)
}

fn item(
    types: &Types,
    ty: TypeRef,
    value: &Value,
    environment: &impl Environment,
    path: &mut JsonPath,
) -> Result<Input, BindError> {
    match types.get(ty.base) {
        Some(TypeDef::Scalar(scalar)) => {
            if scalar.codec == Codec::Json {
                return json_literal(value, environment).map(Input::Scalar);
            }
            if scalar.codec == Codec::GeoJson && matches!(value, Value::Object(_)) {
                return match json_literal(value, environment)? {
                    Operand::Json(parts) => Ok(Input::Scalar(Operand::GeoJson(parts))),
                    Operand::Const(text) => geojson::ewkt_of_text(&text)
                        .map(|text| Input::Scalar(Operand::Const(text.into())))
                        .map_err(|error| BindError::here(Problem::NotGeoJson(error.to_string()))),
                    other => Ok(Input::Scalar(other)),
                };
            }
            let text = scalar_from_literal(scalar, value).map_err(BindError::here)?;
            Ok(if scalar.codec == Codec::Boolean {
                Input::Boolean(text == "true")
            } else {
                Input::Scalar(Operand::Const(text.into()))
            })
        }
        Some(TypeDef::Enum(def)) => match value {
            Value::Enum(word) => match def.values.get_key_value(word) {
                Some((word, value)) => Ok(Input::Enum(types.stored_word(ty.base, word, value))),
                None => Err(BindError::here(unknown_value(&def.name, def.values.keys(), word))),
            },
            other => {
                Err(BindError::here(expected("an enum value", &def.name, describe_literal(other))))
            }
        },
        Some(TypeDef::Input(def)) => {
            let Value::Object(fields) = value else {
                return Err(BindError::here(expected(
                    "an object",
                    &def.name,
                    describe_literal(value),
                )));
            };
            let mut out: Vec<(Name, Input)> = Vec::new();
            for (key, inner) in fields {
                path.push_key(key.to_string());
                let Some((name, field)) = def.fields.get_key_value(key) else {
                    return Err(BindError::here(Problem::UnknownField {
                        field: key.to_string(),
                        ty: def.name.to_string(),
                    }));
                };
                if out.iter().any(|(seen, _)| seen == name) {
                    return Err(BindError::here(Problem::DuplicateKey(key.to_string())));
                }
                if let Some(input) = place(types, field.ty, inner, environment, path)? {
                    let never_null = types.written(ty.base, field.kind).never_null
                        || field.kind == InputKind::Custom && field.ty.is_non_null();
                    if input == Input::Null && never_null {
                        return Err(BindError::here(unexpected_null(types, field.ty)));
                    }
                    out.push((name.clone(), input));
                }
                path.pop();
            }
            if let TypeId::Custom(_) = ty.base {
                let given = |name: &Name| out.iter().any(|(seen, _)| seen == name);
                let missing =
                    def.fields.iter().find(|(name, field)| field.ty.is_non_null() && !given(name));
                if let Some((name, _)) = missing {
                    path.push_key(name.to_string());
                    return Err(BindError::here(Problem::MissingArgument(name.to_string())));
                }
            }
            Ok(Input::Object(out))
        }
        Some(TypeDef::Object(_)) | None => {
            Err(BindError::here(Problem::Schema("an object is no input type")))
        }
    }
}
