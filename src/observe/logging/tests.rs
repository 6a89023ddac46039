use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::config::{LogOrders, Origin};
use crate::domain::dead_letter::DeadReason;
use crate::domain::order::OrderId;
use crate::event::{
    AttemptRef, CancelledFrom, Dependency, DependencyEvent, Event, Lease, LifecycleEvent, Observer, OrderEvent,
    ReconcilerEvent, RetryReason, RowStage,
};

/// Keeps what is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `log` writes with this format and filter.
fn lines(format: LogFormat, filter: &str, log: impl FnOnce()) -> Vec<String> {
    let paper = Paper::default();
    let writer = paper.clone();
    let settings = LogSettings {
        format: Some(format),
        filter: filter.to_owned(),
        filter_origin: Origin::Default,
        service_name: "shop \"one\"".to_owned(),
    };
    let (layer, _log) = super::lines(&settings, LogMessages::default(), move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    let written = paper.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap().lines().map(str::to_owned).collect()
}

fn json(filter: &str, log: impl FnOnce()) -> Vec<Value> {
    lines(LogFormat::Json, filter, log).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const ATTEMPT: AttemptRef<'_> =
    AttemptRef { order_id: Some(OrderId(42)), correlation_id: Some("checkout-7"), number: 3, trace: None };

fn attempt_failed() -> Event<'static> {
    Event::Order(OrderEvent::AttemptFailed { attempt: ATTEMPT, took: Duration::from_millis(250), error: "no stock" })
}

fn down(error: &str) -> Event<'_> {
    Event::Dependency(DependencyEvent::Down {
        dependency: Dependency::Queue,
        error,
        retry_in: Duration::from_millis(100),
    })
}

#[test]
fn a_failed_attempt_is_a_warning_with_order_correlation_id_and_attempt() {
    let lines = json("info", || EventLog::new("shop", LogOrders::Failures).observe(&attempt_failed()));
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "attempt failed");
    assert_eq!(line["order_id"], 42);
    assert_eq!(line["correlation_id"], "checkout-7");
    assert_eq!(line["attempt"], 3);
    assert_eq!(line["took_ms"], 250);
    assert_eq!(line["error"], "no stock");
    assert!(line["timestamp"].is_string());
}

#[test]
fn a_dead_letter_without_an_order_is_told_without_one() {
    let attempt = AttemptRef { order_id: None, correlation_id: None, number: 1, trace: None };
    let event =
        Event::Order(OrderEvent::DeadLettered { attempt, reason: DeadReason::InvalidMessage, detail: "not JSON" });
    let lines = json("info", || EventLog::new("shop", LogOrders::Failures).observe(&event));
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["level"], &line["reason"]), (&Value::from("WARN"), &Value::from("invalid_message")));
    assert_eq!(line.get("order_id"), None);
}

#[test]
fn what_happens_to_every_order_is_told_at_debug_only() {
    let events = [
        Event::Order(OrderEvent::AttemptStarted { attempt: ATTEMPT, takeover: true, waited: None }),
        Event::Order(OrderEvent::Fulfilled { attempt: ATTEMPT, took: Duration::ZERO, age: None, reference: Some("r") }),
        Event::Order(OrderEvent::Retried { attempt: ATTEMPT, reason: RetryReason::Busy, after: Duration::ZERO }),
        Event::Order(OrderEvent::AlreadyFinal { attempt: ATTEMPT }),
        Event::Order(OrderEvent::Skipped { attempt: ATTEMPT, status: "cancelled" }),
        Event::Order(OrderEvent::Superseded { attempt: ATTEMPT }),
        Event::Order(OrderEvent::Cancelled { attempt: ATTEMPT, from: CancelledFrom::Processing }),
        Event::Order(OrderEvent::LeaseLost { attempt: ATTEMPT, lease: Lease::Row }),
    ];
    let tell_all = || events.iter().for_each(|event| EventLog::new("shop", LogOrders::Failures).observe(event));
    assert_eq!(json("info", tell_all).len(), 0);
    let lines = json("debug", tell_all);
    assert_eq!(lines.len(), events.len());
    assert!(lines.iter().all(|line| line["level"] == "DEBUG" && line["order_id"] == 42), "{lines:?}");
}

