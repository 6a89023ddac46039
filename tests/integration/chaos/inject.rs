//! Carries out what the plan says, and puts it right again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use crate::chaos::plan::{Fault, Phase, Planned};
use crate::chaos::producer::Surprise;
use crate::chaos::world::{World, now_micros};
use crate::support::LONG;
use crate::support::fault_proxy::Behaviour;
use crate::support::process::Signal;
use crate::support::redis::QUEUE_KEY;
use crate::support::small_disk::SmallDisk;
use crate::support::version::Version;

/// Between two times that connections are terminated.
const TERMINATED_EVERY: Duration = Duration::from_millis(200);
/// More than the server has.
const MOST_CONNECTIONS: usize = 200;
/// Neither JSON, nor an object, nor complete, nor in range.
const POISON: [&str; 5] =
    ["not json", "[1,1,1]", "{\"order_id\":1}", "{\"order_id\":0,\"product_id\":1,\"quantity\":1}", ""];

/// Who brings faults about.
pub(crate) struct Injector {
    pub(crate) world: Arc<World>,
    pub(crate) producer: mpsc::UnboundedSender<Surprise>,
}

/// A fault that is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Over {
    pub(crate) fault: Fault,
    /// When everything was put right again.
    pub(crate) at_micros: i64,
}

impl Injector {
    /// Carries out a phase. Returns once the last of its faults is over.
    pub(crate) async fn carry_out(&self, phase: &Phase) -> Vec<Over> {
        let began = tokio::time::Instant::now();
        let alone = phase.only_kills;
        let faults = phase.faults.iter().map(async |&planned| {
            tokio::time::sleep_until(began + planned.at).await;
            self.inject(planned, alone).await;
            Over { fault: planned.fault, at_micros: now_micros() }
        });
        futures::future::join_all(faults).await
    }

    async fn inject(&self, Planned { fault, lasts, worker, .. }: Planned, alone: bool) {
        let world = &self.world;
        match fault {
            Fault::WorkerKilled => world.replace(&mut *world.workers[worker].lock().await, alone).await,
            Fault::WorkerStopped => self.stop_worker(worker, lasts).await,
            Fault::WorkerTerminated => self.terminate_worker(worker, |version| version, &[]).await,
            Fault::WorkerClockOff => {
                let clock = &world.wrong_clocks[worker % world.wrong_clocks.len()];
                self.terminate_worker(worker, |version| version, &clock.environment()).await;
            }
            Fault::WorkerChangesVersion => self.terminate_worker(worker, Version::other, &[]).await,
            Fault::RedisKilled => world.restart_redis(lasts, true).await,
            Fault::RedisEmptied => world.restart_redis(lasts, false).await,
            Fault::RedisSetBack => world.set_redis_back(lasts).await,
            Fault::RedisFlushed => self.tell_redis(redis::cmd("FLUSHALL")).await,
            Fault::ScriptsFlushed => self.tell_redis(redis::cmd("SCRIPT").arg("FLUSH").clone()).await,
            Fault::PostgresCrashed => {
                let mut postgres = world.postgres.lock().await;
                postgres.stop_immediately().await;
                tokio::time::sleep(lasts).await;
                postgres.restart().await;
            }
            Fault::RedisDiskFull => self.fill_disk_of_redis(lasts).await,
            Fault::PostgresDiskFull => self.fill_disk_of_postgres(lasts).await,
            Fault::BackendsTerminated => self.terminate_backends(lasts).await,
            Fault::SlotsExhausted => self.exhaust_slots(lasts).await,
            Fault::RowLocked => {
                let one = "SELECT id FROM orders WHERE status IN ('pending', 'processing') ORDER BY id DESC LIMIT 1";
                self.keep_open("BEGIN", &format!("{one} FOR UPDATE SKIP LOCKED"), lasts).await;
            }
            Fault::HorizonPinned => {
                self.keep_open("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM products", lasts).await;
            }
            Fault::Cut(link) => world.link(link).cut(),
            Fault::RepliesLost(link) => self.disturb(link, Behaviour::LoseReplies, lasts).await,
            Fault::HalfOpen(link) => self.disturb(link, Behaviour::Vanish, lasts).await,
            Fault::Slow(link) => self.disturb(link, Behaviour::Delay, lasts).await,
            Fault::AnswersCut => world.misbehave(json!({"cut_after": 0.5}), lasts).await,
            Fault::WarehouseHangs => world.misbehave(json!({"hang": 0.3, "hang_limit": "5s"}), lasts).await,
            Fault::WarehouseRefuses => world.misbehave(json!({"errors": 1, "error_status": 503}), lasts).await,
            Fault::WarehouseKilled => world.restart_warehouse(lasts).await,
            Fault::Poison => {
                for poison in POISON {
                    self.tell_redis(redis::cmd("LPUSH").arg(QUEUE_KEY).arg(poison).clone()).await;
                }
            }
            Fault::Duplicates => self.surprise(Surprise::Repetition),
            Fault::Flood => self.surprise(Surprise::Flood),
            Fault::ProducerDies => self.surprise(Surprise::Death),
        }
    }

