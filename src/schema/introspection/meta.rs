//! The types of introspection itself, in the vocabulary of all others.

use std::sync::LazyLock;

use indexmap::IndexMap;

use crate::graphql::Name;
use crate::schema::scalars::{BOOLEAN, STRING};
use crate::schema::types::{
    ArgDef, ArgKind, EnumKind, EnumType, EnumValue, FieldDef, FieldKind, ObjectType, TypeDef,
    TypeId, TypeRef,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum MetaType {
    Schema,
    Type,
    Field,
    InputValue,
    EnumValue,
    Directive,
    TypeKind,
    DirectiveLocation,
}

/// What a field of these types tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaField {
    Args,
    DefaultValue,
    DeprecationReason,
    Description,
    Directives,
    EnumValues,
    Fields,
    InputFields,
    Interfaces,
    IsDeprecated,
    IsOneOf,
    IsRepeatable,
    Kind,
    Locations,
    MutationType,
    Name,
    OfType,
    PossibleTypes,
    QueryType,
    SpecifiedByUrl,
    SubscriptionType,
    Type,
    Types,
}

impl MetaField {
    /// Whether it lists something of a type that leads on to other types.
    pub const fn is_wide(self) -> bool {
        matches!(
            self,
            MetaField::Fields
                | MetaField::InputFields
                | MetaField::Interfaces
                | MetaField::PossibleTypes
        )
    }
}

impl MetaType {
    pub const ALL: [MetaType; 8] = [
        MetaType::Schema,
        MetaType::Type,
        MetaType::Field,
        MetaType::InputValue,
        MetaType::EnumValue,
        MetaType::Directive,
        MetaType::TypeKind,
        MetaType::DirectiveLocation,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            MetaType::Schema => "__Schema",
            MetaType::Type => "__Type",
            MetaType::Field => "__Field",
            MetaType::InputValue => "__InputValue",
            MetaType::EnumValue => "__EnumValue",
            MetaType::Directive => "__Directive",
            MetaType::TypeKind => "__TypeKind",
            MetaType::DirectiveLocation => "__DirectiveLocation",
        }
    }

    pub fn definition(self) -> Option<&'static TypeDef> {
        static DEFINITIONS: LazyLock<[TypeDef; 8]> = LazyLock::new(|| MetaType::ALL.map(define));
        DEFINITIONS.get(self as usize)
    }
}

/// `__schema` and `__type`, which every query root has without listing them.
pub fn root(name: &str) -> Option<&'static FieldDef> {
    static ROOTS: LazyLock<[FieldDef; 2]> = LazyLock::new(|| {
        let mut ty =
            field(TypeRef::nullable(TypeId::Meta(MetaType::Type)), FieldKind::DescribedType);
        ty.args.insert("name".into(), argument(TypeRef::non_null(TypeId::Scalar(STRING))));
        let schema =
            field(TypeRef::non_null(TypeId::Meta(MetaType::Schema)), FieldKind::DescribedSchema);
        [schema, ty]
    });
    let [schema, ty] = &*ROOTS;
    match name {
        "__schema" => Some(schema),
        "__type" => Some(ty),
        _ => None,
    }
}

fn field(ty: TypeRef, kind: FieldKind) -> FieldDef {
    FieldDef { description: None, args: IndexMap::new(), ty, kind }
}

fn argument(ty: TypeRef) -> ArgDef {
    ArgDef { description: None, ty, kind: ArgKind::Introspection }
}

