//! The messages of `pgoutput`, protocol version 1
//! (<https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>).
//!
//! Rows are read only as far as somebody asks for their cells, which never
//! leave this module's callers: they decide whether a query runs, nothing else.

use bytes::{Buf, Bytes};

use crate::catalog::model::Oid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of the log cannot be read")]
pub(super) struct Malformed;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Begin {
        /// The lower half of the transaction's id.
        id: u32,
    },
    /// When it was, as the server tells time.
    Commit {
        at: i64,
    },
    Relation(Relation),
    Row(Change),
    Truncate(Vec<Oid>),
    /// Origins, types and what later versions bring.
    Other,
}

/// A table as its rows are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: Oid,
    /// Names, and whether they belong to the replica identity.
    pub(super) columns: Vec<(String, bool)>,
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) relation: Oid,
    pub(super) old: Old,
    /// None when it was deleted.
    pub(super) new: Option<Vec<Cell>>,
}

/// What is told of a row as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Old {
    /// It was inserted.
    Absent,
    /// Its replica identity has not changed.
    SameKey,
    /// The columns of the replica identity; others are null.
    Key(Vec<Cell>),
    Whole(Vec<Cell>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Cell {
    Null,
    /// Large, and as it was before.
    Unchanged,
    Text(Bytes),
}

/// The table of a row message, without reading the row.
pub(super) fn relation_of(message: &[u8]) -> Option<Oid> {
    match message {
        [b'I' | b'U' | b'D', a, b, c, d, ..] => Some(Oid::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

pub(super) fn decode(mut message: Bytes) -> Result<Message, Malformed> {
    let m = &mut message;
    Ok(match u8_of(m)? {
        b'B' => {
            // The end of the transaction, and the time of its commit.
            skip(m, 16)?;
            Message::Begin { id: u32_of(m)? }
        }
        b'C' => {
            // Flags, place, end.
            skip(m, 1 + 8 + 8)?;
            Message::Commit { at: m.try_get_i64().map_err(|_| Malformed)? }
        }
        b'R' => {
            let oid = u32_of(m)?;
            text_of(m)?;
            text_of(m)?;
            skip(m, 1)?;
            let count = m.try_get_u16().map_err(|_| Malformed)?;
            let mut columns = Vec::with_capacity(usize::from(count));
            for _ in 0..count {
                let key = u8_of(m)? & 1 == 1;
                columns.push((text_of(m)?, key));
                // Type and modifier.
                skip(m, 8)?;
            }
            Message::Relation(Relation { oid, columns })
        }
        b'I' => {
            let relation = u32_of(m)?;
            expect(m, b'N')?;
            Message::Row(Change { relation, old: Old::Absent, new: Some(cells(m)?) })
        }
        b'U' => {
            let relation = u32_of(m)?;
            let mut old = Old::SameKey;
            let mut kind = u8_of(m)?;
            if kind != b'N' {
                old = old_row(kind, m)?;
                kind = u8_of(m)?;
            }
            if kind != b'N' {
                return Err(Malformed);
            }
            Message::Row(Change { relation, old, new: Some(cells(m)?) })
        }
        b'D' => {
            let relation = u32_of(m)?;
            let kind = u8_of(m)?;
            Message::Row(Change { relation, old: old_row(kind, m)?, new: None })
        }
        b'T' => {
            let count = u32_of(m)?;
            skip(m, 1)?;
            Message::Truncate((0..count).map(|_| u32_of(m)).collect::<Result<_, _>>()?)
        }
        _ => Message::Other,
    })
}

fn old_row(kind: u8, m: &mut Bytes) -> Result<Old, Malformed> {
    match kind {
        b'K' => cells(m).map(Old::Key),
        b'O' => cells(m).map(Old::Whole),
        _ => Err(Malformed),
    }
}

fn cells(m: &mut Bytes) -> Result<Vec<Cell>, Malformed> {
    let count = m.try_get_u16().map_err(|_| Malformed)?;
    (0..count)
        .map(|_| {
            Ok(match u8_of(m)? {
                b'n' => Cell::Null,
                b'u' => Cell::Unchanged,
                b't' | b'b' => {
                    let length = usize::try_from(u32_of(m)?).map_err(|_| Malformed)?;
                    if length > m.len() {
                        return Err(Malformed);
                    }
                    Cell::Text(m.split_to(length))
                }
                _ => return Err(Malformed),
            })
        })
        .collect()
}

fn u8_of(m: &mut Bytes) -> Result<u8, Malformed> {
    m.try_get_u8().map_err(|_| Malformed)
}

fn u32_of(m: &mut Bytes) -> Result<u32, Malformed> {
    m.try_get_u32().map_err(|_| Malformed)
}

fn expect(m: &mut Bytes, byte: u8) -> Result<(), Malformed> {
    if u8_of(m)? == byte { Ok(()) } else { Err(Malformed) }
}

fn skip(m: &mut Bytes, count: usize) -> Result<(), Malformed> {
    if m.len() < count {
        return Err(Malformed);
    }
    m.advance(count);
    Ok(())
}

/// A text that ends with a zero.
fn text_of(m: &mut Bytes) -> Result<String, Malformed> {
    let end = m.iter().position(|byte| *byte == 0).ok_or(Malformed)?;
    let text = m.split_to(end);
    m.advance(1);
    String::from_utf8(text.to_vec()).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(cells: &[&str]) -> Vec<u8> {
        let mut out = (cells.len() as u16).to_be_bytes().to_vec();
        for cell in cells {
            match *cell {
                "NULL" => out.push(b'n'),
                "SAME" => out.push(b'u'),
                text => {
                    out.push(b't');
                    out.extend((text.len() as u32).to_be_bytes());
                    out.extend(text.as_bytes());
                }
            }
        }
        out
    }

    fn text(text: &'static str) -> Cell {
        Cell::Text(Bytes::from_static(text.as_bytes()))
    }

    fn read(parts: &[&[u8]]) -> Result<Message, Malformed> {
        decode(Bytes::from(parts.concat()))
    }

    #[test]
    fn rows_are_read_with_what_they_were() {
        let id = 77u32.to_be_bytes();
        assert_eq!(
            read(&[b"I", &id, b"N", &tuple(&["1", "NULL"])]),
            Ok(Message::Row(Change {
                relation: 77,
                old: Old::Absent,
                new: Some(vec![text("1"), Cell::Null]),
            }))
        );
        assert_eq!(
            read(&[b"U", &id, b"K", &tuple(&["1", "NULL"]), b"N", &tuple(&["2", "SAME"])]),
            Ok(Message::Row(Change {
                relation: 77,
                old: Old::Key(vec![text("1"), Cell::Null]),
                new: Some(vec![text("2"), Cell::Unchanged]),
            }))
        );
        assert_eq!(
            read(&[b"D", &id, b"O", &tuple(&["1"])]),
            Ok(Message::Row(Change { relation: 77, old: Old::Whole(vec![text("1")]), new: None }))
        );
        assert_eq!(
            read(&[b"T", &2u32.to_be_bytes(), b"\0", &id, &5u32.to_be_bytes()]),
            Ok(Message::Truncate(vec![77, 5]))
        );
        assert_eq!(relation_of(&[b"D".as_slice(), &id, b"O"].concat()), Some(77));
        assert_eq!(relation_of(b"C"), None);
    }

    #[test]
    fn relations_tell_their_key() {
        let id = 77u32.to_be_bytes();
        let column = |flag: u8, name: &str| [&[flag][..], name.as_bytes(), &[0; 9]].concat();
        let message = read(&[
            b"R",
            &id,
            b"public\0t\0d",
            &2u16.to_be_bytes(),
            &column(1, "id"),
            &column(0, "a"),
        ]);
        let columns = vec![("id".to_owned(), true), ("a".to_owned(), false)];
        assert_eq!(message, Ok(Message::Relation(Relation { oid: 77, columns })));
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let id = 77u32.to_be_bytes();
        let whole = [b"U".as_slice(), &id, b"K", &tuple(&["1"]), b"N", &tuple(&["22"])].concat();
        assert!(decode(Bytes::copy_from_slice(&whole)).is_ok());
        for length in 0..whole.len() {
            assert_eq!(
                decode(Bytes::copy_from_slice(&whole[..length])),
                Err(Malformed),
                "{length}"
            );
        }
    }
}
