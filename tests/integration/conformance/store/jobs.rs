//! Bulk work of operators: who has a job, how far it has come, and that each thing is decided about once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::event::Observers;
use fulfillment_worker::operations::jobs::{JobBackends, JobRunner, count, make};
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, Decision};
use fulfillment_worker::port::decisions::{Decided, HoldEnd, Ruling};
use fulfillment_worker::port::jobs::{Job, Made, NewJob, Next, Outcome, Progress, Task};
use fulfillment_worker::port::queue::{Producer, QueueError};
use fulfillment_worker::port::search::OrderFilter;
use tokio_util::sync::CancellationToken;

use super::{LEASE, StoreFixture, Worker, conclude, conclusion, failed, is_done, pending_orders, start};

const LONG: Duration = Duration::from_secs(3_600);

/// Keeps what is pushed.
#[derive(Default)]
pub(crate) struct Pushed(Mutex<Vec<Vec<u8>>>);

#[async_trait]
impl Producer for Pushed {
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        self.0.lock().unwrap().extend_from_slice(payloads);
        Ok(())
    }
}

pub(crate) fn backends(worker: &Worker, queue: &Arc<Pushed>) -> JobBackends {
    let store = &worker.store;
    JobBackends {
        queue: queue.clone(),
        jobs: store.clone(),
        dead_letters: store.clone(),
        decisions: store.clone(),
        search: store.clone(),
        reports: store.clone(),
    }
}

pub(super) fn by(who: &str) -> Decision {
    Decision { by: who.to_owned(), reason: "after the outage".to_owned() }
}

fn pending() -> OrderFilter {
    OrderFilter { states: vec![State::Pending], ..OrderFilter::default() }
}

fn letters() -> DeadLetterFilter {
    DeadLetterFilter { resolved: Some(false), ..DeadLetterFilter::default() }
}

fn new(task: Task) -> NewJob {
    NewJob { task, decision: by("ann"), up_to: 9, matching: 3, rate: Some(7) }
}

fn made(made: Made) -> Job {
    match made {
        Made::New(job) => job,
        Made::Open(job) => panic!("job {} is open", job.id),
    }
}

/// Counts what a task is about and makes a job of it, as `ann`.
pub(super) async fn make_job(worker: &Worker, task: Task) -> Job {
    let backends = backends(worker, &Arc::default());
    let counted = count(&backends, &task, LONG).await.unwrap();
    made(make(&*worker.store, task, by("ann"), &counted, None).await.unwrap())
}

/// Works a job off.
pub(super) async fn work_off(worker: &Worker, queue: &Arc<Pushed>, id: i64) -> Job {
    let backends = backends(worker, queue);
    let stop = CancellationToken::new();
    let runner = JobRunner { backends, observers: Observers::default(), lease: LEASE, stop };
    let job = runner.carry_through(id, |_| ()).await.unwrap().unwrap();
    assert_eq!(job.ended.map(|(outcome, _)| outcome), Some(Outcome::Done), "{job:?}");
    job
}

/// Takes a job as a worker that dies with these ids in hand.
async fn die_with(worker: &Worker, id: i64, page: &[i64]) -> Job {
    let job = worker.store.claim_job(Some(id), LONG).await.unwrap().unwrap();
    let progress = Progress { page: page.to_vec(), ..job.progress.clone() };
    assert!(worker.store.advance_job(id, &progress, Next::Keep(Duration::ZERO)).await.unwrap());
    job
}

fn counts(job: &Job) -> [u64; 3] {
    [job.progress.done, job.progress.skipped, job.progress.refused]
}

/// The notes in an order's timeline.
async fn notes(worker: &Worker, order_id: OrderId) -> Vec<String> {
    let entries = worker.store.timeline(order_id).await.unwrap();
    entries.into_iter().filter_map(|entry| entry.note).collect()
}

/// Fails orders, and returns their letters.
async fn fail(worker: &Worker, order_ids: &[OrderId]) -> Vec<i64> {
    for &order_id in order_ids {
        let (_, fence) = start(worker, order_id).await;
        let end = conclusion(order_id, fence, failed(&format!("claim of {order_id}")));
        assert!(is_done(&conclude(worker, end).await));
    }
    let letters = worker.store.list(&letters(), 0, 1_000).await.unwrap();
    assert_eq!(letters.len(), order_ids.len());
    letters.iter().map(|letter| letter.id).collect()
}

