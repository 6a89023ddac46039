//! A worker at work gets other secrets and certificates. Needs no server but those that it starts.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::http_fulfiller::peer::{Peer, ok};
use crate::support::process::Signal;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually};

const SECRETS: [&str; 2] =
    ["whsec_aHVzaC1maXJzdC1zZWNyZXQtb2YtdGhlLXRlc3Q=", "whsec_aHVzaC1zZWNvbmQtc2VjcmV0LW9mLXRoZS10ZXN0"];
const RELOADED: &str = "read its secrets and certificates again";
const REFUSED: &str = "new secrets or certificates can't be used";

struct Place {
    folder: TempDir,
    peer: Peer,
    worker: WorkerProcess,
}

impl Place {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peer = Peer::start(|_| ok()).await;
        std::fs::write(folder.path().join("token"), "hush-first\n").unwrap();
        std::fs::write(folder.path().join("secrets"), SECRETS[0]).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (store, token, secrets) = (format!("sqlite:{}", path("orders.db")), path("token"), path("secrets"));
        let url = peer.url();
        let options = ["--fulfiller", &url, "--fulfiller-token-file", &token, "--fulfiller-secret-file", &secrets];
        let options = [&options[..], &["--store", &store, "--log", "info"]].concat();
        let mut worker = WorkerProcess::configured(&options, &[]);
        worker.wait_until_ready().await;
        Self { folder, peer, worker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As a careful operator changes a file: at once.
    fn replace(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// Submits an order, and returns what came of it: the token, and the number of signatures.
    async fn call(&self) -> (String, usize) {
        let before = self.peer.requests().len();
        std::fs::write(self.path("order.csv"), "product,quantity,price\nLANTERN,1,2.50\n").unwrap();
        let mut submit = binary(&["submit", "order.csv", "--store", "sqlite:orders.db"]);
        let output = submit.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let request = eventually(LONG, "the order is posted", async || {
            self.peer.requests().get(before).cloned().ok_or_else(|| self.worker.output())
        })
        .await;
        let token = request.header("authorization").unwrap_or_default().to_owned();
        (token, request.header("webhook-signature").unwrap_or_default().split(' ').count())
    }

    async fn logs(&self, line: &str, times: usize) {
        eventually(LONG, line, async || match self.worker.output().matches(line).count() {
            found if found == times => Ok(()),
            found => Err(format!("{found} times: {}", self.worker.output())),
        })
        .await;
    }

    fn reloads(&self, outcome: &str) -> f64 {
        self.worker.metrics().value(&format!("fulfillment_reloads_total{{outcome=\"{outcome}\"}}"))
    }
}

/// Caught, when seeded: a worker that goes on with the token of its start.
#[tokio::test]
async fn a_token_and_secrets_that_change_are_used_by_the_next_call() {
    let place = Place::start().await;
    assert_eq!(place.call().await, ("Bearer hush-first".to_owned(), 1));
    place.replace("token", "hush-second\n");
    place.logs(RELOADED, 1).await;
    assert_eq!(place.call().await, ("Bearer hush-second".to_owned(), 1));
    place.replace("secrets", &SECRETS.join("\n"));
    place.logs(RELOADED, 2).await;
    assert_eq!(place.call().await, ("Bearer hush-second".to_owned(), 2));
    assert_eq!((place.reloads("success"), place.reloads("failure")), (2.0, 0.0));
}

#[tokio::test]
async fn sighup_has_the_files_read_at_once_changed_or_not() {
    let mut place = Place::start().await;
    for times in 1..=3 {
        place.worker.signal(Signal::HangUp);
        place.logs(RELOADED, times).await;
    }
    assert_eq!(place.reloads("success"), 3.0);
    assert_eq!(place.call().await.0, "Bearer hush-first");
}

#[tokio::test]
async fn a_file_that_holds_no_secret_any_more_is_said_once_and_the_old_one_stays_in_use() {
    let mut place = Place::start().await;
    for (times, (text, problem)) in
        [("", "is empty"), ("hush hush", "has blanks"), ("hush\u{1}", "has blanks or characters")]
            .into_iter()
            .enumerate()
    {
        place.replace("token", text);
        place.logs(REFUSED, times + 1).await;
        let said = place.worker.output();
        let line = said.lines().rfind(|line| line.contains(REFUSED)).unwrap_or_default();
        let path = place.path("token").to_str().unwrap().to_owned();
        assert!(line.contains(&format!("--fulfiller-token-file: {path}: {problem}")), "{line}");
        assert_eq!(place.call().await.0, "Bearer hush-first");
    }
    std::fs::remove_file(place.path("token")).unwrap();
    place.logs(REFUSED, 4).await;
    std::fs::create_dir(place.path("token")).unwrap();
    place.logs(REFUSED, 5).await;
    assert_eq!((place.reloads("success"), place.reloads("failure")), (0.0, 5.0));
    // As long as three looks at the files: an error that is told once is not told again.
    tokio::time::sleep(Duration::from_secs(4)).await;
    place.logs(REFUSED, 5).await;

    std::fs::remove_dir(place.path("token")).unwrap();
    place.replace("token", "hush-again");
    place.logs(RELOADED, 1).await;
    assert_eq!(place.call().await.0, "Bearer hush-again");
    place.worker.signal(Signal::Term);
    assert_eq!(place.worker.ended(LONG).await.code(), Some(0));
    assert!(!place.worker.output().contains("hush"), "{}", place.worker.output());
}
