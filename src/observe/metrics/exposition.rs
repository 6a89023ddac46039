//! The three formats: OpenMetrics 1.0 and protobuf as the library writes them, and Prometheus text 0.0.4 made from the
//! former.

use std::fmt::Write as _;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prometheus_client::encoding::{prometheus_protobuf, text};
use prometheus_client::registry::Registry;
use prost::Message as _;

use super::endpoint::Errors;

/// A format that a scraper can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum, strum::IntoStaticStr)]
pub enum Format {
    /// Prometheus text 0.0.4: what every scraper reads.
    #[strum(serialize = "text/plain; version=0.0.4; charset=utf-8")]
    PrometheusText,
    /// OpenMetrics 1.0: with exemplars.
    #[strum(serialize = "application/openmetrics-text; version=1.0.0; charset=utf-8")]
    OpenMetrics,
    /// Prometheus protobuf, each family after its length: with exemplars and native histograms.
    #[strum(serialize = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")]
    Protobuf,
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        self.into()
    }
}

/// The metrics of one source.
pub(super) struct Part {
    pub(super) registry: Registry,
    /// Where a failure of this part is counted.
    pub(super) errors: Errors,
}

/// All metrics.
pub(super) struct Exposition {
    /// Each is encoded by itself: one that fails costs its own metrics, and what it had written of them.
    pub(super) parts: Vec<Part>,
    /// Histograms with native buckets, for the formats that have these: each takes the place of the one of its name.
    pub(super) native: Part,
}

impl Exposition {
    /// All metrics in this format.
    pub(super) fn render(&self, format: Format) -> Vec<u8> {
        match format {
            Format::PrometheusText => prometheus_text(&self.open_metrics()).into_bytes(),
            Format::OpenMetrics => self.open_metrics().into_bytes(),
            Format::Protobuf => self.protobuf(),
        }
    }

    fn open_metrics(&self) -> String {
        let mut text = String::with_capacity(64 * 1024);
        for part in &self.parts {
            let before = text.len();
            if text::encode_registry(&mut text, &part.registry).is_err() {
                text.truncate(before);
                part.errors.count();
            }
        }
        // Writing to a String can't fail.
        let _ = text::encode_eof(&mut text);
        text
    }

    fn protobuf(&self) -> Vec<u8> {
        let families =
            |part: &Part| part.errors.readable(prometheus_protobuf::encode(&part.registry)).unwrap_or_default();
        let mut shown: Vec<MetricFamily> = self.parts.iter().flat_map(families).collect();
        add_native_buckets(&mut shown, families(&self.native));
        let mut bytes = Vec::with_capacity(64 * 1024);
        for family in shown {
            // Writing to a Vec can't fail.
            let _ = family.encode_length_delimited(&mut bytes);
        }
        bytes
    }
}

/// Has histograms with native buckets take the place of those of the same name and buckets, whose exemplars they keep.
fn add_native_buckets(families: &mut [MetricFamily], native: Vec<MetricFamily>) {
    for with_native in native {
        let Some(family) = families.iter_mut().find(|family| family.name == with_native.name) else { continue };
        for (metric, with_native) in family.metric.iter_mut().zip(with_native.metric) {
            if let (Some(histogram), Some(mut with_native)) = (&mut metric.histogram, with_native.histogram) {
                for (bucket, classic) in with_native.bucket.iter_mut().zip(&mut histogram.bucket) {
                    bucket.exemplar = classic.exemplar.take();
                }
                *histogram = with_native;
            }
        }
    }
}

/// Translates OpenMetrics 1.0 to Prometheus text 0.0.4. Only the lines about a metric differ: 0.0.4 names the samples
/// of counters and infos where OpenMetrics names their family, knows no units, exemplars and end mark, and escapes
/// no quotes in help.
fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            // Its name depends on the type, which comes next.
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take() {
                let _ = writeln!(text, "# HELP {name}{suffix} {}", help.replace("\\\"", "\""));
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(without_exemplar(line));
            text.push('\n');
        }
    }
    text
}

