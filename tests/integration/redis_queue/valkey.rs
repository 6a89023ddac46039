//! Valkey instead of Redis: the same tests, on servers of the other kind. What every queue promises is run against it in
//! `tests/integration/conformance`.

use std::process::Command;

/// What is worth another run: all that a server decides, a failover, a moving slot, and the rights.
const TESTS: [&str; 7] = [
    "redis_queue::access::",
    "redis_queue::configuration::",
    "redis_queue::keys::",
    "redis_queue::lost_answers::",
    "redis_queue::scripts::",
    "redis_queue::sentinel::when_the_primary_is_killed_claims_and_settlements_go_on_at_the_replica",
    "redis_queue::cluster::everything_is_delivered_once_while_the_slot_moves_to_another_node_and_back_and_there_again",
];

#[test]
fn what_holds_on_redis_holds_on_valkey() {
    let server = std::env::var_os("TEST_VALKEY_SERVER").expect(
        "TEST_VALKEY_SERVER is not set: run the tests by `make test`, or `scripts/install-python.sh` and then \
         `scripts/with-servers.sh cargo test`",
    );
    let version = Command::new(&server).arg("--version").output().expect("a Valkey that can be asked");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("Valkey server"), "{version:?}");
    let run = |arguments: &[&str]| {
        let output = Command::new(std::env::current_exe().expect("this test"))
            // They mostly wait.
            .args(["--test-threads", "8"])
            .args(arguments)
            .args(TESTS)
            .env("TEST_REDIS_SERVER", &server)
            .output()
            .expect("this test as a process of its own");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, listed) = run(&["--list"]);
    for test in TESTS {
        assert!(listed.contains(test), "there is no test `{test}` any more");
    }
    let (passed, shown) = run(&[]);
    assert!(passed, "{shown}");
}
