//! What operators decide, about workers, orders and dead letters.

use crate::support::orders::insert;
use crate::support::pages::{Page, Shell};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

/// Letters with the ids 1 to 20, each of the order of its id, which failed.
const LETTERS: &str = "
    INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
    SELECT 'claim-' || id, id, convert_to(json_build_object('order_id', id, 'product_id', 1, 'quantity', 1)::text, 'UTF8'),
           CASE WHEN id % 2 = 0 THEN 'rejected' ELSE 'attempts_exhausted' END,
           '422: no colour ''green'' for order ' || id, 1, 'web-3-1f9a', now()::timestamp
    FROM orders ORDER BY id";

/// As if nobody had decided yet.
const UNDECIDED: &str = "
    WITH failed AS (UPDATE orders SET status = 'failed', updated_at = now())
    UPDATE fulfillment.dead_letters SET resolved_at = NULL, resolution = NULL, resolved_by = NULL, resolved_reason = NULL";

#[tokio::test]
async fn operators_set_controls_and_decide_about_orders_as_the_page_says() {
    let mut page = Page::of("docs/CONTROLS.md", "operators_set_controls_and_decide_about_orders_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    let shell = Shell::with_servers(&redis, &database);
    let name: String = eventually(LONG, "the worker is in the registry", async || {
        let rows = database.query("SELECT worker FROM fulfillment.workers", &[]).await;
        rows.first().map(|row| row.get(0)).ok_or("nobody is")
    })
    .await;

    let said = shell.run(&page.next().with("web-3-1f9a", &name));
    assert!(said.contains(&name) && said.contains("they asked for less") && said.contains("a try"), "{said}");
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.controls").await, 3);
    drop(worker);

    insert(&database, 10).await;
    database.query("INSERT INTO products (id, name, price) VALUES (85123, 'WHITE HANGING HEART', 2.55)", &[]).await;
    database.query("INSERT INTO orders (product_id, quantity) VALUES (85123, 1)", &[]).await;
    let said = shell.run(&page.next());
    assert!(said.contains("not in stock") && said.contains("1 order would be held"), "{said}");
}

#[tokio::test]
async fn dead_letters_are_looked_at_and_decided_about_as_the_page_says() {
    let mut page = Page::of("docs/DEAD_LETTERS.md", "dead_letters_are_looked_at_and_decided_about_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let shell = Shell::with_servers(&redis, &database);
    drop(WorkerProcess::ready(&redis.url(), database.url(), &[]).await);
    insert(&database, 20).await;
    database.query(LETTERS, &[]).await;
    database.query(UNDECIDED, &[]).await;
    let decided = "SELECT count(*) FROM fulfillment.dead_letters WHERE resolution = 'retried'";

    let said = shell.run(&page.next());
    assert!(said.contains("422: no colour 'green' for order 7"), "{said}");

    let said = shell.run(&page.next());
    assert!(said.contains("422: no colour '…' for order #"), "{said}");
    assert_eq!(database.number(decided).await, 10, "{said}");

    for retry in page.next().commands() {
        database.query(UNDECIDED, &[]).await;
        shell.run(&retry);
    }
    assert_eq!(database.number(decided).await, 20);

    database.query(UNDECIDED, &[]).await;
    database.query("ALTER SEQUENCE fulfillment.jobs_id_seq RESTART WITH 7", &[]).await;
    let commands = page.next().commands();
    let [dry, detached, list, cancel, run] = commands.as_slice() else { panic!("other commands: {commands:?}") };
    for command in [dry, detached, list, cancel] {
        shell.run(command);
    }
    shell.run(detached);
    shell.run(&run.clone().with("7", "8"));
    assert_eq!(database.number(decided).await, 20);

    database.query(UNDECIDED, &[]).await;
    shell.run(&page.next());
    assert_eq!(
        database.number("SELECT count(*) FROM fulfillment.dead_letters WHERE resolution = 'discarded'").await,
        1
    );
}
