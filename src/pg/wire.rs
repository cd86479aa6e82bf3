//! The bytes between the driver and Postgres: one Sync per transaction, and
//! the state of the transaction, which the driver does not show.
//!
//! ```text
//! driver     BEGIN Sync   settings Sync   query Sync   COMMIT Sync
//! Postgres   BEGIN        settings        query        COMMIT Sync
//! ```
//!
//! The driver ends every statement with a Sync, and at each Postgres ends what
//! it does, and sends. Inside of a transaction that `BEGIN` began a Sync decides
//! nothing, so one that is followed by more of the transaction in the same flush
//! is held back; where Postgres would have answered it, the driver is given the
//! ReadyForQuery. After an error Postgres skips everything up to the Sync, so the
//! statements in between are answered here, with the error that Postgres itself
//! has for them (25P02). All else passes as it is: logging in, other statements,
//! notifications, COPY.
//!
//! Where the driver reads COMMIT and Postgres did ROLLBACK, an error is put in.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// How much of a message is looked at: names of the driver and the commands
/// that begin or end a transaction are short.
const SEEN: usize = 64;
/// So much waits for the socket before the driver has to.
const OUT_BYTES: usize = 64 * 1024;

const SYNC: [u8; 5] = *b"S\0\0\0\x04";
/// No transaction is open, or one is, as ReadyForQuery says it.
const IDLE: u8 = b'I';
const OPEN: u8 = b'T';

/// What Postgres said last of the connection's transaction.
#[derive(Debug, Default)]
pub(super) struct TxStatus(AtomicU8);

impl TxStatus {
    /// No transaction is open, as far as Postgres has answered.
    pub(super) fn is_idle(&self) -> bool {
        self.get() == IDLE
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, status: u8) {
        self.0.store(status, Ordering::Release);
    }
}

/// What a statement does to the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Effect {
    #[default]
    None,
    Begin,
    Commit,
    Rollback,
}

impl Effect {
    fn of(sql: &[u8]) -> Self {
        match sql {
            b"COMMIT" => Effect::Commit,
            b"ROLLBACK" => Effect::Rollback,
            _ if sql == b"BEGIN" || sql.starts_with(b"BEGIN ") => Effect::Begin,
            _ => Effect::None,
        }
    }
}

/// What the driver takes as one request: it ends with ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Unit {
    /// Its Sync was held back.
    held: bool,
    /// The message that answers its last one, if Postgres has several.
    ends: Ends,
    commits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ends {
    /// Not one that can be told from here.
    #[default]
    Unknown,
    /// With the end of a statement's rows.
    Executed,
    /// With a statement's description.
    Described,
}

/// A header of type and length, and what follows it, cut anywhere.
#[derive(Debug, Default)]
struct Message {
    header: [u8; 5],
    /// Bytes of the header that are here.
    have: usize,
    /// Bytes of the body that are to come.
    left: usize,
    /// How the body begins.
    seen: Vec<u8>,
}

impl Message {
    /// Takes the header or the body or the part of it that is there; true when
    /// the message is complete.
    fn take(&mut self, bytes: &mut &[u8], header: usize) -> io::Result<bool> {
        if self.have < header {
            let part = split(bytes, header - self.have);
            let have = self.have + part.len();
            if let Some(places) = self.header.get_mut(self.have..have) {
                places.copy_from_slice(part);
            }
            self.have = have;
            if self.have < header {
                return Ok(false);
            }
            let [first, a, b, c, d] = self.header;
            let length = if header == 5 { [a, b, c, d] } else { [first, a, b, c] };
            self.left = usize::try_from(u32::from_be_bytes(length))
                .ok()
                .and_then(|length| length.checked_sub(4))
                .ok_or_else(|| broken("a message of impossible length"))?;
            self.seen.clear();
            return Ok(self.left == 0);
        }
        let part = split(bytes, self.left);
        let room = SEEN.saturating_sub(self.seen.len()).min(part.len());
        self.seen.extend_from_slice(part.get(..room).unwrap_or_default());
        self.left -= part.len();
        Ok(self.left == 0)
    }

    fn tag(&self) -> u8 {
        let [tag, ..] = self.header;
        tag
    }

    /// The zero-ended texts that the body begins with; what is cut off is none.
    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.seen.iter().rposition(|byte| *byte == 0).unwrap_or(0);
        self.seen.get(..whole).unwrap_or_default().split(|byte| *byte == 0)
    }
}

