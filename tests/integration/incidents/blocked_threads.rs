//! Work that never gives its thread back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::config::{self, environment::Environment};
use fulfillment_worker::domain::order::{IdempotencyKey, Order};
use fulfillment_worker::port::fulfiller::{Fulfiller, Outcome};
use fulfillment_worker::service::Service;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::orders::{all_fulfilled_once, attempts_begun, in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal, free_port, http};

const THREADS: usize = 2;

/// Holds its calls until it is told to let them end, then takes its time, with its thread.
#[derive(Clone)]
struct Held {
    calls: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    blocks_for: Duration,
}

impl Held {
    fn new(open: bool, blocks_for: Duration) -> Self {
        let gate = Arc::new(Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 }));
        Self { calls: Arc::default(), gate, blocks_for }
    }
}

#[async_trait]
impl Fulfiller for Held {
    async fn fulfil(&self, _: &Order, _: &IdempotencyKey) -> Outcome {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let open = self.gate.acquire().await;
        std::thread::sleep(self.blocks_for);
        match open {
            Ok(_) => Outcome::Fulfilled { reference: None },
            Err(error) => Outcome::Retry { reason: error.to_string(), after: None },
        }
    }
}

/// A program that embeds the worker, with its runtime.
struct Program {
    address: SocketAddr,
    runtime: Option<Runtime>,
    drain: CancellationToken,
    service: Option<JoinHandle<()>>,
}

impl Program {
    fn start(redis: &RedisServer, database: &TestDatabase, fulfiller: Held) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let listen = address.to_string();
        let environment = Environment::of([
            ("REDIS_URL", &redis.url()),
            ("DATABASE_URL", database.url()),
            ("FULFILLMENT_LISTEN", &listen),
            ("FULFILLMENT_LEASE", "3s"),
            ("FULFILLMENT_CALL_TIMEOUT", "5m"),
        ]);
        let (settings, _) =
            config::from_environment(&environment, config::fallback::Fallback::Refused).expect("a configuration");
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().expect("a runtime");
        let drain = CancellationToken::new();
        let running = Service::new(settings).fulfiller(fulfiller).run(drain.clone());
        let service = runtime.spawn(async { running.await.expect("the service runs") });
        Self { address, runtime: Some(runtime), drain, service: Some(service) }
    }

    /// Has every thread of the runtime do something else than running tasks, for as long as `meanwhile` takes.
    fn block_every_thread(&self, meanwhile: impl FnOnce()) {
        // Theirs and ours.
        let (blocked, released) = (Arc::new(Barrier::new(THREADS + 1)), Arc::new(Barrier::new(THREADS + 1)));
        for _ in 0..THREADS {
            let (blocked, released) = (Arc::clone(&blocked), Arc::clone(&released));
            self.runtime.as_ref().expect("a runtime").spawn(async move {
                blocked.wait();
                released.wait();
            });
        }
        blocked.wait();
        meanwhile();
        released.wait();
    }

    async fn stop(mut self) {
        self.drain.cancel();
        let service = self.service.take().expect("a service");
        tokio::time::timeout(LONG, service).await.expect("a drain that ends").expect("a service that ends well");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn competitor(redis: &RedisServer, database: &TestDatabase) -> WorkerProcess {
    let options = ["--lease", "3s", "--simulate-latency", "0", "--reconcile-interval", "0"];
    WorkerProcess::ready(&redis.url(), database.url(), &options).await
}

/// [bullmq #3183](https://github.com/taskforcesh/bullmq/issues/3183): a job that kept the event loop busy kept it from
/// renewing the job's lock, too. Another worker took the job for stalled and did it, and the first one failed when it was
/// done. Here calls have threads of their own, and another one renews leases.
///
/// Caught, when seeded: calls on the threads that the engine and its leases run on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bullmq_3183_calls_that_block_every_thread_keep_their_leases() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let orders = 3 * std::thread::available_parallelism().map_or(2, usize::from);
    place(&database, &redis, i32::try_from(orders).expect("a number of rows")).await;
    let fulfiller = Held::new(true, Duration::from_secs(4));
    let program = Program::start(&redis, &database, fulfiller.clone());
    in_work(&database, i32::try_from(orders).expect("a number of rows")).await;
    let competitor = competitor(&redis, &database).await;

    all_fulfilled_once(&database, &redis).await;
    assert_eq!(fulfiller.calls.load(Ordering::SeqCst), orders, "calls");
    assert_eq!(competitor.metrics().processed("success"), 0.0, "taken from a worker that was at them");
    program.stop().await;
}

/// [bullmq #3183](https://github.com/taskforcesh/bullmq/issues/3183), where it is not the calls that block but the rest of
/// the program that embeds the worker: every thread of the runtime that the worker was started on. Leases are renewed
/// on a thread and over connections that have nothing to do with it.
///
/// Caught, when it was built: a keeper on the engine's own runtime; a keeper on a thread of its own over connections that
/// the engine's runtime drives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bullmq_3183_a_program_that_blocks_every_thread_of_its_own_keeps_its_leases() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 5).await;
    let fulfiller = Held::new(false, Duration::ZERO);
    let program = Program::start(&redis, &database, fulfiller.clone());
    eventually(LONG, "five calls are under way", async || expect_equal(fulfiller.calls.load(Ordering::SeqCst), 5))
        .await;
    let competitor = competitor(&redis, &database).await;

    // Two leases, and less than the four after which a worker counts as wedged.
    program.block_every_thread(|| std::thread::sleep(Duration::from_secs(6)));
    fulfiller.gate.add_permits(5);
    all_fulfilled_once(&database, &redis).await;
    assert_eq!(attempts_begun(&database).await, 5);
    assert_eq!(competitor.metrics().processed("success"), 0.0, "taken from a worker that was at them");
    program.stop().await;
}

/// Whoever is called at night has to see something while the program around the worker, or the worker itself, stands still.
///
/// Caught, when it was built: a server on the runtime that the worker was started on; a page that has no place for the numbers that
/// it can't show yet, and so never showed them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_health_are_told_while_every_thread_of_the_program_is_blocked() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let program = Program::start(&redis, &database, Held::new(true, Duration::ZERO));
    let answered = |path: &str| http::get(program.address, path, &[]).map(|answer| answer.status);
    eventually(LONG, "the worker is ready", async || {
        expect_equal(answered("/readyz").map_err(|error| error.to_string())?, 200)
    })
    .await;
    program.block_every_thread(|| {
        for path in ["/metrics", "/livez", "/"] {
            assert_eq!(answered(path).expect(path), 200, "{path}");
        }
        let page = http::get(program.address, "/", &[]).expect("the page").text();
        for part in ["verdict", "now", "charts"] {
            assert!(page.contains(&format!("data-part=\"{part}\"")), "no place for {part}, which comes later: {page}");
        }
    });
    program.stop().await;
}
