//! What a client is told about an error of Postgres.
//!
//! The codes and phrases are Hasura's. DETAIL, HINT and CONTEXT never leave
//! the server, but for the administrator's own SQL and data commands: they carry
//! keys of rows and bodies of functions. A message of
//! class 22 leaves only when Postgres raised it while it read a parameter, because
//! the same error can be raised while a policy looks at a hidden row.

use std::borrow::Cow;

use super::error::{DbFault, PgError};
use crate::base::{ApiError, Code};
use crate::sql::raise::{CHECK_FAILED, CHECK_MARK, UNSEEN, UNSEEN_MARK};

/// Seconds after which a refused client may try again.
const RETRY_AFTER: u32 = 1;

pub(super) fn to_api(error: &PgError) -> ApiError {
    let detail = error.to_string();
    match error {
        PgError::Busy { .. } => {
            unavailable("the server is busy; try again in a moment").with_detail(detail)
        }
        PgError::Unavailable(_) | PgError::Refused(_) => {
            unavailable("the database is not available; try again in a moment").with_detail(detail)
        }
        PgError::Timeout { .. } => {
            ApiError::new(Code::TimeLimitExceeded, "the request took too long and was cancelled")
                .with_detail(detail)
        }
        // No Retry-After: to send a write again is for the caller to decide.
        PgError::InDoubt(_) => ApiError::new(
            Code::ServiceUnavailable,
            "the connection to the database broke while the changes were being committed; \
             they may or may not have been made",
        )
        .with_detail(detail),
        PgError::Database(fault) => fault_to_api(fault),
        PgError::NoLogin(_) => ApiError::new(
            Code::AccessDenied,
            "this server has no administrator: it runs without an owner login",
        )
        .with_detail(detail),
        PgError::TooLarge => ApiError::new(
            Code::DataException,
            "the answer is larger than 1 GiB; ask for fewer rows at a time",
        ),
        PgError::Stream => ApiError::new(Code::NotSupported, detail),
        PgError::Protocol(_) => ApiError::internal(detail),
    }
}

fn unavailable(message: &'static str) -> ApiError {
    ApiError::new(Code::ServiceUnavailable, message).with_retry_after(RETRY_AFTER)
}

fn fault_to_api(fault: &DbFault) -> ApiError {
    let message = &fault.message;
    let class = fault.sqlstate.get(..2).unwrap_or_default();
    let prefixed = |code, prefix: &str| ApiError::new(code, format!("{prefix}{message}"));
    let api = match &*fault.sqlstate {
        "23505" => prefixed(Code::ConstraintViolation, "Uniqueness violation. "),
        "23503" => prefixed(Code::ConstraintViolation, "Foreign key violation. "),
        "23502" => prefixed(Code::ConstraintViolation, "Not-NULL violation. "),
        "23P01" => prefixed(Code::ConstraintViolation, "Exclusion violation. "),
        "23514" => prefixed(Code::PermissionError, "Check constraint violation. "),
        "42501" => ApiError::new(Code::PermissionError, permission_message(fault)),
        "42P10" => ApiError::new(
            Code::ConstraintError,
            "there is no unique or exclusion constraint on target column(s)",
        ),
        // Postgres' own words for it are in the language of the server.
        "21000" if fault.message.contains("ON CONFLICT") => ApiError::new(
            Code::ConstraintViolation,
            "two rows of an upsert have the same key; send each row once",
        ),
        "57014" => ApiError::new(
            Code::TimeLimitExceeded,
            "the request was cancelled or took longer than its role may take",
        ),
        "55P03" => ApiError::new(
            Code::TimeLimitExceeded,
            "another transaction holds a lock that this request needs; try again",
        )
        .with_retry_after(RETRY_AFTER),
        "40001" | "40P01" => ApiError::new(
            Code::ConcurrentUpdate,
            "the request collided with another one; try again",
        )
        .with_retry_after(RETRY_AFTER),
        "25006" => ApiError::new(
            Code::NotSupported,
            "the database accepts no writes here (read-only transaction or standby)",
        ),
        "25P03" | "25P04" => ApiError::new(
            Code::TimeLimitExceeded,
            "the transaction stayed open for longer than it may",
        ),
        // Errors that a statement makes on purpose.
        "22P02" if !fault.of_parameter && fault.message.contains(CHECK_MARK) => {
            ApiError::new(Code::PermissionError, CHECK_FAILED)
        }
        "22P02" if !fault.of_parameter && fault.message.contains(UNSEEN_MARK) => {
            ApiError::new(Code::PermissionError, UNSEEN)
        }
        // What tsvector, ltree, hstore and jsonpath say of a value they cannot read.
        "42601" if !fault.of_statement => data_error(Code::DataException, fault),
        // What PostGIS says of one, as of all else.
        "XX000" if fault.of_parameter => data_error(Code::DataException, fault),
        // A word too long for tsvector, a number too long for numeric.
        "54000" => data_error(Code::DataException, fault),
        // LIKE and SIMILAR TO of a pattern; what they say holds no value.
        "22025" => ApiError::new(Code::BadRequest, fault.message.to_string()),
        "54001" => ApiError::new(
            Code::ValidationFailed,
            "the operation is too complex for the database; make it smaller",
        ),
        state if state.starts_with("57P") => {
            unavailable("the database is starting, stopping or restarting; try again in a moment")
        }
        _ => match class {
            "22" => data_error(Code::DataException, fault),
            "23" => prefixed(Code::ConstraintViolation, ""),
            "08" | "53" => unavailable("the database is not available; try again in a moment"),
            _ => {
                ApiError::new(Code::Unexpected, "database query error").with_fault(fault.in_full())
            }
        },
    };
    api.with_detail(for_the_log(fault))
}

