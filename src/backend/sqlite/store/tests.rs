//! What is SQLite's own; the rest is in the conformance suite.

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::domain::order::{Fence, OrderId, State};
use crate::port::reports::Reports;
use crate::port::store::{BeginRequest, Begun, Conclusion, OrderStore, Target, Verdict};

const LEASE: Duration = Duration::from_secs(3_600);

struct Fixture {
    store: SqliteStore,
    /// A second connection, as another program would have it.
    connection: Connection,
    _folder: TempDir,
}

impl Fixture {
    /// A file with two orders, 1 and 2, as an order API inserts them that gives only what it must.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("test.db")).unwrap();
        let connection = Connection::open(database.path()).unwrap();
        let sql = "INSERT INTO products (name, price) VALUES ('lantern', 2.55);
                   INSERT INTO orders (product_id, quantity) VALUES (1, 6), (1, 6);";
        connection.execute_batch(sql).unwrap();
        let options = SqliteStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true };
        Self { store: SqliteStore::new(database, options), connection, _folder: folder }
    }

    async fn begin(&self, order_ids: &[i64]) -> Vec<Begun> {
        let requests: Vec<_> = order_ids
            .iter()
            .map(|id| BeginRequest { order_id: OrderId(*id), attempt: 1, correlation_id: None })
            .collect();
        self.store.begin(&requests).await.unwrap()
    }

    async fn fulfil(&self, order_id: i64, fence: Fence) -> Verdict {
        let conclusion = Conclusion {
            order_id: OrderId(order_id),
            fence,
            attempt: 1,
            to: Target::Fulfilled { reference: None },
            maybe_applied: false,
            created_at_micros: None,
        };
        self.store.conclude(&[conclusion]).await.unwrap().remove(0)
    }

    fn status(&self, order_id: i64) -> Option<String> {
        self.connection.query_row("SELECT status FROM orders WHERE id = ?1", [order_id], |row| row.get(0)).unwrap()
    }
}

fn fence_of(answer: &Begun) -> Fence {
    match answer {
        Begun::Started { fence, .. } => *fence,
        other => panic!("not started: {other:?}"),
    }
}

#[tokio::test]
async fn an_order_with_the_defaults_of_the_table_is_worked_off() {
    let fixture = Fixture::new();
    let begun = fixture.begin(&[1]).await;
    assert!(matches!(&begun[0], Begun::Started { order, takeover: false, .. } if order.quantity == 6));
    let Verdict::Done { age: Some(age) } = fixture.fulfil(1, fence_of(&begun[0])).await else { panic!("not done") };
    assert!(age < Duration::from_secs(600), "{age:?}");
}

#[tokio::test]
async fn an_order_without_times_is_worked_off() {
    let fixture = Fixture::new();
    fixture.connection.execute_batch("UPDATE orders SET created_at = NULL, updated_at = NULL").unwrap();
    let begun = fixture.begin(&[1]).await;
    let Begun::Started { order, .. } = &begun[0] else { panic!("{begun:?}") };
    assert_eq!(order.created_at_micros, None);
    assert_eq!(fixture.fulfil(1, fence_of(&begun[0])).await, Verdict::Done { age: None });
    assert_eq!(fixture.status(1).as_deref(), Some("fulfilled"));
}

#[tokio::test]
async fn an_order_in_work_without_a_time_is_taken_over() {
    let fixture = Fixture::new();
    fixture.connection.execute_batch("UPDATE orders SET status = 'processing', updated_at = NULL").unwrap();
    assert!(matches!(fixture.begin(&[1]).await[0], Begun::Started { takeover: true, .. }));
}

#[tokio::test]
async fn an_order_without_a_status_is_not_ours() {
    let fixture = Fixture::new();
    fixture.connection.execute_batch("UPDATE orders SET status = NULL WHERE id = 1").unwrap();
    assert_eq!(fixture.begin(&[1]).await, [Begun::NotOurs("null".to_owned())]);
    assert_eq!(fixture.status(1), None);
    let summary = fixture.store.summary().await.unwrap();
    assert_eq!(summary.orders_by_state[0], ("pending".to_owned(), 1));
    assert_eq!(summary.orders_by_state[4..], [("null".to_owned(), 1)]);
}

#[tokio::test]
async fn an_update_that_a_trigger_suppresses_is_refused() {
    let fixture = Fixture::new();
    let sql = "CREATE TRIGGER frozen BEFORE UPDATE ON orders WHEN new.id = 1 BEGIN SELECT RAISE(IGNORE); END";
    fixture.connection.execute_batch(sql).unwrap();
    let begun = fixture.begin(&[1, 2]).await;
    assert!(matches!(&begun[0], Begun::Refused(reason) if reason.contains("trigger")), "{begun:?}");
    fence_of(&begun[1]);
    assert_eq!(fixture.store.timeline(OrderId(1)).await.unwrap(), []);
}

#[tokio::test]
async fn a_transition_whose_timeline_is_refused_is_undone() {
    let fixture = Fixture::new();
    let sql = "CREATE TRIGGER audited BEFORE INSERT ON fulfillment_events WHEN new.order_id = 1
               BEGIN SELECT RAISE(ABORT, 'under audit'); END";
    fixture.connection.execute_batch(sql).unwrap();
    let begun = fixture.begin(&[1, 2]).await;
    assert!(matches!(&begun[0], Begun::Refused(reason) if reason.contains("under audit")), "{begun:?}");
    assert_eq!(fixture.status(1).as_deref(), Some("pending"));
    fence_of(&begun[1]);
    assert_eq!(fixture.status(2).as_deref(), Some("processing"));
}

#[tokio::test]
async fn what_is_told_to_people_is_cut_at_a_thousand_characters() {
    let fixture = Fixture::new();
    let fence = fence_of(&fixture.begin(&[1]).await[0]);
    let conclusion = Conclusion {
        order_id: OrderId(1),
        fence,
        attempt: 1,
        to: Target::Pending { reason: "ä".repeat(5_000) },
        maybe_applied: false,
        created_at_micros: None,
    };
    fixture.store.conclude(&[conclusion]).await.unwrap();
    let timeline = fixture.store.timeline(OrderId(1)).await.unwrap();
    assert_eq!(timeline[1].state, State::Pending);
    assert_eq!(timeline[1].note, Some("ä".repeat(1_000)));
}

#[tokio::test]
async fn the_index_answers_for_open_orders() {
    let fixture = Fixture::new();
    let plan = |sql: &str| -> String {
        let mut explain = fixture.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = explain.query_map([], |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ")
    };
    let oldest = plan(include_str!("oldest.sql"));
    assert_eq!(oldest.matches("USING COVERING INDEX orders_not_fulfilled (status=?)").count(), 2, "{oldest}");
    let counts = plan(include_str!("count_by_status.sql"));
    assert!(counts.contains("USING COVERING INDEX orders_not_fulfilled"), "{counts}");
}

#[test]
fn the_sql_of_every_table_can_be_printed() {
    let sql = crate::backend::sqlite::database::migration_sql();
    for table in ["products", "orders", "fulfillment_events", "fulfillment_dead_letters", "fulfillment_queue"] {
        assert!(sql.contains(&format!("CREATE TABLE {table} (")), "{table}");
    }
    Connection::open_in_memory().unwrap().execute_batch(&sql).unwrap();
}
