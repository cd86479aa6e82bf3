//! Streaming subscriptions: rows after a cursor, each batch once.
//!
//! Other than a group, a stream has one subscriber, and waits with the next
//! batch until the last one was taken: nothing is skipped, and nothing queued.
//!
//! Who asks for it is also told which of the rows that were sent have left. They
//! are looked for after a reading that something has asked for, and not after
//! one that only follows a batch. What a reading saw can be told of later, so a
//! reading without such a look does not answer that.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::Live;
use super::left::{Sent, SentKey};
use super::retry::Failures;
use super::router::{Interest, Pending};
use super::snapshot::Snapshot;
use super::subscription::{Published, Publisher, Update};
use super::visible::longer;
use crate::base::{ApiError, Code};

/// Rows after a place.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) data: Bytes,
    pub(crate) snapshot: Option<Snapshot>,
    /// The place after them; `None` when there are no rows.
    pub(crate) next: Option<String>,
}

/// Reads the rows after a place.
pub(crate) trait BatchReader: Send + Sync + 'static {
    fn read<'a>(&'a self, after: Option<&'a str>) -> BoxFuture<'a, Result<Batch, ApiError>>;

    /// Those rows that were sent and are still there, as a JSON list of their keys.
    fn still_there<'a>(&'a self, sent: &'a Sent) -> BoxFuture<'a, Result<Bytes, ApiError>>;
}

/// How far a stream has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) place: Option<String>,
    /// What was sent, where it is to be told what leaves.
    pub(crate) sent: Option<Sent>,
}

/// What a frame has beside its rows.
struct Beside {
    /// The keys of its rows.
    keys: Vec<SentKey>,
    left: Vec<SentKey>,
    /// Why nobody knows which rows have left.
    failed: Option<ApiError>,
}

impl Progress {
    /// The keys in a batch, and the rows that have left, if somebody looks.
    async fn beside(&self, reader: &dyn BatchReader, batch: &Batch, looks: bool) -> Beside {
        let mut beside = Beside { keys: Vec::new(), left: Vec::new(), failed: None };
        let Some(sent) = &self.sent else { return beside };
        let found = async {
            if batch.next.is_some() {
                beside.keys = sent.keys_of(&batch.data)?;
            }
            if looks && !sent.is_empty() {
                let still = reader.still_there(sent).await?;
                beside.left = sent.missing(&still, &beside.keys)?;
            }
            Ok(())
        };
        beside.failed = found.await.err();
        beside
    }
}

