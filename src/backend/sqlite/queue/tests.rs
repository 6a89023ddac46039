//! What is SQLite's own; the rest is in the conformance suite.

use super::*;

#[test]
fn every_statement_reads_an_index_in_its_order() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&crate::backend::sqlite::database::migration_sql()).unwrap();
    let plan = |sql: &str| -> String {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3));
        steps.collect::<rusqlite::Result<Vec<_>>>().unwrap().join("; ")
    };
    let indexes = ["fulfillment_queue_new", "fulfillment_queue_in_flight", "fulfillment_queue_retrying"];
    for sql in [CLAIM, DEPTH, NEXT_DUE] {
        let plan = plan(sql);
        for index in indexes {
            assert!(plan.contains(&format!("INDEX {index}")), "{index} in {plan}");
        }
    }
    for sql in [LEASE, RENEW, ACK, RETRY] {
        let plan = plan(sql);
        assert!(plan.contains("USING INTEGER PRIMARY KEY"), "{plan}");
    }
}

#[test]
fn a_claim_id_of_another_queue_names_no_message() {
    for claim_id in ["", "-", "1", "x-1", "1a-2", "--1", "9223372036854775808-1"] {
        let receipt = Receipt { claim_id: claim_id.to_owned(), token: "token".to_owned() };
        assert_eq!(message_id(&receipt), None, "{claim_id}");
    }
}
