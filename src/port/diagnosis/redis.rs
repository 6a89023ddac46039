//! Facts of a Redis server.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ClockOffset, Seen, Transport};

/// What was found of a server.
#[derive(Debug, Clone)]
pub struct RedisFacts {
    /// What `INFO` answers, by field.
    pub info: BTreeMap<String, String>,
    /// What `CONFIG GET` answers, by setting.
    pub settings: Seen<BTreeMap<String, String>>,
    /// Who we are there.
    pub user: Seen<String>,
    /// Its clock.
    pub clock: Seen<ClockOffset>,
    /// The shortest of some pings.
    pub round_trip: Duration,
    /// The way to it.
    pub transport: Transport,
}

impl RedisFacts {
    /// A field of `INFO`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    /// A field that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// A setting, where it may be read.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref().ok()?.get(name).map(String::as_str)
    }

    /// What the server calls itself, with its version.
    pub fn name(&self) -> String {
        match (self.field("valkey_version"), self.field("redis_version")) {
            (Some(version), _) => format!("Valkey {version}"),
            (None, Some(version)) => format!("Redis {version}"),
            (None, None) => "a server that keeps its version to itself".to_owned(),
        }
    }
}
