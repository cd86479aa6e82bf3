//! The vocabulary of a role's schema: types, fields, arguments, each with its
//! meaning, so that what introspection shows and what binding understands are
//! one thing.

use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;

use crate::catalog::model::ColumnId;
use crate::config::NamingConvention;
use crate::graphql::{Name, OperationKind};
use crate::sql::{Ident, SqlType};

use super::introspection::{MetaField, MetaType};
use super::naming::{Stem, upper_first};
use super::predicate::{Comparison, ConditionFunction};
use super::tracked::{ActionId, CustomId, FunctionId, SourceId, TrackedId};

/// A scalar by its GraphQL name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScalarId(pub u32);

/// A type of the schema. Ids mean the same for every role; whether a role has
/// the type, and what is in it, is for [`super::Types`] to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypeId {
    Root(Root),
    /// The object with a source's fields of a root.
    Namespace(SourceId, Root),
    Scalar(ScalarId),
    /// `<scalar>_comparison_exp`, of sources with a naming convention
    Comparison(NamingConvention, ScalarId),
    /// `<scalar>_cast_exp`
    Cast(NamingConvention, ScalarId),
    /// `st_d_within_input` and its like: a place and a distance from it.
    Within(ScalarId),
    /// `st_intersects_nband_geom_input` and its like: a place and a band.
    Band(BandInput),
    /// `order_by`
    OrderBy(NamingConvention),
    /// `cursor_ordering`
    CursorOrdering(NamingConvention),
    Table(TrackedId, TableType),
    /// A type that metadata defines, for actions.
    Custom(CustomId),
    /// Arguments of a computed field.
    ComputedArgs(TrackedId, u16),
    FunctionArgs(FunctionId),
    /// `__Type` and its like.
    Meta(MetaType),
}

/// The kinds of types there are; the words of introspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Scalar,
    Enum,
    Object,
    InputObject,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Scalar => "SCALAR",
            Kind::Enum => "ENUM",
            Kind::Object => "OBJECT",
            Kind::InputObject => "INPUT_OBJECT",
        }
    }
}

impl TypeId {
    pub const fn kind(self) -> Kind {
        match self {
            TypeId::Root(_) | TypeId::Namespace(..) => Kind::Object,
            TypeId::Scalar(_) => Kind::Scalar,
            TypeId::Comparison(..)
            | TypeId::Cast(..)
            | TypeId::Within(_)
            | TypeId::Band(_)
            | TypeId::ComputedArgs(..)
            | TypeId::FunctionArgs(_) => Kind::InputObject,
            TypeId::OrderBy(_) | TypeId::CursorOrdering(_) => Kind::Enum,
            TypeId::Table(_, ty) => ty.kind(),
            TypeId::Custom(id) => id.kind,
            TypeId::Meta(MetaType::TypeKind | MetaType::DirectiveLocation) => Kind::Enum,
            TypeId::Meta(_) => Kind::Object,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    Query,
    Mutation,
    Subscription,
}

impl Root {
    pub const ALL: [Root; 3] = [Root::Query, Root::Mutation, Root::Subscription];

    pub const fn name(self) -> &'static str {
        match self {
            Root::Query => "query_root",
            Root::Mutation => "mutation_root",
            Root::Subscription => "subscription_root",
        }
    }
}

impl From<OperationKind> for Root {
    fn from(kind: OperationKind) -> Self {
        match kind {
            OperationKind::Query => Root::Query,
            OperationKind::Mutation => Root::Mutation,
            OperationKind::Subscription => Root::Subscription,
        }
    }
}

/// The aggregate functions that take columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    Avg,
    Max,
    Min,
    Stddev,
    StddevPop,
    StddevSamp,
    Sum,
    VarPop,
    VarSamp,
    Variance,
}

impl AggregateFunction {
    pub const ALL: [AggregateFunction; 10] = [
        AggregateFunction::Avg,
        AggregateFunction::Max,
        AggregateFunction::Min,
        AggregateFunction::Stddev,
        AggregateFunction::StddevPop,
        AggregateFunction::StddevSamp,
        AggregateFunction::Sum,
        AggregateFunction::VarPop,
        AggregateFunction::VarSamp,
        AggregateFunction::Variance,
    ];

