//! Orders whose fence lies in the future, as after an hour that a time zone repeats, or a clock that was put back: its age
//! doesn't tell whether their worker is alive, but that it stays as it is does.

use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch};
use fulfillment_worker::port::store::Begun;

use super::{LEASE, StoreFixture, Worker, begin, renew, start};

const HOUR: Duration = Duration::from_secs(3_600);

/// An order in work, and since the clock was put back its fence is an hour ahead.
async fn ahead<F: StoreFixture>(fixture: &F) -> OrderId {
    let order_id = fixture.put("processing", Duration::ZERO).await;
    fixture.set_ahead(order_id, HOUR).await;
    order_id
}

/// Takes an order over as soon as it has been seen once.
async fn hasty<F: StoreFixture>(fixture: &F) -> Worker {
    fixture.worker(Duration::ZERO).await
}

fn is_takeover(answer: &Begun) -> bool {
    matches!(answer, Begun::Started { takeover: true, .. })
}

/// Caught, when seeded: a fence that is taken for live until the clock has passed it, and one that is taken for dead.
pub(crate) async fn an_order_is_taken_over_once_the_same_fence_was_seen_for_a_lease<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = ahead(&fixture).await;
    let worker = hasty(&fixture).await;
    assert_eq!(begin(&worker, order_id).await, Begun::Busy(Duration::ZERO));
    assert!(is_takeover(&begin(&worker, order_id).await));
}

pub(crate) async fn an_order_that_was_just_seen_is_busy_for_a_lease<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = ahead(&fixture).await;
    let worker = fixture.worker(LEASE).await;
    for _ in 0..2 {
        let Begun::Busy(left) = begin(&worker, order_id).await else { panic!("not busy") };
        assert!(left <= LEASE && left > LEASE / 2, "{left:?}");
    }
}

pub(crate) async fn what_one_worker_has_seen_counts_for_all_and_outlives_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = ahead(&fixture).await;
    let observer = fixture.worker(LEASE).await;
    assert!(matches!(begin(&observer, order_id).await, Begun::Busy(_)));
    drop(observer);
    assert!(is_takeover(&begin(&hasty(&fixture).await, order_id).await));
}

/// Caught, when seeded: an observation that is not bound to the fence.
pub(crate) async fn a_fence_that_has_moved_is_seen_anew<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let holder = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", Duration::ZERO).await;
    start(&holder, order_id).await;
    fixture.set_ahead(order_id, HOUR).await;
    let worker = hasty(&fixture).await;
    assert!(matches!(begin(&worker, order_id).await, Begun::Busy(_)));
    let fence = fixture.row(order_id).await.fence;
    assert!(renew(&holder, order_id, fence).await.is_some(), "its holder is alive");
    assert!(matches!(begin(&worker, order_id).await, Begun::Busy(_)));
}

/// Caught, when seeded: a search that only finds what lies in the past.
pub(crate) async fn an_order_may_have_lost_its_message_once_the_same_fence_was_seen_for_long<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let order_id = ahead(&fixture).await;
    let waiting = fixture.put("pending", Duration::ZERO).await;
    fixture.create_ahead(waiting, HOUR).await;
    fixture.set_ahead(waiting, HOUR).await;
    let (claimed_up_to, max_age) = (ClaimedUpTo::Everything, 1_000 * HOUR);
    let search = LostOrderSearch { claimed_up_to, grace: Duration::ZERO, max_age, after: OrderId(0), limit: 10 };
    let worker = hasty(&fixture).await;
    assert_eq!(worker.store.lost_orders(&search).await.unwrap(), []);
    let found = worker.store.lost_orders(&search).await.unwrap();
    assert_eq!(found.iter().map(|lost| lost.order_id).collect::<Vec<_>>(), [order_id, waiting]);
    let patient = LostOrderSearch { grace: HOUR, ..search };
    assert_eq!(worker.store.lost_orders(&patient).await.unwrap(), [], "not for so long");
}
