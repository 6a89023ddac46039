//! Dead letters by what went wrong.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::fingerprint::fingerprint;
use crate::domain::order::iso_8601;
use crate::port::dead_letters::{DeadLetterSelection, DeadLetters, StoredDeadLetter};
use crate::port::store::StoreError;

/// Letters that are looked at, at most: the oldest ones.
pub const MOST_LETTERS: usize = 50_000;

const PAGE: usize = 10_000;

/// Letters with one reason, whose errors have one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// The reason.
    pub reason: String,
    /// What their errors have in common.
    pub fingerprint: String,
    /// How many.
    pub letters: u64,
    /// When the first of them was stored, on the database's own clock.
    pub first_at: Option<String>,
    /// When the last one was.
    pub last_at: Option<String>,
    /// How long ago that was.
    pub last_age_seconds: f64,
    /// The last one's id.
    pub example: i64,
    /// The last one's order.
    pub example_order_id: Option<i64>,
    /// The last one's error, as it is.
    pub example_detail: String,
}

/// Every group, the greatest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups {
    /// The groups.
    pub groups: Vec<Group>,
    /// How many letters were looked at.
    pub looked: u64,
    /// Whether there are more letters than that.
    pub is_partial: bool,
}

/// The letters of a group.
struct Gathered {
    letters: u64,
    first_micros: i64,
    last: StoredDeadLetter,
}

/// Groups the letters that match, among at most [`MOST_LETTERS`].
///
/// # Errors
/// When the store doesn't answer.
pub async fn groups(store: &dyn DeadLetters, selection: &DeadLetterSelection) -> Result<Groups, StoreError> {
    let DeadLetterSelection { filter, fingerprint: wanted } = selection;
    let mut found: HashMap<(String, String), Gathered> = HashMap::new();
    let (mut looked, mut after) = (0, 0);
    while looked < MOST_LETTERS {
        let page = store.list_without_messages(filter, after, PAGE).await?;
        let (read, last_id) = (page.len(), page.last().map(|last| last.id));
        for letter in page {
            let fingerprint = fingerprint(&letter.detail);
            if wanted.as_ref().is_some_and(|wanted| fingerprint != *wanted) {
                continue;
            }
            match found.entry((letter.reason.clone(), fingerprint)) {
                Entry::Vacant(entry) => {
                    entry.insert(Gathered { letters: 1, first_micros: letter.at_micros, last: letter });
                }
                Entry::Occupied(mut entry) => {
                    let gathered = entry.get_mut();
                    gathered.letters += 1;
                    gathered.first_micros = gathered.first_micros.min(letter.at_micros);
                    if letter.at_micros >= gathered.last.at_micros {
                        gathered.last = letter;
                    }
                }
            }
        }
        looked += read;
        match last_id {
            Some(last) if read == PAGE => after = last,
            _ => break,
        }
    }
    let is_partial = looked >= MOST_LETTERS && !store.list_without_messages(filter, after, 1).await?.is_empty();
    let mut gathered: Vec<_> = found.into_iter().collect();
    gathered.sort_by(|((_, one), of_one), ((_, other), of_other)| {
        (of_other.letters, of_other.last.at_micros, one).cmp(&(of_one.letters, of_one.last.at_micros, other))
    });
    let group = |((reason, fingerprint), Gathered { letters, first_micros, last })| Group {
        reason,
        fingerprint,
        letters,
        first_at: iso_8601(first_micros),
        last_at: iso_8601(last.at_micros),
        last_age_seconds: last.age.as_secs_f64(),
        example: last.id,
        example_order_id: last.order_id.map(|id| id.0),
        example_detail: last.detail,
    };
    Ok(Groups { groups: gathered.into_iter().map(group).collect(), looked: looked as u64, is_partial })
}
