//! Deleting old timelines.

use std::time::Duration;

use fulfillment_worker::domain::dead_letter::Resolution;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, Decision};
use fulfillment_worker::port::retention::{Cutoff, PageDone, TimelinePage};

use super::{LEASE, StoreFixture, Worker, conclude, conclusion, failed, fulfilled, is_done, pending_orders, start};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An order whose two transitions were so long ago.
async fn ended<F: StoreFixture>(fixture: &F, worker: &Worker, ago: Duration) -> OrderId {
    let order_id = pending_orders(fixture, 1).await[0];
    let (_, fence) = start(worker, order_id).await;
    assert!(is_done(&conclude(worker, conclusion(order_id, fence, fulfilled())).await));
    fixture.age_timeline(order_id, ago).await;
    order_id
}

async fn leader<F: StoreFixture>(fixture: &F) -> Worker {
    let worker = fixture.worker(LEASE).await;
    assert!(worker.store.lead_retention(LEASE).await.unwrap());
    worker
}

/// Deletes what ended longer than `keep` ago, in pages of `limit` entries, and answers how many entries that were.
async fn delete(worker: &Worker, keep: Duration, limit: usize) -> u64 {
    let cutoff = worker.store.move_cutoff(keep).await.unwrap().at;
    let (mut after, mut deleted) = (OrderId(0), 0);
    loop {
        let page = TimelinePage { after, limit, cutoff };
        let PageDone { next, deleted: more, .. } = worker.store.delete_timelines(&page).await.unwrap();
        deleted += more;
        match next {
            Some(next) => assert!(next > after, "{next} after {after}"),
            None => return deleted,
        }
        after = next.unwrap_or(after);
    }
}

async fn length(worker: &Worker, order_id: OrderId) -> usize {
    worker.store.timeline(order_id).await.unwrap().len()
}

pub(crate) async fn timelines_that_ended_before_the_cutoff_are_deleted_whole_whatever_the_size_of_a_page<
    F: StoreFixture,
>() {
    for limit in [1, 2, 3, 7, 2_000] {
        let fixture = F::fresh().await;
        let worker = leader(&fixture).await;
        let mut old = Vec::new();
        let mut young = Vec::new();
        for _ in 0..3 {
            old.push(ended(&fixture, &worker, 12 * DAY).await);
            young.push(ended(&fixture, &worker, 8 * DAY).await);
        }
        // Begun long ago, and ended a moment ago.
        let slow = pending_orders(&fixture, 1).await[0];
        let (_, fence) = start(&worker, slow).await;
        fixture.age_timeline(slow, 12 * DAY).await;
        assert!(is_done(&conclude(&worker, conclusion(slow, fence, fulfilled())).await));
        young.push(slow);
        assert_eq!(delete(&worker, 10 * DAY, limit).await, 6, "limit {limit}");
        for order_id in young {
            assert_eq!(length(&worker, order_id).await, 2, "limit {limit}");
        }
        for order_id in old {
            assert_eq!(length(&worker, order_id).await, 0, "limit {limit}");
        }
        assert_eq!(delete(&worker, 10 * DAY, limit).await, 0, "limit {limit}");
    }
}

/// Caught, when seeded: a statement that doesn't ask about the row, or about letters.
pub(crate) async fn an_order_that_is_open_or_waits_for_a_decision_keeps_its_timeline<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = leader(&fixture).await;
    let mut kept = Vec::new();
    let mut deleted = Vec::new();
    for (status, keeps) in
        [("pending", true), ("processing", true), ("fulfilled", false), ("failed", false), ("cancelled", false)]
    {
        let order_id = ended(&fixture, &worker, 12 * DAY).await;
        fixture.set_status(order_id, status).await;
        if keeps { kept.push(order_id) } else { deleted.push(order_id) }
    }
    for (claim_id, decided) in [("1-0", false), ("2-0", true)] {
        let order_id = pending_orders(&fixture, 1).await[0];
        let (_, fence) = start(&worker, order_id).await;
        assert!(is_done(&conclude(&worker, conclusion(order_id, fence, failed(claim_id))).await));
        fixture.age_timeline(order_id, 12 * DAY).await;
        if decided {
            let filter = DeadLetterFilter { order_id: Some(order_id), ..DeadLetterFilter::default() };
            let letters = worker.store.list(&filter, 0, 10).await.unwrap();
            let decision = Decision { by: "ada".to_owned(), reason: "seen".to_owned() };
            let ids = [letters[0].id];
            worker.store.resolve(&ids, Resolution::Discarded, &decision).await.unwrap();
            deleted.push(order_id);
        } else {
            kept.push(order_id);
        }
    }
    assert_eq!(delete(&worker, 10 * DAY, 3).await, 8);
    for order_id in kept {
        assert_eq!(length(&worker, order_id).await, 2, "{order_id}");
    }
    for order_id in deleted {
        assert_eq!(length(&worker, order_id).await, 0, "{order_id}");
    }
}

