//! Transactions that write: statements in flights, each of which is one round
//! trip.
//!
//! ```text
//! first flight   BEGIN, settings, statements          ┐ the only flight of a transaction
//! last flight    statements, COMMIT                   ┘ has all of it
//! ```
//!
//! A statement whose parameters come from the answer of another one waits for
//! the next flight; everything else is sent ahead. That is safe, because an
//! error makes Postgres skip what follows, and turns COMMIT into ROLLBACK.
//!
//! A transaction is begun again only while no COMMIT can have reached Postgres.
//! When the connection breaks after that, nobody can know: the error says so.

use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;

use super::error::PgError;
use super::param::TextParam;
use super::pool::{Lease, StatementKey, count};
use super::tx::{
    DriverResult, RETRY_PAUSE, Statement, TxContext, begin, commit, first_row, forget_stale,
    json_of, recover, run_settings, text_of, untyped,
};
use super::{Mode, Pg};

/// A statement with its parameters.
#[derive(Debug)]
pub struct Job {
    pub statement: Statement,
    pub params: Vec<TextParam>,
}

/// The first row that a statement gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Column 0, of a JSON or text type.
    pub json: Bytes,
    /// Columns 1 and 2, where there are such.
    pub second: Option<String>,
    pub third: Option<String>,
}

/// Why a transaction was given up. Unless the error is
/// [`PgError::InDoubt`], nothing of it remains.
#[derive(Debug)]
pub struct Failed {
    pub error: PgError,
    /// The statement of the flight that failed; `None` for what stands around
    /// them, COMMIT and with it deferred constraints included.
    pub at: Option<usize>,
}

impl From<PgError> for Failed {
    fn from(error: PgError) -> Self {
        Failed { error, at: None }
    }
}

/// A read-write transaction as a session. Dropped before its last flight, it
/// is rolled back.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct WriteTx<'a> {
    pg: &'a Pg,
    ctx: TxContext<'a>,
    /// From the first flight to the last.
    lease: Option<Lease>,
    deadline: Instant,
    /// A COMMIT may be on its way.
    committing: bool,
}

impl Pg {
    /// A transaction as a session; nothing is sent before the first flight.
    pub fn write_as<'a>(&'a self, ctx: &TxContext<'a>) -> WriteTx<'a> {
        let deadline = Instant::now() + self.request_timeout();
        WriteTx { pg: self, ctx: *ctx, lease: None, deadline, committing: false }
    }
}

