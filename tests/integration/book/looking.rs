//! What somebody who is woken up types, and what a program asks.

use std::fs;

use serde_json::Value;

use super::first_steps::{listening, says};
use crate::access::{Folder, curl, users};
use crate::support::orders::{insert, place};
use crate::support::pages::{Page, Shell};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

#[tokio::test]
async fn the_first_look_at_night_is_what_the_runbook_says() {
    let mut page = Page::of("docs/RUNBOOK.md", "the_first_look_at_night_is_what_the_runbook_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    let shell = Shell::with_servers(&redis, &database);
    let commands = page.next().commands();
    let [status, ready, verify, doctor] = commands.as_slice() else { panic!("other commands: {commands:?}") };

    let mut watching = shell.start(status);
    says(&mut watching, "dead letters").await;
    let said = shell.run(&ready.clone().with("worker:2112", &worker.address().to_string()));
    for check in ["queue", "store", "fulfiller", "progress", "accepts_work", "clocks", "controls"] {
        assert!(said.contains(&format!("\"{check}\"")), "no {check}: {said}");
    }
    assert!(shell.run(verify).contains("Every order is accounted for."));
    assert!(shell.run_with_code(doctor, 1).contains("Postgres"), "no Postgres");
}

#[tokio::test]
async fn the_servers_are_examined_as_the_page_says() {
    let mut page = Page::of("docs/TUNING.md", "the_servers_are_examined_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    place(&database, &redis, 20).await;
    let shell = Shell::with_servers(&redis, &database);
    let commands = page.next().commands();
    let [short, longer, for_programs] = commands.as_slice() else { panic!("other commands: {commands:?}") };

    // The tests' servers don't wait for a disk, which is warned of.
    shell.run_with_code(short, 1);
    shell.run_with_code(&longer.clone().with("60s", "1s"), 1);
    assert!(shell.run_with_code(for_programs, 1).contains("fsync"), "no warning of fsync");
}

/// Certificates beside the shell's files, as the page names them, for a worker on this machine, and a curl that takes them.
fn certificates(shell: &Shell) {
    let made = Folder::with_certificates("");
    for (from, to) in [("server.crt", "worker.crt"), ("server.key", "worker.key"), ("ca.crt", "ca.crt")] {
        fs::copy(made.path(from), shell.path(to)).expect("a certificate");
    }
    fs::write(shell.path(".curlrc"), "cacert = ca.crt\nfail-with-body\nsilent\nnoproxy = *\n").expect("curl's file");
}

async fn listens(address: &str) {
    eventually(LONG, "the worker listens", async || std::net::TcpStream::connect(address).map(drop)).await;
}

#[tokio::test]
async fn a_worker_is_watched_as_the_page_says() {
    let mut page = Page::of("docs/OBSERVABILITY.md", "a_worker_is_watched_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut shell = Shell::with_servers(&redis, &database);
    let address = listening(&mut shell);
    certificates(&shell);
    shell.set("FULFILLMENT_ADMIN_SOCKET", &shell.path("admin.sock").display().to_string());
    fs::write(shell.path("web.yml"), page.next().text()).expect("the page's file");

    let _worker = shell.start(&page.next());
    listens(&address).await;

    let said = shell.run(&page.next());
    assert!(said.contains("info,fulfillment_worker=debug"), "{said}");
}

#[tokio::test]
async fn requests_of_the_api_page_are_answered() {
    let mut page = Page::of("docs/API.md", "requests_of_the_api_page_are_answered");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut shell = Shell::with_servers(&redis, &database);
    let address = listening(&mut shell);
    certificates(&shell);
    let tls = "tls_server_config:\n  cert_file: worker.crt\n  key_file: worker.key\n";
    fs::write(shell.path("web.yml"), format!("{tls}{}", users(&["ann", "bob"]))).expect("users");
    fs::write(shell.path("orders.jsonl"), "{\"product\": \"Cup\", \"quantity\": 3}\n").expect("orders");
    let (worker_at, authority) = (address.parse().expect("an address"), shell.path("ca.crt").display().to_string());
    let socket = shell.path("admin.sock").display().to_string();
    shell.set("FULFILLMENT_ADMIN_SOCKET", &socket);
    insert(&database, 10).await;
    database.query("SELECT setval('products_id_seq', 100)", &[]).await;
    shell.set("FULFILLMENT_SERVER_CA", "ca.crt");
    let options = ["--web-config", "web.yml", "--operators", "bob", "--concurrency", "1"];
    let _worker = shell.worker(&options);
    eventually(LONG, "the worker is ready", async || {
        let asked = curl("https", worker_at, "/readyz", &["--cacert", &authority]);
        if asked.status == 200 { Ok(()) } else { Err(asked.text + &asked.error) }
    })
    .await;

    let requests = page
        .next()
        .with("worker:2112", &address)
        .with("-u ann ", "-u \"ann:ann's\" ")
        .with("-u bob ", "-u \"bob:bob's\" ");
    let requests = requests.with("/run/fulfillment/admin.sock", &socket);
    let said: Vec<String> = requests.commands().iter().map(|request| shell.run(request)).collect();
    let answers: Vec<Value> = said.iter().map(|text| serde_json::from_str(text).expect(text)).collect();
    let [list, order, held, paused, taken] = answers.as_slice() else { panic!("other requests: {answers:?}") };
    assert!(list["orders"].is_array() && list["next_cursor"].is_null(), "{list}");
    assert_eq!(order["order_id"], 7, "{order}");
    assert_eq!(held["version"], 1, "{held}");
    assert!(paused["version"].is_number() && taken["version"].is_number(), "{paused} {taken}");

    let job = shell.run(&page.next().with("worker:2112", &address).with("-u bob ", "-u \"bob:bob's\" "));
    assert!(job.contains("\"matching\""), "{job}");

    fs::write(shell.path("server"), format!("https://bob:bob%27s@{address}")).expect("a URL");
    let commands = page.next().with("ann:PASSWORD@worker:2112", &format!("ann:ann%27s@{address}"));
    let commands = commands.with("/run/secrets/server", "server").with("/run/fulfillment/admin.sock", &socket);
    shell.run(&commands);
}
