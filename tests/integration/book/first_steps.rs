//! A worker is started, and gets orders, as the pages say.

use std::fs;

use crate::support::orders::{all_fulfilled_once, place};
use crate::support::pages::{Page, Shell};
use crate::support::postgres::TestDatabase;
use crate::support::process::Process;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::warehouse::WarehouseProcess;
use crate::support::{LONG, eventually, free_port};
use crate::tracing::collector::{Collector, Mood};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Lets the workers of a shell listen on a port that is free.
pub(super) fn listening(shell: &mut Shell) -> String {
    let address = format!("127.0.0.1:{}", free_port());
    shell.set("FULFILLMENT_LISTEN", &address);
    address
}

/// Waits until it says this; fails at once if it ends before.
pub(super) async fn says(process: &mut Process, text: &str) {
    eventually(LONG, text, async || {
        let said = process.output();
        assert!(said.contains(text) || process.status().is_none(), "it has ended: {said}");
        if said.contains(text) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn the_readme_runs_a_worker() {
    let mut page = Page::of("README.md", "the_readme_runs_a_worker");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&["--secret", SECRET]).await;
    let mut shell = Shell::new();
    listening(&mut shell);
    fs::write(shell.path("warehouse"), SECRET).expect("a secret");
    let block = page.next().with("redis://localhost:6379", &redis.url());
    let block = block.with("postgres://orders@localhost/orders", database.url());
    let block = block.with("https://warehouse.example", &format!("http://{}", warehouse.address()));
    let block = block.with("/run/secrets/warehouse", "warehouse");

    place(&database, &redis, 3).await;
    let mut worker = shell.start(&block);

    says(&mut worker, "starting").await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(warehouse.stats()["effects"], 3, "{}", warehouse.stats());
}

#[tokio::test]
async fn orders_are_submitted_from_a_file_as_the_page_says() {
    let mut page = Page::of("docs/MESSAGE.md", "orders_are_submitted_from_a_file_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let shell = Shell::with_servers(&redis, &database);
    fs::write(shell.path("orders.csv"), "InvoiceNo,Description,Quantity\n536365,CREAM CUPID HEARTS,6\n")
        .expect("a file");

    let said = shell.run(&page.next());

    assert!(said.starts_with("submitted 1 order (1 product, id 1)"), "{said}");
    assert_eq!(redis.keys(), [QUEUE_KEY]);
}

/// On several threads, as the collector has to answer while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_sent_as_the_page_says() {
    let mut page = Page::of("docs/TRACING.md", "spans_are_sent_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let collector = Collector::start(Mood::Takes).await;
    let mut shell = Shell::with_servers(&redis, &database);
    listening(&mut shell);
    shell.set("FULFILLMENT_SIMULATE_LATENCY", "0");

    place(&database, &redis, 1).await;
    let _worker = shell.start(&page.next().with("localhost:4318", &collector.http.to_string()));

    eventually(LONG, "a span of the attempt", async || {
        let names: Vec<String> = collector.spans().iter().map(|received| received.span.name.clone()).collect();
        if names.iter().any(|name| name == "process fulfillment_queue") { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_warehouse_is_called_as_the_page_says() {
    let mut page = Page::of("docs/WAREHOUSE.md", "a_warehouse_is_called_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut shell = Shell::with_servers(&redis, &database);
    listening(&mut shell);
    fs::write(shell.path("secret"), SECRET).expect("a secret");
    fs::write(shell.path("token"), "not-for-everybody").expect("a token");

    let warehouse = WarehouseProcess::start(&["--secret", SECRET]).await;
    let signed = page.next().with("/run/secrets/warehouse", "secret");
    let worker = shell.start(&signed.with("https://warehouse.example", &format!("http://{}", warehouse.address())));
    place(&database, &redis, 3).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(warehouse.stats()["effects"], 3, "{}", warehouse.stats());
    drop(worker);

    let commands = page.next().commands();
    let [cuts, wants_token, run] = commands.as_slice() else { panic!("other commands: {commands:?}") };
    let address = format!("127.0.0.1:{}", free_port());
    let mut reference = shell.start(&cuts.clone().with("warehouse ", &format!("warehouse --listen {address} ")));
    says(&mut reference, "/shipments").await;
    let _worker = shell.start(&run.clone().with("127.0.0.1:8080", &address));
    place(&database, &redis, 3).await;
    all_fulfilled_once(&database, &redis).await;

    let mut closed = shell.start(&wants_token.clone().with("warehouse ", "warehouse --listen 127.0.0.1:0 "));
    says(&mut closed, "/shipments").await;
}
