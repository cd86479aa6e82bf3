//! What of Postgres' own makes a result change by itself.
//!
//! An answer may be kept for others who ask the same with the same settings
//! only if nothing else decided on it. Where rows are let through or held
//! back, in policies, what is not known to be steady counts as not steady;
//! elsewhere what Postgres calls volatile does.

/// Functions that give the same for the same arguments and settings: all that
/// may decide in a policy of which an answer is kept.
const STEADY: [&str; 58] = [
    "abs",
    "array_append",
    "array_cat",
    "array_length",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_replace",
    "array_to_string",
    "ascii",
    "btrim",
    "cardinality",
    "ceil",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "current_setting",
    "decode",
    "encode",
    "floor",
    "greatest",
    "initcap",
    "json_array_length",
    "json_extract_path",
    "json_extract_path_text",
    "jsonb_array_length",
    "jsonb_exists",
    "jsonb_exists_all",
    "jsonb_exists_any",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_typeof",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "md5",
    "mod",
    "nullif",
    "octet_length",
    "position",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "replace",
    "right",
    "round",
    "row",
    "rtrim",
    "split_part",
    "starts_with",
    "string_to_array",
    "substring",
    "trim",
    "upper",
];

/// Beside those that [`VOLATILE_FAMILIES`] begin.
const VOLATILE: [&str; 20] = [
    "amvalidate",
    "clock_timestamp",
    "current_query",
    "currtid2",
    "currval",
    "gen_random_uuid",
    "lastval",
    "loread",
    "lowrite",
    "nextval",
    "random",
    "random_normal",
    "set_config",
    "setseed",
    "setval",
    "timeofday",
    "ts_rewrite",
    "ts_stat",
    "uuidv4",
    "uuidv7",
];

/// Locks, large objects, files, the state of the server, SQL given as text.
const VOLATILE_FAMILIES: [&str; 9] = [
    "pg_",
    "lo_",
    "txid_",
    "inet_",
    "binary_upgrade_",
    "brin_",
    "gin_",
    "cursor_to_xml",
    "query_to_xml",
];

/// Key words of types and conditions that look like calls in a policy.
const NO_CALLS: [&str; 12] = [
    "array",
    "bpchar",
    "char",
    "character",
    "decimal",
    "interval",
    "numeric",
    "time",
    "timestamp",
    "timestamptz",
    "varbit",
    "varchar",
];

/// Whether a policy that calls the function depends on nothing by that.
pub(super) fn decides(function: &str) -> bool {
    STEADY.contains(&function) || NO_CALLS.contains(&function)
}

/// Whether what has this name reads the clock, whoever else has a function of
/// the same name.
pub(super) fn reads_clock(name: &str) -> bool {
    name.starts_with("current_") && name != "current_setting"
        || name.starts_with("localtime")
        || matches!(name, "now" | "statement_timestamp" | "transaction_timestamp" | "age")
}

/// Whether a function of Postgres is volatile, or may be.
pub(super) fn is_volatile(function: &str) -> bool {
    // It only looks at the value's type.
    function != "pg_typeof"
        && (VOLATILE.contains(&function)
            || VOLATILE_FAMILIES.iter().any(|family| function.starts_with(family)))
}

/// Whether a relation, by schema and name, is one of Postgres' own.
pub(super) fn is_of_system((schema, name): &(Option<String>, String)) -> bool {
    match schema.as_deref() {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema"),
        None => name.starts_with("pg_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_do_not_contradict_each_other() {
        for list in [&STEADY[..], &VOLATILE[..], &NO_CALLS[..]] {
            assert!(list.is_sorted());
        }
        assert!(!STEADY.into_iter().any(is_volatile));
    }
}
