//! The only doors through which SQL runs.
//!
//! ```text
//! Pg::query_json   one read-only transaction as a session, one round trip
//! Pg::query_rows   the same, of a statement whose rows become JSON here
//! Pg::begin_as     SessionTx: a transaction as a session, statement by statement
//! Pg::begin_system SystemTx: a transaction of our own, with a reason
//! ```
//!
//! A transaction is always explicit: `BEGIN`, the settings statement (identity
//! and role, transaction-local), the work, `COMMIT`. Whatever happens in it,
//! - all messages of a pipeline are sent before the first answer is awaited, and
//!   [`super::wire`] makes one group of them,
//! - success means that every answer was good, and that `COMMIT` did commit,
//! - after an error the connection is used again only when a `ROLLBACK` was
//!   acknowledged, and when a future is dropped, [`Lease`] sees to the same,
//! - a connection on which Postgres has a transaction open never comes back.
//!
//! A statement is prepared inside the transaction, after the role is set: name
//! resolution needs the rights of the role, of which the login has none.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::{MaybeDone, maybe_done};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, RowStream};

use super::error::PgError;
use super::param::{TextParam, TextRef};
use super::pool::{Frame, Lease, StatementKey, count};
use super::rows::{RowShape, Writer};
use super::write::Reply;
use super::{Mode, Pg};
use crate::session::settings::{Planning, SettingsPlan};
use crate::session::{Authority, Session};

const COMMIT: &str = "COMMIT";
const NOTHING: &[TextParam] = &[];

/// Results up to this size are copied; larger ones keep the buffer they came in.
const COPY_LIMIT: usize = 8 * 1024;
/// How long a ROLLBACK may take before the connection is given up.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(2);
/// How long the sockets of a restarted server have to be noticed as closed.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Polls all futures once, in order, so that all their messages are sent before
/// the first answer is awaited; then takes the answers in order.
macro_rules! pipeline {
    ($($future:ident),+) => {{
        $(let mut $future = pin!(maybe_done($future));)+
        std::future::poll_fn(|cx| {
            // Whatever is ready already is kept by `MaybeDone`.
            $(let _sent = $future.as_mut().poll(cx);)+
            Poll::Ready(())
        })
        .await;
        ($(answer($future).await),+)
    }};
}

pub(super) type DriverResult<T> = Result<T, tokio_postgres::Error>;

/// Who a transaction runs as.
#[derive(Debug, Clone, Copy)]
pub struct TxContext<'a> {
    pub(super) authority: Authority,
    values: Values<'a>,
    role: &'a str,
    role_hash: u64,
    planning: Planning,
    pub(super) settings: &'a SettingsPlan,
}

/// Where the values of the settings come from.
#[derive(Debug, Clone, Copy)]
enum Values<'a> {
    Session(&'a Session),
    /// In the order of the plan.
    Given(&'a [String]),
}

impl<'a> TxContext<'a> {
    /// `db_role` is the database role that the session's role maps to.
    pub fn new(session: &'a Session, db_role: &'a str, settings: &'a SettingsPlan) -> Self {
        Self::of(session.authority, Values::Session(session), db_role, settings)
    }

    /// With the values of the settings given one by one: those of a session of
    /// which some are withheld.
    pub fn withheld(
        authority: Authority,
        values: &'a [String],
        db_role: &'a str,
        settings: &'a SettingsPlan,
    ) -> Self {
        Self::of(authority, Values::Given(values), db_role, settings)
    }

    fn of(
        authority: Authority,
        values: Values<'a>,
        db_role: &'a str,
        settings: &'a SettingsPlan,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        db_role.hash(&mut hasher);
        let role_hash = hasher.finish();
        let planning = Planning::AsSet;
        TxContext { authority, values, role: db_role, role_hash, planning, settings }
    }

    /// With statements that are planned in this way.
    #[must_use]
    pub fn planned(self, planning: Planning) -> Self {
        TxContext { planning, ..self }
    }

    /// The values of the settings, in the order of the plan.
    pub(super) fn values(&self) -> Vec<Cow<'a, str>> {
        match self.values {
            Values::Session(session) => self.settings.values(session),
            Values::Given(values) => values.iter().map(|v| Cow::Borrowed(v.as_str())).collect(),
        }
    }

    fn settings_key(&self) -> StatementKey<'a> {
        let written = self.settings.written(self.planning);
        StatementKey { hash: written.fingerprint, role: "", text: &written.sql }
    }

    /// What a statement is kept under for this role.
    pub(super) fn key<'s>(&'s self, statement: &'s Statement) -> StatementKey<'s> {
        statement.key(self.role, self.role_hash)
    }

    /// The statement's parameters: the settings' values, then the role.
    pub(super) fn settings_params<'v>(&'v self, values: &'v [Cow<'v, str>]) -> Vec<TextRef<'v>> {
        values.iter().map(|value| TextRef(value)).chain([TextRef(self.role)]).collect()
    }
}

