//! The policies themselves.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::rewrite::{faults, improve, parenthesised};
use super::text::{function, ident, qualified, relation, roles};
use super::{ADMIN_ROLE, Context, Findings, Severity};
use crate::catalog::model::{
    Function, Oid, Policy, PolicyCommand, Relation, TableKind, Volatility,
};
use crate::catalog::privileges::PUBLIC;
use crate::catalog::reads::{Context as ReadsContext, reads};
use crate::catalog::tokens::{TokenKind, tokens};

const IMMUTABLE: &str = "Postgres may compute an IMMUTABLE function once and keep the value in a \
    plan that other sessions use: one tenant then gets the rows of another.";
const SESSION: &str = "A setting that is not local to the transaction stays on the connection, \
    and the next request on it is another caller's, maybe another tenant's. READ ONLY does not \
    prevent it.";
const PUBLIC_POLICY: &str = "A policy without TO binds every role, those that come later included; \
    permissive policies add up, so a role can get more than was meant for it.";
const UNWRAPPED: &str = "Written as (select …) the value is computed once for a statement; bare, \
    it is computed for each row wherever it is no index condition.";
const UNGUARDED: &str = "The setting is empty when the caller has no such claim, and the cast of an \
    empty text raises an error instead of matching no row. With nullif it is null.";
const MEMBERSHIP: &str = "Inside a policy EXISTS and IN do not become joins: the whole sub-query \
    runs for every statement. = any (array(select …)) becomes an index condition.";
const RECURSION: &str = "Reading the table evaluates a policy that reads the table: Postgres \
    refuses such a statement with 42P17, or runs out of stack where functions lie between. A \
    SECURITY DEFINER function whose owner bypasses the policies breaks the circle.";
const REDUNDANT: &str = "Permissive policies are joined by OR, so one that is implied by another \
    changes nothing but costs time; it may be meant as RESTRICTIVE.";
const OPEN: &str = "What it reads cannot be told from its text. All session variables are sent in \
    every transaction, and live queries on the table are not shared.";

pub(super) fn check(cx: &Context<'_>, findings: &mut Findings) {
    let reached = Reached::of(cx);
    immutable(cx, &reached, findings);
    session(cx, &reached, findings);
    recursion(cx, findings);
    for table in cx.tables() {
        let Some(facts) = cx.catalog.relations.get(&table.oid) else { continue };
        let policies: Vec<&Policy> =
            table.policies.iter().filter(|policy| !is_admins(cx, policy)).collect();
        for policy in &policies {
            one(cx, facts, policy, findings);
        }
        redundant(facts, &policies, findings);
    }
}

/// The policy that `migrate` makes where BYPASSRLS cannot be had.
fn is_admins(cx: &Context<'_>, policy: &Policy) -> bool {
    policy.roles.iter().all(|role| &*cx.catalog.role_name(*role) == ADMIN_ROLE)
}

fn named(table: &Relation, policy: &Policy) -> String {
    format!("policy {} on {}", ident(&policy.name), relation(table))
}

fn one(cx: &Context<'_>, table: &Relation, policy: &Policy, findings: &mut Findings) {
    let object = named(table, policy);
    if policy.roles.contains(&PUBLIC) {
        let users =
            cx.catalog.table_by_oid(table.oid).map(|table| cx.users_of(table)).unwrap_or_default();
        findings.add(
            "policy-for-public",
            Severity::Warn,
            &object,
            "it has no TO and so binds every role",
            PUBLIC_POLICY,
            (!users.is_empty()).then(|| {
                format!(
                    "ALTER POLICY {} ON {} TO {};",
                    ident(&policy.name),
                    relation(table),
                    roles(users.iter().copied())
                )
            }),
        );
    }
    let mut unwrapped = BTreeSet::new();
    let mut unguarded = BTreeSet::new();
    let mut memberships = BTreeSet::new();
    for expression in [&policy.using, &policy.check].into_iter().flatten() {
        let found = faults(cx.catalog, expression);
        unwrapped.extend(found.unwrapped);
        unguarded.extend(found.unguarded);
        memberships.extend(found.memberships);
    }
    // One statement mends all, so that they can be run in any order.
    let faulty = !(unwrapped.is_empty() && unguarded.is_empty() && memberships.is_empty());
    let fix = if faulty { better(cx, table, policy) } else { None };
    if !unguarded.is_empty() {
        let casts: Vec<String> =
            unguarded.iter().map(|(setting, ty)| format!("{setting} to {ty}")).collect();
        findings.add(
            "setting-not-guarded",
            Severity::Warn,
            &object,
            format!("it casts {} without nullif", casts.join(" and ")),
            UNGUARDED,
            fix.clone(),
        );
    }
    if !unwrapped.is_empty() {
        findings.add(
            "setting-not-wrapped",
            Severity::Warn,
            &object,
            format!("{} not in (select …)", unwrapped.into_iter().collect::<Vec<_>>().join(", ")),
            UNWRAPPED,
            fix.clone(),
        );
    }
    for membership in memberships {
        findings.add(
            "membership-subquery",
            Severity::Warn,
            &object,
            format!("it tests membership by {membership}"),
            MEMBERSHIP,
            fix.clone(),
        );
    }
    if !policy.settings.closed {
        findings.add(
            "policy-not-closed",
            Severity::Info,
            &object,
            "it reaches dynamic SQL, a setting whose name is computed, or another language",
            OPEN,
            None,
        );
    }
}

