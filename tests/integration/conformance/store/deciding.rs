//! What operators decide about orders: cancel, hold, release; and the times that messages name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fulfillment_worker::domain::order::{Fence, OrderId, RowView, State, Step, admit};
use fulfillment_worker::port::dead_letters::Decision;
use fulfillment_worker::port::decisions::{Decided, HoldEnd, Ruling};
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch};
use fulfillment_worker::port::store::{Begun, NotBefore, Verdict};

use super::{
    LEASE, StoreFixture, Worker, begin, conclude, conclusion, fulfilled, is_done, is_started, pending, pending_orders,
    renew, start,
};

const HOUR: Duration = Duration::from_secs(3_600);
const STATUSES: [&str; 7] = ["pending", "processing", "fulfilled", "failed", "cancelled", "", "Pending"];

fn ruling() -> Ruling {
    Ruling { decision: Decision { by: "ann".to_owned(), reason: "recalled".to_owned() }, dry_run: false }
}

fn dry_run() -> Ruling {
    Ruling { dry_run: true, ..ruling() }
}

async fn cancel(worker: &Worker, order_id: OrderId) -> Decided {
    worker.store.cancel(&[order_id], &ruling()).await.unwrap().remove(0)
}

async fn hold(worker: &Worker, order_id: OrderId, end: HoldEnd) -> Decided {
    worker.store.hold(&[order_id], end, &ruling()).await.unwrap().remove(0)
}

async fn release(worker: &Worker, order_id: OrderId) -> Decided {
    worker.store.release(&[order_id], &ruling()).await.unwrap().remove(0)
}

/// The state in which it was found, by an answer that says it is done.
fn done_in(decided: &Decided) -> Option<State> {
    if let Decided::Done(order) = decided { Some(order.state.clone()) } else { None }
}

async fn lost(worker: &Worker) -> Vec<(OrderId, u32)> {
    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: Duration::ZERO,
        max_age: 10_000 * HOUR,
        after: OrderId(0),
        limit: 10_000,
    };
    worker.store.lost_orders(&search).await.unwrap().iter().map(|order| (order.order_id, order.attempts)).collect()
}

fn from_now(time: Duration) -> i64 {
    i64::try_from((SystemTime::now() + time).duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Caught, when seeded: a cancel of what is `failed`, and one that leaves the fence.
pub(crate) async fn every_state_answers_a_cancel_as_the_rules_do<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for (status, idle) in STATUSES.into_iter().flat_map(|status| [(status, Duration::ZERO), (status, 2 * HOUR)]) {
        let order_id = fixture.put(status, idle).await;
        let before = fixture.row(order_id).await;
        let view = RowView { state: State::from(status), fence: before.fence, idle };
        let decided = cancel(&worker, order_id).await;
        let after = fixture.row(order_id).await;
        match admit(&view, Step::Cancel) {
            Ok(state) => {
                assert_eq!((done_in(&decided), after.status.as_str()), (Some(view.state), state.as_str()));
                assert!(after.fence > before.fence);
            }
            Err(_) => {
                let expected =
                    if status == "cancelled" { Decided::AsItWas(view.state) } else { Decided::OrderIs(view.state) };
                assert_eq!((decided, after), (expected, before));
            }
        }
    }
}

/// Caught, when seeded: a conclusion that asks for no fence.
pub(crate) async fn the_worker_of_a_cancelled_order_is_superseded<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    assert_eq!(done_in(&cancel(&worker, order_id).await), Some(State::Processing));
    assert_eq!(renew(&worker, order_id, fence).await, None);
    let verdict = conclude(&worker, conclusion(order_id, fence, fulfilled())).await;
    assert_eq!(verdict, Verdict::Superseded(Some(State::Cancelled)));
    assert_eq!(fixture.row(order_id).await.status, "cancelled");
    assert_eq!(begin(&worker, order_id).await, Begun::NotOurs("cancelled".to_owned()));
}

