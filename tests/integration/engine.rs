//! The engine as a whole, on real embedded backends: what it makes of a fulfiller that fails, hangs, panics or takes
//! long, and of leases that are lost.

mod ambiguous;
mod blocking;
mod faults;
mod hanging;
mod places;
mod reconciling;
mod rig;
mod row_gone;
mod unavailable;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faults::{HeldUp, Moment, SlowToSettle};
use fulfillment_worker::engine::EngineOptions;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters};
use fulfillment_worker::port::fulfiller::Outcome;
use fulfillment_worker::port::queue::{Depth, Queue};
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore};
use rig::{Place, fulfilled, options, try_again};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_panic_costs_an_attempt_and_the_order_is_tried_again() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine = place.start(options(), |order| {
        Box::pin(async move {
            assert!(order.attempt > 1, "the first one always breaks");
            fulfilled()
        })
    });
    engine.until("failed 1: ambiguous: the fulfiller panicked: the first one always breaks").await;
    engine.until("retried 1 fulfiller_panicked").await;
    engine.until("fulfilled 1").await;
    assert_eq!(place.timeline(id).await, ["processing@1", "pending@1", "processing@2", "fulfilled@2"]);
    assert_eq!(engine.stop().await, 0);
}

#[tokio::test]
async fn a_call_over_its_limit_is_a_failed_attempt() {
    let place = Place::new();
    place.submit(1).await;
    let options = EngineOptions { call_timeout: Duration::from_millis(50), ..options() };
    let mut engine = place.start(options, |order| {
        Box::pin(async move {
            if order.attempt == 1 {
                std::future::pending::<()>().await;
            }
            fulfilled()
        })
    });
    engine.until("failed 1: ambiguous: no answer from the fulfiller within 50ms").await;
    engine.until("fulfilled 1").await;
}

#[tokio::test]
async fn the_last_failed_attempt_ends_in_the_dead_letters_with_its_reason() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let mut engine = place.start(options(), |_| Box::pin(async { try_again("out of stock") }));
    engine.until("retried 1 fulfiller_failed").await;
    engine.until("retried 1 fulfiller_failed").await;
    engine.until("dead 1 attempts_exhausted: attempt 3, the last one: out of stock").await;
    assert_eq!(engine.stop().await, 0);
    assert_eq!(place.timeline(id).await.last().unwrap(), "failed@3");
    assert_eq!(place.depth().await, Depth::default());
    let letters = place.store(Duration::from_secs(1)).list(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].order_id, letters[0].attempts), (Some(id), 3));
}

#[tokio::test]
async fn a_rejection_is_dead_lettered_at_once() {
    let place = Place::new();
    place.submit(1).await;
    let mut engine =
        place.start(options(), |_| Box::pin(async { Outcome::Rejected { reason: "no such address".to_owned() } }));
    engine.until("dead 1 rejected: no such address").await;
}

#[tokio::test]
async fn a_fulfiller_that_asks_for_time_is_left_alone_for_that_long() {
    let place = Place::new();
    place.submit(1).await;
    let mut engine = place.start(options(), |_| {
        Box::pin(async { Outcome::Retry { reason: "later".to_owned(), after: Some(Duration::from_secs(90)) } })
    });
    engine.until("retried 1 fulfiller_failed 90000").await;
}

/// Caught a keeper that renewed the message's lease and not the row's.
#[tokio::test]
async fn a_call_longer_than_its_lease_is_made_once_although_another_worker_is_waiting() {
    let place = Place::new();
    let ids = place.submit(1).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let options = EngineOptions { lease: Duration::from_secs(3), ..options() };
    let work = |calls: Arc<AtomicUsize>| {
        move |_| -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> {
            let calls = Arc::clone(&calls);
            Box::pin(async move {
                calls.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(7)).await;
                fulfilled()
            })
        }
    };
    let mut first = place.start(options, work(Arc::clone(&calls)));
    // A second message for the same order gives the other worker a reason to try a takeover all the while.
    place.push(&ids).await;
    let mut second = place.start(options, work(Arc::clone(&calls)));
    tokio::select! {
        _ = first.until("fulfilled 1") => {}
        _ = second.until("fulfilled 1") => {}
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(place.timeline(ids[0]).await, ["processing@1", "fulfilled@1"]);
}

