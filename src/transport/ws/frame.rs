//! RFC 6455 frames of a server: what clients send, read from any pieces of
//! bytes, and the heads of what is sent. No I/O.
//!
//! ```text
//! bytes ─▶ Decoder ─▶ Message          Opcode, length ─▶ head ─▶ bytes
//! ```
//!
//! A decoder between two messages owns no memory, and takes up what arrived,
//! not what was announced. Extensions are not negotiated, so reserved bits are
//! an error.

use bytes::{BufMut, Bytes, BytesMut};

/// Payload of a control frame at most (section 5.5).
const CONTROL_BYTES: usize = 125;

/// The longest head of a frame of ours: these are not masked.
const HEAD_BYTES: usize = 10;

/// Text of a close frame at most: a control frame less the code.
pub(super) const REASON_BYTES: usize = CONTROL_BYTES - 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn read(nibble: u8) -> Result<Self, Violation> {
        Ok(match nibble {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation::Protocol("unknown opcode")),
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What a client sent, whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    /// With the code that the client gave.
    Close(Option<u16>),
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    Protocol(&'static str),
    NotUtf8,
    TooLong,
}

impl Violation {
    /// The code of the close frame (section 7.4.1).
    pub(super) fn close_code(self) -> u16 {
        match self {
            Violation::Protocol(_) => 1002,
            Violation::NotUtf8 => 1007,
            Violation::TooLong => 1009,
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Violation::Protocol(what) => what,
            Violation::NotUtf8 => "a text message is not UTF-8",
            Violation::TooLong => "the message is too long (limits.body)",
        }
    }
}

/// A frame whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    last: bool,
    opcode: Opcode,
    mask: [u8; 4],
    length: usize,
    /// Bytes of the payload that were read.
    done: usize,
}

/// Puts messages together from the bytes of a connection.
#[derive(Debug)]
pub(super) struct Decoder {
    limit: usize,
    /// The head as far as it was read: two bytes, up to eight of length, the mask.
    head: [u8; 14],
    head_length: usize,
    frame: Option<Frame>,
    /// The first opcode of a message of which more is to come.
    fragmented: Option<Opcode>,
    message: Vec<u8>,
    control: Vec<u8>,
}

impl Decoder {
    /// For messages of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Decoder {
            limit,
            head: [0; 14],
            head_length: 0,
            frame: None,
            fragmented: None,
            message: Vec::new(),
            control: Vec::new(),
        }
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes off `input` until a message is whole; `None` when `input`
    /// is used up before.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Violation> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.read_head(input)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let frame = self.read_payload(frame, input);
            if frame.done < frame.length {
                self.frame = Some(frame);
                return Ok(None);
            }
            self.frame = None;
            if let Some(message) = self.end(frame)? {
                return Ok(Some(message));
            }
        }
    }

    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        loop {
            let wanted = self.wanted();
            if self.head_length == wanted {
                break;
            }
            let missing = wanted - self.head_length;
            let (taken, rest) = input.split_at(missing.min(input.len()));
            if taken.is_empty() {
                return Ok(None);
            }
            for (place, byte) in self.head.iter_mut().skip(self.head_length).zip(taken) {
                *place = *byte;
            }
            self.head_length += taken.len();
            *input = rest;
            if self.head_length >= 2 {
                // As early as it shows: a client without masks would otherwise
                // be waited for.
                self.check_start()?;
            }
        }
        let frame = self.parse_head()?;
        self.head_length = 0;
        Ok(Some(frame))
    }

    /// How long the head is, as far as can be known.
    fn wanted(&self) -> usize {
        if self.head_length < 2 {
            return 2;
        }
        match self.head[1] & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    fn check_start(&self) -> Result<(), Violation> {
        let [first, second, ..] = self.head;
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("a reserved bit is set"));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("frames of clients must be masked"));
        }
        let opcode = Opcode::read(first & 0x0f)?;
        let last = first & 0x80 != 0;
        if opcode.is_control() && (!last || usize::from(second & 0x7f) > CONTROL_BYTES) {
            return Err(Violation::Protocol("a control frame is fragmented or too long"));
        }
        match (opcode, self.fragmented) {
            (Opcode::Continuation, None) => Err(Violation::Protocol("a continuation of nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                Err(Violation::Protocol("a message begins inside of another"))
            }
            _ => Ok(()),
        }
    }

    fn parse_head(&self) -> Result<Frame, Violation> {
        let [first, second, l0, l1, l2, l3, l4, l5, l6, l7, m0, m1, m2, m3] = self.head;
        let (length, mask) = match second & 0x7f {
            126 => {
                let length = u64::from(u16::from_be_bytes([l0, l1]));
                if length <= CONTROL_BYTES as u64 {
                    return Err(Violation::Protocol("a length is longer than it needs to be"));
                }
                (length, [l2, l3, l4, l5])
            }
            127 => {
                let length = u64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
                if length <= u64::from(u16::MAX) || length > i64::MAX as u64 {
                    return Err(Violation::Protocol("a length is longer than it needs to be"));
                }
                (length, [m0, m1, m2, m3])
            }
            length => (u64::from(length), [l0, l1, l2, l3]),
        };
        let length = usize::try_from(length).map_err(|_| Violation::TooLong)?;
        let opcode = Opcode::read(first & 0x0f)?;
        if !opcode.is_control() && length > self.limit.saturating_sub(self.message.len()) {
            return Err(Violation::TooLong);
        }
        Ok(Frame { last: first & 0x80 != 0, opcode, mask, length, done: 0 })
    }

    fn read_payload(&mut self, mut frame: Frame, input: &mut &[u8]) -> Frame {
        let (taken, rest) = input.split_at((frame.length - frame.done).min(input.len()));
        *input = rest;
        let target = if frame.opcode.is_control() { &mut self.control } else { &mut self.message };
        let start = target.len();
        target.extend_from_slice(taken);
        let mut mask = frame.mask;
        mask.rotate_left(frame.done % 4);
        for four in target.get_mut(start..).unwrap_or_default().chunks_mut(4) {
            four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        frame.done += taken.len();
        frame
    }

    fn end(&mut self, frame: Frame) -> Result<Option<Message>, Violation> {
        Ok(Some(match frame.opcode {
            Opcode::Ping => Message::Ping(std::mem::take(&mut self.control)),
            Opcode::Pong => {
                self.control = Vec::new();
                Message::Pong
            }
            Opcode::Close => Message::Close(close_code(&std::mem::take(&mut self.control))?),
            opcode => {
                let opcode = self.fragmented.take().unwrap_or(opcode);
                if !frame.last {
                    self.fragmented = Some(opcode);
                    return Ok(None);
                }
                let message = std::mem::take(&mut self.message);
                match opcode {
                    Opcode::Text => {
                        Message::Text(String::from_utf8(message).map_err(|_| Violation::NotUtf8)?)
                    }
                    _ => Message::Binary,
                }
            }
        }))
    }
}

