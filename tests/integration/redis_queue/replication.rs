//! A primary, a replica, and sentinels that watch over them: all of them real.

use std::process::Command;

use fulfillment_worker::backend::redis::RedisQueue;
use redis::FromRedisValue;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::redis_queue::server::{KEY, Server, queue};
use crate::support::process::{Process, Signal};
use crate::support::redis::server_command;
use crate::support::{LONG, eventually, expect_equal, free_port};

/// The name that the sentinels know the primary by.
pub(crate) const MASTER: &str = "orders";

/// A process of `redis-server --sentinel`.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Sentinel {
    /// Starts one that watches a primary, and replaces it once `quorum` of them found it silent for `down_after_ms`.
    pub(crate) async fn start(primary: u16, quorum: usize, down_after_ms: u32, further: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a sentinel");
        let port = free_port();
        let config = format!(
            "bind 127.0.0.1\n{port_or_tls}\nsentinel monitor {MASTER} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} {down_after_ms}\nsentinel failover-timeout {MASTER} 4000\n{further}\n",
            port_or_tls = if further.contains("tls-cert-file") {
                format!("port 0\ntls-port {port}")
            } else {
                format!("port {port}")
            },
        );
        // Sentinels write into their file what they find out.
        std::fs::write(folder.path().join("sentinel.conf"), config).expect("a file for its configuration");
        let mut command = server_command();
        command.current_dir(folder.path()).args(["sentinel.conf", "--sentinel"]);
        let process = Process::start("sentinel", command, folder.path().join("output.log"));
        let sentinel = Self { port, _process: process, _folder: folder };
        // Whether it wants a password or TLS or not.
        eventually(LONG, "a sentinel listens", async || TcpStream::connect(("127.0.0.1", port)).await.map(drop)).await;
        sentinel
    }

    fn try_ask<T: FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?.get_connection()?;
        let mut words = command.split(' ');
        redis::cmd(words.next().unwrap_or_default()).arg(words.collect::<Vec<_>>()).query(&mut connection)
    }

    /// Sends a command, given as words.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_ask(command).expect("an answer of a sentinel")
    }

    /// What it knows about the primary.
    fn knows(&self, field: &str) -> String {
        let known: std::collections::HashMap<String, String> = self.ask(&format!("SENTINEL MASTER {MASTER}"));
        known.get(field).cloned().unwrap_or_default()
    }
}

/// See the module.
pub(crate) struct Replicated {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
    pub(crate) sentinels: Vec<Sentinel>,
}

impl Replicated {
    /// Starts them, and returns once each knows all others. The primary is replaced when it is silent for 1.5 s: less
    /// would be no failure on a busy machine.
    pub(crate) async fn start() -> Self {
        let primary = Server::start_with(&["--repl-diskless-sync-delay", "0"]).await;
        let port = primary.port.to_string();
        let replica = Server::start_with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]).await;
        eventually(LONG, "the replica follows", async || {
            let info: String = replica.ask("INFO replication");
            if info.contains("master_link_status:up") { Ok(()) } else { Err(info) }
        })
        .await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Sentinel::start(primary.port, 2, 1_500, "").await);
        }
        let replicated = Self { primary, replica, sentinels };
        eventually(LONG, "the sentinels know each other and the replica", async || {
            let known: Vec<_> = replicated
                .sentinels
                .iter()
                .map(|sentinel| (sentinel.knows("num-other-sentinels"), sentinel.knows("num-slaves")))
                .collect();
            expect_equal(known, vec![("2".to_owned(), "1".to_owned()); 3])
        })
        .await;
        replicated
    }

    /// For `--queue`.
    pub(crate) fn url(&self) -> String {
        sentinel_url(&self.sentinels.iter().collect::<Vec<_>>())
    }

    /// A queue that asks the sentinels, as a worker of its own.
    pub(crate) fn queue(&self) -> RedisQueue {
        queue(&self.url(), KEY, LONG).expect("a queue")
    }

    /// Returns once the replica has all that the primary has been told.
    pub(crate) fn replicated(&self) {
        let replicas: u32 = {
            let mut connection = self.primary.connect().expect("a connection to the primary");
            // Counts what this connection wrote, so it has to write.
            redis::cmd("SET").arg("mark").arg(1).exec(&mut connection).expect("an answer to SET");
            redis::cmd("DEL").arg("mark").exec(&mut connection).expect("an answer to DEL");
            redis::cmd("WAIT").arg(1).arg(20_000).query(&mut connection).expect("an answer to WAIT")
        };
        assert_eq!(replicas, 1, "the replica is behind");
    }

    /// Makes the replica the primary, as sentinels do that can't reach the old one: it is not told, and keeps its clients.
    pub(crate) fn promote_behind_its_back(&self) {
        for sentinel in &self.sentinels {
            sentinel.ask::<()>(&format!("SENTINEL REMOVE {MASTER}"));
        }
        self.replica.ask::<()>("REPLICAOF NO ONE");
        for sentinel in &self.sentinels {
            sentinel.ask::<()>(&format!("SENTINEL MONITOR {MASTER} 127.0.0.1 {} 2", self.replica.port));
        }
    }

    /// Kills the primary without a warning.
    pub(crate) async fn kill_primary(&mut self) {
        self.primary.end(Signal::Kill).await;
    }
}

/// A URL that names these sentinels.
pub(crate) fn sentinel_url(sentinels: &[&Sentinel]) -> String {
    let hosts: Vec<String> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    format!("redis-sentinel://{}/0?sentinelServiceName={MASTER}", hosts.join(","))
}

/// What `redis-cli` makes of these arguments.
pub(crate) fn cli(arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(arguments).output().expect("redis-cli");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "redis-cli {arguments:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    said
}
