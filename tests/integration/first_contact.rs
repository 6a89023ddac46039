//! The first minutes: what the binary says when nothing, or half, is configured, where it says that orders went and where
//! it listens, its version, and `make demo` and `make install`. Needs no server.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_fulfillment-worker");

/// Every command that uses queue or store.
const COMMANDS: [&str; 10] = [
    "run",
    "config",
    "submit orders.csv",
    "status",
    "order 7",
    "verify",
    "doctor",
    "migrate",
    "dead list",
    "dead show 1",
];

/// A folder with one order in a file, and the binary started there, in this environment and in no other.
fn start(folder: &TempDir, words: &str, variables: &[(&str, &str)]) -> Command {
    fs::write(folder.path().join("orders.csv"), "product,quantity\nCup,1\n").unwrap();
    let mut command = Command::new(BINARY);
    command.args(words.split(' ')).current_dir(folder.path()).env_clear().stdin(Stdio::null());
    command.envs(variables.iter().copied());
    command
}

fn ended(words: &str, variables: &[(&str, &str)]) -> (Option<i32>, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let output = start(&folder, words, variables).output().expect("the binary starts");
    (output.status.code(), said(&output), names(folder.path()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn off_a_terminal_nothing_is_embedded_unless_it_is_written_down() {
    for words in COMMANDS {
        let (code, said, names) = ended(words, &[]);
        assert_eq!(code, Some(2), "{words}: {said}");
        assert!(said.contains("--store is not set") || said.contains("neither --queue nor --store is set"), "{said}");
        assert!(
            said.contains("DATABASE_URL or POSTGRES_HOST") && said.contains("--store sqlite:PATH"),
            "{words}: {said}"
        );
        assert_eq!(names, ["orders.csv"], "{words} left a file");
    }
}

#[test]
fn a_secret_that_is_empty_is_an_error_that_names_its_variables() {
    let (code, said, _) = ended("run", &[("REDIS_URL", ""), ("POSTGRES_HOST", ""), ("POSTGRES_PASSWORD", "")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("and REDIS_URL, POSTGRES_HOST, POSTGRES_PASSWORD are empty; set REDIS_URL and"), "{said}");
}

#[test]
fn a_server_for_queue_or_store_and_nothing_for_the_other_is_an_error() {
    for command in ["run", "config", "submit orders.csv", "status", "verify", "doctor", "dead retry 1 --why x"] {
        let (code, said, _) = ended(command, &[("REDIS_URL", "redis://:hush@127.0.0.1:1")]);
        assert_eq!(code, Some(2), "{command}: {said}");
        assert!(said.contains("--store is not set, though --queue is (REDIS_URL)"), "{command}: {said}");
        assert!(!said.contains("hush"), "{said}");

        let (code, said, _) = ended(command, &[("POSTGRES_HOST", "127.0.0.1")]);
        assert_eq!(code, Some(2), "{command}: {said}");
        assert!(said.contains("--queue is not set, though --store is (POSTGRES_HOST)"), "{command}: {said}");
    }
}

#[test]
fn on_a_terminal_a_server_for_one_of_them_alone_is_the_same_error() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = on_a_terminal(&folder, "status", &[("REDIS_URL", "redis://127.0.0.1:1")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--store is not set, though --queue is (REDIS_URL)"), "{said}");
}

#[test]
fn a_command_that_uses_the_store_alone_needs_no_queue() {
    let (code, said, _) = ended("order 7 --wait 1ms", &[("DATABASE_URL", "postgres://127.0.0.1:1/orders")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("store unavailable"), "{said}");
}

#[test]
fn a_file_written_down_for_one_of_them_is_the_file_of_both() {
    for (words, variables) in [
        ("config --store sqlite:a.db", &[][..]),
        ("config --queue sqlite:a.db", &[]),
        ("config", &[("FULFILLMENT_STORE", "sqlite:a.db")]),
        ("config", &[("FULFILLMENT_QUEUE", "sqlite:a.db"), ("DATABASE_URL", "")]),
    ] {
        let (code, said, _) = ended(words, variables);
        assert_eq!(code, Some(0), "{words}: {said}");
        let shown = |option| said.lines().find_map(|line| line.split_once(' ').filter(|(name, _)| *name == option));
        for option in ["queue", "store"] {
            let value = shown(option).unwrap().1.split_whitespace().next();
            assert_eq!(value, Some("sqlite:a.db"), "{words} {variables:?}: {said}");
        }
    }
}

#[test]
fn an_option_that_is_set_is_never_replaced_by_the_file_of_the_other() {
    let (code, said, _) = ended("config --store sqlite:a.db", &[("REDIS_URL", "redis://queue")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.lines().next().unwrap().ends_with("REDIS_URL"), "{said}");
}

/// `script` of util-linux gives a command a terminal.
fn on_a_terminal(folder: &TempDir, words: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    start(folder, words, variables);
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &format!("'{BINARY}' {words}"), "/dev/null"]);
    command.current_dir(folder.path()).env_clear().env("PATH", env::var_os("PATH").unwrap()).stdin(Stdio::null());
    let output = command.env("TERM", "xterm").envs(variables.iter().copied()).output();
    let output = output.expect("`script`, of util-linux");
    (output.status.code(), said(&output))
}

#[test]
fn on_a_terminal_queue_and_store_are_embedded_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = on_a_terminal(&folder, "config", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing is configured, so queue and store are embedded in ./fulfillment.db"), "{said}");
    let (code, said) = on_a_terminal(&folder, "status", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing is configured, and embedded database fulfillment.db does not exist here"), "{said}");
    let (code, said) = on_a_terminal(&folder, "submit orders.csv", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("rows and messages in sqlite:fulfillment.db"), "{said}");
    assert_eq!(names(folder.path()), ["fulfillment.db", "orders.csv"]);
}

#[test]
fn submit_says_where_it_put_what() {
    let (code, said, _) = ended("submit orders.csv --store sqlite:a.db --queue sqlite:b.db", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said, "submitted 1 order (1 product, id 1)\nrows in sqlite:a.db, messages in sqlite:b.db\n");
    let (_, said, _) = ended("submit orders.csv --store sqlite:a.db --json", &[]);
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&summary["store"], &summary["queue"]), (&"sqlite:a.db".into(), &"sqlite:a.db".into()));
}

#[test]
fn a_dry_run_needs_neither_queue_nor_store() {
    let (code, said, names) = ended("submit orders.csv --dry-run", &[]);
    assert_eq!((code, said.as_str()), (Some(0), "would submit 1 order (1 product)\n"));
    assert_eq!(names, ["orders.csv"]);
}

/// The first log line with this message, of a worker that is then killed.
fn log_line(mut command: Command, message: &str) -> serde_json::Value {
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let lines = BufReader::new(worker.stderr.take().unwrap()).lines().map(Result::unwrap);
    let found = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).expect(&line));
    let found = found.take(100).find(|line| line["message"] == message);
    if let Some(url) = found.as_ref().and_then(|line| line["metrics"].as_str()) {
        assert!(is_served(url), "{url} is not served");
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    found.expect("a line with this message")
}

fn is_served(url: &str) -> bool {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = std::net::TcpStream::connect(address).and_then(|mut stream| {
            std::io::Write::write_all(
                &mut stream,
                format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
            )?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        });
        if answer.is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            return true;
        }
        if Instant::now() > limit {
            return false;
        }
    }
}

#[test]
fn run_says_in_one_line_what_it_works_on_and_where_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let line = log_line(start(&folder, "run --store sqlite:a.db --listen 127.0.0.1:0", &[]), "starting");
    assert_eq!((&line["queue"], &line["store"]), (&"sqlite:a.db".into(), &"sqlite:a.db".into()));
    assert_eq!(line["fulfiller"], "simulated, 500ms to 2s a call");
    let (page, metrics) = (line["page"].as_str().unwrap(), line["metrics"].as_str().unwrap());
    assert_eq!(metrics, format!("{page}metrics"));
    assert!(page.starts_with("http://127.0.0.1:") && !page.contains(":0/"), "{page}");
    assert!(line["version"].as_str().unwrap().starts_with(env!("CARGO_PKG_VERSION")), "{line}");
    assert_eq!(line["level"], "INFO");
}

