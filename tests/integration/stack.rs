//! `make stack`: the worker with everything around it, without containers.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::metrics::Metrics;
use crate::support::process::{Process, Signal};
use crate::support::{LONG, eventually, http};
use serde_json::Value;
use tempfile::TempDir;

/// What a pipe holds on Linux until somebody reads it (pipe(7)).
const PIPE_BYTES: usize = 64 * 1024;

/// A stack that runs, and what it said of itself.
struct Stack {
    process: Process,
    /// Where it has its own temporary folder.
    temporary: TempDir,
    told: String,
    output: TempDir,
}

impl Stack {
    /// Starts it, and waits until it says that all of it is there.
    async fn start() -> Self {
        let mut stack = Self::spawn(None);
        stack.told = stack.says("Ctrl-C stops everything.").await;
        stack
    }

    /// Starts it. It says what it has to say to `stdout`, or to the file that [`Process::output`] reads.
    fn spawn(stdout: Option<PipeWriter>) -> Self {
        let temporary = tempfile::tempdir().expect("a folder for temporary folders");
        // A script can't catch a signal that whoever started it ignores, as a shell has it for what runs in the background.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,TERM", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack.sh")]);
        command
            .env("FULFILLMENT_WORKER_PROGRAM", env!("CARGO_BIN_EXE_fulfillment-worker"))
            .env("TMPDIR", temporary.path())
            .args(["--simulate-latency", "0", "--lease", "2s"]);
        let output = tempfile::tempdir().expect("a folder for its output");
        let log = output.path().join("output.log");
        let process = match stdout {
            None => Process::start("the stack", command, log),
            Some(pipe) => Process::start_with_stdout("the stack", command, pipe.into(), log),
        };
        Self { process, temporary, told: String::new(), output }
    }

    /// Waits until it has said this, and returns all that it has said.
    async fn says(&mut self, text: &str) -> String {
        eventually(LONG, text, async || {
            let told = self.process.output();
            if told.contains(text) {
                return Ok(told);
            }
            assert!(self.process.status().is_none(), "the stack has ended: {told}");
            Err(told)
        })
        .await
    }

    /// The URL that it told under this name.
    fn url(&self, name: &str) -> &str {
        let url = self.told.lines().find_map(|line| line.strip_prefix(name)?.trim_start().split(' ').next());
        url.unwrap_or_else(|| panic!("no {name}: {}", self.told))
    }

    fn address(&self, name: &str) -> SocketAddr {
        let url = url::Url::parse(self.url(name)).expect("a URL");
        url.socket_addrs(|| None).expect("an address").remove(0)
    }

    /// What Prometheus answers to `/api/v1/…`.
    fn prometheus(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address("Prometheus"), path, &[]).map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", answer.text()))
    }

    /// How many series an instant query finds.
    fn found(&self, expression: &str) -> Result<usize, String> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = self.prometheus(&format!("/api/v1/query?query={encoded}"))?;
        answer["data"]["result"].as_array().map(Vec::len).ok_or_else(|| answer.to_string())
    }

    fn fulfilled(&self) -> Result<f64, String> {
        let answer = http::get(self.address("Metrics"), "/metrics", &[]).map_err(|error| error.to_string())?;
        Ok(Metrics::parse(&answer.text()).processed("success"))
    }

    /// Its folder below the temporary one.
    fn folder(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(self.temporary.path()).expect("the folder for temporary folders");
        entries.next().expect("a folder of the stack").expect("its name").path()
    }

    fn worker_id(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder().join("worker.pid")).expect("the worker's id");
        text.trim().parse().expect("a number")
    }

    /// Waits for its end, and shows that nothing is left: no folder, and nobody who listens.
    async fn gone(mut self, code: i32) -> String {
        let status = self.process.ended(LONG).await;
        assert_eq!(status.code(), Some(code));
        let left: Vec<_> = std::fs::read_dir(self.temporary.path()).expect("the folder").collect();
        assert!(left.is_empty(), "{left:?}");
        for name in ["Page", "Prometheus", "Alertmanager", "Redis", "Postgres"] {
            let address = self.address(name);
            assert!(std::net::TcpStream::connect(address).is_err(), "{name} still listens on {address}");
        }
        self.process.output()
    }
}

fn kill(id: u32) {
    let killed = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status().expect("`kill`");
    assert!(killed.success());
}

