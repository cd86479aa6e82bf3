//! Patterns of LIKE that begin with plain text.
//!
//! Under row-level security Postgres uses a condition of a caller in an index
//! only if its operator is leakproof. LIKE is not, `^@` ("starts with") is, and
//! what matches a pattern starts with the plain text before its first wildcard.

use crate::operation::input::Operand;
use crate::schema::types::ScalarType;
use crate::sql::{BinaryOp, Expr};

use super::planner::{Planner, own_type};
use super::{Form, PlanError, Slot};

/// From this version on a B-tree serves `^@`.
const STARTS_WITH_IN_INDEXES: u32 = 150_000;

/// A pattern taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// The plain text before the first wildcard.
    pub prefix: String,
    /// Whether the rest matches everything.
    pub open: bool,
}

impl Pattern {
    pub(crate) fn of(pattern: &str) -> Self {
        let mut prefix = String::new();
        let mut chars = pattern.chars();
        let open = loop {
            match chars.next() {
                Some('%') => break chars.all(|c| c == '%'),
                // A lone escape at the end is an error, which is left to LIKE.
                Some('\\') => match chars.next() {
                    Some(c) => prefix.push(c),
                    None => break false,
                },
                Some('_') | None => break false,
                Some(c) => prefix.push(c),
            }
        };
        Pattern { prefix, open }
    }
}

impl Planner<'_> {
    /// Whether `^@` means for a column what LIKE means.
    pub(super) fn starts_with(&self, left: &Expr, scalar: &ScalarType) -> bool {
        let name = &scalar.sql.name;
        let source = self.schema.tracked().sources.first();
        // The comparison is said twice, so it must not be one of a calculation.
        matches!(left, Expr::Column(..))
            && name.schema.as_str() == "pg_catalog"
            && matches!(name.name.as_str(), "text" | "varchar")
            && source.is_some_and(|s| s.catalog.server_version >= STARTS_WITH_IN_INDEXES)
    }

    /// `left LIKE pattern`, so that an index can find the rows.
    ///
    /// A pattern of the document is taken apart here. For one that comes with
    /// the request, the parts are parameters that are null where they say
    /// nothing: `($1 IS NULL OR left ^@ $1) AND ($2 IS NULL OR left ~~ $2)`,
    /// of which Postgres keeps only what applies when it plans for the values.
    pub(super) fn like(&mut self, left: Expr, pattern: &Operand) -> Result<Expr, PlanError> {
        let text = own_type("text", false)?;
        let begins = BinaryOp::catalog("^@");
        let matches = BinaryOp::catalog("~~");
        let binary = |op: &BinaryOp, right: Expr| {
            Expr::Binary(Box::new(left.clone()), op.clone(), Box::new(right))
        };
        if let Operand::Const(constant) = pattern {
            let Pattern { prefix, open } = Pattern::of(constant);
            let mut parts = Vec::with_capacity(2);
            if !prefix.is_empty() {
                let prefix = self.param(&Operand::Const(prefix.into()), text.clone());
                parts.push(binary(&begins, prefix));
            }
            if parts.is_empty() || !open {
                let pattern = self.param(pattern, text);
                parts.push(binary(&matches, pattern));
            }
            return Ok(Expr::and(parts));
        }
        let mut part = |form: Form, op: &BinaryOp| {
            let slot = Slot { operand: pattern.clone(), form };
            let value = self.slot(slot, text.clone());
            Expr::or([Expr::IsNull(Box::new(value.clone())), binary(op, value)])
        };
        Ok(Expr::and([part(Form::LikePrefix, &begins), part(Form::LikeRest, &matches)]))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_are_taken_apart() {
        let cases = [
            ("", "", false),
            ("%", "", true),
            ("abc", "abc", false),
            ("abc%", "abc", true),
            ("abc%%", "abc", true),
            ("abc%d", "abc", false),
            ("abc_%", "abc", false),
            ("_abc", "", false),
            (r"100\%%", "100%", true),
            (r"a\_b\\%", r"a_b\", true),
            (r"abc\", "abc", false),
            ("日本%", "日本", true),
        ];
        for (pattern, prefix, open) in cases {
            let expected = Pattern { prefix: prefix.to_owned(), open };
            assert_eq!(Pattern::of(pattern), expected, "{pattern}");
        }
    }
}
