//! Conditions: `<table>_bool_exp`, `<scalar>_comparison_exp`, and conditions on
//! aggregates.

use indexmap::IndexMap;

use super::{Seen, Types, View, input, named_columns, of_column};
use crate::config::NamingConvention;
use crate::schema::predicate::{CastTarget, Comparison, ConditionFunction};
use crate::schema::scalars::{BOOLEAN, FLOAT, INT};
use crate::schema::tracked::{Cardinality, Returns, TrackedTable};
use crate::schema::types::{
    BandInput, EnumType, InputKind, InputType, ScalarType, Spatial, TableType, TypeId, TypeRef,
};

impl Types {
    pub(super) fn bool_exp(&self, view: &View<'_>) -> InputType {
        let convention = view.convention();
        let own = view.ty(TableType::BoolExp);
        let mut fields = IndexMap::from([
            ("_and".into(), input(TypeRef::list(own), InputKind::And)),
            ("_not".into(), input(TypeRef::nullable(own), InputKind::Not)),
            ("_or".into(), input(TypeRef::list(own), InputKind::Or)),
        ]);
        for seen in view.selected() {
            let ty = TypeRef::nullable(seen.ty.comparison(convention));
            fields.entry(seen.name.clone()).or_insert_with(|| input(ty, of_column(seen.column.id)));
        }
        for (index, relationship) in self.relationships(view) {
            let ty = TypeRef::nullable(TypeId::Table(relationship.target, TableType::BoolExp));
            fields
                .entry(relationship.name.clone())
                .or_insert_with(|| input(ty, InputKind::Relationship(index)));
            let aggregate = TypeId::Table(relationship.target, TableType::AggregateBoolExp);
            if relationship.cardinality == Cardinality::Array && self.has(aggregate) {
                fields.entry(convention.aggregate_condition(&relationship.name)).or_insert_with(
                    || input(TypeRef::nullable(aggregate), InputKind::RelationshipAggregate(index)),
                );
            }
        }
        for (index, computed) in self.computed(view) {
            // A condition has no place for arguments.
            if super::function::needs_args(&computed.call) {
                continue;
            }
            let ty = match computed.returns {
                Returns::Scalar(scalar) => TypeId::Comparison(convention, scalar),
                Returns::Rows { table, .. } => TypeId::Table(table, TableType::BoolExp),
            };
            fields
                .entry(computed.name.clone())
                .or_insert_with(|| input(TypeRef::nullable(ty), InputKind::Computed(index)));
        }
        fields.sort_keys();
        InputType {
            name: view.type_name(TableType::BoolExp),
            description: Some(format!(
                "Boolean expression to filter rows from the table \"{}\". All fields are combined with a logical 'AND'.",
                view.name()
            )),
            fields,
        }
    }

    pub(super) fn comparison(
        &self,
        convention: NamingConvention,
        scalar: &ScalarType,
    ) -> InputType {
        let mut fields = IndexMap::new();
        for (word, comparison) in Comparison::ALL {
            if !scalar.operators.has(*comparison) {
                continue;
            }
            let Some(right) = self.tracked().scalars.right_side(scalar, *comparison) else {
                continue;
            };
            let right = match comparison.takes_band() {
                Some(input) => TypeId::Band(input),
                None if comparison.takes_distance() => TypeId::Within(right),
                None => TypeId::Scalar(right),
            };
            let ty = if comparison.takes_list() {
                TypeRef::list(right)
            } else {
                TypeRef::nullable(right)
            };
            let mut field = input(ty, InputKind::Compare(*comparison));
            field.description = described(*comparison, scalar).map(str::to_owned);
            fields.insert(convention.field(word), field);
        }
        if CastTarget::of(&scalar.operators).is_some() {
            fields.insert(
                "_cast".into(),
                input(TypeRef::nullable(TypeId::Cast(convention, scalar.id)), InputKind::Cast),
            );
        }
        fields.insert(
            convention.field("_is_null"),
            input(TypeRef::nullable(TypeId::Scalar(BOOLEAN)), InputKind::IsNull),
        );
        fields.sort_keys();
        InputType {
            name: self.name(TypeId::Comparison(convention, scalar.id)),
            description: Some(format!(
                "Boolean expression to compare columns of type \"{}\". All fields are combined with logical 'AND'.",
                scalar.name
            )),
            fields,
        }
    }

    pub(super) fn cast(
        &self,
        convention: NamingConvention,
        scalar: &ScalarType,
    ) -> Option<InputType> {
        let target = CastTarget::of(&scalar.operators)?;
        let compared =
            TypeId::Comparison(convention, self.tracked().scalars.by_name(target.name())?);
        Some(InputType {
            name: self.name(TypeId::Cast(convention, scalar.id)),
            description: None,
            fields: IndexMap::from([(
                target.name().into(),
                input(TypeRef::nullable(compared), InputKind::CastTo(target)),
            )]),
        })
    }

