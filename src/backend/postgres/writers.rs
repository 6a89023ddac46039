//! Knows which connections lead to a server that takes no writes: a standby by now, or one that was set read-only. They are
//! dropped, so that the next one is made to wherever the URL leads: with several hosts, to the one that takes writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_postgres::{Connection, Socket};

use super::negotiation::Stream;

/// What a server reports of itself, and says again as soon as that changes, from version 14 on.
const REPORTED: [&str; 2] = ["in_hot_standby", "default_transaction_read_only"];

/// Counts how often a connection of this pool has turned out to lead to a server that takes no writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Writers(Arc<AtomicU64>);

impl Writers {
    /// Whether any has: whoever uses this pool wants to write.
    pub(super) fn were_refused(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    /// For a connection that is made now.
    pub(super) fn lead(&self) -> Lead {
        Lead { writers: self.clone(), since: self.0.load(Ordering::Acquire), reports: Arc::default() }
    }
}

/// Where one connection leads, as far as is known.
#[derive(Debug)]
pub(super) struct Lead {
    writers: Writers,
    since: u64,
    reports: Arc<AtomicBool>,
}

impl Lead {
    /// What the server reports is written here.
    pub(super) fn reports(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reports)
    }

    /// A write was refused: this connection is of no use, and each one that was made before now is doubtful.
    pub(super) fn refuses_writes(&self) {
        self.writers.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether no connection of the pool was refused a write since this one was made.
    pub(super) fn is_trusted(&self) -> bool {
        self.since == self.writers.0.load(Ordering::Acquire)
    }

    /// Whether the server says that it takes no writes. A pooler in between may have that from long ago: ask it.
    pub(super) fn reports_reader(&self) -> bool {
        self.reports.load(Ordering::Acquire)
    }
}

/// Whether the server has reported that it takes no writes.
pub(super) fn is_reader(connection: &Connection<Socket, Stream>) -> bool {
    REPORTED.iter().any(|name| connection.parameter(name) == Some("on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_is_held_against_every_connection_that_was_made_before_it() {
        let writers = Writers::default();
        let (first, second) = (writers.lead(), writers.lead());
        assert!(first.is_trusted() && second.is_trusted());
        first.refuses_writes();
        assert!(!first.is_trusted() && !second.is_trusted() && writers.lead().is_trusted());
    }
}
