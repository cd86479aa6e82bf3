//! Conditions on rows, every name resolved: what a caller's `where` and a
//! permission's filter both become.

use std::sync::Arc;

use super::tracked::TrackedId;
use super::types::{BandInput, Operators, Spatial};
use crate::catalog::model::ColumnId;

/// A scalar that travels as a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Written in the document or the metadata, or fixed by us.
    Const(Arc<str>),
    /// The n-th leaf of the request's variables.
    Leaf(usize),
    /// A session variable, by its lower-case name.
    Session(Arc<str>),
    /// All session variables as a JSON object.
    SessionVariables,
    /// JSON that the document spells out around variables.
    Json(Arc<[JsonPart]>),
    /// GeoJSON that the document spells out around variables.
    GeoJson(Arc<[JsonPart]>),
    /// What an earlier statement of the same transaction gave.
    Earlier(Earlier),
    /// Where a streaming subscription stands.
    Cursor,
    /// A column of the keys that it has sent, by its position in the key: an array.
    SentKeys(usize),
}

/// A piece of JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum JsonPart {
    Text(Arc<str>),
    /// What the request sends for a variable, or the JSON text of its default.
    Variable {
        name: Arc<str>,
        default: Arc<str>,
    },
}

/// Values that statements of one transaction hand to later ones; statements
/// are told by their position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Earlier {
    /// A column, by its name, of the one row that a statement returned.
    Cell { step: usize, column: Arc<str> },
    /// How many rows some statements touched in all.
    Count(Arc<[usize]>),
    /// All rows that some statements returned, as one JSON array.
    Rows(Arc<[usize]>),
}

/// A condition on the rows of one table.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Not(Box<Predicate>),
    Compare {
        subject: Subject,
        comparison: Comparison,
        value: CompareValue,
    },
    IsNull {
        subject: Subject,
        negated: bool,
    },
    /// Some row on the other side of a relationship satisfies the inner one.
    Related {
        relationship: usize,
        inner: Box<Predicate>,
    },
    /// Some row of any table satisfies the inner one.
    Exists {
        table: TrackedId,
        inner: Box<Predicate>,
    },
    /// Some row that a computed field returns satisfies the inner one.
    ComputedRows {
        field: usize,
        inner: Box<Predicate>,
    },
    /// An aggregate over the other side of a relationship compares.
    Aggregate(Box<AggregatePredicate>),
}

impl Predicate {
    /// Holds for every row.
    pub const TRUE: Predicate = Predicate::And(Vec::new());

    /// Whether only the row itself and the session decide.
    pub fn stays_in_row(&self) -> bool {
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter().all(Self::stays_in_row),
            Predicate::Not(inner) => inner.stays_in_row(),
            Predicate::Compare { subject, .. } | Predicate::IsNull { subject, .. } => {
                !matches!(subject, Subject::Computed(_))
            }
            Predicate::Related { .. }
            | Predicate::Exists { .. }
            | Predicate::ComputedRows { .. }
            | Predicate::Aggregate(_) => false,
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Predicate::And(parts) => parts.iter().all(Predicate::is_true),
            _ => false,
        }
    }

    /// Calls `visit` for this condition and those inside, with the table that
    /// each is about; `target` tells where relationships and computed fields
    /// lead.
    pub fn walk(&self, visit: &mut impl FnMut(&Predicate)) {
        visit(self);
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().for_each(|part| part.walk(visit));
            }
            Predicate::Not(inner)
            | Predicate::Related { inner, .. }
            | Predicate::Exists { inner, .. }
            | Predicate::ComputedRows { inner, .. } => inner.walk(visit),
            Predicate::Aggregate(aggregate) => aggregate.filter.walk(visit),
            Predicate::Compare { .. } | Predicate::IsNull { .. } => {}
        }
    }
}

/// What stands on the left of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    Column(ColumnId),
    /// A column read as another type, as `_cast` asks.
    Cast(ColumnId, CastTarget),
    /// A scalar computed field, without arguments of the caller.
    Computed(usize),
}

/// What `_cast` can read a column as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastTarget {
    Text,
    Geometry,
    Geography,
}