/// A statement that returns one row with one `json` (or text) column.
#[derive(Debug, Clone)]
pub struct Statement {
    pub text: Arc<str>,
    /// A hash of the text, made once.
    pub fingerprint: u64,
    /// Prepared and kept per connection and role; else sent whole each time.
    pub named: bool,
}

impl Statement {
    pub fn new(text: impl Into<Arc<str>>, named: bool) -> Self {
        let text = text.into();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Statement { text, fingerprint: hasher.finish(), named }
    }

    fn key<'a>(&'a self, role: &'a str, role_hash: u64) -> StatementKey<'a> {
        StatementKey { hash: self.fingerprint ^ role_hash.rotate_left(17), role, text: &self.text }
    }
}

/// An error on the way, and whether Postgres had answered before it.
struct Failure {
    error: PgError,
    begun: bool,
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Failure { error, begun: false }
    }
}

impl Pg {
    /// Runs one statement in one read-only transaction as a session and
    /// returns row 0, column 0.
    ///
    /// BEGIN, settings, statement and COMMIT go out together; the first use of
    /// a named statement on a connection takes one round trip more.
    pub async fn query_json(
        &self,
        ctx: &TxContext<'_>,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<Bytes, PgError> {
        json_of(self.query_row(ctx, statement, params).await?)
    }

    /// The same with the row's second and third column.
    pub async fn query_reply(
        &self,
        ctx: &TxContext<'_>,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<Reply, PgError> {
        let row = self.query_row(ctx, statement, params).await?;
        let second = row.as_ref().map_or(Ok(None), |row| text_of(row, 1))?;
        let third = row.as_ref().map_or(Ok(None), |row| text_of(row, 2))?;
        Ok(Reply { json: json_of(row)?, second, third })
    }

    /// The JSON of all rows of a statement, put together by `shape`.
    pub async fn query_rows(
        &self,
        ctx: &TxContext<'_>,
        statement: &Statement,
        shape: &RowShape,
        params: &[TextParam],
    ) -> Result<Bytes, PgError> {
        match self.query(ctx, statement, Some(shape), params).await? {
            Received::Json(json) => Ok(json),
            Received::Row(row) => json_of(row),
        }
    }

    async fn query_row(
        &self,
        ctx: &TxContext<'_>,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<Option<Row>, PgError> {
        match self.query(ctx, statement, None, params).await? {
            Received::Row(row) => Ok(row),
            Received::Json(_) => Err(PgError::Protocol("rows where one was asked for".to_owned())),
        }
    }

    async fn query(
        &self,
        ctx: &TxContext<'_>,
        statement: &Statement,
        shape: Option<&RowShape>,
        params: &[TextParam],
    ) -> Result<Received, PgError> {
        let pool = self.pool_for(ctx)?;
        let limit = self.request_timeout();
        let work = async {
            let mut retried = false;
            loop {
                let mut lease = pool.lease().await?;
                match self.read(&mut lease, ctx, statement, shape, params).await {
                    Ok(received) => return Ok(received),
                    Err(failure) => {
                        let stale = failure.error.is_stale_statement();
                        let lost = !failure.begun && failure.error.is_unavailable();
                        if retried || !(stale || lost) {
                            return Err(failure.error);
                        }
                        retried = true;
                        drop(lease);
                        if lost {
                            tokio::time::sleep(RETRY_PAUSE).await;
                        }
                    }
                }
            }
        };
        // Pinned, as a timeout would move it twice, and it is large.
        match timeout(limit, pin!(work)).await {
            Ok(result) => result,
            Err(_) => Err(PgError::Timeout { limit }),
        }
    }

