//! An error on purpose: the only way in which a statement can stop its
//! transaction.
//!
//! The error is one that Postgres has by itself, with words of ours in it. So
//! it needs no function in the database, and there is nothing that a role, a
//! setting or a missing grant could take away:
//!
//! ```sql
//! CASE WHEN <condition> THEN 0 ELSE CAST(pg_catalog.concat('ringfence: …') AS int4) END
//! ```
//!
//! `concat` is STABLE, so the cast is not tried while the statement is planned.

use super::ast::{Expr, SqlType};
use super::ident::{InvalidIdent, QualifiedName};

/// What a client is told when a check of a permission fails.
pub const CHECK_FAILED: &str = "check constraint of an insert/update permission has failed";

/// What the error of [`require`] says, in whatever language the rest of it is.
pub const CHECK_MARK: &str =
    "ringfence: check constraint of an insert/update permission has failed";

/// 0 where a condition holds. Where it does not, or is unknown, the statement
/// fails with SQLSTATE 22P02 and [`CHECK_MARK`].
pub fn require(condition: Expr) -> Result<Expr, InvalidIdent> {
    Ok(Expr::Case {
        when: Box::new(condition),
        then: Box::new(Expr::Int(0)),
        otherwise: Box::new(refuse("int4")?),
    })
}

/// A condition that is asked only where another holds. Where that does not, the
/// statement fails as in [`require`].
pub fn require_first(first: Expr, condition: Expr) -> Result<Expr, InvalidIdent> {
    Ok(Expr::Case {
        when: Box::new(first),
        then: Box::new(condition),
        otherwise: Box::new(refuse("bool")?),
    })
}

/// What is no value of a type.
fn refuse(ty: &str) -> Result<Expr, InvalidIdent> {
    let name = QualifiedName::new(&"pg_catalog".into(), &ty.into())?;
    let text = Expr::Call("concat", vec![Expr::Text(CHECK_MARK.to_owned())]);
    Ok(Expr::Cast(Box::new(text), SqlType { name, array: false }))
}
