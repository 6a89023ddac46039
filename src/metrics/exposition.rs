//! The two text formats: OpenMetrics 1.0 as the library writes it, and Prometheus text 0.0.4 made from that.

use std::fmt::Write as _;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A format that a scraper can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: what every scraper reads.
    PrometheusText,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The `Content-Type`; Prometheus 3 refuses a scrape without a valid one.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Everything in `registry` in the given format.
pub(super) fn render(registry: &Registry, format: Format) -> String {
    let mut open_metrics = String::with_capacity(64 * 1024);
    // Writing to a String can't fail; a collector that did would leave what came before it.
    let _ = text::encode(&mut open_metrics, registry);
    match format {
        Format::OpenMetrics => open_metrics,
        Format::PrometheusText => prometheus_text(&open_metrics),
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
    use super::*;

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
