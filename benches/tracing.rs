//! What traces cost the orders, as ratios taken in one run. `make bench` runs it; docs/BENCHMARKS.md keeps the figures.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that can't go on stops, and prints its result"
)]

#[expect(dead_code, reason = "shared with the other benchmarks, which use all of it")]
mod load;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use load::WorkerProcess;
use tokio::net::TcpListener;

const ROUNDS: usize = 9;

/// What is done with traces, and the environment that says so. `COLLECTOR` stands for one that takes them and `HANGING` for
/// one that never answers.
const WAYS: [(&str, &[(&str, &str)]); 4] = [
    ("off", &[]),
    ("to a collector that never answers", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "HANGING")]),
    (
        "one attempt in a hundred, to a collector on the same machine",
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "COLLECTOR"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ],
    ),
    ("every attempt, to a collector on the same machine", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "COLLECTOR")]),
];

#[tokio::main]
async fn main() {
    let orders: usize = std::env::var("BENCH_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let (collector, hanging) = (collector().await, hanging().await);
    let mut ratios = vec![Vec::new(); WAYS.len()];
    for round in 0..ROUNDS {
        let mut rates = [0.0; WAYS.len()];
        // Each goes first as often as the others.
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            let at = |value: &str| value.replace("COLLECTOR", &collector).replace("HANGING", &hanging);
            let variables: Vec<(&str, String)> = WAYS[way].1.iter().map(|(name, value)| (*name, at(value))).collect();
            rates[way] = rate(&format!("bench_tracing_{round}_{way}"), &variables, orders).await;
        }
        for (ratios, rate) in ratios.iter_mut().zip(rates) {
            ratios.push(rate / rates[0]);
        }
    }
    println!("| traces | orders/s, to those without | spread | target |");
    println!("|---|---|---|---|");
    for ((what, _), ratios) in WAYS.iter().zip(&mut ratios).skip(1) {
        ratios.sort_by(f64::total_cmp);
        let (middle, quarter) = (ratios[ROUNDS / 2], ROUNDS / 4);
        let (lower, upper) = (ratios[quarter], ratios[ROUNDS - 1 - quarter]);
        let target = if what.contains("never answers") { "≥ 0.98" } else { "" };
        println!(
            "| {what} | {middle:.3} | half of the rounds {lower:.3} to {upper:.3}, all {:.3} to {:.3} | {target} |",
            ratios[0],
            ratios[ROUNDS - 1]
        );
    }
    println!("\n{orders} orders, {ROUNDS} rounds.");
}

/// Orders per second of a worker whose queue was full at its start.
async fn rate(name: &str, environment: &[(&str, String)], orders: usize) -> f64 {
    load::submit(&load::opened(&load::on_servers(name).await).await, orders).await;
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let options = ["--simulate-latency", "0", "--concurrency", "5000", "--log", "error"];
    WorkerProcess::start(name, &options, &environment).rate(orders).await
}

/// Takes whatever comes.
async fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let take = async |body: Bytes| drop(body);
    let routes = Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::max(64 << 20));
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
    format!("http://{address}")
}

/// Takes connections, and says nothing.
async fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            taken.push(connection);
        }
    });
    format!("http://{address}")
}