impl WriteTx<'_> {
    /// Runs statements in order; with `last`, commits. After an error the
    /// transaction is over.
    pub async fn flight(&mut self, jobs: &[Job], last: bool) -> Result<Vec<Reply>, Failed> {
        // Pinned, as a timeout would move it twice, and it is large.
        let done = timeout_at(self.deadline, pin!(self.run(jobs, last))).await;
        match done {
            Ok(Ok(replies)) => Ok(replies),
            Ok(Err(failed)) => {
                self.lease = None;
                Err(failed)
            }
            Err(_) => {
                // Its statement is cancelled.
                self.lease = None;
                let limit = self.pg.request_timeout();
                Err(Failed::from(if self.committing {
                    PgError::InDoubt(format!("no answer within {} ms", limit.as_millis()))
                } else {
                    PgError::Timeout { limit }
                }))
            }
        }
    }

    async fn run(&mut self, jobs: &[Job], last: bool) -> Result<Vec<Reply>, Failed> {
        if self.lease.is_some() {
            return self.send(jobs, last, false).await;
        }
        let mut retried = false;
        loop {
            self.committing = false;
            self.lease = Some(self.pg.pool_for(&self.ctx)?.lease().await?);
            let failed = match self.send(jobs, last, true).await {
                Ok(replies) => return Ok(replies),
                Err(failed) => failed,
            };
            self.lease = None;
            // An error that Postgres reports comes before any commit.
            let again = failed.error.is_stale_statement() || failed.error.is_unavailable();
            if retried || !again {
                return Err(failed);
            }
            retried = true;
            if failed.error.is_unavailable() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// One flight. On success the lease is idle after the last one, else busy.
    async fn send(
        &mut self,
        jobs: &[Job],
        last: bool,
        mut first: bool,
    ) -> Result<Vec<Reply>, Failed> {
        let (pg, ctx) = (self.pg, self.ctx);
        let lease = self.lease.as_mut().ok_or_else(over)?;
        let frame = pg.frame(lease, &ctx).await?;
        let frame = frame.as_ref();
        let values = ctx.values();
        let settings_params = ctx.settings_params(&values);
        let mut prepared = known(pg, lease, &ctx, jobs)?;
        let missing: Vec<usize> = prepared
            .iter()
            .enumerate()
            .filter(|(_, known)| matches!(known, Known::Missing))
            .map(|(index, _)| index)
            .collect();
        if !missing.is_empty() {
            // Names are resolved with the rights of the role, so inside of the
            // transaction.
            lease.set_preparing();
            let client = lease.client()?;
            let outdated = lease.is_outdated();
            let mut around: Vec<BoxFuture<'_, DriverResult<()>>> = Vec::new();
            if first {
                around.push(begin(client, Mode::ReadWrite, frame, outdated).boxed());
                around.push(run_settings(client, frame, &ctx, &settings_params).boxed());
            }
            let parses = missing
                .iter()
                .filter_map(|index| jobs.get(*index))
                .map(|job| client.prepare(&job.statement.text).boxed())
                .collect();
            let (around, parses) = together(around, parses).await;
            count(&lease.counters().round_trips);
            lease.set_busy();
            let begun = stand(lease, around);
            let mut failed = begun.err();
            for (index, parsed) in missing.iter().zip(parses) {
                match (parsed, jobs.get(*index), &failed) {
                    (Ok(statement), Some(job), None) => {
                        keep(lease, &ctx.key(&job.statement), statement, jobs, &mut prepared)?;
                    }
                    // Parsed without the role: dropping it closes it.
                    (Ok(_), ..) => {}
                    (Err(error), ..) => {
                        let error = PgError::from_driver(&error);
                        failed.get_or_insert(Failed { error, at: Some(*index) });
                    }
                }
            }
            if let Some(failed) = failed {
                recover(lease, &failed.error).await;
                return Err(failed);
            }
            first = false;
        }
        lease.set_busy();
        let client = lease.client()?;
        let outdated = lease.is_outdated();
        let mut around: Vec<BoxFuture<'_, DriverResult<()>>> = Vec::new();
        if first {
            around.push(begin(client, Mode::ReadWrite, frame, outdated).boxed());
            around.push(run_settings(client, frame, &ctx, &settings_params).boxed());
        }
        let mut work: Vec<BoxFuture<'_, DriverResult<Option<Row>>>> =
            Vec::with_capacity(jobs.len() + 1);
        for (job, known) in jobs.iter().zip(&prepared) {
            let text = &job.statement.text;
            work.push(match known {
                Known::Prepared(known) => first_row(client.query_raw(known, &job.params)).boxed(),
                _ => first_row(client.query_typed_raw(text, untyped(&job.params))).boxed(),
            });
        }
        if last {
            self.committing = true;
            work.push(async { commit(client, frame).await.map(|()| None) }.boxed());
        }
        let (around, answers) = together(around, work).await;
        count(&lease.counters().round_trips);
        if let Err(failed) = stand(lease, around) {
            recover(lease, &failed.error).await;
            return Err(Failed::from(doubted(failed.error, last, false)));
        }
        let mut replies = Vec::with_capacity(jobs.len());
        for (index, answer) in answers.into_iter().enumerate() {
            let of_commit = index == jobs.len();
            match answer {
                Ok(_) if of_commit => {}
                Ok(row) => {
                    let second = row.as_ref().map_or(Ok(None), |row| text_of(row, 1))?;
                    replies.push(Reply { json: json_of(row)?, second, third: None });
                }
                Err(error) => {
                    let error = PgError::from_driver(&error);
                    if let Some(job) = jobs.get(index) {
                        forget_stale(lease, &ctx.key(&job.statement), &error);
                    }
                    recover(lease, &error).await;
                    let error = doubted(error, last, of_commit);
                    return Err(Failed { error, at: (!of_commit).then_some(index) });
                }
            }
        }
        if last {
            lease.set_idle();
            self.lease = None;
        }
        Ok(replies)
    }
}

/// What a connection has of a statement.
enum Known {
    /// It is sent whole.
    Unnamed,
    Prepared(tokio_postgres::Statement),
    /// It has to be prepared.
    Missing,
    /// So it has, for a statement before.
    Awaited,
}

fn known(
    pg: &Pg,
    lease: &mut Lease,
    ctx: &TxContext<'_>,
    jobs: &[Job],
) -> Result<Vec<Known>, PgError> {
    let mut out: Vec<Known> = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        if !(job.statement.named && pg.keeps_statements()) {
            out.push(Known::Unnamed);
            continue;
        }
        let key = ctx.key(&job.statement);
        out.push(match lease.connection()?.statements.get(&key) {
            Some(found) => {
                count(&lease.counters().statement_hits);
                Known::Prepared(found)
            }
            None => {
                let before = jobs.iter().zip(&out).take(index);
                let awaited = before.into_iter().any(|(other, known)| {
                    matches!(known, Known::Missing) && other.statement.text == job.statement.text
                });
                if awaited { Known::Awaited } else { Known::Missing }
            }
        });
    }
    Ok(out)
}

