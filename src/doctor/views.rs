//! Views, materialised views, foreign tables and functions: doors that lead
//! past row-level security, or could.

use super::text::{function, ident, literal, relation, roles, table as table_name};
use super::{Context, Findings, Severity};
use crate::catalog::exposure::{Exposure, Hidden};
use crate::catalog::model::{Function, Privilege, Table, TableKind};

const OWNER_VIEW: &str = "An owner's view reads with the rights of its owner, so the policies of \
    the tables below do not bind the caller. Such a view is not shown.";
const MATERIALIZED: &str = "A materialised view stores what its owner could read, and row-level \
    security cannot be enabled on it. It is not shown; a role with a grant could still read it.";
const OVER_MATERIALIZED: &str = "The rows of a materialised view are there for whoever may read it, \
    and security_invoker does not change that. A view over it is not shown.";
const OVER_PARTITION: &str = "A partition that is read directly is bound by its own policies only. \
    With row-level security of its own and no policy it can be read through its table alone. The \
    view is not shown.";
const DEFINER_VIEW: &str = "The function reads with the rights of its owner, so the policies of the \
    tables that it reads do not bind the caller of the view. Such a view is not shown.";
const FOREIGN: &str = "Row-level security cannot be enabled on a foreign table: whoever may select \
    from it sees what the foreign server gives the mapped user. Policies there know nothing of the \
    caller.";
const SEARCH_PATH: &str = "The function runs with its owner's rights but finds names by the \
    caller's search path, which can lead it to other objects.";
const DYNAMIC: &str = "It builds SQL at run time and runs it with its owner's rights: a caller who \
    can influence the text can do all that the owner can.";

pub(super) fn check(cx: &Context<'_>, findings: &mut Findings) {
    for table in cx.tables() {
        if let Exposure::No(hidden) = table.exposure(cx.catalog, false) {
            beside_the_fence(cx, table, &hidden, findings);
        }
        if table.kind == TableKind::Foreign {
            foreign(cx, table, findings);
        }
    }
    let mut functions: Vec<&Function> = cx.catalog.functions.values().collect();
    functions.sort_by_key(|function| function.oid);
    for function in functions {
        definer(cx, function, findings);
    }
}

