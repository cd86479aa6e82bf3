//! How subscriptions learn of changes, table by table, and what would bring a
//! table to a better way.

use super::tables::tenant_column;
use super::text::{columns, ident};
use super::{Context, Findings, Severity, capability};
use crate::catalog::changes::{Obstacle, PUBLICATION, Tree, trigger_statements};
use crate::catalog::model::TableKind;
use crate::config::LiveManage;

const LOG: &str = "Subscriptions to these tables are read again when the write-ahead log tells of a \
    commit that concerns them.";
const TENANT: &str = "The log does not say which tenant's an updated row was: the first update of a row \
    that was not seen before wakes the subscriptions of all tenants, unless they select the \
    primary key and neither aggregate rows nor skip some.";
const TRIGGERS: &str = "Triggers tell of statements on these tables: subscriptions are read again \
    after each, whichever rows it changed.";
const POLLING: &str = "Subscriptions to these tables are read again every live.poll_interval.";

/// What decides about the ways to learn of changes.
#[derive(Debug, Clone, Copy)]
pub struct LiveInput<'a> {
    /// `live.manage`
    pub manage: LiveManage,
    /// Tables that may be subscribed to.
    pub trees: &'a [Tree],
}

pub(super) fn check(cx: &Context<'_>, live: &LiveInput<'_>, findings: &mut Findings) {
    let hindrances = cx.input.capabilities.map(|known| known.hindrances(cx)).unwrap_or_default();
    let log = hindrances.is_empty();
    let no_log =
        (!log).then(|| format!("the log cannot be followed: {}", capability::told(&hindrances)));
    for tree in live.trees {
        let object = format!("table {}", tree.name);
        let why_not = why_not_log(tree, no_log.as_deref(), live.manage);
        let Some(why_not) = why_not else {
            let message = "the log tells of its changes";
            findings.add("live-log", Severity::Info, object, message, LOG, None);
            identity(cx, tree, findings);
            continue;
        };
        if tree.is_triggered() || live.manage == LiveManage::All && tree.triggerable {
            let message = format!("triggers tell of its changes, and not the log: {why_not}");
            findings.add("live-triggers", Severity::Info, object, message, TRIGGERS, None);
            continue;
        }
        let told = if log && tree.inserts && tree.obstacle == Some(Obstacle::Identity) {
            "new rows are told at once, other changes are found by a poll"
        } else {
            "it is polled"
        };
        let fix = fix(tree, log);
        let message = format!("{told}: {why_not}");
        findings.add("live-polling", Severity::Info, object, message, POLLING, fix);
    }
}

/// Whether the log says which tenant's a changed row was.
fn identity(cx: &Context<'_>, tree: &Tree, findings: &mut Findings) {
    let table = cx.catalog.tables.iter().find(|table| table.oid == tree.oid);
    let Some(table) = table.filter(|table| table.kind == TableKind::Table) else { return };
    let Some(tenant) = tenant_column(cx, table).filter(|column| column.not_null) else { return };
    if tree.identity.iter().any(|name| **name == *tenant.name) {
        return;
    }
    let Some(key) = &table.primary_key else { return };
    let mut all = vec![tenant.id];
    all.extend_from_slice(&key.columns);
    let mut name = table.name.to_string();
    while name.len() > 54 {
        name.pop();
    }
    let index = ident(&format!("{name}_identity"));
    findings.add(
        "live-tenant-not-told",
        Severity::Info,
        format!("table {}", tree.name),
        format!("its replica identity lacks {}", ident(&tenant.name)),
        TENANT,
        Some(format!(
            "CREATE UNIQUE INDEX {index} ON {} ({});\nALTER TABLE {} REPLICA IDENTITY USING INDEX {index};",
            tree.name,
            columns(table, &all),
            tree.name,
        )),
    );
}

fn why_not_log<'a>(tree: &Tree, no_log: Option<&'a str>, manage: LiveManage) -> Option<&'a str> {
    match tree.obstacle {
        Some(Obstacle::Foreign) => return Some("its rows are in another database"),
        Some(Obstacle::NoTable) => return Some("it is not a table"),
        Some(Obstacle::Unlogged) => return Some("its rows are not in the log"),
        Some(Obstacle::Collation) => {
            return Some("a column has a collation that takes different texts for equal");
        }
        Some(Obstacle::Generated) => {
            return Some("a generated column belongs to its replica identity");
        }
        Some(Obstacle::Identity) => return Some("its rows have no replica identity"),
        None => {}
    }
    if no_log.is_some() {
        return no_log;
    }
    match (tree.published, manage) {
        (true, _) => None,
        (false, LiveManage::Off) => Some("it is not published, and live.manage is off"),
        (false, _) if !tree.owned => Some("it is not published, and belongs to another owner"),
        (false, _) => None,
    }
}

fn fix(tree: &Tree, log: bool) -> Option<String> {
    let mut lines = Vec::new();
    match tree.obstacle {
        Some(Obstacle::Identity) => {
            lines.push(format!(
                "ALTER TABLE {} REPLICA IDENTITY FULL; -- or add a primary key",
                tree.name
            ));
        }
        Some(Obstacle::Unlogged) => lines.push(format!("ALTER TABLE {} SET LOGGED;", tree.name)),
        None if log => {
            lines.push(format!("ALTER PUBLICATION {PUBLICATION} ADD TABLE {};", tree.name))
        }
        _ => {}
    }
    if tree.triggerable {
        if !lines.is_empty() {
            lines.push(
                "-- or, as live.manage = all does; writers then wait for each other at COMMIT:"
                    .to_owned(),
            );
        }
        for member in tree.members.iter().filter(|member| !member.triggered) {
            lines.extend(trigger_statements(&member.name).map(|statement| format!("{statement};")));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}
