//! Postgres for tests: a database of one's own on the shared server, or a server of one's own that can be stopped.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::OnceCell;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::process::{Process, Signal};
use super::small_disk::SmallDisk;
use super::{LONG, eventually, free_port};

/// The order API's tables.
const GIVEN_SCHEMA: &str = include_str!("../../data/given_schema.sql");

/// A database that holds the given schema and nothing else. On the server that `TEST_POSTGRES_URL` names it is
/// dropped with this value.
pub(crate) struct TestDatabase {
    url: String,
    dropped_by: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes a database on the shared server.
    ///
    /// # Panics
    /// When there is no server, saying how to start one.
    pub(crate) async fn create() -> Self {
        static COPYING: OnceCell<String> = OnceCell::const_new();
        let server = std::env::var("TEST_POSTGRES_URL").expect(
            "TEST_POSTGRES_URL names a Postgres server for tests; `make test` starts one, \
             and so does `scripts/with-servers.sh cargo test`",
        );
        let copying = COPYING.get_or_init(async || make_template(&server).await).await;
        Self::copy(&server, copying).await
    }

    /// Makes a copy of it, to which nobody is connected.
    pub(crate) async fn copied(&self) -> Self {
        let (server, name) = self.dropped_by.clone().expect("a database of the shared server");
        Self::copy(&server, &format!("TEMPLATE {name}")).await
    }

    async fn copy(server: &str, copying: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        connect(server)
            .await
            .batch_execute(&format!("CREATE DATABASE {name} {copying}"))
            .await
            .expect("a copy of the template");
        Self { url: at(server, &name), dropped_by: Some((server.to_owned(), name)) }
    }

    async fn create_at(server: &str, name: &str) -> Self {
        connect(server).await.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        let database = Self { url: at(server, name), dropped_by: None };
        database.connect().await.batch_execute(GIVEN_SCHEMA).await.expect("the given schema");
        database
    }

    /// For `--store`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.url).await
    }

    /// Runs one query on a connection of its own.
    pub(crate) async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.connect().await.query(sql, parameters).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.query(sql, &[]).await.first().expect("a row").get(0)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Best effort: the server is a temporary one, and a failed test should show its own failure.
        if let Some((server, name)) = self.dropped_by.take() {
            let drop_it = async move {
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connect(&server).await.batch_execute(&sql).await
            };
            // A runtime can't be waited for within another.
            let elsewhere = || Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(drop_it);
            let _ = std::thread::spawn(elsewhere).join();
        }
    }
}

/// `server`'s URL, with another database.
fn at(server: &str, database: &str) -> String {
    let mut url = url::Url::parse(server).expect("TEST_POSTGRES_URL is a URL");
    url.set_path(database);
    url.into()
}

/// Makes a database to copy, and says how `CREATE DATABASE` is to do it. Each process of tests has one of its own, as another
/// may run at the same server.
async fn make_template(server: &str) -> String {
    let name = format!("test_template_{}", std::process::id());
    let template = TestDatabase::create_at(server, &name).await;
    // The cheaper way, and before Postgres 15 the only one.
    let asked = template.number("SELECT current_setting('server_version_num')::bigint").await >= 150_000;
    format!("TEMPLATE {name}{}", if asked { " STRATEGY file_copy" } else { "" })
}

pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    try_connect(url).await.unwrap_or_else(|error| panic!("Postgres at {url} can't be reached: {error:?}"))
}

async fn try_connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends when the client is dropped; the client's own calls report its errors.
    tokio::spawn(connection);
    Ok(client)
}

/// A Postgres server for one test, on a port of its own, that can be stopped and started again.
pub(crate) struct PostgresServer {
    /// Before the folder, which holds its output, so that it is dropped first.
    process: Option<Process>,
    /// What the folder is on, if it is one that can be filled.
    pub(crate) disk: Option<SmallDisk>,
    folder: TempDir,
    port: u16,
}

