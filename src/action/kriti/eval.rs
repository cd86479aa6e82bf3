//! [`Node`] → JSON.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{ErrorCode, Expr, Key, KritiError, Node, Op, Part, Step, functions};
use crate::session::SessionVars;

/// Steps that one evaluation may take, loops included.
const MAX_STEPS: usize = 1_000_000;
/// Bytes that one evaluation may make, intermediate values included.
const MAX_BYTES: usize = 16 << 20;

/// What a template finds by name.
#[derive(Debug, Default)]
pub(in crate::action) struct Scope<'a> {
    pub values: Vec<(&'static str, Cow<'a, Value>)>,
    /// For `getSessionVariable`.
    pub session: Option<&'a SessionVars>,
}

type Evaluated<'v> = Result<Cow<'v, Value>, KritiError>;

pub(super) fn run(root: &Node, scope: &Scope<'_>) -> Result<Value, KritiError> {
    let run = Run { scope, steps: Cell::new(MAX_STEPS), bytes: Cell::new(MAX_BYTES) };
    let value = run.eval(root, None)?;
    run.owned(value, root)
}

struct Run<'s> {
    scope: &'s Scope<'s>,
    steps: Cell<usize>,
    bytes: Cell<usize>,
}

/// A name of a loop, and those outside of it.
#[derive(Clone, Copy)]
struct Local<'v> {
    name: &'v str,
    value: &'v Value,
    outer: Option<&'v Local<'v>>,
}

