//! Document → [`Operation`]: the validator of record.
//!
//! ```text
//! mod         operations, fragments, directives, roots
//! selection   fields of rows and aggregates
//! arguments   what a field is given: lists, keys, functions
//! mutation    writes
//! nested      changes of the rows that belong to an updated one
//! describe    introspection
//! action      calls of actions
//! filter      conditions        order   orders
//! ```

mod action;
mod arguments;
mod describe;
mod filter;
mod mutation;
mod nested;
mod order;
mod selection;
mod stream;

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use crate::base::JsonPath;
use crate::graphql::{
    Directive, Document, Field, Name, OperationDefinition, OperationKind, Selection, Value,
};
use crate::schema::RoleSchema;
use crate::schema::introspection::meta;
use crate::schema::scalars::{BOOLEAN, INT};
use crate::schema::tracked::SourceId;
use crate::schema::types::{
    FieldDef, FieldKind, InputType, Root as TypeRoot, RootField, RootKind, ScalarId, TypeId,
    TypeRef,
};

use super::error::{BindError, Problem};
use super::input::{Input, Operand};
use super::model::{Cached, LeafCheck, Operation, Read, Root, RootSelection, Rows};
use super::variables::{Declaration, Environment, VariableValue, literal};

/// Fragments and inline fragments inside each other, at one level of fields.
const MAX_NESTED_FRAGMENTS: usize = 64;

/// Lets a query be answered from what is kept.
const CACHED: &str = "cached";
/// Its `ttl` where none is given, in seconds.
const DEFAULT_TTL: &str = "60";

/// Allows several root fields in a subscription.
const MULTIPLE_ROOTS: &str = "_multiple_top_level_fields";

/// Bounds on one operation, fragments expanded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub depth: usize,
    pub nodes: usize,
    /// Rows of one insert.
    pub rows: usize,
}

/// Picks the operation that a request names.
pub fn choose<'a>(
    document: &'a Document,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, BindError> {
    let fail = |problem| Err(BindError::new(JsonPath::root(), problem));
    let mut names = HashSet::new();
    for name in document.operations.iter().filter_map(|operation| operation.name.as_ref()) {
        if !names.insert(name) {
            return fail(Problem::DuplicateOperation(name.to_string()));
        }
    }
    match (name, document.operations.as_slice()) {
        (Some(name), all) => match all.iter().find(|o| o.name.as_deref() == Some(name)) {
            Some(operation) => Ok(operation),
            None => fail(Problem::NoSuchOperation(name.to_owned())),
        },
        (None, [single]) => Ok(single),
        (None, _) => fail(Problem::OperationNameNeeded),
    }
}

/// Binds one operation of a document for a role.
pub fn bind<'a>(
    schema: &'a RoleSchema,
    document: &'a Document,
    operation: &'a OperationDefinition,
    declarations: &'a [Declaration],
    values: &'a [VariableValue],
    limits: Limits,
) -> Result<Operation, BindError> {
    let root_error = |problem| Err(BindError::new(JsonPath::root(), problem));
    match operation.kind {
        OperationKind::Query | OperationKind::Subscription => {}
        OperationKind::Mutation if schema.types.has_root(TypeRoot::Mutation) => {}
        OperationKind::Mutation => return root_error(Problem::NoMutations),
    }
    check_fragments(document)?;
    let mut binder = Binder {
        schema,
        document,
        variables: declarations
            .iter()
            .zip(values)
            .map(|(declaration, value)| (declaration.name.as_ref(), (declaration, value)))
            .collect(),
        limits,
        path: JsonPath::root(),
        nodes: 0,
        updates: 0,
        above: 0,
        checks: Vec::new(),
    };
    let place = match operation.kind {
        OperationKind::Query => "a query",
        OperationKind::Mutation => "a mutation",
        OperationKind::Subscription => "a subscription",
    };
    binder.directives(&operation.directives, place)?;
    let cached = match operation.directives.iter().find(|found| &*found.name == CACHED) {
        Some(directive) => Some(binder.cached(directive)?),
        None => None,
    };
    let root = TypeRoot::from(operation.kind);
    let mut roots = Vec::new();
    binder.path.push_key("selectionSet");
    for (key, fields) in binder.collect(root.name(), &[operation.selection.as_slice()], 1)? {
        let field = binder.root(root, &fields)?;
        roots.push(Root { key, field });
    }
    if operation.kind == OperationKind::Subscription {
        let several = operation.directives.iter().any(|found| &*found.name == MULTIPLE_ROOTS);
        check_roots(&roots, several)
            .map_err(|problem| BindError::new(JsonPath::root(), problem))?;
    }
    Ok(Operation {
        kind: operation.kind,
        name: operation.name.clone(),
        roots,
        checks: binder.checks,
        cached,
    })
}

