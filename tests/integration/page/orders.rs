//! Orders on the page: found, listed, shown with their timelines, and decided about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::access::{Folder, users};
use crate::support::http::{self, Answer};
use crate::support::operator::login;
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

mod deciding;
mod finding;
mod looks;
mod timeline;

/// What others may write: a browser would run it, and turn the text around.
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\"'>";

/// As it is shown.
const HARMLESS: &str = "&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}";

/// A worker with the user `ann`, who may look, and `bob`, an operator.
pub(super) struct Visited {
    pub(super) worker: WorkerProcess,
    _folder: Folder,
    _files: Option<TempDir>,
    _servers: Option<(RedisServer, TestDatabase)>,
}

impl Visited {
    /// On Redis and Postgres.
    pub(super) async fn on_servers(options: &[&str]) -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let visited = Self::of(&redis.url(), database.url(), options).await;
        Self { _servers: Some((redis, database)), ..visited }
    }

    /// With an embedded queue and store.
    pub(super) async fn embedded(options: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", files.path().join("w.db").display());
        Self { _files: Some(files), ..Self::of(&url, &url, options).await }
    }

    async fn of(queue: &str, store: &str, options: &[&str]) -> Self {
        let folder = Folder::with(&users(&["ann", "bob"]));
        let web_config = folder.file("web.yml");
        let given = ["--web-config", &web_config, "--operators", "bob", "--simulate-latency", "0"];
        let worker = WorkerProcess::ready(queue, store, &[&given[..], options].concat()).await;
        Self { worker, _folder: folder, _files: None, _servers: None }
    }

    fn ask(&self, user: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let login = login(user);
        let headers = [&[("Authorization", login.as_str())], headers].concat();
        http::send(self.worker.address(), method, path, &headers, body.as_bytes())
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A page as this user sees it.
    pub(super) fn page(&self, user: &str, path: &str) -> String {
        let answer = self.ask(user, "GET", path, &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// The address of a page for a browser, which logs in by it.
    pub(super) fn url(&self, user: &str, path: &str) -> String {
        format!("http://{user}:{user}%27s@{}{path}", self.worker.address())
    }

    /// Where the user is led.
    fn led_to(&self, user: &str, path: &str) -> String {
        let answer = self.ask(user, "GET", path, &[], "");
        assert_eq!(answer.status, 303, "{path}: {}", answer.text());
        answer.headers["location"].clone()
    }

    /// The status of the answer.
    pub(super) fn status(&self, user: &str, path: &str) -> u16 {
        self.ask(user, "GET", path, &[], "").status
    }

    /// What the API answers bob.
    pub(super) fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let json: &[(&str, &str)] = if method == "GET" { &[] } else { &[("Content-Type", "application/json")] };
        let answer = self.ask("bob", method, &format!("/api/v1{path}"), json, &body);
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    pub(super) fn order(&self, id: i64) -> Value {
        self.api("GET", &format!("/orders/{id}"), &Value::Null)
    }

    /// Nothing that is placed from now on is begun.
    pub(super) async fn paused(self) -> Self {
        self.api("POST", "/pause", &json!({"why": "a trial"}));
        eventually(LONG, "it is paused", async || {
            let workers = self.api("GET", "/workers", &Value::Null);
            expect_equal(workers["workers"][0]["state"].clone(), json!("paused"))
        })
        .await;
        self
    }

    /// Places orders, and returns their ids.
    pub(super) fn place(&self, count: usize, product: &str, correlation_id: &str) -> Vec<i64> {
        let order = json!({"product": product, "quantity": 2, "correlation_id": correlation_id});
        let made = self.api("POST", "/orders/batch", &json!({"orders": vec![order; count]}));
        let orders = made["orders"].as_array().expect("orders");
        orders.iter().map(|order| order["order_id"].as_i64().expect("an id")).collect()
    }

    /// Waits until an order is in this state.
    async fn until(&self, id: i64, state: &str) {
        let what = format!("order {id} is {state}");
        eventually(LONG, &what, async || expect_equal(self.order(id)["state"].clone(), json!(state))).await;
    }
}

/// A form with its token, as somebody has loaded it who has logged in, and the cookie that belongs to it.
pub(super) struct Formed<'a> {
    visited: &'a Visited,
    user: &'static str,
    cookie: String,
    token: String,
}

impl<'a> Formed<'a> {
    /// Loads the page that asks for the reason of an action.
    pub(super) fn at(visited: &'a Visited, user: &'static str, confirmation: &str) -> Self {
        let answer = visited.ask(user, "GET", confirmation, &[], "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let cookie = answer.headers["set-cookie"].split(';').next().expect("a cookie").to_owned();
        let text = answer.text();
        let token = between(&text, "name=\"token\" value=\"", "\"").expect("a token").to_owned();
        Self { visited, user, cookie, token }
    }

    /// Sends the form.
    pub(super) fn does(&self, action: &str, token: Option<&str>, fields: &str) -> Answer {
        let token = token.map(|token| format!("token={token}&")).unwrap_or_default();
        let headers = [("Cookie", self.cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        self.visited.ask(self.user, "POST", &format!("/do/{action}"), &headers, &format!("{token}{fields}"))
    }

    /// Sends it as the page has it, and returns where that leads.
    pub(super) fn acts(&self, action: &str, fields: &str) -> String {
        let answer = self.does(action, Some(&self.token), fields);
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer.headers["location"].clone()
    }
}

pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// Keys of the rows of a list, as they stand.
fn listed(page: &str) -> Vec<i64> {
    let links = page.split("<a href=\"/orders/").skip(1);
    links.filter_map(|link| link.split('"').next()?.parse().ok()).collect()
}

/// The address of the next page.
fn next(page: &str) -> Option<String> {
    let links = page.split("<a href=\"").skip(1);
    let next = links.filter_map(|link| link.split_once("\" rel=\"next\"")).next()?.0;
    Some(next.replace("&amp;", "&"))
}

fn descending(ids: &[i64]) -> Vec<i64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids
}

/// A warehouse that sends the first `failures` calls away with these words, and has a reference for the others.
async fn warehouse(failures: usize, words: &'static str) -> String {
    let calls = Arc::new(AtomicUsize::new(0));
    let answer = async move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match call < failures {
            true => (StatusCode::TOO_EARLY, json!({"title": format!("{words} {call}"), "detail": words})),
            false => (StatusCode::OK, json!({"reference": format!("shipment {words}")})),
        };
        let kind = if call < failures { "application/problem+json" } else { "application/json" };
        (status, [("content-type", kind)], body.to_string())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/shipments", post(answer))).await });
    format!("http://{address}/shipments")
}
