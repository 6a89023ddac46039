//! Everything that runs: servers, links, workers, warehouse; and what became of the workers.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex as BlockingMutex, MutexGuard};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, Row};

use crate::chaos::plan::{Fault, Link};
use crate::support::clock::HostClock;
use crate::support::evidence::REJECTED_PRODUCT;
use crate::support::fault_proxy::FaultProxy;
use crate::support::postgres::PostgresServer;
use crate::support::process::Signal;
use crate::support::promises::identity;
use crate::support::redis::RedisServer;
use crate::support::redis::connect_to;
use crate::support::version::{self, Version};
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, free_port};

/// How many workers there are.
pub(crate) const WORKERS: usize = 4;
/// As short as it goes, so that much happens in little time.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// How workers are started.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    /// How many there are from the start.
    pub(crate) count: usize,
    /// How many of these are of the release before. They are there first: the others find tables that these have made.
    pub(crate) previous: usize,
    pub(crate) options: BTreeMap<&'static str, &'static str>,
    pub(crate) environment: BTreeMap<&'static str, String>,
}

impl Default for Workers {
    /// Attempts are lost to kills and answers that don't come, so that the usual five would not do for every order.
    fn default() -> Self {
        let options = BTreeMap::from([
            ("--lease", "2s"),
            ("--call-timeout", "1s"),
            ("--retry-base", "100ms"),
            ("--retry-cap", "2s"),
            ("--max-attempts", "1000"),
            ("--concurrency", "64"),
            ("--fulfiller-retry-budget", "0.5"),
            ("--reconcile-interval", "1s"),
            ("--reconcile-grace", "3s"),
            ("--drain-timeout", "5s"),
            ("--log", "info"),
        ]);
        Self { count: WORKERS, previous: 0, options, environment: BTreeMap::new() }
    }
}

impl Workers {
    /// Half of them of the release before, where there is its binary.
    pub(crate) fn of_both_versions() -> Self {
        Self { previous: version::previous().map_or(0, |_| WORKERS / 2), ..Self::default() }
    }
}

/// Enough for what a soak writes, and soon filled.
const REDIS_DISK_MEBIBYTES: u32 = 256;
const POSTGRES_DISK_MEBIBYTES: u32 = 1024;

/// See the module. Each part behind a lock that a fault holds as long as it lasts.
pub(crate) struct World {
    pub(crate) redis: Mutex<RedisServer>,
    pub(crate) postgres: Mutex<PostgresServer>,
    pub(crate) warehouse: Mutex<Option<WarehouseProcess>>,
    pub(crate) workers: Vec<Mutex<WorkerProcess>>,
    /// An hour ahead, and an hour behind.
    pub(crate) wrong_clocks: [HostClock; 2],
    /// How the next worker is started.
    pub(crate) start: Workers,
    pub(crate) redis_url: String,
    pub(crate) postgres_url: String,
    redis_link: FaultProxy,
    postgres_link: FaultProxy,
    warehouse_link: FaultProxy,
    killed: BlockingMutex<Vec<Killed>>,
    /// Of each worker that has ended, by its identity.
    versions: BlockingMutex<HashMap<String, Version>>,
    /// How often a worker was followed by one of the other version: by which.
    changes: BlockingMutex<BTreeMap<Version, usize>>,
}

/// A worker that got no chance to finish.
#[derive(Debug, Clone)]
pub(crate) struct Killed {
    /// As in the timeline.
    pub(crate) worker: String,
    pub(crate) at_micros: i64,
    /// Nothing else went wrong until its orders were taken over.
    pub(crate) alone: bool,
}

