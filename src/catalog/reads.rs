//! What one piece of SQL reads: settings, functions and relations, by its
//! tokens.
//!
//! The text is a policy expression, a view, a default or the body of a
//! function. The answer errs towards more: a name that could be a function or
//! a relation counts as one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::tokens::{Token, TokenKind, tokens};

/// What happens to the value of a setting when the setting is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// It is used as text.
    Text,
    /// `nullif(…, '')` makes it null.
    Nullif,
    /// It is cast to this type, which raises 22P02.
    Cast(String),
}

/// One call of `current_setting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Lower case; `None` when the name is no constant.
    pub setting: Option<String>,
    pub guard: Guard,
    /// It stands in a `(select …)` without FROM, which Postgres runs once.
    pub wrapped: bool,
    /// The call alone.
    pub call: Range<usize>,
    /// The call with the casts, parentheses and functions around it that only
    /// depend on it.
    pub value: Range<usize>,
}

/// A name followed by an argument list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub schema: Option<String>,
    pub name: String,
    /// See [`Read::wrapped`].
    pub wrapped: bool,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    pub settings: Vec<Read>,
    pub calls: Vec<Call>,
    /// Names after FROM, JOIN and the like, with their schema if written.
    pub relations: HashSet<(Option<String>, String)>,
    /// The text runs SQL that it builds at run time.
    pub dynamic_sql: bool,
    /// The text reads settings in a way that names none (`pg_settings`, SHOW).
    pub reads_any: bool,
    /// The text sets a setting for longer than its transaction, or may do so.
    pub sets_session: bool,
    /// The result can change while no row does: the text asks the clock, the
    /// state of the server or chance.
    pub restless: bool,
    /// Functions that may be Postgres' own, and the key words that read the
    /// clock.
    pub built_ins: BTreeSet<String>,
    /// Signs of operators, together where they stand together.
    pub operators: BTreeSet<String>,
    /// Names after a dot: columns, or functions of the row before it.
    pub fields: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    pub plpgsql: bool,
    /// The result is converted to a type that an empty text is no value of.
    pub returns_strict: bool,
    /// Names of domains over text types.
    pub text_domains: Option<&'a HashSet<String>>,
}

/// Built-in functions and views that show settings or run SQL given as text.
const OPENERS: [&str; 19] = [
    "pg_settings",
    "pg_show_all_settings",
    "pg_file_settings",
    "query_to_xml",
    "query_to_xmlschema",
    "query_to_xml_and_xmlschema",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "table_to_xml",
    "table_to_xmlschema",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xmlschema",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xmlschema",
    "database_to_xml_and_xmlschema",
    "ts_stat",
    "ts_rewrite",
];

/// Built-in functions, beside those of [`is_restless`]'s prefixes, whose result
/// changes by itself.
const RESTLESS: [&str; 15] = [
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "age",
    "random",
    "random_normal",
    "setseed",
    "gen_random_uuid",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "version",
];

/// The same as key words.
const CLOCKS: [&str; 6] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "tablesample",
];

/// Whether a built-in or extension function of this name may answer otherwise
/// the next time, although no row has changed.
pub fn is_restless(function: &str) -> bool {
    RESTLESS.contains(&function)
        || ["pg_", "inet_", "txid_", "uuid_generate_", "uuidv", "lo_"]
            .iter()
            .any(|prefix| function.starts_with(prefix))
}

/// Whether a text is a moment as Postgres reads it: `now`, `today` and so on.
pub fn is_moment(text: &str) -> bool {
    let word = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    word.is_some_and(|word| {
        ["now", "today", "tomorrow", "yesterday"].iter().any(|m| word.eq_ignore_ascii_case(m))
    })
}

/// Types that take an empty text.
const TEXTUAL: [&str; 18] = [
    "text",
    "varchar",
    "character",
    "char",
    "bpchar",
    "name",
    "citext",
    "bytea",
    "xml",
    "tsvector",
    "tsquery",
    "hstore",
    "ltree",
    "bit",
    "varbit",
    "cstring",
    "unknown",
    "refcursor",
];

