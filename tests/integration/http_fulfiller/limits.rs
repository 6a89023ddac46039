//! How much a warehouse gets at once.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fulfillment_worker::config::HttpTarget;
use fulfillment_worker::event::Limiter;
use fulfillment_worker::port::fulfiller::{Fulfiller, Outcome};
use futures::FutureExt;
use tokio::sync::Semaphore;

use crate::http_fulfiller::peer::{Peer, Reply, answer, ok};
use crate::http_fulfiller::rig::{Rig, Told, fulfilled, order, target};
use crate::support::{LONG, eventually, expect_equal};

/// Caught, when seeded: a place given back before the call was over.
#[tokio::test]
async fn no_more_calls_are_under_way_than_the_limit() {
    let permits = Arc::new(Semaphore::new(0));
    let held = permits.clone();
    let peer = Peer::start(move |_| Reply::When(held.clone(), answer("200 OK", "", ""))).await;
    let rig = Rig::new(&HttpTarget { concurrency: NonZeroUsize::new(3), ..target(&peer.url()) });
    let calls: Vec<_> = (1..=20).map(|id| rig.begin(id)).collect();
    eventually(LONG, "three calls reach the peer", async || expect_equal(peer.under_way(), 3)).await;
    permits.add_permits(20);
    for call in calls {
        assert_eq!(call.await.unwrap(), fulfilled(None));
    }
    assert_eq!((peer.requests().len(), peer.most_under_way()), (20, 3));
    assert!(rig.told().contains(&Told::Waited(Limiter::Concurrency)));
}

/// Caught, when seeded: room that asked the breaker only.
#[tokio::test]
async fn there_is_room_for_as_many_orders_as_places_are_free() {
    let permits = Arc::new(Semaphore::new(0));
    let held = permits.clone();
    let peer = Peer::start(move |_| Reply::When(held.clone(), answer("200 OK", "", ""))).await;
    let rig = Rig::new(&HttpTarget { concurrency: NonZeroUsize::new(3), ..target(&peer.url()) });
    assert_eq!(rig.fulfiller.capacity().await, 3);
    let calls: Vec<_> = (1..=2).map(|id| rig.begin(id)).collect();
    eventually(LONG, "two calls reach the peer", async || expect_equal(peer.under_way(), 2)).await;
    assert_eq!(rig.fulfiller.capacity().await, 1);
    let third = rig.begin(3);
    eventually(LONG, "three calls reach the peer", async || expect_equal(peer.under_way(), 3)).await;
    assert_eq!(rig.fulfiller.capacity().now_or_never(), None);

    let fulfiller = rig.fulfiller.clone();
    let dropped = tokio::spawn(async move { fulfiller.capacity().await });
    tokio::task::yield_now().await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled(), "there was no room");
    let waiting = async {
        let room = rig.fulfiller.capacity().await;
        assert_eq!(room, 1, "as soon as one call is over");
    };
    let ending = async { permits.add_permits(1) };
    tokio::join!(waiting, ending);
    permits.add_permits(2);
    for call in calls.into_iter().chain([third]) {
        assert_eq!(call.await.unwrap(), fulfilled(None));
    }
    assert_eq!(rig.fulfiller.capacity().await, 3, "whoever only asked took nothing");
}

/// Caught, when seeded: room that asked the breaker only.
#[tokio::test]
async fn there_is_room_for_a_second_of_requests_to_wait_for_their_turn() {
    let peer = Peer::start(|_| ok()).await;
    let rig = Rig::new(&HttpTarget { rate: NonZeroU32::new(200), ..target(&peer.url()) });
    assert_eq!(rig.fulfiller.capacity().await, 200);
    let _calls: Vec<_> = (1..=600).map(|id| rig.begin(id)).collect();
    eventually(
        LONG,
        "the first one is sent",
        async || {
            if peer.requests().is_empty() { Err("none came") } else { Ok(()) }
        },
    )
    .await;
    assert_eq!(rig.fulfiller.capacity().now_or_never(), None);
    let room = rig.fulfiller.capacity().await;
    assert!((1..=200).contains(&room), "{room}");
    // 400 had their turn by then; the last ones are still on their way.
    assert!(peer.requests().len() >= 300, "{} of 600 were sent", peer.requests().len());
}

/// Caught, when seeded: room that asked the limits only.
#[tokio::test]
async fn there_is_no_more_room_than_the_breaker_leaves() {
    let peer = Peer::start(|_| Reply::Bytes(answer("503 Service Unavailable", "", ""))).await;
    let rig = Rig::new(&HttpTarget { concurrency: NonZeroUsize::new(3), ..target(&peer.url()) });
    for id in 1..=10 {
        rig.call(&order(id)).await;
    }
    assert_eq!(rig.fulfiller.capacity().now_or_never(), None);
    assert_eq!(rig.fulfiller.capacity().await, 1, "the probe");
}

