//! The stored dead letters, for the people who decide about them.

use std::time::Duration;

use crate::domain::dead_letter::{DeadReason, Resolution, RetryStep};
use crate::domain::fingerprint::fingerprint;
use crate::domain::label::Label;
use crate::domain::message::{self, MAX_MESSAGE_BYTES};
use crate::domain::order::{OrderId, State};
use crate::port::store::StoreError;
use async_trait::async_trait;

/// Finds dead letters and records decisions about them. Every method may be called from several tasks at once.
///
/// ```
/// # use fulfillment_worker::domain::dead_letter::DeadReason;
/// # use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters};
/// # use fulfillment_worker::port::store::StoreError;
/// /// How many orders were rejected for good and wait for a decision.
/// async fn rejected(store: &dyn DeadLetters) -> Result<u64, StoreError> {
///     let filter = DeadLetterFilter {
///         reasons: vec![DeadReason::Rejected],
///         resolved: Some(false),
///         ..DeadLetterFilter::default()
///     };
///     Ok(store.count(&filter).await?.letters)
/// }
/// ```
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Returns at most `limit` letters with an id above `after`, in order of id.
    async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError>;

    /// The same without their messages, which are empty.
    async fn list_without_messages(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError>;

    /// Counts letters.
    async fn count(&self, filter: &DeadLetterFilter) -> Result<DeadLetterCount, StoreError>;

    /// Puts the failed orders of 1 to 1,000 letters back to `pending` and marks these letters as retried, in one
    /// transaction. A letter without a failed order is left as it is; its answer says what the caller has to do. The
    /// caller pushes the messages. Answers come by position, and one bad row never fails its neighbours.
    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError>;

    /// Marks letters and leaves their orders as they are. Answers by position whether this call marked the letter: a
    /// resolved letter stays as it is, except that a discarded one can be marked as retried. A letter that is named
    /// twice is marked once, by its first position.
    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError>;
}

/// Selects dead letters. A letter must match every field that is set; the default selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterFilter {
    /// Those with one of these ids.
    pub ids: Option<Vec<i64>>,
    /// Those with an id of at most this.
    pub up_to: Option<i64>,
    /// Those with one of these reasons; with any reason if this is empty.
    pub reasons: Vec<DeadReason>,
    /// Those stored longer ago than this, by the database's clock.
    pub older_than: Option<Duration>,
    /// Those stored at most this long ago, by the database's clock.
    pub newer_than: Option<Duration>,
    /// Those whose order's row has this product. A letter without a row has none.
    pub product_id: Option<i64>,
    /// Those that name this order.
    pub order_id: Option<OrderId>,
    /// Those that have been retried or discarded (`true`), or have not (`false`).
    pub resolved: Option<bool>,
}

/// Selects dead letters by what the store can tell, and by what their errors have in common, which it can't.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterSelection {
    /// Those that the store finds.
    pub filter: DeadLetterFilter,
    /// Of these, those whose errors have this [`fingerprint`]; all if it isn't set.
    pub fingerprint: Option<String>,
}

impl DeadLetterSelection {
    /// Whether a letter that the store found is among them.
    pub fn has(&self, letter: &StoredDeadLetter) -> bool {
        self.fingerprint.as_ref().is_none_or(|wanted| fingerprint(&letter.detail) == *wanted)
    }
}

impl From<DeadLetterFilter> for DeadLetterSelection {
    fn from(filter: DeadLetterFilter) -> Self {
        Self { filter, fingerprint: None }
    }
}

/// The number of dead letters, and the highest id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadLetterCount {
    /// How many.
    pub letters: u64,
    /// The highest id among them; 0 if there is none.
    pub last_id: i64,
}

/// A dead letter as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeadLetter {
    /// Key of the row.
    pub id: i64,
    /// The order, as far as the message named one.
    pub order_id: Option<OrderId>,
    /// The state of the order's row now; `None` if there is no row.
    pub order_state: Option<State>,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// A [`DeadReason`] as text.
    pub reason: String,
    /// Why, for a person.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The worker that gave it up.
    pub worker: String,
    /// When, in microseconds since 1970-01-01 00:00 on the database's own clock.
    pub at_micros: i64,
    /// How long ago that was, by that clock.
    pub age: Duration,
    /// The decision about it, if there is one.
    pub resolved: Option<Resolved>,
}

impl StoredDeadLetter {
    /// Whether only the beginning of the message is kept, as it is over 64 KiB: it can't be pushed again.
    pub fn is_cut(&self) -> bool {
        self.reason == DeadReason::InvalidMessage.as_str()
            && self.payload.len() == MAX_MESSAGE_BYTES
            && self.detail.starts_with(message::TOO_LARGE)
    }
}

/// A decision about a dead letter, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What.
    pub resolution: Resolution,
    /// When, in microseconds since 1970-01-01 00:00 on the database's own clock.
    pub at_micros: i64,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Who decides, and why; stored with the letter and in the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// The timeline's note on an order that is put back to `pending`.
    pub(crate) fn note(&self) -> String {
        format!("redriven by {}: {}", self.by, self.reason)
    }
}

/// The answer to a retry of one letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redriven {
    /// The step to take, decided while the order's row was locked. [`RetryStep::Redrive`] is committed except for the
    /// push; nothing is written for the others.
    Decided {
        /// What.
        step: RetryStep,
        /// The order, as far as the message named one.
        order_id: Option<OrderId>,
        /// The message's bytes.
        payload: Vec<u8>,
    },
    /// There is no such letter.
    Unknown,
    /// The database refused this row and took its neighbours.
    Refused(String),
}