    /// The name, in GraphQL as in Postgres.
    pub const fn name(self) -> &'static str {
        match self {
            AggregateFunction::Avg => "avg",
            AggregateFunction::Max => "max",
            AggregateFunction::Min => "min",
            AggregateFunction::Stddev => "stddev",
            AggregateFunction::StddevPop => "stddev_pop",
            AggregateFunction::StddevSamp => "stddev_samp",
            AggregateFunction::Sum => "sum",
            AggregateFunction::VarPop => "var_pop",
            AggregateFunction::VarSamp => "var_samp",
            AggregateFunction::Variance => "variance",
        }
    }
}

/// What stands between the two names of a table in the name of
/// [`TableType::ConditionColumn`].
const SELECT_COLUMN: &str = "_select_column_";

/// The types that a table brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableType {
    Object,
    BoolExp,
    OrderBy,
    SelectColumn,
    Aggregate,
    AggregateFields,
    FunctionFields(AggregateFunction),
    AggregateOrderBy,
    FunctionOrderBy(AggregateFunction),
    AggregateBoolExp,
    AggregateCount,
    /// What a condition on an aggregate takes.
    Condition(ConditionFunction),
    /// The columns that it may be about.
    ConditionColumn(ConditionFunction),
    /// The two columns of one that takes a pair.
    ConditionArguments(ConditionFunction),
    AggregateGroup,
    AggregateGroupKey,
    Enum,
    EnumComparison,
    StreamCursor,
    StreamCursorValue,
    InsertInput,
    ObjectInsertInput,
    ArrayInsertInput,
    OnConflict,
    Constraint,
    UpdateColumn,
    SetInput,
    IncInput,
    AppendInput,
    PrependInput,
    DeleteKeyInput,
    DeleteElemInput,
    DeleteAtPathInput,
    PkColumnsInput,
    Updates,
    /// Of an updated row: what becomes of those that belong to it.
    NestedUpdateInput,
    /// The same, over one relationship that leads here.
    RelatedUpdateInput,
    RelatedDeleteInput,
    MutationResponse,
}

/// [`TableType::words`] in lower case, by [`TableType::slot`].
static FOLDED: LazyLock<Vec<String>> =
    LazyLock::new(|| TableType::ALL.iter().map(|ty| ty.words().to_ascii_lowercase()).collect());

impl TableType {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [TableType; 76] = {
        use AggregateFunction as F;
        use ConditionFunction as C;
        use TableType as T;
        [
            T::Object,
            T::BoolExp,
            T::OrderBy,
            T::SelectColumn,
            T::Aggregate,
            T::AggregateFields,
            T::AggregateOrderBy,
            T::AggregateBoolExp,
            T::AggregateCount,
            T::AggregateGroup,
            T::AggregateGroupKey,
            T::Enum,
            T::EnumComparison,
            T::StreamCursor,
            T::StreamCursorValue,
            T::InsertInput,
            T::ObjectInsertInput,
            T::ArrayInsertInput,
            T::OnConflict,
            T::Constraint,
            T::UpdateColumn,
            T::SetInput,
            T::IncInput,
            T::AppendInput,
            T::PrependInput,
            T::DeleteKeyInput,
            T::DeleteElemInput,
            T::DeleteAtPathInput,
            T::PkColumnsInput,
            T::Updates,
            T::NestedUpdateInput,
            T::RelatedUpdateInput,
            T::RelatedDeleteInput,
            T::MutationResponse,
            T::FunctionFields(F::Avg),
            T::FunctionFields(F::Max),
            T::FunctionFields(F::Min),
            T::FunctionFields(F::Stddev),
            T::FunctionFields(F::StddevPop),
            T::FunctionFields(F::StddevSamp),
            T::FunctionFields(F::Sum),
            T::FunctionFields(F::VarPop),
            T::FunctionFields(F::VarSamp),
            T::FunctionFields(F::Variance),
            T::FunctionOrderBy(F::Avg),
            T::FunctionOrderBy(F::Max),
            T::FunctionOrderBy(F::Min),
            T::FunctionOrderBy(F::Stddev),
            T::FunctionOrderBy(F::StddevPop),
            T::FunctionOrderBy(F::StddevSamp),
            T::FunctionOrderBy(F::Sum),
            T::FunctionOrderBy(F::VarPop),
            T::FunctionOrderBy(F::VarSamp),
            T::FunctionOrderBy(F::Variance),
            T::Condition(C::Avg),
            T::Condition(C::BoolAnd),
            T::Condition(C::BoolOr),
            T::Condition(C::Corr),
            T::Condition(C::CovarSamp),
            T::Condition(C::Max),
            T::Condition(C::Min),
            T::Condition(C::StddevSamp),
            T::Condition(C::Sum),
            T::Condition(C::VarSamp),
            T::ConditionColumn(C::Avg),
            T::ConditionColumn(C::BoolAnd),
            T::ConditionColumn(C::BoolOr),
            T::ConditionColumn(C::Corr),
            T::ConditionColumn(C::CovarSamp),
            T::ConditionColumn(C::Max),
            T::ConditionColumn(C::Min),
            T::ConditionColumn(C::StddevSamp),
            T::ConditionColumn(C::Sum),
            T::ConditionColumn(C::VarSamp),
            T::ConditionArguments(C::Corr),
            T::ConditionArguments(C::CovarSamp),
        ]
    };

