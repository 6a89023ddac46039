//! Messages of foreign producers, and scripts that are forgotten or run twice.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use fulfillment_worker::port::queue::{
    Claim, Depth, Disposition, Producer, Queue, QueueReports, ReceiptState, Settlement,
};
use redis::Script;

use crate::redis_queue::server::{KEY, Server, acks, push};
use crate::support::LONG;

#[tokio::test]
async fn a_message_pushed_by_redis_cli_is_claimed_unchanged() {
    let server = Server::start().await;
    let message = br#"{"order_id":1,"product_id":2,"quantity":3,"correlation_id":"caf\u00e9","traceparent":""}"#;
    let mut client = Command::new("redis-cli")
        .args(["-u", &server.url(), "-x", "LPUSH", KEY])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-cli; run scripts/install-packages.sh");
    client.stdin.take().expect("its input").write_all(message).expect("redis-cli reads");
    assert!(client.wait().expect("redis-cli ends").success());

    let claims = server.queue(LONG).claim(10).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].payload, message);
    assert_eq!(claims[0].attempt, 1);
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one"]).await.unwrap();

    server.ask::<()>("SCRIPT FLUSH");
    let claims = queue.claim(1).await.unwrap().claims;
    assert_eq!(claims.len(), 1);
    server.ask::<()>("SCRIPT FLUSH");
    assert_eq!(queue.renew(&[claims[0].receipt.clone()]).await.unwrap(), [ReceiptState::Valid]);
    server.ask::<()>("SCRIPT FLUSH");
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 1, due: 0, retrying: 0 });
    server.ask::<()>("SCRIPT FLUSH");
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid]);
}

#[tokio::test]
async fn a_claim_that_is_run_twice_with_one_token_loses_and_overwrites_nothing() {
    let server = Server::start().await;
    push(&server.queue(LONG), &["a", "b", "c", "d"]).await.unwrap();
    let claim = Script::new(concat!(
        include_str!("../../../src/backend/redis/common.lua"),
        "\n",
        include_str!("../../../src/backend/redis/claim.lua")
    ));
    let run = || -> Vec<String> {
        let mut connection = server.connect().expect("a connection to Redis");
        let (_due, _unaccounted, _dropped, again, prefix, payload1, payload2): (
            i64,
            i64,
            i64,
            u32,
            String,
            String,
            String,
        ) = claim
            .key(KEY)
            .key("{fulfillment_queue}:inflight")
            .key("{fulfillment_queue}:leases")
            .key("{fulfillment_queue}:retries")
            .arg("worker-1")
            .arg(2)
            .arg(60_000)
            .invoke(&mut connection)
            .expect("the script runs");
        assert_eq!(again, 0, "none comes again");
        let [id1, id2] = ["0000", "0001"].map(|place| format!("{prefix}{place}"));
        assert_eq!(
            server.ask_with::<String>(["HGET", "{fulfillment_queue}:inflight", &id1]),
            format!("1 worker-1\n{payload1}")
        );
        assert_eq!(
            server.ask_with::<String>(["HGET", "{fulfillment_queue}:inflight", &id2]),
            format!("1 worker-1\n{payload2}")
        );
        vec![id1, id2]
    };

    let mut ids = run();
    ids.extend(run());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4, "{ids:?}");
    let records: Vec<String> = server.ask("HVALS {fulfillment_queue}:inflight");
    let payloads: HashSet<&str> = records.iter().filter_map(|record| record.split('\n').nth(1)).collect();
    assert_eq!(payloads, HashSet::from(["a", "b", "c", "d"]));
}

#[tokio::test]
async fn a_claim_reads_four_mebibytes_and_at_most_eight_messages_more_and_says_that_there_are_others() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    queue.push(&vec![vec![b'x'; 3 << 20]; 3]).await.unwrap();
    queue.push(&vec![vec![b'x'; 64 << 10]; 200]).await.unwrap();

    for expected in [2, 1 + 23, 63 + 8, 63 + 8, 35] {
        let claimed = queue.claim(1_000).await.unwrap();
        assert_eq!(claimed.claims.len(), expected);
        assert_eq!(claimed.next_due.is_some_and(|due| due.is_zero()), expected != 35);
    }
}

/// Caught, when seeded: pages that only grow.
#[tokio::test]
async fn what_follows_a_long_message_is_read_alone() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    queue.push(&vec![b"short".to_vec(); 40]).await.unwrap();
    queue.push(&vec![vec![b'x'; 1 << 20]; 16]).await.unwrap();

    // After 39 short ones, the last of them and seven long ones are read at once, and after that each alone.
    for expected in [39 + 8, 4, 4, 1] {
        assert_eq!(queue.claim(1_000).await.unwrap().claims.len(), expected);
    }
}