/// What a subscription may have at its root: one field, or several outside of
/// namespaces where that is allowed; a stream is alone.
fn check_roots(roots: &[Root], several: bool) -> Result<(), Problem> {
    fn streams(roots: &[Root]) -> bool {
        roots.iter().any(|root| match &root.field {
            RootSelection::Read(read) => matches!(**read, Read::Stream(_)),
            RootSelection::Namespace(inner) => streams(inner),
            _ => false,
        })
    }
    let is_namespace = |root: &Root| matches!(root.field, RootSelection::Namespace(_));
    let alone = match roots {
        [Root { field: RootSelection::Namespace(inner), .. }] => inner.len() <= 1,
        roots => roots.len() <= 1,
    };
    let refused = (roots.len() > 1 && (!several || roots.iter().any(is_namespace)))
        || (!alone && streams(roots));
    if refused { Err(Problem::SeveralRoots) } else { Ok(()) }
}

/// Refuses fragments that contain themselves, used or not, so that expanding
/// one ends.
fn check_fragments(document: &Document) -> Result<(), BindError> {
    fn spreads<'d>(set: &'d [Selection], out: &mut Vec<&'d Name>) {
        for selection in set {
            match selection {
                Selection::Field(field) => spreads(&field.selection, out),
                Selection::Inline { selection, .. } => spreads(selection, out),
                Selection::Spread { fragment, .. } => out.push(fragment),
            }
        }
    }
    let mut done: HashSet<&Name> = HashSet::new();
    for start in document.fragments.keys() {
        // The way from `start` to the fragment at hand, each with what it
        // still has to visit.
        let mut way: Vec<(&Name, Vec<&Name>)> = Vec::new();
        let mut next = (!done.contains(start)).then_some(start);
        loop {
            if let Some(name) = next.take() {
                if let Some(at) = way.iter().position(|(seen, _)| *seen == name) {
                    let cycle: Vec<&str> =
                        way.iter().skip(at).map(|(name, _)| name.as_ref()).collect();
                    let problem = Problem::FragmentCycle(cycle.join(", "));
                    return Err(BindError::new(JsonPath::root(), problem));
                }
                let mut out = Vec::new();
                if let Some(fragment) = document.fragments.get(name) {
                    spreads(&fragment.selection, &mut out);
                }
                way.push((name, out));
            }
            let Some((name, open)) = way.last_mut() else { break };
            match open.pop() {
                Some(target) if !done.contains(target) => next = Some(target),
                Some(_) => {}
                None => {
                    done.insert(name);
                    way.pop();
                }
            }
        }
    }
    Ok(())
}

struct Binder<'a> {
    schema: &'a RoleSchema,
    document: &'a Document,
    variables: HashMap<&'a str, (&'a Declaration, &'a VariableValue)>,
    limits: Limits,
    path: JsonPath,
    nodes: usize,
    /// Entries of lists of updates: a statement each.
    updates: usize,
    /// Levels between the root and the fields that are bound.
    above: usize,
    checks: Vec<LeafCheck>,
}

impl Environment for Binder<'_> {
    fn variable(&self, name: &str) -> Option<(&Declaration, &VariableValue)> {
        self.variables.get(name).copied()
    }
}

