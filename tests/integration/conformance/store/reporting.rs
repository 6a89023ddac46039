//! Timelines and summaries.

use std::time::Duration;

use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::dead_letters::DeadLetterFilter;
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion};

use super::{
    LEASE, StoreFixture, begin, conclude, conclusion, failed, fulfilled, is_done, pending, pending_orders, renew, start,
};

pub(crate) async fn the_timeline_has_an_entry_per_transition<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let first = fixture.worker(LEASE).await;
    let second = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let mut fences = Vec::new();

    let (_, fence) = start(&first, order_id).await;
    fences.push(fence);
    let renewed = renew(&first, order_id, fence).await.expect("held");
    assert!(is_done(&conclude(&first, conclusion(order_id, renewed, pending())).await));
    fences.push(fixture.row(order_id).await.fence);

    let correlation_id = Some("basket 7".to_owned());
    let again = BeginRequest { order_id, attempt: 2, correlation_id };
    let answers = second.store.begin(&[again]).await.unwrap();
    let Begun::Started { fence, .. } = answers[0] else { panic!("{answers:?}") };
    fences.push(fence);
    let end = Conclusion { attempt: 2, ..conclusion(order_id, fence, fulfilled()) };
    assert!(is_done(&conclude(&second, end).await));
    fences.push(fixture.row(order_id).await.fence);

    let entries = first.store.timeline(order_id).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.at).collect::<Vec<_>>(), fences, "what each transition wrote");
    let states: Vec<State> = entries.iter().map(|entry| entry.state.clone()).collect();
    assert_eq!(states, [State::Processing, State::Pending, State::Processing, State::Fulfilled]);
    let workers: Vec<&str> = entries.iter().map(|entry| entry.worker.as_str()).collect();
    assert_eq!(workers, [first.id.as_str(), first.id.as_str(), second.id.as_str(), second.id.as_str()]);
    assert_eq!(entries.iter().map(|entry| entry.attempt).collect::<Vec<_>>(), [1, 1, 2, 2]);
    assert_eq!(entries[1].note.as_deref(), Some("the fulfiller is closed"));
    assert_eq!(entries[3].note.as_deref(), Some("shipment 1"));
    assert_eq!(entries[0].correlation_id, None);
    assert_eq!(entries[3].correlation_id.as_deref(), Some("basket 7"));
}

pub(crate) async fn a_refused_step_leaves_no_entry<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for status in ["processing", "fulfilled", "cancelled"] {
        let order_id = fixture.put(status, Duration::ZERO).await;
        begin(&worker, order_id).await;
        let stale = fixture.row(order_id).await.fence.0 - 1;
        let late = conclusion(order_id, fulfillment_worker::domain::order::Fence(stale), fulfilled());
        assert!(!is_done(&conclude(&worker, late).await));
        assert_eq!(worker.store.timeline(order_id).await.unwrap(), vec![]);
    }
}

pub(crate) async fn with_events_off_there_is_no_timeline<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.without_events(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    assert!(is_done(&conclude(&worker, conclusion(order_id, fence, failed("claim 1"))).await));
    assert_eq!(worker.store.timeline(order_id).await.unwrap(), vec![]);
    assert_eq!(
        worker.store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap().len(),
        1,
        "dead letters are kept all the same"
    );
}

pub(crate) async fn an_order_is_reported_as_its_row_has_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for status in ["pending", "processing", "fulfilled", "failed", "cancelled"] {
        let order_id = fixture.put(status, Duration::from_secs(1_000)).await;
        let report = worker.store.order(order_id).await.unwrap().expect("it is there");
        assert_eq!((report.id, report.state.as_str()), (order_id, status));
        assert_eq!((report.product_id, report.product.as_deref(), report.quantity), (1, Some("hand warmer"), 1));
        assert_eq!(report.updated_at_micros, Some(fixture.row(order_id).await.fence.0));
        assert_eq!(report.created_at_micros, report.updated_at_micros);
        for age in [report.age, report.idle] {
            let age = age.expect("both times are set").as_secs();
            assert!((1_000..1_300).contains(&age), "{age} s");
        }
    }
}

pub(crate) async fn an_order_that_is_not_there_is_not_reported<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for order_id in [1, i64::MAX] {
        assert_eq!(worker.store.order(OrderId(order_id)).await.unwrap(), None);
    }
}

pub(crate) async fn an_empty_database_is_summed_up_as_such<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let summary = fixture.worker(LEASE).await.store.summary().await.unwrap();
    let expected = ["pending", "processing", "fulfilled", "failed"].map(|state| (state.to_owned(), 0));
    assert_eq!(summary.orders_by_state, expected);
    assert_eq!((summary.oldest_pending, summary.oldest_processing), (None, None));
}

pub(crate) async fn the_summary_counts_orders_by_state_and_finds_the_oldest<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for (status, count) in [("pending", 3), ("processing", 2), ("fulfilled", 4), ("cancelled", 1)] {
        for number in 1..=count {
            fixture.put(status, Duration::from_secs(1_000 * number)).await;
        }
    }
    let summary = worker.store.summary().await.unwrap();
    let own: Vec<(&str, u64)> =
        summary.orders_by_state.iter().map(|(state, orders)| (state.as_str(), *orders)).collect();
    assert_eq!(own, [("pending", 3), ("processing", 2), ("fulfilled", 4), ("failed", 0), ("cancelled", 1)]);
    let about = |age: Option<Duration>, seconds: u64| {
        age.is_some_and(|age| age >= Duration::from_secs(seconds) && age < Duration::from_secs(seconds + 300))
    };
    assert!(about(summary.oldest_pending, 3_000), "{summary:?}");
    assert!(about(summary.oldest_processing, 2_000), "{summary:?}");
}
