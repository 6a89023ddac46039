//! Queue and store for commands that are no service.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::Args;

use super::failure::Failure;
use super::output;
use crate::config::environment::Environment;
use crate::config::fallback::{self, Fallback};
use crate::config::options::{self, BackendOptions};
use crate::config::values::{self, Wait};
use crate::config::{Backends, Origin, Origins, QueueTarget, StoreTarget};
use crate::domain::worker_id::WorkerId;
use crate::event::{Dependency, DependencyEvent};
use crate::port::horizon::{Horizons, Noted};
use crate::port::queue::QueueError;
use crate::port::retrying::Retrying;
use crate::port::schema::Schema;
use crate::port::store::StoreError;
use crate::service::backends::{self, Opened, QueueRoles, StoreRoles};

/// How often a reason to wait is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(5);

/// Where queue and store are, and how long to wait for them.
#[derive(Debug, Args)]
pub(super) struct ConnectOptions {
    /// How long to wait for a server that does not answer: a duration, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::wait)]
    pub(super) wait: Wait,

    #[command(flatten)]
    pub(super) backends: BackendOptions,
}

impl ConnectOptions {
    /// Opens queue and store and waits until both answer. Creates no embedded database.
    pub(super) async fn open(&self, origins: &Origins) -> Result<(Backends, Opened), Failure> {
        let (backends, opened) = self.open_unasked(origins)?;
        until_ready(&opened, false, self.wait).await?;
        Ok((backends, opened))
    }

    /// As [`Self::open`], also where no worker has made its own tables yet.
    pub(super) async fn open_to_look(&self, origins: &Origins) -> Result<(Backends, Opened), Failure> {
        let (backends, opened) = self.open_unasked(origins)?;
        let schema =
            Arc::new(OnlyIfStarted { horizons: opened.store.horizons.clone(), own: opened.store.schema.clone() });
        let looking = Opened { store: StoreRoles { schema, ..opened.store.clone() }, ..opened.clone() };
        until_ready(&looking, false, self.wait).await?;
        Ok((backends, opened))
    }

    /// Opens queue and store, and asks neither yet. Creates no embedded database.
    pub(super) fn open_unasked(&self, origins: &Origins) -> Result<(Backends, Opened), Failure> {
        let backends = self.backends.resolve(origins, Fallback::detect())?;
        if let StoreTarget::Sqlite(path) = &backends.store {
            file_exists("store", path, origins)?;
        }
        if let QueueTarget::Sqlite(path) = &backends.queue {
            file_exists("queue", path, origins)?;
        }
        let opened = open(&backends)?;
        Ok((backends, opened))
    }

    /// Opens the queue alone and waits until it answers. Creates no embedded database.
    pub(super) async fn open_queue(&self, origins: &Origins) -> Result<(Backends, QueueRoles), Failure> {
        let backends = self.backends.resolve_queue(origins, Fallback::detect())?;
        if let QueueTarget::Sqlite(path) = &backends.queue {
            file_exists("queue", path, origins)?;
        }
        let queue = backends::open_queue(&backends, &WorkerId::fresh())?;
        until_answered(self.wait, QueueError::is_transient, async || queue.reports.depth().await).await?;
        Ok((backends, queue))
    }

    /// Opens the store alone and waits until it answers. Creates no embedded database.
    pub(super) async fn open_store(&self, origins: &Origins) -> Result<(Backends, StoreRoles), Failure> {
        let backends = self.backends.resolve_store(origins, Fallback::detect())?;
        if let StoreTarget::Sqlite(path) = &backends.store {
            file_exists("store", path, origins)?;
        }
        let store = backends::open_store(&backends, &WorkerId::fresh())?;
        until_answered(self.wait, StoreError::is_transient, async || store.schema.check().await).await?;
        Ok((backends, store))
    }
}

fn open(backends: &Backends) -> Result<Opened, Failure> {
    if let Some(warning) = configuration_warning(backends) {
        output::note(&format!("note: {warning}"));
    }
    Ok(backends::open(backends, &WorkerId::fresh())?)
}

/// Opens queue and store and waits until both answer, for at most `wait`; notes the reason to wait. For a role that places
/// orders and may have no right to anything else: an insertion says what it lacks.
pub(super) async fn connect_to_place(
    backends: &Backends,
    migrate: bool,
    wait: Option<Duration>,
) -> Result<Opened, Failure> {
    let opened = open(backends)?;
    let mut placing = opened.clone();
    if let StoreTarget::Postgres(_) = backends.store {
        placing.store.schema = Arc::new(OrdersAlone { own: opened.store.schema.clone() });
    }
    until_ready(&placing, migrate, wait).await?;
    Ok(opened)
}

/// Waits until queue and store answer, for at most `wait`; notes the reason to wait.
pub(super) async fn until_ready(opened: &Opened, migrate: bool, wait: Option<Duration>) -> Result<(), Failure> {
    let (mut note_queue, mut note_store) = (throttled_notice(), throttled_notice());
    let progress = |event: DependencyEvent<'_>| match event {
        DependencyEvent::Down { dependency: Dependency::Queue, error, .. } => note_queue(error),
        DependencyEvent::Down { error, .. } => note_store(error),
        _ => {}
    };
    Ok(backends::wait_ready(opened, migrate, wait, progress).await?)
}

