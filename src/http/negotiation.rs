//! Which format a scraper wants, by its `Accept` header (RFC 9110, section 12.5.1).

use crate::metrics::Format;

/// The format to answer with: OpenMetrics where it is asked for by name and nothing else is wanted more, otherwise
/// Prometheus text, which is never refused.
pub(super) fn negotiate(accept: &str) -> Format {
    let mut open_metrics = 0.0_f32;
    let mut text = 0.0_f32;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters = Parameters::read(parts);
        match media_type.as_str() {
            "application/openmetrics-text" if parameters.version_is("1.0.0") => {
                open_metrics = open_metrics.max(parameters.quality);
            }
            "text/plain" if parameters.version_is("0.0.4") => text = text.max(parameters.quality),
            _ => {}
        }
    }
    if open_metrics > text { Format::OpenMetrics } else { Format::PrometheusText }
}

struct Parameters<'a> {
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> Parameters<'a> {
    fn read(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut parameters = Self { version: None, quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => parameters.version = Some(value.trim().trim_matches('"')),
                "q" => parameters.quality = quality(value.trim()),
                _ => {}
            }
        }
        parameters
    }

    /// Whether this version is meant, or none in particular.
    fn version_is(&self, version: &str) -> bool {
        self.version.is_none_or(|wanted| wanted == version)
    }
}

/// A weight from 0 to 1; what isn't one weighs nothing.
fn quality(value: &str) -> f32 {
    value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_answer_when_nothing_is_asked_for() {
        for accept in ["", "*/*", "text/*", "application/json", "text/html,application/xhtml+xml,*/*;q=0.8"] {
            assert_eq!(negotiate(accept), Format::PrometheusText, "{accept}");
        }
    }

    #[test]
    fn open_metrics_is_the_answer_when_it_is_asked_for() {
        for accept in [
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=1.0.0",
            "application/openmetrics-text; version=\"1.0.0\", */*",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
        ] {
            assert_eq!(negotiate(accept), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn prometheus_3_gets_open_metrics() {
        let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(negotiate(accept), Format::OpenMetrics);
    }

    #[test]
    fn text_wins_when_it_is_wanted_at_least_as_much() {
        for accept in [
            "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0",
            "text/plain;q=0.9,application/openmetrics-text;q=0.8",
            "application/openmetrics-text;q=0",
        ] {
            assert_eq!(negotiate(accept), Format::PrometheusText, "{accept}");
        }
    }

    #[test]
    fn a_version_that_is_not_spoken_does_not_count() {
        assert_eq!(negotiate("application/openmetrics-text;version=0.0.1"), Format::PrometheusText);
        assert_eq!(
            negotiate("text/plain;version=1.0.0,application/openmetrics-text;version=1.0.0;q=0.5"),
            Format::OpenMetrics
        );
    }

    #[test]
    fn a_broken_weight_weighs_nothing() {
        for weight in ["x", "-1", "2", "NaN", ""] {
            let accept = format!("application/openmetrics-text;q={weight}");
            assert_eq!(negotiate(&accept), Format::PrometheusText, "{accept}");
        }
    }
}
