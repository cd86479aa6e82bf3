//! What a transaction tells Postgres about its caller.
//!
//! One statement sets the database role and every setting that some policy,
//! function, view or rule of the database reads, transaction-local. A setting
//! that nothing reads is not sent; one that is read is always sent, empty when
//! the session lacks it, so that no value of an earlier transaction can show.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Session;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Tenant,
    User,
    Role,
    /// `hasura.user`: all session variables as one JSON object.
    Variables,
    /// `request.jwt.claims`
    Claims,
    /// `hasura.x_hasura_<name>`: one session variable.
    Variable(String),
}

/// The settings of one catalogue generation and the statement that writes them.
///
/// The statement is `select set_config('app.tenant_id',$1,true), …,
/// set_config('role',$n,true)`; its parameters are [`SettingsPlan::values`]
/// followed by the database role.
#[derive(Debug, Clone)]
pub struct SettingsPlan {
    entries: Vec<(String, Source)>,
    sql: Arc<str>,
}

/// Settings that are sent when the analysis of what the database reads is not
/// closed (a body that builds its setting names at run time).
pub const STANDARD_SETTINGS: [&str; 5] =
    ["app.tenant_id", "hasura.user.id", "hasura.user.role", "hasura.user", "request.jwt.claims"];

fn source_of(name: &str) -> Option<Source> {
    match name {
        "app.tenant_id" => Some(Source::Tenant),
        "hasura.user.id" => Some(Source::User),
        "hasura.user.role" => Some(Source::Role),
        "hasura.user" => Some(Source::Variables),
        "request.jwt.claims" => Some(Source::Claims),
        _ => {
            let rest = name.strip_prefix("hasura.x_hasura_")?;
            let plain = !rest.is_empty()
                && name.len() <= 63
                && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            plain.then(|| Source::Variable(format!("x-hasura-{}", rest.replace('_', "-"))))
        }
    }
}

impl SettingsPlan {
    /// Makes the plan from the names that the database reads; names that are
    /// not ours to write are ignored.
    pub fn new(read: &BTreeSet<String>) -> Self {
        let entries: Vec<(String, Source)> =
            read.iter().filter_map(|name| Some((name.clone(), source_of(name)?))).collect();
        let mut sql = String::from("select ");
        for (index, (name, _)) in entries.iter().enumerate() {
            // `source_of` admits only names of [a-z0-9_.], so none needs quoting.
            sql.push_str("set_config('");
            sql.push_str(name);
            sql.push_str("',$");
            sql.push_str(&(index + 1).to_string());
            sql.push_str(",true),");
        }
        sql.push_str("set_config('role',$");
        sql.push_str(&(entries.len() + 1).to_string());
        sql.push_str(",true)");
        SettingsPlan { entries, sql: sql.into() }
    }

    pub fn sql(&self) -> &Arc<str> {
        &self.sql
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// The values in the order of the statement's parameters; absent is empty.
    pub fn values(&self, session: &Session) -> Vec<String> {
        self.entries.iter().map(|(_, source)| value(source, session).unwrap_or_default()).collect()
    }

    /// Whether the session has a value for a setting.
    pub fn has(&self, name: &str, session: &Session) -> bool {
        source_of(name).and_then(|source| value(&source, session)).is_some_and(|v| !v.is_empty())
    }
}

/// The session variable that a setting stands for, as users know it.
pub fn variable_of(setting: &str) -> String {
    match source_of(setting) {
        Some(Source::Tenant) => "x-hasura-tenant-id".to_owned(),
        Some(Source::User) => "x-hasura-user-id".to_owned(),
        Some(Source::Role) => "x-hasura-role".to_owned(),
        Some(Source::Variable(name)) => name,
        Some(Source::Variables | Source::Claims) | None => setting.to_owned(),
    }
}

fn value(source: &Source, session: &Session) -> Option<String> {
    match source {
        Source::Tenant => session.tenant.as_deref().map(str::to_owned),
        Source::User => session.user.as_deref().map(str::to_owned),
        Source::Role => Some(session.role.to_string()),
        Source::Variables => Some(variables_json(session)),
        Source::Claims => session.claims.as_deref().map(str::to_owned),
        Source::Variable(name) => session.vars.get(name).cloned(),
    }
}

fn variables_json(session: &Session) -> String {
    let mut map = serde_json::Map::new();
    map.insert("x-hasura-role".to_owned(), session.role.as_ref().into());
    for (name, value) in &session.vars {
        map.insert(name.clone(), value.as_str().into());
    }
    serde_json::Value::Object(map).to_string()
}
