//! Floor 2: what is wrong with the database, and the statement that mends it.
//!
//! ```text
//! Catalog + logins ─▶ roles, tables, views, policies (rules) ─▶ findings ─▶ report
//! ```
//!
//! The rules look at the catalogue only; nothing here runs a statement except
//! [`capabilities`]. A finding that refuses keeps the server from starting:
//! with it the fence around a tenant has a gap.

mod capability;
mod live;
mod policies;
mod report;
mod rewrite;
mod roles;
mod start;
mod tables;
mod text;
mod views;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::catalog::model::{Catalog, Oid, Table};
use crate::catalog::privileges::{Rights, RolePrivileges};

pub use capability::{Capabilities, Service, capabilities};
pub use live::LiveInput;
pub use report::Report;
pub use start::{examine, gaps, list};

/// The role of the administrator; it may see every row by design.
const ADMIN_ROLE: &str = "ringfence_admin";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The server does not start.
    Refuse,
    Warn,
    Info,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: &'static str,
    pub severity: Severity,
    /// What it is about, as SQL names it.
    pub object: String,
    pub message: String,
    /// Why it matters.
    pub why: &'static str,
    /// Statements that mend it, ready to run.
    pub fix: Option<String>,
}

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct DoctorInput<'a> {
    pub catalog: &'a Catalog,
    /// The login that carries requests.
    pub authenticator: &'a str,
    /// Database roles that the configuration maps GraphQL roles to. Those that
    /// the authenticator may set are added.
    pub mapped_roles: &'a [String],
    /// `schema.expose`
    pub schemas: &'a [String],
    /// Tables that metadata names, whatever schema they are in.
    pub tracked: &'a BTreeSet<Oid>,
    /// In production a tenant's table without row-level security refuses.
    pub production: bool,
    /// `schema.tenant_columns`
    pub tenant_columns: &'a [String],
    /// `schema.expose_owner_views`
    pub expose_owner_views: bool,
    pub capabilities: Option<&'a Capabilities>,
    /// How subscriptions learn of changes.
    pub live: Option<LiveInput<'a>>,
}

/// All findings, the worst first.
pub fn run(input: &DoctorInput<'_>) -> Vec<Finding> {
    let cx = Context::new(input);
    let mut findings = Findings::default();
    roles::check(&cx, &mut findings);
    tables::check(&cx, &mut findings);
    views::check(&cx, &mut findings);
    policies::check(&cx, &mut findings);
    if let Some(capabilities) = input.capabilities {
        capability::check(&cx, capabilities, &mut findings);
    }
    if let Some(live) = &input.live {
        live::check(&cx, live, &mut findings);
    }
    let mut all = findings.0;
    all.sort_by(|a, b| (a.severity, a.id, &a.object).cmp(&(b.severity, b.id, &b.object)));
    all
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        id: &'static str,
        severity: Severity,
        object: impl Into<String>,
        message: impl Into<String>,
        why: &'static str,
        fix: Option<String>,
    ) {
        self.0.push(Finding {
            id,
            severity,
            object: object.into(),
            message: message.into(),
            why,
            fix,
        });
    }
}

/// The input with what several rules need of it.
struct Context<'a> {
    input: &'a DoctorInput<'a>,
    catalog: &'a Catalog,
    authenticator: Option<Oid>,
    /// Roles that requests run as, by name.
    requests: BTreeMap<&'a str, Oid>,
    rights: HashMap<Oid, Rights>,
    privileges: HashMap<Oid, RolePrivileges>,
}

impl<'a> Context<'a> {
    fn new(input: &'a DoctorInput<'a>) -> Self {
        let catalog = input.catalog;
        let authenticator = catalog.role_names.get(input.authenticator).copied();
        let mut requests: BTreeMap<&str, Oid> = BTreeMap::new();
        for name in input.mapped_roles {
            if let Some((name, oid)) = catalog.role_names.get_key_value(name.as_str()) {
                requests.insert(name, *oid);
            }
        }
        if let Some(login) = authenticator
            && !catalog.roles.get(&login).is_some_and(|role| role.superuser)
        {
            for (name, oid) in &catalog.role_names {
                let settable = *oid != login
                    && !name.starts_with("pg_")
                    && name != ADMIN_ROLE
                    && catalog.may_set_role(login, *oid);
                if settable {
                    requests.insert(name, *oid);
                }
            }
        }
        let rights = requests.values().map(|oid| (*oid, catalog.rights(*oid))).collect();
        let privileges = requests.values().map(|oid| (*oid, catalog.privileges(*oid))).collect();
        Context { input, catalog, authenticator, requests, rights, privileges }
    }

    /// Tables that may be shown.
    fn tables(&self) -> impl Iterator<Item = &'a Table> {
        let tracked = self.input.tracked;
        self.catalog.tables.iter().filter(|table| table.exposed || tracked.contains(&table.oid))
    }

    /// The names of the request roles for which `test` holds.
    fn roles_that(&self, test: impl Fn(Oid) -> bool) -> BTreeSet<&'a str> {
        self.requests.iter().filter(|(_, oid)| test(**oid)).map(|(name, _)| *name).collect()
    }

    /// The request roles that may read or write some of a table.
    fn users_of(&self, table: &Table) -> BTreeSet<&'a str> {
        self.roles_that(|role| {
            self.privileges.get(&role).is_some_and(|privileges| {
                let rights = privileges.table(table.id);
                !rights.select.is_empty()
                    || !rights.insert.is_empty()
                    || !rights.update.is_empty()
                    || rights.delete
            })
        })
    }

    fn readers_of(&self, table: &Table) -> BTreeSet<&'a str> {
        self.roles_that(|role| {
            self.privileges.get(&role).is_some_and(|p| !p.select(table.id).is_empty())
        })
    }
}
