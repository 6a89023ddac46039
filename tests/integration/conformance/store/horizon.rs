//! From when on orders that lost their message are taken in.

use std::time::Duration;

use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, Decision};
use fulfillment_worker::port::horizon::{Horizon, Moved, Noted, OpenOrder, Standing};
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch, OlderOrders};
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{LEASE, StoreFixture, Worker, conclude, conclusion, is_done, letter, pending, start};

const MINUTE: Duration = Duration::from_secs(60);
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Whatever was ever pushed has been claimed; a grace of ten minutes.
async fn found(worker: &Worker) -> Vec<OrderId> {
    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: 10 * MINUTE,
        max_age: MAX_AGE,
        after: OrderId(0),
        limit: 10_000,
    };
    worker.store.lost_orders(&search).await.unwrap().iter().map(|order| order.order_id).collect()
}

async fn note_behind_everything(worker: &Worker) -> Horizon {
    let horizon = worker.store.behind_everything().await.unwrap();
    assert!(worker.store.note(&horizon).await.unwrap(), "it was noted before");
    horizon
}

/// Begins an order, and has it lose its message after that.
async fn begin_and_lose<F: StoreFixture>(fixture: &F, worker: &Worker, order_id: OrderId) {
    let (_, fence) = start(worker, order_id).await;
    assert!(is_done(&conclude(worker, conclusion(order_id, fence, pending())).await));
    fixture.set_idle(order_id, 20 * MINUTE).await;
}

/// What it knows of those that are left alone.
async fn left_alone(worker: &Worker) -> u64 {
    worker.store.orders_before_horizon().await.unwrap().orders
}

/// To the microsecond, as databases have it.
fn ago(age: Duration) -> Timestamp {
    Timestamp::from_microsecond((Timestamp::now() - age).as_microsecond()).unwrap()
}

pub(crate) async fn of_many_first_starts_one_notes_the_horizon_and_it_stays<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert_eq!(worker.store.noted().await.unwrap(), Noted::Nothing);
    assert_eq!(worker.store.orders_before_horizon().await.unwrap(), OlderOrders::default());
    let mut starts = JoinSet::new();
    for number in 0..8 {
        let store = fixture.worker(LEASE).await.store;
        let adopt_from = Timestamp::from_microsecond(1_700_000_000_000_000 + number).unwrap();
        let horizon = Horizon { adopt_from: Some(adopt_from), last_order_id: Some(OrderId(number)) };
        starts.spawn(async move { store.note(&horizon).await.unwrap().then_some(horizon) });
    }
    let noted: Vec<Horizon> = starts.join_all().await.into_iter().flatten().collect();
    let [horizon] = noted[..] else { panic!("{noted:?}") };
    assert_eq!(worker.store.noted().await.unwrap(), Noted::Horizon(horizon));
    assert!(!worker.store.note(&Horizon::EVERYTHING).await.unwrap());
    assert_eq!(worker.store.noted().await.unwrap(), Noted::Horizon(horizon));
}

/// Caught, when seeded: a horizon that is simply now, which takes in what a producer in another zone lost.
pub(crate) async fn a_horizon_behind_everything_leaves_alone_what_is_there_and_nothing_that_comes<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for status in ["pending", "processing"] {
        fixture.put(status, 90 * 60 * MINUTE).await;
    }
    // Its producer's clock is two hours ahead, and another one's five years.
    for ahead in [120 * MINUTE, 5 * 365 * 24 * 60 * MINUTE] {
        let ahead_of_its_time = fixture.put("pending", 20 * MINUTE).await;
        fixture.create_ahead(ahead_of_its_time, ahead).await;
    }
    let horizon = note_behind_everything(&worker).await;
    let adopt_from = horizon.adopt_from.unwrap();
    assert!(adopt_from > ago(Duration::ZERO) && adopt_from < Timestamp::now() + 121 * MINUTE, "{adopt_from}");
    assert_eq!(left_alone(&worker).await, 4);
    let new = fixture.put("pending", 20 * MINUTE).await;
    let with_an_old_time = fixture.put("pending", 90 * 60 * MINUTE).await;
    assert_eq!(found(&worker).await, [new, with_an_old_time]);
    assert_eq!(left_alone(&worker).await, 4);
}

