//! Postgres types as GraphQL scalars, named as Hasura names them.
//!
//! A domain is shown as its base type. A type that is not known here is a
//! scalar of its own name whose values travel as text.

use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::model::{Catalog, Oid, PgType, TypeKind};
use crate::graphql::Name;
use crate::sql::{Ident, InvalidIdent, QualifiedName, SqlType};

use super::naming::{is_graphql_name, sanitize};
use super::types::{Codec, Operators, ScalarType};

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
    &["line", "xid", "cid", "hstore", "path", "lseg", "circle", "aclitem"];

const BUILT_IN: &[&str] = &["Int", "Float", "Boolean", "String", "ID"];

const TEXT: &[&str] = &["text", "varchar", "bpchar", "name", "citext"];

/// The scalar of every type of a catalogue, domains resolved.
#[derive(Debug, Default)]
pub struct Scalars {
    by_oid: HashMap<Oid, Arc<ScalarType>>,
}

impl Scalars {
    pub fn of(catalog: &Catalog) -> Self {
        let mut oids: Vec<Oid> = catalog.types.keys().copied().collect();
        // Types of Postgres itself name themselves first, so that none of a
        // user's can take the name `date`.
        oids.sort_by_key(|oid| {
            let own = catalog.types.get(oid).is_some_and(|ty| &*ty.schema == "pg_catalog");
            (!own, *oid)
        });
        let mut names: HashMap<Name, Oid> = HashMap::new();
        let mut by_oid = HashMap::new();
        for oid in oids {
            let base = base_of(catalog, oid);
            let Some(ty) = catalog.types.get(&base) else { continue };
            if oid != base {
                continue;
            }
            let name = unique_name(ty, &mut names);
            match scalar(ty, name) {
                Ok(scalar) => {
                    by_oid.insert(oid, Arc::new(scalar));
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
        Scalars { by_oid }
    }

    pub fn get(&self, oid: Oid) -> Option<&Arc<ScalarType>> {
        self.by_oid.get(&oid)
    }
}

/// One of the scalars that arguments use whatever the tables hold.
pub fn built_in(name: &str) -> Result<ScalarType, InvalidIdent> {
    let (pg, codec) = match name {
        "Int" => ("int4", Codec::Int),
        "Float" => ("float8", Codec::Float),
        "Boolean" => ("bool", Codec::Boolean),
        _ => ("text", Codec::String),
    };
    Ok(ScalarType {
        name: name.into(),
        description: None,
        codec,
        sql: SqlType {
            name: QualifiedName::new(&"pg_catalog".into(), &Arc::from(pg))?,
            array: false,
        },
        operators: Operators {
            equality: true,
            order: true,
            lists: true,
            text: name == "String",
            schema: None,
        },
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

fn unique_name(ty: &PgType, names: &mut HashMap<Name, Oid>) -> Name {
    if &*ty.schema == "pg_catalog" {
        // `text` and `varchar` share a name on purpose.
        let own = dialect_name(&ty.name);
        let name: Name = if is_graphql_name(own) { own.into() } else { sanitize(own).into() };
        names.insert(name.clone(), ty.oid);
        return name;
    }
    let taken = |name: &str| names.contains_key(name) || BUILT_IN.contains(&name);
    let own = if is_graphql_name(&ty.name) { ty.name.to_string() } else { sanitize(&ty.name) };
    let stem = if taken(&own) { sanitize(&format!("{}_{}", ty.schema, ty.name)) } else { own };
    let mut name = stem.clone();
    let mut n = 1;
    while taken(&name) {
        n += 1;
        name = format!("{stem}_{n}");
    }
    let name: Name = name.into();
    names.insert(name.clone(), ty.oid);
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

fn scalar(ty: &PgType, name: Name) -> Result<ScalarType, InvalidIdent> {
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
    let operators = Operators {
        equality,
        order: equality && !WITHOUT_ORDER.contains(&compared),
        // Postgres has no arrays of arrays to pass a list of them as.
        lists: equality && !array,
        text: base && TEXT.contains(&pg),
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
        name,
        description: if own { None } else { description },
        codec,
        sql: SqlType { name: QualifiedName::new(&ty.schema, &ty.name)?, array: false },
        operators,
    })
}
