//! The worker as a library: the example with a fulfiller of its own, run as a program.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::process::{Process, Signal};
use crate::support::worker::{binary, test_data};
use crate::support::{LONG, eventually, expect_equal, free_port, http};

/// `cargo test` builds the examples beside the binary.
fn example(name: &str) -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_fulfillment-worker")).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is missing; run: cargo build --examples", path.display());
    Command::new(path)
}

#[tokio::test]
async fn a_fulfiller_of_ones_own_does_the_work_of_the_embedded_worker() {
    let folder = tempfile::tempdir().unwrap();
    let slips = folder.path().join("slips");
    let database = format!("sqlite:{}", folder.path().join("orders.db").display());
    let all = std::fs::read_to_string(test_data("online-retail-2010-12-01.csv")).unwrap();
    let orders = folder.path().join("orders.csv");
    std::fs::write(&orders, all.lines().take(26).collect::<Vec<_>>().join("\n")).unwrap();
    let mut arguments = vec!["submit", "--queue", &database, "--store", &database, orders.to_str().unwrap()];
    arguments.extend(["--column", "product=Description", "--column", "quantity=Quantity"]);
    let submitted = binary(&arguments).output().unwrap();
    assert!(submitted.status.success(), "{submitted:?}");

    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = example("custom_fulfiller");
    command.arg(&slips).env_clear().current_dir(folder.path());
    command.env("FULFILLMENT_STORE", &database).env("FULFILLMENT_QUEUE", &database);
    command.env("FULFILLMENT_LISTEN", address.to_string());
    let mut worker = Process::start("custom_fulfiller", command, folder.path().join("output.log"));
    eventually(LONG, "a metric that counts the orders", async || {
        let metrics = http::get(address, "/metrics", &[]).map_err(|error| error.to_string())?.text();
        let done = metrics.lines().find(|line| line.starts_with("orders_processed_total{status=\"success\"}"));
        expect_equal(done, Some("orders_processed_total{status=\"success\"} 25"))
    })
    .await;
    let mut names: Vec<_> =
        std::fs::read_dir(&slips).unwrap().map(|slip| slip.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 25);
    assert!(names[0].starts_with("order-1-") && names[0].ends_with(".txt"), "{names:?}");
    let text = std::fs::read_to_string(slips.join(&names[0])).unwrap();
    assert_eq!(text, "order 1: 6 x WHITE HANGING HEART T-LIGHT HOLDER\n");

    worker.signal(Signal::Term);
    assert!(worker.ended(LONG).await.success());
}
