//! How fast the worker calls a warehouse that answers at once, against what `wrk` gets from the same warehouse with the
//! same requests. `make bench` runs it; docs/BENCHMARKS.md keeps the figures.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that can't go on stops, and prints its result"
)]

#[expect(dead_code, reason = "shared with the other benchmark, which uses all of it")]
mod load;

use std::net::TcpStream;
use std::process::{Command, Stdio};

use load::{Running, free_port, poll_until, worker_process};

/// Odd, so that there is a middle one.
const ROUNDS: usize = 3;
/// Enough to keep the warehouse busy; the same for both callers.
const CALLS_AT_ONCE: &str = "256";

#[tokio::main]
async fn main() {
    let orders: usize = std::env::var("BENCH_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let (mut callers, mut workers) = (Vec::new(), Vec::new());
    // In turn, so that a machine that slows down does so for both; each time with a warehouse that has no keys yet.
    for round in 0..ROUNDS {
        let (port, warehouse) = warehouse().await;
        callers.push(wrk(port));
        drop(warehouse);
        let (port, warehouse) = self::warehouse().await;
        let url = format!("http://127.0.0.1:{port}/shipments");
        let options = ["--fulfiller", &url, "--concurrency", "2000", "--fulfiller-concurrency", CALLS_AT_ONCE];
        workers.push(worker_process(&format!("bench_warehouse_{round}"), &options, orders).await.rate);
        drop(warehouse);
    }
    let mut ratios: Vec<f64> = workers.iter().zip(&callers).map(|(worker, caller)| worker / caller).collect();
    println!("| what | calls/s | ratio to wrk | target |");
    println!("|---|---|---|---|");
    println!("| wrk, {CALLS_AT_ONCE} connections | {:.0} | 1 | |", middle(&mut callers));
    let (rate, ratio) = (middle(&mut workers), middle(&mut ratios));
    println!("| Redis + Postgres, events on, {CALLS_AT_ONCE} calls at once | {rate:.0} | {ratio:.2} | ≥ 8,000/s |");
    println!("\n{orders} orders; medians of {ROUNDS} rounds; ratios of the rounds: {ratios:.2?}.");
}

/// A warehouse of its own process, and its port.
async fn warehouse() -> (u16, Running) {
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
    command.args(["warehouse", "--listen", &format!("127.0.0.1:{port}")]);
    let running = Running::start({
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    });
    poll_until("the warehouse is up", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    (port, running)
}

/// What wrk counts in ten seconds, as requests per second.
fn wrk(port: u16) -> f64 {
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", CALLS_AT_ONCE, "--duration", "10s"])
        .args(["--script", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/requests.lua")])
        .arg(format!("http://127.0.0.1:{port}"))
        .output()
        .expect("`wrk`; scripts/install-packages.sh installs it");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("Non-2xx"), "the warehouse refused requests of wrk's:\n{text}");
    text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok()).expect("Requests/sec")
}

fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