pub(crate) async fn a_job_is_kept_as_it_was_made_and_is_in_the_activity<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    assert_eq!((worker.store.open_jobs().await.unwrap(), worker.store.jobs(9).await.unwrap()), (0, Vec::new()));
    let task = Task::Hold(pending(), HoldEnd::After(Duration::from_secs(90)));
    let job = made(worker.store.make_job(&new(task.clone())).await.unwrap());
    assert_eq!(
        (job.task().unwrap(), &job.decision, job.up_to, job.matching, job.rate),
        (task, &by("ann"), 9, 3, Some(7))
    );
    assert_eq!((&job.progress, job.left, job.ended), (&Progress::default(), None, None));
    assert_eq!(worker.store.open_jobs().await.unwrap(), 1);
    let kept = worker.store.job(job.id).await.unwrap().unwrap();
    assert_eq!((kept.selection, kept.at), (job.selection, job.at));
    assert_eq!(worker.store.job(job.id + 1).await.unwrap(), None);
    let activity = worker.store.activity(i64::MAX, 9).await.unwrap().remove(0);
    assert_eq!((&*activity.action, &activity.decision), ("hold", &by("ann")));
    assert!(activity.detail.starts_with(&format!("job {}: 3 of {{", job.id)), "{}", activity.detail);
}

pub(crate) async fn two_operators_with_one_selection_make_one_job_until_it_has_ended<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let job = new(Task::Cancel(pending()));
    let (ann, bob) = tokio::join!(one.store.make_job(&job), other.store.make_job(&job));
    let ids = match (ann.unwrap(), bob.unwrap()) {
        (Made::New(new), Made::Open(open)) | (Made::Open(open), Made::New(new)) => (new.id, open.id),
        answers => panic!("{answers:?}"),
    };
    assert_eq!(ids.0, ids.1);
    made(one.store.make_job(&new(Task::Release(pending()))).await.unwrap());
    assert!(other.store.cancel_job(ids.0, &by("bob")).await.unwrap());
    assert_ne!(made(other.store.make_job(&job).await.unwrap()).id, ids.0);
    let made_so_far: Vec<String> = one.store.jobs(9).await.unwrap().into_iter().map(|job| job.kind).collect();
    assert_eq!(made_so_far, ["cancel", "release", "cancel"]);
}

pub(crate) async fn a_job_is_one_workers_until_its_lease_is_over_and_the_old_one_writes_nothing_more<
    F: StoreFixture,
>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let id = made(one.store.make_job(&new(Task::Cancel(pending()))).await.unwrap()).id;
    let job = one.store.claim_job(None, LONG).await.unwrap().unwrap();
    assert_eq!((job.id, &*job.holder, job.left.is_some()), (id, one.id.as_str(), true));
    assert_eq!(other.store.claim_job(None, LONG).await.unwrap(), None);
    assert_eq!(other.store.claim_job(Some(id), LONG).await.unwrap(), None);
    let progress =
        Progress { cursor: Some(7), page: vec![6, 4], done: 3, skipped: 2, refused: 1, problem: Some("x".to_owned()) };
    assert!(!other.store.advance_job(id, &progress, Next::Keep(LONG)).await.unwrap());
    assert!(one.store.advance_job(id, &progress, Next::Keep(LONG)).await.unwrap());
    assert!(one.store.advance_job(id, &progress, Next::Keep(Duration::ZERO)).await.unwrap(), "it may be repeated");
    let taken = other.store.claim_job(None, LONG).await.unwrap().unwrap();
    assert_eq!((&*taken.holder, &taken.progress), (other.id.as_str(), &progress));
    assert!(!one.store.advance_job(id, &Progress::default(), Next::End(Outcome::Done)).await.unwrap());
    assert!(other.store.advance_job(id, &progress, Next::Leave(LONG)).await.unwrap());
    assert_eq!(other.store.claim_job(None, LONG).await.unwrap(), None, "it rests");
    assert_eq!(one.store.job(id).await.unwrap().unwrap().left, None);
}

