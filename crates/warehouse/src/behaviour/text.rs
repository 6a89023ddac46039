//! Durations, latencies and shares as texts, on the command line and in JSON: `500ms`, `50ms..2s`, `0.05`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

const HOUR: Duration = Duration::from_secs(3600);

/// How long something takes: each value from `shortest` to `longest` is equally likely. The default is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// At most `longest`.
    pub shortest: Duration,
    /// At most an hour where it was read from a text.
    pub longest: Duration,
}

/// A duration with its unit, from `low` to an hour.
pub(super) fn duration_from(low: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let text = text.trim();
        if text != "0" && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!("has no unit; write {text}s for seconds, or use ms, m, h"));
        }
        match humantime::parse_duration(text) {
            Ok(duration) if (low..=HOUR).contains(&duration) => Ok(duration),
            Ok(_) => Err(format!("must be from {} to 1h", humantime::format_duration(low))),
            Err(error) => Err(format!("not a duration such as 500ms, 15s or 2m: {error}")),
        }
    }
}

/// `LOW..HIGH`, one duration for both, or `0`.
pub(super) fn latency(text: &str) -> Result<Latency, String> {
    let within = duration_from(Duration::ZERO);
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

/// A share from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1, such as 0.05".to_owned()),
    }
}

fn parsed<'de, T, D>(deserializer: D, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(|problem| de::Error::custom(format!("`{text}` {problem}")))
}

pub(super) mod latency {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Latency, serializer: S) -> Result<S::Ok, S::Error> {
        let [low, high] = [value.shortest, value.longest].map(humantime::format_duration);
        serializer.collect_str(&format_args!("{low}..{high}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Latency, D::Error> {
        parsed(deserializer, super::latency)
    }
}

pub(super) mod duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parsed(deserializer, duration_from(Duration::ZERO))
    }
}

pub(super) mod optional_duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Text(#[serde(with = "super::duration")] Duration);
        Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_duration_has_a_unit_and_lies_in_its_range() {
        let parse = duration_from(SECOND);
        assert_eq!(parse("1m 30s"), Ok(90 * SECOND));
        assert_eq!(parse("15"), Err("has no unit; write 15s for seconds, or use ms, m, h".to_owned()));
        assert_eq!(parse("999ms"), Err("must be from 1s to 1h".to_owned()));
        assert_eq!(parse("61m"), Err("must be from 1s to 1h".to_owned()));
        assert!(parse("soon").unwrap_err().starts_with("not a duration such as"));
    }

    #[test]
    fn a_latency_is_a_range_or_one_value() {
        let of = |shortest, longest| Ok(Latency { shortest, longest });
        assert_eq!(latency("500ms..2s"), of(SECOND / 2, SECOND * 2));
        assert_eq!(latency("1s"), of(SECOND, SECOND));
        assert_eq!(latency("0"), Ok(Latency::default()));
        assert_eq!(latency("2s..1s"), Err("the low end 2s is above the high end 1s".to_owned()));
        assert!(latency("1s..").is_err());
    }

    #[test]
    fn a_share_lies_between_none_and_all() {
        assert_eq!(share("0.05"), Ok(0.05));
        for wrong in ["-0.1", "1.01", "NaN", "5%", ""] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
