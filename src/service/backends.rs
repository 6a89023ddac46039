//! Opens queue and store, and waits until they are ready.

use std::sync::Arc;
use std::time::Duration;

use self::embedded::Embedded;
use crate::admin;
use crate::backend::postgres::{PostgresStore, PostgresStoreOptions};
use crate::backend::redis::{RedisQueue, RedisQueueOptions};
use crate::config::{Backends, QueueTarget, StoreTarget};
use crate::domain::worker_id::WorkerId;
use crate::event::Observers;
use crate::observe::trace::export::TraceError;
use crate::operations::documents::status::Place;
use crate::port::activity::ActivityLog;
use crate::port::audit::Audit;
use crate::port::controls::Controls;
use crate::port::dead_letters::DeadLetters;
use crate::port::decisions::OrderDecisions;
use crate::port::diagnosis::{QueueDiagnosis, StoreDiagnosis};
use crate::port::horizon::Horizons;
use crate::port::intake::Intake;
use crate::port::jobs::Jobs;
use crate::port::queue::{Producer, Queue, QueueError, QueueReports};
use crate::port::queue_maintenance::{HandBack, QueueMaintenance};
use crate::port::reconciliation::Reconciliation;
use crate::port::reports::Reports;
use crate::port::retention::Retention;
use crate::port::schema::Schema;
use crate::port::search::{Feed, Notes, OrderSearch};
use crate::port::store::{OrderStore, StoreError};
use crate::port::trends::Trends;
#[cfg(feature = "faults")]
use crate::testing::failpoint;

#[cfg_attr(not(feature = "sqlite"), path = "backends/without_embedded.rs")]
mod embedded;
mod ready;

pub use ready::wait_ready;

/// Queue and store, opened. Neither may have answered yet; see [`wait_ready`].
#[derive(Clone)]
pub struct Opened {
    /// The queue.
    pub queue: QueueRoles,
    /// The store.
    pub store: StoreRoles,
}

/// Where queue and store are, without passwords.
pub fn place(backends: &Backends) -> Place {
    let queue_key = matches!(backends.queue, QueueTarget::Redis(_)).then(|| backends.queue_key.clone());
    Place { store: backends.store.to_string(), queue: backends.queue.to_string(), queue_key }
}

/// One queue in each of its roles.
#[derive(Clone)]
pub struct QueueRoles {
    /// Hands out messages.
    pub messages: Arc<dyn Queue>,
    /// Takes new messages.
    pub producer: Arc<dyn Producer>,
    /// Says how full it is.
    pub reports: Arc<dyn QueueReports>,
    /// Browses and repairs it.
    pub maintenance: Arc<dyn QueueMaintenance>,
    /// Makes claimed messages new again.
    pub hand_back: Arc<dyn HandBack>,
    /// Says how it is set up.
    pub diagnosis: Arc<dyn QueueDiagnosis>,
}

/// One store in each of its roles.
#[derive(Clone)]
pub struct StoreRoles {
    /// Moves orders through their attempts.
    pub orders: Arc<dyn OrderStore>,
    /// Finds, redrives and marks dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Cancels, holds and releases orders.
    pub decisions: Arc<dyn OrderDecisions>,
    /// Says how many orders there are, and how they are.
    pub reports: Arc<dyn Reports>,
    /// Finds orders.
    pub search: Arc<dyn OrderSearch>,
    /// Reads transitions as they happen.
    pub feed: Arc<dyn Feed>,
    /// Takes down what people did.
    pub notes: Arc<dyn Notes>,
    /// Elects the reconciler and finds lost orders.
    pub reconciliation: Arc<dyn Reconciliation>,
    /// Deletes old timelines.
    pub retention: Arc<dyn Retention>,
    /// Judges every row.
    pub audit: Arc<dyn Audit>,
    /// Keeps the horizon.
    pub horizons: Arc<dyn Horizons>,
    /// Keeps what operators set for workers, and which workers there are.
    pub controls: Arc<dyn Controls>,
    /// Keeps what people did.
    pub activity: Arc<dyn ActivityLog>,
    /// Keeps the jobs of operators.
    pub jobs: Arc<dyn Jobs>,
    /// Keeps the history of the workers.
    pub trends: Arc<dyn Trends>,
    /// Inserts orders.
    pub intake: Arc<dyn Intake>,
    /// Makes and checks the tables.
    pub schema: Arc<dyn Schema>,
    /// Says how it is set up.
    pub diagnosis: Arc<dyn StoreDiagnosis>,
}

