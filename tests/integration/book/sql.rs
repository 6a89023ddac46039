//! SQL of the pages, as whoever owns the database runs it.

use std::fs;
use std::process::Command;

use crate::support::orders::{insert, place};
use crate::support::pages::{Block, Page, Shell};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::roles::ServersWithRoles;
use crate::support::worker::run_to_end;

/// What `psql` says of a block, whose statements it runs one by one.
pub(super) fn psql(shell: &Shell, url: &str, block: &Block) -> String {
    fs::write(shell.path("block.sql"), block.text()).expect("a file");
    let mut command = Command::new("psql");
    command.args([
        "--no-psqlrc",
        "--no-align",
        "--tuples-only",
        "--set",
        "ON_ERROR_STOP=1",
        "--file",
        "block.sql",
        url,
    ]);
    let output = command.current_dir(shell.folder()).output().expect("psql");
    assert!(output.status.success(), "{output:?}\n{}", block.text());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_sql_of_the_pages_runs_as_it_stands_there() {
    let mut postgres = Page::of("docs/POSTGRES.md", "the_sql_of_the_pages_runs_as_it_stands_there");
    let mut tuning = Page::of("docs/TUNING.md", "the_sql_of_the_pages_runs_as_it_stands_there");
    let mut observability = Page::of("docs/OBSERVABILITY.md", "the_sql_of_the_pages_runs_as_it_stands_there");
    let (servers, shell) = (ServersWithRoles::start().await, Shell::new());
    let owner = servers.owners_url();
    let migrated = run_to_end(&["migrate", "--store", &owner, "--grant-to", "fulfillment_worker"]);
    assert!(migrated.status.success(), "{migrated:?}");

    let [deletes, keys, intake] = [postgres.next(), postgres.next(), postgres.next()];
    for grants in [deletes, keys, intake] {
        psql(&shell, &owner, &grants);
    }
    // A small table has them.
    let client = crate::support::postgres::connect(&owner).await;
    let without = "DROP INDEX fulfillment.events_at, fulfillment.events_correlation_id";
    client.batch_execute(without).await.expect("the indexes of a small table");
    psql(&shell, &owner, &postgres.next());
    psql(&shell, &owner, &postgres.next());
    psql(&shell, &owner, &tuning.next());
    psql(&shell, &owner, &observability.next());
}

/// Caught, when seeded: a sequence that stays where it is, so that the order API meets the id of an order that came back.
#[tokio::test]
async fn what_was_shipped_and_lost_comes_back_as_the_page_says() {
    let mut page = Page::of("docs/FAILOVER.md", "what_was_shipped_and_lost_comes_back_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let shell = Shell::with_servers(&redis, &database);
    place(&database, &redis, 3).await;
    let key = "SELECT 'order-1-' || (extract(epoch FROM created_at) * 1000000)::bigint FROM orders WHERE id = 1";
    let there: String = database.query(key, &[]).await[0].get(0);
    let lost = "order-100-1790000000000000";
    fs::write(shell.path("shipped.txt"), format!("{there}\n{lost}\n")).expect("the warehouse's list");

    let without_row = page.next();
    assert!(psql(&shell, database.url(), &without_row).lines().any(|line| line == lost));
    psql(&shell, database.url(), &page.next());
    psql(&shell, database.url(), &page.next().with("(100, 7, 2", "(100, 1, 2"));

    let said = psql(&shell, database.url(), &without_row);
    assert!(!said.contains("order-"), "rows for all that was shipped: {said}");
    let next = insert(&database, 1).await[0];
    assert!(next > 100, "{next} has been somebody's");
}
