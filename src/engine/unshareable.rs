//! Statements whose subscriptions share no reading, since a missing setting was
//! seen to change their answer.
//!
//! Clients can write new ones for ever, so only the last are known. What is
//! forgotten is found again when somebody wants to share it: nobody joins
//! others before the answers were compared.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// The schema of a role, and a statement's fingerprint.
pub(super) type StatementId = (u64, u64);

/// Statements that are known.
const KNOWN: usize = 1_000;
/// From one warning to the next.
const WARN_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Unshareable {
    ids: HashSet<StatementId>,
    /// The oldest first.
    order: VecDeque<StatementId>,
    warned: Option<Instant>,
}

impl Unshareable {
    pub(super) fn contains(&self, id: StatementId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.order.clear();
    }

    /// Whether to warn of it.
    pub(super) fn insert(&mut self, id: StatementId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        let now = Instant::now();
        let warns = self.warned.is_none_or(|at| now.duration_since(at) >= WARN_EVERY);
        if warns {
            self.warned = Some(now);
        }
        warns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_known_and_not_each_is_warned_of() {
        let mut known = Unshareable::default();
        assert!(known.insert((1, 0)));
        for statement in 1..5_000 {
            known.insert((1, statement));
        }
        assert!(!known.insert((1, 4_999)), "it is known");
        assert_eq!((known.len(), known.order.len()), (KNOWN, KNOWN));
        assert!(known.contains((1, 4_999)) && known.contains((1, 4_000)));
        assert!(!known.contains((1, 3_999)));
        known.clear();
        assert_eq!((known.len(), known.order.len()), (0, 0));
    }
}
