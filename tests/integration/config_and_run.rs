//! `config` says what `run` would: the same error with the same exit code, and the same warnings. Needs no server.

use std::net::TcpListener;
use std::process::Output;

use crate::support::worker::binary;

fn output(command: &str, options: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = binary(&[&[command], options].concat());
    command.env("FULFILLMENT_STORE", "sqlite:db");
    let output = command.current_dir(folder.path()).envs(environment.iter().copied()).output().expect("the binary");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, told)
}

/// Caught on the code before: a certificate that isn't there was found by `run` alone.
#[test]
fn what_run_refuses_is_refused_by_config_in_the_same_words() {
    for (options, environment) in [
        (&["--fulfiller", "https://x/", "--fulfiller-ca", "/nowhere"][..], &[][..]),
        (&["--fulfiller", "https://x/", "--fulfiller-certificate", "/nowhere", "--fulfiller-key", "/nowhere"], &[]),
        (&["--log", "inof"], &[]),
        (&[], &[("LOG_LEVEL", "inof")]),
        (&["--log-orders", "some"], &[]),
        (&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url")]),
        (&[], &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/run/ca.pem")]),
    ] {
        let (config, run) = (output("config", options, environment), output("run", options, environment));
        assert_eq!(config.0.status.code(), Some(2), "{}", config.1);
        assert_eq!((config.0.status.code(), &config.1), (run.0.status.code(), &run.1));
    }
}

/// Caught on the code before: "must be one of" nothing.
#[test]
fn an_option_without_a_value_is_told_that_it_needs_one() {
    for option in ["--web-config", "--fulfiller-ca", "--queue-tls-ca"] {
        let (output, told) = output("config", &[option, ""], &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(told.contains(&format!("{option}: `` must not be empty")), "{told}");
    }
}

/// Caught, when seeded: the same for an embedded store, and for one who has written `simulated`.
#[test]
fn whoever_names_no_warehouse_for_a_shops_database_is_warned() {
    let warns = |store: &str, options: &[&str]| {
        let (output, noted) =
            output("config", &[&["--queue", "redis://127.0.0.1:1"], options].concat(), &[("FULFILLMENT_STORE", store)]);
        assert_eq!(output.status.code(), Some(0), "{noted}");
        noted.contains("no warehouse is called")
    };
    let shop = "postgres://127.0.0.1:1/shop";
    assert!(warns(shop, &[]));
    assert!(!warns(shop, &["--fulfiller", "simulated"]));
    assert!(!warns(shop, &["--fulfiller", "https://warehouse.example/shipments"]));
    assert!(!warns("sqlite:db", &[]));
}

/// Caught on the code before: variables that no option has were warned of by `config` alone.
#[test]
fn what_run_warns_of_is_warned_of_by_config() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("its address").to_string();
    let environment = [
        ("FULFILLMENT_LEESE", "1s"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("OTEL_PROPAGATORS", "xray"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ];
    let (config, noted) = output("config", &[], &environment);
    assert_eq!(config.status.code(), Some(0), "{noted}");
    let notes: Vec<&str> = noted.lines().filter_map(|line| line.strip_prefix("note: ")).collect();
    assert_eq!(notes.len(), environment.len(), "{noted}");
    // Its port is taken, so it ends by itself.
    let (run, told) = output("run", &["--listen", &listen, "--log", "warn", "--log-format", "text"], &environment);
    assert_eq!(run.status.code(), Some(1), "{told}");
    let warnings: Vec<&str> = told.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), notes.len(), "{told}");
    assert!(notes.iter().all(|note| told.contains(note)), "{noted}{told}");
}
