//! An embedded database that one version has made, and the other one opens.

use tempfile::TempDir;

use super::{DIRECTIONS, SHORT_LEASE, end};
use crate::dead_letters::place::Ended;
use crate::support::version::Version;
use crate::support::worker::{WorkerProcess, binary_of};
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i64 = 40;

struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("w.db").display())
    }

    fn worker(&self, version: Version, options: &[&str]) -> WorkerProcess {
        WorkerProcess::start_of(version, &self.url(), &self.url(), options, &[])
    }

    fn run(&self, version: Version, words: &[&str]) -> Ended {
        let mut command = binary_of(version, words);
        command.args(["--store", &self.url()]).env("LOGNAME", "ann");
        Ended::of(command)
    }

    fn submit(&self, version: Version) {
        let lines = "{\"product\":\"CUP\",\"quantity\":2}\n".repeat(usize::try_from(ORDERS).expect("a few"));
        let path = self.0.path().join("orders.jsonl");
        std::fs::write(&path, lines).expect("a file with orders");
        let ended = self.run(version, &["submit", &path.display().to_string()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    async fn until(&self, version: Version, state: &str, orders: i64) {
        let counted = async || {
            let status = self.run(version, &["status", "--json"]).json();
            expect_equal(status["orders"][state].as_i64(), Some(orders)).map_err(|seen| format!("{seen}: {status}"))
        };
        eventually(LONG, &format!("{orders} orders are {state}"), counted).await;
    }
}

/// Caught, when seeded: a released migration that was changed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_file_of_one_version_is_worked_on_by_the_other_and_goes_back_to_it() {
    for (one, other) in DIRECTIONS {
        let file = File::new();
        let mut worker =
            file.worker(one, &[&SHORT_LEASE[..2], &["--simulate-latency", "1h", "--concurrency", "10"]].concat());
        worker.wait_until_ready().await;
        file.submit(one);
        file.until(one, "processing", 10).await;
        worker.kill().await;
        let quick = [&SHORT_LEASE[..], &["--simulate-latency", "0"]].concat();
        for (round, version) in (1..).zip([other, one]) {
            let mut worker = file.worker(version, &quick);
            worker.wait_until_ready().await;
            file.until(other, "fulfilled", round * ORDERS).await;
            end(&mut worker).await;
            file.submit(version);
        }
        let mut both = [file.worker(one, &quick), file.worker(other, &quick)];
        file.until(one, "fulfilled", 3 * ORDERS).await;
        for worker in &mut both {
            end(worker).await;
        }
        assert_eq!(file.run(other, &["verify"]).code, Some(0));
        assert_eq!(not_once(&file), 0);
    }
}

/// Orders without exactly one `fulfilled` entry.
fn not_once(file: &File) -> i64 {
    let connection = rusqlite::Connection::open(file.0.path().join("w.db")).expect("the file");
    let sql = "SELECT count(*) FROM orders o WHERE 1 <>
        (SELECT count(*) FROM fulfillment_events e WHERE e.order_id = o.id AND e.state = 'fulfilled')";
    connection.query_row(sql, [], |row| row.get(0)).expect("a count")
}
