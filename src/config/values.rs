//! Parsers of the options' values for clap. Each error describes the valid values.

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "cli")]
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

/// `on` or `off`, or `true` or `false` as a TOML file has them, with the meaning of either.
#[cfg(feature = "cli")]
pub fn switch(on: &'static str, off: &'static str) -> impl TypedValueParser<Value = bool> {
    let values = [PossibleValue::new("on").alias("true").help(on), PossibleValue::new("off").alias("false").help(off)];
    PossibleValuesParser::new(values).map(|text| matches!(text.as_str(), "on" | "true"))
}

/// Whether the command itself creates the worker's own tables: `auto` or `off`.
#[cfg(feature = "cli")]
pub fn migrate() -> impl TypedValueParser<Value = bool> {
    let auto = PossibleValue::new("auto").help("The command itself, at its start");
    let off = PossibleValue::new("off").help("`migrate`, before: for a role that may not create tables");
    PossibleValuesParser::new([auto, off]).map(|text| text == "auto")
}

/// How long to wait for servers; `None` without limit. Under this name clap takes it for a value, not for an option that
/// may be missing.
pub type Wait = Option<Duration>;

/// How long to keep something; `None` for ever. See [`Wait`].
pub type Keep = Option<Duration>;

/// Latency of the simulated fulfiller, the shortest at most the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Shortest latency of a call.
    pub shortest: Duration,
    /// Longest latency of a call.
    pub longest: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration with its unit, from `low` to `high`.
pub fn duration(low: Duration, high: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let duration = with_unit(text)?;
        if (low..=high).contains(&duration) {
            return Ok(duration);
        }
        Err(format!("must be from {} to {}", humantime::format_duration(low), humantime::format_duration(high)))
    }
}

fn with_unit(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text != "0" && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("has no unit; write {text}s for seconds, or use ms, m, h"));
    }
    humantime::parse_duration(text).map_err(|error| format!("not a duration such as 500ms, 15s or 2m: {error}"))
}

/// `forever` or a duration of at most a day.
///
/// # Errors
/// Describes the valid values.
pub fn wait(text: &str) -> Result<Wait, String> {
    if text == "forever" {
        return Ok(None);
    }
    duration(Duration::ZERO, DAY)(text).map(Some).map_err(|problem| format!("{problem}; or `forever`"))
}

/// `forever` or a duration of one day to ten years.
///
/// # Errors
/// Describes the valid values.
pub fn keep(text: &str) -> Result<Keep, String> {
    if text == "forever" {
        return Ok(None);
    }
    duration(DAY, Duration::from_secs(87_660 * 3_600))(text)
        .map(Some)
        .map_err(|problem| format!("{problem}; or `forever`"))
}

/// How long a change of the log filter may last: 1 s to a day.
///
/// # Errors
/// Describes the valid values.
pub fn log_change(text: &str) -> Result<Duration, String> {
    duration(Duration::from_secs(1), DAY)(text)
}

/// `LOW..HIGH`, one duration for both, or `0`; at most an hour.
///
/// # Errors
/// Describes the valid values.
pub fn latency(text: &str) -> Result<Latency, String> {
    let within = duration(Duration::ZERO, Duration::from_secs(3600));
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let read = |part: &str| {
        within(part).map_err(|problem| format!("`{part}` {problem}; expected LOW..HIGH such as 500ms..2s, or 0"))
    };
    let (shortest, longest) = (read(low)?, read(high)?);
    if shortest > longest {
        return Err(format!("the low end {low} is above the high end {high}"));
    }
    Ok(Latency { shortest, longest })
}

/// A time that is not yet to come, to the microsecond.
///
/// # Errors
/// Describes the valid values.
pub fn past(text: &str) -> Result<Timestamp, String> {
    let time: Timestamp = text.trim().parse().map_err(|_| {
        "is not a time with an offset from UTC (RFC 3339), such as 2026-11-27T08:00:00Z or 2026-11-27T09:00:00+01:00"
    })?;
    if time > Timestamp::now() {
        return Err(format!("is in the future: it is {:.0} now", Timestamp::now()));
    }
    // As databases have it.
    Timestamp::from_microsecond(time.as_microsecond()).map_err(|error| error.to_string())
}

/// A share from 0 to 1.
///
/// # Errors
/// Describes the valid values.
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1, such as 0.05".to_owned()),
    }
}

/// Any whole number that fits.
///
/// # Errors
/// Describes the valid values.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}", u64::MAX))
}

