//! From verified claims to session variables.

/// A name that a session variable may have, already in lower case.
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.len() <= 63
        && name.strip_prefix("x-hasura-").is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        })
}
