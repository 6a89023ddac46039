//! `config`: where values come from, and that it refuses what `run` refuses. Needs no server.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn worker(folder: &TempDir, words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment-worker"));
    command.args(words).current_dir(folder.path()).env_clear().stdin(Stdio::null());
    let output = command.envs(variables.iter().copied()).output().expect("the binary starts");
    (output.status.code(), said(&output))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn config_says_which_variables_fill_the_gaps_and_never_shows_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("DATABASE_URL", "postgres://shop@/"),
        ("PGHOST", "db"),
        ("PGPASSWORD", "hush"),
        ("PGUSER", "other"),
        ("REDIS_URL", "redis://host?db=2&password=hush"),
    ];
    let (code, said) = worker(&folder, &["config"], &variables);
    assert_eq!(code, Some(0), "{said}");
    let shown = |option: &str| {
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(option)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown("store"), "postgres://shop:***@db DATABASE_URL, PGHOST, PGPASSWORD");
    assert_eq!(shown("queue"), "redis://:***@host/2 REDIS_URL");
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn libpqs_variables_choose_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = worker(&folder, &["config"], &[("PGHOST", "db"), ("REDIS_URL", "redis://host")]);
    assert!(code == Some(2) && said.contains("--store is not set"), "{said}");
    let embedded = ["config", "--store", "sqlite:orders.db"];
    let (code, said) = worker(&folder, &embedded, &[("PGHOST", "db"), ("PGSSLMODE", "nonsense")]);
    assert!(code == Some(0) && !said.contains("PGHOST"), "{said}");
}

/// What `run` refuses before it contacts a server: words after the command, and what is said.
fn refusals(folder: &TempDir) -> Vec<(Vec<String>, i32, &'static str)> {
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    file("no.pem", "no certificate");
    file("no.db", "this is no database at all");
    let embedded = "--store sqlite:orders.db";
    let servers = "--store postgres://db/shop --queue redis://host";
    let cases: Vec<(String, i32, &'static str)> = vec![
        ("--queue redis://host?dbb=2 --store postgres://db".to_owned(), 2, "--queue: unknown parameter `dbb`"),
        ("--queue redis://0.0.0.0 --store postgres://db".to_owned(), 2, "--queue: "),
        ("--queue rediss://host#insecure --store postgres://db".to_owned(), 2, "--queue: the part after `#`"),
        ("--queue redis://host/99999999999 --store postgres://db".to_owned(), 2, "--queue: the database must be"),
        ("--queue redis://host --queue-key {}x --store postgres://db".to_owned(), 2, "--queue: "),
        ("--queue redis://host --store postgres://db/shop?sslmode=maybe".to_owned(), 2, "--store: `sslmode` must be"),
        (
            "--queue redis://host --store postgres://db?sslmod=require".to_owned(),
            2,
            "--store: unknown parameter `sslmod`",
        ),
        ("--queue redis://host --store sqlite:missing/orders.db".to_owned(), 1, "the folder "),
        ("--store sqlite:.".to_owned(), 1, "it is not a regular file"),
        ("--store sqlite:no.db".to_owned(), 1, "file is not a database"),
        ("--store sqlite:orders.db?mode=memory".to_owned(), 2, "unknown parameter `mode`"),
        (format!("{embedded} --listen 192.0.2.1:2112"), 1, "cannot listen on 192.0.2.1:2112"),
        (format!("{embedded} --fulfiller http://169.254.169.254/"), 2, "--fulfiller: "),
        (format!("{embedded} --fulfiller https://host/ --fulfiller-ca no.pem"), 2, "--fulfiller-ca"),
        (format!("{embedded} --fulfiller https://host/ --fulfiller-ca nowhere.pem"), 2, "--fulfiller-ca"),
        (
            format!("{embedded} --fulfiller https://host/ --fulfiller-certificate no.pem --fulfiller-key no.pem"),
            2,
            "--fulfiller",
        ),
        (format!("{servers} --fulfiller https://host/ --fulfiller-token-file nowhere"), 2, "--fulfiller-token-file"),
    ];
    cases.into_iter().map(|(words, code, says)| (words.split(' ').map(str::to_owned).collect(), code, says)).collect()
}

#[test]
fn config_refuses_what_run_refuses_with_the_same_code_and_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    for (words, code, says) in refusals(&folder) {
        let of = |command: &str| {
            let mut all = vec![command];
            all.extend(words.iter().map(String::as_str));
            let (code, said) = worker(&folder, &all, &[]);
            let error = said.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default().to_owned();
            (code, error, said)
        };
        let (run, config) = (of("run"), of("config"));
        assert_eq!(run.0, Some(code), "{words:?}: {}", run.2);
        assert!(run.1.contains(says), "{words:?}: {}", run.2);
        assert_eq!((&config.0, &config.1), (&run.0, &run.1), "{words:?}: {}", config.2);
    }
}

#[test]
fn commands_without_a_store_pass_over_libpqs_variables() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("PGHOST", "/nowhere"), ("PGSSLMODE", "nonsense")];
    let (code, said) = worker(&folder, &["demo", "--orders", "3", "--listen", "127.0.0.1:0"], &variables);
    assert!(code == Some(0) && said.contains("fulfilled"), "{said}");
    let (code, said) = worker(&folder, &["healthcheck", "--url", "http://127.0.0.1:1/health"], &variables);
    assert!(code == Some(1), "{said}");
}

#[test]
fn without_an_authority_nothing_can_be_verified_and_config_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = [("SSL_CERT_FILE", "/nowhere.pem")];
    for (queue, store) in [
        ("redis://host", "postgres://db/shop?sslmode=verify-full"),
        ("rediss://host", "postgres://db/shop?sslmode=require"),
    ] {
        let words = ["config", "--queue", queue, "--store", store];
        let (code, said) = worker(&folder, &words, &nobody);
        assert!(code == Some(2) && said.contains("SSL_CERT_FILE"), "{queue} {store}: {said}");
        assert_eq!(worker(&folder, &words, &[]).0, Some(0), "{queue} {store}");
    }
}

#[test]
fn config_makes_no_database_and_takes_no_port() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    let (code, said) = worker(&folder, &["config", "--store", "sqlite:orders.db", "--listen", &listen], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
