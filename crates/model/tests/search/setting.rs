//! What the protocol has to stand in a search, and which of its guards are left out.

use std::time::Duration;

use fulfillment_worker::domain::retry::{RetryPolicy, WhenAmbiguous};

use crate::world::Promise;

/// A guard that is left out, to see what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A conclusion looks at the row's state, and not at its fence.
    Fence,
    /// A conclusion looks at nothing: `UPDATE … WHERE id = …`.
    StateAndFence,
    /// The fence is the clock, which two transitions may read at the same microsecond.
    FenceMovesForward,
    /// The message is acknowledged first, and the row written then.
    AcknowledgeAfterCommit,
    /// One key for all attempts.
    SameKey,
    /// A takeover waits for the row's lease.
    TakeoverLease,
    /// A reconciler only pushes a message, and leaves the row to `begin`.
    ReconcilerOnlyPushes,
    /// Parking, an order that was taken over is parked.
    ParkAfterTakeover,
    /// A claimed message stays in the queue, under a lease.
    LeaseOnClaim,
    /// What was claimed ahead waits for the place of its call.
    Place,
    /// What was claimed ahead and is given up leaves its row to others, before its message goes back.
    ReleaseWhenPassedOver,
    /// What was given up is not called for any more.
    NoCallOnceGivenUp,
    /// A cancel reads and writes the row under one lock.
    CancelUnderLock,
    /// A begin leaves alone what is held.
    Hold,
    /// Whoever finds the row gone of an order that it had begun keeps a letter.
    LetterOfGoneRow,
    /// Whoever lost a row asks whether it is gone.
    LookAtLostRow,
}

/// What the protocol has to stand, and which parts of it are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// 1 or 2.
    pub(crate) orders: usize,
    /// How many messages may speak for one order at a time, 1 or 2. With 2, every order may get a second one at any
    /// time: from a producer that repeats itself, or from a queue that was restored from an old snapshot.
    pub(crate) messages: usize,
    /// How many orders a worker may have in hand, 1 or 2: it has a place for one call, and claims the other one ahead.
    pub(crate) hands: usize,
    /// Attempts that the policy allows, at most 2.
    pub(crate) max_attempts: u32,
    /// How many faults there may be on one way through the model, at most 15; without a limit where there is none.
    pub(crate) most_faults: Option<u8>,
    /// Whether the queue loses messages.
    pub(crate) lossy: bool,
    pub(crate) reconciler: bool,
    /// `--ambiguous park`.
    pub(crate) parking: bool,
    /// Whether the order API and operators cancel orders.
    pub(crate) cancellation: bool,
    /// Whether operators hold orders and release them.
    pub(crate) holding: bool,
    /// Whether rows vanish.
    pub(crate) vanishing: bool,
    pub(crate) without: Option<Guard>,
    /// The one promise that is looked at; all of them where there is none.
    pub(crate) looked_at: Option<Promise>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            orders: 1,
            messages: 1,
            hands: 1,
            max_attempts: 2,
            most_faults: None,
            lossy: true,
            reconciler: true,
            parking: false,
            cancellation: false,
            holding: false,
            vanishing: false,
            without: None,
            looked_at: None,
        }
    }
}

impl Setting {
    /// As the engine wants it. The model has no delays.
    pub(crate) fn policy(&self) -> RetryPolicy {
        let when_ambiguous = if self.parking { WhenAmbiguous::Park } else { WhenAmbiguous::Retry };
        RetryPolicy { max_attempts: self.max_attempts, base: Duration::ZERO, cap: Duration::ZERO, when_ambiguous }
    }
}
