//! Finding orders by the correlation id of their messages.

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::store::{BeginRequest, Begun};

use super::{LEASE, StoreFixture, Worker, conclude, conclusion, fulfilled, is_done, pending_orders};

/// Fulfills an order, which has two transitions.
async fn fulfill(worker: &Worker, order_id: OrderId, correlation_id: &str) {
    let begin = BeginRequest { order_id, attempt: 1, correlation_id: Some(correlation_id.to_owned()) };
    let answers = worker.store.begin(&[begin]).await.unwrap();
    let Begun::Started { fence, .. } = answers[0] else { panic!("{answers:?}") };
    assert!(is_done(&conclude(worker, conclusion(order_id, fence, fulfilled())).await));
}

/// Every page, and how many there were.
async fn search(worker: &Worker, correlation_id: &str, limit: usize) -> (Vec<OrderId>, usize) {
    let (mut found, mut pages, mut below) = (Vec::new(), 0, Some(OrderId(i64::MAX)));
    while let Some(bound) = below {
        let page = worker.store.correlated(correlation_id, bound, limit).await.unwrap();
        found.extend(page.order_ids);
        below = page.next;
        pages += 1;
        assert!(pages < 100, "the search ends");
    }
    found.dedup();
    (found, pages)
}

/// Caught, when seeded: a next page that begins below an order of which some transitions were not read.
pub(crate) async fn orders_are_found_by_correlation_id_whatever_the_size_of_a_page<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert_eq!(search(&worker, "basket 7", 10).await, (vec![], 1));
    let ids = pending_orders(&fixture, 5).await;
    for (order_id, correlation_id) in ids.iter().zip(["basket 7", "other", "basket 7", "it's", "basket 70"]) {
        fulfill(&worker, *order_id, correlation_id).await;
    }
    for limit in [2, 3, 4, 9, 10, 11, 50_000] {
        assert_eq!(search(&worker, "basket 7", limit).await.0, [ids[2], ids[0]], "limit {limit}");
        assert_eq!(search(&worker, "basket", limit).await.0, [], "limit {limit}");
    }
    assert_eq!(search(&worker, "it's", 50_000).await, (vec![ids[3]], 1));
}

pub(crate) async fn an_order_is_found_by_an_id_that_was_cut_when_it_was_kept<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let ids = pending_orders(&fixture, 1).await;
    let cut = "ü".repeat(256);
    fulfill(&worker, ids[0], &cut).await;
    assert_eq!(search(&worker, &"ü".repeat(300), 10).await.0, ids);
    assert_eq!(search(&worker, &"ü".repeat(255), 10).await.0, []);
}
