//! Each way to misbehave.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use serde_json::json;

use crate::support::process::Signal;
use crate::support::warehouse::{WarehouseProcess, body, headers, key, order};
use crate::support::{LONG, eventually, expect_equal, http};

/// Caught, when seeded: an empty answer in place of a cut.
#[tokio::test]
async fn a_connection_is_cut_before_the_order_is_taken() {
    let warehouse = WarehouseProcess::start(&["--cut-before", "1"]).await;
    assert_eq!(warehouse.post(1, 1).expect_err("no answer").kind(), ErrorKind::UnexpectedEof);
    assert_eq!(warehouse.stats()["done"], json!({"cut-before": 1}));
    warehouse.behave(&json!({}));
    assert_eq!(warehouse.posted(1, 2).status, 201);
    assert_eq!(warehouse.stats()["repeated_deliveries"], 1);
}

#[tokio::test]
async fn a_connection_is_cut_after_the_order_was_taken() {
    let warehouse = WarehouseProcess::start(&["--cut-after", "1"]).await;
    assert_eq!(warehouse.post(1, 1).expect_err("no answer").kind(), ErrorKind::UnexpectedEof);
    assert_eq!(warehouse.stats()["effects"], 1);
    warehouse.behave(&json!({}));
    assert_eq!(warehouse.posted(1, 2).status, 200);
}

#[tokio::test]
async fn a_call_hangs_until_its_limit() {
    let warehouse = WarehouseProcess::start(&["--hang", "1", "--hang-limit", "300ms"]).await;
    let began = Instant::now();
    assert_eq!(warehouse.post(1, 1).expect_err("no answer").kind(), ErrorKind::UnexpectedEof);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(warehouse.stats()["done"], json!({"hung": 1}));
    assert_eq!(warehouse.stats()["effects"], 1);
}

#[tokio::test]
async fn a_call_that_hangs_is_over_when_its_caller_gives_up() {
    let warehouse = WarehouseProcess::start(&["--hang", "1", "--hang-limit", "1h"]).await;
    let (key, text) = (key(1), order(1, 1).to_string());
    let call = http::open(warehouse.address(), "POST", "/shipments", &headers(&key), text.as_bytes()).expect("sent");
    eventually(LONG, "it hangs", async || expect_equal(warehouse.stats()["effects"].as_u64(), Some(1))).await;
    assert_eq!(warehouse.stats()["in_flight"], 1);
    drop(call);
    eventually(LONG, "it is over", async || expect_equal(warehouse.stats()["in_flight"].as_u64(), Some(0))).await;
}

#[tokio::test]
async fn calls_that_hang_do_not_hold_up_the_end() {
    let mut warehouse = WarehouseProcess::start(&["--hang", "1", "--hang-limit", "1h"]).await;
    let (key, text) = (key(1), order(1, 1).to_string());
    let _call = http::open(warehouse.address(), "POST", "/shipments", &headers(&key), text.as_bytes()).expect("sent");
    eventually(LONG, "it hangs", async || expect_equal(warehouse.stats()["effects"].as_u64(), Some(1))).await;
    warehouse.signal(Signal::Term);
    assert_eq!(warehouse.ended().await, Some(0));
}

#[tokio::test]
async fn an_error_has_the_status_and_pause_that_were_asked_for() {
    let options = ["--errors", "1", "--error-status", "503", "--error-retry-after-seconds", "7"];
    let warehouse = WarehouseProcess::start(&options).await;
    let answer = warehouse.posted(1, 1);
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "7"));
    assert_eq!(warehouse.stats()["effects"], 0);
    warehouse.behave(&json!({"errors": 1}));
    let answer = warehouse.posted(1, 2);
    assert_eq!((answer.status, answer.headers.get("retry-after")), (500, None));
}

