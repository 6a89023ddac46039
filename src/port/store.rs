//! What the worker needs of the orders' table: begin, keep and conclude attempts, each transition guarded by the
//! row's own state and fence ([`crate::domain::order::admit`]) in the statement that writes it.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::{Fence, Order, OrderId, State};

pub use super::dead_letters::{
    BuriedLetter, Decision, LetterCount, LetterFilter, Redriven, Resolution, Resolved, RetryStep,
};

/// Asks to take an order into work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginRequest {
    /// Which order.
    pub order_id: OrderId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// From the message.
    pub correlation_id: Option<String>,
}

/// What the timeline notes when an order is taken from a worker whose lease had run out.
pub const TAKEN_OVER: &str = "taken over: whether the call before was carried out is not known";

/// The answer to a [`BeginRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// The order is ours.
    Started {
        /// The order as its row describes it.
        order: Order,
        /// To be handed back with the conclusion.
        fence: Fence,
        /// Whether it was taken from a worker whose lease had run out.
        takeover: bool,
        /// From the row's `created_at` to now, by the database's clock, if this begins the order's first attempt.
        /// `None` for every later one, and where `created_at` is null.
        ///
        /// An order that was given back without an attempt spent, or put back to work by an operator, is on its first one
        /// again.
        waited: Option<Duration>,
    },
    /// `fulfilled` or `failed` already: nothing is left to do.
    AlreadyFinal(State),
    /// Another worker holds it for at most this much longer. Also the answer to the second request for the same
    /// order within a batch.
    Busy(Duration),
    /// Another transaction has locked the row, nobody knows for how long or what for. It was not waited for.
    Locked,
    /// No such row. It may be about to appear: a producer's commit can come after its push.
    Unknown,
    /// The status is somebody else's: drop the message, leave the row.
    NotOurs(String),
    /// The database refused this row and took its neighbours.
    Refused(String),
}

/// A lease on a row to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Which order.
    pub order_id: OrderId,
    /// The fence held.
    pub fence: Fence,
}

/// The answer to a [`Renewal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// Ours for another lease, under this fence.
    Kept(Fence),
    /// The row had moved on, is gone, or is one that the database refuses to write.
    Lost,
    /// Another transaction has locked the row. It was not waited for: the fence held is as good as it was before, and
    /// the lease runs on.
    Locked,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// Which order.
    pub order_id: OrderId,
    /// The fence held.
    pub fence: Fence,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// From the message.
    pub correlation_id: Option<String>,
    /// Where the order goes.
    pub to: Target,
    /// An earlier call with this very conclusion ended without an answer, so it may have been carried out: a row
    /// found in the target state with a later fence then counts as [`Verdict::Done`].
    pub maybe_applied: bool,
}

/// Where a [`Conclusion`] moves its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Done; the fulfiller's reference is kept in the timeline.
    Fulfilled {
        /// The fulfiller's own name for what it did.
        reference: Option<String>,
    },
    /// Back to `pending`; the reason is kept in the timeline.
    Pending {
        /// Why.
        reason: String,
    },
    /// Given up; the dead letter is written in the same transaction.
    Failed(DeadLetter),
}

impl Target {
    /// The state that the order enters.
    pub fn state(&self) -> State {
        match self {
            Self::Fulfilled { .. } => State::Fulfilled,
            Self::Pending { .. } => State::Pending,
            Self::Failed(_) => State::Failed,
        }
    }

    /// What the timeline notes beside the state.
    pub fn note(&self) -> Option<&str> {
        match self {
            Self::Fulfilled { reference } => reference.as_deref(),
            Self::Pending { reason } => Some(reason),
            Self::Failed(letter) => Some(&letter.detail),
        }
    }
}

/// The answer to a [`Conclusion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The transition is committed.
    Done {
        /// From the row's `created_at` to now, by the database's clock. `None` where `created_at` is null.
        age: Option<Duration>,
    },
    /// The row had moved on, or is gone; nothing was changed. Carries the state found.
    Superseded(Option<State>),
    /// Another transaction has locked the row. It was not waited for, and nothing was changed: ask again.
    Locked,
    /// The database refused this row and took its neighbours.
    Refused(String),
}

/// Why a message ended in the dead letters, as in the table and in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DeadReason {
    /// The message could not be read ([`crate::domain::message::Poison`]).
    InvalidMessage,
    /// No row appeared for it, however often it was retried.
    UnknownOrder,
    /// The fulfiller said that it will never do it.
    Rejected,
    /// Every attempt that the policy allows failed.
    AttemptsExhausted,
    /// The database refuses the row.
    StoreRefused,
    /// Nobody knows whether the fulfiller did the work, and it is not to be asked twice.
    Ambiguous,
}