pub(crate) async fn an_order_that_was_taken_over_is_cancelled_for_both_of_its_workers<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (first, second) = (fixture.worker(HOUR).await, fixture.worker(HOUR).await);
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, of_first) = start(&first, order_id).await;
    fixture.set_idle(order_id, 2 * HOUR).await;
    let (_, of_second) = start(&second, order_id).await;
    assert_eq!(done_in(&cancel(&first, order_id).await), Some(State::Processing));
    for (worker, fence) in [(&first, of_first), (&second, of_second)] {
        assert!(!is_done(&conclude(worker, conclusion(order_id, fence, fulfilled())).await));
    }
    assert_eq!(fixture.row(order_id).await.status, "cancelled");
}

pub(crate) async fn decisions_are_kept_in_the_timeline_with_author_and_reason<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    hold(&worker, order_id, HoldEnd::After(HOUR)).await;
    release(&worker, order_id).await;
    let (_, fence) = start(&worker, order_id).await;
    hold(&worker, order_id, HoldEnd::Never).await;
    conclude(&worker, conclusion(order_id, fence, pending())).await;
    cancel(&worker, order_id).await;
    let timeline = worker.store.timeline(order_id).await.unwrap();
    let entries: Vec<_> = timeline
        .iter()
        .map(|entry| (entry.state.as_str().to_owned(), entry.attempt, entry.note.clone().unwrap_or_default()))
        .collect();
    let entry = |state: &str, attempt, note: &str| (state.to_owned(), attempt, note.to_owned());
    assert_eq!(
        entries,
        [
            entry("pending", 0, "held for 1h by ann: recalled"),
            entry("pending", 0, "released by ann: recalled"),
            entry("processing", 1, ""),
            entry("processing", 1, "held by ann: recalled"),
            entry("pending", 1, "the fulfiller is closed"),
            entry("cancelled", 0, "cancelled by ann: recalled"),
        ]
    );
    assert!(timeline.iter().all(|entry| entry.worker == worker.id.as_str()), "{timeline:?}");
}

/// Caught, when seeded: a begin that looks for no hold.
pub(crate) async fn a_held_order_is_not_begun_until_it_is_released<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let orders = pending_orders(&fixture, 3).await;
    assert_eq!(done_in(&hold(&worker, orders[1], HoldEnd::Never).await), Some(State::Pending));
    let row = fixture.row(orders[1]).await;
    let answers = worker.store.begin(&super::requests(&orders)).await.unwrap();
    assert_eq!(answers[1], Begun::Held(None));
    assert!(is_started(&answers[0]) && is_started(&answers[2]), "{answers:?}");
    assert_eq!(fixture.row(orders[1]).await, row);
    let released = release(&worker, orders[1]).await;
    assert_eq!(done_in(&released), Some(State::Pending));
    start(&worker, orders[1]).await;
    assert_eq!(release(&worker, orders[1]).await, Decided::AsItWas(State::Processing));
}

pub(crate) async fn a_hold_ends_by_itself_at_its_time<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    for end in [HoldEnd::After(HOUR), HoldEnd::At(from_now(HOUR))] {
        hold(&worker, order_id, end).await;
        let answer = begin(&worker, order_id).await;
        let Begun::Held(Some(left)) = answer else { panic!("{answer:?}") };
        assert!(left <= HOUR + Duration::from_secs(60) && left > HOUR / 2, "{left:?}");
    }
    // The last hold counts.
    hold(&worker, order_id, HoldEnd::At(from_now(Duration::ZERO) - 1_000_000)).await;
    start(&worker, order_id).await;
}

/// Caught, when seeded: a hold that moves the fence of an order in work, and a takeover that looks for no hold.
pub(crate) async fn a_hold_of_an_order_in_work_takes_effect_when_its_attempt_has_ended<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(HOUR).await;
    let orders = pending_orders(&fixture, 2).await;
    let (_, released) = start(&worker, orders[0]).await;
    start(&worker, orders[1]).await;
    for &order_id in &orders {
        assert_eq!(done_in(&hold(&worker, order_id, HoldEnd::Never).await), Some(State::Processing));
    }
    let kept = renew(&worker, orders[0], released).await.expect("the lease is kept");
    assert!(is_done(&conclude(&worker, conclusion(orders[0], kept, pending())).await));
    assert_eq!(begin(&worker, orders[0]).await, Begun::Held(None));
    fixture.set_idle(orders[1], 2 * HOUR).await;
    assert_eq!(begin(&worker, orders[1]).await, Begun::Held(None));
    assert_eq!(lost(&worker).await, []);
}