#[tokio::test]
async fn no_more_requests_are_sent_in_a_second_than_the_rate_allows() {
    let peer = Peer::start(|_| ok()).await;
    let rig = Rig::new(&HttpTarget { rate: NonZeroU32::new(100), ..target(&peer.url()) });
    // No call can be earlier than this, however late requests arrive.
    let began = Instant::now();
    let calls: Vec<_> = (1..=150).map(|id| rig.begin(id)).collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), fulfilled(Some("WH-1")));
    }
    let took = peer.requests()[149].at - began;
    // A twentieth of a second's requests may go at once, the others after a hundredth each.
    assert!(took >= Duration::from_millis(1_440), "150 requests in {took:?}");
    assert!(rig.told().contains(&Told::Waited(Limiter::Rate)));
}

#[tokio::test]
async fn a_call_that_finds_no_room_for_half_of_its_time_is_not_made() {
    let peer = Peer::start(|_| Reply::Hang(Vec::new())).await;
    let limited = HttpTarget { concurrency: NonZeroUsize::new(1), ..target(&peer.url()) };
    let rig = Rig::new(&HttpTarget { deadline: Duration::from_secs(2), ..limited });
    let first = rig.begin(1);
    eventually(LONG, "the first call is under way", async || expect_equal(peer.under_way(), 1)).await;
    let outcome = rig.call(&order(2)).await;
    let Outcome::Unavailable { reason, after: None } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("nothing was sent: --fulfiller-concurrency"), "{reason}");
    assert!(matches!(first.await.unwrap(), Outcome::Ambiguous { .. }));
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_call_that_the_rate_puts_off_for_half_of_its_time_is_not_made() {
    let peer = Peer::start(|_| ok()).await;
    let limited = HttpTarget { rate: NonZeroU32::new(1), ..target(&peer.url()) };
    let rig = Rig::new(&HttpTarget { deadline: Duration::from_millis(200), ..limited });
    assert_eq!(rig.call(&order(1)).await, fulfilled(Some("WH-1")));
    let outcome = rig.call(&order(2)).await;
    assert!(
        matches!(&outcome, Outcome::Unavailable { reason, .. } if reason.contains("--fulfiller-rate")),
        "{outcome:?}"
    );
    assert_eq!(peer.requests().len(), 1);
}

/// Caught, when seeded: a deadline counted from the place on.
#[tokio::test]
async fn the_time_that_a_call_waited_for_its_place_is_part_of_its_deadline() {
    let peer = Peer::start(|received| match received.nth {
        // Keeps its place for a second.
        0 => Reply::Bytes(answer("202 Accepted", "Location: /orders/1\r\nRetry-After: 1\r\n", "")),
        1 => ok(),
        _ => Reply::Hang(Vec::new()),
    })
    .await;
    let limited = HttpTarget { concurrency: NonZeroUsize::new(1), ..target(&peer.url()) };
    let rig = Rig::new(&HttpTarget { deadline: Duration::from_secs(4), ..limited });
    let first = rig.begin(1);
    eventually(LONG, "the first call has the place", async || expect_equal(peer.requests().len(), 1)).await;
    let second = rig.call(&order(2)).await;
    assert_eq!(first.await.unwrap(), fulfilled(Some("WH-1")));
    let Outcome::Ambiguous { reason, .. } = &second else { panic!("{second:?}") };
    let seconds = reason.strip_prefix("sent, and no answer within ").and_then(|rest| rest.strip_suffix(" s"));
    let seconds: f64 = seconds.unwrap_or_else(|| panic!("{reason}")).parse().unwrap();
    assert!(seconds < 3.8, "{seconds} s of four, of which nearly one was over");
}

/// Caught, when seeded: a budget that was drawn on for them.
#[tokio::test]
async fn calls_that_never_reached_the_warehouse_cost_nothing_of_the_budget() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::new(&HttpTarget { retry_budget: 0.0, ..target(&format!("http://{closed}/")) });
    // One less than opens the breaker.
    for id in 1..10 {
        let outcome = rig.call(&order(id)).await;
        assert!(matches!(outcome, Outcome::Unavailable { after: None, .. }), "{outcome:?}");
    }
}

/// Caught, when seeded: failures that drew nothing.
#[tokio::test]
async fn repeats_beyond_the_budget_are_put_off() {
    // One call in three fails, so that the breaker stays closed.
    let peer = Peer::start(|received| match received.nth % 3 {
        0 => Reply::Bytes(answer("500 Internal Server Error", "", "")),
        _ => ok(),
    })
    .await;
    let rig = Rig::new(&HttpTarget { retry_budget: 0.0, ..target(&peer.url()) });
    let mut longest = Duration::ZERO;
    for id in 0..90 {
        if let Outcome::Ambiguous { after: Some(after), .. } = rig.call(&order(id)).await {
            longest = longest.max(after);
        }
    }
    // 30 repeats at ten a second, of which the calls themselves took some time.
    assert!((Duration::from_millis(500)..=Duration::from_secs(3)).contains(&longest), "{longest:?}");
    assert!(rig.told().contains(&Told::PutOff(longest)));
}