/// Functions whose result is empty when the argument is.
const TRANSPARENT: [&str; 8] =
    ["coalesce", "trim", "btrim", "ltrim", "rtrim", "lower", "upper", "initcap"];

/// Key words that may stand before a parenthesis without being a call.
const NO_CALL: [&str; 36] = [
    "and",
    "or",
    "not",
    "in",
    "as",
    "on",
    "using",
    "values",
    "exists",
    "any",
    "all",
    "some",
    "select",
    "from",
    "where",
    "when",
    "then",
    "else",
    "case",
    "over",
    "filter",
    "within",
    "group",
    "by",
    "having",
    "limit",
    "offset",
    "union",
    "except",
    "intersect",
    "returning",
    "set",
    "between",
    "like",
    "is",
    "with",
];

impl Reads {
    /// Adds what another text reads; spans keep pointing into that text.
    pub(super) fn merge(&mut self, other: Reads) {
        self.settings.extend(other.settings);
        self.calls.extend(other.calls);
        self.relations.extend(other.relations);
        self.dynamic_sql |= other.dynamic_sql;
        self.reads_any |= other.reads_any;
        self.sets_session |= other.sets_session;
        self.restless |= other.restless;
        self.built_ins.extend(other.built_ins);
        self.operators.extend(other.operators);
        self.fields.extend(other.fields);
    }
}

pub fn reads(sql: &str, context: Context<'_>) -> Reads {
    let tokens = tokens(sql);
    let mut analysis = Analysis::new(&tokens, context);
    analysis.run();
    analysis.out
}

struct Analysis<'a> {
    tokens: &'a [Token],
    context: Context<'a>,
    /// Opening ↔ closing parenthesis.
    partner: HashMap<usize, usize>,
    /// The opening parenthesis around each token.
    parent: Vec<Option<usize>>,
    /// Tokens between CASE and END.
    in_case: Vec<bool>,
    /// Declared PL/pgSQL variables by name: whether the type is strict.
    variables: HashMap<String, bool>,
    /// The body tests values before it uses them, so casts may be safe.
    tested: bool,
    out: Reads,
}

impl<'a> Analysis<'a> {
    fn new(tokens: &'a [Token], context: Context<'a>) -> Self {
        let mut partner = HashMap::new();
        let mut parent = Vec::with_capacity(tokens.len());
        let mut in_case = Vec::with_capacity(tokens.len());
        let mut open = Vec::new();
        let mut cases = 0usize;
        for (index, token) in tokens.iter().enumerate() {
            if token.kind == TokenKind::Close
                && let Some(opening) = open.pop()
            {
                partner.insert(opening, index);
                partner.insert(index, opening);
            }
            parent.push(open.last().copied());
            if token.kind == TokenKind::Open {
                open.push(index);
            }
            if token.is("case") {
                cases += 1;
            }
            in_case.push(cases > 0);
            if token.is("end") {
                cases = cases.saturating_sub(1);
            }
        }
        let tested =
            context.plpgsql && tokens.iter().any(|token| token.is_any(&["if", "exception"]));
        let mut analysis = Analysis {
            tokens,
            context,
            partner,
            parent,
            in_case,
            variables: HashMap::new(),
            tested,
            out: Reads::default(),
        };
        if context.plpgsql {
            analysis.declarations();
        }
        analysis
    }

