//! Signals: the first one drains, the second one ends the process at once. Neither loses an order: the messages of
//! orders in flight come back when their leases end.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::backends::StartError;

/// Listens for SIGTERM and SIGINT from now on. The first of them cancels the returned token; the second one exits with
/// 128 + its number (143 or 130). Must be called within a runtime.
///
/// # Errors
/// [`StartError::Signals`] when the system refuses.
pub fn drain_on_signals() -> Result<CancellationToken, StartError> {
    drain_on_signals_and(|| ())
}

/// As [`drain_on_signals`], and calls `at_the_second` before the second signal ends the process.
///
/// # Errors
/// As [`drain_on_signals`].
pub(crate) fn drain_on_signals_and(
    at_the_second: impl FnOnce() + Send + 'static,
) -> Result<CancellationToken, StartError> {
    let listen = |kind| signal(kind).map_err(StartError::Signals);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let drain = CancellationToken::new();
    let token = drain.clone();
    tokio::spawn(async move {
        let first = next(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = first, "draining; a second signal ends at once");
        token.cancel();
        let second = next(&mut terminate, &mut interrupt).await;
        at_the_second();
        std::process::exit(128 + second);
    });
    Ok(drain)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}
