//! Exemplars and native histograms: what formats other than text 0.0.4 show beside the same samples.

use std::time::{Duration, SystemTime};

use fulfillment_worker::domain::trace_context::{SpanId, TraceContext, TraceId};
use fulfillment_worker::event::{AttemptRef, Event, Observer, OrderEvent};
use fulfillment_worker::observe::metrics::{Format, Metrics};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{Exemplar, Histogram, MetricFamily};
use prost::Message;

use crate::exposition::{ATTEMPT, metrics, runtime, tell_every_event, text};

fn trace(id: u8, sampled: bool) -> TraceContext {
    TraceContext {
        trace_id: TraceId(u128::from_be_bytes([id; 16])),
        span_id: SpanId(u64::from_be_bytes([id; 8])),
        sampled,
    }
}

fn fulfilled(took: Duration, trace: Option<TraceContext>) -> Event<'static> {
    Event::Order(OrderEvent::Fulfilled { attempt: AttemptRef { trace, ..ATTEMPT }, took, age: None, reference: None })
}

/// The lines of a series' samples that have an exemplar.
fn with_exemplar(metrics: &Metrics, format: Format) -> Vec<String> {
    text(metrics, format, true).lines().filter(|line| line.contains(" # {")).map(str::to_owned).collect()
}

fn families(metrics: &Metrics) -> Vec<MetricFamily> {
    let bytes = metrics.render(Format::Protobuf, true);
    let (mut rest, mut families) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

fn histogram_of_successes(metrics: &Metrics) -> Histogram {
    let families = families(metrics);
    let family = families.iter().find(|family| family.name == "order_processing_duration_seconds").unwrap();
    let success = family.metric.iter().find(|metric| metric.label[0].value == "success").unwrap();
    success.histogram.clone().unwrap()
}

/// Caught, when seeded: the time left out, and half of what the attempt took.
#[test]
fn a_sampled_span_is_an_exemplar_of_the_count_and_of_its_bucket() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    metrics.observe(&fulfilled(Duration::from_millis(300), Some(trace(0xab, true))));
    let lines = with_exemplar(&metrics, Format::OpenMetrics);
    let labels = r#"{trace_id="abababababababababababababababab",span_id="abababababababab"}"#;
    let of_count = format!("orders_processed_total{{status=\"success\"}} 1 # {labels} 1.0 ");
    let of_bucket =
        format!("order_processing_duration_seconds_bucket{{le=\"0.5\",status=\"success\"}} 1 # {labels} 0.3 ");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, beginning) in lines.iter().zip([of_count, of_bucket]) {
        let at: f64 = line.strip_prefix(&beginning).unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 60.0..=now).contains(&at), "{line}");
    }
}

#[test]
fn a_span_that_was_not_sampled_is_no_exemplar_and_takes_no_other_ones_place() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    let took = Duration::from_millis(300);
    metrics.observe(&fulfilled(took, Some(trace(1, false))));
    assert_eq!(with_exemplar(&metrics, Format::OpenMetrics), [""; 0]);
    metrics.observe(&fulfilled(took, Some(trace(2, true))));
    let lines = with_exemplar(&metrics, Format::OpenMetrics);
    metrics.observe(&fulfilled(took, None));
    metrics.observe(&fulfilled(took, Some(trace(3, false))));
    let exemplar = |line: &String| line.split(" # ").nth(1).map(str::to_owned);
    let still = with_exemplar(&metrics, Format::OpenMetrics);
    assert_eq!(still.iter().map(exemplar).collect::<Vec<_>>(), lines.iter().map(exemplar).collect::<Vec<_>>());
    assert!(still[0].contains("} 4 # {trace_id=\"0202"), "{still:?}");
}

#[test]
fn text_0_0_4_shows_the_same_samples_and_no_exemplar() {
    let runtime = runtime();
    let (with, without) = (metrics(&runtime), metrics(&runtime));
    let took = Duration::from_millis(300);
    with.observe(&fulfilled(took, Some(trace(1, true))));
    without.observe(&fulfilled(took, None));
    assert_eq!(with_exemplar(&with, Format::PrometheusText), [""; 0]);
    let samples = |metrics: &Metrics| -> Vec<String> {
        let text = text(metrics, Format::PrometheusText, true);
        text.lines().filter(|line| line.starts_with("order")).map(str::to_owned).collect()
    };
    assert_eq!(samples(&with), samples(&without));
}