    /// `st_d_within_input`, `st_d_within_geography_input`
    pub(super) fn within(&self, scalar: &ScalarType) -> Option<InputType> {
        let spatial = scalar.operators.spatial?;
        let of = |scalar| TypeRef::non_null(TypeId::Scalar(scalar));
        let mut fields = IndexMap::from([
            ("distance".into(), input(of(FLOAT), InputKind::WithinDistance)),
            ("from".into(), input(of(scalar.id), InputKind::WithinFrom)),
        ]);
        if spatial == Spatial::Geography {
            let ty = TypeRef::nullable(TypeId::Scalar(BOOLEAN));
            fields.insert("use_spheroid".into(), input(ty, InputKind::WithinSpheroid));
        }
        Some(InputType { name: spatial.within_input().into(), description: None, fields })
    }

    /// `st_intersects_nband_geom_input`, `st_intersects_geom_nband_input`
    pub(super) fn band(&self, of: BandInput) -> Option<InputType> {
        let raster = self.tracked().scalars.iter().find(|scalar| scalar.operators.raster)?;
        let place = self.tracked().scalars.right_side(raster, Comparison::StIntersectsNbandGeom)?;
        let band = TypeRef::or_null(TypeId::Scalar(INT), of == BandInput::Band);
        Some(InputType {
            name: of.name().into(),
            description: None,
            fields: IndexMap::from([
                (
                    "geommin".into(),
                    input(TypeRef::non_null(TypeId::Scalar(place)), InputKind::BandPlace),
                ),
                ("nband".into(), input(band, InputKind::Band)),
            ]),
        })
    }

    pub(super) fn enum_comparison(&self, shown: &TrackedTable) -> InputType {
        let values = TypeId::Table(shown.id, TableType::Enum);
        let (one, many) = (TypeRef::nullable(values), TypeRef::list(values));
        InputType {
            name: shown.type_name(TableType::EnumComparison),
            description: Some(format!(
                "Boolean expression to compare columns of type \"{}\". All fields are combined with logical 'AND'.",
                shown.type_name(TableType::Enum)
            )),
            fields: IndexMap::from([
                ("_eq".into(), input(one, InputKind::Compare(Comparison::Eq))),
                ("_in".into(), input(many, InputKind::Compare(Comparison::In))),
                (
                    shown.convention().field("_is_null"),
                    input(TypeRef::nullable(TypeId::Scalar(BOOLEAN)), InputKind::IsNull),
                ),
                ("_neq".into(), input(one, InputKind::Compare(Comparison::Neq))),
                ("_nin".into(), input(many, InputKind::Compare(Comparison::Nin))),
            ]),
        }
    }

    /// `<table>_aggregate_bool_exp`
    pub(super) fn aggregate_bool_exp(&self, view: &View<'_>) -> InputType {
        let mut fields = IndexMap::new();
        let count = view.ty(TableType::AggregateCount);
        fields.insert("count".into(), input(TypeRef::nullable(count), InputKind::Count));
        for function in ConditionFunction::ALL {
            let id = view.ty(TableType::Condition(function));
            if self.has(id) {
                let condition = input(TypeRef::nullable(id), InputKind::Condition(function));
                fields.insert(function.name().into(), condition);
            }
        }
        fields.sort_keys();
        InputType { name: view.type_name(TableType::AggregateBoolExp), description: None, fields }
    }

    pub(super) fn aggregate_count(&self, view: &View<'_>) -> InputType {
        let mut fields = IndexMap::new();
        let columns = view.ty(TableType::SelectColumn);
        if self.has(columns) {
            fields.insert("arguments".into(), input(TypeRef::list(columns), InputKind::Arguments));
        }
        fields.extend(self.aggregate_parts(view, TypeId::Comparison(view.convention(), INT)));
        InputType { name: view.type_name(TableType::AggregateCount), description: None, fields }
    }

    /// `<table>_aggregate_bool_exp_<function>`
    pub(super) fn condition(
        &self,
        view: &View<'_>,
        function: ConditionFunction,
    ) -> Option<InputType> {
        let compared =
            if function.is_boolean() { BOOLEAN } else { self.tracked().scalars.double()? };
        let ty = TableType::Condition(function);
        let arguments = if function.takes_pair() {
            TableType::ConditionArguments(function)
        } else {
            TableType::ConditionColumn(function)
        };
        let mut fields = IndexMap::from([(
            "arguments".into(),
            input(TypeRef::non_null(view.ty(arguments)), InputKind::Arguments),
        )]);
        fields.extend(self.aggregate_parts(view, TypeId::Comparison(view.convention(), compared)));
        Some(InputType { name: view.type_name(ty), description: None, fields })
    }

    /// The columns of a function that takes two, as Postgres names them.
    pub(super) fn condition_arguments(
        &self,
        view: &View<'_>,
        function: ConditionFunction,
    ) -> InputType {
        let column = TypeRef::non_null(view.ty(TableType::ConditionColumn(function)));
        InputType {
            name: view.type_name(TableType::ConditionArguments(function)),
            description: None,
            fields: IndexMap::from([
                ("X".into(), input(column, InputKind::Argument(1))),
                ("Y".into(), input(column, InputKind::Argument(0))),
            ]),
        }
    }

