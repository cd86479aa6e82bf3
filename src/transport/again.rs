//! A connection that wakes itself while it is polled is polled again at once.
//!
//! hyper wakes a connection's task whenever a handler takes a piece of a body,
//! which the handler does within that very task. The runtime would put the task
//! into a queue and wake another thread for it: for each request two system
//! calls, and a move to another core.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Nothing is being polled: who wakes, wakes the task.
const IDLE: u8 = 0;
const POLLING: u8 = 1;
/// Woken while being polled.
const AGAIN: u8 = 2;

/// Polls in a row before the task has to queue like any other.
const POLLS: usize = 2;

/// Drives a future and takes wake-ups that come while it is polled.
#[derive(Debug)]
pub(super) struct Again {
    wakes: Arc<Wakes>,
    waker: Waker,
}

#[derive(Debug)]
struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Written even where it stands, so that the next poll sees what was done
        // before this wake-up.
        let again = |state| (state != IDLE).then_some(AGAIN);
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, again).is_err() {
            self.task.wake();
        }
    }
}

impl Again {
    pub(super) fn new() -> Self {
        let wakes = Arc::new(Wakes { state: AtomicU8::new(IDLE), task: AtomicWaker::new() });
        Again { waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    /// Waits for a future.
    pub(super) async fn drive<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| self.poll(cx, future.as_mut())).await
    }

    fn poll<F: Future>(&self, cx: &mut Context<'_>, mut future: Pin<&mut F>) -> Poll<F::Output> {
        self.wakes.task.register(cx.waker());
        for _ in 0..POLLS {
            self.wakes.state.store(POLLING, Ordering::Release);
            let polled = future.as_mut().poll(&mut Context::from_waker(&self.waker));
            let before = self.wakes.state.swap(IDLE, Ordering::AcqRel);
            if polled.is_ready() || before == POLLING {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a task sees of a future that is ready at the poll of this number and
    /// wakes itself in the polls that `wakes` names: the polls, and the wake-ups.
    fn poll(ready_at: usize, wakes: fn(usize) -> bool) -> (Poll<()>, usize, usize) {
        let woken = Arc::new(Count::default());
        let mut polls = 0;
        let mut future = pin!(poll_fn(|cx: &mut Context<'_>| {
            polls += 1;
            if wakes(polls) {
                cx.waker().wake_by_ref();
            }
            if polls == ready_at { Poll::Ready(()) } else { Poll::Pending }
        }));
        let again = Again::new();
        let waker = Waker::from(Arc::clone(&woken));
        let polled = again.poll(&mut Context::from_waker(&waker), future.as_mut());
        (polled, polls, woken.0.load(Ordering::Relaxed))
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_but_not_for_ever() {
        assert_eq!(poll(1, |_| false), (Poll::Ready(()), 1, 0));
        assert_eq!(poll(2, |_| false), (Poll::Pending, 1, 0));
        assert_eq!(poll(2, |polls| polls == 1), (Poll::Ready(()), 2, 0));
        assert_eq!(poll(3, |polls| polls == 1), (Poll::Pending, 2, 0));
        assert_eq!(poll(9, |_| true), (Poll::Pending, 2, 1));
    }

    #[test]
    fn who_wakes_a_future_that_rests_wakes_its_task() {
        let woken = Arc::new(Count::default());
        let mut inner = None;
        let mut future = pin!(poll_fn(|cx: &mut Context<'_>| {
            inner = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        let again = Again::new();
        let waker = Waker::from(Arc::clone(&woken));
        for wakes in 1..3 {
            assert!(again.poll(&mut Context::from_waker(&waker), future.as_mut()).is_pending());
            again.waker.wake_by_ref();
            assert_eq!(woken.0.load(Ordering::Relaxed), wakes);
        }
        drop(inner);
    }
}
