//! Which format a scraper wants, by its `Accept` header (RFC 9110, section 12.5.1, and Prometheus's
//! <https://prometheus.io/docs/instrumenting/content_negotiation>).

use crate::domain::label::Label;
use crate::observe::metrics::Format;

#[cfg(test)]
mod tests;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Representation {
    pub(super) format: Format,
    /// What the scraper was told of names, if it asked.
    escaping: Option<&'static str>,
}

impl Representation {
    /// The `Content-Type`; Prometheus 3 refuses a scrape without a valid one.
    pub(super) fn content_type(self) -> String {
        let media_type = self.format.content_type();
        self.escaping.map_or_else(|| media_type.to_owned(), |escaping| format!("{media_type}; escaping={escaping}"))
    }
}

/// What is wanted most among what there is. Prometheus text where nothing is wanted, or nothing that there is, or the header
/// can't be read: a scrape is never refused for what it accepts.
pub(super) fn negotiate(accept: &str) -> Representation {
    let ranges: Vec<Range<'_>> = split_outside_quotes(accept, ',').map(Range::read).collect();
    let mut best: Option<(Weight, Representation)> = None;
    for format in Format::all() {
        let Some((weight, range)) = weight(format, &ranges) else { continue };
        if weight.quality > 0.0 && best.is_none_or(|(so_far, _)| weight.beats(so_far)) {
            best = Some((weight, Representation { format, escaping: range.escaping(format) }));
        }
    }
    best.map_or(Representation { format: Format::PrometheusText, escaping: None }, |(_, representation)| representation)
}

/// How much a format is wanted, and by which range: the most precise one that it is in, as RFC 9110 says.
fn weight<'a, 'h>(format: Format, ranges: &'a [Range<'h>]) -> Option<(Weight, &'a Range<'h>)> {
    let mut found: Option<(Weight, &Range<'_>)> = None;
    for (position, range) in ranges.iter().enumerate() {
        let Some(precision) = range.precision(format) else { continue };
        let weight = Weight { quality: range.quality, precision, position };
        let better = |so_far: Weight| (precision, range.quality) > (so_far.precision, so_far.quality);
        if found.is_none_or(|(so_far, _)| better(so_far)) {
            found = Some((weight, range));
        }
    }
    found
}

#[derive(Clone, Copy)]
struct Weight {
    /// From 0, never, to 1.
    quality: f32,
    precision: Precision,
    position: usize,
}

impl Weight {
    /// By quality; where that is the same, what is asked for by name goes before what is merely allowed, and then what is
    /// named first.
    fn beats(self, other: Self) -> bool {
        let key = |weight: Self| (weight.quality, weight.precision, std::cmp::Reverse(weight.position));
        key(self) > key(other)
    }
}

/// How precisely a range means a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    Everything,
    Type,
    Subtype,
    Version,
}

/// One element of the header.
struct Range<'a> {
    media_type: String,
    version: Option<&'a str>,
    proto: Option<&'a str>,
    encoding: Option<&'a str>,
    escaping: Option<&'a str>,
    quality: f32,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = split_outside_quotes(text, ';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut range = Self { media_type, version: None, proto: None, encoding: None, escaping: None, quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => range.version = Some(value),
                "proto" => range.proto = Some(value),
                "encoding" => range.encoding = Some(value),
                "escaping" => range.escaping = Some(value),
                "q" => range.quality = quality(value),
                _ => {}
            }
        }
        range
    }

    /// Whether the format is in this range.
    fn precision(&self, format: Format) -> Option<Precision> {
        let versioned = |versions: &[&str]| match self.version {
            None => Some(Precision::Subtype),
            Some(version) => versions.contains(&version).then_some(Precision::Version),
        };
        match (self.media_type.as_str(), format) {
            ("*/*", _) => Some(Precision::Everything),
            ("text/*", Format::PrometheusText) | ("application/*", Format::OpenMetrics | Format::Protobuf) => {
                Some(Precision::Type)
            }
            ("text/plain", Format::PrometheusText) => versioned(&["0.0.4"]),
            // Who reads the draft reads the standard.
            ("application/openmetrics-text", Format::OpenMetrics) => versioned(&["1.0.0", "0.0.1"]),
            ("application/vnd.google.protobuf", Format::Protobuf) => {
                let of_prometheus = self.proto == Some("io.prometheus.client.MetricFamily");
                (of_prometheus && self.encoding == Some("delimited")).then_some(Precision::Version)
            }
            _ => None,
        }
    }

    /// The way of escaping that the answer is in. All of them leave names such as ours as they are but for `dots`, which
    /// doubles underscores: what is answered then is what `underscores` makes of them. The draft of OpenMetrics and text
    /// 0.0.4 know no escaping.
    fn escaping(&self, format: Format) -> Option<&'static str> {
        match (format, self.version, self.escaping?) {
            (Format::PrometheusText, ..) | (Format::OpenMetrics, Some("0.0.1"), _) => None,
            (_, _, "allow-utf-8") => Some("allow-utf-8"),
            (_, _, "values") => Some("values"),
            (_, _, "underscores" | "dots") => Some("underscores"),
            _ => None,
        }
    }
}

/// A weight from 0 to 1; what isn't one weighs nothing.
fn quality(value: &str) -> f32 {
    value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(0.0)
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}