impl QueueRoles {
    fn of<Q>(queue: Arc<Q>) -> Result<Self, StartError>
    where
        Q: Queue + Producer + QueueReports + QueueMaintenance + HandBack + QueueDiagnosis + 'static,
    {
        let roles = Self {
            messages: queue.clone(),
            producer: queue.clone(),
            reports: queue.clone(),
            maintenance: queue.clone(),
            hand_back: queue.clone(),
            diagnosis: queue,
        };
        #[cfg(feature = "faults")]
        let roles = Self {
            messages: failpoint::before_queue(roles.messages)?,
            maintenance: failpoint::before_queue_maintenance(roles.maintenance)?,
            hand_back: failpoint::before_hand_back(roles.hand_back)?,
            ..roles
        };
        Ok(roles)
    }
}

impl StoreRoles {
    fn of<S>(store: Arc<S>) -> Result<Self, StartError>
    where
        S: OrderStore
            + DeadLetters
            + OrderDecisions
            + Reports
            + OrderSearch
            + Feed
            + Notes
            + Reconciliation
            + Retention
            + Audit
            + Horizons
            + Controls
            + ActivityLog
            + Jobs
            + Trends
            + Intake
            + Schema
            + StoreDiagnosis
            + 'static,
    {
        let roles = Self {
            orders: store.clone(),
            dead_letters: store.clone(),
            decisions: store.clone(),
            reports: store.clone(),
            search: store.clone(),
            feed: store.clone(),
            notes: store.clone(),
            reconciliation: store.clone(),
            retention: store.clone(),
            audit: store.clone(),
            horizons: store.clone(),
            controls: store.clone(),
            activity: store.clone(),
            jobs: store.clone(),
            trends: store.clone(),
            intake: store.clone(),
            schema: store.clone(),
            diagnosis: store,
        };
        #[cfg(feature = "faults")]
        let roles = Self {
            orders: failpoint::before_store(roles.orders)?,
            decisions: failpoint::before_decisions(roles.decisions)?,
            horizons: failpoint::before_horizons(roles.horizons)?,
            controls: failpoint::before_controls(roles.controls)?,
            jobs: failpoint::before_jobs(roles.jobs)?,
            trends: failpoint::before_trends(roles.trends)?,
            reconciliation: failpoint::before_reconciliation(roles.reconciliation)?,
            schema: failpoint::before_schema(roles.schema)?,
            ..roles
        };
        Ok(roles)
    }
}

