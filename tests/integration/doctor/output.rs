//! What it prints, and what it ends with.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::doctor::postgres::{migrated, run_all};
use crate::doctor::{Examined, run};
use crate::support::free_port;
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::worker::binary;

/// Names that programs rely on.
#[tokio::test]
async fn json_has_the_names_that_help_promises_and_no_others() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    let fields = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let names = |words: &str| words.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(fields(&examined.report), names("version store queue warnings notices unknown ok findings unanswered"));
    let findings = examined.report["findings"].as_array().expect("findings");
    let mut checks = BTreeSet::new();
    for finding in findings {
        assert_eq!(fields(finding), names("check level found costs do caution values"));
        checks.insert(finding["check"].as_str().expect("a name").to_owned());
    }
    assert_eq!(
        checks,
        names(
            "hot_updates written_indexes fillfactor wal_per_order transactions replication_slots prepared_transactions \
             dead_rows autovacuum checkpoints durability session_settings connections store_latency time_zone tables_and_rights controls jobs \
             excess_rights store_tls maxmemory_policy memory persistence appendfsync disk queue_user queue_latency \
             queue_tls clocks"
        )
    );
    let help = String::from_utf8(binary(&["doctor", "--help"]).output().expect("help").stdout).expect("UTF-8");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in &checks {
        assert!(help.contains(name), "{name} is not in the help");
    }
    let count = |level: &str| findings.iter().filter(|finding| finding["level"] == level).count();
    let counts = ["warnings", "notices", "unknown", "ok"].map(|name| examined.report[name].as_u64().expect("a number"));
    assert_eq!(counts, ["warning", "notice", "unknown", "ok"].map(|level| count(level) as u64));
    let levels: Vec<&Value> = findings.iter().map(|finding| &finding["level"]).collect();
    let first_ok = levels.iter().position(|level| **level == "ok").expect("something is right");
    assert!(levels[first_ok..].iter().all(|level| **level == "ok"), "what matters most comes first: {levels:?}");
}

#[tokio::test]
async fn words_name_what_was_found_what_it_costs_and_what_to_do() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let options = ["doctor", "--sample", "0s", "--queue", &redis.url(), "--store", database.url()];
    let (code, shown, said) = run(&mut binary(&options));
    assert_eq!(code, Some(1), "{said}");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("store    Postgres ") && lines[1].starts_with("queue    Redis "), "{shown}");
    let at = lines.iter().position(|line| line.starts_with("WARNING  written_indexes")).expect("the finding");
    assert!(lines[at + 1].starts_with("           costs               "), "{shown}");
    let remedy = "           do                  DROP INDEX CONCURRENTLY public.idx_orders_status;";
    assert_eq!(lines[at + 2], remedy, "{shown}");
    assert!(lines[at + 3].starts_with("           but                 "), "{shown}");
    assert!(lines.last().expect("lines").ends_with(" ok. Nothing was changed."), "{shown}");
    assert!(said.starts_with("error: ") && said.contains("warning"), "{said}");
}

/// One that is down hides nothing of the other one, and is no finding.
#[tokio::test]
async fn a_server_that_does_not_answer_ends_it_with_two_and_hides_nothing_of_the_other() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let nobody = free_port();
    let examined = Examined::of(&format!("redis://:hush@127.0.0.1:{nobody}"), database.url(), &[]);
    assert_eq!((examined.code, &examined.report["queue"]), (Some(2), &Value::Null), "{}", examined.said);
    assert_eq!(examined.level("written_indexes"), "warning");
    assert!(examined.report["unanswered"][0].as_str().is_some_and(|why| why.contains("queue unavailable")));

    let examined = Examined::of(&redis.url(), &format!("postgres://u:hush@127.0.0.1:{nobody}/db"), &[]);
    assert_eq!((examined.code, &examined.report["store"]), (Some(2), &Value::Null), "{}", examined.said);
    assert_eq!(examined.level("maxmemory_policy"), "ok");
    assert!(!examined.said.contains("hush") && !examined.report.to_string().contains("hush"), "{}", examined.said);
}

/// Whoever writes, even a row of a catalogue, gets a transaction's number; this server has nobody else.
#[tokio::test]
async fn it_changes_nothing() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    run_all(&database, &["ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"]).await;
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let before = database.number(next).await;
    let examined = Examined::of(&redis.url(), database.url(), &["--sample", "10ms"]);
    assert_eq!(examined.report["unanswered"], json!([]));
    assert_eq!(database.number(next).await, before);
    assert_eq!(redis.keys(), Vec::<String>::new());
}

/// What others named is made harmless on a terminal, and quoted where it is to be pasted.
#[tokio::test]
async fn names_that_others_gave_are_quoted_and_harmless() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    run_all(&database, &["CREATE INDEX \"x\u{1b}[2J\"\"; DROP TABLE orders; --\" ON orders (status)"]).await;
    let options = ["doctor", "--sample", "0s", "--queue", &redis.url(), "--store", database.url()];
    let (_, shown, _) = run(&mut binary(&options));
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert!(shown.contains("DROP INDEX CONCURRENTLY public.\"x\\u{1b}[2J\"\"; DROP TABLE orders; --\";"), "{shown}");
}
