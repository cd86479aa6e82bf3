//! Typed columns → the JSON that Postgres would have made of them.
//!
//! ```text
//! {"tasks":[  {"id": 1 ,"title": "…" ,"__typename":"tasks"}  ,·  {…}  ]}
//! └ before ┘  └lead┘ └lead─────┘  └ end ─────────────────┘        └ after
//! ```
//!
//! A nested object is a value of type `record` and a nested list one of
//! `record[]`; their binary form names the type of each value in it.

use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::encode::{Malformed, encode};
use super::error::PgError;

/// The most that Postgres makes of one value, so the most of one answer.
const MAX_BYTES: usize = 0x3fff_ffff;
/// What `json_agg` puts between values.
const BETWEEN: &[u8] = b", ";

/// The answer around and between the columns of a statement's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowShape {
    pub before: Box<str>,
    pub record: RecordShape,
    pub after: Box<str>,
}

/// A row as an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordShape {
    pub cells: Vec<CellShape>,
    /// What follows the last value: `}`, and constants before it.
    pub end: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellShape {
    /// What precedes the value: its key, and constants before it.
    pub lead: Box<str>,
    pub value: ValueShape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueShape {
    /// Of a type that [`super::is_encoded`] knows.
    Scalar,
    Object(RecordShape),
    List(RecordShape),
}

impl RowShape {
    /// Bytes that it holds, roughly.
    pub fn weight(&self) -> usize {
        self.before.len() + self.record.weight() + self.after.len()
    }
}

impl RecordShape {
    fn weight(&self) -> usize {
        let cells = self.cells.iter().map(|cell| {
            let inner = match &cell.value {
                ValueShape::Scalar => 0,
                ValueShape::Object(record) | ValueShape::List(record) => record.weight(),
            };
            size_of::<CellShape>() + cell.lead.len() + inner
        });
        self.end.len() + cells.sum::<usize>()
    }
}

/// Puts an answer together, row by row.
pub(super) struct Writer<'s> {
    shape: &'s RowShape,
    out: Vec<u8>,
    rows: u64,
}

impl<'s> Writer<'s> {
    pub(super) fn new(shape: &'s RowShape) -> Self {
        Writer { shape, out: shape.before.as_bytes().to_vec(), rows: 0 }
    }

    pub(super) fn add(&mut self, row: &Row) -> Result<(), PgError> {
        if self.rows > 0 {
            self.out.extend_from_slice(BETWEEN);
        }
        self.rows += 1;
        let cells = &self.shape.record.cells;
        if row.len() != cells.len() {
            return Err(PgError::Protocol("a row has other columns than its shape".to_owned()));
        }
        for (index, cell) in cells.iter().enumerate() {
            let value: Option<Raw<'_>> =
                row.try_get(index).map_err(|error| PgError::Protocol(error.to_string()))?;
            write_cell(&mut self.out, cell, value.map(|Raw { ty, bytes }| (ty, bytes)))
                .map_err(|error| PgError::Protocol(error.to_string()))?;
        }
        self.out.extend_from_slice(self.shape.record.end.as_bytes());
        if self.out.len() > MAX_BYTES {
            return Err(PgError::TooLarge);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Bytes {
        self.out.extend_from_slice(self.shape.after.as_bytes());
        self.out.into()
    }
}

/// A column in binary form.
struct Raw<'a> {
    ty: u32,
    bytes: &'a [u8],
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(
        ty: &Type,
        bytes: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw { ty: ty.oid(), bytes })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn write_cell(
    out: &mut Vec<u8>,
    cell: &CellShape,
    value: Option<(u32, &[u8])>,
) -> Result<(), Malformed> {
    out.extend_from_slice(cell.lead.as_bytes());
    let Some((ty, bytes)) = value else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    match &cell.value {
        ValueShape::Scalar => encode(out, ty, bytes),
        ValueShape::Object(record) => write_record(out, record, bytes),
        ValueShape::List(record) => write_list(out, record, bytes),
    }
}

/// A record: the number of its values, then of each type, length and bytes.
fn write_record(
    out: &mut Vec<u8>,
    record: &RecordShape,
    mut bytes: &[u8],
) -> Result<(), Malformed> {
    if usize::try_from(word(&mut bytes)?) != Ok(record.cells.len()) {
        return Err(Malformed::Record);
    }
    for cell in &record.cells {
        let ty = u32::from_be_bytes(word(&mut bytes)?.to_be_bytes());
        let value = sized(&mut bytes)?;
        write_cell(out, cell, value.map(|value| (ty, value)))?;
    }
    out.extend_from_slice(record.end.as_bytes());
    Ok(())
}

/// An array: the number of its dimensions, flags, the type of its elements, size
/// and lower bound of each dimension, then of each element length and bytes.
fn write_list(out: &mut Vec<u8>, record: &RecordShape, mut bytes: &[u8]) -> Result<(), Malformed> {
    let dimensions = word(&mut bytes)?;
    let (_flags, _type) = (word(&mut bytes)?, word(&mut bytes)?);
    let length = match dimensions {
        0 => 0,
        1 => {
            let (length, _bound) = (word(&mut bytes)?, word(&mut bytes)?);
            length
        }
        _ => return Err(Malformed::Record),
    };
    out.push(b'[');
    for index in 0..length {
        if index > 0 {
            out.extend_from_slice(BETWEEN);
        }
        let element = sized(&mut bytes)?.ok_or(Malformed::Record)?;
        write_record(out, record, element)?;
    }
    out.push(b']');
    Ok(())
}

fn word(bytes: &mut &[u8]) -> Result<i32, Malformed> {
    let (word, rest) = bytes.split_first_chunk::<4>().ok_or(Malformed::Record)?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*word))
}

/// A length and so many bytes; -1 is null.
fn sized<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let length = word(bytes)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| Malformed::Record)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(Malformed::Record)?;
    *bytes = rest;
    Ok(Some(value))
}
