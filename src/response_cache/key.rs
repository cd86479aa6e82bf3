//! What tells answers apart.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// A digest of all that decided on an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Takes the parts of a key one by one. Each is led by its length, so that no
/// two sequences of parts are the same bytes.
#[derive(Clone)]
pub struct KeyBuilder(Context);

impl fmt::Debug for KeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBuilder")
    }
}

impl Default for KeyBuilder {
    fn default() -> Self {
        KeyBuilder::new()
    }
}

impl KeyBuilder {
    pub fn new() -> Self {
        KeyBuilder(Context::new(&SHA256))
    }

    pub fn text(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part.as_bytes());
    }

    /// Absent is told from every text.
    pub fn optional(&mut self, part: Option<&str>) {
        match part {
            Some(part) => self.text(part),
            None => self.0.update(&u64::MAX.to_le_bytes()),
        }
    }

    pub fn number(&mut self, part: u64) {
        self.0.update(&part.to_le_bytes());
    }

    pub fn finish(self) -> Key {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.finish().as_ref());
        Key(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[Option<&str>]) -> Key {
        let mut key = KeyBuilder::new();
        parts.iter().for_each(|part| key.optional(*part));
        key.finish()
    }

    #[test]
    fn no_two_sequences_of_parts_are_the_same() {
        let keys = [
            key(&[]),
            key(&[None]),
            key(&[Some("")]),
            key(&[Some("ab"), Some("c")]),
            key(&[Some("a"), Some("bc")]),
            key(&[Some("abc"), Some("")]),
            key(&[Some(""), Some("abc")]),
            key(&[None, Some("abc")]),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(index + 1).all(|other| one != other), "{index}");
        }
        assert_eq!(keys[0].to_string().len(), 64);
    }
}
