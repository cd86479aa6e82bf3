//! One connection that follows the write-ahead log: logical replication with
//! the output plugin `pgoutput`, from a slot that ends with the connection.
//!
//! ```text
//! open ─▶ create_slot ─▶ start ─▶ receive: messages of pgoutput, keepalives
//!                                  └▶ confirm: how far we are, every 10 s
//! ```
//!
//! The driver does not speak the replication protocol, so logging in and the
//! frames of COPY are done here, with the codec that is under the driver
//! (<https://www.postgresql.org/docs/current/protocol-replication.html>).
//! What a message says is `live`'s to read.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{
    AuthenticationSaslBody, ErrorResponseBody, Header, Message,
};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_postgres::config::ChannelBinding as Binding;
use tokio_postgres::fallible_iterator::FallibleIterator;
use tokio_util::either::Either;

use super::connect::{Connector, Encrypted, Socket};
use super::error::{DbFault, PgError};
use super::url::ConnectionString;

/// Between two confirmations; the answer that each asks for is a sign of life.
const CONFIRM: Duration = Duration::from_secs(10);
/// A server that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(35);
/// How long logging in and short commands may take.
const LIMIT: Duration = Duration::from_secs(15);
/// Seconds between 1970 and 2000, where Postgres begins to count.
const EPOCH: u64 = 946_684_800;

/// What the server sends while it streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// One message of pgoutput, the place in the log that it ends at, and when
    /// the server sent it: microseconds since 2000, by its clock.
    Change { end: u64, sent: i64, message: Bytes },
    /// Everything before this place was sent.
    Caught { up_to: u64 },
}

/// A replication connection.
pub struct Replication {
    stream: Either<Socket, Encrypted>,
    input: BytesMut,
    /// The place in the log that is confirmed.
    confirmed: u64,
    confirm_at: Instant,
    heard: Instant,
}

impl std::fmt::Debug for Replication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replication").finish_non_exhaustive()
    }
}

fn broken(error: std::io::Error) -> PgError {
    PgError::Unavailable(format!("the replication connection broke: {error}"))
}

fn unexpected(what: &str) -> PgError {
    PgError::Protocol(format!("the replication connection: {what}"))
}

async fn in_time<T>(work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
    timeout(LIMIT, work).await.unwrap_or(Err(PgError::Timeout { limit: LIMIT }))
}

impl Replication {
    /// Connects and logs in.
    pub async fn open(url: &ConnectionString) -> Result<Self, PgError> {
        let connector =
            Connector::new(url, "").map_err(|error| PgError::Unavailable(error.to_string()))?;
        in_time(async {
            let bare = connector.open_bare().await?;
            let now = Instant::now();
            let mut this = Replication {
                stream: bare.stream,
                input: BytesMut::new(),
                confirmed: 0,
                confirm_at: now + CONFIRM,
                heard: now,
            };
            this.log_in(&bare.config).await?;
            Ok(this)
        })
        .await
    }

    async fn log_in(&mut self, config: &tokio_postgres::Config) -> Result<(), PgError> {
        if config.get_channel_binding() == Binding::Require {
            return Err(unexpected("channel_binding=require cannot be kept on it"));
        }
        let user = config.get_user().unwrap_or_default();
        let parameters = [
            ("client_encoding", "UTF8"),
            ("user", user),
            ("database", config.get_dbname().unwrap_or(user)),
            ("replication", "database"),
            ("application_name", "ringfence live"),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out).map_err(broken)?;
        self.send(&out).await?;
        let password =
            || config.get_password().ok_or_else(|| unexpected("the server asks for a password"));
        loop {
            let mut out = BytesMut::new();
            match self.message().await? {
                Message::AuthenticationOk => break,
                Message::AuthenticationCleartextPassword => {
                    frontend::password_message(password()?, &mut out).map_err(broken)?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(user.as_bytes(), password()?, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut out).map_err(broken)?;
                }
                Message::AuthenticationSasl(body) => {
                    self.scram(password()?, &body).await?;
                    continue;
                }
                Message::ErrorResponse(body) => return Err(refused(&body)),
                _ => return Err(unexpected("a way to log in that is not supported")),
            }
            self.send(&out).await?;
        }
        loop {
            match self.message().await? {
                Message::ReadyForQuery(_) => return Ok(()),
                Message::BackendKeyData(_) => {}
                Message::ErrorResponse(body) => return Err(refused(&body)),
                _ => return Err(unexpected("no end of the login")),
            }
        }
    }

