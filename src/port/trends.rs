//! The history that workers keep in the store: a row per minute and worker, and the orders that were placed.
//!
//! A row decides nothing. It is written for people who ask what the day was like, from a page that was opened just now or a worker
//! that was started just now.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::port::store::StoreError;

mod buckets;

pub use buckets::{Buckets, bucket};

/// The name of the lead.
pub(crate) const TRENDS: &str = "trends";

/// How long rows are kept.
pub const KEEP_TRENDS: Duration = Duration::from_secs(48 * 3_600);

/// The most rows that [`Trends::prune`] deletes at once.
pub const PRUNED_AT_ONCE: usize = 5_000;

/// The most orders that [`Trends::count_arrivals`] counts at once.
pub const COUNTED_AT_ONCE: usize = 500_000;

/// The shortest time between two counts of arrivals.
pub const ARRIVALS_EVERY: Duration = Duration::from_secs(4);

/// How long [`Trends::count_arrivals`] waits for a transaction that may have inserted orders. The orders of one that ends later
/// may be left out.
pub const LATE_COMMIT: Duration = Duration::from_secs(60);

/// Upper bounds, in seconds, of the buckets of the age of orders at fulfilment: from an order that goes straight through to one
/// that waited for a day. Those of `fulfillment_order_age_at_fulfillment_seconds`.
pub const AGE_BOUNDS: [f64; 16] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0];

/// Upper bounds, in seconds, of the buckets of the duration of calls: from a server next door to the longest deadline that is
/// usual. Those of `fulfillment_call_duration_seconds`.
pub const CALL_BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Keeps and reads the history. Every time is by the store's clock.
///
/// ```
/// # use fulfillment_worker::port::store::StoreError;
/// # use fulfillment_worker::port::trends::{Minute, RowKey, StoredMinute, Trends};
/// /// The first rows of the history.
/// async fn first(store: &dyn Trends, start: &RowKey) -> Result<Vec<StoredMinute>, StoreError> {
///     store.rows(start, Minute(i64::MAX), 1_000).await
/// }
/// ```
#[async_trait]
pub trait Trends: Send + Sync {
    /// Writes rows of this worker, oldest first, each in the place of the one with its number: a call may be repeated, and a row
    /// may be written again while its minute goes on. A row gets its minute when it is first written: the store's current one less
    /// the row's `turns_ago`.
    async fn record(&self, rows: &[MinuteRow]) -> Result<Recorded, StoreError>;

    /// Counts the orders that were placed since the last count, at most [`COUNTED_AT_ONCE`], each in the minute of its
    /// `created_at`, but never before the last count, nor in the future. Returns how many; 0 where another worker counts or has
    /// counted within [`ARRIVALS_EVERY`]. An order is counted once, by its id, and once only: also if its transaction commits up to
    /// [`LATE_COMMIT`] after others with higher ids. Orders that were there before the first count are not counted, nor are those
    /// that a producer gives an id below the highest. Where the highest id has gone down, as in a database that was restored, it
    /// starts anew from there.
    async fn count_arrivals(&self) -> Result<u64, StoreError>;

    /// The orders placed in each of the last `minutes`, the current one included.
    async fn arrivals(&self, minutes: u32) -> Result<Arrivals, StoreError>;

    /// Rows of all workers after `after` and of minutes before `before`, in the order of their keys, at most `limit`. One whose
    /// counts can't be read, as they are no JSON of ours, has none.
    async fn rows(&self, after: &RowKey, before: Minute, limit: usize) -> Result<Vec<StoredMinute>, StoreError>;

    /// Takes or keeps the lead, as [`crate::port::reconciliation::Reconciliation::lead`] does the reconciler's.
    async fn lead_trends(&self, term: Duration) -> Result<bool, StoreError>;

    /// Gives up that lead, if this worker has it.
    async fn resign_trends(&self) -> Result<(), StoreError>;

    /// Deletes rows and arrivals older than `keep`, at most [`PRUNED_AT_ONCE`] rows. Returns how many rows.
    async fn prune(&self, keep: Duration) -> Result<u64, StoreError>;
}

/// A minute by the store's clock: minutes since 1970 in UTC, whatever its time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Minute(pub i64);

impl Minute {
    /// The one that `at` lies in.
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(60))
    }

    /// Its first moment; the furthest that can be said if it lies beyond.
    pub fn start(self) -> Timestamp {
        let furthest = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_second(self.0.saturating_mul(60)).unwrap_or(furthest)
    }

    /// The one that comes `minutes` later, or earlier if that is negative.
    #[must_use]
    pub fn plus(self, minutes: i64) -> Self {
        Self(self.0.saturating_add(minutes))
    }
}

