//! The operators: they cancel, hold and release orders, one by one and by jobs, and pause the fleet, whatever goes wrong meanwhile.
//! Holds and pauses end by themselves, so that everything comes to its end when nobody does anything any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use crate::chaos::checker::Verdict;
use crate::chaos::world::World;
use crate::support::LONG;
use crate::support::evidence::REJECTED_PRODUCT;
use crate::support::version::Version;
use crate::support::worker::binary_of;

const EVERY: Duration = Duration::from_millis(250);
/// Orders that one command names.
const ORDERS: usize = 5;
const OPEN_JOBS: &str = "SELECT count(*) FROM fulfillment.jobs WHERE ended_at IS NULL";
const IN_FORCE: &str = "SELECT count(*) FROM fulfillment.controls WHERE expires_at IS NULL OR expires_at > now()";

/// What an operator does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Cancel,
    Hold,
    Release,
    CancelByJob,
    HoldByJob,
    ReleaseByJob,
    CancelJob,
    Pause,
    Resume,
}

const DEEDS: [(Deed, &str); 9] = [
    (Deed::Cancel, "cancel"),
    (Deed::Hold, "hold"),
    (Deed::Release, "release"),
    (Deed::CancelByJob, "cancel by job"),
    (Deed::HoldByJob, "hold by job"),
    (Deed::ReleaseByJob, "release by job"),
    (Deed::CancelJob, "cancel a job"),
    (Deed::Pause, "pause"),
    (Deed::Resume, "resume"),
];

/// Commands that were carried out, and those that weren't, as a server was down or had nothing to do.
pub(crate) type Told = BTreeMap<String, (usize, usize)>;

/// Does one thing after the other until told to stop. What comes in which order, the seed says.
pub(crate) async fn run(world: Arc<World>, seed: u64, stop: CancellationToken) -> Told {
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = Told::new();
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        let (deed, name) = DEEDS[random.random_range(0..DEEDS.len())];
        let versions = world.operators_versions();
        let is_done = carry_out(&world, deed, versions[random.random_range(0..versions.len())]).await;
        let (done, not_done) = told.entry(name.to_owned()).or_default();
        *if is_done { done } else { not_done } += 1;
    }
    told
}

async fn carry_out(world: &World, deed: Deed, version: Version) -> bool {
    let rejected = REJECTED_PRODUCT.to_string();
    let all = ["--product", "1", "--state", "pending", "--rate", "300", "--detach"];
    let words: Vec<&str> = match deed {
        Deed::Cancel => vec!["cancel"],
        Deed::Hold => vec!["hold", "--for", "2s"],
        Deed::Release => vec!["release"],
        Deed::CancelByJob => {
            vec!["cancel", "--product", &rejected, "--state", "pending", "--state", "processing", "--detach"]
        }
        Deed::HoldByJob => [&["hold", "--for", "2s"], &all[..]].concat(),
        Deed::ReleaseByJob => [&["release"], &all[..]].concat(),
        Deed::CancelJob => vec!["jobs", "cancel"],
        Deed::Pause => vec!["pause", "--for", "1s"],
        Deed::Resume => vec!["resume"],
    };
    let of = match deed {
        Deed::Cancel | Deed::Hold => {
            "SELECT id::text FROM orders WHERE status IN ('pending', 'processing') ORDER BY id DESC"
        }
        Deed::Release => "SELECT order_id::text FROM fulfillment.holds WHERE until > now() ORDER BY order_id DESC",
        Deed::CancelJob => "SELECT id::text FROM fulfillment.jobs WHERE ended_at IS NULL",
        _ => return command(world, version, &words, &[]).await,
    };
    let most = if matches!(deed, Deed::CancelJob) { 1 } else { ORDERS };
    let Ok(rows) = world.query(&format!("{of} LIMIT {most}")).await else { return false };
    let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    !ids.is_empty() && command(world, version, &words, &ids).await
}

/// Past the links, as it is the workers that are disturbed; a server that is down is waited for as little as it goes.
async fn command(world: &World, version: Version, words: &[&str], ids: &[String]) -> bool {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let servers = ["--queue", &world.redis_url, "--store", &world.postgres_url, "--wait", "1s"];
    let mut command =
        binary_of(version, &[words, &ids, &servers, &["--actor", "ann", "--why", "as the plan has it"]].concat());
    command.envs(&world.start.environment);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    output.expect("the binary starts").status.success()
}

/// Waits until what was decided is carried out, and nothing is in force any more: holds end by themselves.
pub(crate) async fn until_all_is_carried_out(world: &World, verdict: &mut Verdict) {
    let began = Instant::now();
    loop {
        let mut left = Vec::new();
        for sql in [OPEN_JOBS, IN_FORCE] {
            match world.query(sql).await {
                Ok(rows) => left.push(rows[0].get::<_, i64>(0)),
                Err(_) => left.push(i64::MAX),
            }
        }
        if left.iter().all(|left| *left == 0) {
            return;
        }
        if began.elapsed() > LONG {
            verdict.violation("every job comes to an end, and every pause", format!("{left:?} are left"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
