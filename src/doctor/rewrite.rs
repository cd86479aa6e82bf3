//! A policy expression in the form that is safe and fast.
//!
//! `tenant_id = current_setting('app.tenant_id')::uuid` becomes
//! `tenant_id = (select nullif(current_setting('app.tenant_id'), '')::uuid)`:
//! an empty setting is null instead of an error, and the value is computed
//! once instead of for each row. `x IN (select …)` that does not depend on the
//! row becomes `x = any (array(select …))`, which can use an index.

use std::ops::Range;

use crate::catalog::model::{Catalog, Volatility};
use crate::catalog::reads::{Call, Context, Guard, Read, Reads, reads};
use crate::catalog::tokens::{Token, TokenKind, tokens};

/// What could be better in an expression.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Faults {
    /// Settings, and helpers that read them, that are computed for each row.
    pub(super) unwrapped: Vec<String>,
    /// Settings with the type that an empty value cannot be cast to.
    pub(super) unguarded: Vec<(String, String)>,
    /// `EXISTS` and `IN (select …)`.
    pub(super) memberships: Vec<&'static str>,
}

pub(super) fn faults(catalog: &Catalog, expression: &str) -> Faults {
    let found = reads(expression, Context::default());
    let mut faults = Faults::default();
    for read in &found.settings {
        let Some(setting) = &read.setting else { continue };
        if !read.wrapped {
            faults.unwrapped.push(setting.clone());
        }
        if let Guard::Cast(ty) = &read.guard {
            faults.unguarded.push((setting.clone(), ty.clone()));
        }
    }
    for call in helpers(catalog, &found, expression) {
        faults.unwrapped.push(format!("{}()", call.name));
    }
    let tokens = tokens(expression);
    for (index, token) in tokens.iter().enumerate() {
        let selects = tokens.get(index + 1).is_some_and(|next| next.kind == TokenKind::Open)
            && tokens.get(index + 2).is_some_and(|next| next.is("select"));
        if selects && token.is("exists") {
            faults.memberships.push("EXISTS (select …)");
        }
        if selects && token.is("in") {
            faults.memberships.push("IN (select …)");
        }
    }
    faults
}

/// The expression without the faults that can be mended by its text alone;
/// `table` is the name of the policy's table.
pub(super) fn improve(catalog: &Catalog, table: &str, expression: &str) -> String {
    let mut text = expression.to_owned();
    // One value can lie inside another, so a pass may leave some for the next.
    for _ in 0..4 {
        let better = values(catalog, &text);
        if better == text {
            break;
        }
        text = better;
    }
    memberships(table, &text)
}

/// Calls of stable functions that read settings, with constant arguments.
fn helpers<'a>(catalog: &Catalog, found: &'a Reads, text: &str) -> Vec<&'a Call> {
    found
        .calls
        .iter()
        .filter(|call| !call.wrapped)
        .filter(|call| {
            let arguments = text
                .get(call.span.clone())
                .and_then(|text| text.split_once('('))
                .and_then(|(_, arguments)| arguments.strip_suffix(')'));
            arguments.is_some_and(is_constant)
        })
        .filter(|call| {
            catalog.functions.values().any(|function| {
                *function.name == *call.name
                    && call.schema.as_deref().is_none_or(|schema| *function.schema == *schema)
                    && function.volatility == Volatility::Stable
                    && !function.returns_set
                    && !function.settings.names.is_empty()
            })
        })
        .collect()
}

/// Whether arguments depend on no row: literals, with their types.
fn is_constant(arguments: &str) -> bool {
    let tokens = tokens(arguments);
    tokens.iter().enumerate().all(|(index, token)| {
        let typed = index
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|before| matches!(before.kind, TokenKind::Cast));
        token.name().is_none() || typed || token.is_any(&["true", "false", "null", "varying"])
    })
}

fn values(catalog: &Catalog, text: &str) -> String {
    let found = reads(text, Context::default());
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for read in &found.settings {
        if let Some(edit) = value(text, read) {
            edits.push(edit);
        }
    }
    for call in helpers(catalog, &found, text) {
        if let Some(old) = text.get(call.span.clone()) {
            edits.push((call.span.clone(), format!("(select {old})")));
        }
    }
    apply(text, edits)
}

