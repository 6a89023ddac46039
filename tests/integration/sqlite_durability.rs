//! What the embedded database has acknowledged outlives a process that is killed at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::again::again;
use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::intake::{Intake, NewOrder};
use fulfillment_worker::port::queue::{Disposition, Producer, Queue, Settlement};
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, OrderStore, Target, Verdict};
use rusqlite::Connection;

/// Tells the process that is to be killed which file to work on.
const FILE: &str = "DURABILITY_TEST_FILE";
/// How often it is killed, each time on the same file.
const KILLS: usize = 8;
/// What it has acknowledged at least before it is killed.
const ACKNOWLEDGED: usize = 300;
/// When it ends by itself, should the test be gone.
const LIFETIME: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(120);

#[test]
fn whatever_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fulfillment.db");
    let mut acknowledged = Acknowledged::default();
    for _ in 0..KILLS {
        kill_one(&path, &mut acknowledged);
        // Recovers the log, as the next start of the worker would.
        drop(Database::open(&path).unwrap());
        acknowledged.verify(&path);
    }
    assert!(!acknowledged.fulfilled.is_empty() && !acknowledged.settled.is_empty());
}

/// Not a test, but the process that the test above starts and kills.
#[test]
#[ignore = "started by whatever_was_acknowledged_is_there_after_a_kill"]
fn work_until_killed() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    // Ends the line that the test harness has begun.
    println!();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let database = Database::open(Path::new(&path)).unwrap();
        let lanes = (0..4).map(|_| tokio::spawn(work(database.clone())));
        let _ = tokio::time::timeout(LIFETIME, futures::future::try_join_all(lanes)).await;
    });
    panic!("not killed within {LIFETIME:?}");
}

/// Submits orders and works them off, one after the other, and tells each acknowledgement.
async fn work(database: Database) {
    let worker = WorkerId::fresh();
    let queue = SqliteQueue::new(database.clone(), SqliteQueueOptions { lease: LEASE, worker: worker.clone() });
    let store = SqliteStore::new(database, SqliteStoreOptions { worker, lease: LEASE, events: true });
    loop {
        let order = NewOrder { product: "lantern".to_owned(), price_cents: 255, quantity: 1 };
        let order_id = store.insert(&[order]).await.unwrap()[0].order_id;
        println!("inserted {order_id}");
        queue.push(&[order_id.to_string().into_bytes()]).await.unwrap();
        println!("pushed {order_id}");

        for claim in queue.claim(1).await.unwrap().claims {
            let order_id = OrderId(String::from_utf8(claim.payload).unwrap().parse().unwrap());
            let request = BeginRequest { order_id, attempt: claim.attempt, correlation_id: None };
            let begun = store.begin(&[request]).await.unwrap().remove(0);
            let Begun::Started { fence, .. } = begun else { panic!("{order_id}: {begun:?}") };
            let conclusion = Conclusion {
                order_id,
                fence,
                attempt: claim.attempt,
                to: Target::Fulfilled { reference: None },
                maybe_applied: false,
                created_at_micros: None,
            };
            let verdict = store.conclude(&[conclusion]).await.unwrap().remove(0);
            assert!(matches!(verdict, Verdict::Done { .. }), "{order_id}: {verdict:?}");
            println!("fulfilled {order_id}");
            let settlement = Settlement { receipt: claim.receipt, disposition: Disposition::Ack };
            queue.settle(&[settlement]).await.unwrap();
            println!("settled {order_id}");
        }
    }
}

/// Killed with the test, should it fail.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill_one(path: &Path, acknowledged: &mut Acknowledged) {
    let mut command = again("sqlite_durability::work_until_killed");
    command.env(FILE, path);
    let mut process = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut seen = 0;
    while seen < ACKNOWLEDGED {
        let line = lines.next().expect("the process ended by itself").unwrap();
        seen += usize::from(acknowledged.note(&line));
    }
    process.0.kill().unwrap();
    for line in lines {
        acknowledged.note(&line.unwrap());
    }
}

/// The numbers of the orders that a process was told it had inserted, and so on.
#[derive(Default)]
struct Acknowledged {
    inserted: BTreeSet<i64>,
    pushed: BTreeSet<i64>,
    fulfilled: BTreeSet<i64>,
    settled: BTreeSet<i64>,
}

impl Acknowledged {
    /// Takes note of a line, if it is an acknowledgement.
    fn note(&mut self, line: &str) -> bool {
        let Some((what, order_id)) = line.split_once(' ') else {
            return false;
        };
        let orders = match what {
            "inserted" => &mut self.inserted,
            "pushed" => &mut self.pushed,
            "fulfilled" => &mut self.fulfilled,
            "settled" => &mut self.settled,
            _ => return false,
        };
        assert!(orders.insert(order_id.parse().unwrap()), "{line}, a second time");
        true
    }

    fn verify(&self, path: &Path) {
        let connection = Connection::open(path).unwrap();
        let intact: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(intact, "ok");
        let statuses: BTreeMap<i64, String> = pairs(&connection, "SELECT id, status FROM orders");
        let fulfilled_events: BTreeMap<i64, i64> = pairs(
            &connection,
            "SELECT order_id, count(*) FROM fulfillment_events WHERE state = 'fulfilled' GROUP BY 1",
        );
        let queued: BTreeMap<i64, i64> =
            pairs(&connection, "SELECT CAST(CAST(payload AS TEXT) AS INTEGER), id FROM fulfillment_queue");

        for order_id in &self.inserted {
            assert!(statuses.contains_key(order_id), "order {order_id} was acknowledged and is lost");
        }
        for order_id in &self.pushed {
            let at_hand = queued.contains_key(order_id);
            let done = statuses[order_id] == "fulfilled";
            assert!(at_hand || done, "the message of order {order_id} was acknowledged and is lost");
        }
        for order_id in &self.fulfilled {
            assert_eq!(statuses[order_id], "fulfilled", "order {order_id}");
            assert_eq!(fulfilled_events.get(order_id), Some(&1), "order {order_id}");
        }
        for order_id in &self.settled {
            assert!(!queued.contains_key(order_id), "the message of order {order_id} is back");
        }
    }
}

fn pairs<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> BTreeMap<i64, T> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
