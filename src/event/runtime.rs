//! The threads that tasks run on.

/// One of the worker's runtimes, each with threads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Claims, commits, polls and the server for metrics and health.
    Engine,
    /// Calls to the fulfiller.
    Calls,
    /// Renews leases.
    Leases,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Engine, Self::Calls, Self::Leases];

    /// As in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Calls => "calls",
            Self::Leases => "leases",
        }
    }
}
