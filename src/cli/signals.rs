//! Signals: the first one drains, the second one ends the process at once. Nothing is lost in either: what was in
//! hand comes back when its lease is over.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for SIGTERM and SIGINT from now on. The returned token is cancelled by the first of them; a second one
/// exits with 128 + its number (143 or 130).
///
/// # Errors
/// When the signals can't be listened for. Must be called within a runtime.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let drain = CancellationToken::new();
    let token = drain.clone();
    tokio::spawn(async move {
        let first = next(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = first, "draining; a second signal ends at once");
        token.cancel();
        let second = next(&mut terminate, &mut interrupt).await;
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
