//! What a worker shows while something lasts.

use std::time::{Duration, Instant};

use crate::support::metrics::Metrics;
use crate::support::worker::WorkerProcess;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(200);
const MIB: f64 = 1024.0 * 1024.0;

/// What was seen, one look at a time.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    seconds: f64,
    first: Metrics,
    last: Metrics,
    in_flight: Vec<f64>,
    resident_mib: Vec<f64>,
    /// Of `/readyz`.
    ready: Vec<bool>,
    /// Of `/health`.
    pub(crate) healthy: Vec<bool>,
}

/// Looks at a worker for so long.
pub(crate) async fn watch(worker: &WorkerProcess, time: Duration) -> Figures {
    let began = Instant::now();
    let first = worker.metrics();
    let mut figures = Figures {
        seconds: 0.0,
        last: first.clone(),
        first,
        in_flight: Vec::new(),
        resident_mib: Vec::new(),
        ready: Vec::new(),
        healthy: Vec::new(),
    };
    let mut ticks = tokio::time::interval(EVERY);
    while began.elapsed() < time {
        ticks.tick().await;
        figures.look(worker);
    }
    figures.seconds = began.elapsed().as_secs_f64();
    figures
}

impl Figures {
    fn look(&mut self, worker: &WorkerProcess) {
        let metrics = worker.metrics();
        self.in_flight.push(metrics.value("fulfillment_orders_in_flight"));
        self.resident_mib.push(metrics.value("process_resident_memory_bytes") / MIB);
        let readiness = worker.get("/readyz", &[]);
        self.ready.push(readiness.status == 200);
        self.healthy.push(worker.get("/health", &[]).status == 200);
        self.last = metrics;
    }

    /// How much a counter grew.
    fn grown(&self, series: &str) -> f64 {
        self.last.value(series) - self.first.value(series)
    }

    fn per_second(&self, series: &str) -> f64 {
        self.grown(series) / self.seconds
    }

    pub(crate) fn most_in_flight(&self) -> f64 {
        most(&self.in_flight)
    }

    pub(crate) fn peak_resident_mib(&self) -> f64 {
        most(&self.resident_mib)
    }

    fn row(&self, phase: &str) -> String {
        let mean = self.in_flight.iter().sum::<f64>() / self.in_flight.len() as f64;
        let ready = 100 * self.ready.iter().filter(|ready| **ready).count() / self.ready.len();
        format!(
            "| {phase} | {:.1} | {:.1} | {mean:.0} / {:.0} | {:.0} / {:.0} / {:.0} | {ready} % |",
            self.per_second(r#"orders_processed_total{status="success"}"#),
            self.per_second(r#"fulfillment_batch_size_sum{stage="claim"}"#),
            self.most_in_flight(),
            self.resident_mib.first().expect("a look"),
            self.peak_resident_mib(),
            self.resident_mib.last().expect("a look"),
        )
    }
}

/// Prints phases as a table.
pub(crate) fn print(phases: &[(&str, &Figures)]) {
    let rows: Vec<String> = phases.iter().map(|(phase, figures)| figures.row(phase)).collect();
    println!(
        "| phase | orders/s | claims/s | in flight mean / most | RSS MiB start / peak / end | ready |\n|---|---|---|---|---|---|\n{}",
        rows.join("\n")
    );
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}
