//! What goes into queue and store together, and what is said when only the rows got in. Needs no server.

use std::path::Path;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::config::{QueueTls, SecretUrl};
use fulfillment_worker::domain::message;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::event::Observers;
use fulfillment_worker::operations::import::Row;
use fulfillment_worker::operations::import::submit::{SubmitError, submit};
use fulfillment_worker::port::intake::NewOrder;
use fulfillment_worker::port::queue::Queue;
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;

use crate::support::free_port;

const LEASE: Duration = Duration::from_secs(15);

fn rows() -> Vec<Row> {
    let row = |line, product: &str, correlation_id: Option<&str>| Row {
        line,
        order: NewOrder { product: product.to_owned(), price_cents: 255, quantity: 3 },
        correlation_id: correlation_id.map(str::to_owned),
        dedupe_key: None,
    };
    vec![row(2, "Cup", Some("536365")), row(3, "Jug", None), row(4, "Cup", None)]
}

async fn store(folder: &Path) -> (Database, SqliteStore) {
    let database = Database::open(&folder.join("orders.db")).expect("an embedded database");
    let options = SqliteStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true };
    let store = SqliteStore::new(database.clone(), options);
    store.migrate().await.expect("tables");
    (database, store)
}

#[tokio::test]
async fn every_row_gets_a_message_that_names_it_in_the_order_of_the_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (database, store) = store(folder.path()).await;
    let queue = SqliteQueue::new(database, SqliteQueueOptions { lease: LEASE, worker: WorkerId::fresh() });

    let inserted = submit(&rows(), &queue, &store, None).await.expect("orders go in");

    let claims = queue.claim(10).await.expect("messages").claims;
    let messages: Vec<_> = claims.iter().map(|claim| message::decode(&claim.payload).expect("a message")).collect();
    let named: Vec<OrderId> = messages.iter().map(message::Message::order_id).collect();
    assert_eq!(named, inserted.iter().map(|row| row.order_id).collect::<Vec<_>>());
    assert_eq!(messages[0].product_id, messages[2].product_id);
    assert_eq!(messages[0].correlation_id.as_deref(), Some("536365"));
    assert!(messages.iter().all(|message| message.quantity == 3 && message.timestamp.is_some()));
}

#[tokio::test]
async fn rows_without_messages_are_counted_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_database, store) = store(folder.path()).await;
    // Nobody listens there once the listener is gone.
    let closed = format!("127.0.0.1:{}", free_port());
    let url = SecretUrl::new(format!("redis://{closed}").parse().expect("a URL"));
    let options = RedisQueueOptions { key: "fulfillment_queue".to_owned(), lease: LEASE, worker: WorkerId::fresh() };
    let queue = RedisQueue::connect(&url, &QueueTls::default(), options, Observers::default())
        .expect("connecting is left for later");

    let error = submit(&rows(), &queue, &store, Some(Duration::from_millis(100))).await.expect_err("no queue");

    let SubmitError::NoMessages { count, first, last, .. } = &error else { panic!("{error}") };
    assert_eq!((*count, *first, *last), (3, 1, 3));
    assert!(error.to_string().ends_with("3 rows stored without a message (ids 1 to 3)"), "{error}");
    let summary = store.summary().await.expect("a summary");
    assert_eq!(summary.orders_by_state.first(), Some(&("pending".to_owned(), 3)));
}
