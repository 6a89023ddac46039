//! What the metrics of an order cost: every event of a successful order, told to `Metrics`, and a scrape. `make bench` runs
//! it; docs/BENCHMARKS.md keeps the figures.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::trace_context::{SpanId, TraceContext, TraceId};
use fulfillment_worker::engine::BATCH;
use fulfillment_worker::event::{
    AttemptRef, CallId, CallOutcome, Dependency, DependencyEvent, FulfillerEvent, Observer, OrderEvent, RequestClass,
    Stage,
};
use fulfillment_worker::observe::metrics::{Format, LogMessages, Metrics};

/// Calls of other orders that are under way meanwhile.
const OTHERS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let metrics = Metrics::new(tokio::runtime::Handle::current(), "bench", LogMessages::default());
    for _ in 0..OTHERS {
        metrics.observe(&DependencyEvent::CallBegan { call: CallId::fresh(), to: Dependency::Fulfiller }.into());
    }
    let traced = |sampled| Some(TraceContext { trace_id: TraceId(1), span_id: SpanId(1), sampled });
    let mut alone = criterion.benchmark_group("an order by itself");
    for (name, trace) in [("not traced", None), ("not sampled", traced(false)), ("sampled", traced(true))] {
        alone.bench_function(name, |bencher| {
            bencher.iter(|| {
                batches(&metrics, 1);
                order(&metrics, black_box(trace));
            });
        });
    }
    alone.finish();
    let mut batch = criterion.benchmark_group("a batch of orders");
    batch.throughput(Throughput::Elements(BATCH as u64));
    batch.bench_function("not traced", |bencher| {
        bencher.iter(|| {
            batches(&metrics, BATCH);
            (0..BATCH).for_each(|_| order(&metrics, black_box(None)));
        });
    });
    batch.finish();
    let mut scrape = criterion.benchmark_group("a rendering");
    for format in Format::all() {
        scrape.bench_function(format!("{format:?}"), |bencher| bencher.iter(|| metrics.render(format, true)));
    }
    scrape.finish();
    criterion.final_summary();
}

/// What is told of an order alone, its call over HTTP.
fn order(metrics: &Metrics, trace: Option<TraceContext>) {
    let attempt = AttemptRef { order_id: Some(OrderId(1)), correlation_id: Some("c"), number: 1, trace };
    let (took, outcome) = (Duration::from_millis(30), CallOutcome::Fulfilled);
    metrics.observe(&OrderEvent::AttemptStarted { attempt, takeover: false, waited: Some(took) }.into());
    call(metrics, Dependency::Fulfiller, || {
        metrics.observe(&FulfillerEvent::RequestEnded { class: RequestClass::Done, took }.into());
    });
    metrics.observe(&FulfillerEvent::CallEnded { attempt, outcome, took, detail: Some("reference") }.into());
    metrics.observe(&OrderEvent::Fulfilled { attempt, took, age: Some(took), reference: Some("reference") }.into());
}

/// What is told of the batches that so many orders are in, in common.
fn batches(metrics: &Metrics, items: usize) {
    let took = Duration::from_millis(2);
    for stage in [Stage::Claim, Stage::Begin, Stage::Conclude, Stage::Settle] {
        call(metrics, stage.dependency(), || {});
        metrics.observe(&DependencyEvent::StageDone { stage, items, took, ok: true }.into());
        metrics.observe(&DependencyEvent::Up(stage.dependency()).into());
    }
    metrics.observe(&OrderEvent::InFlight(items).into());
    metrics.observe(&OrderEvent::InFlight(0).into());
}

fn call(metrics: &Metrics, to: Dependency, meanwhile: impl FnOnce()) {
    let call = CallId::fresh();
    metrics.observe(&DependencyEvent::CallBegan { call, to }.into());
    meanwhile();
    metrics.observe(&DependencyEvent::CallOver { call, to }.into());
}
