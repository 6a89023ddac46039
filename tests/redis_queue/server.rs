//! A Redis server for one test, with any configuration.

use std::process::Command;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::config::SecretUrl;
use fulfillment_worker::queue::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::queue::{Claim, Disposition, Queue, QueueError, Settlement};
use redis::{Connection, FromRedisValue};
use tempfile::TempDir;

use crate::support::process::{Process, Signal};
use crate::support::{LONG, eventually, free_port};

/// The list that producers push to.
pub(crate) const KEY: &str = "fulfillment_queue";

/// See the module. Keeps an append-only file, so that a kill loses nothing that was answered.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    options: Vec<String>,
    process: Option<Process>,
}

impl Server {
    /// Starts a server with further options, and returns once it answers.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().expect("a folder for Redis"),
            port: free_port(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: None,
        };
        server.restart().await;
        server
    }

    /// Kills it without a warning.
    pub(crate) async fn kill(&mut self) {
        let mut process = self.process.take().expect("a running Redis");
        process.signal(Signal::Kill);
        process.ended(LONG).await;
    }

    /// Starts it again, on the same port and with what it held.
    pub(crate) async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command
            .current_dir(self.folder.path())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always"])
            .args(&self.options);
        self.process = Some(Process::start("redis-server", command, self.folder.path().join("output.log")));
        eventually(LONG, "Redis answers", async || {
            redis::cmd("PING")
                .query::<String>(&mut self.connect().map_err(|error| error.to_string())?)
                .map_err(|error| error.to_string())
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own.
    pub(crate) fn connect(&self) -> redis::RedisResult<Connection> {
        redis::Client::open(self.url())?.get_connection()
    }

    /// Sends a command, given as words.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        self.ask_with(command.split(' '))
    }

    /// Sends a command.
    pub(crate) fn ask_with<'a, T: FromRedisValue>(&self, words: impl IntoIterator<Item = &'a str>) -> T {
        let mut connection = self.connect().expect("a connection to Redis");
        let mut words = words.into_iter();
        let mut command = redis::cmd(words.next().expect("a command"));
        for word in words {
            command.arg(word);
        }
        command.query(&mut connection).expect("an answer of Redis")
    }

    /// Every key on the server, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask("KEYS *");
        keys.sort();
        keys
    }

    /// A queue on this server, as a worker of its own.
    pub(crate) fn queue(&self, lease: Duration) -> RedisQueue {
        queue(&self.url(), KEY, lease).expect("a queue")
    }
}

/// A queue at a URL.
pub(crate) fn queue(url: &str, key: &str, lease: Duration) -> Result<RedisQueue, QueueError> {
    let url = SecretUrl::new(url.parse().expect("a URL"));
    RedisQueue::connect(&url, RedisQueueOptions { key: key.to_owned(), lease, worker: WorkerId::fresh() })
}

/// Pushes messages.
pub(crate) async fn push(queue: &RedisQueue, payloads: &[&str]) -> Result<(), QueueError> {
    let payloads: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.as_bytes().to_vec()).collect();
    queue.push(&payloads).await
}

/// Claims as soon as there is something to claim.
pub(crate) async fn claim_when_due(queue: &RedisQueue) -> Vec<Claim> {
    eventually(LONG, "something to claim", async || {
        let claims = queue.claim(1_000).await.map_err(|error| error.to_string())?.claims;
        if claims.is_empty() { Err("nothing".to_owned()) } else { Ok(claims) }
    })
    .await
}

/// Settlements that remove what was claimed.
pub(crate) fn acks(claims: &[Claim]) -> Vec<Settlement> {
    claims.iter().map(|claim| Settlement { receipt: claim.receipt.clone(), disposition: Disposition::Ack }).collect()
}

/// Settlements that put back what was claimed, without counting the attempt.
pub(crate) fn hand_backs(claims: &[Claim], after: Duration) -> Vec<Settlement> {
    claims
        .iter()
        .map(|claim| Settlement {
            receipt: claim.receipt.clone(),
            disposition: Disposition::Retry { after, spent: false },
        })
        .collect()
}
