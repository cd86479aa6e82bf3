//! Splits SQL and PL/pgSQL text into tokens, as Postgres' scanner does.
//!
//! Function bodies are plain text to Postgres, so what they read can only be
//! learnt from the text. A string is a string and a comment is nothing: a
//! search in the raw text would find settings in comments and miss them in
//! other spellings.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// Folded to lower case unless it was quoted.
    Ident {
        name: String,
        quoted: bool,
    },
    /// The value of a string constant of any form.
    Text(String),
    Number,
    /// `$1`
    Parameter,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Semicolon,
    Dot,
    Cast,
    /// `:=`
    Assign,
    Operator(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    /// Bytes of the text.
    pub span: Range<usize>,
}

impl Token {
    /// The name of an identifier, quoted or not.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Ident { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether this is the key word `word` (lower case, not quoted).
    pub fn is(&self, word: &str) -> bool {
        matches!(&self.kind, TokenKind::Ident { name, quoted: false } if name == word)
    }

    pub fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }
}

/// Splits `sql`. Text that ends inside a string or comment ends there.
pub fn tokens(sql: &str) -> Vec<Token> {
    let mut scanner = Scanner { sql, at: 0, out: Vec::new() };
    while scanner.step() {}
    scanner.out
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
    out: Vec<Token>,
}

fn starts_ident(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_ident(c: char) -> bool {
    starts_ident(c) || c.is_ascii_digit() || c == '$'
}

/// Longer names are cut.
const NAME_BYTES: usize = 63;

fn clipped(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or(name)
}

/// `\0061` and `\+000061` are `a`; the mark twice is the mark.
fn decoded(text: &str, mark: char) -> String {
    let mut out = String::new();
    let mut rest = text;
    // Of a surrogate pair.
    let mut high = None;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        if c != mark {
            out.push(c);
            continue;
        }
        if rest.starts_with(mark) {
            rest = rest.get(mark.len_utf8()..).unwrap_or("");
            out.push(mark);
            continue;
        }
        let (skipped, width) = if rest.starts_with('+') { (1, 6) } else { (0, 4) };
        let digits = rest.get(skipped..skipped + width);
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            out.push(c);
            continue;
        };
        rest = rest.get(skipped + width..).unwrap_or("");
        match (code, high.take()) {
            (0xd800..0xdc00, _) => high = Some(code),
            (0xdc00..0xe000, Some(high)) => {
                out.extend(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00)));
            }
            _ => out.extend(char::from_u32(code)),
        }
    }
    out
}