/// Lets the worker's own tables be missing before a worker has started; the order API's must do at any time.
struct OnlyIfStarted {
    horizons: Arc<dyn Horizons>,
    own: Arc<dyn Schema>,
}

#[async_trait]
impl Schema for OnlyIfStarted {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn grant(&self, role: &str) -> Result<(), StoreError> {
        self.own.grant(role).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        match self.horizons.noted().await? {
            Noted::Horizon(_) => self.own.check().await,
            Noted::Nothing | Noted::OlderTables => match self.own.check().await {
                Err(StoreError::Schema(_)) => Ok(()),
                checked => checked,
            },
        }
    }

    async fn warning(&self) -> Result<Option<String>, StoreError> {
        self.own.warning().await
    }
}

/// Asks no more than that the order API's tables can be worked with.
struct OrdersAlone {
    own: Arc<dyn Schema>,
}

#[async_trait]
impl Schema for OrdersAlone {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.own.migrate().await
    }

    async fn grant(&self, role: &str) -> Result<(), StoreError> {
        self.own.grant(role).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        match self.own.check().await {
            Err(StoreError::Schema(_)) => Ok(()),
            checked => checked,
        }
    }

    async fn warning(&self) -> Result<Option<String>, StoreError> {
        self.own.warning().await
    }
}

/// Repeats `call` until it succeeds, fails for good, or `wait` is over; notes the reason to wait.
pub(super) async fn until_answered<T, E: Display>(
    wait: Option<Duration>,
    is_transient: impl Fn(&E) -> bool,
    call: impl AsyncFn() -> Result<T, E>,
) -> Result<T, Failure> {
    let mut note = throttled_notice();
    Retrying { limit: wait, ..Retrying::default() }
        .until_answered(is_transient, |error, _| note(&error.to_string()), |_| call())
        .await
        .map_err(Failure::work)
}

/// What `run` warns of before it contacts a server, besides the variables of traces.
pub(super) fn warnings(backends: &Backends, origins: &Origins, environment: &Environment) -> Vec<String> {
    // Has a variable, though no key in the file.
    let known: Vec<String> = options::settable().into_iter().chain(["config".to_owned()]).collect();
    let unknown = environment.unknown(&known).map(|name| format!("no option has the name of the variable {name}"));
    let fallback = fallback::warning(origins).map(str::to_owned);
    fallback
        .into_iter()
        .chain(configuration_warning(backends))
        .chain(without_warehouse(backends, origins))
        .chain(unknown)
        .chain(origins.exposed_secrets())
        .collect()
}

/// Warns when only one of queue and store is embedded: most likely the variable of the other one is missing.
pub(super) fn configuration_warning(backends: &Backends) -> Option<String> {
    let Backends { queue, store, .. } = backends;
    let (embedded, other, option) = match (queue, store) {
        (QueueTarget::Sqlite(_), StoreTarget::Postgres(_)) => {
            (format!("queue is embedded ({queue})"), format!("store is not ({store})"), "queue")
        }
        (QueueTarget::Redis(_), StoreTarget::Sqlite(_)) => {
            (format!("store is embedded ({store})"), format!("queue is not ({queue})"), "store")
        }
        _ => return None,
    };
    Some(format!("the {embedded} and the {other}; set --{option} unless you mean it"))
}

/// Warns where a shop's orders would become `fulfilled`, and nobody would ship them.
fn without_warehouse(backends: &Backends, origins: &Origins) -> Option<String> {
    let is_unset = origins.of("fulfiller") == Origin::Default;
    let warning = "--fulfiller is not set, so the work is simulated: orders become `fulfilled`, and no warehouse is called; set it, or \
                   write --fulfiller simulated if you mean it";
    (is_unset && matches!(backends.store, StoreTarget::Postgres(_))).then(|| warning.to_owned())
}

/// Notes a reason to wait, the same one at most every few seconds.
pub(super) fn throttled_notice() -> impl FnMut(&str) {
    let mut last: Option<(String, Instant)> = None;
    move |problem| {
        if last.as_ref().is_none_or(|(noted, at)| noted != problem || at.elapsed() >= REPEAT_AFTER) {
            output::note(&format!("waiting: {problem}"));
            last = Some((problem.to_owned(), Instant::now()));
        }
    }
}

fn file_exists(option: &str, path: &Path, origins: &Origins) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    if fallback::warning(origins).is_some() {
        return Err(Failure::Work(format!(
            "nothing is configured, and embedded database {} does not exist here; set --queue and --store, or create it \
             with `run` or `submit`",
            path.display()
        )));
    }
    Err(Failure::Work(format!(
        "embedded database {} does not exist; name another with --{option}, or create it with `run` or `submit`",
        path.display()
    )))
}
