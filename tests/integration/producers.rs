//! The examples of docs/PRODUCERS.md and README.md as they stand there: each places an order on real servers, and the real
//! worker fulfils it. Those in languages that the tests don't need otherwise are run by scripts/check-producers.sh, which
//! installs these: `make test-more`.

use std::path::PathBuf;
use std::process::Command;

use crate::support::orders::all_fulfilled_once;
use crate::support::pages::Page;
use crate::support::postgres::TestDatabase;
use crate::support::python::python;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;

const PRODUCT: &str = "INSERT INTO products (name, price) VALUES ('REGENCY CAKESTAND 3 TIER', 12.75)";

/// Runs `command` as a producer with nothing but the two URLs, and waits until the one order that it placed is fulfilled.
async fn is_fulfilled(mut command: Command, correlation_id: Option<&str>) {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    database.query(PRODUCT, &[]).await;

    let placed = command.env("DATABASE_URL", database.url()).env("REDIS_URL", redis.url()).output().expect("it starts");

    assert!(placed.status.success(), "{}", String::from_utf8_lossy(&placed.stderr));
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(database.number("SELECT count(*) FROM orders WHERE quantity = 2").await, 1);
    // From the message, which no row keeps: the reconciler was not needed.
    let sent = "SELECT correlation_id FROM fulfillment.timeline WHERE state = 'fulfilled'";
    assert_eq!(database.query(sent, &[]).await[0].get::<_, Option<&str>>(0), correlation_id);
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]);
    command
}

/// A program in a file of the folder that scripts/check-producers.sh made, where the libraries of its language are.
fn program(run: &str, file: &str, page: &mut Page) -> Command {
    let folder = std::env::var_os("TEST_PRODUCERS").map(PathBuf::from);
    let folder = folder.expect("TEST_PRODUCERS names the folder; run scripts/check-producers.sh");
    std::fs::write(folder.join(file), page.next().text()).expect("a file");
    let mut command = shell(run);
    command.current_dir(folder);
    command
}

/// Caught, when seeded: a message with the id alone.
#[tokio::test]
async fn the_order_of_the_shell_example_is_fulfilled() {
    let mut page = Page::of("docs/PRODUCERS.md", "the_order_of_the_shell_example_is_fulfilled");
    is_fulfilled(shell(page.next().text()), Some("basket-77")).await;
}

#[tokio::test]
async fn the_order_of_the_python_example_is_fulfilled() {
    let mut page = Page::of("docs/PRODUCERS.md", "the_order_of_the_python_example_is_fulfilled");
    let mut command = python();
    command.args(["-c", page.next().text()]);
    is_fulfilled(command, Some("basket-78")).await;
}

#[tokio::test]
async fn the_order_of_the_readme_is_fulfilled() {
    let mut page = Page::of("README.md", "the_order_of_the_readme_is_fulfilled");
    is_fulfilled(shell(page.next().text()), None).await;
}

#[tokio::test]
#[ignore = "scripts/check-producers.sh installs Node and runs it"]
async fn the_order_of_the_node_example_is_fulfilled() {
    let mut page = Page::of("docs/PRODUCERS.md", "the_order_of_the_node_example_is_fulfilled");
    is_fulfilled(program("node place.mjs", "place.mjs", &mut page), Some("basket-80")).await;
}

#[tokio::test]
#[ignore = "scripts/check-producers.sh installs Go and runs it"]
async fn the_order_of_the_go_example_is_fulfilled() {
    let mut page = Page::of("docs/PRODUCERS.md", "the_order_of_the_go_example_is_fulfilled");
    // Debian's libraries are found without modules.
    let run = "GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$PWD/go DATABASE_URL=$DATABASE_URL?sslmode=disable go run place.go";
    is_fulfilled(program(run, "place.go", &mut page), Some("basket-79")).await;
}

#[tokio::test]
#[ignore = "scripts/check-producers.sh installs PHP and runs it"]
async fn the_order_of_the_php_example_is_fulfilled() {
    let mut page = Page::of("docs/PRODUCERS.md", "the_order_of_the_php_example_is_fulfilled");
    is_fulfilled(program("php place.php", "place.php", &mut page), Some("basket-81")).await;
}

#[tokio::test]
#[ignore = "scripts/check-producers.sh installs Ruby and runs it"]
async fn the_order_of_the_ruby_example_is_fulfilled() {
    let mut page = Page::of("docs/PRODUCERS.md", "the_order_of_the_ruby_example_is_fulfilled");
    is_fulfilled(program("ruby place.rb", "place.rb", &mut page), Some("basket-82")).await;
}
