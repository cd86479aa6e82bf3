//! The types of a schema: a flat table, referred to by [`TypeId`].

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::catalog::model::{ColumnId, TableId};
use crate::graphql::Name;
use crate::sql::{Ident, SqlType};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// Lists nest once in this dialect: arrays of Postgres are scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    Nullable,
    NonNull,
    /// `[T!]` or `[T!]!`
    List {
        non_null: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeRef {
    pub base: TypeId,
    pub wrap: Wrap,
}

impl TypeRef {
    pub const fn nullable(base: TypeId) -> Self {
        TypeRef { base, wrap: Wrap::Nullable }
    }

    pub const fn non_null(base: TypeId) -> Self {
        TypeRef { base, wrap: Wrap::NonNull }
    }

    pub const fn list(base: TypeId) -> Self {
        TypeRef { base, wrap: Wrap::List { non_null: false } }
    }

    pub const fn non_null_list(base: TypeId) -> Self {
        TypeRef { base, wrap: Wrap::List { non_null: true } }
    }

    /// The same type where null may stand.
    pub const fn without_non_null(self) -> Self {
        let wrap = match self.wrap {
            Wrap::Nullable | Wrap::NonNull => Wrap::Nullable,
            Wrap::List { .. } => Wrap::List { non_null: false },
        };
        TypeRef { base: self.base, wrap }
    }

    pub const fn is_non_null(self) -> bool {
        matches!(self.wrap, Wrap::NonNull | Wrap::List { non_null: true })
    }
}

#[derive(Debug, Clone)]
pub enum TypeDef {
    Scalar(ScalarType),
    Enum(EnumType),
    Object(ObjectType),
    Input(InputType),
}

impl TypeDef {
    pub fn name(&self) -> &Name {
        match self {
            TypeDef::Scalar(t) => &t.name,
            TypeDef::Enum(t) => &t.name,
            TypeDef::Object(t) => &t.name,
            TypeDef::Input(t) => &t.name,
        }
    }
}

/// How a GraphQL value of a scalar becomes text for Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// A 32-bit integer.
    Int,
    Float,
    Boolean,
    String,
    /// A number or its text, every digit kept.
    Number,
    /// Any JSON value.
    Json,
    /// A string as Postgres reads it; numbers, booleans and lists are taken too.
    Text,
}

#[derive(Debug, Clone)]
pub struct ScalarType {
    pub name: Name,
    pub description: Option<String>,
    pub codec: Codec,
    /// What a parameter of this scalar is cast to.
    pub sql: SqlType,
    pub operators: Operators,
}

/// Which comparison operators a type has, and where they live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operators {
    pub equality: bool,
    pub order: bool,
    /// `_in` and `_nin`.
    pub lists: bool,
    pub text: bool,
    /// Schema of the operators when it is not `pg_catalog`.
    pub schema: Option<Ident>,
}

#[derive(Debug, Clone)]
pub struct EnumType {
    pub name: Name,
    pub description: Option<String>,
    pub values: IndexMap<Name, EnumValue>,
}

#[derive(Debug, Clone)]
pub struct EnumValue {
    pub description: Option<String>,
    pub kind: EnumKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnumKind {
    Order { descending: bool, nulls_first: Option<bool> },
    Column(ColumnId),
}

#[derive(Debug, Clone)]
pub struct ObjectType {
    pub name: Name,
    pub description: Option<String>,
    pub fields: IndexMap<Name, FieldDef>,
}

#[derive(Debug, Clone)]
pub struct FieldDef {
    pub description: Option<String>,
    pub args: IndexMap<Name, ArgDef>,
    pub ty: TypeRef,
    pub kind: FieldKind,
}

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    SelectMany(TableId),
    SelectByPk(TableId),
    Column(ColumnId),
    /// Position among the table's relationships.
    Relationship(usize),
    /// The placeholder of a role that may query nothing.
    NothingAvailable,
}

#[derive(Debug, Clone)]
pub struct ArgDef {
    pub description: Option<String>,
    pub ty: TypeRef,
    pub kind: ArgKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    Where,
    OrderBy,
    Limit,
    Offset,
    DistinctOn,
    /// A column of the primary key.
    Key(ColumnId),
}

#[derive(Debug, Clone)]
pub struct InputType {
    pub name: Name,
    pub description: Option<String>,
    pub fields: IndexMap<Name, InputField>,
}

#[derive(Debug, Clone)]
pub struct InputField {
    pub description: Option<String>,
    pub ty: TypeRef,
    pub kind: InputKind,
}

/// What a field of an input object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    And,
    Or,
    Not,
    Column(ColumnId),
    Relationship(usize),
    Compare(Comparison),
    IsNull,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    Nin,
    Like,
    Nlike,
    Ilike,
    Nilike,
    Similar,
    Nsimilar,
    Regex,
    Iregex,
    Nregex,
    Niregex,
}

#[derive(Debug, Clone, Default)]
pub struct TypeTable {
    defs: Vec<TypeDef>,
    by_name: HashMap<Name, TypeId>,
}

impl TypeTable {
    /// Adds a type; an existing one of the same name is kept and returned.
    pub fn add(&mut self, def: TypeDef) -> TypeId {
        if let Some(&id) = self.by_name.get(def.name()) {
            return id;
        }
        let id = TypeId(u32::try_from(self.defs.len()).unwrap_or(u32::MAX));
        self.by_name.insert(def.name().clone(), id);
        self.defs.push(def);
        id
    }

    pub fn get(&self, id: TypeId) -> Option<&TypeDef> {
        self.defs.get(id.0 as usize)
    }

    pub(super) fn get_mut(&mut self, id: TypeId) -> Option<&mut TypeDef> {
        self.defs.get_mut(id.0 as usize)
    }

    pub fn by_name(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    pub fn object(&self, id: TypeId) -> Option<&ObjectType> {
        match self.get(id) {
            Some(TypeDef::Object(object)) => Some(object),
            _ => None,
        }
    }

    pub fn name(&self, id: TypeId) -> &str {
        self.get(id).map_or("", |def| def.name())
    }

    pub fn iter(&self) -> impl Iterator<Item = &TypeDef> {
        self.defs.iter()
    }

    /// A type as a document writes it.
    pub fn display(&self, ty: TypeRef) -> String {
        let name = self.name(ty.base);
        match ty.wrap {
            Wrap::Nullable => name.to_owned(),
            Wrap::NonNull => format!("{name}!"),
            Wrap::List { non_null: false } => format!("[{name}!]"),
            Wrap::List { non_null: true } => format!("[{name}!]!"),
        }
    }
}
