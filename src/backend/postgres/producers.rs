//! Whether the producers of orders write `created_at` by the clock that ages are told by.
//!
//! The column has no zone. A producer whose session has another one writes hours that look long past, and nothing in the row
//! tells. But an order that was not there at the last look has been inserted since then, and must look that young.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time zones differ by multiples of this.
const ZONE_STEP_S: f64 = 900.0;

/// An order may be this much older than its row is visible, as its transaction took so long: far less than a step.
const SLACK_S: f64 = 10.0;

/// What the newest orders have shown so far.
#[derive(Default)]
pub(super) struct Producers(Mutex<Option<Seen>>);

struct Seen {
    newest: i64,
    at: Instant,
    /// Whether the last order that was inserted between two looks seemed to be hours or quarters of an hour older.
    behind: bool,
}

impl Producers {
    /// The newest order has this id, and seems to be this many seconds old. Returns whether the producers' clock is another
    /// one; the last finding stays while no order comes. An age that is no multiple of a step is a `created_at` that the
    /// producer chose.
    pub(super) fn look(&self, newest: Option<(i64, Option<f64>)>, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((id, age)) = newest else { return false };
        let behind = match &*seen {
            Some(last) if id > last.newest => {
                age.is_some_and(|age| is_behind(age, now.saturating_duration_since(last.at)))
            }
            Some(last) => last.behind,
            None => false,
        };
        *seen = Some(Seen { newest: id, at: now, behind });
        behind
    }
}

/// Whether an order that was inserted at most `since_last_look` ago seems to be one step of zones older, or more.
fn is_behind(age: f64, since_last_look: Duration) -> bool {
    age >= ZONE_STEP_S && age % ZONE_STEP_S <= since_last_look.as_secs_f64() + SLACK_S
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_secs(5);

    /// What the last of these looks finds, each at the newest order's id and age.
    fn last_of(looks: &[(i64, f64)]) -> bool {
        let (producers, began) = (Producers::default(), Instant::now());
        let times = (0..).map(|number| began + number * LOOK);
        looks
            .iter()
            .zip(times)
            .map(|(&(id, age), now)| producers.look(Some((id, Some(age))), now))
            .last()
            .unwrap_or(false)
    }

    #[test]
    fn a_new_order_that_looks_an_hour_old_is_written_by_another_clock() {
        assert!(last_of(&[(1, 50.0), (2, 3_602.0)]));
        assert!(last_of(&[(1, 50.0), (2, 19_803.0), (2, 19_808.0)]));
    }

    #[test]
    fn a_new_order_that_looks_new_or_a_while_old_is_no_sign_of_another_clock() {
        assert!(!last_of(&[(1, 50.0), (2, 3.0)]));
        assert!(!last_of(&[(1, 50.0), (2, 604_000.0)]));
        assert!(!last_of(&[(1, 50.0), (2, 3_602.0), (3, 1.0)]));
    }

    #[test]
    fn an_order_that_was_there_at_the_first_look_tells_nothing() {
        assert!(!last_of(&[(1, 3_602.0)]));
        assert!(!last_of(&[(1, 3_602.0), (1, 3_607.0)]));
    }
}