    fn surprise(&self, surprise: Surprise) {
        self.producer.send(surprise).expect("a producer that is at work");
    }

    async fn stop_worker(&self, worker: usize, lasts: Duration) {
        let mut worker = self.world.workers[worker].lock().await;
        worker.signal(Signal::Stop);
        tokio::time::sleep(lasts).await;
        worker.signal(Signal::Continue);
    }

    /// `version` and `environment` are for the one that comes in its place.
    async fn terminate_worker(&self, worker: usize, version: fn(Version) -> Version, environment: &[(&str, &str)]) {
        let mut worker = self.world.workers[worker].lock().await;
        worker.signal(Signal::Term);
        worker.ended(LONG).await;
        self.world.put_in_place_of(&mut worker, version, environment);
    }

    /// Redis refuses to write then; with `appendfsync always` it would end itself, as it does when it is killed.
    async fn fill_disk_of_redis(&self, lasts: Duration) {
        let mut redis = self.world.redis.lock().await;
        let fsync = |when| redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg(when).clone();
        self.tell_redis(fsync("everysec")).await;
        let ballast = redis.disk.as_ref().map(SmallDisk::fill);
        tokio::time::sleep(lasts).await;
        drop(ballast);
        redis.restart_if_ended().await;
        self.tell_redis(fsync("always")).await;
    }

    /// Postgres refuses to write, or gives up if there is no room for its log.
    async fn fill_disk_of_postgres(&self, lasts: Duration) {
        let mut postgres = self.world.postgres.lock().await;
        let ballast = postgres.disk.as_ref().map(SmallDisk::fill);
        tokio::time::sleep(lasts).await;
        drop(ballast);
        postgres.restart_if_ended().await;
    }

    /// Best effort: a server that is down at the time is a fault already.
    async fn tell_redis(&self, command: redis::Cmd) {
        if let Ok(mut connection) = self.world.connect_redis().await {
            let _ = command.query_async::<redis::Value>(&mut connection).await;
        }
    }

    async fn disturb(&self, link: crate::chaos::plan::Link, behaviour: Behaviour, lasts: Duration) {
        let link = self.world.link(link);
        link.behave(behaviour);
        tokio::time::sleep(lasts).await;
        link.behave(Behaviour::Pass);
    }

    async fn terminate_backends(&self, lasts: Duration) {
        let _postgres = self.world.postgres.lock().await;
        let until = tokio::time::Instant::now() + lasts;
        while tokio::time::Instant::now() < until {
            // Best effort, as the server may have no slot left.
            let _ = self.world.query(TERMINATE).await;
            tokio::time::sleep(TERMINATED_EVERY).await;
        }
    }

    async fn exhaust_slots(&self, lasts: Duration) {
        let _postgres = self.world.postgres.lock().await;
        let until = tokio::time::Instant::now() + lasts;
        let mut taken = Vec::new();
        if let Ok(first) = self.world.connect().await {
            // Before the workers are back: they have to wait for a slot then.
            let _ = first.query(TERMINATE, &[]).await;
            taken.push(first);
        }
        while taken.len() < MOST_CONNECTIONS
            && let Ok(client) = self.world.connect().await
        {
            taken.push(client);
        }
        tokio::time::sleep_until(until).await;
    }

    /// Leaves a transaction open after a statement.
    async fn keep_open(&self, begin: &str, statement: &str, lasts: Duration) {
        if let Ok(client) = self.world.connect().await {
            // Best effort: the server may go down meanwhile, as it does by another fault.
            let _ = client.batch_execute(begin).await;
            let _ = client.query(statement, &[]).await;
            tokio::time::sleep(lasts).await;
            let _ = client.batch_execute("ROLLBACK").await;
        }
    }
}

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE application_name LIKE 'fulfillment-worker%'";
