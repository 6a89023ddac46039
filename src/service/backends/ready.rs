//! Waits until queue and store are ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Opened, StartError};
use crate::event::{Dependency, DependencyEvent};
use crate::port::queue::QueueError;
use crate::port::retrying::Retrying;
use crate::port::schema::Schema;
use crate::port::store::StoreError;

/// Waits until queue and store answer, for `wait` at most (`None`: without limit), and makes or checks the tables.
/// `progress` receives the state of each after every try: [`DependencyEvent::Up`], or [`DependencyEvent::Down`] if it
/// will be asked again.
///
/// # Errors
/// An error that waiting does not cure, or [`StartError::Unreachable`].
pub async fn wait_ready(
    opened: &Opened,
    migrate: bool,
    wait: Option<Duration>,
    mut progress: impl FnMut(DependencyEvent<'_>),
) -> Result<(), StartError> {
    let migrate = AtomicBool::new(migrate);
    let retrying = Retrying { limit: wait, ..Retrying::default() };
    let may_recover = |error: &NotReady| matches!(error, NotReady::Unavailable(_));
    let failed = |error: &NotReady, retry_in| {
        let NotReady::Unavailable(problems) = error else { return };
        for (dependency, problem) in problems {
            progress(match problem {
                None => DependencyEvent::Up(*dependency),
                Some(error) => DependencyEvent::Down { dependency: *dependency, error, retry_in },
            });
        }
    };
    let answer = retrying.until_answered(may_recover, failed, |_| ask(opened, &migrate)).await;
    match answer {
        Ok(()) => {
            progress(DependencyEvent::Up(Dependency::Queue));
            progress(DependencyEvent::Up(Dependency::Store));
            Ok(())
        }
        Err(NotReady::Refused(error)) => Err(error),
        Err(NotReady::Unavailable(problems)) => {
            let problems: Vec<String> = problems.into_iter().filter_map(|(_, problem)| problem).collect();
            Err(StartError::Unreachable(wait.unwrap_or_default(), problems.join("; ")))
        }
    }
}

/// Why queue and store can't both be used yet.
enum NotReady {
    /// At least one of them gave no answer: what each said.
    Unavailable([(Dependency, Option<String>); 2]),
    /// One of them refused.
    Refused(StartError),
}

/// Asks queue and store once. `migrate` is cleared when the tables are made.
async fn ask(opened: &Opened, migrate: &AtomicBool) -> Result<(), NotReady> {
    let prepared = prepare(&*opened.store.schema, migrate.load(Ordering::Relaxed));
    let (queue, store) = tokio::join!(opened.queue.reports.depth(), prepared);
    if store.is_ok() {
        migrate.store(false, Ordering::Relaxed);
    }
    let queue = problem(queue, QueueError::is_transient)?;
    let store = problem(store, StoreError::is_transient)?;
    if queue.is_none() && store.is_none() {
        return Ok(());
    }
    Err(NotReady::Unavailable([(Dependency::Queue, queue), (Dependency::Store, store)]))
}

async fn prepare(schema: &dyn Schema, migrate: bool) -> Result<(), StoreError> {
    if migrate {
        for applied in schema.migrate().await? {
            tracing::info!(migration = applied, "applied a migration");
        }
    }
    schema.check().await
}

/// The error's text, if waiting may cure it.
fn problem<T, E>(answer: Result<T, E>, is_transient: impl Fn(&E) -> bool) -> Result<Option<String>, NotReady>
where
    E: std::error::Error + Into<StartError>,
{
    match answer {
        Ok(_) => Ok(None),
        Err(error) if is_transient(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(NotReady::Refused(error.into())),
    }
}
