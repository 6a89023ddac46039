//! What the commands say of who decided and of what was done is so in every situation.

use std::process::Command;

use serde_json::json;

use crate::dead_letters::place::{Ended, Place};
use crate::support::postgres::TestDatabase;
use crate::support::worker::binary;

/// Without any variable that could say who decides.
fn nameless(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.env_remove("LOGNAME").env_remove("USER");
    command
}

fn by(place: &Place, letter: &str) -> String {
    place.run(&["dead", "show", letter, "--json"]).json()["resolved_by"].as_str().unwrap().to_owned()
}

/// Caught on the code before: "unknown".
#[tokio::test]
async fn where_no_variable_has_a_login_name_user_id_and_host_are_recorded() {
    let place = Place::new();
    place.fail(4).await;
    let discard = |letter: &'static str| ["dead", "discard", letter, "--why", "x"];
    assert_eq!(Ended::of(nameless(&place, &discard("1"))).code, Some(0));
    let recorded = by(&place, "1");
    let (user, host) = recorded.split_once('@').expect("user and host");
    assert!(user.parse::<u32>().is_ok() && !host.is_empty(), "{recorded}");

    let by_anna = [&discard("2")[..], &["--actor", "anna"]].concat();
    assert_eq!(Ended::of(nameless(&place, &by_anna)).code, Some(0));
    assert_eq!(by(&place, "2"), "anna");

    for (letter, user, expected) in [("3", "", recorded.as_str()), ("4", "bert", "bert")] {
        let mut command = nameless(&place, &discard(letter));
        command.env("USER", user);
        assert_eq!(Ended::of(command).code, Some(0));
        assert_eq!(by(&place, letter), expected);
    }
}

#[tokio::test]
async fn a_summary_names_what_was_done_and_nothing_that_was_not() {
    let place = Place::new();
    place.fail(2).await;
    place.bury(b"{").await;
    let run = |arguments: &[&str]| place.run(&[&["dead"], arguments].concat());
    assert_eq!(run(&["retry", "--order", "77", "--why", "x"]).stdout, "no dead letter matches: nothing to do\n");
    let missing = run(&["retry", "77", "--why", "x"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), "nothing done\n"), "{missing:?}");
    assert_eq!(missing.stderr, "error: no such dead letter: 77\n");
    assert_eq!(run(&["retry", "3", "--why", "x"]).stdout, "1 message pushed\n");
    assert_eq!(run(&["discard", "1", "3", "--why", "x"]).stdout, "1 dead letter discarded, 1 skipped\n");
}

/// Caught on the code before: "0 orders moved to pending, 0 skipped" beside the error, and with --json nothing at all.
#[tokio::test]
async fn after_an_error_a_command_says_that_nothing_is_known_to_be_done_and_prints_its_json() {
    let database = TestDatabase::create().await;
    let mut migrate = binary(&["migrate", "--store", database.url()]);
    assert!(migrate.status().expect("the binary starts").success());
    let letter = "INSERT INTO fulfillment.dead_letters (claim_id, payload, reason, detail, attempts, worker, at)
                  VALUES ('x', '', 'invalid_message', '', 1, 'w', now()::timestamp)";
    database.query(letter, &[]).await;
    let refuse = "ALTER TABLE fulfillment.dead_letters ADD CONSTRAINT no_decisions_today CHECK (resolved_at IS NULL)";
    database.query(refuse, &[]).await;
    let discard = |more: &[&str]| {
        let arguments = [&["dead", "discard", "1", "--why", "x", "--store", database.url()], more].concat();
        Ended::of(binary(&arguments))
    };
    let failed = discard(&[]);
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{failed:?}");
    assert!(failed.stderr.contains("no_decisions_today"), "{failed:?}");
    assert!(failed.stderr.ends_with("; nothing is known to be done\n"), "{failed:?}");
    let failed = discard(&["--json"]);
    assert_eq!(failed.code, Some(1));
    let counts = failed.json_in_any_case();
    assert_eq!(json!([counts["discarded"], counts["skipped"], counts["refused"]]), json!([0, 0, 0]));
}
