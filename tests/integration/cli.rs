//! The real binary on the command line: exit codes, one-line errors, and what `submit` and `status` do with an
//! embedded database. Needs no server.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const RETAIL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/online-retail-2010-12-01.csv");
const RETAIL_COLUMNS: [&str; 8] = [
    "--column",
    "product=Description",
    "--column",
    "quantity=Quantity",
    "--column",
    "price=UnitPrice",
    "--column",
    "correlation_id=InvoiceNo",
];

/// A folder to work in, and the binary started there with no configuration around it.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
        command.args(arguments).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command.env("FULFILLMENT_STORE", "sqlite:fulfillment.db");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::from(self.command(arguments).output().expect("the binary starts"))
    }

    fn submit_retail(&self, more: &[&str]) -> Ended {
        self.run(&[&["submit", RETAIL], &RETAIL_COLUMNS[..], more].concat())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn status(&self) -> serde_json::Value {
        let ended = self.run(&["status", "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// Asserts the exit code and that the one error line, which is the last one, begins so.
    #[track_caller]
    fn failed(&self, code: i32, error: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert_eq!(self.stderr.lines().last(), Some(errors[0]), "{self:?}");
        assert!(errors[0].starts_with(&format!("error: {error}")), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

#[test]
fn an_unknown_option_is_a_usage_error_with_a_proposal() {
    let ended = Workplace::new().run(&["run", "--leese", "15s"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("error: unexpected argument '--leese' found"), "{ended:?}");
    assert!(ended.stderr.contains("'--lease'"), "{ended:?}");
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let ended = Workplace::new().run(&["frobnicate"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("frobnicate"), "{ended:?}");
}

#[test]
fn a_wrong_value_names_option_and_range() {
    Workplace::new().run(&["run", "--lease", "15"]).failed(2, "--lease: `15` has no unit; write 15s for seconds");
    Workplace::new().run(&["run", "--concurrency", "0"]).failed(2, "--concurrency: `0` is not in 1..=100000");
}

#[test]
fn a_bad_url_is_told_from_its_place_and_without_its_password() {
    let place = Workplace::new();
    let ended = Ended::from(place.command(&["run"]).env("REDIS_URL", "rediss//:hush@host").output().unwrap());
    ended.failed(2, "--queue (REDIS_URL): not a URL (relative URL without a base); expected redis://HOST:PORT/DB");
    assert!(!ended.stderr.contains("hush"), "{ended:?}");

    let ended = place.run(&["run", "--store", "mysql://root:hush@host/db"]);
    ended.failed(2, "--store: the scheme `mysql:` is not known here; expected postgres://");
    assert!(!ended.stderr.contains("hush"), "{ended:?}");

    let ended = place.run(&["run", "redis://:hush@host"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("'redis://***@host'") && !ended.stderr.contains("hush"), "{ended:?}");
}

#[test]
fn a_configuration_file_with_an_unknown_key_names_file_line_and_key() {
    let place = Workplace::new();
    place.write("worker.toml", "lease = \"20s\"\nmax_attempts = 3\n");
    place
        .run(&["run", "--config", "worker.toml"])
        .failed(2, "worker.toml:2: unknown key `max_attempts`; did you mean `max-attempts`?");
    place.run(&["run", "--config", "other.toml"]).failed(2, "configuration file other.toml: No such file");
}

#[test]
fn a_server_that_cannot_be_reached_is_waited_for_and_then_given_up() {
    let free = format!("127.0.0.1:{}", crate::support::free_port());
    let queue = format!("redis://:hush@{free}");
    let place = Workplace::new();
    for command in [&["run", "--listen", "127.0.0.1:0"][..], &["submit", "orders.csv"]] {
        place.write("orders.csv", "product,quantity\nCup,1\n");
        let ended = place.run(&[command, &["--queue", &queue, "--wait", "200ms"]].concat());
        ended.failed(1, "gave up after waiting 200ms (--wait): queue unavailable: ");
        assert!(ended.stderr.contains("waiting"), "it does not say that it waits: {ended:?}");
        assert!(!ended.stderr.contains("hush"), "{ended:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_consumed() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Workplace::new();
    place.run(&["run", "--listen", &address]).failed(1, &format!("cannot listen on {address}: address in use"));
    let ended = place.run(&["demo", "--orders", "1", "--listen", &address]);
    ended.failed(1, &format!("cannot listen on {address}: address in use"));
    assert!(ended.stderr.contains("--listen"), "{ended:?}");
}

#[test]
fn configuration_is_shown_with_places_and_without_passwords() {
    let place = Workplace::new();
    place.write("worker.toml", "store = \"postgres://user:hush@db/shop?password=hush\"\n");
    let mut command = place.command(&["config", "--config", "worker.toml", "--lease", "20s"]);
    command.env_remove("FULFILLMENT_STORE");
    let ended =
        Ended::from(command.env("REDIS_URL", "redis://:hush@queue/1").env("FULFILLMENT_LEESE", "1s").output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = |option: &str| {
        let line = ended.stdout.lines().find(|line| line.split_whitespace().next() == Some(option)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("queue"), "redis://:***@queue/1 REDIS_URL");
    assert_eq!(line("store"), "postgres://user:***@db/shop worker.toml:1");
    assert_eq!(line("lease"), "20s command line");
    assert_eq!(line("concurrency"), "256 default");
    assert!(ended.stderr.contains("FULFILLMENT_LEESE"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("hush"), "{ended:?}");
}

#[test]
fn a_url_of_sentinels_is_shown_without_either_password() {
    let url = "redis-sentinel://me:hush@a:1,b:2/3?sentinelServiceName=m&sentinelUsername=u&sentinelPassword=hush";
    let ended = Workplace::new().run(&["config", "--queue", url]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("redis-sentinel://me:***@a:1,b:2/3?sentinelServiceName=m"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("hush"), "{ended:?}");
}

#[test]
fn what_a_cluster_or_sentinels_can_not_do_is_refused_with_the_option_and_without_the_passwords() {
    for (url, says) in [
        ("redis-cluster://:hush@a,b/1", "--queue: a Redis Cluster has no database but 0"),
        (
            "redis-sentinel://:hush@a,b/0?sentinelPassword=hush",
            "--queue: no name of a master; add ?sentinelServiceName=NAME",
        ),
        ("redis-sentinel://:hush@a/0?sentinelServiceName=m&sentinelPasswort=hush", "--queue: unknown parameter"),
    ] {
        let ended = Workplace::new().run(&["run", "--queue", url]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(says), "{says}: {ended:?}");
        assert!(!ended.stderr.contains("hush"), "{ended:?}");
    }
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Workplace::new().run(&["completions", shell]);
        assert_eq!(ended.code, Some(0));
        for command in ["run", "demo", "submit", "status", "order", "migrate", "config", "healthcheck", "log"] {
            assert!(ended.stdout.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn output_that_nobody_reads_any_more_is_no_error() {
    let place = Workplace::new();
    let mut child =
        place.command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_worker_that_is_not_there_is_not_healthy() {
    let free = format!("127.0.0.1:{}", crate::support::free_port());
    Workplace::new().run(&["healthcheck", "--listen", &free]).failed(1, &format!("http://{free}/health: "));
    Workplace::new().run(&["healthcheck", "--url", "ftp://host/"]).failed(2, "--url: `ftp://host/` must be http://");
}

#[test]
fn of_999_real_lines_989_are_submitted_and_10_rejected_by_number() {
    let place = Workplace::new();
    let ended = place.submit_retail(&["--skip-invalid", "--rejects", "rejects.csv", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        summary,
        serde_json::json!({"version": 1, "submitted": 989, "skipped": 0, "products": 587, "rejected": 10, "first_order_id": 1, "last_order_id": 989, "dry_run": false,
            "store": "sqlite:fulfillment.db", "queue": "sqlite:fulfillment.db", "queue_key": null})
    );
    let numbers: Vec<&str> =
        ended.stderr.lines().filter_map(|line| line.strip_prefix(RETAIL)?.split(':').nth(1)).collect();
    assert_eq!(numbers, ["143", "156", "237", "238", "239", "240", "241", "242", "243", "941"]);

    let status = place.status();
    assert_eq!(status["queue"]["waiting"], 989);
    assert_eq!(status["orders"]["pending"], 989);

    let rejects = place.read("rejects.csv");
    assert_eq!(rejects.lines().count(), 11);
    assert!(rejects.starts_with("InvoiceNo,StockCode,Description,"), "{rejects}");
    assert_eq!(
        rejects.lines().nth(1),
        Some("C536379,D,Discount,-1,12/1/10 9:41,27.5,14527,United Kingdom,\"quantity -1 is below 1\"")
    );
}

#[test]
fn with_an_invalid_line_nothing_is_submitted() {
    let place = Workplace::new();
    let ended = place.submit_retail(&[]);
    ended.failed(2, "10 of 999 lines are invalid; nothing was submitted. Fix them, or pass --skip-invalid.");
    assert_eq!(ended.stderr.lines().count(), 11, "{ended:?}");
    assert!(place.names().is_empty(), "{:?}", place.names());
}

#[test]
fn only_the_first_ten_bad_lines_are_shown() {
    let place = Workplace::new();
    place.write("orders.csv", &format!("product,quantity\n{}", "Cup,0\n".repeat(25)));
    let ended = place.run(&["submit", "orders.csv"]);
    ended.failed(2, "25 of 25 lines are invalid");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.first(), Some(&"orders.csv:2: quantity 0 is below 1"));
    assert_eq!((lines.len(), lines[10]), (12, "… and 15 more"));
}

#[test]
fn all_inputs_are_checked_before_the_first_order_goes_in() {
    let place = Workplace::new();
    place.write("good.csv", "product,quantity\nCup,1\n");
    place.write("bad.jsonl", "{\"product\":\"Cup\",\"quantity\":0}\n");
    place
        .run(&["submit", "good.csv", "bad.jsonl"])
        .failed(2, "1 of 2 lines is invalid; nothing was submitted. Fix it, or");
    assert_eq!(place.names(), ["bad.jsonl", "good.csv"]);
}

#[test]
fn a_dry_run_submits_nothing() {
    let place = Workplace::new();
    let ended = place.submit_retail(&["--skip-invalid", "--dry-run"]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "would submit 989 orders (587 products, 10 invalid lines)\n")
    );
    assert!(place.names().is_empty());
}

#[test]
fn json_lines_are_taken_from_standard_input() {
    let place = Workplace::new();
    let mut child = place
        .command(&["submit", "-", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"product\":\"Cup\",\"quantity\":3}\n").unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "submitted 1 order (1 product, id 1)\nrows and messages in sqlite:fulfillment.db\n"),
        "{ended:?}"
    );
    assert_eq!(place.status()["queue"]["waiting"], 1);
}

#[test]
fn inputs_that_cannot_be_used_are_named_with_the_way_out() {
    let place = Workplace::new();
    place
        .run(&["submit", RETAIL])
        .failed(2, &format!("{RETAIL} has no column `product` for product; it has `InvoiceNo`, "));
    place.run(&["submit", "missing.csv"]).failed(2, "missing.csv: No such file");
    place.run(&["submit", "orders"]).failed(2, "orders: the name does not show the format; add --format csv");
    place
        .run(&["submit", "orders.csv", "--column", "colour=Colour"])
        .failed(2, "--column: `colour=Colour` names no field");
    place.write("orders.csv", "product,quantity\nCup,1\n");
    place
        .run(&["submit", "orders.csv", "--skip-invalid", "--rejects", "./orders.csv"])
        .failed(2, "--rejects: ./orders.csv is also an input");
    assert_eq!(place.read("orders.csv"), "product,quantity\nCup,1\n");
}

#[test]
fn an_order_is_shown_with_its_timeline_or_said_not_to_be_there() {
    let place = Workplace::new();
    place.write("orders.csv", "product,quantity\nCup,3\n");
    place.run(&["submit", "orders.csv"]);
    let shown = place.run(&["order", "1", "--json"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let order: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&order["state"], &order["product"], &order["quantity"]), (&"pending".into(), &"Cup".into(), &3.into()));
    assert_eq!(order["timeline"], serde_json::json!([]));
    assert!(order["idempotency_key"].as_str().unwrap().starts_with("order-1-"), "{order}");
    assert!(place.run(&["order", "1"]).stdout.starts_with("order     1   pending\n"));

    place.run(&["order", "2"]).failed(1, "order 2 does not exist in sqlite:");
    assert_eq!(place.run(&["order", "0"]).code, Some(2));
    Workplace::new().run(&["order", "1"]).failed(1, "embedded database fulfillment.db does not exist");
}

#[test]
fn looking_at_an_embedded_database_does_not_make_it() {
    let place = Workplace::new();
    place.run(&["status"]).failed(1, "embedded database fulfillment.db does not exist");
    assert!(place.names().is_empty());
}

#[test]
fn migrate_makes_the_tables_once_and_prints_their_sql() {
    let place = Workplace::new();
    let printed = place.run(&["migrate", "--print", "--store", "postgres://db/shop"]);
    assert!(printed.stdout.contains("fulfillment.dead_letters"), "{printed:?}");
    assert!(place.names().is_empty());

    assert!(place.run(&["migrate"]).stdout.starts_with("applied "));
    assert_eq!(place.run(&["migrate"]).stdout, "nothing to do: every table is up to date\n");
    assert!(Path::new(&place.0.path().join("fulfillment.db")).exists());
}
