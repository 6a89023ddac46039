//! `dead retry` and `dead discard` on an embedded database.

use std::time::{Duration, Instant};

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::dead_letters::{DeadLetters, Decision};
use serde_json::json;

use crate::dead_letters::place::{Place, message};

#[tokio::test]
async fn a_retry_puts_the_order_back_pushes_its_message_and_keeps_who_and_why() {
    let place = Place::new();
    place.fail(2).await;
    let ended = place.run(&["dead", "retry", "2", "--why", "the colour is back", "--json"]);
    let counts = json!({"version": 1, "redriven": 1, "pushed": 0, "pushed_again": 0, "discarded": 0, "skipped": 0, "refused": 0, "cut": 0,
                        "missing": [], "dry_run": false, "job": null});
    assert_eq!(ended.json(), counts);
    assert_eq!(place.messages().await, [message(OrderId(2))]);
    assert_eq!((place.state(1), place.state(2)), ("failed".to_owned(), "pending".to_owned()));

    assert_eq!(place.listed(&[]), [1]);
    let letter = place.run(&["dead", "show", "2", "--json"]).json();
    assert_eq!(
        (&letter["resolution"], &letter["resolved_by"], &letter["resolved_reason"]),
        (&"retried".into(), &"carla".into(), &"the colour is back".into())
    );
    let order = place.run(&["order", "2", "--json"]).json();
    let last = order["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["state"], &last["attempt"]), (&"pending".into(), &0.into()));
    assert_eq!(last["note"], "redriven by carla: the colour is back");
    assert_eq!(order["dead_letters"][0]["id"], 2);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_changes_nothing() {
    let place = Place::new();
    place.fail(3).await;
    place.bury(b"{").await;
    let before = place.run(&["order", "1", "--json"]).json()["timeline"].clone();
    for command in ["retry", "discard"] {
        let ended = place.run(&["dead", command, "--all", "--why", "to see", "--dry-run", "--json"]).json();
        assert_eq!(ended["dry_run"], true);
        let done = if command == "retry" { json!([3, 1, 0]) } else { json!([0, 0, 4]) };
        assert_eq!(json!([ended["redriven"], ended["pushed"], ended["discarded"]]), done);
        assert_eq!(place.listed(&[]), [1, 2, 3, 4]);
    }
    let text = place.run(&["dead", "retry", "--all", "--why", "to see", "--dry-run"]).stdout;
    assert_eq!(text, "dry run, nothing changed; it would be: 3 orders moved to pending, 1 message pushed\n");
    assert_eq!(place.messages().await, [b""; 0]);
    assert_eq!(place.run(&["order", "1", "--json"]).json()["timeline"], before);
}

#[tokio::test]
async fn letters_that_are_not_there_fail_the_command_after_the_others_are_done() {
    let place = Place::new();
    place.fail(1).await;
    let ended = place.run(&["dead", "retry", "8", "1", "9", "--why", "again", "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stderr, "error: no such dead letter: 8, 9\n");
    let counts = ended.json_in_any_case();
    assert_eq!((&counts["redriven"], &counts["missing"]), (&1.into(), &json!([8, 9])));
    assert_eq!(place.state(1), "pending");
}

#[tokio::test]
async fn a_command_line_that_leaves_open_which_letters_or_why_is_wrong_usage() {
    let place = Place::new();
    place.fail(1).await;
    for command in ["retry", "discard"] {
        for options in [
            &["1"][..],
            &["--why", "x"],
            &["1", "--all", "--why", "x"],
            &["1", "--reason", "rejected", "--why", "x"],
            &["--all", "--order", "1", "--why", "x"],
            &["0", "--why", "x"],
            &["1", "--why", ""],
            &["1", "--why", "two\nlines"],
        ] {
            let ended = place.run(&[&["dead", command], options].concat());
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{options:?}: {ended:?}");
        }
    }
    for rate in ["0", "10001", "many"] {
        assert_eq!(place.run(&["dead", "retry", "1", "--why", "x", "--rate", rate]).code, Some(2), "{rate}");
    }
    assert_eq!(place.listed(&[]), [1]);
}

/// Caught, when seeded: a push that is left out for letters that are marked already.
#[tokio::test]
async fn a_retry_that_died_before_its_push_is_made_up_for_by_the_next_one() {
    let place = Place::new();
    place.fail(1).await;
    let died = Decision { by: "anna".to_owned(), reason: "before the power went".to_owned() };
    place.store.redrive(&[1], &died).await.unwrap();
    assert_eq!(place.messages().await, [b""; 0]);

    let ended = place.run(&["dead", "retry", "1", "--why", "again"]);
    assert_eq!(ended.stdout, "1 message pushed again\n", "{ended:?}");
    assert_eq!(place.messages().await, [message(OrderId(1))]);
    let letter = place.run(&["dead", "show", "1", "--json"]).json();
    assert_eq!(letter["resolved_by"], "anna");
}

#[tokio::test]
async fn an_order_that_is_not_failed_any_more_is_skipped_and_named() {
    let place = Place::new();
    place.fail(2).await;
    place.run(&["dead", "retry", "1", "--why", "first"]);
    place.fail_again(OrderId(1)).await;
    let ended = place.run(&["dead", "retry", "1", "2", "--why", "second"]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr, "dead letter 1 skipped: it was retried before\n");
    assert_eq!(ended.stdout, "1 order moved to pending, 1 skipped\n");
    assert_eq!(place.state(1), "failed");
    assert_eq!(place.listed(&[]), [3], "what failed again has a letter of its own");
}

#[tokio::test]
async fn a_message_that_names_no_order_is_pushed_as_it_was() {
    let place = Place::new();
    place.bury(b"\xff{").await;
    let ended = place.run(&["dead", "retry", "--reason", "invalid_message", "--why", "the decoder is fixed"]);
    assert_eq!(ended.stdout, "1 message pushed\n", "{ended:?}");
    assert_eq!(place.messages().await, [b"\xff{"]);
    assert_eq!(place.listed(&["--resolved"]), [1]);
}

#[tokio::test]
async fn a_discarded_letter_is_closed_and_its_order_stays_until_somebody_thinks_again() {
    let place = Place::new();
    place.fail(2).await;
    let discard = ["dead", "discard", "1", "--why", "refunded", "--actor", "ben"];
    assert_eq!(place.run(&discard).stdout, "1 dead letter discarded\n");
    let again = place.run(&discard);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "1 skipped\n"));
    assert_eq!((place.listed(&[]), place.listed(&["--resolved"])), (vec![2], vec![1]));
    assert_eq!((place.state(1), place.messages().await), ("failed".to_owned(), Vec::new()));
    assert_eq!(place.run(&["status", "--json"]).json()["dead_letters"], 1);

    let all = place.run(&["dead", "retry", "--all", "--why", "stock is back", "--json"]).json();
    assert_eq!(all["redriven"], 1, "a filter leaves what was discarded");
    assert_eq!(place.state(1), "failed");
    place.run(&["dead", "retry", "1", "--why", "not refunded after all"]);
    assert_eq!(place.state(1), "pending");
    let letter = place.run(&["dead", "show", "1", "--json"]).json();
    assert_eq!(letter["resolved_reason"], "not refunded after all (before: discarded by ben: refunded)");
}

#[tokio::test]
async fn no_more_letters_a_second_are_retried_than_asked_for() {
    let place = Place::new();
    place.fail(6).await;
    let began = Instant::now();
    let ended = place.run(&["dead", "retry", "--all", "--rate", "4", "--why", "gently", "--json"]).json();
    let took = began.elapsed();
    assert_eq!(ended["redriven"], 6);
    assert!(took >= Duration::from_millis(1_250), "6 letters at 4 a second took {took:?}");
}

#[tokio::test]
async fn more_letters_than_a_batch_holds_are_all_retried_and_pushed_once() {
    let place = Place::new();
    place.fail(250).await;
    let ended = place.run(&["dead", "retry", "--all", "--why", "all", "--json"]).json();
    assert_eq!(ended["redriven"], 250);
    let mut messages = place.messages().await;
    assert_eq!(messages.len(), 250);
    messages.dedup();
    assert_eq!(messages.len(), 250);
    assert_eq!(place.listed(&[]), [0; 0]);
}
