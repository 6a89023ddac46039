//! What a job decides about next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::{JobBackends, JobError};
use crate::operations::matching::Scan;
use crate::operations::search::{self, Cursor, ListError, MOST_ON_PAGE};
use crate::port::dead_letters::{DeadLetterFilter, DeadLetterSelection};
use crate::port::jobs::{Job, Task};
use crate::port::search::OrderFilter;
use crate::port::store::StoreError;

/// Counts what a task is about, for `limit` and until anything is found.
///
/// # Errors
/// When the store gives no answer.
#[cfg(feature = "cli")]
pub async fn count(backends: &JobBackends, task: &Task, limit: Duration) -> Result<Counted, StoreError> {
    count_until(backends, task, |counted, took| took >= limit && counted.matching > 0).await
}

/// As [`count`], for little more than `limit` also where nothing is found.
///
/// # Errors
/// When the store gives no answer.
pub async fn count_briefly(backends: &JobBackends, task: &Task, limit: Duration) -> Result<Counted, StoreError> {
    count_until(backends, task, |_, took| took >= limit).await
}

async fn count_until(
    backends: &JobBackends,
    task: &Task,
    is_enough: impl Fn(&Counted, Duration) -> bool,
) -> Result<Counted, StoreError> {
    match task {
        Task::DeadRetry(selection) | Task::DeadDiscard(selection) => {
            count_letters(backends, selection, is_enough).await
        }
        Task::Cancel(filter) | Task::Hold(filter, _) | Task::Release(filter) => {
            count_orders(backends, filter, is_enough).await
        }
    }
}

async fn count_letters(
    backends: &JobBackends,
    selection: &DeadLetterSelection,
    is_enough: impl Fn(&Counted, Duration) -> bool,
) -> Result<Counted, StoreError> {
    let store = &*backends.dead_letters;
    let found = store.count(&selection.filter).await?;
    let mut counted = Counted { matching: found.letters, up_to: found.last_id, is_partial: false };
    if selection.fingerprint.is_some() {
        let (began, mut scan) = (Instant::now(), Scan::new(selection, 0));
        counted.matching = 0;
        while !scan.is_over && !is_enough(&counted, began.elapsed()) {
            counted.matching += scan.next(store).await?.len() as u64;
        }
        counted.is_partial = !scan.is_over;
    }
    Ok(counted)
}

async fn count_orders(
    backends: &JobBackends,
    filter: &OrderFilter,
    is_enough: impl Fn(&Counted, Duration) -> bool,
) -> Result<Counted, StoreError> {
    let (began, mut counted, mut cursor) = (Instant::now(), Counted::default(), None);
    loop {
        let (search, reports) = (&*backends.search, &*backends.reports);
        let page =
            search::page(search, reports, filter, cursor.as_ref(), MOST_ON_PAGE).await.map_err(as_store_error)?;
        counted.matching += page.orders.len() as u64;
        if let Some(first) = page.orders.first() {
            counted.up_to = counted.up_to.max(first.id.0);
        }
        cursor = page.next;
        counted.is_partial = cursor.is_some();
        if !counted.is_partial || is_enough(&counted, began.elapsed()) {
            return Ok(counted);
        }
    }
}

fn as_store_error(error: ListError) -> StoreError {
    match error {
        ListError::Store(error) => error,
        // Ours is never of another filter.
        ListError::Cursor(error) => StoreError::Refused(error.to_string()),
    }
}

/// What comes next.
pub(super) enum Found {
    /// These ids, never empty.
    Page(Vec<i64>),
    /// Nothing yet: the search goes on from here.
    NothingYet(i64),
    /// Nothing more.
    Nothing,
}

/// Finds the pages of one job.
pub(super) struct Finding {
    what: What,
    /// When the job was as old as this.
    age: (Instant, Duration),
    /// What was found at once, in the order of the job: to find it costs the same for few as for many.
    ahead: VecDeque<i64>,
}

enum What {
    Letters(DeadLetterSelection),
    Orders(OrderFilter),
}

impl Finding {
    pub(super) fn new(task: &Task, age: Duration) -> Self {
        let what = match task.clone() {
            Task::DeadRetry(selection) | Task::DeadDiscard(selection) => What::Letters(selection),
            Task::Cancel(filter) | Task::Hold(filter, _) | Task::Release(filter) => What::Orders(filter),
        };
        Self { what, age: (Instant::now(), age), ahead: VecDeque::new() }
    }

    pub(super) async fn next(&mut self, backends: &JobBackends, job: &Job, limit: usize) -> Result<Found, JobError> {
        let (since, age) = self.age;
        // Ages count from when the job was made: what matched then matches still.
        let then = |of: Option<Duration>| of.map(|of| of.saturating_add(age).saturating_add(since.elapsed()));
        match &self.what {
            What::Letters(selection) => {
                let filter = DeadLetterFilter {
                    up_to: Some(job.up_to),
                    older_than: then(selection.filter.older_than),
                    newer_than: then(selection.filter.newer_than),
                    ..selection.filter.clone()
                };
                let selection = DeadLetterSelection { filter, fingerprint: selection.fingerprint.clone() };
                letters(backends, &selection, job.progress.cursor.unwrap_or(0), limit, &mut self.ahead).await
            }
            What::Orders(filter) => {
                let (older_than, newer_than) = (then(filter.older_than), then(filter.newer_than));
                let filter = OrderFilter { older_than, newer_than, ..filter.clone() };
                if self.ahead.is_empty() {
                    let below = job.progress.cursor.unwrap_or(job.up_to.saturating_add(1));
                    let cursor = Cursor::below(&filter, below);
                    let (search, reports) = (&*backends.search, &*backends.reports);
                    let page = search::page(search, reports, &filter, Some(&cursor), MOST_ON_PAGE).await;
                    let page = page.map_err(as_store_error)?;
                    self.ahead.extend(page.orders.iter().map(|order| order.id.0));
                    if self.ahead.is_empty() {
                        return Ok(page.next.map_or(Found::Nothing, |next| Found::NothingYet(next.below_id())));
                    }
                }
                let ids = self.ahead.drain(..limit.min(self.ahead.len())).collect();
                Ok(Found::Page(ids))
            }
        }
    }
}

async fn letters(
    backends: &JobBackends,
    selection: &DeadLetterSelection,
    after: i64,
    limit: usize,
    ahead: &mut VecDeque<i64>,
) -> Result<Found, JobError> {
    let store = &*backends.dead_letters;
    if selection.fingerprint.is_none() {
        let letters = store.list(&selection.filter, after, limit).await?;
        let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
        return Ok(if ids.is_empty() { Found::Nothing } else { Found::Page(ids) });
    }
    if ahead.is_empty() {
        let mut scan = Scan::new(selection, after);
        ahead.extend(scan.next(store).await?.iter().map(|letter| letter.id));
        if ahead.is_empty() {
            return Ok(if scan.is_over { Found::Nothing } else { Found::NothingYet(scan.after) });
        }
    }
    let ids: Vec<i64> = ahead.drain(..limit.min(ahead.len())).collect();
    let behind = ids.last().copied().unwrap_or(after);
    // Since they were found, somebody may have decided about them.
    let filter = DeadLetterFilter { ids: Some(ids), ..selection.filter.clone() };
    let letters = store.list_without_messages(&filter, after, limit).await?;
    let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    Ok(if ids.is_empty() { Found::NothingYet(behind) } else { Found::Page(ids) })
}
