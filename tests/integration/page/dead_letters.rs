//! Dead letters: groups, letters, one with its message, and what is decided about them by forms. On Redis and Postgres, and embedded.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::postgres::{PostgresStore, PostgresStoreOptions};
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::config::SecretUrl;
use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::event::Observers;
use fulfillment_worker::port::intake::{Intake, NewOrder};
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Target};
use serde_json::Value;
use tempfile::TempDir;

use crate::access::{Folder, users};
use crate::support::http::{self, Answer};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

mod bulk;
mod clicking;
mod deciding;
mod looking;

const LEASE: Duration = Duration::from_secs(60);

/// A store that orders are put into and begun in.
trait Shelf: Intake + OrderStore {}

impl<T: Intake + OrderStore> Shelf for T {}

/// A worker with the viewer `ann` and the operator `bob`, and its store.
struct Served {
    worker: WorkerProcess,
    store: Arc<dyn Shelf>,
    _folder: Folder,
    _files: Option<TempDir>,
    _servers: Option<(RedisServer, TestDatabase)>,
}

impl Served {
    async fn by_servers() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let options = PostgresStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true, connections: 2 };
        let url = SecretUrl::new(database.url().parse().expect("a URL"));
        let store = Arc::new(PostgresStore::connect(&url, options, Observers::default()).expect("a store"));
        let served = Self::of(&redis.url(), database.url(), store).await;
        Self { _servers: Some((redis, database)), ..served }
    }

    async fn embedded() -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let path = files.path().join("w.db");
        let options = SqliteStoreOptions { worker: WorkerId::fresh(), lease: LEASE, events: true };
        let store = Arc::new(SqliteStore::new(Database::open(&path).expect("a database"), options));
        let url = format!("sqlite:{}", path.display());
        Self { _files: Some(files), ..Self::of(&url, &url, store).await }
    }

    async fn of(queue: &str, store_url: &str, store: Arc<dyn Shelf>) -> Self {
        let folder = Folder::with(&users(&["ann", "bob"]));
        let web_config = folder.file("web.yml");
        let options = ["--web-config", &web_config, "--operators", "bob", "--simulate-latency", "0"];
        let worker = WorkerProcess::ready(queue, store_url, &options).await;
        Self { worker, store, _folder: folder, _files: None, _servers: None }
    }

    /// Puts in an order of this product that has failed with this error, and returns its id.
    async fn fail(&self, product: &str, reason: DeadReason, detail: &str) -> i64 {
        let order = NewOrder { product: product.to_owned(), price_cents: 185, quantity: 1 };
        let inserted = self.store.insert(&[order]).await.expect("an order").remove(0);
        let (order_id, product_id) = (inserted.order_id, inserted.product_id);
        let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
        let begun = self.store.begin(&[request]).await.expect("an answer").remove(0);
        let Begun::Started { fence, .. } = begun else { panic!("{begun:?}") };
        let payload = format!(r#"{{"order_id":{order_id},"product_id":{product_id},"quantity":1}}"#).into_bytes();
        let letter = dead_letter(Some(order_id), &payload, reason, detail);
        let end = Conclusion {
            order_id,
            fence,
            attempt: 1,
            to: Target::Failed(letter),
            maybe_applied: false,
            created_at_micros: None,
        };
        self.store.conclude(&[end]).await.expect("an answer");
        order_id.0
    }

    /// Buries a message that is none.
    async fn bury(&self, payload: &[u8], detail: &str) {
        let letter = dead_letter(None, payload, DeadReason::InvalidMessage, detail);
        self.store.insert_dead_letters(&[letter]).await.expect("it is stored");
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

    /// Opens a page that asks for a reason, gives one, and returns the answer.
    fn confirm(&self, user: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let page = self.page(user, path);
        let (action, mut fields) = form(&page).unwrap_or_else(|| panic!("{path} has no form: {page}"));
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let token = fields.iter().find(|(name, _)| name == "token").map(|(_, value)| value.clone()).expect("a token");
        self.post(user, &action, &token, &fields)
    }

    fn post(&self, user: &str, path: &str, token: &str, fields: &[(String, String)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let cookie = format!("fulfillment_form={token}");
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", cookie.as_str())];
        self.ask(user, "POST", path, &headers, &body)
    }

    /// The letters without a decision, or with one.
    fn letters(&self, resolved: bool) -> Vec<Value> {
        self.read(&format!("/dead-letters?resolved={resolved}"))["dead_letters"].as_array().expect("letters").clone()
    }

    /// The number of the letter of this order.
    fn letter_of(&self, order: i64) -> i64 {
        let found = self.read(&format!("/dead-letters?order_id={order}"));
        found["dead_letters"][0]["id"].as_i64().expect("a letter")
    }

    /// Waits until an order is in this state.
    async fn becomes(&self, order: i64, state: &str) {
        let is = async || expect_equal(self.read(&format!("/orders/{order}"))["state"].clone(), Value::from(state));
        eventually(LONG, &format!("order {order} is {state}"), is).await;
    }
}

fn dead_letter(order_id: Option<OrderId>, payload: &[u8], reason: DeadReason, detail: &str) -> DeadLetter {
    let claim_id = format!("{order_id:?} {payload:?}");
    DeadLetter { claim_id, order_id, payload: payload.to_vec(), reason, detail: detail.to_owned(), attempts: 3 }
}

/// Where the form that changes something leads, and its hidden fields.
fn form(page: &str) -> Option<(String, Vec<(String, String)>)> {
    let form = page.split("<form class=\"action\"").nth(1)?.split("</form>").next()?;
    let fields = form.split("<input ").filter(|input| input.starts_with("type=\"hidden\""));
    let fields = fields.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)));
    Some((attribute(form, "action")?, fields.collect()))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
    Some(plain(value))
}

/// Without what HTML escapes.
fn plain(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Each link with this text.
fn links(page: &str, text: &str) -> Vec<String> {
    let links = page.split("<a ").skip(1).filter_map(|link| link.split("</a>").next());
    links.filter(|link| link.ends_with(&format!(">{text}"))).filter_map(|link| attribute(link, "href")).collect()
}