    async fn read(
        &self,
        lease: &mut Lease,
        ctx: &TxContext<'_>,
        statement: &Statement,
        shape: Option<&RowShape>,
        params: &[TextParam],
    ) -> Result<Received, Failure> {
        let values = ctx.values();
        let settings_params = ctx.settings_params(&values);
        let named = statement.named && self.keeps_statements();
        let frame = self.frame(lease, ctx).await?;
        let frame = frame.as_ref();
        let key = statement.key(ctx.role, ctx.role_hash);
        let prepared = if named { lease.connection()?.statements.get(&key) } else { None };
        if named && prepared.is_none() {
            return Box::pin(self.read_first(lease, ctx, frame, statement, shape, params)).await;
        }
        if named {
            count(&lease.counters().statement_hits);
        }
        lease.set_busy();
        let client = lease.client()?;
        let begin = begin(client, Mode::ReadOnly, frame, lease.is_outdated());
        let set = run_settings(client, frame, ctx, &settings_params);
        let query = async {
            match &prepared {
                Some(prepared) => receive(client.query_raw(prepared, params), shape).await,
                None => {
                    receive(client.query_typed_raw(&statement.text, untyped(params)), shape).await
                }
            }
        };
        let commit = commit(client, frame);
        let (begin, set, received, commit) = pipeline!(begin, set, query, commit);
        count(&lease.counters().round_trips);
        let begun = begin.is_ok();
        if begun {
            lease.set_current();
        }
        let driver = |error: tokio_postgres::Error| PgError::from_driver(&error);
        let result = begin
            .map_err(driver)
            .and(set.map_err(|error| PgError::from_settings(&error)))
            .and(received.map_err(PgError::from))
            .and_then(|received| commit.map(|()| received).map_err(driver));
        match result {
            Ok(received) => {
                lease.set_idle();
                Ok(received)
            }
            Err(error) => {
                forget_stale(lease, &key, &error);
                recover(lease, &error).await;
                Err(Failure { error, begun })
            }
        }
    }

    /// The first use of a named statement on a connection: it is prepared in
    /// the transaction, with the role's rights.
    async fn read_first(
        &self,
        lease: &mut Lease,
        ctx: &TxContext<'_>,
        frame: Option<&Frame>,
        statement: &Statement,
        shape: Option<&RowShape>,
        params: &[TextParam],
    ) -> Result<Received, Failure> {
        let begun = self.begin_and_prepare(lease, ctx, frame, Mode::ReadOnly, Some(statement));
        let prepared = match begun.await {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return Err(PgError::Protocol("nothing was prepared".to_owned()).into()),
            Err(failure) => {
                recover(lease, &failure.error).await;
                return Err(failure);
            }
        };
        let client = lease.client()?;
        let query = receive(client.query_raw(&prepared, params), shape);
        let commit = commit(client, frame);
        let (received, commit) = pipeline!(query, commit);
        count(&lease.counters().round_trips);
        let result = received.map_err(PgError::from).and_then(|received| {
            commit.map(|()| received).map_err(|error| PgError::from_driver(&error))
        });
        match result {
            Ok(received) => {
                lease.set_idle();
                Ok(received)
            }
            Err(error) => {
                forget_stale(lease, &statement.key(ctx.role, ctx.role_hash), &error);
                recover(lease, &error).await;
                Err(Failure { error, begun: true })
            }
        }
    }