pub(crate) async fn a_cancelled_job_is_nobodys_and_both_are_in_the_activity<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let id = made(worker.store.make_job(&new(Task::Cancel(pending()))).await.unwrap()).id;
    worker.store.claim_job(None, LONG).await.unwrap().unwrap();
    assert!(worker.store.cancel_job(id, &by("bob")).await.unwrap());
    assert!(!worker.store.cancel_job(id, &by("bob")).await.unwrap());
    assert!(!worker.store.cancel_job(id + 1, &by("bob")).await.unwrap());
    assert!(!worker.store.advance_job(id, &Progress::default(), Next::Keep(LONG)).await.unwrap());
    assert_eq!(worker.store.claim_job(Some(id), LONG).await.unwrap(), None);
    assert_eq!(worker.store.open_jobs().await.unwrap(), 0);
    let ended = worker.store.job(id).await.unwrap().unwrap().ended;
    assert_eq!(ended.map(|(outcome, _)| outcome), Some(Outcome::Cancelled));
    let activity = worker.store.activity(i64::MAX, 9).await.unwrap();
    let actions: Vec<(&str, &str)> = activity.iter().map(|each| (&*each.action, &*each.decision.by)).collect();
    assert_eq!(actions, [("cancel_job", "bob"), ("cancel", "ann")]);
}

pub(crate) async fn letters_are_retried_once_each_when_whoever_did_it_died_before_the_push<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (dead, worker) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let order_ids = pending_orders(&fixture, 250).await;
    let letter_ids = fail(&worker, &order_ids).await;
    let job = make_job(&worker, Task::DeadRetry(letters().into())).await;
    assert_eq!((job.matching, job.up_to), (250, letter_ids[249]));
    let job = die_with(&dead, job.id, &letter_ids[..100]).await;
    dead.store.redrive(&letter_ids[..60], &job.stamped()).await.unwrap();
    // One that a worker has begun by its old message is not pushed again, and counts as retried all the same.
    start(&worker, order_ids[0]).await;
    let queue = Arc::new(Pushed::default());
    let job = work_off(&worker, &queue, job.id).await;
    assert_eq!(counts(&job), [250, 0, 0]);
    assert_eq!(queue.0.lock().unwrap().len(), 249);
    for &order_id in &order_ids {
        let notes = notes(&worker, order_id).await;
        let redriven = format!("redriven by ann: after the outage (job {})", job.id);
        assert_eq!(notes.iter().filter(|note| **note == redriven).count(), 1, "{notes:?}");
    }
    assert_eq!(worker.store.count(&letters()).await.unwrap().letters, 0);
}

pub(crate) async fn letters_are_discarded_once_each_and_those_that_came_later_are_left_alone<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (dead, worker) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let letter_ids = fail(&worker, &pending_orders(&fixture, 3).await).await;
    let job = make_job(&worker, Task::DeadDiscard(letters().into())).await;
    let later = pending_orders(&fixture, 1).await[0];
    let (_, fence) = start(&worker, later).await;
    assert!(is_done(&conclude(&worker, conclusion(later, fence, failed("later"))).await));
    let job = die_with(&dead, job.id, &letter_ids).await;
    let discarded = fulfillment_worker::domain::dead_letter::Resolution::Discarded;
    dead.store.resolve(&letter_ids[..1], discarded, &job.stamped()).await.unwrap();
    dead.store.resolve(&letter_ids[1..2], discarded, &by("bob")).await.unwrap();
    let job = work_off(&worker, &Arc::default(), job.id).await;
    assert_eq!(counts(&job), [2, 1, 0]);
    assert_eq!(worker.store.count(&letters()).await.unwrap().letters, 1);
}

