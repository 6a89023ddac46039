//! What this worker knows of orders that will come again: where to ask about those that the warehouse has accepted,
//! and which ones have failed as probes.
//!
//! Nothing depends on it: what is forgotten, or known to another worker only, is found out again with the same key.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::Url;

use crate::domain::order::IdempotencyKey;

/// Orders that are remembered at most, at about 200 bytes each.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
struct Known {
    status_url: Option<Url>,
    /// How often it was asked for at the status URL, or failed as a probe.
    times: u32,
}

/// See the module.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<IdempotencyKey, Known>>);

impl Memory {
    /// Where to ask about an order that was accepted.
    pub(super) fn status_url(&self, key: &IdempotencyKey) -> Option<Url> {
        self.known().get(key)?.status_url.clone()
    }

    /// The order was accepted. Returns how often it was noted before.
    pub(super) fn accepted(&self, key: &IdempotencyKey, status_url: &Url) -> u32 {
        self.note(key, |known| known.status_url = Some(status_url.clone()))
    }

    /// The order's call was a probe and failed. Returns how often it was noted before.
    pub(super) fn failed_as_probe(&self, key: &IdempotencyKey) -> u32 {
        self.note(key, |_| ())
    }

    /// The order is done, or will be asked for from the beginning.
    pub(super) fn forget(&self, key: &IdempotencyKey) {
        self.known().remove(key);
    }

    /// Zero for an order that there is no room for.
    fn note(&self, key: &IdempotencyKey, change: impl FnOnce(&mut Known)) -> u32 {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(key) {
            return 0;
        }
        let known = known.entry(key.clone()).or_default();
        change(known);
        known.times = known.times.saturating_add(1);
        known.times - 1
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