fn split<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    part
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Both directions, without the socket.
#[derive(Debug, Default)]
struct Folding {
    /// The first message has no type: it asks for TLS, or logs in.
    typed: bool,
    /// The first ReadyForQuery ends the login.
    ready: bool,
    /// Requests that are not answered yet.
    units: VecDeque<Unit>,
    front: Message,
    back: Message,
    /// The request that is being written.
    unit: Unit,
    executes: usize,
    describes: usize,
    /// What the statement that is bound does.
    bound: Effect,
    /// Prepared statements that do something to the transaction.
    effects: Vec<(Vec<u8>, Effect)>,
    in_transaction: bool,
    /// The Sync of the last request is held back, and nothing follows it yet.
    owed: bool,
    /// Postgres skips everything up to the Sync.
    skipping: bool,
}

impl Folding {
    /// Takes what the driver writes and adds what goes to Postgres.
    fn write(&mut self, mut bytes: &[u8], out: &mut BytesMut) -> io::Result<()> {
        while !bytes.is_empty() {
            let header = if self.typed { 5 } else { 4 };
            let in_header = self.front.have < header;
            let before = bytes;
            let complete = self.front.take(&mut bytes, header)?;
            if !in_header {
                let taken = before.len() - bytes.len();
                out.extend_from_slice(before.get(..taken).unwrap_or_default());
            } else if self.front.have == header {
                if self.typed {
                    self.begin(out);
                }
                if !(self.typed && self.front.tag() == b'S') {
                    out.extend_from_slice(self.front.header.get(..header).unwrap_or_default());
                }
            }
            if complete {
                self.end(out);
                self.front.have = 0;
            }
        }
        Ok(())
    }

    /// A message begins: is the Sync before it still to come? Close must not be
    /// skipped, or the statement stays.
    fn begin(&mut self, out: &mut BytesMut) {
        if matches!(self.front.tag(), b'P' | b'B' | b'D' | b'E' | b'H' | b'S') {
            self.owed = false;
        } else {
            self.settle(out);
        }
    }

    /// Sends a Sync that is owed.
    fn settle(&mut self, out: &mut BytesMut) {
        if self.owed {
            self.owed = false;
            out.extend_from_slice(&SYNC);
            if let Some(last) = self.units.back_mut() {
                last.held = false;
            }
        }
    }

    /// A message is complete.
    fn end(&mut self, out: &mut BytesMut) {
        if !self.typed {
            // Protocol 3.x; all others are requests of one message.
            self.typed = self.front.seen.starts_with(&[0, 3]);
            return;
        }
        match self.front.tag() {
            b'P' => {
                let mut texts = self.front.texts();
                let name = texts.next().map(<[u8]>::to_vec);
                let effect = texts.next().map_or(Effect::None, Effect::of);
                if let Some(name) = name {
                    self.effects.retain(|(known, _)| *known != name);
                    if effect != Effect::None {
                        self.effects.push((name, effect));
                    }
                }
                self.unit.ends = Ends::Unknown;
            }
            b'B' => {
                let name = self.front.texts().nth(1);
                let known = self.effects.iter().find(|(known, _)| Some(&**known) == name);
                self.bound = known.map_or(Effect::None, |(_, effect)| *effect);
                self.unit.ends = Ends::Unknown;
            }
            b'E' => {
                match self.bound {
                    Effect::None => {}
                    Effect::Begin => self.in_transaction = true,
                    Effect::Commit | Effect::Rollback => self.in_transaction = false,
                }
                self.unit.commits |= self.bound == Effect::Commit;
                self.executes += 1;
                self.unit.ends = if self.executes == 1 { Ends::Executed } else { Ends::Unknown };
            }
            b'D' => {
                self.describes += 1;
                let first = self.executes == 0 && self.describes == 1;
                self.unit.ends = if first { Ends::Described } else { Ends::Unknown };
            }
            b'C' => self.unit.ends = Ends::Unknown,
            b'S' => {
                let mut unit = std::mem::take(&mut self.unit);
                (self.executes, self.describes) = (0, 0);
                unit.held = self.in_transaction && unit.ends != Ends::Unknown;
                self.owed = unit.held;
                if !unit.held {
                    out.extend_from_slice(&SYNC);
                }
                self.units.push_back(unit);
            }
            b'Q' => {
                let effect = self.front.texts().next().map_or(Effect::None, Effect::of);
                self.in_transaction = false;
                let commits = effect == Effect::Commit;
                self.units.push_back(Unit { commits, ..Unit::default() });
            }
            b'F' => self.units.push_back(Unit::default()),
            _ => {}
        }
    }

