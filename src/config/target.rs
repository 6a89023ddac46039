//! Parsers of `--queue`, `--store` and `--fulfiller`. Their errors never quote the value, which may hold a password.

use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use url::Url;

use super::postgres_url::{self, Variables};
use super::redis_url::{self, RedisServers};
use super::secret::{Secret, SecretUrl};
use super::settings::{QueueTarget, StoreTarget};
use super::url_parts::quoted;

const QUEUE_FORMS: &str = "expected redis://HOST:PORT/DB, redis-sentinel://HOST:PORT,HOST:PORT/DB?sentinelServiceName=NAME, \
                           redis-cluster://HOST:PORT,HOST:PORT, one of these with rediss for TLS, \
                           unix:///SOCKET?db=DB, or sqlite:PATH";
const FULFILLER_FORMS: &str = "expected simulated, http://HOST/PATH or https://HOST/PATH";
const LINK_FORMS: &str = "expected http://HOST/PATH or https://HOST/PATH";
const SIGNING_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const STORE_FORMS: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DB, postgres:///DB?host=/FOLDER/OF/SOCKET, host=HOST dbname=DB or sqlite:PATH";

/// As on the command line. The error describes the valid values.
impl FromStr for QueueTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = sqlite_path(text) {
            return path.map(Self::Sqlite);
        }
        let url = redis_url::parse(text).map_err(|error| not_a_url(error, QUEUE_FORMS))?;
        let url = checked(url.expose().clone(), text, redis_url::SCHEMES, QUEUE_FORMS)?;
        redis_url::check_place(&url).map_err(|problem| format!("{problem}; {QUEUE_FORMS}"))?;
        let url = redis_url::canonical(&SecretUrl::new(url))?;
        RedisServers::of(&url)?;
        Ok(Self::Redis(url))
    }
}

/// As on the command line. The error describes the valid values.
impl FromStr for StoreTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, &Variables::default())
    }
}

impl QueueTarget {
    /// As on the command line, with this password where the URL of a Redis server has none.
    #[cfg(feature = "cli")]
    pub(super) fn read(text: &str, password: Option<&Secret>) -> Result<Self, String> {
        match (text.parse()?, password) {
            (Self::Redis(url), Some(password)) => redis_url::with_password(&url, password.expose()).map(Self::Redis),
            (target, _) => Ok(target),
        }
    }
}

impl StoreTarget {
    /// As on the command line, with the gaps of a URL of Postgres filled from libpq's variables.
    pub(super) fn read(text: &str, variables: &Variables) -> Result<Self, String> {
        if let Some(path) = sqlite_path(text) {
            return path.map(Self::Sqlite);
        }
        if postgres_url::is_postgres(text) {
            let with_forms = |problem: String| match problem.starts_with('`') || problem.starts_with("unknown") {
                true => problem,
                false => format!("{problem}; {STORE_FORMS}"),
            };
            return postgres_url::parse(text, variables).map(Self::Postgres).map_err(with_forms);
        }
        let url = url(text, &["postgres", "postgresql"], STORE_FORMS)?;
        Err(format!("`{}` is no store; {STORE_FORMS}", url.scheme()))
    }
}

/// The URL of a fulfiller over HTTP; `None` for the simulated one.
pub(super) fn fulfiller(text: &str) -> Result<Option<Url>, String> {
    if text == "simulated" {
        return Ok(None);
    }
    let url = url(text, &["http", "https"], FULFILLER_FORMS)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("the URL has no host; {FULFILLER_FORMS}"));
    }
    if url.fragment().is_some() {
        return Err("the part after `#` is never sent; remove it".to_owned());
    }
    Ok(Some(url))
}

/// The URL of a page that browsers open from here, as it was given: whoever may look at the page sees it.
pub(super) fn link(text: &str) -> Result<String, String> {
    let url = url(text, &["http", "https"], LINK_FORMS)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("the URL has no host; {LINK_FORMS}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the URL has a user or a password, which everybody who sees the page would get; remove it".to_owned()
        );
    }
    Ok(url.into())
}

/// Checks each as Standard Webhooks has it: `whsec_` and the base64 of 24 to 64 bytes.
pub(super) fn signing_secrets(secrets: &[Secret]) -> Result<(), String> {
    for (position, secret) in secrets.iter().enumerate() {
        let key = secret.expose().strip_prefix("whsec_").and_then(|text| BASE64.decode(text).ok());
        if !key.is_some_and(|key| SIGNING_KEY_BYTES.contains(&key.len())) {
            let number = position + 1;
            return Err(format!("secret {number} is not whsec_ followed by the base64 of 24 to 64 bytes"));
        }
    }
    Ok(())
}

fn url(text: &str, schemes: &[&str], forms: &str) -> Result<Url, String> {
    checked(Url::parse(text).map_err(|error| not_a_url(error, forms))?, text, schemes, forms)
}

fn not_a_url(error: url::ParseError, forms: &str) -> String {
    format!("not a URL ({error}); {forms}")
}

fn checked(url: Url, text: &str, schemes: &[&str], forms: &str) -> Result<Url, String> {
    if !schemes.contains(&url.scheme()) {
        return Err(format!("the scheme `{}:` is not known here; {forms}", url.scheme()));
    }
    // `redis:host` parses too, as a URL that names no server.
    if url.cannot_be_a_base() || !text.contains("://") {
        return Err(format!("`//` is missing after `{}:`; {forms}", url.scheme()));
    }
    Ok(url)
}

