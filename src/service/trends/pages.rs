//! The minutes of this worker that may not be written: the current one, and those that have ended. Has no clock of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::observe::trends::TrendCounter;
use crate::port::trends::MinuteRow;

/// Minutes that are kept while they can't be written; the oldest go first. About 200 KB.
const MOST_KEPT: usize = 240;

pub(super) struct Pages {
    counter: Arc<TrendCounter>,
    /// The number of the current minute's row.
    seq: u64,
    /// How many minutes have gone by.
    turns: u64,
    /// Rows of minutes that have ended, each with the turn at which it was the current one.
    ended: VecDeque<(MinuteRow, u64)>,
}

impl Pages {
    pub(super) fn new(counter: Arc<TrendCounter>) -> Self {
        Self { counter, seq: 0, turns: 0, ended: VecDeque::new() }
    }

    /// How many minutes have ended and may not be written.
    pub(super) fn kept(&self) -> u64 {
        self.ended.len() as u64
    }

    /// All rows, the current minute's up to now being the last.
    pub(super) fn rows(&self) -> Vec<MinuteRow> {
        let ago = |turn| u32::try_from(self.turns.saturating_sub(turn)).unwrap_or(u32::MAX);
        let ended = self.ended.iter().map(|(row, turn)| MinuteRow { turns_ago: ago(*turn), ..row.clone() });
        let page = self.counter.now();
        let current = MinuteRow { seq: self.seq, turns_ago: 0, seconds: page.seconds, counts: page.counts };
        ended.chain([current]).collect()
    }

    /// Ends the current minute, and so many have gone by since it began: one, but for a machine that slept.
    pub(super) fn turn(&mut self, minutes: u64) {
        let page = self.counter.turn();
        if self.ended.len() >= MOST_KEPT {
            self.ended.pop_front();
        }
        let row = MinuteRow { seq: self.seq, turns_ago: 0, seconds: page.seconds, counts: page.counts };
        self.ended.push_back((row, self.turns));
        self.seq += 1;
        self.turns = self.turns.saturating_add(minutes);
    }

    /// These rows are written. Returns whether the last one is still that of the current minute; if not, its rest is kept.
    pub(super) fn written(&mut self, rows: &[MinuteRow]) -> bool {
        let Some(last) = rows.last().map(|row| row.seq) else { return false };
        self.ended.retain(|(row, _)| row.seq >= last);
        last == self.seq
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{DependencyEvent, Observer, Stage};

    fn pages() -> (Pages, Arc<TrendCounter>) {
        let counter = Arc::new(TrendCounter::default());
        (Pages::new(counter.clone()), counter)
    }

    fn claim(counter: &TrendCounter) {
        let done = DependencyEvent::StageDone { stage: Stage::Claim, items: 1, took: Duration::ZERO, ok: true };
        counter.observe(&done.into());
    }

    /// Number, age in minutes and claims of each row.
    fn told(rows: &[MinuteRow]) -> Vec<(u64, u32, u64)> {
        rows.iter().map(|row| (row.seq, row.turns_ago, row.counts.queue.took.total())).collect()
    }

    /// Caught, when seeded: minutes that are dropped when the next one ends, and a current one that is told as empty.
    #[test]
    fn minutes_that_are_not_written_are_kept_with_their_ages() {
        let (mut pages, counter) = pages();
        for _ in 0..2 {
            claim(&counter);
            pages.turn(1);
        }
        claim(&counter);
        assert_eq!(told(&pages.rows()), [(0, 2, 1), (1, 1, 1), (2, 0, 1)]);
        assert!(pages.written(&pages.rows()));
        assert_eq!(told(&pages.rows()), [(2, 0, 1)]);
    }

    /// Caught, when seeded: a minute whose last write was under way when it ended is taken for written.
    #[test]
    fn a_minute_that_ends_while_it_is_written_is_written_again() {
        let (mut pages, counter) = pages();
        claim(&counter);
        let rows = pages.rows();
        claim(&counter);
        pages.turn(1);
        assert!(!pages.written(&rows));
        assert_eq!(told(&pages.rows()), [(0, 1, 2), (1, 0, 0)]);
    }

    /// Caught, when seeded: minutes that are dropped when the next one ends.
    #[test]
    fn after_240_minutes_the_oldest_is_dropped() {
        let (mut pages, _) = pages();
        (0..300).for_each(|_| pages.turn(1));
        let rows = pages.rows();
        assert_eq!((rows.len(), pages.kept()), (241, 240));
        assert_eq!((rows[0].seq, rows[0].turns_ago), (60, 240));
    }

    #[test]
    fn minutes_that_a_machine_slept_are_a_gap() {
        let (mut pages, _) = pages();
        pages.turn(10);
        assert_eq!(told(&pages.rows()), [(0, 10, 0), (1, 0, 0)]);
    }
}
