//! Orders that no message speaks for, found by a reconciler beside an engine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::backend::sqlite::queue::SqliteQueue;
use fulfillment_worker::backend::sqlite::store::SqliteStore;
use fulfillment_worker::config::ReconcileSettings;
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::engine::{Reconciler, Watermark};
use fulfillment_worker::event::{Event, Observer, Observers, ReconcilerEvent};
use fulfillment_worker::port::queue::{Depth, Disposition, Queue, QueueError, Receipt, Settlement};
use fulfillment_worker::port::queue_maintenance::{DanglingRecords, Page, Part, QueueMaintenance, RequeuedMessage};
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, OrderStore, Target};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::rig::{Place, fulfilled, options};

const LIMIT: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(15);

fn settings() -> ReconcileSettings {
    ReconcileSettings {
        interval: Duration::from_millis(50),
        grace: Duration::from_secs(60),
        max_age: Duration::from_secs(7 * 24 * 3_600),
    }
}

struct Watch(mpsc::UnboundedSender<String>);

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        let text = match event {
            Event::Reconciler(ReconcilerEvent::Leads(leads)) => format!("round, leads: {leads}"),
            Event::Reconciler(ReconcilerEvent::RoundDone) => "a whole round".to_owned(),
            Event::Reconciler(ReconcilerEvent::DriftFound { drift, count, first }) => {
                format!("{} {count} {first:?}", drift.as_str())
            }
            Event::Reconciler(ReconcilerEvent::StaleOrders { orders, .. }) => format!("left alone: {orders}"),
            _ => return,
        };
        // The test may have heard enough.
        let _ = self.0.send(text);
    }
}

/// A reconciler at work.
struct Running {
    events: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<()>,
    drain: CancellationToken,
}

impl Running {
    /// Beside no engine, unless `watermark` is that of one.
    fn start(place: &Place, watermark: Arc<Watermark>, settings: ReconcileSettings) -> Self {
        Self::start_on(place.queue(LEASE), place, watermark, settings)
    }

    fn start_on(
        queue: Arc<dyn QueueMaintenance>,
        place: &Place,
        watermark: Arc<Watermark>,
        settings: ReconcileSettings,
    ) -> Self {
        let (told, events) = mpsc::unbounded_channel();
        let observers = Observers::new(vec![Arc::new(Watch(told))]);
        let depth = place.queue(LEASE);
        let reconciler = Reconciler::new(queue, depth, place.store(LEASE), observers, watermark, settings);
        let drain = CancellationToken::new();
        Self { events, task: tokio::spawn(reconciler.run(drain.clone())), drain }
    }

    async fn next(&mut self) -> String {
        tokio::time::timeout(LIMIT, self.events.recv()).await.unwrap().unwrap()
    }

    /// Everything that three rounds from now find.
    async fn three_rounds(&mut self) -> Vec<String> {
        let (mut rounds, mut found) = (0, Vec::new());
        while rounds < 4 {
            let event = self.next().await;
            if event.starts_with("round") {
                rounds += 1;
            } else if event != "a whole round" && !event.starts_with("left alone") {
                found.push(event);
            }
        }
        found
    }

