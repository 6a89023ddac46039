//! The formats of `/metrics` as others read them: a real Prometheus and the parser of its Python client.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::admin::{ConnectionLimits, Routes, bind, serve_within};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::domain::trace_context::{SpanId, TraceContext, TraceId};
use fulfillment_worker::event::{AttemptRef, Observer, OrderEvent};
use fulfillment_worker::observe::health::{Health, SILENCE_LIMIT};
use fulfillment_worker::observe::metrics::{LogMessages, Metrics};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::end_to_end::prometheus::scraping_with_features;
use crate::support::prometheus::{Prometheus, value};
use crate::support::python::python;
use crate::support::{LONG, eventually, expect_equal, http};

/// `/metrics` as the worker serves it, of orders that were told it.
struct Endpoint {
    address: SocketAddr,
    _stop: DropGuard,
}

/// Twenty attempts of 30 ms in one trace each, of which the last ones are sampled.
const ATTEMPTS: u8 = 20;

impl Endpoint {
    async fn start() -> Self {
        let metrics = Arc::new(Metrics::new(tokio::runtime::Handle::current(), "shop", LogMessages::default()));
        for nth in 1..=ATTEMPTS {
            let trace = TraceContext {
                trace_id: TraceId(u128::from_be_bytes([nth; 16])),
                span_id: SpanId(u64::from_be_bytes([nth; 8])),
                sampled: nth > 10,
            };
            let attempt =
                AttemptRef { order_id: Some(OrderId(1)), correlation_id: None, number: 1, trace: Some(trace) };
            let (took, age) = (Duration::from_millis(30), Some(Duration::from_secs(1)));
            metrics.observe(&OrderEvent::Fulfilled { attempt, took, age, reference: None }.into());
        }
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let routes = Routes {
            metrics,
            health: Arc::new(Health::new(SILENCE_LIMIT)),
            log: None,
            access: Arc::default(),
            api: axum::Router::new(),
            page: axum::Router::new(),
        };
        tokio::spawn(serve_within(ConnectionLimits::default(), vec![listener.into()], routes, stop.clone()));
        Self { address, _stop: stop.drop_guard() }
    }
}

/// The one value that a query answers.
fn number(prometheus: &Prometheus, expression: &str) -> Result<f64, String> {
    match prometheus.query(expression)?.as_slice() {
        [sample] => Ok(value(sample)),
        other => Err(format!("{expression}: {other:?}")),
    }
}

/// What the exemplars of a query's series are: series, trace, value.
fn exemplars(prometheus: &Prometheus, expression: &str) -> Result<Vec<Value>, String> {
    let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
    // To the end of the day: what is asked for is what there is.
    let answer = prometheus.api(&format!("/api/v1/query_exemplars?query={encoded}&start=0&end=9999999999"))?;
    let series = answer.as_array().cloned().unwrap_or_default();
    let found = series.iter().flat_map(|each| {
        let name = &each["seriesLabels"]["__name__"];
        let exemplars = each["exemplars"].as_array().cloned().unwrap_or_default();
        exemplars.into_iter().map(move |exemplar| json!([name, exemplar["labels"], exemplar["value"]]))
    });
    Ok(found.collect())
}

fn span() -> Value {
    json!({"trace_id": "14".repeat(16), "span_id": "14".repeat(8)})
}

/// Its native histograms are the proof that it was protobuf.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_protobuf_with_a_native_histogram_and_exemplars() {
    let endpoint = Endpoint::start().await;
    let prometheus = scraping_with_features(endpoint.address, "native-histograms,exemplar-storage");
    let count = "histogram_count(order_processing_duration_seconds{status=\"success\"})";
    eventually(LONG, "the native histogram is there", async || {
        expect_equal(number(&prometheus, count)?, f64::from(ATTEMPTS))
    })
    .await;
    let median = "histogram_quantile(0.5, order_processing_duration_seconds{status=\"success\"})";
    let median = number(&prometheus, median).expect("a median");
    assert!((0.0275..0.0325).contains(&median), "30 ms, within a bucket's width: {median}");
    let others = [
        ("orders_processed_total{status=\"success\"}", 20.0),
        ("service_healthy", 0.0),
        ("fulfillment_build_info{service=\"shop\"}", 1.0),
        ("fulfillment_order_age_at_fulfillment_seconds_bucket{le=\"1.0\"}", 20.0),
        ("fulfillment_order_age_at_fulfillment_seconds_count", 20.0),
    ];
    for (expression, expected) in others {
        assert_eq!(number(&prometheus, expression), Ok(expected), "{expression}");
    }
    for (series, value) in [("orders_processed_total", "1"), ("order_processing_duration_seconds", "0.03")] {
        let found = exemplars(&prometheus, series).expect("an answer");
        assert_eq!(found, [json!([series, span(), value])], "{series}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_scrapes_open_metrics_with_classic_buckets_and_exemplars() {
    let endpoint = Endpoint::start().await;
    let prometheus = scraping_with_features(endpoint.address, "exemplar-storage");
    let bucket = "order_processing_duration_seconds_bucket{le=\"0.05\",status=\"success\"}";
    eventually(LONG, "the bucket is there", async || expect_equal(number(&prometheus, bucket)?, f64::from(ATTEMPTS)))
        .await;
    for (series, value) in [("orders_processed_total", "1"), ("order_processing_duration_seconds_bucket", "0.03")] {
        let found = exemplars(&prometheus, series).expect("an answer");
        assert_eq!(found, [json!([series, span(), value])], "{series}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_clients_own_parser_reads_open_metrics_and_its_exemplars() {
    let endpoint = Endpoint::start().await;
    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let answer = http::get(endpoint.address, "/metrics", &accept).expect("a scrape");
    let folder = tempfile::tempdir().expect("a folder for the scrape");
    let scrape = folder.path().join("scrape.txt");
    std::fs::write(&scrape, &answer.body).expect("the scrape in a file");
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_open_metrics.py");
    let output = python().arg(reader).arg(&scrape).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = answer.text();
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(read["samples"], samples);
    let found: Vec<Value> = read["exemplars"].as_array().expect("a list").clone();
    let expected = [
        json!(["orders_processed_total", {"status": "success"}, span(), 1.0]),
        json!(["order_processing_duration_seconds_bucket", {"le": "0.05", "status": "success"}, span(), 0.03]),
    ];
    assert_eq!(found, expected);
}
