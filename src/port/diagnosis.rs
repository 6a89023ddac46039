//! What `doctor` asks of queue and store: how they are set up, and how they fare.
//!
//! Every question changes nothing, has a limit of time and reads statistics and catalogues, never the rows of a large table.
//! What this user may not see is no error: a fact then says why it is missing.

use std::time::Duration;

use async_trait::async_trait;

use crate::port::queue::QueueError;
use crate::port::store::StoreError;

pub mod embedded;
pub mod postgres;
pub mod redis;

/// A fact, or why it can't be seen.
pub type Seen<T> = Result<T, String>;

/// Looks at the store.
///
/// ```
/// # use std::time::Duration;
/// # use fulfillment_worker::port::diagnosis::{StoreDiagnosis, StoreFacts};
/// # use fulfillment_worker::port::store::StoreError;
/// async fn is_embedded(store: &dyn StoreDiagnosis) -> Result<bool, StoreError> {
///     Ok(matches!(store.store_facts(Duration::ZERO).await?, StoreFacts::Embedded(_)))
/// }
/// ```
#[async_trait]
pub trait StoreDiagnosis: Send + Sync {
    /// Gathers the facts; counts what changes for `sample`, zero for not at all. An error is one of the very first question:
    /// later ones that fail leave a gap.
    async fn store_facts(&self, sample: Duration) -> Result<StoreFacts, StoreError>;
}

/// Looks at the queue.
///
/// ```
/// # use fulfillment_worker::port::diagnosis::{QueueDiagnosis, QueueFacts};
/// # use fulfillment_worker::port::queue::QueueError;
/// async fn is_redis(queue: &dyn QueueDiagnosis) -> Result<bool, QueueError> {
///     Ok(matches!(queue.queue_facts().await?, QueueFacts::Redis(_)))
/// }
/// ```
#[async_trait]
pub trait QueueDiagnosis: Send + Sync {
    /// Gathers the facts. An error is one of the very first question, as above.
    async fn queue_facts(&self) -> Result<QueueFacts, QueueError>;
}

/// What was found of a store.
#[derive(Debug, Clone)]
pub enum StoreFacts {
    /// A Postgres server, and the tables there.
    Postgres(Box<postgres::PostgresFacts>),
    /// A file.
    Embedded(embedded::EmbeddedFacts),
}

/// What was found of a queue.
#[derive(Debug, Clone)]
pub enum QueueFacts {
    /// A Redis server.
    Redis(Box<redis::RedisFacts>),
    /// A file.
    Embedded(embedded::EmbeddedFacts),
}

/// A server's clock as this machine sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockOffset {
    /// Seconds by which the server's clock is ahead of this machine's.
    pub ahead: f64,
    /// It may be this many seconds more or less: half of what the answer took.
    pub within: f64,
}

/// What is between us and a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Nothing but this machine: a Unix socket or the loopback interface.
    Local,
    /// TLS; the version and cipher, where they are known.
    Tls(Option<String>),
    /// A network, in clear text.
    Clear,
}
