//! Servers that are set up, and a worker that takes another one's place.

use crate::support::orders::insert;
use crate::support::pages::{Page, Shell};
use crate::support::postgres::{PostgresServer, TestDatabase, connect};
use crate::support::redis::RedisServer;
use crate::support::{LONG, eventually};

use super::first_steps::{listening, says};

/// A database `shop` with the order API's tables, on a server of its own, because roles belong to no database; and a shell of its
/// administrator.
struct Shop {
    _postgres: PostgresServer,
    _redis: RedisServer,
    client: tokio_postgres::Client,
    /// What takes the place of `@db/` in a URL.
    at: String,
    shell: Shell,
}

impl Shop {
    async fn open() -> Self {
        let (redis, postgres) = (RedisServer::start().await, PostgresServer::start().await);
        let port = url::Url::parse(&postgres.url()).expect("a URL").port().expect("a port").to_string();
        connect(&postgres.url()).await.batch_execute("CREATE DATABASE shop").await.expect("a database");
        let client = connect(&format!("postgres://postgres@127.0.0.1:{port}/shop")).await;
        let tables = include_str!("../../../deploy/postgres/schema.sql");
        client.batch_execute(tables).await.expect("the order API's tables");
        let mut shell = Shell::new();
        for (name, value) in
            [("PGHOST", "127.0.0.1"), ("PGPORT", &port), ("PGUSER", "postgres"), ("REDIS_URL", &redis.url())]
        {
            shell.set(name, value);
        }
        listening(&mut shell);
        Self { _postgres: postgres, _redis: redis, client, at: format!("@127.0.0.1:{port}/"), shell }
    }
}

#[tokio::test]
async fn roles_are_made_as_the_page_says() {
    let mut page = Page::of("docs/POSTGRES.md", "roles_are_made_as_the_page_says");
    let Shop { client, at, shell, .. } = &Shop::open().await;

    shell.run(&page.next());
    let commands = page.next().with("@db/", at).commands();
    let [migrate, run] = commands.as_slice() else { panic!("other commands: {commands:?}") };
    shell.run(migrate);
    let mut worker = shell.start(run);
    says(&mut worker, "starting").await;
    let seen = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'fulfillment_worker'";
    eventually(LONG, "the worker is there as its role", async || {
        let count: i64 = client.query_one(seen, &[]).await.expect("an answer").get(0);
        if count > 0 { Ok(()) } else { Err(worker.output()) }
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_goes_as_the_page_says() {
    let mut page = Page::of("docs/UPGRADING.md", "an_upgrade_goes_as_the_page_says");
    let mut shop = Shop::open().await;
    let roles = include_str!("../../../deploy/postgres/roles.sql");
    shop.client.batch_execute(roles).await.expect("roles");

    shop.shell.run(&page.next().with("@db/", &shop.at));

    shop.shell.set("DATABASE_URL", &format!("postgres://fulfillment_worker{}shop", shop.at));
    let mut worker = shop.shell.worker(&["--migrate", "off"]);
    says(&mut worker, "\"started\"").await;
    let said = shop.shell.run(&page.next());
    assert!(said.contains("VERSION") && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    assert!(said.contains("Every order is accounted for."), "{said}");
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
