//! A soak: orders placed at a steady rate on real servers, workers and a warehouse, while things go wrong by a plan
//! that a seed draws; then everything that is promised is checked from the outside. `make chaos` runs it at full length,
//! docs/RELIABILITY.md says what came of it. Where PREVIOUS_RELEASE names the binary of the release before, as in `make chaos`,
//! half of the workers are of that release at first, and workers are replaced by some of the other one, back and forth.
//!
//! The seed decides which fault comes when and how long it lasts; what it hits is up to the machine.

pub(crate) mod checker;
pub(crate) mod inject;
mod operator;
pub(crate) mod plan;
pub(crate) mod producer;
mod report;
pub(crate) mod rest;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::evidence::Evidence;
use checker::Verdict;
use inject::{Injector, Over};
use plan::Fault;
use producer::{Entry, Producer, Told};
use report::{Report, Spread, Zero};
use world::{LEASE, WORKERS, Workers, World};

/// Faults without rests: a slice that fits into every run of the tests.
const SECONDS: u64 = 21;
/// Orders a second.
const RATE: u64 = 100;

/// Caught, when seeded: a key per attempt, finished orders that are begun again, retries without a lease, no reconciler. A
/// bug that shows at one moment only is met by chance: `tests/integration/mutants` doesn't wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn nothing_is_lost_and_nothing_done_twice_whatever_goes_wrong() {
    let (seed, seconds, rate) = (size("CHAOS_SEED", 1), size("CHAOS_SECONDS", SECONDS), size("CHAOS_RATE", RATE));
    let world = Arc::new(World::start(Workers::of_both_versions()).await);
    let (surprises, surprised) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let rate = u32::try_from(rate).expect("a rate of this world");
    let producer = tokio::spawn(Producer::new(Arc::clone(&world)).run(rate, surprised, stop.clone()));

    let operating = tokio::spawn(operator::run(Arc::clone(&world), seed, stop.clone()));

    let left_out = world.impossible().await;
    let injector = Injector { world: Arc::clone(&world), producer: surprises };
    let (mut faults, mut rests) = (Vec::new(), Vec::new());
    for phase in plan::draw(seed, Duration::from_secs(seconds), &left_out) {
        faults.extend(injector.carry_out(&phase).await);
        rests.push(rest::until_all_are_final(&world).await);
        if rest::is_too_long(rests.last()) {
            break;
        }
    }
    stop.cancel();
    let journal = producer.await.expect("the producer's journal");
    let decisions = operating.await.expect("what the operators did");
    let mut carried_out = Verdict::default();
    operator::until_all_is_carried_out(&world, &mut carried_out).await;
    rests.push(rest::until_all_are_final(&world).await);

    let store = world.connect().await.expect("a connection to Postgres, as nothing is wrong any more");
    let evidence = Evidence::collect(&store, world.warehouse_record().await).await.expect("answers of Postgres");
    let killed = world.killed_workers().clone();
    let mut verdict = Verdict::reach(&evidence, &journal, &killed, &faults);
    rest::check(&world, &evidence, &mut verdict).await;
    let rests = rest::in_time(rests, &mut verdict);
    let mut report = report(seed, seconds, &left_out, &journal, &faults, rests, verdict);
    report.decisions = decisions;
    report.note_versions(&world, &evidence).await;
    report.violations.extend(carried_out.findings.violations());
    println!("{report}");
    if let Ok(path) = std::env::var("CHAOS_JSON") {
        let json = serde_json::to_string_pretty(&report).expect("figures are JSON");
        std::fs::write(&path, json + "\n").unwrap_or_else(|error| panic!("{path} can't be written: {error}"));
    }
    assert!(report.violations.is_empty(), "{} promises were broken; see above", report.violations.len());
}

fn report(
    seed: u64,
    seconds: u64,
    left_out: &[Fault],
    journal: &[Entry],
    faults: &[Over],
    rests: Vec<i64>,
    verdict: Verdict,
) -> Report {
    let told = |of: fn(&Entry) -> Told| {
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for entry in journal {
            *told.entry(format!("{:?}", of(entry)).to_lowercase()).or_default() += entry.requests.clone().count();
        }
        told
    };
    let mut faults_by_kind: BTreeMap<String, usize> = BTreeMap::new();
    for over in faults {
        *faults_by_kind.entry(over.fault.name()).or_default() += 1;
    }
    let findings = verdict.findings;
    let orders = findings.by_status.values().sum();
    let violations = findings.violations();
    Report {
        seed,
        seconds,
        workers: WORKERS,
        lease_seconds: LEASE.as_secs(),
        orders,
        inserted: told(|entry| entry.inserted),
        pushed: told(|entry| entry.pushed),
        faults: faults.len(),
        faults_by_kind,
        left_out: left_out.iter().map(|fault| fault.name()).collect(),
        lost: Zero::new(findings.lost, orders),
        double_in_table: Zero::new(findings.double_in_table, orders),
        double_at_warehouse: Zero::new(findings.double_at_warehouse, findings.keys),
        calls: findings.calls,
        deliveries_per_effect: findings.calls as f64 / findings.effects.max(1) as f64,
        poison_kept: findings.poison_kept,
        first_fulfilment: Spread::new(verdict.first_fulfilments_micros),
        all_final: Spread::new(rests),
        takeover: Spread::new(verdict.undisturbed_takeovers_micros),
        takeover_among_other_faults: Spread::new(verdict.takeovers_micros),
        age: Spread::new(verdict.ages_micros),
        by_status: findings.by_status,
        violations,
        decisions: operator::Told::new(),
        fulfilled_by_version: BTreeMap::new(),
        changes_of_version: BTreeMap::new(),
    }
}

/// A number from the environment, for running at another size.
fn size(variable: &str, unless_set: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a whole number: {text}")),
        Err(_) => unless_set,
    }
}
