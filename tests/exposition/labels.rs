//! Whatever is told, no label takes more values than it has.

use std::time::Duration;

use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::trace_context::{SpanId, TraceContext, TraceId};
use fulfillment_worker::event::{
    CallId, CallOutcome, Dependency, Drift, Event, Lease, Observer, RetryReason, Stage, Subject,
};
use fulfillment_worker::observe::metrics::{Format, Metrics};
use fulfillment_worker::port::store::DeadReason;

use crate::{metrics, runtime, text};

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
    let subject = Subject {
        order_id: Some(order_id),
        correlation_id: Some(&correlation_id),
        attempt: u32::try_from(nth).unwrap(),
        trace: Some(trace),
    };
    let took = Duration::from_micros(nth * nth);
    let pick = usize::try_from(nth).unwrap();
    let call = CallId::fresh();
    let dependency = Dependency::ALL[pick % Dependency::ALL.len()];
    let events = [
        Event::Started { worker: &words, concurrency: pick },
        Event::CallBegan { call, to: dependency },
        Event::CallOver { call, to: dependency },
        Event::DependencyDown { dependency, error: &words, retry_in: took },
        Event::AttemptStarted { subject, takeover: true, waited: Some(took) },
        Event::CallEnded {
            subject,
            outcome: CallOutcome::ALL[pick % CallOutcome::ALL.len()],
            took,
            detail: Some(&words),
        },
        Event::Fulfilled { subject, took, age: Some(took), reference: Some(&words) },
        Event::AttemptFailed { subject, took, error: &words },
        Event::Retried { subject, reason: RetryReason::ALL[pick % RetryReason::ALL.len()], after: took },
        Event::DeadLettered { subject, reason: DeadReason::ALL[pick % DeadReason::ALL.len()], detail: &words },
        Event::AlreadyFinal { subject },
        Event::Skipped { subject, status: &words },
        Event::Superseded { subject },
        Event::RowsLocked { stage: Stage::Begin, order_ids: &[order_id] },
        Event::LeaseLost { lease: Lease::ALL[pick % Lease::ALL.len()], subject },
        Event::DriftFound { drift: Drift::ALL[pick % Drift::ALL.len()], count: nth, first: &[order_id] },
    ];
    events.iter().for_each(|event| metrics.observe(event));
}

/// Caught, when seeded: dead letters counted by what is wrong with them.
#[test]
fn ten_thousand_different_errors_orders_and_ids_add_no_series() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    let (series_before, sizes_before) =
        (series(&metrics), Format::ALL.map(|format| metrics.render(format, true).len()));
    (0..DIFFERENT).for_each(|nth| tell_of(nth, &metrics));
    assert_eq!(series(&metrics), series_before);
    for (format, before) in Format::ALL.into_iter().zip(sizes_before) {
        let after = metrics.render(format, true).len();
        assert!(after < before * 2, "{format:?}: {before} bytes before, {after} after");
    }
    let text = text(&metrics, Format::OpenMetrics, true);
    assert!(!text.contains("correlation-") && !text.contains("product="));
}
