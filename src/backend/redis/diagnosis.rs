//! What `doctor` finds out of a server: by commands that read, each of which its user may be denied.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::redis::{Cmd, Value, cmd};
use async_trait::async_trait;

use super::{RedisQueue, reply};
use crate::backend::loopback::is_loopback;
use crate::port::diagnosis::redis::RedisFacts;
use crate::port::diagnosis::{ClockOffset, QueueDiagnosis, QueueFacts, Seen, Transport};
use crate::port::queue::QueueError;

/// Pings whose round trip is measured.
const ROUNDS: usize = 5;

/// The settings that a finding is about.
const SETTINGS: [&str; 3] = ["appendonly", "appendfsync", "save"];

#[async_trait]
impl QueueDiagnosis for RedisQueue {
    async fn queue_facts(&self) -> Result<QueueFacts, QueueError> {
        self.query(&cmd("PING")).await?;
        let facts = RedisFacts {
            info: self.asked(cmd("INFO")).await.map(|text: String| fields(&text)).unwrap_or_default(),
            settings: self.settings().await,
            user: self.asked(cmd("ACL").arg("WHOAMI").clone()).await,
            clock: self.clock().await,
            round_trip: self.round_trip().await,
            transport: transport(&self.server),
        };
        Ok(QueueFacts::Redis(Box::new(facts)))
    }
}

impl RedisQueue {
    async fn asked<T: ::redis::FromRedisValue>(&self, command: Cmd) -> Seen<T> {
        let answer = async { reply::read(self.query(&command).await?, "doctor") };
        answer.await.map_err(|error| why(&error))
    }

    /// One by one: servers before 7.0 take no list.
    async fn settings(&self) -> Seen<BTreeMap<String, String>> {
        let mut settings = BTreeMap::new();
        for name in SETTINGS {
            settings.extend(self.asked::<BTreeMap<String, String>>(cmd("CONFIG").arg("GET").arg(name).clone()).await?);
        }
        Ok(settings)
    }

    async fn clock(&self) -> Seen<ClockOffset> {
        let (asked, began) = (SystemTime::now(), Instant::now());
        let (seconds, micros): (u64, u32) = self.asked(cmd("TIME")).await?;
        let within = began.elapsed().as_secs_f64() / 2.0;
        let half_way = asked.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() + within;
        let there = Duration::from_secs(seconds) + Duration::from_micros(micros.into());
        Ok(ClockOffset { ahead: there.as_secs_f64() - half_way, within })
    }

    async fn round_trip(&self) -> Duration {
        let mut shortest = Duration::MAX;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            if matches!(self.query(&cmd("PING")).await, Ok(Value::SimpleString(_))) {
                shortest = shortest.min(began.elapsed());
            }
        }
        shortest
    }
}

/// In words, for a gap.
fn why(error: &QueueError) -> String {
    let text = error.to_string();
    if text.contains("NOPERM") || text.contains("unknown command") {
        "not visible to this user, or on this server".to_owned()
    } else {
        text
    }
}

/// The fields of an answer to `INFO`.
fn fields(info: &str) -> BTreeMap<String, String> {
    let fields = info.lines().filter_map(|line| line.trim().split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// By the URL, without its password.
fn transport(url: &str) -> Transport {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if scheme.starts_with("rediss") {
        return Transport::Tls(None);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    let host = |host: &str| match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default().to_owned(),
        None => host.split(':').next().unwrap_or_default().to_owned(),
    };
    let is_local = scheme.contains("unix") || hosts.split(',').all(|one| is_loopback(&host(one)));
    if is_local { Transport::Local } else { Transport::Clear }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_is_told_by_the_url() {
        for url in [
            "redis://localhost",
            "redis://u:***@127.0.0.1:1/2",
            "redis://[::1]:6379",
            "unix:///run/redis.sock",
            "redis+unix:///run/redis.sock",
            "redis-cluster://127.0.0.1:1,localhost:2",
        ] {
            assert_eq!(transport(url), Transport::Local, "{url}");
        }
        for url in ["rediss://db", "rediss-sentinel://a,b/0?sentinelServiceName=m"] {
            assert_eq!(transport(url), Transport::Tls(None), "{url}");
        }
        for url in
            ["redis://db", "redis://u:***@10.0.0.1:1", "redis-cluster://127.0.0.1:1,b:2", "redis://[2001:db8::1]:1"]
        {
            assert_eq!(transport(url), Transport::Clear, "{url}");
        }
    }

    #[test]
    fn fields_of_info_are_read_whatever_stands_between() {
        let info = fields("# Memory\r\nmaxmemory:0\r\n\r\n# Keyspace\r\ndb0:keys=1,expires=0\r\n");
        assert_eq!(info["maxmemory"], "0");
        assert_eq!(info["db0"], "keys=1,expires=0");
        assert_eq!(info.len(), 2);
    }
}