#[tokio::test]
async fn shares_befall_as_many_calls_and_the_same_ones_with_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let warehouse = WarehouseProcess::start(&["--seed", "7", "--cut-before", "0.3", "--errors", "0.3"]).await;
        let outcome = |id| warehouse.post(id, 1).map_or(0, |answer| answer.status);
        runs.push((1..=200).map(outcome).collect::<Vec<u16>>());
    }
    let count = |status| runs[0].iter().filter(|seen| **seen == status).count();
    for (status, expected) in [(0, 60), (500, 60), (201, 80)] {
        assert!(count(status).abs_diff(expected) < 25, "{} times {status}", count(status));
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn an_order_is_finished_later_and_can_be_asked_for_meanwhile() {
    let warehouse = WarehouseProcess::start(&["--finish-after", "300ms", "--record", "calls.jsonl"]).await;
    let accepted = warehouse.posted(1, 1);
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let path = accepted.headers["location"].clone();
    assert_eq!(path, format!("/shipments/{}", key(1)));
    assert_eq!(warehouse.posted(1, 2).status, 202);
    let finished = eventually(LONG, "it is finished", async || {
        let answer = warehouse.ask("GET", &path, &[], b"");
        expect_equal(answer.status, 200).map(|()| answer)
    })
    .await;
    assert_eq!(warehouse.posted(1, 3).body, finished.body);
    let stats = warehouse.stats();
    assert_eq!((&stats["calls"], &stats["effects"]), (&json!(3), &json!(1)));
    let lines = warehouse.record("calls.jsonl");
    let done: Vec<_> = lines.iter().map(|line| (line["done"].as_str(), line["effect"].as_bool())).collect();
    let line = |done, effect| (Some(done), Some(effect));
    assert_eq!(
        done,
        [line("accepted", false), line("accepted", false), line("finished", true), line("repeated", false)]
    );
}

#[tokio::test]
async fn keys_that_are_not_honoured_ship_with_every_call() {
    let warehouse = WarehouseProcess::start(&["--honour-keys", "false"]).await;
    assert_eq!([warehouse.posted(1, 1).status, warehouse.posted(1, 2).status], [201, 201]);
    let stats = warehouse.stats();
    assert_eq!((&stats["effects"], &stats["keys"], &stats["double_effects"]), (&json!(2), &json!(1), &json!(1)));
}

#[tokio::test]
async fn orders_are_refused_by_product_or_all() {
    let warehouse = WarehouseProcess::start(&["--reject-product", "7"]).await;
    let answer = warehouse.posted(1, 1);
    assert_eq!((answer.status, &body(&answer)["field"]), (422, &json!("product_id")), "{}", answer.text());
    warehouse.behave(&json!({"reject_products": [8]}));
    assert_eq!(warehouse.posted(1, 2).status, 201);
    warehouse.behave(&json!({"reject_all": true}));
    assert_eq!(warehouse.posted(2, 1).status, 422);
    assert_eq!(warehouse.stats()["effects"], 1);
}

#[tokio::test]
async fn calls_are_sent_elsewhere() {
    let warehouse = WarehouseProcess::start(&["--redirect", "http://127.0.0.1:9/shipments"]).await;
    let answer = warehouse.posted(1, 1);
    assert_eq!((answer.status, answer.headers["location"].as_str()), (307, "http://127.0.0.1:9/shipments"));
    assert_eq!(warehouse.stats()["effects"], 0);
}

#[tokio::test]
async fn answers_are_padded_and_still_json() {
    let warehouse = WarehouseProcess::start(&["--padding-bytes", "200000"]).await;
    let answer = body(&warehouse.posted(1, 1));
    assert_eq!(answer["reference"], "WH-1");
    assert_eq!(answer["padding"].as_str().map(str::len), Some(200_000));
}

#[tokio::test]
async fn a_small_answer_becomes_a_large_one() {
    let warehouse = WarehouseProcess::start(&["--padding-bytes", "20000000", "--gzip"]).await;
    let answer = warehouse.posted(1, 1);
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert!(answer.body.len() < 100_000, "{} bytes", answer.body.len());
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).expect("one gzip stream");
    assert!(text.len() > 20_000_000 && text.starts_with(r#"{"reference":"WH-1","padding":"0"#), "{}", text.len());
}