    /// Takes what Postgres sends, up to where something is to be put in, which
    /// is added to `insert`. Returns how many bytes it took.
    fn read(
        &mut self,
        bytes: &[u8],
        insert: &mut BytesMut,
        status: &TxStatus,
    ) -> io::Result<usize> {
        let mut rest = bytes;
        if !self.typed {
            // The answer of one byte to the question for TLS.
            return Ok(bytes.len());
        }
        while !rest.is_empty() && insert.is_empty() {
            if self.back.take(&mut rest, 5)? {
                self.answer(insert, status)?;
                self.back.have = 0;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// A message of Postgres is complete.
    fn answer(&mut self, insert: &mut BytesMut, status: &TxStatus) -> io::Result<()> {
        let tag = self.back.tag();
        if tag == b'Z' {
            status.set(self.back.seen.first().copied().unwrap_or_default());
        }
        if !self.ready {
            self.ready = tag == b'Z';
            return Ok(());
        }
        // What comes at any time, and what nobody asked for.
        let Some(unit) = self.units.front().copied() else { return Ok(()) };
        if matches!(tag, b'N' | b'A' | b'S') {
            return Ok(());
        }
        if self.skipping {
            return match tag {
                b'Z' => self.end_skipping(insert, status),
                // The connection ends, too.
                b'E' => Ok(()),
                _ => Err(broken("an answer to what was to be skipped")),
            };
        }
        if !unit.held {
            if tag == b'Z' {
                self.units.pop_front();
            } else if tag == b'C' && unit.commits && self.back.texts().next() == Some(b"ROLLBACK") {
                put_error(insert);
            }
            return Ok(());
        }
        let ended = match tag {
            b'C' | b'I' | b's' => unit.ends == Ends::Executed,
            b'T' | b'n' => unit.ends == Ends::Described,
            b'E' => {
                self.skipping = true;
                false
            }
            b'1' | b'2' | b'3' | b't' | b'D' => false,
            _ => return Err(broken("an answer that does not belong to a transaction")),
        };
        if ended {
            self.units.pop_front();
            put_ready(insert, OPEN);
        }
        Ok(())
    }

    /// Postgres' ReadyForQuery is that of the request that failed; those after it
    /// up to the Sync fail with it.
    fn end_skipping(&mut self, insert: &mut BytesMut, status: &TxStatus) -> io::Result<()> {
        self.skipping = false;
        let mut unit = self.units.pop_front();
        while unit.is_some_and(|unit| unit.held) {
            put_error(insert);
            put_ready(insert, status.get());
            unit = self.units.pop_front();
        }
        unit.map(|_| ()).ok_or_else(|| broken("an end of what was not sent"))
    }
}

fn put_ready(out: &mut BytesMut, status: u8) {
    out.extend_from_slice(b"Z\0\0\0\x05");
    out.put_u8(status);
}

/// The error of a statement in a transaction that has failed.
fn put_error(out: &mut BytesMut) {
    const BODY: &[u8] = b"SERROR\0VERROR\0C25P02\0\
        Mcurrent transaction is aborted, commands ignored until end of transaction block\0\0";
    out.put_u8(b'E');
    out.put_u32(BODY.len() as u32 + 4);
    out.extend_from_slice(BODY);
}

/// A connection to Postgres as the driver sees it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    folding: Folding,
    /// For Postgres.
    out: BytesMut,
    /// For the driver, before what is read next.
    ahead: BytesMut,
    status: Arc<TxStatus>,
}

impl<S> Wire<S> {
    /// A stream on which nothing was sent yet.
    pub(super) fn new(stream: S, status: Arc<TxStatus>) -> Self {
        Wire {
            stream,
            folding: Folding::default(),
            out: BytesMut::new(),
            ahead: BytesMut::new(),
            status,
        }
    }

    /// The same for the stream inside, encrypted; what was said on it before is
    /// forgotten.
    pub(super) fn into_parts(self) -> (S, Arc<TxStatus>) {
        (self.stream, self.status)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What Postgres has seen always ends with a Sync that it will answer.
        self.folding.settle(&mut self.out);
        while !self.out.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if sent == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.out.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            if !this.out.is_empty()
                && let Poll::Ready(Err(error)) = this.poll_drain(cx)
            {
                return Poll::Ready(Err(error));
            }
            let start = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let mut read = buffer.filled().get(start..).unwrap_or_default();
            let taken = this.folding.read(read, &mut this.ahead, &this.status)?;
            if this.ahead.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // What follows the first insertion goes behind it.
            split(&mut read, taken);
            while !read.is_empty() {
                let mut insert = BytesMut::new();
                let taken = this.folding.read(read, &mut insert, &this.status)?;
                this.ahead.extend_from_slice(split(&mut read, taken));
                this.ahead.unsplit(insert);
            }
            buffer.set_filled(start + taken);
        }
        let fits = buffer.remaining().min(this.ahead.len());
        buffer.put_slice(&this.ahead.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() >= OUT_BYTES {
            ready!(this.poll_drain(cx))?;
        }
        this.folding.write(bytes, &mut this.out)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Wire<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests;