pub(crate) async fn the_first_open_order_counts_and_those_created_up_to_a_minute_before_it<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let done = fixture.put("fulfilled", 99 * MINUTE).await;
    let first = fixture.put("processing", 30 * MINUTE).await;
    let out_of_order = fixture.put("pending", 30 * MINUTE + Duration::from_secs(40)).await;
    let pushed_again = fixture.put("pending", 60 * MINUTE).await;
    let later = fixture.put("pending", 5 * MINUTE).await;
    let missing = OrderId(1_000_000);
    let oldest = worker.store.oldest_open(&[missing, done, first, later, pushed_again, out_of_order]).await.unwrap();
    let away = oldest.unwrap().duration_until(ago(30 * MINUTE + Duration::from_secs(40))).abs();
    assert!(away < jiff::SignedDuration::from_secs(15), "{oldest:?} is {away} from where it should be");
    assert_eq!(worker.store.oldest_open(&[missing, done]).await.unwrap(), None);
    assert_eq!(worker.store.oldest_open(&[]).await.unwrap(), None);
}

/// Caught, when seeded: a begin that notes nothing; a search without the horizon.
pub(crate) async fn an_older_order_is_left_alone_until_it_is_begun<F: StoreFixture>() {
    let fixture = F::fresh().await;
    // Whether it was begun must not hang on the timeline.
    let worker = fixture.without_events(LEASE).await;
    let older = fixture.put("pending", 90 * MINUTE).await;
    let in_other_hands = fixture.put("processing", 90 * 60 * MINUTE).await;
    let lost = fixture.put("pending", 91 * MINUTE).await;
    note_behind_everything(&worker).await;
    assert_eq!((found(&worker).await, left_alone(&worker).await), (vec![], 3));
    begin_and_lose(&fixture, &worker, older).await;
    assert_eq!((found(&worker).await, left_alone(&worker).await), (vec![older], 2));
    start(&worker, in_other_hands).await;
    fixture.set_idle(in_other_hands, 90 * MINUTE).await;
    assert_eq!((found(&worker).await, left_alone(&worker).await), (vec![older, in_other_hands], 1));
    fixture.set_status(lost, "cancelled").await;
    assert_eq!(left_alone(&worker).await, 0);
}

/// Caught, when seeded: a redrive that notes nothing.
pub(crate) async fn an_older_order_that_a_person_redrives_is_looked_after<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_id = fixture.put("failed", 90 * MINUTE).await;
    let letter = fulfillment_worker::port::store::DeadLetter { order_id: Some(order_id), ..letter("claim 1") };
    worker.store.insert_dead_letters(&[letter]).await.unwrap();
    note_behind_everything(&worker).await;
    let letter = worker.store.list(&DeadLetterFilter::default(), 0, 1).await.unwrap()[0].id;
    let decision = Decision { by: "anna".to_owned(), reason: "in stock".to_owned() };
    worker.store.redrive(&[letter], &decision).await.unwrap();
    fixture.set_idle(order_id, 20 * MINUTE).await;
    assert_eq!((found(&worker).await, left_alone(&worker).await), (vec![order_id], 0));
}

pub(crate) async fn an_order_without_any_time_is_judged_by_its_id<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let older = fixture.put("pending", 90 * MINUTE).await;
    fixture.forget_times(older).await;
    assert_eq!(worker.store.oldest_open(&[older]).await.unwrap(), None);
    let horizon = note_behind_everything(&worker).await;
    let new = fixture.put("pending", 90 * MINUTE).await;
    fixture.forget_times(new).await;
    assert_eq!((found(&worker).await, left_alone(&worker).await), (vec![new], 1));
    let judged = worker.store.judge(&[new, older], &horizon, MAX_AGE).await.unwrap();
    let (age, untouched) = (None, None);
    let order = |order_id, standing| OpenOrder { order_id, state: State::Pending, age, untouched, standing };
    assert_eq!(judged, [order(older, Standing::BeforeHorizon), order(new, Standing::TakenIn)]);
}

