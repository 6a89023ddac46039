//! The history that workers keep, merged into minutes of all of them.
//!
//! Counts are added, readings are the greatest of each, and percentiles come from added buckets: the average of percentiles is
//! the percentile of nothing.

use crate::port::store::StoreError;
use crate::port::trends::{
    AGE_BOUNDS, Buckets, Counts, DependencyCounts, Minute, Readings, RowKey, StoredMinute, Trends,
};

/// The most rows that one [`read`] takes: a day of 138 workers. Where there are more, the oldest minutes are gaps.
pub const MOST_ROWS: usize = 200_000;

/// Rows of one statement: some megabytes in memory.
const PAGE: usize = 5_000;

/// Minutes are read in spans of this many, the newest first.
const SPAN: i64 = 60;

/// The last minutes up to the store's current one, which is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    first: Minute,
    minutes: Vec<Option<Merged>>,
    arrivals: Vec<u64>,
}

/// What all workers counted in a minute, or in several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    /// How many workers counted: the most of any minute.
    pub workers: u32,
    /// For how long one counted, in seconds: the most of any worker in a minute, added over minutes.
    pub seconds: f64,
    /// What they counted. Time that a dependency was down is the most of any worker in a minute, added over minutes.
    pub counts: Counts,
}

/// Some minutes in a row, as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    /// Its first minute.
    pub first: Minute,
    /// How many minutes of it the day has.
    pub minutes: u32,
    /// In how many of them a worker counted.
    pub recorded: u32,
    /// What was counted in these; `None` where nobody counted in any.
    pub merged: Option<Merged>,
    /// Orders that were placed.
    pub arrivals: u64,
}

/// Reads the last `minutes`, the current one included.
///
/// # Errors
/// Whatever the store answers.
pub async fn read(store: &dyn Trends, minutes: u32) -> Result<Day, StoreError> {
    let arrivals = store.arrivals(minutes).await?;
    let end = arrivals.now.plus(1);
    let mut day = Day::empty(end.plus(-i64::from(minutes)), minutes);
    for (minute, orders) in arrivals.orders {
        if let Some(placed) = day.place(minute).and_then(|at| day.arrivals.get_mut(at)) {
            *placed = orders;
        }
    }
    let (mut before, mut left) = (end, MOST_ROWS);
    while before > day.first && left > 0 {
        let from = before.plus(-SPAN).max(day.first);
        left = fill(&mut day, store, from, before, left).await?;
        before = from;
    }
    Ok(day)
}

/// Reads the last `minutes` once more and moves `day` on to the store's current minute; its length stays. A worker that was cut
/// off from the store writes rows of up to 240 minutes ago when it is back: read that many now and then.
///
/// # Errors
/// Whatever the store answers; then `day` is as it was.
pub async fn refresh(store: &dyn Trends, day: &mut Day, minutes: u32) -> Result<(), StoreError> {
    day.take_over(read(store, minutes).await?);
    Ok(())
}

/// Adds the rows from a minute up to another. Returns how many rows may still be read.
async fn fill(
    day: &mut Day,
    store: &dyn Trends,
    from: Minute,
    before: Minute,
    mut left: usize,
) -> Result<usize, StoreError> {
    let mut after = RowKey::before(from);
    loop {
        let limit = PAGE.min(left);
        let rows = store.rows(&after, before, limit).await?;
        left -= rows.len().min(left);
        let is_last = rows.len() < limit || left == 0;
        if let Some(last) = rows.last() {
            after = last.key.clone();
        }
        day.add(rows);
        if is_last {
            return Ok(left);
        }
    }
}

impl Day {
    /// `minutes` of which nothing is known.
    pub fn empty(first: Minute, minutes: u32) -> Self {
        let length = minutes as usize;
        Self { first, minutes: vec![None; length], arrivals: vec![0; length] }
    }

