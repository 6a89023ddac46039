//! What the engine needs of the orders' table: begin, keep and conclude attempts. The statement that writes a
//! transition guards it by the row's own state and fence ([`crate::domain::order::admit`]).

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::dead_letter::DeadReason;
use crate::domain::order::{Fence, Order, OrderId, State};

/// Moves orders through their attempts. Every method may be called from several tasks at once. Batches hold 1 to 1,000
/// items, answers come by position, and one bad row never fails its neighbours. `begin`, `renew` and `conclude` do not
/// wait for a row that another transaction has locked.
///
/// ```
/// use std::time::Duration;
///
/// use fulfillment_worker::WorkerId;
/// use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, OrderStore, Target, Verdict};
/// use fulfillment_worker_testkit::memory::Memory;
///
/// # #[tokio::main] async fn main() -> Result<(), fulfillment_worker::port::store::StoreError> {
/// let memory = Memory::new();
/// let order_id = memory.put("pending", Duration::ZERO);
/// let store = memory.store(WorkerId::fresh(), Duration::from_secs(30));
///
/// let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
/// let Begun::Started { order, fence, .. } = store.begin(&[request]).await?.remove(0) else { panic!("not pending") };
/// // … the call to the fulfiller, with `store.renew` meanwhile …
/// let ended = Conclusion {
///     order_id,
///     fence,
///     attempt: 1,
///     to: Target::Fulfilled { reference: None },
///     maybe_applied: false,
///     created_at_micros: order.created_at_micros,
/// };
/// assert!(matches!(store.conclude(&[ended]).await?[0], Verdict::Done { .. }));
/// # Ok(()) }
/// ```
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Takes orders into work.
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError>;

    /// Holds pending orders until the times that their messages name, so that the messages need not be there any more. A time
    /// that is over, or that was noted before, changes nothing: what an operator released stays so.
    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError>;

    /// Renews row leases.
    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError>;

    /// Ends attempts.
    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError>;

    /// Stores dead letters of messages without a row that the worker may write. Two letters with the same `claim_id`
    /// are stored once, unless the first one has been resolved.
    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError>;
}

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

/// A time before which a message wants its order not to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBefore {
    /// Which order.
    pub order_id: OrderId,
    /// The time, in microseconds since 1970-01-01 00:00 UTC.
    pub at_micros: i64,
}

/// Who holds an order whose message names a time.
pub const BY_MESSAGE: &str = "message";

/// The timeline's note on an order that was taken from a worker whose lease had run out.
pub const TAKEN_OVER: &str = "taken over: whether the call before was carried out is not known";

/// The answer to a [`BeginRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// This worker holds the order.
    Started {
        /// The order as its row describes it.
        order: Order,
        /// Needed to renew and to conclude.
        fence: Fence,
        /// Whether another worker held it and its lease had run out.
        takeover: bool,
        /// From the row's `created_at` to now, by the database's clock, if this begins the order's first attempt.
        /// `None` for every later one, and where `created_at` is null.
        ///
        /// An order that was handed back without spending an attempt, or redriven, is on its first attempt again.
        waited: Option<Duration>,
    },
    /// `fulfilled` or `failed` already: nothing is left to do.
    AlreadyFinal(State),
    /// Another worker holds it for at most this much longer. Also the answer to the second request for the same
    /// order within a batch.
    Busy(Duration),
    /// Another transaction has locked the row. The call did not wait for it.
    Locked,
    /// The order is held: not begun, and left as it is. For this much longer by the database's clock; `None` without an end.
    Held(Option<Duration>),
    /// No such row. It may be about to appear: a producer's commit can come after its push.
    Unknown,
    /// The status is not one of the worker's: drop the message, leave the row.
    NotOurs(String),
    /// The database refused this row and took its neighbours.
    Refused(String),
}

/// Asks to renew the lease on a row.
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
    /// Held for another lease, under this fence.
    Kept(Fence),
    /// The row had moved on, is gone, or the database refuses to write it.
    Lost,
    /// Another transaction has locked the row. The call did not wait for it: the fence stays valid, and the lease runs
    /// on.
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
    /// Where the order goes.
    pub to: Target,
    /// An earlier call with this conclusion ended without an answer and may have been carried out: a row in the target
    /// state with a later fence then counts as [`Verdict::Done`].
    pub maybe_applied: bool,
    /// The row's `created_at` when the attempt began ([`Order::created_at_micros`]). A row that is found under another fence
    /// and with another `created_at` is another order's, which was given the same id. `None` compares nothing.
    pub created_at_micros: Option<i64>,
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

    /// The note that the timeline stores beside the state.
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
    /// The row had moved on, or is gone; nothing was changed. Carries the state found, and `None` if the order's row is not
    /// there any more: no row has its id, or one that was created at another time.
    Superseded(Option<State>),
    /// Another transaction has locked the row. The call did not wait for it and changed nothing: ask again.
    Locked,
    /// The database refused this row and took its neighbours.
    Refused(String),
}

/// A message that was given up, with all that a person needs to find out why and to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue's name for the message ([`crate::port::queue::Receipt::claim_id`]).
    pub claim_id: String,
    /// The order, as far as the message named one.
    pub order_id: Option<OrderId>,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// Why.
    pub reason: DeadReason,
    /// The reason in words; the store keeps the first 1,000 characters.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database can't be reached or gave no answer. It may have carried out the call.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The database refused the call: missing rights, bad password, an error in a statement.
    #[error("store refused: {0}")]
    Refused(String),
    /// Tables or columns are missing; each is named. `migrate` makes the worker's own.
    #[error("schema incomplete: {}; {}", .0.join(", "), way_to_complete(.0))]
    Schema(Vec<String>),
    /// The order API's tables are not there, or not such that the worker can work with them; each problem is named, with
    /// what was found and what is wanted. Nothing was changed.
    #[error("the order API's tables don't do: {}", .0.join("; "))]
    Tables(Vec<String>),
}

/// What gives a role its rights, or the tables that are missing.
fn way_to_complete(missing: &[String]) -> &'static str {
    if missing.iter().all(|one| one.starts_with("privilege ")) {
        "GRANT them to the worker's role: `fulfillment-worker migrate --grant-to ROLE` gives it what it needs in schema fulfillment, \
         and deploy/postgres/roles.sql of the order API's tables"
    } else {
        "run `fulfillment-worker migrate` with a role that may create them, or apply the SQL of `fulfillment-worker migrate --print`"
    }
}

impl StoreError {
    /// Whether waiting may help although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
