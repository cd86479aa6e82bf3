//! Argument values after coercion: typed by position, with scalars reduced to
//! operands.

use crate::graphql::Name;

pub use crate::schema::predicate::{Earlier, Operand};

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Null,
    Boolean(bool),
    Enum(Name),
    Scalar(Operand),
    /// A whole list of scalars as one Postgres array literal.
    Array(Operand),
    List(Vec<Input>),
    Object(Vec<(Name, Input)>),
    /// New rows that all have the same columns: a Postgres array literal for
    /// each, so that the statement does not depend on how many there are.
    Columns(Vec<(Name, Operand)>),
    /// A value of a type that only actions have, and it fits; it goes to the
    /// handler as it was sent.
    Checked,
}

impl Input {
    /// What this is, for "but found …".
    pub fn describe(&self) -> &'static str {
        match self {
            Input::Null => "null",
            Input::Boolean(_) => "a boolean",
            Input::Enum(_) => "an enum value",
            Input::Scalar(_) => "a scalar",
            Input::Array(_) | Input::List(_) | Input::Columns(_) => "a list",
            Input::Object(_) => "an object",
            Input::Checked => "a value of an action",
        }
    }
}

/// Appends one element to a Postgres array literal under construction.
pub(crate) fn push_array_element(out: &mut String, element: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    let mut rest = element;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        out.push('\\');
        let (special, after) = special.split_at(1);
        out.push_str(special);
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends NULL to a Postgres array literal under construction.
pub(crate) fn push_array_null(out: &mut String) {
    out.push_str(if out.ends_with('{') { "NULL" } else { ",NULL" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_elements_are_quoted() {
        let mut out = String::from("{");
        push_array_element(&mut out, r#"a"b\c,}"#);
        push_array_element(&mut out, "");
        out.push('}');
        assert_eq!(out, r#"{"a\"b\\c,}",""}"#);
    }
}