/// An address to listen on. `:PORT` is every address of IPv6 and IPv4, as `[::]:PORT` is.
///
/// # Errors
/// Describes the valid values.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed = if text.starts_with(':') { format!("[::]{text}").parse() } else { text.parse() };
    parsed.map_err(|_| {
        "must be :PORT for every address of this machine, or ADDRESS:PORT with an IP address, such as 127.0.0.1:2112, \
         0.0.0.0:2112 or [::1]:2112"
            .to_owned()
    })
}

/// Text of any kind, as others may have written it.
#[cfg(feature = "cli")]
pub fn not_empty(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("must not be empty") } else { Ok(text.to_owned()) }
}

/// Text of 1 to `longest` characters, none of them a control character.
pub fn text(longest: usize) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync {
    move |text| {
        let length = text.chars().count();
        if length == 0 || length > longest || text.chars().any(char::is_control) {
            return Err(format!("must be 1 to {longest} characters without control characters"));
        }
        Ok(text.to_owned())
    }
}

/// A filter of the log.
///
/// # Errors
/// Describes the valid values.
pub fn log_filter(text: &str) -> Result<String, String> {
    super::log_filter::parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("not a log filter such as `info` or `warn,fulfillment_worker=debug`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn durations_have_units() {
        let parse = duration(Duration::ZERO, DAY);
        assert_eq!(parse("1m 30s"), Ok(SECOND * 90));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("15"), Err("has no unit; write 15s for seconds, or use ms, m, h".to_owned()));
        assert!(parse("").is_err());
        assert!(parse("soon").unwrap_err().starts_with("not a duration such as"));
    }

    #[test]
    fn durations_have_ranges_and_both_ends_belong() {
        let parse = duration(SECOND, SECOND * 3600);
        assert_eq!(parse("1s"), Ok(SECOND));
        assert_eq!(parse("1h"), Ok(SECOND * 3600));
        assert_eq!(parse("999ms"), Err("must be from 1s to 1h".to_owned()));
        assert_eq!(parse("61m"), Err("must be from 1s to 1h".to_owned()));
    }

    #[test]
    fn a_wait_may_be_endless() {
        assert_eq!(wait("forever"), Ok(None));
        assert_eq!(wait("30s"), Ok(Some(SECOND * 30)));
        assert!(wait("30").unwrap_err().ends_with("or `forever`"));
    }

    #[test]
    fn latency_is_a_range_or_one_value() {
        let of = |shortest, longest| Ok(Latency { shortest, longest });
        assert_eq!(latency("500ms..2s"), of(SECOND / 2, SECOND * 2));
        assert_eq!(latency("1s"), of(SECOND, SECOND));
        assert_eq!(latency("0"), of(Duration::ZERO, Duration::ZERO));
        assert_eq!(latency("2s..1s"), Err("the low end 2s is above the high end 1s".to_owned()));
        assert!(latency("1..2s").unwrap_err().contains("`1` has no unit"));
        assert!(latency("1s..").is_err());
    }

    #[test]
    fn a_port_alone_is_every_address_of_both_families() {
        assert_eq!(address(":2112"), Ok("[::]:2112".parse().unwrap()));
        assert_eq!(address(":0"), address("[::]:0"));
        assert_eq!(address("0.0.0.0:2112"), Ok("0.0.0.0:2112".parse().unwrap()));
        for wrong in
            ["", ":", "2112", "::2112", "::1:2112", ":65536", ":-1", ":+1", ": 1", ":http", "localhost:2112", "[::]"]
        {
            assert!(address(wrong).is_err_and(|error| error.starts_with("must be :PORT for every address")), "{wrong}");
        }
    }

    #[test]
    fn a_past_time_has_an_offset_and_is_not_to_come() {
        assert_eq!(past("2026-01-02T03:04:05Z"), past("2026-01-02T04:04:05+01:00"));
        assert_eq!(past("2026-01-02T03:04:05.250000999Z").unwrap().as_nanosecond(), 1_767_323_045_250_000_000);
        for wrong in ["", "now", "yesterday", "2026-01-02", "2026-01-02T03:04:05", "1767323045", "2026-13-02T03:04:05Z"]
        {
            assert!(past(wrong).is_err_and(|error| error.starts_with("is not a time with an offset")), "{wrong}");
        }
        assert!(past("9999-01-01T00:00:00Z").unwrap_err().starts_with("is in the future"));
    }

    #[test]
    fn shares_lie_between_none_and_all() {
        assert_eq!(share("0.05"), Ok(0.05));
        assert_eq!(share("1"), Ok(1.0));
        for wrong in ["-0.1", "1.01", "NaN", "inf", "5%", ""] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
