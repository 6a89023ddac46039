//! This release and the one before, side by side on one queue and one store: what docs/UPGRADING.md promises. The binary of the
//! release before takes minutes to build, so `make test-more` runs these (`scripts/check-upgrade.sh`), and `make test` doesn't.
//!
//! Where a test does the same in both directions, the first version named is the one that leaves something behind, and
//! the other one finds it.

use std::time::Duration;

use crate::access::{Folder, users};
use crate::dead_letters::place::Ended;
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::version::Version;
use crate::support::worker::{WorkerProcess, binary_of};

mod embedded;
mod messages;
mod rolling;
mod shared;
mod tables;

/// Upwards, and back.
const DIRECTIONS: [(Version, Version); 2] = [(Version::Previous, Version::This), (Version::This, Version::Previous)];

/// Longer than what a worker that was asked to end takes for its last orders.
const DRAINED: Duration = crate::support::LONG;

/// For workers whose orders are soon taken over.
const SHORT_LEASE: [&str; 4] = ["--lease", "2s", "--call-timeout", "1s"];

/// `bob` with his password, as in [`users`].
const BOB: (&str, &str) = ("Authorization", "Basic Ym9iOmJvYidz");

/// Servers that both versions work on.
struct Servers {
    redis: RedisServer,
    database: TestDatabase,
    access: Folder,
}

impl Servers {
    /// With no tables of a worker yet.
    async fn start() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        Self { redis, database, access: Folder::with(&users(&["bob"])) }
    }

    /// A worker that is ready, and takes no time for an order unless told otherwise; its API listens to `bob`.
    async fn worker(&self, version: Version, options: &[&str]) -> WorkerProcess {
        let mut worker = self.starting(version, options);
        worker.wait_until_ready().await;
        worker
    }

    fn starting(&self, version: Version, options: &[&str]) -> WorkerProcess {
        let web_config = self.access.file("web.yml");
        let mut given = vec!["--web-config", &web_config, "--operators", "bob"];
        if !options.contains(&"--simulate-latency") {
            given.extend(["--simulate-latency", "0"]);
        }
        given.extend(options);
        WorkerProcess::start_of(version, &self.redis.url(), self.database.url(), &given, &[])
    }

    /// Runs a command of a version, as `ann`.
    fn run(&self, version: Version, words: &[&str]) -> Ended {
        let mut command = binary_of(version, words);
        command.args(["--store", self.database.url()]).env("LOGNAME", "ann");
        if words[0] != "migrate" {
            command.args(["--queue", &self.redis.url()]);
        }
        Ended::of(command)
    }
}

/// Ends a worker as a deployment does.
async fn end(worker: &mut WorkerProcess) {
    worker.signal(Signal::Term);
    let ended = worker.ended(DRAINED).await;
    assert!(ended.success(), "{:?} ended with {ended}: {}", worker.version(), worker.output());
}