#[test]
fn the_line_at_the_start_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = log_line(
        start(
            &folder,
            "run --listen 127.0.0.1:0",
            &[
                ("REDIS_URL", &format!("redis://user:hush@{taken}/1")),
                ("DATABASE_URL", &format!("postgres://user:hush@{taken}/orders?password=hush")),
                ("FULFILLMENT_FULFILLER", "https://hush@warehouse.example/shipments?key=hush"),
            ],
        ),
        "starting",
    );
    assert_eq!(line["queue"], format!("redis://user:***@{taken}/1"));
    assert_eq!(line["store"], format!("postgres://user:***@{taken}/orders"));
    assert_eq!(line["fulfiller"], "https://***@warehouse.example/shipments");
}

#[test]
fn the_short_version_is_a_number_and_the_long_one_tells_of_the_commit() {
    let (_, short, _) = ended("-V", &[]);
    assert_eq!(short, format!("fulfillment-worker {}\n", env!("CARGO_PKG_VERSION")));
    let (_, long, _) = ended("--version", &[]);
    assert_eq!(long, format!("fulfillment-worker {}\n", env!("FULFILLMENT_BUILD_VERSION")));
    assert!(long.starts_with(&format!("{} (", short.trim_end())), "{long}");
}

/// `make` in this repository, with a cargo that says that it was called and builds nothing, and the tests' own binary as
/// what was built if `is_built`.
fn make(arguments: &[&str], is_built: bool, has_cargo: bool) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let tools = folder.path().join("tools");
    fs::create_dir_all(folder.path().join("built/release")).unwrap();
    fs::create_dir(&tools).unwrap();
    for tool in ["sh", "make", "install", "awk"] {
        let found =
            env::split_paths(&env::var_os("PATH").unwrap()).map(|path| path.join(tool)).find(|path| path.exists());
        symlink(found.expect(tool), tools.join(tool)).unwrap();
    }
    let binary = folder.path().join("built/release/fulfillment-worker");
    if is_built {
        symlink(BINARY, &binary).unwrap();
    }
    if has_cargo {
        let cargo = tools.join("cargo");
        fs::write(&cargo, format!("#!/bin/sh\necho \"cargo $*\"\n/bin/ln -sf '{BINARY}' '{}'\n", binary.display()))
            .unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("make");
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    command.env("PATH", &tools).env("CARGO_TARGET_DIR", folder.path().join("built")).env("HOME", folder.path());
    let root = folder.path().join("root");
    (command.arg(format!("DESTDIR={}", root.display())).output().expect("make"), folder)
}