    /// BEGIN, settings and perhaps a Parse in one round trip. On success the
    /// lease is busy; on failure the caller recovers.
    async fn begin_and_prepare(
        &self,
        lease: &mut Lease,
        ctx: &TxContext<'_>,
        frame: Option<&Frame>,
        mode: Mode,
        statement: Option<&Statement>,
    ) -> Result<Option<tokio_postgres::Statement>, Failure> {
        let values = ctx.values();
        let settings_params = ctx.settings_params(&values);
        match statement {
            Some(_) => lease.set_preparing(),
            None => lease.set_busy(),
        }
        let client = lease.client()?;
        let begin = begin(client, mode, frame, lease.is_outdated());
        let set = run_settings(client, frame, ctx, &settings_params);
        let prepare = async {
            match statement {
                Some(statement) => client.prepare(&statement.text).await.map(Some),
                None => Ok(None),
            }
        };
        let (begin, set, prepared) = pipeline!(begin, set, prepare);
        count(&lease.counters().round_trips);
        lease.set_busy();
        let begun = begin.is_ok();
        if begun {
            lease.set_current();
        }
        // A statement that was parsed although the transaction or the settings
        // failed was parsed without the role: dropping it closes it.
        let driver = |error: tokio_postgres::Error| PgError::from_driver(&error);
        let prepared = begin
            .map_err(driver)
            .and(set.map_err(|error| PgError::from_settings(&error)))
            .and(prepared.map_err(driver))
            .map_err(|error| Failure { error, begun })?;
        if let (Some(prepared), Some(statement)) = (&prepared, statement) {
            count(&lease.counters().statement_misses);
            let key = statement.key(ctx.role, ctx.role_hash);
            if lease.connection()?.statements.put(&key, prepared.clone()) {
                count(&lease.counters().statement_evictions);
            }
        }
        Ok(prepared)
    }

    /// What stands around the work of a transaction, prepared on this connection;
    /// `None` behind a pooler, where nothing may outlive a transaction.
    pub(super) async fn frame(
        &self,
        lease: &mut Lease,
        ctx: &TxContext<'_>,
    ) -> Result<Option<Frame>, PgError> {
        if self.is_pooled() {
            return Ok(None);
        }
        match lease.connection()?.statements.frame(&ctx.settings_key()) {
            Some(frame) => Ok(Some(frame)),
            None => Box::pin(prepare_frame(lease, ctx)).await.map(Some),
        }
    }

    /// Begins a transaction as a session.
    pub async fn begin_as(&self, ctx: &TxContext<'_>, mode: Mode) -> Result<SessionTx, PgError> {
        let pool = self.pool_for(ctx)?;
        let limit = self.request_timeout();
        let deadline = Instant::now() + limit;
        let work = async {
            let mut retried = false;
            loop {
                let mut lease = pool.lease().await?;
                let begun = match self.frame(&mut lease, ctx).await {
                    Ok(frame) => {
                        let frame = frame.as_ref();
                        self.begin_and_prepare(&mut lease, ctx, frame, mode, None).await.map(|_| ())
                    }
                    Err(error) => Err(error.into()),
                };
                let Err(failure) = begun else { return Ok(lease) };
                recover(&mut lease, &failure.error).await;
                // Nothing was done yet, so beginning again is safe.
                let again = failure.error.is_stale_statement() || failure.error.is_unavailable();
                if failure.error.is_stale_statement() {
                    lease.connection()?.statements.clear();
                }
                if retried || !again {
                    return Err(failure.error);
                }
                retried = true;
                drop(lease);
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        };
        let lease = match timeout_at(deadline, pin!(work)).await {
            Ok(result) => result?,
            Err(_) => return Err(PgError::Timeout { limit }),
        };
        Ok(SessionTx {
            lease,
            role: ctx.role.into(),
            role_hash: ctx.role_hash,
            named: self.keeps_statements(),
            limit,
            deadline,
            failed: false,
        })
    }

    /// Whether the login of requests is let in and answered. A full pool is a
    /// sign of life.
    pub async fn ping(&self) -> Result<(), PgError> {
        let mut lease = match self.request_pool().lease().await {
            Err(PgError::Busy { .. }) => return Ok(()),
            lease => lease?,
        };
        lease.set_busy();
        let limit = self.request_timeout();
        match timeout(limit, finish(&mut lease, "")).await {
            Ok(result) => result,
            Err(_) => Err(PgError::Timeout { limit }),
        }
    }

    /// Begins a transaction of the server itself: with the owner's login when
    /// there is one, else with the authenticator's and no role. `reason` goes
    /// to the log.
    pub async fn begin_system(&self, reason: &'static str) -> Result<SystemTx, PgError> {
        let pool = self.system_pool();
        let mut lease = pool.lease().await?;
        lease.set_busy();
        tracing::trace!(reason, "system transaction");
        let result = lease.client()?.batch_execute("BEGIN").await;
        count(&lease.counters().round_trips);
        if let Err(error) = result {
            let error = PgError::from_driver(&error);
            recover(&mut lease, &error).await;
            return Err(error);
        }
        Ok(SystemTx { lease, reason, tainted: false })
    }
}

/// A transaction as a session. Dropped without [`SessionTx::commit`], it is
/// rolled back.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct SessionTx {
    lease: Lease,
    role: Box<str>,
    role_hash: u64,
    named: bool,
    limit: Duration,
    deadline: Instant,
    failed: bool,
}

