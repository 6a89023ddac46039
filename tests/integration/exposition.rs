//! What `/metrics` says, whole: names, help, types, labels and what moves them. The golden file is the contract with
//! every dashboard; `UPDATE_GOLDEN=1 cargo test --test integration exposition` rewrites it, to be reviewed like any other change.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fulfillment_worker::domain::dead_letter::{DeadReason, StoredReason};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::event::{
    AttemptRef, Backend, BreakerState, CallId, CallOutcome, CancelledFrom, Dependency, DependencyEvent, Drift, Event,
    FulfillerEvent, Lease, LifecycleEvent, Limiter, Observer, OrderEvent, ReconcilerEvent, RequestClass, RetryReason,
    RowStage, Stage, TelemetryEvent, Throttle,
};
use fulfillment_worker::observe::metrics::{Cgroup, Format, LogMessages, Metrics};
use fulfillment_worker::port::queue::Depth;
use fulfillment_worker::port::reports::ConnectionUse;
use fulfillment_worker::port::reports::{OpenDeadLetters, OpenOrders, OpenState};
use tokio::runtime::{Builder, Runtime};

mod exemplars;
mod family;
mod labels;
mod values;

use family::{Family, families};

const ATTEMPT: AttemptRef<'_> = AttemptRef { order_id: Some(OrderId(1)), correlation_id: None, number: 1, trace: None };

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn metrics(runtime: &Runtime) -> Metrics {
    let cgroup = Cgroup::at(repository().join("tests/data/cgroup"));
    Metrics::limited_by(runtime.handle().clone(), "shop", LogMessages::default(), cgroup)
}

fn text(metrics: &Metrics, format: Format, healthy: bool) -> String {
    String::from_utf8(metrics.render(format, healthy)).unwrap()
}

/// A worker to which everything happens once.
fn tell_every_event(metrics: &Metrics) {
    tell_of_the_worker(metrics);
    tell_of_orders(metrics);
    tell_of_dependencies(metrics);
    let second = Duration::from_secs(1);
    for drift in Drift::all() {
        tell(metrics, ReconcilerEvent::DriftFound { drift, count: 3, first: &[] });
    }
    tell(metrics, ReconcilerEvent::Leads(true));
    tell(metrics, ReconcilerEvent::StaleOrders { orders: 17, max_age: second });
    tell(metrics, ReconcilerEvent::OrdersBeforeHorizon { orders: 19, adopt_from: None });
    tell(metrics, ReconcilerEvent::RoundDone);
    tell(metrics, ReconcilerEvent::Swept { found: 5, is_through: true });
    for outcome in CallOutcome::all() {
        tell(metrics, FulfillerEvent::CallEnded { attempt: ATTEMPT, outcome, took: second / 4, detail: Some("x") });
    }
    for class in RequestClass::all() {
        tell(metrics, FulfillerEvent::RequestEnded { class, took: second / 5 });
    }
    tell(metrics, FulfillerEvent::BreakerMoved(BreakerState::Open));
    tell(metrics, FulfillerEvent::BreakerMoved(BreakerState::HalfOpen));
    for limiter in Limiter::all() {
        tell(metrics, FulfillerEvent::LimiterWaited { limiter, took: second / 100 });
    }
    tell(metrics, FulfillerEvent::RepeatPutOff { after: second });
}

fn tell<'a>(metrics: &Metrics, event: impl Into<Event<'a>>) {
    metrics.observe(&event.into());
}

fn tell_of_the_worker(metrics: &Metrics) {
    let second = Duration::from_secs(1);
    tell(metrics, LifecycleEvent::Started { worker: "cafe", concurrency: 500 });
    tell(metrics, LifecycleEvent::Draining { in_flight: 7 });
    tell(metrics, TelemetryEvent::DepthRead(Depth { waiting: 11, in_flight: 12, due: 14, retrying: 13 }));
    let pending = OpenState { orders: 14, oldest: Some(second * 90) };
    let processing = OpenState { orders: 15, oldest: Some(second * 60) };
    let mut letters = OpenDeadLetters::default();
    letters.by_reason[StoredReason::Known(DeadReason::Rejected)] = 15;
    letters.by_reason[StoredReason::Other] = 16;
    tell(metrics, TelemetryEvent::OpenDeadLettersRead(letters));
    tell(
        metrics,
        TelemetryEvent::OpenOrdersRead(OpenOrders { pending, processing, held: 2, took: second / 10, doubt: None }),
    );
    tell(metrics, TelemetryEvent::ConnectionsRead(ConnectionUse { idle: 3, in_use: 5, limit: 10 }));
    for runtime in fulfillment_worker::event::Runtime::all() {
        tell(metrics, TelemetryEvent::SchedulingDelay { runtime, late: second / 250 });
    }
    tell(metrics, TelemetryEvent::TracesExported);
    tell(metrics, TelemetryEvent::SpanDropped);
    for error in [None, Some("x")] {
        tell(metrics, TelemetryEvent::SpansSent { spans: 5, error });
    }
}

