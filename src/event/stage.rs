//! Whom the worker calls, and for what.

/// A step of the pipeline that calls a dependency with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Queue: take messages under a lease.
    Claim,
    /// Store: take orders into work.
    Begin,
    /// Store: end attempts.
    Conclude,
    /// Store: keep dead letters.
    Bury,
    /// Queue: ack or retry.
    Settle,
    /// Queue: extend leases.
    RenewQueue,
    /// Store: extend leases.
    RenewStore,
}

impl Stage {
    /// Every stage, for metrics that show each from the start.
    pub const ALL: [Self; 7] =
        [Self::Claim, Self::Begin, Self::Conclude, Self::Bury, Self::Settle, Self::RenewQueue, Self::RenewStore];

    /// The stages that meet rows which others have locked, and pass them over.
    pub const PASSING_OVER: [Self; 3] = [Self::Begin, Self::Conclude, Self::RenewStore];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Begin => "begin",
            Self::Conclude => "conclude",
            Self::Bury => "bury",
            Self::Settle => "settle",
            Self::RenewQueue => "renew_queue",
            Self::RenewStore => "renew_store",
        }
    }

    /// Whom the stage calls.
    pub fn dependency(self) -> Dependency {
        match self {
            Self::Claim | Self::Settle | Self::RenewQueue => Dependency::Queue,
            Self::Begin | Self::Conclude | Self::Bury | Self::RenewStore => Dependency::Store,
        }
    }
}

/// What the worker can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dependency {
    /// Redis, or its embedded counterpart.
    Queue,
    /// Postgres, or its embedded counterpart.
    Store,
    /// Who does the work. Counts as up until its circuit breaker opens.
    Fulfiller,
}

impl Dependency {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Queue, Self::Store, Self::Fulfiller];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Store => "store",
            Self::Fulfiller => "fulfiller",
        }
    }
}
