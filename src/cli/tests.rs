use std::time::Duration;

use super::*;
use crate::config::fallback::Fallback;
use crate::config::options;
use crate::config::{AdminSocket, ListenAddress, LogFormat, LogSettings, Origin, QueueTarget, Settings, StoreTarget};

fn arguments(words: &[&str]) -> Vec<OsString> {
    ["fulfillment-worker"].iter().chain(words).map(OsString::from).collect()
}

fn message(failure: Failure) -> String {
    match failure {
        Failure::Clap(error) => error.render().to_string(),
        Failure::Usage(message) | Failure::Work(message) | Failure::Unseen(message) => message,
        Failure::OutputClosed => "output closed".to_owned(),
    }
}

fn resolve(words: &[&str], environment: &Environment) -> Result<(Settings, LogSettings), String> {
    let (command, _, origins) = parse(&arguments(words), environment).map_err(message)?;
    let Command::Run(run) = command else { return Err("not `run`".to_owned()) };
    run.options.resolve(&origins, Fallback::Embedded).map_err(|error| error.to_string())
}

fn settings(words: &[&str], environment: &Environment) -> Settings {
    resolve(words, environment).unwrap().0
}

fn nothing() -> Environment {
    Environment::default()
}

/// A configuration file that lives as long as the folder.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

/// Each option with a value that isn't its default.
const SAMPLES: [(&str, &str); 50] = [
    ("queue", "redis://queue/1"),
    ("queue-key", "orders"),
    ("queue-tls-ca", "ca.pem"),
    ("queue-tls-certificate", "worker.pem"),
    ("queue-tls-private-key", "worker.key"),
    ("store", "postgres://db/shop"),
    ("store-connections", "16"),
    ("fulfiller", "simulated"),
    ("call-timeout", "11s"),
    ("concurrency", "5000"),
    ("lease", "20s"),
    ("max-attempts", "7"),
    ("retry-base", "2s"),
    ("retry-cap", "10m"),
    ("ambiguous", "park"),
    ("reconcile-interval", "10s"),
    ("reconcile-grace", "2m"),
    ("reconcile-max-age", "30d"),
    ("reconcile-from", "2026-01-02T03:04:05Z"),
    ("events", "off"),
    ("keep-events", "90d"),
    ("fulfiller-token", "hush"),
    ("fulfiller-token-file", "token"),
    ("fulfiller-secret", "hush"),
    ("fulfiller-secret-file", "secrets"),
    ("fulfiller-ca", "ca.pem"),
    ("fulfiller-certificate", "worker.pem"),
    ("fulfiller-key", "worker.key"),
    ("fulfiller-concurrency", "50"),
    ("fulfiller-rate", "100"),
    ("fulfiller-retry-budget", "0.1"),
    ("fulfiller-link-local", "on"),
    ("simulate-latency", "1s..3s"),
    ("simulate-failures", "0.25"),
    ("simulate-seed", "42"),
    ("listen", "127.0.0.1:9000 unix:worker.sock"),
    ("admin-socket", "admin.sock"),
    ("web-config", "web.yml"),
    ("operators", "ann,bob"),
    ("drain-timeout", "1m"),
    ("drain-to-list", "on"),
    ("migrate", "off"),
    ("wait", "30s"),
    ("log-format", "json"),
    ("log", "debug"),
    ("log-orders", "all"),
    ("service-name", "orders-worker"),
    ("runbook-url", "https://wiki.example/runbook"),
    ("grafana-url", "http://grafana:3000/d/orders"),
    ("tracing-propagation", "parent"),
];

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_option_is_sampled_here() {
    assert_eq!(options::names(), SAMPLES.map(|(option, _)| option));
}

#[test]
fn with_nothing_said_the_defaults_hold() {
    let (settings, log) = resolve(&["run"], &nothing()).unwrap();
    assert_eq!(settings.backends.queue, QueueTarget::Sqlite("fulfillment.db".into()));
    assert_eq!(settings.backends.store, StoreTarget::Sqlite("fulfillment.db".into()));
    assert_eq!(settings.backends.queue_key, "fulfillment_queue");
    assert_eq!(settings.listen, [ListenAddress::Network("[::]:2112".parse().unwrap())]);
    assert_eq!(settings.admin_socket, AdminSocket::Default);
    assert_eq!((settings.concurrency, settings.retry.max_attempts), (256, 5));
    assert_eq!((settings.backends.lease, settings.drain_timeout), (Duration::from_secs(15), Duration::from_secs(25)));
    assert_eq!(settings.wait, None);
    assert!(settings.migrate && settings.backends.events);
    assert_eq!(settings.service_name, "fulfillment-worker");
    let service_name = "fulfillment-worker".to_owned();
    assert_eq!(
        log,
        LogSettings { format: None, filter: "info".to_owned(), filter_origin: Origin::Default, service_name }
    );
}

