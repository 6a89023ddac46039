//! Sweeping: it changes nothing that anybody sees.

use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch};

use super::{LEASE, StoreFixture};

/// What the store says of open orders: their numbers, those that may have lost their message, and those left alone.
async fn seen<F: StoreFixture>(fixture: &F) -> ((u64, u64), usize, u64) {
    let store = fixture.worker(LEASE).await.store;
    let open = store.open_orders().await.unwrap();
    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: Duration::ZERO,
        max_age: 10 * LEASE,
        after: OrderId(0),
        limit: 10,
    };
    let lost = store.lost_orders(&search).await.unwrap().len();
    ((open.pending.orders, open.processing.orders), lost, store.stale_orders(10 * LEASE).await.unwrap())
}

pub(crate) async fn sweeping_changes_nothing_that_is_told_of_open_orders<F: StoreFixture>() {
    let fixture = F::fresh().await;
    for (status, idle) in [("pending", 2), ("processing", 2), ("fulfilled", 2), ("pending", 20), ("on_hold", 2)] {
        fixture.put(status, idle * LEASE).await;
    }
    let expected = ((2, 1), 2, 1);
    assert_eq!(seen(&fixture).await, expected);
    let store = fixture.worker(LEASE).await.store;
    for _ in 0..3 {
        let swept = store.sweep().await.unwrap();
        assert!(swept.is_none_or(|sweep| sweep.found == 0 && !sweep.goes_on), "{swept:?}");
        assert_eq!(seen(&fixture).await, expected);
    }
}