/// Caught, when seeded: `settle.lua` that takes the first message of a run alone, and one that says of whom else it is by
/// the place in the run.
#[tokio::test]
async fn verdicts_stand_in_the_order_of_settlements_whatever_becomes_of_each_and_whoever_claimed_it() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["a", "b", "c", "d", "e", "f"]).await.unwrap();
    let mut claims = queue.claim(3).await.unwrap().claims;
    claims.extend(queue.claim(3).await.unwrap().claims);
    let [a, b, c, d, e, f] = &claims[..] else { panic!("{claims:?}") };
    let settlement = |claim: &Claim, disposition| Settlement { receipt: claim.receipt.clone(), disposition };
    let retry = |seconds, spent| Disposition::Retry { after: Duration::from_secs(seconds), spent };
    let mut forged = settlement(f, Disposition::Ack);
    forged.receipt.token = a.receipt.token.clone();

    let verdicts = queue
        .settle(&[
            settlement(a, Disposition::Ack),
            settlement(b, Disposition::Ack),
            forged,
            settlement(a, Disposition::Ack),
            settlement(d, Disposition::Ack),
            settlement(c, retry(1_000, true)),
            settlement(e, retry(1_000, false)),
            settlement(c, Disposition::Ack),
        ])
        .await
        .unwrap();

    let (valid, stale) = (ReceiptState::Valid, ReceiptState::Stale);
    assert_eq!(verdicts, [valid, valid, stale, stale, valid, valid, valid, stale]);
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 1, due: 0, retrying: 2 });
    let mut records: Vec<String> = server.ask("HVALS {fulfillment_queue}:inflight");
    records.sort();
    let record = |attempts: u32, claim: &Claim, payload: &str| format!("{attempts} {}\n{payload}", claim.receipt.token);
    let mut expected = [record(0, e, "e"), record(1, c, "c"), record(1, f, "f")];
    expected.sort();
    assert_eq!(records, expected);
}

#[tokio::test]
async fn a_message_whose_lease_somebody_deleted_is_settled_by_its_worker_until_it_waits_for_a_retry() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["a", "b"]).await.unwrap();
    let claims = queue.claim(2).await.unwrap().claims;
    let retry = Disposition::Retry { after: LONG, spent: true };
    let put_back = [Settlement { receipt: claims[1].receipt.clone(), disposition: retry }];

    server.ask::<()>(&format!("DEL {{{KEY}}}:leases"));
    assert_eq!(queue.settle(&put_back).await.unwrap(), [ReceiptState::Valid]);
    assert_eq!(queue.settle(&acks(&claims)).await.unwrap(), [ReceiptState::Valid, ReceiptState::Stale]);
    assert_eq!(queue.depth().await.unwrap(), Depth { waiting: 0, in_flight: 0, due: 0, retrying: 1 });
}

#[tokio::test]
async fn a_settlement_of_another_form_changes_nothing() {
    let server = Server::start().await;
    let queue = server.queue(LONG);
    push(&queue, &["one"]).await.unwrap();
    let receipt = queue.claim(1).await.unwrap().claims.remove(0).receipt;
    let (id, token) = (receipt.claim_id.as_str(), receipt.token.as_str());
    let settle = Script::new(concat!(
        include_str!("../../../src/backend/redis/common.lua"),
        "\n",
        include_str!("../../../src/backend/redis/settle.lua")
    ));

    let wrong: [&[&str]; 9] = [
        &[],
        &[token],
        &[token, "ack"],
        &[token, "ack", "0", id],
        &[token, "ack", "2", id],
        &[token, "ack", "x", id],
        &[token, "spent", "1", id],
        &[token, "ack 5", "1", id],
        &[token, "ack", "1", id, token, "lost 5", "1", id],
    ];
    for arguments in wrong {
        let mut call = settle.prepare_invoke();
        for key in ["inflight", "leases", "retries"] {
            call.key(format!("{{{KEY}}}:{key}"));
        }
        for argument in arguments {
            call.arg(*argument);
        }
        let mut connection = server.connect().expect("a connection to Redis");
        let error = call.invoke::<redis::Value>(&mut connection).expect_err(&format!("{arguments:?}"));
        assert!(error.to_string().contains("settle: wants"), "{arguments:?}: {error}");
    }
    assert_eq!(queue.renew(&[receipt]).await.unwrap(), [ReceiptState::Valid]);
}
