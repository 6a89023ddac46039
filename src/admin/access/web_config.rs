//! The file of `--web-config`: the format of Prometheus' exporter-toolkit
//! (<https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde::Deserialize;

use super::bucket::Bucket;
use super::files;
use super::tls::{self, TlsSection};
use super::users::Users;

#[cfg(test)]
mod tests;

/// The headers that may be set, and their values where these are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// What a file says, checked: one version of it.
#[derive(Debug, Default)]
pub(super) struct WebConfig {
    /// `None` without TLS.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether clients have to show a certificate.
    pub(super) requires_certificates: bool,
    /// Nobody has to log in if there are none.
    pub(super) users: Users,
    /// For each answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// For requests of everybody together.
    pub(super) rate_limit: Option<Mutex<Bucket>>,
}

/// What came of reading a file.
pub(super) struct Loaded {
    /// Every file that was read or should have been: a change of one of them may change the result.
    pub(super) files: Vec<PathBuf>,
    /// Names the section and the field, or the line.
    pub(super) result: Result<WebConfig, String>,
    /// What holds otherwise than it is written.
    pub(super) warnings: Vec<String>,
}

/// As it is written. An absent value and an empty one are the same.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    tls_server_config: Option<TlsSection>,
    http_server_config: Option<HttpSection>,
    rate_limit: Option<RateLimit>,
    basic_auth_users: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpSection {
    /// HTTP/1.1 is all that is spoken here, as with `false`.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RateLimit {
    interval: Option<String>,
    burst: Option<i64>,
}

/// Reads the file at `path` and those that it names. `operators` are the names of users who may change state.
pub(super) fn load(path: &Path, operators: &[String]) -> Loaded {
    let mut loaded = Loaded { files: vec![path.to_owned()], result: Ok(WebConfig::default()), warnings: Vec::new() };
    let document = files::read_text(path).and_then(|text| parse(&text));
    loaded.result =
        document.and_then(|document| document.resolve(path, operators, &mut loaded.files, &mut loaded.warnings));
    loaded
}

fn parse(text: &str) -> Result<Document, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Result<Option<Document>, _> = serde_saphyr::from_str_with_options(text, options);
    document.map(Option::unwrap_or_default).map_err(|error| {
        let line = error.location().map(|at| at.line()).filter(|line| *line > 0);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{place}{}", without_values(&error.without_snippet().to_string()))
    })
}

/// An error of the parser without the values that it quotes, as these may be secrets; names of fields stay.
fn without_values(error: &str) -> String {
    let mut shown = String::new();
    for (at, part) in error.lines().next().unwrap_or_default().split('"').enumerate() {
        shown.push_str(if at % 2 == 0 { part } else { "\"…\"" });
    }
    shown
}

impl Document {
    fn resolve(
        self,
        path: &Path,
        operators: &[String],
        files: &mut Vec<PathBuf>,
        warnings: &mut Vec<String>,
    ) -> Result<WebConfig, String> {
        let folder = path.parent().unwrap_or(Path::new(""));
        // Before anything can fail: a file that is missing may come.
        let section = self.tls_server_config.unwrap_or_default().in_folder(folder);
        files.extend(section.files());
        let headers = self.http_server_config.and_then(|section| section.headers).unwrap_or_default();
        let headers =
            headers.into_iter().filter_map(|(name, value)| header(&name, &value.unwrap_or_default()).transpose());
        Ok(WebConfig {
            users: Users::new(self.basic_auth_users.unwrap_or_default(), operators)
                .map_err(|problem| format!("basic_auth_users.{problem}"))?,
            headers: headers.collect::<Result<_, _>>()?,
            rate_limit: self.rate_limit.unwrap_or_default().bucket()?,
            requires_certificates: section.requires_certificates(),
            tls: tls::server(&section, warnings).map_err(|problem| format!("tls_server_config: {problem}"))?,
        })
    }
}

/// `None` for one that is set to nothing.
fn header(name: &str, value: &str) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    let place = "http_server_config.headers";
    let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let known = HEADERS.map(|(name, _)| name).join(", ");
        return Err(format!("{place}: the header `{}` can't be set; those that can are {known}", name.escape_debug()));
    };
    if !allowed.is_empty() && !allowed.contains(&value) {
        return Err(format!("{place}.{name}: must be {}", allowed.join(" or ")));
    }
    if value.is_empty() {
        return Ok(None);
    }
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => Ok(Some((name, value))),
        _ => Err(format!("{place}.{name}: has characters that a header can't hold")),
    }
}

impl RateLimit {
    fn bucket(self) -> Result<Option<Mutex<Bucket>>, String> {
        let interval = self.interval.unwrap_or_default();
        let interval = go_duration(&interval).ok_or_else(|| {
            format!("rate_limit.interval: `{}` is no duration; write 1s or 100ms", interval.escape_debug())
        })?;
        if interval.is_zero() {
            return Ok(None);
        }
        let burst = self.burst.unwrap_or_default();
        let burst = u32::try_from(burst).ok().filter(|burst| *burst > 0);
        let burst = burst.ok_or("rate_limit.burst: must be at least 1, as nothing would be answered")?;
        Ok(Some(Mutex::new(Bucket::new(burst, interval))))
    }
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `100ms`; nothing and `0` are none.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (mut rest, mut seconds) = (text, 0.0);
    if text == "0" {
        rest = "";
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += value.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}
