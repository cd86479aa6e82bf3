//! Names as SQL needs them.

use crate::catalog::model::{Column, ColumnId, Function, Relation, Table};
use crate::sql::ident::{write_ident, write_literal};

/// Words that are quoted when they are names.
const KEY_WORDS: [&str; 165] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "system_user",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
    "authorization",
    "binary",
    "collation",
    "concurrently",
    "cross",
    "current_schema",
    "freeze",
    "full",
    "ilike",
    "inner",
    "is",
    "isnull",
    "join",
    "left",
    "like",
    "natural",
    "notnull",
    "outer",
    "overlaps",
    "right",
    "similar",
    "tablesample",
    "verbose",
    "between",
    "bigint",
    "bit",
    "boolean",
    "char",
    "character",
    "coalesce",
    "dec",
    "decimal",
    "exists",
    "extract",
    "float",
    "greatest",
    "grouping",
    "inout",
    "int",
    "integer",
    "interval",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "least",
    "merge_action",
    "national",
    "nchar",
    "none",
    "normalize",
    "nullif",
    "numeric",
    "out",
    "overlay",
    "position",
    "precision",
    "real",
    "row",
    "setof",
    "smallint",
    "substring",
    "time",
    "timestamp",
    "treat",
    "trim",
    "values",
    "varchar",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
    "public",
];

pub(super) fn ident(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !KEY_WORDS.contains(&name);
    if plain {
        out.push_str(name);
    } else if write_ident(&mut out, name).is_err() {
        // Writing to a string cannot fail.
        out.clear();
    }
    out
}

pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    if write_literal(&mut out, text).is_err() {
        out.clear();
    }
    out
}

pub(super) fn qualified(schema: &str, name: &str) -> String {
    let schema = if schema == "public" { schema.to_owned() } else { ident(schema) };
    format!("{schema}.{}", ident(name))
}

pub(super) fn table(table: &Table) -> String {
    qualified(&table.schema, &table.name)
}

pub(super) fn relation(relation: &Relation) -> String {
    qualified(&relation.schema, &relation.name)
}

pub(super) fn function(function: &Function) -> String {
    format!("{}({})", qualified(&function.schema, &function.name), function.arguments)
}

pub(super) fn columns(table: &Table, ids: &[ColumnId]) -> String {
    list(ids.iter().filter_map(|id| table.column(*id)).map(|column: &Column| ident(&column.name)))
}

pub(super) fn roles<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    list(names.into_iter().map(|name| if name == "public" { name.to_owned() } else { ident(name) }))
}

pub(super) fn list(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}
