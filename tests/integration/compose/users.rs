//! The users that the services have at Redis and Postgres, at real servers: with the files as they are mounted, each command
//! works, and nothing is denied.

use std::process::{Command, Output};

use redis::Value;

use crate::compose::{compose, repository, services};
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary, test_data};
use crate::support::{LONG, eventually, expect_equal};

/// A text with each `${NAME:-VALUE}` as it is where nothing is set.
fn with_defaults(text: &str) -> String {
    let mut parts = text.split("${");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("its end");
        written.push_str(variable.split_once(":-").expect("a default").1);
        written.push_str(rest);
    }
    written
}

fn environment(service: &str) -> Vec<(String, String)> {
    let variables = services()[service]["environment"].as_object().expect("an environment");
    variables.iter().map(|(name, value)| (name.clone(), with_defaults(value.as_str().expect("a text")))).collect()
}

fn knows_client_setinfo() -> bool {
    let output = crate::support::redis::server_command().arg("--version").output().expect("redis-server");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.split_once("v=").and_then(|(_, rest)| rest.split('.').take(2).map(|part| part.parse().ok()).collect());
    version.is_some_and(|version: Vec<u32>| version >= vec![7, 2])
}

struct Servers {
    redis: RedisServer,
    postgres: PostgresServer,
    _folder: tempfile::TempDir,
}

impl Servers {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users.acl");
        let shipped = compose()["configs"]["redis-users"]["content"].as_str().map(with_defaults).expect("users");
        // Which Redis has since 7.2, and nothing needs.
        let shipped = if knows_client_setinfo() { shipped } else { shipped.replace(" +client|setinfo", "") };
        // To look into its log.
        std::fs::write(&users, format!("{shipped}user admin on >admin ~* &* +@all\n")).expect("a file of users");
        let redis = RedisServer::start_with(&["--aclfile", users.to_str().expect("a path")]).await;
        let postgres = PostgresServer::start().await;
        let servers = Self { redis, postgres, _folder: folder };
        // The first of the files, the given schema, is in it already.
        let database = servers.postgres.database().await;
        let files =
            ["roles.sql", "logins.sql"].map(|file| format!("{}/deploy/postgres/{file}", repository().display()));
        for file in &files {
            let mut psql = Command::new("psql");
            psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file, database.url()]);
            let output = psql.envs(environment("postgres")).output().expect("psql");
            assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        }
        servers
    }

    /// The environment of a service, with the addresses of here.
    fn environment(&self, service: &str) -> Vec<(String, String)> {
        let (redis, postgres) = (self.redis.url(), url::Url::parse(&self.postgres.url()).expect("a URL"));
        let redis = redis.trim_start_matches("redis://").to_owned();
        let here = |(name, value): (String, String)| {
            let value = match &*name {
                "REDIS_URL" => value.replace("redis:6379", redis.trim_end_matches('/')),
                "POSTGRES_HOST" => "127.0.0.1".to_owned(),
                "POSTGRES_PORT" => postgres.port().expect("a port").to_string(),
                _ => value,
            };
            (name, value)
        };
        environment(service).into_iter().map(here).collect()
    }

    /// Runs a command as a service does.
    fn run(&self, service: &str, arguments: &[&str]) -> Output {
        binary(arguments).envs(self.environment(service)).output().expect("the binary")
    }

    fn succeeds(&self, service: &str, arguments: &[&str]) -> String {
        let output = self.run(service, arguments);
        assert!(output.status.success(), "{arguments:?} as {service}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Asks Redis as whoever may ask anything.
    fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let url = self.redis.url().replace("redis://", "redis://admin:admin@");
        let mut admin = redis::Client::open(url).and_then(|client| client.get_connection()).expect("the admin");
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        words.fold(&mut command, |command, word| command.arg(word)).query(&mut admin).expect("an answer")
    }
}

fn arguments(service: &str) -> Vec<String> {
    crate::compose::texts(&services()[service]["command"]).into_iter().map(str::to_owned).collect()
}

