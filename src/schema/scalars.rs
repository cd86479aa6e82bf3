//! Postgres types as GraphQL scalars, named as Hasura names them.
//!
//! A domain is shown as its base type. A type that is not known here is a
//! scalar of its own name whose values travel as text.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::model::{Catalog, Oid, PgType, TypeKind};
use crate::config::NamingConvention;
use crate::graphql::Name;
use crate::sql::{Ident, InvalidIdent, QualifiedName, SqlType};

use super::naming::{is_graphql_name, sanitize};
use super::predicate::Comparison;
use super::tracked::SourceId;
use super::types::{AggregateFunction, Codec, Operators, ScalarId, ScalarType, Spatial};

/// Types of `pg_catalog` without an equality operator.
const WITHOUT_EQUALITY: &[&str] = &[
    "json",
    "xml",
    "point",
    "polygon",
    "box",
    "jsonpath",
    "txid_snapshot",
    "pg_snapshot",
    "gtsvector",
];

/// Types with equality but without an order.
const WITHOUT_ORDER: &[&str] =
    &["line", "xid", "cid", "hstore", "path", "lseg", "circle", "aclitem", "raster"];

const TEXT: &[&str] = &["text", "varchar", "bpchar", "name", "citext"];

const NUMERIC: &[&str] = &["int2", "int4", "int8", "float4", "float8", "numeric", "money"];

/// What `max` and `min` take, beside enums and arrays.
const EXTREMES: &[&str] = &[
    "int2",
    "int4",
    "int8",
    "oid",
    "float4",
    "float8",
    "numeric",
    "money",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "text",
    "varchar",
    "bpchar",
    "inet",
    "pg_lsn",
    "xid8",
    "tid",
    "citext",
    // Postgres has neither for uuid; the planner goes by its text.
    "uuid",
];

/// What `avg` and the statistics take.
const AVERAGED: &[&str] = &["int2", "int4", "int8", "float4", "float8", "numeric"];

/// The scalars that arguments use whatever the tables hold, with the type of
/// Postgres behind each; they come first, in this order.
const BUILT_IN: [(&str, &str); 4] =
    [("String", "text"), ("Int", "int4"), ("Float", "float8"), ("Boolean", "bool")];

pub const STRING: ScalarId = ScalarId(0);
pub const INT: ScalarId = ScalarId(1);
pub const FLOAT: ScalarId = ScalarId(2);
pub const BOOLEAN: ScalarId = ScalarId(3);

/// What actions may name of Postgres' own types, whatever the tables hold.
const OF_POSTGRES: [(&str, &str, Codec); 18] = [
    ("bigint", "int8", Codec::Number),
    ("smallint", "int2", Codec::Number),
    ("float8", "float8", Codec::Number),
    ("numeric", "numeric", Codec::Number),
    ("money", "money", Codec::Number),
    ("json", "json", Codec::Json),
    ("jsonb", "jsonb", Codec::Json),
    ("uuid", "uuid", Codec::Text),
    ("bpchar", "bpchar", Codec::Text),
    ("bytea", "bytea", Codec::Text),
    ("date", "date", Codec::Text),
    ("time", "time", Codec::Text),
    ("timetz", "timetz", Codec::Text),
    ("timestamp", "timestamp", Codec::Text),
    ("timestamptz", "timestamptz", Codec::Text),
    ("interval", "interval", Codec::Text),
    ("inet", "inet", Codec::Text),
    ("xml", "xml", Codec::Text),
];

/// The scalar of identifiers, which no table uses.
pub const ID: &str = "ID";

/// What Hasura says of a text that is no `ltree`.
pub(crate) const LABEL_PATH: &str = "Expecting label path: a sequence of zero or more labels separated by dots, for example L1.L2.L3";

/// Whether a text can be an `ltree`.
pub(crate) fn is_label_path(text: &str) -> bool {
    !text.split('.').any(str::is_empty)
}

/// What Hasura says of a text that is no `raster`.
pub(crate) const RASTER: &str =
    "invalid hexadecimal representation of raster well known binary format";

