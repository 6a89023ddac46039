//! What operators decide.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Served, document, problem};
use crate::support::{LONG, eventually, expect_equal};

#[tokio::test]
async fn on_servers_operators_pause_hold_cancel_and_release() {
    operate(Served::by_servers(&[]).await).await;
}

#[tokio::test]
async fn embedded_operators_pause_hold_cancel_and_release() {
    operate(Served::embedded(&[]).await).await;
}

async fn operate(served: Served) {
    let paused = served.decide("/pause", &json!({"why": "the warehouse moves", "for_seconds": 3600}));
    assert_eq!((&paused["changed"], &paused["outstanding"]), (&json!(true), &json!([])), "{paused}");
    let controls = served.read("/controls");
    let control = &controls["controls"][0];
    assert_eq!(
        (&control["control"], &control["worker"], &control["why"]),
        (&json!("pause"), &Value::Null, &json!("the warehouse moves"))
    );
    assert!(control["by"].as_str().is_some_and(|by| by.starts_with("bob at 127.0.0.1")), "{control}");
    let ids = served.put_in(3);

    let named = |ids: &[i64], why: &str| json!({"ids": ids, "why": why});
    let cancelled = served.decide("/orders/cancel", &named(&[ids[0], 999_999], "the customer called"));
    assert_eq!((&cancelled["done"], &cancelled["missing"]), (&json!(1), &json!(1)), "{cancelled}");
    let held = served.decide("/orders/hold", &json!({"ids": [ids[1]], "why": "address", "for_seconds": 600}));
    assert_eq!(held["done"], 1, "{held}");
    let dry = served.decide("/orders/cancel", &json!({"ids": [ids[2]], "why": "only asking", "dry_run": true}));
    assert_eq!((&dry["done"], &dry["dry_run"]), (&json!(1), &json!(true)));
    let pushed = served.decide("/orders/enqueue", &named(&[ids[2], ids[0]], "after the flush"));
    assert_eq!((&pushed["pushed"], &pushed["left"]), (&json!(1), &json!(1)), "{pushed}");

    let resumed = served.decide("/resume", &json!({"why": "it has moved"}));
    assert_eq!(resumed["changed"], true);
    let state = |id: i64| served.read(&format!("/orders/{id}"))["state"].clone();
    eventually(LONG, "the third is fulfilled", async || expect_equal(state(ids[2]), json!("fulfilled"))).await;
    assert_eq!((state(ids[0]), state(ids[1])), (json!("cancelled"), json!("pending")));
    let timeline = served.read(&format!("/orders/{}", ids[0]))["timeline"].to_string();
    assert!(timeline.contains("by bob at 127.0.0.1") && timeline.contains("the customer called"), "{timeline}");
    served.decide("/orders/release", &named(&[ids[1]], "address is right"));
    eventually(LONG, "the second is fulfilled", async || expect_equal(state(ids[1]), json!("fulfilled"))).await;
}

/// Caught, when seeded: a worker that is entered as one that holds its claims, as it has not begun, and begins then.
#[tokio::test]
async fn a_pause_while_a_worker_starts_or_resumes_is_in_force_when_it_is_answered() {
    for round in 0..10 {
        let served = Served::starting_embedded();
        let asked = json!({"why": "a trial"});
        // From before it answers on.
        let pause = async || expect_equal(served.try_post("/pause", &asked), Some(200));
        eventually(LONG, "it is paused", pause).await;
        for again in 0..3 {
            let ids = served.put_in(1);
            // Long enough for a worker that claims: it does within milliseconds.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let cancelled = served.decide("/orders/cancel", &json!({"ids": ids, "why": "a trial"}));
            assert_eq!(cancelled["orders"][0]["state"], "pending", "round {round}, {again}: {cancelled}");
            served.decide("/resume", &asked);
            served.decide("/pause", &asked);
        }
    }
}

