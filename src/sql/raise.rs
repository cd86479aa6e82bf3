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

/// What a client is told when an upsert with a condition meets a row that it
/// does not see.
pub const UNSEEN: &str = "the row that the upsert meets is hidden by row-level security, or another transaction has only now inserted it";

/// What the error of [`require_seen`] says.
pub const UNSEEN_MARK: &str = "ringfence: the upsert meets a row that is not seen";

/// 0 where a condition holds. Where it does not, or is unknown, the statement
/// fails with SQLSTATE 22P02 and [`CHECK_MARK`].
pub fn require(condition: Expr) -> Result<Expr, InvalidIdent> {
    Ok(Expr::Case {
        when: Box::new(condition),
        then: Box::new(Expr::Int(0)),
        otherwise: Box::new(refuse(CHECK_MARK, "int4")?),
    })
}

/// A condition that is asked only of a row that is seen. Where it is not, the
/// statement fails with SQLSTATE 22P02 and [`UNSEEN_MARK`].
pub fn require_seen(seen: Expr, condition: Expr) -> Result<Expr, InvalidIdent> {
    Ok(Expr::Case {
        when: Box::new(seen),
        then: Box::new(condition),
        otherwise: Box::new(refuse(UNSEEN_MARK, "bool")?),
    })
}

/// A text that is no value of a type.
fn refuse(mark: &str, ty: &str) -> Result<Expr, InvalidIdent> {
    let name = QualifiedName::new(&"pg_catalog".into(), &ty.into())?;
    let text = Expr::Call("concat", vec![Expr::Text(mark.to_owned())]);
    Ok(Expr::Cast(Box::new(text), SqlType { name, array: false }))
}
