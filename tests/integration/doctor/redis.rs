//! Findings of Redis.

use crate::doctor::Examined;
use crate::doctor::postgres::{migrated, run_all};
use crate::support::redis::RedisServer;

/// Runs commands as they are printed, at this server.
fn run_redis_commands(redis: &RedisServer, commands: &[&str]) {
    let mut connection = redis.connect().expect("a connection");
    for command in commands {
        let words = command.strip_prefix("redis-cli -u \"$REDIS_URL\" ").expect("a command of redis-cli").split(' ');
        // No file of settings is there to write to.
        if command.ends_with("REWRITE") {
            continue;
        }
        let mut sent = redis::Cmd::new();
        for word in words {
            sent.arg(word);
        }
        sent.exec(&mut connection).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

#[tokio::test]
async fn a_policy_that_deletes_messages_is_warned_of_and_what_it_says_helps() {
    let (redis, database) = (RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]).await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("maxmemory_policy"), "warning");
    assert_eq!(examined.finding("maxmemory_policy")["values"]["policy"], "allkeys-lru");
    run_redis_commands(&redis, &examined.remedies("maxmemory_policy"));
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("maxmemory_policy"), "ok");
}

#[tokio::test]
async fn what_a_restart_loses_is_told_and_that_no_order_is_lost_by_it() {
    let (redis, database) = (RedisServer::start_with(&["--appendonly", "no"]).await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!((examined.level("persistence"), examined.level("appendfsync")), ("warning", "ok"));
    let costs = examined.finding("persistence")["costs"].as_str().expect("costs");
    assert!(costs.contains("empty queue") && costs.contains("no order is lost"), "{costs}");
    let mut snapshots = redis::cmd("CONFIG");
    snapshots
        .arg("SET")
        .arg("save")
        .arg("3600 1")
        .exec(&mut redis.connect().expect("a connection"))
        .expect("snapshots");
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("persistence"), "notice");

    run_redis_commands(&redis, &examined.remedies("persistence"));
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!((examined.level("persistence"), examined.level("appendfsync")), ("ok", "notice"));
    run_redis_commands(&redis, &examined.remedies("appendfsync"));
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("appendfsync"), "ok");
}

#[tokio::test]
async fn memory_that_is_nearly_full_is_warned_of() {
    let (redis, database) = (RedisServer::start_with(&["--maxmemory", "100mb"]).await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("memory"), "ok", "{}", examined.report);
    let used = examined.finding("memory")["values"]["used_bytes"].as_u64().expect("a number");
    let mut connection = redis.connect().expect("a connection");
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(used).exec(&mut connection).expect("a limit");
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("memory"), "warning", "{}", examined.report);
}

/// The user of docs/REDIS.md may neither ask for settings nor who it is.
#[tokio::test]
async fn a_user_of_its_own_sees_less_and_is_told_what() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("queue_user"), "notice");

    let document = include_str!("../../../docs/REDIS.md");
    let acl = document.lines().find(|line| line.starts_with("ACL SETUSER worker ")).expect("the user's rights");
    let mut made = redis::Cmd::new();
    for word in acl.replace(">PASSWORD", ">hush").split(' ') {
        made.arg(word);
    }
    made.exec(&mut redis.connect().expect("a connection")).expect("a user");
    let url = redis.url().replace("redis://", "redis://worker:hush@");
    let examined = Examined::of(&url, database.url(), &[]);
    assert_eq!(examined.level("queue_user"), "ok", "{}", examined.report);
    assert_eq!(examined.level("appendfsync"), "unknown");
    assert_eq!(examined.found("appendfsync"), "not visible to this user, or on this server");
    for check in ["maxmemory_policy", "persistence", "memory", "clocks", "disk"] {
        assert_eq!(examined.level(check), "ok", "{}", examined.finding(check));
    }
    assert!(!examined.report.to_string().contains("hush") && !examined.said.contains("hush"));
}

/// As on many managed servers, where there is no `CONFIG` at all.
#[tokio::test]
async fn a_server_without_config_is_judged_by_what_it_tells() {
    let options = ["--rename-command", "CONFIG", "", "--appendonly", "no"];
    let (redis, database) = (RedisServer::start_with(&options).await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("persistence"), "notice", "{}", examined.report);
    assert!(examined.found("persistence").contains("whether there are snapshots can't be seen"), "{}", examined.report);
    assert_eq!(examined.level("maxmemory_policy"), "ok");
}

#[tokio::test]
async fn a_store_with_everything_right_and_a_queue_with_everything_right_end_with_zero() {
    let (redis, database) = (RedisServer::start_with(&["--appendfsync", "everysec"]).await, migrated().await);
    run_all(&database, &["DROP INDEX idx_orders_status", "ALTER TABLE orders SET (fillfactor = 50)"]).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    // The shared server of the tests doesn't wait for its disk, and others may do anything to it.
    let findings = examined.report["findings"].as_array().expect("findings");
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| {
            finding["level"] == "warning" && finding["check"] != "durability" && finding["check"] != "checkpoints"
        })
        .collect();
    assert!(bad.is_empty(), "{bad:?}");
}