type Collected<'a> = IndexMap<Name, Vec<&'a Field>>;

impl<'a> Binder<'a> {
    fn error(&self, problem: Problem) -> BindError {
        BindError::new(self.path.clone(), problem)
    }

    /// `error`'s path continues ours.
    fn below(&self, error: BindError) -> BindError {
        BindError::new(self.path.join(&error.path), error.problem)
    }

    /// Gathers the fields of selection sets by response key, through fragments.
    fn collect(
        &mut self,
        object: &str,
        sets: &[&'a [Selection]],
        depth: usize,
    ) -> Result<Collected<'a>, BindError> {
        if depth + self.above > self.limits.depth {
            return Err(self.error(Problem::TooDeep { limit: self.limits.depth }));
        }
        let mut out = IndexMap::new();
        for set in sets {
            self.collect_set(object, set, 0, &mut out)?;
        }
        Ok(out)
    }

    fn collect_set(
        &mut self,
        object: &str,
        set: &'a [Selection],
        nested: usize,
        out: &mut Collected<'a>,
    ) -> Result<(), BindError> {
        if nested > MAX_NESTED_FRAGMENTS {
            return Err(self.error(Problem::TooDeep { limit: MAX_NESTED_FRAGMENTS }));
        }
        for selection in set {
            self.count_node()?;
            match selection {
                Selection::Field(field) => {
                    if self.directives(&field.directives, "a field")? {
                        self.add_field(field, out)?;
                    }
                }
                Selection::Inline { on, directives, selection } => {
                    if self.directives(directives, "an inline fragment")? {
                        if let Some(on) = on {
                            self.check_condition(object, on)?;
                        }
                        self.collect_set(object, selection, nested + 1, out)?;
                    }
                }
                Selection::Spread { fragment: name, directives } => {
                    let include = self.directives(directives, "a fragment spread")?;
                    let fragment =
                        self.document.fragments.get(name).ok_or_else(|| {
                            self.error(Problem::UnknownFragment(name.to_string()))
                        })?;
                    if include {
                        self.directives(&fragment.directives, "a fragment definition")?;
                        self.check_condition(object, &fragment.on)?;
                        self.collect_set(object, &fragment.selection, nested + 1, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Of the whole operation, as aliases can send one variable many times.
    fn count_updates(&mut self, count: usize) -> Result<(), BindError> {
        self.updates += count;
        let limit = self.limits.rows;
        if self.updates > limit {
            return Err(self.error(Problem::TooManyUpdates { limit }));
        }
        Ok(())
    }

    fn count_node(&mut self) -> Result<(), BindError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.error(Problem::TooManyNodes { limit: self.limits.nodes }));
        }
        Ok(())
    }

    fn add_field(&self, field: &'a Field, out: &mut Collected<'a>) -> Result<(), BindError> {
        let key = field.response_key();
        if let Some(existing) = out.get_mut(key) {
            if let Some(first) = existing.first() {
                if first.name != field.name {
                    return Err(self.error(Problem::FieldConflict {
                        first: first.name.to_string(),
                        second: field.name.to_string(),
                        key: key.to_string(),
                    }));
                }
                if !same_arguments(first, field) {
                    return Err(self.error(Problem::ArgumentConflict(field.name.to_string())));
                }
            }
            existing.push(field);
        } else {
            out.insert(key.clone(), vec![field]);
        }
        Ok(())
    }

    fn check_condition(&self, object: &str, on: &Name) -> Result<(), BindError> {
        if **on == *object {
            return Ok(());
        }
        let known = self.schema.types.by_name(on).is_some_and(|id| match id {
            TypeId::Root(_) | TypeId::Namespace(..) => true,
            id => self.schema.types.object(id).is_some(),
        });
        Err(self.error(match known {
            false => Problem::UnknownType(on.to_string()),
            true => Problem::FragmentMismatch { fragment: on.to_string(), ty: object.to_owned() },
        }))
    }

    /// Whether `@include` and `@skip` let the selection stand.
    fn directives(&mut self, list: &[Directive], place: &'static str) -> Result<bool, BindError> {
        let mut include = true;
        for (index, directive) in list.iter().enumerate() {
            let name = directive.name.as_ref();
            if list.iter().skip(index + 1).any(|other| other.name == directive.name) {
                return Err(self.error(Problem::RepeatedDirective(name.to_owned())));
            }
            match (name, place) {
                ("include" | "skip", "a field" | "an inline fragment" | "a fragment spread") => {
                    let condition = self.condition(directive)?;
                    include &= condition == (name == "include");
                }
                (CACHED, "a query") | (MULTIPLE_ROOTS, "a subscription") => {}
                ("include" | "skip" | CACHED | MULTIPLE_ROOTS, place) => {
                    return Err(self
                        .error(Problem::MisplacedDirective { directive: name.to_owned(), place }));
                }
                _ => return Err(self.error(Problem::UnknownDirective(name.to_owned()))),
            }
        }
        Ok(include)
    }

    fn condition(&mut self, directive: &Directive) -> Result<bool, BindError> {
        let boolean = TypeRef::non_null(TypeId::Scalar(BOOLEAN));
        self.at(&directive.name, |binder| {
            if let Some((name, _)) = directive.arguments.iter().find(|(name, _)| &**name != "if") {
                return Err(binder.error(Problem::UnknownArgument {
                    field: directive.name.to_string(),
                    argument: name.to_string(),
                }));
            }
            binder.path.push_key("args");
            binder.path.push_key("if");
            let Some((_, value)) = directive.arguments.first() else {
                return Err(binder.error(Problem::MissingArgument("if".to_owned())));
            };
            match literal(&binder.schema.types, boolean, value, binder)
                .map_err(|error| binder.below(error))?
            {
                Some(Input::Boolean(value)) => {
                    binder.path.pop();
                    binder.path.pop();
                    Ok(value)
                }
                _ => Err(binder.error(no_boolean())),
            }
        })
    }

    /// `@cached(ttl: Int! = 60, refresh: Boolean! = false)`
    fn cached(&mut self, directive: &Directive) -> Result<Cached, BindError> {
        self.at(CACHED, |binder| {
            for (index, (name, _)) in directive.arguments.iter().enumerate() {
                let again = directive.arguments.iter().skip(index + 1).any(|(n, _)| n == name);
                if again {
                    return Err(binder.error(Problem::DuplicateArgument(name.to_string())));
                }
                if !matches!(&**name, "ttl" | "refresh") {
                    return Err(binder.error(Problem::UnknownArgument {
                        field: CACHED.to_owned(),
                        argument: name.to_string(),
                    }));
                }
            }
            binder.at("args", |binder| {
                let ttl = binder.directive_argument(directive, "ttl", INT)?;
                let refresh = binder.directive_argument(directive, "refresh", BOOLEAN)?;
                Ok(Cached {
                    ttl: ttl
                        .and_then(operand_of)
                        .unwrap_or_else(|| Operand::Const(DEFAULT_TTL.into())),
                    refresh: matches!(refresh, Some(Input::Boolean(true))),
                })
            })
        })
    }

    /// The value of an argument that has a default; `None` where that counts.
    fn directive_argument(
        &mut self,
        directive: &Directive,
        name: &'static str,
        scalar: ScalarId,
    ) -> Result<Option<Input>, BindError> {
        let Some((_, value)) = directive.arguments.iter().find(|(given, _)| &**given == name)
        else {
            return Ok(None);
        };
        self.at(name, |binder| {
            let ty = TypeRef::non_null(TypeId::Scalar(scalar));
            match literal(&binder.schema.types, ty, value, binder)
                .map_err(|error| binder.below(error))?
            {
                Some(Input::Null) if scalar == BOOLEAN => Err(binder.error(no_boolean())),
                Some(Input::Null) => Err(binder.error(no_seconds("null"))),
                other => Ok(other),
            }
        })
    }

    fn root(&mut self, root: TypeRoot, fields: &[&'a Field]) -> Result<RootSelection, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        if &*field.name == "__typename" {
            self.no_selection(field)?;
            return Ok(RootSelection::Typename(root.name().into()));
        }
        self.path.push_key(field.name.to_string());
        if root == TypeRoot::Query
            && let Some(def) = meta::root(&field.name)
        {
            let asked = self.described(fields, def)?;
            self.path.pop();
            return Ok(RootSelection::Described(asked));
        }
        let def = self.schema.types.root_field(root, &field.name).ok_or_else(|| {
            self.error(Problem::UnknownField {
                field: field.name.to_string(),
                ty: root.name().to_owned(),
            })
        })?;
        let out = match def.kind {
            FieldKind::Root(RootField::Namespace(source)) => {
                self.arguments(field, &def)?;
                RootSelection::Namespace(self.namespace(root, source, fields)?)
            }
            _ => self.root_field(fields, &def)?,
        };
        self.path.pop();
        Ok(out)
    }

    /// The fields of a source inside of its namespace.
    fn namespace(
        &mut self,
        root: TypeRoot,
        source: SourceId,
        fields: &[&'a Field],
    ) -> Result<Vec<Root>, BindError> {
        if let Some(empty) = fields.iter().find(|field| field.selection.is_empty()) {
            return Err(self.error(Problem::SelectionNeeded(empty.name.to_string())));
        }
        let types = &self.schema.types;
        let ty = types.name(TypeId::Namespace(source, root));
        let sets: Vec<&'a [Selection]> =
            fields.iter().map(|field| field.selection.as_slice()).collect();
        self.path.push_key("selectionSet");
        self.above += 1;
        let collected = self.collect(&ty, &sets, 1)?;
        let mut out = Vec::with_capacity(collected.len());
        for (key, fields) in collected {
            let Some(field) = fields.first() else { continue };
            if &*field.name == "__typename" {
                self.no_selection(field)?;
                out.push(Root { key, field: RootSelection::Typename(ty.clone()) });
                continue;
            }
            self.path.push_key(field.name.to_string());
            let def = types.namespace_field(source, root, &field.name).ok_or_else(|| {
                self.error(Problem::UnknownField {
                    field: field.name.to_string(),
                    ty: ty.to_string(),
                })
            })?;
            let field = self.root_field(&fields, &def)?;
            self.path.pop();
            out.push(Root { key, field });
        }
        self.above -= 1;
        self.path.pop();
        Ok(out)
    }

    /// A field of a root or of a namespace; the path ends with its name.
    fn root_field(
        &mut self,
        fields: &[&'a Field],
        def: &FieldDef,
    ) -> Result<RootSelection, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        let read = |read| RootSelection::Read(Box::new(read));
        Ok(match def.kind {
            FieldKind::Root(RootField::Table(table, kind)) => match kind {
                RootKind::Select => {
                    let args = self.list_args(table, field, def)?;
                    let selection = self.selection(table, def.ty.base, fields, 2)?;
                    let source = super::model::RowSource::Table;
                    read(Read::Many(Rows { table, source, args, selection }))
                }
                RootKind::SelectByPk => {
                    let key = self.key(field, def)?;
                    let selection = self.selection(table, def.ty.base, fields, 2)?;
                    read(Read::ByPk { table, key, selection })
                }
                RootKind::SelectAggregate => {
                    let args = self.list_args(table, field, def)?;
                    let source = super::model::RowSource::Table;
                    read(Read::Aggregate(self.aggregated(
                        table,
                        source,
                        args,
                        def.ty.base,
                        fields,
                    )?))
                }
                RootKind::SelectStream => {
                    read(Read::Stream(self.streamed(table, field, fields, def)?))
                }
                kind => RootSelection::Write(Box::new(self.write(table, kind, fields, def)?)),
            },
            FieldKind::Root(RootField::Function(function)) => {
                read(self.function(function, fields, def)?)
            }
            FieldKind::Root(RootField::FunctionAggregate(function)) => {
                read(self.function_aggregate(function, fields, def)?)
            }
            FieldKind::Root(RootField::Action(action)) => {
                RootSelection::Action(Box::new(self.action(action, fields, def)?))
            }
            FieldKind::NothingAvailable => {
                self.no_selection(field)?;
                RootSelection::NothingAvailable
            }
            _ => return Err(self.error(Problem::Schema("a column cannot be a root"))),
        })
    }

    fn no_selection(&self, field: &Field) -> Result<(), BindError> {
        if field.selection.is_empty() {
            Ok(())
        } else {
            Err(self.error(Problem::SelectionNotAllowed))
        }
    }

    fn input_type(&self, id: TypeId) -> Result<&'a InputType, BindError> {
        self.schema
            .types
            .input(id)
            .ok_or_else(|| self.error(Problem::Schema("an input type is missing")))
    }

    /// The entries of an input object with what each field means.
    fn entries<'i>(
        &self,
        ty: TypeId,
        input: &'i Input,
    ) -> Result<Vec<(&'i Name, &'a crate::schema::types::InputField, &'i Input)>, BindError> {
        let def = self.input_type(ty)?;
        let Input::Object(entries) = input else {
            return Err(self.error(Problem::Expected {
                expected: "an object".into(),
                ty: def.name.to_string(),
                found: input.describe(),
            }));
        };
        Ok(entries
            .iter()
            .filter_map(|(name, input)| Some((name, def.fields.get(name)?, input)))
            .collect())
    }

    /// `run` with `key` at the end of the path, where an error leaves it.
    fn at<T>(
        &mut self,
        key: &str,
        run: impl FnOnce(&mut Self) -> Result<T, BindError>,
    ) -> Result<T, BindError> {
        self.path.push_key(key.to_owned());
        let out = run(self)?;
        self.path.pop();
        Ok(out)
    }

    fn at_index<T>(
        &mut self,
        index: usize,
        run: impl FnOnce(&mut Self) -> Result<T, BindError>,
    ) -> Result<T, BindError> {
        self.path.push_index(index);
        let out = run(self)?;
        self.path.pop();
        Ok(out)
    }
}

/// The problem of a text that is no number of rows, or of fewer than `least`;
/// `number` is what a number is called where it stands.
pub(crate) fn no_rows(text: &str, least: i32, number: &'static str) -> Option<Problem> {
    let found = match text.parse::<i32>() {
        Ok(rows) if rows >= least => return None,
        Ok(_) => number,
        // What is no integer stays a string for Postgres to read.
        Err(_) => "a string",
    };
    let expected = match least {
        0 => "a non-negative 32-bit integer",
        _ => "a positive 32-bit integer",
    };
    Some(Problem::Expected { expected: expected.into(), ty: "Int".to_owned(), found })
}

/// The problem of a time that is none.
pub(crate) fn no_seconds(found: &'static str) -> Problem {
    Problem::Expected { expected: "a 32-bit integer".into(), ty: "Int".to_owned(), found }
}

/// The problem of a null where only `true` and `false` make sense.
fn no_boolean() -> Problem {
    Problem::Expected { expected: "a boolean".into(), ty: "Boolean".to_owned(), found: "null" }
}

/// A scalar, an enum value or a boolean as what travels.
fn operand_of(input: Input) -> Option<Operand> {
    match input {
        Input::Scalar(operand) => Some(operand),
        Input::Boolean(value) => Some(Operand::Const(if value { "true" } else { "false" }.into())),
        Input::Enum(word) => Some(Operand::Const(word)),
        _ => None,
    }
}

fn same_arguments(a: &Field, b: &Field) -> bool {
    fn lookup<'f>(field: &'f Field, name: &Name) -> Option<&'f Value> {
        field.arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }
    a.arguments.len() == b.arguments.len()
        && a.arguments.iter().all(|(name, value)| lookup(b, name) == Some(value))
}
