//! The description of the API, and whether the worker keeps to it.

use serde_json::json;

use super::Served;
use crate::support::python::python;

/// Caught, when seeded: a number that is described as text.
#[tokio::test]
async fn on_servers_it_keeps_to_its_description() {
    keeps_to_its_description(Served::by_servers(&["--simulate-failures", "0.5", "--max-attempts", "1"]).await);
}

#[tokio::test]
async fn embedded_it_keeps_to_its_description() {
    keeps_to_its_description(Served::embedded(&["--simulate-failures", "0.5", "--max-attempts", "1"]).await);
}

fn keeps_to_its_description(served: Served) {
    served.put_in(100);
    let worker = served.read("/workers")["workers"][0]["worker"].clone();
    served.decide("/limits/rate", &json!({"value": 1000, "why": "something to list", "worker": worker}));
    let address = served.worker.address();
    let description = served.ask("ann", "GET", "/openapi.json", &[], "");
    served.folder.write("openapi.json", &description.text());
    let output = python()
        .args([
            "-m",
            "schemathesis.cli",
            "run",
            &served.folder.file("openapi.json"),
            "--url",
            &format!("http://{address}"),
        ])
        .args(["--auth", "bob:bob's", "--seed", "1", "--max-examples", "30", "--no-color"])
        // It guesses passwords, after which its address has to wait: `access.rs` asks without a login.
        .args(["--exclude-checks", "ignored_auth"])
        .env("SCHEMATHESIS_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/api.py"))
        // It leaves files of its own.
        .current_dir(served.folder.path(""))
        .output()
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse::<u32>().ok());
    assert!(cases >= Some(1_000), "hardly tested: {said}");
    assert!(!said.contains("Unresolvable"), "something could not be tested: {said}");
    println!("{cases:?} cases");
}
