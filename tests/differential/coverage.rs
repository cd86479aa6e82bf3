//! What the schema lets a condition say, and what was said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::generate::{Item, Node, Operation, Value};

/// (input type, field)
pub type Words = BTreeSet<(String, String)>;

/// What [`Offered::of`] reads.
pub const TYPES: &str = "{ __schema {
    queryType { fields { args { name type { ...named } } } }
    types { name inputFields { name type { ...named } } } } }
  fragment named on __Type { name ofType { name ofType { name ofType { name } } } }";

/// The input types that a `where` leads to.
pub struct Offered(BTreeMap<String, Vec<(String, String)>>);

impl Offered {
    /// From a description of the schema.
    pub fn of(described: &Json) -> Self {
        let schema = &described["__schema"];
        let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
        let types: BTreeMap<String, Vec<(String, String)>> = list(&schema["types"])
            .iter()
            .map(|ty| {
                let fields = list(&ty["inputFields"]);
                let fields =
                    fields.iter().map(|field| (text(&field["name"]), named(&field["type"])));
                (text(&ty["name"]), fields.collect())
            })
            .collect();
        let mut ahead: Vec<String> = list(&schema["queryType"]["fields"])
            .iter()
            .flat_map(|field| list(&field["args"]))
            .filter(|arg| arg["name"] == "where")
            .map(|arg| named(&arg["type"]))
            .collect();
        let mut out = BTreeMap::new();
        while let Some(name) = ahead.pop() {
            let fields = &types[&name];
            if !fields.is_empty() && !out.contains_key(&name) {
                ahead.extend(fields.iter().map(|(_, ty)| ty.clone()));
                out.insert(name, fields.clone());
            }
        }
        Offered(out)
    }

    /// Every field of every type, but columns and what is of tables that are
    /// left out: each column compares as its type does.
    pub fn words(&self, left_out: &[&str]) -> Words {
        let of_table = |name: &str| {
            left_out.iter().any(|table| name.starts_with(&format!("{table}_")) || name == *table)
        };
        let fields = self.0.iter().filter(|(ty, _)| !of_table(ty)).flat_map(|(ty, fields)| {
            let columns = ty.ends_with("_bool_exp") && !ty.ends_with("_aggregate_bool_exp");
            fields
                .iter()
                .filter(move |(_, of)| !(columns && of.ends_with("_comparison_exp")))
                .map(|(field, _)| (ty.clone(), field.clone()))
        });
        fields.collect()
    }

    /// The operators of every type: (scalar, operator).
    pub fn operators(&self) -> Words {
        let types = self.0.iter().filter_map(|(ty, fields)| {
            let scalar = ty.strip_suffix("_comparison_exp")?;
            Some(fields.iter().map(|(op, _)| (scalar.to_owned(), op.clone())))
        });
        types.flatten().collect()
    }
}

fn text(json: &Json) -> String {
    json.as_str().expect("a name").to_owned()
}

/// The type below lists and what may not be null.
fn named(json: &Json) -> String {
    match &json["name"] {
        Json::Null => named(&json["ofType"]),
        name => text(name),
    }
}

/// What an operation says, in its arguments and in its variables.
pub fn said(operation: &Operation, out: &mut Words) {
    items(&operation.roots, out);
    operation.fragments.iter().for_each(|fragment| items(&fragment.items, out));
}

fn items(all: &[Item], out: &mut Words) {
    for item in all {
        match item {
            Item::Field(field) => {
                field.args.iter().for_each(|(_, value)| words(value, out));
                items(&field.items, out);
            }
            Item::Inline { items: inner, .. } => items(inner, out),
            Item::Spread { .. } => {}
        }
    }
}

fn words(value: &Value, out: &mut Words) {
    match &value.node {
        Node::Object(entries) => {
            for (name, part) in entries {
                out.insert((value.ty.clone(), name.clone()));
                words(part, out);
            }
        }
        Node::List(parts) => parts.iter().for_each(|part| words(part, out)),
        Node::Leaf(_) | Node::Word(_) => {}
    }
}