const OPERATOR: &str = "+-*/<>=~!@#%^&|`?:";

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.sql.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> Range<usize> {
        let start = self.at;
        self.at +=
            self.rest().chars().take_while(|c| accept(*c)).map(char::len_utf8).sum::<usize>();
        start..self.at
    }

    fn push(&mut self, start: usize, kind: TokenKind) {
        self.out.push(Token { kind, span: start..self.at });
    }

    fn single(&mut self, width: usize, kind: TokenKind) -> bool {
        let start = self.at;
        self.at += width;
        self.push(start, kind);
        true
    }

    /// Takes one token, comment or space; false at the end.
    fn step(&mut self) -> bool {
        let Some(c) = self.peek() else { return false };
        let rest = self.rest();
        let start = self.at;
        if c.is_whitespace() {
            self.take_while(char::is_whitespace);
        } else if rest.starts_with("--") {
            self.take_while(|c| c != '\n');
        } else if rest.starts_with("/*") {
            self.comment();
        } else if c == '\'' {
            self.string(1, false, start);
        } else if c == '"' {
            self.quoted_ident(1, start);
        } else if c == '$' {
            self.dollar(start);
        } else if starts_ident(c) {
            self.word(start);
        } else if c.is_ascii_digit() {
            self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            // `1..10` of a PL/pgSQL loop is no fraction.
            if self.rest().starts_with('.') && !self.rest().starts_with("..") {
                self.at += 1;
                self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            }
            self.push(start, TokenKind::Number);
        } else {
            match c {
                '(' => return self.single(1, TokenKind::Open),
                ')' => return self.single(1, TokenKind::Close),
                '[' => return self.single(1, TokenKind::OpenBracket),
                ']' => return self.single(1, TokenKind::CloseBracket),
                ',' => return self.single(1, TokenKind::Comma),
                ';' => return self.single(1, TokenKind::Semicolon),
                '.' => return self.single(1, TokenKind::Dot),
                _ if rest.starts_with("::") => return self.single(2, TokenKind::Cast),
                _ if rest.starts_with(":=") => return self.single(2, TokenKind::Assign),
                _ => {}
            }
            self.operator(start, c);
        }
        true
    }

    fn operator(&mut self, start: usize, first: char) {
        self.at += first.len_utf8();
        while let Some(c) = self.peek() {
            let rest = self.rest();
            if !OPERATOR.contains(c)
                || rest.starts_with("--")
                || rest.starts_with("/*")
                || rest.starts_with("::")
            {
                break;
            }
            self.at += c.len_utf8();
        }
        let text = self.sql.get(start..self.at).unwrap_or("").to_owned();
        self.push(start, TokenKind::Operator(text));
    }

    /// Comments nest.
    fn comment(&mut self) {
        let mut depth = 0usize;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
            } else if let Some(c) = rest.chars().next() {
                self.at += c.len_utf8();
            } else {
                return;
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn word(&mut self, start: usize) {
        let rest = self.rest();
        let prefix =
            |text: &str| rest.get(..text.len()).is_some_and(|p| p.eq_ignore_ascii_case(text));
        if prefix("e'") {
            return self.string(2, true, start);
        }
        if prefix("b'") || prefix("x'") || prefix("n'") {
            return self.string(2, false, start);
        }
        if prefix("u&'") {
            self.string(3, false, start);
            return self.unicode();
        }
        if prefix("u&\"") {
            self.quoted_ident(3, start);
            return self.unicode();
        }
        let span = self.take_while(continues_ident);
        let name = clipped(self.sql.get(span).unwrap_or("")).to_ascii_lowercase();
        self.push(start, TokenKind::Ident { name, quoted: false });
    }

    fn quoted_ident(&mut self, opening: usize, start: usize) {
        self.at += opening;
        let mut name = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == '"' {
                if self.peek() != Some('"') {
                    break;
                }
                self.at += 1;
            }
            name.push(c);
        }
        let name = clipped(&name).to_owned();
        self.push(start, TokenKind::Ident { name, quoted: true });
    }

    /// Decodes the escapes of the token that was taken last, `U&'…'` or `U&"…"`,
    /// with the character after UESCAPE where there is one.
    fn unicode(&mut self) {
        let rest = self.rest().trim_start();
        let word = rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("uescape"));
        let given = rest.get(7..).filter(|_| word).map(str::trim_start);
        let given = given.and_then(|given| given.strip_prefix('\''));
        let mark = given.and_then(|given| given.chars().next()).unwrap_or('\\');
        let raw = self.out.last().and_then(|token| self.sql.get(token.span.clone()));
        let inside = raw.and_then(|raw| raw.get(3..)).unwrap_or("").to_owned();
        match self.out.last_mut().map(|token| &mut token.kind) {
            Some(TokenKind::Text(text)) => *text = decoded(text, mark),
            // It was cut before its escapes were read.
            Some(TokenKind::Ident { name, .. }) => {
                let whole = inside.strip_suffix('"').unwrap_or(&inside).replace("\"\"", "\"");
                *name = clipped(&decoded(&whole, mark)).to_owned();
            }
            _ => {}
        }
    }

    fn string(&mut self, opening: usize, escapes: bool, start: usize) {
        self.at += opening;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += c.len_utf8();
            if c == '\\' && escapes {
                self.escape(&mut text);
            } else if c != '\'' {
                text.push(c);
            } else if self.peek() == Some('\'') {
                self.at += 1;
                text.push('\'');
            } else {
                // Constants on consecutive lines are one constant.
                let blank = self.rest().len() - self.rest().trim_start().len();
                let gap = self.rest().get(..blank).unwrap_or("");
                if gap.contains('\n') && self.rest().trim_start().starts_with('\'') {
                    self.at += blank + 1;
                } else {
                    break;
                }
            }
        }
        self.push(start, TokenKind::Text(text));
    }

    fn escape(&mut self, text: &mut String) {
        let Some(c) = self.peek() else { return };
        self.at += c.len_utf8();
        let (width, radix) = match c {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => {
                self.at -= 1;
                (3, 8)
            }
            'n' => return text.push('\n'),
            't' => return text.push('\t'),
            'r' => return text.push('\r'),
            'b' => return text.push('\u{8}'),
            'f' => return text.push('\u{c}'),
            other => return text.push(other),
        };
        let digits: String =
            self.rest().chars().take(width).take_while(|d| d.is_digit(radix)).collect();
        self.at += digits.len();
        if let Some(decoded) = u32::from_str_radix(&digits, radix).ok().and_then(char::from_u32) {
            text.push(decoded);
        }
    }

    /// `$1`, `$$…$$`, `$tag$…$tag$`.
    fn dollar(&mut self, start: usize) {
        let rest = self.rest();
        let tag_length = rest
            .char_indices()
            .skip(1)
            .find(|(index, c)| {
                let fits =
                    if *index == 1 { starts_ident(*c) } else { continues_ident(*c) && *c != '$' };
                !fits
            })
            .filter(|(_, c)| *c == '$')
            .map(|(index, _)| index + 1);
        let Some(length) = tag_length else {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
            return self.push(start, TokenKind::Parameter);
        };
        let (tag, body) = rest.split_at(length);
        let end = body.find(tag);
        let text = body.get(..end.unwrap_or(body.len())).unwrap_or("").to_owned();
        self.at += length + end.map_or(body.len(), |end| end + length);
        self.push(start, TokenKind::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(sql: &str) -> String {
        tokens(sql)
            .into_iter()
            .map(|token| match token.kind {
                TokenKind::Ident { name, quoted: false } => name,
                TokenKind::Ident { name, .. } => format!("\"{name}\""),
                TokenKind::Text(text) => format!("'{text}'"),
                TokenKind::Operator(text) => text,
                _ => sql.get(token.span).unwrap_or("?").to_owned(),
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn every_form_of_constant_and_name() {
        for (sql, expected) in [
            ("Select \"A\"\"b\", Ünïcode", "select \"A\"b\" , Ünïcode"),
            ("'it''s' E'a\\'b\\x41\\u0042\\n' x'ff'", "'it's' 'a'bAB\n' 'ff'"),
            ("'one'\n  'two' 'three'", "'onetwo' 'three'"),
            ("$$ a 'b' $$ $t$ $$ $t$ a$b $1", "' a 'b' ' ' $$ ' a$b $1"),
            ("a--b'c\n/* x /* ' */ y */d", "a d"),
            ("x::int:=1..2 a->>'b' <=-1 1.5e3", "x :: int := 1 . . 2 a ->> 'b' <=- 1 1.5e3"),
            ("a/*c*/-- d", "a"),
            ("U&'d' U&\"e\" n'f' e", "'d' \"e\" 'f' e"),
            (r#"U&'\0061\+000062\\\x' u&"a\005f""b""#, r#"'ab\\x' "a_"b""#),
            (r"U&'!0061\0062' UESCAPE '!' U&'\D83D\DE00'", r"'a\0062' uescape '!' '😀'"),
        ] {
            assert_eq!(show(sql), expected, "{sql}");
        }
    }

    #[test]
    fn names_are_cut_as_postgres_cuts_them() {
        let long = "a".repeat(62) + "éb";
        assert_eq!(show(&long), "a".repeat(62));
        assert_eq!(show(&format!("\"{long}\"")), format!("\"{}\"", "a".repeat(62)));
        let escaped = format!("U&\"{}\\0062c\"", "a".repeat(62));
        assert_eq!(show(&escaped), format!("\"{}b\"", "a".repeat(62)));
    }

    #[test]
    fn broken_text_ends_quietly() {
        for sql in [
            "U&'\\00",
            "U&'\\+0000611",
            "U&\"\\",
            "u&'\\d83d' uescape",
            "u&'a' uescape '",
            "'open",
            "\"open",
            "$a$open",
            "/* open",
            "e'\\",
            "$",
            "e'\\u12",
            "1.",
            "u&",
        ] {
            tokens(sql);
        }
    }

    #[test]
    fn spans_give_back_the_text() {
        let sql = "a = (current_setting('x'::text, true))::uuid -- ü\n and \"ü\"";
        for token in tokens(sql) {
            assert!(sql.get(token.span).is_some());
        }
    }
}
