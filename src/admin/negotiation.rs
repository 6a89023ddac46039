//! Chooses the format of the metrics by the scraper's `Accept` header
//! (<https://prometheus.io/docs/instrumenting/content_negotiation>).

use crate::observe::metrics::Format;

#[cfg(test)]
mod tests;

/// The format with the highest quality, the first of several, and its `Content-Type`. Prometheus text where the header
/// names no format that exists: a scrape is never refused for what it accepts.
pub(super) fn negotiate(accept: &str) -> (Format, String) {
    let (mut format, mut escaping, mut highest) = (Format::PrometheusText, None, 0.0);
    for range in accept.split(',').filter_map(Range::read) {
        if range.quality > highest {
            (format, escaping, highest) = (range.format, range.escaping, range.quality);
        }
    }
    let media_type = format.content_type();
    let content_type = escaping.map(|escaping| format!("{media_type}; escaping={escaping}"));
    (format, content_type.unwrap_or_else(|| media_type.to_owned()))
}

/// One element of the header.
struct Range {
    format: Format,
    /// The escaping of metric names, if the scraper named one.
    escaping: Option<&'static str>,
    /// From 0, never, to 1.
    quality: f32,
}

impl Range {
    /// `None` for a format or version that doesn't exist here.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next()?.to_ascii_lowercase();
        let parameter = |wanted: &str| {
            let mut parameters = parts.clone().filter_map(|part| part.split_once('='));
            let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
            Some(value.trim().trim_matches('"'))
        };
        let version = parameter("version");
        let is_delimited = parameter("encoding") == Some("delimited");
        let is_family = parameter("proto") == Some("io.prometheus.client.MetricFamily");
        let format = match (media_type.as_str(), version) {
            ("*/*" | "text/*", _) | ("text/plain", None | Some("0.0.4")) => Format::PrometheusText,
            // A scraper that reads the draft reads the standard.
            ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => Format::OpenMetrics,
            ("application/vnd.google.protobuf", _) if is_delimited && is_family => Format::Protobuf,
            _ => return None,
        };
        let escaping = match parameter("escaping") {
            // Text 0.0.4 and the draft of OpenMetrics know no escaping.
            _ if format == Format::PrometheusText || version == Some("0.0.1") => None,
            Some("allow-utf-8") => Some("allow-utf-8"),
            Some("values") => Some("values"),
            // All but `dots` leave names such as ours alone, and `dots` would double every underscore.
            Some("underscores" | "dots") => Some("underscores"),
            _ => None,
        };
        let quality = parameter("q").map_or(Some(1.0), |quality| quality.parse().ok());
        let quality = quality.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(0.0);
        Some(Self { format, escaping, quality })
    }
}
