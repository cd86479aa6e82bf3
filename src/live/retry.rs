//! When something that could not be read is read again.
//!
//! | it failed | read again |
//! |---|---|
//! | the database is away, another transaction was in the way | at the pace of polling |
//! | a time limit | after pauses that grow |
//! | the data, a policy, the request | the same where every change is told, else at the pace of polling |
//!
//! Whatever is told of meanwhile wakes it. Other than an answer a failure does
//! not tell what it saw, and a commit can be told of before it is visible; so it
//! is read when a look has seen one that it waits for, and not before.

use std::pin::pin;
use std::time::Duration;

use super::group::Groups;
use super::router::{Pending, Ticket};
use super::visible::LONGEST as LOOK;
use crate::base::Code;

/// Pauses grow up to this.
const LONGEST: Duration = Duration::from_secs(60);

/// How often one thing could not be read, one time after the other.
#[derive(Debug, Default)]
pub(super) struct Failures {
    lasting: u32,
}

impl Failures {
    pub(super) fn over(&mut self) {
        self.lasting = 0;
    }

    /// How long to wait, and whether the cause will pass by itself.
    fn pause(&mut self, code: Code, covered: bool, poll: Duration) -> (Duration, bool) {
        let passes = match code {
            Code::ServiceUnavailable | Code::ConcurrentUpdate => true,
            Code::TimeLimitExceeded => false,
            _ => !covered,
        };
        if passes {
            return (poll, true);
        }
        let pause = poll.saturating_mul(2u32.saturating_pow(self.lasting));
        self.lasting = self.lasting.saturating_add(1);
        (pause.min(LONGEST.max(poll)), false)
    }

    /// Waits until there is a reason to read again, which `pending` has then.
    pub(super) async fn wait(
        &mut self,
        code: Code,
        groups: &Groups,
        ticket: &Ticket,
        pending: &mut Pending,
    ) {
        let (pause, passes) = self.pause(code, ticket.is_covered(), groups.poll());
        if !passes {
            ticket.failed(pending);
        }
        let mut over = pin!(groups.pause_about(pause));
        loop {
            let shown = tokio::select! {
                () = &mut over => {
                    pending.all = true;
                    pending.urgent |= passes;
                    return;
                }
                () = ticket.ready() => false,
                () = ticket.until_shown(pending, LOOK), if pending.has_commits() => true,
            };
            let told = ticket.take();
            let (all, nothing) = (told.all, !told.all && !told.has_commits());
            pending.absorb(told);
            if all {
                return;
            }
            // Otherwise it may have been what was told that ended the wait.
            if shown && nothing {
                match groups.shown() {
                    Some(seen) => pending.settle(&seen),
                    None => pending.forget_commits(),
                }
                pending.all = true;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_where_waiting_alone_does_not_help() {
        let mut failures = Failures::default();
        let mut pauses = |code, covered| {
            let times = 0..8;
            times
                .map(|_| failures.pause(code, covered, Duration::from_secs(1)).0.as_secs())
                .collect()
        };
        let grown: Vec<u64> = pauses(Code::DataException, true);
        assert_eq!(grown, [1, 2, 4, 8, 16, 32, 60, 60]);
        let even: Vec<u64> = pauses(Code::DataException, false);
        assert_eq!(even, [1; 8]);
        let away: Vec<u64> = pauses(Code::ServiceUnavailable, true);
        assert_eq!(away, [1; 8]);
        failures.over();
        let limited: Vec<u64> = (0..3)
            .map(|_| {
                failures.pause(Code::TimeLimitExceeded, false, Duration::from_secs(90)).0.as_secs()
            })
            .collect();
        assert_eq!(limited, [90, 90, 90]);
    }
}
