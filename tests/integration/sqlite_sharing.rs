//! Several processes on one file of the embedded database: each has a connection and a thread of its own, which is
//! what two [`Database`]s opened here have as well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::port::intake::{Intake, NewOrder};
use fulfillment_worker::port::queue::{Disposition, Producer, Queue, Settlement};
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(30);

/// One file, opened as two processes would.
struct Shared {
    first: Database,
    second: Database,
    _folder: TempDir,
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fulfillment.db");
        Self { first: Database::open(&path).unwrap(), second: Database::open(&path).unwrap(), _folder: folder }
    }
}

fn queue(database: &Database) -> SqliteQueue {
    SqliteQueue::new(database.clone(), SqliteQueueOptions { lease: LEASE, worker: WorkerId::fresh() })
}

fn store(database: &Database) -> SqliteStore {
    let options = SqliteStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true };
    SqliteStore::new(database.clone(), options)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_of_another_process_is_noticed_while_waiting() {
    let shared = Shared::new();
    let (consumer, producer) = (queue(&shared.first), queue(&shared.second));
    assert_eq!(consumer.claim(1).await.unwrap().claims, []);
    let waiting = tokio::spawn(async move {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let started = Instant::now();
            consumer.wait(PATIENCE).await;
            assert!(started.elapsed() < PATIENCE / 2, "waited for {:?} without a look", started.elapsed());
            if let Some(claim) = consumer.claim(1).await.unwrap().claims.pop() {
                return claim.payload;
            }
        }
        Vec::new()
    });
    producer.push(&[b"news".to_vec()]).await.unwrap();
    assert_eq!(waiting.await.unwrap(), b"news");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_in_this_process_ends_a_wait_at_once() {
    let shared = Shared::new();
    let (consumer, producer) = (queue(&shared.first), queue(&shared.first));
    let mut wake_ups = Vec::new();
    for _ in 0..5 {
        let claims = consumer.claim(10).await.unwrap().claims;
        let acks: Vec<_> = claims
            .into_iter()
            .map(|claim| Settlement { receipt: claim.receipt, disposition: Disposition::Ack })
            .collect();
        consumer.settle(&acks).await.unwrap();
        let waiting = consumer.wait(PATIENCE);
        let pushing = async {
            producer.push(&[b"news".to_vec()]).await.unwrap();
            Instant::now()
        };
        let ((), pushed) = tokio::join!(waiting, pushing);
        wake_ups.push(pushed.elapsed());
    }
    // One that was only noticed by looking again would come up to 250 ms later; a busy machine may spoil some.
    assert!(wake_ups.iter().any(|late| *late < Duration::from_millis(50)), "{wake_ups:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_get_each_message_exactly_once() {
    const MESSAGES: usize = 2_000;
    let shared = Shared::new();
    let payloads: Vec<Vec<u8>> = (0..MESSAGES).map(|number| number.to_string().into_bytes()).collect();
    queue(&shared.first).push(&payloads).await.unwrap();
    let workers = [&shared.first, &shared.second].map(|database| {
        let queue = queue(database);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claims = queue.claim(10).await.unwrap().claims;
                if claims.is_empty() {
                    return mine;
                }
                mine.extend(claims.into_iter().map(|claim| claim.payload));
            }
        })
    });
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    assert_eq!(all.len(), MESSAGES);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), payloads.into_iter().collect::<BTreeSet<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_started_by_one_of_two_processes() {
    const ORDERS: usize = 500;
    let shared = Shared::new();
    let order = NewOrder { product: "lantern".to_owned(), price_cents: 255, quantity: 1 };
    let inserted = store(&shared.first).insert(&vec![order; ORDERS]).await.unwrap();
    let requests: Vec<BeginRequest> =
        inserted.iter().map(|one| BeginRequest { order_id: one.order_id, attempt: 1, correlation_id: None }).collect();

    let workers = [&shared.first, &shared.second].map(|database| {
        let (store, requests) = (store(database), requests.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for request in requests {
                answers.extend(store.begin(&[request]).await.unwrap());
            }
            answers
        })
    });
    let [first, second] = workers;
    for (first, second) in first.await.unwrap().into_iter().zip(second.await.unwrap()) {
        let one_started = matches!(
            (&first, &second),
            (Begun::Started { .. }, Begun::Busy(_)) | (Begun::Busy(_), Begun::Started { .. })
        );
        assert!(one_started, "{first:?} and {second:?}");
    }
}