    pub const fn kind(self) -> Kind {
        match self {
            TableType::Object
            | TableType::Aggregate
            | TableType::AggregateFields
            | TableType::AggregateGroup
            | TableType::AggregateGroupKey
            | TableType::FunctionFields(_)
            | TableType::MutationResponse => Kind::Object,
            TableType::SelectColumn
            | TableType::ConditionColumn(_)
            | TableType::Enum
            | TableType::Constraint
            | TableType::UpdateColumn => Kind::Enum,
            _ => Kind::InputObject,
        }
    }

    /// Position in [`Self::ALL`].
    pub fn slot(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).unwrap_or(Self::COUNT)
    }

    /// What follows the table's name, under hasura-default.
    fn suffix(self) -> &'static str {
        use AggregateFunction as F;
        use ConditionFunction as C;
        match self {
            TableType::Object => "",
            TableType::BoolExp => "_bool_exp",
            TableType::OrderBy => "_order_by",
            TableType::SelectColumn => "_select_column",
            TableType::Aggregate => "_aggregate",
            TableType::AggregateFields => "_aggregate_fields",
            TableType::FunctionFields(function) => match function {
                F::Avg => "_avg_fields",
                F::Max => "_max_fields",
                F::Min => "_min_fields",
                F::Stddev => "_stddev_fields",
                F::StddevPop => "_stddev_pop_fields",
                F::StddevSamp => "_stddev_samp_fields",
                F::Sum => "_sum_fields",
                F::VarPop => "_var_pop_fields",
                F::VarSamp => "_var_samp_fields",
                F::Variance => "_variance_fields",
            },
            TableType::AggregateOrderBy => "_aggregate_order_by",
            TableType::FunctionOrderBy(function) => match function {
                F::Avg => "_avg_order_by",
                F::Max => "_max_order_by",
                F::Min => "_min_order_by",
                F::Stddev => "_stddev_order_by",
                F::StddevPop => "_stddev_pop_order_by",
                F::StddevSamp => "_stddev_samp_order_by",
                F::Sum => "_sum_order_by",
                F::VarPop => "_var_pop_order_by",
                F::VarSamp => "_var_samp_order_by",
                F::Variance => "_variance_order_by",
            },
            TableType::AggregateBoolExp => "_aggregate_bool_exp",
            TableType::AggregateCount => "_aggregate_bool_exp_count",
            TableType::Condition(function) => match function {
                C::Avg => "_aggregate_bool_exp_avg",
                C::BoolAnd => "_aggregate_bool_exp_bool_and",
                C::BoolOr => "_aggregate_bool_exp_bool_or",
                C::Corr => "_aggregate_bool_exp_corr",
                C::CovarSamp => "_aggregate_bool_exp_covar_samp",
                C::Max => "_aggregate_bool_exp_max",
                C::Min => "_aggregate_bool_exp_min",
                C::StddevSamp => "_aggregate_bool_exp_stddev_samp",
                C::Sum => "_aggregate_bool_exp_sum",
                C::VarSamp => "_aggregate_bool_exp_var_samp",
            },
            TableType::ConditionColumn(function) => match function {
                C::Avg => "_aggregate_bool_exp_avg_arguments_columns",
                C::BoolAnd => "_aggregate_bool_exp_bool_and_arguments_columns",
                C::BoolOr => "_aggregate_bool_exp_bool_or_arguments_columns",
                C::Corr => "_aggregate_bool_exp_corr_arguments_columns",
                C::CovarSamp => "_aggregate_bool_exp_covar_samp_arguments_columns",
                C::Max => "_aggregate_bool_exp_max_arguments_columns",
                C::Min => "_aggregate_bool_exp_min_arguments_columns",
                C::StddevSamp => "_aggregate_bool_exp_stddev_samp_arguments_columns",
                C::Sum => "_aggregate_bool_exp_sum_arguments_columns",
                C::VarSamp => "_aggregate_bool_exp_var_samp_arguments_columns",
            },
            TableType::ConditionArguments(function) => match function {
                C::Avg => "_aggregate_bool_exp_avg_arguments",
                C::BoolAnd => "_aggregate_bool_exp_bool_and_arguments",
                C::BoolOr => "_aggregate_bool_exp_bool_or_arguments",
                C::Corr => "_aggregate_bool_exp_corr_arguments",
                C::CovarSamp => "_aggregate_bool_exp_covar_samp_arguments",
                C::Max => "_aggregate_bool_exp_max_arguments",
                C::Min => "_aggregate_bool_exp_min_arguments",
                C::StddevSamp => "_aggregate_bool_exp_stddev_samp_arguments",
                C::Sum => "_aggregate_bool_exp_sum_arguments",
                C::VarSamp => "_aggregate_bool_exp_var_samp_arguments",
            },
            TableType::AggregateGroup => "_aggregate_group",
            TableType::AggregateGroupKey => "_aggregate_group_key",
            TableType::Enum => "_enum",
            TableType::EnumComparison => "_enum_comparison_exp",
            TableType::StreamCursor => "_stream_cursor_input",
            TableType::StreamCursorValue => "_stream_cursor_value_input",
            TableType::InsertInput => "_insert_input",
            TableType::ObjectInsertInput => "_obj_rel_insert_input",
            TableType::ArrayInsertInput => "_arr_rel_insert_input",
            TableType::OnConflict => "_on_conflict",
            TableType::Constraint => "_constraint",
            TableType::UpdateColumn => "_update_column",
            TableType::SetInput => "_set_input",
            TableType::IncInput => "_inc_input",
            TableType::AppendInput => "_append_input",
            TableType::PrependInput => "_prepend_input",
            TableType::DeleteKeyInput => "_delete_key_input",
            TableType::DeleteElemInput => "_delete_elem_input",
            TableType::DeleteAtPathInput => "_delete_at_path_input",
            TableType::PkColumnsInput => "_pk_columns_input",
            TableType::Updates => "_updates",
            TableType::NestedUpdateInput => "_nested_update_input",
            TableType::RelatedUpdateInput => "_rel_update_input",
            TableType::RelatedDeleteInput => "_rel_delete_input",
            TableType::MutationResponse => "_mutation_response",
        }
    }

    /// The type's name for a table, without what stands around the types of its
    /// source.
    pub fn name(self, table: &Stem) -> String {
        let suffix = self.suffix();
        match (table.convention, self) {
            // Hasura names these twice.
            (NamingConvention::HasuraDefault, TableType::ConditionColumn(_)) => {
                [&table.name, SELECT_COLUMN, &table.name, suffix].concat()
            }
            (NamingConvention::HasuraDefault, _) => [&table.name, suffix].concat(),
            (_, TableType::ConditionColumn(_)) => {
                [&table.upper, "SelectColumn", &table.inner(), &self.words()].concat()
            }
            (
                _,
                TableType::AggregateCount
                | TableType::Condition(_)
                | TableType::ConditionArguments(_),
            ) => [&table.lower, &*self.words()].concat(),
            _ => [&table.upper, &*self.words()].concat(),
        }
    }

    /// What follows the table's name, under graphql-default. In a condition on an
    /// aggregate the name of the function is one word: `AggregateBoolExpBool_and`.
    fn words(self) -> String {
        let condition = |function: ConditionFunction, rest: &str| {
            ["AggregateBoolExp", &upper_first(function.name()), rest].concat()
        };
        match self {
            TableType::Condition(function) => condition(function, ""),
            TableType::ConditionArguments(function) => condition(function, "Arguments"),
            TableType::ConditionColumn(function) => condition(function, "ArgumentsColumns"),
            _ => self.suffix().split('_').map(upper_first).collect(),
        }
    }

    /// The table's name in a type's name, if it is of this kind; where the
    /// convention is graphql-default, both in lower case.
    pub fn table_of(self, convention: NamingConvention, name: &str) -> Option<&str> {
        let (suffix, between) = match convention {
            NamingConvention::HasuraDefault => (self.suffix(), SELECT_COLUMN),
            NamingConvention::GraphqlDefault => {
                (FOLDED.get(self.slot()).map_or("", |words| &**words), "selectcolumn")
            }
        };
        let table = name.strip_suffix(suffix)?;
        match self {
            TableType::ConditionColumn(_) => {
                let half = table.len().checked_sub(between.len())? / 2;
                let (table, rest) = table.split_at_checked(half)?;
                (rest.strip_prefix(between)? == table).then_some(table)
            }
            _ => Some(table),
        }
    }
}

