//! Tables that another version has made.

use serde_json::Value;

use super::{DIRECTIONS, SHORT_LEASE, Servers};
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

/// Each command, and the end that it comes to.
const COMMANDS: [(&[&str], i32); 13] = [
    (&["migrate"], 0),
    (&["status", "--json"], 0),
    (&["orders", "--json"], 0),
    (&["order", "1", "--json"], 0),
    (&["verify", "--json"], 0),
    (&["workers", "--json"], 0),
    (&["jobs", "list", "--json"], 0),
    (&["limit", "--json"], 0),
    (&["dead", "list", "--json"], 0),
    (&["dead", "list"], 0),
    (&["dead", "show", "1", "--json"], 0),
    (&["dead", "discard", "2", "--why", "known"], 0),
    (&["doctor", "--json"], 0),
];

/// Caught, when seeded: SEEDED
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
        for (words, code) in COMMANDS {
            let ended = servers.run(version, words);
            assert_eq!(ended.code, Some(code), "{version:?} {words:?}: {ended:?}");
        }
        let listed = servers.run(version, &["dead", "list", "--json"]).json();
        assert_eq!(listed["dead_letters"][0]["reason"], "reason_to_come", "{listed}");
        let counted = servers.run(version, &["status", "--json"]).json();
        assert_eq!(counted["dead_letters_by_reason"]["reason_to_come"], 1, "{counted}");
        for path in ["/", "/dead-letters", "/orders", "/workers", "/api/v1/dead-letters", "/api/v1/status", "/metrics"]
        {
            let answer = worker.get(path, &[("Authorization", BOB)]);
            assert_eq!(answer.status, 200, "{version:?} {path}: {}", answer.text());
        }
    }
}

/// `bob` with his password, as in [`crate::access::users`].
pub(super) const BOB: &str = "Basic Ym9iOmJvYidz";

/// Workers that may not migrate come after `migrate`: until then they say what is missing, or there is nothing.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn workers_that_may_not_migrate_say_what_is_missing_before_migrate_and_work_after_it() {
    let servers = Servers::start().await;
    assert_eq!(servers.run(Version::Previous, &["migrate"]).code, Some(0));
    let before = history(&servers).await;
    let trial = servers.database.copied().await;
    assert!(crate::support::worker::run_to_end(&["migrate", "--store", trial.url()]).status.success());
    let is_complete = trial.number(HISTORY).await == before;
    let mut worker = servers.starting(Version::This, &["--migrate", "off"]);
    if is_complete {
        worker.wait_until_ready().await;
    } else {
        let ended = worker.ended(LONG).await;
        assert_eq!(ended.code(), Some(2), "{}", worker.output());
        assert!(worker.output().contains("schema incomplete"), "{}", worker.output());
    }
    assert_eq!(servers.run(Version::This, &["migrate"]).code, Some(0));
    let _worker = servers.worker(Version::This, &["--migrate", "off"]).await;
    place(&servers.database, &servers.redis, 20).await;
    all_fulfilled_once(&servers.database, &servers.redis).await;
}

const HISTORY: &str = "SELECT max(version)::int8 FROM fulfillment.schema_history";

async fn history(servers: &Servers) -> i64 {
    servers.database.number(HISTORY).await
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
