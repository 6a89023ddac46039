//! Workers that die just before an hour is repeated: their fences lie in the future for an hour, and their orders must not
//! wait for it.

use std::time::{Duration, Instant};

use crate::support::orders::{in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::zones::Change;
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 6;
const LEASE: Duration = Duration::from_secs(3);
const OPTIONS: [&str; 10] = [
    "--lease",
    "3s",
    "--simulate-latency",
    "10m",
    "--call-timeout",
    "20m",
    "--reconcile-interval",
    "500ms",
    "--reconcile-grace",
    "1s",
];

/// Some workers take orders into work and are killed, and the clock is put back.
struct Scene {
    redis: RedisServer,
    database: TestDatabase,
    died_at: Instant,
}

impl Scene {
    async fn after_the_death_of(workers: usize) -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let name = database.query("SELECT current_database()", &[]).await[0].get::<_, String>(0);
        let set_zone = async |zone: String| {
            let sql = format!("ALTER DATABASE {name} SET timezone = '{zone}'");
            database.connect().await.batch_execute(&sql).await.unwrap();
        };
        set_zone(Change::an_hour_back(600).zone()).await;
        let mut holders = Vec::new();
        for _ in 0..workers {
            holders.push(WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await);
        }
        place(&database, &redis, ORDERS).await;
        in_work(&database, ORDERS).await;
        for holder in &mut holders {
            holder.kill().await;
        }
        let died_at = Instant::now();
        drop(holders);
        // The same zone, as far as anybody knows, and its hour is repeated from now on.
        set_zone(Change::an_hour_back(0).zone()).await;
        database.connect().await.batch_execute("TRUNCATE fulfillment.clocks").await.unwrap();
        let ahead = "SELECT count(*) FROM orders WHERE updated_at::timestamptz > now() + interval '50 minutes'";
        assert_eq!(database.number(ahead).await, i64::from(ORDERS), "their fences lie in the future");
        Self { redis, database, died_at }
    }

    async fn worker(&self) -> WorkerProcess {
        WorkerProcess::ready(&self.redis.url(), self.database.url(), &OPTIONS).await
    }

    async fn taken_over(&self) -> i64 {
        self.database.number("SELECT count(*) FROM fulfillment.events WHERE note LIKE 'taken over%'").await
    }

    async fn all_are_taken_over(&self, by: &str) {
        eventually(LONG, "every order is taken over", async || {
            expect_equal(self.taken_over().await, i64::from(ORDERS))
        })
        .await;
        println!("{by}: all taken over {:.1} s after the death", self.died_at.elapsed().as_secs_f64());
    }
}

/// Caught, on the code before: an order waited for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_worker_that_died_before_an_hour_is_repeated_are_taken_over() {
    let scene = Scene::after_the_death_of(1).await;
    let _worker = scene.worker().await;
    scene.all_are_taken_over("one worker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_take_them_over_once_each() {
    let scene = Scene::after_the_death_of(2).await;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(scene.worker().await);
    }
    scene.all_are_taken_over("four workers").await;
    // Nothing tells that no takeover comes any more: one that was wrong would come within a lease.
    tokio::time::sleep(2 * LEASE).await;
    assert_eq!(scene.taken_over().await, i64::from(ORDERS), "live work is left to who does it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_again_and_again_takes_them_over_all_the_same() {
    let scene = Scene::after_the_death_of(1).await;
    while scene.taken_over().await < i64::from(ORDERS) && scene.died_at.elapsed() < LONG {
        let mut worker = scene.worker().await;
        tokio::time::sleep(LEASE / 2).await;
        worker.kill().await;
    }
    scene.all_are_taken_over("a worker killed every half lease").await;
}