pub(crate) async fn orders_are_held_once_each_when_whoever_did_it_died_half_way<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (dead, worker) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let order_ids = pending_orders(&fixture, 150).await;
    let job = make_job(&worker, Task::Hold(pending(), HoldEnd::Never)).await;
    assert_eq!((job.matching, job.up_to), (150, order_ids[149].0));
    let later = pending_orders(&fixture, 1).await[0];
    let newest: Vec<i64> = order_ids.iter().rev().take(100).map(|id| id.0).collect();
    let job = die_with(&dead, job.id, &newest).await;
    let half: Vec<OrderId> = newest[..50].iter().copied().map(OrderId).collect();
    let ruling = Ruling { decision: job.stamped(), dry_run: false };
    dead.store.hold(&half, HoldEnd::Never, &ruling).await.unwrap();
    let job = work_off(&worker, &Arc::default(), job.id).await;
    assert_eq!(counts(&job), [150, 0, 0]);
    for &order_id in &order_ids {
        let held = format!("held by ann: after the outage (job {})", job.id);
        assert_eq!(notes(&worker, order_id).await, [held]);
    }
    assert_eq!(notes(&worker, later).await, [""; 0]);
}

/// Caught, when seeded: a repeated page that takes every decision it finds for its own.
pub(crate) async fn a_repeated_page_counts_what_its_own_job_has_decided_alone<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (dead, worker) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let order_ids = pending_orders(&fixture, 3).await;
    let page: Vec<i64> = order_ids.iter().rev().map(|id| id.0).collect();
    let bobs = Ruling { decision: by("bob"), dry_run: false };
    worker.store.hold(&order_ids, HoldEnd::Never, &bobs).await.unwrap();
    for task in [Task::Release(pending()), Task::Cancel(pending())] {
        let is_release = matches!(task, Task::Release(_));
        let job = make_job(&worker, task).await;
        let job = die_with(&dead, job.id, &page).await;
        let ours = Ruling { decision: job.stamped(), dry_run: false };
        for (order_ids, ruling) in [(&order_ids[..1], &ours), (&order_ids[1..2], &bobs)] {
            let decided = if is_release {
                dead.store.release(order_ids, ruling).await
            } else {
                dead.store.cancel(order_ids, ruling).await
            };
            assert!(matches!(decided.unwrap()[..], [Decided::Done(_)]));
        }
        assert_eq!(counts(&work_off(&worker, &Arc::default(), job.id).await), [2, 1, 0]);
    }
}

pub(crate) async fn orders_are_cancelled_and_released_in_bulk_with_a_message_for_each<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let order_ids = pending_orders(&fixture, 120).await;
    let ruling = Ruling { decision: by("bob"), dry_run: false };
    worker.store.hold(&order_ids[..110], HoldEnd::Never, &ruling).await.unwrap();
    let queue = Arc::new(Pushed::default());
    let job = make_job(&worker, Task::Release(pending())).await;
    assert_eq!(counts(&work_off(&worker, &queue, job.id).await), [110, 10, 0]);
    assert_eq!(queue.0.lock().unwrap().len(), 110);
    let job = make_job(&worker, Task::Cancel(pending())).await;
    assert_eq!(counts(&work_off(&worker, &queue, job.id).await), [120, 0, 0]);
    for &order_id in &order_ids {
        assert_eq!(fixture.row(order_id).await.status, "cancelled");
    }
    let none = count(&backends(&worker, &queue), &Task::Cancel(pending()), LONG).await.unwrap();
    assert_eq!((none.matching, none.up_to, none.is_partial), (0, 0, false));
}

pub(crate) async fn a_rate_spreads_a_job_and_a_stop_leaves_it_to_others_at_once<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let (one, other) = (fixture.worker(LEASE).await, fixture.worker(LEASE).await);
    let order_ids = pending_orders(&fixture, 30).await;
    let job = NewJob { up_to: order_ids[29].0, rate: Some(10), ..new(Task::Cancel(pending())) };
    let id = made(one.store.make_job(&job).await.unwrap()).id;
    let stop = CancellationToken::new();
    let runner = JobRunner {
        backends: backends(&one, &Arc::default()),
        observers: Observers::default(),
        lease: LONG,
        stop: stop.clone(),
    };
    let began = std::time::Instant::now();
    let five_done = |job: &Job| {
        if job.progress.done >= 5 {
            stop.cancel();
        }
    };
    let left = runner.carry_through(id, five_done).await.unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400), "five at ten a second: {:?}", began.elapsed());
    assert_eq!((left.ended, left.left, counts(&left)[0]), (None, None, 5));
    let taken = other.store.claim_job(Some(id), LONG).await.unwrap().unwrap();
    assert_eq!(taken.progress.cursor, Some(order_ids[25].0));
}
