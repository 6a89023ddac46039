//! A worker on real servers with people at its page: the viewer `ann` and the operator `bob`.

use serde_json::{Value, json};

use crate::access::{Folder, users};
use crate::support::browser::Browser;
use crate::support::http::{self, Answer};
use crate::support::metrics::Metrics;
use crate::support::operator::login;
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

/// See the module.
pub(super) struct Desk {
    pub(super) worker: WorkerProcess,
    pub(super) redis: RedisServer,
    pub(super) database: TestDatabase,
    folder: Folder,
}

impl Desk {
    /// One with these options of the worker.
    pub(super) async fn with(options: &[&str]) -> Self {
        Self::on(RedisServer::start().await, TestDatabase::create().await, options).await
    }

    /// One on these servers.
    pub(super) async fn on(redis: RedisServer, database: TestDatabase, options: &[&str]) -> Self {
        let folder = Folder::with(&users(&["ann", "bob"]));
        let options = with_people(&folder, options);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
        Self { worker, redis, database, folder }
    }

    /// One more worker of the fleet.
    pub(super) async fn another(&self, options: &[&str]) -> WorkerProcess {
        let options = with_people(&self.folder, options);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        WorkerProcess::ready(&self.redis.url(), self.database.url(), &options).await
    }

    /// Starts the worker again, where it was.
    pub(super) async fn restart(&mut self, options: &[&str]) {
        let options = with_people(&self.folder, options);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let (queue, store) = (self.redis.url(), self.database.url());
        self.worker = WorkerProcess::start_at(self.worker.address(), &queue, store, &options);
        self.worker.wait_until_ready().await;
    }

    /// Where a page is for somebody who has logged in.
    pub(super) fn at(&self, user: &str, path: &str) -> String {
        address(&self.worker, user, path)
    }

    /// A browser of this user with a page of the worker.
    pub(super) async fn browser(&self, user: &str, path: &str) -> Browser {
        Browser::at(&self.at(user, path)).await
    }

    /// A request of this user.
    pub(super) fn ask(&self, user: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let login = login(user);
        let headers = [&[("Authorization", login.as_str())], headers].concat();
        http::send(self.worker.address(), method, path, &headers, body.as_bytes()).expect("an answer")
    }

    /// A document of the API.
    pub(super) fn read(&self, path: &str) -> Value {
        let answer = self.ask("ann", "GET", &format!("/api/v1{path}"), &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// What `bob` has the API do.
    pub(super) fn act(&self, path: &str, body: &Value) -> Value {
        let json = [("Content-Type", "application/json")];
        let answer = self.ask("bob", "POST", &format!("/api/v1{path}"), &json, &body.to_string());
        assert!(matches!(answer.status, 200..=299), "{path}: {} {}", answer.status, answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// What somebody decides on the command line.
    pub(super) fn command(&self, name: &str, why: &str) {
        let output = run_to_end(&[name, "--store", self.database.url(), "--why", why, "--actor", "carl"]);
        assert!(output.status.success(), "{name}: {output:?}");
    }

    /// Waits until a gauge or counter of the worker has this value.
    pub(super) async fn counted(&self, series: &str, value: i32) {
        eventually(LONG, series, async || expect_equal(metrics(&self.worker).value(series), f64::from(value))).await;
    }

    /// The letter of this order.
    pub(super) fn letter_of(&self, order: i32) -> i64 {
        let found = self.read(&format!("/dead-letters?order_id={order}"));
        found["dead_letters"][0]["id"].as_i64().expect("a letter")
    }
}

/// Where a page of a worker is for somebody who has logged in.
pub(super) fn address(worker: &WorkerProcess, user: &str, path: &str) -> String {
    format!("http://{user}:{user}%27s@{}{path}", worker.address())
}

/// Scrapes a worker as somebody who has logged in.
pub(super) fn metrics(worker: &WorkerProcess) -> Metrics {
    Metrics::parse(&worker.get("/metrics", &[("Authorization", &login("ann"))]).text())
}

fn with_people(folder: &Folder, options: &[&str]) -> Vec<String> {
    let web_config = folder.file("web.yml");
    let people = ["--web-config", &web_config, "--operators", "bob"];
    let latency: &[&str] = match options.iter().any(|option| ["--simulate-latency", "--fulfiller"].contains(option)) {
        true => &[],
        false => &["--simulate-latency", "0"],
    };
    people.iter().chain(latency).chain(options).map(|&option| option.to_owned()).collect()
}

/// Marks the page as it was loaded.
pub(super) async fn mark(browser: &Browser) {
    browser.script("window.marked = true", json!([])).await;
}

/// Checks that nobody has loaded the page again since it was marked.
pub(super) async fn assert_not_reloaded(browser: &Browser) {
    assert_eq!(browser.script("return window.marked === true", json!([])).await, true, "the page was loaded again");
}

/// As the page writes a number below a million.
pub(super) fn shown(number: i64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}
