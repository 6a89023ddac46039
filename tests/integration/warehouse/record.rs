//! The record, and what is remembered by it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::support::process::Signal;
use crate::support::warehouse::{WarehouseProcess, body, key, post};
use crate::support::worker::run_to_end;
use crate::support::{LONG, eventually};

const RECORD: [&str; 2] = ["--record", "calls.jsonl"];

#[tokio::test]
async fn every_call_has_a_line() {
    let warehouse = WarehouseProcess::start(&RECORD).await;
    warehouse.posted(1, 1);
    warehouse.posted(1, 2);
    warehouse.ask("POST", "/shipments", &[], b"");
    let mut lines = warehouse.record("calls.jsonl");
    for line in &mut lines {
        let at = line.as_object_mut().and_then(|line| line.remove("at_micros")).and_then(|at| at.as_i64());
        assert!(at > Some(1_600_000_000_000_000), "{line}");
    }
    let call = |attempt: u64, done: &str, status: u16, reference: Option<&str>| {
        json!({
            "key": key(1), "order_id": 1, "attempt": attempt,
            "done": done, "status": status, "effect": reference.is_some(), "reference": reference,
        })
    };
    assert_eq!(lines[..2], [call(1, "shipped", 201, Some("WH-1")), call(2, "repeated", 200, None)]);
    assert_eq!(
        (&lines[2]["done"], &lines[2]["status"], &lines[2]["key"]),
        (&json!("invalid"), &json!(415), &json!(null))
    );
    assert_eq!(lines.len(), 3);
}

/// Caught, when seeded: effects in the record that are not remembered.
#[tokio::test]
async fn killed_in_the_middle_of_work_it_ships_no_key_twice() {
    let warehouse = WarehouseProcess::start(&RECORD).await;
    let address = warehouse.address();
    let next = Arc::new(AtomicU64::new(1));
    let call_until_it_is_gone = move |next: Arc<AtomicU64>| {
        let mut told = Vec::new();
        loop {
            let id = next.fetch_add(1, Ordering::Relaxed);
            match post(address, id, 1) {
                Ok(answer) => told.push((id, answer.body)),
                Err(_) => return told,
            }
        }
    };
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let next = Arc::clone(&next);
            thread::spawn(move || call_until_it_is_gone(next))
        })
        .collect();
    eventually(LONG, "300 calls", async || match next.load(Ordering::Relaxed) {
        calls if calls > 300 => Ok(()),
        calls => Err(calls),
    })
    .await;
    let folder = warehouse.kill().await;
    let told: Vec<(u64, Vec<u8>)> =
        callers.into_iter().flat_map(|caller| caller.join().expect("what it was told")).collect();

    let warehouse = WarehouseProcess::start_in(folder, &RECORD).await;
    for (id, reference) in &told {
        let again = warehouse.posted(*id, 2);
        assert_eq!((again.status, &again.body), (200, reference), "order {id}");
    }
    for id in 1..next.load(Ordering::Relaxed) {
        assert!([200, 201].contains(&warehouse.posted(id, 3).status), "order {id}");
    }
    let mut effects = BTreeMap::new();
    for line in warehouse.record("calls.jsonl").iter().filter(|line| line["effect"] == true) {
        *effects.entry(line["key"].to_string()).or_insert(0) += 1;
    }
    assert!(effects.len() >= 300 && effects.values().all(|count| *count == 1), "{effects:?}");
    assert_eq!(warehouse.stats()["effects"], effects.len());
}

#[tokio::test]
async fn numbers_go_on_after_a_restart() {
    let mut warehouse = WarehouseProcess::start(&RECORD).await;
    warehouse.posted(1, 1);
    warehouse.posted(1, 2);
    let before = warehouse.stats();
    warehouse.signal(Signal::Term);
    assert_eq!(warehouse.ended().await, Some(0));
    let warehouse = WarehouseProcess::start_in(warehouse.kill().await, &RECORD).await;
    let mut after = warehouse.stats();
    after["in_flight_highest"] = before["in_flight_highest"].clone();
    assert_eq!(after, before);
    assert_eq!(body(&warehouse.posted(2, 1))["reference"], "WH-2");
}

#[tokio::test]
async fn a_line_that_was_cut_off_did_not_happen() {
    let warehouse = WarehouseProcess::start(&RECORD).await;
    warehouse.posted(1, 1);
    warehouse.posted(2, 1);
    let folder = warehouse.kill().await;
    let path = folder.path().join("calls.jsonl");
    let text = fs::read_to_string(&path).expect("the record");
    fs::write(&path, &text[..text.len() - 10]).expect("the record cut off");

    let warehouse = WarehouseProcess::start_in(folder, &RECORD).await;
    assert_eq!([warehouse.posted(1, 2).status, warehouse.posted(2, 2).status], [200, 201]);
    assert_eq!(warehouse.record("calls.jsonl").len(), 3);
}

#[tokio::test]
async fn a_record_is_not_shared() {
    let warehouse = WarehouseProcess::start(&RECORD).await;
    let path = warehouse.folder().join("calls.jsonl").display().to_string();
    let output = run_to_end(&["warehouse", "--listen", "127.0.0.1:0", "--record", &path]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("calls.jsonl is in use by another warehouse"), "{errors}");
}

#[test]
fn a_file_that_is_no_record_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.csv");
    fs::write(&path, "product,quantity\nCup,1\n").expect("a file");
    let output = run_to_end(&["warehouse", "--listen", "127.0.0.1:0", "--record", &path.display().to_string()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("orders.csv:1: not a line of a warehouse"), "{errors}");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "product,quantity\nCup,1\n");
}

/// Caught, when seeded: an order that stays taken although it could not be shipped; a part of a line that is left.
#[tokio::test]
async fn what_cannot_be_recorded_is_not_shipped_and_spoils_nothing() {
    let warehouse = WarehouseProcess::start_with_little_room(&RECORD).await;
    let mut shipped = 0;
    let refused = loop {
        let answer = warehouse.posted(shipped + 1, 1);
        if answer.status != 201 {
            break answer;
        }
        shipped += 1;
    };
    assert_eq!(refused.status, 500, "{}", refused.text());
    assert!(refused.text().contains("the record can't be written"), "{}", refused.text());
    assert_eq!(warehouse.stats()["effects"], shipped);
    assert_eq!(warehouse.ask("GET", &format!("/shipments/{}", key(shipped + 1)), &[], b"").status, 404);
    assert_eq!(warehouse.record("calls.jsonl").len() as u64, shipped);

    let warehouse = WarehouseProcess::start_in(warehouse.kill().await, &RECORD).await;
    assert_eq!([warehouse.posted(shipped, 2).status, warehouse.posted(shipped + 1, 2).status], [200, 201]);
    assert_eq!(warehouse.record("calls.jsonl").len() as u64, shipped + 2);
}
