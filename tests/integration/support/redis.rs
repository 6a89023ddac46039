//! A Redis server for one test: empty, on a port of its own, that can be stopped and started again.

use std::process::Command;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Commands};
use tempfile::TempDir;

use super::process::{Process, Signal};
use super::small_disk::SmallDisk;
use super::{BUSY, LONG, eventually, free_port};

/// The list that producers push to.
pub(crate) const QUEUE_KEY: &str = "fulfillment_queue";

/// A connection of the test's own. The driver's limits are far below what a busy machine may take.
pub(crate) async fn connect_to(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(BUSY)).set_connection_timeout(Some(BUSY));
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&patient).await
}

/// `redis-server`, or what TEST_REDIS_SERVER names instead, such as a Valkey.
pub(crate) fn server_command() -> Command {
    Command::new(std::env::var_os("TEST_REDIS_SERVER").unwrap_or_else(|| "redis-server".into()))
}

/// See the module. Keeps an append-only file, so that neither a stop nor a kill loses what was answered.
pub(crate) struct RedisServer {
    /// Before the folder, which holds its output, so that it is dropped first.
    process: Option<Process>,
    /// What the folder is on, if it is one that can be filled.
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts a server, and returns once it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further options, and returns once it answers.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        let mut server = Self::stopped(options);
        server.restart().await;
        server
    }

    /// Starts a server on a small disk, where one can be had.
    pub(crate) async fn start_on_small_disk(mebibytes: u32) -> Self {
        let mut server = Self::stopped(&[]);
        server.disk = SmallDisk::mount(server.folder.path(), mebibytes).ok();
        server.restart().await;
        server
    }

    fn stopped(options: &[&str]) -> Self {
        Self {
            disk: None,
            folder: tempfile::tempdir().expect("a folder for Redis"),
            port: free_port(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: None,
        }
    }

    /// Starts it again if it has given up.
    pub(crate) async fn restart_if_ended(&mut self) {
        if self.process.as_mut().is_none_or(|process| process.status().is_some()) {
            self.restart().await;
        }
    }

    /// For `--queue` and `redis-cli -u`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops it as an operator would.
    pub(crate) async fn stop(&mut self) {
        self.end(Signal::Term).await;
    }

    /// Ends it by a signal, and returns once it is gone.
    pub(crate) async fn end(&mut self, signal: Signal) {
        let mut process = self.process.take().expect("a running Redis");
        process.signal(signal);
        process.ended(LONG).await;
    }

    /// Sends it a signal, and goes on at once.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.as_mut().expect("a running Redis").signal(signal);
    }

    /// Starts it again, on the same port and with what it held.
    pub(crate) async fn restart(&mut self) {
        let mut command = server_command();
        command
            .current_dir(self.folder.path())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--maxmemory-policy", "noeviction"])
            .args(&self.options);
        self.process = Some(Process::start("redis-server", command, self.folder.path().join("output.log")));
        eventually(LONG, "Redis answers", async || {
            self.connect().and_then(|mut connection| connection.ping::<String>())
        })
        .await;
    }

    /// A connection of the test's own.
    pub(crate) fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection()
    }

    /// Every key on the server, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.connect().and_then(|mut c| c.keys("*")).expect("an answer to KEYS");
        keys.sort();
        keys
    }

    /// Pushes a message as a producer does, with `redis-cli`.
    pub(crate) fn cli_push(&self, message: &[u8]) {
        use std::io::Write;
        // -x: the last argument from standard input, so that any bytes pass.
        let mut child = Command::new("redis-cli")
            .args(["-u", &self.url(), "-x", "LPUSH", QUEUE_KEY])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("redis-cli; run scripts/install-packages.sh");
        child.stdin.take().expect("its input").write_all(message).expect("redis-cli reads the message");
        let output = child.wait_with_output().expect("redis-cli ends");
        let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(answer.parse::<u64>().is_ok(), "LPUSH answered {answer:?}");
    }
}
