//! How far the queue has been worked off.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::port::reconciliation::ClaimedUpTo;

/// The newest `created_at` that this worker has claimed. The queue is first in, first out: an order created well before
/// it has been claimed by some worker, or has no message.
#[derive(Debug)]
pub struct Watermark(AtomicI64);

impl Default for Watermark {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Watermark {
    /// An order with this `created_at`, in microseconds, was claimed.
    pub(crate) fn raise(&self, created_at_micros: Option<i64>) {
        if let Some(created_at) = created_at_micros {
            self.0.fetch_max(created_at, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> ClaimedUpTo {
        match self.0.load(Ordering::Relaxed) {
            i64::MIN => ClaimedUpTo::Unknown,
            created_at => ClaimedUpTo::CreatedAt(created_at),
        }
    }
}