pub(crate) async fn an_installation_without_a_horizon_takes_in_every_order_and_gets_none<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let old = fixture.put("pending", 90 * MINUTE).await;
    assert_eq!(found(&worker).await, [old]);
    assert!(worker.store.note(&Horizon::EVERYTHING).await.unwrap());
    assert_eq!(worker.store.noted().await.unwrap(), Noted::Horizon(Horizon::EVERYTHING));
    assert_eq!(worker.store.orders_before_horizon().await.unwrap(), OlderOrders::default());
    assert_eq!(worker.store.move_to(ago(MINUTE)).await.unwrap(), Moved::TakesEverything);
    assert_eq!(found(&worker).await, [old]);
}

/// Caught, when seeded: begun orders that are noted only if they are older than the horizon as it is.
pub(crate) async fn moving_the_horizon_takes_orders_in_or_leaves_them_but_never_one_that_was_begun<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let oldest = fixture.put("pending", 90 * MINUTE).await;
    let begun = fixture.put("pending", 50 * MINUTE).await;
    let newer = fixture.put("pending", 40 * MINUTE).await;
    let behind = worker.store.behind_everything().await.unwrap();
    let first = ago(60 * MINUTE);
    assert!(worker.store.note(&Horizon { adopt_from: Some(first), ..behind }).await.unwrap());
    assert_eq!(found(&worker).await, [begun, newer]);
    begin_and_lose(&fixture, &worker, begun).await;

    assert_eq!(worker.store.move_to(first).await.unwrap(), Moved::AlreadyThere);
    for _ in 0..2 {
        let earlier = first - 60 * MINUTE;
        let moved = worker.store.move_to(earlier).await.unwrap();
        assert!(matches!(moved, Moved::Yes | Moved::AlreadyThere), "{moved:?}");
        assert_eq!(found(&worker).await, [oldest, begun, newer]);
        assert_eq!(worker.store.orders_before_horizon().await.unwrap().adopt_from, Some(earlier));
    }
    assert_eq!(worker.store.move_to(ago(Duration::ZERO)).await.unwrap(), Moved::Yes);
    assert_eq!((found(&worker).await, left_alone(&worker).await), (vec![begun], 2));
}

pub(crate) async fn open_orders_are_judged_with_their_ages<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let older = fixture.put("pending", 90 * MINUTE).await;
    let too_old = fixture.put("processing", 30 * MINUTE).await;
    fixture.put("fulfilled", 10 * MINUTE).await;
    let ahead = fixture.put("pending", 5 * MINUTE).await;
    fixture.set_ahead(ahead, 60 * MINUTE).await;
    let behind = worker.store.behind_everything().await.unwrap();
    let horizon = Horizon { adopt_from: Some(ago(60 * MINUTE)), ..behind };
    let ids = [OrderId(99), ahead, too_old, older];
    let judged = worker.store.judge(&ids, &horizon, 20 * MINUTE).await.unwrap();
    let standings: Vec<_> = judged.iter().map(|order| (order.order_id, order.standing)).collect();
    let expected = [(older, Standing::BeforeHorizon), (too_old, Standing::TooOld), (ahead, Standing::TakenIn)];
    assert_eq!(standings, expected);
    let minutes: Vec<_> =
        judged.iter().map(|order| [order.age, order.untouched].map(|age| age.map(|age| age.as_secs() / 60))).collect();
    assert_eq!(minutes, [[Some(90), Some(90)], [Some(30), Some(30)], [Some(5), None]]);
}