fn tell_of_orders(metrics: &Metrics) {
    let (second, attempt) = (Duration::from_secs(1), ATTEMPT);
    for reason in Throttle::all() {
        tell(metrics, OrderEvent::ClaimsThrottled { reason, took: second });
    }
    tell(metrics, OrderEvent::InFlight(7));
    tell(metrics, OrderEvent::CallPlacesTaken(5));
    tell(metrics, OrderEvent::AttemptStarted { attempt, takeover: false, waited: Some(second * 2) });
    tell(metrics, OrderEvent::AttemptStarted { attempt, takeover: true, waited: None });
    tell(metrics, OrderEvent::Fulfilled { attempt, took: second, age: Some(second * 3), reference: None });
    tell(metrics, OrderEvent::AttemptFailed { attempt, took: second / 5, error: "x" });
    tell(metrics, OrderEvent::AlreadyFinal { attempt });
    tell(metrics, OrderEvent::Skipped { attempt, status: "cancelled" });
    tell(metrics, OrderEvent::Superseded { attempt });
    for from in CancelledFrom::all() {
        tell(metrics, OrderEvent::Cancelled { attempt, from });
    }
    for reason in RetryReason::all() {
        tell(metrics, OrderEvent::Retried { attempt, reason, after: second });
    }
    for reason in DeadReason::all() {
        tell(metrics, OrderEvent::DeadLettered { attempt, reason, detail: "x" });
    }
    for lease in Lease::all() {
        tell(metrics, OrderEvent::LeaseLost { lease, attempt });
    }
}

fn tell_of_dependencies(metrics: &Metrics) {
    let second = Duration::from_secs(1);
    tell(metrics, DependencyEvent::Up(Dependency::Queue));
    tell(metrics, DependencyEvent::Down { dependency: Dependency::Store, error: "x", retry_in: second });
    for backend in Backend::all() {
        tell(metrics, DependencyEvent::ConnectionOpened(backend));
    }
    tell(metrics, DependencyEvent::ConnectionAwaited { took: second / 2_000 });
    for stage in Stage::all() {
        for ok in [true, false] {
            tell(metrics, DependencyEvent::StageDone { stage, items: 40, took: second / 50, ok });
        }
    }
    tell(metrics, DependencyEvent::StageDone { stage: Stage::Claim, items: 0, took: Duration::ZERO, ok: true });
    for stage in RowStage::all() {
        tell(metrics, DependencyEvent::RowsLocked { stage, order_ids: &[OrderId(1), OrderId(2)] });
    }
    let (over, under_way) = (CallId::fresh(), CallId::fresh());
    tell(metrics, DependencyEvent::CallBegan { call: over, to: Dependency::Store });
    tell(metrics, DependencyEvent::CallBegan { call: under_way, to: Dependency::Store });
    tell(metrics, DependencyEvent::CallOver { call: over, to: Dependency::Store });
}

/// Samples whose value depends on the machine, the moment or the build.
const VARYING: [&str; 11] = [
    "process_",
    "malloc_",
    "tokio_",
    "fulfillment_queue_depth_age_seconds",
    "fulfillment_dependency_oldest_call_seconds",
    "fulfillment_queue_depth_read_timestamp_seconds",
    "fulfillment_open_orders_read_timestamp_seconds",
    "fulfillment_dead_letters_open_read_timestamp_seconds",
    "fulfillment_last_success_timestamp_seconds",
    "fulfillment_reconciler_last_round_timestamp_seconds",
    "fulfillment_sweep_finished_timestamp_seconds",
];

fn masked(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if VARYING.iter().any(|varying| line.starts_with(varying)) => format!("{series} (varies)\n"),
        _ => format!("{line}\n"),
    };
    let lines: String = text.lines().map(line).collect();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let revision = format!("revision=\"{}\"", env!("FULFILLMENT_BUILD_REVISION"));
    let date = format!("date=\"{}\"", env!("FULFILLMENT_BUILD_DATE"));
    lines
        .replace(&version, "version=\"(varies)\"")
        .replace(&revision, "revision=\"(varies)\"")
        .replace(&date, "date=\"(varies)\"")
}