/// Caught, when seeded: a statement that doesn't ask who leads.
pub(crate) async fn nobody_deletes_timelines_but_the_leader<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (first, second) = (leader(&fixture).await, fixture.worker(LEASE).await);
    ended(&fixture, &first, 12 * DAY).await;
    assert!(!second.store.lead_retention(LEASE).await.unwrap());
    assert!(second.store.lead(LEASE).await.unwrap(), "the reconciler's lead is another one");
    assert_eq!(delete(&second, 10 * DAY, 10).await, 0);
    first.store.resign_retention().await.unwrap();
    assert_eq!(delete(&first, 10 * DAY, 10).await, 0);
    assert!(second.store.lead_retention(LEASE).await.unwrap());
    assert_eq!(delete(&second, 10 * DAY, 10).await, 2);
}

/// Caught, when seeded: a cutoff that is where the clock puts it.
pub(crate) async fn a_clock_that_jumps_moves_the_cutoff_by_a_day_an_hour<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let store = fixture.worker(LEASE).await.store;
    let first = store.move_cutoff(90 * DAY).await.unwrap();
    assert!(first.behind < LEASE, "{first:?}");
    // As if the clock had gone on by 400 days since, in two hours.
    let (away, hours) = (400 * DAY, Duration::from_secs(2 * 3_600));
    fixture.age_cutoff(away, hours).await;
    let about = |found: Duration, wanted: Duration| found.abs_diff(wanted) < LEASE;
    let Cutoff { at, behind } = store.move_cutoff(90 * DAY).await.unwrap();
    assert!(about(behind, 399 * DAY), "{behind:?}");
    assert_eq!(store.move_cutoff(90 * DAY).await.unwrap().at, at, "again at once: not before an hour is over");
    fixture.age_cutoff(Duration::ZERO, hours).await;
    assert!(about(store.move_cutoff(90 * DAY).await.unwrap().behind, 398 * DAY));
    // Longer than before: back at once.
    let longer = store.move_cutoff(1_000 * DAY).await.unwrap();
    assert!(longer.at < at && longer.behind < LEASE, "{longer:?}");
}

/// The clock may be wrong just then: what is kept too long goes later, and what is gone doesn't come back.
///
/// Caught: the first cutoff went where the clock put it, and took all but the last ten days.
pub(crate) async fn the_first_cutoff_is_a_day_after_the_oldest_entry_at_most<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = leader(&fixture).await;
    // A younger one has the lowest id: an order that waited long.
    let kept = [ended(&fixture, &worker, 30 * DAY).await, ended(&fixture, &worker, 397 * DAY + DAY / 2).await];
    let oldest = ended(&fixture, &worker, 400 * DAY).await;
    assert_eq!(delete(&worker, 10 * DAY, 10).await, 2);
    assert_eq!(length(&worker, oldest).await, 0);
    for order_id in kept {
        assert_eq!(length(&worker, order_id).await, 2, "{order_id}");
    }
    let behind = worker.store.move_cutoff(10 * DAY).await.unwrap().behind;
    assert!(behind.abs_diff(389 * DAY) < 2 * DAY, "{behind:?}");
    // Hour by hour it goes on from there.
    fixture.age_cutoff(Duration::ZERO, Duration::from_secs(2 * 3_600)).await;
    delete(&worker, 10 * DAY, 10).await;
    fixture.age_cutoff(Duration::ZERO, Duration::from_secs(2 * 3_600)).await;
    assert_eq!(delete(&worker, 10 * DAY, 10).await, 2);
    assert_eq!(length(&worker, kept[0]).await, 2);
}