/// Why a command could not start its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// The value of the option leads to nothing that can be used.
    #[error("--{0}: {1}")]
    Unusable(&'static str, String),
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
    /// Signals can't be listened for.
    #[error("can't listen for SIGTERM and SIGINT: {0}")]
    Signals(std::io::Error),
    /// Traces can't be exported as they are configured.
    #[error(transparent)]
    Traces(#[from] TraceError),
    /// An address or a Unix socket to listen on can't be had.
    #[error(transparent)]
    Listen(#[from] admin::BindError),
    /// The file of `--web-config` or the names of `--operators` can't be used.
    #[error(transparent)]
    Access(#[from] admin::AccessError),
    /// A server did not answer in time.
    #[error("gave up after waiting {0:?} (--wait): {1}")]
    Unreachable(Duration, String),
}

/// Opens the backends. Contacts no server.
///
/// # Errors
/// When an embedded database can't be opened or a URL can't be used.
pub fn open(backends: &Backends, worker: &WorkerId) -> Result<Opened, StartError> {
    Opening::new(backends, worker, &Observers::default()).both()
}

/// Opens two sets of backends, one for the pipeline and one for renewing leases, so that a busy pool cannot delay a
/// renewal. One of `store_connections` is reserved for leases. An embedded database has its own thread, so both sets
/// share it. `observers` learn of each new connection.
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
        QueueTarget::Sqlite(_) => opened.queue.clone(),
    };
    let store = match backends.store {
        StoreTarget::Postgres(_) => opening.store()?,
        StoreTarget::Sqlite(_) => opened.store.clone(),
    };
    Ok((opened, Opened { queue, store }))
}

/// Makes the clients of servers as [`open`] does, and drops them; looks at the file of an embedded database, and doesn't open
/// it.
///
/// # Errors
/// As [`open`].
#[cfg(feature = "cli")]
pub fn check(backends: &Backends) -> Result<(), StartError> {
    let (worker, observers) = (WorkerId::fresh(), Observers::default());
    let mut opening = Opening::new(backends, &worker, &observers);
    match &backends.queue {
        QueueTarget::Redis(_) => drop(opening.queue()?),
        QueueTarget::Sqlite(path) => embedded::check(path)?,
    }
    match &backends.store {
        StoreTarget::Postgres(_) => drop(opening.store()?),
        StoreTarget::Sqlite(path) => embedded::check(path)?,
    }
    Ok(())
}

/// Opens the queue alone, for commands that need no store.
///
/// # Errors
/// As [`open`].
pub fn open_queue(backends: &Backends, worker: &WorkerId) -> Result<QueueRoles, StartError> {
    Opening::new(backends, worker, &Observers::default()).queue()
}

/// Opens the store alone, for commands that need no queue.
///
/// # Errors
/// As [`open`].
pub fn open_store(backends: &Backends, worker: &WorkerId) -> Result<StoreRoles, StartError> {
    Opening::new(backends, worker, &Observers::default()).store()
}

/// Opens backends. An embedded database is opened once if queue and store share its file.
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

    fn queue(&mut self) -> Result<QueueRoles, StartError> {
        let (worker, lease) = (self.worker.clone(), self.backends.lease);
        match &self.backends.queue {
            QueueTarget::Redis(url) => {
                let options = RedisQueueOptions { key: self.backends.queue_key.clone(), lease, worker };
                let tls = &self.backends.queue_tls;
                let queue = RedisQueue::connect(url, tls, options, self.observers.clone());
                QueueRoles::of(Arc::new(queue.map_err(|error| StartError::Unusable("queue", error.to_string()))?))
            }
            QueueTarget::Sqlite(path) => self.embedded.queue(path, worker, lease),
        }
    }

    fn store(&mut self) -> Result<StoreRoles, StartError> {
        let Backends { lease, events, store_connections: connections, .. } = *self.backends;
        let worker = self.worker.clone();
        match &self.backends.store {
            StoreTarget::Postgres(url) => {
                let options = PostgresStoreOptions { worker, lease, events, connections };
                let store = PostgresStore::connect(url, options, self.observers.clone());
                StoreRoles::of(Arc::new(store.map_err(|error| StartError::Unusable("store", error.to_string()))?))
            }
            StoreTarget::Sqlite(path) => self.embedded.store(path, worker, lease, events),
        }
    }
}

/// The SQL that creates the worker's own tables in such a store.
///
/// # Errors
/// [`StartError::Lacking`].
pub fn migration_sql(store: &StoreTarget) -> Result<String, StartError> {
    match store {
        StoreTarget::Postgres(_) => Ok(crate::backend::postgres::migration_sql()),
        StoreTarget::Sqlite(_) => embedded::migration_sql(),
    }
}

/// The SQL that gives `role` what a worker needs of these tables, where there are roles.
pub fn grant_sql(store: &StoreTarget, role: &str) -> Option<String> {
    match store {
        StoreTarget::Postgres(_) => Some(crate::backend::postgres::grant_sql(role)),
        StoreTarget::Sqlite(_) => None,
    }
}