#[test]
fn protobuf_has_the_exemplars_on_the_classic_buckets() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    metrics.observe(&fulfilled(Duration::from_millis(300), Some(trace(0xab, true))));
    let check = |exemplar: &Exemplar, value: f64| {
        let labels: Vec<&str> = exemplar.label.iter().map(|label| label.name.as_str()).collect();
        assert_eq!((labels, exemplar.value), (vec!["trace_id", "span_id"], value));
        assert_eq!(exemplar.label[1].value, "abababababababab");
        assert!(exemplar.timestamp.is_some());
    };
    for family in families(&metrics) {
        let of_orders = family.name == "orders_processed_total";
        for counter in family.metric.iter().filter_map(|metric| metric.counter.as_ref()) {
            if let Some(exemplar) = &counter.exemplar {
                assert!(of_orders, "{}", family.name);
                check(exemplar, 1.0);
            }
        }
    }
    let histogram = histogram_of_successes(&metrics);
    let bucket = histogram.bucket.iter().find(|bucket| bucket.upper_bound == 0.5).unwrap();
    check(bucket.exemplar.as_ref().unwrap(), 0.3);
    assert_eq!(histogram.bucket.iter().filter(|bucket| bucket.exemplar.is_some()).count(), 1);
}

/// Classic buckets as the text has them, and native ones that hold as much.
#[test]
fn protobuf_has_native_buckets_beside_the_classic_ones() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    for milliseconds in 1..=1_000 {
        metrics.observe(&fulfilled(Duration::from_millis(milliseconds), None));
    }
    let histogram = histogram_of_successes(&metrics);
    let classic: Vec<(f64, u64)> =
        histogram.bucket.iter().map(|bucket| (bucket.upper_bound, bucket.cumulative_count)).collect();
    let text = text(&metrics, Format::PrometheusText, true);
    for (upper_bound, count) in &classic {
        let le = if upper_bound.is_finite() { format!("{upper_bound:?}") } else { "+Inf".to_owned() };
        let line = format!("order_processing_duration_seconds_bucket{{le=\"{le}\",status=\"success\"}} {count}\n");
        assert!(text.contains(&line), "{line}");
    }
    assert_eq!((classic.len(), histogram.sample_count), (12, 1_000));
    assert_eq!((histogram.schema, native_count(&histogram)), (3, 1_000));
}

/// Caught, when seeded: native buckets without a limit.
#[test]
fn native_buckets_are_few_whatever_attempts_take() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    for nth in 0..100_000_u32 {
        // From a microsecond to a month, evenly by magnitude.
        let seconds = 1e-6 * 2.6e12_f64.powf(f64::from(nth) / 1e5);
        metrics.observe(&fulfilled(Duration::from_secs_f64(seconds), None));
    }
    let histogram = histogram_of_successes(&metrics);
    assert!(histogram.positive_delta.len() <= 161, "{}", histogram.positive_delta.len());
    assert_eq!(native_count(&histogram), 100_000);
}

/// What the native buckets hold together.
fn native_count(histogram: &Histogram) -> u64 {
    let mut in_bucket = 0;
    let in_buckets: i64 = histogram
        .positive_delta
        .iter()
        .map(|delta| {
            in_bucket += delta;
            in_bucket
        })
        .sum();
    histogram.zero_count + u64::try_from(in_buckets).unwrap()
}

#[test]
fn protobuf_has_the_families_of_the_text() {
    let runtime = runtime();
    let metrics = metrics(&runtime);
    tell_every_event(&metrics);
    let in_text: Vec<String> = text(&metrics, Format::PrometheusText, true)
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# HELP ")?.split_once(' ')?.0.to_owned()))
        .collect();
    let names: Vec<String> = families(&metrics).into_iter().map(|family| family.name).collect();
    assert_eq!(names, in_text);
}
