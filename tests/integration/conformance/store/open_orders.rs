//! Counting what is open.

use std::time::Duration;

use fulfillment_worker::port::reports::{ClockDoubt, OpenOrders, OpenState};

use super::{LEASE, StoreFixture, pending_orders, start};

async fn count<F: StoreFixture>(fixture: &F) -> OpenOrders {
    let open = fixture.worker(LEASE).await.store.open_orders().await.unwrap();
    OpenOrders { took: Duration::ZERO, ..open }
}

/// That many, the oldest created so many seconds ago; the test may have taken some minutes since.
fn assert_found(found: OpenState, orders: u64, seconds: u64) {
    let age = found.oldest.expect("the oldest has an age").as_secs();
    assert!(found.orders == orders && (seconds..seconds + 300).contains(&age), "{found:?}");
}

pub(crate) async fn none_are_counted_where_there_are_none<F: StoreFixture>() {
    assert_eq!(count(&F::fresh().await).await, OpenOrders::default());
}

pub(crate) async fn one_is_counted_with_its_age<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = fixture.put("pending", Duration::from_secs(1_000)).await;
    let found = count(&fixture).await;
    assert_found(found.pending, 1, 1_000);
    assert_eq!(found.processing, OpenState::default());
    start(&fixture.worker(LEASE).await, order_id).await;
    let found = count(&fixture).await;
    assert_found(found.processing, 1, 1_000);
    assert_eq!(found.pending, OpenState::default());
}

/// Caught, when seeded: the age of the youngest, and ages since `updated_at`.
pub(crate) async fn several_are_counted_by_state_with_the_age_of_the_oldest<F: StoreFixture>() {
    let fixture = F::fresh().await;
    for seconds in [500, 3_000, 1_000] {
        let order_id = fixture.put("pending", Duration::from_secs(seconds)).await;
        fixture.set_idle(order_id, Duration::from_secs(1)).await;
    }
    for seconds in [2_000, 600] {
        fixture.put("processing", Duration::from_secs(seconds)).await;
    }
    let found = count(&fixture).await;
    assert_found(found.pending, 3, 3_000);
    assert_found(found.processing, 2, 2_000);
}

pub(crate) async fn one_without_created_at_is_counted_and_has_no_age<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = pending_orders(&fixture, 1).await[0];
    fixture.forget_creation(order_id).await;
    assert_eq!(count(&fixture).await.pending, OpenState { orders: 1, oldest: None });
    fixture.put("pending", Duration::from_secs(1_000)).await;
    assert_found(count(&fixture).await.pending, 2, 1_000);
}

pub(crate) async fn what_is_done_or_not_ours_is_not_counted<F: StoreFixture>() {
    let fixture = F::fresh().await;
    for status in ["fulfilled", "failed", "cancelled", "on hold"] {
        fixture.put(status, Duration::from_secs(1_000)).await;
    }
    assert_eq!(count(&fixture).await, OpenOrders::default());
}

pub(crate) async fn one_that_was_created_in_the_future_has_no_age_that_could_be_told<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = pending_orders(&fixture, 1).await[0];
    fixture.create_ahead(order_id, LEASE).await;
    let open = count(&fixture).await;
    assert_eq!(open.pending, OpenState { orders: 1, oldest: None });
    assert_eq!(open.doubt, Some(ClockDoubt::Ambiguous));
}
