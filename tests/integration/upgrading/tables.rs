//! Tables that another version has made.

use serde_json::Value;

use super::{BOB, DIRECTIONS, SHORT_LEASE, Servers};
use crate::support::orders::{all_fulfilled_once, in_state, place};
use crate::support::version::Version;
use crate::support::{LONG, eventually, expect_equal};

/// What a migration to come may do (docs/UPGRADING.md): columns that are null or have a default in every table, a table, an index, and
/// a line in the history.
const TO_COME: &str = "
    DO $$ DECLARE made text; BEGIN
        FOR made IN SELECT relname FROM pg_class WHERE relnamespace = 'fulfillment'::regnamespace AND relkind = 'r' LOOP
            EXECUTE format('ALTER TABLE fulfillment.%I ADD COLUMN to_come text, ADD COLUMN counted bigint NOT NULL DEFAULT 0', made);
        END LOOP;
    END $$;
    CREATE TABLE fulfillment.to_come (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, of text NOT NULL);
    CREATE INDEX to_come_of ON fulfillment.to_come (of);
    INSERT INTO fulfillment.schema_history (version, name, applied_on, checksum)
        VALUES (99, 'to_come', '2027-01-01T00:00:00.000000Z', '1');";

/// Letters with a reason that the reader doesn't know.
const LETTERS: &str = "
    INSERT INTO fulfillment.dead_letters (claim_id, order_id, payload, reason, detail, attempts, worker, at)
    VALUES ('to come 1', 1, '{\"order_id\":1,\"product_id\":1,\"quantity\":1}', 'reason_to_come', 'as it is', 1, 'a worker', localtimestamp),
           ('to come 2', 999, '{\"order_id\":999,\"product_id\":1,\"quantity\":1}', 'row_gone', 'gone', 1, 'a worker', localtimestamp)";

/// Commands that all end well.
const COMMANDS: [&[&str]; 12] = [
    &["migrate"],
    &["status", "--json"],
    &["orders", "--json"],
    &["order", "1", "--json"],
    &["verify", "--json"],
    &["workers", "--json"],
    &["jobs", "list", "--json"],
    &["limit", "--json"],
    &["dead", "list", "--json"],
    &["dead", "list"],
    &["dead", "show", "1", "--json"],
    &["dead", "discard", "2", "--why", "known"],
];

/// Caught, when seeded: a table in which a migration has renamed a column.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn a_version_works_with_all_its_commands_on_tables_to_which_a_later_one_has_added() {
    for (other, version) in DIRECTIONS {
        let servers = Servers::start().await;
        assert_eq!(servers.run(other, &["migrate"]).code, Some(0));
        assert_eq!(servers.run(Version::This, &["migrate"]).code, Some(0), "there may be tables that it alone knows");
        servers.database.connect().await.batch_execute(TO_COME).await.unwrap();
        let worker = servers.worker(version, &["--migrate", "off"]).await;
        place(&servers.database, &servers.redis, 20).await;
        all_fulfilled_once(&servers.database, &servers.redis).await;
        servers.database.connect().await.batch_execute(LETTERS).await.unwrap();
        for words in COMMANDS {
            let ended = servers.run(version, words);
            assert_eq!(ended.code, Some(0), "{version:?} {words:?}: {ended:?}");
        }
        let examined = servers.run(version, &["doctor", "--json"]).json_in_any_case();
        let findings = examined["findings"].as_array().expect("findings");
        let is_complete = |finding: &Value| finding["check"] == "tables_and_rights" && finding["level"] == "ok";
        assert!(findings.iter().any(is_complete), "{examined}");
        let listed = servers.run(version, &["dead", "list", "--json"]).json();
        assert_eq!(listed["dead_letters"][0]["reason"], "reason_to_come", "{listed}");
        let counted = servers.run(version, &["status", "--json"]).json();
        assert_eq!(counted["dead_letters_by_reason"]["other"], 1, "{counted}");
        for path in ["/", "/dead-letters", "/orders", "/workers", "/api/v1/dead-letters", "/api/v1/status", "/metrics"]
        {
            let answer = worker.get(path, &[BOB]);
            assert_eq!(answer.status, 200, "{version:?} {path}: {}", answer.text());
        }
    }
}

/// What the last migration made is taken away again, as every release has the tables of the one before so far.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn workers_that_may_not_migrate_say_what_is_missing_before_migrate_and_work_after_it() {
    const WITHOUT_LAST: &str = "DROP TABLE fulfillment.trends, fulfillment.arrivals, fulfillment.arrivals_mark;
                                DELETE FROM fulfillment.schema_history WHERE version >= 14";
    let servers = Servers::start().await;
    assert_eq!(servers.run(Version::Previous, &["migrate"]).code, Some(0));
    servers.database.connect().await.batch_execute(WITHOUT_LAST).await.unwrap();
    let mut early = servers.starting(Version::This, &["--migrate", "off"]);
    assert_eq!(early.ended(LONG).await.code(), Some(1), "{}", early.output());
    assert!(early.output().contains("schema incomplete: table fulfillment.arrivals"), "{}", early.output());
    assert_eq!(servers.run(Version::This, &["migrate"]).code, Some(0));
    let _worker = servers.worker(Version::This, &["--migrate", "off"]).await;
    place(&servers.database, &servers.redis, 20).await;
    all_fulfilled_once(&servers.database, &servers.redis).await;
}

/// Both start at once on a database without tables, again and again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn first_starts_of_both_versions_at_the_same_time_make_one_set_of_tables() {
    let servers = Servers::start().await;
    let versions = [Version::Previous, Version::This, Version::Previous, Version::This];
    let mut workers: Vec<_> = versions.iter().map(|version| servers.starting(*version, &SHORT_LEASE)).collect();
    for worker in &mut workers {
        worker.wait_until_ready().await;
    }
    place(&servers.database, &servers.redis, 100).await;
    all_fulfilled_once(&servers.database, &servers.redis).await;
    let reported = async || expect_equal(shown_versions(&servers), [2, 2]);
    eventually(LONG, "both versions are in the list of workers", reported).await;
    assert_eq!(in_state(&servers.database, "fulfilled").await, 100);
}

/// How many workers of each version either shows.
fn shown_versions(servers: &Servers) -> [usize; 2] {
    [Version::Previous, Version::This].map(|version| {
        let listed = servers.run(version.other(), &["workers", "--json"]).json();
        let workers = listed["workers"].as_array().expect("workers");
        let is_of =
            |worker: &&Value| worker["version"].as_str().is_some_and(|text| text.starts_with(&version.number()));
        workers.iter().filter(is_of).count()
    })
}