/// The code in the payload of a close frame (section 5.5.1).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        _ => return Err(Violation::Protocol("a close frame of one byte")),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("a close code that must not be sent"));
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(code))
}

/// The head of a whole message of `length` bytes, with room for `more` bytes
/// behind it.
pub(super) fn head(opcode: Opcode, length: usize, more: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEAD_BYTES + more);
    out.put_u8(0x80 | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => out.put_u8(length),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    out
}

/// A control frame; `payload` is cut where control frames end.
pub(super) fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    let payload = payload.get(..CONTROL_BYTES).unwrap_or(payload);
    let mut out = head(opcode, payload.len(), payload.len());
    out.extend_from_slice(payload);
    out.freeze()
}

/// A close frame.
pub(super) fn close(code: u16, reason: &str) -> Bytes {
    let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES)).unwrap_or_default();
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    control(Opcode::Close, &payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A frame as a client sends it.
    fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend((length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    fn read_all(bytes: &[u8], pieces: usize) -> Result<Vec<Message>, Violation> {
        let mut decoder = Decoder::new(1 << 20);
        let mut out = Vec::new();
        for mut piece in bytes.chunks(pieces) {
            while let Some(message) = decoder.read(&mut piece)? {
                out.push(message);
            }
        }
        Ok(out)
    }

    #[test]
    fn messages_are_read_from_any_pieces() {
        let bytes = [
            sent(0x81, b"Hello"),
            sent(0x01, b"Hel"),
            sent(0x89, b"are you there"),
            sent(0x00, b""),
            sent(0x80, "lö".as_bytes()),
            sent(0x8a, b""),
            sent(0x82, &[0xff; 70_000]),
            sent(0x81, "x".repeat(300).as_bytes()),
            sent(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
        ]
        .concat();
        let expected = [
            Message::Text("Hello".to_owned()),
            Message::Ping(b"are you there".to_vec()),
            Message::Text("Hello".replace('o', "ö")),
            Message::Pong,
            Message::Binary,
            Message::Text("x".repeat(300)),
            Message::Close(Some(1000)),
        ];
        for pieces in [1, 2, 3, 7, 4096, bytes.len()] {
            assert_eq!(read_all(&bytes, pieces).as_deref(), Ok(&expected[..]), "{pieces}");
        }
    }

    #[test]
    fn what_the_rfc_forbids_ends_the_connection() {
        let unmasked = [0x81, 0x05, b'H', b'e', b'l', b'l', b'o'];
        let long_head =
            |code: u8, length: &[u8]| [&[0x81, 0x80 | code], length, &MASK, b"payload"].concat();
        for (bytes, code) in [
            (unmasked.to_vec(), 1002),
            (vec![0x81, 0x00], 1002),
            (sent(0xc1, b"x"), 1002),
            (sent(0x83, b"x"), 1002),
            (sent(0x8b, b"x"), 1002),
            (sent(0x80, b"x"), 1002),
            ([sent(0x01, b"x"), sent(0x81, b"y")].concat(), 1002),
            (sent(0x09, b"x"), 1002),
            (sent(0x89, &[0; 126]), 1002),
            (long_head(126, &[0, 7]), 1002),
            (long_head(127, &[0, 0, 0, 0, 0, 0, 0, 7]), 1002),
            (long_head(127, &[0xff; 8]), 1002),
            (long_head(127, &[0, 0, 0, 0, 0x7f, 0, 0, 0]), 1009),
            (sent(0x88, b"x"), 1002),
            (sent(0x88, &[0x03, 0xed]), 1002),
            (sent(0x88, &[0x00, 0x01]), 1002),
            (sent(0x88, &[0x03, 0xe8, 0xff]), 1007),
            (sent(0x81, b"\xc3\x28"), 1007),
            ([sent(0x01, b"\xc3"), sent(0x80, b"x")].concat(), 1007),
        ] {
            for pieces in [1, bytes.len()] {
                let violation = read_all(&bytes, pieces).expect_err("is refused");
                assert_eq!(violation.close_code(), code, "{bytes:02x?} {violation:?}");
            }
        }
    }

    #[test]
    fn the_limit_counts_fragments_together() {
        let mut decoder = Decoder::new(10);
        let bytes = [sent(0x01, b"123456"), sent(0x00, b"1234")].concat();
        let mut input = &bytes[..];
        assert_eq!(decoder.read(&mut input), Ok(None));
        let over = sent(0x80, b"5");
        assert_eq!(decoder.read(&mut &over[..]), Err(Violation::TooLong));
    }

    #[test]
    fn an_idle_decoder_owns_nothing() {
        let mut decoder = Decoder::new(1 << 20);
        let bytes = sent(0x81, &[b'x'; 100_000]);
        assert!(matches!(decoder.read(&mut &bytes[..]), Ok(Some(Message::Text(_)))));
        assert_eq!((decoder.message.capacity(), decoder.control.capacity()), (0, 0));
        // What is announced is not taken for arrived.
        assert_eq!(decoder.read(&mut &bytes[..20]), Ok(None));
        assert!(decoder.message.capacity() < 100);
    }

    #[test]
    fn close_frames_are_cut_at_characters() {
        let frame = close(4400, &"ö".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert_eq!(&frame[..4], &[0x88, 124, 0x11, 0x30]);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_read_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            pieces in 1_usize..50,
        ) {
            let whole = read_all(&bytes, bytes.len().max(1));
            prop_assert_eq!(read_all(&bytes, pieces), whole);
        }

        #[test]
        fn texts_survive(text in ".{0,300}", cut in 0_usize..400, pieces in 1_usize..50) {
            let cut = text.floor_char_boundary(cut);
            let bytes =
                [sent(0x01, &text.as_bytes()[..cut]), sent(0x80, &text.as_bytes()[cut..])].concat();
            prop_assert_eq!(read_all(&bytes, pieces), Ok(vec![Message::Text(text)]));
        }
    }
}
