//! What happens in the engine, told to whoever wants to know. The one seam for metrics, health, logs and tests.
//!
//! Only the engine (`worker`, `completer`, `lease`, `reconciler`, `canary`), `service`'s start and background polls, the
//! fulfiller over HTTP, the export of traces and the backends' connections emit events. Observers match them without `_`, so that a new
//! event can't be forgotten.

use std::time::Duration;

use crate::domain::order::OrderId;
use crate::domain::trace_context::TraceContext;
use crate::port::queue::Depth;
use crate::port::reconciliation::OpenOrders;
use crate::port::store::{ConnectionUse, DeadReason};

mod call;
pub(crate) mod call_times;
mod observer;
mod retry_reason;
mod runtime;
mod stage;

pub use call::{BreakerState, CallId, CallOutcome, HeldBack, Limiter, RequestClass, UnderWay};
pub use observer::{Observer, Observers};
pub use retry_reason::RetryReason;
pub use runtime::Runtime;
pub use stage::{Dependency, Stage};

/// Which order an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// `None` for a message that could not be read.
    pub order_id: Option<OrderId>,
    /// From the message.
    pub correlation_id: Option<&'a str>,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The attempt's span; `None` while nothing is traced.
    pub trace: Option<TraceContext>,
}

/// What a lease is held on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    /// The message in the queue.
    Message,
    /// The order's row in the store.
    Row,
}

impl Lease {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Message, Self::Row];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "queue",
            Self::Row => "row",
        }
    }
}

/// Something that should not be, and was put right. A closed set: it labels metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drift {
    /// An order that is `pending`, and no message spoke for it.
    LostMessage,
    /// An order that is `processing`, its worker silent for long, and no message spoke for it.
    AbandonedOrder,
    /// A claimed message without a lease: nothing would have delivered it again.
    MessageWithoutLease,
    /// A lease or a retry without a message.
    LeaseWithoutMessage,
}

impl Drift {
    /// Every kind, for metrics that show each from the start.
    pub const ALL: [Self; 4] =
        [Self::LostMessage, Self::AbandonedOrder, Self::MessageWithoutLease, Self::LeaseWithoutMessage];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LostMessage => "lost_message",
            Self::AbandonedOrder => "abandoned_order",
            Self::MessageWithoutLease => "message_without_lease",
            Self::LeaseWithoutMessage => "lease_without_message",
        }
    }
}

/// A loop whose standing still would mean that the process is wedged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loop {
    /// Claims messages.
    Worker,
    /// Concludes and settles.
    Completer,
    /// Keeps leases.
    LeaseKeeper,
}

