//! Dead letters by what their errors have in common.

use std::sync::Arc;

use fulfillment_worker::domain::dead_letter::{DeadReason, Resolution};
use fulfillment_worker::operations::groups::groups;
use fulfillment_worker::operations::jobs::{Counted, count_briefly};
use fulfillment_worker::operations::jobs::{JobRunner, make};
use fulfillment_worker::operations::matching::page;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};
use fulfillment_worker::port::jobs::{Made, Task};
use fulfillment_worker::port::store::DeadLetter;
use tokio_util::sync::CancellationToken;

use super::jobs::{Pushed, backends, by, make_job, work_off};
use super::{LEASE, StoreFixture, Worker, letter};
use crate::support::{LONG, eventually};

const COLOUR: &str = "422: no colour #";

/// Buries a letter with each of these errors, and returns their ids.
async fn bury(worker: &Worker, reason: DeadReason, details: &[String]) -> Vec<i64> {
    let before = worker.store.count(&DeadLetterFilter::default()).await.unwrap().last_id;
    let of = |(at, detail): (usize, &String)| DeadLetter {
        reason,
        detail: detail.clone(),
        ..letter(&format!("claim {at} after {before}"))
    };
    let letters: Vec<DeadLetter> = details.iter().enumerate().map(of).collect();
    worker.store.insert_dead_letters(&letters).await.unwrap();
    let letters =
        worker.store.list_without_messages(&DeadLetterFilter::default(), before, details.len()).await.unwrap();
    letters.iter().map(|letter| letter.id).collect()
}

fn alike(filter: DeadLetterFilter, fingerprint: &str) -> DeadLetterSelection {
    DeadLetterSelection { filter, fingerprint: Some(fingerprint.to_owned()) }
}

fn open() -> DeadLetterFilter {
    DeadLetterFilter { resolved: Some(false), ..DeadLetterFilter::default() }
}

/// Those with a decision, with who decided.
async fn decided(worker: &Worker) -> Vec<(i64, String)> {
    let filter = DeadLetterFilter { resolved: Some(true), ..DeadLetterFilter::default() };
    let letters = worker.store.list_without_messages(&filter, 0, 10_000).await.unwrap();
    letters.into_iter().map(|letter| (letter.id, letter.resolved.unwrap().by)).collect()
}

pub(crate) async fn letters_with_the_same_error_are_found_in_pages_and_counted<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let colours: Vec<String> = (1..=3).map(|colour| format!("422: no colour {colour}")).collect();
    let mut ids = bury(&worker, DeadReason::Rejected, &colours).await;
    // More than are read at once.
    bury(&worker, DeadReason::Rejected, &vec!["503: busy".to_owned(); 2_100]).await;
    ids.extend(bury(&worker, DeadReason::Ambiguous, &colours[..2]).await);

    let selection = alike(open(), COLOUR);
    let (mut found, mut after) = (Vec::new(), Some(0));
    while let Some(behind) = after {
        let page = page(&*worker.store, &selection, behind, 2).await.unwrap();
        assert_eq!((page.matching, page.is_partial), (5, false), "behind {behind}");
        found.push(page.letters.iter().map(|letter| letter.id).collect::<Vec<_>>());
        after = page.next_after;
    }
    assert_eq!(found, [&ids[..2], &ids[2..4], &ids[4..]]);

    let ambiguous = DeadLetterFilter { reasons: vec![DeadReason::Ambiguous], ..open() };
    let page = page(&*worker.store, &alike(ambiguous, COLOUR), 0, 100).await.unwrap();
    assert_eq!((page.matching, page.letters[0].id, page.next_after), (2, ids[3], None));
    let found = groups(&*worker.store, &selection).await.unwrap();
    let counts: Vec<(u64, &str)> =
        found.groups.iter().map(|group| (group.letters, group.fingerprint.as_str())).collect();
    assert_eq!((counts, found.looked), (vec![(3, COLOUR), (2, COLOUR)], 2_105));
    let nothing =
        fulfillment_worker::operations::matching::page(&*worker.store, &alike(open(), "no"), 0, 10).await.unwrap();
    assert_eq!((nothing.matching, nothing.letters.len(), nothing.next_after), (0, 0, None));
}

pub(crate) async fn a_job_decides_about_those_with_the_same_error_and_about_no_other<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let first = bury(&worker, DeadReason::Rejected, &["422: no colour 1".to_owned()]).await;
    bury(&worker, DeadReason::Rejected, &vec!["503: busy".to_owned(); 4_100]).await;
    let last = bury(&worker, DeadReason::Rejected, &["422: no colour 2".to_owned()]).await;
    let task = Task::DeadDiscard(alike(open(), COLOUR));
    let counted = count_briefly(&backends(&worker, &Arc::default()), &task, LONG).await.unwrap();
    assert_eq!(counted, Counted { matching: 2, up_to: last[0], is_partial: false });
    let job = make_job(&worker, task).await;
    bury(&worker, DeadReason::Rejected, &["422: no colour 3".to_owned()]).await;
    let job = work_off(&worker, &Arc::default(), job.id).await;
    assert_eq!([job.progress.done, job.progress.skipped, job.progress.refused], [2, 0, 0]);
    let ann = |id: i64| (id, "ann".to_owned());
    assert_eq!(decided(&worker).await, [ann(first[0]), ann(last[0])]);
}

pub(crate) async fn a_letter_that_somebody_decides_about_meanwhile_is_left_to_that<F: StoreFixture>() {
    let fixture = F::fresh().await;
    let worker = fixture.worker(LEASE).await;
    let ids = bury(&worker, DeadReason::InvalidMessage, &vec!["no JSON at column 7".to_owned(); 3]).await;
    let task = Task::DeadRetry(alike(open(), "no JSON at column #"));
    let queue: Arc<Pushed> = Arc::default();
    let backends = backends(&worker, &queue);
    let counted = count_briefly(&backends, &task, LONG).await.unwrap();
    // One after the other, half a second apart.
    let Made::New(job) = make(&*worker.store, task, by("ann"), &counted, Some(2)).await.unwrap() else {
        panic!("open")
    };
    let runner = JobRunner { backends, observers: Default::default(), lease: LEASE, stop: CancellationToken::new() };
    let discard = async {
        let begun = async || match decided(&worker).await.len() {
            0 => Err("not begun".to_owned()),
            _ => Ok(()),
        };
        eventually(LONG, "the first is retried", begun).await;
        worker.store.resolve(&ids[2..], Resolution::Discarded, &by("bob")).await.unwrap()
    };
    let (job, discarded) = tokio::join!(runner.carry_through(job.id, |_| ()), discard);
    let progress = job.unwrap().unwrap().progress;
    assert_eq!((discarded, [progress.done, progress.skipped]), (vec![true], [2, 0]));
    let by: Vec<String> = decided(&worker).await.into_iter().map(|(_, by)| by).collect();
    assert_eq!(by, ["ann", "ann", "bob"]);
}
