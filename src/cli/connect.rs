//! Queue and store for commands that are no service.

use std::path::Path;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::output;
use crate::WorkerId;
use crate::config::{Backends, QueueTarget, StoreTarget};
use crate::event::{Dependency, DependencyEvent};
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;
use crate::service::backends::{self, Opened, StoreRoles};

/// How often it is said that something keeps us waiting.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Opens queue and store and waits for `wait` until both answer, saying what it waits for.
pub(super) async fn connect(backends: &Backends, migrate: bool, wait: Option<Duration>) -> Result<Opened, Failure> {
    if let Some(doubt) = doubt(backends) {
        output::note(&format!("note: {doubt}"));
    }
    let opened = backends::open(backends, &WorkerId::fresh())?;
    let (mut say_of_queue, mut say_of_store) = (patient_notes(), patient_notes());
    let progress = |event: DependencyEvent<'_>| match event {
        DependencyEvent::Down { dependency: Dependency::Queue, error, .. } => say_of_queue(error),
        DependencyEvent::Down { error, .. } => say_of_store(error),
        _ => {}
    };
    backends::wait_ready(&opened, migrate, wait, progress).await?;
    Ok(opened)
}

/// Opens the store alone, for a command that only looks at it, and waits for `wait` until it answers.
pub(super) async fn store(backends: &Backends, wait: Option<Duration>) -> Result<StoreRoles, Failure> {
    if let StoreTarget::Sqlite(path) = &backends.store {
        file_must_exist("store", path)?;
    }
    let store = backends::open_store(backends, &WorkerId::fresh())?;
    let mut say = patient_notes();
    Retrying { limit: wait, ..Retrying::default() }
        .until_answered(StoreError::is_transient, |error, _| say(&error.to_string()), |_| store.schema.check())
        .await
        .map_err(|error| Failure::Work(error.to_string()))?;
    Ok(store)
}

/// When only one of queue and store is embedded, one of two variables was most likely forgotten.
pub(super) fn doubt(backends: &Backends) -> Option<String> {
    let Backends { queue, store, .. } = backends;
    match (queue, store) {
        (QueueTarget::Sqlite(_), StoreTarget::Postgres(_)) => Some(format!(
            "the queue is embedded ({queue}) and the store is not ({store}); set --queue unless that is meant"
        )),
        (QueueTarget::Redis(_), StoreTarget::Sqlite(_)) => Some(format!(
            "the store is embedded ({store}) and the queue is not ({queue}); set --store unless that is meant"
        )),
        _ => None,
    }
}

/// Passes on what keeps us waiting, the same thing not more than every few seconds.
pub(super) fn patient_notes() -> impl FnMut(&str) {
    let mut said: Option<(String, Instant)> = None;
    move |problem| {
        let again = said.as_ref().is_none_or(|(last, at)| last != problem || at.elapsed() >= SAY_AGAIN_AFTER);
        if again {
            output::note(&format!("waiting: {problem}"));
            said = Some((problem.to_owned(), Instant::now()));
        }
    }
}

/// For commands that only look: an embedded database that isn't there would be made by opening it.
pub(super) fn must_exist(backends: &Backends) -> Result<(), Failure> {
    if let StoreTarget::Sqlite(path) = &backends.store {
        file_must_exist("store", path)?;
    }
    if let QueueTarget::Sqlite(path) = &backends.queue {
        file_must_exist("queue", path)?;
    }
    Ok(())
}

fn file_must_exist(option: &str, path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    Err(Failure::Work(format!(
        "embedded database {} does not exist; name another with --{option}, or make it with `run` or `submit`",
        path.display()
    )))
}