/// The families of `text` in the order that `golden` has them in, new ones last: scrapers read them in any order.
fn ordered_as(golden: &str, text: &str) -> String {
    let families = |text: &str| -> Vec<String> { text.split("# HELP ").skip(1).map(str::to_owned).collect() };
    let name = |family: &String| family.split(' ').next().unwrap_or_default().to_owned();
    let order: Vec<String> = families(golden).iter().map(name).collect();
    let mut families = families(text);
    families.sort_by_key(|family| order.iter().position(|known| *known == name(family)).unwrap_or(usize::MAX));
    families.iter().map(|family| format!("# HELP {family}")).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[test]
fn the_metrics_are_those_of_the_golden_file() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    tell_every_event(&metrics);
    let golden = repository().join("tests/golden/metrics.txt");
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let text = ordered_as(&expected, &masked(&text(&metrics, Format::PrometheusText, true)));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&golden, &text).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let differing: Vec<&str> =
        text.lines().zip(expected.lines()).filter(|(is, was)| is != was).map(|(is, _)| is).take(5).collect();
    assert!(
        text == expected,
        "the metrics differ from {}, first in {differing:#?}; if that is meant, run `UPDATE_GOLDEN=1 cargo test --test \
         integration exposition`, review the difference, and add a line to CHANGELOG.md",
        golden.display()
    );
}

#[test]
fn every_series_is_there_from_the_start() {
    let runtime = runtime();
    let at_start = metrics(&runtime);
    let later = metrics(&runtime);
    tell_every_event(&later);
    let series = |metrics: &Metrics| -> BTreeSet<String> {
        let text = text(metrics, Format::PrometheusText, false);
        text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    assert_eq!(series(&at_start), series(&later));
}

#[test]
fn both_formats_show_the_same_samples() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    tell_every_event(&metrics);
    let samples = |format| -> Vec<String> {
        let text = text(&metrics, format, true);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    assert_eq!(samples(Format::PrometheusText), samples(Format::OpenMetrics));
}

#[test]
fn promtool_has_nothing_to_say() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    tell_every_event(&metrics);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool can't be started ({error}): install Debian's `prometheus` package"));
    promtool.stdin.take().unwrap().write_all(text(&metrics, Format::PrometheusText, true).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn help_needs_no_escaping_in_either_format() {
    let runtime = runtime();
    for family in families(&text(&metrics(&runtime), Format::PrometheusText, true)) {
        assert!(family.help.ends_with('.') && !family.help.ends_with(".."), "{family:?}");
        assert!(!family.help.contains(['\\', '"']), "{family:?}");
    }
}

#[test]
fn a_service_name_with_quotes_and_line_ends_stays_within_its_label() {
    let runtime = runtime();
    let metrics = Metrics::new(runtime.handle().clone(), "a\"b\\c\nd", LogMessages::default());
    let text = text(&metrics, Format::PrometheusText, true);
    assert!(text.contains(r#"fulfillment_build_info{service="a\"b\\c\nd","#));
}

#[test]
fn a_worker_is_told_apart_by_no_label() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    tell_every_event(&metrics);
    assert!(!text(&metrics, Format::PrometheusText, true).contains("cafe"));
}

#[test]
fn the_documentation_lists_the_metrics_that_exist() {
    let runtime = runtime();
    let exist: BTreeSet<(String, String, String)> = families(&text(&metrics(&runtime), Format::PrometheusText, true))
        .into_iter()
        .map(|Family { name, kind, labels, .. }| (name, kind, labels.into_keys().collect::<Vec<_>>().join(", ")))
        .collect();
    let documented: BTreeSet<(String, String, String)> = rows("## Metrics")
        .into_iter()
        .map(|cells| (code(&cells[0])[0].clone(), cells[1].clone(), code(&cells[3]).join(", ")))
        .collect();
    let missing: Vec<_> = exist.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&exist).collect();
    assert!(missing.is_empty() && stale.is_empty(), "docs/METRICS.md lacks {missing:#?} and has {stale:#?} too many");
}

#[test]
fn the_documentation_says_of_each_metric_what_it_is_in_and_which_question_it_answers() {
    for cells in rows("## Metrics") {
        for (cell, what) in [(2, "unit"), (4, "meaning"), (5, "question")] {
            assert!(!cells[cell].is_empty(), "docs/METRICS.md names no {what} of {}", cells[0]);
        }
    }
}

#[test]
fn the_counterparts_of_gos_metrics_exist() {
    let runtime = runtime();
    let exist: BTreeSet<String> = families(&text(&metrics(&runtime), Format::PrometheusText, true))
        .into_iter()
        .map(|family| family.name)
        .collect();
    let rows = rows("## Go's default metrics");
    assert!(rows.len() > 40, "{} rows", rows.len());
    for cells in rows {
        for counterpart in code(&cells[1]) {
            assert!(exist.contains(&counterpart), "{} has no counterpart {counterpart}", cells[0]);
        }
        assert!(!cells[2].is_empty(), "{} is not explained", cells[0]);
    }
}

/// The cells of the tables below a heading of docs/METRICS.md.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(repository().join("docs/METRICS.md")).unwrap();
    let section =
        text.split("\n## ").find(|section| heading.strip_prefix("## ").is_some_and(|title| section.starts_with(title)));
    let rows = section.unwrap_or_else(|| panic!("docs/METRICS.md has no {heading}")).lines();
    let rows = rows.filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What is set as code in a cell.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
