//! How many calls are under way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts calls between their arrival and their end, whatever ends them.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    now: AtomicU64,
    highest: AtomicU64,
}

/// One call under way, until dropped.
pub(super) struct Entered<'a>(&'a InFlight);

impl InFlight {
    pub(super) fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.highest.fetch_max(now, Ordering::Relaxed);
        Entered(self)
    }

    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