    /// Waits until two rounds begin and nothing comes between.
    async fn until_a_round_fails(&mut self) {
        let begin = "round, leads: true";
        let search = async {
            let mut last = String::new();
            loop {
                let event = self.next().await;
                if event == begin && last == begin {
                    return;
                }
                last = event;
            }
        };
        tokio::time::timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("no round failed"));
    }

    /// Waits for an event that begins so. Rounds go on for ever, so that the wait as a whole needs a limit.
    async fn until(&mut self, beginning: &str) -> String {
        let search = async {
            loop {
                let event = self.next().await;
                if event.starts_with(beginning) {
                    return event;
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("no {beginning:?} came"))
    }

    async fn stop(self) {
        self.drain.cancel();
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap();
    }
}

fn unknown() -> Arc<Watermark> {
    Arc::default()
}

/// Maintains a queue whose claimed message is worked off just before the first look at it.
struct WorkedOffMeanwhile {
    queue: Arc<SqliteQueue>,
    store: Arc<SqliteStore>,
    order_id: OrderId,
    receipt: Mutex<Option<Receipt>>,
}

#[async_trait]
impl QueueMaintenance for WorkedOffMeanwhile {
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        let receipt = self.receipt.lock().unwrap().take();
        if let Some(receipt) = receipt {
            let order_id = self.order_id;
            let begun = self.store.begin(&[BeginRequest { order_id, attempt: 1, correlation_id: None }]).await.unwrap();
            let Begun::Started { fence, .. } = begun[0] else { panic!("{begun:?}") };
            let to = Target::Fulfilled { reference: None };
            let conclusion =
                Conclusion { order_id, fence, attempt: 1, to, maybe_applied: false, created_at_micros: None };
            self.store.conclude(&[conclusion]).await.unwrap();
            self.queue.settle(&[Settlement { receipt, disposition: Disposition::Ack }]).await.unwrap();
        }
        self.queue.browse(part, cursor).await
    }

    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError> {
        self.queue.oldest(cursor).await
    }

    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError> {
        self.queue.requeue_lost(messages).await
    }

    async fn dangling(&self) -> Result<DanglingRecords, QueueError> {
        self.queue.dangling().await
    }

    async fn repair(&self) -> Result<DanglingRecords, QueueError> {
        self.queue.repair().await
    }

    fn repaired_by_claims(&self) -> DanglingRecords {
        self.queue.repaired_by_claims()
    }
}

#[tokio::test]
async fn an_order_whose_message_never_came_is_fulfilled() {
    let place = Place::new();
    let ids = place.insert(3).await;
    place.age(&ids, Duration::from_secs(61));
    let mut reconciler = Running::start(&place, unknown(), settings());
    assert_eq!(reconciler.until("lost").await, "lost_message 3 [OrderId(1), OrderId(2), OrderId(3)]");
    let mut engine = place.start(options(), |_| Box::pin(async { fulfilled() }));
    for _ in 0..3 {
        engine.until("fulfilled").await;
    }
    assert_eq!(engine.stop().await, 0);
    assert_eq!(place.timeline(ids[0]).await, ["processing@1", "fulfilled@1"]);
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
    assert_eq!(place.depth().await, Depth::default());
}

#[tokio::test]
async fn an_order_younger_than_the_grace_is_left_to_its_producer() {
    let place = Place::new();
    let ids = place.insert(1).await;
    place.age(&ids, Duration::from_secs(50));
    let mut reconciler = Running::start(&place, unknown(), settings());
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
    assert_eq!(place.depth().await, Depth::default());
}

/// Caught, when seeded: a reconciler that doesn't ask the queue what it holds.
#[tokio::test]
async fn an_order_in_backoff_is_not_adopted() {
    let place = Place::new();
    let ids = place.submit(2).await;
    let (queue, store) = (place.queue(LEASE), place.store(LEASE));
    // One waits for its retry, the other one is claimed and not begun.
    let claims = queue.claim(2).await.unwrap().claims;
    let begun = store.begin(&[BeginRequest { order_id: ids[0], attempt: 1, correlation_id: None }]).await.unwrap();
    let Begun::Started { fence, .. } = begun[0] else { panic!("{begun:?}") };
    let to = Target::Pending { reason: "the warehouse failed".to_owned() };
    let conclusion =
        Conclusion { order_id: ids[0], fence, attempt: 1, to, maybe_applied: false, created_at_micros: None };
    store.conclude(&[conclusion]).await.unwrap();
    let disposition = Disposition::Retry { after: Duration::from_secs(300), spent: true };
    queue.settle(&[Settlement { receipt: claims[0].receipt.clone(), disposition }]).await.unwrap();
    place.age(&ids, Duration::from_secs(120));

    let mut reconciler = Running::start(&place, unknown(), settings());
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
    assert_eq!(place.depth().await, Depth { waiting: 0, in_flight: 1, due: 0, retrying: 1 });
}

/// Caught, when seeded: a reconciler that doesn't ask the store once more.
#[tokio::test]
async fn an_order_that_is_fulfilled_while_the_messages_are_read_is_not_adopted() {
    let place = Place::new();
    let ids = place.submit(1).await;
    let (queue, store) = (place.queue(LEASE), place.store(LEASE));
    let claim = queue.claim(1).await.unwrap().claims.remove(0);
    place.age(&ids, Duration::from_secs(120));
    let queue = WorkedOffMeanwhile { queue, store, order_id: ids[0], receipt: Mutex::new(Some(claim.receipt)) };
    let mut reconciler = Running::start_on(Arc::new(queue), &place, unknown(), settings());
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
    assert_eq!(place.timeline(ids[0]).await, ["processing@1", "fulfilled@1"]);
    assert_eq!(place.depth().await, Depth::default());
}

