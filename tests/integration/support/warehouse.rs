//! The reference warehouse as a process.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::http::{self, Answer};
use crate::support::process::{Process, Signal};
use crate::support::worker::binary;
use crate::support::{LONG, eventually};

/// `fulfillment-worker warehouse`, on a port that was free.
pub(crate) struct WarehouseProcess {
    process: Process,
    address: SocketAddr,
    folder: TempDir,
    /// `Bearer TOKEN`, if it wants one.
    authorization: Option<String>,
}

impl WarehouseProcess {
    /// Starts one, in an empty folder, and waits until it serves.
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder for the warehouse"), options).await
    }

    /// Starts one in this folder.
    pub(crate) async fn start_in(folder: TempDir, options: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", folder, options).await
    }

    /// Starts one in this folder and at this address.
    pub(crate) async fn start_at(address: &str, folder: TempDir, options: &[&str]) -> Self {
        let mut command = binary(&["warehouse", "--listen", address]);
        command.args(options);
        let token =
            options.windows(2).find_map(|words| (words[0] == "--token").then(|| format!("Bearer {}", words[1])));
        Self { authorization: token, ..Self::launch(folder, command).await }
    }

    /// Starts one whose files can't grow over 1 KiB, as on a disk that is full.
    pub(crate) async fn start_with_little_room(options: &[&str]) -> Self {
        let mut command = Command::new("bash");
        let program = env!("CARGO_BIN_EXE_fulfillment-worker");
        // Without the trap the system would end the process at the limit.
        let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" warehouse --listen 127.0.0.1:0 \"$@\"";
        command.args(["-c", script, program]).args(options);
        Self::launch(tempfile::tempdir().expect("a folder for the warehouse"), command).await
    }

    async fn launch(folder: TempDir, mut command: Command) -> Self {
        command.current_dir(folder.path());
        let output = tempfile::NamedTempFile::new_in(folder.path()).expect("a file for the output");
        let (_, output) = output.keep().expect("a file for the output");
        let mut process = Process::start("fulfillment-worker warehouse", command, output);
        let address = eventually(LONG, "the warehouse tells its address", async || {
            assert!(process.status().is_none(), "the warehouse has ended");
            let output = process.output();
            let line = output.lines().find_map(|line| line.strip_prefix("http://")?.strip_suffix("/shipments"));
            line.map(str::to_owned).ok_or(output)
        })
        .await;
        Self { process, address: address.parse().expect("an address"), folder, authorization: None }
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder, with the record if it has a relative path.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// POSTs order `id` for the `attempt`th time, as the worker does.
    pub(crate) fn post(&self, id: u64, attempt: u64) -> io::Result<Answer> {
        post(self.address, id, attempt)
    }

    /// As [`WarehouseProcess::post`], where an answer is sure to come.
    pub(crate) fn posted(&self, id: u64, attempt: u64) -> Answer {
        self.post(id, attempt).unwrap_or_else(|error| panic!("order {id}: {error}"))
    }

    /// Sends any request.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        http::send(self.address, method, path, headers, body)
    }

    /// Sends any request; an answer is sure to come.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Makes it behave so from now on.
    pub(crate) fn behave(&self, behaviour: &Value) {
        let answer = self.ask("PUT", "/behaviour", &self.authorized(), behaviour.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// `GET /stats`.
    pub(crate) fn stats(&self) -> Value {
        body(&self.ask("GET", "/stats", &self.authorized(), b""))
    }

    fn authorized(&self) -> Vec<(&str, &str)> {
        self.authorization.iter().map(|authorization| ("Authorization", authorization.as_str())).collect()
    }

    /// The lines of a record in its folder.
    pub(crate) fn record(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join(name)).expect("the record");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end, and gives its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.process.ended(LONG).await.code()
    }

    /// Ends it without any warning, and leaves its folder.
    pub(crate) async fn kill(mut self) -> TempDir {
        self.process.signal(Signal::Kill);
        self.process.ended(LONG).await;
        self.folder
    }
}

/// POSTs an order to whatever warehouse is there.
pub(crate) fn post(address: SocketAddr, id: u64, attempt: u64) -> io::Result<Answer> {
    http::send(address, "POST", "/shipments", &headers(&key(id)), order(id, attempt).to_string().as_bytes())
}

/// The idempotency key of an order.
pub(crate) fn key(id: u64) -> String {
    format!("order-{id}-1291191960000000")
}

/// What the worker sends beside the body, at least.
pub(crate) fn headers(key: &str) -> [(&str, &str); 2] {
    [("Content-Type", "application/json"), ("Idempotency-Key", key)]
}

/// An order as the worker sends it.
pub(crate) fn order(id: u64, attempt: u64) -> Value {
    json!({
        "order_id": id,
        "product_id": 7,
        "product": "WHITE HANGING HEART T-LIGHT HOLDER",
        "quantity": 6,
        "created_at": "2010-12-01T08:26:00.000000",
        "correlation_id": null,
        "attempt": attempt,
    })
}

/// The body of an answer, as JSON.
pub(crate) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}
