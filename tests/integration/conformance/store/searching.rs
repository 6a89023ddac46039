//! Lists of orders, and the feed of transitions.

use std::time::Duration;

use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::operations::cursor::CursorError;
use fulfillment_worker::operations::search::{self, Cursor, ListError, Page};
use fulfillment_worker::port::search::{OrderFilter, Position, Transition};
use fulfillment_worker::port::store::{BeginRequest, Begun};

use super::{LEASE, StoreFixture, Worker, conclude, conclusion, fulfilled, is_done, pending_orders};

const HOUR: Duration = Duration::from_secs(3_600);

async fn page(worker: &Worker, filter: &OrderFilter, cursor: Option<&Cursor>, limit: usize) -> Page {
    search::page(&*worker.store, &*worker.store, filter, cursor, limit).await.unwrap()
}

async fn found(worker: &Worker, filter: &OrderFilter) -> Vec<OrderId> {
    let page = page(worker, filter, None, 1_000).await;
    assert_eq!((page.next, page.is_partial), (None, false));
    page.orders.iter().map(|order| order.id).collect()
}

fn in_states<const N: usize>(states: [&str; N]) -> OrderFilter {
    OrderFilter { states: states.map(State::from).to_vec(), ..OrderFilter::default() }
}

async fn fulfill(worker: &Worker, order_id: OrderId, correlation_id: Option<&str>) {
    let begin = BeginRequest { order_id, attempt: 1, correlation_id: correlation_id.map(str::to_owned) };
    let answers = worker.store.begin(&[begin]).await.unwrap();
    let Begun::Started { fence, .. } = answers[0] else { panic!("{answers:?}") };
    assert!(is_done(&conclude(worker, conclusion(order_id, fence, fulfilled())).await));
}

pub(crate) async fn orders_are_listed_by_each_filter_and_by_all_of_them_newest_first<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let old = fixture.put("pending", 5 * HOUR).await;
    let failed = fixture.put("failed", 4 * HOUR).await;
    let cancelled = fixture.put("cancelled", 3 * HOUR).await;
    let basket = fixture.put("pending", 2 * HOUR).await;
    let new = fixture.put("pending", Duration::ZERO).await;
    fulfill(&worker, basket, Some("50% of 'it'")).await;
    let all = OrderFilter::default();
    assert_eq!(found(&worker, &all).await, [new, basket, cancelled, failed, old]);
    assert_eq!(found(&worker, &in_states(["pending"])).await, [new, old]);
    assert_eq!(found(&worker, &in_states(["fulfilled"])).await, [basket]);
    assert_eq!(found(&worker, &in_states(["cancelled", "failed"])).await, [cancelled, failed]);
    assert_eq!(found(&worker, &in_states(["no such state"])).await, []);
    assert_eq!(found(&worker, &OrderFilter { product_id: Some(i64::MAX), ..all.clone() }).await, []);
    let shown = page(&worker, &all, None, 1).await.orders.remove(0);
    let of_product = OrderFilter { product_id: Some(shown.product_id), ..all.clone() };
    assert_eq!(found(&worker, &of_product).await.len(), 5);
    assert_eq!((shown.id, &shown.state, shown.product.is_some()), (new, &State::Pending, true));
    let by_correlation = |id: &str| OrderFilter { correlation_id: Some(id.to_owned()), ..all.clone() };
    assert_eq!(found(&worker, &by_correlation("50% of 'it'")).await, [basket]);
    for other in ["50%", "%", "50_ of 'it'", "'"] {
        assert_eq!(found(&worker, &by_correlation(other)).await, [], "{other}");
    }
    let still_pending = OrderFilter { states: vec![State::Pending], ..by_correlation("50% of 'it'") };
    assert_eq!(found(&worker, &still_pending).await, []);
    let aged = OrderFilter { older_than: Some(HOUR), newer_than: Some(HOUR * 9 / 2), ..all };
    assert_eq!(found(&worker, &aged).await, [basket, cancelled, failed]);
    assert_eq!(found(&worker, &OrderFilter { states: vec![State::Failed], ..aged }).await, [failed]);
}

pub(crate) async fn pages_follow_each_other_without_a_gap_whatever_their_size<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let mut expected = pending_orders(&fixture, 7).await;
    expected.reverse();
    for filter in
        [OrderFilter::default(), in_states(["pending"]), OrderFilter { newer_than: Some(HOUR), ..in_states([]) }]
    {
        for limit in [1, 2, 3, 6, 7, 8] {
            let (mut ids, mut cursor, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = page(&worker, &filter, cursor.as_ref(), limit).await;
                assert!(page.orders.len() <= limit && !page.is_partial);
                ids.extend(page.orders.iter().map(|order| order.id));
                pages += 1;
                let Some(next) = page.next else { break };
                // As a person gets it, and gives it back.
                cursor = Some(next.to_string().parse().unwrap());
            }
            assert_eq!(ids, expected, "limit {limit}");
            assert_eq!(pages, 7_usize.div_ceil(limit), "limit {limit}");
        }
    }
}