    fn aggregate_parts(
        &self,
        view: &View<'_>,
        predicate: TypeId,
    ) -> [(crate::graphql::Name, crate::schema::types::InputField); 3] {
        [
            (
                "distinct".into(),
                input(TypeRef::nullable(TypeId::Scalar(BOOLEAN)), InputKind::Distinct),
            ),
            (
                "filter".into(),
                input(TypeRef::nullable(view.ty(TableType::BoolExp)), InputKind::Filter),
            ),
            ("predicate".into(), input(TypeRef::non_null(predicate), InputKind::Predicate)),
        ]
    }

    pub(super) fn condition_column(
        &self,
        view: &View<'_>,
        function: ConditionFunction,
    ) -> EnumType {
        let arguments = TableType::Condition(function).name(&view.shown.stem)
            + match view.convention() {
                NamingConvention::HasuraDefault => "_arguments_columns",
                NamingConvention::GraphqlDefault => "ArgumentsColumns",
            };
        EnumType {
            name: view.type_name(TableType::ConditionColumn(function)),
            description: Some(format!(
                "select \"{arguments}\" columns of table \"{}\"",
                view.name()
            )),
            values: named_columns(self.condition_columns(view, function)),
        }
    }

    /// The columns that a condition on an aggregate may be about.
    pub(super) fn condition_columns<'a>(
        &'a self,
        view: &View<'a>,
        function: ConditionFunction,
    ) -> impl Iterator<Item = Seen<'a>> + use<'a> {
        let of =
            if function.is_boolean() { Some(BOOLEAN) } else { self.tracked().scalars.double() };
        view.selected()
            .filter(move |seen| of.is_some_and(|of| seen.ty.value() == TypeId::Scalar(of)))
    }
}

/// What Hasura says of an operator.
const fn described(comparison: Comparison, scalar: &ScalarType) -> Option<&'static str> {
    Some(match comparison {
        Comparison::Like => "does the column match the given pattern",
        Comparison::Nlike => "does the column NOT match the given pattern",
        Comparison::Ilike => "does the column match the given case-insensitive pattern",
        Comparison::Nilike => "does the column NOT match the given case-insensitive pattern",
        Comparison::Similar => "does the column match the given SQL regular expression",
        Comparison::Nsimilar => "does the column NOT match the given SQL regular expression",
        Comparison::Regex => {
            "does the column match the given POSIX regular expression, case sensitive"
        }
        Comparison::Iregex => {
            "does the column match the given POSIX regular expression, case insensitive"
        }
        Comparison::Nregex => {
            "does the column NOT match the given POSIX regular expression, case sensitive"
        }
        Comparison::Niregex => {
            "does the column NOT match the given POSIX regular expression, case insensitive"
        }
        Comparison::Contains if scalar.array => "does the array contain the given value",
        Comparison::Contains => "does the column contain the given json value at the top level",
        Comparison::ContainedIn if scalar.array => {
            "is the array contained in the given array value"
        }
        Comparison::ContainedIn => "is the column contained in the given json value",
        Comparison::HasKey => "does the string exist as a top-level key in the column",
        Comparison::HasKeysAny => "do any of these strings exist as top-level keys in the column",
        Comparison::HasKeysAll => "do all of these strings exist as top-level keys in the column",
        Comparison::JsonbPathExists => {
            "does the jsonpath return any item for the specified JSON value"
        }
        Comparison::JsonbPathMatch => {
            "does the jsonpath predicate check return true for the specified JSON value"
        }
        Comparison::Ancestor => "is the left argument an ancestor of right (or equal)?",
        Comparison::AncestorAny => "does array contain an ancestor of `ltree`?",
        Comparison::Descendant => "is the left argument a descendant of right (or equal)?",
        Comparison::DescendantAny => "does array contain a descendant of `ltree`?",
        Comparison::Matches => "does `ltree` match `lquery`?",
        Comparison::MatchesAny => "does `ltree` match any `lquery` in array?",
        Comparison::MatchesFulltext => "does `ltree` match `ltxtquery`?",
        Comparison::StContains => "does the column contain the given geometry value",
        Comparison::StCrosses => "does the column cross the given geometry value",
        Comparison::StEquals => {
            "is the column equal to given geometry value (directionality is ignored)"
        }
        Comparison::StIntersects => match scalar.operators.spatial {
            Some(Spatial::Geography) => {
                "does the column spatially intersect the given geography value"
            }
            _ => "does the column spatially intersect the given geometry value",
        },
        Comparison::StOverlaps => {
            "does the column 'spatially overlap' (intersect but not completely contain) the given geometry value"
        }
        Comparison::StTouches => {
            "does the column have atleast one point in common with the given geometry value"
        }
        Comparison::StWithin => "is the column contained in the given geometry value",
        Comparison::St3dIntersects => {
            "does the column spatially intersect the given geometry value in 3D"
        }
        Comparison::StDWithin => match scalar.operators.spatial {
            Some(Spatial::Geography) => {
                "is the column within a given distance from the given geography value"
            }
            _ => "is the column within a given distance from the given geometry value",
        },
        Comparison::St3dDWithin => {
            "is the column within a given 3D distance from the given geometry value"
        }
        _ => return None,
    })
}
