//! An embedded database with orders that failed, and the binary to work on it.

use std::process::Command;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::intake::{Intake, NewOrder};
use fulfillment_worker::port::queue::Queue;
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Target};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::worker::binary;

/// A folder with an embedded database.
pub(crate) struct Place {
    pub(crate) store: SqliteStore,
    queue: SqliteQueue,
    folder: TempDir,
}

/// How the binary ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Runs the binary to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        let output = command.output().expect("the binary starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What it printed, where it went well.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json_in_any_case()
    }

    /// What it printed.
    #[track_caller]
    pub(crate) fn json_in_any_case(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("fulfillment.db")).unwrap();
        let (worker, lease) = (WorkerId::fresh(), Duration::from_secs(60));
        let queue = SqliteQueue::new(database.clone(), SqliteQueueOptions { lease, worker: worker.clone() });
        let store = SqliteStore::new(database, SqliteStoreOptions { worker, lease, events: true });
        Self { store, queue, folder }
    }

    /// The binary with these arguments, logged in as `carla`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments))
    }

    /// What [`Place::run`] runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(arguments);
        command.current_dir(self.folder.path()).env("LOGNAME", "carla");
        command.env("FULFILLMENT_STORE", "sqlite:fulfillment.db");
        command
    }

    /// Inserts orders and fails each one, which leaves a letter each. Letters and orders count from 1.
    pub(crate) async fn fail(&self, count: usize) {
        let order = NewOrder { product: "Cup".to_owned(), price_cents: 185, quantity: 1 };
        for inserted in self.store.insert(&vec![order; count]).await.unwrap() {
            self.fail_again(inserted.order_id).await;
        }
    }

    /// Fails a pending order.
    pub(crate) async fn fail_again(&self, order_id: OrderId) {
        let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
        let begun = self.store.begin(&[request]).await.unwrap().remove(0);
        let Begun::Started { fence, .. } = begun else { panic!("{begun:?}") };
        let letter = DeadLetter {
            claim_id: format!("{order_id}-{}", fence.0),
            order_id: Some(order_id),
            payload: message(order_id),
            reason: DeadReason::Rejected,
            detail: "422: no such colour".to_owned(),
            attempts: 1,
        };
        let to = Target::Failed(letter);
        let end = Conclusion { order_id, fence, attempt: 1, to, maybe_applied: false, created_at_micros: None };
        self.store.conclude(&[end]).await.unwrap();
    }

    /// Buries a message that is none.
    pub(crate) async fn bury(&self, payload: &[u8]) {
        let letter = DeadLetter {
            claim_id: format!("{payload:?}"),
            order_id: None,
            payload: payload.to_vec(),
            reason: DeadReason::InvalidMessage,
            detail: "not an order message".to_owned(),
            attempts: 1,
        };
        self.store.insert_dead_letters(&[letter]).await.unwrap();
    }

    /// Takes what is in the queue.
    pub(crate) async fn messages(&self) -> Vec<Vec<u8>> {
        self.queue.claim(1_000).await.unwrap().claims.into_iter().map(|claim| claim.payload).collect()
    }

    /// The status of an order, from `order`.
    pub(crate) fn state(&self, order_id: i64) -> String {
        let order = self.run(&["order", &order_id.to_string(), "--json"]).json();
        order["state"].as_str().unwrap().to_owned()
    }

    /// The ids on a page, from `dead list` with these options.
    pub(crate) fn listed(&self, options: &[&str]) -> Vec<i64> {
        ids(&self.run(&[&["dead", "list", "--json"], options].concat()).json())
    }
}

/// The ids on a page.
pub(crate) fn ids(page: &Value) -> Vec<i64> {
    page["dead_letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_i64().unwrap()).collect()
}

/// The message of an order.
pub(crate) fn message(order_id: OrderId) -> Vec<u8> {
    format!("{{\"order_id\":{order_id},\"product_id\":1,\"quantity\":1,\"note\":\"a field of the producer's own\"}}")
        .into_bytes()
}