fn better(cx: &Context<'_>, table: &Relation, policy: &Policy) -> Option<String> {
    let mut changed = false;
    let mut clause = |word: &str, expression: &Option<String>| -> String {
        let Some(old) = expression else { return String::new() };
        let new = improve(cx.catalog, &table.name, old);
        changed |= new != *old;
        format!("\n  {word} {}", parenthesised(new))
    };
    let using = clause("USING", &policy.using);
    let check = clause("WITH CHECK", &policy.check);
    changed.then(|| {
        format!("ALTER POLICY {} ON {}{using}{check};", ident(&policy.name), relation(table))
    })
}

/// IMMUTABLE functions that read settings; behind a policy they refuse.
fn immutable(cx: &Context<'_>, reached: &Reached, findings: &mut Findings) {
    let wrong: Vec<&Function> = cx
        .catalog
        .functions
        .values()
        .filter(|function| function.volatility == Volatility::Immutable)
        .filter(|function| !function.settings.names.is_empty() || function.settings.computed)
        .collect();
    for wrong in wrong {
        let name = function(wrong);
        let what = if wrong.settings.names.is_empty() {
            "it is IMMUTABLE but may read a setting: it computes a setting's name, or SQL"
        } else {
            "it is IMMUTABLE but reads a setting"
        };
        let (severity, message) = match reached.queries.get(&wrong.oid) {
            Some(object) => (Severity::Refuse, format!("{what}, behind {object}")),
            None => (Severity::Warn, what.to_owned()),
        };
        findings.add(
            "immutable-reads-setting",
            severity,
            format!("function {name}"),
            message,
            IMMUTABLE,
            Some(format!("ALTER FUNCTION {name} STABLE;")),
        );
    }
}

/// Settings that outlast their transaction.
fn session(cx: &Context<'_>, reached: &Reached, findings: &mut Findings) {
    let mut add = |severity, object: String, message: String| {
        let fix = format!("-- in {object}: write set_config(name, value, true), or SET LOCAL");
        findings.add("session-setting", severity, object, message, SESSION, Some(fix));
    };
    let what = "it sets a setting for the session, not for the transaction";
    for facts in cx.catalog.relations.values() {
        for policy in &facts.policies {
            let sets = [&policy.using, &policy.check]
                .into_iter()
                .flatten()
                .any(|expression| reads(expression, ReadsContext::default()).sets_session);
            if sets {
                add(Severity::Refuse, named(facts, policy), what.to_owned());
            }
        }
    }
    for attached in cx.catalog.attached.iter().filter(|attached| attached.sets_session) {
        add(Severity::Refuse, attached.object.clone(), what.to_owned());
    }
    for subject in cx.catalog.functions.values().filter(|function| function.sets_session) {
        let object = format!("function {}", function(subject));
        let behind = reached.queries.get(&subject.oid).or_else(|| reached.writes.get(&subject.oid));
        if let Some(behind) = behind {
            add(Severity::Refuse, object, format!("{what}, behind {behind}"));
            continue;
        }
        let callers = cx.roles_that(|role| cx.catalog.may_execute(role, subject.oid));
        if subject.extension.is_none() && !callers.is_empty() {
            add(Severity::Warn, object, format!("{what}, and {} may call it", roles(callers)));
        }
    }
}

/// Functions that run as part of statements, each with one object that leads
/// to it.
struct Reached {
    /// By policies and views.
    queries: HashMap<Oid, String>,
    /// By triggers, rules, defaults and checks.
    writes: HashMap<Oid, String>,
}