impl SessionTx {
    /// Runs a statement and returns row 0, column 0.
    pub async fn query_json(
        &mut self,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<Bytes, PgError> {
        json_of(self.run(statement, params).await?.0)
    }

    /// Runs a statement once and returns the first column of its rows as text.
    pub async fn query_lines(
        &mut self,
        text: &str,
        params: &[TextParam],
    ) -> Result<Vec<String>, PgError> {
        if self.failed {
            return Err(aborted());
        }
        let (deadline, limit) = (self.deadline, self.limit);
        let lease = &mut self.lease;
        let work = async {
            count(&lease.counters().round_trips);
            let rows = lease.client()?.query_typed_raw(text, untyped(params));
            let driver = |error: tokio_postgres::Error| PgError::from_driver(&error);
            let mut rows = pin!(rows.await.map_err(driver)?);
            let mut lines = Vec::new();
            while let Some(row) = rows.try_next().await.map_err(driver)? {
                lines.push(
                    row.try_get::<_, String>(0)
                        .map_err(|error| PgError::Protocol(error.to_string()))?,
                );
            }
            Ok(lines)
        };
        let result = match timeout_at(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(PgError::Timeout { limit }),
        };
        self.failed = result.is_err();
        result
    }

    /// Runs a statement and returns the number of rows that it touched.
    pub async fn execute(
        &mut self,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<u64, PgError> {
        Ok(self.run(statement, params).await?.1)
    }

    async fn run(
        &mut self,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<(Option<Row>, u64), PgError> {
        if self.failed {
            return Err(aborted());
        }
        let (deadline, limit) = (self.deadline, self.limit);
        let result = match timeout_at(deadline, pin!(self.attempt(statement, params))).await {
            Ok(result) => result,
            Err(_) => Err(PgError::Timeout { limit }),
        };
        self.failed = result.is_err();
        result
    }

    async fn attempt(
        &mut self,
        statement: &Statement,
        params: &[TextParam],
    ) -> Result<(Option<Row>, u64), PgError> {
        let driver = |error: tokio_postgres::Error| PgError::from_driver(&error);
        let lease = &mut self.lease;
        if !(statement.named && self.named) {
            count(&lease.counters().round_trips);
            return drain(lease.client()?.query_typed_raw(&statement.text, untyped(params)))
                .await
                .map_err(driver);
        }
        let key = statement.key(&self.role, self.role_hash);
        let prepared = match lease.connection()?.statements.get(&key) {
            Some(prepared) => {
                count(&lease.counters().statement_hits);
                prepared
            }
            None => {
                lease.set_preparing();
                let prepared = lease.client()?.prepare(&statement.text).await;
                lease.set_busy();
                count(&lease.counters().round_trips);
                let prepared = prepared.map_err(driver)?;
                count(&lease.counters().statement_misses);
                if lease.connection()?.statements.put(&key, prepared.clone()) {
                    count(&lease.counters().statement_evictions);
                }
                prepared
            }
        };
        count(&lease.counters().round_trips);
        let result = drain(lease.client()?.query_raw(&prepared, params)).await.map_err(driver);
        if let Err(error) = &result {
            forget_stale(lease, &key, error);
        }
        result
    }

    /// Commits; an error means that nothing of the transaction remains, except
    /// when the connection broke while the answer was outstanding.
    pub async fn commit(mut self) -> Result<(), PgError> {
        if self.failed {
            return Err(aborted());
        }
        let result = match timeout_at(self.deadline, finish(&mut self.lease, COMMIT)).await {
            Ok(result) => result,
            Err(_) => return Err(PgError::Timeout { limit: self.limit }),
        };
        if let Err(error) = &result {
            recover(&mut self.lease, error).await;
        }
        result
    }

    pub async fn rollback(mut self) -> Result<(), PgError> {
        match timeout(ROLLBACK_LIMIT, finish(&mut self.lease, "ROLLBACK")).await {
            Ok(result) => result,
            Err(_) => Err(PgError::Timeout { limit: ROLLBACK_LIMIT }),
        }
    }
}

fn aborted() -> PgError {
    PgError::Protocol("the transaction has failed already".to_owned())
}

/// A transaction of the server itself. Dropped without [`SystemTx::commit`],
/// it is rolled back.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct SystemTx {
    lease: Lease,
    reason: &'static str,
    /// Settings of the session may have changed.
    tainted: bool,
}

impl SystemTx {
    /// Row 0, column 0 as text; the column must be of a text or JSON type.
    pub async fn query_text(&self, sql: &str, params: &[&str]) -> Result<Option<String>, PgError> {
        let rows = self.query_rows(sql, params).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// All rows as text; the columns must be of text or JSON types.
    pub async fn query_rows(
        &self,
        sql: &str,
        params: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, PgError> {
        let rows = self.typed(sql, params).await?;
        rows.iter()
            .map(|row| {
                (0..row.len())
                    .map(|column| {
                        let text: Option<RawText<'_>> = row
                            .try_get(column)
                            .map_err(|error| PgError::Protocol(error.to_string()))?;
                        text.map(|text| std::str::from_utf8(text.0).map(str::to_owned))
                            .transpose()
                            .map_err(|error| PgError::Protocol(error.to_string()))
                    })
                    .collect()
            })
            .collect()
    }

    /// Runs a statement and returns the number of rows that it touched.
    pub async fn execute(&self, sql: &str, params: &[&str]) -> Result<u64, PgError> {
        count(&self.lease.counters().round_trips);
        let params = params.iter().map(|param| (TextRef(param), Type::UNKNOWN));
        drain(self.lease.client()?.query_typed_raw(sql, params))
            .await
            .map(|(_, affected)| affected)
            .map_err(|error| self.error(&error))
    }

    /// Runs several statements without parameters.
    pub async fn batch(&self, sql: &str) -> Result<(), PgError> {
        count(&self.lease.counters().round_trips);
        self.lease.client()?.batch_execute(sql).await.map_err(|error| self.error(&error))
    }

    async fn typed(&self, sql: &str, params: &[&str]) -> Result<Vec<Row>, PgError> {
        count(&self.lease.counters().round_trips);
        let params = params.iter().map(|param| (TextRef(param), Type::UNKNOWN));
        let work = async {
            self.lease
                .client()?
                .query_typed_raw(sql, params)
                .await?
                .try_collect()
                .await
                .map_err(Fault::from)
        };
        work.await.map_err(|fault: Fault| match fault {
            Fault::Driver(error) => self.error(&error),
            Fault::Ours(error) => error,
        })
    }

    fn error(&self, error: &tokio_postgres::Error) -> PgError {
        let error = PgError::from_driver(error);
        tracing::debug!(reason = self.reason, %error, "a system statement failed");
        error
    }

    pub async fn commit(mut self) -> Result<(), PgError> {
        let result = finish(&mut self.lease, COMMIT).await;
        match &result {
            Err(error) => recover(&mut self.lease, error).await,
            Ok(()) if self.tainted => self.lease.set_broken(),
            Ok(()) => {}
        }
        result
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn taint(&mut self) {
        self.tainted = true;
    }
}

impl Drop for SystemTx {
    fn drop(&mut self) {
        if self.tainted {
            // Its ROLLBACK would not take back what `SET` did before `BEGIN`.
            self.lease.set_broken();
        }
    }
}

/// An error of the driver, or one that is typed already.
pub(super) enum Fault {
    Driver(tokio_postgres::Error),
    Ours(PgError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Fault::Driver(error)
    }
}

impl From<PgError> for Fault {
    fn from(error: PgError) -> Self {
        Fault::Ours(error)
    }
}

impl From<Fault> for PgError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Driver(error) => PgError::from_driver(&error),
            Fault::Ours(error) => error,
        }
    }
}

/// Ends a transaction; the lease is idle when the answer was good.
async fn finish(lease: &mut Lease, command: &'static str) -> Result<(), PgError> {
    count(&lease.counters().round_trips);
    lease.client()?.batch_execute(command).await.map_err(|e| PgError::from_driver(&e))?;
    lease.set_ended();
    Ok(())
}

/// After an error: the connection is good again only when a ROLLBACK is
/// acknowledged.
pub(super) async fn recover(lease: &mut Lease, error: &PgError) {
    if error.is_unavailable() {
        lease.set_broken();
        return;
    }
    match timeout(ROLLBACK_LIMIT, Box::pin(finish(lease, "ROLLBACK"))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "ROLLBACK failed; the connection is closed");
            lease.set_broken();
        }
        Err(_) => tracing::debug!("ROLLBACK was not answered; the connection is closed"),
    }
}

