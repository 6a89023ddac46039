//! Signals: the first one drains, the second one ends the process at once. Neither loses an order: the messages of
//! orders in flight come back when their leases end.
//!
//! A thread of its own listens: signals count however busy or stuck every other thread is.

use std::future;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::backends::StartError;
use super::reload::Reload;
use crate::observe::logging;
use crate::threads;

/// How long what is to be done at the second signal may hold up the exit.
const LAST_WORK_LIMIT: Duration = Duration::from_millis(500);
/// When a drain that hangs is ended, as a share of its timeout; the rest is for the log and the exit.
const LAST_MOMENT: f64 = 0.98;
/// How long the log may hold up that exit.
const LOG_LIMIT: Duration = Duration::from_millis(20);
/// A drain with hardly any time gets this much to hand orders back.
const SHORTEST_DRAIN: Duration = Duration::from_millis(200);

/// Signals that end most processes, and do nothing here, as nobody means to end a worker by them.
const IGNORED: [(SignalKind, &str); 2] =
    [(SignalKind::user_defined1(), "SIGUSR1"), (SignalKind::user_defined2(), "SIGUSR2")];

/// What SIGHUP does.
#[derive(Default)]
pub(crate) enum HangUp {
    /// Nothing, but a line in the log.
    #[default]
    Ignore,
    /// Drains: a terminal sends it that closes.
    #[cfg_attr(not(feature = "demo"), expect(dead_code, reason = "for commands on a terminal"))]
    Drain,
    /// Has files read again.
    Reload(Reload),
}

/// What the signals mean to this process.
#[derive(Default)]
pub(crate) struct Signals {
    /// Ends the process with code 0 this long after the first signal, whatever hangs; never, if `None`.
    pub(crate) drain_timeout: Option<Duration>,
    /// What SIGHUP does.
    pub(crate) hang_up: HangUp,
    /// What to do before the second signal ends the process.
    pub(crate) at_the_second: Option<Box<dyn FnOnce() + Send>>,
}

/// Listens for SIGTERM and SIGINT from now on. The first of them cancels the returned token; the second one exits with
/// 128 + its number (143 or 130). SIGHUP, SIGUSR1 and SIGUSR2 are logged, and do nothing.
///
/// # Errors
/// [`StartError::Signals`] when the system refuses.
pub fn drain_on_signals() -> Result<CancellationToken, StartError> {
    Signals::default().listen()
}

impl Signals {
    /// As [`drain_on_signals`], with these meanings.
    ///
    /// # Errors
    /// As [`drain_on_signals`].
    pub(crate) fn listen(self) -> Result<CancellationToken, StartError> {
        let drain = CancellationToken::new();
        let token = drain.clone();
        let (listening, started) = mpsc::channel();
        threads::spawn("signals", move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(listening.send(Err(error))),
            };
            runtime.block_on(async {
                match Sources::listen(self.hang_up) {
                    Ok(sources) => {
                        let _ = listening.send(Ok(()));
                        handle(sources, &token, self.drain_timeout, self.at_the_second).await;
                    }
                    Err(error) => drop(listening.send(Err(error))),
                }
            });
        })
        .map_err(StartError::Signals)?;
        let listening = started.recv().map_err(|_| io::Error::other("their thread ended"));
        listening.flatten().map_err(StartError::Signals)?;
        Ok(drain)
    }
}

async fn handle(
    mut sources: Sources,
    drain: &CancellationToken,
    drain_timeout: Option<Duration>,
    at_the_second: Option<Box<dyn FnOnce() + Send>>,
) {
    let first = sources.next().await;
    tracing::info!(signal = first, "draining; a second signal ends at once");
    drain.cancel();
    let limit = drain_timeout.map(|limit| limit.mul_f64(LAST_MOMENT).max(SHORTEST_DRAIN));
    let second = match limit {
        Some(limit) => tokio::time::timeout(limit, sources.next()).await.ok(),
        None => Some(sources.next().await),
    };
    let Some(second) = second else {
        tracing::warn!("the drain has used up its time: orders in flight come back with their leases");
        logging::flush(LOG_LIMIT);
        std::process::exit(0);
    };
    if let Some(work) = at_the_second {
        within(LAST_WORK_LIMIT, work);
    }
    std::process::exit(128 + second);
}

/// Waits for `work` no longer than `limit`, as it may write to a terminal that takes nothing.
fn within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let work = move || {
        work();
        let _ = done.send(());
    };
    if threads::spawn("last", work).is_ok() {
        let _ = ended.recv_timeout(limit);
    }
}

struct Sources {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl Sources {
    fn listen(hang_up: HangUp) -> io::Result<Self> {
        let mut ignored = IGNORED.to_vec();
        let mut hang_ups = None;
        match hang_up {
            HangUp::Ignore => ignored.push((SignalKind::hangup(), "SIGHUP")),
            HangUp::Drain => hang_ups = Some(signal(SignalKind::hangup())?),
            HangUp::Reload(reload) => {
                let mut hang_ups = signal(SignalKind::hangup())?;
                tokio::spawn(async move {
                    while hang_ups.recv().await.is_some() {
                        tracing::info!("SIGHUP: files with secrets and certificates are read again, if there are any");
                        reload.now();
                    }
                });
            }
        }
        for (kind, name) in ignored {
            let mut ignored = signal(kind)?;
            tokio::spawn(async move {
                while ignored.recv().await.is_some() {
                    tracing::info!("{name} does nothing; SIGTERM drains, and `fulfillment-worker log` changes the log");
                }
            });
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: hang_ups,
        })
    }

    async fn next(&mut self) -> i32 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => future::pending().await,
            }
        };
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = hang_up => SignalKind::hangup(),
        };
        kind.as_raw_value()
    }
}