fn beside_the_fence(cx: &Context<'_>, table: &Table, hidden: &Hidden, findings: &mut Findings) {
    let readers = cx.readers_of(table);
    let object = table_name(table);
    let shown = if cx.input.expose_owner_views {
        "; it is shown because schema.expose_owner_views is on"
    } else {
        ""
    };
    match hidden {
        Hidden::Partition => {}
        Hidden::Materialized { .. } if readers.is_empty() => {}
        Hidden::Materialized { .. } => findings.add(
            "materialized-view-over-rls",
            Severity::Warn,
            format!("materialized view {object}"),
            format!("{hidden}; {} may select from it", roles(readers.iter().copied())),
            MATERIALIZED,
            revoke(cx, table, &[Privilege::Select]),
        ),
        Hidden::OwnerView { .. } => findings.add(
            "owner-view-over-rls",
            Severity::Warn,
            format!("view {object}"),
            format!("{hidden}{shown}"),
            OWNER_VIEW,
            // Before Postgres 15 a view always reads as its owner.
            (cx.catalog.server_version >= 150_000)
                .then(|| format!("ALTER VIEW {object} SET (security_invoker = true);")),
        ),
        Hidden::OverMaterialized { .. } if readers.is_empty() => {}
        Hidden::OverMaterialized { .. } => findings.add(
            "view-over-materialized-view",
            Severity::Warn,
            format!("view {object}"),
            format!("{hidden}{shown}; {} may select from it", roles(readers.iter().copied())),
            OVER_MATERIALIZED,
            revoke(cx, table, &[Privilege::Select]),
        ),
        Hidden::OverPartition { below, .. } => findings.add(
            "view-over-partition",
            Severity::Warn,
            format!("view {object}"),
            format!("{hidden}{shown}"),
            OVER_PARTITION,
            cx.catalog
                .relations
                .get(below)
                .map(|part| format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;", relation(part))),
        ),
        Hidden::Definer { function: oid, .. } => findings.add(
            "view-over-definer",
            Severity::Warn,
            format!("view {object}"),
            format!("{hidden}{shown}"),
            DEFINER_VIEW,
            cx.catalog
                .functions
                .get(oid)
                .map(|called| format!("ALTER FUNCTION {} SECURITY INVOKER;", function(called))),
        ),
    }
}

/// Takes rights from all through whom a request role has them.
pub(super) fn revoke(cx: &Context<'_>, table: &Table, privileges: &[Privilege]) -> Option<String> {
    let grantees = super::roles::granted_through(cx, &table.acl, table.owner, privileges);
    if grantees.is_empty() {
        return None;
    }
    let names: Vec<_> = grantees.iter().map(|oid| cx.catalog.role_name(*oid)).collect();
    let words: Vec<&str> = privileges
        .iter()
        .filter(|privilege| {
            table
                .acl
                .iter()
                .any(|item| item.privilege == **privilege && grantees.contains(&item.grantee))
        })
        .map(|privilege| match privilege {
            Privilege::Truncate => "TRUNCATE",
            Privilege::References => "REFERENCES",
            Privilege::Trigger => "TRIGGER",
            _ => "SELECT",
        })
        .collect();
    Some(format!(
        "REVOKE {} ON TABLE {} FROM {};",
        words.join(", "),
        table_name(table),
        roles(names.iter().map(AsRef::as_ref))
    ))
}

fn foreign(cx: &Context<'_>, table: &Table, findings: &mut Findings) {
    let readers = cx.readers_of(table);
    if readers.is_empty() {
        return;
    }
    findings.add(
        "foreign-table",
        Severity::Warn,
        format!("foreign table {}", table_name(table)),
        format!("{} may select from it without a fence", roles(readers)),
        FOREIGN,
        revoke(cx, table, &[Privilege::Select]),
    );
}

/// Functions of triggers cannot be called.
const TRIGGERS: [u32; 2] = [2279, 3838];

fn definer(cx: &Context<'_>, subject: &Function, findings: &mut Findings) {
    if !subject.security_definer
        || subject.extension.is_some()
        || TRIGGERS.contains(&subject.returns)
        || matches!(subject.schema.as_ref(), "ringfence" | "hdb_catalog")
    {
        return;
    }
    let callers = cx.roles_that(|role| cx.catalog.may_execute(role, subject.oid));
    if callers.is_empty() {
        return;
    }
    let name = function(subject);
    if !subject.config.iter().any(|(setting, _)| setting == "search_path") {
        let kind = match subject.kind {
            crate::catalog::model::FunctionKind::Procedure => "PROCEDURE",
            _ => "FUNCTION",
        };
        let schema =
            if *subject.schema == *"public" { "public".to_owned() } else { ident(&subject.schema) };
        findings.add(
            "definer-search-path",
            Severity::Warn,
            format!("function {name}"),
            format!(
                "it is SECURITY DEFINER without a search_path of its own, and {} may call it",
                roles(callers.iter().copied())
            ),
            SEARCH_PATH,
            Some(format!("ALTER {kind} {name} SET search_path = pg_catalog, {schema}, pg_temp;")),
        );
    }
    if subject.dynamic_sql {
        findings.add(
            "definer-dynamic-sql",
            Severity::Warn,
            format!("function {name}"),
            format!("it is SECURITY DEFINER with dynamic SQL, and {} may call it", roles(callers)),
            DYNAMIC,
            Some(format!(
                "REVOKE EXECUTE ON FUNCTION {name} FROM {}; -- and look for {} in its body",
                grantees(cx, subject),
                literal("EXECUTE")
            )),
        );
    }
}

fn grantees(cx: &Context<'_>, subject: &Function) -> String {
    let through =
        super::roles::granted_through(cx, &subject.acl, subject.owner, &[Privilege::Execute]);
    let names: Vec<_> = through.iter().map(|oid| cx.catalog.role_name(*oid)).collect();
    roles(names.iter().map(AsRef::as_ref))
}
