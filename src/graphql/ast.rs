//! Our own small tree of an executable document. Numbers keep their text.

use std::sync::Arc;

use indexmap::IndexMap;

pub type Name = Arc<str>;

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub operations: Vec<OperationDefinition>,
    pub fragments: IndexMap<Name, Fragment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OperationDefinition {
    pub kind: OperationKind,
    pub name: Option<Name>,
    pub variables: Vec<VariableDefinition>,
    pub directives: Vec<Directive>,
    pub selection: Vec<Selection>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VariableDefinition {
    pub name: Name,
    pub ty: TypeExpr,
    pub default: Option<Value>,
}

/// A type as written: `[uuid!]!`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeExpr {
    Named { name: Name, non_null: bool },
    List { item: Box<TypeExpr>, non_null: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fragment {
    pub on: Name,
    pub directives: Vec<Directive>,
    pub selection: Vec<Selection>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selection {
    Field(Field),
    Spread { fragment: Name, directives: Vec<Directive> },
    Inline { on: Option<Name>, directives: Vec<Directive>, selection: Vec<Selection> },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    pub alias: Option<Name>,
    pub name: Name,
    pub arguments: Vec<(Name, Value)>,
    pub directives: Vec<Directive>,
    pub selection: Vec<Selection>,
}

impl Field {
    pub fn response_key(&self) -> &Name {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Directive {
    pub name: Name,
    pub arguments: Vec<(Name, Value)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    Variable(Name),
    /// Source text of an integer.
    Int(Arc<str>),
    /// Source text of a number with fraction or exponent.
    Float(Arc<str>),
    String(Arc<str>),
    Boolean(bool),
    Null,
    Enum(Name),
    List(Vec<Value>),
    Object(Vec<(Name, Value)>),
}

impl std::fmt::Display for TypeExpr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TypeExpr::Named { name, non_null } => {
                write!(f, "{name}{}", if *non_null { "!" } else { "" })
            }
            TypeExpr::List { item, non_null } => {
                write!(f, "[{item}]{}", if *non_null { "!" } else { "" })
            }
        }
    }
}
