//! Names that GraphQL allows, and the names of tables.

use std::sync::Arc;

use crate::catalog::model::Table;
use crate::graphql::Name;

/// `/^[_A-Za-z][_0-9A-Za-z]*$/`, and not one of GraphQL's own (`__…`).
pub fn is_graphql_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    !name.starts_with("__")
        && matches!(bytes.next(), Some(b'_' | b'A'..=b'Z' | b'a'..=b'z'))
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// The GraphQL name of a table: its own in the first exposed schema, with the
/// schema in front elsewhere. `None` when that is no GraphQL name.
pub fn table_name(expose: &[String], table: &Table) -> Option<Name> {
    let name: Name = if expose.first().is_some_and(|first| **first == *table.schema) {
        table.name.clone()
    } else {
        Arc::from([table.schema.as_ref(), "_", table.name.as_ref()].concat())
    };
    is_graphql_name(&name).then_some(name)
}

/// Makes a legal GraphQL name out of any text: other characters become `_`.
pub fn sanitize(name: &str) -> String {
    let mut out: String =
        name.chars().map(|c| if c == '_' || c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.starts_with("__") {
        out = format!("x{out}");
    }
    if !out.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_names() {
        for good in ["a", "_a", "A9_", "_"] {
            assert!(is_graphql_name(good), "{good}");
        }
        for bad in ["", "9a", "a-b", "a b", "é", "__type", "a\"b"] {
            assert!(!is_graphql_name(bad), "{bad}");
            assert!(is_graphql_name(&sanitize(bad)), "{bad}");
        }
    }
}