    /// Merges rows into their minutes. Those of one worker and minute come one after the other.
    pub fn add(&mut self, rows: impl IntoIterator<Item = StoredMinute>) {
        let mut last: Option<RowKey> = None;
        for StoredMinute { key, seconds, counts } in rows {
            let same_worker =
                last.as_ref().is_some_and(|last| (last.minute, &last.worker) == (key.minute, &key.worker));
            if let Some(minute) = self.place(key.minute).and_then(|at| self.minutes.get_mut(at)) {
                let merged = minute.get_or_insert_default();
                merged.workers += u32::from(!same_worker);
                merged.seconds = merged.seconds.max(seconds);
                merged.counts.join(&counts);
            }
            last = Some(key);
        }
    }

    /// Its first minute.
    pub fn first(&self) -> Minute {
        self.first
    }

    /// What was counted in each minute, oldest first. `None` is a gap: no worker counted.
    pub fn minutes(&self) -> &[Option<Merged>] {
        &self.minutes
    }

    /// All of the last `minutes` as one, the current one included; [`Bin::merged`] is `None` where nobody counted.
    pub fn total(&self, minutes: u32) -> Bin {
        let length = self.minutes.len();
        self.bin(length.saturating_sub(minutes as usize), length)
    }

    /// The day in bins of `size` minutes, oldest first, at least 1. They begin at whole multiples of `size` since 1970, so that the
    /// same minutes stay together while the day goes on; the first and the last are cut.
    pub fn bins(&self, size: u32) -> Vec<Bin> {
        let size = i64::from(size.max(1));
        let mut bins = Vec::new();
        let mut from = 0;
        while from < self.minutes.len() {
            let minute = self.first.plus(i64::try_from(from).unwrap_or(i64::MAX));
            let next = usize::try_from(size - minute.0.rem_euclid(size)).unwrap_or(1);
            let to = from.saturating_add(next).min(self.minutes.len());
            bins.push(self.bin(from, to));
            from = to;
        }
        bins
    }

    fn bin(&self, from: usize, to: usize) -> Bin {
        let (minutes, arrivals) = (self.minutes.get(from..to), self.arrivals.get(from..to));
        let mut bin = Bin {
            first: self.first.plus(i64::try_from(from).unwrap_or(i64::MAX)),
            minutes: minutes.map_or(0, |minutes| u32::try_from(minutes.len()).unwrap_or(u32::MAX)),
            recorded: 0,
            merged: None,
            arrivals: arrivals.unwrap_or_default().iter().sum(),
        };
        for merged in minutes.unwrap_or_default().iter().flatten() {
            bin.recorded += 1;
            bin.merged.get_or_insert_default().append(merged);
        }
        bin
    }

    /// Replaces minutes by those of `newer`, and moves on to its end.
    fn take_over(&mut self, newer: Self) {
        let moved = newer.end().0.saturating_sub(self.end().0);
        let length = self.minutes.len();
        let gone = usize::try_from(moved).unwrap_or(0).min(length);
        self.first = newer.end().plus(-i64::try_from(length).unwrap_or(i64::MAX));
        if moved < 0 {
            // The store's clock went back: nothing is where it was.
            (self.minutes, self.arrivals) = (vec![None; length], vec![0; length]);
        } else {
            self.minutes.drain(..gone);
            self.arrivals.drain(..gone);
            self.minutes.resize(length, None);
            self.arrivals.resize(length, 0);
        }
        let known = newer.minutes.len().min(length);
        let (ours, theirs) = (length - known, newer.minutes.len() - known);
        for (own, new) in self.minutes.iter_mut().skip(ours).zip(newer.minutes.into_iter().skip(theirs)) {
            *own = new;
        }
        for (own, new) in self.arrivals.iter_mut().skip(ours).zip(newer.arrivals.into_iter().skip(theirs)) {
            *own = new;
        }
    }

    fn end(&self) -> Minute {
        self.first.plus(i64::try_from(self.minutes.len()).unwrap_or(i64::MAX))
    }