#[tokio::test]
async fn limits_are_set_for_all_or_one_and_cleared() {
    let served = Served::embedded(&[]).await;
    let worker = served.read("/workers")["workers"][0]["worker"].clone();
    served.decide("/limits/concurrency", &json!({"value": 5, "why": "slow"}));
    served.decide("/limits/rate", &json!({"value": 0.5, "why": "a trial", "worker": worker, "for_seconds": 60}));
    served.decide("/quiet", &json!({"worker": worker, "why": "its host is drained"}));
    let mut set = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = served.read(&format!("/controls?limit=1{cursor}"));
        set.push(page["controls"][0]["control"].as_str().expect("a control").to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    set.sort();
    assert_eq!(set, ["concurrency", "pause", "rate"]);
    let cleared = served.decide("/limits/clear", &json!({"limit": "concurrency", "why": "fast again"}));
    assert_eq!(cleared["changed"], true);
    assert_eq!(served.decide("/limits/clear", &json!({"limit": "concurrency", "why": "again"}))["changed"], false);
    problem(&served.post("/quiet", &json!({"worker": "nobody", "why": "a trial"})), 404);
    for (path, body, field) in [
        ("/limits/concurrency", json!({"value": 0, "why": "x"}), "value"),
        ("/limits/concurrency", json!({"value": 1.5, "why": "x"}), "value"),
        ("/limits/rate", json!({"value": 0, "why": "x"}), "value"),
        ("/limits/rate", json!({"value": "fast", "why": "x"}), "value"),
        ("/pause", json!({"why": ""}), "why"),
        ("/pause", json!({"why": "a\u{7}b"}), "why"),
        ("/pause", json!({"why": "x", "for_seconds": 0}), "for_seconds"),
        ("/limits/clear", json!({"why": "x", "limit": "pause"}), "limit"),
    ] {
        let said = problem(&served.post(path, &body), 422);
        assert_eq!(said["field"], field, "{path} {body}: {said}");
    }
}

#[tokio::test]
async fn dead_letters_are_retried_and_discarded_by_their_ids() {
    let served = Served::by_servers(&["--simulate-failures", "1", "--max-attempts", "1"]).await;
    served.put_in(2);
    let letters = async || expect_equal(served.read("/dead-letters")["matching"].clone(), json!(2));
    eventually(LONG, "both have failed", letters).await;
    let ids: Vec<Value> = served.read("/dead-letters")["dead_letters"]
        .as_array()
        .expect("letters")
        .iter()
        .map(|letter| letter["id"].clone())
        .collect();
    let dry = served.decide("/dead-letters/retry", &json!({"ids": ids, "why": "only asking", "dry_run": true}));
    assert_eq!(results(&dry), ["redriven", "redriven"]);
    let retried = served.decide("/dead-letters/retry", &json!({"ids": [ids[0], 999_999, ids[0]], "why": "in stock"}));
    assert_eq!(results(&retried), ["redriven", "missing"]);
    let discarded = served.decide("/dead-letters/discard", &json!({"ids": [ids[1], ids[0]], "why": "refunded"}));
    assert_eq!(results(&discarded), ["discarded", "skipped"]);
    let letter = served.read(&format!("/dead-letters/{}", ids[1]));
    assert_eq!((&letter["resolution"], &letter["resolved_reason"]), (&json!("discarded"), &json!("refunded")));
    assert_eq!(served.read("/dead-letters?resolved=true")["matching"], 2);
}

fn results(decided: &Value) -> Vec<&str> {
    assert_eq!(decided["problem"], Value::Null, "{decided}");
    let letters = decided["dead_letters"].as_array().expect("letters").iter();
    letters.map(|letter| letter["result"].as_str().expect("a result")).collect()
}

/// Caught, when seeded: a store that is silent, and 500 for that.
#[tokio::test]
async fn while_the_store_hangs_the_api_says_so_and_probes_and_metrics_are_answered() {
    let served = Served::by_servers(&["--store-connections", "4"]).await;
    let (_, database) = served.servers.as_ref().expect("servers");
    let locking = database.connect().await;
    locking.batch_execute("BEGIN; LOCK TABLE fulfillment.dead_letters IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let ask = || {
        let (address, path) = (served.worker.address(), "/api/v1/dead-letters");
        let login = ("Authorization", "Basic YW5uOmFubidz");
        std::thread::spawn(move || crate::support::http::get(address, path, &[login]).expect("an answer"))
    };
    // A password takes long the first time, and few are verified at once.
    served.read("/workers");
    let asked: Vec<_> = (0..6).map(|_| ask()).collect();
    for path in ["/livez", "/metrics"] {
        let answer = match path {
            "/metrics" => served.worker.get(path, &[("Authorization", "Basic YW5uOmFubidz")]),
            _ => served.worker.get(path, &[]),
        };
        assert_eq!(answer.status, 200, "{path}");
    }
    for answer in asked {
        let answer = answer.join().expect("a thread");
        problem(&answer, 503);
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    }
    locking.batch_execute("ROLLBACK").await.expect("an end");
    let reads = async || expect_equal(served.ask("ann", "GET", "/dead-letters", &[], "").status, 200);
    eventually(LONG, "it reads again", reads).await;
    document(&served.ask("ann", "GET", "/dead-letters", &[], ""), 200);
}
