//! `submit` through a worker.

use std::path::Path;

use serde_json::Value;

use super::{Ran, Served, run, without_numbers};
use crate::support::process::Process;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually};

/// CSV of so many orders, each with a number of its own.
fn csv(folder: &Path, orders: usize) -> String {
    let lines: String = (0..orders).map(|number| format!("CUP,2,c-{number},{number}\n")).collect();
    let file = folder.join("orders.csv");
    std::fs::write(&file, format!("product,quantity,correlation_id,number\n{lines}")).expect("a file");
    file.display().to_string()
}

/// Orders in the store.
fn orders(store: &str) -> u64 {
    let (_, shown, said) = run(&["status", "--json", "--store", store, "--queue", store]);
    let status: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}{said}"));
    status["orders"].as_object().expect("orders").values().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn on_servers_orders_are_submitted_as_on_the_store() {
    submitted(Served::by_servers(&[]).await).await;
}

#[tokio::test]
async fn embedded_orders_are_submitted_as_on_the_store() {
    submitted(Served::embedded(&[]).await).await;
}

async fn submitted(served: Served) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = csv(folder.path(), 1_200);
    let first = |(code, shown, said): Ran| (code, without_numbers(shown.lines().next().unwrap_or_default()), said);
    let both = |more: &[&str]| {
        let submit = [&["submit", &file], more].concat();
        let (on_stores, by_server) = (first(served.on_stores(&submit)), first(served.on_server("bob", &submit)));
        assert_eq!(by_server, on_stores, "{more:?}");
        by_server
    };
    assert_eq!(both(&[]).1, "submitted # orders (# product, ids # to #)");
    assert_eq!(both(&["--dry-run", "--json"]).0, Some(0));
    // By the keys of either way, each is in once.
    let by_number = ["submit", &file, "--dedupe-column", "number"];
    let (code, shown, said) = served.on_server("bob", &by_number);
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.starts_with("submitted 1200 orders"), "{shown}");
    for again in [served.on_stores(&by_number), served.on_server("bob", &by_number)] {
        assert_eq!(again.0, Some(0), "{}", again.2);
        assert!(
            again.1.starts_with("submitted 0 orders (0 products, 1200 skipped as submitted before)"),
            "{}",
            again.1
        );
    }
    let (code, _, said) = served.on_server("ann", &by_number);
    assert_eq!((code, said.contains("submitted 0 of 1200 orders")), (Some(1), true), "{said}");
}

#[tokio::test]
async fn a_key_belongs_to_one_submission_and_is_for_a_server() {
    let served = Served::embedded(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = csv(folder.path(), 10);
    let with_key = ["submit", &file, "--idempotency-key", "monday"];
    let (code, shown, said) = served.on_server("bob", &with_key);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(served.on_server("bob", &with_key), (code, shown, said));
    assert_eq!(orders(&served.store), 10);
    let other = csv(folder.path(), 11);
    let (code, _, said) = served.on_server("bob", &["submit", &other, "--idempotency-key", "monday"]);
    assert_eq!((code, said.contains("names another request")), (Some(1), true), "{said}");
    let (code, _, said) = served.on_stores(&with_key);
    assert_eq!((code, said.contains("--idempotency-key: is for --server")), (Some(2), true), "{said}");
}

/// Its worker is killed and started again meanwhile. Caught, when seeded: a key of each attempt's own.
#[tokio::test]
async fn a_submission_outlives_its_worker_and_puts_each_order_in_once() {
    let files = tempfile::tempdir().expect("a folder");
    let (url, socket) = (format!("sqlite:{}", files.path().join("w.db").display()), files.path().join("admin.sock"));
    let socket = socket.display().to_string();
    let start =
        async || WorkerProcess::ready(&url, &url, &["--admin-socket", &socket, "--simulate-latency", "0"]).await;
    let mut worker = start().await;
    let (file, server) = (csv(files.path(), 20_000), format!("unix:{socket}"));
    let submit = binary(&["submit", &file, "--server", &server, "--wait", "2m"]);
    let mut submitting = Process::start("submit", submit, files.path().join("submit.log"));
    for part in [2_000, 9_000] {
        let begun = async || match orders(&url) {
            some if some >= part => Ok(()),
            few => Err(format!("{few} orders")),
        };
        eventually(LONG, "some orders are in", begun).await;
        assert!(submitting.status().is_none(), "it has ended before: {}", submitting.output());
        worker.kill().await;
        worker = start().await;
    }
    let code = submitting.ended(LONG).await.code();
    assert_eq!(code, Some(0), "{}", submitting.output());
    assert!(submitting.output().contains("submitted 20000 orders"), "{}", submitting.output());
    assert_eq!(orders(&url), 20_000);
}

/// One whose worker stays away. Caught, when seeded: a key of each attempt's own.
#[tokio::test]
async fn on_servers_a_submission_that_broke_off_goes_on_by_its_key() {
    let mut served = Served::by_servers(&["--admin-socket", "admin.sock"]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = csv(folder.path(), 20_000);
    let url = served.url("bob");
    let submit = binary(&["submit", &file, "--server", &url, "--wait", "1s"]);
    let mut submitting = Process::start("submit", submit, folder.path().join("submit.log"));
    let count = async || served.servers.as_ref().expect("servers").1.number("SELECT count(*) FROM orders").await;
    let begun = async || match count().await {
        some if some >= 2_000 => Ok(()),
        few => Err(format!("{few} orders")),
    };
    eventually(LONG, "some orders are in", begun).await;
    served.worker.kill().await;
    let code = submitting.ended(LONG).await.code();
    let said = submitting.output();
    assert_eq!((code, said.contains("submitted 20000")), (Some(1), false), "{said}");
    let (_, key) = said.split_once("submit again with --idempotency-key ").expect("advice");
    let key = key.split(':').next().expect("a key");
    let (queue, web_config) = (served.queue(), served.folder.file("web.yml"));
    let options = ["--web-config", &web_config, "--operators", "bob", "--simulate-latency", "0"];
    served.worker = WorkerProcess::ready(&queue, &served.store, &options).await;
    let (code, shown, said) = served.on_server("bob", &["submit", &file, "--idempotency-key", key]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.starts_with("submitted 20000 orders"), "{shown}");
    let database = &served.servers.as_ref().expect("servers").1;
    assert_eq!(database.number("SELECT count(*) FROM orders").await, 20_000);
}