/// The path of `sqlite:PATH` or `sqlite://PATH`; `None` for anything else.
fn sqlite_path(text: &str) -> Option<Result<PathBuf, String>> {
    let path = text.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    // SQLite's own `mode=rwc` is what happens anyway.
    let path = path.strip_suffix("?mode=rwc").unwrap_or(path);
    if let Some((_, query)) = path.split_once('?') {
        let name = query.split(['=', '&']).next().unwrap_or_default();
        return Some(Err(format!(
            "unknown parameter {} after the path; there is `mode=rwc` alone, and no file may have a ? in its path",
            quoted(name)
        )));
    }
    Some(match path {
        uri if uri.starts_with("file:") => Err("write the path alone, without `file:`".to_owned()),
        "" => Err("sqlite: needs a path, such as sqlite:fulfillment.db".to_owned()),
        ":memory:" => Err("an embedded database in memory can't be shared by queue and store; name a file".to_owned()),
        path => Ok(PathBuf::from(path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(text: &str) -> Result<QueueTarget, String> {
        text.parse()
    }

    fn store(text: &str) -> Result<StoreTarget, String> {
        text.parse()
    }

    #[test]
    fn queues_are_redis_or_embedded() {
        assert!(matches!(queue("redis://host"), Ok(QueueTarget::Redis(_))));
        assert!(matches!(queue("rediss://user:p%40ss@host:6380/3?protocol=resp3"), Ok(QueueTarget::Redis(_))));
        assert!(matches!(queue("rediss-sentinel://:p@a,b/3?sentinelServiceName=m"), Ok(QueueTarget::Redis(_))));
        assert!(matches!(queue("redis-cluster://:p@a:7001,b:7001"), Ok(QueueTarget::Redis(_))));
        assert!(matches!(queue("unix:///run/redis.sock?db=2"), Ok(QueueTarget::Redis(_))));
        assert!(matches!(queue("valkey://host?db=2"), Ok(QueueTarget::Redis(_))));
        assert_eq!(queue("sqlite:a.db?mode=rwc"), Ok(QueueTarget::Sqlite("a.db".into())));
        assert_eq!(queue("sqlite:a b.db"), Ok(QueueTarget::Sqlite("a b.db".into())));
        assert_eq!(queue("sqlite:///tmp/a.db"), Ok(QueueTarget::Sqlite("/tmp/a.db".into())));
    }

    #[test]
    fn stores_are_postgres_or_embedded() {
        assert!(matches!(store("postgres://u:p@host/db?sslmode=require"), Ok(StoreTarget::Postgres(_))));
        assert!(matches!(store("postgresql://u@%2Frun%2Fpostgresql/db"), Ok(StoreTarget::Postgres(_))));
        assert!(matches!(store("postgresql://u@/db?host=/run/postgresql&port=5433"), Ok(StoreTarget::Postgres(_))));
        assert!(matches!(store("postgres://u:p@one:5432,other:5432/db"), Ok(StoreTarget::Postgres(_))));
        assert!(matches!(store("host=/run/postgresql dbname=shop"), Ok(StoreTarget::Postgres(_))));
        assert_eq!(store("sqlite:orders.db"), Ok(StoreTarget::Sqlite("orders.db".into())));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_the_url() {
        for wrong in [
            "",
            "hush",
            "hush.db",
            "redis:hush",
            "redis://:hush@",
            "redis://:hush@host:99999",
            "redis://:hush@ho st",
            "http://:hush@host",
            "redis://:hush@host/hush",
            "sqlite:",
            "sqlite::memory:",
            "redis://:hush",
            "redis-sentinel://:hush@host,other/0",
            "redis-sentinel://:hush@host/hush?sentinelServiceName=m",
            "redis-sentinel://:hush@host:1?sentinelServiceName=m&sentinelPasword=hush",
            "redis-cluster://:hush@host,hush:hush",
            "redis-cluster://:hush@host/1",
            "redis-cluster:hush,hush",
            "redis-cluster://,hush",
            "redis://a,b/0",
            "rediss://:hush@host#insecure",
            "unix://host/hush.sock",
            "unix:///",
            "unix:/hush.sock",
            "sqlite:a.db?mode=hush",
            "sqlite:file:hush.db",
        ] {
            let problem = queue(wrong).expect_err(wrong);
            assert!(!problem.contains("hush"), "{wrong}: {problem}");
        }
        for wrong in [
            "postgres:hush",
            "postgres://u:hush@/db",
            "mysql://u:hush@host/db",
            "postgres://u:hush@host:port/db",
            "postgres://u:hush@[::/",
        ] {
            let problem = store(wrong).expect_err(wrong);
            assert!(!problem.contains("hush") && problem.contains("expected postgres://"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn fulfillers_are_simulated_or_called_over_http() {
        assert_eq!(fulfiller("simulated"), Ok(None));
        for url in ["http://host/", "https://user:p%40ss@host:8443/shipments?key=1", "http://[::1]:80/x"] {
            assert_eq!(fulfiller(url).unwrap().unwrap().as_str(), url.replace(":80/", "/"));
        }
        for wrong in ["", "hush", "ftp://hush@host", "http:hush", "https://hush@", "http://host/#hush", "http://h ush"]
        {
            let problem = fulfiller(wrong).expect_err(wrong);
            assert!(!problem.contains("hush"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn signing_secrets_are_keys_of_a_fitting_length() {
        let of = |bytes: usize| Secret::new(format!("whsec_{}", BASE64.encode(vec![7; bytes])));
        assert_eq!(signing_secrets(&[of(24), of(64)]), Ok(()));
        for wrong in [of(23), of(65), Secret::new("whsec_hush".to_owned()), Secret::new("hush".to_owned())] {
            let problem = signing_secrets(&[of(32), wrong]).unwrap_err();
            assert!(problem.starts_with("secret 2 is not whsec_") && !problem.contains("hush"), "{problem}");
        }
    }
}