/// A sample up to its exemplar, which starts at the first ` # ` outside of a label's value.
fn without_exemplar(sample: &str) -> &str {
    if !sample.contains(" # ") {
        return sample;
    }
    let mut quoted = false;
    let mut escaped = false;
    for (position, character) in sample.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return sample.get(..position).unwrap_or(sample).trim_end(),
            _ => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::DescriptorEncoder;
    use prometheus_client::metrics::MetricType;
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::observe::metrics::endpoint::{Endpoint, Source};

    /// Fails half way, as a collector that can't read on would.
    #[derive(Debug)]
    struct Broken;

    impl Collector for Broken {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut family = encoder.encode_descriptor("half", "Half of a family.", None, MetricType::Gauge)?;
            family.encode_gauge(&1_u64)?;
            Err(fmt::Error)
        }
    }

    /// A part that fails between two that don't.
    fn with_a_broken_part() -> (Exposition, Endpoint) {
        let mut registry = Registry::default();
        let endpoint = Endpoint::register(&mut registry);
        let part = |registry, source| Part { registry, errors: endpoint.errors_of(source) };
        let (mut first, mut broken) = (Registry::default(), Registry::default());
        first.register("sold", "Things", Counter::<u64>::default());
        broken.register("whole", "In a part that fails", Counter::<u64>::default());
        broken.register_collector(Box::new(Broken));
        let parts = vec![part(first, Source::Events), part(broken, Source::Process), part(registry, Source::Endpoint)];
        (Exposition { parts, native: part(Registry::default(), Source::Events) }, endpoint)
    }

    /// Caught, when seeded: what a failing part had written is not taken back.
    #[test]
    fn a_part_that_fails_costs_its_own_metrics_and_is_counted() {
        for format in [Format::PrometheusText, Format::OpenMetrics] {
            let (exposition, _) = with_a_broken_part();
            let text = String::from_utf8(exposition.render(format)).unwrap();
            assert!(text.contains("\nsold_total 0\n") && !text.contains("half") && !text.contains("whole"), "{text}");
            let errors = "fulfillment_scrape_collector_errors_total{collector=\"process\"} 1\n";
            assert!(text.contains(errors), "{text}");
            assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
        }
    }

    #[test]
    fn a_part_that_fails_leaves_whole_families_in_protobuf() {
        let (exposition, _) = with_a_broken_part();
        let bytes = exposition.render(Format::Protobuf);
        let (mut rest, mut names) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            names.push(MetricFamily::decode_length_delimited(&mut rest).unwrap().name);
        }
        assert_eq!(names[0], "sold_total");
        assert!(names[1..].iter().all(|name| name.starts_with("fulfillment_")), "{names:?}");
    }

    #[test]
    fn a_counter_is_described_by_the_name_of_its_sample() {
        let text = prometheus_text("# HELP sold Things.\n# TYPE sold counter\nsold_total 3\n# EOF\n");
        assert_eq!(text, "# HELP sold_total Things.\n# TYPE sold_total counter\nsold_total 3\n");
    }

    #[test]
    fn an_info_becomes_a_gauge() {
        let text = prometheus_text("# HELP build B.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n");
        assert_eq!(text, "# HELP build_info B.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n");
    }

    #[test]
    fn a_metric_of_unknown_type_is_untyped() {
        assert_eq!(prometheus_text("# TYPE x unknown\nx 1\n"), "# TYPE x untyped\nx 1\n");
    }

    #[test]
    fn units_and_the_end_mark_are_left_out() {
        let text = prometheus_text(
            "# HELP t_seconds T.\n# TYPE t_seconds gauge\n# UNIT t_seconds seconds\nt_seconds 1.5\n# EOF\n",
        );
        assert_eq!(text, "# HELP t_seconds T.\n# TYPE t_seconds gauge\nt_seconds 1.5\n");
    }

    #[test]
    fn exemplars_are_cut_off_even_behind_a_label_that_looks_like_one() {
        let sample = r##"b_bucket{le="1.0",a="x \" # {b}"} 8 # {trace_id="1"} 0.67"##;
        assert_eq!(prometheus_text(sample), "b_bucket{le=\"1.0\",a=\"x \\\" # {b}\"} 8\n");
    }

    #[test]
    fn help_keeps_escaped_backslashes_and_line_ends_and_frees_its_quotes() {
        let text = prometheus_text("# HELP x say \\\"hi\\\" \\n \\\\ end\n# TYPE x gauge\n");
        assert_eq!(text, "# HELP x say \"hi\" \\n \\\\ end\n# TYPE x gauge\n");
    }
}