/// Caught, when seeded: a Prometheus that scrapes the addresses of the containers, and a folder that stays.
#[tokio::test]
async fn orders_flow_prometheus_sees_the_worker_and_alertmanager_and_ctrl_c_leaves_nothing_behind() {
    let mut stack = Stack::start().await;
    eventually(LONG, "orders are fulfilled", async || match stack.fulfilled()? {
        count if count >= 20.0 => Ok(()),
        count => Err(format!("{count}")),
    })
    .await;
    let alertmanager = stack.address("Alertmanager").to_string();
    eventually(LONG, "Prometheus scrapes the worker and knows Alertmanager", async || {
        let up = stack.prometheus("/api/v1/query?query=up%7Bjob%3D%22fulfillment-worker%22%7D")?;
        let alertmanagers = stack.prometheus("/api/v1/alertmanagers")?;
        let known = alertmanagers["data"]["activeAlertmanagers"].to_string().contains(&alertmanager);
        if up["data"]["result"][0]["value"][1] == "1" && known { Ok(()) } else { Err(format!("{up} {alertmanagers}")) }
    })
    .await;
    let configuration = stack.prometheus("/api/v1/status/config").expect("its configuration").to_string();
    let runbook = concat!("runbook: file://", env!("CARGO_MANIFEST_DIR"), "/docs/RUNBOOK.md");
    assert!(configuration.contains(runbook), "{configuration}");
    let rules = stack.prometheus("/api/v1/rules").expect("its rules").to_string();
    assert!(rules.contains("FulfillmentStalled") && rules.contains("job:orders_fulfilled:rate5m"), "{rules}");

    stack.process.signal(Signal::Int);
    stack.gone(0).await;
}

/// What the overview asks, as Grafana does when everything is chosen: the panel, and the query.
fn overview() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/dashboards/overview.json");
    let text = std::fs::read_to_string(path).expect("the overview");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut asked = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let mut query = target["expr"].as_str().expect("a query").to_owned();
            // An interval of rates is four scrapes at least.
            for (variable, value) in
                [("$__rate_interval", "1m"), ("$__range", "15m"), ("$job", ".+"), ("$instance", ".+")]
            {
                query = query.replace(variable, value);
            }
            asked.push((panel["title"].as_str().expect("a title").to_owned(), query));
        }
    }
    asked
}

/// Caught, when seeded: a Prometheus that scrapes every minute, and a panel about a metric that there isn't.
#[tokio::test]
async fn every_panel_of_the_overview_has_data_within_a_minute_but_the_one_about_orders_that_were_given_up() {
    let mut stack = Stack::start().await;
    let mut asked = overview();
    asked.retain(|(panel, _)| panel != "Given up, by reason");
    assert!(asked.len() > 30, "{asked:?}");
    eventually(Duration::from_secs(60), "every panel has data", async || {
        let mut empty = Vec::new();
        for (panel, query) in &asked {
            if stack.found(query)? == 0 {
                empty.push(format!("{panel}: {query}"));
            }
        }
        if empty.is_empty() { Ok(()) } else { Err(empty.join("\n")) }
    })
    .await;
    stack.process.signal(Signal::Int);
    stack.gone(0).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_started_again_and_goes_on() {
    let mut stack = Stack::start().await;
    let killed = stack.worker_id();
    kill(killed);
    stack.says("the worker was killed (137); starting it again").await;
    eventually(LONG, "another worker fulfils orders", async || match stack.fulfilled()? {
        count if stack.worker_id() != killed && count > 0.0 => Ok(()),
        count => Err(format!("{count} by {}", stack.worker_id())),
    })
    .await;
    stack.process.signal(Signal::Term);
    stack.gone(0).await;
}

/// Whether the process waits for a child that is called so.
fn runs(id: u32, child: &str) -> bool {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let names = children.split_whitespace().map(|id| std::fs::read_to_string(format!("/proc/{id}/comm")));
    names.flatten().any(|name| name.trim() == child)
}

/// The worst moment: everything runs, and the script has not begun to wait for an end, as its output is not read.
/// Caught, when seeded: `wait -n`, which misses an end that was before it.
#[tokio::test]
async fn a_worker_that_is_killed_before_its_end_is_waited_for_is_started_again() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let full = vec![b'\n'; PIPE_BYTES];
    writer.write_all(&full).expect("a pipe of the usual size");
    let mut stack = Stack::spawn(Some(writer));
    eventually(LONG, "the script blocks while it prints", async || {
        if runs(stack.process.id(), "cat") { Ok(()) } else { Err(stack.process.output()) }
    })
    .await;
    let killed = stack.worker_id();
    kill(killed);
    eventually(LONG, "bash has reaped the worker", async || {
        if PathBuf::from(format!("/proc/{killed}")).exists() { Err("it is still there") } else { Ok(()) }
    })
    .await;
    let mut log = File::options().append(true).open(stack.output.path().join("output.log")).expect("its log");
    let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut log).expect("its output"));
    stack.told = stack.says("the worker was killed (137); starting it again").await;
    stack.process.signal(Signal::Int);
    stack.gone(0).await;
    reading.join().expect("the output until its end");
}

#[tokio::test]
async fn a_part_that_dies_is_named_with_the_end_of_its_log_and_ends_the_rest() {
    let stack = Stack::start().await;
    let redis = stack.told.lines().find_map(|line| line.trim_start().strip_prefix("kill -STOP ")?.split(';').next());
    kill(redis.expect("what to try with Redis").parse().expect("its id"));
    let told = stack.gone(1).await;
    assert!(told.contains("error: redis has ended (137); its log ends so:"), "{told}");
    assert!(told.trim_end().ends_with("Ready to accept connections"), "{told}");
}
