use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::order::OrderId;
use crate::event::{AttemptRef, OrderEvent, ReconcilerEvent, RetentionEvent, RetryReason, TelemetryEvent};
use crate::port::queue::Depth;
use crate::port::reports::{ClockDoubt, OpenOrders, OpenState};

const ATTEMPT: AttemptRef<'_> = AttemptRef { order_id: Some(OrderId(1)), correlation_id: None, number: 1, trace: None };
const SECOND: Duration = Duration::from_secs(1);

fn worker() -> (Runtime, Metrics) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let metrics = Metrics::new(runtime.handle().clone(), "shop", LogMessages::default());
    (runtime, metrics)
}

fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = String::from_utf8(metrics.render(Format::PrometheusText, true)).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no series {series}"))
}

fn failed() -> Event<'static> {
    Event::Order(OrderEvent::AttemptFailed { attempt: ATTEMPT, took: SECOND, error: "x" })
}

#[test]
fn an_attempt_that_fails_counts_once_whatever_becomes_of_its_order() {
    let (_runtime, metrics) = worker();
    metrics.observe(&failed());
    metrics
        .observe(&OrderEvent::Retried { attempt: ATTEMPT, reason: RetryReason::FulfillerFailed, after: SECOND }.into());
    metrics.observe(&failed());
    let reason = DeadReason::AttemptsExhausted;
    metrics.observe(&OrderEvent::DeadLettered { attempt: ATTEMPT, reason, detail: "x" }.into());
    assert_eq!(value(&metrics, r#"orders_processed_total{status="error"}"#), 2.0);
    assert_eq!(value(&metrics, r#"order_processing_duration_seconds_count{status="error"}"#), 2.0);
    assert_eq!(value(&metrics, r#"orders_processed_total{status="success"}"#), 0.0);
}

#[test]
fn an_order_handed_back_by_a_drain_is_no_failed_attempt() {
    let (_runtime, metrics) = worker();
    metrics.observe(
        &OrderEvent::Retried { attempt: ATTEMPT, reason: RetryReason::HandedBack, after: Duration::ZERO }.into(),
    );
    assert_eq!(value(&metrics, r#"orders_processed_total{status="error"}"#), 0.0);
    assert_eq!(value(&metrics, r#"fulfillment_retries_total{reason="handed_back"}"#), 1.0);
}

#[test]
fn an_order_without_created_at_has_no_age() {
    let (_runtime, metrics) = worker();
    metrics.observe(&OrderEvent::Fulfilled { attempt: ATTEMPT, took: SECOND, age: None, reference: None }.into());
    assert_eq!(value(&metrics, "fulfillment_order_age_at_fulfillment_seconds_count"), 0.0);
    assert_eq!(value(&metrics, r#"orders_processed_total{status="success"}"#), 1.0);
}

/// Caught, when seeded: poison counted as an order.
#[test]
fn attempts_are_counted_of_orders_that_end_and_of_no_message_without_one() {
    let (_runtime, metrics) = worker();
    let third = AttemptRef { number: 3, ..ATTEMPT };
    metrics.observe(&OrderEvent::Fulfilled { attempt: ATTEMPT, took: SECOND, age: None, reference: None }.into());
    metrics
        .observe(&OrderEvent::Retried { attempt: ATTEMPT, reason: RetryReason::FulfillerFailed, after: SECOND }.into());
    for reason in DeadReason::all() {
        metrics.observe(&OrderEvent::DeadLettered { attempt: third, reason, detail: "x" }.into());
    }
    let buckets = [1, 2, 3].map(|attempts| format!("fulfillment_attempts_per_order_bucket{{le=\"{attempts}.0\"}}"));
    assert_eq!(buckets.map(|bucket| value(&metrics, &bucket)), [1.0, 1.0, 6.0]);
    assert_eq!(value(&metrics, "fulfillment_attempts_per_order_sum"), 16.0);
}

#[test]
fn only_a_first_attempt_has_waited_in_the_queue() {
    let (_runtime, metrics) = worker();
    metrics.observe(&OrderEvent::AttemptStarted { attempt: ATTEMPT, takeover: false, waited: Some(SECOND * 2) }.into());
    metrics.observe(&OrderEvent::AttemptStarted { attempt: ATTEMPT, takeover: true, waited: None }.into());
    assert_eq!(value(&metrics, "fulfillment_queue_wait_seconds_count"), 1.0);
    assert_eq!(value(&metrics, "fulfillment_queue_wait_seconds_sum"), 2.0);
    assert_eq!(value(&metrics, "fulfillment_attempts_started_total"), 2.0);
}

#[test]
fn a_count_of_what_is_open_replaces_the_one_before() {
    let (_runtime, metrics) = worker();
    let before = seconds_since_1970();
    assert_eq!(value(&metrics, "fulfillment_open_orders_read_timestamp_seconds"), 0.0);
    let pending = OpenState { orders: 3, oldest: Some(SECOND) };
    metrics.observe(&TelemetryEvent::OpenOrdersRead(OpenOrders { pending, ..OpenOrders::default() }).into());
    assert_eq!(value(&metrics, r#"fulfillment_oldest_order_age_seconds{state="pending"}"#), 1.0);
    metrics.observe(&TelemetryEvent::OpenOrdersRead(OpenOrders::default()).into());
    assert_eq!(value(&metrics, r#"fulfillment_open_orders{state="pending"}"#), 0.0);
    assert_eq!(value(&metrics, r#"fulfillment_oldest_order_age_seconds{state="pending"}"#), 0.0);
    assert!(value(&metrics, "fulfillment_open_orders_read_timestamp_seconds") >= before);
}

/// Caught, when it was written: a round that had only begun counted, one that failed and those of others' leads too.
#[test]
fn a_round_of_the_reconciler_is_stamped_when_it_is_whole() {
    let (_runtime, metrics) = worker();
    let before = seconds_since_1970();
    let stamp = "fulfillment_reconciler_last_round_timestamp_seconds";
    for leads in [false, true] {
        metrics.observe(&ReconcilerEvent::Leads(leads).into());
        assert_eq!(value(&metrics, stamp), 0.0);
    }
    metrics.observe(&ReconcilerEvent::RoundDone.into());
    assert!(value(&metrics, stamp) >= before);
}

/// Caught, when seeded: a worker that has lost the lead stays behind for ever.
#[test]
fn a_worker_that_does_not_delete_old_timelines_is_not_behind() {
    let (_runtime, metrics) = worker();
    metrics.observe(&RetentionEvent::Deleted { entries: 7 }.into());
    metrics.observe(&RetentionEvent::RoundFailed { behind: 9 * SECOND }.into());
    assert_eq!(value(&metrics, "fulfillment_events_overdue_seconds"), 9.0);
    metrics.observe(&RetentionEvent::RoundDone { entries: 7, behind: 3 * SECOND }.into());
    assert_eq!(value(&metrics, "fulfillment_events_overdue_seconds"), 3.0);
    metrics.observe(&RetentionEvent::Follows.into());
    assert_eq!(value(&metrics, "fulfillment_events_overdue_seconds"), 0.0);
    assert_eq!(value(&metrics, "fulfillment_events_deleted_total"), 7.0);
}

/// Caught, when it was written: a worker that had lost the lead showed its last count for ever.
#[test]
fn a_worker_that_does_not_lead_leaves_no_orders_alone() {
    let (_runtime, metrics) = worker();
    metrics.observe(&ReconcilerEvent::Leads(true).into());
    metrics.observe(&ReconcilerEvent::StaleOrders { orders: 3, max_age: SECOND }.into());
    metrics.observe(&ReconcilerEvent::Leads(true).into());
    assert_eq!(value(&metrics, "fulfillment_orders_left_alone"), 3.0);
    metrics.observe(&ReconcilerEvent::Leads(false).into());
    assert_eq!(value(&metrics, "fulfillment_orders_left_alone"), 0.0);
}

#[test]
fn a_count_of_the_queue_starts_the_age_of_the_reading_again() {
    let (_runtime, metrics) = worker();
    let before = seconds_since_1970();
    metrics.observe(&TelemetryEvent::DepthRead(Depth { waiting: 3, in_flight: 2, due: 0, retrying: 1 }).into());
    let age = value(&metrics, "fulfillment_queue_depth_age_seconds");
    let after = seconds_since_1970();
    assert!((0.0..=after - before + 0.1).contains(&age), "{age}");
    let read_at = value(&metrics, "fulfillment_queue_depth_read_timestamp_seconds");
    assert!((before..=after).contains(&read_at), "{read_at}");
    assert_eq!(value(&metrics, "fulfillment_queue_depth"), 3.0);
}

#[test]
fn a_connection_counts_for_as_long_as_it_is_open() {
    let (_runtime, metrics) = worker();
    let open = metrics.open_connection();
    assert_eq!(value(&metrics, "fulfillment_http_connections"), 1.0);
    drop(open);
    assert_eq!(value(&metrics, "fulfillment_http_connections"), 0.0);
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_described_by_plausible_numbers() {
    let (_runtime, metrics) = worker();
    let now = seconds_since_1970();
    let started = value(&metrics, "process_start_time_seconds");
    assert!((now - 86_400.0..now + 2.0).contains(&started), "{started}");
    assert!(value(&metrics, "process_resident_memory_bytes") > 1_000_000.0);
    assert!(value(&metrics, "process_virtual_memory_bytes") > value(&metrics, "process_resident_memory_bytes"));
    assert!(value(&metrics, "process_open_fds") >= 3.0);
    assert!(value(&metrics, "process_max_fds") >= value(&metrics, "process_open_fds"));
    assert!(value(&metrics, "process_threads") >= 1.0);
}

#[test]
fn events_from_many_threads_are_all_counted() {
    let (_runtime, metrics) = worker();
    let metrics = Arc::new(metrics);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let metrics = Arc::clone(&metrics);
            std::thread::spawn(move || (0..1_000).for_each(|_| metrics.observe(&failed())))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(value(&metrics, r#"orders_processed_total{status="error"}"#), 4_000.0);
}

/// Caught, when seeded: an age of 0 where none is known.
#[test]
fn an_age_that_cant_be_told_is_no_number_and_its_reason_is_shown() {
    let (_runtime, metrics) = worker();
    let pending = OpenState { orders: 3, oldest: None };
    let open = OpenOrders { pending, doubt: Some(ClockDoubt::Ambiguous), ..OpenOrders::default() };
    metrics.observe(&TelemetryEvent::OpenOrdersRead(open).into());
    assert!(value(&metrics, r#"fulfillment_oldest_order_age_seconds{state="pending"}"#).is_nan());
    assert_eq!(value(&metrics, r#"fulfillment_oldest_order_age_seconds{state="processing"}"#), 0.0);
    assert_eq!(value(&metrics, r#"fulfillment_clock_doubt{reason="ambiguous"}"#), 1.0);
    assert_eq!(value(&metrics, r#"fulfillment_clock_doubt{reason="zones_differ"}"#), 0.0);
}
