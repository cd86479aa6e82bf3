//! What psql says of comparisons and of aggregates, where a plain reference of
//! one's own would be as large as Postgres or PostGIS.
//!
//! The expressions are written here, in the words of the manuals: they share
//! nothing with what the engine compiles.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::generate::{Node, Value};
use super::harness::PsqlSession;
use super::model::{Column, Table};

/// psql, and what it said before.
pub struct Reference {
    psql: PsqlSession,
    known: HashMap<String, String>,
}

impl Reference {
    /// As the superuser.
    pub fn new(mut psql: PsqlSession) -> Self {
        psql.send("set client_min_messages = warning; set search_path = public, gis");
        Reference { psql, known: HashMap::new() }
    }

    /// Under a role and settings.
    pub fn of(psql: PsqlSession, role: &str, settings: &[(&str, &str)]) -> Self {
        let mut out = Reference::new(psql);
        for (name, value) in settings {
            out.psql.line(&format!("select set_config('{name}', '{value}', false)"));
        }
        out.psql.send(&format!("set role {role}"));
        out
    }

    fn ask(&mut self, sql: String) -> &str {
        self.known.entry(sql).or_insert_with_key(|sql| self.psql.line(sql))
    }

    /// Whether an expression holds for the row of a table at a place.
    pub fn holds(&mut self, table: &Table, place: usize, expression: &str) -> Option<bool> {
        let sql = format!(
            "select string_agg(left(coalesce(({expression})::text, 'unknown'), 1), '' order by {}) from \"{}\"",
            table.order(),
            table.name
        );
        truth(self.ask(sql.clone()).as_bytes()[place], &sql)
    }

    /// An aggregate of values of a column as JSON, every digit of it.
    pub fn aggregate(&mut self, function: &str, column: &Column, values: &[&str]) -> String {
        let values: Vec<String> =
            values.iter().map(|value| format!("'{}'", value.trim_matches('"'))).collect();
        let sql = format!(
            "select coalesce(to_json({function}(v))::text, 'null') from unnest(array[{}]::{}[]) v",
            values.join(", "),
            type_of(column.scalar),
        );
        self.ask(sql).to_owned()
    }

    /// Whether an aggregate of one column or two compares.
    pub fn aggregate_holds(
        &mut self,
        function: &str,
        columns: &[Vec<&str>],
        scalar: &str,
        distinct: bool,
        compared: &[(String, Value)],
    ) -> Option<bool> {
        let ty = type_of(scalar);
        let lists: Vec<String> = columns
            .iter()
            .map(|values| {
                let values: Vec<String> = values
                    .iter()
                    .map(|value| match *value {
                        "null" => "null".to_owned(),
                        value => quoted(value.trim_matches('"')),
                    })
                    .collect();
                format!("array[{}]::{ty}[]", values.join(", "))
            })
            .collect();
        let names = &["y", "x"][..columns.len()].join(", ");
        let distinct = if distinct { "distinct " } else { "" };
        let parts: Vec<String> =
            compared.iter().map(|(op, value)| expression("v", scalar, op, value)).collect();
        let sql = format!(
            "select left(coalesce(({})::text, 'unknown'), 1) \
             from (select {function}({distinct}{names}) v from unnest({}) t({names})) s",
            if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") },
            lists.join(", "),
        );
        truth(self.ask(sql.clone()).as_bytes()[0], &sql)
    }
}

fn truth(letter: u8, sql: &str) -> Option<bool> {
    match letter {
        b't' => Some(true),
        b'f' => Some(false),
        b'u' => None,
        _ => panic!("no truth value: {sql}"),
    }
}

/// The type of Postgres behind a scalar.
fn type_of(scalar: &str) -> &str {
    match scalar {
        "Int" => "int4",
        "smallint" => "int2",
        "bigint" => "int8",
        "Float" => "float4",
        "String" => "text",
        "Boolean" => "bool",
        other => other,
    }
}

pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A comparison of a column, or of a cast of one, as SQL.
pub fn expression(subject: &str, scalar: &str, op: &str, value: &Value) -> String {
    let one = |value: &Value| literal(scalar, value);
    let each = |op: &str, between: &str, none: &str| {
        let parts: Vec<String> =
            items(value).iter().map(|item| expression(subject, scalar, op, item)).collect();
        match parts.is_empty() {
            true => none.to_owned(),
            false => format!("({})", parts.join(between)),
        }
    };
    // The right side of an operator that takes a list.
    let list = |of: &str| {
        let all: Vec<String> = items(value).iter().map(|item| literal(of, item)).collect();
        format!("array[{}]::{of}[]", all.join(", "))
    };
    let binary = |op: &str| format!("{subject} {op} {}", one(value));
    let text = |op: &str| format!("{subject} {op} {}", quoted(&string(value)));
    let call = |function: &str| format!("{function}({subject}, {})", one(value));
    match op {
        "_is_null" if value.json() == "true" => format!("{subject} is null"),
        "_is_null" => format!("{subject} is not null"),
        "_in" => each("_eq", " or ", "false"),
        "_nin" => each("_neq", " and ", "true"),
        "_cast" => {
            let [(target, compared)] = entries(value) else { panic!("one cast at a time") };
            let cast = format!("({subject}::{})", type_of(target));
            let parts: Vec<String> = entries(compared)
                .iter()
                .map(|(op, value)| expression(&cast, target, op, value))
                .collect();
            if parts.is_empty() { "true".to_owned() } else { format!("({})", parts.join(" and ")) }
        }
        "_eq" => binary("="),
        "_neq" => binary("<>"),
        "_gt" => binary(">"),
        "_gte" => binary(">="),
        "_lt" => binary("<"),
        "_lte" => binary("<="),
        "_contains" => binary("@>"),
        "_contained_in" => binary("<@"),
        "_like" => text("like"),
        "_nlike" => text("not like"),
        "_ilike" => text("ilike"),
        "_nilike" => text("not ilike"),
        "_similar" => text("similar to"),
        "_nsimilar" => text("not similar to"),
        "_regex" => text("~"),
        "_nregex" => text("!~"),
        "_iregex" => text("~*"),
        "_niregex" => text("!~*"),
        "_jsonb_path_exists" => {
            format!(
                "jsonb_path_exists({subject}, {}::jsonpath, silent => true)",
                quoted(&string(value))
            )
        }
        "_jsonb_path_match" => {
            format!(
                "jsonb_path_match({subject}, {}::jsonpath, silent => true)",
                quoted(&string(value))
            )
        }
        "_ancestor" => binary("@>"),
        "_descendant" => binary("<@"),
        "_ancestor_any" => format!("{subject} @> {}", list("ltree")),
        "_descendant_any" => format!("{subject} <@ {}", list("ltree")),
        "_matches" => format!("{subject} ~ {}", literal("lquery", value)),
        "_matches_any" => format!("{subject} ? {}", list("lquery")),
        "_matches_fulltext" => format!("{subject} @ {}", literal("ltxtquery", value)),
        "_st_contains" => call("ST_Contains"),
        "_st_crosses" => call("ST_Crosses"),
        "_st_equals" => call("ST_Equals"),
        "_st_intersects" | "_st_intersects_rast" => call("ST_Intersects"),
        "_st_3d_intersects" => call("ST_3DIntersects"),
        "_st_overlaps" => call("ST_Overlaps"),
        "_st_touches" => call("ST_Touches"),
        "_st_within" => call("ST_Within"),
        "_st_d_within" | "_st_3d_d_within" => {
            let function = if op == "_st_d_within" { "ST_DWithin" } else { "ST_3DDWithin" };
            let part = |name: &str| part(value, name);
            let spheroid = match part("use_spheroid").map(Value::json).as_deref() {
                None | Some("null") => String::new(),
                Some(word) => format!(", {word}"),
            };
            format!(
                "{function}({subject}, {}, {}{spheroid})",
                literal(scalar, part("from").expect("a place")),
                part("distance").expect("a distance").json(),
            )
        }
        "_st_intersects_nband_geom" => format!(
            "ST_Intersects({subject}, {}, {})",
            part(value, "nband").expect("a band").json(),
            literal("geometry", part(value, "geommin").expect("a place")),
        ),
        "_st_intersects_geom_nband" => {
            let place = literal("geometry", part(value, "geommin").expect("a place"));
            match part(value, "nband").map(Value::json).filter(|band| band != "null") {
                Some(band) => format!("ST_Intersects({subject}, {place}, {band})"),
                None => format!("ST_Intersects({subject}, {place})"),
            }
        }
        _ => panic!("no operator {op}"),
    }
}

/// A value as a constant of its type.
fn literal(scalar: &str, value: &Value) -> String {
    let ty = type_of(scalar);
    let text = value.json();
    let json: Json = serde_json::from_str(&text).expect("JSON");
    match (scalar, &json) {
        // In degrees on WGS 84, unless it says otherwise.
        ("geometry" | "geography", Json::Object(_)) => {
            format!("ST_GeomFromGeoJSON({})::{ty}", quoted(&text))
        }
        ("geometry" | "geography", Json::String(text)) => {
            format!("ST_GeomFromEWKT({})::{ty}", quoted(text))
        }
        ("jsonb", _) => format!("{}::jsonb", quoted(&text)),
        (_, Json::Array(items)) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| match item {
                    Json::Null => "null".to_owned(),
                    Json::String(text) => quoted(text),
                    other => quoted(&other.to_string()),
                })
                .collect();
            format!("array[{}]::{ty}", items.join(", "))
        }
        (_, Json::String(text)) => format!("{}::{ty}", quoted(text)),
        // Every digit of a number.
        _ => format!("{}::{ty}", quoted(&text)),
    }
}

fn string(value: &Value) -> String {
    serde_json::from_str(&value.json()).expect("a string")
}

fn part<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    entries(value).iter().find(|(given, _)| given == name).map(|(_, value)| value)
}

pub fn entries(value: &Value) -> &[(String, Value)] {
    match &value.node {
        Node::Object(entries) => entries,
        _ => panic!("an object was generated"),
    }
}

/// The items of a list; anything else stands for a list of itself.
pub fn items(value: &Value) -> Vec<&Value> {
    match &value.node {
        Node::List(items) => items.iter().collect(),
        _ => vec![value],
    }
}