/// Whether a text can be a `raster`.
pub(crate) fn is_hexadecimal(text: &str) -> bool {
    text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The scalar of every type of every source, domains resolved.
#[derive(Debug, Default)]
pub struct Scalars {
    /// By [`ScalarId`]: one for each GraphQL name.
    named: Vec<Arc<ScalarType>>,
    by_name: HashMap<Name, ScalarId>,
    /// The names, as the types named after them are spelled under graphql-default.
    spelled: HashMap<Name, ScalarId>,
    by_oid: Vec<HashMap<Oid, Arc<ScalarType>>>,
}

impl Scalars {
    /// The scalars of catalogues, one after the other.
    pub fn of<'a>(catalogs: impl IntoIterator<Item = &'a Catalog>) -> Result<Self, InvalidIdent> {
        let mut out = Scalars::default();
        for (name, pg) in BUILT_IN {
            let scalar = built_in(name, pg, ScalarId(out.next()))?;
            out.add(scalar);
        }
        for catalog in catalogs {
            let by_oid = out.read(catalog)?;
            out.by_oid.push(by_oid);
        }
        Ok(out)
    }

    fn next(&self) -> u32 {
        u32::try_from(self.named.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, scalar: ScalarType) -> Arc<ScalarType> {
        let scalar = Arc::new(scalar);
        self.by_name.insert(scalar.name.clone(), scalar.id);
        let spelled = NamingConvention::GraphqlDefault.type_name(&scalar.name);
        self.spelled.entry(spelled).or_insert(scalar.id);
        self.named.push(scalar.clone());
        scalar
    }

    fn read(&mut self, catalog: &Catalog) -> Result<HashMap<Oid, Arc<ScalarType>>, InvalidIdent> {
        let mut oids: Vec<Oid> = catalog.types.keys().copied().collect();
        // Types of Postgres itself name themselves first, so that none of a
        // user's can take the name `date`.
        oids.sort_by_key(|oid| {
            let own = catalog.types.get(oid).is_some_and(|ty| &*ty.schema == "pg_catalog");
            (!own, *oid)
        });
        // Names that types of this catalogue have.
        let mut names: HashSet<Name> = BUILT_IN.iter().map(|(name, _)| Name::from(*name)).collect();
        names.insert(ID.into());
        let mut by_oid = HashMap::new();
        for oid in oids {
            let base = base_of(catalog, oid);
            let Some(ty) = catalog.types.get(&base) else { continue };
            if oid != base || ty.kind == TypeKind::Pseudo {
                continue;
            }
            // Rows of a table as one value must not take the name of its object.
            let is_row = ty.relation.is_some_and(|oid| catalog.relations.contains_key(&oid));
            let name = unique_name(ty, is_row, &mut names);
            let known = self.by_name.get(&name).copied();
            match scalar(ty, name, known.unwrap_or(ScalarId(self.next()))) {
                Ok(scalar) => {
                    let scalar = if known.is_some() { Arc::new(scalar) } else { self.add(scalar) };
                    if scalar.operators.ltree {
                        self.add_companions(&scalar);
                    }
                    if let Some(spatial) = scalar.operators.spatial {
                        self.add_other(spatial, &scalar)?;
                    }
                    if scalar.operators.raster {
                        self.add_place(&scalar)?;
                    }
                    by_oid.insert(oid, scalar);
                }
                Err(error) => {
                    tracing::warn!(type_name = %ty.name, %error, "type left out of the schema");
                }
            }
        }
        for oid in catalog.types.keys() {
            let base = base_of(catalog, *oid);
            if base != *oid
                && let Some(scalar) = by_oid.get(&base).cloned()
            {
                by_oid.insert(*oid, scalar);
            }
        }
        Ok(by_oid)
    }

    /// `ltree` is matched against two types that no column need have.
    fn add_companions(&mut self, ltree: &ScalarType) {
        for name in [LQUERY, LTXTQUERY] {
            if self.by_name.contains_key(name) {
                continue;
            }
            let schema = &ltree.sql.name.schema;
            let Ok(ident) = Ident::new(name) else { continue };
            let scalar = ScalarType {
                id: ScalarId(self.next()),
                name: name.into(),
                description: None,
                codec: Codec::Text,
                sql: SqlType {
                    name: QualifiedName { schema: schema.clone(), name: ident },
                    array: false,
                },
                array: false,
                listed_as_text: false,
                operators: Operators::none(),
                numeric: false,
                extremes: false,
            };
            self.add(scalar);
        }
    }

    /// Each type of PostGIS can be read as the other one.
    fn add_other(&mut self, spatial: Spatial, scalar: &ScalarType) -> Result<(), InvalidIdent> {
        let (name, spatial) = match spatial {
            Spatial::Geometry => (GEOGRAPHY, Spatial::Geography),
            Spatial::Geography => (GEOMETRY, Spatial::Geometry),
        };
        if self.by_name.contains_key(name) {
            return Ok(());
        }
        let schema = scalar.sql.name.schema.clone();
        let mut other = scalar.clone();
        other.id = ScalarId(self.next());
        other.name = name.into();
        other.sql.name = QualifiedName { schema, name: Ident::new(name)? };
        other.operators.spatial = Some(spatial);
        self.add(other);
        Ok(())
    }

    /// Rasters are compared with places.
    fn add_place(&mut self, raster: &ScalarType) -> Result<(), InvalidIdent> {
        if self.by_name.contains_key(GEOMETRY) {
            return Ok(());
        }
        let geometry = ScalarType {
            id: ScalarId(self.next()),
            name: GEOMETRY.into(),
            codec: Codec::GeoJson,
            sql: place_beside(raster)?,
            operators: Operators {
                order: true,
                spatial: Some(Spatial::Geometry),
                raster: false,
                ..raster.operators.clone()
            },
            ..raster.clone()
        };
        let geometry = self.add(geometry);
        self.add_other(Spatial::Geometry, &geometry)
    }

    /// A scalar of Postgres itself that no table may use, for actions.
    pub(super) fn of_postgres(&mut self, name: &str) -> Result<Option<ScalarId>, InvalidIdent> {
        if let Some(known) = self.by_name(name) {
            return Ok(Some(known));
        }
        let Some((_, pg, codec)) = OF_POSTGRES.iter().find(|(known, ..)| *known == name) else {
            return Ok(None);
        };
        let id = ScalarId(self.next());
        let mut scalar = built_in(name, pg, id)?;
        scalar.codec = *codec;
        scalar.operators = Operators::none();
        scalar.extremes = false;
        self.add(scalar);
        Ok(Some(id))
    }

    /// A scalar that no database has, for actions; `ID` is a text, all others
    /// are any JSON. One of a name that is there already is that one.
    pub(super) fn custom(
        &mut self,
        name: &Name,
        description: Option<&str>,
    ) -> Result<ScalarId, InvalidIdent> {
        if let Some(known) = self.by_name(name) {
            return Ok(known);
        }
        let id = ScalarId(self.next());
        let mut scalar = built_in(name, if &**name == ID { "text" } else { "jsonb" }, id)?;
        scalar.description = description.map(str::to_owned);
        scalar.codec = if &**name == ID { Codec::Id } else { Codec::Json };
        scalar.operators = Operators::none();
        scalar.extremes = false;
        self.add(scalar);
        Ok(id)
    }

    /// The scalar of a type of a source.
    pub fn of_type(&self, source: SourceId, oid: Oid) -> Option<&Arc<ScalarType>> {
        self.by_oid.get(usize::from(source.0))?.get(&oid)
    }

    pub fn get(&self, id: ScalarId) -> Option<&Arc<ScalarType>> {
        self.named.get(id.0 as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<ScalarType>> {
        self.named.iter()
    }

    pub fn by_name(&self, name: &str) -> Option<ScalarId> {
        self.by_name.get(name).copied()
    }

    /// The name of a type that is named after a scalar: `<scalar>_comparison_exp` and
    /// its like. Under graphql-default two scalars may be spelled alike; all but the
    /// first then keep the other spelling.
    pub fn named_after(&self, id: ScalarId, convention: NamingConvention, suffix: &str) -> Name {
        let name = self.get(id).map_or("", |scalar| &*scalar.name);
        let plain = [name, suffix].concat();
        let first = || self.spelled.get(&convention.type_name(name)) == Some(&id);
        match convention {
            NamingConvention::GraphqlDefault if first() => convention.type_name(&plain),
            _ => plain.into(),
        }
    }

    /// The scalar that a type is named after, by [`Self::named_after`].
    pub fn named_by(
        &self,
        name: &str,
        convention: NamingConvention,
        suffix: &str,
    ) -> Option<ScalarId> {
        let plain = || self.by_name(name.strip_suffix(suffix)?);
        let id = match convention {
            NamingConvention::HasuraDefault => plain()?,
            NamingConvention::GraphqlDefault => {
                let words = convention.type_name(suffix.trim_start_matches('_'));
                let spelled = || self.spelled.get(name.strip_suffix(&*words)?).copied();
                spelled().or_else(plain)?
            }
        };
        (*self.named_after(id, convention, suffix) == *name).then_some(id)
    }

    /// The scalar of double precision, if some source has it.
    pub fn double(&self) -> Option<ScalarId> {
        self.by_name("float8")
    }

    /// The type of the right side of an operator on `scalar`.
    pub fn right_side(&self, scalar: &ScalarType, comparison: Comparison) -> Option<ScalarId> {
        match comparison {
            Comparison::HasKey
            | Comparison::HasKeysAny
            | Comparison::HasKeysAll
            | Comparison::JsonbPathExists
            | Comparison::JsonbPathMatch => Some(STRING),
            Comparison::Matches | Comparison::MatchesAny => self.by_name(LQUERY),
            Comparison::MatchesFulltext => self.by_name(LTXTQUERY),
            Comparison::StIntersectsNbandGeom | Comparison::StIntersectsGeomNband => {
                self.by_name(GEOMETRY)
            }
            _ => Some(scalar.id),
        }
    }
}

const LQUERY: &str = "lquery";
const LTXTQUERY: &str = "ltxtquery";
const GEOMETRY: &str = "geometry";
const GEOGRAPHY: &str = "geography";

/// The type of places that stands in the schema of rasters.
pub(crate) fn place_beside(raster: &ScalarType) -> Result<SqlType, InvalidIdent> {
    let schema = raster.sql.name.schema.clone();
    let name = QualifiedName { schema, name: Ident::new(GEOMETRY)? };
    Ok(SqlType { name, array: false })
}

impl Operators {
    pub(crate) const fn none() -> Self {
        Operators {
            equality: false,
            order: false,
            lists: false,
            text: false,
            containment: false,
            json: false,
            ltree: false,
            spatial: None,
            raster: false,
            schema: None,
        }
    }

    const fn of_postgis(&self) -> bool {
        self.raster || self.spatial.is_some()
    }

    /// Whether the type has an operator.
    pub const fn has(&self, comparison: Comparison) -> bool {
        match comparison {
            Comparison::Eq => self.equality,
            Comparison::In => self.lists,
            // Rasters and places are equal or not, but there is no operator for the latter.
            Comparison::Neq => self.equality && !self.of_postgis(),
            Comparison::Nin => self.lists && !self.of_postgis(),
            Comparison::Gt | Comparison::Gte | Comparison::Lt | Comparison::Lte => self.order,
            Comparison::Like
            | Comparison::Nlike
            | Comparison::Ilike
            | Comparison::Nilike
            | Comparison::Similar
            | Comparison::Nsimilar
            | Comparison::Regex
            | Comparison::Iregex
            | Comparison::Nregex
            | Comparison::Niregex => self.text,
            Comparison::Contains | Comparison::ContainedIn => self.containment,
            Comparison::HasKey
            | Comparison::HasKeysAny
            | Comparison::HasKeysAll
            | Comparison::JsonbPathExists
            | Comparison::JsonbPathMatch => self.json,
            Comparison::Ancestor
            | Comparison::AncestorAny
            | Comparison::Descendant
            | Comparison::DescendantAny
            | Comparison::Matches
            | Comparison::MatchesAny
            | Comparison::MatchesFulltext => self.ltree,
            Comparison::StIntersects | Comparison::StDWithin => self.spatial.is_some(),
            Comparison::StContains
            | Comparison::StCrosses
            | Comparison::StEquals
            | Comparison::StOverlaps
            | Comparison::StTouches
            | Comparison::StWithin
            | Comparison::St3dIntersects
            | Comparison::St3dDWithin => matches!(self.spatial, Some(Spatial::Geometry)),
            Comparison::StIntersectsRast
            | Comparison::StIntersectsNbandGeom
            | Comparison::StIntersectsGeomNband => self.raster,
        }
    }
}

impl ScalarType {
    /// Whether Postgres has the aggregate for this type.
    pub fn has_aggregate(&self, function: AggregateFunction) -> bool {
        match function {
            AggregateFunction::Max | AggregateFunction::Min => self.extremes,
            AggregateFunction::Sum => self.numeric,
            _ => self.numeric && AVERAGED.contains(&self.sql.name.name.as_str()),
        }
    }
}

fn built_in(name: &str, pg: &str, id: ScalarId) -> Result<ScalarType, InvalidIdent> {
    Ok(ScalarType {
        id,
        name: name.into(),
        description: None,
        codec: match name {
            "Int" => Codec::Int,
            "Float" => Codec::Float,
            "Boolean" => Codec::Boolean,
            _ => Codec::String,
        },
        sql: SqlType {
            name: QualifiedName::new(&"pg_catalog".into(), &Arc::from(pg))?,
            array: false,
        },
        array: false,
        listed_as_text: false,
        operators: Operators {
            equality: true,
            order: true,
            lists: true,
            text: name == "String",
            ..Operators::none()
        },
        numeric: matches!(name, "Int" | "Float"),
        extremes: name != "Boolean",
    })
}

fn base_of(catalog: &Catalog, oid: Oid) -> Oid {
    let mut current = oid;
    // Domains over domains end; the bound only guards against a broken catalogue.
    for _ in 0..32 {
        match catalog.types.get(&current).map(|ty| &ty.kind) {
            Some(TypeKind::Domain { base }) => current = *base,
            _ => break,
        }
    }
    current
}

fn unique_name(ty: &PgType, is_row: bool, names: &mut HashSet<Name>) -> Name {
    if &*ty.schema == "pg_catalog" {
        // `text` and `varchar` share a name on purpose.
        let own = dialect_name(&ty.name);
        let name: Name = if is_graphql_name(own) { own.into() } else { sanitize(own).into() };
        names.insert(name.clone());
        return name;
    }
    let taken = |name: &str| names.contains(name);
    let mut own = if is_graphql_name(&ty.name) { ty.name.to_string() } else { sanitize(&ty.name) };
    if is_row {
        own.push_str("_row");
    }
    let stem = if taken(&own) { sanitize(&format!("{}_{}", ty.schema, ty.name)) } else { own };
    let mut name = stem.clone();
    let mut n = 1;
    while taken(&name) {
        n += 1;
        name = format!("{stem}_{n}");
    }
    let name: Name = name.into();
    names.insert(name.clone());
    name
}

fn dialect_name(pg: &str) -> &str {
    match pg {
        "int4" => "Int",
        "int2" => "smallint",
        "int8" => "bigint",
        "float4" => "Float",
        "bool" => "Boolean",
        "text" | "varchar" => "String",
        other => other,
    }
}

fn scalar(ty: &PgType, name: Name, id: ScalarId) -> Result<ScalarType, InvalidIdent> {
    let own = &*ty.schema == "pg_catalog";
    let pg = &*ty.name;
    let codec = match pg {
        "int4" if own => Codec::Int,
        "float4" if own => Codec::Float,
        "bool" if own => Codec::Boolean,
        "text" | "varchar" if own => Codec::String,
        "int2" | "int8" | "float8" | "numeric" | "money" | "oid" if own => Codec::Number,
        "json" | "jsonb" if own => Codec::Json,
        _ => Codec::Text,
    };
    let base = ty.kind == TypeKind::Base;
    let array = matches!(ty.kind, TypeKind::Array { .. });
    // An array compares as its elements do.
    let compared = if array { pg.strip_prefix('_').unwrap_or(pg) } else { pg };
    let equality = !(own && WITHOUT_EQUALITY.contains(&compared));
    let jsonb = own && pg == "jsonb";
    let spatial = match pg {
        _ if ty.extension.as_deref() != Some("postgis") => None,
        GEOMETRY => Some(Spatial::Geometry),
        GEOGRAPHY => Some(Spatial::Geography),
        _ => None,
    };
    let codec = if spatial.is_some() { Codec::GeoJson } else { codec };
    // An extension of its own since PostGIS 3.
    let raster =
        pg == "raster" && matches!(ty.extension.as_deref(), Some("postgis" | "postgis_raster"));
    let operators = Operators {
        equality,
        order: equality && !WITHOUT_ORDER.contains(&compared),
        lists: equality,
        text: base && TEXT.contains(&pg),
        containment: jsonb || (array && equality),
        json: jsonb,
        ltree: pg == "ltree" && ty.extension.as_deref() == Some("ltree"),
        spatial,
        raster,
        schema: if own || !base { None } else { Some(Ident::new(ty.schema.clone())?) },
    };
    let description = match &ty.kind {
        TypeKind::Enum(labels) => {
            let list = format!("One of: {}", labels.join(", "));
            Some(match &ty.comment {
                Some(comment) => format!("{comment}\n\n{list}"),
                None => list,
            })
        }
        _ => ty.comment.clone(),
    };
    Ok(ScalarType {
        id,
        name,
        description: if own { None } else { description },
        codec,
        sql: SqlType { name: QualifiedName::new(&ty.schema, &ty.name)?, array: false },
        array,
        listed_as_text: array || ty.delimiter != ',',
        operators,
        numeric: own && NUMERIC.contains(&pg),
        extremes: match ty.kind {
            TypeKind::Enum(_) => true,
            TypeKind::Array { .. } => equality && !WITHOUT_ORDER.contains(&compared),
            TypeKind::Base => EXTREMES.contains(&pg),
            _ => false,
        },
    })
}
