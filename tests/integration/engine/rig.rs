//! An engine on an embedded database of its own, with a fulfiller that the test writes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::message::Message;
use fulfillment_worker::domain::order::{IdempotencyKey, Order, OrderId};
use fulfillment_worker::domain::retry::{RetryPolicy, WhenAmbiguous};
use fulfillment_worker::engine::{Engine, EngineOptions};
use fulfillment_worker::event::{Event, FulfillerEvent, Observer, Observers, OrderEvent};
use fulfillment_worker::port::fulfiller::{Fulfiller, Outcome};
use fulfillment_worker::port::intake::{Intake, NewOrder};
use fulfillment_worker::port::queue::{Depth, Producer, Queue, QueueReports};
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::store::OrderStore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// No event takes longer to come.
const LIMIT: Duration = Duration::from_secs(20);

type Call = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A fulfiller that does what a closure says.
pub(crate) struct Scripted<F>(pub(crate) F);

#[async_trait::async_trait]
impl<F: Fn(Order) -> Call + Send + Sync> Fulfiller for Scripted<F> {
    async fn fulfil(&self, order: &Order, _: &IdempotencyKey) -> Outcome {
        (self.0)(order.clone()).await
    }
}

pub(crate) fn fulfilled() -> Outcome {
    Outcome::Fulfilled { reference: None }
}

pub(crate) fn try_again(reason: &str) -> Outcome {
    Outcome::Retry { reason: reason.to_owned(), after: None }
}

/// The place: one database, opened by as many workers as a test needs.
pub(crate) struct Place {
    database: Database,
    _folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { database: Database::open(&folder.path().join("orders.db")).unwrap(), _folder: folder }
    }

    pub(crate) fn queue(&self, lease: Duration) -> Arc<SqliteQueue> {
        Arc::new(SqliteQueue::new(self.database.clone(), SqliteQueueOptions { lease, worker: WorkerId::fresh() }))
    }

    pub(crate) fn store(&self, lease: Duration) -> Arc<SqliteStore> {
        let options = SqliteStoreOptions { worker: WorkerId::fresh(), lease, events: true };
        Arc::new(SqliteStore::new(self.database.clone(), options))
    }

    /// Rows, then messages, as an order API does it.
    pub(crate) async fn submit(&self, orders: usize) -> Vec<OrderId> {
        let ids = self.insert(orders).await;
        self.push(&ids).await;
        ids
    }

    /// Rows, as an order API that dies before it has pushed.
    pub(crate) async fn insert(&self, orders: usize) -> Vec<OrderId> {
        let new = NewOrder { product: "LANTERN".to_owned(), price_cents: 339, quantity: 6 };
        let inserted = self.store(LIMIT).insert(&vec![new; orders]).await.unwrap();
        inserted.iter().map(|row| row.order_id).collect()
    }

    /// Makes orders look as if they had been created and left as they are so long ago.
    pub(crate) fn age(&self, ids: &[OrderId], age: Duration) {
        let mut connection = rusqlite::Connection::open(self.database.path()).unwrap();
        connection.busy_timeout(LIMIT).unwrap();
        let sql = "UPDATE orders SET created_at = at, updated_at = at
                   FROM (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) - ?2 AS at) WHERE id = ?1";
        let micros = i64::try_from(age.as_micros()).unwrap();
        let transaction = connection.transaction().unwrap();
        for id in ids {
            transaction.execute(sql, (id.0, micros)).unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Runs a statement as another program would.
    pub(crate) fn execute(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.database.path()).unwrap();
        connection.busy_timeout(LIMIT).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    pub(crate) async fn push(&self, ids: &[OrderId]) {
        let message = |id: &OrderId| {
            Message {
                order_id: id.0,
                product_id: 1,
                quantity: 6,
                correlation_id: None,
                traceparent: None,
                timestamp: None,
                not_before: None,
            }
            .encode()
        };
        self.queue(LIMIT).push(&ids.iter().map(message).collect::<Vec<_>>()).await.unwrap();
    }

    /// The states that the order went through, as `state@attempt`.
    pub(crate) async fn timeline(&self, id: OrderId) -> Vec<String> {
        let entries = self.store(LIMIT).timeline(id).await.unwrap();
        entries.iter().map(|entry| format!("{}@{}", entry.state.as_str(), entry.attempt)).collect()
    }

    /// What the timeline notes beside the states.
    pub(crate) async fn notes(&self, id: OrderId) -> Vec<String> {
        let entries = self.store(LIMIT).timeline(id).await.unwrap();
        entries.into_iter().map(|entry| entry.note.unwrap_or_default()).collect()
    }

    pub(crate) async fn depth(&self) -> Depth {
        self.queue(LIMIT).depth().await.unwrap()
    }

    pub(crate) fn start<F>(&self, options: EngineOptions, fulfil: F) -> Running
    where
        F: Fn(Order) -> Call + Send + Sync + 'static,
    {
        self.start_on(self.queue(options.lease), self.store(options.lease), options, fulfil)
    }

    pub(crate) fn start_on<F>(
        &self,
        queue: Arc<dyn Queue>,
        store: Arc<dyn OrderStore>,
        options: EngineOptions,
        fulfil: F,
    ) -> Running
    where
        F: Fn(Order) -> Call + Send + Sync + 'static,
    {
        self.start_with(queue, store, options, Arc::new(Scripted(fulfil)))
    }

    /// An engine that is not at work yet, and that nobody listens to.
    pub(crate) fn engine<F>(&self, options: EngineOptions, fulfil: F) -> Engine
    where
        F: Fn(Order) -> Call + Send + Sync + 'static,
    {
        let (queue, store) = (self.queue(options.lease), self.store(options.lease));
        Engine::new(queue, store, Arc::new(Scripted(fulfil)), Observers::default(), options).unwrap()
    }

    pub(crate) fn start_with(
        &self,
        queue: Arc<dyn Queue>,
        store: Arc<dyn OrderStore>,
        options: EngineOptions,
        fulfiller: Arc<dyn Fulfiller>,
    ) -> Running {
        let (told, events) = mpsc::unbounded_channel();
        let observers = Observers::new(vec![Arc::new(Watch(told))]);
        let engine = Engine::new(queue, store, fulfiller, observers, options).unwrap();
        let drain = CancellationToken::new();
        Running { events, task: tokio::spawn(engine.run(drain.clone())), drain }
    }
}

pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        concurrency: 16,
        lease: Duration::from_secs(15),
        call_timeout: Duration::from_secs(10),
        retry: RetryPolicy {
            max_attempts: 3,
            base: Duration::from_millis(5),
            cap: Duration::from_millis(20),
            when_ambiguous: WhenAmbiguous::Retry,
        },
        drain_timeout: Duration::from_secs(5),
    }
}

/// An engine at work, and what it tells.
pub(crate) struct Running {
    events: mpsc::UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<usize>,
    drain: CancellationToken,
}

impl Running {
    /// Waits for an event that begins so, and returns those that came before it.
    pub(crate) async fn until(&mut self, beginning: &str) -> Vec<String> {
        let search = async {
            let mut before = Vec::new();
            while let Some(event) = self.events.recv().await {
                if event.starts_with(beginning) {
                    return before;
                }
                before.push(event);
            }
            panic!("the engine ended without {beginning:?}")
        };
        tokio::time::timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("no {beginning:?} came"))
    }

    /// Begins the drain.
    pub(crate) fn begin_to_stop(&self) {
        self.drain.cancel();
    }

    /// Drains, and returns how many orders were left unsettled.
    pub(crate) async fn stop(self) -> usize {
        self.drain.cancel();
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap()
    }
}

struct Watch(mpsc::UnboundedSender<String>);

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        let order = |attempt: &fulfillment_worker::event::AttemptRef<'_>| {
            attempt.order_id.map_or_else(|| "?".to_owned(), |id| id.to_string())
        };
        let text = match event {
            Event::Fulfiller(FulfillerEvent::CallEnded { attempt, outcome, .. }) => {
                format!("call {} {}", order(attempt), outcome.as_str())
            }
            Event::Order(OrderEvent::Fulfilled { attempt, .. }) => format!("fulfilled {}", order(attempt)),
            Event::Order(OrderEvent::AttemptFailed { attempt, error, .. }) => {
                format!("failed {}: {error}", order(attempt))
            }
            Event::Order(OrderEvent::Retried { attempt, reason, after }) => {
                format!("retried {} {} {}", order(attempt), reason.as_str(), after.as_millis())
            }
            Event::Order(OrderEvent::DeadLettered { attempt, reason, detail }) => {
                format!("dead {} {}: {detail}", order(attempt), reason.as_str())
            }
            Event::Order(OrderEvent::AlreadyFinal { attempt }) => format!("final {}", order(attempt)),
            Event::Order(OrderEvent::LeaseLost { lease, attempt }) => {
                format!("lost {} {}", lease.as_str(), order(attempt))
            }
            _ => return,
        };
        // The test may have heard enough.
        let _ = self.0.send(text);
    }
}