/// Lists nest once where tables are concerned: arrays of Postgres are scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    Nullable,
    NonNull,
    /// `[T!]` or `[T!]!`
    List {
        non_null: bool,
    },
    /// Any other list; of actions only.
    Deep(Nesting),
}

/// Lists in each other, or with items that may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nesting {
    /// From 1 to [`Nesting::MAX_DEPTH`].
    depth: u8,
    /// Bit 0 is for the innermost items, bit n for the n-th list around them.
    non_null: u8,
}

impl Nesting {
    pub const MAX_DEPTH: u8 = 7;
}

impl Wrap {
    /// So many lists, with a bit for each level that is never null, the
    /// innermost first. `None` when there are too many.
    pub const fn lists(depth: u8, non_null: u8) -> Option<Self> {
        Some(match (depth, non_null) {
            (0, 0) => Wrap::Nullable,
            (0, _) => Wrap::NonNull,
            (1, 0b01) => Wrap::List { non_null: false },
            (1, 0b11) => Wrap::List { non_null: true },
            (1..=Nesting::MAX_DEPTH, non_null) => Wrap::Deep(Nesting { depth, non_null }),
            _ => return None,
        })
    }

    /// Depth and bits, as [`Self::lists`] takes them.
    pub const fn levels(self) -> (u8, u8) {
        match self {
            Wrap::Nullable => (0, 0),
            Wrap::NonNull => (0, 1),
            Wrap::List { non_null: false } => (1, 0b01),
            Wrap::List { non_null: true } => (1, 0b11),
            Wrap::Deep(Nesting { depth, non_null }) => (depth, non_null),
        }
    }

