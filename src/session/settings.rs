//! What a transaction tells Postgres about its caller.
//!
//! One statement sets the database role and every setting that some policy,
//! function, view or rule of the database reads, transaction-local. A setting
//! that nothing reads is not sent; one that is read is always sent, empty when
//! the session lacks it, so that no value of an earlier transaction can show.
//! Limits that a role carries (`ALTER ROLE … SET statement_timeout`) apply at
//! login only, so they are part of the statement too. The role comes last.
//!
//! There is a second form of the statement, for work that Postgres need not
//! plan anew for each set of values ([`Planning::Once`]).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
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

/// The settings of one role in one catalogue generation, and the statement
/// that writes them.
///
/// The statement is `select set_config('app.tenant_id',$1,true), …,
/// set_config('role',$n,true)`; its parameters are [`SettingsPlan::values`]
/// followed by the database role.
#[derive(Debug, Clone)]
pub struct SettingsPlan {
    entries: Vec<(String, Source)>,
    written: Written,
    /// `None` where the role says itself how its statements are planned.
    once: Option<Written>,
}

/// How Postgres plans a prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Planning {
    /// As `plan_cache_mode` of the login or the role says, or `auto`.
    #[default]
    AsSet,
    /// Once for all values.
    Once,
}

/// A form of the statement, and a hash of it, made once.
#[derive(Debug, Clone)]
pub struct Written {
    pub sql: Arc<str>,
    pub fingerprint: u64,
}

impl From<String> for Written {
    fn from(sql: String) -> Self {
        let mut hasher = DefaultHasher::new();
        sql.hash(&mut hasher);
        Written { fingerprint: hasher.finish(), sql: sql.into() }
    }
}

/// The role settings that follow a role into a transaction.
pub const ROLE_SETTINGS: [&str; 3] =
    ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// The setting of a role that says how its statements are planned.
const PLANNING: &str = "plan_cache_mode";

/// A time as Postgres reads it: digits and perhaps a unit, nothing else.
fn is_time(value: &str) -> bool {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < value.len()
        && matches!(unit.trim_start(), "" | "us" | "ms" | "s" | "min" | "h" | "d")
}

fn is_planning(value: &str) -> bool {
    matches!(value, "auto" | "force_generic_plan" | "force_custom_plan")
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
    /// Makes the plan from the names that the database reads and from the
    /// settings of the role, the later of two with one name winning. Names
    /// that are not ours to write are ignored, of the role's settings all but
    /// [`ROLE_SETTINGS`] and `plan_cache_mode`.
    pub fn new(read: &BTreeSet<String>, role_settings: &[(String, String)]) -> Self {
        let entries: Vec<(String, Source)> =
            read.iter().filter_map(|name| Some((name.clone(), source_of(name)?))).collect();
        let of_role = |name: &str, admits: fn(&str) -> bool| {
            let value = role_settings.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.as_str()).filter(|value| admits(value))
        };
        let mut sql = String::new();
        for name in ROLE_SETTINGS {
            if let Some(value) = of_role(name, is_time) {
                constant(&mut sql, name, value);
            }
        }
        let planning = of_role(PLANNING, is_planning);
        if let Some(value) = planning {
            constant(&mut sql, PLANNING, value);
        }
        for (index, (name, _)) in entries.iter().enumerate() {
            // `source_of` admits only names of [a-z0-9_.], so none needs quoting.
            sql.push_str("pg_catalog.set_config('");
            sql.push_str(name);
            sql.push_str("',$");
            sql.push_str(&(index + 1).to_string());
            sql.push_str(",true),");
        }
        sql.push_str("pg_catalog.set_config('role',$");
        sql.push_str(&(entries.len() + 1).to_string());
        sql.push_str(",true)");
        let once = planning.is_none().then(|| {
            let mut once = String::from("select ");
            constant(&mut once, PLANNING, "force_generic_plan");
            Written::from(once + &sql)
        });
        SettingsPlan { entries, written: Written::from("select ".to_owned() + &sql), once }
    }

    pub fn sql(&self) -> &Arc<str> {
        &self.written.sql
    }

    /// The statement for work that is planned in this way.
    pub fn written(&self, planning: Planning) -> &Written {
        match (planning, &self.once) {
            (Planning::Once, Some(once)) => once,
            _ => &self.written,
        }
    }

    /// Whether [`Planning::Once`] means something: nobody else has decided.
    pub fn may_plan_once(&self) -> bool {
        self.once.is_some()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// The values in the order of the statement's parameters; absent is empty.
    pub fn values<'a>(&self, session: &'a Session) -> Vec<Cow<'a, str>> {
        self.entries.iter().map(|(_, source)| value(source, session).unwrap_or_default()).collect()
    }

    /// Whether the session has a value for a setting.
    pub fn has(&self, name: &str, session: &Session) -> bool {
        source_of(name).and_then(|source| value(&source, session)).is_some_and(|v| !v.is_empty())
    }
}