#[test]
fn make_install_puts_the_binary_and_its_completions_below_destdir_and_prefix() {
    let (output, folder) = make(&["install", "PREFIX=/usr"], false, true);
    assert!(output.status.success(), "{}", said(&output));
    let usr = folder.path().join("root/usr");
    let installed = Command::new(usr.join("bin/fulfillment-worker")).arg("-V").output().unwrap();
    assert!(said(&installed).starts_with("fulfillment-worker "), "{}", said(&installed));
    let share = usr.join("share");
    for completions in [
        "bash-completion/completions/fulfillment-worker",
        "zsh/site-functions/_fulfillment-worker",
        "fish/vendor_completions.d/fulfillment-worker.fish",
    ] {
        assert!(fs::read_to_string(share.join(completions)).unwrap().contains("healthcheck"), "{completions}");
    }
    assert_eq!(names(&usr), ["bin", "share"]);
}

#[test]
fn make_install_without_cargo_takes_what_is_built_or_says_what_to_do() {
    let (output, folder) = make(&["install"], true, false);
    assert!(output.status.success(), "{}", said(&output));
    assert!(folder.path().join("root/usr/local/bin/fulfillment-worker").exists());

    let (output, folder) = make(&["install"], false, false);
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("cargo build --release --locked"), "{}", said(&output));
    assert!(!folder.path().join("root").exists(), "something was installed");
}

#[test]
fn make_demo_says_how_long_it_builds_before_it_builds_and_only_then() {
    let arguments = "ARGS=--orders 3 --rate 100 --simulate-latency 0 --listen 127.0.0.1:0";
    let (output, _folder) = make(&["demo", arguments], false, true);
    let said_first = said(&output);
    assert!(said_first.starts_with("Building first: about 4 minutes on two cores."), "{said_first}");
    assert!(said_first.contains("shipped 3 orders, none of them twice"), "{said_first}");

    let (output, _folder) = make(&["demo", arguments], true, true);
    assert!(said(&output).starts_with("cargo build --release --locked"), "{}", said(&output));
}
