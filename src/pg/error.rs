//! What can go wrong between us and Postgres.
//!
//! The wording that clients see is made in [`super::sqlstate`], the only place
//! that turns a [`PgError`] into an [`ApiError`].

use std::error::Error as _;

use thiserror::Error;

use crate::base::ApiError;
use crate::sql::raise::UNSEEN_MARK;

/// An error that Postgres reported.
#[derive(Debug, Clone)]
pub struct DbFault {
    pub sqlstate: Box<str>,
    pub message: Box<str>,
    pub detail: Option<Box<str>>,
    pub hint: Option<Box<str>>,
    pub schema: Option<Box<str>>,
    pub table: Option<Box<str>>,
    pub column: Option<Box<str>>,
    pub constraint: Option<Box<str>>,
    /// The message points at a place in a statement, not at a value.
    pub of_statement: bool,
    /// Raised by `RAISE` in the database's own code.
    pub raised: bool,
    /// Raised while Postgres read a parameter: the message tells the caller
    /// nothing new.
    pub of_parameter: bool,
}

#[derive(Debug, Clone, Error)]
pub enum PgError {
    /// No connection became free in time, or too many requests wait already.
    #[error("all connections of the {pool} pool are in use")]
    Busy { pool: &'static str },
    /// Postgres cannot be reached, or the connection broke.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Postgres does not let this login in.
    #[error("the database refused the login: {0}")]
    Refused(String),
    /// The request took longer than it may; its statement was cancelled.
    #[error("the request took longer than {} ms and was cancelled", limit.as_millis())]
    Timeout { limit: std::time::Duration },
    /// The connection broke while a COMMIT was outstanding: whether it took
    /// place is unknown.
    #[error("it is unknown whether the transaction was committed: {0}")]
    InDoubt(String),
    #[error("{}: {}", .0.sqlstate, .0.message)]
    Database(Box<DbFault>),
    /// The answer has more bytes than Postgres makes of one value.
    #[error("the answer is larger than 1 GiB")]
    TooLarge,
    /// There is no login of this kind.
    #[error("there is no {0} login; `ringfence migrate` makes it")]
    NoLogin(&'static str),
    /// SQL text of the administrator begins or asks for a stream of data.
    #[error("COPY from or to the client cannot be used here")]
    Stream,
    /// Postgres or our use of it is not as expected.
    #[error("unexpected answer from the database: {0}")]
    Protocol(String),
}

impl DbFault {
    /// All of it, in Hasura's form.
    pub fn in_full(&self) -> serde_json::Value {
        serde_json::json!({
            "exec_status": "FatalError",
            "hint": self.hint,
            "message": self.message,
            "status_code": self.sqlstate,
            "description": self.detail,
        })
    }
}

impl PgError {
    /// The SQLSTATE when Postgres reported the error.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            PgError::Database(fault) => Some(&fault.sqlstate),
            _ => None,
        }
    }

    /// The connection broke or Postgres is starting or stopping.
    pub fn is_unavailable(&self) -> bool {
        match self {
            PgError::Unavailable(_) => true,
            PgError::Database(fault) => fault.sqlstate.starts_with("57P"),
            _ => false,
        }
    }

    /// An upsert met a row that its snapshot or the policies hide.
    pub fn is_unseen_row(&self) -> bool {
        let PgError::Database(fault) = self else { return false };
        *fault.sqlstate == *"22P02" && !fault.of_parameter && fault.message.contains(UNSEEN_MARK)
    }

    /// A prepared statement of ours is gone or no longer fits. It is forgotten,
    /// so the same transaction is good when it is run again.
    pub fn is_stale_statement(&self) -> bool {
        self.sqlstate().is_some_and(|state| matches!(state, "0A000" | "26000"))
    }

    /// Makes the error from the driver's.
    pub(super) fn from_driver(error: &tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let text = |value: Option<&str>| value.map(Box::from);
            return PgError::Database(Box::new(DbFault {
                sqlstate: db.code().code().into(),
                message: db.message().into(),
                detail: text(db.detail()),
                hint: text(db.hint()),
                schema: text(db.schema()),
                table: text(db.table()),
                column: text(db.column()),
                constraint: text(db.constraint()),
                of_statement: db.position().is_some(),
                raised: db.routine() == Some("exec_stmt_raise"),
                of_parameter: db.where_().is_some_and(of_parameter),
            }));
        }
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let lost =
            error.is_closed() || error.source().is_some_and(|cause| cause.is::<std::io::Error>());
        if lost {
            PgError::Unavailable(format!("{error}{cause}"))
        } else {
            PgError::Protocol(format!("{error}{cause}"))
        }
    }

    /// Like [`PgError::from_driver`], for the settings statement: a role that is
    /// gone reads as one that may not be set, for both mean the same to a caller.
    pub(super) fn from_settings(error: &tokio_postgres::Error) -> Self {
        let mut error = PgError::from_driver(error);
        if let PgError::Database(fault) = &mut error
            && &*fault.sqlstate == "22023"
        {
            fault.sqlstate = "42501".into();
        }
        error
    }

    /// Like [`PgError::from_driver`], for an error while connecting.
    pub(super) fn from_connect(error: &tokio_postgres::Error) -> Self {
        match PgError::from_driver(error) {
            PgError::Database(fault) if fault.sqlstate.starts_with("28") => {
                PgError::Refused(format!("{} (SQLSTATE {})", fault.message, fault.sqlstate))
            }
            PgError::Database(fault) => {
                PgError::Unavailable(format!("{} (SQLSTATE {})", fault.message, fault.sqlstate))
            }
            PgError::Protocol(text) => PgError::Unavailable(text),
            other => other,
        }
    }
}

/// Whether an error was raised while Postgres read a parameter, so that its
/// message is made of that parameter and a type. What the message quotes would
/// not tell: a caller may send a guess, and an expression over a hidden row that
/// fails would then confirm it.
fn of_parameter(context: &str) -> bool {
    // JSON says first where in the text it failed. Postgres cuts that at the end
    // of a line, so no value can continue it with a line of its own.
    let rest = match context.split_once('\n') {
        Some((first, rest)) if first.starts_with("JSON data, line ") => rest,
        _ => context,
    };
    rest.starts_with("unnamed portal parameter $")
}

impl From<PgError> for ApiError {
    fn from(error: PgError) -> Self {
        super::sqlstate::to_api(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reading_of_a_parameter_is_told_of() {
        for (context, expected) in [
            ("unnamed portal parameter $1", true),
            ("unnamed portal parameter $2 = '...'", true),
            ("JSON data, line 1: x\nunnamed portal parameter $1", true),
            ("JSON data, line 1: unnamed portal parameter $1", false),
            ("PL/pgSQL function f() line 1 at RETURN\nunnamed portal parameter $1", false),
            ("SQL function \"f\" statement 1", false),
            ("", false),
        ] {
            assert_eq!(of_parameter(context), expected, "{context}");
        }
    }
}