/// A statement that Postgres no longer knows is prepared again at its next use.
pub(super) fn forget_stale(lease: &mut Lease, key: &StatementKey<'_>, error: &PgError) {
    if !error.is_stale_statement() {
        return;
    }
    if let Ok(connection) = lease.connection() {
        match error.sqlstate() {
            Some("26000") => connection.statements.clear(),
            _ => connection.statements.remove(key),
        }
    }
}

/// The output of a future of a pipeline.
async fn answer<F: Future>(mut future: Pin<&mut MaybeDone<F>>) -> F::Output {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(()) => match future.as_mut().take_output() {
            Some(output) => Poll::Ready(output),
            None => Poll::Pending,
        },
        Poll::Pending => Poll::Pending,
    })
    .await
}

async fn prepare_frame(lease: &mut Lease, ctx: &TxContext<'_>) -> Result<Frame, PgError> {
    let ends = lease.connection()?.statements.ends();
    lease.set_preparing();
    let client = lease.client()?;
    let prepare = async |known: Option<tokio_postgres::Statement>, sql: &str| match known {
        Some(known) => Ok(known),
        None => client.prepare(sql).await,
    };
    let (begin, commit) = ends.unzip();
    let begin = prepare(begin, Mode::ReadOnly.begin());
    let set = client.prepare(&ctx.settings.written(ctx.planning).sql);
    let commit = prepare(commit, COMMIT);
    let (begin, set, commit) = pipeline!(begin, set, commit);
    count(&lease.counters().round_trips);
    let frame = begin.and_then(|begin_read| {
        let settings = set?;
        Ok(Frame { begin_read, settings, commit: commit? })
    });
    match frame {
        Ok(frame) => {
            lease.set_idle();
            lease.connection()?.statements.put_frame(&ctx.settings_key(), frame.clone());
            Ok(frame)
        }
        Err(error) => {
            let error = PgError::from_driver(&error);
            lease.set_busy();
            recover(lease, &error).await;
            Err(error)
        }
    }
}

