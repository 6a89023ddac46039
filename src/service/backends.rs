//! Makes queue and store from their targets, and waits until they can be used. [`crate::service`] sets them to work.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::WorkerId;
use crate::admin;
use crate::backend::postgres::{PostgresStore, PostgresStoreOptions};
use crate::backend::redis::{RedisQueue, RedisQueueOptions};
use crate::backend::sqlite::database::{Database, OpenError};
use crate::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use crate::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use crate::config::{Backends, QueueTarget, StoreTarget};
use crate::domain::retry;
use crate::event::{Dependency, Event, Observers};
use crate::observe::trace::export::TraceError;
use crate::port::queue::QueueError;
use crate::port::queue_maintenance::Inventory;
use crate::port::reconciliation::Audit;
use crate::port::store::StoreError;

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
    #[error(transparent)]
    Embedded(#[from] OpenError),
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
    /// SIGTERM and SIGINT can't be listened for.
    #[error("can't listen for SIGTERM and SIGINT: {0}")]
    Signals(std::io::Error),
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

/// Makes backends. The embedded database is opened once where queue and store share its file.
struct Opening<'a> {
    backends: &'a Backends,
    worker: &'a WorkerId,
    observers: &'a Observers,
    embedded: Option<Database>,
}

impl<'a> Opening<'a> {
    fn new(backends: &'a Backends, worker: &'a WorkerId, observers: &'a Observers) -> Self {
        Self { backends, worker, observers, embedded: None }
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
            QueueTarget::Sqlite(path) => {
                Arc::new(SqliteQueue::new(self.database(path)?, SqliteQueueOptions { lease, worker }))
            }
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
            StoreTarget::Sqlite(path) => {
                Arc::new(SqliteStore::new(self.database(path)?, SqliteStoreOptions { worker, lease, events }))
            }
        };
        #[cfg(feature = "faults")]
        let store = crate::testing::failpoint::before_store(store)?;
        Ok(store)
    }

    fn database(&mut self, path: &Path) -> Result<Database, OpenError> {
        match &self.embedded {
            Some(database) if database.path() == path => Ok(database.clone()),
            _ => Ok(self.embedded.insert(Database::open(path)?).clone()),
        }
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
