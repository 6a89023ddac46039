//! Settles the horizon before the first claim: a claim takes away what shows how old the queue's orders are.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::event::{Dependency, DependencyEvent, Observers};
use crate::operations::Unanswered;
use crate::operations::horizon::{self, Basis, FirstHorizon, Settled};
use crate::port::retrying::Retrying;
use crate::service::backends::{Opened, StartError};

/// Notes or moves the horizon, and tells what came of it. Repeats that until queue and store answer, for `wait` at most.
///
/// # Errors
/// An error that waiting does not cure, or [`StartError::Unreachable`].
pub(super) async fn settle(
    opened: &Opened,
    chosen: Option<Timestamp>,
    wait: Option<Duration>,
    observers: &Observers,
) -> Result<(), StartError> {
    let failed = |error: &Unanswered, retry_in| {
        let (dependency, error) = match error {
            Unanswered::Queue(error) => (Dependency::Queue, error.to_string()),
            Unanswered::Store(error) => (Dependency::Store, error.to_string()),
        };
        observers.emit(DependencyEvent::Down { dependency, error: &error, retry_in });
    };
    let call = |_| horizon::settle(&*opened.queue.maintenance, &*opened.store.horizons, chosen);
    let settled =
        Retrying { limit: wait, ..Retrying::default() }.until_answered(Unanswered::is_transient, failed, call).await;
    match settled {
        Ok(settled) => tell(settled, chosen),
        Err(error) if error.is_transient() => {
            return Err(StartError::Unreachable(wait.unwrap_or_default(), error.to_string()));
        }
        Err(Unanswered::Queue(error)) => return Err(error.into()),
        Err(Unanswered::Store(error)) => return Err(error.into()),
    }
    observers.emit(DependencyEvent::Up(Dependency::Queue));
    observers.emit(DependencyEvent::Up(Dependency::Store));
    Ok(())
}

fn tell(settled: Settled, chosen: Option<Timestamp>) {
    let chosen = chosen.map(tracing::field::display);
    match settled {
        Settled::AsItWas => {}
        Settled::Noted(FirstHorizon { horizon, basis }) => {
            let (adopt_from, last_order_id) =
                (horizon.adopt_from.map(tracing::field::display), horizon.last_order_id.map(|id| id.0));
            let why = match basis {
                Basis::Chosen => "chosen by --reconcile-from",
                Basis::OldestMessage => "the order of the oldest message that waits",
                Basis::NothingWaits => "no message waits",
            };
            info!(
                adopt_from,
                last_order_id,
                why,
                "first start: orders created earlier are left alone unless a message names them; --reconcile-from moves this"
            );
        }
        Settled::Moved => {
            info!(
                adopt_from = chosen,
                "the horizon has moved: orders created since then are taken in, and no older ones"
            );
        }
        Settled::TakesEverything => warn!(
            reconcile_from = chosen,
            "--reconcile-from changes nothing: this installation was there before it, and takes in orders of every age"
        ),
    }
}
