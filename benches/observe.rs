//! What the metrics of an order cost: every event of a successful order, told to `Metrics`, and a scrape. `make bench` runs
//! it; docs/BENCHMARKS.md keeps the figures.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::trace_context::{SpanId, TraceContext, TraceId};
use fulfillment_worker::engine::BATCH;
use fulfillment_worker::event::{CallId, CallOutcome, Dependency, Event, Observer, RequestClass, Stage, Subject};
use fulfillment_worker::observe::metrics::{Format, LogMessages, Metrics};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Calls of other orders that are under way meanwhile.
const OTHERS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let metrics = Metrics::new(tokio::runtime::Handle::current(), "bench", LogMessages::default());
    for _ in 0..OTHERS {
        metrics.observe(&Event::CallBegan { call: CallId::fresh(), to: Dependency::Fulfiller });
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
    for format in Format::ALL {
        scrape.bench_function(format!("{format:?}"), |bencher| bencher.iter(|| metrics.render(format, true)));
    }
    scrape.finish();
    criterion.final_summary();
}

/// What is told of an order alone, its call over HTTP.
fn order(metrics: &Metrics, trace: Option<TraceContext>) {
    let subject = Subject { order_id: Some(OrderId(1)), correlation_id: Some("c"), attempt: 1, trace };
    let (took, outcome) = (Duration::from_millis(30), CallOutcome::Fulfilled);
    metrics.observe(&Event::AttemptStarted { subject, takeover: false, waited: Some(took) });
    call(metrics, Dependency::Fulfiller, || {
        metrics.observe(&Event::RequestEnded { class: RequestClass::Done, took });
    });
    metrics.observe(&Event::CallEnded { subject, outcome, took, detail: Some("reference") });
    metrics.observe(&Event::Fulfilled { subject, took, age: Some(took), reference: Some("reference") });
}

/// What is told of the batches that so many orders are in, in common.
fn batches(metrics: &Metrics, items: usize) {
    let took = Duration::from_millis(2);
    for stage in [Stage::Claim, Stage::Begin, Stage::Conclude, Stage::Settle] {
        call(metrics, stage.dependency(), || {});
        metrics.observe(&Event::StageDone { stage, items, took, ok: true });
        metrics.observe(&Event::DependencyUp(stage.dependency()));
    }
    metrics.observe(&Event::InFlight(items));
    metrics.observe(&Event::InFlight(0));
}

fn call(metrics: &Metrics, to: Dependency, meanwhile: impl FnOnce()) {
    let call = CallId::fresh();
    metrics.observe(&Event::CallBegan { call, to });
    meanwhile();
    metrics.observe(&Event::CallOver { call, to });
}
