//! Values in Postgres' binary form as the text that its `to_json` gives them.
//!
//! Only types whose JSON no setting of the session changes are here. `to_json`
//! itself makes that of all others in the statement: of `timestamptz` (TimeZone),
//! of floating point (extra_float_digits), of arrays and types of users.

/// A value that is not what its type says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("a value of a type that has no encoder: {0}")]
    Type(u32),
    #[error("a value is not in the binary form of the type {0}")]
    Value(u32),
    #[error("an array or a record is not in its binary form")]
    Record,
}

const BOOL: u32 = 16;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

const ENCODED: [u32; 14] = [
    BOOL, NAME, INT8, INT2, INT4, TEXT, JSON, BPCHAR, VARCHAR, DATE, TIMESTAMP, NUMERIC, UUID,
    JSONB,
];

/// Whether values of a type, by its oid, are made JSON here.
pub fn is_encoded(type_oid: u32) -> bool {
    ENCODED.contains(&type_oid)
}

/// Appends the JSON of a value.
pub(super) fn encode(out: &mut Vec<u8>, type_oid: u32, raw: &[u8]) -> Result<(), Malformed> {
    let done = match type_oid {
        TEXT | VARCHAR | BPCHAR | NAME => {
            string(out, raw);
            Some(())
        }
        JSON => {
            out.extend_from_slice(raw);
            Some(())
        }
        // The text behind a version number.
        JSONB => raw.strip_prefix(&[1]).map(|text| out.extend_from_slice(text)),
        BOOL => array(raw).map(|[value]: [u8; 1]| {
            let text: &[u8] = if value == 0 { b"false" } else { b"true" };
            out.extend_from_slice(text);
        }),
        INT2 => array(raw).map(|raw| number(out, i16::from_be_bytes(raw).into())),
        INT4 => array(raw).map(|raw| number(out, i32::from_be_bytes(raw).into())),
        INT8 => array(raw).map(|raw| number(out, i64::from_be_bytes(raw))),
        NUMERIC => numeric(out, raw),
        UUID => array(raw).map(|raw| uuid(out, raw)),
        DATE => array(raw).map(|raw| date(out, i32::from_be_bytes(raw))),
        TIMESTAMP => array(raw).map(|raw| timestamp(out, i64::from_be_bytes(raw))),
        other => return Err(Malformed::Type(other)),
    };
    done.ok_or(Malformed::Value(type_oid))
}

fn array<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    raw.try_into().ok()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or(b'0'))
}

/// A string in quotes. What Postgres does not escape stays as it is.
fn string(out: &mut Vec<u8>, raw: &[u8]) {
    out.push(b'"');
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            other => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex(*other));
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, value: i64) {
    // 20 bytes hold any i64.
    let mut digits = [0_u8; 20];
    let mut left = value.unsigned_abs();
    let mut length = 0;
    for place in digits.iter_mut().rev() {
        *place = decimal(left % 10);
        left /= 10;
        length += 1;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// The digit of a number below ten.
fn decimal(digit: u64) -> u8 {
    b'0' + u8::try_from(digit).unwrap_or(0)
}

/// A number with leading zeros up to `width`.
fn padded(out: &mut Vec<u8>, value: i64, width: u32) {
    let mut unit = 10_i64.pow(width.saturating_sub(1));
    while unit > value && unit > 1 {
        out.push(b'0');
        unit /= 10;
    }
    number(out, value);
}

/// `ndigits`, `weight`, `sign` and `dscale` of two bytes each, and digits of
/// base 10,000.
fn numeric(out: &mut Vec<u8>, raw: &[u8]) -> Option<()> {
    const NEGATIVE: u16 = 0x4000;
    let mut words = raw.chunks_exact(2).map(|word| match word {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let count = words.next()?;
    let weight = i16::from_be_bytes(words.next()?.to_be_bytes());
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    let special: &[u8] = match sign {
        0 | NEGATIVE => b"",
        0xC000 => b"\"NaN\"",
        0xD000 => b"\"Infinity\"",
        0xF000 => b"\"-Infinity\"",
        _ => return None,
    };
    if !special.is_empty() {
        out.extend_from_slice(special);
        return Some(());
    }
    if raw.len() != 8 + 2 * usize::from(count) {
        return None;
    }
    if sign == NEGATIVE {
        out.push(b'-');
    }
    if weight < 0 {
        out.push(b'0');
    } else {
        for place in 0..=weight {
            let digit = i64::from(words.next().unwrap_or(0));
            if place == 0 { number(out, digit) } else { padded(out, digit, 4) }
        }
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        for _ in weight..-1 {
            out.extend_from_slice(b"0000");
        }
        while out.len() < end {
            padded(out, i64::from(words.next().unwrap_or(0)), 4);
        }
        out.truncate(end);
    }
    Some(())
}

fn uuid(out: &mut Vec<u8>, raw: [u8; 16]) {
    out.push(b'"');
    for (index, byte) in raw.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&hex(byte));
    }
    out.push(b'"');
}

/// Days since 1 January 2000.
fn date(out: &mut Vec<u8>, days: i32) {
    out.push(b'"');
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let year = day(out, days.into());
            era(out, year);
        }
    }
    out.push(b'"');
}

/// Microseconds since 1 January 2000.
fn timestamp(out: &mut Vec<u8>, micros: i64) {
    const DAY: i64 = 86_400_000_000;
    out.push(b'"');
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let year = day(out, micros.div_euclid(DAY));
            let time = micros.rem_euclid(DAY);
            let (seconds, fraction) = (time / 1_000_000, time % 1_000_000);
            for (lead, part) in
                [(b'T', seconds / 3600), (b':', seconds / 60 % 60), (b':', seconds % 60)]
            {
                out.push(lead);
                padded(out, part, 2);
            }
            if fraction > 0 {
                out.push(b'.');
                padded(out, fraction, 6);
                while out.last() == Some(&b'0') {
                    out.pop();
                }
            }
            era(out, year);
        }
    }
    out.push(b'"');
}

fn era(out: &mut Vec<u8>, year: i64) {
    if year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// Appends the day of the Gregorian calendar; returns the year, 1 BC being 0.
///
/// The arithmetic counts from 1 March of year 0 in cycles of 400 years, so that
/// a leap day ends a year (Hinnant, `civil_from_days`).
fn day(out: &mut Vec<u8>, days: i64) -> i64 {
    const CYCLE: i64 = 146_097;
    /// From 1 March of year 0 to 1 January 2000.
    const EPOCH: i64 = 730_425;
    let days = days + EPOCH;
    let cycle = days.div_euclid(CYCLE);
    let of_cycle = days.rem_euclid(CYCLE);
    let year_of_cycle =
        (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_of_year = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    padded(out, if year > 0 { year } else { 1 - year }, 4);
    for part in [month, day] {
        out.push(b'-');
        padded(out, part, 2);
    }
    year
}