impl<'s> Run<'s> {
    fn spend(&self, bytes: usize, node: &Node) -> Result<(), KritiError> {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(error(ErrorCode::Limit, node, "The template makes too much.")),
        }
    }

    /// A value of one's own; a copy counts.
    fn owned(&self, value: Cow<'_, Value>, node: &Node) -> Result<Value, KritiError> {
        if let Cow::Borrowed(value) = &value {
            self.spend(weight(value), node)?;
        }
        Ok(value.into_owned())
    }

    fn eval<'v>(&'v self, node: &'v Node, locals: Option<&'v Local<'v>>) -> Evaluated<'v> {
        match self.steps.get().checked_sub(1) {
            Some(left) => self.steps.set(left),
            None => return Err(error(ErrorCode::Limit, node, "The template takes too long.")),
        }
        Ok(match &node.expr {
            Expr::Null => Cow::Owned(Value::Null),
            Expr::Bool(value) => Cow::Owned(Value::Bool(*value)),
            Expr::Number(number) => Cow::Owned(Value::Number(number.clone())),
            Expr::Text(parts) => Cow::Owned(Value::String(self.text(parts, node, locals)?)),
            Expr::Array(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    out.push(self.owned(self.eval(item, locals)?, item)?);
                }
                Cow::Owned(Value::Array(out))
            }
            Expr::Object(fields) => {
                let mut out = Map::with_capacity(fields.len());
                for (key, value) in fields {
                    self.spend(key.len(), node)?;
                    out.insert(key.clone(), self.owned(self.eval(value, locals)?, value)?);
                }
                Cow::Owned(Value::Object(out))
            }
            Expr::Variable(name) => self.variable(name, node, locals)?,
            Expr::Path { base, steps } => self.path(base, steps, locals)?,
            Expr::If { condition, then, otherwise } => match *self.eval(condition, locals)? {
                Value::Bool(true) => self.eval(then, locals)?,
                Value::Bool(false) => self.eval(otherwise, locals)?,
                ref other => {
                    let message = format!("'{other}' is not a Boolean.");
                    return Err(error(ErrorCode::Type, condition, message));
                }
            },
            Expr::Range { index, item, over, body } => {
                let over_value = self.eval(over, locals)?;
                let Value::Array(items) = &*over_value else {
                    return Err(mismatch(over, &over_value, "Array"));
                };
                let mut out = Vec::new();
                for (at, value) in items.iter().enumerate() {
                    let position = Value::from(at);
                    let counter =
                        index.as_ref().map(|name| Local { name, value: &position, outer: locals });
                    let outer = counter.as_ref().or(locals);
                    let local = Local { name: item, value, outer };
                    let made = self.eval_in(body, &local)?;
                    out.push(made);
                }
                Cow::Owned(Value::Array(out))
            }
            Expr::Binary { op, left, right } => self.binary(*op, left, right, locals)?,
            Expr::Call { function, argument } => {
                let value = self.eval(argument, locals)?;
                if function == "getSessionVariable" {
                    return self.session_variable(&value, argument).map(Cow::Owned);
                }
                self.spend(weight(&value), argument)?;
                match functions::call(function, value.into_owned()) {
                    None => {
                        let message = format!("Function {function} is not defined.");
                        return Err(error(ErrorCode::Function, node, message));
                    }
                    Some(Err(message)) => {
                        return Err(error(ErrorCode::Function, argument, message));
                    }
                    Some(Ok(value)) => Cow::Owned(value),
                }
            }
        })
    }

    /// The value of a loop's body, which refers to nothing of the loop.
    fn eval_in(&self, body: &Node, local: &Local<'_>) -> Result<Value, KritiError> {
        let value = self.eval(body, Some(local))?;
        self.owned(value, body)
    }

    fn variable<'v>(
        &'v self,
        name: &str,
        node: &Node,
        locals: Option<&'v Local<'v>>,
    ) -> Evaluated<'v> {
        let mut next = locals;
        while let Some(local) = next {
            if local.name == name {
                return Ok(Cow::Borrowed(local.value));
            }
            next = local.outer;
        }
        let found = self.scope.values.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, value)) => Ok(Cow::Borrowed(value)),
            None => Err(error(ErrorCode::Path, node, format!("\"{name}\""))),
        }
    }

    fn path<'v>(
        &'v self,
        base: &'v Node,
        steps: &'v [Step],
        locals: Option<&'v Local<'v>>,
    ) -> Evaluated<'v> {
        let mut value = self.eval(base, locals)?;
        let mut optional = false;
        let mut walked = describe(base);
        for step in steps {
            optional |= step.optional;
            let key = match &step.key {
                Key::Field(name) => Cow::Owned(Value::String(name.clone())),
                Key::Value(node) => self.eval(node, locals)?,
            };
            walked.push_str(&match &*key {
                Value::String(name) => format!("{}.{name}", if step.optional { "?" } else { "" }),
                other => format!("{}[{other}]", if step.optional { "?" } else { "" }),
            });
            let at = |code, message: String| Err(KritiError::new(code, step.at.clone(), message));
            let found = match (&*value, &*key) {
                (Value::Object(map), Value::String(name)) => map.contains_key(name),
                (Value::Array(items), Value::Number(index)) => match index.as_u64() {
                    Some(index) => usize::try_from(index).is_ok_and(|index| index < items.len()),
                    None if index.is_i64() => false,
                    None => {
                        let message = format!("Unexpected Float '{index}', expected an integer.");
                        return at(ErrorCode::Type, message);
                    }
                },
                (Value::Null, _) if optional => false,
                (Value::Object(_), other) => {
                    return at(ErrorCode::Type, couldnt_match(other, "String"));
                }
                (Value::Array(_), other) => {
                    return at(ErrorCode::Type, couldnt_match(other, "Number"));
                }
                (other, _) => return at(ErrorCode::Type, couldnt_match(other, "Object")),
            };
            if !found {
                if optional {
                    return Ok(Cow::Owned(Value::Null));
                }
                return at(ErrorCode::Path, format!("\"{walked}\""));
            }
            value = descend(value, &key);
        }
        Ok(value)
    }

    fn text(
        &self,
        parts: &[Part],
        node: &Node,
        locals: Option<&Local<'_>>,
    ) -> Result<String, KritiError> {
        let mut out = String::new();
        for part in parts {
            let before = out.len();
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Value(inner) => match &*self.eval(inner, locals)? {
                    Value::String(text) => out.push_str(text),
                    other => {
                        self.spend(weight(other), node)?;
                        out.push_str(&other.to_string());
                    }
                },
            }
            self.spend(out.len() - before, node)?;
        }
        Ok(out)
    }

    fn binary<'v>(
        &'v self,
        op: Op,
        left: &'v Node,
        right: &'v Node,
        locals: Option<&'v Local<'v>>,
    ) -> Evaluated<'v> {
        let first = self.eval(left, locals)?;
        if op == Op::Default {
            return if first.is_null() { self.eval(right, locals) } else { Ok(first) };
        }
        let second = self.eval(right, locals)?;
        let ordered = |wanted: fn(Ordering) -> bool| wanted(compare(&first, &second));
        let value = match op {
            Op::Or | Op::And => {
                let truth = |value: &Value, node: &Node| match value {
                    Value::Bool(truth) => Ok(*truth),
                    other => Err(mismatch(node, other, "Boolean")),
                };
                let (first, second) = (truth(&first, left)?, truth(&second, right)?);
                if op == Op::Or { first || second } else { first && second }
            }
            Op::In => match (&*first, &*second) {
                (Value::String(key), Value::Object(map)) => map.contains_key(key),
                (other, Value::Object(_)) => return Err(mismatch(left, other, "String")),
                (value, Value::Array(items)) => items.contains(value),
                (_, other) => return Err(mismatch(right, other, "Array")),
            },
            Op::Equal => ordered(Ordering::is_eq),
            Op::NotEqual => ordered(Ordering::is_ne),
            Op::Less => ordered(Ordering::is_lt),
            Op::LessOrEqual => ordered(Ordering::is_le),
            Op::Greater => ordered(Ordering::is_gt),
            Op::GreaterOrEqual => ordered(Ordering::is_ge),
            Op::Default => false,
        };
        Ok(Cow::Owned(Value::Bool(value)))
    }

    fn session_variable(&self, name: &Value, node: &Node) -> Result<Value, KritiError> {
        match name {
            Value::Null => Ok(Value::Null),
            Value::String(name) => {
                let found = self.scope.session.and_then(|all| all.get(&name.to_ascii_lowercase()));
                match found {
                    Some(text) => Ok(Value::String(text.clone())),
                    None => {
                        let message = format!("Session variable \"{name}\" not found");
                        Err(error(ErrorCode::Function, node, message))
                    }
                }
            }
            _ => Err(error(ErrorCode::Function, node, "Session variable name should be a string")),
        }
    }
}