impl Loop {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Worker, Self::Completer, Self::LeaseKeeper];

    /// As in health details.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Completer => "completer",
            Self::LeaseKeeper => "lease_keeper",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// The engine starts.
    Started {
        /// This process's identity, fresh with every start.
        worker: &'a str,
        /// Orders in flight at most.
        concurrency: usize,
    },
    /// A loop went round. Emitted at least every few seconds by a loop that is well, busy or idle.
    Beat(Loop),
    /// A call to a dependency began, a poll of it or an order's call to the fulfiller included. A
    /// [`Event::CallOver`] with the same `call` follows, whatever becomes of it.
    CallBegan {
        /// Which call.
        call: CallId,
        /// Whom it asks.
        to: Dependency,
    },
    /// A call to a dependency is over: answered, failed or dropped.
    CallOver {
        /// Which call.
        call: CallId,
        /// Whom it asked.
        to: Dependency,
    },
    /// More could have been claimed, and nothing was. Told at least once a second while it lasts.
    ClaimsHeldBack {
        /// Why.
        by: HeldBack,
        /// For how long since it was told last.
        took: Duration,
    },
    /// A call to a dependency ended.
    StageDone {
        /// Which.
        stage: Stage,
        /// How many items it was about: for a claim, how many it brought.
        items: usize,
        /// How long it took.
        took: Duration,
        /// Whether it was answered.
        ok: bool,
    },
    /// A call failed; it will be repeated for as long as it takes, at the start for as long as `--wait` says.
    DependencyDown {
        /// Whose.
        dependency: Dependency,
        /// What it said.
        error: &'a str,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A call or a poll was answered; also emitted when nothing was wrong.
    DependencyUp(Dependency),
    /// Orders in flight: claimed and not settled yet.
    InFlight(usize),
    /// An attempt began.
    AttemptStarted {
        /// Whose.
        subject: Subject<'a>,
        /// Whether the order was taken from a worker whose lease had run out.
        takeover: bool,
        /// Of an order's first attempt: from the row's `created_at` to now, by the database's clock.
        waited: Option<Duration>,
    },
    /// A call to the fulfiller ended; nothing of it is committed yet.
    CallEnded {
        /// Whose.
        subject: Subject<'a>,
        /// How.
        outcome: CallOutcome,
        /// From its start to now.
        took: Duration,
        /// The fulfiller's reference, or its reason.
        detail: Option<&'a str>,
    },
    /// One HTTP request to the fulfiller ended.
    RequestEnded {
        /// How.
        class: RequestClass,
        /// From sending to the end of the answer.
        took: Duration,
    },
    /// The circuit breaker in front of the fulfiller changed.
    BreakerMoved(BreakerState),
    /// A call had to wait before it was made.
    LimiterWaited {
        /// For what.
        limiter: Limiter,
        /// How long.
        took: Duration,
    },
    /// The retry budget put off the repetition of a call beyond what the retry policy says.
    RepeatPutOff {
        /// How long after the failed call it is due.
        after: Duration,
    },
    /// An attempt ended with its order `fulfilled`, and that is committed.
    Fulfilled {
        /// Whose.
        subject: Subject<'a>,
        /// From claim to commit.
        took: Duration,
        /// From the row's `created_at` to now.
        age: Option<Duration>,
        /// The fulfiller's reference.
        reference: Option<&'a str>,
    },
    /// An attempt ended and failed, whatever becomes of the order: exactly one [`Event::Retried`] or
    /// [`Event::DeadLettered`] goes with it.
    AttemptFailed {
        /// Whose.
        subject: Subject<'a>,
        /// From claim to now.
        took: Duration,
        /// What went wrong.
        error: &'a str,
    },
    /// A message goes back to the queue.
    Retried {
        /// Whose.
        subject: Subject<'a>,
        /// Why.
        reason: RetryReason,
        /// Not before.
        after: Duration,
    },
    /// A message was given up and is kept as a dead letter.
    DeadLettered {
        /// Whose.
        subject: Subject<'a>,
        /// Why.
        reason: DeadReason,
        /// Why, for a person.
        detail: &'a str,
    },
    /// A message was dropped, as its order is `fulfilled` or `failed` already.
    AlreadyFinal {
        /// Whose.
        subject: Subject<'a>,
    },
    /// A message was dropped, as its order's status is somebody else's.
    Skipped {
        /// Whose.
        subject: Subject<'a>,
        /// The status.
        status: &'a str,
    },
    /// A conclusion came too late: the row had moved on, and was left alone.
    Superseded {
        /// Whose.
        subject: Subject<'a>,
    },
    /// Rows were passed over, as another transaction has locked them. They are tried again until it ends.
    RowsLocked {
        /// By which step: [`Stage::Begin`], [`Stage::Conclude`] or [`Stage::RenewStore`].
        stage: Stage,
        /// Whose they are; at least one.
        order_ids: &'a [OrderId],
    },
    /// A lease was lost.
    LeaseLost {
        /// What it was held on.
        lease: Lease,
        /// Which order.
        subject: Subject<'a>,
    },
    /// Whether this worker's reconciler leads, as the store has just said.
    ReconcilerLeads(bool),
    /// The reconciler that leads has looked at everything that a round looks at, and has put right what it found.
    Reconciled,
    /// The reconciler put something right.
    DriftFound {
        /// What.
        drift: Drift,
        /// How many.
        count: u64,
        /// Some of the orders, where they are known.
        first: &'a [OrderId],
    },
    /// Open orders too old for the reconciler, counted every few rounds while it leads.
    LeftAlone {
        /// How many.
        orders: u64,
        /// `--reconcile-max-age`.
        max_age: Duration,
    },
    /// The queue was counted.
    DepthRead(Depth),
    /// Traces are exported from now on.
    TracesExported,
    /// Spans were sent to the collector, or could not be.
    SpansSent {
        /// How many.
        spans: usize,
        /// Why they could not.
        error: Option<&'a str>,
    },
    /// A span was dropped, as the collector takes them too slowly.
    SpanDropped,
    /// The open orders in the store were counted.
    OpenOrdersRead(OpenOrders),
    /// How many connections to the store there are, over all of this worker's pools.
    ConnectionsRead(ConnectionUse),
    /// A connection to the queue or the store was made.
    ConnectionOpened(Dependency),
    /// A call to the store has waited for a connection, and got one or gave up.
    ConnectionAwaited {
        /// How long, the making of a connection included.
        took: Duration,
    },
    /// A task that had slept ran again.
    CanaryWoke {
        /// Where.
        runtime: Runtime,
        /// How much later than it had asked for.
        late: Duration,
    },
    /// Shutdown began: nothing more is claimed.
    Draining {
        /// Orders still in flight.
        in_flight: usize,
    },
    /// Shutdown ended.
    Drained {
        /// Orders that could not be settled in time; their leases bring them back.
        left: usize,
    },
}