/// Caught, when seeded: a renewal that is waited for as long as any other call.
#[tokio::test]
async fn a_renewal_that_hangs_is_given_up_in_time_for_another_one() {
    let place = Place::new();
    let ids = place.submit(1).await;
    let options = EngineOptions { lease: Duration::from_secs(3), ..options() };
    let store = HeldUp::new(place.store(options.lease), Moment::FirstRenewal);
    let mut engine = place.start_on(place.queue(options.lease), store.clone(), options, |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(6)).await;
            fulfilled()
        })
    });
    store.reached.notified().await;
    // A second message for the same order gives another worker a reason to try a takeover all the while.
    place.push(&ids).await;
    let _other = place.start(options, |_| Box::pin(async { fulfilled() }));
    let before = engine.until("fulfilled 1").await;
    assert!(!before.iter().any(|event| event.starts_with("lost")), "{before:?}");
    assert_eq!(place.timeline(ids[0]).await, ["processing@1", "fulfilled@1"]);
}

/// Caught a keeper that renewed the row's lease and not the message's.
#[tokio::test]
async fn the_message_of_a_call_longer_than_its_lease_is_not_delivered_again() {
    let place = Place::new();
    place.submit(1).await;
    let (started, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, gate) = (Arc::clone(&started), Arc::clone(&finish));
    let options = EngineOptions { lease: Duration::from_secs(1), ..options() };
    let mut engine = place.start(options, move |_| {
        let (signal, gate) = (Arc::clone(&signal), Arc::clone(&gate));
        Box::pin(async move {
            signal.notify_one();
            gate.notified().await;
            fulfilled()
        })
    });
    started.notified().await;
    let other = place.queue(options.lease);
    let began = std::time::Instant::now();
    while began.elapsed() < options.lease * 4 {
        assert_eq!(other.claim(1).await.unwrap().claims, []);
        other.wait(Duration::from_millis(20)).await;
    }
    finish.notify_one();
    engine.until("fulfilled 1").await;
}

/// Caught an engine whose calls ran on the threads that renew the leases.
#[tokio::test]
async fn calls_that_block_every_thread_do_not_cost_their_leases() {
    let place = Place::new();
    let ids = place.submit(6).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let options = EngineOptions { lease: Duration::from_secs(1), ..options() };
    let mut engine = place.start(options, move |_| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1_500));
            fulfilled()
        })
    });
    let all_in_hand = Depth { in_flight: 6, ..Depth::default() };
    while place.depth().await != all_in_hand {
        tokio::task::yield_now().await;
    }
    // Another process, as it were: whatever this test's thread does, it would take what is left to expire.
    let other = place.queue(options.lease);
    let done = CancellationToken::new();
    let until = done.clone();
    let taken = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut taken = 0;
            while !until.is_cancelled() {
                taken += other.claim(1).await.unwrap().claims.len();
                other.wait(Duration::from_millis(20)).await;
            }
            taken
        })
    });
    for _ in &ids {
        engine.until("fulfilled").await;
    }
    done.cancel();
    assert_eq!(taken.join().unwrap(), 0, "leases ran out");
    assert_eq!(calls.load(Ordering::SeqCst), 6, "each order was called for once");
}

/// This test's thread is the one that the engine runs on. While it is held up, leases are kept, but not for ever.
///
/// Caught, when seeded: a keeper that never lets go.
#[tokio::test]
async fn a_worker_that_is_wedged_keeps_its_orders_for_some_leases_and_no_longer() {
    let place = Place::new();
    place.submit(1).await;
    let started = Arc::new(Notify::new());
    let signal = Arc::clone(&started);
    let options = EngineOptions { lease: Duration::from_millis(500), ..options() };
    let mut engine = place.start(options, move |_| {
        let signal = Arc::clone(&signal);
        Box::pin(async move {
            signal.notify_one();
            std::future::pending::<Outcome>().await
        })
    });
    started.notified().await;
    let other = place.queue(options.lease);
    let taken_after = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let began = std::time::Instant::now();
            while other.claim(1).await.unwrap().claims.is_empty() {
                assert!(began.elapsed() < Duration::from_secs(30), "it is kept for ever");
                other.wait(Duration::from_millis(20)).await;
            }
            began.elapsed()
        })
    });
    let taken_after = taken_after.join().unwrap();
    assert!(taken_after > options.lease * 3, "lost after {taken_after:?} already");
    engine.until("lost queue 1").await;
}