    /// The name of a type as a document writes it.
    pub fn around(self, name: &str) -> String {
        let (depth, non_null) = self.levels();
        let mut out = "[".repeat(depth.into());
        out.push_str(name);
        for level in 0..=depth {
            if level > 0 {
                out.push(']');
            }
            if non_null >> level & 1 == 1 {
                out.push('!');
            }
        }
        out
    }
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

    /// A list that is never null, of items that may be.
    pub const fn non_null_list_of_nullable(base: TypeId) -> Self {
        TypeRef { base, wrap: Wrap::Deep(Nesting { depth: 1, non_null: 0b10 }) }
    }

    pub const fn or_null(base: TypeId, non_null: bool) -> Self {
        TypeRef { base, wrap: if non_null { Wrap::NonNull } else { Wrap::Nullable } }
    }

    /// The same type where null may stand.
    pub const fn without_non_null(self) -> Self {
        let wrap = match self.wrap {
            Wrap::Nullable | Wrap::NonNull => Wrap::Nullable,
            Wrap::List { .. } => Wrap::List { non_null: false },
            Wrap::Deep(Nesting { depth, non_null }) => {
                Wrap::Deep(Nesting { depth, non_null: non_null & !(1 << depth) })
            }
        };
        TypeRef { base: self.base, wrap }
    }