/// Caught, when seeded: a reconciler that looks for `pending` orders only.
#[tokio::test]
async fn an_order_in_work_whose_worker_and_message_are_gone_is_adopted_after_lease_and_grace() {
    let place = Place::new();
    let ids = place.insert(1).await;
    place.store(LEASE).begin(&[BeginRequest { order_id: ids[0], attempt: 1, correlation_id: None }]).await.unwrap();
    place.age(&ids, Duration::from_secs(70));
    let mut reconciler = Running::start(&place, unknown(), settings());
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new(), "its lease and the grace run");
    place.age(&ids, Duration::from_secs(80));
    assert_eq!(reconciler.until("abandoned").await, "abandoned_order 1 [OrderId(1)]");
    assert_eq!(place.depth().await.due, 1);
}

/// Caught, when seeded: a watermark that is never raised.
#[tokio::test]
async fn while_the_queue_never_runs_empty_only_what_was_passed_is_adopted() {
    let place = Place::new();
    let lost = place.insert(1).await;
    let claimed = place.submit(1).await;
    let waiting = place.submit(1).await;
    place.age(&lost, Duration::from_secs(600));
    place.age(&claimed, Duration::from_secs(500));
    place.age(&waiting, Duration::from_secs(400));
    let mut nothing_claimed = Running::start(&place, unknown(), settings());
    assert_eq!(nothing_claimed.three_rounds().await, Vec::<String>::new());
    nothing_claimed.stop().await;

    // One call under way and no room for another: the third order stays in the list.
    let options = fulfillment_worker::engine::EngineOptions { concurrency: 1, ..options() };
    let engine = place.engine(options, |_| Box::pin(std::future::pending()));
    let watermark = engine.watermark();
    let drain = CancellationToken::new();
    let task = tokio::spawn(engine.run(drain.clone()));
    let mut reconciler = Running::start(&place, watermark, settings());
    assert_eq!(reconciler.until("lost").await, format!("lost_message 1 [OrderId({})]", lost[0]));
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
    assert_eq!(place.depth().await, Depth { waiting: 1, in_flight: 1, due: 1, retrying: 0 });
    drain.cancel();
    task.await.unwrap();
}

/// Caught, when seeded: a search that knows no greatest age.
#[tokio::test]
async fn orders_older_than_the_greatest_age_are_counted_and_left_alone() {
    let place = Place::new();
    let ids = place.insert(3).await;
    place.age(&ids[..2], Duration::from_secs(8 * 24 * 3_600));
    place.age(&ids[2..], Duration::from_secs(6 * 24 * 3_600));
    let mut reconciler = Running::start(&place, unknown(), settings());
    assert_eq!(reconciler.until("lost").await, "lost_message 1 [OrderId(3)]");
    assert_eq!(reconciler.until("left").await, "left alone: 2");
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
}

/// Caught, when it was written: they were counted when the lead was taken, and then never again.
#[tokio::test]
async fn orders_left_alone_are_counted_again_and_again() {
    let place = Place::new();
    let ids = place.insert(1).await;
    place.age(&ids, Duration::from_secs(8 * 24 * 3_600));
    let mut reconciler = Running::start(&place, unknown(), settings());
    assert_eq!(reconciler.until("left").await, "left alone: 1");
    place.age(&ids, Duration::ZERO);
    reconciler.until("left alone: 0").await;
}

/// Caught, when seeded: a round without a limit.
#[tokio::test]
async fn a_first_start_on_an_old_table_adopts_so_many_a_round_and_all_in_the_end() {
    let place = Place::new();
    let ids = place.insert(1_200).await;
    place.age(&ids, Duration::from_secs(3_600));
    let mut reconciler = Running::start(&place, unknown(), settings());
    let mut counts = Vec::new();
    for _ in 0..3 {
        let found = reconciler.until("lost").await;
        counts.push(found.split(' ').nth(1).unwrap().to_owned());
    }
    assert_eq!(counts, ["500", "500", "200"]);
    assert_eq!(reconciler.three_rounds().await, Vec::<String>::new());
    assert_eq!(place.depth().await.due, 1_200);
}

