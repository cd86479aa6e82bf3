//! Columns that policies equate with a setting: rows with another value are
//! hidden, whatever else the policies say.
//!
//! Read from the text as Postgres prints it. What is not plainly of the form
//! `column = setting`, joined to the rest by AND, is none.

use super::model::{PolicyCommand, Relation};
use super::privileges::Rights;
use super::tokens::{Token, TokenKind, tokens};

/// A column and the setting whose value it must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Equated {
    pub column: String,
    pub setting: String,
}

impl Relation {
    /// What a role's reading of the relation is confined to.
    pub fn equated(&self, rights: &Rights) -> Vec<Equated> {
        if !self.rls_enabled || rights.bypass(self) {
            return Vec::new();
        }
        let applicable = self
            .policies
            .iter()
            .filter(|policy| rights.subject_to(policy, PolicyCommand::Select))
            .map(|policy| (policy.permissive, equated(policy.using.as_deref().unwrap_or(""))));
        let (permissive, restrictive): (Vec<_>, Vec<_>) =
            applicable.partition(|(permissive, _)| *permissive);
        let mut out: Vec<Equated> = restrictive.into_iter().flat_map(|(_, found)| found).collect();
        // One permissive policy is enough to see a row, so all must agree.
        if let Some(((_, first), others)) = permissive.split_first() {
            let agreed = |one: &&Equated| others.iter().all(|(_, found)| found.contains(one));
            out.extend(first.iter().filter(agreed).cloned());
        }
        out
    }
}

/// The equalities that an expression implies.
pub fn equated(expression: &str) -> Vec<Equated> {
    let tokens = tokens(expression);
    let mut out = Vec::new();
    conjuncts(&tokens, &mut out);
    out
}

fn conjuncts(mut tokens: &[Token], out: &mut Vec<Equated>) {
    while let Some(inner) = enclosed(tokens) {
        tokens = inner;
    }
    let mut depth = 0usize;
    let mut ands = Vec::new();
    let mut equal = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match &token.kind {
            TokenKind::Open | TokenKind::OpenBracket => depth += 1,
            TokenKind::Close | TokenKind::CloseBracket => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if token.is_any(&["or", "not", "case", "between", "is"]) => return,
            _ if token.is("and") => ands.push(index),
            TokenKind::Operator(sign) if sign == "=" => equal.push(index),
            TokenKind::Operator(_) => return,
            _ => {}
        }
    }
    if !ands.is_empty() {
        let mut from = 0;
        for end in ands.into_iter().chain([tokens.len()]) {
            conjuncts(tokens.get(from..end).unwrap_or_default(), out);
            from = end + 1;
        }
        return;
    }
    let [at] = equal[..] else { return };
    let (left, right) = (tokens.get(..at), tokens.get(at + 1..));
    let (Some(left), Some(right)) = (left, right) else { return };
    for (column, value) in [(left, right), (right, left)] {
        if let (Some(column), Some(setting)) = (column_of(column), setting_of(value)) {
            out.push(Equated { column, setting });
        }
    }
}

/// What one pair of parentheses around everything encloses.
fn enclosed(tokens: &[Token]) -> Option<&[Token]> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            let last = index + 1 == tokens.len() && index > 0;
            return if last { tokens.get(1..index) } else { None };
        }
    }
    None
}

/// A column, perhaps read as text.
fn column_of(mut tokens: &[Token]) -> Option<String> {
    if let [before @ .., cast, ty] = tokens
        && cast.kind == TokenKind::Cast
        && ty.is("text")
    {
        tokens = before;
    }
    while let Some(inner) = enclosed(tokens) {
        tokens = inner;
    }
    match tokens {
        [Token { kind: TokenKind::Ident { name, .. }, .. }] => Some(name.clone()),
        _ => None,
    }
}

/// The setting of which a value is the text, read as another type or null
/// where it is empty.
fn setting_of(tokens: &[Token]) -> Option<String> {
    let mut value = Value { tokens, converted: false };
    let setting = value.value()?;
    value.tokens.is_empty().then_some(setting)
}

/// Reads `value := ( value ) | SELECT value [AS name] | NULLIF(value, '')
/// | current_setting('name'[, true]) | ringfence.tenant_id()`, with casts.
///
/// `auth.uid()` is not among them: a schema of that name may be somebody else's.
struct Value<'a> {
    tokens: &'a [Token],
    /// It went through a type that spells values in one way.
    converted: bool,
}