#[test]
fn a_dependency_is_told_when_it_goes_down_and_when_it_is_back() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        log.observe(&DependencyEvent::Up(Dependency::Queue).into());
        log.observe(&DependencyEvent::Up(Dependency::Queue).into());
        log.observe(&down("refused"));
        log.observe(&down("refused"));
        log.observe(&DependencyEvent::Up(Dependency::Queue).into());
    });
    let told: Vec<&str> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert_eq!(told, ["INFO", "WARN", "INFO"]);
    assert_eq!(lines[1]["error"], "refused");
}

#[test]
fn a_row_that_stays_locked_does_not_fill_the_log() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        for _ in 0..50 {
            log.observe(
                &DependencyEvent::RowsLocked { stage: RowStage::Conclude, order_ids: &[OrderId(42), OrderId(43)] }
                    .into(),
            );
        }
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["level"], &line["stage"]), (&Value::from("WARN"), &Value::from("conclude")));
    assert_eq!((&line["order_id"], &line["rows"]), (&Value::from(42), &Value::from(2)));
}

#[test]
fn a_dependency_that_comes_and_goes_with_every_call_does_not_fill_the_log() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        for _ in 0..1_000 {
            log.observe(&down("refused"));
            log.observe(&DependencyEvent::Up(Dependency::Queue).into());
        }
    });
    assert!(lines.len() <= 4, "{} lines", lines.len());
}

#[test]
fn the_two_dependencies_are_told_apart() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        log.observe(&down("refused"));
        log.observe(
            &DependencyEvent::Down { dependency: Dependency::Store, error: "x", retry_in: Duration::ZERO }.into(),
        );
    });
    assert_eq!(lines.len(), 2);
}

#[test]
fn a_storm_of_failures_is_cut_to_so_many_lines_a_second() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        for _ in 0..10_000 {
            log.observe(&attempt_failed());
        }
    });
    // A slow machine may begin a second or third window.
    assert!((100..2_000).contains(&lines.len()), "{} lines", lines.len());
}

#[test]
fn start_and_drain_are_told() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        log.observe(&LifecycleEvent::Started { worker: "cafe", concurrency: 8 }.into());
        log.observe(&LifecycleEvent::Draining { in_flight: 2 }.into());
        log.observe(&LifecycleEvent::Drained { left: 0 }.into());
    });
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["service"], &lines[0]["worker"]), (&Value::from("shop"), &Value::from("cafe")));
}

#[test]
fn a_value_from_outside_can_not_start_a_line_of_its_own() {
    let lines = lines(LogFormat::Text, "info", || {
        let attempt = AttemptRef { correlation_id: Some("x\n2026-01-01 INFO forged\u{1b}[2J"), ..ATTEMPT };
        EventLog::new("shop", LogOrders::Failures)
            .observe(&OrderEvent::AttemptFailed { attempt, took: Duration::ZERO, error: "a\nb" }.into());
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
}

#[test]
fn a_filter_that_is_not_one_is_an_error_that_names_its_place() {
    let error = Filter::new("info=debug=x", "RUST_LOG").parse().unwrap_err().to_string();
    assert!(error.starts_with("RUST_LOG: log filter `info=debug=x` is not understood"), "{error}");
}

/// Caught, when seeded: a line for each count.
#[test]
fn orders_left_alone_are_told_when_their_number_changes() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::Failures);
        for orders in [0, 2, 2, 3, 3, 0, 0, 3] {
            log.observe(&ReconcilerEvent::StaleOrders { orders, max_age: Duration::from_secs(60) }.into());
        }
    });
    let told: Vec<u64> = lines.iter().filter_map(|line| line["orders"].as_u64()).collect();
    assert_eq!(told, [2, 3, 3]);
}

