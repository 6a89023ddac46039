//! The ground of the embedded worker: a file, which each case has for itself.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use fulfillment_worker::backend::sqlite::database::Database;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::matrix::cases::Setting;
use crate::matrix::ground::{Ground, JobRow, message, product, warehouse};
use crate::support::evidence::{Event, Evidence, REJECTED_PRODUCT, Row};
use crate::support::warehouse::WarehouseProcess;

/// See the module.
pub(crate) struct Embedded {
    folder: TempDir,
    file: PathBuf,
    warehouse: WarehouseProcess,
}

const PRODUCTS: &str = "INSERT INTO products (id, name, price) VALUES (?, ?, 1.85)";
const ORDER: &str = "INSERT INTO orders (id, product_id, quantity) VALUES (?, ?, 1)";
const MESSAGE: &str = "INSERT INTO fulfillment_queue (payload, pushed_at) \
                       VALUES (?, CAST(unixepoch('subsec') * 1000000 AS INTEGER))";
const ROWS: &str = "SELECT id, product_id, quantity, status, created_at, updated_at FROM orders";
const EVENTS: &str =
    "SELECT order_id, at, state, attempt, worker, note FROM fulfillment_timeline ORDER BY order_id, at";
const DEAD_LETTERS: &str = "SELECT reason, order_id FROM fulfillment_dead_letters";
const JOBS: &str = "SELECT id, outcome, matching, done, skipped, refused FROM fulfillment_jobs ORDER BY id";
const MESSAGES: &str = "SELECT count(*) FROM fulfillment_queue";

impl Embedded {
    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(crate::support::LONG)?;
        Ok(connection)
    }

    fn read(&self, calls: Vec<Value>) -> rusqlite::Result<Evidence> {
        let connection = self.connect()?;
        let rows = connection
            .prepare(ROWS)?
            .query_map([], |row| {
                let found = Row {
                    product: row.get(1)?,
                    request: row.get(2)?,
                    status: row.get(3)?,
                    created_micros: row.get(4)?,
                    updated_micros: row.get(5)?,
                };
                Ok((row.get(0)?, found))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut timelines: HashMap<i64, Vec<Event>> = HashMap::new();
        let mut statement = connection.prepare(EVENTS)?;
        let mut events = statement.query([])?;
        while let Some(event) = events.next()? {
            let entry = Event {
                at_micros: event.get(1)?,
                state: event.get(2)?,
                attempt: event.get(3)?,
                worker: event.get(4)?,
                note: event.get(5)?,
            };
            timelines.entry(event.get(0)?).or_default().push(entry);
        }
        let dead_letters = connection
            .prepare(DEAD_LETTERS)?
            .query_map([], |letter| Ok((letter.get(0)?, letter.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Evidence { rows, timelines, dead_letters, calls })
    }

    fn insert(&self, ids: &Range<i32>, messages: Vec<String>) -> rusqlite::Result<()> {
        let mut connection = self.connect()?;
        let transaction = connection.transaction()?;
        transaction.execute(PRODUCTS, (1, "HAND WARMER UNION JACK"))?;
        transaction.execute(PRODUCTS, (REJECTED_PRODUCT, "RETURNED AND NOT SOLD ANY MORE"))?;
        for id in ids.clone() {
            transaction.execute(ORDER, (id, product(id, ids)))?;
        }
        for message in messages {
            transaction.execute(MESSAGE, [message.into_bytes()])?;
        }
        transaction.commit()
    }
}

impl Ground for Embedded {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the file");
        let file = folder.path().join("none yet");
        Self { folder, file, warehouse: warehouse().await }
    }

    async fn place(&mut self, ids: Range<i32>, messages: Vec<String>) {
        self.file = self.folder.path().join(format!("orders-{}.db", ids.start));
        Database::open(&self.file).expect("a new file");
        self.insert(&ids, messages).expect("orders in the file");
    }

    async fn add(&mut self, id: i32) {
        let connection = self.connect().expect("the file");
        connection.execute(ORDER, (id, 1)).expect("another order");
        connection.execute(MESSAGE, [message(id, 1).into_bytes()]).expect("its message");
    }

    fn targets(&self) -> (String, String) {
        let target = format!("sqlite:{}", self.file.display());
        (target.clone(), target)
    }

    fn warehouse(&self) -> &WarehouseProcess {
        &self.warehouse
    }

    async fn disturb(&mut self, setting: Setting) {
        assert_eq!(setting, Setting::Embedded, "there is no server here");
    }

    async fn evidence(&mut self, calls: Vec<Value>) -> Result<Evidence, String> {
        self.read(calls).map_err(|error| error.to_string())
    }

    async fn jobs(&mut self) -> Result<Vec<JobRow>, String> {
        let read = || -> rusqlite::Result<Vec<JobRow>> {
            let connection = self.connect()?;
            let job = |row: &rusqlite::Row<'_>| {
                Ok(JobRow {
                    id: row.get(0)?,
                    outcome: row.get(1)?,
                    matching: row.get(2)?,
                    done: row.get(3)?,
                    skipped: row.get(4)?,
                    refused: row.get(5)?,
                })
            };
            connection.prepare(JOBS)?.query_map([], job)?.collect()
        };
        read().map_err(|error| error.to_string())
    }

    fn queue_is_empty(&self) -> Result<(), String> {
        let count: rusqlite::Result<i64> =
            self.connect().and_then(|connection| connection.query_row(MESSAGES, [], |row| row.get(0)));
        match count {
            Ok(0) => Ok(()),
            Ok(count) => Err(format!("{count} messages are left")),
            Err(error) => Err(error.to_string()),
        }
    }
}