/// A message that was given up, with all that is needed to find out why and to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue's name for the message ([`crate::port::queue::Receipt::claim_id`]): burying it twice keeps one row,
    /// unless the first one was resolved meanwhile.
    pub claim_id: String,
    /// The order, as far as the message named one.
    pub order_id: Option<OrderId>,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// Why.
    pub reason: DeadReason,
    /// Why, for a person; at most 1,000 characters.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// One transition of an order, as the timeline keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When, which is the `updated_at` that the transition wrote.
    pub at: Fence,
    /// The status entered.
    pub state: State,
    /// Which attempt; 0 for a redrive.
    pub attempt: u32,
    /// The worker's identity.
    pub worker: String,
    /// From the message.
    pub correlation_id: Option<String>,
    /// Reference, reason or detail.
    pub note: Option<String>,
}

/// An order as its row has it, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReport {
    /// Key of the row.
    pub id: OrderId,
    /// The row's status.
    pub state: State,
    /// Key of the product in `products`.
    pub product_id: i64,
    /// The product's name. `None` where the product can't be found.
    pub product: Option<String>,
    /// Pieces ordered.
    pub quantity: i64,
    /// The row's `created_at` in microseconds since 1970-01-01 00:00, as the column has no zone.
    pub created_at_micros: Option<i64>,
    /// How long ago that was, by the database's clock.
    pub age: Option<Duration>,
    /// The row's `updated_at`, likewise.
    pub updated_at_micros: Option<i64>,
    /// How long ago that was, by the database's clock.
    pub idle: Option<Duration>,
}

/// An order as an order API would insert it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// Name of the product; made if there is none yet. At most 255 characters.
    pub product: String,
    /// Price for a product that has to be made, in hundredths.
    pub price_cents: i64,
    /// Pieces, at least 1.
    pub quantity: i64,
}

/// A row that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// Key of the order.
    pub order_id: OrderId,
    /// Key of the product.
    pub product_id: i64,
}

/// The orders' table at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Number of orders by status, the worker's own four first and always present.
    pub orders_by_state: Vec<(String, u64)>,
    /// Age of the oldest order that is `pending`.
    pub oldest_pending: Option<Duration>,
    /// Age of the oldest order that is `processing`, since it was created.
    pub oldest_processing: Option<Duration>,
    /// Dead letters that nobody has retried or discarded.
    pub dead_letters: u64,
}

/// What becomes of the connections to a database. All zero where it is embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionUse {
    /// Open, and free to be used.
    pub idle: u64,
    /// Taken by a call.
    pub in_use: u64,
    /// At most, both together.
    pub limit: u64,
}

impl std::ops::Add for ConnectionUse {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { idle, in_use, limit } = self;
        Self { idle: idle + other.idle, in_use: in_use + other.in_use, limit: limit + other.limit }
    }
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached or gave no answer. It may have carried out what was asked.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The database answered that it won't: missing rights, bad password, an error in a statement.
    #[error("store refused: {0}")]
    Refused(String),
    /// Tables or columns are missing; each is named. `migrate` makes the worker's own.
    #[error("schema incomplete: {}; run `fulfillment-worker migrate` with a role that may create them, or apply the SQL of `fulfillment-worker migrate --print`", .0.join(", "))]
    Schema(Vec<String>),
}

impl StoreError {
    /// Whether waiting is likely to help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The orders' table. Every method may be called from several tasks at once. Batches hold 1 to 1,000 items, answers
/// come by position, and one bad row never fails its neighbours. `begin`, `renew` and `conclude` never wait for a row
/// that somebody else has locked.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Takes orders into work.
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError>;

    /// Keeps row leases.
    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError>;

    /// Ends attempts.
    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError>;

    /// Keeps dead letters of messages that no order's row speaks for. A letter with the `claim_id` of one
    /// that is not resolved is the same one.
    async fn bury(&self, letters: &[DeadLetter]) -> Result<(), StoreError>;

    /// Inserts orders, and the products that are missing, in one transaction. Answers by position.
    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError>;

    /// Counts and ages. Reads the whole status index: for people and slow polls, not for every second.
    async fn summary(&self) -> Result<Summary, StoreError>;

    /// An order as its row has it; `None` if there is no such row.
    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError>;

    /// An order's transitions, oldest first.
    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError>;

    /// Dead letters with an id above `after`, in order of id, at most `limit`.
    async fn dead_letters(
        &self,
        filter: &LetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<BuriedLetter>, StoreError>;

    /// Counts dead letters.
    async fn count_dead_letters(&self, filter: &LetterFilter) -> Result<LetterCount, StoreError>;

    /// Puts the orders of dead letters back to `pending` and marks the letters as retried, in one transaction; decides
    /// the same moment what is to be done with letters that no failed order stands behind, and leaves them as they are.
    /// The messages are for the caller to push.
    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError>;

    /// Marks dead letters and leaves their orders as they are. Answers whether each is marked by this call: one that is
    /// resolved stays as it is, but one that was discarded can be marked as retried. Of one that is named twice,
    /// the second is answered as if it came later.
    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError>;

    /// Makes or updates the worker's own tables; safe to run by several workers at once. Returns what it applied.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;

    /// How its connections are used, now. Asks nobody.
    fn connections(&self) -> ConnectionUse;

    /// Answers whether the database can be reached and every table and column is there: [`StoreError::Schema`] names
    /// what is missing.
    async fn check(&self) -> Result<(), StoreError>;
}
