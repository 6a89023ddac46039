//! One case, from placing its orders to checking what became of them.

use std::collections::HashSet;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use fulfillment_worker::testing::failpoint::{Action, GATE_VARIABLE, PASSED, REACHED, Step, VARIABLE};
use serde_json::{Value, json};

use crate::matrix::cases::{Case, Setting};
use crate::matrix::ground::{Ground, RECORD, messages};
use crate::matrix::operators;
use crate::support::evidence::{REJECTED_PRODUCT, Row};
use crate::support::process::Signal;
use crate::support::promises::{Findings, identity, plausible};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

/// As short as it goes.
const LEASE: Duration = Duration::from_millis(1_500);
/// How long a worker is held up at least: well over the lease, and the reconciler's lead.
const HELD_UP: Duration = Duration::from_millis(2_200);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A worker looks at the queue's depth every 2 s.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// Attempts are lost to every fault, so that the usual five would say something about luck.
const WORKER: [&str; 18] = [
    "--lease",
    "1500ms",
    "--call-timeout",
    "1400ms",
    "--retry-base",
    "100ms",
    "--retry-cap",
    "500ms",
    "--max-attempts",
    "1000",
    "--fulfiller-retry-budget",
    "0.5",
    "--reconcile-grace",
    "1s",
    "--drain-timeout",
    "5s",
    "--wait",
    "60s",
];

/// A worker that has nothing to do comes by whatever it does then within less.
const REACHED_IDLE: Duration = Duration::from_secs(15);

/// Carries out a case on a ground. Returns what is not as promised; `None` if everything came to its end without a worker at the
/// failpoint, as a machine that stands still may have it.
pub(crate) async fn run(
    case: Case,
    ids: Range<i32>,
    ground: &mut impl Ground,
    mutant: Option<&str>,
) -> Option<Vec<String>> {
    let mut messages = messages(&ids, case.reconciles());
    let time = case.names_a_time().then(|| operators::name_a_time(&ids, &mut messages));
    ground.place(ids.clone(), messages).await;
    ground.warehouse().behave(&behaviour(Some(case.place.step)));
    if case.is_a_commands() {
        return Some(operators::run(case, ids, ground, mutant).await);
    }
    operators::prepare(case, ground, mutant);
    let gate = tempfile::tempdir().expect("a folder for the gate");
    let path = gate.path().join("open");
    let (name, path_text) = (case.place.to_string(), path.display().to_string());
    let mut failing = start(case, ground, mutant, &[(VARIABLE, &name), (GATE_VARIABLE, &path_text)]);
    if case.drains() {
        drain(&mut failing, ground).await;
    }
    if !is_reached(&mut failing, ground).await {
        return None;
    }
    takes_effect(&mut failing, case.place.action).await;
    ground.warehouse().behave(&behaviour(None));
    let held = at_the_failpoint(&identity(&failing), ground).await;

    ground.disturb(case.setting).await;
    operators::resume(case, ground, mutant);
    let open = || std::fs::write(&path, "").expect("a file that opens the gate");
    if case.place.action == Action::Error {
        open();
    }
    let other = start(case, ground, mutant, &[]);
    let mut overbooked = None;
    if matches!(case.place.action, Action::Stop | Action::Delay) {
        let look_at_calls = || {
            if case.is_about_places() && case.place.action == Action::Delay {
                overbooked = overbooked.take().or_else(|| calls_beyond_places(&failing));
            }
        };
        until_held_up(case.place.action, &held, &other, ground, look_at_calls).await;
        failing.signal(Signal::Continue);
        open();
    }
    let mut workers = vec![other];
    if case.place.action != Action::Kill {
        told(&mut failing, PASSED).await;
        workers.push(failing);
    }
    let drained = if case.drains() { workers.split_off(1) } else { Vec::new() };

    let mut findings = settle(case, &held, &ids, ground, &mut workers).await;
    if let Some(seen) = overbooked {
        findings.violation("no more calls are under way than there are places", seen);
    }
    if let Some(time) = time {
        let evidence = ground.evidence(Vec::new()).await.expect("rows, as nothing is wrong any more");
        operators::check_time(case, &ids, time, &evidence, &mut findings);
    }
    if case.is_about_places() && case.place.action != Action::Kill && findings.violations().is_empty() {
        let survivor = workers.split_off(1);
        end(&mut workers);
        ended(workers, &mut findings).await;
        if let Some(left) = unfinished_at_last(ids.end, ground).await {
            findings.violation("a worker that is the only one left has places for what comes", left);
        }
        workers = survivor;
    }
    end(&mut workers);
    workers.extend(drained);
    ended(workers, &mut findings).await;
    Some(findings.violations())
}

