//! Values of the columns by which rows are told apart.
//!
//! A value comes as text twice: from a setting or a parameter, and from the
//! log. Both are brought to one form, of those types only whose equality is
//! the equality of that form.

/// How values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum KeyKind {
    Uuid,
    Integer,
    Text,
}

/// A value in the one form; null equals nothing and has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Uuid(u128),
    Integer(i64),
    Text(Box<str>),
}

impl KeyKind {
    /// Of a type of `pg_catalog` by its oid; text only where equality is that
    /// of the bytes, which is the table's to say.
    pub(crate) fn of_type(oid: u32) -> Option<Self> {
        match oid {
            20 | 21 | 23 => Some(KeyKind::Integer),
            25 | 1043 => Some(KeyKind::Text),
            2950 => Some(KeyKind::Uuid),
            _ => None,
        }
    }

    /// `None` where the text is no value that is understood here; Postgres may
    /// understand it.
    pub(crate) fn value(self, text: &str) -> Option<Value> {
        match self {
            KeyKind::Text => Some(Value::Text(text.into())),
            KeyKind::Integer => text.parse().ok().map(Value::Integer),
            KeyKind::Uuid => {
                let groups = [8, 4, 4, 4, 12];
                let mut parts = text.split('-');
                let fits =
                    groups.iter().all(|size| parts.next().is_some_and(|part| part.len() == *size));
                if !fits || parts.next().is_some() {
                    return None;
                }
                let digits: String = text.split('-').collect();
                let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                plain.then(|| u128::from_str_radix(&digits, 16).ok())?.map(Value::Uuid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_are_equal() {
        let upper = KeyKind::Uuid.value("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11");
        assert!(upper.is_some());
        assert_eq!(upper, KeyKind::Uuid.value("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        assert_eq!(KeyKind::Integer.value("007"), KeyKind::Integer.value("7"));
        assert_ne!(KeyKind::Text.value("007"), KeyKind::Text.value("7"));
        for odd in ["", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a}", "+-------x----y"] {
            assert_eq!(KeyKind::Uuid.value(odd), None, "{odd}");
        }
        assert_eq!(KeyKind::Integer.value(" 7"), None);
    }
}
