//! `dead list` and `dead show`.

use serde_json::{Value, json};

use crate::dead_letters::place::{Place, ids};

#[tokio::test]
async fn letters_are_listed_in_pages_by_id() {
    let place = Place::new();
    place.fail(7).await;
    let mut after = json!(0);
    let mut pages = Vec::new();
    while !after.is_null() {
        let page = place.run(&["dead", "list", "--limit", "3", "--after", &after.to_string(), "--json"]).json();
        assert_eq!(page["matching"], 7);
        pages.push(ids(&page));
        after = page["next_after"].clone();
    }
    assert_eq!(pages, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);

    let text = place.run(&["dead", "list", "--limit", "3"]);
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert_eq!((text.code, &lines[..3]), (Some(0), &["7 dead letters without a decision", "", "rejected: 3 of 7"][..]));
    // How wide a column is depends on how old the letters are.
    let header: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!((&header[..], lines.len()), (&["ID", "AGE", "ORDER", "DETAIL"][..], 7), "{text:?}");
    assert_eq!(text.stderr, "3 of 7 dead letters; next page: --after 3\n");
    assert!(lines[4].contains("  order 1 failed  "), "{text:?}");
    let text = place.run(&["dead", "list", "--after", "7"]).stdout;
    assert_eq!(text, "no dead letters without a decision above id 7, and 7 up to it\n");
}

#[tokio::test]
async fn letters_are_listed_by_reason_age_product_and_order() {
    let place = Place::new();
    place.fail(2).await;
    place.bury(b"{}").await;
    assert_eq!(place.listed(&["--reason", "rejected"]), [1, 2]);
    assert_eq!(place.listed(&["--reason", "rejected", "--reason", "invalid_message"]), [1, 2, 3]);
    assert_eq!(place.listed(&["--older-than", "1h"]), [0; 0]);
    assert_eq!(place.listed(&["--newer-than", "1h"]), [1, 2, 3]);
    assert_eq!(place.listed(&["--product", "1"]), [1, 2]);
    assert_eq!(place.listed(&["--order", "2"]), [2]);
    assert_eq!(place.listed(&["--resolved"]), [0; 0]);
    assert_eq!(place.run(&["dead", "list", "--order", "99"]).stdout, "no dead letters without a decision\n");
}

#[tokio::test]
async fn letters_are_listed_and_decided_by_what_their_errors_have_in_common() {
    let place = Place::new();
    place.fail(2).await;
    place.bury(b"{}").await;
    assert_eq!(place.listed(&["--fingerprint", "422: no such colour"]), [1, 2]);
    assert_eq!(place.listed(&["--fingerprint", "422: no such colour", "--order", "2"]), [2]);
    let text = place.run(&["dead", "list", "--fingerprint", "503: busy"]);
    assert_eq!((text.code, text.stdout.as_str()), (Some(0), "no dead letters without a decision\n"));
    let dry =
        place.run(&["dead", "retry", "--fingerprint", "422: no such colour", "--why", "x", "--dry-run", "--json"]);
    assert_eq!(dry.json()["redriven"], 2);
    let job =
        place.run(&["dead", "discard", "--fingerprint", "not an order message", "--why", "old", "--detach", "--json"]);
    assert_eq!(job.json()["job"]["selection"], json!({"fingerprint": "not an order message"}));
    assert_eq!(place.run(&["jobs", "run", "1"]).stdout, "job 1 done: 1 dead letter discarded\n");
    assert_eq!(place.listed(&[]), [1, 2]);
    let retried =
        place.run(&["dead", "retry", "--fingerprint", "422: no such colour", "--why", "back in stock", "--json"]);
    assert_eq!((&retried.json()["redriven"], place.listed(&[]).len()), (&json!(2), 0));
    let empty = place.run(&["dead", "list", "--fingerprint", ""]);
    assert_eq!((empty.code, empty.stderr.contains("must have 1 to 200 characters")), (Some(2), true), "{empty:?}");
}

#[tokio::test]
async fn a_reason_that_does_not_exist_is_answered_with_those_that_do() {
    let ended = Place::new().run(&["dead", "list", "--reason", "bad_luck"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("error: --reason: `bad_luck` must be one of invalid_message, "), "{ended:?}");
}

#[tokio::test]
async fn a_letter_is_shown_with_its_message_as_text_or_as_bytes() {
    let place = Place::new();
    place.fail(1).await;
    place.bury(b"\xff\x00{").await;
    let good = place.run(&["dead", "show", "1", "--json"]).json();
    assert_eq!((&good["order_id"], &good["order_state"], &good["attempts"]), (&1.into(), &"failed".into(), &1.into()));
    let message: Value = serde_json::from_str(good["payload"].as_str().unwrap()).unwrap();
    assert_eq!(message["order_id"], 1);

    let poison = place.run(&["dead", "show", "2", "--json"]).json();
    assert_eq!((&poison["payload"], &poison["payload_base64"]), (&Value::Null, &"/wB7".into()));
    assert_eq!(place.run(&["dead", "show", "2"]).stdout.lines().last(), Some("\\xff\\x00{"));
}

#[tokio::test]
async fn a_letter_that_is_not_there_is_an_error() {
    let ended = Place::new().run(&["dead", "show", "9"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(ended.stderr, "error: dead letter 9 does not exist in sqlite:fulfillment.db\n");
}

#[test]
fn the_options_of_a_command_below_a_command_are_found_in_the_environment_too() {
    let mut command = crate::support::worker::binary(&["dead", "list"]);
    command.env("FULFILLMENT_STORE", "sqlite:elsewhere.db");
    let ended = crate::dead_letters::place::Ended::of(command);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("error: embedded database elsewhere.db does not exist"), "{ended:?}");
}
