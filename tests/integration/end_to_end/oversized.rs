//! Messages over 64 KiB: neither Redis nor a worker carries them about, and no worker dies of one.

use crate::support::orders::{all_fulfilled_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::{WorkerProcess, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

const MIB: usize = 1 << 20;

/// Pushes `count` messages of so many bytes, which are made by the server.
fn push_long(redis: &RedisServer, count: usize, bytes: usize) {
    let script = "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], string.rep('y', ARGV[2])) end";
    let mut connection = redis.connect().expect("a connection to Redis");
    redis::Script::new(script).key(QUEUE_KEY).arg(count).arg(bytes).invoke::<()>(&mut connection).expect("an answer");
}

/// What Redis has sent to anybody, in bytes.
fn sent(redis: &RedisServer) -> u64 {
    let mut connection = redis.connect().expect("a connection to Redis");
    let stats: String = redis::cmd("INFO").arg("stats").query(&mut connection).expect("an answer");
    let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.and_then(|bytes| bytes.trim().parse().ok()).expect("total_net_output_bytes")
}

/// The most memory that a process has had, in MiB.
fn peak_mib(worker: &WorkerProcess) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: usize = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("VmHWM");
    kilobytes >> 10
}

async fn letters(database: &TestDatabase, count: i64) {
    eventually(LONG, "the long ones are dead letters", async || {
        expect_equal(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, count)
    })
    .await;
}

/// Caught, when it was written: claims and wake-ups that return the whole message (168 MiB for twenty of 8 MiB; one of 40 MiB is enough for a
/// container of 128).
#[tokio::test]
async fn long_messages_fit_through_a_worker_of_a_hundred_mebibytes_before_and_after_its_start() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    push_long(&redis, 12, 8 * MIB);
    place(&database, &redis, 20).await;
    let before = sent(&redis);

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    letters(&database, 12).await;
    all_fulfilled_once(&database, &redis).await;
    // It waits for messages now, and is woken by these.
    push_long(&redis, 1, 40 * MIB);
    place(&database, &redis, 20).await;
    letters(&database, 13).await;
    all_fulfilled_once(&database, &redis).await;

    assert!(sent(&redis) - before < 8 * MIB as u64, "Redis has sent {} bytes", sent(&redis) - before);
    assert!(peak_mib(&worker) <= 100, "the worker has had {} MiB", peak_mib(&worker));
}

#[tokio::test]
async fn the_dead_letter_of_a_long_message_has_its_beginning_length_and_hash_and_can_not_be_retried() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    push_long(&redis, 1, 3 * MIB);
    let _worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    letters(&database, 1).await;

    let letter = &database.query("SELECT payload, reason, detail FROM fulfillment.dead_letters", &[]).await[0];
    assert!(letter.get::<_, Vec<u8>>("payload") == vec![b'y'; 64 << 10], "other bytes");
    assert_eq!(letter.get::<_, String>("reason"), "invalid_message");
    // As `head -c 1048576 /dev/zero | tr '\\0' y | sha1sum` has it.
    let detail = "message of 3145728 bytes is over the limit of 65536; only so many are kept; \
                  SHA-1 of the first 1048576: 2b6a7ad91a60e40a5fd37abe06e165dc7498b24e";
    assert_eq!(letter.get::<_, String>("detail"), detail);

    let place = ["--queue", &redis.url(), "--store", database.url()];
    for dry in [&["--dry-run"][..], &[]] {
        let output = run_to_end(&[&["dead", "retry", "--all", "--why", "again"][..], &place, dry].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("only the first 64 KiB are kept"), "{said}");
    }
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.dead_letters WHERE resolved_at IS NULL").await, 1);
    assert_eq!(redis.keys(), Vec::<String>::new());
    let output = run_to_end(&[&["dead", "discard", "--all", "--why", "no order"][..], &place].concat());
    assert!(output.status.success(), "{output:?}");
}

/// As versions before this one kept them.
#[tokio::test]
async fn a_long_message_that_an_earlier_version_has_claimed_is_cut_when_it_is_delivered_again() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let script = "local record = '2 0123-7\\n' .. string.rep('y', ARGV[1]) \
                  for i = 1, 4 do redis.call('HSET', KEYS[1], i, record) redis.call('ZADD', KEYS[2], 1, i) end \
                  redis.call('HSET', KEYS[1], 'dangling', record)";
    let mut connection = redis.connect().expect("a connection to Redis");
    let [inflight, leases] = ["inflight", "leases"].map(|name| format!("{{{QUEUE_KEY}}}:{name}"));
    let script = redis::Script::new(script);
    script.key(inflight).key(leases).arg(8 * MIB).invoke::<()>(&mut connection).expect("an answer");
    let before = sent(&redis);

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--lease", "1s"]).await;
    letters(&database, 5).await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    let attempts = "SELECT count(*) FROM fulfillment.dead_letters WHERE attempts = 3 AND length(payload) = 65536";
    assert_eq!(database.number(attempts).await, 5, "attempts go on from those that are spent");
    assert!(sent(&redis) - before < 8 * MIB as u64, "Redis has sent {} bytes", sent(&redis) - before);
    assert!(peak_mib(&worker) <= 100, "the worker has had {} MiB", peak_mib(&worker));
}