/// One event for each outcome of an attempt, the failed ones with the two that belong to them.
fn outcomes() -> [Event<'static>; 9] {
    let (took, after) = (Duration::from_millis(7), Duration::ZERO);
    let detail = "no stock";
    [
        OrderEvent::Fulfilled { attempt: ATTEMPT, took, age: None, reference: Some("r-7") },
        OrderEvent::Retried { attempt: ATTEMPT, reason: RetryReason::Busy, after },
        OrderEvent::AlreadyFinal { attempt: ATTEMPT },
        OrderEvent::Skipped { attempt: ATTEMPT, status: "cancelled" },
        OrderEvent::AttemptFailed { attempt: ATTEMPT, took, error: detail },
        OrderEvent::Retried { attempt: ATTEMPT, reason: RetryReason::FulfillerFailed, after },
        OrderEvent::DeadLettered { attempt: ATTEMPT, reason: DeadReason::Rejected, detail },
        OrderEvent::AttemptStarted { attempt: ATTEMPT, takeover: false, waited: None },
        OrderEvent::Superseded { attempt: ATTEMPT },
    ]
    .map(Event::Order)
}

/// The messages at `filter` when these orders have lines of their own.
fn messages(filter: &str, orders: LogOrders) -> Vec<String> {
    let log = EventLog::new("shop", orders);
    let lines = json(filter, || outcomes().iter().for_each(|event| log.observe(event)));
    assert!(lines.iter().all(|line| line["order_id"] == 42 && line["correlation_id"] == "checkout-7"), "{lines:?}");
    lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn with_all_orders_each_outcome_has_one_line_at_info() {
    let told = ["fulfilled", "goes back to the queue", "dropped", "skipped", "attempt failed", "dead-lettered"];
    assert_eq!(messages("info", LogOrders::All), told);
    let log = EventLog::new("shop", LogOrders::All);
    let lines = json("info", || log.observe(&outcomes()[0]));
    assert_eq!((&lines[0]["level"], &lines[0]["took_ms"]), (&Value::from("INFO"), &Value::from(7)));
    assert_eq!((&lines[0]["detail"], &lines[0]["attempt"]), (&Value::from("reference r-7"), &Value::from(3)));
}

#[test]
fn with_failures_those_alone_have_lines_and_with_off_no_order_has() {
    assert_eq!(messages("info", LogOrders::Failures), ["attempt failed", "dead-lettered"]);
    assert_eq!(messages("info", LogOrders::Off), [""; 0]);
    for orders in [LogOrders::Off, LogOrders::Failures, LogOrders::All] {
        assert_eq!(messages("debug", orders).len(), outcomes().len(), "at debug: {orders:?}");
    }
}

#[test]
fn with_all_orders_no_failure_is_left_out() {
    let lines = json("info", || {
        let log = EventLog::new("shop", LogOrders::All);
        (0..10_000).for_each(|_| log.observe(&attempt_failed()));
    });
    assert_eq!(lines.len(), 10_000);
}

#[test]
fn every_line_has_the_service_in_either_format() {
    let log = || {
        tracing::info!("a plain one");
        tracing::warn!(service = "its own", "one with a service");
        tracing::error!(target: "hyper", "a library's");
    };
    let services: Vec<Value> = json("info", log).into_iter().map(|line| line["service"].clone()).collect();
    assert_eq!(services, ["shop \"one\"", "its own", "shop \"one\""]);
    for line in lines(LogFormat::Text, "info", log) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        assert_eq!(words[1..3], ["shop", "\"one\""], "{line}");
    }
}

#[test]
fn no_line_has_a_key_twice() {
    let log = || {
        EventLog::new("shop", LogOrders::All)
            .observe(&LifecycleEvent::Started { worker: "cafe", concurrency: 8 }.into())
    };
    let lines = lines(LogFormat::Json, "info", log);
    assert_eq!(lines[0].matches("\"service\"").count(), 1, "{}", lines[0]);
}
