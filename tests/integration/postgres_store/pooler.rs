//! Behind PgBouncer in transaction mode, which gives each transaction whatever connection is free: nothing may be left on one
//! for the next.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::orders::{all_fulfilled_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Process;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually};

/// A PgBouncer that has three connections to the shared server, reached by a Unix socket.
pub(crate) struct Pooler {
    _process: Process,
    folder: TempDir,
}

impl Pooler {
    pub(super) async fn start(database: &TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server: url::Url = database.url().parse().unwrap();
        let configuration = format!(
            "[databases]
             * = host={} port={}
             [pgbouncer]
             unix_socket_dir = {}
             listen_port = 6432
             auth_type = trust
             auth_file = {}
             pool_mode = transaction
             default_pool_size = 3",
            server.host_str().unwrap(),
            server.port().unwrap(),
            folder.path().display(),
            folder.path().join("users.txt").display(),
        );
        std::fs::write(folder.path().join("users.txt"), "\"postgres\" \"\"\n").unwrap();
        std::fs::write(folder.path().join("pgbouncer.ini"), configuration.replace("\n             ", "\n")).unwrap();
        let process = Process::start("pgbouncer", Self::program(folder.path()), folder.path().join("output.log"));
        let pooler = Self { _process: process, folder };
        let url = pooler.url(database);
        eventually(LONG, "PgBouncer answers", async || {
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.map(drop)
        })
        .await;
        pooler
    }

    /// Refuses to run as root.
    pub(crate) fn program(folder: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0" {
            let owned = Command::new("chown").args(["-R", "postgres:"]).arg(folder).status();
            assert!(owned.unwrap().success(), "the folder can't be given to the user `postgres`");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        // Debian has it where only root looks.
        command.args(["--", "/usr/sbin/pgbouncer"]).arg(folder.join("pgbouncer.ini"));
        command
    }

    /// The database behind it, as libpq writes such a URL.
    pub(super) fn url(&self, database: &TestDatabase) -> String {
        let name = database.url().rsplit('/').next().unwrap();
        format!("postgresql://postgres@/{name}?host={}&port=6432", self.folder.path().display())
    }
}

fn migrate(url: &str) -> Command {
    binary(&["migrate", "--store", url])
}

fn says(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Caught before it was mended: prepared statements met those of others by name (42P05).
#[tokio::test]
async fn four_first_starts_at_once_make_the_tables_once() {
    let database = TestDatabase::create().await;
    let pooler = Pooler::start(&database).await;
    let url = pooler.url(&database);
    let (blocker, pid) = hold_migration_lock(&database).await;
    let started: Vec<_> = (0..4)
        .map(|_| {
            migrate(&url).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    // Three connections, and each of them waits for the lock: so they do run at once.
    let waiting = format!("SELECT count(*) FROM pg_stat_activity WHERE {pid} = ANY (pg_blocking_pids(pid))");
    eventually(LONG, "all that can wait for the lock do", async || match database.number(&waiting).await {
        3 => Ok(()),
        other => Err(format!("{other} wait")),
    })
    .await;
    blocker.batch_execute("ROLLBACK").await.unwrap();
    let outputs: Vec<String> = started.into_iter().map(|child| says(&child.wait_with_output().unwrap())).collect();
    let applied = outputs.iter().filter(|output| output.contains("applied V1__events_and_dead_letters")).count();
    let idle = outputs.iter().filter(|output| output.contains("nothing to do")).count();
    assert_eq!((applied, idle), (1, 3), "{outputs:?}");
}

/// Takes the lock of migrations in a transaction.
async fn hold_migration_lock(database: &TestDatabase) -> (tokio_postgres::Client, i32) {
    let client = database.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&super::migrating::MIGRATION_LOCK]).await.unwrap();
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    (client, pid)
}

/// Caught before it was mended: the third and every later start failed.
#[tokio::test]
async fn twenty_starts_in_a_row_succeed() {
    let database = TestDatabase::create().await;
    let pooler = Pooler::start(&database).await;
    let url = pooler.url(&database);
    assert!(says(&migrate(&url).output().unwrap()).contains("applied V1__events_and_dead_letters"));
    for _ in 1..20 {
        assert!(says(&migrate(&url).output().unwrap()).contains("nothing to do"));
    }
    let left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
                (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(database.number(left).await, 0, "a lock was left behind");
}

/// With more connections of its own than the pooler has.
#[tokio::test]
async fn two_workers_fulfil_every_order_once() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let pooler = Pooler::start(&database).await;
    let url = pooler.url(&database);
    let options = ["--simulate-latency", "1ms..20ms", "--store-connections", "8"];
    let _workers =
        [WorkerProcess::start(&redis.url(), &url, &options), WorkerProcess::start(&redis.url(), &url, &options)];
    place(&database, &redis, 200).await;
    all_fulfilled_once(&database, &redis).await;
    for command in [["verify"].as_slice(), &["status"], &["dead", "list"], &["order", "1"]] {
        let output = binary(command).args(["--queue", &redis.url(), "--store", &url]).output().unwrap();
        says(&output);
    }
    let looked = ["doctor", "--json", "--sample", "10ms", "--queue", &redis.url(), "--store", &url];
    let output = binary(&looked).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["unanswered"], serde_json::json!([]), "{output:?}");
    let findings = report["findings"].as_array().unwrap();
    let unseen: Vec<_> = findings.iter().filter(|finding| finding["found"].to_string().contains("SQLSTATE")).collect();
    assert!(findings.len() > 20 && unseen.is_empty(), "{unseen:?}");
}
