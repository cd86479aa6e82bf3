//! Names in SQL. [`write_ident`] is the only quoting function for names and
//! [`write_literal`] the only one for literals.

use std::fmt::{self, Write};
use std::sync::Arc;

/// Postgres cuts longer names silently; we refuse them instead.
pub const MAX_IDENT_BYTES: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdent {
    #[error("a name must not be empty")]
    Empty,
    #[error("a name must not hold a NUL character")]
    Nul,
    #[error("a name must not be longer than {MAX_IDENT_BYTES} bytes")]
    TooLong,
}

/// An unquoted name; quoted whenever it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ident(Arc<str>);

impl Ident {
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, InvalidIdent> {
        let name = name.into();
        if name.is_empty() {
            Err(InvalidIdent::Empty)
        } else if name.contains('\0') {
            Err(InvalidIdent::Nul)
        } else if name.len() > MAX_IDENT_BYTES {
            Err(InvalidIdent::TooLong)
        } else {
            Ok(Ident(name))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ident(f, &self.0)
    }
}

/// `"schema"."name"`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QualifiedName {
    pub schema: Ident,
    pub name: Ident,
}

impl QualifiedName {
    pub fn new(schema: &Arc<str>, name: &Arc<str>) -> Result<Self, InvalidIdent> {
        Ok(QualifiedName { schema: Ident::new(schema.clone())?, name: Ident::new(name.clone())? })
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A name of a row source inside one statement, made by [`AliasAllocator`]:
/// `_0`, `_1`, … in order of creation, so that equal plans print equal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alias(u32);

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_{}", self.0)
    }
}

#[derive(Debug, Default)]
pub struct AliasAllocator(u32);

impl AliasAllocator {
    pub fn fresh(&mut self) -> Alias {
        let alias = Alias(self.0);
        self.0 += 1;
        alias
    }
}

/// Writes a name in double quotes, doubling those inside.
pub(crate) fn write_ident(out: &mut impl Write, name: &str) -> fmt::Result {
    write_doubled(out, name, '"')
}

/// Writes a string literal; doubles quotes, and backslashes under `E''`, so
/// that the text means the same whatever `standard_conforming_strings` says.
pub(crate) fn write_literal(out: &mut impl Write, text: &str) -> fmt::Result {
    if !text.contains('\\') {
        return write_doubled(out, text, '\'');
    }
    out.write_char('E')?;
    write_doubled(out, &text.replace('\\', "\\\\"), '\'')
}

fn write_doubled(out: &mut impl Write, text: &str, quote: char) -> fmt::Result {
    out.write_char(quote)?;
    for c in text.chars() {
        if c == quote {
            out.write_char(quote)?;
        }
        out.write_char(c)?;
    }
    out.write_char(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_names_are_doubled() {
        let ident = Ident::new(r#"a"; drop table x; --"#).expect("a legal name");
        assert_eq!(ident.to_string(), r#""a""; drop table x; --""#);
    }

    #[test]
    fn names_that_postgres_would_cut_are_refused() {
        assert_eq!(Ident::new("é".repeat(32)), Err(InvalidIdent::TooLong));
        assert_eq!(Ident::new(""), Err(InvalidIdent::Empty));
        assert_eq!(Ident::new("a\0b"), Err(InvalidIdent::Nul));
    }

    #[test]
    fn literals_escape_quotes_and_backslashes() {
        let mut out = String::new();
        write_literal(&mut out, r"it's \ here").expect("a String never fails");
        assert_eq!(out, r"E'it''s \\ here'");
    }
}
