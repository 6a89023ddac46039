//! A reader of the log that has stopped reading, as a frozen `docker logs` or Ctrl-S makes it. Needs no server.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::net::SocketAddr;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::metrics::Metrics;
use crate::support::operator;
use crate::support::worker::binary;
use crate::support::{BUSY, LONG, eventually, expect_equal, free_port, http};

/// A worker with an embedded database whose standard error is a pipe that nobody reads.
struct Unread {
    child: Child,
    address: SocketAddr,
    log: PipeReader,
    folder: tempfile::TempDir,
}

impl Unread {
    async fn start(options: &[&str]) -> Self {
        let (log, writer) = pipe().expect("a pipe");
        let (folder, address) = place();
        let child = spawn(&folder, address, writer, options);
        let worker = Self { child, address, log, folder };
        eventually(LONG, "the worker is ready", async || worker.answers("/readyz", 200)).await;
        worker
    }

    fn answers(&self, path: &str, status: u16) -> Result<(), String> {
        let answer = http::get(self.address, path, &[]).map_err(|error| error.to_string())?;
        expect_equal(answer.status, status)
    }

    fn metrics(&self) -> Metrics {
        let authorization = operator::authorization();
        let headers = [("Authorization", authorization.as_str())];
        Metrics::parse(&http::get(self.address, "/metrics", &headers).expect("an answer").text())
    }

    fn dropped(&self) -> f64 {
        self.metrics().value("fulfillment_log_messages_dropped_total")
    }

    /// Has it log changes of the filter, of two kilobytes each, until lines are dropped.
    fn fill(&self) {
        let (filters, began) = ([pad("info"), pad("warn,info")], Instant::now());
        let authorization = operator::authorization();
        for filter in filters.iter().cycle() {
            for _ in 0..100 {
                let headers = [("Authorization", authorization.as_str())];
                let answer = http::send(self.address, "PUT", "/log", &headers, filter.as_bytes()).expect("an answer");
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
            if self.dropped() > 0.0 {
                return;
            }
            assert!(began.elapsed() < LONG * 4, "no line is dropped");
        }
    }

    fn submit(&self, orders: usize) {
        let file = self.folder.path().join("orders.csv");
        let line = "WHITE HANGING HEART T-LIGHT HOLDER,6\n";
        std::fs::write(&file, format!("product,quantity\n{}", line.repeat(orders))).expect("the orders");
        let store = ["--queue", "sqlite:db", "--store", "sqlite:db"];
        let mut submit = binary(&[&["submit", "orders.csv"][..], &store].concat());
        let submitted = submit.current_dir(self.folder.path()).output().expect("the binary starts");
        assert!(submitted.status.success(), "{submitted:?}");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("`kill`").success());
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually(LONG, "the worker ends", async || {
            self.child.try_wait().expect("a child that can be waited for").ok_or("it is still running")
        })
        .await
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place() -> (tempfile::TempDir, SocketAddr) {
    (tempfile::tempdir().expect("a folder"), SocketAddr::from(([127, 0, 0, 1], free_port())))
}

fn spawn(folder: &tempfile::TempDir, address: SocketAddr, stderr: PipeWriter, options: &[&str]) -> Child {
    let listen = address.to_string();
    let mut run = binary(&["run", "--store", "sqlite:db", "--listen", &listen, "--log-format", "json"]);
    run.args(operator::options()).args(options).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    run.stderr(stderr).spawn().expect("the binary starts")
}

/// As long as a filter may be.
fn pad(filter: &str) -> String {
    format!("{filter}{}", ",".repeat(1_000 - filter.len()))
}

/// Caught on the code before: the first line that found the pipe full held its thread for good, and soon each thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nothing_and_its_lines_are_dropped_and_counted() {
    let mut worker = Unread::start(&["--simulate-latency", "0", "--log-orders", "all"]).await;
    worker.fill();
    let dropped = worker.dropped();

    worker.submit(50);
    eventually(LONG, "all orders are fulfilled", async || expect_equal(worker.metrics().processed("success"), 50.0))
        .await;
    worker.answers("/health", 200).expect("healthy");
    assert!(worker.dropped() >= dropped + 50.0, "a line for each order is missing: {dropped}, {}", worker.dropped());

    worker.signal("TERM");
    assert_eq!(worker.ended().await.code(), Some(0));
}

/// Caught on the code before, which neither signal ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_worker_whose_log_nobody_reads() {
    let mut worker =
        Unread::start(&["--simulate-latency", "10m", "--call-timeout", "30m", "--drain-timeout", "30m"]).await;
    worker.submit(5);
    worker.fill();
    worker.signal("TERM");
    eventually(LONG, "it drains", async || worker.answers("/readyz", 503)).await;
    let asked = Instant::now();
    worker.signal("TERM");
    assert_eq!(worker.ended().await.code(), Some(143));
    assert!(asked.elapsed() < BUSY, "it took {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_back_gets_every_line_that_was_kept_and_one_that_counts_the_others() {
    let worker = Unread::start(&[]).await;
    worker.fill();
    let dropped = worker.dropped();
    let mut log = BufReader::new(worker.log.try_clone().expect("the pipe"));
    let (found, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while log.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            let whole: serde_json::Value = serde_json::from_str(&line).expect("a whole line");
            if whole["message"].as_str().is_some_and(|message| message.starts_with("lines of the log are missing")) {
                let _ = found.send(whole["lines"].as_f64());
            }
            line.clear();
        }
    });
    assert_eq!(lines.recv_timeout(LONG).expect("a line about the gap"), Some(dropped));
    assert!(lines.recv_timeout(Duration::from_millis(200)).is_err(), "one gap, one line");
    assert_eq!(worker.dropped(), dropped, "no line is dropped once the reader is back");
}

/// Caught on the code before, which waited for the reader to take the error.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_ends_although_nobody_takes_its_error() {
    let (log, mut writer) = pipe().expect("a pipe");
    let (folder, address) = place();
    let _taken = std::net::TcpListener::bind(address).expect("the port");
    // As much as a pipe holds.
    writer.write_all(&[b'\n'; 65_536]).expect("room in the pipe");
    let child = spawn(&folder, address, writer, &[]);
    let mut worker = Unread { child, address, log, folder };
    assert_eq!(worker.ended().await.code(), Some(1));
}