/// Begins a transaction. Plans that are out of date are made again in it.
pub(super) async fn begin(
    client: &Client,
    mode: Mode,
    frame: Option<&Frame>,
    outdated: bool,
) -> DriverResult<()> {
    let begin = async {
        match frame {
            Some(frame) if mode == Mode::ReadOnly => {
                client.execute_raw(&frame.begin_read, NOTHING).await
            }
            _ => client.execute_typed(mode.begin(), &[]).await,
        }
    };
    if !outdated {
        return begin.await.map(|_| ());
    }
    let both = async {
        let discard = client.execute_typed("DISCARD PLANS", &[]);
        let (begin, discard) = pipeline!(begin, discard);
        begin.and(discard).map(|_| ())
    };
    // Boxed, as it is rare and lies within each request's future.
    Box::pin(both).await
}

pub(super) async fn commit(client: &Client, frame: Option<&Frame>) -> DriverResult<()> {
    match frame {
        Some(frame) => client.execute_raw(&frame.commit, NOTHING).await.map(|_| ()),
        None => client.execute_typed(COMMIT, &[]).await.map(|_| ()),
    }
}

/// The settings statement, prepared or whole; its row is of no interest.
pub(super) async fn run_settings(
    client: &Client,
    frame: Option<&Frame>,
    ctx: &TxContext<'_>,
    params: &[TextRef<'_>],
) -> DriverResult<()> {
    match frame {
        Some(frame) => client.execute_raw(&frame.settings, params).await.map(|_| ()),
        None => {
            let params = params.iter().map(|param| (param, Type::UNKNOWN));
            drain(client.query_typed_raw(&ctx.settings.written(ctx.planning).sql, params))
                .await
                .map(|_| ())
        }
    }
}

/// Parameters whose types Postgres infers.
pub(super) fn untyped(params: &[TextParam]) -> impl Iterator<Item = (&TextParam, Type)> {
    params.iter().map(|param| (param, Type::UNKNOWN))
}

pub(super) async fn first_row(
    stream: impl Future<Output = DriverResult<RowStream>>,
) -> DriverResult<Option<Row>> {
    drain(stream).await.map(|(row, _)| row)
}

/// What is kept of the rows of a statement.
enum Received {
    /// The first one.
    Row(Option<Row>),
    /// The JSON of all.
    Json(Bytes),
}

/// Reads all rows of a statement; what becomes of them is for `shape` to say.
async fn receive(
    stream: impl Future<Output = DriverResult<RowStream>>,
    shape: Option<&RowShape>,
) -> Result<Received, Fault> {
    let Some(shape) = shape else { return Ok(Received::Row(first_row(stream).await?)) };
    let mut stream = pin!(stream.await?);
    let mut writer = Writer::new(shape);
    while let Some(row) = stream.try_next().await? {
        writer.add(&row)?;
    }
    Ok(Received::Json(writer.finish()))
}

/// Reads all answers of a statement: its first row and the affected rows.
async fn drain(
    stream: impl Future<Output = DriverResult<RowStream>>,
) -> DriverResult<(Option<Row>, u64)> {
    let mut stream = pin!(stream.await?);
    let first = stream.try_next().await?;
    while first.is_some() && stream.try_next().await?.is_some() {}
    Ok((first, stream.rows_affected().unwrap_or(0)))
}

/// The text of a column as it came over the wire.
struct RawText<'a>(&'a [u8]);

