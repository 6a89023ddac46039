//! Valkey instead of Redis: these same tests, on servers of the other kind.

use std::process::Command;

/// Runs tests of this binary with other servers, all whose names begin so.
fn on_valkey(names: &[&str]) {
    let server = std::env::var_os("TEST_VALKEY_SERVER").expect(
        "TEST_VALKEY_SERVER is not set: run the tests by `make test`, or `scripts/install-python.sh` and then \
         `scripts/with-servers.sh cargo test`",
    );
    let version = Command::new(&server).arg("--version").output().expect("a Valkey that can be asked");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("Valkey server"), "{version:?}");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(names)
        .env("TEST_REDIS_SERVER", server)
        .output()
        .expect("this test as a process of its own");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !shown.contains(" 0 passed"), "{shown}");
}

#[test]
fn keys_scripts_lost_answers_and_wrong_configurations_are_the_same_on_valkey() {
    on_valkey(&["keys::", "scripts::", "lost_answers::", "configuration::"]);
}

#[test]
fn outages_of_a_valkey_are_survived() {
    on_valkey(&["outages::"]);
}

#[test]
fn sentinels_and_clusters_of_valkey_are_followed() {
    on_valkey(&[
        "sentinel::when_the_primary_is_killed_claims_and_settlements_go_on_at_the_replica",
        "cluster::everything_is_delivered_once_while_the_slot_moves_to_another_node_and_back_and_there_again",
    ]);
}

#[test]
fn the_documented_user_is_denied_nothing_by_valkey() {
    on_valkey(&["access::"]);
}
