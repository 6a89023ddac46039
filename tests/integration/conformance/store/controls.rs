//! What operators set, and the registry of workers.

use std::time::Duration;

use fulfillment_worker::port::controls::{Control, InForce, Target, WorkerReport};
use fulfillment_worker::port::dead_letters::Decision;

use super::{LEASE, StoreFixture, Worker};
use crate::support::{LONG, eventually};

const FRESH: Duration = Duration::from_secs(2);

fn entry(in_flight: u64, holds_claims: bool) -> WorkerReport {
    WorkerReport {
        host: "rack-1".to_owned(),
        pid: 4_711,
        version: "1.2.3".to_owned(),
        lease: LEASE,
        in_flight,
        row_leases: in_flight,
        concurrency: 8,
        holds_claims,
    }
}

fn by(who: &str) -> Decision {
    Decision { by: who.to_owned(), reason: format!("as {who} says") }
}

async fn report(worker: &Worker) -> InForce {
    worker.store.report(&entry(0, false), FRESH).await.unwrap()
}

async fn pause(worker: &Worker, target: &Target, lasts: Option<Duration>, who: &str) -> bool {
    worker.store.set(Control::Pause, target, None, lasts, &by(who)).await.unwrap()
}

fn own(worker: &Worker) -> Target {
    Target::Worker(worker.id.as_str().to_owned())
}

pub(crate) async fn a_pause_is_in_force_for_every_worker_until_it_is_cleared<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    assert_eq!(report(&one).await, InForce::default());
    assert!(pause(&one, &Target::Fleet, None, "ann").await);
    for worker in [&one, &other] {
        let in_force = report(worker).await;
        assert_eq!(in_force.pause().unwrap().decision, by("ann"));
        assert!(in_force.holds_claims() && in_force.quiet().is_none());
    }
    assert!(other.store.clear(Control::Pause, &Target::Fleet, &by("bob")).await.unwrap());
    assert_eq!(report(&one).await, InForce::default());
    assert!(!other.store.clear(Control::Pause, &Target::Fleet, &by("bob")).await.unwrap());
}

pub(crate) async fn one_worker_is_quiet_alone_and_an_unknown_one_is_refused<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    assert!(!pause(&other, &own(&one), None, "ann").await, "it has not reported");
    assert_eq!(other.store.activity(i64::MAX, 9).await.unwrap(), []);
    report(&one).await;
    assert!(pause(&other, &own(&one), None, "ann").await);
    assert!(report(&one).await.quiet().is_some());
    assert_eq!(report(&other).await, InForce::default());
    one.store.leave().await.unwrap();
    assert_eq!(other.store.controls().await.unwrap(), [], "it ended with its worker");
}

pub(crate) async fn the_lowest_limit_is_in_force<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    report(&worker).await;
    for (target, value) in [(Target::Fleet, 5.0), (own(&worker), 7.0)] {
        assert!(worker.store.set(Control::Rate, &target, Some(value), None, &by("ann")).await.unwrap());
    }
    let in_force = report(&worker).await;
    assert_eq!((in_force.limit(Control::Rate), in_force.limit(Control::Concurrency)), (Some(5.0), None));
    assert!(!in_force.holds_claims());
}

pub(crate) async fn a_control_ends_by_the_clock_of_the_store<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert!(pause(&worker, &Target::Fleet, Some(Duration::from_secs(3_600)), "ann").await);
    let left = report(&worker).await.pause().unwrap().left.unwrap();
    assert!(left > Duration::from_secs(3_500) && left <= Duration::from_secs(3_600), "{left:?}");
    assert!(pause(&worker, &Target::Fleet, Some(Duration::from_millis(200)), "ann").await);
    eventually(LONG, "it ends", async || match report(&worker).await.holds_claims() {
        true => Err("in force"),
        false => Ok(()),
    })
    .await;
    assert_eq!(worker.store.controls().await.unwrap(), []);
    assert!(!worker.store.clear(Control::Pause, &Target::Fleet, &by("bob")).await.unwrap());
}

pub(crate) async fn two_operators_pause_once_and_both_are_in_the_activity<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let (ann, bob) = tokio::join!(pause(&one, &Target::Fleet, None, "ann"), pause(&other, &Target::Fleet, None, "bob"));
    assert!(ann && bob);
    assert_eq!(one.store.controls().await.unwrap().len(), 1);
    let decisions = (by("ann"), by("bob"));
    let (ann, bob) = tokio::join!(
        one.store.clear(Control::Pause, &Target::Fleet, &decisions.0),
        other.store.clear(Control::Pause, &Target::Fleet, &decisions.1)
    );
    assert!(ann.unwrap() != bob.unwrap(), "one of them resumed it");
    let activity = one.store.activity(i64::MAX, 9).await.unwrap();
    let actions: Vec<&str> = activity.iter().map(|each| each.action.as_str()).collect();
    assert_eq!(actions, ["resume", "pause", "pause"]);
    let mut who: Vec<&str> = activity[1..].iter().map(|each| each.decision.by.as_str()).collect();
    who.sort_unstable();
    assert_eq!(who, ["ann", "bob"]);
}

pub(crate) async fn what_people_did_comes_newest_first_and_each_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    for number in 1..=5 {
        worker.store.append("cancel", &format!("order {number}"), &by("ann")).await.unwrap();
    }
    let (mut before, mut seen) = (i64::MAX, Vec::new());
    loop {
        let page = worker.store.activity(before, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        before = last.id;
        seen.extend(page);
    }
    let details: Vec<&str> = seen.iter().map(|entry| entry.detail.as_str()).collect();
    assert_eq!(details, ["order 5", "order 4", "order 3", "order 2", "order 1"]);
    assert!(seen.iter().all(|entry| entry.action == "cancel" && entry.target.is_empty()), "{seen:?}");
    assert_eq!(seen[0].decision, by("ann"));
    assert!(seen.windows(2).all(|two| two[0].at >= two[1].at), "{seen:?}");
}

pub(crate) async fn the_registry_has_what_a_worker_last_said_until_it_leaves<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    worker.store.report(&entry(3, false), FRESH).await.unwrap();
    let registry = worker.store.workers().await.unwrap();
    assert_eq!(registry.len(), 1);
    assert_eq!((&*registry[0].worker, &registry[0].last), (worker.id.as_str(), &entry(3, false)));
    assert!(!registry[0].is_dead());
    // Fresh, and the same but for numbers that are never the same.
    worker.store.report(&entry(4, false), Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(worker.store.workers().await.unwrap()[0].last.in_flight, 3);
    worker.store.report(&entry(5, true), Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(worker.store.workers().await.unwrap()[0].last, entry(5, true));
    worker.store.leave().await.unwrap();
    assert_eq!(worker.store.workers().await.unwrap(), []);
}
