//! The queue of spans that wait for the collector: what it has no room for is dropped, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::event::{Observers, TelemetryEvent};

/// How many spans wait, for both ends and for whoever decides whether there are to be more.
#[derive(Debug, Clone)]
pub(super) struct SpanQueue {
    waiting: Arc<AtomicUsize>,
    limit: usize,
    observers: Observers,
}

impl SpanQueue {
    /// Of `limit` spans at most. `observers` are told what is dropped.
    pub(super) fn new(limit: usize, observers: Observers) -> Self {
        Self { waiting: Arc::default(), limit, observers }
    }

    /// So many have left it.
    pub(super) fn taken(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Whether an attempt is to be traced: not while the queue is full. Its spans would be made only to be dropped, and some
    /// of them would get through and make half a trace.
    pub(super) fn admits_an_attempt(&self) -> bool {
        let has_room = self.waiting.load(Ordering::Relaxed) < self.limit;
        if !has_room {
            self.drop_one();
        }
        has_room
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