impl PostgresServer {
    /// Makes a cluster and starts it; returns once it answers.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for Postgres");
        Self::start_in(folder, None).await
    }

    /// The same on a small disk, where one can be had.
    pub(crate) async fn start_on_small_disk(mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Postgres");
        let disk = SmallDisk::mount(folder.path(), mebibytes).ok();
        Self::start_in(folder, disk).await
    }

    async fn start_in(folder: TempDir, disk: Option<SmallDisk>) -> Self {
        Self::give_to_postgres(&folder);
        let mut server = Self { disk, folder, port: free_port(), process: None };
        let made = server
            .program("initdb")
            .args(["-U", "postgres", "-A", "trust", "--no-sync"])
            .output()
            .expect("initdb; run scripts/install-packages.sh");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        server.restart().await;
        server
    }

    fn give_to_postgres(folder: &TempDir) {
        if is_root() {
            let owned = Command::new("chown").arg("postgres:").arg(folder.path()).status();
            assert!(owned.expect("chown").success(), "the folder can't be given to the user `postgres`");
        }
    }

    /// Makes a standby of it that streams what is committed, later than it is committed.
    pub(crate) async fn standby(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Postgres");
        Self::give_to_postgres(&folder);
        let mut standby = Self { disk: None, folder, port: free_port(), process: None };
        let url = self.url();
        let copied = standby.program("pg_basebackup").args(["-R", "--no-sync", "-c", "fast", "-d", &url]).output();
        let copied = copied.expect("pg_basebackup; run scripts/install-packages.sh");
        assert!(copied.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&copied.stderr));
        standby.restart().await;
        standby
    }

    /// Makes a standby the primary; returns once it takes writes.
    pub(crate) async fn promote(&self) {
        let client = connect(&self.url()).await;
        let promoted = client.query_one("SELECT pg_promote()", &[]).await.expect("a standby that can be promoted");
        assert!(promoted.get::<_, bool>(0), "the standby was not promoted in time");
    }

    /// Kills it as it stands, with its children: they would go on until they notice, and commit meanwhile.
    pub(crate) async fn kill(&mut self) {
        let mut process = self.process.take().expect("a running Postgres");
        let id = process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("its children");
        process.signal(Signal::Kill);
        // Some may have ended by themselves.
        let _ = Command::new("kill").arg("-9").args(children.split_whitespace()).output();
        process.ended(LONG).await;
    }

    /// Runs statements at this server, one transaction each.
    pub(crate) async fn set(&self, statements: &[&str]) {
        let client = connect(&self.url()).await;
        for sql in statements {
            client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The database of [`PostgresServer::database`], as it is here.
    pub(crate) fn same_database(&self) -> TestDatabase {
        TestDatabase { url: at(&self.url(), "orders"), dropped_by: None }
    }

    /// A database on this server with the given schema.
    pub(crate) async fn database(&self) -> TestDatabase {
        TestDatabase::create_at(&self.url(), "orders").await
    }

    /// Stops it at once, as a crash does: open transactions are lost, committed ones recovered at the next start.
    pub(crate) async fn stop_immediately(&mut self) {
        let mut process = self.process.take().expect("a running Postgres");
        process.signal(Signal::Quit);
        process.ended(LONG).await;
    }

    /// Starts it again, on the same port and with what it held.
    pub(crate) async fn restart(&mut self) {
        let mut command = self.program("postgres");
        let socket_folder = format!("unix_socket_directories={}", self.folder.path().display());
        command.args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", &socket_folder]).args([
            "-c",
            "max_connections=100",
            "-c",
            "max_wal_size=128MB",
        ]);
        self.process = Some(Process::start("postgres", command, self.folder.path().join("output.log")));
        let url = self.url();
        eventually(LONG, "Postgres answers", async || try_connect(&url).await.map(drop)).await;
    }

    /// Starts it again if it has given up, and returns once it answers.
    pub(crate) async fn restart_if_ended(&mut self) {
        if self.process.as_mut().is_none_or(|process| process.status().is_some()) {
            self.restart().await;
        }
        let url = self.url();
        eventually(LONG, "Postgres answers", async || try_connect(&url).await.map(drop)).await;
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A program of the newest installed Postgres, as a user under which it is willing to run.
    fn program(&self, name: &str) -> Command {
        let path = newest_installation().join("bin").join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.arg("-D").arg(self.folder.path().join("cluster")).current_dir(self.folder.path());
        command
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id -u`").stdout;
    id.trim_ascii() == b"0"
}

fn newest_installation() -> std::path::PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .max()
        .expect("a Postgres server below /usr/lib/postgresql; run scripts/install-packages.sh")
        .1
}