    pub const fn is_non_null(self) -> bool {
        let (depth, non_null) = self.wrap.levels();
        non_null >> depth & 1 == 1
    }

    /// The type of the items of a list.
    pub fn item(self) -> Option<Self> {
        let (depth, non_null) = self.wrap.levels();
        let inner = depth.checked_sub(1)?;
        let wrap = Wrap::lists(inner, non_null & !(1 << depth))?;
        Some(TypeRef { base: self.base, wrap })
    }
}

#[derive(Debug, Clone)]
pub enum TypeDef {
    Scalar(Arc<ScalarType>),
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

    pub fn description(&self) -> Option<&str> {
        match self {
            TypeDef::Scalar(t) => t.description.as_deref(),
            TypeDef::Enum(t) => t.description.as_deref(),
            TypeDef::Object(t) => t.description.as_deref(),
            TypeDef::Input(t) => t.description.as_deref(),
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
    /// A geometry as GeoJSON, or a text as PostGIS reads it.
    GeoJson,
    /// A string or an integer, which is taken as a string (`ID`).
    Id,
    /// A string as Postgres reads it; an array may be a list.
    Text,
}

#[derive(Debug, Clone)]
pub struct ScalarType {
    pub id: ScalarId,
    pub name: Name,
    pub description: Option<String>,
    pub codec: Codec,
    /// What a parameter of this scalar is cast to.
    pub sql: SqlType,
    /// An array of Postgres.
    pub array: bool,
    /// Lists of values are lists of their texts: Postgres has no arrays of
    /// arrays, and in arrays of some types there is something else than commas.
    pub listed_as_text: bool,
    pub operators: Operators,
    /// `_inc` and `sum` take it.
    pub numeric: bool,
    /// `max` and `min` take it.
    pub extremes: bool,
}

/// Which comparison operators a type has, and where they live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operators {
    pub equality: bool,
    pub order: bool,
    /// `_in` and `_nin`.
    pub lists: bool,
    pub text: bool,
    /// `_contains` and `_contained_in`.
    pub containment: bool,
    /// `_has_key` and its like, `_cast`.
    pub json: bool,
    pub ltree: bool,
    pub spatial: Option<Spatial>,
    /// The rasters of PostGIS.
    pub raster: bool,
    /// Schema of the operators when it is not `pg_catalog`.
    pub schema: Option<Ident>,
}

/// What a band of a raster is compared with, by what Postgres takes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BandInput {
    /// The band, which has to be given.
    Band,
    /// The place; without a band it is the whole raster's.
    Place,
}

impl BandInput {
    pub const ALL: [BandInput; 2] = [BandInput::Band, BandInput::Place];

    /// The name of the input type.
    pub const fn name(self) -> &'static str {
        match self {
            BandInput::Band => "st_intersects_nband_geom_input",
            BandInput::Place => "st_intersects_geom_nband_input",
        }
    }
}

/// The types of PostGIS that are compared in space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spatial {
    Geometry,
    Geography,
}