/// Class 22: the message is for the caller only when it speaks of a parameter.
/// A message of `RAISE` was written by the owner of the database for callers.
fn data_error(code: Code, fault: &DbFault) -> ApiError {
    if fault.of_parameter || fault.raised {
        ApiError::new(code, fault.message.to_string())
    } else {
        ApiError::new(code, "a value has the wrong form or is out of range")
    }
}

/// Keeps the name of the table that a row-level security check refused, and no
/// other name: the object of "permission denied" may lie below what the role
/// can see.
fn permission_message(fault: &DbFault) -> Cow<'static, str> {
    let table = fault
        .message
        .strip_prefix("new row violates row-level security policy")
        .and_then(|rest| rest.split_once("for table "))
        .map(|(_, table)| table.trim_end_matches(" (USING expression)"));
    match table {
        Some(table) => {
            format!("new row violates row-level security policy for table {table}").into()
        }
        None => "permission denied by the database".into(),
    }
}

fn for_the_log(fault: &DbFault) -> String {
    let mut text = format!("SQLSTATE {}: {}", fault.sqlstate, fault.message);
    let parts = [
        ("detail", &fault.detail),
        ("hint", &fault.hint),
        ("schema", &fault.schema),
        ("table", &fault.table),
        ("column", &fault.column),
        ("constraint", &fault.constraint),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            text.push_str("; ");
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(sqlstate: &str, message: &str) -> DbFault {
        DbFault {
            sqlstate: sqlstate.into(),
            message: message.into(),
            detail: Some("Key (id)=(42) already exists.".into()),
            hint: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
            of_statement: true,
            raised: false,
            of_parameter: false,
        }
    }

    fn api(sqlstate: &str, message: &str) -> ApiError {
        PgError::Database(Box::new(fault(sqlstate, message))).into()
    }

    #[test]
    fn codes_and_phrases_are_hasuras() {
        for (state, message, code, text) in [
            (
                "23505",
                "duplicate key",
                Code::ConstraintViolation,
                "Uniqueness violation. duplicate key",
            ),
            ("23503", "fk", Code::ConstraintViolation, "Foreign key violation. fk"),
            ("23502", "null", Code::ConstraintViolation, "Not-NULL violation. null"),
            ("23P01", "excl", Code::ConstraintViolation, "Exclusion violation. excl"),
            ("23514", "chk", Code::PermissionError, "Check constraint violation. chk"),
            ("42703", "column x.hidden does not exist", Code::Unexpected, "database query error"),
        ] {
            let error = api(state, message);
            assert_eq!((error.code, &*error.message), (code, text), "{state}");
            assert!(!error.message.contains("42"), "no DETAIL in a message");
        }
    }

    #[test]
    fn hidden_values_and_names_do_not_leave() {
        let error = api("22P02", "invalid input syntax for type uuid: \"hidden\"");
        assert_eq!(error.code, Code::DataException);
        assert!(!error.message.contains("hidden"));
        let error = api("42501", "permission denied for table secret_table");
        assert_eq!(error.message, "permission denied by the database");
        let error =
            api("42501", "new row violates row-level security policy \"p\" for table \"posts\"");
        assert_eq!(error.message, "new row violates row-level security policy for table \"posts\"");
    }

    #[test]
    fn a_database_that_is_away_asks_to_try_again() {
        for state in ["57P01", "57P03", "53300", "08006"] {
            let error = api(state, "x");
            assert_eq!(error.code, Code::ServiceUnavailable, "{state}");
            assert!(error.retry_after.is_some());
        }
    }
}
