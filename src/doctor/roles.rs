//! Who could see past the policies: the login of requests and the roles that
//! requests run as.

use std::collections::BTreeSet;

use super::text::{ident, relation, roles};
use super::{ADMIN_ROLE, Context, Findings, Severity};
use crate::catalog::model::{Oid, Privilege, Role};
use crate::catalog::privileges::PUBLIC;

const BYPASS: &str = "Row-level security does not bind this role, so every tenant's rows would be \
    visible to every request.";
const OWNS: &str = "The policies of a table do not bind its owner nor a role that has the owner's \
    rights, unless row-level security is forced.";
const READS_ALL: &str = "The role reads every table of the database that has no row-level security: \
    also those that no grant was meant to show it.";
const READ_ALL: &str = "pg_read_all_data";
const INHERITS: &str = "The login of requests should be able to do nothing until a role is set, \
    so that a statement without a role fails instead of reading.";

const MISSING: &str = "Requests with this role fail: they would have to run as a database role \
    that does not exist.";
const NOT_GRANTED: &str = "Requests with this role fail: the login of requests may not become the \
    database role that they run as.";

pub(super) fn check(cx: &Context<'_>, findings: &mut Findings) {
    missing(cx, findings);
    let Some(login) = cx.authenticator.and_then(|oid| cx.catalog.roles.get(&oid)) else {
        findings.add(
            "login-missing",
            Severity::Refuse,
            format!("role {}", ident(cx.input.authenticator)),
            "the login of requests does not exist in this database",
            "Nothing can be served without it.",
            None,
        );
        return;
    };
    attributes(login, findings);
    becomes_admin(cx, login, findings);
    for oid in cx.requests.values() {
        if let Some(role) = cx.catalog.roles.get(oid) {
            request_role(cx, login, role, findings);
        }
    }
    for oid in cx.requests.values().chain([&login.oid]) {
        owned_tables(cx, *oid, findings);
        reads_all(cx, *oid, findings);
    }
    not_granted(cx, login, findings);
    inherits(cx, login, findings);
    own_rights(cx, login, findings);
}

/// The database roles of `roles.map`, each once.
fn mapped<'a>(cx: &Context<'a>) -> BTreeSet<&'a str> {
    cx.input.mapped_roles.iter().map(String::as_str).collect()
}

fn grant(cx: &Context<'_>, role: &str) -> String {
    // Without these words the login would have the rights of the role at once.
    let apart =
        if cx.catalog.server_version >= 160_000 { " WITH INHERIT FALSE, SET TRUE" } else { "" };
    format!("GRANT {} TO {}{apart};", ident(role), ident(cx.input.authenticator))
}

fn missing(cx: &Context<'_>, findings: &mut Findings) {
    for role in mapped(cx).into_iter().filter(|role| cx.catalog.role(role).is_none()) {
        let name = ident(role);
        findings.add(
            "role-missing",
            Severity::Warn,
            format!("role {name}"),
            format!("roles.map names the database role {name}, which does not exist"),
            MISSING,
            Some(format!("CREATE ROLE {name} NOLOGIN NOINHERIT;\n{}", grant(cx, role))),
        );
    }
}

fn not_granted(cx: &Context<'_>, login: &Role, findings: &mut Findings) {
    for role in mapped(cx).into_iter().filter_map(|role| cx.catalog.role(role)) {
        if cx.catalog.may_set_role(login.oid, role.oid) {
            continue;
        }
        let name = ident(&role.name);
        // A role that is not to be granted has no statement that mends it.
        let safe = !role.superuser && !role.bypass_rls && *role.name != *ADMIN_ROLE;
        findings.add(
            "role-not-granted",
            Severity::Warn,
            format!("role {name}"),
            format!(
                "roles.map names the database role {name}, which the login of requests, {}, may \
                 not become",
                ident(&login.name)
            ),
            NOT_GRANTED,
            safe.then(|| grant(cx, &role.name)),
        );
    }
}

fn attributes(login: &Role, findings: &mut Findings) {
    if !login.superuser && !login.bypass_rls {
        return;
    }
    let name = ident(&login.name);
    let what = if login.superuser { "a superuser" } else { "BYPASSRLS" };
    findings.add(
        "login-bypasses-rls",
        Severity::Refuse,
        format!("role {name}"),
        format!("the login of requests is {what}"),
        BYPASS,
        Some(format!("ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS;")),
    );
}

fn becomes_admin(cx: &Context<'_>, login: &Role, findings: &mut Findings) {
    let Some(admin) = cx.catalog.role(ADMIN_ROLE) else { return };
    if login.superuser || !cx.catalog.may_set_role(login.oid, admin.oid) {
        return;
    }
    findings.add(
        "login-becomes-admin",
        Severity::Refuse,
        format!("role {}", ident(&login.name)),
        format!("the login of requests may become {ADMIN_ROLE}"),
        "The administrator sees every row; requests and the administrator have separate logins.",
        Some(format!("REVOKE {} FROM {};", ident(ADMIN_ROLE), ident(&login.name))),
    );
}

fn request_role(cx: &Context<'_>, login: &Role, role: &Role, findings: &mut Findings) {
    let name = ident(&role.name);
    if role.superuser || role.bypass_rls {
        let what = if role.superuser { "a superuser" } else { "BYPASSRLS" };
        let mapped = cx.input.mapped_roles.iter().any(|known| **known == *role.name);
        let fix = if mapped {
            format!("ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS;")
        } else {
            format!("REVOKE {name} FROM {};", ident(&login.name))
        };
        findings.add(
            "role-bypasses-rls",
            Severity::Refuse,
            format!("role {name}"),
            format!("requests may run as {name}, which is {what}"),
            BYPASS,
            Some(fix),
        );
    }
}

