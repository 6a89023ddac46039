//! Chromium by its driver, which speaks WebDriver: each command is a request with JSON.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::support::process::Process;
use crate::support::{LONG, eventually, free_port};

/// The browser ends with its driver, because it is driven through a pipe.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1280,900",
    "--lang=en-US",
];

/// A driver with one session: a browser whose profile is new.
pub(super) struct Driver {
    address: SocketAddr,
    session: String,
    /// Before the folder, so that it is dropped first.
    _process: Process,
    folder: TempDir,
}

impl Driver {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the browser");
        let at = |name: &str| folder.path().join(name);
        for name in ["home", "temporary", "profile"] {
            fs::create_dir(at(name)).expect("a folder for the browser");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port())).env("HOME", at("home")).env("TMPDIR", at("temporary"));
        let process = Process::start("chromedriver", command, at("output.log"));
        eventually(LONG, "the driver is ready", async || ask(address, Method::GET, "/status", None).await).await;

        let profile = format!("--user-data-dir={}", at("profile").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let limit = u64::try_from(LONG.as_millis()).expect("a number of milliseconds");
        let wanted = json!({
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"pageLoad": limit, "script": limit},
        });
        let asked = json!({"capabilities": {"alwaysMatch": wanted}});
        let made = ask(address, Method::POST, "/session", Some(asked)).await.expect("a browser");
        let session = made["sessionId"].as_str().expect("the session's name").to_owned();
        Self { address, session, _process: process, folder }
    }

    /// What names the browser's processes: each has its path among its arguments, or is in it.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        ask(self.address, Method::GET, &self.of_session(path), None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        ask(self.address, Method::POST, &self.of_session(path), Some(body)).await
    }

    fn of_session(&self, path: &str) -> String {
        format!("/session/{}{path}", self.session)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Answered once the browser has ended. Where that fails, the browser ends when its driver is killed, a little later.
        let (address, session) = (self.address, self.of_session(""));
        let end = async move { ask(address, Method::DELETE, &session, None).await };
        // A runtime can't be waited for within another.
        let elsewhere = || Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(end);
        let _ = std::thread::spawn(elsewhere).join();
    }
}

/// The value that the driver answers, or what it says against the command.
async fn ask(address: SocketAddr, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    // The driver has a limit of its own for whatever a page may hold up.
    let limit = LONG + Duration::from_secs(30);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answered = async {
        let answer = client.request(request).await.map_err(|error| format!("{path}: {error:?}"))?;
        answer.into_body().collect().await.map_err(|error| format!("{path}: {error:?}"))
    };
    let answered = tokio::time::timeout(limit, answered).await.map_err(|_| format!("{path}: no answer"))??;
    let answered: Value = serde_json::from_slice(&answered.to_bytes()).map_err(|error| format!("{path}: {error}"))?;
    match &answered["value"] {
        Value::Object(value) if value.contains_key("error") => Err(format!("{path}: {}", value["message"])),
        value => Ok(value.clone()),
    }
}
