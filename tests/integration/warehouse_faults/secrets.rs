//! Secrets are planted wherever one can be given, everything that a worker says is read, and none may be in it.

use std::process::Output;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::orders::{in_state, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

/// In every planted secret.
const MARK: &str = "PLANTED";

/// A signing secret with the mark in its text, as base64 goes.
fn signing_secret() -> String {
    format!("whsec_{MARK}0{}", BASE64_STANDARD.encode([7_u8; 24]))
}

fn token() -> String {
    format!("token-{MARK}")
}

fn assert_clean(what: &str, text: &str) {
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
    assert!(lines.is_empty(), "{what} shows a secret: {lines:#?}");
}

/// Everything that a worker shows, at the most talkative log level.
async fn shown_by(worker: &mut WorkerProcess, database: &TestDatabase) -> String {
    let mut shown: String =
        ["/metrics", "/readyz", "/livez", "/health", "/"].iter().map(|path| worker.get(path, &[]).text()).collect();
    let notes = "SELECT coalesce(string_agg(concat(note, ' '), E'\\n'), '') FROM fulfillment.events";
    let letters = "SELECT coalesce(string_agg(concat(detail, ' '), E'\\n'), '') FROM fulfillment.dead_letters";
    for sql in [notes, letters] {
        shown.push_str(database.query(sql, &[]).await[0].get(0));
    }
    worker.signal(Signal::Term);
    worker.ended(LONG).await;
    shown + &worker.output()
}

/// Caught, when seeded: a `Debug` of the settings that shows the token.
#[tokio::test]
async fn a_worker_at_work_shows_no_secret_whatever_the_warehouse_answers() {
    let password = format!(">redis-{MARK}");
    let redis = RedisServer::start_with(&["--user", "clerk", "on", &password, "~*", "&*", "+@all"]).await;
    let database = TestDatabase::create().await;
    let queue = format!("redis://clerk:redis-{MARK}@127.0.0.1:{}", redis.port);
    let mut store: url::Url = database.url().parse().expect("a URL");
    store.set_password(Some(&format!("postgres-{MARK}"))).expect("a URL with a host");
    let secrets = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secrets.path(), format!("{}\n", signing_secret())).expect("a file of secrets");
    let warehouse = WarehouseProcess::start(&["--token", &token(), "--secret", &signing_secret()]).await;
    let url = format!("http://{}/shipments?key={MARK}", warehouse.address());
    let secrets = secrets.path().to_str().expect("a path");
    let options = [
        "--fulfiller",
        &url,
        "--fulfiller-token",
        &token(),
        "--fulfiller-secret-file",
        secrets,
        "--log",
        "trace",
        "--max-attempts",
        "1",
    ];

    place(&database, &redis, 20).await;
    let mut worker = WorkerProcess::ready(&queue, store.as_str(), &options).await;
    eventually(LONG, "the orders are fulfilled", async || expect_equal(in_state(&database, "fulfilled").await, 20))
        .await;
    warehouse.behave(&serde_json::json!({"errors": 1, "error_status": 422}));
    place(&database, &redis, 5).await;
    eventually(LONG, "the orders are rejected", async || expect_equal(in_state(&database, "failed").await, 5)).await;
    warehouse.kill().await;
    place(&database, &redis, 40).await;
    eventually(LONG, "the warehouse is seen to be gone", async || worker.answers("/readyz", 503)).await;
    let shown = shown_by(&mut worker, &database).await;

    assert!(shown.contains("127.0.0.1"), "nothing was shown at all");
    assert_clean("the worker", &shown);
}

fn everything(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_configuration_and_its_errors_show_no_secret() {
    let config = |variables: &[(&str, &str)]| {
        let mut command = binary(&["config"]);
        command.envs(variables.iter().copied());
        everything(&command.output().expect("the binary starts"))
    };
    let (token, secret) = (token(), signing_secret());
    let url = format!("https://user:pass-{MARK}@warehouse.example/shipments?key={MARK}");
    let right = config(&[("FULFILLMENT_FULFILLER", &url), ("FULFILLMENT_FULFILLER_SECRET", &secret)]);
    assert!(right.contains("warehouse.example") && right.contains("***"), "{right}");
    assert_clean("`config`", &right);

    let user_alone = config(&[("FULFILLMENT_FULFILLER", &format!("https://sk-{MARK}@warehouse.example/"))]);
    assert_clean("a key as the user", &user_alone);

    let with_blank = format!("{token} {MARK}");
    for (variable, value) in [
        ("FULFILLMENT_FULFILLER", url.replace("https", "ftp")),
        ("FULFILLMENT_FULFILLER", url.replace("warehouse.example", "ware house")),
        ("FULFILLMENT_FULFILLER_SECRET", format!("whsec_{MARK}!")),
        ("FULFILLMENT_FULFILLER_TOKEN", with_blank),
    ] {
        let mut variables = vec![("FULFILLMENT_FULFILLER", "https://warehouse.example")];
        variables.push((variable, &value));
        let wrong = config(&variables);
        assert!(wrong.contains("error"), "{variable}={value} is accepted: {wrong}");
        assert_clean(variable, &wrong);
    }
    let both = config(&[("FULFILLMENT_FULFILLER", &url), ("FULFILLMENT_FULFILLER_TOKEN", &token)]);
    assert!(both.contains("keep one of them"), "{both}");
    assert_clean("a token beside a user", &both);
}