impl Live {
    /// Publishes batch after batch from where it stands, and moves that along.
    pub(crate) async fn stream(
        &self,
        interest: Interest,
        reader: &dyn BatchReader,
        publisher: &Publisher,
        progress: &mut Progress,
    ) {
        let ticket = self.router.register(interest);
        let mut pending = Pending::everything();
        let mut seen: Option<Snapshot> = None;
        let mut failures = Failures::default();
        let mut begun = publisher.has_added();
        let mut wait = None;
        // The last batch had rows, so there may be more.
        let mut more = false;
        // Whether rows that have left are to be looked for, and whether it was
        // done after the last reading.
        let (mut due, mut looked) = (false, true);
        let mut lookings = Failures::default();
        loop {
            publisher.vacant().await;
            pending.absorb(ticket.take());
            let asked = pending.has_commits();
            if let (Some(seen), false) = (&seen, pending.all) {
                ticket.settle(&mut pending, seen);
            }
            // What the last reading saw may have taken rows away.
            pending.all |= asked && !looked;
            if !pending.all && !pending.has_commits() && !more {
                wait = None;
                tokio::select! {
                    () = ticket.ready() => {}
                    () = self.groups.pause(), if seen.is_none() || !ticket.is_covered() => {
                        pending.all = true;
                    }
                }
                continue;
            }
            if let Some(time) = wait {
                ticket.until_shown(&pending, time).await;
                pending.absorb(ticket.take());
            }
            due |= pending.all || pending.has_commits();
            pending.all = false;
            more = false;
            ticket.begin(&mut pending);
            let batch = reader.read(progress.place.as_deref()).await;
            match batch {
                Ok(batch) => {
                    failures.over();
                    begun = true;
                    let Beside { keys, left, failed } = progress.beside(reader, &batch, due).await;
                    if !publisher.is_valid() {
                        // What was read stays unread.
                        publisher.renewed().await;
                        pending.all = true;
                        continue;
                    }
                    match &batch.snapshot {
                        Some(snapshot) => ticket.answered(&mut pending, snapshot, None),
                        None => pending.forget_commits(),
                    }
                    wait = pending.has_commits().then(|| longer(wait));
                    seen = batch.snapshot;
                    let sent = progress.sent.as_mut();
                    let nothing = sent.as_ref().is_none_or(|sent| sent.is_empty());
                    looked = nothing || (due && failed.is_none());
                    due &= !looked;
                    more = batch.next.is_some();
                    let told = sent.and_then(|sent| sent.turn(&left, keys));
                    if more {
                        progress.place = batch.next;
                        wait = None;
                    }
                    if more || told.is_some() {
                        publisher.add(batch.data, seen.clone(), told);
                    }
                    match failed {
                        Some(error) if !more => {
                            tracing::debug!(%error, detail = error.detail, "rows that left are not known");
                            let code = error.code;
                            lookings.wait(code, &self.groups, &ticket, &mut pending).await;
                        }
                        Some(_) => {}
                        None if looked => lookings.over(),
                        None => {}
                    }
                }
                Err(error) => {
                    wait = None;
                    let code = error.code;
                    // Who has begun goes on where it was when Postgres is back.
                    if !(begun && code == Code::ServiceUnavailable) {
                        let state = Published::error(&error);
                        publisher.offer(&state, &Update::Failed(error), None);
                    }
                    failures.wait(code, &self.groups, &ticket, &mut pending).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use futures_util::StreamExt;

    use super::super::left::KeysAt;
    use super::super::publication::Coverage;
    use super::super::router::{Changes, Touched};
    use super::super::routes::Concern;
    use super::super::subscription::{Marks, channel};
    use super::*;
    use crate::session::claims::anonymous_session;

    /// Gives one batch, and then fails.
    struct Away(Mutex<Option<&'static str>>);

    impl BatchReader for Away {
        fn read<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Batch, ApiError>> {
            let rows = self.0.lock().expect("no panic before").take();
            Box::pin(async move {
                let rows = rows.ok_or_else(|| ApiError::new(Code::ServiceUnavailable, "away"))?;
                Ok(Batch { data: rows.into(), snapshot: None, next: Some(rows.to_owned()) })
            })
        }

        fn still_there<'a>(&'a self, _: &'a Sent) -> BoxFuture<'a, Result<Bytes, ApiError>> {
            Box::pin(async { Err(ApiError::new(Code::ServiceUnavailable, "away")) })
        }
    }

    /// What a stream is told that was refused before, and whose batches are these.
    async fn told(batch: Option<&'static str>) -> Option<Update> {
        let live = Live::new(Duration::from_millis(1));
        let (publisher, mut subscription) =
            channel(Arc::new(anonymous_session("user")), None, None);
        let error = ApiError::new(Code::PermissionError, "refused");
        let state = Published::error(&error);
        publisher.offer(&state, &Update::Failed(error), None);
        assert!(matches!(subscription.next().await, Some(Update::Failed(_))));
        let reader = Away(Mutex::new(batch));
        let mut progress = Progress::default();
        let interest = Interest { opaque: true, ..Interest::default() };
        tokio::select! {
            () = live.stream(interest, &reader, &publisher, &mut progress) => None,
            update = subscription.next() => update,
        }
    }

    #[tokio::test]
    async fn who_begins_after_an_error_is_told_that_postgres_is_away() {
        let first = told(Some("rows")).await;
        assert!(matches!(first, Some(Update::Data(data, None)) if data == "rows"));
        let first = tokio::time::timeout(Duration::from_secs(60), told(None)).await;
        let Ok(Some(Update::Failed(error))) = first else { panic!("{first:?}") };
        assert_eq!(error.code, Code::ServiceUnavailable);
    }

    const TABLE: u32 = 7;

    /// Readings that are given one after the other; then none ends. No row is
    /// there any more.
    struct Script(Mutex<VecDeque<Batch>>);

    impl Script {
        fn left(&self) -> usize {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
        }
    }

    impl BatchReader for Script {
        fn read<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Batch, ApiError>> {
            Box::pin(async {
                let batch = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                match batch {
                    Some(batch) => Ok(batch),
                    None => std::future::pending().await,
                }
            })
        }

        fn still_there<'a>(&'a self, _: &'a Sent) -> BoxFuture<'a, Result<Bytes, ApiError>> {
            Box::pin(async { Ok(Bytes::from_static(b"[]")) })
        }
    }

    fn batch(data: &'static str, snapshot: &str, next: Option<&str>) -> Batch {
        let (data, next) = (Bytes::from_static(data.as_bytes()), next.map(str::to_owned));
        Batch { data, snapshot: Snapshot::parse(snapshot), next }
    }

    /// The second reading follows the first and does not look for rows that have
    /// left, though it sees the commit that took one away. That one is told of
    /// later.
    #[tokio::test]
    async fn a_commit_that_was_seen_and_not_looked_for_is_read_again() {
        let live = Live::new(Duration::from_secs(3600));
        let covered = HashMap::from([(TABLE, vec![TABLE])]);
        live.router.cover(&Coverage { covered, ..Coverage::default() }, HashSet::new());
        let marks = Marks { left: true, ..Marks::default() };
        let session = Arc::new(anonymous_session("user"));
        let (publisher, mut subscription) = channel(session, None, Some(marks));
        let script = Script(Mutex::new(VecDeque::from([
            batch(r#"{"r":[{"id":1}]}"#, "10:10:", Some("1")),
            batch(r#"{"r":[]}"#, "12:12:", None),
            batch(r#"{"r":[]}"#, "12:12:", None),
        ])));
        let at = KeysAt { path: vec!["r".into()], fields: ["id".into()].into() };
        let mut progress = Progress { place: None, sent: Some(Sent::new(at)) };
        let tables = BTreeMap::from([(TABLE, Concern::default())]);
        let interest = Interest { tables, opaque: false };
        let told = async {
            let first = subscription.next().await;
            assert!(matches!(first, Some(Update::Data(data, _)) if data.ends_with(b"1}]}")));
            while script.left() > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let touched = Touched { whole: true, ..Touched::default() };
            live.router.commit(11, &Changes { tables: HashMap::from([(TABLE, touched)]) });
            tokio::time::timeout(Duration::from_secs(60), subscription.next()).await
        };
        let told = tokio::select! {
            () = live.stream(interest, &script, &publisher, &mut progress) => None,
            told = told => Some(told),
        };
        let Some(Ok(Some(Update::Data(_, Some(marks))))) = told else { panic!("{told:?}") };
        let left = r#"{"live":{"position":"12:12:","left":[{"op":"LEAVE","key":{"id":1}}]}}"#;
        assert_eq!(marks, left);
    }
}
