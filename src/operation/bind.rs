//! Document → [`Operation`]: the validator of record.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::base::{JsonPath, PathSegment};
use crate::catalog::model::{ColumnId, TableId};
use crate::graphql::{
    Directive, Document, Field, Name, OperationDefinition, OperationKind, Selection, Value,
};
use crate::schema::RoleSchema;
use crate::schema::types::{
    ArgDef, ArgKind, Comparison, EnumKind, FieldDef, FieldKind, InputKind, InputType, ObjectType,
    TypeDef, TypeId, TypeRef,
};

use super::error::{BindError, Problem};
use super::input::{Input, Operand};
use super::model::{
    BoolExp, CompareValue, ListArgs, Operation, OrderItem, Root, RootField, Selected, SelectedField,
};
use super::variables::{Declaration, Environment, VariableValue, literal};

/// Fragments and inline fragments inside each other, at one level of fields.
const MAX_NESTED_FRAGMENTS: usize = 64;

/// Lists of types inside each other in introspection. Each could be as long as
/// the schema; GraphiQL needs one, and graphql-js draws the line here too.
const MAX_INTROSPECTION_LISTS: usize = 3;

/// Bounds on one operation, fragments expanded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub depth: usize,
    pub nodes: usize,
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
        OperationKind::Query => {}
        OperationKind::Mutation => return root_error(Problem::NoMutations),
        OperationKind::Subscription => return root_error(Problem::NoSubscriptions),
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
        non_negative: Vec::new(),
    };
    let place = match operation.kind {
        OperationKind::Query => "a query",
        OperationKind::Mutation => "a mutation",
        OperationKind::Subscription => "a subscription",
    };
    binder.directives(&operation.directives, place)?;
    let query = schema.types.object(schema.query).ok_or_else(|| {
        BindError::new(JsonPath::root(), Problem::Schema("there is no query root"))
    })?;
    let mut roots = Vec::new();
    binder.path.push_key("selectionSet");
    for (key, fields) in binder.collect(query, &[operation.selection.as_slice()], 1)? {
        let field = binder.root(query, &fields)?;
        roots.push(Root { key, field });
    }
    Ok(Operation {
        kind: operation.kind,
        name: operation.name.clone(),
        roots,
        non_negative: binder.non_negative,
    })
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
    non_negative: Vec<(usize, JsonPath)>,
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
        let mut path = self.path.clone();
        for segment in error.path.segments() {
            match segment {
                PathSegment::Key(key) => path.push_key(key.clone()),
                PathSegment::Index(index) => path.push_index(*index),
            }
        }
        BindError::new(path, error.problem)
    }

    /// Gathers the fields of selection sets by response key, through fragments.
    fn collect(
        &mut self,
        object: &ObjectType,
        sets: &[&'a [Selection]],
        depth: usize,
    ) -> Result<Collected<'a>, BindError> {
        if depth > self.limits.depth {
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
        object: &ObjectType,
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

    fn count_node(&mut self) -> Result<(), BindError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.error(Problem::TooManyNodes { limit: self.limits.nodes }));
        }
        Ok(())
    }

    /// Bounds what is asked of `__schema` and `__type`; the rest of their
    /// validation is made where they are answered.
    fn introspection(
        &mut self,
        set: &[Selection],
        depth: usize,
        lists: usize,
    ) -> Result<(), BindError> {
        if depth > self.limits.depth {
            return Err(self.error(Problem::TooDeep { limit: self.limits.depth }));
        }
        let document = self.document;
        for selection in set {
            self.count_node()?;
            match selection {
                Selection::Field(field) => {
                    let list = matches!(
                        field.name.as_ref(),
                        "fields" | "inputFields" | "interfaces" | "possibleTypes"
                    );
                    let lists = lists + usize::from(list);
                    if lists > MAX_INTROSPECTION_LISTS {
                        let limit = MAX_INTROSPECTION_LISTS;
                        return Err(self.error(Problem::IntrospectionTooDeep { limit }));
                    }
                    self.introspection(&field.selection, depth + 1, lists)?;
                }
                Selection::Inline { selection, .. } => {
                    self.introspection(selection, depth + 1, lists)?;
                }
                Selection::Spread { fragment, .. } => {
                    if let Some(fragment) = document.fragments.get(fragment) {
                        self.introspection(&fragment.selection, depth + 1, lists)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add_field(&self, field: &'a Field, out: &mut Collected<'a>) -> Result<(), BindError> {
        let key = field.response_key();
        if let Some(existing) = out.get_mut(key) {
            if let Some(first) = existing.first()
                && (first.name != field.name || !same_arguments(first, field))
            {
                return Err(self.error(Problem::FieldConflict { key: key.to_string() }));
            }
            existing.push(field);
        } else {
            out.insert(key.clone(), vec![field]);
        }
        Ok(())
    }

    fn check_condition(&self, object: &ObjectType, on: &Name) -> Result<(), BindError> {
        if *on == object.name {
            return Ok(());
        }
        let known = self.schema.types.by_name(on).and_then(|id| self.schema.types.object(id));
        Err(self.error(match known {
            None => Problem::UnknownType(on.to_string()),
            Some(_) => {
                Problem::FragmentMismatch { fragment: on.to_string(), ty: object.name.to_string() }
            }
        }))
    }

    /// Whether `@include` and `@skip` let the selection stand.
    fn directives(&self, list: &[Directive], place: &'static str) -> Result<bool, BindError> {
        let at_root = |problem| BindError::new(JsonPath::root(), problem);
        let mut include = true;
        for (index, directive) in list.iter().enumerate() {
            let name = directive.name.as_ref();
            if list.iter().skip(index + 1).any(|other| other.name == directive.name) {
                return Err(at_root(Problem::RepeatedDirective(name.to_owned())));
            }
            match (name, place) {
                ("include" | "skip", "a field" | "an inline fragment" | "a fragment spread") => {
                    let condition = self.condition(directive)?;
                    include &= condition == (name == "include");
                }
                ("cached", "a query") => {}
                ("include" | "skip" | "cached", place) => {
                    return Err(at_root(Problem::MisplacedDirective {
                        directive: name.to_owned(),
                        place,
                    }));
                }
                _ => return Err(at_root(Problem::UnknownDirective(name.to_owned()))),
            }
        }
        Ok(include)
    }

    fn condition(&self, directive: &Directive) -> Result<bool, BindError> {
        let boolean = self
            .schema
            .types
            .by_name("Boolean")
            .ok_or_else(|| self.error(Problem::Schema("there is no Boolean")))?;
        if let Some((name, _)) = directive.arguments.iter().find(|(name, _)| &**name != "if") {
            return Err(self.error(Problem::UnknownArgument {
                field: directive.name.to_string(),
                argument: name.to_string(),
            }));
        }
        let Some((_, value)) = directive.arguments.first() else {
            return Err(self.error(Problem::MissingArgument("if".to_owned())));
        };
        match literal(&self.schema.types, TypeRef::non_null(boolean), value, self)
            .map_err(|error| self.below(error))?
        {
            Some(Input::Boolean(value)) => Ok(value),
            _ => Err(self.error(Problem::UnexpectedNull("Boolean".to_owned()))),
        }
    }

    fn root(
        &mut self,
        query: &'a ObjectType,
        fields: &[&'a Field],
    ) -> Result<RootField, BindError> {
        let Some(field) = fields.first() else {
            return Err(self.error(Problem::Schema("a field was collected from nowhere")));
        };
        match field.name.as_ref() {
            "__typename" => {
                self.no_selection(field)?;
                return Ok(RootField::Typename);
            }
            "__schema" | "__type" => {
                for field in fields {
                    self.introspection(&field.selection, 1, 0)?;
                }
                return Ok(RootField::Introspection);
            }
            _ => {}
        }
        self.path.push_key(field.name.to_string());
        let def = self.field_def(query, field)?;
        let out = match def.kind {
            FieldKind::SelectMany(table) => {
                let args = self.list_args(table, field, def)?;
                let selection = self.selection(table, def.ty.base, fields, 2)?;
                RootField::Many { table, args, selection }
            }
            FieldKind::SelectByPk(table) => {
                let mut key = Vec::new();
                for (arg, input) in self.arguments(field, def)? {
                    let (ArgKind::Key(column), Some(Input::Scalar(operand))) =
                        (arg.kind, boolean_as_scalar(input))
                    else {
                        return Err(self.error(Problem::Schema("a key argument is no scalar")));
                    };
                    key.push((column, operand));
                }
                let selection = self.selection(table, def.ty.base, fields, 2)?;
                RootField::ByPk { table, key, selection }
            }
            FieldKind::NothingAvailable => {
                self.no_selection(field)?;
                RootField::NothingAvailable
            }
            FieldKind::Column(_) | FieldKind::Relationship(_) => {
                return Err(self.error(Problem::Schema("a column cannot be a root")));
            }
        };
        self.path.pop();
        Ok(out)
    }

    fn field_def(&self, object: &'a ObjectType, field: &Field) -> Result<&'a FieldDef, BindError> {
        object.fields.get(&field.name).ok_or_else(|| {
            self.error(Problem::UnknownField {
                field: field.name.to_string(),
                ty: object.name.to_string(),
            })
        })
    }

    fn no_selection(&self, field: &Field) -> Result<(), BindError> {
        if field.selection.is_empty() {
            Ok(())
        } else {
            Err(self.error(Problem::SelectionNotAllowed))
        }
    }

    fn selection(
        &mut self,
        table: TableId,
        object: TypeId,
        fields: &[&'a Field],
        depth: usize,
    ) -> Result<Vec<Selected>, BindError> {
        let schema = self.schema;
        let object = schema
            .types
            .object(object)
            .ok_or_else(|| self.error(Problem::Schema("a table has no object type")))?;
        if let Some(empty) = fields.iter().find(|field| field.selection.is_empty()) {
            return Err(self.error(Problem::SelectionNeeded(empty.name.to_string())));
        }
        let sets: Vec<&'a [Selection]> =
            fields.iter().map(|field| field.selection.as_slice()).collect();
        self.path.push_key("selectionSet");
        let collected = self.collect(object, &sets, depth)?;
        let mut out = Vec::with_capacity(collected.len());
        for (key, fields) in collected {
            let Some(field) = fields.first() else { continue };
            if &*field.name == "__typename" {
                self.no_selection(field)?;
                out.push(Selected { key, field: SelectedField::Typename(object.name.clone()) });
                continue;
            }
            self.path.push_key(field.name.to_string());
            let def = self.field_def(object, field)?;
            let selected = match def.kind {
                FieldKind::Column(column) => {
                    for field in &fields {
                        self.no_selection(field)?;
                    }
                    self.arguments(field, def)?;
                    SelectedField::Column(column)
                }
                FieldKind::Relationship(index) => {
                    let target = self.target(table, index)?;
                    let args = self.list_args(target, field, def)?;
                    let selection = self.selection(target, def.ty.base, &fields, depth + 1)?;
                    SelectedField::Relationship { index, args, selection }
                }
                _ => return Err(self.error(Problem::Schema("a root cannot be a column"))),
            };
            self.path.pop();
            out.push(Selected { key, field: selected });
        }
        self.path.pop();
        Ok(out)
    }

    fn target(&self, table: TableId, index: usize) -> Result<TableId, BindError> {
        self.schema
            .relationship(table, index)
            .map(|relationship| relationship.target)
            .ok_or_else(|| self.error(Problem::Schema("a relationship leads nowhere")))
    }

    /// The arguments given, coerced, in the order of their definition; `None`
    /// for one that is absent. A required one that is missing or null is an
    /// error.
    fn arguments(
        &mut self,
        field: &Field,
        def: &'a FieldDef,
    ) -> Result<Vec<(&'a ArgDef, Option<Input>)>, BindError> {
        self.path.push_key("args");
        for (index, (name, _)) in field.arguments.iter().enumerate() {
            if !def.args.contains_key(name) {
                self.path.pop();
                return Err(self.error(Problem::UnknownArgument {
                    field: field.name.to_string(),
                    argument: name.to_string(),
                }));
            }
            if field.arguments.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(self.error(Problem::DuplicateArgument(name.to_string())));
            }
        }
        let mut out = Vec::with_capacity(def.args.len());
        for (name, arg) in &def.args {
            let given = field.arguments.iter().find(|(given, _)| given == name);
            let input = match given {
                None => None,
                Some((_, value)) => {
                    self.path.push_key(name.to_string());
                    let input = literal(&self.schema.types, arg.ty, value, self)
                        .map_err(|error| self.below(error))?;
                    if input == Some(Input::Null) && arg.ty.is_non_null() {
                        let ty = self.schema.types.name(arg.ty.base).to_owned();
                        return Err(self.error(Problem::UnexpectedNull(ty)));
                    }
                    self.path.pop();
                    input
                }
            };
            if input.is_none() && arg.ty.is_non_null() {
                return Err(self.error(Problem::MissingArgument(name.to_string())));
            }
            out.push((arg, input));
        }
        self.path.pop();
        Ok(out)
    }

    fn list_args(
        &mut self,
        table: TableId,
        field: &Field,
        def: &'a FieldDef,
    ) -> Result<ListArgs, BindError> {
        let mut out = ListArgs::default();
        let given = self.arguments(field, def)?;
        self.path.push_key("args");
        for (arg, input) in given {
            let Some(input) = input else { continue };
            match arg.kind {
                ArgKind::Where => {
                    self.path.push_key("where");
                    out.filter = self.bool_exp(table, arg.ty.base, &input)?;
                    self.path.pop();
                }
                ArgKind::OrderBy => {
                    self.path.push_key("order_by");
                    if let Input::List(items) = input {
                        for item in &items {
                            self.order_by(
                                table,
                                arg.ty.base,
                                item,
                                &mut Vec::new(),
                                &mut out.order_by,
                            )?;
                        }
                    }
                    self.path.pop();
                }
                ArgKind::Limit => out.limit = self.non_negative("limit", input)?,
                ArgKind::Offset => out.offset = self.non_negative("offset", input)?,
                ArgKind::DistinctOn => {
                    if let Input::List(items) = input {
                        for item in items {
                            out.distinct_on.push(self.select_column(arg.ty.base, &item)?);
                        }
                    }
                }
                ArgKind::Key(_) => {
                    return Err(self.error(Problem::Schema("an argument of another field")));
                }
            }
        }
        let leads =
            |item: &OrderItem| item.through.is_empty() && out.distinct_on.contains(&item.column);
        if !out.order_by.iter().take(out.distinct_on.len()).all(leads) {
            return Err(self.error(Problem::DistinctOn));
        }
        self.path.pop();
        Ok(out)
    }

    fn select_column(&self, ty: TypeId, input: &Input) -> Result<ColumnId, BindError> {
        if let (Some(TypeDef::Enum(def)), Input::Enum(word)) = (self.schema.types.get(ty), input)
            && let Some(EnumKind::Column(column)) = def.values.get(word).map(|value| value.kind)
        {
            return Ok(column);
        }
        Err(self.error(Problem::Schema("no column to select")))
    }

    fn non_negative(
        &mut self,
        name: &'static str,
        input: Input,
    ) -> Result<Option<Operand>, BindError> {
        self.path.push_key(name);
        let out = match input {
            Input::Null => None,
            Input::Scalar(operand) => {
                match &operand {
                    Operand::Const(text) if text.starts_with('-') => {
                        return Err(self.error(negative()));
                    }
                    Operand::Const(_) => {}
                    Operand::Leaf(leaf) => self.non_negative.push((*leaf, self.path.clone())),
                }
                Some(operand)
            }
            _ => return Err(self.error(Problem::Schema("a limit is no scalar"))),
        };
        self.path.pop();
        Ok(out)
    }

    fn input_type(&self, id: TypeId) -> Result<&'a InputType, BindError> {
        match self.schema.types.get(id) {
            Some(TypeDef::Input(input)) => Ok(input),
            _ => Err(self.error(Problem::Schema("an input type is missing"))),
        }
    }

    fn bool_exp(
        &mut self,
        table: TableId,
        ty: TypeId,
        input: &Input,
    ) -> Result<BoolExp, BindError> {
        let def = self.input_type(ty)?;
        let Input::Object(entries) = input else {
            return Err(self.error(Problem::Expected {
                expected: "an object".into(),
                ty: def.name.to_string(),
                found: input.describe(),
            }));
        };
        let mut parts = Vec::with_capacity(entries.len());
        for (name, input) in entries {
            let Some(field) = def.fields.get(name) else { continue };
            self.path.push_key(name.to_string());
            match field.kind {
                InputKind::And => parts.push(BoolExp::And(self.bool_exps(table, ty, input)?)),
                InputKind::Or => parts.push(BoolExp::Or(self.bool_exps(table, ty, input)?)),
                InputKind::Not => {
                    parts.push(BoolExp::Not(Box::new(self.bool_exp(table, ty, input)?)));
                }
                InputKind::Column(column) => {
                    self.comparisons(column, field.ty.base, input, &mut parts)?;
                }
                InputKind::Relationship(index) => {
                    let target = self.target(table, index)?;
                    let inner = self.bool_exp(target, field.ty.base, input)?;
                    parts.push(BoolExp::Exists { relationship: index, inner: Box::new(inner) });
                }
                InputKind::Compare(_) | InputKind::IsNull => {
                    return Err(self.error(Problem::Schema("an operator outside a column")));
                }
            }
            self.path.pop();
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { BoolExp::And(parts) })
    }

    fn bool_exps(
        &mut self,
        table: TableId,
        ty: TypeId,
        input: &Input,
    ) -> Result<Vec<BoolExp>, BindError> {
        let Input::List(items) = input else {
            return Err(self.error(Problem::Expected {
                expected: "a list".into(),
                ty: self.schema.types.name(ty).to_owned(),
                found: input.describe(),
            }));
        };
        let mut out = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push_index(index);
            out.push(self.bool_exp(table, ty, item)?);
            self.path.pop();
        }
        Ok(out)
    }

    fn comparisons(
        &mut self,
        column: ColumnId,
        ty: TypeId,
        input: &Input,
        parts: &mut Vec<BoolExp>,
    ) -> Result<(), BindError> {
        let def = self.input_type(ty)?;
        let Input::Object(entries) = input else {
            return Err(self.error(Problem::Expected {
                expected: "an object".into(),
                ty: def.name.to_string(),
                found: input.describe(),
            }));
        };
        for (name, input) in entries {
            let Some(field) = def.fields.get(name) else { continue };
            self.path.push_key(name.to_string());
            if *input == Input::Null {
                let ty = self.schema.types.name(field.ty.base).to_owned();
                return Err(self.error(Problem::UnexpectedNull(ty)));
            }
            match field.kind {
                InputKind::IsNull => {
                    let negated = *input == Input::Boolean(false);
                    parts.push(BoolExp::IsNull { column, negated });
                }
                InputKind::Compare(comparison) => {
                    let value = self.compare_value(comparison, input.clone())?;
                    parts.push(BoolExp::Compare { column, comparison, value });
                }
                _ => return Err(self.error(Problem::Schema("no operator of a column"))),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn compare_value(
        &self,
        comparison: Comparison,
        input: Input,
    ) -> Result<CompareValue, BindError> {
        let many = matches!(comparison, Comparison::In | Comparison::Nin);
        match (many, input) {
            (true, Input::Array(operand)) => Ok(CompareValue::Array(operand)),
            (true, Input::List(items)) => items
                .into_iter()
                .map(|item| match boolean_as_scalar(Some(item)) {
                    Some(Input::Scalar(operand)) => Ok(operand),
                    _ => Err(self.error(Problem::Schema("a list of no scalars"))),
                })
                .collect::<Result<_, _>>()
                .map(CompareValue::Items),
            (false, input) => match boolean_as_scalar(Some(input)) {
                Some(Input::Scalar(operand)) => Ok(CompareValue::One(operand)),
                _ => Err(self.error(Problem::Schema("an operator takes a scalar"))),
            },
            _ => Err(self.error(Problem::Schema("an operator takes a list"))),
        }
    }

    fn order_by(
        &mut self,
        table: TableId,
        ty: TypeId,
        input: &Input,
        through: &mut Vec<usize>,
        out: &mut Vec<OrderItem>,
    ) -> Result<(), BindError> {
        let def = self.input_type(ty)?;
        let Input::Object(entries) = input else {
            return Err(self.error(Problem::Expected {
                expected: "an object".into(),
                ty: def.name.to_string(),
                found: input.describe(),
            }));
        };
        for (name, input) in entries {
            let Some(field) = def.fields.get(name) else { continue };
            self.path.push_key(name.to_string());
            match (field.kind, input) {
                // Null asks for no order, as in Hasura.
                (_, Input::Null) => {}
                (InputKind::Column(column), Input::Enum(word)) => {
                    let (descending, nulls_first) = self.order(field.ty.base, word)?;
                    out.push(OrderItem {
                        through: through.clone(),
                        column,
                        descending,
                        nulls_first,
                    });
                }
                (InputKind::Relationship(index), input) => {
                    let target = self.target(table, index)?;
                    through.push(index);
                    self.order_by(target, field.ty.base, input, through, out)?;
                    through.pop();
                }
                _ => return Err(self.error(Problem::Schema("an order of no column"))),
            }
            self.path.pop();
        }
        Ok(())
    }

    fn order(&self, ty: TypeId, word: &str) -> Result<(bool, Option<bool>), BindError> {
        if let Some(TypeDef::Enum(def)) = self.schema.types.get(ty)
            && let Some(EnumKind::Order { descending, nulls_first }) =
                def.values.get(word).map(|value| value.kind)
        {
            return Ok((descending, nulls_first));
        }
        Err(self.error(Problem::Schema("an unknown order")))
    }
}

/// The problem of a negative limit or offset.
pub(crate) fn negative() -> Problem {
    Problem::Expected {
        expected: "a non-negative 32-bit integer".into(),
        ty: "Int".to_owned(),
        found: "an integer",
    }
}

fn boolean_as_scalar(input: Option<Input>) -> Option<Input> {
    match input {
        Some(Input::Boolean(value)) => {
            let text: Arc<str> = if value { "true" } else { "false" }.into();
            Some(Input::Scalar(Operand::Const(text)))
        }
        other => other,
    }
}

fn same_arguments(a: &Field, b: &Field) -> bool {
    fn lookup<'f>(field: &'f Field, name: &Name) -> Option<&'f Value> {
        field.arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }
    a.arguments.len() == b.arguments.len()
        && a.arguments.iter().all(|(name, value)| lookup(b, name) == Some(value))
}
