//! Dead letters by what went wrong.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::fingerprint::fingerprint;
use crate::domain::order::iso_8601;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetters};
use crate::port::store::StoreError;

/// Letters that are looked at, at most: the oldest ones.
pub const MOST_LETTERS: usize = 50_000;

const PAGE: usize = 10_000;

/// Letters with one reason, whose errors have one fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Group {
    /// The reason.
    pub reason: String,
    /// What their errors have in common.
    pub fingerprint: String,
    /// How many.
    pub letters: u64,
    /// When the first of them was stored, in microseconds since 1970-01-01 00:00 on the database's own clock.
    #[serde(rename = "first_at", serialize_with = "time")]
    #[schema(value_type = Option<String>)]
    pub first_micros: i64,
    /// When the last one was.
    #[serde(rename = "last_at", serialize_with = "time")]
    #[schema(value_type = Option<String>)]
    pub last_micros: i64,
    /// How long ago that was.
    #[serde(rename = "last_age_seconds")]
    pub last_age: f64,
    /// The last one's id.
    pub example: i64,
    /// The last one's order.
    pub example_order_id: Option<i64>,
    /// The last one's error, as it is.
    pub example_detail: String,
}

fn time<S: serde::Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    iso_8601(*micros).serialize(serializer)
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

/// Groups the letters that match `filter`, at most [`MOST_LETTERS`].
///
/// # Errors
/// When the store doesn't answer.
pub async fn groups(store: &dyn DeadLetters, filter: &DeadLetterFilter) -> Result<Groups, StoreError> {
    let mut found: HashMap<(String, String), Group> = HashMap::new();
    let (mut looked, mut after) = (0, 0);
    while looked < MOST_LETTERS {
        let page = store.list_without_messages(filter, after, PAGE).await?;
        for letter in &page {
            let key = (letter.reason.clone(), fingerprint(&letter.detail));
            let group = found.entry(key).or_insert_with_key(|(reason, fingerprint)| Group {
                reason: reason.clone(),
                fingerprint: fingerprint.clone(),
                letters: 0,
                first_micros: letter.at_micros,
                last_micros: i64::MIN,
                last_age: 0.0,
                example: 0,
                example_order_id: None,
                example_detail: String::new(),
            });
            group.letters += 1;
            group.first_micros = group.first_micros.min(letter.at_micros);
            if letter.at_micros >= group.last_micros {
                (group.last_micros, group.last_age) = (letter.at_micros, letter.age.as_secs_f64());
                (group.example, group.example_order_id) = (letter.id, letter.order_id.map(|id| id.0));
                group.example_detail.clone_from(&letter.detail);
            }
        }
        looked += page.len();
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.id,
            _ => break,
        }
    }
    let is_partial = looked >= MOST_LETTERS && !store.list_without_messages(filter, after, 1).await?.is_empty();
    let mut groups: Vec<Group> = found.into_values().collect();
    groups.sort_by(|one, other| {
        (other.letters, other.last_micros, &one.fingerprint).cmp(&(one.letters, one.last_micros, &other.fingerprint))
    });
    Ok(Groups { groups, looked: looked as u64, is_partial })
}