impl Reached {
    fn of(cx: &Context<'_>) -> Self {
        let mut reached = Reached { queries: HashMap::new(), writes: HashMap::new() };
        for facts in cx.catalog.relations.values() {
            for policy in &facts.policies {
                follow(cx, &mut reached.queries, &named(facts, policy), &policy.calls);
            }
        }
        for attached in &cx.catalog.attached {
            let by = if attached.view { &mut reached.queries } else { &mut reached.writes };
            follow(cx, by, &attached.object, &attached.calls);
        }
        reached
    }
}

fn follow(cx: &Context<'_>, reached: &mut HashMap<Oid, String>, object: &str, calls: &[Oid]) {
    let mut open = calls.to_vec();
    while let Some(oid) = open.pop() {
        if reached.contains_key(&oid) {
            continue;
        }
        reached.insert(oid, object.to_owned());
        let Some(function) = cx.catalog.functions.get(&oid) else { continue };
        open.extend(&function.calls);
        open.extend(&function.mentions);
    }
}

/// Circles among the tables that policies read.
fn recursion(cx: &Context<'_>, findings: &mut Findings) {
    let mut reported: HashSet<BTreeSet<Oid>> = HashSet::new();
    for table in cx.tables() {
        if !table.rls_enabled {
            continue;
        }
        let mut path = Vec::new();
        if let Some(circle) = circle(cx, table.oid, &mut path, &mut HashSet::new())
            && reported.insert(circle.iter().copied().collect())
        {
            let name = |oid: &Oid| cx.catalog.relations.get(oid).map_or_else(String::new, relation);
            let mut names: Vec<String> = circle.iter().map(name).collect();
            names.extend(names.first().cloned());
            findings.add(
                "policy-recursion",
                Severity::Warn,
                format!("table {}", super::text::table(table)),
                format!("its policies read in a circle: {}", names.join(" → ")),
                RECURSION,
                None,
            );
        }
    }
}

/// The circle that reading `table` as a request runs into.
fn circle(
    cx: &Context<'_>,
    table: Oid,
    path: &mut Vec<Oid>,
    done: &mut HashSet<Oid>,
) -> Option<Vec<Oid>> {
    if let Some(start) = path.iter().position(|known| *known == table) {
        return path.get(start..).map(<[Oid]>::to_vec);
    }
    if !done.insert(table) {
        return None;
    }
    let facts = cx.catalog.relations.get(&table)?;
    path.push(table);
    let found = fenced_reads(cx, facts).into_iter().find_map(|below| circle(cx, below, path, done));
    path.pop();
    found
}

/// Tables whose policies are evaluated when the SELECT policies of `table`
/// are: those of its sub-queries, views below them, and functions that run as
/// the caller or as somebody whom the policies bind.
fn fenced_reads(cx: &Context<'_>, table: &Relation) -> Vec<Oid> {
    let selecting = table
        .policies
        .iter()
        .filter(|policy| matches!(policy.command, PolicyCommand::All | PolicyCommand::Select))
        .filter(|policy| !is_admins(cx, policy));
    let mut walk = Walk { cx, seen: HashSet::new(), called: HashSet::new(), fenced: Vec::new() };
    for policy in selecting {
        for oid in &policy.reads {
            walk.relation(*oid, None, None);
        }
        for oid in &policy.calls {
            walk.function(*oid, None);
        }
    }
    walk.fenced
}

struct Walk<'a> {
    cx: &'a Context<'a>,
    seen: HashSet<(Oid, Option<Oid>)>,
    called: HashSet<(Oid, Option<Oid>)>,
    fenced: Vec<Oid>,
}

impl Walk<'_> {
    /// `checked_as` and `user`: `None` is the role of the request.
    fn relation(&mut self, oid: Oid, checked_as: Option<Oid>, user: Option<Oid>) {
        let Some(facts) = self.cx.catalog.relations.get(&oid) else { return };
        if !self.seen.insert((oid, checked_as)) {
            return;
        }
        let bypassed = checked_as.is_some_and(|role| self.cx.catalog.rights(role).bypass(facts));
        if facts.rls_enabled && !bypassed {
            self.fenced.push(oid);
        }
        if facts.kind == TableKind::View {
            let below = if facts.security_invoker { user } else { Some(facts.owner) };
            for read in &facts.reads {
                self.relation(*read, below, user);
            }
            for call in &facts.calls {
                self.function(*call, user);
            }
        }
    }

    fn function(&mut self, oid: Oid, user: Option<Oid>) {
        let Some(facts) = self.cx.catalog.functions.get(&oid) else { return };
        let user = if facts.security_definer { Some(facts.owner) } else { user };
        if !self.called.insert((oid, user)) {
            return;
        }
        for read in &facts.reads {
            self.relation(*read, user, user);
        }
        for call in facts.calls.iter().chain(&facts.mentions) {
            self.function(*call, user);
        }
    }
}

