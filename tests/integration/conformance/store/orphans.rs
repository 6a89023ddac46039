//! Which orders may have lost their message.

use std::time::Duration;

use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrder, LostOrderSearch};
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion};

use super::{StoreFixture, Worker, conclude, conclusion, is_done, pending};

const MINUTE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(600);

/// Whatever was ever pushed has been claimed; a grace of ten minutes.
fn search() -> LostOrderSearch {
    LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: 10 * MINUTE,
        max_age: 10_000 * MINUTE,
        after: OrderId(0),
        limit: 10_000,
    }
}

async fn found(worker: &Worker, search: LostOrderSearch) -> Vec<OrderId> {
    worker.store.lost_orders(&search).await.unwrap().iter().map(|orphan| orphan.order_id).collect()
}

pub(crate) async fn a_pending_order_left_alone_for_the_grace_is_one<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", 11 * MINUTE).await;
    let fence = fixture.row(order_id).await.fence;
    let (attempts, correlation_id) = (0, None);
    let expected =
        LostOrder { order_id, product_id: 1, quantity: 1, state: State::Pending, fence, attempts, correlation_id };
    assert_eq!(worker.store.lost_orders(&search()).await.unwrap(), [expected]);
}

/// Caught, when seeded: a search that looks at `created_at` alone.
pub(crate) async fn a_pending_order_touched_lately_is_none<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    fixture.put("pending", 9 * MINUTE).await;
    let released = fixture.put("pending", 90 * MINUTE).await;
    fixture.set_idle(released, MINUTE).await;
    assert_eq!(found(&worker, search()).await, []);
}

pub(crate) async fn a_pending_order_that_nobody_has_passed_yet_is_none<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let old = fixture.put("pending", 90 * MINUTE).await;
    let claimed = fixture.put("fulfilled", 60 * MINUTE).await;
    let young = fixture.put("pending", 30 * MINUTE).await;
    let up_to = ClaimedUpTo::CreatedAt(fixture.row(claimed).await.fence.0);
    assert_eq!(found(&worker, LostOrderSearch { claimed_up_to: up_to, ..search() }).await, [old]);
    assert_eq!(found(&worker, LostOrderSearch { claimed_up_to: ClaimedUpTo::Unknown, ..search() }).await, []);
    // Somebody's clock is a day ahead: what is younger than the grace is none all the same.
    fixture.put("pending", MINUTE).await;
    let ahead = ClaimedUpTo::CreatedAt(fixture.row(claimed).await.fence.0 + 86_400_000_000);
    assert_eq!(found(&worker, LostOrderSearch { claimed_up_to: ahead, ..search() }).await, [old, young]);
}

/// Caught, when seeded: a search that forgets the lease.
pub(crate) async fn an_order_in_work_is_one_only_after_lease_and_grace<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    fixture.put("processing", 15 * MINUTE).await;
    let abandoned = fixture.put("processing", 25 * MINUTE).await;
    let unknown = LostOrderSearch { claimed_up_to: ClaimedUpTo::Unknown, ..search() };
    assert_eq!(found(&worker, unknown).await, [abandoned]);
}

pub(crate) async fn orders_that_are_done_or_not_ours_are_none<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for status in ["fulfilled", "failed", "cancelled", ""] {
        fixture.put(status, 90 * MINUTE).await;
    }
    assert_eq!(found(&worker, search()).await, []);
}

/// Caught, when seeded: an age that counts from `created_at`, which would leave an order alone that was put back to work
/// a week after it came.
pub(crate) async fn an_order_left_alone_for_too_long_is_counted_instead<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let search = LostOrderSearch { max_age: 1_000 * MINUTE, ..search() };
    for status in ["pending", "processing", "fulfilled", "cancelled"] {
        fixture.put(status, 1_010 * MINUTE).await;
    }
    let young = fixture.put("pending", 990 * MINUTE).await;
    let put_back = fixture.put("pending", 1_010 * MINUTE).await;
    fixture.set_idle(put_back, 20 * MINUTE).await;
    assert_eq!(found(&worker, search).await, [young, put_back]);
    assert_eq!(worker.store.stale_orders(search.max_age).await.unwrap(), 2);
}

pub(crate) async fn orphans_come_in_pages_in_order_of_id<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let mut order_ids = Vec::new();
    for number in 0..5 {
        let status = if number % 2 == 0 { "pending" } else { "processing" };
        order_ids.push(fixture.put(status, 90 * MINUTE).await);
    }
    let first = found(&worker, LostOrderSearch { limit: 3, ..search() }).await;
    assert_eq!(first, order_ids[..3]);
    assert_eq!(found(&worker, LostOrderSearch { limit: 3, after: first[2], ..search() }).await, order_ids[3..]);
}

/// Begins an attempt, with whatever correlation id its message has.
async fn begin(worker: &Worker, order_id: OrderId, attempt: u32, correlation_id: Option<&str>) -> Fence {
    let request = BeginRequest { order_id, attempt, correlation_id: correlation_id.map(str::to_owned) };
    match worker.store.begin(&[request]).await.unwrap().as_slice() {
        [Begun::Started { fence, .. }] => *fence,
        other => panic!("{other:?}"),
    }
}

async fn put_back(worker: &Worker, order_id: OrderId, fence: Fence, attempt: u32) {
    assert!(is_done(&conclude(worker, Conclusion { attempt, ..conclusion(order_id, fence, pending()) }).await));
}

/// Makes an order an orphan, and answers what is found of it.
async fn lose<F: StoreFixture>(fixture: &F, worker: &Worker, order_id: OrderId) -> LostOrder {
    fixture.set_idle(order_id, 90 * MINUTE).await;
    let mut orphans = worker.store.lost_orders(&search()).await.unwrap();
    orphans.retain(|orphan| orphan.order_id == order_id);
    orphans.remove(0)
}

pub(crate) async fn an_orphan_has_the_newest_correlation_id_of_its_timeline<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", 90 * MINUTE).await;
    for correlation_id in [Some("basket 7"), Some("basket 8"), None] {
        let fence = begin(&worker, order_id, 1, correlation_id).await;
        put_back(&worker, order_id, fence, 1).await;
    }
    assert_eq!(lose(&fixture, &worker, order_id).await.correlation_id.as_deref(), Some("basket 8"));

    let silent = fixture.without_events(LEASE).await;
    let unknown = fixture.put("pending", 90 * MINUTE).await;
    begin(&silent, unknown, 1, Some("basket 9")).await;
    assert_eq!(lose(&fixture, &silent, unknown).await.correlation_id, None, "there is no timeline");
}

pub(crate) async fn the_attempts_of_an_orphan_that_were_not_ended_are_spent<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("pending", 90 * MINUTE).await;
    assert_eq!(lose(&fixture, &worker, order_id).await.attempts, 0);
    let fence = begin(&worker, order_id, 3, None).await;
    put_back(&worker, order_id, fence, 3).await;
    assert_eq!(lose(&fixture, &worker, order_id).await.attempts, 2, "it was put back, perhaps unspent");
    begin(&worker, order_id, 3, None).await;
    assert_eq!(lose(&fixture, &worker, order_id).await.attempts, 3, "its worker is gone");
    fixture.set_status(order_id, "pending").await;
    assert_eq!(lose(&fixture, &worker, order_id).await.attempts, 0, "a person starts it anew");
}
