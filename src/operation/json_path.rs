//! `$.a[0]['b']`: paths into JSON values.

use super::error::Problem;
use super::input::push_array_element;

/// A path into a JSON value as the text of a Postgres array of its keys.
///
/// Taken are `$`, `.key`, `key`, `[0]`, `['key']` and `["key"]`, one after the
/// other, as in Hasura.
pub(crate) fn json_path(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::JsonPath(text.to_owned());
    let mut out = String::from("{");
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let quote = inner.chars().next().filter(|c| matches!(c, '\'' | '"'));
            let (key, after) = match quote {
                Some(quote) => quoted_key(inner, quote).ok_or_else(wrong)?,
                None => {
                    let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
                    if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
                        return Err(wrong());
                    }
                    (index.to_owned(), after)
                }
            };
            push_array_element(&mut out, &key);
            rest = after;
        } else {
            let inner = rest.strip_prefix('.').unwrap_or(rest);
            // `a.[0]` says the same as `a[0]`.
            if inner.starts_with('[') {
                rest = inner;
                continue;
            }
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (key, after) = inner.split_at(end);
            if key.is_empty() {
                return Err(wrong());
            }
            push_array_element(&mut out, key);
            rest = after;
        }
    }
    out.push('}');
    Ok(out)
}

/// `'key']…` → the key and what follows; a backslash escapes.
fn quoted_key(text: &str, quote: char) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            key.push(chars.next()?.1);
        } else if c == quote {
            let after = text.get(at + 1..)?.strip_prefix(']')?;
            return Some((key, after));
        } else {
            key.push(c);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, keys) in [
            ("$", "{}"),
            ("$.a.b", r#"{"a","b"}"#),
            (".a", r#"{"a"}"#),
            ("a[0].b", r#"{"a","0","b"}"#),
            ("$['a b'][\"c\"]", r#"{"a b","c"}"#),
            ("a.[0].['b']", r#"{"a","0","b"}"#),
            (r"$['it\'s']", r#"{"it's"}"#),
            ("[1]", r#"{"1"}"#),
        ] {
            assert_eq!(json_path(path).expect(path), keys);
        }
        for bad in ["$.", "a..b", "a..[0]", "[x]", "[", "['a'", "['a'b]", "[]", "$[-1]"] {
            assert!(json_path(bad).is_err(), "{bad}");
        }
    }
}
