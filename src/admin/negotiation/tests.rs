use proptest::prelude::*;

use super::*;

use crate::domain::label::Label;

fn format(accept: &str) -> Format {
    negotiate(accept).0
}

fn content_type(accept: &str) -> String {
    negotiate(accept).1
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

#[test]
fn text_is_the_answer_when_nothing_is_asked_for() {
    for accept in ["", "*/*", "text/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"] {
        assert_eq!(content_type(accept), "text/plain; version=0.0.4; charset=utf-8", "{accept}");
    }
}

#[test]
fn open_metrics_is_the_answer_when_it_is_asked_for() {
    for accept in [
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; Version=1.0.0",
        "application/openmetrics-text; version=0.0.1",
        "application/openmetrics-text; version=\"1.0.0\", */*",
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
    ] {
        assert_eq!(content_type(accept), OPEN_METRICS, "{accept}");
    }
}

#[test]
fn protobuf_is_the_answer_when_delimited_metric_families_are_asked_for() {
    for accept in [
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        "application/vnd.google.protobuf; encoding=\"delimited\"; proto=\"io.prometheus.client.MetricFamily\"; q=0.1",
    ] {
        assert_eq!(content_type(accept), PROTOBUF, "{accept}");
    }
    for accept in [
        "application/vnd.google.protobuf",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricSet;encoding=delimited",
    ] {
        assert_eq!(format(accept), Format::PrometheusText, "{accept}");
    }
}

#[test]
fn prometheus_2_26_gets_open_metrics() {
    let accept = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(content_type(accept), OPEN_METRICS);
}

#[test]
fn prometheus_2_42_gets_open_metrics_or_protobuf_with_native_histograms() {
    let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(content_type(accept), OPEN_METRICS);
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
        application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(content_type(accept), PROTOBUF);
}

#[test]
fn prometheus_2_5x_gets_what_its_scrape_protocols_name_first() {
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    assert_eq!(content_type(accept), OPEN_METRICS);
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,\
        application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert_eq!(content_type(accept), PROTOBUF);
    let accept = "text/plain;version=0.0.4;q=0.3,application/openmetrics-text;version=0.0.1;q=0.2,*/*;q=0.1";
    assert_eq!(format(accept), Format::PrometheusText);
}

#[test]
fn prometheus_3_gets_the_escaping_that_it_asked_for() {
    let accept = |escaping| {
        format!(
            "application/openmetrics-text;version=1.0.0;escaping={escaping};q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping={escaping};q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        )
    };
    // With `dots`, each underscore of a name would have to be doubled.
    for (asked, answered) in
        [("allow-utf-8", "allow-utf-8"), ("underscores", "underscores"), ("values", "values"), ("dots", "underscores")]
    {
        assert_eq!(content_type(&accept(asked)), format!("{OPEN_METRICS}; escaping={answered}"));
    }
    assert_eq!(content_type(&accept("x\r\nX-Other: y")), OPEN_METRICS);
}

#[test]
fn prometheus_3_with_native_histograms_gets_protobuf() {
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
        application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert_eq!(content_type(accept), PROTOBUF);
}

#[test]
fn text_wins_when_it_is_wanted_at_least_as_much() {
    for accept in [
        "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0",
        "text/plain;q=0.9,application/openmetrics-text;q=0.8",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0.4,*/*;q=0.5",
    ] {
        assert_eq!(format(accept), Format::PrometheusText, "{accept}");
    }
}

#[test]
fn a_version_that_is_not_spoken_does_not_count() {
    assert_eq!(format("application/openmetrics-text;version=2.0.0"), Format::PrometheusText);
    let accept = "text/plain;version=1.0.0,application/openmetrics-text;version=1.0.0;q=0.5";
    assert_eq!(format(accept), Format::OpenMetrics);
    let accept = "application/openmetrics-text;version=2.0.0,application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,text/plain;q=0.1";
    assert_eq!(format(accept), Format::Protobuf);
}

#[test]
fn a_broken_weight_weighs_nothing() {
    for weight in ["x", "-1", "2", "NaN", ""] {
        let accept = format!("application/openmetrics-text;q={weight}");
        assert_eq!(format(&accept), Format::PrometheusText, "{accept}");
    }
}

proptest! {
    #[test]
    fn nothing_that_can_be_sent_breaks_it(
        accept in "([a-z*]{0,12}/?[a-z.*-]{0,28}|text/plain|;|,|=|\"|q=|version=|escaping=|0\\.0\\.4|1| |\u{fffd}){0,40}"
    ) {
        let content_type = content_type(&accept);
        prop_assert!(Format::all().any(|format| content_type.starts_with(format.content_type())));
    }
}
