//! What `--queue`, `--store` and `--fulfiller` may name. The problems found never quote the value, which may hold a
//! password.

use std::path::PathBuf;

use url::Url;

use super::settings::{QueueTarget, SecretUrl, StoreTarget};

const QUEUE_FORMS: &str = "expected redis://HOST:PORT/DB, rediss://HOST:PORT/DB or sqlite:PATH";
const STORE_FORMS: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DB or sqlite:PATH";

pub(super) fn queue(text: &str) -> Result<QueueTarget, String> {
    if let Some(path) = sqlite_path(text) {
        return path.map(QueueTarget::Sqlite);
    }
    let url = url(text, &["redis", "rediss"], QUEUE_FORMS)?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("the URL has no host; {QUEUE_FORMS}"));
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u32>().is_err() {
        return Err("the database after the host must be a number, as in redis://HOST:PORT/0".to_owned());
    }
    Ok(QueueTarget::Redis(SecretUrl::new(url)))
}

pub(super) fn store(text: &str) -> Result<StoreTarget, String> {
    if let Some(path) = sqlite_path(text) {
        return path.map(StoreTarget::Sqlite);
    }
    url(text, &["postgres", "postgresql"], STORE_FORMS).map(|url| StoreTarget::Postgres(SecretUrl::new(url)))
}

/// `simulated` is all there is yet.
pub(super) fn fulfiller(text: &str) -> Result<(), String> {
    match text {
        "simulated" => Ok(()),
        text if text.starts_with("http://") || text.starts_with("https://") => {
            Err("fulfilling over HTTP is not available yet; this version has only `simulated`".to_owned())
        }
        _ => Err("unknown fulfiller; this version has only `simulated`".to_owned()),
    }
}

fn url(text: &str, schemes: &[&str], forms: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error}); {forms}"))?;
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
    Some(match path {
        "" => Err("sqlite: needs a path, such as sqlite:fulfillment.db".to_owned()),
        ":memory:" => Err("an embedded database in memory can't be shared by queue and store; name a file".to_owned()),
        path => Ok(PathBuf::from(path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_redis_or_embedded() {
        assert!(matches!(queue("redis://host"), Ok(QueueTarget::Redis(_))));
        assert!(matches!(queue("rediss://user:p%40ss@host:6380/3?protocol=resp3"), Ok(QueueTarget::Redis(_))));
        assert_eq!(queue("sqlite:a b.db"), Ok(QueueTarget::Sqlite("a b.db".into())));
        assert_eq!(queue("sqlite:///tmp/a.db"), Ok(QueueTarget::Sqlite("/tmp/a.db".into())));
    }

    #[test]
    fn stores_are_postgres_or_embedded() {
        assert!(matches!(store("postgres://u:p@host/db?sslmode=require"), Ok(StoreTarget::Postgres(_))));
        assert!(matches!(store("postgresql://u@%2Frun%2Fpostgresql/db"), Ok(StoreTarget::Postgres(_))));
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
        ] {
            let problem = queue(wrong).expect_err(wrong);
            assert!(!problem.contains("hush"), "{wrong}: {problem}");
        }
        for wrong in
            ["postgres:hush", "mysql://u:hush@host/db", "postgres://u:hush@host:port/db", "postgres://u:hush@[::/"]
        {
            let problem = store(wrong).expect_err(wrong);
            assert!(!problem.contains("hush") && problem.contains("expected postgres://"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn a_fulfiller_that_comes_later_is_said_to_come_later() {
        assert_eq!(fulfiller("simulated"), Ok(()));
        assert!(fulfiller("https://:hush@shop").unwrap_err().contains("not available yet"));
        assert!(fulfiller("hush").unwrap_err().starts_with("unknown fulfiller"));
    }
}