impl<'a> Value<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn take(&mut self, kind: &TokenKind) -> Option<()> {
        (self.next()?.kind == *kind).then_some(())
    }

    fn is_next(&self, kind: &TokenKind) -> bool {
        self.tokens.first().is_some_and(|token| token.kind == *kind)
    }

    fn value(&mut self) -> Option<String> {
        let token = self.next()?;
        let setting = if token.kind == TokenKind::Open {
            let inner = self.value()?;
            self.take(&TokenKind::Close)?;
            inner
        } else if token.is("select") {
            let inner = self.value()?;
            if self.tokens.first().is_some_and(|token| token.is("as")) {
                self.next()?;
                self.next()?.name()?;
            }
            inner
        } else if token.is("nullif") {
            self.take(&TokenKind::Open)?;
            let inner = self.value()?;
            self.take(&TokenKind::Comma)?;
            self.take(&TokenKind::Text(String::new()))?;
            self.casts()?;
            self.take(&TokenKind::Close)?;
            inner
        } else if token.is("current_setting") {
            self.take(&TokenKind::Open)?;
            let TokenKind::Text(name) = &self.next()?.kind else { return None };
            self.casts()?;
            if self.is_next(&TokenKind::Comma) {
                self.next()?;
                self.next()?.is("true").then_some(())?;
            }
            self.take(&TokenKind::Close)?;
            name.to_ascii_lowercase()
        } else if token.is("ringfence") {
            self.take(&TokenKind::Dot)?;
            let setting = match self.next()?.name()? {
                "tenant_id" => "app.tenant_id",
                "user_id" => "hasura.user.id",
                _ => return None,
            };
            self.take(&TokenKind::Open)?;
            self.take(&TokenKind::Close)?;
            setting.to_owned()
        } else {
            return None;
        };
        self.casts()?;
        Some(setting)
    }

    /// To types whose values are the text, for those that are values at all.
    /// `'007'::int::text` is another text.
    fn casts(&mut self) -> Option<()> {
        while self.is_next(&TokenKind::Cast) {
            self.next()?;
            let ty = self.next()?;
            if ty.is("text") {
                (!self.converted).then_some(())?;
            } else if ty.is_any(&["uuid", "integer", "bigint", "smallint"]) {
                self.converted = true;
            } else {
                return None;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_confines_every_row_is_found() {
        for (text, expected) in [
            (
                "(tenant_id = (current_setting('app.tenant_id'::text, true))::uuid)",
                "tenant_id=app.tenant_id",
            ),
            (
                "(tenant_id = ( SELECT (NULLIF(current_setting('App.Tenant_Id'::text, true), ''::text))::uuid AS \"nullif\"))",
                "tenant_id=app.tenant_id",
            ),
            (
                "(( SELECT (ringfence.tenant_id())::integer AS tenant_id) = org)",
                "org=app.tenant_id",
            ),
            (
                "((owner = (ringfence.user_id())::bigint) AND (NOT hidden) AND ((kind)::text = current_setting('a.b'::text)))",
                "owner=hasura.user.id kind=a.b",
            ),
            ("((a = current_setting('a.b'::text)) OR b)", ""),
            ("(NOT (a = current_setting('a.b'::text)))", ""),
            ("(a = (((current_setting('a.b'::text, true))::uuid)::text))", ""),
            (
                "(a = ( SELECT ((NULLIF(current_setting('a.b'::text), ''::text))::integer)::text))",
                "",
            ),
            ("(a = ((current_setting('a.b'::text))::integer)::bigint)", "a=a.b"),
            ("(a = lower(current_setting('a.b'::text)))", ""),
            ("(a = (current_setting('a.b'::text))::character varying(2))", ""),
            ("(a = NULLIF('x'::text, current_setting('a.b'::text)))", ""),
            ("(a = (current_setting('a.b'::text) || 'x'::text))", ""),
            ("(a <> current_setting('a.b'::text))", ""),
            ("(a = ( SELECT m.x FROM m WHERE (m.y = current_setting('a.b'::text))))", ""),
            ("CASE WHEN x THEN (a = current_setting('a.b'::text)) ELSE true END", ""),
            ("((a = current_setting('a.b'::text)) IS NULL)", ""),
            ("true", ""),
        ] {
            let found: Vec<String> =
                equated(text).iter().map(|e| format!("{}={}", e.column, e.setting)).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }
}