impl Spatial {
    /// The input type of `_st_d_within`.
    pub const fn within_input(self) -> &'static str {
        match self {
            Spatial::Geometry => "st_d_within_input",
            Spatial::Geography => "st_d_within_geography_input",
        }
    }
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
    Order {
        descending: bool,
        nulls_first: Option<bool>,
    },
    /// Of a streaming cursor.
    Cursor {
        descending: bool,
    },
    Column(ColumnId),
    /// Position among the table's primary key (first) and unique constraints.
    Constraint(u16),
    /// Position among the rows of an enum table.
    Row(u32),
    /// A value of an enum of actions.
    Custom,
    /// The word that stands where there is nothing to name.
    Placeholder,
    /// Of the types of introspection.
    Introspection,
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

/// What a root field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootField {
    Table(TrackedId, RootKind),
    Function(FunctionId),
    FunctionAggregate(FunctionId),
    Action(ActionId),
    /// What a source has at the root.
    Namespace(SourceId),
}

/// The root fields of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum RootKind {
    Select,
    SelectByPk,
    SelectAggregate,
    SelectStream,
    Insert,
    InsertOne,
    Update,
    UpdateByPk,
    UpdateMany,
    Delete,
    DeleteByPk,
}

impl RootKind {
    pub const COUNT: usize = 11;

    pub const ALL: [RootKind; Self::COUNT] = [
        RootKind::Select,
        RootKind::SelectByPk,
        RootKind::SelectAggregate,
        RootKind::SelectStream,
        RootKind::Insert,
        RootKind::InsertOne,
        RootKind::Update,
        RootKind::UpdateByPk,
        RootKind::UpdateMany,
        RootKind::Delete,
        RootKind::DeleteByPk,
    ];

    /// The name for a table, where metadata gives no other.
    pub fn name(self, table: &Stem) -> String {
        let (verb, [snake, camel]) = match self {
            RootKind::Select => ("", ["", ""]),
            RootKind::SelectByPk => ("", ["_by_pk", "ByPk"]),
            RootKind::SelectAggregate => ("", ["_aggregate", "Aggregate"]),
            RootKind::SelectStream => ("", ["_stream", "Stream"]),
            RootKind::Insert => ("insert", ["", ""]),
            RootKind::InsertOne => ("insert", ["_one", "One"]),
            RootKind::Update => ("update", ["", ""]),
            RootKind::UpdateByPk => ("update", ["_by_pk", "ByPk"]),
            RootKind::UpdateMany => ("update", ["_many", "Many"]),
            RootKind::Delete => ("delete", ["", ""]),
            RootKind::DeleteByPk => ("delete", ["_by_pk", "ByPk"]),
        };
        match table.convention {
            NamingConvention::HasuraDefault if verb.is_empty() => [&table.name, snake].concat(),
            NamingConvention::HasuraDefault => [verb, "_", &table.name, snake].concat(),
            NamingConvention::GraphqlDefault if verb.is_empty() => [&table.lower, camel].concat(),
            NamingConvention::GraphqlDefault => [verb, &table.inner(), camel].concat(),
        }
    }

    /// The roots that it belongs to.
    pub const fn roots(self) -> &'static [Root] {
        match self {
            RootKind::Select | RootKind::SelectByPk | RootKind::SelectAggregate => {
                &[Root::Query, Root::Subscription]
            }
            RootKind::SelectStream => &[Root::Subscription],
            _ => &[Root::Mutation],
        }
    }
}

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    Root(RootField),
    Column(ColumnId),
    /// Position among the table's relationships.
    Relationship(usize),
    /// Aggregates over an array relationship.
    RelationshipAggregate(usize),
    /// Position among the table's computed fields.
    Computed(usize),
    /// `aggregate` of a `<table>_aggregate`.
    Aggregate,
    /// `nodes` of a `<table>_aggregate`.
    Nodes,
    /// `groups` of a `<table>_aggregate`.
    Groups,
    /// `key` of a group.
    GroupKey,
    /// `count` of aggregate fields.
    Count,
    /// `sum` and the like of aggregate fields.
    Function(AggregateFunction),
    /// `affected_rows` of a mutation response.
    AffectedRows,
    /// `returning` of a mutation response.
    Returning,
    /// Of an object of an action: what the handler answered under its name.
    Custom,
    /// Position among the relationships of such an object.
    CustomRelationship(usize),
    /// Aggregates over one.
    CustomAggregate(usize),
    /// The placeholder of a role that may query nothing.
    NothingAvailable,
    /// `__schema`
    DescribedSchema,
    /// `__type`
    DescribedType,
    /// A field of the types of introspection.
    Meta(MetaField),
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
    /// `path` of a JSON column.
    JsonPath,
    /// `columns` of `count`.
    CountColumns,
    /// `distinct` of `count`.
    CountDistinct,
    /// `by` of `groups`.
    GroupBy,
    /// `args` of a function or computed field.
    FunctionArgs,
    /// `objects` of an insert.
    Objects,
    /// `object` of an insert of one.
    Object,
    OnConflict,
    /// `_set`, `_inc` and the like.
    Operator(UpdateOperator),
    PkColumns,
    /// `_nested` of an update by primary key.
    Nested,
    /// `updates` of an update of many.
    Updates,
    BatchSize,
    Cursor,
    /// Of `__type` and of the types of introspection.
    Introspection,
    /// An argument of an action.
    Custom,
}