impl CastTarget {
    /// What a column of a type can be read as.
    pub const fn of(operators: &Operators) -> Option<CastTarget> {
        match operators.spatial {
            Some(Spatial::Geometry) => Some(CastTarget::Geography),
            Some(Spatial::Geography) => Some(CastTarget::Geometry),
            None if operators.json => Some(CastTarget::Text),
            None => None,
        }
    }

    /// Its scalar, and the words for it in a condition.
    pub const fn name(self) -> &'static str {
        match self {
            CastTarget::Text => "String",
            CastTarget::Geometry => "geometry",
            CastTarget::Geography => "geography",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum CompareValue {
    One(Operand),
    /// An array literal.
    Array(Operand),
    Items(Vec<Operand>),
    Column(ColumnReference),
    Within(Box<Within>),
    Band(Box<Band>),
}

/// `{geommin: {…}, nband: 1}`
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    pub place: Operand,
    /// All of the raster without one.
    pub band: Option<Operand>,
}

/// `{distance: 100, from: {…}, use_spheroid: true}`
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    pub distance: Operand,
    pub from: Operand,
    pub use_spheroid: Option<bool>,
}

/// A column on the right side of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnReference {
    /// Of the table that the whole condition is about, not of the one at hand.
    pub root: bool,
    pub column: ColumnId,
}

/// `<relationship>_aggregate: {count: {…}}` and the like.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregatePredicate {
    pub relationship: usize,
    pub function: PredicateAggregate,
    pub distinct: bool,
    /// Which rows count.
    pub filter: Predicate,
    /// All of them have to hold.
    pub comparisons: Vec<(Comparison, CompareValue)>,
    /// `_is_null` on the aggregate.
    pub is_null: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredicateAggregate {
    /// Of rows, or of rows in which these columns are not null.
    Count(Vec<ColumnId>),
    /// Of columns, in the order in which Postgres takes them.
    Function(ConditionFunction, Vec<ColumnId>),
}

/// The aggregates beside `count` that a condition may be about: those that
/// Hasura has, over columns of type boolean or double precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionFunction {
    Avg,
    BoolAnd,
    BoolOr,
    Corr,
    CovarSamp,
    Max,
    Min,
    StddevSamp,
    Sum,
    VarSamp,
}

impl ConditionFunction {
    pub const ALL: [ConditionFunction; 10] = [
        ConditionFunction::Avg,
        ConditionFunction::BoolAnd,
        ConditionFunction::BoolOr,
        ConditionFunction::Corr,
        ConditionFunction::CovarSamp,
        ConditionFunction::Max,
        ConditionFunction::Min,
        ConditionFunction::StddevSamp,
        ConditionFunction::Sum,
        ConditionFunction::VarSamp,
    ];

    /// The name, in GraphQL as in Postgres.
    pub const fn name(self) -> &'static str {
        match self {
            ConditionFunction::Avg => "avg",
            ConditionFunction::BoolAnd => "bool_and",
            ConditionFunction::BoolOr => "bool_or",
            ConditionFunction::Corr => "corr",
            ConditionFunction::CovarSamp => "covar_samp",
            ConditionFunction::Max => "max",
            ConditionFunction::Min => "min",
            ConditionFunction::StddevSamp => "stddev_samp",
            ConditionFunction::Sum => "sum",
            ConditionFunction::VarSamp => "var_samp",
        }
    }

    /// Of booleans, a boolean; the others of doubles, a double.
    pub const fn is_boolean(self) -> bool {
        matches!(self, ConditionFunction::BoolAnd | ConditionFunction::BoolOr)
    }

    /// Whether it takes two columns, `Y` and `X`.
    pub const fn takes_pair(self) -> bool {
        matches!(self, ConditionFunction::Corr | ConditionFunction::CovarSamp)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    Contains,
    ContainedIn,
    HasKey,
    HasKeysAny,
    HasKeysAll,
    Ancestor,
    AncestorAny,
    Descendant,
    DescendantAny,
    Matches,
    MatchesAny,
    MatchesFulltext,
    JsonbPathExists,
    JsonbPathMatch,
    StContains,
    StCrosses,
    StEquals,
    StIntersects,
    StOverlaps,
    StTouches,
    StWithin,
    St3dIntersects,
    StDWithin,
    St3dDWithin,
    StIntersectsRast,
    StIntersectsNbandGeom,
    StIntersectsGeomNband,
}

