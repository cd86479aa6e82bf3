//! Text → [`Node`]: recursive descent without a separate lexer, since `}}`
//! means one thing after an expression and another after two objects.

use std::ops::Range;

use serde_json::Number;

use super::{ErrorCode, Expr, Key, KritiError, Node, Op, Part, Step};

/// Values, operators and parentheses inside each other.
const MAX_DEPTH: usize = 64;

/// Words that are no names.
const RESERVED: [&str; 9] = ["if", "elif", "else", "end", "range", "in", "true", "false", "null"];

type Parsed<T> = Result<T, KritiError>;

pub(super) fn document(source: &str) -> Parsed<Node> {
    let mut parser = Parser { source, at: 0, depth: 0 };
    let node = parser.expr()?;
    parser.space();
    if parser.at < source.len() {
        return Err(parser.unexpected());
    }
    Ok(node)
}

pub(super) fn text(source: &str) -> Parsed<Node> {
    let mut parser = Parser { source, at: 0, depth: 0 };
    let parts = parser.parts(None)?;
    Ok(Node { at: 0..source.len(), expr: Expr::Text(parts) })
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    depth: usize,
}

impl<'s> Parser<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn error(&self, at: Range<usize>, message: impl Into<String>) -> KritiError {
        KritiError::new(ErrorCode::Parse, at, message)
    }

    fn unexpected(&self) -> KritiError {
        match self.peek() {
            Some(found) => self.error(
                self.at..self.at + found.len_utf8(),
                format!("Unexpected character '{found}'."),
            ),
            None => self.error(self.at..self.at, "Unexpected end of the template."),
        }
    }

    /// Skips white space and comments.
    fn space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.source.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The name or word that stands here.
    fn word(&self) -> Option<&'s str> {
        let rest = self.rest();
        let mut end = 0;
        for (index, c) in rest.char_indices() {
            let fits = if index == 0 {
                c == '$' || c == '_' || c.is_ascii_alphabetic()
            } else {
                matches!(c, '$' | '_' | '-') || c.is_ascii_alphanumeric()
            };
            if !fits {
                break;
            }
            end = index + c.len_utf8();
        }
        rest.get(..end).filter(|word| !word.is_empty())
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.word() == Some(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn name(&mut self) -> Parsed<String> {
        self.space();
        match self.word() {
            Some(word) if !RESERVED.contains(&word) => {
                self.at += word.len();
                Ok(word.to_owned())
            }
            _ => Err(self.unexpected()),
        }
    }

    fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(self.at..self.at, "The template is nested too deep."));
        }
        self.depth += 1;
        let out = run(self);
        self.depth -= 1;
        out
    }

    fn expr(&mut self) -> Parsed<Node> {
        self.nested(|parser| parser.binary(0))
    }

    /// Operators that bind alike, from the loosest.
    const LEVELS: [&'static [(&'static str, Op)]; 5] = [
        &[("??", Op::Default)],
        &[("||", Op::Or)],
        &[("&&", Op::And)],
        &[("==", Op::Equal), ("!=", Op::NotEqual)],
        &[("<=", Op::LessOrEqual), (">=", Op::GreaterOrEqual), ("<", Op::Less), (">", Op::Greater)],
    ];

    fn binary(&mut self, level: usize) -> Parsed<Node> {
        let Some(operators) = Self::LEVELS.get(level) else { return self.membership() };
        let mut left = self.binary(level + 1)?;
        loop {
            let Some((_, op)) = operators.iter().find(|(symbol, _)| self.take(symbol)) else {
                return Ok(left);
            };
            let right = self.binary(level + 1)?;
            left = joined(*op, left, right);
        }
    }

    fn membership(&mut self) -> Parsed<Node> {
        let mut left = self.application()?;
        while self.take_word("in") {
            let right = self.application()?;
            left = joined(Op::In, left, right);
        }
        Ok(left)
    }

    /// `function argument`, or one value.
    fn application(&mut self) -> Parsed<Node> {
        self.space();
        let start = self.at;
        if let Some(word) = self.word().filter(|word| !RESERVED.contains(word)) {
            self.at += word.len();
            if self.begins_argument() {
                let argument = self.nested(Self::application)?;
                let at = start..argument.at.end;
                let call = Expr::Call { function: word.to_owned(), argument: Box::new(argument) };
                return Ok(Node { at, expr: call });
            }
            self.at = start;
        }
        self.postfix()
    }

    fn begins_argument(&mut self) -> bool {
        let before = self.at;
        self.space();
        let spaced = self.at > before;
        let begins = match self.peek() {
            Some('"' | '(') => true,
            // Without a space it is a step of a path.
            Some('[') => spaced,
            Some('{') => !self.rest().starts_with("{{"),
            Some(c) if c.is_ascii_digit() || c == '-' => true,
            _ => self.word().is_some_and(|word| {
                !RESERVED.contains(&word) || matches!(word, "true" | "false" | "null")
            }),
        };
        self.at = before;
        begins
    }

    fn postfix(&mut self) -> Parsed<Node> {
        let base = self.atom()?;
        let mut steps = Vec::new();
        loop {
            let before = self.at;
            self.space();
            let start = self.at;
            let optional = !self.rest().starts_with("??") && self.take("?");
            let key = if self.rest().starts_with('.') {
                self.at += 1;
                self.space();
                // Any word may be the name of a field.
                let Some(word) = self.word() else { return Err(self.unexpected()) };
                self.at += word.len();
                Key::Field(word.to_owned())
            } else if self.rest().starts_with('[') {
                self.at += 1;
                let key = self.key()?;
                self.expect("]")?;
                key
            } else if optional {
                return Err(self.unexpected());
            } else {
                self.at = before;
                break;
            };
            steps.push(Step { at: start..self.at, optional, key });
        }
        if steps.is_empty() {
            return Ok(base);
        }
        let at = base.at.start..self.at;
        Ok(Node { at, expr: Expr::Path { base: Box::new(base), steps } })
    }

    /// What stands in the brackets of a step.
    fn key(&mut self) -> Parsed<Key> {
        self.space();
        if !self.rest().starts_with('\'') {
            return Ok(Key::Value(Box::new(self.expr()?)));
        }
        let start = self.at;
        self.at += 1;
        let parts = self.parts(Some('\''))?;
        let at = start..self.at;
        Ok(match parts.as_slice() {
            [] => Key::Field(String::new()),
            [Part::Literal(text)] => Key::Field(text.clone()),
            _ => Key::Value(Box::new(Node { at, expr: Expr::Text(parts) })),
        })
    }

    fn atom(&mut self) -> Parsed<Node> {
        self.space();
        let start = self.at;
        let expr = match self.peek() {
            None => return Err(self.unexpected()),
            Some('"') => {
                self.at += 1;
                Expr::Text(self.parts(Some('"'))?)
            }
            Some('[') => self.nested(Self::array)?,
            Some('{') if self.rest().starts_with("{{") => return self.nested(Self::braced),
            Some('{') => self.nested(Self::object)?,
            Some('(') => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Some(c) if c.is_ascii_digit() || c == '-' => self.number()?,
            Some(_) => match self.word() {
                Some(word @ ("true" | "false" | "null")) => {
                    self.at += word.len();
                    match word {
                        "true" => Expr::Bool(true),
                        "false" => Expr::Bool(false),
                        _ => Expr::Null,
                    }
                }
                _ => Expr::Variable(self.name()?),
            },
        };
        Ok(Node { at: start..self.at, expr })
    }

    fn array(&mut self) -> Parsed<Expr> {
        self.expect("[")?;
        let mut items = Vec::new();
        if self.take("]") {
            return Ok(Expr::Array(items));
        }
        loop {
            items.push(self.expr()?);
            if self.take("]") {
                return Ok(Expr::Array(items));
            }
            self.expect(",")?;
        }
    }

    fn object(&mut self) -> Parsed<Expr> {
        self.expect("{")?;
        let mut fields = Vec::new();
        if self.take("}") {
            return Ok(Expr::Object(fields));
        }
        loop {
            self.expect("\"")?;
            let start = self.at;
            let key = match self.parts(Some('"'))?.as_slice() {
                [] => String::new(),
                [Part::Literal(key)] => key.clone(),
                _ => {
                    let at = start..self.at;
                    return Err(self.error(at, "The key of an object cannot be a template."));
                }
            };
            self.expect(":")?;
            fields.push((key, self.expr()?));
            if self.take("}") {
                return Ok(Expr::Object(fields));
            }
            self.expect(",")?;
        }
    }

    /// `{{ … }}`: a value, a choice or a loop.
    fn braced(&mut self) -> Parsed<Node> {
        let start = self.at;
        self.expect("{{")?;
        if self.take_word("if") {
            return self.choice(start);
        }
        if self.take_word("range") {
            return self.range(start);
        }
        let inner = self.expr()?;
        self.expect("}}")?;
        Ok(inner)
    }

    /// After `{{ if`, or `{{ elif`.
    fn choice(&mut self, start: usize) -> Parsed<Node> {
        let condition = Box::new(self.expr()?);
        self.expect("}}")?;
        let then = Box::new(self.expr()?);
        let next = {
            self.space();
            self.at
        };
        self.expect("{{")?;
        let otherwise = if self.take_word("elif") {
            Box::new(self.nested(|parser| parser.choice(next))?)
        } else if self.take_word("else") {
            self.expect("}}")?;
            let otherwise = Box::new(self.expr()?);
            self.end()?;
            otherwise
        } else {
            return Err(self.error(next..self.at, "An if needs an else and an end."));
        };
        let expr = Expr::If { condition, then, otherwise };
        Ok(Node { at: start..self.at, expr })
    }

    fn end(&mut self) -> Parsed<()> {
        self.expect("{{")?;
        if !self.take_word("end") {
            return Err(self.unexpected());
        }
        self.expect("}}")
    }

    /// After `{{ range`.
    fn range(&mut self, start: usize) -> Parsed<Node> {
        let index = self.name()?;
        self.expect(",")?;
        let item = self.name()?;
        self.expect(":=")?;
        let over = Box::new(self.expr()?);
        self.expect("}}")?;
        let body = Box::new(self.expr()?);
        self.end()?;
        let index = Some(index).filter(|name| name != "_");
        Ok(Node { at: start..self.at, expr: Expr::Range { index, item, over, body } })
    }

    fn number(&mut self) -> Parsed<Expr> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E')))
            .unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default();
        match serde_json::from_str::<Number>(text) {
            Ok(number) => {
                self.at += end;
                Ok(Expr::Number(number))
            }
            Err(_) => Err(self.error(self.at..self.at + end, "This is not a number.")),
        }
    }

    /// A text up to its closing quote, or to the end of the source; the
    /// opening one is behind.
    fn parts(&mut self, quote: Option<char>) -> Parsed<Vec<Part>> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        loop {
            if self.rest().starts_with("{{") {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                self.at += 2;
                let value = self.expr()?;
                self.expect("}}")?;
                parts.push(Part::Value(value));
                continue;
            }
            match self.bump() {
                None if quote.is_none() => break,
                None => return Err(self.unexpected()),
                Some(c) if Some(c) == quote => break,
                Some('\\') => literal.push(self.escape()?),
                Some(c) => literal.push(c),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(parts)
    }

    /// After a backslash; what JSON gives no meaning stands for itself.
    fn escape(&mut self) -> Parsed<char> {
        let start = self.at.saturating_sub(1);
        Ok(match self.bump() {
            None => return Err(self.unexpected()),
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let first = self.unit(start)?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first)
                        .ok_or_else(|| self.error(start..self.at, "This is half a character."));
                }
                let second = match self.rest().strip_prefix("\\u") {
                    Some(_) => {
                        self.at += 2;
                        self.unit(start)?
                    }
                    None => 0,
                };
                let paired = (0xdc00..0xe000).contains(&second);
                let code = 0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00);
                match char::from_u32(code) {
                    Some(c) if paired => c,
                    _ => return Err(self.error(start..self.at, "This is half a character.")),
                }
            }
            Some(c) => c,
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self, start: usize) -> Parsed<u32> {
        let digits =
            self.rest().get(..4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => Err(self.error(start..self.at, "Four hexadecimal digits are missing.")),
        }
    }
}

fn joined(op: Op, left: Node, right: Node) -> Node {
    let at = left.at.start..right.at.end;
    Node { at, expr: Expr::Binary { op, left: Box::new(left), right: Box::new(right) } }
}
