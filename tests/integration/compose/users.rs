//! The users that the services have at Redis and Postgres, at real servers: with the files as they are mounted, each command
//! works, and nothing is denied.

use std::process::{Command, Output};

use redis::Value;

use crate::compose::{read, services, texts};
use crate::support::roles::ServersWithRoles;
use crate::support::worker::{WorkerProcess, binary, test_data};
use crate::support::{LONG, eventually, expect_equal};

/// What a service is told of the servers of here: its own variables, with their addresses, and its secrets' files.
fn environment(servers: &ServersWithRoles, service: &str) -> Vec<(String, String)> {
    let variables = services()[service]["environment"].as_object().expect("an environment");
    let secrets = texts(&services()[service]["secrets"]);
    let here = |(name, value): (&String, &serde_json::Value)| {
        let value = value.as_str().expect("a text");
        let value = match &**name {
            "REDIS_URL" => value.replace("redis:6379", &servers.redis_address()),
            "POSTGRES_HOST" => "127.0.0.1".to_owned(),
            "POSTGRES_PORT" => servers.postgres_port().to_string(),
            _ => match value.strip_prefix("/run/secrets/") {
                // No other is mounted.
                Some(secret) if secrets.contains(&secret) => servers.secrets().join(secret).display().to_string(),
                _ => value.to_owned(),
            },
        };
        (name.clone(), value)
    };
    variables.iter().map(here).filter(|(_, value)| !value.starts_with("${")).collect()
}

struct Servers(ServersWithRoles);

impl Servers {
    async fn start() -> Self {
        Self(ServersWithRoles::start().await)
    }

    fn environment(&self, service: &str) -> Vec<(String, String)> {
        environment(&self.0, service)
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
    servers.0.ask::<()>("ZADD {fulfillment_queue}:retries 99999999999999 nobody");
    servers.succeeds("traffic", &submit);
    servers.0.ask::<()>("ZREM {fulfillment_queue}:retries nobody");

    let variables = servers.environment("worker");
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let run = arguments("worker");
    let options: Vec<&str> = run.iter().skip(1).map(String::as_str).collect();
    let options = [
        &options[..],
        &["--simulate-latency", "0", "--simulate-failures", "0.5", "--max-attempts", "2", "--retry-base", "10ms"],
        &["--reconcile-interval", "1s", "--reconcile-grace", "1s"],
    ]
    .concat();
    let mut worker = WorkerProcess::configured(&options, &variables);
    worker.wait_until_ready().await;
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
    let denied: Vec<Value> = servers.0.ask("ACL LOG");
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
    let mut nobody = servers.0.redis.connect().expect("a connection");
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
    let users = read("deploy/redis/users.acl");
    for user in ["worker", "producer"] {
        let beginning = format!("ACL SETUSER {user} on >PASSWORD ");
        let documented = page.lines().find_map(|line| line.strip_prefix(&*beginning)).expect("its line");
        assert!(
            users.contains(&format!("user {user} on #SHA256(redis-{user}-password) {documented} +client|setinfo\n")),
            "{user}"
        );
    }
}

/// Passwords that are there stay: a second start would otherwise be locked out of the volumes of the first.
#[tokio::test]
async fn secrets_that_are_there_are_kept_and_missing_ones_are_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = || {
        let script = crate::compose::repository().join("scripts/compose-secrets.sh");
        let output = Command::new(script).arg(folder.path()).output().expect("the script");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let secret = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a secret");
    make();
    let (first, users) = (secret("worker-password"), secret("redis-users.acl"));
    assert!(first.len() == 32 && first.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{first}");
    assert!(!users.contains("SHA256(") && !users.contains(&secret("redis-worker-password")), "{users}");
    std::fs::remove_file(folder.path().join("redis-worker-password")).expect("it is there");
    make();
    assert_eq!(secret("worker-password"), first);
    assert_ne!(secret("redis-users.acl"), users, "another password has another hash");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(folder.path()).expect("the folder"));
    assert_eq!(mode & 0o777, 0o700, "nobody else may enter");
}