impl World {
    /// Starts everything, and waits until the workers are ready.
    pub(crate) async fn start(workers: Workers) -> Self {
        let redis = RedisServer::start_on_small_disk(REDIS_DISK_MEBIBYTES).await;
        let postgres = PostgresServer::start_on_small_disk(POSTGRES_DISK_MEBIBYTES).await;
        let database = postgres.database().await;
        let seeded = "INSERT INTO products (id, name, price) VALUES (1, 'HAND WARMER UNION JACK', 1.85), \
                      (13, 'RETURNED AND NOT SOLD ANY MORE', 1)";
        database.query(seeded, &[]).await;
        let folder = tempfile::tempdir().expect("a folder for the warehouse");
        let warehouse = warehouse(&format!("127.0.0.1:{}", free_port()), folder).await;
        let port = |url: &str| url::Url::parse(url).expect("a URL").port().expect("a port");
        let link = async |port: u16| FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let mut world = Self {
            redis_link: link(port(&redis.url())).await,
            postgres_link: link(port(database.url())).await,
            warehouse_link: FaultProxy::start(warehouse.address()).await,
            redis_url: redis.url(),
            postgres_url: database.url().to_owned(),
            redis: Mutex::new(redis),
            postgres: Mutex::new(postgres),
            warehouse: Mutex::new(Some(warehouse)),
            workers: Vec::new(),
            wrong_clocks: [HostClock::off_by("+1h"), HostClock::off_by("-1h")],
            start: workers,
            killed: BlockingMutex::default(),
            versions: BlockingMutex::default(),
            changes: BlockingMutex::default(),
        };
        for number in 0..world.start.count {
            let version = if number < world.start.previous { Version::Previous } else { Version::This };
            let mut worker = world.new_worker_of(version, &[]);
            worker.wait_until_ready().await;
            world.workers.push(Mutex::new(worker));
        }
        world
    }

    /// Faults that can't be brought about here.
    pub(crate) async fn impossible(&self) -> Vec<Fault> {
        let (redis, postgres) = (self.redis.lock().await, self.postgres.lock().await);
        let possible = [
            (Fault::RedisDiskFull, redis.disk.is_some()),
            (Fault::PostgresDiskFull, postgres.disk.is_some()),
            (Fault::WorkerChangesVersion, self.start.previous > 0),
        ];
        possible.into_iter().filter(|(_, is_possible)| !is_possible).map(|(fault, _)| fault).collect()
    }

    /// Starts a worker on the links, and doesn't wait for it.
    pub(crate) fn new_worker(&self) -> WorkerProcess {
        self.new_worker_of(Version::This, &[])
    }

    /// The same of a version, with further variables in its environment.
    fn new_worker_of(&self, version: Version, environment: &[(&str, &str)]) -> WorkerProcess {
        let through = |url: &str, link: Link| {
            let mut url = url::Url::parse(url).expect("a URL");
            url.set_port(Some(self.link(link).address().port())).expect("a URL that can have a port");
            url.to_string()
        };
        let (queue, store) = (through(&self.redis_url, Link::Redis), through(&self.postgres_url, Link::Postgres));
        self.new_worker_at(version, &queue, &store, environment)
    }

    /// Starts a worker for this queue and store, and doesn't wait for it.
    pub(crate) fn new_worker_at(
        &self,
        version: Version,
        queue: &str,
        store: &str,
        environment: &[(&str, &str)],
    ) -> WorkerProcess {
        let warehouse = format!("http://{}/shipments", self.link(Link::Warehouse).address());
        let mut options = BTreeMap::from([("--fulfiller", warehouse.as_str())]);
        options.extend(self.start.options.iter().map(|(name, value)| (*name, *value)));
        let options: Vec<&str> = options.into_iter().flat_map(|(name, value)| [name, value]).collect();
        let own = self.start.environment.iter().map(|(name, value)| (*name, value.as_str()));
        let environment: Vec<(&str, &str)> = own.chain(environment.iter().copied()).collect();
        WorkerProcess::start_of(version, queue, store, &options, &environment)
    }

    /// Kills a worker, and starts another one in its place.
    pub(crate) async fn replace(&self, worker: &mut WorkerProcess, alone: bool) {
        let killed = identity(worker).map(|worker| Killed { worker, at_micros: now_micros(), alone });
        worker.kill().await;
        self.killed_workers().extend(killed);
        self.put_in_place_of(worker, |version| version, &[]);
    }

    /// Starts a worker where one has ended.
    pub(crate) fn put_in_place_of(
        &self,
        ended: &mut WorkerProcess,
        version: fn(Version) -> Version,
        environment: &[(&str, &str)],
    ) {
        let next = version(ended.version());
        if next != ended.version() {
            *self.changes.lock().entry(next).or_default() += 1;
        }
        self.versions.lock().extend(identity(ended).map(|worker| (worker, ended.version())));
        *ended = self.new_worker_of(next, environment);
    }

    /// The version of each worker that there was.
    pub(crate) async fn versions(&self) -> HashMap<String, Version> {
        let mut versions = self.versions.lock().clone();
        for worker in &self.workers {
            let worker = worker.lock().await;
            versions.extend(identity(&worker).map(|name| (name, worker.version())));
        }
        versions
    }