    fn place(&self, minute: Minute) -> Option<usize> {
        let at = usize::try_from(minute.0.checked_sub(self.first.0)?).ok()?;
        (at < self.minutes.len()).then_some(at)
    }
}

impl Merged {
    /// Adds a later minute.
    fn append(&mut self, later: &Self) {
        self.workers = self.workers.max(later.workers);
        self.seconds += later.seconds;
        let down = |counts: &Counts| [counts.queue.down_ms, counts.store.down_ms, counts.fulfiller.down_ms];
        let (before, more) = (down(&self.counts), down(&later.counts));
        self.counts.join(&later.counts);
        let Counts { queue, store, fulfiller, .. } = &mut self.counts;
        for (of, (before, more)) in [queue, store, fulfiller].into_iter().zip(before.into_iter().zip(more)) {
            of.down_ms = before.saturating_add(more);
        }
    }

    /// The age at fulfilment, in seconds, that a share `of` of the orders did not exceed; see [`quantile`].
    pub fn age(&self, of: f64) -> Option<f64> {
        quantile(&AGE_BOUNDS, &self.counts.age, of)
    }
}

/// The value that a share `of` of the values did not exceed: linear within its bucket, as `histogram_quantile` of Prometheus
/// has it. `None` if there is no value; the highest bound for one above it.
pub fn quantile<const N: usize>(bounds: &[f64], buckets: &Buckets<N>, of: f64) -> Option<f64> {
    let total = buckets.total();
    if total == 0 {
        return None;
    }
    let rank = of.clamp(0.0, 1.0) * total as f64;
    let (mut below, mut lower) = (0_u64, 0.0);
    for (count, bound) in buckets.0.iter().zip(bounds) {
        let up_to = below.saturating_add(*count);
        if *count > 0 && up_to as f64 >= rank {
            return Some(lower + (bound - lower) * ((rank - below as f64) / *count as f64).max(0.0));
        }
        (below, lower) = (up_to, *bound);
    }
    bounds.last().copied()
}

impl Counts {
    /// Adds what another worker counted in the same minute.
    fn join(&mut self, other: &Self) {
        let Self { attempts_started, fulfilled, attempts_failed, dead_lettered, retried, age, calls, .. } = other;
        add(&mut self.attempts_started, *attempts_started);
        add(&mut self.fulfilled, *fulfilled);
        add(&mut self.attempts_failed, *attempts_failed);
        add(&mut self.dead_lettered, *dead_lettered);
        add(&mut self.retried, *retried);
        self.age.add(age);
        add(&mut self.calls.fulfilled, calls.fulfilled);
        add(&mut self.calls.rejected, calls.rejected);
        add(&mut self.calls.failed, calls.failed);
        add(&mut self.calls.unavailable, calls.unavailable);
        add(&mut self.calls.in_progress, calls.in_progress);
        add(&mut self.calls.ambiguous, calls.ambiguous);
        add(&mut self.calls.broken_off, calls.broken_off);
        self.queue.join(&other.queue);
        self.store.join(&other.store);
        self.fulfiller.join(&other.fulfiller);
        self.last = self.last.greatest(&other.last);
    }
}

impl DependencyCounts {
    fn join(&mut self, other: &Self) {
        self.took.add(&other.took);
        add(&mut self.failed, other.failed);
        self.down_ms = self.down_ms.max(other.down_ms);
    }
}

impl Readings {
    /// Of each the greater one: workers read at different times, and each reads the same queue and store.
    fn greatest(&self, other: &Self) -> Self {
        Self {
            pending: self.pending.max(other.pending),
            processing: self.processing.max(other.processing),
            held: self.held.max(other.held),
            oldest_seconds: self.oldest_seconds.max(other.oldest_seconds),
            dead_letters: self.dead_letters.max(other.dead_letters),
            queued: self.queued.max(other.queued),
        }
    }
}

fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}

#[cfg(test)]
mod tests;