/// Caught, when seeded: a search that passes over nothing that is held.
pub(crate) async fn a_held_order_has_not_lost_its_message<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(Duration::ZERO).await;
    let order_id = fixture.put("pending", 2 * HOUR).await;
    assert_eq!(lost(&worker).await, [(order_id, 0)]);
    hold(&worker, order_id, HoldEnd::Never).await;
    fixture.set_idle(order_id, 2 * HOUR).await;
    assert_eq!(lost(&worker).await, []);
    release(&worker, order_id).await;
    assert_eq!(lost(&worker).await, [(order_id, 0)]);
}

pub(crate) async fn a_hold_leaves_the_number_of_spent_attempts_as_it_was<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(Duration::ZERO).await;
    let order_id = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, order_id).await;
    conclude(&worker, conclusion(order_id, fence, pending())).await;
    let (request, again) = (super::request(order_id), Fence(fixture.row(order_id).await.fence.0));
    let third = fulfillment_worker::port::store::BeginRequest { attempt: 3, ..request };
    let Begun::Started { fence, .. } = worker.store.begin(&[third]).await.unwrap().remove(0) else { panic!() };
    assert!(fence > again);
    hold(&worker, order_id, HoldEnd::Never).await;
    release(&worker, order_id).await;
    fixture.set_idle(order_id, 2 * HOUR).await;
    assert_eq!(lost(&worker).await, [(order_id, 3)]);
}

/// Caught, when seeded: a time that is noted again after the order was released.
pub(crate) async fn a_time_that_a_message_names_holds_its_order_until_somebody_releases_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let orders = pending_orders(&fixture, 3).await;
    let note = async |order_id, at_micros| {
        worker.store.note_not_before(&[NotBefore { order_id, at_micros }]).await.unwrap();
    };
    let at = from_now(HOUR);
    for _ in 0..2 {
        note(orders[0], at).await;
        assert!(matches!(begin(&worker, orders[0]).await, Begun::Held(Some(_))));
    }
    // Twice, as one that is over is removed there, and this one is kept.
    assert_eq!((done_in(&release(&worker, orders[0]).await), lost(&worker).await.len()), (Some(State::Pending), 3));
    note(orders[0], at).await;
    start(&worker, orders[0]).await;
    note(orders[1], from_now(Duration::ZERO) - 1_000_000).await;
    start(&worker, orders[1]).await;
    // An operator's hold is made longer, and never shorter.
    hold(&worker, orders[2], HoldEnd::Never).await;
    note(orders[2], at).await;
    assert_eq!(begin(&worker, orders[2]).await, Begun::Held(None));
}

pub(crate) async fn what_cannot_be_held_or_released_is_told_with_its_state<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for status in ["fulfilled", "failed", "cancelled", "shipped"] {
        let order_id = fixture.put(status, HOUR).await;
        let state = State::from(status);
        assert_eq!(hold(&worker, order_id, HoldEnd::Never).await, Decided::OrderIs(state.clone()));
        assert_eq!(release(&worker, order_id).await, Decided::AsItWas(state));
    }
    let order_id = fixture.put("pending", HOUR).await;
    assert_eq!(release(&worker, order_id).await, Decided::AsItWas(State::Pending));
    let nobody = OrderId(1_000_000);
    let answers =
        [cancel(&worker, nobody).await, hold(&worker, nobody, HoldEnd::Never).await, release(&worker, nobody).await];
    assert_eq!(answers, [Decided::Unknown, Decided::Unknown, Decided::Unknown]);
}