    /// Whose commands operators may use.
    pub(crate) fn operators_versions(&self) -> &'static [Version] {
        if self.start.previous > 0 { &[Version::This, Version::Previous] } else { &[Version::This] }
    }

    /// How often one of this version came in place of one of the other.
    pub(crate) fn changes_to(&self, version: Version) -> usize {
        self.changes.lock().get(&version).copied().unwrap_or_default()
    }

    /// Who was killed so far.
    pub(crate) fn killed_workers(&self) -> MutexGuard<'_, Vec<Killed>> {
        self.killed.lock()
    }

    /// The link to a dependency, which all workers share.
    pub(crate) fn link(&self, link: Link) -> &FaultProxy {
        match link {
            Link::Redis => &self.redis_link,
            Link::Postgres => &self.postgres_link,
            Link::Warehouse => &self.warehouse_link,
        }
    }

    /// A connection to Postgres past the link, with the reason if there is none to be had now.
    pub(crate) async fn connect(&self) -> Result<Client, String> {
        let connecting = tokio::time::timeout(LONG, tokio_postgres::connect(&self.postgres_url, NoTls)).await;
        let (client, connection) = connecting.map_err(|_| "no connection".to_owned())?.map_err(|e| format!("{e:?}"))?;
        // Ends when the client is dropped; the client's own calls report its errors.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs one query past the link.
    pub(crate) async fn query(&self, sql: &str) -> Result<Vec<Row>, String> {
        self.connect().await?.query(sql, &[]).await.map_err(|error| format!("{sql}: {error:?}"))
    }

    /// A connection to Redis past the link.
    pub(crate) async fn connect_redis(&self) -> redis::RedisResult<MultiplexedConnection> {
        connect_to(&self.redis_url).await
    }

    /// Kills the warehouse, and starts it again with its record after a time.
    pub(crate) async fn restart_warehouse(&self, after: Duration) {
        let mut slot = self.warehouse.lock().await;
        if let Some(running) = slot.take() {
            let address = running.address().to_string();
            let folder = running.kill().await;
            tokio::time::sleep(after).await;
            *slot = Some(warehouse(&address, folder).await);
        }
    }

    /// Lets the warehouse misbehave for a time; what it rejects it always rejects.
    pub(crate) async fn misbehave(&self, mut behaviour: Value, time: Duration) {
        let slot = self.warehouse.lock().await;
        if let Some(warehouse) = &*slot {
            behaviour["reject_products"] = json!([REJECTED_PRODUCT]);
            behaviour["latency"] = json!(LATENCY);
            warehouse.behave(&behaviour);
            tokio::time::sleep(time).await;
            warehouse.behave(&json!({"reject_products": [REJECTED_PRODUCT], "latency": LATENCY}));
        }
    }

    /// Every line of the warehouse's record.
    pub(crate) async fn warehouse_record(&self) -> Vec<Value> {
        self.warehouse.lock().await.as_ref().expect("a running warehouse").record("calls.jsonl")
    }

    /// Stops Redis without warning, and starts it again after a time.
    pub(crate) async fn restart_redis(&self, after: Duration, keep_file: bool) {
        let mut redis = self.redis.lock().await;
        redis.end(Signal::Kill).await;
        tokio::time::sleep(after).await;
        if !keep_file {
            std::fs::remove_dir_all(redis.folder.path().join(REDIS_FILES)).expect("the files of Redis");
        }
        redis.restart().await;
    }

    /// Stops Redis without warning, and starts it again with the files that it had so long before.
    pub(crate) async fn set_redis_back(&self, by: Duration) {
        let mut redis = self.redis.lock().await;
        let files = redis.folder.path().join(REDIS_FILES);
        let earlier = tempfile::tempdir().expect("a folder for the files of Redis");
        copy_files(&files, earlier.path()).expect("a copy of the files of Redis");
        tokio::time::sleep(by).await;
        redis.end(Signal::Kill).await;
        copy_files(earlier.path(), &files).expect("the files of Redis, put back");
        redis.restart().await;
    }
}

const REDIS_FILES: &str = "appendonlydir";

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// Long enough that a worker that is killed has orders in hand.
const LATENCY: &str = "20ms..400ms";

async fn warehouse(address: &str, folder: tempfile::TempDir) -> WarehouseProcess {
    let rejected = REJECTED_PRODUCT.to_string();
    let options = ["--record", "calls.jsonl", "--latency", LATENCY, "--reject-product", &rejected];
    WarehouseProcess::start_at(address, folder, &options).await
}

/// Microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_micros()).expect("before the year 294,247")
}
