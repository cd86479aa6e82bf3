//! Whether one plan of Postgres serves all values of a statement.
//!
//! Postgres keeps the plan of a prepared statement ("generic") only where it is
//! estimated not to cost more than plans made for the values at hand, be it by
//! a thousandth, and takes the work of planning for almost nothing. A short
//! list then spends a fourth of its time on plans that are all alike. So the
//! estimates of both are compared now and then: where the values make no
//! difference worth mentioning and Postgres would plan each time, it is told to
//! plan once. Else it decides as ever.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use crate::pg::Costs;

/// Estimates this far apart, in parts of the generic one, make a difference.
const TOLERANCE: f64 = 0.1;
/// Comparisons in a row that must agree.
const ENOUGH: u8 = 5;
/// The run that is compared first: Postgres decides by itself before.
const FIRST: u32 = 8;
/// Runs between two comparisons, when there have been many.
const INTERVAL: u32 = 1 << 14;

/// What is known of a statement's plans.
#[derive(Debug, Default)]
pub struct GenericPlan {
    runs: AtomicU32,
    agreed: AtomicU8,
    /// The generic plan was estimated to cost more, be it by a thousandth.
    dearer: AtomicBool,
}

/// One run of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// It is not the first, so a prepared statement pays.
    pub repeated: bool,
    /// Costs are to be compared with the values of this run.
    pub compared: bool,
}

impl GenericPlan {
    /// Counts a run.
    pub fn run(&self) -> Run {
        let before = self.runs.fetch_add(1, Ordering::Relaxed);
        let run = before.wrapping_add(1);
        let compared = run >= FIRST && (run.is_power_of_two() || run.is_multiple_of(INTERVAL));
        Run { repeated: before > 0, compared }
    }

    /// Whether Postgres is to be told to plan once. Where the generic plan is not
    /// dearer it does so by itself.
    pub fn is_asked_for(&self) -> bool {
        self.dearer.load(Ordering::Relaxed) && self.agreed.load(Ordering::Relaxed) >= ENOUGH
    }

    /// Takes a comparison in. One that disagrees undoes all before.
    pub fn learn(&self, costs: Costs) {
        let agrees = (costs.custom - costs.generic).abs() <= costs.generic * TOLERANCE;
        let agreed = self.agreed.load(Ordering::Relaxed);
        let agreed = if agrees { agreed.saturating_add(1).min(ENOUGH) } else { 0 };
        self.agreed.store(agreed, Ordering::Relaxed);
        if costs.generic > costs.custom {
            self.dearer.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIKE: Costs = Costs { custom: 1900.0, generic: 1923.0 };
    const CHEAPER: Costs = Costs { custom: 8.5, generic: 1923.0 };

    #[test]
    fn runs_are_compared_ever_less_often() {
        let plan = GenericPlan::default();
        assert_eq!(plan.run(), Run { repeated: false, compared: false });
        let compared: Vec<u32> = (2..100_000).filter(|_| plan.run().compared).collect();
        assert_eq!(compared[..5], [8, 16, 32, 64, 128]);
        assert_eq!(compared[11..], [16_384, 32_768, 49_152, 65_536, 81_920, 98_304]);
    }

    #[test]
    fn one_plan_serves_all_only_while_estimates_agree() {
        let plan = GenericPlan::default();
        for _ in 0..4 {
            plan.learn(ALIKE);
            assert!(!plan.is_asked_for());
        }
        plan.learn(ALIKE);
        assert!(plan.is_asked_for());
        plan.learn(CHEAPER);
        assert!(!plan.is_asked_for());
        for _ in 0..4 {
            plan.learn(ALIKE);
        }
        assert!(!plan.is_asked_for());
    }

    #[test]
    fn postgres_is_not_told_what_it_does_by_itself() {
        let plan = GenericPlan::default();
        for _ in 0..10 {
            plan.learn(Costs { custom: 8.45, generic: 8.45 });
        }
        assert!(!plan.is_asked_for());
        plan.learn(ALIKE);
        assert!(plan.is_asked_for());
    }

    #[test]
    fn estimates_that_are_no_numbers_do_not_agree() {
        let plan = GenericPlan::default();
        for custom in [f64::NAN, f64::INFINITY] {
            for _ in 0..10 {
                plan.learn(Costs { custom, generic: 1.0 });
            }
            assert!(!plan.is_asked_for());
        }
    }
}