/// Caught, when seeded: a line of the producer's without ZRANGE or LLEN, and a worker that may not read `updated_at`.
#[tokio::test]
async fn every_command_works_as_the_user_of_its_service_and_nothing_is_denied() {
    let servers = Servers::start().await;
    let migrate = arguments("migrate");
    let migrate: Vec<&str> = migrate.iter().map(String::as_str).collect();
    servers.succeeds("migrate", &migrate);
    assert!(servers.succeeds("migrate", &migrate).contains("nothing to do"));
    assert!(servers.succeeds("worker", &["verify"]).contains("0"));

    let orders = test_data("online-retail-2010-12-01.csv");
    let columns = ["product=Description", "quantity=Quantity", "price=UnitPrice", "correlation_id=InvoiceNo"];
    let columns: Vec<&str> = columns.iter().flat_map(|column| ["--column", column]).collect();
    let head: String =
        std::fs::read_to_string(&orders).expect("orders").lines().take(60).map(|line| format!("{line}\n")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.csv");
    std::fs::write(&file, head).expect("a file");
    let submit = [&["submit", file.to_str().expect("a path"), "--skip-invalid"], &columns[..]].concat();
    // Where retries wait, the depth of the queue takes one command more.
    servers.ask::<()>("ZADD {fulfillment_queue}:retries 99999999999999 nobody");
    servers.succeeds("traffic", &submit);
    servers.ask::<()>("ZREM {fulfillment_queue}:retries nobody");

    let variables: std::collections::BTreeMap<String, String> = servers.environment("worker").into_iter().collect();
    let variable = |name: &str| &variables[name];
    let store = format!(
        "postgres://{}:{}@127.0.0.1:{}/{}",
        variable("POSTGRES_USER"),
        variable("POSTGRES_PASSWORD"),
        variable("POSTGRES_PORT"),
        variable("POSTGRES_DB")
    );
    let run = arguments("worker");
    let options: Vec<&str> = run.iter().skip(1).map(String::as_str).collect();
    let options = [
        &options[..],
        &["--simulate-latency", "0", "--simulate-failures", "0.5", "--max-attempts", "2", "--retry-base", "10ms"],
        &["--reconcile-interval", "1s", "--reconcile-grace", "1s"],
    ]
    .concat();
    let mut worker = WorkerProcess::ready(variable("REDIS_URL"), &store, &options).await;
    eventually(LONG, "the queue is empty", async || {
        let status: serde_json::Value = serde_json::from_str(&servers.succeeds("worker", &["status", "--json"]))
            .map_err(|error| error.to_string())?;
        let open = |state: &str| status["orders"][state].as_i64().unwrap_or(0);
        expect_equal((open("pending"), open("processing")), (0, 0))
    })
    .await;
    let listed = servers.succeeds("worker", &["dead", "list"]);
    assert!(listed.lines().count() > 2, "{listed}");
    servers.succeeds("worker", &["dead", "show", "1"]);
    servers.succeeds("worker", &["dead", "retry", "1", "--why", "restocked"]);
    servers.succeeds("worker", &["dead", "discard", "2", "--why", "refunded"]);
    servers.succeeds("worker", &["order", "1"]);
    worker.signal(crate::support::process::Signal::Term);
    assert!(worker.ended(LONG).await.success(), "{}", worker.output());
    servers.succeeds("worker", &["hand-back", "--force"]);
    servers.succeeds("worker", &["verify"]);
    let denied: Vec<Value> = servers.ask("ACL LOG");
    assert!(denied.is_empty(), "{denied:#?}");

    for (service, arguments) in
        [("traffic", &["run", "--migrate", "off"][..]), ("worker", &submit[..]), ("traffic", &["migrate"])]
    {
        let output = servers.run(service, arguments);
        assert!(!output.status.success(), "{arguments:?} as {service}: {output:?}");
    }
}

/// Whoever has no password may ask whether Redis is there, and nothing else.
#[tokio::test]
async fn redis_does_nothing_for_those_without_a_password() {
    let servers = Servers::start().await;
    let mut nobody = servers.redis.connect().expect("a connection");
    redis::cmd("PING").exec(&mut nobody).expect("PING");
    for command in ["LPUSH fulfillment_queue x", "INFO", "ACL LIST", "CONFIG GET requirepass", "FLUSHALL"] {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        let answer = words.fold(&mut command, |command, word| command.arg(word)).exec(&mut nobody);
        assert!(answer.is_err_and(|error| error.code() == Some("NOPERM")), "{command:?}");
    }
}

/// The lines of docs/REDIS.md, and what it says of Redis 7.2.
#[test]
fn the_users_of_worker_and_producer_are_the_documented_ones() {
    let page = include_str!("../../../docs/REDIS.md");
    let content = compose()["configs"]["redis-users"]["content"].as_str().expect("users");
    for user in ["worker", "producer"] {
        let beginning = format!("ACL SETUSER {user} on >PASSWORD ");
        let documented = page.lines().find_map(|line| line.strip_prefix(&*beginning)).expect("its line");
        let password = format!("${{REDIS_{}_PASSWORD:-{user}}}", user.to_uppercase());
        assert!(content.contains(&format!("user {user} on >{password} {documented} +client|setinfo\n")), "{user}");
    }
}
