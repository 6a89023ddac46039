//! Whatever is told, no label takes more values than it has.

use std::time::Duration;

use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::trace_context::{SpanId, TraceContext, TraceId};
use fulfillment_worker::event::{
    AttemptRef, CallId, DependencyEvent, Event, FulfillerEvent, LifecycleEvent, Observer, OrderEvent, ReconcilerEvent,
};
use fulfillment_worker::observe::metrics::{Format, Metrics};

use crate::exposition::{metrics, runtime, text};

const DIFFERENT: u64 = 10_000;

fn series(metrics: &Metrics) -> usize {
    text(metrics, Format::PrometheusText, true).lines().filter(|line| !line.starts_with('#')).count()
}

/// Everything that can be said of an order, with words and ids that nothing else has.
fn tell_of(nth: u64, metrics: &Metrics) {
    let words =
        format!("order {nth} \"of\" {{product=\"P{nth}\"}}\n# {}", "x".repeat(usize::try_from(nth % 50).unwrap()));
    let correlation_id = format!("correlation-{nth}");
    let trace = TraceContext {
        trace_id: TraceId(u128::from(nth + 1)),
        span_id: SpanId(nth + 1),
        sampled: nth.is_multiple_of(2),
    };
    let order_id = OrderId(i64::try_from(nth).unwrap());
    let order_ids = [order_id];
    let attempt = AttemptRef {
        order_id: Some(order_id),
        correlation_id: Some(&correlation_id),
        number: u32::try_from(nth).unwrap(),
        trace: Some(trace),
    };
    let took = Duration::from_micros(nth * nth);
    let pick = usize::try_from(nth).unwrap();
    let call = CallId::fresh();
    let dependency = any(pick);
    let events: [Event<'_>; 16] = [
        LifecycleEvent::Started { worker: &words, concurrency: pick }.into(),
        DependencyEvent::CallBegan { call, to: dependency }.into(),
        DependencyEvent::CallOver { call, to: dependency }.into(),
        DependencyEvent::Down { dependency, error: &words, retry_in: took }.into(),
        OrderEvent::AttemptStarted { attempt, takeover: true, waited: Some(took) }.into(),
        FulfillerEvent::CallEnded { attempt, outcome: any(pick), took, detail: Some(&words) }.into(),
        OrderEvent::Fulfilled { attempt, took, age: Some(took), reference: Some(&words) }.into(),
        OrderEvent::AttemptFailed { attempt, took, error: &words }.into(),
        OrderEvent::Retried { attempt, reason: any(pick), after: took }.into(),
        OrderEvent::DeadLettered { attempt, reason: any(pick), detail: &words }.into(),
        OrderEvent::AlreadyFinal { attempt }.into(),
        OrderEvent::Skipped { attempt, status: &words }.into(),
        OrderEvent::Superseded { attempt }.into(),
        DependencyEvent::RowsLocked { stage: any(pick), order_ids: &order_ids }.into(),
        OrderEvent::LeaseLost { lease: any(pick), attempt }.into(),
        ReconcilerEvent::DriftFound { drift: any(pick), count: nth, first: &order_ids }.into(),
    ];
    events.iter().for_each(|event| metrics.observe(event));
}

fn any<T: Label>(pick: usize) -> T {
    T::all().cycle().nth(pick).unwrap()
}

/// Caught, when seeded: dead letters counted by what is wrong with them.
#[test]
fn ten_thousand_different_errors_orders_and_ids_add_no_series() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    let (series_before, sizes_before) =
        (series(&metrics), Format::all().map(|format| metrics.render(format, true).len()).collect::<Vec<_>>());
    (0..DIFFERENT).for_each(|nth| tell_of(nth, &metrics));
    assert_eq!(series(&metrics), series_before);
    for (format, before) in Format::all().zip(sizes_before) {
        let after = metrics.render(format, true).len();
        assert!(after < before * 2, "{format:?}: {before} bytes before, {after} after");
    }
    let text = text(&metrics, Format::OpenMetrics, true);
    assert!(!text.contains("correlation-") && !text.contains("product="));
}