/// What an update does with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpdateOperator {
    Set,
    Inc,
    Append,
    Prepend,
    DeleteKey,
    DeleteElem,
    DeleteAtPath,
}

impl UpdateOperator {
    pub const ALL: [UpdateOperator; 7] = [
        UpdateOperator::Append,
        UpdateOperator::DeleteAtPath,
        UpdateOperator::DeleteElem,
        UpdateOperator::DeleteKey,
        UpdateOperator::Inc,
        UpdateOperator::Prepend,
        UpdateOperator::Set,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            UpdateOperator::Set => "_set",
            UpdateOperator::Inc => "_inc",
            UpdateOperator::Append => "_append",
            UpdateOperator::Prepend => "_prepend",
            UpdateOperator::DeleteKey => "_delete_key",
            UpdateOperator::DeleteElem => "_delete_elem",
            UpdateOperator::DeleteAtPath => "_delete_at_path",
        }
    }

    pub const fn input(self) -> TableType {
        match self {
            UpdateOperator::Set => TableType::SetInput,
            UpdateOperator::Inc => TableType::IncInput,
            UpdateOperator::Append => TableType::AppendInput,
            UpdateOperator::Prepend => TableType::PrependInput,
            UpdateOperator::DeleteKey => TableType::DeleteKeyInput,
            UpdateOperator::DeleteElem => TableType::DeleteElemInput,
            UpdateOperator::DeleteAtPath => TableType::DeleteAtPathInput,
        }
    }
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

/// What a write makes of a column's value that is null or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Null is refused, although the value may be left out.
    pub never_null: bool,
    /// To leave it out of a new row is to say null: there is no default.
    pub absent_is_null: bool,
}

/// What an update does with the rows that belong to the updated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelatedWrite {
    Delete,
    Update,
    Insert,
}

/// What a field of an input object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    And,
    Or,
    Not,
    Column(ColumnId),
    Relationship(usize),
    /// Aggregates over a relationship, in a condition or an order.
    RelationshipAggregate(usize),
    Computed(usize),
    Compare(Comparison),
    IsNull,
    /// `_cast`, and inside it the type that is cast to.
    Cast,
    CastTo(super::predicate::CastTarget),
    /// Of `_st_d_within`.
    WithinDistance,
    WithinFrom,
    WithinSpheroid,
    /// Of `_st_intersects_nband_geom` and its like.
    Band,
    BandPlace,
    /// `count` of aggregates.
    Count,
    Function(AggregateFunction),
    /// Another aggregate in a condition.
    Condition(ConditionFunction),
    /// Of an aggregate's condition.
    Arguments,
    Distinct,
    Filter,
    Predicate,
    /// An argument of a function, by its position among those of the call.
    Argument(usize),
    /// `data` of a nested insert.
    Data,
    OnConflict,
    Constraint,
    UpdateColumns,
    Where,
    Operator(UpdateOperator),
    /// What becomes of rows that belong to an updated one.
    Related(RelatedWrite),
    /// Of a streaming cursor.
    InitialValue,
    Ordering,
    /// Of an input object of an action.
    Custom,
}
