//! What is bounded by `--concurrency`, and what is not: calls, and the commits after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fulfillment_worker::engine::{BATCH, EngineOptions};
use fulfillment_worker::port::queue::Depth;
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, Verdict,
};
use tokio::sync::watch;

use crate::engine::rig::{Place, fulfilled, options};
use crate::support::{LONG, eventually};

/// Longer than what calls are looked back for.
const CALL: Duration = Duration::from_millis(60);

/// A store that counts, and concludes only while it is open.
struct Counting {
    store: Arc<dyn OrderStore>,
    begun: AtomicUsize,
    calls_ended: AtomicUsize,
    /// The most orders that were begun and whose calls had not ended.
    most_before_their_end: AtomicUsize,
    largest_conclusion: AtomicUsize,
    open: watch::Sender<bool>,
}

impl Counting {
    fn new(store: Arc<dyn OrderStore>, open: bool) -> Arc<Self> {
        let [begun, calls_ended, most_before_their_end, largest_conclusion] = [0; 4].map(AtomicUsize::new);
        let open = watch::Sender::new(open);
        Arc::new(Self { store, begun, calls_ended, most_before_their_end, largest_conclusion, open })
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait::async_trait]
impl OrderStore for Counting {
    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        self.store.renew(renewals).await
    }

    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let begun = self.begun.fetch_add(requests.len(), Ordering::SeqCst) + requests.len();
        let before_their_end = begun - self.calls_ended.load(Ordering::SeqCst);
        self.most_before_their_end.fetch_max(before_their_end, Ordering::SeqCst);
        self.store.begin(requests).await
    }

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        self.store.note_not_before(times).await
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        self.largest_conclusion.fetch_max(conclusions.len(), Ordering::SeqCst);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        self.store.conclude(conclusions).await
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.store.insert_dead_letters(letters).await
    }
}

/// Caught, when seeded: as many orders claimed ahead as calls ended, beside those with a place.
#[tokio::test]
async fn with_one_place_and_long_calls_one_order_at_a_time_is_taken_into_work() {
    let place = Place::new();
    place.submit(8).await;
    let options = EngineOptions { concurrency: 1, ..options() };
    let store = Counting::new(place.store(options.lease), true);
    let counted = Arc::clone(&store);
    let mut engine = place.start_on(place.queue(options.lease), store.clone(), options, move |_| {
        let counted = Arc::clone(&counted);
        Box::pin(async move {
            tokio::time::sleep(CALL).await;
            counted.calls_ended.fetch_add(1, Ordering::SeqCst);
            fulfilled()
        })
    });
    for _ in 0..8 {
        engine.until("fulfilled").await;
    }
    assert_eq!(store.most_before_their_end.load(Ordering::SeqCst), 1);
    assert_eq!(engine.stop().await, 0);
}

/// Caught, when seeded: places that orders keep until they are settled, so that no more than four are in hand.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_no_time_fill_batches_whatever_the_concurrency_and_what_waits_for_the_store_is_bounded() {
    const CONCURRENCY: usize = 4;
    const FINISHED: usize = 4 * BATCH;
    const ORDERS: usize = 3_500;
    let place = Place::new();
    let ids = place.submit(ORDERS).await;
    let options = EngineOptions { concurrency: CONCURRENCY, lease: Duration::from_secs(60), ..options() };
    let store = Counting::new(place.store(options.lease), false);
    let engine =
        place.start_on(place.queue(options.lease), store.clone(), options, |_| Box::pin(async { fulfilled() }));
    let in_hand = async || store.begun.load(Ordering::SeqCst);
    eventually(LONG, "as many are finished as may be, and every place is taken", async || {
        let begun = in_hand().await;
        if begun >= FINISHED + CONCURRENCY { Ok(()) } else { Err(begun) }
    })
    .await;
    // The last of them may be on their way yet: whatever comes, the bound holds.
    let other = place.queue(options.lease);
    for _ in 0..20 {
        fulfillment_worker::port::queue::Queue::wait(&*other, Duration::from_millis(10)).await;
        assert!(in_hand().await <= CONCURRENCY + BATCH + FINISHED, "{} in hand", in_hand().await);
    }
    store.open.send_replace(true);
    eventually(LONG, "nothing is left", async || {
        let depth = place.depth().await;
        if depth == Depth::default() { Ok(()) } else { Err(format!("{depth:?}")) }
    })
    .await;
    assert_eq!(store.largest_conclusion.load(Ordering::SeqCst), BATCH, "full batches");
    assert_eq!(place.timeline(ids[ORDERS - 1]).await, ["processing@1", "fulfilled@1"]);
    assert_eq!(engine.stop().await, 0);
}

/// Caught, when seeded: a wait for a place without a limit.
#[tokio::test]
async fn orders_claimed_ahead_of_a_call_that_turns_out_long_are_left_to_whoever_has_a_place() {
    let place = Place::new();
    let short = place.submit(200).await;
    let long = place.submit(30).await;
    let last_short = short[199];
    let options = EngineOptions { concurrency: 1, call_timeout: Duration::from_secs(600), ..options() };
    let hangs = Arc::new(AtomicBool::new(false));
    let reached = Arc::clone(&hangs);
    let _first = place.start(options, move |order| {
        let hangs = Arc::clone(&reached);
        Box::pin(async move {
            if order.id > last_short {
                hangs.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            fulfilled()
        })
    });
    eventually(LONG, "a call hangs", async || if hangs.load(Ordering::SeqCst) { Ok(()) } else { Err("none") }).await;
    let second = place.start(options, |_| Box::pin(async { fulfilled() }));
    let only_the_long_one = Depth { in_flight: 1, ..Depth::default() };
    eventually(LONG, "the others are done", async || {
        let depth = place.depth().await;
        if depth == only_the_long_one { Ok(()) } else { Err(format!("{depth:?}")) }
    })
    .await;
    for id in &long {
        let timeline = place.timeline(*id).await;
        assert!(timeline.iter().all(|step| step.ends_with("@1")), "no attempt is spent: {timeline:?}");
    }
    assert_eq!(second.stop().await, 0);
}