pub(crate) async fn a_cursor_of_other_filters_is_refused<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    pending_orders(&fixture, 2).await;
    let cursor = page(&worker, &OrderFilter::default(), None, 1).await.next.unwrap();
    let other = in_states(["pending"]);
    let refused = search::page(&*worker.store, &*worker.store, &other, Some(&cursor), 1).await.unwrap_err();
    assert!(matches!(refused, ListError::Cursor(CursorError::OtherFilter)), "{refused}");
}

pub(crate) async fn an_empty_table_is_an_empty_page<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let aged = OrderFilter { older_than: Some(HOUR), newer_than: Some(2 * HOUR), ..OrderFilter::default() };
    let correlated = OrderFilter { correlation_id: Some("x".to_owned()), ..OrderFilter::default() };
    for filter in [OrderFilter::default(), in_states(["pending", "failed"]), aged, correlated] {
        assert_eq!(page(&worker, &filter, None, 10).await, Page::default(), "{filter:?}");
    }
}

/// Orders without a time match no age, and stop no search; nor do ids that are far apart.
pub(crate) async fn a_list_by_age_leaves_out_no_order_and_takes_none_that_does_not_match<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let mut ids = Vec::new();
    for hours in (0..12).rev() {
        // A few minutes out of order.
        ids.push(fixture.put("fulfilled", HOUR * hours).await);
        ids.push(fixture.put("fulfilled", HOUR * hours + HOUR / 12).await);
        let timeless = fixture.put("fulfilled", HOUR * hours).await;
        fixture.forget_creation(timeless).await;
    }
    ids.reverse();
    for (newer, older) in [(0, 1), (1, 3), (2, 11), (0, 12), (11, 12)] {
        let margin = HOUR / 2;
        let filter = OrderFilter {
            older_than: Some((HOUR * newer).saturating_sub(margin)),
            newer_than: Some((HOUR * older).saturating_sub(margin)),
            ..OrderFilter::default()
        };
        let (first, last) = (newer as usize * 2, older as usize * 2);
        assert_eq!(found(&worker, &filter).await, ids[first..last], "{newer} to {older}");
    }
}

async fn read_all(worker: &Worker, position: &mut Position, limit: usize) -> Vec<Transition> {
    let mut all = Vec::new();
    loop {
        let read = worker.store.next(position, limit).await.unwrap();
        assert!(read.len() <= limit);
        let is_last = read.len() < limit;
        all.extend(read);
        if is_last {
            return all;
        }
    }
}

pub(crate) async fn every_transition_is_read_once_in_order<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let ids = pending_orders(&fixture, 6).await;
    fulfill(&worker, ids[0], None).await;
    for limit in [1_000, 3, 1] {
        let mut position = Position::default();
        assert_eq!(read_all(&worker, &mut position, limit).await, [], "what was before is not read");
        let of_round = &ids[match limit {
            1_000 => 1..3,
            3 => 3..5,
            _ => 5..6,
        }];
        for id in of_round {
            fulfill(&worker, *id, Some("basket")).await;
        }
        let read = read_all(&worker, &mut position, limit).await;
        let entered: Vec<_> = read.iter().map(|read| (read.order_id, read.entry.state.clone())).collect();
        let expected: Vec<_> =
            of_round.iter().flat_map(|id| [(*id, State::Processing), (*id, State::Fulfilled)]).collect();
        assert_eq!(entered, expected, "limit {limit}");
        for read in &read {
            assert_eq!(read.entry.worker, worker.id.to_string());
            assert_eq!(read.entry.correlation_id.as_deref(), Some("basket"));
        }
        assert_eq!(read_all(&worker, &mut position, limit).await, [], "once");
    }
}

pub(crate) async fn a_note_stands_in_the_timeline_of_pending_orders_alone<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let ids = pending_orders(&fixture, 2).await;
    fulfill(&worker, ids[1], None).await;
    worker.store.note_pending(&[ids[0], ids[1], OrderId(i64::MAX)], "pushed again").await.unwrap();
    let timeline = worker.store.timeline(ids[0]).await.unwrap();
    let notes: Vec<_> = timeline.iter().map(|entry| (entry.attempt, entry.note.as_deref())).collect();
    assert_eq!(notes, [(0, Some("pushed again"))]);
    assert_eq!(worker.store.timeline(ids[1]).await.unwrap().len(), 2);
    fulfill(&worker, ids[0], None).await;
    assert_eq!(worker.store.timeline(ids[0]).await.unwrap().len(), 3);
}