/// It does not by-pass row-level security by itself, but the passwords that it
/// can read do.
fn reads_all(cx: &Context<'_>, role: Oid, findings: &mut Findings) {
    let Some(facts) = cx.catalog.roles.get(&role) else { return };
    let Some(reader) = cx.catalog.role(READ_ALL) else { return };
    let has = |from: Oid| {
        cx.catalog.rights(from).hold(reader.oid) || cx.catalog.may_set_role(from, reader.oid)
    };
    if facts.superuser || role == reader.oid || !has(role) {
        return;
    }
    let name = ident(&facts.name);
    let through: Vec<String> = facts
        .member_of
        .iter()
        .map(|membership| membership.role)
        .filter(|through| has(*through))
        // A request role that leads there has a finding of its own.
        .filter(|through| !cx.requests.values().any(|request| request == through))
        .map(|through| format!("REVOKE {} FROM {name};", ident(&cx.catalog.role_name(through))))
        .collect();
    if through.is_empty() {
        return;
    }
    findings.add(
        "role-reads-all-data",
        Severity::Refuse,
        format!("role {name}"),
        if cx.authenticator == Some(role) {
            format!("the login of requests has the rights of {READ_ALL}")
        } else {
            format!("requests may run as {name}, which has the rights of {READ_ALL}")
        },
        READS_ALL,
        Some(through.join("\n")),
    );
}

fn owned_tables(cx: &Context<'_>, role: Oid, findings: &mut Findings) {
    let rights = cx.catalog.rights(role);
    let Some(facts) = cx.catalog.roles.get(&role) else { return };
    if facts.superuser || facts.bypass_rls {
        return;
    }
    for table in cx.tables() {
        let Some(facts_of_table) = cx.catalog.relations.get(&table.oid) else { continue };
        if table.rls_enabled && rights.bypass(facts_of_table) {
            let object = relation(facts_of_table);
            let name = ident(&facts.name);
            let how = if table.owner == role {
                format!("{name} owns it")
            } else {
                format!("{name} has the rights of its owner {}", cx.catalog.role_name(table.owner))
            };
            findings.add(
                "role-owns-table",
                Severity::Refuse,
                format!("table {object}"),
                format!("row-level security does not bind {name} here: {how}"),
                OWNS,
                Some(format!("ALTER TABLE {object} FORCE ROW LEVEL SECURITY;")),
            );
        }
    }
}

fn inherits(cx: &Context<'_>, login: &Role, findings: &mut Findings) {
    if login.superuser {
        return;
    }
    let inherited: Vec<&str> = cx
        .catalog
        .roles
        .get(&login.oid)
        .into_iter()
        .flat_map(|role| &role.member_of)
        .filter(|membership| membership.inherit)
        .filter_map(|membership| cx.catalog.roles.get(&membership.role))
        // Those are not to be granted at all, and other findings say so.
        .filter(|role| !role.superuser && !role.bypass_rls)
        .map(|role| role.name.as_ref())
        .collect();
    if inherited.is_empty() {
        return;
    }
    let name = ident(&login.name);
    let fix = if cx.catalog.server_version >= 160_000 {
        inherited
            .iter()
            .map(|role| format!("GRANT {} TO {name} WITH INHERIT FALSE, SET TRUE;", ident(role)))
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        format!("ALTER ROLE {name} NOINHERIT;")
    };
    findings.add(
        "login-inherits",
        Severity::Refuse,
        format!("role {name}"),
        format!("the login of requests has the rights of {} at once", roles(inherited)),
        INHERITS,
        Some(fix),
    );
}

/// Grants to the login itself; those through PUBLIC are every role's.
fn own_rights(cx: &Context<'_>, login: &Role, findings: &mut Findings) {
    for table in cx.tables() {
        let granted = table
            .acl
            .iter()
            .chain(table.columns.iter().flat_map(|column| &column.acl))
            .any(|item| item.grantee == login.oid);
        if granted && table.owner != login.oid {
            let object = super::text::table(table);
            let name = ident(&login.name);
            findings.add(
                "login-has-rights",
                Severity::Warn,
                format!("table {object}"),
                format!("the login of requests, {name}, has rights of its own here"),
                INHERITS,
                Some(format!("REVOKE ALL ON TABLE {object} FROM {name};")),
            );
        }
    }
}

/// The grantees that give a request role one of `privileges` on a table.
pub(super) fn granted_through(
    cx: &Context<'_>,
    acl: &[crate::catalog::model::AclItem],
    owner: Oid,
    privileges: &[Privilege],
) -> Vec<Oid> {
    let mut grantees: Vec<Oid> = acl
        .iter()
        .filter(|item| privileges.contains(&item.privilege) && item.grantee != owner)
        .map(|item| item.grantee)
        .filter(|grantee| {
            (*grantee == PUBLIC && !cx.requests.is_empty())
                || cx.rights.values().any(|rights| {
                    !cx.catalog.roles.get(&rights.role()).is_some_and(|role| role.superuser)
                        && rights.hold(*grantee)
                })
        })
        .collect();
    grantees.sort_unstable();
    grantees.dedup();
    grantees
}