impl<'a> FromSql<'a> for RawText<'a> {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // The binary form of jsonb is its text behind a version number.
        if *ty == Type::JSONB {
            return match raw.split_first() {
                Some((1, text)) => Ok(RawText(text)),
                _ => Err("unknown version of jsonb".into()),
            };
        }
        Ok(RawText(raw))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::JSON
                | Type::JSONB
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
                | Type::UNKNOWN
                | Type::XML
        )
    }
}

/// The text of a column; `None` where it is null or there is none.
pub(super) fn text_of(row: &Row, column: usize) -> Result<Option<String>, PgError> {
    if column >= row.len() {
        return Ok(None);
    }
    let protocol = |error: String| PgError::Protocol(error);
    let text: Option<RawText<'_>> = row.try_get(column).map_err(|e| protocol(e.to_string()))?;
    text.map(|text| std::str::from_utf8(text.0).map(str::to_owned))
        .transpose()
        .map_err(|error| protocol(error.to_string()))
}

/// A row that lends its first column.
struct FirstColumn(Row);

impl AsRef<[u8]> for FirstColumn {
    fn as_ref(&self) -> &[u8] {
        // `json_of` has read the column before.
        self.0.try_get::<_, RawText<'_>>(0).map_or(&[], |text| text.0)
    }
}

pub(super) fn json_of(row: Option<Row>) -> Result<Bytes, PgError> {
    let row = row.ok_or_else(|| PgError::Protocol("the statement returned no row".to_owned()))?;
    let text: Option<RawText<'_>> =
        row.try_get(0).map_err(|error| PgError::Protocol(error.to_string()))?;
    match text {
        None => Ok(Bytes::from_static(b"null")),
        Some(text) if text.0.len() <= COPY_LIMIT => Ok(Bytes::copy_from_slice(text.0)),
        Some(_) => Ok(Bytes::from_owner(FirstColumn(row))),
    }
}