    /// Without channel binding: the driver's TLS does not tell what to bind to.
    async fn scram(
        &mut self,
        password: &[u8],
        body: &AuthenticationSaslBody,
    ) -> Result<(), PgError> {
        let offered: Vec<&str> = body.mechanisms().collect().map_err(broken)?;
        if !offered.contains(&SCRAM_SHA_256) {
            return Err(unexpected("a way to log in that is not supported"));
        }
        let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut out)
            .map_err(broken)?;
        self.send(&out).await?;
        match self.message().await? {
            Message::AuthenticationSaslContinue(body) => {
                scram.update(body.data()).map_err(broken)?;
            }
            Message::ErrorResponse(body) => return Err(refused(&body)),
            _ => return Err(unexpected("no challenge")),
        }
        let mut out = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut out).map_err(broken)?;
        self.send(&out).await?;
        match self.message().await? {
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()).map_err(broken)?,
            Message::ErrorResponse(body) => return Err(refused(&body)),
            _ => return Err(unexpected("no proof of the server")),
        }
        Ok(())
    }

    /// Makes a slot that ends with the connection. The server first waits for
    /// every transaction that writes, however long that takes.
    ///
    /// `name` consists of `[a-z0-9_]`, as the names of slots do.
    pub async fn create_slot(&mut self, name: &str) -> Result<(), PgError> {
        let command =
            ["CREATE_REPLICATION_SLOT ", name, " TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"];
        let mut out = BytesMut::new();
        frontend::query(&command.concat(), &mut out).map_err(broken)?;
        self.send(&out).await?;
        let mut failed = None;
        loop {
            match self.message().await? {
                Message::ReadyForQuery(_) => return failed.map_or(Ok(()), Err),
                Message::ErrorResponse(body) => failed = Some(fault(&body)),
                _ => {}
            }
        }
    }

    /// Begins to stream what the publication has. Both names as above.
    pub async fn start(&mut self, slot: &str, publication: &str) -> Result<(), PgError> {
        let command = [
            "START_REPLICATION SLOT ",
            slot,
            " LOGICAL 0/0 (proto_version '1', publication_names '",
            publication,
            "')",
        ];
        let mut out = BytesMut::new();
        frontend::query(&command.concat(), &mut out).map_err(broken)?;
        in_time(async {
            self.send(&out).await?;
            loop {
                // CopyBothResponse, which the codec does not know.
                if let Some(header) = Header::parse(&self.input).map_err(broken)?
                    && header.tag() == b'W'
                {
                    let length = usize::try_from(header.len()).unwrap_or(usize::MAX) + 1;
                    if self.input.len() >= length {
                        self.input.advance(length);
                        self.heard = Instant::now();
                        return Ok(());
                    }
                    self.fill().await?;
                    continue;
                }
                match Message::parse(&mut self.input).map_err(broken)? {
                    Some(Message::ErrorResponse(body)) => return Err(fault(&body)),
                    Some(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                    Some(_) => return Err(unexpected("no stream")),
                    None => self.fill().await?,
                }
            }
        })
        .await
    }

    /// The next thing that the server says. Confirms on the way, so it must be
    /// called again soon; may be dropped at any time.
    pub async fn receive(&mut self) -> Result<Received, PgError> {
        loop {
            if let Some(message) = Message::parse(&mut self.input).map_err(broken)? {
                self.heard = Instant::now();
                let mut body = match message {
                    Message::CopyData(body) => body.into_bytes(),
                    Message::ErrorResponse(body) => return Err(fault(&body)),
                    Message::NoticeResponse(_) | Message::ParameterStatus(_) => continue,
                    _ => return Err(unexpected("the stream ended")),
                };
                match body.try_get_u8() {
                    // Start, end, clock.
                    Ok(b'w') if body.len() >= 24 => {
                        body.advance(8);
                        let end = body.get_u64();
                        let sent = body.get_i64();
                        return Ok(Received::Change { end, sent, message: body });
                    }
                    // End, clock, whether to answer.
                    Ok(b'k') if body.len() >= 17 => {
                        let up_to = body.get_u64();
                        body.advance(8);
                        if body.get_u8() != 0 {
                            self.confirm_at = Instant::now();
                        }
                        return Ok(Received::Caught { up_to });
                    }
                    _ => return Err(unexpected("a message of an unknown kind")),
                }
            }
            let now = Instant::now();
            if now >= self.heard + SILENCE {
                return Err(PgError::Unavailable("the server has fallen silent".to_owned()));
            }
            if now >= self.confirm_at {
                // Taken only when all of it is written.
                in_time(self.send_status()).await?;
                self.confirm_at = Instant::now() + CONFIRM;
                continue;
            }
            let next = self.confirm_at.min(self.heard + SILENCE);
            match tokio::time::timeout_at(next, self.fill()).await {
                Ok(filled) => filled?,
                Err(_) => continue,
            }
        }
    }

    /// Everything before this place in the log is of no more use to us; told to
    /// the server in time.
    pub fn confirm(&mut self, place: u64) {
        self.confirmed = self.confirmed.max(place);
    }

    /// Written, flushed, applied, clock; asks for an answer.
    async fn send_status(&mut self) -> Result<(), PgError> {
        let since = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH);
        let clock = since.elapsed().map_or(0, |time| time.as_micros());
        let mut out = BytesMut::with_capacity(39);
        out.put_u8(b'd');
        out.put_u32(4 + 1 + 8 * 4 + 1);
        out.put_u8(b'r');
        for _ in 0..3 {
            out.put_u64(self.confirmed);
        }
        out.put_i64(i64::try_from(clock).unwrap_or(i64::MAX));
        out.put_u8(1);
        self.send(&out).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), PgError> {
        self.stream.write_all(bytes).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    async fn fill(&mut self) -> Result<(), PgError> {
        self.input.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.input).await.map_err(broken)? {
            0 => Err(PgError::Unavailable("the server closed the connection".to_owned())),
            _ => Ok(()),
        }
    }

    /// The next message that matters.
    async fn message(&mut self) -> Result<Message, PgError> {
        loop {
            match Message::parse(&mut self.input).map_err(broken)? {
                Some(Message::NoticeResponse(_) | Message::ParameterStatus(_)) => {}
                Some(message) => return Ok(message),
                None => self.fill().await?,
            }
        }
    }
}

fn refused(body: &ErrorResponseBody) -> PgError {
    match fault(body) {
        PgError::Database(fault) if fault.sqlstate.starts_with("28") => {
            PgError::Refused(format!("{} (SQLSTATE {})", fault.message, fault.sqlstate))
        }
        other => other,
    }
}

fn fault(body: &ErrorResponseBody) -> PgError {
    let mut fault = DbFault {
        sqlstate: "".into(),
        message: "".into(),
        detail: None,
        hint: None,
        schema: None,
        table: None,
        column: None,
        constraint: None,
        of_statement: false,
        raised: false,
        of_parameter: false,
    };
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = String::from_utf8_lossy(field.value_bytes());
        match field.type_() {
            b'C' => fault.sqlstate = text.as_ref().into(),
            b'M' => fault.message = text.as_ref().into(),
            _ => {}
        }
    }
    PgError::Database(Box::new(fault))
}