pub(super) fn end(workers: &mut [WorkerProcess]) {
    workers.iter_mut().for_each(|worker| worker.signal(Signal::Term));
}

/// Waits until workers that were told so have ended.
pub(super) async fn ended(workers: Vec<WorkerProcess>, findings: &mut Findings) {
    for mut worker in workers {
        let status = worker.ended(LONG).await;
        if status.code() != Some(0) {
            findings.violation("a drain ends with exit code 0", status.to_string());
        }
    }
}

/// Says how many calls are under way, if that is more than there are places.
fn calls_beyond_places(worker: &WorkerProcess) -> Option<String> {
    let metrics = worker.metrics();
    let calls = metrics.value(r#"fulfillment_dependency_calls_under_way{dependency="fulfiller"}"#);
    let places = metrics.value("fulfillment_call_places");
    (calls > places).then(|| format!("{calls} calls with {places} places"))
}

/// Places one more order, and says what is left of it in the end, if anything is.
async fn unfinished_at_last(id: i32, ground: &mut impl Ground) -> Option<String> {
    ground.add(id).await;
    let began = Instant::now();
    loop {
        let left = is_unfinished(false, ground).await;
        if left.is_none() || began.elapsed() > LONG {
            return left;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What there was when everything stood still.
pub(super) struct Held {
    since: Instant,
    /// Orders that the worker at its failpoint had taken into work.
    orders: HashSet<i64>,
    poison_kept: bool,
}

/// The warehouse as it is until a step is reached, and as it is afterwards.
pub(super) fn behaviour(until: Option<Step>) -> Value {
    let retries = matches!(until, Some(Step::RetryRow | Step::RetryMessage));
    let latency = match until {
        // A call that is renewed takes longer than a lease, and one whose message is put back comes to no end.
        Some(Step::RenewRow | Step::RenewMessage | Step::HandBack) => "3s..3s",
        _ => "300ms..700ms",
    };
    json!({
        "reject_products": [REJECTED_PRODUCT],
        "latency": latency,
        // Not taken, and no fault of the warehouse: the order is to be tried again.
        "errors": if retries { 1.0 } else { 0.2 },
        "error_status": 408,
    })
}

pub(super) fn start(
    case: Case,
    ground: &impl Ground,
    mutant: Option<&str>,
    environment: &[(&str, &str)],
) -> WorkerProcess {
    let (queue, store) = ground.targets();
    let fulfiller = format!("http://{}/shipments", ground.warehouse().address());
    let reconcile = if case.reconciles() { "500ms" } else { "0s" };
    let to_list = if case.drains() { "on" } else { "off" };
    let places: &[&str] = if case.is_about_places() { &["--concurrency", "1"] } else { &["--concurrency", "64"] };
    let own = ["--fulfiller", &fulfiller, "--reconcile-interval", reconcile, "--drain-to-list", to_list];
    let asked: &[&str] =
        if case.loses_before_first_start() { &["--reconcile-from", "2020-01-01T00:00:00Z"] } else { &[] };
    let options: Vec<&str> = own.into_iter().chain(WORKER).chain(asked.iter().chain(places).copied()).collect();
    let mut environment = environment.to_vec();
    environment.extend(mutant.map(|mutant| ("FULFILLMENT_MUTANT", mutant)));
    WorkerProcess::start_with(&queue, &store, &options, &environment)
}

/// Tells a worker to drain once it has orders in hand.
async fn drain(worker: &mut WorkerProcess, ground: &mut impl Ground) {
    eventually(LONG, "the worker has orders in hand", async || {
        let evidence = ground.evidence(Vec::new()).await?;
        let in_hand = evidence.rows.values().any(|row| row.status == "processing");
        if in_hand { Ok(()) } else { Err("nothing is in hand".to_owned()) }
    })
    .await;
    worker.signal(Signal::Term);
}

/// Waits until a worker is at its failpoint. `false` if everything has come to its end and nobody is there.
async fn is_reached(worker: &mut WorkerProcess, ground: &mut impl Ground) -> bool {
    let mut over_since = None;
    eventually(LONG, REACHED, async || {
        if says(worker, REACHED) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let left = is_unfinished(false, ground).await;
        let Some(left) = left else {
            let since = *over_since.get_or_insert_with(Instant::now);
            return if since.elapsed() < REACHED_IDLE { Err("all is over".to_owned()) } else { Ok(false) };
        };
        over_since = None;
        Err(left)
    })
    .await
}

/// Waits until a failpoint has had its effect on the process.
async fn takes_effect(worker: &mut WorkerProcess, action: Action) {
    match action {
        Action::Kill => {
            let status = worker.ended(LONG).await;
            assert_eq!(status.signal(), Some(9), "not killed by its failpoint: {status}");
        }
        Action::Stop => {
            let path = format!("/proc/{}/stat", worker.id());
            eventually(LONG, "the worker is stopped", async || {
                let stat = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
                // The state follows the name, which is in brackets.
                if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')) { Ok(()) } else { Err(stat) }
            })
            .await;
        }
        Action::Error | Action::Delay => {}
    }
}

/// Waits for a line in a worker's log. One that ends without it fails the case.
async fn told(worker: &mut WorkerProcess, line: &str) {
    eventually(LONG, line, async || if says(worker, line) { Ok(()) } else { Err("not in the log") }).await;
}

fn says(worker: &mut WorkerProcess, line: &str) -> bool {
    // In this order, as the line may be the process's last.
    let status = worker.status();
    let says = worker.output().contains(line);
    assert!(says || status.is_none(), "the worker has ended without `{line}`: {status:?}");
    says
}

pub(super) async fn at_the_failpoint(worker: &Option<String>, ground: &mut impl Ground) -> Held {
    let mut held = Held { since: Instant::now(), orders: HashSet::new(), poison_kept: false };
    // There are no tables before they are migrated, and then nothing is in hand either.
    if let Ok(evidence) = ground.evidence(Vec::new()).await {
        let is_in_hand = |id: &&i64| {
            let last = evidence.timeline(**id).last();
            last.is_some_and(|last| last.state == "processing" && Some(&last.worker) == worker.as_ref())
        };
        held.orders = evidence.rows.keys().filter(is_in_hand).copied().collect();
        held.poison_kept = evidence.dead_letters.iter().any(|(_, order)| order.is_none());
    }
    held
}

/// Waits until a lease is well over. A worker that is stopped is then left until another one is in the middle of what it
/// had in hand, so that whatever it does late it does at the worst moment; one that is only held up keeps its leases.
async fn until_held_up(
    action: Action,
    held: &Held,
    other: &WorkerProcess,
    ground: &mut impl Ground,
    mut look: impl FnMut(),
) {
    eventually(LONG, "the lease is over, and the other worker has taken over", async || {
        tokio::time::sleep(LOOK_EVERY).await;
        look();
        let elapsed = held.since.elapsed();
        if elapsed < LEASE || (action == Action::Delay && elapsed < HELD_UP) {
            return Err("the lease may not be over".to_owned());
        }
        let evidence = ground.evidence(Vec::new()).await?;
        let other = identity(other);
        let is_at_work = |id: &i64| {
            let last = evidence.timeline(*id).last();
            last.is_some_and(|last| Some(&last.worker) == other.as_ref())
        };
        let taken_over = if held.orders.is_empty() {
            evidence.rows.keys().any(is_at_work)
        } else {
            held.orders.iter().any(is_at_work)
        };
        let is_over = taken_over || action == Action::Delay || !evidence.rows.iter().any(is_open);
        if is_over { Ok(()) } else { Err("nothing is taken over".to_owned()) }
    })
    .await;
}

fn is_open((_, row): (&i64, &Row)) -> bool {
    !["fulfilled", "failed", "cancelled"].contains(&row.status.as_str())
}

/// Waits until nothing is left to do, and checks everything.
pub(super) async fn settle(
    case: Case,
    held: &Held,
    ids: &Range<i32>,
    ground: &mut impl Ground,
    workers: &mut [WorkerProcess],
) -> Findings {
    // A Redis that comes back empty has lost what nobody had written down elsewhere; rows are found again, and poison
    // has none.
    let keeps_poison = case.setting != Setting::RedisEmptied || held.poison_kept;
    let began = Instant::now();
    let mut left = None;
    while began.elapsed() < LONG {
        left = is_unfinished(keeps_poison, ground).await;
        if left.is_none() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let evidence = ground.evidence(calls(ids, ground)).await.expect("rows, as nothing is wrong any more");
    let mut findings = Findings::of(&evidence);
    operators::check_jobs(&ground.jobs().await.expect("jobs, as nothing is wrong any more"), &evidence, &mut findings);
    if let Some(left) = left {
        findings.violation("everything comes to an end, and leaves nothing behind", left);
    }
    if evidence.rows.len() != ids.len() {
        findings.violation("rows are neither made nor removed", format!("{} of {}", evidence.rows.len(), ids.len()));
    }
    let least = usize::from(keeps_poison);
    if !(least..=1).contains(&findings.poison_kept) {
        let seen = format!("{} letters, at least {least}", findings.poison_kept);
        findings.violation("poison is kept, once", seen);
    }
    for worker in workers {
        if let Some(status) = worker.status() {
            findings.violation("a worker works until it is told to stop", status.to_string());
            continue;
        }
        let began = Instant::now();
        while let Err(seen) = plausible(worker, &evidence) {
            if began.elapsed() > TOLD_WITHIN {
                findings.violation("metrics agree with the rows", seen);
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    findings
}

/// What is still to be waited for.
async fn is_unfinished(keeps_poison: bool, ground: &mut impl Ground) -> Option<String> {
    let evidence = match ground.evidence(Vec::new()).await {
        Ok(evidence) => evidence,
        Err(error) => return Some(error),
    };
    if let Some((id, _)) = evidence.rows.iter().find(|&row| is_open(row)) {
        return Some(evidence.story(*id));
    }
    if keeps_poison && evidence.dead_letters.iter().all(|(_, order)| order.is_some()) {
        return Some("the poison is not kept".to_owned());
    }
    match ground.jobs().await {
        Err(error) => return Some(error),
        Ok(jobs) if jobs.iter().any(|job| job.outcome.is_none()) => return Some(format!("{jobs:?}")),
        Ok(_) => {}
    }
    ground.queue_is_empty().err()
}

/// The calls of this case: a worker that was killed may have left some to the case before.
fn calls(ids: &Range<i32>, ground: &impl Ground) -> Vec<Value> {
    let of_this =
        |call: &Value| call["order_id"].as_i64().is_none_or(|id| ids.contains(&i32::try_from(id).unwrap_or(0)));
    ground.warehouse().record(RECORD).into_iter().filter(of_this).collect()
}