#[test]
fn flags_environment_and_file_can_each_set_every_option_to_the_same_effect() {
    let flags: Vec<String> = SAMPLES.iter().map(|(option, value)| format!("--{option}={value}")).collect();
    let words: Vec<&str> = ["run"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    let (flags_set, logged_by_flags) = resolve(&words, &nothing()).unwrap();

    let names = SAMPLES.map(|(option, _)| crate::config::environment::variable(option));
    let mut variables = SAMPLES;
    for (variable, name) in variables.iter_mut().zip(&names) {
        variable.0 = name;
    }
    let (environment_sets, logged_by_environment) = resolve(&["run"], &Environment::of(variables)).unwrap();

    let lines: Vec<String> = SAMPLES.iter().map(|(option, value)| format!("{option} = \"{value}\"\n")).collect();
    let (_folder, path) = file(&lines.concat());
    let (file_sets, logged_by_file) = resolve(&["run", "--config", &path], &nothing()).unwrap();

    assert_eq!(flags_set, environment_sets);
    assert_eq!(flags_set, file_sets);
    assert_eq!((flags_set.concurrency, flags_set.wait), (5000, Some(Duration::from_secs(30))));
    for (log, origin) in [
        (logged_by_flags, "command line".to_owned()),
        (logged_by_environment, "FULFILLMENT_LOG".to_owned()),
        (logged_by_file, format!("{path}:{}", SAMPLES.iter().position(|(option, _)| *option == "log").unwrap() + 1)),
    ] {
        assert_eq!((log.format, log.filter.as_str()), (Some(LogFormat::Json), "debug"));
        assert_eq!(log.filter_origin.to_string(), origin);
    }
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let (_folder, path) = file("concurrency = 20\nlease = \"20s\"\nmax-attempts = 20\n");
    let environment = Environment::of([
        ("FULFILLMENT_CONFIG", &path),
        ("FULFILLMENT_CONCURRENCY", "30"),
        ("FULFILLMENT_LEASE", "30s"),
    ]);
    let settings = settings(&["run", "--concurrency", "40"], &environment);
    assert_eq!(settings.concurrency, 40);
    assert_eq!(settings.backends.lease, Duration::from_secs(30));
    assert_eq!(settings.retry.max_attempts, 20);
    assert_eq!(settings.retry.base, Duration::from_secs(1));
}

#[test]
fn variables_of_existing_deployments_win_over_the_file_and_lose_to_our_own() {
    let (_folder, path) = file("queue = \"redis://file\"\nstore = \"postgres://file/db\"\nservice-name = \"file\"\n");
    let given = [("REDIS_URL", "redis://given"), ("POSTGRES_HOST", "given"), ("SERVICE_NAME", "given")];
    let words = ["run", "--config", path.as_str()];
    let from_given = settings(&words, &Environment::of(given));
    assert_eq!(from_given.backends.queue.to_string(), "redis://given");
    assert_eq!(from_given.backends.store.to_string(), "postgres://postgres@given:5432/postgres");
    assert_eq!(from_given.service_name, "given");

    let [redis, postgres, service] = given;
    let own = settings(
        &words,
        &Environment::of([
            redis,
            postgres,
            service,
            ("FULFILLMENT_QUEUE", "redis://own"),
            ("DATABASE_URL", "postgres://own/db"),
        ]),
    );
    assert_eq!(own.backends.queue.to_string(), "redis://own");
    assert_eq!(own.backends.store.to_string(), "postgres://own/db");
}

#[test]
fn the_flag_wins_over_a_file_named_in_the_environment() {
    let (_folder, path) = file("lease = \"20s\"\n");
    let environment = Environment::of([("FULFILLMENT_CONFIG", "/nowhere/worker.toml")]);
    assert_eq!(settings(&["run", "--config", &path], &environment).backends.lease, Duration::from_secs(20));
    let error = resolve(&["run"], &environment).unwrap_err();
    assert!(error.starts_with("configuration file /nowhere/worker.toml: No such file"), "{error}");
}

#[test]
fn options_of_other_commands_may_stand_in_the_shared_file() {
    let (_folder, path) = file("concurrency = 20\nqueue = \"redis://file\"\n");
    let (_, _, origins) = parse(&arguments(&["status", "--config", &path]), &nothing()).map_err(message).unwrap();
    assert_eq!(origins.of("queue").to_string(), format!("{path}:2"));
}

#[test]
fn a_wrong_value_names_option_place_value_and_what_would_be_right() {
    let (_folder, path) = file("\nlease = 15\n");
    for (words, environment, expected) in [
        (vec!["run", "--lease", "2h"], nothing(), "--lease: `2h` must be from 1s to 1h".to_owned()),
        (
            vec!["run"],
            Environment::of([("FULFILLMENT_LEASE", "2h")]),
            "--lease (FULFILLMENT_LEASE): `2h` must be from 1s to 1h".to_owned(),
        ),
        (
            vec!["run", "--config", &path],
            nothing(),
            format!("--lease ({path}:2): `15` has no unit; write 15s for seconds, or use ms, m, h"),
        ),
        (
            vec!["run"],
            Environment::of([("FULFILLMENT_CONCURRENCY", "0")]),
            "--concurrency (FULFILLMENT_CONCURRENCY): `0` is not in 1..=100000".to_owned(),
        ),
        (vec!["run", "--migrate", "yes"], nothing(), "--migrate: `yes` must be one of auto, off".to_owned()),
        (vec!["run", "--retry-base", "10m"], nothing(), "--retry-base: 10m is above --retry-cap 5m".to_owned()),
        (
            vec!["run", "--fulfiller", "https://warehouse.example", "--call-timeout", "15s"],
            nothing(),
            "--call-timeout: 15s must be shorter than --lease 15s when fulfilling over HTTP".to_owned(),
        ),
    ] {
        assert_eq!(resolve(&words, &environment).unwrap_err(), expected);
    }
}

#[test]
fn what_is_behind_two_dashes_stays_there() {
    let environment = Environment::of([("FULFILLMENT_QUEUE", "redis://queue")]);
    let (_, _, origins) = parse(&arguments(&["submit", "--", "--odd.csv"]), &environment).map_err(message).unwrap();
    assert_eq!(origins.of("queue").to_string(), "FULFILLMENT_QUEUE");
}

#[test]
fn no_password_is_shown_in_help_errors_or_debug_output() {
    let environment = Environment::of([
        ("REDIS_URL", "redis://user:hush@queue"),
        ("DATABASE_URL", "postgres://user:hush@db/shop?password=hush"),
        ("FULFILLMENT_LEASE", "never"),
    ]);
    let failures = [
        vec!["run", "--help"],
        vec!["help", "run"],
        vec!["run"],
        vec!["run", "--lease", "1s", "--queue", "redis://user:hush@:bad:port"],
        vec!["run", "--lease", "1s", "--queue", "hush"],
        vec!["run", "--lease", "1s", "--store", "mysql://user:hush@db"],
        vec!["run", "--lease", "1s", "--fulfiller", "https://user:hush@shop"],
    ];
    for words in failures {
        let shown = resolve(&words, &environment).unwrap_err();
        assert!(!shown.contains("hush"), "{words:?}: {shown}");
    }
    let resolved = resolve(&["run", "--lease", "1s"], &environment).unwrap();
    let shown = format!("{resolved:?}");
    assert!(shown.contains("queue") && !shown.contains("hush"), "{shown}");
}

#[test]
fn the_command_line_offers_nothing_that_does_not_exist_yet() {
    let names: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(
        names,
        [
            "run",
            "demo",
            "submit",
            "status",
            "orders",
            "order",
            "tail",
            "enqueue",
            "verify",
            "doctor",
            "dead",
            "pause",
            "resume",
            "quiet",
            "limit",
            "workers",
            "cancel",
            "hold",
            "release",
            "jobs",
            "hand-back",
            "migrate",
            "config",
            "healthcheck",
            "log",
            "warehouse",
            "completions",
            "man"
        ]
    );
}

/// Every command and subcommand that has help of its own.
fn all(command: clap::Command) -> Vec<clap::Command> {
    let deeper: Vec<clap::Command> = command.get_subcommands().cloned().flat_map(all).collect();
    [vec![command], deeper].concat()
}

#[test]
fn help_of_every_command_has_examples() {
    for mut command in all(Cli::command()) {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:") || help.contains("First steps:"), "{}", command.get_name());
    }
}

#[test]
fn help_names_defaults() {
    let mut run = Cli::command().find_subcommand("run").unwrap().clone();
    assert!(run.render_long_help().to_string().contains("[default: 500ms..2s]"));
}

#[test]
fn examples_are_shown_as_they_are_typed_whatever_the_width() {
    for (mut command, typed) in all(command()).into_iter().zip(all(Cli::command())) {
        let examples = typed.get_after_long_help().unwrap().to_string();
        for width in [60, 80, 200] {
            command = command.term_width(width);
            let shown = help::as_typed(&command.render_long_help().to_string());
            assert!(shown.ends_with(&format!("\n\n{examples}\n")), "{} at {width}: {shown}", command.get_name());
        }
    }
}