impl Comparison {
    pub const ALL: &'static [(&'static str, Comparison)] = &[
        ("_eq", Comparison::Eq),
        ("_neq", Comparison::Neq),
        ("_gt", Comparison::Gt),
        ("_gte", Comparison::Gte),
        ("_lt", Comparison::Lt),
        ("_lte", Comparison::Lte),
        ("_in", Comparison::In),
        ("_nin", Comparison::Nin),
        ("_like", Comparison::Like),
        ("_nlike", Comparison::Nlike),
        ("_ilike", Comparison::Ilike),
        ("_nilike", Comparison::Nilike),
        ("_similar", Comparison::Similar),
        ("_nsimilar", Comparison::Nsimilar),
        ("_regex", Comparison::Regex),
        ("_iregex", Comparison::Iregex),
        ("_nregex", Comparison::Nregex),
        ("_niregex", Comparison::Niregex),
        ("_contains", Comparison::Contains),
        ("_contained_in", Comparison::ContainedIn),
        ("_has_key", Comparison::HasKey),
        ("_has_keys_any", Comparison::HasKeysAny),
        ("_has_keys_all", Comparison::HasKeysAll),
        ("_ancestor", Comparison::Ancestor),
        ("_ancestor_any", Comparison::AncestorAny),
        ("_descendant", Comparison::Descendant),
        ("_descendant_any", Comparison::DescendantAny),
        ("_matches", Comparison::Matches),
        ("_matches_any", Comparison::MatchesAny),
        ("_matches_fulltext", Comparison::MatchesFulltext),
        ("_jsonb_path_exists", Comparison::JsonbPathExists),
        ("_jsonb_path_match", Comparison::JsonbPathMatch),
        ("_st_contains", Comparison::StContains),
        ("_st_crosses", Comparison::StCrosses),
        ("_st_equals", Comparison::StEquals),
        ("_st_intersects", Comparison::StIntersects),
        ("_st_overlaps", Comparison::StOverlaps),
        ("_st_touches", Comparison::StTouches),
        ("_st_within", Comparison::StWithin),
        ("_st_3d_intersects", Comparison::St3dIntersects),
        ("_st_d_within", Comparison::StDWithin),
        ("_st_3d_d_within", Comparison::St3dDWithin),
        ("_st_intersects_rast", Comparison::StIntersectsRast),
        ("_st_intersects_nband_geom", Comparison::StIntersectsNbandGeom),
        ("_st_intersects_geom_nband", Comparison::StIntersectsGeomNband),
    ];

    /// Whether the right side is a list of values.
    pub const fn takes_list(self) -> bool {
        matches!(
            self,
            Comparison::In
                | Comparison::Nin
                | Comparison::HasKeysAny
                | Comparison::HasKeysAll
                | Comparison::AncestorAny
                | Comparison::DescendantAny
                | Comparison::MatchesAny
        )
    }

    /// Whether the right side is a place and a distance from it.
    pub const fn takes_distance(self) -> bool {
        matches!(self, Comparison::StDWithin | Comparison::St3dDWithin)
    }

    /// What is given beside a place, where the right side is a band of a raster.
    pub const fn takes_band(self) -> Option<BandInput> {
        match self {
            Comparison::StIntersectsNbandGeom => Some(BandInput::Band),
            Comparison::StIntersectsGeomNband => Some(BandInput::Place),
            _ => None,
        }
    }

    /// The function of PostGIS that compares, where no operator does.
    pub const fn function(self) -> Option<&'static str> {
        Some(match self {
            Comparison::StContains => "st_contains",
            Comparison::StCrosses => "st_crosses",
            Comparison::StEquals => "st_equals",
            Comparison::StIntersects
            | Comparison::StIntersectsRast
            | Comparison::StIntersectsNbandGeom
            | Comparison::StIntersectsGeomNband => "st_intersects",
            Comparison::StOverlaps => "st_overlaps",
            Comparison::StTouches => "st_touches",
            Comparison::StWithin => "st_within",
            Comparison::St3dIntersects => "st_3dintersects",
            Comparison::StDWithin => "st_dwithin",
            Comparison::St3dDWithin => "st_3ddwithin",
            _ => return None,
        })
    }
}
