//! Submits orders: the rows in one transaction, then their messages, oldest first.

use std::time::Duration;

use jiff::Timestamp;

use super::Row;
use crate::domain::message::Message;
use crate::operations::plural;
use crate::port::intake::{Inserted, Intake, NewOrder, Request, Taken};
use crate::port::queue::{Producer, QueueError};
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;

/// Orders that go in together.
pub const BATCH: usize = 1000;

/// Why a batch is not in, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The rows were not inserted: the store refused the transaction.
    #[error("{0}")]
    Refused(StoreError),
    /// The store gave no answer. Not tried again, as the rows would then be there twice.
    #[error("{0}; the store may or may not have the rows of this batch")]
    Unknown(StoreError),
    /// The same, and the rows have keys.
    #[error("{0}; submit again: those that are in are skipped by their keys")]
    UnknownWithKeys(StoreError),
    /// The rows are in, and the queue took no messages for them.
    #[error("{error}; {} stored without a message ({})", plural(*count as u64, "row"), ids(*first, *last))]
    NoMessages {
        /// What the queue said last.
        error: QueueError,
        /// How many rows.
        count: usize,
        /// The lowest id of them.
        first: i64,
        /// The highest id of them.
        last: i64,
    },
}

/// `id 7`, `ids 7 to 9`.
pub(crate) fn ids(first: i64, last: i64) -> String {
    if first == last { format!("id {first}") } else { format!("ids {first} to {last}") }
}

/// Inserts 1 to [`BATCH`] orders and pushes their messages; of orders with keys, which all have then, those alone whose key
/// is new. Answers with what was inserted. Repeats the push for `wait` (`None`: without limit) while
/// the queue does not answer; a message that is pushed twice does no harm.
///
/// # Errors
/// [`SubmitError`] says what is in and what is not.
pub async fn submit(
    rows: &[Row],
    queue: &dyn Producer,
    store: &dyn Intake,
    wait: Option<Duration>,
) -> Result<Vec<Inserted>, SubmitError> {
    let orders: Vec<NewOrder> = rows.iter().map(|row| row.order.clone()).collect();
    let keys: Vec<String> = rows.iter().filter_map(|row| row.dedupe_key.clone()).collect();
    let answer = match keys.len() == orders.len() {
        true => store.insert_new(&orders, &keys).await,
        false => store.insert(&orders).await.map(|inserted| inserted.into_iter().map(Some).collect()),
    };
    let by_position = answer.map_err(|error| match error.is_transient() {
        true if keys.is_empty() => SubmitError::Unknown(error),
        true => SubmitError::UnknownWithKeys(error),
        false => SubmitError::Refused(error),
    })?;
    let new = rows.iter().zip(&by_position).filter_map(|(row, inserted)| Some((row, inserted.as_ref()?)));
    push(new.collect(), queue, wait).await
}

/// As [`submit`], unless a request under this key was taken before: then it returns what that one inserted, and pushes the
/// messages again, as whoever took it may have died before. `None` if it was another one.
///
/// # Errors
/// [`SubmitError`] says what is in and what is not.
pub async fn submit_once(
    rows: &[Row],
    request: &Request,
    queue: &dyn Producer,
    store: &dyn Intake,
    wait: Option<Duration>,
) -> Result<Option<Vec<Inserted>>, SubmitError> {
    let orders: Vec<NewOrder> = rows.iter().map(|row| row.order.clone()).collect();
    let taken = store.insert_once(&orders, request).await.map_err(|error| match error.is_transient() {
        true => SubmitError::UnknownWithKeys(error),
        false => SubmitError::Refused(error),
    })?;
    let inserted = match taken {
        Taken::Now(inserted) | Taken::Before(inserted) => inserted,
        Taken::Other => return Ok(None),
    };
    push(rows.iter().zip(&inserted).collect(), queue, wait).await.map(Some)
}

async fn push(
    new: Vec<(&Row, &Inserted)>,
    queue: &dyn Producer,
    wait: Option<Duration>,
) -> Result<Vec<Inserted>, SubmitError> {
    let now = Timestamp::now().to_string();
    let payloads: Vec<Vec<u8>> = new.iter().map(|(row, inserted)| message(row, inserted, &now)).collect();
    let inserted: Vec<Inserted> = new.iter().map(|(_, inserted)| **inserted).collect();
    if inserted.is_empty() {
        return Ok(inserted);
    }
    let retrying = Retrying { limit: wait, ..Retrying::default() };
    let pushed = retrying.until_answered(QueueError::is_transient, |_, _| (), |_| queue.push(&payloads)).await;
    pushed.map_err(|error| {
        let ids = || inserted.iter().map(|row| row.order_id.0);
        let (first, last) = (ids().min().unwrap_or_default(), ids().max().unwrap_or_default());
        SubmitError::NoMessages { error, count: inserted.len(), first, last }
    })?;
    Ok(inserted)
}

fn message(row: &Row, inserted: &Inserted, now: &str) -> Vec<u8> {
    Message {
        order_id: inserted.order_id.0,
        product_id: inserted.product_id,
        quantity: row.order.quantity,
        correlation_id: row.correlation_id.clone(),
        traceparent: None,
        not_before: None,
        timestamp: Some(now.to_owned()),
    }
    .encode()
}
