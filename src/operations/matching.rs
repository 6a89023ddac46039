//! Finds dead letters that match a selection. What their errors have in common is no column: letters are read in the order of their
//! ids and compared, a few thousand at once, for a while; a page that isn't full by then has a cursor that goes on.

use std::time::{Duration, Instant};

use crate::port::dead_letters::{DeadLetterSelection, DeadLetters, StoredDeadLetter};
use crate::port::store::StoreError;

/// Letters that are read at once.
const STEP: usize = 2_000;

/// A page that isn't full by then is shown as it is.
const SEARCH_FOR: Duration = Duration::from_secs(2);

/// By then the page is there, and as many are counted as could be.
const COUNT_UNTIL: Duration = Duration::from_secs(3);

/// A page of letters, without their messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In the order of their ids.
    pub letters: Vec<StoredDeadLetter>,
    /// How many match on all pages, as far as they were counted.
    pub matching: u64,
    /// The id behind which the next page begins; `None` on the last one.
    pub next_after: Option<i64>,
    /// Whether the search took long: there may be more than `matching`, and the page may be short of what was asked for.
    pub is_partial: bool,
}

/// The page of at most `limit` letters behind the id `after`.
///
/// # Errors
/// When the store doesn't answer.
pub async fn page(
    store: &dyn DeadLetters,
    selection: &DeadLetterSelection,
    after: i64,
    limit: usize,
) -> Result<Page, StoreError> {
    if selection.fingerprint.is_some() {
        return compared(store, selection, after, limit).await;
    }
    let letters = store.list_without_messages(&selection.filter, after, limit).await?;
    let count = store.count(&selection.filter).await?;
    let next_after = letters.last().map(|last| last.id).filter(|last| *last < count.last_id);
    Ok(Page { letters, matching: count.letters, next_after, is_partial: false })
}

async fn compared(
    store: &dyn DeadLetters,
    selection: &DeadLetterSelection,
    after: i64,
    limit: usize,
) -> Result<Page, StoreError> {
    let (began, mut scan) = (Instant::now(), Scan::new(selection, after));
    let mut letters = Vec::new();
    while letters.len() <= limit && !scan.is_over && began.elapsed() < SEARCH_FOR {
        letters.extend(scan.next(store).await?);
    }
    let is_short = letters.len() <= limit && !scan.is_over;
    let last = limit.checked_sub(1).and_then(|last| letters.get(last)).filter(|_| letters.len() > limit);
    let next_after = last.map(|last| last.id).or_else(|| is_short.then_some(scan.after));
    let (mut matching, mut rest) = if after == 0 { (letters.len() as u64, scan) } else { (0, Scan::new(selection, 0)) };
    while !rest.is_over && began.elapsed() < COUNT_UNTIL {
        matching += rest.next(store).await?.len() as u64;
    }
    letters.truncate(limit);
    Ok(Page { letters, matching, next_after, is_partial: is_short || !rest.is_over })
}

/// Reads every letter that the store finds, and keeps those whose errors are alike.
pub(super) struct Scan<'a> {
    selection: &'a DeadLetterSelection,
    /// The last id that was read.
    pub(super) after: i64,
    /// Whether nothing is left.
    pub(super) is_over: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(selection: &'a DeadLetterSelection, after: i64) -> Self {
        Self { selection, after, is_over: false }
    }

    /// Those among the next few thousand, perhaps none.
    pub(super) async fn next(&mut self, store: &dyn DeadLetters) -> Result<Vec<StoredDeadLetter>, StoreError> {
        let mut letters = store.list_without_messages(&self.selection.filter, self.after, STEP).await?;
        self.is_over = letters.len() < STEP;
        self.after = letters.last().map_or(self.after, |last| last.id);
        letters.retain(|letter| self.selection.has(letter));
        Ok(letters)
    }
}
