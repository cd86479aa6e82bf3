//! Streaming subscriptions: rows after a cursor, each batch once.
//!
//! Other than a group, a stream has one subscriber, and waits with the next
//! batch until the last one was taken: nothing is skipped, and nothing queued.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::Live;
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
}

impl Live {
    /// Publishes batch after batch from `place` on, and moves that along.
    pub(crate) async fn stream(
        &self,
        interest: Interest,
        reader: &dyn BatchReader,
        publisher: &Publisher,
        place: &mut Option<String>,
    ) {
        let ticket = self.router.register(interest);
        let mut pending = Pending::everything();
        let mut seen: Option<Snapshot> = None;
        let mut failures = Failures::default();
        let mut begun = publisher.has_added();
        let mut wait = None;
        loop {
            publisher.vacant().await;
            pending.absorb(ticket.take());
            if let (Some(seen), false) = (&seen, pending.all) {
                ticket.settle(&mut pending, seen);
            }
            if !pending.all && !pending.has_commits() {
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
            pending.all = false;
            ticket.begin(&mut pending);
            let batch = reader.read(place.as_deref()).await;
            match batch {
                Ok(batch) => {
                    failures.over();
                    begun = true;
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
                    if batch.next.is_some() {
                        *place = batch.next;
                        publisher.add(batch.data, seen.clone());
                        // There may be more.
                        pending.all = true;
                        wait = None;
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
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::StreamExt;

    use super::*;
    use crate::live::subscription::channel;
    use crate::session::claims::anonymous_session;

    /// Gives one batch, and then fails.
    struct Away(std::sync::Mutex<Option<&'static str>>);

    impl BatchReader for Away {
        fn read<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Batch, ApiError>> {
            let rows = self.0.lock().expect("no panic before").take();
            Box::pin(async move {
                let rows = rows.ok_or_else(|| ApiError::new(Code::ServiceUnavailable, "away"))?;
                Ok(Batch { data: rows.into(), snapshot: None, next: Some(rows.to_owned()) })
            })
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
        let reader = Away(std::sync::Mutex::new(batch));
        let mut place = None;
        let interest = Interest { opaque: true, ..Interest::default() };
        tokio::select! {
            () = live.stream(interest, &reader, &publisher, &mut place) => None,
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
}