#[tokio::test]
async fn two_reconcilers_have_one_leader_and_its_successor_follows_its_end() {
    let place = Place::new();
    let mut first = Running::start(&place, unknown(), settings());
    first.until("round, leads: true").await;
    let mut second = Running::start(&place, unknown(), settings());
    assert_eq!(second.next().await, "round, leads: false");
    first.stop().await;
    second.until("round, leads: true").await;
}

/// Caught, when it was written: a leader that told of each round as it began, and a worker that told of others' rounds.
#[tokio::test]
async fn a_round_is_told_once_it_is_whole_and_by_the_leader_alone() {
    let place = Place::new();
    let mut first = Running::start(&place, unknown(), settings());
    first.until("a whole round").await;
    let mut second = Running::start(&place, unknown(), settings());
    for _ in 0..3 {
        assert_eq!(second.next().await, "round, leads: false");
    }
    place.execute("ALTER TABLE fulfillment_queue RENAME TO elsewhere");
    first.until_a_round_fails().await;
    place.execute("ALTER TABLE elsewhere RENAME TO fulfillment_queue");
    first.until("a whole round").await;
}

/// Caught, when seeded: a lead that lasts for ever.
#[tokio::test]
async fn the_lead_of_a_reconciler_that_died_is_taken_over_and_its_work_goes_on() {
    let place = Place::new();
    let mut first = Running::start(&place, unknown(), settings());
    first.until("round, leads: true").await;
    first.task.abort();
    let ids = place.insert(1).await;
    place.age(&ids, Duration::from_secs(61));
    let mut second = Running::start(&place, unknown(), settings());
    second.until("round, leads: true").await;
    assert_eq!(second.until("lost").await, "lost_message 1 [OrderId(1)]");
}

/// The second loss ends in the dead letters too: its letter must not be taken for the first one.
#[tokio::test]
async fn an_order_that_loses_its_message_twice_is_adopted_twice() {
    let place = Place::new();
    let ids = place.insert(1).await;
    let mut keys = Vec::new();
    for round in 1..=2 {
        place.age(&ids, Duration::from_secs(60 + round));
        let mut reconciler = Running::start(&place, unknown(), settings());
        assert_eq!(reconciler.until("lost").await, "lost_message 1 [OrderId(1)]");
        reconciler.stop().await;
        let claim = place.queue(LEASE).claim(10).await.unwrap().claims.remove(0);
        place
            .queue(LEASE)
            .settle(&[Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Ack }])
            .await
            .unwrap();
        keys.push(claim.receipt.claim_id);
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!(ids, [OrderId(1)]);
}

/// A claim by a worker that begins its order and dies, and whose message is lost with it.
async fn begin_and_lose(place: &Place, id: OrderId) -> u32 {
    let queue = place.queue(LEASE);
    let claim = queue.claim(10).await.unwrap().claims.remove(0);
    let request = BeginRequest { order_id: id, attempt: claim.attempt, correlation_id: None };
    let begun = place.store(LEASE).begin(&[request]).await.unwrap();
    assert!(matches!(begun[0], Begun::Started { .. }), "{begun:?}");
    queue.settle(&[Settlement { receipt: claim.receipt, disposition: Disposition::Ack }]).await.unwrap();
    claim.attempt
}

/// Caught, when seeded: a message that starts anew at its first attempt.
#[tokio::test]
async fn an_order_that_kills_its_workers_and_loses_its_message_each_time_ends_in_the_dead_letters() {
    let place = Place::new();
    let ids = place.insert(1).await;
    for attempt in 1..=options().retry.max_attempts {
        place.age(&ids, Duration::from_secs(80));
        let mut reconciler = Running::start(&place, unknown(), settings());
        reconciler.until(if attempt == 1 { "lost_message 1" } else { "abandoned_order 1" }).await;
        reconciler.stop().await;
        assert_eq!(begin_and_lose(&place, ids[0]).await, attempt);
    }
    place.age(&ids, Duration::from_secs(80));
    let mut reconciler = Running::start(&place, unknown(), settings());
    reconciler.until("abandoned_order 1").await;
    let mut engine = place.start(options(), |_| Box::pin(async { panic!("must not be called") }));
    engine.until("dead 1 attempts_exhausted: 3 attempts began").await;
}
