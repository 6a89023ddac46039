//! A different secret stands in every place where one can, everything that a worker says is read, and none may be in it.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::http_fulfiller::peer::{Peer, Received, Reply, answer};
use crate::support::orders::{in_state, insert, place, push};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};
use crate::tracing::collector::{Collector, Mood};

/// In every planted secret.
const MARK: &str = "PLANTED";

fn signing_secret(number: u8) -> String {
    format!("whsec_{MARK}0{}", BASE64_STANDARD.encode([number; 24]))
}

/// Files and credentials with secrets, and the variables that name them.
struct Planted {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Planted {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    fn set(&mut self, variable: &str, value: &str) {
        self.variables.push((variable.to_owned(), value.to_owned()));
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn file(&mut self, variable: &str, text: &str) {
        let path = self.write(&variable.to_lowercase(), text);
        self.set(&format!("{variable}_FILE"), &path);
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// What a command says with these variables.
    fn said(&self, words: &[&str]) -> String {
        let mut command: Command = binary(words);
        command.envs(self.variables()).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.output().expect("the binary starts");
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(!said.is_empty(), "{words:?} says nothing");
        said
    }
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
    assert!(lines.is_empty(), "{what} shows a secret: {lines:#?}");
}

/// Says everything that it was told, with another status for each kind of order.
fn echo(received: &Received) -> Reply {
    let heads: String = received.headers.iter().map(|(name, value)| format!("{name}: {value}; ")).collect();
    let said = format!("{} {heads}{}", received.line, received.header("authorization").unwrap_or_default());
    let body = serde_json::json!({"reference": said, "error": said}).to_string();
    let status = match received.json()["quantity"].as_i64() {
        Some(1) => "200 OK",
        Some(2) => "422 Unprocessable",
        Some(3) => "500 Broken",
        _ => return Reply::Close(format!("HTTP/1.1 200 OK\r\n{said}").into_bytes()),
    };
    Reply::Bytes(answer(status, "", body))
}

async fn planted(redis: &RedisServer, database: &TestDatabase, peer: &Peer, collector: &Collector) -> Planted {
    let mut planted = Planted::new();
    planted.file("REDIS_URL", &format!("redis://clerk@127.0.0.1:{}", redis.port));
    planted.file("REDIS_PASSWORD", &format!("redis-{MARK}"));
    let mut store: url::Url = database.url().parse().expect("a URL");
    store.set_password(None).expect("a URL with a host");
    planted.file("DATABASE_URL", store.as_str());
    planted.file("PGPASSWORD", &format!("postgres-{MARK}"));
    let hook = format!("http://{}/services/T0{MARK}/path-{MARK}-0?key=query-{MARK}", peer.address);
    planted.file("FULFILLMENT_FULFILLER", &hook);
    planted.file("FULFILLMENT_FULFILLER_TOKEN", &format!("token-{MARK}-0"));
    let credentials = planted.folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    planted.write("credentials/fulfiller-secret", &signing_secret(1));
    planted.set("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    planted.file("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer%20otlp-{MARK}"));
    planted.set("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{}", collector.http));
    planted.set("OTEL_BSP_SCHEDULE_DELAY", "50");
    planted
}

#[tokio::test]
async fn whatever_is_said_in_whatever_trouble_no_secret_is_in_it() {
    let password = format!(">redis-{MARK}");
    let redis = RedisServer::start_with(&["--user", "clerk", "on", &password, "~*", "&*", "+@all"]).await;
    let (database, peer) = (TestDatabase::create().await, Peer::start(echo).await);
    let collector = Collector::start(Mood::Takes).await;
    let planted = planted(&redis, &database, &peer, &collector).await;
    let options = ["--log", "trace", "--max-attempts", "1", "--log-orders", "all", "--ambiguous", "park"];
    let mut worker = WorkerProcess::configured(&options, &planted.variables());
    worker.wait_until_ready().await;

    place(&database, &redis, 5).await;
    eventually(LONG, "orders are done", async || expect_equal(in_state(&database, "fulfilled").await, 5)).await;
    let token = planted.folder.path().join("fulfillment_fulfiller_token");
    for text in [format!("wrong {MARK} token"), format!("token-{MARK}-1")] {
        std::fs::write(&token, text).unwrap();
        worker.signal(Signal::HangUp);
        let outcome = ["failure", "success"][usize::from(std::fs::read_to_string(&token).unwrap().contains("-1"))];
        let series = format!("fulfillment_reloads_total{{outcome=\"{outcome}\"}}");
        let reloaded = || if worker.metrics().value(&series) > 0.0 { Ok(()) } else { Err(worker.output()) };
        eventually(LONG, "the token is read again", async || reloaded()).await;
    }
    for quantity in [1, 2, 3, 4] {
        let ids = insert(&database, 3).await;
        database.query("UPDATE orders SET quantity = $1 WHERE id = ANY($2)", &[&quantity, &ids]).await;
        push(&redis, &ids);
    }
    eventually(LONG, "orders are given up", async || expect_equal(in_state(&database, "failed").await, 9)).await;
    eventually(LONG, "traces came", async || if collector.spans().len() > 20 { Ok(()) } else { Err("few spans") })
        .await;

    let paths = ["/metrics", "/readyz", "/livez", "/health", "/", "/log"];
    let mut shown: String = paths.iter().map(|path| worker.get(path, &[]).text()).collect();
    for sql in [
        "SELECT coalesce(string_agg(e::text, E'\\n'), '') FROM fulfillment.events e",
        "SELECT coalesce(string_agg(d::text, E'\\n'), '') FROM fulfillment.dead_letters d",
    ] {
        let text: String = database.query(sql, &[]).await[0].get(0);
        assert!(text.contains("***"), "what was echoed is there, without secrets: {text}");
        shown.push_str(&text);
    }
    let spans = collector.spans();
    shown.push_str(&spans.iter().map(|each| format!("{:?} {:?}\n", each.span, each.resource)).collect::<String>());
    for words in [
        &["config"][..],
        &["config", "--json"],
        &["status"],
        &["dead", "list"],
        &["order", "1"],
        &["verify"],
        &["doctor", "--sample", "0s"],
    ] {
        shown.push_str(&planted.said(words));
    }
    worker.signal(Signal::Term);
    worker.ended(LONG).await;
    shown.push_str(&worker.output());

    assert!(shown.contains("127.0.0.1"), "nothing was shown at all");
    assert_clean("the worker", &shown);
    let received = peer.requests();
    let (first, last) = (&received[0], &received[received.len() - 1]);
    assert!(first.line.contains(&format!("/services/T0{MARK}/path-{MARK}-0?key=query-{MARK}")), "{}", first.line);
    let tokens = [first, last].map(|request| request.header("authorization").unwrap_or_default().to_owned());
    assert_eq!(tokens, [0, 1].map(|number| format!("Bearer token-{MARK}-{number}")));
    assert_eq!(collector.headers()[0]["authorization"], format!("Bearer otlp-{MARK}"));
}

/// Each secret in each of its places, in a form that is refused.
#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let wrong = [
        ("FULFILLMENT_QUEUE", format!("redis://clerk:{MARK}@ho st/")),
        ("FULFILLMENT_QUEUE", format!("rediss://:{MARK}@host/{MARK}")),
        ("REDIS_URL", format!("{MARK}://{MARK}@host")),
        ("REDIS_URL", format!("redis://host?pasword={MARK}@")),
        ("FULFILLMENT_STORE", format!("postgres://clerk:{MARK}@db:{MARK}/shop")),
        ("DATABASE_URL", format!("host=db password={MARK} pasword={MARK}")),
        ("DATABASE_URL", format!("postgres://clerk:a/b@{MARK}?{MARK}@db/shop")),
        ("FULFILLMENT_FULFILLER", format!("ftp://hooks.example/{MARK}")),
        ("FULFILLMENT_FULFILLER", format!("https://hooks.example/T0/{MARK}#{MARK}")),
        ("FULFILLMENT_FULFILLER", format!("https://[{MARK}]/")),
        ("FULFILLMENT_FULFILLER_TOKEN", format!("{MARK} {MARK}")),
        ("FULFILLMENT_FULFILLER_SECRET", format!("whsec_{MARK}!")),
        ("FULFILLMENT_FULFILLER_SECRET", format!("{} {MARK}", signing_secret(1))),
    ];
    for (variable, value) in wrong {
        for in_file in [false, true] {
            let mut planted = Planted::new();
            if !["FULFILLMENT_QUEUE", "REDIS_URL"].contains(&variable) {
                planted.set("FULFILLMENT_QUEUE", "redis://host");
            }
            if !["FULFILLMENT_STORE", "DATABASE_URL"].contains(&variable) {
                planted.set("FULFILLMENT_STORE", "postgres://db/shop");
            }
            if variable != "FULFILLMENT_FULFILLER" {
                planted.set("FULFILLMENT_FULFILLER", "https://warehouse.example/");
            }
            if in_file {
                planted.file(variable, &value)
            } else {
                planted.set(variable, &value)
            }
            for words in [&["config"][..], &["run", "--log", "trace", "--wait", "0s"]] {
                let said = planted.said(words);
                assert!(said.contains("error: "), "{variable}={value} is accepted: {said}");
                assert_clean(&format!("{variable}, in a file: {in_file}"), &said);
            }
        }
    }
}

#[test]
fn a_web_address_that_was_typed_in_the_wrong_place_is_shown_without_its_path() {
    let planted = Planted::new();
    for words in [
        vec!["run".to_owned(), format!("https://hooks.example/services/T0/{MARK}")],
        vec!["run".to_owned(), format!("--fulfiler=https://hooks.example/T0/{MARK}?{MARK}")],
        vec!["run".to_owned(), "--lease".to_owned(), format!("https://hooks.example/T0/{MARK}?{MARK}")],
        vec!["order".to_owned(), format!("https://clerk:{MARK}@hooks.example/x/{MARK}")],
        vec![format!("https://hooks.example/x?{MARK}")],
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = planted.said(&words);
        assert_clean(&format!("{words:?}"), &said);
    }
}
