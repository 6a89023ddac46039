//! What operators do in a case: the commands before and after the failpoint, and what must have come of them.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::Duration;

use fulfillment_worker::testing::failpoint::{Side, Step, VARIABLE};
use jiff::Timestamp;

use crate::matrix::cases::{Case, Setting};
use crate::matrix::ground::{Ground, JobRow, message_with_time, product};
use crate::matrix::run::{at_the_failpoint, behaviour, end, ended, settle, start};
use crate::support::evidence::Evidence;
use crate::support::promises::Findings;
use crate::support::worker::binary;
use crate::support::{LONG, eventually, expect_equal};

/// Two orders a page.
const RATE: [&str; 2] = ["--rate", "20"];
/// Longer than a case takes until its job has decided about everything. Held messages come back when it is over.
const HOLD_FOR: &str = "15s";
/// How far ahead the time lies that a message names.
const AHEAD: Duration = Duration::from_secs(3);
/// How long the fleet stays paused.
const PAUSED: Duration = Duration::from_millis(1_500);

/// An operator's command, and the failpoint of its process.
fn command(ground: &impl Ground, mutant: Option<&str>, words: &[&str], failpoint: Option<&str>) -> Output {
    let (queue, store) = ground.targets();
    let mut command = binary(&[words, &["--queue", &queue, "--store", &store]].concat());
    command.envs(mutant.map(|mutant| ("FULFILLMENT_MUTANT", mutant)));
    command.envs(failpoint.map(|place| (VARIABLE, place)));
    command.output().expect("the binary starts")
}

fn operate(ground: &impl Ground, mutant: Option<&str>, words: &[&str]) {
    let author = ["--actor", "ann", "--why", "as the case has it", "--wait", "60s"];
    let output = command(ground, mutant, &[words, &author].concat(), None);
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// Leaves a job to the worker with the failpoint, which finds every order as it is now: the fleet is paused until then.
pub(super) fn prepare(case: Case, ground: &impl Ground, mutant: Option<&str>) {
    if !has_job(case) {
        return;
    }
    let output = command(ground, mutant, &["migrate"], None);
    assert!(output.status.success(), "{output:?}");
    operate(ground, mutant, &["pause"]);
    let select = ["--product", "1", "--state", "pending"];
    let made = match case.place.step {
        Step::Hold => vec!["hold", "--for", HOLD_FOR],
        Step::Release => {
            operate(ground, mutant, &[&["hold", "--for", HOLD_FOR], &select[..]].concat());
            vec!["release"]
        }
        _ => vec!["cancel"],
    };
    operate(ground, mutant, &[&made, &select[..], &RATE, &["--detach"]].concat());
}

/// The failpoint is reached: what comes now finds orders in any state.
pub(super) fn resume(case: Case, ground: &impl Ground, mutant: Option<&str>) {
    if has_job(case) {
        operate(ground, mutant, &["resume"]);
    }
}

fn has_job(case: Case) -> bool {
    matches!(case.place.step, Step::ClaimJob | Step::AdvanceJob | Step::Cancel | Step::Hold | Step::Release)
}

/// Has the second order's message name a time.
pub(super) fn name_a_time(ids: &Range<i32>, messages: &mut [String]) -> Timestamp {
    let time = Timestamp::now() + AHEAD;
    let id = ids.start + 1;
    messages[1] = message_with_time(id, product(id, ids), time);
    time
}

/// A message that is lost before its time was noted loses it.
pub(super) fn check_time(case: Case, ids: &Range<i32>, time: Timestamp, seen: &Evidence, findings: &mut Findings) {
    let order = i64::from(ids.start + 1);
    let early = |event: &&crate::support::evidence::Event| {
        event.state == "processing" && event.at_micros < time.as_microsecond()
    };
    let may_be_lost = case.setting == Setting::RedisEmptied && case.place.side == Side::Before;
    if !may_be_lost && seen.timeline(order).iter().any(|event| early(&event)) {
        findings.violation("no order is begun before the time that its message names", seen.story(order));
    }
}

/// Each job has come to its end, has decided once about what it counts, and counts what it has decided about.
pub(super) fn check_jobs(jobs: &[JobRow], evidence: &Evidence, findings: &mut Findings) {
    for job in jobs {
        let stamp = format!("(job {})", job.id);
        let decided = |order: &i64| {
            let is_its = |note: &&String| note.ends_with(&stamp);
            evidence.timeline(*order).iter().filter_map(|event| event.note.as_ref()).filter(is_its).count()
        };
        let counts: Vec<usize> = evidence.rows.keys().map(decided).filter(|count| *count > 0).collect();
        if counts.iter().any(|count| *count > 1) {
            findings.violation("a job decides about an order once", format!("{job:?}: {counts:?}"));
        }
        if job.outcome.as_deref() != Some("done") || job.done != counts.len() as i64 {
            findings.violation("a job counts what it has done", format!("{job:?}: {counts:?}"));
        }
        if job.done + job.skipped + job.refused > job.matching {
            findings.violation("a job counts each order once", format!("{job:?}"));
        }
    }
}

/// An operator's `pause` dies at its write; another one makes up for it, and later resumes.
pub(super) async fn run(case: Case, ids: Range<i32>, ground: &mut impl Ground, mutant: Option<&str>) -> Vec<String> {
    let mut worker = start(case, ground, mutant, &[]);
    worker.wait_until_ready().await;
    let place = case.place.to_string();
    let words = ["pause", "--why", "as the case has it", "--actor", "ann"];
    let killed = command(ground, mutant, &words, Some(&place));
    assert_eq!(killed.status.signal(), Some(9), "not killed by its failpoint: {killed:?}");
    let held = at_the_failpoint(&None, ground).await;
    ground.disturb(case.setting).await;
    let mut other = start(case, ground, mutant, &[]);
    other.wait_until_ready().await;
    operate(ground, mutant, &["pause"]);
    // What was claimed before is finished, however long the store was away.
    for worker in [&worker, &other] {
        eventually(LONG, "nothing is in hand", async || {
            expect_equal(worker.metrics().value("fulfillment_orders_in_flight"), 0.0)
        })
        .await;
    }
    let from = Timestamp::now().as_microsecond();
    tokio::time::sleep(PAUSED).await;
    ground.warehouse().behave(&behaviour(None));
    let until = Timestamp::now().as_microsecond();
    operate(ground, mutant, &["resume"]);
    let mut workers = vec![worker, other];
    let mut findings = settle(case, &held, &ids, ground, &mut workers).await;
    let evidence = ground.evidence(Vec::new()).await.expect("rows, as nothing is wrong any more");
    for (&order, timeline) in &evidence.timelines {
        if timeline.iter().any(|event| event.state == "processing" && (from..until).contains(&event.at_micros)) {
            findings.violation("nothing is begun while the fleet is paused", evidence.story(order));
        }
    }
    end(&mut workers);
    ended(workers, &mut findings).await;
    findings.violations()
}
