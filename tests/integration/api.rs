//! `/api/v1` of the real binary: on Postgres and Redis, and embedded.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access::{Folder, users};
use crate::support::http::{self, Answer};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

mod access;
mod commands;
mod description;
mod hostile;
mod intake;
mod jobs;
mod operating;
mod reading;
mod told;

/// A worker with the user `ann`, who may look, and `bob`, an operator.
struct Served {
    worker: WorkerProcess,
    store: String,
    folder: Folder,
    _files: Option<TempDir>,
    servers: Option<(RedisServer, TestDatabase)>,
}

impl Served {
    /// On Redis and Postgres.
    async fn by_servers(options: &[&str]) -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let served = Self::of(&redis.url(), database.url(), options).await;
        Self { servers: Some((redis, database)), ..served }
    }

    /// With an embedded queue and store.
    async fn embedded(options: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", files.path().join("w.db").display());
        Self { _files: Some(files), ..Self::of(&url, &url, options).await }
    }

    async fn of(queue: &str, store: &str, options: &[&str]) -> Self {
        let mut served = Self::starting(queue, store, options);
        served.worker.wait_until_ready().await;
        let entered = async || expect_equal(served.read("/workers")["workers"] == json!([]), false);
        eventually(LONG, "it is in the registry", entered).await;
        served
    }

    /// Embedded, and may not answer yet.
    fn starting_embedded() -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", files.path().join("w.db").display());
        Self { _files: Some(files), ..Self::starting(&url, &url, &[]) }
    }

    fn starting(queue: &str, store: &str, options: &[&str]) -> Self {
        let folder = Folder::with(&users(&["ann", "bob"]));
        let web_config = folder.file("web.yml");
        let given = ["--web-config", &web_config, "--operators", "bob", "--simulate-latency", "0"];
        let worker = WorkerProcess::start(queue, store, &[&given[..], options].concat());
        Self { worker, store: store.to_owned(), folder, _files: None, servers: None }
    }

    fn ask(&self, user: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let asked = self.try_ask(user, method, path, headers, body);
        asked.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_ask(
        &self,
        user: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let login = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{user}'s")));
        let headers = [&[("Authorization", login.as_str())], headers].concat();
        http::send(self.worker.address(), method, &format!("/api/v1{path}"), &headers, body.as_bytes())
    }

    /// What ann reads.
    fn read(&self, path: &str) -> Value {
        document(&self.ask("ann", "GET", path, &[], ""), 200)
    }

    /// What bob decides.
    fn decide(&self, path: &str, body: &Value) -> Value {
        document(&self.post(path, body), 200)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("bob", "POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }

    /// The status, if there is an answer.
    fn try_post(&self, path: &str, body: &Value) -> Option<u16> {
        let json = [("Content-Type", "application/json")];
        self.try_ask("bob", "POST", path, &json, &body.to_string()).ok().map(|answer| answer.status)
    }

    /// Puts orders in, and returns their ids.
    fn put_in(&self, count: usize) -> Vec<i64> {
        let orders = vec![json!({"product": "CUP", "quantity": 2, "correlation_id": "c-7"}); count];
        let made = document(&self.post("/orders/batch", &json!({ "orders": orders })), 201);
        let ids =
            made["orders"].as_array().expect("orders").iter().map(|order| order["order_id"].as_i64().expect("an id"));
        ids.collect()
    }

    /// What a command prints as JSON about the same store.
    fn printed(&self, arguments: &[&str]) -> Value {
        let output = run_to_end(&[arguments, &["--json", "--store", &self.store]].concat());
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&out).unwrap_or_else(|problem| panic!("{arguments:?}: {problem}: {out}{error}"))
    }
}

/// The document of an answer with this status, which says what it is.
fn document(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/json");
    let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(document["version"], 1, "{document}");
    document
}

/// The problem document of an answer with this status.
fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.text());
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    problem
}
