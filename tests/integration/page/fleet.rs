//! The pages of workers, dependencies, activity and configuration. On Redis and Postgres, and embedded.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::access::{Folder, users};
use crate::support::http::{self, Answer};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

mod activity;
mod configuration;
mod dependencies;
mod workers;

/// A worker with the viewer `ann` and the operator `bob`.
struct Served {
    worker: WorkerProcess,
    queue: String,
    store: String,
    folder: Folder,
    _files: Option<TempDir>,
    _servers: Option<(RedisServer, TestDatabase)>,
}

impl Served {
    async fn by_servers() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let served = Self::of(&redis.url(), database.url(), &[]).await;
        Self { _servers: Some((redis, database)), ..served }
    }

    async fn embedded(options: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", files.path().join("w.db").display());
        Self { _files: Some(files), ..Self::of(&url, &url, options).await }
    }

    async fn of(queue: &str, store: &str, options: &[&str]) -> Self {
        let folder = Folder::with(&users(&["ann", "bob"]));
        let worker = started(&folder, queue, store, options).await;
        let (queue, store) = (queue.to_owned(), store.to_owned());
        let served = Self { worker, queue, store, folder, _files: None, _servers: None };
        eventually(LONG, "it is in the registry", async || {
            expect_equal(served.read("/workers")["workers"].as_array().map(Vec::len), Some(1))
        })
        .await;
        served
    }

    /// A second worker of the same queue and store.
    async fn another(&self) -> WorkerProcess {
        let worker = started(&self.folder, &self.queue, &self.store, &[]).await;
        eventually(LONG, "both are in the registry", async || {
            expect_equal(self.read("/workers")["workers"].as_array().map(Vec::len), Some(2))
        })
        .await;
        worker
    }

    fn ask(&self, user: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let login = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{user}'s")));
        let headers = [&[("Authorization", login.as_str())], headers].concat();
        http::send(self.worker.address(), method, path, &headers, body.as_bytes()).expect("an answer")
    }

    /// What somebody sees of a page.
    fn page(&self, user: &str, path: &str) -> String {
        let answer = self.ask(user, "GET", path, &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// A document of the API.
    fn read(&self, path: &str) -> Value {
        let answer = self.ask("ann", "GET", &format!("/api/v1{path}"), &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Places orders by the API, and returns their ids.
    fn place(&self, count: usize) -> Vec<i64> {
        let body = serde_json::json!({"orders": vec![serde_json::json!({"product": "CUP", "quantity": 1}); count]});
        let json = [("Content-Type", "application/json")];
        let answer = self.ask("bob", "POST", "/api/v1/orders/batch", &json, &body.to_string());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let made: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let orders = made["orders"].as_array().expect("orders");
        orders.iter().map(|order| order["order_id"].as_i64().expect("an id")).collect()
    }

    async fn becomes(&self, order: i64, state: &str) {
        let is = async || expect_equal(self.read(&format!("/orders/{order}"))["state"].clone(), Value::from(state));
        eventually(LONG, &format!("order {order} is {state}"), is).await;
    }

    /// Opens a page that asks for a reason, gives one, and follows the answer to where it leads.
    fn confirm(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.page("bob", path);
        let action = within(&page, "<form class=\"action\" method=\"post\" action=\"", "\"");
        let token = within(&page, "name=\"token\" value=\"", "\"");
        let hidden = page.split("<input type=\"hidden\" ").skip(1).map(|input| {
            let part = |name: &str| within(input, &format!("{name}=\""), "\"");
            (part("name"), part("value"))
        });
        let given = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(hidden.chain(given)).finish();
        let answer = self.send_form("bob", &action, &token, &body);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let notice =
            answer.headers.get("set-cookie").expect("a notice").split(';').next().expect("its value").to_owned();
        let shown = self.ask("bob", "GET", &answer.headers["location"], &[("Cookie", &notice)], "");
        assert_eq!(shown.status, 200, "{}", shown.text());
        shown.text()
    }

    fn send_form(&self, user: &str, path: &str, token: &str, body: &str) -> Answer {
        let cookie = format!("fulfillment_form={token}");
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie.as_str())];
        self.ask(user, "POST", path, &headers, body)
    }
}

async fn started(folder: &Folder, queue: &str, store: &str, options: &[&str]) -> WorkerProcess {
    let web_config = folder.file("web.yml");
    let given = ["--web-config", &web_config, "--operators", "bob", "--simulate-latency", "0"];
    WorkerProcess::ready(queue, store, &[&given[..], options].concat()).await
}

/// What stands between two parts of a text, for the first time.
#[track_caller]
fn within(text: &str, before: &str, after: &str) -> String {
    let found = text.split(before).nth(1).and_then(|rest| rest.split(after).next());
    found.unwrap_or_else(|| panic!("no {before} in {text}")).to_owned()
}
