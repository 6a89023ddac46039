//! When a dependency was down, from minutes that say for how much of each it was.

use crate::operations::trends::Merged;
use crate::port::trends::{Counts, DependencyCounts, Minute};

/// A time during which a dependency was down, without a whole minute in which it wasn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outage {
    /// Its begin, in seconds since 1970; to within a minute, as nobody knows when in its first minute it began.
    pub(super) from: i64,
    /// Its end, likewise.
    pub(super) to: i64,
    /// For how long it was down, in milliseconds: the times of each minute.
    pub(super) down_ms: u64,
    /// Whether the last minute that is known belongs to it.
    pub(super) is_last: bool,
}

/// The outages, oldest first. A minute of which nobody knows anything ends one: what was in it isn't known.
pub(super) fn outages(first: Minute, minutes: &[Option<Merged>], of: fn(&Counts) -> &DependencyCounts) -> Vec<Outage> {
    let down = |merged: &Option<Merged>| merged.as_ref().map_or(0, |merged| of(&merged.counts).down_ms);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(began) = minutes.iter().skip(at).position(|merged| down(merged) > 0).map(|skipped| at + skipped) {
        let length = minutes.iter().skip(began).take_while(|merged| down(merged) > 0).count();
        at = began + length;
        found.push(outage(first, began, minutes.iter().skip(began).take(length).map(down), at == minutes.len()));
    }
    found
}

fn outage(first: Minute, began: usize, down: impl ExactSizeIterator<Item = u64>, is_last: bool) -> Outage {
    let begin = |minute: usize| first.plus(i64::try_from(minute).unwrap_or(i64::MAX)).start().as_second();
    let seconds = |ms: u64| i64::try_from(ms.div_ceil(1_000)).unwrap_or(60).clamp(0, 60);
    let length = down.len();
    let each: Vec<u64> = down.collect();
    let (first_ms, last_ms) = (each.first().copied().unwrap_or_default(), each.last().copied().unwrap_or_default());
    let down_ms = each.iter().sum();
    let from = begin(began);
    if length == 1 {
        return Outage { from, to: from + seconds(down_ms), down_ms, is_last };
    }
    // It went on into the next minute, and came from the one before.
    let (from, to) = (from + 60 - seconds(first_ms), begin(began + length - 1) + seconds(last_ms));
    Outage { from, to, down_ms, is_last }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute in which the queue was down for so many seconds.
    fn down(seconds: u64) -> Option<Merged> {
        let mut merged = Merged { workers: 1, seconds: 60.0, ..Merged::default() };
        merged.counts.queue.down_ms = seconds * 1_000;
        Some(merged)
    }

    fn found(minutes: &[Option<Merged>]) -> Vec<(i64, i64, u64, bool)> {
        let found = outages(Minute(100), minutes, |counts| &counts.queue);
        found.iter().map(|each| (each.from - 6_000, each.to - 6_000, each.down_ms / 1_000, each.is_last)).collect()
    }

    #[test]
    fn minutes_in_a_row_are_one_outage_from_within_the_first_to_within_the_last() {
        assert_eq!(found(&[down(0), down(20), down(60), down(10), down(0)]), [(100, 190, 90, false)]);
    }

    #[test]
    fn a_minute_that_was_well_parts_two_outages() {
        assert_eq!(found(&[down(30), down(0), down(15), down(0)]), [(0, 30, 30, false), (120, 135, 15, false)]);
    }

    #[test]
    fn one_that_goes_on_reaches_to_the_end_of_what_is_known() {
        assert_eq!(found(&[down(0), down(5), down(12)]), [(115, 132, 17, true)]);
        assert_eq!(found(&[down(7)]), [(0, 7, 7, true)]);
    }

    #[test]
    fn nothing_is_said_of_minutes_that_nobody_knows() {
        assert_eq!(found(&[down(60), None, down(60), down(0)]), [(0, 60, 60, false), (120, 180, 60, false)]);
        assert_eq!(found(&[None, None]), []);
        assert_eq!(found(&[]), []);
    }

    #[test]
    fn another_dependency_has_outages_of_its_own() {
        assert_eq!(outages(Minute(0), &[down(60)], |counts| &counts.store), []);
    }
}