pub(crate) async fn a_dry_run_changes_nothing_and_answers_as_the_run_does<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = [fixture.put("pending", HOUR).await, fixture.put("fulfilled", HOUR).await, OrderId(1_000_000)];
    let rows = [fixture.row(order_ids[0]).await, fixture.row(order_ids[1]).await];
    let dry = [
        worker.store.hold(&order_ids, HoldEnd::Never, &dry_run()).await.unwrap(),
        worker.store.release(&order_ids, &dry_run()).await.unwrap(),
        worker.store.cancel(&order_ids, &dry_run()).await.unwrap(),
    ];
    assert_eq!([fixture.row(order_ids[0]).await, fixture.row(order_ids[1]).await], rows);
    assert_eq!(worker.store.timeline(order_ids[0]).await.unwrap(), []);
    assert_eq!(dry[1][0], Decided::AsItWas(State::Pending));
    assert_eq!(dry[0], worker.store.hold(&order_ids, HoldEnd::Never, &ruling()).await.unwrap());
    assert!(matches!(worker.store.release(&order_ids, &dry_run()).await.unwrap()[0], Decided::Done(_)));
    assert_eq!(begin(&worker, order_ids[0]).await, Begun::Held(None));
    assert_eq!(dry[2], worker.store.cancel(&order_ids, &ruling()).await.unwrap());
}

pub(crate) async fn an_order_that_the_database_refuses_to_cancel_does_not_harm_its_neighbours<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let orders = pending_orders(&fixture, 3).await;
    fixture.refuse(orders[1]).await;
    let answers = worker.store.cancel(&orders, &ruling()).await.unwrap();
    assert!(matches!(answers[1], Decided::Refused(_)), "{answers:?}");
    assert_eq!([done_in(&answers[0]), done_in(&answers[2])], [Some(State::Pending), Some(State::Pending)]);
}

pub(crate) async fn held_orders_are_counted_and_are_no_part_of_an_age<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let (old, young) = (fixture.put("pending", 100 * HOUR).await, fixture.put("pending", HOUR).await);
    hold(&worker, old, HoldEnd::Never).await;
    let open = worker.store.open_orders().await.unwrap();
    assert_eq!((open.held, open.pending.orders, worker.store.summary().await.unwrap().held), (1, 2, 1));
    assert!(open.pending.oldest.unwrap() < 50 * HOUR, "{open:?}");
    cancel(&worker, old).await;
    hold(&worker, young, HoldEnd::Never).await;
    let open = worker.store.open_orders().await.unwrap();
    assert_eq!((open.held, open.pending.orders, open.pending.oldest, open.doubt), (1, 1, None, None));
}

/// Caught, when seeded: a cancel that asks for the state that it leaves, and not for the fence; and one that reads it without a lock.
pub(crate) async fn of_a_cancel_and_a_worker_at_once_never_both_win<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (worker, operator) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    for order_id in pending_orders(&fixture, 60).await {
        let (begun, early) = tokio::join!(begin(&worker, order_id), cancel(&operator, order_id));
        let Begun::Started { fence, .. } = begun else {
            assert_eq!(fixture.row(order_id).await.status, "cancelled", "{begun:?}, {early:?}");
            continue;
        };
        let ending = conclusion(order_id, fence, fulfilled());
        let (verdict, late) = tokio::join!(conclude(&worker, ending), cancel(&operator, order_id));
        let cancelled = [&early, &late].iter().any(|decided| done_in(decided).is_some());
        let status = fixture.row(order_id).await.status;
        let expected = if cancelled { "cancelled" } else { "fulfilled" };
        assert_eq!((status.as_str(), is_done(&verdict)), (expected, !cancelled), "{early:?}, {late:?}, {verdict:?}");
    }
}

pub(crate) async fn operators_at_once_cancel_each_order_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (ann, bob) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    for order_id in pending_orders(&fixture, 30).await {
        let (one, other) = tokio::join!(cancel(&ann, order_id), cancel(&bob, order_id));
        let done = [&one, &other].iter().filter(|decided| done_in(decided).is_some()).count();
        assert_eq!(done, 1, "{one:?}, {other:?}");
        assert_eq!(ann.store.timeline(order_id).await.unwrap().len(), 1);
    }
}

/// Caught, when seeded: a hold that leaves the fence, which a begin that had looked before then passes.
pub(crate) async fn an_order_that_a_hold_found_pending_is_begun_by_nobody_after_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (worker, operator) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    for order_id in pending_orders(&fixture, 150).await {
        let (begun, held) = tokio::join!(begin(&worker, order_id), hold(&operator, order_id, HoldEnd::Never));
        match done_in(&held) {
            Some(State::Pending) => assert!(!is_started(&begun), "{begun:?}, {held:?}"),
            _ => assert!(is_started(&begun), "{begun:?}, {held:?}"),
        }
    }
}
