//! Makes queue and store from their targets, and waits until they can be used. [`crate::service`] sets them to work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::embedded::Embedded;
use crate::WorkerId;
use crate::admin;
use crate::backend::postgres::{PostgresStore, PostgresStoreOptions};
use crate::backend::redis::{RedisQueue, RedisQueueOptions};
use crate::config::{Backends, QueueTarget, StoreTarget};
use crate::domain::retry;
use crate::event::{Dependency, Event, Observers};
use crate::observe::trace::export::TraceError;
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::Inventory;
use crate::port::reconciliation::Audit;
use crate::port::store::StoreError;

#[cfg_attr(not(feature = "sqlite"), path = "backends/without_embedded.rs")]
mod embedded;

/// The queue and the store, ready to be used; whether they answer is another matter ([`wait_ready`]).
#[derive(Clone)]
pub struct Opened {
    /// Where messages come from.
    pub queue: Arc<dyn Inventory>,
    /// Where orders live.
    pub store: Arc<dyn Audit>,
}

/// Why a command could not start its work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The embedded database can't be opened.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Embedded(#[from] crate::backend::sqlite::database::OpenError),
    /// The first names a feature that this build lacks, the second what needs it.
    #[error("this build lacks the feature `{0}`, which {1} needs")]
    Lacking(&'static str, &'static str),
    /// The failpoint that was asked for can't be had.
    #[cfg(feature = "faults")]
    #[error(transparent)]
    Failpoint(#[from] crate::testing::failpoint::Unusable),
    /// The queue can't be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The fulfiller can't be used as it is configured.
    #[error("--fulfiller: {0}")]
    Fulfiller(String),
    /// The threads that call the fulfiller, renew leases and serve metrics can't be started.
    #[error("the threads that call the fulfiller, renew leases and serve metrics can't be started: {0}")]
    Threads(#[from] std::io::Error),
    /// Traces can't be exported as they are configured.
    #[error(transparent)]
    Traces(#[from] TraceError),
    /// The address to listen on can't be had.
    #[error(transparent)]
    Listen(#[from] admin::BindError),
    /// A server did not answer in time.
    #[error("gave up after waiting {0:?} (--wait): {1}")]
    Unreachable(Duration, String),
}

/// Makes the backends. Servers are not contacted yet.
///
/// # Errors
/// When an embedded database can't be opened or a URL can't be used.
pub fn open(backends: &Backends, worker: &WorkerId) -> Result<Opened, StartError> {
    Opening::new(backends, worker, &Observers::default()).both()
}

/// Makes the backends of a worker, and those that it renews its leases through: with connections of their own to the
/// servers, one of the store's among them, and the same where queue or store is embedded, as those have their own threads.
/// `observers` are told of the connections.
///
/// # Errors
/// As [`open`].
pub fn open_with_leases(
    backends: &Backends,
    worker: &WorkerId,
    observers: &Observers,
) -> Result<(Opened, Opened), StartError> {
    let others = Backends { store_connections: backends.store_connections.saturating_sub(1), ..backends.clone() };
    let opened = Opening::new(&others, worker, observers).both()?;
    let backends = Backends { store_connections: 1, ..backends.clone() };
    let mut opening = Opening::new(&backends, worker, observers);
    let queue = match backends.queue {
        QueueTarget::Redis(_) => opening.queue()?,
        QueueTarget::Sqlite(_) => Arc::clone(&opened.queue),
    };
    let store = match backends.store {
        StoreTarget::Postgres(_) => opening.store()?,
        StoreTarget::Sqlite(_) => Arc::clone(&opened.store),
    };
    Ok((opened, Opened { queue, store }))
}

/// Makes the store alone, for commands that need no queue.
///
/// # Errors
/// As [`open`].
pub fn open_store(backends: &Backends, worker: &WorkerId) -> Result<Arc<dyn Audit>, StartError> {
    Opening::new(backends, worker, &Observers::default()).store()
}

/// Makes backends.
struct Opening<'a> {
    backends: &'a Backends,
    worker: &'a WorkerId,
    observers: &'a Observers,
    embedded: Embedded,
}

impl<'a> Opening<'a> {
    fn new(backends: &'a Backends, worker: &'a WorkerId, observers: &'a Observers) -> Self {
        Self { backends, worker, observers, embedded: Embedded::default() }
    }

    fn both(mut self) -> Result<Opened, StartError> {
        Ok(Opened { queue: self.queue()?, store: self.store()? })
    }

    fn queue(&mut self) -> Result<Arc<dyn Inventory>, StartError> {
        let (worker, lease) = (self.worker.clone(), self.backends.lease);
        let queue: Arc<dyn Inventory> = match &self.backends.queue {
            QueueTarget::Redis(url) => {
                let options = RedisQueueOptions { key: self.backends.queue_key.clone(), lease, worker };
                Arc::new(RedisQueue::connect(url, options, self.observers.clone())?)
            }
            QueueTarget::Sqlite(path) => self.embedded.queue(path, worker, lease)?,
        };
        #[cfg(feature = "faults")]
        let queue = crate::testing::failpoint::before_queue(queue)?;
        Ok(queue)
    }

    fn store(&mut self) -> Result<Arc<dyn Audit>, StartError> {
        let Backends { lease, events, store_connections: connections, .. } = *self.backends;
        let worker = self.worker.clone();
        let store: Arc<dyn Audit> = match &self.backends.store {
            StoreTarget::Postgres(url) => {
                let options = PostgresStoreOptions { worker, lease, events, connections };
                Arc::new(PostgresStore::connect(url, options, self.observers.clone())?)
            }
            StoreTarget::Sqlite(path) => self.embedded.store(path, worker, lease, events)?,
        };
        #[cfg(feature = "faults")]
        let store = crate::testing::failpoint::before_store(store)?;
        Ok(store)
    }
}

/// The SQL that makes the worker's own tables in such a store.
///
/// # Errors
/// [`StartError::Lacking`].
pub fn migration_sql(store: &StoreTarget) -> Result<String, StartError> {
    match store {
        StoreTarget::Postgres(_) => Ok(crate::backend::postgres::migration_sql()),
        StoreTarget::Sqlite(_) => embedded::migration_sql(),
    }
}

/// Waits until queue and store answer, for `wait` at most (`None`: for ever), and makes or checks the worker's own
/// tables. `progress` is told what each of them says: [`Event::DependencyUp`], and [`Event::DependencyDown`] for as long as
/// it is asked again.
///
/// # Errors
/// What a server refuses for good, or [`StartError::Unreachable`].
pub async fn wait_ready(
    opened: &Opened,
    mut migrate: bool,
    wait: Option<Duration>,
    mut progress: impl FnMut(Event<'_>),
) -> Result<(), StartError> {
    let began = Instant::now();
    let mut failures = 0;
    loop {
        let (queue, store) = tokio::join!(opened.queue.depth(), prepare(&*opened.store, migrate));
        migrate &= store.is_err();
        let answers = [
            (Dependency::Queue, problem(queue, QueueError::is_transient)?),
            (Dependency::Store, problem(store, StoreError::is_transient)?),
        ];
        let problems: Vec<&str> = answers.iter().filter_map(|(_, problem)| problem.as_deref()).collect();
        failures += 1;
        let pause = match retry::dependency_pause(failures, began.elapsed(), wait) {
            Some(pause) => pause,
            None if problems.is_empty() => Duration::ZERO,
            None => return Err(StartError::Unreachable(wait.unwrap_or_default(), problems.join("; "))),
        };
        for (dependency, problem) in &answers {
            let dependency = *dependency;
            progress(match problem {
                None => Event::DependencyUp(dependency),
                Some(error) => Event::DependencyDown { dependency, error, retry_in: pause },
            });
        }
        if problems.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
}

async fn prepare(store: &dyn Audit, migrate: bool) -> Result<(), StoreError> {
    if migrate {
        for applied in store.migrate().await? {
            tracing::info!(migration = applied, "applied a migration");
        }
    }
    store.check().await
}

/// What is wrong for now, and may be well later.
fn problem<T, E>(answer: Result<T, E>, is_transient: impl Fn(&E) -> bool) -> Result<Option<String>, E>
where
    E: std::error::Error,
{
    match answer {
        Ok(_) => Ok(None),
        Err(error) if is_transient(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}