    fn at(&self, index: usize) -> Option<&'a Token> {
        self.tokens.get(index)
    }

    fn before(&self, index: usize) -> Option<&'a Token> {
        self.at(index.checked_sub(1)?)
    }

    fn kind(&self, index: usize) -> Option<&'a TokenKind> {
        self.at(index).map(|token| &token.kind)
    }

    fn run(&mut self) {
        self.relations();
        // The log tells nothing of the system's own tables.
        self.out.restless |= self.out.relations.iter().any(|(schema, name)| {
            name.starts_with("pg_") || schema.as_deref() == Some("information_schema")
        });
        for index in 0..self.tokens.len() {
            let Some(token) = self.at(index) else { break };
            if let TokenKind::Text(text) = &token.kind {
                self.out.restless |= is_moment(text);
                if is_moment(text) {
                    self.out.built_ins.insert("now".to_owned());
                }
            }
            if let TokenKind::Operator(signs) = &token.kind {
                self.out.operators.insert(signs.clone());
            }
            let Some(name) = token.name() else { continue };
            if self.before(index).is_some_and(|before| before.kind == TokenKind::Dot)
                && self.kind(index + 1) != Some(&TokenKind::Open)
            {
                self.out.fields.insert(name.to_owned());
            }
            self.out.restless |= token.is_any(&CLOCKS)
                || (self.kind(index + 1) == Some(&TokenKind::Open) && is_restless(name));
            if OPENERS.contains(&name)
                || (token.is("show")
                    && (index == 0 || self.kind(index - 1) == Some(&TokenKind::Semicolon)))
            {
                self.out.reads_any = true;
            }
            if (token.is("set") && self.sets_session(index))
                || (name == "pg_settings" && self.is_updated(index))
            {
                self.out.sets_session = true;
            }
            if token.is("execute") || token.is("do") {
                self.execute(index);
            }
            if token.is_any(&CLOCKS) {
                self.out.built_ins.insert(name.to_owned());
            }
            let qualified = self.before(index).is_some_and(|before| before.kind == TokenKind::Dot);
            if self.kind(index + 1) == Some(&TokenKind::Open)
                && (qualified || !token.is_any(&NO_CALL))
            {
                self.call(index, name);
            }
        }
    }

    /// `EXECUTE 'constant'` is as good as the text; anything else is unknown.
    fn execute(&mut self, index: usize) {
        let grants = self.at(index + 1).is_some_and(|t| t.is_any(&["function", "procedure", "on"]))
            || self.before(index).is_some_and(|t| t.is_any(&["grant", "revoke"]));
        let next = self.kind(index + 1);
        if self.at(index).is_some_and(|token| token.is("do")) {
            // `ON CONFLICT DO NOTHING` is no anonymous block.
            if next.is_some() && self.at(index + 1).is_some_and(|token| token.is("language")) {
                self.out.dynamic_sql = true;
            }
            let Some(TokenKind::Text(body)) = next else { return };
            return self.nested(body, true);
        }
        if grants {
            return;
        }
        match next {
            Some(TokenKind::Text(body))
                if self.at(index + 2).is_none_or(|token| {
                    token.kind == TokenKind::Semicolon
                        || token.is_any(&["into", "using", "loop", "strict"])
                }) =>
            {
                self.nested(body, false);
            }
            _ => self.out.dynamic_sql = true,
        }
    }

    /// Whether `SET` at `index` is a statement that outlasts its transaction.
    fn sets_session(&self, index: usize) -> bool {
        let begins = self.before(index).is_none_or(|token| {
            token.kind == TokenKind::Semicolon
                || token.is_any(&["begin", "atomic", "then", "else", "loop"])
                // A label of PL/pgSQL.
                || matches!(&token.kind, TokenKind::Operator(sign) if sign.ends_with(">>"))
        });
        begins
            && self.at(index + 1).is_some_and(|token| {
                token.name().is_some()
                    && !token.is_any(&[
                        "local",
                        "transaction",
                        "constraints",
                        "when",
                        "else",
                        "end",
                    ])
            })
    }

    /// `UPDATE pg_settings` is `set_config` for the session.
    fn is_updated(&self, index: usize) -> bool {
        let qualified = index >= 2 && self.before(index).is_some_and(|t| t.kind == TokenKind::Dot);
        let first = if qualified { index - 2 } else { index };
        self.before(first).is_some_and(|token| token.is_any(&["update", "only"]))
    }

    /// Whether the arguments between `open` and `close` are three and the last
    /// is plainly `true`.
    fn is_local(&self, open: usize, close: usize) -> bool {
        let commas: Vec<usize> = (open + 1..close)
            .filter(|at| {
                self.kind(*at) == Some(&TokenKind::Comma)
                    && self.parent.get(*at).copied().flatten() == Some(open)
            })
            .collect();
        let [_, last] = commas.as_slice() else { return false };
        last + 2 == close && self.at(last + 1).is_some_and(|token| token.is("true"))
    }

    fn nested(&mut self, body: &str, plpgsql: bool) {
        let inner = reads(body, Context { plpgsql, returns_strict: false, ..self.context });
        self.out.merge(inner);
    }

    fn call(&mut self, index: usize, name: &str) {
        let mut first = index;
        let mut schema = None;
        if index >= 2
            && self.kind(index - 1) == Some(&TokenKind::Dot)
            && let Some(qualifier) = self.at(index - 2).and_then(Token::name)
        {
            schema = Some(qualifier.to_owned());
            first = index - 2;
        }
        let Some(last) = self.partner.get(&(index + 1)).copied() else { return };
        let built_in = schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
        if built_in && name == "set_config" && !self.is_local(index + 1, last) {
            self.out.sets_session = true;
        }
        if built_in {
            self.out.built_ins.insert(name.to_owned());
        }
        if built_in && name == "current_setting" {
            let read = self.read(first, index + 1, last);
            self.out.settings.push(read);
        } else if schema.as_deref() != Some("pg_catalog") {
            let span = self.span(first, last);
            let wrapped = self.wrapped(first);
            self.out.calls.push(Call { schema, name: name.to_owned(), wrapped, span });
        }
    }

    fn span(&self, first: usize, last: usize) -> Range<usize> {
        let start = self.at(first).map_or(0, |token| token.span.start);
        start..self.at(last).map_or(start, |token| token.span.end)
    }

    /// Inside `(select …)` that reads no relation.
    fn wrapped(&self, index: usize) -> bool {
        let mut around = self.parent.get(index).copied().flatten();
        while let Some(open) = around {
            if self.at(open + 1).is_some_and(|token| token.is("select")) {
                let close = self.partner.get(&open).copied().unwrap_or(self.tokens.len());
                let from = (open..close).any(|inner| {
                    self.at(inner).is_some_and(|token| token.is("from"))
                        && self.parent.get(inner).copied().flatten() == Some(open)
                });
                if !from {
                    return true;
                }
            }
            around = self.parent.get(open).copied().flatten();
        }
        false
    }

    fn read(&self, first: usize, open: usize, close: usize) -> Read {
        let setting = match self.kind(open + 1) {
            Some(TokenKind::Text(name)) => {
                let mut next = open + 2;
                if self.kind(next) == Some(&TokenKind::Cast) {
                    next += 2;
                }
                matches!(self.kind(next), Some(TokenKind::Comma | TokenKind::Close))
                    .then(|| name.to_lowercase())
            }
            _ => None,
        };
        let (guard, value) = self.outward(first, close);
        Read { setting, guard, wrapped: self.wrapped(first), call: self.span(first, close), value }
    }

    /// Walks from the call outwards through all that hands its value on.
    fn outward(&self, first: usize, last: usize) -> (Guard, Range<usize>) {
        let (mut left, mut right) = (first, last);
        let mut guard = Guard::Text;
        loop {
            let previous = left.checked_sub(1);
            let before = previous.and_then(|p| self.at(p));
            let next = self.at(right + 1);
            if next.is_some_and(|token| token.kind == TokenKind::Cast) {
                let (end, name, strict) = self.type_name(right + 2);
                if strict && guard == Guard::Text {
                    guard = Guard::Cast(name);
                }
                right = end;
                continue;
            }
            let Some((previous, before)) = previous.zip(before) else { break };
            let opens = before.kind == TokenKind::Open;
            let closes = next.is_some_and(|token| token.kind == TokenKind::Close);
            let comma_after = next.is_some_and(|token| token.kind == TokenKind::Comma);
            if opens && (closes || comma_after) {
                let Some(close) = self.partner.get(&previous).copied() else { break };
                let function = self
                    .before(previous)
                    .filter(|token| token.name().is_some() && !token.is_any(&NO_CALL));
                match function.and_then(Token::name) {
                    None if comma_after => break,
                    None if self.before(previous).is_some_and(|t| {
                        t.is_any(&["in", "any", "all", "some", "values", "exists"])
                    }) =>
                    {
                        break;
                    }
                    None => {
                        left = previous;
                        right = close;
                    }
                    Some("nullif")
                        if self.kind(right + 2) == Some(&TokenKind::Text(String::new())) =>
                    {
                        if guard == Guard::Text {
                            guard = Guard::Nullif;
                        }
                        left = previous - 1;
                        right = close;
                    }
                    Some(name) if TRANSPARENT.contains(&name) => {
                        left = previous - 1;
                        right = close;
                    }
                    Some(_) => break,
                }
                continue;
            }
            let around = previous.checked_sub(1);
            if before.is("select")
                && let Some(open) = around.filter(|p| self.kind(*p) == Some(&TokenKind::Open))
                && let Some(close) = self.partner.get(&open).copied()
                && (close == right + 1
                    || (close == right + 2
                        && self.at(right + 1).is_some_and(|t| t.name().is_some()))
                    || (close == right + 3 && self.at(right + 1).is_some_and(|t| t.is("as"))))
            {
                left = open;
                right = close;
                continue;
            }
            if opens
                && next.is_some_and(|token| token.is("as"))
                && let Some(cast) = around.filter(|p| self.at(*p).is_some_and(|t| t.is("cast")))
                && let Some(close) = self.partner.get(&previous).copied()
            {
                let (_, name, strict) = self.type_name(right + 2);
                if strict && guard == Guard::Text {
                    guard = Guard::Cast(name);
                }
                left = cast;
                right = close;
                continue;
            }
            if guard == Guard::Text
                && self.context.plpgsql
                && next.is_some_and(|token| token.kind == TokenKind::Semicolon)
                && let Some(target) = self.assigned_type(previous)
            {
                guard = Guard::Cast(target);
            }
            break;
        }
        let doubtful = self.tested || self.in_case.get(first).copied().unwrap_or(false);
        if doubtful && matches!(guard, Guard::Cast(_)) {
            guard = Guard::Text;
        }
        (guard, self.span(left, right))
    }

    /// The type at `start`: its last token, its name, and whether an empty
    /// text is no value of it.
    fn type_name(&self, start: usize) -> (usize, String, bool) {
        let mut end = start;
        let mut name = self.at(start).and_then(Token::name).unwrap_or("").to_owned();
        while self.kind(end + 1) == Some(&TokenKind::Dot) {
            end += 2;
            name = self.at(end).and_then(Token::name).unwrap_or("").to_owned();
        }
        let mut strict = !TEXTUAL.contains(&name.as_str())
            && !self.context.text_domains.is_some_and(|domains| domains.contains(&name));
        while self.at(end + 1).is_some_and(|t| {
            t.is_any(&["varying", "precision"])
                || (t.is_any(&["with", "without"])
                    && self.at(end + 2).is_some_and(|t| t.is("time")))
        }) {
            let zone = self.at(end + 1).is_some_and(|t| t.is_any(&["with", "without"]));
            end += if zone { 3 } else { 1 };
        }
        if self.kind(end + 1) == Some(&TokenKind::Open)
            && matches!(self.kind(end + 2), Some(TokenKind::Number))
            && let Some(close) = self.partner.get(&(end + 1))
        {
            end = *close;
            if self.at(end + 1).is_some_and(|t| t.is_any(&["with", "without"])) {
                end += 3;
            }
        }
        while self.kind(end + 1) == Some(&TokenKind::OpenBracket) {
            strict = true;
            name.push_str("[]");
            end += 1;
            while end + 1 < self.tokens.len() && self.kind(end) != Some(&TokenKind::CloseBracket) {
                end += 1;
            }
        }
        (end.min(self.tokens.len().saturating_sub(1)), name, strict)
    }

    /// `name [constant] type` of the DECLARE sections.
    fn declarations(&mut self) {
        let mut declaring = false;
        for index in 0..self.tokens.len() {
            let Some(token) = self.at(index) else { break };
            if token.is("declare") {
                declaring = true;
            } else if token.is("begin") {
                declaring = false;
            }
            let starts = token.is("declare") || token.kind == TokenKind::Semicolon;
            if !declaring || !starts {
                continue;
            }
            let Some(name) = self.at(index + 1).and_then(Token::name) else { continue };
            let constant = self.at(index + 2).is_some_and(|token| token.is("constant"));
            let type_at = if constant { index + 3 } else { index + 2 };
            if self.at(type_at).and_then(Token::name).is_some() {
                let (_, _, strict) = self.type_name(type_at);
                self.variables.insert(name.to_owned(), strict);
            }
        }
    }

    /// The strict type that the value after token `index` is converted to.
    fn assigned_type(&self, index: usize) -> Option<String> {
        let token = self.at(index)?;
        if token.is("return") {
            return self.context.returns_strict.then(|| "the function's result".to_owned());
        }
        let assigns = token.kind == TokenKind::Assign
            || token.is("default")
            || token.kind == TokenKind::Operator("=".to_owned());
        if !assigns {
            return None;
        }
        let start = (0..index).rev().find(|at| {
            self.at(*at).is_some_and(|t| {
                t.kind == TokenKind::Semicolon
                    || t.is_any(&["declare", "begin", "then", "else", "loop"])
            })
        });
        let name = self.at(start.map_or(0, |at| at + 1))?.name()?;
        self.variables.get(name).copied().unwrap_or(false).then(|| format!("variable {name}"))
    }

    /// Names in FROM lists and the targets of statements.
    fn relations(&mut self) {
        let mut listing = false;
        let mut outer = Vec::new();
        let mut index = 0;
        while let Some(token) = self.at(index) {
            match &token.kind {
                TokenKind::Open => outer.push(listing),
                TokenKind::Close => listing = outer.pop().unwrap_or(false),
                TokenKind::Semicolon => listing = false,
                _ if token
                    .is_any(&["from", "join", "into", "update", "only", "table", "using"]) =>
                {
                    listing = true;
                }
                _ if token.is_any(&[
                    "where",
                    "set",
                    "group",
                    "order",
                    "having",
                    "limit",
                    "offset",
                    "fetch",
                    "for",
                    "union",
                    "intersect",
                    "except",
                    "returning",
                    "values",
                    "select",
                    "loop",
                    "then",
                ]) =>
                {
                    listing = false;
                }
                TokenKind::Ident { name, .. } if listing => {
                    let qualified = (self.kind(index + 1) == Some(&TokenKind::Dot))
                        .then(|| self.at(index + 2).and_then(Token::name))
                        .flatten();
                    match qualified {
                        Some(relation) => {
                            self.out.relations.insert((Some(name.clone()), relation.to_owned()));
                            index += 2;
                        }
                        None => {
                            self.out.relations.insert((None, name.clone()));
                        }
                    }
                }
                _ => {}
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name:guard[:wrapped]` of each read, `?` for a name that is no constant.
    fn show(found: &Reads) -> String {
        let mut parts: Vec<String> = found
            .settings
            .iter()
            .map(|read| {
                let name = read.setting.as_deref().unwrap_or("?");
                let guard = match &read.guard {
                    Guard::Text => "text",
                    Guard::Nullif => "nullif",
                    Guard::Cast(ty) => ty,
                };
                format!("{name}:{guard}{}", if read.wrapped { ":wrapped" } else { "" })
            })
            .collect();
        if found.dynamic_sql {
            parts.push("dynamic".to_owned());
        }
        if found.reads_any {
            parts.push("any".to_owned());
        }
        if found.sets_session {
            parts.push("session".to_owned());
        }
        parts.join(" ")
    }

    #[test]
    fn expressions() {
        for (sql, expected) in [
            ("tenant_id = 7", ""),
            (
                "tenant_id = (current_setting('app.tenant_id'::text, true))::uuid",
                "app.tenant_id:uuid",
            ),
            ("x = current_setting('App.Tenant')::int", "app.tenant:int"),
            ("x = pg_catalog.current_setting('a.b')", "a.b:text"),
            ("x = other.current_setting('a.b')", ""),
            ("x = current_setting('a.b', true)::character varying(10)", "a.b:text"),
            ("x = current_setting('a.b', true)::timestamp with time zone", "a.b:timestamp"),
            ("x = current_setting('a.b', true)::text::numeric(10, 2)", "a.b:numeric"),
            ("x = any(current_setting('a.b', true)::text[])", "a.b:text[]"),
            ("x = any(string_to_array(current_setting('a.b', true), ',')::int[])", "a.b:text"),
            ("x = (NULLIF(current_setting('a.b'::text, true), ''::text))::uuid", "a.b:nullif"),
            ("x = nullif(current_setting('a.b', true), 'none')::uuid", "a.b:text"),
            ("x = cast(current_setting('a.b', true) as uuid)", "a.b:uuid"),
            ("x = cast(nullif(current_setting('a.b', true), '') as uuid)", "a.b:nullif"),
            ("x = cast(current_setting('a.b', true) as text)", "a.b:text"),
            ("x = coalesce(current_setting('a.b', true), '0')::int", "a.b:int"),
            ("x = coalesce(nullif(current_setting('a.b', true), ''), '0')::int", "a.b:nullif"),
            ("x = f(current_setting('a.b', true))::int", "a.b:text"),
            ("x = (current_setting('a.b', true) || '1')::int", "a.b:text"),
            (
                "(x = ( SELECT (current_setting('a.b'::text, true))::uuid AS current_setting))",
                "a.b:uuid:wrapped",
            ),
            ("x = (select nullif(current_setting('a.b', true), '')::uuid)", "a.b:nullif:wrapped"),
            ("x = (select current_setting('a.b', true))::uuid", "a.b:uuid:wrapped"),
            (
                "x = ((( SELECT NULLIF(current_setting('request.jwt.claims'::text, true), ''::text) AS \"nullif\"))::json ->> 'sub'::text)",
                "request.jwt.claims:nullif:wrapped",
            ),
            ("x = (current_setting('a.b', true)::json ->> 'sub')", "a.b:json"),
            ("x in (current_setting('a.b', true), 'c')", "a.b:text"),
            ("EXISTS (SELECT 1 FROM m WHERE m.u = current_setting('a.b', true)::int)", "a.b:int"),
            (
                "case when current_setting('a.b', true) = '' then null else current_setting('a.b', true)::int end = x",
                "a.b:text a.b:text",
            ),
            ("x = current_setting('a.' || name)", "?:text"),
            ("x = current_setting(name, true)::int", "?:int"),
            ("x = current_setting($$a.b$$)", "a.b:text"),
            ("x = current_setting(E'a.\\x62')", "a.b:text"),
            ("x = \"current_setting\"('a.b')", "a.b:text"),
            ("x = 'current_setting(''a.b'')'", ""),
            ("x = 1 -- current_setting('a.b')", ""),
            ("x = current_setting -- (\n ('a.b')", "a.b:text"),
            ("x in (select setting from pg_settings)", "any"),
            ("x = query_to_xml('select 1', true, true, '')", "any"),
        ] {
            assert_eq!(show(&reads(sql, Context::default())), expected, "{sql}");
        }
    }

    #[test]
    fn bodies() {
        let plpgsql = Context { plpgsql: true, returns_strict: true, ..Context::default() };
        for (sql, expected) in [
            ("begin return current_setting('a.b', true); end", "a.b:the function's result"),
            ("begin return nullif(current_setting('a.b', true), ''); end", "a.b:nullif"),
            ("declare v uuid := current_setting('a.b'); begin end", "a.b:variable v"),
            ("declare v constant text = current_setting('a.b'); begin end", "a.b:text"),
            ("declare v int; begin v := current_setting('a.b'); end", "a.b:variable v"),
            ("begin if x then return current_setting('a.b')::int; end if; end", "a.b:text"),
            ("begin execute 'select current_setting(''a.b'')'; end", "a.b:text"),
            ("begin execute 'select ' || x; end", "dynamic"),
            ("begin return query execute format('%I', x); end", "dynamic"),
            ("begin execute $q$select current_setting('a.b')::int$q$ into v; end", "a.b:int"),
            ("begin grant execute on function f() to r; end", ""),
            ("begin do $x$ begin perform current_setting('a.b'); end $x$; end", "a.b:text"),
        ] {
            assert_eq!(show(&reads(sql, plpgsql)), expected, "{sql}");
        }
    }

    #[test]
    fn settings_that_outlast_the_transaction() {
        let plpgsql = Context { plpgsql: true, ..Context::default() };
        for (sql, expected) in [
            ("select set_config('a.b', x, true)", ""),
            ("select pg_catalog.set_config('a.b', f(x, false), TRUE) is null", ""),
            ("select other.set_config('a.b', x, false)", ""),
            ("select set_config('a.b', x, false)", "session"),
            ("select \"set_config\"('a.b', x, not true)", "session"),
            ("select pg_catalog.set_config('a.b', x, $1)", "session"),
            ("select set_config('a.b', 'true', x or true)", "session"),
            ("set local a.b = 'x'; set transaction read only; set constraints all deferred", ""),
            ("set a.b = 'x'", "session"),
            ("select 1; SET SESSION a.b TO 'x'", "session"),
            ("begin set role to x; end", "session"),
            ("begin if x then set a.b to 'x'; end if; end", "session"),
            ("begin execute 'set a.b to 1'; end", "session"),
            ("begin execute 'set local a.b to 1'; end", ""),
            ("do $x$ begin perform set_config('a.b', 'x', false); end $x$", "session"),
            (
                "update t set a = 1; insert into t values (1) on conflict (a) do update set a = 1",
                "",
            ),
            ("merge into t using u on t.a = u.a when matched then update set a = 1", ""),
            ("update pg_catalog.pg_settings set setting = 'x'", "any session"),
            ("begin -- set a.b to 1;\n perform 'set a.b to 1'; end", ""),
        ] {
            assert_eq!(show(&reads(sql, plpgsql)), expected, "{sql}");
        }
    }

    #[test]
    fn names_after_from_are_relations_and_names_before_parentheses_calls() {
        let found = reads(
            "select f(a), app.g(b) from t, app.\"T2\" x join t3 using (k) where exists (select from t4 where h(1) in (2))",
            Context::default(),
        );
        let mut relations: Vec<_> = found
            .relations
            .iter()
            .map(|(schema, name)| format!("{}.{name}", schema.as_deref().unwrap_or("")))
            .collect();
        relations.sort();
        assert_eq!(relations, [".k", ".t", ".t3", ".t4", ".x", "app.T2"]);
        let calls: Vec<_> = found.calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(calls, ["f", "g", "h"]);
    }

    #[test]
    fn the_value_spans_everything_that_only_depends_on_it() {
        let sql = "(a = (current_setting('x'::text, true))::uuid) AND b";
        let found = reads(sql, Context::default());
        let read = found.settings.first().expect("one read");
        assert_eq!(sql.get(read.value.clone()), Some("(current_setting('x'::text, true))::uuid"));
        assert_eq!(sql.get(read.call.clone()), Some("current_setting('x'::text, true)"));
    }
}
