//! Hasura's environment variables: conversions of those that have a setting
//! here, and what is said about those that have none.

use super::setting::Setting;

pub(super) const PREFIX: &str = "HASURA_GRAPHQL_";

/// A number of seconds.
pub(super) fn seconds(text: &str) -> Result<String, String> {
    match text.trim().parse::<u32>() {
        Ok(seconds) => Ok(format!("{seconds}s")),
        Err(_) => Err(format!("expected a number of seconds, got \"{text}\"")),
    }
}

/// A number of milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<String, String> {
    match text.trim().parse::<u32>() {
        Ok(milliseconds) => Ok(format!("{milliseconds}ms")),
        Err(_) => Err(format!("expected a number of milliseconds, got \"{text}\"")),
    }
}

/// A flag whose sense is the opposite of ours.
pub(super) fn inverted(text: &str) -> Result<String, String> {
    bool::parse(text).map(|flag| (!flag).to_string())
}

/// `*` and its kin mean every address.
pub(super) fn host(text: &str) -> Result<String, String> {
    Ok(match text {
        "*" | "*4" | "!4" => "0.0.0.0".to_owned(),
        "*6" | "!6" => "::".to_owned(),
        other => other.to_owned(),
    })
}

/// `USE_PREPARED_STATEMENTS=false` is a statement cache of nothing.
pub(super) fn statement_cache(text: &str) -> Result<String, String> {
    Ok(if bool::parse(text)? { "500" } else { "0" }.to_owned())
}

/// What a variable would do in Hasura, for those without a setting here.
const WITHOUT_SETTING: [(&str, &str); 13] = [
    ("AUTH_HOOK", "authentication by webhook"),
    ("AUTH_HOOK_MODE", "authentication by webhook"),
    ("DEV_MODE", "internal details in errors; the log has them under the request id"),
    ("ADMIN_INTERNAL_ERRORS", "internal details in errors; the log has them under the request id"),
    ("ENABLE_TELEMETRY", "nothing is ever sent to anyone"),
    ("ENABLE_APIS", "switching single APIs off"),
    ("ENABLED_LOG_TYPES", "log types; the log level decides"),
    ("LIVE_QUERIES_MULTIPLEXED_BATCH_SIZE", "polling batches"),
    ("TX_ISOLATION", "other isolation levels"),
    ("PG_STRIPES", "pool stripes"),
    ("PG_CONN_LIFETIME", "a life-time of connections"),
    ("METADATA_DATABASE_URL", "metadata in another database"),
    ("V1_BOOLEAN_NULL_COLLAPSE", "version 1 behaviour"),
];

/// What is said about a variable that has no setting.
pub(super) fn warning(name: &str) -> String {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    match WITHOUT_SETTING.iter().find(|(known, _)| *known == short) {
        Some((_, what)) => format!("{name} has no effect here ({what})"),
        None => format!("{name} has no effect here"),
    }
}
