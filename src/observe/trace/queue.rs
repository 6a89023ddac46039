//! The queue of spans that wait for the collector. A full queue drops spans and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::event::{Observers, TelemetryEvent};

/// Counts the spans that wait. Clones share the count: one at each end, and one where attempts begin.
#[derive(Debug, Clone)]
pub(super) struct SpanQueue {
    waiting: Arc<AtomicUsize>,
    limit: usize,
    observers: Observers,
}

impl SpanQueue {
    /// Holds at most `limit` spans. `observers` learn of each span that is dropped.
    pub(super) fn new(limit: usize, observers: Observers) -> Self {
        Self { waiting: Arc::default(), limit, observers }
    }

    /// Notes that so many spans have left the queue.
    pub(super) fn taken(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Returns whether to trace an attempt: not while the queue is full. Some of its spans would be dropped, and the
    /// others would make half a trace.
    pub(super) fn admits_an_attempt(&self) -> bool {
        let has_capacity = self.waiting.load(Ordering::Relaxed) < self.limit;
        if !has_capacity {
            self.drop_one();
        }
        has_capacity
    }

    /// Takes a place for a span, or drops it.
    pub(super) fn enter(&self) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.limit {
            return true;
        }
        self.taken(1);
        self.drop_one();
        false
    }

    fn drop_one(&self) {
        self.observers.emit(TelemetryEvent::SpanDropped);
    }
}