/// Keeps a statement that was prepared, for all jobs that are the same.
fn keep(
    lease: &mut Lease,
    key: &StatementKey<'_>,
    statement: tokio_postgres::Statement,
    jobs: &[Job],
    known: &mut [Known],
) -> Result<(), PgError> {
    count(&lease.counters().statement_misses);
    if lease.connection()?.statements.put(key, statement.clone()) {
        count(&lease.counters().statement_evictions);
    }
    for (job, known) in jobs.iter().zip(known) {
        if matches!(known, Known::Missing | Known::Awaited) && job.statement.text == *key.text {
            *known = Known::Prepared(statement.clone());
        }
    }
    Ok(())
}

/// The answers to BEGIN and settings, where they were sent.
fn stand(lease: &mut Lease, answers: Vec<DriverResult<()>>) -> Result<(), Failed> {
    let mut answers = answers.into_iter();
    let Some(begun) = answers.next() else { return Ok(()) };
    begun.map_err(|error| PgError::from_driver(&error))?;
    lease.set_current();
    for settings in answers {
        settings.map_err(|error| PgError::from_settings(&error))?;
    }
    Ok(())
}

/// What an error means once a COMMIT was sent: a connection that broke may have
/// committed before, an error that Postgres reported comes before a commit
/// unless it is that of COMMIT itself.
fn doubted(error: PgError, committing: bool, of_commit: bool) -> PgError {
    match error {
        PgError::Unavailable(text) if committing => PgError::InDoubt(text),
        error if of_commit && error.is_unavailable() => PgError::InDoubt(error.to_string()),
        error => error,
    }
}

fn over() -> PgError {
    PgError::Protocol("the transaction is over".to_owned())
}

/// Polls all futures once, in order, so that all their messages are sent before
/// the first answer is awaited; then takes the answers in order.
async fn together<A, B>(
    first: Vec<BoxFuture<'_, A>>,
    then: Vec<BoxFuture<'_, B>>,
) -> (Vec<A>, Vec<B>) {
    let mut first: Vec<Pin<Box<MaybeDone<_>>>> =
        first.into_iter().map(|future| Box::pin(maybe_done(future))).collect();
    let mut then: Vec<Pin<Box<MaybeDone<_>>>> =
        then.into_iter().map(|future| Box::pin(maybe_done(future))).collect();
    std::future::poll_fn(|cx| {
        // Whatever is ready already is kept by `MaybeDone`.
        for future in &mut first {
            let _sent = future.as_mut().poll(cx);
        }
        for future in &mut then {
            let _sent = future.as_mut().poll(cx);
        }
        Poll::Ready(())
    })
    .await;
    (answers(first).await, answers(then).await)
}

async fn answers<F: Future>(futures: Vec<Pin<Box<MaybeDone<F>>>>) -> Vec<F::Output> {
    let mut out = Vec::with_capacity(futures.len());
    for mut future in futures {
        future.as_mut().await;
        out.extend(future.as_mut().take_output());
    }
    out
}