fn value(text: &str, read: &Read) -> Option<(Range<usize>, String)> {
    read.setting.as_ref()?;
    let cast = matches!(read.guard, Guard::Cast(_));
    if read.wrapped && !cast {
        return None;
    }
    let before = text.get(read.value.start..read.call.start)?;
    let call = text.get(read.call.clone())?;
    let after = text.get(read.call.end..read.value.end)?;
    let guarded = if cast { format!("nullif({call}, '')") } else { call.to_owned() };
    let value = format!("{before}{guarded}{after}");
    let value = if read.wrapped { value } else { format!("(select {value})") };
    Some((read.value.clone(), value))
}

/// Applies edits from the front, leaving out those that overlap an earlier one.
fn apply(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, new) in edits {
        if range.start < at {
            continue;
        }
        out.push_str(text.get(at..range.start).unwrap_or(""));
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or(""));
    out
}

fn memberships(table: &str, text: &str) -> String {
    let tokens = tokens(text);
    let mut edits = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Some(open) = tokens.get(index + 1).filter(|next| next.kind == TokenKind::Open) else {
            continue;
        };
        if !token.is("in") || !tokens.get(index + 2).is_some_and(|next| next.is("select")) {
            continue;
        }
        // `(a, b) IN (select …)` compares rows.
        let row = index
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|before| before.kind == TokenKind::Close);
        let Some(close) = closing(&tokens, index + 1) else { continue };
        let inside = tokens.get(index + 2..close).unwrap_or(&[]);
        let correlated = inside.windows(2).any(|pair| match pair {
            [name, dot] => dot.kind == TokenKind::Dot && name.name() == Some(table),
            _ => false,
        });
        let Some(end) = tokens.get(close) else { continue };
        if !row && !correlated {
            edits.push((token.span.start..open.span.end, "= any (array(".to_owned()));
            edits.push((end.span.clone(), "))".to_owned()));
        }
    }
    apply(text, edits)
}

/// Puts the expression in parentheses unless it stands in one pair already.
pub(super) fn parenthesised(expression: String) -> String {
    let tokens = tokens(&expression);
    let opens = tokens.first().is_some_and(|first| first.kind == TokenKind::Open);
    if opens && closing(&tokens, 0) == Some(tokens.len() - 1) {
        expression
    } else {
        format!("({expression})")
    }
}

fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_become_wrapped_and_guarded() {
        let catalog = Catalog::default();
        for (from, to) in [
            (
                "(tenant_id = (current_setting('app.tenant_id'::text, true))::uuid)",
                "(tenant_id = (select (nullif(current_setting('app.tenant_id'::text, true), ''))::uuid))",
            ),
            (
                "(current_setting('hasura.user.role'::text, true) = 'admin'::text)",
                "((select current_setting('hasura.user.role'::text, true)) = 'admin'::text)",
            ),
            (
                "(id = ( SELECT (current_setting('a.b'::text, true))::integer AS current_setting))",
                "(id = ( SELECT (nullif(current_setting('a.b'::text, true), ''))::integer AS current_setting))",
            ),
            (
                "(id = ( SELECT (NULLIF(current_setting('a.b'::text, true), ''::text))::integer AS \"nullif\"))",
                "(id = ( SELECT (NULLIF(current_setting('a.b'::text, true), ''::text))::integer AS \"nullif\"))",
            ),
            (
                "(org_id IN ( SELECT m.org_id FROM public.m WHERE (m.u = current_setting('a.b'))))",
                "(org_id = any (array( SELECT m.org_id FROM public.m WHERE (m.u = (select current_setting('a.b'))))))",
            ),
            (
                "(id IN ( SELECT m.id FROM public.m WHERE (m.t = posts.t)))",
                "(id IN ( SELECT m.id FROM public.m WHERE (m.t = posts.t)))",
            ),
            (
                "((a, b) IN ( SELECT m.a, m.b FROM public.m))",
                "((a, b) IN ( SELECT m.a, m.b FROM public.m))",
            ),
        ] {
            assert_eq!(improve(&catalog, "posts", from), to);
        }
    }
}