/// Permissive policies that another one implies.
fn redundant(table: &Relation, policies: &[&Policy], findings: &mut Findings) {
    for narrow in policies {
        let wider = policies.iter().find(|wide| {
            wide.name != narrow.name
                && wide.permissive
                && narrow.permissive
                && (wide.command == narrow.command || wide.command == PolicyCommand::All)
                && (wide.roles.contains(&PUBLIC)
                    || narrow.roles.iter().all(|role| wide.roles.contains(role)))
                && implied(&narrow.using, &wide.using)
                && implied(effective_check(narrow), effective_check(wide))
                // Of two equal policies one stays.
                && (!implied(&wide.using, &narrow.using) || wide.name < narrow.name)
        });
        if let Some(wide) = wider {
            findings.add(
                "policy-redundant",
                Severity::Info,
                named(table, narrow),
                format!("every row that it allows is allowed by {} already", ident(&wide.name)),
                REDUNDANT,
                Some(format!(
                    "DROP POLICY {} ON {};",
                    ident(&narrow.name),
                    qualified(&table.schema, &table.name)
                )),
            );
        }
    }
}

fn effective_check(policy: &Policy) -> &Option<String> {
    if policy.check.is_some() { &policy.check } else { &policy.using }
}

/// Whether `narrow` can only be true where `wide` is: it has all its conditions.
fn implied(narrow: &Option<String>, wide: &Option<String>) -> bool {
    match (narrow, wide) {
        (None, None) => true,
        (Some(narrow), Some(wide)) => {
            let narrow = conditions(narrow);
            conditions(wide)
                .iter()
                .all(|condition| condition == "true" || narrow.contains(condition))
        }
        _ => false,
    }
}

/// The conditions that an expression joins by AND, in a plain form.
fn conditions(expression: &str) -> BTreeSet<String> {
    let tokens = tokens(expression);
    let words: Vec<(&TokenKind, &str)> = tokens
        .iter()
        .map(|token| (&token.kind, expression.get(token.span.clone()).unwrap_or("")))
        .collect();
    let mut out = BTreeSet::new();
    split(&words, &mut out);
    out
}

fn split(mut words: &[(&TokenKind, &str)], out: &mut BTreeSet<String>) {
    while let [(TokenKind::Open, _), inner @ .., (TokenKind::Close, _)] = words {
        if !balanced(inner) {
            break;
        }
        words = inner;
    }
    let mut depth = 0usize;
    let mut cuts = Vec::new();
    let mut or = false;
    for (index, (kind, word)) in words.iter().enumerate() {
        match kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            _ if depth == 0 && word.eq_ignore_ascii_case("and") => cuts.push(index),
            _ if depth == 0 && word.eq_ignore_ascii_case("or") => or = true,
            _ => {}
        }
    }
    if or || cuts.is_empty() {
        let text: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
        out.insert(text.join(" "));
        return;
    }
    let mut start = 0;
    for cut in cuts.into_iter().chain([words.len()]) {
        if let Some(part) = words.get(start..cut) {
            split(part, out);
        }
        start = cut + 1;
    }
}

fn balanced(words: &[(&TokenKind, &str)]) -> bool {
    let mut depth = 0usize;
    for (kind, _) in words {
        match kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close if depth == 0 => return false,
            TokenKind::Close => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_conjunction_is_implied_by_a_shorter() {
        let some = |text: &str| Some(text.to_owned());
        for (narrow, wide, expected) in [
            ("((a = 1) AND (b = 2))", "(a = 1)", true),
            ("(a = 1)", "((a = 1) AND (b = 2))", false),
            ("((a = 1) OR (b = 2))", "(a = 1)", false),
            ("(((a = 1) OR (b = 2)) AND c)", "((a = 1) OR (b = 2))", true),
            ("(a = 1)", "true", true),
            ("((a) AND (b))", "(a)", true),
        ] {
            assert_eq!(implied(&some(narrow), &some(wide)), expected, "{narrow} / {wide}");
        }
    }
}
