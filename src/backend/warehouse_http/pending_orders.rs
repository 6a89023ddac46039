//! Remembers orders that will come again: the status URLs of accepted orders, and failed probes.
//!
//! A forgotten order costs one request more. The warehouse recognises it by its key, as it does an order that another
//! worker sent before.

use std::collections::HashMap;

use parking_lot::Mutex;
use url::Url;

use crate::domain::order::IdempotencyKey;

/// The most orders that are remembered, at about 200 bytes each.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
struct PendingOrder {
    status_url: Option<Url>,
    /// How often it was asked for at the status URL, or failed as a probe.
    times: u32,
}

#[derive(Default)]
pub(super) struct PendingOrders(Mutex<HashMap<IdempotencyKey, PendingOrder>>);

impl PendingOrders {
    /// The status URL of an order that was accepted.
    pub(super) fn status_url(&self, key: &IdempotencyKey) -> Option<Url> {
        self.0.lock().get(key)?.status_url.clone()
    }

    /// Notes that the order was accepted. Returns how often it was noted before.
    pub(super) fn accepted(&self, key: &IdempotencyKey, status_url: &Url) -> u32 {
        self.note(key, |order| order.status_url = Some(status_url.clone()))
    }

    /// Notes that the order's call was a probe and failed. Returns how often it was noted before.
    pub(super) fn failed_as_probe(&self, key: &IdempotencyKey) -> u32 {
        self.note(key, |_| ())
    }

    /// Forgets an order that is done, or that will be posted again.
    pub(super) fn forget(&self, key: &IdempotencyKey) {
        self.0.lock().remove(key);
    }

    /// Returns zero and notes nothing when full.
    fn note(&self, key: &IdempotencyKey, change: impl FnOnce(&mut PendingOrder)) -> u32 {
        let mut orders = self.0.lock();
        if orders.len() >= MOST && !orders.contains_key(key) {
            return 0;
        }
        let order = orders.entry(key.clone()).or_default();
        change(order);
        order.times = order.times.saturating_add(1);
        order.times - 1
    }
}