fn define(ty: MetaType) -> TypeDef {
    use MetaField as F;
    use MetaType as M;
    let meta = TypeId::Meta;
    let text = TypeRef::nullable(TypeId::Scalar(STRING));
    let named = TypeRef::non_null(TypeId::Scalar(STRING));
    let flag = TypeRef::non_null(TypeId::Scalar(BOOLEAN));
    let object = |fields: &[(&str, TypeRef, MetaField)]| object(ty, fields);
    match ty {
        M::Schema => object(&[
            ("description", text, F::Description),
            ("directives", TypeRef::non_null_list(meta(M::Directive)), F::Directives),
            ("mutationType", TypeRef::nullable(meta(M::Type)), F::MutationType),
            ("queryType", TypeRef::non_null(meta(M::Type)), F::QueryType),
            ("subscriptionType", TypeRef::nullable(meta(M::Type)), F::SubscriptionType),
            ("types", TypeRef::non_null_list(meta(M::Type)), F::Types),
        ]),
        M::Type => object(&[
            ("description", text, F::Description),
            ("enumValues", TypeRef::list(meta(M::EnumValue)), F::EnumValues),
            ("fields", TypeRef::list(meta(M::Field)), F::Fields),
            ("inputFields", TypeRef::list(meta(M::InputValue)), F::InputFields),
            ("interfaces", TypeRef::list(meta(M::Type)), F::Interfaces),
            ("isOneOf", TypeRef::nullable(TypeId::Scalar(BOOLEAN)), F::IsOneOf),
            ("kind", TypeRef::non_null(meta(M::TypeKind)), F::Kind),
            ("name", text, F::Name),
            ("ofType", TypeRef::nullable(meta(M::Type)), F::OfType),
            ("possibleTypes", TypeRef::list(meta(M::Type)), F::PossibleTypes),
            ("specifiedByURL", text, F::SpecifiedByUrl),
        ]),
        M::Field => object(&[
            ("args", TypeRef::non_null_list(meta(M::InputValue)), F::Args),
            ("deprecationReason", text, F::DeprecationReason),
            ("description", text, F::Description),
            ("isDeprecated", flag, F::IsDeprecated),
            ("name", named, F::Name),
            ("type", TypeRef::non_null(meta(M::Type)), F::Type),
        ]),
        M::InputValue => object(&[
            ("defaultValue", text, F::DefaultValue),
            ("deprecationReason", text, F::DeprecationReason),
            ("description", text, F::Description),
            ("isDeprecated", flag, F::IsDeprecated),
            ("name", named, F::Name),
            ("type", TypeRef::non_null(meta(M::Type)), F::Type),
        ]),
        M::EnumValue => object(&[
            ("deprecationReason", text, F::DeprecationReason),
            ("description", text, F::Description),
            ("isDeprecated", flag, F::IsDeprecated),
            ("name", named, F::Name),
        ]),
        M::Directive => object(&[
            ("args", TypeRef::non_null_list(meta(M::InputValue)), F::Args),
            ("description", text, F::Description),
            ("isRepeatable", flag, F::IsRepeatable),
            ("locations", TypeRef::non_null_list(meta(M::DirectiveLocation)), F::Locations),
            ("name", named, F::Name),
        ]),
        M::TypeKind => words(
            ty,
            &["ENUM", "INPUT_OBJECT", "INTERFACE", "LIST", "NON_NULL", "OBJECT", "SCALAR", "UNION"],
        ),
        M::DirectiveLocation => words(
            ty,
            &[
                "ARGUMENT_DEFINITION",
                "ENUM",
                "ENUM_VALUE",
                "FIELD",
                "FIELD_DEFINITION",
                "FRAGMENT_DEFINITION",
                "FRAGMENT_SPREAD",
                "INLINE_FRAGMENT",
                "INPUT_FIELD_DEFINITION",
                "INPUT_OBJECT",
                "INTERFACE",
                "MUTATION",
                "OBJECT",
                "QUERY",
                "SCALAR",
                "SCHEMA",
                "SUBSCRIPTION",
                "UNION",
                "VARIABLE_DEFINITION",
            ],
        ),
    }
}

fn object(ty: MetaType, fields: &[(&str, TypeRef, MetaField)]) -> TypeDef {
    let deprecable = |meta: &MetaField| {
        matches!(
            meta,
            MetaField::Args | MetaField::Fields | MetaField::EnumValues | MetaField::InputFields
        )
    };
    let fields = fields
        .iter()
        .map(|(name, ty, meta)| {
            let mut def = field(*ty, FieldKind::Meta(*meta));
            if deprecable(meta) {
                let flag = argument(TypeRef::nullable(TypeId::Scalar(BOOLEAN)));
                def.args.insert("includeDeprecated".into(), flag);
            }
            (Name::from(*name), def)
        })
        .collect();
    TypeDef::Object(ObjectType { name: ty.name().into(), description: None, fields })
}

fn words(ty: MetaType, values: &[&str]) -> TypeDef {
    let values = values
        .iter()
        .map(|word| {
            (Name::from(*word), EnumValue { description: None, kind: EnumKind::Introspection })
        })
        .collect();
    TypeDef::Enum(EnumType { name: ty.name().into(), description: None, values })
}

/// A directive of the executable language.
pub(super) struct DirectiveDef {
    pub name: &'static str,
    pub description: &'static str,
    pub locations: &'static [&'static str],
    pub args: &'static [DirectiveArg],
}

pub(super) struct DirectiveArg {
    pub name: &'static str,
    pub description: Option<&'static str>,
    pub ty: TypeRef,
    pub default: Option<&'static str>,
}

const SELECTIONS: &[&str] = &["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"];

const IF: DirectiveArg = DirectiveArg {
    name: "if",
    description: None,
    ty: TypeRef::non_null(TypeId::Scalar(BOOLEAN)),
    default: None,
};

pub(super) const DIRECTIVES: &[DirectiveDef] = &[
    DirectiveDef {
        name: "cached",
        description: "whether this query should be cached",
        locations: &["QUERY"],
        args: &[
            DirectiveArg {
                name: "refresh",
                description: Some("refresh the cache entry"),
                ty: TypeRef::non_null(TypeId::Scalar(BOOLEAN)),
                default: Some("false"),
            },
            DirectiveArg {
                name: "ttl",
                description: Some("measured in seconds"),
                ty: TypeRef::non_null(TypeId::Scalar(crate::schema::scalars::INT)),
                default: Some("60"),
            },
        ],
    },
    DirectiveDef {
        name: "include",
        description: "whether this query should be included",
        locations: SELECTIONS,
        args: &[IF],
    },
    DirectiveDef {
        name: "skip",
        description: "whether this query should be skipped",
        locations: SELECTIONS,
        args: &[IF],
    },
];