/// What a worker counted in one minute, to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteRow {
    /// From 0, one more with each minute of this worker's life.
    pub seq: u64,
    /// How many minutes have begun since this one ended; 0 for the current one.
    pub turns_ago: u32,
    /// For how much of the minute it was counted, in seconds: about 60 for a whole one.
    pub seconds: f64,
    /// What was counted.
    pub counts: Counts,
}

/// What came of [`Trends::record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether the minute of the last row is still the store's current one. If not, what is counted from now on belongs to the
    /// next row.
    pub is_current: bool,
    /// How long the store's current minute lasts from now on.
    pub left: Duration,
}

/// Names a row. Rows are in the order of minute, worker and number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// Of the row.
    pub minute: Minute,
    /// The identity of the process that wrote it.
    pub worker: String,
    /// As in [`MinuteRow::seq`].
    pub seq: u64,
}

impl RowKey {
    /// Stands before every row of this minute, and after those of earlier ones: no worker has an empty identity.
    pub fn before(minute: Minute) -> Self {
        Self { minute, worker: String::new(), seq: 0 }
    }
}

/// A row as it is kept. A worker may have two in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMinute {
    /// Its name.
    pub key: RowKey,
    /// As in [`MinuteRow::seconds`].
    pub seconds: f64,
    /// What was counted; 0 or `None` where the version that wrote it counted no such thing.
    pub counts: Counts,
}

/// Orders that were placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// The store's current minute.
    pub now: Minute,
    /// How many in which minute, oldest first; minutes without any are left out.
    pub orders: Vec<(Minute, u64)>,
}

/// What is counted in a minute. What is 0 is left out of its JSON; what other versions count besides is ignored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Attempts that began.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts_started: u64,
    /// Orders fulfilled.
    #[serde(skip_serializing_if = "is_zero")]
    pub fulfilled: u64,
    /// Attempts that failed. Each was retried or dead-lettered.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempts_failed: u64,
    /// Messages given up and kept as dead letters.
    #[serde(skip_serializing_if = "is_zero")]
    pub dead_lettered: u64,
    /// Messages that went back to the queue.
    #[serde(skip_serializing_if = "is_zero")]
    pub retried: u64,
    /// From an order's `created_at` to fulfilled, in buckets of [`AGE_BOUNDS`].
    #[serde(skip_serializing_if = "Buckets::is_empty")]
    pub age: Buckets<17>,
    /// Calls to the fulfiller, by outcome.
    #[serde(skip_serializing_if = "is_default")]
    pub calls: CallCounts,
    /// Calls of the pipeline to the queue.
    #[serde(skip_serializing_if = "is_default")]
    pub queue: DependencyCounts,
    /// Calls of the pipeline to the store.
    #[serde(skip_serializing_if = "is_default")]
    pub store: DependencyCounts,
    /// Calls to the fulfiller. It is down while its circuit breaker is not closed.
    #[serde(skip_serializing_if = "is_default")]
    pub fulfiller: DependencyCounts,
    /// The last readings in the minute.
    #[serde(skip_serializing_if = "is_default")]
    pub last: Readings,
}

impl Counts {
    /// As it is stored.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// Calls to the fulfiller by outcome, as in `fulfillment_calls_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallCounts {
    /// The work is done.
    #[serde(skip_serializing_if = "is_zero")]
    pub fulfilled: u64,
    /// The fulfiller will never do the work.
    #[serde(skip_serializing_if = "is_zero")]
    pub rejected: u64,
    /// The call failed, and no work was done.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// The fulfiller took no work.
    #[serde(skip_serializing_if = "is_zero")]
    pub unavailable: u64,
    /// The fulfiller had the order in work.
    #[serde(skip_serializing_if = "is_zero")]
    pub in_progress: u64,
    /// The work may or may not be done.
    #[serde(skip_serializing_if = "is_zero")]
    pub ambiguous: u64,
    /// The worker broke the call off.
    #[serde(skip_serializing_if = "is_zero")]
    pub broken_off: u64,
}

/// Calls to one dependency.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DependencyCounts {
    /// Their durations, in buckets of [`CALL_BOUNDS`]; those that failed included.
    #[serde(skip_serializing_if = "Buckets::is_empty")]
    pub took: Buckets<14>,
    /// Those that failed or got no answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// For how much of the minute it was down, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub down_ms: u64,
}

/// Readings, each the same for every worker of a store or queue. `None` where it wasn't read within 90 s, or can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Readings {
    /// Orders `pending`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// Orders `processing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing: Option<u64>,
    /// Orders held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Age of the oldest open order that is not held, in seconds; 0 if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
    /// Dead letters without a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
    /// Messages that no worker has claimed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
