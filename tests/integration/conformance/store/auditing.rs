//! Who reconciles, and whether every row is accounted for.

use std::time::Duration;

use fulfillment_worker::domain::order::{OrderId, State};
use tokio::task::JoinSet;

use super::{LEASE, StoreFixture, conclude, conclusion, failed, fulfilled, is_done, pending_orders, start};
use crate::support::{LONG, eventually};

const TERM: Duration = Duration::from_secs(3_600);

pub(crate) async fn the_lead_is_held_by_one_worker_and_renewed_by_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (first, second) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    for _ in 0..2 {
        assert!(first.store.lead(TERM).await.unwrap());
        assert!(!second.store.lead(TERM).await.unwrap());
    }
}

/// Caught, when seeded: a lead that only its holder's end sets free.
pub(crate) async fn the_lead_of_a_dead_worker_is_taken_after_its_term<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (dead, heir) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let began = std::time::Instant::now();
    assert!(dead.store.lead(Duration::from_millis(500)).await.unwrap());
    eventually(LONG, "the lead is taken over", async || match heir.store.lead(TERM).await.unwrap() {
        true => Ok(()),
        false => Err("not yet"),
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(500), "taken while it was held");
    assert!(!dead.store.lead(TERM).await.unwrap(), "the old one came back");
}

pub(crate) async fn a_lead_that_was_given_up_is_free_at_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (first, second) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    assert!(first.store.lead(TERM).await.unwrap());
    second.store.resign().await.unwrap();
    assert!(!second.store.lead(TERM).await.unwrap(), "given up by somebody else");
    first.store.resign().await.unwrap();
    assert!(second.store.lead(TERM).await.unwrap());
}

pub(crate) async fn several_workers_at_once_get_one_leader<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let worker = fixture.worker(LEASE).await;
        tasks.spawn(async move { worker.store.lead(TERM).await.unwrap() });
    }
    let leads = tasks.join_all().await;
    assert_eq!(leads.iter().filter(|leads| **leads).count(), 1, "{leads:?}");
}

pub(crate) async fn every_row_is_judged<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (worker, silent) = (fixture.worker(LEASE).await, fixture.without_events(LEASE).await);
    let ids = pending_orders(&fixture, 5).await;
    for (order_id, to) in [(ids[0], fulfilled()), (ids[1], failed("claim 1"))] {
        let (_, fence) = start(&worker, order_id).await;
        assert!(is_done(&conclude(&worker, conclusion(order_id, fence, to)).await));
    }
    let (_, fence) = start(&silent, ids[2]).await;
    assert!(is_done(&conclude(&silent, conclusion(ids[2], fence, fulfilled())).await));
    start(&worker, ids[3]).await;
    let without_letter = fixture.put("failed", LEASE).await;
    fixture.put("cancelled", LEASE).await;

    let page = worker.store.audit(OrderId(0), 10_000).await.unwrap();
    assert_eq!(page.open, ids[3..]);
    assert_eq!(page.failed_without_letter, [without_letter]);
    assert_eq!(page.not_fulfilled_once, []);
    assert_eq!(page.without_timeline, 1);
    let mut states = page.orders_by_state;
    states.sort();
    let expected = [("cancelled", 1), ("failed", 2), ("fulfilled", 2), ("pending", 1), ("processing", 1)];
    assert_eq!(states, expected.map(|(state, count)| (state.to_owned(), count)));
}

pub(crate) async fn an_audit_comes_in_pages<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert_eq!(worker.store.audit(OrderId(0), 10).await.unwrap().last, None);
    let ids = pending_orders(&fixture, 5).await;
    let first = worker.store.audit(OrderId(0), 3).await.unwrap();
    assert_eq!((first.open.as_slice(), first.last), (&ids[..3], Some(ids[2])));
    let second = worker.store.audit(ids[2], 3).await.unwrap();
    assert_eq!((second.open.as_slice(), second.last), (&ids[3..], Some(ids[4])));
    assert_eq!(worker.store.audit(ids[4], 3).await.unwrap().last, None);
}

/// What an attempt without a guard would leave behind.
pub(crate) async fn an_order_fulfilled_twice_is_found<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    for _ in 0..2 {
        let (_, fence) = start(&worker, order_id).await;
        assert!(is_done(&conclude(&worker, conclusion(order_id, fence, fulfilled())).await));
        fixture.set_status(order_id, "pending").await;
    }
    fixture.set_status(order_id, "fulfilled").await;
    assert_eq!(worker.store.audit(OrderId(0), 10).await.unwrap().not_fulfilled_once, [order_id]);
}

pub(crate) async fn states_are_answered_by_position<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let pending = fixture.put("pending", LEASE).await;
    let cancelled = fixture.put("cancelled", LEASE).await;
    let states = worker.store.states(&[cancelled, OrderId(999_999), pending, cancelled]).await.unwrap();
    let foreign = Some(State::from("cancelled"));
    assert_eq!(states, [foreign.clone(), None, Some(State::Pending), foreign]);
}