/// Found by two workers that were run by hand: one counted a lost lease, and none was lost.
#[tokio::test]
async fn a_renewal_that_comes_after_the_settlement_is_not_a_lost_lease() {
    let place = Place::new();
    place.submit(1).await;
    let options = EngineOptions { lease: Duration::from_millis(600), ..options() };
    let queue = Arc::new(SlowToSettle { queue: place.queue(options.lease), renewed: Notify::new() });
    let mut engine = place.start_on(queue, place.store(options.lease), options, |_| Box::pin(async { fulfilled() }));
    assert_eq!(engine.until("fulfilled 1").await, ["call 1 fulfilled"]);
}

/// Found in a review: the order was acknowledged and counted as fulfilled, and its row stayed `processing`.
#[tokio::test]
async fn a_call_that_ends_while_its_row_is_being_lost_is_not_acknowledged() {
    let place = Place::new();
    place.submit(1).await;
    let options = EngineOptions { lease: Duration::from_secs(3), ..options() };
    let store = HeldUp::new(place.store(options.lease), Moment::RowsLost);
    let finish = Arc::new(Notify::new());
    let gate = Arc::clone(&finish);
    let queue = place.queue(options.lease);
    let mut engine = place.start_on(queue, store.clone(), options, move |_| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.notified().await;
            fulfilled()
        })
    });
    store.reached.notified().await;
    finish.notify_one();
    engine.until("call 1 fulfilled").await;
    store.answer.notify_one();
    assert_eq!(engine.until("retried 1 lease_lost").await, ["lost row 1"]);
    let depth = place.depth().await;
    assert_eq!(depth.waiting + depth.in_flight + depth.due + depth.retrying, 1, "the message is still there");
}

#[tokio::test]
async fn a_lost_row_ends_the_call_and_leaves_the_order_to_who_has_it() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let started = Arc::new(Notify::new());
    let signal = Arc::clone(&started);
    let options = EngineOptions { lease: Duration::from_secs(2), ..options() };
    let mut engine = place.start(options, move |_| {
        let signal = Arc::clone(&signal);
        Box::pin(async move {
            signal.notify_one();
            std::future::pending::<Outcome>().await
        })
    });
    started.notified().await;
    // Somebody who thinks that leases are over at once.
    let request = BeginRequest { order_id: id, attempt: 1, correlation_id: None };
    let begun = place.store(Duration::ZERO).begin(&[request]).await.unwrap();
    assert!(matches!(begun[0], Begun::Started { takeover: true, .. }), "{begun:?}");
    engine.until("lost row 1").await;
    engine.until("retried 1 lease_lost").await;
    assert_eq!(place.timeline(id).await, ["processing@1", "processing@1"]);
}

/// Caught a worker that called the fulfiller whatever the attempt's number.
#[tokio::test]
async fn a_message_that_kills_its_workers_ends_in_the_dead_letters_without_another_call() {
    let place = Place::new();
    let id = place.submit(1).await[0];
    let dying = place.queue(Duration::from_millis(1));
    for attempt in 1..=options().retry.max_attempts {
        let claim = loop {
            if let Some(claim) = dying.claim(1).await.unwrap().claims.pop() {
                break claim;
            }
            dying.wait(Duration::from_millis(5)).await;
        };
        assert_eq!(claim.attempt, attempt);
    }
    let mut engine = place.start(options(), |_| Box::pin(async { panic!("must not be called") }));
    engine.until("dead 1 attempts_exhausted: 3 attempts began").await;
    assert_eq!(place.timeline(id).await, ["processing@4", "failed@4"]);
}

#[tokio::test]
async fn never_more_calls_are_made_at_once_than_the_limit() {
    let place = Place::new();
    place.submit(40).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let mut engine = place.start(EngineOptions { concurrency: 3, ..options() }, move |_| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&seen));
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            fulfilled()
        })
    });
    for _ in 0..40 {
        engine.until("fulfilled").await;
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
}

#[tokio::test]
async fn a_second_message_for_an_order_is_dropped_once_it_is_final() {
    let place = Place::new();
    let ids = place.submit(1).await;
    place.push(&ids).await;
    let mut engine = place.start(options(), |_| Box::pin(async { fulfilled() }));
    engine.until("fulfilled 1").await;
    engine.until("final 1").await;
    assert_eq!(engine.stop().await, 0);
    assert_eq!(place.timeline(ids[0]).await, ["processing@1", "fulfilled@1"]);
    assert_eq!(place.depth().await, Depth::default());
}
