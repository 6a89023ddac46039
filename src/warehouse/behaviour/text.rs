//! Durations in JSON, as they stand on the command line: `"500ms"`, `"50ms..2s"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::config::values::{self, Latency};

const HOUR: Duration = Duration::from_secs(3600);

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
        parsed(deserializer, values::latency)
    }
}

pub(super) mod duration {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parsed(deserializer, values::duration(Duration::ZERO, HOUR))
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
