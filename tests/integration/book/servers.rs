//! Servers that are set up, and a worker that takes another one's place.

use crate::support::orders::insert;
use crate::support::pages::{Page, Shell};
use crate::support::postgres::{PostgresServer, TestDatabase, connect};
use crate::support::redis::RedisServer;

use super::first_steps::{listening, says};

/// On a server of its own, because roles belong to no database.
#[tokio::test]
async fn roles_are_made_as_the_page_says() {
    let mut page = Page::of("docs/POSTGRES.md", "roles_are_made_as_the_page_says");
    let (redis, postgres) = (RedisServer::start().await, PostgresServer::start().await);
    let url = url::Url::parse(&postgres.url()).expect("a URL");
    let port = url.port().expect("a port").to_string();
    connect(&postgres.url()).await.batch_execute("CREATE DATABASE shop").await.expect("a database");
    let shop = connect(&format!("postgres://postgres@127.0.0.1:{port}/shop")).await;
    shop.batch_execute(include_str!("../../../deploy/postgres/schema.sql")).await.expect("the order API's tables");
    let mut shell = Shell::new();
    for (name, value) in
        [("PGHOST", "127.0.0.1"), ("PGPORT", &port), ("PGUSER", "postgres"), ("REDIS_URL", &redis.url())]
    {
        shell.set(name, value);
    }
    listening(&mut shell);

    shell.run(&page.next());
    let commands = page.next().with("@db/", &format!("@127.0.0.1:{port}/")).commands();
    let [migrate, run] = commands.as_slice() else { panic!("other commands: {commands:?}") };
    shell.run(migrate);
    let mut worker = shell.start(run);
    says(&mut worker, "starting").await;
    let seen = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'fulfillment_worker'";
    crate::support::eventually(crate::support::LONG, "the worker is there as its role", async || {
        let count: i64 = shop.query_one(seen, &[]).await.expect("an answer").get(0);
        if count > 0 { Ok(()) } else { Err(worker.output()) }
    })
    .await;
}

#[tokio::test]
async fn another_worker_is_replaced_as_the_page_says() {
    let mut page = Page::of("docs/REPLACING.md", "another_worker_is_replaced_as_the_page_says");
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    insert(&database, 3).await;
    let shell = Shell::with_servers(&redis, &database);

    let said = shell.run(&page.next());
    assert!(said.contains("not noted yet") && said.contains("Every order is accounted for."), "{said}");
    // That time is over by now: the orders are newer, and none of them has a message.
    let said = shell.run_with_code(&page.next().with("2026-11-27T08:00:00Z", "2020-01-01T00:00:00Z"), 1);
    assert_eq!(said.lines().filter(|line| line.starts_with("adopt ")).count(), 3, "{said}");
}
