//! What can be seen from outside once all is quiet: rows, timelines, dead letters, and the warehouse's record.

use std::collections::HashMap;

use serde_json::Value;
use tokio_postgres::Client;

pub(crate) use crate::support::orders::REJECTED_PRODUCT;

/// An order's row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) product: i32,
    /// The row's quantity, by which a soak's producer numbers its requests.
    pub(crate) request: i32,
    pub(crate) status: String,
    pub(crate) created_micros: i64,
    pub(crate) updated_micros: i64,
}

/// One line of an order's timeline.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) at_micros: i64,
    pub(crate) state: String,
    pub(crate) attempt: i32,
    pub(crate) worker: String,
    pub(crate) note: Option<String>,
}

/// See the module.
pub(crate) struct Evidence {
    pub(crate) rows: HashMap<i64, Row>,
    /// By order, oldest first.
    pub(crate) timelines: HashMap<i64, Vec<Event>>,
    /// Reasons of the dead letters, and their orders.
    pub(crate) dead_letters: Vec<(String, Option<i64>)>,
    pub(crate) calls: Vec<Value>,
}

/// Without those that a scene has put beside the orders that are looked at.
const ROWS: &str = "SELECT id::int8, product_id, quantity, status::text, \
    (extract(epoch FROM created_at AT TIME ZONE current_setting('TimeZone')) * 1000000)::int8, \
    (extract(epoch FROM updated_at AT TIME ZONE current_setting('TimeZone')) * 1000000)::int8 \
    FROM orders WHERE status::text IS DISTINCT FROM 'elsewhere'";
const EVENTS: &str = "SELECT order_id, \
    (extract(epoch FROM at AT TIME ZONE current_setting('TimeZone')) * 1000000)::int8, state, attempt, worker, note \
    FROM fulfillment.timeline ORDER BY order_id, at";
const DEAD_LETTERS: &str = "SELECT reason, order_id FROM fulfillment.dead_letters";

impl Evidence {
    /// Reads everything that Postgres holds, as it is at one moment; `calls` are the lines of the warehouse's record.
    pub(crate) async fn collect(store: &Client, calls: Vec<Value>) -> Result<Self, tokio_postgres::Error> {
        store.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let evidence = Self::read(store, calls).await;
        // Ends it also where a table is not there yet, so that the next reading has a transaction of its own.
        store.batch_execute("COMMIT").await?;
        evidence
    }

    async fn read(store: &Client, calls: Vec<Value>) -> Result<Self, tokio_postgres::Error> {
        let row = |row: &tokio_postgres::Row| Row {
            product: row.get(1),
            request: row.get(2),
            status: row.get(3),
            created_micros: row.get(4),
            updated_micros: row.get(5),
        };
        let rows = store.query(ROWS, &[]).await?.iter().map(|found| (found.get(0), row(found))).collect();
        let mut timelines: HashMap<i64, Vec<Event>> = HashMap::new();
        for event in store.query(EVENTS, &[]).await? {
            let entry = Event {
                at_micros: event.get(1),
                state: event.get(2),
                attempt: event.get(3),
                worker: event.get(4),
                note: event.get(5),
            };
            timelines.entry(event.get(0)).or_default().push(entry);
        }
        let dead_letters =
            store.query(DEAD_LETTERS, &[]).await?.iter().map(|letter| (letter.get(0), letter.get(1))).collect();
        Ok(Self { rows, timelines, dead_letters, calls })
    }

    /// An order's timeline, empty if there is none.
    pub(crate) fn timeline(&self, order: i64) -> &[Event] {
        self.timelines.get(&order).map_or(&[], Vec::as_slice)
    }

    /// An order's timeline in one line.
    pub(crate) fn story(&self, order: i64) -> String {
        let lines = self.timeline(order).iter().map(|event| {
            let Event { at_micros, state, attempt, worker, note } = event;
            let note = note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
            format!("{state}@{attempt} at {at_micros} by {worker}{note}")
        });
        format!("order {order} ({:?}): {}", self.rows.get(&order), lines.collect::<Vec<_>>().join(", "))
    }
}