fn error(code: ErrorCode, node: &Node, message: impl Into<String>) -> KritiError {
    KritiError::new(code, node.at.clone(), message)
}

fn couldnt_match(found: &Value, expected: &str) -> String {
    format!("Couldn't match '{}' with '{expected}'.", kind(found))
}

fn mismatch(node: &Node, found: &Value, expected: &str) -> KritiError {
    error(ErrorCode::Type, node, couldnt_match(found, expected))
}

/// The beginning of a path, for messages.
fn describe(base: &Node) -> String {
    match &base.expr {
        Expr::Variable(name) => name.clone(),
        _ => "…".to_owned(),
    }
}

fn descend<'v>(value: Cow<'v, Value>, key: &Value) -> Cow<'v, Value> {
    fn index(key: &Value) -> usize {
        key.as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX)
    }
    let missing = Cow::Owned(Value::Null);
    match value {
        Cow::Borrowed(Value::Object(map)) => {
            key.as_str().and_then(|name| map.get(name)).map_or(missing, Cow::Borrowed)
        }
        Cow::Borrowed(Value::Array(items)) => items.get(index(key)).map_or(missing, Cow::Borrowed),
        Cow::Owned(Value::Object(mut map)) => {
            key.as_str().and_then(|name| map.remove(name)).map_or(missing, Cow::Owned)
        }
        Cow::Owned(Value::Array(mut items)) if index(key) < items.len() => {
            Cow::Owned(items.swap_remove(index(key)))
        }
        _ => missing,
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "Object",
        Value::Array(_) => "Array",
        Value::String(_) => "String",
        Value::Number(_) => "Number",
        Value::Bool(_) => "Boolean",
        Value::Null => "Null",
    }
}

/// Values of one kind by themselves, others by their kinds: Object, Array,
/// String, Number, Boolean, Null, as in Hasura.
fn compare(left: &Value, right: &Value) -> Ordering {
    fn rank(value: &Value) -> u8 {
        match value {
            Value::Object(_) => 0,
            Value::Array(_) => 1,
            Value::String(_) => 2,
            Value::Number(_) => 3,
            Value::Bool(_) => 4,
            Value::Null => 5,
        }
    }
    match (left, right) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let different = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
            different.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let sorted = |map: &Map<String, Value>| {
                let mut entries: Vec<(String, Value)> =
                    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                entries
            };
            let (a, b) = (sorted(a), sorted(b));
            let different = a
                .iter()
                .zip(&b)
                .map(|((ka, va), (kb, vb))| ka.cmp(kb).then_with(|| compare(va, vb)))
                .find(|o| o.is_ne());
            different.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => {
                let float = |n: &Number| n.as_f64().unwrap_or(f64::NAN);
                float(a).total_cmp(&float(b))
            }
        },
    }
}

/// Bytes that a value takes, roughly.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 16 + text.len(),
        Value::Array(items) => 16 + items.iter().map(weight).sum::<usize>(),
        Value::Object(map) => {
            16 + map.iter().map(|(key, value)| key.len() + 16 + weight(value)).sum::<usize>()
        }
    }
}
