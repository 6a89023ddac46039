//! Calls to queue, store and fulfiller, and the connections to them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enum_map::Enum;
use strum::IntoStaticStr;

use super::Observers;
use crate::domain::order::OrderId;

/// A call to a dependency began or ended, or a connection to one was made.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum DependencyEvent<'a> {
    /// A call began, a poll or an order's call to the fulfiller included. [`DependencyEvent::CallOver`] with the same
    /// `call` follows in every case.
    CallBegan {
        /// Unique in this process.
        call: CallId,
        /// The dependency that is called.
        to: Dependency,
    },
    /// A call was answered, failed or was dropped.
    CallOver {
        /// As in [`DependencyEvent::CallBegan`].
        call: CallId,
        /// The dependency that was called.
        to: Dependency,
    },
    /// A stage of the pipeline ended one call.
    StageDone {
        /// The stage that called.
        stage: Stage,
        /// The size of the batch; for a claim, the number of messages that it returned.
        items: usize,
        /// From the start of the call to its end.
        took: Duration,
        /// True if the dependency answered without an error.
        ok: bool,
    },
    /// A stage skipped rows that another transaction has locked. It tries them again until that transaction ends.
    RowsLocked {
        /// The stage that skipped them.
        stage: RowStage,
        /// The rows' orders; at least one.
        order_ids: &'a [OrderId],
    },
    /// The store wrote rows, and their `updated_at` is not above the one before: something else writes it, such as a trigger.
    FencesStuck {
        /// The rows' orders; at least one.
        order_ids: &'a [OrderId],
    },
    /// A call failed. The worker repeats it without a limit, or up to `--wait` at the start.
    Down {
        /// The dependency that failed.
        dependency: Dependency,
        /// Its error.
        error: &'a str,
        /// Time until the next try.
        retry_in: Duration,
    },
    /// A call or a poll was answered, whether or not an earlier one had failed.
    Up(Dependency),
    /// A connection was made.
    ConnectionOpened(Backend),
    /// A call to the store waited for a connection, and got one or gave up.
    ConnectionAwaited {
        /// The time to make a new connection included.
        took: Duration,
    },
}

/// A dependency of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Dependency {
    /// Redis or the embedded queue.
    Queue,
    /// Postgres or the embedded store.
    Store,
    /// The warehouse that does the work. Counts as up until its circuit breaker opens.
    Fulfiller,
}

/// A dependency that holds the worker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Backend {
    /// Redis or the embedded queue.
    Queue,
    /// Postgres or the embedded store.
    Store,
}

/// A step of the pipeline that calls a dependency with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Queue: take messages under a lease.
    Claim,
    /// Store: take orders into work.
    Begin,
    /// Store: end attempts.
    Conclude,
    /// Store: insert dead letters.
    Bury,
    /// Queue: ack or retry.
    Settle,
    /// Queue: extend leases.
    RenewQueue,
    /// Store: extend leases.
    RenewStore,
}

impl Stage {
    /// The dependency that the stage calls.
    pub fn dependency(self) -> Dependency {
        match self {
            Self::Claim | Self::Settle | Self::RenewQueue => Dependency::Queue,
            Self::Begin | Self::Conclude | Self::Bury | Self::RenewStore => Dependency::Store,
        }
    }
}

/// A stage that writes the rows of orders and skips those that another transaction has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RowStage {
    /// [`Stage::Begin`].
    Begin,
    /// [`Stage::Conclude`].
    Conclude,
    /// [`Stage::RenewStore`].
    RenewStore,
}

/// Identifies a call within this process. A later call has a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

impl CallId {
    /// One that no other call has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A call to a dependency that counts as under way until this is dropped.
#[must_use]
pub struct UnderWay<'a> {
    observers: &'a Observers,
    call: CallId,
    to: Dependency,
}

impl Observers {
    /// Reports that a call begins, and its end when the returned value is dropped.
    pub fn under_way(&self, to: Dependency) -> UnderWay<'_> {
        let call = CallId::fresh();
        self.emit(DependencyEvent::CallBegan { call, to });
        UnderWay { observers: self, call, to }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.observers.emit(DependencyEvent::CallOver { call: self.call, to: self.to });
    }
}