/// A setting with a value that needs no quoting.
fn constant(sql: &mut String, name: &str, value: &str) {
    for part in ["pg_catalog.set_config('", name, "','", value, "',true),"] {
        sql.push_str(part);
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

fn value<'a>(source: &Source, session: &'a Session) -> Option<Cow<'a, str>> {
    match source {
        Source::Tenant => session.tenant.as_deref().map(Cow::Borrowed),
        Source::User => session.user.as_deref().map(Cow::Borrowed),
        Source::Role => Some(Cow::Borrowed(&*session.role)),
        Source::Variables => Some(Cow::Owned(session.variables_json())),
        Source::Claims => session.claims.as_deref().map(Cow::Borrowed),
        Source::Variable(name) => session.vars.get(name).map(|v| Cow::Borrowed(v.as_str())),
    }
}

impl Session {
    /// The value of a session variable by its lower-case name.
    pub fn variable(&self, name: &str) -> Option<&str> {
        match name {
            "x-hasura-role" => Some(&self.role),
            name => self.vars.get(name).map(String::as_str),
        }
    }

    /// All session variables as one JSON object, led by the role.
    pub fn variables_json(&self) -> String {
        struct Variables<'a>(&'a Session);

        impl serde::Serialize for Variables<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Variables(session) = self;
                let others =
                    session.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                serializer.collect_map(
                    std::iter::once(("x-hasura-role", &*session.role))
                        .chain(others.filter(|(name, _)| *name != "x-hasura-role")),
                )
            }
        }

        serde_json::to_string(&Variables(self)).unwrap_or_else(|error| {
            // Strings under string keys always have a JSON form.
            tracing::error!(%error, "session variables could not be written as JSON");
            "{}".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn role_is_set_last_and_unknown_names_are_ignored() {
        let plan = SettingsPlan::new(
            &names(&["app.tenant_id", "search_path", "hasura.x_hasura_org"]),
            &[],
        );
        assert_eq!(
            &**plan.sql(),
            "select pg_catalog.set_config('app.tenant_id',$1,true),\
             pg_catalog.set_config('hasura.x_hasura_org',$2,true),\
             pg_catalog.set_config('role',$3,true)"
        );
    }

    #[test]
    fn role_limits_are_written_and_nothing_else_of_the_role() {
        let plan = SettingsPlan::new(
            &names(&[]),
            &pairs(&[
                ("statement_timeout", "5s"),
                ("search_path", "public"),
                ("lock_timeout", "1'; drop table x"),
                ("statement_timeout", "250ms"),
            ]),
        );
        assert_eq!(
            &**plan.sql(),
            "select pg_catalog.set_config('statement_timeout','250ms',true),\
             pg_catalog.set_config('role',$1,true)"
        );
    }

    #[test]
    fn what_is_planned_once_is_said_unless_the_role_says_it() {
        let plan = SettingsPlan::new(&names(&["app.tenant_id"]), &[]);
        assert!(plan.may_plan_once());
        assert_eq!(
            &*plan.written(Planning::Once).sql,
            "select pg_catalog.set_config('plan_cache_mode','force_generic_plan',true),\
             pg_catalog.set_config('app.tenant_id',$1,true),\
             pg_catalog.set_config('role',$2,true)"
        );
        let plan =
            SettingsPlan::new(&names(&[]), &pairs(&[("plan_cache_mode", "force_custom_plan")]));
        assert!(!plan.may_plan_once());
        assert_eq!(
            &*plan.written(Planning::Once).sql,
            "select pg_catalog.set_config('plan_cache_mode','force_custom_plan',true),\
             pg_catalog.set_config('role',$1,true)"
        );
    }

    #[test]
    fn variables_are_one_object_led_by_the_role() {
        let session = Session {
            role: "editor".into(),
            authority: crate::session::Authority::Request,
            proof: crate::session::Proof::Token,
            backend: false,
            vars: [("x-hasura-role", "other"), ("x-hasura-org", "a\"b")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            tenant: None,
            user: None,
            claims: None,
            expires_at: None,
            revoked: None,
        };
        let plan = SettingsPlan::new(&names(&["hasura.user", "app.tenant_id"]), &[]);
        assert_eq!(
            plan.values(&session),
            ["", r#"{"x-hasura-role":"editor","x-hasura-org":"a\"b"}"#]
        );
    }
}
